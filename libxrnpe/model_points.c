// SPDX-License-Identifier: MIT
/* The points of a model: models that take and give the same, and share constants. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath.h"
#include "error.h"
#include "model.h"

unsigned int xrnpe_model_point_count(const struct xrnpe_model *model)
{
	return model->whole->point_count;
}

struct xrnpe_model *xrnpe_model_point(const struct xrnpe_model *model, unsigned int i)
{
	struct xrnpe_model *whole = model->whole;

	if (i >= whole->point_count)
		return NULL;
	return whole->points ? whole->points[i] : whole;
}

unsigned int xrnpe_model_point_index(const struct xrnpe_model *model)
{
	return model->point;
}

/* ---- linking -------------------------------------------------------------- */

/* "net.xrnpe, point 2" for each. */
static char **make_names(struct xrnpe_model *const *points, uint32_t count)
{
	char **names = calloc(count, sizeof(*names));

	for (uint32_t i = 0; names && i < count; i++) {
		if (asprintf(&names[i], "%s, point %u", points[i]->name, i) >= 0)
			continue;
		while (i--)
			free(names[i]);
		free(names);
		return NULL;
	}
	return names;
}

int xrnpe_model_link(struct xrnpe_model *const *points, uint32_t count, uint32_t whole)
{
	char **names = make_names(points, count);
	struct xrnpe_model **list = names ? malloc(count * sizeof(*list)) : NULL;

	for (uint32_t i = 0; names && i < count; i++) {
		if (!list) {
			free(names[i]);
			continue;
		}
		list[i] = points[i];
		free(points[i]->name);
		points[i]->name = names[i];
		points[i]->whole = points[whole];
		points[i]->point = i;
	}
	free(names);
	if (!list)
		return -ENOMEM;
	points[whole]->points = list;
	points[whole]->point_count = count;
	return 0;
}

/* ---- check ---------------------------------------------------------------- */

static bool same_tensor(const struct xrnpe_model_tensor *a, const struct xrnpe_model_tensor *b)
{
	return !strcmp(a->info.name, b->info.name) && a->info.type == b->info.type &&
	       a->info.rank == b->info.rank &&
	       !memcmp(a->info.dims, b->info.dims, sizeof(a->info.dims)) &&
	       a->format == b->format && a->scale == b->scale && a->offset == b->offset &&
	       a->row_stride == b->row_stride && a->pixel_stride == b->pixel_stride &&
	       a->channels == b->channels && a->height == b->height && a->width == b->width &&
	       a->channels_first == b->channels_first;
}

static bool same_layer(const struct xrnpe_layer_info *a, const struct xrnpe_layer_info *b)
{
	return !strcmp(a->name, b->name) && !strcmp(a->op, b->op) && a->place == b->place &&
	       a->macs == b->macs && a->float_bytes == b->float_bytes && a->rank == b->rank &&
	       !memcmp(a->dims, b->dims, sizeof(a->dims));
}

static bool same_interface(const struct xrnpe_model *a, const struct xrnpe_model *b)
{
	bool same = a->input_count == b->input_count && a->output_count == b->output_count;

	for (uint32_t i = 0; same && i < a->input_count + a->output_count; i++)
		same = same_tensor(&a->tensors[i], &b->tensors[i]);
	for (unsigned int r = 0; r < XRNPE_MODEL_REGIONS; r++)
		same &= r == XRNPE_MODEL_ARENA || a->region_size[r] == b->region_size[r];
	return same;
}

static bool same_layers(const struct xrnpe_model *a, const struct xrnpe_model *b)
{
	bool same = a->layer_count == b->layer_count;

	for (uint32_t i = 0; same && i < a->layer_count; i++)
		same = same_layer(&a->layers[i], &b->layers[i]);
	return same;
}

int xrnpe_model_check_points(const struct xrnpe_model *model, struct xrnpe_error *error)
{
	const struct xrnpe_model *whole = model->whole;

	for (uint32_t i = 0; i < whole->point_count; i++) {
		const struct xrnpe_model *point = xrnpe_model_point(whole, i);

		if (!same_interface(point, whole))
			return xrnpe_fail(error, -EINVAL, "%s: its inputs or outputs are not those of point %u",
					  point->name, whole->point);
		if (!same_layers(point, whole))
			return xrnpe_fail(error, -EINVAL, "%s: its layers are not those of point %u",
					  point->name, whole->point);
	}
	return 0;
}

/* ---- memory ---------------------------------------------------------------- */

static int compare_parts(const void *a, const void *b)
{
	const struct xrnpe_model_part *x = a, *y = b;

	return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Sorted parts, those that overlap made one. Returns how many are left. */
static size_t merge_parts(struct xrnpe_model_part *parts, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		struct xrnpe_model_part *last = kept ? &parts[kept - 1] : NULL;
		uint64_t end = parts[i].offset + parts[i].size;

		if (!last || parts[i].offset >= last->offset + last->size)
			parts[kept++] = parts[i];
		else if (end > last->offset + last->size)
			last->size = end - last->offset;
	}
	return kept;
}

int xrnpe_model_constant_parts(const struct xrnpe_model *model, struct xrnpe_model_part **parts,
			       size_t *count)
{
	const uint64_t all = model->region_size[XRNPE_MODEL_CONSTANTS];
	struct xrnpe_span spans[XRNPE_OPERANDS];
	struct xrnpe_fault fault;
	size_t found = 0;

	*parts = malloc(((size_t)model->cmd_count * XRNPE_OPERANDS + 1) * sizeof(**parts));
	if (!*parts)
		return -ENOMEM;
	for (uint32_t i = 0; i < model->cmd_count; i++) {
		if (!xrnpe_model_cmd_check(model, i, spans, &fault))
			continue;
		for (unsigned int k = 0; k < XRNPE_OPERANDS; k++) {
			uint64_t begin = spans[k].offset & -(uint64_t)XRNPE_MODEL_ALIGN;
			uint64_t end = model_align(spans[k].offset + spans[k].size);

			if (spans[k].size && spans[k].region == XRNPE_MODEL_CONSTANTS)
				(*parts)[found++] = (struct xrnpe_model_part){
					begin, (end < all ? end : all) - begin,
				};
		}
	}
	qsort(*parts, found, sizeof(**parts), compare_parts);
	*count = merge_parts(*parts, found);
	return 0;
}

/* Where a point begins to use constants, or ends to. */
struct edge {
	uint64_t offset;
	uint32_t point;
	bool begins;
};

struct edges {
	struct edge *list;
	size_t count;
};

static int compare_edges(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	return (x->offset > y->offset) - (x->offset < y->offset);
}

static int add_edges(struct edges *edges, struct xrnpe_model *point)
{
	struct xrnpe_model_part *parts;
	struct edge *larger;
	size_t count;
	int ret = xrnpe_model_constant_parts(point, &parts, &count);

	if (ret)
		return ret;
	larger = realloc(edges->list, (edges->count + 2 * count + 1) * sizeof(*larger));
	if (larger)
		edges->list = larger;
	point->used_constants = point->own_constants = 0;
	for (size_t i = 0; larger && i < count; i++) {
		point->used_constants += parts[i].size;
		larger[edges->count++] = (struct edge){ parts[i].offset, point->point, true };
		larger[edges->count++] = (struct edge){ parts[i].offset + parts[i].size, point->point, false };
	}
	free(parts);
	return larger ? 0 : -ENOMEM;
}

/* From edge to edge; where one point alone is, @sum is its index. */
static void count_own(const struct xrnpe_model *model, const struct edges *edges)
{
	uint64_t users = 0, sum = 0;

	for (size_t i = 0; i < edges->count; i++) {
		const struct edge *edge = &edges->list[i];

		if (users == 1)
			xrnpe_model_point(model, (unsigned int)sum)->own_constants +=
				edge->offset - edges->list[i - 1].offset;
		users += edge->begins ? 1 : UINT64_MAX;
		sum += edge->begins ? edge->point : -(uint64_t)edge->point;
	}
}

int xrnpe_model_count_constants(const struct xrnpe_model *model)
{
	struct edges edges = { 0 };
	int ret = 0;

	/* One point alone uses what there is. */
	if (xrnpe_model_point_count(model) == 1)
		return 0;
	for (uint32_t i = 0; !ret && i < xrnpe_model_point_count(model); i++)
		ret = add_edges(&edges, xrnpe_model_point(model, i));
	if (!ret) {
		qsort(edges.list, edges.count, sizeof(*edges.list), compare_edges);
		count_own(model, &edges);
	}
	free(edges.list);
	return ret;
}

void xrnpe_model_footprint(const struct xrnpe_model *model, struct xrnpe_footprint *footprint)
{
	bool alone = xrnpe_model_point_count(model) == 1;

	*footprint = (struct xrnpe_footprint){
		.constants = model->region_size[XRNPE_MODEL_CONSTANTS],
		.inputs = model->region_size[XRNPE_MODEL_INPUT],
		.outputs = model->region_size[XRNPE_MODEL_OUTPUT],
	};
	for (uint32_t i = 0; i < xrnpe_model_point_count(model); i++) {
		const struct xrnpe_model *point = xrnpe_model_point(model, i);
		uint64_t arena = point->region_size[XRNPE_MODEL_ARENA];

		footprint->commands += (uint64_t)point->cmd_count * sizeof(*point->cmds);
		footprint->arena = arena > footprint->arena ? arena : footprint->arena;
	}
	footprint->used_constants = alone ? footprint->constants : model->used_constants;
	footprint->own_constants = alone ? footprint->constants : model->own_constants;
	footprint->own_commands = (uint64_t)model->cmd_count * sizeof(*model->cmds);
}

// SPDX-License-Identifier: MIT
/* Reads .xrnpe files, and trusts nothing in them. */
#include <errno.h>
#include <math.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "file_format.h"
#include "graph.h"
#include "io.h"
#include "onnx.h"

static const char *const section_names[SECTIONS] = {
	[SECTION_INFO] = "info",
	[SECTION_POINTS] = "points",
	[SECTION_STRINGS] = "strings",
	[SECTION_COMMANDS] = "commands",
	[SECTION_COMMAND_LAYERS] = "command layers",
	[SECTION_LAYERS] = "layers",
	[SECTION_TENSORS] = "tensors",
	[SECTION_STEPS] = "steps",
	[SECTION_BINDINGS] = "bindings",
	[SECTION_CPU] = "cpu",
	[SECTION_CONSTANTS] = "constants",
};

/* A file in memory whose header and sections have been checked. */
struct image {
	const unsigned char *bytes;
	uint64_t size;
	struct file_header header;
};

static const void *section(const struct image *image, enum section_id id)
{
	return image->bytes + image->header.section[id].offset;
}

static int check_header(const char *path, struct image *image, struct xrnpe_error *error)
{
	struct file_header *h = &image->header;

	if (image->size < sizeof(h->magic) || memcmp(image->bytes, FILE_MAGIC, sizeof(h->magic)))
		return xrnpe_fail(error, -EINVAL, "%s: not an .xrnpe file", path);
	if (image->size < HEADER_SIZE(0))
		return xrnpe_fail(error, -EINVAL, "%s: truncated in its header", path);
	memcpy(h, image->bytes, HEADER_SIZE(0));
	if (image->size < HEADER_SIZE(h->section_count))
		return xrnpe_fail(error, -EINVAL, "%s: truncated in its header, or damaged", path);
	if (file_header_checksum(image->bytes, HEADER_SIZE(h->section_count)) != h->crc)
		return xrnpe_fail(error, -EINVAL, "%s: damaged: wrong checksum of the header",
				  path);
	if (h->version != FILE_VERSION)
		return xrnpe_fail(error, -ENOTSUP,
				  "%s: is of format version %u; this library knows %u", path,
				  h->version, FILE_VERSION);
	if (h->section_count != SECTIONS || h->reserved)
		return xrnpe_fail(error, -EINVAL, "%s: malformed header", path);
	memcpy(h, image->bytes, sizeof(*h));
	if (h->size != image->size)
		return xrnpe_fail(error, -EINVAL,
				  "%s: %s: it has %" PRIu64 " bytes, its header says %" PRIu64, path,
				  image->size < h->size ? "truncated" : "too long", image->size, h->size);
	return 0;
}

static int check_sections(const char *path, const struct image *image, struct xrnpe_error *error)
{
	const struct file_header *h = &image->header;
	uint64_t end = sizeof(*h);

	for (unsigned int i = 0; i < SECTIONS; i++) {
		const struct file_section *s = &h->section[i];

		if (s->offset != file_align(end) || s->offset > image->size ||
		    s->size > image->size - s->offset || s->reserved)
			return xrnpe_fail(error, -EINVAL, "%s: section %s is misplaced", path,
					  section_names[i]);
		for (; end < s->offset; end++)
			if (image->bytes[end])
				return xrnpe_fail(error, -EINVAL,
						  "%s: damaged before section %s", path,
						  section_names[i]);
		if (file_checksum(image->bytes + s->offset, s->size) != s->crc)
			return xrnpe_fail(error, -EINVAL,
					  "%s: damaged: wrong checksum of section %s", path,
					  section_names[i]);
		end = s->offset + s->size;
	}
	if (end != image->size)
		return xrnpe_fail(error, -EINVAL, "%s: has bytes after its last section", path);
	return 0;
}

/* Number of elements of @size bytes that a section holds; at most UINT32_MAX. */
static int count_elements(const char *path, const struct image *image, enum section_id id,
			  size_t size, uint32_t *count, struct xrnpe_error *error)
{
	uint64_t bytes = image->header.section[id].size;

	if (bytes % size || bytes / size > UINT32_MAX)
		return xrnpe_fail(error, -EINVAL, "%s: section %s has an odd size", path,
				  section_names[id]);
	*count = (uint32_t)(bytes / size);
	return 0;
}

/* A copy of @count records of a section from the @first on, @size bytes each; of none, a byte. */
static void *copy_records(const struct image *image, enum section_id id, uint64_t first,
			  uint64_t count, size_t size)
{
	size_t bytes = count * size;
	void *copy = malloc(bytes ? bytes : 1);

	if (copy)
		memcpy(copy, (const char *)section(image, id) + first * size, bytes);
	return copy;
}

/* A copy of the string at @offset; NULL: there is none, or no memory. */
static char *copy_string(const struct image *image, uint32_t offset)
{
	const char *strings = section(image, SECTION_STRINGS);
	uint64_t size = image->header.section[SECTION_STRINGS].size;

	if (offset >= size || !memchr(strings + offset, '\0', size - offset))
		return NULL;
	return strdup(strings + offset);
}

static bool unpack_layer(const struct image *image, struct xrnpe_layer_info *to,
			 const struct file_layer *from)
{
	*to = (struct xrnpe_layer_info){
		.name = copy_string(image, from->name),
		.op = copy_string(image, from->op),
		.why = copy_string(image, from->why),
		.place = (enum xrnpe_place)from->place,
		.rank = from->rank,
		.macs = from->macs,
		.bytes = from->bytes,
		.float_bytes = from->float_bytes,
		.format = (enum xrnpe_format)from->format,
		.weight_format = (enum xrnpe_format)from->weight_format,
		.added_format = (enum xrnpe_format)from->added_format,
		.out_format = (enum xrnpe_format)from->out_format,
		.output = copy_string(image, from->output),
		.error = from->error,
	};
	for (unsigned int i = 0; i < XRNPE_TENSOR_RANK; i++)
		to->dims[i] = from->dims[i];
	memcpy(to->weight_error, from->weight_error, sizeof(to->weight_error));
	memcpy(to->input_error, from->input_error, sizeof(to->input_error));
	return to->name && to->op && to->why && to->output;
}

static bool unpack_tensor(const struct image *image, struct xrnpe_model_tensor *to,
			  const struct file_tensor *from)
{
	*to = (struct xrnpe_model_tensor){
		.info = { .name = copy_string(image, from->name), .rank = from->rank,
			  .type = (enum xrnpe_type)from->type },
		.channels = from->channels,
		.height = from->height,
		.width = from->width,
		.channels_first = from->channels_first,
		.region = (enum xrnpe_model_region)from->region,
		.format = (enum xrnpe_format)from->format,
		.offset = from->offset,
		.row_stride = from->row_stride,
		.pixel_stride = from->pixel_stride,
		.scale = from->scale,
	};
	/* May overflow for dims that xrnpe_model_check() refuses. */
	to->info.count = 1;
	for (unsigned int i = 0; i < XRNPE_TENSOR_RANK; i++) {
		to->info.dims[i] = from->dims[i];
		to->info.count *= from->dims[i];
	}
	return to->info.name;
}

/* ---- points -------------------------------------------------------------- */

/* Records of each table that are before a point's. */
struct records {
	uint64_t of[TABLES];
};

static void add_records(struct records *records, const struct file_point *point)
{
	for (unsigned int t = 0; t < TABLES; t++)
		records->of[t] += point->records[t];
}

/* That the points have all records of every table; @count: of points. */
static int check_records(const char *path, const struct image *image, uint32_t *count,
			 struct xrnpe_error *error)
{
	static const struct {
		enum section_id section;
		size_t size;
	} tables[TABLES] = {
		[TABLE_COMMANDS] = { SECTION_COMMANDS, sizeof(struct xrnpe_cmd) },
		[TABLE_LAYERS] = { SECTION_LAYERS, sizeof(struct file_layer) },
		[TABLE_TENSORS] = { SECTION_TENSORS, sizeof(struct file_tensor) },
		[TABLE_STEPS] = { SECTION_STEPS, sizeof(struct file_step) },
		[TABLE_BINDINGS] = { SECTION_BINDINGS, sizeof(struct file_binding) },
	};
	const struct file_point *points = section(image, SECTION_POINTS);
	uint32_t there[TABLES] = { 0 }, labels = 0;
	struct records all = { 0 };
	bool whole;
	int ret = count_elements(path, image, SECTION_POINTS, sizeof(*points), count, error);

	for (unsigned int t = 0; !ret && t < TABLES; t++)
		ret = count_elements(path, image, tables[t].section, tables[t].size, &there[t], error);
	if (!ret)
		ret = count_elements(path, image, SECTION_COMMAND_LAYERS, sizeof(uint32_t), &labels,
				     error);
	if (ret)
		return ret;
	if (labels != there[TABLE_COMMANDS])
		return xrnpe_fail(error, -EINVAL, "%s: has %u commands and layers for %u", path,
				  there[TABLE_COMMANDS], labels);
	for (uint32_t i = 0; i < *count; i++)
		add_records(&all, &points[i]);
	whole = *count > 0;
	for (unsigned int t = 0; t < TABLES; t++)
		whole &= all.of[t] == there[t];
	return whole ? 0 : xrnpe_fail(error, -EINVAL, "%s: its points are not all of it", path);
}

/* The counts grow with what has been made, for xrnpe_model_free(). */
static int unpack_names(const struct image *image, struct xrnpe_model *model,
			const struct records *from, const struct file_point *point,
			struct xrnpe_error *error)
{
	const struct file_layer *layers = section(image, SECTION_LAYERS);
	const struct file_tensor *tensors = section(image, SECTION_TENSORS);

	layers += from->of[TABLE_LAYERS];
	tensors += from->of[TABLE_TENSORS];
	while (model->layer_count < point->records[TABLE_LAYERS]) {
		uint32_t i = model->layer_count++;

		if (!unpack_layer(image, &model->layers[i], &layers[i]))
			return xrnpe_fail(error, -EINVAL, "%s: layer %u has no name", model->name, i);
		if (layers[i].reserved)
			return xrnpe_fail(error, -EINVAL, "%s: layer %u is malformed", model->name, i);
		model->layer_outputs[i] = (struct xrnpe_layer_output){
			layers[i].index, layers[i].step, layers[i].part,
		};
	}
	while (model->tensor_count < point->records[TABLE_TENSORS]) {
		uint32_t i = model->tensor_count++;

		if (!unpack_tensor(image, &model->tensors[i], &tensors[i]))
			return xrnpe_fail(error, -EINVAL, "%s: tensor %u has no name", model->name, i);
		if (tensors[i].channels_first > 1)
			return xrnpe_fail(error, -EINVAL, "%s: tensor %u is malformed", model->name, i);
	}
	return 0;
}

/* Steps and bindings of the CPU's nodes. */
static int unpack_steps(const struct image *image, struct xrnpe_model *model,
			const struct records *from, struct xrnpe_error *error)
{
	const struct file_step *steps = section(image, SECTION_STEPS);
	const struct file_binding *bindings = section(image, SECTION_BINDINGS);

	steps += from->of[TABLE_STEPS];
	bindings += from->of[TABLE_BINDINGS];
	for (uint32_t i = 0; i < model->step_count; i++) {
		if (steps[i].reserved)
			return xrnpe_fail(error, -EINVAL, "%s: step %u is malformed", model->name, i);
		model->steps[i] = (struct xrnpe_model_step){
			(enum xrnpe_model_step_kind)steps[i].kind, steps[i].first, steps[i].count,
			steps[i].gather_first, steps[i].gather_count, steps[i].scatter_first,
			steps[i].scatter_count,
		};
	}
	for (uint32_t i = 0; i < model->binding_count; i++) {
		char *name = copy_string(image, bindings[i].cpu);
		uint32_t cpu = name && model->cpu ? graph_find(model->cpu, name) : GRAPH_NONE;

		free(name);
		if (cpu == GRAPH_NONE)
			return xrnpe_fail(error, -EINVAL, "%s: binding %u names no tensor", model->name, i);
		model->bindings[i] = (struct xrnpe_model_binding){ cpu, bindings[i].tensor };
	}
	return 0;
}

/* What was measured of a point. False: that cannot be. */
static bool unpack_measured(struct xrnpe_model *model, const struct file_point *point)
{
	model->quality = (struct xrnpe_quality){
		.error = point->quality_error, .spread = point->quality_spread,
		.inputs = point->quality_inputs, .unseen = point->quality_unseen,
	};
	model->task = (struct xrnpe_task){
		.classes = point->task_classes, .score = point->task_score,
		.float_score = point->task_float_score, .loss = point->task_loss,
		.spread = point->task_spread, .inputs = point->task_inputs,
	};
	return point->quality_unseen <= 1 && isfinite(point->quality_error) &&
	       point->quality_error >= 0 && point->quality_spread >= 0 && point->task_classes <= 1 &&
	       isfinite(point->task_score) && isfinite(point->task_float_score) &&
	       isfinite(point->task_loss) && point->task_spread >= 0;
}

/* The records of @model, which has what all points share; those of the points before: @from. */
static int unpack_point(const struct image *image, struct xrnpe_model *model,
			const struct records *from, const struct file_point *point,
			struct xrnpe_error *error)
{
	const uint32_t *records = point->records;
	int ret;

	if (point->reserved || !unpack_measured(model, point))
		return xrnpe_fail(error, -EINVAL, "%s: section points is malformed", model->name);
	model->region_size[XRNPE_MODEL_ARENA] = point->arena;
	model->cmd_count = records[TABLE_COMMANDS];
	model->step_count = records[TABLE_STEPS];
	model->binding_count = records[TABLE_BINDINGS];
	model->cmds = copy_records(image, SECTION_COMMANDS, from->of[TABLE_COMMANDS],
				   model->cmd_count, sizeof(*model->cmds));
	model->cmd_layer = copy_records(image, SECTION_COMMAND_LAYERS, from->of[TABLE_COMMANDS],
					model->cmd_count, sizeof(*model->cmd_layer));
	/* One more: a table may be empty. */
	model->layers = calloc((size_t)records[TABLE_LAYERS] + 1, sizeof(*model->layers));
	model->layer_outputs = calloc((size_t)records[TABLE_LAYERS] + 1, sizeof(*model->layer_outputs));
	model->tensors = calloc((size_t)records[TABLE_TENSORS] + 1, sizeof(*model->tensors));
	model->steps = calloc((size_t)model->step_count + 1, sizeof(*model->steps));
	model->bindings = calloc((size_t)model->binding_count + 1, sizeof(*model->bindings));
	if (!model->cmds || !model->cmd_layer || !model->layers || !model->layer_outputs ||
	    !model->tensors || !model->steps || !model->bindings)
		return xrnpe_fail_memory(error);
	ret = unpack_names(image, model, from, point, error);
	if (!ret)
		ret = unpack_steps(image, model, from, error);
	return ret ? ret : xrnpe_model_check_tables(model, error);
}

/* ---- the whole ----------------------------------------------------------- */

/* @model becomes @count points, itself the @which-th. */
static int make_points(struct xrnpe_model *model, uint32_t count, uint32_t which)
{
	struct xrnpe_model **points = calloc(count, sizeof(*points));
	bool failed = !points;

	for (uint32_t i = 0; !failed && i < count; i++) {
		points[i] = i == which ? model : xrnpe_model_new();
		if (points[i] && i != which)
			points[i]->name = strdup(model->name);
		failed = !points[i] || !points[i]->name;
	}
	if (!failed)
		failed = xrnpe_model_link(points, count, which);
	for (uint32_t i = 0; failed && points && i < count; i++) {
		if (i != which)
			xrnpe_model_free(points[i]);
	}
	free(points);
	return failed ? -ENOMEM : 0;
}

/* What all points share goes to each. The section of the CPU's nodes may be empty. */
static int unpack_shared(const char *path, const struct image *image, struct xrnpe_model *whole,
			 const struct file_info *info, struct xrnpe_error *error)
{
	uint64_t size = image->header.section[SECTION_CPU].size;
	int ret = 0;

	whole->constants = copy_records(image, SECTION_CONSTANTS, 0, info->constants, 1);
	if (!whole->constants)
		return xrnpe_fail_memory(error);
	/* They are read as any ONNX model is. */
	if (size) {
		whole->cpu = graph_new(path);
		ret = whole->cpu ? onnx_read(whole->cpu, section(image, SECTION_CPU), size, NULL,
					     NULL, error) :
				   xrnpe_fail_memory(error);
	}
	for (uint32_t i = 0; !ret && i < xrnpe_model_point_count(whole); i++) {
		struct xrnpe_model *point = xrnpe_model_point(whole, i);

		point->constants = whole->constants;
		point->cpu = whole->cpu;
		point->input_count = info->input_count;
		point->output_count = info->output_count;
		point->region_size[XRNPE_MODEL_CONSTANTS] = info->constants;
		point->region_size[XRNPE_MODEL_INPUT] = info->inputs;
		point->region_size[XRNPE_MODEL_OUTPUT] = info->outputs;
		point->producer = copy_string(image, info->producer);
	}
	return ret;
}

static int unpack(const char *path, const struct image *image, struct xrnpe_model *model,
		  struct xrnpe_error *error)
{
	const struct file_point *points = section(image, SECTION_POINTS);
	struct records before = { 0 };
	struct file_info info;
	uint32_t count = 0;
	int ret;

	if (image->header.section[SECTION_INFO].size != sizeof(info))
		return xrnpe_fail(error, -EINVAL, "%s: section info has an odd size", path);
	memcpy(&info, section(image, SECTION_INFO), sizeof(info));
	ret = check_records(path, image, &count, error);
	if (ret)
		return ret;
	if (info.point >= count || info.constants != image->header.section[SECTION_CONSTANTS].size)
		return xrnpe_fail(error, -EINVAL, "%s: section info is malformed", path);
	model->name = strdup(path);
	if (!model->name || (count > 1 && make_points(model, count, info.point)))
		return xrnpe_fail_memory(error);
	ret = unpack_shared(path, image, model, &info, error);
	for (uint32_t i = 0; !ret && i < count; i++) {
		ret = unpack_point(image, xrnpe_model_point(model, i), &before, &points[i], error);
		add_records(&before, &points[i]);
	}
	return ret;
}

/* What the sections hold is read where it lies, so that @bytes are aligned. */
static int read_image(const char *name, const unsigned char *bytes, size_t size,
		      struct xrnpe_model **model, struct xrnpe_error *error)
{
	struct image image = { .bytes = bytes, .size = size };
	struct xrnpe_model *result = NULL;
	int ret;

	ret = check_header(name, &image, error);
	if (!ret)
		ret = check_sections(name, &image, error);
	if (!ret) {
		result = xrnpe_model_new();
		ret = result ? unpack(name, &image, result, error) : xrnpe_fail_memory(error);
	}
	if (ret) {
		xrnpe_model_free(result);
		return ret;
	}
	*model = result;
	return 0;
}

int xrnpe_model_read(const char *path, struct xrnpe_model **model, struct xrnpe_error *error)
{
	unsigned char *bytes;
	size_t size;
	int ret = xrnpe_file_read(path, SIZE_MAX / 4, &bytes, &size, error);

	if (ret)
		return ret;
	ret = read_image(path, bytes, size, model, error);
	free(bytes);
	return ret;
}

/* A model that was read, if it is legal. */
static int check(struct xrnpe_model *read, struct xrnpe_model **model, struct xrnpe_error *error)
{
	int ret = xrnpe_model_check(read, error);

	if (!ret && xrnpe_model_count_constants(read))
		ret = xrnpe_fail_memory(error);
	if (ret)
		xrnpe_model_free(read);
	else
		*model = read;
	return ret;
}

int xrnpe_model_load(const char *path, struct xrnpe_model **model, struct xrnpe_error *error)
{
	struct xrnpe_model *read;
	int ret = xrnpe_model_read(path, &read, error);

	return ret ? ret : check(read, model, error);
}

int xrnpe_model_parse(const char *name, const void *data, size_t size,
		      struct xrnpe_model **model, struct xrnpe_error *error)
{
	void *aligned = NULL;
	struct xrnpe_model *read;
	int ret;

	if ((uintptr_t)data % sizeof(uint64_t)) {
		aligned = malloc(size);
		if (!aligned)
			return xrnpe_fail_memory(error);
		memcpy(aligned, data, size);
	}
	ret = read_image(name, aligned ? aligned : data, size, &read, error);
	free(aligned);
	return ret ? ret : check(read, model, error);
}

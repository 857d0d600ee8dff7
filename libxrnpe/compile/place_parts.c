// SPDX-License-Identifier: MIT
/*
 * Placing of nodes whose outputs are parts of what they read, or are made of such: no command where
 * strides serve, else a COPY for each part.
 */
#include "operators/families.h"
#include "place.h"

/* What is made of more parts takes more to set them up than to move them. */
#define MOST_PARTS 256
#define MANY_PARTS "is made of more than 256 parts"

enum image_axis place_axis(const struct graph_shape *shape, const struct image *image,
			   uint32_t axis, uint32_t *lines)
{
	enum image_axis found = image_axis(shape, image, axis);
	uint32_t first = image->first ? 2 : 0, last = shape->rank - (image->first ? 1 : 2);

	*lines = 1;
	if (found != IMAGE_NONE || shape->dims[axis] == 1 || axis < first || axis >= last)
		return found;
	for (uint32_t i = first; i < axis; i++) {
		if (shape->dims[i] > 1)
			return IMAGE_NONE;
	}
	*lines = image->h / shape->dims[axis];
	return IMAGE_H;
}

uint32_t *place_begin(struct image_part *part, enum image_axis axis)
{
	return axis == IMAGE_H ? &part->h : axis == IMAGE_W ? &part->w : &part->c;
}

/* The size of an image along an axis. */
static uint32_t *image_size(struct image *image, enum image_axis axis)
{
	return axis == IMAGE_H ? &image->h : axis == IMAGE_W ? &image->w : &image->c;
}

bool place_output_image(const struct placing *p, uint32_t i, const struct image *in,
			struct image *out)
{
	const struct graph_shape *shape = &graph_output(p->compiler->graph, p->node, i)->shape;

	return in->first ? image_first(shape, out) : image_last(shape, out);
}

/* Part @k: what of input 0 output @k is. */
static void set_part(struct placing *p, uint32_t k, const struct image_part *from,
		     const struct image *out)
{
	p->place->parts[k] = (struct place_part){
		.output = k, .from = *from, .to = IMAGE_WHOLE,
		.h = out->h, .w = out->w, .c = out->c,
	};
	place_write(p, k, out);
}

/* An axis along which elements lie in steps that strides do not have: each is a part. */
struct apart {
	enum image_axis axis;	/* IMAGE_NONE: there is none */
	uint32_t count, lines;	/* of each */
	int64_t start, step;
};

static void set_apart(struct placing *p, const struct apart *apart, const struct image_part *from,
		      const struct image *out)
{
	struct image one = *out;

	*image_size(&one, apart->axis) = apart->lines;
	for (uint32_t i = 0; i < apart->count; i++) {
		struct place_part *part = &p->place->parts[i];

		*part = (struct place_part){
			.from = *from, .to = IMAGE_WHOLE, .h = one.h, .w = one.w, .c = one.c,
		};
		*place_begin(&part->from, apart->axis) =
			(uint32_t)(apart->start + i * apart->step) * apart->lines;
		*place_begin(&part->to, apart->axis) = i * apart->lines;
	}
	place_write(p, 0, out);
}

const char *place_slice(struct placing *p)
{
	const struct graph_shape in_shape = place_input(p, 0)->shape;
	const struct graph_shape out_shape = place_output(p)->shape;
	struct image_part from = IMAGE_WHOLE;
	struct apart apart = { .axis = IMAGE_NONE };
	struct image in, out;

	if (!place_image(p, 0, &in) || !place_output_image(p, 0, &in, &out))
		return PLACE_TOO_LARGE;
	for (uint32_t i = 0; i < in_shape.rank; i++) {
		int64_t start = p->node->params.slice.start[i], step = p->node->params.slice.step[i];
		uint32_t lines;
		enum image_axis axis = place_axis(&in_shape, &in, i, &lines);

		if (out_shape.dims[i] == 1)
			step = 1;
		if (in_shape.dims[i] == out_shape.dims[i] && step == 1)
			continue;
		if (axis == IMAGE_NONE)
			return PLACE_NOT_ITS_AXES;
		if (step < 1 || step > UINT16_MAX || ((axis == IMAGE_C || lines > 1) && step > 1)) {
			if (apart.axis != IMAGE_NONE)
				return "takes elements in steps that strides do not have, along two axes";
			apart = (struct apart){ axis, out_shape.dims[i], lines, start, step };
			continue;
		}
		*place_begin(&from, axis) = (uint32_t)start * lines;
		if (axis == IMAGE_H)
			from.step_h = (uint32_t)step;
		else if (axis == IMAGE_W)
			from.step_w = (uint32_t)step;
	}
	if (apart.count > MOST_PARTS)
		return MANY_PARTS;
	place_exact(p, 0, &in);
	if (p->no_memory || !place_parts(p, apart.count ? PLACE_JOIN : PLACE_PART,
					 apart.count ? apart.count : 1))
		return NULL;
	if (apart.count)
		set_apart(p, &apart, &from, &out);
	else
		set_part(p, 0, &from, &out);
	return NULL;
}

const char *place_split(struct placing *p)
{
	const struct graph_shape shape = place_input(p, 0)->shape;
	uint32_t axis = p->node->params.axis, count = p->node->output_count, lines;
	struct image_part from = IMAGE_WHOLE;
	enum image_axis along;
	struct image in, out;

	if (!place_image(p, 0, &in))
		return PLACE_TOO_LARGE;
	along = place_axis(&shape, &in, axis, &lines);
	if (along == IMAGE_NONE)
		return PLACE_NOT_ITS_AXES;
	for (uint32_t k = 0; k < count; k++) {
		if (p->node->outputs[k] == GRAPH_NONE || !place_output_image(p, k, &in, &out))
			return "an output is not used";
	}
	place_exact(p, 0, &in);
	if (p->no_memory || !place_parts(p, PLACE_PART, count))
		return NULL;
	for (uint32_t k = 0; k < count; k++) {
		place_output_image(p, k, &in, &out);
		set_part(p, k, &from, &out);
		*place_begin(&from, along) +=
			graph_output(p->compiler->graph, p->node, k)->shape.dims[axis] * lines;
	}
	return NULL;
}

/* What is gathered lies as an image of the input's axes, of which one has other places. */
static struct image gathered(const struct image *in, enum image_axis along, uint32_t count)
{
	struct image out = *in;

	*image_size(&out, along) = count;
	return out;
}

/* The number of elements from @first on that @indices take one after the other. */
static uint32_t run_length(const int64_t *indices, uint32_t first, uint32_t count, uint32_t size)
{
	uint32_t length = 1;

	while (first + length < count && gather_index(indices[first + length], size) ==
					 gather_index(indices[first], size) + length)
		length++;
	return length;
}

/* Set a part for each run of indices; returns how many, of which there may be no room for all. */
static uint32_t set_runs(struct placing *p, enum image_axis along, uint32_t lines,
			 const struct image *in)
{
	uint32_t size = place_input(p, 0)->shape.dims[p->node->params.axis], runs = 0, length;
	uint32_t count = (uint32_t)graph_count(&place_input(p, 1)->shape);
	const int64_t *indices = place_input(p, 1)->data;

	for (uint32_t i = 0; i < count; i += length, runs++) {
		const uint32_t from = (uint32_t)gather_index(indices[i], size) * lines;
		struct image part;

		length = run_length(indices, i, count, size);
		if (runs >= p->place->part_count)
			continue;
		part = gathered(in, along, length * lines);
		p->place->parts[runs] = (struct place_part){
			.from = IMAGE_WHOLE, .to = IMAGE_WHOLE, .h = part.h, .w = part.w, .c = part.c,
		};
		*place_begin(&p->place->parts[runs].from, along) = from;
		*place_begin(&p->place->parts[runs].to, along) = i * lines;
	}
	return runs;
}

const char *place_gather(struct placing *p)
{
	const struct graph_shape shape = place_input(p, 0)->shape;
	uint32_t axis = p->node->params.axis, lines, runs;
	uint64_t count = graph_count(&place_input(p, 1)->shape);
	enum image_axis along;
	struct image in, out;

	if (!place_input(p, 1)->data)
		return "its indices are computed";
	if (!place_image(p, 0, &in))
		return PLACE_TOO_LARGE;
	along = place_axis(&shape, &in, axis, &lines);
	if (along == IMAGE_NONE)
		return PLACE_NOT_ITS_AXES;
	if (count * lines > UINT16_MAX)
		return PLACE_TOO_LARGE;
	runs = set_runs(p, along, lines, &in);
	if (runs > MOST_PARTS)
		return MANY_PARTS;
	out = gathered(&in, along, (uint32_t)count * lines);
	place_exact(p, 0, &in);
	if (p->no_memory || !place_parts(p, runs > 1 ? PLACE_JOIN : PLACE_PART, runs))
		return NULL;
	set_runs(p, along, lines, &in);
	place_write(p, 0, &out);
	return NULL;
}

const char *place_concat(struct placing *p)
{
	const struct graph_shape shape = place_output(p)->shape;
	uint32_t axis = p->node->params.axis, count = p->node->input_count, known = 0, lines;
	struct image_part to = IMAGE_WHOLE;
	enum image_axis along;
	struct image out, in;

	for (uint32_t k = 0; k < count; k++) {
		if (place_input(p, k)->data && !graph_is_bounded(place_input(p, k)))
			return place_unbounded(p);
	}
	/* As the first of them lies whose place is known. */
	while (known < count && !place_memory(p, known, &in))
		known++;
	if (!place_image(p, known < count ? known : 0, &in) || !place_output_image(p, 0, &in, &out))
		return PLACE_TOO_LARGE;
	along = place_axis(&shape, &out, axis, &lines);
	if (along == IMAGE_NONE)
		return PLACE_NOT_ITS_AXES;
	if (!place_parts(p, PLACE_JOIN, count))
		return NULL;
	for (uint32_t k = 0; !p->no_memory && k < count; k++) {
		const struct graph_shape part = place_input(p, k)->shape;

		if (!(out.first ? image_first(&part, &in) : image_last(&part, &in)))
			return PLACE_TOO_LARGE;
		p->place->parts[k] = (struct place_part){
			.input = k, .from = IMAGE_WHOLE, .to = to, .h = in.h, .w = in.w, .c = in.c,
		};
		*place_begin(&to, along) += part.dims[axis] * lines;
		place_exact(p, k, &in);
	}
	place_write(p, 0, &out);
	return NULL;
}

/* ---- repetition -------------------------------------------------------- */

const char *place_repetitions(struct placing *p, const struct image *in, const struct image *out,
			      const uint32_t repeats[3])
{
	uint64_t count = (uint64_t)repeats[IMAGE_H] * repeats[IMAGE_W] * repeats[IMAGE_C];

	if (count > MOST_PARTS)
		return MANY_PARTS;
	place_exact(p, 0, in);
	if (p->no_memory || !place_parts(p, PLACE_JOIN, (uint32_t)count))
		return NULL;
	for (uint32_t i = 0; i < count; i++) {
		struct image_part to = IMAGE_WHOLE;

		to.c = i % repeats[IMAGE_C] * in->c;
		to.w = i / repeats[IMAGE_C] % repeats[IMAGE_W] * in->w;
		to.h = i / repeats[IMAGE_C] / repeats[IMAGE_W] * in->h;
		p->place->parts[i] = (struct place_part){
			.from = IMAGE_WHOLE, .to = to, .h = in->h, .w = in->w, .c = in->c,
		};
	}
	place_write(p, 0, out);
	return NULL;
}

/* Elements along an axis that are next to each other in the input and in the output. */
struct run {
	uint32_t from, to, length;
};

/* The runs of Pad's axis @axis, from @in elements to @out; 0: they are too many. */
static uint32_t find_runs(const struct graph_node *node, uint32_t axis, uint32_t in, uint32_t out,
			  struct run runs[MOST_PARTS])
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < out; i++) {
		uint32_t from = pad_index(node, axis, in, i);

		if (count && runs[count - 1].from + runs[count - 1].length == from)
			runs[count - 1].length++;
		else if (count == MOST_PARTS)
			return 0;
		else
			runs[count++] = (struct run){ from, i, 1 };
	}
	return count;
}

/* A part for each run along all axes. */
static void set_frame(struct placing *p, struct run runs[3][MOST_PARTS], const uint32_t counts[3])
{
	for (uint32_t i = 0; i < p->place->part_count; i++) {
		const struct run *h = &runs[IMAGE_H][i / counts[IMAGE_C] / counts[IMAGE_W]];
		const struct run *w = &runs[IMAGE_W][i / counts[IMAGE_C] % counts[IMAGE_W]];
		const struct run *c = &runs[IMAGE_C][i % counts[IMAGE_C]];

		p->place->parts[i] = (struct place_part){
			.from = { h->from, w->from, c->from, 1, 1 }, .to = { h->to, w->to, c->to, 1, 1 },
			.h = h->length, .w = w->length, .c = c->length,
		};
	}
}

const char *place_frame(struct placing *p, const struct image *in, const struct image *out)
{
	const struct graph_shape from = place_input(p, 0)->shape, to = place_output(p)->shape;
	struct run runs[3][MOST_PARTS] = {
		[IMAGE_H] = { { 0, 0, in->h } }, [IMAGE_W] = { { 0, 0, in->w } },
		[IMAGE_C] = { { 0, 0, in->c } },
	};
	uint32_t counts[3] = { 1, 1, 1 };

	for (uint32_t i = 0; i < from.rank; i++) {
		enum image_axis axis = image_axis(&to, out, i);

		if (from.dims[i] == to.dims[i] && !p->node->params.pad.begin[i])
			continue;
		if (axis == IMAGE_NONE)
			return PLACE_NOT_ITS_AXES;
		counts[axis] = find_runs(p->node, i, from.dims[i], to.dims[i], runs[axis]);
	}
	if (counts[0] * counts[1] * counts[2] == 0 || counts[0] * counts[1] * counts[2] > MOST_PARTS)
		return MANY_PARTS;
	place_exact(p, 0, in);
	if (p->no_memory || !place_parts(p, PLACE_JOIN, counts[0] * counts[1] * counts[2]))
		return NULL;
	set_frame(p, runs, counts);
	place_write(p, 0, out);
	return NULL;
}

/* ---- blocks ------------------------------------------------------------ */

const char *place_blocks(struct placing *p, bool few_first)
{
	uint32_t size = p->node->params.block.size;
	struct image in, out, few, many;

	if (!image_first(&place_input(p, 0)->shape, &in) ||
	    !image_first(&place_output(p)->shape, &out))
		return PLACE_TOO_LARGE;
	few = few_first ? in : out;
	many = few_first ? out : in;
	if (!place_parts(p, PLACE_JOIN, size * size))
		return NULL;
	for (uint32_t i = 0; i < size * size; i++) {
		const struct image_part pixels = { i / size, i % size, 0, size, size };
		struct image_part channels = IMAGE_WHOLE;

		channels.c = i * few.c;
		p->place->parts[i] = (struct place_part){
			.from = few_first ? pixels : channels, .to = few_first ? channels : pixels,
			.h = many.h, .w = many.w, .c = few.c,
		};
	}
	place_exact(p, 0, &in);
	place_write(p, 0, &out);
	return NULL;
}

const char *place_space_to_depth(struct placing *p)
{
	return place_blocks(p, true);
}

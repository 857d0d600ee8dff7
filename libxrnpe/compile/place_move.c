// SPDX-License-Identifier: MIT
/* Placing of what only moves elements: no command at all where strides serve. */
#include <string.h>

#include "operators/families.h"
#include "place.h"

/* What is made of more parts takes more to set them up than to move them. */
#define MOST_PARTS 256
#define MANY_PARTS "is made of more than 256 parts"

/* ---- the same elements in the same order ------------------------------- */

const char *place_alias(struct placing *p)
{
	struct image image = { 0 };

	/* If nobody has decided yet how the input lies, a reader of the output may. */
	place_memory(p, 0, &image);
	place_same(p, 0, &image);
	return NULL;
}

/* ---- transposition ----------------------------------------------------- */

enum xrnpe_order place_order(const enum image_axis axes[3])
{
	static const enum image_axis orders[XRNPE_ORDERS][3] = {
		[XRNPE_ORDER_HWC] = { IMAGE_H, IMAGE_W, IMAGE_C },
		[XRNPE_ORDER_HCW] = { IMAGE_H, IMAGE_C, IMAGE_W },
		[XRNPE_ORDER_WHC] = { IMAGE_W, IMAGE_H, IMAGE_C },
		[XRNPE_ORDER_WCH] = { IMAGE_W, IMAGE_C, IMAGE_H },
		[XRNPE_ORDER_CHW] = { IMAGE_C, IMAGE_H, IMAGE_W },
		[XRNPE_ORDER_CWH] = { IMAGE_C, IMAGE_W, IMAGE_H },
	};
	enum xrnpe_order order = XRNPE_ORDER_HWC;

	while (order < XRNPE_ORDERS && memcmp(orders[order], axes, sizeof(orders[order])))
		order++;
	return order;
}

/*
 * Which axis of the output, as @out, each axis of the input, as @in, becomes; axes of one
 * element become those that are left. False: it cannot be told so.
 */
static bool transposed_axes(const struct placing *p, const struct image *in,
			    const struct image *out, enum image_axis axes[3])
{
	const struct graph_shape *from = &place_input(p, 0)->shape, *to = &place_output(p)->shape;
	bool taken[3] = { false };

	for (int i = 0; i < 3; i++)
		axes[i] = IMAGE_NONE;
	for (uint32_t i = 0; i < to->rank; i++) {
		enum image_axis a = image_axis(from, in, p->node->params.perm[i]);
		enum image_axis b = image_axis(to, out, i);

		if (to->dims[i] == 1)
			continue;
		if (a == IMAGE_NONE || b == IMAGE_NONE || axes[a] != IMAGE_NONE || taken[b])
			return false;
		axes[a] = b;
		taken[b] = true;
	}
	for (int i = 0; i < 3; i++) {
		for (int k = 0; k < 3 && axes[i] == IMAGE_NONE; k++) {
			/* As it was, rather than moved. */
			int b = (i + k) % 3;

			if (!taken[b]) {
				axes[i] = (enum image_axis)b;
				taken[b] = true;
			}
		}
	}
	return true;
}

/* COPY from @in to @out. */
static const char *copy(struct placing *p, const struct image *in, const struct image *out,
			enum xrnpe_order order, const struct xrnpe_dims_copy *dims)
{
	p->place->kind = PLACE_COPY;
	p->place->cmd.opcode = XRNPE_OP_COPY;
	p->place->cmd.order = (uint8_t)order;
	p->place->cmd.copy = *dims;
	place_read(p, 0, XRNPE_OPERAND_IFM, in);
	place_write(p, 0, out);
	return NULL;
}

/* A whole image that is copied to one of the same size. */
static struct xrnpe_dims_copy whole(const struct image *out)
{
	return (struct xrnpe_dims_copy){
		.in_h = (uint16_t)out->h, .in_w = (uint16_t)out->w, .in_c = (uint16_t)out->c,
		.out_h = (uint16_t)out->h, .out_w = (uint16_t)out->w, .out_c = (uint16_t)out->c,
		.up_h = 1, .up_w = 1,
	};
}

/* Whether input 0, as @in, can be the output, as @out, where it lies. */
static bool lies_as(const struct placing *p, const struct image *in, const struct image *out)
{
	enum image_axis axes[3];
	struct image memory;
	bool wide = false;

	return transposed_axes(p, in, out, axes) && place_order(axes) == XRNPE_ORDER_HWC &&
	       (!place_memory(p, 0, &memory) || (image_same(&memory, in, &wide) && !wide));
}

const char *place_transpose(struct placing *p)
{
	const struct graph_shape in_shape = place_input(p, 0)->shape, shape = place_output(p)->shape;
	struct xrnpe_dims_copy dims;
	enum image_axis axes[3];
	struct image in, out[2], memory;
	bool has[2], wide = false;

	if (!place_image(p, 0, &in))
		return place_permutation(p, &in_shape, p->node->params.perm);
	has[0] = image_first(&shape, &out[0]);
	has[1] = image_last(&shape, &out[1]);
	/* With channels on the other side of its shape it may be where it is. */
	for (int i = 0; i < 2; i++) {
		if (!has[i] || !lies_as(p, &in, &out[i]))
			continue;
		place_exact(p, 0, &in);
		if (!p->no_memory)
			place_same(p, 0, &out[i]);
		return NULL;
	}
	for (int k = 0, i = !in.first; k < 2; k++, i = !i) {
		if (!has[i] || !transposed_axes(p, &in, &out[i], axes) ||
		    (place_memory(p, 0, &memory) && !image_same(&memory, &in, &wide)))
			continue;
		dims = whole(&out[i]);
		return copy(p, &in, &out[i], place_order(axes), &dims);
	}
	return place_permutation(p, &in_shape, p->node->params.perm);
}

/* ---- parts ------------------------------------------------------------- */

/*
 * Which of an image's axes @axis of @shape is, as image_axis() says, or one that is the outermost
 * of several that make lines: then each element of it has *@lines.
 */
static enum image_axis axis_of(const struct graph_shape *shape, const struct image *image,
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

/* Where @part begins along an axis of an image. */
static uint32_t *begin_of(struct image_part *part, enum image_axis axis)
{
	return axis == IMAGE_H ? &part->h : axis == IMAGE_W ? &part->w : &part->c;
}

/* The image of output @i, with axes where the input, which is @in, has them. */
static bool output_image(const struct placing *p, uint32_t i, const struct image *in,
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

const char *place_slice(struct placing *p)
{
	const struct graph_shape in_shape = place_input(p, 0)->shape;
	const struct graph_shape out_shape = place_output(p)->shape;
	struct image_part from = IMAGE_WHOLE;
	struct image in, out;

	if (!place_image(p, 0, &in) || !output_image(p, 0, &in, &out))
		return PLACE_TOO_LARGE;
	for (uint32_t i = 0; i < in_shape.rank; i++) {
		int64_t start = p->node->params.slice.start[i], step = p->node->params.slice.step[i];
		uint32_t lines;
		enum image_axis axis = axis_of(&in_shape, &in, i, &lines);

		if (in_shape.dims[i] == out_shape.dims[i] && step == 1)
			continue;
		if (out_shape.dims[i] == 1)
			step = 1;
		if (axis == IMAGE_NONE)
			return PLACE_NOT_ITS_AXES;
		if (step < 1 || step > UINT16_MAX || ((axis == IMAGE_C || lines > 1) && step > 1))
			return "takes elements in steps that strides do not have";
		*begin_of(&from, axis) = (uint32_t)start * lines;
		if (axis == IMAGE_H)
			from.step_h = (uint32_t)step;
		else if (axis == IMAGE_W)
			from.step_w = (uint32_t)step;
	}
	place_exact(p, 0, &in);
	if (!p->no_memory && place_parts(p, PLACE_PART, 1))
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
	along = axis_of(&shape, &in, axis, &lines);
	if (along == IMAGE_NONE)
		return PLACE_NOT_ITS_AXES;
	for (uint32_t k = 0; k < count; k++) {
		if (p->node->outputs[k] == GRAPH_NONE || !output_image(p, k, &in, &out))
			return "an output is not used";
	}
	place_exact(p, 0, &in);
	if (p->no_memory || !place_parts(p, PLACE_PART, count))
		return NULL;
	for (uint32_t k = 0; k < count; k++) {
		output_image(p, k, &in, &out);
		set_part(p, k, &from, &out);
		*begin_of(&from, along) +=
			graph_output(p->compiler->graph, p->node, k)->shape.dims[axis] * lines;
	}
	return NULL;
}

/* What is gathered lies as an image of the input's axes, of which one has other places. */
static struct image gathered(const struct image *in, enum image_axis along, uint32_t count)
{
	struct image out = *in;

	*(along == IMAGE_H ? &out.h : along == IMAGE_W ? &out.w : &out.c) = count;
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
		*begin_of(&p->place->parts[runs].from, along) = from;
		*begin_of(&p->place->parts[runs].to, along) = i * lines;
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
	if (shape.dims[axis] == 1 && count == 1)
		return place_alias(p);
	along = axis_of(&shape, &in, axis, &lines);
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
			return PLACE_WIDE_CONSTANT;
	}
	/* As the first of them lies whose place is known. */
	while (known < count && !place_memory(p, known, &in))
		known++;
	if (!place_image(p, known < count ? known : 0, &in) || !output_image(p, 0, &in, &out))
		return PLACE_TOO_LARGE;
	along = axis_of(&shape, &out, axis, &lines);
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
		*begin_of(&to, along) += part.dims[axis] * lines;
		place_exact(p, k, &in);
	}
	place_write(p, 0, &out);
	return NULL;
}

/* ---- repetition -------------------------------------------------------- */

/* How often the input is there along each axis of an image, of which @in is; false: of others. */
static bool find_repeats(const struct graph_shape *from, const struct graph_shape *to,
			 const struct image *out, uint32_t repeats[3], bool *whole)
{
	*whole = true;
	for (uint32_t i = 0; i < to->rank; i++) {
		uint32_t lines;
		enum image_axis axis = axis_of(to, out, i, &lines);

		if (to->dims[i] == from->dims[i])
			continue;
		if (axis == IMAGE_NONE)
			return false;
		repeats[axis] *= to->dims[i] / from->dims[i];
		*whole &= axis != IMAGE_C && from->dims[i] == 1 && lines == 1 &&
			  repeats[axis] <= UINT8_MAX;
	}
	return true;
}

/* A part for each repetition. */
static const char *repeat(struct placing *p, const struct image *in, const struct image *out,
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

/* Tile and Expand: a single pixel or line in one command. */
const char *place_repeat(struct placing *p)
{
	const struct graph_shape from = place_input(p, 0)->shape, to = place_output(p)->shape;
	uint32_t repeats[3] = { 1, 1, 1 };
	struct xrnpe_dims_copy dims;
	struct image in, out;
	bool at_once;

	if (from.rank != to.rank)
		return "adds axes to its input";
	if (!place_image(p, 0, &in) || !output_image(p, 0, &in, &out))
		return PLACE_TOO_LARGE;
	if (!find_repeats(&from, &to, &out, repeats, &at_once))
		return PLACE_NOT_ITS_AXES;
	if (!at_once)
		return repeat(p, &in, &out, repeats);
	dims = whole(&out);
	dims.in_h = (uint16_t)in.h;
	dims.in_w = (uint16_t)in.w;
	dims.up_h = (uint8_t)repeats[IMAGE_H];
	dims.up_w = (uint8_t)repeats[IMAGE_W];
	return copy(p, &in, &out, XRNPE_ORDER_HWC, &dims);
}

/* ---- borders and enlargement ------------------------------------------- */

const char *place_pad(struct placing *p)
{
	const struct graph_shape in_shape = place_input(p, 0)->shape;
	const struct graph_shape out_shape = place_output(p)->shape;
	struct image_part before = IMAGE_WHOLE;
	struct xrnpe_dims_copy dims;
	struct image in, out;

	if (place_input(p, 2) && !place_constant(p, 2))
		return "what it pads with is computed";
	if (p->node->params.pad.mode)
		return "the device pads with a constant only";
	if (!place_image(p, 0, &in) || !output_image(p, 0, &in, &out))
		return PLACE_TOO_LARGE;
	for (uint32_t i = 0; i < in_shape.rank; i++) {
		int64_t begin = p->node->params.pad.begin[i];
		/* An axis of one element grows to one of the image's, too. */
		enum image_axis axis = image_axis(&out_shape, &out, i);

		if (in_shape.dims[i] == out_shape.dims[i] && !begin)
			continue;
		if (begin < 0 || (uint64_t)begin + in_shape.dims[i] > out_shape.dims[i])
			return "cuts elements off";
		if (axis == IMAGE_NONE)
			return PLACE_NOT_ITS_AXES;
		*begin_of(&before, axis) = (uint32_t)begin;
	}
	dims = whole(&out);
	dims.in_h = (uint16_t)in.h;
	dims.in_w = (uint16_t)in.w;
	dims.in_c = (uint16_t)in.c;
	dims.pad_h = (uint16_t)before.h;
	dims.pad_w = (uint16_t)before.w;
	dims.pad_c = (uint16_t)before.c;
	p->place->fill = place_constant(p, 2) ? *place_constant(p, 2) : p->node->params.pad.value;
	return copy(p, &in, &out, XRNPE_ORDER_HWC, &dims);
}

const char *place_resize(struct placing *p)
{
	const struct graph_shape shape = place_input(p, 0)->shape;
	const struct graph_shape out_shape = place_output(p)->shape;
	uint32_t up[4] = { 1, 1, 1, 1 };
	bool repeats = true;
	struct xrnpe_dims_copy dims;
	struct image in, out;

	if (!place_image(p, 0, &in) || !output_image(p, 0, &in, &out))
		return PLACE_TOO_LARGE;
	for (uint32_t i = 0; i < shape.rank; i++) {
		uint32_t times = resize_repeats(p->node, i, shape.dims[i], out_shape.dims[i]);
		enum image_axis axis = image_axis(&out_shape, &out, i);

		if (times == 1)
			continue;
		if (axis == IMAGE_NONE || axis == IMAGE_C)
			return PLACE_NOT_ITS_AXES;
		repeats &= times && times <= UINT8_MAX;
		up[axis] = times;
	}
	if (!repeats)
		return place_interpolation(p, &in, &out);
	dims = whole(&out);
	dims.in_h = (uint16_t)in.h;
	dims.in_w = (uint16_t)in.w;
	dims.up_h = (uint8_t)up[IMAGE_H];
	dims.up_w = (uint8_t)up[IMAGE_W];
	return copy(p, &in, &out, XRNPE_ORDER_HWC, &dims);
}

/*
 * One copy for each place in a block, between the image of few channels, whose pixels
 * are apart, and that of many. @few_first: the input is the former
 */
static const char *place_blocks(struct placing *p, bool few_first)
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

const char *place_depth_to_space(struct placing *p)
{
	const struct graph_shape shape = place_output(p)->shape;
	uint32_t size = p->node->params.block.size;

	if (!p->node->params.block.column_row_depth)
		return place_blocks(p, false);
	return place_permutation(p, &(struct graph_shape){ 6, {
		shape.dims[0], shape.dims[1], size, size, shape.dims[2] / size, shape.dims[3] / size,
	} }, (const uint32_t[]){ 0, 1, 4, 2, 5, 3 });
}

const char *place_space_to_depth(struct placing *p)
{
	return place_blocks(p, true);
}

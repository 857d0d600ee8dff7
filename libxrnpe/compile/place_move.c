// SPDX-License-Identifier: MIT
/* Placing of what only moves elements: no command at all where strides serve. */
#include <string.h>

#include "operators/families.h"
#include "place.h"

#define NOT_ITS_AXES "moves along an axis that its image does not have"

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

/* The order by whose name rows, pixels and elements of the input are these of the output. */
static enum xrnpe_order order_of(const enum image_axis axes[3])
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

	return transposed_axes(p, in, out, axes) && order_of(axes) == XRNPE_ORDER_HWC &&
	       (!place_memory(p, 0, &memory) || (image_same(&memory, in, &wide) && !wide));
}

const char *place_transpose(struct placing *p)
{
	const struct graph_shape shape = place_output(p)->shape;
	struct xrnpe_dims_copy dims;
	enum image_axis axes[3];
	struct image in, out[2];
	bool has[2];

	if (!place_image(p, 0, &in))
		return PLACE_TOO_LARGE;
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
		if (!has[i] || !transposed_axes(p, &in, &out[i], axes))
			continue;
		dims = whole(&out[i]);
		return copy(p, &in, &out[i], order_of(axes), &dims);
	}
	return NOT_ITS_AXES;
}

/* ---- parts ------------------------------------------------------------- */

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
		enum image_axis axis = image_axis(&in_shape, &in, i);

		if (in_shape.dims[i] == out_shape.dims[i] && step == 1)
			continue;
		if (out_shape.dims[i] == 1)
			step = 1;
		if (axis == IMAGE_NONE)
			return NOT_ITS_AXES;
		if (step < 1 || step > UINT16_MAX || (axis == IMAGE_C && step > 1))
			return "takes elements in steps that strides do not have";
		*begin_of(&from, axis) = (uint32_t)start;
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
	uint32_t axis = p->node->params.axis, count = p->node->output_count;
	struct image_part from = IMAGE_WHOLE;
	enum image_axis along;
	struct image in, out;

	if (!place_image(p, 0, &in))
		return PLACE_TOO_LARGE;
	along = image_axis(&shape, &in, axis);
	if (along == IMAGE_NONE)
		return NOT_ITS_AXES;
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
		*begin_of(&from, along) += graph_output(p->compiler->graph, p->node, k)->shape.dims[axis];
	}
	return NULL;
}

const char *place_concat(struct placing *p)
{
	const struct graph_shape shape = place_output(p)->shape;
	uint32_t axis = p->node->params.axis, count = p->node->input_count, known = 0;
	struct image_part to = IMAGE_WHOLE;
	enum image_axis along;
	struct image out, in;

	for (uint32_t k = 0; k < count; k++) {
		if (place_input(p, k)->data)
			return "a part is constant";
	}
	/* As the first of them lies whose place is known. */
	while (known < count && !place_memory(p, known, &in))
		known++;
	if (!place_image(p, known < count ? known : 0, &in) || !output_image(p, 0, &in, &out))
		return PLACE_TOO_LARGE;
	along = image_axis(&shape, &out, axis);
	if (along == IMAGE_NONE)
		return NOT_ITS_AXES;
	if (!place_parts(p, PLACE_JOIN, count))
		return NULL;
	for (uint32_t k = 0; !p->no_memory && k < count; k++) {
		const struct graph_shape part = place_input(p, k)->shape;

		if (!(out.first ? image_first(&part, &in) : image_last(&part, &in)))
			return PLACE_TOO_LARGE;
		p->place->parts[k] = (struct place_part){
			.input = k, .from = IMAGE_WHOLE, .to = to, .h = in.h, .w = in.w, .c = in.c,
		};
		*begin_of(&to, along) += part.dims[axis];
		place_exact(p, k, &in);
	}
	place_write(p, 0, &out);
	return NULL;
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
			return NOT_ITS_AXES;
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
			return NOT_ITS_AXES;
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
	return p->node->params.block.column_row_depth ? "channels of a pixel are apart" :
							place_blocks(p, false);
}

const char *place_space_to_depth(struct placing *p)
{
	return place_blocks(p, true);
}

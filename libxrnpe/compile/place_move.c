// SPDX-License-Identifier: MIT
/* Placing of what only moves elements: another name of the same memory, or a COPY. */
#include <string.h>

#include "operators/families.h"
#include "place.h"

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

/* ---- repetition -------------------------------------------------------- */

/* How often the input is there along each axis of an image, of which @in is; false: of others. */
static bool find_repeats(const struct graph_shape *from, const struct graph_shape *to,
			 const struct image *out, uint32_t repeats[3], bool *whole)
{
	*whole = true;
	for (uint32_t i = 0; i < to->rank; i++) {
		uint32_t lines;
		enum image_axis axis = place_axis(to, out, i, &lines);

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
	if (!place_image(p, 0, &in) || !place_output_image(p, 0, &in, &out))
		return PLACE_TOO_LARGE;
	if (!find_repeats(&from, &to, &out, repeats, &at_once))
		return PLACE_NOT_ITS_AXES;
	if (!at_once)
		return place_repetitions(p, &in, &out, repeats);
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
	float fill;

	if (place_input(p, 2) && !place_constant(p, 2))
		return "what it pads with is computed";
	if (!place_image(p, 0, &in) || !place_output_image(p, 0, &in, &out))
		return PLACE_TOO_LARGE;
	if (p->node->params.pad.mode)
		return place_frame(p, &in, &out);
	fill = place_constant(p, 2) ? *place_constant(p, 2) : p->node->params.pad.value;
	if (!graph_bounds(fill))
		return place_unbounded(p);
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
		*place_begin(&before, axis) = (uint32_t)begin;
	}
	dims = whole(&out);
	dims.in_h = (uint16_t)in.h;
	dims.in_w = (uint16_t)in.w;
	dims.in_c = (uint16_t)in.c;
	dims.pad_h = (uint16_t)before.h;
	dims.pad_w = (uint16_t)before.w;
	dims.pad_c = (uint16_t)before.c;
	p->place->fill = fill;
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

	if (resize_is_filter(p->node))
		return p->whole;
	if (!place_image(p, 0, &in) || !place_output_image(p, 0, &in, &out))
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

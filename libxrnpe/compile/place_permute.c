// SPDX-License-Identifier: MIT
/*
 * Placing of transpositions of any axes, from memory to memory: a COPY moves three of them, so
 * there is one for each place along the others. What lies next to each other before and after
 * counts as one axis.
 */
#include <string.h>

#include "place.h"

/* A node of more copies takes more to set them up than to move anything. */
#define MOST_COPIES 512

/* An axis, or a part of one, and the elements in memory from one to the next along it. */
struct axis {
	uint32_t dim;		/* of the input */
	size_t count, in, out;
};

/* Those of a shape, and of each up to two that divide it. */
#define MOST_AXES (GRAPH_MAX_RANK + 2)

struct axes {
	struct axis axis[MOST_AXES];
	uint32_t count;
};

/* ---- strides ----------------------------------------------------------- */

/* Let no axis be of channels and of pixels: the outermost ones have @channels elements. */
static bool divide(struct axes *axes, size_t channels)
{
	size_t before = 1;
	uint32_t i = 0;

	while (i < axes->count && before * axes->axis[i].count <= channels)
		before *= axes->axis[i++].count;
	if (before == channels)
		return true;
	if (i == axes->count || channels % before || before * axes->axis[i].count % channels)
		return false;
	memmove(&axes->axis[i + 1], &axes->axis[i], (axes->count++ - i) * sizeof(*axes->axis));
	axes->axis[i].count = channels / before;
	axes->axis[i + 1].count /= axes->axis[i].count;
	axes->axis[i].in *= axes->axis[i + 1].count;
	return true;
}

/* Set the strides of axes in C order, whose elements lie as @image; @write: those of the output. */
static bool set_strides(struct axes *axes, const struct image *image, bool write)
{
	size_t channels = image->first && image_pixels(image) > 1 ? image->c : 1, stride;

	if (!divide(axes, channels))
		return false;
	stride = channels;
	for (uint32_t i = axes->count, rest = (uint32_t)image_pixels(image); i--;) {
		if (channels > 1 && rest == 1)
			stride = channels = 1;
		*(write ? &axes->axis[i].out : &axes->axis[i].in) = stride;
		stride *= axes->axis[i].count;
		rest = channels > 1 ? rest / (uint32_t)axes->axis[i].count : rest;
	}
	return true;
}

/* The axes of @shape, which lies as @in, in the order of @perm, as which it is to lie as @out. */
static bool find_axes(const struct graph_shape *shape, const uint32_t *perm, const struct image *in,
		      const struct image *out, struct axes *axes)
{
	struct axes before = { .count = 0 };

	for (uint32_t i = 0; i < shape->rank; i++) {
		if (shape->dims[i] > 1)
			before.axis[before.count++] = (struct axis){ .dim = i, .count = shape->dims[i] };
	}
	if (!set_strides(&before, in, false))
		return false;
	axes->count = 0;
	for (uint32_t i = 0; i < shape->rank; i++) {
		for (uint32_t k = 0; k < before.count; k++) {
			if (before.axis[k].dim == perm[i])
				axes->axis[axes->count++] = before.axis[k];
		}
	}
	return set_strides(axes, out, true);
}

/* ---- the order of memory ----------------------------------------------- */

static void sort(struct axes *axes)
{
	for (uint32_t i = 1; i < axes->count; i++) {
		for (uint32_t k = i; k && axes->axis[k - 1].out < axes->axis[k].out; k--) {
			struct axis later = axes->axis[k - 1];

			axes->axis[k - 1] = axes->axis[k];
			axes->axis[k] = later;
		}
	}
}

/* Make one of two axes that follow each other in both memories. */
static void join(struct axes *axes)
{
	uint32_t last = 0;

	for (uint32_t i = 1; i < axes->count; i++) {
		struct axis *a = &axes->axis[last], *b = &axes->axis[i];
		bool follows = a->in == b->in * b->count && a->out == b->out * b->count &&
			       a->count * b->count <= UINT16_MAX;

		if (follows)
			b->count *= a->count;
		axes->axis[follows ? last : ++last] = *b;
	}
	axes->count = axes->count ? last + 1 : 0;
}

/* ---- commands ---------------------------------------------------------- */

/* The axes of one COPY, by the output's; those that are left are counted through by pieces. */
struct copied {
	struct axis axis[3];
	enum image_axis in[3];	/* which of them the input's rows, pixels and elements are */
};

/* Take the axis out, whose index is @i; one of a single element if there is none. */
static struct axis take(struct axes *axes, uint32_t i)
{
	struct axis taken = { .count = 1 };

	if (i < axes->count) {
		taken = axes->axis[i];
		memmove(&axes->axis[i], &axes->axis[i + 1], (--axes->count - i) * sizeof(*axes->axis));
	}
	return taken;
}

static uint32_t longest(const struct axes *axes)
{
	uint32_t found = 0;

	for (uint32_t i = 1; i < axes->count; i++)
		found = axes->axis[i].count > axes->axis[found].count ? i : found;
	return found;
}

/* The axis along which elements are next to each other in the input. */
static uint32_t innermost(const struct axes *axes)
{
	uint32_t i = 0;

	while (i < axes->count && axes->axis[i].in != 1)
		i++;
	return i;
}

/*
 * Elements are next to each other along the last axis in the output, and along another one, or
 * the same, in the input. Lines of the output are farther apart than pixels.
 */
static struct copied take_three(struct axes *axes)
{
	struct copied copied = { .in = { IMAGE_H, IMAGE_W, IMAGE_C } };
	struct axis a, b;

	copied.axis[IMAGE_C] = take(axes, axes->count - 1);
	a = take(axes, copied.axis[IMAGE_C].in == 1 ? longest(axes) : innermost(axes));
	b = take(axes, longest(axes));
	copied.axis[IMAGE_H] = a.out > b.out ? a : b;
	copied.axis[IMAGE_W] = a.out > b.out ? b : a;
	if (copied.axis[IMAGE_C].in != 1) {
		copied.in[IMAGE_H] = a.out > b.out ? IMAGE_W : IMAGE_H;
		copied.in[IMAGE_W] = IMAGE_C;
		copied.in[IMAGE_C] = a.out > b.out ? IMAGE_H : IMAGE_W;
	}
	return copied;
}

/* From @first on, lines and pixels so many elements apart, of which @each are next to each other. */
static struct image_part apart(size_t first, size_t line, size_t pixel, size_t each)
{
	return (struct image_part){
		.h = (uint32_t)(first / each), .step_h = line ? (uint32_t)(line / each) : 1,
		.step_w = pixel ? (uint32_t)(pixel / each) : 1,
	};
}

/* A piece for each place along @axes. */
static void set_pieces(struct placing *p, const struct axes *axes, const struct copied *copied)
{
	const struct axis *lines = &copied->axis[copied->in[IMAGE_H]];
	const struct axis *pixels = &copied->axis[copied->in[IMAGE_W]];
	const struct axis *h = &copied->axis[IMAGE_H], *w = &copied->axis[IMAGE_W];

	for (uint32_t k = 0; k < p->place->piece_count; k++) {
		size_t in = 0, out = 0, rest = k;

		for (uint32_t i = axes->count; i--; rest /= axes->axis[i].count) {
			in += rest % axes->axis[i].count * axes->axis[i].in;
			out += rest % axes->axis[i].count * axes->axis[i].out;
		}
		p->place->pieces[k].from = apart(in, lines->in, pixels->in, p->place->reads[0].image.c);
		p->place->pieces[k].to = apart(out, h->out, w->out, p->place->write.c);
	}
}

/* Packed elements, of which @each are next to each other. */
static struct image runs_of(const struct image *memory, size_t each)
{
	return (struct image){ (uint32_t)(image_count(memory) / each), 1, (uint32_t)each, false };
}

/* The commands that copy @axes from @in to @out. */
static void copy_axes(struct placing *p, struct axes *axes, uint32_t pieces, const struct image *in,
		      const struct image *out)
{
	const struct copied copied = take_three(axes);
	const uint16_t h = (uint16_t)copied.axis[IMAGE_H].count, w = (uint16_t)copied.axis[IMAGE_W].count;
	const uint16_t c = (uint16_t)copied.axis[IMAGE_C].count;
	struct tensor_plan *tensors;
	struct image view;

	p->place->kind = PLACE_COPY;
	p->place->cmd.opcode = XRNPE_OP_COPY;
	p->place->cmd.order = (uint8_t)place_order(copied.in);
	p->place->cmd.copy = (struct xrnpe_dims_copy){
		.in_h = h, .in_w = w, .in_c = c, .out_h = h, .out_w = w, .out_c = c, .up_h = 1, .up_w = 1,
	};
	view = runs_of(in, copied.axis[copied.in[IMAGE_C]].count);
	p->lies = *in;
	place_read(p, 0, XRNPE_OPERAND_IFM, &view);
	place_write(p, 0, out);
	p->place->write = runs_of(out, c);
	if (p->no_memory || !place_in_pieces(p, pieces))
		return;
	tensors = p->compiler->tensors;
	tensors[tensors[p->node->inputs[0]].same].wide |= c % 2 || out->c % 2;
	set_pieces(p, axes, &copied);
}

/* ---- nodes ------------------------------------------------------------- */

/* The tensor that output 0 is under the last of its names, if nobody reads it by another. */
static uint32_t last_name(const struct placing *p)
{
	const struct xrnpe_graph *source = p->compiler->source;
	uint32_t tensor = p->node->outputs[0];

	for (uint32_t n = 0; n < source->node_count; n++) {
		const struct graph_node *node = &source->nodes[n];

		if (node->input_count && node->inputs[0] == tensor && place_is_alias(node->op->name))
			tensor = node->outputs[0];
	}
	return tensor;
}

/*
 * How the output is to lie: as images do if it is one to those that read it, or if the input,
 * which lies as @in, does.
 */
static bool find_output(const struct placing *p, const struct image *in, struct image *out)
{
	uint32_t tensor = last_name(p);
	const struct graph_shape *shape = &p->compiler->graph->tensors[tensor].shape;

	return ((shape->rank > 2 && (in->first || place_is_image(p->compiler, tensor)) &&
		 image_first(shape, out)) || image_last(shape, out));
}

const char *place_permutation(struct placing *p, const struct graph_shape *shape,
			      const uint32_t *perm)
{
	struct image in, out;
	struct axes axes, left;
	size_t pieces = 1;

	if ((!place_memory(p, 0, &in) && !place_image(p, 0, &in)) || !find_output(p, &in, &out))
		return PLACE_TOO_LARGE;
	if (!find_axes(shape, perm, &in, &out, &axes))
		return PLACE_NOT_ITS_AXES;
	sort(&axes);
	join(&axes);
	for (uint32_t i = 0; i < axes.count; i++) {
		if (axes.axis[i].count > UINT16_MAX)
			return PLACE_TOO_LARGE;
	}
	left = axes;
	take_three(&left);
	for (uint32_t i = 0; i < left.count; i++)
		pieces *= left.axis[i].count;
	if (pieces > MOST_COPIES)
		return "is made of more than 512 copies";
	copy_axes(p, &axes, (uint32_t)pieces, &in, &out);
	return NULL;
}

// SPDX-License-Identifier: MIT
/*
 * Resizing by filters of any number of taps, one axis after the other: cubic, and what is made wide
 * to see all that it leaves out (antialias); and by what crops, which may see nothing.
 */
#include <math.h>
#include <stdlib.h>

#include "cubic.h"
#include "families.h"
#include "resize.h"
#include "vectors.h"

/* Whether it takes a part of its input, or more than there is. */
static bool resize_crops(const struct graph_node *node)
{
	return node->params.resize.coordinates == TF_CROP_AND_RESIZE;
}

bool resize_is_filter(const struct graph_node *node)
{
	return node->params.resize.mode == RESIZE_CUBIC || node->params.resize.antialias ||
	       resize_crops(node);
}

/* ---- taps -------------------------------------------------------------- */

/* Taps of an element: @count elements from @first on, which may be outside. */
struct taps {
	int64_t first;
	uint32_t count;
};

/* How much wider than between neighbours a filter is along @axis, at most 1: its inverse. */
static double narrowing(const struct graph_node *node, uint32_t axis)
{
	return node->params.resize.antialias ? fmin(node->params.resize.scale[axis], 1) : 1;
}

/* Of taps on each side. */
static double reach(const struct graph_node *node, uint32_t axis)
{
	double widest = node->params.resize.mode == RESIZE_CUBIC ? 2 : 1;

	return ceil(widest / narrowing(node, axis));
}

static double kernel(const struct graph_node *node, double x)
{
	return node->params.resize.mode == RESIZE_LINEAR ? fmax(1 - fabs(x), 0) :
							   cubic_weight(node->params.resize.cubic, x);
}

/*
 * The taps of what lies at @at among @in elements; their weights sum to one. Where none of them is
 * inside it is the nearest element.
 */
static struct taps find_taps(const struct graph_node *node, uint32_t axis, uint32_t in, double at,
			     float *weights)
{
	double below = floor(at), sum = 0, narrow = narrowing(node, axis);
	int64_t side = (int64_t)reach(node, axis);
	struct taps taps = { (int64_t)below - side + 1, (uint32_t)(2 * side) };

	if (node->params.resize.mode == RESIZE_NEAREST) {
		*weights = 1;
		return (struct taps){ resize_nearest(node, axis, in, at), 1 };
	}
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t k = 0; k < taps.count; k++) {
			int64_t i = taps.first + k;
			bool counts = !node->params.resize.exclude || (i >= 0 && i < in);
			double weight = counts ? kernel(node, ((double)i - at) * narrow) : 0;

			if (pass)
				weights[k] = (float)(weight / sum);
			else
				sum += weight;
		}
		if (sum == 0) {
			*weights = 1;
			return (struct taps){ resize_nearest(node, axis, in, at), 1 };
		}
	}
	return taps;
}

/* Of what is cropped, whether it has no value. */
static bool is_outside(const struct graph_node *node, uint32_t in, double at)
{
	return resize_crops(node) && (at < 0 || at > in - 1);
}

bool resize_fills(const struct graph_node *node, uint32_t axis, uint32_t in, uint32_t out)
{
	bool outside = false;

	for (uint32_t i = 0; i < out; i++)
		outside |= is_outside(node, in, resize_source(node, axis, in, out, i));
	return outside && node->params.resize.outside != 0;
}

bool resize_moves(const struct graph_node *node, uint32_t axis)
{
	return node->params.resize.scale[axis] != 1 ||
	       (resize_crops(node) && (node->params.resize.begin[axis] != 0 ||
				       node->params.resize.end[axis] != 1));
}

bool resize_matrix(const struct graph_node *node, uint32_t axis, uint32_t in, uint32_t out, float *matrix)
{
	size_t most = resize_is_filter(node) ? (size_t)(2 * reach(node, axis)) : 2;
	float *weights = malloc(most * sizeof(*weights));
	bool made = weights;

	for (size_t i = 0; i < (size_t)in * out; i++)
		matrix[i] = 0;
	for (uint32_t i = 0; made && i < out; i++, matrix += in) {
		double at = resize_source(node, axis, in, out, i);
		struct taps taps = { .count = 2 };

		if (is_outside(node, in, at))
			continue;
		if (resize_is_filter(node))
			taps = find_taps(node, axis, in, at, weights);
		else
			taps.first = resize_weights(node, axis, in, out, i, weights);
		for (uint32_t k = 0; k < taps.count; k++) {
			int64_t tap = taps.first + k;

			matrix[tap < 0 ? 0 : tap < in ? tap : in - 1] += weights[k];
		}
	}
	free(weights);
	return made;
}

/* ---- one axis after the other ------------------------------------------ */

int resize_prepare_filter(const struct op *op, const struct graph_shape *shape)
{
	struct graph_shape between = op_input(op, 0)->shape;
	size_t largest = 0, most = 1;

	for (uint32_t axis = 0; axis < shape->rank; axis++) {
		size_t count = 1;
		double taps = 2 * reach(op->node, axis);

		between.dims[axis] = shape->dims[axis];
		for (uint32_t i = 0; i < shape->rank; i++) {
			if (__builtin_mul_overflow(count, (size_t)between.dims[i], &count) ||
			    count > GRAPH_MAX_ELEMENTS)
				return op_fail(op, -ENOTSUP, "is too large along the axes before %u", axis);
		}
		if (taps > (double)GRAPH_MAX_ELEMENTS)
			return op_fail(op, -ENOTSUP, "has too many taps along axis %u", axis);
		largest = count > largest ? count : largest;
		most = taps > (double)most ? (size_t)taps : most;
	}
	op->node->scratch = (2 * largest + most) * sizeof(float);
	return 0;
}

VECTORS
static void add_line(const float *restrict in, float weight, bool first, size_t count,
		     float *restrict out)
{
	for (size_t i = 0; i < count; i++)
		out[i] = first ? in[i] * weight : out[i] + in[i] * weight;
}

/* Along @axis, from @shape to @size elements; of these, @inner are side by side. */
static void filter_axis(const struct graph_node *node, const struct graph_shape *shape, uint32_t axis,
			uint32_t size, const float *in, float *weights, float *out)
{
	size_t inner = 1, outer = 1, from = shape->dims[axis];

	for (uint32_t i = 0; i < shape->rank; i++)
		*(i < axis ? &outer : &inner) *= i == axis ? 1 : shape->dims[i];
	for (uint32_t i = 0; i < size; i++) {
		double at = resize_source(node, axis, (uint32_t)from, size, i);
		/* What is outside is replaced in the end. */
		struct taps taps = find_taps(node, axis, (uint32_t)from,
					     is_outside(node, (uint32_t)from, at) ? 0 : at, weights);

		for (size_t o = 0; o < outer; o++) {
			bool first = true;

			for (uint32_t k = 0; k < taps.count; k++) {
				int64_t tap = taps.first + k;

				if (weights[k] == 0)
					continue;
				tap = tap < 0 ? 0 : tap >= (int64_t)from ? (int64_t)from - 1 : tap;
				add_line(in + (o * from + (size_t)tap) * inner, weights[k], first, inner,
					 out + (o * size + i) * inner);
				first = false;
			}
		}
	}
}

/* What comes from outside the input along any axis. */
static void fill_outside(const struct op_call *call)
{
	const struct graph_shape *in = &call_input(call, 0)->shape;
	const struct graph_shape *out = &call_output(call, 0)->shape;
	float *result = call_out(call, 0);

	for (size_t i = 0; i < graph_count(out); i++) {
		size_t rest = i;

		for (uint32_t axis = out->rank; axis--; rest /= out->dims[axis]) {
			double at = resize_source(call->node, axis, in->dims[axis], out->dims[axis],
						  (uint32_t)(rest % out->dims[axis]));

			if (is_outside(call->node, in->dims[axis], at))
				result[i] = call->node->params.resize.outside;
		}
	}
}

void resize_filter(const struct op_call *call)
{
	const struct graph_node *node = call->node;
	const struct graph_shape *out = &call_output(call, 0)->shape;
	struct graph_shape shape = call_input(call, 0)->shape;
	float *buffers[2] = { call->scratch, NULL }, *weights;
	const float *in = call_in(call, 0);
	size_t largest = 0;

	for (uint32_t axis = 0; axis < out->rank; axis++) {
		shape.dims[axis] = out->dims[axis];
		largest = graph_count(&shape) > largest ? graph_count(&shape) : largest;
	}
	buffers[1] = buffers[0] + largest;
	weights = buffers[1] + largest;
	shape = call_input(call, 0)->shape;
	for (uint32_t axis = 0, used = 0; axis < out->rank; axis++) {
		if (!resize_moves(node, axis))
			continue;
		filter_axis(node, &shape, axis, out->dims[axis], in, weights, buffers[used]);
		shape.dims[axis] = out->dims[axis];
		in = buffers[used];
		used = !used;
	}
	memcpy(call_out(call, 0), in, graph_count(out) * sizeof(float));
	if (node->params.resize.coordinates == TF_CROP_AND_RESIZE)
		fill_outside(call);
}

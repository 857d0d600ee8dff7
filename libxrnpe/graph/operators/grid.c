// SPDX-License-Identifier: MIT
/*
 * GridSample: each pixel of the output is one of the input at a place that a tensor tells, between
 * -1 and 1 along either axis, or made of those around it.
 */
#include <math.h>

#include "cubic.h"
#include "families.h"

enum { ZEROS, BORDER, REFLECTION };

/* Pixels that are taken along each axis. */
#define MOST_TAPS 4

static int infer_grid_sample(const struct op *op)
{
	/* As both versions of it call them. */
	static const uint32_t taps[] = { 2, 2, 1, 4, 4 };
	const struct graph_shape *in = &op_input(op, 0)->shape, *grid;
	struct graph_shape out;
	uint32_t mode;
	bool corners;
	int ret = op_check_input(op, 0, GRAPH_FLOAT, "input");

	if (!ret)
		ret = op_check_input(op, 1, GRAPH_FLOAT, "grid");
	if (!ret)
		ret = op_choice(op, "mode", "linear bilinear nearest cubic bicubic", &mode);
	if (!ret)
		ret = op_choice(op, "padding_mode", "zeros border reflection",
				&op->node->params.sample.padding);
	if (!ret)
		ret = op_bool(op, "align_corners", false, &corners);
	if (ret)
		return ret;
	grid = &op_input(op, 1)->shape;
	if (in->rank != 4 && in->rank == grid->rank)
		return op_fail(op, -ENOTSUP, "input is of rank %u; supported is 4", in->rank);
	if (in->rank != 4 || grid->rank != 4 || in->dims[0] != grid->dims[0] || grid->dims[3] != 2 ||
	    !in->dims[2] || !in->dims[3])
		return op_fail(op, -EINVAL, "grid does not fit the input");
	op->node->params.sample.taps = taps[mode];
	op->node->params.sample.corners = corners;
	out = (struct graph_shape){ 4, { in->dims[0], in->dims[1], grid->dims[1], grid->dims[2] } };
	return op_output(op, 0, GRAPH_FLOAT, &out);
}

/* ---- places ------------------------------------------------------------ */

/* @at, as often as it takes mirrored at @lo and @hi, to lie between them. */
static float reflect(float at, float lo, float hi)
{
	double range = (double)hi - lo, past = at < lo ? (double)lo - at : (double)at - hi, whole, rest;

	if (isnan(at) || (at >= lo && at <= hi))
		return at;
	if (range <= 0)
		return lo;
	whole = floor(past / range);
	rest = past - whole * range;
	/* Rounding may leave it outside; of infinity it makes a NaN. */
	rest = rest < 0 ? 0 : rest > range ? range : rest;
	return (float)((at < lo) != (whole != 2 * floor(whole / 2)) ? lo + rest : hi - rest);
}

/* The ends of an axis of @size pixels, where what lies behind is reflected. */
static float first_place(const struct graph_node *node)
{
	return node->params.sample.corners ? 0 : -0.5f;
}

static float last_place(const struct graph_node *node, uint32_t size)
{
	return (float)(size - 1) - first_place(node);
}

/* Where among @size pixels @value of the grid is. */
static float find_place(const struct graph_node *node, float value, uint32_t size)
{
	float at = node->params.sample.corners ? (value + 1) / 2 * (float)(size - 1) :
						 ((value + 1) * (float)size - 1) / 2;

	return node->params.sample.taps == 1 ? rintf(at) : at;
}

static bool is_outside(const struct graph_node *node, float at, uint32_t size)
{
	return at < first_place(node) || at > last_place(node, size);
}

/* A place outside as the padding has it, which is none for zeros. */
static float bring_inside(const struct graph_node *node, float at, uint32_t size)
{
	switch (node->params.sample.padding) {
	case BORDER:
		return at < 0 ? 0 : at > (float)(size - 1) ? (float)(size - 1) : at;
	case REFLECTION:
		return reflect(at, first_place(node), last_place(node, size));
	default:
		return at;
	}
}

/* ---- pixels ------------------------------------------------------------ */

/* Pixels along one axis; @at is negative: it is a zero. */
struct taps {
	int64_t at[MOST_TAPS];
	float weights[MOST_TAPS];
};

static struct taps find_taps(const struct graph_node *node, float at, uint32_t size)
{
	uint32_t count = node->params.sample.taps;
	float first = floorf(at), between = at - first;
	struct taps taps;

	if (count < 4)
		memcpy(taps.weights, (float[]){ count == 1 ? 1 : 1 - between, between }, 2 * sizeof(float));
	for (uint32_t i = 0; i < count; i++) {
		float tap = bring_inside(node, first + (float)i - (count == 4), size);

		if (count == 4)
			taps.weights[i] = (float)cubic_weight(-0.75, (double)between + 1 - i);
		taps.at[i] = tap > -1 && tap < (float)size ? call_int(tap) : -1;
	}
	return taps;
}

/* The pixel of one channel, @image. */
static float sum_taps(const struct graph_node *node, const float *image, uint32_t width,
		      const struct taps *y, const struct taps *x)
{
	uint32_t count = node->params.sample.taps;
	float sum = 0;

	for (uint32_t i = 0; i < count; i++) {
		const float *line = image + y->at[i] * (int64_t)width;
		float part = 0;

		for (uint32_t k = 0; y->at[i] >= 0 && k < count; k++) {
			if (x->at[k] >= 0)
				part += line[x->at[k]] * x->weights[k];
		}
		if (y->at[i] >= 0)
			sum += part * y->weights[i];
	}
	return sum;
}

static void compute_grid_sample(const struct op_call *call)
{
	const struct graph_shape *in = &call_input(call, 0)->shape, *out = &call_output(call, 0)->shape;
	const struct graph_node *node = call->node;
	uint32_t height = in->dims[2], width = in->dims[3];
	size_t pixels = (size_t)out->dims[2] * out->dims[3], size = (size_t)height * width;
	const float *image = call_in(call, 0), *grid = call_in(call, 1);
	float *to = call_out(call, 0);

	for (size_t n = 0; n < out->dims[0]; n++) {
		for (size_t i = 0; i < pixels; i++, grid += 2) {
			float x = find_place(node, grid[0], width), y = find_place(node, grid[1], height);
			struct taps columns, lines;

			if (is_outside(node, x, width) || is_outside(node, y, height)) {
				x = bring_inside(node, x, width);
				y = bring_inside(node, y, height);
			}
			columns = find_taps(node, x, width);
			lines = find_taps(node, y, height);
			for (size_t c = 0; c < out->dims[1]; c++)
				to[c * pixels + i] = isnan(x) || isnan(y) ? NAN :
					sum_taps(node, image + c * size, width, &lines, &columns);
		}
		image += out->dims[1] * size;
		to += out->dims[1] * pixels;
	}
}

const struct operator operators_grid[] = {
	{ "GridSample", 2, 2, 1, "align_corners mode padding_mode", .infer = infer_grid_sample,
	  .compute = compute_grid_sample },
	{ 0 },
};

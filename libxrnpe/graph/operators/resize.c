// SPDX-License-Identifier: MIT
/*
 * Resizing, nearest and linear, along any axes; other filters are in resize_filter.c. ONNX's
 * reference (onnx/reference/ops/op_resize.py) fixes what the modes mean. Where an output element
 * comes from is calculated in binary64 from the shapes alone.
 */
#include <math.h>
#include <stdlib.h>

#include "families.h"
#include "resize.h"
#include "vectors.h"

enum resize_nearest {
	ROUND_PREFER_FLOOR,
	ROUND_PREFER_CEIL,
	NEAREST_FLOOR,
	NEAREST_CEIL,
	NEAREST_OF_SET_10,	/* up where there are fewer elements, down where there are more */
};

/* ---- sizes ------------------------------------------------------------- */

/* Scales: an attribute (Upsample of operator set 7) or a constant input; NULL: none. */
static int read_scales(const struct op *op, uint32_t input, const float **scales, size_t *count)
{
	const struct graph_attribute *attribute = op_attribute(op, "scales");
	const struct graph_tensor *tensor;
	int ret;

	*scales = NULL;
	*count = 0;
	if (attribute) {
		if (attribute->kind != GRAPH_ATTRIBUTE_FLOATS)
			return op_fail(op, -EINVAL, "attribute scales is not a list of floats");
		*scales = attribute->floats;
		*count = attribute->count;
		return 0;
	}
	if (!op_has_input(op, input))
		return 0;
	ret = op_constant(op, input, GRAPH_FLOAT, "scales", &tensor);
	if (ret || !graph_count(&tensor->shape))
		return ret;
	*scales = tensor->data;
	*count = graph_count(&tensor->shape);
	return 0;
}

/* The axis that the @i-th scale or size is about. */
static int resized_axis(const struct op *op, const int64_t *axes, size_t i, uint32_t rank,
			uint32_t *axis)
{
	int64_t value = axes ? axes[i] + (axes[i] < 0 ? rank : 0) : (int64_t)i;

	if (value < 0 || value >= rank)
		return op_fail(op, -EINVAL, "axis %lld is not one of %u", (long long)axes[i], rank);
	*axis = (uint32_t)value;
	return 0;
}

static int by_scales(const struct op *op, const int64_t *axes, const float *scales, size_t count,
		     struct graph_shape *shape)
{
	for (size_t i = 0; i < count; i++) {
		float size;
		uint32_t axis = 0;
		int ret = resized_axis(op, axes, i, shape->rank, &axis);

		if (ret)
			return ret;
		size = floorf((float)shape->dims[axis] * scales[i]);
		if (!(scales[i] > 0) || !(size >= 1) || size > (float)GRAPH_MAX_ELEMENTS)
			return op_fail(op, -EINVAL, "scale %g of axis %u is impossible",
				       (double)scales[i], axis);
		op->node->params.resize.scale[axis] = scales[i];
		shape->dims[axis] = (uint32_t)size;
	}
	return 0;
}

/* @policy: 0: as given; 1, 2: one scale for all, so that none is larger, or smaller */
static int by_sizes(const struct op *op, const int64_t *axes, const int64_t *sizes, size_t count,
		    uint32_t policy, struct graph_shape *shape)
{
	double common = policy == 1 ? INFINITY : 0;

	for (size_t i = 0; i < count; i++) {
		uint32_t axis = 0;
		int ret = resized_axis(op, axes, i, shape->rank, &axis);
		double scale;

		if (ret)
			return ret;
		if (sizes[i] < 1 || sizes[i] > (int64_t)GRAPH_MAX_ELEMENTS)
			return op_fail(op, -EINVAL, "size %lld of axis %u is impossible",
				       (long long)sizes[i], axis);
		scale = (double)sizes[i] / shape->dims[axis];
		common = policy == 1 ? fmin(common, scale) : fmax(common, scale);
	}
	for (size_t i = 0; i < count; i++) {
		uint32_t axis = axes ? (uint32_t)(axes[i] + (axes[i] < 0 ? shape->rank : 0)) : (uint32_t)i;
		uint32_t in = shape->dims[axis];

		shape->dims[axis] = policy ? (uint32_t)floor(common * in + 0.5) : (uint32_t)sizes[i];
		if (!shape->dims[axis])
			return op_fail(op, -EINVAL, "axis %u becomes empty", axis);
		op->node->params.resize.scale[axis] = policy ? common : (double)sizes[i] / in;
	}
	return 0;
}

/* Sizes of the result, and the scales that make them. */
static int solve_sizes(const struct op *op, uint32_t scales_input, uint32_t sizes_input,
		       uint32_t policy, struct graph_shape *shape)
{
	const float *scales;
	int64_t *axes, *sizes = NULL;
	size_t count, axes_count, sizes_count = 0;
	int ret = op_list(op, "axes", GRAPH_NONE, &axes, &axes_count);

	for (uint32_t i = 0; i < shape->rank; i++)
		op->node->params.resize.scale[i] = 1;
	if (!ret)
		ret = read_scales(op, scales_input, &scales, &count);
	if (!ret && !scales)
		ret = op_list(op, NULL, sizes_input, &sizes, &sizes_count);
	if (!ret && (scales ? count : sizes_count) != (axes ? axes_count : shape->rank))
		ret = op_fail(op, -EINVAL, "scales or sizes have %zu elements, not %zu",
			      scales ? count : sizes_count, axes ? axes_count : (size_t)shape->rank);
	if (!ret)
		ret = scales ? by_scales(op, axes, scales, count, shape) :
			       by_sizes(op, axes, sizes, sizes_count, policy, shape);
	free(axes);
	free(sizes);
	return ret;
}

/* What is cropped: where it begins along each axis, and then where it ends. */
static int read_region(const struct op *op, uint32_t rank)
{
	const struct graph_tensor *region;
	int64_t *axes = NULL;
	size_t count;
	int ret = op_constant(op, 1, GRAPH_FLOAT, "roi", &region);

	if (!ret)
		ret = op_list(op, "axes", GRAPH_NONE, &axes, &count);
	count = axes ? count : rank;
	if (!ret && graph_count(&region->shape) != 2 * count)
		ret = op_fail(op, -EINVAL, "roi has %zu elements, not %zu", graph_count(&region->shape),
			      2 * count);
	for (uint32_t i = 0; !ret && i < rank; i++)
		op->node->params.resize.end[i] = 1;
	for (size_t i = 0; !ret && i < count; i++) {
		const float *values = region->data;
		uint32_t axis = 0;

		ret = resized_axis(op, axes, i, rank, &axis);
		if (!ret && (!isfinite(values[i]) || !isfinite(values[count + i])))
			ret = op_fail(op, -EINVAL, "roi is not finite along axis %u", axis);
		op->node->params.resize.begin[axis] = values[i];
		op->node->params.resize.end[axis] = values[count + i];
	}
	free(axes);
	return ret;
}

/* ---- taps -------------------------------------------------------------- */

/* Where an output element comes from along one axis: x[first] * (1 - part) + x[second] * part. */
struct tap {
	uint32_t first, second;
	float part;
};

/* @at of the output in elements of the input. */
static double scaled(const struct graph_node *node, double at, double scale)
{
	at /= scale;
	return node->params.resize.mode == RESIZE_NEAREST ? (float)at : at;
}

/* Half a pixel, centred where the size was rounded: how much, ONNX Runtime has in binary32. */
static double symmetric(double i, float scale, float in, float out)
{
	float offset = in / 2 * (1 - out / (scale * in));

	return offset + (i + 0.5) / scale - 0.5;
}

double resize_source(const struct graph_node *node, uint32_t axis, uint32_t in, uint32_t out,
		     uint32_t i)
{
	double begin = node->params.resize.begin[axis], part = node->params.resize.end[axis] - begin;
	double scale = node->params.resize.scale[axis], size = (float)(in * scale);	/* not yet whole */

	switch ((enum resize_coordinates)node->params.resize.coordinates) {
	case HALF_PIXEL:
		return scaled(node, i + 0.5, scale) - 0.5;
	case PYTORCH_HALF_PIXEL:
		return size != 1 ? scaled(node, i + 0.5, scale) - 0.5 : -0.5;
	case ALIGN_CORNERS:
		return size != 1 ? (double)i * (in - 1) / (size - 1) : 0;
	case ASYMMETRIC:
		return scaled(node, i, scale);
	case TF_HALF_PIXEL_FOR_NN:
		return scaled(node, i + 0.5, scale);
	case HALF_PIXEL_SYMMETRIC:
		return symmetric(i, (float)scale, (float)in, (float)out);
	case TF_CROP_AND_RESIZE:
		return (begin + (size != 1 ? i * part / (size - 1) : part / 2)) * (in - 1);
	}
	return 0;
}

static double nearest(const struct graph_node *node, uint32_t axis, double at)
{
	switch ((enum resize_nearest)node->params.resize.nearest) {
	case ROUND_PREFER_FLOOR:
		return ceil(at - 0.5);
	case ROUND_PREFER_CEIL:
		return floor(at + 0.5);
	case NEAREST_FLOOR:
		return floor(at);
	case NEAREST_CEIL:
		return ceil(at);
	case NEAREST_OF_SET_10:
		return node->params.resize.scale[axis] < 1 ? ceil(at) : floor(at);
	}
	return 0;
}

static uint32_t inside(double at, uint32_t size)
{
	return at < 0 ? 0 : at > size - 1 ? size - 1 : (uint32_t)at;
}

uint32_t resize_nearest(const struct graph_node *node, uint32_t axis, uint32_t in, double at)
{
	return inside(nearest(node, axis, (float)at), in);
}

static struct tap find_tap(const struct graph_node *node, uint32_t axis, uint32_t in,
			   uint32_t out, uint32_t i)
{
	double at = resize_source(node, axis, in, out, i), below;
	struct tap tap;

	if (node->params.resize.mode == RESIZE_NEAREST) {
		uint32_t index = resize_nearest(node, axis, in, at);

		return (struct tap){ index, index, 0 };
	}
	below = floor(at);
	tap = (struct tap){ inside(below, in), inside(below + 1, in), (float)(at - below) };
	/* At the ends, and of an axis of one element, both are the same. */
	tap.part = tap.first == tap.second ? 0 : tap.part;
	return tap;
}

uint32_t resize_repeats(const struct graph_node *node, uint32_t axis, uint32_t in, uint32_t out)
{
	uint32_t times = out / in;

	for (uint32_t i = 0; i < out; i++) {
		struct tap tap = find_tap(node, axis, in, out, i);

		if (out % in || tap.first != i / times || tap.part != 0)
			return 0;
	}
	return times;
}

uint32_t resize_weights(const struct graph_node *node, uint32_t axis, uint32_t in, uint32_t out,
			uint32_t i, float weights[2])
{
	struct tap tap = find_tap(node, axis, in, out, i);

	weights[1] = tap.part;
	weights[0] = 1 - weights[1];
	return tap.first;
}

/* ---- the operators ----------------------------------------------------- */

static int finish(const struct op *op, const struct graph_shape *shape)
{
	size_t taps = 0;
	int ret;

	if (resize_is_filter(op->node)) {
		ret = resize_prepare_filter(op, shape);
		return ret ? ret : op_output(op, 0, GRAPH_FLOAT, shape);
	}
	for (uint32_t i = 0; i < shape->rank; i++)
		taps += shape->dims[i];
	/* Along the last axis as lists, and a line for each of the others. */
	if (shape->rank)
		op->node->scratch = taps * sizeof(struct tap) + shape->dims[shape->rank - 1] *
				    (2 * sizeof(uint32_t) + shape->rank * sizeof(float));
	return op_output(op, 0, GRAPH_FLOAT, shape);
}

static int infer_upsample(const struct op *op)
{
	struct graph_shape shape = op_input(op, 0)->shape;
	int ret = op_check_input(op, 0, GRAPH_FLOAT, "input");

	if (!ret)
		ret = op_choice(op, "mode", "nearest linear", &op->node->params.resize.mode);
	if (!ret)
		ret = solve_sizes(op, 1, GRAPH_NONE, 0, &shape);
	op->node->params.resize.coordinates = ASYMMETRIC;
	op->node->params.resize.nearest = NEAREST_OF_SET_10;
	return ret ? ret : finish(op, &shape);
}

static int infer_resize(const struct op *op)
{
	struct graph_shape shape = op_input(op, 0)->shape;
	union graph_params *params = &op->node->params;
	uint32_t policy;
	int ret;

	if (op->graph->opset < 11)
		return infer_upsample(op);
	ret = op_check_input(op, 0, GRAPH_FLOAT, "input");
	if (!ret)
		ret = op_choice(op, "mode", "nearest linear cubic", &params->resize.mode);
	if (!ret)
		ret = op_choice(op, "coordinate_transformation_mode",
				"half_pixel pytorch_half_pixel align_corners asymmetric tf_half_pixel_for_nn half_pixel_symmetric tf_crop_and_resize",
				&params->resize.coordinates);
	if (!ret)
		ret = op_choice(op, "nearest_mode", "round_prefer_floor round_prefer_ceil floor ceil",
				&params->resize.nearest);
	if (!ret)
		ret = op_choice(op, "keep_aspect_ratio_policy", "stretch not_larger not_smaller",
				&policy);
	if (!ret)
		ret = op_bool(op, "antialias", false, &params->resize.antialias);
	if (!ret)
		ret = op_bool(op, "exclude_outside", false, &params->resize.exclude);
	if (!ret)
		ret = op_float(op, "cubic_coeff_a", -0.75f, &params->resize.cubic);
	if (!ret)
		ret = op_float(op, "extrapolation_value", 0, &params->resize.outside);
	params->resize.antialias &= params->resize.mode != RESIZE_NEAREST;
	if (!ret && params->resize.coordinates == TF_CROP_AND_RESIZE)
		ret = read_region(op, shape.rank);
	if (!ret)
		ret = solve_sizes(op, 2, 3, policy, &shape);
	return ret ? ret : finish(op, &shape);
}

/* Taps along a line. */
struct line_taps {
	uint32_t *first, *second;
	float *part;
	size_t count;
};

/* A line of elements, mixed along it. */
VECTORS
static void mix_along(const float *restrict in, const struct line_taps *taps, float *restrict out)
{
	const uint32_t *first = taps->first, *second = taps->second;
	const float *part = taps->part;

	for (size_t i = 0, count = taps->count; i < count; i++) {
		float a = in[first[i]], mixed = a * (1 - part[i]) + in[second[i]] * part[i];

		out[i] = part[i] == 0 ? a : mixed;
	}
}

VECTORS
static void mix_lines(float *restrict line, const float *restrict other, float part, size_t count)
{
	for (size_t i = 0; i < count; i++)
		line[i] = line[i] * (1 - part) + other[i] * part;
}

/* A line of the result: of every axis before it along which two are mixed, both. */
static void mix(const float *in, const struct tap *const *taps, const ptrdiff_t *strides,
		uint32_t axes, const struct line_taps *along, float *lines, float *out)
{
	const struct tap *tap = *taps;

	if (!axes) {
		mix_along(in, along, out);
		return;
	}
	mix(in + tap->first * strides[0], taps + 1, strides + 1, axes - 1, along,
	    lines + along->count, out);
	if (tap->part == 0)
		return;
	mix(in + tap->second * strides[0], taps + 1, strides + 1, axes - 1, along,
	    lines + along->count, lines);
	mix_lines(out, lines, tap->part, along->count);
}

static void compute_resize(const struct op_call *call)
{
	const struct graph_shape *in = &call_input(call, 0)->shape;
	const struct graph_shape *out = &call_output(call, 0)->shape;
	struct tap *tables[GRAPH_MAX_RANK + 1] = { call->scratch };
	const struct tap *taps[GRAPH_MAX_RANK] = { NULL };
	uint32_t axes = out->rank - 1;	/* but the last */
	ptrdiff_t strides[GRAPH_MAX_RANK];
	float *result = call_out(call, 0);
	struct line_taps along;

	if (resize_is_filter(call->node)) {
		resize_filter(call);
		return;
	}
	if (!out->rank) {
		*result = *(const float *)call_in(call, 0);
		return;
	}
	call_packed(in, strides);
	for (uint32_t axis = 0; axis < out->rank; axis++) {
		for (uint32_t i = 0; i < out->dims[axis]; i++)
			tables[axis][i] = find_tap(call->node, axis, in->dims[axis], out->dims[axis], i);
		tables[axis + 1] = tables[axis] + out->dims[axis];
	}
	along.count = out->dims[axes];
	along.first = (uint32_t *)tables[out->rank];
	along.second = along.first + along.count;
	along.part = (float *)(along.second + along.count);
	for (size_t i = 0; i < along.count; i++) {
		along.first[i] = tables[axes][i].first;
		along.second[i] = tables[axes][i].second;
		along.part[i] = tables[axes][i].part;
	}
	for (size_t i = 0, lines = graph_count(out) / along.count; i < lines; i++) {
		size_t rest = i;

		for (uint32_t axis = axes; axis--; rest /= out->dims[axis])
			taps[axis] = &tables[axis][rest % out->dims[axis]];
		mix(call_in(call, 0), taps, strides, axes, &along, along.part + along.count,
		    result + i * along.count);
	}
}

const struct operator operators_resize[] = {
	{ "Resize", 1, 4, 1,
	  "antialias axes coordinate_transformation_mode cubic_coeff_a exclude_outside extrapolation_value keep_aspect_ratio_policy mode nearest_mode",
	  .infer = infer_resize, .compute = compute_resize },
	{ "Upsample", 1, 2, 1, "mode scales", .infer = infer_upsample, .compute = compute_resize, .since = 7 },
	{ 0 },
};

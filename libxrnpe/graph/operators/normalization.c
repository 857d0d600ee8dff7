// SPDX-License-Identifier: MIT
/*
 * Normalisations. Statistics are summed in binary64, one element after the other; what is
 * applied to the elements is binary32.
 */
#include <math.h>

#include "families.h"

/* y = (x - mean) * scale + bias. */
struct line {
	float mean, scale, bias;
};

static void apply(const float *in, size_t count, struct line line, float *out)
{
	for (size_t i = 0; i < count; i++)
		out[i] = (in[i] - line.mean) * line.scale + line.bias;
}

static void find_moments(const float *in, size_t count, double *mean, double *variance)
{
	double sum = 0, squares = 0;

	for (size_t i = 0; i < count; i++)
		sum += in[i];
	*mean = sum / (double)count;
	for (size_t i = 0; i < count; i++)
		squares += (in[i] - *mean) * (in[i] - *mean);
	*variance = squares / (double)count;
}

/* Input @i is a float tensor of @count elements. */
static int check_parameter(const struct op *op, uint32_t i, const char *what, size_t count)
{
	int ret = op_check_input(op, i, GRAPH_FLOAT, what);

	if (!ret && graph_count(&op_input(op, i)->shape) != count)
		ret = op_fail(op, -EINVAL, "%s has %zu elements, not %zu", what,
			      graph_count(&op_input(op, i)->shape), count);
	return ret;
}

/* Input 0 has channels; parameters have one element each from input 1 on. Read @epsilon, too. */
static int check_channels(const struct op *op, const char *const *names, uint32_t count,
			  float *epsilon)
{
	int ret = op_check_input(op, 0, GRAPH_FLOAT, "input");

	if (!ret && op_input(op, 0)->shape.rank < 2)
		ret = op_fail(op, -EINVAL, "input is of rank %u, without channels",
			      op_input(op, 0)->shape.rank);
	for (uint32_t i = 0; !ret && i < count; i++)
		ret = check_parameter(op, 1 + i, names[i], op_input(op, 0)->shape.dims[1]);
	return ret ? ret : op_float(op, "epsilon", 1e-5f, epsilon);
}

/* ---- BatchNormalization ------------------------------------------------ */

static int infer_batch(const struct op *op)
{
	static const char *const names[] = { "scale", "bias", "mean", "variance" };
	const struct graph_tensor *variance = op_input(op, 4);
	float momentum;
	int64_t mode;
	int ret = check_channels(op, names, 4, &op->node->params.scalar.a);

	if (!ret)
		ret = op_float(op, "momentum", 0.9f, &momentum);
	if (!ret)
		ret = op_int(op, "training_mode", 0, 0, 0, &mode);
	if (!ret)
		ret = op_int(op, "spatial", 1, 1, 1, &mode);
	for (size_t i = 0; !ret && variance->data && i < graph_count(&variance->shape); i++) {
		double sum = (double)((const float *)variance->data)[i] + op->node->params.scalar.a;

		if (!(sum > 0))
			ret = op_fail(op, -EINVAL, "variance of channel %zu is negative or zero", i);
	}
	return ret ? ret : op_output(op, 0, GRAPH_FLOAT, &op_input(op, 0)->shape);
}

static void compute_batch(const struct op_call *call)
{
	const struct graph_shape *shape = &call_input(call, 0)->shape;
	const float *scale = call_in(call, 1), *bias = call_in(call, 2), *mean = call_in(call, 3);
	const float *variance = call_in(call, 4), *in = call_in(call, 0);
	size_t channels = shape->dims[1];
	size_t count = graph_count(shape) / (shape->dims[0] * channels);
	float *out = call_out(call, 0);

	for (size_t i = 0; i < shape->dims[0] * channels; i++, in += count, out += count) {
		size_t c = i % channels;
		double factor = scale[c] / sqrt((double)variance[c] + call->node->params.scalar.a);

		/* As it is folded into a convolution: x * factor + rest. */
		apply(in, count, (struct line){ 0, (float)factor, (float)(bias[c] - mean[c] * factor) },
		      out);
	}
}

/* ---- InstanceNormalization, GroupNormalization -------------------------- */

static int infer_instance(const struct op *op)
{
	static const char *const names[] = { "scale", "bias" };
	int ret = check_channels(op, names, 2, &op->node->params.group.epsilon);

	if (ret)
		return ret;
	op->node->params.group.groups = op_input(op, 0)->shape.dims[1];
	return op_output(op, 0, GRAPH_FLOAT, &op_input(op, 0)->shape);
}

/* Parameters are by group at first, and by channel since operator set 21. */
static int infer_group(const struct op *op)
{
	const struct graph_shape *shape = &op_input(op, 0)->shape;
	int64_t groups, stash;
	size_t parameters;
	int ret = check_channels(op, NULL, 0, &op->node->params.group.epsilon);

	if (!ret)	/* none that there is stands for one that is missing */
		ret = op_int(op, "num_groups", 1, UINT32_MAX, 0, &groups);
	if (!ret)
		ret = op_int(op, "stash_type", 0, INT32_MAX, 1, &stash);
	if (!ret && (!groups || shape->dims[1] % groups))
		ret = op_fail(op, -EINVAL, "%u channels do not divide into %lld groups", shape->dims[1],
			      (long long)groups);
	if (ret)
		return ret;
	parameters = op->graph->opset < 21 ? (size_t)groups : shape->dims[1];
	ret = check_parameter(op, 1, "scale", parameters);
	if (!ret)
		ret = check_parameter(op, 2, "bias", parameters);
	op->node->params.group.groups = (uint32_t)groups;
	return ret ? ret : op_output(op, 0, GRAPH_FLOAT, shape);
}

static void compute_group(const struct op_call *call)
{
	const struct graph_shape *shape = &call_input(call, 0)->shape;
	const float *scale = call_in(call, 1), *bias = call_in(call, 2), *in = call_in(call, 0);
	size_t groups = call->node->params.group.groups, each = shape->dims[1] / groups;
	size_t count = graph_count(shape) / (shape->dims[0] * groups * each);
	bool by_group = graph_count(&call_input(call, 1)->shape) == groups;
	float *out = call_out(call, 0);

	for (size_t i = 0; i < shape->dims[0] * groups; i++) {
		double mean, variance, deviation;

		find_moments(in, count * each, &mean, &variance);
		deviation = sqrt(variance + call->node->params.group.epsilon);
		for (size_t k = 0; k < each; k++, in += count, out += count) {
			size_t c = i % groups * (by_group ? 1 : each) + (by_group ? 0 : k);

			apply(in, count, (struct line){
				(float)mean, (float)(scale[c] / deviation), bias[c],
			}, out);
		}
	}
}

/* ---- LayerNormalization ------------------------------------------------ */

/* Elements that are normalised together: those of the axes from params.axis on. */
static size_t layer_count(const struct graph_shape *shape, uint32_t axis)
{
	size_t count = 1;

	for (uint32_t i = axis; i < shape->rank; i++)
		count *= shape->dims[i];
	return count;
}

static int infer_layer(const struct op *op)
{
	struct graph_shape shape, moments;
	uint32_t axis = 0;
	float epsilon;
	int64_t stash;
	int ret = op_check_input(op, 0, GRAPH_FLOAT, "input");

	if (!ret)
		ret = op_axis(op, "axis", op_input(op, 0)->shape.rank, false, -1, &axis);
	if (!ret)
		ret = op_float(op, "epsilon", 1e-5f, &epsilon);
	if (!ret)	/* of the statistics: binary64 here */
		ret = op_int(op, "stash_type", 0, INT32_MAX, 1, &stash);
	if (ret)
		return ret;
	shape = moments = op_input(op, 0)->shape;
	op->node->params.layer.axis = axis;
	op->node->params.layer.epsilon = epsilon;
	ret = check_parameter(op, 1, "scale", layer_count(&shape, axis));
	if (!ret && op_has_input(op, 2))
		ret = check_parameter(op, 2, "bias", layer_count(&shape, axis));
	for (uint32_t i = axis; i < shape.rank; i++)
		moments.dims[i] = 1;
	if (!ret)
		ret = op_output(op, 1, GRAPH_FLOAT, &moments);
	if (!ret)
		ret = op_output(op, 2, GRAPH_FLOAT, &moments);
	return ret ? ret : op_output(op, 0, GRAPH_FLOAT, &shape);
}

static void compute_layer(const struct op_call *call)
{
	const struct graph_shape *shape = &call_input(call, 0)->shape;
	size_t count = layer_count(shape, call->node->params.layer.axis);
	const float *scale = call_in(call, 1), *bias = call_in(call, 2), *in = call_in(call, 0);
	float *out = call_out(call, 0), *means = call_out(call, 1), *inverses = call_out(call, 2);

	for (size_t i = 0; i < graph_count(shape) / count; i++, in += count, out += count) {
		double mean, variance, inverse;

		find_moments(in, count, &mean, &variance);
		inverse = 1 / sqrt(variance + call->node->params.layer.epsilon);
		for (size_t k = 0; k < count; k++)
			out[k] = (in[k] - (float)mean) * (float)inverse * scale[k] + (bias ? bias[k] : 0);
		if (means)
			means[i] = (float)mean;
		if (inverses)
			inverses[i] = (float)inverse;
	}
}

const struct operator operators_normalization[] = {
	{ "BatchNormalization", 5, 5, 1, "epsilon momentum spatial training_mode",
	  .infer = infer_batch, .compute = compute_batch, .since = 7 },
	{ "InstanceNormalization", 3, 3, 1, "epsilon", .infer = infer_instance, .compute = compute_group },
	{ "GroupNormalization", 3, 3, 1, "epsilon num_groups stash_type", .infer = infer_group,
	  .compute = compute_group },
	{ "LayerNormalization", 2, 3, 3, "axis epsilon stash_type", .infer = infer_layer, .compute = compute_layer },
	{ 0 },
};

// SPDX-License-Identifier: MIT
/* Functions of one element, and Softmax. A NaN stays one. */
#include <float.h>
#include <math.h>

#include "broadcast.h"
#include "build.h"
#include "elementary.h"
#include "families.h"
#include "parts.h"
#include "vectors.h"

static int infer_one(const struct op *op)
{
	int ret = op_check_input(op, 0, GRAPH_FLOAT, "input");

	return ret ? ret : op_output(op, 0, GRAPH_FLOAT, &op_input(op, 0)->shape);
}

/* Attributes alpha and beta to params.scalar, and the output. */
static int infer_scalars(const struct op *op, float alpha, float beta)
{
	int ret = op_float(op, "alpha", alpha, &op->node->params.scalar.a);

	if (!ret)
		ret = op_float(op, "beta", beta, &op->node->params.scalar.b);
	return ret ? ret : infer_one(op);
}

/* An operator from an expression of x, alpha and beta, written so that a NaN passes. */
#define ACTIVATION(name, result)								\
VECTORS												\
static void compute_##name(const struct op_call *call)						\
{												\
	const float alpha = call->node->params.scalar.a, beta = call->node->params.scalar.b;	\
	size_t count = graph_count(&call_output(call, 0)->shape);				\
	const float *in = call_in(call, 0);							\
	float *out = call_out(call, 0);								\
												\
	(void)alpha;										\
	(void)beta;										\
	for (size_t i = 0; i < count; i++) {							\
		const float x = in[i];								\
		out[i] = result;								\
	}											\
}

static inline float clamp(float x, float lo, float hi)
{
	float above = x < lo ? lo : x;

	return above > hi ? hi : above;
}

/* @scaled is x times the slope below 0: always computed, or no vectors are made of it. */
static inline float leak(float x, float scaled)
{
	return x < 0 ? scaled : x;
}

/* ---- piecewise linear -------------------------------------------------- */

ACTIVATION(relu, x <= 0 ? 0 : x)
ACTIVATION(leaky_relu, leak(x, x * alpha))
ACTIVATION(clip_float, clamp(x, alpha, beta))
ACTIVATION(hard_sigmoid, clamp(x * alpha + beta, 0, 1))

static int infer_leaky_relu(const struct op *op)
{
	return infer_scalars(op, 0.01f, 0);
}

static int infer_hard_sigmoid(const struct op *op)
{
	return infer_scalars(op, 0.2f, 0.5f);
}

VECTORS
static void prelu_line(const struct line *line)
{
	const float *x = line->in[0], *slope = line->in[1];
	float *restrict out = line->out;

	BROADCAST_LOOP(line, out[i] = leak(x[a], x[a] * slope[b]));
}

static int infer_prelu(const struct op *op)
{
	int ret = broadcast_infer(op, GRAPH_FLOAT, GRAPH_FLOAT);

	if (!ret && !graph_shape_equal(&op_input(op, 0)->shape, &graph_output(op->graph, op->node, 0)->shape))
		ret = op_fail(op, -EINVAL, "slope does not fit the input");
	return ret;
}

static void compute_prelu(const struct op_call *call)
{
	broadcast_compute(call, 2, prelu_line);
}

/* Limits of Clip are attributes until operator set 10, then inputs; or there are none. */
static int infer_clip(const struct op *op)
{
	float *lo = &op->node->params.scalar.a, *hi = &op->node->params.scalar.b;
	enum graph_type type = op_input(op, 0)->type;
	int ret;

	if (type == GRAPH_BOOL)
		return op_fail(op, -EINVAL, "input is of type bool");
	if (type == GRAPH_INT) {
		for (uint32_t i = 1; i < op->node->input_count; i++) {
			ret = op_has_input(op, i) ? op_check_input(op, i, GRAPH_INT, "limit") : 0;
			if (!ret && op_has_input(op, i) && graph_count(&op_input(op, i)->shape) != 1)
				ret = op_fail(op, -EINVAL, "a limit has not one element");
			if (ret)
				return ret;
		}
		return op_output(op, 0, GRAPH_INT, &op_input(op, 0)->shape);
	}
	ret = op_float(op, "min", -INFINITY, lo);
	if (!ret)
		ret = op_float(op, "max", INFINITY, hi);
	if (!ret)
		ret = op_constant_float(op, 1, "min", lo);
	if (!ret)
		ret = op_constant_float(op, 2, "max", hi);
	return ret ? ret : infer_one(op);
}

static void compute_clip(const struct op_call *call)
{
	const int64_t *in = call_in(call, 0), *lo = call_in(call, 1), *hi = call_in(call, 2);
	int64_t *out = call_out(call, 0);

	if (call_input(call, 0)->type == GRAPH_FLOAT) {
		compute_clip_float(call);
		return;
	}
	for (size_t i = 0, count = graph_count(&call_output(call, 0)->shape); i < count; i++) {
		out[i] = lo && in[i] < *lo ? *lo : in[i];
		out[i] = hi && out[i] > *hi ? *hi : out[i];
	}
}

/* ---- elementary -------------------------------------------------------- */

/* An operator that is a function of elementary.h. */
#define ELEMENTARY(name, function)								\
static void compute_##name(const struct op_call *call)						\
{												\
	size_t count = graph_count(&call_output(call, 0)->shape);				\
												\
	memcpy(call_out(call, 0), call_in(call, 0), count * sizeof(float));			\
	elementary_map(function, call_out(call, 0), count);					\
}

ELEMENTARY(sigmoid, ELEMENTARY_SIGMOID)
ELEMENTARY(tanh, ELEMENTARY_TANH)
ELEMENTARY(erf, ELEMENTARY_ERF)
ELEMENTARY(softplus, ELEMENTARY_SOFTPLUS)
ELEMENTARY(hard_swish, ELEMENTARY_HARD_SWISH)
ELEMENTARY(gelu_exact, ELEMENTARY_GELU)
ELEMENTARY(gelu_tanh, ELEMENTARY_GELU_TANH)

static int infer_gelu(const struct op *op)
{
	uint32_t approximate;
	int ret = op_choice(op, "approximate", "none tanh", &approximate);

	op->node->params.scalar.flag = approximate;
	return ret ? ret : infer_one(op);
}

static void compute_gelu(const struct op_call *call)
{
	if (call->node->params.scalar.flag)
		compute_gelu_tanh(call);
	else
		compute_gelu_exact(call);
}

static int infer_elu(const struct op *op)
{
	return infer_scalars(op, 1, 0);
}

static void compute_elu(const struct op_call *call)
{
	size_t count = graph_count(&call_output(call, 0)->shape);
	const float *in = call_in(call, 0);
	float *out = call_out(call, 0);

	memcpy(out, in, count * sizeof(*out));
	elementary_map(ELEMENTARY_EXPM1, out, count);
	for (size_t i = 0; i < count; i++)
		out[i] = in[i] < 0 ? call->node->params.scalar.a * out[i] : in[i];
}

/* x times the logistic function of alpha x, each rounded, as files write it in two nodes. */
static void compute_swish(const struct op_call *call)
{
	size_t count = graph_count(&call_output(call, 0)->shape);
	const float alpha = call->node->params.scalar.a, *in = call_in(call, 0);
	float *out = call_out(call, 0);

	for (size_t i = 0; i < count; i++)
		out[i] = in[i] * alpha;
	elementary_map(ELEMENTARY_SIGMOID, out, count);
	for (size_t i = 0; i < count; i++)
		out[i] *= in[i];
}

static int infer_swish(const struct op *op)
{
	return infer_scalars(op, 1, 0);
}

/* ---- Softmax ----------------------------------------------------------- */

/* Until operator set 12 over all axes from "axis" on, 1 by default; then over that axis. */
static int infer_softmax(const struct op *op)
{
	bool old = op->graph->opset < 13;
	uint32_t rank = op_input(op, 0)->shape.rank;
	uint32_t axis = 0;
	int ret = op_check_input(op, 0, GRAPH_FLOAT, "input");

	if (!ret && rank)
		ret = op_axis(op, "axis", rank, false, old && rank > 1 ? 1 : -1, &axis);
	if (ret)
		return ret;
	op->node->params.softmax.first = axis;
	op->node->params.softmax.end = old || !rank ? rank : axis + 1;
	/* Largest element and sum, for all that lie side by side. */
	op->node->scratch = 2 * sizeof(float);
	for (uint32_t i = op->node->params.softmax.end; i < rank; i++)
		op->node->scratch *= op_input(op, 0)->shape.dims[i];
	return infer_one(op);
}

/* @count elements @inner apart, for @inner of these side by side. */
static void softmax(const float *in, size_t count, size_t inner, float *most, float *sum,
		    bool logarithm, float *out)
{
	for (size_t k = 0; k < inner; k++) {
		most[k] = -INFINITY;
		sum[k] = 0;
	}
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < inner; k++) {
			float x = in[i * inner + k];

			most[k] = x > most[k] || isnan(x) ? x : most[k];
		}
	}
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < inner; k++)
			out[i * inner + k] = in[i * inner + k] - most[k];
	}
	if (!logarithm)
		elementary_map(ELEMENTARY_EXP, out, count * inner);
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < inner; k++) {
			float term = out[i * inner + k];

			if (logarithm)
				elementary_map(ELEMENTARY_EXP, &term, 1);
			sum[k] += term;
		}
	}
	if (logarithm)
		elementary_map(ELEMENTARY_LOG, sum, inner);
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < inner; k++) {
			float *at = &out[i * inner + k];

			*at = logarithm ? *at - sum[k] : *at / sum[k];
		}
	}
}

static void compute_softmax_of(const struct op_call *call, bool logarithm)
{
	const struct graph_shape *shape = &call_input(call, 0)->shape;
	uint32_t first = call->node->params.softmax.first, end = call->node->params.softmax.end;
	size_t count = 1, inner = 1;
	const float *in = call_in(call, 0);
	float *out = call_out(call, 0), *most = call->scratch;

	for (uint32_t i = first; i < end; i++)
		count *= shape->dims[i];
	for (uint32_t i = end; i < shape->rank; i++)
		inner *= shape->dims[i];
	for (size_t at = 0, all = graph_count(shape); at < all; at += count * inner)
		softmax(in + at, count, inner, most, most + inner, logarithm, out + at);
}

static void compute_softmax(const struct op_call *call)
{
	compute_softmax_of(call, false);
}

static void compute_log_softmax(const struct op_call *call)
{
	compute_softmax_of(call, true);
}

/* x tanh(softplus(x)), as three nodes. */
static int infer_mish(const struct op *op)
{
	int ret = op_check_input(op, 0, GRAPH_FLOAT, "input");
	uint32_t x = op->node->inputs[0], output = op->node->outputs[0];
	uint32_t factor = part(op, &ret, "Tanh", NULL, 1, part(op, &ret, "Softplus", NULL, 1, x));

	return ret ? ret : build_part(op->graph, op->node->name, "Mul", 2, (const uint32_t[]){ x, factor },
				      output, NULL, 0, op->error);
}

const struct operator operators_activation[] = {
	{ "Relu", 1, 1, 1, "", .infer = infer_one, .compute = compute_relu },
	{ "LeakyRelu", 1, 1, 1, "alpha", .infer = infer_leaky_relu, .compute = compute_leaky_relu },
	{ "PRelu", 2, 2, 1, "", .infer = infer_prelu, .compute = compute_prelu, .since = 7 },
	{ "Clip", 1, 3, 1, "max min", .infer = infer_clip, .compute = compute_clip },
	{ "HardSigmoid", 1, 1, 1, "alpha beta", .infer = infer_hard_sigmoid,
	  .compute = compute_hard_sigmoid },
	{ "HardSwish", 1, 1, 1, "", .infer = infer_one, .compute = compute_hard_swish },
	{ "Sigmoid", 1, 1, 1, "", .infer = infer_one, .compute = compute_sigmoid },
	{ "Swish", 1, 1, 1, "alpha", .infer = infer_swish, .compute = compute_swish },
	{ "Tanh", 1, 1, 1, "", .infer = infer_one, .compute = compute_tanh },
	{ "Erf", 1, 1, 1, "", .infer = infer_one, .compute = compute_erf },
	{ "Gelu", 1, 1, 1, "approximate", .infer = infer_gelu, .compute = compute_gelu },
	{ "Softplus", 1, 1, 1, "", .infer = infer_one, .compute = compute_softplus },
	{ "Mish", 1, 1, 1, "", .infer = infer_mish },
	{ "Elu", 1, 1, 1, "alpha", .infer = infer_elu, .compute = compute_elu },
	{ "Softmax", 1, 1, 1, "axis", .infer = infer_softmax, .compute = compute_softmax },
	{ "LogSoftmax", 1, 1, 1, "axis", .infer = infer_softmax, .compute = compute_log_softmax },
	{ 0 },
};

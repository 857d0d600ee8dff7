// SPDX-License-Identifier: MIT
/*
 * Arithmetic of one or more tensors, float or integer. Integers wrap, and a division by
 * zero gives zero: no constant of a file may stop the program.
 */
#include <math.h>

#include "broadcast.h"
#include "elementary.h"
#include "families.h"

/* ---- two and more inputs ------------------------------------------------ */

/* Input 0 and 1, then the result so far and the next one. */
static void compute_inputs(const struct op_call *call, void (*line)(const struct line *line))
{
	const struct graph_tensor *out = call_output(call, 0);
	struct broadcast operands[2] = { { call_input(call, 0), call_in(call, 0) } };

	if (call->node->input_count == 1)
		memcpy(call_out(call, 0), call_in(call, 0),
		       graph_count(&out->shape) * graph_type_size(out->type));
	for (uint32_t i = 1; i < call->node->input_count; i++) {
		operands[1] = (struct broadcast){ call_input(call, i), call_in(call, i) };
		broadcast_lines(out, call_out(call, 0), operands, 2, line);
		operands[0] = (struct broadcast){ out, call_out(call, 0) };
	}
}

/* Lines of a binary operator for both types from expressions of x and y. */
#define BINARY(name, float_result, int_result)							\
static void name##_float(const struct line *line)						\
{												\
	const float *in[2] = { line->in[0], line->in[1] };					\
	float *out = line->out;									\
												\
	BROADCAST_LOOP(line, const float x = in[0][a]; const float y = in[1][b];		\
		       out[i] = float_result);							\
}												\
												\
static void name##_int(const struct line *line)							\
{												\
	const int64_t *in[2] = { line->in[0], line->in[1] };					\
	int64_t *out = line->out;								\
												\
	BROADCAST_LOOP(line, const int64_t x = in[0][a]; const int64_t y = in[1][b];		\
		       out[i] = int_result);							\
}												\
												\
static void compute_##name(const struct op_call *call)						\
{												\
	compute_inputs(call, call_output(call, 0)->type == GRAPH_INT ? name##_int : name##_float);\
}

/* What wraps is calculated without a sign. */
static int64_t wrap_add(int64_t x, int64_t y)
{
	return (int64_t)((uint64_t)x + (uint64_t)y);
}

static int64_t wrap_subtract(int64_t x, int64_t y)
{
	return (int64_t)((uint64_t)x - (uint64_t)y);
}

static int64_t wrap_multiply(int64_t x, int64_t y)
{
	return (int64_t)((uint64_t)x * (uint64_t)y);
}

static int64_t divide(int64_t x, int64_t y)
{
	return y == 0 ? 0 : y == -1 ? wrap_subtract(0, x) : x / y;
}

BINARY(add, x + y, wrap_add(x, y))
BINARY(subtract, x - y, wrap_subtract(x, y))
BINARY(multiply, x * y, wrap_multiply(x, y))
BINARY(divide, x / y, divide(x, y))

BINARY(maximum, y > x || isnan(y) ? y : x, y > x ? y : x)
BINARY(minimum, y < x || isnan(y) ? y : x, y < x ? y : x)


static int infer_binary(const struct op *op)
{
	enum graph_type type = op_input(op, 0)->type;

	if (type == GRAPH_BOOL)
		return op_fail(op, -EINVAL, "cannot calculate with truths");
	return broadcast_infer(op, type, type);
}

/* Remainders: of the sign of @y, or with fmod of that of @x. */
static int64_t remainder_of(int64_t x, int64_t y, bool fmod)
{
	int64_t rest = y == 0 || y == -1 ? 0 : x % y;

	return !fmod && rest && (rest < 0) != (y < 0) ? rest + y : rest;
}

static void mod_floor(const struct line *line)
{
	const int64_t *x = line->in[0], *y = line->in[1];
	int64_t *out = line->out;

	BROADCAST_LOOP(line, out[i] = remainder_of(x[a], y[b], false));
}

static void mod_truncate(const struct line *line)
{
	const int64_t *x = line->in[0], *y = line->in[1];
	int64_t *out = line->out;

	BROADCAST_LOOP(line, out[i] = remainder_of(x[a], y[b], true));
}

static int infer_mod(const struct op *op)
{
	int ret = op_bool(op, "fmod", false, &op->node->params.scalar.flag);

	return ret ? ret : broadcast_infer(op, GRAPH_INT, GRAPH_INT);
}

static void compute_mod(const struct op_call *call)
{
	broadcast_compute(call, 2, call->node->params.scalar.flag ? mod_truncate : mod_floor);
}

/* ---- powers ------------------------------------------------------------ */

static void power_float(const struct line *line)
{
	const float *x = line->in[0], *y = line->in[1];
	float *out = line->out;

	for (size_t i = 0; i < line->count; i++)
		out[i] = x[i * line->step[0]];
	elementary_pow(out, y, line->step[1], line->count);
}

static int64_t power(int64_t x, int64_t y)
{
	uint64_t result = 1, base = (uint64_t)x;

	if (y < 0)
		return x == 1 ? 1 : x == -1 ? (y & 1 ? -1 : 1) : 0;
	for (; y; y >>= 1, base *= base)
		result *= y & 1 ? base : 1;
	return (int64_t)result;
}

static void power_int(const struct line *line)
{
	const int64_t *x = line->in[0], *y = line->in[1];
	int64_t *out = line->out;

	BROADCAST_LOOP(line, out[i] = power(x[a], y[b]));
}

/* A float to an integer power: the exponents as floats. */
static void power_mixed(const struct line *line)
{
	const float *x = line->in[0];
	const int64_t *y = line->in[1];
	float *out = line->out;

	for (size_t i = 0; i < line->count; i++) {
		const float exponent = (float)y[i * line->step[1]];

		out[i] = x[i * line->step[0]];
		elementary_pow(&out[i], &exponent, 0, 1);
	}
}

/* An integer to a power that is a float: exact where that is an integer, or towards zero. */
static void power_of_int(const struct line *line)
{
	const int64_t *x = line->in[0];
	const float *y = line->in[1];
	int64_t *out = line->out;

	for (size_t i = 0; i < line->count; i++) {
		const int64_t base = x[i * line->step[0]];
		const float exponent = y[i * line->step[1]];
		float result = (float)base;

		if ((float)call_int(exponent) == exponent) {
			out[i] = power(base, call_int(exponent));
			continue;
		}
		elementary_pow(&result, &exponent, 0, 1);
		out[i] = call_int(result);
	}
}

static int infer_power(const struct op *op)
{
	const struct graph_tensor *x = op_input(op, 0), *y = op_input(op, 1);
	struct graph_shape shape;

	if (x->type == y->type)
		return infer_binary(op);
	if (x->type == GRAPH_BOOL || y->type == GRAPH_BOOL)
		return op_fail(op, -EINVAL, "cannot calculate with truths");
	if (!op_broadcast(&x->shape, &y->shape, &shape))
		return op_fail(op, -EINVAL, "base and exponent do not fit");
	return op_output(op, 0, x->type, &shape);
}

static void compute_power(const struct op_call *call)
{
	bool base = call_input(call, 0)->type == GRAPH_INT, exponent = call_input(call, 1)->type == GRAPH_INT;

	broadcast_compute(call, 2, base ? (exponent ? power_int : power_of_int) :
				   exponent ? power_mixed : power_float);
}

/* ---- one input --------------------------------------------------------- */

static int infer_unary(const struct op *op)
{
	const struct graph_tensor *in = op_input(op, 0);

	if (in->type == GRAPH_BOOL)
		return op_fail(op, -EINVAL, "cannot calculate with truths");
	return op_output(op, 0, in->type, &in->shape);
}

static int infer_float(const struct op *op)
{
	int ret = op_check_input(op, 0, GRAPH_FLOAT, "input");

	return ret ? ret : op_output(op, 0, GRAPH_FLOAT, &op_input(op, 0)->shape);
}

/* An operator from expressions of x. */
#define UNARY(name, float_result, int_result)							\
static void compute_##name(const struct op_call *call)						\
{												\
	size_t count = graph_count(&call_output(call, 0)->shape);				\
												\
	if (call_output(call, 0)->type == GRAPH_INT) {						\
		const int64_t *in = call_in(call, 0);						\
		int64_t *out = call_out(call, 0);						\
												\
		for (size_t i = 0; i < count; i++) {						\
			const int64_t x = in[i];						\
			out[i] = int_result;							\
		}										\
	} else {										\
		const float *in = call_in(call, 0);						\
		float *out = call_out(call, 0);							\
												\
		for (size_t i = 0; i < count; i++) {						\
			const float x = in[i];							\
			out[i] = float_result;							\
		}										\
	}											\
}

UNARY(negate, -x, wrap_subtract(0, x))
UNARY(absolute, fabsf(x), x < 0 ? wrap_subtract(0, x) : x)
UNARY(sign, isnan(x) ? x : (float)((x > 0) - (x < 0)), (x > 0) - (x < 0))
UNARY(reciprocal, 1 / x, divide(1, x))
UNARY(floor, floorf(x), x)
UNARY(ceil, ceilf(x), x)
UNARY(round, rintf(x), x)	/* halves to even */

/* Functions that are the same on every host. */
static void compute_elementary(const struct op_call *call, enum elementary function)
{
	size_t count = graph_count(&call_output(call, 0)->shape);

	memcpy(call_out(call, 0), call_in(call, 0), count * sizeof(float));
	elementary_map(function, call_out(call, 0), count);
}

static void compute_sqrt(const struct op_call *call)
{
	compute_elementary(call, ELEMENTARY_SQRT);
}

static void compute_exp(const struct op_call *call)
{
	compute_elementary(call, ELEMENTARY_EXP);
}

static void compute_log(const struct op_call *call)
{
	compute_elementary(call, ELEMENTARY_LOG);
}

const struct operator operators_arithmetic[] = {
	{ "Add", 2, 2, 1, "", .infer = infer_binary, .compute = compute_add },
	{ "Sub", 2, 2, 1, "", .infer = infer_binary, .compute = compute_subtract },
	{ "Mul", 2, 2, 1, "", .infer = infer_binary, .compute = compute_multiply },
	{ "Div", 2, 2, 1, "", .infer = infer_binary, .compute = compute_divide },
	{ "Mod", 2, 2, 1, "fmod", .infer = infer_mod, .compute = compute_mod },
	{ "Sum", 1, XRNPE_OPERATOR_ANY, 1, "", .infer = infer_binary, .compute = compute_add },
	{ "Max", 1, XRNPE_OPERATOR_ANY, 1, "", .infer = infer_binary, .compute = compute_maximum },
	{ "Min", 1, XRNPE_OPERATOR_ANY, 1, "", .infer = infer_binary, .compute = compute_minimum },
	{ "Pow", 2, 2, 1, "", .infer = infer_power, .compute = compute_power },
	{ "Neg", 1, 1, 1, "", .infer = infer_unary, .compute = compute_negate },
	{ "Abs", 1, 1, 1, "", .infer = infer_unary, .compute = compute_absolute },
	{ "Sign", 1, 1, 1, "", .infer = infer_unary, .compute = compute_sign },
	{ "Reciprocal", 1, 1, 1, "", .infer = infer_float, .compute = compute_reciprocal },
	{ "Floor", 1, 1, 1, "", .infer = infer_float, .compute = compute_floor },
	{ "Ceil", 1, 1, 1, "", .infer = infer_float, .compute = compute_ceil },
	{ "Round", 1, 1, 1, "", .infer = infer_float, .compute = compute_round },
	{ "Sqrt", 1, 1, 1, "", .infer = infer_float, .compute = compute_sqrt },
	{ "Exp", 1, 1, 1, "", .infer = infer_float, .compute = compute_exp },
	{ "Log", 1, 1, 1, "", .infer = infer_float, .compute = compute_log },
	{ 0 },
};

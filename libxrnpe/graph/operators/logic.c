// SPDX-License-Identifier: MIT
/* Comparisons, truths, the choice between two tensors, and changes of type. */
#include <math.h>

#include "broadcast.h"
#include "families.h"

/* ---- comparisons ------------------------------------------------------- */

#define COMPARE(name, type, operator)								\
static void name(const struct line *line)							\
{												\
	const type *x = line->in[0], *y = line->in[1];						\
	uint8_t *out = line->out;								\
												\
	BROADCAST_LOOP(line, out[i] = x[a] operator y[b]);					\
}

/* By the type of the inputs. */
#define COMPARISON(name, operator)								\
COMPARE(name##_float, float, operator)								\
COMPARE(name##_int, int64_t, operator)								\
COMPARE(name##_bool, uint8_t, operator)								\
												\
static void compute_##name(const struct op_call *call)						\
{												\
	static void (*const lines[])(const struct line *line) = {				\
		[GRAPH_FLOAT] = name##_float, [GRAPH_INT] = name##_int,				\
		[GRAPH_BOOL] = name##_bool,							\
	};											\
												\
	broadcast_compute(call, 2, lines[call_input(call, 0)->type]);				\
}

COMPARISON(equal, ==)
COMPARISON(less, <)
COMPARISON(less_equal, <=)
COMPARISON(greater, >)
COMPARISON(greater_equal, >=)

static int infer_comparison(const struct op *op)
{
	return broadcast_infer(op, op_input(op, 0)->type, GRAPH_BOOL);
}

/* ---- truths ------------------------------------------------------------ */

COMPARE(and_line, uint8_t, &)
COMPARE(or_line, uint8_t, |)
COMPARE(xor_line, uint8_t, ^)

static void compute_and(const struct op_call *call)
{
	broadcast_compute(call, 2, and_line);
}

static void compute_or(const struct op_call *call)
{
	broadcast_compute(call, 2, or_line);
}

static void compute_xor(const struct op_call *call)
{
	broadcast_compute(call, 2, xor_line);
}

static void compute_not(const struct op_call *call)
{
	const uint8_t *in = call_in(call, 0);
	uint8_t *out = call_out(call, 0);

	for (size_t i = 0, count = graph_count(&call_output(call, 0)->shape); i < count; i++)
		out[i] = !in[i];
}

static int infer_truth(const struct op *op)
{
	return broadcast_infer(op, GRAPH_BOOL, GRAPH_BOOL);
}

static void compute_is_nan(const struct op_call *call)
{
	const float *in = call_in(call, 0);
	uint8_t *out = call_out(call, 0);

	for (size_t i = 0, count = graph_count(&call_output(call, 0)->shape); i < count; i++)
		out[i] = isnan(in[i]);
}

static int infer_is_nan(const struct op *op)
{
	return broadcast_infer(op, GRAPH_FLOAT, GRAPH_BOOL);
}

/* ---- Where ------------------------------------------------------------- */

static int infer_where(const struct op *op)
{
	enum graph_type type = op_input(op, 1)->type;
	struct graph_shape shape;
	int ret = op_check_input(op, 0, GRAPH_BOOL, "condition");

	if (!ret)
		ret = op_check_input(op, 2, type, "third input");
	if (ret)
		return ret;
	if (!op_broadcast(&op_input(op, 0)->shape, &op_input(op, 1)->shape, &shape) ||
	    !op_broadcast(&shape, &op_input(op, 2)->shape, &shape))
		return op_fail(op, -EINVAL, "inputs do not fit each other");
	return op_output(op, 0, type, &shape);
}

#define WHERE(name, type)									\
static void name(const struct line *line)							\
{												\
	const uint8_t *condition = line->in[0];							\
	const type *x = line->in[1], *y = line->in[2];						\
	type *out = line->out;									\
												\
	for (size_t i = 0; i < line->count; i++)						\
		out[i] = condition[i * line->step[0]] ? x[i * line->step[1]] :			\
							y[i * line->step[2]];			\
}

WHERE(where_float, float)
WHERE(where_int, int64_t)
WHERE(where_bool, uint8_t)

static void compute_where(const struct op_call *call)
{
	static void (*const lines[])(const struct line *line) = {
		[GRAPH_FLOAT] = where_float, [GRAPH_INT] = where_int, [GRAPH_BOOL] = where_bool,
	};

	broadcast_compute(call, 3, lines[call_output(call, 0)->type]);
}

/* ---- Cast -------------------------------------------------------------- */

/* What an element type of ONNX (TensorProto.DataType) is in a graph; -1: nothing. */
static int cast_type(int64_t type)
{
	switch (type) {
	case 1: case 10: case 11: case 16:	/* float, half, double, bfloat16 */
		return GRAPH_FLOAT;
	case 2: case 3: case 4: case 5: case 6: case 7: case 12: case 13:
		return GRAPH_INT;
	case 9:
		return GRAPH_BOOL;
	default:
		return -1;
	}
}

static int infer_cast(const struct op *op)
{
	int64_t type, saturate;
	int ret = op_int(op, "to", 1, INT32_MAX, 0, &type);

	if (!ret)	/* is about 8-bit floats */
		ret = op_int(op, "saturate", 0, 1, 1, &saturate);
	if (ret)
		return ret;
	if (cast_type(type) < 0)
		return op_fail(op, -ENOTSUP, "to element type %lld", (long long)type);
	return op_output(op, 0, (enum graph_type)cast_type(type), &op_input(op, 0)->shape);
}

static int infer_cast_like(const struct op *op)
{
	return op_output(op, 0, op_input(op, 1)->type, &op_input(op, 0)->shape);
}

static void compute_cast(const struct op_call *call)
{
	enum graph_type from = call_input(call, 0)->type, to = call_output(call, 0)->type;
	size_t count = graph_count(&call_output(call, 0)->shape);
	const void *in = call_in(call, 0);
	void *out = call_out(call, 0);

	if (from == to) {
		memcpy(out, in, count * graph_type_size(to));
		return;
	}
	for (size_t i = 0; i < count; i++) {
		int64_t whole = from == GRAPH_INT ? ((const int64_t *)in)[i] :
				from == GRAPH_BOOL ? ((const uint8_t *)in)[i] : 0;
		float real = from == GRAPH_FLOAT ? ((const float *)in)[i] : 0;

		if (to == GRAPH_FLOAT)
			((float *)out)[i] = (float)whole;
		else if (to == GRAPH_INT)
			((int64_t *)out)[i] = from == GRAPH_FLOAT ? call_int(real) : whole;
		else
			((uint8_t *)out)[i] = from == GRAPH_FLOAT ? real != 0 : whole != 0;
	}
}

const struct operator operators_logic[] = {
	{ "Equal", 2, 2, 1, "", .infer = infer_comparison, .compute = compute_equal },
	{ "Less", 2, 2, 1, "", .infer = infer_comparison, .compute = compute_less },
	{ "LessOrEqual", 2, 2, 1, "", .infer = infer_comparison, .compute = compute_less_equal },
	{ "Greater", 2, 2, 1, "", .infer = infer_comparison, .compute = compute_greater },
	{ "GreaterOrEqual", 2, 2, 1, "", .infer = infer_comparison,
	  .compute = compute_greater_equal },
	{ "And", 2, 2, 1, "", .infer = infer_truth, .compute = compute_and },
	{ "Or", 2, 2, 1, "", .infer = infer_truth, .compute = compute_or },
	{ "Xor", 2, 2, 1, "", .infer = infer_truth, .compute = compute_xor },
	{ "Not", 1, 1, 1, "", .infer = infer_truth, .compute = compute_not },
	{ "IsNaN", 1, 1, 1, "", .infer = infer_is_nan, .compute = compute_is_nan },
	{ "Where", 3, 3, 1, "", .infer = infer_where, .compute = compute_where },
	{ "Cast", 1, 1, 1, "saturate to", .infer = infer_cast, .compute = compute_cast, .since = 6 },
	{ "CastLike", 2, 2, 1, "saturate", .infer = infer_cast_like, .compute = compute_cast,
	  .types_from = 1 },
	{ 0 },
};

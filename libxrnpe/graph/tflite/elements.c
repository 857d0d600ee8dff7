// SPDX-License-Identifier: MIT
/* Operators that compute an element from elements of the same place. */
#include "operators.h"
#include "schema.h"

/* ---- one operator of ONNX ------------------------------------------------- */

void tflite_unary(struct tflite_op *op)
{
	uint32_t x;
	bool first = tflite_arrange(op, 0, 1, &x);

	tflite_output(op, 0, tflite_emit1(op, op->row->onnx, x), first);
}

/* Of any number of inputs, which are broadcast. */
static uint32_t emit_arranged(struct tflite_op *op, bool *first)
{
	uint32_t tensors[TFLITE_ANY];

	if (op->input_count > TFLITE_ANY) {
		tflite_unsupported(op, "has %u inputs", op->input_count);
		return GRAPH_NONE;
	}
	*first = tflite_arrange(op, 0, op->input_count, tensors);
	return tflite_emit(op, op->row->onnx, op->input_count, tensors);
}

void tflite_binary(struct tflite_op *op)
{
	bool first = false;
	uint32_t y = emit_arranged(op, &first);

	tflite_output(op, 0, y, first);
}

/* With an activation. */
void tflite_arithmetic(struct tflite_op *op)
{
	bool first = false;
	uint32_t y = emit_arranged(op, &first);

	tflite_finish(op, y, first, ARITHMETIC_ACTIVATION);
}

/* ---- with attributes ------------------------------------------------------ */

static void limit(struct tflite_op *op, float least, float most)
{
	uint32_t x;
	bool first = tflite_arrange(op, 0, 1, &x);

	tflite_output(op, 0, tflite_clip(op, x, least, most), first);
}

void tflite_relu6(struct tflite_op *op)
{
	limit(op, 0, 6);
}

void tflite_relu_n1_to_1(struct tflite_op *op)
{
	limit(op, -1, 1);
}

void tflite_relu_0_to_1(struct tflite_op *op)
{
	limit(op, 0, 1);
}

void tflite_leaky_relu(struct tflite_op *op)
{
	tflite_set_float(op, "alpha", flat_float(op->options, LEAKY_RELU_ALPHA));
	tflite_unary(op);
}

void tflite_gelu(struct tflite_op *op)
{
	tflite_set_string(op, "approximate", flat_bool(op->options, GELU_APPROXIMATE) ? "tanh" : "none");
	tflite_unary(op);
}

/* To the type that the file gives the output. */
void tflite_cast(struct tflite_op *op)
{
	int8_t type = flat_byte(flat_vector_table(op->reader->tensors, op->outputs[0]), TENSOR_TYPE);
	enum element element = ELEMENT_BOOL;

	if (!tflite_element(type, &element))
		tflite_unsupported(op, "to type %d is not supported", type);
	tflite_set_int(op, "to", element_type(element) == GRAPH_FLOAT ? ONNX_FLOAT :
				 element_type(element) == GRAPH_INT ? ONNX_INT64 : ONNX_BOOL);
	tflite_unary(op);
}

/* ---- made of several ------------------------------------------------------ */

void tflite_square(struct tflite_op *op)
{
	uint32_t x;
	bool first = tflite_arrange(op, 0, 1, &x);

	tflite_output(op, 0, tflite_emit2(op, "Mul", x, x), first);
}

void tflite_squared_difference(struct tflite_op *op)
{
	uint32_t tensors[2], difference;
	bool first = tflite_arrange(op, 0, 2, tensors);

	difference = tflite_emit(op, "Sub", 2, tensors);
	tflite_output(op, 0, tflite_emit2(op, "Mul", difference, difference), first);
}

void tflite_rsqrt(struct tflite_op *op)
{
	uint32_t x;
	bool first = tflite_arrange(op, 0, 1, &x);

	tflite_output(op, 0, tflite_emit1(op, "Reciprocal", tflite_emit1(op, "Sqrt", x)), first);
}

void tflite_not_equal(struct tflite_op *op)
{
	uint32_t tensors[2];
	bool first = tflite_arrange(op, 0, 2, tensors);

	tflite_output(op, 0, tflite_emit1(op, "Not", tflite_emit(op, "Equal", 2, tensors)), first);
}

void tflite_floor_div(struct tflite_op *op)
{
	uint32_t tensors[2];
	bool first = tflite_arrange(op, 0, 2, tensors);
	const struct graph_tensor *tensor = tflite_tensor(op, tensors[0]);

	if (tensor && tensor->type != GRAPH_FLOAT)
		tflite_unsupported(op, "of integers is not supported");
	tflite_output(op, 0, tflite_emit1(op, "Floor", tflite_emit(op, "Div", 2, tensors)), first);
}

/* Along the file's last axis. */
static int64_t last_axis(struct tflite_op *op, uint32_t tensor, bool first)
{
	const struct graph_tensor *found = tflite_tensor(op, tensor);
	uint32_t rank = found ? found->shape.rank : 0;

	if (found && !rank)
		tflite_unsupported(op, "input has no axis");
	return first ? tflite_axis_first(3) : (int64_t)rank - 1;
}

void tflite_log_softmax(struct tflite_op *op)
{
	uint32_t x;
	bool first = tflite_arrange(op, 0, 1, &x);

	tflite_set_int(op, "axis", last_axis(op, x, first));
	tflite_output(op, 0, tflite_emit1(op, "LogSoftmax", x), first);
}

void tflite_softmax(struct tflite_op *op)
{
	float beta = flat_float(op->options, SOFTMAX_BETA);
	uint32_t x;
	bool first = tflite_arrange(op, 0, 1, &x);

	if (beta != 1)
		x = tflite_emit2(op, "Mul", x, tflite_new_float(op, beta));
	tflite_set_int(op, "axis", last_axis(op, x, first));
	tflite_output(op, 0, tflite_emit1(op, "Softmax", x), first);
}

/* The condition of the older one of two operators may be a list of whole lines to choose. */
void tflite_select(struct tflite_op *op)
{
	const struct graph_tensor *condition = tflite_tensor(op, tflite_last(op, 0));
	const struct graph_tensor *chosen = tflite_tensor(op, tflite_last(op, 1));

	if (condition && chosen && condition->shape.rank && condition->shape.rank != chosen->shape.rank)
		tflite_unsupported(op, "condition is of rank %u, not %u", condition->shape.rank,
				   chosen->shape.rank);
	tflite_binary(op);
}

/* The epsilon is tensorflow/lite/kernels/internal/reference/l2normalization.h's. */
void tflite_l2_normalization(struct tflite_op *op)
{
	uint32_t x, sum;
	bool first = tflite_arrange(op, 0, 1, &x);
	int64_t axis = last_axis(op, x, first);

	tflite_set_ints(op, "axes", 1, &axis);
	sum = tflite_emit1(op, "ReduceSumSquare", x);
	sum = tflite_emit2(op, "Max", sum, tflite_new_float(op, 1e-6f));
	tflite_output(op, 0, tflite_emit2(op, "Div", x, tflite_emit1(op, "Sqrt", sum)), first);
}

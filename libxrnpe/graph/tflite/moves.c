// SPDX-License-Identifier: MIT
/* Operators that give elements other places. */
#include "operators.h"
#include "schema.h"

/* All inputs as in the file to the same operator of ONNX. */
void tflite_as_it_is(struct tflite_op *op)
{
	uint32_t tensors[4];

	for (uint32_t i = 0; i < op->input_count; i++)
		tensors[i] = tflite_last(op, i);
	tflite_output(op, 0, tflite_emit(op, op->row->onnx, op->input_count, tensors), false);
}

/* ---- shapes --------------------------------------------------------------- */

/* A list of integers in the options; at most a rank. */
static uint32_t option_ints(struct tflite_op *op, uint32_t field, int64_t values[GRAPH_MAX_RANK])
{
	struct flat_vector list = flat_vector(op->options, field, 4);

	if (list.count > GRAPH_MAX_RANK)
		tflite_unsupported(op, "of %u dimensions", list.count);
	for (uint32_t i = 0; !op->ret && i < list.count; i++)
		values[i] = flat_vector_int(list, i);
	return op->ret ? 0 : list.count;
}

void tflite_reshape_to(struct tflite_op *op)
{
	uint32_t x = tflite_last(op, 0);
	int64_t dims[GRAPH_MAX_RANK];
	bool given = op->input_count > 1 && op->inputs[1] != GRAPH_NONE;
	uint32_t rank = given ? tflite_ints(op, 1, GRAPH_MAX_RANK, dims) :
				option_ints(op, RESHAPE_SHAPE, dims);

	tflite_output(op, 0, tflite_reshape(op, x, rank, dims), false);
}

void tflite_squeeze(struct tflite_op *op)
{
	uint32_t x = tflite_last(op, 0);
	int64_t axes[GRAPH_MAX_RANK];
	uint32_t count = option_ints(op, SQUEEZE_AXES, axes);

	if (count)
		tflite_set_ints(op, "axes", count, axes);
	tflite_output(op, 0, tflite_emit1(op, "Squeeze", x), false);
}

static uint32_t unsqueeze(struct tflite_op *op, uint32_t x, int64_t axis)
{
	tflite_set_ints(op, "axes", 1, &axis);
	return tflite_emit1(op, "Unsqueeze", x);
}

void tflite_expand_dims(struct tflite_op *op)
{
	uint32_t x = tflite_last(op, 0);
	int64_t axis = 0;

	if (tflite_ints(op, 1, 1, &axis) != 1)
		tflite_unsupported(op, "has no axis");
	tflite_output(op, 0, unsqueeze(op, x, axis), false);
}

void tflite_transposition(struct tflite_op *op)
{
	uint32_t x = tflite_last(op, 0);
	int64_t perm[GRAPH_MAX_RANK];
	uint32_t rank = tflite_ints(op, 1, GRAPH_MAX_RANK, perm);

	tflite_output(op, 0, tflite_transpose(op, x, rank, perm), false);
}

/* FILL has the shape first. */
void tflite_fill(struct tflite_op *op)
{
	uint32_t dims = tflite_last(op, 0);

	tflite_output(op, 0, tflite_emit2(op, "Expand", tflite_last(op, 1), dims), false);
}

/* ---- together and apart --------------------------------------------------- */

/* @axis of @tensor, which is in the order that @first says. */
static uint32_t own_axis(struct tflite_op *op, int64_t axis, uint32_t tensor, bool first)
{
	const struct graph_tensor *found = tflite_tensor(op, tensor);
	uint32_t made = found ? tflite_axis(op, axis, found->shape.rank) : 0;

	return first ? tflite_axis_first(made) : made;
}

/* Inputs or outputs that are listed here. */
static bool check_count(struct tflite_op *op, uint32_t count)
{
	if (count > TFLITE_ANY)
		tflite_unsupported(op, "of %u tensors", count);
	return !op->ret && count;
}

void tflite_concatenation(struct tflite_op *op)
{
	uint32_t tensors[TFLITE_ANY];
	bool first;

	if (!check_count(op, op->input_count))
		return;
	first = tflite_arrange(op, 0, op->input_count, tensors);
	tflite_set_int(op, "axis", own_axis(op, flat_int(op->options, CONCATENATION_AXIS, 0),
					    tensors[0], first));
	tflite_finish(op, tflite_emit(op, "Concat", op->input_count, tensors), first,
		      CONCATENATION_ACTIVATION);
}

void tflite_pack(struct tflite_op *op)
{
	int64_t axis = flat_int(op->options, PACK_AXIS, 0);
	uint32_t tensors[TFLITE_ANY];

	if (!check_count(op, op->input_count))
		return;
	for (uint32_t i = 0; i < op->input_count; i++)
		tensors[i] = unsqueeze(op, tflite_last(op, i), axis);
	tflite_set_int(op, "axis", axis);
	tflite_output(op, 0, tflite_emit(op, "Concat", op->input_count, tensors), false);
}

/* Input @i along @axis into as many parts as there are outputs; @sizes: GRAPH_NONE: equal. */
static bool split(struct tflite_op *op, uint32_t i, int64_t axis, uint32_t sizes, uint32_t *parts)
{
	uint32_t inputs[] = { GRAPH_NONE, sizes };
	bool first = tflite_arrange(op, i, 1, inputs);

	tflite_set_int(op, "axis", own_axis(op, axis, inputs[0], first));
	tflite_emit_all(op, "Split", sizes == GRAPH_NONE ? 1 : 2, inputs, op->output_count, parts);
	return first;
}

static void split_outputs(struct tflite_op *op, uint32_t i, int64_t axis, uint32_t sizes)
{
	uint32_t parts[TFLITE_ANY];
	bool first;

	if (!check_count(op, op->output_count))
		return;
	first = split(op, i, axis, sizes, parts);
	for (uint32_t k = 0; k < op->output_count; k++)
		tflite_output(op, k, parts[k], first);
}

void tflite_split(struct tflite_op *op)
{
	int64_t axis = 0;

	if (tflite_ints(op, 0, 1, &axis) != 1)
		tflite_unsupported(op, "has no axis");
	split_outputs(op, 1, axis, GRAPH_NONE);
}

void tflite_split_v(struct tflite_op *op)
{
	int64_t axis = 0;

	if (tflite_ints(op, 2, 1, &axis) != 1)
		tflite_unsupported(op, "has no axis");
	split_outputs(op, 0, axis, tflite_last(op, 1));
}

void tflite_unpack(struct tflite_op *op)
{
	uint32_t x = tflite_last(op, 0), parts[TFLITE_ANY];
	int64_t axis;

	if (!check_count(op, op->output_count))
		return;
	axis = own_axis(op, flat_int(op->options, UNPACK_AXIS, 0), x, false);
	tflite_set_int(op, "axis", axis);
	tflite_emit_all(op, "Split", 1, &x, op->output_count, parts);
	for (uint32_t k = 0; k < op->output_count; k++) {
		tflite_set_ints(op, "axes", 1, &axis);
		tflite_output(op, k, tflite_emit1(op, "Squeeze", parts[k]), false);
	}
}

void tflite_gather(struct tflite_op *op)
{
	uint32_t x = tflite_last(op, 0), indices = tflite_last(op, 1);

	if (flat_int(op->options, GATHER_BATCH_DIMS, 0))
		tflite_unsupported(op, "by batch is not supported");
	tflite_set_int(op, "axis", flat_int(op->options, GATHER_AXIS, 0));
	tflite_output(op, 0, tflite_emit2(op, "Gather", x, indices), false);
}

/* ---- frames --------------------------------------------------------------- */

/* By the elements that input 1 has in front of and behind each axis; @mode is ONNX's. */
static void pad(struct tflite_op *op, const char *mode)
{
	int64_t given[2 * GRAPH_MAX_RANK], pads[2 * GRAPH_MAX_RANK];
	uint32_t x, count = tflite_ints(op, 1, 2 * GRAPH_MAX_RANK, given), rank = count / 2;
	bool first = tflite_arrange(op, 0, 1, &x);

	if (first && rank != 4)
		tflite_unsupported(op, "pads %u axes of 4", rank);
	for (uint32_t i = 0; !op->ret && i < rank; i++) {
		uint32_t axis = first ? tflite_axis_first(i) : i;

		pads[axis] = given[2 * i];
		pads[rank + axis] = given[2 * i + 1];
	}
	tflite_set_string(op, "mode", mode);
	tflite_output(op, 0, tflite_emit(op, "Pad", op->input_count > 2 ? 3 : 2, (const uint32_t[]){
		x, tflite_new_ints(op, 2 * rank, pads), tflite_last(op, 2) }), first);
}

void tflite_pad(struct tflite_op *op)
{
	pad(op, "constant");
}

void tflite_mirror_pad(struct tflite_op *op)
{
	if (flat_byte(op->options, MIRROR_PAD_MODE) != MIRROR_PAD_REFLECT)
		tflite_unsupported(op, "that repeats the edge is not supported");
	pad(op, "reflect");
}

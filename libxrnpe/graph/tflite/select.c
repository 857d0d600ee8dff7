// SPDX-License-Identifier: MIT
/* Operators that take some of a tensor's elements, or one of several. */
#include "operators.h"
#include "schema.h"

/* ---- parts ---------------------------------------------------------------- */

/* Along each axis of the file. */
struct range {
	int64_t start[GRAPH_MAX_RANK], end[GRAPH_MAX_RANK], step[GRAPH_MAX_RANK];
};

/* @x, with channels first or as in the file. */
static uint32_t slice(struct tflite_op *op, uint32_t x, bool first, uint32_t rank,
		      const struct range *range)
{
	int64_t axes[GRAPH_MAX_RANK];

	for (uint32_t i = 0; i < rank; i++)
		axes[i] = first ? tflite_axis_first(i) : i;
	return tflite_emit(op, "Slice", 5, (const uint32_t[]){
		x, tflite_new_ints(op, rank, range->start), tflite_new_ints(op, rank, range->end),
		tflite_new_ints(op, rank, axes), tflite_new_ints(op, rank, range->step) });
}

static uint32_t rank_of(struct tflite_op *op, uint32_t tensor)
{
	const struct graph_tensor *found = tflite_tensor(op, tensor);

	return found ? found->shape.rank : 0;
}

/* Places are those of axes: what is beyond these is all the same. */
static int64_t sum(int64_t a, int64_t b)
{
	int64_t result;

	return __builtin_add_overflow(a, b, &result) ? (b < 0 ? INT64_MIN : INT64_MAX) : result;
}

void tflite_slice(struct tflite_op *op)
{
	struct range range;
	uint32_t x;
	bool first = tflite_arrange(op, 0, 1, &x);
	uint32_t rank = rank_of(op, x);

	if (tflite_ints(op, 1, GRAPH_MAX_RANK, range.start) != rank ||
	    tflite_ints(op, 2, GRAPH_MAX_RANK, range.end) != rank)
		tflite_unsupported(op, "begin or size is not of rank %u", rank);
	for (uint32_t i = 0; !op->ret && i < rank; i++) {
		/* A size of -1 is all that is left. */
		range.end[i] = range.end[i] < 0 ? INT64_MAX : sum(range.start[i], range.end[i]);
		range.step[i] = 1;
	}
	tflite_output(op, 0, slice(op, x, first, rank, &range), first);
}

/* What a STRIDED_SLICE makes of the axes of its input. */
struct strides {
	struct range range;
	uint32_t axis;		/* of the input, the next one */
	uint32_t rank;		/* of the result */
	uint32_t from[GRAPH_MAX_RANK];	/* of each of its axes: the input's; GRAPH_NONE: new */
};

/* The axis stays, from @start on. */
static void keep_axis(struct tflite_op *op, struct strides *strides, uint32_t from)
{
	if (strides->rank == GRAPH_MAX_RANK)
		tflite_unsupported(op, "to more than %d dimensions", GRAPH_MAX_RANK);
	else
		strides->from[strides->rank++] = from;
}

/* An axis of which everything is taken. */
static void take_axis(struct tflite_op *op, struct strides *strides)
{
	uint32_t axis = strides->axis++;

	strides->range.start[axis] = 0;
	strides->range.end[axis] = INT64_MAX;
	strides->range.step[axis] = 1;
	keep_axis(op, strides, axis);
}

static bool has_bit(struct tflite_op *op, uint32_t field, uint32_t i)
{
	return (uint32_t)flat_int(op->options, field, 0) >> i & 1;
}

/* Specification @i, which is of one axis of the input. */
static void slice_axis(struct tflite_op *op, struct strides *strides, uint32_t i,
		       const struct range *given)
{
	int64_t *start = &strides->range.start[strides->axis];
	int64_t *end = &strides->range.end[strides->axis], step = given->step[i];

	*start = given->start[i];
	*end = flat_bool(op->options, SLICE_OFFSET) ? sum(given->start[i], given->end[i]) :
	       given->end[i];
	if (has_bit(op, SLICE_BEGIN, i))
		*start = step > 0 ? 0 : INT64_MAX;
	if (has_bit(op, SLICE_END, i))
		*end = step > 0 ? INT64_MAX : INT64_MIN;
	if (has_bit(op, SLICE_SHRINK, i)) {
		*start = given->start[i];
		*end = *start == -1 ? INT64_MAX : sum(*start, 1);
		step = 1;
	} else {
		keep_axis(op, strides, strides->axis);
	}
	strides->range.step[strides->axis++] = step;
}

/* All specifications; an ellipsis stands for as many axes as are left. */
static void slice_axes(struct tflite_op *op, struct strides *strides, uint32_t count,
		       const struct range *given, uint32_t rank)
{
	uint32_t left = 0;	/* specifications behind of axes that are there */

	for (uint32_t i = 0; i < count; i++)
		left += !has_bit(op, SLICE_ELLIPSIS, i) && !has_bit(op, SLICE_NEW_AXIS, i);
	for (uint32_t i = 0; !op->ret && i < count; i++) {
		if (has_bit(op, SLICE_ELLIPSIS, i)) {
			while (!op->ret && strides->axis + left < rank)
				take_axis(op, strides);
		} else if (has_bit(op, SLICE_NEW_AXIS, i)) {
			keep_axis(op, strides, GRAPH_NONE);
		} else if (strides->axis == rank) {
			tflite_unsupported(op, "of more than the %u axes there are", rank);
		} else {
			slice_axis(op, strides, i, given);
			left--;
		}
	}
	while (!op->ret && strides->axis < rank)
		take_axis(op, strides);
}

void tflite_strided_slice(struct tflite_op *op)
{
	bool reshapes = flat_int(op->options, SLICE_SHRINK, 0) || flat_int(op->options, SLICE_NEW_AXIS, 0);
	struct strides strides = { 0 };
	struct range given;
	const struct graph_tensor *tensor;
	int64_t dims[GRAPH_MAX_RANK];
	uint32_t x, count, rank;
	bool first = false;

	if (reshapes)
		x = tflite_last(op, 0);
	else
		first = tflite_arrange(op, 0, 1, &x);
	rank = rank_of(op, x);
	count = tflite_ints(op, 1, GRAPH_MAX_RANK, given.start);
	if (tflite_ints(op, 2, GRAPH_MAX_RANK, given.end) != count ||
	    tflite_ints(op, 3, GRAPH_MAX_RANK, given.step) != count)
		tflite_unsupported(op, "begin, end and strides are not of one length");
	if (!op->ret)
		slice_axes(op, &strides, count, &given, rank);
	x = slice(op, x, first, rank, &strides.range);
	tensor = tflite_tensor(op, x);
	for (uint32_t i = 0; tensor && i < strides.rank; i++)
		dims[i] = strides.from[i] == GRAPH_NONE ? 1 : tensor->shape.dims[strides.from[i]];
	if (reshapes)
		x = tflite_reshape(op, x, strides.rank, dims);
	tflite_output(op, 0, x, first);
}

/* ---- one of several --------------------------------------------------------- */

/* Whether axes that are left without those marked are in the same order either way. */
static bool order_stays(const bool *gone)
{
	return gone[3] || (gone[1] && gone[2]);
}

/*
 * The input, in the order that serves: channels first, if it is there so, and if the axes
 * that the result loses leave the others as the file has them.
 */
static uint32_t reduced_input(struct tflite_op *op, const bool *gone, bool *first)
{
	uint32_t x;

	*first = tflite_arrange(op, 0, 1, &x);
	if (!*first || order_stays(gone))
		return x;
	*first = false;
	return tflite_last(op, 0);
}

/* Axes of constant input 1, marked; their number. */
static uint32_t read_axes(struct tflite_op *op, uint32_t rank, bool gone[GRAPH_MAX_RANK])
{
	int64_t axes[GRAPH_MAX_RANK];
	uint32_t count = tflite_ints(op, 1, GRAPH_MAX_RANK, axes);

	for (uint32_t i = 0; !op->ret && i < count; i++)
		gone[tflite_axis(op, axes[i], rank)] = true;
	return count;
}

/* Rank of input 0, which both orders have. */
static uint32_t input_rank(struct tflite_op *op)
{
	uint32_t x;

	tflite_arrange(op, 0, 1, &x);
	return rank_of(op, x);
}

void tflite_reduce(struct tflite_op *op)
{
	bool gone[GRAPH_MAX_RANK] = { false }, keeps = flat_bool(op->options, REDUCER_KEEP);
	uint32_t rank = input_rank(op), x, count = 0;
	int64_t axes[GRAPH_MAX_RANK];
	bool first;

	read_axes(op, rank, gone);
	if (keeps)
		first = tflite_arrange(op, 0, 1, &x);
	else
		x = reduced_input(op, gone, &first);
	for (uint32_t i = 0; i < rank; i++) {
		if (gone[i])
			axes[count++] = first ? tflite_axis_first(i) : i;
	}
	tflite_set_ints(op, "axes", count, axes);
	tflite_set_int(op, "keepdims", keeps);
	tflite_set_int(op, "noop_with_empty_axes", 1);
	tflite_output(op, 0, tflite_emit1(op, op->row->onnx, x), first && keeps);
}

void tflite_arg(struct tflite_op *op)
{
	bool gone[GRAPH_MAX_RANK] = { false };
	uint32_t rank = input_rank(op), x, axis = 0;
	bool first;

	if (read_axes(op, rank, gone) != 1)
		tflite_unsupported(op, "has not one axis");
	x = reduced_input(op, gone, &first);
	while (!op->ret && !gone[axis])
		axis++;
	tflite_set_int(op, "axis", first ? tflite_axis_first(axis) : axis);
	tflite_set_int(op, "keepdims", 0);
	tflite_output(op, 0, tflite_emit1(op, op->row->onnx, x), false);
}

void tflite_top(struct tflite_op *op)
{
	uint32_t x = tflite_last(op, 0), results[2];
	int64_t k = 0;

	if (tflite_ints(op, 1, 1, &k) != 1)
		tflite_unsupported(op, "has no number of elements");
	tflite_emit_all(op, "TopK", 2, (const uint32_t[]){ x, tflite_new_ints(op, 1, &k) }, 2, results);
	for (uint32_t i = 0; i < 2; i++)
		tflite_output(op, i, results[i], false);
}

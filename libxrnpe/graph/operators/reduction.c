// SPDX-License-Identifier: MIT
/*
 * One result from the elements along some axes. Sums are of binary64, in C order, rounded
 * once; a NaN among the elements is the result.
 */
#include <math.h>
#include <stdlib.h>

#include "families.h"

/* ---- Reduce* ----------------------------------------------------------- */

/*
 * Axes: an attribute or, in newer operator sets, input 1; none: all, or nothing is done. An
 * axis without elements gives what the result starts with.
 */
static int infer_reduce(const struct op *op)
{
	const struct graph_tensor *in = op_input(op, 0);
	struct graph_shape shape = { 0 };
	bool *reduced = op->node->params.reduce.reduced, keep, noop;
	int64_t *axes;
	size_t count;
	int ret = op_bool(op, "keepdims", true, &keep);

	if (!ret)
		ret = op_bool(op, "noop_with_empty_axes", false, &noop);
	if (!ret)
		ret = op_list(op, "axes", 1, &axes, &count);
	if (ret)
		return ret;
	for (size_t i = 0; i < count; i++) {
		int64_t axis = axes[i] + (axes[i] < 0 ? in->shape.rank : 0);

		if (axis < 0 || axis >= in->shape.rank)
			ret = op_fail(op, -EINVAL, "axis %lld is not one of %u", (long long)axes[i],
				      in->shape.rank);
		else
			reduced[axis] = true;
		if (ret)
			break;
	}
	free(axes);
	for (uint32_t i = 0; i < in->shape.rank; i++) {
		reduced[i] |= !count && !noop;
		if (!reduced[i] || keep)
			shape.dims[shape.rank++] = reduced[i] ? 1 : in->shape.dims[i];
	}
	op->node->params.reduce.keep = keep;
	return ret ? ret : op_output(op, 0, in->type, &shape);
}

/* Of numbers, as all are but the largest and the smallest. */
static int infer_numbers(const struct op *op)
{
	if (op_input(op, 0)->type == GRAPH_BOOL)
		return op_fail(op, -EINVAL, "cannot calculate with truths");
	return infer_reduce(op);
}

/* That of no floats is a NaN; of no integers there is none. */
static int infer_mean(const struct op *op)
{
	const struct graph_tensor *in = op_input(op, 0);

	if (in->type == GRAPH_INT && !graph_count(&in->shape))
		return op_fail(op, -ENOTSUP, "input has no elements");
	return infer_numbers(op);
}

/*
 * What is reduced to one element: lines along an axis, the other axes with sizes and
 * strides, and the same of those that are kept.
 */
struct reduction {
	size_t line, line_step;
	uint32_t kept, reduced;
	size_t kept_dims[GRAPH_MAX_RANK], reduced_dims[GRAPH_MAX_RANK];
	size_t kept_strides[GRAPH_MAX_RANK], reduced_strides[GRAPH_MAX_RANK];
	size_t results, terms;
};

static struct reduction find_reduction(const struct op_call *call)
{
	const struct graph_shape *shape = &call_input(call, 0)->shape;
	struct reduction r = { .line = 1, .results = 1, .terms = 1 };
	ptrdiff_t strides[GRAPH_MAX_RANK];

	call_packed(shape, strides);
	for (uint32_t i = 0; i < shape->rank; i++) {
		if (call->node->params.reduce.reduced[i]) {
			r.reduced_dims[r.reduced] = shape->dims[i];
			r.reduced_strides[r.reduced++] = (size_t)strides[i];
			r.terms *= shape->dims[i];
		} else {
			r.kept_dims[r.kept] = shape->dims[i];
			r.kept_strides[r.kept++] = (size_t)strides[i];
			r.results *= shape->dims[i];
		}
	}
	if (r.reduced--) {
		r.line = r.reduced_dims[r.reduced];
		r.line_step = r.reduced_strides[r.reduced];
	} else {
		r.reduced = 0;
	}
	return r;
}

/* Where the @i-th element of some axes lies. */
static size_t element_at(size_t i, uint32_t axes, const size_t *dims, const size_t *strides)
{
	size_t at = 0;

	for (uint32_t axis = axes; axis--; i /= dims[axis])
		at += i % dims[axis] * strides[axis];
	return at;
}

/* An operator from what a result starts with, each element does, and what ends it. */
#define REDUCE(name, type, sum_type, start, step, end)						\
static void name(const struct op_call *call)							\
{												\
	const struct reduction r = find_reduction(call);					\
	const type *in = call_in(call, 0);							\
	type *out = call_out(call, 0);								\
												\
	for (size_t i = 0; i < r.results; i++) {						\
		const type *from = in + element_at(i, r.kept, r.kept_dims, r.kept_strides);	\
		const size_t n = r.terms;							\
		sum_type sum = start;								\
												\
		(void)n;									\
		for (size_t k = 0; k < r.terms; k += r.line) {					\
			const type *line = from + element_at(k / r.line, r.reduced,		\
							     r.reduced_dims, r.reduced_strides);	\
												\
			for (size_t j = 0; j < r.line; j++) {					\
				const type x = line[j * r.line_step];				\
				sum = step;							\
			}									\
		}										\
		out[i] = (type)(end);								\
	}											\
}

#define REDUCE_BOTH(name, float_start, float_step, float_end, int_start, int_step, int_end)	\
REDUCE(name##_float, float, double, float_start, float_step, float_end)				\
REDUCE(name##_int, int64_t, uint64_t, (uint64_t)(int_start), (uint64_t)(int_step), int_end)	\
static void name(const struct op_call *call)							\
{												\
	if (call_input(call, 0)->type == GRAPH_INT)						\
		name##_int(call);								\
	else											\
		name##_float(call);								\
}

REDUCE_BOTH(sum, 0, sum + x, sum, 0, sum + (uint64_t)x, sum)
REDUCE_BOTH(mean, 0, sum + x, sum / (double)n, 0, sum + (uint64_t)x, (int64_t)sum / (int64_t)n)
REDUCE_BOTH(product, 1, sum * x, sum, 1, sum * (uint64_t)x, sum)
REDUCE_BOTH(maximum, -INFINITY, x > sum || isnan(x) ? x : sum, sum,
	    INT64_MIN, x > (int64_t)sum ? x : (int64_t)sum, sum)
REDUCE_BOTH(minimum, INFINITY, x < sum || isnan(x) ? x : sum, sum,
	    INT64_MAX, x < (int64_t)sum ? x : (int64_t)sum, sum)
REDUCE_BOTH(sum_square, 0, sum + (double)x * x, sum, 0, sum + (uint64_t)x * (uint64_t)x, sum)
REDUCE_BOTH(norm, 0, sum + (double)x * x, sqrt(sum), 0, sum + (uint64_t)x * (uint64_t)x, sum)

REDUCE(any, uint8_t, uint8_t, 0, sum | x, sum)
REDUCE(all, uint8_t, uint8_t, 1, sum & x, sum)

/* Of truths, whether any is one, and whether all are. */
static void maximum_or_any(const struct op_call *call)
{
	if (call_input(call, 0)->type == GRAPH_BOOL)
		any(call);
	else
		maximum(call);
}

static void minimum_or_all(const struct op_call *call)
{
	if (call_input(call, 0)->type == GRAPH_BOOL)
		all(call);
	else
		minimum(call);
}

static int infer_norm(const struct op *op)
{
	int ret = op_check_input(op, 0, GRAPH_FLOAT, "input");

	return ret ? ret : infer_reduce(op);
}

/* ---- ArgMax ------------------------------------------------------------ */

static int infer_arg(const struct op *op)
{
	struct graph_shape in = op_input(op, 0)->shape, shape = { 0 };
	uint32_t axis;
	bool keep;
	int ret = op_check_input(op, 0, GRAPH_FLOAT, "input");

	if (!ret)
		ret = op_axis(op, "axis", in.rank, false, 0, &axis);
	if (!ret)
		ret = op_bool(op, "keepdims", true, &keep);
	if (!ret)
		ret = op_bool(op, "select_last_index", false, &op->node->params.select.last);
	if (ret)
		return ret;
	for (uint32_t i = 0; i < in.rank; i++) {
		if (i != axis || keep)
			shape.dims[shape.rank++] = i == axis ? 1 : in.dims[i];
	}
	op->node->params.select.axis = axis;
	return op_output(op, 0, GRAPH_INT, &shape);
}

/* Lines along an axis: their number, length, and where one starts. */
struct lines {
	size_t count, length, step;
};

static struct lines find_lines(const struct graph_shape *shape, uint32_t axis)
{
	struct lines lines = { .length = shape->dims[axis], .step = 1 };

	for (uint32_t i = axis + 1; i < shape->rank; i++)
		lines.step *= shape->dims[i];
	lines.count = lines.length ? graph_count(shape) / lines.length : 0;
	return lines;
}

static size_t line_start(const struct lines *lines, size_t i)
{
	return i / lines->step * lines->step * lines->length + i % lines->step;
}

/* Whether @a comes before @b: a NaN first, as the largest or the smallest of all. */
static bool precedes(float a, float b, bool largest)
{
	if (isnan(a) || isnan(b))
		return isnan(a) && !isnan(b);
	return largest ? a > b : a < b;
}

static void compute_arg(const struct op_call *call, bool largest)
{
	const struct lines lines = find_lines(&call_input(call, 0)->shape,
					      call->node->params.select.axis);
	const float *in = call_in(call, 0);
	int64_t *out = call_out(call, 0);

	for (size_t i = 0; i < lines.count; i++) {
		const float *line = in + line_start(&lines, i);
		size_t best = 0;

		for (size_t k = 1; k < lines.length; k++) {
			float a = line[k * lines.step], b = line[best * lines.step];

			if (precedes(a, b, largest) ||
			    (call->node->params.select.last && !precedes(b, a, largest)))
				best = k;
		}
		out[i] = (int64_t)best;
	}
}

static void compute_arg_max(const struct op_call *call)
{
	compute_arg(call, true);
}

static void compute_arg_min(const struct op_call *call)
{
	compute_arg(call, false);
}

/* ---- TopK -------------------------------------------------------------- */

static int infer_top(const struct op *op)
{
	struct graph_shape shape = op_input(op, 0)->shape;
	const struct graph_tensor *wanted;
	uint32_t axis;
	int64_t k;
	int ret = op_check_input(op, 0, GRAPH_FLOAT, "input");

	if (!ret)
		ret = op_axis(op, "axis", shape.rank, false, -1, &axis);
	if (!ret)
		ret = op_bool(op, "largest", true, &op->node->params.select.largest);
	if (!ret)
		ret = op_bool(op, "sorted", true, &op->node->params.select.sorted);
	if (!ret && op->graph->opset < 10)
		ret = op_int(op, "k", 0, UINT32_MAX, 0, &k);
	else if (!ret)
		ret = op_constant(op, 1, GRAPH_INT, "k", &wanted);
	if (ret)
		return ret;
	if (op->graph->opset >= 10)
		k = graph_count(&wanted->shape) == 1 ? *(const int64_t *)wanted->data : -1;
	if (k < 0 || k > shape.dims[axis])
		return op_fail(op, -EINVAL, "k is none of 0 to %u", shape.dims[axis]);
	/* Where in its line each of the elements lies that have been taken. */
	op->node->scratch = (size_t)k * sizeof(uint32_t);
	op->node->params.select.axis = axis;
	shape.dims[axis] = (uint32_t)k;
	ret = op_output(op, 0, GRAPH_FLOAT, &shape);
	return ret ? ret : op_output(op, 1, GRAPH_INT, &shape);
}

/*
 * Indices of the first @wanted of @line's elements in their order; of equal ones, that of
 * the lower index.
 */
static void find_top(const float *line, const struct lines *lines, bool largest, size_t wanted,
		     uint32_t *top)
{
	size_t taken = 0;

	for (size_t j = 0; wanted && j < lines->length; j++) {
		float value = line[j * lines->step];
		size_t at = taken;

		if (taken == wanted && !precedes(value, line[top[wanted - 1] * lines->step], largest))
			continue;
		taken += taken < wanted;
		at -= at == taken;
		for (; at && precedes(value, line[top[at - 1] * lines->step], largest); at--)
			top[at] = top[at - 1];
		top[at] = (uint32_t)j;
	}
}

static void compute_top(const struct op_call *call)
{
	uint32_t axis = call->node->params.select.axis;
	const struct lines lines = find_lines(&call_input(call, 0)->shape, axis);
	const struct lines results = find_lines(&call_output(call, 0)->shape, axis);
	float *values = call_out(call, 0);
	int64_t *indices = call_out(call, 1);
	const float *in = call_in(call, 0);
	uint32_t *top = call->scratch;

	for (size_t i = 0; i < results.count; i++) {
		const float *line = in + line_start(&lines, i);
		size_t to = line_start(&results, i);

		find_top(line, &lines, call->node->params.select.largest, results.length, top);
		for (size_t k = 0; k < results.length; k++, to += results.step) {
			values[to] = line[top[k] * lines.step];
			if (indices)
				indices[to] = top[k];
		}
	}
}

#define REDUCE_ROW(name, check, function)							\
	{ name, 1, 2, 1, "axes keepdims noop_with_empty_axes", .infer = check, .compute = function }

const struct operator operators_reduction[] = {
	REDUCE_ROW("ReduceSum", infer_numbers, sum),
	REDUCE_ROW("ReduceMean", infer_mean, mean),
	REDUCE_ROW("ReduceProd", infer_numbers, product),
	REDUCE_ROW("ReduceMax", infer_reduce, maximum_or_any),
	REDUCE_ROW("ReduceMin", infer_reduce, minimum_or_all),
	REDUCE_ROW("ReduceSumSquare", infer_numbers, sum_square),
	REDUCE_ROW("ReduceL2", infer_norm, norm),
	{ "ArgMax", 1, 1, 1, "axis keepdims select_last_index", .infer = infer_arg,
	  .compute = compute_arg_max },
	{ "ArgMin", 1, 1, 1, "axis keepdims select_last_index", .infer = infer_arg,
	  .compute = compute_arg_min },
	{ "TopK", 1, 2, 2, "axis k largest sorted", .infer = infer_top, .compute = compute_top },
	{ 0 },
};

// SPDX-License-Identifier: MIT
/* Some of a tensor's elements, or some of them several times. */
#include <stdlib.h>

#include "families.h"

/* ---- Slice ------------------------------------------------------------- */

/* As NumPy has it: negative counts from the end, and what is outside is the nearest limit. */
static int64_t limit_index(int64_t index, int64_t size, int64_t low, int64_t high)
{
	if (index < 0)
		index = index < -size ? low : index + size;
	return index < low ? low : index > high ? high : index;
}

/* Start and number of elements along an axis of @size. */
static uint32_t solve_slice(int64_t size, int64_t *start, int64_t end, int64_t step)
{
	int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1, span;

	*start = limit_index(*start, size, low, high);
	end = limit_index(end, size, low, high);
	span = step > 0 ? end - *start : *start - end;
	/* A step beyond the axis takes one element; so its size matters no more. */
	if (step < -size || step > size)
		return span > 0;
	return span > 0 ? (uint32_t)((span + llabs(step) - 1) / llabs(step)) : 0;
}

/* The lists of a Slice: attributes until operator set 9, then inputs. */
struct slice_lists {
	int64_t *starts, *ends, *axes, *steps;
	size_t count, ends_count, axes_count, steps_count;
};

static int read_slice(const struct op *op, struct slice_lists *lists)
{
	int ret = op_list(op, "starts", 1, &lists->starts, &lists->count);

	if (!ret)
		ret = op_list(op, "ends", 2, &lists->ends, &lists->ends_count);
	if (!ret)
		ret = op_list(op, "axes", 3, &lists->axes, &lists->axes_count);
	if (!ret)
		ret = op_list(op, NULL, 4, &lists->steps, &lists->steps_count);
	if (!ret && (!lists->starts || !lists->ends || lists->ends_count != lists->count ||
		     (lists->axes && lists->axes_count != lists->count) ||
		     (lists->steps && lists->steps_count != lists->count)))
		ret = op_fail(op, -EINVAL, "starts, ends, axes and steps are not of one length");
	return ret;
}

static int solve_axes(const struct op *op, const struct slice_lists *lists,
		      struct graph_shape *shape)
{
	uint32_t rank = shape->rank;

	for (uint32_t i = 0; i < rank; i++) {
		op->node->params.slice.start[i] = 0;
		op->node->params.slice.step[i] = 1;
	}
	for (size_t i = 0; i < lists->count; i++) {
		int64_t axis = lists->axes ? lists->axes[i] : (int64_t)i;
		int64_t *start, step = lists->steps ? lists->steps[i] : 1;

		axis += axis < 0 ? rank : 0;
		if (axis < 0 || axis >= rank || !step)
			return op_fail(op, -EINVAL, "axis %lld of %u, or its step, is impossible",
				       (long long)axis, rank);
		start = &op->node->params.slice.start[axis];
		*start = lists->starts[i];
		shape->dims[axis] = solve_slice(shape->dims[axis], start, lists->ends[i], step);
		op->node->params.slice.step[axis] = step;
	}
	return 0;
}

static int infer_slice(const struct op *op)
{
	struct graph_shape shape = op_input(op, 0)->shape;
	struct slice_lists lists = { 0 };
	int ret = read_slice(op, &lists);

	if (!ret)
		ret = solve_axes(op, &lists, &shape);
	free(lists.starts);
	free(lists.ends);
	free(lists.axes);
	free(lists.steps);
	return ret ? ret : op_output(op, 0, op_input(op, 0)->type, &shape);
}

static void compute_slice(const struct op_call *call)
{
	const struct graph_tensor *out = call_output(call, 0);
	ptrdiff_t strides[GRAPH_MAX_RANK], start = 0;

	call_packed(&call_input(call, 0)->shape, strides);
	for (uint32_t i = 0; i < out->shape.rank; i++) {
		start += call->node->params.slice.start[i] * strides[i];
		/* Of one element the step, which may be huge, is not used. */
		strides[i] = out->shape.dims[i] > 1 ? strides[i] * call->node->params.slice.step[i] : 0;
	}
	if (graph_count(&out->shape))
		call_gather(&out->shape, graph_type_size(out->type), call_in(call, 0), start, strides,
			    call_out(call, 0));
}

/* ---- Split ------------------------------------------------------------- */

/* Sizes of the parts: given, or as equal as they can be, the last one smaller. */
static int split_sizes(const struct op *op, uint32_t size, const int64_t *given, size_t count,
		       uint32_t part, int64_t *length)
{
	uint32_t parts = op->node->output_count, each = (size + parts - 1) / parts;

	if (given && count != parts)
		return op_fail(op, -EINVAL, "split has %zu sizes for %u outputs", count, parts);
	*length = given ? given[part] : part + 1 < parts ? each : (int64_t)size - (int64_t)each * part;
	if (*length < 0 || *length > size)
		return op_fail(op, -EINVAL, "%u elements do not split into %u parts", size, parts);
	return 0;
}

static int infer_split(const struct op *op)
{
	const struct graph_tensor in = *op_input(op, 0);
	int64_t *sizes, parts, sum = 0;
	uint32_t axis;
	size_t count;
	int ret = op_list(op, "split", 1, &sizes, &count);

	if (!ret)
		ret = op_axis(op, "axis", in.shape.rank, false, 0, &axis);
	if (!ret)
		ret = op_int(op, "num_outputs", 1, UINT32_MAX, op->node->output_count, &parts);
	if (!ret && parts != op->node->output_count)
		ret = op_fail(op, -EINVAL, "num_outputs is %lld, there are %u", (long long)parts,
			      op->node->output_count);
	for (uint32_t i = 0; !ret && i < op->node->output_count; i++) {
		struct graph_shape shape = in.shape;
		int64_t length = 0;

		ret = split_sizes(op, in.shape.dims[axis], sizes, count, i, &length);
		if (ret)
			break;
		sum += length;
		shape.dims[axis] = (uint32_t)length;
		ret = op_output(op, i, in.type, &shape);
	}
	if (!ret && sum != in.shape.dims[axis])
		ret = op_fail(op, -EINVAL, "parts have %lld elements together, not %u", (long long)sum,
			      in.shape.dims[axis]);
	if (!ret)
		op->node->params.axis = axis;
	free(sizes);
	return ret;
}

static void compute_split(const struct op_call *call)
{
	const struct graph_tensor *in = call_input(call, 0);
	uint32_t axis = call->node->params.axis;
	ptrdiff_t strides[GRAPH_MAX_RANK], start = 0;

	call_packed(&in->shape, strides);
	for (uint32_t i = 0; i < call->node->output_count; i++) {
		const struct graph_tensor *out = call_output(call, i);

		if (!out)
			continue;
		if (graph_count(&out->shape))
			call_gather(&out->shape, graph_type_size(in->type), call_in(call, 0), start,
				    strides, call_out(call, i));
		start += (ptrdiff_t)out->shape.dims[axis] * strides[axis];
	}
}

/* ---- Gather ------------------------------------------------------------ */

static int infer_gather(const struct op *op)
{
	const struct graph_tensor *in = op_input(op, 0), *indices = op_input(op, 1);
	struct graph_shape shape = { 0 };
	uint32_t axis;
	int ret = op_check_input(op, 1, GRAPH_INT, "indices");

	if (!ret)
		ret = op_axis(op, "axis", in->shape.rank, false, 0, &axis);
	if (ret)
		return ret;
	if (in->shape.rank - 1 + indices->shape.rank > GRAPH_MAX_RANK)
		return op_fail(op, -ENOTSUP, "result is of rank %u; supported is %d",
			       in->shape.rank - 1 + indices->shape.rank, GRAPH_MAX_RANK);
	for (uint32_t i = 0; i < axis; i++)
		shape.dims[shape.rank++] = in->shape.dims[i];
	for (uint32_t i = 0; i < indices->shape.rank; i++)
		shape.dims[shape.rank++] = indices->shape.dims[i];
	for (uint32_t i = axis + 1; i < in->shape.rank; i++)
		shape.dims[shape.rank++] = in->shape.dims[i];
	if (!in->shape.dims[axis] && graph_count(&indices->shape))
		return op_fail(op, -EINVAL, "gathers from an axis of no elements");
	op->node->params.axis = axis;
	return op_output(op, 0, in->type, &shape);
}

size_t gather_index(int64_t index, uint32_t size)
{
	index += index < 0 ? size : 0;
	return index < 0 ? 0 : index >= size ? size - 1 : (size_t)index;
}

static void compute_gather(const struct op_call *call)
{
	const struct graph_tensor *in = call_input(call, 0);
	const struct graph_shape *shape = &call_input(call, 1)->shape;
	uint32_t axis = call->node->params.axis, size = in->shape.dims[axis];
	size_t outer = 1, bytes = graph_type_size(in->type), count = graph_count(shape);
	const int64_t *indices = call_in(call, 1);
	const char *from = call_in(call, 0);
	char *to = call_out(call, 0);

	for (uint32_t i = 0; i < axis; i++)
		outer *= in->shape.dims[i];
	for (uint32_t i = axis + 1; i < in->shape.rank; i++)
		bytes *= in->shape.dims[i];
	for (size_t o = 0; o < outer; o++, from += size * bytes) {
		for (size_t i = 0; i < count; i++, to += bytes)
			memcpy(to, from + gather_index(indices[i], size) * bytes, bytes);
	}
}

/* ---- GatherElements ---------------------------------------------------- */

/* Each element of indices names a place along one axis, where its own along the others is. */
static int infer_gather_elements(const struct op *op)
{
	const struct graph_shape *in = &op_input(op, 0)->shape, *indices = &op_input(op, 1)->shape;
	uint32_t axis;
	int ret = op_check_input(op, 1, GRAPH_INT, "indices");

	if (!ret)
		ret = op_axis(op, "axis", in->rank, false, 0, &axis);
	if (ret)
		return ret;
	if (in->rank != indices->rank)
		return op_fail(op, -EINVAL, "indices are of rank %u, the input of %u", indices->rank, in->rank);
	for (uint32_t i = 0; i < in->rank; i++) {
		if (graph_count(indices) && (i == axis ? !in->dims[i] : indices->dims[i] > in->dims[i]))
			return op_fail(op, -EINVAL, "%u indices along axis %u do not fit %u elements",
				       indices->dims[i], i, in->dims[i]);
	}
	op->node->params.axis = axis;
	return op_output(op, 0, op_input(op, 0)->type, indices);
}

static void compute_gather_elements(const struct op_call *call)
{
	const struct graph_shape *in = &call_input(call, 0)->shape, *out = &call_output(call, 0)->shape;
	size_t size = graph_type_size(call_output(call, 0)->type), count = graph_count(out);
	const int64_t *indices = call_in(call, 1);
	uint32_t along = call->node->params.axis;
	ptrdiff_t strides[GRAPH_MAX_RANK];

	call_packed(in, strides);
	for (size_t i = 0; i < count; i++) {
		size_t rest = i, at = gather_index(indices[i], in->dims[along]) * (size_t)strides[along];

		for (uint32_t axis = out->rank; axis--; rest /= out->dims[axis]) {
			if (axis != along)
				at += rest % out->dims[axis] * (size_t)strides[axis];
		}
		memcpy((char *)call_out(call, 0) + i * size,
		       (const char *)call_in(call, 0) + at * size, size);
	}
}

/* ---- GatherND ---------------------------------------------------------- */

/* Elements of some axes. */
static size_t count_axes(const struct graph_shape *shape, uint32_t first, uint32_t end)
{
	size_t count = 1;

	for (uint32_t i = first; i < end; i++)
		count *= shape->dims[i];
	return count;
}

/* Of each batch, each row of indices names a place along the first axes behind. */
static int infer_gather_nd(const struct op *op)
{
	const struct graph_shape *in = &op_input(op, 0)->shape, *indices = &op_input(op, 1)->shape;
	struct graph_shape shape = { 0 };
	uint32_t depth, last;
	int64_t batch;
	int ret = op_check_input(op, 1, GRAPH_INT, "indices");

	if (!ret)
		ret = op_int(op, "batch_dims", 0, GRAPH_MAX_RANK, 0, &batch);
	if (ret)
		return ret;
	last = indices->rank - 1;
	if (!indices->rank || !in->rank || batch > last || batch >= in->rank ||
	    memcmp(in->dims, indices->dims, (size_t)batch * sizeof(in->dims[0])))
		return op_fail(op, -EINVAL, "%lld batch dimensions do not fit the inputs",
			       (long long)batch);
	depth = indices->dims[last];
	if (!depth || depth > in->rank - batch ||
	    (graph_count(indices) && !graph_count(in)))
		return op_fail(op, -EINVAL, "indices of %u axes do not fit the input", depth);
	if (last + in->rank - (uint32_t)batch - depth > GRAPH_MAX_RANK)
		return op_fail(op, -ENOTSUP, "result is of too many dimensions");
	for (uint32_t i = 0; i < last; i++)
		shape.dims[shape.rank++] = indices->dims[i];
	for (uint32_t i = (uint32_t)batch + depth; i < in->rank; i++)
		shape.dims[shape.rank++] = in->dims[i];
	op->node->params.axis = (uint32_t)batch;
	return op_output(op, 0, op_input(op, 0)->type, &shape);
}

static void compute_gather_nd(const struct op_call *call)
{
	const struct graph_tensor *in = call_input(call, 0);
	const struct graph_shape *indices = &call_input(call, 1)->shape;
	uint32_t batch = call->node->params.axis, depth = indices->dims[indices->rank - 1];
	size_t piece = count_axes(&in->shape, batch + depth, in->shape.rank) * graph_type_size(in->type);
	size_t places = count_axes(&in->shape, batch, batch + depth);
	size_t rows = count_axes(indices, batch, indices->rank - 1), batches = count_axes(indices, 0, batch);
	const int64_t *index = call_in(call, 1);
	const char *from = call_in(call, 0);
	char *to = call_out(call, 0);

	for (size_t b = 0; b < batches; b++, from += places * piece) {
		for (size_t r = 0; r < rows; r++, to += piece) {
			size_t at = 0;

			for (uint32_t i = 0; i < depth; i++)
				at = at * in->shape.dims[batch + i] +
				     gather_index(*index++, in->shape.dims[batch + i]);
			memcpy(to, from + at * piece, piece);
		}
	}
}

/* ---- Expand and Tile --------------------------------------------------- */

static int infer_expand(const struct op *op)
{
	struct graph_shape wanted, shape;
	int64_t *dims;
	size_t count;
	char text[2][GRAPH_SHAPE_TEXT];
	int ret = op_list(op, NULL, 1, &dims, &count);

	if (ret)
		return ret;
	wanted.rank = (uint32_t)count;
	if (count > GRAPH_MAX_RANK)
		ret = op_fail(op, -ENOTSUP, "to %zu dimensions; supported is %d", count, GRAPH_MAX_RANK);
	for (size_t i = 0; !ret && i < count; i++) {
		if (dims[i] < 0 || dims[i] > UINT32_MAX)
			ret = op_fail(op, -EINVAL, "shape has impossible dimension %lld",
				      (long long)dims[i]);
		wanted.dims[i] = (uint32_t)dims[i];
	}
	if (!ret && !op_broadcast(&op_input(op, 0)->shape, &wanted, &shape))
		ret = op_fail(op, -EINVAL, "%s does not expand to %s",
			      graph_shape_text(&op_input(op, 0)->shape, text[0]),
			      graph_shape_text(&wanted, text[1]));
	free(dims);
	return ret ? ret : op_output(op, 0, op_input(op, 0)->type, &shape);
}

static void compute_expand(const struct op_call *call)
{
	const struct graph_tensor *out = call_output(call, 0);
	size_t from[GRAPH_MAX_RANK];
	ptrdiff_t strides[GRAPH_MAX_RANK];

	call_strides(&call_input(call, 0)->shape, &out->shape, from);
	for (uint32_t i = 0; i < out->shape.rank; i++)
		strides[i] = (ptrdiff_t)from[i];
	if (graph_count(&out->shape))
		call_gather(&out->shape, graph_type_size(out->type), call_in(call, 0), 0, strides,
			    call_out(call, 0));
}

static int infer_tile(const struct op *op)
{
	struct graph_shape shape = op_input(op, 0)->shape;
	int64_t *repeats;
	size_t count;
	int ret = op_list(op, NULL, 1, &repeats, &count);

	if (!ret && count != shape.rank)
		ret = op_fail(op, -EINVAL, "repeats has %zu elements, not %u", count, shape.rank);
	for (uint32_t i = 0; !ret && i < shape.rank; i++) {
		uint64_t dim;

		if (repeats[i] < 0 ||
		    __builtin_mul_overflow((uint64_t)repeats[i], shape.dims[i], &dim) ||
		    dim > UINT32_MAX)
			ret = op_fail(op, -EINVAL, "repeats %lld times along axis %u",
				      (long long)repeats[i], i);
		else
			shape.dims[i] = (uint32_t)dim;
	}
	free(repeats);
	return ret ? ret : op_output(op, 0, op_input(op, 0)->type, &shape);
}

static void compute_tile(const struct op_call *call)
{
	const struct graph_shape *in = &call_input(call, 0)->shape;
	const struct graph_shape *out = &call_output(call, 0)->shape;
	size_t size = graph_type_size(call_output(call, 0)->type), count = graph_count(out);
	ptrdiff_t strides[GRAPH_MAX_RANK];

	call_packed(in, strides);
	for (size_t i = 0; i < count; i++) {
		size_t rest = i, at = 0;

		for (uint32_t axis = out->rank; axis--; rest /= out->dims[axis])
			at += rest % out->dims[axis] % in->dims[axis] * (size_t)strides[axis];
		memcpy((char *)call_out(call, 0) + i * size,
		       (const char *)call_in(call, 0) + at * size, size);
	}
}

const struct operator operators_selection[] = {
	{ "Slice", 1, 5, 1, "axes ends starts", .infer = infer_slice, .compute = compute_slice },
	{ "Split", 1, 2, XRNPE_OPERATOR_ANY, "axis num_outputs split", .infer = infer_split,
	  .compute = compute_split },
	{ "Gather", 2, 2, 1, "axis", .infer = infer_gather, .compute = compute_gather },
	{ "GatherElements", 2, 2, 1, "axis", .infer = infer_gather_elements,
	  .compute = compute_gather_elements },
	{ "GatherND", 2, 2, 1, "batch_dims", .infer = infer_gather_nd, .compute = compute_gather_nd },
	{ "Expand", 2, 2, 1, "", .infer = infer_expand, .compute = compute_expand },
	{ "Tile", 2, 2, 1, "", .infer = infer_tile, .compute = compute_tile, .since = 6 },
	{ 0 },
};

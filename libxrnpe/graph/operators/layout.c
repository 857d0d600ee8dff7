// SPDX-License-Identifier: MIT
/* The same elements under another shape, or in another order. */
#include <stdlib.h>

#include "families.h"

/* ---- another shape ----------------------------------------------------- */

static void compute_copy(const struct op_call *call)
{
	const struct graph_tensor *out = call_output(call, 0);

	memcpy(call_out(call, 0), call_in(call, 0),
	       graph_count(&out->shape) * graph_type_size(out->type));
}

static int infer_identity(const struct op *op)
{
	return op_output(op, 0, op_input(op, 0)->type, &op_input(op, 0)->shape);
}

/* Its mask, if anybody asks for it, says that everything is kept. */
static int infer_dropout(const struct op *op)
{
	const struct graph_tensor *training;
	int64_t seed;
	float ratio;
	int ret = op_float(op, "ratio", 0.5f, &ratio);

	if (!ret)
		ret = op_int(op, "seed", INT64_MIN, INT64_MAX, 0, &seed);
	if (!ret && op_has_input(op, 2)) {
		ret = op_constant(op, 2, GRAPH_BOOL, "training_mode", &training);
		if (!ret && (graph_count(&training->shape) != 1 || *(const uint8_t *)training->data))
			ret = op_fail(op, -ENOTSUP, "training mode is not supported");
	}
	if (!ret)
		ret = op_output(op, 1, GRAPH_BOOL, &op_input(op, 0)->shape);
	return ret ? ret : infer_identity(op);
}

static void compute_dropout(const struct op_call *call)
{
	compute_copy(call);
	if (call_out(call, 1))
		memset(call_out(call, 1), 1, graph_count(&call_output(call, 1)->shape));
}

/* The sizes asked for: 0 is the input's own (unless zeros are allowed), -1 what is left. */
static int solve_reshape(const struct op *op, const int64_t *wanted, size_t count, bool allow_zero,
			 struct graph_shape *out)
{
	const struct graph_shape *in = &op_input(op, 0)->shape;
	size_t known = 1, all = graph_count(in);
	size_t open = count;
	char text[GRAPH_SHAPE_TEXT];

	out->rank = (uint32_t)count;
	for (size_t i = 0; i < count; i++) {
		int64_t dim = wanted[i];

		if (dim == -1 && open == count) {
			open = i;
			dim = 1;
		} else if (dim == 0 && !allow_zero) {
			if (i >= in->rank)
				return op_fail(op, -EINVAL, "shape keeps dimension %zu of %s", i,
					       graph_shape_text(in, text));
			dim = in->dims[i];
		}
		if (dim < 0 || dim > UINT32_MAX)
			return op_fail(op, -EINVAL, "shape has impossible dimension %lld",
				       (long long)wanted[i]);
		out->dims[i] = (uint32_t)dim;
		if (__builtin_mul_overflow(known, (size_t)dim, &known))
			return op_fail(op, -EINVAL, "shape is too large");
	}
	if (open < count && known && all % known == 0 && all / known <= UINT32_MAX) {
		out->dims[open] = (uint32_t)(all / known);
		known *= out->dims[open];
	}
	if (known != all)
		return op_fail(op, -EINVAL, "%s does not become the shape asked for",
			       graph_shape_text(in, text));
	return 0;
}

static int infer_reshape(const struct op *op)
{
	struct graph_shape out;
	int64_t *wanted;
	bool allow_zero;
	size_t count;
	int ret = op_bool(op, "allowzero", false, &allow_zero);

	if (!ret)
		ret = op_list(op, NULL, 1, &wanted, &count);
	if (ret)
		return ret;
	if (count > GRAPH_MAX_RANK)
		ret = op_fail(op, -ENOTSUP, "to %zu dimensions; supported is %d", count, GRAPH_MAX_RANK);
	if (!ret)
		ret = solve_reshape(op, wanted, count, allow_zero, &out);
	free(wanted);
	return ret ? ret : op_output(op, 0, op_input(op, 0)->type, &out);
}

static int infer_flatten(const struct op *op)
{
	const struct graph_shape *in = &op_input(op, 0)->shape;
	struct graph_shape out = { 2, { 1, 1 } };
	uint32_t axis;
	int ret = op_axis(op, "axis", in->rank, true, in->rank ? 1 : 0, &axis);

	if (ret)
		return ret;
	for (uint32_t i = 0; i < in->rank; i++)
		out.dims[i >= axis] *= in->dims[i];
	return op_output(op, 0, op_input(op, 0)->type, &out);
}

/* Marks the axes that the list names, of @rank; twice is an error. */
static int mark_axes(const struct op *op, const int64_t *axes, size_t count, uint32_t rank,
		     bool marks[GRAPH_MAX_RANK])
{
	memset(marks, 0, GRAPH_MAX_RANK * sizeof(*marks));
	for (size_t i = 0; i < count; i++) {
		int64_t axis = axes[i] < 0 ? axes[i] + rank : axes[i];

		if (axis < 0 || axis >= rank || marks[axis])
			return op_fail(op, -EINVAL, "axis %lld is not one of %u, or given twice",
				       (long long)axes[i], rank);
		marks[axis] = true;
	}
	return 0;
}

static int infer_squeeze(const struct op *op)
{
	const struct graph_shape *in = &op_input(op, 0)->shape;
	struct graph_shape out = { 0 };
	bool marks[GRAPH_MAX_RANK];
	int64_t *axes;
	size_t count;
	int ret = op_list(op, "axes", 1, &axes, &count);

	if (!ret)
		ret = mark_axes(op, axes, count, in->rank, marks);
	for (uint32_t i = 0; !ret && i < in->rank; i++) {
		if (axes && marks[i] && in->dims[i] != 1)
			ret = op_fail(op, -EINVAL, "axis %u has %u elements, not one", i, in->dims[i]);
		if (!(axes ? marks[i] : in->dims[i] == 1))
			out.dims[out.rank++] = in->dims[i];
	}
	free(axes);
	return ret ? ret : op_output(op, 0, op_input(op, 0)->type, &out);
}

static int infer_unsqueeze(const struct op *op)
{
	const struct graph_shape *in = &op_input(op, 0)->shape;
	struct graph_shape out = { 0 };
	bool marks[GRAPH_MAX_RANK];
	int64_t *axes;
	size_t count;
	int ret = op_list(op, "axes", 1, &axes, &count);

	if (!ret && !axes)
		ret = op_fail(op, -EINVAL, "axes are missing");
	if (!ret && in->rank + count > GRAPH_MAX_RANK)
		ret = op_fail(op, -ENOTSUP, "to %zu dimensions; supported is %d", in->rank + count,
			      GRAPH_MAX_RANK);
	if (!ret) {
		out.rank = in->rank + (uint32_t)count;
		ret = mark_axes(op, axes, count, out.rank, marks);
	}
	for (uint32_t i = 0, from = 0; !ret && i < out.rank; i++)
		out.dims[i] = marks[i] ? 1 : in->dims[from++];
	free(axes);
	return ret ? ret : op_output(op, 0, op_input(op, 0)->type, &out);
}

/* ---- another order ----------------------------------------------------- */

static int infer_transpose(const struct op *op)
{
	const struct graph_shape *in = &op_input(op, 0)->shape;
	int64_t perm[GRAPH_MAX_RANK];
	struct graph_shape out = { in->rank, { 0 } };
	uint32_t seen = 0;
	int ret;

	for (uint32_t i = 0; i < in->rank; i++)
		perm[i] = in->rank - 1 - i;
	ret = op_ints(op, "perm", 0, (int64_t)in->rank - 1, in->rank, perm);
	for (uint32_t i = 0; !ret && i < in->rank; i++) {
		seen |= 1u << perm[i];
		out.dims[i] = in->dims[perm[i]];
		op->node->params.perm[i] = (uint32_t)perm[i];
	}
	if (!ret && seen != (1u << in->rank) - 1)
		ret = op_fail(op, -EINVAL, "attribute perm names an axis twice");
	return ret ? ret : op_output(op, 0, op_input(op, 0)->type, &out);
}

static void compute_transpose(const struct op_call *call)
{
	const struct graph_tensor *out = call_output(call, 0);
	ptrdiff_t from[GRAPH_MAX_RANK], strides[GRAPH_MAX_RANK];

	call_packed(&call_input(call, 0)->shape, from);
	for (uint32_t i = 0; i < out->shape.rank; i++)
		strides[i] = from[call->node->params.perm[i]];
	call_gather(&out->shape, graph_type_size(out->type), call_in(call, 0), 0, strides,
		    call_out(call, 0));
}

/* Input of rank 4 and the block's size, which is at least 1. */
static int infer_block(const struct op *op, const struct graph_shape **in, uint32_t *block)
{
	int64_t size;
	int ret;

	*in = &op_input(op, 0)->shape;
	if ((*in)->rank != 4)
		return op_fail(op, -EINVAL, "input is of rank %u, not 4", (*in)->rank);
	ret = op_int(op, "blocksize", 1, 1 << 15, 0, &size);
	*block = (uint32_t)size;
	op->node->params.block.size = *block;
	return ret;
}

static int infer_depth_to_space(const struct op *op)
{
	const struct graph_shape *in;
	uint32_t block = 1, mode;
	int ret = infer_block(op, &in, &block);

	if (!ret)
		ret = op_choice(op, "mode", "DCR CRD", &mode);
	if (ret)
		return ret;
	op->node->params.block.column_row_depth = mode == 1;
	if (in->dims[1] % (block * block))
		return op_fail(op, -EINVAL, "%u channels do not divide into blocks of %u x %u",
			       in->dims[1], block, block);
	return op_output(op, 0, op_input(op, 0)->type, &(struct graph_shape){ 4, {
		in->dims[0], in->dims[1] / (block * block), in->dims[2] * block,
		in->dims[3] * block } });
}

/*
 * Both are transpositions of rank 6: of the image n, c, y, block row, x, block column
 * and the deep tensor n, block row, block column, c, y, x (or n, c, block row ...).
 */
static void compute_depth_to_space(const struct op_call *call)
{
	const struct graph_tensor *out = call_output(call, 0);
	uint32_t b = call->node->params.block.size;
	const struct graph_shape shape = { 6, { out->shape.dims[0], out->shape.dims[1],
		out->shape.dims[2] / b, b, out->shape.dims[3] / b, b } };
	ptrdiff_t plane = (ptrdiff_t)shape.dims[2] * shape.dims[4];
	bool crd = call->node->params.block.column_row_depth;
	ptrdiff_t channel = crd ? plane * b * b : plane;
	ptrdiff_t row = crd ? plane * b : plane * b * shape.dims[1];
	ptrdiff_t column = crd ? plane : plane * shape.dims[1];

	call_gather(&shape, graph_type_size(out->type), call_in(call, 0), 0, (const ptrdiff_t[]){
		plane * b * b * shape.dims[1], channel, shape.dims[4], row, 1, column },
		call_out(call, 0));
}

static int infer_space_to_depth(const struct op *op)
{
	const struct graph_shape *in;
	uint32_t block = 1;
	int ret = infer_block(op, &in, &block);

	if (ret)
		return ret;
	if (in->dims[2] % block || in->dims[3] % block)
		return op_fail(op, -EINVAL, "image of %u x %u does not divide into blocks of %u",
			       in->dims[2], in->dims[3], block);
	return op_output(op, 0, op_input(op, 0)->type, &(struct graph_shape){ 4, {
		in->dims[0], in->dims[1] * block * block, in->dims[2] / block,
		in->dims[3] / block } });
}

static void compute_space_to_depth(const struct op_call *call)
{
	const struct graph_shape *in = &call_input(call, 0)->shape;
	uint32_t b = call->node->params.block.size;
	const struct graph_shape shape = { 6, { in->dims[0], b, b, in->dims[1], in->dims[2] / b,
						in->dims[3] / b } };
	ptrdiff_t width = in->dims[3], plane = width * in->dims[2];

	call_gather(&shape, graph_type_size(call_output(call, 0)->type), call_in(call, 0), 0,
		    (const ptrdiff_t[]){ plane * in->dims[1], width, 1, plane, width * b, b },
		    call_out(call, 0));
}

const struct operator operators_layout[] = {
	{ "Identity", 1, 1, 1, "", .infer = infer_identity, .compute = compute_copy },
	{ "Dropout", 1, 3, 2, "ratio seed", .infer = infer_dropout, .compute = compute_dropout,
	  .since = 7 },
	{ "Reshape", 2, 2, 1, "allowzero", .infer = infer_reshape, .compute = compute_copy, .since = 5 },
	{ "Flatten", 1, 1, 1, "axis", .infer = infer_flatten, .compute = compute_copy },
	{ "Squeeze", 1, 2, 1, "axes", .infer = infer_squeeze, .compute = compute_copy },
	{ "Unsqueeze", 1, 2, 1, "axes", .infer = infer_unsqueeze, .compute = compute_copy },
	{ "Transpose", 1, 1, 1, "perm", .infer = infer_transpose, .compute = compute_transpose },
	{ "DepthToSpace", 1, 1, 1, "blocksize mode", .infer = infer_depth_to_space,
	  .compute = compute_depth_to_space },
	{ "SpaceToDepth", 1, 1, 1, "blocksize", .infer = infer_space_to_depth,
	  .compute = compute_space_to_depth },
	{ 0 },
};

// SPDX-License-Identifier: MIT
/* Tensors that are made of shapes and numbers, when the graph is built. */
#include <math.h>
#include <stdlib.h>

#include "families.h"

/* ---- Shape and Size ---------------------------------------------------- */

/* Axes @start .. @end - 1 of the input's, each as NumPy limits it. */
static int shape_limit(const struct op *op, const char *name, int64_t fallback, uint32_t *limit)
{
	uint32_t rank = op_input(op, 0)->shape.rank;
	int64_t value;
	int ret = op_int(op, name, INT64_MIN, INT64_MAX, fallback, &value);

	value += value < 0 ? rank : 0;
	*limit = value < 0 ? 0 : value > rank ? rank : (uint32_t)value;
	return ret;
}

static int infer_shape(const struct op *op)
{
	uint32_t start, end;
	int ret = shape_limit(op, "start", 0, &start);

	if (!ret)
		ret = shape_limit(op, "end", op_input(op, 0)->shape.rank, &end);
	if (ret)
		return ret;
	op->node->params.axis = start;
	return op_output(op, 0, GRAPH_INT, &(struct graph_shape){
		1, { end > start ? end - start : 0 } });
}

static void compute_shape(const struct op_call *call)
{
	const struct graph_shape *in = &call_input(call, 0)->shape;
	int64_t *out = call_out(call, 0);

	for (uint32_t i = 0; i < call_output(call, 0)->shape.dims[0]; i++)
		out[i] = in->dims[call->node->params.axis + i];
}

static int infer_size(const struct op *op)
{
	return op_output(op, 0, GRAPH_INT, &(struct graph_shape){ 0 });
}

static void compute_size(const struct op_call *call)
{
	*(int64_t *)call_out(call, 0) = (int64_t)graph_count(&call_input(call, 0)->shape);
}

/* ---- ConstantOfShape --------------------------------------------------- */

static int infer_constant_of_shape(const struct op *op)
{
	const struct graph_attribute *attribute = op_attribute(op, "value");
	const struct graph_tensor *value = NULL;
	struct graph_shape shape;
	int64_t *dims;
	size_t count;
	int ret = op_list(op, NULL, 0, &dims, &count);

	if (ret)
		return ret;
	shape.rank = (uint32_t)count;
	if (count > GRAPH_MAX_RANK)
		ret = op_fail(op, -ENOTSUP, "of %zu dimensions; supported is %d", count, GRAPH_MAX_RANK);
	for (size_t i = 0; !ret && i < count; i++) {
		if (dims[i] < 0 || dims[i] > UINT32_MAX)
			ret = op_fail(op, -EINVAL, "shape has impossible dimension %lld",
				      (long long)dims[i]);
		shape.dims[i] = (uint32_t)dims[i];
	}
	free(dims);
	if (!ret && attribute && attribute->kind == GRAPH_ATTRIBUTE_TENSOR)
		value = &op->graph->tensors[attribute->tensor];
	if (!ret && attribute && (!value || graph_count(&value->shape) != 1))
		ret = op_fail(op, -EINVAL, "attribute value is not a tensor of one element");
	return ret ? ret : op_output(op, 0, value ? value->type : GRAPH_FLOAT, &shape);
}

static void compute_constant_of_shape(const struct op_call *call)
{
	const struct graph_tensor *out = call_output(call, 0);
	size_t size = graph_type_size(out->type), count = graph_count(&out->shape);

	for (size_t i = 0; i < count; i++) {
		char *to = (char *)call_out(call, 0) + i * size;

		if (call->node->attribute_count)
			memcpy(to, call->tensors[call->node->attributes[0].tensor], size);
		else
			memset(to, 0, size);
	}
}

/* ---- Range ------------------------------------------------------------- */

/* Number of elements from the three inputs, which are constants of one element. */
static int range_count(const struct op *op, enum graph_type type, double *count)
{
	static const char *const names[] = { "start", "limit", "delta" };
	double values[3];

	for (uint32_t i = 0; i < 3; i++) {
		const struct graph_tensor *tensor;
		int ret = op_constant(op, i, type, names[i], &tensor);

		if (ret)
			return ret;
		if (graph_count(&tensor->shape) != 1)
			return op_fail(op, -EINVAL, "%s has not one element", names[i]);
		values[i] = type == GRAPH_INT ? (double)*(const int64_t *)tensor->data :
						*(const float *)tensor->data;
	}
	*count = ceil((values[1] - values[0]) / values[2]);
	return 0;
}

static int infer_range(const struct op *op)
{
	enum graph_type type = op_input(op, 0)->type;
	double count = 0;
	int ret = range_count(op, type, &count);

	if (ret)
		return ret;
	if (isnan(count) || count > (double)GRAPH_MAX_ELEMENTS)
		return op_fail(op, -EINVAL, "start, limit and delta give no range");
	return op_output(op, 0, type, &(struct graph_shape){ 1, { count > 0 ? (uint32_t)count : 0 } });
}

static void compute_range(const struct op_call *call)
{
	const struct graph_tensor *out = call_output(call, 0);

	for (uint32_t i = 0; i < out->shape.dims[0]; i++) {
		if (out->type == GRAPH_INT)
			((int64_t *)call_out(call, 0))[i] = (int64_t)(
				*(const uint64_t *)call_in(call, 0) +
				i * *(const uint64_t *)call_in(call, 2));
		else
			((float *)call_out(call, 0))[i] = *(const float *)call_in(call, 0) +
							  (float)i * *(const float *)call_in(call, 2);
	}
}

const struct operator operators_constant[] = {
	{ "Shape", 1, 1, 1, "end start", .infer = infer_shape, .compute = compute_shape,
	  .of_shapes = true },
	{ "Size", 1, 1, 1, "", .infer = infer_size, .compute = compute_size, .of_shapes = true },
	{ "ConstantOfShape", 1, 1, 1, "value", .infer = infer_constant_of_shape,
	  .compute = compute_constant_of_shape },
	{ "Range", 3, 3, 1, "", .infer = infer_range, .compute = compute_range },
	{ 0 },
};

// SPDX-License-Identifier: MIT
/* Shapes and lines of element-wise operators. */
#include "broadcast.h"

int broadcast_infer(const struct op *op, enum graph_type in, enum graph_type out)
{
	struct graph_shape shape = op_input(op, 0)->shape;
	char text[2][GRAPH_SHAPE_TEXT];

	for (uint32_t i = 0; i < op->node->input_count; i++) {
		int ret = op_check_input(op, i, in, "input");

		if (ret)
			return ret;
		if (!op_broadcast(&shape, &op_input(op, i)->shape, &shape))
			return op_fail(op, -EINVAL, "inputs of %s and %s do not fit",
				       graph_shape_text(&shape, text[0]),
				       graph_shape_text(&op_input(op, i)->shape, text[1]));
	}
	return op_output(op, 0, out, &shape);
}

/* Axes of the output with the inputs' strides along each. */
struct axes {
	uint32_t rank;
	size_t dims[GRAPH_MAX_RANK];
	size_t strides[3][GRAPH_MAX_RANK];
};

/* An axis and the next one are one where all inputs go on in step. */
static void merge_axes(struct axes *axes, uint32_t inputs)
{
	uint32_t kept = 0;

	for (uint32_t i = 1; i < axes->rank; i++) {
		bool merges = true;

		for (uint32_t k = 0; k < inputs; k++)
			merges &= axes->strides[k][kept] == axes->strides[k][i] * axes->dims[i];
		if (merges) {
			axes->dims[kept] *= axes->dims[i];
		} else {
			kept++;
			axes->dims[kept] = axes->dims[i];
		}
		for (uint32_t k = 0; k < inputs; k++)
			axes->strides[k][kept] = axes->strides[k][i];
	}
	axes->rank = kept + 1;
}

static struct axes find_axes(const struct graph_shape *shape, const struct broadcast *operands,
			     uint32_t inputs)
{
	struct axes axes = { .rank = 0 };

	for (uint32_t k = 0; k < inputs; k++) {
		size_t strides[GRAPH_MAX_RANK];

		call_strides(&operands[k].tensor->shape, shape, strides);
		axes.rank = 0;
		for (uint32_t i = 0; i < shape->rank; i++) {
			if (shape->dims[i] == 1)
				continue;
			axes.dims[axes.rank] = shape->dims[i];
			axes.strides[k][axes.rank++] = strides[i];
		}
	}
	if (!axes.rank) {
		axes.dims[0] = 1;
		axes.rank = 1;
	}
	merge_axes(&axes, inputs);
	return axes;
}

void broadcast_lines(const struct graph_tensor *out, void *data, const struct broadcast *operands,
		     uint32_t inputs, void (*line)(const struct line *line))
{
	const struct axes axes = find_axes(&out->shape, operands, inputs);
	size_t count = axes.dims[axes.rank - 1];
	size_t lines = count ? graph_count(&out->shape) / count : 0;
	struct line one = { .count = count };

	for (size_t n = 0; n < lines; n++) {
		size_t at[3] = { 0 }, rest = n;

		for (uint32_t i = axes.rank - 1; i--; rest /= axes.dims[i]) {
			for (uint32_t k = 0; k < inputs; k++)
				at[k] += rest % axes.dims[i] * axes.strides[k][i];
		}
		for (uint32_t k = 0; k < inputs; k++) {
			one.in[k] = (const char *)operands[k].data +
				    at[k] * graph_type_size(operands[k].tensor->type);
			one.step[k] = axes.strides[k][axes.rank - 1];
		}
		one.out = (char *)data + n * count * graph_type_size(out->type);
		line(&one);
	}
}

void broadcast_compute(const struct op_call *call, uint32_t count,
		       void (*line)(const struct line *line))
{
	struct broadcast operands[3];

	for (uint32_t k = 0; k < count; k++)
		operands[k] = (struct broadcast){ call_input(call, k), call_in(call, k) };
	broadcast_lines(call_output(call, 0), call_out(call, 0), operands, count, line);
}

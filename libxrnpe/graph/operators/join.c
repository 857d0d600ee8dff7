// SPDX-License-Identifier: MIT
/* Tensors put together, and put into a frame. */
#include <stdlib.h>

#include "families.h"

/* ---- Concat ------------------------------------------------------------ */

static int infer_concat(const struct op *op)
{
	const struct graph_tensor *first = op_input(op, 0);
	struct graph_shape shape = first->shape;
	char text[2][GRAPH_SHAPE_TEXT];
	uint32_t axis;
	int ret = op_axis(op, "axis", shape.rank, false, 0, &axis);

	for (uint32_t i = 1; !ret && i < op->node->input_count; i++) {
		const struct graph_tensor *other = op_input(op, i);
		struct graph_shape wanted = first->shape;

		if (!other)
			return op_fail(op, -EINVAL, "input %u is missing", i);
		if (other->type != first->type || other->shape.rank != shape.rank)
			return op_fail(op, -EINVAL, "input %u is of another type or rank than input 0", i);
		wanted.dims[axis] = other->shape.dims[axis];
		if (!graph_shape_equal(&wanted, &other->shape))
			return op_fail(op, -EINVAL, "inputs of %s and %s do not fit along axis %u",
				       graph_shape_text(&first->shape, text[0]),
				       graph_shape_text(&other->shape, text[1]), axis);
		if (__builtin_add_overflow(shape.dims[axis], wanted.dims[axis], &shape.dims[axis]))
			return op_fail(op, -ENOTSUP, "result is too large");
	}
	op->node->params.axis = axis;
	return ret ? ret : op_output(op, 0, first->type, &shape);
}

static void compute_concat(const struct op_call *call)
{
	const struct graph_tensor *out = call_output(call, 0);
	size_t outer = 1, line = graph_type_size(out->type), at = 0;
	uint32_t axis = call->node->params.axis;

	for (uint32_t i = 0; i < axis; i++)
		outer *= out->shape.dims[i];
	for (uint32_t i = axis; i < out->shape.rank; i++)
		line *= out->shape.dims[i];
	for (uint32_t i = 0; i < call->node->input_count; i++) {
		const struct graph_tensor *in = call_input(call, i);
		size_t part = outer ? graph_count(&in->shape) * graph_type_size(in->type) / outer : 0;

		for (size_t o = 0; part && o < outer; o++)
			memcpy((char *)call_out(call, 0) + o * line + at,
			       (const char *)call_in(call, i) + o * part, part);
		at += part;
	}
}

/* ---- Pad --------------------------------------------------------------- */

enum pad_mode {
	PAD_CONSTANT,
	PAD_REFLECT,	/* the edge is not repeated */
	PAD_EDGE,
	PAD_WRAP,
};

/* Padding in front of and behind each axis, which may be listed by "axes". */
static int read_pads(const struct op *op, int64_t pads[2][GRAPH_MAX_RANK])
{
	uint32_t rank = op_input(op, 0)->shape.rank;
	int64_t *list, *axes;
	size_t count, axes_count;
	int ret = op_list(op, "pads", 1, &list, &count);

	if (ret)
		return ret;
	ret = op_list(op, NULL, 3, &axes, &axes_count);
	if (!ret && count != 2 * (axes ? axes_count : rank))
		ret = op_fail(op, -EINVAL, "pads has %zu elements, not %zu", count,
			      2 * (axes ? axes_count : rank));
	for (size_t i = 0; !ret && i < count / 2; i++) {
		int64_t axis = axes ? axes[i] + (axes[i] < 0 ? rank : 0) : (int64_t)i;

		if (axis < 0 || axis >= rank) {
			ret = op_fail(op, -EINVAL, "axis %lld is not one of %u", (long long)axes[i], rank);
			break;
		}
		pads[0][axis] = list[i];
		pads[1][axis] = list[count / 2 + i];
	}
	free(axes);
	free(list);
	return ret;
}

static int infer_pad(const struct op *op)
{
	const struct graph_tensor *in = op_input(op, 0);
	int64_t pads[2][GRAPH_MAX_RANK] = { 0 };
	struct graph_shape shape = in->shape;
	float value;
	int ret = op_choice(op, "mode", "constant reflect edge wrap", &op->node->params.pad.mode);

	if (!ret)
		ret = op_float(op, "value", 0, &value);
	if (!ret)
		ret = read_pads(op, pads);
	if (!ret && op_has_input(op, 2) &&
	    (op_input(op, 2)->type != in->type || graph_count(&op_input(op, 2)->shape) != 1))
		ret = op_fail(op, -EINVAL, "value is not one element of the input's type");
	for (uint32_t i = 0; !ret && i < shape.rank; i++) {
		int64_t dim, most = 1 << 26;

		if (pads[0][i] < -most || pads[0][i] > most || pads[1][i] < -most || pads[1][i] > most)
			return op_fail(op, -ENOTSUP, "pads axis %u by more than %lld elements", i,
				       (long long)most);
		dim = shape.dims[i] + pads[0][i] + pads[1][i];
		if (dim < 0 || dim > UINT32_MAX || (op->node->params.pad.mode && !shape.dims[i]))
			return op_fail(op, -EINVAL, "padding of axis %u leaves nothing", i);
		shape.dims[i] = (uint32_t)dim;
		op->node->params.pad.begin[i] = pads[0][i];
	}
	op->node->params.pad.value = value;
	return ret ? ret : op_output(op, 0, in->type, &shape);
}

/* The element of an axis of @size that stands at @at; false: one of the frame's. */
static bool pad_source(int64_t *at, int64_t size, enum pad_mode mode)
{
	int64_t period = 2 * (size - 1);

	if (*at >= 0 && *at < size)
		return true;
	switch (mode) {
	case PAD_CONSTANT:
		return false;
	case PAD_EDGE:
		*at = *at < 0 ? 0 : size - 1;
		return true;
	case PAD_WRAP:
		*at = (*at % size + size) % size;
		return true;
	case PAD_REFLECT:
		if (!period) {
			*at = 0;
			return true;
		}
		*at = (*at % period + period) % period;
		*at = *at < size ? *at : period - *at;
		return true;
	}
	return false;
}

uint32_t pad_index(const struct graph_node *node, uint32_t axis, uint32_t size, uint32_t i)
{
	int64_t at = (int64_t)i - node->params.pad.begin[axis];

	pad_source(&at, size, node->params.pad.mode);
	return (uint32_t)at;
}

/* @count elements of @size bytes that are all @value. */
static void fill(char *out, size_t count, size_t size, const void *value)
{
	for (size_t i = 0; i < count; i++)
		memcpy(out + i * size, value, size);
}

/* A padding while it is computed, by lines along the last axis. */
struct padding {
	const union graph_params *params;
	const void *value;
	size_t size;		/* of an element */
	int64_t begin, line;	/* elements before the input's line, and of that */
};

/* A line of @count elements from the input's line @in. */
static void pad_line(const struct padding *padding, const char *in, int64_t count, char *out)
{
	size_t size = padding->size;
	int64_t first = padding->begin > 0 ? padding->begin : 0;
	int64_t end = padding->begin + padding->line < count ? padding->begin + padding->line : count;

	if (first > end)
		first = end = first < count ? first : count;
	for (int64_t i = 0; i < count; i++) {
		int64_t at = i - padding->begin;

		if (i == first && end > first) {
			memcpy(out + (size_t)first * size, in + (size_t)at * size,
			       (size_t)(end - first) * size);
			i = end - 1;
			continue;
		}
		fill(out + (size_t)i * size, 1, size,
		     pad_source(&at, padding->line, padding->params->pad.mode) ?
		     in + (size_t)at * size : padding->value);
	}
}

static void compute_pad(const struct op_call *call)
{
	const struct graph_shape *in = &call_input(call, 0)->shape;
	const struct graph_tensor *out = call_output(call, 0);
	uint32_t last = out->shape.rank ? out->shape.rank - 1 : 0;
	size_t size = graph_type_size(out->type);
	size_t count = out->shape.rank ? out->shape.dims[last] : 1;
	const int64_t zero = 0;
	const struct padding padding = {
		.params = &call->node->params,
		.value = call_in(call, 2) ? call_in(call, 2) :
			 out->type == GRAPH_FLOAT ? (const void *)&call->node->params.pad.value : &zero,
		.size = size,
		.begin = out->shape.rank ? call->node->params.pad.begin[last] : 0,
		.line = out->shape.rank ? in->dims[last] : 1,
	};
	ptrdiff_t strides[GRAPH_MAX_RANK];

	call_packed(in, strides);
	for (size_t i = 0, lines = count ? graph_count(&out->shape) / count : 0; i < lines; i++) {
		char *line = (char *)call_out(call, 0) + i * count * size;
		size_t rest = i;
		ptrdiff_t at = 0;
		bool inside = true;

		for (uint32_t axis = last; axis--; rest /= out->shape.dims[axis]) {
			int64_t source = (int64_t)(rest % out->shape.dims[axis]) -
					 call->node->params.pad.begin[axis];

			inside &= pad_source(&source, in->dims[axis], call->node->params.pad.mode);
			at += (ptrdiff_t)source * strides[axis];
		}
		if (inside)
			pad_line(&padding, (const char *)call_in(call, 0) + at * (ptrdiff_t)size,
				 (int64_t)count, line);
		else
			fill(line, count, size, padding.value);
	}
}

const struct operator operators_join[] = {
	{ "Concat", 1, XRNPE_OPERATOR_ANY, 1, "axis", .infer = infer_concat, .compute = compute_concat,
	  .since = 4 },
	{ "Pad", 1, 4, 1, "mode pads value", .infer = infer_pad, .compute = compute_pad, .since = 2 },
	{ 0 },
};

// SPDX-License-Identifier: MIT
/* Nodes that an operator becomes, and the two orders of its tensors. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "build.h"
#include "error.h"
#include "reader.h"
#include "schema.h"

static const int64_t to_first[] = { 0, 3, 1, 2 }, to_last[] = { 0, 2, 3, 1 };

void tflite_unsupported(struct tflite_op *op, const char *format, ...)
{
	va_list list;

	if (op->ret)
		return;
	va_start(list, format);
	vsnprintf(op->why, sizeof(op->why), format, list);
	va_end(list);
	op->ret = -ENOTSUP;
}

/* ---- inputs -------------------------------------------------------------- */

/* The file's tensor @t in the graph, read if it is a constant; NULL: left out, or a failure. */
static struct tflite_value *find_value(struct tflite_op *op, uint32_t i)
{
	uint32_t t = i < op->input_count ? op->inputs[i] : GRAPH_NONE;
	struct tflite_value *value = t == GRAPH_NONE ? NULL : &op->reader->values[t];

	if (op->ret || !value)
		return NULL;
	if (value->last == GRAPH_NONE && value->first == GRAPH_NONE)
		tflite_constant(op, t);
	return op->ret ? NULL : value;
}

uint32_t tflite_last(struct tflite_op *op, uint32_t i)
{
	struct tflite_value *value = find_value(op, i);

	if (!value)
		return GRAPH_NONE;
	if (value->last == GRAPH_NONE)
		value->last = tflite_transpose(op, value->first, 4, to_last);
	return value->last;
}

uint32_t tflite_first(struct tflite_op *op, uint32_t i)
{
	struct tflite_value *value = find_value(op, i);
	const struct graph_tensor *tensor;

	if (!value)
		return GRAPH_NONE;
	if (value->first == GRAPH_NONE) {
		tensor = tflite_tensor(op, value->last);
		if (tensor && tensor->shape.rank != 4)
			tflite_unsupported(op, "input %u is of rank %u, not 4", i, tensor->shape.rank);
		value->first = tflite_transpose(op, value->last, 4, to_first);
	}
	return value->first;
}

uint32_t tflite_axis_first(uint32_t axis)
{
	return (uint32_t)to_last[axis];
}

const struct graph_tensor *tflite_tensor(struct tflite_op *op, uint32_t tensor)
{
	const struct graph_tensor *found;

	if (op->ret || tensor == GRAPH_NONE)
		return NULL;
	found = &op->reader->graph->tensors[tensor];
	if (found->known)
		return found;
	op->unknown = tensor;
	op->ret = -ENOTSUP;
	return NULL;
}

/* Whether all of @count inputs can be had with channels first, and one is by now. */
static bool channels_first(struct tflite_op *op, uint32_t from, uint32_t count)
{
	bool any = false;

	for (uint32_t i = from; i < from + count; i++) {
		const struct tflite_value *value = find_value(op, i);
		const struct graph_tensor *tensor;

		if (!value)
			return false;
		any |= value->first != GRAPH_NONE;
		tensor = tflite_tensor(op, value->last == GRAPH_NONE ? value->first : value->last);
		if (!tensor || tensor->shape.rank > 4 || (tensor->shape.rank < 4 && !tensor->data))
			return false;
	}
	return any;
}

/* Input @i with channels first; a constant that is broadcast is given rank 4 before. */
static uint32_t arrange_first(struct tflite_op *op, uint32_t i)
{
	const struct graph_tensor *tensor = tflite_tensor(op, op->reader->values[op->inputs[i]].last);
	uint32_t rank = tensor ? tensor->shape.rank : 4;
	int64_t dims[4] = { 1, 1, 1, 1 };

	if (tensor && graph_count(&tensor->shape) == 1)
		return tflite_last(op, i);
	if (rank == 4)
		return tflite_first(op, i);
	for (uint32_t k = 0; k < rank; k++)
		dims[4 - rank + k] = tensor->shape.dims[k];
	return tflite_transpose(op, tflite_reshape(op, tflite_last(op, i), 4, dims), 4, to_first);
}

bool tflite_arrange(struct tflite_op *op, uint32_t from, uint32_t count, uint32_t *tensors)
{
	bool first = channels_first(op, from, count);

	for (uint32_t i = 0; i < count; i++)
		tensors[i] = first ? arrange_first(op, from + i) : tflite_last(op, from + i);
	return first;
}

uint32_t tflite_axis(struct tflite_op *op, int64_t axis, uint32_t rank)
{
	int64_t found = axis < 0 ? axis + rank : axis;

	if (!op->ret && found >= 0 && found < rank)
		return (uint32_t)found;
	tflite_unsupported(op, "axis %lld is not one of %u", (long long)axis, rank);
	return 0;
}

uint32_t tflite_ints(struct tflite_op *op, uint32_t i, uint32_t room, int64_t *values)
{
	const struct graph_tensor *tensor = tflite_tensor(op, tflite_last(op, i));
	size_t count = tensor ? graph_count(&tensor->shape) : 0;

	if (op->ret)
		return 0;
	if (!tensor || !tensor->data || tensor->type != GRAPH_INT || count > room) {
		tflite_unsupported(op, "input %u is not a constant of up to %u integers", i, room);
		return 0;
	}
	memcpy(values, tensor->data, count * sizeof(*values));
	return (uint32_t)count;
}

/* ---- constants and attributes --------------------------------------------- */

static uint32_t new_tensor(struct tflite_op *op)
{
	uint32_t index = GRAPH_NONE;

	if (!op->ret)
		op->ret = graph_add_tensor(op->reader->graph, NULL, &index, op->reader->error);
	return op->ret ? GRAPH_NONE : index;
}

static uint32_t new_constant(struct tflite_op *op, enum graph_type type, uint32_t rank,
			     uint32_t count, const void *values)
{
	const struct graph_shape shape = { rank, { count } };
	uint32_t index = new_tensor(op);
	void *data;

	if (!op->ret)
		op->ret = build_constant(op->reader->graph, index, type, &shape, &data,
					 op->reader->error);
	if (op->ret)
		return GRAPH_NONE;
	memcpy(data, values, count * graph_type_size(type));
	return index;
}

uint32_t tflite_new_ints(struct tflite_op *op, uint32_t count, const int64_t *values)
{
	return new_constant(op, GRAPH_INT, 1, count, values);
}

uint32_t tflite_new_floats(struct tflite_op *op, uint32_t count, const float *values)
{
	return new_constant(op, GRAPH_FLOAT, 1, count, values);
}

uint32_t tflite_new_float(struct tflite_op *op, float value)
{
	return new_constant(op, GRAPH_FLOAT, 0, 1, &value);
}

/* @size: bytes of all values */
static void set(struct tflite_op *op, const char *name, enum graph_attribute_kind kind,
		size_t count, size_t size, const void *values)
{
	struct graph_attribute *made = &op->attributes[op->attribute_count];

	if (op->ret)
		return;
	*made = (struct graph_attribute){
		.name = strdup(name), .kind = kind, .count = count, .string = malloc(size + 1),
	};
	if (!made->name || !made->string) {
		graph_clear_attributes(made, 1);
		op->ret = xrnpe_fail_memory(op->reader->error);
		return;
	}
	memcpy(made->string, values, size);
	op->attribute_count++;
}

void tflite_set_int(struct tflite_op *op, const char *name, int64_t value)
{
	set(op, name, GRAPH_ATTRIBUTE_INT, 1, sizeof(value), &value);
}

void tflite_set_ints(struct tflite_op *op, const char *name, size_t count, const int64_t *values)
{
	set(op, name, GRAPH_ATTRIBUTE_INTS, count, count * sizeof(*values), values);
}

void tflite_set_float(struct tflite_op *op, const char *name, float value)
{
	set(op, name, GRAPH_ATTRIBUTE_FLOAT, 1, sizeof(value), &value);
}

void tflite_set_string(struct tflite_op *op, const char *name, const char *value)
{
	set(op, name, GRAPH_ATTRIBUTE_STRING, 1, strlen(value) + 1, value);
}

/* ---- nodes --------------------------------------------------------------- */

void tflite_emit_all(struct tflite_op *op, const char *onnx, uint32_t count,
		     const uint32_t *inputs, uint32_t output_count, uint32_t *outputs)
{
	struct build_node node = {
		.name = op->name, .op = onnx, .inputs = inputs, .input_count = count,
		.outputs = outputs, .output_count = output_count, .attributes = op->attributes,
		.attribute_count = op->attribute_count,
	};

	for (uint32_t i = 0; i < output_count; i++)
		outputs[i] = new_tensor(op);
	if (op->ret)
		graph_clear_attributes(op->attributes, op->attribute_count);
	else
		op->ret = build_node(op->reader->graph, &node, op->reader->error);
	op->attribute_count = 0;
}

uint32_t tflite_emit(struct tflite_op *op, const char *onnx, uint32_t count, const uint32_t *inputs)
{
	uint32_t output;

	tflite_emit_all(op, onnx, count, inputs, 1, &output);
	return op->ret ? GRAPH_NONE : output;
}

uint32_t tflite_emit1(struct tflite_op *op, const char *onnx, uint32_t input)
{
	return tflite_emit(op, onnx, 1, &input);
}

uint32_t tflite_emit2(struct tflite_op *op, const char *onnx, uint32_t a, uint32_t b)
{
	return tflite_emit(op, onnx, 2, (const uint32_t[]){ a, b });
}

uint32_t tflite_transpose(struct tflite_op *op, uint32_t tensor, uint32_t rank,
			  const int64_t *perm)
{
	tflite_set_ints(op, "perm", rank, perm);
	return tflite_emit1(op, "Transpose", tensor);
}

uint32_t tflite_reshape(struct tflite_op *op, uint32_t tensor, uint32_t rank,
			const int64_t *dims)
{
	uint32_t shape = tflite_new_ints(op, rank, dims);

	tflite_set_int(op, "allowzero", 1);
	return tflite_emit2(op, "Reshape", tensor, shape);
}

/* ---- outputs ------------------------------------------------------------- */

void tflite_output(struct tflite_op *op, uint32_t i, uint32_t tensor, bool first)
{
	struct tflite_value *value;

	if (op->ret || i >= op->output_count || op->outputs[i] == GRAPH_NONE)
		return;
	value = &op->reader->values[op->outputs[i]];
	*(first ? &value->first : &value->last) = tensor;
}

uint32_t tflite_clip(struct tflite_op *op, uint32_t tensor, float least, float most)
{
	tflite_set_float(op, "min", least);
	tflite_set_float(op, "max", most);
	return tflite_emit1(op, "Clip", tensor);
}

void tflite_finish(struct tflite_op *op, uint32_t tensor, bool first, uint32_t field)
{
	int8_t activation = flat_byte(op->options, field);

	switch (activation) {
	case ACTIVATION_NONE:
		break;
	case ACTIVATION_RELU:
		tensor = tflite_emit1(op, "Relu", tensor);
		break;
	case ACTIVATION_RELU_N1_TO_1:
		tensor = tflite_clip(op, tensor, -1, 1);
		break;
	case ACTIVATION_RELU6:
		tensor = tflite_clip(op, tensor, 0, 6);
		break;
	default:
		tflite_unsupported(op, "activation %d is not supported", activation);
	}
	tflite_output(op, 0, tensor, first);
}

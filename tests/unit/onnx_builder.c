// SPDX-License-Identifier: MIT
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/onnx_builder.h"

static void *must(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

/* Append @item to a repeated field of pointers. */
#define APPEND(message, field, item) do { \
	(message)->field = must(realloc((message)->field, \
					((message)->n_##field + 1) * sizeof(*(message)->field))); \
	(message)->field[(message)->n_##field++] = (item); \
} while (0)

/* A message on the heap, as its init macro leaves it. */
#define NEW(type, init) memcpy(must(malloc(sizeof(type))), &(type)init, sizeof(type))

float onnx_noise(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return (float)(int32_t)*state / 2147483648.0f;
}

Onnx__ModelProto *onnx_new(void)
{
	Onnx__ModelProto *model = NEW(Onnx__ModelProto, ONNX__MODEL_PROTO__INIT);
	Onnx__OperatorSetIdProto *set =
		NEW(Onnx__OperatorSetIdProto, ONNX__OPERATOR_SET_ID_PROTO__INIT);

	model->has_ir_version = 1;
	model->ir_version = 8;
	set->has_version = 1;
	set->version = 13;
	APPEND(model, opset_import, set);
	model->graph = NEW(Onnx__GraphProto, ONNX__GRAPH_PROTO__INIT);
	return model;
}

void onnx_free(Onnx__ModelProto *model)
{
	onnx__model_proto__free_unpacked(model, NULL);
}

static Onnx__ValueInfoProto *value_info(const char *name, size_t rank, const int64_t *dims)
{
	Onnx__ValueInfoProto *info = NEW(Onnx__ValueInfoProto, ONNX__VALUE_INFO_PROTO__INIT);
	Onnx__TypeProto__Tensor *tensor =
		NEW(Onnx__TypeProto__Tensor, ONNX__TYPE_PROTO__TENSOR__INIT);

	info->name = must(strdup(name));
	info->type = NEW(Onnx__TypeProto, ONNX__TYPE_PROTO__INIT);
	info->type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
	info->type->tensor_type = tensor;
	tensor->has_elem_type = 1;
	tensor->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
	tensor->shape = NEW(Onnx__TensorShapeProto, ONNX__TENSOR_SHAPE_PROTO__INIT);
	for (size_t i = 0; i < rank; i++) {
		Onnx__TensorShapeProto__Dimension *dim = NEW(Onnx__TensorShapeProto__Dimension,
			ONNX__TENSOR_SHAPE_PROTO__DIMENSION__INIT);

		if (dims[i]) {
			dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
			dim->dim_value = dims[i];
		} else {
			dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
			dim->dim_param = must(strdup("batch"));
		}
		APPEND(tensor->shape, dim, dim);
	}
	return info;
}

void onnx_input(Onnx__ModelProto *model, const char *name, size_t rank, const int64_t *dims)
{
	APPEND(model->graph, input, value_info(name, rank, dims));
}

void onnx_output(Onnx__ModelProto *model, const char *name, size_t rank, const int64_t *dims)
{
	APPEND(model->graph, output, value_info(name, rank, dims));
}

static Onnx__TensorProto *initializer(Onnx__ModelProto *model, const char *name, int32_t type,
				      size_t rank, const int64_t *dims, const void *data,
				      size_t size)
{
	Onnx__TensorProto *tensor = NEW(Onnx__TensorProto, ONNX__TENSOR_PROTO__INIT);

	tensor->name = must(strdup(name));
	tensor->has_data_type = 1;
	tensor->data_type = type;
	tensor->n_dims = rank;
	tensor->dims = must(malloc(rank * sizeof(*dims) + 1));
	memcpy(tensor->dims, dims, rank * sizeof(*dims));
	tensor->has_raw_data = 1;
	tensor->raw_data.len = size;
	tensor->raw_data.data = must(malloc(size + 1));
	memcpy(tensor->raw_data.data, data, size);
	APPEND(model->graph, initializer, tensor);
	return tensor;
}

Onnx__TensorProto *onnx_floats(Onnx__ModelProto *model, const char *name, size_t rank,
			       const int64_t *dims, const float *values)
{
	Onnx__TensorProto *tensor;
	float *noise = NULL;
	size_t count = 1;

	for (size_t i = 0; i < rank; i++)
		count *= (size_t)dims[i];
	if (!values) {
		uint32_t state = (uint32_t)count * 2654435761u + (unsigned char)name[0];

		noise = must(malloc(count * sizeof(*noise)));
		for (size_t i = 0; i < count; i++)
			noise[i] = onnx_noise(&state);
		values = noise;
	}
	tensor = initializer(model, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, rank, dims, values,
			     count * sizeof(*values));
	free(noise);
	return tensor;
}

Onnx__TensorProto *onnx_ints(Onnx__ModelProto *model, const char *name, size_t count,
			     const int64_t *values)
{
	return initializer(model, name, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 1,
			   (int64_t[]){ (int64_t)count }, values, count * sizeof(*values));
}

void onnx_scales(Onnx__ModelProto *model, const char *tensor, const char *format, size_t count,
		 const float *values)
{
	Onnx__TensorAnnotation *annotation = NEW(Onnx__TensorAnnotation, ONNX__TENSOR_ANNOTATION__INIT);
	Onnx__StringStringEntryProto *entry =
		NEW(Onnx__StringStringEntryProto, ONNX__STRING_STRING_ENTRY_PROTO__INIT);
	char name[64];

	snprintf(name, sizeof(name), "%s:%s", format, tensor);
	onnx_floats(model, name, DIMS((int64_t)count), values);
	annotation->tensor_name = must(strdup(tensor));
	entry->value = must(strdup(name));
	snprintf(name, sizeof(name), "xrnpe:%s", format);
	entry->key = must(strdup(name));
	APPEND(annotation, quant_parameter_tensor_names, entry);
	APPEND(model->graph, quantization_annotation, annotation);
}

Onnx__NodeProto *onnx_node(Onnx__ModelProto *model, const char *op, const char *inputs,
			   const char *outputs)
{
	Onnx__NodeProto *node = NEW(Onnx__NodeProto, ONNX__NODE_PROTO__INIT);
	char *list = must(strdup(inputs)), *others = must(strdup(outputs));

	node->op_type = must(strdup(op));
	for (char *name = strtok(list, " "); name; name = strtok(NULL, " "))
		APPEND(node, input, must(strdup(name)));
	for (char *name = strtok(others, " "); name; name = strtok(NULL, " "))
		APPEND(node, output, must(strdup(name)));
	if (asprintf(&node->name, "n_%s", node->output[0]) < 0)
		abort();
	APPEND(model->graph, node, node);
	free(list);
	free(others);
	return node;
}

static Onnx__AttributeProto *attribute(Onnx__NodeProto *node, const char *name,
				       Onnx__AttributeProto__AttributeType type)
{
	Onnx__AttributeProto *made = NEW(Onnx__AttributeProto, ONNX__ATTRIBUTE_PROTO__INIT);

	made->name = must(strdup(name));
	made->has_type = 1;
	made->type = type;
	APPEND(node, attribute, made);
	return made;
}

Onnx__AttributeProto *onnx_attr_ints(Onnx__NodeProto *node, const char *name, size_t count,
				     const int64_t *values)
{
	Onnx__AttributeProto *made =
		attribute(node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);

	made->n_ints = count;
	made->ints = must(malloc(count * sizeof(*values) + 1));
	memcpy(made->ints, values, count * sizeof(*values));
	return made;
}

Onnx__AttributeProto *onnx_attr_int(Onnx__NodeProto *node, const char *name, int64_t value)
{
	Onnx__AttributeProto *made =
		attribute(node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);

	made->has_i = 1;
	made->i = value;
	return made;
}

void onnx_attr_graph(Onnx__NodeProto *node, const char *name, const char *op, const char *input,
		     const char *output)
{
	Onnx__ModelProto *inner = onnx_new();

	onnx_node(inner, op, input, output);
	onnx_output(inner, output, 0, NULL);
	attribute(node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH)->g = inner->graph;
	inner->graph = NULL;
	onnx_free(inner);
}

Onnx__AttributeProto *onnx_attr_float(Onnx__NodeProto *node, const char *name, float value)
{
	Onnx__AttributeProto *made =
		attribute(node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);

	made->has_f = 1;
	made->f = value;
	return made;
}

Onnx__AttributeProto *onnx_attr_string(Onnx__NodeProto *node, const char *name,
				       const char *value)
{
	Onnx__AttributeProto *made =
		attribute(node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);

	made->has_s = 1;
	made->s.len = strlen(value);
	made->s.data = must(malloc(made->s.len + 1));
	memcpy(made->s.data, value, made->s.len);
	return made;
}

uint8_t *onnx_pack(const Onnx__ModelProto *model, size_t *size)
{
	uint8_t *data;

	*size = onnx__model_proto__get_packed_size(model);
	data = must(malloc(*size + 1));
	onnx__model_proto__pack(model, data);
	return data;
}

static void norm(Onnx__ModelProto *model, const char *input, const char *output, int64_t c)
{
	static const char *const parts[] = { "gamma", "beta", "mean", "variance" };
	char names[4][32], inputs[160];
	float values[64];

	for (int i = 0; i < 4; i++) {
		uint32_t state = (uint32_t)(c + i);

		/* Scales and variances are positive. */
		for (int64_t k = 0; k < c; k++)
			values[k] = i % 3 ? onnx_noise(&state) / 2 : 1.25f + onnx_noise(&state) / 2;
		snprintf(names[i], sizeof(names[i]), "%s_%s", parts[i], output);
		onnx_floats(model, names[i], 1, &c, values);
	}
	snprintf(inputs, sizeof(inputs), "%s %s %s %s %s", input, names[0], names[1], names[2],
		 names[3]);
	onnx_node(model, "BatchNormalization", inputs, output);
}

Onnx__ModelProto *onnx_resnet(void)
{
	Onnx__ModelProto *model = onnx_new();
	Onnx__NodeProto *node;

	onnx_input(model, "image", DIMS(0, 1, 12, 12));
	onnx_output(model, "logits", DIMS(0, 10));
	onnx_floats(model, "w1", DIMS(8, 1, 3, 3), NULL);
	onnx_floats(model, "w2", DIMS(16, 8, 3, 3), NULL);
	onnx_floats(model, "w3", DIMS(16, 16, 3, 3), NULL);
	onnx_floats(model, "ws", DIMS(16, 8, 1, 1), NULL);
	onnx_floats(model, "wf", DIMS(10, 16), NULL);
	onnx_floats(model, "bf", DIMS(10), NULL);

	node = onnx_node(model, "Conv", "image w1", "c1");
	onnx_attr_ints(node, "pads", DIMS(1, 1, 1, 1));
	norm(model, "c1", "b1", 8);
	onnx_node(model, "Relu", "b1", "r1");
	node = onnx_node(model, "MaxPool", "r1", "p1");
	onnx_attr_ints(node, "kernel_shape", DIMS(2, 2));
	onnx_attr_ints(node, "strides", DIMS(2, 2));

	node = onnx_node(model, "Conv", "p1 w2", "c2");
	onnx_attr_ints(node, "pads", DIMS(1, 1, 1, 1));
	onnx_attr_ints(node, "strides", DIMS(2, 2));
	norm(model, "c2", "b2", 16);
	onnx_node(model, "Relu", "b2", "r2");
	node = onnx_node(model, "Conv", "r2 w3", "c3");
	onnx_attr_ints(node, "pads", DIMS(1, 1, 1, 1));
	norm(model, "c3", "b3", 16);
	node = onnx_node(model, "Conv", "p1 ws", "cs");
	onnx_attr_ints(node, "strides", DIMS(2, 2));
	norm(model, "cs", "bs", 16);
	onnx_node(model, "Add", "b3 bs", "a");
	onnx_node(model, "Relu", "a", "ra");

	onnx_node(model, "GlobalAveragePool", "ra", "g");
	onnx_node(model, "Flatten", "g", "f");
	node = onnx_node(model, "Gemm", "f wf bf", "logits");
	onnx_attr_int(node, "transB", 1);
	return model;
}

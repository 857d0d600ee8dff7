// SPDX-License-Identifier: MIT
/*
 * A graph as an ONNX file: that is how a compiled model keeps the nodes that run on the
 * CPU, so that one reader, which trusts nothing, checks both. All structures point to what
 * the graph owns; only they themselves are made here.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "error.h"
#include "onnx.h"
#include "onnx.pb-c.h"
#include "onnx_scales.h"
#include "operator.h"

/* IR version 8 is that of operator set 15; readers take newer sets with it. */
#define IR_VERSION 8

/* Structures that live until the file is packed. */
struct writer {
	const struct xrnpe_graph *graph;
	Onnx__GraphProto proto;
	void **blocks;
	size_t block_count;
	bool failed;
};

/* Zeroed memory that the writer frees; where there is none, the writer has failed. */
static void *allocate(struct writer *writer, size_t count, size_t size)
{
	void **blocks = realloc(writer->blocks, (writer->block_count + 1) * sizeof(*blocks));
	void *block = blocks ? calloc(count + 1, size) : NULL;

	if (blocks)
		writer->blocks = blocks;
	if (block)
		blocks[writer->block_count++] = block;
	else
		writer->failed = true;
	return block;
}

static char *new_name(struct writer *writer, uint32_t node, uint32_t part)
{
	char *name = allocate(writer, 1, 40);

	if (name)
		snprintf(name, 40, GRAPH_OWN_NAME "%u:%u", node, part);
	return name;
}

static int32_t element_type(enum graph_type type)
{
	return type == GRAPH_FLOAT ? ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT :
	       type == GRAPH_INT ? ONNX__TENSOR_PROTO__DATA_TYPE__INT64 :
				   ONNX__TENSOR_PROTO__DATA_TYPE__BOOL;
}

/* ---- tensors ----------------------------------------------------------- */

/* A constant, whose memory is little-endian as raw data are. */
static Onnx__TensorProto *write_constant(struct writer *writer, const struct graph_tensor *tensor)
{
	Onnx__TensorProto *proto = allocate(writer, 1, sizeof(*proto));
	int64_t *dims = allocate(writer, tensor->shape.rank, sizeof(*dims));

	if (!proto || !dims)
		return NULL;
	onnx__tensor_proto__init(proto);
	for (uint32_t i = 0; i < tensor->shape.rank; i++)
		dims[i] = tensor->shape.dims[i];
	proto->name = tensor->name;
	proto->n_dims = tensor->shape.rank;
	proto->dims = dims;
	proto->has_data_type = 1;
	proto->data_type = element_type(tensor->type);
	proto->has_raw_data = 1;
	proto->raw_data.len = graph_count(&tensor->shape) * graph_type_size(tensor->type);
	proto->raw_data.data = tensor->data;
	return proto;
}

static Onnx__ValueInfoProto *write_value(struct writer *writer, const struct graph_tensor *tensor)
{
	Onnx__ValueInfoProto *info = allocate(writer, 1, sizeof(*info));
	Onnx__TypeProto *type = allocate(writer, 1, sizeof(*type));
	Onnx__TypeProto__Tensor *made = allocate(writer, 1, sizeof(*made));
	Onnx__TensorShapeProto *shape = allocate(writer, 1, sizeof(*shape));
	uint32_t rank = tensor->shape.rank;
	Onnx__TensorShapeProto__Dimension *dims = allocate(writer, rank, sizeof(*dims)), **list;

	list = allocate(writer, rank, sizeof(*list));
	if (writer->failed)
		return NULL;
	onnx__value_info_proto__init(info);
	onnx__type_proto__init(type);
	onnx__type_proto__tensor__init(made);
	onnx__tensor_shape_proto__init(shape);
	for (uint32_t i = 0; i < rank; i++) {
		onnx__tensor_shape_proto__dimension__init(&dims[i]);
		dims[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
		dims[i].dim_value = tensor->shape.dims[i];
		list[i] = &dims[i];
	}
	shape->n_dim = rank;
	shape->dim = list;
	made->has_elem_type = 1;
	made->elem_type = element_type(tensor->type);
	made->shape = shape;
	type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
	type->tensor_type = made;
	info->name = tensor->name;
	info->type = type;
	return info;
}

static void write_values(struct writer *writer, const uint32_t *tensors, uint32_t count,
			 Onnx__ValueInfoProto ***list, size_t *written)
{
	*list = allocate(writer, count, sizeof(**list));
	for (uint32_t i = 0; !writer->failed && i < count; i++)
		(*list)[i] = write_value(writer, &writer->graph->tensors[tensors[i]]);
	*written = count;
}

static void write_constants(struct writer *writer)
{
	const struct xrnpe_graph *graph = writer->graph;
	/* Beside the constants themselves, scales of any tensor. */
	size_t most = (size_t)graph->tensor_count * (1 + XRNPE_PRODUCT_FORMATS);
	Onnx__TensorProto **list = allocate(writer, most, sizeof(*list));

	for (uint32_t i = 0; !writer->failed && i < graph->tensor_count; i++) {
		if (graph->tensors[i].data)
			list[writer->proto.n_initializer++] = write_constant(writer, &graph->tensors[i]);
	}
	writer->proto.initializer = list;
}

/* ---- nodes ------------------------------------------------------------- */

static void write_attribute(struct writer *writer, const struct graph_attribute *from,
			    Onnx__AttributeProto *to)
{
	onnx__attribute_proto__init(to);
	to->name = from->name;
	to->has_type = 1;
	switch (from->kind) {
	case GRAPH_ATTRIBUTE_INT:
		to->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
		to->has_i = 1;
		to->i = from->ints[0];
		break;
	case GRAPH_ATTRIBUTE_FLOAT:
		to->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
		to->has_f = 1;
		to->f = from->floats[0];
		break;
	case GRAPH_ATTRIBUTE_STRING:
		to->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
		to->has_s = 1;
		to->s.len = strlen(from->string);
		to->s.data = (uint8_t *)from->string;
		break;
	case GRAPH_ATTRIBUTE_INTS:
		to->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
		to->n_ints = from->count;
		to->ints = from->ints;
		break;
	case GRAPH_ATTRIBUTE_FLOATS:
		to->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS;
		to->n_floats = from->count;
		to->floats = from->floats;
		break;
	case GRAPH_ATTRIBUTE_TENSOR:
		to->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
		to->t = write_constant(writer, &writer->graph->tensors[from->tensor]);
		break;
	}
}

/* A new node of the file with room for its inputs and outputs; NULL: no memory. */
static Onnx__NodeProto *new_node(struct writer *writer, const char *name, const char *op,
				 uint32_t inputs, uint32_t outputs, uint32_t attributes)
{
	Onnx__NodeProto *proto = allocate(writer, 1, sizeof(*proto));
	Onnx__AttributeProto *made = allocate(writer, attributes, sizeof(*made));
	Onnx__AttributeProto **list = allocate(writer, attributes, sizeof(*list));
	char **names = allocate(writer, (size_t)inputs + outputs, sizeof(*names));

	if (writer->failed)
		return NULL;
	onnx__node_proto__init(proto);
	proto->name = (char *)name;
	proto->op_type = (char *)op;
	proto->n_input = inputs;
	proto->input = names;
	proto->n_output = outputs;
	proto->output = names + inputs;
	proto->n_attribute = attributes;
	proto->attribute = list;
	for (uint32_t i = 0; i < attributes; i++)
		list[i] = &made[i];
	writer->proto.node[writer->proto.n_node++] = proto;
	return proto;
}

static char *tensor_name(const struct writer *writer, uint32_t tensor)
{
	return tensor == GRAPH_NONE ? "" : writer->graph->tensors[tensor].name;
}

/* A node that reads what the one before wrote, as the last in a chain of @index's nodes. */
static Onnx__NodeProto *chain(struct writer *writer, const struct graph_node *node, uint32_t index,
			      const char *op, uint32_t inputs, uint32_t attributes)
{
	Onnx__NodeProto *before = writer->proto.node[writer->proto.n_node - 1];
	Onnx__NodeProto *proto = new_node(writer, node->name, op, inputs, 1, attributes);
	char *name = new_name(writer, index, (uint32_t)writer->proto.n_node);

	if (writer->failed)
		return NULL;
	proto->output[0] = before->output[0];
	proto->input[0] = before->output[0] = name;
	return proto;
}

/* The same of one that reads input @i of @node besides. */
static void chain_two(struct writer *writer, const struct graph_node *node, uint32_t index,
		      const char *op, uint32_t i)
{
	Onnx__NodeProto *proto = writer->failed ? NULL : chain(writer, node, index, op, 2, 0);

	if (proto)
		proto->input[1] = tensor_name(writer, node->inputs[i]);
}

/* What was folded: the additions, then the activation. */
static void write_folded(struct writer *writer, const struct graph_node *node, uint32_t index)
{
	const struct graph_activation *activation = &node->activation;
	struct graph_attribute attribute = { .kind = GRAPH_ATTRIBUTE_FLOAT };
	float values[] = { activation->slope, activation->lo, activation->hi };
	static char *const names[] = { "alpha", "min", "max" };
	Onnx__NodeProto *proto = NULL;

	for (uint32_t i = operator_inputs(node); i <= GRAPH_RESIDUAL; i++) {
		if (graph_input(writer->graph, node, i))
			chain_two(writer, node, index, "Add", i);
	}
	if (!writer->failed && activation->kind == XRNPE_ACT_RELU)
		chain(writer, node, index, "Relu", 1, 0);
	if (!writer->failed && activation->kind == XRNPE_ACT_LEAKY) {
		proto = chain(writer, node, index, "LeakyRelu", 1, 1);
		attribute.name = names[0];
		attribute.floats = &values[0];
		if (proto)
			write_attribute(writer, &attribute, proto->attribute[0]);
	}
	if (activation->kind == XRNPE_ACT_PRELU)
		chain_two(writer, node, index, "PRelu", GRAPH_SLOPES);
	if (!writer->failed && activation->clamps) {
		/* The limits as attributes, which the reader takes in any operator set. */
		proto = chain(writer, node, index, "Clip", 1, 2);
		for (uint32_t i = 0; proto && i < 2; i++) {
			attribute.name = names[1 + i];
			attribute.floats = &values[1 + i];
			write_attribute(writer, &attribute, proto->attribute[i]);
		}
	}
}

static void write_node(struct writer *writer, uint32_t index)
{
	const struct graph_node *node = &writer->graph->nodes[index];
	uint32_t inputs = operator_inputs(node);
	Onnx__NodeProto *proto = new_node(writer, node->name, node->op->name, inputs,
					  node->output_count, node->attribute_count);

	if (!proto)
		return;
	for (uint32_t i = 0; i < inputs; i++)
		proto->input[i] = tensor_name(writer, node->inputs[i]);
	for (uint32_t i = 0; i < node->output_count; i++)
		proto->output[i] = tensor_name(writer, node->outputs[i]);
	for (uint32_t i = 0; i < node->attribute_count; i++)
		write_attribute(writer, &node->attributes[i], proto->attribute[i]);
	write_folded(writer, node, index);
}

/* ---- scales ------------------------------------------------------------ */

/* An initializer with a tensor's scales in @format, and the entry that names it. */
static void write_format(struct writer *writer, struct graph_tensor *tensor,
			 enum xrnpe_format format, Onnx__TensorAnnotation *annotation)
{
	const char *name = xrnpe_format_name(format);
	size_t size = strlen(tensor->name) + sizeof(ONNX_SCALES_KEY) + 8;
	struct graph_tensor scales = {
		.name = allocate(writer, size, 1), .type = GRAPH_FLOAT,
		.shape = { 1, { tensor->scales->count[format] } },
		.data = tensor->scales->values[format],
	};
	Onnx__StringStringEntryProto *entry = allocate(writer, 1, sizeof(*entry));
	char *key = allocate(writer, sizeof(ONNX_SCALES_KEY) + 8, 1);

	if (writer->failed)
		return;
	snprintf(scales.name, size, ONNX_SCALES_KEY "%s:%s", name, tensor->name);
	snprintf(key, sizeof(ONNX_SCALES_KEY) + 8, ONNX_SCALES_KEY "%s", name);
	writer->proto.initializer[writer->proto.n_initializer++] = write_constant(writer, &scales);
	onnx__string_string_entry_proto__init(entry);
	entry->key = key;
	entry->value = scales.name;
	annotation->quant_parameter_tensor_names[annotation->n_quant_parameter_tensor_names++] = entry;
}

static void write_annotation(struct writer *writer, struct graph_tensor *tensor)
{
	Onnx__TensorAnnotation *annotation = allocate(writer, 1, sizeof(*annotation));
	Onnx__StringStringEntryProto **entries =
		allocate(writer, XRNPE_PRODUCT_FORMATS, sizeof(*entries));

	if (writer->failed)
		return;
	onnx__tensor_annotation__init(annotation);
	annotation->tensor_name = tensor->name;
	annotation->quant_parameter_tensor_names = entries;
	for (enum xrnpe_format f = 0; !writer->failed && f < XRNPE_PRODUCT_FORMATS; f++) {
		if (graph_scales_of(tensor, f))
			write_format(writer, tensor, f, annotation);
	}
	writer->proto.quantization_annotation[writer->proto.n_quantization_annotation++] = annotation;
}

/* Of tensors that are left: what was folded away has none. */
static void write_scales(struct writer *writer)
{
	const struct xrnpe_graph *graph = writer->graph;
	bool *there = allocate(writer, graph->tensor_count, sizeof(*there));

	writer->proto.quantization_annotation =
		allocate(writer, graph->tensor_count, sizeof(Onnx__TensorAnnotation *));
	for (uint32_t i = 0; there && i < graph->input_count; i++)
		there[graph->inputs[i]] = true;
	for (uint32_t n = 0; there && n < graph->node_count; n++) {
		const struct graph_node *node = &graph->nodes[n];

		for (uint32_t k = 0; k < node->output_count; k++) {
			if (node->outputs[k] != GRAPH_NONE)
				there[node->outputs[k]] = true;
		}
	}
	for (uint32_t i = 0; !writer->failed && i < graph->tensor_count; i++) {
		if (graph->tensors[i].scales && (there[i] || graph->tensors[i].data))
			write_annotation(writer, &graph->tensors[i]);
	}
}

/* ---- the file ---------------------------------------------------------- */

static void write_graph(struct writer *writer, uint32_t *first)
{
	const struct xrnpe_graph *graph = writer->graph;

	onnx__graph_proto__init(&writer->proto);
	writer->proto.name = graph->name;
	write_constants(writer);
	write_values(writer, graph->inputs, graph->input_count, &writer->proto.input,
		     &writer->proto.n_input);
	write_values(writer, graph->outputs, graph->output_count, &writer->proto.output,
		     &writer->proto.n_output);
	/* Of each node at most two additions and two of an activation. */
	writer->proto.node = allocate(writer, 5 * (size_t)graph->node_count,
				      sizeof(*writer->proto.node));
	for (uint32_t n = 0; !writer->failed && n < graph->node_count; n++) {
		first[n] = (uint32_t)writer->proto.n_node;
		write_node(writer, n);
	}
	first[graph->node_count] = (uint32_t)writer->proto.n_node;
	write_scales(writer);
}

int onnx_write(const struct xrnpe_graph *graph, uint32_t *first, uint8_t **data, size_t *size,
	       struct xrnpe_error *error)
{
	Onnx__OperatorSetIdProto set = ONNX__OPERATOR_SET_ID_PROTO__INIT, *sets = &set;
	Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
	struct writer writer = { .graph = graph };

	write_graph(&writer, first);
	set.has_version = 1;
	set.version = graph->opset;
	model.has_ir_version = 1;
	model.ir_version = IR_VERSION;
	model.n_opset_import = 1;
	model.opset_import = &sets;
	model.graph = &writer.proto;
	*data = NULL;
	if (!writer.failed) {
		*size = onnx__model_proto__get_packed_size(&model);
		*data = malloc(*size + 1);
	}
	if (*data)
		onnx__model_proto__pack(&model, *data);
	for (size_t i = 0; i < writer.block_count; i++)
		free(writer.blocks[i]);
	free(writer.blocks);
	return *data ? 0 : xrnpe_fail_memory(error);
}

// SPDX-License-Identifier: MIT
/*
 * Reads an ONNX file into a graph. A file is not to be trusted: every number is checked
 * before it is used. What operators mean is not known here, but for Constant and If,
 * whose attributes hold tensors and graphs.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "build.h"
#include "error.h"
#include "onnx.h"
#include "onnx_scales.h"
#include "onnx_tensor.h"
#include "wire.h"

/* The first operator set; those that changed later say so in their rows. */
#define ONNX_MIN_OPSET 1
/* Sub-messages within sub-messages; a network without control flow needs 7. */
#define ONNX_MAX_DEPTH 32

struct reader {
	struct xrnpe_graph *graph;
	const char *directory;
	const struct xrnpe_graph_options *options;
	struct xrnpe_error *error;
};

/* ---- attributes -------------------------------------------------------- */

/* Several strings as one, separated by spaces. */
static char *join(const ProtobufCBinaryData *strings, size_t count)
{
	size_t size = 1, used = 0;
	char *text;

	for (size_t i = 0; i < count; i++)
		size += strings[i].len + 1;
	text = calloc(size, 1);
	for (size_t i = 0; text && i < count; i++) {
		if (i)
			text[used++] = ' ';
		if (strings[i].len)
			memcpy(text + used, strings[i].data, strings[i].len);
		used += strings[i].len;
	}
	return text;
}

static void *duplicate(const void *from, size_t size)
{
	void *to = malloc(size + 1);

	if (to && size)
		memcpy(to, from, size);
	return to;
}

/* Files older than the "type" field leave it out; then what is there tells. */
static int attribute_type(const Onnx__AttributeProto *proto)
{
	if (proto->has_type)
		return proto->type;
	if (proto->has_i)
		return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
	if (proto->has_f)
		return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
	if (proto->has_s)
		return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
	if (proto->t)
		return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
	if (proto->n_floats)
		return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS;
	return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
}

/* The tensor of an attribute as a constant without a name. */
static int read_attribute_tensor(struct reader *reader, const Onnx__AttributeProto *proto,
				 uint32_t *tensor)
{
	int ret;

	if (!proto->t)
		return xrnpe_fail(reader->error, -EINVAL, "%s: attribute %s has no tensor",
				  reader->graph->name, proto->name);
	ret = graph_add_tensor(reader->graph, NULL, tensor, reader->error);
	return ret ? ret : onnx_constant(reader->graph, *tensor, proto->t, reader->directory,
					 reader->error);
}

/* -ENOTSUP without a message: a kind of attribute that no operator here has. */
static int read_attribute(struct reader *reader, const Onnx__AttributeProto *proto,
			  struct graph_attribute *made)
{
	void *memory = NULL;

	*made = (struct graph_attribute){ .count = 1 };
	switch (attribute_type(proto)) {
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT:
		made->kind = GRAPH_ATTRIBUTE_INT;
		made->ints = memory = duplicate(&proto->i, sizeof(proto->i));
		break;
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT:
		made->kind = GRAPH_ATTRIBUTE_FLOAT;
		made->floats = memory = duplicate(&proto->f, sizeof(proto->f));
		break;
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING:
		made->kind = GRAPH_ATTRIBUTE_STRING;
		made->string = memory = join(&proto->s, 1);
		break;
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS:
		made->kind = GRAPH_ATTRIBUTE_STRING;
		made->string = memory = join(proto->strings, proto->n_strings);
		break;
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS:
		made->kind = GRAPH_ATTRIBUTE_INTS;
		made->count = proto->n_ints;
		made->ints = memory = duplicate(proto->ints, proto->n_ints * sizeof(*proto->ints));
		break;
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS:
		made->kind = GRAPH_ATTRIBUTE_FLOATS;
		made->count = proto->n_floats;
		made->floats = memory = duplicate(proto->floats,
						  proto->n_floats * sizeof(*proto->floats));
		break;
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR:
		made->kind = GRAPH_ATTRIBUTE_TENSOR;
		memory = made;
		break;
	default:
		return -ENOTSUP;
	}
	made->name = memory ? strdup(proto->name ? proto->name : "") : NULL;
	if (!made->name) {
		if (memory != made)
			free(memory);
		return xrnpe_fail_memory(reader->error);
	}
	if (memory != made)
		return 0;
	return read_attribute_tensor(reader, proto, &made->tensor);
}

static const Onnx__AttributeProto *find_attribute(const Onnx__NodeProto *proto, const char *name)
{
	for (size_t i = 0; i < proto->n_attribute; i++) {
		if (proto->attribute[i]->name && !strcmp(proto->attribute[i]->name, name))
			return proto->attribute[i];
	}
	return NULL;
}

/* ---- nodes ------------------------------------------------------------- */

static int fail_node(const struct reader *reader, const Onnx__NodeProto *proto, int code,
		     const char *what, const char *name)
{
	const char *own = proto->name && *proto->name ? proto->name :
			  proto->n_output ? proto->output[0] : "without name";
	char node[64], op[64], text[64];

	return xrnpe_fail(reader->error, code, "%s: node %s (%s): %s %s", reader->graph->name,
			  graph_printable(own, node),
			  graph_printable(proto->op_type ? proto->op_type : "", op), what,
			  graph_printable(name, text));
}

/* A new tensor called @name. */
static int new_tensor(struct reader *reader, const char *name, uint32_t *index)
{
	char *copy = strdup(name);

	return copy ? graph_add_tensor(reader->graph, copy, index, reader->error) :
		      xrnpe_fail_memory(reader->error);
}

static int find_inputs(struct reader *reader, const Onnx__NodeProto *proto, uint32_t *inputs)
{
	for (size_t i = 0; i < proto->n_input; i++) {
		inputs[i] = *proto->input[i] ? graph_find(reader->graph, proto->input[i]) : GRAPH_NONE;
		if (*proto->input[i] && inputs[i] == GRAPH_NONE)
			return fail_node(reader, proto, -EINVAL,
					 "reads what no node before it computes:", proto->input[i]);
	}
	return 0;
}

static int make_outputs(struct reader *reader, const Onnx__NodeProto *proto, uint32_t *outputs)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < proto->n_output; i++) {
		outputs[i] = GRAPH_NONE;
		if (*proto->output[i])
			ret = new_tensor(reader, proto->output[i], &outputs[i]);
	}
	return ret;
}

/* A Constant whose value is one or several numbers and no tensor. */
static int read_numbers(struct reader *reader, const Onnx__NodeProto *proto, uint32_t output)
{
	static const struct {
		const char *name;
		enum graph_type type;
		bool list;
	} kinds[] = {
		{ "value_float", GRAPH_FLOAT, false }, { "value_floats", GRAPH_FLOAT, true },
		{ "value_int", GRAPH_INT, false }, { "value_ints", GRAPH_INT, true },
	};
	struct graph_attribute value;
	struct graph_shape shape;
	void *data;
	int ret;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		const Onnx__AttributeProto *attribute = find_attribute(proto, kinds[i].name);

		if (!attribute)
			continue;
		ret = read_attribute(reader, attribute, &value);
		if (ret == -ENOTSUP || (!ret && value.kind == GRAPH_ATTRIBUTE_TENSOR))
			return fail_node(reader, proto, -EINVAL, "has a malformed attribute",
					 kinds[i].name);
		if (ret)
			return ret;
		shape = (struct graph_shape){ kinds[i].list, { (uint32_t)value.count } };
		if (value.count > GRAPH_MAX_CONSTANT || (!kinds[i].list && value.count != 1) ||
		    value.kind == GRAPH_ATTRIBUTE_STRING ||
		    (kinds[i].type == GRAPH_INT) != (value.kind == GRAPH_ATTRIBUTE_INT ||
						     value.kind == GRAPH_ATTRIBUTE_INTS))
			ret = fail_node(reader, proto, -EINVAL, "has a malformed attribute",
					kinds[i].name);
		if (!ret)
			ret = build_constant(reader->graph, output, kinds[i].type, &shape, &data,
					     reader->error);
		if (!ret)
			memcpy(data, value.ints, value.count * graph_type_size(kinds[i].type));
		graph_clear_attributes(&value, 1);
		return ret;
	}
	return fail_node(reader, proto, -ENOTSUP, "has no value that is supported", "");
}

static int read_constant(struct reader *reader, const Onnx__NodeProto *proto)
{
	const Onnx__AttributeProto *attribute = find_attribute(proto, "value");
	uint32_t output;
	int ret;

	if (proto->n_output != 1 || !*proto->output[0])
		return fail_node(reader, proto, -EINVAL, "has not one output", "");
	ret = new_tensor(reader, proto->output[0], &output);
	if (ret)
		return ret;
	return attribute && attribute->t ?
	       onnx_constant(reader->graph, output, attribute->t, reader->directory, reader->error) :
	       read_numbers(reader, proto, output);
}

static int read_nodes(struct reader *reader, const Onnx__GraphProto *proto);

/* Results of the branch that was taken, under the names that the If gives them. */
static int name_results(struct reader *reader, const Onnx__NodeProto *proto,
			const Onnx__GraphProto *branch)
{
	int ret = 0;

	if (branch->n_output != proto->n_output)
		return fail_node(reader, proto, -EINVAL, "has not the outputs of its branch", "");
	for (size_t i = 0; !ret && i < proto->n_output; i++) {
		uint32_t output, result = graph_find(reader->graph, branch->output[i]->name ?
						     branch->output[i]->name : "");

		if (result == GRAPH_NONE)
			return fail_node(reader, proto, -EINVAL,
					 "has a branch that does not compute output",
					 proto->output[i]);
		if (!*proto->output[i])
			continue;
		ret = new_tensor(reader, proto->output[i], &output);
		if (!ret)
			ret = build_part(reader->graph, proto->output[i], "Identity", 1, &result, output, NULL, 0,
					 reader->error);
	}
	return ret;
}

/* An If whose condition is known is its branch. */
static int read_if(struct reader *reader, const Onnx__NodeProto *proto, uint32_t condition)
{
	const struct graph_tensor *tensor = &reader->graph->tensors[condition];
	bool taken = *(const uint8_t *)tensor->data;
	const Onnx__AttributeProto *attribute = find_attribute(proto, taken ? "then_branch" :
									      "else_branch");
	int ret;

	if (tensor->type != GRAPH_BOOL || graph_count(&tensor->shape) != 1 || !attribute ||
	    !attribute->g)
		return fail_node(reader, proto, -EINVAL, "is malformed", "");
	ret = read_nodes(reader, attribute->g);
	return ret ? ret : name_results(reader, proto, attribute->g);
}

/* A node of an operator that is a row of a table. */
static int read_operator(struct reader *reader, const Onnx__NodeProto *proto,
			 const uint32_t *inputs, const uint32_t *outputs, const char *why)
{
	struct build_node node = {
		.name = proto->name ? proto->name : "", .op = proto->op_type,
		.inputs = inputs, .input_count = (uint32_t)proto->n_input,
		.outputs = outputs, .output_count = (uint32_t)proto->n_output,
	};
	char reason[128], text[64];
	int ret = 0;

	node.attributes = calloc(proto->n_attribute + 1, sizeof(*node.attributes));
	if (!node.attributes)
		return xrnpe_fail_memory(reader->error);
	for (size_t i = 0; !ret && !why && i < proto->n_attribute; i++) {
		const Onnx__AttributeProto *attribute = proto->attribute[i];

		ret = read_attribute(reader, attribute, &node.attributes[node.attribute_count]);
		node.attribute_count += node.attributes[node.attribute_count].name != NULL;
		if (ret == -ENOTSUP || (attribute->ref_attr_name && *attribute->ref_attr_name)) {
			snprintf(reason, sizeof(reason), "attribute %s is not supported",
				 graph_printable(attribute->name ? attribute->name : "", text));
			why = reason;
			ret = 0;
		}
	}
	if (ret)
		graph_clear_attributes(node.attributes, node.attribute_count);
	else if (why)
		ret = build_unsupported(reader->graph, &node, why, reader->error);
	else
		ret = build_node(reader->graph, &node, reader->error);
	free(node.attributes);
	return ret;
}

static int read_node(struct reader *reader, const Onnx__NodeProto *proto)
{
	uint32_t *tensors;
	bool is_if;
	int ret;

	if (!proto->op_type)
		return fail_node(reader, proto, -EINVAL, "has no operator", "");
	if (proto->domain && *proto->domain && strcmp(proto->domain, "ai.onnx"))
		is_if = false;
	else if (!strcmp(proto->op_type, "Constant"))
		return read_constant(reader, proto);
	else
		is_if = !strcmp(proto->op_type, "If");
	if (proto->n_input > GRAPH_MAX_NODES || proto->n_output > GRAPH_MAX_NODES)
		return fail_node(reader, proto, -EINVAL, "has too many inputs or outputs", "");
	tensors = malloc((proto->n_input + proto->n_output + 1) * sizeof(*tensors));
	if (!tensors)
		return xrnpe_fail_memory(reader->error);
	ret = find_inputs(reader, proto, tensors);
	if (!ret && is_if && proto->n_input == 1 && tensors[0] != GRAPH_NONE &&
	    reader->graph->tensors[tensors[0]].data) {
		ret = read_if(reader, proto, tensors[0]);
		free(tensors);
		return ret;
	}
	if (!ret)
		ret = make_outputs(reader, proto, tensors + proto->n_input);
	if (!ret)
		ret = read_operator(reader, proto, tensors, tensors + proto->n_input,
				    is_if ? "its condition is computed, not constant" :
				    proto->domain && *proto->domain && strcmp(proto->domain, "ai.onnx") ?
				    "is not an operator of ONNX itself" : NULL);
	free(tensors);
	return ret;
}

/* ---- graphs ------------------------------------------------------------ */

static int read_initializers(struct reader *reader, const Onnx__GraphProto *proto)
{
	int ret = 0;

	if (proto->n_sparse_initializer)
		return xrnpe_fail(reader->error, -ENOTSUP, "%s: sparse initializers are not supported",
				  reader->graph->name);
	for (size_t i = 0; !ret && i < proto->n_initializer; i++) {
		const Onnx__TensorProto *tensor = proto->initializer[i];
		uint32_t index;

		if (!tensor->name || !*tensor->name)
			return xrnpe_fail(reader->error, -EINVAL, "%s: an initializer has no name",
					  reader->graph->name);
		ret = new_tensor(reader, tensor->name, &index);
		if (!ret)
			ret = onnx_constant(reader->graph, index, tensor, reader->directory,
					    reader->error);
	}
	return ret;
}

static int read_nodes(struct reader *reader, const Onnx__GraphProto *proto)
{
	int ret = read_initializers(reader, proto);

	for (size_t i = 0; !ret && i < proto->n_node; i++)
		ret = read_node(reader, proto->node[i]);
	return ret;
}

/* ---- inputs ------------------------------------------------------------ */

/* Size of dimension @i from the file; 0: open. */
static int64_t file_dim(const Onnx__TensorShapeProto *shape, size_t i)
{
	return shape->dim[i]->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE ?
	       shape->dim[i]->dim_value : 0;
}

static int input_shape(const struct reader *reader, const Onnx__ValueInfoProto *info,
		       const Onnx__TensorShapeProto *proto, struct graph_shape *shape)
{
	int64_t dims[GRAPH_MAX_RANK];

	for (size_t i = 0; proto && i < proto->n_dim && i < GRAPH_MAX_RANK; i++)
		dims[i] = file_dim(proto, i);
	return build_input_shape(reader->graph, reader->options, info->name, proto ? dims : NULL,
				 proto ? proto->n_dim : 0, shape, reader->error);
}

static int read_input(struct reader *reader, const Onnx__ValueInfoProto *info)
{
	const Onnx__TypeProto__Tensor *type =
		info->type && info->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ?
		info->type->tensor_type : NULL;
	struct graph_shape shape;
	enum graph_type made;
	uint32_t index;
	char name[64];
	int ret;

	if (!type || !type->has_elem_type || !onnx_type(type->elem_type, &made))
		return xrnpe_fail(reader->error, -ENOTSUP,
				  "%s: input %s is not a tensor of a type that is supported",
				  reader->graph->name, graph_printable(info->name, name));
	ret = input_shape(reader, info, type->shape, &shape);
	if (!ret)
		ret = new_tensor(reader, info->name, &index);
	return ret ? ret : build_input(reader->graph, index, made, &shape, reader->error);
}

static int read_inputs(struct reader *reader, const Onnx__GraphProto *proto)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < proto->n_input; i++) {
		if (!proto->input[i]->name || !*proto->input[i]->name)
			return xrnpe_fail(reader->error, -EINVAL, "%s: an input has no name",
					  reader->graph->name);
		/* Until IR version 3 initializers were listed among the inputs. */
		if (graph_find(reader->graph, proto->input[i]->name) == GRAPH_NONE)
			ret = read_input(reader, proto->input[i]);
	}
	return ret ? ret : build_check_shapes(reader->graph, reader->options, reader->error);
}

static int read_outputs(struct reader *reader, const Onnx__GraphProto *proto)
{
	bool given = reader->options->output_count;
	size_t count = given ? reader->options->output_count : proto->n_output;
	int ret = count ? 0 : xrnpe_fail(reader->error, -EINVAL, "%s: has no output",
					 reader->graph->name);

	for (size_t i = 0; !ret && i < count; i++) {
		const char *name = given ? reader->options->outputs[i] : proto->output[i]->name;

		ret = build_output(reader->graph, name ? name : "", reader->error);
	}
	return ret;
}

/* ---- the file ---------------------------------------------------------- */

static int read_model(struct reader *reader, const Onnx__ModelProto *model)
{
	struct xrnpe_graph *graph = reader->graph;
	int ret;

	for (size_t i = 0; i < model->n_opset_import; i++) {
		const Onnx__OperatorSetIdProto *set = model->opset_import[i];

		if ((!set->domain || !*set->domain || !strcmp(set->domain, "ai.onnx")) &&
		    set->has_version)
			graph->opset = set->version;
	}
	if (!model->graph)
		return xrnpe_fail(reader->error, -EINVAL, "%s: is not an ONNX model, or is damaged",
				  graph->name);
	if (graph->opset < ONNX_MIN_OPSET)
		return xrnpe_fail(reader->error, -ENOTSUP,
				  "%s: uses operator set %lld; supported is %d and later",
				  graph->name, (long long)graph->opset, ONNX_MIN_OPSET);
	ret = read_initializers(reader, model->graph);
	if (!ret)
		ret = read_inputs(reader, model->graph);
	for (size_t i = 0; !ret && i < model->graph->n_node; i++)
		ret = read_node(reader, model->graph->node[i]);
	if (!ret)
		ret = read_outputs(reader, model->graph);
	if (!ret)
		ret = onnx_read_scales(graph, model->graph, reader->error);
	return ret ? ret : build_end(graph, reader->error);
}

int onnx_read(struct xrnpe_graph *graph, const void *data, size_t size, const char *directory,
	      const struct xrnpe_graph_options *options, struct xrnpe_error *error)
{
	static const struct xrnpe_graph_options none;
	struct reader reader = { graph, directory, options ? options : &none, error };
	Onnx__ModelProto *model = NULL;
	int ret;

	if (size && wire_is_sane(data, size, &onnx__model_proto__descriptor, ONNX_MAX_DEPTH))
		model = onnx__model_proto__unpack(NULL, size, data);
	if (!model)
		return xrnpe_fail(error, -EINVAL, "%s: is not an ONNX model, or is damaged",
				  graph->name);
	ret = read_model(&reader, model);
	onnx__model_proto__free_unpacked(model, NULL);
	return ret;
}

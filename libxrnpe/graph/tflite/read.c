// SPDX-License-Identifier: MIT
/* The file as a whole: inputs, one operator after the other, outputs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "build.h"
#include "error.h"
#include "reader.h"
#include "schema.h"
#include "tflite.h"

/*
 * The nodes made here are those of this operator set of ONNX. What attributes became
 * inputs in later ones are taken in either way.
 */
#define TFLITE_OPSET 17

static int fail_damaged(const struct tflite_reader *reader)
{
	return xrnpe_fail(reader->error, -EINVAL,
			  "%s: is damaged: what byte %zu leads to lies outside the file",
			  reader->graph->name, reader->file.where);
}

static const char *tensor_name(const struct tflite_reader *reader, uint32_t tensor)
{
	return flat_string(flat_vector_table(reader->tensors, tensor), TENSOR_NAME);
}

/* A tensor of the graph called as the file's is, as far as that has a name of its own. */
static int new_tensor(struct tflite_reader *reader, uint32_t tensor, uint32_t *index)
{
	const char *name = tensor_name(reader, tensor);
	char *own;

	if (*name && graph_find(reader->graph, name) == GRAPH_NONE)
		own = strdup(name);
	else if (asprintf(&own, "%s:%u", *name ? name : "tensor", tensor) < 0)
		own = NULL;
	return own ? graph_add_tensor(reader->graph, own, index, reader->error) :
		     xrnpe_fail_memory(reader->error);
}

/* Element @i of a list of tensors; false: it is none. -1 is GRAPH_NONE. */
static bool list_at(const struct tflite_reader *reader, struct flat_vector list, uint32_t i,
		    uint32_t *tensor)
{
	int32_t index = flat_vector_int(list, i);

	*tensor = (uint32_t)index;	/* -1 is GRAPH_NONE */
	return index == -1 || (index >= 0 && (uint32_t)index < reader->tensors.count);
}

static int fail_index(const struct tflite_reader *reader, const char *what, uint32_t number,
		      const char *does, struct flat_vector list, uint32_t i)
{
	return xrnpe_fail(reader->error, -EINVAL, "%s: %s %u %s %d of %u", reader->graph->name, what,
			  number, does, flat_vector_int(list, i), reader->tensors.count);
}

static bool is_known(const struct tflite_reader *reader, uint32_t tensor)
{
	return reader->values[tensor].last != GRAPH_NONE || reader->values[tensor].first != GRAPH_NONE;
}

/* What is there only once is not there yet. */
static int check_new(const struct tflite_reader *reader, const char *what, uint32_t number,
		     const char *does, uint32_t tensor)
{
	if (tensor == GRAPH_NONE || !is_known(reader, tensor))
		return 0;
	return xrnpe_fail(reader->error, -EINVAL, "%s: %s %u %s %u, which is there already",
			  reader->graph->name, what, number, does, tensor);
}

/* ---- inputs -------------------------------------------------------------- */

static int read_input(struct tflite_reader *reader, uint32_t tensor)
{
	struct flat_table table = flat_vector_table(reader->tensors, tensor);
	struct flat_vector dims = flat_vector(table, TENSOR_SHAPE_SIGNATURE, 4);
	int64_t sizes[GRAPH_MAX_RANK];
	struct graph_shape shape;
	enum element element;
	uint32_t index;
	char name[64];
	int ret;

	if (!tflite_element(flat_byte(table, TENSOR_TYPE), &element))
		return xrnpe_fail(reader->error, -ENOTSUP,
				  "%s: input %s is not a tensor of a type that is supported",
				  reader->graph->name, graph_printable(tensor_name(reader, tensor), name));
	if (!dims.count)
		dims = flat_vector(table, TENSOR_SHAPE, 4);
	for (uint32_t i = 0; i < dims.count && i < GRAPH_MAX_RANK; i++) {
		sizes[i] = flat_vector_int(dims, i);
		sizes[i] = sizes[i] == -1 ? 0 : sizes[i] ? sizes[i] : -1;
	}
	ret = new_tensor(reader, tensor, &index);
	if (!ret)
		ret = build_input_shape(reader->graph, reader->options,
					reader->graph->tensors[index].name, sizes, dims.count, &shape,
					reader->error);
	if (!ret)
		ret = build_input(reader->graph, index, element_type(element), &shape, reader->error);
	if (!ret)
		reader->values[tensor].last = index;
	return ret;
}

static int read_inputs(struct tflite_reader *reader, struct flat_vector inputs)
{
	int ret = 0;

	for (uint32_t i = 0; !ret && i < inputs.count; i++) {
		uint32_t tensor;

		if (!list_at(reader, inputs, i, &tensor) || tensor == GRAPH_NONE)
			return fail_index(reader, "input", i, "is tensor", inputs, i);
		ret = check_new(reader, "input", i, "is tensor", tensor);
		if (!ret)
			ret = read_input(reader, tensor);
	}
	return ret ? ret : build_check_shapes(reader->graph, reader->options, reader->error);
}

/* ---- operators ----------------------------------------------------------- */

/* Which operator it is; NULL: one that the schema does not have. */
static const struct tflite_operator *find_row(struct tflite_reader *reader, struct flat_table code,
					      char name[64])
{
	int32_t builtin = flat_byte(code, CODE_OLD_BUILTIN);
	const struct tflite_operator *row;

	/* Numbers that did not fit a byte came later. */
	if (flat_int(code, CODE_BUILTIN, 0) > builtin)
		builtin = flat_int(code, CODE_BUILTIN, 0);
	if (builtin == BUILTIN_CUSTOM) {
		graph_printable(flat_string(code, CODE_CUSTOM), name);
		return tflite_custom(flat_string(code, CODE_CUSTOM));
	}
	row = tflite_builtin(builtin);
	if (row)
		snprintf(name, 64, "%s", row->name);
	else
		snprintf(name, 64, "operator %d", builtin);
	return row;
}

/* A node without an operator, called @name as the file does, whose outputs stay unknown. */
static int leave_out(struct tflite_op *op, const char *name)
{
	struct tflite_reader *reader = op->reader;
	uint32_t *tensors = malloc((op->input_count + op->output_count + 1) * sizeof(*tensors));
	struct build_node node = { .name = op->name, .op = name, .inputs = tensors };
	int ret = tensors ? 0 : xrnpe_fail_memory(reader->error);

	for (uint32_t i = 0; !ret && i < op->input_count; i++) {
		const struct tflite_value *value =
			op->inputs[i] == GRAPH_NONE ? NULL : &reader->values[op->inputs[i]];

		if (value && (value->last != GRAPH_NONE || value->first != GRAPH_NONE))
			tensors[node.input_count++] = value->last == GRAPH_NONE ? value->first : value->last;
	}
	if (op->unknown != GRAPH_NONE && tensors)
		tensors[node.input_count++] = op->unknown;
	node.outputs = tensors ? tensors + node.input_count : NULL;
	for (uint32_t i = 0; !ret && i < op->output_count; i++) {
		uint32_t index;

		if (op->outputs[i] == GRAPH_NONE)
			continue;
		ret = graph_add_tensor(reader->graph, NULL, &index, reader->error);
		if (ret)
			break;
		reader->values[op->outputs[i]] = (struct tflite_value){ index, GRAPH_NONE };
		tensors[node.input_count + node.output_count++] = index;
	}
	if (!ret)
		ret = build_unsupported(reader->graph, &node, *op->why ? op->why : NULL, reader->error);
	free(tensors);
	return ret;
}

static bool is_constant(const struct tflite_reader *reader, uint32_t tensor)
{
	uint32_t index = reader->values[tensor].last;

	if (index == GRAPH_NONE)
		return flat_int(flat_vector_table(reader->tensors, tensor), TENSOR_BUFFER, 0);
	return reader->graph->tensors[index].data;
}

/* Nothing that the operator reads or computes is of integers that stand for other numbers. */
static void check_numbers(struct tflite_op *op)
{
	const struct tflite_reader *reader = op->reader;

	for (uint32_t i = 0; i < op->input_count + op->output_count; i++) {
		uint32_t tensor = i < op->input_count ? op->inputs[i] : op->outputs[i - op->input_count];
		if (tensor != GRAPH_NONE && tflite_is_quantized(reader, tensor) &&
		    (i >= op->input_count || !is_constant(reader, tensor)))
			tflite_unsupported(op, "computes with quantized integers");
	}
}

static void make(struct tflite_op *op, const char *name, int8_t options)
{
	const struct tflite_operator *row = op->row;

	if (!row || !row->make)
		tflite_unsupported(op, "is not supported");
	else if (op->input_count < row->min_inputs ||
		 (op->input_count > row->max_inputs && row->max_inputs != TFLITE_ANY) ||
		 !op->output_count || (options && row->options && options != row->options))
		op->ret = xrnpe_fail(op->reader->error, -EINVAL,
				     "%s: %s for %s has %u inputs and %u outputs, or another operator's options",
				     op->reader->graph->name, name, op->name, op->input_count,
				     op->output_count);
	for (uint32_t i = 0; !op->ret && i < row->min_inputs; i++) {
		if (op->inputs[i] == GRAPH_NONE)
			op->ret = xrnpe_fail(op->reader->error, -EINVAL, "%s: %s for %s has no input %u",
					     op->reader->graph->name, name, op->name, i);
	}
	if (!op->ret && op->outputs[0] == GRAPH_NONE)
		op->ret = xrnpe_fail(op->reader->error, -EINVAL, "%s: %s has no output 0",
				     op->reader->graph->name, name);
	if (!op->ret)
		check_numbers(op);
	/* Options of another kind than this operator's say nothing: they are left out. */
	if (!op->ret && !options)
		op->options = (struct flat_table){ 0 };
	if (!op->ret)
		row->make(op);
	graph_clear_attributes(op->attributes, op->attribute_count);
}

/* Every output is there, one way or the other. */
static bool is_whole(const struct tflite_op *op)
{
	for (uint32_t i = 0; i < op->output_count; i++) {
		if (op->outputs[i] != GRAPH_NONE && !is_known(op->reader, op->outputs[i]))
			return false;
	}
	return true;
}

static int read_operator(struct tflite_reader *reader, uint32_t number, struct flat_table table,
			 uint32_t *tensors)
{
	struct flat_vector inputs = flat_vector(table, OPERATOR_INPUTS, 4);
	struct flat_vector outputs = flat_vector(table, OPERATOR_OUTPUTS, 4);
	uint32_t code = (uint32_t)flat_int(table, OPERATOR_CODE, 0);
	struct tflite_op op = {
		.reader = reader, .inputs = tensors, .outputs = tensors + inputs.count,
		.input_count = inputs.count, .output_count = outputs.count,
		.options = flat_table(table, OPERATOR_OPTIONS),
		.custom_options = flat_vector(table, OPERATOR_CUSTOM_OPTIONS, 1),
		.name = "", .unknown = GRAPH_NONE,
	};
	char name[64];

	for (uint32_t i = 0; i < inputs.count; i++) {
		if (!list_at(reader, inputs, i, &tensors[i]))
			return fail_index(reader, "operator", number, "reads tensor", inputs, i);
	}
	for (uint32_t i = 0; i < outputs.count; i++) {
		uint32_t tensor;
		int ret;

		if (!list_at(reader, outputs, i, &tensor))
			return fail_index(reader, "operator", number, "computes tensor", outputs, i);
		ret = check_new(reader, "operator", number, "computes tensor", tensor);
		if (ret)
			return ret;
		tensors[inputs.count + i] = tensor;
		if (i == 0 && tensor != GRAPH_NONE)
			op.name = tensor_name(reader, tensor);
	}
	if (code >= reader->codes.count)
		return xrnpe_fail(reader->error, -EINVAL, "%s: operator %u is of kind %u of %u",
				  reader->graph->name, number, code, reader->codes.count);
	op.version = flat_int(flat_vector_table(reader->codes, code), CODE_VERSION, 1);
	op.row = find_row(reader, flat_vector_table(reader->codes, code), name);
	make(&op, name, flat_byte(table, OPERATOR_OPTIONS_KIND));
	if (!op.ret && is_whole(&op))
		return 0;
	if (!op.ret)
		tflite_unsupported(&op, "output other than the first is not supported");
	return op.ret == -ENOTSUP && (*op.why || op.unknown != GRAPH_NONE) ?
	       leave_out(&op, name) : op.ret;
}

static int read_operators(struct tflite_reader *reader, struct flat_vector operators)
{
	int ret = 0;

	for (uint32_t i = 0; !ret && i < operators.count; i++) {
		struct flat_table table = flat_vector_table(operators, i);
		size_t listed = (size_t)flat_vector(table, OPERATOR_INPUTS, 4).count +
				flat_vector(table, OPERATOR_OUTPUTS, 4).count;
		uint32_t *tensors;

		/* Lists do not lie in one another: together they are no larger than the file. */
		reader->listed += listed;
		if (reader->listed > reader->file.size / 4)
			return xrnpe_fail(reader->error, -EINVAL,
					  "%s: operator %u lists what others list, in the same bytes",
					  reader->graph->name, i);
		tensors = malloc((listed + 1) * sizeof(*tensors));
		ret = tensors ? read_operator(reader, i, table, tensors) : xrnpe_fail_memory(reader->error);
		free(tensors);
		if (!ret && reader->file.damaged)
			ret = fail_damaged(reader);
	}
	return ret;
}

/* ---- outputs ------------------------------------------------------------- */

/* The tensor under its name, in the order that it has in the file. */
static int make_output(struct tflite_reader *reader, uint32_t tensor)
{
	struct tflite_op op = {
		.reader = reader, .name = tensor_name(reader, tensor), .inputs = &tensor,
		.input_count = 1, .unknown = GRAPH_NONE,
	};
	uint32_t index = tflite_last(&op, 0), named;
	int ret = op.ret;

	if (ret == -ENOTSUP && *op.why)
		return xrnpe_fail(reader->error, ret, "%s: %s", reader->graph->name, op.why);
	/* An input, or an output that is listed twice. */
	if (!ret && !strcmp(reader->graph->tensors[index].name, op.name))
		return build_output(reader->graph, op.name, reader->error);
	if (!ret)
		ret = new_tensor(reader, tensor, &named);
	if (!ret)
		ret = build_part(reader->graph, op.name, "Identity", 1, &index, named, NULL, 0,
				 reader->error);
	if (!ret)
		ret = build_output(reader->graph, reader->graph->tensors[named].name, reader->error);
	if (!ret)
		reader->values[tensor].last = named;
	return ret;
}

/* The tensor that the caller calls @name; GRAPH_NONE: none that is there. */
static uint32_t find_tensor(const struct tflite_reader *reader, const char *name)
{
	for (uint32_t i = 0; i < reader->tensors.count; i++) {
		if (is_known(reader, i) && !strcmp(tensor_name(reader, i), name))
			return i;
	}
	return GRAPH_NONE;
}

static int read_outputs(struct tflite_reader *reader, struct flat_vector outputs)
{
	bool given = reader->options->output_count;
	size_t count = given ? reader->options->output_count : outputs.count;
	int ret = count ? 0 : xrnpe_fail(reader->error, -EINVAL, "%s: has no output",
					 reader->graph->name);

	for (size_t i = 0; !ret && i < count; i++) {
		uint32_t tensor = GRAPH_NONE;
		char text[64];

		if (given)
			tensor = find_tensor(reader, reader->options->outputs[i]);
		else if (!list_at(reader, outputs, (uint32_t)i, &tensor) || tensor == GRAPH_NONE)
			return fail_index(reader, "output", (uint32_t)i, "is tensor", outputs,
					  (uint32_t)i);
		ret = tensor != GRAPH_NONE ? make_output(reader, tensor) :
		      xrnpe_fail(reader->error, -EINVAL, "%s: output %s is not computed",
				 reader->graph->name, graph_printable(reader->options->outputs[i], text));
	}
	return ret;
}

/* ---- the file ------------------------------------------------------------ */

static int read_graph(struct tflite_reader *reader, struct flat_table subgraph)
{
	int ret;

	reader->tensors = flat_vector(subgraph, SUBGRAPH_TENSORS, 4);
	if (reader->tensors.count > GRAPH_MAX_TENSORS)
		return xrnpe_fail(reader->error, -ENOTSUP, "%s: has more than %u tensors",
				  reader->graph->name, GRAPH_MAX_TENSORS);
	reader->values = malloc((reader->tensors.count + 1) * sizeof(*reader->values));
	if (!reader->values)
		return xrnpe_fail_memory(reader->error);
	for (uint32_t i = 0; i < reader->tensors.count; i++)
		reader->values[i] = (struct tflite_value){ GRAPH_NONE, GRAPH_NONE };
	ret = read_inputs(reader, flat_vector(subgraph, SUBGRAPH_INPUTS, 4));
	if (!ret)
		ret = read_operators(reader, flat_vector(subgraph, SUBGRAPH_OPERATORS, 4));
	if (!ret)
		ret = read_outputs(reader, flat_vector(subgraph, SUBGRAPH_OUTPUTS, 4));
	/* Whatever came of it. */
	if (reader->file.damaged)
		ret = fail_damaged(reader);
	return ret ? ret : build_end(reader->graph, reader->error);
}

bool tflite_is(const void *data, size_t size)
{
	return flat_is(data, size, TFLITE_IDENTIFIER);
}

int tflite_read(struct xrnpe_graph *graph, const void *data, size_t size,
		const struct xrnpe_graph_options *options, struct xrnpe_error *error)
{
	static const struct xrnpe_graph_options none;
	struct tflite_reader reader = {
		.graph = graph, .options = options ? options : &none, .error = error,
		.file = { .data = data, .size = size },
	};
	struct flat_table model = flat_root(&reader.file);
	struct flat_vector subgraphs = flat_vector(model, MODEL_SUBGRAPHS, 4);
	int32_t version = flat_int(model, MODEL_VERSION, 0);
	int ret;

	reader.codes = flat_vector(model, MODEL_OPERATOR_CODES, 4);
	reader.buffers = flat_vector(model, MODEL_BUFFERS, 4);
	if (reader.file.damaged)
		return fail_damaged(&reader);
	if (!subgraphs.count)
		return xrnpe_fail(error, -EINVAL, "%s: has no network", graph->name);
	if (version != TFLITE_VERSION)
		return xrnpe_fail(error, -ENOTSUP, "%s: is of version %d of the format; supported is %d",
				  graph->name, version, TFLITE_VERSION);
	graph->opset = TFLITE_OPSET;
	ret = read_graph(&reader, flat_vector_table(subgraphs, 0));
	free(reader.values);
	return ret;
}

// SPDX-License-Identifier: MIT
/*
 * Building a graph. A node that is not supported stays in the graph without an operator
 * until the end, when it is known whether anything needs it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "build.h"
#include "operator.h"

/* ---- tensors ----------------------------------------------------------- */

/* -ENOTSUP: @shape has more than @limit elements, or would have if no dimension were 0. */
static int check_shape(const struct xrnpe_graph *graph, const struct graph_tensor *tensor,
		       const struct graph_shape *shape, size_t limit, struct xrnpe_error *error)
{
	char name[64], text[GRAPH_SHAPE_TEXT];
	size_t count = 1;

	for (uint32_t i = 0; i < shape->rank; i++) {
		if (__builtin_mul_overflow(count, shape->dims[i] ? shape->dims[i] : 1, &count) ||
		    count > limit)
			return xrnpe_fail(error, -ENOTSUP, "%s: tensor %s of %s is too large",
					  graph->name, graph_printable(tensor->name, name),
					  graph_shape_text(shape, text));
	}
	return 0;
}

int build_constant(struct xrnpe_graph *graph, uint32_t index, enum graph_type type,
		   const struct graph_shape *shape, void **data, struct xrnpe_error *error)
{
	struct graph_tensor *tensor = &graph->tensors[index];
	int ret = check_shape(graph, tensor, shape, GRAPH_MAX_CONSTANT, error);

	if (ret)
		return ret;
	graph->constants += graph_count(shape);
	if (graph->constants > GRAPH_MAX_CONSTANTS)
		return xrnpe_fail(error, -ENOTSUP, "%s: constants are too large together", graph->name);
	/* A constant of no elements has memory too: that is what tells it from others. */
	tensor->data = calloc(graph_count(shape) + 1, graph_type_size(type));
	if (!tensor->data)
		return xrnpe_fail_memory(error);
	tensor->type = type;
	tensor->shape = *shape;
	tensor->known = true;
	*data = tensor->data;
	return 0;
}

static int append_index(uint32_t **array, uint32_t *count, uint32_t index,
			struct xrnpe_error *error)
{
	uint32_t *larger = realloc(*array, (*count + 1) * sizeof(*larger));

	if (!larger)
		return xrnpe_fail_memory(error);
	*array = larger;
	larger[(*count)++] = index;
	return 0;
}

int build_input(struct xrnpe_graph *graph, uint32_t index, enum graph_type type,
		const struct graph_shape *shape, struct xrnpe_error *error)
{
	struct graph_tensor *tensor = &graph->tensors[index];
	int ret = check_shape(graph, tensor, shape, GRAPH_MAX_ELEMENTS, error);

	if (ret)
		return ret;
	tensor->type = type;
	tensor->shape = *shape;
	tensor->known = true;
	return append_index(&graph->inputs, &graph->input_count, index, error);
}

int build_output(struct xrnpe_graph *graph, const char *name, struct xrnpe_error *error)
{
	uint32_t index = graph_find(graph, name);
	char text[64];

	if (index == GRAPH_NONE)
		return xrnpe_fail(error, -EINVAL, "%s: output %s is not computed", graph->name,
				  graph_printable(name, text));
	return append_index(&graph->outputs, &graph->output_count, index, error);
}

/* ---- nodes ------------------------------------------------------------- */

static bool is_word(const char *words, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = words; *at; at += *at == ' ') {
		size_t end = strcspn(at, " ");

		if (end == length && !memcmp(at, word, length))
			return true;
		at += end;
	}
	return false;
}

static int check_attributes(const struct op *op)
{
	const struct graph_node *node = op->node;
	char text[64];

	for (uint32_t i = 0; i < node->attribute_count; i++) {
		const char *name = node->attributes[i].name;

		if (!is_word(node->op->attributes, name))
			return op_fail(op, -ENOTSUP, "attribute %s is not supported",
				       graph_printable(name, text));
		if (op_attribute(op, name) != &node->attributes[i])
			return op_fail(op, -EINVAL, "attribute %s is given twice", name);
	}
	return 0;
}

/* In older operator sets it is another operator. */
static int check_set(const struct op *op)
{
	if (op->graph->opset >= op->node->op->since)
		return 0;
	return op_fail(op, -ENOTSUP, "is of operator set %lld; supported is %u and later",
		       (long long)op->graph->opset, op->node->op->since);
}

static int check_counts(const struct op *op)
{
	const struct operator *row = op->node->op;
	uint32_t inputs = op->node->input_count;

	if (inputs < row->min_inputs)
		return op_fail(op, -EINVAL, "has %u inputs", inputs);
	if (inputs > row->max_inputs && row->max_inputs != XRNPE_OPERATOR_ANY)
		return op_fail(op, -ENOTSUP, "has %u inputs; supported are at most %u", inputs,
			       row->max_inputs);
	for (uint32_t i = 0; i < row->min_inputs; i++) {
		if (op->node->inputs[i] == GRAPH_NONE)
			return op_fail(op, -EINVAL, "input %u is missing", i);
	}
	/* What is expanded may have any of its outputs, what is computed has the first. */
	if (!op->node->output_count || (row->compute && op->node->outputs[0] == GRAPH_NONE))
		return op_fail(op, -EINVAL, "has no output");
	for (uint32_t i = row->max_outputs; i < op->node->output_count; i++) {
		if (row->max_outputs != XRNPE_OPERATOR_ANY && op->node->outputs[i] != GRAPH_NONE)
			return op_fail(op, -ENOTSUP, "output %u is not supported", i);
	}
	return 0;
}

/* What infer() made of the outputs. */
static int check_outputs(const struct op *op, bool constant)
{
	char text[GRAPH_SHAPE_TEXT];

	for (uint32_t i = 0; i < op->node->output_count; i++) {
		struct graph_tensor *tensor = graph_output(op->graph, op->node, i);
		int ret;

		if (!tensor)
			continue;
		ret = check_shape(op->graph, tensor, &tensor->shape,
				  constant ? GRAPH_MAX_CONSTANT : GRAPH_MAX_ELEMENTS, op->error);
		if (ret)
			return op_fail(op, ret, "output of %s is too large",
				       graph_shape_text(&tensor->shape, text));
		if (!constant && !graph_count(&tensor->shape))
			return op_fail(op, -ENOTSUP, "output of %s is empty",
				       graph_shape_text(&tensor->shape, text));
		tensor->known = true;
	}
	return 0;
}

/* Compute a node whose inputs are constant; its outputs become constants. */
static int evaluate(const struct op *op)
{
	struct xrnpe_graph *graph = op->graph;
	struct op_call call = { .graph = graph, .node = op->node };
	void **tensors = malloc(graph->tensor_count * sizeof(*tensors));
	bool empty = true;
	int ret = 0;

	if (posix_memalign(&call.scratch, 64, op->node->scratch + 1))
		call.scratch = NULL;
	if (!tensors || !call.scratch)
		ret = xrnpe_fail_memory(op->error);
	for (uint32_t i = 0; !ret && i < op->node->output_count; i++) {
		const struct graph_tensor *tensor = graph_output(graph, op->node, i);
		void *data;

		if (tensor)
			ret = build_constant(graph, op->node->outputs[i], tensor->type,
					     &tensor->shape, &data, op->error);
		empty &= !tensor || !graph_count(&tensor->shape);
	}
	if (!ret && !empty) {
		for (uint32_t i = 0; i < graph->tensor_count; i++)
			tensors[i] = graph->tensors[i].data;
		call.tensors = tensors;
		op->node->op->compute(&call);
	}
	free(call.scratch);
	free(tensors);
	return ret;
}

/* Whether all inputs are known; or constant, those whose values matter. */
static bool inputs_are(const struct op *op, bool constant)
{
	uint32_t types_from = op->node->op->types_from, count = op->node->input_count;

	if (constant && types_from && types_from < count)
		count = types_from;
	for (uint32_t i = 0; i < count; i++) {
		const struct graph_tensor *tensor = op_input(op, i);

		if (tensor && !(constant ? tensor->data != NULL : tensor->known))
			return false;
	}
	return true;
}

/* Check and shape the node. *@done: nothing is left of it to be added. */
static int infer(const struct op *op, bool *done)
{
	bool constant = op->node->op->of_shapes || inputs_are(op, true);
	int ret = check_set(op);

	*done = false;
	if (!ret)
		ret = check_counts(op);
	if (!ret)
		ret = check_attributes(op);
	if (!ret)
		ret = op->node->op->infer(op);
	if (ret)
		return ret;
	*done = constant || !op->node->op->compute;
	if (!op->node->op->compute)
		return 0;
	ret = check_outputs(op, constant);
	return !ret && constant ? evaluate(op) : ret;
}

/* Keep the node without its operator; @why is NULL where it is an input that is unknown. */
static int add_unsupported(struct xrnpe_graph *graph, struct graph_node *node, const char *why,
			   struct xrnpe_error *error)
{
	node->op = NULL;
	node->unsupported = why ? strdup(why) : NULL;
	if (why && !node->unsupported) {
		graph_clear_node(node);
		return xrnpe_fail_memory(error);
	}
	return graph_add_node(graph, node, error);
}

/* A copy of a list, which may be empty. */
static void *copy(const void *from, size_t count, size_t size)
{
	void *to = malloc(count * size + 1);

	if (to && count)
		memcpy(to, from, count * size);
	return to;
}

/* The node with memory of its own. */
static int make_node(const struct xrnpe_graph *graph, const struct build_node *from,
		     struct graph_node *node, struct xrnpe_error *error)
{
	const char *name = from->name;

	if (!*name && from->output_count && from->outputs[0] != GRAPH_NONE)
		name = graph->tensors[from->outputs[0]].name;
	*node = (struct graph_node){
		.name = strdup(name),
		.op_names = strdup(from->op),
		.inputs = copy(from->inputs, from->input_count, sizeof(*from->inputs)),
		.input_count = from->input_count,
		.outputs = copy(from->outputs, from->output_count, sizeof(*from->outputs)),
		.output_count = from->output_count,
		.attributes = copy(from->attributes, from->attribute_count,
				   sizeof(*from->attributes)),
		.attribute_count = from->attribute_count,
	};
	if (node->name && node->op_names && node->inputs && node->outputs && node->attributes)
		return 0;
	if (!node->attributes) {
		graph_clear_attributes(from->attributes, from->attribute_count);
		node->attribute_count = 0;
	}
	graph_clear_node(node);
	return xrnpe_fail_memory(error);
}

int build_unsupported(struct xrnpe_graph *graph, const struct build_node *from, const char *why,
		      struct xrnpe_error *error)
{
	struct graph_node node;
	int ret = make_node(graph, from, &node, error);

	return ret ? ret : add_unsupported(graph, &node, why, error);
}

int build_node(struct xrnpe_graph *graph, const struct build_node *from,
	       struct xrnpe_error *error)
{
	struct graph_node node;
	struct xrnpe_error why;
	struct op op = { .graph = graph, .node = &node, .error = &why };
	bool done;
	int ret = make_node(graph, from, &node, error);

	if (ret)
		return ret;
	node.op = operator_find(from->op);
	if (!node.op)
		return add_unsupported(graph, &node, "is not supported", error);
	if (!inputs_are(&op, false))
		return add_unsupported(graph, &node, NULL, error);
	ret = infer(&op, &done);
	if (ret == -ENOTSUP)
		return add_unsupported(graph, &node, graph_reason(graph, &node, &why), error);
	if (!ret && !done)
		return graph_add_node(graph, &node, error);
	if (ret && error)
		*error = why;
	graph_clear_node(&node);
	return ret;
}

int build_part(struct xrnpe_graph *graph, const char *name, const char *op, uint32_t input_count,
	       const uint32_t *inputs, uint32_t output, struct graph_attribute *attributes,
	       uint32_t attribute_count, struct xrnpe_error *error)
{
	return build_node(graph, &(struct build_node){
		.name = name, .op = op, .inputs = inputs, .input_count = input_count,
		.outputs = &output, .output_count = 1, .attributes = attributes,
		.attribute_count = attribute_count,
	}, error);
}

/* ---- the end ----------------------------------------------------------- */

/* Names of a kind that are listed, if the message has room; the rest is counted. */
#define LISTED 3

static bool same_reason(const struct graph_node *a, const struct graph_node *b)
{
	return a->unsupported && b->unsupported && !strcmp(a->op_names, b->op_names) &&
	       !strcmp(a->unsupported, b->unsupported);
}

/* "Einsum (node a, b and 5 more): is not supported" for the nodes like @first. */
static void list_reason(const struct xrnpe_graph *graph, uint32_t first, uint32_t most, FILE *text)
{
	const struct graph_node *node = &graph->nodes[first];
	char name[64];
	uint32_t count = 0;

	fprintf(text, "%s (", graph_printable(node->op_names, name));
	for (uint32_t n = first; n < graph->node_count; n++) {
		if (!same_reason(node, &graph->nodes[n]) || count++ >= most)
			continue;
		fprintf(text, "%s %s", count > 1 ? "," : "node",
			graph_printable(graph->nodes[n].name, name));
	}
	if (!most)
		fprintf(text, "%u node%s", count, count > 1 ? "s" : "");
	else if (count > most)
		fprintf(text, " and %u more", count - most);
	fprintf(text, "): %s", node->unsupported);
}

/* All reasons, from malloc(), with up to @most names each; "" if there are none. */
static char *list_reasons(const struct xrnpe_graph *graph, uint32_t most)
{
	char *list = NULL;
	size_t size = 0;
	FILE *text = open_memstream(&list, &size);
	bool any = false;

	if (!text)
		return NULL;
	for (uint32_t n = 0; n < graph->node_count; n++) {
		bool listed = !graph->nodes[n].unsupported;

		for (uint32_t k = 0; !listed && k < n; k++)
			listed = same_reason(&graph->nodes[k], &graph->nodes[n]);
		if (listed)
			continue;
		fputs(any ? "; " : "", text);
		list_reason(graph, n, most, text);
		any = true;
	}
	if (fclose(text)) {
		free(list);
		return NULL;
	}
	return list;
}

/* Operators that are named are worth more than nodes of some: fewer of these, until all fit. */
static int list_unsupported(const struct xrnpe_graph *graph, struct xrnpe_error *error)
{
	char *list = list_reasons(graph, LISTED);
	int ret = 0;

	for (uint32_t most = LISTED; most && list &&
	     strlen(graph->name) + strlen(list) + 2 >= XRNPE_ERROR_SIZE;) {
		free(list);
		list = list_reasons(graph, --most);
	}
	if (!list)
		return xrnpe_fail_memory(error);
	if (*list)
		ret = xrnpe_fail(error, -ENOTSUP, "%s: %s", graph->name, list);
	free(list);
	return ret;
}

static int fill_infos(struct xrnpe_graph *graph, struct xrnpe_error *error)
{
	uint32_t count = graph->input_count + graph->output_count;

	graph->infos = calloc(count, sizeof(*graph->infos));
	if (!graph->infos)
		return xrnpe_fail_memory(error);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t index = i < graph->input_count ? graph->inputs[i] :
				 graph->outputs[i - graph->input_count];

		graph->infos[i] = graph_info(&graph->tensors[index]);
	}
	return 0;
}

int build_end(struct xrnpe_graph *graph, struct xrnpe_error *error)
{
	int ret = graph_drop_dead(graph, error);

	if (!ret)
		ret = list_unsupported(graph, error);
	return ret ? ret : fill_infos(graph, error);
}

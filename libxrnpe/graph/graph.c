// SPDX-License-Identifier: MIT
/* The graph as a data structure: names, tensors, nodes. */
#include <errno.h>
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "bytes.h"
#include "error.h"
#include "graph.h"
#include "operator.h"

/* ---- text -------------------------------------------------------------- */

const char *graph_printable(const char *name, char text[64])
{
	size_t length = 0;

	for (; name[length] && length < 63; length++)
		text[length] = (unsigned char)name[length] < ' ' || name[length] == 0x7f ?
			       '?' : name[length];
	/* Do not cut a UTF-8 sequence: its further bytes are 10xxxxxx. */
	while (name[length] && length && ((unsigned char)name[length] & 0xc0) == 0x80)
		length--;
	text[length] = 0;
	return text;
}

const char *graph_shape_text(const struct graph_shape *shape, char text[GRAPH_SHAPE_TEXT])
{
	int used = 0;

	snprintf(text, GRAPH_SHAPE_TEXT, "scalar");
	for (uint32_t i = 0; i < shape->rank; i++)
		used += snprintf(text + used, GRAPH_SHAPE_TEXT - (size_t)used, "%s%u",
				 i ? " x " : "", shape->dims[i]);
	return text;
}

/* "file: node name (Op+Op): " */
static int write_prefix(const struct xrnpe_graph *graph, const struct graph_node *node,
			char text[XRNPE_ERROR_SIZE])
{
	char name[64], ops[64];

	return snprintf(text, XRNPE_ERROR_SIZE, "%s: node %s (%s): ", graph->name,
			graph_printable(node->name, name), graph_printable(node->op_names, ops));
}

int graph_fail(const struct xrnpe_graph *graph, const struct graph_node *node,
	       struct xrnpe_error *error, int code, const char *format, ...)
{
	char prefix[XRNPE_ERROR_SIZE], text[256];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	write_prefix(graph, node, prefix);
	return xrnpe_fail(error, code, "%s%s", prefix, text);
}

const char *graph_reason(const struct xrnpe_graph *graph, const struct graph_node *node,
			 const struct xrnpe_error *error)
{
	char prefix[XRNPE_ERROR_SIZE];
	int length = write_prefix(graph, node, prefix);

	return strncmp(error->message, prefix, (size_t)length) ? error->message :
	       error->message + length;
}

/* ---- tensors ----------------------------------------------------------- */

/* An entry of the tree graph->names. */
struct name {
	const char *name;	/* the tensor's */
	uint32_t index;
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->name, ((const struct name *)b)->name);
}

uint32_t graph_find(const struct xrnpe_graph *graph, const char *name)
{
	const struct name key = { .name = name };
	struct name **found = tfind(&key, &graph->names, compare_names);

	return found ? (*found)->index : GRAPH_NONE;
}

static int add_name(struct xrnpe_graph *graph, const char *name, uint32_t index,
		    struct xrnpe_error *error)
{
	struct name *entry = malloc(sizeof(*entry)), **found;
	char text[64];

	if (!entry)
		return xrnpe_fail_memory(error);
	*entry = (struct name){ name, index };
	found = tsearch(entry, &graph->names, compare_names);
	if (found && *found == entry)
		return 0;
	free(entry);
	if (!found)
		return xrnpe_fail_memory(error);
	return xrnpe_fail(error, -EINVAL, "%s: tensor %s is defined twice", graph->name,
			  graph_printable(name, text));
}

/* Room for one more in an array that grows in powers of two. */
static int make_room(void **array, uint32_t count, uint32_t *room, size_t size)
{
	uint32_t wanted = *room ? 2 * *room : 16;
	void *larger;

	if (count < *room)
		return 0;
	larger = realloc(*array, wanted * size);
	if (!larger)
		return -ENOMEM;
	*array = larger;
	*room = wanted;
	return 0;
}

/* A name that is free: a file that the library wrote has names like those that it makes up. */
static char *make_name(const struct xrnpe_graph *graph)
{
	for (uint32_t i = graph->tensor_count;; i++) {
		char *name;

		if (asprintf(&name, GRAPH_OWN_NAME "%u", i) < 0)
			return NULL;
		if (graph_find(graph, name) == GRAPH_NONE)
			return name;
		free(name);
	}
}

int graph_add_tensor(struct xrnpe_graph *graph, char *name, uint32_t *index,
		     struct xrnpe_error *error)
{
	uint32_t i = graph->tensor_count;
	int ret;

	if (i == GRAPH_MAX_TENSORS) {
		free(name);
		return xrnpe_fail(error, -ENOTSUP, "%s: has more than %u tensors", graph->name,
				  GRAPH_MAX_TENSORS);
	}
	if (!name)
		name = make_name(graph);
	if (!name || make_room((void **)&graph->tensors, i, &graph->tensor_room,
			       sizeof(*graph->tensors))) {
		free(name);
		return xrnpe_fail_memory(error);
	}
	ret = add_name(graph, name, i, error);
	if (ret) {
		free(name);
		return ret;
	}
	graph->tensors[i] = (struct graph_tensor){ .name = name };
	graph->tensor_count++;
	*index = i;
	return 0;
}

struct xrnpe_tensor_info graph_info(const struct graph_tensor *tensor)
{
	struct xrnpe_tensor_info info = {
		.name = tensor->name, .type = (enum xrnpe_type)tensor->type,
		.rank = tensor->shape.rank, .count = graph_count(&tensor->shape),
	};

	for (uint32_t i = 0; i < XRNPE_TENSOR_RANK; i++)
		info.dims[i] = i < info.rank ? tensor->shape.dims[i] : 1;
	return info;
}

void graph_drop_scales(struct graph_tensor *tensor)
{
	for (unsigned int f = 0; tensor->scales && f < XRNPE_PRODUCT_FORMATS; f++)
		free(tensor->scales->values[f]);
	free(tensor->scales);
	tensor->scales = NULL;
}

/* ---- nodes ------------------------------------------------------------- */

static void clear_attribute(struct graph_attribute *attribute)
{
	free(attribute->name);
	switch (attribute->kind) {
	case GRAPH_ATTRIBUTE_INT:
	case GRAPH_ATTRIBUTE_INTS:
		free(attribute->ints);
		break;
	case GRAPH_ATTRIBUTE_FLOAT:
	case GRAPH_ATTRIBUTE_FLOATS:
		free(attribute->floats);
		break;
	case GRAPH_ATTRIBUTE_STRING:
		free(attribute->string);
		break;
	case GRAPH_ATTRIBUTE_TENSOR:
		break;
	}
}

void graph_clear_attributes(struct graph_attribute *attributes, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		clear_attribute(&attributes[i]);
}

void graph_clear_node(struct graph_node *node)
{
	graph_clear_attributes(node->attributes, node->attribute_count);
	free(node->attributes);
	free(node->name);
	free(node->op_names);
	free(node->inputs);
	free(node->outputs);
	free(node->unsupported);
	*node = (struct graph_node){ 0 };
}

int graph_add_node(struct xrnpe_graph *graph, const struct graph_node *node,
		   struct xrnpe_error *error)
{
	struct graph_node copy = *node;
	int ret = 0;

	if (graph->node_count == GRAPH_MAX_NODES)
		ret = xrnpe_fail(error, -ENOTSUP, "%s: has more than %u nodes", graph->name,
				 GRAPH_MAX_NODES);
	else if (make_room((void **)&graph->nodes, graph->node_count, &graph->node_room,
			   sizeof(*graph->nodes)))
		ret = xrnpe_fail_memory(error);
	if (ret) {
		graph_clear_node(&copy);
		return ret;
	}
	graph->nodes[graph->node_count++] = copy;
	return 0;
}

uint64_t graph_node_macs(const struct xrnpe_graph *graph, const struct graph_node *node)
{
	return node->op->macs ? node->op->macs(graph, node) : 0;
}

bool graph_is_bounded(const struct graph_tensor *tensor)
{
	const float *values = tensor->data;

	if (tensor->type != GRAPH_FLOAT)
		return false;
	for (size_t i = 0, count = graph_count(&tensor->shape); i < count; i++) {
		if (!graph_bounds(values[i]))
			return false;
	}
	return true;
}

uint32_t *graph_readers(const struct xrnpe_graph *graph)
{
	uint32_t *readers = calloc(graph->tensor_count + 1, sizeof(*readers));

	for (uint32_t n = 0; readers && n < graph->node_count; n++) {
		const struct graph_node *node = &graph->nodes[n];

		for (uint32_t k = 0; k < node->input_count; k++) {
			if (node->inputs[k] != GRAPH_NONE)
				readers[node->inputs[k]]++;
		}
	}
	for (uint32_t i = 0; readers && i < graph->output_count; i++)
		readers[graph->outputs[i]]++;
	return readers;
}

/* Whether a tensor that @node computes is @live. */
static bool is_live(const struct graph_node *node, const bool *live)
{
	for (uint32_t k = 0; k < node->output_count; k++) {
		if (node->outputs[k] != GRAPH_NONE && live[node->outputs[k]])
			return true;
	}
	return false;
}

int graph_drop_dead(struct xrnpe_graph *graph, struct xrnpe_error *error)
{
	bool *live = calloc(graph->tensor_count + 1, sizeof(*live));
	uint32_t kept = 0;

	if (!live)
		return xrnpe_fail_memory(error);
	for (uint32_t i = 0; i < graph->output_count; i++)
		live[graph->outputs[i]] = true;
	for (uint32_t n = graph->node_count; n--;) {
		const struct graph_node *node = &graph->nodes[n];

		for (uint32_t k = 0; is_live(node, live) && k < node->input_count; k++) {
			if (node->inputs[k] != GRAPH_NONE)
				live[node->inputs[k]] = true;
		}
	}
	for (uint32_t n = 0; n < graph->node_count; n++) {
		struct graph_node *node = &graph->nodes[n];

		if (!is_live(node, live)) {
			graph_clear_node(node);
			continue;
		}
		for (uint32_t k = 0; k < node->attribute_count; k++) {
			if (node->attributes[k].kind == GRAPH_ATTRIBUTE_TENSOR)
				live[node->attributes[k].tensor] = true;
		}
		if (kept != n) {
			graph->nodes[kept] = *node;
			*node = (struct graph_node){ 0 };
		}
		kept++;
	}
	graph->node_count = kept;
	/* Tensors keep their places, which others have noted; only memory is given back. */
	for (uint32_t i = 0; i < graph->tensor_count; i++) {
		if (!live[i]) {
			free(graph->tensors[i].data);
			graph->tensors[i].data = NULL;
		}
	}
	free(live);
	return 0;
}

/* ---- the whole --------------------------------------------------------- */

struct xrnpe_graph *graph_new(const char *name)
{
	struct xrnpe_graph *graph = calloc(1, sizeof(*graph));

	if (!graph)
		return NULL;
	graph->name = strdup(name);
	if (!graph->name) {
		free(graph);
		return NULL;
	}
	return graph;
}

void xrnpe_graph_free(struct xrnpe_graph *graph)
{
	if (!graph)
		return;
	for (uint32_t n = 0; n < graph->node_count; n++)
		graph_clear_node(&graph->nodes[n]);
	tdestroy(graph->names, free);
	for (uint32_t i = 0; i < graph->tensor_count; i++) {
		free(graph->tensors[i].name);
		free(graph->tensors[i].data);
		graph_drop_scales(&graph->tensors[i]);
	}
	free(graph->nodes);
	free(graph->tensors);
	free(graph->inputs);
	free(graph->outputs);
	free(graph->infos);
	bytes_free(graph);
	free(graph->name);
	free(graph);
}

unsigned int xrnpe_graph_input_count(const struct xrnpe_graph *graph)
{
	return graph->input_count;
}

unsigned int xrnpe_graph_output_count(const struct xrnpe_graph *graph)
{
	return graph->output_count;
}

const struct xrnpe_tensor_info *xrnpe_graph_input(const struct xrnpe_graph *graph, unsigned int i)
{
	return &graph->infos[i];
}

const struct xrnpe_tensor_info *xrnpe_graph_output(const struct xrnpe_graph *graph, unsigned int i)
{
	return &graph->infos[graph->input_count + i];
}

/* Floats that nodes read as constants, each counted once. */
uint64_t xrnpe_graph_bytes(const struct xrnpe_graph *graph)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < graph->tensor_count; i++) {
		const struct graph_tensor *tensor = &graph->tensors[i];

		if (tensor->data && tensor->type == GRAPH_FLOAT)
			bytes += graph_count(&tensor->shape) * sizeof(float);
	}
	return bytes;
}

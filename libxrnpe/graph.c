// SPDX-License-Identifier: MIT
/* Making, folding and freeing graphs. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "graph.h"
#include "io.h"
#include "onnx.h"

int graph_fail(const struct xrnpe_graph *graph, const struct graph_node *node,
	       struct xrnpe_error *error, int code, const char *format, ...)
{
	char text[256];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	return xrnpe_fail(error, code, "%s: node %s (%s): %s", graph->name, node->name,
			  node->op_names, text);
}

struct graph_node *graph_append(struct xrnpe_graph *graph, enum graph_op op, const char *name,
				const char *op_name, struct xrnpe_error *error)
{
	struct graph_node *nodes, *node;

	if (graph->count == GRAPH_MAX_NODES) {
		xrnpe_fail(error, -ENOTSUP, "%s: has more than %d nodes", graph->name,
			   GRAPH_MAX_NODES);
		return NULL;
	}
	/* Grown in powers of two. */
	if (!(graph->count & (graph->count - 1))) {
		size_t room = graph->count ? 2 * (size_t)graph->count : 1;

		nodes = realloc(graph->nodes, room * sizeof(*nodes));
		if (!nodes) {
			xrnpe_fail_memory(error);
			return NULL;
		}
		graph->nodes = nodes;
	}
	node = &graph->nodes[graph->count];
	*node = (struct graph_node){ .op = op, .name = strdup(name), .op_names = strdup(op_name) };
	graph->count++;
	if (!node->name || !node->op_names) {
		xrnpe_fail_memory(error);
		return NULL;
	}
	return node;
}

static void clear_node(struct graph_node *node)
{
	free(node->name);
	free(node->op_names);
	free(node->weight);
	free(node->bias);
}

void xrnpe_graph_free(struct xrnpe_graph *graph)
{
	if (!graph)
		return;
	for (uint32_t i = 0; i < graph->count; i++)
		clear_node(&graph->nodes[i]);
	free(graph->nodes);
	free((char *)graph->input_info.name);
	free((char *)graph->output_info.name);
	free(graph->name);
	free(graph);
}

uint64_t graph_node_macs(const struct xrnpe_graph *graph, const struct graph_node *node)
{
	uint64_t outputs = graph_shape_count(&node->shape);

	switch (node->op) {
	case GRAPH_CONV:
	case GRAPH_GEMM:
		return outputs * (node->weight_count / node->shape.c);
	case GRAPH_AVGPOOL:
		return outputs * node->window.kernel_h * node->window.kernel_w;
	case GRAPH_NORM:
		return outputs;
	default:
		return 0;
	}
}

uint64_t xrnpe_graph_bytes(const struct xrnpe_graph *graph)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < graph->count; i++) {
		const struct graph_node *node = &graph->nodes[i];

		count += node->weight_count + (node->bias ? node->shape.c : 0);
	}
	return count * sizeof(float);
}

const struct xrnpe_tensor_info *xrnpe_graph_input(const struct xrnpe_graph *graph)
{
	return &graph->input_info;
}

const struct xrnpe_tensor_info *xrnpe_graph_output(const struct xrnpe_graph *graph)
{
	return &graph->output_info;
}

/* ---- folding ----------------------------------------------------------- */

static int fold_norm(const struct xrnpe_graph *graph, struct graph_node *conv,
		     const struct graph_node *norm, struct xrnpe_error *error)
{
	size_t k = conv->weight_count / conv->shape.c;

	if (!conv->bias) {
		conv->bias = calloc(conv->shape.c, sizeof(float));
		if (!conv->bias)
			return xrnpe_fail_memory(error);
	}
	for (uint32_t c = 0; c < conv->shape.c; c++) {
		double bias = (double)conv->bias[c] * norm->weight[c] + norm->bias[c];
		bool finite = isfinite((float)bias);

		conv->bias[c] = (float)bias;
		for (size_t i = 0; i < k; i++) {
			conv->weight[c * k + i] *= norm->weight[c];
			finite &= isfinite(conv->weight[c * k + i]);
		}
		if (!finite)
			return graph_fail(graph, norm, error, -EINVAL,
					  "channel %u overflows when folded into %s", c, conv->name);
	}
	return 0;
}

static int append_name(struct graph_node *node, const char *op_name, struct xrnpe_error *error)
{
	char *names;

	if (asprintf(&names, "%s+%s", node->op_names, op_name) < 0)
		return xrnpe_fail_memory(error);
	free(node->op_names);
	node->op_names = names;
	return 0;
}

/* A GEMM over an image of h x w pixels is a convolution whose kernel covers it. */
static void gemm_to_conv(struct graph_node *node, const struct graph_shape *image)
{
	node->op = GRAPH_CONV;
	node->window = (struct graph_window){
		.kernel_h = image->h, .kernel_w = image->w, .stride_h = 1, .stride_w = 1,
		.dilation_h = 1, .dilation_w = 1,
	};
}

static bool activates(const struct graph_node *node)
{
	return node->activation.kind != XRNPE_ACT_NONE || node->activation.clamps;
}

/* One after the other as one, if the device can: a limit may follow anything but a limit. */
static bool fold_activation(struct graph_activation *first, const struct graph_activation *then)
{
	if (first->clamps || (first->kind != XRNPE_ACT_NONE && then->kind != XRNPE_ACT_NONE))
		return false;
	if (then->kind != XRNPE_ACT_NONE) {
		first->kind = then->kind;
		first->slope = then->slope;
	}
	first->clamps = then->clamps;
	first->lo = then->lo;
	first->hi = then->hi;
	return true;
}

/*
 * Fold an ADD into the later of the nodes that it reads, a convolution that adds the
 * earlier one's result to its own. That is then the first of the ADD's inputs.
 */
static bool fold_add(struct xrnpe_graph *graph, struct graph_node *add, const uint32_t *readers)
{
	bool second = add->input[1] > add->input[0];
	uint32_t later = add->input[second], earlier = add->input[!second];
	struct graph_node *conv = &graph->nodes[later];

	if (later == earlier || conv->op != GRAPH_CONV || conv->inputs > 1 ||
	    activates(conv) || readers[later] > 1)
		return false;
	conv->inputs = 2;
	conv->input[1] = earlier;
	add->input[0] = later;
	return true;
}

/* Fold node @i, whose inputs are final, into the node it reads, or change it in place. */
static int fold_node(struct xrnpe_graph *graph, uint32_t i, const uint32_t *readers, bool *folded,
		     struct xrnpe_error *error)
{
	struct graph_node *node = &graph->nodes[i], *before;
	int ret = 0;

	*folded = node->op == GRAPH_ADD && fold_add(graph, node, readers);
	before = &graph->nodes[node->input[0]];
	if (*folded)
		return append_name(before, node->op_names, error);
	if (node->inputs != 1)
		return 0;
	if (node->op == GRAPH_GEMM && before->op == GRAPH_FLATTEN) {
		const struct graph_shape *image = graph_input_shape(graph, before);

		if (image->h > UINT8_MAX || image->w > UINT8_MAX)
			return graph_fail(graph, node, error, -ENOTSUP,
					  "reads a flattened image of %u x %u pixels, more than %d",
					  image->h, image->w, UINT8_MAX);
		node->input[0] = before->input[0];
		gemm_to_conv(node, image);
	} else if (node->op == GRAPH_GEMM) {
		gemm_to_conv(node, &before->shape);
	} else if (readers[node->input[0]] == 1) {
		if (node->op == GRAPH_NORM && before->op == GRAPH_CONV && before->inputs == 1 &&
		    !activates(before)) {
			*folded = true;
			ret = fold_norm(graph, before, node, error);
		} else if (node->op == GRAPH_ACTIVATION && before->op != GRAPH_INPUT &&
			   before->op != GRAPH_MAXPOOL && before->op != GRAPH_FLATTEN) {
			*folded = fold_activation(&before->activation, &node->activation);
		}
		if (*folded && !ret)
			ret = append_name(before, node->op_names, error);
	}
	return ret;
}

/* Drop nodes that the output does not depend on; node 0 stays. */
static void drop_dead(struct xrnpe_graph *graph, uint32_t *map)
{
	uint32_t live = 0;

	memset(map, 0, graph->count * sizeof(*map));
	map[0] = 1;
	map[graph->output] = 1;
	for (uint32_t i = graph->count; i--;) {
		for (uint32_t k = 0; map[i] && k < graph->nodes[i].inputs; k++)
			map[graph->nodes[i].input[k]] = 1;
	}
	for (uint32_t i = 0; i < graph->count; i++) {
		struct graph_node *node = &graph->nodes[i];

		if (!map[i]) {
			clear_node(node);
			continue;
		}
		for (uint32_t k = 0; k < node->inputs; k++)
			node->input[k] = map[node->input[k]];
		map[i] = live;
		if (live != i)
			graph->nodes[live] = *node;
		live++;
	}
	graph->output = map[graph->output];
	graph->count = live;
}

int graph_fold(struct xrnpe_graph *graph, struct xrnpe_error *error)
{
	uint32_t *readers = calloc(graph->count, sizeof(*readers));
	uint32_t *map = calloc(graph->count, sizeof(*map));	/* node to its replacement */
	int ret = readers && map ? 0 : xrnpe_fail_memory(error);

	if (!ret)
		drop_dead(graph, map);
	for (uint32_t i = 0; !ret && i < graph->count; i++) {
		for (uint32_t k = 0; k < graph->nodes[i].inputs; k++)
			readers[graph->nodes[i].input[k]]++;
	}
	if (!ret)
		readers[graph->output]++;
	for (uint32_t i = 0; !ret && i < graph->count; i++) {
		struct graph_node *node = &graph->nodes[i];
		bool folded;

		for (uint32_t k = 0; k < node->inputs; k++)
			node->input[k] = map[node->input[k]];
		ret = fold_node(graph, i, readers, &folded, error);
		map[i] = i;
		if (folded) {
			map[i] = node->input[0];
			readers[node->input[0]] = readers[i];
		}
	}
	if (!ret) {
		graph->output = map[graph->output];
		drop_dead(graph, map);
	}
	free(readers);
	free(map);
	return ret;
}

/* ---- loading ----------------------------------------------------------- */

int xrnpe_graph_parse(const char *name, const void *data, size_t size,
		      struct xrnpe_graph **graph, struct xrnpe_error *error)
{
	struct xrnpe_graph *made;
	int ret = onnx_import(name, data, size, &made, error);

	if (ret)
		return ret;
	ret = graph_fold(made, error);
	if (ret) {
		xrnpe_graph_free(made);
		return ret;
	}
	*graph = made;
	return 0;
}

int xrnpe_graph_load(const char *path, struct xrnpe_graph **graph, struct xrnpe_error *error)
{
	unsigned char *data;
	size_t size;
	int ret = xrnpe_file_read(path, GRAPH_MAX_FILE, &data, &size, error);

	if (ret)
		return ret;
	ret = xrnpe_graph_parse(path, data, size, graph, error);
	free(data);
	return ret;
}

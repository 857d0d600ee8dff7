// SPDX-License-Identifier: MIT
/*
 * The same function with fewer nodes. In order: nodes that change nothing; what scales and
 * shifts channels, into the weights before it; additions, into the later of the products
 * that they add; activations, into what computes their input; products over an image that
 * was flattened for them, into convolutions.
 */
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "error.h"
#include "fold.h"

struct graph_node *fold_producer(const struct folding *fold, const struct graph_node *node,
					uint32_t i)
{
	uint32_t tensor = node->inputs[i], index;

	if (tensor == GRAPH_NONE || fold->readers[tensor] != 1)
		return NULL;
	index = fold->producer[tensor];
	return index == GRAPH_NONE || fold->graph->nodes[index].outputs[0] != tensor ?
	       NULL : &fold->graph->nodes[index];
}

static int append_name(const struct folding *fold, struct graph_node *node, const char *op_names)
{
	char *names;

	if (asprintf(&names, "%s+%s", node->op_names, op_names) < 0)
		return xrnpe_fail_memory(fold->error);
	free(node->op_names);
	node->op_names = names;
	return 0;
}

int fold_absorb(struct folding *fold, struct graph_node *before, struct graph_node *node)
{
	int ret = append_name(fold, before, node->op_names);

	before->outputs[0] = node->outputs[0];
	fold->producer[node->outputs[0]] = (uint32_t)(before - fold->graph->nodes);
	graph_clear_node(node);
	return ret;
}

int fold_extend(const struct folding *fold, struct graph_node *node, uint32_t count)
{
	uint32_t *inputs;

	if (node->input_count >= count)
		return 0;
	inputs = realloc(node->inputs, count * sizeof(*inputs));
	if (!inputs)
		return xrnpe_fail_memory(fold->error);
	for (; node->input_count < count; node->input_count++)
		inputs[node->input_count] = GRAPH_NONE;
	node->inputs = inputs;
	return 0;
}

/* ---- nodes that change nothing ------------------------------------------ */

static bool is_range(const uint32_t *list, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (list[i] != i)
			return false;
	}
	return true;
}

static bool changes_nothing(const struct folding *fold, const struct graph_node *node)
{
	static const char *const copies[] = {
		"Identity", "Dropout", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast", "CastLike",
		"Expand", "Tile", "Slice", "Pad",
	};
	const struct graph_tensor *in = graph_input(fold->graph, node, 0);
	const struct graph_tensor *out = graph_output(fold->graph, node, 0);

	if (!in || !out || in->type != out->type || !graph_shape_equal(&in->shape, &out->shape))
		return false;
	if (fold_is(node, "Transpose"))
		return is_range(node->params.perm, in->shape.rank);
	if (fold_is(node, "Concat") || fold_is(node, "Sum") || fold_is(node, "Max") || fold_is(node, "Min"))
		return node->input_count == 1;
	if (fold_is(node, "Slice")) {
		for (uint32_t i = 0; i < in->shape.rank; i++) {
			if (node->params.slice.step[i] != 1)
				return false;
		}
	}
	for (size_t i = 0; fold_is(node, "Pad") && i < in->shape.rank; i++) {
		if (node->params.pad.begin[i])
			return false;
	}
	for (size_t i = 0; i < sizeof(copies) / sizeof(*copies); i++) {
		if (fold_is(node, copies[i]))
			return node->output_count < 2 || node->outputs[1] == GRAPH_NONE ||
			       !fold->readers[node->outputs[1]];
	}
	return false;
}

static bool is_output(const struct xrnpe_graph *graph, uint32_t tensor)
{
	for (uint32_t i = 0; i < graph->output_count; i++) {
		if (graph->outputs[i] == tensor)
			return true;
	}
	return false;
}

/* What is tensor @from to nodes is @to from now on: outputs keep their names. */
static void rename_tensor(struct xrnpe_graph *graph, uint32_t from, uint32_t to)
{
	for (uint32_t n = 0; n < graph->node_count; n++) {
		struct graph_node *node = &graph->nodes[n];

		for (uint32_t k = 0; k < node->input_count; k++) {
			if (node->inputs[k] == from)
				node->inputs[k] = to;
		}
		for (uint32_t k = 0; k < node->output_count; k++) {
			if (node->outputs[k] == from)
				node->outputs[k] = to;
			else if (node->outputs[k] == to)
				node->outputs[k] = GRAPH_NONE;	/* the copy, which is dead */
		}
	}
}

/* Let readers of a node that changes nothing read what it reads. */
static void drop_copies(struct folding *fold)
{
	struct xrnpe_graph *graph = fold->graph;

	for (uint32_t n = 0; n < graph->node_count; n++) {
		struct graph_node *node = &graph->nodes[n];

		for (uint32_t k = 0; k < node->input_count; k++) {
			if (node->inputs[k] != GRAPH_NONE)
				node->inputs[k] = fold->same[node->inputs[k]];
		}
		if (changes_nothing(fold, node))
			fold->same[node->outputs[0]] = node->inputs[0];
	}
	for (uint32_t i = 0; i < graph->output_count; i++) {
		uint32_t same = fold->same[graph->outputs[i]];

		/* An input, a constant or another output is still to be copied. */
		if (same == graph->outputs[i] || fold->producer[same] == GRAPH_NONE ||
		    is_output(graph, same))
			continue;
		rename_tensor(graph, same, graph->outputs[i]);
		fold->producer[same] = GRAPH_NONE;
	}
}

/* ---- additions ---------------------------------------------------------- */

/* Whether tensor @index is there before node @node is computed. */
static bool is_before(const struct folding *fold, uint32_t index, const struct graph_node *node)
{
	uint32_t producer = fold->producer[index];

	return producer == GRAPH_NONE || producer < (uint32_t)(node - fold->graph->nodes);
}

/* Fold an Add into the later of the products that it reads: it adds the other's result. */
static int fold_add(struct folding *fold, struct graph_node *add)
{
	const struct xrnpe_graph *graph = fold->graph;
	const struct graph_tensor *out = graph_output(graph, add, 0);

	if (!fold_is(add, "Add") || add->inputs[0] == add->inputs[1] || out->type != GRAPH_FLOAT)
		return 0;
	for (uint32_t k = 0; k < 2; k++) {
		struct graph_node *product = fold_producer(fold, add, k);
		uint32_t other = add->inputs[!k];
		int ret;

		if (!product || !(fold_is(product, "Conv") || fold_is(product, "Gemm")) || product->residual ||
		    fold_activates(product) || !graph_input(graph, product, 1)->data ||
		    !is_before(fold, other, product) ||
		    !graph_shape_equal(&graph->tensors[other].shape, &out->shape) ||
		    !graph_shape_equal(&graph_output(graph, product, 0)->shape, &out->shape))
			continue;
		ret = fold_extend(fold, product, 4);
		if (ret)
			return ret;
		product->inputs[3] = other;
		product->residual = true;
		return fold_absorb(fold, product, add);
	}
	return 0;
}

/* ---- activations -------------------------------------------------------- */

/* One after the other as one: a limit may follow anything but a limit. */
static bool join_activations(struct graph_activation *first, const struct graph_activation *then)
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

bool graph_as_activation(const struct graph_node *node, struct graph_activation *activation)
{
	float lo = node->params.scalar.a, hi = node->params.scalar.b;

	*activation = (struct graph_activation){ 0 };
	if (fold_is(node, "Relu")) {
		activation->kind = XRNPE_ACT_RELU;
		return true;
	}
	if (fold_is(node, "LeakyRelu")) {
		activation->kind = XRNPE_ACT_LEAKY;
		activation->slope = lo;
		return true;
	}
	/* Limits are finite: beyond binary32 is nothing but infinity. */
	activation->clamps = true;
	activation->lo = fmaxf(lo, -FLT_MAX);
	activation->hi = fminf(hi, FLT_MAX);
	return fold_is(node, "Clip") && activation->lo <= activation->hi;
}

/* Operators that an activation may be folded into: what the device has an output stage for. */
static bool takes_activation(const struct graph_node *node)
{
	static const char *const ops[] = {
		"Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "Add", "Sub", "Mul",
		"AveragePool", "GlobalAveragePool", "Relu", "LeakyRelu", "Clip",
	};

	for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
		if (fold_is(node, ops[i]))
			return true;
	}
	return false;
}

static int fold_activation(struct folding *fold, struct graph_node *node)
{
	struct graph_activation activation;
	struct graph_node *before;

	if (graph_output(fold->graph, node, 0)->type != GRAPH_FLOAT ||
	    !graph_as_activation(node, &activation))
		return 0;
	before = fold_producer(fold, node, 0);
	if (!before || !takes_activation(before) || !join_activations(&before->activation, &activation))
		return 0;
	return fold_absorb(fold, before, node);
}

/* ---- the whole ---------------------------------------------------------- */

/* Tensors may have come since the last time. */
static int find_readers(struct folding *fold)
{
	const struct xrnpe_graph *graph = fold->graph;
	size_t size = (graph->tensor_count + 1) * sizeof(uint32_t);

	free(fold->readers);
	free(fold->producer);
	free(fold->same);
	fold->readers = graph_readers(graph);
	fold->producer = malloc(size);
	fold->same = malloc(size);
	if (!fold->readers || !fold->producer || !fold->same)
		return xrnpe_fail_memory(fold->error);
	fold->known = graph->tensor_count;
	memset(fold->producer, 0xff, size);	/* GRAPH_NONE */
	for (uint32_t i = 0; i < graph->tensor_count; i++)
		fold->same[i] = i;
	for (uint32_t n = 0; n < graph->node_count; n++) {
		const struct graph_node *node = &graph->nodes[n];

		for (uint32_t k = 0; k < node->output_count; k++) {
			if (node->outputs[k] != GRAPH_NONE)
				fold->producer[node->outputs[k]] = n;
		}
	}
	return 0;
}

/* Offer every node that is left to @rule, in order, and drop what it made superfluous. */
static int apply(struct folding *fold, int (*rule)(struct folding *fold, struct graph_node *node))
{
	int ret = find_readers(fold);

	for (uint32_t n = 0; !ret && n < fold->graph->node_count; n++) {
		if (!fold->graph->nodes[n].op)
			continue;
		ret = rule(fold, &fold->graph->nodes[n]);
		/* New constants have one reader, who asked for them. */
		if (!ret && fold->known < fold->graph->tensor_count)
			ret = find_readers(fold);
	}
	return ret ? ret : graph_drop_dead(fold->graph, fold->error);
}

int graph_fold(struct xrnpe_graph *graph, struct xrnpe_error *error)
{
	static int (*const rules[])(struct folding *fold, struct graph_node *node) = {
		fold_gemm, fold_affine, fold_add, fold_activation, fold_flatten,
	};
	struct folding fold = { .graph = graph, .error = error };
	int ret = find_readers(&fold);

	if (!ret) {
		drop_copies(&fold);
		ret = graph_drop_dead(graph, error);
	}
	for (size_t i = 0; !ret && i < sizeof(rules) / sizeof(*rules); i++)
		ret = apply(&fold, rules[i]);
	free(fold.readers);
	free(fold.producer);
	free(fold.same);
	return ret;
}

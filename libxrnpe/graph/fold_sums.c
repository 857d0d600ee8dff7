// SPDX-License-Identifier: MIT
/* Additions of whole tensors, into the later of the products that they add. */
#include "fold.h"

/* Sums are those of their inputs from the first to the last. */
static bool is_sum(const struct graph_node *node)
{
	return (fold_is(node, "Sum") || fold_is(node, "Add")) && !fold_activates(node) &&
	       !node->residual;
}

/*
 * Let a Sum begin with the longest sum before it of the inputs that it begins with; false:
 * there is none.
 */
static bool share_sum(struct folding *fold, struct graph_node *node)
{
	const struct graph_node *longest = NULL;

	for (const struct graph_node *other = fold->graph->nodes; other < node; other++) {
		if (is_sum(other) && other->input_count < node->input_count &&
		    other->input_count > (longest ? longest->input_count : 1) &&
		    !memcmp(other->inputs, node->inputs, other->input_count * sizeof(*node->inputs)))
			longest = other;
	}
	if (!longest)
		return false;
	node->inputs[0] = longest->outputs[0];
	node->input_count -= longest->input_count - 1;
	memmove(&node->inputs[1], &node->inputs[longest->input_count],
		(node->input_count - 1) * sizeof(*node->inputs));
	return true;
}

/* A Sum of two is an Add. */
static int become_add(struct folding *fold, struct graph_node *node)
{
	return fold_is(node, "Sum") && node->input_count == 2 ? fold_become(fold, node, "Add") : 0;
}

int fold_sum(struct folding *fold, struct graph_node *node)
{
	if (!fold_is(node, "Sum"))
		return 0;
	/* Others, which begin with sums by now themselves, may go on from there. */
	while (node->input_count > 2 && share_sum(fold, node))
		;
	return become_add(fold, node);
}

/* Move node @from of the list to the place of node @to, which is before it. */
static void move_node(struct folding *fold, uint32_t from, uint32_t to)
{
	struct graph_node *nodes = fold->graph->nodes, moved = nodes[from];

	memmove(&nodes[to + 1], &nodes[to], (from - to) * sizeof(*nodes));
	nodes[to] = moved;
	for (uint32_t n = to; n <= from; n++) {
		for (uint32_t k = 0; k < nodes[n].output_count; k++) {
			if (nodes[n].outputs[k] != GRAPH_NONE)
				fold->producer[nodes[n].outputs[k]] = n;
		}
	}
}

/* How many nodes an addend may be computed by that come behind the product. */
#define MOST_MOVED 4

/*
 * See to it that @tensor is there before what computes @product, by moving nodes there;
 * false: it depends on that, or on too much.
 */
static bool bring_before(struct folding *fold, uint32_t tensor, uint32_t product, uint32_t depth)
{
	uint32_t index = fold->producer[tensor];
	const struct graph_node *node;

	if (index == GRAPH_NONE || index < fold->producer[product])
		return true;
	if (tensor == product || depth == MOST_MOVED)
		return false;
	node = &fold->graph->nodes[index];
	for (uint32_t i = 0; i < node->input_count; i++) {
		if (node->inputs[i] != GRAPH_NONE &&
		    !bring_before(fold, node->inputs[i], product, depth + 1))
			return false;
		/* It may have moved by now. */
		index = fold->producer[tensor];
		node = &fold->graph->nodes[index];
	}
	move_node(fold, index, fold->producer[product]);
	return true;
}

/* Input @k of @node if it is a product that may add input @other as well; NULL: it is not. */
static struct graph_node *product_for(const struct folding *fold, const struct graph_node *node,
				      uint32_t k, uint32_t other)
{
	const struct xrnpe_graph *graph = fold->graph;
	const struct graph_shape *shape = &graph_output(graph, node, 0)->shape;
	const struct graph_tensor *added = graph_input(graph, node, other);
	struct graph_node *product = fold_producer(fold, node, k);

	return product && (fold_is(product, "Conv") || fold_is(product, "Gemm") ||
			   fold_is(product, "MatMul")) &&
	       !product->residual && !fold_activates(product) && graph_input(graph, product, 1)->data &&
	       graph_shape_equal(&added->shape, shape) &&
	       graph_shape_equal(&graph_output(graph, product, 0)->shape, shape) &&
	       (!added->data || graph_is_bounded(added)) ? product : NULL;
}

/*
 * Fold the sum of the first two inputs into a product, the later one if it can be either,
 * which becomes the first input.
 */
static int add_two(struct folding *fold, struct graph_node *node, bool *folded)
{
	*folded = false;
	for (uint32_t k = 0; node->inputs[0] != node->inputs[1] && k < 4; k++) {
		uint32_t other = node->inputs[!(k % 2)], depth = k < 2 ? MOST_MOVED : 0;
		struct graph_node *product;
		int ret;

		if (!product_for(fold, node, k % 2, !(k % 2)) ||
		    !bring_before(fold, other, node->inputs[k % 2], depth))
			continue;
		product = fold_producer(fold, node, k % 2);
		ret = fold_extend(fold, product, GRAPH_RESIDUAL + 1);
		if (ret)
			return ret;
		product->inputs[GRAPH_RESIDUAL] = other;
		product->residual = true;
		node->inputs[0] = node->inputs[k % 2];
		*folded = true;
		return 0;
	}
	return 0;
}

int fold_add(struct folding *fold, struct graph_node *node)
{
	bool folded;
	int ret;

	if (!is_sum(node) ||
	    graph_output(fold->graph, node, 0)->type != GRAPH_FLOAT)
		return 0;
	while (node->input_count > 1) {
		ret = add_two(fold, node, &folded);
		if (ret || !folded)
			return ret;
		node->input_count--;
		if (node->input_count == 1)
			return fold_absorb(fold, fold_producer(fold, node, 0), node);
		memmove(&node->inputs[1], &node->inputs[2],
			(node->input_count - 1) * sizeof(*node->inputs));
		ret = become_add(fold, node);
		if (ret)
			return ret;
	}
	return 0;
}

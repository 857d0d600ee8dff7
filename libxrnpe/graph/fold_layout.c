// SPDX-License-Identifier: MIT
/*
 * Nodes that only give elements other places, which exporters put between others where
 * their order of axes differs. All of this is exact.
 */
#include "build.h"
#include "fold.h"
#include "operators/families.h"

/* Whether @node moves no element in memory: a change of shape. */
static bool keeps_order(const struct xrnpe_graph *graph, const struct graph_node *node)
{
	static const char *const reshapes[] = { "Reshape", "Flatten", "Squeeze", "Unsqueeze" };
	const struct graph_shape *shape = node->input_count ? &graph_input(graph, node, 0)->shape : NULL;
	uint32_t last = 0;

	for (size_t i = 0; i < sizeof(reshapes) / sizeof(*reshapes); i++) {
		if (fold_is(node, reshapes[i]))
			return true;
	}
	if (!fold_is(node, "Transpose"))
		return false;
	/* Axes of more than one element stay in their order. */
	for (uint32_t i = 0; i < shape->rank; i++) {
		uint32_t axis = node->params.perm[i];

		if (shape->dims[axis] == 1)
			continue;
		if (axis < last)
			return false;
		last = axis;
	}
	return true;
}

/* The node that computes input 0 of @node, whoever reads it; NULL: there is none. */
static struct graph_node *before(const struct folding *fold, const struct graph_node *node)
{
	uint32_t index = fold->producer[node->inputs[0]];

	return index == GRAPH_NONE ? NULL : &fold->graph->nodes[index];
}

/* Make @node a Reshape of tensor @from. */
static int become_reshape(struct folding *fold, struct graph_node *node, uint32_t from)
{
	const struct graph_shape shape = graph_output(fold->graph, node, 0)->shape;
	uint32_t dims;
	void *values;
	int ret = fold_extend(fold, node, 2);

	if (!ret)
		ret = graph_add_tensor(fold->graph, NULL, &dims, fold->error);
	if (!ret)
		ret = build_constant(fold->graph, dims, GRAPH_INT,
				     &(struct graph_shape){ 1, { shape.rank } }, &values, fold->error);
	if (ret)
		return ret;
	for (uint32_t i = 0; i < shape.rank; i++)
		((int64_t *)values)[i] = shape.dims[i];
	graph_clear_attributes(node->attributes, node->attribute_count);
	node->attribute_count = 0;
	node->inputs[0] = from;
	node->inputs[1] = dims;
	node->input_count = 2;
	return fold_become(fold, node, "Reshape");
}

/* Two transpositions are one. */
static int join_transposes(struct folding *fold, struct graph_node *node,
			   const struct graph_node *first)
{
	uint32_t rank = graph_output(fold->graph, node, 0)->shape.rank;
	int64_t perm[GRAPH_MAX_RANK];
	int ret;

	for (uint32_t i = 0; i < rank; i++)
		perm[i] = first->params.perm[node->params.perm[i]];
	ret = fold_set_attribute(fold, node, "perm", GRAPH_ATTRIBUTE_INTS, rank, perm);
	node->inputs[0] = first->inputs[0];
	return ret ? ret : fold_become(fold, node, "Transpose");
}

/* Whether @node takes the only element of an axis. */
static bool takes_all(const struct xrnpe_graph *graph, const struct graph_node *node)
{
	return fold_is(node, "Gather") && graph_input(graph, node, 1)->data &&
	       graph_input(graph, node, 0)->shape.dims[node->params.axis] == 1 &&
	       graph_count(&graph_input(graph, node, 1)->shape) == 1;
}

int fold_moves(struct folding *fold, struct graph_node *node)
{
	const struct graph_node *first;
	bool moves = !keeps_order(fold->graph, node);

	if (takes_all(fold->graph, node) && graph_output(fold->graph, node, 0)->shape.rank)
		return become_reshape(fold, node, node->inputs[0]);
	if ((moves && !fold_is(node, "Transpose")) || !graph_output(fold->graph, node, 0)->shape.rank)
		return 0;
	first = before(fold, node);
	if (first && !moves && keeps_order(fold->graph, first))
		return become_reshape(fold, node, first->inputs[0]);
	if (first && fold_is(first, "Transpose") && fold_is(node, "Transpose"))
		return join_transposes(fold, node, first);
	return !moves && fold_is(node, "Transpose") ? become_reshape(fold, node, node->inputs[0]) : 0;
}

/* ---- element-wise nodes come first -------------------------------------- */

/* Whether @node does the same to each element, or to each along the last axis of @shape. */
static bool is_elementwise(const struct xrnpe_graph *graph, const struct graph_node *node, uint32_t x,
			   const struct graph_shape *shape, bool by_last)
{
	const struct graph_shape *out = &graph_output(graph, node, 0)->shape;
	const struct graph_tensor *other;
	uint32_t last = shape->rank - 1;

	if (!graph_shape_equal(&graph_input(graph, node, x)->shape, out))
		return false;
	if (function_step_inputs(node->op->name) == 1)
		return x == 0;
	if (node->input_count != 2)
		return false;
	other = graph_input(graph, node, !x);
	if (!other->data)
		return false;
	if (graph_count(&other->shape) == 1)
		return other->shape.rank <= shape->rank;
	return by_last && shape->rank && out->rank && other->shape.rank == 1 &&
	       other->shape.dims[0] == shape->dims[last] &&
	       out->dims[out->rank - 1] == shape->dims[last];
}

int fold_sink(struct folding *fold, struct graph_node *node)
{
	struct xrnpe_graph *graph = fold->graph;

	if (!function_step_inputs(node->op->name) || fold_activates(node) || node->residual ||
	    graph_output(graph, node, 0)->type != GRAPH_FLOAT)
		return 0;
	for (uint32_t x = 0; x < node->input_count && x < 2; x++) {
		struct graph_node *move = fold_producer(fold, node, x), moved;
		uint32_t result;
		int ret;

		if (!move || !(fold_is(move, "Transpose") || keeps_order(graph, move)) ||
		    !is_elementwise(graph, node, x, &graph_input(graph, move, 0)->shape,
				    keeps_order(graph, move)))
			continue;
		ret = graph_add_tensor(graph, NULL, &result, fold->error);
		if (ret)
			return ret;
		/* The two change places. */
		moved = *move;
		*move = *node;
		*node = moved;
		node->outputs[0] = move->outputs[0];
		move->inputs[x] = node->inputs[0];
		move->outputs[0] = node->inputs[0] = result;
		ret = fold_become(fold, move, move->op->name);
		graph->tensors[result].known = true;
		return ret;
	}
	return 0;
}

/* ---- products ---------------------------------------------------------- */

int fold_matmul(struct folding *fold, struct graph_node *node)
{
	const struct graph_tensor *weight;

	if (!fold_is(node, "MatMul"))
		return 0;
	weight = graph_input(fold->graph, node, 1);
	return weight->data && weight->shape.rank == 2 && weight->type == GRAPH_FLOAT &&
	       graph_input(fold->graph, node, 0)->shape.rank == 2 ? fold_become(fold, node, "Gemm") : 0;
}

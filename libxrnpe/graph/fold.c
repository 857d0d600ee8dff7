// SPDX-License-Identifier: MIT
/*
 * The same function with fewer nodes. What is the same in several ways of writing it comes
 * first, then what goes into products, then what the device applies to results, then what
 * is left of functions of one number.
 */
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "build.h"
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

int fold_append_name(const struct folding *fold, struct graph_node *node, const char *op_names)
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
	int ret = fold_append_name(fold, before, node->op_names);

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

void fold_drop_attribute(struct graph_node *node, const char *name)
{
	for (uint32_t i = 0; i < node->attribute_count; i++) {
		if (strcmp(node->attributes[i].name, name))
			continue;
		graph_clear_attributes(&node->attributes[i], 1);
		node->attributes[i] = node->attributes[--node->attribute_count];
		return;
	}
}

int fold_set_attribute(const struct folding *fold, struct graph_node *node, const char *name,
		       enum graph_attribute_kind kind, size_t count, const void *values)
{
	size_t size = kind == GRAPH_ATTRIBUTE_STRING ? strlen(values) + 1 :
		      kind == GRAPH_ATTRIBUTE_INT || kind == GRAPH_ATTRIBUTE_INTS ?
		      count * sizeof(int64_t) : count * sizeof(float);
	struct graph_attribute made = {
		.name = strdup(name), .kind = kind, .count = count, .string = malloc(size + 1),
	};
	struct graph_attribute *list = realloc(node->attributes,
					       (node->attribute_count + 1) * sizeof(*list));

	if (list)
		node->attributes = list;
	if (!made.name || !made.string || !list) {
		graph_clear_attributes(&made, 1);
		return xrnpe_fail_memory(fold->error);
	}
	memcpy(made.string, values, size);
	fold_drop_attribute(node, name);
	list[node->attribute_count++] = made;
	return 0;
}

int fold_become(const struct folding *fold, struct graph_node *node, const char *op)
{
	const struct op made = { fold->graph, node, fold->error };

	node->op = operator_find(op);
	node->params = (union graph_params){ 0 };
	node->scratch = 0;
	return node->op->infer(&made);
}

int fold_new_constant(struct folding *fold, const struct graph_shape *shape, uint32_t *index,
		      float **values)
{
	void *data = NULL;
	int ret = graph_add_tensor(fold->graph, NULL, index, fold->error);

	if (!ret)
		ret = build_constant(fold->graph, *index, GRAPH_FLOAT, shape, &data, fold->error);
	*values = data;
	return ret;
}

bool fold_is_by_channel(const struct graph_shape *shape, const struct graph_shape *to,
			uint32_t axis)
{
	uint32_t lead = to->rank - shape->rank;

	if (shape->rank > to->rank)
		return false;
	for (uint32_t i = 0; i < shape->rank; i++) {
		if (shape->dims[i] != 1 && (i + lead != axis || shape->dims[i] != to->dims[axis]))
			return false;
	}
	return true;
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

/*
 * Let readers of a node that changes nothing read what it reads. If it is an output, that
 * is then called as the output is; only an input, a constant or another output, which has
 * a name of its own, is still copied.
 */
static int fold_copy(struct folding *fold, struct graph_node *node)
{
	struct xrnpe_graph *graph = fold->graph;
	uint32_t in, out;

	for (uint32_t k = 0; k < node->input_count; k++) {
		if (node->inputs[k] != GRAPH_NONE)
			node->inputs[k] = fold->same[node->inputs[k]];
	}
	if (!changes_nothing(fold, node))
		return 0;
	in = node->inputs[0];
	out = node->outputs[0];
	if (!is_output(graph, out) || is_output(graph, in) || fold->producer[in] == GRAPH_NONE) {
		fold->same[out] = in;
		return 0;
	}
	rename_tensor(graph, in, out);
	for (uint32_t t = 0; t < fold->known; t++) {
		if (fold->same[t] == in)
			fold->same[t] = out;
	}
	fold->producer[out] = fold->producer[in];
	fold->producer[in] = GRAPH_NONE;
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

/* Whether @node is a PRelu of one finite slope for each element of axis 1. */
static bool has_slopes(const struct xrnpe_graph *graph, const struct graph_node *node)
{
	const struct graph_shape *shape = &graph_output(graph, node, 0)->shape;
	const struct graph_tensor *slopes = fold_is(node, "PRelu") ? graph_input(graph, node, 1) : NULL;

	if (!slopes || !slopes->data || shape->rank < 2 ||
	    graph_count(&slopes->shape) != shape->dims[1] ||
	    !fold_is_by_channel(&slopes->shape, shape, 1))
		return false;
	for (uint32_t c = 0; c < shape->dims[1]; c++) {
		if (!isfinite(((const float *)slopes->data)[c]))
			return false;
	}
	return true;
}

/*
 * Operators that an activation may be folded into: what the device has an output stage for.
 * Those that have slopes by channel, too, come first.
 */
static bool takes_activation(const struct graph_node *node, enum xrnpe_activation kind)
{
	static const char *const ops[] = {
		"Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "Add", "Sub", "Mul",
		"AveragePool", "GlobalAveragePool", "InstanceNormalization", "GroupNormalization",
		"LayerNormalization", "Relu", "LeakyRelu", "Clip",
	};
	size_t count = kind == XRNPE_ACT_PRELU ? 3 : sizeof(ops) / sizeof(*ops);

	for (size_t i = 0; i < count; i++) {
		if (fold_is(node, ops[i]))
			return true;
	}
	return false;
}

static int fold_activation(struct folding *fold, struct graph_node *node)
{
	struct graph_activation activation;
	struct graph_node *before;
	int ret = 0;

	if (graph_output(fold->graph, node, 0)->type != GRAPH_FLOAT)
		return 0;
	if (has_slopes(fold->graph, node))
		activation = (struct graph_activation){ .kind = XRNPE_ACT_PRELU };
	else if (!graph_as_activation(node, &activation))
		return 0;
	before = fold_producer(fold, node, 0);
	if (!before || !takes_activation(before, activation.kind) ||
	    !join_activations(&before->activation, &activation))
		return 0;
	if (activation.kind == XRNPE_ACT_PRELU) {
		ret = fold_extend(fold, before, GRAPH_SLOPES + 1);
		if (!ret)
			before->inputs[GRAPH_SLOPES] = node->inputs[1];
	}
	return ret ? ret : fold_absorb(fold, before, node);
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

struct rule {
	int (*offer)(struct folding *fold, struct graph_node *node);
	bool backwards;		/* the last node first */
};

/* Offer every node that is left to @rule, and drop what it made superfluous. */
static int apply(struct folding *fold, const struct rule *rule)
{
	int ret = find_readers(fold);

	for (uint32_t i = 0; !ret && i < fold->graph->node_count; i++) {
		uint32_t n = rule->backwards ? fold->graph->node_count - 1 - i : i;

		if (!fold->graph->nodes[n].op)
			continue;
		ret = rule->offer(fold, &fold->graph->nodes[n]);
		/* New constants have one reader, who asked for them. */
		if (!ret && fold->known < fold->graph->tensor_count)
			ret = find_readers(fold);
	}
	return ret ? ret : graph_drop_dead(fold->graph, fold->error);
}

int graph_fold(struct xrnpe_graph *graph, struct xrnpe_error *error)
{
	static const struct rule rules[] = {
		{ fold_copy, false },		/* nodes that change nothing */
		{ fold_sum, false },
		{ fold_limits, false },
		{ fold_prelu, false },
		{ fold_sink, false },
		{ fold_moves, false },
		{ fold_matmul, false },
		{ fold_copy, false },		/* what these left */
		{ fold_pad, false },
		{ fold_gemm, false },
		{ fold_affine, false },
		{ fold_channels, false },
		{ fold_add, false },
		{ fold_activation, false },
		{ fold_function, true },
		{ fold_flatten, false },
	};
	struct folding fold = { .graph = graph, .error = error };
	int ret = 0;

	for (size_t i = 0; !ret && i < sizeof(rules) / sizeof(*rules); i++)
		ret = apply(&fold, &rules[i]);
	free(fold.readers);
	free(fold.producer);
	free(fold.same);
	return ret;
}

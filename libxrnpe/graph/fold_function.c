// SPDX-License-Identifier: MIT
/*
 * Element-wise nodes that make one number of one number become one Function, whatever they
 * are: x times its logistic function, limits by Max and Min, Gelu by Erf or Tanh, Mish, a
 * scale and an offset. Its results have the same bits.
 */
#include "fold.h"
#include "operators/families.h"

/* Nodes that become a function of tensor @x; the last of them comes first. */
struct region {
	uint32_t members[FUNCTION_STEPS], count;
	uint32_t steps, constants;
	uint32_t read[2 * FUNCTION_STEPS], read_count;	/* tensors that others compute */
};

/* Activations of @node, which are steps of their own. */
static uint32_t activations(const struct graph_node *node)
{
	return (node->activation.kind != XRNPE_ACT_NONE) + node->activation.clamps;
}

/* Whether @node is a step: element-wise, of tensors of its output's shape and numbers. */
static bool is_step(const struct xrnpe_graph *graph, const struct graph_node *node)
{
	const struct graph_tensor *out;
	uint32_t inputs = node->op ? function_step_inputs(node->op->name) : 0;

	if (!inputs || node->input_count < inputs || node->residual)
		return false;
	if (inputs == 2 && node->input_count != 2)
		return false;
	out = graph_output(graph, node, 0);
	for (uint32_t i = 0; i < inputs; i++) {
		const struct graph_tensor *in = graph_input(graph, node, i);

		if (in->type != GRAPH_FLOAT || (in->data ? graph_count(&in->shape) != 1 :
						!graph_shape_equal(&in->shape, &out->shape)))
			return false;
	}
	return out->type == GRAPH_FLOAT;
}

/* How often the nodes of @region read @tensor. */
static uint32_t reads_of(const struct xrnpe_graph *graph, const struct region *region,
			 uint32_t tensor)
{
	uint32_t count = 0;

	for (uint32_t m = 0; m < region->count; m++) {
		const struct graph_node *node = &graph->nodes[region->members[m]];

		for (uint32_t i = 0; i < node->input_count; i++)
			count += node->inputs[i] == tensor;
	}
	return count;
}

/* Add node @index, and what it reads in place of what it computes; false: no room. */
static bool add_member(const struct xrnpe_graph *graph, struct region *region, uint32_t index)
{
	const struct graph_node *node = &graph->nodes[index];

	for (uint32_t i = 0; i < region->read_count; i++) {
		if (region->read[i] == node->outputs[0])
			region->read[i--] = region->read[--region->read_count];
	}
	region->members[region->count++] = index;
	region->steps += 1 + activations(node);
	region->constants += 2 * activations(node);
	for (uint32_t i = 0; i < function_step_inputs(node->op->name); i++) {
		bool known = false;

		for (uint32_t k = 0; k < region->read_count; k++)
			known |= region->read[k] == node->inputs[i];
		if (graph_input(graph, node, i)->data)
			region->constants++;
		else if (!known)
			region->read[region->read_count++] = node->inputs[i];
	}
	return region->steps <= FUNCTION_STEPS && region->constants <= FUNCTION_STEPS;
}

/* The last node before @region that can join it: a step that nothing else reads. */
static uint32_t next_member(const struct folding *fold, const struct region *region)
{
	uint32_t found = GRAPH_NONE;

	for (uint32_t i = 0; i < region->read_count; i++) {
		uint32_t tensor = region->read[i], node = fold->producer[tensor];

		if (node != GRAPH_NONE && (found == GRAPH_NONE || node > found) &&
		    is_step(fold->graph, &fold->graph->nodes[node]) &&
		    fold->readers[tensor] == reads_of(fold->graph, region, tensor))
			found = node;
	}
	return found;
}

/* The most nodes that end with @node and read one tensor, @x; of less than two: none. */
static bool find_region(const struct folding *fold, const struct graph_node *node,
			struct region *found)
{
	struct region region = { .count = 0 };
	uint32_t next = (uint32_t)(node - fold->graph->nodes);

	found->count = 0;
	while (next != GRAPH_NONE && region.count < FUNCTION_STEPS &&
	       add_member(fold->graph, &region, next)) {
		if (region.read_count == 1)
			*found = region;
		next = next_member(fold, &region);
	}
	return found->count > 1;
}

/* ---- the function ------------------------------------------------------ */

/* Its attributes while they are put together. */
struct steps {
	char operators[FUNCTION_STEPS * 16];
	int64_t operands[2 * FUNCTION_STEPS];
	float parameters[2 * FUNCTION_STEPS], constants[FUNCTION_STEPS];
	uint32_t count, constant_count;
	uint32_t tensors[FUNCTION_STEPS], values[FUNCTION_STEPS];	/* of the members */
	uint32_t known;
};

/* Add a step of @op; returns its value's number, counted behind @constants. */
static uint32_t add_step(struct steps *steps, const char *op, const int64_t operands[2], float a,
			 float b, uint32_t constants)
{
	uint32_t s = steps->count++;

	if (s)
		strcat(steps->operators, " ");
	strcat(steps->operators, op);
	memcpy(&steps->operands[2 * s], operands, 2 * sizeof(*operands));
	steps->parameters[2 * s] = a;
	steps->parameters[2 * s + 1] = b;
	return 1 + constants + s;
}

/* The number of the value that @node reads as input @i. */
static int64_t value_of(const struct xrnpe_graph *graph, struct steps *steps,
			const struct graph_node *node, uint32_t i)
{
	const struct graph_tensor *tensor = graph_input(graph, node, i);

	if (tensor->data) {
		steps->constants[steps->constant_count++] = *(const float *)tensor->data;
		return steps->constant_count;
	}
	for (uint32_t k = 0; k < steps->known; k++) {
		if (steps->tensors[k] == node->inputs[i])
			return steps->values[k];
	}
	return 0;
}

/* Add what @node does and its activation; @constants: of the whole function. */
static void add_node(const struct xrnpe_graph *graph, struct steps *steps,
		     const struct graph_node *node, uint32_t constants)
{
	const struct graph_activation *activation = &node->activation;
	int64_t operands[2] = { 0, 0 };
	uint32_t value;

	for (uint32_t i = 0; i < function_step_inputs(node->op->name); i++)
		operands[i] = value_of(graph, steps, node, i);
	/* Gelu has a flag in place of numbers. */
	value = add_step(steps, node->op->name, operands,
			 fold_is(node, "Gelu") ? node->params.scalar.flag : node->params.scalar.a,
			 node->params.scalar.b, constants);
	operands[1] = 0;
	if (activation->kind != XRNPE_ACT_NONE) {
		operands[0] = value;
		value = add_step(steps, activation->kind == XRNPE_ACT_RELU ? "Relu" : "LeakyRelu",
				 operands, activation->slope, 0, constants);
	}
	if (activation->clamps) {
		operands[0] = value;
		value = add_step(steps, "Clip", operands, activation->lo, activation->hi, constants);
	}
	steps->tensors[steps->known] = node->outputs[0];
	steps->values[steps->known++] = value;
}

static int set_attributes(struct folding *fold, struct graph_node *node, const struct steps *steps)
{
	int ret;

	graph_clear_attributes(node->attributes, node->attribute_count);
	node->attribute_count = 0;
	ret = fold_set_attribute(fold, node, "operators", GRAPH_ATTRIBUTE_STRING, 1,
				 steps->operators);
	if (!ret)
		ret = fold_set_attribute(fold, node, "operands", GRAPH_ATTRIBUTE_INTS,
					 2 * (size_t)steps->count, steps->operands);
	if (!ret)
		ret = fold_set_attribute(fold, node, "parameters", GRAPH_ATTRIBUTE_FLOATS,
					 2 * (size_t)steps->count, steps->parameters);
	if (!ret)
		ret = fold_set_attribute(fold, node, "constants", GRAPH_ATTRIBUTE_FLOATS,
					 steps->constant_count, steps->constants);
	return ret;
}

/* How many numbers the steps of @region read from constants. */
static uint32_t count_constants(const struct xrnpe_graph *graph, const struct region *region)
{
	uint32_t count = 0;

	for (uint32_t m = 0; m < region->count; m++) {
		const struct graph_node *node = &graph->nodes[region->members[m]];

		for (uint32_t i = 0; i < function_step_inputs(node->op->name); i++)
			count += graph_input(graph, node, i)->data != NULL;
	}
	return count;
}

/* Let @node stand for the operators of all, the first one first. */
static int join_names(const struct folding *fold, const struct region *region,
		      struct graph_node *node)
{
	struct graph_node *nodes = fold->graph->nodes, *first = &nodes[region->members[region->count - 1]];
	char *names;
	int ret = 0;

	for (uint32_t m = region->count - 1; !ret && m--;)
		ret = fold_append_name(fold, first, nodes[region->members[m]].op_names);
	names = first->op_names;
	first->op_names = node->op_names;
	node->op_names = names;
	return ret;
}

int fold_function(struct folding *fold, struct graph_node *node)
{
	struct xrnpe_graph *graph = fold->graph;
	struct steps steps = { .count = 0 };
	struct region region;
	uint32_t constants;
	int ret;

	if (!is_step(graph, node) || !find_region(fold, node, &region))
		return 0;
	constants = count_constants(graph, &region);
	for (uint32_t m = region.count; m--;)
		add_node(graph, &steps, &graph->nodes[region.members[m]], constants);
	ret = join_names(fold, &region, node);
	for (uint32_t m = 1; m < region.count; m++)
		graph_clear_node(&graph->nodes[region.members[m]]);
	if (ret)
		return ret;
	node->inputs[0] = region.read[0];
	node->input_count = 1;
	node->activation = (struct graph_activation){ .kind = XRNPE_ACT_NONE };
	ret = set_attributes(fold, node, &steps);
	return ret ? ret : fold_become(fold, node, "Function");
}

// SPDX-License-Identifier: MIT
/*
 * Nodes that the device has no command for, but that are made of others which it has:
 * Softmax, LayerNormalization, and divisions.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "error.h"
#include "place.h"

struct splitting {
	struct compiler *compiler;
	const struct graph_node *node;	/* of the source */
	uint32_t first;			/* node that is added */
	int ret;			/* of what failed; nothing more is added then */
};

/* ---- nodes that are added ---------------------------------------------- */

/* "softmax_1/Exp"; "norm_1/Mul_2" where there is a Mul already. */
static char *part_name(const struct splitting *s, const char *op)
{
	const struct xrnpe_graph *graph = s->compiler->graph;
	unsigned int count = 1;
	char *name;
	int size;

	for (uint32_t n = s->first; n < graph->node_count; n++)
		count += !strcmp(graph->nodes[n].op->name, op);
	size = count > 1 ? asprintf(&name, "%s/%s_%u", s->node->name, op, count) :
			   asprintf(&name, "%s/%s", s->node->name, op);
	return size < 0 ? NULL : name;
}

/* A node that writes @output; GRAPH_NONE: a new tensor. Takes what @axis points to. */
static uint32_t add(struct splitting *s, const char *op, uint32_t output,
		    struct graph_attribute *axis, uint32_t count, ...)
{
	struct compiler *compiler = s->compiler;
	char *name = part_name(s, op);
	uint32_t inputs[2];
	va_list list;

	va_start(list, count);
	for (uint32_t i = 0; i < count; i++)
		inputs[i] = va_arg(list, uint32_t);
	va_end(list);
	if (!s->ret && !name)
		s->ret = xrnpe_fail_memory(compiler->error);
	if (!s->ret && output == GRAPH_NONE)
		s->ret = place_new_tensor(compiler, &output);
	if (!s->ret)
		s->ret = build_part(compiler->graph, name, op, count, inputs, output, axis, axis != NULL,
				    compiler->error);
	else if (axis)
		graph_clear_attributes(axis, 1);
	free(name);
	return output;
}

static uint32_t add_one(struct splitting *s, const char *op, uint32_t input)
{
	return add(s, op, GRAPH_NONE, NULL, 1, input);
}

static uint32_t add_two(struct splitting *s, const char *op, uint32_t a, uint32_t b)
{
	return add(s, op, GRAPH_NONE, NULL, 2, a, b);
}

/* The last axis reduced to one element. */
static uint32_t add_reduction(struct splitting *s, const char *op, uint32_t input)
{
	struct graph_attribute axes = {
		.name = strdup("axes"), .kind = GRAPH_ATTRIBUTE_INTS, .count = 1,
		.ints = malloc(sizeof(*axes.ints)),
	};

	if (axes.name && axes.ints)
		axes.ints[0] = s->compiler->graph->tensors[s->node->inputs[0]].shape.rank - 1;
	else if (!s->ret)
		s->ret = xrnpe_fail_memory(s->compiler->error);
	return add(s, op, GRAPH_NONE, &axes, 1, input);
}

static uint32_t add_number(struct splitting *s, float value)
{
	const struct graph_shape scalar = { 0 };
	uint32_t tensor = GRAPH_NONE;
	void *data;

	if (!s->ret)
		s->ret = place_new_tensor(s->compiler, &tensor);
	if (!s->ret)
		s->ret = build_constant(s->compiler->graph, tensor, GRAPH_FLOAT, &scalar, &data,
					s->compiler->error);
	if (!s->ret)
		memcpy(data, &value, sizeof(value));
	return tensor;
}

/* ---- operators --------------------------------------------------------- */

/* The image of input 0 whose channels are all that is reduced; false: the device cannot. */
static bool reduces_channels(const struct splitting *s)
{
	struct graph_node node = *s->node;
	const struct placing p = { .compiler = s->compiler, .node = &node };
	struct graph_window h, w;
	struct image image;

	return place_image(&p, 0, &image) && !image.first && !place_channels(&image, &h, &w);
}

/* Less than the largest by so much, each: numbers that exp() makes at most one of. */
static bool split_softmax(struct splitting *s)
{
	const struct graph_shape *shape = &s->compiler->graph->tensors[s->node->inputs[0]].shape;
	uint32_t x = s->node->inputs[0], powers, sum;

	if (s->node->params.softmax.first + 1 != shape->rank || !reduces_channels(s))
		return false;
	powers = add_one(s, "Exp", add_two(s, "Sub", x, add_reduction(s, "ReduceMax", x)));
	sum = add_reduction(s, "ReduceSum", powers);
	add(s, "Mul", s->node->outputs[0], NULL, 2, powers, add_one(s, "Reciprocal", sum));
	return true;
}

static bool split_normalization(struct splitting *s)
{
	const struct xrnpe_graph *graph = s->compiler->graph;
	const struct graph_node *node = s->node;
	bool biased = graph_input(graph, node, 2);
	uint32_t x = node->inputs[0], difference, variance, inverse, result;

	if (node->params.layer.axis + 1 != graph->tensors[x].shape.rank || !reduces_channels(s) ||
	    graph_output(graph, node, 1) || graph_output(graph, node, 2) ||
	    !graph_input(graph, node, 1)->data || (biased && !graph_input(graph, node, 2)->data))
		return false;
	difference = add_two(s, "Sub", x, add_reduction(s, "ReduceMean", x));
	variance = add_reduction(s, "ReduceMean", add_two(s, "Mul", difference, difference));
	variance = add_two(s, "Add", variance, add_number(s, node->params.layer.epsilon));
	inverse = add_two(s, "Pow", variance, add_number(s, -0.5f));
	result = add_two(s, "Mul", difference, inverse);
	result = add(s, "Mul", biased ? GRAPH_NONE : node->outputs[0], NULL, 2, result,
		     node->inputs[1]);
	if (biased)
		add(s, "Add", node->outputs[0], NULL, 2, result, node->inputs[2]);
	return true;
}

static bool split_division(struct splitting *s)
{
	const struct xrnpe_graph *graph = s->compiler->graph;

	if (graph_input(graph, s->node, 0)->data || graph_input(graph, s->node, 1)->data ||
	    graph_input(graph, s->node, 0)->type != GRAPH_FLOAT)
		return false;
	add(s, "Mul", s->node->outputs[0], NULL, 2, s->node->inputs[0],
	    add_one(s, "Reciprocal", s->node->inputs[1]));
	return true;
}

static const struct splitter {
	const char *op;
	bool (*split)(struct splitting *s);
} splitters[] = {
	{ "Softmax", split_softmax },
	{ "LayerNormalization", split_normalization },
	{ "Div", split_division },
};

/* ---- where it is worth it ---------------------------------------------- */

/* Whether @tensor comes from the device, or from the caller. */
static bool from_device(const struct compiler *compiler, uint32_t tensor)
{
	uint32_t n = place_producer(compiler, tensor);

	return n == GRAPH_NONE || compile_on_device(&compiler->nodes[n]);
}

/*
 * Whether something that multiplies is computed from the output of node @n of the source: else
 * it is as well off on the CPU, where it is exact.
 */
static bool is_multiplied(struct splitting *s, uint32_t n)
{
	const struct xrnpe_graph *source = s->compiler->source;
	bool *from = calloc(source->tensor_count, sizeof(*from)), found = false;

	if (!from)
		s->ret = xrnpe_fail_memory(s->compiler->error);
	else
		from[source->nodes[n].outputs[0]] = true;
	for (n++; from && !found && n < source->node_count; n++) {
		const struct graph_node *node = &source->nodes[n];
		bool reads = false;

		for (uint32_t k = 0; k < node->input_count; k++)
			reads |= node->inputs[k] != GRAPH_NONE && from[node->inputs[k]];
		for (uint32_t k = 0; reads && k < node->output_count; k++) {
			if (node->outputs[k] != GRAPH_NONE)
				from[node->outputs[k]] = true;
		}
		found = reads && graph_node_macs(source, node);
	}
	free(from);
	return found;
}

int split_node(struct compiler *compiler, uint32_t n, uint32_t *count)
{
	const struct graph_node *node = &compiler->source->nodes[n];
	struct xrnpe_graph *graph = compiler->graph;
	struct splitting s = { .compiler = compiler, .node = node, .first = graph->node_count };
	bool done = false;

	*count = 0;
	for (size_t i = 0; i < sizeof(splitters) / sizeof(splitters[0]); i++) {
		if (strcmp(node->op->name, splitters[i].op) || node->residual ||
		    node->activation.kind != XRNPE_ACT_NONE || node->activation.clamps ||
		    !from_device(compiler, node->inputs[0]) ||
		    !is_multiplied(&s, n))
			continue;
		/* It is known already, and is found again. */
		graph->tensors[node->outputs[0]].known = false;
		done = splitters[i].split(&s);
		graph->tensors[node->outputs[0]].known = true;
	}
	*count = done ? graph->node_count - s.first : 0;
	return s.ret;
}

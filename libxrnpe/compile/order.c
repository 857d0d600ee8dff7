// SPDX-License-Identifier: MIT
/*
 * The order of nodes. Each change between device and CPU is a step more, in which one waits
 * for the other. So nodes that can run after each other on one side do, even if nodes of the
 * other stood between them; else the order of the file stays.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "error.h"

struct ordering {
	struct compiler *compiler;
	uint32_t *writer;	/* by tensor: node; GRAPH_NONE: none */
	uint32_t *readers;	/* by tensor; outputs of the graph count */
	uint32_t *set;		/* by node: another of its set, itself at the root */
	bool *keep;		/* by node */
	uint32_t *order;
};

static const struct graph_node *node_at(const struct ordering *ordering, uint32_t n)
{
	return &ordering->compiler->graph->nodes[n];
}

static bool on_device(const struct ordering *ordering, uint32_t n)
{
	return compile_on_device(&ordering->compiler->nodes[n]);
}

/* Who computes input @k of a node; GRAPH_NONE: it is an input of the graph, or a constant. */
static uint32_t source(const struct ordering *ordering, const struct graph_node *node, uint32_t k)
{
	return node->inputs[k] == GRAPH_NONE ? GRAPH_NONE : ordering->writer[node->inputs[k]];
}

/* ---- copies that nobody reads after all -------------------------------- */

static void find_unread(struct ordering *ordering)
{
	for (uint32_t n = ordering->compiler->graph->node_count; n--;) {
		const struct graph_node *node = node_at(ordering, n);

		for (uint32_t k = 0; k < node->output_count; k++) {
			if (node->outputs[k] != GRAPH_NONE)
				ordering->keep[n] |= ordering->readers[node->outputs[k]] > 0;
		}
		for (uint32_t k = 0; !ordering->keep[n] && k < node->input_count; k++) {
			if (node->inputs[k] != GRAPH_NONE)
				ordering->readers[node->inputs[k]]--;
		}
	}
}

/* ---- islands ----------------------------------------------------------- */

static uint32_t root(struct ordering *ordering, uint32_t n)
{
	while (ordering->set[n] != n)
		n = ordering->set[n] = ordering->set[ordering->set[n]];
	return n;
}

static bool multiplies(const struct compiler *compiler, uint32_t n)
{
	enum place_kind kind = compiler->nodes[n].place.kind;

	return kind == PLACE_WEIGHTS || kind == PLACE_MATMUL || kind == PLACE_AVERAGE;
}

static void to_cpu(struct compiler *compiler, uint32_t n)
{
	struct place *place = &compiler->nodes[n].place;
	const struct graph_node *node = &compiler->graph->nodes[n];

	place_free(place);
	*place = (struct place){
		.kind = PLACE_CPU, .why = "is among layers that run on the CPU",
	};
	for (uint32_t k = 0; k < node->output_count; k++) {
		if (node->outputs[k] != GRAPH_NONE)
			compiler->tensors[node->outputs[k]].same = node->outputs[k];
	}
}

/*
 * Nodes on the device that read from each other are a set. One that multiplies nothing and
 * exchanges tensors with the CPU's nodes runs there, too: to bring its numbers to the
 * device and back, rounded, takes more than it saves.
 */
static int move_islands(struct ordering *ordering)
{
	struct compiler *compiler = ordering->compiler;
	uint32_t count = compiler->graph->node_count;
	bool *worth = calloc(count + 1, sizeof(*worth)), *touches = calloc(count + 1, sizeof(*touches));

	for (uint32_t n = 0; worth && touches && n < count; n++) {
		const struct graph_node *node = node_at(ordering, n);

		for (uint32_t k = 0; k < node->input_count; k++) {
			uint32_t from = source(ordering, node, k);

			if (from != GRAPH_NONE && on_device(ordering, n) && on_device(ordering, from))
				ordering->set[root(ordering, n)] = root(ordering, from);
		}
	}
	for (uint32_t n = 0; worth && touches && n < count; n++) {
		const struct graph_node *node = node_at(ordering, n);

		worth[root(ordering, n)] |= multiplies(compiler, n);
		for (uint32_t k = 0; k < node->input_count; k++) {
			uint32_t from = source(ordering, node, k);

			if (from == GRAPH_NONE || on_device(ordering, n) == on_device(ordering, from))
				continue;
			touches[root(ordering, on_device(ordering, n) ? n : from)] = true;
		}
	}
	for (uint32_t n = 0; worth && touches && n < count; n++) {
		bool island = touches[root(ordering, n)] && !worth[root(ordering, n)];

		/* Or nobody has decided how its tensor lies, since nobody needs to know. */
		if (on_device(ordering, n) &&
		    (island || !compiler->tensors[node_at(ordering, n)->outputs[0]].image.c))
			to_cpu(compiler, n);
	}
	free(worth);
	free(touches);
	return worth && touches ? 0 : -ENOMEM;
}

/* The CPU reads tensors as they are, not as they were copied for the device. */
static void read_originals(struct ordering *ordering)
{
	for (uint32_t n = 0; n < ordering->compiler->graph->node_count; n++) {
		const struct graph_node *node = node_at(ordering, n);

		for (uint32_t k = 0; !on_device(ordering, n) && k < node->input_count; k++) {
			uint32_t from = source(ordering, node, k);

			while (from != GRAPH_NONE && place_is_relayout(node_at(ordering, from))) {
				ordering->readers[node->inputs[k]]--;
				node->inputs[k] = node_at(ordering, from)->inputs[0];
				ordering->readers[node->inputs[k]]++;
				from = source(ordering, node, k);
			}
		}
	}
}

/* ---- order ------------------------------------------------------------- */

/* Append to the order all nodes of one side that can run next. */
static uint32_t append_ready(struct ordering *ordering, bool device, bool *done, uint32_t known)
{
	for (uint32_t n = 0; n < ordering->compiler->graph->node_count; n++) {
		const struct graph_node *node = node_at(ordering, n);
		bool ready = ordering->keep[n] && !done[n] && on_device(ordering, n) == device;

		for (uint32_t k = 0; ready && k < node->input_count; k++) {
			uint32_t from = source(ordering, node, k);

			ready = from == GRAPH_NONE || done[from];
		}
		if (!ready)
			continue;
		done[n] = true;
		ordering->order[known++] = n;
	}
	return known;
}

/* Order all nodes that are kept, the first on the given side if any can. */
static int order(struct ordering *ordering, bool device, uint32_t *steps)
{
	uint32_t count = ordering->compiler->graph->node_count, kept = 0, known = 0;
	bool *done = calloc(count + 1, sizeof(*done));

	*steps = 0;
	for (uint32_t n = 0; n < count; n++)
		kept += ordering->keep[n];
	for (; done && known < kept; device = !device) {
		uint32_t before = known;

		known = append_ready(ordering, device, done, known);
		*steps += known > before;
	}
	free(done);
	return done ? 0 : -ENOMEM;
}

/* Bring nodes and their plans into the order found; others are dropped. */
static int reorder(struct ordering *ordering)
{
	struct compiler *compiler = ordering->compiler;
	struct xrnpe_graph *graph = compiler->graph;
	struct graph_node *nodes = calloc(graph->node_count + 1, sizeof(*nodes));
	struct node_plan *plans = calloc(graph->node_count + 1, sizeof(*plans));
	uint32_t kept = 0;

	if (!nodes || !plans) {
		free(nodes);
		free(plans);
		return -ENOMEM;
	}
	for (uint32_t n = 0; n < graph->node_count; n++) {
		if (ordering->keep[n]) {
			nodes[kept] = graph->nodes[ordering->order[kept]];
			plans[kept] = compiler->nodes[ordering->order[kept]];
			kept++;
		} else {
			graph_clear_node(&graph->nodes[n]);
			place_free(&compiler->nodes[n].place);
		}
	}
	memcpy(graph->nodes, nodes, kept * sizeof(*nodes));
	memcpy(compiler->nodes, plans, kept * sizeof(*plans));
	graph->node_count = kept;
	free(nodes);
	free(plans);
	return 0;
}

static void touch(bool *touched, const uint32_t *tensors, uint32_t count)
{
	for (uint32_t k = 0; k < count; k++) {
		if (tensors[k] != GRAPH_NONE)
			touched[tensors[k]] = true;
	}
}

/* Tensors of the CPU's nodes alone lie nowhere on the device, and are not looked at for it. */
static int forget_images(struct compiler *compiler)
{
	const struct xrnpe_graph *graph = compiler->graph;
	bool *touched = calloc(graph->tensor_count + 1, sizeof(*touched));

	for (uint32_t n = 0; touched && n < graph->node_count; n++) {
		const struct graph_node *node = &graph->nodes[n];

		if (!compile_on_device(&compiler->nodes[n]))
			continue;
		touch(touched, node->inputs, node->input_count);
		touch(touched, node->outputs, node->output_count);
	}
	for (uint32_t i = 0; touched && i < graph->tensor_count; i++) {
		if (!touched[i] && !compile_bytes(compiler, i))
			compiler->tensors[i].image = (struct image){ 0 };
	}
	free(touched);
	return touched ? 0 : -ENOMEM;
}

static int find_writers(struct ordering *ordering)
{
	const struct xrnpe_graph *graph = ordering->compiler->graph;
	uint32_t count = graph->node_count;

	ordering->writer = malloc((graph->tensor_count + 1) * sizeof(*ordering->writer));
	ordering->readers = graph_readers(graph);
	ordering->set = malloc((count + 1) * sizeof(*ordering->set));
	ordering->keep = calloc(count + 1, sizeof(*ordering->keep));
	ordering->order = malloc((count + 1) * sizeof(*ordering->order));
	if (!ordering->writer || !ordering->readers || !ordering->set || !ordering->keep ||
	    !ordering->order)
		return -ENOMEM;
	for (uint32_t i = 0; i < graph->tensor_count; i++)
		ordering->writer[i] = GRAPH_NONE;
	for (uint32_t n = 0; n < count; n++) {
		ordering->set[n] = n;
		for (uint32_t k = 0; k < graph->nodes[n].output_count; k++) {
			if (graph->nodes[n].outputs[k] != GRAPH_NONE)
				ordering->writer[graph->nodes[n].outputs[k]] = n;
		}
	}
	return 0;
}

int order_nodes(struct compiler *compiler)
{
	struct ordering ordering = { .compiler = compiler };
	uint32_t device_first = 0, cpu_first = 0;
	int ret = find_writers(&ordering);

	if (!ret)
		ret = move_islands(&ordering);
	if (!ret)
		read_originals(&ordering);
	if (!ret)
		find_unread(&ordering);
	if (!ret)
		ret = order(&ordering, false, &cpu_first);
	if (!ret)
		ret = order(&ordering, true, &device_first);
	if (!ret && cpu_first < device_first)
		ret = order(&ordering, false, &cpu_first);
	if (!ret)
		ret = reorder(&ordering);
	if (!ret)
		ret = forget_images(compiler);
	free(ordering.writer);
	free(ordering.readers);
	free(ordering.set);
	free(ordering.keep);
	free(ordering.order);
	return ret ? xrnpe_fail_memory(compiler->error) : 0;
}

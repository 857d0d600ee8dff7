// SPDX-License-Identifier: MIT
/*
 * Which tensors share memory and scales. What is cut out of a tensor lies in it, and what
 * is joined to a larger one is written there at once; codes that are only moved keep their
 * scale.
 */
#include <errno.h>
#include <stdlib.h>

#include "compile.h"
#include "error.h"

static uint32_t same(const struct compiler *compiler, uint32_t tensor)
{
	return compiler->tensors[tensor].same;
}

/* ---- scales ------------------------------------------------------------ */

static uint32_t find_root(struct compiler *compiler, uint32_t tensor)
{
	uint32_t root = compiler->tensors[tensor].root;

	while (root != compiler->tensors[root].root)
		root = compiler->tensors[root].root;
	return compiler->tensors[tensor].root = root;
}

/* Let the second tensor have the first one's scale. */
static void join_roots(struct compiler *compiler, uint32_t first, uint32_t second)
{
	compiler->tensors[find_root(compiler, second)].root = find_root(compiler, first);
}

/* Codes that go through @node unchanged have one scale, and fit the same formats. */
static void share_scales(struct compiler *compiler, const struct graph_node *node,
			 const struct place *place)
{
	bool moves = place->kind == PLACE_PART || place->kind == PLACE_POOL ||
		     place->kind == PLACE_COPY;

	for (uint32_t k = 0; moves && k < node->output_count; k++) {
		join_roots(compiler, node->inputs[0], node->outputs[k]);
		compiler->tensors[same(compiler, node->outputs[k])].wide |=
			compiler->tensors[same(compiler, node->inputs[0])].wide;
	}
	for (uint32_t k = 0; k < place->part_count; k++) {
		const struct place_part *part = &place->parts[k];
		struct tensor_plan *output =
			&compiler->tensors[same(compiler, node->outputs[part->output])];

		if (place->kind == PLACE_JOIN) {
			join_roots(compiler, node->outputs[0], node->inputs[part->input]);
			output->wide |= compiler->tensors[same(compiler, node->inputs[part->input])].wide;
		}
		output->wide |= part->from.c % 2 || part->to.c % 2;
	}
}

/* ---- memory ------------------------------------------------------------ */

/*
 * By tensor: whether all commands that touch it can do with lines that are apart, divided
 * as its image is.
 */
static void note_access(const struct compiler *compiler, uint32_t tensor, const struct image *image,
			const struct xrnpe_cmd *cmd, bool *loose)
{
	const struct image *own = &compiler->tensors[same(compiler, tensor)].image;
	bool rows = cmd->opcode == XRNPE_OP_MATMUL && cmd->matmul.batch == 1 && image->h > 1;

	loose[same(compiler, tensor)] &= !rows && own->h == image->h && own->w == image->w &&
					 own->c == image->c;
}

static void find_loose(const struct compiler *compiler, bool *loose)
{
	const struct xrnpe_graph *graph = compiler->graph;

	for (uint32_t i = 0; i < graph->tensor_count; i++)
		loose[i] = true;
	for (uint32_t n = 0; n < graph->node_count; n++) {
		const struct graph_node *node = &graph->nodes[n];
		const struct place *place = &compiler->nodes[n].place;

		for (uint32_t k = 0; k < place->read_count; k++)
			note_access(compiler, place->reads[k].tensor, &place->reads[k].image,
				    &place->cmd, loose);
		if (place->kind < PLACE_PART && place->kind != PLACE_CPU)
			note_access(compiler, node->outputs[0],
				    place_written(place, &compiler->tensors[node->outputs[0]].image),
				    &place->cmd, loose);
	}
}

static bool is_binary32(const struct compiler *compiler, uint32_t tensor)
{
	const struct tensor_plan *plan = &compiler->tensors[same(compiler, tensor)];

	return plan->given || plan->cut;
}

static void lie_in(struct compiler *compiler, uint32_t tensor, uint32_t base,
		   const struct image_part *part)
{
	struct tensor_plan *plan = &compiler->tensors[same(compiler, tensor)];

	plan->base = same(compiler, base);
	plan->part = *part;
}

/*
 * What @node cuts out stays where it is; if a reader cannot have it there it is copied, as
 * what is joined is.
 */
static void share_parts(struct compiler *compiler, const struct graph_node *node,
			struct place *place, const bool *loose)
{
	for (uint32_t k = 0; place->kind == PLACE_PART && k < place->part_count; k++) {
		if (!loose[same(compiler, node->outputs[place->parts[k].output])])
			place->kind = PLACE_JOIN;
	}
	for (uint32_t k = 0; place->kind == PLACE_PART && k < place->part_count; k++)
		lie_in(compiler, node->outputs[place->parts[k].output], node->inputs[0],
		       &place->parts[k].from);
	/* Binary32 that came from the CPU is cut like codes. */
	for (uint32_t k = 0; place->kind == PLACE_PART && k < place->part_count; k++)
		compiler->tensors[same(compiler, node->outputs[place->parts[k].output])].cut =
			is_binary32(compiler, node->inputs[0]);
}

/* Whether all of @tensor can lie in what it is joined to. */
static bool can_join(const struct compiler *compiler, const struct place_part *part,
		     uint32_t tensor, const bool *loose)
{
	const struct tensor_plan *plan = &compiler->tensors[same(compiler, tensor)];
	const struct image_part *from = &part->from;

	/* A constant is among the constants. */
	return plan->base == plan->same && loose[plan->same] && !compiler->graph->tensors[tensor].data &&
	       !from->h && !from->w && !from->c &&
	       plan->image.h == part->h && plan->image.w == part->w && plan->image.c == part->c;
}

static void share_joined(struct compiler *compiler, const struct graph_node *node,
			 const struct place *place, const bool *loose)
{
	for (uint32_t k = 0; place->kind == PLACE_JOIN && k < place->part_count; k++) {
		const struct place_part *part = &place->parts[k];
		uint32_t input = node->inputs[part->input], output = node->outputs[part->output];

		if (can_join(compiler, part, input, loose))
			lie_in(compiler, input, output, &part->to);
	}
}

static void find_given(struct compiler *compiler)
{
	const struct xrnpe_graph *graph = compiler->graph;

	for (uint32_t i = 0; i < graph->input_count; i++)
		compiler->tensors[graph->inputs[i]].given = true;
	for (uint32_t n = 0; n < graph->node_count; n++) {
		const struct graph_node *node = &graph->nodes[n];

		for (uint32_t k = 0; k < node->output_count; k++) {
			if (node->outputs[k] != GRAPH_NONE && !compile_on_device(&compiler->nodes[n]))
				compiler->tensors[node->outputs[k]].given = true;
		}
	}
}

int memory_share(struct compiler *compiler)
{
	const struct xrnpe_graph *graph = compiler->graph;
	bool *loose = malloc(graph->tensor_count + 1);

	if (!loose)
		return xrnpe_fail_memory(compiler->error);
	for (uint32_t i = 0; i < graph->tensor_count; i++) {
		struct tensor_plan *plan = &compiler->tensors[i];

		plan->same = compiler->tensors[plan->same].same;
		plan->base = plan->same;
		plan->root = plan->same;
	}
	find_given(compiler);
	find_loose(compiler, loose);
	for (uint32_t n = 0; n < graph->node_count; n++) {
		share_scales(compiler, &graph->nodes[n], &compiler->nodes[n].place);
		share_parts(compiler, &graph->nodes[n], &compiler->nodes[n].place, loose);
	}
	/* Later joins first: a part of a part is a part of the whole. */
	for (uint32_t n = graph->node_count; n--;)
		share_joined(compiler, &graph->nodes[n], &compiler->nodes[n].place, loose);
	for (uint32_t i = 0; i < graph->tensor_count; i++)
		find_root(compiler, i);
	free(loose);
	return 0;
}

// SPDX-License-Identifier: MIT
/*
 * From graph and formats to a model: versions of tensors, then commands and steps in the
 * order of nodes, then places in memory.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "lower.h"

/*
 * Most commands: of each node one for each version and piece, and of joins one for each part
 * besides.
 */
static size_t most_commands(const struct compiler *compiler)
{
	size_t count = (size_t)compiler->graph->tensor_count * VERSIONS + compiler->graph->node_count;

	for (uint32_t n = 0; n < compiler->graph->node_count; n++)
		count += (size_t)compiler->nodes[n].place.part_count * COMPILE_FORMATS +
			 compiler->nodes[n].place.piece_count;
	return count;
}

static int allocate(struct lowering *low)
{
	const struct xrnpe_graph *graph = low->compiler->graph;
	size_t commands = most_commands(low->compiler);
	struct xrnpe_model *model = low->model;

	low->versions = calloc(graph->tensor_count + 1, sizeof(*low->versions));
	low->in_offset = malloc((graph->tensor_count + 1) * sizeof(*low->in_offset));
	low->out_offset = malloc((graph->tensor_count + 1) * sizeof(*low->out_offset));
	low->cpu = malloc((graph->tensor_count + 1) * sizeof(*low->cpu));
	low->buffers = calloc((size_t)graph->tensor_count * XRNPE_OUTPUT_FORMATS + commands + 1,
			      sizeof(*low->buffers));
	low->cmd_room = (uint32_t)commands;
	model->name = strdup(graph->name);
	model->cmds = calloc(commands + 1, sizeof(*model->cmds));
	model->cmd_layer = calloc(commands + 1, sizeof(*model->cmd_layer));
	model->layers = calloc(graph->node_count + 1, sizeof(*model->layers));
	model->layer_outputs = calloc(graph->node_count + 1, sizeof(*model->layer_outputs));
	if (asprintf(&model->producer, "libxrnpe %s", xrnpe_version()) < 0)
		model->producer = NULL;
	if (!low->versions || !low->in_offset || !low->out_offset || !low->cpu || !low->buffers || !model->name ||
	    !model->cmds || !model->cmd_layer || !model->layers || !model->layer_outputs || !model->producer)
		return xrnpe_fail_memory(low->compiler->error);
	memset(low->cpu, 0xff, (graph->tensor_count + 1) * sizeof(*low->cpu));	/* GRAPH_NONE */
	return 0;
}

static int make_model(struct lowering *low)
{
	int ret = allocate(low);

	if (ret)
		return ret;
	lower_find_versions(low);
	ret = describe_layers(low);
	if (!ret)
		ret = describe_interface(low);
	if (!ret)
		ret = steps_make(low);
	if (!ret)
		ret = describe_layer_outputs(low);
	return ret ? ret : lower_place_buffers(low);
}

int lower_model(struct compiler *compiler, struct xrnpe_model **model)
{
	struct lowering low = { .compiler = compiler, .model = xrnpe_model_new() };
	int ret;

	if (!low.model)
		return xrnpe_fail_memory(compiler->error);
	ret = make_model(&low);
	free(low.versions);
	free(low.in_offset);
	free(low.out_offset);
	free(low.cpu);
	free(low.buffers);
	if (ret) {
		xrnpe_model_free(low.model);
		return ret;
	}
	*model = low.model;
	return 0;
}

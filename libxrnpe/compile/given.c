// SPDX-License-Identifier: MIT
/* Scales that the network's file gives, since it was trained with them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "error.h"

const float *given_weight_scales(const struct compiler *compiler, uint32_t n,
				 enum xrnpe_format format)
{
	const struct place *place = &compiler->nodes[n].place;

	return place->kind == PLACE_WEIGHTS && place->weights.tensor != GRAPH_NONE ?
	       graph_scales_of(&compiler->graph->tensors[place->weights.tensor], format) : NULL;
}

static int fail(const struct compiler *compiler, uint32_t tensor, const char *what)
{
	char name[64];

	graph_printable(compiler->graph->tensors[tensor].name, name);
	return xrnpe_fail(compiler->error, -EINVAL, "%s: the scales of tensor %s %s",
			  compiler->graph->name, name, what);
}

/* Tensors of one root have that scale that the file gives for any of them. */
static int take_tensor(struct compiler *compiler, uint32_t i, enum xrnpe_format format, bool *taken)
{
	const float *scale = graph_scales_of(&compiler->graph->tensors[i], format);
	uint32_t root = compiler->tensors[i].root;

	if (!scale || compiler->graph->tensors[i].data)
		return 0;
	if (taken[root] && compiler->tensors[root].scale[format] != *scale)
		return fail(compiler, i, "are not those of a tensor that has the same codes");
	taken[root] = true;
	compiler->tensors[root].scale[format] = *scale;
	return 0;
}

static int check_weights(const struct compiler *compiler, uint32_t n, enum xrnpe_format format)
{
	const struct weights *weights = &compiler->nodes[n].place.weights;

	if (!given_weight_scales(compiler, n, format) ||
	    compiler->graph->tensors[weights->tensor].scales->count[format] == weights->out_c)
		return 0;
	return fail(compiler, weights->tensor, "are not one for each output channel");
}

int given_take_scales(struct compiler *compiler)
{
	const struct xrnpe_graph *graph = compiler->graph;
	bool *taken = malloc(graph->tensor_count + 1);
	int ret = taken ? 0 : xrnpe_fail_memory(compiler->error);

	for (unsigned int f = 0; !ret && f < COMPILE_FORMATS; f++) {
		memset(taken, 0, graph->tensor_count + 1);
		for (uint32_t i = 0; !ret && i < graph->tensor_count; i++)
			ret = take_tensor(compiler, i, f, taken);
		for (uint32_t n = 0; !ret && n < graph->node_count; n++)
			ret = check_weights(compiler, n, f);
	}
	free(taken);
	return ret;
}

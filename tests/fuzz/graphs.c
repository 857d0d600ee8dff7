// SPDX-License-Identifier: MIT
#include <stdlib.h>

#include "fuzz/graphs.h"

/* Of inputs and outputs together; elements of each tensor; products of all nodes that are run. */
#define MOST_ENDS 16
#define MOST_ELEMENTS 10000
#define MOST_PRODUCTS 1000000

bool fuzz_is_small(const struct xrnpe_graph *graph, uint64_t products)
{
	uint64_t there = 0;

	if (graph->input_count + graph->output_count > MOST_ENDS)
		return false;
	for (uint32_t i = 0; i < graph->tensor_count; i++) {
		if (graph->tensors[i].known && graph_count(&graph->tensors[i].shape) > MOST_ELEMENTS)
			return false;
	}
	for (uint32_t n = 0; n < graph->node_count; n++)
		there += graph_node_macs(graph, &graph->nodes[n]);
	return there <= products;
}

int fuzz_run_small(const struct xrnpe_graph *graph)
{
	static const float zeros[MOST_ELEMENTS];
	const float *inputs[MOST_ENDS];
	float *outputs[MOST_ENDS];
	int ret;

	if (!fuzz_is_small(graph, MOST_PRODUCTS))
		return 0;
	for (uint32_t i = 0; i < graph->input_count; i++)
		inputs[i] = zeros;
	for (uint32_t i = 0; i < graph->output_count; i++) {
		outputs[i] = malloc(MOST_ELEMENTS * sizeof(*outputs[i]));
		if (!outputs[i])
			abort();
	}
	ret = xrnpe_graph_run(graph, 1, inputs, outputs, NULL, NULL, NULL);
	for (uint32_t i = 0; i < graph->output_count; i++)
		free(outputs[i]);
	return ret;
}

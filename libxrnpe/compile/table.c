// SPDX-License-Identifier: MIT
/* Tables: a function of one number, computed by its operator for each code. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lower.h"
#include "operator.h"

/* Compute the node for @count numbers in place of its tensor's; its constants are numbers. */
static bool compute(const struct compiler *compiler, const struct graph_node *node, uint32_t input,
		    const float *values, float *results, uint32_t count)
{
	const struct xrnpe_graph *graph = compiler->graph;
	struct graph_tensor *tensors = malloc(graph->tensor_count * sizeof(*tensors));
	void **data = calloc(graph->tensor_count, sizeof(*data));
	struct xrnpe_graph numbers = *graph;
	void *scratch = malloc(node->scratch + 1);
	const struct op_call call = { &numbers, node, data, scratch };
	bool made = tensors && data && scratch;

	if (made) {
		memcpy(tensors, graph->tensors, graph->tensor_count * sizeof(*tensors));
		numbers.tensors = tensors;
		for (uint32_t i = 0; i < graph->tensor_count; i++)
			data[i] = tensors[i].data;
		for (uint32_t k = 0; k < node->input_count; k++) {
			if (node->inputs[k] != GRAPH_NONE)
				tensors[node->inputs[k]].shape.rank = 0;
		}
		tensors[input].shape = (struct graph_shape){ 1, { count } };
		tensors[node->outputs[0]].shape = tensors[input].shape;
		data[input] = (void *)values;
		data[node->outputs[0]] = results;
		node->op->compute(&call);
		reference_activate(&numbers, node, results);
	}
	free(tensors);
	free(data);
	free(scratch);
	return made;
}

void *table_make(const struct compiler *compiler, uint32_t n, enum xrnpe_format in, float in_scale,
		 enum xrnpe_format out, float out_scale, size_t *size)
{
	uint32_t count = 1u << xrnpe_format_bits(in), status = 0;
	float *values = malloc(count * sizeof(*values)), *results = malloc(count * sizeof(*results));
	void *table = calloc(1, xrnpe_row_bytes(out, count));

	*size = xrnpe_row_bytes(out, count);
	for (uint32_t i = 0; values && i < count; i++)
		values[i] = (float)xrnpe_decode(in, i) * in_scale;
	if (!values || !results || !table ||
	    !compute(compiler, &compiler->graph->nodes[n],
		     compiler->nodes[n].place.reads[0].tensor, values, results, count)) {
		free(values);
		free(results);
		free(table);
		return NULL;
	}
	/* What is too large for binary32 is as large as the format has. */
	for (uint32_t i = 0; i < count; i++)
		results[i] = isnan(results[i]) ? results[i] :
			     fminf(fmaxf(results[i], -FLT_MAX), FLT_MAX) / out_scale;
	xrnpe_encode_row(out, results, table, count, &status);
	free(values);
	free(results);
	return table;
}

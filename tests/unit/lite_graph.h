/* SPDX-License-Identifier: MIT */
/* Models of lite_builder.h as graphs, in tests. */
#ifndef LITE_GRAPH_H
#define LITE_GRAPH_H

#include "graph.h"
#include "unit/lite_builder.h"

#define LITE_ELEMENTS 64		/* most of an output */
#define LITE_OUTPUTS 8

/* Read and free @model; NULL: it is refused, and @error says why. */
struct xrnpe_graph *lite_take(struct lite_model *model, const struct xrnpe_graph_options *options,
			      struct xrnpe_error *error);

/* Outputs for @values, the inputs one after the other. */
void lite_run(const struct xrnpe_graph *graph, const float *values,
	      float results[LITE_OUTPUTS][LITE_ELEMENTS]);

/* Read, run on @values and free @model; its only output is of @count elements, @want. */
void lite_expect(struct lite_model *model, const float *values, size_t count, const float *want);

#endif

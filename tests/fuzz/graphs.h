/* SPDX-License-Identifier: MIT */
/* What tests do with graphs that were read from damaged files. */
#ifndef FUZZ_GRAPHS_H
#define FUZZ_GRAPHS_H

#include "graph.h"

/* Whether it has few inputs and outputs, small tensors, and at most @products of products. */
bool fuzz_is_small(const struct xrnpe_graph *graph, uint64_t products);

/* Run @graph on zeros, if it is small. Returns what xrnpe_graph_run() does, or 0. */
int fuzz_run_small(const struct xrnpe_graph *graph);

#endif

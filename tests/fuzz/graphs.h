/* SPDX-License-Identifier: MIT */
/* What tests do with graphs that were read from damaged files. */
#ifndef FUZZ_GRAPHS_H
#define FUZZ_GRAPHS_H

#include "graph.h"

/* Run @graph on zeros, if it is small. Returns what xrnpe_graph_run() does, or 0. */
int fuzz_run_small(const struct xrnpe_graph *graph);

#endif

/* SPDX-License-Identifier: MIT */
/* Copies of a graph, or of some of its nodes. */
#ifndef XRNPE_COPY_H
#define XRNPE_COPY_H

#include "graph.h"

/* An empty graph of the same file. NULL: no memory. */
struct xrnpe_graph *copy_new(const struct xrnpe_graph *from);

/*
 * Append tensor @index of @from. @share: constants are those of @from, to be given back by
 * copy_unshare() before the copy is freed.
 */
int copy_tensor(struct xrnpe_graph *to, const struct xrnpe_graph *from, uint32_t index, bool share,
		uint32_t *copied, struct xrnpe_error *error);
void copy_unshare(struct xrnpe_graph *to, uint32_t count);

/* Make @to a copy of @from that owns all it points to; tensors keep their numbers. */
int copy_node(struct graph_node *to, const struct graph_node *from, struct xrnpe_error *error);

#endif

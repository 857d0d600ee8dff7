/* SPDX-License-Identifier: MIT */
/* What the files of the folding share. */
#ifndef XRNPE_FOLD_H
#define XRNPE_FOLD_H

#include "operator.h"

struct folding {
	struct xrnpe_graph *graph;
	struct xrnpe_error *error;
	uint32_t *readers;	/* by tensor */
	uint32_t *producer;	/* by tensor: its node, GRAPH_NONE if there is none */
	uint32_t *same;		/* by tensor: the one that it is the same as */
	uint32_t known;		/* tensors there were when these were made */
};

/* Whether @node is of the operator called @op. */
static inline bool fold_is(const struct graph_node *node, const char *op)
{
	return node->op && !strcmp(node->op->name, op);
}

static inline bool fold_activates(const struct graph_node *node)
{
	return node->activation.kind != XRNPE_ACT_NONE || node->activation.clamps;
}

/* The node that computes input @i of @node, which alone reads it; NULL: there is none. */
struct graph_node *fold_producer(const struct folding *fold, const struct graph_node *node,
				 uint32_t i);

/* @before computes what @node computes; @node is no more. */
int fold_absorb(struct folding *fold, struct graph_node *before, struct graph_node *node);

/* Make @count inputs of a node's, those that are new left out. */
int fold_extend(const struct folding *fold, struct graph_node *node, uint32_t count);

/* ---- fold_products.c ---------------------------------------------------- */

/* A Gemm with constants has alpha and beta in them, and one bias a column. */
int fold_gemm(struct folding *fold, struct graph_node *node);

/* What scales and shifts channels goes into the weights of the product before it. */
int fold_affine(struct folding *fold, struct graph_node *node);

/* A Gemm over an image that was flattened for it becomes a convolution. */
int fold_flatten(struct folding *fold, struct graph_node *node);

#endif

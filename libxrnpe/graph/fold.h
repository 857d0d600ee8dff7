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

/* Add @op_names to the operators that @node stands for. */
int fold_append_name(const struct folding *fold, struct graph_node *node, const char *op_names);

/* Set an attribute of @node from a copy of @values: a string, ints or floats. */
int fold_set_attribute(const struct folding *fold, struct graph_node *node, const char *name,
		       enum graph_attribute_kind kind, size_t count, const void *values);

/* @node has attribute @name no more. */
void fold_drop_attribute(struct graph_node *node, const char *name);

/* Make @node one of operator @op, with the inputs and attributes that it has by now. */
int fold_become(const struct folding *fold, struct graph_node *node, const char *op);

/* A new constant of zeros of @shape, for one reader. */
int fold_new_constant(struct folding *fold, const struct graph_shape *shape, uint32_t *index,
		      float **values);

/* Whether a constant of @shape, broadcast to @to, differs only along axis @axis. */
bool fold_is_by_channel(const struct graph_shape *shape, const struct graph_shape *to,
			uint32_t axis);

/* ---- fold_sums.c -------------------------------------------------------- */

/* A Sum begins with another one, if it can, and is an Add where two are left. Exact. */
int fold_sum(struct folding *fold, struct graph_node *node);

/* An Add, and the first two of a Sum, become part of the later product that they add. Exact. */
int fold_add(struct folding *fold, struct graph_node *node);

/* ---- fold_layout.c ------------------------------------------------------ */

/* Changes of shape in a row are one, and so are transpositions. */
int fold_moves(struct folding *fold, struct graph_node *node);

/* What is computed element by element changes places with what moved its input. */
int fold_sink(struct folding *fold, struct graph_node *node);

/* A product of matrices with a constant is a Gemm, which others are folded into. */
int fold_matmul(struct folding *fold, struct graph_node *node);

/* ---- fold_patterns.c ---------------------------------------------------- */

int fold_limits(struct folding *fold, struct graph_node *node);
int fold_prelu(struct folding *fold, struct graph_node *node);
int fold_channels(struct folding *fold, struct graph_node *add);
int fold_pad(struct folding *fold, struct graph_node *conv);

/* ---- fold_function.c ---------------------------------------------------- */

/* Element-wise nodes of one number, of which @node is the last, become one Function. */
int fold_function(struct folding *fold, struct graph_node *node);

/* ---- fold_products.c ---------------------------------------------------- */

/* A Gemm with constants has alpha and beta in them, and one bias a column. */
int fold_gemm(struct folding *fold, struct graph_node *node);

/*
 * What scales and shifts channels goes into the weights of the product before it; so does what
 * a HardSigmoid limits after that.
 */
int fold_affine(struct folding *fold, struct graph_node *node);

/* A Gemm over an image that was flattened for it becomes a convolution. */
int fold_flatten(struct folding *fold, struct graph_node *node);

#endif

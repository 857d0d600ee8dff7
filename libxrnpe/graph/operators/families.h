/* SPDX-License-Identifier: MIT */
/* The tables of operators, one a file; each ends with an empty row. */
#ifndef XRNPE_FAMILIES_H
#define XRNPE_FAMILIES_H

#include "operator.h"

extern const struct operator operators_convolution[];	/* Conv, ConvTranspose */
extern const struct operator operators_pool[];		/* MaxPool, AveragePool, Global* */
extern const struct operator operators_matrix[];	/* Gemm, MatMul, Einsum */
extern const struct operator operators_normalization[];	/* Batch-, Instance-, LayerNormalization */
extern const struct operator operators_activation[];	/* Relu, Sigmoid, Softmax ... */
extern const struct operator operators_arithmetic[];	/* Add, Pow, Sqrt ... */
extern const struct operator operators_logic[];		/* Equal, And, Where, Cast ... */
extern const struct operator operators_reduction[];	/* Reduce*, ArgMax, TopK */
extern const struct operator operators_layout[];	/* Reshape, Transpose, DepthToSpace ... */
extern const struct operator operators_selection[];	/* Slice, Gather, Split, Expand, Tile */
extern const struct operator operators_join[];		/* Concat, Pad */
extern const struct operator operators_resize[];	/* Resize, Upsample */
extern const struct operator operators_grid[];		/* GridSample */
extern const struct operator operators_recurrent[];	/* LSTM, GRU */
extern const struct operator operators_function[];	/* Function, of element-wise nodes */
extern const struct operator operators_constant[];	/* Shape, Range, ConstantOfShape ... */

/* Einsum's, of operators_matrix. */
int infer_einsum(const struct op *op);

/* How often Resize @node repeats each of @in elements along @axis; 0: it does not just that. */
uint32_t resize_repeats(const struct graph_node *node, uint32_t axis, uint32_t in, uint32_t out);

/*
 * What element @i of Resize @node's @out elements along @axis is of its @in: times
 * weights[0] the one returned, and times weights[1] the next, which is 0 at the end.
 */
uint32_t resize_weights(const struct graph_node *node, uint32_t axis, uint32_t in, uint32_t out,
			uint32_t i, float weights[2]);

/* Whether Resize @node takes more than two elements along an axis, or none; else the two above tell. */
bool resize_is_filter(const struct graph_node *node);

/* Whether Resize @node has other elements along @axis than its input. */
bool resize_moves(const struct graph_node *node, uint32_t axis);

/* Whether it has elements along @axis that lie outside, and are given another value than zero. */
bool resize_fills(const struct graph_node *node, uint32_t axis, uint32_t in, uint32_t out);

/*
 * The weights of Resize @node's @in elements along @axis, a row of @matrix for each of its @out, of
 * zeros for one that lies outside. False: no memory.
 */
bool resize_matrix(const struct graph_node *node, uint32_t axis, uint32_t in, uint32_t out, float *matrix);

/* Most steps of a Function, and most constants of these. */
#define FUNCTION_STEPS 32

/* Which of @size elements along @axis Pad @node, whose mode is not constant, has as its element @i. */
uint32_t pad_index(const struct graph_node *node, uint32_t axis, uint32_t size, uint32_t i);

/* Which element along an axis of @size Gather's @index is: one outside is the nearest one inside. */
size_t gather_index(int64_t index, uint32_t size);

/* How many values the operator @name reads as a step of a Function; 0: it cannot be one. */
uint32_t function_step_inputs(const char *name);

#endif

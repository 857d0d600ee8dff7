/* SPDX-License-Identifier: MIT */
/*
 * The graph: a network between ONNX and commands. A node computes one tensor, so
 * the two share an index. Node 0 is the input; a node reads lower indices only.
 * Tensors are channels x height x width of one batch element.
 */
#ifndef XRNPE_GRAPH_H
#define XRNPE_GRAPH_H

#include "xrnpe.h"

enum graph_op {
	GRAPH_INPUT,
	GRAPH_CONV,
	GRAPH_GEMM,	/* input 1 x 1: weight[out_c][in_c] */
	GRAPH_NORM,	/* x * weight[c] + bias[c]: batch normalisation */
	GRAPH_ACTIVATION,	/* nothing but what is applied to the result */
	GRAPH_ADD,
	GRAPH_MAXPOOL,
	GRAPH_AVGPOOL,	/* padding counts as zeros */
	GRAPH_FLATTEN,	/* channels x height x width to one axis, in this order */
};

struct graph_shape {
	uint32_t c, h, w;
};

/* Where the kernel goes. Bottom and right padding follow from the output's shape. */
struct graph_window {
	uint32_t kernel_h, kernel_w;
	uint32_t stride_h, stride_w;
	uint32_t dilation_h, dilation_w;
	uint32_t pad_top, pad_left;
};

/* What is applied to a result. */
struct graph_activation {
	enum xrnpe_activation kind;	/* NONE, RELU or LEAKY */
	float slope;		/* LEAKY: x < 0 ? x * slope : x */
	bool clamps;		/* and then limits to lo .. hi, which are finite */
	float lo, hi;
};

struct graph_node {
	enum graph_op op;
	char *name;		/* for messages and tables */
	char *op_names;		/* the ONNX operators it stands for: "Conv+Relu" */
	uint32_t inputs;	/* 0, 1 or 2 */
	uint32_t input[2];	/* CONV: the second, if any, is added to its result */
	struct graph_shape shape;
	bool flat;		/* of rank 1 (without the batch) in the file */
	struct graph_activation activation;
	struct graph_window window;	/* CONV, MAXPOOL, AVGPOOL */
	uint32_t groups;	/* CONV */
	float *weight;		/* CONV: [out_c][in_c / groups][kernel_h][kernel_w] */
	size_t weight_count;
	float *bias;		/* CONV, GEMM, NORM: [out_c] */
};

struct xrnpe_graph {
	char *name;		/* the file, for messages */
	struct graph_node *nodes;
	uint32_t count;
	uint32_t output;	/* the node whose tensor is the output */
	struct xrnpe_tensor_info input_info;	/* names are owned */
	struct xrnpe_tensor_info output_info;
};

/* Most elements of one tensor. */
#define GRAPH_MAX_ELEMENTS (1u << 26)
/* Most bytes of an ONNX file. */
#define GRAPH_MAX_FILE ((size_t)1 << 30)
/* Most nodes of one graph. */
#define GRAPH_MAX_NODES 8192

static inline size_t graph_shape_count(const struct graph_shape *shape)
{
	return (size_t)shape->c * shape->h * shape->w;
}

static inline bool graph_shape_equal(const struct graph_shape *a, const struct graph_shape *b)
{
	return a->c == b->c && a->h == b->h && a->w == b->w;
}

static inline const struct graph_shape *graph_input_shape(const struct xrnpe_graph *graph,
							  const struct graph_node *node)
{
	return &graph->nodes[node->input[0]].shape;
}

/* Products summed for one inference, padding included; 0 for what multiplies nothing. */
uint64_t graph_node_macs(const struct xrnpe_graph *graph, const struct graph_node *node);

/*
 * Append an empty node and return it; NULL: no memory or too many. The pointer is
 * good until the next call.
 */
struct graph_node *graph_append(struct xrnpe_graph *graph, enum graph_op op, const char *name,
				const char *op_name, struct xrnpe_error *error);

/* -ENOTSUP or so with a message that starts with file, node and operator. */
int graph_fail(const struct xrnpe_graph *graph, const struct graph_node *node,
	       struct xrnpe_error *error, int code, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/*
 * What is the same with fewer nodes: a NORM goes into the CONV or GEMM before it,
 * an ADD into a CONV that it alone reads, an ACTIVATION into any node but MAXPOOL, a
 * GEMM becomes a CONV, also over the image that a FLATTEN before it takes apart. Fails
 * where a parameter overflows.
 */
int graph_fold(struct xrnpe_graph *graph, struct xrnpe_error *error);

/* ---- FP32 execution ---------------------------------------------------- */

/* The tensors of one inference. Serves one thread. */
struct reference {
	const struct xrnpe_graph *graph;
	float **tensors;	/* by node, in C order */
	float *panel, *padded;	/* scratch */
};

struct reference *reference_new(const struct xrnpe_graph *graph);
void reference_free(struct reference *ref);

/*
 * Compute @node, which has the shapes of one of the graph, without its activation,
 * from the tensors @a and @b (not used if it reads only one).
 */
void reference_compute(struct reference *ref, const struct graph_node *node,
		       const float *a, const float *b, float *out);

/* Apply @activation in place. */
void reference_activate(const struct graph_activation *activation, float *values, size_t count);

/* Compute node @index from the tensors it reads. */
void reference_node(struct reference *ref, uint32_t index);

/* Compute all nodes; the input is in tensors[0]. */
void reference_run(struct reference *ref);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The graph: a network between its file and the compiler. Tensors, and nodes that
 * compute them by an operator (operator.h). Shapes are known from the start: a free
 * batch dimension is 1, others are given by the caller. Nodes are in an order in which
 * they can be computed: each reads constants, inputs and what nodes before it compute.
 */
#ifndef XRNPE_GRAPH_H
#define XRNPE_GRAPH_H

#include <string.h>

#include "xrnpe.h"

#define GRAPH_MAX_RANK 6
/* Most elements of one tensor that is computed, and of a constant. */
#define GRAPH_MAX_ELEMENTS ((size_t)1 << 26)
#define GRAPH_MAX_CONSTANT ((size_t)1 << 28)
/* Most elements of all constants that are read or computed on import. */
#define GRAPH_MAX_CONSTANTS ((size_t)1 << 30)
/* Most bytes of a model's file, and of one that it refers to. */
#define GRAPH_MAX_FILE ((size_t)1 << 30)
#define GRAPH_MAX_NODES (1u << 16)
#define GRAPH_MAX_TENSORS (1u << 18)

/* What names of tensors begin with that the library made up. */
#define GRAPH_OWN_NAME "xrnpe:"

/* No tensor: an optional input that is left out. */
#define GRAPH_NONE UINT32_MAX

/*
 * What an element is in memory. Every integer type of a file is GRAPH_INT here, half
 * and double are GRAPH_FLOAT.
 */
enum graph_type {
	GRAPH_FLOAT,	/* float */
	GRAPH_INT,	/* int64_t */
	GRAPH_BOOL,	/* uint8_t, 0 or 1 */
};

/* C order, outermost first; of rank 0: one element. A dimension may be 0 in a constant only. */
struct graph_shape {
	uint32_t rank;
	uint32_t dims[GRAPH_MAX_RANK];
};

/*
 * Scales that a file gives for a tensor, by format; NULL: none. A tensor that is computed has
 * one, weights have as many as output channels. Their limits leave room for quotients.
 */
#define GRAPH_MIN_SCALE 1e-15f
#define GRAPH_MAX_SCALE 1e15f

struct graph_scales {
	float *values[XRNPE_PRODUCT_FORMATS];
	uint32_t count[XRNPE_PRODUCT_FORMATS];
};

struct graph_tensor {
	char *name;		/* as in the file, UTF-8; never NULL */
	enum graph_type type;
	struct graph_shape shape;
	void *data;		/* of a constant, owned; NULL: it is computed, or an input */
	bool known;		/* type and shape are; false: nothing computes it yet, or what does
				 * is not supported */
	struct graph_scales *scales;	/* owned; NULL: the file gives none */
};

enum graph_attribute_kind {
	GRAPH_ATTRIBUTE_INT,
	GRAPH_ATTRIBUTE_FLOAT,
	GRAPH_ATTRIBUTE_STRING,	/* several: joined by spaces */
	GRAPH_ATTRIBUTE_INTS,
	GRAPH_ATTRIBUTE_FLOATS,
	GRAPH_ATTRIBUTE_TENSOR,
};

/* An attribute of a node as the file has it. */
struct graph_attribute {
	char *name;
	enum graph_attribute_kind kind;
	size_t count;		/* of ints or floats; else 1 */
	union {
		int64_t *ints;
		float *floats;
		char *string;
		uint32_t tensor;	/* a constant of the graph */
	};
};

/* A window that slides over one axis. */
struct graph_window {
	uint32_t kernel, stride, dilation;
	uint32_t pad_begin, pad_end;	/* may be less than windows reach: see ceil_mode */
};

/* Convolutions and pools: over the last @axes axes; the two before are batch and channels. */
struct graph_windows {
	uint32_t axes;		/* 1 or 2 */
	struct graph_window axis[2];
	uint32_t groups;	/* convolutions */
	bool count_padding;	/* AveragePool: padding counts in the divisor */
	bool by_columns;	/* MaxPool: indices of an image are counted down its columns */
};

/* What an operator found in the attributes and constants of its node. */
union graph_params {
	struct graph_windows windows;
	struct {
		float alpha, beta;
		bool trans_a, trans_b;
	} gemm;
	struct {
		float a, b;	/* as each operator says */
		bool flag;
	} scalar;
	uint32_t axis;
	struct {
		uint32_t axis;		/* the first that is normalised */
		float epsilon;
	} layer;
	struct {
		uint32_t groups;	/* of channels that are normalised together */
		float epsilon;
	} group;
	struct {
		uint32_t first, end;	/* axes that sum to one */
	} softmax;
	struct {
		bool reduced[GRAPH_MAX_RANK];
		bool keep;
	} reduce;
	uint32_t perm[GRAPH_MAX_RANK];
	struct {
		int64_t start[GRAPH_MAX_RANK], step[GRAPH_MAX_RANK];
	} slice;
	struct {
		int64_t begin[GRAPH_MAX_RANK];	/* negative: cut off */
		uint32_t mode;		/* see operators/join.c */
		float value;		/* where it is an attribute */
	} pad;
	struct {
		uint32_t axis;
		bool largest, sorted, last;
	} select;
	struct {
		double scale[GRAPH_MAX_RANK];	/* output over input */
		uint32_t mode, coordinates, nearest;	/* see operators/resize.h */
		float begin[GRAPH_MAX_RANK], end[GRAPH_MAX_RANK];	/* what is cropped, of 0 .. 1 */
		float cubic, outside;	/* the kernel's number, and what is outside of all */
		bool antialias, exclude;
	} resize;
	struct {
		uint32_t taps;		/* pixels taken along either axis */
		uint32_t padding;	/* see operators/grid.c */
		bool corners;		/* -1 and 1 are the centres of the pixels at the ends */
	} sample;
	struct {
		uint32_t size;
		bool column_row_depth;	/* mode CRD */
	} block;
};

/* What is applied to a node's result, in this order. */
struct graph_activation {
	enum xrnpe_activation kind;
	float slope;		/* LEAKY: x < 0 ? x * slope : x; PRELU: see GRAPH_SLOPES */
	bool clamps;		/* and then limits to lo .. hi, which are finite */
	float lo, hi;
};

struct operator;

struct graph_node {
	const struct operator *op;
	char *name;		/* for messages and tables: of the node, or of its first output */
	char *op_names;		/* the operators of the file it stands for: "Conv+Relu" */
	uint32_t *inputs;	/* tensors, or GRAPH_NONE */
	uint32_t input_count;
	uint32_t *outputs;	/* GRAPH_NONE: nobody asks for it */
	uint32_t output_count;	/* at least 1 */
	struct graph_attribute *attributes;
	uint32_t attribute_count;
	union graph_params params;
	size_t scratch;		/* bytes that computing it needs beside inputs and outputs */
	char *unsupported;	/* while the graph is built: why @op is NULL */
	/*
	 * Set by fold.c only. @residual: input GRAPH_RESIDUAL is added to the result before the
	 * activation. The activation is that of the first output.
	 */
	bool residual;
	size_t residual_first;	/* place_pieces.c: element, in C order, that it is added from */
	struct graph_activation activation;
};

/* Inputs of products that were other nodes'; ONNX has fewer. */
enum {
	GRAPH_OFFSETS = 2,	/* of MatMul; Conv and Gemm have such. Constant, by element of the last axis */
	GRAPH_RESIDUAL = 3,	/* of the output's shape, unless node->residual_first says else */
	GRAPH_SLOPES = 4,	/* of XRNPE_ACT_PRELU: constant, finite, by element of axis 1 */
};

struct xrnpe_graph {
	char *name;		/* the file, for messages */
	int64_t opset;		/* version of ONNX's operator set */
	struct graph_tensor *tensors;
	uint32_t tensor_count, tensor_room;
	struct graph_node *nodes;
	uint32_t node_count, node_room;
	uint32_t *inputs, *outputs;	/* tensors */
	uint32_t input_count, output_count;
	struct xrnpe_tensor_info *infos;	/* of inputs, then outputs; names are the tensors' */
	struct graph_bytes *bytes;	/* by input: see bytes.h; NULL: all take reals */
	void *names;		/* tensors by name; see graph.c */
	size_t constants;	/* elements of those added so far */
};

/* ---- shapes ------------------------------------------------------------ */

static inline size_t graph_count(const struct graph_shape *shape)
{
	size_t count = 1;

	for (uint32_t i = 0; i < shape->rank; i++)
		count *= shape->dims[i];
	return count;
}

static inline bool graph_shape_equal(const struct graph_shape *a, const struct graph_shape *b)
{
	return a->rank == b->rank && !memcmp(a->dims, b->dims, a->rank * sizeof(a->dims[0]));
}

static inline size_t graph_type_size(enum graph_type type)
{
	return type == GRAPH_FLOAT ? sizeof(float) : type == GRAPH_INT ? sizeof(int64_t) : 1;
}

/* Room for graph_shape_text(). */
#define GRAPH_SHAPE_TEXT 80

/* "1 x 3 x 224 x 224", "scalar" for rank 0. Returns @text. */
const char *graph_shape_text(const struct graph_shape *shape, char text[GRAPH_SHAPE_TEXT]);

/* ---- tensors and nodes ------------------------------------------------- */

static inline struct graph_tensor *graph_input(const struct xrnpe_graph *graph,
					       const struct graph_node *node, uint32_t i)
{
	return i < node->input_count && node->inputs[i] != GRAPH_NONE ?
	       &graph->tensors[node->inputs[i]] : NULL;
}

static inline struct graph_tensor *graph_output(const struct xrnpe_graph *graph,
						const struct graph_node *node, uint32_t i)
{
	return i < node->output_count && node->outputs[i] != GRAPH_NONE ?
	       &graph->tensors[node->outputs[i]] : NULL;
}

/* Products summed for one inference, padding included; 0 for what multiplies nothing. */
uint64_t graph_node_macs(const struct xrnpe_graph *graph, const struct graph_node *node);

/*
 * "file: node name (Op+Op): ..." with the rest from @format. Names are made fit for a
 * terminal. Returns @code.
 */
int graph_fail(const struct xrnpe_graph *graph, const struct graph_node *node,
	       struct xrnpe_error *error, int code, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* What graph_fail() added to the node in @error's message. */
const char *graph_reason(const struct xrnpe_graph *graph, const struct graph_node *node,
			 const struct xrnpe_error *error);

/* @name with control characters replaced, cut at a character's end. Returns @text. */
const char *graph_printable(const char *name, char text[64]);

/* An empty graph called @name; NULL: no memory. Freed by xrnpe_graph_free(). */
struct xrnpe_graph *graph_new(const char *name);

/*
 * Append a tensor, unknown yet, that takes @name (from malloc(), freed on failure), or one
 * made up if that is NULL. -EINVAL: there is one of that name. Pointers to tensors are good
 * until the next call.
 */
int graph_add_tensor(struct xrnpe_graph *graph, char *name, uint32_t *index,
		     struct xrnpe_error *error);

/* The scales of a tensor in @format as the file gives them; NULL: it does not. */
static inline const float *graph_scales_of(const struct graph_tensor *tensor,
					   enum xrnpe_format format)
{
	return tensor->scales ? tensor->scales->values[format] : NULL;
}

/* Forget the scales of a tensor, whose values are others now. */
void graph_drop_scales(struct graph_tensor *tensor);

/* What programs are told of a tensor; the name is its own. */
struct xrnpe_tensor_info graph_info(const struct graph_tensor *tensor);

/* The tensor called @name; GRAPH_NONE: there is none. */
uint32_t graph_find(const struct xrnpe_graph *graph, const char *name);

/* Append a node and take all it owns, also on failure. Moves nodes, as above. */
int graph_add_node(struct xrnpe_graph *graph, const struct graph_node *node,
		   struct xrnpe_error *error);

/* Free what a node, or some attributes, own. */
void graph_clear_node(struct graph_node *node);
void graph_clear_attributes(struct graph_attribute *attributes, uint32_t count);

/* Number of the nodes that read a tensor, and of outputs that are it; from malloc(). */
uint32_t *graph_readers(const struct xrnpe_graph *graph);

/* Drop nodes whose outputs nobody reads, and constants likewise. Returns 0 or -ENOMEM. */
int graph_drop_dead(struct xrnpe_graph *graph, struct xrnpe_error *error);

/*
 * Whether formats hold @value beside other numbers: it is finite, and not as large as what a Softmax
 * is to make nothing of.
 */
static inline bool graph_bounds(float value)
{
	return value >= -256 && value <= 256;
}

/* Whether constant @tensor is of floats of which that is true. */
bool graph_is_bounded(const struct graph_tensor *tensor);

/* ---- fold.c ------------------------------------------------------------ */

/*
 * The same function with fewer nodes: normalisations go into the convolutions before
 * them, additions and activations into what computes their input, products of constants
 * become convolutions, and what nobody reads is dropped. Fails where a parameter overflows.
 */
int graph_fold(struct xrnpe_graph *graph, struct xrnpe_error *error);

/* What @node's operator does as an activation, of floats; false: it is none. */
bool graph_as_activation(const struct graph_node *node, struct graph_activation *activation);

/* ---- reference.c ------------------------------------------------------- */

/* The tensors of one inference in binary32. Serves one thread. */
struct reference {
	const struct xrnpe_graph *graph;
	void **tensors;		/* by tensor, in C order; constants are the graph's */
	void *scratch;
};

struct reference *reference_new(const struct xrnpe_graph *graph);
void reference_free(struct reference *ref);

/* Free all but the tensors in @keep (by tensor): others are NULL, and nothing can be computed. */
void reference_reduce(struct reference *ref, const bool *keep);

/*
 * Set tensor @tensor from floats, or get it; integers and truths are given as floats.
 * -EINVAL: it takes integers, or truths, and a value is none.
 */
int reference_set(struct reference *ref, uint32_t tensor, const float *values);

/* The same of the @i-th input of @graph, or of a copy, as programs give it: maybe as bytes. */
int reference_set_input(struct reference *ref, const struct xrnpe_graph *graph, uint32_t i,
			const float *values);
/* What that input takes, for a message, after -EINVAL: "integers". */
const char *reference_takes(const struct xrnpe_graph *graph, uint32_t i);

void reference_get(const struct reference *ref, uint32_t tensor, float *values);

/*
 * Compute @node, which has the tensors of one of the graph, from @tensors to @tensors
 * (both by tensor), without residual and activation.
 */
void reference_compute(struct reference *ref, const struct graph_node *node,
		       void *const *tensors);

/* Add @added, the residual of @node, to @values, its first output. */
void reference_add(const struct xrnpe_graph *graph, const struct graph_node *node,
		   const float *added, float *values);

/* Apply the activation of @node in place to @values, its first output. A NaN stays one. */
void reference_activate(const struct xrnpe_graph *graph, const struct graph_node *node,
			float *values);

/* Compute node @index without its activation, and whole. */
void reference_linear(struct reference *ref, uint32_t index);
void reference_node(struct reference *ref, uint32_t index);

/* Compute all nodes; the inputs are set. */
void reference_run(struct reference *ref);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Operators. One is a row of a table in the file of its family (operators/), which
 * says how its node is checked and shaped, and how it is computed in binary32. The same
 * computation serves constants when the graph is built, the reference, and what of a
 * compiled model runs on the CPU. So it gives the same bits on every host: only + - * /
 * and sqrtf of binary32 (and what elementary.h makes of them), never contracted, in an
 * order that depends on nothing but shapes.
 */
#ifndef XRNPE_OPERATOR_H
#define XRNPE_OPERATOR_H

#include <errno.h>
#include <math.h>

#include "error.h"
#include "graph.h"

/* A node while it is added to a graph. */
struct op {
	struct xrnpe_graph *graph;
	struct graph_node *node;
	struct xrnpe_error *error;
};

/* A computation: the node's tensors and where they are. */
struct op_call {
	const struct xrnpe_graph *graph;
	const struct graph_node *node;
	void *const *tensors;	/* by tensor of the graph */
	void *scratch;		/* node->scratch bytes, aligned to 64 */
};

struct operator {
	const char *name;	/* ONNX's */
	/* At most XRNPE_OPERATOR_ANY: any number. */
	uint8_t min_inputs, max_inputs;
	uint8_t max_outputs;
	/* Names of all attributes that it may have, separated by spaces. */
	const char *attributes;
	/*
	 * Check inputs and attributes, set node->params, node->scratch, and by op_output()
	 * type and shape of every output that there is. Inputs' types and shapes are known.
	 * Returns 0 or op_fail(): -ENOTSUP for what ONNX allows and this does not.
	 */
	int (*infer)(const struct op *op);
	/* Compute all outputs. Cannot fail. NULL: infer() replaced the node (see build.h). */
	void (*compute)(const struct op_call *call);
	/* The result depends on the shapes of the inputs alone. */
	bool of_shapes;
	/* From this input on it depends on their types alone; 0: on the values of all. */
	uint8_t types_from;
	/* The operator set since which it means what it does here; 0: always. */
	uint8_t since;
	/* Products summed to make the outputs; NULL: none. */
	uint64_t (*macs)(const struct xrnpe_graph *graph, const struct graph_node *node);
};

/* The row of an ONNX operator; NULL: there is none. */
const struct operator *operator_find(const char *name);

/* The number of @node's inputs but for those that were folded into it. */
static inline uint32_t operator_inputs(const struct graph_node *node)
{
	uint8_t most = node->op->max_inputs;

	return most < XRNPE_OPERATOR_ANY && most < node->input_count ? most : node->input_count;
}

/* ---- for infer() ------------------------------------------------------- */

/* graph_fail() for the node. */
#define op_fail(op, code, ...) \
	graph_fail((op)->graph, (op)->node, (op)->error, code, __VA_ARGS__)

static inline const struct graph_tensor *op_input(const struct op *op, uint32_t i)
{
	return graph_input(op->graph, op->node, i);
}

static inline bool op_has_input(const struct op *op, uint32_t i)
{
	return op_input(op, i) != NULL;
}

/*
 * Set type and shape of output @i, if it exists. Whoever called infer() checks the size.
 * Returns 0, so that infer() may end with it.
 */
int op_output(const struct op *op, uint32_t i, enum graph_type type,
	      const struct graph_shape *shape);

/* That input @i is there, of type @type; @what it is, for the message. */
int op_check_input(const struct op *op, uint32_t i, enum graph_type type, const char *what);

/*
 * Attributes. What is absent gives the fallback, or leaves the values as they are. Wrong
 * kind: -EINVAL; out of @min .. @max: -ENOTSUP.
 */
const struct graph_attribute *op_attribute(const struct op *op, const char *name);
int op_int(const struct op *op, const char *name, int64_t min, int64_t max, int64_t fallback,
	   int64_t *value);
int op_bool(const struct op *op, const char *name, bool fallback, bool *value);
int op_float(const struct op *op, const char *name, float fallback, float *value);
int op_ints(const struct op *op, const char *name, int64_t min, int64_t max, size_t count,
	    int64_t *values);
/* One of the words in @choices (separated by spaces): its index; the first is the fallback. */
int op_choice(const struct op *op, const char *name, const char *choices, uint32_t *index);
/* Axis from @name, negative counted from the end of @rank axes; @rank itself only if @end. */
int op_axis(const struct op *op, const char *name, uint32_t rank, bool end, int64_t fallback,
	    uint32_t *axis);

/*
 * A list of integers that is an attribute in old operator sets and a constant input in
 * newer ones. @input: GRAPH_NONE if never an input; @name: NULL if never an attribute.
 *
 * @values: from malloc(); NULL: it is absent
 */
int op_list(const struct op *op, const char *name, uint32_t input, int64_t **values,
	    size_t *count);

/* The constant input @i, of @type; an error says @what it is. */
int op_constant(const struct op *op, uint32_t i, enum graph_type type, const char *what,
		const struct graph_tensor **tensor);

/* One number from a constant input of one element; @value keeps its own if it is absent. */
int op_constant_float(const struct op *op, uint32_t i, const char *what, float *value);

/* A rank up to 6 by NumPy's rules of broadcasting; false: the shapes do not fit. */
bool op_broadcast(const struct graph_shape *a, const struct graph_shape *b,
		  struct graph_shape *out);

/* ---- for compute() ----------------------------------------------------- */

static inline const void *call_in(const struct op_call *call, uint32_t i)
{
	return i < call->node->input_count && call->node->inputs[i] != GRAPH_NONE ?
	       call->tensors[call->node->inputs[i]] : NULL;
}

static inline void *call_out(const struct op_call *call, uint32_t i)
{
	return i < call->node->output_count && call->node->outputs[i] != GRAPH_NONE ?
	       call->tensors[call->node->outputs[i]] : NULL;
}

static inline const struct graph_tensor *call_input(const struct op_call *call, uint32_t i)
{
	return graph_input(call->graph, call->node, i);
}

static inline const struct graph_tensor *call_output(const struct op_call *call, uint32_t i)
{
	return graph_output(call->graph, call->node, i);
}

/* Towards zero; what int64_t cannot hold becomes its nearest value, a NaN zero. */
static inline int64_t call_int(float value)
{
	if (isnan(value))
		return 0;
	return value >= 0x1p63f ? INT64_MAX : value < -0x1p63f ? INT64_MIN : (int64_t)value;
}

/*
 * Elements to the next one along each of the @to's axes, of a tensor of shape @from
 * broadcast to it: 0 along axes that it lacks or where it has one element.
 */
void call_strides(const struct graph_shape *from, const struct graph_shape *to,
		  size_t strides[GRAPH_MAX_RANK]);

/* Elements from one to the next along each axis of a tensor in C order. */
void call_packed(const struct graph_shape *shape, ptrdiff_t strides[GRAPH_MAX_RANK]);

/*
 * out[i0, i1, ...] = in[start + i0 * strides[0] + i1 * strides[1] + ...] for elements of
 * @size bytes (1, 4 or 8): the one loop behind everything that only moves elements.
 */
void call_gather(const struct graph_shape *shape, size_t size, const void *in, ptrdiff_t start,
		 const ptrdiff_t strides[GRAPH_MAX_RANK], void *out);

#endif

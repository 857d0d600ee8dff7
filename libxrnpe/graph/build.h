/* SPDX-License-Identifier: MIT */
/*
 * Building a graph from a file. A reader (onnx.c, tflite/) knows its file and nothing of
 * what operators compute; it adds tensors and nodes here, in the file's order. A node whose
 * inputs are all constant is computed at once and is none. What is not supported is noted,
 * and build_end() lists all of it.
 */
#ifndef XRNPE_BUILD_H
#define XRNPE_BUILD_H

#include "graph.h"

/*
 * Make tensor @index a constant of zeros, for the caller to fill. Checked: the rank, and
 * that it has at most GRAPH_MAX_CONSTANT elements. Returns its data by @data.
 */
int build_constant(struct xrnpe_graph *graph, uint32_t index, enum graph_type type,
		   const struct graph_shape *shape, void **data, struct xrnpe_error *error);

/* Make tensor @index an input of the graph. */
int build_input(struct xrnpe_graph *graph, uint32_t index, enum graph_type type,
		const struct graph_shape *shape, struct xrnpe_error *error);

/*
 * The shape of input @name from what the file says and what the caller gave for it. A first
 * dimension that both leave open is 1, the batch.
 *
 * @dims: @rank sizes from the file, of which 0 is open; NULL: it says nothing
 */
int build_input_shape(const struct xrnpe_graph *graph, const struct xrnpe_graph_options *options,
		      const char *name, const int64_t *dims, size_t rank,
		      struct graph_shape *shape, struct xrnpe_error *error);

/* That each shape that was given is one of an input that there is. */
int build_check_shapes(const struct xrnpe_graph *graph, const struct xrnpe_graph_options *options,
		       struct xrnpe_error *error);

/* A node to be added. All that it points to stays the caller's, but attributes' memory. */
struct build_node {
	const char *name;	/* may be empty */
	const char *op;		/* ONNX's name of the operator */
	const uint32_t *inputs;
	uint32_t input_count;
	const uint32_t *outputs;	/* tensors that are not known yet, or GRAPH_NONE */
	uint32_t output_count;
	struct graph_attribute *attributes;	/* an array that is the caller's */
	uint32_t attribute_count;
};

/*
 * Add a node. Takes what the attributes point to, also on failure. Returns 0 also for a
 * node that is not supported; then its outputs stay unknown, and so do those of nodes
 * that read them.
 */
int build_node(struct xrnpe_graph *graph, const struct build_node *node,
	       struct xrnpe_error *error);

/*
 * The same for infer() of an operator that is made of others (LSTM): adds nodes in front
 * of its own, which build_node() drops. @name: of its node; @output: its node's, or new.
 */
int build_part(struct xrnpe_graph *graph, const char *name, const char *op, uint32_t input_count,
	       const uint32_t *inputs, uint32_t output, struct graph_attribute *attributes,
	       uint32_t attribute_count, struct xrnpe_error *error);

/* A node that the reader knows not to be supported, and why: as build_node() else. */
int build_unsupported(struct xrnpe_graph *graph, const struct build_node *node, const char *why,
		      struct xrnpe_error *error);

/* Make the tensor called @name an output of the graph. -EINVAL: there is none. */
int build_output(struct xrnpe_graph *graph, const char *name, struct xrnpe_error *error);

/*
 * End: drops nodes that nobody reads, and fills the infos. Fails with -ENOTSUP where what
 * is left has something that is not supported, with a message that lists all of it.
 */
int build_end(struct xrnpe_graph *graph, struct xrnpe_error *error);

#endif

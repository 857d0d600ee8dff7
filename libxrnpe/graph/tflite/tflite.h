/* SPDX-License-Identifier: MIT */
/* Reads TensorFlow Lite models. */
#ifndef XRNPE_TFLITE_H
#define XRNPE_TFLITE_H

#include "graph.h"

/* Whether the bytes say that they are such a model. */
bool tflite_is(const void *data, size_t size);

/*
 * Read the @size bytes at @data into @graph, which is new, as onnx_read() does: everything is
 * checked, nothing is folded but constants. The first subgraph is the network.
 */
int tflite_read(struct xrnpe_graph *graph, const void *data, size_t size,
		const struct xrnpe_graph_options *options, struct xrnpe_error *error);

#endif

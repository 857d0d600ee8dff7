/* SPDX-License-Identifier: MIT */
/* Reads and writes ONNX files. */
#ifndef XRNPE_ONNX_H
#define XRNPE_ONNX_H

#include "graph.h"

/*
 * Read the @size bytes at @data as an ONNX model into @graph, which is new. Everything in
 * the file is checked: the graph is consistent whatever the bytes. Nothing is folded but
 * constants.
 *
 * @directory: where data outside the file lie; NULL: there are none
 */
int onnx_read(struct xrnpe_graph *graph, const void *data, size_t size, const char *directory,
	      const struct xrnpe_graph_options *options, struct xrnpe_error *error);

/*
 * Write @graph as an ONNX model that onnx_read() makes the same of, node by node; what was
 * folded into a node stands behind it again.
 *
 * @first: room for node_count + 1; on return the index of each node's first one in the
 *	file, and of the end
 * @data: from malloc()
 */
int onnx_write(const struct xrnpe_graph *graph, uint32_t *first, uint8_t **data, size_t *size,
	       struct xrnpe_error *error);

#endif

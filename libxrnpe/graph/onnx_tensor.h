/* SPDX-License-Identifier: MIT */
/* Constants of ONNX files. */
#ifndef XRNPE_ONNX_TENSOR_H
#define XRNPE_ONNX_TENSOR_H

#include "graph.h"
#include "onnx.pb-c.h"

/* What an element type of ONNX is in a graph; false: nothing. */
bool onnx_type(int32_t type, enum graph_type *made);

/*
 * Make tensor @index, unknown yet, the constant that @proto is. Returns 0; -EINVAL: it is
 * malformed; -ENOTSUP: an element type that is not supported, or data that are not found.
 *
 * @directory: where external data lie; NULL: nowhere
 */
int onnx_constant(struct xrnpe_graph *graph, uint32_t index, const Onnx__TensorProto *proto,
		  const char *directory, struct xrnpe_error *error);

#endif

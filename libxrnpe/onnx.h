/* SPDX-License-Identifier: MIT */
/* The ONNX importer. */
#ifndef XRNPE_ONNX_H
#define XRNPE_ONNX_H

#include "graph.h"

/*
 * Make a graph with one node a supported operator, nothing folded. Everything in
 * the file is checked: the result is consistent whatever the bytes. Errors as
 * xrnpe_graph_parse().
 */
int onnx_import(const char *name, const void *data, size_t size, struct xrnpe_graph **graph,
		struct xrnpe_error *error);

#endif

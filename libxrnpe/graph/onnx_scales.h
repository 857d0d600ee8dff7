/* SPDX-License-Identifier: MIT */
/*
 * Scales of tensors in ONNX files: quantization annotations, whose keys are the prefix and
 * the name of a format, and whose values name initializers. Documentation/training.rst.
 */
#ifndef XRNPE_ONNX_SCALES_H
#define XRNPE_ONNX_SCALES_H

#include "graph.h"
#include "onnx.pb-c.h"

/* "xrnpe:p8" */
#define ONNX_SCALES_KEY GRAPH_OWN_NAME

/*
 * Give the graph's tensors the scales that @proto annotates them with. Its initializers have
 * been read. Annotations with other keys are others' business.
 */
int onnx_read_scales(struct xrnpe_graph *graph, const Onnx__GraphProto *proto,
		     struct xrnpe_error *error);

#endif

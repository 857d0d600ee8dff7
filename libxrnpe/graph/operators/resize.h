/* SPDX-License-Identifier: MIT */
/* Between the files of Resize: where elements come from, and filters. */
#ifndef XRNPE_RESIZE_H
#define XRNPE_RESIZE_H

#include "operator.h"

enum resize_mode {
	RESIZE_NEAREST,
	RESIZE_LINEAR,
	RESIZE_CUBIC,
};

enum resize_coordinates {
	HALF_PIXEL,
	PYTORCH_HALF_PIXEL,
	ALIGN_CORNERS,
	ASYMMETRIC,
	TF_HALF_PIXEL_FOR_NN,
	HALF_PIXEL_SYMMETRIC,
	TF_CROP_AND_RESIZE,
};

/* Where element @i of @out along @axis lies among the @in elements; it may be outside. */
double resize_source(const struct graph_node *node, uint32_t axis, uint32_t in, uint32_t out,
		     uint32_t i);

/* Which of the @in elements along @axis mode nearest takes for what lies at @at. */
uint32_t resize_nearest(const struct graph_node *node, uint32_t axis, uint32_t in, double at);

/*
 * Set node->scratch for an output of @shape, of a node that resize_is_filter(). -ENOTSUP: what lies
 * between input and output is too large.
 */
int resize_prepare_filter(const struct op *op, const struct graph_shape *shape);

/* Compute such a node. */
void resize_filter(const struct op_call *call);

#endif

/* SPDX-License-Identifier: MIT */
/* Windows that slide over the last axes of a tensor: what convolutions and pools share. */
#ifndef XRNPE_WINDOWS_H
#define XRNPE_WINDOWS_H

#include "operator.h"

/*
 * Read kernel_shape, strides, dilations, pads, auto_pad and ceil_mode, set the node's
 * params.windows, and the dimensions of @out behind the first two from the input's.
 *
 * @kernel: its sizes where the weights tell them; NULL: the attribute kernel_shape does
 */
int windows_infer(const struct op *op, const uint32_t *kernel, struct graph_shape *out);

/* The attributes of a window without what follows from the input: for ConvTranspose. */
int windows_attributes(const struct op *op, const uint32_t *kernel);

/* Kernel, strides and dilations of axis @i, counted so that there are always two. */
static inline struct graph_window windows_axis(const struct graph_windows *windows, uint32_t i)
{
	static const struct graph_window none = { .kernel = 1, .stride = 1, .dilation = 1 };
	uint32_t lead = 2 - windows->axes;

	return i < lead ? none : windows->axis[i - lead];
}

/* Taps of one window along one axis: elements @first, @first + dilation ... */
struct window_taps {
	size_t first, count;
	uint32_t padded;	/* taps on image and padding, not behind it */
};

/* Those of window @out on @in elements (pool.c). */
struct window_taps window_taps(const struct graph_window *axis, size_t in, size_t out);

/* A tensor as @count images of one channel, @height lines of @width elements. */
struct window_images {
	size_t count, height, width;
};

static inline struct window_images window_images(const struct graph_shape *shape)
{
	return (struct window_images){
		.count = (size_t)shape->dims[0] * shape->dims[1],
		.height = shape->rank == 4 ? shape->dims[2] : 1,
		.width = shape->dims[shape->rank - 1],
	};
}

#endif

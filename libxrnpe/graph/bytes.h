/* SPDX-License-Identifier: MIT */
/*
 * Inputs that programs give as bytes. The network takes reals all the same: those of an image
 * of which each channel has a mean and a scale.
 */
#ifndef XRNPE_BYTES_H
#define XRNPE_BYTES_H

#include "graph.h"

struct graph_bytes {
	uint32_t height, width, channels;
	bool first;		/* the network's tensor has channels outermost, not innermost */
	bool planar;		/* so have the bytes */
	float *mean, *scale;	/* by channel: a real is (byte - mean) * scale */
};

/* Make inputs of @graph ones of bytes, as @options say. */
int bytes_set(struct xrnpe_graph *graph, const struct xrnpe_graph_options *options,
	      struct xrnpe_error *error);

void bytes_free(struct xrnpe_graph *graph);

/* The bytes of the @i-th input, or NULL: it takes reals. */
const struct graph_bytes *bytes_input(const struct xrnpe_graph *graph, uint32_t i);

/* From bytes, as floats, to the network's reals in C order. -EINVAL: one is no byte. */
int bytes_decode(const struct graph_bytes *bytes, const float *values, float *reals);

/* The bytes that decode to @reals. */
void bytes_encode(const struct graph_bytes *bytes, const float *reals, uint8_t *to);

#endif

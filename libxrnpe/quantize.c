// SPDX-License-Identifier: MIT
/* Weights and tensors in the device's formats and layout. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"

size_t quantize_tensor_size(const struct graph_shape *shape, enum xrnpe_format format)
{
	return xrnpe_row_bytes(format, shape->c) * shape->h * shape->w;
}

/* One pixel at a time; its channels lie h * w apart in C x H x W order. */
#define CHUNK 64

void quantize_pack(const struct graph_shape *shape, enum xrnpe_format format, float scale,
		   const float *values, void *memory)
{
	size_t pixels = (size_t)shape->h * shape->w;
	uint32_t status = 0;
	float chunk[CHUNK];
	uint8_t *row = memory;

	for (size_t p = 0; p < pixels; p++, row += xrnpe_row_bytes(format, shape->c)) {
		for (uint32_t c = 0; c < shape->c; c += CHUNK) {
			uint32_t count = shape->c - c < CHUNK ? shape->c - c : CHUNK;

			for (uint32_t i = 0; i < count; i++)
				chunk[i] = values[(c + i) * pixels + p] / scale;
			xrnpe_encode_row(format, chunk, row + xrnpe_row_bytes(format, c), count,
					 &status);
		}
	}
}

void quantize_unpack(const struct graph_shape *shape, enum xrnpe_format format, float scale,
		     const void *memory, float *values)
{
	size_t pixels = (size_t)shape->h * shape->w;
	const uint8_t *row = memory;
	float chunk[CHUNK];

	for (size_t p = 0; p < pixels; p++, row += xrnpe_row_bytes(format, shape->c)) {
		for (uint32_t c = 0; c < shape->c; c += CHUNK) {
			uint32_t count = shape->c - c < CHUNK ? shape->c - c : CHUNK;

			xrnpe_decode_row(format, row + xrnpe_row_bytes(format, c), chunk, count);
			for (uint32_t i = 0; i < count; i++)
				values[(c + i) * pixels + p] = chunk[i] * scale;
		}
	}
}

void quantize_round(enum xrnpe_format format, float scale, const float *values, size_t count,
		    float *rounded)
{
	uint32_t status = 0;
	float codes[CHUNK];

	for (size_t first = 0; first < count; first += CHUNK, values += CHUNK, rounded += CHUNK) {
		size_t some = count - first < CHUNK ? count - first : CHUNK;

		for (size_t i = 0; i < some; i++)
			rounded[i] = values[i] / scale;
		xrnpe_encode_row(format, rounded, codes, some, &status);
		xrnpe_decode_row(format, codes, rounded, some);
		for (size_t i = 0; i < some; i++)
			rounded[i] *= scale;
	}
}

void quantize_free(struct quantized *quantized)
{
	free(quantized->codes);
	free(quantized->scales);
	*quantized = (struct quantized){ 0 };
}

/* A depthwise product with one: all channels and taps share a single code. */
static int quantize_ones(const struct graph_node *node, enum xrnpe_format format,
			 struct quantized *out)
{
	uint32_t status = 0;

	out->size = xrnpe_row_bytes(format, 1);
	out->codes = calloc(1, out->size);
	if (!out->codes)
		return -ENOMEM;
	xrnpe_store(format, out->codes, 0, xrnpe_encode(format, 1, &status));
	for (uint32_t c = 0; c < node->shape.c; c++)
		out->scales[c] = node->op == GRAPH_NORM ? node->weight[c] :
				 1.0f / (float)(node->window.kernel_h * node->window.kernel_w);
	return 0;
}

int quantize_node(const struct xrnpe_graph *graph, const struct graph_node *node,
		  const double *energy, enum xrnpe_format format, struct quantized *out)
{
	uint32_t taps, in_c, out_c = node->shape.c;
	float *row, *scratch;
	double *importance;
	uint32_t status = 0;
	size_t k;

	*out = (struct quantized){ .scales = malloc(out_c * sizeof(*out->scales)) };
	if (!out->scales)
		return -ENOMEM;
	if (node->op != GRAPH_CONV)
		return quantize_ones(node, format, out);

	taps = node->window.kernel_h * node->window.kernel_w;
	in_c = graph_input_shape(graph, node)->c / node->groups;
	k = (size_t)taps * in_c;
	out->pixel_stride = (uint32_t)xrnpe_row_bytes(format, in_c);
	out->row_stride = taps * out->pixel_stride;
	out->size = (size_t)out_c * out->row_stride;
	out->codes = calloc(1, out->size);
	row = malloc(3 * k * sizeof(*row));
	importance = malloc(k * sizeof(*importance));
	if (!out->codes || !row || !importance) {
		free(row);
		free(importance);
		return -ENOMEM;
	}
	scratch = row + k;
	for (uint32_t n = 0; n < out_c; n++) {
		const float *weight = node->weight + n * k;
		uint8_t *codes = (uint8_t *)out->codes + (size_t)n * out->row_stride;
		uint32_t group = n / (out_c / node->groups);

		/* An error counts as much as what it is multiplied by. */
		for (size_t i = 0; i < k; i++)
			importance[i] = energy[group * in_c + i / taps];
		out->scales[n] = calibrate_scale(format, weight, importance, k, scratch);
		for (uint32_t t = 0; t < taps; t++) {
			for (uint32_t c = 0; c < in_c; c++)
				row[c] = weight[c * taps + t] / out->scales[n];
			xrnpe_encode_row(format, row, codes + t * out->pixel_stride, in_c, &status);
		}
	}
	free(row);
	free(importance);
	return 0;
}

void quantize_restore(const struct xrnpe_graph *graph, const struct graph_node *node,
		      const struct quantized *quantized, enum xrnpe_format format,
		      float *weight)
{
	uint32_t in_c = graph_input_shape(graph, node)->c / node->groups;
	uint32_t taps = node->window.kernel_h * node->window.kernel_w;
	float chunk[CHUNK];

	for (uint32_t n = 0; n < node->shape.c; n++, weight += (size_t)in_c * taps) {
		const uint8_t *row = (const uint8_t *)quantized->codes + (size_t)n * quantized->row_stride;

		for (uint32_t t = 0; t < taps; t++, row += quantized->pixel_stride) {
			for (uint32_t c = 0; c < in_c; c += CHUNK) {
				uint32_t count = in_c - c < CHUNK ? in_c - c : CHUNK;

				xrnpe_decode_row(format, row + xrnpe_row_bytes(format, c), chunk, count);
				for (uint32_t i = 0; i < count; i++)
					weight[(size_t)(c + i) * taps + t] = chunk[i] *
									     quantized->scales[n];
			}
		}
	}
}

// SPDX-License-Identifier: MIT
/* Numbers in the device's formats: weights, laid out as commands read them, and tensors. */
#include <errno.h>
#include <stdlib.h>

#include "compile.h"

/* Values that are rounded at a time; even, so that each chunk begins on a byte. */
#define CHUNK 64

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

bool quantize_is_exact(const struct weights *weights, enum xrnpe_format format)
{
	uint32_t status = 0;

	for (uint32_t t = 0; weights->fixed && format < XRNPE_FORMAT_P16 && t < weights->taps; t++) {
		double value = weights->fixed[t];

		if (xrnpe_decode(format, xrnpe_encode(format, value, &status)) != value)
			return false;
	}
	return true;
}

/* All channels share their codes, and if all weights are one all taps do. */
static int quantize_fixed(const struct weights *weights, enum xrnpe_format format,
			  struct quantized *out)
{
	uint32_t status = 0, count = weights->fixed ? weights->taps : 1;

	out->pixel_stride = weights->fixed ? (uint32_t)xrnpe_row_bytes(format, 1) : 0;
	out->size = count * xrnpe_row_bytes(format, 1);
	out->codes = calloc(1, out->size);
	if (!out->codes)
		return -ENOMEM;
	for (uint32_t t = 0; t < count; t++)
		xrnpe_store(format, (uint8_t *)out->codes + t * out->pixel_stride, 0,
			    xrnpe_encode(format, weights->fixed ? weights->fixed[t] : 1, &status));
	for (uint32_t n = 0; n < weights->out_c; n++)
		out->scales[n] = weights->fixed ? 1 : 1.0f / (float)weights->taps;
	return 0;
}

/* The first weight of output channel @n in the tensor. */
static size_t row_offset(const struct weights *weights, uint32_t n)
{
	uint32_t channels = weights->out_c / weights->groups;

	return n / channels * weights->stride_group + n % channels * weights->stride_n;
}

/* Where tap @t of a channel is from its first weight; false: nowhere, it is zero. */
static bool tap_offset(const struct weights *weights, uint32_t t, size_t *offset)
{
	uint32_t tap = weights->order ? weights->order[t] : t;

	*offset = tap * weights->stride_t;
	return tap != GRAPH_NONE;
}

/* The weights of output channel @n in the order in which the device reads them. */
static void gather_row(const struct weights *weights, const float *values, uint32_t n, float *row)
{
	const float *from = values + row_offset(weights, n);

	for (uint32_t t = 0; t < weights->taps; t++) {
		size_t tap;
		bool there = tap_offset(weights, t, &tap);

		for (uint32_t c = 0; c < weights->in_c; c++)
			*row++ = there ? from[c * weights->stride_c + tap] : 0;
	}
}

int quantize_weights(const struct weights *weights, const float *values, const double *energy,
		     enum xrnpe_format format, struct quantized *out)
{
	size_t k = (size_t)weights->taps * weights->in_c;
	float *row, *scratch;
	double *importance;
	uint32_t status = 0;

	*out = (struct quantized){ .scales = malloc(weights->out_c * sizeof(*out->scales)) };
	if (!out->scales)
		return -ENOMEM;
	if (weights->tensor == GRAPH_NONE)
		return quantize_fixed(weights, format, out);

	out->pixel_stride = (uint32_t)xrnpe_row_bytes(format, weights->in_c);
	out->row_stride = weights->taps * out->pixel_stride;
	out->size = (size_t)weights->out_c * out->row_stride;
	out->codes = calloc(1, out->size);
	row = malloc(3 * k * sizeof(*row));
	importance = malloc(k * sizeof(*importance));
	if (!out->codes || !row || !importance) {
		free(row);
		free(importance);
		return -ENOMEM;
	}
	scratch = row + k;
	for (uint32_t n = 0; n < weights->out_c; n++) {
		uint8_t *codes = (uint8_t *)out->codes + (size_t)n * out->row_stride;
		uint32_t group = n / (weights->out_c / weights->groups);

		gather_row(weights, values, n, row);
		/* An error counts as much as what it is multiplied by. */
		for (size_t i = 0; i < k; i++)
			importance[i] = energy[group * weights->in_c + i % weights->in_c];
		out->scales[n] = calibrate_scale(format, row, importance, k, scratch);
		for (size_t i = 0; i < k; i++)
			row[i] /= out->scales[n];
		for (uint32_t t = 0; t < weights->taps; t++)
			xrnpe_encode_row(format, row + (size_t)t * weights->in_c,
					 codes + t * out->pixel_stride, weights->in_c, &status);
	}
	free(row);
	free(importance);
	return 0;
}

int quantize_node(struct compiler *compiler, uint32_t n, enum xrnpe_format format)
{
	struct node_plan *plan = &compiler->nodes[n];
	const struct weights *weights = &plan->place.weights;

	if (!weights->out_c)
		return 0;
	return quantize_weights(weights, weights->tensor == GRAPH_NONE ? NULL :
				compiler->graph->tensors[weights->tensor].data,
				plan->energy, format, &plan->weight[format]);
}

void quantize_restore(const struct weights *weights, const struct quantized *quantized,
		      enum xrnpe_format format, float *values)
{
	float chunk[CHUNK];

	for (uint32_t n = 0; n < weights->out_c; n++) {
		const uint8_t *row = (const uint8_t *)quantized->codes +
				     (size_t)n * quantized->row_stride;
		float *to = values + row_offset(weights, n);

		for (uint32_t t = 0; t < weights->taps; t++, row += quantized->pixel_stride) {
			size_t tap;

			for (uint32_t c = 0; tap_offset(weights, t, &tap) && c < weights->in_c; c += CHUNK) {
				uint32_t count = weights->in_c - c < CHUNK ? weights->in_c - c : CHUNK;

				xrnpe_decode_row(format, row + xrnpe_row_bytes(format, c), chunk, count);
				for (uint32_t i = 0; i < count; i++)
					to[(c + i) * weights->stride_c + tap] =
						chunk[i] * quantized->scales[n];
			}
		}
	}
}

// SPDX-License-Identifier: MIT
/* Numbers in the device's formats: weights, laid out as commands read them, and tensors. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "round.h"

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

/* What rounding a row takes. */
struct row {
	const struct weights *weights;
	const struct moments *moments;
	const float *scales;	/* by output channel; NULL: to be found */
	enum xrnpe_format format;
	struct lattice lattice;	/* of up to 8 bits */
	float *values;		/* in the order in which the device reads them */
	uint8_t *chosen;	/* indices into the lattice */
	float *scratch;
};

static void row_free(struct row *row)
{
	free(row->values);
	free(row->chosen);
	free(row->scratch);
}

static int row_prepare(struct row *row, const struct weights *weights,
		       const struct moments *moments, const float *scales, enum xrnpe_format format)
{
	size_t count = (size_t)weights->taps * weights->in_c;

	*row = (struct row){
		.weights = weights, .moments = moments, .scales = scales, .format = format,
		.values = malloc(count * sizeof(*row->values)),
		.chosen = malloc(count),
		.scratch = malloc(4 * count * sizeof(*row->scratch)),
	};
	if (format != XRNPE_FORMAT_P16)
		lattice_fill(&row->lattice, format);
	if (row->values && row->chosen && row->scratch)
		return 0;
	row_free(row);
	return -ENOMEM;
}

/* The code of weight @i, whose row has @scale. */
static uint32_t row_code(const struct row *row, size_t i, float scale)
{
	uint32_t status = 0;

	if (row->format != XRNPE_FORMAT_P16)
		return row->lattice.codes[row->chosen[i]];
	/* A posit's rounding never gives zero, not even where that is nearer. */
	if (fabs((double)row->values[i] / scale) < scale_least(row->format) / 2)
		return 0;
	return xrnpe_encode(row->format, (double)row->values[i] / scale, &status);
}

/* Choose weights, and the scale of output channel @n, where the file gives none. */
static float row_choose(struct row *row, uint32_t n)
{
	const struct weights *weights = row->weights;
	uint32_t group = n / (weights->out_c / weights->groups), length = row->moments->length;
	const double *importance = row->moments->diagonal + (size_t)group * length;
	float scale;

	if (row->scales) {
		for (uint32_t i = 0; row->format != XRNPE_FORMAT_P16 && i < length; i++)
			row->chosen[i] = (uint8_t)lattice_nearest(&row->lattice,
								  row->values[i] / row->scales[n]);
		return row->scales[n];
	}
	scale = scale_find(row->format, row->values, importance, length, true, row->scratch);
	if (row->format != XRNPE_FORMAT_P16)
		round_weights(row->moments, group, &row->lattice, row->values, &scale, row->chosen,
			      row->scratch);
	return scale;
}

/* Codes of the row of output channel @n, and its scale. */
static float row_round(struct row *row, uint32_t n, uint8_t *codes, uint32_t pixel_stride)
{
	uint32_t in_c = row->weights->in_c;
	float scale = row_choose(row, n);

	for (uint32_t i = 0; i < row->moments->length; i++)
		xrnpe_store(row->format, codes + i / in_c * pixel_stride, i % in_c,
			    row_code(row, i, scale));
	return scale;
}

int quantize_weights(const struct weights *weights, const float *values,
		     const struct moments *moments, const float *scales,
		     enum xrnpe_format format, struct quantized *out)
{
	struct row row;

	*out = (struct quantized){ .scales = malloc(weights->out_c * sizeof(*out->scales)) };
	if (!out->scales)
		return -ENOMEM;
	if (weights->tensor == GRAPH_NONE)
		return quantize_fixed(weights, format, out);

	out->pixel_stride = (uint32_t)xrnpe_row_bytes(format, weights->in_c);
	out->row_stride = weights->taps * out->pixel_stride;
	out->size = (size_t)weights->out_c * out->row_stride;
	out->codes = calloc(1, out->size);
	if (!out->codes || row_prepare(&row, weights, moments, scales, format))
		return -ENOMEM;
	for (uint32_t n = 0; n < weights->out_c; n++) {
		gather_row(weights, values, n, row.values);
		if (moments->lacks)
			round_compensate(moments, n / (weights->out_c / weights->groups), row.values,
					 (double *)row.scratch);
		out->scales[n] = row_round(&row, n, (uint8_t *)out->codes + (size_t)n * out->row_stride,
					   out->pixel_stride);
	}
	row_free(&row);
	return 0;
}

int quantize_node(struct compiler *compiler, uint32_t n, const struct moments *moments,
		  enum xrnpe_format format)
{
	struct node_plan *plan = &compiler->nodes[n];
	const struct weights *weights = &plan->place.weights;

	if (!weights->out_c)
		return 0;
	return quantize_weights(weights, weights->tensor == GRAPH_NONE ? NULL :
				compiler->graph->tensors[weights->tensor].data,
				moments, given_weight_scales(compiler, n, format), format,
				&plan->weight[format]);
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

// SPDX-License-Identifier: MIT
/* Numbers in the device's formats: weights, laid out as commands read them, and tensors. */
#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "round.h"
#include "threads.h"

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

/* ---- rows, some at a time ------------------------------------------------ */

/* What rounding takes, up to ROUND_LANES rows of a group at a time. */
struct rows {
	const struct weights *weights;
	const struct moments *moments;
	const float *scales;	/* by output channel; NULL: to be found */
	enum xrnpe_format format;
	struct lattice lattice;	/* of up to 8 bits */
	float *values;		/* by row, in the order in which the device reads them */
	uint8_t *chosen;	/* indices into the lattice, as of round_weights() */
	float *scratch;
};

static void rows_free(struct rows *rows)
{
	free(rows->values);
	free(rows->chosen);
	free(rows->scratch);
}

static int rows_prepare(struct rows *rows, const struct weights *weights,
			const struct moments *moments, const float *scales, enum xrnpe_format format)
{
	size_t length = (size_t)weights->taps * weights->in_c;

	*rows = (struct rows){
		.weights = weights, .moments = moments, .scales = scales, .format = format,
		.values = malloc(ROUND_LANES * length * sizeof(*rows->values)),
		.chosen = malloc(ROUND_LANES * length),
		.scratch = malloc(ROUND_SCRATCH * length * sizeof(*rows->scratch)),
	};
	if (format != XRNPE_FORMAT_P16)
		lattice_fill(&rows->lattice, format);
	if (rows->values && rows->chosen && rows->scratch)
		return 0;
	rows_free(rows);
	return -ENOMEM;
}

/* The code of weight @i of row @k, which has @scale. */
static uint32_t row_code(const struct rows *rows, uint32_t k, size_t i, float scale)
{
	double value = (double)rows->values[(size_t)k * rows->moments->length + i] / scale;
	uint32_t status = 0;

	if (rows->format != XRNPE_FORMAT_P16)
		return rows->lattice.codes[rows->chosen[i * ROUND_LANES + k]];
	/* A posit's rounding never gives zero, not even where that is nearer. */
	if (fabs(value) < scale_least(rows->format) / 2)
		return 0;
	return xrnpe_encode(rows->format, value, &status);
}

/* The scale of row @k of @group, where the file gives none. */
static float row_scale(const struct rows *rows, uint32_t group, uint32_t k)
{
	uint32_t length = rows->moments->length;

	return scale_find(rows->format, rows->values + (size_t)k * length,
			  rows->moments->diagonal + (size_t)group * length, length, true, rows->scratch);
}

/* Round row @k to the nearest multiples of @scale. */
static void row_nearest(struct rows *rows, uint32_t k, float scale)
{
	uint32_t length = rows->moments->length;
	const float *values = rows->values + (size_t)k * length;

	for (size_t i = 0; rows->format != XRNPE_FORMAT_P16 && i < length; i++)
		rows->chosen[i * ROUND_LANES + k] =
			(uint8_t)lattice_nearest(&rows->lattice, values[i] / scale);
}

/* Choose weights of @count rows, which are output channels of @group from @n on, and their @scales. */
static void rows_choose(struct rows *rows, uint32_t group, uint32_t n, uint32_t count, float *scales)
{
	for (uint32_t k = 0; k < count; k++) {
		scales[k] = rows->scales ? rows->scales[n + k] : row_scale(rows, group, k);
		if (rows->scales)
			row_nearest(rows, k, scales[k]);
	}
	if (!rows->scales && rows->format != XRNPE_FORMAT_P16)
		round_weights(rows->moments, group, &rows->lattice, rows->values, count, scales, rows->chosen,
			      rows->scratch);
}

/* Codes and scales of @count output channels of a group, from @n on. */
static void rows_round(struct rows *rows, const float *values, uint32_t n, uint32_t count,
		       struct quantized *out)
{
	const struct weights *weights = rows->weights;
	uint32_t group = n / (weights->out_c / weights->groups), length = rows->moments->length;

	for (uint32_t k = 0; k < count; k++) {
		float *row = rows->values + (size_t)k * length;

		gather_row(weights, values, n + k, row);
		if (rows->moments->lacks)
			round_compensate(rows->moments, group, row, (double *)rows->scratch);
	}
	rows_choose(rows, group, n, count, out->scales + n);
	for (uint32_t k = 0; k < count; k++) {
		uint8_t *codes = (uint8_t *)out->codes + (size_t)(n + k) * out->row_stride;

		for (uint32_t i = 0; i < length; i++)
			xrnpe_store(rows->format, codes + i / weights->in_c * out->pixel_stride,
				    i % weights->in_c, row_code(rows, k, i, out->scales[n + k]));
	}
}

/* ---- all rows ------------------------------------------------------------ */

/* Rows that threads take some of. */
struct rounding {
	const struct weights *weights;
	const float *values;
	const struct moments *moments;
	const float *scales;
	enum xrnpe_format format;
	struct quantized *out;
	uint32_t pieces;	/* of a group */
	atomic_uint next;	/* piece */
	atomic_bool failed;
};

static void round_some(void *data, bool caller)
{
	struct rounding *rounding = data;
	const struct weights *weights = rounding->weights;
	uint32_t channels = weights->out_c / weights->groups, piece;
	struct rows rows;

	if (rows_prepare(&rows, weights, rounding->moments, rounding->scales, rounding->format)) {
		atomic_store(&rounding->failed, true);
		return;
	}
	while ((piece = atomic_fetch_add(&rounding->next, 1)) < weights->groups * rounding->pieces) {
		uint32_t group = piece / rounding->pieces, first = piece % rounding->pieces * ROUND_LANES;
		uint32_t count = channels - first < ROUND_LANES ? channels - first : ROUND_LANES;

		rows_round(&rows, rounding->values, group * channels + first, count, rounding->out);
	}
	rows_free(&rows);
}

int quantize_weights(const struct weights *weights, const float *values,
		     const struct moments *moments, const float *scales,
		     enum xrnpe_format format, bool shared, struct quantized *out)
{
	struct rounding rounding = {
		.weights = weights, .values = values, .moments = moments, .scales = scales,
		.format = format, .out = out,
		.pieces = (weights->out_c / weights->groups + ROUND_LANES - 1) / ROUND_LANES,
	};

	*out = (struct quantized){ .scales = malloc(weights->out_c * sizeof(*out->scales)) };
	if (!out->scales)
		return -ENOMEM;
	if (weights->tensor == GRAPH_NONE)
		return quantize_fixed(weights, format, out);

	out->pixel_stride = (uint32_t)xrnpe_row_bytes(format, weights->in_c);
	out->row_stride = weights->taps * out->pixel_stride;
	out->size = (size_t)weights->out_c * out->row_stride;
	out->codes = calloc(1, out->size);
	if (!out->codes)
		return -ENOMEM;
	threads_run(round_some, &rounding, shared ? rounding.pieces : 1);
	return atomic_load(&rounding.failed) ? -ENOMEM : 0;
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
				moments, given_weight_scales(compiler, n, format), format, false,
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

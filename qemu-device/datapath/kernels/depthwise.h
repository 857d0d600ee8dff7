/* SPDX-License-Identifier: MIT */
/*
 * Depthwise convolutions: one input channel a group. Included by a file for each
 * instruction set, with what rounding.h wants defined; here is all but the name.
 *
 * Channels lie side by side, so a vector is the same tap of some channels. Values
 * are doubles. Up to 8 bits their sums are exact. For Posit(16,1) products are (two
 * significands of 13 bits), sums are not: beside them goes a sum of magnitudes, for a
 * bound on the error. Where the bound leaves a doubt about the output, and only
 * there, the exact integer decides. A NaR is a NaN.
 */
#ifndef XRNPE_DATAPATH_DEPTHWISE_H
#define XRNPE_DATAPATH_DEPTHWISE_H

#include "depthwise_blocks.h"
#include "rounding.h"

#define VECTORS (LANES / REALS)
#define DECODE_TOGETHER 256

typedef double loose_reals __attribute__((vector_size(VECTOR), aligned(8), may_alias));
typedef float loose_floats __attribute__((vector_size(VECTOR / 2), aligned(4), may_alias));

/* ---- decoding --------------------------------------------------------- */

/* Input channels @first.., up to DECODE_TOGETHER. True if any is NaR. */
INLINE bool decode_some(enum xrnpe_format format, const uint8_t *row, size_t first,
			size_t count, double *to)
{
	/* A row starts on a byte, perhaps with another 4-bit code. */
	size_t before = first * xrnpe_format_bits(format) % 8 != 0;
	float value[1 + DECODE_TOGETHER + REALS];
	ints nan = { 0 };
	bool nar = false;

	row += xrnpe_row_bytes(format, first - before);
	xrnpe_decode_row(format, row, value, before + count);
	memset(value + before + count, 0, REALS * sizeof(*value));
	for (size_t i = 0; i < count; i += REALS) {
		reals some = __builtin_convertvector(*(const loose_floats *)(value + before + i), reals);

		nan |= (ints)(some != some);
		*(loose_reals *)(to + i) = some;
	}
	for (size_t i = 0; i < REALS; i++)
		nar |= nan[i] != 0;
	return nar;
}

/* Channels of the output: those of a group have its input each. */
TARGET static bool decode_reals(const struct xrnpe_product *product, const struct xrnpe_factor *factor,
				const uint8_t *row, size_t first, size_t count, void *values)
{
	size_t multiplier = (size_t)product->group_channels, at = first;
	double *to = values;
	bool nar = false;

	while (at < first + count) {
		size_t input = at / multiplier, some = (first + count - 1) / multiplier + 1 - input;
		double each[DECODE_TOGETHER + REALS];

		if (some > DECODE_TOGETHER)
			some = DECODE_TOGETHER;
		nar |= decode_some(factor->format, row, input, some, multiplier == 1 ? to + at - first : each);
		if (multiplier == 1)
			at += some;
		for (; multiplier > 1 && at < first + count && at / multiplier < input + some; at++)
			to[at - first] = each[at / multiplier - input];
	}
	return nar;
}

static const struct xrnpe_decoder decoder = { decode_reals, sizeof(double), 0 };

/* ---- sums and outputs -------------------------------------------------- */

/* LANES channels of the output. */
struct panel {
	struct outputs outputs;
	bool nar;		/* a NaR among the weights */
};

/* Where the inputs of a position are. */
struct window {
	const struct xrnpe_line *line[UINT8_MAX];	/* by line of the kernel */
	size_t offset, step;	/* of its first tap in a line, and from tap to tap, in values */
};

struct sums {
	double sum[LANES] __attribute__((aligned(64))), bound[LANES];
};

/* @weights: LANES a tap. */
INLINE void sum_taps(const struct xrnpe_dims_image *d, const struct window *window,
		     const double *weights, bool wide, struct sums *sums)
{
	reals sum[VECTORS], bound[VECTORS];

	memset(sum, 0, sizeof(sum));
	memset(bound, 0, sizeof(bound));
	for (size_t i = 0; i < d->kernel_h; i++) {
		const double *in = (const double *)window->line[i]->values + window->offset;

		for (size_t j = 0; j < d->kernel_w; j++, in += window->step, weights += LANES) {
#pragma GCC unroll 8
			for (size_t v = 0; v < VECTORS; v++) {
				reals value = *(const loose_reals *)(in + v * REALS);
				reals weight = load(weights + v * REALS);

				sum[v] = fused(value, weight, sum[v]);
				if (wide)
					bound[v] = fused(magnitude_of(value), magnitude_of(weight), bound[v]);
			}
		}
	}
#pragma GCC unroll 8
	for (size_t v = 0; v < VECTORS; v++) {
		*(reals *)(sums->sum + v * REALS) = sum[v];
		*(reals *)(sums->bound + v * REALS) = bound[v];
	}
}

TARGET static void sum_narrow(const struct xrnpe_dims_image *d, const struct window *window,
			      const double *weights, struct sums *sums)
{
	sum_taps(d, window, weights, false, sums);
}

TARGET static void sum_wide(const struct xrnpe_dims_image *d, const struct window *window,
			    const double *weights, struct sums *sums)
{
	sum_taps(d, window, weights, true, sums);
}

/* The exact way, for one output. Any product's sign is that of an extreme sum. */
static uint32_t output_exactly(const struct xrnpe_product *product, const struct window *window,
			       const double *weights, size_t lane, uint64_t p, uint64_t n,
			       bool negative, uint32_t *status)
{
	const struct xrnpe_dims_image *d = &product->cmd->image;
	const double grid = (double)(1ull << -xrnpe_grid_unit(XRNPE_FORMAT_P16));
	xrnpe_u128 sum = 0;

	if (xrnpe_cancelled(product->cancel))
		return 0;
	for (size_t i = 0; i < d->kernel_h; i++) {
		const double *in = (const double *)window->line[i]->values + window->offset + lane;

		for (size_t j = 0; j < d->kernel_w; j++, in += window->step, weights += LANES)
			sum += (xrnpe_u128)((xrnpe_i128)(int64_t)(*in * grid) *
					    (int64_t)(weights[lane] * grid));
	}
	return xrnpe_output_wrapped(product, p, n, sum, negative, status);
}

/* Channels @n.. of position @p to the row of its outputs. */
TARGET static void put(const struct xrnpe_product *product, const struct window *window,
		       const struct panel *panel, const double *weights, bool maybe_nar, uint8_t *row,
		       uint64_t p, uint64_t n, size_t count, uint32_t *status)
{
	uint32_t code[LANES] __attribute__((aligned(64))), doubt = 0;
	bool wide = xrnpe_wide(product), nar[LANES] = { false };
	struct sums sums;

	if (wide)
		sum_wide(&product->cmd->image, window, weights, &sums);
	else
		sum_narrow(&product->cmd->image, window, weights, &sums);
	for (size_t i = 0; maybe_nar && i < count; i++)
		nar[i] = sums.sum[i] != sums.sum[i];
	if (wide) {
		/* Each of k steps is off by at most 2^-53 of the magnitudes so far. */
		for (size_t i = 0; i < LANES; i++)
			sums.bound[i] *= (double)product->k * 0x1p-52;
		doubt = output_near(product, &panel->outputs, sums.sum, sums.bound, p, n, count, code);
	} else if (is_plain(product, &panel->outputs)) {
		for (size_t i = 0; i < LANES; i += REALS)
			*(reals *)(sums.sum + i) = output_sum(&panel->outputs, panel->outputs.bias, i,
							     load(sums.sum + i));
		encode_lanes(product->out, sums.sum, code);
	} else {
		output_exact(product, &panel->outputs, sums.sum,
			     (double)(1ull << -xrnpe_product_unit(product)), p, n, count, code, status);
	}
	for (size_t i = 0; i < count; i++) {
		if (doubt >> i & 1 && !nar[i])
			code[i] = output_exactly(product, window, weights, i, p, n + i, sums.sum[i] < 0,
						 status);
	}
	pack(product->out, row, n, code, count);
	if (maybe_nar)
		xrnpe_put_nar(product, nar, row, n, count, status);
}

/* ---- blocks ----------------------------------------------------------- */

static bool suits(const struct xrnpe_product *product)
{
	return has_blocks(product, &decoder);
}

static void shape(const struct xrnpe_product *product, unsigned int threads,
		  struct xrnpe_block *block)
{
	shape_block(product, &decoder, threads, block);
}

static size_t weights_bytes(const struct xrnpe_product *product)
{
	return product->k * LANES * sizeof(double);
}

static size_t scratch_size(const struct xrnpe_product *product, const struct xrnpe_block *block)
{
	return xrnpe_panels(block->n1, LANES) * (weights_bytes(product) + sizeof(struct panel)) +
	       xrnpe_lines_size(product, &decoder, block->n1, 1);
}

/* Some weights of a channel, of 16 bits, @step bytes apart. */
static void decode_taps(enum xrnpe_format format, const uint8_t *tap, size_t step, size_t count, float *to)
{
	uint16_t code[DECODE_TOGETHER];

	for (size_t k = 0; k < count; k++)
		memcpy(&code[k], tap + k * step, sizeof(*code));
	xrnpe_decode_row(format, code, to, count);
}

/* The weights of a channel, one in a lane of each tap; true if any is NaR. */
static bool fill_lane(const struct xrnpe_product *product, const uint8_t *tap, double *weights)
{
	const struct xrnpe_factor *factor = &product->weight;
	const double unit = 1 / (double)(1ull << -xrnpe_grid_unit(factor->format));
	const uint8_t mask = factor->format == XRNPE_FORMAT_P8 ? 255 : 15;
	size_t step = product->cmd->operand[XRNPE_OPERAND_WEIGHT].pixel_stride;
	float value[DECODE_TOGETHER];
	bool nar = false;

	for (size_t k = 0; k < product->k; k++, tap += step, weights += LANES) {
		size_t at = k % DECODE_TOGETHER, left = product->k - k;

		if (factor->narrow) {
			int16_t grid = factor->narrow[*tap & mask];

			*weights = grid == XRNPE_NARROW_NAR ? __builtin_nan("") : grid * unit;
		} else {
			if (!at)
				decode_taps(factor->format, tap, step, left < DECODE_TOGETHER ? left : DECODE_TOGETHER, value);
			*weights = (double)value[at];
		}
		nar |= *weights != *weights;
	}
	return nar;
}

static void fill_panel(const struct xrnpe_product *product, uint64_t n, size_t count,
		       struct panel *panel, double *weights)
{
	memset(panel, 0, sizeof(*panel));
	memset(weights, 0, weights_bytes(product));
	make_outputs(product, n, count, 0, &panel->outputs);
	for (size_t i = 0; i < count; i++) {
		if (xrnpe_cancelled(product->cancel))
			return;
		panel->nar |= fill_lane(product, xrnpe_weight_row(product, n + i), weights + i);
	}
}

TARGET static void run(const struct xrnpe_product *product, const struct xrnpe_block *block,
		       const void *panels, void *memory, uint32_t *status)
{
	const struct xrnpe_dims_image *d = &product->cmd->image;
	size_t channels = (size_t)(block->n1 - block->n0), count = xrnpe_panels(channels, LANES);
	double *weights = memory;
	struct panel *panel = (struct panel *)(weights + count * product->k * LANES);
	struct xrnpe_lines lines;
	struct window window = { .step = d->dilation_w * channels };

	for (size_t i = 0; i < count; i++)
		fill_panel(product, block->n0 + i * LANES,
			   channels - i * LANES < LANES ? channels - i * LANES : LANES, &panel[i],
			   weights + i * product->k * LANES);
	xrnpe_lines_start(&lines, product, &decoder, (size_t)block->n0, channels, 1, panel + count);
	/* Blocks are whole lines. */
	for (uint64_t p = block->p0; p < block->p1; p += d->out_w) {
		uint64_t y = p / d->out_w;
		bool nar = false;

		for (size_t i = 0; i < d->kernel_h; i++) {
			window.line[i] = xrnpe_lines_at(&lines, y * d->stride_h + i * d->dilation_h);
			nar |= window.line[i]->any_nar;
		}
		for (size_t i = 0; i < count; i++) {
			size_t some = channels - i * LANES < LANES ? channels - i * LANES : LANES;
			uint8_t *row = xrnpe_output_row(product, p);
			uint32_t stride = product->cmd->operand[XRNPE_OPERAND_OFM].pixel_stride;

			window.offset = i * LANES;
			for (size_t x = 0; x < d->out_w; x++, row += stride) {
				if (xrnpe_cancelled(product->cancel))
					return;
				put(product, &window, &panel[i], weights + i * product->k * LANES,
				    nar || panel[i].nar, row, p + x, block->n0 + i * LANES, some, status);
				window.offset += d->stride_w * channels;
			}
		}
	}
}

#define DEPTHWISE_KERNEL \
	{ .suits = suits, .shape = shape, .scratch = scratch_size, .run = run }

#endif

// SPDX-License-Identifier: MIT
/*
 * The plain kernel: runs anywhere, and is what the others are measured against.
 *
 * Sums of products are exact in 64 bits for the 4- and 8-bit formats (at most
 * 32768 x 2^24 grid units) and exact modulo 2^128 for Posit(16,1).
 */
#include "kernel.h"

#define BLOCK_WEIGHTS (1u << 18)	/* decoded weights in a task */
#define BLOCK_CHANNELS 4096
#define BLOCK_POSITIONS 64

static bool supported(void)
{
	return true;
}

static void shape(const struct xrnpe_product *product, unsigned int threads,
		  struct xrnpe_block *block)
{
	uint64_t most = BLOCK_WEIGHTS / product->k & ~1ull;
	uint64_t few = product->positions <= BLOCK_POSITIONS ?
		       product->channels / (threads * 4) & ~1ull : UINT64_MAX;

	/* A few positions only: the channels are what keeps the threads busy. */
	if (few < most)
		most = few;
	if (most < 2)
		most = 2;
	if (most > BLOCK_CHANNELS)
		most = BLOCK_CHANNELS;
	if (block->n1 > most)
		block->n1 = most;
	if (block->p1 > BLOCK_POSITIONS)
		block->p1 = BLOCK_POSITIONS;
}

static bool decode_narrow(const struct xrnpe_product *product, const struct xrnpe_factor *factor,
			  const uint8_t *row, size_t first, size_t count, void *values)
{
	int16_t *narrow = values;
	bool nar = false;

	for (size_t i = 0; i < count; i++) {
		narrow[i] = factor->narrow[xrnpe_load(factor->format, row, first + i)];
		if (narrow[i] == XRNPE_NARROW_NAR) {
			narrow[i] = 0;
			nar = true;
		}
	}
	return nar;
}

static bool decode_wide(const struct xrnpe_product *product, const struct xrnpe_factor *factor,
			const uint8_t *row, size_t first, size_t count, void *values)
{
	int64_t *wide = values;
	bool nar = false;

	for (size_t i = 0; i < count; i++) {
		wide[i] = xrnpe_grid(factor->format, xrnpe_load(factor->format, row, first + i));
		if (wide[i] == XRNPE_GRID_NAR) {
			wide[i] = 0;
			nar = true;
		}
	}
	return nar;
}

static const struct xrnpe_decoder narrow_decoder = { decode_narrow, sizeof(int16_t), 0 };
static const struct xrnpe_decoder wide_decoder = { decode_wide, sizeof(int64_t), 0 };

static const struct xrnpe_decoder *decoder_of(const struct xrnpe_product *product)
{
	return xrnpe_wide(product) ? &wide_decoder : &narrow_decoder;
}

static size_t scratch_size(const struct xrnpe_product *product, const struct xrnpe_block *block)
{
	return (block->n1 + 1) * product->k * decoder_of(product)->size + sizeof(uint32_t) +
	       block->n1 * (sizeof(uint32_t) + sizeof(bool));
}

static struct xrnpe_term dot_narrow(const int16_t *a, const int16_t *b, size_t k, int unit)
{
	struct xrnpe_term term = { .exponent = unit };
	int64_t sum = 0;

	for (size_t i = 0; i < k; i++)
		sum += (int32_t)a[i] * b[i];
	term.negative = sum < 0;
	term.magnitude = (uint64_t)(sum < 0 ? -sum : sum);
	return term;
}

static struct xrnpe_term dot_wide(const int64_t *a, const int64_t *b, size_t k, int unit)
{
	xrnpe_u128 sum = 0;

	for (size_t i = 0; i < k; i++)
		sum += (xrnpe_u128)((xrnpe_i128)a[i] * b[i]);
	return xrnpe_term_from_sum(sum, (a[0] < 0) != (b[0] < 0), unit);
}

static void run(const struct xrnpe_product *product, const struct xrnpe_block *block,
		const void *panels, void *memory, uint32_t *status)
{
	const struct xrnpe_decoder *decoder = decoder_of(product);
	bool wide = xrnpe_wide(product);
	int unit = xrnpe_product_unit(product);
	size_t k = product->k, count = (size_t)(block->n1 - block->n0), row = k * decoder->size;
	uint8_t *weights = memory, *inputs = weights + count * row;
	uint32_t *codes = (uint32_t *)(weights + ((count + 1) * row + 3) / 4 * 4);
	bool *weight_nar = (bool *)(codes + count);

	for (size_t i = 0; i < count; i++)
		weight_nar[i] = xrnpe_weights(product, decoder, block->n0 + i, weights + i * row);
	for (uint64_t p = block->p0; p < block->p1; p++) {
		uint64_t group = UINT64_MAX;
		bool nar = false;

		for (size_t i = 0; i < count; i++) {
			uint64_t n = block->n0 + i;
			struct xrnpe_term sum;

			if (n / product->group_channels != group) {
				group = n / product->group_channels;
				nar = xrnpe_gather(product, decoder, p, group, inputs);
			}
			if (xrnpe_cancelled(product->cancel))
				return;
			if (wide)
				sum = dot_wide((int64_t *)inputs, (int64_t *)(weights + i * row), k, unit);
			else
				sum = dot_narrow((int16_t *)inputs, (int16_t *)(weights + i * row), k, unit);
			codes[i] = xrnpe_output(product, p, n, sum, nar || weight_nar[i], status);
		}
		xrnpe_put(product, p, block->n0, codes, count);
	}
}

const struct xrnpe_kernel xrnpe_kernel_plain = {
	.name = "plain",
	.codec = &xrnpe_codec_plain,
	.supported = supported,
	.shape = shape,
	.scratch = scratch_size,
	.run = run,
};

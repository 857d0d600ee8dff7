// SPDX-License-Identifier: MIT
/* Weights that are columns in memory (XRNPE_CMD_TRANSPOSED), as rows for the kernels. */
#include <string.h>

#include "kernel.h"

#define TOGETHER 16	/* rows of memory that are read in turns, so that a cache has them all */

typedef uint16_t code16 __attribute__((may_alias, aligned(1)));

size_t xrnpe_transposed_pitch(const struct xrnpe_product *product)
{
	/* An odd number of lines, so that rows do not compete for sets of a cache. */
	return (xrnpe_row_bytes(product->weight.format, product->k) / 128 * 2 + 3) * 64;
}

/* Elements @k..@end of a column, which starts at @from, to a row. */
static void column_bytes(const uint8_t *from, size_t stride, size_t k, size_t end, uint8_t *to)
{
	for (; k < end; k++)
		to[k] = from[k * stride];
}

static void column_words(const uint8_t *from, size_t stride, size_t k, size_t end, code16 *to)
{
	for (; k < end; k++)
		to[k] = *(const code16 *)(from + k * stride);
}

/* @k is even; after an odd number of codes the rest of the byte is zero. */
static void column_nibbles(const uint8_t *from, size_t stride, unsigned int shift, size_t k, size_t end,
			   uint8_t *to)
{
	for (; k + 1 < end; k += 2)
		to[k / 2] = (uint8_t)((from[k * stride] >> shift & 15) |
				      (from[(k + 1) * stride] >> shift & 15) << 4);
	if (k < end)
		to[k / 2] = from[k * stride] >> shift & 15;
}

void xrnpe_transpose(struct xrnpe_product *product, uint64_t n, size_t count, uint8_t *rows)
{
	struct xrnpe_factor *weight = &product->weight;
	const size_t stride = weight->row_stride, pitch = xrnpe_transposed_pitch(product);
	const unsigned int bits = xrnpe_format_bits(weight->format);

	for (size_t k = 0, end; k < product->k; k = end) {
		if (xrnpe_cancelled(product->cancel))
			break;
		end = product->k - k < TOGETHER ? product->k : k + TOGETHER;
		for (size_t i = 0; i < count; i++) {
			const uint8_t *from = weight->memory + (n + i) * bits / 8;
			uint8_t *to = rows + i * pitch;

			if (bits == 16)
				column_words(from, stride, k, end, (code16 *)to);
			else if (bits == 8)
				column_bytes(from, stride, k, end, to);
			else
				column_nibbles(from, stride, (n + i) % 2 * 4, k, end, to);
		}
	}
	weight->memory = rows;
	weight->row_stride = pitch;
	product->first_weight = n;
}

// SPDX-License-Identifier: MIT
/*
 * Convolutions of Posit(16,1) with AVX-512, without im2col: in doubles as in
 * gemm_avx512_p16.c, but tiles read inputs where windows.h has them. The bound on the error is
 * the sum of a channel's weights by the largest input of the lines that a tile sees.
 */
#ifdef __x86_64__

#include <string.h>

#include "conv_avx512_p16.h"

/* Layout of the scratch memory; then rows of weights, or lines and the inputs of a position. */
struct scratch {
	double sum[ROWS][LANES] __attribute__((aligned(64)));
	struct windows windows;
};

static size_t panel_bytes(const struct xrnpe_product *product)
{
	return sizeof(struct panel) + product->k * LANES * sizeof(double);
}

/* ---- panels ------------------------------------------------------------ */

/* Rows of doubles to eight of the channels of each value. */
TARGET static bool interleave_reals(const struct xrnpe_product *product, const uint8_t *rows, double *to,
				    struct panel *panel, size_t lane)
{
	__m512d sum = _mm512_setzero_pd();
	__m512i bits = _mm512_setzero_si512();

	for (size_t k = 0; k < product->k; k += 8) {
		__m512d value[8];

		if (!(k % POLL_STEPS) && xrnpe_cancelled(product->cancel))
			return false;
		transpose_reals(rows + k * sizeof(double), pitch_of(product), value);
		for (size_t i = 0; i < 8 && k + i < product->k; i++, to += HALF) {
			__m512d magnitude = _mm512_abs_pd(value[i]);

			_mm512_store_pd(to, value[i]);
			sum = _mm512_add_pd(sum, magnitude);
			bits = note_bits(bits, magnitude);
		}
	}
	_mm512_store_pd(panel->magnitudes + lane, sum);
	panel->bits |= (uint64_t)_mm512_reduce_or_epi64(bits);
	return true;
}

TARGET static void fill(const struct xrnpe_product *product, uint64_t n, size_t count, void *memory,
			void *scratch)
{
	uint8_t *rows = (uint8_t *)((struct scratch *)scratch + 1);
	struct panel *panel = memory;

	panel->bits = 0;
	xrnpe_avx512_scales(product, n, count, P16_UNIT, &panel->stage);
	for (size_t lane = 0; lane < (count + HALF - 1) / HALF * HALF; lane += 8) {
		double *to = panel->values + lane / HALF * product->k * HALF + lane % HALF;

		decode_eight(product, n, count, lane, rows, pitch_of(product), &panel->stage);
		if (!interleave_reals(product, rows, to, panel, lane))
			return;
	}
}

/* ---- blocks ------------------------------------------------------------ */

/* Of the inputs of @rows positions from @p on. */
static struct seen look_at(struct windows *windows, uint64_t p, size_t rows)
{
	uint64_t width = windows->image.product->cmd->image.out_w;
	struct seen seen = { 0 };

	for (uint64_t y = p / width; y <= (p + rows - 1) / width; y++) {
		const struct sight *sight = &windows->sight[y % MOST_LINES];

		for (size_t i = 0; i < windows->lines; i++)
			note_line(&seen, &windows->image, sight->line[i]);
	}
	return seen;
}

TARGET static void run(const struct xrnpe_product *product, const struct xrnpe_block *block,
		       const void *panels, void *memory, uint32_t *status)
{
	struct scratch *scratch = memory;
	struct windows *windows = &scratch->windows;
	uint8_t *inputs = (uint8_t *)(scratch + 1) + windows_size(product, &xrnpe_avx512_doubles);
	uint64_t p = block->p0;
	size_t rows;

	windows_start(windows, product, &xrnpe_avx512_doubles, block->n0, scratch + 1);
	for (; p < block->p1; p += rows) {
		const uint8_t *at = panels;
		uint8_t *out[ROWS];
		bool nar[ROWS] = { 0 };
		size_t quads = windows_place(windows, p, block->p1, &rows, nar);
		struct seen seen;

		if (!quads)
			return;
		seen = look_at(windows, p, rows);
		xrnpe_output_rows(product, p, rows, out);
		for (uint64_t n = block->n0; n < block->n1; n += LANES, at += panel_bytes(product)) {
			const struct panel *panel = (const struct panel *)at;
			size_t count = block->n1 - n < LANES ? (size_t)(block->n1 - n) : LANES;
			bool exact = spread_of(seen.bits, panel->bits, product->k) <= 53;
			double error[LANES] __attribute__((aligned(64)));
			uint32_t doubt[ROWS];

			if (xrnpe_cancelled(product->cancel))
				return;
			for (size_t i = 0; i < count; i += HALF)
				tiles[quads - 1][count - i > 8](windows,
								product->k / (windows->lines * windows->runs),
								panel->values + i * product->k,
								(double (*)[LANES])(scratch->sum[0] + i));
			bound(panel->magnitudes, (count + HALF - 1) / HALF * HALF,
			      seen.most * precision_of(product->k), error);
			xrnpe_avx512_put_near(product, &panel->stage, (const double (*)[LANES])scratch->sum,
					      exact ? NULL : error, 0, p, out, rows, n, count, doubt);
			for (size_t r = 0; r < rows; r++) {
				if (doubt[r] && !nar[r]) {
					xrnpe_gather(product, &xrnpe_avx512_doubles, p + r, n / product->group_channels,
						     inputs);
					settle(product, &panel->stage, panel->values, (double *)inputs, scratch->sum[r],
					       p + r, n, count, doubt[r], out[r], status);
				}
				if (nar[r] || panel->stage.any_nar)
					xrnpe_put_nar(product, nar[r] ? NULL : panel->stage.nar, out[r], n,
						      count, status);
			}
		}
	}
}

/* ---- the kernel -------------------------------------------------------- */

static bool suits(const struct xrnpe_product *product)
{
	return product->cmd->opcode == XRNPE_OP_CONV2D && xrnpe_wide(product) &&
	       windows_size(product, &xrnpe_avx512_doubles) && windows_pay(product, QUAD, LANES);
}

static struct xrnpe_tiling tiling(const struct xrnpe_product *product)
{
	return (struct xrnpe_tiling){
		.rows = ROWS,
		.lanes = LANES,
		.panel_bytes = panel_bytes(product),
		.column_bytes = COLUMN_BYTES,
	};
}

static size_t scratch_size(const struct xrnpe_product *product, const struct xrnpe_block *shape)
{
	size_t rows = 8 * pitch_of(product), lines = windows_size(product, &xrnpe_avx512_doubles) + pitch_of(product);

	return sizeof(struct scratch) + (rows > lines ? rows : lines);
}

const struct xrnpe_kernel xrnpe_conv_avx512_p16 = {
	.suits = suits,
	.tiling = tiling,
	.fill = fill,
	.scratch = scratch_size,
	.run = run,
};

#endif

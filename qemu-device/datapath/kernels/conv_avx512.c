// SPDX-License-Identifier: MIT
/*
 * Convolutions of up to 8 bits with AVX-512, without im2col.
 *
 * Words are multiplied as in gemm_avx512.c, but tiles read inputs where windows.h has them, and
 * there are tiles of 16 channels, too.
 */
#ifdef __x86_64__

#define STEP_BYTES (STEP * sizeof(int16_t))

#include "conv_avx512.h"

static struct plan plan_of(const struct xrnpe_product *product)
{
	return plan_for(product, xrnpe_avx512_words(product->ifm.format), xrnpe_largest(product->ifm.format));
}

/* Layout of the scratch memory; then rows_or_lines(). */
struct scratch {
	int32_t sum[MOST_ROWS][LANES] __attribute__((aligned(64)));
	int64_t wide[MOST_ROWS][LANES];
	struct windows windows;
};

static void fill(const struct xrnpe_product *product, uint64_t n, size_t count, void *memory, void *scratch)
{
	struct plan plan = plan_of(product);
	struct panel *panel = memory;

	xrnpe_avx512_stage(product, n, count, &panel->stage);
	fill_panel(product, &plan, n, count, panel, (uint8_t *)((struct scratch *)scratch + 1));
}

/* ---- blocks ------------------------------------------------------------ */

/* The sums of a panel and the tile that has been placed, from row @r of the scratch memory on. */
static void multiply(const struct plan *plan, const struct panel *panel, size_t groups, size_t vectors, size_t rows,
		     struct scratch *scratch, size_t r)
{
	if (panel->safe)
		multiply_tile(&scratch->windows, groups, vectors, plan->steps, panel->weights, scratch->sum + r);
	else
		multiply_wide(plan, panel, &scratch->windows, groups, vectors, rows, scratch->sum + r, scratch->wide + r);
}

TARGET static void run(const struct xrnpe_product *product, const struct xrnpe_block *block,
		       const void *panels, void *memory, uint32_t *status)
{
	struct plan plan = plan_of(product);
	struct scratch *scratch = memory;
	const bool one_panel = block->n1 - block->n0 <= LANES;
	uint64_t p = block->p0;
	size_t rows, tile_rows;

	windows_start(&scratch->windows, product, plan.input, block->n0, scratch + 1);
	windows_group(&scratch->windows, group_of(product), groups_of(product));
	tile_rows = scratch->windows.group * scratch->windows.groups;
	for (; p < block->p1; p += rows) {
		const uint8_t *at = panels;
		uint8_t *out[MOST_ROWS];
		bool nar[MOST_ROWS] = { 0 }, any_nar;
		size_t groups = windows_place(&scratch->windows, p, block->p1, &rows, nar);

		any_nar = scratch->windows.any_nar;
		if (!groups)
			return;
		for (uint64_t n = block->n0; n < block->n1; n += LANES, at += panel_bytes(&plan)) {
			const struct panel *panel = (const struct panel *)at;
			size_t count = block->n1 - n < LANES ? (size_t)(block->n1 - n) : LANES;
			size_t vectors = vectors_for(count);
			struct sums sums = { 0 };

			if (xrnpe_cancelled(product->cancel))
				return;
			xrnpe_fetch_residuals(product, p, rows, n);
			multiply(&plan, panel, groups, vectors, rows, scratch, 0);
			/* Of one panel outputs of several tiles are put together. */
			for (size_t more; one_panel && rows + tile_rows <= MOST_ROWS && p + rows < block->p1;
			     rows += more) {
				groups = windows_place(&scratch->windows, p + rows, block->p1, &more, nar + rows);
				if (!groups || xrnpe_cancelled(product->cancel))
					return;
				any_nar |= scratch->windows.any_nar;
				xrnpe_fetch_residuals(product, p + rows, more, n);
				multiply(&plan, panel, groups, vectors, more, scratch, rows);
			}
			if (panel->safe)
				sums.narrow = scratch->sum[0];
			else
				sums.wide = scratch->wide[0];
			xrnpe_output_rows(product, p, rows, out);
			xrnpe_avx512_put(product, &panel->stage, &sums, p, out, rows, n, count, status);
			for (size_t r = 0; r < rows && (any_nar || panel->stage.any_nar); r++) {
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
	if (product->cmd->opcode != XRNPE_OP_CONV2D || xrnpe_wide(product))
		return false;
	/* Those are multiplied as bytes, twice as fast. */
	if (product->ifm.format == XRNPE_FORMAT_FP4 && product->weight.format == XRNPE_FORMAT_FP4)
		return false;
	return windows_size(product, xrnpe_avx512_words(product->ifm.format)) &&
	       windows_pay(product, group_of(product), LANES);
}

static struct xrnpe_tiling tiling(const struct xrnpe_product *product)
{
	struct plan plan = plan_of(product);

	return tiling_of(&plan, group_of(product) * groups_of(product));
}

static size_t scratch_size(const struct xrnpe_product *product, const struct xrnpe_block *shape)
{
	struct plan plan = plan_of(product);

	return sizeof(struct scratch) + rows_or_lines(product, &plan);
}

const struct xrnpe_kernel xrnpe_conv_avx512 = {
	.suits = suits,
	.tiling = tiling,
	.fill = fill,
	.scratch = scratch_size,
	.run = run,
};

#endif

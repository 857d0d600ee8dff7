// SPDX-License-Identifier: MIT
/*
 * Convolutions of up to 8 bits with AVX-512, without im2col.
 *
 * Words are multiplied as in gemm_avx512.c, but tiles read inputs where windows.h has them, and
 * there are tiles of 16 channels, too.
 */
#ifdef __x86_64__

#include <string.h>

#include "avx512.h"
#include "windows.h"

#define COLUMN_BYTES (1u << 20)	/* half of a cache */
#define STEP 2			/* words that one instruction multiplies in a lane */

/* A product as the tiles see it. */
struct plan {
	const struct xrnpe_decoder *input, *weight;
	size_t all_runs, run_taps;	/* of a window; of a run */
	size_t values, steps;		/* of a run; an odd number of values is padded */
	size_t safe_steps;	/* that cannot overflow 32 bits, whatever the codes */
	size_t pitch;		/* bytes between decoded rows of weights */
};

static struct plan plan_of(const struct xrnpe_product *product)
{
	const struct xrnpe_dims_image *d = &product->cmd->image;
	struct plan plan = { xrnpe_avx512_words(product->ifm.format), xrnpe_avx512_words(product->weight.format),
			     .all_runs = d->kernel_h * runs_in_line(d) };

	plan.run_taps = d->kernel_w / runs_in_line(d);
	plan.values = plan.run_taps * xrnpe_inputs(product);
	plan.steps = (plan.values + STEP - 1) / STEP;
	plan.safe_steps = (size_t)(INT32_MAX / (STEP * (int64_t)xrnpe_largest(product->ifm.format) *
						xrnpe_largest(product->weight.format)));
	/* Odd numbers of lines, so that rows do not compete for sets of a cache. */
	plan.pitch = ((plan.all_runs * plan.steps * STEP * sizeof(int16_t) + XRNPE_DECODE_SLACK) / 128 * 2 + 3) *
		     64;
	return plan;
}

static size_t all_steps(const struct plan *plan)
{
	return plan->all_runs * plan->steps;
}

/* ---- tiles ------------------------------------------------------------ */

INLINE __m512i broadcast_step(const uint8_t *from)
{
	int32_t word;

	memcpy(&word, from, sizeof(word));
	return _mm512_set1_epi32(word);
}

/* In assembly as GCC 12 moves the accumulators when it is given the intrinsic. */
#define DOT(acc, x, y) __asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(x), "v"(y))

/*
 * The sums of some quads and some vectors of channels. What a quad has of positions that there
 * are not, the next quad overwrites.
 */
INLINE void multiply_tile(size_t quads, size_t vectors, const struct windows *windows, size_t steps,
			  const uint8_t *b, int32_t (*sum)[LANES])
{
	const size_t pitch = windows->pitch;
	__m512i acc[QUADS][QUAD][VECTORS];

#pragma GCC unroll 3
	for (size_t q = 0; q < quads; q++) {
#pragma GCC unroll 4
		for (size_t r = 0; r < QUAD; r++) {
			acc[q][r][0] = _mm512_setzero_si512();
			acc[q][r][1] = _mm512_setzero_si512();
		}
	}
	for (size_t line = 0; line < windows->lines; line++) {
		for (size_t run = 0; run < windows->runs; run++) {
			const uint8_t *a[QUADS];

#pragma GCC unroll 3
			for (size_t q = 0; q < quads; q++)
				a[q] = windows->at[line][q] + run * windows->run_pitch;
			for (size_t s = steps; s; s--, b += vectors * 64) {
				__m512i y[VECTORS] = { _mm512_load_si512(b) };

				if (vectors > 1)
					y[1] = _mm512_load_si512(b + 64);
#pragma GCC unroll 3
				for (size_t q = 0; q < quads; q++) {
#pragma GCC unroll 4
					for (size_t r = 0; r < QUAD; r++) {
						__m512i x = broadcast_step(a[q] + r * pitch);

						DOT(acc[q][r][0], x, y[0]);
						if (vectors > 1)
							DOT(acc[q][r][1], x, y[1]);
					}
					a[q] += STEP * sizeof(int16_t);
				}
			}
		}
	}
#pragma GCC unroll 3
	for (size_t q = 0; q < quads; q++) {
#pragma GCC unroll 4
		for (size_t r = 0; r < QUAD; r++) {
			int32_t *to = sum[windows->row[q] + r];

			_mm512_store_si512(to, acc[q][r][0]);
			if (vectors > 1)
				_mm512_store_si512(to + 16, acc[q][r][1]);
		}
	}
}

/* @steps: of a run. */
typedef void tile(const struct windows *windows, size_t steps, const uint8_t *b, int32_t (*sum)[LANES]);

#define TILE(quads, vectors)								\
	TARGET static void tile_##quads##_##vectors(const struct windows *windows, size_t steps, \
						    const uint8_t *b, int32_t (*sum)[LANES]) \
	{										\
		multiply_tile(quads, vectors, windows, steps, b, sum);			\
	}
TILE(1, 1)
TILE(1, 2)
TILE(2, 1)
TILE(2, 2)
TILE(3, 1)
TILE(3, 2)

static tile *const tiles[QUADS][VECTORS] = {
	{ tile_1_1, tile_1_2 }, { tile_2_1, tile_2_2 }, { tile_3_1, tile_3_2 },
};

/* ---- panels ------------------------------------------------------------ */

struct panel {
	struct stage stage;
	bool safe;		/* no sum can overflow 32 bits */
	uint8_t weights[] __attribute__((aligned(64)));	/* a vector or two a step */
};

static size_t vectors_for(size_t count)
{
	return count > 16 ? 2 : 1;
}

static size_t panel_bytes(const struct plan *plan)
{
	return sizeof(struct panel) + all_steps(plan) * LANES * STEP * sizeof(int16_t);
}

/* The weights of channel @n, with padding after each run; true if any is NaR. */
TARGET static bool decode_row(const struct xrnpe_product *product, const struct plan *plan, uint64_t n,
			      uint8_t *values)
{
	size_t channels = xrnpe_inputs(product), stride = product->cmd->operand[XRNPE_OPERAND_WEIGHT].pixel_stride;
	bool dense = stride * 8 == channels * xrnpe_format_bits(product->weight.format), nar = false;
	const uint8_t *row = xrnpe_weight_row(product, n);
	size_t together = dense ? plan->run_taps : 1;

	if (xrnpe_cancelled(product->cancel))
		return false;
	if (dense && plan->values % STEP == 0)
		return plan->weight->decode(product, &product->weight, row, 0, product->k, values);
	for (size_t run = 0; run < plan->all_runs; run++, values += plan->steps * STEP * sizeof(int16_t)) {
		if (xrnpe_cancelled(product->cancel))
			return false;
		for (size_t tap = 0; tap < plan->run_taps; tap += together, row += together * stride)
			nar |= plan->weight->decode(product, &product->weight, row, 0, together * channels,
						    values + tap * channels * sizeof(int16_t));
		memset(values + plan->values * sizeof(int16_t), 0, plan->values % STEP * sizeof(int16_t));
	}
	return nar;
}

/* The sum of magnitudes of words. */
TARGET static int64_t sum_magnitudes(const uint8_t *row, size_t count)
{
	__m512i sum = _mm512_setzero_si512();

	for (size_t i = 0; i < count; i += 32) {
		__m512i words = _mm512_maskz_loadu_epi16((__mmask32)first_lanes(count - i < 32 ? count - i : 32),
							 (const int16_t *)row + i);

		sum = _mm512_dpwssd_epi32(sum, _mm512_abs_epi16(words), _mm512_set1_epi16(1));
	}
	return _mm512_reduce_add_epi32(sum);
}

/* Layout of the scratch memory; then 16 rows of weights, or lines and what tiles read past them. */
struct scratch {
	int32_t sum[ROWS][LANES] __attribute__((aligned(64)));
	int64_t wide[ROWS][LANES];
	struct windows windows;
};

TARGET static void fill(const struct xrnpe_product *product, uint64_t n, size_t count, void *memory,
			void *scratch)
{
	uint8_t *rows = (uint8_t *)((struct scratch *)scratch + 1);
	struct plan plan = plan_of(product);
	size_t steps = all_steps(&plan), vectors = vectors_for(count);
	struct panel *panel = memory;
	struct stage *stage = &panel->stage;
	int64_t largest = 0;

	xrnpe_avx512_stage(product, n, count, stage);
	for (size_t lane = 0; lane < vectors * 16; lane++) {
		uint8_t *row = rows + lane % 16 * plan.pitch;

		if (lane >= count) {
			memset(row, 0, steps * STEP * sizeof(int16_t));
		} else {
			int64_t sum;

			stage->nar[lane] = decode_row(product, &plan, n + lane, row);
			stage->any_nar |= stage->nar[lane];
			sum = steps > plan.safe_steps ? sum_magnitudes(row, steps * STEP) : 0;
			largest = sum > largest ? sum : largest;
		}
		if (lane % 16 == 15)
			interleave(rows, plan.pitch, steps, vectors * 64, panel->weights + lane / 16 * 64);
	}
	panel->safe = largest * xrnpe_largest(product->ifm.format) <= INT32_MAX;
}

/* ---- blocks ------------------------------------------------------------ */

/* The sums of a panel where 32 bits may be too few. */
TARGET static void multiply_wide(const struct plan *plan, const struct panel *panel, size_t quads, size_t vectors,
				 size_t rows, struct scratch *scratch)
{
	const struct windows *windows = &scratch->windows;
	struct windows part = { .pitch = windows->pitch, .lines = 1, .runs = 1 };
	const uint8_t *weights = panel->weights;

	memcpy(part.row, windows->row, sizeof(part.row));
	memset(scratch->wide, 0, sizeof(scratch->wide));
	for (size_t run = 0; run < plan->all_runs; run++) {
		for (size_t s = 0, some; s < plan->steps; s += some) {
			some = plan->steps - s < plan->safe_steps ? plan->steps - s : plan->safe_steps;
			for (size_t q = 0; q < quads; q++)
				part.at[0][q] = windows->at[run / windows->runs][q] +
						run % windows->runs * windows->run_pitch + s * STEP * sizeof(int16_t);
			tiles[quads - 1][vectors - 1](&part, some, weights, scratch->sum);
			weights += some * vectors * 64;
			for (size_t r = 0; r < rows; r++) {
				for (size_t i = 0; i < vectors * 16; i++)
					scratch->wide[r][i] += scratch->sum[r][i];
			}
		}
	}
}

TARGET static void run(const struct xrnpe_product *product, const struct xrnpe_block *block,
		       const void *panels, void *memory, uint32_t *status)
{
	struct plan plan = plan_of(product);
	struct scratch *scratch = memory;
	uint64_t p = block->p0;
	size_t rows;

	windows_start(&scratch->windows, product, plan.input, block->n0, scratch + 1);
	for (; p < block->p1; p += rows) {
		const uint8_t *at = panels;
		uint8_t *out[ROWS];
		bool nar[ROWS];
		size_t quads = windows_place(&scratch->windows, p, block->p1, &rows, nar);

		if (!quads)
			return;
		xrnpe_output_rows(product, p, rows, out);
		for (uint64_t n = block->n0; n < block->n1; n += LANES, at += panel_bytes(&plan)) {
			const struct panel *panel = (const struct panel *)at;
			size_t count = block->n1 - n < LANES ? (size_t)(block->n1 - n) : LANES;
			size_t vectors = vectors_for(count);
			struct sums sums = { 0 };

			if (xrnpe_cancelled(product->cancel))
				return;
			xrnpe_fetch_residuals(product, p, rows, n);
			if (panel->safe) {
				tiles[quads - 1][vectors - 1](&scratch->windows, plan.steps, panel->weights,
							      scratch->sum);
				sums.narrow = scratch->sum[0];
			} else {
				multiply_wide(&plan, panel, quads, vectors, rows, scratch);
				sums.wide = scratch->wide[0];
			}
			xrnpe_avx512_put(product, &panel->stage, &sums, p, out, rows, n, count, status);
			for (size_t r = 0; r < rows; r++) {
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
	return windows_size(product, xrnpe_avx512_words(product->ifm.format)) && windows_pay(product, LANES);
}

static struct xrnpe_tiling tiling(const struct xrnpe_product *product)
{
	struct plan plan = plan_of(product);

	return (struct xrnpe_tiling){
		.rows = ROWS,
		.lanes = LANES,
		.panel_bytes = panel_bytes(&plan),
		.column_bytes = COLUMN_BYTES,
	};
}

static size_t scratch_size(const struct xrnpe_product *product, const struct xrnpe_block *shape)
{
	struct plan plan = plan_of(product);
	size_t rows = 16 * plan.pitch, lines = windows_size(product, plan.input);

	return sizeof(struct scratch) + (rows > lines ? rows : lines);
}

const struct xrnpe_kernel xrnpe_conv_avx512 = {
	.suits = suits,
	.tiling = tiling,
	.fill = fill,
	.scratch = scratch_size,
	.run = run,
};

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Convolutions with AVX-512 in which words are multiplied where windows.h has them: tiles, of
 * 16 or 32 channels, and panels of weights. Whoever includes this defines STEP_BYTES.
 */
#ifndef XRNPE_DATAPATH_CONV_AVX512_H
#define XRNPE_DATAPATH_CONV_AVX512_H

#include <string.h>

#include "avx512.h"
#include "windows.h"

#define COLUMN_BYTES (1u << 20)	/* half of a cache */
#define STEP 2			/* words that one instruction multiplies in a lane */

/* A product as the tiles see it. */
struct plan {
	const struct xrnpe_decoder *input, *weight;
	int64_t most;			/* the largest magnitude of an input's words */
	size_t all_runs, run_taps;	/* of a window; of a run */
	size_t values, steps;		/* of a run; an odd number of values is padded */
	size_t safe_steps;	/* that cannot overflow 32 bits, whatever the codes */
	size_t pitch;		/* bytes between decoded rows of weights */
};

/* The plan for inputs whose words are @most in magnitude. */
static struct plan plan_for(const struct xrnpe_product *product, const struct xrnpe_decoder *input, int64_t most)
{
	const struct xrnpe_dims_image *d = &product->cmd->image;
	struct plan plan = { input, xrnpe_avx512_words(product->weight.format), most,
			     .all_runs = d->kernel_h * runs_in_line(d) };

	plan.run_taps = d->kernel_w / runs_in_line(d);
	plan.values = plan.run_taps * xrnpe_inputs(product);
	plan.steps = (plan.values + STEP - 1) / STEP;
	plan.safe_steps = (size_t)(INT32_MAX / (STEP * most * xrnpe_largest(product->weight.format)));
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
 * are not, the next quad overwrites. @size: bytes from a step of the inputs to the next.
 */
INLINE void multiply_tile(size_t size, size_t quads, size_t vectors, const struct windows *windows, size_t steps,
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
					a[q] += size;
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

/* @steps: of a run. Whoever includes this has STEP_BYTES, from one of the inputs to the next. */
typedef void tile(const struct windows *windows, size_t steps, const uint8_t *b, int32_t (*sum)[LANES]);

#define TILE(quads, vectors)								\
	TARGET static void tile_##quads##_##vectors(const struct windows *windows, size_t steps, \
						    const uint8_t *b, int32_t (*sum)[LANES]) \
	{										\
		multiply_tile(STEP_BYTES, quads, vectors, windows, steps, b, sum);	\
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
	size_t safe_steps;	/* else: with these weights no sum of so many steps does */
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

/* The sum of magnitudes of words; to *@largest the largest, unless it is less. */
TARGET static int64_t sum_magnitudes(const uint8_t *row, size_t count, int64_t *largest)
{
	__m512i sum = _mm512_setzero_si512(), most = sum;
	int64_t found;

	for (size_t i = 0; i < count; i += 32) {
		__m512i words = _mm512_maskz_loadu_epi16((__mmask32)first_lanes(count - i < 32 ? count - i : 32),
							 (const int16_t *)row + i);

		words = _mm512_abs_epi16(words);
		sum = _mm512_dpwssd_epi32(sum, words, _mm512_set1_epi16(1));
		most = _mm512_max_epi16(most, words);
	}
	most = _mm512_max_epi16(most, _mm512_srli_epi32(most, 16));
	found = _mm512_reduce_max_epi32(_mm512_and_si512(most, _mm512_set1_epi32(INT16_MAX)));
	*largest = found > *largest ? found : *largest;
	return _mm512_reduce_add_epi32(sum);
}

/* The weights of @count channels from @n on. @rows: memory for 16 rows of them. */
TARGET static void fill_panel(const struct xrnpe_product *product, const struct plan *plan, uint64_t n, size_t count,
			      struct panel *panel, uint8_t *rows)
{
	size_t steps = all_steps(plan), vectors = vectors_for(count);
	struct stage *stage = &panel->stage;
	int64_t largest = 0, weight = 1;

	for (size_t lane = 0; lane < vectors * 16; lane++) {
		uint8_t *row = rows + lane % 16 * plan->pitch;

		if (lane >= count) {
			memset(row, 0, steps * STEP * sizeof(int16_t));
		} else {
			int64_t sum;

			stage->nar[lane] = decode_row(product, plan, n + lane, row);
			stage->any_nar |= stage->nar[lane];
			sum = steps > plan->safe_steps ? sum_magnitudes(row, steps * STEP, &weight) : 0;
			largest = sum > largest ? sum : largest;
		}
		if (lane % 16 == 15)
			interleave(rows, plan->pitch, steps, vectors * 64, panel->weights + lane / 16 * 64);
	}
	panel->safe = largest * plan->most <= INT32_MAX;
	panel->safe_steps = (size_t)(INT32_MAX / (STEP * plan->most * weight));
}

/* The sums of a panel where 32 bits may be too few, which @sum has for parts of them. */
TARGET static void multiply_wide(const struct plan *plan, const struct panel *panel, const struct windows *windows,
				 size_t quads, size_t vectors, size_t rows, int32_t (*sum)[LANES],
				 int64_t (*wide)[LANES])
{
	struct windows part = { .pitch = windows->pitch, .lines = 1, .runs = 1 };
	const uint8_t *weights = panel->weights;

	memcpy(part.row, windows->row, sizeof(part.row));
	memset(wide, 0, ROWS * sizeof(*wide));
	for (size_t run = 0; run < plan->all_runs; run++) {
		for (size_t s = 0, some; s < plan->steps; s += some) {
			some = plan->steps - s < panel->safe_steps ? plan->steps - s : panel->safe_steps;
			for (size_t q = 0; q < quads; q++)
				part.at[0][q] = windows->at[run / windows->runs][q] +
						run % windows->runs * windows->run_pitch + s * STEP_BYTES;
			tiles[quads - 1][vectors - 1](&part, some, weights, sum);
			weights += some * vectors * 64;
			for (size_t r = 0; r < rows; r++) {
				for (size_t i = 0; i < vectors * 16; i++)
					wide[r][i] += sum[r][i];
			}
		}
	}
}

/* ---- the kernel -------------------------------------------------------- */

static struct xrnpe_tiling tiling_of(const struct plan *plan)
{
	return (struct xrnpe_tiling){
		.rows = ROWS,
		.lanes = LANES,
		.panel_bytes = panel_bytes(plan),
		.column_bytes = COLUMN_BYTES,
	};
}

/* Bytes of what follows a kernel's own scratch memory: 16 rows of weights, or lines and what tiles read past them. */
static size_t rows_or_lines(const struct xrnpe_product *product, const struct plan *plan)
{
	size_t rows = 16 * plan->pitch, lines = windows_size(product, plan->input);

	return rows > lines ? rows : lines;
}

#endif

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

/* A step of inputs. */
typedef int32_t __attribute__((may_alias, aligned(2))) step;

/* In assembly as GCC 12 moves the accumulators when it is given the intrinsic. */
#define DOT(acc, x, y) __asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(x), "v"(y))
/* @x: a step in memory. For Zen 4 its broadcast is work only if it is an instruction of its own. */
#define DOT_EACH(acc, x, y) __asm__("vpdpwssd %1%{1to16%}, %2, %0" : "+v"(acc) : "m"(x), "v"(y))

/*
 * The sums of some groups and some vectors of channels. What a group has of positions that there
 * are not, the next group overwrites. @size: bytes from a step of the inputs to the next.
 */
INLINE void multiply_groups(size_t size, size_t group, size_t groups, size_t vectors, const struct windows *windows,
			    size_t steps, const uint8_t *b, int32_t (*sum)[LANES])
{
	const size_t pitch = windows->pitch;
	__m512i acc[MOST_GROUPS][SEVEN][VECTORS];

#pragma GCC unroll 7
	for (size_t q = 0; q < groups; q++) {
#pragma GCC unroll 7
		for (size_t r = 0; r < group; r++) {
			acc[q][r][0] = _mm512_setzero_si512();
			acc[q][r][1] = _mm512_setzero_si512();
		}
	}
	for (size_t line = 0; line < windows->lines; line++) {
		for (size_t run = 0; run < windows->runs; run++) {
			const uint8_t *a[MOST_GROUPS];

#pragma GCC unroll 7
			for (size_t q = 0; q < groups; q++)
				a[q] = windows->at[line][q] + run * windows->run_pitch;
			for (size_t s = steps; s; s--, b += vectors * 64) {
				__m512i y[VECTORS] = { _mm512_load_si512(b) };

				if (vectors > 1)
					y[1] = _mm512_load_si512(b + 64);
#pragma GCC unroll 7
				for (size_t q = 0; q < groups; q++) {
#pragma GCC unroll 7
					for (size_t r = 0; r < group; r++) {
						const step *from = (const step *)(a[q] + r * pitch);
						__m512i x;

						if (vectors == 1) {
							DOT_EACH(acc[q][r][0], *from, y[0]);
							continue;
						}
						x = _mm512_set1_epi32(*from);
						DOT(acc[q][r][0], x, y[0]);
						DOT(acc[q][r][1], x, y[1]);
					}
					a[q] += size;
				}
			}
		}
	}
#pragma GCC unroll 7
	for (size_t q = 0; q < groups; q++) {
#pragma GCC unroll 7
		for (size_t r = 0; r < group; r++) {
			int32_t *to = sum[windows->row[q] + r];

			_mm512_store_si512(to, acc[q][r][0]);
			if (vectors > 1)
				_mm512_store_si512(to + 16, acc[q][r][1]);
		}
	}
}

/* @steps: of a run. Whoever includes this has STEP_BYTES, from one of the inputs to the next. */
typedef void tile(const struct windows *windows, size_t steps, const uint8_t *b, int32_t (*sum)[LANES]);

#define TILE(group, groups, vectors)							\
	TARGET static void tile_##group##_##groups##_##vectors(const struct windows *windows, size_t steps, \
							       const uint8_t *b, int32_t (*sum)[LANES]) \
	{										\
		multiply_groups(STEP_BYTES, group, groups, vectors, windows, steps, b, sum); \
	}
TILE(4, 1, 1)
TILE(4, 2, 1)
TILE(4, 3, 1)
TILE(4, 4, 1)
TILE(4, 5, 1)
TILE(4, 6, 1)
TILE(4, 7, 1)
TILE(4, 1, 2)
TILE(4, 2, 2)
TILE(4, 3, 2)
TILE(7, 1, 1)
TILE(7, 2, 1)
TILE(7, 3, 1)
TILE(7, 4, 1)
TILE(7, 1, 2)
TILE(7, 2, 2)

/* The sums of a tile of @groups groups and @vectors vectors of channels. */
static void multiply_tile(const struct windows *windows, size_t groups, size_t vectors, size_t steps, const uint8_t *b,
			  int32_t (*sum)[LANES])
{
	static tile *const quads[VECTORS][MOST_GROUPS] = {
		{ tile_4_1_1, tile_4_2_1, tile_4_3_1, tile_4_4_1, tile_4_5_1, tile_4_6_1, tile_4_7_1 },
		{ tile_4_1_2, tile_4_2_2, tile_4_3_2 },
	};
	static tile *const sevens[VECTORS][MOST_GROUPS] = {
		{ tile_7_1_1, tile_7_2_1, tile_7_3_1, tile_7_4_1 },
		{ tile_7_1_2, tile_7_2_2 },
	};

	(windows->group == QUAD ? quads : sevens)[vectors - 1][groups - 1](windows, steps, b, sum);
}

/* Positions of a group: such that few are lacking. */
static inline size_t group_of(const struct xrnpe_product *product)
{
	return windows_lack(product, SEVEN) <= windows_lack(product, QUAD) ? SEVEN : QUAD;
}

/* Groups of a tile: as many as there are registers for beside what sums are of. */
static inline size_t groups_of(const struct xrnpe_product *product)
{
	const size_t sums = 28, vectors = product->group_channels > 16 ? 2 : 1;

	return sums / (vectors * group_of(product));
}

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
				 size_t groups, size_t vectors, size_t rows, int32_t (*sum)[LANES],
				 int64_t (*wide)[LANES])
{
	const uint8_t *weights = panel->weights;
	struct windows part;

	windows_of_runs(&part, windows->group, windows->pitch);
	memcpy(part.row, windows->row, sizeof(part.row));
	memset(wide, 0, rows * sizeof(*wide));
	for (size_t run = 0; run < plan->all_runs; run++) {
		for (size_t s = 0, some; s < plan->steps; s += some) {
			some = plan->steps - s < panel->safe_steps ? plan->steps - s : panel->safe_steps;
			for (size_t q = 0; q < groups; q++)
				part.at[0][q] = windows->at[run / windows->runs][q] +
						run % windows->runs * windows->run_pitch + s * STEP_BYTES;
			multiply_tile(&part, groups, vectors, some, weights, sum);
			weights += some * vectors * 64;
			for (size_t r = 0; r < rows; r++) {
				for (size_t i = 0; i < vectors * 16; i++)
					wide[r][i] += sum[r][i];
			}
		}
	}
}

/* ---- the kernel -------------------------------------------------------- */

static struct xrnpe_tiling tiling_of(const struct plan *plan, size_t rows)
{
	return (struct xrnpe_tiling){
		.rows = rows,
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

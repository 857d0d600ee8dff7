// SPDX-License-Identifier: MIT
/*
 * Posit(16,1) with AVX-512.
 *
 * Values are doubles, in units of the grid, and so are products, exactly; sums are off by
 * little, of which there is a bound (sums_p16.h). Where all within the bound rounds to one
 * output, that is it. Where not, and only there, the sum is computed once more in 128
 * bits. If values are so close that no sum can need more than 53 bits, none is off.
 */
#ifdef __x86_64__

#include <string.h>

#include "avx512_p16.h"
#include "sums_p16.h"
#include "lines.h"

#define COLUMN_BYTES (2u << 20)	/* a cache */

/* Bytes between decoded rows, as PITCH. */
#define DOUBLE_PITCH (XRNPE_MAX_K * sizeof(double) + XRNPE_DECODE_SLACK + 64)

/* Layout of the scratch memory; then lines. */
struct scratch {
	double sum[ROWS][LANES] __attribute__((aligned(64))), error[ROWS][LANES];
	double magnitudes[ROWS][XRNPE_MAX_K / RUN];	/* of inputs, their sums by run */
	uint8_t rows[ROWS * DOUBLE_PITCH] __attribute__((aligned(64)));		/* decoded */
};

struct panel {
	struct stage stage;
	uint64_t bits;		/* of the weights' magnitudes, or-ed together */
	/* Of each half of the channels the weights; then by run the largest magnitudes of all. */
	double values[] __attribute__((aligned(64)));
};

static double *largest_of(const struct xrnpe_product *product, const struct panel *panel)
{
	return (double *)panel->values + product->k * LANES;
}

static size_t panel_bytes(const struct xrnpe_product *product)
{
	return sizeof(struct panel) + (product->k + runs_of(product)) * LANES * sizeof(double);
}

/* ---- decoding --------------------------------------------------------- */

/* Codes, so that decode_words() has them in order. */
static const uint16_t order[32] __attribute__((aligned(64))) = {
	0, 16, 8, 24, 1, 17, 9, 25, 2, 18, 10, 26, 3, 19, 11, 27,
	4, 20, 12, 28, 5, 21, 13, 29, 6, 22, 14, 30, 7, 23, 15, 31,
};

/* 32 codes to doubles, in units of the grid and in order. */
INLINE void decode_in_order(__m512i codes, double *to)
{
	const __m512d grid = _mm512_set1_pd(power(SCALE(1) + 28));
	__m512d value[4];

	decode_words(1, _mm512_permutexvar_epi16(_mm512_load_si512(order), codes), value);
#pragma GCC unroll 4
	for (size_t i = 0; i < 4; i++)
		_mm512_storeu_pd(to + i * 8, _mm512_mul_pd(value[i], grid));
}

/* @count codes; true if any is NaR. */
TARGET static bool decode_codes(const uint8_t *codes, size_t count, double *to)
{
	__mmask32 finite = ~0u;

	for (size_t i = 0; i < count; i += 32) {
		__m512i some = _mm512_maskz_loadu_epi16((__mmask32)first_lanes(count - i), codes + i * 2);
		__mmask32 value = _mm512_cmpneq_epi16_mask(some, _mm512_set1_epi16(INT16_MIN));

		finite &= value;
		decode_in_order(_mm512_maskz_mov_epi16(value, some), to + i);
	}
	return ~finite;
}

static bool decode_doubles(const struct xrnpe_product *product, const struct xrnpe_factor *factor,
			   const uint8_t *row, size_t first, size_t count, void *values)
{
	return decode_factor(decode_codes, factor, row, first, count, values);
}

const struct xrnpe_decoder xrnpe_avx512_doubles = { decode_doubles, sizeof(double), 0 };

TARGET void xrnpe_avx512_p16_fill(const struct xrnpe_product *product, uint64_t n, size_t count,
				  void *memory, void *scratch_memory)
{
	struct scratch *scratch = scratch_memory;
	struct panel *panel = memory;
	double *largest = largest_of(product, panel);
	__m512i bits = _mm512_setzero_si512();

	panel->bits = 0;
	xrnpe_avx512_scales(product, n, count, P16_UNIT, &panel->stage);
	memset(largest, 0, runs_of(product) * LANES * sizeof(double));
	for (size_t lane = 0; lane < (count + HALF - 1) / HALF * HALF; lane += 8) {
		double *to = panel->values + lane / HALF * product->k * HALF + lane % HALF;

		decode_eight(product, n, count, lane, scratch->rows, DOUBLE_PITCH, &panel->stage);
		for (size_t k = 0; k < product->k; k += 8) {
			double *most = largest + k / RUN * LANES + lane;
			__m512d value[8], all = _mm512_load_pd(most);

			if (!(k % POLL_STEPS) && xrnpe_cancelled(product->cancel))
				return;
			transpose_reals(scratch->rows + k * sizeof(double), DOUBLE_PITCH, value);
			for (size_t i = 0; i < 8 && k + i < product->k; i++, to += HALF) {
				__m512d magnitude = _mm512_abs_pd(value[i]);

				_mm512_store_pd(to, value[i]);
				all = _mm512_max_pd(all, magnitude);
				bits = note_bits(bits, magnitude);
			}
			_mm512_store_pd(most, all);
		}
	}
	panel->bits = (uint64_t)_mm512_reduce_or_epi64(bits);
}

/* What the bound on the error of @rows positions must know; zeros where there are fewer. */
TARGET static uint64_t measure(const struct xrnpe_product *product, size_t rows, struct scratch *scratch)
{
	__m512i bits = _mm512_setzero_si512();
	size_t k = product->k;

	for (size_t r = 0; r < ROWS; r++) {
		double *row = (double *)(scratch->rows + r * DOUBLE_PITCH);

		if (r >= rows)
			memset(row, 0, k * sizeof(double));
		for (size_t run = 0; run * RUN < k; run++) {
			size_t end = (run + 1) * RUN < k ? (run + 1) * RUN : k;
			__m512d sum = _mm512_setzero_pd();

			for (size_t i = run * RUN; i < end; i += 8) {
				__m512d magnitude = _mm512_abs_pd(_mm512_maskz_loadu_pd(
					(__mmask8)first_lanes(end - i), row + i));

				sum = _mm512_add_pd(sum, magnitude);
				bits = note_bits(bits, magnitude);
			}
			scratch->magnitudes[r][run] = _mm512_reduce_add_pd(sum);
		}
	}
	return (uint64_t)_mm512_reduce_or_epi64(bits);
}

/* ---- sums ------------------------------------------------------------- */

/* In assembly because GCC 12 spills the accumulators, see gemm_avx512.c. */
#define MULTIPLY_ADD(acc, x, y) __asm__("vfmadd231pd %2, %1, %0" : "+v"(acc) : "v"(x), "v"(y))
#define DECLARE(i) __m512d acc##i##_0 = _mm512_setzero_pd(), acc##i##_1 = acc##i##_0
#define ACCUMULATE(i)									\
	do {										\
		__m512d x = _mm512_set1_pd(*(const double *)(a + (i) * DOUBLE_PITCH));	\
		MULTIPLY_ADD(acc##i##_0, x, b0);					\
		MULTIPLY_ADD(acc##i##_1, x, b1);					\
	} while (0)
/* The next line of a row. */
#define FETCH(i) _mm_prefetch(a + (i) * DOUBLE_PITCH + 128, _MM_HINT_T0)
#define FINISH(i)									\
	do {										\
		_mm512_store_pd(sum[i], acc##i##_0);					\
		_mm512_store_pd(sum[i] + 8, acc##i##_1);				\
	} while (0)

/* The sums of ROWS positions in half of a panel's channels. */
TARGET static void tile(const uint8_t *a, const double *b, size_t k, double (*sum)[LANES])
{
	ALL_ROWS(DECLARE);

	while (k) {
		size_t some = k < 8 ? k : 8;

		ALL_ROWS(FETCH);
		for (k -= some; some; some--, a += sizeof(double), b += HALF) {
			__m512d b0 = _mm512_load_pd(b), b1 = _mm512_load_pd(b + 8);

			_mm_prefetch((const uint8_t *)b + AHEAD, _MM_HINT_T0);
			_mm_prefetch((const uint8_t *)b + AHEAD + 64, _MM_HINT_T0);
			ALL_ROWS(ACCUMULATE);
		}
	}
	ALL_ROWS(FINISH);
}

/* What they are off by at most. */
TARGET static void bound(const struct scratch *scratch, const double *largest, size_t runs, double precision,
			 double (*error)[LANES])
{
	for (size_t r = 0; r < ROWS; r++) {
		for (size_t i = 0; i < LANES; i += 8) {
			__m512d sum = _mm512_setzero_pd();

			for (size_t run = 0; run < runs; run++)
				sum = _mm512_fmadd_pd(_mm512_load_pd(largest + run * LANES + i),
						      _mm512_set1_pd(scratch->magnitudes[r][run]), sum);
			_mm512_store_pd(error[r] + i, _mm512_mul_pd(sum, _mm512_set1_pd(precision)));
		}
	}
}

/* ---- blocks ----------------------------------------------------------- */

struct xrnpe_tiling xrnpe_avx512_p16_tiling(const struct xrnpe_product *product)
{
	return (struct xrnpe_tiling){
		.rows = ROWS,
		.lanes = LANES,
		.panel_bytes = panel_bytes(product),
		.column_bytes = COLUMN_BYTES,
	};
}

size_t xrnpe_avx512_p16_scratch(const struct xrnpe_product *product)
{
	return sizeof(struct scratch) + xrnpe_lines_size(product, &xrnpe_avx512_doubles, xrnpe_inputs(product), 1);
}

TARGET void xrnpe_avx512_p16_run(const struct xrnpe_product *product, const struct xrnpe_block *block,
				 const void *panels, void *memory, uint32_t *status)
{
	struct scratch *scratch = memory;
	struct xrnpe_lines lines;

	xrnpe_lines_start_group(&lines, product, &xrnpe_avx512_doubles, block->n0, 1, scratch + 1);
	for (uint64_t p = block->p0; p < block->p1; p += ROWS) {
		size_t rows = block->p1 - p < ROWS ? (size_t)(block->p1 - p) : ROWS;
		const uint8_t *at = panels;
		uint8_t *out[ROWS];
		bool nar[ROWS];
		uint64_t bits;

		xrnpe_output_rows(product, p, rows, out);
		xrnpe_lines_gather(&lines, p, rows, scratch->rows, DOUBLE_PITCH, nar);
		bits = measure(product, rows, scratch);
		for (uint64_t n = block->n0; n < block->n1; n += LANES, at += panel_bytes(product)) {
			const struct panel *panel = (const struct panel *)at;
			size_t count = block->n1 - n < LANES ? (size_t)(block->n1 - n) : LANES;
			bool exact = spread_of(bits, panel->bits, product->k) <= 53;
			uint32_t doubt[ROWS];

			for (size_t half = 0; half * HALF < count; half++) {
				if (xrnpe_cancelled(product->cancel))
					return;
				tile(scratch->rows, panel->values + half * product->k * HALF, product->k,
				     (double (*)[LANES])(scratch->sum[0] + half * HALF));
			}
			if (!exact)
				bound(scratch, largest_of(product, panel), runs_of(product), precision_of(product->k),
				      scratch->error);
			xrnpe_avx512_put_near(product, &panel->stage, (const double (*)[LANES])scratch->sum,
					      exact ? NULL : scratch->error[0], LANES, p, out, rows, n, count, doubt);
			for (size_t r = 0; r < rows; r++) {
				if (doubt[r] && !nar[r])
					settle(product, &panel->stage, panel->values,
					       (double *)(scratch->rows + r * DOUBLE_PITCH), scratch->sum[r], p + r,
					       n, count, doubt[r], out[r], status);
				if (nar[r] || panel->stage.any_nar)
					xrnpe_put_nar(product, nar[r] ? NULL : panel->stage.nar, out[r], n,
						      count, status);
			}
		}
	}
}

#endif

// SPDX-License-Identifier: MIT
/*
 * Posit(16,1) with AVX-512.
 *
 * Values are doubles, in units of the grid, and so are products, exactly; sums are off by
 * little, of which there is a bound (gemv_p16.h). Where all within the bound rounds to one
 * output, that is it. Where not, and only there, the sum is computed once more in 128
 * bits. If values are so close that no sum can need more than 53 bits, none is off.
 */
#ifdef __x86_64__

#include <string.h>

#include "avx512.h"
#include "gemv_p16.h"
#include "lines.h"

#define COLUMN_BYTES (2u << 20)	/* a cache */
#define RUN 128			/* products whose largest weight is known */
#define HALF (LANES / 2)

/* Bytes between rows of doubles, as PITCH. */
#define DOUBLE_PITCH (XRNPE_MAX_K * sizeof(double) + 64)

/* Layout of the scratch memory; then rows of 64-bit values and lines. */
struct scratch {
	double sum[ROWS][LANES] __attribute__((aligned(64))), error[ROWS][LANES];
	double magnitudes[ROWS][XRNPE_MAX_K / RUN];	/* of inputs, their sums by run */
	uint8_t inputs[ROWS * DOUBLE_PITCH] __attribute__((aligned(64)));
};

struct panel {
	struct stage stage;
	uint64_t bits;		/* of the weights' magnitudes, or-ed together */
	/* Of each half of the channels the weights; then by run the largest magnitudes of all. */
	double values[] __attribute__((aligned(64)));
};

static size_t runs_of(const struct xrnpe_product *product)
{
	return (product->k + RUN - 1) / RUN;
}

static double *largest_of(const struct xrnpe_product *product, const struct panel *panel)
{
	return (double *)panel->values + product->k * LANES;
}

static size_t panel_bytes(const struct xrnpe_product *product)
{
	return sizeof(struct panel) + (product->k + runs_of(product)) * LANES * sizeof(double);
}

/* Bytes of a row of 64-bit values. */
static size_t wide_pitch(const struct xrnpe_product *product)
{
	return (product->k * sizeof(int64_t) + XRNPE_DECODE_SLACK + 63) / 64 * 64;
}

/* ---- decoding --------------------------------------------------------- */

/* 8 codes, extended to 64 bits by @magnitude (of 32-bit lanes) and @exponent. */
INLINE __m512i place(__m256i significand, __m256i shift)
{
	__m512i wide = _mm512_cvtepu32_epi64(significand), by = _mm512_cvtepi32_epi64(shift);

	/* A count that is out of range, here a negative one, shifts all out. */
	return _mm512_or_si512(_mm512_sllv_epi64(wide, by),
			       _mm512_srlv_epi64(wide, _mm512_sub_epi64(_mm512_setzero_si512(), by)));
}

TARGET static bool decode_p16(const struct xrnpe_product *product, const uint8_t *row,
			      size_t first, size_t count, void *values)
{
	const __m512i one = _mm512_set1_epi32(1), zero = _mm512_setzero_si512();
	int64_t *to = values;
	__mmask16 found = 0;

	(void)product;
	row += first * 2;
	for (size_t i = 0; i < count; i += 16) {
		__mmask16 lanes = (__mmask16)first_lanes(count - i);
		__m256i packed = _mm256_maskz_loadu_epi16(lanes, row + i * 2);
		__m512i code = _mm512_cvtepi16_epi32(packed), body, rest, run, regime, shift;
		__mmask16 nar = _mm512_cmpeq_epi32_mask(code, _mm512_set1_epi32(INT16_MIN));
		__mmask16 negative = _mm512_movepi32_mask(code), large, valid;
		__m512i significand, value[2];

		found |= nar;
		valid = _mm512_test_epi32_mask(code, code) & (__mmask16)~nar;
		/* The 15 bits after the sign at the top: regime, exponent, fraction. */
		body = _mm512_slli_epi32(_mm512_abs_epi32(code), 17);
		large = _mm512_movepi32_mask(body);
		run = _mm512_lzcnt_epi32(_mm512_xor_si512(body, _mm512_srai_epi32(body, 31)));
		regime = _mm512_mask_sub_epi32(_mm512_sub_epi32(zero, run), large, run, one);
		rest = _mm512_sllv_epi32(body, _mm512_add_epi32(run, one));
		/* Significand with 12 bits of fraction; 2^-28 is the grid's unit. */
		shift = _mm512_add_epi32(_mm512_slli_epi32(regime, 1), _mm512_srli_epi32(rest, 31));
		shift = _mm512_add_epi32(shift, _mm512_set1_epi32(28 - 12));
		significand = _mm512_srli_epi32(_mm512_slli_epi32(rest, 1), 20);
		significand = _mm512_maskz_or_epi32(valid, significand, _mm512_set1_epi32(1 << 12));
		value[0] = place(_mm512_castsi512_si256(significand), _mm512_castsi512_si256(shift));
		value[1] = place(_mm512_extracti64x4_epi64(significand, 1),
				 _mm512_extracti64x4_epi64(shift, 1));
		for (int j = 0; j < 2; j++)
			_mm512_storeu_si512(to + i + j * 8,
					    _mm512_mask_sub_epi64(value[j], (__mmask8)(negative >> j * 8),
								  zero, value[j]));
	}
	return found;
}

const struct xrnpe_decoder xrnpe_avx512_p16 = { decode_p16, sizeof(int64_t), 0 };

TARGET uint64_t xrnpe_avx512_magnitudes(const uint8_t *wide, size_t pitch, size_t count, size_t k)
{
	__m512i any = _mm512_setzero_si512();

	for (size_t r = 0; r < count; r++) {
		const int64_t *row = (const int64_t *)(wide + r * pitch);

		for (size_t i = 0; i < k; i += 8) {
			__mmask8 lanes = (__mmask8)first_lanes(k - i);

			any = _mm512_or_si512(any, _mm512_abs_epi64(
				_mm512_maskz_loadu_epi64(lanes, row + i)));
		}
	}
	return (uint64_t)_mm512_reduce_or_epi64(any);
}

TARGET void xrnpe_avx512_p16_fill(const struct xrnpe_product *product, uint64_t n, size_t count,
				  void *memory, void *scratch)
{
	size_t pitch = wide_pitch(product);
	uint8_t *wide = (uint8_t *)((struct scratch *)scratch + 1);
	struct panel *panel = memory;
	double *to = panel->values, *largest = largest_of(product, panel);
	const __m512i rows = _mm512_mullo_epi64(_mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7),
						_mm512_set1_epi64((int64_t)pitch));

	memset(panel, 0, sizeof(*panel));
	xrnpe_scales(product, n, count, 1, panel->stage.scale, panel->stage.bias);
	for (size_t i = 0; i < LANES; i++) {
		if (i >= count) {
			memset(wide + i * pitch, 0, product->k * sizeof(int64_t));
			continue;
		}
		panel->stage.nar[i] = xrnpe_weights(product, &xrnpe_avx512_p16, n + i, wide + i * pitch);
		panel->stage.any_nar |= panel->stage.nar[i];
	}
	panel->bits = xrnpe_avx512_magnitudes(wide, pitch, count, product->k);
	memset(largest, 0, runs_of(product) * LANES * sizeof(double));
	for (size_t lane = 0; lane < LANES; lane += HALF) {
		for (size_t k = 0; k < product->k; k++) {
			for (size_t i = 0; i < HALF; i += 8, to += 8) {
				const uint8_t *from = wide + (lane + i) * pitch + k * sizeof(int64_t);
				double *most = largest + k / RUN * LANES + lane + i;
				__m512d value = _mm512_cvtepi64_pd(_mm512_i64gather_epi64(rows, from, 1));

				_mm512_store_pd(to, value);
				_mm512_store_pd(most, _mm512_max_pd(_mm512_load_pd(most), _mm512_abs_pd(value)));
			}
		}
	}
}

/* Rows of 64-bit values to the doubles of a tile, zeros where rows are missing. */
TARGET static void convert(const uint8_t *wide, size_t pitch, size_t rows, size_t k, struct scratch *scratch)
{
	for (size_t r = 0; r < ROWS; r++) {
		const int64_t *from = (const int64_t *)(wide + r * pitch);
		double *to = (double *)(scratch->inputs + r * DOUBLE_PITCH);

		if (r >= rows) {
			memset(to, 0, k * sizeof(double));
			memset(scratch->magnitudes[r], 0, sizeof(scratch->magnitudes[r]));
			continue;
		}
		for (size_t run = 0; run * RUN < k; run++) {
			size_t end = (run + 1) * RUN < k ? (run + 1) * RUN : k;
			__m512d sum = _mm512_setzero_pd();

			for (size_t i = run * RUN; i < end; i += 8) {
				__mmask8 lanes = (__mmask8)first_lanes(end - i);
				__m512d value = _mm512_cvtepi64_pd(_mm512_maskz_loadu_epi64(lanes, from + i));

				_mm512_mask_storeu_pd(to + i, lanes, value);
				sum = _mm512_add_pd(sum, _mm512_abs_pd(value));
			}
			scratch->magnitudes[r][run] = _mm512_reduce_add_pd(sum);
		}
	}
}

/* ---- sums ------------------------------------------------------------- */

#define AHEAD 1024	/* bytes of weights that are fetched from the second cache */

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
		_mm512_store_pd(sum[i], _mm512_mul_pd(acc##i##_0, unit));		\
		_mm512_store_pd(sum[i] + 8, _mm512_mul_pd(acc##i##_1, unit));		\
	} while (0)
#define ALL_ROWS(what)									\
	what(0); what(1); what(2); what(3); what(4); what(5);				\
	what(6); what(7); what(8); what(9); what(10); what(11)

/* The sums of ROWS positions in half of a panel's channels. */
TARGET static void tile(const uint8_t *a, const double *b, size_t k, double (*sum)[LANES])
{
	const __m512d unit = _mm512_set1_pd(0x1p-56);		/* of products on the grid */
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

/* log2 of the most that a sum of @k products can be, in units of the least it can be. */
static int spread_of(uint64_t inputs, uint64_t weights, size_t k)
{
	if (!inputs || !weights)
		return 0;
	return 64 - __builtin_clzll(inputs) - __builtin_ctzll(inputs) +
	       64 - __builtin_clzll(weights) - __builtin_ctzll(weights) + 64 - __builtin_clzll(k);
}

/* The exact output in channel @n. @row: the weights, decoded. */
static uint32_t output_exactly(const struct xrnpe_product *product, const int64_t *inputs, int64_t *row,
			       uint64_t n, bool negative, uint32_t *status)
{
	xrnpe_u128 sum = 0;

	xrnpe_weights(product, &xrnpe_avx512_p16, n, row);
	for (size_t k = 0; k < product->k; k++)
		sum += (xrnpe_u128)((xrnpe_i128)inputs[k] * row[k]);
	return xrnpe_output(product, n, xrnpe_term_from_sum(sum, negative,
							    2 * xrnpe_grid_unit(product->format)),
			    false, status);
}

/* ---- output ----------------------------------------------------------- */

TARGET uint32_t xrnpe_avx512_codes(const struct xrnpe_product *product, const struct stage *stage,
				   const double *sum, const double *error, uint32_t *code)
{
	const __m512d zero = _mm512_setzero_pd();
	const __m512d relu = product->cmd->activation == XRNPE_ACT_RELU ? zero :
			     _mm512_set1_pd(-__builtin_inf());
	uint32_t doubt = 0;

	for (size_t i = 0; i < LANES; i += 16) {
		__m512d low[2], high[2];
		__m512i codes;

		for (size_t j = 0; j < 2; j++) {
			size_t at = i + j * 8;
			__m512d scale = _mm512_load_pd(stage->scale + at), y, off;

			y = _mm512_fmadd_pd(_mm512_load_pd(sum + at), scale, _mm512_load_pd(stage->bias + at));
			/* What is computed here is off by at most 2^-53 of itself. */
			off = _mm512_mul_pd(_mm512_load_pd(error + at), _mm512_abs_pd(scale));
			off = _mm512_fmadd_pd(_mm512_abs_pd(y), _mm512_set1_pd(0x1p-51), off);
			low[j] = _mm512_max_pd(_mm512_sub_pd(y, off), relu);
			high[j] = _mm512_max_pd(_mm512_add_pd(y, off), relu);
			/* A zero without error is +0. */
			low[j] = _mm512_add_pd(low[j], zero);
			high[j] = _mm512_add_pd(high[j], zero);
		}
		codes = encode16(product->out, low[0], low[1]);
		_mm512_storeu_si512(code + i, codes);
		doubt |= (uint32_t)_mm512_cmpneq_epi32_mask(codes, encode16(product->out, high[0], high[1])) << i;
	}
	return doubt;
}

TARGET void xrnpe_avx512_put_codes(enum xrnpe_format out, uint8_t *row, uint64_t n, const uint32_t *code,
				   size_t count)
{
	for (size_t i = 0; i < count; i += 16)
		store16(out, row, n + i, _mm512_loadu_si512(code + i), count - i < 16 ? count - i : 16);
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
	return sizeof(struct scratch) + LANES * wide_pitch(product) +
	       xrnpe_lines_size(product, &xrnpe_avx512_p16, xrnpe_inputs(product));
}

TARGET void xrnpe_avx512_p16_run(const struct xrnpe_product *product, const struct xrnpe_block *block,
				 const void *panels, void *memory, uint32_t *status)
{
	struct scratch *scratch = memory;
	size_t pitch = wide_pitch(product);
	uint8_t *wide = (uint8_t *)(scratch + 1);
	int64_t *row = (int64_t *)(wide + ROWS * pitch);	/* of weights */
	struct xrnpe_lines lines;

	xrnpe_lines_start_group(&lines, product, &xrnpe_avx512_p16, block->n0, wide + LANES * pitch);
	for (uint64_t p = block->p0; p < block->p1; p += ROWS) {
		size_t rows = block->p1 - p < ROWS ? (size_t)(block->p1 - p) : ROWS;
		const uint8_t *at = panels;
		uint8_t *out[ROWS];
		bool nar[ROWS];
		uint64_t bits;

		xrnpe_output_rows(product, p, rows, out);
		xrnpe_lines_gather(&lines, p, rows, wide, pitch, nar);
		bits = xrnpe_avx512_magnitudes(wide, pitch, rows, product->k);
		convert(wide, pitch, rows, product->k, scratch);
		for (uint64_t n = block->n0; n < block->n1; n += LANES, at += panel_bytes(product)) {
			const struct panel *panel = (const struct panel *)at;
			size_t count = block->n1 - n < LANES ? (size_t)(block->n1 - n) : LANES;
			bool exact = spread_of(bits, panel->bits, product->k) <= 53;

			if (xrnpe_cancelled(product->cancel))
				return;
			for (size_t half = 0; half < 2; half++)
				tile(scratch->inputs, panel->values + half * product->k * HALF, product->k,
				     (double (*)[LANES])(scratch->sum[0] + half * HALF));
			bound(scratch, largest_of(product, panel), exact ? 0 : runs_of(product),
			      precision_of(product->k) * 0x1p-56, scratch->error);
			for (size_t r = 0; r < rows; r++) {
				uint32_t code[LANES], doubt;

				doubt = xrnpe_avx512_codes(product, &panel->stage, scratch->sum[r],
							   scratch->error[r], code);
				for (size_t i = 0; i < count; i++) {
					if (doubt >> i & 1 && !nar[r] && !panel->stage.nar[i])
						code[i] = output_exactly(product, (int64_t *)(wide + r * pitch), row,
									 n + i, scratch->sum[r][i] < 0, status);
				}
				xrnpe_avx512_put_codes(product->out, out[r], n, code, count);
				if (nar[r] || panel->stage.any_nar)
					xrnpe_put_nar(product, nar[r] ? NULL : panel->stage.nar, out[r], n,
						      count, status);
			}
		}
	}
}

#endif

// SPDX-License-Identifier: MIT
/*
 * Posit(16,1) with AVX-512 VNNI.
 *
 * vpdpwssd multiplies digits (digits.h): as many as the values of a tile's rows
 * or of a panel's channels need. The polynomial that a sum is then is rounded in
 * double precision with a bound on the error; where the bound leaves a doubt, and
 * only there, the exact integer decides.
 */
#ifdef __x86_64__

#include <string.h>

#include "avx512.h"
#include "lines.h"

#define COLUMN_BYTES (4u << 20)	/* with all the digits that there may be */

#define SLICE_ROWS 16		/* rows that the slice buffer has */
#define SLICE_PITCH ((size_t)SLICE_ROWS * PITCH)

/* Layout of the scratch memory; then rows of 64-bit values and lines. */
struct scratch {
	int64_t sum[ROWS][LANES] __attribute__((aligned(64)));
	int64_t power[POWERS][ROWS][LANES] __attribute__((aligned(64)));
	uint8_t slice[SLICES * SLICE_PITCH] __attribute__((aligned(64)));
};

struct panel {
	struct stage stage;
	struct digits digits;
	uint8_t weights[] __attribute__((aligned(64)));		/* by slice */
};

static size_t steps_of(const struct xrnpe_product *product)
{
	return (product->k + 1) / 2;
}

static size_t panel_bytes(const struct xrnpe_product *product)
{
	return sizeof(struct panel) + SLICES * steps_of(product) * 4 * LANES;
}

/* Bytes of a row of 64-bit values. */
static size_t wide_pitch(const struct xrnpe_product *product)
{
	return (product->k * sizeof(int64_t) + XRNPE_DECODE_SLACK + 63) / 64 * 64;
}

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

static struct digits measure(const uint8_t *wide, size_t pitch, size_t count, size_t k)
{
	return digits_for(xrnpe_avx512_magnitudes(wide, pitch, count, k), DIGIT_BITS);
}

/* One row of values to slices: digits, and sums of two. */
TARGET static void split(const int64_t *wide, size_t k, struct digits digits, uint8_t *slice)
{
	const __m128i shift = _mm_cvtsi32_si128(digits.shift);

	for (size_t i = 0; i < k; i += 32) {
		__m512i digit[DIGITS];

		for (int half = 0; half < 4; half++) {
			size_t at = i + (size_t)half * 8;
			__mmask8 lanes = (__mmask8)first_lanes(at < k ? k - at : 0);
			__m512i value = _mm512_sra_epi64(_mm512_maskz_loadu_epi64(lanes, wide + at), shift);

			for (int d = 0; d < digits.count; d++) {
				__m512i low = _mm512_srai_epi64(_mm512_slli_epi64(value, 64 - DIGIT_BITS),
								64 - DIGIT_BITS);

				_mm_storeu_si128((__m128i *)(slice + (size_t)d * SLICE_PITCH + at * 2),
						 _mm512_cvtepi64_epi16(low));
				value = _mm512_srai_epi64(_mm512_sub_epi64(value, low), DIGIT_BITS);
			}
		}
		for (int d = 0; d < digits.count; d++) {
			digit[d] = _mm512_loadu_si512(slice + (size_t)d * SLICE_PITCH + i * 2);
			for (int e = 0; e < d; e++)
				_mm512_storeu_si512(slice + (size_t)pair_slice(e, d) * SLICE_PITCH + i * 2,
						    _mm512_add_epi16(digit[e], digit[d]));
		}
	}
}

/* The slices that @digits has, in order. */
static bool has_slice(struct digits digits, int slice)
{
	if (slice < DIGITS)
		return slice < digits.count;
	return slice < pair_slice(0, digits.count);
}

TARGET void xrnpe_avx512_p16_fill(const struct xrnpe_product *product, uint64_t n, size_t count,
				  void *memory, void *scratch_memory)
{
	size_t pitch = wide_pitch(product), steps = steps_of(product);
	struct scratch *scratch = scratch_memory;
	uint8_t *wide = (uint8_t *)(scratch + 1);
	struct panel *panel = memory;

	memset(panel, 0, sizeof(*panel));
	xrnpe_scales(product, n, count, 1, panel->stage.scale, panel->stage.bias);
	for (size_t i = 0; i < count; i++) {
		panel->stage.nar[i] = xrnpe_weights(product, &xrnpe_avx512_p16, n + i, wide + i * pitch);
		panel->stage.any_nar |= panel->stage.nar[i];
	}
	panel->digits = measure(wide, pitch, count, product->k);
	for (size_t half = 0; half < VECTORS; half++) {
		for (size_t i = 0; i < 16; i++) {
			size_t lane = half * 16 + i;

			if (lane < count) {
				split((const int64_t *)(wide + lane * pitch), product->k, panel->digits,
				      scratch->slice + i * PITCH);
				continue;
			}
			for (int s = 0; s < SLICES; s++)
				memset(scratch->slice + (size_t)s * SLICE_PITCH + i * PITCH, 0, steps * 4);
		}
		for (int s = 0; s < SLICES; s++) {
			if (has_slice(panel->digits, s))
				interleave(scratch->slice + (size_t)s * SLICE_PITCH, PITCH, steps,
					   panel->weights + (size_t)s * steps * 4 * LANES + half * 64);
		}
	}
}

/* ---- sums ------------------------------------------------------------- */

static void multiply(struct scratch *scratch, size_t steps, const uint8_t *weights,
		     int a, int b, size_t safe)
{
	const uint8_t *input = scratch->slice + (size_t)a * SLICE_PITCH;
	const uint8_t *weight = weights + (size_t)b * steps * 4 * LANES;

	for (size_t s = 0; s < steps; s += safe)
		xrnpe_avx512_tile_words(input + s * 4, weight + s * 4 * LANES,
					steps - s < safe ? steps - s : safe, s, scratch->sum);
}

TARGET static void accumulate(struct scratch *scratch, int power, bool subtract)
{
	for (int r = 0; r < ROWS; r++) {
		for (int i = 0; i < LANES; i += 8) {
			__m512i sum = _mm512_load_si512(&scratch->sum[r][i]);
			__m512i to = _mm512_load_si512(&scratch->power[power][r][i]);

			_mm512_store_si512(&scratch->power[power][r][i], subtract ?
					   _mm512_sub_epi64(to, sum) : _mm512_add_epi64(to, sum));
		}
	}
}

/*
 * The products of two sets of digits. With as many digits as both have, all
 * cross products come in pairs; the rest of the longer one is multiplied out.
 */
static void multiply_digits(struct scratch *scratch, size_t steps, const uint8_t *weights,
			    int inputs, int outputs)
{
	int both = inputs < outputs ? inputs : outputs;

	memset(scratch->power, 0, sizeof(scratch->power[0]) * (size_t)(inputs + outputs - 1));
	for (int i = 0; i < both; i++) {
		multiply(scratch, steps, weights, i, i, DIGIT_STEPS);
		accumulate(scratch, 2 * i, false);
		for (int j = 0; j < both; j++) {
			if (j != i)
				accumulate(scratch, i + j, true);
		}
	}
	for (int j = 1; j < both; j++) {
		for (int i = 0; i < j; i++) {
			multiply(scratch, steps, weights, pair_slice(i, j), pair_slice(i, j), PAIR_STEPS);
			accumulate(scratch, i + j, false);
		}
	}
	for (int i = 0; i < inputs; i++) {
		for (int j = 0; j < outputs; j++) {
			if (i < both && j < both)
				continue;
			multiply(scratch, steps, weights, i, j, DIGIT_STEPS);
			accumulate(scratch, i + j, false);
		}
	}
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

TARGET void xrnpe_avx512_put_digits(const struct xrnpe_product *product, const struct stage *stage,
				    const struct digit_sums *sums, uint8_t *row, uint64_t n, size_t count,
				    uint32_t *status)
{
	const __m512d zero = _mm512_setzero_pd(), radix = _mm512_set1_pd(1 << sums->bits);
	int exponent = sums->shift + 2 * xrnpe_grid_unit(product->format);
	const __m512d unit = _mm512_scalef_pd(_mm512_set1_pd(1), _mm512_set1_pd(exponent));
	double sum[LANES] __attribute__((aligned(64))), error[LANES] __attribute__((aligned(64)));
	uint32_t code[LANES], doubt;

	for (size_t i = 0; i < LANES; i += 8) {
		__m512d value = zero, bound = zero;

		for (int p = sums->count - 1; p >= 0; p--) {
			__m512i power = _mm512_load_si512(sums->power + (size_t)p * sums->stride + i);

			value = _mm512_fmadd_pd(value, radix, _mm512_cvtepi64_pd(power));
			bound = _mm512_fmadd_pd(bound, radix, _mm512_cvtepi64_pd(_mm512_abs_epi64(power)));
		}
		/* Each of at most 15 steps was off by at most 2^-53 of what was summed so far. */
		_mm512_store_pd(sum + i, _mm512_mul_pd(value, unit));
		_mm512_store_pd(error + i, _mm512_mul_pd(_mm512_mul_pd(bound, unit), _mm512_set1_pd(0x1p-48)));
	}
	doubt = xrnpe_avx512_codes(product, stage, sum, error, code);
	for (; doubt; doubt &= doubt - 1) {
		size_t i = (size_t)__builtin_ctz(doubt);

		if (i < count)
			code[i] = digits_output(product, sums, i, n + i, sum[i] < 0, status);
	}
	xrnpe_avx512_put_codes(product->out, row, n, code, count);
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
	struct xrnpe_lines lines;

	xrnpe_lines_start_group(&lines, product, &xrnpe_avx512_p16, block->n0, wide + LANES * pitch);
	for (uint64_t p = block->p0; p < block->p1; p += ROWS) {
		size_t rows = block->p1 - p < ROWS ? (size_t)(block->p1 - p) : ROWS;
		const uint8_t *at = panels;
		struct digits digits;
		uint8_t *out[ROWS];
		bool nar[ROWS];

		xrnpe_output_rows(product, p, rows, out);
		xrnpe_lines_gather(&lines, p, rows, wide, pitch, nar);
		digits = measure(wide, pitch, rows, product->k);
		for (size_t r = 0; r < rows; r++)
			split((const int64_t *)(wide + r * pitch), product->k, digits,
			      scratch->slice + r * PITCH);
		for (uint64_t n = block->n0; n < block->n1; n += LANES, at += panel_bytes(product)) {
			const struct panel *panel = (const struct panel *)at;
			size_t count = block->n1 - n < LANES ? (size_t)(block->n1 - n) : LANES;

			if (xrnpe_cancelled(product->cancel))
				return;
			multiply_digits(scratch, steps_of(product), panel->weights, digits.count,
					panel->digits.count);
			for (size_t r = 0; r < rows; r++) {
				const struct digit_sums sums = {
					.power = scratch->power[0][r],
					.stride = ROWS * LANES,
					.count = digits.count + panel->digits.count - 1,
					.bits = DIGIT_BITS,
					.shift = digits.shift + panel->digits.shift,
				};

				xrnpe_avx512_put_digits(product, &panel->stage, &sums, out[r], n, count,
							status);
				if (nar[r] || panel->stage.any_nar)
					xrnpe_put_nar(product, nar[r] ? NULL : panel->stage.nar, out[r], n,
						      count, status);
			}
		}
	}
}

#endif

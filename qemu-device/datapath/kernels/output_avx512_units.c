// SPDX-License-Identifier: MIT
/*
 * The output stage to formats of up to 8 bits with AVX-512, of sums that are floats, and of doubles.
 *
 * Ties are multiples of 1/128, so what counts of 128 times a result y is the integer below it
 * plus the one above it: twice 128 y if that is an integer, or odd. 32 of these are a vector,
 * and limits and rounding are those of 16-bit integers. With a residual or a slope there may be
 * more to round than floats hold; then there are two numbers between which the exact one is, and
 * if an integer may be, too, the general way decides (output_avx512.c). Sums of Posit(16,1) in
 * doubles, which may be off by a little, have such ends, which have to agree.
 */
#ifdef __x86_64__

#include <string.h>

#include "avx512.h"

/* What is left of a result: that many units, of halves of ties. */
#define UNITS 256
#define MOST (64 * UNITS - 1)	/* rounds to the largest code, as all above does */

int16_t xrnpe_avx512_units(double value)
{
	double ties = value * (UNITS / 2), most = MOST / 2.0;
	int below;

	ties = ties < -most ? -most : ties > most ? most : ties;
	below = (int)ties - (ties < (int)ties);
	return (int16_t)(2 * below + (ties > below));
}

/*
 * Two vectors of results, times 128, to the integers below or above them, packed. @far: some may be beyond
 * 32 bits.
 */
INLINE __m512i integers(const __m512 value[2], bool up, bool far)
{
	__m512i whole[2];

#pragma GCC unroll 2
	for (int i = 0; i < 2; i++) {
		/* What is far below zero becomes INT32_MIN, which is far below too. */
		__m512 some = far ? _mm512_min_ps(value[i], _mm512_set1_ps(MOST)) : value[i];

		whole[i] = up ? _mm512_cvt_roundps_epi32(some, UP) : _mm512_cvt_roundps_epi32(some, DOWN);
	}
	return _mm512_packs_epi32(whole[0], whole[1]);
}

/* What a table has for each of 32 words up to 63, in a byte. */
INLINE __m512i look_up(const uint8_t table[64], __m512i index)
{
	return _mm512_maskz_permutexvar_epi8(0x5555555555555555, index, _mm512_load_si512(table));
}

/*
 * Units, a word each, to codes of Posit(8,0). Magnitudes from one power of two to the next have codes a fixed
 * distance apart; tables have, by the integer part of a magnitude, the logarithm of that
 * distance, what the code exceeds the quotient by, and the bit of the magnitude by which codes there are odd.
 * @negative: some may be.
 */
INLINE __m512i p8_codes(__m512i units, bool negative)
{
#define FOUR(x) x, x, x, x
#define SIXTEEN(x) FOUR(x), FOUR(x), FOUR(x), FOUR(x)
	static const uint8_t shifts[64] __attribute__((aligned(64))) = {
		2, 3, 5, 5, FOUR(7), FOUR(9), FOUR(9), SIXTEEN(11), SIXTEEN(13), SIXTEEN(13),
	};
	static const uint8_t excess[64] __attribute__((aligned(64))) = {
		0, 32, 80, 80, FOUR(104), FOUR(116), FOUR(116), SIXTEEN(122), SIXTEEN(125), SIXTEEN(125),
	};
	/* From 32 on the quotient is 1, and the code that a tie would be after 126. */
	static const uint8_t odd[64] __attribute__((aligned(64))) = {
		2, 3, 5, 5, FOUR(7), FOUR(9), FOUR(9), SIXTEEN(11), SIXTEEN(14), SIXTEEN(14),
	};
#undef SIXTEEN
#undef FOUR
	const __m512i one = _mm512_set1_epi16(1), half = _mm512_set1_epi16(INT16_MIN);
	__m512i magnitude = negative ? _mm512_abs_epi16(units) : units, index = _mm512_srli_epi16(magnitude, 8);
	__m512i quotient = _mm512_srlv_epi16(half, look_up(shifts, index)), code;
	__mmask32 even = _mm512_testn_epi16_mask(magnitude, _mm512_sllv_epi16(one, look_up(odd, index)));

	/*
	 * To nearest, and up from a tie, which is none with one less where the code before it is even. But
	 * nothing else than zero to zero.
	 */
	code = _mm512_mask_sub_epi16(magnitude, even, magnitude, one);
	code = _mm512_add_epi16(_mm512_mulhrs_epi16(code, quotient), look_up(excess, index));
	code = _mm512_max_epi16(code, _mm512_min_epi16(magnitude, one));
	return negative ? _mm512_mask_sub_epi16(code, _mm512_movepi16_mask(units), _mm512_setzero_si512(), code) : code;
}

/*
 * The same of Posit(4,1): as many as there are ties below the magnitude, and equal to it where
 * the next code is even. Nothing but zero becomes zero.
 */
INLINE __m512i p4_codes(__m512i units)
{
	static const int16_t most_below[] = { 0, 31, 96, 191, 384, 767, 2048 };
	const __m512i magnitude = _mm512_abs_epi16(units), one = _mm512_set1_epi16(1);
	__m512i code = _mm512_setzero_si512();

#pragma GCC unroll 7
	for (int i = 0; i < 7; i++) {
		__mmask32 above = _mm512_cmpgt_epi16_mask(magnitude, _mm512_set1_epi16(most_below[i]));

		code = _mm512_mask_add_epi16(code, above, code, one);
	}
	code = _mm512_mask_sub_epi16(code, _mm512_movepi16_mask(units), _mm512_setzero_si512(), code);
	return _mm512_and_si512(code, _mm512_set1_epi16(15));
}

/* The same of FP4, whose ties are multiples of 1/4: the table is by what units would be for those. */
INLINE __m512i fp4_codes(__m512i units)
{
	static const uint8_t codes[128] __attribute__((aligned(64))) = {
		0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 4, 4,
		4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 6, 6, 6, 6,
		6, 6, 6, 6, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7,
		7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
		15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,
		15, 15, 15, 15, 15, 15, 15, 15, 14, 14, 14, 14, 14, 14, 14, 14,
		14, 14, 14, 14, 14, 13, 13, 13, 13, 13, 13, 13, 12, 12, 12, 12,
		12, 12, 12, 11, 11, 11, 10, 10, 10, 10, 10, 9, 9, 9, 8, 8,
	};
	const __m512i most = _mm512_set1_epi16(63), least = _mm512_set1_epi16(-64);
	__mmask32 between = _mm512_test_epi16_mask(units, _mm512_set1_epi16(UNITS / 4 - 1));
	__m512i below = _mm512_srai_epi16(units, 6), index = _mm512_add_epi16(below, below);

	index = _mm512_mask_add_epi16(index, between, index, _mm512_set1_epi16(1));
	index = _mm512_max_epi16(_mm512_min_epi16(index, most), least);
	return _mm512_permutex2var_epi8(_mm512_load_si512(codes), index, _mm512_load_si512(codes + 64));
}

/* Integers below and above 32 results, times 128, to units within the limits. */
INLINE __m512i units_of(const struct stage *stage, __m512i below, __m512i above)
{
	__m512i units = _mm512_adds_epi16(below, above);

	units = _mm512_max_epi16(units, _mm512_set1_epi16(stage->least_units));
	return _mm512_min_epi16(units, _mm512_set1_epi16(stage->most_units));
}

/*
 * Whether there may be an integer between two ends, which are the exact number or to either side of
 * it: these are the integers below the lower and above the higher one.
 */
INLINE bool are_apart(__m512i below, __m512i above)
{
	return _mm512_cmpgt_epi16_mask(_mm512_subs_epi16(above, below), _mm512_set1_epi16(1));
}

/* The codes of packed lanes of 128 bits, in order. @negative: some units may be. */
INLINE __m256i bytes_of_units(enum xrnpe_format out, __m512i units, bool negative)
{
	const __m512i order = _mm512_castsi256_si512(_mm256_setr_epi8(
		0, 2, 4, 6, 16, 18, 20, 22, 32, 34, 36, 38, 48, 50, 52, 54,
		8, 10, 12, 14, 24, 26, 28, 30, 40, 42, 44, 46, 56, 58, 60, 62));
	__m512i codes = out == XRNPE_FORMAT_P8 ? p8_codes(units, negative) :
			out == XRNPE_FORMAT_P4 ? p4_codes(units) : fp4_codes(units);

	return _mm512_castsi512_si256(_mm512_permutexvar_epi8(order, codes));
}

/* Up to 16 codes, of 4 bits from an even channel on. */
INLINE void store_codes(enum xrnpe_format out, uint8_t *row, uint64_t n, __m128i codes, size_t count)
{
	if (out != XRNPE_FORMAT_P8) {
		/* What is beside the last of an odd number is zero. */
		codes = _mm_maskz_mov_epi8((__mmask16)first_lanes(count), codes);
		codes = _mm_cvtepi16_epi8(_mm_maddubs_epi16(codes, _mm_set1_epi16(0x1001)));
		_mm_mask_storeu_epi8(row + n / 2, (__mmask16)first_lanes((count + 1) / 2), codes);
	} else if (count == 16) {
		_mm_storeu_si128((__m128i *)(row + n), codes);
	} else {
		_mm_mask_storeu_epi8(row + n, (__mmask16)first_lanes(count), codes);
	}
}

/* Two vectors: of @count[i] channels, 16 at the most, from @n[i] on of rows. */
struct two {
	uint8_t *out[2];
	const uint8_t *residual[2];
	uint64_t n[2];
	size_t count[2];
};

/* Their codes, which often follow each other in memory. */
INLINE void store_two(enum xrnpe_format out, const struct two *two, __m256i codes)
{
	if (out == XRNPE_FORMAT_P8 && two->out[0] + two->n[0] + 16 == two->out[1] + two->n[1] &&
	    two->count[0] == 16 && two->count[1] == 16) {
		_mm256_storeu_si256((__m256i *)(two->out[0] + two->n[0]), codes);
		return;
	}
	store_codes(out, two->out[1], two->n[1], _mm256_extracti128_si256(codes, 1), two->count[1]);
	store_codes(out, two->out[0], two->n[0], _mm256_castsi256_si128(codes), two->count[0]);
}

/* ---- sums that are floats -------------------------------------------------- */

/* Whether all sums, rounded to floats, are below 2^24 in magnitude, and so exact. */
INLINE bool are_floats(__m512 a, __m512 b)
{
	enum { LARGER_MAGNITUDE = 11 };

	return !_mm512_cmp_ps_mask(_mm512_range_ps(a, b, LARGER_MAGNITUDE), _mm512_set1_ps(0x1p24f), _CMP_GE_OQ);
}

/* Whether ends that a slope has bent may have zero at one of them, not beside it: slopes may not be positive. */
INLINE bool may_be_zero(__m512 low, __m512 high)
{
	const __m512 zero = _mm512_setzero_ps();

	return _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(low, zero, _CMP_EQ_OQ), high, zero, _CMP_NEQ_UQ);
}

/* Some rows: two vectors at a time, of a row or, of few channels, of two. */
struct rows {
	const int32_t *sums;
	const uint8_t *residual[MOST_ROWS];
	uint8_t *const *out;
	size_t rows, count;
	uint64_t n;
};

/* Codes of Posit(8,0) to grid values; true if any is NaR. */
INLINE bool p8_values(const struct two *two, __m512 value[2])
{
	/* Of the codes from 64 on, below which they are the magnitudes. */
#define STEP_8(from, step) from, from + step, from + 2 * step, from + 3 * step, from + 4 * step, from + 5 * step, \
	from + 6 * step, from + 7 * step
	static const int16_t large[64] __attribute__((aligned(64))) = {
		STEP_8(64, 2), STEP_8(80, 2), STEP_8(96, 2), STEP_8(112, 2),
		STEP_8(128, 8), STEP_8(192, 8),
		STEP_8(256, 32),
		512, 640, 768, 896, 1024, 1536, 2048, 4096,
	};
#undef STEP_8
	__m128i row[2];
	__m512i codes, magnitude, words;
	__mmask32 from_64;

#pragma GCC unroll 2
	for (size_t i = 0; i < 2; i++)
		row[i] = _mm_maskz_loadu_epi8((__mmask16)first_lanes(two->count[i]), two->residual[i] + two->n[i]);
	codes = _mm512_cvtepi8_epi16(_mm256_set_m128i(row[1], row[0]));
	magnitude = _mm512_abs_epi16(codes);
	from_64 = _mm512_test_epi16_mask(magnitude, _mm512_set1_epi16(64));
	words = _mm512_mask2_permutex2var_epi16(_mm512_load_si512(large), magnitude, from_64, _mm512_load_si512(large + 32));
	words = _mm512_mask_sub_epi16(words, _mm512_movepi16_mask(codes), _mm512_setzero_si512(), words);
	value[0] = _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm512_castsi512_si256(words)));
	value[1] = _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64(words, 1)));
	return _mm512_cmpeq_epi16_mask(magnitude, _mm512_set1_epi16(128));
}

/* Residuals, in units of which there are @residual_units() in 1; true if any is no number. */
INLINE bool load_residuals(enum xrnpe_format format, const struct two *two, __m512 value[2])
{
	bool fails = false;

	if (format == XRNPE_FORMAT_P8)
		return p8_values(two, value);
#pragma GCC unroll 2
	for (size_t i = 0; i < 2; i++) {
		value[i] = _mm512_castsi512_ps(load_values(format, two->residual[i], two->n[i], two->count[i]));
		fails |= no_numbers(value[i]);
	}
	return fails;
}

INLINE float residual_units(enum xrnpe_format format)
{
	return format == XRNPE_FORMAT_P8 ? 64 : 1;
}

/*
 * @out and @format, of the residual or NO_RESIDUAL, are no variables. Returns a bit for each row that
 * has to be done again.
 */
#define NO_RESIDUAL XRNPE_FORMAT_U8
INLINE uint64_t put_floats(enum xrnpe_format out, enum xrnpe_format format, const struct stage *stage,
			   const struct rows *rows, float factor)
{
	const bool pairs = rows->count <= 16, residual = format != NO_RESIDUAL;
	const bool negative = stage->least_units < 0 || stage->most_units < 0, far = stage->far;
	const size_t lane = pairs ? 0 : 16;
	const __m512 units = _mm512_set1_ps(UNITS / 2);
	const __m512 times = _mm512_mul_ps(_mm512_set1_ps(factor / residual_units(format)), units);
	struct two two = { .count = { pairs ? rows->count : 16, rows->count - lane }, .n = { rows->n, rows->n + lane } };
	__m512 scale[2], bias[2];
	uint64_t failed = 0;

#pragma GCC unroll 2
	for (size_t i = 0; i < 2; i++) {
		scale[i] = _mm512_mul_ps(_mm512_load_ps(stage->scale32 + i * lane), units);
		bias[i] = _mm512_mul_ps(_mm512_load_ps(stage->bias32 + i * lane), units);
	}
	for (size_t r = 0; r < rows->rows; r += 1 + pairs) {
		/* A last row that is alone is taken twice. */
		size_t last = pairs && r + 1 < rows->rows ? r + 1 : r;
		__m512 sum[2] = { _mm512_cvtepi32_ps(_mm512_load_si512(rows->sums + r * LANES)),
				  _mm512_cvtepi32_ps(_mm512_load_si512(rows->sums + last * LANES + lane)) };
		__m512 low[2] = { bias[0], bias[1] }, high[2] = { bias[0], bias[1] };
		bool fails = !are_floats(sum[0], sum[1]);
		__m512i below, above;
		__m256i codes;

		two.out[0] = rows->out[r];
		two.out[1] = rows->out[last];
		if (residual) {
			__m512 value[2];

			two.residual[0] = rows->residual[r];
			two.residual[1] = rows->residual[last];
			fails |= load_residuals(format, &two, value);
#pragma GCC unroll 2
			for (size_t i = 0; i < 2; i++) {
				low[i] = _mm512_fmadd_round_ps(value[i], times, low[i], DOWN);
				high[i] = _mm512_fmadd_round_ps(value[i], times, high[i], UP);
			}
		}
#pragma GCC unroll 2
		for (size_t i = 0; i < 2; i++) {
			low[i] = _mm512_fmadd_round_ps(sum[i], scale[i], low[i], DOWN);
			high[i] = _mm512_fmadd_round_ps(sum[i], scale[i], high[i], UP);
			if (stage->bends) {
				bend_floats(_mm512_load_ps(stage->slope32 + i * lane), &low[i], &high[i]);
				fails |= may_be_zero(low[i], high[i]);
			}
		}
		below = integers(low, false, far);
		above = integers(high, true, far);
		if (residual || stage->bends)
			fails |= are_apart(below, above);
		codes = bytes_of_units(out, units_of(stage, below, above), negative);
		store_two(out, &two, codes);
		failed |= (uint64_t)fails << r | (uint64_t)fails << last;
	}
	return failed;
}

#define WITH_RESIDUAL(name, out, format)						\
	TARGET static uint64_t put_##name(const struct stage *stage, const struct rows *rows, float factor) \
	{										\
		return put_floats(out, format, stage, rows, factor);			\
	}
#define TO(name, out)									\
	WITH_RESIDUAL(name##_fp4, out, XRNPE_FORMAT_FP4)				\
	WITH_RESIDUAL(name##_p4, out, XRNPE_FORMAT_P4)					\
	WITH_RESIDUAL(name##_p8, out, XRNPE_FORMAT_P8)					\
	WITH_RESIDUAL(name##_p16, out, XRNPE_FORMAT_P16)				\
	WITH_RESIDUAL(name##_f32, out, XRNPE_FORMAT_F32)				\
	WITH_RESIDUAL(name##_none, out, NO_RESIDUAL)
TO(fp4, XRNPE_FORMAT_FP4)
TO(p4, XRNPE_FORMAT_P4)
TO(p8, XRNPE_FORMAT_P8)

TARGET void xrnpe_avx512_put_units(const struct xrnpe_product *product, const struct stage *stage,
				   const int32_t *sums, uint64_t p, uint8_t *const *row, size_t rows, uint64_t n,
				   size_t count, uint32_t *status)
{
#define RESIDUALS(name) {								\
		[XRNPE_FORMAT_FP4] = put_##name##_fp4, [XRNPE_FORMAT_P4] = put_##name##_p4, \
		[XRNPE_FORMAT_P8] = put_##name##_p8, [XRNPE_FORMAT_P16] = put_##name##_p16, \
		[XRNPE_FORMAT_F32] = put_##name##_f32, [NO_RESIDUAL] = put_##name##_none, \
	}
	static uint64_t (*const put[][NO_RESIDUAL + 1])(const struct stage *stage, const struct rows *rows,
							 float factor) = {
		[XRNPE_FORMAT_FP4] = RESIDUALS(fp4), [XRNPE_FORMAT_P4] = RESIDUALS(p4),
		[XRNPE_FORMAT_P8] = RESIDUALS(p8),
	};
#undef RESIDUALS
	enum xrnpe_format residual = NO_RESIDUAL;
	float factor = 0;
	struct rows all;
	uint64_t failed;

	all.sums = sums;
	all.out = row;
	all.rows = rows;
	all.count = count;
	all.n = n;
	if (product->residual) {
		xrnpe_residual_rows(product, p, rows, all.residual);
		residual = product->cmd->operand[XRNPE_OPERAND_IFM2].format;
		factor = (float)xrnpe_residual_factor(product);
	}
	failed = put[product->out][residual](stage, &all, factor);
	for (size_t r = 0; failed; r++, failed >>= 1) {
		struct sums again = { .narrow = sums + r * LANES };

		if (failed & 1)
			xrnpe_avx512_put_any(product, stage, &again, p + r, row + r, 1, n, count, status);
	}
}

/* ---- sums in doubles --------------------------------------------------------- */

/*
 * Results of two vectors times 128: the ends, of sums with what they are off by, times scale,
 * at most, or exact without.
 */
INLINE void ends_of(const double *sum, const __m512d scale[2], const __m512d bias[2], const __m512d *off,
		    const double *residual, __m512d low[2], __m512d high[2])
{
#pragma GCC unroll 2
	for (size_t i = 0; i < 2; i++) {
		__m512d value = _mm512_load_pd(sum + i * 8), less = bias[i], more = bias[i];

		if (residual) {
			__m512d other = _mm512_mul_pd(_mm512_load_pd(residual + i * 8), _mm512_set1_pd(UNITS / 2));

			less = _mm512_add_round_pd(less, other, DOWN);
			more = _mm512_add_round_pd(more, other, UP);
		}
		low[i] = _mm512_fmadd_round_pd(value, scale[i], less, DOWN);
		high[i] = _mm512_fmadd_round_pd(value, scale[i], more, UP);
		if (off) {
			low[i] = _mm512_sub_round_pd(low[i], off[i], DOWN);
			high[i] = _mm512_add_round_pd(high[i], off[i], UP);
		}
	}
}

/* As integers(), of two times two vectors. */
INLINE __m512i integers_of(__m512d value[2][2], bool up)
{
	const __m512d most = _mm512_set1_pd(MOST);
	__m512i whole[2];

#pragma GCC unroll 2
	for (int i = 0; i < 2; i++) {
		__m512d low = _mm512_min_pd(value[i][0], most), high = _mm512_min_pd(value[i][1], most);

		if (up)
			whole[i] = _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvt_roundpd_epi32(low, UP)),
						      _mm512_cvt_roundpd_epi32(high, UP), 1);
		else
			whole[i] = _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvt_roundpd_epi32(low, DOWN)),
						      _mm512_cvt_roundpd_epi32(high, DOWN), 1);
	}
	return _mm512_packs_epi32(whole[0], whole[1]);
}

/* What two vectors of sums, scaled, are off by at most. */
INLINE void offs_of(const double *error, const __m512d scale[2], __m512d off[2])
{
#pragma GCC unroll 2
	for (size_t i = 0; i < 2; i++)
		off[i] = _mm512_mul_round_pd(_mm512_load_pd(error + i * 8), _mm512_abs_pd(scale[i]), UP);
}

/* @exact: there is nothing in between the ends. Else @bends: there is a slope. */
INLINE void put_reals(enum xrnpe_format out, bool exact, bool bends, const struct stage *stage,
		      const struct near_rows rows)
{
	const bool pairs = rows.count <= 16;
	const size_t lane = pairs ? 0 : 16;
	const __m512d units = _mm512_set1_pd(UNITS / 2);
	__m512d scale[2][2], bias[2][2], off[2][2];

#pragma GCC unroll 4
	for (size_t i = 0; i < 4; i++) {
		size_t at = i / 2 * lane + i % 2 * 8;

		scale[i / 2][i % 2] = _mm512_mul_pd(_mm512_load_pd(stage->scale + at), units);
		bias[i / 2][i % 2] = _mm512_mul_pd(_mm512_load_pd(stage->bias + at), units);
	}
	for (size_t i = 0; !exact && rows.error && i < 2; i++)
		offs_of(rows.error + i * lane, scale[i], off[i]);
	for (size_t r = 0; r < rows.rows; r += 1 + pairs) {
		size_t last = pairs && r + 1 < rows.rows ? r + 1 : r;
		__m512d low[2][2], high[2][2];
		uint32_t unknown = 0;
		__m512i mine, other;
		__m256i codes;

#pragma GCC unroll 2
		for (size_t i = 0; i < 2; i++) {
			size_t of = i ? last : r, at = i * lane;

			if (!exact && rows.error && rows.pitch)
				offs_of(rows.error + of * rows.pitch + at, scale[i], off[i]);
			ends_of(rows.sum[of] + at, scale[i], bias[i], exact || !rows.error ? NULL : off[i],
				exact || !rows.residual ? NULL : rows.residual[of] + at, low[i], high[i]);
			for (size_t j = 0; bends && j < 2; j++)
				bend_reals(_mm512_load_pd(stage->slope + at + j * 8), &low[i][j], &high[i][j]);
		}
		if (exact) {
			codes = bytes_of_units(out, units_of(stage, integers_of(low, false), integers_of(high, true)), true);
		} else {
			mine = units_of(stage, integers_of(low, false), integers_of(low, true));
			other = units_of(stage, integers_of(high, false), integers_of(high, true));
			codes = bytes_of_units(out, mine, true);
			if (_mm512_cmpneq_epi16_mask(mine, other))
				unknown = _mm256_cmpneq_epi8_mask(codes, bytes_of_units(out, other, true));
		}
		store_codes(out, rows.out[last], rows.n + lane, _mm256_extracti128_si256(codes, 1),
			    rows.count - lane < 16 ? rows.count - lane : 16);
		store_codes(out, rows.out[r], rows.n, _mm256_castsi256_si128(codes), pairs ? rows.count : 16);
		rows.doubt[last] |= pairs ? unknown >> 16 : 0;
		rows.doubt[r] |= pairs ? unknown & 0xffff : unknown;
	}
}

#define REALS(name, out)								\
	TARGET static void put_reals_##name(const struct stage *stage, const struct near_rows *rows) \
	{										\
		if (stage->bends)							\
			put_reals(out, false, true, stage, *rows);			\
		else if (rows->error || rows->residual)					\
			put_reals(out, false, false, stage, *rows);			\
		else									\
			put_reals(out, true, false, stage, *rows);			\
	}
REALS(fp4, XRNPE_FORMAT_FP4)
REALS(p4, XRNPE_FORMAT_P4)
REALS(p8, XRNPE_FORMAT_P8)

void xrnpe_avx512_put_near_units(enum xrnpe_format out, const struct stage *stage, const struct near_rows *rows)
{
	static void (*const put[])(const struct stage *stage, const struct near_rows *rows) = {
		[XRNPE_FORMAT_FP4] = put_reals_fp4, [XRNPE_FORMAT_P4] = put_reals_p4, [XRNPE_FORMAT_P8] = put_reals_p8,
	};

	put[out](stage, rows);
}

#endif

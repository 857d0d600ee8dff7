// SPDX-License-Identifier: MIT
/*
 * The output stage to Posit(8,0) with AVX-512, of sums that are floats.
 *
 * Ties are multiples of 1/128, so what counts of 128 times a result y is the integer below it
 * plus the one above it: twice 128 y if that is an integer, or odd. 32 of these are a vector,
 * and limits and rounding are those of 16-bit integers. With a residual there may be more to
 * round than floats hold; then there are two numbers between which the exact one is, and if
 * they do not agree, the general way decides (output_avx512.c).
 */
#ifdef __x86_64__

#include "avx512.h"

#define DOWN (_MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)
#define UP (_MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC)

/* What is left of a result: that many units, of halves of ties. */
#define UNITS 256
#define MOST (64 * UNITS - 1)	/* rounds to the largest code, as all above does */

int16_t xrnpe_avx512_p8_units(double value)
{
	double ties = value * (UNITS / 2), most = MOST / 2.0;
	int below;

	ties = ties < -most ? -most : ties > most ? most : ties;
	below = (int)ties - (ties < (int)ties);
	return (int16_t)(2 * below + (ties > below));
}

/* Two vectors of results, times 128, to the integers below or above them. */
INLINE __m512i integers(const __m512 value[2], bool up)
{
	__m512i whole[2];

	for (int i = 0; i < 2; i++) {
		/* What is far below zero becomes INT32_MIN, which is far below too. */
		__m512 some = _mm512_min_ps(value[i], _mm512_set1_ps(MOST));

		whole[i] = up ? _mm512_cvt_roundps_epi32(some, UP) : _mm512_cvt_roundps_epi32(some, DOWN);
	}
	return _mm512_packs_epi32(whole[0], whole[1]);
}

/*
 * Units, a word each, to codes. Magnitudes from one power of two to the next have codes a fixed
 * distance apart; tables have, by the integer part of a magnitude, the logarithm of that
 * distance, what the code exceeds the quotient by, and a bit less than half of the distance.
 */
INLINE __m512i codes_of(__m512i units)
{
#define FOUR(x) x, x, x, x
#define SIXTEEN(x) FOUR(x), FOUR(x), FOUR(x), FOUR(x)
	static const int16_t shifts[64] __attribute__((aligned(64))) = {
		2, 3, 5, 5, FOUR(7), FOUR(9), FOUR(9), SIXTEEN(11), SIXTEEN(13), SIXTEEN(13),
	};
	static const int16_t excess[64] __attribute__((aligned(64))) = {
		0, 32, 80, 80, FOUR(104), FOUR(116), FOUR(116), SIXTEEN(122), SIXTEEN(125), SIXTEEN(125),
	};
	static const int16_t halves[64] __attribute__((aligned(64))) = {
		1, 3, 15, 15, FOUR(63), FOUR(255), FOUR(255), SIXTEEN(1023), SIXTEEN(4095), SIXTEEN(4095),
	};
#undef SIXTEEN
#undef FOUR
#define LOOK_UP(table) _mm512_permutex2var_epi16(_mm512_load_si512(table), index, _mm512_load_si512((table) + 32))
	const __m512i one = _mm512_set1_epi16(1);
	__m512i magnitude = _mm512_abs_epi16(units), index = _mm512_srli_epi16(magnitude, 8);
	__m512i shift = LOOK_UP(shifts), more = LOOK_UP(excess), code;

	/* To nearest, of a tie to the even code; but nothing else than zero to zero. */
	code = _mm512_add_epi16(_mm512_srlv_epi16(magnitude, shift), more);
	code = _mm512_add_epi16(_mm512_and_si512(code, one), _mm512_add_epi16(magnitude, LOOK_UP(halves)));
	code = _mm512_add_epi16(_mm512_srlv_epi16(code, shift), more);
	code = _mm512_max_epi16(code, _mm512_min_epi16(magnitude, one));
	return _mm512_mask_sub_epi16(code, _mm512_movepi16_mask(units), _mm512_setzero_si512(), code);
#undef LOOK_UP
}

/* Two vectors of results, or the ends of where they are, to units within the limits. */
INLINE __m512i units_of(const struct stage *stage, const __m512 low[2], const __m512 high[2])
{
	__m512i units = _mm512_adds_epi16(integers(low, false), integers(high, true));

	units = _mm512_max_epi16(units, _mm512_set1_epi16(stage->least_units));
	return _mm512_min_epi16(units, _mm512_set1_epi16(stage->most_units));
}

/* Whether all 16 sums are below 2^24 in magnitude, and so floats. */
INLINE bool are_floats(__m512i a, __m512i b)
{
	const __m512i more = _mm512_set1_epi32(1 << 24);

	return !_mm512_test_epi32_mask(_mm512_or_si512(_mm512_add_epi32(a, more), _mm512_add_epi32(b, more)),
				       _mm512_set1_epi32(-(1 << 25)));
}

/* Two vectors of channels that are finished together: of a row, or of a row each. */
struct pair {
	const int32_t *sum[2];
	__m512 scale[2], bias[2];		/* times 128 */
	uint64_t p[2], n[2];
	size_t count[2];
};

/* The residuals times 128, with the biases, rounded down and up; false if any is no number. */
INLINE bool add_residuals(const struct xrnpe_product *product, const struct pair *pair, __m512 low[2],
			  __m512 high[2])
{
	const enum xrnpe_format format = product->cmd->operand[XRNPE_OPERAND_IFM2].format;
	const __m512 factor = _mm512_set1_ps((float)xrnpe_residual_factor(product) * (UNITS / 2));
	__mmask16 special = 0;

	for (int i = 0; i < 2; i++) {
		const uint8_t *row = xrnpe_residual_row(product, pair->p[i]);
		__m512 value = _mm512_castsi512_ps(load_values(format, row, pair->n[i], pair->count[i]));

		special |= no_numbers(value);
		low[i] = _mm512_fmadd_round_ps(value, factor, pair->bias[i], DOWN);
		high[i] = _mm512_fmadd_round_ps(value, factor, pair->bias[i], UP);
	}
	return !special;
}

/* The codes of a pair, one vector after the other; false if they are not known. */
INLINE bool encode_pair(const struct xrnpe_product *product, const struct stage *stage, const struct pair *pair,
			__m256i *codes)
{
	/* Packed lanes of 128 bits to rows. */
	const __m256i order = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
	__m512i sum[2] = { _mm512_load_si512(pair->sum[0]), _mm512_load_si512(pair->sum[1]) }, units;
	__m512 low[2] = { pair->bias[0], pair->bias[1] }, high[2] = { pair->bias[0], pair->bias[1] };

	if (!are_floats(sum[0], sum[1]))
		return false;
	if (product->residual && !add_residuals(product, pair, low, high))
		return false;
	for (int i = 0; i < 2; i++) {
		__m512 value = _mm512_cvtepi32_ps(sum[i]);

		low[i] = _mm512_fmadd_round_ps(value, pair->scale[i], low[i], DOWN);
		high[i] = _mm512_fmadd_round_ps(value, pair->scale[i], high[i], UP);
	}
	if (product->residual) {
		__m512i ends[2] = { units_of(stage, low, low), units_of(stage, high, high) };

		if (_mm512_cmpneq_epi16_mask(ends[0], ends[1]))
			return false;
		units = ends[0];
	} else {
		units = units_of(stage, low, high);
	}
	*codes = _mm256_permutexvar_epi32(order, _mm512_cvtepi16_epi8(codes_of(units)));
	return true;
}

INLINE void store_codes(uint8_t *to, __m128i codes, size_t count)
{
	if (count == 16)
		_mm_storeu_si128((__m128i *)to, codes);
	else
		_mm_mask_storeu_epi8(to, (__mmask16)first_lanes(count), codes);
}

TARGET void xrnpe_avx512_put_p8(const struct xrnpe_product *product, const struct stage *stage,
				const int32_t *sums, uint64_t p, uint8_t *const *row, size_t rows, uint64_t n,
				size_t count, uint32_t *status)
{
	/* Few channels leave room for another row. */
	const size_t together = count > 16 ? 1 : 2;
	const __m512 units = _mm512_set1_ps(UNITS / 2);
	struct pair pair = { .n = { n, n + 16 }, .count = { 16, count - 16 } };

	for (int i = 0; i < 2; i++) {
		size_t at = together == 1 ? i * 16 : 0;

		pair.scale[i] = _mm512_mul_ps(_mm512_load_ps(stage->scale32 + at), units);
		pair.bias[i] = _mm512_mul_ps(_mm512_load_ps(stage->bias32 + at), units);
		if (together == 2) {
			pair.n[i] = n;
			pair.count[i] = count;
		}
	}
	for (size_t r = 0; r < rows; r += together) {
		size_t some = rows - r < together ? 1 : together, last = r + some - 1;
		struct sums again = { .narrow = sums + r * LANES };
		__m256i codes;

		pair.sum[0] = again.narrow;
		pair.sum[1] = sums + last * LANES + (together == 1 ? 16 : 0);
		pair.p[0] = p + r;
		pair.p[1] = p + last;
		if (!encode_pair(product, stage, &pair, &codes)) {
			xrnpe_avx512_put_any(product, stage, &again, p + r, row + r, some, n, count, status);
			continue;
		}
		store_codes(row[r] + n, _mm256_castsi256_si128(codes), pair.count[0]);
		if (together == 1 || some == 2)
			store_codes(row[last] + pair.n[1], _mm256_extracti128_si256(codes, 1), pair.count[1]);
	}
}

#endif

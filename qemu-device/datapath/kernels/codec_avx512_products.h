/* SPDX-License-Identifier: MIT */
/*
 * Products of codes of Posit(8,0) as such, in AVX-512 with VBMI: codec_avx512.c includes this. Magnitudes
 * are binary32, which has products of two exactly, and their product with the scale is rounded to odd. Signs
 * and what is zero come last, in codes.
 */
#ifndef XRNPE_DATAPATH_CODEC_AVX512_PRODUCTS_H
#define XRNPE_DATAPATH_CODEC_AVX512_PRODUCTS_H

#define PRODUCT_UNIT 0x1p-22	/* of magnitudes: grid values in the upper halves of lanes */

struct product_constants {
	ints table[2];
	ints odd, last, sign, one, code_of_one, half, magnitude;
	ints nar, lo, hi;
	__m512 scale;
	ints scale_sign;
};

/* A limit as a code; none if it is infinite. */
static int product_limit(float value, int none)
{
	return value - value == 0 ? (int8_t)xrnpe_encode(XRNPE_FORMAT_P8, (double)value, &(uint32_t){ 0 }) : none;
}

LOOKUP_INLINE struct product_constants product_constants(const struct xrnpe_affine *affine)
{
	float scale = affine->scale * (float)(PRODUCT_UNIT * PRODUCT_UNIT);
	int lo = product_limit(affine->lo, INT8_MIN);

	return (struct product_constants){
		.table = { _mm512_loadu_si512(p8_from_one_low), _mm512_loadu_si512(p8_from_one_high) },
		.odd = keep(0xffff0000), .last = keep(1), .sign = keep(1u << 31), .one = keep(127 << 23),
		.code_of_one = keep((127 + 6) << 23), .half = keep(0x3f000001), .magnitude = keep(0x7f7f7f7f),
		.nar = keep(0x80808080),
		.lo = _mm512_set1_epi8((char)(affine->activation == XRNPE_ACT_RELU && lo < 0 ? 0 : lo)),
		.hi = _mm512_set1_epi8((char)product_limit(affine->hi, INT8_MAX)),
		.scale = _mm512_set1_ps(scale < 0 ? -scale : scale),
		.scale_sign = _mm512_set1_epi8((char)(scale < 0 ? -128 : 0)),
	};
}

struct magnitudes {
	__m512 value[4];
};

/* Of the codes that unpacking takes together, those with even and with odd numbers. NaR has some magnitude. */
LOOKUP_INLINE struct magnitudes p8_magnitudes(const struct product_constants *constants, ints code)
{
	ints m = _mm512_abs_epi8(code);
	__mmask64 large = _mm512_test_epi8_mask(m, _mm512_set1_epi8(64));
	ints low = _mm512_mask_permutexvar_epi8(m, large, m, constants->table[0]);
	ints high = _mm512_maskz_permutexvar_epi8(large, m, constants->table[1]);
	ints first = _mm512_unpacklo_epi8(low, high), second = _mm512_unpackhi_epi8(low, high);

	return (struct magnitudes){ {
		_mm512_cvtepi32_ps(_mm512_slli_epi32(first, 16)),
		_mm512_cvtepi32_ps(_mm512_and_si512(first, constants->odd)),
		_mm512_cvtepi32_ps(_mm512_slli_epi32(second, 16)),
		_mm512_cvtepi32_ps(_mm512_and_si512(second, constants->odd)),
	} };
}

/* The same of one code, without a branch. */
LOOKUP_INLINE struct magnitudes p8_magnitude(uint8_t code)
{
	int sign = -(code >> 7), m = ((int8_t)code ^ sign) - sign, large = -(m >> 6 & 1);
	int grid = (m & ~large) | ((p8_from_one_low[m & 63] | p8_from_one_high[m & 63] << 8) & large);
	__m512 value = _mm512_set1_ps((float)(grid << 16));

	return (struct magnitudes){ { value, value, value, value } };
}

/* As round_posit() of a positive product, but from one on minus the code that is as far below one's. */
LOOKUP_INLINE ints product_code(const struct product_constants *constants, __m512 a, __m512 b)
{
	__m512 product = _mm512_mul_ps(a, b);
	ints low = (ints)_mm512_mul_round_ps(product, constants->scale, DOWN);
	ints high = (ints)_mm512_mul_round_ps(product, constants->scale, UP);
	/* low | ((low ^ high) & last): the last bit is set if there is more */
	ints log = _mm512_sub_epi32(_mm512_ternarylogic_epi32(low, high, constants->last, 0xf8), constants->one);
	ints code = _mm512_sub_epi32(constants->code_of_one, _mm512_abs_epi32(log));

	/* Nothing becomes zero. */
	code = _mm512_max_epi32(code, constants->half);
	/* code | (~log & sign) */
	return _mm512_cvtps_epi32((__m512)_mm512_ternarylogic_epi32(code, log, constants->sign, 0xf2));
}

LOOKUP_INLINE ints load_codes(const uint8_t *from, size_t count)
{
	return count >= BLOCK ? _mm512_loadu_si512(from) : _mm512_maskz_loadu_epi8((1ull << count) - 1, from);
}

/* @b: codes, or NULL if all have code @same. */
LOOKUP_INLINE void product_row(const struct product_constants *constants, const uint8_t *a, const uint8_t *b,
			       uint8_t same, uint8_t *codes, size_t count)
{
	struct magnitudes y = p8_magnitude(same);
	ints y_codes = _mm512_set1_epi8((char)same);

	for (size_t i = 0; i < count; i += BLOCK) {
		ints x_codes = load_codes(a + i, count - i), code, pair[2];
		struct magnitudes x = p8_magnitudes(constants, x_codes);
		__mmask64 negative, is_nar, not_zero;

		if (b) {
			y_codes = load_codes(b + i, count - i);
			y = p8_magnitudes(constants, y_codes);
		}
#pragma GCC unroll 2
		for (size_t j = 0; j < 2; j++) {
			ints even = product_code(constants, x.value[2 * j], y.value[2 * j]);
			ints odd = product_code(constants, x.value[2 * j + 1], y.value[2 * j + 1]);

			/* odd ? odd << 16 : even */
			pair[j] = _mm512_ternarylogic_epi32(constants->odd, _mm512_slli_epi32(odd, 16), even, 0xca);
		}
		/* 128 - code, from one on */
		code = _mm512_and_si512(_mm512_packs_epi16(pair[0], pair[1]), constants->magnitude);
		not_zero = _mm512_test_epi8_mask(x_codes, x_codes) & _mm512_test_epi8_mask(y_codes, y_codes);
		code = _mm512_maskz_mov_epi8(not_zero, code);
		negative = _mm512_movepi8_mask(_mm512_ternarylogic_epi32(x_codes, y_codes, constants->scale_sign, 0x96));
		code = _mm512_mask_sub_epi8(code, negative, _mm512_setzero_si512(), code);
		code = _mm512_min_epi8(_mm512_max_epi8(code, constants->lo), constants->hi);
		is_nar = _mm512_cmpeq_epi8_mask(x_codes, constants->nar) | _mm512_cmpeq_epi8_mask(y_codes, constants->nar);
		code = _mm512_mask_mov_epi8(code, is_nar, constants->nar);
		if (count - i >= BLOCK)
			_mm512_storeu_si512(codes + i, code);
		else
			_mm512_mask_storeu_epi8(codes + i, (1ull << (count - i)) - 1, code);
	}
}

LOOKUP static void p8_products(const struct xrnpe_affine *affine, const uint8_t *a, const uint8_t *b, size_t each,
			       uint8_t *codes, size_t count)
{
	const struct product_constants constants = product_constants(affine);

	if (each == 1) {
		product_row(&constants, a, b, 0, codes, count);
		return;
	}
	for (size_t i = 0; i < count; i += each, b++)
		product_row(&constants, a + i, NULL, *b, codes + i, each);
}

#endif

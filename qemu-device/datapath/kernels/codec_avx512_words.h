/* SPDX-License-Identifier: MIT */
/*
 * Element-wise commands from codes of Posit(16,1) to such, in AVX-512: codec_avx512.c includes
 * this. A vector of 32 codes is two of 16 lanes of 32 bits, those with even and with odd numbers.
 *
 * Values are binary32, or doubles: then a lane has the upper word of one, whose lower word is zero, and
 * exponents are WORD_OFFSET less than theirs, so that what is below one needs none added.
 */
#ifndef XRNPE_DATAPATH_CODEC_AVX512_WORDS_H
#define XRNPE_DATAPATH_CODEC_AVX512_WORDS_H

#define WORD_CODES 32
#define WORD_OFFSET (1023 - 2 * (127 + 31))

/*
 * What does not change, in registers: compilers would otherwise make some of it anew in each turn, in the
 * port that has most to do.
 */
struct word_constants {
	__m512i odd, upper;
	__m512i sign, below, above;
	__m512i one, code_of_one, half, last, codes;
	__m512i nar, lo, hi;
	__mmask16 even;
	__m512d scale, other;
	__m512 single_scale, single_other;
};

INLINE __m512i keep(uint32_t word)
{
	__m512i value = _mm512_set1_epi32((int)word);

	__asm__("" : "+v"(value));
	return value;
}

/* Limits of codes are those of values, as rounding is monotonic. */
static uint32_t word_limit(float value, uint16_t none)
{
	bool finite = value - value == 0;

	return 0x00010001 * (finite ? xrnpe_encode(XRNPE_FORMAT_P16, (double)value, &(uint32_t){ 0 }) : none);
}

INLINE struct word_constants word_constants(const struct xrnpe_affine *affine, bool wide)
{
	const int log_of_one = 2 * (127 + 31);	/* see word_values() */
	bool mul = affine->opcode == XRNPE_OP_MUL;
	struct word_constants constants = {
		.odd = keep(0xffff0000), .upper = _mm512_slli_epi64(keep(UINT32_MAX), 32),
		.sign = keep(1u << 31), .below = keep((uint32_t)(log_of_one - 127) << 23),
		.above = wide ? keep((2u * log_of_one << 20) + (1u << 29)) : keep((uint32_t)(log_of_one + 127) << 23),
		.one = keep(wide ? log_of_one << 20 : 127 << 23),
		.code_of_one = keep(wide ? (127u + 14) << 23 : (127u + 14) << 24),
		.half = keep(0x3f000001), .last = keep(1), .codes = keep(1 << 15),
		.nar = keep(0x80008000),
		.lo = keep(word_limit(affine->lo, 0x8000)), .hi = keep(word_limit(affine->hi, 0x7fff)),
		.even = 0x5555,
		.scale = _mm512_set1_pd((double)affine->scale * (mul ? 0x1p+707 : 1)),
		.other = _mm512_set1_pd((double)affine->other * (mul ? 0x1p-707 : 1)),
		.single_scale = _mm512_set1_ps(affine->scale), .single_other = _mm512_set1_ps(affine->other),
	};

	_Static_assert(WORD_OFFSET == 707, "of scales");
	__asm__("" : "+Yk"(constants.even));
	if (affine->activation == XRNPE_ACT_RELU)
		constants.lo = _mm512_max_epi16(constants.lo, _mm512_setzero_si512());
	return constants;
}

/* ---- codes to values ------------------------------------------------------------ */

/*
 * As value_posit(). Twice a magnitude, in 16 bits with sign, is twice c of a posit below 1, and from there on
 * minus twice that. Zero becomes zero, and so does NaR. @twice: these in the upper halves of lanes.
 * @code: codes there, for their signs.
 */
INLINE __m512i word_values(const struct word_constants *constants, __m512i twice, __m512i code, bool wide)
{
	__mmask16 from_one = _mm512_test_epi32_mask(twice, constants->sign);
	__m512i log = _mm512_castps_si512(_mm512_cvtepi32_ps(twice)), value;

	if (wide) {
		/* A double has 3 bits more, and a posit 1 less. The sign is here, too. */
		value = _mm512_srli_epi32(log, 2);
	} else {
		log = _mm512_add_epi32(log, log);
		/* Zero stays so. */
		value = _mm512_subs_epu16(log, constants->below);
	}
	value = _mm512_mask_sub_epi32(value, from_one, constants->above, wide ? value : log);
	/* value | (code & sign) */
	return _mm512_ternarylogic_epi32(value, code, constants->sign, 0xf8);
}

struct word_pair {
	__m512i even, odd;
};

INLINE struct word_pair word_pair(const struct word_constants *constants, __m512i codes, bool wide)
{
	__m512i twice = _mm512_abs_epi16(codes);

	twice = _mm512_add_epi16(twice, twice);
	return (struct word_pair){
		word_values(constants, _mm512_slli_epi32(twice, 16), _mm512_slli_epi32(codes, 16), wide),
		word_values(constants, _mm512_and_si512(twice, constants->odd), codes, wide),
	};
}

/* ---- values to codes ------------------------------------------------------------ */

/*
 * As round_posit(), to the lower halves of lanes. @wide: @rest is not zero if there is more to a double than its
 * upper word. None is beyond binary32's normal numbers.
 */
INLINE __m512i word_codes(const struct word_constants *constants, __m512i value, __m512i rest, bool wide)
{
	__m512i magnitude, code;

	if (wide)
		/* (value | rest) & ~sign */
		magnitude = _mm512_ternarylogic_epi32(value, _mm512_min_epu32(rest, constants->last), constants->sign,
						      0x54);
	else
		magnitude = _mm512_andnot_si512(constants->sign, value);
	code = _mm512_abs_epi32(_mm512_sub_epi32(magnitude, constants->one));
	if (wide) {
		code = _mm512_sub_epi32(constants->code_of_one, _mm512_slli_epi32(code, 2));
	} else {
		code = _mm512_sub_epi32(constants->code_of_one, code);
		/* code >> 1 | (code & last) */
		code = _mm512_ternarylogic_epi32(_mm512_srli_epi32(code, 1), code, constants->last, 0xf8);
	}
	/* Nothing but zero becomes zero: what is more than one half becomes one. Then the sign. */
	code = _mm512_max_epi32(code, constants->half);
	code = _mm512_ternarylogic_epi32(code, value, constants->sign, 0xf8);
	code = _mm512_maskz_cvtps_epi32(_mm512_test_epi32_mask(magnitude, magnitude), _mm512_castsi512_ps(code));
	/* In 16 bits this has no sign. */
	return _mm512_mask_sub_epi32(code, _mm512_cmpge_epi32_mask(magnitude, constants->one), constants->codes, code);
}

/* ---- commands -------------------------------------------------------------------- */

INLINE __m512i double_sums(const struct word_constants *constants, uint8_t opcode, __m512i a, __m512i b)
{
	const reals scale = (reals)constants->scale, other = (reals)constants->other;

	if (opcode == XRNPE_OP_MUL)
		return (__m512i)multiply_add_odd((reals)a * scale, (reals)b, other);
	return (__m512i)multiply_add_odd((reals)a, scale, (reals)b * other);
}

INLINE __m512i words_by_doubles(const struct word_constants *constants, uint8_t opcode, __m512i a, __m512i b)
{
	const __m512i upper = constants->upper;
	__m512 even = _mm512_castsi512_ps(double_sums(constants, opcode, _mm512_slli_epi64(a, 32),
						      _mm512_slli_epi64(b, 32)));
	__m512 odd = _mm512_castsi512_ps(double_sums(constants, opcode, _mm512_and_si512(a, upper),
						     _mm512_and_si512(b, upper)));

	return word_codes(constants, _mm512_castps_si512(_mm512_mask_movehdup_ps(odd, constants->even, even)),
			  _mm512_castps_si512(_mm512_mask_moveldup_ps(even, _knot_mask16(constants->even), odd)),
			  true);
}

INLINE __m512i words_by_floats(const struct word_constants *constants, uint8_t opcode, __m512 a, __m512 b)
{
	const __m512 zero = _mm512_setzero_ps(), scale = constants->single_scale, other = constants->single_other;
	__m512 value, rest;

	switch (opcode) {
	case XRNPE_OP_CONVERT:
		value = single_odd(a, scale, other);
		break;
	case XRNPE_OP_MUL:
		/* What a product of 26 bits has beyond 24 is a power of two, so that its product is exact. */
		value = _mm512_mul_ps(a, b);
		rest = _mm512_fmsub_ps(a, b, value);
		value = single_odd(value, scale, _mm512_mul_ps(rest, scale));
		break;
	default:
		a = single_odd(a, scale, zero);
		b = single_odd(b, other, zero);
		value = opcode == XRNPE_OP_MAX ? _mm512_max_ps(a, b) : _mm512_min_ps(a, b);
		break;
	}
	return word_codes(constants, _mm512_castps_si512(value), _mm512_setzero_si512(), false);
}

INLINE __m512i words_by(const struct word_constants *constants, uint8_t opcode, bool wide, __m512i a, __m512i b)
{
	return wide ? words_by_doubles(constants, opcode, a, b) :
		      words_by_floats(constants, opcode, _mm512_castsi512_ps(a), _mm512_castsi512_ps(b));
}

INLINE __m512i load_word_codes(const uint8_t *from, size_t count)
{
	if (count >= WORD_CODES)
		return _mm512_loadu_si512(from);
	return _mm512_maskz_loadu_epi16((1u << count) - 1, from);
}

/* @b: codes, or NULL if all have code @same. */
INLINE void word_row(const struct word_constants *constants, uint8_t opcode, bool wide, const uint8_t *a,
		     const uint8_t *b, __m512i same, uint8_t *codes, size_t count)
{
	const __m512i nar = constants->nar;
	struct word_pair y = word_pair(constants, same, wide);
	__mmask32 y_nar = _mm512_cmpeq_epi16_mask(same, nar);

	for (size_t i = 0; i < count; i += WORD_CODES) {
		__m512i x_codes = load_word_codes(a + 2 * i, count - i), code;
		struct word_pair x = word_pair(constants, x_codes, wide);
		__mmask32 is_nar = _mm512_cmpeq_epi16_mask(x_codes, nar);

		if (b) {
			same = load_word_codes(b + 2 * i, count - i);
			y = word_pair(constants, same, wide);
			y_nar = _mm512_cmpeq_epi16_mask(same, nar);
		}
		x.even = words_by(constants, opcode, wide, x.even, y.even);
		x.odd = words_by(constants, opcode, wide, x.odd, y.odd);
		/* odd ? x.odd << 16 : x.even */
		code = _mm512_ternarylogic_epi32(constants->odd, _mm512_slli_epi32(x.odd, 16), x.even, 0xca);
		code = _mm512_min_epi16(_mm512_max_epi16(code, constants->lo), constants->hi);
		code = _mm512_mask_mov_epi16(code, is_nar | y_nar, nar);
		if (count - i >= WORD_CODES)
			_mm512_storeu_si512(codes + 2 * i, code);
		else
			_mm512_mask_storeu_epi16(codes + 2 * i, (1u << (count - i)) - 1, code);
	}
}

/* @opcode and @wide are no variables. */
INLINE void words_as(const struct xrnpe_affine *affine, uint8_t opcode, bool wide, const uint8_t *a,
		     const uint8_t *b, size_t each, uint8_t *codes, size_t count)
{
	const struct word_constants constants = word_constants(affine, wide);

	if (opcode == XRNPE_OP_CONVERT || each == 1) {
		word_row(&constants, opcode, wide, a, opcode == XRNPE_OP_CONVERT ? NULL : b, _mm512_setzero_si512(),
			 codes, count);
		return;
	}
	for (size_t i = 0; i < count; i += each, b += 2)
		word_row(&constants, opcode, wide, a + 2 * i, NULL, _mm512_set1_epi16((short)(b[0] | b[1] << 8)),
			 codes + 2 * i, each);
}

#define WORDS_OF(name, opcode, wide)								\
	TARGET static void words_##name(const struct xrnpe_affine *affine, const uint8_t *a,	\
					const uint8_t *b, size_t each, uint8_t *codes,		\
					size_t count)						\
	{											\
		words_as(affine, opcode, wide, a, b, each, codes, count);			\
	}
WORDS_OF(add, XRNPE_OP_ADD, true)
WORDS_OF(mul, XRNPE_OP_MUL, false)
WORDS_OF(mul_wide, XRNPE_OP_MUL, true)
WORDS_OF(max, XRNPE_OP_MAX, false)
WORDS_OF(min, XRNPE_OP_MIN, false)
WORDS_OF(convert, XRNPE_OP_CONVERT, false)

static void words(const struct xrnpe_affine *affine, const uint8_t *a, const uint8_t *b, size_t each, uint8_t *codes,
		  size_t count)
{
	switch (affine->opcode) {
	case XRNPE_OP_ADD:
		words_add(affine, a, b, each, codes, count);
		break;
	case XRNPE_OP_MUL:
		(affine->other == 0 ? words_mul : words_mul_wide)(affine, a, b, each, codes, count);
		break;
	case XRNPE_OP_MAX:
		words_max(affine, a, b, each, codes, count);
		break;
	case XRNPE_OP_MIN:
		words_min(affine, a, b, each, codes, count);
		break;
	default:
		words_convert(affine, a, b, each, codes, count);
		break;
	}
}

#endif

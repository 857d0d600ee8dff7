/* SPDX-License-Identifier: MIT */
/*
 * A codec in vectors. An instruction set's file defines VECTOR and TARGET (vector.h),
 * includes this, and has encode(), decode() and sum() of a struct xrnpe_codec.
 */
#ifndef XRNPE_DATAPATH_CODEC_VECTOR_H
#define XRNPE_DATAPATH_CODEC_VECTOR_H

#include <string.h>

#include "vector.h"

#define BLOCK ((size_t)VECTOR)	/* codes: as bytes they fill a vector */

#define LANES (VECTOR / sizeof(uint32_t))

typedef uint8_t bytes __attribute__((vector_size(VECTOR)));
typedef uint8_t half_bytes __attribute__((vector_size(VECTOR / 2)));
typedef uint16_t halfs __attribute__((vector_size(VECTOR)));
typedef uint16_t two_halfs __attribute__((vector_size(2 * VECTOR)));
typedef uint32_t two_words __attribute__((vector_size(2 * VECTOR)));

/* A block in lanes of 32 and 16 bits. Compilers convert between two vectors and one. */
union block_words {
	u32s vector[4];
	two_words pair[2];
};

union block_halfs {
	halfs vector[2];
	two_halfs pair;
};

INLINE void encode_block(enum xrnpe_format format, const float *values, uint8_t *row, u32s *nan)
{
	union block_words code;
	union block_halfs half;
	half_bytes packed;
	bytes byte;

#pragma GCC unroll 4
	for (size_t i = 0; i < 4; i++) {
		u32s value;

		memcpy(&value, values + i * LANES, sizeof(value));
		if (format == XRNPE_FORMAT_FP4 || format == XRNPE_FORMAT_F32) {
			i32s is_nan = (i32s)(value & INT32_MAX) > 0x7f800000;

			value = select_words(is_nan, (u32s){ 0 } + 0x7fc00000, value);
			*nan |= format == XRNPE_FORMAT_FP4 ? (u32s)is_nan : (u32s){ 0 };
		}
		if (format == XRNPE_FORMAT_F32)
			memcpy(row + i * sizeof(value), &value, sizeof(value));
		else
			code.vector[i] = round_words(format, value);
	}
	if (format == XRNPE_FORMAT_F32)
		return;
	half.vector[0] = __builtin_convertvector(code.pair[0], halfs);
	half.vector[1] = __builtin_convertvector(code.pair[1], halfs);
	if (format == XRNPE_FORMAT_P16) {
		memcpy(row, &half.vector[0], sizeof(halfs));
		memcpy(row + sizeof(halfs), &half.vector[1], sizeof(halfs));
		return;
	}
	byte = __builtin_convertvector(half.pair, bytes);
	if (format == XRNPE_FORMAT_P8) {
		memcpy(row, &byte, sizeof(byte));
		return;
	}
	packed = __builtin_convertvector((halfs)byte | (halfs)byte >> 4, half_bytes);
	memcpy(row, &packed, sizeof(packed));
}

/* A block of up to 16 bits. */
INLINE union block_halfs load_halfs(enum xrnpe_format format, const uint8_t *row)
{
	union block_halfs half;
	half_bytes packed;
	bytes byte;

	switch (format) {
	case XRNPE_FORMAT_FP4:
	case XRNPE_FORMAT_P4:
		memcpy(&packed, row, sizeof(packed));
		half.vector[0] = __builtin_convertvector(packed, halfs);
		byte = (bytes)((half.vector[0] | half.vector[0] << 4) & 0x0f0f);
		half.pair = __builtin_convertvector(byte, two_halfs);
		break;
	case XRNPE_FORMAT_P8:
	case XRNPE_FORMAT_U8:
	case XRNPE_FORMAT_S8:
		memcpy(&byte, row, sizeof(byte));
		half.pair = __builtin_convertvector(byte, two_halfs);
		break;
	default:
		memcpy(&half.vector[0], row, sizeof(halfs));
		memcpy(&half.vector[1], row + sizeof(halfs), sizeof(halfs));
		break;
	}
	return half;
}

INLINE void decode_block(enum xrnpe_format format, const uint8_t *row, float *values)
{
	union block_halfs half = load_halfs(format, row);
	union block_words code;

	code.pair[0] = __builtin_convertvector(half.vector[0], two_words);
	code.pair[1] = __builtin_convertvector(half.vector[1], two_words);
#pragma GCC unroll 4
	for (size_t i = 0; i < 4; i++) {
		u32s value = value_words(format, code.vector[i]);

		memcpy(values + i * LANES, &value, sizeof(value));
	}
}

/* A row of @format, which is no variable. */
INLINE void encode_as(enum xrnpe_format format, const float *values, uint8_t *row, size_t count,
		      uint32_t *status)
{
	u32s nan = { 0 };

	for (; count >= BLOCK; count -= BLOCK) {
		encode_block(format, values, row, &nan);
		values += BLOCK;
		row += xrnpe_row_bytes(format, BLOCK);
	}
	if (count) {
		float rest[BLOCK] = { 0 };
		uint8_t codes[BLOCK * sizeof(float)];

		memcpy(rest, values, count * sizeof(*rest));
		encode_block(format, rest, codes, &nan);
		memcpy(row, codes, xrnpe_row_bytes(format, count - 1));
		xrnpe_store(format, row, count - 1, xrnpe_load(format, codes, count - 1));
	}
	for (size_t i = 0; i < VECTOR / sizeof(nan[0]); i++)
		*status |= nan[i] & XRNPE_STATUS_INVALID;
}

INLINE void decode_as(enum xrnpe_format format, const uint8_t *row, float *values, size_t count)
{
	for (; count >= BLOCK; count -= BLOCK) {
		decode_block(format, row, values);
		values += BLOCK;
		row += xrnpe_row_bytes(format, BLOCK);
	}
	if (count) {
		uint8_t codes[BLOCK * sizeof(float)] = { 0 };
		float rest[BLOCK];

		memcpy(codes, row, xrnpe_row_bytes(format, count));
		decode_block(format, codes, rest);
		memcpy(values, rest, count * sizeof(*rest));
	}
}

TARGET static void encode(enum xrnpe_format format, const float *values, void *row, size_t count,
			  uint32_t *status)
{
	switch (format) {
	case XRNPE_FORMAT_FP4:
		encode_as(XRNPE_FORMAT_FP4, values, row, count, status);
		break;
	case XRNPE_FORMAT_P4:
		encode_as(XRNPE_FORMAT_P4, values, row, count, status);
		break;
	case XRNPE_FORMAT_P8:
		encode_as(XRNPE_FORMAT_P8, values, row, count, status);
		break;
	case XRNPE_FORMAT_P16:
		encode_as(XRNPE_FORMAT_P16, values, row, count, status);
		break;
	default:
		encode_as(XRNPE_FORMAT_F32, values, row, count, status);
		break;
	}
}

TARGET static void decode(enum xrnpe_format format, const void *row, float *values, size_t count)
{
	switch (format) {
	case XRNPE_FORMAT_FP4:
		decode_as(XRNPE_FORMAT_FP4, row, values, count);
		break;
	case XRNPE_FORMAT_P4:
		decode_as(XRNPE_FORMAT_P4, row, values, count);
		break;
	case XRNPE_FORMAT_P8:
		decode_as(XRNPE_FORMAT_P8, row, values, count);
		break;
	case XRNPE_FORMAT_P16:
		decode_as(XRNPE_FORMAT_P16, row, values, count);
		break;
	case XRNPE_FORMAT_U8:
		decode_as(XRNPE_FORMAT_U8, row, values, count);
		break;
	case XRNPE_FORMAT_S8:
		decode_as(XRNPE_FORMAT_S8, row, values, count);
		break;
	default:
		memcpy(values, row, xrnpe_row_bytes(format, count));
		break;
	}
}

/* ---- short codes to those of Posit(16,1) --------------------------------- */

typedef int16_t i16s __attribute__((vector_size(VECTOR)));

INLINE i16s larger_half(i16s a, i16s b)
{
#if VECTOR == 64
	return (i16s)_mm512_max_epi16((__m512i)a, (__m512i)b);
#elif VECTOR == 32
	return (i16s)_mm256_max_epi16((__m256i)a, (__m256i)b);
#elif defined(__AARCH64EL__)
	return (i16s)vmaxq_s16((int16x8_t)a, (int16x8_t)b);
#else
	i16s mask = a > b;

	return (a & mask) | (b & ~mask);
#endif
}

/*
 * As integers, codes of Posit(16,1) are to those of Posit(8,0) an odd function about one
 * (0x4000, 64). With the distance d from there its slope rises from 128, so that it is the
 * largest of some lines: d, 2 (d - 16), 4 (d - 36) and so on. Zero and NaR are where d is 64.
 */
INLINE halfs widen_p8(halfs code)
{
	i16s wide = (i16s)(code << 8) >> 8, sign = wide >> 15, magnitude = (wide ^ sign) - sign;
	i16s from_one = magnitude - 64, below = from_one >> 15, d = (from_one ^ below) - below, line;
	halfs result;

	line = larger_half((d - 56) * 2, d - 49);
	line = larger_half(line * 2, d - 36);
	line = larger_half(line * 2, d - 16);
	line = larger_half(line * 2, d) << 7;
	/* Of NaR this wraps, to NaR. */
	result = (halfs)((line ^ below) - below) + 0x4000;
	return (result ^ (halfs)sign) - (halfs)sign;
}

/* From 1, 0x4000, to 4, 0x6000, in equal steps. One half is one octave below 1. */
INLINE halfs widen_fp4(halfs code)
{
	i16s magnitude = (i16s)(code & 7), sign = (i16s)(code << 12) >> 15;
	i16s wide = (magnitude << 11) + 0x3000 + ((magnitude == 1) & -0x800) + ((magnitude == 7) & -0x400);

	wide &= magnitude != 0;
	return (halfs)((wide ^ sign) - sign);
}

INLINE halfs widen_half(enum xrnpe_format format, halfs code)
{
	switch (format) {
	case XRNPE_FORMAT_FP4:
		return widen_fp4(code);
	case XRNPE_FORMAT_P4:
		return code << 12;	/* as many exponent bits */
	default:
		return widen_p8(code);
	}
}

INLINE void widen_block(enum xrnpe_format format, const uint8_t *row, uint8_t *codes)
{
	union block_halfs half = load_halfs(format, row);

#pragma GCC unroll 2
	for (size_t i = 0; i < 2; i++) {
		halfs wide = widen_half(format, half.vector[i]);

		memcpy(codes + i * VECTOR, &wide, sizeof(wide));
	}
}

INLINE void widen_as(enum xrnpe_format format, const uint8_t *row, uint8_t *codes, size_t count)
{
	for (; count >= BLOCK; count -= BLOCK) {
		widen_block(format, row, codes);
		row += format == XRNPE_FORMAT_P8 ? BLOCK : BLOCK / 2;
		codes += BLOCK * sizeof(uint16_t);
	}
	if (count) {
		uint8_t rest[BLOCK] = { 0 }, wide[BLOCK * sizeof(uint16_t)];

		memcpy(rest, row, xrnpe_row_bytes(format, count));
		widen_block(format, rest, wide);
		memcpy(codes, wide, count * sizeof(uint16_t));
	}
}

TARGET static void widen(enum xrnpe_format format, const void *row, void *codes, size_t count)
{
	switch (format) {
	case XRNPE_FORMAT_FP4:
		widen_as(XRNPE_FORMAT_FP4, row, codes, count);
		break;
	case XRNPE_FORMAT_P4:
		widen_as(XRNPE_FORMAT_P4, row, codes, count);
		break;
	default:
		widen_as(XRNPE_FORMAT_P8, row, codes, count);
		break;
	}
}

/* ---- sums --------------------------------------------------------------- */

typedef double reals __attribute__((vector_size(VECTOR)));
typedef uint64_t bits __attribute__((vector_size(VECTOR)));
typedef int64_t longs __attribute__((vector_size(VECTOR)));
typedef float few_floats __attribute__((vector_size(VECTOR / 2)));
typedef int32_t few_ints __attribute__((vector_size(VECTOR / 2)));

#define REALS (VECTOR / sizeof(double))

INLINE reals load_reals(const float *from)
{
	few_floats values;

	memcpy(&values, from, sizeof(values));
	/* GCC 12 takes more instructions. */
#if VECTOR == 64
	return (reals)_mm512_cvtps_pd((__m256)values);
#elif VECTOR == 32
	return (reals)_mm256_cvtps_pd((__m128)values);
#else
	return __builtin_convertvector(values, reals);
#endif
}

INLINE reals select_reals(longs mask, reals yes, reals no)
{
	return (reals)(((bits)yes & (bits)mask) | ((bits)no & ~(bits)mask));
}

/*
 * Rounding to odd: what is not exact becomes the neighbour whose last bit is set, which
 * rounds on to fewer bits as the exact number would. First a * b + c to doubles, where a * b
 * is exact, then these to floats.
 */
#if VECTOR == 64

#define DOWN (_MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)
#define UP (_MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC)

INLINE reals multiply_add_odd(reals a, reals b, reals c)
{
	__m512d low = _mm512_fmadd_round_pd((__m512d)a, (__m512d)b, (__m512d)c, DOWN);
	__m512d high = _mm512_fmadd_round_pd((__m512d)a, (__m512d)b, (__m512d)c, UP);

	return (reals)_mm512_mask_mov_pd(high, _mm512_test_epi64_mask((__m512i)low, _mm512_set1_epi64(1)), low);
}

INLINE few_floats narrow(reals value, bool odd, bool normal)
{
	__m256 low, high;

	if (!odd)
		return (few_floats)_mm512_cvt_roundpd_ps((__m512d)value, _MM_FROUND_TO_NEAREST_INT |
							 _MM_FROUND_NO_EXC);
	low = _mm512_cvt_roundpd_ps((__m512d)value, DOWN);
	high = _mm512_cvt_roundpd_ps((__m512d)value, UP);
	return (few_floats)_mm256_mask_mov_ps(
		high, _mm256_test_epi32_mask((__m256i)low, _mm256_set1_epi32(1)), low);
}

#else

/* Where anything is left of a number, and where it points toward zero. Not for NaN. */
INLINE longs is_left(reals rest)
{
	return (rest < 0) | (rest > 0);
}

INLINE longs is_beyond(reals value, reals rest)
{
	return is_left(rest) & ((longs)((bits)value ^ (bits)rest) < 0);
}

INLINE reals multiply_add_odd(reals a, reals b, reals c)
{
	reals product = a * b, sum = product + c, part = sum - product;
	reals error = (product - (sum - part)) + (c - part);	/* Knuth */

	/* One down from beyond is what rounding toward zero gives. */
	return (reals)(((longs)sum + is_beyond(sum, error)) | (is_left(error) & 1));
}

/* @normal: no number but zero is below floats that are not subnormal. */
INLINE few_floats narrow(reals value, bool odd, bool normal)
{
	const uint64_t last = 1 << (53 - 24);
	few_floats near = __builtin_convertvector(value, few_floats);
	few_ints beyond, left;
	reals rest;

	if (!odd)
		return near;
	if (normal) {
		/* Whether anything is left goes to the last bit that a float has. */
		bits odd_bits = (bits)value | (((bits)value & (last - 1)) + (last - 1));

		return __builtin_convertvector((reals)(odd_bits & -last), few_floats);
	}
	rest = value - __builtin_convertvector(near, reals);
	beyond = __builtin_convertvector(is_beyond(value, rest), few_ints);
	left = __builtin_convertvector(is_left(rest), few_ints);
	return (few_floats)(((few_ints)near + beyond) | (left & 1));
}

#endif

/* The value before the activation: exact, or rounded to odd. */
INLINE reals combine(uint8_t opcode, reals a, reals b, reals scale, reals other)
{
	reals none;
	longs take;

	/* Products of 24 bits by 24, or of 13 by 13 by 24, are exact. */
	switch (opcode) {
	case XRNPE_OP_ADD:
		return multiply_add_odd(a, scale, b * other);
	case XRNPE_OP_MUL:
		return multiply_add_odd(a * b, scale, other);
	case XRNPE_OP_CONVERT:
		return multiply_add_odd(a, scale, other);
	default:
		a *= scale;
		b *= other;
		none = a + b;
		take = opcode == XRNPE_OP_MAX ? b > a : b < a;
		a = select_reals(take, b, a);
		return select_reals(none != none, none, a);
	}
}

/* The larger and the smaller of two; a NaN that is @value stays. */
INLINE reals at_least(reals value, reals least)
{
#if VECTOR == 64
	return (reals)_mm512_max_pd((__m512d)least, (__m512d)value);
#elif VECTOR == 32
	return (reals)_mm256_max_pd((__m256d)least, (__m256d)value);
#elif defined(__AARCH64EL__)
	return (reals)vmaxq_f64((float64x2_t)least, (float64x2_t)value);
#else
	return select_reals(value < least, least, value);
#endif
}

INLINE reals at_most(reals value, reals most)
{
#if VECTOR == 64
	return (reals)_mm512_min_pd((__m512d)most, (__m512d)value);
#elif VECTOR == 32
	return (reals)_mm256_min_pd((__m256d)most, (__m256d)value);
#elif defined(__AARCH64EL__)
	return (reals)vminq_f64((float64x2_t)most, (float64x2_t)value);
#else
	return select_reals(value > most, most, value);
#endif
}

struct stage {
	reals lo, hi, slope;	/* @lo: of RELU, too */
	bool odd, normal;
};

/* The rest of the output stage, but for what is negative and LEAKY. Zeros become +0. */
INLINE few_floats finish(const struct stage *stage, reals value)
{
	return narrow(at_most(at_least(value, stage->lo), stage->hi) + 0, stage->odd, stage->normal);
}

/*
 * LEAKY: a number with 29 bits is multiplied by the slope exactly. Of others, and of those
 * that were rounded to odd before, the product is off by less than 2^-51 of itself. If both
 * ends of that round alike, so does the exact one; in @doubt is where not.
 */
INLINE few_floats finish_leaky(const struct stage *stage, reals value, few_ints *doubt)
{
	longs negative = value < 0, whole = ((longs)value & ((1 << 24) - 1)) == 0;
	reals product = value * stage->slope, error = product * 0x1p-50;
	few_floats low, high;

	error = select_reals(whole | (error != error), (reals){ 0 }, error);
	low = finish(stage, select_reals(negative, product - error, value));
	high = finish(stage, select_reals(negative, product + error, value));
	*doubt |= (few_ints)low != (few_ints)high;
	return low;
}

/* @opcode, @each and @leaky are no variables. */
INLINE bool sum_as(const struct xrnpe_affine *affine, uint8_t opcode, bool each, bool leaky, float *a,
		   const float *b, size_t count)
{
	const bool pair = opcode != XRNPE_OP_CONVERT;
	const reals zero = { 0 };
	const bool relu = affine->activation == XRNPE_ACT_RELU && affine->lo < 0;
	const struct stage stage = {
		.lo = zero + (relu ? 0 : (double)affine->lo), .hi = zero + (double)affine->hi,
		.slope = zero + (double)affine->slope, .odd = affine->odd,
		.normal = affine->normal,
	};
	reals scale = zero + (double)affine->scale, other = zero + (double)affine->other;
	few_ints doubt = { 0 };
	bool any = false;

	for (size_t i = 0; i < count; i += REALS) {
		few_floats value;
		reals x;

		if (each) {
			scale = load_reals(affine->scales + i);
			other = load_reals(affine->others + i);
		}
		x = combine(opcode, load_reals(a + i), pair ? load_reals(b + i) : zero, scale, other);
		value = leaky ? finish_leaky(&stage, x, &doubt) : finish(&stage, x);
		memcpy(a + i, &value, sizeof(value));
	}
	for (size_t i = 0; leaky && i < REALS; i++)
		any |= doubt[i];
	return !any;
}

#if VECTOR == 64

/* Of any two neighbours one is odd, of subnormals, too. */
INLINE __m512 single_odd(__m512 a, __m512 b, __m512 c)
{
	__m512 low = _mm512_fmadd_round_ps(a, b, c, DOWN), high = _mm512_fmadd_round_ps(a, b, c, UP);

	return _mm512_mask_mov_ps(high, _mm512_test_epi32_mask((__m512i)low, _mm512_set1_epi32(1)), low);
}

/* The larger or the smaller one; a NaN if any is. */
INLINE __m512 single_extreme(uint8_t opcode, __m512 a, __m512 b)
{
	__m512 value = opcode == XRNPE_OP_MAX ? _mm512_max_ps(a, b) : _mm512_min_ps(a, b);

	return _mm512_mask_add_ps(value, _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q), a, b);
}

/* What one fused multiply-add of floats does, or one for each input. */
INLINE void sum_single(const struct xrnpe_affine *affine, uint8_t opcode, bool each, float *a, const float *b,
		       size_t count)
{
	const bool extreme = opcode == XRNPE_OP_MAX || opcode == XRNPE_OP_MIN;
	const bool relu = affine->activation == XRNPE_ACT_RELU && affine->lo < 0;
	const __m512 lo = _mm512_set1_ps(relu ? 0 : affine->lo), hi = _mm512_set1_ps(affine->hi);
	const __m512 zero = _mm512_setzero_ps();
	__m512 scale = _mm512_set1_ps(affine->scale), other = _mm512_set1_ps(affine->other);

	for (size_t i = 0; i < count; i += LANES) {
		__m512 value = _mm512_loadu_ps(a + i);

		if (opcode == XRNPE_OP_MUL)
			value = _mm512_mul_ps(value, _mm512_loadu_ps(b + i));
		if (each) {
			scale = _mm512_loadu_ps(affine->scales + i);
			other = _mm512_loadu_ps(affine->others + i);
		}
		value = single_odd(value, scale, extreme ? zero : other);
		if (extreme)
			value = single_extreme(opcode, value, single_odd(_mm512_loadu_ps(b + i), other, zero));
		/* Zeros become +0. */
		value = _mm512_min_ps(hi, _mm512_max_ps(lo, value));
		_mm512_storeu_ps(a + i, _mm512_add_ps(value, zero));
	}
}

#else
#define sum_single(affine, opcode, each, a, b, count) ((void)0)
#endif

#define SUM(name, opcode, each)								\
	TARGET static bool sum_##name(const struct xrnpe_affine *affine, float *a, const float *b, \
				      size_t count)					\
	{										\
		if (VECTOR == 64 && affine->single) {					\
			sum_single(affine, opcode, each, a, b, count);		\
			return true;							\
		}									\
		if (affine->activation == XRNPE_ACT_LEAKY)				\
			return sum_as(affine, opcode, each, true, a, b, count);		\
		return sum_as(affine, opcode, each, false, a, b, count);		\
	}
SUM(add, XRNPE_OP_ADD, false)
SUM(mul, XRNPE_OP_MUL, false)
SUM(max, XRNPE_OP_MAX, false)
SUM(min, XRNPE_OP_MIN, false)
SUM(convert, XRNPE_OP_CONVERT, false)
SUM(convert_each, XRNPE_OP_CONVERT, true)

static bool sum(const struct xrnpe_affine *affine, float *a, const float *b, size_t count)
{
	switch (affine->opcode) {
	case XRNPE_OP_ADD:
		return sum_add(affine, a, b, count);
	case XRNPE_OP_MUL:
		return sum_mul(affine, a, b, count);
	case XRNPE_OP_MAX:
		return sum_max(affine, a, b, count);
	case XRNPE_OP_MIN:
		return sum_min(affine, a, b, count);
	default:
		return (affine->scales ? sum_convert_each : sum_convert)(affine, a, b, count);
	}
}

#endif

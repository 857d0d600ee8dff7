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

INLINE void decode_block(enum xrnpe_format format, const uint8_t *row, float *values)
{
	union block_words code;
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
		memcpy(&byte, row, sizeof(byte));
		half.pair = __builtin_convertvector(byte, two_halfs);
		break;
	default:
		memcpy(&half.vector[0], row, sizeof(halfs));
		memcpy(&half.vector[1], row + sizeof(halfs), sizeof(halfs));
		break;
	}
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
	default:
		memcpy(values, row, xrnpe_row_bytes(format, count));
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
#if VECTOR == 64	/* GCC 12 takes more instructions */
	return (reals)_mm512_cvtps_pd((__m256)values);
#else
	return __builtin_convertvector(values, reals);
#endif
}

INLINE reals activate(reals value, bool relu, reals *error)
{
	const longs negative = (longs){ 0 } - (int64_t)relu;
	longs keep = ~((value == 0) | ((value < 0) & negative));

	*error = (reals)((longs)*error & keep);
	return (reals)((longs)value & keep);
}

/*
 * The sum, as struct xrnpe_codec has it. Rounding to odd: what is not exact becomes the
 * neighbour whose last bit is set, which rounds on to fewer bits as the exact number would.
 */
#if VECTOR == 64

#define DOWN (_MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)
#define UP (_MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC)

INLINE few_floats round_sum(reals a, reals b, bool relu, bool odd)
{
	__m512d low = _mm512_add_round_pd((__m512d)a, (__m512d)b, DOWN);
	__m512d high = _mm512_add_round_pd((__m512d)a, (__m512d)b, UP);
	__mmask8 take_low = _mm512_test_epi64_mask((__m512i)low, _mm512_set1_epi64(1));
	reals none = { 0 }, sum = activate((reals)_mm512_mask_mov_pd(high, take_low, low), relu, &none);
	__m256 near_low, near_high;

	if (!odd)
		return (few_floats)_mm512_cvt_roundpd_ps((__m512d)sum, _MM_FROUND_TO_NEAREST_INT |
							 _MM_FROUND_NO_EXC);
	near_low = _mm512_cvt_roundpd_ps((__m512d)sum, DOWN);
	near_high = _mm512_cvt_roundpd_ps((__m512d)sum, UP);
	take_low = _mm256_test_epi32_mask((__m256i)near_low, _mm256_set1_epi32(1));
	return (few_floats)_mm256_mask_mov_ps(near_high, take_low, near_low);
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

INLINE few_floats round_sum(reals a, reals b, bool relu, bool odd)
{
	reals sum = a + b, part = sum - a, error = (a - (sum - part)) + (b - part);	/* Knuth */
	few_ints beyond, left;
	few_floats near;

	sum = activate(sum, relu, &error);
	/* One down from beyond is what rounding toward zero gives. */
	if (!odd) {
		sum = (reals)(((longs)sum + is_beyond(sum, error)) | (is_left(error) & 1));
		return __builtin_convertvector(sum, few_floats);
	}
	near = __builtin_convertvector(sum, few_floats);
	error += sum - __builtin_convertvector(near, reals);
	beyond = __builtin_convertvector(is_beyond(sum, error), few_ints);
	left = __builtin_convertvector(is_left(error), few_ints);
	return (few_floats)(((few_ints)near + beyond) | (left & 1));
}

#endif

/* @two and @odd are no variables. */
INLINE void sum_as(const struct xrnpe_affine *affine, float *a, const float *b, size_t count,
		   bool two, bool odd)
{
	const reals scale = (reals){ 0 } + (double)affine->scale;
	const reals other = (reals){ 0 } + (double)affine->other;

	for (size_t i = 0; i < count; i += REALS) {
		/* Products of 24 bits by 24 are exact. */
		reals x = load_reals(a + i) * scale, y = two ? load_reals(b + i) * other : other;
		few_floats value = round_sum(x, y, affine->relu, odd);

		memcpy(a + i, &value, sizeof(value));
	}
}

TARGET static void sum(const struct xrnpe_affine *affine, float *a, const float *b, size_t count)
{
	if (affine->odd && b)
		sum_as(affine, a, b, count, true, true);
	else if (affine->odd)
		sum_as(affine, a, b, count, false, true);
	else if (b)
		sum_as(affine, a, b, count, true, false);
	else
		sum_as(affine, a, b, count, false, false);
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Binary32 values to codes in the compilers' portable vectors, and back (values.h).
 */
#ifndef XRNPE_DATAPATH_VECTOR_H
#define XRNPE_DATAPATH_VECTOR_H

#ifdef __x86_64__
#include <immintrin.h>
#endif
#ifdef __AARCH64EL__
#include <arm_neon.h>
#endif

#include "values.h"

/* Of two signed numbers. Compilers for C do not find these in comparisons. */
INLINE u32s larger_words(u32s a, u32s b)
{
#if VECTOR == 64
	return (u32s)_mm512_max_epi32((__m512i)a, (__m512i)b);
#elif VECTOR == 32
	return (u32s)_mm256_max_epi32((__m256i)a, (__m256i)b);
#elif defined(__AARCH64EL__)
	return (u32s)vmaxq_s32((int32x4_t)a, (int32x4_t)b);
#else
	return select_words((i32s)a > (i32s)b, a, b);
#endif
}

INLINE u32s smaller_words(u32s a, u32s b)
{
#if VECTOR == 64
	return (u32s)_mm512_min_epi32((__m512i)a, (__m512i)b);
#elif VECTOR == 32
	return (u32s)_mm256_min_epi32((__m256i)a, (__m256i)b);
#elif defined(__AARCH64EL__)
	return (u32s)vminq_s32((int32x4_t)a, (int32x4_t)b);
#else
	return select_words((i32s)a < (i32s)b, a, b);
#endif
}

/* To the nearest integers, of ties to the even ones, whatever the mode of the CPU; not beyond 2^24. */
INLINE u32s nearest_integers(f32s value)
{
#if VECTOR == 64
	return (u32s)_mm512_cvt_roundps_epi32((__m512)value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif VECTOR == 32
	return (u32s)_mm256_cvttps_epi32(_mm256_round_ps((__m256)value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#elif defined(__AARCH64EL__)
	return (u32s)vcvtnq_s32_f32((float32x4_t)value);
#else
	i32s whole = __builtin_convertvector(value, i32s);
	f32s rest = value - __builtin_convertvector(whole, f32s);

	return (u32s)(whole - ((rest > 0.5f) | ((rest == 0.5f) & -(whole & 1))));
#endif
}

/* ---- binary32 to codes ------------------------------------------------- */

/*
 * Bits of finite binary32 to codes of Posit(n, es), the way back from value_posit(): the bits without sign
 * are a logarithm, and that of a code below 1's, which as an integer has its regime, exponent and
 * fraction in one, is (n - 2) more after es bits went from the exponent to the fraction. So the
 * code is a float, rounded to an integer. From 1 on it is as far above the code of 1 as the code of
 * the opposite logarithm is below.
 */
INLINE u32s round_posit(u32s value, int n, int es)
{
	const u32s one = (u32s){ 0 } + 1, code_of_one = one << (n - 2);
	u32s magnitude = value & INT32_MAX, sign = (u32s)((i32s)value >> 31);
	u32s log = magnitude - (127 << 23), below = (u32s)((i32s)log >> 31), code;

	code = ((127u + (unsigned int)n - 2) << (23 + es)) - ((log ^ below) - below);
	if (es)		/* the last bit stands for all that follow */
		code = code >> 1 | (code & 1);
	code = nearest_integers((f32s)code);
	/* Nothing but zero becomes zero. */
	code = larger_words(code, smaller_words(magnitude, one));
	/* From 1 on the mirror image. */
	code = code_of_one - code;
	code = code_of_one + ((code ^ below) - below);
	return ((code ^ sign) - sign) & ((1u << n) - 1);
}

/* A NaN without sign becomes 6. */
INLINE u32s round_fp4(u32s value)
{
	/* From 1 on: the exponent and a bit of fraction. */
	u32s magnitude = value & INT32_MAX, zero = { 0 };
	u32s code = smaller_words(larger_words(magnitude, zero + (127 << 23)), zero + 0x40c00000);

	code = (code + (code >> 22 & 1) + ((1 << 21) - 1 - (252 << 22))) >> 22;
	/* Below there are 1, 0.5 and 0, and ties at 0.75 and 0.25. */
	code += (u32s)((i32s)magnitude < 0x3f400000) + (u32s)((i32s)magnitude <= 0x3e800000);
	return code | (value >> 28 & 8);
}

/* The codes of @format, which is no variable, but not binary32: of numbers, and of any floats. */
INLINE u32s round_finite_words(enum xrnpe_format format, u32s value)
{
	switch (format) {
	case XRNPE_FORMAT_FP4:
		return round_fp4(value);
	case XRNPE_FORMAT_P4:
		return round_posit(value, 4, 1);
	case XRNPE_FORMAT_P8:
		return round_posit(value, 8, 0);
	default:
		return round_posit(value, 16, 1);
	}
}

INLINE u32s round_words(enum xrnpe_format format, u32s value)
{
	const u32s nar = (u32s){ 0 } + (format == XRNPE_FORMAT_P4 ? 8 : format == XRNPE_FORMAT_P8 ? 0x80 : 0x8000);
	u32s code = round_finite_words(format, value);

	if (format == XRNPE_FORMAT_FP4)
		return code;
	return select_words((i32s)(value & INT32_MAX) >= 0x7f800000, nar, code);
}

#endif

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

INLINE u32s clamp(u32s value, int least, int most)
{
	const i32s low = (i32s){ 0 } + least, high = (i32s){ 0 } + most;

	/* Compilers for C do not find these in comparisons. */
#if VECTOR == 64
	return (u32s)_mm512_min_epi32(_mm512_max_epi32((__m512i)value, (__m512i)low), (__m512i)high);
#elif VECTOR == 32
	return (u32s)_mm256_min_epi32(_mm256_max_epi32((__m256i)value, (__m256i)low), (__m256i)high);
#elif defined(__AARCH64EL__)
	return (u32s)vminq_s32(vmaxq_s32((int32x4_t)value, (int32x4_t)low), (int32x4_t)high);
#else
	value = select_words((i32s)value < low, (u32s)low, value);
	return select_words((i32s)value > high, (u32s)high, value);
#endif
}

/* ---- binary32 to codes ------------------------------------------------- */

/*
 * Bits of binary32 to codes of Posit(n, es).
 *
 * The bits without sign are exponent and fraction, a fixed-point logarithm of sorts;
 * es bits more than the fraction go unchanged into the posit, after the regime. That
 * is 10 or 01 with its first bit repeated: a shift of a signed number. Done to the
 * left, the posit ends at the same place for all, and nothing is lost before rounding.
 */
INLINE u32s round_posit(u32s value, int n, int es)
{
	const int top = (n - 2) << es;			/* maxpos is 2^top */
	const int tail_bits = n == 16 ? 16 : 23 + es;	/* so that 32 bits are enough */
	const int shift = 33 - n;
	u32s magnitude = value & INT32_MAX, sign = (u32s)((i32s)value >> 31);
	i32s log = (i32s)clamp(magnitude, (127 - top) << 23, (127 + top) << 23) - (127 << 23);
	i32s regime = log >> (23 + es), below = log >> 31;
	u32s tail = (u32s)log & ((1u << (23 + es)) - 1), string, code;

	if (n == 16)	/* the last bit stands for all that follow */
		tail = (tail | ((tail & 255) + 255)) >> 8;
	string = tail | ((u32s)below ^ ~1u) << tail_bits;
	string <<= (u32s)(30 - tail_bits - (regime ^ below));
	/* To nearest, ties to even. */
	code = (string + ((1u << (shift - 1)) - 1) + (string >> shift & 1)) >> shift;
	/* Zero is minpos now, infinities and NaN are maxpos: one less and one more. */
	code += (u32s)(magnitude == 0) - (u32s)(magnitude >= 0x7f800000);
	return ((code ^ sign) - sign) & ((1u << n) - 1);
}

/* A NaN without sign becomes 6. */
INLINE u32s round_fp4(u32s value)
{
	/* From 1 on: the exponent and a bit of fraction. */
	u32s magnitude = value & INT32_MAX, code = clamp(magnitude, 127 << 23, 0x40c00000);

	code = (code + (code >> 22 & 1) + ((1 << 21) - 1 - (252 << 22))) >> 22;
	/* Below there are 1, 0.5 and 0, and ties at 0.75 and 0.25. */
	code += (u32s)((i32s)magnitude < 0x3f400000) + (u32s)((i32s)magnitude <= 0x3e800000);
	return code | (value >> 28 & 8);
}

/* The codes of @format, which is no variable, but not binary32. */
INLINE u32s round_words(enum xrnpe_format format, u32s value)
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

#endif

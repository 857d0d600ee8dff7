/* SPDX-License-Identifier: MIT */
/*
 * Codes and binary32 values in the compilers' portable vectors. Whoever includes this
 * defines VECTOR, the bytes of a vector, and TARGET, the attributes of functions for
 * the instruction set that has such.
 *
 * Comparisons give -1 or 0 in every lane.
 */
#ifndef XRNPE_DATAPATH_VECTOR_H
#define XRNPE_DATAPATH_VECTOR_H

#ifdef __x86_64__
#include <immintrin.h>
#endif
#ifdef __AARCH64EL__
#include <arm_neon.h>
#endif

#include "internal.h"

#ifndef INLINE
#define INLINE TARGET __attribute__((always_inline)) static inline
#endif

typedef uint32_t words __attribute__((vector_size(VECTOR)));
typedef int32_t ints __attribute__((vector_size(VECTOR)));
typedef float floats __attribute__((vector_size(VECTOR)));

INLINE words select_words(ints mask, words yes, words no)
{
	return (yes & (words)mask) | (no & ~(words)mask);
}

INLINE words clamp(words value, int least, int most)
{
	const ints low = (ints){ 0 } + least, high = (ints){ 0 } + most;

	/* Compilers for C do not find these in comparisons. */
#if VECTOR == 64
	return (words)_mm512_min_epi32(_mm512_max_epi32((__m512i)value, (__m512i)low), (__m512i)high);
#elif VECTOR == 32
	return (words)_mm256_min_epi32(_mm256_max_epi32((__m256i)value, (__m256i)low), (__m256i)high);
#elif defined(__AARCH64EL__)
	return (words)vminq_s32(vmaxq_s32((int32x4_t)value, (int32x4_t)low), (int32x4_t)high);
#else
	value = select_words((ints)value < low, (words)low, value);
	return select_words((ints)value > high, (words)high, value);
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
INLINE words round_posit(words value, int n, int es)
{
	const int top = (n - 2) << es;			/* maxpos is 2^top */
	const int tail_bits = n == 16 ? 16 : 23 + es;	/* so that 32 bits are enough */
	const int shift = 33 - n;
	words magnitude = value & INT32_MAX, sign = (words)((ints)value >> 31);
	ints log = (ints)clamp(magnitude, (127 - top) << 23, (127 + top) << 23) - (127 << 23);
	ints regime = log >> (23 + es), below = log >> 31;
	words tail = (words)log & ((1u << (23 + es)) - 1), string, code;

	if (n == 16)	/* the last bit stands for all that follow */
		tail = (tail | ((tail & 255) + 255)) >> 8;
	string = tail | ((words)below ^ ~1u) << tail_bits;
	string <<= (words)(30 - tail_bits - (regime ^ below));
	/* To nearest, ties to even. */
	code = (string + ((1u << (shift - 1)) - 1) + (string >> shift & 1)) >> shift;
	/* Zero is minpos now, infinities and NaN are maxpos: one less and one more. */
	code += (words)(magnitude == 0) - (words)(magnitude >= 0x7f800000);
	return ((code ^ sign) - sign) & ((1u << n) - 1);
}

/* Lanes of *@nan where there is one are set. */
INLINE words round_fp4(words value, words *nan)
{
	words magnitude = value & INT32_MAX, code, is_nan = (words)(magnitude > 0x7f800000);

	*nan |= is_nan;
	/* From 1 on: the exponent and a bit of fraction. */
	code = clamp(magnitude, 127 << 23, 0x40c00000);
	code = (code + (code >> 22 & 1) + ((1 << 21) - 1 - (252 << 22))) >> 22;
	/* Below there are 1, 0.5 and 0, and ties at 0.75 and 0.25. */
	code += (words)(magnitude < 0x3f400000) + (words)(magnitude <= 0x3e800000);
	return code | (value >> 28 & 8 & ~is_nan);
}

/* The codes of @format, which is no variable. */
INLINE words round_words(enum xrnpe_format format, words value, words *nan)
{
	switch (format) {
	case XRNPE_FORMAT_FP4:
		return round_fp4(value, nan);
	case XRNPE_FORMAT_P4:
		return round_posit(value, 4, 1);
	case XRNPE_FORMAT_P8:
		return round_posit(value, 8, 0);
	case XRNPE_FORMAT_P16:
		return round_posit(value, 16, 1);
	default:
		return select_words((ints)((value & INT32_MAX) > 0x7f800000),
				    (words){ 0 } + 0x7fc00000, value);
	}
}

/* ---- codes to binary32 ------------------------------------------------- */

/*
 * Exponent and fraction of a positive binary32 are, as an integer, log(x) = p + t for
 * x = 2^p (1 + t), in units of 2^-23. Read c, the n - 1 bits of a posit below 1, as an
 * integer: its leading one ends the regime and the tail follows, so that exponent
 * and fraction of the posit are those of log(c) - (n - 2), with es bits moved from
 * the fraction to the exponent. From 1 on it is (n - 2) - log(2^(n - 1) - c).
 */
INLINE words value_posit(words code, int n, int es)
{
	words top = code << (32 - n), sign = (words)((ints)top >> 31);
	words magnitude = (top ^ sign) - sign, above = (words)((ints)magnitude > 1 << 30), log;

	log = ((magnitude ^ above) - above) & INT32_MAX;
	log = (words)__builtin_convertvector((ints)log, floats) - ((127 + 30) << 23);
	log = (log ^ above) - above;
	log = ((log << es) + (127 << 23)) | (top & 1u << 31);
	log &= (words)(top != 0);
	return select_words((ints)(top == 1u << 31), (words){ 0 } + 0x7fc00000, log);
}

INLINE words value_fp4(words code)
{
	words magnitude = code & 7, bits = (magnitude << 22) + (126 << 23);

	/* The subnormal 0.5 and zero. */
	bits = (bits + ((words)(magnitude == 1) << 22)) & (words)(magnitude != 0);
	return bits | code >> 3 << 31;
}

INLINE words value_words(enum xrnpe_format format, words code)
{
	switch (format) {
	case XRNPE_FORMAT_FP4:
		return value_fp4(code);
	case XRNPE_FORMAT_P4:
		return value_posit(code, 4, 1);
	case XRNPE_FORMAT_P8:
		return value_posit(code, 8, 0);
	case XRNPE_FORMAT_P16:
		return value_posit(code, 16, 1);
	default:
		return code;
	}
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Codes to binary32 values in the compilers' portable vectors. Whoever includes this
 * defines VECTOR, the bytes of a vector, and TARGET, the attributes of functions for
 * the instruction set that has such.
 *
 * Comparisons give -1 or 0 in every lane.
 */
#ifndef XRNPE_DATAPATH_VALUES_H
#define XRNPE_DATAPATH_VALUES_H

#include "kernel.h"

#ifndef INLINE
#define INLINE TARGET __attribute__((always_inline)) static inline
#endif

typedef uint32_t u32s __attribute__((vector_size(VECTOR)));
typedef int32_t i32s __attribute__((vector_size(VECTOR)));
typedef float f32s __attribute__((vector_size(VECTOR)));

INLINE u32s select_words(i32s mask, u32s yes, u32s no)
{
	return (yes & (u32s)mask) | (no & ~(u32s)mask);
}

/*
 * Exponent and fraction of a positive binary32 are, as an integer, log(x) = p + t for
 * x = 2^p (1 + t), in units of 2^-23. Read c, the n - 1 bits of a posit below 1, as an
 * integer: its leading one ends the regime and the tail follows, so that exponent
 * and fraction of the posit are those of log(c) - (n - 2), with es bits moved from
 * the fraction to the exponent. From 1 on it is (n - 2) - log(2^(n - 1) - c).
 */
INLINE u32s value_posit(u32s code, int n, int es)
{
	u32s top = code << (32 - n), sign = (u32s)((i32s)top >> 31);
	u32s magnitude = (top ^ sign) - sign, above = (u32s)((i32s)magnitude > 1 << 30), log;

	log = ((magnitude ^ above) - above) & INT32_MAX;
	log = (u32s)__builtin_convertvector((i32s)log, f32s) - ((127 + 30) << 23);
	log = (log ^ above) - above;
	log = ((log << es) + (127 << 23)) | (top & 1u << 31);
	log &= (u32s)(top != 0);
	return select_words((i32s)(top == 1u << 31), (u32s){ 0 } + 0x7fc00000, log);
}

INLINE u32s value_fp4(u32s code)
{
	u32s magnitude = code & 7, bits = (magnitude << 22) + (126 << 23);

	/* The subnormal 0.5 and zero. */
	bits = (bits + ((u32s)(magnitude == 1) << 22)) & (u32s)(magnitude != 0);
	return bits | code >> 3 << 31;
}

INLINE u32s value_words(enum xrnpe_format format, u32s code)
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
	case XRNPE_FORMAT_U8:
		return (u32s)__builtin_convertvector((i32s)code, f32s);
	case XRNPE_FORMAT_S8:
		return (u32s)__builtin_convertvector((i32s)(code << 24) >> 24, f32s);
	default:
		return code;
	}
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Posit(16,1) to doubles with AVX2 and NEON, in the compilers' portable vectors; for whom
 * includes gemm_tiles.h and rounding.h.
 */
#ifndef XRNPE_DATAPATH_TILES_P16_H
#define XRNPE_DATAPATH_TILES_P16_H

/* Decoded values are those of the codes times 2^-767. */
#define SCALE 767

typedef int32_t halves __attribute__((vector_size(VECTOR)));
typedef float singles __attribute__((vector_size(VECTOR)));

/* @value, negated where @sign is, which is zero only where @value is. */
INLINE halves with_sign(halves value, halves sign)
{
#ifdef __x86_64__
	return (halves)_mm256_sign_epi32((__m256i)value, (__m256i)sign);
#else
	sign >>= 31;
	return (value ^ sign) - sign;
#endif
}

/*
 * The upper halves of doubles, whose lower ones are zero: given codes without their sign, at
 * the top, and what is negative where magnitudes are above one, as code ^ 2 code is. A NaR
 * becomes zero. See gemv_p16.h.
 */
INLINE halves upper_halves(halves twice, halves above_one)
{
	/* The mirror image of magnitudes above one. One becomes 2, whose bits are the mirror. */
	halves upper = with_sign((halves)(__builtin_convertvector(twice, singles) * 0x1p-30f), above_one);

	/* Two copies of the sign go. */
	return upper >> 2 & (int)0x9fffffff;
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Posit(16,1), and Posit(8,0), to doubles with AVX2 and NEON, in the compilers' portable vectors; for whom
 * includes gemm_tiles.h and rounding.h.
 */
#ifndef XRNPE_DATAPATH_TILES_P16_H
#define XRNPE_DATAPATH_TILES_P16_H

/* Decoded values are those of the codes times 2^-SCALE. @es: 1, or 0 of codes of 8 bits. */
#define SCALE(es) ((es) ? 767 : 895)

typedef uint16_t words __attribute__((vector_size(VECTOR)));

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
 * becomes zero. See sums_p16.h.
 */
INLINE halves upper_halves(int es, halves twice, halves above_one)
{
	/* The mirror image of magnitudes above one. One becomes 2, whose bits are the mirror. */
	halves upper = with_sign((halves)(__builtin_convertvector(twice, singles) * 0x1p-30f), above_one);

	/* Two or three copies of the sign go. */
	return upper >> (3 - es) & (int)(es ? 0x9fffffff : 0x8fffffff);
}

/* A vector of codes, at the top of words, to doubles: every fourth from 0, 2, 1 and 3. */
INLINE void decode_posits(int es, words code, reals value[4])
{
	words twice = code + code;
	halves above_one = (halves)(code ^ twice);

	for (int odd = 0; odd < 2; odd++) {
		halves upper = upper_halves(es, odd ? (halves)twice & -0x10000 : (halves)twice << 16,
					    odd ? above_one : above_one << 16);

		value[2 * odd] = (reals)((bits)upper << 32);
		value[2 * odd + 1] = (reals)((bits)upper & 0xffffffff00000000);
	}
}

#endif

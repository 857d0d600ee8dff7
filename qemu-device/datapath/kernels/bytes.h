/* SPDX-License-Identifier: MIT */
/*
 * Vectors of bytes: what the compilers' portable ones lack. Who includes this has defined
 * INLINE and VECTOR, and has the intrinsics. AVX2 and AVX-512 work in parts of 16 bytes.
 */
#ifndef XRNPE_DATAPATH_BYTES_H
#define XRNPE_DATAPATH_BYTES_H

typedef uint8_t bytes __attribute__((vector_size(VECTOR)));

/* Zero where bit 7 of the index is set. NEON: where any of bits 4 to 7 is. */
INLINE bytes look_up(bytes table, bytes index)
{
#if VECTOR == 64
	return (bytes)_mm512_shuffle_epi8((__m512i)table, (__m512i)index);
#elif VECTOR == 32
	return (bytes)_mm256_shuffle_epi8((__m256i)table, (__m256i)index);
#else
	return (bytes)vqtbl1q_u8((uint8x16_t)table, (uint8x16_t)index);
#endif
}

/* Words of lower and upper bytes: those of the first half of each 16, and of the second. */
INLINE bytes first_words(bytes low, bytes high)
{
#if VECTOR == 64
	return (bytes)_mm512_unpacklo_epi8((__m512i)low, (__m512i)high);
#elif VECTOR == 32
	return (bytes)_mm256_unpacklo_epi8((__m256i)low, (__m256i)high);
#else
	return (bytes)vzip1q_u8((uint8x16_t)low, (uint8x16_t)high);
#endif
}

INLINE bytes last_words(bytes low, bytes high)
{
#if VECTOR == 64
	return (bytes)_mm512_unpackhi_epi8((__m512i)low, (__m512i)high);
#elif VECTOR == 32
	return (bytes)_mm256_unpackhi_epi8((__m256i)low, (__m256i)high);
#else
	return (bytes)vzip2q_u8((uint8x16_t)low, (uint8x16_t)high);
#endif
}

#endif

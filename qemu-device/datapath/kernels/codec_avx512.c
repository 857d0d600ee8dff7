// SPDX-License-Identifier: MIT
/* The codec in AVX-512's vectors. */
#ifdef __x86_64__

#define VECTOR 64
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))

#include "codec_vector.h"

#define VBMI __attribute__((target("avx512f,avx512bw,avx512vbmi")))

/* The lower and the upper half of a table of 256 bytes, in two registers each. */
VBMI static inline __m512i look_up(const __m512i table[4], __m512i index)
{
	return _mm512_mask_mov_epi8(_mm512_permutex2var_epi8(table[0], index, table[1]),
				    _mm512_movepi8_mask(index),
				    _mm512_permutex2var_epi8(table[2], index, table[3]));
}

VBMI static void map_bytes_vbmi(const uint8_t *table, const uint8_t *in, uint8_t *out, size_t count)
{
	__m512i part[4];

	for (size_t i = 0; i < 4; i++)
		part[i] = _mm512_loadu_si512(table + i * 64);
	for (size_t i = 0; i < count; i += 64) {
		__mmask64 lanes = count - i < 64 ? (1ull << (count - i)) - 1 : ~0ull;

		_mm512_mask_storeu_epi8(out + i, lanes, look_up(part, _mm512_maskz_loadu_epi8(lanes, in + i)));
	}
}

/* First and second bytes apart. Unpacking takes halves of lanes of 128 bits. */
VBMI static void map_pairs_vbmi(const uint8_t *table, const uint8_t *in, uint8_t *out, size_t count)
{
	const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
	uint8_t each[2][256];
	__m512i part[2][4];
	size_t i = 0;

	for (size_t j = 0; j < 512; j++)
		each[j % 2][j / 2] = table[j];
	for (size_t j = 0; j < 8; j++)
		part[j / 4][j % 4] = _mm512_loadu_si512(each[j / 4] + j % 4 * 64);
	for (; i + 64 <= count; i += 64) {
		__m512i index = _mm512_permutexvar_epi64(order, _mm512_loadu_si512(in + i));
		__m512i first = look_up(part[0], index), second = look_up(part[1], index);

		_mm512_storeu_si512(out + 2 * i, _mm512_unpacklo_epi8(first, second));
		_mm512_storeu_si512(out + 2 * i + 64, _mm512_unpackhi_epi8(first, second));
	}
	xrnpe_map_pairs(table, in + i, out + 2 * i, count - i);
}

static void map_bytes(const uint8_t *table, const uint8_t *in, uint8_t *out, size_t count)
{
	(__builtin_cpu_supports("avx512vbmi") ? map_bytes_vbmi : xrnpe_map_bytes)(table, in, out, count);
}

static void map_pairs(const uint8_t *table, const uint8_t *in, uint8_t *out, size_t count)
{
	/* Few do not pay for taking the table apart. */
	(count >= 256 && __builtin_cpu_supports("avx512vbmi") ? map_pairs_vbmi : xrnpe_map_pairs)(table, in, out,
												 count);
}

static bool supported(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

const struct xrnpe_codec xrnpe_codec_avx512 = {
	"avx512", supported, encode, decode, widen, sum, map_bytes, map_pairs,
};

#endif

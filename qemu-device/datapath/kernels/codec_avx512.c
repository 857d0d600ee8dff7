// SPDX-License-Identifier: MIT
/* The codec in AVX-512's vectors. */
#ifdef __x86_64__

#define VECTOR 64
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))

#include "codec_vector.h"
#include "fixed.h"

#define LOOKUP __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")))

/* The lower and the upper half, in two registers each. */
struct table {
	ints part[4];
};

LOOKUP static inline void load_table(struct table *table, const uint8_t *entry)
{
	for (size_t i = 0; i < 4; i++)
		table->part[i] = _mm512_loadu_si512(entry + 64 * i);
}

LOOKUP static inline bytes look_up(const struct table *table, bytes index)
{
	const ints *part = table->part;

	return (bytes)_mm512_mask_mov_epi8(_mm512_permutex2var_epi8(part[0], (ints)index, part[1]),
					   _mm512_movepi8_mask((ints)index),
					   _mm512_permutex2var_epi8(part[2], (ints)index, part[3]));
}

#include "lookup.h"

static void map_bytes(const uint8_t *table, const uint8_t *in, uint8_t *out, size_t count)
{
	(__builtin_cpu_supports("avx512vbmi") ? look_up_bytes : xrnpe_map_bytes)(table, in, out, count);
}

static void map_pairs(const uint8_t *table, const uint8_t *in, uint8_t *out, size_t count)
{
	(__builtin_cpu_supports("avx512vbmi") ? look_up_pairs : xrnpe_map_pairs)(table, in, out, count);
}

static bool supported(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

const struct xrnpe_codec xrnpe_codec_avx512 = {
	"avx512", supported, encode, decode, widen, sum, grid, run_fixed, map_bytes, map_pairs,
};

#endif

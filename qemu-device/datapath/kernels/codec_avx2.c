// SPDX-License-Identifier: MIT
/* The codec in AVX2's vectors. */
#ifdef __x86_64__

#define VECTOR 32
#define TARGET __attribute__((target("avx2")))

#include "codec_vector.h"
#include "fixed.h"

#define LOOKUP TARGET

/* Sixteen entries each. */
struct table {
	bytes part[16];
};

INLINE void load_table(struct table *table, const uint8_t *entry)
{
	for (size_t i = 0; i < 16; i++)
		table->part[i] = sixteen(entry + 16 * i);
}

/* @high where bit 7 of @index is set, else @low. */
INLINE bytes choose(bytes low, bytes high, bytes index)
{
	return (bytes)_mm256_blendv_epi8((ints)low, (ints)high, (ints)index);
}

/* The lower half of the index in all parts, and then of each two of them one by a bit of the upper. */
INLINE bytes look_up(const struct table *table, bytes index)
{
	bytes value[16];

#pragma GCC unroll 16
	for (size_t i = 0; i < 16; i++)
		value[i] = (bytes)_mm256_shuffle_epi8((ints)table->part[i], (ints)(index & 15));
#pragma GCC unroll 4
	for (int bit = 4; bit < 8; bit++) {
#pragma GCC unroll 8
		for (size_t i = 0; i < 8; i++) {
			if (i >= (size_t)128 >> bit)
				continue;
			value[i] = choose(value[2 * i], value[2 * i + 1], (bytes)((halfs)index << (7 - bit)));
		}
	}
	return value[0];
}

#include "lookup.h"

static bool supported(void)
{
	return __builtin_cpu_supports("avx2");
}

const struct xrnpe_codec xrnpe_codec_avx2 = {
	"avx2", supported, encode, decode, widen, sum, grid, run_fixed, pairs, NULL, NULL, look_up_bytes,
	look_up_pairs, xrnpe_map_channels, pack_threes, map_nibbles,
};

#endif

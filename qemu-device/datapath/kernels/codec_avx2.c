// SPDX-License-Identifier: MIT
/* The codec in AVX2's vectors. */
#ifdef __x86_64__

#define VECTOR 32
#define TARGET __attribute__((target("avx2")))

#include "codec_vector.h"

static bool supported(void)
{
	return __builtin_cpu_supports("avx2");
}

const struct xrnpe_codec xrnpe_codec_avx2 = {
	"avx2", supported, encode, decode, widen, sum, xrnpe_map_bytes, xrnpe_map_pairs,
};

#endif

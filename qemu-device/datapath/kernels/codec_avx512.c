// SPDX-License-Identifier: MIT
/* The codec in AVX-512's vectors. */
#ifdef __x86_64__

#define VECTOR 64
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))

#include "codec_vector.h"

static bool supported(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

const struct xrnpe_codec xrnpe_codec_avx512 = { "avx512", supported, encode, decode, sum };

#endif

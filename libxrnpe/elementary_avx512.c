// SPDX-License-Identifier: MIT
/* Elementary functions in AVX-512's vectors. */
#ifdef __x86_64__

#define VECTOR 64
#define TARGET __attribute__((target("avx512f,avx512dq")))

#include "elementary_vector.h"

static bool supported(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
}

const struct elementary_vectors elementary_avx512 = { "avx512", supported, maps, map_power };

#endif

// SPDX-License-Identifier: MIT
/* Elementary functions in AVX2's vectors. */
#ifdef __x86_64__

#define VECTOR 32
#define TARGET __attribute__((target("avx2")))

#include "elementary_vector.h"

static bool supported(void)
{
	return __builtin_cpu_supports("avx2");
}

const struct elementary_vectors elementary_avx2 = { "avx2", supported, maps, map_power };

#endif

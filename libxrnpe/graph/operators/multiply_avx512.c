// SPDX-License-Identifier: MIT
/* Sums of products in AVX-512's vectors. */
#ifdef __x86_64__

#define VECTOR 64
#define TARGET __attribute__((target("avx512f")))
#define ROWS 8
#define WIDTH 2

#include "multiply_vector.h"

static bool supported(void)
{
	return __builtin_cpu_supports("avx512f");
}

const struct multiply_vectors multiply_avx512 = { "avx512", supported, multiply_rows };

#endif

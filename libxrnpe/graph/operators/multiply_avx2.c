// SPDX-License-Identifier: MIT
/* Sums of products in AVX2's vectors. */
#ifdef __x86_64__

#define VECTOR 32
#define TARGET __attribute__((target("avx2")))
#define ROWS 4
#define WIDTH 2

#include "multiply_vector.h"

static bool supported(void)
{
	return __builtin_cpu_supports("avx2");
}

const struct multiply_vectors multiply_avx2 = { "avx2", supported, multiply_rows };

#endif

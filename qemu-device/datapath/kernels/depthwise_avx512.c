// SPDX-License-Identifier: MIT
/* Depthwise convolutions with AVX-512, see depthwise.h. */
#ifdef __x86_64__

#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define INLINE TARGET __attribute__((always_inline)) static inline
#define VECTOR 64
#define REGISTER "v"
#define LANES 32

#include "depthwise.h"

const struct xrnpe_kernel xrnpe_depthwise_avx512 = DEPTHWISE_KERNEL;

#endif

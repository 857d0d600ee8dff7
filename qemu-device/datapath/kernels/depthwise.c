// SPDX-License-Identifier: MIT
/* Depthwise convolutions with AVX2 or NEON, see depthwise.h. */
#if defined(__x86_64__) || defined(__AARCH64EL__)

#include "gemm_tiles.h"
#include "depthwise.h"

const struct xrnpe_kernel xrnpe_depthwise = DEPTHWISE_KERNEL;

#endif

// SPDX-License-Identifier: MIT
/* Few positions of Posit(16,1) with AVX2 and NEON, see gemv_p16.h. */
#if defined(__x86_64__) || defined(__AARCH64EL__)

#include "gemm_tiles.h"
#include "rounding.h"
#include "tiles_p16.h"

#define TOGETHER 2

#include "gemv_p16.h"

size_t xrnpe_tiles_few_p16_scratch(const struct xrnpe_product *product)
{
	return scratch_size(product);
}

void xrnpe_tiles_few_p16(const struct xrnpe_product *product, const struct xrnpe_block *block,
			 void *memory, uint32_t *status)
{
	run(product, block, memory, status);
}

#endif

/* SPDX-License-Identifier: MIT */
/* Products of few positions with AVX-512, see gemv.h. */
#ifndef XRNPE_DATAPATH_GEMV_AVX512_H
#define XRNPE_DATAPATH_GEMV_AVX512_H

#include "avx512.h"
#include "gemv.h"

#define GEMV_STEP 64		/* bytes of packed codes that are decoded at a time */

/* ---- Posit(16,1): gemv_avx512_p16.c ------------------------------------ */

/** As in struct xrnpe_kernel. */
size_t xrnpe_gemv_p16_scratch(const struct xrnpe_product *product);
void xrnpe_gemv_p16_run(const struct xrnpe_product *product, const struct xrnpe_block *block, void *memory,
			uint32_t *status);

#endif

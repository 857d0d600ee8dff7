/* SPDX-License-Identifier: MIT */
/* Products of few positions with AVX-512, see gemv.h. */
#ifndef XRNPE_DATAPATH_GEMV_AVX512_H
#define XRNPE_DATAPATH_GEMV_AVX512_H

#include "avx512.h"
#include "gemv.h"

#define GEMV_STEP 64		/* bytes of packed codes that are decoded at a time */

/* ---- Posit(16,1): gemv_avx512_p16.c ------------------------------------ */

/** Bytes of the decoded inputs of a position. */
size_t xrnpe_gemv_p16_input(const struct xrnpe_product *product);

/** As in gemv_avx512.c's struct ways. */
bool xrnpe_gemv_p16_prepare(const struct xrnpe_product *product, const uint8_t *row, void *input,
			    void *scratch);
void xrnpe_gemv_p16_run(const struct xrnpe_product *product, const uint8_t *inputs, const bool *nar,
			uint64_t n, size_t count, uint32_t *status);

#endif

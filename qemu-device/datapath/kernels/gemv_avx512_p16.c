// SPDX-License-Identifier: MIT
/* Few positions of Posit(16,1) with AVX-512, see gemv_p16.h. */
#ifdef __x86_64__

#include "gemv_avx512.h"
#include "avx512_p16.h"
#include "reals.h"

#define TOGETHER 4

typedef uint16_t words __attribute__((vector_size(VECTOR)));

INLINE void decode_posits(int es, words codes, reals value[4])
{
	__m512d each[4];

	decode_words(es, (__m512i)codes, each);
	for (int i = 0; i < 4; i++)
		value[i] = (reals)each[i];
}

/* ---- output, as in rounding.h ------------------------------------------- */

struct outputs {
	struct stage stage;
};

INLINE reals magnitude_of(reals value)
{
	return (reals)_mm512_abs_pd((__m512d)value);
}

static void make_outputs(const struct xrnpe_product *product, uint64_t n, size_t count, int unit,
			 struct outputs *outputs)
{
	xrnpe_avx512_scales(product, n, count, unit, &outputs->stage);
}

static uint32_t output_near(const struct xrnpe_product *product, const struct outputs *outputs,
			    const double *sum, const double *error, uint64_t p, uint64_t n, size_t count,
			    uint32_t *code)
{
	return xrnpe_avx512_codes(product, &outputs->stage, sum, error, p, n, count, code);
}

static void pack(enum xrnpe_format out, uint8_t *row, uint64_t n, uint32_t *code, size_t count)
{
	xrnpe_avx512_put_codes(out, row, n, code, count);
}

#include "gemv_p16.h"

size_t xrnpe_gemv_p16_scratch(const struct xrnpe_product *product)
{
	return scratch_size(product);
}

void xrnpe_gemv_p16_run(const struct xrnpe_product *product, const struct xrnpe_block *block, void *memory,
			uint32_t *status)
{
	run(product, block, memory, status);
}

#endif

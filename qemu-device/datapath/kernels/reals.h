/* SPDX-License-Identifier: MIT */
/*
 * Vectors of doubles, in the compilers' portable way. Who includes this has defined
 * INLINE and VECTOR, the bytes of a vector, and has the fused multiply-add of such.
 */
#ifndef XRNPE_DATAPATH_REALS_H
#define XRNPE_DATAPATH_REALS_H

typedef double reals __attribute__((vector_size(VECTOR)));
#define REALS (VECTOR / sizeof(double))

/* a * b + c, rounded once. */
INLINE reals fused(reals a, reals b, reals c)
{
#if VECTOR == 64
	return (reals)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif VECTOR == 32
	return (reals)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#else
	return (reals)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#endif
}

/* Of numbers. */
INLINE reals larger_real(reals a, reals b)
{
#if VECTOR == 64
	return (reals)_mm512_max_pd((__m512d)a, (__m512d)b);
#elif VECTOR == 32
	return (reals)_mm256_max_pd((__m256d)a, (__m256d)b);
#else
	return (reals)vmaxq_f64((float64x2_t)a, (float64x2_t)b);
#endif
}

INLINE reals smaller_real(reals a, reals b)
{
#if VECTOR == 64
	return (reals)_mm512_min_pd((__m512d)a, (__m512d)b);
#elif VECTOR == 32
	return (reals)_mm256_min_pd((__m256d)a, (__m256d)b);
#else
	return (reals)vminq_f64((float64x2_t)a, (float64x2_t)b);
#endif
}

#endif

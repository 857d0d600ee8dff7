/* SPDX-License-Identifier: MIT */
/*
 * The default floating-point environment, and back: kernels and their plans count on subnormals
 * and rounding to nearest, the caller may not. On x86-64 only SSE computes, and what <fenv.h>
 * does beside takes as long as small commands do.
 */
#ifndef XRNPE_DATAPATH_ENVIRONMENT_H
#define XRNPE_DATAPATH_ENVIRONMENT_H

#ifdef __x86_64__
#include <immintrin.h>

typedef unsigned int environment;

static inline environment set_environment(void)
{
	environment before = _mm_getcsr();

	_mm_setcsr(_MM_MASK_MASK);
	return before;
}

static inline void restore_environment(environment before)
{
	_mm_setcsr(before);
}
#else
#include <fenv.h>

typedef fenv_t environment;

static inline environment set_environment(void)
{
	environment before;

	fegetenv(&before);
	fesetenv(FE_DFL_ENV);
	return before;
}

static inline void restore_environment(environment before)
{
	fesetenv(&before);
}
#endif

#endif

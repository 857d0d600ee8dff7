// SPDX-License-Identifier: MIT
/* OpenBLAS, loaded if it is there, beside the datapath. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "console.h"

typedef void sgemm_fn(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
		      const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
typedef void sgemv_fn(int order, int transpose, int m, int n, float alpha, const float *a, int lda,
		      const float *x, int x_step, float beta, float *y, int y_step);

struct bench_blas {
	union {
		void *object;
		sgemm_fn *function;
	} sgemm;
	union {
		void *object;
		sgemv_fn *function;
	} sgemv;
};

const struct bench_blas *bench_load_blas(unsigned int threads)
{
	static struct bench_blas blas;
	char count[12];
	void *library;

	snprintf(count, sizeof(count), "%u", threads);
	setenv("OPENBLAS_NUM_THREADS", count, 1);
	/* Its idle threads would spin for long, on the CPUs that we are timed on. */
	setenv("OPENBLAS_THREAD_TIMEOUT", "4", 0);
#ifdef __x86_64__
	/* Older versions take newer processors for very old ones. */
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"))
		setenv("OPENBLAS_CORETYPE", "SkylakeX", 0);
	else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		setenv("OPENBLAS_CORETYPE", "Haswell", 0);
#endif
	library = dlopen("libopenblas.so.0", RTLD_NOW);
	if (library) {
		blas.sgemm.object = dlsym(library, "cblas_sgemm");
		blas.sgemv.object = dlsym(library, "cblas_sgemv");
	}
	return &blas;
}

double bench_turn_blas(const struct bench_blas *blas, const struct bench_work *work)
{
	double start = seconds_now();

	if (!blas->sgemm.object)
		return -1;
	/* Row-major; b is N rows of K. */
	if (work->m == 1 && blas->sgemv.object)
		blas->sgemv.function(101, 111, (int)work->n, (int)work->k, 1, work->b, (int)work->k,
				     work->a, 1, 0, work->c, 1);
	else
		blas->sgemm.function(101, 111, 112, (int)work->m, (int)work->n, (int)work->k, 1,
				     work->a, (int)work->k, work->b, (int)work->k, 0,
				     work->c, (int)work->n);
	return seconds_now() - start;
}

/* SPDX-License-Identifier: MIT */
/*
 * What the benchmarks of the datapath share. They use its insides, whose names are not all apart
 * from the library's: this is no header of programs that include xrnpe.h.
 */
#ifndef XRNPE_TOOLS_BENCH_H
#define XRNPE_TOOLS_BENCH_H

#include "kernels/kernel.h"

#define BENCH_TURNS 7			/* at least, of each */
#define BENCH_SECONDS 0.5		/* at least, for all of them */
#define BENCH_MAX_THREADS 1024

struct bench_options {
	bool gemv, has_format, has_weight_format, json, trained;
	enum xrnpe_format format, weight_format;
	enum xrnpe_activation activation;
	bool clamp, has_residual;
	enum xrnpe_format residual;
	unsigned int threads;
	unsigned long m, n, k;
	const char *kernel;	/* NULL: the fastest */
};

/* Of a row: the inputs and outputs, and the weights. */
struct bench_formats {
	enum xrnpe_format input, weight;
};

/*
 * bench.c: take an option of these, for take_options(): a table of long options says which of them
 * a benchmark has.
 */
int bench_take(void *options, const char *command, int option, char *argument);

/* ---- bench_data.c -------------------------------------------------------- */

/* Elements that are random; what is larger repeats these. */
#define BENCH_RANDOM (1u << 20)

double bench_unit(void);	/* 0 to 1 */

/* About normal: what weights look like, and inputs before the ReLU. */
double bench_normal(void);

/* @count codes, uniform over the format or as in trained networks, from malloc(). */
void *bench_row(const struct bench_options *options, enum xrnpe_format format, size_t count,
		bool weight);

/* Fill @size bytes with the first @period. */
void bench_repeat(void *memory, size_t period, size_t size);

/* Print what failed, with the reason that errno has; returns -1. */
int bench_fail(const char *what);

static inline void bench_keep_least(double *least, double value)
{
	if (value < *least)
		*least = value;
}

/* ---- bench_work.c -------------------------------------------------------- */

/* A workload: the command, its memory, and the floats of a like sgemm. */
struct bench_work {
	const char *name;
	struct xrnpe_cmd cmd;
	void *memory[XRNPE_OPERANDS];
	size_t m, n, k;
	float *a, *b, *c;
	size_t read;		/* bytes of weights, where reading them is the limit; or 0 */
};

/* A convolution, of which a number of lines is computed. */
struct bench_layer {
	const char *name;
	uint16_t size, channels, groups;
	uint8_t kernel;
};

/* Fill *@work. Return 0, or -1 with the reason printed; bench_dispose() is due in any case. */
int bench_make_gemm(struct bench_work *work, const struct bench_options *options,
		    const struct bench_formats *formats, size_t m, size_t channels);
int bench_make_conv(struct bench_work *work, const struct bench_options *options,
		    const struct bench_formats *formats, const struct bench_layer *layer,
		    size_t lines);
void bench_dispose(struct bench_work *work);

/* ---- rows, which return 0 or -1 ------------------------------------------ */

/* bench_blas.c: OpenBLAS, if it is there. */
struct bench_blas;

const struct bench_blas *bench_load_blas(unsigned int threads);

/* Seconds of sgemm, or of sgemv for one row, as large as @work; negative: there is none. */
double bench_turn_blas(const struct bench_blas *blas, const struct bench_work *work);

/* bench_products.c: a row for a product, or for each convolution. */
int bench_products(const struct bench_options *options, bool conv,
		   const struct bench_formats *formats, struct xrnpe_datapath *fast,
		   struct xrnpe_datapath *plain, const struct bench_blas *blas);

/* bench_codec.c: the codec of the fast kernel and the plain one, a part of the values for that. */
int bench_codec(const struct bench_options *options, enum xrnpe_format format,
		const struct xrnpe_datapath *fast);

#endif

// SPDX-License-Identifier: MIT
/*
 * How far elementary functions are from exact ones, in binary64 and in binary32.
 *
 *	elementary STRIDE
 *
 * Arguments are every STRIDEth pattern of binary32, and numbers of 8 bits with their
 * neighbours, at which formulas change. A STRIDE of 1 takes all 2^32: an hour or two.
 * What is exact is said by the C library's functions in long double, which is only
 * good for this where that is wider than binary64.
 */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "binary32.h"
#include "elementary.h"
#include "powers.h"
#include "threads.h"

#define BLOCK 4096

/* ---- the same functions in long double ---------------------------------- */

static long double softplus(long double x)
{
	return fmaxl(x, 0) + log1pl(expl(-fabsl(x)));
}

static long double sigmoid(long double x)
{
	return 1 / (1 + expl(-x));
}

/* @part of @x, which is 0 where that vanishes, even if @x is infinite */
static long double weigh(long double x, long double part)
{
	return part == 0 ? part : x * part;
}

static long double silu(long double x)
{
	return weigh(x, sigmoid(x));
}

static long double gelu(long double x)
{
	return weigh(x, erfcl(-x / sqrtl(2)) / 2);
}

static long double gelu_tanh(long double x)
{
	const long double root = 0.797884560802865355879892119868763737L;	/* of 2 / pi */

	return weigh(x, sigmoid(2 * root * (x + 0.044715L * x * x * x)));
}

static long double hard_swish(long double x)
{
	return weigh(x, fmaxl(0, fminl(1, (x + 3) / 6)));
}

static const struct function {
	long double (*exact)(long double x);
	int bits;	/* the error in binary64 is below 2^-bits; 49 if 0 */
} functions[ELEMENTARY_COUNT] = {
	[ELEMENTARY_SQRT] = { .exact = sqrtl },
	[ELEMENTARY_EXP] = { .exact = expl },
	[ELEMENTARY_EXPM1] = { .exact = expm1l },
	[ELEMENTARY_LOG] = { .exact = logl },
	[ELEMENTARY_SOFTPLUS] = { .exact = softplus },
	[ELEMENTARY_SIGMOID] = { .exact = sigmoid },
	[ELEMENTARY_SILU] = { .exact = silu },
	[ELEMENTARY_TANH] = { .exact = tanhl },
	[ELEMENTARY_ERF] = { .exact = erfl },
	[ELEMENTARY_GELU] = { .exact = gelu },
	[ELEMENTARY_GELU_TANH] = { .exact = gelu_tanh, .bits = 42 },
	[ELEMENTARY_HARD_SWISH] = { .exact = hard_swish },
};

/* ---- comparing ---------------------------------------------------------- */

struct worst {
	double error;
	float at;
};

struct survey {
	enum elementary function;
	uint64_t arguments, not_nearest;
	struct worst wide, narrow;	/* relative; in units in the last place, of those not nearest */
};

static void worsen(struct worst *worst, double error, float at)
{
	if (error > worst->error)
		*worst = (struct worst){ error, at };
}

/* How far @narrow is from @exact, in distances of binary32 values there. */
static double units(float narrow, long double exact)
{
	int exponent = exact == 0 || ilogbl(exact) < FLT_MIN_EXP - 1 ? FLT_MIN_EXP - 1 : ilogbl(exact);

	return (double)ldexpl(fabsl(narrow - exact), FLT_MANT_DIG - 1 - exponent);
}

static void compare_narrow(struct survey *survey, float x, long double exact, float narrow)
{
	survey->arguments++;
	if (narrow == (float)exact || (isnan(narrow) && isnan(exact)))
		return;
	survey->not_nearest++;
	if (isnan(narrow) || isnan(exact) || isinf((float)exact))
		worsen(&survey->narrow, INFINITY, x);
	else
		worsen(&survey->narrow, units(narrow, exact), x);
}

static void compare_wide(struct survey *survey, float x, long double exact, double wide)
{
	if (isnan(exact) || isnan(wide))
		worsen(&survey->wide, isnan(exact) && isnan(wide) ? 0 : INFINITY, x);
	else if (isinf((double)exact))
		worsen(&survey->wide, wide == (double)exact ? 0 : INFINITY, x);
	else if (fabsl(exact) < 0x1p-1000L)
		worsen(&survey->wide, fabs(wide) < 0x1p-999 ? 0 : INFINITY, x);
	else
		worsen(&survey->wide, (double)fabsl((wide - exact) / exact), x);
}

static void compare_block(struct survey *survey, const float *x, size_t count)
{
	float narrow[BLOCK];

	memcpy(narrow, x, count * sizeof(*x));
	elementary_map(survey->function, narrow, count);
	for (size_t i = 0; i < count; i++) {
		long double exact = functions[survey->function].exact(x[i]);

		compare_narrow(survey, x[i], exact, narrow[i]);
		if (i % 8 == 0) {
			double near = x[i] * (1 - 0x1.555p-30);	/* not a binary32 */

			compare_wide(survey, x[i], exact, elementary_value(survey->function, x[i]));
			compare_wide(survey, x[i], functions[survey->function].exact(near),
				     elementary_value(survey->function, near));
		}
	}
}

static void look(struct survey *survey, uint32_t stride)
{
	float block[BLOCK];
	size_t count = 0;

	for (uint64_t bits = 0; bits <= UINT32_MAX; bits++) {
		uint32_t pattern = (uint32_t)bits, rest = (pattern + 2) % (1 << 15);

		/* on to the next multiple, or to the next number of 8 bits and its neighbours */
		if (pattern % stride && rest > 4) {
			uint64_t next = bits + stride - pattern % stride, corner = bits + (1 << 15) - rest;

			bits = next < corner ? next : corner;
			pattern = (uint32_t)bits;
			if (bits > UINT32_MAX)
				break;
		}
		block[count++] = float_of(pattern);
		if (count == BLOCK) {
			compare_block(survey, block, count);
			count = 0;
		}
	}
	compare_block(survey, block, count);
}

/* ---- powers ----------------------------------------------------------------- */

static void survey_powers(struct survey *survey, uint64_t blocks)
{
	float bases[BLOCK], exponents[BLOCK], results[BLOCK];
	uint64_t state = 1;

	for (uint64_t block = 0; block < blocks; block++) {
		random_powers(&state, bases, exponents, BLOCK);
		memcpy(results, bases, sizeof(bases));
		elementary_pow(results, exponents, 1, BLOCK);
		for (size_t i = 0; i < BLOCK; i++)
			compare_narrow(survey, bases[i], powl(bases[i], exponents[i]), results[i]);
	}
}

/* ---- all of them ---------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint next_function;
static unsigned int done, failed;
static uint32_t stride;

static void report(const char *name, const struct survey *survey, double wide, double narrow)
{
	bool good = survey->arguments && survey->wide.error < wide && survey->narrow.error < narrow;

	pthread_mutex_lock(&lock);
	failed += !good;
	printf("%sok %u - %s\n# %" PRIu64 " arguments, %" PRIu64 " not the nearest binary32", good ? "" : "not ",
	       ++done, name, survey->arguments, survey->not_nearest);
	if (survey->narrow.error > 0)
		printf(" but within %.8f ulp (%a)", survey->narrow.error, (double)survey->narrow.at);
	if (survey->wide.error > 0)
		printf(", binary64 within 2^%.1f (%a)", log2(survey->wide.error), (double)survey->wide.at);
	printf("\n");
	fflush(stdout);
	pthread_mutex_unlock(&lock);
}

static void work(void *unused, bool caller)
{
	unsigned int next;

	while ((next = next_function++) <= ELEMENTARY_COUNT) {
		struct survey survey = { .function = (enum elementary)next };

		if (next == ELEMENTARY_COUNT) {
			survey_powers(&survey, ((UINT64_C(1) << 32) / stride) / BLOCK + 1);
			report("pow", &survey, DBL_MIN, 0.50001);
		} else {
			int known = functions[next].bits;

			look(&survey, stride);
			report(elementary_name(survey.function), &survey, ldexp(1, known ? -known : -49), 0.500001);
		}
	}
}

int main(int argc, char **argv)
{
	stride = argc == 2 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
	if (!stride) {
		fprintf(stderr, "usage: elementary STRIDE\n");
		return EXIT_FAILURE;
	}
	if (LDBL_MANT_DIG < 64) {
		printf("1..0 # SKIP long double is no wider than binary64\n");
		return EXIT_SUCCESS;
	}
	printf("1..%d\n", ELEMENTARY_COUNT + 1);
	threads_run(work, NULL, ELEMENTARY_COUNT + 1);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

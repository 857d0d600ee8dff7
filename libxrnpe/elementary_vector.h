/* SPDX-License-Identifier: MIT */
/*
 * Elementary functions in the compilers' portable vectors. An instruction set's file
 * defines VECTOR, the bytes of a vector, and TARGET, the attributes of functions for
 * it, includes this, and has a function for each of enum elementary in maps[].
 *
 * Each function is computed without branches or tables; its constants are terms of
 * a power series, as many as binary64 needs, or where they stand it is said what they
 * are.
 */
#ifndef XRNPE_ELEMENTARY_VECTOR_H
#define XRNPE_ELEMENTARY_VECTOR_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "elementary.h"

#if FLT_EVAL_METHOD != 0 || defined(__FAST_MATH__)
#error "each operation must be rounded to its type, and none left out"
#endif

#define INLINE TARGET __attribute__((always_inline)) static inline
#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define LANES (VECTOR / sizeof(double))

typedef double vec __attribute__((vector_size(VECTOR)));
typedef float floats __attribute__((vector_size(VECTOR / 2)));
typedef uint64_t bits __attribute__((vector_size(VECTOR)));
typedef int64_t mask __attribute__((vector_size(VECTOR)));	/* -1 or 0 in a lane */

/* ---- parts ------------------------------------------------------------------ */

#define SIGN (UINT64_C(1) << 63)

INLINE vec all(double x)
{
	return x - (vec){ 0 };
}

INLINE vec choose(mask which, vec a, vec b)
{
	return (vec)(((mask)a & which) | ((mask)b & ~which));
}

/* Both leave NaNs as they are. */
INLINE vec at_least(vec x, double limit)
{
	return choose(x < limit, all(limit), x);
}

INLINE vec at_most(vec x, double limit)
{
	return choose(x > limit, all(limit), x);
}

INLINE vec magnitude(vec x)
{
	return (vec)((bits)x & ~SIGN);
}

INLINE vec with_sign_of(vec sign, vec x)
{
	return (vec)(((bits)sign & SIGN) | ((bits)x & ~SIGN));
}

INLINE vec square_root(vec x)
{
	vec root;

	for (size_t i = 0; i < LANES; i++)
		root[i] = __builtin_sqrt(x[i]);
	return root;
}

/* c[0] + c[1] x + ... + c[count - 1] x^(count - 1), from the last on */
INLINE vec polynomial(const double *c, int count, vec x)
{
	vec sum = all(c[count - 1]);

#pragma GCC unroll 32
	for (int i = count - 2; i >= 0; i--)
		sum = sum * x + c[i];
	return sum;
}

/* Added to a number it rounds that to an integer, which stands in the last bits. */
#define TO_INTEGER 0x1.8p52

/* 2^k of -1022..1023, given k + TO_INTEGER */
INLINE vec power_of_two(vec k)
{
	return (vec)(((bits)k + 1023) << 52);
}

/* log(2): its first 33 bits, whose products with exponents are exact, and the rest. */
#define LN2_HIGH 0x1.62e42fefp-1
#define LN2_LOW 0x1.473de6af278edp-34

/* (1 + @rest) * @scale * @scale2, both powers of two; their product may be out of range. */
struct power {
	vec rest, scale, scale2;
};

/* e^(@x + @low), where |@low| is far smaller than 1 */
INLINE struct power power_of_e(vec x, vec low)
{
	static const double series[] = {	/* (e^r - 1 - r) / r^2 */
		1. / 2, 1. / 6, 1. / 24, 1. / 120, 1. / 720, 1. / 5040, 1. / 40320, 1. / 362880,
		1. / 3628800, 1. / 39916800, 1. / 479001600, 1. / 6227020800,
	};
	vec bounded = at_most(at_least(x, -746), 710);	/* beyond is 0 or infinity */
	vec k = (bounded * 1.4426950408889634 + TO_INTEGER) - TO_INTEGER;	/* 1 / log(2) */
	vec half = (k * 0.5 + TO_INTEGER) - TO_INTEGER;
	vec r = (bounded - k * LN2_HIGH) - (k * LN2_LOW - low);

	return (struct power){
		.rest = r + r * r * polynomial(series, COUNT(series), r),
		.scale = power_of_two(half + TO_INTEGER),
		.scale2 = power_of_two((k - half) + TO_INTEGER),
	};
}

INLINE vec exp_of_sum(vec x, vec low)
{
	struct power e = power_of_e(x, low);

	return (1 + e.rest) * e.scale * e.scale2;
}

/* e^(-x^2 / divisor), the divisor a power of two. The square is exact, in two parts. */
INLINE vec gaussian(vec x, double divisor)
{
	vec high = (vec)((bits)x & ~UINT64_C(0x7ffffff));

	return exp_of_sum(high * high / -divisor, (x - high) * (x + high) / -divisor);
}

/*
 * erfc(x) e^(x^2) of 0 <= x <= 28. Times x + 4 it is smooth in t = (x - 4) / (x + 4); the
 * polynomial is the one through it at the Chebyshev nodes, off by 2^-57 at most.
 */
INLINE vec scaled_erfc(vec x)
{
	static const double through_nodes[] = {
		1.0959956610004911, -0.97654872908088208, 0.77320870226523741,
		-0.54085383131322007, 0.33085158787798813, -0.17401093724044453,
		0.076381514909877712, -0.02637005333230321, 0.0061120556492774555,
		-0.00028095893558087193, -0.00045505264556396541, 0.00017681319046764806,
		-3.635296646587849e-06, -1.8862135071311391e-05, 4.694619976583313e-06,
		1.4268525380407012e-06, -8.4629150172521101e-07, -7.9000300073247832e-08,
		1.2397022621920958e-07, 3.3863100022513686e-09, -1.5213206819950384e-08,
		-6.3690374625306797e-10, 9.084541771213907e-10,
	};
	vec inverse = 1 / (x + 4);

	return polynomial(through_nodes, COUNT(through_nodes), (x - 4) * inverse) * inverse;
}

/* ---- functions -------------------------------------------------------------- */

INLINE vec exponential(vec x)
{
	return exp_of_sum(x, all(0));
}

INLINE vec exponential_minus_1(vec x)
{
	struct power e = power_of_e(x, all(0));

	return with_sign_of(x, (e.rest * e.scale + (e.scale - 1 / e.scale2)) * e.scale2);
}

INLINE vec logarithm(vec x)
{
	static const double series[] = {	/* (2 artanh(s) - 2 s) / s^3, in s^2 */
		2. / 3, 2. / 5, 2. / 7, 2. / 9, 2. / 11, 2. / 13, 2. / 15, 2. / 17, 2. / 19, 2. / 21,
	};
	const uint64_t one = 0x3ff0000000000000, root_of_half = 0x3fe6a09e667f3bcd;
	mask subnormal = x < DBL_MIN;
	bits normal = (bits)choose(subnormal, x * 0x1p54, x);
	/* x = 2^k (1 + f), 1 + f from the root of 1/2 to that of 2; the exponent is k + 1023 */
	bits exponent = (normal + (one - root_of_half)) >> 52;
	vec k = (vec)(exponent | (bits)all(0x1p52)) - (0x1p52 + 1023) - choose(subnormal, all(54), all(0));
	vec f = (vec)(normal - (exponent << 52) + one) - 1;
	/* log(1 + f) = 2 artanh(s) = f - half + s (half + s^2 series) */
	vec s = f / (2 + f), half = 0.5 * f * f;
	vec rest = s * (half + s * s * polynomial(series, COUNT(series), s * s));
	vec result = k * LN2_HIGH + (f - (half - (rest + k * LN2_LOW)));

	result = choose(x == 0, all(-INFINITY), choose(x < 0, all(NAN), result));
	return choose(x < INFINITY, result, x);
}

/* max(x, 0) + log(1 + t). What rounding 1 + t takes from t changes the logarithm in proportion. */
INLINE vec softplus(vec x)
{
	vec t = exponential(-magnitude(x)), sum = 1 + t;

	return at_least(x, 0) + (logarithm(sum) + (t - (sum - 1)) / sum);
}

INLINE vec sigmoid(vec x)
{
	vec e = exponential(-magnitude(x));

	return choose(x < 0, e, all(1)) / (1 + e);
}

INLINE vec silu(vec x)
{
	vec bounded = at_least(x, -800);	/* -infinity would be times zero */

	return bounded * sigmoid(bounded);
}

INLINE vec hyperbolic_tangent(vec x)
{
	vec e = exponential_minus_1(2 * at_most(magnitude(x), 32));

	return with_sign_of(x, e / (e + 2));
}

INLINE vec error_function(vec x)
{
	static const double series[] = {	/* erf(x) / x * sqrt(pi) / 2, in x^2 */
		1, -1. / 3, 1. / 10, -1. / 42, 1. / 216, -1. / 1320, 1. / 9360, -1. / 75600,
		1. / 685440, -1. / 6894720, 1. / 76204800, -1. / 918086400,
	};
	vec a = at_most(magnitude(x), 28);
	vec small = a * (polynomial(series, COUNT(series), a * a) * 1.1283791670955126);
	vec large = 1 - gaussian(a, 1) * scaled_erfc(a);

	return with_sign_of(x, choose(a < 0.5, small, large));
}

INLINE vec gelu(vec x)
{
	vec a = at_most(magnitude(x), 39), density = gaussian(a, 2);
	/* Their product is the part of the normal distribution beyond a. */
	vec scaled = scaled_erfc(a * 0.70710678118654752) * 0.5;	/* the root of 1/2 */

	return choose(x < 0, density * (scaled * -a), x * (1 - density * scaled));
}

/* (1 + tanh(u)) / 2 = sigmoid(2 u); the factors are 2 sqrt(2 / pi), and times 0.044715. */
INLINE vec gelu_tanh(vec x)
{
	vec bounded = at_least(x, -64);

	return bounded * sigmoid(bounded * (1.5957691216057308 + 0.071354816272600248 * (bounded * bounded)));
}

INLINE vec hard_swish(vec x)
{
	vec a = at_least(x, -3);

	return choose(a < 3, a * (a + 3) / 6, a);
}

/*
 * Of binary32 values. The result's error is 2^-52 and that of y log(x), 2^-51 of it at
 * most. If the nearest number of 25 bits is as close it is the result, lest what is
 * exact, or lies in the middle between two binary32 values, be rounded the wrong way.
 */
INLINE vec power(vec x, vec y)
{
	vec bounded = at_most(at_least(y, -0x1p40), 0x1p40);	/* infinities, too: even and large enough */
	vec half = bounded * 0.5;
	mask integral = (bounded + TO_INTEGER) - TO_INTEGER == bounded;
	mask odd = integral & ((half + TO_INTEGER) - TO_INTEGER != half);
	vec product = bounded * logarithm(magnitude(x)), result = exponential(product);
	vec short_one = (vec)(((bits)result + (1 << 27)) & ~UINT64_C(0xfffffff));
	vec error = result * ((1 + 2 * magnitude(product)) * 0x1p-52);

	result = choose(magnitude(result - short_one) <= error, short_one, result);
	result = (vec)((bits)result | ((bits)x & (bits)odd & SIGN));
	result = choose((x < 0) & (x > -INFINITY) & ~integral, all(NAN), result);
	return choose((x == 1) | (y == 0), all(1), result);
}

/* ---- blocks ----------------------------------------------------------------- */

/* CPUs differ in the NaNs that they make. */
INLINE vec one_nan(vec x)
{
	return choose(x == x, x, (vec)((bits){ 0 } + 0x7ff8000000000000));
}

#define DEFINE_MAP(id, name, function)							\
TARGET static void map_##function(float *block)						\
{											\
	for (size_t i = 0; i < ELEMENTARY_BLOCK; i += LANES) {				\
		floats x;								\
		vec y;									\
											\
		memcpy(&x, block + i, sizeof(x));					\
		y = one_nan(function(__builtin_convertvector(x, vec)));			\
		x = __builtin_convertvector(y, floats);					\
		memcpy(block + i, &x, sizeof(x));					\
	}										\
}

ELEMENTARY_FUNCTIONS(DEFINE_MAP)

TARGET static void map_power(float *bases, const float *exponents)
{
	for (size_t i = 0; i < ELEMENTARY_BLOCK; i += LANES) {
		floats x, y;
		vec result;

		memcpy(&x, bases + i, sizeof(x));
		memcpy(&y, exponents + i, sizeof(y));
		result = power(__builtin_convertvector(x, vec), __builtin_convertvector(y, vec));
		x = __builtin_convertvector(one_nan(result), floats);
		memcpy(bases + i, &x, sizeof(x));
	}
}

#define MAP(id, name, function) [ELEMENTARY_##id] = map_##function,
static void (*const maps[])(float *block) = { ELEMENTARY_FUNCTIONS(MAP) };

#endif

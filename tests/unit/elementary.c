// SPDX-License-Identifier: MIT
/*
 * Elementary functions and reductions: special cases, and the same bits from every
 * compiler, CPU and instruction set. How exact they are is for tests/elementary.c.
 */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "binary32.h"
#include "elementary.h"
#include "powers.h"
#include "reduce.h"
#include "unit/run_suite.h"

static float map_one(enum elementary function, float x)
{
	elementary_map(function, &x, 1);
	return x;
}

static float pow_one(float x, float y)
{
	elementary_pow(&x, &y, 0, 1);
	return x;
}

/* ---- the same bits everywhere -------------------------------------------- */

/* FNV-1a over the bytes of @size, the least first. */
static uint64_t hash(uint64_t state, uint64_t word, unsigned int size)
{
	for (unsigned int i = 0; i < size; i++)
		state = (state ^ (word >> 8 * i & 255)) * 0x100000001b3;
	return state;
}

#define HASH_START 0xcbf29ce484222325
#define STRIDE 16381	/* of the patterns that are arguments */

/* Results in binary32, and in binary64, of the same arguments. */
static uint64_t digest(const struct elementary_vectors *vectors, enum elementary function)
{
	uint64_t state = HASH_START;
	float block[ELEMENTARY_BLOCK];

	for (uint64_t bits = 0; bits <= UINT32_MAX; bits += ELEMENTARY_BLOCK * STRIDE) {
		for (uint32_t i = 0; i < ELEMENTARY_BLOCK; i++) {
			double wide;
			uint64_t word;

			block[i] = float_of((uint32_t)bits + i * STRIDE);
			wide = elementary_value(function, (double)block[i]);
			memcpy(&word, &wide, sizeof(word));
			state = hash(state, word, sizeof(word));
		}
		vectors->maps[function](block);
		for (int i = 0; i < ELEMENTARY_BLOCK; i++)
			state = hash(state, bits_of(block[i]), sizeof(float));
	}
	return state;
}

/* A change of these changes what networks give: models compiled before give other results. */
static const uint64_t digests[ELEMENTARY_COUNT] = {
	[ELEMENTARY_SQRT] = 0x821b75ff8c7d6443,
	[ELEMENTARY_EXP] = 0x951b5eb1dedaaaee,
	[ELEMENTARY_EXPM1] = 0xf4746e10d67edabf,
	[ELEMENTARY_LOG] = 0xb7dc0880ff57cac2,
	[ELEMENTARY_SOFTPLUS] = 0xb05f6110b9e346a8,
	[ELEMENTARY_SIGMOID] = 0xa45090b1d47cf552,
	[ELEMENTARY_SILU] = 0xea687060297f07a1,
	[ELEMENTARY_TANH] = 0xb2307805ee6bb4d8,
	[ELEMENTARY_ERF] = 0xccf8c5606cae9ae1,
	[ELEMENTARY_GELU] = 0xc128918c14cbe655,
	[ELEMENTARY_GELU_TANH] = 0x8ad565a655c1e036,
	[ELEMENTARY_HARD_SWISH] = 0x099c5b70d0da0748,
};

START_TEST(same_bits)
{
	const struct elementary_vectors *vectors;

	for (int i = 0; (vectors = elementary_vectors[i]); i++) {
		uint64_t got = vectors->supported() ? digest(vectors, _i) : digests[_i];

		ck_assert_msg(got == digests[_i], "%s, %s: digest 0x%016llx, not 0x%016llx",
			      elementary_name(_i), vectors->name, (unsigned long long)got,
			      (unsigned long long)digests[_i]);
	}
}
END_TEST

#define POW_DIGEST 0xcf2e58001812c746

START_TEST(same_bits_of_pow)
{
	const struct elementary_vectors *vectors;

	for (int i = 0; (vectors = elementary_vectors[i]); i++) {
		uint64_t random = 1, state = HASH_START;

		for (int j = 0; vectors->supported() && j < 10000; j++) {
			float bases[ELEMENTARY_BLOCK], exponents[ELEMENTARY_BLOCK];

			random_powers(&random, bases, exponents, ELEMENTARY_BLOCK);
			vectors->pow(bases, exponents);
			for (int k = 0; k < ELEMENTARY_BLOCK; k++)
				state = hash(state, bits_of(bases[k]), sizeof(float));
		}
		ck_assert_msg(!vectors->supported() || state == POW_DIGEST, "%s: digest 0x%016llx",
			      vectors->name, (unsigned long long)state);
	}
}
END_TEST

/* ---- special cases --------------------------------------------------------- */

static const struct special {
	enum elementary function;
	float x, result;
} specials[] = {
	{ ELEMENTARY_SQRT, -0.0f, -0.0f }, { ELEMENTARY_SQRT, -1, NAN },
	{ ELEMENTARY_SQRT, INFINITY, INFINITY }, { ELEMENTARY_SQRT, 2, 0x1.6a09e6p0f },
	{ ELEMENTARY_EXP, -INFINITY, 0 }, { ELEMENTARY_EXP, INFINITY, INFINITY },
	{ ELEMENTARY_EXP, -0.0f, 1 }, { ELEMENTARY_EXP, 0x1.62e42ep6f, 0x1.ffff08p127f },
	{ ELEMENTARY_EXP, 0x1.62e43p6f, INFINITY }, { ELEMENTARY_EXP, -0x1.9fe368p6f, 0x1p-149f },
	{ ELEMENTARY_EXP, -0x1.9fe36ap6f, 0 },
	{ ELEMENTARY_EXPM1, -0.0f, -0.0f }, { ELEMENTARY_EXPM1, -INFINITY, -1 },
	{ ELEMENTARY_EXPM1, INFINITY, INFINITY }, { ELEMENTARY_EXPM1, 0x1p-149f, 0x1p-149f },
	{ ELEMENTARY_LOG, 0, -INFINITY }, { ELEMENTARY_LOG, -0.0f, -INFINITY },
	{ ELEMENTARY_LOG, 1, 0 }, { ELEMENTARY_LOG, -0x1p-149f, NAN },
	{ ELEMENTARY_LOG, INFINITY, INFINITY }, { ELEMENTARY_LOG, -INFINITY, NAN },
	{ ELEMENTARY_SOFTPLUS, -INFINITY, 0 }, { ELEMENTARY_SOFTPLUS, INFINITY, INFINITY },
	{ ELEMENTARY_SOFTPLUS, 0, 0x1.62e43p-1f },
	{ ELEMENTARY_SIGMOID, -INFINITY, 0 }, { ELEMENTARY_SIGMOID, INFINITY, 1 },
	{ ELEMENTARY_SIGMOID, 0, 0.5f },
	{ ELEMENTARY_SILU, -INFINITY, -0.0f }, { ELEMENTARY_SILU, INFINITY, INFINITY },
	{ ELEMENTARY_SILU, -0.0f, -0.0f },
	{ ELEMENTARY_TANH, -INFINITY, -1 }, { ELEMENTARY_TANH, INFINITY, 1 },
	{ ELEMENTARY_TANH, -0.0f, -0.0f }, { ELEMENTARY_TANH, -0x1p-149f, -0x1p-149f },
	{ ELEMENTARY_ERF, -INFINITY, -1 }, { ELEMENTARY_ERF, INFINITY, 1 },
	{ ELEMENTARY_ERF, -0.0f, -0.0f },
	{ ELEMENTARY_GELU, -INFINITY, -0.0f }, { ELEMENTARY_GELU, INFINITY, INFINITY },
	{ ELEMENTARY_GELU, -0.0f, -0.0f },
	{ ELEMENTARY_GELU_TANH, -INFINITY, -0.0f }, { ELEMENTARY_GELU_TANH, INFINITY, INFINITY },
	{ ELEMENTARY_GELU_TANH, -0.0f, -0.0f },
	{ ELEMENTARY_HARD_SWISH, -INFINITY, -0.0f }, { ELEMENTARY_HARD_SWISH, INFINITY, INFINITY },
	{ ELEMENTARY_HARD_SWISH, -0.0f, -0.0f }, { ELEMENTARY_HARD_SWISH, -3, -0.0f },
	{ ELEMENTARY_HARD_SWISH, 1, 0x1.555556p-1f },
};

START_TEST(special_cases)
{
	const struct special *special = &specials[_i];
	float narrow = map_one(special->function, special->x);
	float wide = (float)elementary_value(special->function, (double)special->x);

	ck_assert_msg(bits_of(narrow) == bits_of(special->result) &&
		      bits_of(wide) == bits_of(special->result), "%s of %a: %a and %a, not %a",
		      elementary_name(special->function), (double)special->x, (double)narrow,
		      (double)wide, (double)special->result);
}
END_TEST

/* Arguments and results that only binary64 has. */
START_TEST(ends_of_binary64)
{
	static const double tiny[] = { 0x1p-1074, 0x1.8p-1060, 0x1.fffffffffffffp-1023, 0x1p-1022 };

	for (size_t i = 0; i < sizeof(tiny) / sizeof(tiny[0]); i++) {
		double exact = log(tiny[i]);

		ck_assert_double_eq_tol(elementary_value(ELEMENTARY_LOG, tiny[i]), exact, fabs(exact) * 0x1p-49);
		ck_assert_double_eq(elementary_value(ELEMENTARY_TANH, tiny[i]), tiny[i]);
	}
	ck_assert_double_eq_tol(elementary_value(ELEMENTARY_EXP, 709.75), exp(709.75), exp(709.75) * 0x1p-49);
	ck_assert_double_eq_tol(elementary_value(ELEMENTARY_EXPM1, 709.75), expm1(709.75), exp(709.75) * 0x1p-49);
	ck_assert_double_eq(elementary_value(ELEMENTARY_EXP, 709.8), (double)INFINITY);
	ck_assert_double_eq(elementary_value(ELEMENTARY_EXP, -745), 0x1p-1074);
	ck_assert_double_eq(elementary_value(ELEMENTARY_EXP, -746), 0);
}
END_TEST

START_TEST(nan_is_the_device_s)
{
	static const uint32_t nans[] = { 0x7fc00000, 0xffc00000, 0x7f800001, 0xffffffff };

	for (size_t i = 0; i < sizeof(nans) / sizeof(nans[0]); i++) {
		double wide = elementary_value(_i, (double)float_of(nans[i]));
		uint64_t bits;

		memcpy(&bits, &wide, sizeof(bits));
		ck_assert_uint_eq(bits_of(map_one(_i, float_of(nans[i]))), 0x7fc00000);
		ck_assert_uint_eq(bits, 0x7ff8000000000000);
		ck_assert_uint_eq(bits_of(pow_one(float_of(nans[i]), 2)), 0x7fc00000);
		ck_assert_uint_eq(bits_of(pow_one(2, float_of(nans[i]))), 0x7fc00000);
	}
}
END_TEST

START_TEST(one_nan)
{
	static const uint32_t before[] = { 0xffc00000, 0x7f800001, 0x7f800000, 0xff800000, 0x80000000, 0xffffffff };
	static const uint32_t after[] = { 0x7fc00000, 0x7fc00000, 0x7f800000, 0xff800000, 0x80000000, 0xffffffff };
	float values[sizeof(before) / sizeof(before[0])];

	memcpy(values, before, sizeof(before));
	elementary_one_nan(values, sizeof(before) / sizeof(before[0]) - 1);
	ck_assert_mem_eq(values, after, sizeof(after));
}
END_TEST

START_TEST(names_differ)
{
	for (int i = 0; i < _i; i++)
		ck_assert_str_ne(elementary_name(i), elementary_name(_i));
}
END_TEST

/* Values beyond the last stay, and how many there are changes none. */
START_TEST(any_count)
{
	enum { MOST = 3 * ELEMENTARY_BLOCK };
	float values[MOST + 1];

	for (size_t count = 0; count <= MOST; count++) {
		for (size_t i = 0; i <= MOST; i++)
			values[i] = (float)i / 7;
		elementary_map(ELEMENTARY_GELU, values, count);
		for (size_t i = 0; i <= MOST; i++) {
			float x = (float)i / 7, result = i < count ? map_one(ELEMENTARY_GELU, x) : x;

			ck_assert_uint_eq(bits_of(values[i]), bits_of(result));
		}
	}
}
END_TEST

/* ---- powers ----------------------------------------------------------------- */

START_TEST(pow_special_cases)
{
	static const float values[] = {
		0, 0x1p-149f, 0x1p-126f, 0x1.99999ap-4f, 0.5f, 0x1.fffffep-1f, 1, 0x1.000002p0f, 1.5f, 2,
		3, 4, 0x1.fffffep22f, 0x1.fffffep23f, 0x1p24f, 0x1.000002p24f, 0x1p40f, FLT_MAX, INFINITY,
	};
	const size_t count = sizeof(values) / sizeof(values[0]);

	for (size_t i = 0; i < 4 * count * count; i++) {
		float x = values[i / 4 % count] * (i & 1 ? -1 : 1);
		float y = values[i / 4 / count] * (i & 2 ? -1 : 1);
		double exact = pow((double)x, (double)y);
		float got = pow_one(x, y), nearest = isnan(exact) ? NAN : (float)exact;
		double unit = (double)(nextafterf(fabsf(got), INFINITY) - fabsf(got));

		ck_assert_msg(bits_of(got) == bits_of(nearest) ||
			      (isfinite(nearest) && fabs((double)got - exact) < 0.50001 * unit),
			      "(%a)^(%a): %a, not %a", (double)x, (double)y, (double)got, exact);
	}
	ck_assert_float_eq(pow_one(NAN, 0), 1);
	ck_assert_float_eq(pow_one(NAN, -0.0f), 1);
	ck_assert_float_eq(pow_one(1, NAN), 1);
}
END_TEST

/* Products that have no more than a bit beyond binary32's, so that some are ties. */
START_TEST(pow_is_exact)
{
	for (uint64_t base = 2; base < 1 << 13; base++) {
		uint64_t product = base * base;

		for (int exponent = 2; product < 1 << 26; exponent++, product *= base) {
			float x = (float)base, y = (float)exponent, up = (float)product;

			ck_assert_msg(pow_one(x, y) == up && pow_one(-x, y) == (exponent % 2 ? -up : up),
				      "%a^%d", (double)x, exponent);
			ck_assert_float_eq(pow_one(x * x, y / 2), up);
		}
	}
}
END_TEST

START_TEST(pow_steps)
{
	enum { COUNT = 2 * ELEMENTARY_BLOCK + 3 };
	float bases[COUNT], exponents[COUNT];

	for (int step = 0; step < 2; step++) {
		for (int i = 0; i < COUNT; i++) {
			bases[i] = (float)(i + 1);
			exponents[i] = (float)(i % 5) - 1.5f;
		}
		elementary_pow(bases, exponents, (size_t)step, COUNT);
		for (int i = 0; i < COUNT; i++)
			ck_assert_uint_eq(bits_of(bases[i]),
					  bits_of(pow_one((float)(i + 1), exponents[i * step])));
	}
}
END_TEST

/* ---- reductions --------------------------------------------------------------- */

/* As reduce.h says it, of values with a step of one. */
static double sum_in_order(const float *values, size_t count, double centre, bool squares)
{
	double sums[REDUCE_SUMS] = { 0 };

	for (size_t i = 0; i < count; i++) {
		volatile double value = (double)values[i] - centre;

		if (squares)
			value *= value;
		sums[i % REDUCE_SUMS] += value;
	}
	for (size_t some = REDUCE_SUMS; some > 1; some /= 2) {
		for (size_t i = some / 2; i < some; i++)
			sums[i - some / 2] += sums[i];
	}
	return sums[0];
}

#define MOST_VALUES 100

START_TEST(sums_in_order)
{
	float values[MOST_VALUES], spread[MOST_VALUES * 3];
	uint64_t state = 1;

	for (size_t count = 0; count <= MOST_VALUES; count++) {
		for (size_t i = 0; i < count; i++) {
			values[i] = ldexpf((float)(int32_t)random_word(&state), (int)random_below(&state, 60));
			spread[3 * i] = values[i];
		}
		ck_assert_double_eq(reduce_sum(values, count, 1), sum_in_order(values, count, 0, false));
		ck_assert_double_eq(reduce_sum(spread, count, 3), sum_in_order(values, count, 0, false));
		ck_assert_double_eq(reduce_squares(values, count, 1, 0.1), sum_in_order(values, count, 0.1, true));
		ck_assert_double_eq(reduce_squares(spread, count, 3, 0.1), sum_in_order(values, count, 0.1, true));
	}
}
END_TEST

START_TEST(nan_of_a_sum)
{
	const float opposite[] = { INFINITY, 1, -INFINITY }, nan[] = { 1, float_of(0xffc00001) };

	ck_assert_uint_eq(bits_of((float)reduce_sum(opposite, 3, 1)), 0x7fc00000);
	ck_assert_uint_eq(bits_of((float)reduce_sum(nan, 2, 1)), 0x7fc00000);
	ck_assert_uint_eq(bits_of((float)reduce_squares(opposite, 3, 1, INFINITY)), 0x7fc00000);
	ck_assert_float_eq((float)reduce_sum(opposite, 2, 1), INFINITY);
}
END_TEST

START_TEST(maximum)
{
	float values[] = { -INFINITY, -2, -0.0f, 0, 0x1p-149f, 3, INFINITY };
	const size_t count = sizeof(values) / sizeof(values[0]);

	ck_assert_float_eq(reduce_max(values, 0, 1), -INFINITY);
	for (size_t i = 0; i < count; i++)
		ck_assert_uint_eq(bits_of(reduce_max(values, i + 1, 1)), bits_of(values[i]));
	ck_assert_float_eq(reduce_max(values, 3, 2), 0x1p-149f);
	for (size_t i = 0; i < count; i++) {
		float value = values[i];

		values[i] = float_of(0xffc00001);
		ck_assert_uint_eq(bits_of(reduce_max(values, count, 1)), 0x7fc00000);
		values[i] = value;
	}
	values[0] = 0;
	values[1] = -0.0f;
	ck_assert_uint_eq(bits_of(reduce_max(values, 2, 1)), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("elementary");
	TCase *tests = tcase_create("elementary");

	tcase_set_timeout(tests, 600);
	tcase_add_loop_test(tests, same_bits, 0, ELEMENTARY_COUNT);
	tcase_add_test(tests, same_bits_of_pow);
	tcase_add_loop_test(tests, special_cases, 0, sizeof(specials) / sizeof(specials[0]));
	tcase_add_test(tests, ends_of_binary64);
	tcase_add_loop_test(tests, nan_is_the_device_s, 0, ELEMENTARY_COUNT);
	tcase_add_test(tests, one_nan);
	tcase_add_loop_test(tests, names_differ, 0, ELEMENTARY_COUNT);
	tcase_add_test(tests, any_count);
	tcase_add_test(tests, pow_special_cases);
	tcase_add_test(tests, pow_is_exact);
	tcase_add_test(tests, pow_steps);
	tcase_add_test(tests, sums_in_order);
	tcase_add_test(tests, nan_of_a_sum);
	tcase_add_test(tests, maximum);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}

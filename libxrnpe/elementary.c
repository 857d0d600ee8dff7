// SPDX-License-Identifier: MIT
/* Elementary functions for any CPU, and for those that have more the choice. */
#define VECTOR 16
#define TARGET

#include "elementary_vector.h"

static bool supported(void)
{
	return true;
}

static const struct elementary_vectors elementary_plain = { "plain", supported, maps, map_power };

#ifdef __x86_64__
extern const struct elementary_vectors elementary_avx2, elementary_avx512;
#endif

const struct elementary_vectors *const elementary_vectors[] = {
	&elementary_plain,
#ifdef __x86_64__
	&elementary_avx2, &elementary_avx512,
#endif
	NULL
};

static const struct elementary_vectors *fastest(void)
{
	const struct elementary_vectors *vectors = NULL;

	for (int i = 0; elementary_vectors[i]; i++) {
		if (elementary_vectors[i]->supported())
			vectors = elementary_vectors[i];
	}
	return vectors;
}

void elementary_map(enum elementary function, float *values, size_t count)
{
	const struct elementary_vectors *vectors = fastest();
	float block[ELEMENTARY_BLOCK] = { 0 };

	for (size_t i = 0; i < count; i += ELEMENTARY_BLOCK) {
		size_t some = count - i < ELEMENTARY_BLOCK ? count - i : ELEMENTARY_BLOCK;

		memcpy(block, values + i, some * sizeof(*values));
		vectors->maps[function](block);
		memcpy(values + i, block, some * sizeof(*values));
	}
}

void elementary_pow(float *bases, const float *exponents, size_t step, size_t count)
{
	const struct elementary_vectors *vectors = fastest();
	float base[ELEMENTARY_BLOCK] = { 0 }, exponent[ELEMENTARY_BLOCK] = { 0 };

	for (size_t i = 0; i < count; i += ELEMENTARY_BLOCK) {
		size_t some = count - i < ELEMENTARY_BLOCK ? count - i : ELEMENTARY_BLOCK;

		memcpy(base, bases + i, some * sizeof(*bases));
		for (size_t j = 0; j < some; j++)
			exponent[j] = exponents[(i + j) * step];
		vectors->pow(base, exponent);
		memcpy(bases + i, base, some * sizeof(*bases));
	}
}

void elementary_one_nan(float *values, size_t count)
{
	const uint32_t nan = 0x7fc00000;

	for (size_t i = 0; i < count; i++) {
		if (isnan(values[i]))
			memcpy(&values[i], &nan, sizeof(nan));
	}
}

#define DEFINE_VALUE(id, name, function)	\
static double value_##function(double x)	\
{						\
	return one_nan(function(all(x)))[0];	\
}

ELEMENTARY_FUNCTIONS(DEFINE_VALUE)

double elementary_value(enum elementary function, double x)
{
#define VALUE(id, name, function) [ELEMENTARY_##id] = value_##function,
	static double (*const values[])(double x) = { ELEMENTARY_FUNCTIONS(VALUE) };

	return values[function](x);
}

const char *elementary_name(enum elementary function)
{
#define NAME(id, name, function) [ELEMENTARY_##id] = name,
	static const char *const names[] = { ELEMENTARY_FUNCTIONS(NAME) };

	return names[function];
}

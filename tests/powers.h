/* SPDX-License-Identifier: MIT */
/* Arguments for powers in tests, the same everywhere. */
#ifndef TEST_POWERS_H
#define TEST_POWERS_H

#include <math.h>
#include <stddef.h>

#include "binary32.h"
#include "random.h"

/** Bases of all magnitudes and near 1; exponents, half of them integral, for results of all magnitudes. */
static inline void random_powers(uint64_t *state, float *bases, float *exponents, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t pattern = random_word(state);
		float part = ldexpf((float)random_word(state), -31) - 1;

		if (random_below(state, 2)) {
			bases[i] = float_of(pattern);
			exponents[i] = 2 * part;
		} else {
			float beyond = ldexpf((float)pattern, -32 - (int)random_below(state, 23));

			bases[i] = 1 + beyond;
			exponents[i] = 100 * part / beyond;
		}
		if (random_below(state, 2))
			exponents[i] = rintf(exponents[i]);
	}
}

#endif

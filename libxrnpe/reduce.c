// SPDX-License-Identifier: MIT
/* Sums and maxima in an order of their own. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "reduce.h"

#define INLINE static inline __attribute__((always_inline))

/* @squares, and @step 1, are constants for the compiler. */
INLINE double add_up(const float *values, size_t count, size_t step, bool squares, double centre)
{
	double sums[REDUCE_SUMS] = { 0 };
	size_t i = 0;

	for (; i + REDUCE_SUMS <= count; i += REDUCE_SUMS) {
		for (size_t j = 0; j < REDUCE_SUMS; j++) {
			double value = (double)values[(i + j) * step] - centre;

			sums[j] += squares ? value * value : value;
		}
	}
	for (size_t j = 0; i < count; i++, j++) {
		double value = (double)values[i * step] - centre;

		sums[j] += squares ? value * value : value;
	}
	for (size_t half = REDUCE_SUMS / 2; half; half /= 2) {
		for (size_t j = 0; j < half; j++)
			sums[j] += sums[j + half];
	}
	return isnan(sums[0]) ? (double)NAN : sums[0];
}

double reduce_sum(const float *values, size_t count, size_t step)
{
	return step == 1 ? add_up(values, count, 1, false, 0) : add_up(values, count, step, false, 0);
}

double reduce_squares(const float *values, size_t count, size_t step, double centre)
{
	return step == 1 ? add_up(values, count, 1, true, centre) :
	       add_up(values, count, step, true, centre);
}

/* Patterns of binary32 to integers in the order of their values, -0 below +0, and back. */
static int32_t order(int32_t bits)
{
	return bits ^ (bits < 0 ? INT32_MAX : 0);
}

float reduce_max(const float *values, size_t count, size_t step)
{
	float most = -INFINITY;
	int32_t bits, place;
	bool nan = false;

	memcpy(&bits, &most, sizeof(bits));
	place = order(bits);
	for (size_t i = 0; i < count; i++) {
		nan |= isnan(values[i * step]);
		memcpy(&bits, &values[i * step], sizeof(bits));
		bits = order(bits);
		place = bits > place ? bits : place;
	}
	bits = order(place);
	memcpy(&most, &bits, sizeof(most));
	return nan ? NAN : most;
}

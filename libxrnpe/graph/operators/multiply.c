// SPDX-License-Identifier: MIT
/* The sums stay in registers. */
#include <string.h>

#include "multiply.h"
#include "vectors.h"

typedef float vec __attribute__((vector_size(MULTIPLY_COLUMNS * sizeof(float)), aligned(4),
				 may_alias));

/* @rows is a constant where this is inlined. */
static inline __attribute__((always_inline))
void multiply(const float *a, size_t stride, size_t k, const float *panel, unsigned int rows,
	      float sums[][MULTIPLY_COLUMNS])
{
	vec acc[MULTIPLY_ROWS] = { { 0 } };

	for (size_t i = 0; i < k; i++) {
		vec row = *(const vec *)(panel + i * MULTIPLY_COLUMNS);

#pragma GCC unroll 8
		for (unsigned int r = 0; r < rows; r++)
			acc[r] += row * a[r * stride + i];
	}
	memcpy(sums, acc, rows * sizeof(acc[0]));
}

VECTORS
void multiply_panel(const float *a, size_t stride, size_t k, const float *panel,
		    unsigned int rows, float sums[MULTIPLY_ROWS][MULTIPLY_COLUMNS])
{
	unsigned int r = 0;

	for (; rows - r >= 8; r += 8)
		multiply(a + r * stride, stride, k, panel, 8, sums + r);
	for (; rows - r >= 4; r += 4)
		multiply(a + r * stride, stride, k, panel, 4, sums + r);
	for (; r < rows; r++)
		multiply(a + r * stride, stride, k, panel, 1, sums + r);
}

#define RUN (MULTIPLY_RUN / MULTIPLY_COLUMNS)

VECTORS
void multiply_taps(const float *weight, const size_t *offset, size_t taps, const float *in,
		   size_t count, float *out)
{
	for (size_t i = 0; i < count; i += MULTIPLY_RUN) {
		vec acc[RUN] = { { 0 } };

		for (size_t t = 0; t < taps; t++) {
			const vec *from = (const vec *)(in + i + offset[t]);

#pragma GCC unroll 4
			for (unsigned int r = 0; r < RUN; r++)
				acc[r] += from[r] * weight[t];
		}
		memcpy(out + i, acc, sizeof(acc));
	}
}

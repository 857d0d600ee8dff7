/* SPDX-License-Identifier: MIT */
/*
 * Sums of products in vectors, which stay in registers while all taps are added. A file for
 * each instruction set defines VECTOR, the bytes of one, TARGET, the attribute for functions
 * that use it, and ROWS and WIDTH, rows and vectors of the tile that fits its registers, and
 * includes this.
 */
#include <string.h>

#include "multiply.h"

#define LANES (VECTOR / sizeof(float))

typedef float vec __attribute__((vector_size(VECTOR), aligned(sizeof(float)), may_alias));

/* Vectors of a tile of fewer rows. */
#define WIDEST 4

/* One tile; @rows and @width, in vectors, are constants where this is inlined. */
TARGET static inline __attribute__((always_inline))
void multiply_tile(const struct multiply_taps *t, size_t row, unsigned int rows, size_t column,
		   unsigned int width, float *out, size_t out_stride)
{
	const float *weight = t->weight + row * t->stride;
	vec sums[ROWS][WIDEST];

#pragma GCC unroll 8
	for (unsigned int r = 0; r < rows; r++) {
#pragma GCC unroll 4
		for (unsigned int v = 0; v < width; v++) {
			const vec *before = (const vec *)(out + (row + r) * out_stride + column + v * LANES);

			sums[r][v] = t->more ? *before : (vec){ 0 };
		}
	}
	for (size_t i = 0; i < t->taps; i++) {
		const vec *in = (const vec *)(t->in + t->offset[i] + column);

#pragma GCC unroll 8
		for (unsigned int r = 0; r < rows; r++) {
#pragma GCC unroll 4
			for (unsigned int v = 0; v < width; v++)
				sums[r][v] += in[v] * weight[r * t->stride + i];
		}
	}
#pragma GCC unroll 8
	for (unsigned int r = 0; r < rows; r++) {
		float bias = t->bias ? t->bias[row + r] : 0;

#pragma GCC unroll 4
		for (unsigned int v = 0; v < width; v++)
			*(vec *)(out + (row + r) * out_stride + column + v * LANES) = sums[r][v] + bias;
	}
}

/* @rows rows, constant likewise, in tiles of @width vectors, and the last ones of one. */
TARGET static inline __attribute__((always_inline))
void multiply_row(const struct multiply_taps *t, size_t row, unsigned int rows, size_t columns,
		  unsigned int width, float *out, size_t out_stride)
{
	size_t c = 0;

	for (; columns - c >= width * LANES; c += width * LANES)
		multiply_tile(t, row, rows, c, width, out, out_stride);
	for (; c < columns; c += LANES)
		multiply_tile(t, row, rows, c, 1, out, out_stride);
}

TARGET
static void multiply_rows(const struct multiply_taps *t, unsigned int rows, size_t columns,
			  float *out, size_t out_stride)
{
	unsigned int r = 0;

	for (; rows - r >= ROWS; r += ROWS)
		multiply_row(t, r, ROWS, columns, WIDTH, out, out_stride);
	for (; rows - r >= 2; r += 2)
		multiply_row(t, r, 2, columns, WIDEST, out, out_stride);
	if (r < rows)
		multiply_row(t, r, 1, columns, WIDEST, out, out_stride);
}

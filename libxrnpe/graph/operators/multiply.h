/* SPDX-License-Identifier: MIT */
/* Sums of products in binary32, in an order that depends on nothing. */
#ifndef XRNPE_MULTIPLY_H
#define XRNPE_MULTIPLY_H

#include <stdbool.h>
#include <stddef.h>

/* Columns are computed so many at a time, and rows at most this many. */
#define MULTIPLY_COLUMNS 16
#define MULTIPLY_ROWS 8

/*
 * Elements that a sum is of: weight[r * stride + i] is that of row r, in[offset[i] + c]
 * that of column c, for i from 0 to @taps - 1; and bias[r], NULL: zeros.
 */
struct multiply_taps {
	const float *weight, *in, *bias;
	size_t stride, taps;
	const size_t *offset;
	bool more;	/* sums go on from what is in @out */
};

/*
 * out[r * out_stride + c] = the sum over i of their products, i in ascending order, and then
 * the bias. Each product is rounded before it is added.
 *
 * @rows: 1 .. MULTIPLY_ROWS
 * @columns: a multiple of MULTIPLY_COLUMNS
 */
void multiply(const struct multiply_taps *taps, unsigned int rows, size_t columns, float *out,
	      size_t out_stride);

/* The same for an instruction set. All give the same bits. */
struct multiply_vectors {
	const char *name;
	bool (*supported)(void);
	void (*multiply)(const struct multiply_taps *taps, unsigned int rows, size_t columns,
			 float *out, size_t out_stride);
};

/* Slowest first, NULL-terminated: the last one that is supported is used. */
extern const struct multiply_vectors *const multiply_vectors[];

#endif

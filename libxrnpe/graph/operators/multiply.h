/* SPDX-License-Identifier: MIT */
/* Sums of products in binary32, in an order that depends on nothing. */
#ifndef XRNPE_MULTIPLY_H
#define XRNPE_MULTIPLY_H

#include <stddef.h>

/* Columns of a panel, and rows that are best computed at once. */
#define MULTIPLY_COLUMNS 16
#define MULTIPLY_ROWS 8

/*
 * sums[r][c] = sum over i of a[r * stride + i] * panel[i * MULTIPLY_COLUMNS + c], for i
 * from 0 to k - 1 in this order. Each product is rounded before it is added.
 *
 * @rows: 1 .. MULTIPLY_ROWS
 */
void multiply_panel(const float *a, size_t stride, size_t k, const float *panel,
		    unsigned int rows, float sums[MULTIPLY_ROWS][MULTIPLY_COLUMNS]);

/* Results of multiply_taps() that are computed at once. */
#define MULTIPLY_RUN 64

/*
 * out[i] = sum over t of weight[t] * in[i + offset[t]], for i from 0 on, and up to @count
 * rounded up to a multiple of MULTIPLY_RUN: that much is read and written. In the order of
 * t; each product is rounded before it is added.
 */
void multiply_taps(const float *weight, const size_t *offset, size_t taps, const float *in,
		   size_t count, float *out);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Many binary32 values to one, with the same bits on every host.
 *
 * A sum is made of REDUCE_SUMS partial sums in binary64: value i is added to partial sum
 * i % REDUCE_SUMS, in order; then the upper half of the partial sums to the lower half
 * until one is left. The order is that whatever vectors a CPU has.
 *
 * Each value is @step after the one before; 1 if they are in a row. A NaN that results
 * is positive and quiet: 0x7fc00000 in binary32.
 */
#ifndef XRNPE_REDUCE_H
#define XRNPE_REDUCE_H

#include <stddef.h>

#define REDUCE_SUMS 16

/** The sum of @count values; 0 of none. */
double reduce_sum(const float *values, size_t count, size_t step);

/** The sum of the squares of value - @centre, both in binary64; 0 of none. */
double reduce_squares(const float *values, size_t count, size_t step, double centre);

/** The largest value, +0 above -0, but a NaN if any is one; -infinity of none. */
float reduce_max(const float *values, size_t count, size_t step);

#endif

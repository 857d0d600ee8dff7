/* SPDX-License-Identifier: MIT */
/*
 * Posit(16,1) as digits, for the kernels that multiply words of 16 bits.
 *
 * A value on the grid is an integer of up to 57 bits. It is cut into balanced
 * digits of 12 bits, -2048..2047, as many as the values of a set of rows span
 * between their lowest and highest bit: 2 or 3 for most tensors. Products of
 * different digits are had with half the work from sums of digits (Karatsuba):
 *
 *	a_i b_j + a_j b_i = (a_i + a_j) (b_i + b_j) - a_i b_i - a_j b_j
 *
 * A sum of products is then a polynomial in 2^12 with exact 64-bit coefficients.
 */
#ifndef XRNPE_DATAPATH_DIGITS_H
#define XRNPE_DATAPATH_DIGITS_H

#include "internal.h"

#define DIGIT_BITS 12
#define DIGITS 5				/* 5 x 12 - 2 bits >= 57 */
#define SLICES (DIGITS * (DIGITS + 1) / 2)	/* digits, then sums of two */
#define POWERS (2 * DIGITS - 1)			/* coefficients of a product */

/* Steps of 2 products that stay below 2^31: of digits, of sums of two digits. */
#define DIGIT_STEPS 255
#define PAIR_STEPS 63

/* The digits of a set of rows: values are digits x 2^shift. */
struct digits {
	int count, shift;
};

/* What values need whose magnitudes, or-ed together, are @any, in digits of @bits bits. */
static inline struct digits digits_for(uint64_t any, int bits)
{
	struct digits digits = { 1, 0 };

	if (any) {
		digits.shift = __builtin_ctzll(any);
		/* n digits hold any magnitude below 2^(n bits - 2). */
		digits.count = (64 - __builtin_clzll(any) - digits.shift + 2 + bits - 1) / bits;
	}
	return digits;
}

/* The slice of the sum of digits @i < @j: 01, 02 12, 03 13 23, ... */
static inline int pair_slice(int i, int j)
{
	return DIGITS + j * (j - 1) / 2 + i;
}

/*
 * Sums of products, channel by channel: polynomials in 2^@bits, times 2^@shift.
 * Coefficients of a power are next to each other, the @count powers @stride apart.
 */
struct digit_sums {
	const int64_t *power;
	size_t stride;
	int count, bits, shift;
};

/* The exact output of channel @n, whose sum is the @lane'th. @negative: its sign. */
static inline uint32_t digits_output(const struct xrnpe_product *product, const struct digit_sums *sums,
				     size_t lane, uint64_t n, bool negative, uint32_t *status)
{
	xrnpe_u128 sum = 0;

	for (int i = sums->count - 1; i >= 0; i--)
		sum = (sum << sums->bits) + (xrnpe_u128)(xrnpe_i128)sums->power[(size_t)i * sums->stride + lane];
	return xrnpe_output(product, n, xrnpe_term_from_sum(sum << sums->shift, negative,
							    2 * xrnpe_grid_unit(product->format)),
			    false, status);
}

#endif

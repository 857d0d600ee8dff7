/* SPDX-License-Identifier: MIT */
/*
 * Sums of products of Posit(16,1) in doubles.
 *
 * A value has 13 significant bits, and so a product of two is an exact double. Sums of
 * them are rounded, but off by little: by some multiple of the sum of magnitudes, for
 * which the largest weights of some hundred by the magnitudes of their inputs are a
 * bound. Mostly all within the bound rounds to one output. If not, and only then, the
 * sum is computed once more, exactly.
 *
 * Decoding takes few instructions. Negation of a code maps a posit to its negative and
 * the mirror image of its magnitude at one to its reciprocal, but for the fraction.
 * Below one the magnitude's code, converted to floating point, has the run of the
 * regime in its exponent; a place to the left that counts double, as it should, and
 * the exponent bit moves in below, off the fraction. Posit(8,0), which has no such
 * bit, stays where it is.
 */
#ifndef XRNPE_DATAPATH_SUMS_P16_H
#define XRNPE_DATAPATH_SUMS_P16_H

#include "kernel.h"

#define P16_UNIT (-56)		/* log2 of that of sums of products of grid values */
#define WIDENED 256		/* codes that are widened at a time */
#define POLL_STEPS 4096	/* of a panel that is filled, between looks at whether to give up */
#define RUN 128	/* products of many positions whose largest weight is known, for the bound */

static inline size_t runs_of(const struct xrnpe_product *product)
{
	return (product->k + RUN - 1) / RUN;
}

/*
 * What a sum of products is off by at most, of the sum of magnitudes, given the steps: each
 * product goes through as many additions and up to 5 more, each off by 2^-53 of its result.
 * Twice that is more than the bound's own rounding takes.
 */
static inline double precision_of(size_t steps)
{
	return (double)(steps + 5) * 0x1p-52;
}

static inline double power(int exponent)
{
	union {
		uint64_t bits;
		double value;
	} power = { .bits = (uint64_t)(1023 + exponent) << 52 };

	return power.value;
}

/* As in struct xrnpe_decoder, given what decodes codes of Posit(16,1): others become such first. */
static inline bool decode_factor(bool (*decode)(const uint8_t *codes, size_t count, double *to),
				 const struct xrnpe_factor *factor, const uint8_t *row, size_t first,
				 size_t count, double *to)
{
	uint8_t wide[WIDENED * sizeof(uint16_t)];
	bool nar = false;

	if (factor->format == XRNPE_FORMAT_P16)
		return decode(row + first * 2, count, to);
	for (size_t i = 0; i < count; i += WIDENED) {
		size_t some = count - i < WIDENED ? count - i : WIDENED;

		xrnpe_widen(factor->format, row, first + i, some, wide);
		nar |= decode(wide, some, to + i);
	}
	return nar;
}

/*
 * The output at position @p, channel @n, from its exact sum, whose sign is known, for any number of positions:
 * @inputs and, @stride apart, weights in units of the grid.
 */
static inline uint32_t exact_output(const struct xrnpe_product *product, const double *inputs,
				    const double *weights, size_t stride, uint64_t p, uint64_t n,
				    bool negative, uint32_t *status)
{
	xrnpe_u128 sum = 0;

	if (xrnpe_cancelled(product->cancel))
		return 0;
	for (size_t k = 0; k < product->k; k++)
		sum += (xrnpe_u128)((xrnpe_i128)(int64_t)inputs[k] * (int64_t)weights[k * stride]);
	return xrnpe_output_wrapped(product, p, n, sum, negative, status);
}

#endif

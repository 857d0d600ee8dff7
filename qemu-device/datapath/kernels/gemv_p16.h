/* SPDX-License-Identifier: MIT */
/*
 * Sums of products of Posit(16,1) in doubles.
 *
 * Codes of the other factor, if it is of a shorter format, become those of Posit(16,1) with
 * the same values first.
 *
 * A value has 13 significant bits, and so a product of two is an exact double. Sums of
 * them are rounded, but off by little: by some multiple of the sum of magnitudes, for
 * which the largest weights of some hundred by the magnitudes of their inputs are a
 * bound. Mostly all within the bound rounds to one output. If not, and only then, the
 * sum is computed once more, exactly.
 *
 * For few positions exact are sums that are cut at fixed bits into two or three parts that
 * are summed apart: (sum + product) - sum, where sum stays within a factor of two of a
 * large number, is the product rounded to a multiple of that number's last bit, and what
 * it lacks is exact. How many parts, and where the cuts are, follows for some hundred
 * weights at a time from their largest and smallest magnitude.
 *
 * Decoding takes few instructions. Negation of a code maps a posit to its negative and
 * the mirror image of its magnitude at one to its reciprocal, but for the fraction.
 * Below one the magnitude's code, converted to floating point, has the run of the
 * regime in its exponent; a place to the left that counts double, as it should, and
 * the exponent bit moves in below, off the fraction.
 */
#ifndef XRNPE_DATAPATH_GEMV_P16_H
#define XRNPE_DATAPATH_GEMV_P16_H

#include <string.h>

#include "kernel.h"

/*
 * A step is a vector of codes, and so four of doubles, which have a sum each. A chunk is
 * what has cuts in common: 32 products a lane of each sum, 128 of all four.
 */
#define CHUNK_STEPS 32
#define TERMS_LOG 7		/* log2 of 128 */
#define PARTS 3			/* at the most */

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

/* Of a set of codes: magnitudes are at most 2^most, and multiples of 2^least. */
struct range {
	bool zero, nar;		/* all are; one is */
	int most, least;
};

static inline int msb(unsigned int value)
{
	return 31 - __builtin_clz(value | 1);
}

/* The range of codes whose magnitudes are at most @high, those but zero at least @low. */
static inline struct range range_of(unsigned int high, unsigned int low)
{
	return (struct range){
		.zero = !high,
		.nar = high >> 15,
		.most = 2 * (high < 1 << 14 ? msb(high) - 13 : 14 - msb((1 << 15) - high)),
		/* Each halving of the code takes a bit of the fraction, to the last. */
		.least = msb(low) - 27 - (low == 1),
	};
}

static inline double power(int exponent)
{
	union {
		uint64_t bits;
		double value;
	} power = { .bits = (uint64_t)(1023 + exponent) << 52 };

	return power.value;
}

/* How the products of a chunk are summed. */
struct cuts {
	int parts;		/* 0: they are all zero */
	int unit[PARTS];	/* log2 of what the sums of a part are multiples of */
	double start[PARTS];	/* of a sum, that keeps them so */
};

static inline struct cuts cuts_for(struct range weights, struct range inputs)
{
	int most = weights.most + inputs.most, least = weights.least + inputs.least, spread = most - least;
	struct cuts cuts = { 0 };

	if (weights.zero || inputs.zero)
		return cuts;
	cuts.parts = spread <= 53 - TERMS_LOG ? 1 : spread <= 107 - 2 * TERMS_LOG ? 2 : 3;
	for (int p = 0; p < cuts.parts - 1; p++) {
		/* Sums stay below 2^51 units; what products lack is half of one at most. */
		cuts.unit[p] = most + TERMS_LOG - 2 - 51;
		cuts.start[p] = 1.5 * power(cuts.unit[p] + 52);
		most = cuts.unit[p] - 1;
	}
	cuts.unit[cuts.parts - 1] = least;
	return cuts;
}

/* A sum of @units times 2^unit, in units of the grid, squared. */
static inline xrnpe_u128 grid_sum(int64_t units, int unit)
{
	return (xrnpe_u128)(xrnpe_i128)units << (unit + 56);
}

/* Chunks of a row, given the bytes of a step. */
static inline size_t chunks_of(const struct xrnpe_product *product, size_t step)
{
	return (product->k * 2 - 1) / (CHUNK_STEPS * step) + 1;
}

/* Of codes of Posit(16,1). */
static inline size_t chunk_bytes(size_t k, size_t c, size_t step)
{
	size_t bytes = k * 2 - c * CHUNK_STEPS * step;

	return bytes < CHUNK_STEPS * step ? bytes : CHUNK_STEPS * step;
}

/*
 * Codes of Posit(16,1) for chunk @c of a row of @k codes of @factor: a copy, for whoever
 * reads them twice and must find the same, though memory may change. Returns how many steps
 * they are.
 */
static inline size_t copy_chunk(const struct xrnpe_factor *factor, size_t k, const uint8_t *row, size_t c,
				size_t step, uint8_t *copy)
{
	size_t at = c * CHUNK_STEPS * step, bytes = chunk_bytes(k, c, step), steps = (bytes + step - 1) / step;

	if (factor->format == XRNPE_FORMAT_P16)
		memcpy(copy, row + at, bytes);
	else
		xrnpe_widen(factor->format, row, at / 2, bytes / 2, copy);
	memset(copy + bytes, 0, steps * step - bytes);
	return steps;
}

/* The same, if need be in @padded, and of how many steps. */
static inline const uint8_t *chunk_of(const struct xrnpe_factor *factor, size_t k, const uint8_t *row, size_t c,
				      size_t step, uint8_t *padded, size_t *steps)
{
	size_t bytes = chunk_bytes(k, c, step);

	*steps = bytes / step;
	if (factor->format == XRNPE_FORMAT_P16 && !(bytes % step))
		return row + c * CHUNK_STEPS * step;
	*steps = copy_chunk(factor, k, row, c, step, padded);
	return padded;
}

/* As in struct xrnpe_decoder, given what decodes codes of Posit(16,1). */
static inline bool decode_factor(bool (*decode)(const uint8_t *codes, size_t count, double *to),
				 const struct xrnpe_factor *factor, const uint8_t *row, size_t first,
				 size_t count, double *to)
{
	uint8_t codes[WIDENED * sizeof(uint16_t)];
	bool nar = false;

	if (factor->format == XRNPE_FORMAT_P16)
		return decode(row + first * 2, count, to);
	for (size_t i = 0; i < count; i += WIDENED) {
		size_t some = count - i < WIDENED ? count - i : WIDENED;

		xrnpe_widen(factor->format, row, first + i, some, codes);
		nar |= decode(codes, some, to + i);
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

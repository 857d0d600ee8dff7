/* SPDX-License-Identifier: MIT */
/*
 * Exact sums of products in doubles: sums are cut at fixed bits into two or three parts that
 * are summed apart. (sum + product) - sum, where sum stays within a factor of two of a large
 * number, is the product rounded to a multiple of that number's last bit, and what it lacks
 * is exact. How many parts, and where the cuts are, follows for some hundred weights at a time
 * from their largest and smallest magnitude.
 */
#ifndef XRNPE_DATAPATH_CUTS_P16_H
#define XRNPE_DATAPATH_CUTS_P16_H

#include "sums_p16.h"

#define TERMS_LOG 7		/* log2 of 128 products that have cuts in common, of a lane */
#define PARTS 3			/* at the most */

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

#endif

/* SPDX-License-Identifier: MIT */
/* Means of products of what a node multiplies by weights, over places where it does. */
#ifndef XRNPE_PRODUCTS_H
#define XRNPE_PRODUCTS_H

#include "round.h"

/* Weights taken together at most: the work grows with their square. */
#define PRODUCTS_MOST 640

/* What a node reads, by input: @values, or, if that is NULL, what @inputs have. */
struct samples {
	struct reference *const *inputs;
	float *const *values;
	uint32_t tensor, count;
	bool shared;	/* by as many threads as there are; else one does it all */
};

/*
 * Fill the factors of @blocks of @moments, of PRODUCTS_MOST weights at most, which all belong to a
 * sum that @piece of @place makes, with means of products over windows of @samples, spread over all;
 * of a block the lower triangle. If moments->lacks is there, fill it, too, and limit
 * moments->lack_share to what so many windows tell. Sums are in an order that depends on nothing.
 *
 * Returns 0 or -ENOMEM.
 */
int products_add(const struct samples *samples, const struct place *place, const struct place_piece *piece,
		 const struct moments_block *blocks, uint32_t block_count, struct moments *moments);

#endif

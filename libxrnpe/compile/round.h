/* SPDX-License-Identifier: MIT */
/* Rounding of weights to a format, each with regard to the errors of those before it. */
#ifndef XRNPE_ROUND_H
#define XRNPE_ROUND_H

#include "compile.h"

/* Weights whose errors are taken together. */
struct moments_block {
	uint32_t first, size;
	size_t factors;		/* where those of the block are: size x size, lower triangle, rows */
};

/*
 * How what a node multiplies varies together, in the kept calibration inputs: for a sum
 * sum(w[i] * x[i]) the mean of x[i] * x[j], kept as Cholesky factors. Long sums are taken
 * in blocks, as if those were independent of each other; what is never in one sum is.
 */
struct moments {
	uint32_t length;	/* weights of an output channel, in the order in which the device has them */
	uint32_t groups;
	struct moments_block *blocks;
	uint32_t block_count;
	size_t size;		/* factors of a group */
	float *factors;		/* by group; above the diagonal are the columns below it as rows */
	/* By group: length, which weight each row of factors is for; of a block those with least squares first. */
	uint32_t *order;
	double *diagonal;	/* by group: length means of squares */
	/*
	 * As factors, but all of each block, in the order of weights: means of what x[i] lacks, which
	 * should be there, times x[j]. NULL: nothing lacks. @lack_share: how much of it is believed.
	 */
	float *lacks;
	double lack_share;
};

/* Of node @n, which has weights of a tensor, over @inputs, computed. Returns 0 or -ENOMEM. */
int moments_measure(const struct compiler *compiler, uint32_t n, struct reference *const *inputs,
		    uint32_t input_count, struct moments *moments);

/*
 * The same of @values, by input, which the node reads in place of what @inputs have, and of what they
 * lack of that.
 */
int moments_compare(const struct compiler *compiler, uint32_t n, float *const *values,
		    struct reference *const *inputs, uint32_t input_count, struct moments *moments);

/* Of sums of @length products, of which any two have means as in the matrix @products. */
int moments_of_products(uint32_t length, const float *products, struct moments *moments);
void moments_free(struct moments *moments);

#define LATTICE_ROOM 256

/* The finite values of a format of up to 8 bits, rising; zero once. Behind them are infinities. */
struct lattice {
	uint32_t count;
	float values[LATTICE_ROOM];
	uint8_t codes[LATTICE_ROOM];
};

void lattice_fill(struct lattice *lattice, enum xrnpe_format format);

/* Index of the value that is nearest to @value. */
uint32_t lattice_nearest(const struct lattice *lattice, float value);

/* Rows of weights that are rounded together. */
#define ROUND_LANES 16
/* Floats of scratch memory that takes, for each weight of a row. */
#define ROUND_SCRATCH (3 * ROUND_LANES + ROUND_LANES / sizeof(float))

/*
 * Round weights of output channels of @group to multiples of @scales that @lattice has, such
 * that the error of their sums, not that of each weight, is small; @scales are improved, too.
 *
 * @weights: @count rows of moments->length, at most ROUND_LANES
 * @scales: by row
 * @chosen: out: indices into the lattice; that of weight i of row k at [i * ROUND_LANES + k]
 * @scratch: room for ROUND_SCRATCH * moments->length
 */
void round_weights(const struct moments *moments, uint32_t group, const struct lattice *lattice,
		   const float *weights, uint32_t count, float *scales, uint8_t *chosen, float *scratch);

/*
 * Let @weights of an output channel of @group make up for what their inputs lack.
 *
 * @scratch: room for 2 * moments->length numbers
 */
void round_compensate(const struct moments *moments, uint32_t group, float *weights, double *scratch);

#endif

/* SPDX-License-Identifier: MIT */
/* Errors, and what becomes of them. */
#ifndef XRNPE_EFFECT_H
#define XRNPE_EFFECT_H

#include "compile.h"

/* Sums of squares: of errors, and of what they are errors of. */
struct squares {
	double errors, values;
};

void squares_add(struct squares *sum, const float *values, const float *reference, size_t count);

/* The quotient. Where all is zero there is nothing to lose, or everything. Always finite. */
double squares_relative(const struct squares *sum);

/* The same of what belongs to end @e of the network. */
void end_add(const struct compiler *compiler, uint32_t e, const float *values,
	     const float *reference, struct squares *sum);

/*
 * By how much a channel of outputs is off on average, that is, what a bias may take back:
 * sums over inputs of the mean error of each, and of the square of that.
 */
struct shift {
	double sum, squares;
};

/* The mean of each channel of @values. */
void channel_means(const struct image *image, const float *values, double *means);

/* Add what one input's channels are @off on average. */
void shifts_add(struct shift *shifts, uint32_t channels, const double *off);

/*
 * The mean over @inputs of them, as far as that is known: the more it differs from input to
 * input the smaller is what is certain; of a single input nothing is.
 */
double shift_certain(const struct shift *shift, uint32_t inputs);

/* What a thread measures effects with, so many by all threads. NULL: no memory. */
struct effect;
struct effect *effect_new(struct compiler *compiler, size_t measurements);
void effect_free(struct effect *effect);

/* A reference that may compute nodes from and to tensors that are elsewhere. */
struct reference *effect_reference(struct effect *effect);

/* How many of the kept inputs a measurement of node @n uses. */
uint32_t effect_images(struct effect *effect, uint32_t n);

/*
 * How often a measurement with @images inputs may be made with @each of them in turn, which takes
 * something each time beside computing the rest of the network.
 */
uint32_t effect_turns(const struct effect *effect, uint32_t images, uint32_t each);

/*
 * The relative squared errors of all ends of the network, added up over @images of the kept
 * inputs from @first on, if the output of node @n is @outputs for these.
 */
double effect_measure(struct effect *effect, uint32_t n, float *outputs, uint32_t first,
		      uint32_t images);

#endif

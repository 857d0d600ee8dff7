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

/* What a thread measures effects with. NULL: no memory. */
struct effect;
struct effect *effect_new(struct compiler *compiler);
void effect_free(struct effect *effect);

/* A reference that may compute nodes from and to tensors that are elsewhere. */
struct reference *effect_reference(struct effect *effect);

/* How many of the kept inputs so many measurements use. */
uint32_t effect_images(const struct compiler *compiler, size_t measurements);

/*
 * The relative squared errors of all ends of the network, added up, if the output of node
 * @n is @outputs for the first @images of the kept inputs.
 */
double effect_measure(struct effect *effect, uint32_t n, float *outputs, uint32_t images);

#endif

/* SPDX-License-Identifier: MIT */
/* Weights of a model, rounded once more. */
#ifndef XRNPE_REROUND_H
#define XRNPE_REROUND_H

#include "compile.h"

/*
 * Round the weights of node @n of @model for @values, by input of compiler->images, that it reads there
 * in place of binary32's. Returns 0 or -ENOMEM.
 */
int reround_node(struct compiler *compiler, uint32_t n, float *const *values, struct xrnpe_model *model);

#endif

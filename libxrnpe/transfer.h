/* SPDX-License-Identifier: MIT */
/* Tensors between callers, who have them in C order, and the device's memory. */
#ifndef XRNPE_TRANSFER_H
#define XRNPE_TRANSFER_H

#include "model.h"

/*
 * Copy tensor @t into memory where its element 0 is at @memory, or out of it. In it is binary32,
 * or takes bytes: then a value that is none is -EINVAL. Out it may be codes, too. Callers' order
 * is C order of t->info.dims.
 */
int transfer_in(const struct xrnpe_model_tensor *t, const float *values, void *memory);
void transfer_out(const struct xrnpe_model_tensor *t, const void *memory, float *values);

#endif

/* SPDX-License-Identifier: MIT */
/* Several points of one model. */
#ifndef XRNPE_POINTS_H
#define XRNPE_POINTS_H

#include "trials.h"

/* ---- points.c ------------------------------------------------------------ */

/*
 * The result: the model of @best, with @most points at most, and what is told of all trials.
 * What became a point is a trial's model no more. On failure, too, *@model is the caller's.
 */
int points_make(struct trials *trials, struct trial *best, uint32_t most,
		struct xrnpe_model **model);

/* ---- share.c ------------------------------------------------------------- */

/*
 * Make points of one model of @models, which the @whole-th owns from then on: one region of
 * constants, and one set of nodes on the CPU.
 */
int share_constants(struct xrnpe_model *const *models, uint32_t count, uint32_t whole,
		    struct xrnpe_error *error);

#endif

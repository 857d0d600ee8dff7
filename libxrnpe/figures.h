/* SPDX-License-Identifier: MIT */
/* Figures of energy inside the library. */
#ifndef XRNPE_FIGURES_H
#define XRNPE_FIGURES_H

#include "xrnpe.h"

/* Whether a program's figures are numbers that can be meant. Returns 0 or -EINVAL. */
int figures_check(const struct xrnpe_energy *energy, struct xrnpe_error *error);

#endif

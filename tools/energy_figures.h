/* SPDX-License-Identifier: MIT */
/* Figures of energy on the command line: --energy NAME=PICOJOULES, or a file of such lines. */
#ifndef XRNPE_TOOLS_ENERGY_FIGURES_H
#define XRNPE_TOOLS_ENERGY_FIGURES_H

#include "xrnpe.h"

/* Set what @argument says. Returns 0, or an exit status with what is wrong printed. */
int take_energy(const char *argument, struct xrnpe_energy *energy);

/* All figures, as a JSON object. */
void energy_print_json(const struct xrnpe_energy *energy);

#endif

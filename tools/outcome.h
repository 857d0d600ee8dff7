/* SPDX-License-Identifier: MIT */
/* What came of compiling. */
#ifndef XRNPE_OUTCOME_H
#define XRNPE_OUTCOME_H

#include <stdbool.h>

#include "xrnpe.h"

struct outcome {
	const struct xrnpe_model *model;
	const char *network, *path;	/* what was compiled, and to what */
	const char *notes;		/* what the compiler said, a line each */
	const struct xrnpe_energy *energy;	/* figures that it is told by */
	bool shows_trials;		/* others than the one chosen are of interest */
	struct xrnpe_cost total, *costs;	/* by the cycle model; of each layer */
	double *seconds;		/* of each layer, on this CPU; NULL: all are on the device */
	/* Of all layers together. */
	uint64_t bytes, float_bytes, macs;
};

void outcome_print(const struct outcome *outcome);
void outcome_print_json(const struct outcome *outcome);

/* Write a page of HTML, with its drawings inside. Returns 0 or the error. */
int outcome_write_page(const struct outcome *outcome, const char *path, struct xrnpe_error *error);

#endif

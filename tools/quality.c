// SPDX-License-Identifier: MIT
/* How much a model differs from its network, as it is shown. */
#include <math.h>
#include <stdio.h>

#include "quality.h"

/* "0.53 % +- 0.04 % on 16 inputs kept aside" */
void print_quality(const struct xrnpe_quality *quality)
{
	printf("output error %.3g %%", 100 * quality->error);
	if (isfinite(quality->spread))
		printf(" +- %.1g %%", 100 * quality->spread);
	printf(" on %u input%s %s\n", quality->inputs, quality->inputs == 1 ? "" : "s",
	       quality->unseen ? "kept aside" : "that it was fitted to: on others it is larger");
}

void print_quality_json(const struct xrnpe_quality *quality)
{
	printf("\"output_error\": %.9g, ", quality->error);
	if (isfinite(quality->spread))
		printf("\"output_error_spread\": %.9g, ", quality->spread);
	printf("\"output_error_inputs\": %u, \"output_error_unseen\": %s, ", quality->inputs,
	       quality->unseen ? "true" : "false");
}

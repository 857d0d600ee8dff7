// SPDX-License-Identifier: MIT
/* How much a model differs from its network, and what it loses, as it is shown. */
#include <math.h>

#include "quality.h"

void print_ratio(FILE *file, uint64_t bytes, uint64_t float_bytes, const char *binary32)
{
	double ratio = (double)float_bytes / (double)bytes;

	if (bytes && float_bytes)
		fprintf(file, ", %.2f times %s than %s", fmax(ratio, 1 / ratio),
			ratio < 1 ? "larger" : "smaller", binary32);
}

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

/* "79.10 % of 3504 inputs kept aside told right, in FP32 79.32 %: 0.22 % +- 0.15 % lost" */
void print_task(FILE *file, const struct xrnpe_task *task)
{
	if (!task)
		return;
	if (task->classes)
		fprintf(file, "%.2f %% of %u inputs kept aside told right, in FP32 %.2f %%", 100 * task->score,
			task->inputs, 100 * task->float_score);
	else
		fprintf(file, "RMS error %.4g on %u inputs kept aside, in FP32 %.4g", task->score,
			task->inputs, task->float_score);
	fprintf(file, ": %.2f %% +- %.2f %% lost\n", 100 * task->loss, 100 * task->spread);
}

void print_task_json(const struct xrnpe_task *task)
{
	if (task)
		printf("\"task\": {\"classes\": %s, \"score\": %.9g, \"float_score\": %.9g, "
		       "\"loss\": %.9g, \"spread\": %.9g, \"inputs\": %u}, ",
		       task->classes ? "true" : "false", task->score, task->float_score, task->loss,
		       task->spread, task->inputs);
}

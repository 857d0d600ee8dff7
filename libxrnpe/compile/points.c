// SPDX-License-Identifier: MIT
/* Which of the models that were tried are points of the result. */
#include <math.h>
#include <stdlib.h>

#include "error.h"
#include "points.h"

/* Outputs that differ more are of no use, however fast they are had. */
#define MOST_ERROR 0.25

/* Of all that could be points, the logarithms of the least and the most there is. */
struct range {
	double least, most;
};

struct selection {
	struct trial **candidates;
	uint32_t candidate_count;
	struct trial **taken;
	uint32_t count;
	struct range cycles, error;
};

/* An error of nothing would be infinitely far off, and so would no cycles be. */
static double log_cycles(const struct trial *trial)
{
	return log(fmax(trial->cycles, 1));
}

static double log_error(const struct trial *trial)
{
	return log(fmax(trial->model->quality.error, 1e-9));
}

static void widen(struct range *range, double value)
{
	range->least = fmin(range->least, value);
	range->most = fmax(range->most, value);
}

/* Whether @other is at least as good as @trial wherever points differ while they run. */
static bool beats(const struct trial *other, const struct trial *trial)
{
	double error = trial->model->quality.error, others = other->model->quality.error;

	return other->cycles <= trial->cycles && other->picojoules <= trial->picojoules &&
	       others <= error && (other->cycles < trial->cycles ||
				   other->picojoules < trial->picojoules || others < error);
}

static bool is_beaten(const struct trials *trials, const struct trial *trial)
{
	for (uint32_t i = 0; i < trials->count; i++) {
		if (trials->list[i]->model && beats(trials->list[i], trial))
			return true;
	}
	return false;
}

/* @best is asked for; others must be good for something. */
static void find_candidates(const struct trials *trials, const struct trial *best,
			    struct selection *selection)
{
	for (uint32_t i = 0; i < trials->count; i++) {
		struct trial *trial = trials->list[i];

		if (!trial->model || (trial != best && (trial->model->quality.error > MOST_ERROR ||
							is_beaten(trials, trial))))
			continue;
		selection->candidates[selection->candidate_count++] = trial;
		widen(&selection->cycles, log_cycles(trial));
		widen(&selection->error, log_error(trial));
	}
}

static double share(const struct range *range, double difference)
{
	return range->most > range->least ? fabs(difference) / (range->most - range->least) : 0;
}

/* How far @trial is from all that was taken. */
static double distance(const struct selection *selection, const struct trial *trial)
{
	double least = INFINITY;

	for (uint32_t i = 0; i < selection->count; i++) {
		const struct trial *other = selection->taken[i];

		least = fmin(least, share(&selection->cycles, log_cycles(trial) - log_cycles(other)) +
				    share(&selection->error, log_error(trial) - log_error(other)));
	}
	return least;
}

/* Take those that differ most, one after the other. */
static void take(struct selection *selection, uint32_t most)
{
	while (selection->count < most) {
		struct trial *farthest = NULL;
		double far = 0;

		for (uint32_t i = 0; i < selection->candidate_count; i++) {
			double d = distance(selection, selection->candidates[i]);

			if (d > far) {
				far = d;
				farthest = selection->candidates[i];
			}
		}
		if (!farthest)
			return;
		selection->taken[selection->count++] = farthest;
	}
}

/* From the fastest to the most exact. */
static int compare(const void *a, const void *b)
{
	const struct trial *x = *(struct trial *const *)a, *y = *(struct trial *const *)b;

	if (x->cycles != y->cycles)
		return x->cycles < y->cycles ? -1 : 1;
	return (x->model->quality.error < y->model->quality.error) -
	       (x->model->quality.error > y->model->quality.error);
}

/* Make one model of what was taken, which begins with @best. */
static int join(const struct selection *selection, const struct trial *best,
		struct xrnpe_model **model, struct xrnpe_error *error)
{
	struct xrnpe_model **models = malloc(selection->count * sizeof(*models));
	uint32_t whole = 0;
	int ret;

	if (!models)
		return xrnpe_fail_memory(error);
	qsort(selection->taken, selection->count, sizeof(*selection->taken), compare);
	for (uint32_t i = 0; i < selection->count; i++) {
		models[i] = selection->taken[i]->model;
		whole = selection->taken[i] == best ? i : whole;
	}
	ret = share_constants(models, selection->count, whole, error);
	if (!ret) {
		/* All live as long as the whole does. */
		*model = models[whole];
		for (uint32_t i = 0; i < selection->count; i++)
			selection->taken[i]->model = NULL;
		ret = xrnpe_model_count_constants(*model) ? xrnpe_fail_memory(error) : 0;
	}
	free(models);
	return ret;
}

int points_make(struct trials *trials, struct trial *best, uint32_t most,
		struct xrnpe_model **model)
{
	struct selection selection = {
		.candidates = calloc(trials->count, sizeof(struct trial *)),
		.taken = calloc(trials->count, sizeof(struct trial *)),
		.cycles = { INFINITY, -INFINITY }, .error = { INFINITY, -INFINITY },
	};
	struct xrnpe_error *error = trials->compiler->error;
	int ret = selection.candidates && selection.taken ? 0 : xrnpe_fail_memory(error);

	*model = NULL;
	if (!ret) {
		find_candidates(trials, best, &selection);
		selection.taken[selection.count++] = best;
		take(&selection, most);
		for (uint32_t i = 0; i < selection.count; i++)
			selection.taken[i]->carried = true;
		ret = trials_tell(trials, best);
	}
	if (!ret && selection.count > 1) {
		ret = join(&selection, best, model, error);
	} else if (!ret) {
		*model = best->model;
		best->model = NULL;
	}
	free(selection.candidates);
	free(selection.taken);
	return ret;
}

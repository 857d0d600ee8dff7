// SPDX-License-Identifier: MIT
/* From options to a model: choices are made, tried, and made again. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "cost.h"
#include "error.h"

/* ---- trials ------------------------------------------------------------- */

/* How an error limit is chased. */
#define MOST_TRIALS 6
/* An error so many times another one is as good, if that saves something. */
#define AS_GOOD 1.1
#define TRIALS_AS_GOOD 3
/* An error of so much of what is allowed is close enough. */
#define CLOSE 0.75

struct search {
	struct compiler *compiler;
	uint32_t count;		/* nodes */
	/* Of every node, then of what each of them adds. */
	struct option (*options)[COMPILE_OPTIONS];
	struct choose_limits limits;	/* what choose.c is told */
	bool by_score;		/* what is limited is the score, not the error */
	uint8_t *chosen;
};

/* A model, and what it takes. */
struct trial {
	struct xrnpe_model *model;	/* NULL: it exceeds a limit */
	uint64_t bytes;
	double cycles, picojoules;
	double score;		/* of all outputs, on inputs not seen */
	double error;		/* of what is limited: of an output on inputs not seen, at worst */
};

static int search_prepare(struct search *search, struct compiler *compiler)
{
	const struct xrnpe_limits *given = &compiler->options->limits;
	uint32_t count = compiler->graph->node_count;

	*search = (struct search){
		.compiler = compiler, .count = count,
		.options = calloc(2 * (size_t)count + 1, sizeof(*search->options)),
		.chosen = malloc(2 * (size_t)count + 1),
		.limits = {
			.bytes = given->bytes ? given->bytes : UINT64_MAX,
			.cycles = given->cycles > 0 ? given->cycles : INFINITY,
			.picojoules = given->picojoules > 0 ? given->picojoules : INFINITY,
			/* What is limited costs nothing within its limit. */
			.price = { .bytes = !given->bytes, .cycles = !(given->cycles > 0) },
		},
	};
	if (!search->options || !search->chosen)
		return xrnpe_fail_memory(compiler->error);
	for (uint32_t n = 0; n < count; n++) {
		options_list(compiler, n, search->options[n]);
		options_list_residual(compiler, n, search->options[count + n]);
	}
	return 0;
}

static void search_free(struct search *search)
{
	free(search->options);
	free(search->chosen);
}

/* The formats that take least memory; with all inputs in one, conversions are fewest. */
static void choose_smallest(struct search *search)
{
	for (uint32_t n = 0; n < search->count; n++) {
		const struct xrnpe_layer_formats *given = options_given(search->compiler, n);
		bool weights = search->compiler->nodes[n].place.kind == PLACE_WEIGHTS;
		enum xrnpe_format input = given ? given->input : XRNPE_FORMAT_P8;

		search->chosen[n] = compile_option(!weights ? input : given ? given->weight :
						   XRNPE_FORMAT_FP4, input);
		search->chosen[search->count + n] = compile_option(0, input);
	}
}

static bool exceeds(const struct xrnpe_limits *limits, const struct trial *trial)
{
	return (limits->bytes && trial->bytes > limits->bytes) ||
	       (limits->cycles > 0 && trial->cycles > limits->cycles) ||
	       (limits->picojoules > 0 && trial->picojoules > limits->picojoules);
}

static void trial_free(struct trial *trial)
{
	xrnpe_model_free(trial->model);
	trial->model = NULL;
}

/* Make the model of search->chosen; it is kept and measured unless it exceeds a limit. */
static int try_chosen(struct search *search, struct trial *trial)
{
	struct compiler *compiler = search->compiler;
	const struct xrnpe_quality *quality;
	struct xrnpe_cost cost;
	int ret;

	*trial = (struct trial){ 0 };
	for (uint32_t n = 0; n < search->count; n++) {
		compiler->nodes[n].choice = compile_choice(search->chosen[n]);
		compiler->nodes[n].residual = compile_choice(search->chosen[search->count + n]).input;
	}
	ret = lower_model(compiler, &trial->model);
	if (ret)
		return ret;
	xrnpe_model_predict(trial->model, NULL, &cost, NULL);
	for (uint32_t i = 0; i < trial->model->layer_count; i++)
		trial->bytes += trial->model->layers[i].bytes;
	trial->cycles = (double)cost.counters.cycles;
	trial->picojoules = cost.picojoules;
	if (exceeds(&compiler->options->limits, trial)) {
		trial_free(trial);
		return 0;
	}
	ret = tune_model(compiler, trial->model);
	if (ret) {
		trial_free(trial);
		return ret;
	}
	quality = &trial->model->quality;
	trial->score = compiler->output_error;
	trial->error = search->by_score ? trial->score :
		       quality->error + (isfinite(quality->spread) ? quality->spread : 0);
	return 0;
}

/*
 * Which conversions a choice needs, each with a scale and some time, is known only when it is
 * lowered. Where @trial exceeds the caller's limits by that, choose with as much less.
 */
static void tighten(struct search *search, const struct trial *trial)
{
	const struct xrnpe_limits *given = &search->compiler->options->limits;
	struct choose_limits *limits = &search->limits;

	if (given->bytes && trial->bytes > given->bytes) {
		uint64_t excess = trial->bytes - given->bytes;

		limits->bytes = limits->bytes > excess ? limits->bytes - excess : 0;
	}
	if (given->cycles > 0 && trial->cycles > given->cycles) {
		limits->cycles *= 0.99 * given->cycles / trial->cycles;
		limits->price.cycles = fmax(1, 4 * limits->price.cycles);
	}
	if (given->picojoules > 0 && trial->picojoules > given->picojoules) {
		limits->picojoules *= 0.99 * given->picojoules / trial->picojoules;
		limits->price.picojoules = fmax(1, 4 * limits->price.picojoules);
	}
}

/* That no choice keeps the limits that @trial, which takes least, exceeds. */
static int fail_limits(const struct search *search, const struct trial *trial)
{
	const struct compiler *compiler = search->compiler;
	const struct xrnpe_limits *given = &compiler->options->limits;
	const char *name = compiler->graph->name;

	if (given->bytes && trial->bytes > given->bytes)
		return xrnpe_fail(compiler->error, -ENOSPC,
				  "%s: budget of %llu bytes is too small: the smallest formats need %llu",
				  name, (unsigned long long)given->bytes,
				  (unsigned long long)trial->bytes);
	if (given->cycles > 0 && trial->cycles > given->cycles)
		return xrnpe_fail(compiler->error, -ENOSPC,
				  "%s: budget of %.0f cycles is too small: the fastest formats found need %.0f",
				  name, given->cycles, trial->cycles);
	return xrnpe_fail(compiler->error, -ENOSPC,
			  "%s: budget of %.4g uJ is too small: the formats found need %.4g",
			  name, given->picojoules * 1e-6, trial->picojoules * 1e-6);
}

/* A model that keeps all limits but that of error, and of which search->limits is true. */
static int find_model(struct search *search, struct trial *trial)
{
	for (int i = 0;; i++) {
		int ret = choose_options((const struct option (*)[COMPILE_OPTIONS])search->options,
					 2 * search->count, &search->limits, search->chosen);
		bool last = ret == -ENOSPC || i == MOST_TRIALS;

		if (ret == -ENOMEM)
			return xrnpe_fail_memory(search->compiler->error);
		if (last)
			choose_smallest(search);
		ret = try_chosen(search, trial);
		if (ret || trial->model)
			return ret;
		if (last)
			return fail_limits(search, trial);
		tighten(search, trial);
	}
}

/* ---- what is asked for --------------------------------------------------- */

/* Whether @trial is cheaper than @best, as choose.c has it; all else alike, the smaller one is. */
static bool is_cheaper(const struct search *search, const struct trial *trial,
		       const struct trial *best)
{
	const struct choose_price *price = &search->limits.price;
	double bytes = best->bytes ? (double)trial->bytes / (double)best->bytes : 1;

	return price->bytes * (bytes - 1) + price->cycles * (trial->cycles / best->cycles - 1) +
	       price->picojoules * (trial->picojoules / best->picojoules - 1) < 0;
}

/* Keep the better of two models, where an error of @allowed is as good as none. */
static void keep_better(const struct search *search, double allowed, struct trial *best,
			struct trial *trial)
{
	bool good = trial->error <= allowed, better;

	if (!best->model || good != (best->error <= allowed))
		better = !best->model || good;
	else
		better = good ? is_cheaper(search, trial, best) : trial->error < best->error;
	trial_free(better ? best : trial);
	if (better)
		*best = *trial;
}

/*
 * The cheapest model whose error is at most @allowed, or that of the least error found, in so
 * many @trials; @effect: what is likely to cause that error. *@best: the best known, if any.
 */
static int find_cheapest(struct search *search, double allowed, double effect, int trials,
			 struct trial *best)
{
	search->limits.effect = effect;
	while (trials--) {
		struct trial trial;
		int ret = find_model(search, &trial);
		double share = ret ? 0 : trial.error / allowed;

		/* A tighter choice may not be had: then what there is has to do. */
		if (ret)
			return best->model ? 0 : ret;
		keep_better(search, allowed, best, &trial);
		if (share >= CLOSE && share <= 1)
			break;
		/* What effects add up to is that many times more, or less, than was thought. */
		search->limits.effect *= 0.85 / fmin(fmax(share * share, 1e-4), 1e4);
	}
	return 0;
}

/* What effects of search->chosen add up to. */
static double chosen_effect(const struct search *search)
{
	double sum = 0;

	for (uint32_t i = 0; i < 2 * search->count; i++)
		sum += search->options[i][search->chosen[i]].effect;
	return sum;
}

/* Raise all effects to @power. */
static void change_effects(struct search *search, double power)
{
	for (uint32_t i = 0; i < 2 * search->count; i++) {
		for (unsigned int k = 0; k < COMPILE_OPTIONS; k++)
			search->options[i][k].effect = pow(search->options[i][k].effect, power);
	}
}

/*
 * The model of least error, or one that costs less and is as good. Where effects are not
 * independent they add up more as their roots do: that choice is tried, too.
 */
static int find_best(struct search *search, struct trial *best)
{
	struct trial other;
	int ret = find_model(search, best);
	double effect = ret ? 0 : chosen_effect(search);

	if (!ret) {
		change_effects(search, 0.5);
		ret = find_model(search, &other);
		change_effects(search, 2);
	}
	if (ret)
		return ret;
	if (other.score < best->score) {
		trial_free(best);
		*best = other;
	} else {
		trial_free(&other);
	}
	search->by_score = true;
	best->error = best->score;
	return find_cheapest(search, AS_GOOD * best->score, AS_GOOD * AS_GOOD * effect,
			     TRIALS_AS_GOOD, best);
}

/* Say what is doubtful about the result, or that it is none. */
static int judge(const struct compiler *compiler, const struct trial *best, double allowed)
{
	const struct xrnpe_quality *quality = &best->model->quality;

	if (!quality->unseen)
		compile_note(compiler, "calibration: %u input%s too few to keep some aside: on others the error is larger than reported",
			     quality->inputs, quality->inputs == 1 ? " is" : "s are");
	else if (quality->inputs == 1)
		compile_note(compiler, "calibration: errors are those of the one input that was kept aside: give more inputs to know them better");
	else if (quality->spread > 0.15 * quality->error && quality->error > 1e-6)
		compile_note(compiler, "calibration: the error differs much between the %u inputs kept aside: give more inputs to know it better",
			     quality->inputs);
	if (!(allowed > 0) || best->error <= allowed)
		return 0;
	if (compiler->options->limits.error > 0)
		return xrnpe_fail(compiler->error, -ENOSPC,
				  "%s: an output error of %.3g %% is not reached: the least found is %.3g %%",
				  compiler->graph->name, 100 * allowed, 100 * best->error);
	/* Who gives formats knows what they cost. */
	if (!compiler->options->format_count)
		compile_note(compiler, "an output error of %.3g %% is not reached: the least found is %.3g %%",
			     100 * allowed, 100 * best->error);
	return 0;
}

int choices_find_model(struct compiler *compiler, struct xrnpe_model **model)
{
	const struct xrnpe_limits *given = &compiler->options->limits;
	bool costs = given->bytes || given->cycles > 0 || given->picojoules > 0;
	double allowed = given->error > 0 ? given->error : costs ? 0 : XRNPE_VISIBLE_ERROR;
	struct trial best = { 0 };
	struct search search;
	int ret = search_prepare(&search, compiler);

	if (!ret)
		ret = allowed > 0 ? find_cheapest(&search, allowed, allowed * allowed, MOST_TRIALS, &best) :
				    find_best(&search, &best);
	search_free(&search);
	if (!ret)
		ret = judge(compiler, &best, allowed);
	if (ret)
		trial_free(&best);
	*model = best.model;
	return ret;
}

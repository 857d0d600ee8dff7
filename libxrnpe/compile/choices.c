// SPDX-License-Identifier: MIT
/* From options to a model: choices are made, tried, and made again. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "points.h"

/* ---- what is searched --------------------------------------------------- */

/* How an error limit is chased. */
#define MOST_TRIALS 6
/*
 * How an edge is looked for: by factors of effects, then between them, until what is left is this
 * power of the factor. What a task loses may depend little on effects, errors do much.
 */
#define EDGE_TRIALS 8
#define EDGE_CLOSE 0.2
#define TASK_FACTOR 8
#define ERROR_FACTOR 2
/*
 * What is so many standard errors more than the least error is told from it, with a certainty of
 * 95 %; and what is that share more, however little is known.
 */
#define TOLD_ERRORS 2
#define TOLD_SHARE 0.1
/*
 * An error is well known if it is at most so many times what is reported; and from input to input it
 * differs by such a share, as a rule, which few inputs may not tell.
 */
#define WELL_KNOWN 1.3
#define USUAL_SPREAD (1 / 3.0)
/* So much of a limit is less than any choice takes. */
#define LEAST_LIMIT 1e-6
/* So much of limits of time and energy is left for conversions at most. */
#define LEAST_SHARE 0.5
/* An error of so much of what is allowed is close enough. */
#define CLOSE 0.75
/* Effects that are of interest, where it is asked what there is: errors of 0.01 % to 50 %. */
#define LEAST_EFFECT 1e-8
#define MOST_EFFECT 0.25

struct search {
	struct compiler *compiler;
	uint32_t count;		/* nodes */
	/* Of every node, then of what each of them adds. */
	struct option (*options)[COMPILE_OPTIONS];
	struct xrnpe_limits given;	/* what no model may exceed */
	struct choose_limits limits;	/* what choose.c is told */
	bool by_score;		/* what is limited is the score, not the error */
	uint8_t *chosen;
	struct trials trials;
};

/*
 * Of what is limited: of an output on inputs not seen, at worst. With a limit of what the task
 * loses, the share of that which is lost at most, or of the other limit if it is more.
 */
static double error_of(const struct search *search, const struct trial *trial)
{
	const struct xrnpe_limits *given = &search->compiler->options->limits;
	const struct xrnpe_quality *quality = &trial->model->quality;
	double error = quality->error + (isfinite(quality->spread) ? quality->spread : 0);

	if (search->by_score)
		return trial->score;
	if (!(given->loss > 0))
		return error;
	return fmax(given->error > 0 ? error / given->error : 0,
		    task_most_loss(&trial->model->task) / given->loss);
}

/* Look for a model that keeps @given. */
static void search_limit(struct search *search, const struct xrnpe_limits *given)
{
	search->given = *given;
	search->limits = (struct choose_limits){
		.bytes = given->bytes ? given->bytes : UINT64_MAX,
		.cycles = given->cycles > 0 ? given->cycles : INFINITY,
		.picojoules = given->picojoules > 0 ? given->picojoules : INFINITY,
		/* What is limited costs nothing within its limit. */
		.price = { .bytes = !given->bytes, .cycles = !(given->cycles > 0) },
	};
}

static int search_prepare(struct search *search, struct compiler *compiler)
{
	uint32_t count = compiler->graph->node_count;

	*search = (struct search){
		.compiler = compiler, .count = count,
		.options = calloc(2 * (size_t)count + 1, sizeof(*search->options)),
		.chosen = malloc(2 * (size_t)count + 1), .trials = { .compiler = compiler },
	};
	search_limit(search, &compiler->options->limits);
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
	trials_free(&search->trials);
}

/* @wanted for the inputs of node @n, unless the caller gave another, or it cannot read that. */
static enum xrnpe_format input_like(const struct search *search, uint32_t n,
				    enum xrnpe_format wanted)
{
	const struct xrnpe_layer_formats *given = options_given(search->compiler, n);

	if (given)
		return given->input;
	if (options_allow(search->compiler, n, wanted))
		return wanted;
	/* Weights that an operator has by its nature are exact. */
	return options_allow(search->compiler, n, XRNPE_FORMAT_P8) ? XRNPE_FORMAT_P8 :
								     XRNPE_FORMAT_P16;
}

/*
 * The weights that take least memory, and all inputs in one format as far as they can be:
 * conversions are fewest.
 */
static void choose_alike(struct search *search, enum xrnpe_format wanted)
{
	for (uint32_t n = 0; n < search->count; n++) {
		const struct xrnpe_layer_formats *given = options_given(search->compiler, n);
		bool weights = search->compiler->nodes[n].place.kind == PLACE_WEIGHTS;
		enum xrnpe_format input = input_like(search, n, wanted);

		search->chosen[n] = compile_option(!weights ? input : given ? given->weight :
						   XRNPE_FORMAT_FP4, input);
		search->chosen[search->count + n] =
			compile_option(0, given ? options_given_added(given) : input);
	}
}

/* What the options @chosen add up to. */
static struct option chosen_sum(const struct search *search, const uint8_t *chosen)
{
	struct option sum = { 0 };

	for (uint32_t i = 0; i < 2 * search->count; i++) {
		const struct option *option = &search->options[i][chosen[i]];

		sum.bytes += option->bytes;
		sum.table += option->table;
		sum.effect += option->effect;
		sum.cycles += option->cycles;
		sum.picojoules += option->picojoules;
	}
	return sum;
}

/*
 * Which tables are the same is known only when a choice is lowered. Where those of @trial, which was
 * chosen, take more than its options tell, all are told to take so many times as much, a table of
 * their own at most.
 */
static void learn_tables(struct search *search, const struct trial *trial)
{
	const uint64_t told = chosen_sum(search, search->chosen).table;

	if (!told || trial->tables <= told)
		return;
	for (uint32_t i = 0; i < 2 * search->count; i++) {
		for (unsigned int k = 0; k < COMPILE_OPTIONS; k++) {
			struct option *option = &search->options[i][k];
			double table = (double)option->table * trial->tables / told;

			option->bytes -= option->table;
			option->table = table < option->whole ? (uint64_t)table : option->whole;
			option->bytes += option->table;
		}
	}
}

/*
 * Which conversions a choice needs, each with a scale and some time, is known only when it is
 * lowered. Where @trial exceeds the caller's limits by that, choose with less: of bytes with as
 * much, of cycles and energy in proportion, or, where it is effects that are limited, at a
 * higher price.
 */
static void tighten(struct search *search, const struct trial *trial)
{
	const struct xrnpe_limits *given = &search->given;
	struct option sum = chosen_sum(search, search->chosen);
	struct choose_limits *limits = &search->limits;
	bool priced = limits->effect > 0;

	if (given->bytes && trial->bytes > given->bytes) {
		uint64_t untold;

		learn_tables(search, trial);
		sum = chosen_sum(search, search->chosen);
		untold = trial->bytes > sum.bytes ? trial->bytes - sum.bytes : 0;
		limits->bytes = given->bytes > untold ? given->bytes - untold : 0;
	}
	if (given->cycles > 0 && trial->cycles > given->cycles) {
		if (priced)
			limits->price.cycles = fmax(1, 4 * limits->price.cycles);
		else
			limits->cycles = given->cycles * fmax(sum.cycles / trial->cycles, LEAST_LIMIT);
	}
	if (given->picojoules > 0 && trial->picojoules > given->picojoules) {
		if (priced)
			limits->price.picojoules = fmax(1, 4 * limits->price.picojoules);
		else
			limits->picojoules = given->picojoules * fmax(sum.picojoules / trial->picojoules, LEAST_LIMIT);
	}
}

/* That no choice keeps the limits. @least: the least of each that any choice takes. */
static int fail_limits(const struct search *search, const struct trial *least)
{
	const struct compiler *compiler = search->compiler;
	const struct xrnpe_limits *given = &search->given;
	const char *name = compiler->graph->name;

	if (given->bytes && least->bytes > given->bytes)
		return xrnpe_fail(compiler->error, -ENOSPC,
				  "%s: budget of %llu bytes is too small: the smallest formats need %llu",
				  name, (unsigned long long)given->bytes,
				  (unsigned long long)least->bytes);
	if (given->cycles > 0 && least->cycles > given->cycles)
		return xrnpe_fail(compiler->error, -ENOSPC,
				  "%s: budget of %.0f cycles is too small: the fastest formats found need %.0f",
				  name, given->cycles, least->cycles);
	if (given->picojoules > 0 && least->picojoules > given->picojoules)
		return xrnpe_fail(compiler->error, -ENOSPC,
				  "%s: budget of %.4g uJ is too small: the formats found need %.4g",
				  name, given->picojoules * 1e-6, least->picojoules * 1e-6);
	return xrnpe_fail(compiler->error, -ENOSPC,
			  "%s: no formats were found that keep all budgets; each alone can be kept", name);
}

/* Whether there are limits of what conversions take, of time or of energy. */
static bool limits_time(const struct search *search)
{
	return search->given.cycles > 0 || search->given.picojoules > 0;
}

static bool keeps_limits(const struct search *search, const struct trial *trial)
{
	return trial && !trial_exceeds(trial, &search->given);
}

/* Try search->chosen; *@least becomes what it takes, where that is less. */
static int try_chosen(struct search *search, struct trial *least, struct trial **trial)
{
	int ret = trials_make(&search->trials, search->chosen, &search->given, trial);

	if (ret)
		return ret;
	least->bytes = (*trial)->bytes < least->bytes ? (*trial)->bytes : least->bytes;
	least->cycles = fmin((*trial)->cycles, least->cycles);
	least->picojoules = fmin((*trial)->picojoules, least->picojoules);
	return 0;
}

/* Choose by search->limits: search->chosen; *@none: that they leave no choice. */
static int choose(struct search *search, bool *none)
{
	int ret = choose_options((const struct option (*)[COMPILE_OPTIONS])search->options,
				 2 * search->count, &search->limits, search->chosen);

	if (ret == -ENOMEM)
		return xrnpe_fail_memory(search->compiler->error);
	*none = ret;
	return 0;
}

/* Choose by search->limits, which it tightens, until a model keeps the caller's limits. */
static int try_choices(struct search *search, struct trial *least, struct trial **trial)
{
	for (int i = 0; i < MOST_TRIALS; i++) {
		bool none = false;
		int ret = choose(search, &none);

		if (ret || none)
			return ret;
		ret = try_chosen(search, least, trial);
		if (ret || keeps_limits(search, *trial))
			return ret;
		tighten(search, *trial);
	}
	return 0;
}

/*
 * Tell choose.c of a share of the limits of time and energy, and leave the rest to conversions: of which
 * share is most, that of which a model keeps the limits. What tighten() leaves is what the choices before
 * needed, and another may do with less. *@trial stays what it is where there is none.
 */
static int try_shares(struct search *search, struct trial *least, struct trial **trial)
{
	const struct choose_limits limits = search->limits;
	double good = LEAST_SHARE, bad = 1;
	int ret = 0;

	search->limits.effect = 0;
	for (int i = 0; i < EDGE_TRIALS && !ret; i++) {
		double share = (good + bad) / 2;
		struct trial *one = NULL;
		bool none = false;

		search->limits.cycles = share * limits.cycles;
		search->limits.picojoules = share * limits.picojoules;
		ret = choose(search, &none);
		if (!ret && !none)
			ret = try_chosen(search, least, &one);
		if (keeps_limits(search, one))
			*trial = one;
		*(!one || keeps_limits(search, one) ? &good : &bad) = share;
	}
	search->limits = limits;
	return ret;
}

/* As try_choices(), with what takes least, whatever its effect. */
static int try_least(struct search *search, struct trial *least, struct trial **trial)
{
	static const enum xrnpe_format alike[] = { XRNPE_FORMAT_FP4, XRNPE_FORMAT_P8 };
	const struct choose_limits limits = search->limits;
	const struct xrnpe_limits *given = &search->given;
	int ret;

	search->limits.effect = 0;
	if (given->cycles > 0)
		search->limits.cycles = LEAST_LIMIT * given->cycles;
	if (given->picojoules > 0)
		search->limits.picojoules = LEAST_LIMIT * given->picojoules;
	ret = try_choices(search, least, trial);
	search->limits = limits;
	/* Without conversions there may be less than options tell. */
	for (size_t i = 0; !ret && !keeps_limits(search, *trial) && i < sizeof(alike) / sizeof(alike[0]); i++) {
		choose_alike(search, alike[i]);
		ret = try_chosen(search, least, trial);
	}
	return ret;
}

/*
 * A model that keeps all limits but that of error: of search->limits that of effect is true of
 * it, unless the others leave only more.
 */
static int find_model(struct search *search, struct trial **trial)
{
	struct trial least = { .bytes = UINT64_MAX, .cycles = INFINITY, .picojoules = INFINITY };
	const struct choose_limits limits = search->limits;
	int ret;

	*trial = NULL;
	ret = try_choices(search, &least, trial);
	if (!ret && !keeps_limits(search, *trial) && limits.effect > 0) {
		search->limits.effect = 0;
		ret = try_choices(search, &least, trial);
	}
	if (!ret && !keeps_limits(search, *trial) && limits_time(search)) {
		search->limits = limits;
		ret = try_shares(search, &least, trial);
	}
	if (!ret && !keeps_limits(search, *trial))
		ret = try_least(search, &least, trial);
	/* Another choice may need less tight ones. */
	search->limits = limits;
	if (ret || keeps_limits(search, *trial))
		return ret;
	return fail_limits(search, &least);
}

/* ---- what is asked for --------------------------------------------------- */

/* How much more than @other costs @trial costs, as choose.c has it, as shares of what that takes. */
static double cost_beside(const struct search *search, const struct trial *trial,
			  const struct trial *other)
{
	const struct choose_price *price = &search->limits.price;
	double bytes = other->bytes ? (double)trial->bytes / (double)other->bytes : 1;

	return price->bytes * (bytes - 1) + price->cycles * (trial->cycles / other->cycles - 1) +
	       price->picojoules * (trial->picojoules / other->picojoules - 1);
}

/* The better of two models, where an error of @allowed is as good as none; @best: NULL at first. */
static struct trial *better_of(const struct search *search, double allowed, struct trial *best,
			       struct trial *trial)
{
	double error = error_of(search, trial), least = best ? error_of(search, best) : INFINITY;
	bool good = error <= allowed, better;

	if (!best || good != (least <= allowed))
		better = !best || good;
	else
		better = good ? cost_beside(search, trial, best) < 0 : error < least;
	return better ? trial : best;
}

/* Try what adds up to @effect: *@trial, which *@best becomes if it is better. */
static int try_effect(struct search *search, double effect, double allowed, struct trial **best,
		      struct trial **trial)
{
	int ret;

	search->limits.effect = effect;
	ret = find_model(search, trial);
	if (!ret)
		*best = better_of(search, allowed, *best, *trial);
	return ret;
}

/*
 * The cheapest model whose error is at most @allowed, or that of the least error found.
 * *@best: the best known, or NULL.
 */
static int find_cheapest(struct search *search, double allowed, struct trial **best)
{
	double margin = 1, effect = allowed * allowed, good = 0, bad = 0;

	for (int i = 0; i < MOST_TRIALS; i++) {
		struct trial *trial;
		double share;
		int ret = try_effect(search, effect, allowed, best, &trial);

		/* A tighter choice may not be had: then what there is has to do. */
		if (ret)
			return ret == -ENOSPC && *best ? 0 : ret;
		share = error_of(search, trial) / allowed;
		if (share >= CLOSE && share <= 1)
			break;
		*(share <= 1 ? &good : &bad) = effect;
		/*
		 * What effects add up to is that many times more, or less, than was thought; where
		 * that was said before and was not enough, more still.
		 */
		margin = share > 1 ? 0.85 * margin : 0.85;
		effect *= margin / fmin(fmax(share * share, 1e-4), 1e4);
		/* Between choices that are far apart that leads from one to the other and back. */
		if (bad > 0 && (effect <= good || effect >= bad))
			effect = sqrt(good * bad);
	}
	return 0;
}

/*
 * The same where all that is known of errors is that they grow with effects, of which @effect is
 * tried first, and then @factor times as much and so on: what is looked for is where they become
 * more than @allowed.
 */
static int find_edge(struct search *search, double allowed, double effect, double factor,
		     struct trial **best)
{
	double good = 0, bad = 0;

	for (int i = 0; i < EDGE_TRIALS; i++) {
		struct trial *trial;
		int ret = try_effect(search, effect, allowed, best, &trial);

		if (ret)
			return ret == -ENOSPC && *best ? 0 : ret;
		*(error_of(search, trial) <= allowed ? &good : &bad) = effect;
		if (good > 0 && bad > 0 && bad / good < pow(factor, EDGE_CLOSE))
			break;
		effect = !(bad > 0) ? factor * good : !(good > 0) ? bad / factor : sqrt(good * bad);
	}
	return 0;
}

/* Raise all effects to @power. */
static void change_effects(struct search *search, double power)
{
	for (uint32_t i = 0; i < 2 * search->count; i++) {
		for (unsigned int k = 0; k < COMPILE_OPTIONS; k++)
			search->options[i][k].effect = pow(search->options[i][k].effect, power);
	}
}

/* The score of a model that cannot be told from @trial at most. */
static double as_good_as(const struct trial *trial)
{
	const struct xrnpe_quality *quality = &trial->model->quality;
	double spread = quality->error > 0 ? quality->spread / quality->error : 0;

	return trial->score * (1 + fmin(TOLD_ERRORS * spread, TOLD_SHARE));
}

/* How much more than @least @trial costs, and how much more its error is, as shares together. */
static double burden(const struct search *search, const struct trial *trial,
		     const struct trial *least)
{
	return cost_beside(search, trial, least) +
	       (least->score > 0 ? trial->score / least->score - 1 : 0);
}

/*
 * Of all models that were tried and keep the limits that of least error, or one that is as good, if
 * it saves a larger share of what costs something than its error is larger.
 */
static struct trial *settle(const struct search *search)
{
	const struct trials *trials = &search->trials;
	struct trial *least = NULL, *best;

	for (uint32_t i = 0; i < trials->count; i++) {
		if (trials->list[i]->model && keeps_limits(search, trials->list[i]))
			least = better_of(search, 0, least, trials->list[i]);
	}
	best = least;
	for (uint32_t i = 0; i < trials->count; i++) {
		struct trial *trial = trials->list[i];

		if (trial->model && keeps_limits(search, trial) && trial->score <= as_good_as(least) &&
		    burden(search, trial, least) < burden(search, best, least))
			best = trial;
	}
	return best;
}

/*
 * Models of less error than *@best, which has the least that choose.c finds within limits of time and
 * energy. Conversions, of which that does not know, may take much of these: the cheapest choice for a
 * limit of effects may need fewer. So the least such limit is looked for that the others leave, and
 * then the largest shares of the others that conversions leave.
 */
static int find_lesser(struct search *search, struct trial **best)
{
	struct trial *const first = *best, *trial = first, least = { 0 };
	double effect = first->score * first->score, good = effect, bad = 0;
	int ret;

	for (int i = 0; i < EDGE_TRIALS && effect > 0; i++) {
		ret = try_effect(search, effect, 0, best, &trial);
		if (ret)
			return ret;
		*(trial == first ? &bad : &good) = effect;
		if (bad > 0 && good / bad < pow(ERROR_FACTOR, EDGE_CLOSE))
			break;
		effect = bad > 0 ? sqrt(good * bad) : good / ERROR_FACTOR;
	}
	search->limits.effect = 0;
	ret = try_shares(search, &least, &trial);
	*best = better_of(search, 0, *best, trial);
	return ret;
}

/*
 * The model of least error, or a cheaper one that is as good. Where effects are not independent
 * they add up more as their roots do: that choice is tried, too. Cheaper ones are looked for by
 * those sums that found the better one.
 */
static int find_best(struct search *search, struct trial **best)
{
	const struct choose_price *price = &search->limits.price;
	struct trial *other;
	double effect, power = 1;
	int ret;

	search->by_score = true;
	ret = find_model(search, best);
	if (!ret && limits_time(search))
		ret = find_lesser(search, best);
	if (ret)
		return ret;
	effect = chosen_sum(search, (*best)->chosen).effect;
	change_effects(search, 0.5);
	ret = find_model(search, &other);
	if (ret && ret != -ENOSPC)
		return ret;
	if (!ret && other->score < (*best)->score) {
		*best = other;
		effect = chosen_sum(search, other->chosen).effect;
		power = 2;
	} else {
		change_effects(search, 2);
	}
	/* That such a choice was not found does no harm. */
	ret = 0;
	if (price->bytes > 0 || price->cycles > 0)
		ret = find_edge(search, as_good_as(*best), effect, ERROR_FACTOR, best);
	change_effects(search, power);
	*best = settle(search);
	return ret;
}

/*
 * Say what is doubtful about what the task loses, or that its limit is not kept; @share: of the
 * limits, as of error_of().
 */
static int judge_task(const struct compiler *compiler, const struct xrnpe_task *task, double share)
{
	const struct xrnpe_limits *given = &compiler->options->limits;
	const char *name = compiler->graph->name;

	if (share > 1 && task_most_loss(task) > given->loss)
		return xrnpe_fail(compiler->error, -ENOSPC,
				  "%s: a loss of %.3g %% is not reached: the least found is %.3g %% +- %.2g %%, on %u inputs with labels that were kept aside",
				  name, 100 * given->loss, 100 * task->loss, 100 * task->spread, task->inputs);
	if (share > 1)
		return xrnpe_fail(compiler->error, -ENOSPC,
				  "%s: an output error of %.3g %% is not reached: the least found is %.3g times as large",
				  name, 100 * given->error, share);
	if (task->spread > given->loss / 2)
		compile_note(compiler, "labels: what is lost is not known better than to %.2g %% from %u inputs: with more of them a smaller model may be found to keep the limit",
			     100 * task->spread, task->inputs);
	return 0;
}

/*
 * Of 20 times the truth is 19 times at most so many standard errors above what was measured on
 * @inputs, 2 or more (Student's distribution).
 */
static double certain_errors(uint32_t inputs)
{
	static const double few[] = { 6.31, 2.92, 2.35, 2.13, 2.02, 1.94, 1.89, 1.86, 1.83 };
	uint32_t freedom = inputs - 1;

	return freedom <= sizeof(few) / sizeof(few[0]) ? few[freedom - 1] : 1.645 + 1.7 / freedom;
}

/* Say how well the error is known, if that is not well. */
static void judge_data(const struct compiler *compiler, const struct xrnpe_quality *quality)
{
	double spread, most;

	if (!quality->unseen) {
		compile_note(compiler, "calibration: %u input%s too few to keep some aside: on others the error is larger than reported",
			     quality->inputs, quality->inputs == 1 ? " is" : "s are");
		return;
	}
	if (quality->inputs == 1) {
		compile_note(compiler, "calibration: errors are those of the one input that was kept aside: give more inputs to know them better");
		return;
	}
	spread = fmax(quality->spread, USUAL_SPREAD * quality->error / sqrt(quality->inputs));
	most = quality->error + certain_errors(quality->inputs) * spread;
	if (most > WELL_KNOWN * quality->error && quality->error > 1e-6)
		compile_note(compiler, "calibration: the error is %.2g %% on the %u inputs kept aside, which are too few to tell more than that it is at most %.3g %% on others like them: give more inputs to know it better",
			     100 * quality->error, quality->inputs, 100 * most);
}

/* Say what is doubtful about the result, or that it is none. */
static int judge(const struct search *search, const struct trial *best, double allowed)
{
	const struct compiler *compiler = search->compiler;
	double error = error_of(search, best);

	judge_data(compiler, &best->model->quality);
	if (compiler->options->limits.loss > 0)
		return judge_task(compiler, &best->model->task, error);
	if (!(allowed > 0) || error <= allowed)
		return 0;
	if (compiler->options->limits.error > 0)
		return xrnpe_fail(compiler->error, -ENOSPC,
				  "%s: an output error of %.3g %% is not reached: the least found is %.3g %%",
				  compiler->graph->name, 100 * allowed, 100 * error);
	/* Who gives formats knows what they cost. */
	if (!compiler->options->format_count)
		compile_note(compiler, "an output error of %.3g %% is not reached: the least found is %.3g %%",
			     100 * allowed, 100 * error);
	return 0;
}

/* ---- what else there is -------------------------------------------------- */

/* Try models of less and less effect, by equal factors, whatever the limits. */
static int try_others(struct search *search)
{
	uint32_t count = trials_wanted(search->compiler->options);
	const struct xrnpe_limits none = { 0 };

	search_limit(search, &none);
	for (uint32_t i = 0; i < count; i++) {
		double share = count > 1 ? (double)i / (count - 1) : 0.5;
		struct trial *trial;
		int ret;

		search->limits.effect = LEAST_EFFECT * pow(MOST_EFFECT / LEAST_EFFECT, share);
		ret = find_model(search, &trial);
		if (ret)
			return ret;
	}
	return 0;
}

int choices_find_model(struct compiler *compiler, struct xrnpe_model **model)
{
	const struct xrnpe_limits *given = &compiler->options->limits;
	bool costs = given->bytes || given->cycles > 0 || given->picojoules > 0;
	double allowed = given->loss > 0 ? 1 : given->error > 0 ? given->error :
			 costs ? 0 : XRNPE_VISIBLE_ERROR;
	struct trial *best = NULL;
	struct search search;
	int ret = search_prepare(&search, compiler);

	if (!ret && given->loss > 0)
		ret = find_edge(&search, 1, XRNPE_VISIBLE_ERROR * XRNPE_VISIBLE_ERROR, TASK_FACTOR, &best);
	else if (!ret)
		ret = allowed > 0 ? find_cheapest(&search, allowed, &best) : find_best(&search, &best);
	/* Points share weights, which are not to be rounded for one of them. */
	if (!ret && compiler->options->points < 2)
		ret = trials_round_again(&search.trials, best);
	if (!ret)
		ret = judge(&search, best, allowed);
	if (!ret)
		ret = try_others(&search);
	if (!ret)
		ret = points_make(&search.trials, best, compiler->options->points, model);
	search_free(&search);
	return ret;
}

// SPDX-License-Identifier: MIT
/*
 * Trials: choices that were made models. What is tried again, as a search does that nears its
 * end, is remembered.
 */
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "trials.h"

static uint32_t choice_size(const struct trials *trials)
{
	return 2 * trials->compiler->graph->node_count;
}

static void trial_free(struct trial *trial)
{
	if (!trial)
		return;
	xrnpe_model_free(trial->model);
	free(trial->chosen);
	free(trial);
}

void trials_free(struct trials *trials)
{
	for (uint32_t i = 0; i < trials->count; i++)
		trial_free(trials->list[i]);
	free(trials->list);
}

bool trial_exceeds(const struct trial *trial, const struct xrnpe_limits *limits)
{
	return (limits->bytes && trial->bytes > limits->bytes) ||
	       (limits->cycles > 0 && trial->cycles > limits->cycles) ||
	       (limits->picojoules > 0 && trial->picojoules > limits->picojoules);
}

/* ---- making models ------------------------------------------------------- */

/* Let the compiler's nodes be in the formats of @chosen. */
static void apply(struct compiler *compiler, const uint8_t *chosen)
{
	uint32_t count = compiler->graph->node_count;

	for (uint32_t n = 0; n < count; n++) {
		compiler->nodes[n].choice = compile_choice(chosen[n]);
		compiler->nodes[n].residual = compile_choice(chosen[count + n]).input;
	}
}

static struct trial *find(const struct trials *trials, const uint8_t *chosen)
{
	for (uint32_t i = 0; i < trials->count; i++) {
		if (!memcmp(trials->list[i]->chosen, chosen, choice_size(trials)))
			return trials->list[i];
	}
	return NULL;
}

static int add(struct trials *trials, const uint8_t *chosen, struct trial **trial)
{
	struct trial *made = calloc(1, sizeof(*made)), **list;

	list = realloc(trials->list, (trials->count + (size_t)1) * sizeof(*list));
	if (list)
		trials->list = list;
	if (made)
		made->chosen = malloc(choice_size(trials) + (size_t)1);
	if (!list || !made || !made->chosen) {
		trial_free(made);
		return xrnpe_fail_memory(trials->compiler->error);
	}
	memcpy(made->chosen, chosen, choice_size(trials));
	list[trials->count++] = *trial = made;
	return 0;
}

/* What the tables of @model take; those that are equal are one. */
static uint64_t table_bytes(const struct xrnpe_model *model)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0, before; i < model->cmd_count; i++) {
		const struct xrnpe_operand *o = model->cmds[i].operand;

		if (model->cmds[i].opcode != XRNPE_OP_LUT)
			continue;
		for (before = 0; before < i; before++) {
			if (model->cmds[before].opcode == XRNPE_OP_LUT &&
			    model->cmds[before].operand[XRNPE_OPERAND_WEIGHT].offset ==
			    o[XRNPE_OPERAND_WEIGHT].offset)
				break;
		}
		if (before == i)
			bytes += xrnpe_row_bytes(o[XRNPE_OPERAND_OFM].format,
						 (size_t)1 << xrnpe_format_bits(o[XRNPE_OPERAND_IFM].format));
	}
	return bytes;
}

/* The model of a choice, biases as they come, and what it takes. */
static int lower(struct compiler *compiler, struct trial *trial, struct xrnpe_model **model)
{
	struct xrnpe_cost cost;
	int ret;

	apply(compiler, trial->chosen);
	ret = lower_model(compiler, model);
	if (ret)
		return ret;
	xrnpe_model_predict(*model, NULL, &compiler->energy, &cost, NULL);
	trial->bytes = 0;
	for (uint32_t i = 0; i < (*model)->layer_count; i++)
		trial->bytes += (*model)->layers[i].bytes;
	trial->tables = table_bytes(*model);
	trial->cycles = (double)cost.counters.cycles;
	trial->picojoules = cost.picojoules;
	return 0;
}

/* Correct @model, see tune_model(), and learn what there is to know of it. */
static int complete(struct compiler *compiler, struct xrnpe_model *model, bool again)
{
	int ret = tune_model(compiler, model, again);

	return !ret && compiler->options->labels ? task_measure(compiler, model) : ret;
}

static int make(struct compiler *compiler, struct trial *trial, const struct xrnpe_limits *limits)
{
	struct xrnpe_model *model;
	int ret = lower(compiler, trial, &model);

	if (ret)
		return ret;
	if (!trial_exceeds(trial, limits)) {
		ret = complete(compiler, model, false);
		if (!ret) {
			trial->model = model;
			trial->score = compiler->output_error;
			return 0;
		}
	}
	xrnpe_model_free(model);
	return ret;
}

int trials_make(struct trials *trials, const uint8_t *chosen, const struct xrnpe_limits *limits,
		struct trial **trial)
{
	int ret;

	*trial = find(trials, chosen);
	if (!*trial) {
		ret = add(trials, chosen, trial);
		if (ret)
			return ret;
	}
	/* A new one takes nothing yet. */
	if ((*trial)->model || trial_exceeds(*trial, limits))
		return 0;
	return make(trials->compiler, *trial, limits);
}

/* ---- the last model ------------------------------------------------------ */

/* Inputs kept aside that tell whether weights that were rounded again are better on others. */
#define TELLING_INPUTS 16

/* Let @compiler have all inputs that it keeps; @images: room for them */
static void take_more(struct compiler *compiler, struct reference **images)
{
	uint32_t count = compiler->image_count, more = compiler->more_count;

	memcpy(images, compiler->images, count * sizeof(*images));
	memcpy(images + count, compiler->more_images, more * sizeof(*images));
	memcpy(images + count + more, compiler->images + count, compiler->unseen_count * sizeof(*images));
	compiler->images = images;
	compiler->image_count += more;
}

/* Whether @model, of @score, is better than that of @trial in all that is known. */
static bool is_better(const struct compiler *compiler, const struct xrnpe_model *model, double score,
		      const struct trial *trial)
{
	return score < trial->score && model->quality.error < trial->model->quality.error &&
	       (!compiler->options->labels ||
		task_most_loss(&model->task) <= task_most_loss(&trial->model->task));
}

int trials_round_again(struct trials *trials, struct trial *trial)
{
	struct compiler *compiler = trials->compiler;
	struct reference **const images = compiler->images, **all;
	const uint32_t image_count = compiler->image_count;
	struct xrnpe_model *model;
	double score;
	int ret = 0;

	if (compiler->unseen_count < TELLING_INPUTS)
		return 0;
	ret = lower(compiler, trial, &model);
	if (ret)
		return ret;
	all = malloc((image_count + (size_t)compiler->more_count + compiler->unseen_count) * sizeof(*all));
	if (all)
		take_more(compiler, all);
	ret = all ? complete(compiler, model, true) : xrnpe_fail_memory(compiler->error);
	score = compiler->output_error;
	compiler->images = images;
	compiler->image_count = image_count;
	free(all);
	if (!ret && is_better(compiler, model, score, trial)) {
		xrnpe_model_free(trial->model);
		trial->model = model;
		trial->score = score;
	} else {
		xrnpe_model_free(model);
	}
	return ret;
}

/* ---- what is told of them ------------------------------------------------ */

static int compare_told(const void *a, const void *b)
{
	const struct xrnpe_trial *x = a, *y = b;

	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? -1 : 1;
	if (x->cycles != y->cycles)
		return x->cycles < y->cycles ? -1 : 1;
	return (x->quality.error > y->quality.error) - (x->quality.error < y->quality.error);
}

static bool is_beaten(const struct xrnpe_trial *told, uint32_t count, uint32_t which)
{
	const struct xrnpe_trial *one = &told[which];

	for (uint32_t i = 0; i < count; i++) {
		const struct xrnpe_trial *other = &told[i];

		if (other->bytes <= one->bytes && other->cycles <= one->cycles &&
		    other->picojoules <= one->picojoules &&
		    other->quality.error <= one->quality.error &&
		    (other->bytes < one->bytes || other->cycles < one->cycles ||
		     other->picojoules < one->picojoules ||
		     other->quality.error < one->quality.error))
			return true;
	}
	return false;
}

/* Choices that differ may become models that do not. */
static uint32_t leave_out_repeats(struct xrnpe_trial *told, uint32_t count)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (!kept || compare_told(&told[kept - 1], &told[i]))
			told[kept++] = told[i];
		told[kept - 1].chosen |= told[i].chosen;
		told[kept - 1].carried |= told[i].carried;
	}
	return kept;
}

uint32_t trials_wanted(const struct xrnpe_compile_options *options)
{
	/* Twice as many as there may be points, to have a choice. */
	uint32_t points = options->points > 1 ? 2 * options->points : 0;

	return options->trials > points ? options->trials : points;
}

int trials_tell(const struct trials *trials, const struct trial *best)
{
	struct xrnpe_trial *told = calloc(trials->count, sizeof(*told));
	uint32_t count = 0;

	if (!told)
		return xrnpe_fail_memory(trials->compiler->error);
	for (uint32_t i = 0; i < trials->count; i++) {
		const struct trial *trial = trials->list[i];

		if (trial->model)
			told[count++] = (struct xrnpe_trial){
				.bytes = trial->bytes, .cycles = trial->cycles,
				.picojoules = trial->picojoules, .quality = trial->model->quality,
				.task = trial->model->task, .chosen = trial == best,
				.carried = trial->carried,
			};
	}
	qsort(told, count, sizeof(*told), compare_told);
	count = leave_out_repeats(told, count);
	for (uint32_t i = 0; i < count; i++)
		told[i].best = !is_beaten(told, count, i);
	best->model->trials = told;
	best->model->trial_count = count;
	return 0;
}

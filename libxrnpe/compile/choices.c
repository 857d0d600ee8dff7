// SPDX-License-Identifier: MIT
/* From losses to a model: what each node may be run in, and which choice is best. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "cost.h"
#include "error.h"

/* Cycles of node @n's commands, which write the format that they read. */
static double node_cycles(const struct compiler *compiler, uint32_t n, struct choice choice)
{
	const struct node_plan *plan = &compiler->nodes[n];
	const struct image *output = &compiler->tensors[compile_output(compiler, n)].image;
	const struct xrnpe_machine machine = XRNPE_MACHINE_DEFAULT;
	struct xrnpe_counters counters = { 0 };

	for (uint32_t k = 0; k < place_pieces(&plan->place); k++) {
		const struct place_piece piece = place_piece(&plan->place, k);
		const struct xrnpe_cmd cmd = lower_packed(plan, &piece, output, choice);

		xrnpe_cmd_cost(&machine, &cmd, &counters);
	}
	return (double)counters.cycles;
}

/* Bytes of weights, of a table, and of scales. */
static uint64_t node_bytes(const struct node_plan *plan, struct choice choice)
{
	uint64_t bytes = plan->weight[choice.weight].size +
			 plan->place.scale_count * (uint64_t)lower_scale_size(&plan->place);

	if (plan->place.kind == PLACE_TABLE)
		bytes += xrnpe_row_bytes(choice.input, (size_t)1 << xrnpe_format_bits(choice.input));
	return bytes;
}

bool choices_allow(const struct compiler *compiler, uint32_t n, enum xrnpe_format input)
{
	const struct place *place = &compiler->nodes[n].place;

	if (!quantize_is_exact(&place->weights, input))
		return false;
	for (uint32_t k = 0; k < place->read_count; k++) {
		uint32_t tensor = compiler->tensors[place->reads[k].tensor].same;

		if (compiler->tensors[tensor].wide && COMPILE_FOUR_BITS & 1u << input)
			return false;
	}
	return true;
}

/* ---- formats that the caller gave --------------------------------------- */

/* Those of node @n; NULL: it is the compiler's choice. */
static const struct xrnpe_layer_formats *given_formats(const struct compiler *compiler, uint32_t n)
{
	const struct xrnpe_compile_options *options = compiler->options;
	const struct xrnpe_layer_formats *given = NULL;

	for (size_t i = 0; i < options->format_count; i++) {
		const char *layer = options->formats[i].layer;

		if (layer && !strcmp(layer, compiler->graph->nodes[n].name))
			return &options->formats[i];
		if (!layer)
			given = &options->formats[i];
	}
	return given;
}

/* Whether node @n may be run in @choice as far as the caller is concerned. */
static bool is_wanted(const struct compiler *compiler, uint32_t n, struct choice choice)
{
	const struct xrnpe_layer_formats *given = given_formats(compiler, n);
	bool weights = compiler->nodes[n].place.kind == PLACE_WEIGHTS;

	return !given || (choice.input == given->input &&
			  (!weights || choice.weight == given->weight));
}

/* The node that entry @i names; GRAPH_NONE: there is none. */
static uint32_t named_node(const struct compiler *compiler, const char *layer)
{
	for (uint32_t n = 0; n < compiler->graph->node_count; n++) {
		if (!strcmp(layer, compiler->graph->nodes[n].name))
			return n;
	}
	return GRAPH_NONE;
}

int choices_check_given(struct compiler *compiler)
{
	const struct xrnpe_compile_options *options = compiler->options;
	char text[64];

	for (size_t i = 0; i < options->format_count; i++) {
		const struct xrnpe_layer_formats *given = &options->formats[i];
		uint32_t n = given->layer ? named_node(compiler, given->layer) : GRAPH_NONE;

		if ((unsigned int)given->weight >= COMPILE_FORMATS ||
		    (unsigned int)given->input >= COMPILE_FORMATS)
			return xrnpe_fail(compiler->error, -EINVAL, "%s: layers multiply in fp4, p4, p8 and p16",
					  compiler->graph->name);
		if (!given->layer)
			continue;
		graph_printable(given->layer, text);
		if (n == GRAPH_NONE)
			return xrnpe_fail(compiler->error, -EINVAL, "%s: has no layer %s, for which formats are given",
					  compiler->graph->name, text);
		if (compiler->nodes[n].chooses && !choices_allow(compiler, n, given->input))
			return xrnpe_fail(compiler->error, -EINVAL, "%s: layer %s cannot read %s",
					  compiler->graph->name, text, xrnpe_format_name(given->input));
	}
	return 0;
}

/* ---- options ------------------------------------------------------------ */

/*
 * What node @n may be run in; weights of no tensor are in the format of the inputs. A node that
 * does not choose has one option, which is nothing.
 */
static void list_options(const struct compiler *compiler, uint32_t n,
			 struct option options[COMPILE_OPTIONS])
{
	const struct node_plan *plan = &compiler->nodes[n];
	bool weights = plan->place.kind == PLACE_WEIGHTS;

	for (unsigned int i = 0; i < COMPILE_OPTIONS; i++) {
		struct choice choice = compile_choice(i);

		if (!plan->chooses || (!weights && choice.weight != choice.input) ||
		    !choices_allow(compiler, n, choice.input) || !is_wanted(compiler, n, choice)) {
			options[i] = (struct option){ .effect = i || plan->chooses ? INFINITY : 0 };
			continue;
		}
		options[i] = (struct option){
			.bytes = node_bytes(plan, choice),
			.effect = plan->input_loss[choice.input].effect +
				  (weights ? plan->weight_loss[choice.weight].effect : 0),
			.cycles = node_cycles(compiler, n, choice),
		};
	}
}

/* The formats of what node @n adds to its product; its time is that of moving it. */
static void list_residuals(const struct compiler *compiler, uint32_t n,
			   struct option options[COMPILE_OPTIONS])
{
	const struct xrnpe_machine machine = XRNPE_MACHINE_DEFAULT;
	const struct node_plan *plan = &compiler->nodes[n];
	unsigned int formats = compile_adds(plan) ? COMPILE_FORMATS : 0;

	for (unsigned int i = 0; i < COMPILE_OPTIONS; i++)
		options[i] = (struct option){ .effect = i || formats ? INFINITY : 0 };
	for (unsigned int f = 0; f < formats; f++) {
		const struct xrnpe_layer_formats *given = given_formats(compiler, n);

		if (!choices_allow(compiler, n, f) || (given && f != given->input))
			continue;
		options[compile_option(0, f)] = (struct option){
			.effect = plan->residual_loss[f].effect,
			.cycles = (double)image_bytes(&plan->place.reads[1].image, f) /
				  machine.bus_bytes,
		};
	}
}

/*
 * Choices so that nodes take at most @budget bytes: of every node, then of what each of
 * them adds.
 */
static int choose(struct compiler *compiler, uint64_t budget, uint8_t *chosen, uint32_t *found)
{
	uint32_t count = compiler->graph->node_count;
	struct option (*options)[COMPILE_OPTIONS] = calloc(2 * (size_t)count + 1, sizeof(*options));
	int ret;

	if (!options)
		return -ENOMEM;
	for (uint32_t n = 0; n < count; n++) {
		list_options(compiler, n, options[n]);
		list_residuals(compiler, n, options[count + n]);
	}
	ret = choose_options((const struct option (*)[COMPILE_OPTIONS])options, 2 * count, budget,
			     chosen, found);
	free(options);
	return ret;
}

/* The formats that take least memory; with all inputs in one, conversions are fewest. */
static void choose_smallest(const struct compiler *compiler, uint8_t *chosen)
{
	for (uint32_t n = 0; n < compiler->graph->node_count; n++) {
		const struct xrnpe_layer_formats *given = given_formats(compiler, n);
		bool weights = compiler->nodes[n].place.kind == PLACE_WEIGHTS;
		enum xrnpe_format input = given ? given->input : XRNPE_FORMAT_P8;

		chosen[n] = compile_option(!weights ? input : given ? given->weight : XRNPE_FORMAT_FP4,
					   input);
		chosen[compiler->graph->node_count + n] = compile_option(0, input);
	}
}

static uint64_t model_bytes(const struct xrnpe_model *model)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < model->layer_count; i++)
		bytes += model->layers[i].bytes;
	return bytes;
}

/* A model for one choice, if it keeps the budget, else NULL; and its bytes. */
static int try_choice(struct compiler *compiler, const uint8_t *chosen,
		      struct xrnpe_model **model, uint64_t *bytes)
{
	uint32_t count = compiler->graph->node_count;
	int ret;

	for (uint32_t n = 0; n < count; n++) {
		compiler->nodes[n].choice = compile_choice(chosen[n]);
		compiler->nodes[n].residual = compile_choice(chosen[count + n]).input;
	}
	ret = lower_model(compiler, model);
	if (ret)
		return ret;
	*bytes = model_bytes(*model);
	if (*bytes <= compiler->budget)
		ret = tune_model(compiler, *model);
	if (!ret && *bytes <= compiler->budget)
		return 0;
	xrnpe_model_free(*model);
	*model = NULL;
	return ret;
}

/* As choose.c has it, but measured: on the whole network, with conversions. */
static double measured_score(const struct compiler *compiler, const struct xrnpe_model *model)
{
	struct xrnpe_cost cost;

	xrnpe_model_predict(model, NULL, &cost, NULL);
	return compiler->output_error * (double)cost.counters.cycles;
}

/* The best model of @found choices that keep the budget, or NULL; and fewest bytes. */
static int try_choices(struct compiler *compiler, const uint8_t *chosen, uint32_t found,
		       struct xrnpe_model **best, uint64_t *least_bytes)
{
	double least = INFINITY;

	*best = NULL;
	*least_bytes = UINT64_MAX;
	for (uint32_t i = 0; i < found; i++) {
		struct xrnpe_model *model = NULL;
		uint64_t bytes = 0;
		int ret = try_choice(compiler, chosen + i * 2 * compiler->graph->node_count, &model, &bytes);

		if (ret) {
			xrnpe_model_free(*best);
			*best = NULL;
			return ret;
		}
		*least_bytes = bytes < *least_bytes ? bytes : *least_bytes;
		if (model && (!*best || measured_score(compiler, model) < least)) {
			least = measured_score(compiler, model);
			xrnpe_model_free(*best);
			*best = model;
		} else {
			xrnpe_model_free(model);
		}
	}
	return 0;
}

/*
 * Which conversions a choice needs, each with a scale, is known only when it is
 * lowered. So where all exceed the budget by that, choose again with that less.
 */
int choices_find_model(struct compiler *compiler, struct xrnpe_model **model)
{
	uint64_t budget = compiler->budget, left = budget, bytes;
	uint8_t *chosen = malloc((size_t)COMPILE_CANDIDATES * 2 * compiler->graph->node_count + 1);
	uint32_t found = 1;
	int ret = chosen ? 0 : xrnpe_fail_memory(compiler->error);

	while (!ret && !*model) {
		/* With nothing left there is no choice that takes less. */
		bool last = !left;

		ret = choose(compiler, left, chosen, &found);
		if (ret == -ENOSPC || (!ret && last && compiler->options->budget)) {
			last = true;
			found = 1;
			choose_smallest(compiler, chosen);
		} else if (ret) {
			ret = xrnpe_fail_memory(compiler->error);
			break;
		}
		ret = try_choices(compiler, chosen, found, model, &bytes);
		if (!ret && !*model && last && !compiler->options->budget) {
			/* Nobody asked for less. */
			compiler->budget = bytes;
			ret = try_choices(compiler, chosen, found, model, &bytes);
		}
		if (!ret && !*model && last)
			ret = xrnpe_fail(compiler->error, -ENOSPC,
					 "%s: budget of %llu bytes is too small: the smallest formats need %llu",
					 compiler->graph->name, (unsigned long long)budget,
					 (unsigned long long)bytes);
		left = left > bytes - budget ? left - (bytes - budget) : 0;
	}
	free(chosen);
	return ret;
}


// SPDX-License-Identifier: MIT
/* The compiler from end to end, and budgets. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "compile.h"
#include "cost.h"
#include "error.h"

int xrnpe_budget_parse(const char *text, const struct xrnpe_graph *graph, uint64_t *budget,
		       struct xrnpe_error *error)
{
	double value, bytes;
	char *unit;

	errno = 0;
	value = strtod(text, &unit);
	bytes = value;
	if (!strcasecmp(unit, "x"))
		bytes = value > 0 ? (double)xrnpe_graph_bytes(graph) / value : 0;
	else if (!strcasecmp(unit, "KiB"))
		bytes = value * 1024;
	else if (!strcasecmp(unit, "MiB"))
		bytes = value * 1024 * 1024;
	else if (*unit)
		bytes = 0;
	if (unit == text || errno || !(bytes >= 1 && bytes < 0x1p53))
		return xrnpe_fail(error, -EINVAL,
				  "budget %s: is not bytes (61440, 60KiB, 1.5MiB) or a factor (4x)",
				  text);
	*budget = (uint64_t)bytes;
	return 0;
}

int compile_step(struct compiler *compiler)
{
	const struct xrnpe_compile_options *options = compiler->options;

	compiler->step++;
	if (options->progress &&
	    options->progress(options->progress_data, compiler->step, compiler->steps))
		return xrnpe_fail(compiler->error, -ECANCELED, "%s: stopped", compiler->graph->name);
	return 0;
}

static int check_calibration(struct compiler *compiler)
{
	const struct xrnpe_array *inputs = compiler->options->calibration;
	const struct xrnpe_tensor_info *info = &compiler->graph->input_info;
	bool fits = inputs->rank == info->rank + 1 && inputs->dims[0] >= 1;

	for (unsigned int i = 0; fits && i < info->rank; i++)
		fits = inputs->dims[i + 1] == info->dims[i];
	if (fits)
		return 0;
	return xrnpe_fail(compiler->error, -EINVAL,
			  info->rank == 1 ? "%s: calibration data are not of shape N x %zu" :
			  "%s: calibration data are not of shape N x %zu x %zu x %zu",
			  compiler->graph->name, info->dims[0], info->dims[1], info->dims[2]);
}

/* What the device cannot do is better said before anything is calculated. */
static int check_nodes(struct compiler *compiler)
{
	const struct xrnpe_graph *graph = compiler->graph;

	for (uint32_t n = 1; n < graph->count; n++) {
		const struct graph_node *node = &graph->nodes[n];
		uint64_t products = graph_node_macs(graph, node) / graph_shape_count(&node->shape);

		if (node->op == GRAPH_FLATTEN)
			return graph_fail(graph, node, compiler->error, -ENOTSUP,
					  "an image may be flattened only right before a Gemm");
		if (products > XRNPE_MAX_K)
			return graph_fail(graph, node, compiler->error, -ENOTSUP,
					  "sums %llu products; the device sums %d at most",
					  (unsigned long long)products, XRNPE_MAX_K);
	}
	return 0;
}

static int prepare(struct compiler *compiler)
{
	const struct xrnpe_graph *graph = compiler->graph;
	size_t inputs = compiler->options->calibration->dims[0];

	compiler->plan = calloc(graph->count, sizeof(*compiler->plan));
	if (!compiler->plan)
		return xrnpe_fail_memory(compiler->error);
	compiler->steps = (inputs < XRNPE_CALIBRATION_MAX ? inputs : XRNPE_CALIBRATION_MAX) +
			  COMPILE_CANDIDATES * (graph->count - 1);
	for (uint32_t n = 1; n < graph->count; n++) {
		const struct graph_node *node = &graph->nodes[n];
		struct node_plan *plan = &compiler->plan[n];

		plan->bias = node->bias;
		plan->chooses = node->op != GRAPH_MAXPOOL;
		if (plan->chooses)
			compiler->steps += (1u + (node->op == GRAPH_CONV) + lower_adds(node)) *
					   XRNPE_FORMAT_P16;
	}
	compiler->datapath = xrnpe_datapath_new(0, NULL);
	if (!compiler->datapath)
		return xrnpe_fail(compiler->error, -errno, "cannot start the datapath: %s",
				  strerror(errno));
	return 0;
}

/* Cycles of node @n's command, which writes the format that it reads. */
static double node_cycles(const struct compiler *compiler, uint32_t n, struct choice choice)
{
	const struct xrnpe_graph *graph = compiler->graph;
	const struct graph_node *node = &graph->nodes[n];
	const struct xrnpe_machine machine = XRNPE_MACHINE_DEFAULT;
	struct xrnpe_counters counters = { 0 };
	struct xrnpe_cmd cmd;

	lower_command(graph, node, &cmd);
	for (uint32_t k = 0; k < node->inputs; k++)
		lower_operand(&cmd, &graph->nodes[node->input[k]].shape, choice.input,
			      &cmd.operand[k]);
	lower_constants(node, &compiler->plan[n].weight[choice.weight], choice.weight, &cmd);
	lower_operand(&cmd, &node->shape, choice.input, &cmd.operand[XRNPE_OPERAND_OFM]);
	xrnpe_cmd_cost(&machine, &cmd, &counters);
	return (double)counters.cycles;
}

/*
 * What node @n may be run in; weights of one are in the format of the inputs. A node that
 * does not choose has one option, which is nothing.
 */
static void list_options(const struct compiler *compiler, uint32_t n,
			 struct option options[COMPILE_OPTIONS])
{
	const struct graph_node *node = &compiler->graph->nodes[n];
	const struct node_plan *plan = &compiler->plan[n];
	bool weights = node->op == GRAPH_CONV;

	for (unsigned int i = 0; i < COMPILE_OPTIONS; i++) {
		struct choice choice = compile_choice(i);

		if (!plan->chooses || (!weights && choice.weight != choice.input)) {
			options[i] = (struct option){ .effect = i ? INFINITY : 0 };
			continue;
		}
		options[i] = (struct option){
			.bytes = plan->weight[choice.weight].size +
				 lower_scale_count(node) * sizeof(struct xrnpe_scale),
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
	const struct graph_node *node = &compiler->graph->nodes[n];
	const struct xrnpe_machine machine = XRNPE_MACHINE_DEFAULT;
	unsigned int formats = lower_adds(node) ? COMPILE_FORMATS : 0;

	for (unsigned int i = 0; i < COMPILE_OPTIONS; i++)
		options[i] = (struct option){ .effect = i || formats ? INFINITY : 0 };
	for (unsigned int f = 0; f < formats; f++)
		options[compile_option(0, f)] = (struct option){
			.effect = compiler->plan[n].residual_loss[f].effect,
			.cycles = (double)quantize_tensor_size(&node->shape, f) / machine.bus_bytes,
		};
}

/*
 * Choices so that nodes take at most @budget bytes: of every node, then of what each of
 * them adds.
 */
static int choose(struct compiler *compiler, uint64_t budget, uint8_t *chosen, uint32_t *found)
{
	uint32_t count = compiler->graph->count;
	struct option (*options)[COMPILE_OPTIONS] = calloc(2 * (size_t)count, sizeof(*options));
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
	for (uint32_t n = 0; n < compiler->graph->count; n++) {
		bool weights = compiler->graph->nodes[n].op == GRAPH_CONV;

		chosen[n] = compile_option(weights ? XRNPE_FORMAT_FP4 : XRNPE_FORMAT_P8,
					   XRNPE_FORMAT_P8);
		chosen[compiler->graph->count + n] = compile_option(0, XRNPE_FORMAT_P8);
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
	uint32_t count = compiler->graph->count;
	int ret;

	for (uint32_t n = 0; n < count; n++) {
		compiler->plan[n].choice = compile_choice(chosen[n]);
		compiler->plan[n].residual = compile_choice(chosen[count + n]).input;
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
	return compiler->plan[compiler->graph->output].error * (double)cost.counters.cycles;
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
		int ret = try_choice(compiler, chosen + i * 2 * compiler->graph->count, &model, &bytes);

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
static int find_model(struct compiler *compiler, struct xrnpe_model **model)
{
	uint64_t budget = compiler->budget, left = budget, bytes;
	uint8_t *chosen = malloc((size_t)COMPILE_CANDIDATES * 2 * compiler->graph->count);
	bool smallest = false;
	uint32_t found = 1;
	int ret = chosen ? 0 : xrnpe_fail_memory(compiler->error);

	while (!ret && !*model) {
		ret = choose(compiler, left, chosen, &found);
		if (ret == -ENOSPC) {
			smallest = true;
			found = 1;
			choose_smallest(compiler, chosen);
		} else if (ret) {
			ret = xrnpe_fail_memory(compiler->error);
			break;
		}
		ret = try_choices(compiler, chosen, found, model, &bytes);
		if (!ret && !*model && smallest)
			ret = xrnpe_fail(compiler->error, -ENOSPC,
					 "%s: budget of %llu bytes is too small: the smallest formats need %llu",
					 compiler->graph->name, (unsigned long long)budget,
					 (unsigned long long)bytes);
		left = left > bytes - budget ? left - (bytes - budget) : 0;
	}
	free(chosen);
	return ret;
}

static void clean_up(struct compiler *compiler)
{
	for (uint32_t n = 0; compiler->plan && n < compiler->graph->count; n++) {
		struct node_plan *plan = &compiler->plan[n];

		free(plan->samples);
		free(plan->energy);
		for (unsigned int f = 0; f < COMPILE_FORMATS; f++)
			quantize_free(&plan->weight[f]);
	}
	free(compiler->plan);
	for (uint32_t i = 0; i < compiler->image_count; i++)
		reference_free(compiler->images[i]);
	free(compiler->images);
	xrnpe_datapath_free(compiler->datapath);
}

int xrnpe_compile(const struct xrnpe_graph *graph, const struct xrnpe_compile_options *options,
		  struct xrnpe_model **model, struct xrnpe_error *error)
{
	struct compiler compiler = {
		.graph = graph, .options = options, .error = error,
		.budget = options->budget ? options->budget : xrnpe_graph_bytes(graph) / 4,
	};
	struct xrnpe_model *made = NULL;
	int ret;

	ret = check_calibration(&compiler);
	if (!ret)
		ret = check_nodes(&compiler);
	if (!ret)
		ret = prepare(&compiler);
	if (!ret)
		ret = calibrate_run(&compiler);
	if (!ret)
		ret = calibrate_scales(&compiler);
	if (!ret)
		ret = measure_losses(&compiler);
	if (!ret)
		ret = find_model(&compiler, &made);
	if (!ret)
		ret = xrnpe_model_check(made, error);
	clean_up(&compiler);
	if (ret) {
		xrnpe_model_free(made);
		return ret;
	}
	*model = made;
	return 0;
}

// SPDX-License-Identifier: MIT
/* The compiler from end to end, and budgets. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "compile.h"
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
			  graph->count - 1;
	for (uint32_t n = 1; n < graph->count; n++) {
		const struct graph_node *node = &graph->nodes[n];
		struct node_plan *plan = &compiler->plan[n];

		plan->bias = node->bias;
		plan->chooses = node->op != GRAPH_MAXPOOL;
		if (plan->chooses)
			compiler->steps += COMPILE_FORMATS;
	}
	compiler->datapath = xrnpe_datapath_new(0, NULL);
	if (!compiler->datapath)
		return xrnpe_fail(compiler->error, -errno, "cannot start the datapath: %s",
				  strerror(errno));
	return 0;
}

/* Choose formats so that nodes take at most @budget bytes. */
static int choose(struct compiler *compiler, uint64_t budget)
{
	const struct xrnpe_graph *graph = compiler->graph;
	struct option (*options)[COMPILE_FORMATS] = calloc(graph->count, sizeof(*options));
	enum xrnpe_format *chosen = calloc(graph->count, sizeof(*chosen));
	uint32_t count = 0;
	int ret = -ENOMEM;

	for (uint32_t n = 0; options && n < graph->count; n++) {
		if (compiler->plan[n].chooses)
			memcpy(options[count++], compiler->plan[n].option, sizeof(*options));
	}
	if (options && chosen)
		ret = choose_formats((const struct option (*)[COMPILE_FORMATS])options, count, budget,
				     chosen);
	for (uint32_t n = graph->count; !ret && n--;) {
		if (compiler->plan[n].chooses)
			compiler->plan[n].format = chosen[--count];
	}
	free(options);
	free(chosen);
	return ret;
}

static uint64_t model_bytes(const struct xrnpe_model *model)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < model->layer_count; i++)
		bytes += model->layers[i].bytes;
	return bytes;
}

/* The formats that take least memory. */
static void choose_smallest(struct compiler *compiler)
{
	for (uint32_t n = 0; n < compiler->graph->count; n++) {
		struct node_plan *plan = &compiler->plan[n];

		plan->format = 0;
		for (unsigned int f = 1; f < COMPILE_FORMATS; f++) {
			if (plan->option[f].bytes < plan->option[plan->format].bytes)
				plan->format = f;
		}
	}
}

/*
 * Which conversions a choice needs, each with a scale, is known only when it is
 * lowered. So where it exceeds the budget by that, choose again with that less.
 */
static int choose_and_lower(struct compiler *compiler, struct xrnpe_model **model)
{
	uint64_t budget = compiler->budget, left = budget, bytes;
	bool smallest = false;

	for (;;) {
		int ret = smallest ? 0 : choose(compiler, left);

		if (ret == -ENOSPC) {
			smallest = true;
			choose_smallest(compiler);
		} else if (ret) {
			return xrnpe_fail_memory(compiler->error);
		}
		ret = lower_model(compiler, model);
		if (ret)
			return ret;
		bytes = model_bytes(*model);
		if (bytes <= budget)
			return 0;
		xrnpe_model_free(*model);
		*model = NULL;
		if (smallest)
			return xrnpe_fail(compiler->error, -ENOSPC,
					  "%s: budget of %llu bytes is too small: the smallest formats need %llu",
					  compiler->graph->name, (unsigned long long)budget,
					  (unsigned long long)bytes);
		left = left > bytes - budget ? left - (bytes - budget) : 0;
	}
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
		ret = measure_options(&compiler);
	if (!ret)
		ret = choose_and_lower(&compiler, &made);
	if (!ret)
		ret = tune_model(&compiler, made);
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

// SPDX-License-Identifier: MIT
/* The compiler from end to end, and budgets. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "compile.h"
#include "copy.h"
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

/* Whether a node of this kind reads numbers in a format of its own choice. */
static bool chooses(enum place_kind kind)
{
	return kind != PLACE_CPU && kind < PLACE_POOL;
}

/* A model has something to do for each output. */
static int check_outputs(struct compiler *compiler)
{
	const struct xrnpe_graph *graph = compiler->source;
	char name[64];

	for (uint32_t i = 0; i < graph->output_count; i++) {
		if (!graph->tensors[graph->outputs[i]].data && graph->node_count)
			continue;
		graph_printable(graph->tensors[graph->outputs[i]].name, name);
		return xrnpe_fail(compiler->error, -ENOTSUP,
				  "%s: output %s is always the same, or an input", graph->name, name);
	}
	return 0;
}

int compile_prepare(struct compiler *compiler)
{
	int ret = check_outputs(compiler);

	if (!ret)
		ret = place_nodes(compiler);
	if (!ret)
		ret = memory_share(compiler);
	if (!ret)
		ret = measure_find_ends(compiler);
	if (ret)
		return ret;
	for (uint32_t n = 0; n < compiler->graph->node_count; n++)
		compiler->nodes[n].chooses = chooses(compiler->nodes[n].place.kind);
	compiler->steps = calibrate_count(compiler) + measure_steps(compiler) +
			  COMPILE_CANDIDATES * (size_t)compiler->graph->node_count;
	compiler->datapath = xrnpe_datapath_new(0, NULL);
	if (!compiler->datapath)
		return xrnpe_fail(compiler->error, -errno, "cannot start the datapath: %s",
				  strerror(errno));
	return 0;
}

void compile_clean_up(struct compiler *compiler)
{
	uint32_t nodes = compiler->graph ? compiler->graph->node_count : 0;

	for (uint32_t n = 0; n < nodes; n++) {
		struct node_plan *plan = &compiler->nodes[n];

		place_free(&plan->place);
		free(plan->energy);
		for (unsigned int f = 0; f < COMPILE_FORMATS; f++)
			quantize_free(&plan->weight[f]);
	}
	for (uint32_t i = 0; compiler->tensors && i < compiler->graph->tensor_count; i++)
		free(compiler->tensors[i].samples);
	for (uint32_t i = 0; i < compiler->image_count; i++)
		reference_free(compiler->images[i]);
	free(compiler->images);
	free(compiler->nodes);
	free(compiler->tensors);
	free(compiler->ends);
	if (compiler->graph)
		copy_unshare(compiler->graph, compiler->source->tensor_count);
	xrnpe_graph_free(compiler->graph);
	xrnpe_datapath_free(compiler->datapath);
}

int xrnpe_compile(const struct xrnpe_graph *graph, const struct xrnpe_compile_options *options,
		  struct xrnpe_model **model, struct xrnpe_error *error)
{
	struct compiler compiler = {
		.source = graph, .options = options, .error = error,
		.budget = options->budget ? options->budget : xrnpe_graph_bytes(graph) / 4,
	};
	struct xrnpe_model *made = NULL;
	int ret;

	ret = calibrate_check(&compiler);
	if (!ret)
		ret = compile_prepare(&compiler);
	if (!ret)
		ret = choices_check_given(&compiler);
	if (!ret)
		ret = calibrate_run(&compiler);
	if (!ret)
		ret = calibrate_scales(&compiler);
	if (!ret)
		ret = measure_losses(&compiler);
	if (!ret)
		ret = choices_find_model(&compiler, &made);
	if (!ret)
		ret = xrnpe_model_check(made, error);
	compile_clean_up(&compiler);
	if (ret) {
		xrnpe_model_free(made);
		return ret;
	}
	*model = made;
	return 0;
}

// SPDX-License-Identifier: MIT
/* The compiler from end to end. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "copy.h"
#include "error.h"
#include "figures.h"
#include "trials.h"

/* Models that are made and measured before one is taken; how many is not known before. */
#define USUAL_TRIALS 4

int compile_step(struct compiler *compiler)
{
	const struct xrnpe_compile_options *options = compiler->options;

	if (compiler->step < compiler->steps)
		compiler->step++;
	if (options->progress &&
	    options->progress(options->progress_data, compiler->step, compiler->steps))
		return xrnpe_fail(compiler->error, -ECANCELED, "%s: stopped", compiler->graph->name);
	return 0;
}

void compile_note(const struct compiler *compiler, const char *format, ...)
{
	char text[XRNPE_ERROR_SIZE];
	va_list arguments;

	if (!compiler->options->note)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	compiler->options->note(compiler->options->note_data, text);
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
	compiler->steps = compiler->fitted_count + compiler->unseen_wanted + measure_steps(compiler) +
			  (USUAL_TRIALS + trials_wanted(compiler->options)) *
				  (compiler->graph->node_count + task_steps(compiler));
	return 0;
}

void compile_clean_up(struct compiler *compiler)
{
	uint32_t nodes = compiler->graph ? compiler->graph->node_count : 0;

	for (uint32_t n = 0; n < nodes; n++) {
		struct node_plan *plan = &compiler->nodes[n];

		place_free(&plan->place);
		free(plan->exact_means);
		for (unsigned int f = 0; f < COMPILE_FORMATS; f++)
			quantize_free(&plan->weight[f]);
	}
	for (uint32_t i = 0; compiler->tensors && i < compiler->graph->tensor_count; i++)
		free(compiler->tensors[i].samples);
	for (uint32_t i = 0; i < compiler->image_count + compiler->unseen_count; i++)
		reference_free(compiler->images[i]);
	for (uint32_t i = 0; i < compiler->more_count; i++)
		reference_free(compiler->more_images[i]);
	free(compiler->images);
	free(compiler->more_images);
	free(compiler->inputs);
	free(compiler->task.inputs);
	free(compiler->task.exact);
	free(compiler->nodes);
	free(compiler->tensors);
	free(compiler->ends);
	if (compiler->graph)
		copy_unshare(compiler->graph, compiler->source->tensor_count);
	xrnpe_graph_free(compiler->graph);
}

int xrnpe_compile(const struct xrnpe_graph *graph, const struct xrnpe_compile_options *options,
		  struct xrnpe_model **model, struct xrnpe_error *error)
{
	struct compiler compiler = {
		.source = graph, .options = options, .error = error,
	};
	struct xrnpe_model *made = NULL;
	int ret;

	if (options->energy)
		compiler.energy = *options->energy;
	else
		xrnpe_energy_init(&compiler.energy);
	ret = figures_check(&compiler.energy, error);
	if (!ret)
		ret = inputs_check(&compiler);
	if (!ret)
		ret = inputs_choose(&compiler);
	if (!ret)
		ret = compile_prepare(&compiler);
	if (!ret)
		ret = task_prepare(&compiler);
	if (!ret)
		ret = options_check_given(&compiler);
	if (!ret)
		ret = calibrate_run(&compiler);
	if (!ret)
		ret = scale_tensors(&compiler);
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

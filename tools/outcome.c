// SPDX-License-Identifier: MIT
/* What came of compiling, as a table and as JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "formats.h"
#include "outcome.h"
#include "points.h"
#include "quality.h"
#include "tensors.h"

/* ---- a table -------------------------------------------------------------- */

/* Colours tell the narrow formats from the wide ones: of the two the wider, which sets the speed. */
static const char *format_colour(const struct xrnpe_layer_info *layer)
{
	switch (layer->weight_format > layer->format ? layer->weight_format : layer->format) {
	case XRNPE_FORMAT_FP4:
	case XRNPE_FORMAT_P4:
		return "\033[32m";
	case XRNPE_FORMAT_P8:
		return "\033[33m";
	default:
		return "\033[31m";
	}
}

static void print_row(const struct xrnpe_layer_info *layer, const struct xrnpe_cost *cost,
		      int name_width, int op_width)
{
	bool colour = has_colour(stdout);
	char shape[64], formats[16];

	shape_text(layer->rank, layer->dims, shape, sizeof(shape));
	formats_text(layer, formats, sizeof(formats));
	printf("%-*s  %-*s  %11s  %10" PRIu64 "  %s%-10s%s  %8" PRIu64 "  %9" PRIu64
	       "  %9.2e\n", name_width, layer->name, op_width, layer->op, shape, layer->macs,
	       colour ? format_colour(layer) : "", formats, colour ? "\033[m" : "",
	       layer->bytes, (uint64_t)cost->counters.cycles, layer->error);
}

static void print_table(const struct outcome *outcome)
{
	const struct xrnpe_model *model = outcome->model;
	unsigned int count = xrnpe_model_layer_count(model);
	int name_width = 5, op_width = 9;

	for (unsigned int i = 0; i < count; i++) {
		name_width = wider(name_width, xrnpe_model_layer(model, i)->name);
		op_width = wider(op_width, xrnpe_model_layer(model, i)->op);
	}
	printf("%-*s  %-*s  %11s  %10s  %-10s  %8s  %9s  %9s\n", name_width, "layer",
	       op_width, "operators", "shape", "MACs", "formats", "bytes", "cycles", "error");
	for (unsigned int i = 0; i < count; i++)
		print_row(xrnpe_model_layer(model, i), &outcome->costs[i], name_width, op_width);
	for (unsigned int i = 0; i < count; i++) {
		const struct xrnpe_layer_info *layer = xrnpe_model_layer(model, i);

		if (layer->place == XRNPE_PLACE_CPU)
			printf("on the CPU: %s (%s), here %.3g ms: %s\n", layer->name, layer->op,
			       outcome->seconds[i] * 1e3, layer->why);
	}
}

/* What was tried, but for what another one beats in everything. */
static void print_trials(const struct xrnpe_model *model)
{
	printf("\n%9s  %9s  %9s  %9s%s\n", "bytes", "cycles", "uJ", "error",
	       xrnpe_model_task(model) ? "       lost" : "");
	for (unsigned int i = 0; i < xrnpe_model_trial_count(model); i++) {
		const struct xrnpe_trial *trial = xrnpe_model_trial(model, i);

		if (!trial->best && !trial->chosen)
			continue;
		printf("%9" PRIu64 "  %9.0f  %9.3f  %7.3f %%", trial->bytes, trial->cycles,
		       trial->picojoules / 1e6, 100 * trial->quality.error);
		if (trial->task.inputs)
			printf("  %7.2f %%", 100 * trial->task.loss);
		puts(trial->chosen ? "  *" : "");
	}
}

void outcome_print(const struct outcome *outcome)
{
	const struct xrnpe_model *model = outcome->model;

	print_table(outcome);
	printf("%s: %" PRIu64 " MACs, %" PRIu64 " cycles, %" PRIu64 " bytes of parameters",
	       outcome->path, outcome->macs, (uint64_t)outcome->total.counters.cycles, outcome->bytes);
	print_ratio(stdout, outcome->bytes, outcome->float_bytes, "FP32");
	printf("\n");
	print_quality(xrnpe_model_quality(model));
	print_task(stdout, xrnpe_model_task(model));
	if (outcome->shows_trials)
		print_trials(model);
	print_points(model, NULL, outcome->energy);
}

/* ---- JSON ----------------------------------------------------------------- */

/* Errors by format, of those that were measured. */
static void print_errors_json(const char *name, const double errors[4])
{
	const char *separator = "";

	printf(", \"%s\": {", name);
	for (unsigned int i = 0; i < 4; i++) {
		if (errors[i] < 0)
			continue;
		printf("%s\"%s\": %.9g", separator, xrnpe_format_name(i), errors[i]);
		separator = ", ";
	}
	printf("}");
}

static void print_layer_json(const struct outcome *outcome, unsigned int i)
{
	const struct xrnpe_layer_info *layer = xrnpe_model_layer(outcome->model, i);

	printf("{\"name\": ");
	json_string(stdout, layer->name);
	printf(", \"op\": ");
	json_string(stdout, layer->op);
	printf(", \"shape\": [");
	for (unsigned int k = 0; k < layer->rank; k++)
		printf(k ? ", %zu" : "%zu", layer->dims[k]);
	printf("], \"place\": \"%s\"", layer->place == XRNPE_PLACE_CPU ? "cpu" : "device");
	if (layer->place == XRNPE_PLACE_CPU) {
		printf(", \"why\": ");
		json_string(stdout, layer->why);
		printf(", \"cpu_ms\": %.6f", outcome->seconds[i] * 1e3);
	}
	printf(", \"cycles\": %" PRIu64, (uint64_t)outcome->costs[i].counters.cycles);
	printf(", \"macs\": %" PRIu64 ", \"format\": \"%s\", ", layer->macs,
	       xrnpe_format_name(layer->format));
	if (layer->float_bytes)
		printf("\"weight_format\": \"%s\", ", xrnpe_format_name(layer->weight_format));
	if (layer->added_format != layer->format)
		printf("\"added_format\": \"%s\", ", xrnpe_format_name(layer->added_format));
	printf("\"out_format\": \"%s\", \"bytes\": %" PRIu64 ", \"float_bytes\": %" PRIu64
	       ", \"error\": %.9g", xrnpe_format_name(layer->out_format), layer->bytes,
	       layer->float_bytes, layer->error);
	print_errors_json("weight_error", layer->weight_error);
	print_errors_json("input_error", layer->input_error);
	printf("}");
}

static void print_trials_json(const struct xrnpe_model *model)
{
	printf("\"trials\": [");
	for (unsigned int i = 0; i < xrnpe_model_trial_count(model); i++) {
		const struct xrnpe_trial *trial = xrnpe_model_trial(model, i);

		printf("%s{\"bytes\": %" PRIu64 ", \"cycles\": %.0f, \"picojoules\": %.9g, ",
		       i ? ",\n  " : "\n  ", trial->bytes, trial->cycles, trial->picojoules);
		print_quality_json(&trial->quality);
		print_task_json(trial->task.inputs ? &trial->task : NULL);
		printf("\"best\": %s, \"chosen\": %s, \"carried\": %s}", trial->best ? "true" : "false",
		       trial->chosen ? "true" : "false", trial->carried ? "true" : "false");
	}
	printf("], ");
}

/* Lines as strings. */
static void print_notes_json(const char *notes)
{
	char *lines = strdup(notes), *rest = lines;
	const char *separator = "";

	printf("\"notes\": [");
	for (; rest && *rest; separator = ", ") {
		fputs(separator, stdout);
		json_string(stdout, strsep(&rest, "\n"));
	}
	printf("], ");
	free(lines);
}

void outcome_print_json(const struct outcome *outcome)
{
	const struct xrnpe_model *model = outcome->model;

	printf("{\"model\": ");
	json_string(stdout, outcome->network);
	printf(", \"output\": ");
	json_string(stdout, outcome->path);
	printf(", \"macs\": %" PRIu64 ", \"cycles\": %" PRIu64 ", \"picojoules\": %.9g, \"bytes\": %" PRIu64
	       ", \"float_bytes\": %" PRIu64 ", ", outcome->macs,
	       (uint64_t)outcome->total.counters.cycles, outcome->total.picojoules, outcome->bytes,
	       outcome->float_bytes);
	print_quality_json(xrnpe_model_quality(model));
	print_task_json(xrnpe_model_task(model));
	print_notes_json(outcome->notes);
	print_trials_json(model);
	print_points_json(model, NULL, outcome->energy);
	printf("\"layers\": [");
	for (unsigned int i = 0; i < xrnpe_model_layer_count(model); i++) {
		printf(i ? ",\n  " : "\n  ");
		print_layer_json(outcome, i);
	}
	printf("]}\n");
}

// SPDX-License-Identifier: MIT
/* From losses to options: what each node may be run in, and what that costs. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "compile.h"
#include "cost.h"
#include "error.h"

/* What node @n's command takes, which writes the format that it reads. */
static struct option node_cost(const struct compiler *compiler, uint32_t n, struct choice choice)
{
	const struct node_plan *plan = &compiler->nodes[n];
	const struct image *output = &compiler->tensors[compile_output(compiler, n)].image;
	const struct xrnpe_counters counters = lower_cost(plan, output, choice);

	return (struct option){
		.cycles = (double)counters.cycles, .picojoules = xrnpe_energy_pj(&compiler->energy, &counters),
	};
}

/* How many nodes have a table of the operator of node @n, which they share if scales are the same. */
static uint64_t table_sharers(const struct compiler *compiler, uint32_t n)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < compiler->graph->node_count; i++)
		count += compiler->nodes[i].place.kind == PLACE_TABLE &&
			 compiler->graph->nodes[i].op == compiler->graph->nodes[n].op;
	return count;
}

/* Bytes of weights, of scales, and of constants that it reads as tensors. */
static uint64_t node_bytes(const struct compiler *compiler, uint32_t n, struct choice choice)
{
	const struct node_plan *plan = &compiler->nodes[n];
	uint64_t bytes = plan->weight[choice.weight].size +
			 plan->place.scale_count * (uint64_t)lower_scale_size(&plan->place);

	for (uint32_t k = 0; k < plan->place.read_count; k++) {
		if (compiler->graph->tensors[plan->place.reads[k].tensor].data)
			bytes += image_bytes(&plan->place.reads[k].image, choice.input);
	}
	return bytes;
}

bool options_allow(const struct compiler *compiler, uint32_t n, enum xrnpe_format input)
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

const struct xrnpe_layer_formats *options_given(const struct compiler *compiler, uint32_t n)
{
	return compiler->nodes[n].is_given ? &compiler->nodes[n].given : NULL;
}

/* Note what the caller gave for node @n. */
static void note_given(struct compiler *compiler, uint32_t n)
{
	const struct xrnpe_compile_options *options = compiler->options;
	struct node_plan *plan = &compiler->nodes[n];

	for (size_t i = 0; i < options->format_count; i++) {
		const char *layer = options->formats[i].layer;
		bool named = layer && !strcmp(layer, compiler->graph->nodes[n].name);

		if (!named && layer)
			continue;
		plan->given = options->formats[i];
		plan->is_given = true;
		if (named)
			return;
	}
}

enum xrnpe_format options_given_added(const struct xrnpe_layer_formats *given)
{
	return given->adds ? given->added : given->input;
}

/* Whether node @n may be run in @choice as far as the caller is concerned. */
static bool is_wanted(const struct compiler *compiler, uint32_t n, struct choice choice)
{
	const struct xrnpe_layer_formats *given = options_given(compiler, n);
	bool weights = compiler->nodes[n].place.kind == PLACE_WEIGHTS;

	return !given || (choice.input == given->input &&
			  (!weights || choice.weight == given->weight));
}

static bool is_node(const struct compiler *compiler, const char *name)
{
	for (uint32_t n = 0; n < compiler->graph->node_count; n++) {
		if (!strcmp(name, compiler->graph->nodes[n].name))
			return true;
	}
	return false;
}

/* The names of layers that formats can be given for, or of the first of them. */
static void list_layers(const struct compiler *compiler, char *text, size_t size)
{
	const char *separator = "";
	char name[64];
	size_t used = 0;

	*text = 0;
	for (uint32_t n = 0; n < compiler->graph->node_count; n++) {
		if (!compiler->nodes[n].chooses)
			continue;
		if (used + sizeof(name) + sizeof(", ...") > size) {
			snprintf(text + used, size - used, ", ...");
			return;
		}
		used += (size_t)snprintf(text + used, size - used, "%s%s", separator,
					 graph_printable(compiler->graph->nodes[n].name, name));
		separator = ", ";
	}
}

static int fail_layer(const struct compiler *compiler, const char *layer)
{
	char layers[512], text[64];

	list_layers(compiler, layers, sizeof(layers));
	return xrnpe_fail(compiler->error, -EINVAL,
			  "%s: has no layer %s, for which formats are given; it has %s",
			  compiler->graph->name, graph_printable(layer, text), layers);
}

/* Formats that node @n reads, as "p8, p16". */
static const char *list_formats(const struct compiler *compiler, uint32_t n, char text[32])
{
	*text = 0;
	for (unsigned int f = 0; f < COMPILE_FORMATS; f++) {
		if (options_allow(compiler, n, f))
			sprintf(text + strlen(text), "%s%s", *text ? ", " : "", xrnpe_format_name(f));
	}
	return text;
}

/* @wanted if node @n can read it, else the narrowest that it can. */
static enum xrnpe_format readable(const struct compiler *compiler, uint32_t n, enum xrnpe_format wanted)
{
	if (options_allow(compiler, n, wanted))
		return wanted;
	return options_allow(compiler, n, XRNPE_FORMAT_P8) ? XRNPE_FORMAT_P8 : XRNPE_FORMAT_P16;
}

/*
 * That node @n can read what is given for it. If that is given for all layers, it gets what it can
 * read instead, which *@changed tells.
 */
static int check_readable(struct compiler *compiler, uint32_t n, bool *changed)
{
	struct xrnpe_layer_formats *given = &compiler->nodes[n].given;
	enum xrnpe_format input = readable(compiler, n, given->input);
	enum xrnpe_format added = readable(compiler, n, options_given_added(given));
	char formats[32], text[64];

	*changed = input != given->input ||
		   (compile_adds(&compiler->nodes[n]) && added != options_given_added(given));
	if (!*changed)
		return 0;
	if (given->layer)
		return xrnpe_fail(compiler->error, -EINVAL, "%s: layer %s cannot read %s; it reads %s",
				  compiler->graph->name,
				  graph_printable(compiler->graph->nodes[n].name, text),
				  xrnpe_format_name(input == given->input ? given->added : given->input),
				  list_formats(compiler, n, formats));
	given->added = added;
	given->input = input;
	return 0;
}

int options_check_given(struct compiler *compiler)
{
	const struct xrnpe_compile_options *options = compiler->options;
	uint32_t count = 0, first = 0;
	bool changed;
	char text[64];

	for (size_t i = 0; i < options->format_count; i++) {
		const struct xrnpe_layer_formats *given = &options->formats[i];

		if ((unsigned int)given->weight >= COMPILE_FORMATS ||
		    (unsigned int)given->input >= COMPILE_FORMATS ||
		    (unsigned int)options_given_added(given) >= COMPILE_FORMATS)
			return xrnpe_fail(compiler->error, -EINVAL, "%s: layers multiply in fp4, p4, p8 and p16",
					  compiler->graph->name);
		if (given->layer && !is_node(compiler, given->layer))
			return fail_layer(compiler, given->layer);
	}
	for (uint32_t n = 0; n < compiler->graph->node_count; n++) {
		int ret;

		note_given(compiler, n);
		if (!compiler->nodes[n].is_given || !compiler->nodes[n].chooses)
			continue;
		ret = check_readable(compiler, n, &changed);
		if (ret)
			return ret;
		first = changed && !count ? n : first;
		count += changed;
	}
	if (count)
		compile_note(compiler, "formats: %u layer%s cannot read those given for all, %s first, and read p8 or p16",
			     count, count == 1 ? "" : "s",
			     graph_printable(compiler->graph->nodes[first].name, text));
	return 0;
}

/* ---- options ------------------------------------------------------------ */

void options_list(const struct compiler *compiler, uint32_t n, struct option options[COMPILE_OPTIONS])
{
	const struct node_plan *plan = &compiler->nodes[n];
	bool weights = plan->place.kind == PLACE_WEIGHTS;
	uint64_t sharers = table_sharers(compiler, n);

	for (unsigned int i = 0; i < COMPILE_OPTIONS; i++) {
		struct choice choice = compile_choice(i);

		if (!plan->chooses || (!weights && choice.weight != choice.input) ||
		    !options_allow(compiler, n, choice.input) || !is_wanted(compiler, n, choice)) {
			options[i] = (struct option){ .effect = i || plan->chooses ? INFINITY : 0 };
			continue;
		}
		options[i] = node_cost(compiler, n, choice);
		if (plan->place.kind == PLACE_TABLE) {
			options[i].whole = xrnpe_row_bytes(choice.input,
							   (size_t)1 << xrnpe_format_bits(choice.input));
			options[i].table = (options[i].whole + sharers - 1) / sharers;
		}
		options[i].bytes = node_bytes(compiler, n, choice) + options[i].table;
		options[i].effect = plan->input_loss[choice.input].effect +
				    (weights ? plan->weight_loss[choice.weight].effect : 0);
	}
}

void options_list_residual(const struct compiler *compiler, uint32_t n,
			   struct option options[COMPILE_OPTIONS])
{
	const struct xrnpe_machine machine = XRNPE_MACHINE_DEFAULT;
	const struct node_plan *plan = &compiler->nodes[n];
	unsigned int formats = compile_adds(plan) ? COMPILE_FORMATS : 0;

	for (unsigned int i = 0; i < COMPILE_OPTIONS; i++)
		options[i] = (struct option){ .effect = i || formats ? INFINITY : 0 };
	for (unsigned int f = 0; f < formats; f++) {
		const struct xrnpe_layer_formats *given = options_given(compiler, n);

		if (!options_allow(compiler, n, f) || (given && f != options_given_added(given)))
			continue;
		options[compile_option(0, f)] = (struct option){
			.effect = plan->residual_loss[f].effect,
			.cycles = (double)image_bytes(&plan->place.reads[1].image, f) /
				  machine.bus_bytes,
		};
	}
}

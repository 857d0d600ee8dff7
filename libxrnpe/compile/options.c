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

/* How many nodes have a table of the function of node @n, which they can share. */
static uint64_t table_sharers(const struct compiler *compiler, uint32_t n)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < compiler->graph->node_count; i++)
		count += compiler->nodes[i].place.kind == PLACE_TABLE &&
			 compiler->graph->nodes[i].op == compiler->graph->nodes[n].op;
	return count;
}

/* Bytes of weights, of its part of a table, of scales, and of constants that it reads as tensors. */
static uint64_t node_bytes(const struct compiler *compiler, uint32_t n, struct choice choice)
{
	const struct node_plan *plan = &compiler->nodes[n];
	uint64_t bytes = plan->weight[choice.weight].size +
			 plan->place.scale_count * (uint64_t)lower_scale_size(&plan->place);

	for (uint32_t k = 0; k < plan->place.read_count; k++) {
		if (compiler->graph->tensors[plan->place.reads[k].tensor].data)
			bytes += image_bytes(&plan->place.reads[k].image, choice.input);
	}
	if (plan->place.kind == PLACE_TABLE)
		bytes += xrnpe_row_bytes(choice.input, (size_t)1 << xrnpe_format_bits(choice.input)) /
			 table_sharers(compiler, n);
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

int options_check_given(struct compiler *compiler)
{
	const struct xrnpe_compile_options *options = compiler->options;
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
	/* Of all nodes, since those of all others are given to each. */
	for (uint32_t n = 0; n < compiler->graph->node_count; n++) {
		const struct xrnpe_layer_formats *given = options_given(compiler, n);
		const struct node_plan *plan = &compiler->nodes[n];
		enum xrnpe_format refused;

		if (!given || !plan->chooses)
			continue;
		refused = !options_allow(compiler, n, given->input) ? given->input :
			  compile_adds(plan) ? options_given_added(given) : given->input;
		if (!options_allow(compiler, n, refused))
			return xrnpe_fail(compiler->error, -EINVAL, "%s: layer %s cannot read %s",
					  compiler->graph->name,
					  graph_printable(compiler->graph->nodes[n].name, text),
					  xrnpe_format_name(refused));
	}
	return 0;
}

/* ---- options ------------------------------------------------------------ */

void options_list(const struct compiler *compiler, uint32_t n, struct option options[COMPILE_OPTIONS])
{
	const struct node_plan *plan = &compiler->nodes[n];
	bool weights = plan->place.kind == PLACE_WEIGHTS;

	for (unsigned int i = 0; i < COMPILE_OPTIONS; i++) {
		struct choice choice = compile_choice(i);

		if (!plan->chooses || (!weights && choice.weight != choice.input) ||
		    !options_allow(compiler, n, choice.input) || !is_wanted(compiler, n, choice)) {
			options[i] = (struct option){ .effect = i || plan->chooses ? INFINITY : 0 };
			continue;
		}
		options[i] = node_cost(compiler, n, choice);
		options[i].bytes = node_bytes(compiler, n, choice);
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

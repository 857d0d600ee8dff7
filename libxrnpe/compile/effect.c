// SPDX-License-Identifier: MIT
/*
 * What becomes of a node's error where the network ends: the nodes behind it are computed
 * with it, in binary32. That is for each node a good part of the network, so few inputs
 * have to do, and the fewer the more there is to compute.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "effect.h"

/* Most inputs, and sums of a product and such that all measurements together may take. */
#define MOST_IMAGES 12
#define MOST_WORK 1.6e11

struct effect {
	struct compiler *compiler;
	struct reference *rest;		/* the nodes behind; own tensors where they change */
	void **own;			/* rest's own tensors */
	bool *changes;			/* by tensor: depends on the node measured */
	struct squares *ends;		/* by end of the network */
};

void squares_add(struct squares *sum, const float *values, const float *reference, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		double error = (double)values[i] - reference[i];

		sum->errors += error * error;
		sum->values += (double)reference[i] * reference[i];
	}
}

void end_add(const struct compiler *compiler, uint32_t e, const float *values,
	     const float *reference, struct squares *sum)
{
	const struct end *end = &compiler->ends[e];
	size_t count = graph_count(&compiler->graph->tensors[end->tensor].shape);
	struct squares of_input = { 0 };

	squares_add(&of_input, values, reference, count);
	sum->errors += of_input.errors;
	/* That a probability of nothing is somewhat less or more is no error of all of it. */
	sum->values += end->probability ? fmax(of_input.values, (double)count) : of_input.values;
}

/* What is not finite, or so wrong that no other error counts beside it. */
#define WORST 1e30

double squares_relative(const struct squares *sum)
{
	double ratio = sum->values > 0 ? sum->errors / sum->values : sum->errors > 0;

	return ratio < WORST ? ratio : WORST;
}

void shifts_add(struct shift *shifts, const struct image *image, const float *outputs,
		const float *exact, double *means)
{
	size_t count = image_count(image);

	memset(means, 0, image->c * sizeof(*means));
	for (size_t i = 0; i < count; i++)
		means[image_channel(image, i)] += (double)outputs[i] - exact[i];
	for (uint32_t c = 0; c < image->c; c++) {
		double mean = means[c] / (double)image_pixels(image);

		shifts[c].sum += mean;
		shifts[c].squares += mean * mean;
	}
}

double shift_certain(const struct shift *shift, uint32_t inputs)
{
	double n = inputs, mean = shift->sum / n, spread, share;

	if (inputs < 2 || mean == 0)
		return 0;
	/*
	 * Of an estimate with a variance of v the part mean^2 / (mean^2 + v) is best; with the
	 * variance known but from n numbers, less (James and Stein, 1961).
	 */
	spread = fmax(shift->squares / n - mean * mean, 0) / (n - 1);
	share = 1 - (n + 1) / (n - 1) * spread / (mean * mean);
	return share > 0 ? share * mean : 0;
}

uint32_t effect_images(const struct compiler *compiler, size_t measurements)
{
	const struct xrnpe_graph *graph = compiler->graph;
	double work = 1, images;

	for (uint32_t n = 0; n < graph->node_count; n++)
		work += (double)graph_node_macs(graph, &graph->nodes[n]) +
			(double)graph_count(&graph_output(graph, &graph->nodes[n], 0)->shape);
	/* Half of the network lies behind the node that lies in the middle. */
	images = floor(2 * MOST_WORK / (work * (double)(measurements + 1)));
	images = fmin(fmax(images, 1), MOST_IMAGES);
	return images < compiler->image_count ? (uint32_t)images : compiler->image_count;
}

struct effect *effect_new(struct compiler *compiler)
{
	const struct xrnpe_graph *graph = compiler->graph;
	struct effect *effect = calloc(1, sizeof(*effect));

	if (!effect)
		return NULL;
	*effect = (struct effect){
		.compiler = compiler,
		.rest = reference_new(graph),
		.own = calloc(graph->tensor_count + 1, sizeof(*effect->own)),
		.changes = calloc(graph->tensor_count + 1, sizeof(*effect->changes)),
		.ends = calloc(compiler->end_count + 1, sizeof(*effect->ends)),
	};
	if (!effect->rest || !effect->own || !effect->changes || !effect->ends) {
		effect_free(effect);
		return NULL;
	}
	memcpy(effect->own, effect->rest->tensors, graph->tensor_count * sizeof(*effect->own));
	return effect;
}

void effect_free(struct effect *effect)
{
	if (!effect)
		return;
	reference_free(effect->rest);
	free(effect->own);
	free(effect->changes);
	free(effect->ends);
	free(effect);
}

struct reference *effect_reference(struct effect *effect)
{
	return effect->rest;
}

/* Find which tensors depend on the output of node @index. */
static void find_changes(struct effect *effect, uint32_t index)
{
	const struct xrnpe_graph *graph = effect->compiler->graph;

	memset(effect->changes, 0, graph->tensor_count * sizeof(*effect->changes));
	effect->changes[compile_output(effect->compiler, index)] = true;
	for (uint32_t n = index + 1; n < graph->node_count; n++) {
		const struct graph_node *node = &graph->nodes[n];
		bool changes = false;

		for (uint32_t k = 0; k < node->input_count; k++)
			changes |= node->inputs[k] != GRAPH_NONE && effect->changes[node->inputs[k]];
		for (uint32_t k = 0; changes && k < node->output_count; k++) {
			if (node->outputs[k] != GRAPH_NONE)
				effect->changes[node->outputs[k]] = true;
		}
	}
}

/* Whether node @n computes anything that changes. */
static bool node_changes(const struct effect *effect, uint32_t n)
{
	const struct graph_node *node = &effect->compiler->graph->nodes[n];

	for (uint32_t k = 0; k < node->output_count; k++) {
		if (node->outputs[k] != GRAPH_NONE && effect->changes[node->outputs[k]])
			return true;
	}
	return false;
}

double effect_measure(struct effect *effect, uint32_t n, float *outputs, uint32_t first,
		      uint32_t images)
{
	struct compiler *compiler = effect->compiler;
	const struct xrnpe_graph *graph = compiler->graph;
	uint32_t output = compile_output(compiler, n);
	size_t count = graph_count(&graph->tensors[output].shape);
	struct reference *rest = effect->rest;
	double sum = 0;

	memset(effect->ends, 0, compiler->end_count * sizeof(*effect->ends));
	find_changes(effect, n);
	for (uint32_t i = first; i < first + images; i++) {
		void **fp32 = compiler->images[i]->tensors;

		for (uint32_t t = 0; t < graph->tensor_count; t++)
			rest->tensors[t] = effect->changes[t] ? effect->own[t] : fp32[t];
		rest->tensors[output] = outputs + i * count;
		for (uint32_t behind = n + 1; behind < graph->node_count; behind++) {
			if (node_changes(effect, behind))
				reference_node(rest, behind);
		}
		for (uint32_t k = 0; k < compiler->end_count; k++) {
			uint32_t end = compiler->ends[k].tensor;

			end_add(compiler, k, rest->tensors[end], fp32[end], &effect->ends[k]);
		}
	}
	memcpy(rest->tensors, effect->own, graph->tensor_count * sizeof(*effect->own));
	for (uint32_t k = 0; k < compiler->end_count; k++)
		sum += squares_relative(&effect->ends[k]);
	return sum;
}

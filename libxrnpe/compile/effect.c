// SPDX-License-Identifier: MIT
/*
 * What becomes of a node's error where the network ends: the nodes behind it are computed
 * with it, in binary32. That is for each node a good part of the network, so few inputs
 * have to do, and the fewer the more there is to compute behind it: each node may take as
 * much, so that all of it grows with the network, not with its square.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "effect.h"
#include "operators/vectors.h"

/* Most inputs of a measurement; and nodes, of all inputs together, that it computes. */
#define MOST_IMAGES 12
#define MOST_NODES 96
/* Sums of a product and such that all measurements together may take. */
#define MOST_WORK 1.6e11

struct effect {
	struct compiler *compiler;
	struct reference *rest;		/* the nodes behind; own tensors where they change */
	void **own;			/* rest's own tensors */
	bool *changes;			/* by tensor: depends on the node measured */
	struct squares *ends;		/* by end of the network */
	double work;			/* that a measurement may take */
	double usual;			/* inputs, by MOST_WORK alone */
};

/* Sums are taken in so many parts, so that vectors do it; the order of terms is the same everywhere. */
#define PARTS 8

static double sum_parts(const double *parts)
{
	double sum = 0;

	for (uint32_t i = 0; i < PARTS; i++)
		sum += parts[i];
	return sum;
}

VECTORS
static void add_squares(struct squares *sum, const float *values, const float *reference, size_t count)
{
	double errors[PARTS] = { 0 }, squares[PARTS] = { 0 };
	size_t i = 0;

	for (; i + PARTS <= count; i += PARTS) {
		for (uint32_t k = 0; k < PARTS; k++) {
			double error = (double)values[i + k] - reference[i + k];

			errors[k] += error * error;
			squares[k] += (double)reference[i + k] * reference[i + k];
		}
	}
	for (; i < count; i++) {
		double error = (double)values[i] - reference[i];

		errors[0] += error * error;
		squares[0] += (double)reference[i] * reference[i];
	}
	sum->errors += sum_parts(errors);
	sum->values += sum_parts(squares);
}

void squares_add(struct squares *sum, const float *values, const float *reference, size_t count)
{
	add_squares(sum, values, reference, count);
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

/* The sum of @count values. */
VECTORS
static double sum_values(const float *values, size_t count)
{
	double sums[PARTS] = { 0 };
	size_t i = 0;

	for (; i + PARTS <= count; i += PARTS) {
		for (uint32_t k = 0; k < PARTS; k++)
			sums[k] += (double)values[i + k];
	}
	for (; i < count; i++)
		sums[0] += (double)values[i];
	return sum_parts(sums);
}

/* Add @count values to as many sums. */
VECTORS
static void add_values(const float *values, size_t count, double *sums)
{
	for (size_t i = 0; i < count; i++)
		sums[i] += (double)values[i];
}

void channel_means(const struct image *image, const float *values, double *means)
{
	size_t pixels = image_pixels(image);

	memset(means, 0, image->c * sizeof(*means));
	for (size_t p = 0; !image->first && p < pixels; p++)
		add_values(values + p * image->c, image->c, means);
	for (uint32_t c = 0; c < image->c; c++)
		means[c] = (image->first ? sum_values(values + c * pixels, pixels) : means[c]) /
			   (double)pixels;
}

void shifts_add(struct shift *shifts, uint32_t channels, const double *off)
{
	for (uint32_t c = 0; c < channels; c++) {
		shifts[c].sum += off[c];
		shifts[c].squares += off[c] * off[c];
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

/* What it takes to compute node @n. */
static double node_work(const struct xrnpe_graph *graph, uint32_t n)
{
	const struct graph_node *node = &graph->nodes[n];

	return (double)graph_node_macs(graph, node) +
	       (double)graph_count(&graph_output(graph, node, 0)->shape);
}

static double network_work(const struct xrnpe_graph *graph)
{
	double work = 1;

	for (uint32_t n = 0; n < graph->node_count; n++)
		work += node_work(graph, n);
	return work;
}

struct effect *effect_new(struct compiler *compiler, size_t measurements)
{
	const struct xrnpe_graph *graph = compiler->graph;
	double work = network_work(graph), most = MOST_WORK / ((double)measurements + 1);
	struct effect *effect = calloc(1, sizeof(*effect));

	if (!effect)
		return NULL;
	*effect = (struct effect){
		.compiler = compiler,
		.rest = reference_new(graph),
		.own = calloc(graph->tensor_count + 1, sizeof(*effect->own)),
		.changes = calloc(graph->tensor_count + 1, sizeof(*effect->changes)),
		.ends = calloc(compiler->end_count + 1, sizeof(*effect->ends)),
		.work = fmin(MOST_NODES * work / (graph->node_count + 1.0), most),
		/* A quarter of the network lies behind nodes of its second half. */
		.usual = fmax(floor(4 * most / work), 1),
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

uint32_t effect_images(struct effect *effect, uint32_t n)
{
	const struct compiler *compiler = effect->compiler;
	double work = 1, images;

	find_changes(effect, n);
	for (uint32_t behind = n + 1; behind < compiler->graph->node_count; behind++) {
		if (node_changes(effect, behind))
			work += node_work(compiler->graph, behind);
	}
	images = fmin(fmax(floor(effect->work / work), 1), MOST_IMAGES);
	return images < compiler->image_count ? (uint32_t)images : compiler->image_count;
}

uint32_t effect_turns(const struct effect *effect, uint32_t images, uint32_t each)
{
	return (uint32_t)fmax(fmin(images, effect->usual) / each, 1);
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
		rest->tensors[output] = outputs + (i - first) * count;
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

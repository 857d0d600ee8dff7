// SPDX-License-Identifier: MIT
/* Calibration: what values do tensors hold, and which scale suits each format? */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "error.h"

/* Values kept of a tensor, of all inputs together. */
#define MAX_SAMPLES 8192
/* Inputs whose tensors are kept whole, and the memory for that. */
#define MAX_IMAGES 48
#define MAX_IMAGE_BYTES ((size_t)256 << 20)

/* Sum of importance * (value - nearest representable)^2 at @scale. */
static double loss_at(enum xrnpe_format format, const float *values, const double *importance,
		      size_t count, float scale, float *scratch)
{
	float *rounded = scratch;
	void *codes = scratch + count;
	uint32_t status = 0;
	double loss = 0;

	for (size_t i = 0; i < count; i++)
		rounded[i] = values[i] / scale;
	xrnpe_encode_row(format, rounded, codes, count, &status);
	xrnpe_decode_row(format, codes, rounded, count);
	for (size_t i = 0; i < count; i++) {
		double error = (double)values[i] - (double)rounded[i] * scale;

		loss += error * error * (importance ? importance[i] : 1);
	}
	return loss;
}

float calibrate_scale(enum xrnpe_format format, const float *values, const double *importance,
		      size_t count, float *scratch)
{
	double square = 0, rms, best = 0, least = INFINITY;
	size_t nonzero = 0;

	for (size_t i = 0; i < count; i++) {
		square += (double)values[i] * values[i];
		nonzero += values[i] != 0;
	}
	rms = nonzero ? sqrt(square / (double)nonzero) : 0;
	/* Leave room for quotients of scales within binary32. */
	if (rms < 1e-15 || rms > 1e15)
		return rms > 1e15 ? 1e15f : 1;

	/*
	 * The unit where the format is finest lies somewhere about the values' size.
	 * Look in steps of half an octave, then more closely about the best.
	 */
	for (int i = -12; i <= 8; i++) {
		double loss = loss_at(format, values, importance, count,
				      (float)(rms * exp2(i / 2.0)), scratch);

		if (loss < least) {
			least = loss;
			best = i / 2.0;
		}
	}
	for (double step = 0.25; step > 0.05; step /= 2) {
		double centre = best;

		for (int side = -1; side <= 1; side += 2) {
			double loss = loss_at(format, values, importance, count,
					      (float)(rms * exp2(centre + side * step)), scratch);

			if (loss < least) {
				least = loss;
				best = centre + side * step;
			}
		}
	}
	return (float)(rms * exp2(best));
}

/* ---- sampling ---------------------------------------------------------- */

/* A fixed sequence that looks random, so that results can be repeated. */
static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static void sample_tensor(struct node_plan *plan, const struct graph_shape *shape,
			  const float *values, uint32_t quota, uint32_t *random)
{
	size_t count = graph_shape_count(shape), pixels = (size_t)shape->h * shape->w;

	for (size_t i = 0; i < count; i++)
		plan->energy[i / pixels] += (double)values[i] * values[i];
	for (uint32_t i = 0; i < quota; i++) {
		float value = values[count <= quota ? i % count : next_random(random) % count];

		/* Every format holds zero exactly. */
		if (value != 0)
			plan->samples[plan->sample_count++] = value;
		if (count <= quota && i + 1 == count)
			break;
	}
}

static int check_tensors(struct compiler *compiler, const struct reference *ref, size_t image)
{
	const struct xrnpe_graph *graph = compiler->graph;

	for (uint32_t n = 0; n < graph->count; n++) {
		const struct graph_node *node = &graph->nodes[n];
		size_t count = graph_shape_count(&node->shape);

		for (size_t i = 0; i < count; i++) {
			if (isfinite(ref->tensors[n][i]))
				continue;
			return graph_fail(graph, node, compiler->error, -EINVAL,
					  "calibration input %zu gives a value that is not finite",
					  image);
		}
	}
	return 0;
}

static size_t image_bytes(const struct xrnpe_graph *graph)
{
	size_t bytes = 1;

	for (uint32_t i = 0; i < graph->count; i++)
		bytes += graph_shape_count(&graph->nodes[i].shape) * sizeof(float);
	return bytes;
}

static size_t input_count(const struct compiler *compiler)
{
	size_t count = compiler->options->calibration->dims[0];

	return count < XRNPE_CALIBRATION_MAX ? count : XRNPE_CALIBRATION_MAX;
}

/* Sample input @index into all plans. A kept input has a reference of its own. */
static int sample_input(struct compiler *compiler, struct reference *ref, size_t index,
			uint32_t *random)
{
	const struct xrnpe_array *inputs = compiler->options->calibration;
	const struct xrnpe_graph *graph = compiler->graph;
	size_t size = graph->input_info.count;
	int ret;

	memcpy(ref->tensors[0], inputs->data + index * size, size * sizeof(float));
	reference_run(ref);
	ret = check_tensors(compiler, ref, index);
	for (uint32_t n = 0; !ret && n < graph->count; n++)
		sample_tensor(&compiler->plan[n], &graph->nodes[n].shape, ref->tensors[n],
			      (uint32_t)(MAX_SAMPLES / input_count(compiler)), random);
	return ret ? ret : compile_step(compiler);
}

int calibrate_run(struct compiler *compiler)
{
	const struct xrnpe_graph *graph = compiler->graph;
	size_t count = input_count(compiler);
	size_t keep = MAX_IMAGE_BYTES / image_bytes(graph);
	struct reference *spare;
	uint32_t random = 1;
	int ret = 0;

	keep = keep < 1 ? 1 : keep > MAX_IMAGES ? MAX_IMAGES : keep;
	keep = keep > count ? count : keep;
	for (uint32_t n = 0; n < graph->count; n++) {
		struct node_plan *plan = &compiler->plan[n];

		plan->energy = calloc(graph->nodes[n].shape.c, sizeof(*plan->energy));
		plan->samples = malloc(MAX_SAMPLES * sizeof(*plan->samples));
		if (!plan->energy || !plan->samples)
			return xrnpe_fail_memory(compiler->error);
	}
	compiler->images = calloc(keep, sizeof(*compiler->images));
	spare = compiler->images ? reference_new(graph) : NULL;
	if (!spare)
		return xrnpe_fail_memory(compiler->error);
	for (size_t i = 0; !ret && i < count; i++) {
		struct reference *ref = spare;

		if (i < keep) {
			ref = reference_new(graph);
			if (!ref) {
				ret = xrnpe_fail_memory(compiler->error);
				break;
			}
			compiler->images[compiler->image_count++] = ref;
		}
		ret = sample_input(compiler, ref, i, &random);
	}
	reference_free(spare);
	return ret;
}

/* ---- scales ------------------------------------------------------------ */

int calibrate_scales(struct compiler *compiler)
{
	const struct xrnpe_graph *graph = compiler->graph;
	float *scratch = malloc(2 * MAX_SAMPLES * sizeof(*scratch));

	if (!scratch)
		return xrnpe_fail_memory(compiler->error);
	for (uint32_t n = 0; n < graph->count; n++) {
		const struct graph_node *node = &graph->nodes[n];
		struct node_plan *plan = &compiler->plan[n];

		plan->root = n;
		if (node->op == GRAPH_MAXPOOL) {
			/* The device takes the largest code as it is. */
			plan->root = compiler->plan[node->input[0]].root;
			memcpy(plan->scale, compiler->plan[plan->root].scale, sizeof(plan->scale));
			continue;
		}
		for (unsigned int f = 0; f < COMPILE_FORMATS; f++)
			plan->scale[f] = calibrate_scale(f, plan->samples, NULL, plan->sample_count,
							 scratch);
	}
	free(scratch);
	return 0;
}

// SPDX-License-Identifier: MIT
/* Calibration: what values do tensors hold, and which scale suits each format? */
#include <errno.h>
#include <math.h>
#include <stdio.h>
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

/* ---- the data ---------------------------------------------------------- */

/* How many inputs of @info's shape @array has; 0: its shape is another. */
static size_t count_inputs(const struct xrnpe_array *array, const struct xrnpe_tensor_info *info)
{
	unsigned int rank = info->rank;
	bool batch = rank && info->dims[0] == 1;
	size_t skip = array->rank == rank + 1;

	if (array->rank != rank && !skip)
		return 0;
	for (unsigned int i = !skip && batch; i < rank; i++) {
		if (array->dims[i + skip] != info->dims[i])
			return 0;
	}
	return skip || batch ? array->dims[0] : 1;
}

/* "N x 3 x 32 x 32". */
static void wanted_text(const struct xrnpe_tensor_info *info, char *text, size_t size)
{
	size_t used = (size_t)snprintf(text, size, "N");

	for (unsigned int i = info->rank && info->dims[0] == 1; i < info->rank && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, " x %zu", info->dims[i]);
}

int calibrate_check(struct compiler *compiler)
{
	const struct xrnpe_graph *graph = compiler->source;
	size_t known = 0;
	char text[160], name[64];

	for (uint32_t i = 0; i < graph->input_count; i++) {
		const struct xrnpe_tensor_info *info = &graph->infos[i];
		size_t count = count_inputs(&compiler->options->calibration[i], info);

		wanted_text(info, text, sizeof(text));
		graph_printable(info->name, name);
		if (!count && graph->input_count == 1)
			return xrnpe_fail(compiler->error, -EINVAL,
					  "%s: calibration data are not of shape %s", graph->name, text);
		if (!count)
			return xrnpe_fail(compiler->error, -EINVAL,
					  "%s: calibration data of %s are not of shape %s", graph->name,
					  name, text);
		if (i && count != known)
			return xrnpe_fail(compiler->error, -EINVAL,
					  "%s: calibration data have %zu of %s, but %zu of the inputs before",
					  graph->name, count, name, known);
		known = count;
	}
	return 0;
}

size_t calibrate_count(const struct compiler *compiler)
{
	size_t count = count_inputs(compiler->options->calibration, &compiler->source->infos[0]);

	return count < XRNPE_CALIBRATION_MAX ? count : XRNPE_CALIBRATION_MAX;
}

/* ---- sampling ---------------------------------------------------------- */

/* A fixed sequence that looks random, so that results can be repeated. */
static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static void sample_tensor(struct tensor_plan *plan, const float *values, uint32_t quota,
			  uint32_t *random)
{
	size_t count = image_count(&plan->image);

	for (uint32_t i = 0; i < quota; i++) {
		float value = values[count <= quota ? i % count : next_random(random) % count];

		/* Every format holds zero exactly. */
		if (value != 0)
			plan->samples[plan->sample_count++] = value;
		if (count <= quota && i + 1 == count)
			break;
	}
}

/* What node @n multiplies. */
static void add_energy(struct node_plan *plan, const struct reference *ref)
{
	const struct place_read *read = &plan->place.reads[0];
	const float *values = plan->energy ? ref->tensors[read->tensor] : NULL;

	for (size_t i = 0; values && i < image_count(&read->image); i++)
		plan->energy[image_channel(&read->image, i)] += (double)values[i] * values[i];
}

static int check_values(struct compiler *compiler, const struct graph_node *node, uint32_t tensor,
			const struct reference *ref, size_t image)
{
	const struct xrnpe_graph *graph = compiler->graph;
	size_t count = graph_count(&graph->tensors[tensor].shape);
	const float *values = ref->tensors[tensor];
	char name[64];

	for (size_t i = 0; graph->tensors[tensor].type == GRAPH_FLOAT && i < count; i++) {
		if (isfinite(values[i]))
			continue;
		if (node)
			return graph_fail(graph, node, compiler->error, -EINVAL,
					  "calibration input %zu gives a value that is not finite",
					  image);
		graph_printable(graph->tensors[tensor].name, name);
		return xrnpe_fail(compiler->error, -EINVAL,
				  "%s: calibration input %zu of %s has a value that is not finite",
				  graph->name, image, name);
	}
	return 0;
}

/* That values are finite that come in, or that the device would have to hold. */
static int check_tensors(struct compiler *compiler, const struct reference *ref, size_t image)
{
	const struct xrnpe_graph *graph = compiler->graph;
	int ret = 0;

	for (uint32_t i = 0; !ret && i < graph->input_count; i++)
		ret = check_values(compiler, NULL, graph->inputs[i], ref, image);
	for (uint32_t n = 0; !ret && n < graph->node_count; n++) {
		const struct graph_node *node = &graph->nodes[n];

		for (uint32_t k = 0; !ret && k < node->output_count; k++) {
			if (node->outputs[k] != GRAPH_NONE &&
			    compiler->tensors[node->outputs[k]].samples)
				ret = check_values(compiler, node, node->outputs[k], ref, image);
		}
	}
	return ret;
}

static size_t image_bytes_of(const struct xrnpe_graph *graph)
{
	size_t bytes = 1;

	for (uint32_t i = 0; i < graph->tensor_count; i++) {
		if (!graph->tensors[i].data)
			bytes += graph_count(&graph->tensors[i].shape) *
				 graph_type_size(graph->tensors[i].type);
	}
	return bytes;
}

/* Sample input @index into all plans. A kept input has a reference of its own. */
static int sample_input(struct compiler *compiler, struct reference *ref, size_t index,
			uint32_t *random)
{
	const struct xrnpe_graph *graph = compiler->graph;
	uint32_t quota = (uint32_t)(MAX_SAMPLES / calibrate_count(compiler));
	char name[64];
	int ret;

	for (uint32_t i = 0; i < graph->input_count; i++) {
		const struct xrnpe_tensor_info *info = &compiler->source->infos[i];

		if (!reference_set(ref, graph->inputs[i],
				   compiler->options->calibration[i].data + index * info->count))
			continue;
		graph_printable(info->name, name);
		return xrnpe_fail(compiler->error, -EINVAL, "%s: input %s: takes integers or truths",
				  graph->name, name);
	}
	reference_run(ref);
	ret = check_tensors(compiler, ref, index);
	for (uint32_t i = 0; !ret && i < graph->tensor_count; i++) {
		if (compiler->tensors[i].samples && ref->tensors[i])
			sample_tensor(&compiler->tensors[i], ref->tensors[i], quota, random);
	}
	for (uint32_t n = 0; !ret && n < graph->node_count; n++)
		add_energy(&compiler->nodes[n], ref);
	return ret ? ret : compile_step(compiler);
}

int calibrate_run(struct compiler *compiler)
{
	const struct xrnpe_graph *graph = compiler->graph;
	size_t count = calibrate_count(compiler);
	size_t keep = MAX_IMAGE_BYTES / image_bytes_of(graph);
	struct reference *spare;
	uint32_t random = 1;
	int ret = 0;

	keep = keep < 1 ? 1 : keep > MAX_IMAGES ? MAX_IMAGES : keep;
	keep = keep > count ? count : keep;
	for (uint32_t i = 0; i < graph->tensor_count; i++) {
		struct tensor_plan *plan = &compiler->tensors[i];

		/* Others the device never sees. */
		if (!plan->image.c || graph->tensors[i].data)
			continue;
		plan->samples = malloc(MAX_SAMPLES * sizeof(*plan->samples));
		if (!plan->samples)
			return xrnpe_fail_memory(compiler->error);
	}
	for (uint32_t n = 0; n < graph->node_count; n++) {
		struct node_plan *plan = &compiler->nodes[n];

		if (plan->place.kind != PLACE_WEIGHTS)
			continue;
		plan->energy = calloc(plan->place.reads[0].image.c, sizeof(*plan->energy));
		if (!plan->energy)
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
	float *scratch = malloc(2 * MAX_SAMPLES * sizeof(*scratch));

	if (!scratch)
		return xrnpe_fail_memory(compiler->error);
	for (uint32_t i = 0; i < compiler->graph->tensor_count; i++) {
		struct tensor_plan *plan = &compiler->tensors[i];

		for (unsigned int f = 0; plan->samples && plan->root == i && f < COMPILE_FORMATS; f++)
			plan->scale[f] = calibrate_scale(f, plan->samples, NULL, plan->sample_count,
							 scratch);
	}
	for (uint32_t i = 0; i < compiler->graph->tensor_count; i++)
		memcpy(compiler->tensors[i].scale, compiler->tensors[compiler->tensors[i].root].scale,
		       sizeof(compiler->tensors[i].scale));
	free(scratch);
	return 0;
}

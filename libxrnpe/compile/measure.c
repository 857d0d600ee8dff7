// SPDX-License-Identifier: MIT
/*
 * What does the network lose when one node's weights, or its inputs, are rounded to a
 * format? Products and sums are exact on the device, so that rounding is all there is:
 * the node is computed in binary32 with rounded numbers, for the kept calibration
 * inputs, and so is what follows it. Weights are measured with exact inputs and inputs
 * with exact weights: for small errors the effects of the two add up, so that a pair of
 * formats needs no measurement of its own.
 */
#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "error.h"
#include "threads.h"

/* What is rounded: weights, inputs (of a product only what it multiplies), what it adds. */
enum part {
	WEIGHTS,
	INPUTS,
	RESIDUAL,
};

/* One measurement; in P8, then in P16 too. */
struct job {
	uint32_t node;
	enum part part;
	enum xrnpe_format format;
};

struct measuring {
	struct compiler *compiler;
	struct job *jobs;
	size_t count;
	atomic_size_t next, done;
	atomic_bool stop, no_memory;
	/* The caller's alone: jobs reported, and what the progress callback said. */
	size_t reported;
	int ret;
};

/* Sums of squares: of errors, and of what they are errors of. */
struct squares {
	double errors, values;
};

/* What a thread works with; it holds a layer's outputs for all kept inputs. */
#define MAX_BENCHES 16

struct bench {
	struct compiler *compiler;
	struct reference *rest;		/* the nodes behind; own tensors where they change */
	void **own;			/* rest's own tensors */
	void **tensors;			/* those that the node measured reads and writes */
	bool *changes;			/* by tensor: depends on the node measured */
	float *linear;			/* the node's FP32 output before activation */
	float *outputs;			/* with rounding, for all inputs */
	float *inputs[PLACE_READS];	/* rounded */
	float *weight;			/* rounded */
	double *means;			/* by channel: what the outputs are off */
	struct squares *ends;		/* by end of the network: errors there */
};

static const struct image *output_image(const struct compiler *compiler, uint32_t n)
{
	return &compiler->tensors[compile_output(compiler, n)].image;
}

void measure_linear(struct reference *ref, const struct graph_node *node, void **tensors,
		    const float *added, float *out)
{
	size_t count = graph_count(&ref->graph->tensors[node->outputs[0]].shape);

	tensors[node->outputs[0]] = out;
	reference_compute(ref, node, tensors);
	for (size_t i = 0; added && i < count; i++)
		out[i] += added[i];
}

/* Round tensor @tensor as the job says; its values are @exact. */
static float *round_tensor(struct bench *bench, const struct job *job, uint32_t k, const void *exact)
{
	const struct tensor_plan *plan =
		&bench->compiler->tensors[bench->compiler->nodes[job->node].place.reads[k].tensor];

	quantize_round(job->format, plan->scale[job->format], exact, image_count(&plan->image),
		       bench->inputs[k]);
	return bench->inputs[k];
}

/* Round in bench->tensors and @added what the job says; all are exact. */
static void round_part(struct bench *bench, const struct job *job, const float **added)
{
	const struct node_plan *plan = &bench->compiler->nodes[job->node];
	uint32_t inputs = plan->place.read_count - compile_adds(plan);
	float *rounded[PLACE_READS];

	switch (job->part) {
	case WEIGHTS:
		bench->tensors[plan->place.weights.tensor] = bench->weight;
		break;
	case RESIDUAL:
		*added = round_tensor(bench, job, 1, *added);
		break;
	case INPUTS:
		for (uint32_t k = 0; k < inputs; k++)
			rounded[k] = round_tensor(bench, job, k,
						  bench->tensors[plan->place.reads[k].tensor]);
		for (uint32_t k = 0; k < inputs; k++)
			bench->tensors[plan->place.reads[k].tensor] = rounded[k];
		break;
	}
}

/* Outputs of the node before activation, and by how much channels are off on average. */
static void run_rounded(struct bench *bench, const struct job *job)
{
	struct compiler *compiler = bench->compiler;
	const struct graph_node *node = &compiler->graph->nodes[job->node];
	const struct node_plan *plan = &compiler->nodes[job->node];
	const struct image *image = output_image(compiler, job->node);
	size_t count = image_count(image);

	if (job->part == WEIGHTS)
		quantize_restore(&plan->place.weights, &plan->weight[job->format], job->format,
				 bench->weight);
	memset(bench->means, 0, image->c * sizeof(*bench->means));
	for (uint32_t i = 0; i < compiler->image_count; i++) {
		void **fp32 = compiler->images[i]->tensors;
		const float *added = node->residual ? fp32[node->inputs[node->input_count - 1]] : NULL;
		float *out = bench->outputs + i * count;

		memcpy(bench->tensors,  fp32, compiler->graph->tensor_count * sizeof(*bench->tensors));
		measure_linear(bench->rest, node, bench->tensors, added, bench->linear);
		round_part(bench, job, &added);
		measure_linear(bench->rest, node, bench->tensors, added, out);
		for (size_t k = 0; k < count; k++)
			bench->means[image_channel(image, k)] += (double)out[k] - bench->linear[k];
	}
	for (uint32_t c = 0; c < image->c; c++)
		bench->means[c] /= (double)image_pixels(image) * compiler->image_count;
}

static void add_squares(const float *values, const float *reference, size_t count,
			struct squares *sum)
{
	for (size_t i = 0; i < count; i++) {
		double error = (double)values[i] - reference[i];

		sum->errors += error * error;
		sum->values += (double)reference[i] * reference[i];
	}
}

/* Where all is zero there is nothing to lose, or everything. */
static double relative(const struct squares *sum)
{
	return sum->values > 0 ? sum->errors / sum->values : sum->errors > 0;
}

/* Complete bench->outputs, whose biases tune.c will correct in the same way; their error. */
static double node_error(struct bench *bench, uint32_t index)
{
	struct compiler *compiler = bench->compiler;
	bool corrected = compiler->nodes[index].place.kind == PLACE_WEIGHTS;
	const struct image *image = output_image(compiler, index);
	size_t count = image_count(image);
	struct squares sum = { 0 };

	for (uint32_t i = 0; i < compiler->image_count; i++) {
		float *output = bench->outputs + i * count;

		for (size_t k = 0; corrected && k < count; k++)
			output[k] -= (float)bench->means[image_channel(image, k)];
		reference_activate(&compiler->graph->nodes[index].activation, output, count);
		add_squares(output, compiler->images[i]->tensors[compile_output(compiler, index)],
			    count, &sum);
	}
	return sqrt(relative(&sum));
}

/* Find which tensors depend on the output of node @index. */
static void find_changes(struct bench *bench, uint32_t index)
{
	const struct xrnpe_graph *graph = bench->compiler->graph;

	memset(bench->changes, 0, graph->tensor_count * sizeof(*bench->changes));
	bench->changes[compile_output(bench->compiler, index)] = true;
	for (uint32_t n = index + 1; n < graph->node_count; n++) {
		const struct graph_node *node = &graph->nodes[n];
		bool changes = false;

		for (uint32_t k = 0; k < node->input_count; k++)
			changes |= node->inputs[k] != GRAPH_NONE && bench->changes[node->inputs[k]];
		for (uint32_t k = 0; changes && k < node->output_count; k++) {
			if (node->outputs[k] != GRAPH_NONE)
				bench->changes[node->outputs[k]] = true;
		}
	}
}

/* Whether node @n computes anything that changes. */
static bool node_changes(const struct bench *bench, uint32_t n)
{
	const struct graph_node *node = &bench->compiler->graph->nodes[n];

	for (uint32_t k = 0; k < node->output_count; k++) {
		if (node->outputs[k] != GRAPH_NONE && bench->changes[node->outputs[k]])
			return true;
	}
	return false;
}

/* What becomes of the error of bench->outputs where the network ends: of all its outputs. */
static double network_effect(struct bench *bench, uint32_t index)
{
	struct compiler *compiler = bench->compiler;
	const struct xrnpe_graph *graph = compiler->graph;
	size_t count = image_count(output_image(compiler, index));
	struct reference *rest = bench->rest;
	double effect = 0;

	memset(bench->ends, 0, compiler->end_count * sizeof(*bench->ends));
	find_changes(bench, index);
	for (uint32_t i = 0; i < compiler->image_count; i++) {
		void **fp32 = compiler->images[i]->tensors;

		for (uint32_t t = 0; t < graph->tensor_count; t++)
			rest->tensors[t] = bench->changes[t] ? bench->own[t] : fp32[t];
		rest->tensors[compile_output(compiler, index)] = bench->outputs + i * count;
		for (uint32_t n = index + 1; n < graph->node_count; n++) {
			if (node_changes(bench, n))
				reference_node(rest, n);
		}
		for (uint32_t k = 0; k < compiler->end_count; k++) {
			uint32_t end = compiler->ends[k];

			add_squares(rest->tensors[end], fp32[end],
				    graph_count(&graph->tensors[end].shape), &bench->ends[k]);
		}
	}
	memcpy(rest->tensors, bench->own, graph->tensor_count * sizeof(*bench->own));
	for (uint32_t k = 0; k < compiler->end_count; k++)
		effect += relative(&bench->ends[k]);
	return effect;
}

static int measure(struct bench *bench, const struct job *job)
{
	struct compiler *compiler = bench->compiler;
	struct node_plan *plan = &compiler->nodes[job->node];
	struct loss *const losses[] = {
		[WEIGHTS] = plan->weight_loss, [INPUTS] = plan->input_loss,
		[RESIDUAL] = plan->residual_loss,
	};
	struct loss *loss = &losses[job->part][job->format];

	if (plan->place.weights.out_c &&
	    job->part == (plan->place.kind == PLACE_WEIGHTS ? WEIGHTS : INPUTS) &&
	    quantize_node(compiler, job->node, job->format))
		return -ENOMEM;
	run_rounded(bench, job);
	loss->error = node_error(bench, job->node);
	if (job->format == XRNPE_FORMAT_P16) {
		/* So small an error that it passes on in proportion, as that of P8 did. */
		double ratio = loss[-1].error > 0 ? loss->error / loss[-1].error : 0;

		loss->effect = loss[-1].effect * ratio * ratio;
		return 0;
	}
	loss->effect = network_effect(bench, job->node);
	if (job->format + 1 < XRNPE_FORMAT_P16)
		return 0;
	return measure(bench, &(struct job){ job->node, job->part, XRNPE_FORMAT_P16 });
}

static void bench_free(struct bench *bench)
{
	reference_free(bench->rest);
	free(bench->own);
	free(bench->tensors);
	free(bench->changes);
	free(bench->linear);
	free(bench->outputs);
	free(bench->inputs[0]);
	free(bench->inputs[1]);
	free(bench->weight);
	free(bench->means);
	free(bench->ends);
}

static int bench_prepare(struct bench *bench, struct compiler *compiler)
{
	const struct xrnpe_graph *graph = compiler->graph;
	size_t largest = 1, weights = 1, channels = 1, tensors = graph->tensor_count;

	for (uint32_t i = 0; i < tensors; i++) {
		const struct image *image = &compiler->tensors[i].image;

		largest = image_count(image) > largest ? image_count(image) : largest;
		channels = image->c > channels ? image->c : channels;
		if (graph->tensors[i].data && graph_count(&graph->tensors[i].shape) > weights)
			weights = graph_count(&graph->tensors[i].shape);
	}
	*bench = (struct bench){
		.compiler = compiler,
		.rest = reference_new(graph),
		.own = calloc(tensors, sizeof(*bench->own)),
		.tensors = calloc(tensors, sizeof(*bench->tensors)),
		.changes = calloc(tensors, sizeof(*bench->changes)),
		.linear = malloc(largest * sizeof(float)),
		.outputs = malloc(largest * compiler->image_count * sizeof(float)),
		.inputs = { malloc(largest * sizeof(float)), malloc(largest * sizeof(float)) },
		.weight = malloc(weights * sizeof(float)),
		.means = malloc(channels * sizeof(*bench->means)),
		.ends = calloc(compiler->end_count + 1, sizeof(*bench->ends)),
	};
	if (!bench->rest || !bench->own || !bench->tensors || !bench->changes || !bench->linear ||
	    !bench->outputs || !bench->inputs[0] || !bench->inputs[1] || !bench->weight ||
	    !bench->means || !bench->ends)
		return -ENOMEM;
	memcpy(bench->own, bench->rest->tensors, tensors * sizeof(*bench->own));
	return 0;
}

/* Report jobs that have been done since last time; in the caller's thread only. */
static void report(struct measuring *measuring)
{
	for (; !measuring->ret && measuring->reported < atomic_load(&measuring->done);
	     measuring->reported++)
		measuring->ret = compile_step(measuring->compiler);
	if (measuring->ret)
		atomic_store(&measuring->stop, true);
}

static void measure_jobs(void *data, bool caller)
{
	struct measuring *measuring = data;
	struct bench bench;
	int ret = bench_prepare(&bench, measuring->compiler);
	size_t i;

	while (!ret && !atomic_load(&measuring->stop) &&
	       (i = atomic_fetch_add(&measuring->next, 1)) < measuring->count) {
		ret = measure(&bench, &measuring->jobs[i]);
		atomic_fetch_add(&measuring->done, 1);
		if (caller)
			report(measuring);
	}
	if (ret) {
		atomic_store(&measuring->no_memory, true);
		atomic_store(&measuring->stop, true);
	}
	bench_free(&bench);
}

/* ---- all nodes --------------------------------------------------------- */

/*
 * Where the network ends: at its outputs, and before what makes integers or truths of
 * numbers, whose errors no sum of squares tells.
 */
int measure_find_ends(struct compiler *compiler)
{
	const struct xrnpe_graph *graph = compiler->graph;
	bool *ends = calloc(graph->tensor_count + 1, sizeof(*ends));

	compiler->ends = malloc((graph->tensor_count + 1) * sizeof(*compiler->ends));
	for (uint32_t i = 0; ends && i < graph->output_count; i++)
		ends[graph->outputs[i]] = true;
	for (uint32_t n = 0; ends && n < graph->node_count; n++) {
		const struct graph_node *node = &graph->nodes[n];
		bool exact = false;

		for (uint32_t k = 0; k < node->output_count; k++)
			exact |= node->outputs[k] != GRAPH_NONE &&
				 graph->tensors[node->outputs[k]].type != GRAPH_FLOAT;
		for (uint32_t k = 0; exact && k < node->input_count; k++) {
			if (node->inputs[k] != GRAPH_NONE)
				ends[node->inputs[k]] = true;
		}
	}
	for (uint32_t i = 0; ends && compiler->ends && i < graph->tensor_count; i++) {
		if (ends[i] && graph->tensors[i].type == GRAPH_FLOAT)
			compiler->ends[compiler->end_count++] = i;
	}
	free(ends);
	return ends && compiler->ends ? 0 : xrnpe_fail_memory(compiler->error);
}

/* What is measured of node @n, in each of the formats before P16. */
static uint32_t list_parts(const struct compiler *compiler, uint32_t n, enum part parts[3])
{
	const struct node_plan *plan = &compiler->nodes[n];
	uint32_t count = 0;

	if (!plan->chooses)
		return 0;
	parts[count++] = INPUTS;
	if (plan->place.kind == PLACE_WEIGHTS)
		parts[count++] = WEIGHTS;
	if (compile_adds(plan))
		parts[count++] = RESIDUAL;
	return count;
}

size_t measure_steps(const struct compiler *compiler)
{
	enum part parts[3];
	size_t steps = 0;

	for (uint32_t n = 0; n < compiler->graph->node_count; n++)
		steps += (size_t)list_parts(compiler, n, parts) * XRNPE_FORMAT_P16;
	return steps;
}

int measure_losses(struct compiler *compiler)
{
	struct measuring measuring = { .compiler = compiler };
	enum part parts[3];

	measuring.jobs = calloc(measure_steps(compiler) + 1, sizeof(*measuring.jobs));
	if (!measuring.jobs)
		return xrnpe_fail_memory(compiler->error);
	for (uint32_t n = 0; n < compiler->graph->node_count; n++) {
		uint32_t count = list_parts(compiler, n, parts);

		for (unsigned int f = 0; f < XRNPE_FORMAT_P16; f++) {
			for (uint32_t k = 0; k < count; k++)
				measuring.jobs[measuring.count++] = (struct job){ n, parts[k], f };
		}
	}
	threads_run(measure_jobs, &measuring, measuring.count < MAX_BENCHES ? measuring.count :
									      MAX_BENCHES);
	free(measuring.jobs);
	if (atomic_load(&measuring.no_memory))
		return xrnpe_fail_memory(compiler->error);
	report(&measuring);
	return measuring.ret;
}

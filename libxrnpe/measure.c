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

/* What is rounded: weights, inputs (of a CONV only what it multiplies), what a CONV adds. */
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

/* What a thread works with; it holds a layer's outputs for all kept inputs. */
#define MAX_BENCHES 16

struct bench {
	struct compiler *compiler;
	struct reference *rest;		/* the nodes behind; own tensors where they change */
	float **own;			/* rest's own tensors */
	bool *changes;			/* by node: depends on the one measured */
	float *linear;			/* the node's FP32 output before activation */
	float *outputs;			/* with rounding, for all inputs */
	float *inputs[2];		/* rounded */
	float *weight;			/* rounded */
	double *means;			/* by channel: what the outputs are off */
};

/* Outputs of the node before activation, and by how much channels are off on average. */
static void run_rounded(struct bench *bench, const struct job *job)
{
	struct compiler *compiler = bench->compiler;
	const struct xrnpe_graph *graph = compiler->graph;
	struct graph_node node = graph->nodes[job->node];
	size_t pixels = (size_t)node.shape.h * node.shape.w, count = graph_shape_count(&node.shape);

	if (job->part == WEIGHTS) {
		quantize_restore(graph, &node, &compiler->plan[job->node].weight[job->format],
				 job->format, bench->weight);
		node.weight = bench->weight;
	}
	memset(bench->means, 0, node.shape.c * sizeof(*bench->means));
	for (uint32_t i = 0; i < compiler->image_count; i++) {
		float **fp32 = compiler->images[i]->tensors, *out = bench->outputs + i * count;
		const float *exact[2] = { fp32[node.input[0]], fp32[node.input[1]] };
		const float *in[2] = { exact[0], exact[1] };

		for (uint32_t k = 0; k < node.inputs; k++) {
			if (job->part != (k && node.op == GRAPH_CONV ? RESIDUAL : INPUTS))
				continue;
			quantize_round(job->format,
				       compiler->plan[node.input[k]].scale[job->format], in[k],
				       graph_shape_count(&graph->nodes[node.input[k]].shape),
				       bench->inputs[k]);
			in[k] = bench->inputs[k];
		}
		reference_compute(bench->rest, &node, in[0], in[1], out);
		reference_compute(bench->rest, &graph->nodes[job->node], exact[0], exact[1],
				  bench->linear);
		for (size_t k = 0; k < count; k++)
			bench->means[k / pixels] += (double)out[k] - bench->linear[k];
	}
	for (uint32_t c = 0; c < node.shape.c; c++)
		bench->means[c] /= (double)pixels * compiler->image_count;
}

/* Sums of squares: of errors, and of what they are errors of. */
struct squares {
	double errors, values;
};

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
	const struct graph_node *node = &compiler->graph->nodes[index];
	size_t count = graph_shape_count(&node->shape), pixels = (size_t)node->shape.h * node->shape.w;
	struct squares sum = { 0 };

	for (uint32_t i = 0; i < compiler->image_count; i++) {
		float *output = bench->outputs + i * count;

		for (size_t k = 0; node->op == GRAPH_CONV && k < count; k++)
			output[k] -= (float)bench->means[k / pixels];
		reference_activate(&node->activation, output, count);
		add_squares(output, compiler->images[i]->tensors[index], count, &sum);
	}
	return sqrt(relative(&sum));
}

/* What becomes of the error of bench->outputs where the network ends. */
static double network_effect(struct bench *bench, uint32_t index)
{
	struct compiler *compiler = bench->compiler;
	const struct xrnpe_graph *graph = compiler->graph;
	size_t count = graph_shape_count(&graph->nodes[index].shape);
	struct reference *rest = bench->rest;
	struct squares sum = { 0 };

	for (uint32_t n = 0; n < graph->count; n++) {
		bench->changes[n] = n == index;
		for (uint32_t k = 0; n > index && k < graph->nodes[n].inputs; k++)
			bench->changes[n] |= bench->changes[graph->nodes[n].input[k]];
	}
	for (uint32_t i = 0; i < compiler->image_count; i++) {
		float **fp32 = compiler->images[i]->tensors;

		for (uint32_t n = 0; n < graph->count; n++)
			rest->tensors[n] = bench->changes[n] ? bench->own[n] : fp32[n];
		rest->tensors[index] = bench->outputs + i * count;
		for (uint32_t n = index + 1; n < graph->count; n++) {
			if (bench->changes[n])
				reference_node(rest, n);
		}
		add_squares(rest->tensors[graph->output], fp32[graph->output],
			    graph->output_info.count, &sum);
	}
	memcpy(rest->tensors, bench->own, graph->count * sizeof(*bench->own));
	return relative(&sum);
}

static int measure(struct bench *bench, const struct job *job)
{
	struct compiler *compiler = bench->compiler;
	const struct graph_node *node = &compiler->graph->nodes[job->node];
	struct node_plan *plan = &compiler->plan[job->node];
	struct loss *const losses[] = {
		[WEIGHTS] = plan->weight_loss, [INPUTS] = plan->input_loss,
		[RESIDUAL] = plan->residual_loss,
	};
	struct loss *loss = &losses[job->part][job->format];

	if (lower_multiplies(node) && job->part == (node->op == GRAPH_CONV ? WEIGHTS : INPUTS) &&
	    quantize_node(compiler->graph, node, compiler->plan[node->input[0]].energy, job->format,
			  &plan->weight[job->format]))
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
	free(bench->changes);
	free(bench->linear);
	free(bench->outputs);
	free(bench->inputs[0]);
	free(bench->inputs[1]);
	free(bench->weight);
	free(bench->means);
}

static int bench_prepare(struct bench *bench, struct compiler *compiler)
{
	const struct xrnpe_graph *graph = compiler->graph;
	size_t largest = 1, weights = 1, channels = 1;

	for (uint32_t n = 0; n < graph->count; n++) {
		const struct graph_node *node = &graph->nodes[n];
		size_t count = graph_shape_count(&node->shape);

		largest = count > largest ? count : largest;
		weights = node->weight_count > weights ? node->weight_count : weights;
		channels = node->shape.c > channels ? node->shape.c : channels;
	}
	*bench = (struct bench){
		.compiler = compiler,
		.rest = reference_new(graph),
		.own = calloc(graph->count, sizeof(*bench->own)),
		.changes = calloc(graph->count, sizeof(*bench->changes)),
		.linear = malloc(largest * sizeof(float)),
		.outputs = malloc(largest * compiler->image_count * sizeof(float)),
		.inputs = { malloc(largest * sizeof(float)), malloc(largest * sizeof(float)) },
		.weight = malloc(weights * sizeof(float)),
		.means = malloc(channels * sizeof(*bench->means)),
	};
	if (!bench->rest || !bench->own || !bench->changes || !bench->linear || !bench->outputs ||
	    !bench->inputs[0] || !bench->inputs[1] || !bench->weight || !bench->means)
		return -ENOMEM;
	memcpy(bench->own, bench->rest->tensors, graph->count * sizeof(*bench->own));
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

int measure_losses(struct compiler *compiler)
{
	const struct xrnpe_graph *graph = compiler->graph;
	struct measuring measuring = { .compiler = compiler };

	measuring.jobs = calloc((size_t)graph->count * 3 * XRNPE_FORMAT_P16, sizeof(*measuring.jobs));
	if (!measuring.jobs)
		return xrnpe_fail_memory(compiler->error);
	for (uint32_t n = 0; n < graph->count; n++) {
		const struct graph_node *node = &graph->nodes[n];

		for (unsigned int f = 0; compiler->plan[n].chooses && f < XRNPE_FORMAT_P16; f++) {
			measuring.jobs[measuring.count++] = (struct job){ n, INPUTS, f };
			if (node->op == GRAPH_CONV)
				measuring.jobs[measuring.count++] = (struct job){ n, WEIGHTS, f };
			if (lower_adds(node))
				measuring.jobs[measuring.count++] = (struct job){ n, RESIDUAL, f };
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

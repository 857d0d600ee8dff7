// SPDX-License-Identifier: MIT
/*
 * What does a node lose when its weights, or its inputs, are rounded to a format? Products
 * and sums are exact on the device, so that rounding is all there is: the node is computed
 * in binary32 with rounded numbers, for some of the kept calibration inputs. Weights are measured
 * with exact inputs and inputs with exact weights: for small errors the effects of the two
 * add up, so that a pair of formats needs no measurement of its own. What the network loses
 * by that, effect.c tells.
 */
#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "effect.h"
#include "operator.h"
#include "error.h"
#include "round.h"
#include "threads.h"

/*
 * Inputs that a node is computed with for each format, as far as there are so many; for Posit(16,1),
 * whose error is small and much the same for all: with fewer.
 */
#define MOST_ROUNDED 24
#define MOST_ROUNDED_P16 6

/* What is rounded: weights, inputs (of a product only what it multiplies), what it adds. */
enum part {
	WEIGHTS,
	INPUTS,
	RESIDUAL,
};

/*
 * One measurement, with @rounded of the kept inputs from @first on, after the last of which comes the
 * first; the effect is that on @images of them.
 */
struct job {
	uint32_t node;
	enum part part;
	enum xrnpe_format format;
	uint32_t first, images, rounded;
};

struct measuring {
	struct compiler *compiler;
	atomic_uint next;		/* node, from the last on */
	atomic_size_t done;
	atomic_bool stop, no_memory;
	/* The caller's alone: jobs reported, and what the progress callback said. */
	size_t reported;
	int ret;
};

/* What a thread works with; it holds a layer's outputs for as many inputs as it is computed with. */
#define MAX_BENCHES 16

struct bench {
	struct compiler *compiler;
	struct effect *effect;
	uint32_t images;		/* that effects of the node are measured with */
	struct reference *ref;		/* for its scratch memory */
	void **tensors;			/* those that the node measured reads and writes */
	float *outputs;			/* with rounding, by input */
	float *inputs[PLACE_READS];	/* rounded */
	float *weight;			/* rounded */
	struct moments moments;		/* of what the node measured multiplies by weights */
	struct reference **others;	/* kept inputs that weights are rounded for meanwhile */
	struct shift *shifts;		/* by channel: what the outputs are off */
	double *means;			/* by channel: of the outputs */
};

static const struct image *output_image(const struct compiler *compiler, uint32_t n)
{
	return &compiler->tensors[compile_output(compiler, n)].image;
}

void measure_linear(struct reference *ref, const struct graph_node *node, void **tensors,
		    const float *added, float *out)
{
	tensors[node->outputs[0]] = out;
	reference_compute(ref, node, tensors);
	if (added)
		reference_add(ref->graph, node, added, out);
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

/* The tensors of input @i, and what the node adds of them. */
static const float *set_exact(struct bench *bench, uint32_t n, uint32_t i)
{
	const struct graph_node *node = &bench->compiler->graph->nodes[n];
	void **fp32 = bench->compiler->images[i]->tensors;

	memcpy(bench->tensors, fp32, bench->compiler->graph->tensor_count * sizeof(*bench->tensors));
	return node->residual ? fp32[node->inputs[GRAPH_RESIDUAL]] : NULL;
}

/* Whether tune.c will correct the biases of node @n. */
static bool is_corrected(const struct compiler *compiler, uint32_t n)
{
	return compiler->nodes[n].place.kind == PLACE_WEIGHTS;
}

/* The @k-th input of a job. */
static uint32_t job_input(const struct bench *bench, const struct job *job, uint32_t k)
{
	return (job->first + k) % bench->compiler->image_count;
}

/*
 * The weights as they are after rounding. Those that the device never reads, as they reach no output,
 * are zero: binary32 multiplies them by the zeros around the input, which must not make NaNs.
 */
static void restore_weights(struct bench *bench, const struct job *job)
{
	const struct node_plan *plan = &bench->compiler->nodes[job->node];
	const struct weights *weights = &plan->place.weights;

	memset(bench->weight, 0, graph_count(&bench->compiler->graph->tensors[weights->tensor].shape) *
				 sizeof(*bench->weight));
	quantize_restore(weights, &plan->weight[job->format], job->format, bench->weight);
}

/* Outputs of the node before activation, and by how much channels are off. */
static void run_rounded(struct bench *bench, const struct job *job)
{
	struct compiler *compiler = bench->compiler;
	const struct graph_node *node = &compiler->graph->nodes[job->node];
	const struct node_plan *plan = &compiler->nodes[job->node];
	const struct image *image = output_image(compiler, job->node);
	size_t count = image_count(image);

	if (job->part == WEIGHTS)
		restore_weights(bench, job);
	memset(bench->shifts, 0, image->c * sizeof(*bench->shifts));
	for (uint32_t k = 0; k < job->rounded; k++) {
		uint32_t i = job_input(bench, job, k);
		const float *added = set_exact(bench, job->node, i);
		float *out = bench->outputs + k * count;

		round_part(bench, job, &added);
		measure_linear(bench->ref, node, bench->tensors, added, out);
		if (!is_corrected(compiler, job->node))
			continue;
		channel_means(image, out, bench->means);
		for (uint32_t c = 0; c < image->c; c++)
			bench->means[c] -= plan->exact_means[(size_t)i * image->c + c];
		shifts_add(bench->shifts, image->c, bench->means);
	}
}

/* Take @shifts, by channel, out of @values. */
static void subtract_shifts(const struct image *image, const double *shifts, float *values)
{
	size_t pixels = image_pixels(image);

	for (uint32_t c = 0; image->first && c < image->c; c++) {
		for (size_t p = 0; p < pixels; p++)
			values[c * pixels + p] -= (float)shifts[c];
	}
	for (size_t p = 0; !image->first && p < pixels; p++) {
		for (uint32_t c = 0; c < image->c; c++)
			values[p * image->c + c] -= (float)shifts[c];
	}
}

/* Complete bench->outputs, whose biases tune.c will correct in the same way; their error. */
static double node_error(struct bench *bench, const struct job *job)
{
	struct compiler *compiler = bench->compiler;
	const struct graph_node *node = &compiler->graph->nodes[job->node];
	const struct image *image = output_image(compiler, job->node);
	size_t count = image_count(image);
	bool corrected = is_corrected(compiler, job->node);
	struct squares sum = { 0 };

	for (uint32_t c = 0; corrected && c < image->c; c++)
		bench->means[c] = shift_certain(&bench->shifts[c], job->rounded);
	for (uint32_t k = 0; k < job->rounded; k++) {
		void **exact = compiler->images[job_input(bench, job, k)]->tensors;
		float *output = bench->outputs + k * count;

		if (corrected)
			subtract_shifts(image, bench->means, output);
		reference_activate(compiler->graph, node, output);
		squares_add(&sum, output, exact[node->outputs[0]], count);
	}
	return sqrt(squares_relative(&sum));
}

/* Round the weights of node @n, in place of what they were rounded to before. */
static int round_node(struct compiler *compiler, uint32_t n, const struct moments *moments,
		      enum xrnpe_format format)
{
	quantize_free(&compiler->nodes[n].weight[format]);
	return quantize_node(compiler, n, moments, format);
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
	    round_node(compiler, job->node, &bench->moments, job->format))
		return -ENOMEM;
	run_rounded(bench, job);
	loss->error = node_error(bench, job);
	if (job->format == XRNPE_FORMAT_P16) {
		/* So small an error that it passes on in proportion, as that of P8 did. */
		double ratio = loss[-1].error > 0 ? loss->error / loss[-1].error : 0;

		loss->effect = loss[-1].effect * ratio * ratio;
		return 0;
	}
	loss->effect = effect_measure(bench->effect, job->node, bench->outputs, job->first,
				      job->images);
	return 0;
}

/* What is measured of node @n, in each format. */
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

static void bench_free(struct bench *bench)
{
	effect_free(bench->effect);
	free(bench->tensors);
	free(bench->outputs);
	free(bench->inputs[0]);
	free(bench->inputs[1]);
	free(bench->others);
	free(bench->weight);
	free(bench->shifts);
	free(bench->means);
}

/* Inputs that a node is computed with at most. */
static uint32_t most_rounded(const struct compiler *compiler)
{
	return compiler->image_count < MOST_ROUNDED ? compiler->image_count : MOST_ROUNDED;
}

static int bench_prepare(struct bench *bench, struct compiler *compiler)
{
	const struct xrnpe_graph *graph = compiler->graph;
	size_t largest = 1, weights = 1, channels = 1, rounded = most_rounded(compiler);

	for (uint32_t i = 0; i < graph->tensor_count; i++) {
		const struct image *image = &compiler->tensors[i].image;

		largest = image_count(image) > largest ? image_count(image) : largest;
		channels = image->c > channels ? image->c : channels;
		if (graph->tensors[i].data && graph_count(&graph->tensors[i].shape) > weights)
			weights = graph_count(&graph->tensors[i].shape);
	}
	*bench = (struct bench){
		.compiler = compiler,
		.effect = effect_new(compiler, measure_steps(compiler)),
		.tensors = calloc(graph->tensor_count, sizeof(*bench->tensors)),
		.outputs = malloc(largest * rounded * sizeof(float)),
		.inputs = { malloc(largest * sizeof(float)), malloc(largest * sizeof(float)) },
		.others = malloc((compiler->image_count + (size_t)1) * sizeof(*bench->others)),
		.weight = malloc(weights * sizeof(float)),
		.shifts = malloc(channels * sizeof(*bench->shifts)),
		.means = malloc(channels * sizeof(*bench->means)),
	};
	bench->ref = bench->effect ? effect_reference(bench->effect) : NULL;
	return bench->ref && bench->tensors && bench->outputs &&
	       bench->inputs[0] && bench->inputs[1] && bench->others && bench->weight &&
	       bench->shifts && bench->means ? 0 : -ENOMEM;
}

/* Report measurements that have been made since last time; in the caller's thread only. */
static void report(struct measuring *measuring)
{
	for (; !measuring->ret && measuring->reported < atomic_load(&measuring->done);
	     measuring->reported++)
		measuring->ret = compile_step(measuring->compiler);
	if (measuring->ret)
		atomic_store(&measuring->stop, true);
}

/* Measure @job; @counts: it is the last time. @caller: this is the thread that reports. */
static int run_job(struct measuring *measuring, struct bench *bench, struct job job, bool counts,
		   bool caller)
{
	int ret;

	job.rounded = most_rounded(bench->compiler);
	if (job.format == XRNPE_FORMAT_P16 && job.rounded > MOST_ROUNDED_P16)
		job.rounded = MOST_ROUNDED_P16;
	ret = atomic_load(&measuring->stop) ? 0 : measure(bench, &job);
	if (counts)
		atomic_fetch_add(&measuring->done, 1);
	if (caller)
		report(measuring);
	return ret;
}

/* The moments of what node @n multiplies by weights, but in @count of the inputs from @first on. */
static int find_moments(struct bench *bench, uint32_t n, uint32_t first, uint32_t count)
{
	struct compiler *compiler = bench->compiler;
	uint32_t others = 0;

	for (uint32_t i = 0; i < compiler->image_count; i++) {
		if (i < first || i >= first + count)
			bench->others[others++] = compiler->images[i];
	}
	moments_free(&bench->moments);
	return moments_measure(compiler, n, bench->others, others, &bench->moments);
}

/*
 * The weights of node @n. They would be judged too well on what they were rounded for, the more so
 * the longer sums are: so they are judged on some of the inputs, rounded for the others, and
 * if there are few inputs on each part of them in turn. In the end they are rounded for all.
 */
static int measure_weights(struct measuring *measuring, struct bench *bench, uint32_t n, bool caller)
{
	struct compiler *compiler = bench->compiler;
	struct loss *losses = compiler->nodes[n].weight_loss;
	uint32_t judges = compiler->judge_count;
	uint32_t each = judges && judges < bench->images ? judges : bench->images;
	uint32_t times = judges ? effect_turns(bench->effect, bench->images, each) : 1;
	double effects[COMPILE_FORMATS] = { 0 };
	int ret = 0;

	for (uint32_t k = 0; !ret && k < times; k++) {
		uint32_t first = judges * k;

		ret = find_moments(bench, n, first, judges);
		for (enum xrnpe_format f = 0; !ret && f < COMPILE_FORMATS; f++) {
			ret = run_job(measuring, bench, (struct job){ n, WEIGHTS, f, first, each, 0 },
				      k + 1 == times, caller);
			effects[f] += losses[f].effect / times;
		}
	}
	if (ret || atomic_load(&measuring->stop))
		return ret;
	if (judges)
		ret = find_moments(bench, n, 0, 0);
	for (enum xrnpe_format f = 0; !ret && f < COMPILE_FORMATS; f++) {
		losses[f].effect = effects[f];
		if (judges)
			ret = round_node(compiler, n, &bench->moments, f);
	}
	return ret;
}

/* All of node @n; @caller: it is the thread that reports. */
static int measure_node(struct measuring *measuring, struct bench *bench, uint32_t n, bool caller)
{
	enum part parts[3];
	uint32_t count = list_parts(bench->compiler, n, parts);
	int ret = 0;

	if (count)
		bench->images = effect_images(bench->effect, n);
	for (uint32_t k = 0; !ret && k < count; k++) {
		if (parts[k] == WEIGHTS) {
			ret = measure_weights(measuring, bench, n, caller);
			continue;
		}
		for (enum xrnpe_format f = 0; !ret && f < COMPILE_FORMATS; f++)
			ret = run_job(measuring, bench,
				      (struct job){ n, parts[k], f, 0, bench->images, 0 }, true, caller);
	}
	moments_free(&bench->moments);
	return ret;
}

static void measure_nodes(void *data, bool caller)
{
	struct measuring *measuring = data;
	struct bench bench;
	int ret = bench_prepare(&bench, measuring->compiler);
	uint32_t count = measuring->compiler->graph->node_count, i;

	/* The last ones have most weights, as a rule: what takes longest is not left for the end. */
	while (!ret && !atomic_load(&measuring->stop) && (i = atomic_fetch_add(&measuring->next, 1)) < count)
		ret = measure_node(measuring, &bench, count - 1 - i, caller);
	if (ret) {
		atomic_store(&measuring->no_memory, true);
		atomic_store(&measuring->stop, true);
	}
	bench_free(&bench);
}

/* ---- all nodes --------------------------------------------------------- */

/* Whether @node's last operator is Sigmoid or HardSigmoid, which may be folded into a product. */
static bool ends_with_sigmoid(const struct graph_node *node)
{
	static const char name[] = "Sigmoid";
	size_t length = strlen(node->op_names), end = sizeof(name) - 1;

	return length >= end && !strcmp(node->op_names + length - end, name);
}

/* Whether what @tensor holds comes from a sigmoid, perhaps with its elements moved. */
static bool is_probability(const struct compiler *compiler, uint32_t tensor)
{
	const struct xrnpe_graph *graph = compiler->graph;
	bool moved = true;

	for (uint32_t n = graph->node_count; moved && n--;) {
		const struct graph_node *node = &graph->nodes[n];

		if (node->output_count != 1 || node->outputs[0] != tensor)
			continue;
		if (ends_with_sigmoid(node))
			return true;
		moved = compiler->nodes[n].place.kind == PLACE_PART ||
			compiler->nodes[n].place.kind == PLACE_COPY;
		tensor = node->inputs[0];
	}
	return false;
}

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
			compiler->ends[compiler->end_count++] =
				(struct end){ i, is_probability(compiler, i) };
	}
	free(ends);
	return ends && compiler->ends ? 0 : xrnpe_fail_memory(compiler->error);
}

size_t measure_steps(const struct compiler *compiler)
{
	enum part parts[3];
	size_t steps = 0;

	for (uint32_t n = 0; n < compiler->graph->node_count; n++)
		steps += (size_t)list_parts(compiler, n, parts) * COMPILE_FORMATS;
	return steps;
}

int measure_losses(struct compiler *compiler)
{
	struct measuring measuring = { .compiler = compiler };
	uint32_t count = compiler->graph->node_count;

	threads_run(measure_nodes, &measuring, count < MAX_BENCHES ? count : MAX_BENCHES);
	if (atomic_load(&measuring.no_memory))
		return xrnpe_fail_memory(compiler->error);
	report(&measuring);
	return measuring.ret;
}

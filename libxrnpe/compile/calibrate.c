// SPDX-License-Identifier: MIT
/* What values do tensors hold? The network in binary32 on the calibration inputs. */
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "effect.h"
#include "error.h"
#include "operators/vectors.h"
#include "threads.h"

/*
 * Inputs of which all tensors are kept, of those that numbers are fitted to again and again, or at
 * all, and of those that nothing is; memory for all.
 */
#define MAX_IMAGES 48
#define MAX_FITTED 192
#define MAX_WHOLE_ASIDE 16
#define MAX_IMAGE_BYTES ((size_t)512 << 20)
/* Threads that compute, each with memory for an input that is not kept; there is room for all. */
#define MAX_THREADS 16
/* Formats are compared on one of so many of those that numbers are fitted to, and no more than that. */
#define ONE_JUDGES_OF 3
#define MOST_JUDGES 12

/* A fixed sequence that looks random, so that results can be repeated. */
static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/* ---- what is done with all inputs ----------------------------------------- */

/* Inputs that threads take, in their order. */
struct calibration {
	struct compiler *compiler;
	size_t count;			/* those that numbers are fitted to, then those that nothing is */
	struct reference ***slots;	/* by input: where it is kept; NULL: it is not */
	uint32_t *kept;			/* by input: which of the kept ones that numbers are fitted to, or GRAPH_NONE */
	bool *sampled;			/* by tensor */
	uint32_t quota;			/* values sampled of one */
	uint32_t *random;		/* by input: state of the sequence that tells which */
	size_t whole;			/* of inputs from this one on not all tensors are kept */
	bool *ends;			/* by tensor: it is kept of these, too */
	atomic_size_t next, done;
	atomic_size_t failed;		/* the first that did, or SIZE_MAX */
	atomic_bool stop, no_memory;
	/* The caller's alone: inputs reported, and what the progress callback said. */
	size_t reported;
	int ret;
};

/* Sample tensor @plan of input @input. */
static void sample_tensor(struct tensor_plan *plan, const float *values, size_t input, uint32_t quota,
			  uint32_t *random)
{
	size_t count = image_count(&plan->image);
	float *to = plan->samples + input * quota;

	for (size_t i = 0; i < quota && (count > quota || i < count); i++)
		to[i] = values[count <= quota ? i : next_random(random) % count];
}

static void sample_tensors(const struct calibration *calibration, const struct reference *ref, size_t input)
{
	struct compiler *compiler = calibration->compiler;
	uint32_t random = calibration->random[input];

	for (uint32_t i = 0; i < compiler->graph->tensor_count; i++) {
		if (calibration->sampled[i])
			sample_tensor(&compiler->tensors[i], ref->tensors[i], input, calibration->quota, &random);
	}
}

VECTORS
static bool all_finite(const float *values, size_t count)
{
	uint32_t others = 0;

	for (size_t i = 0; i < count; i++)
		others |= !(fabsf(values[i]) <= FLT_MAX);
	return !others;
}

/* That all values are finite that the device would have to hold. */
static int check_tensors(struct compiler *compiler, const struct reference *ref, size_t input,
			 struct xrnpe_error *error)
{
	const struct xrnpe_graph *graph = compiler->graph;

	for (uint32_t n = 0; n < graph->node_count; n++) {
		const struct graph_node *node = &graph->nodes[n];

		for (uint32_t k = 0; k < node->output_count; k++) {
			uint32_t output = node->outputs[k];

			if (output == GRAPH_NONE || !compiler->tensors[output].samples ||
			    graph->tensors[output].type != GRAPH_FLOAT ||
			    all_finite(ref->tensors[output], graph_count(&graph->tensors[output].shape)))
				continue;
			return graph_fail(graph, node, error, -EINVAL,
					  "calibration input %zu gives a value that is not finite", input);
		}
	}
	return 0;
}

/* Compute all nodes; @kept: for which of the kept inputs means are kept, too, or GRAPH_NONE */
static void run_nodes(struct compiler *compiler, struct reference *ref, uint32_t kept)
{
	for (uint32_t n = 0; n < compiler->graph->node_count; n++) {
		const struct node_plan *plan = &compiler->nodes[n];
		uint32_t output = compile_output(compiler, n);
		const struct image *image = &compiler->tensors[output].image;

		reference_linear(ref, n);
		if (plan->exact_means && kept != GRAPH_NONE)
			channel_means(image, ref->tensors[output], plan->exact_means + (size_t)kept * image->c);
		reference_activate(compiler->graph, &compiler->graph->nodes[n], ref->tensors[output]);
	}
}

/* Compute the network for calibration input @input; @kept as for run_nodes(). */
static int run_input(struct compiler *compiler, struct reference *ref, size_t input, uint32_t kept,
		     struct xrnpe_error *error)
{
	const struct xrnpe_graph *graph = compiler->graph;
	char name[64];

	for (uint32_t i = 0; i < graph->input_count; i++) {
		const struct xrnpe_tensor_info *info = &compiler->source->infos[i];

		if (!reference_set_input(ref, compiler->source, i,
					 compiler->options->calibration[i].data + input * info->count))
			continue;
		return xrnpe_fail(error, -EINVAL, "%s: input %s takes %s; calibration input %zu has others",
				  graph->name, graph_printable(info->name, name),
				  reference_takes(compiler->source, i), input);
	}
	run_nodes(compiler, ref, kept);
	return check_tensors(compiler, ref, input, error);
}

/* ---- threads --------------------------------------------------------------- */

/* Remember that input @i, and perhaps others, failed. */
static void remember(struct calibration *calibration, size_t i)
{
	size_t first = atomic_load(&calibration->failed);

	while (i < first && !atomic_compare_exchange_weak(&calibration->failed, &first, i))
		;
	atomic_store(&calibration->stop, true);
}

/* Compute the @i-th input in @ref. */
static void calibrate_input(struct calibration *calibration, struct reference *ref, size_t i)
{
	struct compiler *compiler = calibration->compiler;

	/* What is wrong is told afterwards, of the first. */
	if (run_input(compiler, ref, compiler->inputs[i], calibration->kept[i], NULL)) {
		remember(calibration, i);
		return;
	}
	if (i < compiler->fitted_count)
		sample_tensors(calibration, ref, i);
	if (i >= calibration->whole)
		reference_reduce(ref, calibration->ends);
	atomic_fetch_add(&calibration->done, 1);
}

/* Report inputs that have been computed since last time; in the caller's thread only. */
static void report(struct calibration *calibration)
{
	for (; !calibration->ret && calibration->reported < atomic_load(&calibration->done);
	     calibration->reported++)
		calibration->ret = compile_step(calibration->compiler);
	if (calibration->ret)
		atomic_store(&calibration->stop, true);
}

static void calibrate_some(void *data, bool caller)
{
	struct calibration *calibration = data;
	struct reference *spare = NULL;
	size_t i;

	while (!atomic_load(&calibration->stop) &&
	       (i = atomic_fetch_add(&calibration->next, 1)) < calibration->count) {
		struct reference **ref = calibration->slots[i] ? calibration->slots[i] : &spare;

		if (!*ref)
			*ref = reference_new(calibration->compiler->graph);
		if (*ref) {
			calibrate_input(calibration, *ref, i);
		} else {
			atomic_store(&calibration->no_memory, true);
			atomic_store(&calibration->stop, true);
		}
		if (caller)
			report(calibration);
	}
	reference_free(spare);
}

/* Tell what is wrong with the @i-th input. */
static int tell(struct compiler *compiler, size_t i)
{
	struct reference *ref = reference_new(compiler->graph);
	int ret = ref ? run_input(compiler, ref, compiler->inputs[i], GRAPH_NONE, compiler->error) :
			xrnpe_fail_memory(compiler->error);

	reference_free(ref);
	return ret;
}

static int run_inputs(struct calibration *calibration, size_t threads)
{
	threads_run(calibrate_some, calibration, threads);
	if (atomic_load(&calibration->no_memory))
		return xrnpe_fail_memory(calibration->compiler->error);
	if (!calibration->ret && atomic_load(&calibration->failed) < SIZE_MAX)
		return tell(calibration->compiler, atomic_load(&calibration->failed));
	report(calibration);
	return calibration->ret;
}

/* ---- which are kept -------------------------------------------------------- */

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

/* Whether the @i-th of @count is one of @some that are spread evenly over them. */
static bool is_one_of(size_t i, size_t some, size_t count)
{
	return some * (i + 1) / count != some * i / count;
}

/*
 * Where the @i-th of compiler->images goes: they are divided into parts of compiler->judge_count each, as
 * cards are dealt, so that each is spread over the data; some may be left over.
 */
static uint32_t deal(const struct compiler *compiler, uint32_t i)
{
	uint32_t count = compiler->image_count, parts = compiler->judge_count ? count / compiler->judge_count : 1;
	uint32_t part = i % parts, larger = count % parts;

	return part * (count / parts) + (part < larger ? part : larger) + i / parts;
}

/* Keep @keep of the inputs that numbers are fitted to, evenly spread, and @unseen others. */
static void choose_slots(struct calibration *calibration, size_t keep, size_t unseen)
{
	struct compiler *compiler = calibration->compiler;
	size_t count = compiler->fitted_count, images = keep < MAX_IMAGES ? keep : MAX_IMAGES, kept = 0;
	uint32_t judges = (uint32_t)images / ONE_JUDGES_OF, of_images = 0;

	compiler->image_count = (uint32_t)images;
	compiler->judge_count = judges > MOST_JUDGES ? MOST_JUDGES : judges;
	for (size_t i = 0; i < calibration->count; i++)
		calibration->kept[i] = GRAPH_NONE;
	for (size_t i = 0; i < count; i++) {
		if (!is_one_of(i, keep, count))
			continue;
		if (is_one_of(kept++, images, keep)) {
			calibration->kept[i] = deal(compiler, of_images++);
			calibration->slots[i] = &compiler->images[calibration->kept[i]];
		} else {
			calibration->kept[i] = compiler->image_count + compiler->more_count;
			calibration->slots[i] = &compiler->more_images[compiler->more_count++];
		}
	}
	for (size_t i = 0; i < unseen; i++)
		calibration->slots[count + i] = &compiler->images[compiler->image_count + compiler->unseen_count++];
}

/* Room for means of channels, of kept inputs. */
static int prepare_means(struct compiler *compiler)
{
	size_t kept = compiler->image_count + compiler->more_count;

	for (uint32_t n = 0; n < compiler->graph->node_count; n++) {
		struct node_plan *plan = &compiler->nodes[n];

		if (plan->place.kind != PLACE_WEIGHTS)
			continue;
		plan->exact_means = malloc(kept * compiler->tensors[compile_output(compiler, n)].image.c *
					   sizeof(*plan->exact_means));
		if (!plan->exact_means)
			return xrnpe_fail_memory(compiler->error);
	}
	return 0;
}

static int prepare_samples(struct compiler *compiler)
{
	const struct xrnpe_graph *graph = compiler->graph;

	for (uint32_t i = 0; i < graph->tensor_count; i++) {
		struct tensor_plan *plan = &compiler->tensors[i];

		/* Others the device never sees. */
		if (!plan->image.c)
			continue;
		plan->samples = calloc(COMPILE_SAMPLES, sizeof(*plan->samples));
		if (!plan->samples)
			return xrnpe_fail_memory(compiler->error);
	}
	return 0;
}

/* Leave zeros, which every format holds exactly, out of samples. */
static void finish_samples(struct compiler *compiler)
{
	for (uint32_t t = 0; t < compiler->graph->tensor_count; t++) {
		struct tensor_plan *plan = &compiler->tensors[t];

		for (uint32_t i = 0; plan->samples && i < COMPILE_SAMPLES; i++) {
			if (plan->samples[i] != 0)
				plan->samples[plan->sample_count++] = plan->samples[i];
		}
	}
}

/* Which tensors are sampled: of those that the device sees what is there, or computed. */
static void list_sampled(const struct compiler *compiler, bool *sampled)
{
	const struct xrnpe_graph *graph = compiler->graph;

	for (uint32_t t = 0; t < graph->tensor_count; t++)
		sampled[t] = graph->tensors[t].data;
	for (uint32_t i = 0; i < graph->input_count; i++)
		sampled[graph->inputs[i]] = true;
	for (uint32_t n = 0; n < graph->node_count; n++) {
		for (uint32_t k = 0; k < graph->nodes[n].output_count; k++) {
			if (graph->nodes[n].outputs[k] != GRAPH_NONE)
				sampled[graph->nodes[n].outputs[k]] = true;
		}
	}
	for (uint32_t t = 0; t < graph->tensor_count; t++)
		sampled[t] &= compiler->tensors[t].samples != NULL;
}

/* How far sampling an input's tensors takes the random sequence. */
static uint32_t random_steps(const struct calibration *calibration)
{
	const struct compiler *compiler = calibration->compiler;
	uint32_t steps = 0;

	for (uint32_t t = 0; t < compiler->graph->tensor_count; t++) {
		if (calibration->sampled[t] && image_count(&compiler->tensors[t].image) > calibration->quota)
			steps += calibration->quota;
	}
	return steps;
}

/* Where in the random sequence each input is, if one is sampled after the other. */
static void find_random(struct calibration *calibration)
{
	uint32_t state = 1, steps = random_steps(calibration);

	for (size_t i = 0; i < calibration->compiler->fitted_count; i++) {
		calibration->random[i] = state;
		for (uint32_t k = 0; k < steps; k++)
			next_random(&state);
	}
}

/* By tensor: whether the network begins or ends there, which is needed of any input. */
static bool *list_ends(const struct compiler *compiler)
{
	const struct xrnpe_graph *graph = compiler->graph;
	bool *ends = calloc(graph->tensor_count + 1, sizeof(*ends));

	for (uint32_t i = 0; ends && i < graph->input_count; i++)
		ends[graph->inputs[i]] = true;
	for (uint32_t e = 0; ends && e < compiler->end_count; e++)
		ends[compiler->ends[e].tensor] = true;
	return ends;
}

/* Between 1 and @most. */
static size_t clamp(size_t value, size_t most)
{
	return value < 1 ? 1 : value < most ? value : most;
}

static int prepare(struct calibration *calibration)
{
	struct compiler *compiler = calibration->compiler;

	calibration->slots = calloc(calibration->count + 1, sizeof(*calibration->slots));
	calibration->kept = malloc((calibration->count + 1) * sizeof(*calibration->kept));
	calibration->random = malloc((compiler->fitted_count + 1) * sizeof(*calibration->random));
	calibration->ends = list_ends(compiler);
	calibration->sampled = calloc(compiler->graph->tensor_count + 1, sizeof(*calibration->sampled));
	if (!calibration->slots || !calibration->kept || !calibration->random || !calibration->ends ||
	    !calibration->sampled)
		return xrnpe_fail_memory(compiler->error);
	return prepare_samples(compiler);
}

int calibrate_run(struct compiler *compiler)
{
	size_t room = MAX_IMAGE_BYTES / image_bytes_of(compiler->graph);
	/* What runs the model takes some memory for each. */
	size_t unseen = compiler->unseen_wanted ? clamp(room, compiler->unseen_wanted) : 0;
	size_t whole = unseen ? clamp(room / 4, unseen < MAX_WHOLE_ASIDE ? unseen : MAX_WHOLE_ASIDE) : 0;
	size_t keep = clamp(room < whole ? 0 : room - whole,
			    compiler->fitted_count < MAX_FITTED ? compiler->fitted_count : MAX_FITTED);
	struct calibration calibration = {
		.compiler = compiler, .count = compiler->fitted_count + unseen,
		.whole = compiler->fitted_count + whole, .failed = SIZE_MAX,
		.quota = (uint32_t)(COMPILE_SAMPLES / compiler->fitted_count),
	};
	int ret = prepare(&calibration);

	compiler->images = calloc(keep + unseen, sizeof(*compiler->images));
	compiler->more_images = calloc(keep, sizeof(*compiler->more_images));
	if (!ret && (!compiler->images || !compiler->more_images))
		ret = xrnpe_fail_memory(compiler->error);
	if (!ret) {
		list_sampled(compiler, calibration.sampled);
		find_random(&calibration);
		choose_slots(&calibration, keep, unseen);
		ret = prepare_means(compiler);
	}
	if (!ret)
		ret = run_inputs(&calibration, clamp(room, MAX_THREADS));
	if (!ret)
		finish_samples(compiler);
	free(calibration.slots);
	free(calibration.sampled);
	free(calibration.random);
	free(calibration.kept);
	free(calibration.ends);
	return ret;
}

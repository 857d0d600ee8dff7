// SPDX-License-Identifier: MIT
/* What values do tensors hold? The network in binary32 on the calibration inputs. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "error.h"

/*
 * Inputs of which all tensors are kept, of those that numbers are fitted to again and again, or at
 * all, and of those that nothing is; memory for all.
 */
#define MAX_IMAGES 48
#define MAX_FITTED 192
#define MAX_WHOLE_ASIDE 16
#define MAX_IMAGE_BYTES ((size_t)512 << 20)
/* Formats are compared on one of so many of those that numbers are fitted to, and no more than that. */
#define ONE_JUDGES_OF 3
#define MOST_JUDGES 12

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

/* That all values are finite that the device would have to hold. */
static int check_tensors(struct compiler *compiler, const struct reference *ref, size_t input)
{
	const struct xrnpe_graph *graph = compiler->graph;

	for (uint32_t n = 0; n < graph->node_count; n++) {
		const struct graph_node *node = &graph->nodes[n];

		for (uint32_t k = 0; k < node->output_count; k++) {
			uint32_t output = node->outputs[k];
			const float *values = output == GRAPH_NONE || !compiler->tensors[output].samples ||
					      graph->tensors[output].type != GRAPH_FLOAT ?
					      NULL : ref->tensors[output];

			for (size_t i = 0; values && i < graph_count(&graph->tensors[output].shape); i++) {
				if (!isfinite(values[i]))
					return graph_fail(graph, node, compiler->error, -EINVAL,
							  "calibration input %zu gives a value that is not finite",
							  input);
			}
		}
	}
	return 0;
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

/* Compute the network for calibration input @input. */
static int run_input(struct compiler *compiler, struct reference *ref, size_t input)
{
	const struct xrnpe_graph *graph = compiler->graph;
	char name[64];
	int ret;

	for (uint32_t i = 0; i < graph->input_count; i++) {
		const struct xrnpe_tensor_info *info = &compiler->source->infos[i];

		if (!reference_set_input(ref, compiler->source, i,
					 compiler->options->calibration[i].data + input * info->count))
			continue;
		return xrnpe_fail(compiler->error, -EINVAL, "%s: input %s takes %s; calibration input %zu has "
				  "others", graph->name, graph_printable(info->name, name),
				  reference_takes(compiler->source, i), input);
	}
	reference_run(ref);
	ret = check_tensors(compiler, ref, input);
	return ret ? ret : compile_step(compiler);
}

static void sample_tensors(struct compiler *compiler, const struct reference *ref, uint32_t *random)
{
	uint32_t quota = (uint32_t)(COMPILE_SAMPLES / compiler->fitted_count);

	for (uint32_t i = 0; i < compiler->graph->tensor_count; i++) {
		if (compiler->tensors[i].samples && ref->tensors[i])
			sample_tensor(&compiler->tensors[i], ref->tensors[i], quota, random);
	}
}

/* Compute input @input, and keep all tensors, as the last of @count in @list. */
static struct reference *keep_input(struct compiler *compiler, size_t input, struct reference **list,
				    uint32_t count, int *ret)
{
	struct reference *ref = reference_new(compiler->graph);

	if (!ref) {
		*ret = xrnpe_fail_memory(compiler->error);
		return NULL;
	}
	list[count] = ref;
	*ret = run_input(compiler, ref, input);
	return ref;
}

/* Whether the @i-th of @count is one of @some that are spread evenly over them. */
static bool is_one_of(size_t i, size_t some, size_t count)
{
	return some * (i + 1) / count != some * i / count;
}

/* Inputs that numbers are fitted to: sample all, keep @keep of them, evenly spread. */
static int run_fitted(struct compiler *compiler, size_t keep)
{
	struct reference *spare = reference_new(compiler->graph);
	size_t count = compiler->fitted_count, images = keep < MAX_IMAGES ? keep : MAX_IMAGES, kept = 0;
	uint32_t random = 1;
	int ret = spare ? 0 : xrnpe_fail_memory(compiler->error);

	for (size_t i = 0; !ret && i < count; i++) {
		struct reference *ref = spare;

		if (!is_one_of(i, keep, count)) {
			ret = run_input(compiler, ref, compiler->inputs[i]);
		} else if (is_one_of(kept++, images, keep)) {
			ref = keep_input(compiler, compiler->inputs[i], compiler->images,
					 compiler->image_count, &ret);
			compiler->image_count += ref != NULL;
		} else {
			ref = keep_input(compiler, compiler->inputs[i], compiler->more_images,
					 compiler->more_count, &ret);
			compiler->more_count += ref != NULL;
		}
		if (!ret)
			sample_tensors(compiler, ref, &random);
	}
	reference_free(spare);
	return ret;
}

/*
 * Divide the kept inputs that numbers are fitted to into parts of compiler->judge_count each, as
 * cards are dealt, so that each is spread over the data; some may be left over.
 */
static int deal_inputs(struct compiler *compiler)
{
	uint32_t count = compiler->image_count, judges = count / ONE_JUDGES_OF, parts, dealt = 0;
	struct reference **images;

	compiler->judge_count = judges > MOST_JUDGES ? MOST_JUDGES : judges;
	if (!judges)
		return 0;
	images = malloc(count * sizeof(*images));
	if (!images)
		return xrnpe_fail_memory(compiler->error);
	memcpy(images, compiler->images, count * sizeof(*images));
	parts = count / compiler->judge_count;
	for (uint32_t first = 0; first < parts; first++) {
		for (uint32_t i = first; i < count; i += parts)
			compiler->images[dealt++] = images[i];
	}
	free(images);
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
		plan->samples = malloc(COMPILE_SAMPLES * sizeof(*plan->samples));
		if (!plan->samples)
			return xrnpe_fail_memory(compiler->error);
	}
	return 0;
}

/* Which tensors are needed of any input: where the network begins and ends. */
static bool *list_needed(const struct compiler *compiler)
{
	const struct xrnpe_graph *graph = compiler->graph;
	bool *needed = calloc(graph->tensor_count + 1, sizeof(*needed));

	for (uint32_t i = 0; needed && i < graph->input_count; i++)
		needed[graph->inputs[i]] = true;
	for (uint32_t e = 0; needed && e < compiler->end_count; e++)
		needed[compiler->ends[e].tensor] = true;
	return needed;
}

/* @count inputs that nothing is fitted to: all tensors of the first @whole. */
static int run_unseen(struct compiler *compiler, size_t count, size_t whole)
{
	bool *needed = list_needed(compiler);
	int ret = needed ? 0 : xrnpe_fail_memory(compiler->error);

	for (size_t i = 0; !ret && i < count; i++) {
		struct reference *ref = keep_input(compiler, compiler->inputs[compiler->fitted_count + i],
						   compiler->images,
						   compiler->image_count + compiler->unseen_count, &ret);

		compiler->unseen_count += ref != NULL;
		if (ref && i >= whole)
			reference_reduce(ref, needed);
	}
	free(needed);
	return ret;
}

/* Between 1 and @most. */
static size_t clamp(size_t value, size_t most)
{
	return value < 1 ? 1 : value < most ? value : most;
}

int calibrate_run(struct compiler *compiler)
{
	size_t room = MAX_IMAGE_BYTES / image_bytes_of(compiler->graph);
	/* What runs the model takes some memory for each. */
	size_t unseen = compiler->unseen_wanted ? clamp(room, compiler->unseen_wanted) : 0;
	size_t whole = unseen ? clamp(room / 4, unseen < MAX_WHOLE_ASIDE ? unseen : MAX_WHOLE_ASIDE) : 0;
	size_t keep = clamp(room < whole ? 0 : room - whole,
			    compiler->fitted_count < MAX_FITTED ? compiler->fitted_count : MAX_FITTED);
	int ret = prepare_samples(compiler);

	compiler->images = calloc(keep + unseen, sizeof(*compiler->images));
	compiler->more_images = calloc(keep, sizeof(*compiler->more_images));
	if (!compiler->images || !compiler->more_images)
		return xrnpe_fail_memory(compiler->error);
	if (!ret)
		ret = run_fitted(compiler, keep);
	if (!ret)
		ret = run_unseen(compiler, unseen, whole);
	return ret ? ret : deal_inputs(compiler);
}

// SPDX-License-Identifier: MIT
/*
 * Bytes as a network, compiled if it is a small one, written, read and run; by libFuzzer.
 * Whatever compiles is a model that is taken, and whose commands the device executes.
 */
#include <stdio.h>
#include <stdlib.h>

#include "fuzz/graphs.h"
#include "random.h"

#define INPUTS 6
#define MOST_PRODUCTS 100000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ret, const struct xrnpe_error *error)
{
	if (!ret)
		return;
	fprintf(stderr, "%s\n", error->message);
	abort();
}

static void *allocate(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	if (!memory)
		abort();
	return memory;
}

/* Reals from -1 to 1, or integers that many an index is. */
static struct xrnpe_array inputs_of(const struct xrnpe_tensor_info *info, uint64_t *state)
{
	struct xrnpe_array array = {
		.rank = info->rank + 1, .dims = { INPUTS }, .count = INPUTS * info->count,
	};

	for (unsigned int i = 1; i < XRNPE_MAX_RANK; i++)
		array.dims[i] = i <= info->rank ? info->dims[i - 1] : 1;
	array.data = allocate(array.count, sizeof(*array.data));
	for (size_t i = 0; i < array.count; i++)
		array.data[i] = info->type == XRNPE_TYPE_FLOAT ?
				(float)random_below(state, 2001) / 1000 - 1 : (float)random_below(state, 2);
	return array;
}

/* The model as it is when it was a file. */
static struct xrnpe_model *read_again(const struct xrnpe_model *model)
{
	struct xrnpe_model *again;
	struct xrnpe_error error;
	size_t size = 0;
	void *bytes;

	xrnpe_model_pack(model, NULL, &size, NULL);
	bytes = allocate(1, size);
	must(xrnpe_model_pack(model, bytes, &size, &error), &error);
	must(xrnpe_model_parse("again", bytes, size, &again, &error), &error);
	free(bytes);
	return again;
}

static void run(struct xrnpe_model *model, const struct xrnpe_array *inputs)
{
	unsigned int in_count = xrnpe_model_input_count(model);
	unsigned int out_count = xrnpe_model_output_count(model);
	const float **in = allocate(in_count, sizeof(*in));
	float **out = allocate(out_count, sizeof(*out));
	struct xrnpe_session *session;
	struct xrnpe_device *device;
	struct xrnpe_error error;

	for (unsigned int i = 0; i < in_count; i++)
		in[i] = inputs[i].data;
	for (unsigned int i = 0; i < out_count; i++)
		out[i] = allocate(INPUTS * xrnpe_model_output(model, i)->count, sizeof(**out));
	must(xrnpe_device_open("emu", &device, &error), &error);
	must(xrnpe_session_new(device, model, NULL, &session, &error), &error);
	must(xrnpe_session_run(session, INPUTS, in, out, NULL, NULL, NULL, &error), &error);
	xrnpe_session_free(session);
	xrnpe_device_close(device);
	for (unsigned int i = 0; i < out_count; i++)
		free(out[i]);
	free(out);
	free(in);
}

static void compile(const struct xrnpe_graph *graph)
{
	struct xrnpe_array *inputs = allocate(graph->input_count, sizeof(*inputs));
	struct xrnpe_compile_options options = { .calibration = inputs, .points = 2 };
	struct xrnpe_model *model, *again;
	uint64_t state = 1;

	for (uint32_t i = 0; i < graph->input_count; i++)
		inputs[i] = inputs_of(xrnpe_graph_input(graph, i), &state);
	if (!xrnpe_compile(graph, &options, &model, NULL)) {
		again = read_again(model);
		run(again, inputs);
		xrnpe_model_free(again);
		xrnpe_model_free(model);
	}
	for (uint32_t i = 0; i < graph->input_count; i++)
		xrnpe_array_clear(&inputs[i]);
	free(inputs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct xrnpe_graph *graph;

	/* Threads are slow to start, and hide what is slow. */
	setenv("XRNPE_THREADS", "1", 1);
	if (xrnpe_graph_parse("model", data, size, NULL, &graph, NULL))
		return 0;
	if (fuzz_is_small(graph, MOST_PRODUCTS))
		compile(graph);
	xrnpe_graph_free(graph);
	return 0;
}

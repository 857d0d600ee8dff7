// SPDX-License-Identifier: MIT
/*
 * Damaged ONNX files. Whatever the bytes, the importer answers: with a graph that
 * runs, or with a message. `make check-asan` sees to what it does on the way.
 */
#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "unit/graph_tests.h"
#include "unit/onnx_builder.h"

/* Run @graph on zeros, if it is small. */
static void run_small(const struct xrnpe_graph *graph)
{
	unsigned int inputs = xrnpe_graph_input_count(graph), outputs = xrnpe_graph_output_count(graph);
	const float *in[8];
	float *out[8], *room = calloc(10000, sizeof(*room));
	struct xrnpe_error error;
	bool small = room && inputs <= 8 && outputs <= 8;

	for (unsigned int i = 0; small && i < inputs; i++) {
		small = xrnpe_graph_input(graph, i)->count <= 10000;
		in[i] = room;
	}
	for (unsigned int i = 0; i < 8; i++)
		out[i] = NULL;
	for (unsigned int i = 0; small && i < outputs; i++) {
		small = xrnpe_graph_output(graph, i)->count <= 10000;
		out[i] = malloc(10000 * sizeof(*out[i]));
	}
	if (small)
		ck_assert_int_eq(xrnpe_graph_run(graph, 1, in, out, NULL, NULL, &error), 0);
	for (unsigned int i = 0; i < 8; i++)
		free(out[i]);
	free(room);
}

/* Import from memory that ends where the file does; run what comes of it, if small. */
static bool survive(const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size ? size : 1);
	struct xrnpe_graph *graph = NULL;
	struct xrnpe_error error = { 0 };
	int ret;

	ck_assert_ptr_nonnull(exact);
	memcpy(exact, data, size);
	ret = xrnpe_graph_parse("m.onnx", exact, size, NULL, &graph, &error);
	free(exact);
	ck_assert_int_eq(ret, error.code);
	if (ret) {
		ck_assert_ptr_null(graph);
		ck_assert_int_eq(strncmp(error.message, "m.onnx: ", 8), 0);
		return false;
	}
	run_small(graph);
	xrnpe_graph_free(graph);
	return true;
}

START_TEST(truncated)
{
	Onnx__ModelProto *model = onnx_resnet();
	size_t size, step;
	uint8_t *data = onnx_pack(model, &size);

	ck_assert(survive(data, size));
	/* Every length of the small parts, and some of the long runs of weights. */
	for (size_t length = 0; length < size; length += step) {
		survive(data, length);
		step = length < 600 || size - length < 600 ? 1 : 37;
	}
	onnx_free(model);
	free(data);
}
END_TEST

static uint32_t next(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 4;
}

START_TEST(mutated)
{
	Onnx__ModelProto *model = onnx_resnet();
	size_t size, accepted = 0;
	uint8_t *data = onnx_pack(model, &size), *copy = malloc(size);
	uint32_t state = (uint32_t)_i;

	ck_assert_ptr_nonnull(copy);
	for (int round = 0; round < 250; round++) {
		static const uint8_t telling[] = { 0, 1, 0x7f, 0x80, 0xff };
		size_t length = size;

		memcpy(copy, data, size);
		for (uint32_t k = 1 + next(&state) % 4; k--;) {
			size_t at = next(&state) % length, run = next(&state) % 8;

			switch (next(&state) % 4) {
			case 0:	/* a bit */
				copy[at] ^= 1u << next(&state) % 8;
				break;
			case 1:	/* a byte */
				copy[at] = telling[next(&state) % 5];
				break;
			case 2:	/* bytes lost */
				run = run < length - at ? run : length - at;
				memmove(copy + at, copy + at + run, length - at - run);
				length -= run;
				break;
			default:	/* bytes from elsewhere */
				run = run < length - at ? run : length - at;
				memmove(copy + at, copy + next(&state) % (length - run), run);
			}
			if (length < 16)
				break;
		}
		accepted += survive(copy, length);
	}
	/* Most of the bytes are weights, where any will do. */
	ck_assert_uint_gt(accepted, 10);
	ck_assert_uint_lt(accepted, 240);
	onnx_free(model);
	free(data);
	free(copy);
}
END_TEST

/* Mutations where the structure is: the weights left out of account. */
START_TEST(structure_mutated)
{
	Onnx__ModelProto *model = onnx_resnet();
	Onnx__GraphProto *graph = model->graph;
	uint32_t state = (uint32_t)_i + 1000;

	for (int round = 0; round < 250; round++) {
		Onnx__NodeProto *node = graph->node[next(&state) % graph->n_node];
		Onnx__TensorProto *tensor =
			graph->initializer[next(&state) % graph->n_initializer];
		static const int64_t values[] = {
			0, 1, -1, 2, 3, 7, 255, 256, 65535, 65536, INT32_MAX, INT32_MIN,
			INT64_C(1) << 32, INT64_MAX, INT64_MIN,
		};
		int64_t value = values[next(&state) % 15], *place = NULL, old = 0;
		char **input = &node->input[next(&state) % node->n_input], *name = *input;
		uint8_t *data;
		size_t size;

		switch (next(&state) % 4) {
		case 0:
			place = &tensor->dims[next(&state) % tensor->n_dims];
			break;
		case 1:
			if (node->n_attribute && node->attribute[0]->n_ints)
				place = &node->attribute[0]->ints[next(&state) %
								  node->attribute[0]->n_ints];
			break;
		case 2:
			/* Not the batch's, which has a name. */
			place = &graph->input[0]->type->tensor_type->shape
				->dim[1 + next(&state) % 3]->dim_value;
			break;
		default:	/* another tensor in its place */
			node = graph->node[next(&state) % graph->n_node];
			*input = next(&state) % 2 ? node->output[0] : tensor->name;
		}
		if (place) {
			old = *place;
			*place = value;
		}
		data = onnx_pack(model, &size);
		if (place)
			*place = old;
		*input = name;
		survive(data, size);
		free(data);
	}
	onnx_free(model);
}
END_TEST

TCase *graph_fuzz_tests(void)
{
	TCase *tests = tcase_create("fuzz");

	tcase_set_timeout(tests, 120);
	tcase_add_test(tests, truncated);
	tcase_add_loop_test(tests, mutated, 0, 12);
	tcase_add_loop_test(tests, structure_mutated, 0, 12);
	return tests;
}

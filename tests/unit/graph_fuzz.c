// SPDX-License-Identifier: MIT
/*
 * Damaged files, ONNX and TensorFlow Lite. Whatever the bytes, the importer answers: with a
 * graph that runs, or with a message. `make check-asan` sees to what it does on the way.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz/graphs.h"
#include "unit/graph_tests.h"
#include "unit/lite_builder.h"
#include "unit/onnx_builder.h"

/* Import from memory that ends where the file does; run what comes of it, if small. */
static bool survive(const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size ? size : 1);
	struct xrnpe_graph *graph = NULL;
	struct xrnpe_error error = { 0 };
	int ret;

	ck_assert_ptr_nonnull(exact);
	memcpy(exact, data, size);
	ret = xrnpe_graph_parse("model", exact, size, NULL, &graph, &error);
	free(exact);
	ck_assert_int_eq(ret, error.code);
	if (ret) {
		ck_assert_ptr_null(graph);
		ck_assert_int_eq(strncmp(error.message, "model: ", 7), 0);
		return false;
	}
	ck_assert_int_eq(fuzz_run_small(graph), 0);
	xrnpe_graph_free(graph);
	return true;
}

/* Every length of the small parts, and some of the long runs of weights. */
static void cut_off(const uint8_t *data, size_t size)
{
	size_t step;

	ck_assert(survive(data, size));
	for (size_t length = 0; length < size; length += step) {
		survive(data, length);
		step = length < 600 || size - length < 600 ? 1 : 37;
	}
}

START_TEST(truncated)
{
	Onnx__ModelProto *model = onnx_resnet();
	size_t size;
	uint8_t *data = onnx_pack(model, &size);

	cut_off(data, size);
	onnx_free(model);
	free(data);
}
END_TEST

START_TEST(lite_truncated)
{
	struct lite_model *model = lite_network();
	size_t size;
	uint8_t *data = lite_pack(model, &size);

	cut_off(data, size);
	free(model);
	free(data);
}
END_TEST

static uint32_t next(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 4;
}

/* Change some bytes of @copy; the length that is left. */
static size_t mutate(uint8_t *copy, size_t length, uint32_t *state)
{
	static const uint8_t telling[] = { 0, 1, 0x7f, 0x80, 0xff };

	for (uint32_t k = 1 + next(state) % 4; k--;) {
		size_t at = next(state) % length, run = next(state) % 8;

		switch (next(state) % 4) {
		case 0:	/* a bit */
			copy[at] ^= 1u << next(state) % 8;
			break;
		case 1:	/* a byte */
			copy[at] = telling[next(state) % 5];
			break;
		case 2:	/* bytes lost */
			run = run < length - at ? run : length - at;
			memmove(copy + at, copy + at + run, length - at - run);
			length -= run;
			break;
		default:	/* bytes from elsewhere */
			run = run < length - at ? run : length - at;
			memmove(copy + at, copy + next(state) % (length - run), run);
		}
		if (length < 16)
			break;
	}
	return length;
}

/* How many of 250 mutations are taken. */
static size_t mutate_often(const uint8_t *data, size_t size, uint32_t state)
{
	uint8_t *copy = malloc(size);
	size_t accepted = 0;

	ck_assert_ptr_nonnull(copy);
	for (int round = 0; round < 250; round++) {
		memcpy(copy, data, size);
		accepted += survive(copy, mutate(copy, size, &state));
	}
	free(copy);
	return accepted;
}

START_TEST(mutated)
{
	Onnx__ModelProto *model = onnx_resnet();
	size_t size, accepted;
	uint8_t *data = onnx_pack(model, &size);

	accepted = mutate_often(data, size, (uint32_t)_i);
	/* Most of the bytes are weights, where any will do. */
	ck_assert_uint_gt(accepted, 10);
	ck_assert_uint_lt(accepted, 240);
	onnx_free(model);
	free(data);
}
END_TEST

/* The same; and the weights left out of account, which are behind most of the structure. */
START_TEST(lite_mutated)
{
	struct lite_model *model = lite_network();
	size_t size, accepted;
	uint8_t *data;

	if (_i % 2) {
		for (uint32_t i = 0; i < model->tensor_count; i++)
			model->tensors[i].behind = model->tensors[i].data && model->tensors[i].size > 100;
	}
	data = lite_pack(model, &size);
	accepted = mutate_often(data, size, (uint32_t)_i);
	ck_assert_uint_gt(accepted, 10);
	ck_assert_uint_lt(accepted, 240);
	free(model);
	free(data);
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

/* A number somewhere in the model. */
static int32_t *pick_number(struct lite_model *model, uint32_t *state)
{
	struct lite_tensor *tensor = &model->tensors[next(state) % model->tensor_count];
	struct lite_operator *op = &model->operators[next(state) % model->operator_count];

	switch (next(state) % 4) {
	case 0:
		return &tensor->dims[next(state) % (tensor->rank + 1)];
	case 1:
		return &op->inputs[next(state) % op->input_count];
	case 2:
		return &op->outputs[0];
	default:
		return &op->code;
	}
}

/* Mutations where the structure is: a number, or an option. */
START_TEST(lite_structure_mutated)
{
	static const int32_t values[] = { 0, 1, -1, 2, 3, 7, 23, 255, 65536, INT32_MAX, INT32_MIN };
	uint32_t state = (uint32_t)_i + 1000;

	for (int round = 0; round < 250; round++) {
		struct lite_model *model = lite_network();
		struct lite_operator *op = &model->operators[next(&state) % model->operator_count];
		uint32_t field = next(&state) % LITE_MOST;
		int32_t value = values[next(&state) % 11];
		uint8_t *data;
		size_t size;

		if (next(&state) % 2)
			lite_set(op, field, op->options[field].size ? op->options[field].size : 4, value);
		else
			*pick_number(model, &state) = value;
		data = lite_pack(model, &size);
		survive(data, size);
		free(model);
		free(data);
	}
}
END_TEST

TCase *graph_fuzz_tests(void)
{
	TCase *tests = tcase_create("fuzz");

	tcase_set_timeout(tests, 120);
	tcase_add_test(tests, truncated);
	tcase_add_loop_test(tests, mutated, 0, 12);
	tcase_add_loop_test(tests, structure_mutated, 0, 12);
	tcase_add_test(tests, lite_truncated);
	tcase_add_loop_test(tests, lite_mutated, 0, 12);
	tcase_add_loop_test(tests, lite_structure_mutated, 0, 12);
	return tests;
}

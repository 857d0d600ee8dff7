// SPDX-License-Identifier: MIT
/*
 * Reading TensorFlow Lite models. Where the environment variable XRNPE_LITE_MODELS names a
 * folder, the models of lite_rows.c are left there with their inputs and what they give, for
 * tests/lite to compare.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "operator.h"
#include "tflite/reader.h"
#include "tflite/schema.h"
#include "unit/graph_tests.h"
#include "unit/lite_graph.h"
#include "unit/lite_rows.h"

static struct xrnpe_error error;

/* ---- an operator ----------------------------------------------------------- */

static size_t count_of(const struct lite_operand *operand)
{
	size_t count = 1;

	for (uint32_t i = 0; i < operand->rank; i++)
		count *= (size_t)operand->dims[i];
	return count;
}

static float value_of(const struct lite_operand *operand, size_t i)
{
	return operand->values ? operand->values[i] : (float)(i + 1);
}

static bool is_input(const struct lite_operand *operand)
{
	return operand->kind == LITE_INPUT || operand->kind == LITE_BOOL_INPUT;
}

static int8_t type_of(const struct lite_operand *operand)
{
	return operand->kind == LITE_HALF ? LITE_TYPE_FLOAT16 :
	       operand->kind == LITE_INT32 ? LITE_TYPE_INT32 :
	       operand->kind == LITE_BOOL || operand->kind == LITE_BOOL_INPUT ? LITE_TYPE_BOOL :
	       LITE_TYPE_FLOAT32;
}

/* The bits of a number that is one of binary16, and neither small nor 0. */
static uint32_t half_bits(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return (bits >> 16 & 0x8000) | ((bits >> 13 & 0x3ffff) - (112 << 10));
}

/* Elements of a constant as the file has them; to @memory. */
static size_t pack(const struct lite_operand *operand, void *memory)
{
	size_t count = count_of(operand);
	size_t size = operand->kind == LITE_BOOL ? 1 : operand->kind == LITE_HALF ? 2 : 4;

	for (size_t i = 0; i < count; i++) {
		float value = value_of(operand, i);
		uint32_t bits = operand->kind == LITE_HALF ? half_bits(value) : (uint32_t)(int32_t)value;
		const void *from = operand->kind == LITE_FLOAT ? (const void *)&value : &bits;

		memcpy((char *)memory + i * size, from, size);
	}
	return count * size;
}

/* The same image behind an operator that has channels first. */
static int32_t pass(struct lite_model *model, int32_t tensor)
{
	struct lite_operator *op = lite_operator(model, "MAX_POOL_2D", "pooled", 1, &tensor);

	for (uint32_t i = WINDOW_STRIDE_W; i <= POOL_HEIGHT; i++)
		lite_set(op, i, 4, 1);
	return lite_last(model);
}

/* The row as a model; @pooled: its images come from such an operator. */
static struct lite_model *make(const struct lite_row *row, bool pooled, void *memory)
{
	struct lite_model *model = lite_new();
	int32_t inputs[LITE_MOST];
	struct lite_operator *op;
	uint32_t count = 0;

	for (; row->inputs[count].kind; count++) {
		const struct lite_operand *operand = &row->inputs[count];

		inputs[count] = operand->kind == LITE_LEFT_OUT ? -1 :
				lite_tensor(model, is_input(operand) ? "x" : "", operand->rank, operand->dims);
		if (operand->kind == LITE_LEFT_OUT)
			continue;
		model->tensors[inputs[count]].type = type_of(operand);
		if (is_input(operand)) {
			lite_input(model, inputs[count]);
			if (pooled && operand->kind == LITE_INPUT && operand->rank == 4)
				inputs[count] = pass(model, inputs[count]);
			continue;
		}
		model->tensors[inputs[count]].data = memory;
		model->tensors[inputs[count]].size = pack(operand, memory);
		memory = (char *)memory + model->tensors[inputs[count]].size;
	}
	op = lite_operator(model, row->op, "y", count, inputs);
	if (row->options_kind)
		op->options_kind = row->options_kind;
	memcpy(op->options, row->options, sizeof(row->options));
	for (uint32_t i = 0; row->outputs[i].kind; i++) {
		if (i) {
			op->outputs[i] = lite_tensor(model, "z", 0, NULL);
			op->output_count++;
		}
		model->tensors[op->outputs[i]].type = type_of(&row->outputs[i]);
		lite_output(model, op->outputs[i]);
	}
	return model;
}

static void keep_file(const char *folder, int number, const char *suffix, const void *data,
		      size_t size)
{
	char path[512];
	FILE *file;

	ck_assert_int_lt(snprintf(path, sizeof(path), "%s/%d%s", folder, number, suffix), sizeof(path));
	file = fopen(path, "wb");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(data, 1, size, file), size);
	ck_assert_int_eq(fclose(file), 0);
}

/* The model, its inputs as float one after the other, and so its outputs. */
static void keep(const char *name, int number, const struct lite_model *model, const float *values,
		 size_t value_count, const float *results, size_t result_count)
{
	const char *folder = getenv("XRNPE_LITE_MODELS");
	size_t size;
	uint8_t *data;

	if (!folder)
		return;
	data = lite_pack(model, &size);
	keep_file(folder, number, ".tflite", data, size);
	free(data);
	keep_file(folder, number, ".inputs", values, value_count * sizeof(*values));
	keep_file(folder, number, ".outputs", results, result_count * sizeof(*results));
	keep_file(folder, number, ".name", name, strlen(name));
}

static void keep_row(const struct lite_row *row, int number, const struct lite_model *model,
		     const float *values, size_t value_count,
		     float results[LITE_OUTPUTS][LITE_ELEMENTS])
{
	float all[LITE_OUTPUTS * LITE_ELEMENTS];
	size_t count = 0;
	char name[128];

	snprintf(name, sizeof(name), "%s%s%s", row->op, *row->what ? ", " : "", row->what);
	for (uint32_t i = 0; row->outputs[i].kind; i++) {
		memcpy(all + count, results[i], count_of(&row->outputs[i]) * sizeof(*all));
		count += count_of(&row->outputs[i]);
	}
	keep(name, number, model, values, value_count, all, count);
}

static void check_output(const struct lite_row *row, const struct lite_operand *want,
			 const struct xrnpe_tensor_info *info, const float *got)
{
	ck_assert_msg(info->rank == want->rank, "%s, %s: rank %u", row->op, row->what, info->rank);
	for (uint32_t i = 0; i < info->rank; i++)
		ck_assert_msg(info->dims[i] == (size_t)want->dims[i], "%s, %s: dimension %u is %zu", row->op,
			      row->what, i, info->dims[i]);
	ck_assert_int_eq(info->type, want->kind == LITE_FLOAT ? XRNPE_TYPE_FLOAT :
			 want->kind == LITE_INT32 ? XRNPE_TYPE_INT : XRNPE_TYPE_BOOL);
	for (size_t i = 0; i < info->count; i++) {
		float value = value_of(want, i);

		ck_assert_msg(fabsf(got[i] - value) <= 2e-6f * fmaxf(1, fabsf(value)),
			      "%s, %s: element %zu is %g, not %g", row->op, row->what, i, got[i], value);
	}
}

/* The values of the network's inputs, one after the other; returns how many. */
static size_t fill(const struct lite_row *row, float values[LITE_ELEMENTS])
{
	size_t count = 0;

	for (uint32_t i = 0; row->inputs[i].kind; i++) {
		if (!is_input(&row->inputs[i]))
			continue;
		for (size_t k = 0; k < count_of(&row->inputs[i]); k++)
			values[count++] = value_of(&row->inputs[i], k);
	}
	return count;
}

START_TEST(operators)
{
	const struct lite_row *row = &lite_rows[_i / 2];
	float values[LITE_ELEMENTS], results[LITE_OUTPUTS][LITE_ELEMENTS];
	char memory[1024];
	struct lite_model *model = make(row, _i % 2, memory);
	struct xrnpe_graph *graph = lite_take(model, NULL, &error);
	size_t count = fill(row, values);

	ck_assert_msg(graph != NULL, "%s, %s: %s", row->op, row->what, error.message);
	lite_run(graph, values, results);
	for (unsigned int i = 0; i < xrnpe_graph_output_count(graph); i++)
		check_output(row, &row->outputs[i], xrnpe_graph_output(graph, i), results[i]);
	xrnpe_graph_free(graph);
	model = make(row, _i % 2, memory);
	keep_row(row, _i, model, values, count, results);
	free(model);
}
END_TEST

/* Whatever is supported is tested. */
START_TEST(all_operators)
{
	for (int32_t code = 0; code <= INT16_MAX; code++) {
		const struct tflite_operator *op = tflite_builtin(code);
		bool tested = !op || !op->make;

		for (size_t i = 0; !tested && i < lite_row_count; i++)
			tested = !strcmp(lite_rows[i].op, op->name);
		ck_assert_msg(tested, "%s is not tested", op->name);
	}
}
END_TEST

/* What convolutions read is transposed once, and what a matrix reads is transposed back. */
START_TEST(network)
{
	static const char *const names[] = {
		"Transpose", "Conv+PRelu", "Conv+Clip", "Add", "Pad", "MaxPool", "Resize", "Concat", "Transpose",
		"Gemm", "Reshape", "Sigmoid",
	};
	static const float want[] = { 0.680324435f, 0.999367833f, 0.000547718839f, 0.923808157f };
	float values[12 * 12 * 3], results[LITE_OUTPUTS][LITE_ELEMENTS];
	struct xrnpe_graph *graph = lite_take(lite_network(), NULL, &error);
	struct lite_model *model = lite_network();
	size_t count = sizeof(values) / sizeof(*values);

	ck_assert_msg(graph != NULL, "%s", error.message);
	ck_assert_uint_eq(graph->node_count, sizeof(names) / sizeof(*names));
	for (uint32_t i = 0; i < graph->node_count; i++)
		ck_assert_str_eq(graph->nodes[i].op_names, names[i]);
	for (size_t i = 0; i < count; i++)
		values[i] = (float)(i % 7) / 4 - 1;
	lite_run(graph, values, results);
	keep("a network", 2 * (int)lite_row_count, model, values, count, results[0], 4);
	xrnpe_graph_free(graph);
	lite_expect(model, values, 4, want);
}
END_TEST

TCase *graph_tflite_tests(void)
{
	TCase *tests = tcase_create("tflite");

	tcase_add_loop_test(tests, operators, 0, 2 * (int)lite_row_count);
	tcase_add_test(tests, all_operators);
	tcase_add_test(tests, network);
	return tests;
}

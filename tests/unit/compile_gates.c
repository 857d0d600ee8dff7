// SPDX-License-Identifier: MIT
/* HardSwish at 16 bits: however it is written it takes no table, unless that is faster and time counts. */
#include <stdlib.h>
#include <string.h>

#include "unit/compile_run.h"
#include "unit/compile_tests.h"

/* Add nodes "output = operator inputs;" to a model; inputs that are numbers are constants. */
static void add_nodes(Onnx__ModelProto *onnx, const char *text)
{
	char *all = strdup(text), *rest = NULL;

	for (char *line = strtok_r(all, ";", &rest); line; line = strtok_r(NULL, ";", &rest)) {
		char *words = NULL, inputs[80] = "";
		const char *output = strtok_r(line, " ", &words), *op;

		strtok_r(NULL, " ", &words);
		op = strtok_r(NULL, " ", &words);
		for (char *word = strtok_r(NULL, " ", &words); word; word = strtok_r(NULL, " ", &words)) {
			char *end;
			float number = strtof(word, &end);

			strcat(strcat(inputs, *inputs ? " " : ""), word);
			if (!*end)
				onnx_floats(onnx, word, 0, (int64_t[]){ 0 }, &number);
		}
		onnx_node(onnx, op, inputs, output);
	}
	free(all);
}

/* The number of tables of a model for all in Posit(16,1). */
static unsigned int tables(const struct xrnpe_graph *graph, double cycles, double tolerance)
{
	static const struct xrnpe_layer_formats wide = { .weight = XRNPE_FORMAT_P16, .input = XRNPE_FORMAT_P16 };
	struct xrnpe_array *calibration = noise(graph, CALIBRATION, 1);
	const struct xrnpe_compile_options options = {
		.calibration = calibration, .formats = &wide, .format_count = 1, .limits.cycles = cycles,
	};
	struct xrnpe_model *model;
	unsigned int count = 0;

	ck_assert_msg(!xrnpe_compile(graph, &options, &model, &error), "%s", error.message);
	ck_assert_double_le(run_error(graph, model), tolerance);
	for (uint32_t i = 0; i < model->cmd_count; i++)
		count += model->cmds[i].opcode == XRNPE_OP_LUT;
	xrnpe_model_free(model);
	noise_free(graph, calibration);
	return count;
}

START_TEST(written)
{
	static const struct {
		const char *nodes;
		unsigned int tables;
	} cases[] = {
		{ "y = HardSwish c", 0 },
		{ "h = HardSigmoid c; y = Mul c h", 0 },
		{ "a = Add c 3; l = Clip a 0 6; m = Mul c l; y = Div m 6.0", 0 },
		{ "a = Add 3 c; r = Relu a; l = Min r 6; d = Div l 6.0; y = Mul c d", 0 },
		{ "s = Mul c 0.25; a = Sub s -0.5; l = Max a 0; n = Min 1 l; y = Mul n c", 0 },
		{ "s = Mul c 0.5; l = Clip c -1 1; y = Mul l s", 0 },
		/* Limits that nothing comes near to, or that all is beyond. */
		{ "l = Clip c 0 1000000; y = Mul c l", 0 },
		{ "s = Mul c 0.001; l = Clip s 1 2; y = Mul c l", 0 },
		/* Limits that fall, an offset on the other side, no limit, another function. */
		{ "n = Sub 3 c; l = Clip n 0 6; y = Mul c l", 0 },
		{ "a = Add c 3; l = Clip a 0 6; n = Mul l -1; y = Mul c n", 1 },
		{ "a = Add c 3; l = Clip a 0 6; b = Add c 1; y = Mul l b", 1 },
		{ "a = Add c 3; r = Relu a; y = Mul c r", 1 },
		{ "s = Sigmoid c; y = Mul c s", 1 },
	};
	Onnx__ModelProto *onnx = image_network(4, 6, 5);
	struct xrnpe_graph *graph;

	onnx_floats(onnx, "w", DIMS(4, 4, 1, 1), NULL);
	onnx_node(onnx, "Conv", "x w", "c");
	add_nodes(onnx, cases[_i].nodes);
	graph = load(onnx);
	ck_assert_uint_eq(tables(graph, 0, 2e-3), cases[_i].tables);
	xrnpe_graph_free(graph);
}
END_TEST

/*
 * Two of a large image and a small one. For time alone, a table is faster for the large ones, and for
 * the small one it is not; else it is not worth its bytes, of which the network has few.
 */
START_TEST(large)
{
	Onnx__ModelProto *onnx = image_network(8, 96, 96);
	struct xrnpe_graph *graph;

	onnx_floats(onnx, "w", DIMS(8, 8, 1, 1), NULL);
	onnx_node(onnx, "Conv", "x w", "a");
	onnx_node(onnx, "HardSwish", "a", "b");
	onnx_node(onnx, "Conv", "b w", "c");
	onnx_node(onnx, "HardSwish", "c", "d");
	onnx_node(onnx, "GlobalAveragePool", "d", "e");
	onnx_node(onnx, "HardSwish", "e", "y");
	graph = load(onnx);
	ck_assert_uint_eq(tables(graph, 1e12, 5e-3), 2);
	ck_assert_uint_eq(tables(graph, 0, 5e-3), 0);
	xrnpe_graph_free(graph);
}
END_TEST

TCase *compile_gates_tests(void)
{
	TCase *tests = tcase_create("gates");

	tcase_set_timeout(tests, 120);
	tcase_add_loop_test(tests, written, 0, 13);
	tcase_add_test(tests, large);
	return tests;
}

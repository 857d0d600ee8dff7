// SPDX-License-Identifier: MIT
/* Constants that are read as tensors are: positions of tokens, grids of boxes, what is joined. */
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "unit/compile_run.h"
#include "unit/compile_tests.h"

/* A convolution's image of 4 x 5 x 6 as c, and tokens of the same, 5 x 6 x 4, as t. */
static Onnx__ModelProto *computed(void)
{
	Onnx__ModelProto *onnx = image_network(4, 5, 6);

	onnx_floats(onnx, "w", DIMS(4, 4, 1, 1), NULL);
	onnx_node(onnx, "Conv", "x w", "c");
	onnx_attr_ints(onnx_node(onnx, "Transpose", "c", "t"), "perm", DIMS(0, 2, 3, 1));
	onnx_floats(onnx, "whole", DIMS(1, 4, 5, 6), NULL);
	onnx_floats(onnx, "line", DIMS(6), NULL);
	onnx_floats(onnx, "lines", DIMS(5, 1), NULL);
	onnx_floats(onnx, "pixels", DIMS(1, 5, 6, 1), NULL);
	onnx_floats(onnx, "more", DIMS(1, 3, 5, 6), NULL);
	/* Of more axes than images have, of which the outermost is repeated, or one of those between. */
	onnx_ints(onnx, "dims", 5, (int64_t[]){ 2, 2, 5, 2, 3 });
	onnx_node(onnx, "Reshape", "c dims", "rows");
	onnx_floats(onnx, "row", DIMS(2, 5, 2, 3), NULL);
	onnx_floats(onnx, "between", DIMS(2, 1, 5, 1, 3), NULL);
	return onnx;
}

/* Of which some lines, pixels or channels are repeated, and of which nothing is. */
START_TEST(read)
{
	static const char *const cases[][2] = {
		{ "Add", "c whole" }, { "Sub", "whole c" }, { "Sub", "c whole" }, { "Mul", "c whole" },
		{ "Max", "whole c" }, { "Min", "c whole" }, { "Mul", "c line" }, { "Add", "lines c" },
		{ "Mul", "t pixels" }, { "Concat", "c more" }, { "Concat", "more c" },
		{ "Add", "rows row" }, { "Sub", "row rows" }, { "Mul", "between rows" },
	};
	Onnx__ModelProto *onnx = computed();
	struct xrnpe_graph *graph;
	struct xrnpe_model *model;
	Onnx__NodeProto *node = onnx_node(onnx, cases[_i][0], cases[_i][1], "n");

	if (!strcmp(cases[_i][0], "Concat"))
		onnx_attr_int(node, "axis", 1);
	onnx_node(onnx, "Mul", "n n", "y");
	graph = load(onnx);
	model = faithful(graph, 2e-3);
	for (unsigned int i = 0; i < xrnpe_model_layer_count(model); i++)
		ck_assert_str_eq(xrnpe_model_layer(model, i)->why, "");
	ck_assert_uint_eq(model->step_count, 1);
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

/* They are counted as the model's bytes, in the format in which they are read. */
START_TEST(counted)
{
	Onnx__ModelProto *onnx = computed();
	struct xrnpe_graph *graph;
	struct xrnpe_model *model;
	uint64_t bytes = 0;

	onnx_node(onnx, "Mul", "c whole", "y");
	graph = load(onnx);
	model = faithful(graph, 2e-3);
	for (unsigned int i = 0; i < xrnpe_model_layer_count(model); i++)
		bytes = xrnpe_model_layer(model, i)->bytes;
	/* Codes of 16 bits and a record of scale and bias. */
	ck_assert_uint_eq(bytes, 4 * 5 * 6 * 2 + sizeof(struct xrnpe_scale));
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

/* What no format holds beside other numbers is added by the CPU, exactly. */
START_TEST(too_wide)
{
	static const char *const cases[][2] = { { "Add", "c mask" }, { "Concat", "c mask" } };
	Onnx__ModelProto *onnx = computed();
	const struct xrnpe_layer_info *layer;
	float mask[4 * 5 * 6] = { -1e9f };
	struct xrnpe_graph *graph;
	struct xrnpe_model *model;
	Onnx__NodeProto *node;

	onnx_floats(onnx, "mask", DIMS(1, 4, 5, 6), mask);
	node = onnx_node(onnx, cases[_i][0], cases[_i][1], "y");
	if (_i)
		onnx_attr_int(node, "axis", 1);
	graph = load(onnx);
	model = faithful(graph, 2e-3);
	layer = xrnpe_model_layer(model, xrnpe_model_layer_count(model) - 1);
	ck_assert_str_eq(layer->why, "its constant has numbers that no format holds beside others");
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

TCase *compile_constants_tests(void)
{
	TCase *tests = tcase_create("constants");

	tcase_set_timeout(tests, 120);
	tcase_add_loop_test(tests, read, 0, 14);
	tcase_add_test(tests, counted);
	tcase_add_loop_test(tests, too_wide, 0, 2);
	return tests;
}

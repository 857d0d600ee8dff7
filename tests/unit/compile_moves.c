// SPDX-License-Identifier: MIT
/* Nodes that give elements other places: transpositions of any axes, what is gathered, repetition. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "unit/compile_run.h"
#include "unit/compile_tests.h"

/* How many commands of the model, all of whose layers are on the device, move elements. */
static unsigned int count_copies(Onnx__ModelProto *onnx)
{
	struct xrnpe_graph *graph = load(onnx);
	struct xrnpe_model *model = faithful(graph, 2e-3);
	unsigned int count = 0;

	for (unsigned int i = 0; i < xrnpe_model_layer_count(model); i++)
		ck_assert_str_eq(xrnpe_model_layer(model, i)->why, "");
	for (uint32_t i = 0; i < model->cmd_count; i++)
		count += model->cmds[i].opcode == XRNPE_OP_COPY;
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
	return count;
}

/* An image of 8 x 4 x 6 that a convolution makes, as c. */
static Onnx__ModelProto *convolved(void)
{
	Onnx__ModelProto *onnx = image_network(8, 4, 6);

	onnx_floats(onnx, "w", DIMS(8, 8, 1, 1), NULL);
	onnx_node(onnx, "Conv", "x w", "c");
	return onnx;
}

/* Between changes of shape, so that an axis is of channels, of lines, or of some of both. */
START_TEST(transposed)
{
	static const struct {
		int64_t before[6], perm[6], after[4];
		size_t rank;
		unsigned int copies;
	} cases[] = {
		/* Channels change places. */
		{ { 1, 2, 4, 4, 6 }, { 0, 2, 1, 3, 4 }, { 1, 8, 4, 6 }, 5, 1 },
		/* They become pixels, one place of a block at a time. */
		{ { 1, 2, 2, 2, 4, 6 }, { 0, 1, 4, 2, 5, 3 }, { 1, 2, 8, 12 }, 6, 8 },
		/* Pixels become channels. */
		{ { 1, 8, 2, 2, 3, 2 }, { 0, 1, 3, 5, 2, 4 }, { 1, 32, 2, 3 }, 6, 4 },
		/* Blocks of pixels one after the other, of all channels. */
		{ { 16, 2, 3, 2 }, { 0, 2, 1, 3 }, { 8, 6, 2, 2 }, 4, 4 },
		/* Queries, keys and values of two heads. */
		{ { 1, 8, 3, 2, 4 }, { 2, 0, 3, 1, 4 }, { 3, 2, 8, 4 }, 5, 1 },
		/* All axes the other way round. */
		{ { 2, 4, 2, 2, 3, 2 }, { 5, 4, 3, 2, 1, 0 }, { 12, 2, 4, 2 }, 6, 8 },
	};
	size_t rank = cases[_i].rank;
	bool image = cases[_i].after[0] == 1;
	Onnx__ModelProto *onnx = convolved();

	onnx_ints(onnx, "before", rank, cases[_i].before);
	onnx_ints(onnx, "after", 4, cases[_i].after);
	onnx_floats(onnx, "w2", DIMS(3, cases[_i].after[1], 1, 1), NULL);
	onnx_node(onnx, "Reshape", "c before", "b");
	onnx_attr_ints(onnx_node(onnx, "Transpose", "b", "t"), "perm", rank, cases[_i].perm);
	onnx_node(onnx, "Reshape", "t after", "a");
	onnx_node(onnx, image ? "Conv" : "Mul", image ? "a w2" : "a a", "y");
	ck_assert_uint_eq(count_copies(onnx), cases[_i].copies);
}
END_TEST

/* By a list of places: a part of memory where they are side by side, else copies. */
START_TEST(gathered)
{
	static const struct {
		int64_t axis, indices[5];
		size_t count;		/* 0: a single one, whose axis goes */
		unsigned int copies;
	} cases[] = {
		{ 1, { 2 }, 0, 0 },
		{ 2, { -1 }, 0, 0 },
		{ 3, { 5 }, 0, 0 },
		{ 3, { 1 }, 1, 0 },
		{ 2, { 1, 2, 3 }, 3, 0 },
		{ 1, { 4, 5, 1, 1, 7 }, 5, 4 },
		{ 2, { 3, 0, 1 }, 3, 2 },
		{ 3, { 0, -6, 0, 4 }, 4, 4 },
		{ 0, { 0 }, 0, 0 },
	};
	Onnx__ModelProto *onnx = convolved();
	Onnx__TensorProto *indices = onnx_ints(onnx, "i", cases[_i].count ? cases[_i].count : 1,
					       cases[_i].indices);

	indices->n_dims = cases[_i].count > 0;
	onnx_attr_int(onnx_node(onnx, "Gather", "c i", "g"), "axis", cases[_i].axis);
	onnx_node(onnx, "Mul", "g g", "y");
	ck_assert_uint_eq(count_copies(onnx), cases[_i].copies);
}
END_TEST

/* Turned round, or in steps along channels or blocks of lines: an element at a time. */
START_TEST(sliced)
{
	static const struct {
		int64_t axis, start, end, step;
		unsigned int copies;
	} cases[] = {
		{ 1, -1, INT64_MIN, -1, 8 },
		{ 2, -1, INT64_MIN, -1, 4 },
		{ 3, 4, 1, -1, 3 },
		{ 3, -1, INT64_MIN, -2, 3 },
		{ 1, 1, 8, 3, 3 },
		{ 2, 1, 4, 2, 0 },
		{ 3, 5, 1, -9, 0 },	/* a single one */
		{ 0, -1, INT64_MIN, -1, 0 },	/* all there is */
	};
	Onnx__ModelProto *onnx = convolved();

	onnx_ints(onnx, "from", 2, (int64_t[]){ cases[_i].start, 1 });
	onnx_ints(onnx, "to", 2, (int64_t[]){ cases[_i].end, 6 });
	onnx_ints(onnx, "axes", 2, (int64_t[]){ cases[_i].axis, cases[_i].axis == 3 ? 2 : 3 });
	onnx_ints(onnx, "steps", 2, (int64_t[]){ cases[_i].step, 2 });
	onnx_node(onnx, "Slice", "c from to axes steps", "s");
	onnx_node(onnx, "Mul", "s s", "y");
	ck_assert_uint_eq(count_copies(onnx), cases[_i].copies);
}
END_TEST

/* What is computed by Split and Concat along an axis of which each element has lines. */
START_TEST(outermost)
{
	Onnx__ModelProto *onnx = convolved();

	onnx_ints(onnx, "rows", 4, (int64_t[]){ 4, 2, 4, 6 });
	onnx_ints(onnx, "from", 1, (int64_t[]){ 1 });
	onnx_ints(onnx, "to", 1, (int64_t[]){ 3 });
	onnx_ints(onnx, "axes", 1, (int64_t[]){ 0 });
	onnx_ints(onnx, "sizes", 2, (int64_t[]){ 1, 3 });
	onnx_node(onnx, "Reshape", "c rows", "r");
	onnx_node(onnx, "Mul", "r r", "m");
	onnx_attr_int(onnx_node(onnx, "Split", "m sizes", "s1 s2"), "axis", 0);
	onnx_node(onnx, "Slice", "m from to axes", "s3");
	onnx_attr_int(onnx_node(onnx, "Concat", "s2 s3 s1", "j"), "axis", 0);
	onnx_node(onnx, "Mul", "j j", "y");
	ck_assert_uint_le(count_copies(onnx), 5);
}
END_TEST

/* Two names of what a program gives, of which the first tells how both lie. */
START_TEST(of_two_names)
{
	static const struct {
		const char *op;
		unsigned int copies;
	} cases[] = { { "Concat", 1 }, { "Mul", 0 } };
	Onnx__ModelProto *onnx = image_network(8, 4, 6);
	Onnx__NodeProto *node;

	onnx_ints(onnx, "line", 4, (int64_t[]){ 1, 8, 1, 24 });
	onnx_node(onnx, "Reshape", "x line", "a");
	onnx_node(onnx, "Reshape", "x line", "b");
	node = onnx_node(onnx, cases[_i].op, "a b", "t");
	if (!strcmp(cases[_i].op, "Concat"))
		onnx_attr_int(node, "axis", 2);
	onnx_node(onnx, "Mul", "t t", "y");
	ck_assert_uint_eq(count_copies(onnx), cases[_i].copies);
}
END_TEST

/* One pixel for all at once, others once for each time but the first, which is there already. */
START_TEST(repeated)
{
	static const struct {
		const char *op;
		int64_t values[4];
		bool pixel;
		unsigned int copies;
	} cases[] = {
		{ "Tile", { 1, 1, 5, 3 }, true, 1 },
		{ "Expand", { 1, 8, 7, 2 }, true, 1 },
		{ "Tile", { 1, 2, 1, 3 }, false, 5 },
		{ "Tile", { 1, 1, 2, 1 }, false, 1 },
	};
	Onnx__ModelProto *onnx = convolved();

	onnx_ints(onnx, "v", 4, cases[_i].values);
	onnx_node(onnx, "GlobalAveragePool", "c", "p");
	onnx_node(onnx, cases[_i].op, cases[_i].pixel ? "p v" : "c v", "t");
	onnx_node(onnx, "Mul", "t t", "y");
	ck_assert_uint_eq(count_copies(onnx), cases[_i].copies);
}
END_TEST

/* A frame of what is inside: a copy for each line, pixel and corner; inside it lies there. */
START_TEST(framed)
{
	static const struct {
		const char *mode;
		int64_t pads[8];
		unsigned int copies;
	} cases[] = {
		{ "reflect", { 0, 0, 1, 1, 0, 0, 1, 1 }, 8 },
		{ "reflect", { 0, 0, 0, 2, 0, 0, 3, 0 }, 11 },
		{ "edge", { 0, 0, 2, 0, 0, 0, 0, 1 }, 5 },
		{ "edge", { 0, 1, 0, 0, 0, 1, 0, 0 }, 2 },
		{ "reflect", { 0, 0, 1, 0, 0, 0, -1, 0 }, 2 },
	};
	Onnx__ModelProto *onnx = convolved();

	onnx_ints(onnx, "pads", 8, cases[_i].pads);
	onnx_attr_string(onnx_node(onnx, "Pad", "c pads", "p"), "mode", cases[_i].mode);
	onnx_node(onnx, "Mul", "p p", "y");
	ck_assert_uint_eq(count_copies(onnx), cases[_i].copies);
}
END_TEST

/* What takes too many commands, or is not known, is the CPU's. */
START_TEST(not_moved)
{
	static const struct {
		const char *op, *inputs, *why;
	} cases[] = {
		{ "Tile", "c many", "is made of more than 256 parts" },
		{ "Pad", "c frame", "is made of more than 256 parts" },
		{ "Gather", "c far", "is made of more than 256 parts" },
		{ "Expand", "z wide", "adds axes to its input" },
	};
	Onnx__ModelProto *onnx = convolved();
	const struct xrnpe_layer_info *layer;
	struct xrnpe_graph *graph;
	struct xrnpe_model *model;
	int64_t far[300];

	for (int i = 0; i < 300; i++)
		far[i] = i % 2 * 2;
	onnx_ints(onnx, "far", 300, far);
	onnx_ints(onnx, "frame", 8, (int64_t[]){ 0, 0, 8, 8, 0, 0, 8, 8 });
	onnx_ints(onnx, "many", 4, (int64_t[]){ 1, 17, 17, 1 });
	onnx_ints(onnx, "wide", 5, (int64_t[]){ 2, 1, 8, 4, 6 });
	onnx_attr_ints(onnx_node(onnx, "Transpose", "c", "z"), "perm", DIMS(0, 1, 2, 3));
	onnx_node(onnx, cases[_i].op, cases[_i].inputs, "y");
	if (!strcmp(cases[_i].op, "Pad"))
		onnx_attr_string(onnx->graph->node[onnx->graph->n_node - 1], "mode", "edge");
	if (!strcmp(cases[_i].op, "Gather"))
		onnx_attr_int(onnx->graph->node[onnx->graph->n_node - 1], "axis", 3);
	graph = load(onnx);
	model = faithful(graph, 2e-3);
	layer = xrnpe_model_layer(model, xrnpe_model_layer_count(model) - 1);
	ck_assert_int_eq(layer->place, XRNPE_PLACE_CPU);
	ck_assert_str_eq(layer->why, cases[_i].why);
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

/* What lies with other channels than those that have slopes is copied for it. */
START_TEST(copied_for_slopes)
{
	Onnx__ModelProto *onnx = image_network(4, 6, 8);

	onnx_node(onnx, "Mul", "x x", "m");
	onnx_floats(onnx, "slopes", DIMS(8), NULL);
	onnx_node(onnx, "PRelu", "m slopes", "y");
	ck_assert_uint_eq(count_copies(onnx), 1);
}
END_TEST

/*
 * Borders that leave no precision for what they surround are the CPU's, and so is who reads them, from
 * the Pad or from what only moves them.
 */
START_TEST(wide_border)
{
	static const struct {
		float fill;
		bool moved;
	} cases[] = { { -INFINITY, false }, { -1e9f, false }, { -INFINITY, true }, { -1e9f, true } };
	const char *read = cases[_i].moved ? "t" : "p";
	Onnx__ModelProto *onnx = convolved();
	struct xrnpe_graph *graph;
	struct xrnpe_model *model;
	unsigned int on_cpu = 0;

	onnx_ints(onnx, "frame", 8, (int64_t[]){ 0, 0, 1, 1, 0, 0, 1, 1 });
	onnx_floats(onnx, "fill", 0, (int64_t[]){ 0 }, &cases[_i].fill);
	onnx_node(onnx, "Pad", "c frame fill", "p");
	if (cases[_i].moved)
		onnx_attr_ints(onnx_node(onnx, "Transpose", "p", "t"), "perm", DIMS(0, 1, 3, 2));
	onnx_attr_ints(onnx_node(onnx, "MaxPool", read, "a"), "kernel_shape", DIMS(3, 3));
	onnx_attr_ints(onnx_node(onnx, "MaxPool", read, "b"), "kernel_shape", DIMS(3, 3));
	onnx_node(onnx, "Sub", "a b", "d");
	onnx_node(onnx, "Conv", "a w", "e");
	onnx_node(onnx, "Add", "d e", "y");
	graph = load(onnx);
	model = faithful(graph, 2e-3);
	for (uint32_t i = 0; i < xrnpe_model_layer_count(model); i++) {
		const struct xrnpe_layer_info *layer = xrnpe_model_layer(model, i);

		if (!strcmp(layer->op, "Pad"))
			ck_assert_str_eq(layer->why, "its constant has numbers that no format holds beside others");
		on_cpu += layer->place == XRNPE_PLACE_CPU;
	}
	ck_assert_uint_eq(on_cpu, cases[_i].moved ? 4 : 3);
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

TCase *compile_moves_tests(void)
{
	TCase *tests = tcase_create("moves");

	tcase_set_timeout(tests, 120);
	tcase_add_loop_test(tests, transposed, 0, 6);
	tcase_add_loop_test(tests, gathered, 0, 9);
	tcase_add_loop_test(tests, sliced, 0, 8);
	tcase_add_test(tests, outermost);
	tcase_add_loop_test(tests, of_two_names, 0, 2);
	tcase_add_loop_test(tests, repeated, 0, 4);
	tcase_add_loop_test(tests, framed, 0, 5);
	tcase_add_loop_test(tests, not_moved, 0, 4);
	tcase_add_test(tests, copied_for_slopes);
	tcase_add_loop_test(tests, wide_border, 0, 4);
	return tests;
}

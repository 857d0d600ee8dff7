// SPDX-License-Identifier: MIT
/* Reductions, and what is computed as several operators: Softmax, normalisation, division. */
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "unit/compile_run.h"
#include "unit/compile_tests.h"

/* Tokens of @channels, and two matrices that lead to them and away from them. */
static Onnx__ModelProto *tokens(int64_t channels)
{
	Onnx__ModelProto *model = onnx_new();

	onnx_input(model, "x", DIMS(1, 6, 8));
	onnx_output(model, "y", DIMS(0));
	onnx_floats(model, "w1", DIMS(8, channels), NULL);
	onnx_floats(model, "w2", DIMS(channels, 5), NULL);
	onnx_node(model, "MatMul", "x w1", "a");
	return model;
}

/* Compile, and count the layers on the device and on the CPU, of which no two are called the same. */
static void count_layers(Onnx__ModelProto *onnx, double tolerance, unsigned int *device,
			 unsigned int *cpu)
{
	struct xrnpe_graph *graph = load(onnx);
	struct xrnpe_model *model = faithful(graph, tolerance);
	unsigned int count = xrnpe_model_layer_count(model);

	*device = *cpu = 0;
	for (unsigned int i = 0; i < count; i++) {
		bool on_device = xrnpe_model_layer(model, i)->place == XRNPE_PLACE_DEVICE;

		*(on_device ? device : cpu) += 1;
		for (unsigned int k = 0; k < i; k++)
			ck_assert_str_ne(xrnpe_model_layer(model, i)->name,
					 xrnpe_model_layer(model, k)->name);
	}
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}

/* A node between two matrices, of rows that windows have and of longer ones. */
START_TEST(between_products)
{
	static const struct {
		const char *op, *inputs;
		int64_t channels;
		unsigned int layers;
	} cases[] = {
		{ "Softmax", "a", 12, 6 },
		{ "Softmax", "a", 254, 6 },
		{ "Softmax", "a", 258, 6 },
		/* The largest of a prime number in two windows that overlap, in three. */
		{ "Softmax", "a", 257, 6 + 1 },
		{ "Softmax", "a", 577, 6 + 1 },
		{ "LayerNormalization", "a s", 12, 8 },
		{ "LayerNormalization", "a s b", 300, 9 },
		{ "Div", "a d", 12, 2 },
		{ "ReduceMax", "a axes", 12, 1 },
		{ "ReduceMean", "a axes", 270, 1 },
		{ "ReduceSum", "a axes", 12, 1 },
		{ "ReduceMin", "a axes", 12, 3 },
		/* The parts, and products of these. */
		{ "ReduceProd", "a axes", 3, 3 + 2 },
		{ "Max", "a d e", 12, 2 },
		{ "Min", "e a d a", 12, 3 },
		{ "MatMul", "c a", 12, 1 },
	};
	int64_t channels = cases[_i].channels;
	bool reduces = strstr(cases[_i].inputs, "axes"), divides = strstr(cases[_i].inputs, " d");
	Onnx__ModelProto *onnx = tokens(channels);
	unsigned int device, cpu;

	onnx->opset_import[0]->version = 18;
	onnx_floats(onnx, "s", DIMS(channels), NULL);
	onnx_floats(onnx, "b", DIMS(channels), NULL);
	onnx_floats(onnx, "one", DIMS(1), (float[]){ 1 });
	onnx_floats(onnx, "w3", DIMS(8, channels), NULL);
	onnx_floats(onnx, "c", DIMS(6, 6), NULL);
	onnx_ints(onnx, "axes", 1, (int64_t[]){ -1 });
	if (divides) {
		/* By at least one, so that it is no quotient of noise. */
		onnx_node(onnx, "MatMul", "x w3", "e");
		onnx_node(onnx, "Abs", "e", "e1");
		onnx_node(onnx, "Add", "e1 one", "d");
	}
	onnx_node(onnx, cases[_i].op, cases[_i].inputs, "n");
	onnx_node(onnx, "Add", "a n", "m");
	onnx_node(onnx, "MatMul", reduces ? "m w2" : "n w2", "y");
	count_layers(onnx, 0.02, &device, &cpu);
	ck_assert_uint_eq(cpu, 0);
	ck_assert_uint_eq(device, 2 + cases[_i].layers + (reduces ? 1 : 0) + (divides ? 2 : 0));
}
END_TEST

/* Of an axis that is there no more, a change of shape makes what is left. */
START_TEST(axes_not_kept)
{
	static const char *const ops[] = { "ReduceMin", "ReduceProd" };
	Onnx__ModelProto *onnx = tokens(3);
	unsigned int device, cpu;
	Onnx__NodeProto *node;

	onnx->opset_import[0]->version = 18;
	onnx_floats(onnx, "w3", DIMS(6, 5), NULL);
	onnx_ints(onnx, "axes", 1, (int64_t[]){ 2 });
	node = onnx_node(onnx, ops[_i], "a axes", "n");
	onnx_attr_int(node, "keepdims", 0);
	onnx_node(onnx, "MatMul", "n w3", "y");
	count_layers(onnx, 0.02, &device, &cpu);
	ck_assert_uint_eq(cpu, 0);
}
END_TEST

/* What the network ends with is exact on the CPU, as it is between nodes there; the report tells. */
START_TEST(not_split)
{
	Onnx__ModelProto *onnx = tokens(12);
	unsigned int cpu = 0, device = 0;
	struct xrnpe_graph *graph;
	struct xrnpe_model *model;

	if (_i) {
		onnx_node(onnx, "Floor", "a", "f");
		onnx_node(onnx, "Softmax", "f", "p");
		onnx_node(onnx, "MatMul", "p w2", "y");
	} else {
		onnx_node(onnx, "MatMul", "a w2", "p");
		onnx_node(onnx, "Softmax", "p", "y");
	}
	graph = load(onnx);
	/* Rounded, what is near an integer may be on the other side of it. */
	model = faithful(graph, _i ? 0.2 : 0.01);
	for (unsigned int i = 0; i < xrnpe_model_layer_count(model); i++) {
		const struct xrnpe_layer_info *layer = xrnpe_model_layer(model, i);

		*(layer->place == XRNPE_PLACE_CPU ? &cpu : &device) += 1;
		ck_assert_str_eq(layer->why, layer->place != XRNPE_PLACE_CPU ? "" :
				 !strcmp(layer->op, "Floor") ? "the device has no command for it" :
				 _i ? "its input comes from the CPU" :
				 "is exact there, and nothing that multiplies follows");
	}
	ck_assert_uint_eq(cpu, _i ? 2 : 1);
	ck_assert_uint_eq(device, 2);
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

/* Over lines and pixels, and over channels that are not side by side. */
START_TEST(reductions_of_images)
{
	static const struct {
		const char *op;
		int64_t axes[2];
		int count;
		const char *why;
	} cases[] = {
		{ "ReduceMax", { 2, 3 }, 2, "" },
		{ "ReduceSum", { 3 }, 1, "" },
		{ "ReduceMean", { 2 }, 1, "" },
		{ "GlobalMaxPool", { 0 }, 0, "" },
		{ "ReduceMax", { 1 }, 1, "" },
		{ "ReduceSum", { 1, 2 }, 2, "reduces channels and pixels" },
	};
	Onnx__ModelProto *onnx = image_network(4, 5, 6);
	struct xrnpe_graph *graph;
	struct xrnpe_model *model;

	onnx->opset_import[0]->version = 18;
	onnx_floats(onnx, "w", DIMS(4, 4, 1, 1), NULL);
	onnx_node(onnx, "Conv", "x w", "c");
	onnx_ints(onnx, "axes", cases[_i].count, cases[_i].axes);
	onnx_node(onnx, cases[_i].op, cases[_i].count ? "c axes" : "c", "y");
	graph = load(onnx);
	model = faithful(graph, 0.02);
	ck_assert_uint_eq(xrnpe_model_layer_count(model), 2);
	ck_assert_str_eq(xrnpe_model_layer(model, 1)->why, cases[_i].why);
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

/* Of images, between convolutions: over channels, over pixels, over both in groups. */
START_TEST(images)
{
	static const struct {
		const char *op, *inputs;
		int64_t opset, channels, width;
		unsigned int layers;	/* with the convolutions */
	} cases[] = {
		{ "Softmax", "c", 13, 6, 5, 8 },
		{ "Softmax", "c", 13, 300, 5, 8 },
		{ "InstanceNormalization", "c s b", 13, 6, 5, 11 },
		{ "InstanceNormalization", "c one zero", 13, 6, 5, 9 },
		{ "InstanceNormalization", "c s b", 13, 2, 200, 11 },	/* more than a sum has */
		{ "GroupNormalization", "c s3 b3", 18, 6, 5, 13 },
		{ "GroupNormalization", "c s b", 21, 6, 5, 13 },
		{ "rows", "r s3 b3", 13, 6, 5, 13 },
	};
	int64_t channels = cases[_i].channels;
	Onnx__ModelProto *onnx = image_network(4, cases[_i].width > 5 ? 170 : 4, cases[_i].width);
	bool rows = !strcmp(cases[_i].op, "rows"), activates = strcmp(cases[_i].op, "Softmax") != 0;
	unsigned int device, cpu;
	Onnx__NodeProto *node;
	float ones[6] = { 1, 1, 1, 1, 1, 1 }, zeros[6] = { 0 };

	onnx->opset_import[0]->version = cases[_i].opset;
	onnx_floats(onnx, "w1", DIMS(channels, 4, 1, 1), NULL);
	onnx_floats(onnx, "w2", DIMS(3, channels, 1, 1), NULL);
	onnx_floats(onnx, "s", DIMS(channels), NULL);
	onnx_floats(onnx, "b", DIMS(channels), NULL);
	onnx_floats(onnx, "s3", DIMS(3), NULL);
	onnx_floats(onnx, "b3", DIMS(3), NULL);
	onnx_floats(onnx, "one", DIMS(6), ones);
	onnx_floats(onnx, "zero", DIMS(6), zeros);
	onnx_node(onnx, "Conv", "x w1", "c");
	if (rows) {
		onnx_ints(onnx, "three", 3, (int64_t[]){ 1, 3, -1 });
		onnx_ints(onnx, "image", 4, (int64_t[]){ 1, channels, 4, 5 });
		onnx_node(onnx, "Reshape", "c three", "r");
		onnx_node(onnx, "InstanceNormalization", "r s3 b3", "r1");
		onnx_node(onnx, "Reshape", "r1 image", "n");
	} else {
		node = onnx_node(onnx, cases[_i].op, cases[_i].inputs, "n");
		if (!strcmp(cases[_i].op, "GroupNormalization"))
			onnx_attr_int(node, "num_groups", 3);
		if (!activates)
			onnx_attr_int(node, "axis", 1);
	}
	onnx_node(onnx, activates ? "Relu" : "Identity", "n", "a");
	onnx_node(onnx, "Conv", "a w2", "y");
	count_layers(onnx, 0.02, &device, &cpu);
	ck_assert_uint_eq(cpu, 0);
	ck_assert_uint_eq(device, cases[_i].layers);
}
END_TEST

/* Along lines and pixels; lines of more than a window covers are taken as several. */
START_TEST(along_pixels)
{
	static const struct {
		const char *op;
		int64_t axis, lines, pixels;
		unsigned int device, cpu;	/* with the convolutions */
	} cases[] = {
		{ "Softmax", 2, 4, 5, 8, 0 },
		{ "Softmax", 3, 4, 5, 8, 0 },
		{ "Softmax", 3, 1, 300, 8, 0 },
		{ "Softmax", 3, 2, 300, 2, 1 },
		{ "Softmax", 3, 1, 257, 2, 1 },	/* a prime */
		{ "GlobalMaxPool", 0, 2, 300, 3, 0 },
		{ "GlobalAveragePool", 0, 260, 2, 3, 0 },
		{ "GlobalAveragePool", 0, 1, 257, 3, 0 },
		{ "InstanceNormalization", 0, 1, 300, 9, 0 },
		{ "InstanceNormalization", 0, 1, 257, 9, 0 },
	};
	Onnx__ModelProto *onnx = image_network(4, cases[_i].lines, cases[_i].pixels);
	float ones[6] = { 1, 1, 1, 1, 1, 1 }, zeros[6] = { 0 };
	bool norm = !strcmp(cases[_i].op, "InstanceNormalization");
	unsigned int device, cpu;
	Onnx__NodeProto *node;

	onnx->opset_import[0]->version = 13;
	onnx_floats(onnx, "w1", DIMS(6, 4, 1, 1), NULL);
	onnx_floats(onnx, "w2", DIMS(3, 6, 1, 1), NULL);
	onnx_floats(onnx, "one", DIMS(6), ones);
	onnx_floats(onnx, "zero", DIMS(6), zeros);
	onnx_node(onnx, "Conv", "x w1", "c");
	node = onnx_node(onnx, cases[_i].op, norm ? "c one zero" : "c", "n");
	if (cases[_i].axis)
		onnx_attr_int(node, "axis", cases[_i].axis);
	onnx_node(onnx, norm ? "Relu" : "Identity", "n", "a");
	onnx_node(onnx, "Conv", "a w2", "y");
	count_layers(onnx, 0.02, &device, &cpu);
	ck_assert_uint_eq(cpu, cases[_i].cpu);
	ck_assert_uint_eq(device, cases[_i].device);
}
END_TEST

/* Why what crops is on the CPU: nothing multiplies behind it, or it has a value for what lies outside. */
START_TEST(not_cropped)
{
	Onnx__ModelProto *onnx = image_network(4, 12, 16);
	Onnx__NodeProto *node = onnx_node(onnx, "Resize", "x part none size", "r");
	const struct xrnpe_layer_info *layer;
	struct xrnpe_model *model;
	struct xrnpe_graph *graph;

	onnx_floats(onnx, "part", DIMS(8), (float[]){ 0, 0, -0.25f, 0, 1, 1, 1, 1 });
	onnx_floats(onnx, "none", DIMS(0), (float[]){ 0 });
	onnx_floats(onnx, "w", DIMS(3, 4, 1, 1), NULL);
	onnx_ints(onnx, "size", 4, (int64_t[]){ 1, 4, 6, 8 });
	onnx_attr_string(node, "mode", "linear");
	onnx_attr_string(node, "coordinate_transformation_mode", "tf_crop_and_resize");
	onnx_attr_float(node, "extrapolation_value", 1);
	onnx_node(onnx, _i ? "Conv" : "Relu", _i ? "r w" : "r", "y");
	graph = load(onnx);
	model = faithful(graph, 0.02);
	layer = xrnpe_model_layer(model, 0);
	ck_assert_str_eq(layer->op, "Resize");
	ck_assert_str_eq(layer->why, _i ?
			 "takes more than 256 products an element, of other axes, or has a value for what lies outside" :
			 "is exact there, and nothing that multiplies follows");
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

/* Whatever filter resizes between convolutions: products with its weights, along one axis or both. */
START_TEST(resized)
{
	static const struct {
		const char *mode, *coordinates;
		int64_t antialias, lines, pixels;
		unsigned int device, cpu;
		float value;	/* of what lies outside */
	} cases[] = {
		{ "linear", "align_corners", 0, 29, 16, 4, 0, 0 },	/* a copy brings lines of pixels back */
		{ "linear", "align_corners", 0, 24, 37, 4, 0, 0 },
		{ "linear", "half_pixel", 1, 5, 7, 4, 0, 0 },
		{ "cubic", "half_pixel", 0, 24, 32, 4, 0, 0 },
		{ "nearest", "align_corners", 0, 29, 37, 4, 0, 0 },
		{ "cubic", "tf_crop_and_resize", 0, 9, 9, 4, 0, 0 },
		{ "linear", "tf_crop_and_resize", 0, 12, 16, 4, 0, 0 },
		{ "nearest", "tf_crop_and_resize", 0, 5, 7, 4, 0, 0 },
		{ "linear", "tf_crop_and_resize", 0, 5, 7, 2, 1, 3 },
	};
	Onnx__ModelProto *onnx = image_network(4, 12, 16);
	unsigned int device, cpu;
	Onnx__NodeProto *node;

	onnx->opset_import[0]->version = 18;
	onnx_floats(onnx, "w1", DIMS(6, 4, 1, 1), NULL);
	onnx_floats(onnx, "w2", DIMS(3, 6, 1, 1), NULL);
	onnx_floats(onnx, "part", DIMS(8), (float[]){ 0, 0, 0.25f, -0.25f, 1, 1, 1, 0.75f });
	onnx_floats(onnx, "none", DIMS(0), (float[]){ 0 });
	onnx_ints(onnx, "size", 4, (int64_t[]){ 1, 6, cases[_i].lines, cases[_i].pixels });
	onnx_node(onnx, "Conv", "x w1", "c");
	node = onnx_node(onnx, "Resize", "c part none size", "r");
	onnx_attr_string(node, "mode", cases[_i].mode);
	onnx_attr_string(node, "coordinate_transformation_mode", cases[_i].coordinates);
	onnx_attr_int(node, "antialias", cases[_i].antialias);
	onnx_attr_float(node, "extrapolation_value", cases[_i].value);
	onnx_node(onnx, "Conv", "r w2", "y");
	count_layers(onnx, 0.02, &device, &cpu);
	ck_assert_uint_eq(cpu, cases[_i].cpu);
	ck_assert_uint_eq(device, cases[_i].device);
}
END_TEST

TCase *compile_split_tests(void)
{
	TCase *tests = tcase_create("split");

	tcase_set_timeout(tests, 120);
	tcase_add_loop_test(tests, between_products, 0, 16);
	tcase_add_loop_test(tests, axes_not_kept, 0, 2);
	tcase_add_loop_test(tests, not_split, 0, 2);
	tcase_add_loop_test(tests, reductions_of_images, 0, 6);
	tcase_add_loop_test(tests, images, 0, 8);
	tcase_add_loop_test(tests, along_pixels, 0, 10);
	tcase_add_loop_test(tests, resized, 0, 9);
	tcase_add_loop_test(tests, not_cropped, 0, 2);
	return tests;
}

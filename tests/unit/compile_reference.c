// SPDX-License-Identifier: MIT
/* The FP32 reference against values worked out by hand and a naive convolution. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "onnx.h"
#include "unit/compile_tests.h"
#include "unit/onnx_builder.h"

static struct xrnpe_graph *load(Onnx__ModelProto *model, bool fold)
{
	struct xrnpe_graph *graph = NULL;
	struct xrnpe_error error;
	size_t size;
	uint8_t *data = onnx_pack(model, &size);
	int ret = fold ? xrnpe_graph_parse("m.onnx", data, size, &graph, &error) :
			 onnx_import("m.onnx", data, size, &graph, &error);

	ck_assert_msg(!ret, "%s", error.message);
	onnx_free(model);
	free(data);
	return graph;
}

static void expect(Onnx__ModelProto *model, const float *inputs, size_t count,
		   const float *outputs)
{
	struct xrnpe_graph *graph = load(model, true);
	size_t size = xrnpe_graph_output(graph)->count;
	float *got = malloc(count * size * sizeof(*got));

	ck_assert_ptr_nonnull(got);
	ck_assert_int_eq(xrnpe_graph_run(graph, count, inputs, got, NULL, NULL, NULL), 0);
	for (size_t i = 0; i < count * size; i++)
		ck_assert_msg(got[i] == outputs[i], "output %zu is %g, not %g", i, got[i],
			      outputs[i]);
	free(got);
	xrnpe_graph_free(graph);
}

static Onnx__ModelProto *image(int64_t c, int64_t h, int64_t w)
{
	Onnx__ModelProto *model = onnx_new();

	onnx_input(model, "x", DIMS(0, c, h, w));
	onnx_output(model, "y", DIMS(0));
	return model;
}

START_TEST(conv_by_hand)
{
	static const float x[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	static const float w[] = { 1, 10, 100, 1000 }, b[] = { 0.5f };
	/* Padded above and to the left by one, stride 2. */
	static const float y[] = { 1000.5f, 3200.5f, 7040.5f, 9865.5f };
	Onnx__ModelProto *model = image(1, 3, 3);
	Onnx__NodeProto *node = onnx_node(model, "Conv", "x w b", "y");

	onnx_floats(model, "w", DIMS(1, 1, 2, 2), w);
	onnx_floats(model, "b", DIMS(1), b);
	onnx_attr_ints(node, "pads", DIMS(1, 1, 0, 0));
	onnx_attr_ints(node, "strides", DIMS(2, 2));
	expect(model, x, 1, y);
}
END_TEST

START_TEST(pools_by_hand)
{
	static const float x[] = { 1, 2, -3, -4, 5, 6, -7, -8, 9, -1, -2, -3 };
	static const float largest[] = { 6, -3, 9, -2 }, mean[] = { 3.5f, -5.5f };
	static const float global[] = { -5.0f / 12 };
	Onnx__ModelProto *model = image(1, 3, 4);
	Onnx__NodeProto *node = onnx_node(model, "MaxPool", "x", "y");

	onnx_attr_ints(node, "kernel_shape", DIMS(2, 2));
	onnx_attr_ints(node, "strides", DIMS(2, 2));
	onnx_attr_int(node, "ceil_mode", 1);
	expect(model, x, 1, largest);

	model = image(1, 3, 4);
	node = onnx_node(model, "AveragePool", "x", "y");
	onnx_attr_ints(node, "kernel_shape", DIMS(2, 2));
	onnx_attr_ints(node, "strides", DIMS(2, 2));
	expect(model, x, 1, mean);

	model = image(1, 3, 4);
	onnx_node(model, "GlobalAveragePool", "x", "y");
	expect(model, x, 1, global);
}
END_TEST

START_TEST(conv_and_add_by_hand)
{
	static const float x[] = { 1, -2, 3, -4 };
	/* Channel 0: x0 + x1 / 2 - 2.5; channel 1: x1 + x0 / 2 + 0.5; then Relu. */
	static const float y[] = { 0, 0, 4, 0 };
	Onnx__ModelProto *model = image(2, 1, 2);

	onnx_floats(model, "w", DIMS(2, 2, 1, 1), (float[]){ 0, 0.5f, 0.5f, 0 });
	onnx_floats(model, "b", DIMS(2), (float[]){ -2.5f, 0.5f });
	onnx_node(model, "Conv", "x w b", "c");
	onnx_node(model, "Add", "x c", "s");
	onnx_node(model, "Relu", "s", "y");
	expect(model, x, 1, y);
}
END_TEST

START_TEST(elementwise_by_hand)
{
	static const float x[] = { 1, -2, 3, -4 };
	static const float sum[] = { 2, -2, 6, -4 };	/* x + relu(x) */
	static const float normal[] = { 2.5f, -3.5f, 10, -11 };
	Onnx__ModelProto *model = image(2, 1, 2);
	Onnx__NodeProto *node;

	onnx_node(model, "Relu", "x", "r");
	onnx_node(model, "Add", "x r", "y");
	expect(model, x, 1, sum);

	/* (x - mean) * scale / sqrt(variance + epsilon) + bias */
	model = image(2, 1, 2);
	node = onnx_node(model, "BatchNormalization", "x s b m v", "y");
	onnx_attr_float(node, "epsilon", 0.25f);
	onnx_floats(model, "s", DIMS(2), (float[]){ 2, 6 });
	onnx_floats(model, "b", DIMS(2), (float[]){ 1.5f, 1 });
	onnx_floats(model, "m", DIMS(2), (float[]){ 0.5f, 0 });
	onnx_floats(model, "v", DIMS(2), (float[]){ 0.75f, 3.75f });
	expect(model, x, 1, normal);
}
END_TEST

static Onnx__ModelProto *clip(Onnx__ModelProto *model, const char *in, const char *out, float lo,
			      float hi)
{
	Onnx__NodeProto *node = onnx_node(model, "Clip", in, out);

	onnx_attr_float(node, "min", lo);
	onnx_attr_float(node, "max", hi);
	return model;
}

START_TEST(activations_by_hand)
{
	static const float x[] = { 1, -2, 3, -4 };
	static const float leaky[] = { 1, -0.5f, 3, -1 }, clipped[] = { 1, -1.5f, 2, -1.5f };
	static const float lower[] = { 1, -1, 3, -1 }, relu6[] = { 2, 0, 6, 0 };
	static const float leaky_clipped[] = { 1, -0.5f, 2, -0.75f };
	Onnx__ModelProto *model = image(1, 1, 4);

	onnx_attr_float(onnx_node(model, "LeakyRelu", "x", "y"), "alpha", 0.25f);
	expect(model, x, 1, leaky);
	expect(clip(image(1, 1, 4), "x", "y", -1.5f, 2), x, 1, clipped);

	/* Limits as inputs, one of them absent. */
	model = image(1, 1, 4);
	onnx_floats(model, "lo", DIMS(1), (float[]){ -1 });
	onnx_node(model, "Clip", "x lo", "y");
	expect(model, x, 1, lower);

	/* Folded: into a convolution, and one into the other. */
	model = image(1, 1, 4);
	onnx_floats(model, "w", DIMS(1, 1, 1, 1), (float[]){ 2 });
	onnx_node(model, "Conv", "x w", "c");
	onnx_node(model, "Relu", "c", "r");
	expect(clip(model, "r", "y", 0, 6), x, 1, relu6);

	model = image(1, 1, 4);
	onnx_attr_float(onnx_node(model, "LeakyRelu", "x", "l"), "alpha", 0.25f);
	expect(clip(model, "l", "y", -0.75f, 2), x, 1, leaky_clipped);
}
END_TEST

START_TEST(gemm_by_hand)
{
	static const float x[] = { 1, 2, 3, 4, 5, 6 };	/* two elements of a batch */
	static const float y[] = { 2 * 321 + 3, 2 * 6 + 6, 2 * 654 + 3, 2 * 15 + 6 };
	Onnx__ModelProto *model = onnx_new();
	Onnx__NodeProto *node;

	onnx_input(model, "x", DIMS(0, 3));
	onnx_output(model, "y", DIMS(0, 2));
	onnx_floats(model, "w", DIMS(3, 2), (float[]){ 1, 1, 10, 1, 100, 1 });
	onnx_floats(model, "b", DIMS(2), (float[]){ 1, 2 });
	node = onnx_node(model, "Gemm", "x w b", "y");
	onnx_attr_float(node, "alpha", 2);
	onnx_attr_float(node, "beta", 3);
	expect(model, x, 2, y);
}
END_TEST

START_TEST(flatten_keeps_channel_order)
{
	static const float x[] = { 1, 2, 3, 4, 5, 6, 7, 8 };	/* 2 x 2 x 2 */
	static const float y[] = { 12345678 };
	Onnx__ModelProto *model = image(2, 2, 2);

	onnx_floats(model, "w", DIMS(8, 1), (float[]){ 1e7f, 1e6f, 1e5f, 1e4f, 1e3f, 100, 10, 1 });
	onnx_node(model, "Flatten", "x", "f");
	onnx_node(model, "Gemm", "f w", "y");
	expect(model, x, 1, y);
}
END_TEST

/* One output of a convolution, in the plainest way. */
static double naive(const struct graph_node *node, const struct graph_shape *in, const float *x,
		    uint32_t n, uint32_t oy, uint32_t ox)
{
	const struct graph_window *w = &node->window;
	uint32_t in_c = in->c / node->groups, group = n / (node->shape.c / node->groups);
	const float *weight = node->weight + n * (node->weight_count / node->shape.c);
	double sum = node->bias ? node->bias[n] : 0;

	for (uint32_t c = 0; c < in_c; c++) {
		for (uint32_t i = 0; i < w->kernel_h; i++) {
			for (uint32_t j = 0; j < w->kernel_w; j++, weight++) {
				int y = (int)(oy * w->stride_h + i * w->dilation_h) - (int)w->pad_top;
				int z = (int)(ox * w->stride_w + j * w->dilation_w) - (int)w->pad_left;

				if (y >= 0 && y < (int)in->h && z >= 0 && z < (int)in->w)
					sum += (double)*weight *
					       x[((group * in_c + c) * in->h + (uint32_t)y) * in->w +
						 (uint32_t)z];
			}
		}
	}
	return sum;
}

/* channels, size, output channels, groups, kernel, stride, dilation, padding */
static const int64_t convs[][8] = {
	{ 1, 9, 1, 1, 1, 1, 1, 0 },
	{ 3, 9, 5, 1, 3, 1, 1, 1 },
	{ 4, 11, 8, 2, 3, 2, 1, 1 },
	{ 6, 10, 6, 6, 3, 1, 2, 2 },
	{ 6, 10, 12, 3, 5, 3, 1, 0 },
	{ 8, 5, 9, 1, 5, 1, 1, 4 },
	{ 16, 1, 7, 1, 1, 1, 1, 0 },
};

START_TEST(conv_against_naive)
{
	const int64_t *p = convs[_i];
	Onnx__ModelProto *model = image(p[0], p[1], p[1] + (_i & 1));
	Onnx__NodeProto *node = onnx_node(model, "Conv", "x w b", "y");
	struct xrnpe_graph *graph;
	const struct graph_node *conv;
	struct reference *ref;
	uint32_t state = 7;

	onnx_floats(model, "w", DIMS(p[2], p[0] / p[3], p[4], p[4]), NULL);
	onnx_floats(model, "b", DIMS(p[2]), NULL);
	onnx_attr_int(node, "group", p[3]);
	onnx_attr_ints(node, "strides", DIMS(p[5], p[5]));
	onnx_attr_ints(node, "dilations", DIMS(p[6], p[6]));
	onnx_attr_ints(node, "pads", DIMS(p[7], p[7], p[7], p[7]));
	graph = load(model, true);
	ref = reference_new(graph);
	ck_assert_ptr_nonnull(ref);
	for (size_t i = 0; i < graph->input_info.count; i++)
		ref->tensors[0][i] = onnx_noise(&state);
	reference_run(ref);

	conv = &graph->nodes[1];
	for (uint32_t n = 0, i = 0; n < conv->shape.c; n++) {
		for (uint32_t y = 0; y < conv->shape.h; y++) {
			for (uint32_t x = 0; x < conv->shape.w; x++, i++)
				ck_assert_double_eq_tol(ref->tensors[1][i],
							naive(conv, &graph->nodes[0].shape,
							      ref->tensors[0], n, y, x), 1e-4);
		}
	}
	reference_free(ref);
	xrnpe_graph_free(graph);
}
END_TEST

static void noise_inputs(float *values, size_t count)
{
	uint32_t state = 99;

	for (size_t i = 0; i < count; i++)
		values[i] = onnx_noise(&state);
}

START_TEST(folding_changes_nothing)
{
	struct xrnpe_graph *plain = load(onnx_resnet(), false), *folded = load(onnx_resnet(), true);
	float inputs[8 * 144], a[80], b[80];

	ck_assert_uint_gt(plain->count, folded->count);
	noise_inputs(inputs, 8 * 144);
	ck_assert_int_eq(xrnpe_graph_run(plain, 8, inputs, a, NULL, NULL, NULL), 0);
	ck_assert_int_eq(xrnpe_graph_run(folded, 8, inputs, b, NULL, NULL, NULL), 0);
	for (int i = 0; i < 80; i++)
		ck_assert_float_eq_tol(a[i], b[i], 2e-5f * (1 + fabsf(a[i])));
	xrnpe_graph_free(plain);
	xrnpe_graph_free(folded);
}
END_TEST

/* Powers of two are exact: then folding is, to the bit. */
START_TEST(folding_is_exact)
{
	for (int fold = 0; fold < 2; fold++) {
		static const float x[] = { 3, 5 };
		Onnx__ModelProto *model = image(1, 1, 2);
		struct xrnpe_graph *graph;
		Onnx__NodeProto *node;
		float out[2];

		onnx_floats(model, "w", DIMS(1, 1, 1, 1), (float[]){ 2 });
		onnx_floats(model, "b", DIMS(1), (float[]){ 1 });
		onnx_floats(model, "s", DIMS(1), (float[]){ 8 });
		onnx_floats(model, "o", DIMS(1), (float[]){ 7 });
		onnx_floats(model, "m", DIMS(1), (float[]){ 0 });
		onnx_floats(model, "v", DIMS(1), (float[]){ 3.75f });
		onnx_node(model, "Conv", "x w b", "c");
		node = onnx_node(model, "BatchNormalization", "c s o m v", "n");
		onnx_attr_float(node, "epsilon", 0.25f);
		onnx_node(model, "Relu", "n", "y");
		graph = load(model, fold);
		ck_assert_int_eq(xrnpe_graph_run(graph, 1, x, out, NULL, NULL, NULL), 0);
		ck_assert_float_eq(out[0], 4 * (2 * 3 + 1) + 7);
		ck_assert_float_eq(out[1], 4 * (2 * 5 + 1) + 7);
		ck_assert_uint_eq(graph->count, fold ? 2 : 4);
		xrnpe_graph_free(graph);
	}
}
END_TEST

START_TEST(threads_change_nothing)
{
	struct xrnpe_graph *graph = load(onnx_resnet(), true);
	float inputs[8 * 144], one[80], many[80];

	noise_inputs(inputs, 8 * 144);
	setenv("XRNPE_THREADS", "1", 1);
	ck_assert_int_eq(xrnpe_graph_run(graph, 8, inputs, one, NULL, NULL, NULL), 0);
	setenv("XRNPE_THREADS", "5", 1);
	ck_assert_int_eq(xrnpe_graph_run(graph, 8, inputs, many, NULL, NULL, NULL), 0);
	ck_assert_mem_eq(one, many, sizeof(one));
	xrnpe_graph_free(graph);
}
END_TEST

static int stop_at_once(void *data, size_t done, size_t total)
{
	ck_assert_uint_eq(total, 1000);
	ck_assert_uint_le(done, total);
	++*(int *)data;
	return 1;
}

START_TEST(stops_when_told)
{
	struct xrnpe_graph *graph = load(onnx_resnet(), true);
	float *inputs = calloc(1000 * 144, sizeof(*inputs)), *outputs = malloc(40000);
	struct xrnpe_error error;
	int calls = 0;

	ck_assert(inputs && outputs);
	ck_assert_int_eq(xrnpe_graph_run(graph, 1000, inputs, outputs, stop_at_once, &calls, &error),
			 -ECANCELED);
	ck_assert_int_eq(calls, 1);
	free(inputs);
	free(outputs);
	xrnpe_graph_free(graph);
}
END_TEST

TCase *compile_reference_tests(void)
{
	TCase *tests = tcase_create("reference");

	tcase_add_test(tests, conv_by_hand);
	tcase_add_test(tests, pools_by_hand);
	tcase_add_test(tests, conv_and_add_by_hand);
	tcase_add_test(tests, elementwise_by_hand);
	tcase_add_test(tests, activations_by_hand);
	tcase_add_test(tests, gemm_by_hand);
	tcase_add_test(tests, flatten_keeps_channel_order);
	tcase_add_loop_test(tests, conv_against_naive, 0, sizeof(convs) / sizeof(convs[0]));
	tcase_add_test(tests, folding_changes_nothing);
	tcase_add_test(tests, folding_is_exact);
	tcase_add_test(tests, threads_change_nothing);
	tcase_add_test(tests, stops_when_told);
	return tests;
}

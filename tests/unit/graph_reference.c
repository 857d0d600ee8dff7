// SPDX-License-Identifier: MIT
/* The FP32 reference against values worked out by hand and a naive convolution. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "graph.h"
#include "onnx.h"
#include "operator.h"
#include "operators/multiply.h"
#include "unit/graph_tests.h"
#include "unit/onnx_builder.h"

static struct xrnpe_graph *load(Onnx__ModelProto *model, bool fold)
{
	struct xrnpe_graph *graph = NULL;
	struct xrnpe_error error;
	size_t size;
	uint8_t *data = onnx_pack(model, &size);
	int ret;

	if (fold) {
		ret = xrnpe_graph_parse("m.onnx", data, size, NULL, &graph, &error);
	} else {
		graph = graph_new("m.onnx");
		ret = onnx_read(graph, data, size, NULL, NULL, &error);
	}

	ck_assert_msg(!ret, "%s", error.message);
	onnx_free(model);
	free(data);
	return graph;
}

/* A graph of one input and one output. */
static int run(const struct xrnpe_graph *graph, size_t count, const float *input, float *output)
{
	return xrnpe_graph_run(graph, count, &input, &output, NULL, NULL, NULL);
}

static void expect(Onnx__ModelProto *model, const float *inputs, size_t count,
		   const float *outputs)
{
	struct xrnpe_graph *graph = load(model, true);
	size_t size = xrnpe_graph_output(graph, 0)->count;
	float *got = malloc(count * size * sizeof(*got));

	ck_assert_ptr_nonnull(got);
	ck_assert_int_eq(run(graph, count, inputs, got), 0);
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

/* The largest of each window, or a NaN in it, in lines longer than vectors are. */
START_TEST(maxima_against_naive)
{
	enum { SIZE = 37 };
	const uint32_t kernel = _i + 2, stride = _i / 2 + 1, count = (SIZE - kernel) / stride + 1;
	Onnx__ModelProto *model = image(1, SIZE, SIZE);
	Onnx__NodeProto *node = onnx_node(model, "MaxPool", "x", "y");
	float x[SIZE * SIZE], y[SIZE * SIZE];
	struct xrnpe_graph *graph;
	uint32_t state = 5;

	onnx_attr_ints(node, "kernel_shape", DIMS(kernel, kernel));
	onnx_attr_ints(node, "strides", DIMS(stride, stride));
	graph = load(model, true);
	for (size_t i = 0; i < SIZE * SIZE; i++)
		x[i] = i % 101 == 100 ? NAN : onnx_noise(&state);
	ck_assert_int_eq(run(graph, 1, x, y), 0);
	for (uint32_t i = 0; i < count * count; i++) {
		const float *window = x + (i / count * SIZE + i % count) * stride;
		float most = -INFINITY;

		for (uint32_t k = 0; k < kernel * kernel && !isnan(most); k++) {
			float value = window[k / kernel * SIZE + k % kernel];

			most = value > most || isnan(value) ? value : most;
		}
		ck_assert(isnan(most) ? isnan(y[i]) : y[i] == most);
	}
	xrnpe_graph_free(graph);
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

/* Half as many of a line by a filter that sees four, and a part of one with what is outside. */
START_TEST(filters_by_hand)
{
	static const float x[] = { 8, 16, 24, 64, 32 };
	/* Weights of 1, 3, 3, 1 eighths, of which what is outside repeats the ends. */
	static const float half[] = { 13, 43 }, cropped[] = { -1, 12, 24, 48, -1 };

	for (int crops = 0; crops < 2; crops++) {
		Onnx__ModelProto *model = image(1, 1, crops ? 5 : 4);
		Onnx__NodeProto *node = onnx_node(model, "Resize", "x roi scales", "y");

		model->opset_import[0]->version = 18;
		onnx_attr_string(node, "mode", "linear");
		onnx_floats(model, "roi", DIMS(8), (float[]){ 0, 0, 0, -0.25f, 1, 1, 1, 1.25f });
		onnx_floats(model, "scales", DIMS(4), (float[]){ 1, 1, 1, crops ? 1 : 0.5f });
		onnx_attr_int(node, "antialias", !crops);
		onnx_attr_float(node, "extrapolation_value", -1);
		if (crops)
			onnx_attr_string(node, "coordinate_transformation_mode", "tf_crop_and_resize");
		expect(model, x, 1, crops ? cropped : half);
	}
}
END_TEST

/* Scales that no float is: ONNX Runtime's sizes, and the elements that it takes. */
START_TEST(scales_are_rounded)
{
	static const struct {
		const char *coordinates, *nearest;
		float scale;
		int64_t in;
		size_t out;
		uint32_t each;		/* of the input, every so many are taken ... */
		uint32_t first;		/* ... from there on */
	} cases[] = {
		{ "asymmetric", "floor", 1.0f / 3, 60, 20, 3, 0 },
		{ "asymmetric", "floor", 0.1f, 60, 6, 10, 0 },
		{ "half_pixel", "floor", 1.0f / 3, 60, 20, 3, 1 },
		{ "half_pixel", "round_prefer_floor", 0.2f, 60, 12, 5, 2 },
		{ "half_pixel_symmetric", "round_prefer_floor", 0.1f, 60, 6, 10, 4 },	/* 4.5 is a tie */
		{ "asymmetric", "floor", 1.3f, 60, 78, 0, 0 },
		{ "asymmetric", "floor", 0.9f, 60, 54, 0, 0 },
		{ NULL, NULL, 0.4f, 5, 2, 3, 0 },	/* as operator set 10 has it: 2.5 is the third */
	};
	Onnx__ModelProto *model = image(1, 1, cases[_i].in);
	Onnx__NodeProto *node = onnx_node(model, "Resize", cases[_i].nearest ? "x roi scales" : "x scales", "y");
	float x[60], y[78];
	struct xrnpe_graph *graph;

	for (int i = 0; i < 60; i++)
		x[i] = (float)i;
	onnx_floats(model, "roi", DIMS(0), (float[]){ 0 });
	onnx_floats(model, "scales", DIMS(4), (float[]){ 1, 1, 1, cases[_i].scale });
	if (cases[_i].nearest) {
		onnx_attr_string(node, "coordinate_transformation_mode", cases[_i].coordinates);
		onnx_attr_string(node, "nearest_mode", cases[_i].nearest);
	} else {
		model->opset_import[0]->version = 10;
	}
	graph = load(model, true);
	ck_assert_uint_eq(xrnpe_graph_output(graph, 0)->count, cases[_i].out);
	ck_assert_int_eq(run(graph, 1, x, y), 0);
	for (size_t i = 0; cases[_i].each && i < cases[_i].out; i++)
		ck_assert_float_eq(y[i], (float)(cases[_i].first + i * cases[_i].each));
	xrnpe_graph_free(graph);
}
END_TEST

/* Places on a line of three pixels: within, far away, mirrored one and a half behind, and none. */
START_TEST(grids_by_hand)
{
	static const float x[] = { 1, 2, 4 };
	static const float places[] = { 0, 0, 1e30f, 0, -1e30f, 0, 2, 0, INFINITY, 0, NAN, 0, 0, NAN };
	enum { COUNT = sizeof(places) / sizeof(*places) / 2 };
	static const struct {
		const char *padding;
		float y[COUNT];
	} cases[] = {
		{ "zeros", { 2, 0, 0, 0, 0, NAN, NAN } },
		{ "border", { 2, 4, 1, 4, 4, NAN, NAN } },
		{ "reflection", { 2, 0, 0, 2, NAN, NAN, NAN } },
	};
	Onnx__ModelProto *model = image(1, 1, 3);
	Onnx__NodeProto *node = onnx_node(model, "GridSample", "x places", "y");
	struct xrnpe_graph *graph;
	float y[COUNT];

	model->opset_import[0]->version = 16;
	onnx_floats(model, "places", DIMS(1, 1, COUNT, 2), places);
	onnx_attr_string(node, "padding_mode", cases[_i].padding);
	graph = load(model, true);
	ck_assert_int_eq(run(graph, 1, x, y), 0);
	for (int i = 0; i < COUNT; i++) {
		/* Where so many reflections end is rounding, but it is on the line. */
		if (_i == 2 && (i == 1 || i == 2))
			ck_assert_msg(y[i] >= 1 && y[i] <= 4, "place %d has %g", i, y[i]);
		else
			ck_assert_msg(y[i] == cases[_i].y[i] || (isnan(y[i]) && isnan(cases[_i].y[i])),
				      "place %d has %g, not %g", i, y[i], cases[_i].y[i]);
	}
	xrnpe_graph_free(graph);
}
END_TEST

/* With an axis that both have and the result, one that is summed, and one that only one has. */
START_TEST(einsum_by_hand)
{
	static const char *const equations[] = {
		"nchw,hcd->ndhw", " nchw , hcd -> wdh ", "nchw,hcd", "nc...w,...cd->nd...w", "nchw,hc...->wh...",
	};
	enum { C = 3, H = 2, W = 4, D = 5 };
	Onnx__ModelProto *model = image(C, H, W);
	float x[C * H * W], w[H * C * D], y[D * H * W];

	for (int i = 0; i < C * H * W; i++)
		x[i] = (float)(i % 7 - 3);
	for (int i = 0; i < H * C * D; i++)
		w[i] = (float)(i % 5 - 2);
	memset(y, 0, sizeof(y));
	for (int i = 0; i < C * H * W * D; i++) {
		int d = i % D, k = i / D % W, h = i / D / W % H, c = i / D / W / H;
		/* What is implied is d, n, w: h and c, which both have, are summed. */
		int at = _i % 3 == 0 ? (d * H + h) * W + k : _i == 1 ? (k * D + d) * H + h :
			 _i == 2 ? d * W + k : (k * H + h) * D + d;

		y[at] += x[(c * H + h) * W + k] * w[(h * C + c) * D + d];
	}
	onnx_floats(model, "w", DIMS(H, C, D), w);
	onnx_attr_string(onnx_node(model, "Einsum", "x w", "y"), "equation", equations[_i]);
	expect(model, x, 1, y);
}
END_TEST

/* A letter that one tensor has more than once. */
START_TEST(einsum_of_diagonals)
{
	static const char *const equations[] = { "nccw->nwc", "nccw", "nccc->c", "nchc,hh->nhc" };
	enum { C = 3 };
	Onnx__ModelProto *model = image(C, C, C);
	float x[C * C * C], w[C * C], y[C * C] = { 0 };

	for (int i = 0; i < C * C * C; i++)
		x[i] = (float)(i + 1);
	for (int i = 0; i < C * C; i++)
		w[i] = (float)(i - 2);
	for (int i = 0; i < C * C; i++) {
		int a = i / C, c = i % C;

		if (_i == 0)
			y[i] = x[(c * C + c) * C + a];
		else if (_i == 1)
			y[a] += x[(c * C + c) * C + a];
		else if (_i == 2)
			y[c] = x[(c * C + c) * C + c];
		else
			y[i] = x[(c * C + a) * C + c] * w[a * C + a];
	}
	onnx_floats(model, "w", DIMS(C, C), w);
	onnx_attr_string(onnx_node(model, "Einsum", _i == 3 ? "x w" : "x", "y"), "equation", equations[_i]);
	expect(model, x, 1, y);
}
END_TEST

/* Of an input that takes no floats, what it takes is said when it gets others. */
START_TEST(input_of_another_type)
{
	static const struct {
		Onnx__TensorProto__DataType type;
		float value;
		const char *takes;
	} cases[] = {
		{ ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 0.5f, "integers" },
		{ ONNX__TENSOR_PROTO__DATA_TYPE__UINT8, NAN, "integers" },
		{ ONNX__TENSOR_PROTO__DATA_TYPE__BOOL, 2, "truths: 0 or 1" },
	};
	Onnx__ModelProto *model = image(1, 1, 1);
	struct xrnpe_error error;
	struct xrnpe_graph *graph;
	char message[64];
	float y;

	model->graph->input[0]->type->tensor_type->elem_type = cases[_i].type;
	onnx_attr_int(onnx_node(model, "Cast", "x", "y"), "to", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
	graph = load(model, true);
	ck_assert_int_eq(xrnpe_graph_run(graph, 1, &(const float *){ &cases[_i].value }, &(float *){ &y }, NULL,
					 NULL, &error), -EINVAL);
	snprintf(message, sizeof(message), "input x takes %s", cases[_i].takes);
	ck_assert_msg(strstr(error.message, message), "%s", error.message);
	xrnpe_graph_free(graph);
}
END_TEST

START_TEST(gemm_by_hand)
{
	static const float x[] = { 1, 2, 3, 4, 5, 6 };	/* two elements of a batch */
	static const float y[] = { 2 * 321 + 3, 2 * 6 + 6, 2 * 654 + 3, 2 * 15 + 6 };
	Onnx__ModelProto *model = onnx_new();
	Onnx__NodeProto *node;

	onnx_input(model, "x", DIMS(0, 3));	/* one of them each time */
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

/* One output of a convolution, in the plainest way: of the order of its sums nothing may change. */
static float naive(const struct xrnpe_graph *graph, const float *x, uint32_t n, uint32_t oy,
		    uint32_t ox)
{
	const struct graph_node *node = &graph->nodes[0];
	const struct graph_windows *w = &node->params.windows;
	const struct graph_window *wy = &w->axis[0], *wx = &w->axis[1];
	const uint32_t *in = graph_input(graph, node, 0)->shape.dims;
	const struct graph_tensor *tensor = graph_input(graph, node, 1);
	uint32_t in_c = tensor->shape.dims[1], group = n / (tensor->shape.dims[0] / w->groups);
	const float *weight = (const float *)tensor->data + n * in_c * wy->kernel * wx->kernel;
	volatile float sum = 0, product;

	for (uint32_t c = 0; c < in_c; c++) {
		for (uint32_t i = 0; i < wy->kernel; i++) {
			for (uint32_t j = 0; j < wx->kernel; j++, weight++) {
				int y = (int)(oy * wy->stride + i * wy->dilation) - (int)wy->pad_begin;
				int z = (int)(ox * wx->stride + j * wx->dilation) - (int)wx->pad_begin;

				if (y < 0 || y >= (int)in[2] || z < 0 || z >= (int)in[3])
					continue;
				product = *weight * x[((group * in_c + c) * in[2] + (uint32_t)y) * in[3] +
						      (uint32_t)z];
				sum = sum + product;
			}
		}
	}
	return sum + ((const float *)graph_input(graph, node, 2)->data)[n];
}

/* What is not a number stays so, whatever compares it. */
START_TEST(nan_stays)
{
	static const char *const ops[] = { "Relu", "LeakyRelu", "GlobalMaxPool", "ReduceMax", "Clip" };
	static const float x[] = { 1, NAN, 3, -4 };

	for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
		Onnx__ModelProto *model = image(1, 2, 2);
		struct xrnpe_graph *graph;
		float y[4];
		bool found = false;

		onnx_node(model, ops[i], "x", "y");
		graph = load(model, true);
		ck_assert_int_eq(run(graph, 1, x, y), 0);
		for (size_t k = 0; k < xrnpe_graph_output(graph, 0)->count; k++)
			found |= isnan(y[k]);
		ck_assert_msg(found, "%s lost it", ops[i]);
		xrnpe_graph_free(graph);
	}
}
END_TEST

/* A graph written and read again gives the same bits; what was folded stands apart. */
START_TEST(written_and_read)
{
	struct xrnpe_graph *graph = load(onnx_resnet(), true), *again = graph_new("again");
	uint32_t *first = calloc(graph->node_count + 1, sizeof(*first));
	float inputs[8 * 144], a[80], b[80];
	struct xrnpe_error error;
	uint8_t *data;
	size_t size;

	ck_assert_ptr_nonnull(first);
	ck_assert_int_eq(onnx_write(graph, first, &data, &size, &error), 0);
	ck_assert_msg(!onnx_read(again, data, size, NULL, NULL, &error), "%s", error.message);
	ck_assert_uint_eq(again->node_count, first[graph->node_count]);
	for (uint32_t n = 0; n < graph->node_count; n++)
		ck_assert_str_eq(again->nodes[first[n]].op->name, graph->nodes[n].op->name);
	for (size_t i = 0; i < 8 * 144; i++)
		inputs[i] = (float)(i % 17) - 8;
	ck_assert_int_eq(run(graph, 8, inputs, a), 0);
	ck_assert_int_eq(run(again, 8, inputs, b), 0);
	ck_assert_mem_eq(a, b, sizeof(a));
	free(first);
	free(data);
	xrnpe_graph_free(graph);
	xrnpe_graph_free(again);
}
END_TEST

/* channels, size, output channels, groups, kernel, stride, dilation, padding */
static const int64_t convs[][8] = {
	{ 1, 9, 1, 1, 1, 1, 1, 0 },
	{ 3, 9, 5, 1, 3, 1, 1, 1 },
	{ 4, 11, 8, 2, 3, 2, 1, 1 },
	{ 6, 10, 6, 6, 3, 1, 2, 2 },
	{ 6, 10, 12, 3, 5, 3, 1, 0 },
	{ 8, 5, 9, 1, 5, 1, 1, 4 },
	{ 16, 1, 7, 1, 1, 1, 1, 0 },
	/* More windows than are computed at once; lines of which most would be wasted. */
	{ 5, 19, 9, 1, 1, 1, 1, 0 },
	{ 5, 5, 9, 1, 1, 1, 1, 0 },
	{ 9, 23, 4, 1, 3, 1, 1, 0 },
	{ 4, 33, 11, 1, 3, 2, 1, 1 },
	{ 5, 4, 17, 1, 3, 1, 1, 1 },
	{ 3, 9, 16, 1, 3, 2, 2, 2 },
	{ 3, 13, 8, 1, 2, 3, 1, 0 },
	/* Lines as long as the output's, by whole channels and by long and short lines. */
	{ 7, 20, 8, 1, 5, 1, 1, 2 },
	{ 2, 23, 19, 1, 3, 1, 3, 3 },
	{ 4, 41, 9, 1, 3, 2, 1, 1 },
	{ 3, 64, 8, 1, 5, 3, 1, 1 },
	{ 9, 7, 16, 1, 3, 2, 1, 1 },
};

START_TEST(conv_against_naive)
{
	const int64_t *p = convs[_i];
	Onnx__ModelProto *model = image(p[0], p[1], p[1] + (_i & 1));
	Onnx__NodeProto *node = onnx_node(model, "Conv", "x w b", "y");
	struct xrnpe_graph *graph;
	const uint32_t *out;
	struct reference *ref;
	float *x, *y;
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
	x = ref->tensors[graph->inputs[0]];
	y = ref->tensors[graph->outputs[0]];
	for (size_t i = 0; i < xrnpe_graph_input(graph, 0)->count; i++)
		x[i] = onnx_noise(&state);
	reference_run(ref);
	out = graph_output(graph, &graph->nodes[0], 0)->shape.dims;
	for (uint32_t n = 0; n < out[1]; n++) {
		for (uint32_t i = 0; i < out[2] * out[3]; i++)
			ck_assert_float_eq(*y++, naive(graph, x, n, i / out[3], i % out[3]));
	}
	reference_free(ref);
	xrnpe_graph_free(graph);
}
END_TEST

/* Products are added in their order, each rounded before, whatever computes them. */
START_TEST(products_in_order)
{
	enum { TAPS = 37, ROWS = MULTIPLY_ROWS, COLUMNS = 11 * MULTIPLY_COLUMNS, STRIDE = 41 };
	const struct multiply_vectors *vectors = multiply_vectors[_i];
	float weight[ROWS * STRIDE], in[TAPS + COLUMNS], bias[ROWS], out[ROWS * COLUMNS];
	size_t offset[TAPS];
	const struct multiply_taps some = { weight, in, NULL, STRIDE, TAPS / 3, offset, false };
	struct multiply_taps others = {
		weight + TAPS / 3, in, NULL, STRIDE, TAPS - TAPS / 3, offset + TAPS / 3, true,
	};
	uint32_t state = 3;

	if (!vectors->supported())
		return;
	for (size_t i = 0; i < ROWS * STRIDE; i++)
		weight[i] = onnx_noise(&state);
	for (size_t i = 0; i < TAPS + COLUMNS; i++)
		in[i] = onnx_noise(&state);
	for (size_t i = 0; i < TAPS; i++)
		offset[i] = i * 7 % TAPS;
	for (size_t i = 0; i < ROWS; i++)
		bias[i] = onnx_noise(&state);
	for (unsigned int rows = 1; rows <= ROWS; rows++) {
		others.bias = rows % 2 ? bias : NULL;
		for (size_t columns = MULTIPLY_COLUMNS; columns <= COLUMNS; columns += MULTIPLY_COLUMNS) {
			memset(out, 0xff, sizeof(out));
			vectors->multiply(&some, rows, columns, out, COLUMNS);
			vectors->multiply(&others, rows, columns, out, COLUMNS);
			for (size_t i = 0; i < ROWS * COLUMNS; i++) {
				volatile float sum = 0, product;

				if (i / COLUMNS >= rows || i % COLUMNS >= columns) {
					ck_assert(isnan(out[i]));
					continue;
				}
				for (size_t t = 0; t < TAPS; t++) {
					product = weight[i / COLUMNS * STRIDE + t] *
						  in[offset[t] + i % COLUMNS];
					sum = sum + product;
				}
				sum = sum + (others.bias ? bias[i / COLUMNS] : 0);
				ck_assert_msg(out[i] == sum, "%s: %u rows, %zu columns", vectors->name, rows,
					      columns);
			}
		}
	}
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

	ck_assert_uint_gt(plain->node_count, folded->node_count);
	noise_inputs(inputs, 8 * 144);
	ck_assert_int_eq(run(plain, 8, inputs, a), 0);
	ck_assert_int_eq(run(folded, 8, inputs, b), 0);
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
		ck_assert_int_eq(run(graph, 1, x, out), 0);
		ck_assert_float_eq(out[0], 4 * (2 * 3 + 1) + 7);
		ck_assert_float_eq(out[1], 4 * (2 * 5 + 1) + 7);
		ck_assert_uint_eq(graph->node_count, fold ? 1 : 3);
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
	ck_assert_int_eq(run(graph, 8, inputs, one), 0);
	setenv("XRNPE_THREADS", "5", 1);
	ck_assert_int_eq(run(graph, 8, inputs, many), 0);
	ck_assert_mem_eq(one, many, sizeof(one));
	xrnpe_graph_free(graph);
}
END_TEST

/* Compute a graph of one node, with its input and output where they are. */
static void compute_node(const struct xrnpe_graph *graph, float *input, float *output)
{
	const struct graph_node *node = &graph->nodes[0];
	void **tensors = calloc(graph->tensor_count, sizeof(*tensors)), *scratch = NULL;
	struct op_call call = { .graph = graph, .node = node, .tensors = tensors };

	ck_assert_uint_eq(graph->node_count, 1);
	ck_assert(tensors && !posix_memalign(&scratch, 64, node->scratch + 1));
	call.scratch = scratch;
	for (uint32_t i = 0; i < graph->tensor_count; i++)
		tensors[i] = graph->tensors[i].data;
	tensors[graph->inputs[0]] = input;
	tensors[graph->outputs[0]] = output;
	node->op->compute(&call);
	free(scratch);
	free(tensors);
}

/* Behind the last element of the input is memory that cannot be read. */
START_TEST(nothing_behind_is_read)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *pages = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(pages, MAP_FAILED);
	ck_assert_int_eq(mprotect(pages + 2 * page, page, PROT_NONE), 0);
	for (int64_t width = 1; width < 70; width++) {
		for (int64_t kernel = 1; kernel <= 2; kernel++) {
			Onnx__ModelProto *model = image(2, 2, width);
			float *input = (float *)(void *)(pages + 2 * page) - 4 * width, sums[4 * 70];
			struct xrnpe_graph *graph;

			onnx_node(model, "Conv", "x w", "y");
			onnx_floats(model, "w", DIMS(2, 2, kernel, 1), (float[]){ 1, 1, 1, 1, 1, 1, 1, 1 });
			graph = load(model, true);
			for (int64_t i = 0; i < 4 * width; i++)
				input[i] = 1;
			compute_node(graph, input, sums);
			for (int64_t i = 0; i < 2 * width * (3 - kernel); i++)
				ck_assert(sums[i] == (float)(2 * kernel));
			xrnpe_graph_free(graph);
		}
	}
	munmap(pages, 3 * page);
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
	ck_assert_int_eq(xrnpe_graph_run(graph, 1000, (const float *[]){ inputs }, &outputs, stop_at_once,
					 &calls, &error),
			 -ECANCELED);
	ck_assert_int_eq(calls, 1);
	free(inputs);
	free(outputs);
	xrnpe_graph_free(graph);
}
END_TEST

TCase *graph_reference_tests(void)
{
	TCase *tests = tcase_create("reference");
	int vectors;

	tcase_add_test(tests, conv_by_hand);
	tcase_add_test(tests, pools_by_hand);
	tcase_add_loop_test(tests, maxima_against_naive, 0, 4);
	tcase_add_test(tests, conv_and_add_by_hand);
	tcase_add_test(tests, elementwise_by_hand);
	tcase_add_test(tests, activations_by_hand);
	tcase_add_test(tests, filters_by_hand);
	tcase_add_loop_test(tests, scales_are_rounded, 0, 8);
	tcase_add_loop_test(tests, grids_by_hand, 0, 3);
	tcase_add_loop_test(tests, einsum_by_hand, 0, 5);
	tcase_add_loop_test(tests, einsum_of_diagonals, 0, 4);
	tcase_add_loop_test(tests, input_of_another_type, 0, 3);
	tcase_add_test(tests, gemm_by_hand);
	tcase_add_test(tests, flatten_keeps_channel_order);
	tcase_add_loop_test(tests, conv_against_naive, 0, sizeof(convs) / sizeof(convs[0]));
	for (vectors = 0; multiply_vectors[vectors];)
		vectors++;
	tcase_add_loop_test(tests, products_in_order, 0, vectors);
	tcase_add_test(tests, folding_changes_nothing);
	tcase_add_test(tests, folding_is_exact);
	tcase_add_test(tests, threads_change_nothing);
	tcase_add_test(tests, nothing_behind_is_read);
	tcase_add_test(tests, stops_when_told);
	tcase_add_test(tests, nan_stays);
	tcase_add_test(tests, written_and_read);
	return tests;
}

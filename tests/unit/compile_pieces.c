// SPDX-License-Identifier: MIT
/* Nodes that take several commands: transposed convolutions, interpolation, long sums. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "unit/compile_run.h"
#include "unit/compile_tests.h"

static uint32_t pick(uint32_t *state, uint32_t from, uint32_t to)
{
	*state = *state * 1664525 + 1013904223;
	return from + (*state >> 8) % (to - from + 1);
}

static unsigned int products(const struct xrnpe_model *model)
{
	unsigned int count = 0;

	for (uint32_t i = 0; i < model->cmd_count; i++)
		count += xrnpe_cmd_macs(&model->cmds[i]) > 0;
	return count;
}

/* @graph is on the device, within @bound of the reference, in so many products; it is freed. */
static void check_products(struct xrnpe_graph *graph, double bound, unsigned int count)
{
	struct xrnpe_model *model = on_device(graph, bound);

	ck_assert_uint_eq(products(model), count);
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}

/* Whatever strides, dilations, padding and groups: a convolution for each phase. */
START_TEST(transposed)
{
	uint32_t state = (uint32_t)_i;
	int64_t groups = pick(&state, 1, 2), h = pick(&state, 1, 5), w = pick(&state, 1, 5);
	int64_t kernel[] = { pick(&state, 1, 5), pick(&state, 1, 5) };
	int64_t stride[] = { pick(&state, 1, 4), pick(&state, 1, 4) };
	int64_t dilation[] = { pick(&state, 1, 3), pick(&state, 1, 3) };
	int64_t most = pick(&state, 0, 4), extra[2], pads[4], size[] = { h, w };
	Onnx__ModelProto *onnx = image_network(2 * groups, h, w);
	Onnx__NodeProto *node;
	struct xrnpe_graph *graph;

	onnx_floats(onnx, "w", DIMS(2 * groups, 3, kernel[0], kernel[1]), NULL);
	onnx_floats(onnx, "b", DIMS(3 * groups), NULL);
	node = onnx_node(onnx, "ConvTranspose", "x w b", "y");
	for (int i = 0; i < 2; i++) {
		int64_t full = (size[i] - 1) * stride[i] + (kernel[i] - 1) * dilation[i] + 1;

		extra[i] = pick(&state, 0, (uint32_t)stride[i] - 1);
		pads[i] = most < full ? most : full - 1;
		pads[2 + i] = full - pads[i] > 1 && most > 1 ? 1 : 0;
	}
	onnx_attr_int(node, "group", groups);
	onnx_attr_ints(node, "strides", 2, stride);
	onnx_attr_ints(node, "dilations", 2, dilation);
	onnx_attr_ints(node, "pads", 4, pads);
	onnx_attr_ints(node, "output_padding", 2, extra);
	graph = load(onnx);
	xrnpe_model_free(on_device(graph, 0.02));
	xrnpe_graph_free(graph);
}
END_TEST

/* Let memory that is taken next hold NaNs, as it may. */
static void spoil_memory(void)
{
	enum { BLOCKS = 64, STEP = 16, LARGEST = 4096 };
	void *blocks[BLOCKS];

	for (size_t size = STEP; size <= LARGEST; size += STEP) {
		for (int i = 0; i < BLOCKS; i++) {
			blocks[i] = malloc(size);
			ck_assert_ptr_nonnull(blocks[i]);
			memset(blocks[i], 0xff, size);
		}
		for (int i = 0; i < BLOCKS; i++)
			free(blocks[i]);
	}
}

/* Weights that reach no output are nowhere in a model, whatever lies in memory in their place. */
START_TEST(unused_weights)
{
	Onnx__ModelProto *onnx = image_network(2, 3, 3);
	Onnx__NodeProto *node;
	struct xrnpe_graph *graph;

	onnx_floats(onnx, "w", DIMS(2, 3, 5, 5), NULL);
	node = onnx_node(onnx, "ConvTranspose", "x w", "y");
	onnx_attr_ints(node, "strides", DIMS(4, 4));
	/* What is left is 3 x 3: every fourth tap would be of the fourth line or pixel. */
	onnx_attr_ints(node, "pads", DIMS(0, 0, 10, 10));
	graph = load(onnx);
	spoil_memory();
	xrnpe_model_free(on_device(graph, 0.02));
	xrnpe_graph_free(graph);
}
END_TEST

static struct xrnpe_graph *resized(const char *mode, const char *coordinates, int64_t h, int64_t w)
{
	Onnx__ModelProto *onnx = image_network(3, 6, 4);
	Onnx__NodeProto *node;

	onnx_floats(onnx, "none", DIMS(0), (float[]){ 0 });
	onnx_ints(onnx, "size", 4, (int64_t[]){ 1, 3, h, w });
	node = onnx_node(onnx, "Resize", "x none none size", "y");
	onnx_attr_string(node, "mode", mode);
	onnx_attr_string(node, "coordinate_transformation_mode", coordinates);
	return load(onnx);
}

/* A convolution for each pair of weights; a product with one where a single element is read. */
START_TEST(interpolated)
{
	static const struct {
		const char *coordinates;
		int64_t h, w;
		unsigned int products;
	} cases[] = {
		{ "half_pixel", 12, 8, 3 * 3 },		/* both ends, odd, even */
		{ "half_pixel", 12, 4, 3 },
		{ "half_pixel", 3, 2, 1 },
		{ "half_pixel", 18, 4, 4 },	/* between, at either end */
		{ "asymmetric", 12, 8, 3 * 3 },	/* even, odd, the last */
		{ "asymmetric", 3, 8, 3 },
		{ "align_corners", 11, 7, 2 * 2 },
		{ "pytorch_half_pixel", 12, 8, 3 * 3 },
	};

	check_products(resized("linear", cases[_i].coordinates, cases[_i].h, cases[_i].w), 0.02,
		       cases[_i].products);
}
END_TEST

#define NOTES 2048

static void add_note(void *data, const char *text)
{
	strncat(data, text, NOTES - strlen(data) - 1);
}

/* @graph, which is freed, is not compiled in @formats. */
static void is_refused(struct xrnpe_graph *graph, const struct xrnpe_layer_formats *formats,
		       const char *message)
{
	struct xrnpe_array *calibration = noise(graph, CALIBRATION, 1);
	const struct xrnpe_compile_options options = {
		.calibration = calibration, .formats = formats, .format_count = 1,
	};
	struct xrnpe_model *model;

	ck_assert_int_eq(xrnpe_compile(graph, &options, &model, &error), -EINVAL);
	ck_assert_msg(strstr(error.message, message), "%s", error.message);
	noise_free(graph, calibration);
	xrnpe_graph_free(graph);
}

/* Formats are not for a layer whose weights they do not hold; if they are for all, it has others. */
START_TEST(weights_do_not_fit)
{
	static const struct {
		uint32_t lines, pixels;
		enum xrnpe_format wanted, taken;
		const char *message;
	} cases[] = {
		{ 12, 8, XRNPE_FORMAT_FP4, XRNPE_FORMAT_P8, "layer n_y cannot read fp4; it reads p8, p16" },
		{ 18, 4, XRNPE_FORMAT_P8, XRNPE_FORMAT_P16, "layer n_y cannot read p8; it reads p16" },
	};
	struct xrnpe_graph *graph = resized("linear", "half_pixel", cases[_i].lines, cases[_i].pixels);
	struct xrnpe_layer_formats formats = { .weight = cases[_i].wanted, .input = cases[_i].wanted };
	struct xrnpe_array *calibration = noise(graph, CALIBRATION, 1);
	char notes[NOTES] = "";
	const struct xrnpe_compile_options options = {
		.calibration = calibration, .formats = &formats, .format_count = 1,
		.note = add_note, .note_data = notes,
	};
	struct xrnpe_model *model;

	ck_assert_msg(!xrnpe_compile(graph, &options, &model, &error), "%s", error.message);
	ck_assert_int_eq(xrnpe_model_layer(model, 0)->format, cases[_i].taken);
	ck_assert_msg(strstr(notes, "formats: 1 layer cannot read those given for all, n_y first"), "%s",
		      notes);
	xrnpe_model_free(model);
	noise_free(graph, calibration);
	formats.layer = "n_y";
	is_refused(graph, &formats, cases[_i].message);
}
END_TEST

/* Nor is a format in which nothing is multiplied for any layer, wherever it is given. */
START_TEST(formats_that_do_not_multiply)
{
	static const struct xrnpe_layer_formats cases[] = {
		{ .weight = XRNPE_FORMAT_F32, .input = XRNPE_FORMAT_P8 },
		{ .weight = XRNPE_FORMAT_P8, .input = XRNPE_FORMAT_F32 },
		{ .weight = XRNPE_FORMAT_P8, .input = XRNPE_FORMAT_P8, .adds = true,
		  .added = XRNPE_FORMAT_F32 },
	};

	is_refused(load(onnx_resnet()), &cases[_i], "layers multiply in fp4, p4, p8 and p16");
}
END_TEST

/* Thirds take Posit(16,1), whatever the budget. */
START_TEST(weights_stay_exact)
{
	struct xrnpe_graph *graph = resized("linear", "half_pixel", 18, 4);
	struct xrnpe_model *model = on_device(graph, 0.02);
	uint64_t bytes = xrnpe_model_layer(model, 0)->bytes;

	ck_assert_int_eq(xrnpe_model_layer(model, 0)->format, XRNPE_FORMAT_P16);
	xrnpe_model_free(model);
	ck_assert_int_eq(compile(graph, bytes - 1, &model), -ENOSPC);
	xrnpe_graph_free(graph);
}
END_TEST

/* Whose elements all have weights of their own, it is left to the CPU. */
START_TEST(not_interpolated)
{
	struct xrnpe_graph *graph = resized("linear", "align_corners", 29, 4);
	struct xrnpe_model *model = faithful(graph, 1e-6);

	ck_assert_str_eq(xrnpe_model_layer(model, 0)->why, "its weights differ from pixel to pixel");
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

/* The first parts of a long sum are written as binary32, with no bias and no activation. */
START_TEST(long_sums)
{
	struct xrnpe_graph *graph = load(long_network());
	struct xrnpe_model *model = on_device(graph, 0.02);
	unsigned int parts = 0;

	for (uint32_t i = 0; i < model->cmd_count; i++) {
		const struct xrnpe_cmd *cmd = &model->cmds[i], *next = cmd + 1;
		const struct xrnpe_operand *sums = &cmd->operand[XRNPE_OPERAND_OFM];
		struct xrnpe_scale scale;

		if (!xrnpe_cmd_macs(cmd) || sums->region != XRNPE_MODEL_ARENA ||
		    sums->format != XRNPE_FORMAT_F32)
			continue;
		parts++;
		ck_assert_int_eq(cmd->activation, XRNPE_ACT_NONE);
		memcpy(&scale, (char *)model->constants + cmd->operand[XRNPE_OPERAND_SCALE].offset,
		       sizeof(scale));
		ck_assert_uint_eq(scale.bias, 0);
		ck_assert_uint_ne(next->flags & XRNPE_CMD_RESIDUAL, 0);
		ck_assert_uint_eq(next->residual, 0x3f800000);
		ck_assert_uint_eq(next->operand[XRNPE_OPERAND_IFM2].offset, sums->offset);
		ck_assert_int_eq(next->activation, XRNPE_ACT_RELU);
	}
	ck_assert_uint_eq(parts, 2);
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

/*
 * Averages at the border are over fewer elements: a convolution for each number of them, along both
 * axes, which have weights of their own.
 */
START_TEST(uneven)
{
	static const struct {
		int64_t kernel[2], stride[2], dilation[2], pads[4];
		bool ceil, counts;
		unsigned int products;
	} cases[] = {
		{ { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1, 1, 1 }, false, false, 2 * 2 },	/* both ends at once */
		{ { 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1, 1, 1 }, false, false, 2 * 2 },	/* the last is whole */
		{ { 2, 3 }, { 1, 2 }, { 1, 1 }, { 0, 0, 1, 1 }, false, false, 2 * 1 },
		{ { 5, 1 }, { 1, 1 }, { 1, 1 }, { 2, 0, 2, 0 }, false, false, 3 },
		{ { 2, 2 }, { 1, 1 }, { 3, 2 }, { 1, 1, 1, 1 }, false, false, 2 * 2 },
		{ { 3, 4 }, { 2, 3 }, { 1, 1 }, { 0, 0, 0, 0 }, true, false, 2 * 2 },
		{ { 3, 4 }, { 2, 3 }, { 1, 1 }, { 1, 1, 1, 1 }, true, true, 3 * 2 },
	};
	Onnx__ModelProto *onnx = image_network(5, 10, 11);
	Onnx__NodeProto *node = onnx_node(onnx, "AveragePool", "x", "a");

	onnx_attr_ints(node, "kernel_shape", 2, cases[_i].kernel);
	onnx_attr_ints(node, "strides", 2, cases[_i].stride);
	onnx_attr_ints(node, "dilations", 2, cases[_i].dilation);
	onnx_attr_ints(node, "pads", 4, cases[_i].pads);
	onnx_attr_int(node, "ceil_mode", cases[_i].ceil);
	onnx_attr_int(node, "count_include_pad", cases[_i].counts);
	onnx_node(onnx, "Relu", "a", "y");
	check_products(load(onnx), 2e-3, cases[_i].products);
}
END_TEST

/* What one window or one sum has not is added up in tiles. */
START_TEST(tiled)
{
	static const struct {
		const char *op;
		int64_t h, w, axes[2];
		size_t axis_count;
		unsigned int products;
	} cases[] = {
		{ "GlobalAveragePool", 257, 1, { 0 }, 0, 3 },
		{ "GlobalAveragePool", 200, 180, { 0 }, 0, 4 },	/* a sum of 36000 */
		{ "ReduceMean", 257, 2, { 2 }, 1, 3 },
		{ "ReduceMean", 2, 300, { 3 }, 1, 3 },
		{ "ReduceSum", 2, 256, { 3 }, 1, 2 },
		{ "ReduceSum", 257, 3, { 2, 3 }, 2, 3 },
	};
	Onnx__ModelProto *onnx = image_network(2, cases[_i].h, cases[_i].w);
	const char *op = cases[_i].op;

	onnx_ints(onnx, "axes", cases[_i].axis_count, cases[_i].axes);
	if (!strcmp(op, "ReduceMean"))
		onnx_attr_ints(onnx_node(onnx, op, "x", "a"), "axes", cases[_i].axis_count, cases[_i].axes);
	else
		onnx_node(onnx, op, cases[_i].axis_count ? "x axes" : "x", "a");
	onnx_node(onnx, "Relu", "a", "y");
	check_products(load(onnx), 5e-3, cases[_i].products);
}
END_TEST

/* What is padded with channels of zeros is added to the others alone: nothing is copied. */
START_TEST(padded_residual)
{
	static const struct {
		uint32_t before, channels, after;
		float fill;
		unsigned int copies;
	} cases[] = {
		{ 0, 16, 16, 0, 0 }, { 16, 32, 16, 0, 0 }, { 16, 16, 0, 0, 0 }, { 0, 24, 9, 0, 0 },
		{ 24, 23, 0, 0, 0 },
		/* Within a byte of 4-bit codes; by something else than zeros; more for the array. */
		{ 0, 23, 9, 0, 1 }, { 15, 16, 1, 0, 1 }, { 0, 16, 16, 0.5f, 1 }, { 4, 8, 4, 0, 1 },
	};
	uint32_t channels = cases[_i].channels, all = cases[_i].before + channels + cases[_i].after;
	Onnx__ModelProto *onnx = image_network(channels, 24, 20);
	struct xrnpe_model *model;
	struct xrnpe_graph *graph;
	unsigned int copies = 0;

	onnx_floats(onnx, "w1", DIMS(channels, channels, 3, 3), NULL);
	onnx_floats(onnx, "w2", DIMS(all, channels, 1, 1), NULL);
	onnx_floats(onnx, "b2", DIMS(all), NULL);
	onnx_floats(onnx, "k", DIMS(all, 1, 1), NULL);
	onnx_floats(onnx, "fill", 0, (int64_t[]){ 0 }, &cases[_i].fill);
	onnx_ints(onnx, "pads", 8, (int64_t[]){ 0, cases[_i].before, 0, 0, 0, cases[_i].after, 0, 0 });
	onnx_attr_ints(onnx_node(onnx, "Conv", "x w1", "a"), "pads", DIMS(1, 1, 1, 1));
	onnx_node(onnx, "Conv", "a w2 b2", "c");
	onnx_node(onnx, "Pad", "a pads fill", "p");
	onnx_node(onnx, "Add", "p c", "s");
	onnx_node(onnx, "PRelu", "s k", "y");
	graph = load(onnx);
	model = on_device(graph, 0.02);
	for (uint32_t i = 0; i < model->cmd_count; i++)
		copies += model->cmds[i].opcode == XRNPE_OP_COPY &&
			  model->cmds[i].copy.out_c != model->cmds[i].copy.in_c;
	ck_assert_uint_eq(copies, cases[_i].copies);
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

TCase *compile_pieces_tests(void)
{
	TCase *tests = tcase_create("pieces");

	tcase_set_timeout(tests, 120);
	tcase_add_loop_test(tests, transposed, 0, 60);
	tcase_add_test(tests, unused_weights);
	tcase_add_loop_test(tests, interpolated, 0, 8);
	tcase_add_loop_test(tests, weights_do_not_fit, 0, 2);
	tcase_add_loop_test(tests, formats_that_do_not_multiply, 0, 3);
	tcase_add_test(tests, weights_stay_exact);
	tcase_add_test(tests, not_interpolated);
	tcase_add_test(tests, long_sums);
	tcase_add_loop_test(tests, uneven, 0, 7);
	tcase_add_loop_test(tests, tiled, 0, 6);
	tcase_add_loop_test(tests, padded_residual, 0, 9);
	return tests;
}

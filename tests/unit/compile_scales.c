// SPDX-License-Identifier: MIT
/* Scales that a file gives: read, written, refused, and compiled to the codes that they mean. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compile.h"
#include "unit/compile_tests.h"
#include "unit/onnx_builder.h"

enum { IN = 5, OUT = 3, CALIBRATION = 8 };

static const float in_scale = 0.3f, out_scale = 0.7f;
static const float weight_scales[OUT] = { 0.11f, 0.013f, 1.7f };

static struct xrnpe_error error;

/* x -> Gemm -> Relu -> y -> Gemm -> z, with scales for what the first one reads and writes. */
static Onnx__ModelProto *new_network(void)
{
	Onnx__ModelProto *model = onnx_new();

	onnx_input(model, "x", DIMS(0, IN));
	onnx_output(model, "z", DIMS(0, 2));
	onnx_floats(model, "w", DIMS(IN, OUT), NULL);
	onnx_floats(model, "b", DIMS(OUT), NULL);
	onnx_floats(model, "v", DIMS(OUT, 2), NULL);
	onnx_node(model, "Gemm", "x w b", "xw");
	onnx_node(model, "Relu", "xw", "y");
	onnx_node(model, "Gemm", "y v", "z");
	return model;
}

static int load(Onnx__ModelProto *model, struct xrnpe_graph **graph)
{
	size_t size;
	uint8_t *data = onnx_pack(model, &size);
	int ret = xrnpe_graph_parse("m.onnx", data, size, NULL, graph, &error);

	onnx_free(model);
	free(data);
	return ret;
}

static int compile(const struct xrnpe_graph *graph, struct xrnpe_model **model)
{
	const struct xrnpe_layer_formats formats = {
		.weight = XRNPE_FORMAT_FP4, .input = XRNPE_FORMAT_P8,
	};
	const struct xrnpe_tensor_info *info = xrnpe_graph_input(graph, 0);
	float values[CALIBRATION * IN];
	struct xrnpe_array array = {
		.rank = info->rank, .count = CALIBRATION * info->count, .data = values,
	};
	struct xrnpe_compile_options options = {
		.calibration = &array, .formats = &formats, .format_count = 1,
	};
	uint32_t state = 3;

	for (unsigned int i = 0; i < XRNPE_MAX_RANK; i++)
		array.dims[i] = i < info->rank ? info->dims[i] : 1;
	array.dims[0] = CALIBRATION;
	ck_assert_uint_eq(info->count, IN);
	for (size_t i = 0; i < array.count; i++)
		values[i] = onnx_noise(&state);
	return xrnpe_compile(graph, &options, model, &error);
}

/* ---- what is read ------------------------------------------------------ */

static void refuse(Onnx__ModelProto *model, const char *message)
{
	struct xrnpe_graph *graph = NULL;

	ck_assert_int_eq(load(model, &graph), -EINVAL);
	ck_assert_str_eq(error.message, message);
}

START_TEST(wrong_scales)
{
	static const float bad[][2] = { { 1, 0 }, { -1, 1 }, { 1, NAN }, { INFINITY, 1 } };
	static const float two[] = { 1, 2 };
	Onnx__ModelProto *model = new_network();

	onnx_scales(model, "nobody", "p8", 1, &in_scale);
	refuse(model, "m.onnx: the scales of tensor nobody are those of none that there is");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		model = new_network();
		onnx_scales(model, "v", "p8", 2, bad[i]);
		refuse(model, "m.onnx: the scales of tensor v are no initializer of positive binary32 numbers");
	}
	model = new_network();
	onnx_scales(model, "x", "p8", 2, two);
	refuse(model, "m.onnx: the scales of tensor x are several, but it is computed and has one");
	model = new_network();
	onnx_scales(model, "v", "fp4", 2, two);
	model->graph->quantization_annotation[0]->quant_parameter_tensor_names[0]->value[0] = 'x';
	refuse(model, "m.onnx: the scales of tensor v are no initializer of positive binary32 numbers");
	model = new_network();
	onnx_scales(model, "v", "fp4", 2, two);
	model->graph->quantization_annotation[0]->tensor_name[0] = 'w';
	onnx_scales(model, "w", "fp4", OUT, weight_scales);
	refuse(model, "m.onnx: the scales of tensor w are given twice");
}
END_TEST

static const float *scales_in(const struct xrnpe_graph *graph, const char *tensor,
			      enum xrnpe_format format)
{
	uint32_t index = graph_find(graph, tensor);

	ck_assert_uint_ne(index, GRAPH_NONE);
	return graph_scales_of(&graph->tensors[index], format);
}

/* Others' annotations are left alone; ours live through a file. */
START_TEST(scales_are_saved)
{
	Onnx__ModelProto *model = new_network();
	struct xrnpe_graph *graph = NULL, *again = NULL;
	char path[] = "/tmp/xrnpe-scales-XXXXXX";
	const float *scales;

	onnx_scales(model, "w", "fp4", OUT, weight_scales);
	onnx_scales(model, "x", "p8", 1, &in_scale);
	onnx_scales(model, "y", "f32", 1, &in_scale);
	ck_assert_msg(!load(model, &graph), "%s", error.message);
	close(mkstemp(path));
	ck_assert_msg(!xrnpe_graph_save(graph, path, &error), "%s", error.message);
	ck_assert_msg(!xrnpe_graph_load(path, NULL, &again, &error), "%s", error.message);
	unlink(path);
	scales = scales_in(again, "w", XRNPE_FORMAT_FP4);
	ck_assert_ptr_nonnull(scales);
	ck_assert_mem_eq(scales, weight_scales, sizeof(weight_scales));
	ck_assert_float_eq(*scales_in(again, "x", XRNPE_FORMAT_P8), in_scale);
	ck_assert_ptr_null(scales_in(again, "x", XRNPE_FORMAT_P4));
	ck_assert_ptr_null(scales_in(again, "y", XRNPE_FORMAT_P8));
	ck_assert_uint_eq(again->node_count, graph->node_count);
	xrnpe_graph_free(graph);
	xrnpe_graph_free(again);
}
END_TEST

/* Weights that a batch norm was folded into are others than those that had the scales. */
START_TEST(folding_drops_scales)
{
	static const float halves[] = { 0.5f, 0.5f };
	Onnx__ModelProto *model = onnx_new();
	struct xrnpe_graph *graph = NULL;

	onnx_input(model, "x", DIMS(0, IN));
	onnx_output(model, "z", DIMS(0, 2));
	onnx_floats(model, "w", DIMS(IN, 2), NULL);
	onnx_floats(model, "half", DIMS(2), halves);
	onnx_scales(model, "w", "fp4", 2, halves);
	onnx_node(model, "Gemm", "x w", "y");
	onnx_node(model, "Mul", "y half", "z");
	ck_assert_msg(!load(model, &graph), "%s", error.message);
	ck_assert_uint_eq(graph->node_count, 1);
	ck_assert_ptr_null(scales_in(graph, "w", XRNPE_FORMAT_FP4));
	xrnpe_graph_free(graph);
}
END_TEST

/* ---- what is compiled -------------------------------------------------- */

static const void *constants_of(const struct xrnpe_model *model, const struct xrnpe_cmd *cmd,
				enum xrnpe_operand_index operand)
{
	ck_assert_uint_eq(cmd->operand[operand].region, XRNPE_MODEL_CONSTANTS);
	return (const uint8_t *)model->constants + cmd->operand[operand].offset;
}

static double decode(uint32_t code)
{
	return xrnpe_decode(XRNPE_FORMAT_FP4, code);
}

/* The codes are the weights over their scales, scales are products of those given, and biases
 * are as they were. */
START_TEST(scales_are_used)
{
	Onnx__ModelProto *proto = new_network();
	struct xrnpe_graph *graph = NULL;
	struct xrnpe_model *model = NULL;
	const struct xrnpe_cmd *cmd;
	const float *w, *b, *records;
	uint32_t status = 0;

	onnx_scales(proto, "w", "fp4", OUT, weight_scales);
	onnx_scales(proto, "x", "p8", 1, &in_scale);
	onnx_scales(proto, "y", "p8", 1, &out_scale);
	ck_assert_msg(!load(proto, &graph), "%s", error.message);
	ck_assert_msg(!compile(graph, &model), "%s", error.message);
	cmd = &model->cmds[1];	/* behind the conversion of x */
	ck_assert_uint_eq(cmd->opcode, XRNPE_OP_MATMUL);
	w = graph->tensors[graph_find(graph, "w")].data;
	b = graph->tensors[graph_find(graph, "b")].data;
	records = constants_of(model, cmd, XRNPE_OPERAND_SCALE);
	for (uint32_t n = 0; n < OUT; n++) {
		const uint8_t *row = (const uint8_t *)constants_of(model, cmd, XRNPE_OPERAND_WEIGHT) +
				     n * cmd->operand[XRNPE_OPERAND_WEIGHT].row_stride;

		ck_assert_float_eq(records[2 * n],
				   (float)((double)in_scale * weight_scales[n] / out_scale));
		ck_assert_float_eq(records[2 * n + 1], (float)((double)b[n] / out_scale));
		/* As values: of zeros there are two. */
		for (uint32_t k = 0; k < IN; k++)
			ck_assert_double_eq(decode(xrnpe_load(XRNPE_FORMAT_FP4, row, k)),
					    decode(xrnpe_encode(XRNPE_FORMAT_FP4,
								w[k * OUT + n] / weight_scales[n],
								&status)));
	}
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

static void refuse_to_compile(Onnx__ModelProto *proto, const char *message)
{
	struct xrnpe_graph *graph = NULL;
	struct xrnpe_model *model = NULL;

	ck_assert_msg(!load(proto, &graph), "%s", error.message);
	ck_assert_int_eq(compile(graph, &model), -EINVAL);
	ck_assert_str_eq(error.message, message);
	xrnpe_graph_free(graph);
}

START_TEST(scales_do_not_fit)
{
	Onnx__ModelProto *proto = new_network();

	onnx_scales(proto, "w", "p16", 2, weight_scales);
	refuse_to_compile(proto, "m.onnx: the scales of tensor w are not one for each output channel");

	/* A maximum has the codes of what it is taken from. */
	proto = onnx_new();
	onnx_input(proto, "x", DIMS(0, 1, IN, 1));
	onnx_output(proto, "z", DIMS(0, 1, 1, 1));
	onnx_floats(proto, "w", DIMS(1, 1, 1, 1), NULL);
	onnx_node(proto, "Conv", "x w", "y");
	onnx_attr_ints(onnx_node(proto, "MaxPool", "y", "p"), "kernel_shape", 2,
		       (int64_t[]){ IN, 1 });
	onnx_node(proto, "Conv", "p w", "z");
	onnx_scales(proto, "y", "p8", 1, &in_scale);
	onnx_scales(proto, "p", "p8", 1, &out_scale);
	refuse_to_compile(proto, "m.onnx: the scales of tensor p are not those of a tensor that has the same codes");
}
END_TEST

TCase *compile_scales_tests(void)
{
	TCase *tests = tcase_create("scales");

	tcase_set_timeout(tests, 120);
	tcase_add_test(tests, wrong_scales);
	tcase_add_test(tests, scales_are_saved);
	tcase_add_test(tests, folding_drops_scales);
	tcase_add_test(tests, scales_are_used);
	tcase_add_test(tests, scales_do_not_fit);
	return tests;
}

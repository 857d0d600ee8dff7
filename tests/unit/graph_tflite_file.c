// SPDX-License-Identifier: MIT
/* TensorFlow Lite files: names, shapes, kinds of weights, and how what is broken is refused. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tflite/schema.h"
#include "unit/graph_tests.h"
#include "unit/lite_graph.h"

static struct xrnpe_error error;

static void refuse(struct lite_model *model, int code, const char *message)
{
	ck_assert_ptr_null(lite_take(model, NULL, &error));
	ck_assert_str_eq(error.message, message);
	ck_assert_int_eq(error.code, code);
}

static struct xrnpe_graph *must_take(struct lite_model *model)
{
	struct xrnpe_graph *graph = lite_take(model, NULL, &error);

	ck_assert_msg(graph != NULL, "%s", error.message);
	return graph;
}

/* x of 1 x 2 -> @op -> y */
static struct lite_model *one(const char *op)
{
	struct lite_model *model = lite_new();
	int32_t x = lite_input(model, lite_tensor(model, "x", LITE_DIMS(1, 2)));

	lite_operator(model, op, "y", 1, &x);
	lite_output(model, lite_last(model));
	return model;
}

/* x of 1 x 2 and a constant of 2 x 2 -> FULLY_CONNECTED -> y; @weight: what comes of the constant */
static struct lite_model *matrix(int8_t type, size_t size, const void *data, const char *then,
				 struct lite_tensor **constant)
{
	struct lite_model *model = lite_new();
	int32_t x = lite_input(model, lite_tensor(model, "x", LITE_DIMS(1, 2)));
	int32_t weight = lite_constant(model, type, LITE_DIMS(2, 2), size, data);

	*constant = &model->tensors[weight];
	if (then)
		lite_operator(model, then, "weight", 1, &weight);
	lite_operator(model, "FULLY_CONNECTED", "y", 2,
		      (int32_t[]){ x, then ? lite_last(model) : weight });
	lite_output(model, lite_last(model));
	return model;
}

/* ---- weights ------------------------------------------------------------------ */

static const float two[] = { 1, 10 };	/* the input */

START_TEST(half_weights)
{
	static const uint16_t halves[] = { 0x3c00, 0xc000, 0x3800, 0x0001 };	/* 1, -2, 0.5, 2^-24 */
	const float want[] = { -19, 0.5f + 10 * 0x1p-24f };
	struct lite_tensor *constant;

	lite_expect(matrix(LITE_TYPE_FLOAT16, 8, halves, "DEQUANTIZE", &constant), two, 2, want);
	lite_expect(matrix(LITE_TYPE_FLOAT16, 8, halves, NULL, &constant), two, 2, want);
}
END_TEST

/* Integers in place of weights, beside an input of float. */
START_TEST(quantized_weights)
{
	static const int8_t bytes[] = { 3, -1, 127, -128 };
	struct lite_tensor *constant;
	struct lite_model *model;

	for (int k = 0; k < 2; k++) {
		model = matrix(LITE_TYPE_INT8, 4, bytes, k ? "DEQUANTIZE" : NULL, &constant);
		constant->scales = 1;
		constant->scale[0] = 0.5f;
		constant->zero[0] = 1;
		lite_expect(model, two, 2, (float[]){ 1 - 10, 63 - 645 });
	}
	model = matrix(LITE_TYPE_INT8, 4, bytes, "DEQUANTIZE", &constant);
	constant->scales = 2;
	constant->scale[0] = 1;
	constant->scale[1] = 2;
	lite_expect(model, two, 2, (float[]){ 3 - 10, 254 - 2560 });
	model = matrix(LITE_TYPE_INT8, 4, bytes, "DEQUANTIZE", &constant);
	constant->scales = 2;
	constant->scale[0] = 1;
	constant->scale[1] = 2;
	constant->scale_axis = 1;
	lite_expect(model, two, 2, (float[]){ 3 - 20, 127 - 2560 });
	model = matrix(LITE_TYPE_INT8, 4, bytes, "DEQUANTIZE", &constant);
	constant->scales = 3;
	refuse(model, -ENOTSUP, "m.tflite: DEQUANTIZE (node weight): constant constant has 3 scales");
}
END_TEST

/* What there is of a matrix of 2 x 2 that has its rows dense, and in them some columns. */
static struct lite_model *sparse(const float *values, size_t size, struct lite_tensor **constant)
{
	struct lite_model *model = matrix(LITE_TYPE_FLOAT32, size, values, "DENSIFY", constant);

	(*constant)->levels = 2;
	(*constant)->order[1] = 1;
	(*constant)->level[0].size = 2;
	(*constant)->level[1].segment_count = 3;
	memcpy((*constant)->level[1].segments, (uint8_t[]){ 0, 1, 2 }, 3);
	(*constant)->level[1].index_count = 2;
	memcpy((*constant)->level[1].indices, (uint8_t[]){ 1, 0 }, 2);
	return model;
}

START_TEST(sparse_weights)
{
	static const float values[] = { 5, 7, 9, 11 };
	static const char malformed[] = "m.tflite: constant constant: what says where its elements "
					"belong is malformed";
	struct lite_tensor *constant;
	struct lite_model *model;

	lite_expect(sparse(values, 8, &constant), two, 2, (float[]){ 50, 7 });
	/* Blocks of a row each: the second block of two. */
	model = sparse(values, 8, &constant);
	constant->levels = 3;
	constant->order[2] = 2;
	constant->blocks = 1;
	constant->block_map[0] = 1;
	constant->level[0].size = 2;
	constant->level[1].segment_count = 3;
	memcpy(constant->level[1].segments, (uint8_t[]){ 0, 0, 1 }, 3);
	constant->level[1].index_count = 1;
	constant->level[1].indices[0] = 0;
	constant->level[2].size = 2;
	lite_expect(model, two, 2, (float[]){ 0, 75 });

	refuse(sparse(values, 12, &constant), -EINVAL, malformed);	/* an element too many */
	refuse(sparse(values, 4, &constant), -EINVAL, malformed);
	model = sparse(values, 8, &constant);
	constant->level[1].indices[0] = 2;	/* beyond the columns */
	refuse(model, -EINVAL, malformed);
	model = sparse(values, 8, &constant);
	constant->level[1].segments[1] = 3;	/* beyond the indices */
	refuse(model, -EINVAL, malformed);
	model = sparse(values, 8, &constant);
	constant->level[1].segments[2] = 0;	/* backwards */
	refuse(model, -EINVAL, malformed);
	model = sparse(values, 8, &constant);
	constant->level[0].size = 3;		/* more rows than there are segments of */
	refuse(model, -EINVAL, malformed);
	model = sparse(values, 8, &constant);
	constant->order[1] = 0;			/* a dimension twice */
	refuse(model, -EINVAL, malformed);
	model = sparse(values, 8, &constant);
	constant->order[1] = 2;			/* one that is none */
	refuse(model, -EINVAL, malformed);
}
END_TEST

/* Large files have their constants behind the flatbuffer, whose offsets are of 32 bits. */
START_TEST(weights_behind)
{
	static const float values[] = { 1, 2, 3, 4 };
	struct lite_tensor *constant;
	struct lite_model *model = matrix(LITE_TYPE_FLOAT32, 16, values, NULL, &constant);
	struct xrnpe_graph *graph;
	size_t size;
	uint8_t *data;

	constant->behind = true;
	data = lite_pack(model, &size);
	/* The last byte of the file is the last weight's. */
	ck_assert_int_eq(xrnpe_graph_parse("m.tflite", data, size - 1, NULL, &graph, &error), -EINVAL);
	ck_assert_str_eq(error.message, "m.tflite: tensor constant has impossible dimensions, or no "
					"such buffer");
	free(data);
	lite_expect(model, two, 2, (float[]){ 21, 43 });
}
END_TEST

/* ---- what MediaPipe brings along ------------------------------------------------ */

START_TEST(transpose_conv_bias)
{
	static const float weights[] = { 1, 2, 3, 4 }, bias[] = { 1 };
	/* Padding SAME and strides of 2. */
	static const uint8_t options[] = { 1, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0 };

	for (uint32_t size = 1; size <= 12; size += 11) {
		struct lite_model *model = lite_new();
		int32_t x = lite_input(model, lite_tensor(model, "x", LITE_DIMS(1, 1, 2, 1)));
		struct lite_operator *op = lite_operator(model, "TRANSPOSE_CONV", "y", 3, (int32_t[]){
			x, lite_floats(model, LITE_DIMS(1, 2, 2, 1), weights),
			lite_floats(model, LITE_DIMS(1), bias) });

		op->code = BUILTIN_CUSTOM;
		op->custom = "Convolution2DTransposeBias";
		op->options_kind = 0;
		op->custom_options = options;
		op->custom_size = size;
		lite_output(model, lite_last(model));
		if (size == 12)
			lite_expect(model, two, 8, (float[]){ 2, 3, 11, 21, 4, 5, 31, 41 });
		else
			refuse(model, -ENOTSUP, "m.tflite: Convolution2DTransposeBias (node y): has 1 bytes "
			       "of options, not 12");
	}
}
END_TEST

/* ---- names and shapes --------------------------------------------------------------- */

START_TEST(names)
{
	struct lite_model *model = one("RELU");
	const char *wanted = "middle";
	struct xrnpe_graph_options options = { .outputs = &wanted, .output_count = 1 };
	struct xrnpe_graph *graph;
	int32_t y = lite_last(model);

	/* A name twice, and none at all. */
	model->tensors[y].name = "middle";
	lite_operator(model, "NEG", "x", 1, &y);
	lite_output(model, lite_last(model));
	y = lite_last(model);
	lite_operator(model, "ABS", "", 1, &y);
	lite_output(model, lite_last(model));
	graph = must_take(model);
	ck_assert_str_eq(xrnpe_graph_input(graph, 0)->name, "x");
	ck_assert_str_eq(xrnpe_graph_output(graph, 0)->name, "middle");
	ck_assert_str_eq(xrnpe_graph_output(graph, 1)->name, "x:2");
	ck_assert_str_eq(xrnpe_graph_output(graph, 2)->name, "tensor:3");
	xrnpe_graph_free(graph);

	model = one("RELU");
	y = lite_last(model);
	model->tensors[y].name = "middle";
	lite_operator(model, "NEG", "y", 1, &y);
	graph = lite_take(model, &options, &error);
	ck_assert_msg(graph != NULL, "%s", error.message);
	ck_assert_uint_eq(xrnpe_graph_output_count(graph), 1);
	ck_assert_str_eq(xrnpe_graph_output(graph, 0)->name, "middle");
	ck_assert_uint_eq(graph->node_count, 1);
	xrnpe_graph_free(graph);
	ck_assert_ptr_null(lite_take(one("RELU"), &options, &error));
	ck_assert_str_eq(error.message, "m.tflite: output middle is not computed");
}
END_TEST

START_TEST(outputs_of_all_kinds)
{
	struct lite_model *model = one("RELU");
	struct xrnpe_graph *graph;

	/* An output twice, an input, and a constant that nothing computes. */
	lite_output(model, lite_last(model));
	lite_output(model, model->inputs[0]);
	lite_output(model, lite_floats(model, LITE_DIMS(2), two));
	graph = must_take(model);
	ck_assert_uint_eq(xrnpe_graph_output_count(graph), 4);
	ck_assert_str_eq(xrnpe_graph_output(graph, 1)->name, "y");
	ck_assert_str_eq(xrnpe_graph_output(graph, 2)->name, "x");
	ck_assert_str_eq(xrnpe_graph_output(graph, 3)->name, "constant");
	xrnpe_graph_free(graph);
}
END_TEST

START_TEST(open_shapes)
{
	const struct xrnpe_shape shape = { .input = "x", .rank = 3, .dims = { 1, 5, 2 } };
	struct xrnpe_graph_options options = { .shapes = &shape, .shape_count = 1 };
	struct lite_model *model;
	struct xrnpe_graph *graph;

	for (int k = 0; k < 2; k++) {
		model = lite_new();
		lite_input(model, lite_tensor(model, "x", LITE_DIMS(1, 1, 2)));
		model->tensors[0].signature = 3;	/* the first two */
		lite_operator(model, "RELU", "y", 1, (int32_t[]){ 0 });
		lite_output(model, lite_last(model));
		if (!k) {
			refuse(model, -ENOTSUP, "m.tflite: input x: dimension 1 is open in the file, or no size: "
			       "a shape has to be given (--shape x=1,N,2)");
			continue;
		}
		graph = lite_take(model, &options, &error);
		ck_assert_msg(graph != NULL, "%s", error.message);
		ck_assert_uint_eq(xrnpe_graph_output(graph, 0)->count, 10);
		xrnpe_graph_free(graph);
	}
}
END_TEST

/* ---- what is not supported ---------------------------------------------------------- */

START_TEST(not_supported)
{
	struct lite_model *model = one("SVDF");
	int32_t y = lite_last(model);

	/* All of it at once; what depends on it is not. */
	lite_operator(model, "RELU", "r", 1, &y);
	lite_operator(model, "LSTM", "l", 1, (int32_t[]){ lite_last(model) });
	lite_output(model, lite_last(model));
	lite_operator(model, "RELU", "m", 1, &y);
	model->operators[3].code = BUILTIN_CUSTOM;
	model->operators[3].custom = "Mine";
	lite_output(model, lite_last(model));
	refuse(model, -ENOTSUP, "m.tflite: SVDF (node y): is not supported; LSTM (node l): is not "
	       "supported; Mine (node m): is not supported");

	/* But not what no output needs. */
	model = one("RELU");
	lite_operator(model, "SVDF", "s", 1, (int32_t[]){ 0 });
	xrnpe_graph_free(must_take(model));

	model = one("RELU");
	model->operators[0].code = 999;
	refuse(model, -ENOTSUP, "m.tflite: operator 999 (node y): is not supported");

	model = one("RELU");
	model->tensors[0].type = LITE_TYPE_INT8;
	model->tensors[0].scales = 1;
	refuse(model, -ENOTSUP, "m.tflite: RELU (node y): computes with quantized integers");

	model = one("ADD");
	model->operators[0].input_count = 2;
	lite_set(&model->operators[0], ARITHMETIC_ACTIVATION, 1, ACTIVATION_TANH);
	refuse(model, -ENOTSUP, "m.tflite: ADD (node y): activation 4 is not supported");

	model = one("RELU");
	model->operators[0].inputs[0] = lite_tensor(model, "state", LITE_DIMS(1, 2));
	model->tensors[2].variable = 1;
	refuse(model, -ENOTSUP, "m.tflite: RELU (node y): tensor state is a variable");

	model = one("RELU");
	model->version = 4;
	refuse(model, -ENOTSUP, "m.tflite: is of version 4 of the format; supported is 3");
}
END_TEST

/* ---- what is broken ------------------------------------------------------------------- */

START_TEST(impossible)
{
	struct lite_model *model = one("RELU");

	model->operators[0].inputs[0] = 7;
	refuse(model, -EINVAL, "m.tflite: operator 0 reads tensor 7 of 2");
	model = one("RELU");
	model->operators[0].outputs[0] = -2;
	refuse(model, -EINVAL, "m.tflite: operator 0 computes tensor -2 of 2");
	model = one("RELU");
	model->operators[0].outputs[0] = 0;
	refuse(model, -EINVAL, "m.tflite: operator 0 computes tensor 0, which is there already");
	model = one("RELU");
	model->inputs[0] = 9;
	refuse(model, -EINVAL, "m.tflite: input 0 is tensor 9 of 2");
	model = one("RELU");
	lite_input(model, 0);
	refuse(model, -EINVAL, "m.tflite: input 1 is tensor 0, which is there already");
	model = one("RELU");
	lite_output(model, 2);
	refuse(model, -EINVAL, "m.tflite: output 1 is tensor 2 of 2");
	model = one("RELU");
	model->output_count = 0;
	refuse(model, -EINVAL, "m.tflite: has no output");
	model = one("RELU");
	model->operators[0].inputs[0] = -1;
	refuse(model, -EINVAL, "m.tflite: RELU for y has no input 0");
	model = one("CAST");
	model->operators[0].outputs[0] = -1;
	refuse(model, -EINVAL, "m.tflite: CAST has no output 0");
	model = one("RELU");
	model->operators[0].input_count = 2;
	refuse(model, -EINVAL, "m.tflite: RELU for y has 2 inputs and 1 outputs, or another operator's "
	       "options");
	model = one("SOFTMAX");
	model->operators[0].options_kind++;
	refuse(model, -EINVAL, "m.tflite: SOFTMAX for y has 1 inputs and 1 outputs, or another "
	       "operator's options");
	model = one("RELU");
	model->operators[0].inputs[0] = lite_tensor(model, "nowhere", LITE_DIMS(1, 2));
	refuse(model, -EINVAL, "m.tflite: operator for y reads nowhere, which no operator before it "
	       "computes");
	model = one("RELU");
	model->operators[0].inputs[0] = lite_constant(model, LITE_TYPE_FLOAT32, LITE_DIMS(3), 8, two);
	refuse(model, -EINVAL, "m.tflite: constant constant holds not as many elements as its "
	       "dimensions say");
	model = one("RELU");
	model->operators[0].inputs[0] = lite_constant(model, LITE_TYPE_FLOAT32, LITE_DIMS(-2), 8, two);
	refuse(model, -EINVAL, "m.tflite: tensor constant has impossible dimensions, or no such buffer");
	model = one("RELU");
	model->operators[0].inputs[0] =
		lite_constant(model, LITE_TYPE_FLOAT32, LITE_DIMS(0, 1 << 30, 1 << 30), 0, two);
	refuse(model, -EINVAL, "m.tflite: tensor constant has impossible dimensions, or no such buffer");
	model = one("RELU");
	model->tensors[0].dims[0] = 1 << 30;
	refuse(model, -ENOTSUP, "m.tflite: input x: dimension 0 is too large");
}
END_TEST

/* References that lead out of the file, one after the other. */
START_TEST(damaged)
{
	static const char text[] = "\0\0\0\0TFL3";
	struct lite_model *model = one("RELU");
	struct xrnpe_graph *graph;
	size_t size;
	uint8_t *data = lite_pack(model, &size);

	ck_assert_int_eq(xrnpe_graph_parse("m.tflite", text, 8, NULL, &graph, &error), -EINVAL);
	ck_assert_str_eq(error.message, "m.tflite: is damaged: what byte 0 leads to lies outside the file");
	/* What leads to the root leads beyond the end. */
	memcpy(data, &(uint32_t){ (uint32_t)size }, 4);
	ck_assert_int_eq(xrnpe_graph_parse("m.tflite", data, size, NULL, &graph, &error), -EINVAL);
	ck_assert_str_eq(error.message, "m.tflite: is damaged: what byte 0 leads to lies outside the file");
	free(data);
	data = lite_pack(model, &size);
	/* Wherever the file ends. */
	for (size_t end = 8; end < size; end++) {
		ck_assert_int_eq(xrnpe_graph_parse("m.tflite", data, end, NULL, &graph, &error), -EINVAL);
		ck_assert_int_eq(strncmp(error.message, "m.tflite: is damaged: what byte ", 32), 0);
	}
	free(data);
	free(model);
}
END_TEST

TCase *graph_tflite_file_tests(void)
{
	TCase *tests = tcase_create("tflite_file");

	tcase_add_test(tests, half_weights);
	tcase_add_test(tests, quantized_weights);
	tcase_add_test(tests, sparse_weights);
	tcase_add_test(tests, weights_behind);
	tcase_add_test(tests, transpose_conv_bias);
	tcase_add_test(tests, names);
	tcase_add_test(tests, outputs_of_all_kinds);
	tcase_add_test(tests, open_shapes);
	tcase_add_test(tests, not_supported);
	tcase_add_test(tests, impossible);
	tcase_add_test(tests, damaged);
	return tests;
}

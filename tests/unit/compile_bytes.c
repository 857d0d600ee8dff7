// SPDX-License-Identifier: MIT
/* Inputs that programs give as bytes: in binary32, compiled, and without a copy. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "unit/compile_run.h"
#include "unit/compile_tests.h"

enum { C = 3, H = 10, W = 8, PIXELS = H * W, COUNT = C * PIXELS, OUT = 5 };

/* No byte becomes an integer, or nearly: those would be rounded to either side. */
static const float mean[C] = { 120.3f, 100.5f, 90.4f }, scale[C] = { 0.02f, 0.015f, -0.01f };

/* ---- networks ---------------------------------------------------------------- */

/* What it begins with reads the image on the device. */
static Onnx__ModelProto *convolution(void)
{
	Onnx__ModelProto *model = image_network(C, H, W);

	onnx_floats(model, "w1", DIMS(6, C, 3, 3), NULL);
	onnx_floats(model, "w2", DIMS(OUT, 6), NULL);
	onnx_attr_ints(onnx_node(model, "Conv", "x w1", "c"), "pads", DIMS(1, 1, 1, 1));
	onnx_node(model, "Relu", "c", "r");
	onnx_node(model, "GlobalAveragePool", "r", "p");
	onnx_node(model, "Flatten", "p", "f");
	onnx_attr_int(onnx_node(model, "Gemm", "f w2", "y"), "transB", 1);
	return model;
}

/* ... on the CPU and on the device. */
static Onnx__ModelProto *floor_and_convolution(void)
{
	Onnx__ModelProto *model = image_network(C, H, W);

	onnx_floats(model, "w1", DIMS(OUT, C, 3, 3), NULL);
	onnx_node(model, "Floor", "x", "i");
	onnx_node(model, "Add", "x i", "a");
	onnx_node(model, "Conv", "a w1", "c");
	onnx_node(model, "GlobalAveragePool", "c", "y");
	return model;
}

/* ... as rows of a matrix. */
static Onnx__ModelProto *matrix(void)
{
	Onnx__ModelProto *model = image_network(C, H, W);

	onnx_floats(model, "w1", DIMS(COUNT, OUT), NULL);
	onnx_node(model, "Flatten", "x", "f");
	onnx_node(model, "Gemm", "f w1", "y");
	return model;
}

/* ... as a part of it. */
static Onnx__ModelProto *part(void)
{
	Onnx__ModelProto *model = image_network(C, H, W);

	onnx_ints(model, "from", 2, (int64_t[]){ 2, 1 });
	onnx_ints(model, "to", 2, (int64_t[]){ 8, 7 });
	onnx_ints(model, "axes", 2, (int64_t[]){ 2, 3 });
	onnx_floats(model, "w1", DIMS(OUT, C, 3, 3), NULL);
	onnx_node(model, "Slice", "x from to axes", "s");
	onnx_node(model, "Conv", "s w1", "c");
	onnx_node(model, "GlobalAveragePool", "c", "y");
	return model;
}

static network_function *const byte_networks[] = {
	convolution, floor_and_convolution, matrix, part,
};

/* The same network with an input of bytes; NULL: of reals. */
static struct xrnpe_graph *parse(network_function *network, const struct xrnpe_byte_input *bytes)
{
	const struct xrnpe_graph_options options = { .bytes = bytes, .byte_count = bytes != NULL };
	Onnx__ModelProto *model = network();
	struct xrnpe_graph *graph;
	size_t size;
	uint8_t *data = onnx_pack(model, &size);

	ck_assert_msg(!xrnpe_graph_parse("m.onnx", data, size, &options, &graph, &error), "%s",
		      error.message);
	onnx_free(model);
	free(data);
	return graph;
}

/* ---- data -------------------------------------------------------------------- */

static uint8_t byte(unsigned int image, unsigned int c, unsigned int pixel)
{
	return (uint8_t)(image * 37 + c * 101 + pixel * pixel * 13 + pixel / 7);
}

/* Where that is among bytes. */
static size_t place(bool planar, unsigned int c, unsigned int pixel)
{
	return planar ? c * PIXELS + pixel : pixel * C + c;
}

static void fill(unsigned int image, bool planar, uint8_t *bytes, float *floats, float *reals)
{
	for (unsigned int c = 0; c < C; c++) {
		for (unsigned int p = 0; p < PIXELS; p++) {
			uint8_t value = byte(image, c, p);

			bytes[place(planar, c, p)] = value;
			floats[place(planar, c, p)] = value;
			reals[c * PIXELS + p] = ((float)value - mean[c]) * scale[c];
		}
	}
}

static struct xrnpe_model *compile_bytes_of(const struct xrnpe_graph *graph, bool planar)
{
	struct xrnpe_array calibration = { .rank = 4, .dims = { CALIBRATION, H, W, C, 1, 1, 1, 1 } };
	const struct xrnpe_compile_options options = {
		.calibration = &calibration, .limits.bytes = 1 << 20,
	};
	static float reals[COUNT];
	static uint8_t bytes[COUNT];
	struct xrnpe_model *model;

	if (planar)
		memcpy(calibration.dims, (size_t[]){ CALIBRATION, C, H, W }, 4 * sizeof(size_t));
	calibration.count = CALIBRATION * COUNT;
	calibration.data = malloc(calibration.count * sizeof(float));
	ck_assert_ptr_nonnull(calibration.data);
	for (unsigned int i = 0; i < CALIBRATION; i++)
		fill(i, planar, bytes, calibration.data + i * COUNT, reals);
	ck_assert_msg(!xrnpe_compile(graph, &options, &model, &error), "%s", error.message);
	xrnpe_array_clear(&calibration);
	return model;
}

/* ---- tests --------------------------------------------------------------------- */

static const struct xrnpe_byte_input interleaved = { NULL, false, C, mean, scale };
static const struct xrnpe_byte_input planar = { "x", true, C, mean, scale };

/* Commands that read inputs: all of them bytes. */
static unsigned int count_reads(const struct xrnpe_model *model)
{
	unsigned int count = 0;

	for (uint32_t i = 0; i < model->cmd_count; i++) {
		const struct xrnpe_operand *ifm = &model->cmds[i].operand[XRNPE_OPERAND_IFM];

		if (ifm->region != XRNPE_MODEL_INPUT)
			continue;
		count++;
		ck_assert_int_eq(ifm->format, XRNPE_FORMAT_U8);
		ck_assert_int_eq(model->cmds[i].opcode, XRNPE_OP_CONVERT);
	}
	return count;
}

static void run_request(struct xrnpe_request *request, float *out)
{
	ck_assert_msg(!xrnpe_request_submit(request, &error), "%s", error.message);
	ck_assert_msg(!xrnpe_request_wait(request, -1, &error), "%s", error.message);
	ck_assert_int_eq(xrnpe_request_get_output(request, 0, out, OUT, &error), 0);
}

/* Run image @i in all ways; @expected: about what comes of it. */
static void run_image(struct xrnpe_request *request, struct xrnpe_device *device, bool is_planar,
		      unsigned int i, const float *expected, float *out)
{
	struct xrnpe_buffer *buffer;
	float floats[COUNT], reals[COUNT], again[OUT];
	uint8_t bytes[COUNT];

	fill(i, is_planar, bytes, floats, reals);
	ck_assert_int_eq(xrnpe_request_set_bytes(request, 0, bytes, COUNT, &error), 0);
	run_request(request, out);
	for (unsigned int k = 0; k < OUT; k++)
		ck_assert_float_le(fabsf(out[k] - expected[k]), 0.02f * (fabsf(expected[k]) + 0.5f));

	ck_assert_int_eq(xrnpe_request_set_input(request, 0, floats, COUNT, &error), 0);
	run_request(request, again);
	ck_assert_mem_eq(out, again, sizeof(again));

	/* A camera's frame, where it lies. */
	ck_assert_int_eq(xrnpe_buffer_new(device, COUNT, &buffer, &error), 0);
	memcpy(xrnpe_buffer_data(buffer), bytes, COUNT);
	ck_assert_int_eq(xrnpe_request_bind_input(request, 0, buffer, 0, &error), 0);
	run_request(request, again);
	ck_assert_mem_eq(out, again, sizeof(again));
	ck_assert_int_eq(xrnpe_request_bind_input(request, 0, NULL, 0, &error), 0);
	xrnpe_buffer_free(buffer);
}

START_TEST(bytes_compiled)
{
	struct xrnpe_graph *real = parse(byte_networks[_i], NULL);
	struct xrnpe_graph *graphs[] = { parse(byte_networks[_i], &interleaved), parse(byte_networks[_i], &planar) };
	struct xrnpe_device *device;
	float out[2][TESTS][OUT];

	ck_assert_int_eq(xrnpe_device_open("emu", &device, &error), 0);
	for (unsigned int g = 0; g < 2; g++) {
		struct xrnpe_model *model = compile_bytes_of(graphs[g], g);
		struct xrnpe_session *session;
		struct xrnpe_request *request;

		ck_assert_uint_ge(count_reads(model), 1);
		ck_assert_int_eq(xrnpe_session_new(device, model, NULL, &session, &error), 0);
		ck_assert_int_eq(xrnpe_request_new(session, &request, &error), 0);
		for (unsigned int i = 0; i < TESTS; i++) {
			float floats[COUNT], reals[COUNT], expected[OUT], exact[OUT];
			uint8_t bytes[COUNT];

			fill(i, g, bytes, floats, reals);
			ck_assert_int_eq(xrnpe_graph_run(real, 1, &(const float *){ reals }, &(float *){ expected },
							 NULL, NULL, &error), 0);
			ck_assert_int_eq(xrnpe_graph_run(graphs[g], 1, &(const float *){ floats }, &(float *){ exact },
							 NULL, NULL, &error), 0);
			ck_assert_mem_eq(expected, exact, sizeof(exact));
			run_image(request, device, g, i, expected, out[g][i]);
		}
		xrnpe_request_free(request);
		xrnpe_session_free(session);
		xrnpe_model_free(model);
		xrnpe_graph_free(graphs[g]);
	}
	ck_assert_mem_eq(out[0], out[1], sizeof(out[0]));
	xrnpe_device_close(device);
	xrnpe_graph_free(real);
}
END_TEST

/* One conversion does all, from where the frame lies to codes: no copy, on no side. */
START_TEST(bytes_without_copies)
{
	struct xrnpe_graph *graph = parse(convolution, &interleaved);
	struct xrnpe_model *model = compile_bytes_of(graph, false);
	const struct xrnpe_tensor_info *info = xrnpe_model_input(model, 0);
	struct xrnpe_layout layout;
	struct xrnpe_device *device;
	struct xrnpe_session *session;
	struct xrnpe_request *request;
	struct xrnpe_buffer *buffer;

	ck_assert_uint_eq(count_reads(model), 1);
	ck_assert_uint_eq(model->region_size[XRNPE_MODEL_INPUT], COUNT);
	ck_assert_int_eq(info->type, XRNPE_TYPE_BYTE);
	ck_assert(info->rank == 4 && info->dims[1] == H && info->dims[2] == W && info->dims[3] == C);
	ck_assert_int_eq(xrnpe_model_input_layout(model, 0, &layout, &error), 0);
	ck_assert_int_eq(layout.format, XRNPE_FORMAT_U8);
	ck_assert(layout.size == COUNT && layout.strides[1] == W * C && layout.strides[2] == C &&
		  layout.strides[3] == 1);

	ck_assert_int_eq(xrnpe_device_open("emu", &device, &error), 0);
	ck_assert_int_eq(xrnpe_session_new(device, model, NULL, &session, &error), 0);
	ck_assert_int_eq(xrnpe_request_new(session, &request, &error), 0);
	ck_assert_int_eq(xrnpe_buffer_new(device, 4096, &buffer, &error), 0);
	ck_assert_int_eq(xrnpe_request_bind_input(request, 0, buffer, 0, &error), 0);
	ck_assert_int_eq(xrnpe_request_bind_output(request, 0, buffer, 2048, &error), 0);
	xrnpe_request_count(request, true);
	ck_assert_int_eq(xrnpe_request_submit(request, &error), 0);
	ck_assert_int_eq(xrnpe_request_wait(request, -1, &error), 0);
	ck_assert_uint_eq(xrnpe_request_result(request)->copied, 0);
	/* The device reads as much of inputs as there are bytes, and commands move nothing besides. */
	for (uint32_t i = 0; i < model->cmd_count; i++)
		ck_assert_int_ne(model->cmds[i].opcode, XRNPE_OP_COPY);
	xrnpe_request_free(request);
	xrnpe_buffer_free(buffer);
	xrnpe_session_free(session);
	xrnpe_device_close(device);
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

static Onnx__ModelProto *channels_last(void)
{
	Onnx__ModelProto *model = onnx_new();

	onnx_input(model, "x", DIMS(1, H, W, C));
	onnx_output(model, "y", DIMS(0));
	onnx_attr_ints(onnx_node(model, "Transpose", "x", "t"), "perm", DIMS(0, 3, 1, 2));
	onnx_floats(model, "w1", DIMS(OUT, C, 3, 3), NULL);
	onnx_node(model, "Conv", "t w1", "c");
	onnx_node(model, "GlobalAveragePool", "c", "y");
	return model;
}

static Onnx__ModelProto *no_image(void)
{
	Onnx__ModelProto *model = onnx_new();

	onnx_input(model, "x", DIMS(1, COUNT));
	onnx_output(model, "y", DIMS(0));
	onnx_node(model, "Relu", "x", "y");
	return model;
}

/* Networks of either kind have bytes of either order; one number serves all channels. */
START_TEST(bytes_shapes)
{
	static const float half = 0.5f;
	const struct xrnpe_byte_input one = { "x", _i, 1, NULL, &half };
	struct xrnpe_graph *graph = parse(channels_last, &one);
	const struct xrnpe_tensor_info *info = xrnpe_graph_input(graph, 0);
	struct xrnpe_model *model = compile_bytes_of(graph, _i);
	struct xrnpe_layout layout;

	ck_assert(info->dims[1] == (_i ? C : H) && info->dims[3] == (_i ? W : C));
	ck_assert_int_eq(xrnpe_model_input_layout(model, 0, &layout, &error), 0);
	ck_assert(layout.strides[3] == 1 && layout.strides[2] == (_i ? W : C));
	ck_assert_uint_eq(count_reads(model), 1);
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

START_TEST(bytes_bad)
{
	static const float many[4] = { 1, 1, 1, 1 }, none = 0, far = 1e6f;
	static const struct {
		network_function *network;
		struct xrnpe_byte_input bytes[2];
		size_t count;
		int code;
		const char *text;
	} bad[] = {
		{ convolution, { { "z", false, 0, NULL, NULL } }, 1, -EINVAL, "has no input z to be given as bytes" },
		{ convolution, { { "x", false, 0, NULL, NULL }, { NULL, false, 0, NULL, NULL } }, 2, -EINVAL,
		  "input x is given as bytes twice" },
		{ convolution, { { NULL, false, 4, many, NULL } }, 1, -EINVAL,
		  "input x has 3 channels, but means or scales are given for 4" },
		{ convolution, { { NULL, false, 1, NULL, &none } }, 1, -EINVAL, "a mean or scale of input x" },
		{ convolution, { { NULL, false, 1, &far, NULL } }, 1, -EINVAL, "a mean or scale of input x" },
		{ no_image, { { NULL, false, 0, NULL, NULL } }, 1, -ENOTSUP, "input x cannot be given as bytes" },
	};
	const struct xrnpe_graph_options options = { .bytes = bad[_i].bytes, .byte_count = bad[_i].count };
	Onnx__ModelProto *model = bad[_i].network();
	struct xrnpe_graph *graph;
	size_t size;
	uint8_t *data = onnx_pack(model, &size);

	ck_assert_int_eq(xrnpe_graph_parse("m.onnx", data, size, &options, &graph, &error), bad[_i].code);
	ck_assert_msg(strstr(error.message, bad[_i].text), "%s", error.message);
	onnx_free(model);
	free(data);
}
END_TEST

START_TEST(bytes_bad_values)
{
	static const float wrong[] = { -1, 256, 0.5f, NAN };
	struct xrnpe_graph *graph = parse(convolution, &interleaved);
	struct xrnpe_model *model = compile_bytes_of(graph, false);
	struct xrnpe_device *device;
	struct xrnpe_session *session;
	struct xrnpe_request *request;
	float values[COUNT] = { 0 }, out[OUT], before[OUT];

	values[COUNT - 1] = wrong[_i];
	ck_assert_int_eq(xrnpe_graph_run(graph, 1, &(const float *){ values }, &(float *){ out }, NULL,
					 NULL, &error), -EINVAL);
	ck_assert_msg(strstr(error.message, "input x takes bytes: integers from 0 to 255"), "%s",
		      error.message);
	ck_assert_int_eq(xrnpe_device_open("emu", &device, &error), 0);
	ck_assert_int_eq(xrnpe_session_new(device, model, NULL, &session, &error), 0);
	ck_assert_int_eq(xrnpe_request_new(session, &request, &error), 0);
	ck_assert_int_eq(xrnpe_request_set_input(request, 0, values, COUNT, &error), -EINVAL);
	ck_assert_msg(strstr(error.message, "input x takes bytes: integers from 0 to 255"), "%s",
		      error.message);
	ck_assert_int_eq(xrnpe_request_set_bytes(request, 0, (uint8_t[1]){ 0 }, 1, &error), -EINVAL);
	/* What is refused changes nothing. */
	for (unsigned int again = 0; again < 2; again++) {
		for (size_t i = 0; i + 1 < COUNT; i++)
			values[i] = again ? 200 : (float)i;
		values[COUNT - 1] = again ? wrong[_i] : 1;
		ck_assert_int_eq(xrnpe_request_set_input(request, 0, values, COUNT, &error),
				 again ? -EINVAL : 0);
		ck_assert_int_eq(xrnpe_request_submit(request, &error), 0);
		ck_assert_int_eq(xrnpe_request_wait(request, -1, &error), 0);
		ck_assert_int_eq(xrnpe_request_get_output(request, 0, again ? out : before, OUT, &error), 0);
	}
	ck_assert_mem_eq(out, before, sizeof(out));
	xrnpe_request_free(request);
	xrnpe_session_free(session);
	xrnpe_device_close(device);
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

TCase *compile_bytes_tests(void)
{
	TCase *tcase = tcase_create("bytes");

	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, bytes_compiled, 0, sizeof(byte_networks) / sizeof(*byte_networks));
	tcase_add_test(tcase, bytes_without_copies);
	tcase_add_loop_test(tcase, bytes_shapes, 0, 2);
	tcase_add_loop_test(tcase, bytes_bad, 0, 6);
	tcase_add_loop_test(tcase, bytes_bad_values, 0, 4);
	return tcase;
}

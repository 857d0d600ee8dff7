// SPDX-License-Identifier: MIT
/* Unit tests of the library's running half. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datapath.h"
#include "unit/run_suite.h"
#include "unit/runtime_tests.h"

const float tiny_weight[TINY_OUT_C][TINY_IN_C] = { { 1, 2 }, { -3, 0.5 }, { 0, -1 } };
const float tiny_scale[TINY_OUT_C] = { 1, 2, 0.25 };
const float tiny_bias[TINY_OUT_C] = { 0.5, -1, 8 };

const char *test_device(void)
{
	const char *device = getenv("XRNPE_TEST_DEVICE");

	return device ? device : "emu";
}

/* ---- files ------------------------------------------------------------ */

static char folder[64];

void runtime_setup(void)
{
	strcpy(folder, "/tmp/xrnpe-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

void runtime_teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

const char *test_path(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

void write_file(const char *path, const void *data, size_t size)
{
	FILE *file;

	/* Some file systems write a truncated file to disk at once, a new one later. */
	unlink(path);
	file = fopen(path, "wb");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(data, 1, size, file), size);
	ck_assert_int_eq(fclose(file), 0);
}

size_t read_file(const char *path, unsigned char *data, size_t room)
{
	FILE *file = fopen(path, "rb");
	size_t size;

	ck_assert_ptr_nonnull(file);
	size = fread(data, 1, room, file);
	ck_assert_msg(size < room, "%s is longer than expected", path);
	fclose(file);
	return size;
}

/* ---- the model -------------------------------------------------------- */

static struct xrnpe_scale scale_of(float scale, float bias)
{
	struct xrnpe_scale s;

	memcpy(&s.scale, &scale, sizeof(s.scale));
	memcpy(&s.bias, &bias, sizeof(s.bias));
	return s;
}

/* An image of 3 lines of 2 pixels without gaps. */
static struct xrnpe_operand image(enum xrnpe_model_region region, enum xrnpe_format format,
				  unsigned int channels)
{
	uint32_t pixel = channels * (xrnpe_format_bits(format) / 8);

	return (struct xrnpe_operand){
		.row_stride = 2 * pixel, .pixel_stride = pixel,
		.region = (uint8_t)region, .format = (uint8_t)format,
	};
}

static struct xrnpe_operand scales_at(uint64_t offset, uint32_t stride)
{
	return (struct xrnpe_operand){
		.offset = offset, .row_stride = stride, .region = XRNPE_MODEL_CONSTANTS,
		.format = XRNPE_FORMAT_F32,
	};
}

static struct xrnpe_model_tensor tensor(const char *name, enum xrnpe_model_region region,
					enum xrnpe_format format, unsigned int channels)
{
	struct xrnpe_operand layout = image(region, format, channels);

	return (struct xrnpe_model_tensor){
		.info = {
			.name = strdup(name), .rank = 3, .dims = { channels, 3, 2, 1, 1, 1 },
			.count = (size_t)channels * TINY_PIXELS,
		},
		.channels = channels, .height = 3, .width = 2, .channels_first = true,
		.region = region, .format = format, .scale = 1,
		.row_stride = layout.row_stride, .pixel_stride = layout.pixel_stride,
	};
}

static struct xrnpe_layer_info layer(const char *name, const char *op, const char *output,
				     size_t channels)
{
	return (struct xrnpe_layer_info){
		.name = strdup(name), .op = strdup(op), .why = strdup(""), .output = strdup(output),
		.rank = 3, .dims = { channels, 3, 2, 1, 1, 1 },
		.macs = 12, .format = XRNPE_FORMAT_P16, .weight_format = XRNPE_FORMAT_P8,
		.added_format = XRNPE_FORMAT_P16, .out_format = XRNPE_FORMAT_F32, .bytes = 36, .float_bytes = 48, .error = 0.25,
		.weight_error = { 0.5, 0.75, -1, 0.25 }, .input_error = { -1, 0.125, -1, 0 },
	};
}

static void fill_constants(char *constants)
{
	struct xrnpe_scale one = scale_of(1, 0);

	memcpy(constants + TINY_CONVERT_SCALE, &one, sizeof(one));
	for (unsigned int n = 0; n < TINY_OUT_C; n++) {
		struct xrnpe_scale s = scale_of(tiny_scale[n], tiny_bias[n]);

		xrnpe_encode_row(XRNPE_FORMAT_P16, tiny_weight[n],
				 constants + TINY_WEIGHTS + n * 2 * TINY_IN_C, TINY_IN_C,
				 &(uint32_t){ 0 });
		memcpy(constants + TINY_SCALES + n * sizeof(s), &s, sizeof(s));
	}
}

struct xrnpe_model *tiny_model(void)
{
	struct xrnpe_model *model = xrnpe_model_new();

	ck_assert_ptr_nonnull(model);
	model->name = strdup("tiny");
	model->producer = strdup("unit test");
	model->region_size[XRNPE_MODEL_CONSTANTS] = TINY_CONSTANTS;
	model->region_size[XRNPE_MODEL_ARENA] = 2 * TINY_IN;
	model->region_size[XRNPE_MODEL_INPUT] = 4 * TINY_IN;
	model->region_size[XRNPE_MODEL_OUTPUT] = 4 * TINY_OUT;
	model->constants = calloc(1, TINY_CONSTANTS);
	fill_constants(model->constants);

	model->cmd_count = 2;
	model->cmds = calloc(2, sizeof(*model->cmds));
	model->cmd_layer = calloc(2, sizeof(*model->cmd_layer));
	model->cmd_layer[1] = 1;
	model->cmds[0] = (struct xrnpe_cmd){
		.opcode = XRNPE_OP_CONVERT,
		.operand = {
			[XRNPE_OPERAND_IFM] = image(XRNPE_MODEL_INPUT, XRNPE_FORMAT_F32, TINY_IN_C),
			[XRNPE_OPERAND_SCALE] = scales_at(TINY_CONVERT_SCALE, 0),
			[XRNPE_OPERAND_OFM] = image(XRNPE_MODEL_ARENA, XRNPE_FORMAT_P16, TINY_IN_C),
		},
		.image = { .in_h = 3, .in_w = 2, .in_c = TINY_IN_C },
	};
	model->cmds[1] = (struct xrnpe_cmd){
		.opcode = XRNPE_OP_CONV2D,
		.activation = XRNPE_ACT_RELU,
		.operand = {
			[XRNPE_OPERAND_IFM] = image(XRNPE_MODEL_ARENA, XRNPE_FORMAT_P16, TINY_IN_C),
			[XRNPE_OPERAND_WEIGHT] = {
				.offset = TINY_WEIGHTS, .row_stride = 2 * TINY_IN_C,
				.pixel_stride = 2 * TINY_IN_C, .region = XRNPE_MODEL_CONSTANTS,
				.format = XRNPE_FORMAT_P16,
			},
			[XRNPE_OPERAND_SCALE] = scales_at(TINY_SCALES, sizeof(struct xrnpe_scale)),
			[XRNPE_OPERAND_OFM] = image(XRNPE_MODEL_OUTPUT, XRNPE_FORMAT_F32, TINY_OUT_C),
		},
		.image = {
			.in_h = 3, .in_w = 2, .in_c = TINY_IN_C,
			.out_h = 3, .out_w = 2, .out_c = TINY_OUT_C,
			.groups = 1, .kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1,
			.dilation_h = 1, .dilation_w = 1,
		},
	};

	model->step_count = 1;
	model->steps = calloc(1, sizeof(*model->steps));
	model->steps[0] = (struct xrnpe_model_step){ .kind = XRNPE_MODEL_JOB, .count = 2 };

	model->layer_count = 2;
	model->layers = calloc(2, sizeof(*model->layers));
	model->layers[0] = layer("to_p16", "Cast", "middle", TINY_IN_C);
	model->layers[1] = layer("mix", "Conv+Relu", "out", TINY_OUT_C);
	model->layer_outputs = calloc(2, sizeof(*model->layer_outputs));
	model->layer_outputs[0] = (struct xrnpe_layer_output){ .index = 2, .part = 1 };
	model->layer_outputs[1] = (struct xrnpe_layer_output){ .index = 1, .step = 1 };

	model->input_count = 1;
	model->output_count = 1;
	model->tensor_count = 3;
	model->tensors = calloc(3, sizeof(*model->tensors));
	model->tensors[0] = tensor("in", XRNPE_MODEL_INPUT, XRNPE_FORMAT_F32, TINY_IN_C);
	model->tensors[1] = tensor("out", XRNPE_MODEL_OUTPUT, XRNPE_FORMAT_F32, TINY_OUT_C);
	model->tensors[2] = tensor("middle", XRNPE_MODEL_ARENA, XRNPE_FORMAT_P16, TINY_IN_C);
	return model;
}

void tiny_input(unsigned int seed, float in[TINY_IN])
{
	for (unsigned int i = 0; i < TINY_IN; i++)
		in[i] = (float)((seed * 7 + i * 5) % 23) - 11;
}

void tiny_output(const float in[TINY_IN], float out[TINY_OUT])
{
	for (unsigned int n = 0; n < TINY_OUT_C; n++)
		for (unsigned int p = 0; p < TINY_PIXELS; p++) {
			float sum = 0;

			for (unsigned int c = 0; c < TINY_IN_C; c++)
				sum += tiny_weight[n][c] * in[c * TINY_PIXELS + p];
			sum = sum * tiny_scale[n] + tiny_bias[n];
			out[n * TINY_PIXELS + p] = sum > 0 ? sum : 0;
		}
}

struct xrnpe_session *session_of(struct xrnpe_device *device, struct xrnpe_model *model)
{
	struct xrnpe_session *session;
	struct xrnpe_error error;

	ck_ok(xrnpe_session_new(device, model, NULL, &session, &error), error);
	xrnpe_model_free(model);
	return session;
}

struct xrnpe_request *request_of(struct xrnpe_device *device, struct xrnpe_model *model,
				 enum xrnpe_priority priority)
{
	const struct xrnpe_session_options options = { .priority = priority };
	struct xrnpe_session *session;
	struct xrnpe_request *request;
	struct xrnpe_error error;

	ck_ok(xrnpe_session_new(device, model, &options, &session, &error), error);
	xrnpe_model_free(model);
	ck_ok(xrnpe_request_new(session, &request, &error), error);
	xrnpe_session_free(session);
	return request;
}

void submit(struct xrnpe_request *request, unsigned int seed)
{
	struct xrnpe_error error;
	float in[TINY_IN];

	tiny_input(seed, in);
	ck_ok(xrnpe_request_set_input(request, 0, in, TINY_IN, &error), error);
	ck_ok(xrnpe_request_submit(request, &error), error);
}

/* ---- the program ------------------------------------------------------ */

int main(void)
{
	Suite *suite = suite_create("runtime");

	/* On another device only what depends on it is worth the time. */
	if (!getenv("XRNPE_TEST_DEVICE")) {
		suite_add_tcase(suite, runtime_npy_tests());
		suite_add_tcase(suite, runtime_file_tests());
	} else {
		suite_add_tcase(suite, runtime_networks_tests());
	}
	suite_add_tcase(suite, runtime_device_tests());
	suite_add_tcase(suite, runtime_session_tests());
	suite_add_tcase(suite, runtime_batch_tests());
	suite_add_tcase(suite, runtime_events_tests());
	suite_add_tcase(suite, runtime_buffers_tests());
	suite_add_tcase(suite, runtime_layers_tests());
	suite_add_tcase(suite, runtime_points_tests());
	suite_add_tcase(suite, runtime_govern_tests());
	suite_add_tcase(suite, runtime_transfer_tests());
	return run_suite(suite);
}

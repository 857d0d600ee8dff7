// SPDX-License-Identifier: MIT
/* Compiling networks in tests, and running what comes of it. */
#include <math.h>
#include <stdlib.h>

#include "unit/compile_run.h"

struct xrnpe_error error;

struct xrnpe_graph *load(Onnx__ModelProto *model)
{
	struct xrnpe_graph *graph = NULL;
	size_t size;
	uint8_t *data = onnx_pack(model, &size);

	ck_assert_msg(!xrnpe_graph_parse("m.onnx", data, size, NULL, &graph, &error), "%s",
		      error.message);
	onnx_free(model);
	free(data);
	return graph;
}

struct xrnpe_array *noise(const struct xrnpe_graph *graph, size_t count, uint32_t seed)
{
	unsigned int inputs = xrnpe_graph_input_count(graph);
	struct xrnpe_array *arrays = calloc(inputs, sizeof(*arrays));

	ck_assert_ptr_nonnull(arrays);
	for (unsigned int i = 0; i < inputs; i++) {
		const struct xrnpe_tensor_info *info = xrnpe_graph_input(graph, i);
		struct xrnpe_array *array = &arrays[i];

		array->rank = info->rank + 1;
		array->dims[0] = count;
		for (unsigned int k = 1; k < XRNPE_MAX_RANK; k++)
			array->dims[k] = k <= info->rank ? info->dims[k - 1] : 1;
		array->count = count * info->count;
		array->data = malloc(array->count * sizeof(*array->data));
		ck_assert_ptr_nonnull(array->data);
		for (size_t k = 0; k < array->count; k++)
			array->data[k] = info->type == XRNPE_TYPE_FLOAT ? onnx_noise(&seed) : 0;
	}
	return arrays;
}

void noise_free(const struct xrnpe_graph *graph, struct xrnpe_array *arrays)
{
	for (unsigned int i = 0; i < xrnpe_graph_input_count(graph); i++)
		xrnpe_array_clear(&arrays[i]);
	free(arrays);
}

int compile(const struct xrnpe_graph *graph, uint64_t budget, struct xrnpe_model **model)
{
	struct xrnpe_array *calibration = noise(graph, CALIBRATION, 1);
	struct xrnpe_compile_options options = { .calibration = calibration, .limits.bytes = budget };
	int ret = xrnpe_compile(graph, &options, model, &error);

	noise_free(graph, calibration);
	return ret;
}

enum { MOST = 4 };	/* inputs and outputs of the networks here */

double run_error(const struct xrnpe_graph *graph, struct xrnpe_model *model)
{
	unsigned int outputs = xrnpe_graph_output_count(graph);
	struct xrnpe_array *arrays = noise(graph, TESTS, 77);
	float *fp32[MOST], *got[MOST];
	const float *inputs[MOST];
	struct xrnpe_session *session;
	struct xrnpe_device *device;
	double worst = 0;

	for (unsigned int i = 0; i < xrnpe_graph_input_count(graph); i++)
		inputs[i] = arrays[i].data;
	for (unsigned int k = 0; k < outputs; k++) {
		size_t count = TESTS * xrnpe_graph_output(graph, k)->count;

		fp32[k] = malloc(count * sizeof(float));
		got[k] = malloc(count * sizeof(float));
		ck_assert(fp32[k] && got[k]);
	}
	ck_assert_int_eq(xrnpe_graph_run(graph, TESTS, inputs, fp32, NULL, NULL, &error), 0);
	ck_assert_int_eq(xrnpe_device_open("emu", &device, &error), 0);
	ck_assert_msg(!xrnpe_session_new(device, model, NULL, &session, &error), "%s", error.message);
	ck_assert_msg(!xrnpe_session_run(session, TESTS, inputs, got, NULL, NULL, NULL,
					 &error), "%s", error.message);
	for (unsigned int k = 0; k < outputs; k++) {
		size_t count = TESTS * xrnpe_graph_output(graph, k)->count;
		double difference = 0, size = 0;

		for (size_t i = 0; i < count; i++) {
			difference += ((double)got[k][i] - fp32[k][i]) * ((double)got[k][i] - fp32[k][i]);
			size += (double)fp32[k][i] * fp32[k][i];
		}
		worst = fmax(worst, sqrt(difference / size));
		free(fp32[k]);
		free(got[k]);
	}
	xrnpe_session_free(session);
	xrnpe_device_close(device);
	noise_free(graph, arrays);
	return worst;
}

struct xrnpe_model *faithful(const struct xrnpe_graph *graph, double tolerance)
{
	struct xrnpe_model *model;

	ck_assert_msg(!compile(graph, 1 << 20, &model), "%s", error.message);
	ck_assert_double_le(run_error(graph, model), tolerance);
	return model;
}

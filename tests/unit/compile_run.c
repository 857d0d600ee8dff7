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

uint64_t bytes_of(const struct xrnpe_model *model)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < xrnpe_model_layer_count(model); i++)
		bytes += xrnpe_model_layer(model, i)->bytes;
	return bytes;
}

void run_model_on(const char *name, struct xrnpe_model *model, const struct xrnpe_array *inputs,
		  float *outputs[MOST_TENSORS])
{
	const float *data[MOST_TENSORS];
	struct xrnpe_session *session;
	struct xrnpe_device *device;

	for (unsigned int i = 0; i < xrnpe_model_input_count(model); i++)
		data[i] = inputs[i].data;
	for (unsigned int k = 0; k < xrnpe_model_output_count(model); k++) {
		outputs[k] = malloc(TESTS * xrnpe_model_output(model, k)->count * sizeof(float));
		ck_assert_ptr_nonnull(outputs[k]);
	}
	ck_assert_msg(!xrnpe_device_open(name, &device, &error), "%s", error.message);
	ck_assert_msg(!xrnpe_session_new(device, model, NULL, &session, &error), "%s", error.message);
	ck_assert_msg(!xrnpe_session_run(session, TESTS, data, outputs, NULL, NULL, NULL, &error), "%s",
		      error.message);
	xrnpe_session_free(session);
	xrnpe_device_close(device);
}

void run_model(struct xrnpe_model *model, const struct xrnpe_array *inputs,
	       float *outputs[MOST_TENSORS])
{
	run_model_on("emu", model, inputs, outputs);
}

double relative_error(const float *values, const float *exact, size_t count)
{
	double off = 0, size = 0;

	for (size_t i = 0; i < count; i++) {
		off += ((double)values[i] - exact[i]) * ((double)values[i] - exact[i]);
		size += (double)exact[i] * exact[i];
	}
	return off == 0 ? 0 : sqrt(off / size);
}

double run_error(const struct xrnpe_graph *graph, struct xrnpe_model *model)
{
	unsigned int outputs = xrnpe_graph_output_count(graph);
	struct xrnpe_array *arrays = noise(graph, TESTS, 77);
	float *fp32[MOST_TENSORS], *got[MOST_TENSORS];
	const float *inputs[MOST_TENSORS];
	double worst = 0;

	for (unsigned int i = 0; i < xrnpe_graph_input_count(graph); i++)
		inputs[i] = arrays[i].data;
	for (unsigned int k = 0; k < outputs; k++) {
		fp32[k] = malloc(TESTS * xrnpe_graph_output(graph, k)->count * sizeof(float));
		ck_assert_ptr_nonnull(fp32[k]);
	}
	ck_assert_int_eq(xrnpe_graph_run(graph, TESTS, inputs, fp32, NULL, NULL, &error), 0);
	run_model(model, arrays, got);
	for (unsigned int k = 0; k < outputs; k++) {
		double off = relative_error(got[k], fp32[k],
					    TESTS * xrnpe_graph_output(graph, k)->count);

		ck_assert_double_finite(off);
		worst = fmax(worst, off);
		free(fp32[k]);
		free(got[k]);
	}
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

struct xrnpe_model *on_device(const struct xrnpe_graph *graph, double tolerance)
{
	struct xrnpe_model *model = faithful(graph, tolerance);

	for (unsigned int i = 0; i < xrnpe_model_layer_count(model); i++)
		ck_assert_str_eq(xrnpe_model_layer(model, i)->why, "");
	return model;
}

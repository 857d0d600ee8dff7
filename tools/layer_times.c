// SPDX-License-Identifier: MIT
#include "layer_times.h"

#include <stdlib.h>

#include "console.h"
#include "error.h"
#include "tensors.h"

#define FEW 3	/* runs that tell about what a layer takes */

void free_arrays(const struct xrnpe_model *model, struct arrays *arrays)
{
	for (unsigned int i = 0; arrays->in && i < xrnpe_model_input_count(model); i++)
		free(arrays->in[i]);
	for (unsigned int i = 0; arrays->out && i < xrnpe_model_output_count(model); i++)
		free(arrays->out[i]);
	free(arrays->in);
	free(arrays->out);
}

/* Of integers and truths 0 and 1, which are allowed everywhere. */
int new_arrays(const struct xrnpe_model *model, size_t batch, struct arrays *arrays,
	       struct xrnpe_error *error)
{
	unsigned int inputs = xrnpe_model_input_count(model), outputs = xrnpe_model_output_count(model);

	*arrays = (struct arrays){ calloc(inputs, sizeof(float *)), calloc(outputs, sizeof(float *)) };
	if (!arrays->in || !arrays->out)
		return xrnpe_fail_memory(error);
	for (unsigned int i = 0; i < inputs; i++) {
		const struct xrnpe_tensor_info *info = xrnpe_model_input(model, i);
		size_t count = batch * info->count;

		arrays->in[i] = malloc(count * sizeof(float));
		if (!arrays->in[i])
			return xrnpe_fail_memory(error);
		for (size_t k = 0; k < count; k++)
			arrays->in[i][k] = info->type != XRNPE_TYPE_FLOAT ? (float)(rand() % 2) :
					   (float)rand() / (float)RAND_MAX * 2 - 1;
	}
	for (unsigned int i = 0; i < outputs; i++) {
		arrays->out[i] = malloc(batch * xrnpe_model_output(model, i)->count * sizeof(float));
		if (!arrays->out[i])
			return xrnpe_fail_memory(error);
	}
	return 0;
}

int time_layers(struct xrnpe_session *session, const struct xrnpe_model *model, const struct arrays *arrays,
		int least, double seconds, double **layers, struct xrnpe_error *error)
{
	unsigned int count = xrnpe_model_layer_count(model);
	struct xrnpe_request *request = NULL;
	double start = seconds_now();
	int ret;

	*layers = calloc(count, sizeof(**layers));
	ret = *layers ? xrnpe_request_new(session, &request, error) : xrnpe_fail_memory(error);
	if (!ret)
		ret = xrnpe_request_profile(request, true, error);
	for (int i = 0; !ret && (i < least || seconds_now() - start < seconds); i++) {
		const struct xrnpe_layer_profile *profile;

		ret = run_single(request, model, 0, (const float *const *)arrays->in, arrays->out, error);
		profile = xrnpe_request_layers(request);
		for (unsigned int k = 0; !ret && k < count; k++)
			if (!i || profile[k].seconds < (*layers)[k])
				(*layers)[k] = profile[k].seconds;
	}
	xrnpe_request_free(request);
	return ret;
}

static bool has_cpu_layers(const struct xrnpe_model *model)
{
	unsigned int i = 0, count = xrnpe_model_layer_count(model);

	while (i < count && xrnpe_model_layer(model, i)->place != XRNPE_PLACE_CPU)
		i++;
	return i < count;
}

int time_cpu_layers(struct xrnpe_model *model, double **layers, struct xrnpe_error *error)
{
	struct xrnpe_session *session = NULL;
	struct xrnpe_device *device = NULL;
	struct arrays arrays;
	int ret;

	*layers = NULL;
	if (!has_cpu_layers(model))
		return 0;
	ret = new_arrays(model, 1, &arrays, error);
	if (!ret)
		ret = xrnpe_device_open("emu", &device, error);
	if (!ret)
		ret = xrnpe_session_new(device, model, NULL, &session, error);
	if (!ret)
		ret = time_layers(session, model, &arrays, FEW, 0, layers, error);
	xrnpe_session_free(session);
	xrnpe_device_close(device);
	free_arrays(model, &arrays);
	return ret;
}

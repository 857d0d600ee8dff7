// SPDX-License-Identifier: MIT
#include "layer_times.h"

#include <stdlib.h>

#include "console.h"
#include "error.h"

#define FEW 3	/* runs that tell about what a layer takes */

void free_arrays(struct arrays *arrays)
{
	for (unsigned int i = 0; arrays->in && i < arrays->inputs; i++)
		free(arrays->in[i]);
	for (unsigned int i = 0; arrays->out && i < arrays->outputs; i++)
		free(arrays->out[i]);
	free(arrays->in);
	free(arrays->out);
}

static float **list_of(const struct tensors *tensors, size_t batch)
{
	float **list = tensors->infos ? calloc(tensors->count, sizeof(*list)) : NULL;

	for (unsigned int i = 0; list && i < tensors->count; i++)
		list[i] = malloc(batch * tensors->infos[i]->count * sizeof(**list));
	return list;
}

static bool is_whole(float *const *list, unsigned int count)
{
	unsigned int i = 0;

	while (list && i < count && list[i])
		i++;
	return list && i == count;
}

/* Of integers and truths 0 and 1, which are allowed everywhere. */
static void fill(const struct tensors *in, size_t batch, float *const *list)
{
	for (unsigned int i = 0; i < in->count; i++) {
		for (size_t k = 0; k < batch * in->infos[i]->count; k++)
			list[i][k] = in->infos[i]->type != XRNPE_TYPE_FLOAT ? (float)(rand() % 2) :
				     (float)rand() / (float)RAND_MAX * 2 - 1;
	}
}

int new_arrays(struct tensors in, struct tensors out, size_t batch, struct arrays *arrays,
	       struct xrnpe_error *error)
{
	bool made;

	*arrays = (struct arrays){ list_of(&in, batch), list_of(&out, batch), in.count, out.count };
	made = is_whole(arrays->in, in.count) && is_whole(arrays->out, out.count);
	if (made)
		fill(&in, batch, arrays->in);
	free(in.infos);
	free(out.infos);
	return made ? 0 : xrnpe_fail_memory(error);
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
	ret = new_arrays(model_inputs(model, ""), model_outputs(model, ""), 1, &arrays, error);
	if (!ret)
		ret = xrnpe_device_open("emu", &device, error);
	if (!ret)
		ret = xrnpe_session_new(device, model, NULL, &session, error);
	if (!ret)
		ret = time_layers(session, model, &arrays, FEW, 0, layers, error);
	xrnpe_session_free(session);
	xrnpe_device_close(device);
	free_arrays(&arrays);
	return ret;
}

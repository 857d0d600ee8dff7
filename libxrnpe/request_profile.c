// SPDX-License-Identifier: MIT
/* What each layer takes: its commands are a part of the job of their own. */
#include <stdlib.h>

#include "cost.h"
#include "error.h"
#include "request.h"

uint32_t request_layer_commands(const struct xrnpe_request *request)
{
	const struct xrnpe_model *model = request_model(request);
	const struct xrnpe_model_step *step = &model->steps[request->step];
	const uint32_t *layers = model->cmd_layer + step->first;
	uint32_t end = request->part;

	while (end < step->count && layers[end] == layers[request->part])
		end++;
	return end - request->part;
}

void request_profile_part(struct xrnpe_request *request)
{
	const struct xrnpe_model *model = request_model(request);
	uint32_t cmd = model->steps[request->step].first + request->part;
	struct xrnpe_layer_profile *layer = &request->profile[model->cmd_layer[cmd]];

	xrnpe_counters_add(&layer->counters, &request->job.result.counters);
	layer->seconds += (double)request->job.executed * 1e-9;
}

void request_profile_node(struct xrnpe_request *request, uint32_t n, int64_t ns)
{
	if (request->cpu_layer[n] < request_model(request)->layer_count)
		request->profile[request->cpu_layer[n]].seconds += (double)ns * 1e-9;
}

/*
 * The layer of node @n on the CPU, of which a layer has one or several, the last being that which
 * writes its output. The number of layers: it has none.
 */
static uint32_t find_layer(const struct xrnpe_model *model, uint32_t n)
{
	uint32_t i = 0;

	while (i < model->layer_count && (model->layers[i].place != XRNPE_PLACE_CPU ||
					  model->layer_outputs[i].index < n))
		i++;
	return i;
}

int xrnpe_request_profile(struct xrnpe_request *request, bool profile, struct xrnpe_error *error)
{
	const struct xrnpe_model *model = request_model(request);
	uint32_t nodes = model->cpu ? model->cpu->node_count : 0;
	int ret = request_check_idle(request, error);

	if (ret)
		return ret;
	free(request->profile);
	free(request->cpu_layer);
	request->profile = NULL;
	request->cpu_layer = NULL;
	if (!profile)
		return 0;
	request->profile = calloc(model->layer_count, sizeof(*request->profile));
	request->cpu_layer = malloc((nodes + 1) * sizeof(*request->cpu_layer));
	if (!request->profile || !request->cpu_layer) {
		free(request->profile);
		request->profile = NULL;
		return xrnpe_fail_memory(error);
	}
	for (uint32_t n = 0; n < nodes; n++)
		request->cpu_layer[n] = find_layer(model, n);
	return 0;
}

const struct xrnpe_layer_profile *xrnpe_request_layers(const struct xrnpe_request *request)
{
	return request->profile;
}

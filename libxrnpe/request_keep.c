// SPDX-License-Identifier: MIT
/*
 * What layers write, kept for who asks for it: copied when it is there, as what follows may use
 * the same memory. A part of the job ends at that place.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "request.h"
#include "transfer.h"

static size_t count_elements(const struct xrnpe_layer_info *layer)
{
	size_t count = 1;

	for (unsigned int i = 0; i < layer->rank; i++)
		count *= layer->dims[i];
	return count;
}

/* Whether layer @i is kept, and on the device. */
static bool is_kept(const struct xrnpe_request *request, uint32_t i)
{
	return request->kept[i].values &&
	       request_model(request)->layers[i].place == XRNPE_PLACE_DEVICE;
}

uint32_t request_keep_commands(const struct xrnpe_request *request, uint32_t count)
{
	const struct xrnpe_model *model = request_model(request);

	for (uint32_t i = 0; request->kept && i < model->layer_count; i++) {
		const struct xrnpe_layer_output *output = &model->layer_outputs[i];

		if (is_kept(request, i) && output->step == request->step &&
		    output->part > request->part && output->part - request->part < count)
			count = output->part - request->part;
	}
	return count;
}

static int keep_tensor(struct xrnpe_request *request, const struct xrnpe_model_tensor *t,
		       struct request_layer *kept, struct xrnpe_error *error)
{
	const void *memory = request_tensor_data(request, t);
	int ret;

	if (!memory)
		return xrnpe_fail(error, -ENOTSUP, "%s: %s is bound to a buffer that cannot be mapped",
				  request_model(request)->name, t->info.name);
	ret = request_tensor_sync(request, t, XRNPE_SYNC_FOR_CPU, error);
	if (ret)
		return ret;
	transfer_out(t, memory, kept->values);
	request->result.copied += t->info.count * sizeof(*kept->values);
	kept->there = true;
	return 0;
}

int request_keep_written(struct xrnpe_request *request, struct xrnpe_error *error)
{
	const struct xrnpe_model *model = request_model(request);
	int ret = 0;

	for (uint32_t i = 0; !ret && request->kept && i < model->layer_count; i++) {
		const struct xrnpe_layer_output *output = &model->layer_outputs[i];

		if (is_kept(request, i) && output->step == request->step && output->part == request->part)
			ret = keep_tensor(request, &model->tensors[output->index], &request->kept[i], error);
	}
	return ret;
}

void request_keep_node(struct xrnpe_request *request, uint32_t n)
{
	const struct xrnpe_model *model = request_model(request);

	for (uint32_t i = 0; request->kept && i < model->layer_count; i++) {
		struct request_layer *kept = &request->kept[i];

		if (!kept->values || model->layers[i].place != XRNPE_PLACE_CPU ||
		    model->layer_outputs[i].index != n)
			continue;
		reference_get(request->cpu, model->cpu->nodes[n].outputs[0], kept->values);
		kept->there = true;
	}
}

void request_keep_begin(struct xrnpe_request *request)
{
	for (uint32_t i = 0; request->kept && i < request_model(request)->layer_count; i++)
		request->kept[i].there = false;
}

void request_keep_free(struct xrnpe_request *request)
{
	for (uint32_t i = 0; request->kept && i < request_model(request)->layer_count; i++)
		free(request->kept[i].values);
	free(request->kept);
}

/* ---- what programs call ---------------------------------------------------- */

static int check(const struct xrnpe_request *request, unsigned int i, struct xrnpe_error *error)
{
	const struct xrnpe_model *model = request_model(request);
	int ret = request_check_idle(request, error);

	if (!ret && i >= model->layer_count)
		ret = xrnpe_fail(error, -EINVAL, "%s: has no layer %u, but %u layers", model->name, i,
				 model->layer_count);
	return ret;
}

int xrnpe_request_keep_layer(struct xrnpe_request *request, unsigned int i, bool keep,
			     struct xrnpe_error *error)
{
	const struct xrnpe_model *model = request_model(request);
	int ret = check(request, i, error);

	if (ret)
		return ret;
	if (!request->kept)
		request->kept = calloc(model->layer_count, sizeof(*request->kept));
	if (!request->kept)
		return xrnpe_fail_memory(error);
	if (keep == !!request->kept[i].values)
		return 0;
	free(request->kept[i].values);
	request->kept[i] = (struct request_layer){
		.values = keep ? malloc(count_elements(&model->layers[i]) * sizeof(float)) : NULL,
	};
	return keep && !request->kept[i].values ? xrnpe_fail_memory(error) : 0;
}

int xrnpe_request_get_layer(struct xrnpe_request *request, unsigned int i, float *values,
			    size_t count, struct xrnpe_error *error)
{
	const struct xrnpe_model *model = request_model(request);
	int ret = check(request, i, error);

	if (ret)
		return ret;
	if (count != count_elements(&model->layers[i]))
		return xrnpe_fail(error, -EINVAL, "%s: layer %s writes %zu elements, not %zu", model->name,
				  model->layers[i].name, count_elements(&model->layers[i]), count);
	if (!request->kept || !request->kept[i].values)
		return xrnpe_fail(error, -EINVAL, "%s: layer %s is not kept", model->name,
				  model->layers[i].name);
	if (!request->kept[i].there)
		return xrnpe_fail(error, -EINVAL, "%s: the request did not get to layer %s", model->name,
				  model->layers[i].name);
	memcpy(values, request->kept[i].values, count * sizeof(*values));
	return 0;
}

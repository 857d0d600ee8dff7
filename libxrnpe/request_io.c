// SPDX-License-Identifier: MIT
/* Inputs and outputs of requests: copied, or in buffers of the program's. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "error.h"
#include "request.h"
#include "transfer.h"

/* ---- where tensors lie --------------------------------------------------- */

static unsigned int region_of(const struct xrnpe_request *request,
			      const struct xrnpe_model_tensor *t)
{
	return session_find_region(&request->session->regions, t);
}

static uint64_t offset_of(const struct xrnpe_request *request, const struct xrnpe_model_tensor *t)
{
	unsigned int r = region_of(request, t);

	return request->job.regions[r].offset + request->lane * session_lane_bytes(&request->session->regions, r) +
	       t->offset - request->session->regions.region[r].offset;
}

void *request_tensor_data(const struct xrnpe_request *request, const struct xrnpe_model_tensor *t)
{
	char *data = request->job.regions[region_of(request, t)].buffer->data;

	return data ? data + offset_of(request, t) : NULL;
}

int request_tensor_sync(struct xrnpe_request *request, const struct xrnpe_model_tensor *t,
			enum xrnpe_sync sync, struct xrnpe_error *error)
{
	return xrnpe_buffer_sync(request->job.regions[region_of(request, t)].buffer, sync,
				 offset_of(request, t), xrnpe_model_tensor_bytes(t), error);
}

static int sync_region(struct xrnpe_request *request, unsigned int r, enum xrnpe_sync sync,
		       struct xrnpe_error *error)
{
	const struct xrnpe_job_region *region = &request->job.regions[r];

	return xrnpe_buffer_sync(region->buffer, sync, region->offset, region->size, error);
}

int request_sync_inputs(struct xrnpe_request *request, struct xrnpe_error *error)
{
	int ret = 0;

	for (unsigned int r = 0; !ret && r < request->job.region_count; r++) {
		if (request->set[r])
			ret = sync_region(request, r, XRNPE_SYNC_FOR_DEVICE, error);
		request->set[r] = false;
	}
	return ret;
}

int request_sync_outputs(struct xrnpe_request *request, struct xrnpe_error *error)
{
	int ret = 0;

	for (unsigned int r = 0; !ret && r < request->job.region_count; r++) {
		if (request->session->regions.region[r].of == XRNPE_MODEL_OUTPUT && !request->bound[r])
			ret = sync_region(request, r, XRNPE_SYNC_FOR_CPU, error);
	}
	return ret;
}

/* ---- which tensor is meant ------------------------------------------------- */

/* The @i-th input, or output, of a request that is not on its way; else NULL, and @ret. */
static const struct xrnpe_model_tensor *find(const struct xrnpe_request *request, bool output,
					     unsigned int i, int *ret, struct xrnpe_error *error)
{
	const struct xrnpe_model *model = request_model(request);

	*ret = request_check_idle(request, error);
	if (!*ret && i >= (output ? model->output_count : model->input_count))
		*ret = xrnpe_fail(error, -EINVAL, "%s: has no %s %u", model->name,
				  output ? "output" : "input", i);
	return *ret ? NULL : &model->tensors[output ? model->input_count + i : i];
}

/* ---- copies ---------------------------------------------------------------- */

static const struct xrnpe_model_tensor *find_values(const struct xrnpe_request *request,
						    bool output, unsigned int i, size_t count,
						    int *ret, struct xrnpe_error *error)
{
	const struct xrnpe_model_tensor *t = find(request, output, i, ret, error);
	const char *kind = output ? "output" : "input";

	if (!t)
		return NULL;
	if (count != t->info.count)
		*ret = xrnpe_fail(error, -EINVAL, "%s: %s %s has %zu elements, not %zu",
				  request_model(request)->name, kind, t->info.name, t->info.count, count);
	else if (!request->job.regions[region_of(request, t)].buffer->data)
		*ret = xrnpe_fail(error, -ENOTSUP, "%s: %s %s is bound to a buffer that cannot be mapped",
				  request_model(request)->name, kind, t->info.name);
	else
		return t;
	return NULL;
}

/* The CPU wrote all of @t. */
static void note_set(struct xrnpe_request *request, const struct xrnpe_model_tensor *t)
{
	request->copied += xrnpe_model_tensor_bytes(t);
	request->set[region_of(request, t)] = true;
}

int xrnpe_request_set_input(struct xrnpe_request *request, unsigned int i, const float *values,
			    size_t count, struct xrnpe_error *error)
{
	int ret;
	const struct xrnpe_model_tensor *t = find_values(request, false, i, count, &ret, error);

	if (!t)
		return ret;
	if (transfer_in(t, values, request_tensor_data(request, t)))
		return xrnpe_fail(error, -EINVAL, "%s: input %s takes bytes: integers from 0 to 255",
				  request_model(request)->name, t->info.name);
	note_set(request, t);
	return 0;
}

int xrnpe_request_set_bytes(struct xrnpe_request *request, unsigned int i, const uint8_t *bytes,
			    size_t count, struct xrnpe_error *error)
{
	int ret;
	const struct xrnpe_model_tensor *t = find_values(request, false, i, count, &ret, error);

	if (!t)
		return ret;
	if (t->format != XRNPE_FORMAT_U8)
		return xrnpe_fail(error, -EINVAL, "%s: input %s takes no bytes",
				  request_model(request)->name, t->info.name);
	memcpy(request_tensor_data(request, t), bytes, count);
	note_set(request, t);
	return 0;
}

int xrnpe_request_get_output(struct xrnpe_request *request, unsigned int i, float *values,
			     size_t count, struct xrnpe_error *error)
{
	int ret;
	const struct xrnpe_model_tensor *t = find_values(request, true, i, count, &ret, error);

	if (!t)
		return ret;
	if (request->state == REQUEST_IDLE)
		return xrnpe_fail(error, -EINVAL, "%s: the request was never submitted",
				  request_model(request)->name);
	ret = request->bound[region_of(request, t)] ?
	      request_tensor_sync(request, t, XRNPE_SYNC_FOR_CPU, error) : 0;
	if (ret)
		return ret;
	transfer_out(t, request_tensor_data(request, t), values);
	request->result.copied += count * sizeof(*values);
	return 0;
}

/* ---- buffers that are bound ------------------------------------------------ */

/* Whether nodes on the CPU read or write @t at a point. */
static bool is_cpus_at(const struct xrnpe_model *model, const struct xrnpe_model_tensor *t)
{
	for (uint32_t i = 0; i < model->binding_count; i++) {
		const struct xrnpe_model_tensor *bound = &model->tensors[model->bindings[i].tensor];

		if (bound->region == t->region && bound->offset < t->offset + xrnpe_model_tensor_bytes(t) &&
		    t->offset < bound->offset + xrnpe_model_tensor_bytes(bound))
			return true;
	}
	return false;
}

/* ... or at any. */
static bool is_cpus(const struct xrnpe_model *model, const struct xrnpe_model_tensor *t)
{
	for (unsigned int p = 0; p < xrnpe_model_point_count(model); p++) {
		if (is_cpus_at(xrnpe_model_point(model, p), t))
			return true;
	}
	return false;
}

static int check_buffer(const struct xrnpe_request *request, const struct xrnpe_model_tensor *t,
			const struct xrnpe_buffer *buffer, size_t offset, struct xrnpe_error *error)
{
	const char *name = request_model(request)->name;
	uint64_t size = request->job.regions[region_of(request, t)].size;

	if (!request->session->regions.divided)
		return xrnpe_fail(error, -ENOTSUP,
				  "%s: has too many inputs and outputs, or ones that overlap, to bind them",
				  name);
	if (buffer->device != request->session->device)
		return xrnpe_fail(error, -EINVAL, "%s: the buffer for %s is another device's", name,
				  t->info.name);
	if (offset % XRNPE_MEMORY_ALIGN || offset > buffer->size || size > buffer->size - offset)
		return xrnpe_fail(error, -EINVAL,
				  "%s: %s takes %" PRIu64 " bytes from a multiple of %d on, not from %zu on in a buffer of %zu",
				  name, t->info.name, size, XRNPE_MEMORY_ALIGN, offset, buffer->size);
	if (!buffer->data && is_cpus(request_model(request), t))
		return xrnpe_fail(error, -ENOTSUP,
				  "%s: the CPU needs %s, and its buffer cannot be mapped", name,
				  t->info.name);
	return 0;
}

static int bind(struct xrnpe_request *request, bool output, unsigned int i,
		struct xrnpe_buffer *buffer, size_t offset, struct xrnpe_error *error)
{
	int ret;
	const struct xrnpe_model_tensor *t = find(request, output, i, &ret, error);
	struct xrnpe_job_region *region;
	unsigned int r;

	if (!t)
		return ret;
	r = region_of(request, t);
	region = &request->job.regions[r];
	ret = buffer ? check_buffer(request, t, buffer, offset, error) : 0;
	if (ret)
		return ret;
	if (!buffer && !request->bound[r])
		return 0;
	if (buffer)
		xrnpe_buffer_ref(buffer);
	xrnpe_buffer_free(request->bound[r]);
	request->bound[r] = buffer;
	region->buffer = buffer ? buffer : request->memory;
	region->offset = buffer ? offset : request->own[r];
	request->set[r] = !buffer && !output;
	return 0;
}

int xrnpe_request_bind_input(struct xrnpe_request *request, unsigned int i,
			     struct xrnpe_buffer *buffer, size_t offset, struct xrnpe_error *error)
{
	return bind(request, false, i, buffer, offset, error);
}

int xrnpe_request_bind_output(struct xrnpe_request *request, unsigned int i,
			      struct xrnpe_buffer *buffer, size_t offset, struct xrnpe_error *error)
{
	return bind(request, true, i, buffer, offset, error);
}

// SPDX-License-Identifier: MIT
/* Sessions and requests: a compiled model on a device, and its inferences. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "error.h"
#include "model.h"

struct xrnpe_session {
	atomic_uint references;
	struct xrnpe_device *device;
	struct xrnpe_model *model;
	struct xrnpe_buffer *constants;
	struct xrnpe_buffer *cmds;
};

enum request_state {
	REQUEST_IDLE,		/* never submitted */
	REQUEST_SUBMITTED,
	REQUEST_ENDED,
};

struct xrnpe_request {
	struct xrnpe_session *session;
	struct xrnpe_buffer *memory;	/* arena, input and output */
	struct xrnpe_job job;
	enum request_state state;
	int code;			/* when ended: what wait returns, and why */
	struct xrnpe_error error;
};

/* A region of size 0 has no commands that use it, but a job may not have one. */
static uint64_t region_size(const struct xrnpe_model *model, enum xrnpe_model_region region)
{
	return model->region_size[region] ? model->region_size[region] : 1;
}

static uint64_t align(uint64_t size)
{
	return (size + XRNPE_BUFFER_ALIGN - 1) / XRNPE_BUFFER_ALIGN * XRNPE_BUFFER_ALIGN;
}

/* ---- sessions --------------------------------------------------------- */

static int check_limits(const struct xrnpe_device_info *info, const struct xrnpe_model *model,
			struct xrnpe_error *error)
{
	uint64_t sizes[] = {
		model->region_size[XRNPE_MODEL_CONSTANTS],
		model->cmd_count * (uint64_t)sizeof(struct xrnpe_cmd),
		align(model->region_size[XRNPE_MODEL_ARENA]) +
			align(model->region_size[XRNPE_MODEL_INPUT]) +
			align(model->region_size[XRNPE_MODEL_OUTPUT]),
	};

	if (model->cmd_count > info->max_cmds)
		return xrnpe_fail(error, -E2BIG, "%s: has %u commands; %s takes %u a job",
				  model->name, model->cmd_count, info->path, info->max_cmds);
	if (info->max_regions < XRNPE_MODEL_REGIONS)
		return xrnpe_fail(error, -E2BIG, "%s: needs %u regions; %s has %u", model->name,
				  XRNPE_MODEL_REGIONS, info->path, info->max_regions);
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		if (sizes[i] > info->max_buffer_size)
			return xrnpe_fail(error, -E2BIG,
					  "%s: needs a buffer of %" PRIu64 " bytes; %s allows %" PRIu64,
					  model->name, sizes[i], info->path,
					  info->max_buffer_size);
	return 0;
}

/* A buffer that holds a copy of @size bytes at @data, ready for the device. */
static int upload(struct xrnpe_device *device, const void *data, uint64_t size,
		  struct xrnpe_buffer **buffer, struct xrnpe_error *error)
{
	int ret = xrnpe_buffer_new(device, size ? size : 1, buffer, error);

	if (ret)
		return ret;
	memcpy((*buffer)->data, data, size);
	return xrnpe_buffer_sync(*buffer, XRNPE_SYNC_FOR_DEVICE, 0, size, error);
}

int xrnpe_session_new(struct xrnpe_device *device, struct xrnpe_model *model,
		      struct xrnpe_session **session, struct xrnpe_error *error)
{
	struct xrnpe_session *made;
	int ret;

	ret = check_limits(&device->info, model, error);
	if (ret)
		return ret;
	made = calloc(1, sizeof(*made));
	if (!made)
		return xrnpe_fail_memory(error);
	atomic_init(&made->references, 1);
	made->device = xrnpe_device_ref(device);
	made->model = xrnpe_model_ref(model);
	ret = upload(device, model->constants, model->region_size[XRNPE_MODEL_CONSTANTS],
		     &made->constants, error);
	if (!ret)
		ret = upload(device, model->cmds, model->cmd_count * sizeof(*model->cmds),
			     &made->cmds, error);
	if (ret) {
		xrnpe_session_free(made);
		return ret;
	}
	*session = made;
	return 0;
}

void xrnpe_session_free(struct xrnpe_session *session)
{
	if (!session || atomic_fetch_sub(&session->references, 1) > 1)
		return;
	xrnpe_buffer_free(session->cmds);
	xrnpe_buffer_free(session->constants);
	xrnpe_model_free(session->model);
	xrnpe_device_close(session->device);
	free(session);
}

/* ---- requests --------------------------------------------------------- */

int xrnpe_request_new(struct xrnpe_session *session, struct xrnpe_request **request,
		      struct xrnpe_error *error)
{
	const struct xrnpe_model *model = session->model;
	struct xrnpe_request *made = calloc(1, sizeof(*made));
	uint64_t used = 0;
	int ret;

	if (!made)
		return xrnpe_fail_memory(error);
	made->job.region_count = XRNPE_MODEL_REGIONS;
	made->job.cmds = session->cmds;
	made->job.cmd_count = model->cmd_count;
	for (unsigned int i = 0; i < XRNPE_MODEL_REGIONS; i++) {
		struct xrnpe_job_region *region = &made->job.regions[i];

		region->flags = xrnpe_model_region_flags[i];
		region->size = region_size(model, i);
		if (i == XRNPE_MODEL_CONSTANTS)
			continue;
		region->offset = used;
		used += align(region->size);
	}
	ret = xrnpe_buffer_new(session->device, used, &made->memory, error);
	if (ret) {
		free(made);
		return ret;
	}
	for (unsigned int i = 0; i < XRNPE_MODEL_REGIONS; i++)
		made->job.regions[i].buffer =
			i == XRNPE_MODEL_CONSTANTS ? session->constants : made->memory;
	atomic_fetch_add(&session->references, 1);
	made->session = session;
	*request = made;
	return 0;
}

void xrnpe_request_free(struct xrnpe_request *request)
{
	if (!request)
		return;
	if (request->state == REQUEST_SUBMITTED)
		xrnpe_request_wait(request, -1, NULL);
	xrnpe_buffer_free(request->memory);
	xrnpe_session_free(request->session);
	free(request);
}

static float *tensor_data(const struct xrnpe_request *request, const struct xrnpe_model_tensor *t)
{
	return (float *)((char *)request->memory->data + request->job.regions[t->region].offset +
			 t->offset);
}

/* Byte offset of channel 0 of pixel (@y, @x) in a tensor, in floats. */
static size_t pixel_index(const struct xrnpe_model_tensor *t, size_t y, size_t x)
{
	return (y * t->row_stride + x * t->pixel_stride) / sizeof(float);
}

/* The device keeps channels innermost, callers outermost. */
static void scatter(const struct xrnpe_model_tensor *t, float *to, const float *from)
{
	const size_t *dims = t->info.dims;

	for (size_t c = 0; c < dims[0]; c++)
		for (size_t y = 0; y < dims[1]; y++)
			for (size_t x = 0; x < dims[2]; x++)
				to[pixel_index(t, y, x) + c] = *from++;
}

static void gather(const struct xrnpe_model_tensor *t, float *to, const float *from)
{
	const size_t *dims = t->info.dims;

	for (size_t c = 0; c < dims[0]; c++)
		for (size_t y = 0; y < dims[1]; y++)
			for (size_t x = 0; x < dims[2]; x++)
				*to++ = from[pixel_index(t, y, x) + c];
}

static int check_transfer(const struct xrnpe_request *request, const char *kind, unsigned int i,
			  unsigned int number, const struct xrnpe_model_tensor *t, size_t count,
			  struct xrnpe_error *error)
{
	const char *name = request->session->model->name;

	if (request->state == REQUEST_SUBMITTED)
		return xrnpe_fail(error, -EBUSY, "%s: the request was submitted and not waited for",
				  name);
	if (i >= number)
		return xrnpe_fail(error, -EINVAL, "%s: has no %s %u", name, kind, i);
	if (count != t->info.count)
		return xrnpe_fail(error, -EINVAL, "%s: %s %s has %zu elements, not %zu", name, kind,
				  t->info.name, t->info.count, count);
	return 0;
}

int xrnpe_request_set_input(struct xrnpe_request *request, unsigned int i, const float *values,
			    size_t count, struct xrnpe_error *error)
{
	const struct xrnpe_model *model = request->session->model;
	const struct xrnpe_model_tensor *t = &model->tensors[i];
	int ret;

	ret = check_transfer(request, "input", i, model->input_count, t, count, error);
	if (!ret)
		scatter(t, tensor_data(request, t), values);
	return ret;
}

int xrnpe_request_get_output(struct xrnpe_request *request, unsigned int i, float *values,
			     size_t count, struct xrnpe_error *error)
{
	const struct xrnpe_model *model = request->session->model;
	const struct xrnpe_model_tensor *t = &model->tensors[model->input_count + i];
	int ret;

	ret = check_transfer(request, "output", i, model->output_count, t, count, error);
	if (!ret)
		gather(t, values, tensor_data(request, t));
	return ret;
}

static int sync_region(struct xrnpe_request *request, enum xrnpe_model_region region,
		       enum xrnpe_sync sync, struct xrnpe_error *error)
{
	return xrnpe_buffer_sync(request->memory, sync, request->job.regions[region].offset,
				 request->job.regions[region].size, error);
}

void xrnpe_request_count(struct xrnpe_request *request, bool count)
{
	request->job.count = count;
}

int xrnpe_request_submit(struct xrnpe_request *request, unsigned int queue,
			 struct xrnpe_error *error)
{
	struct xrnpe_device *device = request->session->device;
	int ret;

	if (request->state == REQUEST_SUBMITTED)
		return xrnpe_fail(error, -EBUSY, "%s: the request was submitted and not waited for",
				  request->session->model->name);
	if (queue >= device->info.queues)
		return xrnpe_fail(error, -EINVAL, "%s: has no queue %u, only 0..%u",
				  device->info.path, queue, device->info.queues - 1);
	ret = sync_region(request, XRNPE_MODEL_INPUT, XRNPE_SYNC_FOR_DEVICE, error);
	if (ret)
		return ret;
	request->job.queue = queue;
	ret = device->backend->submit(device, &request->job, error);
	if (!ret)
		request->state = REQUEST_SUBMITTED;
	return ret;
}

/* What an ended job means to the caller. */
static int judge(const struct xrnpe_request *request, struct xrnpe_error *error)
{
	const struct xrnpe_model *model = request->session->model;
	const struct xrnpe_device_info *info = &request->session->device->info;
	const struct xrnpe_job *job = &request->job;
	char text[320];

	switch (job->state) {
	case DRM_XRNPE_JOB_DONE:
		return 0;
	case DRM_XRNPE_JOB_FAULT:
		xrnpe_model_fault_text(model, &job->result.fault, text, sizeof(text));
		return xrnpe_fail(error, -EFAULT, "%s: %s", model->name, text);
	case DRM_XRNPE_JOB_TIMEOUT:
		xrnpe_model_fault_text(model, &job->result.fault, text, sizeof(text));
		return xrnpe_fail(error, -ETIMEDOUT, "%s: took longer than the %u ms that %s allows: %s",
				  model->name, info->job_timeout_ms, info->path, text);
	default:
		return xrnpe_fail(error, -ECANCELED,
				  "%s: the job was cancelled: %s was reset or is gone", model->name,
				  info->path);
	}
}

int xrnpe_request_wait(struct xrnpe_request *request, int64_t timeout_ns, struct xrnpe_error *error)
{
	struct xrnpe_device *device = request->session->device;
	int ret;

	if (request->state == REQUEST_IDLE)
		return xrnpe_fail(error, -EINVAL, "%s: the request was never submitted",
				  request->session->model->name);
	if (request->state == REQUEST_SUBMITTED) {
		ret = device->backend->wait(device, &request->job, timeout_ns, &request->error);
		if (ret == -ETIME)
			return xrnpe_fail(error, ret, "%s: has not ended yet",
					  request->session->model->name);
		if (!ret)
			ret = judge(request, &request->error);
		if (!ret)
			ret = sync_region(request, XRNPE_MODEL_OUTPUT, XRNPE_SYNC_FOR_CPU,
					  &request->error);
		request->code = ret;
		request->state = REQUEST_ENDED;
	}
	if (request->code && error)
		*error = request->error;
	return request->code;
}

const struct xrnpe_result *xrnpe_request_result(const struct xrnpe_request *request)
{
	return &request->job.result;
}

/* ---- batches ---------------------------------------------------------- */

struct batch {
	struct xrnpe_session *session;
	size_t count, submitted, done;
	size_t input_size, output_size;	/* floats an element */
	const float *inputs;
	float *outputs;
	unsigned int depth;
	struct xrnpe_request **requests;	/* element i uses the i % depth-th */
	uint32_t status;
};

static int submit_next(struct batch *batch, struct xrnpe_error *error)
{
	struct xrnpe_request *request = batch->requests[batch->submitted % batch->depth];
	int ret;

	ret = xrnpe_request_set_input(request, 0,
				      batch->inputs + batch->submitted * batch->input_size,
				      batch->input_size, error);
	if (!ret)
		ret = xrnpe_request_submit(request, 0, error);
	if (!ret)
		batch->submitted++;
	return ret;
}

static int finish_next(struct batch *batch, struct xrnpe_error *error)
{
	struct xrnpe_request *request = batch->requests[batch->done % batch->depth];
	struct xrnpe_error why;
	int ret;

	ret = xrnpe_request_wait(request, -1, &why);
	if (!ret)
		ret = xrnpe_request_get_output(request, 0,
					       batch->outputs + batch->done * batch->output_size,
					       batch->output_size, &why);
	if (ret)
		return xrnpe_fail(error, ret, "%s (element %zu)", why.message, batch->done);
	batch->status |= request->job.result.status;
	batch->done++;
	return 0;
}

static int run_batch(struct batch *batch, xrnpe_progress progress, void *data,
		     struct xrnpe_error *error)
{
	int ret = 0;

	while (!ret && batch->done < batch->count) {
		if (batch->submitted < batch->count &&
		    batch->submitted - batch->done < batch->depth) {
			ret = submit_next(batch, error);
			continue;
		}
		ret = finish_next(batch, error);
		if (!ret && progress && progress(data, batch->done, batch->count))
			ret = xrnpe_fail(error, -ECANCELED, "%s: stopped after %zu of %zu elements",
					 batch->session->model->name, batch->done, batch->count);
	}
	return ret;
}

int xrnpe_session_run(struct xrnpe_session *session, size_t count, const float *inputs,
		      float *outputs, xrnpe_progress progress, void *data, uint32_t *status,
		      struct xrnpe_error *error)
{
	const struct xrnpe_model *model = session->model;
	struct batch batch = {
		.session = session, .count = count, .inputs = inputs, .outputs = outputs,
		.depth = session->device->depth,
	};
	int ret = 0;

	if (model->input_count != 1 || model->output_count != 1)
		return xrnpe_fail(error, -EINVAL, "%s: has %u inputs and %u outputs, not one of each",
				  model->name, model->input_count, model->output_count);
	batch.input_size = model->tensors[0].info.count;
	batch.output_size = model->tensors[1].info.count;
	if (batch.depth > count)
		batch.depth = count ? (unsigned int)count : 1;
	batch.requests = calloc(batch.depth, sizeof(*batch.requests));
	if (!batch.requests)
		return xrnpe_fail_memory(error);
	for (unsigned int i = 0; !ret && i < batch.depth; i++)
		ret = xrnpe_request_new(session, &batch.requests[i], error);
	if (!ret)
		ret = run_batch(&batch, progress, data, error);
	/* Freeing waits for what is still in flight. */
	for (unsigned int i = 0; i < batch.depth; i++)
		xrnpe_request_free(batch.requests[i]);
	free(batch.requests);
	if (status)
		*status = batch.status;
	return ret;
}

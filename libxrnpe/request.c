// SPDX-License-Identifier: MIT
/*
 * Requests: one inference. Its steps follow each other: while a job is on the device the
 * request is in flight; nodes on the CPU run in the thread that submits or waits.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "error.h"
#include "graph.h"
#include "session.h"
#include "transfer.h"

enum request_state {
	REQUEST_IDLE,		/* never submitted */
	REQUEST_SUBMITTED,
	REQUEST_ENDED,
};

struct xrnpe_request {
	struct xrnpe_session *session;
	struct xrnpe_buffer *memory;	/* arena, input and output */
	struct reference *cpu;		/* tensors of the CPU's nodes; NULL: there are none */
	float *values;			/* room for any tensor that is copied to or from these */
	struct xrnpe_job job;		/* of the step in flight */
	uint32_t step;			/* that one, or the number of steps */
	struct xrnpe_result result;	/* of all jobs so far */
	enum request_state state;
	int code;			/* when ended: what wait returns, and why */
	struct xrnpe_error error;
};

/* ---- making and freeing ------------------------------------------------ */

/* A region of size 0 has no commands that use it, but a job may not have one. */
static uint64_t region_size(const struct xrnpe_model *model, enum xrnpe_model_region region)
{
	return model->region_size[region] ? model->region_size[region] : 1;
}

/* What the nodes on the CPU need. */
static int make_cpu(struct xrnpe_request *request, struct xrnpe_error *error)
{
	const struct xrnpe_model *model = request->session->model;
	size_t largest = 1;

	if (!model->cpu)
		return 0;
	for (uint32_t i = 0; i < model->binding_count; i++) {
		size_t count = model->tensors[model->bindings[i].tensor].info.count;

		largest = count > largest ? count : largest;
	}
	request->cpu = reference_new(model->cpu);
	request->values = malloc(largest * sizeof(*request->values));
	return request->cpu && request->values ? 0 : xrnpe_fail_memory(error);
}

int xrnpe_request_new(struct xrnpe_session *session, struct xrnpe_request **request,
		      struct xrnpe_error *error)
{
	const struct xrnpe_model *model = session->model;
	struct xrnpe_request *made = calloc(1, sizeof(*made));
	uint64_t used = 0;
	int ret;

	if (!made)
		return xrnpe_fail_memory(error);
	atomic_fetch_add(&session->references, 1);
	made->session = session;
	made->job.region_count = XRNPE_MODEL_REGIONS;
	for (unsigned int i = 0; i < XRNPE_MODEL_REGIONS; i++) {
		struct xrnpe_job_region *region = &made->job.regions[i];

		region->flags = xrnpe_model_region_flags[i];
		region->size = region_size(model, i);
		if (i == XRNPE_MODEL_CONSTANTS)
			continue;
		region->offset = used;
		used += session_align(region->size);
	}
	ret = xrnpe_buffer_new(session->device, used, &made->memory, error);
	if (!ret)
		ret = make_cpu(made, error);
	if (ret) {
		xrnpe_request_free(made);
		return ret;
	}
	for (unsigned int i = 0; i < XRNPE_MODEL_REGIONS; i++)
		made->job.regions[i].buffer =
			i == XRNPE_MODEL_CONSTANTS ? session->constants : made->memory;
	*request = made;
	return 0;
}

void xrnpe_request_free(struct xrnpe_request *request)
{
	if (!request)
		return;
	if (request->state == REQUEST_SUBMITTED)
		xrnpe_request_wait(request, -1, NULL);
	reference_free(request->cpu);
	free(request->values);
	xrnpe_buffer_free(request->memory);
	xrnpe_session_free(request->session);
	free(request);
}

/* ---- inputs and outputs ------------------------------------------------- */

static uint64_t tensor_offset(const struct xrnpe_request *request,
			      const struct xrnpe_model_tensor *t)
{
	return request->job.regions[t->region].offset + t->offset;
}

static void *tensor_data(const struct xrnpe_request *request, const struct xrnpe_model_tensor *t)
{
	return (char *)request->memory->data + tensor_offset(request, t);
}

static int sync_tensor(struct xrnpe_request *request, const struct xrnpe_model_tensor *t,
		       enum xrnpe_sync sync, struct xrnpe_error *error)
{
	return xrnpe_buffer_sync(request->memory, sync, tensor_offset(request, t),
				 xrnpe_model_tensor_bytes(t), error);
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
		transfer_in(t, values, tensor_data(request, t));
	return ret;
}

int xrnpe_request_get_output(struct xrnpe_request *request, unsigned int i, float *values,
			     size_t count, struct xrnpe_error *error)
{
	const struct xrnpe_model *model = request->session->model;
	const struct xrnpe_model_tensor *t = &model->tensors[model->input_count + i];
	int ret;

	ret = check_transfer(request, "output", i, model->output_count, t, count, error);
	if (!ret && request->state == REQUEST_IDLE)
		ret = xrnpe_fail(error, -EINVAL, "%s: the request was never submitted", model->name);
	if (!ret)
		transfer_out(t, tensor_data(request, t), values);
	return ret;
}

void xrnpe_request_count(struct xrnpe_request *request, bool count)
{
	request->job.count = count;
}

/* ---- steps -------------------------------------------------------------- */

/* What the device or the caller wrote becomes tensors of the CPU's. */
static int gather(struct xrnpe_request *request, const struct xrnpe_model_step *step,
		  struct xrnpe_error *error)
{
	const struct xrnpe_model *model = request->session->model;
	char text[64];
	int ret = 0;

	for (uint32_t i = 0; !ret && i < step->gather_count; i++) {
		const struct xrnpe_model_binding *b = &model->bindings[step->gather_first + i];
		const struct xrnpe_model_tensor *t = &model->tensors[b->tensor];

		if (t->region != XRNPE_MODEL_INPUT)
			ret = sync_tensor(request, t, XRNPE_SYNC_FOR_CPU, error);
		if (ret)
			break;
		transfer_out(t, tensor_data(request, t), request->values);
		if (reference_set(request->cpu, b->cpu, request->values))
			ret = xrnpe_fail(error, -EINVAL, "%s: %s: takes integers or truths", model->name,
					 graph_printable(t->info.name, text));
	}
	return ret;
}

static int scatter(struct xrnpe_request *request, const struct xrnpe_model_step *step,
		   struct xrnpe_error *error)
{
	const struct xrnpe_model *model = request->session->model;
	int ret = 0;

	for (uint32_t i = 0; !ret && i < step->scatter_count; i++) {
		const struct xrnpe_model_binding *b = &model->bindings[step->scatter_first + i];
		const struct xrnpe_model_tensor *t = &model->tensors[b->tensor];

		reference_get(request->cpu, b->cpu, request->values);
		transfer_in(t, request->values, tensor_data(request, t));
		ret = sync_tensor(request, t, XRNPE_SYNC_FOR_DEVICE, error);
	}
	return ret;
}

static int run_cpu(struct xrnpe_request *request, const struct xrnpe_model_step *step,
		   struct xrnpe_error *error)
{
	int ret = gather(request, step, error);

	for (uint32_t i = 0; !ret && i < step->count; i++)
		reference_node(request->cpu, step->first + i);
	return ret ? ret : scatter(request, step, error);
}

/* From step request->step on: up to a job, which is submitted, or the end. */
static int advance(struct xrnpe_request *request, struct xrnpe_error *error)
{
	const struct xrnpe_model *model = request->session->model;
	struct xrnpe_device *device = request->session->device;
	int ret = 0;

	for (; !ret && request->step < model->step_count; request->step++) {
		const struct xrnpe_model_step *step = &model->steps[request->step];

		if (step->kind == XRNPE_MODEL_JOB) {
			request->job.cmds = request->session->cmds[request->step];
			request->job.cmd_count = step->count;
			return device->backend->submit(device, &request->job, error);
		}
		ret = run_cpu(request, step, error);
	}
	return ret;
}

int xrnpe_request_submit(struct xrnpe_request *request, unsigned int queue,
			 struct xrnpe_error *error)
{
	const struct xrnpe_model *model = request->session->model;
	struct xrnpe_device *device = request->session->device;
	int ret;

	if (request->state == REQUEST_SUBMITTED)
		return xrnpe_fail(error, -EBUSY, "%s: the request was submitted and not waited for",
				  model->name);
	if (queue >= device->info.queues)
		return xrnpe_fail(error, -EINVAL, "%s: has no queue %u, only 0..%u",
				  device->info.path, queue, device->info.queues - 1);
	ret = xrnpe_buffer_sync(request->memory, XRNPE_SYNC_FOR_DEVICE,
				request->job.regions[XRNPE_MODEL_INPUT].offset,
				request->job.regions[XRNPE_MODEL_INPUT].size, error);
	if (ret)
		return ret;
	request->job.queue = queue;
	request->result = (struct xrnpe_result){ 0 };
	request->step = 0;
	ret = advance(request, error);
	if (!ret)
		request->state = REQUEST_SUBMITTED;
	return ret;
}

/* ---- the end ------------------------------------------------------------ */

/* The fault's command counts from the job's first: in messages and results, from the model's. */
static void number_fault(struct xrnpe_request *request)
{
	const struct xrnpe_model_step *step = &request->session->model->steps[request->step];

	if (request->job.result.fault.kind != XRNPE_FAULT_NONE)
		request->job.result.fault.cmd += step->first;
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

static void add_counters(struct xrnpe_counters *sum, const struct xrnpe_counters *more)
{
	/* All of it is 64-bit counts. */
	__u64 *to = (__u64 *)sum;
	const __u64 *from = (const __u64 *)more;

	for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
		to[i] += from[i];
}

/* What the job that has ended adds to the request's result. */
static void collect(struct xrnpe_request *request)
{
	number_fault(request);
	request->result.status |= request->job.result.status;
	request->result.fault = request->job.result.fault;
	add_counters(&request->result.counters, &request->job.result.counters);
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Wait for the jobs that are left, and run what lies between. -ETIME: it goes on. */
static int finish(struct xrnpe_request *request, int64_t timeout_ns)
{
	const struct xrnpe_model *model = request->session->model;
	struct xrnpe_device *device = request->session->device;
	int64_t start = now_ns();
	int ret = 0;

	while (!ret && request->step < model->step_count) {
		int64_t left = timeout_ns;

		if (timeout_ns > 0) {
			left -= now_ns() - start;
			left = left < 0 ? 0 : left;
		}
		ret = device->backend->wait(device, &request->job, left, &request->error);
		if (ret)
			break;
		collect(request);
		ret = judge(request, &request->error);
		request->step++;
		if (!ret)
			ret = advance(request, &request->error);
	}
	if (!ret)
		ret = xrnpe_buffer_sync(request->memory, XRNPE_SYNC_FOR_CPU,
					request->job.regions[XRNPE_MODEL_OUTPUT].offset,
					request->job.regions[XRNPE_MODEL_OUTPUT].size,
					&request->error);
	return ret;
}

int xrnpe_request_wait(struct xrnpe_request *request, int64_t timeout_ns, struct xrnpe_error *error)
{
	const char *name = request->session->model->name;

	if (request->state == REQUEST_IDLE)
		return xrnpe_fail(error, -EINVAL, "%s: the request was never submitted", name);
	if (request->state == REQUEST_SUBMITTED) {
		int ret = finish(request, timeout_ns);

		if (ret == -ETIME)
			return xrnpe_fail(error, ret, "%s: has not ended yet", name);
		request->code = ret;
		request->state = REQUEST_ENDED;
	}
	if (request->code && error)
		*error = request->error;
	return request->code;
}

const struct xrnpe_result *xrnpe_request_result(const struct xrnpe_request *request)
{
	return &request->result;
}

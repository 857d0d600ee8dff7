// SPDX-License-Identifier: MIT
/*
 * What a request does: steps, one after the other. The device's are its job's parts; those on
 * the CPU run between these, in the thread that learns that a part has ended.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "cost.h"
#include "error.h"
#include "request.h"
#include "transfer.h"

/* ---- nodes on the CPU ---------------------------------------------------- */

/* What the device or the caller wrote becomes tensors of the CPU's. */
static int gather(struct xrnpe_request *request, const struct xrnpe_model_step *step,
		  struct xrnpe_error *error)
{
	const struct xrnpe_model *model = request_model(request);
	char text[64];
	int ret = 0;

	for (uint32_t i = 0; !ret && i < step->gather_count; i++) {
		const struct xrnpe_model_binding *b = &model->bindings[step->gather_first + i];
		const struct xrnpe_model_tensor *t = &model->tensors[b->tensor];

		ret = request_tensor_sync(request, t, XRNPE_SYNC_FOR_CPU, error);
		if (ret)
			break;
		transfer_out(t, request_tensor_data(request, t), request->values);
		request->result.copied += t->info.count * sizeof(float);
		if (reference_set(request->cpu, b->cpu, request->values))
			ret = xrnpe_fail(error, -EINVAL, "%s: %s: takes integers or truths", model->name,
					 graph_printable(t->info.name, text));
	}
	return ret;
}

static int scatter(struct xrnpe_request *request, const struct xrnpe_model_step *step,
		   struct xrnpe_error *error)
{
	const struct xrnpe_model *model = request_model(request);
	int ret = 0;

	for (uint32_t i = 0; !ret && i < step->scatter_count; i++) {
		const struct xrnpe_model_binding *b = &model->bindings[step->scatter_first + i];
		const struct xrnpe_model_tensor *t = &model->tensors[b->tensor];

		reference_get(request->cpu, b->cpu, request->values);
		transfer_in(t, request->values, request_tensor_data(request, t));
		request->result.copied += t->info.count * sizeof(float);
		ret = request_tensor_sync(request, t, XRNPE_SYNC_FOR_DEVICE, error);
	}
	return ret;
}

static int run_cpu(struct xrnpe_request *request, const struct xrnpe_model_step *step,
		   struct xrnpe_error *error)
{
	int64_t begin = clock_now();
	int ret = gather(request, step, error);

	for (uint32_t i = 0; !ret && i < step->count && !xrnpe_job_stops(&request->job); i++) {
		int64_t start = request->profile ? clock_now() : 0;

		reference_node(request->cpu, step->first + i);
		if (request->profile)
			request_profile_node(request, step->first + i, clock_now() - start);
		request_keep_node(request, step->first + i);
	}
	/* Of a request that is given up, not all is computed that would be copied. */
	if (!ret && !xrnpe_job_stops(&request->job))
		ret = scatter(request, step, error);
	request->result.cpu_seconds += (double)(clock_now() - begin) * 1e-9;
	return ret;
}

/* ---- the device's part ended --------------------------------------------- */

/* The fault is one of the job's commands and regions: in messages and results, of the model's. */
static void place_fault(struct xrnpe_request *request)
{
	const struct xrnpe_model_step *step = &request_model(request)->steps[request->step];
	struct xrnpe_fault *fault = &request->job.result.fault;

	if (fault->kind == XRNPE_FAULT_NONE)
		return;
	fault->cmd += step->first + request->part;
	session_move_fault(&request->session->regions, fault);
}

static int say_cancelled(const struct xrnpe_model *model, const struct xrnpe_device_info *info,
			 enum drm_xrnpe_cancel_reason reason, struct xrnpe_error *error)
{
	switch (reason) {
	case DRM_XRNPE_CANCEL_BANNED:
		return xrnpe_fail(error, -EIO, "%s: too many requests in a row have failed on %s; open it again",
				  model->name, info->path);
	case DRM_XRNPE_CANCEL_LOST:
		return xrnpe_fail(error, -ENODEV, "%s: %s is gone, or has failed for good", model->name,
				  info->path);
	case DRM_XRNPE_CANCEL_STARVED:
		return xrnpe_fail(error, -ETIMEDOUT, "%s: more urgent work has kept %s from it for too long",
				  model->name, info->path);
	case DRM_XRNPE_CANCEL_RESET:
		return xrnpe_fail(error, -ECANCELED,
				  "%s: %s was reset for another program's sake; submit the request again",
				  model->name, info->path);
	case DRM_XRNPE_CANCEL_IN_FENCE:
		return xrnpe_fail(error, -ECANCELED, "%s: a buffer's last user has failed", model->name);
	default:
		return xrnpe_fail(error, -ECANCELED, "%s: %s has cancelled the request", model->name,
				  info->path);
	}
}

/* What the end of the device's part means to the caller. */
static int judge(const struct xrnpe_request *request, struct xrnpe_error *error)
{
	const struct xrnpe_model *model = request_model(request);
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
		/* After a reset nobody knows where it was. */
		if (job->result.fault.kind == XRNPE_FAULT_NONE)
			return xrnpe_fail(error, -ETIMEDOUT,
					  "%s: took longer than the %u ms that %s allows, which had to be reset",
					  model->name, info->job_timeout_ms, info->path);
		xrnpe_model_fault_text(model, &job->result.fault, text, sizeof(text));
		return xrnpe_fail(error, -ETIMEDOUT, "%s: took longer than the %u ms that %s allows: %s",
				  model->name, info->job_timeout_ms, info->path, text);
	default:
		return say_cancelled(model, info, job->reason, error);
	}
}

/* What the job that has ended adds to the request's result. */
static void collect(struct xrnpe_request *request)
{
	place_fault(request);
	request->result.status |= request->job.result.status;
	request->result.fault = request->job.result.fault;
	if (request->measures)
		request->device_seconds += (double)request->job.executed * 1e-9;
	if (request->count)
		xrnpe_counters_add(&request->result.counters, &request->job.result.counters);
	if (request->profile)
		request_profile_part(request);
}

/* ---- all of it ----------------------------------------------------------- */

/* Commands of the step that the request is at, or its nodes. */
static uint32_t step_count(const struct xrnpe_request *request)
{
	return request_model(request)->steps[request->step].count * request->used_lanes;
}

/* Let the job's next part be that which the request is at: a step, or some layers of it. */
static void set_part(struct xrnpe_request *request)
{
	request->job.cmds = request->lanes > 1 ? request->point->lanes : request->point->cmds[request->step];
	if (!request->job.cmds)
		return;
	request->job.cmd_first = request->part;
	request->job.cmd_count = request_keep_commands(request, request->profile ?
		request_layer_commands(request) : step_count(request) - request->part);
}

/* @count more commands of the step are done, or all of its nodes. */
static int move_on(struct xrnpe_request *request, uint32_t count, struct xrnpe_error *error)
{
	request->part += count;
	if (request->part == step_count(request)) {
		request->part = 0;
		request->step++;
	}
	return request_keep_written(request, error);
}

int request_begin(struct xrnpe_request *request, struct xrnpe_error *error)
{
	const unsigned int point = session_begin(request->session, &request->measures);

	request->point = &request->session->points[point];
	request->result = (struct xrnpe_result){ .copied = request->copied, .point = point };
	request->copied = 0;
	request->device_seconds = 0;
	request->step = request->part = 0;
	if (request->profile)
		memset(request->profile, 0, request_model(request)->layer_count * sizeof(*request->profile));
	request->job.stop = XRNPE_STOP_NOT;
	request->job.code = 0;
	request_keep_begin(request);
	set_part(request);
	return request_sync_inputs(request, error);
}

static int say_stopped(const struct xrnpe_request *request, struct xrnpe_error *error)
{
	const char *name = request_model(request)->name;

	return request->job.stop == XRNPE_STOP_LATE ?
	       xrnpe_fail(error, -ECANCELED, "%s: the request's deadline has passed", name) :
	       xrnpe_fail(error, -ECANCELED, "%s: the request was cancelled", name);
}

bool request_advance(struct xrnpe_job *job)
{
	struct xrnpe_request *request =
		(struct xrnpe_request *)((char *)job - offsetof(struct xrnpe_request, job));
	const struct xrnpe_model *model = request_model(request);
	int ret = 0;

	/* Only now: what an input is bound to may not have been there when it was submitted. */
	if (!request->step && !request->part && job->stop == XRNPE_STOP_NOT)
		ret = request_keep_written(request, &job->error);
	if (job->cmds) {
		int failed = 0;

		collect(request);
		/* What fails on the device is told before what fails here. */
		if (job->stop == XRNPE_STOP_NOT)
			failed = judge(request, &job->error);
		ret = failed ? failed : ret;
		if (!ret && job->stop == XRNPE_STOP_NOT)
			ret = move_on(request, job->cmd_count, &job->error);
	}
	while (!ret && !xrnpe_job_stops(job) && request->step < model->step_count) {
		const struct xrnpe_model_step *step = &model->steps[request->step];

		if (step->kind == XRNPE_MODEL_JOB) {
			set_part(request);
			return true;
		}
		ret = run_cpu(request, step, &job->error);
		if (!ret && !xrnpe_job_stops(job))
			ret = move_on(request, step->count, &job->error);
	}
	if (!ret && job->stop != XRNPE_STOP_NOT)
		ret = say_stopped(request, &job->error);
	job->code = ret ? ret : request_sync_outputs(request, &job->error);
	if (!job->code && request->measures)
		session_observe(request->session, request->result.point,
				request->device_seconds / request->used_lanes, request->result.cpu_seconds);
	return false;
}

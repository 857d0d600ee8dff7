// SPDX-License-Identifier: MIT
/* Requests: one inference, its memory, and its life from submission to end. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "error.h"
#include "request.h"

/* ---- making and freeing ------------------------------------------------ */

/* Elements of the largest tensor that is copied to or from the CPU's. */
static size_t largest_binding(const struct xrnpe_model *model)
{
	size_t largest = 0;

	for (uint32_t i = 0; i < model->binding_count; i++) {
		size_t count = model->tensors[model->bindings[i].tensor].info.count;

		largest = count > largest ? count : largest;
	}
	return largest;
}

/* What the nodes on the CPU need. */
static int make_cpu(struct xrnpe_request *request, struct xrnpe_error *error)
{
	const struct xrnpe_model *model = request_model(request);
	size_t largest = 1;

	if (!model->cpu)
		return 0;
	for (unsigned int p = 0; p < xrnpe_model_point_count(model); p++) {
		size_t count = largest_binding(xrnpe_model_point(model, p));

		largest = count > largest ? count : largest;
	}
	request->cpu = reference_new(model->cpu);
	request->values = malloc(largest * sizeof(*request->values));
	return request->cpu && request->values ? 0 : xrnpe_fail_memory(error);
}

int request_new(struct xrnpe_session *session, uint32_t lanes, struct xrnpe_request **request,
		struct xrnpe_error *error)
{
	const struct session_regions *regions = &session->regions;
	struct xrnpe_request *made;
	uint64_t used = 0;
	int ret = lanes > 1 ? session_make_lanes(session, error) : 0;

	if (ret)
		return ret;
	made = calloc(1, sizeof(*made));
	if (!made)
		return xrnpe_fail_memory(error);
	made->lanes = lanes;
	made->used_lanes = 1;
	atomic_fetch_add(&session->references, 1);
	made->session = session;
	made->point = &session->points[xrnpe_session_point(session)];
	made->job.region_count = regions->count;
	made->job.queue = session->queue;
	made->job.advance = request_advance;
	made->job.fd = -1;
	for (unsigned int i = 0; i < regions->count; i++) {
		struct xrnpe_job_region *region = &made->job.regions[i];

		region->flags = xrnpe_model_region_flags[regions->region[i].of];
		region->size = regions->region[i].size + (lanes - 1) * session_lane_bytes(regions, i);
		if (regions->region[i].of == XRNPE_MODEL_CONSTANTS)
			continue;
		region->offset = made->own[i] = used;
		made->set[i] = regions->region[i].of == XRNPE_MODEL_INPUT;
		used += session_align(region->size);
	}
	ret = xrnpe_buffer_new(session->device, used, &made->memory, error);
	if (!ret)
		ret = make_cpu(made, error);
	if (ret) {
		xrnpe_request_free(made);
		return ret;
	}
	for (unsigned int i = 0; i < regions->count; i++)
		made->job.regions[i].buffer = regions->region[i].of == XRNPE_MODEL_CONSTANTS ?
					      session->constants : made->memory;
	*request = made;
	return 0;
}

int xrnpe_request_new(struct xrnpe_session *session, struct xrnpe_request **request,
		      struct xrnpe_error *error)
{
	return request_new(session, 1, request, error);
}

void request_dispose(struct xrnpe_request *request)
{
	request->session->device->backend->forget(request->session->device, &request->job);
	if (request->job.fd >= 0)
		close(request->job.fd);
	reference_free(request->cpu);
	free(request->values);
	free(request->profile);
	free(request->cpu_layer);
	request_keep_free(request);
	for (unsigned int i = 0; i < request->job.region_count; i++)
		xrnpe_buffer_free(request->bound[i]);
	xrnpe_buffer_free(request->memory);
	free(request);
}

void xrnpe_request_free(struct xrnpe_request *request)
{
	struct xrnpe_session *session;

	if (!request)
		return;
	if (request->state == REQUEST_SUBMITTED)
		xrnpe_request_wait(request, -1, NULL);
	session = request->session;
	request_dispose(request);
	xrnpe_session_free(session);
}

int request_check_idle(const struct xrnpe_request *request, struct xrnpe_error *error)
{
	return request->state != REQUEST_SUBMITTED ? 0 :
	       xrnpe_fail(error, -EBUSY, "%s: the request was submitted and not waited for",
			  request_model(request)->name);
}

/* ---- what is set before ---------------------------------------------------- */

void xrnpe_request_count(struct xrnpe_request *request, bool count)
{
	request->count = count;
}

int xrnpe_request_set_callback(struct xrnpe_request *request, xrnpe_ended ended, void *data,
			       struct xrnpe_error *error)
{
	int ret = request_check_idle(request, error);

	if (ret)
		return ret;
	request->job.ended = ended;
	request->job.ended_data = data;
	return 0;
}

void xrnpe_request_set_deadline(struct xrnpe_request *request, int64_t timeout_ns)
{
	request->allowed = timeout_ns;
}

/* ---- submission ---------------------------------------------------------- */

/* Nobody has to wait for a job to end that is one part of the device's. */
static bool goes_on(const struct xrnpe_request *request)
{
	const struct xrnpe_model *model = request_model(request);

	return model->step_count > 1 || model->steps[0].kind != XRNPE_MODEL_JOB ||
	       request->job.ended || request->allowed || request->profile || request->kept;
}

int request_submit(struct xrnpe_request *request, enum xrnpe_awaited awaited, struct xrnpe_error *error)
{
	struct xrnpe_device *device = request->session->device;
	struct xrnpe_job *job = &request->job;
	eventfd_t ended;
	int ret = request_check_idle(request, error);

	if (!ret)
		ret = request_begin(request, error);
	if (ret)
		return ret;
	job->goes_on = goes_on(request);
	job->awaited = awaited;
	job->count = request->count || request->profile || request->measures;
	job->deadline = request->allowed ? clock_end(request->allowed) : INT64_MAX;
	__atomic_store_n(&job->cancelled, false, __ATOMIC_RELAXED);
	if (job->fd >= 0)
		eventfd_read(job->fd, &ended);
	ret = device->backend->submit(device, job, error);
	if (!ret)
		request->state = REQUEST_SUBMITTED;
	return ret;
}

int xrnpe_request_submit(struct xrnpe_request *request, struct xrnpe_error *error)
{
	return request_submit(request, XRNPE_AWAITED_NOT, error);
}

int xrnpe_request_run(struct xrnpe_request *request, struct xrnpe_error *error)
{
	int ret = request_submit(request, XRNPE_AWAITED, error);

	return ret ? ret : xrnpe_request_wait(request, -1, error);
}

void xrnpe_request_cancel(struct xrnpe_request *request)
{
	struct xrnpe_device *device = request->session->device;

	__atomic_store_n(&request->job.cancelled, true, __ATOMIC_RELAXED);
	device->backend->cancel(device, &request->job);
}

/* ---- the end ------------------------------------------------------------- */

int xrnpe_request_fd(struct xrnpe_request *request, int *fd, struct xrnpe_error *error)
{
	struct xrnpe_device *device = request->session->device;
	int made, ret = 0;

	if (request->job.fd < 0) {
		made = eventfd(request->state == REQUEST_ENDED, EFD_CLOEXEC | EFD_NONBLOCK);
		if (made < 0)
			return xrnpe_fail_errno(error, request_model(request)->name,
						"make an eventfd");
		if (request->state == REQUEST_SUBMITTED)
			ret = device->backend->watch(device, &request->job, made, error);
		else
			request->job.fd = made;
		if (ret) {
			close(made);
			return ret;
		}
	}
	*fd = request->job.fd;
	return 0;
}

int xrnpe_request_wait(struct xrnpe_request *request, int64_t timeout_ns, struct xrnpe_error *error)
{
	struct xrnpe_device *device = request->session->device;
	const char *name = request_model(request)->name;

	if (request->state == REQUEST_IDLE)
		return xrnpe_fail(error, -EINVAL, "%s: the request was never submitted", name);
	if (request->state == REQUEST_SUBMITTED) {
		if (device->backend->wait(device, &request->job, timeout_ns))
			return xrnpe_fail(error, -ETIME, "%s: has not ended yet", name);
		request->state = REQUEST_ENDED;
	}
	if (request->job.code && error)
		*error = request->job.error;
	return request->job.code;
}

/* Until @end. Signals do not end it. */
static int poll_all(struct pollfd *fds, size_t count, int64_t end)
{
	int ret;

	do {
		int64_t left = end == INT64_MAX ? 0 : end - clock_now();
		struct timespec timeout = { left / CLOCK_SECOND, left % CLOCK_SECOND };

		if (left < 0)
			timeout = (struct timespec){ 0 };
		ret = ppoll(fds, count, end == INT64_MAX ? NULL : &timeout, NULL);
	} while (ret < 0 && errno == EINTR);
	return ret;
}

int xrnpe_request_wait_any(struct xrnpe_request *const *requests, size_t count, int64_t timeout_ns,
			   size_t *index, struct xrnpe_error *error)
{
	struct pollfd *fds = calloc(count + 1, sizeof(*fds));
	size_t submitted = 0, i = 0;
	int ret = fds ? 0 : xrnpe_fail_memory(error);

	for (; !ret && i < count; i++) {
		/* What is left out has a negative descriptor, which is not looked at. */
		fds[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
		if (requests[i]->state != REQUEST_SUBMITTED)
			continue;
		submitted++;
		ret = xrnpe_request_fd(requests[i], &fds[i].fd, error);
	}
	if (!ret && !submitted)
		ret = xrnpe_fail(error, -EINVAL, "none of %zu requests is submitted", count);
	if (!ret) {
		ret = poll_all(fds, count, clock_end(timeout_ns));
		if (ret < 0)
			ret = xrnpe_fail_errno(error, "requests", "wait for any");
		else
			ret = ret ? 0 : xrnpe_fail(error, -ETIME, "none of %zu requests has ended yet",
						   submitted);
	}
	for (i = 0; !ret && !fds[i].revents; i++)
		;
	*index = i;
	free(fds);
	return ret;
}

const struct xrnpe_result *xrnpe_request_result(const struct xrnpe_request *request)
{
	return &request->result;
}

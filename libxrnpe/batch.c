// SPDX-License-Identifier: MIT
/*
 * Batches. A request is one element, or where a job costs more than what it computes, several of
 * them: a group, whose job has the model's commands once for each, with inputs and outputs of its
 * own.
 */
#include <errno.h>
#include <stdlib.h>

#include "error.h"
#include "request.h"

/* Groups, if elements form them, that keep the device busy: one computes, another is filled. */
#define GROUPS 4
/* Memory of a request that is kept for the next batch though it cannot be swapped out. */
#define KEEP_BYTES (128u << 10)

struct batch {
	struct xrnpe_session *session;
	size_t count, submitted, done;
	const float *const *inputs;
	float *const *outputs;
	unsigned int depth;
	uint32_t lanes;				/* elements of a request */
	struct xrnpe_request **requests;	/* group i uses the i % depth-th */
	uint32_t status;
};

/*
 * A request of a batch that has ended, or a new one. Batches may be small, and then memory that
 * nobody has touched takes as long as to compute.
 */
static int take_request(struct xrnpe_session *session, struct xrnpe_request **request, struct xrnpe_error *error)
{
	pthread_mutex_lock(&session->lock);
	*request = session->idle;
	if (*request)
		session->idle = (*request)->next;
	pthread_mutex_unlock(&session->lock);
	if (!*request)
		return request_new(session, session->lanes, request, error);
	atomic_fetch_add(&session->references, 1);
	return 0;
}

/* For the next batch. What is still in flight is waited for. */
static void leave_request(struct xrnpe_request *request)
{
	struct xrnpe_session *session = request ? request->session : NULL;

	if (!session || !(session->device->swaps || request->memory->size <= KEEP_BYTES)) {
		xrnpe_request_free(request);
		return;
	}
	if (request->state == REQUEST_SUBMITTED)
		xrnpe_request_wait(request, -1, NULL);
	pthread_mutex_lock(&session->lock);
	request->next = session->idle;
	session->idle = request;
	pthread_mutex_unlock(&session->lock);
	/* That of who runs the batch stays. */
	xrnpe_session_free(session);
}

static int set_inputs(const struct batch *batch, struct xrnpe_request *request, size_t element,
		      struct xrnpe_error *error)
{
	const struct xrnpe_model *model = batch->session->model;
	int ret = 0;

	for (unsigned int i = 0; !ret && i < model->input_count; i++) {
		size_t size = model->tensors[i].info.count;

		ret = xrnpe_request_set_input(request, i, batch->inputs[i] + element * size, size, error);
	}
	return ret;
}

static int get_outputs(const struct batch *batch, struct xrnpe_request *request, size_t element,
		       struct xrnpe_error *error)
{
	const struct xrnpe_model *model = batch->session->model;
	int ret = 0;

	for (unsigned int i = 0; !ret && i < model->output_count; i++) {
		size_t size = model->tensors[model->input_count + i].info.count;

		if (batch->outputs[i])
			ret = xrnpe_request_get_output(request, i, batch->outputs[i] + element * size, size,
						       error);
	}
	return ret;
}

static struct xrnpe_request *request_of(const struct batch *batch, size_t element)
{
	return batch->requests[element / batch->lanes % batch->depth];
}

static int submit_next(struct batch *batch, struct xrnpe_error *error)
{
	struct xrnpe_request *request = request_of(batch, batch->submitted);
	size_t left = batch->count - batch->submitted;
	uint32_t used = left < batch->lanes ? (uint32_t)left : batch->lanes;
	int ret = 0;

	for (uint32_t lane = 0; !ret && lane < used; lane++) {
		request->lane = lane;
		ret = set_inputs(batch, request, batch->submitted + lane, error);
	}
	request->used_lanes = used;
	if (!ret)
		ret = request_submit(request, XRNPE_AWAITED_BATCH, error);
	if (!ret)
		batch->submitted += used;
	return ret;
}

/* The group of the next element has failed: alone its elements may do better, or tell more. */
static int run_alone(struct batch *batch, struct xrnpe_error *error)
{
	struct xrnpe_request *request;
	int ret = xrnpe_request_new(batch->session, &request, error);

	if (ret)
		return ret;
	ret = set_inputs(batch, request, batch->done, error);
	if (!ret)
		ret = xrnpe_request_run(request, error);
	if (!ret)
		ret = get_outputs(batch, request, batch->done, error);
	if (!ret)
		batch->status |= xrnpe_request_result(request)->status;
	xrnpe_request_free(request);
	return ret;
}

static int finish_next(struct batch *batch, struct xrnpe_error *error)
{
	struct xrnpe_request *request = request_of(batch, batch->done);
	struct xrnpe_error why;
	int ret = xrnpe_request_wait(request, -1, &why);

	if (!ret) {
		request->lane = (uint32_t)(batch->done % batch->lanes);
		ret = get_outputs(batch, request, batch->done, &why);
		batch->status |= xrnpe_request_result(request)->status;
	} else if (batch->lanes > 1) {
		ret = run_alone(batch, &why);
	}
	if (ret)
		return xrnpe_fail(error, ret, "%s (element %zu)", why.message, batch->done);
	batch->done++;
	return 0;
}

/* Whether the request that is next to be submitted has no element that is not done. */
static bool may_submit(const struct batch *batch)
{
	return batch->submitted < batch->count &&
	       batch->submitted / batch->lanes - batch->done / batch->lanes < batch->depth;
}

static int run_batch(struct batch *batch, xrnpe_progress progress, void *data,
		     struct xrnpe_error *error)
{
	int ret = 0;

	while (!ret && batch->done < batch->count) {
		if (may_submit(batch)) {
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

/* How many elements a request shall have: as many as there may be, but enough requests. */
static uint32_t lanes_of(const struct xrnpe_session *session, size_t count)
{
	size_t lanes = (count + GROUPS - 1) / GROUPS;

	return lanes < session->lanes ? (lanes ? (uint32_t)lanes : 1) : session->lanes;
}

int xrnpe_session_run(struct xrnpe_session *session, size_t count, const float *const *inputs,
		      float *const *outputs, xrnpe_progress progress, void *data, uint32_t *status,
		      struct xrnpe_error *error)
{
	struct batch batch = {
		.session = session, .count = count, .inputs = inputs, .outputs = outputs,
		.lanes = lanes_of(session, count),
	};
	size_t groups = (count + batch.lanes - 1) / batch.lanes;
	int ret = 0;

	batch.depth = batch.lanes > 1 ? GROUPS : session->device->depth;
	if (batch.depth > groups)
		batch.depth = groups ? (unsigned int)groups : 1;
	batch.requests = calloc(batch.depth, sizeof(*batch.requests));
	if (!batch.requests)
		return xrnpe_fail_memory(error);
	for (unsigned int i = 0; !ret && i < batch.depth; i++)
		ret = take_request(session, &batch.requests[i], error);
	if (!ret)
		ret = run_batch(&batch, progress, data, error);
	for (unsigned int i = 0; i < batch.depth; i++)
		leave_request(batch.requests[i]);
	free(batch.requests);
	if (status)
		*status = batch.status;
	return ret;
}

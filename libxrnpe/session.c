// SPDX-License-Identifier: MIT
/* Sessions: a compiled model on a device. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "figures.h"
#include "request.h"

/* ---- sessions --------------------------------------------------------- */

static int check_steps(const struct xrnpe_device_info *info, const struct xrnpe_model *point,
		       struct xrnpe_error *error)
{
	for (uint32_t i = 0; i < point->step_count; i++) {
		const struct xrnpe_model_step *step = &point->steps[i];

		if (step->kind == XRNPE_MODEL_JOB && step->count > info->max_cmds)
			return xrnpe_fail(error, -E2BIG, "%s: has %u commands; %s takes %u a job",
					  point->name, step->count, info->path, info->max_cmds);
	}
	return 0;
}

/* Before commands are looked at. */
static int check_counts(const struct xrnpe_device_info *info, const struct xrnpe_model *model,
			struct xrnpe_error *error)
{
	for (uint32_t i = 0; i < xrnpe_model_point_count(model); i++) {
		int ret = check_steps(info, xrnpe_model_point(model, i), error);

		if (ret)
			return ret;
	}
	if (info->max_regions < XRNPE_MODEL_REGIONS)
		return xrnpe_fail(error, -E2BIG, "%s: needs %u regions; %s has %u", model->name,
				  XRNPE_MODEL_REGIONS, info->path, info->max_regions);
	return 0;
}

static int check_sizes(const struct xrnpe_device_info *info, const struct xrnpe_model *model,
		       const struct session_regions *regions, struct xrnpe_error *error)
{
	uint64_t sizes[2] = { model->region_size[XRNPE_MODEL_CONSTANTS] };

	for (unsigned int r = 0; r < regions->count; r++)
		if (regions->region[r].of != XRNPE_MODEL_CONSTANTS)
			sizes[1] += session_align(regions->region[r].size);
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
	/* A model without commands, or without constants, has none in memory. */
	if (size)
		memcpy((*buffer)->data, data, size);
	(*buffer)->constant = true;
	return xrnpe_buffer_sync(*buffer, XRNPE_SYNC_FOR_DEVICE, 0, size, error);
}

/* The commands of step @i of a point. */
static int upload_job(struct xrnpe_session *session, struct session_point *point, uint32_t i,
		      struct xrnpe_error *error)
{
	const struct xrnpe_model_step *step = &point->model->steps[i];
	size_t size = step->count * sizeof(struct xrnpe_cmd);
	struct xrnpe_cmd *cmds;
	int ret = xrnpe_buffer_new(session->device, size, &point->cmds[i], error);

	if (ret)
		return ret;
	cmds = point->cmds[i]->data;
	for (uint32_t k = 0; k < step->count; k++) {
		struct xrnpe_cmd cmd = point->model->cmds[step->first + k];

		session_move_cmd(&session->regions, &cmd);
		cmds[k] = cmd;
	}
	point->cmds[i]->constant = true;
	return xrnpe_buffer_sync(point->cmds[i], XRNPE_SYNC_FOR_DEVICE, 0, size, error);
}

/* Commands of all points. */
static int upload_points(struct xrnpe_session *session, struct xrnpe_error *error)
{
	unsigned int count = xrnpe_model_point_count(session->model);
	int ret = 0;

	session->points = calloc(count, sizeof(*session->points));
	if (!session->points)
		return xrnpe_fail_memory(error);
	for (unsigned int p = 0; !ret && p < count; p++) {
		struct session_point *point = &session->points[p];

		point->model = xrnpe_model_point(session->model, p);
		point->cmds = calloc(point->model->step_count, sizeof(*point->cmds));
		if (!point->cmds)
			return xrnpe_fail_memory(error);
		for (uint32_t i = 0; !ret && i < point->model->step_count; i++) {
			if (point->model->steps[i].kind == XRNPE_MODEL_JOB)
				ret = upload_job(session, point, i, error);
		}
	}
	return ret;
}

static void free_points(struct xrnpe_session *session)
{
	unsigned int count = xrnpe_model_point_count(session->model);

	for (unsigned int p = 0; session->points && p < count; p++) {
		struct session_point *point = &session->points[p];

		for (uint32_t i = 0; point->cmds && i < point->model->step_count; i++)
			xrnpe_buffer_free(point->cmds[i]);
		free(point->cmds);
		xrnpe_buffer_free(point->lanes);
	}
	free(session->points);
}

/* The queue of a priority; a device that has few of them serves several priorities with one. */
static int find_queue(const struct xrnpe_device_info *info, enum xrnpe_priority priority,
		      unsigned int *queue, struct xrnpe_error *error)
{
	unsigned int last = info->queues - 1;

	switch (priority) {
	case XRNPE_PRIORITY_NORMAL:
		*queue = last < 1 ? last : 1;
		return 0;
	case XRNPE_PRIORITY_URGENT:
		*queue = 0;
		return 0;
	case XRNPE_PRIORITY_BACKGROUND:
		*queue = last;
		return 0;
	}
	return xrnpe_fail(error, -EINVAL, "there is no priority %d", (int)priority);
}

int xrnpe_session_new(struct xrnpe_device *device, struct xrnpe_model *model,
		      const struct xrnpe_session_options *options,
		      struct xrnpe_session **session, struct xrnpe_error *error)
{
	const struct xrnpe_energy *energy = options ? options->energy : NULL;
	struct session_regions regions;
	struct xrnpe_session *made;
	unsigned int queue = 0;
	int ret;

	ret = check_counts(&device->info, model, error);
	if (ret)
		return ret;
	session_make_regions(&regions, model, device->info.max_regions);
	ret = check_sizes(&device->info, model, &regions, error);
	if (!ret)
		ret = find_queue(&device->info, options ? options->priority : XRNPE_PRIORITY_NORMAL,
				 &queue, error);
	if (!ret && energy)
		ret = figures_check(energy, error);
	if (ret)
		return ret;
	made = calloc(1, sizeof(*made));
	if (!made)
		return xrnpe_fail_memory(error);
	atomic_init(&made->references, 1);
	made->queue = queue;
	made->regions = regions;
	made->device = xrnpe_device_ref(device);
	made->model = xrnpe_model_ref(model);
	made->lanes = session_count_lanes(made);
	pthread_mutex_init(&made->lock, NULL);
	ret = session_points_init(made, energy) ? xrnpe_fail_memory(error) : 0;
	if (!ret)
		ret = upload(device, model->constants, model->region_size[XRNPE_MODEL_CONSTANTS],
			     &made->constants, error);
	if (!ret)
		ret = upload_points(made, error);
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
	while (session->idle) {
		struct xrnpe_request *request = session->idle;

		session->idle = request->next;
		request_dispose(request);
	}
	free_points(session);
	free(session->costs);
	pthread_mutex_destroy(&session->lock);
	xrnpe_buffer_free(session->constants);
	xrnpe_model_free(session->model);
	xrnpe_device_close(session->device);
	free(session);
}

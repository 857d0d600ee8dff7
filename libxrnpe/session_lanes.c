// SPDX-License-Identifier: MIT
/*
 * Several elements of a batch in one job, which has the model's commands once for each: where a
 * job takes the CPU as long as the device, it takes it less often.
 */
#include "cost.h"
#include "error.h"
#include "session.h"

/* Bounds of a job that is made of several: others wait for it to be aborted, and it takes memory. */
#define MOST_SECONDS 500e-6
#define MOST_BYTES (1u << 20)

/* Whether inputs and outputs are all that elements have of their own. */
static bool has_lanes(const struct xrnpe_session *session)
{
	if (!session->regions.divided)
		return false;
	for (unsigned int p = 0; p < xrnpe_model_point_count(session->model); p++) {
		const struct xrnpe_model *point = xrnpe_model_point(session->model, p);

		if (point->step_count != 1 || point->steps[0].kind != XRNPE_MODEL_JOB)
			return false;
	}
	return true;
}

/* As many of what takes @part as fit into @whole, at the most @most. */
static uint32_t fitting(double part, double whole, uint32_t most)
{
	return part * most <= whole ? most : (uint32_t)(whole / part);
}

uint32_t session_count_lanes(const struct xrnpe_session *session)
{
	const struct xrnpe_device *device = session->device;
	uint32_t lanes = device->most_lanes;
	uint64_t bytes = 0;

	if (lanes < 2 || !has_lanes(session))
		return 1;
	for (unsigned int r = 0; r < session->regions.count; r++)
		bytes += session_lane_bytes(&session->regions, r);
	lanes = fitting((double)bytes, MOST_BYTES, lanes);
	for (unsigned int p = 0; p < xrnpe_model_point_count(session->model); p++) {
		const struct xrnpe_model *point = xrnpe_model_point(session->model, p);
		struct xrnpe_cost cost;

		xrnpe_model_predict(point, &device->info, NULL, &cost, NULL);
		lanes = fitting(cost.seconds, MOST_SECONDS, lanes);
		lanes = fitting(point->cmd_count, device->info.max_cmds, lanes);
	}
	return lanes ? lanes : 1;
}

static void put_lane(const struct session_regions *regions, const struct xrnpe_cmd *from, uint32_t count,
		     uint32_t lane, struct xrnpe_cmd *to)
{
	for (uint32_t i = 0; i < count; i++) {
		struct xrnpe_cmd cmd = from[i];

		for (unsigned int k = 0; k < XRNPE_OPERANDS; k++) {
			struct xrnpe_operand *operand = &cmd.operand[k];

			if (operand->region < regions->count)
				operand->offset += lane * session_lane_bytes(regions, operand->region);
		}
		to[lane * count + i] = cmd;
	}
}

static int make_commands(struct xrnpe_session *session, struct session_point *point, struct xrnpe_error *error)
{
	uint32_t count = point->model->steps[0].count;
	size_t size = (size_t)session->lanes * count * sizeof(struct xrnpe_cmd);
	int ret = xrnpe_buffer_new(session->device, size, &point->lanes, error);

	if (ret)
		return ret;
	for (uint32_t lane = 0; lane < session->lanes; lane++)
		put_lane(&session->regions, point->cmds[0]->data, count, lane, point->lanes->data);
	point->lanes->constant = true;
	return xrnpe_buffer_sync(point->lanes, XRNPE_SYNC_FOR_DEVICE, 0, size, error);
}

int session_make_lanes(struct xrnpe_session *session, struct xrnpe_error *error)
{
	int ret = 0;

	pthread_mutex_lock(&session->lock);
	for (unsigned int p = 0; !ret && p < xrnpe_model_point_count(session->model); p++) {
		if (!session->points[p].lanes)
			ret = make_commands(session, &session->points[p], error);
	}
	pthread_mutex_unlock(&session->lock);
	return ret;
}

// SPDX-License-Identifier: MIT
/* Which point of its model a session's requests run at: set by hand, or by a governor. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "session.h"

int session_points_init(struct xrnpe_session *session, const struct xrnpe_energy *energy)
{
	unsigned int count = xrnpe_model_point_count(session->model);

	session->point = session->model->point;
	session->costs = calloc(count, sizeof(*session->costs));
	if (!session->costs)
		return -ENOMEM;
	/* Of one alone there is no choice. */
	for (unsigned int i = 0; count > 1 && i < count; i++) {
		const struct xrnpe_model *point = xrnpe_model_point(session->model, i);
		struct xrnpe_cost cost;

		xrnpe_model_predict(point, &session->device->info, energy, &cost, NULL);
		session->costs[i] = (struct govern_point){
			cost.seconds, cost.picojoules, point->quality.error,
		};
	}
	return 0;
}

int xrnpe_session_set_point(struct xrnpe_session *session, unsigned int point,
			    struct xrnpe_error *error)
{
	unsigned int count = xrnpe_model_point_count(session->model);

	if (point >= count)
		return xrnpe_fail(error, -EINVAL, "%s: there is no point %u; it has %u",
				  session->model->name, point, count);
	pthread_mutex_lock(&session->lock);
	session->governed = false;
	session->point = point;
	pthread_mutex_unlock(&session->lock);
	return 0;
}

unsigned int session_begin(struct xrnpe_session *session, bool *measures)
{
	unsigned int point;

	pthread_mutex_lock(&session->lock);
	if (session->governed)
		session->point = govern_pick(&session->govern, session->costs,
					     xrnpe_model_point_count(session->model));
	point = session->point;
	/* The emulator's own time tells nothing. */
	*measures = session->governed && strcmp(session->device->info.backend, "emu");
	pthread_mutex_unlock(&session->lock);
	return point;
}

unsigned int xrnpe_session_point(struct xrnpe_session *session)
{
	bool measures;

	return session_begin(session, &measures);
}

/* Zero or more, and no NaN. */
static bool is_limit(double limit)
{
	return limit >= 0 && isfinite(limit);
}

int xrnpe_session_govern(struct xrnpe_session *session, const struct xrnpe_governor *limits,
			 struct xrnpe_error *error)
{
	if (limits && (!is_limit(limits->seconds) || !is_limit(limits->picojoules) ||
		       !is_limit(limits->error)))
		return xrnpe_fail(error, -EINVAL, "%s: a governor's limit of %g s, %g pJ or %g is none",
				  session->model->name, limits->seconds, limits->picojoules,
				  limits->error);
	pthread_mutex_lock(&session->lock);
	session->governed = limits;
	if (limits)
		govern_limit(&session->govern, limits);
	pthread_mutex_unlock(&session->lock);
	return 0;
}

void session_observe(struct xrnpe_session *session, unsigned int point, double device_seconds,
		     double cpu_seconds)
{
	pthread_mutex_lock(&session->lock);
	govern_observe(&session->govern, &session->costs[point], device_seconds, cpu_seconds);
	pthread_mutex_unlock(&session->lock);
}

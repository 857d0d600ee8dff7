/* SPDX-License-Identifier: MIT */
/* A model on a device, as sessions and requests share it. */
#ifndef XRNPE_SESSION_H
#define XRNPE_SESSION_H

#include <pthread.h>

#include "backend.h"
#include "govern.h"
#include "model.h"

/* A region of a session's jobs: bytes @offset .. @offset + @size - 1 of the model's region @of. */
struct session_region {
	enum xrnpe_model_region of;
	uint64_t offset, size;
};

struct session_regions {
	struct session_region region[XRNPE_MAX_REGIONS];
	unsigned int count;
	bool divided;			/* inputs and outputs have one each */
};

/* A point of the model. */
struct session_point {
	const struct xrnpe_model *model;
	struct xrnpe_buffer **cmds;	/* by step: of a job its commands, else NULL */
	struct xrnpe_buffer *lanes;	/* cmds[0] for each lane of a batch's requests; NULL: not yet made */
};

struct xrnpe_session {
	atomic_uint references;
	struct xrnpe_device *device;
	struct xrnpe_model *model;
	unsigned int queue;
	uint32_t lanes;			/* of a batch's requests: elements of each, at least 1 */
	struct session_regions regions;	/* the same for all points */
	struct xrnpe_buffer *constants;
	struct session_point *points;	/* as many as the model has */
	struct govern_point *costs;	/* of each */
	pthread_mutex_t lock;		/* of what follows */
	struct xrnpe_request *idle;	/* of batches, for the next ones; they do not refer to it */
	unsigned int point;		/* of the next submission */
	bool governed;			/* ... unless @govern picks another */
	struct govern govern;
};

static inline uint64_t session_align(uint64_t size)
{
	return (size + XRNPE_BUFFER_ALIGN - 1) / XRNPE_BUFFER_ALIGN * XRNPE_BUFFER_ALIGN;
}

/* ---- session_points.c ---------------------------------------------------- */

/* @energy: figures that a governor goes by; may be NULL. Returns 0 or -ENOMEM. */
int session_points_init(struct xrnpe_session *session, const struct xrnpe_energy *energy);

/* The point of a request that begins, and whether a governor wants to know what it takes. */
unsigned int session_begin(struct xrnpe_session *session, bool *measures);

/* Tell it, of one that ran at @point. */
void session_observe(struct xrnpe_session *session, unsigned int point, double device_seconds,
		     double cpu_seconds);

/* ---- session_lanes.c ------------------------------------------------------ */

/* How far a lane's part of region @r is from the one before: 0 where all have the same memory. */
static inline uint64_t session_lane_bytes(const struct session_regions *regions, unsigned int r)
{
	const struct session_region *region = &regions->region[r];

	return region->of == XRNPE_MODEL_INPUT || region->of == XRNPE_MODEL_OUTPUT ? session_align(region->size) : 0;
}

/* How many lanes are worth it. */
uint32_t session_count_lanes(const struct xrnpe_session *session);

/* Make the commands of all lanes, unless they are there. Returns 0 or what failed. */
int session_make_lanes(struct xrnpe_session *session, struct xrnpe_error *error);

/* ---- session_regions.c --------------------------------------------------- */

/* Of regions of all @model's points, at least as many as fit, make those of jobs: at most @most. */
void session_make_regions(struct session_regions *regions, const struct xrnpe_model *model,
			  unsigned int most);

/* The region of a tensor of the model. */
unsigned int session_find_region(const struct session_regions *regions,
				 const struct xrnpe_model_tensor *t);

/* From a model's command to one of a job, and from a job's fault to one in the model. */
void session_move_cmd(const struct session_regions *regions, struct xrnpe_cmd *cmd);
void session_move_fault(const struct session_regions *regions, struct xrnpe_fault *fault);

#endif

/* SPDX-License-Identifier: MIT */
/* The device behind the kernel driver, inside its back end. */
#ifndef XRNPE_DRM_BACKEND_H
#define XRNPE_DRM_BACKEND_H

#include <pthread.h>

#include "backend.h"

/* Most threads that let jobs go on. */
#define DRM_RUNNERS 8

/*
 * A queue of the kernel's. That remembers how its last jobs ended, as many as its
 * depth. So that none is forgotten, a job that nobody has waited for is waited for by who needs
 * its place: these are the jobs whose end is not known yet, in order.
 */
struct queue {
	uint32_t id;
	uint64_t last_job;
	struct xrnpe_job *first, **end;
};

struct drm {
	struct xrnpe_device device;
	int fd;
	char *path;
	char driver[32];
	uint32_t depth;
	uint32_t timer_khz;
	bool coherent;			/* it sees the CPU's caches */
	pthread_mutex_t lock;		/* protects all below, and what jobs say of their end */
	pthread_cond_t work;		/* there is a job to go on with, or stop was set */
	pthread_cond_t over;		/* a job that goes on by itself has ended */
	struct xrnpe_job *running, **running_end;	/* that go on by themselves */
	pthread_t runners[DRM_RUNNERS];
	unsigned int runner_count, idle_count;
	bool stop;
	struct xrnpe_buffer *buffers;	/* all, for handles that several have */
	/* One a priority that the process may have, the most urgent first. */
	struct queue queues[DRM_XRNPE_PRIORITY_REALTIME + 1];
};

static inline struct drm *to_drm(struct xrnpe_device *device)
{
	return (struct drm *)device;
}

/* The message of an ioctl that failed, and its error. */
int drm_fail_ioctl(struct drm *drm, const char *verb, struct xrnpe_error *error);

/* ---- drm_buffers.c: see struct xrnpe_backend ------------------------------ */

int drm_buffer_new(struct xrnpe_device *device, struct xrnpe_buffer *buffer,
		   struct xrnpe_error *error);
int drm_buffer_import(struct xrnpe_device *device, struct xrnpe_buffer *buffer, int fd,
		      struct xrnpe_error *error);
void drm_buffer_free(struct xrnpe_buffer *buffer);
int drm_buffer_sync(struct xrnpe_buffer *buffer, enum xrnpe_sync sync, size_t offset, size_t size,
		    struct xrnpe_error *error);

/* ---- drm_jobs.c: see struct xrnpe_backend ------------------------------- */

int drm_submit(struct xrnpe_device *device, struct xrnpe_job *job, struct xrnpe_error *error);
int drm_wait(struct xrnpe_device *device, struct xrnpe_job *job, int64_t timeout_ns);
void drm_cancel(struct xrnpe_device *device, struct xrnpe_job *job);
int drm_watch(struct xrnpe_device *device, struct xrnpe_job *job, int fd,
	      struct xrnpe_error *error);
void drm_forget(struct xrnpe_device *device, struct xrnpe_job *job);

void drm_start_jobs(struct drm *drm);
/* No job is left. */
void drm_stop_jobs(struct drm *drm);

#endif

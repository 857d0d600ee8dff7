/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef __XRNPE_PERFMON_H__
#define __XRNPE_PERFMON_H__

#include <linux/build_bug.h>
#include <linux/kref.h>
#include <linux/types.h>

#include <drm/xrnpe_accel.h>

struct drm_device;
struct drm_file;
struct xrnpe_ctx;

/* Performance monitors of a file. */
#define XRNPE_MAX_FILE_PERFMONS	64

/** struct xrnpe_perfmon - a performance monitor of a file */
struct xrnpe_perfmon {
	/** @refcount: the file's, its jobs', and ioctls' */
	struct kref refcount;
	/** @values: of its jobs that have ended; protected by hw_lock */
	struct drm_xrnpe_perfmon_values values;
};

static_assert(sizeof(struct xrnpe_counters) == XRNPE_COUNTERS * sizeof(u64));

/**
 * xrnpe_perfmon_add() - add what a job did
 * @sum: of what others did
 * @record: the job's
 */
static inline void xrnpe_perfmon_add(struct drm_xrnpe_perfmon_values *sum,
				     const struct xrnpe_job_record *record)
{
	const u64 *counters = (const u64 *)&record->counters;
	u64 *sums = (u64 *)&sum->counters;

	sum->jobs++;
	sum->executed += record->executed;
	for (unsigned int i = 0; i < XRNPE_COUNTERS; i++)
		sums[i] += counters[i];
}

struct xrnpe_perfmon *xrnpe_perfmon_get(struct xrnpe_ctx *ctx, u32 id);
void xrnpe_perfmon_put(struct xrnpe_perfmon *perfmon);
void xrnpe_ctx_put_perfmons(struct xrnpe_ctx *ctx);

int xrnpe_ioctl_perfmon_create(struct drm_device *drm, void *data, struct drm_file *file);
int xrnpe_ioctl_perfmon_destroy(struct drm_device *drm, void *data, struct drm_file *file);
int xrnpe_ioctl_perfmon_get_values(struct drm_device *drm, void *data, struct drm_file *file);

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef __XRNPE_QUEUE_H__
#define __XRNPE_QUEUE_H__

#include <linux/dma-fence.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "xrnpe_drv.h"
#include "xrnpe_share.h"

struct xrnpe_result;

/* Jobs of a queue that have not ended, and that JOB_WAIT remembers. */
#define XRNPE_MAX_DEPTH		256
/* So many faults and timeouts in a row ban a queue. */
#define XRNPE_MAX_FAILURES	10

/** struct xrnpe_queue - a queue of a file */
struct xrnpe_queue {
	/** @refcount: the file's, its jobs', ioctls', and that of @work */
	struct kref refcount;
	/** @rcu: frees it when nobody looks for it any more */
	struct rcu_head rcu;
	/** @ctx: the file, with a reference */
	struct xrnpe_ctx *ctx;
	/** @ring: where its jobs go to */
	struct xrnpe_ring *ring;
	/** @fence_context: of its jobs' fences, which signal in order */
	u64 fence_context;
	/** @id: its number in the file, for traces */
	u32 id;
	/** @depth: entries of @history */
	u32 depth;

	/** @submit_lock: serialises SUBMIT; protects @closed */
	struct mutex submit_lock;
	/** @closed: takes no jobs any more */
	bool closed;
	/** @banned: cancels its jobs; written with hw_lock */
	bool banned;

	/** @failures: in a row; as all that follows up to @share protected by hw_lock */
	unsigned int failures;
	/** @node: among all of the device */
	struct list_head node;
	/** @jobs: that have not got to the ring, oldest first */
	struct list_head jobs;
	/** @in_ring: how many have, and have not ended */
	unsigned int in_ring;
	/** @cancels: jobs that have not got to the ring end, since it is closed */
	bool cancels;
	/** @awaited: what the oldest of @jobs waits for, or NULL */
	struct dma_fence *awaited;
	/** @awaited_cb: calls when @awaited signals */
	struct dma_fence_cb awaited_cb;
	/** @work: takes its jobs on; has a reference while it is queued */
	struct work_struct work;
	/** @share: of the ring */
	struct xrnpe_share share;

	/** @lock: protects what follows */
	spinlock_t lock;
	/** @last_job: number of the job that came last */
	u64 last_job;
	/** @history: how jobs ended, by number modulo the size */
	struct xrnpe_result *history[] __counted_by(depth);
};

/**
 * xrnpe_priority_ring() - which ring serves a priority
 * @rings: how many there are; they are served in their order
 * @priority: &enum drm_xrnpe_priority
 *
 * Return: the ring's index. With fewer rings than priorities some share one.
 */
static inline unsigned int xrnpe_priority_ring(unsigned int rings, u32 priority)
{
	return (DRM_XRNPE_PRIORITY_REALTIME - priority) * rings / XRNPE_PRIORITIES;
}

struct xrnpe_queue *xrnpe_queue_get(struct xrnpe_ctx *ctx, u32 id);
void xrnpe_queue_put(struct xrnpe_queue *queue);
int xrnpe_queue_lock_for_jobs(struct xrnpe_queue *queue, unsigned int jobs, bool block);
void xrnpe_queue_remember(struct xrnpe_queue *queue, struct dma_fence *fence);
void xrnpe_queue_note_end(struct xrnpe_queue *queue, const struct xrnpe_result *result);
void xrnpe_ctx_close_work(struct work_struct *work);
void xrnpe_ctx_close_queues(struct xrnpe_ctx *ctx);

int xrnpe_ioctl_queue_create(struct drm_device *drm, void *data, struct drm_file *file);
int xrnpe_ioctl_queue_destroy(struct drm_device *drm, void *data, struct drm_file *file);
int xrnpe_ioctl_job_wait(struct drm_device *drm, void *data, struct drm_file *file);

#endif

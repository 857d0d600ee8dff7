/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef __XRNPE_JOB_H__
#define __XRNPE_JOB_H__

#include <linux/dma-fence.h>
#include <linux/workqueue.h>

#include <drm/drm_gem.h>
#include <drm/gpu_scheduler.h>

#include "xrnpe_drv.h"
#include "xrnpe_queue.h"

/** struct xrnpe_job - a job */
struct xrnpe_job {
	/** @base: the scheduler's part */
	struct drm_sched_job base;
	/** @ctx: the file it came from; @hw_fence has the reference */
	struct xrnpe_ctx *ctx;
	/** @queue: the queue it came by, with a reference */
	struct xrnpe_queue *queue;
	/** @ring: the ring it goes to */
	struct xrnpe_ring *ring;
	/** @result: how it ended */
	struct xrnpe_result *result;
	/** @perfmon: counts what it does, with a reference; may be NULL */
	struct xrnpe_perfmon *perfmon;
	/** @hw_fence: signals when the hardware is done with it */
	struct dma_fence *hw_fence;

	/** @waiting: it is counted in the file's waiting ones */
	bool waiting;

	/** @cmds: where the device finds the commands */
	u64 cmds;
	/** @cmd_count: how many */
	u32 cmd_count;
	/** @cmd_stride: bytes from one to the next */
	u32 cmd_stride;
	/** @region_count: entries of @regions */
	u32 region_count;
	/** @regions: the region table */
	struct xrnpe_region regions[XRNPE_MAX_REGIONS];

	/** @bos: buffers it uses, each once; all regions' and the commands' */
	struct drm_gem_object *bos[XRNPE_MAX_REGIONS + 1];
	/** @bo_count: entries of @bos */
	unsigned int bo_count;
	/** @bo_written: bit by bit, which of @bos it may write */
	u32 bo_written;
	/** @free_work: frees it where locks of buffers may be taken */
	struct work_struct free_work;

	/** @flags: DRM_XRNPE_JOB_* */
	u32 flags;
	/** @in_fences: explicit in-fences; if one fails, the job is cancelled */
	struct dma_fence **in_fences;
	/** @in_count: entries of @in_fences */
	unsigned int in_count;

	/* From here on protected by hw_lock. */

	/** @node: in the ring's jobs */
	struct list_head node;
	/** @taken: nanoseconds that its queue has been charged for it in advance */
	u64 taken;
	/** @seqno: by which the hardware names it */
	u32 seqno;
	/** @count: of its ring's jobs; modulo the ring's size its place there */
	u32 count;
	/** @run_ns: time that it executed, as far as it was accounted */
	u64 run_ns;
	/** @poisoned: the device is to refuse it, so that the ring stops there */
	bool poisoned;
	/** @begun: it may have begun when the device was reset */
	bool begun;
	/** @resets: of the device, that it was in the ring for */
	unsigned int resets;
	/** @timed_out: it is being aborted */
	bool timed_out;
	/** @starved: ... not for what it has executed, but for how long it has taken */
	bool starved;
	/** @ended: it left the ring */
	bool ended;
};

static inline struct xrnpe_job *to_xrnpe_job(struct drm_sched_job *job)
{
	return container_of(job, struct xrnpe_job, base);
}

struct dma_fence *xrnpe_fence_create(struct xrnpe_ctx *ctx, gfp_t gfp);
struct xrnpe_job *xrnpe_job_create(struct xrnpe_queue *queue, struct drm_file *file);
void xrnpe_job_free(struct xrnpe_job *job);
void xrnpe_job_free_later(struct xrnpe_job *job);
enum drm_xrnpe_cancel_reason xrnpe_job_obstacle(const struct xrnpe_job *job);
void xrnpe_job_got_to_ring(struct xrnpe_job *job);

int xrnpe_ioctl_submit(struct drm_device *drm, void *data, struct drm_file *file);

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef __XRNPE_JOB_H__
#define __XRNPE_JOB_H__

#include <linux/dma-fence.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <drm/drm_gem.h>

#include "xrnpe_drv.h"
#include "xrnpe_queue.h"

/**
 * struct xrnpe_result - a job's fence, and how the job ended
 *
 * It outlives the job in its queue's history, and wherever the fence is.
 */
struct xrnpe_result {
	/**
	 * @fence: signals when the job ended; then what follows is final. Its sequence number
	 * is the job's number in its queue, and zero as long as it has none
	 */
	struct dma_fence fence;
	/** @lock: the fence's */
	spinlock_t lock;
	/** @ctx: the file, with a reference */
	struct xrnpe_ctx *ctx;
	/** @state: &enum drm_xrnpe_job_state */
	u32 state;
	/** @reason: &enum drm_xrnpe_cancel_reason */
	u32 reason;
	/** @record: what the device says; zero if it did not end the job */
	struct xrnpe_job_record record;
};

/** struct xrnpe_job - a job; what is marked [H] is protected by hw_lock */
struct xrnpe_job {
	/** @ctx: the file it came from; @result has the reference */
	struct xrnpe_ctx *ctx;
	/** @queue: the queue it came by, with a reference */
	struct xrnpe_queue *queue;
	/** @ring: the ring it goes to */
	struct xrnpe_ring *ring;
	/** @result: its fence, and how it ended */
	struct xrnpe_result *result;

	/** @cmds: where the device finds the commands */
	u64 cmds;
	/** @cmd_count: how many */
	u32 cmd_count;
	/** @cmd_stride: bytes from one to the next */
	u32 cmd_stride;
	/** @flags: DRM_XRNPE_JOB_* */
	u32 flags;
	/** @region_count: entries of @regions */
	u32 region_count;
	/** @regions: the region table */
	struct xrnpe_region regions[XRNPE_MAX_REGIONS];
	/** @bos: buffers it uses, each once: the commands', and all regions' */
	struct drm_gem_object *bos[XRNPE_MAX_REGIONS + 1];

	/** @node: [H] in the jobs of its queue, then of its ring, then among the ended ones */
	struct list_head node;
	/** @taken: [H] nanoseconds that its queue has been charged for it in advance */
	u64 taken;
	/** @count: [H] of its ring's jobs; modulo the ring's size its place there */
	u32 count;
	/** @poisoned: [H] the device is to refuse it, so that the ring stops there */
	bool poisoned;
	/** @awaited: all fences that it waits for, in-fences and those of its buffers, from 0 */
	struct xarray awaited;
	/** @free_work: frees it where that may take long, and locks of buffers */
	struct work_struct free_work;

	/* A new job has all before this filled in before it is looked at, and this cleared. */

	/** @perfmon: counts what it does, with a reference; may be NULL */
	struct xrnpe_perfmon *perfmon;
	/** @bo_count: entries of @bos */
	unsigned int bo_count;
	/** @bo_written: bit by bit, which of @bos it may write */
	u32 bo_written;
	/** @in_fences: explicit in-fences; if one fails, the job is cancelled */
	struct dma_fence **in_fences;
	/** @in_count: entries of @in_fences */
	unsigned int in_count;
	/** @awaited_count: entries of @awaited */
	unsigned int awaited_count;
	/** @signaled: [H] so many of @awaited have */
	unsigned int signaled;
	/** @seqno: [H] by which the hardware names it; 0 if it has not got to its ring */
	u32 seqno;
	/** @run_ns: [H] time that it executed, as far as it was accounted */
	u64 run_ns;
	/** @in_company: in one of @bos others may have fences, too, and many */
	bool in_company;
	/** @frees_much: its in-fences may consist of many */
	bool frees_much;
	/** @resets: [H] of the device, that it was in the ring for */
	unsigned int resets;
	/** @lost: [H] the device does not wake up for it, or is gone */
	bool lost;
	/** @begun: [H] it may have begun when the device was reset */
	bool begun;
	/** @timed_out: [H] it is being aborted */
	bool timed_out;
	/** @starved: [H] ... not for what it has executed, but for how long it has taken */
	bool starved;
};

struct xrnpe_job *xrnpe_job_create(struct xrnpe_queue *queue);
void xrnpe_job_free(struct xrnpe_job *job);
void xrnpe_job_number(struct xrnpe_job *job, u64 number);
int xrnpe_job_await(struct xrnpe_job *job, struct dma_fence *fence);
bool xrnpe_job_in_fence_failed(const struct xrnpe_job *job);
void xrnpe_job_finish(struct xrnpe_job *job, int error);

static inline void xrnpe_result_put(struct xrnpe_result *result)
{
	if (result)
		dma_fence_put(&result->fence);
}

void xrnpe_result_set(struct xrnpe_result *result, enum drm_xrnpe_job_state state,
		      enum drm_xrnpe_cancel_reason reason, const struct xrnpe_job_record *record);
int xrnpe_cancel_error(enum drm_xrnpe_cancel_reason reason);

/**
 * xrnpe_job_obstacle() - why a job that has not begun shall not begin any more
 * @job: the job, with hw_lock
 *
 * Return: the reason to cancel it for, or DRM_XRNPE_CANCEL_NONE.
 */
static inline enum drm_xrnpe_cancel_reason xrnpe_job_obstacle(const struct xrnpe_job *job)
{
	if (job->in_count && xrnpe_job_in_fence_failed(job))
		return DRM_XRNPE_CANCEL_IN_FENCE;
	if (job->queue->banned)
		return DRM_XRNPE_CANCEL_BANNED;
	return DRM_XRNPE_CANCEL_NONE;
}

int xrnpe_ioctl_submit(struct drm_device *drm, void *data, struct drm_file *file);

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef __XRNPE_JOB_H__
#define __XRNPE_JOB_H__

#include <linux/dma-fence.h>
#include <linux/kref.h>

#include <drm/drm_gem.h>
#include <drm/gpu_scheduler.h>

#include "xrnpe_drv.h"

/** struct xrnpe_result - how a job ended; outlives the job in its file's history */
struct xrnpe_result {
	/** @refcount: the job's, the history's, and waiters' */
	struct kref refcount;
	/** @id: the job's number in its file */
	u64 id;
	/** @finished: signals when the job ended; then what follows is final */
	struct dma_fence *finished;
	/** @state: &enum drm_xrnpe_job_state */
	u32 state;
	/** @record: what the device says; zero if it did not end the job */
	struct xrnpe_job_record record;
};

/** struct xrnpe_fence - the hardware's fence of a job */
struct xrnpe_fence {
	/** @base: the fence */
	struct dma_fence base;
	/** @ctx: the job's file, with a reference */
	struct xrnpe_ctx *ctx;
	/** @lock: its lock, here because the fence may outlive all else */
	spinlock_t lock;
};

/** struct xrnpe_job - a job */
struct xrnpe_job {
	/** @base: the scheduler's part */
	struct drm_sched_job base;
	/** @ctx: the file it came from; @hw_fence has the reference */
	struct xrnpe_ctx *ctx;
	/** @queue: the queue it goes to */
	struct xrnpe_queue *queue;
	/** @result: how it ended */
	struct xrnpe_result *result;
	/** @hw_fence: signals when the hardware is done with it */
	struct xrnpe_fence *hw_fence;

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

	/** @in_fences: explicit in-fences; if one fails, the job is cancelled */
	struct dma_fence **in_fences;
	/** @in_count: entries of @in_fences */
	unsigned int in_count;

	/* From here on protected by hw_lock. */

	/** @node: in the queue's jobs */
	struct list_head node;
	/** @seqno: by which the hardware names it */
	u32 seqno;
	/** @count: of its queue's jobs; modulo the ring's size its place there */
	u32 count;
	/** @run_ns: time that it executed, as far as it was accounted */
	u64 run_ns;
	/** @poisoned: the device shall refuse it, so that the queue stops there */
	bool poisoned;
	/** @begun: it may have begun when the device was reset */
	bool begun;
	/** @resets: of the device, that it was in the ring for */
	unsigned int resets;
	/** @timed_out: it is being aborted */
	bool timed_out;
	/** @ended: it left the ring */
	bool ended;
};

static inline struct xrnpe_job *to_xrnpe_job(struct drm_sched_job *job)
{
	return container_of(job, struct xrnpe_job, base);
}

int xrnpe_sched_probe(struct xrnpe_device *xdev);
void xrnpe_sched_stop(struct xrnpe_device *xdev);
void xrnpe_sched_start(struct xrnpe_device *xdev);
int xrnpe_ctx_init_entities(struct xrnpe_ctx *ctx);
void xrnpe_ctx_fini_entities(struct xrnpe_ctx *ctx);
bool xrnpe_job_in_fence_failed(const struct xrnpe_job *job);
void xrnpe_result_put(struct xrnpe_result *result);

int xrnpe_ioctl_submit(struct drm_device *drm, void *data, struct drm_file *file);
int xrnpe_ioctl_job_wait(struct drm_device *drm, void *data, struct drm_file *file);

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef __XRNPE_SUBMIT_H__
#define __XRNPE_SUBMIT_H__

#include <linux/types.h>

struct dma_fence;
struct dma_fence_chain;
struct drm_syncobj;
struct xrnpe_job;
struct xrnpe_queue;

/** struct xrnpe_out_sync - a syncobj to signal */
struct xrnpe_out_sync {
	/** @syncobj: the syncobj */
	struct drm_syncobj *syncobj;
	/** @chain: for a timeline: its next link, allocated ahead */
	struct dma_fence_chain *chain;
	/** @handle: of @syncobj */
	u32 handle;
	/** @point: for a timeline, else zero */
	u64 point;
};

/** struct xrnpe_submission - a job on its way into its queue */
struct xrnpe_submission {
	/** @job: the job; NULL when the queue has it */
	struct xrnpe_job *job;
	/** @fence: the job's, with a reference, when the queue has it */
	struct dma_fence *fence;
	/** @after: earlier jobs of this SUBMIT that it waits for, bit by bit */
	u64 after;
	/** @out: syncobjs to signal */
	struct xrnpe_out_sync *out;
	/** @out_count: entries of @out */
	unsigned int out_count;
};

int xrnpe_submissions_commit(struct xrnpe_submission *subs, unsigned int count,
			     struct xrnpe_queue *queue);

#endif

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Jobs and their fences.
 *
 * A job's commands are not looked at: the device checks every access against
 * the job's regions, which lie in memory that user space cannot reach.
 */
#include <linux/slab.h>

#include <drm/drm_file.h>

#include "xrnpe_drv.h"
#include "xrnpe_job.h"
#include "xrnpe_perfmon.h"
#include "xrnpe_queue.h"

/* ---- fences ---- */

/** struct xrnpe_fence - a fence of the driver's own */
struct xrnpe_fence {
	/** @base: the fence */
	struct dma_fence base;
	/** @ctx: the file, with a reference */
	struct xrnpe_ctx *ctx;
	/** @lock: its lock, here because the fence may outlive all else */
	spinlock_t lock;
};

static const char *xrnpe_fence_driver_name(struct dma_fence *fence)
{
	return "xrnpe";
}

static const char *xrnpe_fence_timeline_name(struct dma_fence *fence)
{
	return "hardware";
}

static void xrnpe_fence_release(struct dma_fence *base)
{
	struct xrnpe_fence *fence = container_of(base, struct xrnpe_fence, base);

	xrnpe_ctx_put(fence->ctx);
	kfree_rcu(fence, base.rcu);
}

static const struct dma_fence_ops xrnpe_fence_ops = {
	.get_driver_name = xrnpe_fence_driver_name,
	.get_timeline_name = xrnpe_fence_timeline_name,
	.release = xrnpe_fence_release,
};

/**
 * xrnpe_fence_create() - make a fence
 * @ctx: the file that it keeps, and with it this module
 * @gfp: how to allocate it
 *
 * Return: the fence, of a context of its own, since nobody compares it with another;
 * or NULL.
 */
struct dma_fence *xrnpe_fence_create(struct xrnpe_ctx *ctx, gfp_t gfp)
{
	struct xrnpe_fence *fence = kzalloc(sizeof(*fence), gfp);

	if (!fence)
		return NULL;
	kref_get(&ctx->refcount);
	fence->ctx = ctx;
	spin_lock_init(&fence->lock);
	dma_fence_init(&fence->base, &xrnpe_fence_ops, &fence->lock,
		       dma_fence_context_alloc(1), 1);
	return &fence->base;
}

/* ---- jobs ---- */

/*
 * Errors do not come over implicit fences: that an earlier user of a buffer
 * failed says nothing about who comes next.
 */
static bool xrnpe_job_in_fence_failed(const struct xrnpe_job *job)
{
	for (unsigned int i = 0; i < job->in_count; i++) {
		const struct dma_fence *fence = job->in_fences[i];

		if (test_bit(DMA_FENCE_FLAG_SIGNALED_BIT, &fence->flags) && fence->error)
			return true;
	}
	return false;
}

/**
 * xrnpe_job_obstacle() - why a job that has not begun shall not begin any more
 * @job: the job
 *
 * Jobs fail, and queues are banned, with hw_lock held: without it the answer may be old.
 *
 * Return: the reason to cancel it for, or DRM_XRNPE_CANCEL_NONE.
 */
enum drm_xrnpe_cancel_reason xrnpe_job_obstacle(const struct xrnpe_job *job)
{
	if (xrnpe_job_in_fence_failed(job))
		return DRM_XRNPE_CANCEL_IN_FENCE;
	if (READ_ONCE(job->queue->banned))
		return DRM_XRNPE_CANCEL_BANNED;
	return DRM_XRNPE_CANCEL_NONE;
}

/**
 * xrnpe_job_create() - make a job that has nothing to do yet
 * @queue: the queue by which it shall go
 * @file: the file, for the scheduler's traces
 *
 * As a file may have thousands of them, who submits is charged for their memory.
 *
 * Return: the job, to be armed and added to the queue, or else cleaned up by
 * drm_sched_job_cleanup() and xrnpe_job_free(); or ERR_PTR().
 */
struct xrnpe_job *xrnpe_job_create(struct xrnpe_queue *queue, struct drm_file *file)
{
	struct xrnpe_job *job __free(kfree) = kzalloc_obj(*job, GFP_KERNEL_ACCOUNT);
	int ret;

	if (!job)
		return ERR_PTR(-ENOMEM);
	job->result = xrnpe_result_create();
	if (!job->result)
		return ERR_PTR(-ENOMEM);
	job->hw_fence = xrnpe_fence_create(queue->ctx, GFP_KERNEL_ACCOUNT);
	if (!job->hw_fence) {
		xrnpe_result_put(job->result);
		return ERR_PTR(-ENOMEM);
	}
	ret = drm_sched_job_init(&job->base, &queue->entity, 1, queue->ctx, file->client_id);
	if (ret) {
		dma_fence_put(job->hw_fence);
		xrnpe_result_put(job->result);
		return ERR_PTR(ret);
	}

	kref_get(&queue->refcount);
	job->ctx = queue->ctx;
	job->queue = queue;
	job->ring = queue->ring;
	INIT_LIST_HEAD(&job->node);
	return no_free_ptr(job);
}

/**
 * xrnpe_job_free() - free a job and what it uses
 * @job: the job, without the scheduler's part
 */
void xrnpe_job_free(struct xrnpe_job *job)
{
	for (unsigned int i = 0; i < job->bo_count; i++)
		drm_gem_object_put(job->bos[i]);
	for (unsigned int i = 0; i < job->in_count; i++)
		dma_fence_put(job->in_fences[i]);
	kfree(job->in_fences);

	dma_fence_put(job->hw_fence);
	xrnpe_perfmon_put(job->perfmon);
	xrnpe_result_put(job->result);
	xrnpe_queue_put(job->queue);
	kfree(job);
}

static void xrnpe_job_free_work(struct work_struct *work)
{
	xrnpe_job_free(container_of(work, struct xrnpe_job, free_work));
}

static bool xrnpe_job_has_imports(const struct xrnpe_job *job)
{
	for (unsigned int i = 0; i < job->bo_count; i++)
		if (drm_gem_is_imported(job->bos[i]))
			return true;
	return false;
}

/**
 * xrnpe_job_free_later() - free a job, now or soon
 * @job: the job, without the scheduler's part
 *
 * Who is the last to put an imported buffer takes its lock, with which others may wait for
 * fences.
 *
 * Context: fences may wait for it.
 */
void xrnpe_job_free_later(struct xrnpe_job *job)
{
	if (!xrnpe_job_has_imports(job)) {
		xrnpe_job_free(job);
		return;
	}
	INIT_WORK(&job->free_work, xrnpe_job_free_work);
	queue_work(xrnpe_wq, &job->free_work);
}

/**
 * xrnpe_job_got_to_ring() - or will not get there; for xrnpe_ctx_close_queues()
 * @job: the job
 */
void xrnpe_job_got_to_ring(struct xrnpe_job *job)
{
	if (job->waiting)
		atomic_dec(&job->ctx->waiting);
	job->waiting = false;
}

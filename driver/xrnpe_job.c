// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Jobs and their fences.
 *
 * A job's commands are not looked at: the device checks every access against
 * the job's regions, which lie in memory that user space cannot reach.
 */
#include <linux/slab.h>

#include "xrnpe_drv.h"
#include "xrnpe_job.h"
#include "xrnpe_perfmon.h"
#include "xrnpe_queue.h"
#include "xrnpe_trace.h"

/* ---- fences ---- */

static const char *xrnpe_fence_driver_name(struct dma_fence *fence)
{
	return "xrnpe";
}

static const char *xrnpe_fence_timeline_name(struct dma_fence *fence)
{
	return "queue";
}

static void xrnpe_fence_release(struct dma_fence *fence)
{
	struct xrnpe_result *result = container_of(fence, struct xrnpe_result, fence);

	xrnpe_ctx_put(result->ctx);
	kfree_rcu(result, fence.rcu);
}

static const struct dma_fence_ops xrnpe_fence_ops = {
	.get_driver_name = xrnpe_fence_driver_name,
	.get_timeline_name = xrnpe_fence_timeline_name,
	.release = xrnpe_fence_release,
};

/* For a job that has no number yet. The fence keeps @ctx, and with it this module. */
static struct xrnpe_result *xrnpe_result_create(struct xrnpe_ctx *ctx)
{
	struct xrnpe_result *result = kmalloc_obj(*result, GFP_KERNEL_ACCOUNT);

	if (!result)
		return NULL;
	result->fence.seqno = 0;
	kref_get(&ctx->refcount);
	result->ctx = ctx;
	return result;
}

/* Put the reference of a job that may have no number. */
static void xrnpe_result_free(struct xrnpe_result *result)
{
	if (result->fence.seqno) {
		xrnpe_result_put(result);
		return;
	}
	/* Nobody knows it. */
	xrnpe_ctx_put(result->ctx);
	kfree(result);
}

/**
 * xrnpe_result_set() - say how a job ended
 * @result: its result
 * @state: how
 * @reason: why, if it was cancelled
 * @record: what the device says, or NULL if it did not end the job
 */
void xrnpe_result_set(struct xrnpe_result *result, enum drm_xrnpe_job_state state,
		      enum drm_xrnpe_cancel_reason reason, const struct xrnpe_job_record *record)
{
	result->state = state;
	result->reason = reason;
	if (!record) {
		result->record = (struct xrnpe_job_record) {};
		return;
	}
	result->record = *record;
	/* The ring's count of jobs is nobody's business. */
	result->record.seqno = lower_32_bits(result->fence.seqno);
}

/* ---- jobs ---- */

/* A job with more of them is freed by a worker. */
#define XRNPE_FEW_FENCES	64

/**
 * xrnpe_job_create() - make a job that has nothing to do yet
 * @queue: the queue by which it shall go
 *
 * As a file may have thousands of them, who submits is charged for their memory.
 *
 * Return: the job, to be pushed, or else freed by xrnpe_job_free(); or ERR_PTR().
 */
struct xrnpe_job *xrnpe_job_create(struct xrnpe_queue *queue)
{
	struct xrnpe_job *job __free(kfree) = kmalloc_obj(*job, GFP_KERNEL_ACCOUNT);

	if (!job)
		return ERR_PTR(-ENOMEM);
	memset_startat(job, 0, perfmon);
	xa_init_flags(&job->awaited, XA_FLAGS_ACCOUNT);
	job->result = xrnpe_result_create(queue->ctx);
	if (!job->result)
		return ERR_PTR(-ENOMEM);

	kref_get(&queue->refcount);
	job->ctx = queue->ctx;
	job->queue = queue;
	job->ring = queue->ring;
	return no_free_ptr(job);
}

/**
 * xrnpe_job_number() - give a job its number, and init its fence
 * @job: the job, with submit_lock of its queue held
 * @number: one more than the job's before it
 */
void xrnpe_job_number(struct xrnpe_job *job, u64 number)
{
	struct xrnpe_result *result = job->result;

	spin_lock_init(&result->lock);
	dma_fence_init(&result->fence, &xrnpe_fence_ops, &result->lock,
		       job->queue->fence_context, number);
}

/**
 * xrnpe_job_free() - free a job and what it uses
 * @job: the job
 */
void xrnpe_job_free(struct xrnpe_job *job)
{
	struct dma_fence *fence;
	unsigned long index;

	for (unsigned int i = 0; i < job->bo_count; i++)
		drm_gem_object_put(job->bos[i]);
	for (unsigned int i = 0; i < job->in_count; i++)
		dma_fence_put(job->in_fences[i]);
	kfree(job->in_fences);
	xa_for_each(&job->awaited, index, fence)
		dma_fence_put(fence);
	xa_destroy(&job->awaited);

	xrnpe_result_free(job->result);
	xrnpe_perfmon_put(job->perfmon);
	xrnpe_queue_put(job->queue);
	kfree(job);
}

static void xrnpe_job_free_work(struct work_struct *work)
{
	xrnpe_job_free(container_of(work, struct xrnpe_job, free_work));
}

/*
 * Who is the last to put an imported buffer takes its lock, with which others wait for fences.
 * And nobody else is to wait for what a program may have made large.
 */
static bool xrnpe_job_frees_much(const struct xrnpe_job *job)
{
	for (unsigned int i = 0; i < job->bo_count; i++)
		if (drm_gem_is_imported(job->bos[i]) || kref_read(&job->bos[i]->refcount) == 1)
			return true;
	return job->frees_much || job->awaited_count > XRNPE_FEW_FENCES;
}

static void xrnpe_job_free_ended(struct xrnpe_job *job)
{
	if (!xrnpe_job_frees_much(job)) {
		xrnpe_job_free(job);
		return;
	}
	INIT_WORK(&job->free_work, xrnpe_job_free_work);
	queue_work(xrnpe_wq, &job->free_work);
}

/**
 * xrnpe_hw_unlock() - release hw_lock, and free the jobs that have ended meanwhile
 * @xdev: the device
 */
void xrnpe_hw_unlock(struct xrnpe_device *xdev)
{
	struct xrnpe_job *job, *next;
	LIST_HEAD(ended);
	bool cookie;

	list_splice_init(&xdev->ended_jobs, &ended);
	mutex_unlock(&xdev->hw_lock);
	/* Who waits for fences may wait for who gets here. */
	cookie = dma_fence_begin_signalling();
	list_for_each_entry_safe(job, next, &ended, node)
		xrnpe_job_free_ended(job);
	dma_fence_end_signalling(cookie);
}

/* ---- what comes before a job ---- */

/**
 * xrnpe_job_await() - let a job wait for a fence
 * @job: the job
 * @fence: the fence, whose reference is the job's from here on, also if this fails
 *
 * Jobs of a queue execute in order: for an earlier one of its own nothing has to be done.
 *
 * Return: 0 or -ENOMEM.
 */
int xrnpe_job_await(struct xrnpe_job *job, struct dma_fence *fence)
{
	int ret;

	if (fence->context == job->queue->fence_context) {
		dma_fence_put(fence);
		return 0;
	}
	ret = xa_err(xa_store(&job->awaited, job->awaited_count, fence, GFP_KERNEL));
	if (ret)
		dma_fence_put(fence);
	else
		job->awaited_count++;
	return ret;
}

/**
 * xrnpe_job_in_fence_failed() - whether a fence failed that the program wanted waited for
 * @job: the job, with hw_lock
 *
 * Errors do not come over implicit fences: that an earlier user of a buffer failed says
 * nothing about who comes next.
 *
 * Return: true if so.
 */
bool xrnpe_job_in_fence_failed(const struct xrnpe_job *job)
{
	for (unsigned int i = 0; i < job->in_count; i++) {
		const struct dma_fence *fence = job->in_fences[i];

		if (!test_bit(DMA_FENCE_FLAG_SIGNALED_BIT, &fence->flags))
			continue;
		/* An error is set before. */
		smp_rmb();
		if (fence->error)
			return true;
	}
	return false;
}

/* ---- its end ---- */

/**
 * xrnpe_cancel_error() - the error that the fence of a cancelled job has
 * @reason: why it was cancelled
 *
 * Return: a negative errno.
 */
int xrnpe_cancel_error(enum drm_xrnpe_cancel_reason reason)
{
	switch (reason) {
	case DRM_XRNPE_CANCEL_LOST:
		return -ENODEV;
	case DRM_XRNPE_CANCEL_CLOSED:
		return -ESRCH;
	default:
		return -ECANCELED;
	}
}

/**
 * xrnpe_job_finish() - tell who waits for a job that it has ended
 * @job: the job, on no list, after all that come before it in its queue; its result is final
 * @error: for its fence, or 0
 *
 * It is freed when hw_lock is released.
 */
void xrnpe_job_finish(struct xrnpe_job *job, int error)
{
	struct xrnpe_device *xdev = job->ring->xdev;

	lockdep_assert_held(&xdev->hw_lock);
	trace_xrnpe_job_done(job);
	if (error)
		dma_fence_set_error(&job->result->fence, error);
	dma_fence_signal(&job->result->fence);
	list_add_tail(&job->node, &xdev->ended_jobs);
}

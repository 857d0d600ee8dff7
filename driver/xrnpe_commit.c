// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The second half of SUBMIT: jobs that are complete wait for who uses their buffers, and get
 * into their queue, with fences in the buffers for who comes next. All of it with the
 * buffers locked, so that all who lock them see one order.
 */
#include <linux/sched/signal.h>

#include <drm/drm_exec.h>

#include "xrnpe_drv.h"
#include "xrnpe_gem.h"
#include "xrnpe_job.h"
#include "xrnpe_queue.h"
#include "xrnpe_sched.h"
#include "xrnpe_submit.h"
#include "xrnpe_trace.h"

/* Values of xrnpe_job_usage(). */
#define XRNPE_JOB_USAGES	3

/* ---- locks ---- */

static void xrnpe_job_unlock_bos(struct xrnpe_job *job, unsigned int count)
{
	while (count--)
		dma_resv_unlock(job->bos[count]->resv);
}

/*
 * Most buffers are nobody else's at the moment, and who does not wait need not care for the
 * order of locks. Returns false if none is locked.
 */
static bool xrnpe_job_trylock_bos(struct xrnpe_job *job)
{
	for (unsigned int i = 0; i < job->bo_count; i++) {
		if (!dma_resv_trylock(job->bos[i]->resv)) {
			xrnpe_job_unlock_bos(job, i);
			return false;
		}
	}
	return true;
}

static int xrnpe_job_lock_bos(struct xrnpe_job *job, struct drm_exec *exec)
{
	int ret = 0;

	for (unsigned int i = 0; !ret && i < job->bo_count; i++)
		ret = drm_exec_lock_obj(exec, job->bos[i]);
	return ret;
}

static int xrnpe_submissions_lock_bos(struct xrnpe_submission *subs, unsigned int count,
				      struct drm_exec *exec)
{
	int ret;

	drm_exec_init(exec, DRM_EXEC_INTERRUPTIBLE_WAIT | DRM_EXEC_IGNORE_DUPLICATES, 0);
	drm_exec_until_all_locked(exec) {
		ret = 0;
		for (unsigned int i = 0; !ret && i < count; i++)
			ret = xrnpe_job_lock_bos(subs[i].job, exec);
		drm_exec_retry_on_contention(exec);
		if (ret)
			break;
	}
	return ret;
}

/* ---- fences of buffers ---- */

static bool xrnpe_job_has_implicit_sync(const struct xrnpe_job *job)
{
	return !(job->flags & DRM_XRNPE_JOB_NO_IMPLICIT_SYNC);
}

static enum dma_resv_usage xrnpe_job_usage(const struct xrnpe_job *job, unsigned int bo)
{
	if (!xrnpe_job_has_implicit_sync(job))
		return DMA_RESV_USAGE_BOOKKEEP;
	return job->bo_written & BIT(bo) ? DMA_RESV_USAGE_WRITE : DMA_RESV_USAGE_READ;
}

/* Others may add fences to a buffer that left the driver. */
static bool xrnpe_bo_is_shared(const struct xrnpe_bo *bo)
{
	return READ_ONCE(bo->exported) || drm_gem_is_imported(&bo->base);
}

/*
 * Let @job wait for who uses @bo, with its reservation locked. Fences that have signaled are
 * passed over: when each job is waited for that is what most are.
 */
static int xrnpe_job_await_bo(struct xrnpe_job *job, struct xrnpe_bo *bo, bool write)
{
	u64 own = job->queue->fence_context;
	struct dma_resv_iter cursor;
	struct dma_fence *fence;
	bool alone = true;
	int ret = 0;

	if (bo->alone == own && !xrnpe_bo_is_shared(bo))
		return 0;
	dma_resv_for_each_fence(&cursor, bo->base.resv, DMA_RESV_USAGE_BOOKKEEP, fence) {
		if (ret || dma_fence_is_signaled(fence) || fence->context == own)
			continue;
		alone = false;
		if (dma_resv_iter_usage(&cursor) > dma_resv_usage_rw(write))
			continue;
		/* A buffer may have thousands. */
		cond_resched();
		ret = fatal_signal_pending(current) ? -EINTR :
		      xrnpe_job_await(job, dma_fence_get(fence));
	}
	bo->alone = alone ? own : 0;
	return ret;
}

/*
 * With room for a fence of each usage, since of each a queue's later fences take the place of
 * its earlier ones. One job may have several: a buffer and imports of it are fenced as one.
 */
static int xrnpe_job_prepare_bos(struct xrnpe_job *job)
{
	int ret = 0;

	for (unsigned int i = 0; !ret && i < job->bo_count; i++) {
		struct xrnpe_bo *bo = to_xrnpe_bo(job->bos[i]);

		ret = dma_resv_reserve_fences(bo->base.resv, XRNPE_JOB_USAGES);
		if (ret)
			break;
		if (xrnpe_job_has_implicit_sync(job))
			ret = xrnpe_job_await_bo(job, bo, job->bo_written & BIT(i));
		else if (bo->alone != job->queue->fence_context || xrnpe_bo_is_shared(bo))
			bo->alone = 0;
		job->in_company |= bo->alone != job->queue->fence_context;
	}
	return ret;
}

static void xrnpe_job_fence_bos(struct xrnpe_job *job)
{
	for (unsigned int i = 0; i < job->bo_count; i++)
		dma_resv_add_fence(job->bos[i]->resv, &job->result->fence,
				   xrnpe_job_usage(job, i));
}

/* ---- into the queue ---- */

/* From here on the job has a number, and cannot fail to be submitted. */
static void xrnpe_submission_number(struct xrnpe_submission *subs, unsigned int index,
				    struct xrnpe_queue *queue)
{
	struct xrnpe_submission *sub = &subs[index];
	struct xrnpe_job *job = sub->job;

	xrnpe_job_number(job, queue->last_job + 1 + index);
	for (unsigned int i = 0; i < index; i++)
		if (sub->after & BIT_ULL(i))
			job->in_fences[job->in_count++] =
				dma_fence_get(&subs[i].job->result->fence);
	trace_xrnpe_job_submit(job);
}

/*
 * The device may begin at once, before the fences are in the buffers; but no job is freed before
 * hw_lock is released. It is not held for long lists of fences, though: everybody's jobs want it.
 */
static void xrnpe_submissions_enqueue(struct xrnpe_submission *subs, unsigned int count,
				      struct xrnpe_queue *queue, bool unlock_bos)
{
	bool in_company = false;
	LIST_HEAD(jobs);

	for (unsigned int i = 0; i < count; i++) {
		xrnpe_submission_number(subs, i, queue);
		list_add_tail(&subs[i].job->node, &jobs);
		in_company |= subs[i].job->in_company;
	}
	for (unsigned int i = 0; in_company && i < count; i++)
		xrnpe_job_fence_bos(subs[i].job);

	guard(xrnpe_hw)(queue->ring->xdev);
	xrnpe_queue_push(queue, &jobs);
	for (unsigned int i = 0; i < count; i++) {
		struct xrnpe_job *job = subs[i].job;

		if (!in_company)
			xrnpe_job_fence_bos(job);
		if (unlock_bos)
			xrnpe_job_unlock_bos(job, job->bo_count);
		subs[i].fence = dma_fence_get(&job->result->fence);
		subs[i].job = NULL;
	}
}

/**
 * xrnpe_submissions_commit() - let jobs execute, or on an error none
 * @subs: the jobs; if they are the queue's then, @job is NULL and @fence is not
 * @count: how many
 * @queue: their queue, with submit_lock held, and room
 *
 * Return: 0 or a negative errno.
 */
int xrnpe_submissions_commit(struct xrnpe_submission *subs, unsigned int count,
			     struct xrnpe_queue *queue)
{
	bool tried = count == 1 && xrnpe_job_trylock_bos(subs[0].job);
	struct drm_exec exec __uninitialized;
	int ret = 0;

	if (!tried)
		ret = xrnpe_submissions_lock_bos(subs, count, &exec);
	for (unsigned int i = 0; !ret && i < count; i++)
		ret = xrnpe_job_prepare_bos(subs[i].job);

	if (!ret)
		xrnpe_submissions_enqueue(subs, count, queue, tried);
	else if (tried)
		xrnpe_job_unlock_bos(subs[0].job, subs[0].job->bo_count);
	if (!tried)
		drm_exec_fini(&exec);
	return ret;
}

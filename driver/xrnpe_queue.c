// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Queues of files: who may have which, what they hold, and how their jobs ended.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/moduleparam.h>
#include <linux/nospec.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <drm/drm_file.h>
#include <drm/drm_print.h>
#include <drm/drm_utils.h>

#include "xrnpe_drv.h"
#include "xrnpe_job.h"
#include "xrnpe_queue.h"
#include "xrnpe_sched.h"
#include "xrnpe_share.h"

/* When a file is closed its jobs may go on to get into the rings for so long. */
#define XRNPE_CLOSE_MS		1000

static int urgent_gid = -1;
module_param(urgent_gid, int, 0644);
MODULE_PARM_DESC(urgent_gid, "Group whose processes may have queues of high and realtime priority without CAP_SYS_NICE");

/* ---- how jobs ended ---- */

static struct xrnpe_result *xrnpe_result_find(struct xrnpe_queue *queue, u64 id)
{
	struct xrnpe_result *result;

	guard(spinlock)(&queue->lock);
	if (!id || id > queue->last_job)
		return ERR_PTR(-ENOENT);
	result = queue->history[id % queue->depth];
	if (result->fence.seqno != id)
		return ERR_PTR(-ESTALE);
	dma_fence_get(&result->fence);
	return result;
}

/* ---- a queue's life ---- */

static void xrnpe_queue_free(struct kref *ref)
{
	struct xrnpe_queue *queue = container_of(ref, struct xrnpe_queue, refcount);

	xrnpe_ctx_put(queue->ctx);
	mutex_destroy(&queue->submit_lock);
	kvfree_rcu(queue, rcu);
}

void xrnpe_queue_put(struct xrnpe_queue *queue)
{
	kref_put(&queue->refcount, xrnpe_queue_free);
}

/* Where a file has its queue @id, or NULL if that is not one of 1..XRNPE_MAX_FILE_QUEUES. */
static struct xrnpe_queue **xrnpe_ctx_queue(struct xrnpe_ctx *ctx, u32 id)
{
	if (id - 1 >= XRNPE_MAX_FILE_QUEUES)
		return NULL;
	return &ctx->queues[array_index_nospec(id - 1, XRNPE_MAX_FILE_QUEUES)];
}

/**
 * xrnpe_queue_get() - find a queue by its number
 * @ctx: its file
 * @id: its number
 *
 * Return: the queue, with a reference, or NULL.
 */
struct xrnpe_queue *xrnpe_queue_get(struct xrnpe_ctx *ctx, u32 id)
{
	struct xrnpe_queue **place = xrnpe_ctx_queue(ctx, id), *queue;

	guard(rcu)();
	queue = place ? READ_ONCE(*place) : NULL;
	return queue && kref_get_unless_zero(&queue->refcount) ? queue : NULL;
}

static bool xrnpe_may_be_urgent(void)
{
	int gid = READ_ONCE(urgent_gid);

	return (gid >= 0 && in_egroup_p(KGIDT_INIT(gid))) || capable(CAP_SYS_NICE);
}

static struct xrnpe_queue *xrnpe_queue_create(struct xrnpe_ctx *ctx, u32 priority, u32 depth)
{
	const unsigned int rings = ctx->xdev->info.rings;
	struct xrnpe_ring *ring = &ctx->xdev->ring[xrnpe_priority_ring(rings, priority)];
	struct xrnpe_queue *queue;

	queue = kvzalloc(struct_size(queue, history, depth), GFP_KERNEL_ACCOUNT);
	if (!queue)
		return ERR_PTR(-ENOMEM);
	kref_init(&queue->refcount);
	kref_get(&ctx->refcount);
	queue->ctx = ctx;
	queue->ring = ring;
	queue->depth = depth;
	queue->fence_context = dma_fence_context_alloc(1);
	mutex_init(&queue->submit_lock);
	spin_lock_init(&queue->lock);
	INIT_LIST_HEAD(&queue->jobs);
	INIT_WORK(&queue->work, xrnpe_queue_work);
	xrnpe_share_init(&queue->share, &ring->turns[priority]);
	xrnpe_queue_open(queue);
	return queue;
}

/* Take no jobs any more, cancel those that have not got to the ring, forget the others. */
static void xrnpe_queue_close(struct xrnpe_queue *queue)
{
	scoped_guard(mutex, &queue->submit_lock)
		queue->closed = true;

	/* From here on nobody finds a result. */
	scoped_guard(spinlock, &queue->lock)
		queue->last_job = 0;

	xrnpe_queue_cancel(queue);

	/* Who waits for one has a reference. */
	for (unsigned int i = 0; i < queue->depth; i++)
		xrnpe_result_put(queue->history[i]);
	xrnpe_queue_put(queue);
}

static void xrnpe_ctx_close(struct xrnpe_ctx *ctx)
{
	for (unsigned int i = 0; i < XRNPE_MAX_FILE_QUEUES; i++)
		if (ctx->queues[i])
			xrnpe_queue_close(ctx->queues[i]);
}

void xrnpe_ctx_close_work(struct work_struct *work)
{
	struct xrnpe_ctx *ctx = container_of(to_delayed_work(work), struct xrnpe_ctx, close_work);

	xrnpe_ctx_close(ctx);
	xrnpe_ctx_put(ctx);
}

/* Whether a queue has jobs that have not got to a ring. */
static bool xrnpe_ctx_has_queued_jobs(struct xrnpe_ctx *ctx)
{
	guard(xrnpe_hw)(ctx->xdev);
	for (unsigned int i = 0; i < XRNPE_MAX_FILE_QUEUES; i++)
		if (ctx->queues[i] && !list_empty(&ctx->queues[i]->jobs))
			return true;
	return false;
}

static bool xrnpe_task_was_killed(void)
{
	return fatal_signal_pending(current) ||
	       (current->flags & PF_EXITING && current->exit_code == SIGKILL);
}

/**
 * xrnpe_ctx_close_queues() - give queued jobs a moment to get into the rings, and
 * cancel what then is left, or all at once if the process was killed
 * @ctx: the file, which has no user any more
 *
 * Nobody waits for that: a process that exits can have any number of files, one after the
 * other, and cannot be killed any more.
 */
void xrnpe_ctx_close_queues(struct xrnpe_ctx *ctx)
{
	if (xrnpe_task_was_killed() || !xrnpe_ctx_has_queued_jobs(ctx)) {
		xrnpe_ctx_close(ctx);
		return;
	}
	kref_get(&ctx->refcount);
	queue_delayed_work(xrnpe_wq, &ctx->close_work, msecs_to_jiffies(XRNPE_CLOSE_MS));
}

/* Returns the queue's number, or 0 if the file has too many. */
static u32 xrnpe_ctx_add_queue(struct xrnpe_ctx *ctx, struct xrnpe_queue *queue)
{
	for (u32 id = 1; id <= XRNPE_MAX_FILE_QUEUES; id++) {
		queue->id = id;
		if (!cmpxchg(xrnpe_ctx_queue(ctx, id), NULL, queue))
			return id;
	}
	return 0;
}

int xrnpe_ioctl_queue_create(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_xrnpe_queue_create *args = data;
	struct xrnpe_ctx *ctx = file->driver_priv;
	struct xrnpe_queue *queue;
	u32 id;

	if (READ_ONCE(ctx->xdev->wedged))
		return -ENODEV;
	if (args->priority > DRM_XRNPE_PRIORITY_REALTIME || args->flags ||
	    !args->depth || args->depth > XRNPE_MAX_DEPTH) {
		drm_dbg(drm, "no priority %u, unknown flags %#x, or depth %u not in 1..%u\n",
			args->priority, args->flags, args->depth, XRNPE_MAX_DEPTH);
		return -EINVAL;
	}
	if (args->priority > DRM_XRNPE_PRIORITY_MEDIUM && !xrnpe_may_be_urgent()) {
		drm_dbg(drm, "priority %u takes CAP_SYS_NICE or group %d\n", args->priority,
			urgent_gid);
		return -EACCES;
	}

	queue = xrnpe_queue_create(ctx, args->priority, args->depth);
	if (IS_ERR(queue))
		return PTR_ERR(queue);
	/* Who guesses its number may destroy it as soon as it is there. */
	id = xrnpe_ctx_add_queue(ctx, queue);
	if (!id) {
		drm_dbg(drm, "no room for a queue\n");
		xrnpe_queue_close(queue);
		return -ENOSPC;
	}
	args->queue = id;
	return 0;
}

int xrnpe_ioctl_queue_destroy(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_xrnpe_queue_destroy *args = data;
	struct xrnpe_ctx *ctx = file->driver_priv;
	struct xrnpe_queue **place, *queue;

	if (args->pad) {
		drm_dbg(drm, "pad is not zero\n");
		return -EINVAL;
	}
	place = xrnpe_ctx_queue(ctx, args->queue);
	queue = place ? xchg(place, NULL) : NULL;
	if (!queue)
		return -ENOENT;
	xrnpe_queue_close(queue);
	return 0;
}

/* ---- what it holds ---- */

/* The result whose place in the history the last of @jobs to come will need, or NULL. */
static struct xrnpe_result *xrnpe_queue_last_replaced(struct xrnpe_queue *queue,
						      unsigned int jobs)
{
	u64 last = queue->last_job + jobs;

	lockdep_assert_held(&queue->submit_lock);
	return last > queue->depth ? xrnpe_result_find(queue, last - queue->depth) : NULL;
}

static int xrnpe_queue_check_open(struct xrnpe_queue *queue)
{
	if (queue->closed)
		return -ENOENT;
	if (READ_ONCE(queue->banned)) {
		drm_dbg(&queue->ring->xdev->drm, "queue %u is banned\n", queue->id);
		return -EIO;
	}
	return 0;
}

/**
 * xrnpe_queue_lock_for_jobs() - make room for jobs, and see that no others come between
 * @queue: the queue
 * @jobs: how many, at most its depth
 * @block: sleep until there is room
 *
 * Return: 0: submit_lock is held; -ENOENT: the queue is closed; -EIO: it is banned;
 * -EBUSY: there is no room, and @block is false; -ERESTARTSYS.
 */
int xrnpe_queue_lock_for_jobs(struct xrnpe_queue *queue, unsigned int jobs, bool block)
{
	for (;;) {
		struct xrnpe_result *oldest;
		int ret;

		ret = mutex_lock_interruptible(&queue->submit_lock);
		if (ret)
			return ret;
		ret = xrnpe_queue_check_open(queue);
		if (ret)
			goto err_unlock;
		/* Jobs of a queue end in their order. */
		oldest = xrnpe_queue_last_replaced(queue, jobs);
		if (!oldest)
			return 0;
		if (dma_fence_is_signaled(&oldest->fence)) {
			xrnpe_result_put(oldest);
			return 0;
		}

		mutex_unlock(&queue->submit_lock);
		ret = block ? dma_fence_wait(&oldest->fence, true) : -EBUSY;
		xrnpe_result_put(oldest);
		if (ret)
			return ret;
		continue;

err_unlock:
		mutex_unlock(&queue->submit_lock);
		return ret;
	}
}

/**
 * xrnpe_queue_remember() - give a job a place in the history
 * @queue: the queue, with submit_lock held, and room
 * @fence: of the next job after the last
 */
void xrnpe_queue_remember(struct xrnpe_queue *queue, struct dma_fence *fence)
{
	struct xrnpe_result **place, *old;

	dma_fence_get(fence);
	scoped_guard(spinlock, &queue->lock) {
		queue->last_job = fence->seqno;
		place = &queue->history[queue->last_job % queue->depth];
		old = *place;
		*place = container_of(fence, struct xrnpe_result, fence);
	}
	xrnpe_result_put(old);
}

/**
 * xrnpe_queue_note_end() - ban a queue that fails again and again
 * @queue: the queue
 * @result: how its oldest job ended in the hardware
 */
void xrnpe_queue_note_end(struct xrnpe_queue *queue, const struct xrnpe_result *result)
{
	u32 kind = result->record.fault.kind;

	lockdep_assert_held(&queue->ring->xdev->hw_lock);
	if (result->state == DRM_XRNPE_JOB_DONE)
		queue->failures = 0;
	/* These are no fault of the job's. */
	if (result->state == DRM_XRNPE_JOB_DONE || result->state == DRM_XRNPE_JOB_CANCELLED ||
	    kind == XRNPE_FAULT_BUS || kind == XRNPE_FAULT_DEVICE)
		return;
	if (++queue->failures == XRNPE_MAX_FAILURES) {
		drm_dbg(&queue->ring->xdev->drm, "queue %u of client %llu is banned\n",
			queue->id, queue->ctx->client);
		WRITE_ONCE(queue->banned, true);
	}
}

/* ---- JOB_WAIT ---- */

static int xrnpe_result_tell(const struct xrnpe_result *result, struct drm_xrnpe_job_wait *args)
{
	const struct xrnpe_fault *fault = &result->record.fault;

	args->state = result->state;
	args->reason = result->reason;
	args->status = result->record.status;
	args->fault = (struct drm_xrnpe_fault) {
		.kind = fault->kind,
		.cmd = fault->cmd,
		.operand = fault->operand,
		.region = fault->region,
		.offset = fault->offset,
	};
	if (!args->record)
		return 0;
	return copy_struct_to_user(u64_to_user_ptr(args->record), args->record_size,
				   &result->record, sizeof(result->record), NULL);
}

int xrnpe_ioctl_job_wait(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_xrnpe_job_wait *args = data;
	struct xrnpe_result *result;
	struct xrnpe_queue *queue;
	long ret;

	if (args->flags || args->record_size > PAGE_SIZE) {
		drm_dbg(drm, "unknown flags %#x, or record size %u more than a page\n",
			args->flags, args->record_size);
		return -EINVAL;
	}
	queue = xrnpe_queue_get(file->driver_priv, args->queue);
	if (!queue)
		return -ENOENT;
	result = xrnpe_result_find(queue, args->job);
	xrnpe_queue_put(queue);
	if (IS_ERR(result))
		return PTR_ERR(result);

	ret = dma_fence_wait_timeout(&result->fence, true,
				     args->timeout_ns <= 0 ? 0 :
				     drm_timeout_abs_to_jiffies(args->timeout_ns));
	if (ret > 0)
		ret = xrnpe_result_tell(result, args);
	else if (!ret)
		ret = -ETIME;
	xrnpe_result_put(result);
	return ret;
}

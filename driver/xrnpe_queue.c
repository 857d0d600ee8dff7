// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Queues of files: who may have which, what they hold, and how their jobs ended.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/moduleparam.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <drm/drm_file.h>
#include <drm/drm_print.h>
#include <drm/drm_utils.h>

#include "xrnpe_drv.h"
#include "xrnpe_job.h"
#include "xrnpe_queue.h"
#include "xrnpe_share.h"

/* When a file is closed its jobs may go on to get into the rings for so long. */
#define XRNPE_CLOSE_MS		1000

static int urgent_gid = -1;
module_param(urgent_gid, int, 0644);
MODULE_PARM_DESC(urgent_gid, "Group whose processes may have queues of high and realtime priority without CAP_SYS_NICE");

/* ---- how jobs ended ---- */

/**
 * xrnpe_result_create() - for a job that has no number yet
 *
 * Return: the result, with one reference, or NULL.
 */
struct xrnpe_result *xrnpe_result_create(void)
{
	struct xrnpe_result *result = kzalloc_obj(*result, GFP_KERNEL_ACCOUNT);

	if (!result)
		return NULL;
	kref_init(&result->refcount);
	/* Until somebody says otherwise. */
	result->state = DRM_XRNPE_JOB_CANCELLED;
	result->reason = DRM_XRNPE_CANCEL_CLOSED;
	return result;
}

static void xrnpe_result_free(struct kref *ref)
{
	struct xrnpe_result *result = container_of(ref, struct xrnpe_result, refcount);

	dma_fence_put(result->finished);
	kfree(result);
}

void xrnpe_result_put(struct xrnpe_result *result)
{
	if (result)
		kref_put(&result->refcount, xrnpe_result_free);
}

static struct xrnpe_result *xrnpe_result_find(struct xrnpe_queue *queue, u64 id)
{
	struct xrnpe_result *result;

	guard(spinlock)(&queue->lock);
	if (!id || id > queue->last_job)
		return ERR_PTR(-ENOENT);
	result = queue->history[id % queue->depth];
	if (result->id != id)
		return ERR_PTR(-ESTALE);
	kref_get(&result->refcount);
	return result;
}

/* ---- a queue's life ---- */

static void xrnpe_queue_free(struct kref *ref)
{
	struct xrnpe_queue *queue = container_of(ref, struct xrnpe_queue, refcount);

	xrnpe_ctx_put(queue->ctx);
	mutex_destroy(&queue->submit_lock);
	kvfree(queue);
}

void xrnpe_queue_put(struct xrnpe_queue *queue)
{
	kref_put(&queue->refcount, xrnpe_queue_free);
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
	struct xrnpe_queue *queue;

	xa_lock(&ctx->queues);
	queue = xa_load(&ctx->queues, id);
	if (queue)
		kref_get(&queue->refcount);
	xa_unlock(&ctx->queues);
	return queue;
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
	struct drm_gpu_scheduler *sched = &ring->sched;
	struct xrnpe_queue *queue;
	int ret;

	queue = kvzalloc(struct_size(queue, history, depth), GFP_KERNEL_ACCOUNT);
	if (!queue)
		return ERR_PTR(-ENOMEM);
	ret = drm_sched_entity_init(&queue->entity, DRM_SCHED_PRIORITY_KERNEL +
				    xrnpe_priority_rank(rings, priority), &sched, 1, NULL);
	if (ret) {
		kvfree(queue);
		return ERR_PTR(ret);
	}

	kref_init(&queue->refcount);
	kref_get(&ctx->refcount);
	queue->ctx = ctx;
	queue->ring = ring;
	queue->depth = depth;
	mutex_init(&queue->submit_lock);
	spin_lock_init(&queue->lock);
	xrnpe_share_init(&queue->share, priority);
	return queue;
}

static void xrnpe_queue_close_work(struct work_struct *work)
{
	struct xrnpe_queue *queue = container_of(work, struct xrnpe_queue, close_work);

	drm_sched_entity_fini(&queue->entity);
}

/* Take no jobs any more, cancel those that have not got to the ring, forget the others. */
static void xrnpe_queue_close(struct xrnpe_queue *queue)
{
	scoped_guard(mutex, &queue->submit_lock)
		queue->closed = true;

	/* From here on nobody finds a result. */
	scoped_guard(spinlock, &queue->lock)
		queue->last_job = 0;

	/*
	 * When the scheduler has taken a job from an entity, drm_sched_entity_pop_job() lines the
	 * entity up for its next one, even if it was closed meanwhile; there it would stay when it
	 * is freed. So it is closed where the scheduler works, one thing after the other.
	 */
	INIT_WORK(&queue->close_work, xrnpe_queue_close_work);
	queue_work(queue->ring->sched.submit_wq, &queue->close_work);
	flush_work(&queue->close_work);
	xrnpe_share_withdraw(queue);

	/* Who waits for one has a reference. */
	for (unsigned int i = 0; i < queue->depth; i++)
		xrnpe_result_put(queue->history[i]);
	xrnpe_queue_put(queue);
}

static void xrnpe_ctx_close(struct xrnpe_ctx *ctx)
{
	struct xrnpe_queue *queue;
	unsigned long id;

	xa_for_each(&ctx->queues, id, queue)
		xrnpe_queue_close(queue);
	xa_destroy(&ctx->queues);
}

void xrnpe_ctx_close_work(struct work_struct *work)
{
	struct xrnpe_ctx *ctx = container_of(to_delayed_work(work), struct xrnpe_ctx, close_work);

	xrnpe_ctx_close(ctx);
	xrnpe_ctx_put(ctx);
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
	if (!atomic_read(&ctx->waiting) || xrnpe_task_was_killed()) {
		xrnpe_ctx_close(ctx);
		return;
	}
	kref_get(&ctx->refcount);
	queue_delayed_work(xrnpe_wq, &ctx->close_work, msecs_to_jiffies(XRNPE_CLOSE_MS));
}

int xrnpe_ioctl_queue_create(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_xrnpe_queue_create *args = data;
	struct xrnpe_ctx *ctx = file->driver_priv;
	struct xrnpe_queue *queue;
	int ret;

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
	xa_lock(&ctx->queues);
	ret = __xa_alloc(&ctx->queues, &queue->id, queue, XA_LIMIT(1, XRNPE_MAX_FILE_QUEUES),
			 GFP_KERNEL);
	/* Who guesses its number may destroy it as soon as that is unlocked. */
	if (!ret)
		args->queue = queue->id;
	xa_unlock(&ctx->queues);
	if (ret) {
		drm_dbg(drm, "no room for a queue: %pe\n", ERR_PTR(ret));
		xrnpe_queue_close(queue);
		return ret == -EBUSY ? -ENOSPC : ret;
	}
	return 0;
}

int xrnpe_ioctl_queue_destroy(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_xrnpe_queue_destroy *args = data;
	struct xrnpe_ctx *ctx = file->driver_priv;
	struct xrnpe_queue *queue;

	if (args->pad) {
		drm_dbg(drm, "pad is not zero\n");
		return -EINVAL;
	}
	queue = xa_erase(&ctx->queues, args->queue);
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
		if (dma_fence_is_signaled(oldest->finished)) {
			xrnpe_result_put(oldest);
			return 0;
		}

		mutex_unlock(&queue->submit_lock);
		ret = block ? dma_fence_wait(oldest->finished, true) : -EBUSY;
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
 * xrnpe_queue_number() - give an armed job its number, and a place in the history
 * @queue: the queue, with submit_lock held, and room
 * @job: the job, to be pushed next
 */
void xrnpe_queue_number(struct xrnpe_queue *queue, struct xrnpe_job *job)
{
	struct xrnpe_result *result = job->result, **place, *old;

	kref_get(&result->refcount);
	atomic_inc(&queue->ctx->waiting);
	job->waiting = true;

	scoped_guard(spinlock, &queue->lock) {
		result->id = ++queue->last_job;
		place = &queue->history[result->id % queue->depth];
		old = *place;
		*place = result;
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

	ret = dma_fence_wait_timeout(result->finished, true,
				     args->timeout_ns <= 0 ? 0 :
				     drm_timeout_abs_to_jiffies(args->timeout_ns));
	if (ret > 0)
		ret = xrnpe_result_tell(result, args);
	else if (!ret)
		ret = -ETIME;
	xrnpe_result_put(result);
	return ret;
}

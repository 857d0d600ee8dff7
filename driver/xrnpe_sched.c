// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * From queues into rings.
 *
 * A ring is in order, and so is a queue. The oldest job of a queue first waits for fences, one
 * after the other; then it is ready, and its queue waits for its turn, see xrnpe_share.c; then
 * it gets into the ring, if there is room. What can be done at once is done by who makes it
 * possible, as SUBMIT, or the interrupt's thread when a job has ended. Fences of others signal
 * where nothing may sleep, so that a worker goes on from there, as it does where the device has
 * to be woken up.
 *
 * A job that is cancelled ends when those before it in its queue have ended: who waits for a
 * queue's fence has waited for those before it.
 */
#include <linux/device.h>
#include <linux/pm_runtime.h>

#include <drm/drm_drv.h>
#include <drm/drm_managed.h>
#include <drm/drm_print.h>

#include "xrnpe_drv.h"
#include "xrnpe_job.h"
#include "xrnpe_queue.h"
#include "xrnpe_ring.h"
#include "xrnpe_sched.h"
#include "xrnpe_share.h"

/* So many fences are looked at with hw_lock held. */
#define XRNPE_FENCES_AT_ONCE	64

static struct xrnpe_job *xrnpe_queue_head(struct xrnpe_queue *queue)
{
	return list_first_entry_or_null(&queue->jobs, struct xrnpe_job, node);
}

/* ---- what a queue's oldest job waits for ---- */

/* Let the worker go on with a queue whose jobs, or caller, have a reference. */
static void xrnpe_queue_kick(struct xrnpe_queue *queue)
{
	kref_get(&queue->refcount);
	if (!queue_work(queue->ring->xdev->sched_wq, &queue->work))
		xrnpe_queue_put(queue);
}

/*
 * In any context. The job that waits for @fence, and has a reference to the queue, does not go
 * away meanwhile: for that @cb is removed first, with the fence's lock.
 */
static void xrnpe_queue_awaited_signaled(struct dma_fence *fence, struct dma_fence_cb *cb)
{
	xrnpe_queue_kick(container_of(cb, struct xrnpe_queue, awaited_cb));
}

/*
 * Whether all that @job waits for has signaled. If not, the queue's work follows when it has; or
 * soon, as there may be many, and everybody's jobs want hw_lock.
 */
static bool xrnpe_job_is_ready(struct xrnpe_job *job)
{
	struct xrnpe_queue *queue = job->queue;
	unsigned int last = job->signaled + XRNPE_FENCES_AT_ONCE;

	while (job->signaled < job->awaited_count) {
		struct dma_fence *fence = xa_load(&job->awaited, job->signaled);

		if (job->signaled == last) {
			xrnpe_queue_kick(queue);
			return false;
		}
		if (!dma_fence_add_callback(fence, &queue->awaited_cb,
					    xrnpe_queue_awaited_signaled)) {
			queue->awaited = fence;
			return false;
		}
		job->signaled++;
	}
	return true;
}

static void xrnpe_queue_stop_waiting(struct xrnpe_queue *queue)
{
	if (queue->awaited)
		dma_fence_remove_callback(queue->awaited, &queue->awaited_cb);
	queue->awaited = NULL;
	if (queue->share.waits)
		xrnpe_share_withdraw(queue);
}

/* ---- jobs that are not to execute ---- */

static enum drm_xrnpe_cancel_reason xrnpe_queued_job_obstacle(const struct xrnpe_job *job)
{
	if (job->lost || job->ring->xdev->wedged)
		return DRM_XRNPE_CANCEL_LOST;
	if (job->queue->cancels)
		return DRM_XRNPE_CANCEL_CLOSED;
	return xrnpe_job_obstacle(job);
}

static void xrnpe_queued_job_cancel(struct xrnpe_job *job, enum drm_xrnpe_cancel_reason reason)
{
	list_del(&job->node);
	xrnpe_result_set(job->result, DRM_XRNPE_JOB_CANCELLED, reason, NULL);
	xrnpe_job_finish(job, xrnpe_cancel_error(reason));
}

/**
 * xrnpe_queue_look() - see what the oldest job of a queue waits for
 * @queue: the queue
 *
 * To be called when that may have changed, so that nothing but its turn keeps a job from
 * executing whose queue waits for that. Jobs that are not to execute end.
 */
void xrnpe_queue_look(struct xrnpe_queue *queue)
{
	struct xrnpe_job *job;

	lockdep_assert_held(&queue->ring->xdev->hw_lock);
	xrnpe_queue_stop_waiting(queue);
	while ((job = xrnpe_queue_head(queue))) {
		enum drm_xrnpe_cancel_reason obstacle = xrnpe_queued_job_obstacle(job);

		if (obstacle == DRM_XRNPE_CANCEL_NONE) {
			if (!xrnpe_job_is_ready(job))
				return;
			/* What has signaled by now may have failed since it was looked at. */
			obstacle = xrnpe_job_obstacle(job);
		}
		if (obstacle == DRM_XRNPE_CANCEL_NONE) {
			xrnpe_share_wait(queue);
			return;
		}
		/* This follows when they have ended. */
		if (queue->in_ring)
			return;
		xrnpe_queued_job_cancel(job, obstacle);
	}
}

/* ---- into the ring ---- */

/*
 * Keep the device on while there are jobs in rings. Returns false if it has to be woken up.
 * If it is about to be switched off, xrnpe_hw_quiesce() finds the job.
 */
static bool xrnpe_hw_hold(struct xrnpe_device *xdev)
{
	if (!xdev->powered)
		return false;
	if (!xdev->inflight)
		pm_runtime_get_noresume(xdev->drm.dev);
	return true;
}

/**
 * xrnpe_ring_feed() - put jobs that are ready into their ring, as far as there is room
 * @ring: the ring
 */
void xrnpe_ring_feed(struct xrnpe_ring *ring)
{
	struct xrnpe_device *xdev = ring->xdev;
	struct xrnpe_queue *queue;

	lockdep_assert_held(&xdev->hw_lock);
	if (xdev->stops)
		return;
	while (ring->waiters && ring->filled < XRNPE_RING_JOBS &&
	       (queue = xrnpe_ring_next_queue(ring))) {
		if (!xrnpe_hw_hold(xdev)) {
			xrnpe_queue_kick(queue);
			return;
		}
		xrnpe_hw_submit(xrnpe_queue_head(queue));
		xrnpe_queue_look(queue);
	}
}

/**
 * xrnpe_sched_lose() - end the jobs of all queues, whatever they wait for
 * @xdev: the device, which is wedged, without jobs in its rings
 */
void xrnpe_sched_lose(struct xrnpe_device *xdev)
{
	struct xrnpe_queue *queue;

	lockdep_assert_held(&xdev->hw_lock);
	list_for_each_entry(queue, &xdev->queues, node)
		xrnpe_queue_look(queue);
}

/**
 * xrnpe_queue_open() - take a queue in among those of the device
 * @queue: the queue, to which jobs may come until xrnpe_queue_cancel()
 */
void xrnpe_queue_open(struct xrnpe_queue *queue)
{
	guard(xrnpe_hw)(queue->ring->xdev);
	list_add_tail(&queue->node, &queue->ring->xdev->queues);
}

/**
 * xrnpe_queue_push() - let jobs execute, as soon as they can
 * @queue: the queue, with submit_lock held
 * @jobs: the jobs, by their nodes, in their order
 *
 * When hw_lock is released they may end, and be freed, at any time.
 */
void xrnpe_queue_push(struct xrnpe_queue *queue, struct list_head *jobs)
{
	lockdep_assert_held(&queue->ring->xdev->hw_lock);
	if (list_empty(&queue->jobs)) {
		list_splice(jobs, &queue->jobs);
		xrnpe_queue_look(queue);
		xrnpe_ring_feed(queue->ring);
	} else {
		list_splice_tail(jobs, &queue->jobs);
	}
}

/**
 * xrnpe_queue_cancel() - let jobs end that have not got to the ring
 * @queue: the queue, to which no others come, nor did if it was never found
 */
void xrnpe_queue_cancel(struct xrnpe_queue *queue)
{
	guard(xrnpe_hw)(queue->ring->xdev);
	list_del(&queue->node);
	queue->cancels = true;
	xrnpe_queue_look(queue);
	/* Others have their turn. */
	xrnpe_ring_feed(queue->ring);
}

/* ---- the worker ---- */

/* Wake up the device, or note that the oldest job of @queue is lost. */
static bool xrnpe_queue_wake_device(struct xrnpe_queue *queue)
{
	struct drm_device *drm = &queue->ring->xdev->drm;
	int idx, ret = -ENODEV;

	if (drm_dev_enter(drm, &idx)) {
		ret = pm_runtime_resume_and_get(drm->dev);
		if (ret)
			drm_err_ratelimited(drm, "does not wake up: %pe\n", ERR_PTR(ret));
		drm_dev_exit(idx);
	}
	if (!ret)
		return true;

	guard(xrnpe_hw)(queue->ring->xdev);
	if (queue->share.waits) {
		xrnpe_queue_head(queue)->lost = true;
		xrnpe_queue_look(queue);
	}
	return false;
}

/**
 * xrnpe_queue_work() - go on with a queue
 * @work: the queue's
 *
 * Context: fences wait for it.
 */
void xrnpe_queue_work(struct work_struct *work)
{
	struct xrnpe_queue *queue = container_of(work, struct xrnpe_queue, work);
	struct xrnpe_device *xdev = queue->ring->xdev;
	bool wants_device, woken = false;

	scoped_guard(xrnpe_hw, xdev) {
		xrnpe_queue_look(queue);
		wants_device = queue->share.waits && !xdev->stops;
	}
	if (wants_device)
		woken = xrnpe_queue_wake_device(queue);
	scoped_guard(xrnpe_hw, xdev)
		xrnpe_ring_feed(queue->ring);
	if (woken)
		pm_runtime_put_autosuspend(xdev->drm.dev);
	xrnpe_queue_put(queue);
}

/* ---- all of them ---- */

/**
 * xrnpe_sched_stop() - let no job get into a ring
 * @xdev: the device
 *
 * To be undone by xrnpe_sched_start() as often as it was done.
 */
void xrnpe_sched_stop(struct xrnpe_device *xdev)
{
	guard(xrnpe_hw)(xdev);
	xdev->stops++;
}

/**
 * xrnpe_sched_start() - undo xrnpe_sched_stop()
 * @xdev: the device
 */
void xrnpe_sched_start(struct xrnpe_device *xdev)
{
	guard(xrnpe_hw)(xdev);
	if (--xdev->stops)
		return;
	for (unsigned int i = 0; i < xdev->info.rings; i++)
		xrnpe_ring_feed(&xdev->ring[i]);
}

/**
 * xrnpe_sched_stop_checks() - look after no ring's time limit any more
 * @data: the device
 */
void xrnpe_sched_stop_checks(void *data)
{
	struct xrnpe_device *xdev = data;

	for (unsigned int i = 0; i < xdev->info.rings; i++)
		cancel_delayed_work_sync(&xdev->ring[i].check_work);
}

/**
 * xrnpe_sched_probe() - make the workers, and find out how rings share the device
 * @xdev: the device
 *
 * They live as long as the DRM device: open files and their jobs are there after the hardware
 * is gone.
 *
 * Return: 0 or a negative errno.
 */
int xrnpe_sched_probe(struct xrnpe_device *xdev)
{
	struct drm_device *drm = &xdev->drm;

	xrnpe_share_probe(xdev);
	/*
	 * Memory may be freed only when a fence signals, and that may take a worker, or a reset.
	 * It comes before what else the CPUs have to do: else the device waits for a time slice of
	 * those who wait for it.
	 */
	xdev->sched_wq = drmm_alloc_ordered_workqueue(drm, "xrnpe-sched",
						      WQ_MEM_RECLAIM | WQ_HIGHPRI);
	if (IS_ERR(xdev->sched_wq))
		return PTR_ERR(xdev->sched_wq);
	xdev->reset_wq = drmm_alloc_ordered_workqueue(drm, "xrnpe-reset", WQ_MEM_RECLAIM);
	if (IS_ERR(xdev->reset_wq))
		return PTR_ERR(xdev->reset_wq);
	return devm_add_action_or_reset(drm->dev, xrnpe_sched_stop_checks, xdev);
}

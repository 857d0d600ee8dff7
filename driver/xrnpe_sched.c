// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The scheduler's side: a drm_gpu_scheduler for each ring.
 */
#include <linux/pm_runtime.h>

#include <drm/drm_drv.h>
#include <drm/drm_managed.h>
#include <drm/drm_print.h>

#include "xrnpe_drv.h"
#include "xrnpe_job.h"
#include "xrnpe_queue.h"
#include "xrnpe_recover.h"
#include "xrnpe_ring.h"
#include "xrnpe_sched.h"
#include "xrnpe_share.h"

/* Wake up the device and put @job into its ring; or say why it is cancelled. */
static enum drm_xrnpe_cancel_reason xrnpe_job_wake_and_submit(struct xrnpe_job *job)
{
	struct drm_device *drm = &job->ring->xdev->drm;
	enum drm_xrnpe_cancel_reason reason;
	int ret;

	ret = pm_runtime_resume_and_get(drm->dev);
	if (ret) {
		drm_err_ratelimited(drm, "does not wake up: %pe\n", ERR_PTR(ret));
		return DRM_XRNPE_CANCEL_LOST;
	}
	reason = xrnpe_hw_submit(job);
	if (reason != DRM_XRNPE_CANCEL_NONE)
		pm_runtime_put_autosuspend(drm->dev);
	return reason;
}

/* Whether its queue has nothing before it in the ring, after which it must end. */
static bool xrnpe_job_is_next(struct xrnpe_job *job)
{
	guard(mutex)(&job->ring->xdev->hw_lock);
	return !xrnpe_ring_has_earlier(job);
}

static enum drm_xrnpe_cancel_reason xrnpe_job_start(struct xrnpe_job *job)
{
	enum drm_xrnpe_cancel_reason reason = xrnpe_job_obstacle(job);
	int idx;

	if (reason != DRM_XRNPE_CANCEL_NONE && xrnpe_job_is_next(job))
		return reason;
	if (!drm_dev_enter(&job->ring->xdev->drm, &idx))
		return DRM_XRNPE_CANCEL_LOST;
	reason = xrnpe_job_wake_and_submit(job);
	drm_dev_exit(idx);
	return reason;
}

static struct dma_fence *xrnpe_job_prepare(struct drm_sched_job *sched_job,
					   struct drm_sched_entity *entity)
{
	return xrnpe_share_enter(to_xrnpe_job(sched_job));
}

static struct dma_fence *xrnpe_job_run(struct drm_sched_job *sched_job)
{
	struct xrnpe_job *job = to_xrnpe_job(sched_job);
	/* Once it is in the ring it may end, and @job be freed when the scheduler has it. */
	struct dma_fence *fence = dma_fence_get(job->hw_fence);
	enum drm_xrnpe_cancel_reason reason;

	xrnpe_job_got_to_ring(job);
	reason = xrnpe_job_start(job);
	if (reason == DRM_XRNPE_CANCEL_NONE)
		return fence;

	job->result->reason = reason;
	scoped_guard(mutex, &job->ring->xdev->hw_lock)
		xrnpe_share_leave(job);
	dma_fence_put(fence);
	return ERR_PTR(reason == DRM_XRNPE_CANCEL_LOST ? -ENODEV : -ECANCELED);
}

static enum drm_gpu_sched_stat xrnpe_job_timedout(struct drm_sched_job *sched_job)
{
	struct xrnpe_job *job = to_xrnpe_job(sched_job);
	int idx;

	if (drm_dev_enter(&job->ring->xdev->drm, &idx)) {
		xrnpe_hw_timeout(job);
		drm_dev_exit(idx);
	}
	/* The job has ended, as any other, or may run on. */
	return DRM_GPU_SCHED_STAT_NO_HANG;
}

static void xrnpe_sched_job_free(struct drm_sched_job *sched_job)
{
	struct xrnpe_job *job = to_xrnpe_job(sched_job);
	/* The next job gets to its ring by the same worker, after this. */
	bool cookie = dma_fence_begin_signalling();

	/* Cancelled with its queue, it never ran. */
	xrnpe_job_got_to_ring(job);
	/*
	 * Somebody may hold the scheduler's fence for long, and on older kernels that
	 * asks the scheduler for its name. What it has for a parent keeps the device.
	 */
	if (!sched_job->s_fence->parent)
		sched_job->s_fence->parent = dma_fence_get(job->hw_fence);
	drm_sched_job_cleanup(sched_job);
	xrnpe_job_free_later(job);
	dma_fence_end_signalling(cookie);
}

static const struct drm_sched_backend_ops xrnpe_sched_ops = {
	.prepare_job = xrnpe_job_prepare,
	.run_job = xrnpe_job_run,
	.timedout_job = xrnpe_job_timedout,
	.free_job = xrnpe_sched_job_free,
};

static void xrnpe_sched_fini(struct drm_device *drm, void *sched)
{
	drm_sched_fini(sched);
}

/**
 * xrnpe_sched_stop() - let no scheduler put a job into its ring
 * @xdev: the device
 *
 * Context: may sleep; not in a scheduler's own work. To be undone by
 * xrnpe_sched_start() as often as it was done.
 */
void xrnpe_sched_stop(struct xrnpe_device *xdev)
{
	guard(mutex)(&xdev->sched_lock);
	if (xdev->sched_stops++)
		return;
	for (unsigned int i = 0; i < xdev->info.rings; i++)
		drm_sched_wqueue_stop(&xdev->ring[i].sched);
}

/**
 * xrnpe_sched_start() - undo xrnpe_sched_stop()
 * @xdev: the device
 */
void xrnpe_sched_start(struct xrnpe_device *xdev)
{
	guard(mutex)(&xdev->sched_lock);
	if (--xdev->sched_stops)
		return;
	for (unsigned int i = 0; i < xdev->info.rings; i++)
		drm_sched_wqueue_start(&xdev->ring[i].sched);
}

/*
 * Jobs get to a ring by a worker. That comes before what else the CPUs have to do: else the
 * device waits for a time slice of those who wait for it.
 */
static int xrnpe_ring_probe_sched(struct xrnpe_ring *ring, const struct drm_sched_init_args *how)
{
	struct drm_device *drm = &ring->xdev->drm;
	struct drm_sched_init_args args = *how;
	int ret;

	args.name = ring->name;
	args.submit_wq = drmm_alloc_ordered_workqueue(drm, "xrnpe-%s", WQ_MEM_RECLAIM | WQ_HIGHPRI,
						      ring->name);
	if (IS_ERR(args.submit_wq))
		return PTR_ERR(args.submit_wq);
	ret = drm_sched_init(&ring->sched, &args);
	if (ret)
		return ret;
	return drmm_add_action_or_reset(drm, xrnpe_sched_fini, &ring->sched);
}

/**
 * xrnpe_sched_probe() - make a scheduler for each ring
 * @xdev: the device
 *
 * They live as long as the DRM device: open files and their jobs have to do with
 * them after the hardware is gone.
 *
 * Return: 0 or a negative errno.
 */
int xrnpe_sched_probe(struct xrnpe_device *xdev)
{
	struct drm_sched_init_args args = {
		.ops = &xrnpe_sched_ops,
		.num_rqs = DIV_ROUND_UP(XRNPE_PRIORITIES, xdev->info.rings),
		.credit_limit = XRNPE_RING_JOBS,
		.timeout = msecs_to_jiffies(xdev->info.job_timeout_ms) / XRNPE_TIMEOUT_LOOKS,
		.dev = xdev->drm.dev,
	};
	struct drm_device *drm = &xdev->drm;
	int ret;

	ret = drmm_mutex_init(drm, &xdev->sched_lock);
	if (ret)
		return ret;
	/* Memory may be freed only when a fence signals, and that may take a reset. */
	xdev->reset_wq = drmm_alloc_ordered_workqueue(drm, "xrnpe-reset", WQ_MEM_RECLAIM);
	if (IS_ERR(xdev->reset_wq))
		return PTR_ERR(xdev->reset_wq);
	args.timeout_wq = xdev->reset_wq;

	for (unsigned int i = 0; !ret && i < xdev->info.rings; i++)
		ret = xrnpe_ring_probe_sched(&xdev->ring[i], &args);
	return ret;
}


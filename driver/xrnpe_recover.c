// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What goes wrong: time limits, abort, reset, the device's end; and rest, for sleep.
 *
 * A job that got to its ring ends
 *
 * - DONE, FAULT, or TIMEOUT by ABORT: with a record, see xrnpe_ring_reap();
 * - TIMEOUT without a record: it did not abort, and the device was reset;
 * - CANCELLED, see &enum drm_xrnpe_cancel_reason.
 */
#include <linux/bitfield.h>
#include <linux/pm_runtime.h>

#include <drm/drm_drv.h>
#include <drm/drm_print.h>

#include "xrnpe_drv.h"
#include "xrnpe_dump.h"
#include "xrnpe_gem.h"
#include "xrnpe_hw.h"
#include "xrnpe_job.h"
#include "xrnpe_queue.h"
#include "xrnpe_recover.h"
#include "xrnpe_ring.h"
#include "xrnpe_sched.h"

/* The device gives up a command within 1 ms, but a virtual one may be late. */
#define XRNPE_ABORT_MS		500
/* So often a job may be in the ring when the device is reset. */
#define XRNPE_MAX_RESETS	3
/*
 * A job that urgent rings keep from executing has no time limit of its own, but
 * its fence must signal some day: so many times the limit after it has become
 * the oldest of its ring it counts as hung. By then those that give way to it have, and the few
 * jobs that they had in their ring have ended.
 */
#define XRNPE_STARVED		30

/* ---- the device's end ---- */

/* A runaway device may access the buffers of @job for ever. */
static void xrnpe_job_leak_bos(struct xrnpe_job *job)
{
	for (unsigned int i = 0; i < job->bo_count; i++)
		to_xrnpe_bo(job->bos[i])->leaked = true;
}

/**
 * xrnpe_hw_lose_jobs() - end all jobs in the rings without the hardware's help
 * @xdev: the device, which executes none of them any more
 *
 * Fences signal in any case, for nobody may wait for ever, but buffers stay until the
 * device leaves them alone.
 */
void xrnpe_hw_lose_jobs(struct xrnpe_device *xdev)
{
	lockdep_assert_held(&xdev->hw_lock);

	for (unsigned int i = 0; i < xdev->info.rings; i++) {
		struct xrnpe_job *job, *next;

		list_for_each_entry_safe(job, next, &xdev->ring[i].jobs, node) {
			if (xdev->runaway)
				xrnpe_job_leak_bos(job);
			xrnpe_job_cancel(job, DRM_XRNPE_CANCEL_LOST);
		}
	}
}

/* End the device's use: @error is what xrnpe_hw_reset() returned. */
static void xrnpe_hw_give_up(struct xrnpe_device *xdev, int error)
{
	WRITE_ONCE(xdev->wedged, true);
	xrnpe_hw_note_reset(xdev, error);
	xrnpe_hw_lose_jobs(xdev);
	xrnpe_sched_lose(xdev);
}

static void xrnpe_hw_reap(struct xrnpe_device *xdev)
{
	for (unsigned int i = 0; i < xdev->info.rings; i++)
		xrnpe_ring_reap(&xdev->ring[i]);
}

/*
 * Whether the job at HEAD, whose count @head gets, may have begun: its queue is served, or it has
 * executed before, and the ring has not stopped ahead of it.
 */
static bool xrnpe_ring_head_has_begun(struct xrnpe_ring *ring, u32 *head)
{
	u32 serves = FIELD_GET(XRNPE_STATUS_QUEUE_MASK, xrnpe_read(ring->xdev, XRNPE_STATUS));
	u64 executed;
	bool stopped;

	/* It may stop just now, and HEAD be one further; then it stays so. */
	do {
		stopped = xrnpe_ring_has_stopped(ring);
		executed = xrnpe_ring_executed(ring, head);
	} while (stopped != xrnpe_ring_has_stopped(ring));
	return !stopped && (executed || serves == ring->index);
}

/*
 * Note which jobs may have begun: those that HEAD has passed, whose sequence number is missing
 * then, and maybe the one at HEAD. Behind one that was refused no other begins any more. A job
 * that the device was reset for again and again has its part in that.
 */
static void xrnpe_ring_note_begun(struct xrnpe_ring *ring)
{
	bool head_has_begun, refused = false;
	struct xrnpe_job *job;
	u32 head;

	if (list_empty(&ring->jobs))
		return;
	xrnpe_ring_poison(ring);
	head_has_begun = xrnpe_ring_head_has_begun(ring, &head);
	list_for_each_entry(job, &ring->jobs, node) {
		s32 passed = head - job->count;

		refused |= xrnpe_job_is_refused(job);
		job->begun = ++job->resets > XRNPE_MAX_RESETS ||
			     (!refused && (passed > 0 || (!passed && head_has_begun)));
	}
}

/*
 * Reset, and end the jobs that ended before it; of those that are left note which
 * may have begun. Returns what xrnpe_hw_reset() does.
 */
static int xrnpe_hw_reset_and_reap(struct xrnpe_device *xdev)
{
	int ret;

	/* Registers tell what jobs have executed; a reset clears them. */
	xrnpe_hw_reap(xdev);
	xrnpe_hw_account(xdev);
	for (unsigned int i = 0; i < xdev->info.rings; i++)
		xrnpe_ring_note_begun(&xdev->ring[i]);

	ret = xrnpe_hw_reset(xdev);
	/* The device went on until then. The status page is as it left it. */
	xrnpe_hw_reap(xdev);
	return ret;
}

/**
 * xrnpe_hw_kill() - stop the device for good and cancel what it had to do
 * @xdev: the device, powered
 */
void xrnpe_hw_kill(struct xrnpe_device *xdev)
{
	xrnpe_hw_stop(xdev);

	guard(xrnpe_hw)(xdev);
	if (xdev->wedged && !xdev->runaway)
		return;
	xrnpe_hw_give_up(xdev, xrnpe_hw_reset_and_reap(xdev));
}

/*
 * Tell user space that the device needs help. Only when it accesses no memory any
 * more: that is what the event says, and binding a runaway anew is no help. It
 * allocates memory, so nothing that fences wait for may wait for it.
 *
 * drm_dev_wedged_event() sends its event from the primary node without a look
 * whether there is one (7.3), and an accel device has none. There is no such
 * event for accel nodes; their users learn it from -ENODEV.
 */
void xrnpe_wedged_work(struct work_struct *work)
{
	struct xrnpe_device *xdev = container_of(work, struct xrnpe_device, wedged_work);

	if (!READ_ONCE(xdev->runaway) && xdev->drm.primary)
		drm_dev_wedged_event(&xdev->drm, DRM_WEDGE_RECOVERY_REBIND, NULL);
}

/* ---- reset, and what goes on after it ---- */

/*
 * Go on after a reset. A job that has run in part is cancelled: running it again on
 * what it has already changed could give another result. The others stay.
 */
static void xrnpe_hw_restart(struct xrnpe_device *xdev)
{
	for (unsigned int i = 0; i < xdev->info.rings; i++) {
		struct xrnpe_job *job, *next;

		list_for_each_entry_safe(job, next, &xdev->ring[i].jobs, node)
			if (job->begun || job->timed_out)
				xrnpe_job_cancel(job, DRM_XRNPE_CANCEL_RESET);
		/* What is left begins anew, be it after the sleep. */
		xdev->ring[i].head_since = ktime_get();
	}
	/* Else they are for after the sleep. */
	if (!xdev->parking)
		xrnpe_hw_start(xdev);
}

/**
 * xrnpe_hw_recover() - reset a device that fails, and let it go on with what had
 * not begun
 * @xdev: the device, powered
 *
 * If it does not come back, it is wedged.
 */
void xrnpe_hw_recover(struct xrnpe_device *xdev)
{
	int ret;

	xrnpe_sched_stop(xdev);
	xrnpe_hw_stop(xdev);
	/* What another reset was to mend this one mends. */
	cancel_work(&xdev->reset_work);

	scoped_guard(xrnpe_hw, xdev) {
		xrnpe_dump_take(xdev, NULL, "the device had to be reset");
		xdev->info.resets++;
		ret = xrnpe_hw_reset_and_reap(xdev);
		if (ret)
			xrnpe_hw_give_up(xdev, ret);
		else
			xrnpe_hw_restart(xdev);
	}

	if (ret)
		schedule_work(&xdev->wedged_work);
	xrnpe_dump_send(xdev);
	xrnpe_sched_start(xdev);
}

void xrnpe_reset_work(struct work_struct *work)
{
	struct xrnpe_device *xdev = container_of(work, struct xrnpe_device, reset_work);
	int idx;

	if (!drm_dev_enter(&xdev->drm, &idx))
		return;

	/* One that is off is reset when it is switched on. */
	if (!READ_ONCE(xdev->wedged) && pm_runtime_get_if_active(xdev->drm.dev) > 0) {
		drm_err_ratelimited(&xdev->drm, "has halted, or contradicts itself; resetting\n");
		xrnpe_hw_recover(xdev);
		pm_runtime_put_autosuspend(xdev->drm.dev);
	}
	drm_dev_exit(idx);
}

/* ---- rest ---- */

static bool xrnpe_hw_has_halted(struct xrnpe_device *xdev)
{
	return xrnpe_read(xdev, XRNPE_STATUS) & XRNPE_STATUS_BUS_ERROR;
}

/**
 * xrnpe_hw_park() - let the device come to rest, between two jobs
 * @xdev: the device, powered; no job gets into a ring
 *
 * Jobs that have begun go on to their ends, those that have not stay for
 * xrnpe_hw_start() or xrnpe_hw_unpark().
 */
void xrnpe_hw_park(struct xrnpe_device *xdev)
{
	guard(xrnpe_hw)(xdev);
	xdev->parking = true;
	for (unsigned int i = 0; i < xdev->info.rings; i++)
		xrnpe_ring_poison(&xdev->ring[i]);
}

/**
 * xrnpe_hw_is_parked() - whether the device has come to rest
 * @xdev: the device, after xrnpe_hw_park()
 *
 * It is reset if it has halted, and so will not come to rest by itself, or does not tell of a job's
 * end.
 *
 * Return: true if no job of any queue has begun that has not ended.
 */
bool xrnpe_hw_is_parked(struct xrnpe_device *xdev)
{
	bool running = false, fails;

	guard(xrnpe_hw)(xdev);
	/* It has failed meanwhile. */
	if (xdev->wedged)
		return true;
	/* The interrupt that tells of it may be lost. */
	fails = xrnpe_hw_has_halted(xdev);
	for (unsigned int i = 0; i < xdev->info.rings; i++) {
		struct xrnpe_ring *ring = &xdev->ring[i];
		/* Read first, so that jobs which have ended by then are reaped. */
		u32 state = xrnpe_ring_read(ring, XRNPE_QUEUE_STATE);

		if (list_empty(&ring->jobs))
			continue;
		xrnpe_ring_service(ring);
		if (state == XRNPE_QUEUE_STATE_RUNNING)
			running = true;
		else if (state != XRNPE_QUEUE_STATE_DISABLED)
			/* What has executed would do so once more after the sleep. */
			fails |= xrnpe_ring_hides_end(ring);
	}
	if (fails && !work_busy(&xdev->reset_work))
		queue_work(xdev->reset_wq, &xdev->reset_work);
	return !running && !fails;
}

/**
 * xrnpe_hw_unpark() - go on after xrnpe_hw_park()
 * @xdev: the device, powered, at rest
 *
 * Return: what xrnpe_hw_reset() does.
 */
int xrnpe_hw_unpark(struct xrnpe_device *xdev)
{
	int ret;

	guard(xrnpe_hw)(xdev);
	xdev->parking = false;
	if (xdev->wedged)
		return 0;
	/* Nothing has begun that it could hurt. */
	ret = xrnpe_hw_reset(xdev);
	if (ret)
		xrnpe_hw_give_up(xdev, ret);
	else
		xrnpe_hw_start(xdev);
	return ret;
}

/* ---- time limits ---- */

/*
 * Whether HEAD fits the oldest job of a queue. It counts a job a moment after the
 * job's sequence number was written, so that it may be one behind.
 */
static bool xrnpe_ring_is_at(struct xrnpe_ring *ring, const struct xrnpe_job *job)
{
	u32 head = xrnpe_ring_read(ring, XRNPE_QUEUE_HEAD);

	return head == job->count || head + 1 == job->count;
}

/*
 * What is wrong with the device, though no interrupt told of it, or NULL. @at_job: HEAD
 * was at the oldest job of its ring.
 */
static const char *xrnpe_hw_complaint(struct xrnpe_device *xdev, bool at_job)
{
	if (xrnpe_hw_has_halted(xdev))
		return "the device has halted";
	return at_job ? NULL : "the device has not told of a job's end";
}

/* A job is looked after four times while its time limit runs. */
static unsigned long xrnpe_check_period(const struct xrnpe_device *xdev)
{
	return msecs_to_jiffies(xdev->info.job_timeout_ms) / 4;
}

/* Jiffies until the oldest job of a ring will have been there for long; 0 if it has. */
static unsigned long xrnpe_ring_check_due_in(const struct xrnpe_ring *ring)
{
	s64 since_ms = ktime_ms_delta(ktime_get(), ring->head_since);
	unsigned long period = xrnpe_check_period(ring->xdev);

	return period - min(msecs_to_jiffies(since_ms), period);
}

/*
 * Look after the oldest job of a ring, which has been there for long, and abort it if its
 * time is up. Returns false if the device must be reset.
 */
static bool xrnpe_ring_check_time(struct xrnpe_ring *ring)
{
	struct xrnpe_device *xdev = ring->xdev;
	u64 limit = (u64)xdev->info.job_timeout_ms * NSEC_PER_MSEC;
	struct xrnpe_result *result;
	const char *complaint;
	struct xrnpe_job *job;
	bool at_job, ended;

	scoped_guard(xrnpe_hw, xdev) {
		job = xrnpe_ring_head(ring);
		if (!job || !xdev->powered)
			return true;
		/* Read first, so that what HEAD has counted is on the status page. */
		at_job = xrnpe_ring_is_at(ring, job);
		/* The interrupt may be late, or lost. */
		xrnpe_ring_service(ring);
		/* One that was refused is past HEAD, and waits for the ring to start anew. */
		if (job != xrnpe_ring_head(ring) || xrnpe_job_is_refused(job))
			return true;
		complaint = xrnpe_hw_complaint(xdev, at_job);
		if (complaint) {
			drm_err_ratelimited(&xdev->drm, "%s: %s, resetting\n", ring->name,
					    complaint);
			xrnpe_dump_take(xdev, job, complaint);
			return false;
		}

		xrnpe_hw_account(xdev);
		job->starved = job->run_ns < limit;
		if (job->starved && ktime_to_ns(ktime_sub(ktime_get(), ring->head_since)) <
				    XRNPE_STARVED * limit)
			return true;

		drm_dbg(&xdev->drm, "%s: job %llu of queue %u of client %llu takes too long\n",
			ring->name, job->result->fence.seqno, job->queue->id, job->ctx->client);
		job->timed_out = true;
		if (!job->starved)
			xrnpe_dump_take(xdev, job, "the job took too long");
		/* Should it end by itself just now, this does nothing. */
		xrnpe_ring_write(ring, XRNPE_QUEUE_ABORT, job->count);
		/* When it has ended it is gone, but not this. */
		result = job->result;
		dma_fence_get(&result->fence);
	}

	wait_event_timeout(xdev->ended, dma_fence_is_signaled(&result->fence),
			   msecs_to_jiffies(XRNPE_ABORT_MS));
	scoped_guard(xrnpe_hw, xdev) {
		/* This interrupt may be lost as any other. */
		if (!dma_fence_is_signaled(&result->fence) && xdev->powered)
			xrnpe_ring_service(ring);
		ended = dma_fence_is_signaled(&result->fence) || !xdev->powered;
		if (!ended)
			drm_err_ratelimited(&xdev->drm, "%s does not abort, resetting\n",
					    ring->name);
	}
	xrnpe_result_put(result);
	return ended;
}

/* See to a ring whose oldest job has been there for long. */
static void xrnpe_ring_check(struct xrnpe_ring *ring)
{
	struct xrnpe_device *xdev = ring->xdev;

	scoped_guard(xrnpe_hw, xdev) {
		if (!xrnpe_ring_head(ring) || xrnpe_ring_check_due_in(ring) || !xdev->powered)
			return;
		/* The job keeps the device on; it may end at any time. */
		pm_runtime_get_noresume(xdev->drm.dev);
	}
	if (xrnpe_ring_check_time(ring))
		xrnpe_dump_send(xdev);
	else
		xrnpe_hw_recover(xdev);
	pm_runtime_put_autosuspend(xdev->drm.dev);
}

/**
 * xrnpe_ring_check_later() - look after a ring's oldest job when it has been there for long
 * @ring: the ring, which has a job
 */
void xrnpe_ring_check_later(struct xrnpe_ring *ring)
{
	lockdep_assert_held(&ring->xdev->hw_lock);
	queue_delayed_work(ring->xdev->reset_wq, &ring->check_work,
			   xrnpe_ring_check_due_in(ring) ?: xrnpe_check_period(ring->xdev));
}

/**
 * xrnpe_ring_check_work() - look after a ring's oldest job, again and again while it has one
 * @work: the ring's
 */
void xrnpe_ring_check_work(struct work_struct *work)
{
	struct xrnpe_ring *ring = container_of(to_delayed_work(work), struct xrnpe_ring,
					       check_work);
	int idx;

	if (drm_dev_enter(&ring->xdev->drm, &idx)) {
		xrnpe_ring_check(ring);
		drm_dev_exit(idx);
	}
	guard(xrnpe_hw)(ring->xdev);
	if (xrnpe_ring_head(ring))
		xrnpe_ring_check_later(ring);
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Rings: jobs go in, and end.
 *
 * Everything here runs in a context that may sleep, so one mutex, hw_lock,
 * serialises it. Fences are signalled under it: what hangs on a fence runs in
 * atomic context and cannot want the mutex.
 */
#include <linux/math64.h>
#include <linux/pm_runtime.h>

#include <drm/drm_print.h>

#include "xrnpe_drv.h"
#include "xrnpe_job.h"
#include "xrnpe_perfmon.h"
#include "xrnpe_queue.h"
#include "xrnpe_recover.h"
#include "xrnpe_ring.h"
#include "xrnpe_sched.h"
#include "xrnpe_share.h"
#include "xrnpe_trace.h"

/* ---- time ---- */

/**
 * xrnpe_ring_executed() - how long the job at HEAD has executed
 * @ring: the ring
 * @head: gets which job that is, by its count
 *
 * The device does not stand still, so that words are read until they agree.
 *
 * Return: ticks of the timer.
 */
u64 xrnpe_ring_executed(struct xrnpe_ring *ring, u32 *head)
{
	u32 hi, lo;

	do {
		*head = xrnpe_ring_read(ring, XRNPE_QUEUE_HEAD);
		hi = xrnpe_ring_read(ring, XRNPE_QUEUE_EXECUTED_HI);
		lo = xrnpe_ring_read(ring, XRNPE_QUEUE_EXECUTED_LO);
	} while (hi != xrnpe_ring_read(ring, XRNPE_QUEUE_EXECUTED_HI) ||
		 *head != xrnpe_ring_read(ring, XRNPE_QUEUE_HEAD));
	return (u64)hi << 32 | lo;
}

/* Charge @job for what it has executed in all: @ticks. */
static void xrnpe_job_charge(struct xrnpe_job *job, u64 ticks)
{
	/* No job gets near this bound, but a device that is not there reads as ones. */
	u64 ns = div_u64(min(ticks, U64_MAX / NSEC_PER_MSEC) * NSEC_PER_MSEC,
			 job->ring->xdev->info.timer_khz);

	if (ns > job->run_ns) {
		job->ctx->busy_ns += ns - job->run_ns;
		job->run_ns = ns;
	}
}

/**
 * xrnpe_hw_account() - charge jobs that have not ended yet for what they executed
 * @xdev: the device
 */
void xrnpe_hw_account(struct xrnpe_device *xdev)
{
	lockdep_assert_held(&xdev->hw_lock);

	for (unsigned int i = 0; i < xdev->info.rings; i++) {
		struct xrnpe_ring *ring = &xdev->ring[i];
		struct xrnpe_job *job = xrnpe_ring_head(ring);
		u32 head;
		u64 ticks;

		if (!job || !xdev->powered)
			continue;
		ticks = xrnpe_ring_executed(ring, &head);
		if (head == job->count)
			xrnpe_job_charge(job, ticks);
	}
}

/* ---- how jobs end ---- */

/* @job has left the hardware, which wrote @record, or NULL. */
static void xrnpe_job_end(struct xrnpe_job *job, enum drm_xrnpe_job_state state,
			  enum drm_xrnpe_cancel_reason reason, int error,
			  const struct xrnpe_job_record *record)
{
	struct xrnpe_device *xdev = job->ring->xdev;
	struct xrnpe_result *result = job->result;
	struct xrnpe_queue *queue = job->queue;

	list_del(&job->node);
	job->ring->filled--;
	job->ring->head_since = ktime_get();

	xrnpe_result_set(result, state, reason, record);
	if (record) {
		xrnpe_job_charge(job, record->executed);
		job->ctx->cycles += record->counters.cycles;
		if (job->perfmon)
			xrnpe_perfmon_add(&job->perfmon->values, record);
		if (record->fault.kind)
			trace_xrnpe_job_fault(job);
	}
	xrnpe_queue_note_end(queue, result);
	xrnpe_share_leave(job);
	xrnpe_job_finish(job, error);
	/* Those behind it may not be to execute now, or may end now. */
	queue->in_ring--;
	if (!list_empty(&queue->jobs) && (error || !queue->in_ring))
		xrnpe_queue_look(queue);

	if (wq_has_sleeper(&xdev->ended))
		wake_up_all(&xdev->ended);
	WRITE_ONCE(xdev->inflight, xdev->inflight - 1);
	if (!xdev->inflight) {
		pm_runtime_mark_last_busy(xdev->drm.dev);
		pm_runtime_put_autosuspend(xdev->drm.dev);
	}
}

/* ... after its time was up. */
static void xrnpe_job_end_late(struct xrnpe_job *job, const struct xrnpe_job_record *record)
{
	if (job->starved)
		xrnpe_job_end(job, DRM_XRNPE_JOB_CANCELLED, DRM_XRNPE_CANCEL_STARVED, -ETIME,
			      record);
	else
		xrnpe_job_end(job, DRM_XRNPE_JOB_TIMEOUT, DRM_XRNPE_CANCEL_NONE, -ETIME, record);
}

/**
 * xrnpe_job_cancel() - end a job without the hardware's help
 * @job: the job, in its ring, which the device does not look at any more
 * @reason: why, unless its time was up
 */
void xrnpe_job_cancel(struct xrnpe_job *job, enum drm_xrnpe_cancel_reason reason)
{
	lockdep_assert_held(&job->ring->xdev->hw_lock);
	if (job->timed_out)
		xrnpe_job_end_late(job, NULL);
	else
		xrnpe_job_end(job, DRM_XRNPE_JOB_CANCELLED, reason, xrnpe_cancel_error(reason),
			      NULL);
}

/*
 * Whether jobs of a job's queue are before it in the ring. A queue's fences signal in order:
 * who waits for one has waited for those before it.
 */
static bool xrnpe_ring_has_earlier(const struct xrnpe_job *job)
{
	const struct xrnpe_job *other;

	lockdep_assert_held(&job->ring->xdev->hw_lock);
	list_for_each_entry(other, &job->ring->jobs, node) {
		if (other == job)
			break;
		if (other->queue == job->queue)
			return true;
	}
	return false;
}

/*
 * Cancel jobs that shall not begin any more: an in-fence failed while they were in the ring,
 * at rest and to be started anew, or their queue was banned. Those with earlier ones of their
 * queue are refused by the device when these have ended. Returns true if there were any.
 */
static bool xrnpe_ring_drop(struct xrnpe_ring *ring)
{
	struct xrnpe_job *job, *next;
	bool found = false;

	list_for_each_entry_safe(job, next, &ring->jobs, node) {
		enum drm_xrnpe_cancel_reason obstacle = xrnpe_job_obstacle(job);

		if (obstacle == DRM_XRNPE_CANCEL_NONE)
			continue;
		found = true;
		if (!xrnpe_ring_has_earlier(job))
			xrnpe_job_cancel(job, obstacle);
	}
	return found;
}

/* ---- how they go in ---- */

static struct xrnpe_job_desc *xrnpe_job_desc(const struct xrnpe_job *job)
{
	struct xrnpe_ring *ring = job->ring;

	return &ring->xdev->shared->ring[ring->index][job->count % XRNPE_RING_SIZE];
}

/* Put @job into the next free entry, to be refused or not; the caller rings the doorbell. */
static void xrnpe_ring_fill(struct xrnpe_ring *ring, struct xrnpe_job *job, bool poison)
{
	struct xrnpe_device *xdev = ring->xdev;
	unsigned int q = ring->index;
	struct xrnpe_job_desc *desc;
	unsigned int slot;

	job->count = ring->tail++;
	job->poisoned = poison;
	slot = job->count % XRNPE_RING_SIZE;
	memcpy(xdev->shared->regions[q][slot], job->regions,
	       job->region_count * sizeof(*job->regions));
	/* What is reserved has been zero since the memory was allocated. */
	desc = xrnpe_job_desc(job);
	desc->regions = xrnpe_shared_dma(xdev, regions[q][slot]);
	desc->cmds = job->cmds;
	desc->record = xrnpe_shared_dma(xdev, record[q][slot]);
	desc->region_count = job->region_count;
	desc->cmd_count = poison ? 0 : job->cmd_count;
	desc->cmd_stride = job->cmd_stride;
	desc->seqno = job->seqno;
	desc->flags = XRNPE_JOB_RECORD;
}

/* Enable a disabled queue and give it all of its jobs. */
static void xrnpe_ring_start(struct xrnpe_ring *ring)
{
	struct xrnpe_device *xdev = ring->xdev;
	u64 base = xrnpe_shared_dma(xdev, ring[ring->index]);
	struct xrnpe_job *job;

	xrnpe_ring_write(ring, XRNPE_QUEUE_BASE_LO, lower_32_bits(base));
	xrnpe_ring_write(ring, XRNPE_QUEUE_BASE_HI, upper_32_bits(base));
	xrnpe_ring_write(ring, XRNPE_QUEUE_SIZE, XRNPE_RING_SIZE);
	xrnpe_ring_write(ring, XRNPE_QUEUE_CTRL, XRNPE_QUEUE_CTRL_ENABLE);

	ring->tail = 0;
	ring->head_since = ktime_get();
	list_for_each_entry(job, &ring->jobs, node)
		xrnpe_ring_fill(ring, job, xrnpe_job_obstacle(job) != DRM_XRNPE_CANCEL_NONE);
	if (ring->tail) {
		xrnpe_ring_write(ring, XRNPE_QUEUE_TAIL, ring->tail);
		xrnpe_ring_check_later(ring);
	}
}

/**
 * xrnpe_hw_start() - make the device ready and give it the jobs its rings hold, but
 * for those that shall not begin any more
 * @xdev: the device, fresh from reset
 */
void xrnpe_hw_start(struct xrnpe_device *xdev)
{
	lockdep_assert_held(&xdev->hw_lock);

	for (unsigned int i = 0; i < xdev->info.rings; i++)
		xrnpe_ring_drop(&xdev->ring[i]);

	/* Nothing of what the page said may be taken for news. */
	for (unsigned int i = 0; i < xdev->info.rings; i++) {
		struct xrnpe_job *job = xrnpe_ring_head(&xdev->ring[i]);
		u32 seqno = job ? job->seqno - 1 : xdev->ring[i].seqno;

		xdev->shared->status[i] = (struct xrnpe_queue_status) {
			.seqno = seqno,
			.fault_seqno = seqno,
		};
	}
	xrnpe_write64(xdev, XRNPE_STATUS_BASE_LO, xrnpe_shared_dma(xdev, status));

	for (unsigned int i = 0; i < xdev->info.rings; i++)
		xrnpe_ring_start(&xdev->ring[i]);
	xrnpe_write(xdev, XRNPE_IRQ_ENABLE, XRNPE_IRQ_ALL);
}

/**
 * xrnpe_hw_submit() - put a job into its ring
 * @job: the job, the oldest of its queue; there is room for it, the device is on, and was held if
 *	no ring has a job
 */
void xrnpe_hw_submit(struct xrnpe_job *job)
{
	struct xrnpe_ring *ring = job->ring;
	struct xrnpe_device *xdev = ring->xdev;
	bool first = list_empty(&ring->jobs);

	lockdep_assert_held(&xdev->hw_lock);
	/* From here on xrnpe_ring_drop() finds it in the ring. */
	list_move_tail(&job->node, &ring->jobs);
	ring->filled++;
	job->queue->in_ring++;
	WRITE_ONCE(xdev->inflight, xdev->inflight + 1);
	xrnpe_share_enter(job);

	job->seqno = ++ring->seqno;
	trace_xrnpe_job_run(job);
	xrnpe_ring_fill(ring, job, false);
	/* The write of a register orders the memory written before it. */
	xrnpe_ring_write(ring, XRNPE_QUEUE_TAIL, ring->tail);
	if (first) {
		ring->head_since = ktime_get();
		xrnpe_ring_check_later(ring);
	}
}

/**
 * xrnpe_ring_poison() - let no job begin any more
 * @ring: the ring
 *
 * The device refuses the first job that it has not read yet, and stops the ring. There
 * is no other way to keep it from going on to the next job.
 */
void xrnpe_ring_poison(struct xrnpe_ring *ring)
{
	struct xrnpe_job *job;

	list_for_each_entry(job, &ring->jobs, node) {
		WRITE_ONCE(xrnpe_job_desc(job)->cmd_count, 0);
		job->poisoned = true;
	}
	/* Before what is read of registers now. */
	mb();
}

/* ---- what became of them ---- */

/**
 * xrnpe_job_is_refused() - whether a job was refused since it shall not begin
 * @job: the job, in its ring
 *
 * Return: true if so: it has not begun.
 */
bool xrnpe_job_is_refused(const struct xrnpe_job *job)
{
	const struct xrnpe_queue_status *page =
		&job->ring->xdev->shared->status[job->ring->index];

	return job->poisoned && page->fault_seqno == job->seqno &&
	       page->fault.kind == XRNPE_FAULT_ILLEGAL_JOB;
}

/**
 * xrnpe_ring_reap() - end the jobs that the status page says have ended
 * @ring: the ring
 *
 * Return: false if it says so of one of which nothing else does: then that one and
 * those behind it stay.
 */
bool xrnpe_ring_reap(struct xrnpe_ring *ring)
{
	struct xrnpe_shared *shared = ring->xdev->shared;
	struct xrnpe_queue_status *page = &shared->status[ring->index];
	u32 seqno = READ_ONCE(page->seqno);
	struct xrnpe_job *job;

	/* The device writes seqno last. */
	dma_rmb();

	while ((job = xrnpe_ring_head(ring)) && (s32)(seqno - job->seqno) >= 0) {
		struct xrnpe_job_record record =
			shared->record[ring->index][job->count % XRNPE_RING_SIZE];

		if (record.seqno != job->seqno) {
			if (page->fault_seqno != job->seqno)
				return false;
			if (xrnpe_job_is_refused(job))
				return true;
			/* The device does not like the descriptor; so it writes none. */
			record = (struct xrnpe_job_record) { .fault = page->fault };
		}

		if (record.fault.kind == XRNPE_FAULT_NONE)
			xrnpe_job_end(job, DRM_XRNPE_JOB_DONE, DRM_XRNPE_CANCEL_NONE, 0, &record);
		else if (record.fault.kind == XRNPE_FAULT_ABORTED)
			xrnpe_job_end_late(job, &record);
		else
			xrnpe_job_end(job, DRM_XRNPE_JOB_FAULT, DRM_XRNPE_CANCEL_NONE, -EIO,
				      &record);
	}
	return true;
}

/**
 * xrnpe_ring_hides_end() - whether HEAD has counted a job as ended that the status page does not
 * tell of
 * @ring: the ring, which executes nothing, and whose ended jobs were reaped after that was seen
 *
 * Return: true if so: it may have executed.
 */
bool xrnpe_ring_hides_end(struct xrnpe_ring *ring)
{
	const struct xrnpe_job *job = xrnpe_ring_head(ring);

	return job && !xrnpe_job_is_refused(job) &&
	       (s32)(xrnpe_ring_read(ring, XRNPE_QUEUE_HEAD) - job->count) > 0;
}

/* End what has ended, and let the ring go on if it has stopped. */
static void xrnpe_ring_reap_and_resume(struct xrnpe_ring *ring)
{
	/*
	 * The state is read first: if it says stopped, the job that stopped it has
	 * ended, and is reaped before the next one starts.
	 */
	bool stopped = xrnpe_ring_has_stopped(ring);

	if (!xrnpe_ring_reap(ring)) {
		queue_work(ring->xdev->reset_wq, &ring->xdev->reset_work);
		return;
	}
	if (!stopped || ring->xdev->parking)
		return;
	/* How that job ended decides who may begin after it. */
	if (xrnpe_ring_hides_end(ring)) {
		queue_work(ring->xdev->reset_wq, &ring->xdev->reset_work);
		return;
	}

	if (xrnpe_ring_drop(ring)) {
		/* There is no other way to take a job out of a ring. */
		xrnpe_ring_write(ring, XRNPE_QUEUE_CTRL, 0);
		xrnpe_ring_start(ring);
	} else {
		xrnpe_ring_write(ring, XRNPE_QUEUE_CTRL,
				 XRNPE_QUEUE_CTRL_ENABLE | XRNPE_QUEUE_CTRL_RESUME);
	}
}

/**
 * xrnpe_ring_service() - see what became of a ring's jobs, let it go on if it has stopped,
 * and put others in
 * @ring: the ring
 */
void xrnpe_ring_service(struct xrnpe_ring *ring)
{
	xrnpe_ring_reap_and_resume(ring);
	xrnpe_ring_feed(ring);
	/* It may have given way to this one. */
	if (ring->index)
		xrnpe_ring_feed(ring - 1);
}

/**
 * xrnpe_irq_thread() - see to the rings that have news
 * @irq: the interrupt
 * @data: the device
 *
 * Context: the interrupt's thread.
 *
 * Return: whether it was the device's interrupt.
 */
irqreturn_t xrnpe_irq_thread(int irq, void *data)
{
	struct xrnpe_device *xdev = data;
	u32 status = xrnpe_read(xdev, XRNPE_IRQ_STATUS);

	if (!status)
		return IRQ_NONE;

	xrnpe_write(xdev, XRNPE_IRQ_STATUS, status);
	if (status & XRNPE_IRQ_BUS_ERROR)
		queue_work(xdev->reset_wq, &xdev->reset_work);

	guard(xrnpe_hw)(xdev);
	for (unsigned int i = 0; i < xdev->info.rings; i++)
		if (status & (XRNPE_IRQ_DONE(i) | XRNPE_IRQ_STOPPED(i)))
			xrnpe_ring_service(&xdev->ring[i]);
	return IRQ_HANDLED;
}

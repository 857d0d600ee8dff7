// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The hardware: rings, interrupt, faults, abort and reset.
 *
 * Everything here runs in a context that may sleep, so one mutex, hw_lock,
 * serialises it. Fences are signalled under it: what hangs on a fence runs in
 * atomic context and cannot want the mutex.
 *
 * The device is in one of these states, all but the first for good:
 *
 * ======= ======= =============================================================
 * wedged  runaway
 * ======= ======= =============================================================
 * no      no      It works. It is powered while a queue has jobs.
 * yes     no      It was removed, or a reset failed. It executes nothing and
 *                 accesses no memory.
 * yes     yes     No reset could stop it, so that it may go on to access memory.
 *                 It stays powered; &struct xrnpe_shared and the buffers of the
 *                 jobs that it had are leaked. A reset that succeeds later, when
 *                 the system suspends or the device is removed, ends that.
 * no      yes     The same, found out while it was probed: probing fails.
 * ======= ======= =============================================================
 *
 * A job ends
 *
 * - DONE, FAULT, or TIMEOUT by ABORT: with a record, see xrnpe_queue_reap();
 * - TIMEOUT without a record: it did not abort, and the device was reset;
 * - CANCELLED: it may have begun when the device was reset for another reason, or an
 *   in-fence failed, or the device is wedged.
 */
#include <linux/bitfield.h>
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/iopoll.h>
#include <linux/math64.h>
#include <linux/platform_device.h>
#include <linux/pm_runtime.h>
#include <linux/reset.h>

#include <drm/drm_drv.h>
#include <drm/drm_print.h>

#include "xrnpe_compat.h"
#include "xrnpe_drv.h"
#include "xrnpe_gem.h"
#include "xrnpe_hw.h"
#include "xrnpe_job.h"
#include "xrnpe_trace.h"

/* The device gives up a command within 1 ms, but a virtual one may be late. */
#define XRNPE_ABORT_MS		500
/* So it does in a reset. Longer than an abort: giving up the device costs memory. */
#define XRNPE_RESET_US		(2 * USEC_PER_SEC)
/* So often a job may be in the ring when the device is reset. */
#define XRNPE_MAX_RESETS	3
/* For so long the reset line is asserted. */
#define XRNPE_LINE_US		10
/*
 * A job that urgent queues keep from executing has no time limit of its own, but
 * its fence must signal some day: so many times the limit after it has become
 * the oldest of its queue it counts as hung.
 */
#define XRNPE_STARVED		30

/**
 * struct xrnpe_shared - memory shared with the device
 * @status: the status page
 * @record: job records, one for each entry of the rings
 * @ring: the rings
 * @regions: region tables, one for each entry of the rings
 */
struct xrnpe_shared {
	struct xrnpe_queue_status status[XRNPE_MAX_QUEUES];
	struct xrnpe_job_record record[XRNPE_MAX_QUEUES][XRNPE_RING_SIZE];
	struct xrnpe_job_desc ring[XRNPE_MAX_QUEUES][XRNPE_RING_SIZE];
	struct xrnpe_region regions[XRNPE_MAX_QUEUES][XRNPE_RING_SIZE][XRNPE_MAX_REGIONS];
};

/* What the device wants aligned to 64 bytes. */
static_assert(!(sizeof(struct xrnpe_queue_status) % 64));
static_assert(!(sizeof(struct xrnpe_job_record) % 64));
static_assert(!(sizeof(struct xrnpe_job_desc) % 64));

#define xrnpe_shared_dma(xdev, member) \
	((xdev)->shared_dma + offsetof(struct xrnpe_shared, member))

static u32 xrnpe_read(struct xrnpe_device *xdev, u32 reg)
{
	return readl(xdev->regs + reg);
}

static void xrnpe_write(struct xrnpe_device *xdev, u32 reg, u32 value)
{
	writel(value, xdev->regs + reg);
}

static void xrnpe_write64(struct xrnpe_device *xdev, u32 reg_lo, u64 value)
{
	xrnpe_write(xdev, reg_lo, lower_32_bits(value));
	xrnpe_write(xdev, reg_lo + sizeof(u32), upper_32_bits(value));
}

static u32 xrnpe_queue_read(struct xrnpe_queue *queue, u32 reg)
{
	return xrnpe_read(queue->xdev, XRNPE_QUEUE(queue->index) + reg);
}

static void xrnpe_queue_write(struct xrnpe_queue *queue, u32 reg, u32 value)
{
	xrnpe_write(queue->xdev, XRNPE_QUEUE(queue->index) + reg, value);
}

static struct xrnpe_job *xrnpe_queue_head(struct xrnpe_queue *queue)
{
	return list_first_entry_or_null(&queue->jobs, struct xrnpe_job, node);
}

/*
 * Time that the job at HEAD has executed, in ticks, and which job that is by its
 * count. The device does not stand still, so that words are read until they agree.
 */
static u64 xrnpe_queue_executed(struct xrnpe_queue *queue, u32 *head)
{
	u32 hi, lo;

	do {
		*head = xrnpe_queue_read(queue, XRNPE_QUEUE_HEAD);
		hi = xrnpe_queue_read(queue, XRNPE_QUEUE_EXECUTED_HI);
		lo = xrnpe_queue_read(queue, XRNPE_QUEUE_EXECUTED_LO);
	} while (hi != xrnpe_queue_read(queue, XRNPE_QUEUE_EXECUTED_HI) ||
		 *head != xrnpe_queue_read(queue, XRNPE_QUEUE_HEAD));
	return (u64)hi << 32 | lo;
}

/* Charge @job for what it has executed in all: @ticks. */
static void xrnpe_job_charge(struct xrnpe_job *job, u64 ticks)
{
	/* No job gets near this bound, but a device that is not there reads as ones. */
	u64 ns = div_u64(min(ticks, U64_MAX / NSEC_PER_MSEC) * NSEC_PER_MSEC,
			 job->queue->xdev->info.timer_khz);

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

	for (unsigned int i = 0; i < xdev->info.queues; i++) {
		struct xrnpe_queue *queue = &xdev->queue[i];
		struct xrnpe_job *job = xrnpe_queue_head(queue);
		u32 head;
		u64 ticks;

		if (!job || !xdev->powered)
			continue;
		ticks = xrnpe_queue_executed(queue, &head);
		if (head == job->count)
			xrnpe_job_charge(job, ticks);
	}
}

/*
 * @job has left the hardware, which wrote @record, or NULL. The scheduler may free
 * it as soon as it signals.
 */
static void xrnpe_job_end(struct xrnpe_job *job, enum drm_xrnpe_job_state state, int error,
			  const struct xrnpe_job_record *record)
{
	struct xrnpe_queue *queue = job->queue;
	struct xrnpe_device *xdev = queue->xdev;
	struct dma_fence *fence = &job->hw_fence->base;

	list_del(&job->node);
	queue->head_since = ktime_get();
	WRITE_ONCE(xdev->inflight, xdev->inflight - 1);

	job->result->state = state;
	if (record) {
		xrnpe_job_charge(job, record->executed);
		job->ctx->cycles += record->counters.cycles;
		job->result->record = *record;
		/* The queue's count of jobs is nobody's business. */
		job->result->record.seqno = lower_32_bits(job->result->id);
		if (record->fault.kind)
			trace_xrnpe_job_fault(job);
	}
	trace_xrnpe_job_done(job);

	WRITE_ONCE(job->ended, true);
	dma_fence_get(fence);
	if (error)
		dma_fence_set_error(fence, error);
	dma_fence_signal(fence);
	dma_fence_put(fence);

	wake_up_all(&xdev->ended);
	pm_runtime_mark_last_busy(xdev->drm.dev);
	pm_runtime_put_autosuspend(xdev->drm.dev);
}

static void xrnpe_job_cancel(struct xrnpe_job *job)
{
	if (job->timed_out)
		xrnpe_job_end(job, DRM_XRNPE_JOB_TIMEOUT, -ETIME, NULL);
	else
		xrnpe_job_end(job, DRM_XRNPE_JOB_CANCELLED, -ECANCELED, NULL);
}

/* A runaway device may access the buffers of @job for ever. */
static void xrnpe_job_leak_bos(struct xrnpe_job *job)
{
	for (unsigned int i = 0; i < job->bo_count; i++)
		to_xrnpe_bo(job->bos[i])->leaked = true;
}

static struct xrnpe_job_desc *xrnpe_job_desc(const struct xrnpe_job *job)
{
	struct xrnpe_queue *queue = job->queue;

	return &queue->xdev->shared->ring[queue->index][job->count % XRNPE_RING_SIZE];
}

/* Put @job into the next free entry; the caller rings the doorbell. */
static void xrnpe_queue_fill(struct xrnpe_queue *queue, struct xrnpe_job *job)
{
	struct xrnpe_device *xdev = queue->xdev;
	unsigned int q = queue->index;
	unsigned int slot;

	job->count = queue->tail++;
	job->poisoned = false;
	slot = job->count % XRNPE_RING_SIZE;
	memcpy(xdev->shared->regions[q][slot], job->regions,
	       job->region_count * sizeof(*job->regions));
	*xrnpe_job_desc(job) = (struct xrnpe_job_desc) {
		.regions = xrnpe_shared_dma(xdev, regions[q][slot]),
		.cmds = job->cmds,
		.record = xrnpe_shared_dma(xdev, record[q][slot]),
		.region_count = job->region_count,
		.cmd_count = job->cmd_count,
		.cmd_stride = job->cmd_stride,
		.seqno = job->seqno,
		.flags = XRNPE_JOB_RECORD,
	};
}

/* Enable a disabled queue and give it all of its jobs. */
static void xrnpe_queue_start(struct xrnpe_queue *queue)
{
	struct xrnpe_device *xdev = queue->xdev;
	u64 ring = xrnpe_shared_dma(xdev, ring[queue->index]);
	struct xrnpe_job *job;

	xrnpe_queue_write(queue, XRNPE_QUEUE_BASE_LO, lower_32_bits(ring));
	xrnpe_queue_write(queue, XRNPE_QUEUE_BASE_HI, upper_32_bits(ring));
	xrnpe_queue_write(queue, XRNPE_QUEUE_SIZE, XRNPE_RING_SIZE);
	xrnpe_queue_write(queue, XRNPE_QUEUE_CTRL, XRNPE_QUEUE_CTRL_ENABLE);

	queue->tail = 0;
	queue->head_since = ktime_get();
	list_for_each_entry(job, &queue->jobs, node)
		xrnpe_queue_fill(queue, job);
	if (queue->tail)
		xrnpe_queue_write(queue, XRNPE_QUEUE_TAIL, queue->tail);
}

/* Cancel jobs whose in-fence failed while they were in the ring. */
static bool xrnpe_queue_cancel_dependents(struct xrnpe_queue *queue)
{
	struct xrnpe_job *job, *next;
	bool found = false;

	list_for_each_entry_safe(job, next, &queue->jobs, node) {
		if (xrnpe_job_in_fence_failed(job)) {
			xrnpe_job_cancel(job);
			found = true;
		}
	}
	return found;
}

/*
 * Let the device refuse each job that it has not read yet: the first such stops the
 * queue, and none has begun. There is no other way to keep it from going on to the
 * next job.
 */
static void xrnpe_queue_poison(struct xrnpe_queue *queue)
{
	struct xrnpe_job *job;

	list_for_each_entry(job, &queue->jobs, node) {
		WRITE_ONCE(xrnpe_job_desc(job)->cmd_count, 0);
		job->poisoned = true;
	}
	/* Before what is read of registers now. */
	mb();
}

/* Whether @job was refused because of xrnpe_queue_poison(): it has not begun. */
static bool xrnpe_job_is_refused(const struct xrnpe_job *job)
{
	const struct xrnpe_queue_status *page =
		&job->queue->xdev->shared->status[job->queue->index];

	return job->poisoned && page->fault_seqno == job->seqno &&
	       page->fault.kind == XRNPE_FAULT_ILLEGAL_JOB;
}

/*
 * End the jobs that the status page says have ended. Returns false if it says so of
 * one of which nothing else does: then that one and those behind it stay.
 */
static bool xrnpe_queue_reap(struct xrnpe_queue *queue)
{
	struct xrnpe_shared *shared = queue->xdev->shared;
	struct xrnpe_queue_status *page = &shared->status[queue->index];
	u32 seqno = READ_ONCE(page->seqno);
	struct xrnpe_job *job;

	/* The device writes seqno last. */
	dma_rmb();

	while ((job = xrnpe_queue_head(queue)) && (s32)(seqno - job->seqno) >= 0) {
		struct xrnpe_job_record record =
			shared->record[queue->index][job->count % XRNPE_RING_SIZE];

		if (record.seqno != job->seqno) {
			if (page->fault_seqno != job->seqno)
				return false;
			if (xrnpe_job_is_refused(job))
				return true;
			/* The device does not like the descriptor; so it writes none. */
			record = (struct xrnpe_job_record) { .fault = page->fault };
		}

		if (record.fault.kind == XRNPE_FAULT_NONE)
			xrnpe_job_end(job, DRM_XRNPE_JOB_DONE, 0, &record);
		else if (record.fault.kind == XRNPE_FAULT_ABORTED)
			xrnpe_job_end(job, DRM_XRNPE_JOB_TIMEOUT, -ETIME, &record);
		else
			xrnpe_job_end(job, DRM_XRNPE_JOB_FAULT, -EIO, &record);
	}
	return true;
}

/* See what became of a queue's jobs, and let it go on if it has stopped. */
static void xrnpe_queue_service(struct xrnpe_queue *queue)
{
	/*
	 * The state is read first: if it says stopped, the job that stopped it has
	 * ended, and is reaped before the next one starts.
	 */
	bool stopped = xrnpe_queue_read(queue, XRNPE_QUEUE_STATE) == XRNPE_QUEUE_STATE_STOPPED;

	if (!xrnpe_queue_reap(queue)) {
		queue_work(queue->xdev->reset_wq, &queue->xdev->reset_work);
		return;
	}
	if (!stopped || queue->xdev->parking)
		return;

	if (xrnpe_queue_cancel_dependents(queue)) {
		/* There is no other way to take a job out of a ring. */
		xrnpe_queue_write(queue, XRNPE_QUEUE_CTRL, 0);
		xrnpe_queue_start(queue);
	} else {
		xrnpe_queue_write(queue, XRNPE_QUEUE_CTRL,
				  XRNPE_QUEUE_CTRL_ENABLE | XRNPE_QUEUE_CTRL_RESUME);
	}
}

static irqreturn_t xrnpe_irq_thread(int irq, void *data)
{
	struct xrnpe_device *xdev = data;
	u32 status = xrnpe_read(xdev, XRNPE_IRQ_STATUS);

	if (!status)
		return IRQ_NONE;

	xrnpe_write(xdev, XRNPE_IRQ_STATUS, status);
	if (status & XRNPE_IRQ_BUS_ERROR)
		queue_work(xdev->reset_wq, &xdev->reset_work);

	guard(mutex)(&xdev->hw_lock);
	for (unsigned int i = 0; i < xdev->info.queues; i++)
		if (status & (XRNPE_IRQ_DONE(i) | XRNPE_IRQ_STOPPED(i)))
			xrnpe_queue_service(&xdev->queue[i]);
	return IRQ_HANDLED;
}

/**
 * xrnpe_hw_submit() - put a job into its queue's ring
 * @job: the job; the scheduler's credits have seen to it that there is room
 *
 * Return: 0; -ENODEV if the device is dead; -ECANCELED if an in-fence has failed.
 */
int xrnpe_hw_submit(struct xrnpe_job *job)
{
	struct xrnpe_queue *queue = job->queue;
	struct xrnpe_device *xdev = queue->xdev;

	guard(mutex)(&xdev->hw_lock);
	if (xdev->wedged)
		return -ENODEV;
	/* Fences of jobs fail under the lock; who is in the ring then is found there. */
	if (xrnpe_job_in_fence_failed(job))
		return -ECANCELED;

	if (list_empty(&queue->jobs))
		queue->head_since = ktime_get();
	list_add_tail(&job->node, &queue->jobs);
	WRITE_ONCE(xdev->inflight, xdev->inflight + 1);

	job->seqno = ++queue->seqno;
	trace_xrnpe_job_run(job);
	xrnpe_queue_fill(queue, job);
	/* The write of a register orders the memory written before it. */
	xrnpe_queue_write(queue, XRNPE_QUEUE_TAIL, queue->tail);
	return 0;
}

static int xrnpe_hw_reset_by_register(struct xrnpe_device *xdev)
{
	u32 ctrl;
	int ret;

	xrnpe_write(xdev, XRNPE_CTRL, XRNPE_CTRL_RESET);
	ret = readl_poll_timeout(xdev->regs + XRNPE_CTRL, ctrl, !(ctrl & XRNPE_CTRL_RESET),
				 100, XRNPE_RESET_US);
	if (!ret)
		return 0;

	/* BUSY reads one until a reset has ended; a device that says otherwise is not believed. */
	drm_err(&xdev->drm, "does not come out of reset, status %#x\n",
		xrnpe_read(xdev, XRNPE_STATUS));
	return -ETIMEDOUT;
}

static int xrnpe_hw_reset_by_line(struct xrnpe_device *xdev)
{
	int ret;

	ret = reset_control_assert(xdev->reset);
	if (ret) {
		drm_err(&xdev->drm, "cannot assert the reset line: %pe\n", ERR_PTR(ret));
		return -ETIMEDOUT;
	}
	fsleep(XRNPE_LINE_US);
	ret = reset_control_deassert(xdev->reset);
	if (!ret)
		ret = xrnpe_hw_reset_by_register(xdev);
	if (!ret)
		return 0;
	return reset_control_assert(xdev->reset) ? -ETIMEDOUT : -EIO;
}

/**
 * xrnpe_hw_reset() - stop everything
 * @xdev: the device, powered
 *
 * Return: 0: the device is ready for xrnpe_hw_start() and accesses no memory;
 * -EIO: it is of no use, but is held in reset by its line, so that it accesses no
 * memory;
 * -ETIMEDOUT: it may go on to access the memory that it was given.
 */
int xrnpe_hw_reset(struct xrnpe_device *xdev)
{
	int ret = xrnpe_hw_reset_by_register(xdev);

	if (ret && xdev->reset)
		ret = xrnpe_hw_reset_by_line(xdev);
	return ret;
}

/*
 * Note whether the device can still access memory, from what xrnpe_hw_reset()
 * returned. Clocks and power are no means to stop it: they may be shared, we do
 * not learn whether they are really off, and a device without clocks is only
 * paused, maybe within a transfer that the bus waits for. So they stay on.
 */
static void xrnpe_hw_note_reset(struct xrnpe_device *xdev, int error)
{
	bool runaway = error == -ETIMEDOUT;

	if (runaway)
		drm_err(&xdev->drm, "cannot be stopped; the memory it uses is lost until the machine is reset\n");
	if (runaway == xdev->runaway)
		return;

	WRITE_ONCE(xdev->runaway, runaway);
	if (runaway)
		pm_runtime_get_noresume(xdev->drm.dev);
	else
		pm_runtime_put_noidle(xdev->drm.dev);
}

/**
 * xrnpe_hw_quiesce() - see to it that the device does not access memory
 * @xdev: the device, powered, without jobs
 *
 * A runaway is reset once more: the command that it would not give up may have
 * come to its end.
 *
 * Return: 0; -EBUSY if the device may still access memory.
 */
int xrnpe_hw_quiesce(struct xrnpe_device *xdev)
{
	bool busy;

	guard(mutex)(&xdev->hw_lock);
	if (!xdev->wedged) {
		busy = xrnpe_read(xdev, XRNPE_STATUS) & XRNPE_STATUS_BUSY;
	} else {
		if (xdev->runaway)
			xrnpe_hw_note_reset(xdev, xrnpe_hw_reset(xdev));
		busy = xdev->runaway;
	}
	return busy ? -EBUSY : 0;
}

/**
 * xrnpe_hw_start() - make the device ready and give it the jobs its queues hold
 * @xdev: the device, fresh from reset
 */
void xrnpe_hw_start(struct xrnpe_device *xdev)
{
	lockdep_assert_held(&xdev->hw_lock);

	/* Nothing of what the page said may be taken for news. */
	for (unsigned int i = 0; i < xdev->info.queues; i++) {
		struct xrnpe_job *job = xrnpe_queue_head(&xdev->queue[i]);
		u32 seqno = job ? job->seqno - 1 : xdev->queue[i].seqno;

		xdev->shared->status[i] = (struct xrnpe_queue_status) {
			.seqno = seqno,
			.fault_seqno = seqno,
		};
	}
	xrnpe_write64(xdev, XRNPE_STATUS_BASE_LO, xrnpe_shared_dma(xdev, status));

	for (unsigned int i = 0; i < xdev->info.queues; i++)
		xrnpe_queue_start(&xdev->queue[i]);
	xrnpe_write(xdev, XRNPE_IRQ_ENABLE, XRNPE_IRQ_ALL);
}

/**
 * xrnpe_hw_stop() - quiesce interrupt and rings
 * @xdev: the device; the caller knows that no job is in a ring, or resets next
 */
void xrnpe_hw_stop(struct xrnpe_device *xdev)
{
	/* One that has failed was stopped then; held in reset it may not even answer. */
	if (!READ_ONCE(xdev->wedged))
		xrnpe_write(xdev, XRNPE_IRQ_ENABLE, 0);
	synchronize_irq(xdev->irq);
}

/*
 * End all jobs, and the device's use, without the hardware's help: @error is what
 * xrnpe_hw_reset() returned. Fences signal in any case, for nobody may wait for
 * ever, but buffers stay until the device leaves them alone.
 */
static void xrnpe_hw_give_up(struct xrnpe_device *xdev, int error)
{
	WRITE_ONCE(xdev->wedged, true);
	xrnpe_hw_note_reset(xdev, error);

	for (unsigned int i = 0; i < xdev->info.queues; i++) {
		struct xrnpe_job *job, *next;

		list_for_each_entry_safe(job, next, &xdev->queue[i].jobs, node) {
			if (xdev->runaway)
				xrnpe_job_leak_bos(job);
			xrnpe_job_cancel(job);
		}
	}
}

static void xrnpe_hw_reap(struct xrnpe_device *xdev)
{
	for (unsigned int i = 0; i < xdev->info.queues; i++)
		xrnpe_queue_reap(&xdev->queue[i]);
}

/*
 * Note which jobs may have begun: those that HEAD has passed, whose sequence number
 * is missing then, and the one at HEAD, if its queue is served or it has executed
 * before. No other begins any more. A job that the device was reset for again and
 * again has its part in that.
 */
static void xrnpe_queue_note_begun(struct xrnpe_queue *queue)
{
	u32 head, serves, status;
	struct xrnpe_job *job;
	u64 executed;

	if (list_empty(&queue->jobs))
		return;
	xrnpe_queue_poison(queue);
	status = xrnpe_read(queue->xdev, XRNPE_STATUS);
	serves = FIELD_GET(XRNPE_STATUS_QUEUE_MASK, status);
	executed = xrnpe_queue_executed(queue, &head);
	list_for_each_entry(job, &queue->jobs, node)
		job->begun = ++job->resets > XRNPE_MAX_RESETS ||
			     (head == job->count && (executed || serves == queue->index)) ||
			     ((s32)(head - job->count) > 0 && !xrnpe_job_is_refused(job));
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
	for (unsigned int i = 0; i < xdev->info.queues; i++)
		xrnpe_queue_note_begun(&xdev->queue[i]);

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

	guard(mutex)(&xdev->hw_lock);
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
static void xrnpe_wedged_work(struct work_struct *work)
{
	struct xrnpe_device *xdev = container_of(work, struct xrnpe_device, wedged_work);

	if (!READ_ONCE(xdev->runaway) && xdev->drm.primary)
		xrnpe_drm_wedged_event(&xdev->drm);
}

/*
 * Go on after a reset. A job that has run in part is cancelled: running it again on
 * what it has already changed could give another result. The others stay.
 */
static void xrnpe_hw_restart(struct xrnpe_device *xdev)
{
	for (unsigned int i = 0; i < xdev->info.queues; i++) {
		struct xrnpe_job *job, *next;

		list_for_each_entry_safe(job, next, &xdev->queue[i].jobs, node)
			if (job->begun || job->timed_out)
				xrnpe_job_cancel(job);
		xrnpe_queue_cancel_dependents(&xdev->queue[i]);
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

	scoped_guard(mutex, &xdev->hw_lock) {
		ret = xrnpe_hw_reset_and_reap(xdev);
		if (ret)
			xrnpe_hw_give_up(xdev, ret);
		else
			xrnpe_hw_restart(xdev);
	}

	if (ret)
		schedule_work(&xdev->wedged_work);
	xrnpe_sched_start(xdev);
}

/* ---- rest ---- */

/**
 * xrnpe_hw_park() - let the device come to rest, between two jobs
 * @xdev: the device, powered; its schedulers are stopped
 *
 * Jobs that have begun go on to their ends, those that have not stay for
 * xrnpe_hw_start() or xrnpe_hw_unpark().
 */
void xrnpe_hw_park(struct xrnpe_device *xdev)
{
	guard(mutex)(&xdev->hw_lock);
	xdev->parking = true;
	for (unsigned int i = 0; i < xdev->info.queues; i++)
		xrnpe_queue_poison(&xdev->queue[i]);
}

/**
 * xrnpe_hw_is_parked() - whether the device has come to rest
 * @xdev: the device, after xrnpe_hw_park()
 *
 * Return: true if no job of any queue has begun that has not ended.
 */
bool xrnpe_hw_is_parked(struct xrnpe_device *xdev)
{
	guard(mutex)(&xdev->hw_lock);
	for (unsigned int i = 0; i < xdev->info.queues; i++) {
		struct xrnpe_queue *queue = &xdev->queue[i];

		if (list_empty(&queue->jobs))
			continue;
		xrnpe_queue_service(queue);
		if (!list_empty(&queue->jobs) &&
		    xrnpe_queue_read(queue, XRNPE_QUEUE_STATE) == XRNPE_QUEUE_STATE_RUNNING)
			return false;
	}
	return true;
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

	guard(mutex)(&xdev->hw_lock);
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

static void xrnpe_reset_work(struct work_struct *work)
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

/*
 * Whether HEAD fits the oldest job of a queue. It counts a job a moment after the
 * job's sequence number was written, so that it may be one behind.
 */
static bool xrnpe_queue_is_at(struct xrnpe_queue *queue, const struct xrnpe_job *job)
{
	u32 head = xrnpe_queue_read(queue, XRNPE_QUEUE_HEAD);

	return head == job->count || head + 1 == job->count;
}

/*
 * Look after a job that has been in the ring for long, and abort it if its time
 * is up. Returns false if the device must be reset.
 */
static bool xrnpe_job_check_time(struct xrnpe_job *job)
{
	struct xrnpe_queue *queue = job->queue;
	struct xrnpe_device *xdev = queue->xdev;
	u64 limit = (u64)xdev->info.job_timeout_ms * NSEC_PER_MSEC;
	bool at_job;

	scoped_guard(mutex, &xdev->hw_lock) {
		if (job->ended)
			return true;
		/* Read first, so that what HEAD has counted is on the status page. */
		at_job = xrnpe_queue_is_at(queue, job);
		/* The interrupt may be late, or lost. */
		xrnpe_queue_service(queue);
		if (job->ended)
			return true;
		if (!at_job) {
			drm_err_ratelimited(&xdev->drm, "%s has not told of a job's end, resetting\n",
					    queue->name);
			return false;
		}

		xrnpe_hw_account(xdev);
		if (job->run_ns < limit &&
		    ktime_to_ns(ktime_sub(ktime_get(), queue->head_since)) <
		    XRNPE_STARVED * limit)
			return true;

		drm_dbg(&xdev->drm, "%s: job %llu of client %llu takes too long\n",
			queue->name, job->result->id, job->ctx->client);
		job->timed_out = true;
		/* Should it end by itself just now, this does nothing. */
		xrnpe_queue_write(queue, XRNPE_QUEUE_ABORT, job->count);
	}

	if (wait_event_timeout(xdev->ended, READ_ONCE(job->ended),
			       msecs_to_jiffies(XRNPE_ABORT_MS)))
		return true;

	guard(mutex)(&xdev->hw_lock);
	/* This interrupt may be lost as any other. */
	if (!job->ended)
		xrnpe_queue_service(queue);
	if (!job->ended)
		drm_err_ratelimited(&xdev->drm, "%s does not abort, resetting\n", queue->name);
	return job->ended;
}

/**
 * xrnpe_hw_timeout() - deal with a job that has been in the ring for long
 * @job: oldest job of its queue as the scheduler knows it; does not go away
 *
 * Afterwards the job has ended, or may run on.
 */
void xrnpe_hw_timeout(struct xrnpe_job *job)
{
	struct xrnpe_device *xdev = job->queue->xdev;

	scoped_guard(mutex, &xdev->hw_lock) {
		/* Not in the ring: it has ended, or is only about to start. */
		if (job != xrnpe_queue_head(job->queue) || !xdev->powered)
			return;
		/* The job keeps the device on; it may end at any time. */
		pm_runtime_get_noresume(xdev->drm.dev);
	}
	if (!xrnpe_job_check_time(job))
		xrnpe_hw_recover(xdev);
	pm_runtime_put_autosuspend(xdev->drm.dev);
}

static int xrnpe_hw_get_capabilities(struct xrnpe_device *xdev)
{
	u32 memory = xrnpe_read(xdev, XRNPE_CAP_MEMORY);
	u32 record = xrnpe_read(xdev, XRNPE_CAP_RECORD);
	u32 address_bits = FIELD_GET(XRNPE_CAP_ADDRESS_BITS_MASK, memory);
	struct drm_xrnpe_dev_info *info = &xdev->info;
	struct device *dev = xdev->drm.dev;
	int ret;

	info->revision = xrnpe_read(xdev, XRNPE_REVISION);
	info->opcodes = xrnpe_read(xdev, XRNPE_CAP_OPCODES);
	info->formats = xrnpe_read(xdev, XRNPE_CAP_FORMATS);
	info->max_k = xrnpe_read(xdev, XRNPE_CAP_MAX_K);
	info->cmd_bytes = FIELD_GET(XRNPE_CAP_CMD_BYTES_MASK, record);
	info->bus_bytes = FIELD_GET(XRNPE_CAP_BUS_BYTES_MASK, memory);
	info->sram_kib = FIELD_GET(XRNPE_CAP_SRAM_KIB_MASK, memory);
	info->clock_khz = xrnpe_read(xdev, XRNPE_CLOCK_KHZ);
	info->timer_khz = xrnpe_read(xdev, XRNPE_TIMER_KHZ);

	if (!info->timer_khz || !info->cmd_bytes || info->cmd_bytes > XRNPE_CMD_STRIDE_MAX ||
	    address_bits < 32 || address_bits > 64)
		return dev_err_probe(dev, -ENODEV,
				     "impossible capabilities: memory %#x, record %#x, timer %u kHz\n",
				     memory, record, info->timer_khz);

	ret = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(address_bits));
	if (ret)
		return dev_err_probe(dev, ret, "cannot reach memory\n");
	return 0;
}

static int xrnpe_hw_identify(struct xrnpe_device *xdev)
{
	u32 id = xrnpe_read(xdev, XRNPE_ID);
	u32 version = xrnpe_read(xdev, XRNPE_VERSION);
	u32 config = xrnpe_read(xdev, XRNPE_CONFIG);
	struct device *dev = xdev->drm.dev;

	if (id != XRNPE_ID_MAGIC)
		return dev_err_probe(dev, -ENODEV, "not an XR-NPE: id %#x\n", id);
	if (FIELD_GET(XRNPE_VERSION_MAJOR_MASK, version) !=
	    FIELD_GET(XRNPE_VERSION_MAJOR_MASK, XRNPE_VERSION_1_0))
		return dev_err_probe(dev, -ENODEV, "programming model %#x is unknown\n", version);

	xdev->info.version = version;
	xdev->info.rows = FIELD_GET(XRNPE_CONFIG_ROWS_MASK, config);
	xdev->info.cols = FIELD_GET(XRNPE_CONFIG_COLS_MASK, config);
	xdev->info.queues = FIELD_GET(XRNPE_CONFIG_QUEUES_MASK, config);
	if (!xdev->info.queues || xdev->info.queues > XRNPE_MAX_QUEUES)
		return dev_err_probe(dev, -ENODEV, "impossible configuration %#x\n", config);
	return xrnpe_hw_get_capabilities(xdev);
}

static void xrnpe_hw_free_shared(void *data)
{
	struct xrnpe_device *xdev = data;

	/* It has the same fate as the buffers: a runaway device keeps it. */
	if (!xdev->runaway)
		dma_free_coherent(xdev->drm.dev, sizeof(*xdev->shared), xdev->shared,
				  xdev->shared_dma);
}

/**
 * xrnpe_hw_probe() - identify the device and get what it takes to drive it
 * @xdev: the device, powered and clocked
 */
int xrnpe_hw_probe(struct xrnpe_device *xdev)
{
	struct device *dev = xdev->drm.dev;
	int ret;

	ret = xrnpe_hw_identify(xdev);
	if (ret)
		return ret;
	ret = xrnpe_hw_reset(xdev);
	if (ret) {
		/* An earlier driver may have left it so. */
		xrnpe_hw_note_reset(xdev, ret);
		return ret;
	}

	for (unsigned int i = 0; i < xdev->info.queues; i++) {
		struct xrnpe_queue *queue = &xdev->queue[i];

		queue->xdev = xdev;
		queue->index = i;
		snprintf(queue->name, sizeof(queue->name), "queue%u", i);
		INIT_LIST_HEAD(&queue->jobs);
	}
	init_waitqueue_head(&xdev->ended);
	INIT_WORK(&xdev->reset_work, xrnpe_reset_work);
	INIT_WORK(&xdev->wedged_work, xrnpe_wedged_work);

	xdev->shared = dma_alloc_coherent(dev, sizeof(*xdev->shared), &xdev->shared_dma,
					  GFP_KERNEL);
	if (!xdev->shared)
		return -ENOMEM;
	ret = devm_add_action_or_reset(dev, xrnpe_hw_free_shared, xdev);
	if (ret)
		return ret;

	return devm_request_threaded_irq(dev, xdev->irq, NULL, xrnpe_irq_thread, IRQF_ONESHOT,
					 dev_name(dev), xdev);
}

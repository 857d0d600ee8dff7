// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * How the queues of a ring share its time. The scheduler knows which jobs are ready, and
 * this who of them has had how much, by the device's own account: a queue that is ahead
 * of others waits until they have had as much, or have nothing to do.
 */
#include <linux/dma-fence.h>
#include <linux/math64.h>

#include "xrnpe_drv.h"
#include "xrnpe_job.h"
#include "xrnpe_queue.h"
#include "xrnpe_share.h"

/* ---- who waits ---- */

static bool xrnpe_share_less(struct rb_node *a, const struct rb_node *b)
{
	return xrnpe_share_precedes(rb_entry(a, struct xrnpe_share, node),
				    rb_entry(b, struct xrnpe_share, node));
}

/* Who has its turn next, or NULL. */
static struct xrnpe_share *xrnpe_ring_next_share(const struct xrnpe_ring *ring)
{
	return rb_entry_safe(rb_first_cached(&ring->waiting), struct xrnpe_share, node);
}

static void xrnpe_share_stop_waiting(struct xrnpe_share *share, struct xrnpe_ring *ring)
{
	rb_erase_cached(&share->node, &ring->waiting);
	ring->waiters--;
	dma_fence_signal(share->turn);
	dma_fence_put(share->turn);
	share->turn = NULL;
}

/* ---- who is let in ---- */

static bool xrnpe_ring_is_low(const struct xrnpe_ring *ring)
{
	return ring->admitted + ring->granted < XRNPE_SHARE_LOW;
}

static bool xrnpe_ring_lets_in(const struct xrnpe_ring *ring, const struct xrnpe_share *share)
{
	const struct xrnpe_share *next = xrnpe_ring_next_share(ring);

	if (xrnpe_ring_is_low(ring))
		return true;
	return xrnpe_share_has_budget(share, ring->now) &&
	       (!next || xrnpe_share_precedes(share, next));
}

/* Let in who waits, as far as there is room. */
static void xrnpe_ring_grant(struct xrnpe_ring *ring)
{
	struct xrnpe_share *share;

	lockdep_assert_held(&ring->xdev->hw_lock);
	while (xrnpe_ring_is_low(ring) && (share = xrnpe_ring_next_share(ring))) {
		share->granted = true;
		ring->granted++;
		xrnpe_share_stop_waiting(share, ring);
	}
}

/*
 * What a ring executes all that have work should have had their part of. Else queues
 * that are new, and have had nothing, could come before one that waits for ever.
 */
static void xrnpe_ring_go_on(struct xrnpe_ring *ring, u64 executed)
{
	if (ring->waiters)
		ring->now += div_u64(executed, ring->waiters + 1);
}

static void xrnpe_share_use_turn(struct xrnpe_share *share, struct xrnpe_ring *ring)
{
	if (share->granted)
		ring->granted--;
	share->granted = false;
}

/**
 * xrnpe_share_enter() - admit a job to its ring, or let its queue wait for its turn
 * @job: the job, which is ready to execute
 *
 * Context: the ring's scheduler. Fences wait for it, so that it must not wait for memory.
 *
 * Return: NULL if the job is admitted, until xrnpe_share_leave(); or a fence that signals
 * when this is to be called again.
 */
struct dma_fence *xrnpe_share_enter(struct xrnpe_job *job)
{
	struct xrnpe_share *share = &job->queue->share;
	struct xrnpe_ring *ring = job->ring;

	guard(mutex)(&ring->xdev->hw_lock);
	xrnpe_share_catch_up(share, ring->now);
	if (!share->granted && !xrnpe_ring_lets_in(ring, share)) {
		share->turn = xrnpe_fence_create(job->ctx, GFP_NOWAIT);
		/* Without memory it goes on; that is unfair, but no harm. */
		if (share->turn) {
			rb_add_cached(&share->node, &ring->waiting, xrnpe_share_less);
			ring->waiters++;
			return dma_fence_get(share->turn);
		}
	}

	xrnpe_share_use_turn(share, ring);
	job->taken = xrnpe_share_take(share, &ring->now);
	ring->admitted++;
	return NULL;
}

/**
 * xrnpe_share_leave() - an admitted job has ended, or does not execute after all
 * @job: the job
 */
void xrnpe_share_leave(struct xrnpe_job *job)
{
	struct xrnpe_share *share = &job->queue->share;
	struct xrnpe_ring *ring = job->ring;

	lockdep_assert_held(&ring->xdev->hw_lock);
	/* Where it stands among those that wait depends on what it has used. */
	if (share->turn)
		rb_erase_cached(&share->node, &ring->waiting);
	xrnpe_share_settle(share, job->taken, job->run_ns);
	if (share->turn)
		rb_add_cached(&share->node, &ring->waiting, xrnpe_share_less);

	ring->admitted--;
	xrnpe_ring_go_on(ring, job->run_ns);
	xrnpe_ring_grant(ring);
}

/**
 * xrnpe_share_withdraw() - a queue does not wait any more
 * @queue: the queue, of which the scheduler has forgotten all jobs that are not admitted
 */
void xrnpe_share_withdraw(struct xrnpe_queue *queue)
{
	struct xrnpe_share *share = &queue->share;
	struct xrnpe_ring *ring = queue->ring;

	guard(mutex)(&ring->xdev->hw_lock);
	if (share->turn)
		xrnpe_share_stop_waiting(share, ring);
	xrnpe_share_use_turn(share, ring);
	xrnpe_ring_grant(ring);
}

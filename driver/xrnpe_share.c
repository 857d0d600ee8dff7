// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * How the queues of a ring share its time: who of those that have a job ready to execute
 * has had how much, by the device's own account. A queue that is ahead of others waits until
 * they have had as much, or have nothing to do.
 */
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

/**
 * xrnpe_share_wait() - let a queue wait for its turn
 * @queue: the queue, which does not wait and has a job that is ready to execute
 */
void xrnpe_share_wait(struct xrnpe_queue *queue)
{
	struct xrnpe_share *share = &queue->share;
	struct xrnpe_ring *ring = queue->ring;

	lockdep_assert_held(&ring->xdev->hw_lock);
	xrnpe_share_catch_up(share, ring->now);
	rb_add_cached(&share->node, &ring->waiting, xrnpe_share_less);
	ring->waiters++;
	share->waits = true;
}

/**
 * xrnpe_share_withdraw() - a queue does not wait any more
 * @queue: the queue, which did
 */
void xrnpe_share_withdraw(struct xrnpe_queue *queue)
{
	struct xrnpe_share *share = &queue->share;
	struct xrnpe_ring *ring = queue->ring;

	lockdep_assert_held(&ring->xdev->hw_lock);
	rb_erase_cached(&share->node, &ring->waiting);
	ring->waiters--;
	share->waits = false;
}

/* ---- who is let in ---- */

/**
 * xrnpe_ring_next_queue() - whose turn it is
 * @ring: the ring
 *
 * Return: the queue, or NULL if none waits, or who does has had more than its part.
 */
struct xrnpe_queue *xrnpe_ring_next_queue(const struct xrnpe_ring *ring)
{
	struct xrnpe_queue *queue = rb_entry_safe(rb_first_cached(&ring->waiting),
						  struct xrnpe_queue, share.node);

	lockdep_assert_held(&ring->xdev->hw_lock);
	if (ring->filled >= XRNPE_SHARE_LOW && queue &&
	    !xrnpe_share_has_budget(&queue->share, ring->now))
		return NULL;
	return queue;
}

/**
 * xrnpe_share_enter() - charge a queue for a job that gets into its ring
 * @job: the job
 */
void xrnpe_share_enter(struct xrnpe_job *job)
{
	struct xrnpe_share *share = &job->queue->share;
	struct xrnpe_ring *ring = job->ring;

	lockdep_assert_held(&ring->xdev->hw_lock);
	xrnpe_share_catch_up(share, ring->now);
	job->taken = xrnpe_share_take(share, &ring->now);
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

/**
 * xrnpe_share_leave() - a job has left its ring
 * @job: the job
 */
void xrnpe_share_leave(struct xrnpe_job *job)
{
	struct xrnpe_share *share = &job->queue->share;
	struct xrnpe_ring *ring = job->ring;

	lockdep_assert_held(&ring->xdev->hw_lock);
	/* Where it stands among those that wait depends on what it has used. */
	if (share->waits)
		rb_erase_cached(&share->node, &ring->waiting);
	xrnpe_share_settle(share, job->taken, job->run_ns);
	if (share->waits)
		rb_add_cached(&share->node, &ring->waiting, xrnpe_share_less);

	xrnpe_ring_go_on(ring, job->run_ns);
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * How the queues of a ring share its time: who of those that have a job ready to execute
 * has had how much, by the device's own account. A queue that is ahead of others waits until
 * they have had as much, or have nothing to do.
 *
 * More urgent ones go first, be it in a ring that priorities share, or in rings of their own,
 * but those who are less urgent have a turn now and then. Rings of HIGH and REALTIME alone,
 * which not everybody may use, wait for no other ring.
 */
#include <linux/jiffies.h>
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
	rb_add_cached(&share->node, &share->turns->waiting, xrnpe_share_less);
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
	rb_erase_cached(&share->node, &share->turns->waiting);
	ring->waiters--;
	share->waits = false;
}

/* ---- who is let in ---- */

static unsigned int xrnpe_patience_ms(const struct xrnpe_ring *ring)
{
	return XRNPE_SHARE_PATIENCE * ring->xdev->info.job_timeout_ms;
}

/*
 * Whether no job shall get into @ring, as the oldest of the one that it gives way to has waited for
 * too long. As what follows this is rarely asked, and not to cost registers when it is not.
 */
static noinline bool xrnpe_ring_gives_way(const struct xrnpe_ring *ring)
{
	return ktime_ms_delta(ktime_get(), ring->gives_way_to->head_since) >
	       xrnpe_patience_ms(ring);
}

/* Those of a less urgent priority than @most which have had no turn for too long, or else @most. */
static noinline const struct xrnpe_turns *xrnpe_ring_late_turns(const struct xrnpe_ring *ring,
								const struct xrnpe_turns *most)
{
	const unsigned long patience = msecs_to_jiffies(xrnpe_patience_ms(ring));

	for (const struct xrnpe_turns *turns = ring->least; turns < most; turns++)
		if (!RB_EMPTY_ROOT(&turns->waiting.rb_root) &&
		    time_after(jiffies, turns->last + patience))
			return turns;
	return most;
}

/**
 * xrnpe_ring_next_queue() - whose turn it is
 * @ring: the ring, for which queues wait
 *
 * Return: the queue, or NULL if who waits has had more than its part, or another ring's job has
 * waited for too long.
 */
struct xrnpe_queue *xrnpe_ring_next_queue(const struct xrnpe_ring *ring)
{
	const struct xrnpe_turns *turns = ring->most;
	struct xrnpe_queue *queue;

	lockdep_assert_held(&ring->xdev->hw_lock);
	if (ring->gives_way_to && !list_empty(&ring->gives_way_to->jobs) &&
	    xrnpe_ring_gives_way(ring))
		return NULL;
	while (RB_EMPTY_ROOT(&turns->waiting.rb_root))
		turns--;
	if (turns != ring->least)
		turns = xrnpe_ring_late_turns(ring, turns);
	queue = rb_entry(rb_first_cached(&turns->waiting), struct xrnpe_queue, share.node);
	if (ring->filled >= XRNPE_SHARE_LOW && !xrnpe_share_has_budget(&queue->share, ring->now))
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
	share->turns->last = jiffies;
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
		rb_erase_cached(&share->node, &share->turns->waiting);
	xrnpe_share_settle(share, job->taken, job->run_ns);
	if (share->waits)
		rb_add_cached(&share->node, &share->turns->waiting, xrnpe_share_less);

	xrnpe_ring_go_on(ring, job->run_ns);
}

/* ---- rings that keep others waiting ---- */

/**
 * xrnpe_share_probe() - find out which rings serve which priorities, and who gives way to whom
 * @xdev: the device, whose rings are known
 */
void xrnpe_share_probe(struct xrnpe_device *xdev)
{
	struct xrnpe_ring *ring[XRNPE_PRIORITIES];

	for (u32 priority = 0; priority < XRNPE_PRIORITIES; priority++) {
		ring[priority] = &xdev->ring[xrnpe_priority_ring(xdev->info.rings, priority)];
		ring[priority]->most = &ring[priority]->turns[priority];
		if (!priority || ring[priority] != ring[priority - 1])
			ring[priority]->least = ring[priority]->most;
	}
	if (ring[DRM_XRNPE_PRIORITY_MEDIUM] != ring[DRM_XRNPE_PRIORITY_LOW])
		ring[DRM_XRNPE_PRIORITY_MEDIUM]->gives_way_to = ring[DRM_XRNPE_PRIORITY_LOW];
}

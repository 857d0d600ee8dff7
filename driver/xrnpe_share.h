/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef __XRNPE_SHARE_H__
#define __XRNPE_SHARE_H__

#include <linux/minmax.h>
#include <linux/rbtree.h>
#include <linux/time64.h>
#include <linux/types.h>

struct xrnpe_device;
struct xrnpe_job;
struct xrnpe_queue;
struct xrnpe_ring;
struct xrnpe_turns;

/* What a queue may execute ahead of others of its ring that have work, too. */
#define XRNPE_SHARE_SLICE	(20 * NSEC_PER_MSEC)
/* With fewer jobs in the ring the device is soon idle: one is let in, whoever it is from. */
#define XRNPE_SHARE_LOW		2
/*
 * Who is less urgent has a turn, too, after so many time limits of a job: what everybody may do
 * is to keep nobody waiting for ever, and who is urgent has to wait for one job so rarely.
 */
#define XRNPE_SHARE_PATIENCE	8

/** struct xrnpe_share - what a queue has had of its ring's time; protected by hw_lock */
struct xrnpe_share {
	/**
	 * @used: nanoseconds that its jobs executed, since the ring's time began, or of those in
	 * the ring are thought to
	 */
	u64 used;
	/** @estimate: nanoseconds that the next job will execute */
	u64 estimate;
	/** @waits: for its turn */
	bool waits;
	/** @turns: of those of its ring and its priority */
	struct xrnpe_turns *turns;
	/** @node: in @turns, if it waits */
	struct rb_node node;
};

static inline void xrnpe_share_init(struct xrnpe_share *share, struct xrnpe_turns *turns)
{
	*share = (struct xrnpe_share) {
		/* Nothing is known: one job, and then it is. */
		.estimate = XRNPE_SHARE_SLICE,
		.turns = turns,
	};
}

/**
 * xrnpe_share_has_budget() - whether a queue may go on at once
 * @share: the queue's share
 * @now: the ring's time: what a queue has used that has had its part
 *
 * Return: true if it is not ahead of the others by its slice.
 */
static inline bool xrnpe_share_has_budget(const struct xrnpe_share *share, u64 now)
{
	return share->used < now + XRNPE_SHARE_SLICE;
}

/**
 * xrnpe_share_catch_up() - see that who had nothing to do has saved nothing up
 * @share: the queue's share
 * @now: the ring's time
 */
static inline void xrnpe_share_catch_up(struct xrnpe_share *share, u64 now)
{
	share->used = max(share->used, now);
}

/**
 * xrnpe_share_take() - charge a queue for a job that is to execute
 * @share: the queue's share, not behind the ring's time
 * @now: the ring's time, which goes on if the queue is ahead of it
 *
 * Return: what it is charged, to be passed to xrnpe_share_settle() when the job has ended.
 */
static inline u64 xrnpe_share_take(struct xrnpe_share *share, u64 *now)
{
	if (!xrnpe_share_has_budget(share, *now))
		*now = share->used;
	share->used += share->estimate;
	return share->estimate;
}

/**
 * xrnpe_share_settle() - charge a queue for what a job has really executed
 * @share: the queue's share
 * @taken: what it was charged before
 * @executed: nanoseconds that it executed; 0 if it did not
 */
static inline void xrnpe_share_settle(struct xrnpe_share *share, u64 taken, u64 executed)
{
	share->used += executed - taken;
	if (executed)
		share->estimate = (share->estimate + executed) / 2;
}

/**
 * xrnpe_share_precedes() - which of two of the same turns has its own first
 * @a: one
 * @b: the other
 *
 * Return: true if it is @a; false if it is @b, or who comes first.
 */
static inline bool xrnpe_share_precedes(const struct xrnpe_share *a, const struct xrnpe_share *b)
{
	return a->used < b->used;
}

void xrnpe_share_probe(struct xrnpe_device *xdev);
void xrnpe_share_wait(struct xrnpe_queue *queue);
void xrnpe_share_withdraw(struct xrnpe_queue *queue);
struct xrnpe_queue *xrnpe_ring_next_queue(const struct xrnpe_ring *ring);
void xrnpe_share_enter(struct xrnpe_job *job);
void xrnpe_share_leave(struct xrnpe_job *job);

#endif

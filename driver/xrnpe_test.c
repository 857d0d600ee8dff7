// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * KUnit tests of what the driver decides without its hardware: who shares a ring's time
 * how, which priority is served by which ring, what lies within a buffer, what a monitor
 * counts.
 */
#include <kunit/test.h>

#include <linux/limits.h>
#include <linux/module.h>

#include "xrnpe_gem.h"
#include "xrnpe_perfmon.h"
#include "xrnpe_queue.h"
#include "xrnpe_share.h"

#define MS	((u64)NSEC_PER_MSEC)

/* ---- shares of a ring ---- */

static void xrnpe_share_budget(struct kunit *test)
{
	struct xrnpe_share share;
	u64 now = 1000 * MS;

	xrnpe_share_init(&share, NULL);
	xrnpe_share_catch_up(&share, now);
	KUNIT_EXPECT_EQ(test, share.used, now);
	KUNIT_EXPECT_TRUE(test, xrnpe_share_has_budget(&share, now));

	/* It may go on until it is ahead by its slice. */
	share.used = now + XRNPE_SHARE_SLICE - 1;
	KUNIT_EXPECT_TRUE(test, xrnpe_share_has_budget(&share, now));
	share.used = now + XRNPE_SHARE_SLICE;
	KUNIT_EXPECT_FALSE(test, xrnpe_share_has_budget(&share, now));
	xrnpe_share_catch_up(&share, now);
	KUNIT_EXPECT_EQ(test, share.used, now + XRNPE_SHARE_SLICE);
}

/* What is taken in advance is given back, but for what was executed. */
static void xrnpe_share_charge(struct kunit *test)
{
	struct xrnpe_share share;
	u64 now = 0, first, second;

	xrnpe_share_init(&share, NULL);
	first = xrnpe_share_take(&share, &now);
	KUNIT_EXPECT_EQ(test, share.used, first);
	KUNIT_EXPECT_EQ(test, now, 0);
	/* It is ahead now, and time goes on with it. */
	second = xrnpe_share_take(&share, &now);
	KUNIT_EXPECT_EQ(test, now, first);

	xrnpe_share_settle(&share, first, 3 * MS);
	KUNIT_EXPECT_EQ(test, share.used, 3 * MS + second);
	KUNIT_EXPECT_EQ(test, share.estimate, (XRNPE_SHARE_SLICE + 3 * MS) / 2);
	/* One that was cancelled costs nothing, and tells nothing. */
	xrnpe_share_settle(&share, second, 0);
	KUNIT_EXPECT_EQ(test, share.used, 3 * MS);
	KUNIT_EXPECT_EQ(test, share.estimate, (XRNPE_SHARE_SLICE + 3 * MS) / 2);
}

static void xrnpe_share_order(struct kunit *test)
{
	struct xrnpe_share a = { .used = 5 }, b = { .used = 6 };

	KUNIT_EXPECT_TRUE(test, xrnpe_share_precedes(&a, &b));
	KUNIT_EXPECT_FALSE(test, xrnpe_share_precedes(&b, &a));
	/* Who comes first goes first. */
	b.used = a.used;
	KUNIT_EXPECT_FALSE(test, xrnpe_share_precedes(&a, &b));
	KUNIT_EXPECT_FALSE(test, xrnpe_share_precedes(&b, &a));
}

/* Queues with jobs of any length have the same time in the end, give or take a job. */
static void xrnpe_share_is_fair(struct kunit *test)
{
	static const u64 lengths[] = { 1 * MS, 7 * MS, 150 * MS };
	struct xrnpe_share shares[ARRAY_SIZE(lengths)];
	u64 executed[ARRAY_SIZE(lengths)] = { }, now = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(lengths); i++)
		xrnpe_share_init(&shares[i], NULL);
	for (unsigned int turn = 0; turn < 10000; turn++) {
		unsigned int next = 0;
		u64 taken;

		for (unsigned int i = 1; i < ARRAY_SIZE(lengths); i++)
			if (xrnpe_share_precedes(&shares[i], &shares[next]))
				next = i;
		xrnpe_share_catch_up(&shares[next], now);
		taken = xrnpe_share_take(&shares[next], &now);
		xrnpe_share_settle(&shares[next], taken, lengths[next]);
		executed[next] += lengths[next];
	}
	for (unsigned int i = 1; i < ARRAY_SIZE(lengths); i++)
		KUNIT_EXPECT_LE(test, abs_diff(executed[i], executed[0]),
				150 * MS + XRNPE_SHARE_SLICE);
}

/* ---- priorities ---- */

static void xrnpe_priority_rings(struct kunit *test)
{
	static const u8 ring[XRNPE_MAX_QUEUES][XRNPE_PRIORITIES] = {
		{ 0, 0, 0, 0 }, { 1, 1, 0, 0 }, { 2, 1, 0, 0 }, { 3, 2, 1, 0 },
	};

	for (unsigned int rings = 1; rings <= XRNPE_MAX_QUEUES; rings++)
		for (u32 priority = 0; priority < XRNPE_PRIORITIES; priority++)
			KUNIT_EXPECT_EQ_MSG(test, xrnpe_priority_ring(rings, priority),
					    ring[rings - 1][priority],
					    "priority %u of %u rings", priority, rings);
}

/* ---- buffers ---- */

static void xrnpe_bo_bounds(struct kunit *test)
{
	struct xrnpe_bo bo = { .base.size = 8192 };

	KUNIT_EXPECT_TRUE(test, xrnpe_bo_contains(&bo, 0, 8192));
	KUNIT_EXPECT_TRUE(test, xrnpe_bo_contains(&bo, 8191, 1));
	KUNIT_EXPECT_FALSE(test, xrnpe_bo_contains(&bo, 0, 0));
	KUNIT_EXPECT_FALSE(test, xrnpe_bo_contains(&bo, 8192, 0));
	KUNIT_EXPECT_FALSE(test, xrnpe_bo_contains(&bo, 8192, 1));
	KUNIT_EXPECT_FALSE(test, xrnpe_bo_contains(&bo, 1, 8192));
	/* Sums that wrap. */
	KUNIT_EXPECT_FALSE(test, xrnpe_bo_contains(&bo, 1, U64_MAX));
	KUNIT_EXPECT_FALSE(test, xrnpe_bo_contains(&bo, U64_MAX, 1));
	KUNIT_EXPECT_FALSE(test, xrnpe_bo_contains(&bo, U64_MAX, U64_MAX));
}

/* ---- performance monitors ---- */

/* Word by word, with nothing left out and nothing between words. */
static void xrnpe_perfmon_sums(struct kunit *test)
{
	struct drm_xrnpe_perfmon_values values = { }, zero = { };
	struct xrnpe_job_record record = { .executed = 10, .start = 1, .end = 1000 };
	u64 *counters = (u64 *)&record.counters;
	const u64 *sums = (const u64 *)&values.counters;

	for (unsigned int i = 0; i < XRNPE_COUNTERS; i++)
		counters[i] = U32_MAX - i;
	for (unsigned int n = 1; n <= 3; n++) {
		xrnpe_perfmon_add(&values, &record);
		KUNIT_EXPECT_EQ(test, values.jobs, n);
		KUNIT_EXPECT_EQ(test, values.executed, 10 * n);
		for (unsigned int i = 0; i < XRNPE_COUNTERS; i++)
			KUNIT_EXPECT_EQ(test, sums[i], n * counters[i]);
	}
	/* A job that did nothing is one nevertheless. */
	record = (struct xrnpe_job_record) { };
	xrnpe_perfmon_add(&zero, &record);
	KUNIT_EXPECT_EQ(test, zero.jobs, 1);
	zero.jobs = 0;
	KUNIT_EXPECT_TRUE(test, mem_is_zero(&zero, sizeof(zero)));
}

static struct kunit_case xrnpe_cases[] = {
	KUNIT_CASE(xrnpe_share_budget),
	KUNIT_CASE(xrnpe_share_charge),
	KUNIT_CASE(xrnpe_share_order),
	KUNIT_CASE(xrnpe_share_is_fair),
	KUNIT_CASE(xrnpe_priority_rings),
	KUNIT_CASE(xrnpe_bo_bounds),
	KUNIT_CASE(xrnpe_perfmon_sums),
	{}
};

static struct kunit_suite xrnpe_suite = {
	.name = "xrnpe",
	.test_cases = xrnpe_cases,
};

kunit_test_suite(xrnpe_suite);

MODULE_DESCRIPTION("KUnit tests of the XR-NPE driver");
MODULE_LICENSE("Dual MIT/GPL");

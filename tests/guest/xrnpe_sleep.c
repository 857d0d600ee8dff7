// SPDX-License-Identifier: MIT
/*
 * System sleep, as far as devices go to sleep and come back; the machine itself
 * stays awake. A program of its own: QEMU's virtio console does not survive it,
 * so that what is printed must go to the UART. For a machine as that of xrnpe_slow.c.
 */
#include "xrnpe_sleep.h"
#include "xrnpe_sync.h"

#define JOBS 20

TEST_F(sleep, idle)
{
	clear_result(&self->work);
	ASSERT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &self->work));
	EXPECT_EQ(0, write_file("/sys/power/state", "freeze"));
	EXPECT_TRUE(result_is_right(&self->work));
}

/*
 * What is in a ring is finished first, what is queued behind it goes on after, unless it
 * depends on one that did not end well.
 */
TEST_F(sleep, with_jobs)
{
	struct work endless;
	struct drm_xrnpe_sync sync;
	int64_t jobs[JOBS], first, dependent, last;
	struct gate gate;

	ASSERT_EQ(0, make_slow(self->fd, &endless));
	sync = (struct drm_xrnpe_sync){ make_syncobj(self->fd), DRM_XRNPE_SYNC_SIGNAL, 0 };
	first = submit_syncs(self->fd, 0, &endless, &sync, 1);
	sync.flags = 0;
	dependent = submit_syncs(self->fd, 0, &self->work, &sync, 1);
	ASSERT_EQ(0, make_gate(self->fd, &gate));
	sync = wait_gate(&gate);
	for (int i = 0; i < JOBS; i++)
		jobs[i] = submit(self->fd, 1, &self->work);
	last = submit_syncs(self->fd, 1, &self->work, &sync, 1);
	EXPECT_EQ(0, write_file("/sys/power/state", "freeze"));
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, first));
	EXPECT_EQ(DRM_XRNPE_CANCEL_IN_FENCE, reason_of(self->fd, dependent));
	for (int i = 0; i < JOBS; i++)
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, jobs[i]));
	open_gate(&gate);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, last));
}

/* What many rings hold that never ends does not keep the machine awake for long. */
TEST_F(sleep, with_endless_jobs)
{
	int64_t endless[8], jobs[JOBS], begin = now_ns();
	struct work works[2];

	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, make_slow(self->fd, &works[i]));
	for (int i = 0; i < 8; i++)
		endless[i] = submit(self->fd, 1 + i % 2, &works[i % 2]);
	for (int i = 0; i < JOBS; i++)
		jobs[i] = submit(self->fd, 1 + i % 2, &self->work);
	EXPECT_EQ(0, write_file("/sys/power/state", "freeze"));
	/* Two had begun at most: each ended when its time was up. */
	EXPECT_GT(20000, (now_ns() - begin) / 1000000);
	for (int i = 0; i < 8; i++)
		EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, endless[i]));
	for (int i = 0; i < JOBS; i++)
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, jobs[i]));
}

/* Ring after ring full of what is well: nothing is lost, nothing done twice. */
TEST_F(sleep, with_full_rings)
{
	struct work counting[4];
	int64_t jobs[4][JOBS];

	for (int q = 0; q < 4; q++)
		ASSERT_EQ(0, make_long(self->fd, 1, 512, &counting[q]));
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < JOBS; i++)
			for (int q = 0; q < 4; q++)
				jobs[q][i] = submit(self->fd, q, &counting[q]);
		EXPECT_EQ(0, write_file("/sys/power/state", "freeze"));
		for (int i = 0; i < JOBS; i++) {
			for (int q = 0; q < 4; q++) {
				struct xrnpe_job_record record;
				struct drm_xrnpe_job_wait end;

				ASSERT_EQ(0, wait_record(self->fd, jobs[q][i], &end, &record));
				EXPECT_EQ(DRM_XRNPE_JOB_DONE, end.state);
				EXPECT_EQ(1, record.counters.commands);
			}
		}
	}
}

TEST_HARNESS_MAIN

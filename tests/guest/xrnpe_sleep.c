// SPDX-License-Identifier: MIT
/*
 * System sleep, as far as devices go to sleep and come back; the machine itself
 * stays awake. A program of its own: QEMU's virtio console does not survive it,
 * so that what is printed must go to the UART.
 */
#include "xrnpe_test.h"

#define JOBS 20

FIXTURE(sleep)
{
	int fd;
	struct work work;
};

FIXTURE_SETUP(sleep)
{
	self->fd = open_npu();
	ASSERT_GE(self->fd, 0) TH_LOG("no xrnpe node");
	ASSERT_EQ(0, make_work(self->fd, &self->work));
	ASSERT_EQ(0, write_file("/sys/power/pm_test", "devices"));
}

FIXTURE_TEARDOWN(sleep)
{
	EXPECT_EQ(0, write_file("/sys/power/pm_test", "none"));
	clear_result(&self->work);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &self->work));
	EXPECT_TRUE(result_is_right(&self->work));
	close(self->fd);
}

TEST_F(sleep, idle)
{
	clear_result(&self->work);
	ASSERT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &self->work));
	EXPECT_EQ(0, write_file("/sys/power/state", "freeze"));
	EXPECT_TRUE(result_is_right(&self->work));
}

/* What is in a ring is finished first, what is queued behind it goes on after. */
TEST_F(sleep, with_jobs)
{
	struct work endless;
	struct drm_xrnpe_sync sync;
	int64_t jobs[JOBS], first, last;
	struct gate gate;

	ASSERT_EQ(0, make_gate(self->fd, &gate));
	sync = wait_gate(&gate);
	ASSERT_EQ(0, make_endless(self->fd, &endless));
	first = submit(self->fd, 0, &endless);
	for (int i = 0; i < JOBS; i++)
		jobs[i] = submit(self->fd, 1, &self->work);
	last = submit_syncs(self->fd, 1, &self->work, &sync, 1);
	EXPECT_EQ(0, write_file("/sys/power/state", "freeze"));
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, first));
	for (int i = 0; i < JOBS; i++)
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, jobs[i]));
	open_gate(&gate);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, last));
}

TEST_HARNESS_MAIN

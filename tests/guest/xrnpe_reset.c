// SPDX-License-Identifier: MIT
/*
 * A device that does not obey ABORT must be reset, with all its queues. Needs
 * QEMU's -device xrnpe,x-fault-ignore-abort=on.
 */
#include "xrnpe_sync.h"
#include "xrnpe_work.h"

#define BEHIND 5

FIXTURE(reset)
{
	int fd;
	struct work work, endless;
};

FIXTURE_SETUP(reset)
{
	self->fd = open_npu();
	ASSERT_GE(self->fd, 0) TH_LOG("no xrnpe node");
	ASSERT_EQ(0, make_work(self->fd, &self->work));
	ASSERT_EQ(0, make_endless(self->fd, &self->endless));
}

FIXTURE_TEARDOWN(reset)
{
	for (uint32_t q = 0; q < 4; q++) {
		clear_result(&self->work);
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, q, &self->work));
		EXPECT_TRUE(result_is_right(&self->work));
	}
	close(self->fd);
}

/* Those behind the guilty job, on its queue and on others, run after the reset. */
TEST_F(reset, innocent_jobs)
{
	struct drm_xrnpe_job_wait end;
	int64_t guilty, same[BEHIND], other[BEHIND];
	struct work apart;

	/* Else the jobs of queue 2 would wait for those of queue 1. */
	ASSERT_EQ(0, make_work(self->fd, &apart));
	mark_result(self->endless.data.map);
	guilty = submit(self->fd, 1, &self->endless);
	ASSERT_LT(0, guilty);
	ASSERT_TRUE(result_comes(self->endless.data.map, 10000));
	for (int i = 0; i < BEHIND; i++) {
		same[i] = submit(self->fd, 1, &self->work);
		other[i] = submit(self->fd, 2, &apart);
	}
	ASSERT_EQ(0, wait_job(self->fd, guilty, in_ms(60000), &end));
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, end.state);
	EXPECT_EQ(0, end.fault.kind);
	for (int i = 0; i < BEHIND; i++) {
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, same[i]));
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, other[i]));
	}
}

/* Who waits for the guilty job does not run, wherever it is in its ring. */
TEST_F(reset, dependent_jobs)
{
	const uint32_t syncobj = make_syncobj(self->fd);
	struct drm_xrnpe_sync out = { syncobj, DRM_XRNPE_SYNC_SIGNAL, 0 };
	struct drm_xrnpe_sync in = { syncobj, 0, 0 };
	int64_t guilty, free, dependent;

	guilty = submit_syncs(self->fd, 0, &self->endless, &out, 1);
	free = submit(self->fd, 0, &self->work);
	dependent = submit_syncs(self->fd, 0, &self->work, &in, 1);
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, guilty));
	EXPECT_EQ(-ETIME, syncobj_status(self->fd, syncobj));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, free));
	EXPECT_EQ(DRM_XRNPE_JOB_CANCELLED, state_of(self->fd, dependent));
}

/* One that has begun is not begun again: it is interrupted when the device is reset. */
TEST_F(reset, interrupted_job)
{
	const struct drm_xrnpe_sync out = { make_syncobj(self->fd), DRM_XRNPE_SYNC_SIGNAL, 0 };
	struct work interrupted;
	int64_t guilty, innocent;
	int tries = 5;

	ASSERT_EQ(0, make_long(self->fd, 8192, 2048, &interrupted));
	/* On a host that is busy its own time may be up before the guilty one is there. */
	do {
		mark_result(interrupted.data.map);
		innocent = submit_syncs(self->fd, 2, &interrupted, &out, 1);
		ASSERT_LT(0, innocent);
		ASSERT_TRUE(result_comes(interrupted.data.map, 10000));
		guilty = submit(self->fd, 1, &self->endless);
		EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, guilty));
	} while (state_of(self->fd, innocent) == DRM_XRNPE_JOB_TIMEOUT && --tries);
	EXPECT_EQ(DRM_XRNPE_JOB_CANCELLED, state_of(self->fd, innocent));
	EXPECT_EQ(DRM_XRNPE_CANCEL_RESET, reason_of(self->fd, innocent));
	EXPECT_EQ(-ECANCELED, syncobj_status(self->fd, out.handle));
}

/* What the reset took a monitor does not count; what goes on after it, it does. */
TEST_F(reset, perfmon)
{
	const int64_t perfmon = make_perfmon(self->fd);
	struct drm_xrnpe_perfmon_values sums;
	const struct work *works[2] = { &self->endless, &self->work };
	struct drm_xrnpe_region regions[2];
	struct drm_xrnpe_job jobs[2];
	int64_t first;

	ASSERT_LT(0, perfmon);
	for (int i = 0; i < 2; i++) {
		jobs[i] = job_args(works[i], &regions[i]);
		jobs[i].perfmon = perfmon;
	}
	first = submit_jobs(self->fd, queue_of(self->fd, 1), jobs, 2, 0);
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, first));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, first + 1));
	ASSERT_EQ(0, get_values(self->fd, perfmon, &sums));
	EXPECT_EQ(1, sums.jobs);
	EXPECT_EQ(1, sums.counters.commands);
}

/* Again and again. */
TEST_F(reset, often)
{
	const int64_t resets = resets_of(self->fd);
	int64_t guilty[3];

	for (int i = 0; i < 3; i++)
		guilty[i] = submit(self->fd, 3, &self->endless);
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, guilty[i]));
	EXPECT_EQ(resets + 3, resets_of(self->fd));
}

TEST_HARNESS_MAIN

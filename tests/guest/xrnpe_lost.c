// SPDX-License-Identifier: MIT
/*
 * A device whose news get lost: the driver misses nothing for long, and what is well
 * is left alone. Needs QEMU's -device xrnpe,x-fault-seqno=0x80000000,x-fault-drop-irq=3:
 * the sequence number of the first job is one that is not yet due, and no interrupt
 * tells how the first three jobs end that do. So the tests are told in the order in
 * which they stand here.
 */
#include "xrnpe_work.h"

FIXTURE(lost)
{
	int fd;
	struct work work, endless, other;
};

FIXTURE_SETUP(lost)
{
	self->fd = open_npu();
	ASSERT_GE(self->fd, 0) TH_LOG("no xrnpe node");
	ASSERT_EQ(0, make_work(self->fd, &self->work));
	ASSERT_EQ(0, make_endless(self->fd, &self->endless));
	ASSERT_EQ(0, make_endless(self->fd, &self->other));
}

FIXTURE_TEARDOWN(lost)
{
	close(self->fd);
}

/*
 * HEAD tells that the job has ended, long before its time is up, and that the next one
 * has begun: that is not done again. The one behind it is done.
 */
TEST_F(lost, sequence_number)
{
	struct drm_xrnpe_job_wait end;
	int64_t jobs[3];
	struct work last;

	ASSERT_EQ(0, make_work(self->fd, &last));
	jobs[0] = submit(self->fd, 0, &self->work);
	jobs[1] = submit(self->fd, 0, &self->endless);
	jobs[2] = submit(self->fd, 0, &last);
	for (int i = 0; i < 3; i++) {
		ASSERT_LT(0, jobs[i]);
		ASSERT_EQ(0, wait_job(self->fd, jobs[i], in_ms(60000), &end));
		EXPECT_EQ(i < 2 ? DRM_XRNPE_JOB_CANCELLED : DRM_XRNPE_JOB_DONE, end.state);
	}
	EXPECT_TRUE(result_is_right(&last));
}

/* An abort that nobody hears of is none that failed: jobs of other queues go on. */
TEST_F(lost, abort)
{
	struct xrnpe_job_record record;
	struct drm_xrnpe_job_wait end;
	int64_t guilty, behind, apart;

	mark_result(self->endless.data.map);
	guilty = submit(self->fd, 1, &self->endless);
	ASSERT_LT(0, guilty);
	ASSERT_TRUE(result_comes(self->endless.data.map, 10000));
	behind = submit(self->fd, 1, &self->work);
	apart = submit(self->fd, 2, &self->other);

	ASSERT_EQ(0, wait_record(self->fd, guilty, &end, &record));
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, end.state);
	EXPECT_EQ(XRNPE_FAULT_ABORTED, record.fault.kind);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, behind));
	EXPECT_TRUE(result_is_right(&self->work));
	ASSERT_EQ(0, wait_record(self->fd, apart, &end, &record));
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, end.state);
	EXPECT_EQ(XRNPE_FAULT_ABORTED, record.fault.kind);
}

TEST_F(lost, nothing_any_more)
{
	for (uint32_t q = 0; q < 4; q++) {
		clear_result(&self->work);
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, q, &self->work));
		EXPECT_TRUE(result_is_right(&self->work));
	}
}

TEST_HARNESS_MAIN

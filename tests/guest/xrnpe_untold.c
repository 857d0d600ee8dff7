// SPDX-License-Identifier: MIT
/*
 * A device that does not tell what became of its first job. Each test needs a device of
 * its own.
 */
#include "xrnpe_sync.h"
#include "xrnpe_work.h"

/*
 * With -device xrnpe,x-fault-seqno=0x80000000 the job's sequence number is one that is not
 * yet due. That the queue has stopped tells that it failed: what waits for it does not
 * begin. That the device executed the queue last does not tell that the next job has begun.
 */
TEST(untold_fault)
{
	struct drm_xrnpe_region regions[2];
	struct drm_xrnpe_sync signal = { .flags = DRM_XRNPE_SYNC_SIGNAL }, wait = {};
	struct drm_xrnpe_job jobs[2];
	struct work bad, next;
	int fd = open_npu();
	int64_t first;

	ASSERT_GE(fd, 0) TH_LOG("no xrnpe node");
	ASSERT_EQ(0, make_work(fd, &bad));
	ASSERT_EQ(0, make_work(fd, &next));
	set_cmd(&bad, 0, matmul_cmd());
	set_cmd(&bad, 1, (struct xrnpe_cmd){});
	clear_result(&next);
	signal.handle = wait.handle = make_syncobj(fd);
	jobs[0] = job_args(&bad, &regions[0]);
	jobs[0].syncs = (struct drm_xrnpe_array){ sizeof(signal), 1, (uintptr_t)&signal };
	jobs[1] = job_args(&next, &regions[1]);
	jobs[1].syncs = (struct drm_xrnpe_array){ sizeof(wait), 1, (uintptr_t)&wait };

	first = submit_jobs(fd, queue_of(fd, 1), jobs, 2, 0);
	EXPECT_EQ(DRM_XRNPE_CANCEL_RESET, reason_of(fd, first));
	EXPECT_EQ(DRM_XRNPE_CANCEL_IN_FENCE, reason_of(fd, first + 1));
	EXPECT_FALSE(result_is_right(&next));
	EXPECT_EQ(1, resets_of(fd));
	/* And that was all. */
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(fd, 1, &next));
	EXPECT_TRUE(result_is_right(&next));
	close(fd);
}

/*
 * With -device xrnpe,x-fault-bus-error=10,x-fault-drop-irq=1 the device halts, since the
 * status page does not answer, after a burst of descriptor, three of the command and five
 * of the record; and no interrupt tells. It is not taken for one that has no time for the
 * job, which has not begun, and is refused once more.
 */
TEST(untold_halt)
{
	struct drm_xrnpe_region region;
	struct drm_xrnpe_job args;
	struct drm_xrnpe_job_wait end;
	int fd = open_npu();
	int64_t behind, job;
	struct work work;

	ASSERT_GE(fd, 0) TH_LOG("no xrnpe node");
	ASSERT_EQ(0, make_work(fd, &work));
	args = job_args(&work, &region);
	args.regions.count = 0;
	job = submit_job(fd, 1, &args);
	behind = submit(fd, 1, &work);
	ASSERT_EQ(0, wait_job(fd, job, in_ms(60000), &end));
	EXPECT_EQ(DRM_XRNPE_JOB_FAULT, end.state);
	EXPECT_EQ(XRNPE_FAULT_NO_REGION, end.fault.kind);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(fd, behind));
	EXPECT_TRUE(result_is_right(&work));
	EXPECT_EQ(1, resets_of(fd));
	close(fd);
}

TEST_HARNESS_MAIN

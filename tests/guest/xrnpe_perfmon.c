// SPDX-License-Identifier: MIT
/*
 * Performance monitors: what they count, whose jobs, and every argument that is wrong.
 */
#include "xrnpe_job.h"

static int destroy_perfmon(int fd, uint32_t perfmon)
{
	struct drm_xrnpe_perfmon_destroy args = { .perfmon = perfmon };

	return call(fd, DRM_IOCTL_XRNPE_PERFMON_DESTROY, &args);
}

/* How many jobs it has counted, or -errno. */
static int64_t jobs_of(int fd, uint32_t perfmon)
{
	struct drm_xrnpe_perfmon_values sums;
	int ret = get_values(fd, perfmon, &sums);

	return ret ? ret : (int64_t)sums.jobs;
}

/* Submit a job that a monitor counts, and that waits for @sync. Returns it, or -errno. */
static int64_t submit_counted(int fd, unsigned int index, const struct work *work,
			      uint32_t perfmon, const struct drm_xrnpe_sync *sync)
{
	struct drm_xrnpe_region region;
	struct drm_xrnpe_job job = job_args(work, &region);

	job.perfmon = perfmon;
	if (sync)
		job.syncs = (struct drm_xrnpe_array){ sizeof(*sync), 1, (uintptr_t)sync };
	return submit_job(fd, index, &job);
}

/* ---- arguments ---- */

TEST_F(job, perfmon_create_bad)
{
	for (int bit = 0; bit < 32; bit++) {
		struct drm_xrnpe_perfmon_create args = { .flags = 1u << bit };

		EXPECT_EQ(-EINVAL, call(self->fd, DRM_IOCTL_XRNPE_PERFMON_CREATE, &args));
	}
	EXPECT_LT(0, self->info.max_perfmons);
	for (uint32_t i = 1; i <= self->info.max_perfmons; i++)
		ASSERT_EQ(i, make_perfmon(self->fd));
	EXPECT_EQ(-ENOSPC, make_perfmon(self->fd));
	/* A place that is free again is used again, and begins at zero. */
	EXPECT_EQ(DRM_XRNPE_JOB_DONE,
		  state_of(self->fd, submit_counted(self->fd, 2, &self->work, 7, NULL)));
	EXPECT_EQ(1, jobs_of(self->fd, 7));
	EXPECT_EQ(0, destroy_perfmon(self->fd, 7));
	EXPECT_EQ(7, make_perfmon(self->fd));
	EXPECT_EQ(0, jobs_of(self->fd, 7));
}

TEST_F(job, perfmon_destroy_bad)
{
	const uint32_t perfmon = make_perfmon(self->fd);
	struct drm_xrnpe_perfmon_destroy args = { .perfmon = perfmon, .pad = 1 };
	const int other = open_npu();

	EXPECT_EQ(-ENOENT, destroy_perfmon(self->fd, 0));
	EXPECT_EQ(-ENOENT, destroy_perfmon(self->fd, UINT32_MAX));
	EXPECT_EQ(-EINVAL, call(self->fd, DRM_IOCTL_XRNPE_PERFMON_DESTROY, &args));
	EXPECT_EQ(-ENOENT, destroy_perfmon(other, perfmon));
	EXPECT_EQ(0, destroy_perfmon(self->fd, perfmon));
	EXPECT_EQ(-ENOENT, destroy_perfmon(self->fd, perfmon));
	EXPECT_EQ(-ENOENT, jobs_of(self->fd, perfmon));
	close(other);
}

TEST_F(job, perfmon_values_bad)
{
	struct drm_xrnpe_perfmon_values sums;
	const struct drm_xrnpe_perfmon_get_values good = {
		.perfmon = make_perfmon(self->fd), .size = sizeof(sums),
		.pointer = (uintptr_t)&sums,
	};
	struct drm_xrnpe_perfmon_get_values args;
	const int other = open_npu();

#define BAD(error, ...) do { \
	args = good; \
	__VA_ARGS__; \
	EXPECT_EQ(-(error), call(self->fd, DRM_IOCTL_XRNPE_PERFMON_GET_VALUES, &args)) \
		TH_LOG("%s", #__VA_ARGS__); \
} while (0)
	BAD(ENOENT, args.perfmon = 0);
	BAD(ENOENT, args.perfmon = good.perfmon + 1);
	BAD(ENOENT, args.perfmon = UINT32_MAX);
	BAD(EINVAL, args.size = sysconf(_SC_PAGESIZE) + 1);
	BAD(EINVAL, args.size = UINT32_MAX);
	BAD(EFAULT, args.pointer = 8);
	BAD(EFAULT, args.pointer = UINT64_MAX - 7);
#undef BAD
	/* Another file's means nothing here. */
	EXPECT_EQ(-ENOENT, jobs_of(other, good.perfmon));
	EXPECT_EQ(0, jobs_of(self->fd, good.perfmon));
	close(other);
}

/* Of the values as much as fits, and zeros behind them. */
TEST_F(job, perfmon_values_sizes)
{
	const uint32_t perfmon = make_perfmon(self->fd);
	struct drm_xrnpe_perfmon_values sums;
	uint8_t answer[sizeof(sums) + 16];
	struct drm_xrnpe_perfmon_get_values args = {
		.perfmon = perfmon, .pointer = (uintptr_t)answer,
	};

	ASSERT_EQ(DRM_XRNPE_JOB_DONE,
		  state_of(self->fd, submit_counted(self->fd, 2, &self->work, perfmon, NULL)));
	ASSERT_EQ(0, get_values(self->fd, perfmon, &sums));
	for (uint32_t size = 0; size <= sizeof(sums) + 8; size += 4) {
		const uint32_t told = size < sizeof(sums) ? size : sizeof(sums);

		memset(answer, 0xee, sizeof(answer));
		args.size = size;
		ASSERT_EQ(0, call(self->fd, DRM_IOCTL_XRNPE_PERFMON_GET_VALUES, &args));
		EXPECT_EQ(sizeof(sums), args.size);
		EXPECT_EQ(0, memcmp(answer, &sums, told));
		for (uint32_t i = told; i < size; i++)
			EXPECT_EQ(0, answer[i]);
		EXPECT_EQ(0xee, answer[size]);
	}
}

TEST_F(job, perfmon_of_no_job)
{
	const uint32_t perfmon = make_perfmon(self->fd);
	struct drm_xrnpe_region region;
	struct drm_xrnpe_job args = job_args(&self->work, &region);
	const int other = open_npu();

	EXPECT_EQ(-ENOENT, submit_counted(self->fd, 2, &self->work, perfmon + 1, NULL));
	EXPECT_EQ(-ENOENT, submit_counted(self->fd, 2, &self->work, UINT32_MAX, NULL));
	args.pad = 1;
	EXPECT_EQ(-EINVAL, submit_job(self->fd, 2, &args));
	/* Of another file. */
	free_work(self->fd, &self->work);
	ASSERT_EQ(0, make_work(other, &self->work));
	EXPECT_EQ(-ENOENT, submit_counted(other, 2, &self->work, perfmon, NULL));
	close(other);
	ASSERT_EQ(0, make_work(self->fd, &self->work));
	EXPECT_EQ(0, jobs_of(self->fd, perfmon));
}

/* ---- what they count ---- */

/* The sums of the records of just those jobs that name it, of whatever queue. */
TEST_F(job, perfmon_sums_up_records)
{
	const uint32_t perfmons[3] = {
		0, make_perfmon(self->fd), make_perfmon(self->fd),
	};
	struct drm_xrnpe_perfmon_values want[3] = {}, got;
	const int other = open_npu();
	struct work foreign;

	/* One of the same number, and of another file. */
	ASSERT_EQ(0, make_work(other, &foreign));
	ASSERT_EQ(perfmons[1], make_perfmon(other));
	for (unsigned int i = 0; i < 60; i++) {
		const unsigned int which = i % 3;
		struct xrnpe_job_record record;
		struct drm_xrnpe_job_wait end;
		int64_t job;

		set_cmd(&self->work, 0, i % 7 ? matmul_cmd() : nan_to_fp4_cmd());
		job = submit_counted(self->fd, i % QUEUES, &self->work, perfmons[which], NULL);
		ASSERT_LT(0, submit_counted(other, i % QUEUES, &foreign, perfmons[1], NULL));
		ASSERT_EQ(0, wait_record(self->fd, job, &end, &record));
		want[which].jobs++;
		want[which].executed += record.executed;
		for (unsigned int c = 0; c < XRNPE_COUNTERS; c++)
			((__u64 *)&want[which].counters)[c] += ((__u64 *)&record.counters)[c];
		if (!which)
			continue;
		/* As soon as JOB_WAIT says that it has ended. */
		ASSERT_EQ(0, get_values(self->fd, perfmons[which], &got));
		EXPECT_EQ(0, memcmp(&want[which], &got, sizeof(got)));
	}
	EXPECT_EQ(20, want[1].jobs);
	EXPECT_LT(0, want[1].executed);
	EXPECT_EQ(20, want[1].counters.commands);
	for (unsigned int i = 0; i < QUEUES; i++)
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(other, i, &foreign));
	EXPECT_EQ(60, jobs_of(other, perfmons[1]));
	close(other);
}

/* What failed counts with what it did until then, what never began does not. */
TEST_F(job, perfmon_of_failures)
{
	const uint32_t perfmon = make_perfmon(self->fd);
	struct drm_xrnpe_perfmon_values sums;
	struct drm_xrnpe_sync sync;
	struct work endless;
	struct gate gate;
	int64_t job;

	set_cmd(&self->work, 1, (struct xrnpe_cmd){});
	EXPECT_EQ(DRM_XRNPE_JOB_FAULT,
		  state_of(self->fd, submit_counted(self->fd, 2, &self->work, perfmon, NULL)));
	ASSERT_EQ(0, get_values(self->fd, perfmon, &sums));
	EXPECT_EQ(1, sums.jobs);
	EXPECT_EQ(M * N * K, sums.counters.products[XRNPE_FORMAT_P8][XRNPE_FORMAT_P8]);

	ASSERT_EQ(0, make_gate(self->fd, &gate));
	sync = wait_gate(&gate);
	job = submit_counted(self->fd, 2, &self->work, perfmon, &sync);
	break_gate(&gate);
	EXPECT_EQ(DRM_XRNPE_CANCEL_IN_FENCE, reason_of(self->fd, job));
	EXPECT_EQ(1, jobs_of(self->fd, perfmon));

	ASSERT_EQ(0, make_endless(self->fd, &endless));
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT,
		  state_of(self->fd, submit_counted(self->fd, 2, &endless, perfmon, NULL)));
	ASSERT_EQ(0, get_values(self->fd, perfmon, &sums));
	EXPECT_EQ(2, sums.jobs);
	EXPECT_LE(self->info.job_timeout_ms, sums.executed / self->info.timer_khz);
	free_work(self->fd, &endless);
}

/* Destroyed, or its file closed, with jobs on their way: they end as ever. */
TEST_F(job, perfmon_destroyed_in_use)
{
	const uint32_t perfmon = make_perfmon(self->fd);
	const int other = open_npu();
	struct drm_xrnpe_sync sync;
	struct gate gate;
	struct work foreign;
	int64_t jobs[4];

	ASSERT_EQ(0, make_gate(self->fd, &gate));
	sync = wait_gate(&gate);
	for (int i = 0; i < 4; i++)
		jobs[i] = submit_counted(self->fd, i, &self->work, perfmon, &sync);
	EXPECT_EQ(0, jobs_of(self->fd, perfmon));
	EXPECT_EQ(0, destroy_perfmon(self->fd, perfmon));
	EXPECT_EQ(perfmon, make_perfmon(self->fd));
	open_gate(&gate);
	for (int i = 0; i < 4; i++)
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, jobs[i]));
	/* The new one is not theirs. */
	EXPECT_EQ(0, jobs_of(self->fd, perfmon));

	ASSERT_EQ(0, make_work(other, &foreign));
	for (int i = 0; i < 4; i++)
		ASSERT_LT(0, submit_counted(other, i, &foreign, make_perfmon(other), NULL));
	free_work(other, &foreign);
	close(other);
}

TEST_HARNESS_MAIN

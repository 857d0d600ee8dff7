// SPDX-License-Identifier: MIT
/*
 * Jobs: their results, and what the device tells of them.
 */
#include "xrnpe_job.h"

TEST_F(job, matmul)
{
	struct drm_xrnpe_job_wait end;

	clear_result(&self->work);
	EXPECT_FALSE(result_is_right(&self->work));
	ASSERT_EQ(0, wait_job(self->fd, submit(self->fd, 0, &self->work), in_ms(60000), &end));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, end.state);
	EXPECT_EQ(DRM_XRNPE_CANCEL_NONE, end.reason);
	EXPECT_EQ(0, end.status);
	EXPECT_EQ(0, end.fault.kind);
	EXPECT_TRUE(result_is_right(&self->work));
}

TEST_F(job, numbers_count_from_one)
{
	int64_t jobs[20];

	/* In each queue. */
	for (int i = 0; i < 20; i++) {
		jobs[i] = submit(self->fd, i % QUEUES, &self->work);
		EXPECT_EQ(i / QUEUES + 1, job_number(jobs[i]));
	}
	for (int i = 0; i < 20; i++)
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, jobs[i]));
}

TEST_F(job, many_commands)
{
	const unsigned int count = self->work.cmd.size / sizeof(struct xrnpe_cmd);

	for (unsigned int i = 0; i < count; i++) {
		struct xrnpe_cmd cmd = matmul_cmd();

		cmd.operand[XRNPE_OPERAND_OFM].offset = i == count - 1 ? OFM_AT : 2048 + i;
		cmd.operand[XRNPE_OPERAND_OFM].offset &= ~3ull;
		set_cmd(&self->work, i, cmd);
	}
	clear_result(&self->work);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 1, &self->work));
	EXPECT_TRUE(result_is_right(&self->work));
}

/* The records of a newer program are longer; what is between ours is not read. */
TEST_F(job, strides)
{
	memset(self->work.cmd.map, 0xff, self->work.cmd.size);
	self->work.stride = XRNPE_CMD_STRIDE_MAX;
	for (unsigned int i = 0; i < self->work.cmd.size / self->work.stride; i++)
		set_cmd(&self->work, i, matmul_cmd());
	clear_result(&self->work);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &self->work));
	EXPECT_TRUE(result_is_right(&self->work));

	/* The last record ends with its last byte, not with its stride. */
	self->work.stride = sizeof(struct xrnpe_cmd) + XRNPE_CMD_ALIGN;
	self->work.cmds = 0;
	for (unsigned int i = 0; i * self->work.stride + sizeof(struct xrnpe_cmd) <=
				 self->work.cmd.size; i++)
		set_cmd(&self->work, i, matmul_cmd());
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &self->work));
	self->work.stride = sizeof(struct xrnpe_cmd);
}

static bool is_zero(const void *data, size_t size)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

/* The device's own account of a job: what it did, when, and for how long. */
TEST_F(job, records)
{
	struct xrnpe_job_record record, earlier = {};
	struct drm_xrnpe_job_wait end;

	for (unsigned int i = 1; i <= 20; i++) {
		const unsigned int cmds = (i - 1) % 5 + 1;
		int64_t job;

		for (unsigned int j = 0; j < cmds; j++)
			set_cmd(&self->work, j, matmul_cmd());
		self->work.cmds = cmds;
		job = submit(self->fd, i % QUEUES, &self->work);
		memset(&record, 0xee, sizeof(record));
		ASSERT_EQ(0, wait_record(self->fd, job, &end, &record));
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, end.state);
		EXPECT_EQ(job_number(job), record.seqno);
		EXPECT_EQ(0, record.status);
		EXPECT_TRUE(is_zero(&record.fault, sizeof(record.fault)));
		EXPECT_TRUE(is_zero(record.reserved, sizeof(record.reserved)));
		EXPECT_LE(earlier.end, record.start);
		EXPECT_LE(record.start, record.end);
		EXPECT_LE(record.executed, record.end - record.start);
		EXPECT_EQ(cmds, record.counters.commands);
		earlier = record;
	}
}

/* What a job did, however often it is done, and nothing of other jobs. */
TEST_F(job, counters)
{
	struct xrnpe_job_record one, two;
	struct drm_xrnpe_job_wait end;

	ASSERT_EQ(0, wait_record(self->fd, submit(self->fd, 0, &self->work), &end, &one));
	EXPECT_LT(0, one.counters.cycles);
	EXPECT_EQ(M * N * K, one.counters.products[XRNPE_FORMAT_P8][XRNPE_FORMAT_P8]);
	EXPECT_LE(M * K, one.counters.bytes[XRNPE_OPERAND_IFM]);
	EXPECT_LE(4 * M * N, one.counters.bytes[XRNPE_OPERAND_OFM]);
	set_cmd(&self->work, 1, matmul_cmd());
	ASSERT_EQ(0, wait_record(self->fd, submit(self->fd, 0, &self->work), &end, &two));
	for (unsigned int i = 0; i < XRNPE_COUNTERS; i++)
		EXPECT_EQ(2 * ((uint64_t *)&one.counters)[i], ((uint64_t *)&two.counters)[i]);
}

/* Of a job that the device did not end there is no record. */
TEST_F(job, record_of_a_cancelled_job)
{
	struct xrnpe_job_record record;
	struct drm_xrnpe_job_wait end;
	struct drm_xrnpe_sync sync;
	struct gate gate;
	int64_t job;

	ASSERT_EQ(0, make_gate(self->fd, &gate));
	sync = wait_gate(&gate);
	job = submit_syncs(self->fd, 0, &self->work, &sync, 1);
	break_gate(&gate);
	memset(&record, 0xee, sizeof(record));
	ASSERT_EQ(0, wait_record(self->fd, job, &end, &record));
	EXPECT_EQ(DRM_XRNPE_JOB_CANCELLED, end.state);
	EXPECT_TRUE(is_zero(&record, sizeof(record)));
}

TEST_F(job, cached_buffer)
{
	struct work work = self->work;

	ASSERT_EQ(0, make_bo(self->fd, work.data.size, DRM_XRNPE_BO_CACHED, &work.data));
	memcpy(work.data.map, self->work.data.map, work.data.size);
	for (int i = 0; i < 10; i++) {
		clear_result(&work);
		ASSERT_EQ(0, sync_bo(self->fd, &work.data, DRM_XRNPE_BO_SYNC_FOR_DEVICE));
		ASSERT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &work));
		ASSERT_EQ(0, sync_bo(self->fd, &work.data, DRM_XRNPE_BO_SYNC_FOR_CPU));
		ASSERT_TRUE(result_is_right(&work));
	}
}

/* A handle closed, a mapping gone: a job in flight keeps its buffers. */
TEST_F(job, keeps_its_buffers)
{
	struct gate gate;
	struct drm_xrnpe_sync sync;
	struct work work;
	int64_t job;

	ASSERT_EQ(0, make_gate(self->fd, &gate));
	sync = wait_gate(&gate);
	ASSERT_EQ(0, make_work(self->fd, &work));
	job = submit_syncs(self->fd, 0, &work, &sync, 1);
	ASSERT_LT(0, job);
	ASSERT_EQ(0, close_handle(self->fd, work.cmd.handle));
	ASSERT_EQ(0, close_handle(self->fd, work.data.handle));
	open_gate(&gate);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, job));
	EXPECT_TRUE(result_is_right(&work));
}

/* Jobs that end together keep their own status: every third meets a NaN. */
TEST_F(job, status_is_the_jobs_own)
{
	const uint32_t nan = 0x7fc00000;
	struct work odd = self->work;
	struct drm_xrnpe_sync sync;
	int64_t jobs[24];
	struct gate gate;

	ASSERT_EQ(0, make_bo(self->fd, 4096, 0, &odd.cmd));
	set_cmd(&odd, 0, nan_to_fp4_cmd());
	memcpy(self->work.data.map + 4096, &nan, sizeof(nan));

	ASSERT_EQ(0, make_gate(self->fd, &gate));
	sync = wait_gate(&gate);
	for (int i = 0; i < 24; i++) {
		jobs[i] = submit_syncs(self->fd, 0, i % 3 ? &self->work : &odd, &sync, 1);
		ASSERT_LT(0, jobs[i]);
	}
	open_gate(&gate);
	for (int i = 0; i < 24; i++) {
		struct drm_xrnpe_job_wait end;

		ASSERT_EQ(0, wait_job(self->fd, jobs[i], in_ms(60000), &end));
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, end.state);
		EXPECT_EQ(i % 3 ? 0 : XRNPE_STATUS_INVALID, end.status);
	}
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: MIT
/*
 * Jobs: results, faults, order, time limits, and who may disturb whom.
 */
#include "xrnpe_test.h"

#include <pthread.h>
#include <stddef.h>
#include <sys/wait.h>

FIXTURE(job)
{
	int fd;
	struct work work;
	struct drm_xrnpe_dev_info info;
};

FIXTURE_SETUP(job)
{
	struct drm_xrnpe_dev_query query = {
		.size = sizeof(self->info), .pointer = (uintptr_t)&self->info,
	};

	self->fd = open_npu();
	ASSERT_GE(self->fd, 0) TH_LOG("no xrnpe node");
	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_XRNPE_DEV_QUERY, &query));
	ASSERT_EQ(0, make_work(self->fd, &self->work));
}

FIXTURE_TEARDOWN(job)
{
	/* Whatever a test did, the next job is fine, on each queue. */
	set_cmd(&self->work, 0, matmul_cmd());
	self->work.cmds = 1;
	for (uint32_t q = 0; q < QUEUES; q++) {
		clear_result(&self->work);
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, q, &self->work));
		EXPECT_TRUE(result_is_right(&self->work));
	}
	close(self->fd);
}

/* ---- results ---- */

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

static struct xrnpe_cmd nan_to_fp4_cmd(void)
{
	return (struct xrnpe_cmd){
		.opcode = XRNPE_OP_CONVERT,
		.operand = {
			[XRNPE_OPERAND_IFM] = {
				.offset = 4096, .row_stride = 4, .pixel_stride = 4,
				.format = XRNPE_FORMAT_F32,
			},
			[XRNPE_OPERAND_SCALE] = {
				.offset = SCALE_AT, .format = XRNPE_FORMAT_F32,
			},
			[XRNPE_OPERAND_OFM] = {
				.offset = 5120, .row_stride = 1, .pixel_stride = 1,
				.format = XRNPE_FORMAT_FP4,
			},
		},
		.image = { .in_h = 1, .in_w = 1, .in_c = 1 },
	};
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

/* ---- faults ---- */

/*
 * Run two good commands and then @cmd; expect it to be refused thus. @region is
 * what region 0 allows.
 */
#define EXPECT_FAULT(bad, flags, ...) \
	expect_fault(_metadata, self, bad, flags, (struct xrnpe_fault){ .cmd = 2, __VA_ARGS__ })

static void expect_fault(struct __test_metadata *_metadata, FIXTURE_DATA(job) *self,
			 struct xrnpe_cmd cmd, uint32_t flags, struct xrnpe_fault fault)
{
	struct drm_xrnpe_region regions[2];
	struct drm_xrnpe_job args;
	struct drm_xrnpe_job_wait end;
	struct xrnpe_job_record record;
	uint32_t syncobj = make_syncobj(self->fd);
	struct drm_xrnpe_sync sync = { syncobj, DRM_XRNPE_SYNC_SIGNAL, 0 };

	/* Good commands have a region of their own, that allows all. */
	for (unsigned int i = 0; i < 2; i++) {
		struct xrnpe_cmd good = matmul_cmd();

		for (unsigned int j = 0; j < XRNPE_OPERANDS; j++)
			if (j != XRNPE_OPERAND_IFM2)
				good.operand[j].region = 1;
		set_cmd(&self->work, i, good);
	}
	set_cmd(&self->work, 2, cmd);
	args = job_args(&self->work, regions);
	regions[1] = regions[0];
	regions[0].flags = flags;
	args.regions.count = 2;
	args.syncs = (struct drm_xrnpe_array){ sizeof(sync), 1, (uintptr_t)&sync };

	clear_result(&self->work);
	ASSERT_EQ(0, wait_record(self->fd, submit_job(self->fd, 1, &args), &end, &record));
	EXPECT_EQ(DRM_XRNPE_JOB_FAULT, end.state);
	EXPECT_EQ(0, memcmp(&record.fault, &end.fault, sizeof(record.fault)));
	EXPECT_EQ(0, end.fault.pad);
	EXPECT_EQ(fault.kind, end.fault.kind);
	EXPECT_EQ(fault.cmd, end.fault.cmd);
	EXPECT_EQ(fault.operand, end.fault.operand);
	EXPECT_EQ(fault.region, end.fault.region);
	EXPECT_EQ(fault.offset, end.fault.offset);
	/* What came before it is done, and those who wait are told. */
	EXPECT_TRUE(result_is_right(&self->work));
	EXPECT_EQ(0, wait_syncobj(self->fd, syncobj, 0, 0));

	set_cmd(&self->work, 0, matmul_cmd());
	self->work.cmds = 1;
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 1, &self->work));
}

#define RW (DRM_XRNPE_REGION_READ | DRM_XRNPE_REGION_WRITE)

TEST_F(job, fault_opcode)
{
	struct xrnpe_cmd cmd = matmul_cmd();

	cmd.opcode = 0;
	EXPECT_FAULT(cmd, RW, .kind = XRNPE_FAULT_ILLEGAL_OPCODE, .operand = XRNPE_OPERAND_NONE);
	cmd.opcode = 0xff;
	EXPECT_FAULT(cmd, RW, .kind = XRNPE_FAULT_ILLEGAL_OPCODE, .operand = XRNPE_OPERAND_NONE);
}

TEST_F(job, fault_field)
{
	struct xrnpe_cmd cmd = matmul_cmd();

	cmd.matmul.k = XRNPE_MAX_K + 1;
	EXPECT_FAULT(cmd, RW, .kind = XRNPE_FAULT_ILLEGAL_FIELD, .operand = XRNPE_OPERAND_NONE,
		     .offset = offsetof(struct xrnpe_cmd, matmul.k));
	cmd = matmul_cmd();
	cmd.operand[XRNPE_OPERAND_WEIGHT].format = XRNPE_OUTPUT_FORMATS;
	EXPECT_FAULT(cmd, RW, .kind = XRNPE_FAULT_ILLEGAL_FIELD, .operand = XRNPE_OPERAND_WEIGHT,
		     .offset = offsetof(struct xrnpe_cmd, operand[XRNPE_OPERAND_WEIGHT].format));
}

TEST_F(job, fault_no_region)
{
	struct xrnpe_cmd cmd = matmul_cmd();

	cmd.operand[XRNPE_OPERAND_OFM].region = 2;
	EXPECT_FAULT(cmd, RW, .kind = XRNPE_FAULT_NO_REGION, .operand = XRNPE_OPERAND_OFM,
		     .region = 2);
	cmd = matmul_cmd();
	cmd.operand[XRNPE_OPERAND_IFM].region = 255;
	EXPECT_FAULT(cmd, RW, .kind = XRNPE_FAULT_NO_REGION, .operand = XRNPE_OPERAND_IFM,
		     .region = 255);
}

TEST_F(job, fault_out_of_bounds)
{
	const uint64_t size = self->work.data.size;
	struct xrnpe_cmd cmd = matmul_cmd();

	/* One byte too far, the whole operand, and the end of all memory. */
	cmd.operand[XRNPE_OPERAND_IFM].offset = size - M * K + 1;
	EXPECT_FAULT(cmd, RW, .kind = XRNPE_FAULT_OUT_OF_BOUNDS, .operand = XRNPE_OPERAND_IFM,
		     .offset = size);
	cmd = matmul_cmd();
	cmd.operand[XRNPE_OPERAND_OFM].offset = size + 64;
	EXPECT_FAULT(cmd, RW, .kind = XRNPE_FAULT_OUT_OF_BOUNDS, .operand = XRNPE_OPERAND_OFM,
		     .offset = size + 64);
	cmd = matmul_cmd();
	cmd.operand[XRNPE_OPERAND_SCALE].offset = UINT64_MAX - 3;
	EXPECT_FAULT(cmd, RW, .kind = XRNPE_FAULT_OUT_OF_BOUNDS, .operand = XRNPE_OPERAND_SCALE,
		     .offset = UINT64_MAX - 3);
	cmd = matmul_cmd();
	cmd.matmul.m = UINT16_MAX;
	cmd.operand[XRNPE_OPERAND_IFM].row_stride = UINT32_MAX;
	EXPECT_FAULT(cmd, RW, .kind = XRNPE_FAULT_OUT_OF_BOUNDS, .operand = XRNPE_OPERAND_IFM,
		     .offset = size);
}

TEST_F(job, fault_permission)
{
	EXPECT_FAULT(matmul_cmd(), DRM_XRNPE_REGION_WRITE, .kind = XRNPE_FAULT_PERMISSION,
		     .operand = XRNPE_OPERAND_IFM, .offset = IFM_AT);
	EXPECT_FAULT(matmul_cmd(), DRM_XRNPE_REGION_READ, .kind = XRNPE_FAULT_PERMISSION,
		     .operand = XRNPE_OPERAND_OFM, .offset = OFM_AT);
}

TEST_F(job, fault_scale)
{
	const uint32_t infinity = 0x7f800000;
	struct xrnpe_cmd cmd = matmul_cmd();
	const uint64_t at = 4096;

	memcpy(self->work.data.map + at, self->work.data.map + SCALE_AT, N * 8);
	memcpy(self->work.data.map + at + 2 * 8 + 4, &infinity, sizeof(infinity));
	cmd.operand[XRNPE_OPERAND_SCALE].offset = at;
	EXPECT_FAULT(cmd, RW, .kind = XRNPE_FAULT_ILLEGAL_SCALE, .operand = XRNPE_OPERAND_SCALE,
		     .offset = at + 2 * 8 + 4);
}

/* No region at all is legal to submit, and of no use. */
TEST_F(job, fault_without_regions)
{
	struct drm_xrnpe_region region;
	struct drm_xrnpe_job args = job_args(&self->work, &region);
	struct drm_xrnpe_job_wait end;

	args.regions = (struct drm_xrnpe_array){};
	ASSERT_EQ(0, wait_job(self->fd, submit_job(self->fd, 0, &args), in_ms(60000), &end));
	EXPECT_EQ(DRM_XRNPE_JOB_FAULT, end.state);
	EXPECT_EQ(XRNPE_FAULT_NO_REGION, end.fault.kind);
}

/* Faults and good jobs mixed in one ring: each learns its own fate. */
TEST_F(job, faults_among_good_jobs)
{
	struct work bad = self->work;
	struct drm_xrnpe_sync sync;
	int64_t jobs[40];
	struct gate gate;

	ASSERT_EQ(0, make_bo(self->fd, 4096, 0, &bad.cmd));
	set_cmd(&bad, 0, (struct xrnpe_cmd){});
	ASSERT_EQ(0, make_gate(self->fd, &gate));
	sync = wait_gate(&gate);
	for (int i = 0; i < 40; i++) {
		jobs[i] = submit_syncs(self->fd, 0, i % 4 == 1 ? &bad : &self->work, &sync, 1);
		ASSERT_LT(0, jobs[i]);
	}
	open_gate(&gate);
	for (int i = 0; i < 40; i++)
		EXPECT_EQ(i % 4 == 1 ? DRM_XRNPE_JOB_FAULT : DRM_XRNPE_JOB_DONE,
			  state_of(self->fd, jobs[i]));
}

/* ---- order ---- */

TEST_F(job, binary_syncobjs)
{
	struct drm_xrnpe_sync first, second[2];
	struct drm_xrnpe_job_wait end;
	struct gate gate;
	struct work other;
	int64_t a, b;

	ASSERT_EQ(0, make_gate(self->fd, &gate));
	ASSERT_EQ(0, make_work(self->fd, &other));
	/* b waits for a, on another queue and on other buffers. */
	struct drm_xrnpe_sync syncs[2] = {
		wait_gate(&gate), { make_syncobj(self->fd), DRM_XRNPE_SYNC_SIGNAL, 0 },
	};

	a = submit_syncs(self->fd, 3 % QUEUES, &self->work, syncs, 2);
	ASSERT_LT(0, a);
	first = (struct drm_xrnpe_sync){ .handle = syncs[1].handle };
	second[0] = first;
	second[1] = (struct drm_xrnpe_sync){ make_syncobj(self->fd), DRM_XRNPE_SYNC_SIGNAL, 0 };
	b = submit_syncs(self->fd, 0, &other, second, 2);
	ASSERT_LT(0, b);

	EXPECT_EQ(-ETIME, wait_job(self->fd, b, in_ms(50), &end));
	EXPECT_EQ(-ETIME, wait_syncobj(self->fd, second[1].handle, 0, 0));
	open_gate(&gate);
	EXPECT_EQ(0, wait_syncobj(self->fd, second[1].handle, 0, in_ms(60000)));
	/* b has ended, so a has. */
	EXPECT_EQ(0, wait_job(self->fd, a, 0, &end));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, end.state);
	EXPECT_EQ(0, wait_job(self->fd, b, 0, &end));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, end.state);
}

TEST_F(job, timeline_syncobjs)
{
	const uint32_t timeline = make_syncobj(self->fd);
	struct drm_xrnpe_job_wait end;
	struct work works[4];
	struct gate gate;
	int64_t jobs[4];

	ASSERT_EQ(0, make_gate(self->fd, &gate));
	for (unsigned int i = 0; i < 4; i++) {
		/* Job i waits for point 10 i and signals 10 (i + 1). */
		struct drm_xrnpe_sync syncs[2] = {
			{ timeline, DRM_XRNPE_SYNC_TIMELINE, 10 * i },
			{ timeline, DRM_XRNPE_SYNC_TIMELINE | DRM_XRNPE_SYNC_SIGNAL, 10 * (i + 1) },
		};

		if (!i)
			syncs[0] = wait_gate(&gate);
		ASSERT_EQ(0, make_work(self->fd, &works[i]));
		jobs[i] = submit_syncs(self->fd, i % QUEUES, &works[i], syncs, 2);
		ASSERT_LT(0, jobs[i]);
	}
	EXPECT_EQ(-ETIME, wait_syncobj(self->fd, timeline, 10, in_ms(50)));
	EXPECT_EQ(-ETIME, wait_job(self->fd, jobs[3], 0, &end));
	open_gate(&gate);
	EXPECT_EQ(0, wait_syncobj(self->fd, timeline, 40, in_ms(60000)));
	for (unsigned int i = 0; i < 4; i++) {
		EXPECT_EQ(0, wait_job(self->fd, jobs[i], 0, &end));
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, end.state);
		EXPECT_TRUE(result_is_right(&works[i]));
	}
}

/* If what a job waits for fails, so does the job; its own waiters, too. */
TEST_F(job, failed_in_fence)
{
	struct drm_xrnpe_sync syncs[2], next;
	struct gate gate;
	int64_t a, b;

	ASSERT_EQ(0, make_gate(self->fd, &gate));
	syncs[0] = wait_gate(&gate);
	syncs[1] = (struct drm_xrnpe_sync){ make_syncobj(self->fd), DRM_XRNPE_SYNC_SIGNAL, 0 };
	a = submit_syncs(self->fd, 0, &self->work, syncs, 2);
	next = (struct drm_xrnpe_sync){ .handle = syncs[1].handle };
	b = submit_syncs(self->fd, 1, &self->work, &next, 1);
	clear_result(&self->work);
	break_gate(&gate);
	EXPECT_EQ(DRM_XRNPE_JOB_CANCELLED, state_of(self->fd, a));
	EXPECT_EQ(DRM_XRNPE_JOB_CANCELLED, state_of(self->fd, b));
	EXPECT_EQ(DRM_XRNPE_CANCEL_IN_FENCE, reason_of(self->fd, a));
	EXPECT_EQ(DRM_XRNPE_CANCEL_IN_FENCE, reason_of(self->fd, b));
	EXPECT_FALSE(result_is_right(&self->work));
}

static void *look_at_fdinfo(void *data)
{
	volatile bool *stop = data;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", open_npu());
	while (!*stop)
		read_file(path);
	return NULL;
}

/* However soon it fails, while others keep the driver busy. */
TEST_F(job, failed_in_fence_at_once)
{
	struct drm_xrnpe_sync out = { make_syncobj(self->fd), DRM_XRNPE_SYNC_SIGNAL, 0 };
	const struct drm_xrnpe_sync in = { .handle = out.handle };
	struct work bad = self->work;
	volatile bool stop = false;
	pthread_t threads[3];

	ASSERT_EQ(0, make_bo(self->fd, 4096, 0, &bad.cmd));
	set_cmd(&bad, 0, (struct xrnpe_cmd){});
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, look_at_fdinfo, (void *)&stop));
	for (int i = 0; i < 500; i++) {
		int64_t a, b;

		/* So that not ten faults come in a row. */
		ASSERT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &self->work));
		a = submit_syncs(self->fd, 0, &bad, &out, 1);
		b = submit_syncs(self->fd, 0, &self->work, &in, 1);
		ASSERT_EQ(DRM_XRNPE_JOB_FAULT, state_of(self->fd, a));
		ASSERT_EQ(DRM_XRNPE_JOB_CANCELLED, state_of(self->fd, b));
	}
	stop = true;
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}

/* The same inside a ring, where the device would go on by itself. */
TEST_F(job, failed_in_fence_same_queue)
{
	const uint32_t timeline = make_syncobj(self->fd);
	struct work bad = self->work;
	struct drm_xrnpe_sync gated[2];
	int64_t a, b, c, d;
	struct gate gate;

	ASSERT_EQ(0, make_bo(self->fd, 4096, 0, &bad.cmd));
	set_cmd(&bad, 0, (struct xrnpe_cmd){});
	ASSERT_EQ(0, make_gate(self->fd, &gate));
	gated[0] = wait_gate(&gate);
	gated[1] = (struct drm_xrnpe_sync){
		timeline, DRM_XRNPE_SYNC_TIMELINE | DRM_XRNPE_SYNC_SIGNAL, 1,
	};
	struct drm_xrnpe_sync after[2] = {
		{ timeline, DRM_XRNPE_SYNC_TIMELINE, 1 },
		{ timeline, DRM_XRNPE_SYNC_TIMELINE | DRM_XRNPE_SYNC_SIGNAL, 2 },
	};
	struct drm_xrnpe_sync last = { timeline, DRM_XRNPE_SYNC_TIMELINE, 2 };

	a = submit_syncs(self->fd, 0, &bad, gated, 2);
	b = submit(self->fd, 0, &self->work);
	c = submit_syncs(self->fd, 0, &self->work, after, 2);
	d = submit_syncs(self->fd, 0, &self->work, &last, 1);
	open_gate(&gate);
	EXPECT_EQ(DRM_XRNPE_JOB_FAULT, state_of(self->fd, a));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, b));
	EXPECT_EQ(DRM_XRNPE_JOB_CANCELLED, state_of(self->fd, c));
	EXPECT_EQ(DRM_XRNPE_JOB_CANCELLED, state_of(self->fd, d));
}

/* Without any sync: who writes a buffer waits for its readers, and they for it. */
TEST_F(job, implicit_order)
{
	struct drm_xrnpe_region regions[2];
	struct drm_xrnpe_job_wait end;
	struct work writer, reader;
	struct drm_xrnpe_job args;
	struct xrnpe_cmd cmd = matmul_cmd();
	struct drm_xrnpe_sync sync;
	int64_t a, b, c;
	struct gate gate;

	ASSERT_EQ(0, make_gate(self->fd, &gate));
	sync = wait_gate(&gate);
	ASSERT_EQ(0, make_work(self->fd, &writer));
	ASSERT_EQ(0, make_work(self->fd, &reader));

	/* a, held back, computes writer's product; its ifm is still to come. */
	a = submit_syncs(self->fd, 3 % QUEUES, &writer, &sync, 1);
	ASSERT_LT(0, a);

	/* b takes a's buffer to read from only, and writes to its own. */
	cmd.operand[XRNPE_OPERAND_OFM].region = 1;
	set_cmd(&reader, 0, cmd);
	args = job_args(&reader, &regions[1]);
	regions[0] = regions[1];
	regions[0].handle = writer.data.handle;
	regions[0].flags = DRM_XRNPE_REGION_READ;
	args.regions.pointer = (uintptr_t)regions;
	args.regions.count = 2;
	clear_result(&reader);
	b = submit_job(self->fd, 0, &args);
	ASSERT_LT(0, b);
	/* c writes what b reads. */
	c = submit(self->fd, 1 % QUEUES, &writer);
	ASSERT_LT(0, c);

	EXPECT_EQ(-ETIME, wait_job(self->fd, b, in_ms(50), &end));
	EXPECT_EQ(-ETIME, wait_job(self->fd, c, 0, &end));
	open_gate(&gate);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, c));
	EXPECT_EQ(0, wait_job(self->fd, b, 0, &end));
	EXPECT_EQ(0, wait_job(self->fd, a, 0, &end));
	EXPECT_TRUE(result_is_right(&reader));
}

/* Two who only read do not wait for each other. */
TEST_F(job, readers_are_free)
{
	struct drm_xrnpe_region regions[2];
	struct drm_xrnpe_job_wait end;
	struct drm_xrnpe_job args;
	struct work first, second;
	struct xrnpe_cmd cmd = matmul_cmd();
	struct drm_xrnpe_sync sync;
	struct gate gate;
	int64_t jobs[2];

	ASSERT_EQ(0, make_gate(self->fd, &gate));
	sync = wait_gate(&gate);
	cmd.operand[XRNPE_OPERAND_OFM].region = 1;
	ASSERT_EQ(0, make_work(self->fd, &first));
	ASSERT_EQ(0, make_work(self->fd, &second));
	set_cmd(&first, 0, cmd);
	set_cmd(&second, 0, cmd);

	for (int i = 0; i < 2; i++) {
		args = job_args(i ? &second : &first, &regions[1]);
		regions[0] = regions[1];
		regions[0].handle = self->work.data.handle;
		regions[0].flags = DRM_XRNPE_REGION_READ;
		args.regions.pointer = (uintptr_t)regions;
		args.regions.count = 2;
		if (!i)
			args.syncs = (struct drm_xrnpe_array){ sizeof(sync), 1, (uintptr_t)&sync };
		jobs[i] = submit_job(self->fd, i % QUEUES, &args);
		ASSERT_LT(0, jobs[i]);
	}
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, jobs[1]));
	EXPECT_EQ(-ETIME, wait_job(self->fd, jobs[0], 0, &end));
	open_gate(&gate);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, jobs[0]));
}

/* ---- time limits ---- */

TEST_F(job, endless)
{
	const uint32_t low = QUEUES - 1;
	struct drm_xrnpe_job_wait end;
	struct work endless, other;
	int64_t a, behind[12], begin = now_ns();

	ASSERT_EQ(0, make_endless(self->fd, &endless));
	set_cmd(&endless, 0, matmul_cmd());
	ASSERT_EQ(0, make_work(self->fd, &other));

	a = submit(self->fd, low, &endless);
	ASSERT_LT(0, a);
	for (int i = 0; i < 12; i++)
		behind[i] = submit(self->fd, low, &self->work);

	/* A more urgent queue is served all the while. */
	do {
		clear_result(&other);
		ASSERT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &other));
		ASSERT_TRUE(result_is_right(&other));
	} while (wait_job(self->fd, a, in_ms(10), &end) == -ETIME);

	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, end.state);
	EXPECT_EQ(XRNPE_FAULT_ABORTED, end.fault.kind);
	EXPECT_LE(1, end.fault.cmd);
	EXPECT_LE(self->info.job_timeout_ms, (now_ns() - begin) / 1000000);
	/* Those behind it had to wait; that is all. */
	for (int i = 0; i < 12; i++)
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, behind[i]));
}

/* A job that waits for its turn has all of its time before it. */
TEST_F(job, waiting_is_not_running)
{
	struct work endless, other;
	int64_t first, second, third;

	ASSERT_EQ(0, make_endless(self->fd, &endless));
	ASSERT_EQ(0, make_work(self->fd, &other));

	/* Twice the limit passes on queue 0 while queue 1 waits. */
	first = submit(self->fd, 0, &endless);
	second = submit(self->fd, 0, &endless);
	third = submit(self->fd, 1, &other);
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, first));
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, second));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, third));
}

struct accomplice {
	pthread_t thread;
	int fd;
	struct work work;
	volatile bool stop;
};

static void *interrupt_others(void *data)
{
	struct accomplice *a = data;

	while (!a->stop && run_work(a->fd, 0, &a->work) == DRM_XRNPE_JOB_DONE)
		;
	return NULL;
}

/* Who interrupts a job is not charged for it: its time limit is as near as ever. */
TEST_F(job, interrupted_all_the_time)
{
	const uint64_t limit = (uint64_t)self->info.job_timeout_ms * self->info.timer_khz;
	struct accomplice accomplice = { .fd = open_npu() };
	struct xrnpe_job_record record;
	struct drm_xrnpe_job_wait end;
	struct work interrupted;

	ASSERT_LE(0, accomplice.fd);
	ASSERT_EQ(0, make_work(accomplice.fd, &accomplice.work));
	ASSERT_EQ(0, make_long(self->fd, 8192, 8192, &interrupted));
	ASSERT_EQ(0, pthread_create(&accomplice.thread, NULL, interrupt_others, &accomplice));
	ASSERT_EQ(0, wait_record(self->fd, submit(self->fd, 1, &interrupted), &end, &record));
	accomplice.stop = true;
	pthread_join(accomplice.thread, NULL);
	close(accomplice.fd);
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, end.state);
	EXPECT_EQ(XRNPE_FAULT_ABORTED, record.fault.kind);
	EXPECT_LE(limit, record.executed);
	EXPECT_GE(2 * limit, record.executed);
}

/* ---- processes ---- */

TEST_F(job, two_files)
{
	const int other = open_npu();
	struct work work;

	ASSERT_LE(0, other);
	ASSERT_EQ(0, make_work(other, &work));
	for (int i = 0; i < 50; i++) {
		ASSERT_EQ(i + 1, job_number(submit(self->fd, 0, &self->work)));
		ASSERT_EQ(i + 1, job_number(submit(other, 0, &work)));
	}
	for (int i = 0; i < 50; i++) {
		EXPECT_EQ(DRM_XRNPE_JOB_DONE,
			  state_of(self->fd, job_name(queue_of(self->fd, 0), i + 1)));
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(other, job_name(queue_of(other, 0), i + 1)));
	}
	close(other);
}

/* The file is open until its last descriptor is closed, in whichever process. */
TEST_F(job, fork_and_dup)
{
	const uint32_t queue = queue_of(self->fd, 0);
	int copy = dup(self->fd), status;
	pid_t child;

	ASSERT_LE(0, copy);
	ASSERT_NE(0, queue);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		close(copy);
		clear_result(&self->work);
		_exit(run_work(self->fd, 0, &self->work) == DRM_XRNPE_JOB_DONE &&
		      result_is_right(&self->work) ? 42 : 1);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(42, WEXITSTATUS(status));
	close(self->fd);
	self->fd = copy;
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(copy, 0, &self->work));
	/* The child's job is in the same queue's history. */
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(copy, job_name(queue, 1)));
}

static void occupy(int ready)
{
	struct work work;
	int fd = open_npu();

	if (make_endless(fd, &work))
		_exit(1);
	for (int i = 0; i < 30; i++)
		if (submit(fd, i & 1, &work) < 0)
			_exit(1);
	if (write(ready, "", 1) == 1)
		pause();
	_exit(1);
}

TEST_F(job, killed_with_jobs_in_flight)
{
	int pipes[2], status;
	pid_t child;
	char byte;

	ASSERT_EQ(0, pipe(pipes));
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		occupy(pipes[1]);
	ASSERT_EQ(1, read(pipes[0], &byte, 1));
	ASSERT_EQ(0, kill(child, SIGKILL));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	/* What it had queued does not run any more, what was in a ring times out. */
	clear_result(&self->work);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &self->work));
	EXPECT_TRUE(result_is_right(&self->work));
}

/* close(2) has its time, however long the jobs take that are queued. */
TEST_F(job, close_does_not_wait_for_ever)
{
	struct work endless;
	int other = open_npu();
	int64_t begin;

	ASSERT_LE(0, other);
	ASSERT_EQ(0, make_endless(other, &endless));
	for (int i = 0; i < 20; i++)
		ASSERT_LT(0, submit(other, i % 2, &endless));
	munmap(endless.cmd.map, endless.cmd.size);
	munmap(endless.data.map, endless.data.size);
	begin = now_ns();
	close(other);
	EXPECT_GT(2000, (now_ns() - begin) / 1000000);
	clear_result(&self->work);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 3, &self->work));
}

/* A file closed right after SUBMIT: the job is done nevertheless. */
TEST_F(job, closed_with_jobs_queued)
{
	struct drm_prime_handle share = {
		.handle = self->work.data.handle, .flags = DRM_CLOEXEC | DRM_RDWR,
	};
	const int other = open_npu();
	struct work work = self->work;

	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &share));
	ASSERT_EQ(0, call(other, DRM_IOCTL_PRIME_FD_TO_HANDLE, &share));
	close(share.fd);
	work.data.handle = share.handle;
	ASSERT_EQ(0, make_bo(other, 4096, 0, &work.cmd));
	set_cmd(&work, 0, matmul_cmd());
	clear_result(&self->work);
	for (int i = 0; i < 50; i++)
		ASSERT_LT(0, submit(other, 1, &work));
	munmap(work.cmd.map, work.cmd.size);
	close(other);
	/* By the implicit fence of the shared buffer, after them all. */
	set_cmd(&self->work, 0, nan_to_fp4_cmd());
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &self->work));
	EXPECT_TRUE(result_is_right(&self->work));
}

/* ---- threads ---- */

#define THREADS 8
#define ROUNDS 60

struct hammer {
	pthread_t thread;
	int fd;
	unsigned int seed;
	const char *failure;
};

static const char *hammer_once(struct hammer *h)
{
	uint32_t out = make_syncobj(h->fd);
	struct drm_syncobj_destroy destroy = { .handle = out };
	struct drm_xrnpe_sync sync = { out, DRM_XRNPE_SYNC_SIGNAL, 0 };
	bool bad = rand_r(&h->seed) % 4 == 0;
	struct work work;
	int64_t job;

	if (make_work(h->fd, &work))
		return "cannot make work";
	clear_result(&work);
	if (bad) {
		struct xrnpe_cmd cmd = matmul_cmd();

		cmd.operand[rand_r(&h->seed) % XRNPE_OPERANDS].offset = work.data.size;
		set_cmd(&work, 0, cmd);
	}
	job = submit_syncs(h->fd, rand_r(&h->seed) % QUEUES, &work, &sync, 1);
	if (job < 0)
		return "cannot submit";
	if (rand_r(&h->seed) % 2 && wait_syncobj(h->fd, out, 0, in_ms(60000)))
		return "syncobj does not signal";
	if (rand_r(&h->seed) % 8 == 0) {
		/* Leave it alone. */
	} else if (state_of(h->fd, job) != (bad ? DRM_XRNPE_JOB_FAULT : DRM_XRNPE_JOB_DONE)) {
		return "wrong end";
	} else if (result_is_right(&work) == bad) {
		return "wrong result";
	}
	free_work(h->fd, &work);
	return call(h->fd, DRM_IOCTL_SYNCOBJ_DESTROY, &destroy) ? "cannot destroy syncobj" : NULL;
}

static void *hammer(void *data)
{
	struct hammer *h = data;

	for (int i = 0; !h->failure && i < ROUNDS; i++)
		h->failure = hammer_once(h);
	return NULL;
}

/* Half of the threads share a file. */
TEST_F(job, threads)
{
	struct hammer hammers[THREADS] = {};

	for (unsigned int i = 0; i < THREADS; i++) {
		hammers[i] = (struct hammer){
			.fd = i % 2 ? self->fd : open_npu(), .seed = i + 1,
		};
		ASSERT_LE(0, hammers[i].fd);
		ASSERT_EQ(0, pthread_create(&hammers[i].thread, NULL, hammer, &hammers[i]));
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		pthread_join(hammers[i].thread, NULL);
		EXPECT_EQ(NULL, hammers[i].failure) TH_LOG("%s", hammers[i].failure);
		if (i % 2 == 0)
			close(hammers[i].fd);
	}
}

TEST_HARNESS_MAIN

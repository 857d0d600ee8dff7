// SPDX-License-Identifier: MIT
/*
 * Jobs that go wrong: each is told where, and no other notices.
 */
#include "xrnpe_job.h"

#include <stddef.h>

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
	EXPECT_EQ(-EIO, syncobj_status(self->fd, syncobj));

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

TEST_HARNESS_MAIN

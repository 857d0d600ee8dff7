/* SPDX-License-Identifier: MIT */
/* The fixture of tests of jobs: a file, some work, and what the device is. */
#ifndef XRNPE_JOB_H
#define XRNPE_JOB_H

#include "xrnpe_sync.h"
#include "xrnpe_work.h"

FIXTURE(job)
{
	int fd;
	struct work work;
	struct drm_xrnpe_dev_info info;
};

FIXTURE_SETUP(job)
{
	self->fd = open_npu();
	ASSERT_GE(self->fd, 0) TH_LOG("no xrnpe node");
	ASSERT_EQ(0, device_info(self->fd, &self->info));
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

/* Meets a NaN, which FP4 has not, and touches no result of the matrix product. */
static inline struct xrnpe_cmd nan_to_fp4_cmd(void)
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

#endif

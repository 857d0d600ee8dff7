/* SPDX-License-Identifier: MIT */
/* The fixture of tests of ioctls: two files, and some work of the first. */
#ifndef XRNPE_UAPI_H
#define XRNPE_UAPI_H

#include "xrnpe_work.h"

FIXTURE(uapi)
{
	int fd;
	int other;
	struct work work;
	struct drm_xrnpe_dev_info info;
};

FIXTURE_SETUP(uapi)
{
	self->fd = open_npu();
	ASSERT_GE(self->fd, 0) TH_LOG("no xrnpe node");
	self->other = open_npu();
	ASSERT_GE(self->other, 0);
	ASSERT_EQ(0, device_info(self->fd, &self->info));
	ASSERT_EQ(0, make_work(self->fd, &self->work));
}

FIXTURE_TEARDOWN(uapi)
{
	/* Whatever a test did, the next job is fine. */
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &self->work));
	EXPECT_TRUE(result_is_right(&self->work));
	close(self->other);
	close(self->fd);
}

#endif

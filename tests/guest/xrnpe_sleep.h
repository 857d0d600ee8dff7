/* SPDX-License-Identifier: MIT */
/*
 * The fixture of tests of system sleep, as far as devices go to sleep and come back; the
 * machine itself stays awake. Programs of their own: QEMU's virtio console does not survive
 * it, so that what is printed must go to the UART.
 */
#ifndef XRNPE_SLEEP_H
#define XRNPE_SLEEP_H

#include "xrnpe_work.h"

FIXTURE(sleep)
{
	int fd;
	int64_t resets;
	struct work work;
};

FIXTURE_SETUP(sleep)
{
	self->fd = open_npu();
	ASSERT_GE(self->fd, 0) TH_LOG("no xrnpe node");
	ASSERT_EQ(0, make_work(self->fd, &self->work));
	ASSERT_EQ(0, write_file("/sys/power/pm_test", "devices"));
	self->resets = resets_of(self->fd);
}

FIXTURE_TEARDOWN(sleep)
{
	EXPECT_EQ(0, write_file("/sys/power/pm_test", "none"));
	/* How often the test expects; a device that works need not be. */
	EXPECT_EQ(self->resets, resets_of(self->fd));
	clear_result(&self->work);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &self->work));
	EXPECT_TRUE(result_is_right(&self->work));
	close(self->fd);
}

#endif

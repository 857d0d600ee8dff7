// SPDX-License-Identifier: MIT
/*
 * A device with memory of its own, of 16 MiB: its buffers lie there, also those that outlive
 * the driver's being bound. Needs root.
 */
#include "xrnpe_module.h"
#include "xrnpe_work.h"

#define MIB (1 << 20)

FIXTURE(pool)
{
	int fd;
	char device[256];
};

FIXTURE_SETUP(pool)
{
	find_device(self->device, sizeof(self->device));
	ASSERT_NE('\0', self->device[0]) TH_LOG("no device is bound to the driver");
	self->fd = open_npu();
	ASSERT_GE(self->fd, 0) TH_LOG("no xrnpe node");
}

FIXTURE_TEARDOWN(pool)
{
	struct work work;

	ASSERT_EQ(0, make_work(self->fd, &work));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &work));
	EXPECT_TRUE(result_is_right(&work));
	close(self->fd);
}

/* What is too large for a device of its size comes from nowhere else, though there is more. */
TEST_F(pool, is_all_that_there_is)
{
	for (uint32_t flags = 0; flags <= DRM_XRNPE_BO_CACHED; flags++) {
		struct bo bo, more;

		EXPECT_EQ(-ENOMEM, make_bo(self->fd, 17 * MIB, flags, &bo));
		ASSERT_EQ(0, make_bo(self->fd, 8 * MIB, flags, &bo));
		EXPECT_EQ(-ENOMEM, make_bo(self->fd, 8 * MIB + 4096, flags, &more));
		free_bo(self->fd, &bo);
		ASSERT_EQ(0, make_bo(self->fd, 14 * MIB, flags, &bo));
		free_bo(self->fd, &bo);
	}
}

/* A buffer that is freed only when the device is bound again goes back to where it was. */
TEST_F(pool, outlives_the_driver)
{
	for (int round = 0; round < 3; round++) {
		const int old = self->fd;
		struct bo bo;

		ASSERT_EQ(0, make_bo(old, 10 * MIB, round & DRM_XRNPE_BO_CACHED, &bo));
		ASSERT_EQ(0, bind_device(self->device, "unbind"));
		ASSERT_EQ(0, bind_device(self->device, "bind"));
		self->fd = open_npu();
		ASSERT_LE(0, self->fd);
		munmap(bo.map, bo.size);
		EXPECT_EQ(-ENOMEM, make_bo(self->fd, 10 * MIB, 0, &bo));
		close(old);
		ASSERT_EQ(0, make_bo(self->fd, 10 * MIB, 0, &bo));
		free_bo(self->fd, &bo);
	}
}

/* And if it is bound again only when all of its buffers are gone. */
TEST_F(pool, is_given_back)
{
	struct bo bo;

	ASSERT_EQ(0, make_bo(self->fd, 10 * MIB, 0, &bo));
	ASSERT_EQ(0, bind_device(self->device, "unbind"));
	munmap(bo.map, bo.size);
	close(self->fd);
	EXPECT_EQ(0, reload_module(""));
	self->fd = open_npu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, make_bo(self->fd, 10 * MIB, 0, &bo));
	free_bo(self->fd, &bo);
}

TEST_HARNESS_MAIN

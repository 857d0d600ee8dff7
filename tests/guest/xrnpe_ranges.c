// SPDX-License-Identifier: MIT
/*
 * A bus with addresses of its own for memory (dma-ranges), as tools/vm --dma-ranges has it.
 * What they mean the kernel knows only as long as a driver is bound: of a buffer that
 * outlives that the memory is lost, but nobody gets any other's. QEMU's device does not
 * translate addresses, so that no job runs. Needs root.
 */
#include "xrnpe_module.h"

#define MIB (1 << 20)

FIXTURE(ranges)
{
	int fd;
	char device[256];
};

FIXTURE_SETUP(ranges)
{
	find_device(self->device, sizeof(self->device));
	ASSERT_NE('\0', self->device[0]) TH_LOG("no device is bound to the driver");
	self->fd = open_npu();
	ASSERT_GE(self->fd, 0) TH_LOG("no xrnpe node");
}

FIXTURE_TEARDOWN(ranges)
{
	struct bo bo;

	for (uint32_t flags = 0; flags <= DRM_XRNPE_BO_CACHED; flags++) {
		ASSERT_EQ(0, make_bo(self->fd, MIB, flags, &bo));
		memset(bo.map, 0x5a, bo.size);
		free_bo(self->fd, &bo);
	}
	close(self->fd);
}

/* As long as it is bound all is as elsewhere: memory comes back, and can be shared. */
TEST_F(ranges, bound)
{
	for (int i = 0; i < 32; i++) {
		struct drm_prime_handle export = { .flags = DRM_CLOEXEC | DRM_RDWR };
		struct bo bo;
		uint8_t *map;

		ASSERT_EQ(0, make_bo(self->fd, 16 * MIB, 0, &bo));
		export.handle = bo.handle;
		ASSERT_EQ(0, call(self->fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &export));
		map = mmap(NULL, bo.size, PROT_READ | PROT_WRITE, MAP_SHARED, export.fd, 0);
		ASSERT_NE(MAP_FAILED, map);
		bo.map[bo.size - 1] = i;
		EXPECT_EQ(i, map[bo.size - 1]);
		munmap(map, bo.size);
		close(export.fd);
		free_bo(self->fd, &bo);
	}
}

/* Buffers of all kinds are freed when it is not bound, and when it is bound again. */
TEST_F(ranges, outlive_the_driver)
{
	for (int again = 0; again < 2; again++) {
		struct drm_prime_handle export = { .flags = DRM_CLOEXEC | DRM_RDWR };
		struct bo wc, cached;
		int64_t imported;

		ASSERT_EQ(0, make_bo(self->fd, MIB, 0, &wc));
		ASSERT_EQ(0, make_bo(self->fd, MIB, DRM_XRNPE_BO_CACHED, &cached));
		imported = import_contiguous(self->fd, MIB, O_RDWR);
		ASSERT_LT(0, imported);
		export.handle = wc.handle;
		ASSERT_EQ(0, call(self->fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &export));

		ASSERT_EQ(0, bind_device(self->device, "unbind"));
		if (again)
			ASSERT_EQ(0, bind_device(self->device, "bind"));
		/* It would be another's memory. */
		EXPECT_EQ(MAP_FAILED, mmap(NULL, wc.size, PROT_READ, MAP_SHARED, export.fd, 0));
		EXPECT_EQ(ENODEV, errno);
		munmap(wc.map, wc.size);
		munmap(cached.map, cached.size);
		close(export.fd);
		close(self->fd);
		if (!again)
			ASSERT_EQ(0, bind_device(self->device, "bind"));
		self->fd = open_npu();
		ASSERT_LE(0, self->fd);
	}
}

TEST_HARNESS_MAIN

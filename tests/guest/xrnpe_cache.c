// SPDX-License-Identifier: MIT
/*
 * A device that does not see the CPU's caches, as tools/vm --incoherent has it. QEMU has
 * none, so that nothing is wrong when they are not written back; but the kernel's
 * tracepoints tell what the driver asks for. Needs root.
 */
#include "xrnpe_work.h"

#define TRACING "/sys/kernel/tracing/"
#define FOR_CPU "dma_sync_single_for_cpu"
#define FOR_DEVICE "dma_sync_single_for_device"
#define SIZE 65536

FIXTURE(cache)
{
	int fd;
	struct drm_xrnpe_dev_info info;
};

FIXTURE_SETUP(cache)
{
	self->fd = open_npu();
	ASSERT_GE(self->fd, 0) TH_LOG("no xrnpe node");
	ASSERT_EQ(0, device_info(self->fd, &self->info));
	ASSERT_EQ(0, self->info.flags & DRM_XRNPE_DEV_COHERENT);
	ASSERT_EQ(0, write_file(TRACING "events/dma/" FOR_CPU "/enable", "1"));
	ASSERT_EQ(0, write_file(TRACING "events/dma/" FOR_DEVICE "/enable", "1"));
}

FIXTURE_TEARDOWN(cache)
{
	EXPECT_EQ(0, write_file(TRACING "events/dma/enable", "0"));
	close(self->fd);
}

/* The only range of the device that was traced as synced since forget(), or zeros. */
struct sync {
	unsigned long long address, size;
	bool for_cpu;
};

static void forget(void)
{
	close(open(TRACING "trace", O_WRONLY | O_TRUNC | O_CLOEXEC));
}

static struct sync traced_sync(void)
{
	const char *text = read_file(TRACING "trace"), *line, *next;
	struct sync sync = {};
	int found = 0;

	for (line = strstr(text, "dma_sync_single_for_"); line; line = next) {
		const char *address = strstr(line, "npu dir=BIDIRECTIONAL dma_addr=");

		next = strstr(line + 1, "dma_sync_single_for_");
		if (!address || (next && address > next))
			continue;
		found += sscanf(address, "npu dir=BIDIRECTIONAL dma_addr=%llx size=%llu",
				&sync.address, &sync.size) == 2;
		sync.for_cpu = !strncmp(line, FOR_CPU, strlen(FOR_CPU));
	}
	return found == 1 ? sync : (struct sync){};
}

static int sync_range(int fd, const struct bo *bo, uint32_t op, uint64_t offset, uint64_t size)
{
	struct drm_xrnpe_bo_sync args = {
		.handle = bo->handle, .op = op, .offset = offset, .size = size,
	};

	return call(fd, DRM_IOCTL_XRNPE_BO_SYNC, &args);
}

/* Zeros are the device's to see, and what is handed over is what was asked for. */
TEST_F(cache, cached)
{
	struct sync created, sync;
	struct bo bo;

	forget();
	ASSERT_EQ(0, make_bo(self->fd, SIZE, DRM_XRNPE_BO_CACHED, &bo));
	created = traced_sync();
	EXPECT_EQ(SIZE, created.size);
	EXPECT_FALSE(created.for_cpu);

	forget();
	ASSERT_EQ(0, sync_range(self->fd, &bo, DRM_XRNPE_BO_SYNC_FOR_CPU, 4096, 100));
	sync = traced_sync();
	EXPECT_EQ(created.address + 4096, sync.address);
	EXPECT_EQ(100, sync.size);
	EXPECT_TRUE(sync.for_cpu);

	forget();
	ASSERT_EQ(0, sync_range(self->fd, &bo, DRM_XRNPE_BO_SYNC_FOR_DEVICE, 64, SIZE - 64));
	sync = traced_sync();
	EXPECT_EQ(created.address + 64, sync.address);
	EXPECT_EQ(SIZE - 64, sync.size);
	EXPECT_FALSE(sync.for_cpu);
	free_bo(self->fd, &bo);
}

TEST_F(cache, write_combined_needs_nothing)
{
	struct bo bo;

	forget();
	ASSERT_EQ(0, make_bo(self->fd, SIZE, 0, &bo));
	EXPECT_EQ(0, sync_range(self->fd, &bo, DRM_XRNPE_BO_SYNC_FOR_CPU, 0, SIZE));
	EXPECT_EQ(0, sync_range(self->fd, &bo, DRM_XRNPE_BO_SYNC_FOR_DEVICE, 0, SIZE));
	EXPECT_EQ(0, traced_sync().size);
	EXPECT_EQ(NULL, strstr(read_file(TRACING "trace"), "npu dir="));
	free_bo(self->fd, &bo);
}

TEST_HARNESS_MAIN

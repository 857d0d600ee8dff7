// SPDX-License-Identifier: MIT
/*
 * Buffers are charged to the cgroup of who creates them, by the controller of device memory.
 * Needs root, and cgroups of version 2.
 */
#include "xrnpe_group.h"
#include "xrnpe_module.h"
#include "xrnpe_nobody.h"
#include "xrnpe_work.h"

#define MIB (INT64_C(1) << 20)
#define PAGE 4096

FIXTURE(dmem)
{
	int fd;			/* of a program outside of the group */
	char device[256], region[300];
	struct work work;
};

FIXTURE_SETUP(dmem)
{
	if (enable_controller("+dmem"))
		SKIP(return, "this kernel has no controller of device memory");
	ASSERT_EQ(0, mkdir(GROUP, 0755));
	find_device(self->device, sizeof(self->device));
	snprintf(self->region, sizeof(self->region), "drm/%s/buffers ", self->device);
	self->fd = open_npu();
	ASSERT_LE(0, self->fd) TH_LOG("no xrnpe node");
	ASSERT_EQ(0, fchmod(self->fd, 0666));
	ASSERT_EQ(0, make_work(self->fd, &self->work));
}

/* By a process that has not joined the group, which is then empty. */
FIXTURE_TEARDOWN_PARENT(dmem)
{
	EXPECT_EQ(0, rmdir(GROUP));
}

/* What a file of the controller says of the region; -1 if nothing. */
static int64_t region_in(const char *path, const char *region)
{
	const char *found = strstr(read_file(path), region);

	return found ? atoll(found + strlen(region)) : -1;
}

static int64_t charged(const char *region)
{
	return region_in(GROUP "/dmem.current", region);
}

/* Whether just @bytes are charged within a minute. */
static bool falls_to(const char *region, int64_t bytes)
{
	const int64_t end = in_ms(60000);
	bool fallen;

	while (!(fallen = charged(region) == bytes) && now_ns() < end)
		sleep_ms(10);
	return fallen;
}

static int set_limit(const char *region, const char *limit)
{
	char line[400];

	snprintf(line, sizeof(line), "%s%s", region, limit);
	return write_file(GROUP "/dmem.max", line);
}

static int64_t create(int fd, uint64_t size, uint32_t flags)
{
	struct drm_xrnpe_bo_create args = { .size = size, .flags = flags };
	int ret = call(fd, DRM_IOCTL_XRNPE_BO_CREATE, &args);

	return ret ? ret : (int64_t)args.handle;
}

/* Who may have 2 MiB has them, to the byte, of whatever buffers, and no more. */
TEST_F(dmem, limit)
{
	int fds[2];

	EXPECT_EQ(0, charged(self->region));
	ASSERT_EQ(0, set_limit(self->region, "2M"));
	ASSERT_EQ(0, join_group());
	ASSERT_EQ(0, become_nobody());
	for (int i = 0; i < 2; i++) {
		fds[i] = open_npu();
		ASSERT_LE(0, fds[i]);
	}

	EXPECT_EQ(-ENOMEM, create(fds[0], 2 * MIB + 1, 0));
	EXPECT_EQ(0, charged(self->region));
	EXPECT_LT(0, create(fds[0], MIB, 0));
	EXPECT_EQ(MIB, charged(self->region));
	EXPECT_EQ(-ENOMEM, create(fds[1], MIB + 1, DRM_XRNPE_BO_CACHED));
	for (int i = 0; i < MIB / PAGE; i++)
		ASSERT_LT(0, create(fds[i % 2], 1, i % 3 ? DRM_XRNPE_BO_CACHED : 0));
	EXPECT_EQ(2 * MIB, charged(self->region));
	EXPECT_EQ(-ENOMEM, create(fds[0], 1, 0));
	EXPECT_EQ(-ENOMEM, create(fds[1], 1, DRM_XRNPE_BO_NO_MMAP));

	/* What is given back may be taken again, by another file, too. */
	close(fds[0]);
	EXPECT_TRUE(falls_to(self->region, MIB / 2));
	EXPECT_LT(0, create(fds[1], MIB, 0));
	EXPECT_EQ(MIB / 2 * 3, charged(self->region));
	close(fds[1]);
	EXPECT_TRUE(falls_to(self->region, 0));
}

/* A limit is for its group alone, and for the device's buffers together what it may have. */
TEST_F(dmem, others)
{
	struct drm_xrnpe_dev_info info;

	ASSERT_EQ(0, device_info(self->fd, &info));
	EXPECT_EQ(4 * (int64_t)info.max_client_memory,
		  region_in(GROUPS "/dmem.capacity", self->region));
	ASSERT_EQ(0, set_limit(self->region, "0"));
	EXPECT_LT(0, create(self->fd, MIB, 0));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &self->work));
	EXPECT_EQ(0, charged(self->region));
	ASSERT_EQ(0, join_group());
	EXPECT_EQ(-ENOMEM, create(self->fd, 1, 0));
	/* What there is may be used. */
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &self->work));
}

/* A buffer is charged for as long as there is anything of it, and to who has created it. */
TEST_F(dmem, dma_buf)
{
	struct drm_prime_handle export = { .flags = DRM_CLOEXEC | DRM_RDWR };
	int64_t handle, imported;

	ASSERT_EQ(0, join_group());
	handle = create(self->fd, MIB, 0);
	ASSERT_LT(0, handle);
	export.handle = handle;
	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &export));
	ASSERT_EQ(0, close_handle(self->fd, handle));
	EXPECT_EQ(MIB, charged(self->region));
	close(export.fd);
	EXPECT_TRUE(falls_to(self->region, 0));

	imported = import_contiguous(self->fd, MIB, O_RDWR);
	EXPECT_TRUE(imported > 0 || imported == -ENOENT);
	EXPECT_EQ(0, charged(self->region));
}

/* When the device goes its region does; it comes back with another, and no limit is lost on it. */
TEST_F(dmem, device_comes_and_goes)
{
	int again;

	ASSERT_EQ(0, join_group());
	ASSERT_LT(0, create(self->fd, MIB, 0));
	EXPECT_EQ(MIB, charged(self->region));
	EXPECT_EQ(0, bind_device(self->device, "unbind"));
	EXPECT_EQ(-1, charged(self->region));
	EXPECT_EQ(-EINVAL, set_limit(self->region, "1M"));

	EXPECT_EQ(0, bind_device(self->device, "bind"));
	again = open_npu();
	ASSERT_LE(0, again);
	ASSERT_EQ(0, set_limit(self->region, "1M"));
	EXPECT_LT(0, create(again, MIB, 0));
	EXPECT_EQ(-ENOMEM, create(again, 1, 0));
	/* What was charged before is given back there. */
	unmap_work(&self->work);
	close(self->fd);
	EXPECT_EQ(MIB, charged(self->region));
	close(again);
	EXPECT_TRUE(falls_to(self->region, 0));
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: MIT
/*
 * DEV_QUERY and the ioctls of buffers with every argument that is wrong, and the errno
 * that Documentation/accel/xrnpe.rst promises; mappings.
 */
#include "xrnpe_uapi.h"

TEST_F(uapi, query)
{
	EXPECT_EQ(1, self->info.version >> 16);
	EXPECT_NE(0, self->info.rows);
	EXPECT_NE(0, self->info.cols);
	EXPECT_LE(1, self->info.rings);
	EXPECT_GE(4, self->info.rings);
	EXPECT_EQ(XRNPE_MAX_CMDS, self->info.max_cmds);
	EXPECT_EQ(XRNPE_MAX_REGIONS, self->info.max_regions);
	EXPECT_NE(0, self->info.max_bo_size);
	EXPECT_NE(0, self->info.job_timeout_ms);
	EXPECT_NE(0, self->info.max_queues);
	EXPECT_NE(0, self->info.max_depth);
	EXPECT_NE(0, self->info.max_failures);

	EXPECT_NE(0, self->info.opcodes & 1u << XRNPE_OP_MATMUL);
	EXPECT_NE(0, self->info.formats & 1u << XRNPE_FORMAT_P8);
	EXPECT_LE(XRNPE_MAX_K, self->info.max_k);
	EXPECT_EQ(sizeof(struct xrnpe_cmd), self->info.cmd_bytes);
	EXPECT_NE(0, self->info.bus_bytes);
	EXPECT_NE(0, self->info.sram_kib);
	EXPECT_NE(0, self->info.clock_khz);
	EXPECT_NE(0, self->info.timer_khz);
	EXPECT_NE(0, self->info.max_client_memory);
	/* Of one that is not see xrnpe_cache.c. */
	EXPECT_NE(0, self->info.flags & DRM_XRNPE_DEV_COHERENT);
}

TEST_F(uapi, query_sizes)
{
	uint8_t answer[sizeof(self->info) + 16];
	struct drm_xrnpe_dev_query query = { .size = 5 };

	EXPECT_EQ(0, call(self->fd, DRM_IOCTL_XRNPE_DEV_QUERY, &query));
	EXPECT_EQ(sizeof(self->info), query.size);

	/* Less than the answer: as much as fits. */
	memset(answer, 0xee, sizeof(answer));
	query.size = 6;
	query.pointer = (uintptr_t)answer;
	EXPECT_EQ(0, call(self->fd, DRM_IOCTL_XRNPE_DEV_QUERY, &query));
	EXPECT_EQ(sizeof(self->info), query.size);
	EXPECT_EQ(0, memcmp(answer, &self->info, 6));
	EXPECT_EQ(0xee, answer[6]);

	/* More: the rest is zero. */
	query.size = sizeof(self->info) + 8;
	EXPECT_EQ(0, call(self->fd, DRM_IOCTL_XRNPE_DEV_QUERY, &query));
	EXPECT_EQ(sizeof(self->info), query.size);
	EXPECT_EQ(0, memcmp(answer, &self->info, sizeof(self->info)));
	for (int i = 0; i < 8; i++)
		EXPECT_EQ(0, answer[sizeof(self->info) + i]);
	EXPECT_EQ(0xee, answer[sizeof(self->info) + 8]);
}

TEST_F(uapi, query_bad)
{
	struct drm_xrnpe_dev_query query = { .type = 2 };

	EXPECT_EQ(-EINVAL, call(self->fd, DRM_IOCTL_XRNPE_DEV_QUERY, &query));
	query = (struct drm_xrnpe_dev_query){ .size = sizeof(self->info), .pointer = 8 };
	EXPECT_EQ(-EFAULT, call(self->fd, DRM_IOCTL_XRNPE_DEV_QUERY, &query));
	query.size = sysconf(_SC_PAGESIZE) + 1;
	EXPECT_EQ(-EINVAL, call(self->fd, DRM_IOCTL_XRNPE_DEV_QUERY, &query));
	query.size = UINT32_MAX;
	EXPECT_EQ(-EINVAL, call(self->fd, DRM_IOCTL_XRNPE_DEV_QUERY, &query));
	/* Without a pointer it says nothing. */
	query.pointer = 0;
	EXPECT_EQ(0, call(self->fd, DRM_IOCTL_XRNPE_DEV_QUERY, &query));
	EXPECT_EQ(sizeof(self->info), query.size);
}

TEST_F(uapi, no_such_ioctl)
{
	uint8_t args[256] = {};

	EXPECT_EQ(-EINVAL, call(self->fd, DRM_IOWR(DRM_COMMAND_BASE + 0x20, args), args));
	EXPECT_EQ(-EFAULT, call(self->fd, DRM_IOCTL_XRNPE_SUBMIT, NULL));
}

TEST_F(uapi, bo_create)
{
	const uint64_t page = sysconf(_SC_PAGESIZE);

	for (uint32_t flags = 0; flags <= DRM_XRNPE_BO_CACHED; flags++) {
		struct bo bo;

		ASSERT_EQ(0, make_bo(self->fd, page + 1, flags, &bo));
		EXPECT_NE(0, bo.handle);
		EXPECT_EQ(2 * page, bo.size);
		for (uint64_t i = 0; i < bo.size; i++)
			ASSERT_EQ(0, bo.map[i]);
		memset(bo.map, 0x5a, bo.size);
		free_bo(self->fd, &bo);
	}
}

/* A buffer for the device alone: no way leads to a mapping. */
TEST_F(uapi, no_mmap)
{
	struct drm_xrnpe_bo_create create = { .size = 4096, .flags = DRM_XRNPE_BO_NO_MMAP };
	struct drm_xrnpe_bo_mmap_offset offset = {};
	struct drm_prime_handle export = { .flags = DRM_CLOEXEC | DRM_RDWR };

	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_XRNPE_BO_CREATE, &create));
	offset.handle = export.handle = create.handle;
	EXPECT_EQ(-EPERM, call(self->fd, DRM_IOCTL_XRNPE_BO_MMAP_OFFSET, &offset));
	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &export));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, export.fd, 0));
	EXPECT_EQ(EPERM, errno);
	close(export.fd);
}

TEST_F(uapi, label)
{
	char text[DRM_XRNPE_LABEL_MAX + 1];
	struct drm_xrnpe_bo_set_label good = {
		.handle = self->work.data.handle, .label = (uintptr_t)text,
	}, args = good;

	memset(text, 'x', sizeof(text));
	text[DRM_XRNPE_LABEL_MAX] = '\0';
	EXPECT_EQ(-EINVAL, call(self->fd, DRM_IOCTL_XRNPE_BO_SET_LABEL, &args));
	text[DRM_XRNPE_LABEL_MAX - 1] = '\0';
	EXPECT_EQ(0, call(self->fd, DRM_IOCTL_XRNPE_BO_SET_LABEL, &args));
	args.label = 0;
	EXPECT_EQ(0, call(self->fd, DRM_IOCTL_XRNPE_BO_SET_LABEL, &args));
	args.label = 8;
	EXPECT_EQ(-EFAULT, call(self->fd, DRM_IOCTL_XRNPE_BO_SET_LABEL, &args));
	args = good;
	args.pad = 1;
	EXPECT_EQ(-EINVAL, call(self->fd, DRM_IOCTL_XRNPE_BO_SET_LABEL, &args));
	args = good;
	args.handle = ALIEN_HANDLE;
	EXPECT_EQ(-ENOENT, call(self->fd, DRM_IOCTL_XRNPE_BO_SET_LABEL, &args));
}

TEST_F(uapi, bo_create_bad)
{
	struct drm_xrnpe_bo_create args = {};

	EXPECT_EQ(-EINVAL, call(self->fd, DRM_IOCTL_XRNPE_BO_CREATE, &args));
	args.size = self->info.max_bo_size + 1;
	EXPECT_EQ(-EINVAL, call(self->fd, DRM_IOCTL_XRNPE_BO_CREATE, &args));
	args.size = UINT64_MAX;
	EXPECT_EQ(-EINVAL, call(self->fd, DRM_IOCTL_XRNPE_BO_CREATE, &args));
	for (int bit = 2; bit < 32; bit++) {
		args = (struct drm_xrnpe_bo_create){ .size = 4096, .flags = 1u << bit };
		EXPECT_EQ(-EINVAL, call(self->fd, DRM_IOCTL_XRNPE_BO_CREATE, &args));
	}
}

/* More than a file may have: an errno, and all is well again when it is given back. */
TEST_F(uapi, bo_exhaustion)
{
	struct drm_xrnpe_bo_create args[64];
	unsigned int count = 0;
	int ret = 0;

	while (count < 64) {
		args[count] = (struct drm_xrnpe_bo_create){ .size = 32 << 20 };
		ret = call(self->fd, DRM_IOCTL_XRNPE_BO_CREATE, &args[count]);
		if (ret)
			break;
		count++;
	}
	EXPECT_EQ(-ENOMEM, ret);
	for (unsigned int i = 0; i < count; i++)
		EXPECT_EQ(0, close_handle(self->fd, args[i].handle));
}

TEST_F(uapi, mmap_offset_bad)
{
	struct drm_xrnpe_bo_mmap_offset args = { .handle = ALIEN_HANDLE };

	EXPECT_EQ(-ENOENT, call(self->fd, DRM_IOCTL_XRNPE_BO_MMAP_OFFSET, &args));
	args = (struct drm_xrnpe_bo_mmap_offset){ .handle = self->work.cmd.handle, .pad = 1 };
	EXPECT_EQ(-EINVAL, call(self->fd, DRM_IOCTL_XRNPE_BO_MMAP_OFFSET, &args));
	/* Another file's handle means nothing here. */
	args.pad = 0;
	EXPECT_EQ(-ENOENT, call(self->other, DRM_IOCTL_XRNPE_BO_MMAP_OFFSET, &args));
}

TEST_F(uapi, mmap)
{
	struct drm_xrnpe_bo_mmap_offset args = { .handle = self->work.data.handle };
	const uint64_t size = self->work.data.size;
	struct bo bo;

	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_XRNPE_BO_MMAP_OFFSET, &args));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, size, PROT_READ, MAP_PRIVATE, self->fd, args.offset));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, size + 4096, PROT_READ, MAP_SHARED, self->fd, args.offset));
	EXPECT_EQ(EINVAL, errno);
	/* Knowing the offset is not enough. */
	EXPECT_EQ(MAP_FAILED, mmap(NULL, size, PROT_READ, MAP_SHARED, self->other, args.offset));
	EXPECT_EQ(EACCES, errno);

	/* A mapping keeps the buffer. */
	ASSERT_EQ(0, make_bo(self->fd, 8192, DRM_XRNPE_BO_CACHED, &bo));
	EXPECT_EQ(0, close_handle(self->fd, bo.handle));
	memset(bo.map, 0xa5, bo.size);
	EXPECT_EQ(0xa5, bo.map[8191]);
	munmap(bo.map, 4096);
	EXPECT_EQ(0xa5, bo.map[8191]);
	munmap(bo.map + 4096, 4096);
}

TEST_F(uapi, sync_bad)
{
	const struct drm_xrnpe_bo_sync good = {
		.handle = self->work.data.handle, .size = self->work.data.size,
	};
	struct drm_xrnpe_bo_sync args = good;

	EXPECT_EQ(0, call(self->fd, DRM_IOCTL_XRNPE_BO_SYNC, &args));
	args.op = DRM_XRNPE_BO_SYNC_FOR_DEVICE;
	EXPECT_EQ(0, call(self->fd, DRM_IOCTL_XRNPE_BO_SYNC, &args));
	args.op = 2;
	EXPECT_EQ(-EINVAL, call(self->fd, DRM_IOCTL_XRNPE_BO_SYNC, &args));
	args = good;
	args.handle = ALIEN_HANDLE;
	EXPECT_EQ(-ENOENT, call(self->fd, DRM_IOCTL_XRNPE_BO_SYNC, &args));
	args = good;
	args.size = 0;
	EXPECT_EQ(-EINVAL, call(self->fd, DRM_IOCTL_XRNPE_BO_SYNC, &args));
	args.size = good.size + 1;
	EXPECT_EQ(-EINVAL, call(self->fd, DRM_IOCTL_XRNPE_BO_SYNC, &args));
	args = good;
	args.offset = 1;
	EXPECT_EQ(-EINVAL, call(self->fd, DRM_IOCTL_XRNPE_BO_SYNC, &args));
	/* offset + size wraps round to something small */
	args.offset = UINT64_MAX;
	args.size = 2;
	EXPECT_EQ(-EINVAL, call(self->fd, DRM_IOCTL_XRNPE_BO_SYNC, &args));
	args = good;
	args.offset = good.size - 1;
	args.size = 1;
	EXPECT_EQ(0, call(self->fd, DRM_IOCTL_XRNPE_BO_SYNC, &args));
}

TEST_HARNESS_MAIN

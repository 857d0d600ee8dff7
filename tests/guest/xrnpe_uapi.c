// SPDX-License-Identifier: MIT
/*
 * Every ioctl with every argument that is wrong, and the errno that
 * Documentation/uapi.rst promises; buffers, mappings and sharing.
 */
#include "xrnpe_test.h"

#include <stddef.h>

FIXTURE(uapi)
{
	int fd;
	int other;
	struct work work;
	struct drm_xrnpe_dev_info info;
};

FIXTURE_SETUP(uapi)
{
	struct drm_xrnpe_dev_query query = {
		.size = sizeof(self->info), .pointer = (uintptr_t)&self->info,
	};

	self->fd = open_npu();
	ASSERT_GE(self->fd, 0) TH_LOG("no xrnpe node");
	self->other = open_npu();
	ASSERT_GE(self->other, 0);
	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_XRNPE_DEV_QUERY, &query));
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
	EXPECT_EQ(0, self->info.pad);
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

TEST_F(uapi, submit_bad)
{
	struct drm_xrnpe_region region;
	const struct drm_xrnpe_job job = job_args(&self->work, &region);
	const struct drm_xrnpe_submit good = {
		.queue = queue_of(self->fd, 0), .jobs = { sizeof(job), 1, (uintptr_t)&job },
	};
	const uint32_t shallow = make_queue(self->fd, DRM_XRNPE_PRIORITY_MEDIUM, 3);
	struct drm_xrnpe_job many[DRM_XRNPE_MAX_JOBS + 1];
	struct drm_xrnpe_submit args;

	for (int i = 0; i <= DRM_XRNPE_MAX_JOBS; i++)
		many[i] = job;
#define BAD(error, ...) do { \
	args = good; \
	__VA_ARGS__; \
	EXPECT_EQ(-(error), call(self->fd, DRM_IOCTL_XRNPE_SUBMIT, &args)) \
		TH_LOG("%s", #__VA_ARGS__); \
} while (0)
	BAD(ENOENT, args.queue = 0);
	BAD(ENOENT, args.queue = 60);
	BAD(ENOENT, args.queue = UINT32_MAX);
	for (int bit = 1; bit < 32; bit++)
		BAD(EINVAL, args.flags = 1u << bit);
	BAD(EINVAL, args.jobs.count = 0);
	BAD(EINVAL, args.jobs.count = DRM_XRNPE_MAX_JOBS + 1, args.jobs.pointer = (uintptr_t)many);
	BAD(EINVAL, args.jobs.count = 4, args.jobs.pointer = (uintptr_t)many, args.queue = shallow);
	BAD(EINVAL, args.jobs.count = UINT32_MAX);
	BAD(EINVAL, args.jobs.stride = 0);
	BAD(EINVAL, args.jobs.stride = sizeof(job) - 8);
	BAD(EINVAL, args.jobs.stride = UINT32_MAX);
	BAD(EFAULT, args.jobs.pointer = 0);
	BAD(EFAULT, args.jobs.pointer = UINT64_MAX - 7);
#undef BAD
	/* The last of several is wrong: none is submitted. */
	many[DRM_XRNPE_MAX_JOBS - 1].cmd_count = 0;
	EXPECT_EQ(-EINVAL, submit_jobs(self->fd, good.queue, many, DRM_XRNPE_MAX_JOBS, 0));
	EXPECT_EQ(1, job_number(submit(self->fd, 0, &self->work)));
}

TEST_F(uapi, submit_bad_job)
{
	const uint64_t cmd_size = self->work.cmd.size;
	struct drm_xrnpe_region region;
	const struct drm_xrnpe_job good = job_args(&self->work, &region);
	struct drm_xrnpe_job args;

#define BAD(error, ...) do { \
	args = good; \
	__VA_ARGS__; \
	EXPECT_EQ(-(error), submit_job(self->fd, 0, &args)) \
		TH_LOG("%s", #__VA_ARGS__); \
} while (0)
	for (int bit = 1; bit < 32; bit++)
		BAD(EINVAL, args.flags = 1u << bit);
	BAD(EINVAL, args.cmd_stride = 0);
	BAD(EINVAL, args.cmd_stride = sizeof(struct xrnpe_cmd) - XRNPE_CMD_ALIGN);
	BAD(EINVAL, args.cmd_stride = sizeof(struct xrnpe_cmd) + XRNPE_CMD_ALIGN / 2);
	BAD(EINVAL, args.cmd_stride = XRNPE_CMD_STRIDE_MAX + XRNPE_CMD_ALIGN);
	BAD(EINVAL, args.cmd_stride = 1u << 31);
	BAD(ENOENT, args.cmd_handle = ALIEN_HANDLE);
	BAD(ENOENT, args.cmd_handle = 0);
	BAD(EINVAL, args.cmd_count = 0);
	BAD(EINVAL, args.cmd_count = XRNPE_MAX_CMDS + 1);
	BAD(EINVAL, args.cmd_count = UINT32_MAX);
	BAD(EINVAL, args.cmd_count = cmd_size / sizeof(struct xrnpe_cmd) + 1);
	BAD(EINVAL, args.cmd_offset = XRNPE_CMD_ALIGN / 2);
	BAD(EINVAL, args.cmd_offset = cmd_size);
	BAD(EINVAL, args.cmd_offset = cmd_size - sizeof(struct xrnpe_cmd) + XRNPE_CMD_ALIGN);
	BAD(EINVAL, args.cmd_offset = -(uint64_t)XRNPE_CMD_ALIGN);
	BAD(EINVAL, args.cmd_stride = 1024, args.cmd_count = cmd_size / 1024 + 1);
	BAD(EINVAL, args.cmd_stride = 1024, args.cmd_count = cmd_size / 1024,
	    args.cmd_offset = 1024 - sizeof(struct xrnpe_cmd) + XRNPE_CMD_ALIGN);
	BAD(EINVAL, args.regions.count = XRNPE_MAX_REGIONS + 1);
	BAD(EINVAL, args.regions.count = UINT32_MAX);
	BAD(EINVAL, args.regions.stride = sizeof(region) - 8);
	BAD(EINVAL, args.regions.stride = 0);
	BAD(EINVAL, args.regions.stride = UINT32_MAX);
	BAD(EFAULT, args.regions.pointer = 0);
	BAD(EFAULT, args.regions.pointer = UINT64_MAX - 7);
	BAD(EINVAL, args.syncs.count = DRM_XRNPE_MAX_SYNCS + 1);
	BAD(EINVAL, args.syncs.count = UINT32_MAX);
	BAD(EINVAL, args.syncs.count = 1); /* of stride 0 */
	BAD(EFAULT, args.syncs = (struct drm_xrnpe_array){ 16, 1, 0 });
#undef BAD
}

TEST_F(uapi, submit_bad_region)
{
	const uint64_t size = self->work.data.size;
	struct drm_xrnpe_region region;
	struct drm_xrnpe_job args = job_args(&self->work, &region);
	const struct drm_xrnpe_region good = region;

#define BAD(error, ...) do { \
	region = good; \
	__VA_ARGS__; \
	EXPECT_EQ(-(error), submit_job(self->fd, 0, &args)) \
		TH_LOG("%s", #__VA_ARGS__); \
} while (0)
	BAD(ENOENT, region.handle = ALIEN_HANDLE);
	BAD(ENOENT, region.handle = 0);
	BAD(EINVAL, region.flags = 0);
	BAD(EINVAL, region.flags = 4);
	BAD(EINVAL, region.flags |= 1u << 31);
	BAD(EINVAL, region.offset = 32);
	BAD(EINVAL, region.size = 0);
	BAD(EINVAL, region.size = size + 1);
	BAD(EINVAL, region.size = UINT64_MAX);
	BAD(EINVAL, region.offset = 64);
	BAD(EINVAL, region.offset = size);
	BAD(EINVAL, region.offset = size, region.size = 1);
	BAD(EINVAL, region.offset = UINT64_MAX - 63, region.size = 128);
#undef BAD
}

TEST_F(uapi, submit_bad_sync)
{
	struct drm_xrnpe_region region;
	struct drm_xrnpe_job args = job_args(&self->work, &region);
	uint32_t syncobj = make_syncobj(self->fd);
	struct drm_xrnpe_sync sync;

	ASSERT_NE(0, syncobj);
	args.syncs = (struct drm_xrnpe_array){ sizeof(sync), 1, (uintptr_t)&sync };
#define BAD(error, ...) do { \
	sync = (struct drm_xrnpe_sync){ syncobj, DRM_XRNPE_SYNC_SIGNAL, 0 }; \
	__VA_ARGS__; \
	EXPECT_EQ(-(error), submit_job(self->fd, 0, &args)) \
		TH_LOG("%s", #__VA_ARGS__); \
} while (0)
	BAD(ENOENT, sync.handle = ALIEN_HANDLE);
	BAD(ENOENT, sync.handle = ALIEN_HANDLE, sync.flags = 0);
	BAD(EINVAL, sync.flags = 4);
	BAD(EINVAL, sync.flags = 1u << 31);
	BAD(EINVAL, sync.point = 1); /* of a binary one */
	BAD(EINVAL, sync.flags |= DRM_XRNPE_SYNC_TIMELINE); /* without a point */
	BAD(EINVAL, sync.flags = 0); /* waits, and has no fence */
	BAD(EINVAL, sync.flags = DRM_XRNPE_SYNC_TIMELINE, sync.point = 7);
#undef BAD
	/* Of several syncs the last is wrong: those before it are left alone. */
	struct drm_xrnpe_sync syncs[2] = {
		{ syncobj, DRM_XRNPE_SYNC_SIGNAL, 0 }, { ALIEN_HANDLE, DRM_XRNPE_SYNC_SIGNAL, 0 },
	};

	args.syncs = (struct drm_xrnpe_array){ sizeof(sync), 2, (uintptr_t)syncs };
	EXPECT_EQ(-ENOENT, submit_job(self->fd, 0, &args));
	EXPECT_EQ(-EINVAL, wait_syncobj(self->fd, syncobj, 0, 0));
}

/* A program newer than the kernel: its structures are longer. */
TEST_F(uapi, submit_longer)
{
	struct { struct drm_xrnpe_region region; uint64_t news; } regions[1] = {};
	struct { struct drm_xrnpe_job job; uint64_t news; } jobs[1] = {};
	struct { struct drm_xrnpe_submit submit; uint64_t news; } args = {
		.submit = {
			.queue = queue_of(self->fd, 0),
			.jobs = { sizeof(jobs[0]), 1, (uintptr_t)jobs },
		},
		.news = 1,
	};
	const unsigned long longer = DRM_IOWR(DRM_COMMAND_BASE + DRM_XRNPE_SUBMIT, args);

	jobs[0].job = job_args(&self->work, &regions[0].region);
	jobs[0].job.regions.stride = sizeof(regions[0]);
	clear_result(&self->work);
	/* What is new of the ioctl's own is not looked at. */
	EXPECT_EQ(0, call(self->fd, longer, &args));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE,
		  state_of(self->fd, job_name(args.submit.queue, args.submit.first_job)));
	EXPECT_TRUE(result_is_right(&self->work));

	regions[0].news = 1;
	EXPECT_EQ(-E2BIG, call(self->fd, longer, &args));
	regions[0].news = 0;
	jobs[0].news = 1;
	EXPECT_EQ(-E2BIG, call(self->fd, longer, &args));
}

TEST_F(uapi, wait_bad)
{
	const uint32_t queue = make_queue(self->fd, DRM_XRNPE_PRIORITY_MEDIUM, 2);
	struct drm_xrnpe_region region;
	const struct drm_xrnpe_job job = job_args(&self->work, &region);
	struct drm_xrnpe_job_wait end;

	EXPECT_EQ(-ENOENT, wait_job(self->fd, job_name(0, 1), 0, &end));
	EXPECT_EQ(-ENOENT, wait_job(self->fd, job_name(queue, 0), 0, &end));
	EXPECT_EQ(-ENOENT, wait_job(self->fd, job_name(queue, 1), in_ms(1000), &end));
	end = (struct drm_xrnpe_job_wait){ .queue = queue, .job = UINT64_MAX };
	EXPECT_EQ(-ENOENT, call(self->fd, DRM_IOCTL_XRNPE_JOB_WAIT, &end));
	EXPECT_EQ(1, job_number(submit_jobs(self->fd, queue, &job, 1, 0)));
	EXPECT_EQ(-ENOENT, wait_job(self->fd, job_name(queue, 2), 0, &end));
	EXPECT_EQ(-ENOENT, wait_job(self->other, job_name(queue, 1), 0, &end));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, job_name(queue, 1)));
	/* It has ended, so a time in the past will do. */
	EXPECT_EQ(0, wait_job(self->fd, job_name(queue, 1), INT64_MIN, &end));
	EXPECT_EQ(0, wait_job(self->fd, job_name(queue, 1), 0, &end));

#define BAD(error, ...) do { \
	end = (struct drm_xrnpe_job_wait){ .queue = queue, .job = 1 }; \
	__VA_ARGS__; \
	EXPECT_EQ(-(error), call(self->fd, DRM_IOCTL_XRNPE_JOB_WAIT, &end)) \
		TH_LOG("%s", #__VA_ARGS__); \
} while (0)
	BAD(EINVAL, end.flags = 1);
	BAD(EINVAL, end.flags = 1u << 31);
	BAD(EFAULT, end.record = 64, end.record_size = 64);
	BAD(EINVAL, end.record = 64, end.record_size = sysconf(_SC_PAGESIZE) + 1);
	/* Two jobs later it is forgotten, which is told apart. */
	for (int i = 2; i <= 3; i++)
		EXPECT_EQ(i, job_number(submit_jobs(self->fd, queue, &job, 1, 0)));
	BAD(ESTALE, );
	BAD(ENOENT, end.job = 4);
	EXPECT_EQ(0, destroy_queue(self->fd, queue));
	BAD(ENOENT, end.job = 3);
#undef BAD
}

/* A record may be asked for in part, or by a program that knows a longer one. */
TEST_F(uapi, record_sizes)
{
	uint8_t whole[sizeof(struct xrnpe_job_record) + 16], part[16];
	struct drm_xrnpe_job_wait end = {
		.queue = queue_of(self->fd, 0), .job = 1, .timeout_ns = in_ms(60000),
		.record = (uintptr_t)whole, .record_size = sizeof(whole) - 8,
	};

	ASSERT_EQ(1, job_number(submit(self->fd, 0, &self->work)));
	memset(whole, 0xee, sizeof(whole));
	memset(part, 0xee, sizeof(part));
	EXPECT_EQ(0, call(self->fd, DRM_IOCTL_XRNPE_JOB_WAIT, &end));
	for (int i = 0; i < 8; i++) {
		EXPECT_EQ(0, whole[sizeof(whole) - 16 + i]);
		EXPECT_EQ(0xee, whole[sizeof(whole) - 8 + i]);
	}
	end.record = (uintptr_t)part;
	end.record_size = 8;
	EXPECT_EQ(0, call(self->fd, DRM_IOCTL_XRNPE_JOB_WAIT, &end));
	EXPECT_EQ(0, memcmp(part, whole, 8));
	EXPECT_EQ(0xee, part[8]);
	end.record_size = 0;
	EXPECT_EQ(0, call(self->fd, DRM_IOCTL_XRNPE_JOB_WAIT, &end));
}

TEST_F(uapi, prime)
{
	struct drm_prime_handle export = {
		.handle = self->work.data.handle, .flags = DRM_CLOEXEC | DRM_RDWR,
	};
	struct drm_prime_handle import = {};
	struct work shared = self->work;
	struct bo cached;

	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &export));
	import.fd = export.fd;
	ASSERT_EQ(0, call(self->other, DRM_IOCTL_PRIME_FD_TO_HANDLE, &import));

	/* The other file computes on it. */
	ASSERT_EQ(0, make_bo(self->other, self->work.cmd.size, 0, &shared.cmd));
	set_cmd(&shared, 0, matmul_cmd());
	shared.data.handle = import.handle;
	clear_result(&self->work);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->other, 0, &shared));
	EXPECT_TRUE(result_is_right(&self->work));

	/* The dma-buf maps, and shows the same memory. */
	uint8_t *map = mmap(NULL, shared.data.size, PROT_READ, MAP_SHARED, export.fd, 0);

	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, memcmp(map, self->work.data.map, 4096));
	munmap(map, shared.data.size);
	close(export.fd);

	ASSERT_EQ(0, make_bo(self->fd, 4096, DRM_XRNPE_BO_CACHED, &cached));
	export.handle = cached.handle;
	EXPECT_EQ(-EINVAL, call(self->fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &export));
}

TEST_F(uapi, import_contiguous)
{
	struct work work = self->work;
	int dmabuf = contiguous_alloc(work.data.size, O_RDWR);
	int64_t handle;

	if (dmabuf == -ENOENT)
		SKIP(return, "this kernel has no heap of contiguous memory");
	ASSERT_LE(0, dmabuf);
	handle = import(self->fd, dmabuf);
	ASSERT_LT(0, handle);

	/* Mapped through us, and through the exporter. */
	work.data.handle = handle;
	work.data.map = map_bo(self->fd, handle, work.data.size);
	ASSERT_NE(NULL, work.data.map);
	memcpy(work.data.map, self->work.data.map, work.data.size);
	clear_result(&work);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &work));
	EXPECT_TRUE(result_is_right(&work));
	close(dmabuf);
	/* The handle keeps the memory. */
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &work));
	free_bo(self->fd, &work.data);
}

/* A part of a buffer, through its dma-buf. */
TEST_F(uapi, prime_mmap_in_part)
{
	const int page = sysconf(_SC_PAGESIZE);

	for (int first = 0; first < 8; first++) {
		struct drm_prime_handle export = { .flags = DRM_CLOEXEC | DRM_RDWR };
		struct bo bo;
		uint8_t *map;

		ASSERT_EQ(0, make_bo(self->fd, 8 * page, 0, &bo));
		export.handle = bo.handle;
		ASSERT_EQ(0, call(self->fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &export));
		bo.map[first * page] = 0x5a;
		for (int pages = 1; first + pages <= 8; pages++) {
			map = mmap(NULL, pages * page, PROT_READ, MAP_SHARED, export.fd,
				   first * page);
			ASSERT_NE(MAP_FAILED, map);
			EXPECT_EQ(0x5a, map[0]);
			munmap(map, pages * page);
		}
		EXPECT_EQ(MAP_FAILED, mmap(NULL, (9 - first) * page, PROT_READ, MAP_SHARED,
					   export.fd, first * page));
		close(export.fd);
		free_bo(self->fd, &bo);
	}
}

/* What may be read through a handle may not be written, by no job and no mapping. */
static void expect_read_only(struct __test_metadata *_metadata, FIXTURE_DATA(uapi) *self,
			     int fd, uint32_t handle)
{
	struct drm_xrnpe_bo_mmap_offset offset = { .handle = handle };
	struct drm_xrnpe_region regions[2];
	struct xrnpe_cmd cmd = matmul_cmd();
	struct drm_xrnpe_job args;
	struct work work;
	uint8_t *map;

	ASSERT_EQ(0, make_work(fd, &work));
	cmd.operand[XRNPE_OPERAND_IFM].region = 1;
	set_cmd(&work, 0, cmd);
	args = job_args(&work, regions);
	args.regions.count = 2;
	regions[1] = regions[0];
	regions[1].handle = handle;
	for (uint32_t flags = DRM_XRNPE_REGION_WRITE;
	     flags <= (DRM_XRNPE_REGION_READ | DRM_XRNPE_REGION_WRITE); flags++) {
		regions[1].flags = flags;
		EXPECT_EQ(-EACCES, submit_job(fd, 0, &args));
	}
	regions[1].flags = DRM_XRNPE_REGION_READ;
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(fd, submit_job(fd, 0, &args)));

	ASSERT_EQ(0, call(fd, DRM_IOCTL_XRNPE_BO_MMAP_OFFSET, &offset));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
				   offset.offset));
	EXPECT_EQ(EACCES, errno);
	map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, offset.offset);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(-1, mprotect(map, 4096, PROT_READ | PROT_WRITE));
	munmap(map, 4096);
	free_work(fd, &work);
}

TEST_F(uapi, read_only_import)
{
	int dmabuf = contiguous_alloc(self->work.data.size, O_RDONLY);
	int64_t handle;

	if (dmabuf == -ENOENT)
		SKIP(return, "this kernel has no heap of contiguous memory");
	ASSERT_LE(0, dmabuf);
	handle = import(self->fd, dmabuf);
	ASSERT_LT(0, handle);
	close(dmabuf);
	expect_read_only(_metadata, self, self->fd, handle);
}

/* Of our own, too: who got a buffer to read only has no way to write it. */
TEST_F(uapi, read_only_export)
{
	struct drm_prime_handle export = {
		.handle = self->work.data.handle, .flags = DRM_CLOEXEC,
	};
	int64_t handle;

	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &export));
	handle = import(self->other, export.fd);
	ASSERT_LT(0, handle);
	close(export.fd);
	expect_read_only(_metadata, self, self->other, handle);
	/* Its owner is not bound by that. */
	clear_result(&self->work);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &self->work));
}

/* Its cache is the exporter's business. */
TEST_F(uapi, sync_of_import)
{
	struct drm_xrnpe_bo_sync args = { .size = 4096 };
	int dmabuf = contiguous_alloc(4096, O_RDWR);

	if (dmabuf == -ENOENT)
		SKIP(return, "this kernel has no heap of contiguous memory");
	args.handle = import(self->fd, dmabuf);
	close(dmabuf);
	EXPECT_EQ(-EINVAL, call(self->fd, DRM_IOCTL_XRNPE_BO_SYNC, &args));
}

/*
 * The device needs it in one piece. The system heap works in pieces of 1 MiB at
 * most, and finds no two neighbours after every other one was taken.
 */
TEST_F(uapi, import_scattered)
{
	int pieces[64], dmabuf;

	for (unsigned int i = 0; i < 64; i++) {
		pieces[i] = heap_alloc("system", 1 << 20, O_RDWR);
		if (pieces[i] == -ENOENT)
			SKIP(return, "this kernel has no system heap");
		ASSERT_LE(0, pieces[i]);
	}
	for (unsigned int i = 0; i < 64; i += 2)
		close(pieces[i]);
	dmabuf = heap_alloc("system", 16 << 20, O_RDWR);
	ASSERT_LE(0, dmabuf);
	EXPECT_EQ(-EINVAL, import(self->fd, dmabuf));
}

TEST_HARNESS_MAIN

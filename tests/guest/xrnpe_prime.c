// SPDX-License-Identifier: MIT
/*
 * Buffers that are shared: with other files, with other devices, and read-only.
 */
#include "xrnpe_sync.h"
#include "xrnpe_uapi.h"

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

/* Its handle keeps the memory. */
TEST_F(uapi, import_contiguous)
{
	struct work work = self->work;
	const int64_t handle = import_contiguous(self->fd, work.data.size, O_RDWR);

	if (handle == -ENOENT)
		SKIP(return, "this kernel has no heap of contiguous memory");
	ASSERT_LT(0, handle);

	/* Mapped through us, and through the exporter. */
	work.data.handle = handle;
	work.data.map = map_bo(self->fd, handle, work.data.size);
	ASSERT_NE(NULL, work.data.map);
	memcpy(work.data.map, self->work.data.map, work.data.size);
	clear_result(&work);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &work));
	EXPECT_TRUE(result_is_right(&work));
	free_bo(self->fd, &work.data);
}

/* Nothing but a job has it, which lets go of it when it has ended, or soon after. */
TEST_F(uapi, import_that_only_a_job_has)
{
	const int dmabuf = contiguous_alloc(self->work.data.size, O_RDWR);
	const int64_t users = fdinfo(dmabuf, "count:"), end = in_ms(60000);
	struct work work = self->work;
	struct drm_xrnpe_sync sync;
	struct gate gate;
	int64_t handle, job;

	if (dmabuf == -ENOENT)
		SKIP(return, "this kernel has no heap of contiguous memory");
	ASSERT_LE(0, dmabuf);
	ASSERT_EQ(0, make_gate(self->fd, &gate));
	sync = wait_gate(&gate);
	handle = import(self->fd, dmabuf);
	ASSERT_LT(0, handle);
	work.data.handle = handle;
	job = submit_syncs(self->fd, 1, &work, &sync, 1);
	ASSERT_EQ(0, close_handle(self->fd, handle));
	EXPECT_LT(users, fdinfo(dmabuf, "count:"));
	open_gate(&gate);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, job));
	while (fdinfo(dmabuf, "count:") > users && now_ns() < end)
		sleep_ms(1);
	EXPECT_EQ(users, fdinfo(dmabuf, "count:"));
	close(dmabuf);
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
	const int64_t handle = import_contiguous(self->fd, self->work.data.size, O_RDONLY);

	if (handle == -ENOENT)
		SKIP(return, "this kernel has no heap of contiguous memory");
	ASSERT_LT(0, handle);
	expect_read_only(_metadata, self, self->fd, handle);
}

/* Of our own, too: who got a buffer to read only has no way to write it. */
TEST_F(uapi, read_only_export)
{
	struct drm_prime_handle export = {
		.handle = self->work.data.handle, .flags = DRM_CLOEXEC,
	};
	int64_t handle;
	uint8_t *map;

	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &export));
	/* It may be read as memory, too. */
	map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, export.fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, memcmp(map, self->work.data.map, 4096));
	EXPECT_EQ(-1, mprotect(map, 4096, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	munmap(map, 4096);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, export.fd, 0));
	EXPECT_EQ(EINVAL, errno);
	handle = import(self->other, export.fd);
	ASSERT_LT(0, handle);
	close(export.fd);
	expect_read_only(_metadata, self, self->other, handle);
	/* Its owner is not bound by that. */
	clear_result(&self->work);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &self->work));
}

/* The node that authenticates, which kernels without accel nodes make; or -1. */
static int open_card(void)
{
	for (int i = 0; i < 8; i++) {
		char path[64], name[16] = "";
		struct drm_version version = { .name = name, .name_len = sizeof(name) - 1 };
		int fd;

		snprintf(path, sizeof(path), "/dev/dri/card%d", i);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd >= 0 && !call(fd, DRM_IOCTL_VERSION, &version) && !strcmp(name, "xrnpe")) {
			memset(queues[fd], 0, sizeof(queues[fd]));
			return fd;
		}
		close(fd);
	}
	return -1;
}

/*
 * A job that has a buffer twice, once to write and once as the read-only import of itself,
 * while others use it, too. Kernels with CONFIG_DEBUG_MUTEXES always have room for its fences.
 */
TEST_F(uapi, both_ways_in_one_job)
{
	const int fd = open_card();
	struct drm_gem_open again;
	struct drm_gem_flink flink;
	struct drm_prime_handle export = { .flags = DRM_CLOEXEC };
	struct drm_xrnpe_region regions[3];
	struct drm_xrnpe_job job;
	struct work work, endless;
	int64_t alias;

	if (fd < 0)
		SKIP(return, "this kernel has no node that opens buffers by name");
	ASSERT_EQ(0, make_work(fd, &work));
	ASSERT_EQ(0, make_endless(fd, &endless));
	flink.handle = export.handle = work.data.handle;
	ASSERT_EQ(0, call(fd, DRM_IOCTL_GEM_FLINK, &flink));
	again.name = flink.name;
	ASSERT_EQ(0, call(fd, DRM_IOCTL_GEM_OPEN, &again));
	ASSERT_EQ(0, call(fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &export));
	ASSERT_EQ(0, close_handle(fd, work.data.handle));
	work.data.handle = again.handle;
	alias = import(fd, export.fd);
	ASSERT_LT(0, alias);
	ASSERT_NE(alias, again.handle);

	/* Its list of fences is of any length. */
	for (int others = 0; others < 6; others++) {
		const int64_t queue = make_queue(fd, DRM_XRNPE_PRIORITY_LOW, 4);

		job = job_args(&endless, &regions[0]);
		regions[1] = (struct drm_xrnpe_region){
			.handle = again.handle, .flags = DRM_XRNPE_REGION_READ, .size = 4096,
		};
		job.regions.count = 2;
		job.flags = DRM_XRNPE_JOB_NO_IMPLICIT_SYNC;
		ASSERT_LT(0, submit_jobs(fd, queue, &job, 1, 0));

		job = job_args(&work, &regions[0]);
		regions[1] = (struct drm_xrnpe_region){
			.handle = alias, .flags = DRM_XRNPE_REGION_READ, .size = 4096,
		};
		job.regions.count = 2;
		ASSERT_LT(0, submit_jobs(fd, make_queue(fd, DRM_XRNPE_PRIORITY_MEDIUM, 4), &job, 1, 0));
	}
	close(fd);
}

/* Its cache is the exporter's business. */
TEST_F(uapi, sync_of_import)
{
	const int64_t handle = import_contiguous(self->fd, 4096, O_RDWR);
	struct drm_xrnpe_bo_sync args = { .handle = handle, .size = 4096 };

	if (handle == -ENOENT)
		SKIP(return, "this kernel has no heap of contiguous memory");
	ASSERT_LT(0, handle);
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

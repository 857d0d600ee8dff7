// SPDX-License-Identifier: MIT
/*
 * SUBMIT and JOB_WAIT with every argument that is wrong, and the errno that
 * Documentation/accel/xrnpe.rst promises.
 */
#include "xrnpe_sync.h"
#include "xrnpe_uapi.h"

#include <stddef.h>

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

TEST_HARNESS_MAIN

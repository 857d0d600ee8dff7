// SPDX-License-Identifier: MIT
/*
 * Memory that a program without rights has of the driver is charged to its memory cgroup.
 * Needs root, and cgroups of version 2.
 *
 * Only buffers of a page are looked at: larger ones are taken from contiguous memory (CMA)
 * while there is some, which no cgroup is charged for.
 */
#include "xrnpe_group.h"
#include "xrnpe_nobody.h"
#include "xrnpe_sync.h"
#include "xrnpe_work.h"

#include <sys/resource.h>
#include <sys/wait.h>

#define MIB (INT64_C(1) << 20)
#define PAGE 4096
/* What the kernel's figures may be off by: each CPU keeps a batch of charges back. */
#define SLACK (2 * MIB)

FIXTURE(memcg)
{
	int fd;			/* of a program outside of the group */
	struct work work;
};

FIXTURE_SETUP(memcg)
{
	if (enable_controller("+memory"))
		SKIP(return, "this kernel has no memory cgroup");
	ASSERT_EQ(0, mkdir(GROUP, 0755));
	self->fd = open_npu();
	ASSERT_LE(0, self->fd) TH_LOG("no xrnpe node");
	ASSERT_EQ(0, fchmod(self->fd, 0666));
	ASSERT_EQ(0, make_work(self->fd, &self->work));
}

/* By a process that has not joined the group, which is then empty. */
FIXTURE_TEARDOWN_PARENT(memcg)
{
	EXPECT_EQ(0, rmdir(GROUP));
}

/* Become a program without rights, and of the group. */
static int become_member(void)
{
	int ret = join_group();

	return ret ? ret : become_nobody();
}

/* What the group is charged for: all of it, or the kernel's small objects. */
static int64_t charged(void)
{
	return atoll(read_file(GROUP "/memory.current"));
}

static int64_t charged_for_slab(void)
{
	const char *found = strstr(read_file(GROUP "/memory.stat"), "\nslab ");

	return found ? atoll(found + strlen("\nslab ")) : -1;
}

/* Whether it comes down to @bytes within a minute: much is freed some time later. */
static bool falls_to(int64_t (*what)(void), int64_t bytes)
{
	const int64_t end = in_ms(60000);
	bool fallen;

	while (!(fallen = what() <= bytes) && now_ns() < end)
		sleep_ms(10);
	return fallen;
}

/* Create buffers of a page until there are @bytes, or an error. */
static int take_pages(int fd, uint32_t flags, int64_t bytes)
{
	int ret = 0;

	for (; !ret && bytes > 0; bytes -= PAGE) {
		struct drm_xrnpe_bo_create args = { .size = PAGE, .flags = flags };

		ret = call(fd, DRM_IOCTL_XRNPE_BO_CREATE, &args);
	}
	return ret;
}

/* ---- what is charged ---- */

static void check_buffers(struct __test_metadata *_metadata, uint32_t flags)
{
	const int64_t size = 32 * MIB, all = charged(), slab = charged_for_slab();
	const int fd = open_npu();

	ASSERT_LE(0, fd);
	ASSERT_LE(0, slab);
	ASSERT_EQ(0, take_pages(fd, flags, size));
	EXPECT_LE(all + size - SLACK, charged());
	/* What the driver knows of each is no less than what the kernel does. */
	EXPECT_LE(slab + size / PAGE * 256, charged_for_slab());
	TH_LOG("%jd bytes a buffer, %jd of them objects",
	       (intmax_t)(charged() - all) / (size / PAGE),
	       (intmax_t)(charged_for_slab() - slab) / (size / PAGE));
	close(fd);
	EXPECT_TRUE(falls_to(charged, all + SLACK));
	EXPECT_TRUE(falls_to(charged_for_slab, slab + SLACK));
}

TEST_F(memcg, buffers)
{
	ASSERT_EQ(0, become_member());
	check_buffers(_metadata, 0);
	check_buffers(_metadata, DRM_XRNPE_BO_CACHED);
}

/* What one has labels for. */
TEST_F(memcg, labels)
{
	enum { BUFFERS = 8192 };
	char text[DRM_XRNPE_LABEL_MAX] = "";
	struct drm_xrnpe_bo_set_label label = { .label = (uintptr_t)text };
	int64_t slab;

	memset(text, 'x', sizeof(text) - 1);
	ASSERT_EQ(0, become_member());
	ASSERT_EQ(0, take_pages(self->fd, 0, BUFFERS * PAGE));
	slab = charged_for_slab();
	ASSERT_LE(0, slab);
	/* Handles count on from those of the work. */
	label.handle = self->work.data.handle;
	for (int i = 0; i < BUFFERS; i++) {
		label.handle++;
		ASSERT_EQ(0, call(self->fd, DRM_IOCTL_XRNPE_BO_SET_LABEL, &label));
	}
	EXPECT_LE(slab + BUFFERS * sizeof(text), charged_for_slab());
}

/* What the group is charged for @count open files of @path. */
static int64_t charged_for_files(const char *path, int count)
{
	const int64_t slab = charged_for_slab();
	int64_t more;
	int last = -1;

	for (int i = 0; i < count; i++) {
		last = open(path, O_RDWR | O_CLOEXEC);
		if (last < 0)
			return -1;
	}
	more = charged_for_slab() - slab;
	for (int i = 0; i < count; i++)
		close(last - i);
	return falls_to(charged_for_slab, slab + SLACK) ? more : -1;
}

/* An open file of the device costs more than one of nothing. */
TEST_F(memcg, files)
{
	enum { MANY = 8192 };
	const struct rlimit limit = { 2 * MANY, 2 * MANY };
	int64_t nothing, npu;
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->fd);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	ASSERT_EQ(0, become_member());
	nothing = charged_for_files("/dev/null", MANY);
	npu = charged_for_files(path, MANY);
	ASSERT_LT(0, nothing);
	/* By what the driver knows of it. */
	EXPECT_LE(nothing + MANY * 128, npu);
	TH_LOG("%jd bytes a file", (intmax_t)(npu - nothing) / MANY);
}

/*
 * Jobs that wait, for @fences fences each, are charged to who has submitted them: at least
 * @least bytes a job.
 */
static void check_jobs(struct __test_metadata *_metadata, unsigned int fences, int64_t least)
{
	enum { QUEUES_FULL = 32, DEPTH = 256 };
	const int jobs = QUEUES_FULL * DEPTH;
	struct drm_xrnpe_job batch[DRM_XRNPE_MAX_JOBS];
	struct drm_xrnpe_sync syncs[DRM_XRNPE_MAX_SYNCS];
	struct drm_xrnpe_region region;
	const int fd = open_npu();
	struct work work;
	struct gate gate;
	int64_t slab;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, make_gate(fd, &gate));
	ASSERT_EQ(0, make_work(fd, &work));
	ASSERT_EQ(0, become_member());
	slab = charged_for_slab();
	ASSERT_LE(0, slab);

	for (unsigned int i = 0; i < fences; i++)
		syncs[i] = wait_gate(&gate);
	for (int i = 0; i < DRM_XRNPE_MAX_JOBS; i++) {
		batch[i] = job_args(&work, &region);
		batch[i].syncs = (struct drm_xrnpe_array){ sizeof(*syncs), fences, (uintptr_t)syncs };
	}
	for (int i = 0; i < QUEUES_FULL; i++) {
		const int64_t queue = make_queue(fd, DRM_XRNPE_PRIORITY_LOW, DEPTH);

		ASSERT_LT(0, queue);
		for (int j = 0; j < DEPTH; j += DRM_XRNPE_MAX_JOBS)
			ASSERT_LT(0, submit_jobs(fd, queue, batch, DRM_XRNPE_MAX_JOBS, 0));
	}
	TH_LOG("%jd bytes a job", (intmax_t)(charged_for_slab() - slab) / jobs);
	EXPECT_LE(slab + jobs * least, charged_for_slab());

	/* How they ended is kept as long as their queue. */
	open_gate(&gate);
	EXPECT_TRUE(falls_to(charged_for_slab, slab + jobs * 1024));
	unmap_work(&work);
	close(fd);
	EXPECT_TRUE(falls_to(charged_for_slab, slab + SLACK));
}

/* Most of the 3 KiB that one may take. */
TEST_F(memcg, jobs)
{
	check_jobs(_metadata, 1, 1536);
}

/* And what remembers the fences. */
TEST_F(memcg, fences_of_jobs)
{
	check_jobs(_metadata, DRM_XRNPE_MAX_SYNCS, 1536 + DRM_XRNPE_MAX_SYNCS * sizeof(void *));
}

/* And the points of timelines that they add. */
TEST_F(memcg, points_of_jobs)
{
	enum { JOBS = 256, POINTS = DRM_XRNPE_MAX_SYNCS - 1 };
	struct drm_xrnpe_sync syncs[1 + POINTS];
	struct drm_xrnpe_region region;
	const int fd = open_npu();
	struct drm_xrnpe_job job;
	struct work work;
	struct gate gate;
	uint32_t queue;
	int64_t slab;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, make_gate(fd, &gate));
	ASSERT_EQ(0, make_work(fd, &work));
	queue = make_queue(fd, DRM_XRNPE_PRIORITY_LOW, JOBS);
	syncs[0] = wait_gate(&gate);
	for (int i = 1; i <= POINTS; i++)
		syncs[i] = (struct drm_xrnpe_sync){
			.flags = DRM_XRNPE_SYNC_SIGNAL | DRM_XRNPE_SYNC_TIMELINE,
			.handle = make_syncobj(fd),
		};
	job = job_args(&work, &region);
	job.syncs = (struct drm_xrnpe_array){ sizeof(*syncs), 1 + POINTS, (uintptr_t)syncs };
	ASSERT_EQ(0, become_member());
	slab = charged_for_slab();
	ASSERT_LE(0, slab);

	for (int j = 1; j <= JOBS; j++) {
		for (int i = 1; i <= POINTS; i++)
			syncs[i].point = j;
		ASSERT_LT(0, submit_jobs(fd, queue, &job, 1, 0));
	}
	TH_LOG("%jd bytes a point", (intmax_t)(charged_for_slab() - slab) / (JOBS * POINTS));
	/* A link of a timeline has a fence, and more. */
	EXPECT_LE(slab + JOBS * POINTS * 96, charged_for_slab());
	open_gate(&gate);
	unmap_work(&work);
	close(fd);
	EXPECT_TRUE(falls_to(charged_for_slab, slab + SLACK));
}

/* As many queues and performance monitors as files may have, which do nothing. */
TEST_F(memcg, queues_and_monitors)
{
	enum { MANY = 64, DEPTH = 256 };
	int64_t all, before;
	int fds[MANY];

	ASSERT_EQ(0, become_member());
	for (int i = 0; i < MANY; i++) {
		fds[i] = open_npu();
		ASSERT_LE(0, fds[i]);
	}
	all = charged_for_slab();
	ASSERT_LE(0, all);
	for (int i = 0; i < MANY * MANY; i++)
		ASSERT_LT(0, make_queue(fds[i % MANY], DRM_XRNPE_PRIORITY_LOW, DEPTH));
	before = charged_for_slab();
	/* What remembers how jobs ended, and more. */
	EXPECT_LE(all + MANY * MANY * DEPTH * sizeof(void *), before);
	for (int i = 0; i < MANY * MANY; i++)
		ASSERT_LT(0, make_perfmon(fds[i % MANY]));
	EXPECT_LE(before + MANY * MANY * sizeof(struct drm_xrnpe_perfmon_values),
		  charged_for_slab());
	TH_LOG("%jd bytes a queue, %jd a monitor", (intmax_t)(before - all) / (MANY * MANY),
	       (intmax_t)(charged_for_slab() - before) / (MANY * MANY));
	for (int i = 0; i < MANY; i++)
		close(fds[i]);
	EXPECT_TRUE(falls_to(charged_for_slab, all + SLACK));
}

/* ---- what a limit does ---- */

/* Takes more than its group may have. */
static void take_too_much(int64_t bytes)
{
	const int fd = open_npu();

	_exit(fd < 0 || become_member() || take_pages(fd, 0, bytes) != -ENOMEM);
}

/* Who wants more gets none, or is killed, and a program outside goes on. */
TEST_F(memcg, limit)
{
	const int64_t limit = 8 * MIB;
	int status = 0;
	pid_t child;

	ASSERT_EQ(0, write_file(GROUP "/memory.max", "8M"));
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		take_too_much(4 * limit);
	while (!waitpid(child, &status, WNOHANG)) {
		clear_result(&self->work);
		ASSERT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &self->work));
		ASSERT_TRUE(result_is_right(&self->work));
		EXPECT_GE(limit + SLACK, charged());
	}
	EXPECT_TRUE(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : !WEXITSTATUS(status));
	EXPECT_TRUE(falls_to(charged, SLACK));
	EXPECT_EQ(0, take_pages(self->fd, 0, 2 * limit));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &self->work));
}

TEST_HARNESS_MAIN

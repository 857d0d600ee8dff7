// SPDX-License-Identifier: MIT
/*
 * Calls at random: every ioctl with arguments that are right, nearly right or wrong, from
 * processes that are killed and while the device comes and goes. Nothing but errno may
 * come of it, and who does right beside it gets what is right. Needs root.
 *
 * XRNPE_FUZZ_SEED names where to begin, XRNPE_FUZZ_CALLS how many calls to make, and
 * XRNPE_FUZZ_ROUNDS how many processes to kill.
 */
#include "xrnpe_module.h"
#include "xrnpe_random.h"
#include "xrnpe_sync.h"
#include "xrnpe_work.h"

#include <sys/wait.h>

#define DEVICE "c000000.npu"
#define FDS 3
#define HANDLES 12

/* ---- a process's state ---- */

/* What one file has: zero where it has nothing. */
struct file {
	int fd;
	uint32_t bos[HANDLES], syncobjs[HANDLES], queues[HANDLES], perfmons[HANDLES];
	uint64_t last_job[HANDLES];
};

struct fuzz {
	struct random random;
	struct file files[FDS];
	struct file *file;	/* that the present call is for */
	uint32_t slot;
};

static bool one_in(struct fuzz *f, uint32_t n)
{
	return !draw(&f->random, n);
}

/* A number of the kind that is at the edge of something. */
static uint64_t odd_number(struct fuzz *f)
{
	const uint64_t bit = UINT64_C(1) << draw(&f->random, 64);

	switch (draw(&f->random, 4)) {
	case 0:
		return bit;
	case 1:
		return bit - 1;
	case 2:
		return -bit;
	default:
		return draw(&f->random, 1 << 16);
	}
}

/* Mostly leave the arguments as they are. */
static void spoil(struct fuzz *f, void *args, size_t size)
{
	const uint64_t number = odd_number(f);
	const size_t width = one_in(f, 2) ? 4 : 8;

	if (one_in(f, 4) && size >= width)
		memcpy((uint8_t *)args + draw(&f->random, size / width) * width, &number, width);
}

static int fuzz_call(struct fuzz *f, unsigned long request, void *args, size_t size)
{
	spoil(f, args, size);
	return call(f->file->fd, request, args);
}
#define CALL(f, request, args) fuzz_call(f, request, args, sizeof(*(args)))

/* One of those that there are, mostly. */
static uint32_t some(struct fuzz *f, const uint32_t *handles)
{
	uint32_t at = draw(&f->random, HANDLES);

	for (int i = 0; i < HANDLES && !handles[at] && !one_in(f, 64); i++)
		at = (at + 1) % HANDLES;
	return handles[at];
}

static uint32_t some_flags(struct fuzz *f, uint32_t known)
{
	return one_in(f, 16) ? 1u << draw(&f->random, 32) : draw(&f->random, UINT32_MAX) & known;
}

/* ---- the calls ---- */

static void open_file(struct file *file)
{
	*file = (struct file){ .fd = open_npu() };
}

static int reopen(struct fuzz *f)
{
	/* Not too often: it ends what there is to talk about. */
	if (!one_in(f, 64))
		return 0;
	close(f->file->fd);
	open_file(f->file);
	return f->file->fd < 0 ? -ENODEV : 0;
}

static void fill_commands(struct fuzz *f, uint8_t *map, uint64_t size)
{
	for (uint64_t at = 0; at + sizeof(struct xrnpe_cmd) <= size && at < 4096;
	     at += sizeof(struct xrnpe_cmd)) {
		struct xrnpe_cmd cmd = matmul_cmd();

		for (int i = 0; i < XRNPE_OPERANDS; i++)
			if (one_in(f, 32))
				cmd.operand[i].region = draw(&f->random, 3);
		/* No more work than that. */
		if (one_in(f, 16))
			cmd.opcode = draw(&f->random, 20);
		memcpy(map + at, &cmd, sizeof(cmd));
	}
}

static int bo_create(struct fuzz *f)
{
	struct drm_xrnpe_bo_create args = {
		.size = one_in(f, 32) ? odd_number(f) : 1 + draw(&f->random, 1 << 17),
		.flags = some_flags(f, DRM_XRNPE_BO_CACHED | DRM_XRNPE_BO_NO_MMAP),
	};
	int ret = CALL(f, DRM_IOCTL_XRNPE_BO_CREATE, &args);
	uint8_t *map;

	if (ret)
		return ret;
	if (f->file->bos[f->slot])
		close_handle(f->file->fd, f->file->bos[f->slot]);
	f->file->bos[f->slot] = args.handle;
	map = map_bo(f->file->fd, args.handle, args.size);
	if (map) {
		fill_commands(f, map, args.size);
		munmap(map, args.size);
	}
	return 0;
}

static int bo_close(struct fuzz *f)
{
	int ret = one_in(f, 4) ? close_handle(f->file->fd, f->file->bos[f->slot]) : 0;

	f->file->bos[f->slot] = ret ? f->file->bos[f->slot] : 0;
	return ret;
}

static int bo_map(struct fuzz *f)
{
	struct drm_xrnpe_bo_mmap_offset args = { .handle = some(f, f->file->bos) };
	int ret = CALL(f, DRM_IOCTL_XRNPE_BO_MMAP_OFFSET, &args);
	size_t size = 4096 * (1 + draw(&f->random, 8));
	void *map;

	if (ret)
		return ret;
	map = mmap(NULL, size, draw(&f->random, 4), one_in(f, 8) ? MAP_PRIVATE : MAP_SHARED, f->file->fd,
		   args.offset + 4096 * draw(&f->random, 2));
	if (map == MAP_FAILED)
		return -errno;
	munmap(map, size);
	return 0;
}

static int bo_sync(struct fuzz *f)
{
	struct drm_xrnpe_bo_sync args = {
		.handle = some(f, f->file->bos), .op = draw(&f->random, 2), .offset = draw(&f->random, 4096),
		.size = 1 + draw(&f->random, 4096),
	};

	return CALL(f, DRM_IOCTL_XRNPE_BO_SYNC, &args);
}

static int bo_label(struct fuzz *f)
{
	static const char text[] = "a label of some length, which is none too long, to be sure";
	struct drm_xrnpe_bo_set_label args = {
		.handle = some(f, f->file->bos), .label = (uintptr_t)(text + draw(&f->random, sizeof(text))),
	};

	return CALL(f, DRM_IOCTL_XRNPE_BO_SET_LABEL, &args);
}

static int share(struct fuzz *f)
{
	struct drm_prime_handle args = {
		.handle = some(f, f->file->bos), .flags = DRM_CLOEXEC | (one_in(f, 4) ? 0 : DRM_RDWR),
	};
	struct file *to = &f->files[draw(&f->random, FDS)];
	int ret = CALL(f, DRM_IOCTL_PRIME_HANDLE_TO_FD, &args);
	int64_t handle;

	if (ret)
		return ret;
	handle = import(to->fd, args.fd);
	close(args.fd);
	if (handle > 0) {
		/* One that it has already comes as the same. */
		for (int i = 0; i < HANDLES; i++)
			if (to->bos[i] == handle)
				return 0;
		if (to->bos[f->slot])
			close_handle(to->fd, to->bos[f->slot]);
		to->bos[f->slot] = handle;
	}
	return handle < 0 ? handle : 0;
}

static int syncobj(struct fuzz *f)
{
	uint32_t *handle = &f->file->syncobjs[f->slot];
	struct drm_syncobj_destroy destroy = { .handle = *handle };

	if (*handle && one_in(f, 2))
		return 0;
	if (*handle)
		call(f->file->fd, DRM_IOCTL_SYNCOBJ_DESTROY, &destroy);
	*handle = make_syncobj(f->file->fd);
	return 0;
}

static int queue_create(struct fuzz *f)
{
	struct drm_xrnpe_queue_create args = {
		.priority = draw(&f->random, QUEUES), .depth = 1 + draw(&f->random, 32),
	};
	int ret;

	if (f->file->queues[f->slot])
		return 0;
	ret = CALL(f, DRM_IOCTL_XRNPE_QUEUE_CREATE, &args);
	if (!ret) {
		f->file->queues[f->slot] = args.queue;
		f->file->last_job[f->slot] = 0;
	}
	return ret;
}

static int queue_destroy(struct fuzz *f)
{
	struct drm_xrnpe_queue_destroy args = { .queue = f->file->queues[f->slot] };
	int ret = one_in(f, 4) ? CALL(f, DRM_IOCTL_XRNPE_QUEUE_DESTROY, &args) : -ENOENT;

	if (!ret)
		for (int i = 0; i < HANDLES; i++)
			if (f->file->queues[i] == args.queue)
				f->file->queues[i] = 0;
	return ret;
}

static int perfmon_create(struct fuzz *f)
{
	struct drm_xrnpe_perfmon_create args = {};
	int ret;

	if (f->file->perfmons[f->slot])
		return 0;
	ret = CALL(f, DRM_IOCTL_XRNPE_PERFMON_CREATE, &args);
	if (!ret)
		f->file->perfmons[f->slot] = args.perfmon;
	return ret;
}

static int perfmon_destroy(struct fuzz *f)
{
	struct drm_xrnpe_perfmon_destroy args = { .perfmon = f->file->perfmons[f->slot] };
	int ret = one_in(f, 4) ? CALL(f, DRM_IOCTL_XRNPE_PERFMON_DESTROY, &args) : -ENOENT;

	if (!ret)
		f->file->perfmons[f->slot] = 0;
	return ret;
}

static int perfmon_get_values(struct fuzz *f)
{
	uint8_t answer[512];
	struct drm_xrnpe_perfmon_get_values args = {
		.perfmon = some(f, f->file->perfmons), .size = draw(&f->random, sizeof(answer)),
		.pointer = (uintptr_t)answer,
	};

	/* A size that is too large would write over what is behind the values. */
	if (one_in(f, 8))
		args.pointer = odd_number(f) & 0xfff;
	return call(f->file->fd, DRM_IOCTL_XRNPE_PERFMON_GET_VALUES, &args);
}

#define MOST 4

static int submit_at_random(struct fuzz *f)
{
	struct drm_xrnpe_job jobs[MOST] = {};
	struct drm_xrnpe_region regions[MOST][MOST] = {};
	struct drm_xrnpe_sync syncs[MOST][MOST] = {};
	struct drm_xrnpe_submit args = {
		.queue = f->file->queues[f->slot] ?: some(f, f->file->queues),
		.flags = some_flags(f, DRM_XRNPE_SUBMIT_NONBLOCK),
		.jobs = { sizeof(jobs[0]), 1 + draw(&f->random, MOST), (uintptr_t)jobs },
	};
	int ret;

	for (int i = 0; i < MOST; i++) {
		jobs[i] = (struct drm_xrnpe_job){
			.cmd_handle = some(f, f->file->bos), .cmd_count = 1 + draw(&f->random, 4),
			.cmd_stride = sizeof(struct xrnpe_cmd),
			.flags = some_flags(f, DRM_XRNPE_JOB_NO_IMPLICIT_SYNC),
			.regions = { sizeof(regions[0][0]), 1 + draw(&f->random, MOST), (uintptr_t)regions[i] },
			.syncs = { sizeof(syncs[0][0]), draw(&f->random, MOST), (uintptr_t)syncs[i] },
			.perfmon = one_in(f, 4) ? some(f, f->file->perfmons) : 0,
		};
		for (int j = 0; j < MOST; j++) {
			regions[i][j] = (struct drm_xrnpe_region){
				.handle = some(f, f->file->bos), .flags = 1 + draw(&f->random, 3),
				.offset = 64 * draw(&f->random, 4), .size = 2048 + draw(&f->random, 1024),
			};
			syncs[i][j] = (struct drm_xrnpe_sync){
				.handle = some(f, f->file->syncobjs),
				.flags = one_in(f, 4) ? 0 : DRM_XRNPE_SYNC_SIGNAL,
			};
			/* A syncobj that is waited for has a fence once it was signalled. */
			if (one_in(f, 4)) {
				syncs[i][j].flags |= DRM_XRNPE_SYNC_TIMELINE;
				syncs[i][j].point = 1 + draw(&f->random, 1000);
			}
			if (one_in(f, 32))
				spoil(f, &syncs[i][j], sizeof(syncs[i][j]));
			if (one_in(f, 32))
				spoil(f, &regions[i][j], sizeof(regions[i][j]));
		}
		if (one_in(f, 16))
			spoil(f, &jobs[i], sizeof(jobs[i]));
	}
	ret = CALL(f, DRM_IOCTL_XRNPE_SUBMIT, &args);
	if (!ret)
		f->file->last_job[f->slot] = args.first_job;
	return ret;
}

static int job_wait(struct fuzz *f)
{
	struct xrnpe_job_record record;
	struct drm_xrnpe_job_wait args = {
		.queue = f->file->queues[f->slot], .job = f->file->last_job[f->slot] + draw(&f->random, 2),
		.timeout_ns = one_in(f, 4) ? in_ms(2) : 0,
		.record = (uintptr_t)&record, .record_size = draw(&f->random, sizeof(record) + 1),
	};
	const uint64_t number = odd_number(f);

	/* All may be wrong but how long to wait. */
	if (one_in(f, 8))
		memcpy((uint8_t *)&args + 4 * draw(&f->random, 4), &number, 4);
	return call(f->file->fd, DRM_IOCTL_XRNPE_JOB_WAIT, &args);
}

static int query(struct fuzz *f)
{
	uint8_t answer[256];
	struct drm_xrnpe_dev_query args = {
		.type = draw(&f->random, 3), .size = draw(&f->random, sizeof(answer)),
		.pointer = (uintptr_t)answer,
	};
	const uint32_t number = odd_number(f);

	/* A size that is too large would write over what is behind the answer. */
	if (one_in(f, 4))
		args.type = number;
	if (one_in(f, 4))
		args.pointer = number;
	return call(f->file->fd, DRM_IOCTL_XRNPE_DEV_QUERY, &args);
}

static const struct {
	const char *name;
	int (*make)(struct fuzz *f);
} calls[] = {
	{ "reopen", reopen }, { "bo_create", bo_create }, { "bo_close", bo_close },
	{ "bo_map", bo_map }, { "bo_sync", bo_sync }, { "bo_label", bo_label },
	{ "share", share }, { "syncobj", syncobj }, { "queue_create", queue_create },
	{ "queue_destroy", queue_destroy }, { "submit", submit_at_random },
	{ "submit", submit_at_random }, { "submit", submit_at_random },
	{ "job_wait", job_wait }, { "query", query }, { "perfmon_create", perfmon_create },
	{ "perfmon_destroy", perfmon_destroy }, { "perfmon_get_values", perfmon_get_values },
};

#define CALLS (sizeof(calls) / sizeof(calls[0]))

/* How often each succeeded. */
static uint64_t successes[CALLS];

/* What the documentation allows, and mmap() and dma-buf add. */
static bool is_expected(int ret)
{
	static const int expected[] = {
		0, -EINVAL, -ENOENT, -EACCES, -EPERM, -ENOMEM, -EFAULT, -E2BIG, -EBUSY, -EIO,
		-ESTALE, -ETIME, -ENOSPC, -EBADF, -ENXIO,
	};

	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		if (ret == expected[i])
			return true;
	return false;
}

/*
 * Make @count calls, UINT64_MAX to be killed at it. Returns NULL, or what a call answered
 * that it should not.
 */
static const char *fuzz(uint64_t seed, uint64_t count)
{
	static char what[80];
	struct fuzz f = { .random = seeded(seed) };
	const char *failure = NULL;

	for (int i = 0; i < FDS; i++)
		open_file(&f.files[i]);
	for (uint64_t i = 0; !failure && i < count; i++) {
		uint32_t which = draw(&f.random, CALLS);
		int ret;

		f.file = &f.files[draw(&f.random, FDS)];
		f.slot = draw(&f.random, HANDLES);
		ret = calls[which].make(&f);
		successes[which] += !ret;
		if (count < UINT64_MAX)
			tell_progress(i, count, "calls");
		if (!is_expected(ret)) {
			snprintf(what, sizeof(what), "call %llu, %s: %s", (unsigned long long)i,
				 calls[which].name, strerror(-ret));
			failure = what;
		}
	}
	for (int i = 0; i < FDS; i++)
		close(f.files[i].fd);
	return failure;
}

/* ---- tests ---- */

FIXTURE(fuzz)
{
	uint64_t seed;
};

FIXTURE_SETUP(fuzz)
{
	self->seed = setting("XRNPE_FUZZ_SEED", 1);
	TH_LOG("XRNPE_FUZZ_SEED=%llu", (unsigned long long)self->seed);
}

/* Whatever happened, a new file finds a device that works. */
FIXTURE_TEARDOWN(fuzz)
{
	struct work work;
	int fd = open_npu();

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, make_work(fd, &work));
	for (int i = 0; i < QUEUES; i++) {
		clear_result(&work);
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(fd, i, &work));
		EXPECT_TRUE(result_is_right(&work));
	}
	close(fd);
}

TEST_F_TIMEOUT(fuzz, calls, 86400)
{
	const uint64_t count = setting("XRNPE_FUZZ_CALLS", 10000);
	const char *failure = fuzz(self->seed, count);

	EXPECT_EQ(NULL, failure)
		TH_LOG("%s", failure);
	/* Calls that are all refused would find little. */
	for (size_t i = 0; i < CALLS; i++) {
		EXPECT_LE(count / CALLS / 50, successes[i])
			TH_LOG("%s", calls[i].name);
	}
}

/* Somebody who does right beside those who are killed notices nothing. */
TEST_F_TIMEOUT(fuzz, kills, 86400)
{
	const uint64_t rounds = setting("XRNPE_FUZZ_ROUNDS", 10);
	struct fuzz f = { .random = seeded(self->seed) };
	struct work work;
	int fd = open_npu();

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, make_work(fd, &work));
	for (uint64_t round = 0; round < rounds; round++) {
		const int64_t end = in_ms(draw(&f.random, 200));
		pid_t children[2];

		tell_progress(round, rounds, "rounds of kills");
		for (int i = 0; i < 2; i++) {
			children[i] = fork();
			ASSERT_LE(0, children[i]);
			if (!children[i])
				_exit(fuzz(self->seed + 2 * round + i, UINT64_MAX) ? 1 : 0);
		}
		do {
			clear_result(&work);
			ASSERT_EQ(DRM_XRNPE_JOB_DONE, run_work(fd, draw(&f.random, QUEUES), &work));
			ASSERT_TRUE(result_is_right(&work));
		} while (now_ns() < end);
		for (int i = 0; i < 2; i++) {
			int status;

			kill(children[i], SIGKILL);
			ASSERT_EQ(children[i], waitpid(children[i], &status, 0));
			EXPECT_TRUE(WIFSIGNALED(status));
		}
	}
	close(fd);
}

/* The device is taken away and given back, again and again, while others use it. */
TEST_F_TIMEOUT(fuzz, unbinds, 86400)
{
	const uint64_t rounds = setting("XRNPE_FUZZ_ROUNDS", 10) / 4;
	struct fuzz f = { .random = seeded(self->seed) };

	for (uint64_t round = 0; round < rounds; round++) {
		pid_t children[2];

		tell_progress(round, rounds, "rounds of unbinding");
		for (int i = 0; i < 2; i++) {
			children[i] = fork();
			ASSERT_LE(0, children[i]);
			/* It ends with ENODEV, or is killed by a mapping that is gone. */
			if (!children[i]) {
				fuzz(self->seed + 2 * round + i, UINT64_MAX);
				_exit(0);
			}
		}
		sleep_ms(50 + draw(&f.random, 200));
		EXPECT_EQ(0, write_file(DRIVER "unbind", DEVICE));
		for (int i = 0; i < 2; i++) {
			int status;

			ASSERT_EQ(children[i], waitpid(children[i], &status, 0));
			EXPECT_TRUE(WIFEXITED(status) || WTERMSIG(status) == SIGBUS);
		}
		EXPECT_EQ(0, write_file(DRIVER "bind", DEVICE));
	}
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: MIT
/*
 * Programs without any right but to open the node, which do what no sensible program does.
 * What they do is not of interest, but that the kernel is sane afterwards, and that others
 * compute as before.
 */
#include "xrnpe_nobody.h"
#include "xrnpe_sync.h"
#include "xrnpe_work.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

/* Queues that anybody may have. */
#define MEDIUM 2
#define LOW 3

FIXTURE(hostile)
{
	int fd;
	struct work work;
};

FIXTURE_SETUP(hostile)
{
	self->fd = open_npu();
	ASSERT_LE(0, self->fd) TH_LOG("no xrnpe node");
	/* Anybody may open the node, and this process is anybody. */
	ASSERT_EQ(0, fchmod(self->fd, 0666));
	ASSERT_EQ(0, become_nobody());
	ASSERT_EQ(0, make_work(self->fd, &self->work));
}

FIXTURE_TEARDOWN(hostile)
{
	const int fd = open_npu();
	struct work work;

	/* Another program is none the worse for it. */
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, make_work(fd, &work));
	for (int i = 0; i < 3; i++) {
		clear_result(&work);
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(fd, i % 2 ? LOW : MEDIUM, &work));
		EXPECT_TRUE(result_is_right(&work));
	}
	close(fd);
	close(self->fd);
}

/* ---- names of what another thread destroys --------------------------------- */

struct destroyer {
	pthread_t thread;
	int fd;
	atomic_bool stop;
	unsigned long destroyed;
};

static void *destroy_queues(void *data)
{
	struct destroyer *d = data;

	while (!d->stop)
		for (uint32_t id = 1; id < 4; id++)
			d->destroyed += !destroy_queue(d->fd, id);
	return NULL;
}

/* Queues are destroyed while QUEUE_CREATE has not returned. */
TEST_F(hostile, destroys_before_it_is_told)
{
	struct destroyer destroyers[2] = { { .fd = self->fd }, { .fd = self->fd } };
	const int64_t end = in_ms(5000);

	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&destroyers[i].thread, NULL, destroy_queues, &destroyers[i]));
	while (now_ns() < end) {
		int64_t queue = make_queue(self->fd, DRM_XRNPE_PRIORITY_LOW, 1);

		EXPECT_TRUE(queue > 0 || queue == -ENOSPC) TH_LOG("%d", (int)queue);
	}
	for (int i = 0; i < 2; i++) {
		destroyers[i].stop = true;
		pthread_join(destroyers[i].thread, NULL);
		EXPECT_LT(0, destroyers[i].destroyed);
	}
}

/* Queues are destroyed while a ring takes one job after the other from them. */
TEST_F(hostile, destroys_while_jobs_are_taken)
{
	struct drm_xrnpe_job jobs[DRM_XRNPE_MAX_JOBS];
	const int64_t end = in_ms(5000);
	struct drm_xrnpe_region region;

	for (int i = 0; i < DRM_XRNPE_MAX_JOBS; i++)
		jobs[i] = job_args(&self->work, &region);
	for (uint32_t round = 0; now_ns() < end; round++) {
		int64_t queue = make_queue(self->fd, DRM_XRNPE_PRIORITY_LOW, DRM_XRNPE_MAX_JOBS);

		ASSERT_LT(0, queue);
		ASSERT_LT(0, submit_jobs(self->fd, queue, jobs, 2 + round % (DRM_XRNPE_MAX_JOBS - 1), 0));
		ASSERT_EQ(0, destroy_queue(self->fd, queue));
	}
}

/* ---- files of others --------------------------------------------------------- */

enum then {
	IDLES,
	WAITS,
	SUBMITS,
};

/* What a process does that has more work than it is given time for; it tells its file. */
static void occupy(int ready, enum then then)
{
	struct drm_xrnpe_job_wait end;
	struct work endless;
	int fd = open_npu();
	int64_t job = 0;

	prctl(PR_SET_DUMPABLE, 1);
	if (fd < 0 || make_endless(fd, &endless))
		_exit(1);
	for (int i = 0; i < 20; i++)
		job = submit(fd, MEDIUM, &endless);
	if (job < 0 || write(ready, &fd, sizeof(fd)) != sizeof(fd))
		_exit(1);
	while (then == SUBMITS)
		submit(fd, MEDIUM, &endless);
	while (then == WAITS)
		wait_job(fd, job, INT64_MAX, &end);
	for (;;)
		pause();
}

/* A file with jobs goes to a process that outlives the one that made them. */
TEST_F(hostile, inherits_a_file)
{
	int ends[2], pidfd, file, status;
	struct work work;
	pid_t child;

	ASSERT_EQ(0, pipe(ends));
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		occupy(ends[1], IDLES);
	ASSERT_EQ(sizeof(file), read(ends[0], &file, sizeof(file)));
	pidfd = syscall(SYS_pidfd_open, child, 0);
	ASSERT_LE(0, pidfd);
	file = syscall(SYS_pidfd_getfd, pidfd, file, 0);
	ASSERT_LE(0, file);
	ASSERT_EQ(0, kill(child, SIGKILL));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	memset(queues[file], 0, sizeof(queues[file]));
	/* Its queue and jobs are there as if nothing had happened, and its own jobs run. */
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(file, job_name(1, 1)));
	ASSERT_EQ(0, make_work(file, &work));
	clear_result(&work);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(file, LOW, &work));
	EXPECT_TRUE(result_is_right(&work));
	free_work(file, &work);
	close(file);
	close(pidfd);
}

/* ---- memory ------------------------------------------------------------------ */

/* Mappings outlive handles, files and the process that made them, in every way there is. */
TEST_F(hostile, keeps_mappings)
{
	struct bo bo;
	int status, fd = open_npu();
	uint8_t *moved;
	struct iovec local, remote;
	uint8_t bytes[64];
	pid_t child;

	ASSERT_LE(0, fd);
	for (uint32_t flags = 0; flags <= DRM_XRNPE_BO_CACHED; flags++) {
		ASSERT_EQ(0, make_bo(fd, 65536, flags, &bo));
		memset(bo.map, 0x5a, bo.size);
		close_handle(fd, bo.handle);
		moved = mremap(bo.map, bo.size, bo.size, MREMAP_MAYMOVE | MREMAP_FIXED,
			       (void *)0x700000000000);
		if (moved == MAP_FAILED)
			moved = bo.map;
		EXPECT_EQ(MAP_FAILED, mremap(moved, bo.size, 2 * bo.size, MREMAP_MAYMOVE));
		/* In part. */
		EXPECT_EQ(0, munmap(moved + 4096, 4096));
		EXPECT_EQ(0, mprotect(moved + 8192, 4096, PROT_READ));
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			close(fd);
			memset(moved + 12288, 0xa5, 4096);
			_exit(moved[0] == 0x5a && moved[8192] == 0x5a ? 0 : 1);
		}
		ASSERT_EQ(child, waitpid(child, &status, 0));
		EXPECT_TRUE(WIFEXITED(status) && !WEXITSTATUS(status));
		EXPECT_EQ(0xa5, moved[12288]);
		/* Through the kernel: whatever it says. */
		local = (struct iovec){ bytes, sizeof(bytes) };
		remote = (struct iovec){ moved, sizeof(bytes) };
		process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
		process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
		madvise(moved, bo.size, MADV_DONTNEED);
		madvise(moved, bo.size, MADV_REMOVE);
		madvise(moved, bo.size, MADV_HUGEPAGE);
		mlock(moved, 4096);
		msync(moved, 4096, MS_SYNC);
		EXPECT_EQ(0, munmap(moved, 4096));
		EXPECT_EQ(0, munmap(moved + 8192, bo.size - 8192));
	}
	close(fd);
}

/* A dma-buf goes from file to file, and all let go of it while jobs write to it. */
TEST_F(hostile, lets_go_of_shared_buffers)
{
	for (int round = 0; round < 20; round++) {
		int maker = open_npu(), user = open_npu();
		struct drm_prime_handle share = { .flags = DRM_CLOEXEC | (round & 1 ? DRM_RDWR : 0) };
		struct drm_xrnpe_region regions[2];
		struct drm_xrnpe_job job;
		struct work work, used;
		int64_t handle;

		ASSERT_LE(0, maker);
		ASSERT_LE(0, user);
		ASSERT_EQ(0, make_long(maker, 8, 64, &work));
		ASSERT_EQ(0, make_long(user, 8, 64, &used));
		share.handle = work.data.handle;
		ASSERT_EQ(0, call(maker, DRM_IOCTL_PRIME_HANDLE_TO_FD, &share));
		handle = import(user, share.fd);
		ASSERT_LT(0, handle);
		job = job_args(&used, &regions[0]);
		regions[1] = (struct drm_xrnpe_region){
			.handle = handle, .flags = DRM_XRNPE_REGION_READ, .size = work.data.size,
		};
		job.regions = (struct drm_xrnpe_array){ sizeof(*regions), 2, (uintptr_t)regions };
		for (int i = 0; i < 8; i++) {
			ASSERT_LT(0, submit(maker, i & 1 ? LOW : MEDIUM, &work));
			ASSERT_LT(0, submit_job(user, i & 1 ? MEDIUM : LOW, &job));
		}
		close_handle(maker, work.data.handle);
		close(share.fd);
		close_handle(user, handle);
		if (round & 2)
			destroy_queue(user, queue_of(user, LOW));
		unmap_work(&work);
		unmap_work(&used);
		close(round & 4 ? maker : user);
		close(round & 4 ? user : maker);
	}
}

/* ---- arrays that cannot be read ----------------------------------------------- */

/* @bytes that end where nothing is mapped. */
static void *at_the_edge(size_t bytes)
{
	const size_t room = (bytes + 4095) / 4096 * 4096;
	uint8_t *map = mmap(NULL, room + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			    0);

	munmap(map + room, 4096);
	return map + room - bytes;
}

/* Of arrays of the greatest length some elements are missing. */
TEST_F(hostile, breaks_off_arrays)
{
	struct drm_xrnpe_job *jobs = at_the_edge(sizeof(*jobs) * DRM_XRNPE_MAX_JOBS);
	struct drm_xrnpe_sync *syncs = at_the_edge(sizeof(*syncs) * DRM_XRNPE_MAX_SYNCS);
	struct drm_xrnpe_region *regions = at_the_edge(sizeof(*regions) * XRNPE_MAX_REGIONS);
	const int64_t queue = make_queue(self->fd, DRM_XRNPE_PRIORITY_MEDIUM, 256);
	const uint32_t syncobj = make_syncobj(self->fd);

	ASSERT_LT(0, queue);
	for (unsigned int i = 0; i < DRM_XRNPE_MAX_SYNCS; i++)
		syncs[i] = (struct drm_xrnpe_sync){ syncobj, DRM_XRNPE_SYNC_SIGNAL, 0 };
	for (unsigned int i = 0; i < XRNPE_MAX_REGIONS; i++)
		job_args(&self->work, &regions[i]);
	for (unsigned int i = 0; i < DRM_XRNPE_MAX_JOBS; i++) {
		jobs[i] = job_args(&self->work, regions);
		jobs[i].regions.count = XRNPE_MAX_REGIONS;
		jobs[i].syncs = (struct drm_xrnpe_array){ sizeof(*syncs), DRM_XRNPE_MAX_SYNCS,
							  (uintptr_t)syncs };
	}
	for (unsigned int at = 1; at <= DRM_XRNPE_MAX_JOBS; at += 21) {
		EXPECT_EQ(-EFAULT, submit_jobs(self->fd, queue, jobs + at, DRM_XRNPE_MAX_JOBS, 0));
		jobs[DRM_XRNPE_MAX_JOBS - at].syncs.pointer += sizeof(*syncs);
		EXPECT_EQ(-EFAULT, submit_jobs(self->fd, queue, jobs, DRM_XRNPE_MAX_JOBS, 0));
		jobs[DRM_XRNPE_MAX_JOBS - at].syncs.pointer -= sizeof(*syncs);
		jobs[DRM_XRNPE_MAX_JOBS - at].regions.pointer += sizeof(*regions);
		EXPECT_EQ(-EFAULT, submit_jobs(self->fd, queue, jobs, DRM_XRNPE_MAX_JOBS, 0));
		jobs[DRM_XRNPE_MAX_JOBS - at].regions.pointer -= sizeof(*regions);
	}
	/* None of them is there; of the whole all are. */
	clear_result(&self->work);
	EXPECT_EQ(1, job_number(submit_jobs(self->fd, queue, jobs, DRM_XRNPE_MAX_JOBS, 0)));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, job_name(queue, DRM_XRNPE_MAX_JOBS)));
	EXPECT_TRUE(result_is_right(&self->work));
	EXPECT_EQ(0, wait_syncobj(self->fd, syncobj, 0, in_ms(10000)));
}

struct changer {
	pthread_t thread;
	atomic_bool stop;
	void *page;
	int fd;
	uint32_t syncobj;
};

/* Page away, page there; syncobj away, another of its name there. */
static void *change(void *data)
{
	struct changer *c = data;

	while (!c->stop) {
		struct drm_syncobj_destroy destroy = { .handle = c->syncobj };

		mprotect(c->page, 4096, PROT_NONE);
		call(c->fd, DRM_IOCTL_SYNCOBJ_DESTROY, &destroy);
		sched_yield();
		mprotect(c->page, 4096, PROT_READ | PROT_WRITE);
		c->syncobj = make_syncobj(c->fd);
	}
	return NULL;
}

/* What SUBMIT reads changes while it reads. */
TEST_F(hostile, changes_what_is_read)
{
	uint8_t *pages = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct drm_xrnpe_job *jobs = (void *)(pages + 4096 - 8 * sizeof(*jobs));
	struct changer changer = { .page = pages + 4096, .fd = self->fd };
	const int64_t queue = make_queue(self->fd, DRM_XRNPE_PRIORITY_MEDIUM, 64);
	struct drm_xrnpe_sync syncs[16][2];
	struct drm_xrnpe_region region;
	unsigned long went = 0, failed = 0;
	const int64_t end = in_ms(5000);

	changer.syncobj = make_syncobj(self->fd);
	for (int i = 0; i < 16; i++) {
		syncs[i][0] = (struct drm_xrnpe_sync){ changer.syncobj, DRM_XRNPE_SYNC_SIGNAL, 0 };
		syncs[i][1] = (struct drm_xrnpe_sync){ changer.syncobj, 0, 0 };
		jobs[i] = job_args(&self->work, &region);
		jobs[i].syncs = (struct drm_xrnpe_array){ sizeof(syncs[i][0]), 1 + !!i, (uintptr_t)syncs[i] };
	}
	ASSERT_EQ(0, pthread_create(&changer.thread, NULL, change, &changer));
	while (now_ns() < end) {
		int64_t job = submit_jobs(self->fd, queue, jobs, 16, 0);

		if (job == -EFAULT || job == -ENOENT || job == -EINVAL)
			failed++;
		else if (job > 0)
			went++;
		else
			EXPECT_EQ(0, job);
	}
	changer.stop = true;
	pthread_join(changer.thread, NULL);
	EXPECT_LT(0, went + failed);
}

/* ---- waits that are disturbed --------------------------------------------------- */

/* Those that wait are stopped, looked into, let go on, and killed. */
TEST_F(hostile, is_traced_and_killed)
{
	for (int round = 0; round < 6; round++) {
		int ends[2], fd, status;
		pid_t child;

		ASSERT_EQ(0, pipe(ends));
		child = fork();
		ASSERT_LE(0, child);
		if (!child)
			occupy(ends[1], round & 1 ? SUBMITS : WAITS);
		ASSERT_EQ(sizeof(fd), read(ends[0], &fd, sizeof(fd)));
		for (int i = 0; i < 5; i++) {
			ASSERT_EQ(0, ptrace(PTRACE_ATTACH, child, NULL, NULL));
			ASSERT_EQ(child, waitpid(child, &status, 0));
			ASSERT_TRUE(WIFSTOPPED(status));
			if (i == 4 && round & 2)
				break;
			ASSERT_EQ(0, ptrace(PTRACE_DETACH, child, NULL, NULL));
			sleep_ms(20);
		}
		ASSERT_EQ(0, kill(child, SIGKILL));
		ASSERT_EQ(child, waitpid(child, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		close(ends[0]);
		close(ends[1]);
	}
}

/* ---- as much as there may be ------------------------------------------------------ */

#define CROWD_FILES 2
#define CROWD_QUEUES 64
#define ENDLESS_JOBS 10

/* A job of @work that uses @handle, too. */
static struct drm_xrnpe_job crowd_job(const struct work *work, uint32_t handle, uint32_t flags,
				      struct drm_xrnpe_region regions[2])
{
	struct drm_xrnpe_job job = job_args(work, &regions[0]);

	regions[1] = (struct drm_xrnpe_region){ .handle = handle, .flags = flags, .size = 4096 };
	job.regions.count = 2;
	return job;
}

/* In as many queues as there may be jobs that read @dmabuf, and wait for who writes it. */
static int join_crowd(int dmabuf)
{
	const int fd = open_npu();
	const int64_t handle = import(fd, dmabuf);
	struct drm_xrnpe_region regions[2];
	struct drm_xrnpe_job job;
	struct work work;
	int64_t ret = handle < 0 ? handle : make_work(fd, &work);

	for (int i = 0; ret >= 0 && i < CROWD_QUEUES; i++) {
		ret = make_queue(fd, DRM_XRNPE_PRIORITY_LOW, 1);
		job = crowd_job(&work, handle, DRM_XRNPE_REGION_READ, regions);
		if (ret > 0)
			ret = submit_jobs(fd, ret, &job, 1, 0);
	}
	return ret < 0 ? ret : 0;
}

/* What a child is to work on that is killed. */
struct victim {
	int fd, dmabuf;
	const struct work *endless;
};

/* Jobs that wait for all of the crowd, each. */
static void face_crowd(const struct victim *victim, int ready)
{
	const int fd = open_npu();
	const int64_t handle = import(fd, victim->dmabuf);
	struct drm_xrnpe_job jobs[DRM_XRNPE_MAX_JOBS];
	struct drm_xrnpe_region regions[2];
	struct work work;

	if (handle < 0 || make_work(fd, &work))
		_exit(1);
	for (int i = 0; i < DRM_XRNPE_MAX_JOBS; i++)
		jobs[i] = crowd_job(&work, handle, DRM_XRNPE_REGION_WRITE, regions);
	if (!queue_of(fd, MEDIUM) || write(ready, "", 1) != 1)
		_exit(1);
	submit_jobs(fd, queue_of(fd, MEDIUM), jobs, DRM_XRNPE_MAX_JOBS, 0);
	pause();
}

/* Jobs that keep one buffer busy for as long as a test takes. Returns the last, or -errno. */
static int64_t submit_endless(int fd, struct work *endless)
{
	struct drm_xrnpe_job jobs[ENDLESS_JOBS];
	struct drm_xrnpe_region region;
	int64_t first = make_endless(fd, endless);

	for (int i = 0; i < ENDLESS_JOBS; i++)
		jobs[i] = job_args(endless, &region);
	if (!first)
		first = submit_jobs(fd, queue_of(fd, MEDIUM), jobs, ENDLESS_JOBS, 0);
	return first < 0 ? first : first + ENDLESS_JOBS - 1;
}

/* Kill a child that says by its pipe that it goes to work. Returns the ms that it took to die. */
static int64_t kill_at_work(const struct victim *victim,
			    void (*work)(const struct victim *victim, int ready))
{
	int64_t begin, ms = INT64_MAX;
	int ends[2];
	pid_t child;
	char byte;

	if (pipe(ends))
		return ms;
	child = fork();
	if (!child)
		work(victim, ends[1]);
	close(ends[1]);
	if (child > 0) {
		const bool works = read(ends[0], &byte, 1) == 1;

		if (works)
			sleep_ms(200);
		begin = now_ns();
		kill(child, SIGKILL);
		if (waitpid(child, NULL, 0) == child && works)
			ms = (now_ns() - begin) / 1000000;
	}
	close(ends[0]);
	return ms;
}

/*
 * Whether such a child can be killed within a second. A host may be too busy for it; then
 * another one has to try, while the endless jobs, the last of which is @last, are there.
 */
static bool dies_in_time(const struct victim *victim, int64_t last,
			 void (*work)(const struct victim *victim, int ready))
{
	struct drm_xrnpe_job_wait end;
	int64_t ms;

	do
		ms = kill_at_work(victim, work);
	while (ms >= 1000 && wait_job(victim->fd, last, 0, &end) == -ETIME);
	return ms < 1000 && wait_job(victim->fd, last, 0, &end) == -ETIME;
}

/* However many fences SUBMIT has to go through, who waits for it can be killed. */
TEST_F(hostile, crowds_a_buffer)
{
	struct drm_prime_handle share = { .flags = DRM_CLOEXEC | DRM_RDWR };
	struct victim victim = { .fd = self->fd };
	struct work endless;
	int64_t last = submit_endless(self->fd, &endless);

	ASSERT_LT(0, last);
	share.handle = endless.data.handle;
	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &share));
	for (int f = 0; f < CROWD_FILES; f++)
		ASSERT_EQ(0, join_crowd(share.fd));
	victim.dmabuf = share.fd;
	EXPECT_TRUE(dies_in_time(&victim, last, face_crowd));
}

/* As many points as there may be of one timeline, in jobs that do not end. */
static void fill_timeline(const struct victim *victim, int ready)
{
	static struct drm_xrnpe_sync syncs[DRM_XRNPE_MAX_JOBS][DRM_XRNPE_MAX_SYNCS];
	const int fd = victim->fd;
	const int64_t queue = make_queue(fd, DRM_XRNPE_PRIORITY_LOW, 2 * DRM_XRNPE_MAX_JOBS);
	struct drm_xrnpe_job jobs[DRM_XRNPE_MAX_JOBS];
	const uint32_t timeline = make_syncobj(fd);
	struct drm_xrnpe_region region;
	uint64_t point = 0;

	for (int i = 0; i < DRM_XRNPE_MAX_JOBS; i++) {
		jobs[i] = job_args(victim->endless, &region);
		jobs[i].syncs = (struct drm_xrnpe_array){ sizeof(syncs[i][0]), DRM_XRNPE_MAX_SYNCS,
							  (uintptr_t)syncs[i] };
	}
	if (!timeline || write(ready, "", 1) != 1)
		_exit(1);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < DRM_XRNPE_MAX_JOBS * DRM_XRNPE_MAX_SYNCS; i++)
			syncs[i / DRM_XRNPE_MAX_SYNCS][i % DRM_XRNPE_MAX_SYNCS] = (struct drm_xrnpe_sync){
				timeline, DRM_XRNPE_SYNC_SIGNAL | DRM_XRNPE_SYNC_TIMELINE, ++point,
			};
		submit_jobs(fd, queue, jobs, DRM_XRNPE_MAX_JOBS, 0);
	}
	pause();
}

/* For each point all before it are gone through: who does that can be killed, too. */
TEST_F(hostile, fills_a_timeline)
{
	struct work endless;
	const struct victim victim = { .fd = self->fd, .endless = &endless };
	int64_t last = submit_endless(self->fd, &endless);

	ASSERT_LT(0, last);
	EXPECT_TRUE(dies_in_time(&victim, last, fill_timeline));
}

TEST_HARNESS_MAIN

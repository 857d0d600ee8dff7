// SPDX-License-Identifier: MIT
/*
 * Jobs of several files, processes and threads, some of which end before their jobs do.
 */
#include "xrnpe_job.h"

#include <pthread.h>
#include <sys/wait.h>

/* ---- processes ---- */

TEST_F(job, two_files)
{
	const int other = open_npu();
	struct work work;

	ASSERT_LE(0, other);
	ASSERT_EQ(0, make_work(other, &work));
	for (int i = 0; i < 50; i++) {
		ASSERT_EQ(i + 1, job_number(submit(self->fd, 0, &self->work)));
		ASSERT_EQ(i + 1, job_number(submit(other, 0, &work)));
	}
	for (int i = 0; i < 50; i++) {
		EXPECT_EQ(DRM_XRNPE_JOB_DONE,
			  state_of(self->fd, job_name(queue_of(self->fd, 0), i + 1)));
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(other, job_name(queue_of(other, 0), i + 1)));
	}
	close(other);
}

/* The file is open until its last descriptor is closed, in whichever process. */
TEST_F(job, fork_and_dup)
{
	const uint32_t queue = queue_of(self->fd, 0);
	int copy = dup(self->fd), status;
	pid_t child;

	ASSERT_LE(0, copy);
	ASSERT_NE(0, queue);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		close(copy);
		clear_result(&self->work);
		_exit(run_work(self->fd, 0, &self->work) == DRM_XRNPE_JOB_DONE &&
		      result_is_right(&self->work) ? 42 : 1);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(42, WEXITSTATUS(status));
	close(self->fd);
	self->fd = copy;
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(copy, 0, &self->work));
	/* The child's job is in the same queue's history. */
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(copy, job_name(queue, 1)));
}

static void occupy(int ready)
{
	struct work work;
	int fd = open_npu();

	if (make_endless(fd, &work))
		_exit(1);
	for (int i = 0; i < 30; i++)
		if (submit(fd, i & 1, &work) < 0)
			_exit(1);
	if (write(ready, "", 1) == 1)
		pause();
	_exit(1);
}

TEST_F(job, killed_with_jobs_in_flight)
{
	int pipes[2], status;
	pid_t child;
	char byte;

	ASSERT_EQ(0, pipe(pipes));
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		occupy(pipes[1]);
	ASSERT_EQ(1, read(pipes[0], &byte, 1));
	ASSERT_EQ(0, kill(child, SIGKILL));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	/* What it had queued does not run any more, what was in a ring times out. */
	clear_result(&self->work);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &self->work));
	EXPECT_TRUE(result_is_right(&self->work));
}

/* Close a file with endless jobs. Returns the ms that it takes, or -errno. */
static int64_t close_at_work(void)
{
	const int fd = open_npu();
	struct work endless;
	int64_t begin, ret = fd < 0 ? fd : make_endless(fd, &endless);

	for (int i = 0; i < 20 && ret >= 0; i++)
		ret = submit(fd, i % 2, &endless);
	if (ret < 0)
		return ret;
	unmap_work(&endless);
	begin = now_ns();
	close(fd);
	return (now_ns() - begin) / 1000000;
}

/* close(2) takes no time, however long the jobs take that are queued. */
TEST_F(job, close_does_not_wait_for_ever)
{
	int64_t ms;

	/* On a host that is busy all takes longer, but hardly each time. */
	for (int tries = 5; tries-- && (ms = close_at_work()) >= 2000;)
		;
	EXPECT_LE(0, ms);
	EXPECT_GT(2000, ms);
	clear_result(&self->work);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 3, &self->work));
}

#define MANY_FILES 12

/* Who exits is gone soon, however many files it has, of which each has queued jobs. */
TEST_F(job, exits_with_many_files)
{
	struct drm_xrnpe_region region;
	struct drm_xrnpe_job job;
	struct work endless;
	int pipes[2], status;
	int64_t begin;
	pid_t child;
	char byte;

	ASSERT_EQ(0, pipe(pipes));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		for (int f = 0; f < MANY_FILES; f++) {
			const int fd = open_npu();

			if (fd < 0 || make_endless(fd, &endless))
				_exit(1);
			job = job_args(&endless, &region);
			for (int i = 0; i < 20; i++)
				submit_jobs(fd, queue_of(fd, 3), &job, 1, 0);
		}
		byte = write(pipes[1], "", 1);
		_exit(0);
	}
	ASSERT_EQ(1, read(pipes[0], &byte, 1));
	begin = now_ns();
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_GT(MANY_FILES / 2 * INT64_C(1000000000), now_ns() - begin);
	close(pipes[0]);
	close(pipes[1]);
}

/* A file closed right after SUBMIT: the job is done nevertheless. */
TEST_F(job, closed_with_jobs_queued)
{
	struct drm_prime_handle share = {
		.handle = self->work.data.handle, .flags = DRM_CLOEXEC | DRM_RDWR,
	};
	const int other = open_npu();
	struct work work = self->work;

	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &share));
	ASSERT_EQ(0, call(other, DRM_IOCTL_PRIME_FD_TO_HANDLE, &share));
	close(share.fd);
	work.data.handle = share.handle;
	ASSERT_EQ(0, make_bo(other, 4096, 0, &work.cmd));
	set_cmd(&work, 0, matmul_cmd());
	clear_result(&self->work);
	for (int i = 0; i < 50; i++)
		ASSERT_LT(0, submit(other, 1, &work));
	munmap(work.cmd.map, work.cmd.size);
	close(other);
	/* By the implicit fence of the shared buffer, after them all. */
	set_cmd(&self->work, 0, nan_to_fp4_cmd());
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &self->work));
	EXPECT_TRUE(result_is_right(&self->work));
}

static int share_syncobj(int fd, uint32_t syncobj)
{
	struct drm_syncobj_handle args = { .handle = syncobj };

	return call(fd, DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, &args) ? -1 : args.fd;
}

static uint32_t shared_syncobj(int fd, int shared)
{
	struct drm_syncobj_handle args = { .fd = shared };

	return call(fd, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &args) ? 0 : args.handle;
}

/* With a job that waits for @in, a shared syncobj, and signals @out. */
static void end_process(int in, int out, bool killed)
{
	const int fd = open_npu();
	const struct drm_xrnpe_sync syncs[2] = {
		{ .handle = shared_syncobj(fd, in) },
		{ shared_syncobj(fd, out), DRM_XRNPE_SYNC_SIGNAL, 0 },
	};
	struct work work;

	if (make_work(fd, &work) || submit_syncs(fd, 1, &work, syncs, 2) < 0)
		_exit(1);
	if (killed)
		raise(SIGKILL);
	_exit(0);
}

/* A file closed with a job that waits in vain: who waits for that job is told. */
TEST_F(job, closed_with_a_job_that_waits)
{
	struct gate gate;
	int in;

	ASSERT_EQ(0, make_gate(self->fd, &gate));
	in = share_syncobj(self->fd, gate.syncobj);
	for (int killed = 0; killed < 2; killed++) {
		const uint32_t syncobj = make_syncobj(self->fd);
		const int out = share_syncobj(self->fd, syncobj);
		const pid_t child = fork();
		int status;

		ASSERT_LE(0, child);
		if (!child)
			end_process(in, out, killed);
		ASSERT_EQ(child, waitpid(child, &status, 0));
		EXPECT_EQ(killed ? SIGKILL : 0, status);
		EXPECT_EQ(0, wait_syncobj(self->fd, syncobj, 0, in_ms(60000)));
		EXPECT_EQ(-ESRCH, syncobj_status(self->fd, syncobj));
		close(out);
	}
	close(in);
}

/* ---- threads ---- */

#define THREADS 8
#define ROUNDS 60

struct hammer {
	pthread_t thread;
	int fd;
	unsigned int seed;
	const char *failure;
};

static const char *hammer_once(struct hammer *h)
{
	uint32_t out = make_syncobj(h->fd);
	struct drm_syncobj_destroy destroy = { .handle = out };
	struct drm_xrnpe_sync sync = { out, DRM_XRNPE_SYNC_SIGNAL, 0 };
	bool bad = rand_r(&h->seed) % 4 == 0;
	struct work work;
	int64_t job;

	if (make_work(h->fd, &work))
		return "cannot make work";
	clear_result(&work);
	if (bad) {
		struct xrnpe_cmd cmd = matmul_cmd();

		cmd.operand[rand_r(&h->seed) % XRNPE_OPERANDS].offset = work.data.size;
		set_cmd(&work, 0, cmd);
	}
	job = submit_syncs(h->fd, rand_r(&h->seed) % QUEUES, &work, &sync, 1);
	if (job < 0)
		return "cannot submit";
	if (rand_r(&h->seed) % 2 && wait_syncobj(h->fd, out, 0, in_ms(60000)))
		return "syncobj does not signal";
	if (rand_r(&h->seed) % 8 == 0) {
		/* Leave it alone. */
	} else if (state_of(h->fd, job) != (bad ? DRM_XRNPE_JOB_FAULT : DRM_XRNPE_JOB_DONE)) {
		return "wrong end";
	} else if (result_is_right(&work) == bad) {
		return "wrong result";
	}
	free_work(h->fd, &work);
	return call(h->fd, DRM_IOCTL_SYNCOBJ_DESTROY, &destroy) ? "cannot destroy syncobj" : NULL;
}

static void *hammer(void *data)
{
	struct hammer *h = data;
	/* On a kernel that is slow not as often. */
	const int64_t end = in_ms(10000);

	for (int i = 0; !h->failure && (i < ROUNDS / 10 || (i < ROUNDS && now_ns() < end)); i++)
		h->failure = hammer_once(h);
	return NULL;
}

/* Half of the threads share a file. */
TEST_F(job, threads)
{
	struct hammer hammers[THREADS] = {};

	for (unsigned int i = 0; i < THREADS; i++) {
		hammers[i] = (struct hammer){
			.fd = i % 2 ? self->fd : open_npu(), .seed = i + 1,
		};
		ASSERT_LE(0, hammers[i].fd);
		ASSERT_EQ(0, pthread_create(&hammers[i].thread, NULL, hammer, &hammers[i]));
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		pthread_join(hammers[i].thread, NULL);
		EXPECT_EQ(NULL, hammers[i].failure) TH_LOG("%s", hammers[i].failure);
		if (i % 2 == 0)
			close(hammers[i].fd);
	}
}

TEST_HARNESS_MAIN

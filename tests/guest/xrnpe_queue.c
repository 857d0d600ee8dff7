// SPDX-License-Identifier: MIT
/*
 * Queues: who may have which, what they hold, in what order they are served, and how
 * they end. Needs root.
 */
#include "xrnpe_nobody.h"
#include "xrnpe_sync.h"
#include "xrnpe_work.h"

#include <pthread.h>
#include <sys/wait.h>

#define URGENT_GID "/sys/module/xrnpe/parameters/urgent_gid"

FIXTURE(queue)
{
	int fd;
	struct work work, bad;
	struct drm_xrnpe_dev_info info;
};

FIXTURE_SETUP(queue)
{
	self->fd = open_npu();
	ASSERT_GE(self->fd, 0) TH_LOG("no xrnpe node");
	ASSERT_EQ(0, device_info(self->fd, &self->info));
	ASSERT_EQ(0, make_work(self->fd, &self->work));
	self->bad = self->work;
	ASSERT_EQ(0, make_bo(self->fd, 4096, 0, &self->bad.cmd));
	set_cmd(&self->bad, 0, (struct xrnpe_cmd){});
}

FIXTURE_TEARDOWN(queue)
{
	/* Whatever a test did, the next job is fine. */
	clear_result(&self->work);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 2, &self->work));
	EXPECT_TRUE(result_is_right(&self->work));
	close(self->fd);
}

/* Submit to a queue that a test has made. */
static int64_t submit_to(int fd, uint32_t queue, const struct work *work, uint32_t flags)
{
	struct drm_xrnpe_region region;
	const struct drm_xrnpe_job job = job_args(work, &region);

	return submit_jobs(fd, queue, &job, 1, flags);
}

static int64_t submit_syncs_to(int fd, uint32_t queue, const struct work *work,
			       const struct drm_xrnpe_sync *syncs, uint32_t count)
{
	struct drm_xrnpe_region region;
	struct drm_xrnpe_job job = job_args(work, &region);

	job.syncs = (struct drm_xrnpe_array){ sizeof(*syncs), count, (uintptr_t)syncs };
	return submit_jobs(fd, queue, &job, 1, 0);
}

static int64_t submit_gated(int fd, uint32_t queue, const struct work *work,
			    const struct gate *gate)
{
	const struct drm_xrnpe_sync sync = wait_gate(gate);

	return submit_syncs_to(fd, queue, work, &sync, 1);
}

/* ---- who may have which ---- */

TEST_F(queue, create_bad)
{
	EXPECT_EQ(-EINVAL, make_queue(self->fd, DRM_XRNPE_PRIORITY_REALTIME + 1, 1));
	EXPECT_EQ(-EINVAL, make_queue(self->fd, UINT32_MAX, 1));
	EXPECT_EQ(-EINVAL, make_queue(self->fd, DRM_XRNPE_PRIORITY_LOW, 0));
	EXPECT_EQ(-EINVAL, make_queue(self->fd, DRM_XRNPE_PRIORITY_LOW, self->info.max_depth + 1));
	EXPECT_EQ(-EINVAL, make_queue(self->fd, DRM_XRNPE_PRIORITY_LOW, UINT32_MAX));
	for (int bit = 0; bit < 32; bit++) {
		struct drm_xrnpe_queue_create args = { .depth = 1, .flags = 1u << bit };

		EXPECT_EQ(-EINVAL, call(self->fd, DRM_IOCTL_XRNPE_QUEUE_CREATE, &args));
	}
}

TEST_F(queue, destroy_bad)
{
	struct drm_xrnpe_queue_destroy args = { .pad = 1 };
	const int other = open_npu();

	EXPECT_EQ(-ENOENT, destroy_queue(self->fd, 0));
	EXPECT_EQ(-ENOENT, destroy_queue(self->fd, UINT32_MAX));
	args.queue = make_queue(self->fd, DRM_XRNPE_PRIORITY_LOW, 1);
	EXPECT_EQ(-EINVAL, call(self->fd, DRM_IOCTL_XRNPE_QUEUE_DESTROY, &args));
	EXPECT_EQ(-ENOENT, destroy_queue(other, args.queue));
	EXPECT_EQ(0, destroy_queue(self->fd, args.queue));
	EXPECT_EQ(-ENOENT, destroy_queue(self->fd, args.queue));
	EXPECT_EQ(-ENOENT, submit_to(self->fd, args.queue, &self->work, 0));
	close(other);
}

TEST_F(queue, as_many_as_there_may_be)
{
	struct drm_xrnpe_queue_create beyond = {
		.priority = DRM_XRNPE_PRIORITY_LOW, .depth = 1, .queue = 12345,
	};

	for (uint32_t i = 1; i <= self->info.max_queues; i++)
		ASSERT_EQ(i, make_queue(self->fd, i % QUEUES, 1));
	EXPECT_EQ(-ENOSPC, call(self->fd, DRM_IOCTL_XRNPE_QUEUE_CREATE, &beyond));
	EXPECT_EQ(12345, beyond.queue);
	for (uint32_t i = 1; i <= self->info.max_queues; i++) {
		EXPECT_EQ(DRM_XRNPE_JOB_DONE,
			  state_of(self->fd, submit_to(self->fd, i, &self->work, 0)));
		EXPECT_EQ(0, destroy_queue(self->fd, i));
	}
}

/* What a process of another user may have, bit by bit. */
static int priorities_of(int gid)
{
	int status, may = 0;
	pid_t child = fork();

	if (!child) {
		int fd = open_npu();
		gid_t group = gid;

		if (fd < 0 || setgroups(gid ? 1 : 0, &group) || setgid(NOBODY) || setuid(NOBODY))
			_exit(0xff);
		for (int i = 0; i < QUEUES; i++) {
			int64_t ret = make_queue(fd, i, 1);

			if (ret < 0 && ret != -EACCES)
				_exit(0xff);
			may |= (ret > 0) << i;
		}
		_exit(may);
	}
	return child < 0 || waitpid(child, &status, 0) != child ? -1 : WEXITSTATUS(status);
}

TEST_F(queue, urgent_ones_are_for_the_privileged)
{
	const int ordinary = 1 << DRM_XRNPE_PRIORITY_LOW | 1 << DRM_XRNPE_PRIORITY_MEDIUM;

	EXPECT_EQ(ordinary, priorities_of(0));
	EXPECT_EQ(ordinary, priorities_of(123));
	/* An administrator's group. */
	ASSERT_EQ(0, write_file(URGENT_GID, "123"));
	EXPECT_EQ((1 << QUEUES) - 1, priorities_of(123));
	EXPECT_EQ(ordinary, priorities_of(124));
	ASSERT_EQ(0, write_file(URGENT_GID, "-1"));
	EXPECT_EQ(ordinary, priorities_of(123));
}

/* ---- what they hold ---- */

static void interrupt(int signal)
{
}

/* A full queue makes SUBMIT sleep, or fail, and no other queue of the file. */
TEST_F(queue, full)
{
	const struct sigaction action = { .sa_handler = interrupt };
	const uint32_t queue = make_queue(self->fd, DRM_XRNPE_PRIORITY_MEDIUM, 20);
	struct drm_xrnpe_region region;
	const struct drm_xrnpe_job job = job_args(&self->work, &region);
	struct drm_xrnpe_submit args = {
		.queue = queue, .jobs = { sizeof(job), 1, (uintptr_t)&job },
	};
	struct gate gate;
	struct work apart;

	ASSERT_EQ(0, make_work(self->fd, &apart));
	ASSERT_EQ(0, make_gate(self->fd, &gate));
	ASSERT_LT(0, submit_gated(self->fd, queue, &self->work, &gate));
	for (int i = 2; i <= 19; i++)
		ASSERT_EQ(i, job_number(submit_to(self->fd, queue, &self->work, 0)));
	/* Not two, but one. */
	struct drm_xrnpe_job two[2] = { job, job };

	EXPECT_EQ(-EBUSY, submit_jobs(self->fd, queue, two, 2, DRM_XRNPE_SUBMIT_NONBLOCK));
	EXPECT_EQ(20, job_number(submit_to(self->fd, queue, &self->work,
					   DRM_XRNPE_SUBMIT_NONBLOCK)));
	EXPECT_EQ(-EBUSY, submit_to(self->fd, queue, &self->work, DRM_XRNPE_SUBMIT_NONBLOCK));

	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	/* More than once, should the first come too early. */
	ualarm(200000, 200000);
	EXPECT_EQ(-1, ioctl(self->fd, DRM_IOCTL_XRNPE_SUBMIT, &args));
	EXPECT_EQ(EINTR, errno);
	ualarm(0, 0);

	for (int i = 0; i < QUEUES; i++)
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, i, &apart));
	open_gate(&gate);
	EXPECT_EQ(21, job_number(submit_to(self->fd, queue, &self->work, 0)));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, job_name(queue, 21)));
}

struct sleeper {
	pthread_t thread;
	atomic_int tid;		/* once it runs */
	int fd;
	uint32_t queue;
	const struct work *work;
	int64_t ret;
};

static void *submit_in_thread(void *data)
{
	struct sleeper *s = data;

	s->tid = gettid();
	s->ret = submit_to(s->fd, s->queue, s->work, 0);
	return NULL;
}

static void *wait_in_thread(void *data)
{
	struct sleeper *s = data;

	s->tid = gettid();
	s->ret = reason_of(s->fd, job_name(s->queue, 2));
	return NULL;
}

/* Destroyed with jobs that have not begun: they are cancelled, and say why. */
TEST_F(queue, destroyed_in_use)
{
	const uint32_t queue = make_queue(self->fd, DRM_XRNPE_PRIORITY_MEDIUM, 10);
	struct sleeper waiter = { .fd = self->fd, .queue = queue };
	struct sleeper submitter = { .fd = self->fd, .queue = queue, .work = &self->work };
	const struct drm_xrnpe_sync out = { make_syncobj(self->fd), DRM_XRNPE_SYNC_SIGNAL, 0 };
	struct gate gate;

	ASSERT_EQ(0, make_gate(self->fd, &gate));
	ASSERT_LT(0, submit_gated(self->fd, queue, &self->work, &gate));
	for (int i = 0; i < 9; i++)
		ASSERT_LT(0, submit_syncs_to(self->fd, queue, &self->work, &out, 1));
	ASSERT_EQ(0, pthread_create(&waiter.thread, NULL, wait_in_thread, &waiter));
	ASSERT_EQ(0, pthread_create(&submitter.thread, NULL, submit_in_thread, &submitter));
	ASSERT_TRUE(sleeps_in(&waiter.tid, DRM_IOCTL_XRNPE_JOB_WAIT));
	ASSERT_TRUE(sleeps_in(&submitter.tid, DRM_IOCTL_XRNPE_SUBMIT));
	EXPECT_EQ(0, destroy_queue(self->fd, queue));
	open_gate(&gate);
	pthread_join(waiter.thread, NULL);
	EXPECT_EQ(DRM_XRNPE_CANCEL_CLOSED, waiter.ret);
	EXPECT_EQ(0, wait_syncobj(self->fd, out.handle, 0, in_ms(60000)));
	EXPECT_EQ(-ESRCH, syncobj_status(self->fd, out.handle));
	pthread_join(submitter.thread, NULL);
	EXPECT_EQ(-ENOENT, submitter.ret);
}

/* ---- several jobs at once ---- */

TEST_F(queue, several_jobs)
{
	struct drm_xrnpe_job jobs[DRM_XRNPE_MAX_JOBS];
	struct drm_xrnpe_region regions[DRM_XRNPE_MAX_JOBS];
	struct work works[DRM_XRNPE_MAX_JOBS];
	int64_t first;

	for (int i = 0; i < DRM_XRNPE_MAX_JOBS; i++) {
		/* Some share their buffers. */
		if (i % 3 == 2) {
			works[i] = works[i - 1];
		} else {
			ASSERT_EQ(0, make_work(self->fd, &works[i]));
			clear_result(&works[i]);
		}
		jobs[i] = job_args(&works[i], &regions[i]);
	}
	first = submit_jobs(self->fd, queue_of(self->fd, 2), jobs, DRM_XRNPE_MAX_JOBS, 0);
	ASSERT_EQ(1, job_number(first));
	for (int i = 0; i < DRM_XRNPE_MAX_JOBS; i++) {
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, first + i));
		EXPECT_TRUE(result_is_right(&works[i]));
	}
	EXPECT_EQ(DRM_XRNPE_MAX_JOBS + 1, job_number(submit(self->fd, 2, &self->work)));
}

/* Jobs of one SUBMIT wait for each other, by a syncobj or by a timeline. */
TEST_F(queue, jobs_that_depend_on_each_other)
{
	const uint32_t syncobj = make_syncobj(self->fd), timeline = make_syncobj(self->fd);
	struct drm_xrnpe_sync out = { syncobj, DRM_XRNPE_SYNC_SIGNAL, 0 };
	struct drm_xrnpe_sync in = { syncobj, 0, 0 };
	const uint32_t after = make_syncobj(self->fd);
	const struct drm_xrnpe_sync in_and_out[2] = { in, { after, DRM_XRNPE_SYNC_SIGNAL, 0 } };
	struct drm_xrnpe_sync outs = { timeline, DRM_XRNPE_SYNC_SIGNAL | DRM_XRNPE_SYNC_TIMELINE, 9 };
	struct drm_xrnpe_sync ins = { timeline, DRM_XRNPE_SYNC_TIMELINE, 5 };
	struct drm_xrnpe_region regions[4];
	struct drm_xrnpe_job jobs[4];
	int64_t first;

	/* The second waits for the first, the fourth for the third; one of them fails. */
	for (int fails = 0; fails <= 2; fails++) {
		for (int i = 0; i < 4; i++)
			jobs[i] = job_args(i == fails * 2 - 2 ? &self->bad : &self->work,
					   &regions[i]);
		jobs[0].syncs = (struct drm_xrnpe_array){ sizeof(out), 1, (uintptr_t)&out };
		jobs[1].syncs = (struct drm_xrnpe_array){ sizeof(in), 2, (uintptr_t)in_and_out };
		jobs[2].syncs = (struct drm_xrnpe_array){ sizeof(outs), 1, (uintptr_t)&outs };
		jobs[3].syncs = (struct drm_xrnpe_array){ sizeof(ins), 1, (uintptr_t)&ins };
		first = submit_jobs(self->fd, queue_of(self->fd, 2), jobs, 4, 0);
		ASSERT_LT(0, first);
		for (int i = 0; i < 4; i++) {
			struct drm_xrnpe_job_wait end;

			ASSERT_EQ(0, wait_job(self->fd, first + i, in_ms(60000), &end));
			EXPECT_EQ(i == fails * 2 - 2 ? DRM_XRNPE_JOB_FAULT :
				  i == fails * 2 - 1 ? DRM_XRNPE_JOB_CANCELLED : DRM_XRNPE_JOB_DONE,
				  end.state);
			EXPECT_EQ(i == fails * 2 - 1 ? DRM_XRNPE_CANCEL_IN_FENCE :
						       DRM_XRNPE_CANCEL_NONE, end.reason);
		}
		EXPECT_EQ(fails == 1 ? -EIO : 1, syncobj_status(self->fd, syncobj));
		EXPECT_EQ(fails == 1 ? -ECANCELED : 1, syncobj_status(self->fd, after));
		outs.point += 10;
		ins.point += 10;
	}
	/* An earlier one cannot wait for a later one. */
	jobs[0].syncs.pointer = (uintptr_t)&in;
	jobs[1].syncs = (struct drm_xrnpe_array){ sizeof(out), 1, (uintptr_t)&out };
	in.handle = out.handle = make_syncobj(self->fd);
	EXPECT_EQ(-EINVAL, submit_jobs(self->fd, queue_of(self->fd, 2), jobs, 2, 0));
}

/* Who does not want buffers to tell the order has syncs for it. */
TEST_F(queue, no_implicit_sync)
{
	struct drm_xrnpe_region region;
	struct drm_xrnpe_job job = job_args(&self->work, &region);
	struct drm_xrnpe_job_wait end;
	struct gate gate;
	int64_t held, free;

	ASSERT_EQ(0, make_gate(self->fd, &gate));
	held = submit_gated(self->fd, queue_of(self->fd, 3), &self->work, &gate);
	ASSERT_LT(0, held);
	job.flags = DRM_XRNPE_JOB_NO_IMPLICIT_SYNC;
	free = submit_job(self->fd, 2, &job);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, free));
	EXPECT_EQ(-ETIME, wait_job(self->fd, held, 0, &end));
	open_gate(&gate);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, held));
}

/* ---- those that fail again and again ---- */

TEST_F(queue, banned)
{
	const uint32_t max = self->info.max_failures;
	const uint32_t queue = make_queue(self->fd, DRM_XRNPE_PRIORITY_MEDIUM, 100);
	const struct drm_xrnpe_sync out = { make_syncobj(self->fd), DRM_XRNPE_SYNC_SIGNAL, 0 };
	struct drm_xrnpe_job_wait end;
	struct gate gate;
	struct work apart;
	int64_t behind;

	ASSERT_EQ(0, make_work(self->fd, &apart));
	ASSERT_EQ(0, make_gate(self->fd, &gate));
	/* One that ends well in time, and it begins anew. */
	for (uint32_t i = 1; i < max; i++)
		ASSERT_EQ(DRM_XRNPE_JOB_FAULT,
			  state_of(self->fd, submit_to(self->fd, queue, &self->bad, 0)));
	ASSERT_EQ(DRM_XRNPE_JOB_DONE,
		  state_of(self->fd, submit_to(self->fd, queue, &self->work, 0)));

	ASSERT_LT(0, submit_gated(self->fd, queue, &self->work, &gate));
	for (uint32_t i = 0; i < max; i++)
		ASSERT_LT(0, submit_to(self->fd, queue, &self->bad, 0));
	behind = submit_syncs_to(self->fd, queue, &self->work, &out, 1);
	ASSERT_LT(0, behind);
	open_gate(&gate);
	ASSERT_EQ(0, wait_job(self->fd, behind, in_ms(60000), &end));
	EXPECT_EQ(DRM_XRNPE_JOB_CANCELLED, end.state);
	EXPECT_EQ(DRM_XRNPE_CANCEL_BANNED, end.reason);
	EXPECT_EQ(-ECANCELED, syncobj_status(self->fd, out.handle));
	EXPECT_EQ(DRM_XRNPE_JOB_FAULT, state_of(self->fd, behind - 1));
	EXPECT_EQ(-EIO, submit_to(self->fd, queue, &self->work, 0));

	/* No other queue notices. */
	for (int i = 0; i < QUEUES; i++)
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, i, &apart));
	EXPECT_EQ(0, destroy_queue(self->fd, queue));
}

/* ---- clocks ---- */

/*
 * The device's clock and the CPU's tell the same times. The device's was read after the
 * question and before the CPU's, however long that took.
 */
TEST_F(queue, time)
{
	struct drm_xrnpe_dev_time before, after;
	int64_t asked_before, asked_after;
	struct drm_xrnpe_dev_query query = {
		.type = DRM_XRNPE_DEV_QUERY_TIME, .size = sizeof(before),
		.pointer = (uintptr_t)&before,
	};
	struct xrnpe_job_record record;
	struct drm_xrnpe_job_wait end;

	asked_before = now_ns();
	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_XRNPE_DEV_QUERY, &query));
	EXPECT_EQ(sizeof(before), query.size);
	ASSERT_EQ(0, wait_record(self->fd, submit(self->fd, 2, &self->work), &end, &record));
	sleep_ms(200);
	query.pointer = (uintptr_t)&after;
	asked_after = now_ns();
	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_XRNPE_DEV_QUERY, &query));
	EXPECT_LE(asked_before, (int64_t)before.cpu_ns);
	EXPECT_LE(asked_after, (int64_t)after.cpu_ns);
	EXPECT_LE(after.cpu_ns, (uint64_t)now_ns());
	EXPECT_LE(before.timer, record.start);
	EXPECT_LE(record.end, after.timer);

	double device_ms = (double)(after.timer - before.timer) / self->info.timer_khz;
	double least_ms = (asked_after - (int64_t)before.cpu_ns) / 1e6;
	double most_ms = ((int64_t)after.cpu_ns - asked_before) / 1e6;

	EXPECT_LE(200, least_ms);
	EXPECT_LE(least_ms - 1, device_ms);
	EXPECT_GE(most_ms + 1, device_ms);
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: MIT
/*
 * Limits of time, what one may do to others before they are reached, and shares of time. For
 * a machine whose time goes by the guest's instructions, and QEMU's -device
 * xrnpe,x-fault-slow=2000, so that a command takes 2 ms of it: how busy the host is does not
 * matter. Needs root.
 */
#include "xrnpe_limit.h"

#include <pthread.h>

TEST_F(job, endless)
{
	const uint32_t low = QUEUES - 1;
	const struct drm_xrnpe_sync out = { make_syncobj(self->fd), DRM_XRNPE_SYNC_SIGNAL, 0 };
	struct drm_xrnpe_job_wait end;
	struct work endless, other;
	int64_t a, behind[12], begin = now_ns();

	ASSERT_EQ(0, make_slow(self->fd, &endless));
	set_cmd(&endless, 0, matmul_cmd());
	ASSERT_EQ(0, make_work(self->fd, &other));

	a = submit_syncs(self->fd, low, &endless, &out, 1);
	ASSERT_LT(0, a);
	for (int i = 0; i < 12; i++)
		behind[i] = submit(self->fd, low, &self->work);

	/* A more urgent queue is served all the while. */
	do {
		clear_result(&other);
		ASSERT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &other));
		ASSERT_TRUE(result_is_right(&other));
	} while (wait_job(self->fd, a, in_ms(10), &end) == -ETIME);

	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, end.state);
	EXPECT_EQ(-ETIME, syncobj_status(self->fd, out.handle));
	EXPECT_EQ(XRNPE_FAULT_ABORTED, end.fault.kind);
	EXPECT_LE(1, end.fault.cmd);
	EXPECT_LE(self->info.job_timeout_ms, (now_ns() - begin) / 1000000);
	/* Those behind it had to wait; that is all. */
	for (int i = 0; i < 12; i++)
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, behind[i]));
}

/* A job that waits for its turn has all of its time before it. */
TEST_F(job, waiting_is_not_running)
{
	struct work endless, other;
	int64_t first, second, third;

	ASSERT_EQ(0, make_slow(self->fd, &endless));
	ASSERT_EQ(0, make_work(self->fd, &other));

	/* Twice the limit passes on queue 0 while queue 1 waits. */
	first = submit(self->fd, 0, &endless);
	second = submit(self->fd, 0, &endless);
	third = submit(self->fd, 1, &other);
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, first));
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, second));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, third));
}

/* A thread with jobs that are more urgent. */
struct rival {
	pthread_t thread;
	int fd;
	uint32_t queue;
	struct work work;
	volatile bool stop;
};

/* Submit a job when the one before has ended. */
static void *interrupt_others(void *data)
{
	struct rival *r = data;

	while (!r->stop && run_work(r->fd, 0, &r->work) == DRM_XRNPE_JOB_DONE)
		;
	return NULL;
}

/* Who interrupts a job is not charged for it: its time limit is as near as ever. */
TEST_F(job, interrupted_all_the_time)
{
	const uint64_t limit = (uint64_t)self->info.job_timeout_ms * self->info.timer_khz;
	struct rival accomplice = { .fd = open_npu() };
	struct xrnpe_job_record record;
	struct drm_xrnpe_job_wait end;
	struct work interrupted;

	ASSERT_LE(0, accomplice.fd);
	ASSERT_EQ(0, make_work(accomplice.fd, &accomplice.work));
	ASSERT_EQ(0, make_slow(self->fd, &interrupted));
	ASSERT_EQ(0, pthread_create(&accomplice.thread, NULL, interrupt_others, &accomplice));
	ASSERT_EQ(0, wait_record(self->fd, submit(self->fd, 1, &interrupted), &end, &record));
	accomplice.stop = true;
	pthread_join(accomplice.thread, NULL);
	close(accomplice.fd);
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, end.state);
	EXPECT_EQ(XRNPE_FAULT_ABORTED, record.fault.kind);
	EXPECT_LE(limit, record.executed);
	EXPECT_GE(2 * limit, record.executed);
}

/* Submit as many as the queue may hold until told to stop; then all of them have ended. */
static void *keep_busy(void *data)
{
	struct rival *r = data;
	struct drm_xrnpe_region region;
	const struct drm_xrnpe_job job = job_args(&r->work, &region);
	int64_t last;

	do
		last = submit_jobs(r->fd, r->queue, &job, 1, 0);
	while (!r->stop && last > 0);
	state_of(r->fd, last);
	return NULL;
}

/* Two queues of @priority that always have jobs, until they are told to stop. */
static int start_hogs(struct rival hogs[2], int fd, uint32_t priority)
{
	int ret = 0;

	for (int i = 0; !ret && i < 2; i++) {
		hogs[i] = (struct rival){
			.fd = fd, .queue = make_queue(fd, priority, 16),
		};
		ret = make_long(fd, 4, 1, &hogs[i].work);
		if (!ret)
			ret = pthread_create(&hogs[i].thread, NULL, keep_busy, &hogs[i]);
	}
	sleep_ms(100);
	return ret;
}

static void stop_hogs(struct rival hogs[2])
{
	for (int i = 0; i < 2; i++)
		hogs[i].stop = true;
	for (int i = 0; i < 2; i++) {
		pthread_join(hogs[i].thread, NULL);
		unmap_work(&hogs[i].work);
	}
}

/*
 * Whom more urgent jobs, all of them legal, keep from executing ends some day, and is
 * told why. A queue whose jobs time out again and again is banned.
 */
TEST_F_TIMEOUT(job, starved_and_banned, 120)
{
	struct drm_xrnpe_sync out = { .flags = DRM_XRNPE_SYNC_SIGNAL };
	struct drm_xrnpe_job_wait end;
	int64_t jobs[12], starved;
	struct rival hogs[2];
	struct work endless;

	begin_with(_metadata, self, "job_timeout_ms=100");
	out.handle = make_syncobj(self->fd);
	ASSERT_EQ(0, make_slow(self->fd, &endless));
	ASSERT_EQ(0, start_hogs(hogs, self->fd, DRM_XRNPE_PRIORITY_REALTIME));
	starved = submit_syncs(self->fd, 3, &endless, &out, 1);
	EXPECT_EQ(0, wait_job(self->fd, starved, in_ms(60000), &end));
	stop_hogs(hogs);
	EXPECT_EQ(DRM_XRNPE_JOB_CANCELLED, end.state);
	EXPECT_EQ(DRM_XRNPE_CANCEL_STARVED, end.reason);
	EXPECT_EQ(-ETIME, syncobj_status(self->fd, out.handle));
	EXPECT_EQ(XRNPE_FAULT_ABORTED, end.fault.kind);

	for (int i = 0; i < 12; i++)
		jobs[i] = submit(self->fd, 2, &endless);
	for (int i = 0; i < 10; i++)
		EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, jobs[i]));
	for (int i = 10; i < 12; i++)
		EXPECT_EQ(DRM_XRNPE_CANCEL_BANNED, reason_of(self->fd, jobs[i]));
	EXPECT_EQ(-EIO, submit(self->fd, 2, &endless));

	unmap_work(&endless);
	end_with(_metadata, self);
}

/* ---- shares ---- */

/*
 * What everybody may do keeps nobody waiting for ever, nor do in a ring that priorities share
 * those who may do more: who is less urgent has a turn now and then.
 */
TEST_F_TIMEOUT(job, turns_of_the_less_urgent, 120)
{
	const uint32_t low = QUEUES - 1;
	struct rival hogs[2];
	struct work other;

	begin_with(_metadata, self, "job_timeout_ms=100");
	ASSERT_EQ(0, make_work(self->fd, &other));
	ASSERT_EQ(0, start_hogs(hogs, self->fd, self->info.rings == 1 ?
						DRM_XRNPE_PRIORITY_REALTIME :
						DRM_XRNPE_PRIORITY_MEDIUM));
	for (int i = 0; i < 5; i++) {
		clear_result(&other);
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, low, &other));
		EXPECT_TRUE(result_is_right(&other));
	}
	stop_hogs(hogs);
	unmap_work(&other);
	end_with(_metadata, self);
}

/* However much one queue holds, others of the same priority have their turn. */
TEST_F(job, turns)
{
	const int backlog = 100;
	struct xrnpe_job_record mine, hogs;
	struct drm_xrnpe_region region;
	struct drm_xrnpe_job_wait end;
	struct drm_xrnpe_job job;
	struct work hog, other;
	int64_t first, last;

	ASSERT_EQ(0, make_long(self->fd, 1, 1, &hog));
	ASSERT_EQ(0, make_work(self->fd, &other));
	job = job_args(&other, &region);
	first = submit(self->fd, 2, &hog);
	for (int i = 1; i < backlog; i++)
		ASSERT_LT(0, submit(self->fd, 2, &hog));
	last = submit_jobs(self->fd, make_queue(self->fd, DRM_XRNPE_PRIORITY_MEDIUM, 1),
			   &job, 1, 0);
	ASSERT_EQ(0, wait_record(self->fd, last, &end, &mine));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, end.state);
	ASSERT_EQ(0, wait_record(self->fd, first + backlog / 2, &end, &hogs));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, end.state);
	EXPECT_LE(mine.end, hogs.start);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, first + backlog - 1));
}

/* Long jobs are no way to more than one's share: what counts is the time that they execute. */
TEST_F(job, turns_by_time)
{
	const int fds[2] = { open_npu(), open_npu() };
	const unsigned int cmds[2] = { 20, 2 };
	const int count[2] = { 30, 128 };
	struct drm_xrnpe_job_wait end;
	int64_t first[2], ns[2];
	struct work works[2];

	for (int i = 0; i < 2; i++) {
		ASSERT_LE(0, fds[i]);
		ASSERT_EQ(0, make_long(fds[i], cmds[i], 1, &works[i]));
		first[i] = submit(fds[i], 2, &works[i]);
		for (int j = 1; j < count[i]; j++)
			ASSERT_LT(0, submit(fds[i], 2, &works[i]));
	}
	/* While both have work each has half of the time, give or take a few long jobs. */
	ASSERT_EQ(0, wait_job(fds[1], first[1] + 99, in_ms(60000), &end));
	for (int i = 0; i < 2; i++)
		ns[i] = fdinfo(fds[i], "drm-engine-npu:");
	EXPECT_EQ(-ETIME, wait_job(fds[0], first[0] + count[0] - 1, 0, &end));
	EXPECT_LT(ns[1] / 2, ns[0]);
	EXPECT_GT(ns[1] * 2, ns[0]);
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(fds[i], first[i] + count[i] - 1));
		free_work(fds[i], &works[i]);
		close(fds[i]);
	}
}

/*
 * Nor is to be new again and again: one that has had its part is not kept waiting for ever
 * by those that have had nothing.
 */
TEST_F(job, turns_beside_new_ones)
{
	const int64_t end = in_ms(30000);
	struct drm_xrnpe_region region;
	struct drm_xrnpe_job_wait wait;
	int64_t first, jobs[4] = {};
	struct drm_xrnpe_job args;
	int made = 0, ret;
	struct work hog;

	ASSERT_EQ(0, make_long(self->fd, 2, 1, &hog));
	args = job_args(&hog, &region);
	args.flags = DRM_XRNPE_JOB_NO_IMPLICIT_SYNC;
	first = submit(self->fd, 2, &hog);
	for (int i = 1; i < 16; i++)
		ASSERT_LT(0, submit(self->fd, 2, &hog));
	do {
		int64_t *job = &jobs[made++ % 4];

		if (*job) {
			ASSERT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, *job));
			ASSERT_EQ(0, destroy_queue(self->fd, *job >> JOB_BITS));
		}
		*job = submit_jobs(self->fd, make_queue(self->fd, DRM_XRNPE_PRIORITY_MEDIUM, 1),
				   &args, 1, 0);
		ASSERT_LT(0, *job);
		ret = wait_job(self->fd, first + 15, 0, &wait);
	} while (ret == -ETIME && now_ns() < end);
	EXPECT_EQ(0, ret);
	EXPECT_LT(16, made);
}

TEST_HARNESS_MAIN

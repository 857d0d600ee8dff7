// SPDX-License-Identifier: MIT
/*
 * Limits: of time, of memory, and of what one may do to others. Needs root.
 */
#include "xrnpe_job.h"
#include "xrnpe_module.h"

#include <pthread.h>

/* Load the module with parameters: then there is a file, and no work. */
static void begin_with(struct __test_metadata *_metadata, FIXTURE_DATA(job) *self,
		       const char *parameters)
{
	free_work(self->fd, &self->work);
	close(self->fd);
	ASSERT_EQ(0, reload_module(parameters));
	self->fd = open_npu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, device_info(self->fd, &self->info));
}

/* ... and without. Of the file nothing may be mapped. */
static void end_with(struct __test_metadata *_metadata, FIXTURE_DATA(job) *self)
{
	close(self->fd);
	ASSERT_EQ(0, reload_module(""));
	self->fd = open_npu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, make_work(self->fd, &self->work));
}

/* Before its file is closed. */
static void unmap_work(struct work *work)
{
	munmap(work->cmd.map, work->cmd.size);
	munmap(work->data.map, work->data.size);
}

/* ---- time limits ---- */

TEST_F(job, endless)
{
	const uint32_t low = QUEUES - 1;
	struct drm_xrnpe_job_wait end;
	struct work endless, other;
	int64_t a, behind[12], begin = now_ns();

	ASSERT_EQ(0, make_endless(self->fd, &endless));
	set_cmd(&endless, 0, matmul_cmd());
	ASSERT_EQ(0, make_work(self->fd, &other));

	a = submit(self->fd, low, &endless);
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

	ASSERT_EQ(0, make_endless(self->fd, &endless));
	ASSERT_EQ(0, make_work(self->fd, &other));

	/* Twice the limit passes on queue 0 while queue 1 waits. */
	first = submit(self->fd, 0, &endless);
	second = submit(self->fd, 0, &endless);
	third = submit(self->fd, 1, &other);
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, first));
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, second));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, third));
}

struct accomplice {
	pthread_t thread;
	int fd;
	struct work work;
	volatile bool stop;
};

static void *interrupt_others(void *data)
{
	struct accomplice *a = data;

	while (!a->stop && run_work(a->fd, 0, &a->work) == DRM_XRNPE_JOB_DONE)
		;
	return NULL;
}

/* Who interrupts a job is not charged for it: its time limit is as near as ever. */
TEST_F(job, interrupted_all_the_time)
{
	const uint64_t limit = (uint64_t)self->info.job_timeout_ms * self->info.timer_khz;
	struct accomplice accomplice = { .fd = open_npu() };
	struct xrnpe_job_record record;
	struct drm_xrnpe_job_wait end;
	struct work interrupted;

	ASSERT_LE(0, accomplice.fd);
	ASSERT_EQ(0, make_work(accomplice.fd, &accomplice.work));
	ASSERT_EQ(0, make_long(self->fd, 8192, 8192, &interrupted));
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

/*
 * A job that ends just when its time is up ends well or by the limit, and nothing of
 * that falls on the one behind it.
 */
TEST_F_TIMEOUT(job, time_is_up, 120)
{
	const unsigned int limit = 100, most = 8192, m = 64;
	unsigned int done = 0, timeouts = 0;
	struct xrnpe_job_record record;
	struct drm_xrnpe_job_wait end;
	struct work edge, behind;

	begin_with(_metadata, self, "job_timeout_ms=100");
	ASSERT_EQ(0, make_work(self->fd, &behind));
	ASSERT_EQ(0, make_long(self->fd, most, m, &edge));

	/* Too long, or soon so; then a little shorter than one that was, or longer. */
	edge.cmds = 512;
	for (int i = 0; i < 200 && (done < 30 || timeouts < 30); i++) {
		int64_t first, second;

		clear_result(&behind);
		first = submit(self->fd, 1, &edge);
		second = submit(self->fd, 1, &behind);
		ASSERT_EQ(0, wait_record(self->fd, first, &end, &record));
		if (end.state == DRM_XRNPE_JOB_TIMEOUT) {
			timeouts++;
			EXPECT_EQ(XRNPE_FAULT_ABORTED, record.fault.kind);
			EXPECT_LE((uint64_t)limit * self->info.timer_khz, record.executed);
			edge.cmds -= edge.cmds / 16;
		} else {
			done++;
			EXPECT_EQ(DRM_XRNPE_JOB_DONE, end.state);
			EXPECT_EQ(edge.cmds, record.counters.commands);
			if (edge.cmds + edge.cmds / 12 <= most)
				edge.cmds += edge.cmds / 12;
		}
		ASSERT_EQ(0, wait_record(self->fd, second, &end, &record));
		/* On a host that has no time for it, its own may be up. */
		if (end.state == DRM_XRNPE_JOB_TIMEOUT) {
			EXPECT_LE((uint64_t)limit * self->info.timer_khz, record.executed);
			continue;
		}
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, end.state);
		EXPECT_TRUE(result_is_right(&behind));
	}
	EXPECT_LE(5, done);
	EXPECT_LE(5, timeouts);
	TH_LOG("%u done, %u timeouts, %u commands last", done, timeouts, edge.cmds);

	unmap_work(&behind);
	unmap_work(&edge);
	end_with(_metadata, self);
}

struct hog {
	pthread_t thread;
	int fd;
	uint32_t queue;
	struct work work;
	volatile bool stop;
};

/* Until told to stop; then all of it has ended. */
static void *keep_busy(void *data)
{
	struct hog *h = data;
	struct drm_xrnpe_region region;
	const struct drm_xrnpe_job job = job_args(&h->work, &region);
	int64_t last;

	do
		last = submit_jobs(h->fd, h->queue, &job, 1, 0);
	while (!h->stop && last > 0);
	state_of(h->fd, last);
	return NULL;
}

/*
 * Whom more urgent jobs, all of them legal, keep from executing ends some day, and is
 * told why. A queue whose jobs time out again and again is banned.
 */
TEST_F_TIMEOUT(job, starved_and_banned, 120)
{
	struct drm_xrnpe_job_wait end;
	struct hog hogs[2] = {};
	int64_t jobs[12], starved;
	struct work endless;

	begin_with(_metadata, self, "job_timeout_ms=100");
	/* Commands so short that it gets little done between two of the others' jobs. */
	ASSERT_EQ(0, make_long(self->fd, 8192, 32, &endless));
	for (int i = 0; i < 2; i++) {
		hogs[i].fd = self->fd;
		hogs[i].queue = make_queue(self->fd, DRM_XRNPE_PRIORITY_REALTIME, 32);
		ASSERT_EQ(0, make_long(self->fd, 4, 256, &hogs[i].work));
		ASSERT_EQ(0, pthread_create(&hogs[i].thread, NULL, keep_busy, &hogs[i]));
	}
	sleep_ms(100);
	starved = submit(self->fd, 3, &endless);
	EXPECT_EQ(0, wait_job(self->fd, starved, in_ms(60000), &end));
	for (int i = 0; i < 2; i++)
		hogs[i].stop = true;
	for (int i = 0; i < 2; i++)
		pthread_join(hogs[i].thread, NULL);
	EXPECT_EQ(DRM_XRNPE_JOB_CANCELLED, end.state);
	EXPECT_EQ(DRM_XRNPE_CANCEL_STARVED, end.reason);
	EXPECT_EQ(XRNPE_FAULT_ABORTED, end.fault.kind);

	for (int i = 0; i < 12; i++)
		jobs[i] = submit(self->fd, 2, &endless);
	for (int i = 0; i < 10; i++)
		EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, jobs[i]));
	for (int i = 10; i < 12; i++)
		EXPECT_EQ(DRM_XRNPE_CANCEL_BANNED, reason_of(self->fd, jobs[i]));
	EXPECT_EQ(-EIO, submit(self->fd, 2, &endless));

	unmap_work(&endless);
	for (int i = 0; i < 2; i++)
		unmap_work(&hogs[i].work);
	end_with(_metadata, self);
}

/* ---- memory ---- */

/* Create buffers of @size until there are @bytes, or an error. */
static int take_memory(int fd, uint64_t size, uint64_t bytes)
{
	int ret = 0;

	for (; !ret && bytes >= size; bytes -= size) {
		struct drm_xrnpe_bo_create args = { .size = size };

		ret = call(fd, DRM_IOCTL_XRNPE_BO_CREATE, &args);
	}
	return ret;
}

/* Neither a file nor all of them together may have more than their share. */
TEST_F(job, memory_limits)
{
	const uint64_t mib = 1 << 20;
	int fds[3];

	begin_with(_metadata, self, "memory_mib=10 client_memory_mib=4");
	EXPECT_EQ(4 * mib, self->info.max_client_memory);
	for (int i = 0; i < 3; i++) {
		fds[i] = open_npu();
		ASSERT_LE(0, fds[i]);
	}
	/* Large ones and small ones. */
	EXPECT_EQ(-ENOMEM, take_memory(fds[0], 4 * mib + 1, 5 * mib));
	EXPECT_EQ(0, take_memory(fds[0], mib, 4 * mib));
	EXPECT_EQ(-ENOMEM, take_memory(fds[0], 4096, 4096));
	EXPECT_EQ(0, take_memory(fds[1], 4096, 4 * mib));
	EXPECT_EQ(-ENOMEM, take_memory(fds[1], mib, mib));
	EXPECT_EQ(0, take_memory(fds[2], mib, 2 * mib));
	EXPECT_EQ(-ENOMEM, take_memory(fds[2], 4096, 4096));
	/* What is given back may be taken again. */
	close(fds[0]);
	EXPECT_EQ(0, take_memory(fds[2], mib, 2 * mib));
	close(fds[1]);
	close(fds[2]);
	end_with(_metadata, self);
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: MIT
/*
 * In what order jobs execute: syncobjs, and fences that fail.
 */
#include "xrnpe_job.h"

#include <poll.h>
#include <pthread.h>

TEST_F(job, binary_syncobjs)
{
	struct drm_xrnpe_sync first, second[2];
	struct drm_xrnpe_job_wait end;
	struct gate gate;
	struct work other;
	int64_t a, b;

	ASSERT_EQ(0, make_gate(self->fd, &gate));
	ASSERT_EQ(0, make_work(self->fd, &other));
	/* b waits for a, on another queue and on other buffers. */
	struct drm_xrnpe_sync syncs[2] = {
		wait_gate(&gate), { make_syncobj(self->fd), DRM_XRNPE_SYNC_SIGNAL, 0 },
	};

	a = submit_syncs(self->fd, 3 % QUEUES, &self->work, syncs, 2);
	ASSERT_LT(0, a);
	first = (struct drm_xrnpe_sync){ .handle = syncs[1].handle };
	second[0] = first;
	second[1] = (struct drm_xrnpe_sync){ make_syncobj(self->fd), DRM_XRNPE_SYNC_SIGNAL, 0 };
	b = submit_syncs(self->fd, 0, &other, second, 2);
	ASSERT_LT(0, b);

	EXPECT_EQ(-ETIME, wait_job(self->fd, b, in_ms(50), &end));
	EXPECT_EQ(-ETIME, wait_syncobj(self->fd, second[1].handle, 0, 0));
	open_gate(&gate);
	EXPECT_EQ(0, wait_syncobj(self->fd, second[1].handle, 0, in_ms(60000)));
	/* b has ended, so a has. */
	EXPECT_EQ(0, wait_job(self->fd, a, 0, &end));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, end.state);
	EXPECT_EQ(0, wait_job(self->fd, b, 0, &end));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, end.state);
}

TEST_F(job, timeline_syncobjs)
{
	const uint32_t timeline = make_syncobj(self->fd);
	struct drm_xrnpe_job_wait end;
	struct work works[4];
	struct gate gate;
	int64_t jobs[4];

	ASSERT_EQ(0, make_gate(self->fd, &gate));
	for (unsigned int i = 0; i < 4; i++) {
		/* Job i waits for point 10 i and signals 10 (i + 1). */
		struct drm_xrnpe_sync syncs[2] = {
			{ timeline, DRM_XRNPE_SYNC_TIMELINE, 10 * i },
			{ timeline, DRM_XRNPE_SYNC_TIMELINE | DRM_XRNPE_SYNC_SIGNAL, 10 * (i + 1) },
		};

		if (!i)
			syncs[0] = wait_gate(&gate);
		ASSERT_EQ(0, make_work(self->fd, &works[i]));
		jobs[i] = submit_syncs(self->fd, i % QUEUES, &works[i], syncs, 2);
		ASSERT_LT(0, jobs[i]);
	}
	EXPECT_EQ(-ETIME, wait_syncobj(self->fd, timeline, 10, in_ms(50)));
	EXPECT_EQ(-ETIME, wait_job(self->fd, jobs[3], 0, &end));
	open_gate(&gate);
	EXPECT_EQ(0, wait_syncobj(self->fd, timeline, 40, in_ms(60000)));
	for (unsigned int i = 0; i < 4; i++) {
		EXPECT_EQ(0, wait_job(self->fd, jobs[i], 0, &end));
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, end.state);
		EXPECT_TRUE(result_is_right(&works[i]));
	}
}

/* A point of a timeline as others have made it so far, and jobs of the same SUBMIT behind it. */
TEST_F(job, timeline_goes_on_in_an_array)
{
	const uint32_t timeline = make_syncobj(self->fd);
	const uint32_t signal = DRM_XRNPE_SYNC_TIMELINE | DRM_XRNPE_SYNC_SIGNAL;
	struct drm_xrnpe_sync syncs[4] = {
		{ timeline, signal, 20 }, { timeline, DRM_XRNPE_SYNC_TIMELINE, 5 },
		{ timeline, signal, 40 }, { timeline, DRM_XRNPE_SYNC_TIMELINE, 30 },
	};
	struct drm_xrnpe_sync gated[2];
	struct drm_xrnpe_region region;
	struct drm_xrnpe_job jobs[2];
	struct drm_xrnpe_job_wait end;
	struct work other;
	struct gate gate;
	int64_t point, first[2];

	ASSERT_EQ(0, make_gate(self->fd, &gate));
	ASSERT_EQ(0, make_work(self->fd, &other));
	gated[0] = wait_gate(&gate);
	gated[1] = (struct drm_xrnpe_sync){ timeline, signal, 5 };
	point = submit_syncs(self->fd, 3, &other, gated, 2);
	ASSERT_LT(0, point);

	/* One waits for 5, which is there, the other for 30, which 40 signals when 5 has, too. */
	for (int i = 0; i < 2; i++) {
		for (int j = 0; j < 2; j++) {
			jobs[j] = job_args(&self->work, &region);
			jobs[j].syncs = (struct drm_xrnpe_array){ sizeof(syncs[0]), 1,
								  (uintptr_t)&syncs[2 * i + j] };
		}
		first[i] = submit_jobs(self->fd, queue_of(self->fd, i), jobs, 2, 0);
		ASSERT_LT(0, first[i]);
	}
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, first[0]));
	EXPECT_EQ(-ETIME, wait_job(self->fd, first[0] + 1, in_ms(100), &end));
	EXPECT_EQ(-ETIME, wait_job(self->fd, first[1] + 1, in_ms(100), &end));
	open_gate(&gate);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, first[0] + 1));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, first[1] + 1));
	EXPECT_EQ(0, wait_job(self->fd, point, 0, &end));
}

/* Who waits for a point has nothing to do with jobs of the same SUBMIT that go beyond it. */
TEST_F(job, timeline_point_of_the_first_in_an_array)
{
	const uint32_t timeline = make_syncobj(self->fd);
	const struct drm_xrnpe_sync syncs[3] = {
		{ timeline, DRM_XRNPE_SYNC_TIMELINE | DRM_XRNPE_SYNC_SIGNAL, 10 },
		{ timeline, DRM_XRNPE_SYNC_TIMELINE | DRM_XRNPE_SYNC_SIGNAL, 20 },
		{ timeline, DRM_XRNPE_SYNC_TIMELINE, 5 },
	};
	struct drm_xrnpe_region region;
	struct drm_xrnpe_job jobs[3];
	struct work bad = self->work;
	int64_t first;

	ASSERT_EQ(0, make_bo(self->fd, 4096, 0, &bad.cmd));
	set_cmd(&bad, 0, (struct xrnpe_cmd){});
	for (int i = 0; i < 3; i++) {
		jobs[i] = job_args(i == 1 ? &bad : &self->work, &region);
		jobs[i].syncs = (struct drm_xrnpe_array){ sizeof(syncs[0]), 1, (uintptr_t)&syncs[i] };
	}
	first = submit_jobs(self->fd, queue_of(self->fd, 0), jobs, 3, 0);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, first));
	EXPECT_EQ(DRM_XRNPE_JOB_FAULT, state_of(self->fd, first + 1));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, first + 2));
}

/* If what a job waits for fails, so does the job; its own waiters, too. */
TEST_F(job, failed_in_fence)
{
	struct drm_xrnpe_sync syncs[2], next;
	struct gate gate;
	int64_t a, b;

	ASSERT_EQ(0, make_gate(self->fd, &gate));
	syncs[0] = wait_gate(&gate);
	syncs[1] = (struct drm_xrnpe_sync){ make_syncobj(self->fd), DRM_XRNPE_SYNC_SIGNAL, 0 };
	a = submit_syncs(self->fd, 0, &self->work, syncs, 2);
	next = (struct drm_xrnpe_sync){ .handle = syncs[1].handle };
	b = submit_syncs(self->fd, 1, &self->work, &next, 1);
	clear_result(&self->work);
	break_gate(&gate);
	EXPECT_EQ(DRM_XRNPE_JOB_CANCELLED, state_of(self->fd, a));
	EXPECT_EQ(DRM_XRNPE_JOB_CANCELLED, state_of(self->fd, b));
	EXPECT_EQ(DRM_XRNPE_CANCEL_IN_FENCE, reason_of(self->fd, a));
	EXPECT_EQ(DRM_XRNPE_CANCEL_IN_FENCE, reason_of(self->fd, b));
	EXPECT_FALSE(result_is_right(&self->work));
}

static void *look_at_fdinfo(void *data)
{
	volatile bool *stop = data;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", open_npu());
	while (!*stop)
		read_file(path);
	return NULL;
}

/* However soon it fails, while others keep the driver busy. */
TEST_F(job, failed_in_fence_at_once)
{
	struct drm_xrnpe_sync out = { make_syncobj(self->fd), DRM_XRNPE_SYNC_SIGNAL, 0 };
	const struct drm_xrnpe_sync in = { .handle = out.handle };
	struct work bad = self->work;
	volatile bool stop = false;
	pthread_t threads[3];
	int64_t end;

	ASSERT_EQ(0, make_bo(self->fd, 4096, 0, &bad.cmd));
	set_cmd(&bad, 0, (struct xrnpe_cmd){});
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, look_at_fdinfo, (void *)&stop));
	/* On a kernel that is slow not as often. */
	end = in_ms(10000);
	for (int i = 0; i < 50 || (i < 500 && now_ns() < end); i++) {
		int64_t a, b;

		/* So that not ten faults come in a row. */
		ASSERT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 0, &self->work));
		a = submit_syncs(self->fd, 0, &bad, &out, 1);
		b = submit_syncs(self->fd, 0, &self->work, &in, 1);
		ASSERT_EQ(DRM_XRNPE_JOB_FAULT, state_of(self->fd, a));
		ASSERT_EQ(DRM_XRNPE_JOB_CANCELLED, state_of(self->fd, b));
	}
	stop = true;
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}

/* The same inside a ring, where the device would go on by itself. */
TEST_F(job, failed_in_fence_same_queue)
{
	const uint32_t timeline = make_syncobj(self->fd);
	struct work bad = self->work;
	struct drm_xrnpe_sync gated[2];
	int64_t a, b, c, d;
	struct gate gate;

	ASSERT_EQ(0, make_bo(self->fd, 4096, 0, &bad.cmd));
	set_cmd(&bad, 0, (struct xrnpe_cmd){});
	ASSERT_EQ(0, make_gate(self->fd, &gate));
	gated[0] = wait_gate(&gate);
	gated[1] = (struct drm_xrnpe_sync){
		timeline, DRM_XRNPE_SYNC_TIMELINE | DRM_XRNPE_SYNC_SIGNAL, 1,
	};
	struct drm_xrnpe_sync after[2] = {
		{ timeline, DRM_XRNPE_SYNC_TIMELINE, 1 },
		{ timeline, DRM_XRNPE_SYNC_TIMELINE | DRM_XRNPE_SYNC_SIGNAL, 2 },
	};
	struct drm_xrnpe_sync last = { timeline, DRM_XRNPE_SYNC_TIMELINE, 2 };

	a = submit_syncs(self->fd, 0, &bad, gated, 2);
	b = submit(self->fd, 0, &self->work);
	c = submit_syncs(self->fd, 0, &self->work, after, 2);
	d = submit_syncs(self->fd, 0, &self->work, &last, 1);
	open_gate(&gate);
	EXPECT_EQ(DRM_XRNPE_JOB_FAULT, state_of(self->fd, a));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, b));
	EXPECT_EQ(DRM_XRNPE_JOB_CANCELLED, state_of(self->fd, c));
	EXPECT_EQ(DRM_XRNPE_JOB_CANCELLED, state_of(self->fd, d));
}

/* Whether @job has not ended, and will not soon. */
static bool goes_on(int fd, int64_t job)
{
	struct drm_xrnpe_job_wait end;

	return wait_job(fd, job, in_ms(200), &end) == -ETIME;
}

/*
 * A job that does not begin, since its in-fence failed, ends when those before it have, as
 * a fence stands for all before it of its queue, in a buffer, too.
 */
TEST_F(job, failed_in_fence_ends_in_order)
{
	const int64_t queue = make_queue(self->fd, DRM_XRNPE_PRIORITY_LOW, 4);
	struct drm_prime_handle share = { .flags = DRM_CLOEXEC };
	struct drm_xrnpe_region regions[2];
	struct drm_xrnpe_sync syncs[2], next;
	struct drm_xrnpe_job jobs[4];
	struct drm_xrnpe_job_wait end;
	struct pollfd written;
	struct work endless;
	struct gate gate;
	int64_t a;

	ASSERT_LT(0, queue);
	ASSERT_EQ(0, make_endless(self->fd, &endless));
	ASSERT_EQ(0, make_gate(self->fd, &gate));
	syncs[0] = wait_gate(&gate);
	syncs[1] = (struct drm_xrnpe_sync){ make_syncobj(self->fd), DRM_XRNPE_SYNC_SIGNAL, 0 };
	next = (struct drm_xrnpe_sync){ .handle = syncs[1].handle };
	break_gate(&gate);

	for (int i = 0; i < 4; i++)
		jobs[i] = job_args(i < 2 ? &endless : &self->work, &regions[i / 2]);
	jobs[1].syncs = (struct drm_xrnpe_array){ sizeof(syncs[0]), 2, (uintptr_t)syncs };
	jobs[2].syncs = (struct drm_xrnpe_array){ sizeof(next), 1, (uintptr_t)&next };
	a = submit_jobs(self->fd, queue, jobs, 4, 0);
	ASSERT_LT(0, a);
	share.handle = endless.data.handle;
	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &share));
	written = (struct pollfd){ .fd = share.fd, .events = POLLIN };

	EXPECT_TRUE(goes_on(self->fd, a + 1));
	EXPECT_EQ(0, poll(&written, 1, 0));
	/* Two more would be six in a queue of four. */
	EXPECT_EQ(-EBUSY, submit_jobs(self->fd, queue, &jobs[2], 2, DRM_XRNPE_SUBMIT_NONBLOCK));
	EXPECT_EQ(-ETIME, wait_job(self->fd, a, 0, &end));
	EXPECT_EQ(DRM_XRNPE_CANCEL_IN_FENCE, reason_of(self->fd, a + 1));
	EXPECT_EQ(0, wait_job(self->fd, a, 0, &end));
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, end.state);
	EXPECT_EQ(DRM_XRNPE_CANCEL_IN_FENCE, reason_of(self->fd, a + 2));
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, a + 3));
	EXPECT_EQ(1, poll(&written, 1, 0));
	close(share.fd);
}

/* The same if it is in the ring already when its in-fence fails, of a job of another queue. */
TEST_F(job, failed_in_fence_in_the_ring_ends_in_order)
{
	const int64_t first = make_queue(self->fd, DRM_XRNPE_PRIORITY_LOW, 8);
	const int64_t second = make_queue(self->fd, DRM_XRNPE_PRIORITY_LOW, 8);
	struct drm_xrnpe_sync out = { make_syncobj(self->fd), DRM_XRNPE_SYNC_SIGNAL, 0 };
	const struct drm_xrnpe_sync in = { .handle = out.handle };
	struct drm_xrnpe_region regions[3];
	struct work endless, bad = self->work;
	struct drm_xrnpe_job job;
	int64_t a, b, c, d;

	ASSERT_LT(0, first);
	ASSERT_LT(0, second);
	ASSERT_EQ(0, make_endless(self->fd, &endless));
	ASSERT_EQ(0, make_bo(self->fd, 4096, 0, &bad.cmd));
	set_cmd(&bad, 0, (struct xrnpe_cmd){});
	/* Once it is known that a queue has short jobs, its next ones get to the ring at once. */
	job = job_args(&self->work, &regions[0]);
	for (int i = 0; i < 6; i++)
		ASSERT_EQ(DRM_XRNPE_JOB_DONE,
			  state_of(self->fd, submit_jobs(self->fd, second, &job, 1, 0)));

	a = submit(self->fd, 3, &endless);
	job = job_args(&bad, &regions[0]);
	job.syncs = (struct drm_xrnpe_array){ sizeof(out), 1, (uintptr_t)&out };
	job.flags = DRM_XRNPE_JOB_NO_IMPLICIT_SYNC;
	b = submit_jobs(self->fd, first, &job, 1, 0);
	job = job_args(&endless, &regions[1]);
	job.flags = DRM_XRNPE_JOB_NO_IMPLICIT_SYNC;
	c = submit_jobs(self->fd, second, &job, 1, 0);
	job = job_args(&self->work, &regions[2]);
	job.flags = DRM_XRNPE_JOB_NO_IMPLICIT_SYNC;
	job.syncs = (struct drm_xrnpe_array){ sizeof(in), 1, (uintptr_t)&in };
	d = submit_jobs(self->fd, second, &job, 1, 0);

	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, a));
	EXPECT_EQ(DRM_XRNPE_JOB_FAULT, state_of(self->fd, b));
	EXPECT_TRUE(goes_on(self->fd, d));
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, c));
	EXPECT_EQ(DRM_XRNPE_CANCEL_IN_FENCE, reason_of(self->fd, d));
}

TEST_HARNESS_MAIN

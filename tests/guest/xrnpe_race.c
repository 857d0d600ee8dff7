// SPDX-License-Identifier: MIT
/*
 * Threads that do all that the driver is for, at once, with queues, buffers and monitors of the
 * same file and of two, for XRNPE_RACE_SECONDS, 1 unless that is set. It is for `make
 * races-driver`: calls are short, and close upon each other, so that a data race is met.
 */
#include "xrnpe_module.h"
#include "xrnpe_work.h"

#include <pthread.h>

#define THREADS 4

/* What they share: two files, work of each, and a monitor. */
struct shared {
	int fds[2];
	struct work works[2];
	int64_t perfmons[2];
	char rings[300], buffers[300];	/* in debugfs */
	atomic_bool over;
};

struct racer {
	pthread_t thread;
	struct shared *shared;
	unsigned int index, jobs;
	int64_t error;
};

FIXTURE(race)
{
	struct shared shared;
};

FIXTURE_SETUP(race)
{
	struct shared *s = &self->shared;
	char device[256];

	find_device(device, sizeof(device));
	snprintf(s->rings, sizeof(s->rings), "/sys/kernel/debug/accel/%s/rings", device);
	snprintf(s->buffers, sizeof(s->buffers), "/sys/kernel/debug/accel/%s/buffers", device);
	for (int i = 0; i < 2; i++) {
		s->fds[i] = open_npu();
		ASSERT_LE(0, s->fds[i]) TH_LOG("no xrnpe node");
		ASSERT_EQ(0, make_work(s->fds[i], &s->works[i]));
		s->perfmons[i] = make_perfmon(s->fds[i]);
		ASSERT_LT(0, s->perfmons[i]);
		/* Before threads look for them. */
		for (int q = 1; q < 3; q++)
			ASSERT_NE(0, queue_of(s->fds[i], q));
	}
}

FIXTURE_TEARDOWN(race)
{
	for (int i = 0; i < 2; i++)
		close(self->shared.fds[i]);
}

/* Submit as fast as may be, and wait for some. */
static int64_t submit_some(struct racer *r, int fd, struct work *work, uint32_t perfmon)
{
	struct drm_xrnpe_job_wait end;
	struct drm_xrnpe_region region;
	struct drm_xrnpe_job job = job_args(work, &region);
	uint32_t queue = queue_of(fd, 1 + r->index % 2);
	int64_t number;
	int ret;

	job.perfmon = perfmon;
	number = submit_jobs(fd, queue, &job, 1, DRM_XRNPE_SUBMIT_NONBLOCK);
	if (number == -EBUSY)
		return 0;
	if (number < 0 || ++r->jobs % 4)
		return number;
	ret = wait_job(fd, number, in_ms(60000), &end);
	return ret == -ESTALE ? 0 : ret;
}

/* What others look at meanwhile. */
static int64_t look_around(const struct shared *s, int fd, uint32_t perfmon)
{
	struct drm_xrnpe_perfmon_values sums;
	int ret = get_values(fd, perfmon, &sums);

	if (ret || resets_of(fd) < 0 || fdinfo(fd, "drm-engine-npu:") < 0)
		return ret ? ret : -EIO;
	read_file(s->rings);
	read_file(s->buffers);
	return 0;
}

static int64_t make_and_close(int fd)
{
	struct drm_xrnpe_bo_create create = { .size = 4096, .flags = DRM_XRNPE_BO_CACHED };
	struct drm_xrnpe_bo_set_label label = { .label = (uintptr_t)"race" };
	int ret = call(fd, DRM_IOCTL_XRNPE_BO_CREATE, &create);
	int64_t queue;

	if (ret)
		return ret;
	label.handle = create.handle;
	ret = call(fd, DRM_IOCTL_XRNPE_BO_SET_LABEL, &label);
	close_handle(fd, create.handle);
	queue = make_queue(fd, DRM_XRNPE_PRIORITY_LOW, 4);
	return ret ? ret : queue < 0 ? queue : destroy_queue(fd, queue);
}

static void *race(void *data)
{
	struct racer *r = data;
	struct shared *s = r->shared;

	for (unsigned int i = 0; r->error >= 0 && !s->over; i++) {
		/* Mostly the one file, now and then the other. */
		const unsigned int which = (r->index / 2 + !(i % 8)) % 2;
		const int fd = s->fds[which];

		r->error = submit_some(r, fd, &s->works[which], s->perfmons[which]);
		if (r->error >= 0 && i % 16 == 0)
			r->error = look_around(s, fd, s->perfmons[which]);
		if (r->error >= 0 && i % 16 == 8)
			r->error = make_and_close(fd);
	}
	return NULL;
}

TEST_F_TIMEOUT(race, of_threads, 86400)
{
	const int seconds = atoi(getenv("XRNPE_RACE_SECONDS") ?: "1");
	struct racer racers[THREADS] = {};

	for (unsigned int i = 0; i < THREADS; i++) {
		racers[i].shared = &self->shared;
		racers[i].index = i;
		ASSERT_EQ(0, pthread_create(&racers[i].thread, NULL, race, &racers[i]));
	}
	sleep_ms(1000L * seconds);
	self->shared.over = true;
	for (unsigned int i = 0; i < THREADS; i++) {
		pthread_join(racers[i].thread, NULL);
		EXPECT_LE(0, racers[i].error);
		EXPECT_LT(0, racers[i].jobs);
		TH_LOG("%u jobs", racers[i].jobs);
	}
	for (int i = 0; i < 2; i++) {
		clear_result(&self->shared.works[i]);
		EXPECT_EQ(DRM_XRNPE_JOB_DONE,
			  run_work(self->shared.fds[i], 1, &self->shared.works[i]));
		EXPECT_TRUE(result_is_right(&self->shared.works[i]));
	}
}

TEST_HARNESS_MAIN

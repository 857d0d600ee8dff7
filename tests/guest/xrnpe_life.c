// SPDX-License-Identifier: MIT
/*
 * The device and the module come and go, sleep and wake, under use. Needs root.
 */
#include "xrnpe_module.h"
#include "xrnpe_sync.h"
#include "xrnpe_work.h"

#include <pthread.h>
#include <sys/wait.h>

FIXTURE(life)
{
	int fd;
	char device[256];
	struct work work;
	struct drm_xrnpe_dev_info info;
};

FIXTURE_SETUP(life)
{
	find_device(self->device, sizeof(self->device));
	ASSERT_NE('\0', self->device[0]) TH_LOG("no device is bound to the driver");
	self->fd = open_npu();
	ASSERT_GE(self->fd, 0) TH_LOG("no xrnpe node");
	ASSERT_EQ(0, device_info(self->fd, &self->info));
	ASSERT_EQ(0, make_work(self->fd, &self->work));
}

FIXTURE_TEARDOWN(life)
{
	struct work work;
	int fd = open_npu();

	/* Whatever a test did, a new file finds a device that works. */
	EXPECT_LE(0, fd);
	EXPECT_EQ(0, make_work(fd, &work));
	clear_result(&work);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(fd, 0, &work));
	EXPECT_TRUE(result_is_right(&work));
	close(fd);
	close(self->fd);
}

/* ---- power ---- */

TEST_F(life, runtime_suspend)
{
	struct work endless;
	struct drm_xrnpe_job_wait end;
	struct gate gate;
	struct drm_xrnpe_sync sync;
	int64_t job;
	bool active;
	int ret;

	for (int i = 0; i < 3; i++) {
		clear_result(&self->work);
		ASSERT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, i, &self->work));
		ASSERT_TRUE(result_is_right(&self->work));
		/* With the file open, and buffers. */
		ASSERT_TRUE(status_becomes(self->device, "suspended"));
	}

	/* A job that waits for a fence keeps nothing awake. */
	ASSERT_EQ(0, make_gate(self->fd, &gate));
	sync = wait_gate(&gate);
	job = submit_syncs(self->fd, 0, &self->work, &sync, 1);
	EXPECT_TRUE(status_becomes(self->device, "suspended"));
	EXPECT_EQ(-ETIME, wait_job(self->fd, job, in_ms(300), &end));
	EXPECT_TRUE(status_is(self->device, "suspended"));
	open_gate(&gate);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, job));

	/* One that executes does, and as long as it does. */
	ASSERT_EQ(0, make_endless(self->fd, &endless));
	mark_result(endless.data.map);
	job = submit(self->fd, 0, &endless);
	EXPECT_TRUE(result_comes(endless.data.map, 60000));
	do {
		active = status_is(self->device, "active");
		/* What was read when it had ended tells nothing. */
		ret = wait_job(self->fd, job, in_ms(10), &end);
		EXPECT_TRUE(active || ret != -ETIME);
	} while (ret == -ETIME);
	EXPECT_EQ(0, ret);
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, end.state);
	EXPECT_TRUE(status_becomes(self->device, "suspended"));
}

/* ---- coming and going ---- */

struct waiter {
	pthread_t thread;
	atomic_int tid;		/* once it runs */
	int fd;
	int64_t job;
	int ret;
	struct work work;
	struct drm_xrnpe_job_wait end;
};

static void *wait_in_thread(void *data)
{
	struct waiter *w = data;

	w->tid = gettid();
	w->ret = wait_job(w->fd, w->job, in_ms(60000), &w->end);
	return NULL;
}

/* The device is taken away while a job executes, others wait, and so do threads. */
TEST_F(life, unbind_in_use)
{
	struct drm_xrnpe_bo_create create = { .size = 4096 };
	struct drm_xrnpe_sync sync;
	struct work endless;
	struct waiter waiters[3] = {};
	struct gate gate;
	int again;

	ASSERT_EQ(0, make_gate(self->fd, &gate));
	sync = wait_gate(&gate);
	ASSERT_EQ(0, make_endless(self->fd, &endless));
	waiters[0].job = submit(self->fd, 0, &endless);
	waiters[1].job = submit(self->fd, 0, &self->work);
	waiters[2].job = submit_syncs(self->fd, 1, &self->work, &sync, 1);
	for (int i = 0; i < 3; i++) {
		ASSERT_LT(0, waiters[i].job);
		waiters[i].fd = self->fd;
		ASSERT_EQ(0, pthread_create(&waiters[i].thread, NULL, wait_in_thread, &waiters[i]));
	}
	for (int i = 0; i < 3; i++)
		ASSERT_TRUE(sleeps_in(&waiters[i].tid, DRM_IOCTL_XRNPE_JOB_WAIT));

	EXPECT_EQ(0, bind_device(self->device, "unbind"));
	open_gate(&gate);
	for (int i = 0; i < 3; i++) {
		pthread_join(waiters[i].thread, NULL);
		EXPECT_EQ(0, waiters[i].ret);
		EXPECT_EQ(DRM_XRNPE_JOB_CANCELLED, waiters[i].end.state);
		EXPECT_EQ(DRM_XRNPE_CANCEL_LOST, waiters[i].end.reason);
	}

	/* The file is of no use any more, and does no harm. */
	EXPECT_EQ(-ENODEV, call(self->fd, DRM_IOCTL_XRNPE_BO_CREATE, &create));
	EXPECT_EQ(-ENODEV, submit(self->fd, 0, &self->work));
	EXPECT_EQ(-ENODEV, wait_job(self->fd, waiters[0].job, 0, &waiters[0].end));
	EXPECT_EQ(-1, open_npu());

	/* The device comes back beside it. */
	EXPECT_EQ(0, bind_device(self->device, "bind"));
	again = open_npu();
	EXPECT_LE(0, again);
	EXPECT_EQ(-ENODEV, submit(self->fd, 0, &self->work));
	close(again);
}

/* ... and while many threads submit: nobody hangs. */
static void *submit_until_gone(void *data)
{
	struct waiter *w = data;
	int64_t job;

	for (int i = 0; (job = submit(w->fd, i % 4, &w->work)) > 0; i++)
		if (i % 3 == 0)
			wait_job(w->fd, job, in_ms(60000), &w->end);
	w->ret = job;
	return NULL;
}

TEST_F(life, unbind_under_fire)
{
	struct waiter threads[4] = {};

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 4; i++) {
			threads[i].fd = open_npu();
			ASSERT_LE(0, threads[i].fd);
			ASSERT_EQ(0, make_work(threads[i].fd, &threads[i].work));
			ASSERT_EQ(0, pthread_create(&threads[i].thread, NULL, submit_until_gone,
						    &threads[i]));
		}
		sleep_ms(200);
		EXPECT_EQ(0, bind_device(self->device, "unbind"));
		for (int i = 0; i < 4; i++) {
			pthread_join(threads[i].thread, NULL);
			EXPECT_EQ(-ENODEV, threads[i].ret);
			close(threads[i].fd);
		}
		EXPECT_EQ(0, bind_device(self->device, "bind"));
	}
}

/* How a process ends that touches @map: by this signal, or 0. */
static int signal_of_touching(const volatile uint8_t *map)
{
	pid_t child = fork();
	int status;

	if (!child) {
		(void)*map;
		_exit(0);
	}
	return child < 0 || waitpid(child, &status, 0) != child ? -1 :
	       WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

TEST_F(life, mapping_outlives_device)
{
	struct bo cached;

	ASSERT_EQ(0, make_bo(self->fd, 4096, DRM_XRNPE_BO_CACHED, &cached));
	EXPECT_EQ(0, signal_of_touching(self->work.data.map));
	EXPECT_EQ(0, signal_of_touching(cached.map));
	EXPECT_EQ(0, bind_device(self->device, "unbind"));
	EXPECT_EQ(SIGBUS, signal_of_touching(self->work.data.map));
	EXPECT_EQ(SIGBUS, signal_of_touching(cached.map));
	EXPECT_EQ(0, bind_device(self->device, "bind"));
	/* It was another device's. */
	EXPECT_EQ(SIGBUS, signal_of_touching(self->work.data.map));
}

/* ---- binding that fails ---- */

#define FAIL_NTH "/proc/thread-self/fail-nth"
/* More allocations than there are. */
#define MANY 1000000

struct opener {
	pthread_t thread;
	char path[64];
	atomic_bool stop;
	int fd;
	struct bo bo;
};

/* Open a node as soon as it is there, and map a buffer. */
static void *open_early(void *data)
{
	struct opener *opener = data;

	opener->bo.map = NULL;
	do
		opener->fd = open(opener->path, O_RDWR | O_CLOEXEC);
	while (opener->fd < 0 && !opener->stop);
	if (opener->fd >= 0)
		make_bo(opener->fd, 4096, 0, &opener->bo);
	return NULL;
}

/* Bind, but let the @nth allocation fail. Returns whether it did; @left: of @nth. */
static bool bind_without(const char *device, unsigned int nth, unsigned int *left)
{
	char text[16];
	int ret;

	snprintf(text, sizeof(text), "%u", nth);
	write_file(FAIL_NTH, text);
	ret = bind_device(device, "bind");
	*left = strtoul(read_file(FAIL_NTH), NULL, 10);
	write_file(FAIL_NTH, "0");
	return !ret;
}

/*
 * Who opens one node while registering goes on, before another node fails, has a device that
 * is gone, for mappings, too. Of accel nodes there is but one.
 */
TEST_F(life, registration_fails)
{
	struct opener opener = {};
	unsigned int left, all, mapped = 0;
	struct drm_xrnpe_dev_info info;
	char link[64];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", self->fd);
	ASSERT_LT(0, readlink(link, opener.path, sizeof(opener.path) - 1));
	if (!strstr(opener.path, "renderD"))
		SKIP(return, "this kernel makes one node");
	if (write_file(FAILSLAB "ignore-gfp-wait", "N"))
		SKIP(return, "this kernel has no allocations that fail on request");
	ASSERT_EQ(0, write_file(FAILSLAB "verbose", "0"));
	unmap_work(&self->work);
	close(self->fd);

	/* To register is what comes last. */
	ASSERT_EQ(0, bind_device(self->device, "unbind"));
	ASSERT_TRUE(bind_without(self->device, MANY, &left));
	all = MANY - left;
	if (!all)
		SKIP(return, "no allocation fails on request");
	for (unsigned int nth = all; nth > all / 2 && mapped < 3; nth--) {
		bool bound;

		ASSERT_EQ(0, bind_device(self->device, "unbind"));
		opener.stop = false;
		ASSERT_EQ(0, pthread_create(&opener.thread, NULL, open_early, &opener));
		bound = bind_without(self->device, nth, &left);
		opener.stop = true;
		pthread_join(opener.thread, NULL);
		if (!bound && opener.bo.map) {
			mapped++;
			EXPECT_EQ(-ENODEV, device_info(opener.fd, &info));
			EXPECT_EQ(SIGBUS, signal_of_touching(opener.bo.map));
		}
		if (opener.bo.map)
			munmap(opener.bo.map, opener.bo.size);
		close(opener.fd);
		if (!bound)
			ASSERT_EQ(0, bind_device(self->device, "bind"));
	}
	EXPECT_LT(0, mapped);
}

/* A file closed only after its device is gone, with a job that nobody ended. */
TEST_F(life, close_after_unbind)
{
	struct drm_xrnpe_sync sync;
	struct gate gate;

	ASSERT_EQ(0, make_gate(self->fd, &gate));
	sync = wait_gate(&gate);
	ASSERT_LT(0, submit_syncs(self->fd, 0, &self->work, &sync, 1));
	EXPECT_EQ(0, bind_device(self->device, "unbind"));
	open_gate(&gate);
	free_work(self->fd, &self->work);
	close(self->fd);
	EXPECT_EQ(0, bind_device(self->device, "bind"));
	self->fd = open_npu();
	EXPECT_LE(0, self->fd);
}

/* A fence that a program keeps tells its story after its device is gone, and its file. */
TEST_F(life, fence_outlives_all)
{
	struct drm_xrnpe_sync out[2] = {
		{ make_syncobj(self->fd), DRM_XRNPE_SYNC_SIGNAL, 0 },
		{ make_syncobj(self->fd), DRM_XRNPE_SYNC_SIGNAL, 0 },
	}, waits[2];
	int fences[2];
	struct gate gate;
	int64_t job;

	/* Of a job that was done, and of one that never got to the device. */
	ASSERT_EQ(0, make_gate(self->fd, &gate));
	waits[0] = wait_gate(&gate);
	waits[1] = out[1];
	job = submit_syncs(self->fd, 0, &self->work, &out[0], 1);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, job));
	ASSERT_LT(0, submit_syncs(self->fd, 0, &self->work, waits, 2));
	for (int i = 0; i < 2; i++) {
		fences[i] = export_fence(self->fd, out[i].handle);
		ASSERT_LE(0, fences[i]);
	}
	EXPECT_EQ(0, fence_status(fences[1]));

	EXPECT_EQ(0, bind_device(self->device, "unbind"));
	free_work(self->fd, &self->work);
	close(self->fd);
	open_gate(&gate);
	sleep_ms(1500);
	EXPECT_EQ(1, fence_status(fences[0]));
	EXPECT_EQ(-ENODEV, fence_status(fences[1]));
	EXPECT_EQ(-EAGAIN, unload_module());
	close(fences[0]);
	close(fences[1]);
	EXPECT_EQ(0, unload_module_soon());
	EXPECT_EQ(0, load_module(""));
	self->fd = open_npu();
	EXPECT_LE(0, self->fd);
}

TEST_F(life, module_in_use)
{
	/* An open file, and a mapping without one, hold the module. */
	EXPECT_EQ(-EAGAIN, unload_module());
	close(self->fd);
	EXPECT_EQ(-EAGAIN, unload_module());
	self->fd = open_npu();
	EXPECT_LE(0, self->fd);
}

TEST_F(life, module_unload)
{
	struct drm_prime_handle export = {
		.handle = self->work.data.handle, .flags = DRM_CLOEXEC | DRM_RDWR,
	};

	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &export));
	for (int i = 0; i < 20; i++)
		ASSERT_LT(0, submit(self->fd, i % 4, &self->work));
	unmap_work(&self->work);
	close(self->fd);
	/* A dma-buf holds it still. */
	EXPECT_EQ(-EAGAIN, unload_module());
	close(export.fd);
	EXPECT_EQ(0, unload_module_soon());
	EXPECT_EQ(-1, open_npu());
	EXPECT_EQ(0, load_module(""));
	self->fd = open_npu();
	EXPECT_LE(0, self->fd);
}

/* A job waits for a fence when its process is killed. */
TEST_F(life, no_job_of_the_killed_keeps_the_module)
{
	struct drm_xrnpe_sync sync;
	struct gate gate;
	pid_t child;
	int status;

	ASSERT_EQ(0, make_gate(self->fd, &gate));
	sync = wait_gate(&gate);
	free_work(self->fd, &self->work);
	close(self->fd);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		struct drm_syncobj_handle share = {
			.flags = DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE,
		};
		struct sw_sync_create_fence fence = { .value = 2 };
		struct work work;
		int fd = open_npu();

		if (make_work(fd, &work) || call(gate.timeline, SW_SYNC_CREATE_FENCE, &fence))
			_exit(1);
		share.handle = sync.handle = make_syncobj(fd);
		share.fd = fence.fence;
		if (call(fd, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &share) ||
		    submit_syncs(fd, 0, &work, &sync, 1) < 0)
			_exit(1);
		raise(SIGKILL);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(0, unload_module_soon());
	/* Nobody waits for it any more. */
	open_gate(&gate);
	open_gate(&gate);
	EXPECT_EQ(0, load_module(""));
	self->fd = open_npu();
	EXPECT_LE(0, self->fd);
}

TEST_HARNESS_MAIN

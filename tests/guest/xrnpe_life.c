// SPDX-License-Identifier: MIT
/*
 * The device and the module come and go, sleep and wake, under use; and what
 * the kernel tells about it: fdinfo, tracepoints. Needs root.
 */
#include "xrnpe_test.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#define DRIVER "/sys/bus/platform/drivers/xrnpe/"
#define TRACING "/sys/kernel/tracing/"

FIXTURE(life)
{
	int fd;
	char device[256];
	struct work work;
	struct drm_xrnpe_dev_info info;
};

/* Name of the device that the driver is bound to, or "". */
static void find_device(char *name, size_t size)
{
	DIR *dir = opendir(DRIVER);
	struct dirent *entry;

	name[0] = '\0';
	while (dir && (entry = readdir(dir)))
		if (strstr(entry->d_name, "npu"))
			snprintf(name, size, "%s", entry->d_name);
	if (dir)
		closedir(dir);
}

static int load_module(const char *parameters)
{
	const char *path = getenv("XRNPE_KO") ?: "/vm/00.ko";
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = syscall(SYS_finit_module, fd, parameters, 0) ? -errno : 0;
	close(fd);
	return ret;
}

static int unload_module(void)
{
	return syscall(SYS_delete_module, "xrnpe", O_NONBLOCK) ? -errno : 0;
}

/* A file's last reference may be dropped a moment after its descriptor. */
static int unload_module_soon(void)
{
	int ret = -EAGAIN;

	for (int i = 0; i < 500 && (ret == -EAGAIN || ret == -EBUSY); i++) {
		ret = unload_module();
		sleep_ms(10);
	}
	return ret;
}

FIXTURE_SETUP(life)
{
	struct drm_xrnpe_dev_query query = {
		.size = sizeof(self->info), .pointer = (uintptr_t)&self->info,
	};

	find_device(self->device, sizeof(self->device));
	ASSERT_NE('\0', self->device[0]) TH_LOG("no device is bound to the driver");
	self->fd = open_npu();
	ASSERT_GE(self->fd, 0) TH_LOG("no xrnpe node");
	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_XRNPE_DEV_QUERY, &query));
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

static int bind_device(const char *name, const char *action)
{
	char path[512];

	snprintf(path, sizeof(path), DRIVER "%s", action);
	return write_file(path, name);
}

/* ---- power ---- */

static bool status_becomes(const char *device, const char *status, int ms)
{
	char path[512];

	snprintf(path, sizeof(path), DRIVER "%s/power/runtime_status", device);
	for (; ms > 0; ms -= 10) {
		if (!strncmp(read_file(path), status, strlen(status)))
			return true;
		sleep_ms(10);
	}
	return false;
}

TEST_F(life, runtime_suspend)
{
	struct work endless;
	struct drm_xrnpe_job_wait end;
	struct gate gate;
	struct drm_xrnpe_sync sync;
	int64_t job;

	for (int i = 0; i < 3; i++) {
		clear_result(&self->work);
		ASSERT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, i, &self->work));
		ASSERT_TRUE(result_is_right(&self->work));
		/* With the file open, and buffers. */
		ASSERT_TRUE(status_becomes(self->device, "suspended", 5000));
	}

	/* A job that waits for a fence keeps nothing awake. */
	ASSERT_EQ(0, make_gate(self->fd, &gate));
	sync = wait_gate(&gate);
	job = submit_syncs(self->fd, 0, &self->work, &sync, 1);
	EXPECT_TRUE(status_becomes(self->device, "suspended", 1000));
	EXPECT_EQ(-ETIME, wait_job(self->fd, job, in_ms(300), &end));
	EXPECT_TRUE(status_becomes(self->device, "suspended", 1));
	open_gate(&gate);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, job));

	/* One that executes does, and as long as it does. */
	ASSERT_EQ(0, make_endless(self->fd, &endless));
	job = submit(self->fd, 0, &endless);
	EXPECT_TRUE(status_becomes(self->device, "active", 1000));
	sleep_ms(500);
	EXPECT_TRUE(status_becomes(self->device, "active", 1));
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, job));
	EXPECT_TRUE(status_becomes(self->device, "suspended", 5000));
}

/* ---- coming and going ---- */

struct waiter {
	pthread_t thread;
	int fd;
	int64_t job;
	int ret;
	struct work work;
	struct drm_xrnpe_job_wait end;
};

static void *wait_in_thread(void *data)
{
	struct waiter *w = data;

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
	sleep_ms(100);

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

	EXPECT_EQ(0, bind_device(self->device, "unbind"));
	free_work(self->fd, &self->work);
	close(self->fd);
	open_gate(&gate);
	sleep_ms(1500);
	EXPECT_EQ(1, fence_status(fences[0]));
	EXPECT_GT(0, fence_status(fences[1]));
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
	munmap(self->work.cmd.map, self->work.cmd.size);
	munmap(self->work.data.map, self->work.data.size);
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

/* A job waits for a fence while its file, and then nothing else, is left. */
TEST_F(life, module_waits_for_jobs)
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
		/* Killed, so that its jobs are not waited for. */
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
	sleep_ms(200);
	EXPECT_EQ(-EAGAIN, unload_module());
	open_gate(&gate);
	open_gate(&gate);
	EXPECT_EQ(0, unload_module_soon());
	EXPECT_EQ(0, load_module(""));
	self->fd = open_npu();
	EXPECT_LE(0, self->fd);
}

/* ---- what the kernel tells ---- */

/* The number after @key in the file's fdinfo, or -1. */
static int64_t fdinfo(int fd, const char *key)
{
	char path[64];
	const char *found;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	found = strstr(read_file(path), key);
	return found ? atoll(found + strlen(key)) : -1;
}

TEST_F(life, fdinfo)
{
	struct work endless;
	int64_t job, before, between;
	struct bo bo;

	EXPECT_LT(0, fdinfo(self->fd, "drm-client-id:"));
	EXPECT_EQ(0, fdinfo(self->fd, "drm-engine-npu:"));

	ASSERT_EQ(0, make_endless(self->fd, &endless));
	job = submit(self->fd, 0, &endless);
	sleep_ms(300);
	between = fdinfo(self->fd, "drm-engine-npu:");
	EXPECT_LT(100 * 1000000, between);
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, job));
	EXPECT_LT(between, fdinfo(self->fd, "drm-engine-npu:"));
	EXPECT_LE(self->info.job_timeout_ms * 1000000ll, fdinfo(self->fd, "drm-engine-npu:"));

	before = fdinfo(self->fd, "drm-total-memory:");
	EXPECT_LT(0, before);
	ASSERT_EQ(0, make_bo(self->fd, 1 << 20, 0, &bo));
	EXPECT_EQ(before + 1024, fdinfo(self->fd, "drm-total-memory:"));
	EXPECT_EQ(before + 1024, fdinfo(self->fd, "drm-resident-memory:"));
	free_bo(self->fd, &bo);
	EXPECT_EQ(before, fdinfo(self->fd, "drm-total-memory:"));
}

/* The sum of what the records say. */
TEST_F(life, fdinfo_is_exact)
{
	struct xrnpe_job_record record;
	struct drm_xrnpe_job_wait end;
	uint64_t cycles = 0;
	double ns = 0;

	for (int i = 0; i < 50; i++) {
		ASSERT_EQ(0, wait_record(self->fd, submit(self->fd, i % 4, &self->work), &end,
					 &record));
		ns += record.executed * 1e6 / self->info.timer_khz;
		cycles += record.counters.cycles;
	}
	EXPECT_EQ(cycles, fdinfo(self->fd, "drm-cycles-npu:"));
	EXPECT_EQ(self->info.clock_khz, fdinfo(self->fd, "drm-maxfreq-npu:"));
	EXPECT_LT(ns - 50, fdinfo(self->fd, "drm-engine-npu:"));
	EXPECT_GT(ns + 50, fdinfo(self->fd, "drm-engine-npu:"));
}

/* Of an accel node debugfs has a directory by the device, of others by the number. */
static const char *read_debugfs(const char *device, int fd, const char *name)
{
	struct stat st;
	char path[512];

	snprintf(path, sizeof(path), "/sys/kernel/debug/accel/%s/%s", device, name);
	if (access(path, F_OK) && !fstat(fd, &st))
		snprintf(path, sizeof(path), "/sys/kernel/debug/dri/%u/%s", minor(st.st_rdev), name);
	return read_file(path);
}

TEST_F(life, debugfs)
{
	const struct drm_xrnpe_bo_set_label label = {
		.handle = self->work.data.handle, .label = (uintptr_t)"weights",
	};
	unsigned int tail, head, state;
	const char *text, *ring;
	struct work endless;
	int64_t job;

	EXPECT_EQ(0, call(self->fd, DRM_IOCTL_XRNPE_BO_SET_LABEL, (void *)&label));
	text = read_debugfs(self->device, self->fd, "buffers");
	EXPECT_NE(NULL, strstr(text, "size 0x10000 client "))
		TH_LOG("%s", text);
	EXPECT_NE(NULL, strstr(text, "\"weights\""));

	ASSERT_EQ(0, make_endless(self->fd, &endless));
	job = submit(self->fd, 2, &endless);
	ASSERT_LT(0, job);
	EXPECT_TRUE(status_becomes(self->device, "active", 1000));
	text = read_debugfs(self->device, self->fd, "rings");
	EXPECT_EQ(0, strncmp(text, "on, 1 jobs", 10))
		TH_LOG("%s", text);
	/* Others may have used the ring before. */
	ring = strstr(text, "ring2: tail ");
	ASSERT_NE(NULL, ring)
		TH_LOG("%s", text);
	EXPECT_EQ(3, sscanf(ring, "ring2: tail %u head %u state %u\n  client ", &tail, &head, &state));
	EXPECT_EQ(head + 1, tail)
		TH_LOG("%s", text);
	EXPECT_EQ(2, state);
	EXPECT_NE(NULL, strstr(text, "region 0: 0x"));
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, job));
	EXPECT_TRUE(status_becomes(self->device, "suspended", 5000));
	EXPECT_EQ(0, strncmp(read_debugfs(self->device, self->fd, "rings"), "off, 0 jobs", 11));
}

/* ---- limits ---- */

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
TEST_F(life, memory_limits)
{
	const uint64_t mib = 1 << 20;
	int fds[3];

	free_work(self->fd, &self->work);
	close(self->fd);
	ASSERT_EQ(0, unload_module_soon());
	ASSERT_EQ(0, load_module("memory_mib=10 client_memory_mib=4"));
	for (int i = 0; i < 3; i++) {
		struct drm_xrnpe_dev_info info;
		struct drm_xrnpe_dev_query query = {
			.size = sizeof(info), .pointer = (uintptr_t)&info,
		};

		fds[i] = open_npu();
		ASSERT_LE(0, fds[i]);
		ASSERT_EQ(0, call(fds[i], DRM_IOCTL_XRNPE_DEV_QUERY, &query));
		EXPECT_EQ(4 * mib, info.max_client_memory);
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
	ASSERT_EQ(0, unload_module_soon());
	ASSERT_EQ(0, load_module(""));
	self->fd = open_npu();
	EXPECT_LE(0, self->fd);
}

/*
 * A job that ends just when its time is up ends well or by the limit, and nothing of
 * that falls on the one behind it.
 */
TEST_F_TIMEOUT(life, time_is_up, 120)
{
	const unsigned int limit = 100, most = 4096, m = 256;
	unsigned int done = 0, timeouts = 0;
	struct xrnpe_job_record record;
	struct drm_xrnpe_job_wait end;
	struct work edge, behind;

	free_work(self->fd, &self->work);
	close(self->fd);
	ASSERT_EQ(0, unload_module_soon());
	ASSERT_EQ(0, load_module("job_timeout_ms=100"));
	self->fd = open_npu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, make_work(self->fd, &behind));
	ASSERT_EQ(0, make_long(self->fd, most, m, &edge));

	/* Too long, or soon so; then a little shorter than one that was, or longer. */
	edge.cmds = 128;
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

	close(self->fd);
	munmap(behind.cmd.map, behind.cmd.size);
	munmap(behind.data.map, behind.data.size);
	munmap(edge.cmd.map, edge.cmd.size);
	munmap(edge.data.map, edge.data.size);
	ASSERT_EQ(0, unload_module_soon());
	ASSERT_EQ(0, load_module(""));
	self->fd = open_npu();
	EXPECT_LE(0, self->fd);
}

struct hog {
	pthread_t thread;
	int fd;
	uint32_t queue;
	struct work work;
	volatile bool stop;
};

static void *keep_busy(void *data)
{
	struct hog *h = data;
	struct drm_xrnpe_region region;
	const struct drm_xrnpe_job job = job_args(&h->work, &region);

	while (!h->stop && submit_jobs(h->fd, h->queue, &job, 1, 0) > 0)
		;
	return NULL;
}

/*
 * Whom more urgent jobs, all of them legal, keep from executing ends some day, and is
 * told why. A queue whose jobs time out again and again is banned.
 */
TEST_F_TIMEOUT(life, starved_and_banned, 120)
{
	struct drm_xrnpe_job_wait end;
	struct hog hogs[2] = {};
	int64_t jobs[12], starved;
	struct work endless;

	free_work(self->fd, &self->work);
	close(self->fd);
	ASSERT_EQ(0, unload_module_soon());
	ASSERT_EQ(0, load_module("job_timeout_ms=100"));
	self->fd = open_npu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, make_long(self->fd, 8192, 256, &endless));
	for (int i = 0; i < 2; i++) {
		hogs[i].fd = self->fd;
		hogs[i].queue = make_queue(self->fd, DRM_XRNPE_PRIORITY_REALTIME, 16);
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

	munmap(endless.cmd.map, endless.cmd.size);
	munmap(endless.data.map, endless.data.size);
	for (int i = 0; i < 2; i++) {
		munmap(hogs[i].work.cmd.map, hogs[i].work.cmd.size);
		munmap(hogs[i].work.data.map, hogs[i].work.data.size);
	}
	close(self->fd);
	ASSERT_EQ(0, unload_module_soon());
	ASSERT_EQ(0, load_module(""));
	self->fd = open_npu();
	EXPECT_LE(0, self->fd);
}

TEST_F(life, tracepoints)
{
	const char *trace;
	struct xrnpe_cmd bad = matmul_cmd();

	if (write_file(TRACING "events/xrnpe/enable", "1"))
		SKIP(return, "this kernel has no tracefs");
	write_file(TRACING "trace", "");
	bad.opcode = 99;
	set_cmd(&self->work, 0, bad);
	EXPECT_EQ(DRM_XRNPE_JOB_FAULT, run_work(self->fd, 2, &self->work));
	write_file(TRACING "events/xrnpe/enable", "0");
	trace = read_file(TRACING "trace");
	EXPECT_NE(NULL, strstr(trace, "xrnpe_job_submit: client="));
	EXPECT_NE(NULL, strstr(trace, "queue=1 job=1 ring=2 cmds=1 regions=1"));
	EXPECT_NE(NULL, strstr(trace, "xrnpe_job_run: client="));
	EXPECT_NE(NULL, strstr(trace, "queue=1 job=1 kind=1 cmd=0 operand=0xff"));
	EXPECT_NE(NULL, strstr(trace, "state=fault")) TH_LOG("%s", trace);
}

TEST_HARNESS_MAIN

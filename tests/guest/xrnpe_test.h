/* SPDX-License-Identifier: MIT */
/*
 * What the guest tests share: finding the device, ioctls that return -errno, queues,
 * buffers. Only the ABI headers are used, not libxrnpe, so that a mistake cannot hide
 * in both.
 */
#ifndef XRNPE_TEST_H
#define XRNPE_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <linux/dma-heap.h>

#include "drm/xrnpe_accel.h"

/*
 * kselftest's harness checks for a test that hangs; a debug kernel is slow, more so on a
 * host that is busy.
 */
#include "kselftest_harness.h"
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 600

#define ALIEN_HANDLE 0xabcdef

/* 0 or -errno; interrupted calls are repeated as libdrm does. */
static inline int call(int fd, unsigned long request, void *arg)
{
	int ret;

	do
		ret = ioctl(fd, request, arg);
	while (ret < 0 && (errno == EINTR || errno == EAGAIN));
	return ret < 0 ? -errno : ret;
}

static inline int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static inline int64_t in_ms(int64_t ms)
{
	return now_ns() + ms * 1000000;
}

/* How far a campaign is that may take hours: said once a minute. */
static inline void tell_progress(uint64_t done, uint64_t of, const char *what)
{
	static int64_t next;

	if (!next)
		next = in_ms(60000);
	if (now_ns() < next)
		return;
	ksft_print_msg("%llu of %llu %s\n", (unsigned long long)done, (unsigned long long)of, what);
	fflush(stdout);
	next = in_ms(60000);
}

static inline void sleep_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

/* ---- queues: made when a test first uses them ---- */

/* As many files as a test has open at once. */
#define FILES 1024
#define QUEUES (DRM_XRNPE_PRIORITY_REALTIME + 1)

static uint32_t queues[FILES][QUEUES];

/* Of a file, or -errno. */
static inline int64_t make_queue(int fd, uint32_t priority, uint32_t depth)
{
	struct drm_xrnpe_queue_create args = { .priority = priority, .depth = depth };
	int ret = call(fd, DRM_IOCTL_XRNPE_QUEUE_CREATE, &args);

	return ret ? ret : (int64_t)args.queue;
}

static inline int destroy_queue(int fd, uint32_t queue)
{
	struct drm_xrnpe_queue_destroy args = { .queue = queue };

	return call(fd, DRM_IOCTL_XRNPE_QUEUE_DESTROY, &args);
}

/* The file's queue of the @index-th priority; 0 is served first. 0: there is none. */
static inline uint32_t queue_of(int fd, unsigned int index)
{
	uint32_t *queue = &queues[fd][index];
	int64_t made;

	if (!*queue) {
		made = make_queue(fd, DRM_XRNPE_PRIORITY_REALTIME - index, 256);
		*queue = made < 0 ? 0 : made;
	}
	return *queue;
}

/* The node of the first XR-NPE, or -1: nodes of other drivers are passed over. */
static inline int open_npu(void)
{
	for (int i = 0; i < 64; i++) {
		char path[64], name[16] = "";
		struct drm_version version = { .name = name, .name_len = sizeof(name) - 1 };
		int fd;

		snprintf(path, sizeof(path), i < 32 ? "/dev/accel/accel%d" : "/dev/dri/renderD%d",
			 i < 32 ? i : 128 + i - 32);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (!call(fd, DRM_IOCTL_VERSION, &version) && !strcmp(name, "xrnpe")) {
			memset(queues[fd], 0, sizeof(queues[fd]));
			return fd;
		}
		close(fd);
	}
	return -1;
}

static inline int device_info(int fd, struct drm_xrnpe_dev_info *info)
{
	struct drm_xrnpe_dev_query query = { .size = sizeof(*info), .pointer = (uintptr_t)info };

	return call(fd, DRM_IOCTL_XRNPE_DEV_QUERY, &query);
}

/* How often the device has been reset because it failed. */
static inline int64_t resets_of(int fd)
{
	struct drm_xrnpe_dev_info info;
	int ret = device_info(fd, &info);

	return ret ? ret : (int64_t)info.resets;
}

/* ---- performance monitors ---- */

/* Of a file, or -errno. */
static inline int64_t make_perfmon(int fd)
{
	struct drm_xrnpe_perfmon_create args = {};
	int ret = call(fd, DRM_IOCTL_XRNPE_PERFMON_CREATE, &args);

	return ret ? ret : (int64_t)args.perfmon;
}

static inline int get_values(int fd, uint32_t perfmon, struct drm_xrnpe_perfmon_values *sums)
{
	struct drm_xrnpe_perfmon_get_values args = {
		.perfmon = perfmon, .size = sizeof(*sums), .pointer = (uintptr_t)sums,
	};

	return call(fd, DRM_IOCTL_XRNPE_PERFMON_GET_VALUES, &args);
}

/* ---- buffers ---- */

struct bo {
	uint32_t handle;
	uint64_t size;
	uint8_t *map;
};

/* NULL with errno. */
static inline void *map_bo(int fd, uint32_t handle, uint64_t size)
{
	struct drm_xrnpe_bo_mmap_offset args = { .handle = handle };
	void *map;

	if (call(fd, DRM_IOCTL_XRNPE_BO_MMAP_OFFSET, &args))
		return NULL;
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, args.offset);
	return map == MAP_FAILED ? NULL : map;
}

static inline int make_bo(int fd, uint64_t size, uint32_t flags, struct bo *bo)
{
	struct drm_xrnpe_bo_create args = { .size = size, .flags = flags };
	int ret = call(fd, DRM_IOCTL_XRNPE_BO_CREATE, &args);

	if (ret)
		return ret;
	*bo = (struct bo){ args.handle, args.size, map_bo(fd, args.handle, args.size) };
	return bo->map ? 0 : -errno;
}

static inline int close_handle(int fd, uint32_t handle)
{
	struct drm_gem_close args = { .handle = handle };

	return call(fd, DRM_IOCTL_GEM_CLOSE, &args);
}

static inline void free_bo(int fd, struct bo *bo)
{
	munmap(bo->map, bo->size);
	close_handle(fd, bo->handle);
}

static inline int sync_bo(int fd, const struct bo *bo, uint32_t op)
{
	struct drm_xrnpe_bo_sync args = { .handle = bo->handle, .op = op, .size = bo->size };

	return call(fd, DRM_IOCTL_XRNPE_BO_SYNC, &args);
}

/* ---- buffers of others ---- */

/* A dma-buf of the heap of that name, to be opened with @flags, or -errno. */
static inline int heap_alloc(const char *name, uint64_t size, uint32_t flags)
{
	struct dma_heap_allocation_data data = { .len = size, .fd_flags = flags | O_CLOEXEC };
	char path[64];
	int heap, ret;

	snprintf(path, sizeof(path), "/dev/dma_heap/%s", name);
	heap = open(path, O_RDONLY | O_CLOEXEC);
	if (heap < 0)
		return -errno;
	ret = call(heap, DMA_HEAP_IOCTL_ALLOC, &data);
	close(heap);
	return ret ? ret : (int)data.fd;
}

/* The same of the heap of contiguous memory, whose name kernels do not agree on. */
static inline int contiguous_alloc(uint64_t size, uint32_t flags)
{
	static const char *const names[] = { "default_cma_region", "linux,cma", "reserved" };
	int dmabuf = -ENOENT;

	for (unsigned int i = 0; dmabuf == -ENOENT && i < 3; i++)
		dmabuf = heap_alloc(names[i], size, flags);
	return dmabuf;
}

/* The handle of a dma-buf, or -errno. */
static inline int64_t import(int fd, int dmabuf)
{
	struct drm_prime_handle args = { .fd = dmabuf };
	int ret = call(fd, DRM_IOCTL_PRIME_FD_TO_HANDLE, &args);

	return ret ? ret : (int64_t)args.handle;
}

/*
 * The handle of a new dma-buf of contiguous memory, opened with @flags, or -errno; -ENOENT:
 * this kernel has no such heap.
 */
static inline int64_t import_contiguous(int fd, uint64_t size, uint32_t flags)
{
	int dmabuf = contiguous_alloc(size, flags);
	int64_t handle;

	if (dmabuf < 0)
		return dmabuf;
	handle = import(fd, dmabuf);
	close(dmabuf);
	return handle;
}

/* ---- files of the kernel ---- */

/* The contents of a small file, "" if it cannot be read. */
static inline const char *read_file(const char *path)
{
	static __thread char text[65536];
	ssize_t size = 0, n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		while ((n = read(fd, text + size, sizeof(text) - 1 - size)) > 0)
			size += n;
		close(fd);
	}
	text[size] = '\0';
	return text;
}

/*
 * Whether a thread comes to sleep in an ioctl: then the call has begun, and is not yet at its
 * end. *@thread is zero as long as it does not run. False after a minute.
 */
static inline bool sleeps_in(const atomic_int *thread, unsigned long request)
{
	const int64_t end = in_ms(60000);

	do {
		unsigned long number, arguments[2];
		char path[64];

		snprintf(path, sizeof(path), "/proc/%d/syscall", *thread);
		/* "running" while it does. */
		if (sscanf(read_file(path), "%lu %lx %lx", &number, &arguments[0], &arguments[1]) == 3 &&
		    number == SYS_ioctl && arguments[1] == request)
			return true;
		sleep_ms(1);
	} while (now_ns() < end);
	return false;
}

/* Where the kernel lets allocations fail on request. */
#define FAILSLAB "/sys/kernel/debug/failslab/"

static inline int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/* The number after @key in the file's fdinfo, or -1. */
static inline int64_t fdinfo(int fd, const char *key)
{
	char path[64];
	const char *found;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	found = strstr(read_file(path), key);
	return found ? atoll(found + strlen(key)) : -1;
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * What the guest tests share: finding the device, ioctls that return -errno,
 * and a small matrix product as the unit of work. Only the ABI headers are used,
 * not libxrnpe, so that a mistake cannot hide in both.
 */
#ifndef XRNPE_TEST_H
#define XRNPE_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <linux/dma-heap.h>
#include <linux/sync_file.h>

#include "drm/xrnpe_accel.h"

/* kselftest's harness checks for a test that hangs; a debug kernel is slow. */
#include "kselftest_harness.h"
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 120

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

/* Tests name a job by one number, of its queue and of the job in it. */
#define JOB_BITS 40

static inline int64_t job_name(uint32_t queue, uint64_t number)
{
	return (int64_t)queue << JOB_BITS | number;
}

static inline int64_t job_number(int64_t job)
{
	return job < 0 ? job : job & ((INT64_C(1) << JOB_BITS) - 1);
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

/* ---- buffers ---- */

struct bo {
	uint32_t handle;
	uint64_t size;
	uint8_t *map;
};

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
	return bo->map ? 0 : -ENOMEM;
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

/* ---- work: a matrix product, M x K by K x N, Posit(8,0) to binary32 ---- */

#define M 3
#define N 4
#define K 7

/* Where its operands lie in region 0. */
#define IFM_AT 0
#define WEIGHT_AT 256
#define SCALE_AT 512
#define OFM_AT 1024

struct work {
	struct bo cmd, data;
	uint32_t cmds;
	uint32_t stride;
};

/* Some values that Posit(8,0) has, and their codes. */
static const float values[] = { 0, 1, 2, 0.5, -1, -2 };
static const uint8_t codes[] = { 0x00, 0x40, 0x60, 0x20, 0xc0, 0xa0 };

static inline unsigned int ifm_index(int m, int k)
{
	return (3 * m + 5 * k + 1) % 6;
}

static inline unsigned int weight_index(int n, int k)
{
	return (7 * n + k * k + 2) % 6;
}

static inline struct xrnpe_cmd matmul_cmd(void)
{
	return (struct xrnpe_cmd){
		.opcode = XRNPE_OP_MATMUL,
		.operand = {
			[XRNPE_OPERAND_IFM] = {
				.offset = IFM_AT, .row_stride = K, .format = XRNPE_FORMAT_P8,
			},
			[XRNPE_OPERAND_WEIGHT] = {
				.offset = WEIGHT_AT, .row_stride = K, .format = XRNPE_FORMAT_P8,
			},
			[XRNPE_OPERAND_SCALE] = {
				.offset = SCALE_AT, .row_stride = sizeof(struct xrnpe_scale),
				.format = XRNPE_FORMAT_F32,
			},
			[XRNPE_OPERAND_OFM] = {
				.offset = OFM_AT, .row_stride = 4 * N, .format = XRNPE_FORMAT_F32,
			},
		},
		.matmul = { .m = M, .n = N, .k = K, .batch = 1 },
	};
}

static inline void set_cmd(struct work *work, unsigned int index, struct xrnpe_cmd cmd)
{
	memcpy(work->cmd.map + index * work->stride, &cmd, sizeof(cmd));
	if (work->cmds <= index)
		work->cmds = index + 1;
}

static inline int make_work(int fd, struct work *work)
{
	int ret;

	work->cmds = 0;
	work->stride = sizeof(struct xrnpe_cmd);
	ret = make_bo(fd, 16384, 0, &work->cmd);
	if (!ret)
		ret = make_bo(fd, 2 * XRNPE_MAX_K, 0, &work->data);
	if (ret)
		return ret;

	set_cmd(work, 0, matmul_cmd());
	for (int k = 0; k < K; k++) {
		for (int m = 0; m < M; m++)
			work->data.map[IFM_AT + m * K + k] = codes[ifm_index(m, k)];
		for (int n = 0; n < N; n++)
			work->data.map[WEIGHT_AT + n * K + k] = codes[weight_index(n, k)];
	}
	for (int n = 0; n < N; n++) {
		float scale_bias[2] = { 2, n };

		memcpy(work->data.map + SCALE_AT + n * sizeof(scale_bias), scale_bias,
		       sizeof(scale_bias));
	}
	return 0;
}

/*
 * Work of some length: @cmds commands of @m rows, each a sum of as many products, of
 * zeros, as a sum may have. The outputs must lie apart.
 */
static inline int make_long(int fd, unsigned int cmds, unsigned int m, struct work *work)
{
	struct xrnpe_cmd cmd = {
		.opcode = XRNPE_OP_MATMUL,
		.operand = {
			[XRNPE_OPERAND_IFM] = { .format = XRNPE_FORMAT_P8 },
			[XRNPE_OPERAND_WEIGHT] = { .format = XRNPE_FORMAT_P8 },
			[XRNPE_OPERAND_SCALE] = { .format = XRNPE_FORMAT_F32 },
			[XRNPE_OPERAND_OFM] = {
				.offset = XRNPE_MAX_K, .row_stride = 1, .format = XRNPE_FORMAT_P8,
			},
		},
		.matmul = { .m = m, .n = 1, .k = XRNPE_MAX_K, .batch = 1 },
	};
	int ret;

	*work = (struct work){ .stride = sizeof(cmd) };
	ret = make_bo(fd, cmds * sizeof(cmd), 0, &work->cmd);
	if (!ret)
		ret = make_bo(fd, XRNPE_MAX_K + m, 0, &work->data);
	for (unsigned int i = 0; !ret && i < cmds; i++)
		set_cmd(work, i, cmd);
	return ret;
}

/* Put into the place of the first result of make_long()'s commands what none is. */
static inline void mark_result(uint8_t *data)
{
	*(volatile uint8_t *)(data + XRNPE_MAX_K) = 0x55;
}

/* Whether the marked result is written within @ms. To be marked before SUBMIT. */
static inline bool result_comes(uint8_t *data, int ms)
{
	volatile uint8_t *ofm = data + XRNPE_MAX_K;

	for (; ms > 0 && *ofm == 0x55; ms--)
		sleep_ms(1);
	return *ofm != 0x55;
}

/* Whether a job of many short commands goes on writing its first result to @data. */
static inline bool writes_results(uint8_t *data, int ms)
{
	mark_result(data);
	return result_comes(data, ms);
}

/* Work of minutes: no command may have more products than these. */
static inline int make_endless(int fd, struct work *work)
{
	return make_long(fd, 128, XRNPE_MAX_WORK / XRNPE_MAX_K, work);
}

static inline void free_work(int fd, struct work *work)
{
	free_bo(fd, &work->cmd);
	free_bo(fd, &work->data);
}

static inline void clear_result(struct work *work)
{
	memset(work->data.map + OFM_AT, 0xee, sizeof(float) * M * N);
}

/* Whether the product is there, every bit of it. */
static inline bool result_is_right(const struct work *work)
{
	for (int m = 0; m < M; m++) {
		for (int n = 0; n < N; n++) {
			float sum = 0, got;

			for (int k = 0; k < K; k++)
				sum += values[ifm_index(m, k)] * values[weight_index(n, k)];
			memcpy(&got, work->data.map + OFM_AT + 4 * (m * N + n), sizeof(got));
			if (got != 2 * sum + n)
				return false;
		}
	}
	return true;
}

/* A job of a piece of work; @region must outlive it. */
static inline struct drm_xrnpe_job job_args(const struct work *work,
					    struct drm_xrnpe_region *region)
{
	*region = (struct drm_xrnpe_region){
		.handle = work->data.handle,
		.flags = DRM_XRNPE_REGION_READ | DRM_XRNPE_REGION_WRITE,
		.size = work->data.size,
	};
	return (struct drm_xrnpe_job){
		.cmd_handle = work->cmd.handle,
		.cmd_count = work->cmds,
		.cmd_stride = work->stride,
		.regions = { sizeof(*region), 1, (uintptr_t)region },
	};
}

/* Submit @count jobs at once. Returns the first, or -errno. */
static inline int64_t submit_jobs(int fd, uint32_t queue, const struct drm_xrnpe_job *jobs,
				  uint32_t count, uint32_t flags)
{
	struct drm_xrnpe_submit args = {
		.queue = queue, .flags = flags,
		.jobs = { sizeof(*jobs), count, (uintptr_t)jobs },
	};
	int ret = call(fd, DRM_IOCTL_XRNPE_SUBMIT, &args);

	return ret ? ret : job_name(queue, args.first_job);
}

static inline int64_t submit_job(int fd, unsigned int index, const struct drm_xrnpe_job *job)
{
	return submit_jobs(fd, queue_of(fd, index), job, 1, 0);
}

/* Submit with @sync_count syncs. Returns the job, or -errno. */
static inline int64_t submit_syncs(int fd, unsigned int index, const struct work *work,
				   const struct drm_xrnpe_sync *syncs, uint32_t sync_count)
{
	struct drm_xrnpe_region region;
	struct drm_xrnpe_job job = job_args(work, &region);

	job.syncs = (struct drm_xrnpe_array){ sizeof(*syncs), sync_count, (uintptr_t)syncs };
	return submit_job(fd, index, &job);
}

static inline int64_t submit(int fd, unsigned int index, const struct work *work)
{
	return submit_syncs(fd, index, work, NULL, 0);
}

static inline int wait_job(int fd, int64_t job, int64_t timeout_ns,
			   struct drm_xrnpe_job_wait *end)
{
	*end = (struct drm_xrnpe_job_wait){
		.queue = job >> JOB_BITS, .job = job_number(job), .timeout_ns = timeout_ns,
	};
	return call(fd, DRM_IOCTL_XRNPE_JOB_WAIT, end);
}

/* How the job ended, with its record. */
static inline int wait_record(int fd, int64_t job, struct drm_xrnpe_job_wait *end,
			      struct xrnpe_job_record *record)
{
	if (job < 0)
		return job;
	*end = (struct drm_xrnpe_job_wait){
		.queue = job >> JOB_BITS, .job = job_number(job), .timeout_ns = in_ms(60000),
		.record = (uintptr_t)record, .record_size = sizeof(*record),
	};
	return call(fd, DRM_IOCTL_XRNPE_JOB_WAIT, end);
}

/* Why a job was cancelled, or -errno. */
static inline int reason_of(int fd, int64_t job)
{
	struct drm_xrnpe_job_wait end;
	int ret = job < 0 ? (int)job : wait_job(fd, job, in_ms(60000), &end);

	return ret ? ret : (int)end.reason;
}

/* The state in which a job ends, or -errno. */
static inline int state_of(int fd, int64_t job)
{
	struct drm_xrnpe_job_wait end;
	int ret = job < 0 ? (int)job : wait_job(fd, job, in_ms(60000), &end);

	return ret ? ret : (int)end.state;
}

static inline int run_work(int fd, unsigned int index, const struct work *work)
{
	return state_of(fd, submit(fd, index, work));
}

/* ---- syncobjs, and fences that a test signals when it likes ---- */

static inline uint32_t make_syncobj(int fd)
{
	struct drm_syncobj_create args = {};

	return call(fd, DRM_IOCTL_SYNCOBJ_CREATE, &args) ? 0 : args.handle;
}

/* 0: @point of @handle (0: binary) has signalled; -ETIME, -EINVAL: no fence. */
static inline int wait_syncobj(int fd, uint32_t handle, uint64_t point, int64_t timeout_ns)
{
	struct drm_syncobj_timeline_wait timeline = {
		.handles = (uintptr_t)&handle, .points = (uintptr_t)&point,
		.timeout_nsec = timeout_ns, .count_handles = 1,
	};
	struct drm_syncobj_wait binary = {
		.handles = (uintptr_t)&handle, .timeout_nsec = timeout_ns, .count_handles = 1,
	};

	return point ? call(fd, DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT, &timeline) :
		       call(fd, DRM_IOCTL_SYNCOBJ_WAIT, &binary);
}

/* The fence of a syncobj as a sync_file, or -errno. */
static inline int export_fence(int fd, uint32_t syncobj)
{
	struct drm_syncobj_handle args = {
		.handle = syncobj, .flags = DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE,
	};
	int ret = call(fd, DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, &args);

	return ret ? ret : args.fd;
}

/* Of a sync_file: 1: signalled, 0: not, or the error. Its names are asked for, too. */
static inline int fence_status(int sync_file)
{
	struct sync_fence_info fence = {};
	struct sync_file_info args = {
		.num_fences = 1, .sync_fence_info = (uintptr_t)&fence,
	};
	int ret = call(sync_file, SYNC_IOC_FILE_INFO, &args);

	return ret ? -1000 : args.status;
}

/* A gate: a syncobj whose fence is signalled by open_gate(). */
struct gate {
	int timeline;
	uint32_t syncobj;
};

struct sw_sync_create_fence {
	uint32_t value;
	char name[32];
	int32_t fence;
};

#define SW_SYNC_CREATE_FENCE _IOWR('W', 0, struct sw_sync_create_fence)
#define SW_SYNC_INC _IOW('W', 1, uint32_t)

static inline int make_gate(int fd, struct gate *gate)
{
	struct sw_sync_create_fence fence = { .value = 1, .name = "gate" };
	struct drm_syncobj_handle import = {
		.flags = DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE,
	};
	int ret;

	gate->syncobj = 0;
	gate->timeline = open("/sys/kernel/debug/sync/sw_sync", O_RDWR | O_CLOEXEC);
	if (gate->timeline < 0)
		return -errno;
	ret = call(gate->timeline, SW_SYNC_CREATE_FENCE, &fence);
	if (ret)
		return ret;
	gate->syncobj = make_syncobj(fd);
	import.handle = gate->syncobj;
	import.fd = fence.fence;
	ret = call(fd, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &import);
	close(fence.fence);
	return ret;
}

static inline void open_gate(struct gate *gate)
{
	uint32_t one = 1;

	call(gate->timeline, SW_SYNC_INC, &one);
}

/* Without having been opened: its fence fails. */
static inline void break_gate(struct gate *gate)
{
	close(gate->timeline);
}

static inline struct drm_xrnpe_sync wait_gate(const struct gate *gate)
{
	return (struct drm_xrnpe_sync){ .handle = gate->syncobj };
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

#endif

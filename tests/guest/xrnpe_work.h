/* SPDX-License-Identifier: MIT */
/*
 * Something for the device to do, a small matrix product whose result is known, or one
 * of some length; and jobs of it.
 */
#ifndef XRNPE_WORK_H
#define XRNPE_WORK_H

#include "xrnpe_test.h"

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

/*
 * Work of 16 seconds where a command takes 2 ms at least, by -device xrnpe,x-fault-slow=2000,
 * with no more to compute than there must be.
 */
static inline int make_slow(int fd, struct work *work)
{
	return make_long(fd, 8192, 1, work);
}

/* So that nothing but its file, which is to be closed, has the buffers. */
static inline void unmap_work(struct work *work)
{
	munmap(work->cmd.map, work->cmd.size);
	munmap(work->data.map, work->data.size);
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

/* ---- jobs ---- */

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

#endif

/* SPDX-License-Identifier: ((GPL-2.0-only WITH Linux-syscall-note) OR MIT) */
/*
 * XR-NPE ioctl ABI, version 1. Documentation/uapi.rst tells the story.
 *
 * Rules for all ioctls: reserved fields, unknown flags and pads must be zero,
 * else -EINVAL. Structures may grow at the end, so that old and new user space and
 * kernel mix: what an old caller does not pass is zero. What an old kernel does not
 * know of an ioctl's own structure it ignores, so that fields added there go with
 * new flags. Arrays of structures carry their element's size as a stride, and what
 * an old kernel does not know of an element must be zero.
 */
#ifndef _XRNPE_ACCEL_H_
#define _XRNPE_ACCEL_H_

#include "drm.h"
#include "xrnpe_cmd.h"

#if defined(__cplusplus)
extern "C" {
#endif

/** enum drm_xrnpe_ioctl_id - ioctl numbers, from DRM_COMMAND_BASE */
enum drm_xrnpe_ioctl_id {
	/** @DRM_XRNPE_DEV_QUERY: what the device is */
	DRM_XRNPE_DEV_QUERY = 0,
	/** @DRM_XRNPE_BO_CREATE: allocate a buffer object */
	DRM_XRNPE_BO_CREATE,
	/** @DRM_XRNPE_BO_MMAP_OFFSET: offset to pass to mmap(2) */
	DRM_XRNPE_BO_MMAP_OFFSET,
	/** @DRM_XRNPE_BO_SYNC: hand a cached buffer to the CPU or the device */
	DRM_XRNPE_BO_SYNC,
	/** @DRM_XRNPE_SUBMIT: queue a job */
	DRM_XRNPE_SUBMIT,
	/** @DRM_XRNPE_JOB_WAIT: wait for a job and learn how it ended */
	DRM_XRNPE_JOB_WAIT,
};

/** enum drm_xrnpe_dev_query_type - what to ask DEV_QUERY for */
enum drm_xrnpe_dev_query_type {
	/** @DRM_XRNPE_DEV_QUERY_INFO: &struct drm_xrnpe_dev_info */
	DRM_XRNPE_DEV_QUERY_INFO = 0,
};

/** struct drm_xrnpe_dev_info - what the hardware is and what the driver allows */
struct drm_xrnpe_dev_info {
	/** @version: programming model, major in the high half, minor in the low */
	__u32 version;
	/** @rows: processing elements down */
	__u32 rows;
	/** @cols: processing elements across */
	__u32 cols;
	/** @queues: hardware queues; queue 0 is served first */
	__u32 queues;
	/** @max_cmds: commands in a job */
	__u32 max_cmds;
	/** @max_regions: regions in a job */
	__u32 max_regions;
	/** @max_bo_size: bytes in a buffer object */
	__u64 max_bo_size;
	/** @job_timeout_ms: a job may execute so long before it is aborted */
	__u32 job_timeout_ms;
	/** @job_history: jobs of a file that JOB_WAIT remembers */
	__u32 job_history;
	/** @revision: of the implementation */
	__u32 revision;
	/** @opcodes: a bit for each &enum xrnpe_opcode that it has */
	__u32 opcodes;
	/** @formats: a bit for each &enum xrnpe_format that it has */
	__u32 formats;
	/** @max_k: products that one output may sum */
	__u32 max_k;
	/** @cmd_bytes: bytes of &struct xrnpe_cmd that it reads */
	__u32 cmd_bytes;
	/** @bus_bytes: that its bus moves in a cycle */
	__u32 bus_bytes;
	/** @sram_kib: of its operand buffers */
	__u32 sram_kib;
	/** @clock_khz: of its array, what &struct xrnpe_counters counts cycles of */
	__u32 clock_khz;
	/** @timer_khz: of the timer in &struct xrnpe_job_record */
	__u32 timer_khz;
	/** @pad: zero */
	__u32 pad;
	/** @max_client_memory: bytes of buffers that a file may have created */
	__u64 max_client_memory;
};

/** struct drm_xrnpe_dev_query - arguments of DEV_QUERY */
struct drm_xrnpe_dev_query {
	/** @type: &enum drm_xrnpe_dev_query_type */
	__u32 type;
	/**
	 * @size: bytes at @pointer, at most a page. As much of the answer as fits
	 * is copied, a surplus is zeroed, and the answer's full size is returned
	 * here. With @pointer zero only the size is returned.
	 */
	__u32 size;
	/** @pointer: user address of the structure that @type names */
	__u64 pointer;
};

/** DRM_XRNPE_BO_CACHED - CPU mappings are cached; needs BO_SYNC. Else write-combined */
#define DRM_XRNPE_BO_CACHED (1u << 0)

/** struct drm_xrnpe_bo_create - arguments of BO_CREATE */
struct drm_xrnpe_bo_create {
	/** @size: bytes, at least 1; rounded up to whole pages and returned */
	__u64 size;
	/** @flags: DRM_XRNPE_BO_* */
	__u32 flags;
	/** @handle: out: the buffer, zeroed; closed with DRM_IOCTL_GEM_CLOSE */
	__u32 handle;
};

/** struct drm_xrnpe_bo_mmap_offset - arguments of BO_MMAP_OFFSET */
struct drm_xrnpe_bo_mmap_offset {
	/** @handle: buffer */
	__u32 handle;
	/** @pad: zero */
	__u32 pad;
	/** @offset: out: for mmap(2) of the device node */
	__u64 offset;
};

/** enum drm_xrnpe_bo_sync_op - who uses the buffer next */
enum drm_xrnpe_bo_sync_op {
	/** @DRM_XRNPE_BO_SYNC_FOR_CPU: after a job wrote, before the CPU reads */
	DRM_XRNPE_BO_SYNC_FOR_CPU = 0,
	/** @DRM_XRNPE_BO_SYNC_FOR_DEVICE: after the CPU wrote, before SUBMIT */
	DRM_XRNPE_BO_SYNC_FOR_DEVICE = 1,
};

/**
 * struct drm_xrnpe_bo_sync - arguments of BO_SYNC
 *
 * Does not wait for jobs. Does nothing for write-combined buffers and on
 * coherent systems.
 */
struct drm_xrnpe_bo_sync {
	/** @handle: buffer */
	__u32 handle;
	/** @op: &enum drm_xrnpe_bo_sync_op */
	__u32 op;
	/** @offset: first byte */
	__u64 offset;
	/** @size: bytes, at least 1; offset + size is within the buffer */
	__u64 size;
};

/** struct drm_xrnpe_region - memory that a job may reach; index = region number */
struct drm_xrnpe_region {
	/** @handle: buffer */
	__u32 handle;
	/** @flags: XRNPE_REGION_READ, XRNPE_REGION_WRITE; at least one */
	__u32 flags;
	/** @offset: first byte, a multiple of 64 */
	__u64 offset;
	/** @size: bytes, at least 1; offset + size is within the buffer */
	__u64 size;
};

/** DRM_XRNPE_SYNC_SIGNAL - signal when the job ends; else wait before it starts */
#define DRM_XRNPE_SYNC_SIGNAL (1u << 0)
/** DRM_XRNPE_SYNC_TIMELINE - @point of a timeline syncobj, else binary */
#define DRM_XRNPE_SYNC_TIMELINE (1u << 1)

/** struct drm_xrnpe_sync - a fence to wait for or to signal */
struct drm_xrnpe_sync {
	/** @handle: syncobj */
	__u32 handle;
	/** @flags: DRM_XRNPE_SYNC_* */
	__u32 flags;
	/** @point: timeline point; zero for a binary syncobj */
	__u64 point;
};

/** struct drm_xrnpe_array - an array of structures in user memory */
struct drm_xrnpe_array {
	/** @stride: bytes from an element to the next: its size to the caller */
	__u32 stride;
	/** @count: elements */
	__u32 count;
	/** @pointer: user address of the first */
	__u64 pointer;
};

/** DRM_XRNPE_MAX_SYNCS - syncs in a job */
#define DRM_XRNPE_MAX_SYNCS 64

/**
 * struct drm_xrnpe_submit - arguments of SUBMIT
 *
 * The job starts when its in-syncs and the implicit fences (dma_resv) of all its
 * buffers allow: a region with WRITE waits for all users, one without for
 * writers. Jobs of one file on one queue run in order of submission.
 */
struct drm_xrnpe_submit {
	/** @queue: hardware queue, 0 .. queues - 1; the lower, the more urgent */
	__u32 queue;
	/** @flags: zero */
	__u32 flags;
	/** @cmd_handle: buffer that holds the command records */
	__u32 cmd_handle;
	/** @cmd_count: records, 1 .. max_cmds */
	__u32 cmd_count;
	/** @cmd_offset: of the first record, a multiple of XRNPE_CMD_ALIGN */
	__u64 cmd_offset;
	/**
	 * @cmd_stride: bytes from a record to the next: a multiple of XRNPE_CMD_ALIGN,
	 * at least cmd_bytes of the device, at most XRNPE_CMD_STRIDE_MAX
	 */
	__u32 cmd_stride;
	/** @pad: zero */
	__u32 pad;
	/** @regions: of &struct drm_xrnpe_region, at most max_regions */
	struct drm_xrnpe_array regions;
	/** @syncs: of &struct drm_xrnpe_sync, at most DRM_XRNPE_MAX_SYNCS */
	struct drm_xrnpe_array syncs;
	/** @job: out: the job's number, counted from 1 in each file */
	__u64 job;
};

/** enum drm_xrnpe_job_state - how a job ended */
enum drm_xrnpe_job_state {
	/** @DRM_XRNPE_JOB_DONE: well */
	DRM_XRNPE_JOB_DONE = 0,
	/**
	 * @DRM_XRNPE_JOB_FAULT: the device refused a command, or failed to execute it
	 * (XRNPE_FAULT_BUS, XRNPE_FAULT_DEVICE: no fault of the job's); see @fault
	 */
	DRM_XRNPE_JOB_FAULT = 1,
	/** @DRM_XRNPE_JOB_TIMEOUT: it ran longer than job_timeout_ms */
	DRM_XRNPE_JOB_TIMEOUT = 2,
	/** @DRM_XRNPE_JOB_CANCELLED: device lost or reset, or a fence it waited for failed */
	DRM_XRNPE_JOB_CANCELLED = 3,
};

/**
 * struct drm_xrnpe_job_wait - arguments of JOB_WAIT
 *
 * Errors: -ETIME: not ended by @timeout_ns; -ENOENT: no such job in this file, or
 * one so old that it left the history of job_history jobs.
 */
struct drm_xrnpe_job_wait {
	/** @job: from SUBMIT */
	__u64 job;
	/** @timeout_ns: absolute CLOCK_MONOTONIC time; in the past: just look */
	__s64 timeout_ns;
	/** @state: out: &enum drm_xrnpe_job_state */
	__u32 state;
	/** @status: out: XRNPE_STATUS_* */
	__u32 status;
	/** @fault: out: for FAULT and TIMEOUT: where; else zero */
	struct xrnpe_fault fault;
	/**
	 * @record: user address where to put the job's &struct xrnpe_job_record, or
	 * zero. It is all zero if the device wrote none (the job did not get there)
	 */
	__u64 record;
	/**
	 * @record_size: bytes at @record, at most a page; a shorter record is cut, a
	 * surplus is zeroed
	 */
	__u32 record_size;
	/** @pad: zero */
	__u32 pad;
};

#define DRM_IOCTL_XRNPE_DEV_QUERY \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_XRNPE_DEV_QUERY, struct drm_xrnpe_dev_query)
#define DRM_IOCTL_XRNPE_BO_CREATE \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_XRNPE_BO_CREATE, struct drm_xrnpe_bo_create)
#define DRM_IOCTL_XRNPE_BO_MMAP_OFFSET \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_XRNPE_BO_MMAP_OFFSET, struct drm_xrnpe_bo_mmap_offset)
#define DRM_IOCTL_XRNPE_BO_SYNC \
	DRM_IOW(DRM_COMMAND_BASE + DRM_XRNPE_BO_SYNC, struct drm_xrnpe_bo_sync)
#define DRM_IOCTL_XRNPE_SUBMIT \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_XRNPE_SUBMIT, struct drm_xrnpe_submit)
#define DRM_IOCTL_XRNPE_JOB_WAIT \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_XRNPE_JOB_WAIT, struct drm_xrnpe_job_wait)

#if defined(__cplusplus)
}
#endif

#endif

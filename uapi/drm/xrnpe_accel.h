/* SPDX-License-Identifier: ((GPL-2.0-only WITH Linux-syscall-note) OR MIT) */
/*
 * XR-NPE ioctl ABI, version 1. Documentation/accel/xrnpe.rst tells the story.
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
	/** @DRM_XRNPE_BO_SET_LABEL: name a buffer object, for those who debug */
	DRM_XRNPE_BO_SET_LABEL,
	/** @DRM_XRNPE_QUEUE_CREATE: make a queue for jobs */
	DRM_XRNPE_QUEUE_CREATE,
	/** @DRM_XRNPE_QUEUE_DESTROY: destroy a queue */
	DRM_XRNPE_QUEUE_DESTROY,
	/** @DRM_XRNPE_SUBMIT: queue jobs */
	DRM_XRNPE_SUBMIT,
	/** @DRM_XRNPE_JOB_WAIT: wait for a job and learn how it ended */
	DRM_XRNPE_JOB_WAIT,
	/** @DRM_XRNPE_PERFMON_CREATE: make a performance monitor */
	DRM_XRNPE_PERFMON_CREATE,
	/** @DRM_XRNPE_PERFMON_DESTROY: destroy a performance monitor */
	DRM_XRNPE_PERFMON_DESTROY,
	/** @DRM_XRNPE_PERFMON_GET_VALUES: what the jobs of a performance monitor did */
	DRM_XRNPE_PERFMON_GET_VALUES,
};

/** enum drm_xrnpe_dev_query_type - what to ask DEV_QUERY for */
enum drm_xrnpe_dev_query_type {
	/** @DRM_XRNPE_DEV_QUERY_INFO: &struct drm_xrnpe_dev_info */
	DRM_XRNPE_DEV_QUERY_INFO = 0,
	/** @DRM_XRNPE_DEV_QUERY_TIME: &struct drm_xrnpe_dev_time */
	DRM_XRNPE_DEV_QUERY_TIME = 1,
};

/** DRM_XRNPE_DEV_COHERENT - the device sees the CPU's caches; BO_SYNC does nothing */
#define DRM_XRNPE_DEV_COHERENT (1u << 0)

/** struct drm_xrnpe_dev_info - what the hardware is and what the driver allows */
struct drm_xrnpe_dev_info {
	/** @version: programming model, major in the high half, minor in the low */
	__u32 version;
	/** @revision: of the implementation */
	__u32 revision;
	/** @flags: DRM_XRNPE_DEV_* */
	__u32 flags;
	/** @rows: processing elements down */
	__u32 rows;
	/** @cols: processing elements across */
	__u32 cols;
	/** @rings: hardware rings, which the priorities of queues share */
	__u32 rings;
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
	/** @max_cmds: commands in a job */
	__u32 max_cmds;
	/** @max_regions: regions in a job */
	__u32 max_regions;
	/** @max_queues: queues of a file */
	__u32 max_queues;
	/** @max_depth: jobs in a queue */
	__u32 max_depth;
	/** @max_failures: so many faults and timeouts in a row ban a queue */
	__u32 max_failures;
	/** @job_timeout_ms: a job may execute so long before it is aborted */
	__u32 job_timeout_ms;
	/** @resets: how often the device had to be reset because it failed */
	__u32 resets;
	/** @max_perfmons: performance monitors of a file */
	__u32 max_perfmons;
	/** @max_bo_size: bytes in a buffer object */
	__u64 max_bo_size;
	/** @max_client_memory: bytes of buffers that a file may have created */
	__u64 max_client_memory;
};

/** struct drm_xrnpe_dev_time - two clocks, read together */
struct drm_xrnpe_dev_time {
	/** @timer: the device's, by which job records tell start and end */
	__u64 timer;
	/** @cpu_ns: CLOCK_MONOTONIC at that moment */
	__u64 cpu_ns;
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
/** DRM_XRNPE_BO_NO_MMAP - it is never mapped for the CPU */
#define DRM_XRNPE_BO_NO_MMAP (1u << 1)

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

/** DRM_XRNPE_LABEL_MAX - bytes of a label, its final zero included */
#define DRM_XRNPE_LABEL_MAX 64

/** struct drm_xrnpe_bo_set_label - arguments of BO_SET_LABEL */
struct drm_xrnpe_bo_set_label {
	/** @handle: buffer */
	__u32 handle;
	/** @pad: zero */
	__u32 pad;
	/** @label: user address of a string; zero: it shall have none */
	__u64 label;
};

/** enum drm_xrnpe_priority - which queues are served first */
enum drm_xrnpe_priority {
	/** @DRM_XRNPE_PRIORITY_LOW: when no other has work, and now and then beside MEDIUM */
	DRM_XRNPE_PRIORITY_LOW = 0,
	/** @DRM_XRNPE_PRIORITY_MEDIUM: what programs use by default */
	DRM_XRNPE_PRIORITY_MEDIUM = 1,
	/** @DRM_XRNPE_PRIORITY_HIGH: for privileged programs */
	DRM_XRNPE_PRIORITY_HIGH = 2,
	/** @DRM_XRNPE_PRIORITY_REALTIME: before all others, for privileged programs */
	DRM_XRNPE_PRIORITY_REALTIME = 3,
};

/** struct drm_xrnpe_queue_create - arguments of QUEUE_CREATE */
struct drm_xrnpe_queue_create {
	/** @priority: &enum drm_xrnpe_priority */
	__u32 priority;
	/**
	 * @depth: jobs that may be queued, 1 .. max_depth; of so many JOB_WAIT
	 * remembers the end, too
	 */
	__u32 depth;
	/** @flags: zero */
	__u32 flags;
	/** @queue: out: the queue, counted from 1 */
	__u32 queue;
};

/** struct drm_xrnpe_queue_destroy - arguments of QUEUE_DESTROY */
struct drm_xrnpe_queue_destroy {
	/** @queue: from QUEUE_CREATE */
	__u32 queue;
	/** @pad: zero */
	__u32 pad;
};

/** DRM_XRNPE_REGION_READ - commands may read the region */
#define DRM_XRNPE_REGION_READ XRNPE_REGION_READ
/** DRM_XRNPE_REGION_WRITE - commands may write the region */
#define DRM_XRNPE_REGION_WRITE XRNPE_REGION_WRITE

/** struct drm_xrnpe_region - memory that a job may reach; index = region number */
struct drm_xrnpe_region {
	/** @handle: buffer */
	__u32 handle;
	/** @flags: DRM_XRNPE_REGION_*; at least one */
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

/** DRM_XRNPE_JOB_NO_IMPLICIT_SYNC - syncs alone tell what it waits for */
#define DRM_XRNPE_JOB_NO_IMPLICIT_SYNC (1u << 0)

/**
 * struct drm_xrnpe_job - a job
 *
 * It starts when its in-syncs and the implicit fences (dma_resv) of all its buffers
 * allow: a region with WRITE waits for all users, one without for writers.
 */
struct drm_xrnpe_job {
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
	/** @flags: DRM_XRNPE_JOB_NO_IMPLICIT_SYNC */
	__u32 flags;
	/** @regions: of &struct drm_xrnpe_region, at most max_regions */
	struct drm_xrnpe_array regions;
	/** @syncs: of &struct drm_xrnpe_sync, at most DRM_XRNPE_MAX_SYNCS */
	struct drm_xrnpe_array syncs;
	/** @perfmon: from PERFMON_CREATE: counts what the job does; or zero */
	__u32 perfmon;
	/** @pad: zero */
	__u32 pad;
};

/** DRM_XRNPE_MAX_JOBS - jobs in a SUBMIT */
#define DRM_XRNPE_MAX_JOBS 64

/** DRM_XRNPE_SUBMIT_NONBLOCK - fail rather than wait for room in the queue */
#define DRM_XRNPE_SUBMIT_NONBLOCK (1u << 0)

/**
 * struct drm_xrnpe_submit - arguments of SUBMIT
 *
 * Jobs of a queue execute in the order of submission, those of one SUBMIT in the
 * order of the array. All are queued, or none.
 */
struct drm_xrnpe_submit {
	/** @queue: from QUEUE_CREATE */
	__u32 queue;
	/** @flags: DRM_XRNPE_SUBMIT_* */
	__u32 flags;
	/** @jobs: of &struct drm_xrnpe_job, 1 .. DRM_XRNPE_MAX_JOBS and the queue's depth */
	struct drm_xrnpe_array jobs;
	/** @first_job: out: number of the first; they count from 1 in each queue */
	__u64 first_job;
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
	/** @DRM_XRNPE_JOB_CANCELLED: for &enum drm_xrnpe_cancel_reason */
	DRM_XRNPE_JOB_CANCELLED = 3,
};

/** enum drm_xrnpe_cancel_reason - why a job was cancelled */
enum drm_xrnpe_cancel_reason {
	/** @DRM_XRNPE_CANCEL_NONE: it was not */
	DRM_XRNPE_CANCEL_NONE = 0,
	/** @DRM_XRNPE_CANCEL_IN_FENCE: a fence that it waited for failed */
	DRM_XRNPE_CANCEL_IN_FENCE = 1,
	/** @DRM_XRNPE_CANCEL_CLOSED: its queue or file was closed before it got to the ring */
	DRM_XRNPE_CANCEL_CLOSED = 2,
	/** @DRM_XRNPE_CANCEL_BANNED: its queue was banned */
	DRM_XRNPE_CANCEL_BANNED = 3,
	/** @DRM_XRNPE_CANCEL_RESET: it had begun when the device was reset for another's sake */
	DRM_XRNPE_CANCEL_RESET = 4,
	/** @DRM_XRNPE_CANCEL_LOST: the device was removed, has failed, or does not wake up */
	DRM_XRNPE_CANCEL_LOST = 5,
	/** @DRM_XRNPE_CANCEL_STARVED: more urgent queues let it execute too little for too long */
	DRM_XRNPE_CANCEL_STARVED = 6,
};

/** struct drm_xrnpe_fault - where a job went wrong */
struct drm_xrnpe_fault {
	/** @kind: &enum xrnpe_fault_kind */
	__u32 kind;
	/** @cmd: index of the command */
	__u32 cmd;
	/** @operand: &enum xrnpe_operand_index or XRNPE_OPERAND_NONE */
	__u32 operand;
	/** @region: that the operand names */
	__u32 region;
	/** @offset: in the region, or of the field in the command */
	__u64 offset;
	/** @pad: zero */
	__u64 pad;
};

/**
 * struct drm_xrnpe_job_wait - arguments of JOB_WAIT
 *
 * Errors: -ETIME: not ended by @timeout_ns; -ENOENT: no such queue, or it never had
 * such a job; -ESTALE: it had, but as many as its depth came after it.
 */
struct drm_xrnpe_job_wait {
	/** @queue: from QUEUE_CREATE */
	__u32 queue;
	/** @flags: zero */
	__u32 flags;
	/** @job: its number, see &drm_xrnpe_submit.first_job */
	__u64 job;
	/** @timeout_ns: absolute CLOCK_MONOTONIC time; in the past: just look */
	__s64 timeout_ns;
	/** @state: out: &enum drm_xrnpe_job_state */
	__u32 state;
	/** @reason: out: &enum drm_xrnpe_cancel_reason */
	__u32 reason;
	/** @status: out: XRNPE_STATUS_* */
	__u32 status;
	/**
	 * @record_size: bytes at @record, at most a page; a shorter record is cut, a
	 * surplus is zeroed
	 */
	__u32 record_size;
	/**
	 * @record: user address where to put the job's &struct xrnpe_job_record, or
	 * zero. It is all zero if the device wrote none (the job did not get there)
	 */
	__u64 record;
	/** @fault: out: for FAULT, TIMEOUT and CANCEL_STARVED: where; else zero */
	struct drm_xrnpe_fault fault;
};

/** struct drm_xrnpe_perfmon_create - arguments of PERFMON_CREATE */
struct drm_xrnpe_perfmon_create {
	/** @flags: zero */
	__u32 flags;
	/** @perfmon: out: the monitor, counted from 1, with all values zero */
	__u32 perfmon;
};

/** struct drm_xrnpe_perfmon_destroy - arguments of PERFMON_DESTROY */
struct drm_xrnpe_perfmon_destroy {
	/** @perfmon: from PERFMON_CREATE */
	__u32 perfmon;
	/** @pad: zero */
	__u32 pad;
};

/**
 * struct drm_xrnpe_perfmon_values - the sums of what jobs did
 *
 * Of those that have ended, well or not, and of which the device wrote a record.
 */
struct drm_xrnpe_perfmon_values {
	/** @jobs: how many */
	__u64 jobs;
	/** @executed: ticks of the device's timer while their commands executed */
	__u64 executed;
	/** @counters: what the array did */
	struct xrnpe_counters counters;
};

/** struct drm_xrnpe_perfmon_get_values - arguments of PERFMON_GET_VALUES */
struct drm_xrnpe_perfmon_get_values {
	/** @perfmon: from PERFMON_CREATE */
	__u32 perfmon;
	/**
	 * @size: bytes at @pointer, at most a page. As many of the values as fit are
	 * copied, a surplus is zeroed, and their full size is returned here
	 */
	__u32 size;
	/** @pointer: user address of a &struct drm_xrnpe_perfmon_values */
	__u64 pointer;
};

#define DRM_IOCTL_XRNPE_DEV_QUERY \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_XRNPE_DEV_QUERY, struct drm_xrnpe_dev_query)
#define DRM_IOCTL_XRNPE_BO_CREATE \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_XRNPE_BO_CREATE, struct drm_xrnpe_bo_create)
#define DRM_IOCTL_XRNPE_BO_MMAP_OFFSET \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_XRNPE_BO_MMAP_OFFSET, struct drm_xrnpe_bo_mmap_offset)
#define DRM_IOCTL_XRNPE_BO_SYNC \
	DRM_IOW(DRM_COMMAND_BASE + DRM_XRNPE_BO_SYNC, struct drm_xrnpe_bo_sync)
#define DRM_IOCTL_XRNPE_BO_SET_LABEL \
	DRM_IOW(DRM_COMMAND_BASE + DRM_XRNPE_BO_SET_LABEL, struct drm_xrnpe_bo_set_label)
#define DRM_IOCTL_XRNPE_QUEUE_CREATE \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_XRNPE_QUEUE_CREATE, struct drm_xrnpe_queue_create)
#define DRM_IOCTL_XRNPE_QUEUE_DESTROY \
	DRM_IOW(DRM_COMMAND_BASE + DRM_XRNPE_QUEUE_DESTROY, struct drm_xrnpe_queue_destroy)
#define DRM_IOCTL_XRNPE_SUBMIT \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_XRNPE_SUBMIT, struct drm_xrnpe_submit)
#define DRM_IOCTL_XRNPE_JOB_WAIT \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_XRNPE_JOB_WAIT, struct drm_xrnpe_job_wait)
#define DRM_IOCTL_XRNPE_PERFMON_CREATE \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_XRNPE_PERFMON_CREATE, struct drm_xrnpe_perfmon_create)
#define DRM_IOCTL_XRNPE_PERFMON_DESTROY \
	DRM_IOW(DRM_COMMAND_BASE + DRM_XRNPE_PERFMON_DESTROY, struct drm_xrnpe_perfmon_destroy)
#define DRM_IOCTL_XRNPE_PERFMON_GET_VALUES \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_XRNPE_PERFMON_GET_VALUES, \
		 struct drm_xrnpe_perfmon_get_values)

#if defined(__cplusplus)
}
#endif

#endif

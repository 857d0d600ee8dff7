/* SPDX-License-Identifier: MIT */
/* Devices inside the library: what a back end provides to buffers and sessions. */
#ifndef XRNPE_BACKEND_H
#define XRNPE_BACKEND_H

#include <stdatomic.h>

#include "xrnpe.h"
#include "drm/xrnpe_accel.h"

/* Least alignment of memory that the program gives: that of regions. */
#define XRNPE_MEMORY_ALIGN 64

/* Alignment of regions in a buffer, and of buffers: no two share a cache line. */
#define XRNPE_BUFFER_ALIGN 256

struct xrnpe_buffer {
	atomic_uint references;
	struct xrnpe_device *device;	/* holds a reference */
	void *data;			/* NULL: cannot be mapped */
	size_t size;
	/*
	 * What is in it never changes again; and if that is commands, all jobs with them have the
	 * same constant buffers, and regions of the same sizes and flags.
	 */
	bool constant;
	/* The back end's. */
	_Atomic(struct emu_plans *) plans;	/* of commands */
	size_t mapped;			/* bytes at @data to be unmapped */
	uint32_t handle;
	int fd;				/* of a dma-buf; -1: it is none */
	struct xrnpe_buffer *next;
};

struct xrnpe_buffer *xrnpe_buffer_ref(struct xrnpe_buffer *buffer);

struct xrnpe_job_region {
	struct xrnpe_buffer *buffer;
	uint64_t offset;		/* a multiple of 64 */
	uint64_t size;			/* at least 1, inside the buffer */
	uint32_t flags;			/* XRNPE_REGION_* */
};

/* Why a job does not go on. */
enum xrnpe_stop {
	XRNPE_STOP_NOT,
	XRNPE_STOP_CANCELLED,
	XRNPE_STOP_LATE,		/* its deadline passed */
};

/* What the submitter of a job goes on to do, so that nobody else has to be told of it. */
enum xrnpe_awaited {
	XRNPE_AWAITED_NOT,		/* not known */
	XRNPE_AWAITED,			/* waits for it */
	XRNPE_AWAITED_BATCH,		/* waits for those of a batch, one after the other */
};

/*
 * A job: what the device does, and whatever follows. The caller fills the first part, submits,
 * and leaves it and its buffers alone until a wait returned other than -ETIME.
 */
struct xrnpe_job {
	struct xrnpe_buffer *cmds;	/* NULL: the device has nothing to do at first */
	uint32_t cmd_first, cmd_count;	/* records of it */
	uint32_t queue;
	bool count;			/* the result's counters are wanted, and the time */
	enum xrnpe_awaited awaited;
	unsigned int region_count;
	struct xrnpe_job_region regions[XRNPE_MAX_REGIONS];
	/*
	 * Called when the device has done its part, and at first where it has none. True: @cmds
	 * and what goes with them are the device's next part. False: the job has ended. Runs
	 * in any thread, without locks.
	 */
	bool (*advance)(struct xrnpe_job *job);
	bool goes_on;			/* nobody needs to wait for it to do so: parts, @ended */
	xrnpe_ended ended;		/* called when it has ended; may be NULL */
	void *ended_data;
	int fd;				/* an eventfd that is written when it has ended; -1: none */
	int64_t deadline;		/* as in clock.h */
	volatile bool cancelled;	/* accessed atomically */

	/* Of the device's last part, for advance(). */
	enum drm_xrnpe_job_state state;
	enum drm_xrnpe_cancel_reason reason;
	enum xrnpe_stop stop;
	struct xrnpe_result result;
	int64_t executed;		/* ns, if @count is set */

	/* What advance() says of all of it, or the back end where it cannot go on. */
	int code;
	struct xrnpe_error error;

	/* The back end's. */
	uint64_t number;
	uint32_t syncobj;
	bool begun, told, over;		/* told: the device's part has ended */
	struct xrnpe_job *next, *next_running;
};

/* Whether @job is to stop, and why: @stop is set. */
bool xrnpe_job_stops(struct xrnpe_job *job);

/* Tell who asked to be told that @job has ended. What the back end's lock protects comes after. */
void xrnpe_job_tell(struct xrnpe_job *job);

/* ... and under that lock: it is over. */
void xrnpe_job_end(struct xrnpe_job *job);

/* A device is the first member of its back end's own structure. */
struct xrnpe_device {
	const struct xrnpe_backend *backend;
	atomic_uint references;
	struct xrnpe_device_info info;
	unsigned int depth;		/* jobs in flight that keep it busy */
	unsigned int most_lanes;	/* elements of a batch that shall be one job; 0: each its own */
	bool swaps;			/* buffers can be swapped out, so idle ones may stay */
};

/* All may be called from any thread. */
struct xrnpe_backend {
	/* Fill all but size and device. Returns 0 or what failed. */
	int (*buffer_new)(struct xrnpe_device *device, struct xrnpe_buffer *buffer,
			  struct xrnpe_error *error);
	/* The same of the dma-buf @fd, which stays the caller's. */
	int (*buffer_import)(struct xrnpe_device *device, struct xrnpe_buffer *buffer, int fd,
			     struct xrnpe_error *error);
	/* The same of a program's memory, at data already. NULL: the device cannot reach it. */
	int (*buffer_wrap)(struct xrnpe_device *device, struct xrnpe_buffer *buffer,
			   struct xrnpe_error *error);
	void (*buffer_free)(struct xrnpe_buffer *buffer);
	/* In range, not empty. */
	int (*buffer_sync)(struct xrnpe_buffer *buffer, enum xrnpe_sync sync,
			   size_t offset, size_t size, struct xrnpe_error *error);
	int (*submit)(struct xrnpe_device *device, struct xrnpe_job *job,
		      struct xrnpe_error *error);
	/* Wait until @job has ended, at most @timeout_ns, without limit if negative. 0 or -ETIME. */
	int (*wait)(struct xrnpe_device *device, struct xrnpe_job *job, int64_t timeout_ns);
	/* @job->cancelled was set, maybe before it was submitted or after it ended. */
	void (*cancel)(struct xrnpe_device *device, struct xrnpe_job *job);
	/* Let @fd be that of @job, which is submitted. */
	int (*watch)(struct xrnpe_device *device, struct xrnpe_job *job, int fd,
		     struct xrnpe_error *error);
	/* @job will not be submitted again. */
	void (*forget)(struct xrnpe_device *device, struct xrnpe_job *job);
	/* No job and no buffer is left. */
	void (*close)(struct xrnpe_device *device);
};

int xrnpe_emu_open(struct xrnpe_device **device, struct xrnpe_error *error);
int xrnpe_drm_open(const char *name, struct xrnpe_device **device, struct xrnpe_error *error);

struct xrnpe_device *xrnpe_device_ref(struct xrnpe_device *device);

#endif

/* SPDX-License-Identifier: MIT */
/* Devices inside the library: what a back end provides to buffers and sessions. */
#ifndef XRNPE_BACKEND_H
#define XRNPE_BACKEND_H

#include <stdatomic.h>

#include "xrnpe.h"
#include "drm/xrnpe_accel.h"

/* Alignment of regions in a buffer, and of buffers: no two share a cache line. */
#define XRNPE_BUFFER_ALIGN 256

struct xrnpe_buffer {
	struct xrnpe_device *device;	/* holds a reference */
	void *data;
	size_t size;
	/* The back end's. */
	size_t mapped;
	uint32_t handle;
};

struct xrnpe_job_region {
	struct xrnpe_buffer *buffer;
	uint64_t offset;		/* a multiple of 64 */
	uint64_t size;			/* at least 1, inside the buffer */
	uint32_t flags;			/* XRNPE_REGION_* */
};

/*
 * A job. The caller fills the first part, submits, and leaves it and its buffers
 * alone until a wait returned other than -ETIME.
 */
struct xrnpe_job {
	struct xrnpe_buffer *cmds;
	uint32_t cmd_count;
	uint32_t queue;
	bool count;			/* the result's counters are wanted */
	unsigned int region_count;
	struct xrnpe_job_region regions[XRNPE_MAX_REGIONS];

	/* Valid when it has ended. */
	enum drm_xrnpe_job_state state;
	struct xrnpe_result result;

	/* The back end's. */
	uint64_t number;
	bool begun, ended;
	struct xrnpe_job *next;
};

/* A device is the first member of its back end's own structure. */
struct xrnpe_device {
	const struct xrnpe_backend *backend;
	atomic_uint references;
	struct xrnpe_device_info info;
	unsigned int depth;		/* jobs in flight that keep it busy */
};

/* All may be called from any thread. */
struct xrnpe_backend {
	/* Fill all but size and device. Returns 0 or what failed. */
	int (*buffer_new)(struct xrnpe_device *device, struct xrnpe_buffer *buffer,
			  struct xrnpe_error *error);
	void (*buffer_free)(struct xrnpe_buffer *buffer);
	/* In range, not empty. */
	int (*buffer_sync)(struct xrnpe_buffer *buffer, enum xrnpe_sync sync,
			   size_t offset, size_t size, struct xrnpe_error *error);
	int (*submit)(struct xrnpe_device *device, struct xrnpe_job *job,
		      struct xrnpe_error *error);
	/*
	 * Wait at most @timeout_ns, without limit if negative. Returns 0: it has ended
	 * and says how; -ETIME; or another error: its end cannot be known.
	 */
	int (*wait)(struct xrnpe_device *device, struct xrnpe_job *job, int64_t timeout_ns,
		    struct xrnpe_error *error);
	/* No job and no buffer is left. */
	void (*close)(struct xrnpe_device *device);
};

int xrnpe_emu_open(struct xrnpe_device **device, struct xrnpe_error *error);
int xrnpe_drm_open(const char *name, struct xrnpe_device **device, struct xrnpe_error *error);

struct xrnpe_device *xrnpe_device_ref(struct xrnpe_device *device);

#endif

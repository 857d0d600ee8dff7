/* SPDX-License-Identifier: MIT */
/* Syncobjs, and fences that a test signals when it likes. */
#ifndef XRNPE_SYNC_H
#define XRNPE_SYNC_H

#include <linux/sync_file.h>

#include "xrnpe_test.h"

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

/* The same of a syncobj's fence. */
static inline int syncobj_status(int fd, uint32_t syncobj)
{
	const int sync_file = export_fence(fd, syncobj), status = fence_status(sync_file);

	close(sync_file);
	return status;
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

#endif

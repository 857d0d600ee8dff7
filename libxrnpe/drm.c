// SPDX-License-Identifier: MIT
/*
 * The device behind the kernel driver. Kernels with CONFIG_DRM_ACCEL give it a
 * node /dev/accel/accel*, others a render node; both work alike.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <xf86drm.h>

#include "drm_backend.h"
#include "error.h"

#define DRIVER "xrnpe"
#define DRIVER_MAJOR 1
/* Enough to keep the ring fed while this side copies. */
#define DEPTH 16
/* Elements of a batch in a job: the kernel takes as long for it as for tens of commands. */
#define LANES 16

int drm_fail_ioctl(struct drm *drm, const char *verb, struct xrnpe_error *error)
{
	int code = errno;

	if (code == ENODEV)
		return xrnpe_fail(error, -ENODEV, "%s: the device is gone", drm->path);
	if (code == EIO)
		return xrnpe_fail(error, -EIO, "%s: cannot %s: too many jobs in a row have failed; open the device again",
				  drm->path, verb);
	return xrnpe_fail_errno(error, drm->path, verb);
}

/* ---- the device ------------------------------------------------------- */

static void drm_close(struct xrnpe_device *device)
{
	struct drm *drm = to_drm(device);

	drm_stop_jobs(drm);
	if (drm->fd >= 0)
		close(drm->fd);
	free(drm->path);
	free(drm);
}

static const struct xrnpe_backend drm_backend = {
	.buffer_new = drm_buffer_new,
	.buffer_import = drm_buffer_import,
	.buffer_free = drm_buffer_free,
	.buffer_sync = drm_buffer_sync,
	.submit = drm_submit,
	.wait = drm_wait,
	.cancel = drm_cancel,
	.watch = drm_watch,
	.forget = drm_forget,
	.close = drm_close,
};

/* Whose node is it? */
static int identify(struct drm *drm, struct xrnpe_error *error)
{
	drmVersionPtr version = drmGetVersion(drm->fd);
	int ret = 0;

	if (!version)
		return xrnpe_fail(error, -ENODEV, "%s: not a DRM device", drm->path);
	if (strcmp(version->name, DRIVER))
		ret = xrnpe_fail(error, -ENODEV, "%s: belongs to driver %s, not to %s", drm->path,
				 version->name, DRIVER);
	else if (version->version_major != DRIVER_MAJOR)
		ret = xrnpe_fail(error, -ENOTSUP, "%s: driver %s is version %d.%d; this library knows %d.x",
				 drm->path, DRIVER, version->version_major, version->version_minor,
				 DRIVER_MAJOR);
	snprintf(drm->driver, sizeof(drm->driver), DRIVER " %d.%d", version->version_major,
		 version->version_minor);
	drmFreeVersion(version);
	return ret;
}

static int query(struct drm *drm, struct xrnpe_error *error)
{
	struct drm_xrnpe_dev_info info = { 0 };
	struct drm_xrnpe_dev_query args = {
		.type = DRM_XRNPE_DEV_QUERY_INFO,
		.size = sizeof(info),
		.pointer = (uintptr_t)&info,
	};

	if (drmIoctl(drm->fd, DRM_IOCTL_XRNPE_DEV_QUERY, &args))
		return drm_fail_ioctl(drm, "query the device", error);
	drm->depth = info.max_depth;
	drm->coherent = info.flags & DRM_XRNPE_DEV_COHERENT;
	drm->timer_khz = info.timer_khz ? info.timer_khz : 1;
	drm->device.info = (struct xrnpe_device_info){
		.backend = "drm",
		.path = drm->path,
		.driver = drm->driver,
		.version = info.version,
		.rows = info.rows,
		.cols = info.cols,
		.max_cmds = info.max_cmds,
		.max_regions = info.max_regions,
		.max_buffer_size = info.max_bo_size,
		.job_timeout_ms = info.job_timeout_ms,
		.bus_bytes = info.bus_bytes,
		.sram_kib = info.sram_kib,
		.clock_khz = info.clock_khz,
	};
	return 0;
}

/* High priorities are for the privileged; whoever has them uses the highest as queue 0. */
static int create_queues(struct drm *drm, struct xrnpe_error *error)
{
	for (uint32_t below = DRM_XRNPE_PRIORITY_REALTIME + 1; below > 0; below--) {
		struct queue *queue = &drm->queues[drm->device.info.queues];
		struct drm_xrnpe_queue_create args = {
			.priority = below - 1, .depth = drm->depth,
		};

		if (drmIoctl(drm->fd, DRM_IOCTL_XRNPE_QUEUE_CREATE, &args)) {
			if (errno == EACCES)
				continue;
			return drm_fail_ioctl(drm, "create a queue", error);
		}
		queue->id = args.queue;
		queue->end = &queue->first;
		drm->device.info.queues++;
	}
	return 0;
}

static int open_node(const char *path, struct xrnpe_device **device, struct xrnpe_error *error)
{
	struct drm *drm = calloc(1, sizeof(*drm));
	int ret;

	if (!drm)
		return xrnpe_fail_memory(error);
	drm->device.backend = &drm_backend;
	drm->device.depth = DEPTH;
	drm->device.most_lanes = LANES;
	atomic_init(&drm->device.references, 1);
	drm_start_jobs(drm);
	drm->path = strdup(path);
	drm->fd = open(path, O_RDWR | O_CLOEXEC);
	if (!drm->path)
		ret = xrnpe_fail_memory(error);
	else if (drm->fd < 0)
		ret = xrnpe_fail_errno(error, path, "open");
	else
		ret = identify(drm, error);
	if (!ret)
		ret = query(drm, error);
	if (!ret)
		ret = create_queues(drm, error);
	if (ret) {
		drm_close(&drm->device);
		return ret;
	}
	*device = &drm->device;
	return 0;
}

/* Whether sysfs says that the node is ours; for nodes that we may not open. */
static bool is_ours(const char *path)
{
	char link[64], target[256];
	struct stat st;
	const char *name;
	ssize_t size;

	if (stat(path, &st) || !S_ISCHR(st.st_mode))
		return false;
	snprintf(link, sizeof(link), "/sys/dev/char/%u:%u/device/driver", major(st.st_rdev),
		 minor(st.st_rdev));
	size = readlink(link, target, sizeof(target) - 1);
	if (size < 0)
		return false;
	target[size] = '\0';
	name = strrchr(target, '/');
	return name && !strcmp(name + 1, DRIVER);
}

/*
 * Try a node. Returns whether the search is over: it was opened, or is ours and
 * cannot be.
 */
static bool try_node(const char *path, struct xrnpe_device **device, int *ret,
		     struct xrnpe_error *error)
{
	struct xrnpe_error why;

	*ret = open_node(path, device, &why);
	if (*ret && (*ret == -ENODEV || !is_ours(path)))
		return false;
	if (*ret && error)
		*error = why;
	return true;
}

static bool try_accel_nodes(struct xrnpe_device **device, int *ret, struct xrnpe_error *error)
{
	struct dirent **entries;
	char path[300];
	int count = scandir("/dev/accel", &entries, NULL, versionsort);
	bool over = false;

	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "/dev/accel/%s", entries[i]->d_name);
		if (!over && !strncmp(entries[i]->d_name, "accel", 5))
			over = try_node(path, device, ret, error);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	return over;
}

static bool try_render_nodes(struct xrnpe_device **device, int *ret, struct xrnpe_error *error)
{
	drmDevicePtr devices[64];
	int count = drmGetDevices2(0, devices, sizeof(devices) / sizeof(*devices));
	bool over = false;

	if (count < 0)
		return false;
	for (int i = 0; i < count && !over; i++)
		if (devices[i]->available_nodes & 1 << DRM_NODE_RENDER)
			over = try_node(devices[i]->nodes[DRM_NODE_RENDER], device, ret, error);
	drmFreeDevices(devices, count);
	return over;
}

int xrnpe_drm_open(const char *name, struct xrnpe_device **device, struct xrnpe_error *error)
{
	int ret;

	if (strcmp(name, "drm"))
		return open_node(name, device, error);
	/* libdrm 2.4.114 does not know accel nodes. */
	if (try_accel_nodes(device, &ret, error) || try_render_nodes(device, &ret, error))
		return ret;
	return xrnpe_fail(error, -ENODEV,
			  "drm: no XR-NPE device found: is the driver (module xrnpe) loaded?");
}

// SPDX-License-Identifier: MIT
/*
 * Buffers of the kernel driver: its own, and dma-bufs of others. The kernel gives a dma-buf
 * one handle however often it is imported, so that it is closed with the last buffer.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xf86drm.h>

#include "drm_backend.h"
#include "error.h"

static void close_handle(struct drm *drm, uint32_t handle)
{
	struct drm_gem_close args = { .handle = handle };

	drmIoctl(drm->fd, DRM_IOCTL_GEM_CLOSE, &args);
}

/* With the lock held. */
static void add_buffer(struct drm *drm, struct xrnpe_buffer *buffer)
{
	buffer->next = drm->buffers;
	drm->buffers = buffer;
}

/* Take @buffer off the list, and close its handle if no other has it. */
static void remove_buffer(struct drm *drm, struct xrnpe_buffer *buffer)
{
	struct xrnpe_buffer **link = &drm->buffers;
	bool shared = false;

	pthread_mutex_lock(&drm->lock);
	while (*link) {
		if (*link == buffer) {
			*link = buffer->next;
			continue;
		}
		shared |= (*link)->handle == buffer->handle;
		link = &(*link)->next;
	}
	if (!shared)
		close_handle(drm, buffer->handle);
	pthread_mutex_unlock(&drm->lock);
}

static int map_buffer(struct drm *drm, struct xrnpe_buffer *buffer, size_t size,
		      struct xrnpe_error *error)
{
	struct drm_xrnpe_bo_mmap_offset map = { .handle = buffer->handle };

	if (drmIoctl(drm->fd, DRM_IOCTL_XRNPE_BO_MMAP_OFFSET, &map))
		return drm_fail_ioctl(drm, "map a buffer", error);
	buffer->data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, drm->fd,
			    (off_t)map.offset);
	if (buffer->data == MAP_FAILED)
		return drm_fail_ioctl(drm, "map a buffer", error);
	buffer->mapped = size;
	return 0;
}

int drm_buffer_new(struct xrnpe_device *device, struct xrnpe_buffer *buffer,
		   struct xrnpe_error *error)
{
	struct drm *drm = to_drm(device);
	struct drm_xrnpe_bo_create create = {
		.size = buffer->size, .flags = DRM_XRNPE_BO_CACHED,
	};
	int ret;

	if (drmIoctl(drm->fd, DRM_IOCTL_XRNPE_BO_CREATE, &create)) {
		if (errno == ENOMEM)
			return xrnpe_fail(error, -ENOMEM,
					  "%s: no contiguous memory for a buffer of %zu bytes, or a limit "
					  "of the file, the device or the cgroup is reached",
					  drm->path, buffer->size);
		return drm_fail_ioctl(drm, "create a buffer", error);
	}
	buffer->handle = create.handle;
	ret = map_buffer(drm, buffer, create.size, error);
	if (ret) {
		close_handle(drm, create.handle);
		return ret;
	}
	pthread_mutex_lock(&drm->lock);
	add_buffer(drm, buffer);
	pthread_mutex_unlock(&drm->lock);
	return 0;
}

int drm_buffer_import(struct xrnpe_device *device, struct xrnpe_buffer *buffer, int fd,
		      struct xrnpe_error *error)
{
	struct drm *drm = to_drm(device);
	int ret;

	buffer->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (buffer->fd < 0)
		return xrnpe_fail_errno(error, drm->path, "keep a dma-buf open");
	pthread_mutex_lock(&drm->lock);
	ret = drmPrimeFDToHandle(drm->fd, fd, &buffer->handle) ? -errno : 0;
	if (!ret)
		add_buffer(drm, buffer);
	pthread_mutex_unlock(&drm->lock);
	if (ret) {
		close(buffer->fd);
		if (ret == -EINVAL)
			return xrnpe_fail(error, ret,
					  "%s: takes no memory but a dma-buf that is contiguous",
					  drm->path);
		errno = -ret;
		return drm_fail_ioctl(drm, "import a dma-buf", error);
	}
	/* Not all exporters let the CPU see it. */
	buffer->data = mmap(NULL, buffer->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (buffer->data == MAP_FAILED)
		buffer->data = NULL;
	else
		buffer->mapped = buffer->size;
	return 0;
}

void drm_buffer_free(struct xrnpe_buffer *buffer)
{
	if (buffer->mapped)
		munmap(buffer->data, buffer->mapped);
	remove_buffer(to_drm(buffer->device), buffer);
	if (buffer->fd >= 0)
		close(buffer->fd);
}

/* Another's buffer: the whole, as its exporter does it. */
static int sync_import(struct drm *drm, struct xrnpe_buffer *buffer, enum xrnpe_sync sync,
		       struct xrnpe_error *error)
{
	struct dma_buf_sync args = {
		.flags = DMA_BUF_SYNC_RW |
			 (sync == XRNPE_SYNC_FOR_CPU ? DMA_BUF_SYNC_START : DMA_BUF_SYNC_END),
	};
	int ret;

	do {
		ret = ioctl(buffer->fd, DMA_BUF_IOCTL_SYNC, &args);
	} while (ret && (errno == EINTR || errno == EAGAIN));
	return ret ? drm_fail_ioctl(drm, "synchronise a dma-buf", error) : 0;
}

int drm_buffer_sync(struct xrnpe_buffer *buffer, enum xrnpe_sync sync, size_t offset, size_t size,
		    struct xrnpe_error *error)
{
	struct drm *drm = to_drm(buffer->device);
	struct drm_xrnpe_bo_sync args = {
		.handle = buffer->handle,
		.op = sync == XRNPE_SYNC_FOR_CPU ? DRM_XRNPE_BO_SYNC_FOR_CPU :
						   DRM_XRNPE_BO_SYNC_FOR_DEVICE,
		.offset = offset,
		.size = size,
	};

	if (buffer->fd >= 0)
		return sync_import(drm, buffer, sync, error);
	if (drm->coherent)
		return 0;
	if (drmIoctl(drm->fd, DRM_IOCTL_XRNPE_BO_SYNC, &args))
		return drm_fail_ioctl(drm, "synchronise a buffer", error);
	return 0;
}

// SPDX-License-Identifier: MIT
/* Devices and buffers: the part that all back ends share. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backend.h"
#include "clock.h"
#include "error.h"

#define MAJOR(version) ((version) >> 16)
#define MINOR(version) ((version) & 0xffff)

int xrnpe_device_open(const char *name, struct xrnpe_device **device, struct xrnpe_error *error)
{
	struct xrnpe_device *opened;
	int ret;

	ret = !strcmp(name, "emu") ? xrnpe_emu_open(&opened, error) :
				     xrnpe_drm_open(name, &opened, error);
	if (ret)
		return ret;
	if (MAJOR(opened->info.version) != 1) {
		ret = xrnpe_fail(error, -ENOTSUP,
				 "%s: has programming model %u.%u; this library knows 1.x",
				 opened->info.path, MAJOR(opened->info.version),
				 MINOR(opened->info.version));
		xrnpe_device_close(opened);
		return ret;
	}
	*device = opened;
	return 0;
}

struct xrnpe_device *xrnpe_device_ref(struct xrnpe_device *device)
{
	atomic_fetch_add(&device->references, 1);
	return device;
}

void xrnpe_device_close(struct xrnpe_device *device)
{
	if (device && atomic_fetch_sub(&device->references, 1) == 1)
		device->backend->close(device);
}

const struct xrnpe_device_info *xrnpe_device_info(const struct xrnpe_device *device)
{
	return &device->info;
}

/* ---- jobs ------------------------------------------------------------- */

bool xrnpe_job_stops(struct xrnpe_job *job)
{
	if (__atomic_load_n(&job->cancelled, __ATOMIC_RELAXED))
		job->stop = XRNPE_STOP_CANCELLED;
	else if (job->deadline != INT64_MAX && clock_now() > job->deadline)
		job->stop = XRNPE_STOP_LATE;
	return job->stop != XRNPE_STOP_NOT;
}

void xrnpe_job_tell(struct xrnpe_job *job)
{
	if (job->ended)
		job->ended(job->ended_data);
}

void xrnpe_job_end(struct xrnpe_job *job)
{
	job->over = true;
	if (job->fd >= 0)
		eventfd_write(job->fd, 1);
}

/* ---- buffers ---------------------------------------------------------- */

/* A buffer without memory. NULL: no memory for it. */
static struct xrnpe_buffer *make_buffer(struct xrnpe_device *device, size_t size)
{
	struct xrnpe_buffer *made = calloc(1, sizeof(*made));

	if (!made)
		return NULL;
	atomic_init(&made->references, 1);
	made->size = size;
	made->fd = -1;
	made->device = xrnpe_device_ref(device);
	return made;
}

/* The buffer that is made, or if @ret is an error, none. */
static int finish_buffer(struct xrnpe_buffer *made, int ret, struct xrnpe_buffer **buffer)
{
	if (ret) {
		xrnpe_device_close(made->device);
		free(made);
		return ret;
	}
	*buffer = made;
	return 0;
}

static int check_size(const struct xrnpe_device *device, uint64_t size, struct xrnpe_error *error)
{
	if (!size || size > device->info.max_buffer_size)
		return xrnpe_fail(error, -EINVAL, "%s: a buffer of %" PRIu64 " bytes is not 1..%" PRIu64,
				  device->info.path, size, device->info.max_buffer_size);
	return 0;
}

int xrnpe_buffer_new(struct xrnpe_device *device, size_t size, struct xrnpe_buffer **buffer,
		     struct xrnpe_error *error)
{
	struct xrnpe_buffer *made;
	int ret = check_size(device, size, error);

	if (ret)
		return ret;
	made = make_buffer(device, size);
	if (!made)
		return xrnpe_fail_memory(error);
	return finish_buffer(made, device->backend->buffer_new(device, made, error), buffer);
}

int xrnpe_buffer_import(struct xrnpe_device *device, int fd, struct xrnpe_buffer **buffer,
			struct xrnpe_error *error)
{
	off_t size = lseek(fd, 0, SEEK_END);
	struct xrnpe_buffer *made;
	int ret = size < 0 ? xrnpe_fail_errno(error, "dma-buf", "learn the size of it") :
			     check_size(device, (uint64_t)size, error);

	if (ret)
		return ret;
	made = make_buffer(device, (size_t)size);
	if (!made)
		return xrnpe_fail_memory(error);
	return finish_buffer(made, device->backend->buffer_import(device, made, fd, error), buffer);
}

int xrnpe_buffer_wrap(struct xrnpe_device *device, void *memory, size_t size,
		      struct xrnpe_buffer **buffer, struct xrnpe_error *error)
{
	struct xrnpe_buffer *made;
	int ret;

	if (!device->backend->buffer_wrap)
		return xrnpe_fail(error, -ENOTSUP,
				  "%s: reaches no memory but buffers of its own and dma-bufs",
				  device->info.path);
	ret = check_size(device, size, error);
	if (!ret && (uintptr_t)memory % XRNPE_MEMORY_ALIGN)
		ret = xrnpe_fail(error, -EINVAL, "memory for a buffer is not aligned to %d bytes",
				 XRNPE_MEMORY_ALIGN);
	if (ret)
		return ret;
	made = make_buffer(device, size);
	if (!made)
		return xrnpe_fail_memory(error);
	made->data = memory;
	return finish_buffer(made, device->backend->buffer_wrap(device, made, error), buffer);
}

struct xrnpe_buffer *xrnpe_buffer_ref(struct xrnpe_buffer *buffer)
{
	atomic_fetch_add(&buffer->references, 1);
	return buffer;
}

void xrnpe_buffer_free(struct xrnpe_buffer *buffer)
{
	if (!buffer || atomic_fetch_sub(&buffer->references, 1) > 1)
		return;
	buffer->device->backend->buffer_free(buffer);
	xrnpe_device_close(buffer->device);
	free(buffer);
}

void *xrnpe_buffer_data(const struct xrnpe_buffer *buffer)
{
	return buffer->data;
}

size_t xrnpe_buffer_size(const struct xrnpe_buffer *buffer)
{
	return buffer->size;
}

int xrnpe_buffer_sync(struct xrnpe_buffer *buffer, enum xrnpe_sync sync, size_t offset,
		      size_t size, struct xrnpe_error *error)
{
	if (offset > buffer->size || size > buffer->size - offset)
		return xrnpe_fail(error, -EINVAL,
				  "bytes %zu + %zu are outside a buffer of %zu bytes", offset, size,
				  buffer->size);
	if (!size)
		return 0;
	return buffer->device->backend->buffer_sync(buffer, sync, offset, size, error);
}

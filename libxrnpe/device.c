// SPDX-License-Identifier: MIT
/* Devices and buffers: the part that all back ends share. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

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

int xrnpe_buffer_new(struct xrnpe_device *device, size_t size, struct xrnpe_buffer **buffer,
		     struct xrnpe_error *error)
{
	struct xrnpe_buffer *made;
	int ret;

	if (!size || size > device->info.max_buffer_size)
		return xrnpe_fail(error, -EINVAL, "%s: a buffer of %zu bytes is not 1..%" PRIu64,
				  device->info.path, size, device->info.max_buffer_size);
	made = calloc(1, sizeof(*made));
	if (!made)
		return xrnpe_fail_memory(error);
	made->size = size;
	made->device = xrnpe_device_ref(device);
	ret = device->backend->buffer_new(device, made, error);
	if (ret) {
		xrnpe_device_close(device);
		free(made);
		return ret;
	}
	*buffer = made;
	return 0;
}

void xrnpe_buffer_free(struct xrnpe_buffer *buffer)
{
	if (!buffer)
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

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Performance monitors: sums of what the device says of jobs that name one.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <drm/drm_file.h>
#include <drm/drm_print.h>

#include "xrnpe_drv.h"
#include "xrnpe_perfmon.h"

static void xrnpe_perfmon_free(struct kref *ref)
{
	kfree(container_of(ref, struct xrnpe_perfmon, refcount));
}

/**
 * xrnpe_perfmon_put() - drop a reference
 * @perfmon: the monitor, or NULL
 */
void xrnpe_perfmon_put(struct xrnpe_perfmon *perfmon)
{
	if (perfmon)
		kref_put(&perfmon->refcount, xrnpe_perfmon_free);
}

/**
 * xrnpe_perfmon_get() - find a monitor by its number
 * @ctx: its file
 * @id: its number
 *
 * Return: the monitor, with a reference, or NULL.
 */
struct xrnpe_perfmon *xrnpe_perfmon_get(struct xrnpe_ctx *ctx, u32 id)
{
	struct xrnpe_perfmon *perfmon;

	xa_lock(&ctx->perfmons);
	perfmon = xa_load(&ctx->perfmons, id);
	if (perfmon)
		kref_get(&perfmon->refcount);
	xa_unlock(&ctx->perfmons);
	return perfmon;
}

/**
 * xrnpe_ctx_put_perfmons() - let go of a file's monitors; jobs may still have them
 * @ctx: the file, which has no user any more
 */
void xrnpe_ctx_put_perfmons(struct xrnpe_ctx *ctx)
{
	struct xrnpe_perfmon *perfmon;
	unsigned long id;

	xa_for_each(&ctx->perfmons, id, perfmon)
		xrnpe_perfmon_put(perfmon);
	xa_destroy(&ctx->perfmons);
}

int xrnpe_ioctl_perfmon_create(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_xrnpe_perfmon_create *args = data;
	struct xrnpe_ctx *ctx = file->driver_priv;
	struct xrnpe_perfmon *perfmon;
	int ret;

	if (args->flags) {
		drm_dbg(drm, "unknown flags %#x\n", args->flags);
		return -EINVAL;
	}
	perfmon = kzalloc(sizeof(*perfmon), GFP_KERNEL_ACCOUNT);
	if (!perfmon)
		return -ENOMEM;
	kref_init(&perfmon->refcount);
	ret = xa_alloc(&ctx->perfmons, &args->perfmon, perfmon,
		       XA_LIMIT(1, XRNPE_MAX_FILE_PERFMONS), GFP_KERNEL);
	if (ret) {
		drm_dbg(drm, "no room for a performance monitor: %pe\n", ERR_PTR(ret));
		xrnpe_perfmon_put(perfmon);
		return ret == -EBUSY ? -ENOSPC : ret;
	}
	return 0;
}

int xrnpe_ioctl_perfmon_destroy(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_xrnpe_perfmon_destroy *args = data;
	struct xrnpe_ctx *ctx = file->driver_priv;
	struct xrnpe_perfmon *perfmon;

	if (args->pad) {
		drm_dbg(drm, "pad is not zero\n");
		return -EINVAL;
	}
	perfmon = xa_erase(&ctx->perfmons, args->perfmon);
	if (!perfmon)
		return -ENOENT;
	xrnpe_perfmon_put(perfmon);
	return 0;
}

int xrnpe_ioctl_perfmon_get_values(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_xrnpe_perfmon_get_values *args = data;
	struct drm_xrnpe_perfmon_values values;
	struct xrnpe_perfmon *perfmon;
	u32 size = args->size;

	if (size > PAGE_SIZE) {
		drm_dbg(drm, "size %u is more than a page\n", size);
		return -EINVAL;
	}
	perfmon = xrnpe_perfmon_get(file->driver_priv, args->perfmon);
	if (!perfmon)
		return -ENOENT;
	scoped_guard(xrnpe_hw, to_xrnpe_device(drm))
		values = perfmon->values;
	xrnpe_perfmon_put(perfmon);

	args->size = sizeof(values);
	return copy_struct_to_user(u64_to_user_ptr(args->pointer), size, &values, sizeof(values),
				   NULL);
}

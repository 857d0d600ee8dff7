// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Memory that the device tree keeps for the device's buffers, its memory-region.
 *
 * A buffer is freed into the region that its device has by then. So the device keeps it
 * until its last buffer is gone, which may be long after the driver was unbound, and it was
 * bound again.
 */
#include <linux/cleanup.h>
#include <linux/device.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/of.h>
#include <linux/of_reserved_mem.h>
#include <linux/slab.h>

#include <drm/drm_managed.h>

#include "xrnpe_drv.h"
#include "xrnpe_pool.h"

/** struct xrnpe_pool - the region of a device */
struct xrnpe_pool {
	/** @refcount: of the DRM devices that it has, or had */
	struct kref refcount;
	/** @node: among all */
	struct list_head node;
	/** @dev: the device, with a reference */
	struct device *dev;
};

static LIST_HEAD(xrnpe_pools);
static DEFINE_MUTEX(xrnpe_pools_lock);

static struct xrnpe_pool *xrnpe_pool_find(struct device *dev)
{
	struct xrnpe_pool *pool;

	list_for_each_entry(pool, &xrnpe_pools, node)
		if (pool->dev == dev)
			return pool;
	return NULL;
}

static struct xrnpe_pool *xrnpe_pool_create(struct device *dev)
{
	struct xrnpe_pool *pool __free(kfree) = kzalloc_obj(*pool);
	int ret;

	if (!pool)
		return ERR_PTR(-ENOMEM);
	ret = of_reserved_mem_device_init(dev);
	if (ret)
		return ERR_PTR(ret);
	kref_init(&pool->refcount);
	pool->dev = get_device(dev);
	list_add(&pool->node, &xrnpe_pools);
	return no_free_ptr(pool);
}

static void xrnpe_pool_release(struct kref *ref)
{
	struct xrnpe_pool *pool = container_of(ref, struct xrnpe_pool, refcount);

	list_del(&pool->node);
	of_reserved_mem_device_release(pool->dev);
	put_device(pool->dev);
	kfree(pool);
}

static void xrnpe_pool_put(struct drm_device *drm, void *data)
{
	struct xrnpe_pool *pool = data;

	guard(mutex)(&xrnpe_pools_lock);
	kref_put(&pool->refcount, xrnpe_pool_release);
}

static struct xrnpe_pool *xrnpe_pool_get(struct device *dev)
{
	struct xrnpe_pool *pool;

	guard(mutex)(&xrnpe_pools_lock);
	pool = xrnpe_pool_find(dev);
	if (!pool)
		return xrnpe_pool_create(dev);
	kref_get(&pool->refcount);
	return pool;
}

/**
 * xrnpe_pool_probe() - let the device have its memory-region, if there is one
 * @xdev: the device, which has no memory yet
 *
 * Return: 0 or a negative errno.
 */
int xrnpe_pool_probe(struct xrnpe_device *xdev)
{
	struct device *dev = xdev->drm.dev;
	struct device_node *region __free(device_node) =
		of_parse_phandle(dev->of_node, "memory-region", 0);
	struct xrnpe_pool *pool;

	if (!region)
		return 0;
	/* Other memory has no pages, which dma-bufs of buffers are made of. */
	if (!of_property_read_bool(region, "reusable"))
		return dev_err_probe(dev, -EINVAL, "memory-region is not reusable\n");
	pool = xrnpe_pool_get(dev);
	if (IS_ERR(pool))
		return dev_err_probe(dev, PTR_ERR(pool), "cannot have its memory-region\n");
	return drmm_add_action_or_reset(&xdev->drm, xrnpe_pool_put, pool);
}

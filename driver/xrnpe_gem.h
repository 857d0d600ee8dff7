/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef __XRNPE_GEM_H__
#define __XRNPE_GEM_H__

#include <linux/sizes.h>

#include <drm/drm_gem.h>

struct dma_buf;
struct dma_buf_attachment;
struct dmem_cgroup_pool_state;
struct sg_table;
struct xrnpe_ctx;
struct xrnpe_device;

#define XRNPE_MAX_BO_SIZE	SZ_256M

/** struct xrnpe_bo - a buffer that is contiguous to the device */
struct xrnpe_bo {
	/** @base: the GEM object */
	struct drm_gem_object base;
	/** @node: in the device's list */
	struct list_head node;
	/** @dma_addr: where the device sees it */
	dma_addr_t dma_addr;
	/** @vaddr: where the kernel sees it; NULL if imported */
	void *vaddr;
	/** @sgt: of an imported buffer */
	struct sg_table *sgt;
	/** @ctx: the file that is charged for it, with a reference; NULL if imported */
	struct xrnpe_ctx *ctx;
	/** @dmem: what of a cgroup is charged for it, with a reference; may be NULL */
	struct dmem_cgroup_pool_state *dmem;
	/** @cached: CPU mappings are cached, BO_SYNC keeps them coherent */
	bool cached;
	/** @no_mmap: never mapped for the CPU */
	bool no_mmap;
	/** @label: what its user calls it, or NULL; protected by the device's bo_lock */
	char *label;
	/** @exported: there has been a dma-buf of it */
	bool exported;
	/** @read_only: imported from a dma-buf that may not be written */
	bool read_only;
	/**
	 * @alone: context of the only fences in it that have not signaled, as far as this driver
	 * knows, or zero; protected by its reservation
	 */
	u64 alone;
	/** @leaked: a runaway device may access it, see &xrnpe_device.runaway */
	bool leaked;
};

static inline struct xrnpe_bo *to_xrnpe_bo(struct drm_gem_object *obj)
{
	return container_of(obj, struct xrnpe_bo, base);
}

/**
 * xrnpe_bo_contains() - whether a part of a buffer is one
 * @bo: the buffer
 * @offset: of its first byte
 * @size: bytes
 *
 * Return: true if there are any, and all are within the buffer.
 */
static inline bool xrnpe_bo_contains(const struct xrnpe_bo *bo, u64 offset, u64 size)
{
	return size && offset <= bo->base.size && size <= bo->base.size - offset;
}

int xrnpe_gem_probe(struct xrnpe_device *xdev);
int xrnpe_ioctl_bo_create(struct drm_device *drm, void *data, struct drm_file *file);
int xrnpe_ioctl_bo_mmap_offset(struct drm_device *drm, void *data, struct drm_file *file);
int xrnpe_ioctl_bo_set_label(struct drm_device *drm, void *data, struct drm_file *file);
int xrnpe_ioctl_bo_sync(struct drm_device *drm, void *data, struct drm_file *file);
struct drm_gem_object *xrnpe_gem_import(struct drm_device *drm, struct dma_buf *dmabuf);
struct drm_gem_object *xrnpe_gem_import_sg_table(struct drm_device *drm,
						 struct dma_buf_attachment *attach,
						 struct sg_table *sgt);

#endif

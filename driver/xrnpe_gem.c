// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Buffer objects: memory contiguous to the device, so that a region is a base
 * and a size. The GEM DMA helpers would do, but map cached memory for one
 * direction only, and the device both reads and writes.
 */
#include <linux/atomic.h>
#include <linux/cgroup_dmem.h>
#include <linux/device.h>
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/kmemleak.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_prime.h>
#include <drm/drm_print.h>

#include "xrnpe_drv.h"
#include "xrnpe_gem.h"

MODULE_IMPORT_NS("DMA_BUF");

/* Fences of jobs hold this module, and what holds them here will stay for ever. */
static void xrnpe_resv_forget_signaled(struct dma_resv *resv)
{
	struct dma_resv_iter cursor;
	struct dma_fence *fence, *stub = dma_fence_get_stub();

	dma_resv_lock(resv, NULL);
	dma_resv_for_each_fence(&cursor, resv, DMA_RESV_USAGE_BOOKKEEP, fence)
		if (dma_fence_is_signaled(fence))
			dma_resv_replace_fences(resv, fence->context, stub,
						DMA_RESV_USAGE_BOOKKEEP);
	dma_resv_unlock(resv);
	dma_fence_put(stub);
}

/*
 * The device may write the memory for as long as the machine runs, so that
 * nobody else must ever get it; or nobody knows where it is. Nothing of it needs this
 * module.
 */
static void xrnpe_gem_abandon(struct xrnpe_bo *bo)
{
	struct drm_gem_object *obj = &bo->base;

	if (!drm_gem_is_imported(obj)) {
		kmemleak_not_leak(bo->dmem);
		return;
	}

	xrnpe_resv_forget_signaled(obj->resv);
	/* The attachment keeps the exporter from moving or freeing the memory. */
	get_device(obj->import_attach->dev);
	kmemleak_not_leak(obj->import_attach);
	kmemleak_not_leak(bo->sgt);
}

/*
 * Begin and end what needs to know where the memory of an address of the device is. False
 * if nobody does any more.
 */
static bool xrnpe_gem_enter(struct drm_gem_object *obj, int *idx)
{
	*idx = -1;
	return !to_xrnpe_device(obj->dev)->translated || drm_dev_enter(obj->dev, idx);
}

static void xrnpe_gem_exit(int idx)
{
	if (idx >= 0)
		drm_dev_exit(idx);
}

/* ---- what a file, the device and a cgroup may have ---- */

static void xrnpe_gem_unregister_region(void *region)
{
	dmem_cgroup_unregister_region(region);
}

/**
 * xrnpe_gem_probe() - let cgroups have limits of the device's memory
 * @xdev: the device
 *
 * drmm_cgroup_register_region() would keep the region while somebody has a file open. A device
 * that is bound anew meanwhile would then have a second one of the same name, to which limits
 * do not get. What is charged outlives the region.
 *
 * Return: 0 or a negative errno.
 */
int xrnpe_gem_probe(struct xrnpe_device *xdev)
{
	struct dmem_cgroup_init init = { .size = xdev->max_memory };
	struct device *dev = xdev->drm.dev;

	xdev->dmem = dmem_cgroup_register_region(&init, "drm/%s/buffers", dev_name(dev));
	if (IS_ERR(xdev->dmem))
		return PTR_ERR(xdev->dmem);
	return devm_add_action_or_reset(dev, xrnpe_gem_unregister_region, xdev->dmem);
}

static bool xrnpe_try_add(atomic64_t *counter, u64 amount, u64 limit)
{
	if (atomic64_add_return(amount, counter) <= limit)
		return true;
	atomic64_sub(amount, counter);
	return false;
}

static int xrnpe_bo_charge_cgroup(struct xrnpe_bo *bo, struct xrnpe_device *xdev, u64 size)
{
	int ret = dmem_cgroup_try_charge(xdev->dmem, size, &bo->dmem, NULL);

	if (ret != -EAGAIN)
		return ret;
	/* Callers repeat what fails with EAGAIN. */
	drm_dbg(&xdev->drm, "a limit of the process's cgroup is reached\n");
	return -ENOMEM;
}

static int xrnpe_bo_charge(struct xrnpe_bo *bo, struct xrnpe_ctx *ctx, u64 size)
{
	struct xrnpe_device *xdev = ctx->xdev;
	int ret;

	if (!xrnpe_try_add(&ctx->bo_bytes, size, xdev->info.max_client_memory)) {
		drm_dbg(&xdev->drm, "the file's limit of %llu bytes is reached\n",
			xdev->info.max_client_memory);
		return -ENOMEM;
	}
	if (!xrnpe_try_add(&xdev->bo_bytes, size, xdev->max_memory)) {
		drm_dbg(&xdev->drm, "the device's limit of %llu bytes is reached\n",
			xdev->max_memory);
		ret = -ENOMEM;
		goto err_file;
	}
	ret = xrnpe_bo_charge_cgroup(bo, xdev, size);
	if (ret)
		goto err_device;
	kref_get(&ctx->refcount);
	bo->ctx = ctx;
	return 0;

err_device:
	atomic64_sub(size, &xdev->bo_bytes);
err_file:
	atomic64_sub(size, &ctx->bo_bytes);
	return ret;
}

static void xrnpe_bo_uncharge(struct xrnpe_bo *bo, u64 size)
{
	dmem_cgroup_uncharge(bo->dmem, size);
	atomic64_sub(size, &bo->ctx->xdev->bo_bytes);
	atomic64_sub(size, &bo->ctx->bo_bytes);
	xrnpe_ctx_put(bo->ctx);
}

/* ---- objects ---- */

static void xrnpe_gem_forget(struct xrnpe_bo *bo)
{
	guard(mutex)(&to_xrnpe_device(bo->base.dev)->bo_lock);
	list_del(&bo->node);
}

static void xrnpe_gem_free(struct drm_gem_object *obj)
{
	struct xrnpe_bo *bo = to_xrnpe_bo(obj);
	int idx;
	bool known = xrnpe_gem_enter(obj, &idx);
	bool abandoned = !known || (bo->leaked && READ_ONCE(to_xrnpe_device(obj->dev)->runaway));

	xrnpe_gem_forget(bo);
	if (!known)
		drm_err_ratelimited(obj->dev, "a buffer outlived its driver: %zu bytes are lost\n",
				    obj->size);
	if (abandoned)
		xrnpe_gem_abandon(bo);
	else if (drm_gem_is_imported(obj))
		drm_prime_gem_destroy(obj, bo->sgt);
	else if (bo->cached)
		dma_free_noncoherent(obj->dev->dev, obj->size, bo->vaddr, bo->dma_addr,
				     DMA_BIDIRECTIONAL);
	else
		dma_free_wc(obj->dev->dev, obj->size, bo->vaddr, bo->dma_addr);
	if (known)
		xrnpe_gem_exit(idx);

	/* What is lost stays charged. */
	if (bo->ctx && abandoned)
		xrnpe_ctx_put(bo->ctx);
	else if (bo->ctx)
		xrnpe_bo_uncharge(bo, obj->size);
	drm_gem_object_release(obj);
	kfree(bo->label);
	kfree(bo);
}

static int xrnpe_gem_mmap(struct drm_gem_object *obj, struct vm_area_struct *vma)
{
	struct xrnpe_bo *bo = to_xrnpe_bo(obj);
	int idx, ret;

	if (bo->no_mmap)
		return -EPERM;
	if (bo->read_only) {
		if (vma->vm_flags & VM_WRITE)
			return -EACCES;
		vm_flags_clear(vma, VM_MAYWRITE);
	}
	if (drm_gem_is_imported(obj)) {
		/* The exporter takes over, with its own operations or none. */
		vma->vm_private_data = NULL;
		vma->vm_ops = NULL;
		ret = dma_buf_mmap(obj->import_attach->dmabuf, vma, 0);
		/* Drop the reference that the caller took for our operations. */
		if (!ret)
			drm_gem_object_put(obj);
		return ret;
	}

	/* The device would not see what is written to a private copy. A read-only one is none. */
	if ((vma->vm_flags & (VM_SHARED | VM_MAYWRITE)) == VM_MAYWRITE)
		return -EINVAL;

	/* Pages count from the buffer's first, not from its fake offset. */
	vma->vm_pgoff -= drm_vma_node_start(&obj->vma_node);
	vm_flags_set(vma, VM_DONTEXPAND | VM_DONTDUMP);

	if (bo->cached)
		return dma_mmap_pages(obj->dev->dev, vma, obj->size, virt_to_page(bo->vaddr));
	if (!xrnpe_gem_enter(obj, &idx))
		return -ENODEV;
	ret = dma_mmap_wc(obj->dev->dev, vma, bo->vaddr, bo->dma_addr, obj->size);
	xrnpe_gem_exit(idx);
	return ret;
}

static int xrnpe_gem_vmap(struct drm_gem_object *obj, struct iosys_map *map)
{
	if (drm_gem_is_imported(obj))
		return -EOPNOTSUPP;
	iosys_map_set_vaddr(map, to_xrnpe_bo(obj)->vaddr);
	return 0;
}

static struct dma_buf *xrnpe_gem_export(struct drm_gem_object *obj, int flags)
{
	struct xrnpe_bo *bo = to_xrnpe_bo(obj);

	/* An importer could not be told to keep caches coherent. */
	if (bo->cached)
		return ERR_PTR(-EINVAL);
	/* Before anybody can have it; it stays so, as the dma-buf may outlive all handles. */
	WRITE_ONCE(bo->exported, true);
	return drm_gem_prime_export(obj, flags);
}

static struct sg_table *xrnpe_gem_get_sg_table(struct drm_gem_object *obj)
{
	struct xrnpe_bo *bo = to_xrnpe_bo(obj);
	struct sg_table *sgt __free(kfree) = kzalloc_obj(*sgt);
	int idx, ret;

	if (!sgt)
		return ERR_PTR(-ENOMEM);
	if (!xrnpe_gem_enter(obj, &idx))
		return ERR_PTR(-ENODEV);

	ret = dma_get_sgtable_attrs(obj->dev->dev, sgt, bo->vaddr, bo->dma_addr, obj->size,
				    DMA_ATTR_WRITE_COMBINE);
	xrnpe_gem_exit(idx);
	if (ret)
		return ERR_PTR(ret);
	return no_free_ptr(sgt);
}

static enum drm_gem_object_status xrnpe_gem_status(struct drm_gem_object *obj)
{
	return DRM_GEM_OBJECT_RESIDENT;
}

static const struct vm_operations_struct xrnpe_gem_vm_ops = {
	.open = drm_gem_vm_open,
	.close = drm_gem_vm_close,
};

static const struct drm_gem_object_funcs xrnpe_gem_funcs = {
	.free = xrnpe_gem_free,
	.mmap = xrnpe_gem_mmap,
	.vmap = xrnpe_gem_vmap,
	.export = xrnpe_gem_export,
	.get_sg_table = xrnpe_gem_get_sg_table,
	.status = xrnpe_gem_status,
	.vm_ops = &xrnpe_gem_vm_ops,
};

/* The memory is there already. */
static int xrnpe_gem_init(struct drm_device *drm, struct xrnpe_bo *bo, size_t size)
{
	struct xrnpe_device *xdev = to_xrnpe_device(drm);

	bo->base.funcs = &xrnpe_gem_funcs;
	drm_gem_private_object_init(drm, &bo->base, size);
	scoped_guard(mutex, &xdev->bo_lock)
		list_add_tail(&bo->node, &xdev->bos);
	return drm_gem_create_mmap_offset(&bo->base);
}

/* Get the memory, zeroed. It is charged to the process's memory cgroup, too. */
static int xrnpe_bo_alloc(struct xrnpe_bo *bo, struct device *dev, size_t size)
{
	const gfp_t gfp = GFP_USER | __GFP_ACCOUNT | __GFP_NOWARN;

	if (!bo->cached) {
		bo->vaddr = dma_alloc_wc(dev, size, &bo->dma_addr, gfp);
		return bo->vaddr ? 0 : -ENOMEM;
	}

	bo->vaddr = dma_alloc_noncoherent(dev, size, &bo->dma_addr, DMA_BIDIRECTIONAL, gfp);
	if (!bo->vaddr)
		return -ENOMEM;
	/* The zeros may be in the CPU's cache only; a job may be the first to look. */
	dma_sync_single_for_device(dev, bo->dma_addr, size, DMA_BIDIRECTIONAL);
	return 0;
}

static struct xrnpe_bo *xrnpe_bo_create(struct drm_device *drm, struct xrnpe_ctx *ctx,
					size_t size, u32 flags)
{
	struct xrnpe_bo *bo __free(kfree) = kzalloc_obj(*bo, GFP_KERNEL_ACCOUNT);
	int ret;

	if (!bo)
		return ERR_PTR(-ENOMEM);

	ret = xrnpe_bo_charge(bo, ctx, size);
	if (ret)
		return ERR_PTR(ret);
	bo->cached = flags & DRM_XRNPE_BO_CACHED;
	bo->no_mmap = flags & DRM_XRNPE_BO_NO_MMAP;
	ret = xrnpe_bo_alloc(bo, drm->dev, size);
	if (ret) {
		drm_dbg(drm, "no %zu contiguous bytes\n", size);
		xrnpe_bo_uncharge(bo, size);
		return ERR_PTR(ret);
	}

	ret = xrnpe_gem_init(drm, bo, size);
	if (ret) {
		drm_gem_object_put(&no_free_ptr(bo)->base);
		return ERR_PTR(ret);
	}
	return no_free_ptr(bo);
}

int xrnpe_ioctl_bo_create(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_xrnpe_bo_create *args = data;
	struct xrnpe_bo *bo;
	int idx, ret;

	if (args->flags & ~(DRM_XRNPE_BO_CACHED | DRM_XRNPE_BO_NO_MMAP)) {
		drm_dbg(drm, "unknown flags %#x\n", args->flags);
		return -EINVAL;
	}
	if (!args->size || args->size > XRNPE_MAX_BO_SIZE) {
		drm_dbg(drm, "size %llu is not in 1..%u\n", args->size, XRNPE_MAX_BO_SIZE);
		return -EINVAL;
	}

	/* Nothing could be done with it. */
	if (READ_ONCE(to_xrnpe_device(drm)->wedged))
		return -ENODEV;
	if (!drm_dev_enter(drm, &idx))
		return -ENODEV;
	bo = xrnpe_bo_create(drm, file->driver_priv, PAGE_ALIGN(args->size), args->flags);
	drm_dev_exit(idx);
	if (IS_ERR(bo))
		return PTR_ERR(bo);

	ret = drm_gem_handle_create(file, &bo->base, &args->handle);
	if (!ret)
		args->size = bo->base.size;
	/* The handle holds it now. */
	drm_gem_object_put(&bo->base);
	return ret;
}

int xrnpe_ioctl_bo_mmap_offset(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_xrnpe_bo_mmap_offset *args = data;
	struct drm_gem_object *obj;
	int ret = 0;

	if (args->pad) {
		drm_dbg(drm, "pad is not zero\n");
		return -EINVAL;
	}

	obj = drm_gem_object_lookup(file, args->handle);
	if (!obj)
		return -ENOENT;
	if (to_xrnpe_bo(obj)->no_mmap)
		ret = -EPERM;
	else
		args->offset = drm_vma_node_offset_addr(&obj->vma_node);
	drm_gem_object_put(obj);
	return ret;
}

/* What strndup_user() does, but who sets a label is charged for it. */
static char *xrnpe_label_get(u64 pointer)
{
	char text[DRM_XRNPE_LABEL_MAX], *label;
	long length;

	if (!pointer)
		return NULL;
	length = strncpy_from_user(text, u64_to_user_ptr(pointer), sizeof(text));
	if (length < 0)
		return ERR_PTR(length);
	if (length == sizeof(text))
		return ERR_PTR(-EINVAL);
	label = kstrdup(text, GFP_KERNEL_ACCOUNT);
	return label ?: ERR_PTR(-ENOMEM);
}

int xrnpe_ioctl_bo_set_label(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_xrnpe_bo_set_label *args = data;
	struct drm_gem_object *obj;
	char *label;

	if (args->pad) {
		drm_dbg(drm, "pad is not zero\n");
		return -EINVAL;
	}
	label = xrnpe_label_get(args->label);
	if (IS_ERR(label))
		return PTR_ERR(label);

	obj = drm_gem_object_lookup(file, args->handle);
	if (!obj) {
		kfree(label);
		return -ENOENT;
	}
	scoped_guard(mutex, &to_xrnpe_device(drm)->bo_lock)
		swap(to_xrnpe_bo(obj)->label, label);
	kfree(label);
	drm_gem_object_put(obj);
	return 0;
}

static int xrnpe_bo_sync(struct xrnpe_bo *bo, const struct drm_xrnpe_bo_sync *args)
{
	struct drm_gem_object *obj = &bo->base;
	struct drm_device *drm = obj->dev;
	int idx;

	if (drm_gem_is_imported(obj)) {
		drm_dbg(drm, "the dma-buf's own DMA_BUF_IOCTL_SYNC is for imported buffers\n");
		return -EINVAL;
	}
	if (!args->size || args->offset > obj->size || args->size > obj->size - args->offset) {
		drm_dbg(drm, "%llu bytes at %llu are not within the buffer\n",
			args->size, args->offset);
		return -EINVAL;
	}

	if (!drm_dev_enter(drm, &idx))
		return -ENODEV;
	if (bo->cached && args->op == DRM_XRNPE_BO_SYNC_FOR_CPU)
		dma_sync_single_range_for_cpu(drm->dev, bo->dma_addr, args->offset, args->size,
					      DMA_BIDIRECTIONAL);
	if (bo->cached && args->op == DRM_XRNPE_BO_SYNC_FOR_DEVICE)
		dma_sync_single_range_for_device(drm->dev, bo->dma_addr, args->offset,
						 args->size, DMA_BIDIRECTIONAL);
	drm_dev_exit(idx);
	return 0;
}

int xrnpe_ioctl_bo_sync(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_xrnpe_bo_sync *args = data;
	struct drm_gem_object *obj;
	int ret;

	if (args->op != DRM_XRNPE_BO_SYNC_FOR_CPU && args->op != DRM_XRNPE_BO_SYNC_FOR_DEVICE) {
		drm_dbg(drm, "unknown operation %u\n", args->op);
		return -EINVAL;
	}

	obj = drm_gem_object_lookup(file, args->handle);
	if (!obj)
		return -ENOENT;
	ret = xrnpe_bo_sync(to_xrnpe_bo(obj), args);
	drm_gem_object_put(obj);
	return ret;
}

/* ---- buffers of others ---- */

static bool xrnpe_dmabuf_is_read_only(const struct dma_buf *dmabuf)
{
	return !(dmabuf->file->f_mode & FMODE_WRITE);
}

/*
 * What drm_gem_prime_import() does with the dma-buf of another driver. Our own it
 * gives as the object that was exported, which may be written.
 */
static struct drm_gem_object *xrnpe_gem_attach(struct drm_device *drm, struct dma_buf *dmabuf)
{
	struct dma_buf_attachment *attach;
	struct drm_gem_object *obj;
	struct sg_table *sgt;

	attach = dma_buf_attach(dmabuf, drm->dev);
	if (IS_ERR(attach))
		return ERR_CAST(attach);
	sgt = dma_buf_map_attachment_unlocked(attach, DMA_BIDIRECTIONAL);
	if (IS_ERR(sgt)) {
		dma_buf_detach(dmabuf, attach);
		return ERR_CAST(sgt);
	}
	obj = xrnpe_gem_import_sg_table(drm, attach, sgt);
	if (IS_ERR(obj)) {
		dma_buf_unmap_attachment_unlocked(attach, sgt, DMA_BIDIRECTIONAL);
		dma_buf_detach(dmabuf, attach);
		return obj;
	}
	get_dma_buf(dmabuf);
	obj->import_attach = attach;
	obj->resv = dmabuf->resv;
	return obj;
}

/**
 * xrnpe_gem_import() - make a buffer object of a dma-buf
 * @drm: the device
 * @dmabuf: the dma-buf
 *
 * Return: the object, which may be written if the dma-buf may; else ERR_PTR().
 */
struct drm_gem_object *xrnpe_gem_import(struct drm_device *drm, struct dma_buf *dmabuf)
{
	struct drm_gem_object *obj = drm_gem_prime_import(drm, dmabuf);

	if (IS_ERR(obj) || drm_gem_is_imported(obj) || !xrnpe_dmabuf_is_read_only(dmabuf))
		return obj;
	drm_gem_object_put(obj);
	return xrnpe_gem_attach(drm, dmabuf);
}

/**
 * xrnpe_gem_import_sg_table() - make a buffer object of a foreign dma-buf
 * @drm: the device
 * @attach: the attachment, made and destroyed by the caller
 * @sgt: the memory, which must be contiguous to the device
 *
 * Return: the object, or ERR_PTR().
 */
struct drm_gem_object *xrnpe_gem_import_sg_table(struct drm_device *drm,
						 struct dma_buf_attachment *attach,
						 struct sg_table *sgt)
{
	struct xrnpe_bo *bo;
	int ret;

	if (drm_prime_get_contiguous_size(sgt) < attach->dmabuf->size ||
	    !IS_ALIGNED(sg_dma_address(sgt->sgl), XRNPE_REGION_ALIGN)) {
		drm_dbg(drm, "the dma-buf is scattered or not aligned\n");
		return ERR_PTR(-EINVAL);
	}

	bo = kzalloc_obj(*bo, GFP_KERNEL_ACCOUNT);
	if (!bo)
		return ERR_PTR(-ENOMEM);

	bo->dma_addr = sg_dma_address(sgt->sgl);
	bo->sgt = sgt;
	bo->read_only = xrnpe_dmabuf_is_read_only(attach->dmabuf);
	ret = xrnpe_gem_init(drm, bo, attach->dmabuf->size);
	if (ret) {
		/* The attachment is still the caller's. */
		xrnpe_gem_forget(bo);
		drm_gem_object_release(&bo->base);
		kfree(bo);
		return ERR_PTR(ret);
	}
	return &bo->base;
}

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The kernel's interfaces as the driver uses them, those of 7.3, on older kernels,
 * down to 6.12. These two are tested, what is between is written after the kernel's
 * history. Kbuild looks into the kernel's headers, defines HAVE_*, and has this file
 * included before all others. It is not for a kernel tree.
 */
#ifndef __XRNPE_COMPAT_H__
#define __XRNPE_COMPAT_H__

#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <drm/drm_accel.h>
#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_gem.h>
#include <drm/drm_managed.h>

/* Kernels without accel nodes give render nodes. */
#if !IS_ENABLED(CONFIG_DRM_ACCEL)
#define DRIVER_COMPUTE_ACCEL	DRIVER_RENDER
#undef DRM_ACCEL_FOPS
#define DRM_ACCEL_FOPS		DRM_GEM_FOPS
#endif

#ifdef HAVE_IMPORT_NS_TOKEN
#undef MODULE_IMPORT_NS
#define MODULE_IMPORT_NS(ns)	MODULE_INFO(import_ns, ns)
#endif

/* The last argument of those below, if it is there, else GFP_KERNEL. */
#define xrnpe_compat_gfp(...)	xrnpe_compat_second(, ##__VA_ARGS__, GFP_KERNEL)
#define xrnpe_compat_second(first, second, ...)	second
#ifndef kmalloc_obj
#define kmalloc_obj(obj, ...)	kmalloc(sizeof(obj), xrnpe_compat_gfp(__VA_ARGS__))
#endif
#ifndef kzalloc_obj
#define kzalloc_obj(obj, ...)	kzalloc(sizeof(obj), xrnpe_compat_gfp(__VA_ARGS__))
#endif
#ifndef kzalloc_objs
#define kzalloc_objs(obj, n, ...)	kcalloc(n, sizeof(obj), xrnpe_compat_gfp(__VA_ARGS__))
#endif

#ifndef drmm_alloc_ordered_workqueue
static inline void xrnpe_compat_wq_release(struct drm_device *drm, void *wq)
{
	destroy_workqueue(wq);
}

#define drmm_alloc_ordered_workqueue(drm, fmt, flags, args...) ({ \
	struct workqueue_struct *__wq = alloc_ordered_workqueue(fmt, flags, ##args); \
	int __ret = __wq ? drmm_add_action_or_reset(drm, xrnpe_compat_wq_release, __wq) : -ENOMEM; \
	__ret ? ERR_PTR(__ret) : __wq; \
})
#endif

#ifndef HAVE_DRM_CLIENT_SYSRQ
/*
 * Who has opened a node before registering failed must not get through to the device either;
 * later kernels see to that themselves.
 */
static inline int xrnpe_compat_dev_register(struct drm_device *drm, unsigned long flags)
{
	int ret = drm_dev_register(drm, flags);

	if (ret)
		drm_dev_unplug(drm);
	return ret;
}

#define drm_dev_register	xrnpe_compat_dev_register
#endif

#ifndef HAVE_DRM_WEDGED
#define drm_dev_wedged_event(drm, method, info)	((void)(drm))
#elif !defined(HAVE_DRM_WEDGE_TASK)
#define drm_dev_wedged_event(drm, method, info)	drm_dev_wedged_event(drm, method)
#endif

#ifndef HAVE_FENCE_ENABLE
#define dma_fence_enable_signaling	dma_fence_enable_sw_signaling
#endif

#ifndef HAVE_COPY_STRUCT_TO_USER
static inline int copy_struct_to_user(void __user *dst, size_t usize, const void *src,
				      size_t ksize, bool *ignored_trailing)
{
	size_t size = min(ksize, usize);

	if (usize > ksize && clear_user(dst + size, usize - ksize))
		return -EFAULT;
	return copy_to_user(dst, src, size) ? -EFAULT : 0;
}
#endif

#endif

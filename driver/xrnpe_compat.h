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
#include <drm/gpu_scheduler.h>

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

#ifndef kvzalloc_obj
#define kvzalloc_obj(obj)	kvzalloc(sizeof(obj), GFP_KERNEL)
#endif
/* The last argument of those below, if it is there, else GFP_KERNEL. */
#define xrnpe_compat_gfp(...)	xrnpe_compat_second(, ##__VA_ARGS__, GFP_KERNEL)
#define xrnpe_compat_second(first, second, ...)	second
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

#ifndef HAVE_SCHED_INIT_ARGS
struct drm_sched_init_args {
	const struct drm_sched_backend_ops *ops;
	struct workqueue_struct *submit_wq;
	struct workqueue_struct *timeout_wq;
	u32 num_rqs;
	u32 credit_limit;
	long timeout;
	const char *name;
	struct device *dev;
};

static inline int xrnpe_compat_sched_init(struct drm_gpu_scheduler *sched,
					  const struct drm_sched_init_args *args)
{
	return drm_sched_init(sched, args->ops, args->submit_wq, args->num_rqs, args->credit_limit, 0,
			      args->timeout, args->timeout_wq, NULL, args->name, args->dev);
}

#define drm_sched_init	xrnpe_compat_sched_init
#endif

#ifndef HAVE_SCHED_CLIENT_ID
#define drm_sched_job_init(job, entity, credits, owner, client_id) \
	drm_sched_job_init(job, entity, credits, owner)
#endif

#ifndef HAVE_SCHED_NO_HANG
/*
 * What timedout_job() returns when the scheduler shall go on with the job. The
 * older scheduler took it off its list before it called, and does not put it back.
 */
static inline enum drm_gpu_sched_stat xrnpe_compat_no_hang(struct drm_sched_job *job)
{
	struct drm_gpu_scheduler *sched = job->sched;

	spin_lock(&sched->job_list_lock);
	list_add(&job->list, &sched->pending_list);
	spin_unlock(&sched->job_list_lock);
	/* It may have ended while it was off the list: look for it again. */
	queue_work(sched->submit_wq, &sched->work_free_job);
	return DRM_GPU_SCHED_STAT_NOMINAL;
}

/* The parameter of timedout_job() has this name in the driver. */
#define DRM_GPU_SCHED_STAT_NO_HANG	xrnpe_compat_no_hang(sched_job)
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

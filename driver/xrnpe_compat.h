/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What differs between kernels from 6.12 to 7.3. These two are tested, what is
 * between is written after the kernel's history. Kbuild looks into the kernel's
 * headers and defines HAVE_*. In a kernel tree this file shrinks to nothing.
 */
#ifndef __XRNPE_COMPAT_H__
#define __XRNPE_COMPAT_H__

#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/gpu_scheduler.h>

#ifdef HAVE_IMPORT_NS_TOKEN
#define XRNPE_IMPORT_NS(ns)	MODULE_IMPORT_NS(ns)
#else
#define XRNPE_IMPORT_NS(ns)	MODULE_IMPORT_NS(#ns)
#endif

#ifndef kvzalloc_obj
#define kvzalloc_obj(obj)	kvzalloc(sizeof(obj), GFP_KERNEL)
#endif
#ifndef kzalloc_obj
#define kzalloc_obj(obj)	kzalloc(sizeof(obj), GFP_KERNEL)
#endif
#ifndef kzalloc_objs
#define kzalloc_objs(obj, n)	kcalloc(n, sizeof(obj), GFP_KERNEL)
#endif

static inline int xrnpe_sched_init(struct drm_gpu_scheduler *sched,
				   const struct drm_sched_backend_ops *ops,
				   struct workqueue_struct *timeout_wq,
				   u32 credit_limit, long timeout,
				   const char *name, struct device *dev)
{
#ifdef HAVE_SCHED_INIT_ARGS
	return drm_sched_init(sched, &(const struct drm_sched_init_args) {
		.ops = ops,
		.timeout_wq = timeout_wq,
		.num_rqs = DRM_SCHED_PRIORITY_COUNT,
		.credit_limit = credit_limit,
		.timeout = timeout,
		.name = name,
		.dev = dev,
	});
#else
	return drm_sched_init(sched, ops, NULL, DRM_SCHED_PRIORITY_COUNT,
			      credit_limit, 0, timeout, timeout_wq, NULL,
			      name, dev);
#endif
}

static inline int xrnpe_sched_job_init(struct drm_sched_job *job,
				       struct drm_sched_entity *entity,
				       void *owner, struct drm_file *file)
{
#ifdef HAVE_SCHED_CLIENT_ID
	return drm_sched_job_init(job, entity, 1, owner, file->client_id);
#else
	return drm_sched_job_init(job, entity, 1, owner);
#endif
}

/*
 * To be returned by timedout_job() when the scheduler shall go on with @job: it
 * has ended meanwhile, or may run on.
 */
static inline enum drm_gpu_sched_stat xrnpe_sched_no_hang(struct drm_sched_job *job)
{
#ifdef HAVE_SCHED_NO_HANG
	return DRM_GPU_SCHED_STAT_NO_HANG;
#else
	struct drm_gpu_scheduler *sched = job->sched;

	spin_lock(&sched->job_list_lock);
	list_add(&job->list, &sched->pending_list);
	spin_unlock(&sched->job_list_lock);
	/* It may have ended while it was off the list: look for it again. */
	queue_work(sched->submit_wq, &sched->work_free_job);
	return DRM_GPU_SCHED_STAT_NOMINAL;
#endif
}

static inline void xrnpe_drm_wedged_event(struct drm_device *drm)
{
#if defined(HAVE_DRM_WEDGE_TASK)
	drm_dev_wedged_event(drm, DRM_WEDGE_RECOVERY_REBIND, NULL);
#elif defined(HAVE_DRM_WEDGED)
	drm_dev_wedged_event(drm, DRM_WEDGE_RECOVERY_REBIND);
#endif
}

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

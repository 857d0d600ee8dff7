// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * XR-NPE: DRM accel driver. Device, files and their statistics.
 */
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/platform_device.h>
#include <linux/pm_runtime.h>
#include <linux/property.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>

#include <drm/drm_accel.h>
#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_gem.h>
#include <drm/drm_ioctl.h>
#include <drm/drm_managed.h>
#include <drm/drm_print.h>

#include "xrnpe_debugfs.h"
#include "xrnpe_drv.h"
#include "xrnpe_dump.h"
#include "xrnpe_gem.h"
#include "xrnpe_hw.h"
#include "xrnpe_job.h"
#include "xrnpe_perfmon.h"
#include "xrnpe_pm.h"
#include "xrnpe_pool.h"
#include "xrnpe_queue.h"
#include "xrnpe_recover.h"
#include "xrnpe_ring.h"
#include "xrnpe_sched.h"

#define CREATE_TRACE_POINTS
#include "xrnpe_trace.h"

static unsigned int job_timeout_ms = 2000;
module_param(job_timeout_ms, uint, 0444);
MODULE_PARM_DESC(job_timeout_ms, "A job may execute so long before it is aborted (100..60000, default 2000)");

static unsigned int memory_mib;
module_param(memory_mib, uint, 0444);
MODULE_PARM_DESC(memory_mib, "Memory that all buffers of a device may take (default: a quarter of RAM)");

static unsigned int client_memory_mib;
module_param(client_memory_mib, uint, 0444);
MODULE_PARM_DESC(client_memory_mib, "Memory that buffers of an open file may take (default: a quarter of memory_mib)");

/* What holds a reference to a file, or drops the last; flushed before the module goes. */
struct workqueue_struct *xrnpe_wq;

/* ---- files ---- */

static void xrnpe_ctx_release_work(struct work_struct *work)
{
	struct xrnpe_ctx *ctx = container_of(work, struct xrnpe_ctx, release_work);

	/* This may be the last of the device, and stop its workers. */
	drm_dev_put(&ctx->xdev->drm);
	kfree(ctx);
	module_put(THIS_MODULE);
}

void xrnpe_ctx_release(struct kref *ref)
{
	struct xrnpe_ctx *ctx = container_of(ref, struct xrnpe_ctx, refcount);

	/* The last job may be freed by a worker, which cannot stop itself. */
	queue_work(xrnpe_wq, &ctx->release_work);
}

static int xrnpe_open(struct drm_device *drm, struct drm_file *file)
{
	struct xrnpe_ctx *ctx;

	ctx = kzalloc_obj(*ctx, GFP_KERNEL_ACCOUNT);
	if (!ctx)
		return -ENOMEM;

	ctx->xdev = to_xrnpe_device(drm);
	kref_init(&ctx->refcount);
	INIT_WORK(&ctx->release_work, xrnpe_ctx_release_work);
	xa_init_flags(&ctx->perfmons, XA_FLAGS_ALLOC1 | XA_FLAGS_ACCOUNT);
	INIT_DELAYED_WORK(&ctx->close_work, xrnpe_ctx_close_work);
	ctx->client = file->client_id;
	drm_dev_get(drm);
	/* The file being opened holds one already. */
	__module_get(THIS_MODULE);
	file->driver_priv = ctx;
	return 0;
}

static void xrnpe_postclose(struct drm_device *drm, struct drm_file *file)
{
	struct xrnpe_ctx *ctx = file->driver_priv;

	xrnpe_ctx_close_queues(ctx);
	xrnpe_ctx_put_perfmons(ctx);
	xrnpe_ctx_put(ctx);
}

static void xrnpe_show_fdinfo(struct drm_printer *p, struct drm_file *file)
{
	struct xrnpe_ctx *ctx = file->driver_priv;
	struct xrnpe_device *xdev = ctx->xdev;

	scoped_guard(xrnpe_hw, xdev) {
		xrnpe_hw_account(xdev);
		drm_printf(p, "drm-engine-npu:\t%llu ns\n", ctx->busy_ns);
		drm_printf(p, "drm-cycles-npu:\t%llu\n", ctx->cycles);
		drm_printf(p, "drm-maxfreq-npu:\t%u KHz\n", xdev->info.clock_khz);
	}
	drm_show_memory_stats(p, file);
}

/* ---- ioctls ---- */

static int xrnpe_query_answer(struct drm_xrnpe_dev_query *args, const void *answer, size_t size)
{
	u32 user_size = args->size;

	args->size = size;
	return copy_struct_to_user(u64_to_user_ptr(args->pointer), user_size, answer, size, NULL);
}

static int xrnpe_query_info(struct xrnpe_device *xdev, struct drm_xrnpe_dev_query *args)
{
	struct drm_xrnpe_dev_info info;

	scoped_guard(xrnpe_hw, xdev)
		info = xdev->info;
	return xrnpe_query_answer(args, &info, sizeof(info));
}

static int xrnpe_query_time(struct xrnpe_device *xdev, struct drm_xrnpe_dev_query *args)
{
	struct drm_xrnpe_dev_time time;
	int idx, ret;

	/* One that has failed is not woken up for it. */
	if (READ_ONCE(xdev->wedged) || !drm_dev_enter(&xdev->drm, &idx))
		return -ENODEV;
	ret = pm_runtime_resume_and_get(xdev->drm.dev);
	if (!ret) {
		scoped_guard(xrnpe_hw, xdev) {
			ret = xrnpe_hw_timer(xdev, &time.timer);
			time.cpu_ns = ktime_get_ns();
		}
		pm_runtime_mark_last_busy(xdev->drm.dev);
		pm_runtime_put_autosuspend(xdev->drm.dev);
	}
	drm_dev_exit(idx);
	return ret ?: xrnpe_query_answer(args, &time, sizeof(time));
}

static int xrnpe_ioctl_dev_query(struct drm_device *drm, void *data, struct drm_file *file)
{
	static const struct {
		size_t size;
		int (*answer)(struct xrnpe_device *xdev, struct drm_xrnpe_dev_query *args);
	} queries[] = {
		[DRM_XRNPE_DEV_QUERY_INFO] = {
			sizeof(struct drm_xrnpe_dev_info), xrnpe_query_info,
		},
		[DRM_XRNPE_DEV_QUERY_TIME] = {
			sizeof(struct drm_xrnpe_dev_time), xrnpe_query_time,
		},
	};
	struct drm_xrnpe_dev_query *args = data;

	if (args->type >= ARRAY_SIZE(queries)) {
		drm_dbg(drm, "unknown query %u\n", args->type);
		return -EINVAL;
	}
	if (!args->pointer) {
		args->size = queries[args->type].size;
		return 0;
	}
	if (args->size > PAGE_SIZE) {
		drm_dbg(drm, "size %u is more than a page\n", args->size);
		return -EINVAL;
	}
	return queries[args->type].answer(to_xrnpe_device(drm), args);
}

#define XRNPE_IOCTL(n, func) DRM_IOCTL_DEF_DRV(XRNPE_##n, xrnpe_ioctl_##func, DRM_RENDER_ALLOW)

static const struct drm_ioctl_desc xrnpe_ioctls[] = {
	XRNPE_IOCTL(DEV_QUERY, dev_query),
	XRNPE_IOCTL(BO_CREATE, bo_create),
	XRNPE_IOCTL(BO_MMAP_OFFSET, bo_mmap_offset),
	XRNPE_IOCTL(BO_SYNC, bo_sync),
	XRNPE_IOCTL(BO_SET_LABEL, bo_set_label),
	XRNPE_IOCTL(QUEUE_CREATE, queue_create),
	XRNPE_IOCTL(QUEUE_DESTROY, queue_destroy),
	XRNPE_IOCTL(SUBMIT, submit),
	XRNPE_IOCTL(JOB_WAIT, job_wait),
	XRNPE_IOCTL(PERFMON_CREATE, perfmon_create),
	XRNPE_IOCTL(PERFMON_DESTROY, perfmon_destroy),
	XRNPE_IOCTL(PERFMON_GET_VALUES, perfmon_get_values),
};

static const struct file_operations xrnpe_fops = {
	.owner = THIS_MODULE,
	DRM_ACCEL_FOPS,
	.show_fdinfo = drm_show_fdinfo,
};

static const struct drm_driver xrnpe_drm_driver = {
	.driver_features = DRIVER_COMPUTE_ACCEL | DRIVER_GEM | DRIVER_SYNCOBJ |
			   DRIVER_SYNCOBJ_TIMELINE,
	.name = "xrnpe",
	.desc = "XR-NPE neural co-processor",
	.major = 1,
	.minor = 0,
	.fops = &xrnpe_fops,
	.ioctls = xrnpe_ioctls,
	.num_ioctls = ARRAY_SIZE(xrnpe_ioctls),
	.open = xrnpe_open,
	.postclose = xrnpe_postclose,
	.show_fdinfo = xrnpe_show_fdinfo,
	.gem_prime_import = xrnpe_gem_import,
	.gem_prime_import_sg_table = xrnpe_gem_import_sg_table,
};

/* ---- device ---- */

static int xrnpe_init_locks(struct xrnpe_device *xdev)
{
	int ret = drmm_mutex_init(&xdev->drm, &xdev->hw_lock);

	if (ret)
		return ret;
	/* Who waits for memory may wait for fences, and these for it: lockdep is to know. */
	fs_reclaim_acquire(GFP_KERNEL);
	might_lock(&xdev->hw_lock);
	fs_reclaim_release(GFP_KERNEL);
	return drmm_mutex_init(&xdev->drm, &xdev->bo_lock);
}

static void xrnpe_cancel_works(struct xrnpe_device *xdev)
{
	cancel_work_sync(&xdev->reset_work);
	cancel_work_sync(&xdev->wedged_work);
}

static int xrnpe_probe(struct platform_device *pdev)
{
	struct device *dev = &pdev->dev;
	struct xrnpe_device *xdev;
	int ret;

	xdev = devm_drm_dev_alloc(dev, &xrnpe_drm_driver, struct xrnpe_device, drm);
	if (IS_ERR(xdev))
		return PTR_ERR(xdev);
	platform_set_drvdata(pdev, xdev);

	ret = xrnpe_init_locks(xdev);
	if (ret)
		return ret;
	INIT_LIST_HEAD(&xdev->bos);
	INIT_LIST_HEAD(&xdev->queues);
	INIT_LIST_HEAD(&xdev->ended_jobs);

	xdev->info.max_cmds = XRNPE_MAX_CMDS;
	xdev->info.max_regions = XRNPE_MAX_REGIONS;
	xdev->info.max_bo_size = XRNPE_MAX_BO_SIZE;
	xdev->info.max_queues = XRNPE_MAX_FILE_QUEUES;
	xdev->info.max_depth = XRNPE_MAX_DEPTH;
	xdev->info.max_failures = XRNPE_MAX_FAILURES;
	xdev->info.max_perfmons = XRNPE_MAX_FILE_PERFMONS;
	if (device_get_dma_attr(dev) == DEV_DMA_COHERENT)
		xdev->info.flags |= DRM_XRNPE_DEV_COHERENT;
	xdev->info.job_timeout_ms = clamp(job_timeout_ms, 100, 60 * MSEC_PER_SEC);
	xdev->max_memory = (u64)memory_mib * SZ_1M ?: (u64)totalram_pages() * PAGE_SIZE / 4;
	xdev->info.max_client_memory = (u64)client_memory_mib * SZ_1M ?: xdev->max_memory / 4;

	xdev->translated = dev->dma_range_map;
	dma_set_max_seg_size(dev, UINT_MAX);

	xdev->regs = devm_platform_ioremap_resource(pdev, 0);
	if (IS_ERR(xdev->regs))
		return PTR_ERR(xdev->regs);
	xdev->irq = platform_get_irq(pdev, 0);
	if (xdev->irq < 0)
		return xdev->irq;

	ret = xrnpe_pool_probe(xdev);
	if (ret)
		return ret;
	ret = xrnpe_gem_probe(xdev);
	if (ret)
		return ret;
	ret = xrnpe_pm_probe(xdev);
	if (ret)
		return ret;
	ret = xrnpe_hw_probe(xdev);
	if (ret)
		return ret;
	ret = xrnpe_dump_probe(xdev);
	if (ret)
		return ret;
	ret = xrnpe_sched_probe(xdev);
	if (ret)
		return ret;
	ret = devm_request_threaded_irq(dev, xdev->irq, NULL, xrnpe_irq_thread, IRQF_ONESHOT,
					dev_name(dev), xdev);
	if (ret)
		return dev_err_probe(dev, ret, "cannot have its interrupt\n");

	pm_runtime_get_noresume(dev);
	ret = devm_pm_runtime_enable(dev);
	if (ret)
		goto err_put;

	scoped_guard(xrnpe_hw, xdev)
		xrnpe_hw_start(xdev);

	xrnpe_debugfs_init(xdev);
	ret = drm_dev_register(&xdev->drm, 0);
	if (ret)
		goto err_stop;

	drm_info(&xdev->drm, "XR-NPE %u.%u, %u x %u, %u rings\n",
		 upper_16_bits(xdev->info.version), lower_16_bits(xdev->info.version),
		 xdev->info.rows, xdev->info.cols, xdev->info.rings);
	pm_runtime_mark_last_busy(dev);
	pm_runtime_put_autosuspend(dev);
	return 0;

err_stop:
	/* A node may have been there for a moment. */
	xrnpe_cancel_works(xdev);
	xrnpe_hw_kill(xdev);
err_put:
	pm_runtime_put_noidle(dev);
	return ret;
}

/*
 * Open files stay, but no ioctl gets through to the device any more, and all jobs
 * end.
 */
static void xrnpe_remove(struct platform_device *pdev)
{
	struct xrnpe_device *xdev = platform_get_drvdata(pdev);
	struct device *dev = &pdev->dev;

	/* What jobs leave behind that have ended is given back while the device is there. */
	flush_workqueue(xrnpe_wq);
	drm_dev_unplug(&xdev->drm);
	xrnpe_cancel_works(xdev);

	/* A device that does not wake up has no jobs in its rings. */
	if (!pm_runtime_resume_and_get(dev)) {
		xrnpe_hw_kill(xdev);
		pm_runtime_put_sync_suspend(dev);
	}
	pm_runtime_dont_use_autosuspend(dev);
}

static const struct of_device_id xrnpe_of_match[] = {
	{ .compatible = "xrnpe,xrnpe-1.0" },
	{}
};
MODULE_DEVICE_TABLE(of, xrnpe_of_match);

static struct platform_driver xrnpe_driver = {
	.probe = xrnpe_probe,
	.remove = xrnpe_remove,
	/*
	 * Memory must not be written any more when the next kernel starts. What
	 * cannot be stopped is told in the log; a reset of the machine stops it.
	 */
	.shutdown = xrnpe_remove,
	.driver = {
		.name = "xrnpe",
		.pm = pm_ptr(&xrnpe_pm_ops),
		.of_match_table = xrnpe_of_match,
	},
};

static int __init xrnpe_init(void)
{
	int ret;

	xrnpe_wq = alloc_workqueue("xrnpe", WQ_UNBOUND, 0);
	if (!xrnpe_wq)
		return -ENOMEM;
	ret = platform_driver_register(&xrnpe_driver);
	if (ret)
		destroy_workqueue(xrnpe_wq);
	return ret;
}
module_init(xrnpe_init);

static void __exit xrnpe_exit(void)
{
	platform_driver_unregister(&xrnpe_driver);
	destroy_workqueue(xrnpe_wq);
}
module_exit(xrnpe_exit);

MODULE_AUTHOR("The XR-NPE project");
MODULE_DESCRIPTION("XR-NPE neural co-processor");
MODULE_LICENSE("Dual MIT/GPL");

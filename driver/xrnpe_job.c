// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Jobs: SUBMIT, the scheduler's callbacks, JOB_WAIT.
 *
 * A job's commands are not looked at: the device checks every access against
 * the job's regions, which lie in memory that user space cannot reach.
 */
#include <linux/dma-fence-chain.h>
#include <linux/pm_runtime.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>
#include <drm/drm_managed.h>
#include <drm/drm_print.h>
#include <drm/drm_syncobj.h>
#include <drm/drm_utils.h>

#include "xrnpe_compat.h"
#include "xrnpe_drv.h"
#include "xrnpe_gem.h"
#include "xrnpe_hw.h"
#include "xrnpe_job.h"
#include "xrnpe_trace.h"

/* When a file is closed its jobs may go on to get into the rings for so long. */
#define XRNPE_CLOSE_MS		1000

/** struct xrnpe_out_sync - a syncobj to signal */
struct xrnpe_out_sync {
	/** @syncobj: the syncobj */
	struct drm_syncobj *syncobj;
	/** @chain: for a timeline: its next link, allocated ahead */
	struct dma_fence_chain *chain;
	/** @point: for a timeline */
	u64 point;
};

/** struct xrnpe_submission - a job on its way to the scheduler */
struct xrnpe_submission {
	/** @job: the job */
	struct xrnpe_job *job;
	/** @out: syncobjs to signal */
	struct xrnpe_out_sync *out;
	/** @out_count: entries of @out */
	unsigned int out_count;
};

/* ---- how jobs ended ---- */

static void xrnpe_result_free(struct kref *ref)
{
	struct xrnpe_result *result = container_of(ref, struct xrnpe_result, refcount);

	dma_fence_put(result->finished);
	kfree(result);
}

void xrnpe_result_put(struct xrnpe_result *result)
{
	if (result)
		kref_put(&result->refcount, xrnpe_result_free);
}

static struct xrnpe_result *xrnpe_result_find(struct xrnpe_ctx *ctx, u64 id)
{
	struct xrnpe_result *result;

	spin_lock(&ctx->history_lock);
	result = ctx->history[id % XRNPE_JOB_HISTORY];
	if (result && result->id == id)
		kref_get(&result->refcount);
	else
		result = NULL;
	spin_unlock(&ctx->history_lock);
	return result;
}

int xrnpe_ioctl_job_wait(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_xrnpe_job_wait *args = data;
	struct xrnpe_result *result;
	long ret;

	if (args->pad || args->record_size > PAGE_SIZE) {
		drm_dbg(drm, "pad is not zero, or record size %u more than a page\n",
			args->record_size);
		return -EINVAL;
	}
	result = xrnpe_result_find(file->driver_priv, args->job);
	if (!result)
		return -ENOENT;

	ret = dma_fence_wait_timeout(result->finished, true,
				     args->timeout_ns <= 0 ? 0 :
				     drm_timeout_abs_to_jiffies(args->timeout_ns));
	if (ret > 0) {
		args->state = result->state;
		args->status = result->record.status;
		args->fault = result->record.fault;
		ret = 0;
		if (args->record)
			ret = copy_struct_to_user(u64_to_user_ptr(args->record),
						  args->record_size, &result->record,
						  sizeof(result->record), NULL);
	} else if (!ret) {
		ret = -ETIME;
	}
	xrnpe_result_put(result);
	return ret;
}

/* ---- the scheduler's side ---- */

static const char *xrnpe_fence_driver_name(struct dma_fence *fence)
{
	return "xrnpe";
}

static const char *xrnpe_fence_timeline_name(struct dma_fence *fence)
{
	return "hardware";
}

static void xrnpe_fence_release(struct dma_fence *base)
{
	struct xrnpe_fence *fence = container_of(base, struct xrnpe_fence, base);

	xrnpe_ctx_put(fence->ctx);
	kfree_rcu(fence, base.rcu);
}

static const struct dma_fence_ops xrnpe_fence_ops = {
	.get_driver_name = xrnpe_fence_driver_name,
	.get_timeline_name = xrnpe_fence_timeline_name,
	.release = xrnpe_fence_release,
};

static struct xrnpe_fence *xrnpe_fence_create(struct xrnpe_ctx *ctx)
{
	struct xrnpe_fence *fence = kzalloc_obj(*fence);

	if (!fence)
		return NULL;
	kref_get(&ctx->refcount);
	fence->ctx = ctx;
	spin_lock_init(&fence->lock);
	/* Nobody compares it with another. */
	dma_fence_init(&fence->base, &xrnpe_fence_ops, &fence->lock,
		       dma_fence_context_alloc(1), 1);
	return fence;
}

/**
 * xrnpe_job_in_fence_failed() - whether an explicit in-fence of a job has failed
 * @job: the job
 *
 * Errors do not come over implicit fences: that an earlier user of a buffer
 * failed says nothing about who comes next.
 */
bool xrnpe_job_in_fence_failed(const struct xrnpe_job *job)
{
	for (unsigned int i = 0; i < job->in_count; i++) {
		const struct dma_fence *fence = job->in_fences[i];

		if (test_bit(DMA_FENCE_FLAG_SIGNALED_BIT, &fence->flags) && fence->error)
			return true;
	}
	return false;
}

static void xrnpe_job_leaves_queue(struct xrnpe_job *job)
{
	if (job->waiting && atomic_dec_and_test(&job->ctx->waiting))
		wake_up_all(&job->ctx->drained);
	job->waiting = false;
}

static struct dma_fence *xrnpe_job_run(struct drm_sched_job *sched_job)
{
	struct xrnpe_job *job = to_xrnpe_job(sched_job);
	struct drm_device *drm = &job->queue->xdev->drm;
	struct dma_fence *fence = NULL;
	int idx, ret;

	xrnpe_job_leaves_queue(job);
	if (xrnpe_job_in_fence_failed(job))
		return ERR_PTR(-ECANCELED);
	if (!drm_dev_enter(drm, &idx))
		return ERR_PTR(-ENODEV);

	ret = pm_runtime_resume_and_get(drm->dev);
	if (ret) {
		drm_err_ratelimited(drm, "does not wake up: %pe\n", ERR_PTR(ret));
		goto out_exit;
	}

	/* The job may end at once, and be freed once the scheduler has its fence. */
	fence = dma_fence_get(&job->hw_fence->base);
	ret = xrnpe_hw_submit(job);
	if (ret) {
		dma_fence_put(fence);
		pm_runtime_put_autosuspend(drm->dev);
	}
out_exit:
	drm_dev_exit(idx);
	return ret ? ERR_PTR(ret) : fence;
}

static enum drm_gpu_sched_stat xrnpe_job_timedout(struct drm_sched_job *sched_job)
{
	struct xrnpe_job *job = to_xrnpe_job(sched_job);
	int idx;

	if (drm_dev_enter(&job->queue->xdev->drm, &idx)) {
		xrnpe_hw_timeout(job);
		drm_dev_exit(idx);
	}
	/* The job has ended, as any other, or may run on. */
	return xrnpe_sched_no_hang(sched_job);
}

static void xrnpe_job_free(struct xrnpe_job *job)
{
	for (unsigned int i = 0; i < job->bo_count; i++)
		drm_gem_object_put(job->bos[i]);
	for (unsigned int i = 0; i < job->in_count; i++)
		dma_fence_put(job->in_fences[i]);
	kfree(job->in_fences);

	dma_fence_put(&job->hw_fence->base);
	xrnpe_result_put(job->result);
	kfree(job);
}

static void xrnpe_sched_job_free(struct drm_sched_job *sched_job)
{
	struct xrnpe_job *job = to_xrnpe_job(sched_job);

	/* Killed with its file, it never ran. */
	xrnpe_job_leaves_queue(job);
	/*
	 * Somebody may hold the scheduler's fence for long, and on older kernels that
	 * asks the scheduler for its name. What it has for a parent keeps the device.
	 */
	if (!sched_job->s_fence->parent)
		sched_job->s_fence->parent = dma_fence_get(&job->hw_fence->base);
	drm_sched_job_cleanup(sched_job);
	xrnpe_job_free(job);
}

static const struct drm_sched_backend_ops xrnpe_sched_ops = {
	.run_job = xrnpe_job_run,
	.timedout_job = xrnpe_job_timedout,
	.free_job = xrnpe_sched_job_free,
};

static void xrnpe_sched_fini(struct drm_device *drm, void *sched)
{
	drm_sched_fini(sched);
}

/**
 * xrnpe_sched_stop() - let no scheduler put a job into its ring
 * @xdev: the device
 *
 * Context: may sleep; not in a scheduler's own work. To be undone by
 * xrnpe_sched_start() as often as it was done.
 */
void xrnpe_sched_stop(struct xrnpe_device *xdev)
{
	guard(mutex)(&xdev->sched_lock);
	if (xdev->sched_stops++)
		return;
	for (unsigned int i = 0; i < xdev->info.queues; i++)
		drm_sched_wqueue_stop(&xdev->queue[i].sched);
}

/**
 * xrnpe_sched_start() - undo xrnpe_sched_stop()
 * @xdev: the device
 */
void xrnpe_sched_start(struct xrnpe_device *xdev)
{
	guard(mutex)(&xdev->sched_lock);
	if (--xdev->sched_stops)
		return;
	for (unsigned int i = 0; i < xdev->info.queues; i++)
		drm_sched_wqueue_start(&xdev->queue[i].sched);
}

static void xrnpe_reset_wq_fini(struct drm_device *drm, void *wq)
{
	destroy_workqueue(wq);
}

/**
 * xrnpe_sched_probe() - make a scheduler for each queue
 * @xdev: the device
 *
 * They live as long as the DRM device: open files and their jobs have to do with
 * them after the hardware is gone.
 *
 * Return: 0 or a negative errno.
 */
int xrnpe_sched_probe(struct xrnpe_device *xdev)
{
	struct drm_device *drm = &xdev->drm;
	int ret;

	ret = drmm_mutex_init(drm, &xdev->sched_lock);
	if (ret)
		return ret;
	/* Memory may be freed only when a fence signals, and that may take a reset. */
	xdev->reset_wq = alloc_ordered_workqueue("xrnpe-reset", WQ_MEM_RECLAIM);
	if (!xdev->reset_wq)
		return -ENOMEM;
	ret = drmm_add_action_or_reset(drm, xrnpe_reset_wq_fini, xdev->reset_wq);
	if (ret)
		return ret;

	for (unsigned int i = 0; i < xdev->info.queues; i++) {
		struct xrnpe_queue *queue = &xdev->queue[i];

		ret = xrnpe_sched_init(&queue->sched, &xrnpe_sched_ops, xdev->reset_wq,
				       XRNPE_RING_JOBS,
				       msecs_to_jiffies(xdev->info.job_timeout_ms) /
				       XRNPE_TIMEOUT_LOOKS,
				       queue->name, drm->dev);
		if (ret)
			return ret;
		ret = drmm_add_action_or_reset(drm, xrnpe_sched_fini, &queue->sched);
		if (ret)
			return ret;
	}
	return 0;
}

/**
 * xrnpe_ctx_init_entities() - give an open file its way into each queue
 * @ctx: the file
 */
int xrnpe_ctx_init_entities(struct xrnpe_ctx *ctx)
{
	struct xrnpe_device *xdev = ctx->xdev;
	int ret;

	for (unsigned int i = 0; i < xdev->info.queues; i++) {
		struct drm_gpu_scheduler *sched = &xdev->queue[i].sched;

		ret = drm_sched_entity_init(&ctx->entity[i], DRM_SCHED_PRIORITY_NORMAL,
					    &sched, 1, NULL);
		if (ret) {
			while (i--)
				drm_sched_entity_destroy(&ctx->entity[i]);
			return ret;
		}
	}
	return 0;
}

static bool xrnpe_task_is_killed(void)
{
	return fatal_signal_pending(current) ||
	       (current->flags & PF_EXITING && current->exit_code == SIGKILL);
}

/**
 * xrnpe_ctx_fini_entities() - give queued jobs a moment to get into the rings, and
 * cancel what then is left, or all at once if the process was killed
 * @ctx: the file
 */
void xrnpe_ctx_fini_entities(struct xrnpe_ctx *ctx)
{
	if (!xrnpe_task_is_killed())
		wait_event_killable_timeout(ctx->drained, !atomic_read(&ctx->waiting),
					    msecs_to_jiffies(XRNPE_CLOSE_MS));
	for (unsigned int i = 0; i < ctx->xdev->info.queues; i++)
		drm_sched_entity_fini(&ctx->entity[i]);
}

/* ---- SUBMIT ---- */

/*
 * Copy element @index of a user array. A caller's element may be longer than
 * ours if the rest is zero.
 */
static int xrnpe_array_get(const struct drm_xrnpe_array *array, unsigned int index,
			   void *element, size_t size)
{
	u64 address = array->pointer + (u64)index * array->stride;

	return copy_struct_from_user(element, size, u64_to_user_ptr(address), array->stride);
}

static int xrnpe_array_check(struct drm_device *drm, const char *name,
			     const struct drm_xrnpe_array *array, size_t size, u32 max)
{
	u64 end;

	if (!array->count)
		return 0;
	if (array->count > max) {
		drm_dbg(drm, "%u %s are more than %u\n", array->count, name, max);
		return -EINVAL;
	}
	if (array->stride < size || array->stride > PAGE_SIZE) {
		drm_dbg(drm, "stride of %s is %u, not %zu..%lu\n", name, array->stride, size,
			PAGE_SIZE);
		return -EINVAL;
	}
	if (check_add_overflow(array->pointer, (u64)array->count * array->stride, &end))
		return -EFAULT;
	return 0;
}

/* Note that @job uses the buffer @handle; it holds one reference a buffer. */
static struct xrnpe_bo *xrnpe_job_add_bo(struct xrnpe_job *job, struct drm_file *file,
					 u32 handle, bool write)
{
	struct drm_gem_object *obj = drm_gem_object_lookup(file, handle);
	unsigned int i;

	if (!obj)
		return ERR_PTR(-ENOENT);

	for (i = 0; i < job->bo_count; i++)
		if (job->bos[i] == obj)
			break;
	if (i < job->bo_count)
		drm_gem_object_put(obj);
	else
		job->bos[job->bo_count++] = obj;
	if (write)
		job->bo_written |= BIT(i);
	return to_xrnpe_bo(obj);
}

static bool xrnpe_bo_contains(const struct xrnpe_bo *bo, u64 offset, u64 size)
{
	return size && offset <= bo->base.size && size <= bo->base.size - offset;
}

static int xrnpe_job_get_commands(struct xrnpe_job *job, struct drm_file *file,
				  const struct drm_xrnpe_submit *args)
{
	const struct drm_xrnpe_dev_info *info = &job->queue->xdev->info;
	struct drm_device *drm = &job->queue->xdev->drm;
	struct xrnpe_bo *bo;

	if (!args->cmd_count || args->cmd_count > XRNPE_MAX_CMDS) {
		drm_dbg(drm, "%u commands are not 1..%u\n", args->cmd_count, XRNPE_MAX_CMDS);
		return -EINVAL;
	}
	if (!IS_ALIGNED(args->cmd_stride, XRNPE_CMD_ALIGN) ||
	    args->cmd_stride < info->cmd_bytes || args->cmd_stride > XRNPE_CMD_STRIDE_MAX) {
		drm_dbg(drm, "stride of commands is %u, not %u..%u or not aligned\n",
			args->cmd_stride, info->cmd_bytes, XRNPE_CMD_STRIDE_MAX);
		return -EINVAL;
	}

	bo = xrnpe_job_add_bo(job, file, args->cmd_handle, false);
	if (IS_ERR(bo)) {
		drm_dbg(drm, "no command buffer %u\n", args->cmd_handle);
		return PTR_ERR(bo);
	}
	if (!IS_ALIGNED(args->cmd_offset, XRNPE_CMD_ALIGN) ||
	    !xrnpe_bo_contains(bo, args->cmd_offset,
			       (args->cmd_count - 1ull) * args->cmd_stride +
			       info->cmd_bytes)) {
		drm_dbg(drm, "%u commands at %llu are not aligned or not within the buffer\n",
			args->cmd_count, args->cmd_offset);
		return -EINVAL;
	}

	job->cmds = bo->dma_addr + args->cmd_offset;
	job->cmd_count = args->cmd_count;
	job->cmd_stride = args->cmd_stride;
	return 0;
}

static int xrnpe_job_get_region(struct xrnpe_job *job, struct drm_file *file,
				const struct drm_xrnpe_array *regions, unsigned int index)
{
	struct drm_device *drm = &job->queue->xdev->drm;
	struct drm_xrnpe_region region;
	struct xrnpe_bo *bo;
	int ret;

	ret = xrnpe_array_get(regions, index, &region, sizeof(region));
	if (ret) {
		drm_dbg(drm, "cannot read region %u: %pe\n", index, ERR_PTR(ret));
		return ret;
	}
	if (!region.flags || region.flags & ~(XRNPE_REGION_READ | XRNPE_REGION_WRITE)) {
		drm_dbg(drm, "region %u has no or unknown flags %#x\n", index, region.flags);
		return -EINVAL;
	}

	bo = xrnpe_job_add_bo(job, file, region.handle, region.flags & XRNPE_REGION_WRITE);
	if (IS_ERR(bo)) {
		drm_dbg(drm, "region %u names no buffer: %u\n", index, region.handle);
		return PTR_ERR(bo);
	}
	if (bo->read_only && region.flags & XRNPE_REGION_WRITE) {
		drm_dbg(drm, "region %u: the buffer is read-only\n", index);
		return -EACCES;
	}
	if (!IS_ALIGNED(region.offset, XRNPE_REGION_ALIGN) ||
	    !xrnpe_bo_contains(bo, region.offset, region.size)) {
		drm_dbg(drm, "region %u, %llu bytes at %llu, is not aligned or not in its buffer\n",
			index, region.size, region.offset);
		return -EINVAL;
	}

	job->regions[index] = (struct xrnpe_region) {
		.base = bo->dma_addr + region.offset,
		.size = region.size,
		.flags = region.flags,
	};
	job->region_count = index + 1;
	return 0;
}

static int xrnpe_submission_add_in(struct xrnpe_submission *sub, struct drm_file *file,
				   const struct drm_xrnpe_sync *sync)
{
	struct xrnpe_job *job = sub->job;
	struct dma_fence *fence;
	int ret;

	ret = drm_syncobj_find_fence(file, sync->handle, sync->point, 0, &fence);
	if (ret)
		return ret;

	/* A timeline's link does not fail, what it links does. */
	job->in_fences[job->in_count++] = dma_fence_get(dma_fence_chain_contained(fence));
	return drm_sched_job_add_dependency(&job->base, fence);
}

static int xrnpe_submission_add_out(struct xrnpe_submission *sub, struct drm_file *file,
				    const struct drm_xrnpe_sync *sync)
{
	struct xrnpe_out_sync *out = &sub->out[sub->out_count];

	out->syncobj = drm_syncobj_find(file, sync->handle);
	if (!out->syncobj)
		return -ENOENT;
	sub->out_count++;

	if (sync->flags & DRM_XRNPE_SYNC_TIMELINE) {
		out->point = sync->point;
		out->chain = dma_fence_chain_alloc();
		if (!out->chain)
			return -ENOMEM;
	}
	return 0;
}

static int xrnpe_submission_get_syncs(struct xrnpe_submission *sub, struct drm_file *file,
				      const struct drm_xrnpe_array *syncs)
{
	struct drm_device *drm = &sub->job->queue->xdev->drm;

	if (!syncs->count)
		return 0;

	sub->job->in_fences = kzalloc_objs(*sub->job->in_fences, syncs->count);
	sub->out = kzalloc_objs(*sub->out, syncs->count);
	if (!sub->job->in_fences || !sub->out)
		return -ENOMEM;

	for (unsigned int i = 0; i < syncs->count; i++) {
		struct drm_xrnpe_sync sync;
		int ret;

		ret = xrnpe_array_get(syncs, i, &sync, sizeof(sync));
		if (ret)
			;
		else if (sync.flags & ~(DRM_XRNPE_SYNC_SIGNAL | DRM_XRNPE_SYNC_TIMELINE) ||
			 !(sync.flags & DRM_XRNPE_SYNC_TIMELINE) != !sync.point)
			ret = -EINVAL;
		else if (sync.flags & DRM_XRNPE_SYNC_SIGNAL)
			ret = xrnpe_submission_add_out(sub, file, &sync);
		else
			ret = xrnpe_submission_add_in(sub, file, &sync);
		if (ret) {
			drm_dbg(drm, "sync %u: %pe\n", i, ERR_PTR(ret));
			return ret;
		}
	}
	return 0;
}

static int xrnpe_job_add_implicit_fences(struct xrnpe_job *job)
{
	int ret;

	for (unsigned int i = 0; i < job->bo_count; i++) {
		ret = dma_resv_reserve_fences(job->bos[i]->resv, 1);
		if (ret)
			return ret;
		ret = drm_sched_job_add_implicit_dependencies(&job->base, job->bos[i],
							      job->bo_written & BIT(i));
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * Make room for the next job in the file's history: sleep until the one that
 * leaves it has ended. That bounds what a file can have queued.
 */
static int xrnpe_ctx_wait_for_room(struct xrnpe_ctx *ctx)
{
	u64 next = ctx->last_job + 1;
	struct xrnpe_result *oldest;
	int ret;

	if (next <= XRNPE_JOB_HISTORY)
		return 0;
	oldest = xrnpe_result_find(ctx, next - XRNPE_JOB_HISTORY);
	ret = dma_fence_wait(oldest->finished, true);
	xrnpe_result_put(oldest);
	return ret;
}

/* From here on the job has a number, and cannot fail to be submitted. */
static void xrnpe_job_commit(struct xrnpe_job *job)
{
	struct xrnpe_ctx *ctx = job->ctx;
	struct xrnpe_result *result = job->result, *old;

	drm_sched_job_arm(&job->base);
	result->finished = dma_fence_get(&job->base.s_fence->finished);

	spin_lock(&ctx->history_lock);
	result->id = ++ctx->last_job;
	old = ctx->history[result->id % XRNPE_JOB_HISTORY];
	ctx->history[result->id % XRNPE_JOB_HISTORY] = result;
	kref_get(&result->refcount);
	spin_unlock(&ctx->history_lock);
	xrnpe_result_put(old);

	for (unsigned int i = 0; i < job->bo_count; i++)
		dma_resv_add_fence(job->bos[i]->resv, result->finished,
				   job->bo_written & BIT(i) ? DMA_RESV_USAGE_WRITE :
							      DMA_RESV_USAGE_READ);
	trace_xrnpe_job_submit(job);
}

static int xrnpe_submission_push(struct xrnpe_submission *sub, u64 *id)
{
	struct xrnpe_job *job = sub->job;
	struct xrnpe_ctx *ctx = job->ctx;
	struct ww_acquire_ctx acquire;
	struct dma_fence *finished;
	int ret;

	ret = mutex_lock_interruptible(&ctx->submit_lock);
	if (ret)
		return ret;
	ret = xrnpe_ctx_wait_for_room(ctx);
	if (ret)
		goto out_unlock;
	ret = drm_gem_lock_reservations(job->bos, job->bo_count, &acquire);
	if (ret)
		goto out_unlock;

	ret = xrnpe_job_add_implicit_fences(job);
	if (!ret) {
		xrnpe_job_commit(job);
		*id = job->result->id;
		finished = dma_fence_get(job->result->finished);
	}
	drm_gem_unlock_reservations(job->bos, job->bo_count, &acquire);
	if (ret)
		goto out_unlock;

	job->waiting = true;
	atomic_inc(&ctx->waiting);
	/* Now the job belongs to the scheduler, which may free it at any time. */
	drm_sched_entity_push_job(&job->base);
	sub->job = NULL;

	for (unsigned int i = 0; i < sub->out_count; i++) {
		struct xrnpe_out_sync *out = &sub->out[i];

		if (out->chain)
			drm_syncobj_add_point(out->syncobj, out->chain, finished, out->point);
		else
			drm_syncobj_replace_fence(out->syncobj, finished);
		out->chain = NULL;
	}
	dma_fence_put(finished);

out_unlock:
	mutex_unlock(&ctx->submit_lock);
	return ret;
}

static void xrnpe_submission_fini(struct xrnpe_submission *sub)
{
	for (unsigned int i = 0; i < sub->out_count; i++) {
		dma_fence_chain_free(sub->out[i].chain);
		drm_syncobj_put(sub->out[i].syncobj);
	}
	kfree(sub->out);
	/* Still ours: it was not submitted. */
	if (sub->job) {
		drm_sched_job_cleanup(&sub->job->base);
		xrnpe_job_free(sub->job);
	}
}

static struct xrnpe_job *xrnpe_job_alloc(struct xrnpe_ctx *ctx, unsigned int queue,
					 struct drm_file *file)
{
	struct xrnpe_job *job __free(kfree) = kzalloc_obj(*job);
	struct xrnpe_result *result __free(kfree) = kzalloc_obj(*result);
	int ret;

	if (!job || !result)
		return ERR_PTR(-ENOMEM);
	job->hw_fence = xrnpe_fence_create(ctx);
	if (!job->hw_fence)
		return ERR_PTR(-ENOMEM);
	ret = xrnpe_sched_job_init(&job->base, &ctx->entity[queue], ctx, file);
	if (ret) {
		dma_fence_put(&job->hw_fence->base);
		return ERR_PTR(ret);
	}

	kref_init(&result->refcount);
	/* Until the hardware says otherwise. */
	result->state = DRM_XRNPE_JOB_CANCELLED;

	job->ctx = ctx;
	job->queue = &ctx->xdev->queue[queue];
	job->result = no_free_ptr(result);
	INIT_LIST_HEAD(&job->node);
	return no_free_ptr(job);
}

int xrnpe_ioctl_submit(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_xrnpe_submit *args = data;
	struct xrnpe_ctx *ctx = file->driver_priv;
	struct xrnpe_submission sub = {};
	int ret;

	if (READ_ONCE(ctx->xdev->wedged))
		return -ENODEV;
	if (args->queue >= ctx->xdev->info.queues || args->flags || args->pad) {
		drm_dbg(drm, "no queue %u, unknown flags %#x, or pad is not zero\n",
			args->queue, args->flags);
		return -EINVAL;
	}
	ret = xrnpe_array_check(drm, "regions", &args->regions, sizeof(struct drm_xrnpe_region),
				XRNPE_MAX_REGIONS);
	if (ret)
		return ret;
	ret = xrnpe_array_check(drm, "syncs", &args->syncs, sizeof(struct drm_xrnpe_sync),
				DRM_XRNPE_MAX_SYNCS);
	if (ret)
		return ret;

	sub.job = xrnpe_job_alloc(ctx, args->queue, file);
	if (IS_ERR(sub.job))
		return PTR_ERR(sub.job);

	ret = xrnpe_job_get_commands(sub.job, file, args);
	for (unsigned int i = 0; !ret && i < args->regions.count; i++)
		ret = xrnpe_job_get_region(sub.job, file, &args->regions, i);
	if (!ret)
		ret = xrnpe_submission_get_syncs(&sub, file, &args->syncs);
	if (!ret)
		ret = xrnpe_submission_push(&sub, &args->job);

	xrnpe_submission_fini(&sub);
	return ret;
}

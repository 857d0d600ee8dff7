// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * SUBMIT: from what the caller wants to jobs in a queue. All that can fail comes before
 * the first job is armed.
 */
#include <linux/dma-fence-chain.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <drm/drm_exec.h>
#include <drm/drm_file.h>
#include <drm/drm_print.h>
#include <drm/drm_syncobj.h>

#include "xrnpe_drv.h"
#include "xrnpe_gem.h"
#include "xrnpe_job.h"
#include "xrnpe_perfmon.h"
#include "xrnpe_queue.h"
#include "xrnpe_trace.h"

/** struct xrnpe_out_sync - a syncobj to signal */
struct xrnpe_out_sync {
	/** @syncobj: the syncobj */
	struct drm_syncobj *syncobj;
	/** @chain: for a timeline: its next link, allocated ahead */
	struct dma_fence_chain *chain;
	/** @handle: of @syncobj */
	u32 handle;
	/** @point: for a timeline, else zero */
	u64 point;
};

/** struct xrnpe_submission - a job on its way into its queue */
struct xrnpe_submission {
	/** @job: the job; NULL when the queue has it */
	struct xrnpe_job *job;
	/** @after: earlier jobs of this SUBMIT that it waits for, bit by bit */
	u64 after;
	/** @out: syncobjs to signal */
	struct xrnpe_out_sync *out;
	/** @out_count: entries of @out */
	unsigned int out_count;
};

static_assert(DRM_XRNPE_MAX_JOBS <= 64);

/* Values of xrnpe_job_usage(). */
#define XRNPE_JOB_USAGES	3

/* ---- arrays ---- */

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

/* ---- commands and regions ---- */

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

static int xrnpe_job_get_commands(struct xrnpe_job *job, struct drm_file *file,
				  const struct drm_xrnpe_job *args)
{
	const struct drm_xrnpe_dev_info *info = &job->ring->xdev->info;
	struct drm_device *drm = &job->ring->xdev->drm;
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
	struct drm_device *drm = &job->ring->xdev->drm;
	struct drm_xrnpe_region region;
	struct xrnpe_bo *bo;
	int ret;

	ret = xrnpe_array_get(regions, index, &region, sizeof(region));
	if (ret) {
		drm_dbg(drm, "cannot read region %u: %pe\n", index, ERR_PTR(ret));
		return ret;
	}
	if (!region.flags || region.flags & ~(DRM_XRNPE_REGION_READ | DRM_XRNPE_REGION_WRITE)) {
		drm_dbg(drm, "region %u has no or unknown flags %#x\n", index, region.flags);
		return -EINVAL;
	}

	bo = xrnpe_job_add_bo(job, file, region.handle, region.flags & DRM_XRNPE_REGION_WRITE);
	if (IS_ERR(bo)) {
		drm_dbg(drm, "region %u names no buffer: %u\n", index, region.handle);
		return PTR_ERR(bo);
	}
	if (bo->read_only && region.flags & DRM_XRNPE_REGION_WRITE) {
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

/* ---- syncs ---- */

static bool xrnpe_submission_signals(const struct xrnpe_submission *sub,
				     const struct drm_xrnpe_sync *sync)
{
	for (unsigned int i = 0; i < sub->out_count; i++)
		if (sub->out[i].handle == sync->handle && sub->out[i].point >= sync->point &&
		    !sub->out[i].point == !sync->point)
			return true;
	return false;
}

/*
 * Which of @count earlier jobs signals what @sync waits for, or -1: of a timeline the first
 * that gets to the point, of a binary syncobj the last.
 */
static int xrnpe_submissions_find_signal(const struct xrnpe_submission *subs, unsigned int count,
					 const struct drm_xrnpe_sync *sync)
{
	int found = -1;

	for (unsigned int i = 0; i < count && (found < 0 || !sync->point); i++)
		if (xrnpe_submission_signals(&subs[i], sync))
			found = i;
	return found;
}

/* A point signals when all before it have: wait for what the timeline has by now. */
static int xrnpe_job_wait_for_timeline(struct xrnpe_job *job, struct drm_file *file, u32 handle)
{
	struct dma_fence *fence;
	int ret = drm_syncobj_find_fence(file, handle, 0, 0, &fence);

	if (ret)
		return ret == -EINVAL ? 0 : ret;
	return drm_sched_job_add_dependency(&job->base, fence);
}

static int xrnpe_submission_add_in(struct xrnpe_submission *subs, unsigned int index,
				   struct drm_file *file, const struct drm_xrnpe_sync *sync)
{
	struct xrnpe_job *job = subs[index].job;
	int earlier = xrnpe_submissions_find_signal(subs, index, sync);
	struct dma_fence *fence;
	int ret = -EINVAL;

	/* An earlier job replaces the fence of a binary syncobj, but adds to a timeline. */
	if (earlier < 0 || sync->point)
		ret = drm_syncobj_find_fence(file, sync->handle, sync->point, 0, &fence);
	if (!ret) {
		/* A timeline's link does not fail, what it links does. */
		job->in_fences[job->in_count++] = dma_fence_get(dma_fence_chain_contained(fence));
		return drm_sched_job_add_dependency(&job->base, fence);
	}
	if (earlier < 0 || ret != -EINVAL)
		return ret;

	/* Jobs of a queue execute in order. That it ended well is looked at later. */
	subs[index].after |= BIT_ULL(earlier);
	return sync->point ? xrnpe_job_wait_for_timeline(job, file, sync->handle) : 0;
}

static int xrnpe_submission_add_out(struct xrnpe_submission *sub, struct drm_file *file,
				    const struct drm_xrnpe_sync *sync)
{
	struct xrnpe_out_sync *out = &sub->out[sub->out_count];

	out->syncobj = drm_syncobj_find(file, sync->handle);
	if (!out->syncobj)
		return -ENOENT;
	sub->out_count++;
	out->handle = sync->handle;
	out->point = sync->point;
	if (!sync->point)
		return 0;
	out->chain = dma_fence_chain_alloc();
	return out->chain ? 0 : -ENOMEM;
}

static int xrnpe_submission_add_sync(struct xrnpe_submission *subs, unsigned int index,
				     struct drm_file *file, const struct drm_xrnpe_array *syncs,
				     unsigned int i)
{
	struct drm_xrnpe_sync sync;
	int ret;

	ret = xrnpe_array_get(syncs, i, &sync, sizeof(sync));
	if (ret)
		return ret;
	if (sync.flags & ~(DRM_XRNPE_SYNC_SIGNAL | DRM_XRNPE_SYNC_TIMELINE) ||
	    !(sync.flags & DRM_XRNPE_SYNC_TIMELINE) != !sync.point)
		return -EINVAL;
	if (sync.flags & DRM_XRNPE_SYNC_SIGNAL)
		return xrnpe_submission_add_out(&subs[index], file, &sync);
	return xrnpe_submission_add_in(subs, index, file, &sync);
}

static int xrnpe_submission_get_syncs(struct xrnpe_submission *subs, unsigned int index,
				      struct drm_file *file, const struct drm_xrnpe_array *syncs)
{
	struct xrnpe_submission *sub = &subs[index];

	if (!syncs->count)
		return 0;

	sub->job->in_fences = kzalloc_objs(*sub->job->in_fences, syncs->count + index,
					   GFP_KERNEL_ACCOUNT);
	sub->out = kzalloc_objs(*sub->out, syncs->count);
	if (!sub->job->in_fences || !sub->out)
		return -ENOMEM;

	for (unsigned int i = 0; i < syncs->count; i++) {
		int ret;

		/* A point is looked for along its timeline, which may be of any length. */
		cond_resched();
		ret = fatal_signal_pending(current) ? -EINTR :
		      xrnpe_submission_add_sync(subs, index, file, syncs, i);
		if (ret) {
			drm_dbg(&sub->job->ring->xdev->drm, "sync %u: %pe\n", i, ERR_PTR(ret));
			return ret;
		}
	}
	return 0;
}

/* ---- a job of the array ---- */

static int xrnpe_job_get_perfmon(struct xrnpe_job *job, u32 id)
{
	if (!id)
		return 0;
	job->perfmon = xrnpe_perfmon_get(job->ctx, id);
	if (job->perfmon)
		return 0;
	drm_dbg(&job->ring->xdev->drm, "no performance monitor %u\n", id);
	return -ENOENT;
}

static int xrnpe_submission_get(struct xrnpe_submission *subs, unsigned int index,
				struct xrnpe_queue *queue, struct drm_file *file,
				const struct drm_xrnpe_job *args)
{
	struct drm_device *drm = &queue->ring->xdev->drm;
	struct xrnpe_job *job;
	int ret;

	if (args->flags & ~DRM_XRNPE_JOB_NO_IMPLICIT_SYNC || args->pad) {
		drm_dbg(drm, "unknown flags %#x, or pad is not zero\n", args->flags);
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

	job = xrnpe_job_create(queue, file);
	if (IS_ERR(job))
		return PTR_ERR(job);
	subs[index].job = job;
	job->flags = args->flags;
	ret = xrnpe_job_get_perfmon(job, args->perfmon);
	if (!ret)
		ret = xrnpe_job_get_commands(job, file, args);
	for (unsigned int i = 0; !ret && i < args->regions.count; i++)
		ret = xrnpe_job_get_region(job, file, &args->regions, i);
	if (!ret)
		ret = xrnpe_submission_get_syncs(subs, index, file, &args->syncs);
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

/* ---- all of them ---- */

/*
 * With room for a fence of each usage, since of each a queue's later fences take the place of
 * its earlier ones. One job may have several: a buffer and imports of it are fenced as one.
 */
static int xrnpe_job_lock_bos(struct xrnpe_job *job, struct drm_exec *exec)
{
	int ret = 0;

	for (unsigned int i = 0; !ret && i < job->bo_count; i++)
		ret = drm_exec_prepare_obj(exec, job->bos[i], XRNPE_JOB_USAGES);
	return ret;
}

/*
 * What drm_sched_job_add_implicit_dependencies() does, but for fences that have signaled:
 * when each job is waited for that is what most are.
 */
static int xrnpe_job_add_fences_of(struct xrnpe_job *job, struct dma_resv *resv, bool write)
{
	struct dma_resv_iter cursor;
	struct dma_fence *fence;
	int ret = 0;

	dma_resv_for_each_fence(&cursor, resv, dma_resv_usage_rw(write), fence) {
		if (ret || dma_fence_is_signaled(fence))
			continue;
		/* Each is compared with all before, and a buffer may have thousands. */
		cond_resched();
		ret = fatal_signal_pending(current) ? -EINTR :
		      drm_sched_job_add_dependency(&job->base, dma_fence_get(fence));
	}
	return ret;
}

static int xrnpe_job_add_implicit_fences(struct xrnpe_job *job)
{
	int ret = 0;

	if (job->flags & DRM_XRNPE_JOB_NO_IMPLICIT_SYNC)
		return 0;
	for (unsigned int i = 0; !ret && i < job->bo_count; i++)
		ret = xrnpe_job_add_fences_of(job, job->bos[i]->resv,
					      job->bo_written & BIT(i));
	return ret;
}

static enum dma_resv_usage xrnpe_job_usage(const struct xrnpe_job *job, unsigned int bo)
{
	if (job->flags & DRM_XRNPE_JOB_NO_IMPLICIT_SYNC)
		return DMA_RESV_USAGE_BOOKKEEP;
	return job->bo_written & BIT(bo) ? DMA_RESV_USAGE_WRITE : DMA_RESV_USAGE_READ;
}

/* From here on the job has a number, and cannot fail to be submitted. */
static void xrnpe_submission_commit(struct xrnpe_submission *subs, unsigned int index)
{
	struct xrnpe_submission *sub = &subs[index];
	struct xrnpe_job *job = sub->job;
	struct dma_fence *finished;

	drm_sched_job_arm(&job->base);
	finished = &job->base.s_fence->finished;
	job->result->finished = dma_fence_get(finished);

	for (unsigned int i = 0; i < index; i++)
		if (sub->after & BIT_ULL(i))
			job->in_fences[job->in_count++] =
				dma_fence_get(subs[i].job->result->finished);
	for (unsigned int i = 0; i < job->bo_count; i++)
		dma_resv_add_fence(job->bos[i]->resv, finished, xrnpe_job_usage(job, i));
	xrnpe_queue_number(job->queue, job);
	trace_xrnpe_job_submit(job);
}

/*
 * To add a point is to walk along its timeline, which may be of any length: no other's buffers
 * are locked meanwhile, and who is killed needs none.
 */
static void xrnpe_submission_signal(struct xrnpe_submission *sub)
{
	struct dma_fence *finished = sub->job->result->finished;

	for (unsigned int i = 0; i < sub->out_count && !fatal_signal_pending(current); i++) {
		struct xrnpe_out_sync *out = &sub->out[i];

		if (out->chain)
			drm_syncobj_add_point(out->syncobj, out->chain, finished, out->point);
		else
			drm_syncobj_replace_fence(out->syncobj, finished);
		out->chain = NULL;
		cond_resched();
	}
}

/* With the queue locked: submit all, or on an error none. */
static int xrnpe_submissions_commit(struct xrnpe_submission *subs, unsigned int count)
{
	struct drm_exec exec;
	int ret;

	drm_exec_init(&exec, DRM_EXEC_INTERRUPTIBLE_WAIT | DRM_EXEC_IGNORE_DUPLICATES, 0);
	drm_exec_until_all_locked(&exec) {
		ret = 0;
		for (unsigned int i = 0; !ret && i < count; i++)
			ret = xrnpe_job_lock_bos(subs[i].job, &exec);
		drm_exec_retry_on_contention(&exec);
		if (ret)
			goto out_fini;
	}
	for (unsigned int i = 0; !ret && i < count; i++)
		ret = xrnpe_job_add_implicit_fences(subs[i].job);
	if (ret)
		goto out_fini;

	for (unsigned int i = 0; i < count; i++)
		xrnpe_submission_commit(subs, i);
out_fini:
	drm_exec_fini(&exec);
	return ret;
}

static int xrnpe_submissions_push(struct xrnpe_submission *subs, unsigned int count,
				  struct xrnpe_queue *queue, struct drm_xrnpe_submit *args)
{
	int ret;

	ret = xrnpe_queue_lock_for_jobs(queue, count, !(args->flags & DRM_XRNPE_SUBMIT_NONBLOCK));
	if (ret)
		return ret;
	ret = xrnpe_submissions_commit(subs, count);
	if (!ret) {
		args->first_job = subs[0].job->result->id;
		for (unsigned int i = 0; i < count; i++)
			xrnpe_submission_signal(&subs[i]);
		for (unsigned int i = 0; i < count; i++) {
			/* Now it belongs to the scheduler, which may free it at any time. */
			drm_sched_entity_push_job(&subs[i].job->base);
			subs[i].job = NULL;
		}
	}
	mutex_unlock(&queue->submit_lock);
	return ret;
}

static int xrnpe_submit(struct xrnpe_queue *queue, struct drm_file *file,
			struct drm_xrnpe_submit *args)
{
	struct drm_device *drm = &queue->ring->xdev->drm;
	const u32 count = args->jobs.count;
	struct xrnpe_submission one = {}, *subs = &one;
	unsigned int made = 0;
	int ret;

	ret = xrnpe_array_check(drm, "jobs", &args->jobs, sizeof(struct drm_xrnpe_job),
				min(queue->depth, DRM_XRNPE_MAX_JOBS));
	if (ret)
		return ret;
	if (!count) {
		drm_dbg(drm, "no jobs\n");
		return -EINVAL;
	}
	if (count > 1)
		subs = kzalloc_objs(*subs, count);
	if (!subs)
		return -ENOMEM;

	while (!ret && made < count) {
		struct drm_xrnpe_job job;

		ret = xrnpe_array_get(&args->jobs, made, &job, sizeof(job));
		if (!ret)
			ret = xrnpe_submission_get(subs, made, queue, file, &job);
		if (ret)
			drm_dbg(drm, "job %u: %pe\n", made, ERR_PTR(ret));
		made++;
	}
	if (!ret)
		ret = xrnpe_submissions_push(subs, count, queue, args);

	while (made--)
		xrnpe_submission_fini(&subs[made]);
	if (subs != &one)
		kfree(subs);
	return ret;
}

int xrnpe_ioctl_submit(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_xrnpe_submit *args = data;
	struct xrnpe_ctx *ctx = file->driver_priv;
	struct xrnpe_queue *queue;
	int ret;

	if (READ_ONCE(ctx->xdev->wedged))
		return -ENODEV;
	if (args->flags & ~DRM_XRNPE_SUBMIT_NONBLOCK) {
		drm_dbg(drm, "unknown flags %#x\n", args->flags);
		return -EINVAL;
	}
	queue = xrnpe_queue_get(ctx, args->queue);
	if (!queue) {
		drm_dbg(drm, "no queue %u\n", args->queue);
		return -ENOENT;
	}
	ret = xrnpe_submit(queue, file, args);
	xrnpe_queue_put(queue);
	return ret;
}

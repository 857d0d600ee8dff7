// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * SUBMIT: from what the caller wants to jobs in a queue. All that can fail comes before
 * the first job has a number.
 */
#include <linux/dma-fence-chain.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <drm/drm_file.h>
#include <drm/drm_print.h>
#include <drm/drm_syncobj.h>

#include "xrnpe_drv.h"
#include "xrnpe_gem.h"
#include "xrnpe_job.h"
#include "xrnpe_perfmon.h"
#include "xrnpe_queue.h"
#include "xrnpe_submit.h"

static_assert(DRM_XRNPE_MAX_JOBS <= 64);

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

/* How a job uses memory, as the caller has said it. */
struct xrnpe_uses {
	struct drm_xrnpe_region regions[XRNPE_MAX_REGIONS];
	unsigned int count;
	/* The buffers of the commands and, one place on, of @regions; @job has references. */
	struct drm_gem_object *bos[XRNPE_MAX_REGIONS + 1];
};

static int xrnpe_uses_get(struct xrnpe_uses *uses, struct drm_device *drm,
			  const struct drm_xrnpe_array *regions)
{
	uses->count = regions->count;
	for (unsigned int i = 0; i < uses->count; i++) {
		struct drm_xrnpe_region *region = &uses->regions[i];
		int ret = xrnpe_array_get(regions, i, region, sizeof(*region));

		if (ret) {
			drm_dbg(drm, "cannot read region %u: %pe\n", i, ERR_PTR(ret));
			return ret;
		}
		if (!region->flags ||
		    region->flags & ~(DRM_XRNPE_REGION_READ | DRM_XRNPE_REGION_WRITE)) {
			drm_dbg(drm, "region %u has no or unknown flags %#x\n", i, region->flags);
			return -EINVAL;
		}
	}
	return 0;
}

/* Note that @job uses a buffer; it holds one reference a buffer. */
static void xrnpe_job_add_bo(struct xrnpe_job *job, struct drm_gem_object *obj, bool write)
{
	unsigned int i;

	for (i = 0; i < job->bo_count; i++)
		if (job->bos[i] == obj)
			break;
	if (i == job->bo_count) {
		drm_gem_object_get(obj);
		job->bos[job->bo_count++] = obj;
	}
	if (write)
		job->bo_written |= BIT(i);
}

/* Under one lock for all of them. */
static int xrnpe_job_find_bos(struct xrnpe_job *job, struct drm_file *file,
			      const struct drm_xrnpe_job *args, struct xrnpe_uses *uses)
{
	guard(spinlock)(&file->table_lock);
	for (unsigned int i = 0; i <= uses->count; i++) {
		const struct drm_xrnpe_region *region = i ? &uses->regions[i - 1] : NULL;
		u32 handle = region ? region->handle : args->cmd_handle;

		uses->bos[i] = idr_find(&file->object_idr, handle);
		if (!uses->bos[i]) {
			drm_dbg(&job->ring->xdev->drm, "%s %u: no buffer %u\n",
				region ? "region" : "commands", i - !!region, handle);
			return -ENOENT;
		}
		xrnpe_job_add_bo(job, uses->bos[i],
				 region && region->flags & DRM_XRNPE_REGION_WRITE);
	}
	return 0;
}

static int xrnpe_job_set_commands(struct xrnpe_job *job, const struct drm_xrnpe_job *args,
				  const struct xrnpe_bo *bo)
{
	const struct drm_xrnpe_dev_info *info = &job->ring->xdev->info;
	struct drm_device *drm = &job->ring->xdev->drm;

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

static int xrnpe_job_set_region(struct xrnpe_job *job, unsigned int index,
				const struct drm_xrnpe_region *region, const struct xrnpe_bo *bo)
{
	struct drm_device *drm = &job->ring->xdev->drm;

	if (bo->read_only && region->flags & DRM_XRNPE_REGION_WRITE) {
		drm_dbg(drm, "region %u: the buffer is read-only\n", index);
		return -EACCES;
	}
	if (!IS_ALIGNED(region->offset, XRNPE_REGION_ALIGN) ||
	    !xrnpe_bo_contains(bo, region->offset, region->size)) {
		drm_dbg(drm, "region %u, %llu bytes at %llu, is not aligned or not in its buffer\n",
			index, region->size, region->offset);
		return -EINVAL;
	}

	job->regions[index] = (struct xrnpe_region) {
		.base = bo->dma_addr + region->offset,
		.size = region->size,
		.flags = region->flags,
	};
	return 0;
}

static int xrnpe_job_get_memory(struct xrnpe_job *job, struct drm_file *file,
				const struct drm_xrnpe_job *args)
{
	struct xrnpe_uses uses __uninitialized;
	int ret;

	ret = xrnpe_uses_get(&uses, &job->ring->xdev->drm, &args->regions);
	if (!ret)
		ret = xrnpe_job_find_bos(job, file, args, &uses);
	if (!ret)
		ret = xrnpe_job_set_commands(job, args, to_xrnpe_bo(uses.bos[0]));
	for (unsigned int i = 0; !ret && i < uses.count; i++)
		ret = xrnpe_job_set_region(job, i, &uses.regions[i],
					   to_xrnpe_bo(uses.bos[i + 1]));
	job->region_count = uses.count;
	return ret;
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

/* A fence may consist of many: they are looked at now, not where others wait for it. */
static int xrnpe_job_await_explicit(struct xrnpe_job *job, struct dma_fence *fence)
{
	dma_fence_enable_signaling(fence);
	job->frees_much |= dma_fence_is_container(fence);
	return xrnpe_job_await(job, fence);
}

/* A point signals when all before it have: wait for what the timeline has by now. */
static int xrnpe_job_wait_for_timeline(struct xrnpe_job *job, struct drm_file *file, u32 handle)
{
	struct dma_fence *fence;
	int ret = drm_syncobj_find_fence(file, handle, 0, 0, &fence);

	if (ret)
		return ret == -EINVAL ? 0 : ret;
	return xrnpe_job_await_explicit(job, fence);
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
		return xrnpe_job_await_explicit(job, fence);
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
	/* As dma_fence_chain_alloc(), but who submits is charged for it. */
	out->chain = kmalloc_obj(*out->chain, GFP_KERNEL_ACCOUNT);
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
	sub->out = kzalloc_objs(*sub->out, syncs->count, GFP_KERNEL_ACCOUNT);
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

	job = xrnpe_job_create(queue);
	if (IS_ERR(job))
		return PTR_ERR(job);
	subs[index].job = job;
	job->flags = args->flags;
	ret = xrnpe_job_get_perfmon(job, args->perfmon);
	if (!ret)
		ret = xrnpe_job_get_memory(job, file, args);
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
	dma_fence_put(sub->fence);
	/* Still ours: it was not submitted. */
	if (sub->job)
		xrnpe_job_free(sub->job);
}

/* ---- all of them ---- */

/*
 * To add a point is to walk along its timeline, which may be of any length: no other's buffers
 * are locked meanwhile, and who is killed needs none.
 */
static void xrnpe_submission_signal(struct xrnpe_submission *sub)
{
	for (unsigned int i = 0; i < sub->out_count && !fatal_signal_pending(current); i++) {
		struct xrnpe_out_sync *out = &sub->out[i];

		if (out->chain)
			drm_syncobj_add_point(out->syncobj, out->chain, sub->fence,
					      out->point);
		else
			drm_syncobj_replace_fence(out->syncobj, sub->fence);
		out->chain = NULL;
		cond_resched();
	}
}

static int xrnpe_submissions_push(struct xrnpe_submission *subs, unsigned int count,
				  struct xrnpe_queue *queue, struct drm_xrnpe_submit *args)
{
	int ret;

	ret = xrnpe_queue_lock_for_jobs(queue, count, !(args->flags & DRM_XRNPE_SUBMIT_NONBLOCK));
	if (ret)
		return ret;
	ret = xrnpe_submissions_commit(subs, count, queue);
	for (unsigned int i = 0; !ret && i < count; i++) {
		xrnpe_queue_remember(queue, subs[i].fence);
		xrnpe_submission_signal(&subs[i]);
	}
	if (!ret)
		args->first_job = subs[0].fence->seqno;
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
		subs = kzalloc_objs(*subs, count, GFP_KERNEL_ACCOUNT);
	if (!subs)
		return -ENOMEM;

	while (!ret && made < count) {
		/* Kernels that clear all that lies on the stack need not do so for each job. */
		struct drm_xrnpe_job job __uninitialized;

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

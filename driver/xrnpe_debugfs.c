// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * debugfs: what the rings hold, and who has what memory. For root, and to be read by
 * people: nothing here is an interface.
 */
#include <linux/seq_file.h>

#include <drm/drm_debugfs.h>
#include <drm/drm_file.h>

#include "xrnpe_debugfs.h"
#include "xrnpe_drv.h"
#include "xrnpe_gem.h"
#include "xrnpe_job.h"
#include "xrnpe_queue.h"
#include "xrnpe_ring.h"

static struct xrnpe_device *xrnpe_debugfs_device(struct seq_file *m)
{
	struct drm_debugfs_entry *entry = m->private;

	return to_xrnpe_device(entry->dev);
}

static void xrnpe_show_job(struct seq_file *m, const struct xrnpe_job *job)
{
	seq_printf(m, "  client %llu queue %u job %llu: seqno %u count %u commands %u at %#llx, stride %u, executed %llu us\n",
		   job->ctx->client, job->queue->id, job->result->id, job->seqno, job->count,
		   job->cmd_count, job->cmds, job->cmd_stride, job->run_ns / NSEC_PER_USEC);
	for (unsigned int i = 0; i < job->region_count; i++)
		seq_printf(m, "    region %u: %#llx size %#llx %s%s\n", i, job->regions[i].base,
			   job->regions[i].size,
			   job->regions[i].flags & XRNPE_REGION_READ ? "r" : "-",
			   job->regions[i].flags & XRNPE_REGION_WRITE ? "w" : "-");
}

static int xrnpe_show_rings(struct seq_file *m, void *unused)
{
	struct xrnpe_device *xdev = xrnpe_debugfs_device(m);

	guard(mutex)(&xdev->hw_lock);
	seq_printf(m, "%s%s%s, %u jobs, %u resets\n", xdev->powered ? "on" : "off",
		   xdev->wedged ? ", wedged" : "", xdev->runaway ? ", cannot be stopped" : "",
		   xdev->inflight, xdev->info.resets);
	xrnpe_hw_account(xdev);
	for (unsigned int i = 0; i < xdev->info.rings; i++) {
		struct xrnpe_ring *ring = &xdev->ring[i];
		struct xrnpe_job *job;

		seq_printf(m, "%s: tail %u", ring->name, ring->tail);
		/* Registers of a device that has failed may not even answer. */
		if (xdev->powered && !xdev->wedged)
			seq_printf(m, " head %u state %u",
				   xrnpe_ring_read(ring, XRNPE_QUEUE_HEAD),
				   xrnpe_ring_read(ring, XRNPE_QUEUE_STATE));
		seq_puts(m, "\n");
		list_for_each_entry(job, &ring->jobs, node)
			xrnpe_show_job(m, job);
	}
	return 0;
}

static int xrnpe_show_buffers(struct seq_file *m, void *unused)
{
	struct xrnpe_device *xdev = xrnpe_debugfs_device(m);
	struct xrnpe_bo *bo;

	seq_printf(m, "%lld of %llu bytes\n", atomic64_read(&xdev->bo_bytes), xdev->max_memory);
	guard(mutex)(&xdev->bo_lock);
	list_for_each_entry(bo, &xdev->bos, node) {
		seq_printf(m, "%#llx size %#zx", (u64)bo->dma_addr, bo->base.size);
		if (bo->ctx)
			seq_printf(m, " client %llu", bo->ctx->client);
		seq_printf(m, "%s%s%s%s", drm_gem_is_imported(&bo->base) ? " imported" : "",
			   bo->cached ? " cached" : "", bo->no_mmap ? " no-mmap" : "",
			   bo->read_only ? " read-only" : "");
		if (bo->label)
			seq_printf(m, " \"%s\"", bo->label);
		seq_puts(m, "\n");
	}
	return 0;
}

/**
 * xrnpe_debugfs_init() - make the files
 * @xdev: the device, not registered yet
 */
void xrnpe_debugfs_init(struct xrnpe_device *xdev)
{
	drm_debugfs_add_file(&xdev->drm, "rings", xrnpe_show_rings, NULL);
	drm_debugfs_add_file(&xdev->drm, "buffers", xrnpe_show_buffers, NULL);
}

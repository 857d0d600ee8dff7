// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * debugfs: what the rings hold, and who has what memory. For root, and to be read by
 * people: nothing here is an interface.
 */
#include <linux/seq_file.h>

#include <drm/drm_debugfs.h>
#include <drm/drm_file.h>
#include <drm/drm_print.h>

#include "xrnpe_debugfs.h"
#include "xrnpe_drv.h"
#include "xrnpe_dump.h"
#include "xrnpe_gem.h"

static struct xrnpe_device *xrnpe_debugfs_device(struct seq_file *m)
{
	struct drm_debugfs_entry *entry = m->private;

	return to_xrnpe_device(entry->dev);
}

static int xrnpe_show_rings(struct seq_file *m, void *unused)
{
	struct xrnpe_device *xdev = xrnpe_debugfs_device(m);
	struct drm_printer p = drm_seq_file_printer(m);

	guard(xrnpe_hw)(xdev);
	xrnpe_print_rings(xdev, &p);
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
		if (bo->label) {
			seq_puts(m, " \"");
			seq_escape_str(m, bo->label, ESCAPE_ANY_NP | ESCAPE_APPEND, "\"\\");
			seq_puts(m, "\"");
		}
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

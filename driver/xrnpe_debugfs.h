/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef __XRNPE_DEBUGFS_H__
#define __XRNPE_DEBUGFS_H__

struct xrnpe_device;

#ifdef CONFIG_DEBUG_FS
void xrnpe_debugfs_init(struct xrnpe_device *xdev);
#else
static inline void xrnpe_debugfs_init(struct xrnpe_device *xdev)
{
}
#endif

#endif

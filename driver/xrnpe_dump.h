/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef __XRNPE_DUMP_H__
#define __XRNPE_DUMP_H__

struct drm_printer;
struct xrnpe_device;
struct xrnpe_job;

void xrnpe_print_rings(struct xrnpe_device *xdev, struct drm_printer *p);

int xrnpe_dump_probe(struct xrnpe_device *xdev);
void xrnpe_dump_take(struct xrnpe_device *xdev, struct xrnpe_job *job, const char *why);
void xrnpe_dump_send(struct xrnpe_device *xdev);

#endif

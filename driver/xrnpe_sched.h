/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef __XRNPE_SCHED_H__
#define __XRNPE_SCHED_H__

struct xrnpe_device;

int xrnpe_sched_probe(struct xrnpe_device *xdev);
void xrnpe_sched_stop(struct xrnpe_device *xdev);
void xrnpe_sched_start(struct xrnpe_device *xdev);

#endif

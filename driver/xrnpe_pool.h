/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef __XRNPE_POOL_H__
#define __XRNPE_POOL_H__

struct xrnpe_device;

int xrnpe_pool_probe(struct xrnpe_device *xdev);

#endif

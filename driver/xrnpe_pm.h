/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef __XRNPE_PM_H__
#define __XRNPE_PM_H__

#include <linux/pm.h>

struct xrnpe_device;

extern const struct dev_pm_ops xrnpe_pm_ops;

int xrnpe_pm_probe(struct xrnpe_device *xdev);

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef __XRNPE_RECOVER_H__
#define __XRNPE_RECOVER_H__

#include <linux/types.h>

struct work_struct;
struct xrnpe_device;
struct xrnpe_ring;

void xrnpe_hw_lose_jobs(struct xrnpe_device *xdev);
void xrnpe_hw_recover(struct xrnpe_device *xdev);
void xrnpe_hw_kill(struct xrnpe_device *xdev);
void xrnpe_ring_check_later(struct xrnpe_ring *ring);
void xrnpe_ring_check_work(struct work_struct *work);

void xrnpe_hw_park(struct xrnpe_device *xdev);
bool xrnpe_hw_is_parked(struct xrnpe_device *xdev);
int xrnpe_hw_unpark(struct xrnpe_device *xdev);

void xrnpe_reset_work(struct work_struct *work);
void xrnpe_wedged_work(struct work_struct *work);

#endif

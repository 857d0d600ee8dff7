/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef __XRNPE_HW_H__
#define __XRNPE_HW_H__

#include <linux/types.h>

struct xrnpe_device;
struct xrnpe_job;

/* Entries of a ring. */
#define XRNPE_RING_SIZE		8
/*
 * Jobs in a ring: enough that the device never waits for the scheduler. A job's
 * entry is free a moment after its sequence number says that it has ended, see
 * Documentation/hardware.rst, "Queues".
 */
#define XRNPE_RING_JOBS		(XRNPE_RING_SIZE - 1)
/* How often a job is looked after while its time limit runs. */
#define XRNPE_TIMEOUT_LOOKS	4

int xrnpe_hw_probe(struct xrnpe_device *xdev);
int xrnpe_hw_reset(struct xrnpe_device *xdev);
int xrnpe_hw_quiesce(struct xrnpe_device *xdev);
void xrnpe_hw_start(struct xrnpe_device *xdev);
void xrnpe_hw_stop(struct xrnpe_device *xdev);
void xrnpe_hw_kill(struct xrnpe_device *xdev);
void xrnpe_hw_account(struct xrnpe_device *xdev);
void xrnpe_hw_park(struct xrnpe_device *xdev);
bool xrnpe_hw_is_parked(struct xrnpe_device *xdev);
int xrnpe_hw_unpark(struct xrnpe_device *xdev);
void xrnpe_hw_recover(struct xrnpe_device *xdev);
int xrnpe_hw_submit(struct xrnpe_job *job);
void xrnpe_hw_timeout(struct xrnpe_job *job);

#endif

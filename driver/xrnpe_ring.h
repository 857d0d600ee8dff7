/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef __XRNPE_RING_H__
#define __XRNPE_RING_H__

#include <linux/interrupt.h>

#include "xrnpe_drv.h"
#include "xrnpe_hw.h"
#include "xrnpe_job.h"

/*
 * Jobs in a ring: enough that the device never waits for more. A job's
 * entry is free a moment after its sequence number says that it has ended, see
 * Documentation/hardware.rst, "Queues".
 */
#define XRNPE_RING_JOBS		(XRNPE_RING_SIZE - 1)

static inline struct xrnpe_job *xrnpe_ring_head(struct xrnpe_ring *ring)
{
	return list_first_entry_or_null(&ring->jobs, struct xrnpe_job, node);
}

static inline bool xrnpe_ring_has_stopped(struct xrnpe_ring *ring)
{
	return xrnpe_ring_read(ring, XRNPE_QUEUE_STATE) == XRNPE_QUEUE_STATE_STOPPED;
}

void xrnpe_hw_submit(struct xrnpe_job *job);
void xrnpe_hw_start(struct xrnpe_device *xdev);
void xrnpe_hw_account(struct xrnpe_device *xdev);
irqreturn_t xrnpe_irq_thread(int irq, void *data);

u64 xrnpe_ring_executed(struct xrnpe_ring *ring, u32 *head);
void xrnpe_ring_poison(struct xrnpe_ring *ring);
bool xrnpe_ring_reap(struct xrnpe_ring *ring);
bool xrnpe_ring_hides_end(struct xrnpe_ring *ring);
void xrnpe_ring_service(struct xrnpe_ring *ring);
bool xrnpe_job_is_refused(const struct xrnpe_job *job);
void xrnpe_job_cancel(struct xrnpe_job *job, enum drm_xrnpe_cancel_reason reason);

#endif

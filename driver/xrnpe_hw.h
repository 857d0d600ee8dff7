/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef __XRNPE_HW_H__
#define __XRNPE_HW_H__

#include <linux/io.h>
#include <linux/wordpart.h>

#include "xrnpe_drv.h"

/* Entries of a ring. */
#define XRNPE_RING_SIZE		8

/**
 * struct xrnpe_shared - memory shared with the device
 * @status: the status page
 * @record: job records, one for each entry of the rings
 * @ring: the rings
 * @regions: region tables, one for each entry of the rings
 */
struct xrnpe_shared {
	struct xrnpe_queue_status status[XRNPE_MAX_QUEUES];
	struct xrnpe_job_record record[XRNPE_MAX_QUEUES][XRNPE_RING_SIZE];
	struct xrnpe_job_desc ring[XRNPE_MAX_QUEUES][XRNPE_RING_SIZE];
	struct xrnpe_region regions[XRNPE_MAX_QUEUES][XRNPE_RING_SIZE][XRNPE_MAX_REGIONS];
};

/* What the device wants aligned to 64 bytes. */
static_assert(!(sizeof(struct xrnpe_queue_status) % 64));
static_assert(!(sizeof(struct xrnpe_job_record) % 64));
static_assert(!(sizeof(struct xrnpe_job_desc) % 64));

/* Where the device sees a part of it. */
#define xrnpe_shared_dma(xdev, member) \
	((xdev)->shared_dma + offsetof(struct xrnpe_shared, member))

static inline u32 xrnpe_read(struct xrnpe_device *xdev, u32 reg)
{
	return readl(xdev->regs + reg);
}

static inline void xrnpe_write(struct xrnpe_device *xdev, u32 reg, u32 value)
{
	writel(value, xdev->regs + reg);
}

static inline void xrnpe_write64(struct xrnpe_device *xdev, u32 reg_lo, u64 value)
{
	xrnpe_write(xdev, reg_lo, lower_32_bits(value));
	xrnpe_write(xdev, reg_lo + sizeof(u32), upper_32_bits(value));
}

static inline u32 xrnpe_ring_read(struct xrnpe_ring *ring, u32 reg)
{
	return xrnpe_read(ring->xdev, XRNPE_QUEUE(ring->index) + reg);
}

static inline void xrnpe_ring_write(struct xrnpe_ring *ring, u32 reg, u32 value)
{
	xrnpe_write(ring->xdev, XRNPE_QUEUE(ring->index) + reg, value);
}

int xrnpe_hw_probe(struct xrnpe_device *xdev);
int xrnpe_hw_reset(struct xrnpe_device *xdev);
void xrnpe_hw_note_reset(struct xrnpe_device *xdev, int error);
int xrnpe_hw_quiesce(struct xrnpe_device *xdev);
void xrnpe_hw_stop(struct xrnpe_device *xdev);
int xrnpe_hw_timer(struct xrnpe_device *xdev, u64 *ticks);

#endif

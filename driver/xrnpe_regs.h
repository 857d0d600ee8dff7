/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * XR-NPE registers and the structures that the kernel and the device share in
 * memory, version 1. Used by the driver and by the QEMU device. All registers
 * are 32 bits wide, little-endian, accessed as aligned 32-bit words.
 * Documentation/hardware.rst explains them.
 */
#ifndef _XRNPE_REGS_H_
#define _XRNPE_REGS_H_

#include "drm/xrnpe_cmd.h"

#define XRNPE_MMIO_SIZE			0x1000
#define XRNPE_MAX_QUEUES		4
#define XRNPE_REGION_ALIGN		64

/* Identification, read-only. */
#define XRNPE_ID			0x000
#define   XRNPE_ID_MAGIC		0x45504e58	/* "XNPE" in memory */
#define XRNPE_VERSION			0x004
#define   XRNPE_VERSION_MAJOR_SHIFT	16
#define   XRNPE_VERSION_MAJOR_MASK	0xffff0000
#define   XRNPE_VERSION_MINOR_SHIFT	0
#define   XRNPE_VERSION_MINOR_MASK	0x0000ffff
#define   XRNPE_VERSION_1_0		0x00010000
#define XRNPE_CONFIG			0x008
#define   XRNPE_CONFIG_ROWS_SHIFT	0
#define   XRNPE_CONFIG_ROWS_MASK	0x000000ff
#define   XRNPE_CONFIG_COLS_SHIFT	8
#define   XRNPE_CONFIG_COLS_MASK	0x0000ff00
#define   XRNPE_CONFIG_QUEUES_SHIFT	16
#define   XRNPE_CONFIG_QUEUES_MASK	0x000f0000

/* Device control. */
#define XRNPE_CTRL			0x010
#define   XRNPE_CTRL_RESET		0x00000001	/* write 1; reads 1 until done */
#define XRNPE_STATUS			0x014
#define   XRNPE_STATUS_BUSY		0x00000001	/* a job is executing */
#define   XRNPE_STATUS_BUS_ERROR	0x00000002	/* status page not writable; until reset */
#define   XRNPE_STATUS_QUEUE_SHIFT	8		/* queue of the command that executes, */
#define   XRNPE_STATUS_QUEUE_MASK	0x00000300	/* or else of the last that did */

/* Interrupts: level, asserted while STATUS & ENABLE is not zero. */
#define XRNPE_IRQ_STATUS		0x020	/* write 1 to clear */
#define XRNPE_IRQ_ENABLE		0x024
#define   XRNPE_IRQ_DONE(q)		(1u << (q))	/* queue completed a job */
#define   XRNPE_IRQ_STOPPED(q)		(1u << (8 + (q)))	/* queue stopped: fault or abort */
#define   XRNPE_IRQ_BUS_ERROR		(1u << 16)
#define   XRNPE_IRQ_ALL			0x00010f0f

/* DMA address of the array of struct xrnpe_queue_status, 64-byte aligned. */
#define XRNPE_STATUS_BASE_LO		0x030
#define XRNPE_STATUS_BASE_HI		0x034

/* Per queue; queue 0 is served first. BASE and SIZE may change only while disabled. */
#define XRNPE_QUEUE(q)			(0x100 + (q) * 0x40)
#define XRNPE_QUEUE_BASE_LO		0x00	/* DMA address of the ring, 64-byte aligned */
#define XRNPE_QUEUE_BASE_HI		0x04
#define XRNPE_QUEUE_SIZE		0x08	/* descriptors in the ring: power of 2, 2..1024 */
#define   XRNPE_QUEUE_SIZE_MIN		2
#define   XRNPE_QUEUE_SIZE_MAX		1024
#define XRNPE_QUEUE_HEAD		0x0c	/* read-only: jobs ended since enable, mod 2^32 */
#define XRNPE_QUEUE_TAIL		0x10	/* doorbell: jobs queued since enable, mod 2^32 */
#define XRNPE_QUEUE_CTRL		0x14
#define   XRNPE_QUEUE_CTRL_ENABLE	0x00000001	/* 0 -> 1 sets HEAD = TAIL = 0 */
#define   XRNPE_QUEUE_CTRL_ABORT	0x00000002	/* write 1: end the running job */
#define   XRNPE_QUEUE_CTRL_RESUME	0x00000004	/* write 1: leave STOPPED */
#define XRNPE_QUEUE_STATE		0x18	/* read-only */
#define   XRNPE_QUEUE_STATE_DISABLED	0
#define   XRNPE_QUEUE_STATE_IDLE	1
#define   XRNPE_QUEUE_STATE_RUNNING	2
#define   XRNPE_QUEUE_STATE_STOPPED	3

/**
 * struct xrnpe_region - an entry of a job's region table
 * @base: DMA address, XRNPE_REGION_ALIGN-byte aligned
 * @size: bytes, not zero
 * @flags: XRNPE_REGION_READ, XRNPE_REGION_WRITE
 * @reserved: zero
 */
struct xrnpe_region {
	__u64 base;
	__u64 size;
	__u32 flags;
	__u32 reserved;
};

/**
 * struct xrnpe_job_desc - a ring entry
 * @regions: DMA address of the region table, 8-byte aligned
 * @cmds: DMA address of the first command record, 8-byte aligned
 * @region_count: entries, 0..XRNPE_MAX_REGIONS
 * @cmd_count: records, 1..XRNPE_MAX_CMDS
 * @seqno: written to the status page when the job ends
 * @flags: zero
 * @status: zero; when the job ends, and before the status page, the device
 *	writes its XRNPE_STATUS_* here: the page holds the last job's only
 * @reserved: zero
 */
struct xrnpe_job_desc {
	__u64 regions;
	__u64 cmds;
	__u32 region_count;
	__u32 cmd_count;
	__u32 seqno;
	__u32 flags;
	__u32 status;
	__u32 reserved[7];
};

/**
 * struct xrnpe_queue_status - a queue's part of the status page
 * @seqno: of the last job that ended, well or not; written last
 * @status: XRNPE_STATUS_INVALID of that job
 * @fault_seqno: seqno of the job that @fault is about
 * @reserved: zero
 * @fault: of the last job that did not end well
 * @reserved2: zero
 */
struct xrnpe_queue_status {
	__u32 seqno;
	__u32 status;
	__u32 fault_seqno;
	__u32 reserved;
	struct xrnpe_fault fault;
	__u64 reserved2[3];
};

#endif

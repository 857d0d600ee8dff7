/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * XR-NPE registers and the structures that the kernel and the device share in
 * memory, version 1. Used by the driver and by the QEMU device. All registers
 * are 32 bits wide, little-endian, accessed as aligned 32-bit words.
 * Documentation/hardware.rst explains them.
 *
 * BIT() and GENMASK() are linux/bits.h's, or of who includes this outside of a kernel.
 */
#ifndef _XRNPE_REGS_H_
#define _XRNPE_REGS_H_

#include "drm/xrnpe_cmd.h"

#define XRNPE_MMIO_SIZE			0x1000
#define XRNPE_MAX_QUEUES		4
#define XRNPE_REGION_ALIGN		64

/* Identification and capabilities, read-only. */
#define XRNPE_ID			0x000
#define   XRNPE_ID_MAGIC		0x45504e58	/* "XNPE" in memory */
#define XRNPE_VERSION			0x004		/* of the programming model */
#define   XRNPE_VERSION_MAJOR_MASK	GENMASK(31, 16)
#define   XRNPE_VERSION_MINOR_MASK	GENMASK(15, 0)
#define   XRNPE_VERSION_1_0		0x00010000
#define XRNPE_CONFIG			0x008
#define   XRNPE_CONFIG_ROWS_MASK	GENMASK(7, 0)
#define   XRNPE_CONFIG_COLS_MASK	GENMASK(15, 8)
#define   XRNPE_CONFIG_QUEUES_MASK	GENMASK(19, 16)
#define XRNPE_REVISION			0x00c		/* of the implementation; 0: a model */
#define XRNPE_CAP_OPCODES		0x040		/* a bit for each enum xrnpe_opcode */
#define XRNPE_CAP_FORMATS		0x044		/* a bit for each enum xrnpe_format */
#define XRNPE_CAP_MAX_K			0x048
#define XRNPE_CAP_MEMORY		0x04c
#define   XRNPE_CAP_ADDRESS_BITS_MASK	GENMASK(7, 0)	/* of DMA addresses */
#define   XRNPE_CAP_BUS_BYTES_MASK	GENMASK(15, 8)	/* that the bus moves in a cycle */
#define   XRNPE_CAP_SRAM_KIB_MASK	GENMASK(31, 16)	/* of operand buffers */
#define XRNPE_CAP_RECORD		0x050
#define   XRNPE_CAP_CMD_BYTES_MASK	GENMASK(15, 0)	/* of struct xrnpe_cmd that it reads */
#define   XRNPE_CAP_COUNTERS_MASK	GENMASK(23, 16)	/* words of struct xrnpe_counters */
#define XRNPE_CLOCK_KHZ			0x054		/* of the array's clock */
#define XRNPE_TIMER_KHZ			0x058		/* of TIMER */

/* Device control. */
#define XRNPE_CTRL			0x010
#define   XRNPE_CTRL_RESET		BIT(0)		/* write 1; reads 1 until done */
#define XRNPE_STATUS			0x014
#define   XRNPE_STATUS_BUSY		BIT(0)		/* memory may still be accessed */
#define   XRNPE_STATUS_BUS_ERROR	BIT(1)		/* halted; until reset */
/* Queue of the command that executes, or else of the last that did. */
#define   XRNPE_STATUS_QUEUE_MASK	GENMASK(9, 8)

/* Interrupts: level, asserted while STATUS & ENABLE is not zero. */
#define XRNPE_IRQ_STATUS		0x020	/* write 1 to clear */
#define XRNPE_IRQ_ENABLE		0x024
#define   XRNPE_IRQ_DONE(q)		BIT(q)		/* queue completed a job */
#define   XRNPE_IRQ_STOPPED(q)		BIT(8 + (q))	/* queue stopped: fault or abort */
#define   XRNPE_IRQ_BUS_ERROR		BIT(16)
/* Those of absent queues do nothing. */
#define   XRNPE_IRQ_ALL			(GENMASK(3, 0) | GENMASK(11, 8) | XRNPE_IRQ_BUS_ERROR)

/* DMA address of the array of struct xrnpe_queue_status, 64-byte aligned. */
#define XRNPE_STATUS_BASE_LO		0x030
#define XRNPE_STATUS_BASE_HI		0x034
/* DMA address of the burst that was not answered last; 0: none since reset. */
#define XRNPE_BUS_ADDR_LO		0x038
#define XRNPE_BUS_ADDR_HI		0x03c

/* Free-running time, read-only; read HI, LO, HI until HI stays. */
#define XRNPE_TIMER_LO			0x060
#define XRNPE_TIMER_HI			0x064

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
#define   XRNPE_QUEUE_CTRL_ENABLE	BIT(0)		/* 0 -> 1 sets HEAD = TAIL = 0 */
#define   XRNPE_QUEUE_CTRL_RESUME	BIT(1)		/* write 1: leave STOPPED */
#define XRNPE_QUEUE_STATE		0x18	/* read-only */
#define   XRNPE_QUEUE_STATE_DISABLED	0
#define   XRNPE_QUEUE_STATE_IDLE	1
#define   XRNPE_QUEUE_STATE_RUNNING	2
#define   XRNPE_QUEUE_STATE_STOPPED	3
#define XRNPE_QUEUE_ABORT		0x1c	/* write-only: count of the job to end, at HEAD */
#define XRNPE_QUEUE_EXECUTED_LO		0x20	/* read-only: timer ticks that the job at HEAD */
#define XRNPE_QUEUE_EXECUTED_HI		0x24	/* has executed so far; read as TIMER is */

/* Read-only: word i of struct xrnpe_counters since reset; read as TIMER is. */
#define XRNPE_COUNTER_LO(i)		(0x200 + (i) * 8)
#define XRNPE_COUNTER_HI(i)		(0x204 + (i) * 8)

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

/* Of struct xrnpe_job_desc.flags: write the job's record. */
#define   XRNPE_JOB_RECORD		BIT(0)

/**
 * struct xrnpe_job_desc - a ring entry
 * @regions: DMA address of the region table, 8-byte aligned
 * @cmds: DMA address of the first command record, XRNPE_CMD_ALIGN-byte aligned
 * @record: DMA address of the struct xrnpe_job_record to be written, 64-byte
 *	aligned; zero without XRNPE_JOB_RECORD
 * @region_count: entries, 0..XRNPE_MAX_REGIONS
 * @cmd_count: records, 1..XRNPE_MAX_CMDS
 * @cmd_stride: bytes from a record to the next: a multiple of XRNPE_CMD_ALIGN, at
 *	least what the device reads of one (CAP_CMD_BYTES), at most
 *	XRNPE_CMD_STRIDE_MAX
 * @seqno: written to the status page when the job ends
 * @flags: XRNPE_JOB_*
 * @reserved: zero
 */
struct xrnpe_job_desc {
	__u64 regions;
	__u64 cmds;
	__u64 record;
	__u32 region_count;
	__u32 cmd_count;
	__u32 cmd_stride;
	__u32 seqno;
	__u32 flags;
	__u32 reserved[5];
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

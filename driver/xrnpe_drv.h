/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef __XRNPE_DRV_H__
#define __XRNPE_DRV_H__

#include <linux/bits.h>
#include <linux/cleanup.h>
#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/rbtree.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <drm/drm_device.h>
#include <drm/xrnpe_accel.h>

#include "xrnpe_regs.h"

struct clk_bulk_data;
struct dmem_cgroup_region;
struct drm_file;
struct reset_control;
struct xrnpe_dump;
struct xrnpe_queue;
struct xrnpe_shared;

/* Queues of a file. */
#define XRNPE_MAX_FILE_QUEUES	64
/* Values of &enum drm_xrnpe_priority. */
#define XRNPE_PRIORITIES	(DRM_XRNPE_PRIORITY_REALTIME + 1)

/** struct xrnpe_turns - queues of a ring, and of one priority, that wait for their turn alone */
struct xrnpe_turns {
	/** @waiting: of &struct xrnpe_share */
	struct rb_root_cached waiting;
	/** @last: jiffies, when one of them had its turn */
	unsigned long last;
};

/** struct xrnpe_ring - a hardware ring; members are protected by hw_lock */
struct xrnpe_ring {
	/** @xdev: the device */
	struct xrnpe_device *xdev;
	/** @name: of the ring, for traces and messages */
	char name[16];
	/** @index: 0 is served first */
	unsigned int index;
	/** @seqno: of the job that came last */
	u32 seqno;
	/** @tail: jobs put into the ring since it was enabled */
	u32 tail;
	/** @jobs: in the ring, oldest first */
	struct list_head jobs;
	/** @head_since: when the oldest became the oldest */
	ktime_t head_since;
	/** @now: nanoseconds that a queue has executed which has had its part, see xrnpe_share.c */
	u64 now;
	/** @turns: by &enum drm_xrnpe_priority */
	struct xrnpe_turns turns[XRNPE_PRIORITIES];
	/** @least: of @turns, of the least urgent priority that it serves */
	struct xrnpe_turns *least;
	/** @most: of @turns, of the most urgent one */
	struct xrnpe_turns *most;
	/** @waiters: queues in all of @turns */
	unsigned int waiters;
	/** @gives_way_to: a ring that is served after it, but not kept waiting for ever, or NULL */
	struct xrnpe_ring *gives_way_to;
	/** @filled: how many are in @jobs */
	unsigned int filled;
	/** @check_work: looks after the time limit of the oldest job */
	struct delayed_work check_work;
};

/** struct xrnpe_device - an XR-NPE */
struct xrnpe_device {
	/** @drm: the DRM device */
	struct drm_device drm;
	/** @regs: registers */
	void __iomem *regs;
	/** @irq: the interrupt */
	int irq;
	/** @clks: all that the device tree names */
	struct clk_bulk_data *clks;
	/** @num_clks: how many */
	int num_clks;
	/** @reset: reset line, may be NULL */
	struct reset_control *reset;
	/** @info: what user space may know; resets is protected by hw_lock */
	struct drm_xrnpe_dev_info info;

	/** @shared: memory shared with the device */
	struct xrnpe_shared *shared;
	/** @shared_dma: its address for the device */
	dma_addr_t shared_dma;

	/**
	 * @translated: its bus has addresses of its own for memory (dma-ranges), which the
	 * kernel knows as long as the driver is bound
	 */
	bool translated;
	/** @max_memory: bytes that all buffers together may have */
	u64 max_memory;
	/** @bo_bytes: that they have; imported ones do not count */
	atomic64_t bo_bytes;

	/** @dmem: the same for cgroups; NULL if the kernel has no controller for that */
	struct dmem_cgroup_region *dmem;

	/** @bo_lock: protects @bos, and labels of buffers */
	struct mutex bo_lock;
	/** @bos: all buffers, for debugfs */
	struct list_head bos;

	/**
	 * @hw_lock: protects rings, what queues have for them, what files have used of the device,
	 * and registers, but for those of the interrupt, and while it is probed
	 */
	struct mutex hw_lock;
	/** @powered: registers may be accessed */
	bool powered;
	/** @parking: rings are to come to rest, see xrnpe_hw_park() */
	bool parking;
	/** @stops: how many want no job to get into a ring, see xrnpe_sched_stop() */
	unsigned int stops;
	/** @inflight: jobs in all rings; while there are any the device is kept on */
	unsigned int inflight;
	/** @queues: of all files, as long as they are open */
	struct list_head queues;
	/** @ended_jobs: to be freed when hw_lock is released */
	struct list_head ended_jobs;
	/** @wedged: reset failed, or the device is gone; nothing runs any more */
	bool wedged;
	/**
	 * @runaway: reset failed, and the device may go on to access the memory
	 * of the jobs it had and @shared. Neither is freed while that is so
	 */
	bool runaway;
	/** @ended: woken when a job ended */
	wait_queue_head_t ended;
	/** @dump: for the next failure */
	struct xrnpe_dump *dump;

	/** @reset_wq: timeouts and resets, one at a time */
	struct workqueue_struct *reset_wq;
	/** @reset_work: reset for another reason than a timeout */
	struct work_struct reset_work;
	/** @wedged_work: tells user space that the device is wedged */
	struct work_struct wedged_work;
	/** @sched_wq: takes jobs on when what they waited for has signaled, or the device is off */
	struct workqueue_struct *sched_wq;

	/** @ring: hardware rings, info.rings of them */
	struct xrnpe_ring ring[XRNPE_MAX_QUEUES];
};

static inline struct xrnpe_device *to_xrnpe_device(struct drm_device *drm)
{
	return container_of(drm, struct xrnpe_device, drm);
}

void xrnpe_hw_unlock(struct xrnpe_device *xdev);

/* hw_lock; who releases it frees the jobs that have ended meanwhile. */
DEFINE_GUARD(xrnpe_hw, struct xrnpe_device *, mutex_lock(&_T->hw_lock), xrnpe_hw_unlock(_T))

/**
 * struct xrnpe_ctx - an open file
 *
 * Jobs, their fences and buffers hold a reference, so that it, the device and this
 * module stay until the last of them is gone, which may be long after the file.
 */
struct xrnpe_ctx {
	/** @refcount: the file's, its queues', fences' and buffers', and those of works */
	struct kref refcount;
	/** @xdev: the device, with a reference */
	struct xrnpe_device *xdev;
	/** @release_work: drops the device where that may sleep */
	struct work_struct release_work;
	/** @client: the file's id in traces */
	u64 client;

	/** @queues: by number, less one; found with RCU */
	struct xrnpe_queue *queues[XRNPE_MAX_FILE_QUEUES];
	/** @perfmons: of &struct xrnpe_perfmon by number */
	struct xarray perfmons;

	/** @bo_bytes: of buffers that it created */
	atomic64_t bo_bytes;
	/** @close_work: closes its queues when it has no user any more */
	struct delayed_work close_work;

	/** @busy_ns: execution time; protected by hw_lock */
	u64 busy_ns;
	/** @cycles: of the array, of jobs that have ended; protected by hw_lock */
	u64 cycles;
};

extern struct workqueue_struct *xrnpe_wq;

void xrnpe_ctx_release(struct kref *ref);

static inline void xrnpe_ctx_put(struct xrnpe_ctx *ctx)
{
	kref_put(&ctx->refcount, xrnpe_ctx_release);
}

#endif

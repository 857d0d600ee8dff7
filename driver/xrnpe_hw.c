// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The hardware as such: what it is, and its reset.
 *
 * The device is in one of these states, all but the first for good:
 *
 * ======= ======= =============================================================
 * wedged  runaway
 * ======= ======= =============================================================
 * no      no      It works. It is powered while a ring has jobs.
 * yes     no      It was removed, or a reset failed. It executes nothing and
 *                 accesses no memory.
 * yes     yes     No reset could stop it, so that it may go on to access memory.
 *                 It stays powered; &struct xrnpe_shared and the buffers of the
 *                 jobs that it had are leaked. A reset that succeeds later, when
 *                 the system suspends or the device is removed, ends that.
 * no      yes     The same, found out while it was probed: probing fails.
 * ======= ======= =============================================================
 */
#include <linux/bitfield.h>
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/iopoll.h>
#include <linux/pm_runtime.h>
#include <linux/reset.h>

#include <drm/drm_print.h>

#include "xrnpe_drv.h"
#include "xrnpe_hw.h"
#include "xrnpe_recover.h"
#include "xrnpe_ring.h"

/* For so long the device may take to give up its command. A virtual one may be late. */
#define XRNPE_RESET_US		(2 * USEC_PER_SEC)
/* For so long it may be busy when all of its jobs have ended. */
#define XRNPE_REST_US		(100 * USEC_PER_MSEC)
/* For so long the reset line is asserted. */
#define XRNPE_LINE_US		10

/* ---- reset ---- */

static int xrnpe_hw_reset_by_register(struct xrnpe_device *xdev)
{
	u32 ctrl;
	int ret;

	xrnpe_write(xdev, XRNPE_CTRL, XRNPE_CTRL_RESET);
	ret = readl_poll_timeout(xdev->regs + XRNPE_CTRL, ctrl, !(ctrl & XRNPE_CTRL_RESET),
				 100, XRNPE_RESET_US);
	if (!ret)
		return 0;

	/* BUSY reads one until a reset has ended; a device that says otherwise is not believed. */
	drm_err(&xdev->drm, "does not come out of reset, status %#x\n",
		xrnpe_read(xdev, XRNPE_STATUS));
	return -ETIMEDOUT;
}

static int xrnpe_hw_reset_by_line(struct xrnpe_device *xdev)
{
	int ret;

	ret = reset_control_assert(xdev->reset);
	if (ret) {
		drm_err(&xdev->drm, "cannot assert the reset line: %pe\n", ERR_PTR(ret));
		return -ETIMEDOUT;
	}
	fsleep(XRNPE_LINE_US);
	ret = reset_control_deassert(xdev->reset);
	if (!ret)
		ret = xrnpe_hw_reset_by_register(xdev);
	if (!ret)
		return 0;
	return reset_control_assert(xdev->reset) ? -ETIMEDOUT : -EIO;
}

/**
 * xrnpe_hw_reset() - stop everything
 * @xdev: the device, powered
 *
 * Return: 0: the device is ready for xrnpe_hw_start() and accesses no memory;
 * -EIO: it is of no use, but is held in reset by its line, so that it accesses no
 * memory;
 * -ETIMEDOUT: it may go on to access the memory that it was given.
 */
int xrnpe_hw_reset(struct xrnpe_device *xdev)
{
	int ret = xrnpe_hw_reset_by_register(xdev);

	if (ret && xdev->reset)
		ret = xrnpe_hw_reset_by_line(xdev);
	return ret;
}

/**
 * xrnpe_hw_note_reset() - note whether the device can still access memory
 * @xdev: the device
 * @error: what xrnpe_hw_reset() returned
 *
 * Clocks and power are no means to stop it: they may be shared, we do
 * not learn whether they are really off, and a device without clocks is only
 * paused, maybe within a transfer that the bus waits for. So they stay on.
 */
void xrnpe_hw_note_reset(struct xrnpe_device *xdev, int error)
{
	bool runaway = error == -ETIMEDOUT;

	if (runaway)
		drm_err(&xdev->drm, "cannot be stopped; the memory it uses is lost until the machine is reset\n");
	if (runaway == xdev->runaway)
		return;

	WRITE_ONCE(xdev->runaway, runaway);
	if (runaway)
		pm_runtime_get_noresume(xdev->drm.dev);
	else
		pm_runtime_put_noidle(xdev->drm.dev);
}

/**
 * xrnpe_hw_quiesce() - see to it that the device does not access memory, and gets no job
 * @xdev: the device, powered, to be switched off
 *
 * A runaway is reset once more: the command that it would not give up may have
 * come to its end.
 *
 * Return: 0; -EBUSY if the device has jobs, or may still access memory.
 */
int xrnpe_hw_quiesce(struct xrnpe_device *xdev)
{
	u32 status;

	guard(xrnpe_hw)(xdev);
	/* Those of a device that was parked stay where they are. */
	if (xdev->inflight && !xdev->parking)
		return -EBUSY;
	/* It may still be about what comes after the end of its last job. */
	if (!xdev->wedged && readl_poll_timeout(xdev->regs + XRNPE_STATUS, status,
						!(status & XRNPE_STATUS_BUSY), 100,
						XRNPE_REST_US))
		return -EBUSY;
	if (xdev->runaway)
		xrnpe_hw_note_reset(xdev, xrnpe_hw_reset(xdev));
	if (xdev->runaway)
		return -EBUSY;
	xdev->powered = false;
	return 0;
}

/**
 * xrnpe_hw_stop() - quiesce interrupt and rings
 * @xdev: the device; the caller knows that no job is in a ring, or resets next
 */
void xrnpe_hw_stop(struct xrnpe_device *xdev)
{
	/* One that has failed was stopped then; held in reset it may not even answer. */
	if (!READ_ONCE(xdev->wedged))
		xrnpe_write(xdev, XRNPE_IRQ_ENABLE, 0);
	synchronize_irq(xdev->irq);
}

/**
 * xrnpe_hw_timer() - read the device's timer
 * @xdev: the device, powered
 * @ticks: gets its ticks
 *
 * Return: 0, or -ENODEV if the device has failed.
 */
int xrnpe_hw_timer(struct xrnpe_device *xdev, u64 *ticks)
{
	u32 hi, lo;

	lockdep_assert_held(&xdev->hw_lock);
	/* Held in reset it may not even answer. */
	if (xdev->wedged)
		return -ENODEV;

	do {
		hi = xrnpe_read(xdev, XRNPE_TIMER_HI);
		lo = xrnpe_read(xdev, XRNPE_TIMER_LO);
	} while (hi != xrnpe_read(xdev, XRNPE_TIMER_HI));
	*ticks = (u64)hi << 32 | lo;
	return 0;
}

/* ---- probe ---- */

static int xrnpe_hw_get_capabilities(struct xrnpe_device *xdev)
{
	u32 memory = xrnpe_read(xdev, XRNPE_CAP_MEMORY);
	u32 record = xrnpe_read(xdev, XRNPE_CAP_RECORD);
	u32 address_bits = FIELD_GET(XRNPE_CAP_ADDRESS_BITS_MASK, memory);
	struct drm_xrnpe_dev_info *info = &xdev->info;
	struct device *dev = xdev->drm.dev;
	int ret;

	info->revision = xrnpe_read(xdev, XRNPE_REVISION);
	info->opcodes = xrnpe_read(xdev, XRNPE_CAP_OPCODES);
	info->formats = xrnpe_read(xdev, XRNPE_CAP_FORMATS);
	info->max_k = xrnpe_read(xdev, XRNPE_CAP_MAX_K);
	info->cmd_bytes = FIELD_GET(XRNPE_CAP_CMD_BYTES_MASK, record);
	info->bus_bytes = FIELD_GET(XRNPE_CAP_BUS_BYTES_MASK, memory);
	info->sram_kib = FIELD_GET(XRNPE_CAP_SRAM_KIB_MASK, memory);
	info->clock_khz = xrnpe_read(xdev, XRNPE_CLOCK_KHZ);
	info->timer_khz = xrnpe_read(xdev, XRNPE_TIMER_KHZ);

	if (!info->timer_khz || !info->cmd_bytes || info->cmd_bytes > XRNPE_CMD_STRIDE_MAX ||
	    address_bits < 32 || address_bits > 64)
		return dev_err_probe(dev, -ENODEV,
				     "impossible capabilities: memory %#x, record %#x, timer %u kHz\n",
				     memory, record, info->timer_khz);

	ret = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(address_bits));
	if (ret)
		return dev_err_probe(dev, ret, "cannot reach memory\n");
	return 0;
}

static int xrnpe_hw_identify(struct xrnpe_device *xdev)
{
	u32 id = xrnpe_read(xdev, XRNPE_ID);
	u32 version = xrnpe_read(xdev, XRNPE_VERSION);
	u32 config = xrnpe_read(xdev, XRNPE_CONFIG);
	struct device *dev = xdev->drm.dev;

	if (id != XRNPE_ID_MAGIC)
		return dev_err_probe(dev, -ENODEV, "not an XR-NPE: id %#x\n", id);
	if (FIELD_GET(XRNPE_VERSION_MAJOR_MASK, version) !=
	    FIELD_GET(XRNPE_VERSION_MAJOR_MASK, XRNPE_VERSION_1_0))
		return dev_err_probe(dev, -ENODEV, "programming model %#x is unknown\n", version);

	xdev->info.version = version;
	xdev->info.rows = FIELD_GET(XRNPE_CONFIG_ROWS_MASK, config);
	xdev->info.cols = FIELD_GET(XRNPE_CONFIG_COLS_MASK, config);
	xdev->info.rings = FIELD_GET(XRNPE_CONFIG_QUEUES_MASK, config);
	if (!xdev->info.rings || xdev->info.rings > XRNPE_MAX_QUEUES)
		return dev_err_probe(dev, -ENODEV, "impossible configuration %#x\n", config);
	return xrnpe_hw_get_capabilities(xdev);
}

static void xrnpe_hw_free_shared(void *data)
{
	struct xrnpe_device *xdev = data;

	/* It has the same fate as the buffers: a runaway device keeps it. */
	if (!xdev->runaway)
		dma_free_coherent(xdev->drm.dev, sizeof(*xdev->shared), xdev->shared,
				  xdev->shared_dma);
}

/**
 * xrnpe_hw_probe() - identify the device and get what it takes to drive it
 * @xdev: the device, powered and clocked
 *
 * Return: 0 or a negative error code.
 */
int xrnpe_hw_probe(struct xrnpe_device *xdev)
{
	struct device *dev = xdev->drm.dev;
	int ret;

	ret = xrnpe_hw_identify(xdev);
	if (ret)
		return ret;
	ret = xrnpe_hw_reset(xdev);
	if (ret) {
		/* An earlier driver may have left it so. */
		xrnpe_hw_note_reset(xdev, ret);
		return ret;
	}

	for (unsigned int i = 0; i < xdev->info.rings; i++) {
		struct xrnpe_ring *ring = &xdev->ring[i];

		ring->xdev = xdev;
		ring->index = i;
		snprintf(ring->name, sizeof(ring->name), "ring%u", i);
		INIT_LIST_HEAD(&ring->jobs);
		INIT_DELAYED_WORK(&ring->check_work, xrnpe_ring_check_work);
	}
	init_waitqueue_head(&xdev->ended);
	INIT_WORK(&xdev->reset_work, xrnpe_reset_work);
	INIT_WORK(&xdev->wedged_work, xrnpe_wedged_work);

	xdev->shared = dma_alloc_coherent(dev, sizeof(*xdev->shared), &xdev->shared_dma,
					  GFP_KERNEL);
	if (!xdev->shared)
		return -ENOMEM;
	return devm_add_action_or_reset(dev, xrnpe_hw_free_shared, xdev);
}

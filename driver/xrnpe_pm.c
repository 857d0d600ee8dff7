// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Power: the device is on while a ring holds a job, and a little longer. It keeps
 * nothing while it is off, so waking up is a reset.
 */
#include <linux/clk.h>
#include <linux/device.h>
#include <linux/iopoll.h>
#include <linux/pm_runtime.h>
#include <linux/reset.h>

#include <drm/drm_print.h>

#include "xrnpe_drv.h"
#include "xrnpe_hw.h"
#include "xrnpe_recover.h"
#include "xrnpe_ring.h"
#include "xrnpe_sched.h"
#include "xrnpe_pm.h"

#define XRNPE_AUTOSUSPEND_MS	100

static int xrnpe_power_on(struct xrnpe_device *xdev)
{
	int ret;

	ret = clk_bulk_prepare_enable(xdev->num_clks, xdev->clks);
	if (ret)
		return ret;
	ret = reset_control_deassert(xdev->reset);
	if (ret)
		clk_bulk_disable_unprepare(xdev->num_clks, xdev->clks);
	return ret;
}

static void xrnpe_power_off(void *data)
{
	struct xrnpe_device *xdev = data;

	reset_control_assert(xdev->reset);
	clk_bulk_disable_unprepare(xdev->num_clks, xdev->clks);
}

static void xrnpe_power_off_if_on(void *data)
{
	struct xrnpe_device *xdev = data;

	if (xdev->runaway)
		/* It stays on, see xrnpe_hw_note_reset(). */
		pm_runtime_put_noidle(xdev->drm.dev);
	else if (!pm_runtime_status_suspended(xdev->drm.dev))
		xrnpe_power_off(xdev);
}

static int xrnpe_runtime_suspend(struct device *dev)
{
	struct xrnpe_device *xdev = dev_get_drvdata(dev);
	int ret;

	/* A runaway gets here only when the system goes to sleep. */
	ret = xrnpe_hw_quiesce(xdev);
	if (ret)
		return ret;

	xrnpe_hw_stop(xdev);
	xrnpe_power_off(xdev);
	return 0;
}

static int xrnpe_runtime_resume(struct device *dev)
{
	struct xrnpe_device *xdev = dev_get_drvdata(dev);
	int ret;

	ret = xrnpe_power_on(xdev);
	if (ret)
		return ret;

	guard(xrnpe_hw)(xdev);
	ret = xrnpe_hw_reset(xdev);
	if (ret) {
		xrnpe_power_off(xdev);
		return ret;
	}
	xdev->powered = true;
	xrnpe_hw_start(xdev);
	return 0;
}

/*
 * Jobs that have begun are finished first; each has its time limit, and one of each
 * ring can have begun. The others stay, in their rings, or in their queues.
 */
static void xrnpe_park(struct xrnpe_device *xdev)
{
	u64 patience_us = (u64)xdev->info.rings * 2 * xdev->info.job_timeout_ms * USEC_PER_MSEC;
	bool parked;

	xrnpe_hw_park(xdev);
	if (readx_poll_timeout(xrnpe_hw_is_parked, xdev, parked, parked, USEC_PER_MSEC,
			       patience_us))
		xrnpe_hw_recover(xdev);
}

static int xrnpe_suspend(struct device *dev)
{
	struct xrnpe_device *xdev = dev_get_drvdata(dev);
	int ret;

	xrnpe_sched_stop(xdev);
	/* It may be waking the device up. */
	flush_workqueue(xdev->sched_wq);
	/* A job in a ring keeps the device on. */
	if (READ_ONCE(xdev->inflight))
		xrnpe_park(xdev);
	/* Nobody is to see to the device when it is off; xrnpe_ring_start() begins anew. */
	xrnpe_sched_stop_checks(xdev);
	flush_workqueue(xdev->reset_wq);
	ret = pm_runtime_force_suspend(dev);
	if (ret) {
		if (xdev->parking)
			xrnpe_hw_unpark(xdev);
		xrnpe_sched_start(xdev);
	}
	return ret;
}

static int xrnpe_resume(struct device *dev)
{
	struct xrnpe_device *xdev = dev_get_drvdata(dev);
	int ret;

	scoped_guard(xrnpe_hw, xdev)
		xdev->parking = false;
	ret = pm_runtime_force_resume(dev);
	if (ret) {
		/* Nobody would end those in the rings. The others find out one by one. */
		guard(xrnpe_hw)(xdev);
		xrnpe_hw_lose_jobs(xdev);
	}
	xrnpe_sched_start(xdev);
	return ret;
}

const struct dev_pm_ops xrnpe_pm_ops = {
	SYSTEM_SLEEP_PM_OPS(xrnpe_suspend, xrnpe_resume)
	RUNTIME_PM_OPS(xrnpe_runtime_suspend, xrnpe_runtime_resume, NULL)
};

/**
 * xrnpe_pm_probe() - get clocks and reset, and switch the device on
 * @xdev: the device
 *
 * The caller enables runtime PM when it is done with probing.
 *
 * Return: 0 or a negative errno.
 */
int xrnpe_pm_probe(struct xrnpe_device *xdev)
{
	struct device *dev = xdev->drm.dev;
	int ret;

	xdev->num_clks = devm_clk_bulk_get_all(dev, &xdev->clks);
	if (xdev->num_clks < 0)
		return dev_err_probe(dev, xdev->num_clks, "cannot get clocks\n");

	xdev->reset = devm_reset_control_get_optional_exclusive(dev, NULL);
	if (IS_ERR(xdev->reset))
		return dev_err_probe(dev, PTR_ERR(xdev->reset), "cannot get reset\n");

	ret = xrnpe_power_on(xdev);
	if (ret)
		return dev_err_probe(dev, ret, "cannot switch on\n");
	xdev->powered = true;
	pm_runtime_set_active(dev);
	pm_runtime_set_autosuspend_delay(dev, XRNPE_AUTOSUSPEND_MS);
	pm_runtime_use_autosuspend(dev);
	return devm_add_action_or_reset(dev, xrnpe_power_off_if_on, xdev);
}

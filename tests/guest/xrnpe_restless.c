// SPDX-License-Identifier: MIT
/*
 * System sleep when the device fails. Each test needs a device of its own, and a machine as
 * that of xrnpe_slow.c. Needs root.
 */
#include "xrnpe_module.h"
#include "xrnpe_sleep.h"

/*
 * What does not abort takes a reset, and nothing that has not begun is lost by it. Needs
 * QEMU's -device xrnpe,x-fault-ignore-abort=on.
 */
TEST_F(sleep, when_a_job_does_not_abort)
{
	struct work endless, works[3];
	int64_t guilty, jobs[200];

	ASSERT_EQ(0, make_slow(self->fd, &endless));
	mark_result(endless.data.map);
	guilty = submit(self->fd, 0, &endless);
	ASSERT_LT(0, guilty);
	ASSERT_TRUE(result_comes(endless.data.map, 10000));
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, make_work(self->fd, &works[i]));
	for (int i = 0; i < 200; i++)
		jobs[i] = submit(self->fd, 1 + i % 3, &works[i % 3]);
	EXPECT_EQ(0, write_file("/sys/power/state", "freeze"));
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, guilty));
	for (int i = 0; i < 200; i++)
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, jobs[i]));
	self->resets++;
}

/*
 * A device that has halted, of which no interrupt tells, is not waited for. Needs a time
 * limit of a minute, and -device xrnpe,x-fault-bus-error=10,x-fault-drop-irq=1, which halts
 * it at the end of a job without regions, see xrnpe_untold.c.
 */
TEST_F(sleep, when_the_device_has_halted)
{
	struct drm_xrnpe_region region;
	struct drm_xrnpe_job args = job_args(&self->work, &region);
	int64_t job, begin;

	args.regions.count = 0;
	job = submit_job(self->fd, 1, &args);
	ASSERT_LT(0, job);
	sleep_ms(200);
	begin = now_ns();
	EXPECT_EQ(0, write_file("/sys/power/state", "freeze"));
	EXPECT_GT(10000, (now_ns() - begin) / 1000000);
	EXPECT_EQ(DRM_XRNPE_JOB_FAULT, state_of(self->fd, job));
	self->resets++;
}

/*
 * A job that has executed, which the device has not told of, does not execute once more. Needs
 * a time limit of a minute, and -device xrnpe,x-fault-seqno=0x80000000.
 */
TEST_F(sleep, when_the_device_has_not_told)
{
	int64_t job = submit(self->fd, 1, &self->work);

	sleep_ms(200);
	ASSERT_TRUE(result_is_right(&self->work));
	clear_result(&self->work);
	EXPECT_EQ(0, write_file("/sys/power/state", "freeze"));
	EXPECT_EQ(DRM_XRNPE_CANCEL_RESET, reason_of(self->fd, job));
	EXPECT_FALSE(result_is_right(&self->work));
	self->resets++;
}

/*
 * Jobs of a device that does not wake up end, too: those that were in a ring, and new ones.
 * Needs -device xrnpe,x-fault-reset=3: the first reset is that of the driver's probe.
 */
TEST(when_the_device_does_not_wake_up)
{
	char device[256], control[512];
	struct work slow, works[3];
	int64_t first, jobs[3];
	int fd = open_npu();

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, make_slow(fd, &slow));
	find_device(device, sizeof(device));
	ASSERT_TRUE(status_becomes(device, "suspended"));
	/* So that there is a second one, and no more until the machine wakes up. */
	snprintf(control, sizeof(control), DRIVER "%s/power/control", device);
	ASSERT_EQ(0, write_file(control, "on"));
	mark_result(slow.data.map);
	first = submit(fd, 1, &slow);
	ASSERT_TRUE(result_comes(slow.data.map, 10000));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, make_work(fd, &works[i]));
		jobs[i] = submit(fd, 1, &works[i]);
	}
	ASSERT_EQ(0, write_file("/sys/power/pm_test", "devices"));
	EXPECT_EQ(0, write_file("/sys/power/state", "freeze"));
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(fd, first));
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(DRM_XRNPE_CANCEL_LOST, reason_of(fd, jobs[i]));
	EXPECT_EQ(DRM_XRNPE_CANCEL_LOST, reason_of(fd, submit(fd, 2, &works[0])));
	EXPECT_EQ(0, write_file("/sys/power/pm_test", "none"));
	close(fd);
}

TEST_HARNESS_MAIN

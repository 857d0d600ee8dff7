// SPDX-License-Identifier: MIT
/*
 * A device that only its reset line stops, and keeps stopped: it is lost, but its memory is
 * not. Needs tools/vm --reset-line --module-args client_memory_mib=64, and QEMU's
 * -device xrnpe,x-fault-stuck=on,x-fault-no-reset=3: the driver resets it when it is
 * probed, when it wakes up, and then for a job that does not end. The tests are one story,
 * told in the order in which they stand here. Needs root.
 */
#include "xrnpe_failed.h"
#include "xrnpe_module.h"
#include "xrnpe_sync.h"

/* Of the job that is stuck, so much that nobody can fail to see whether it is free. */
#define DATA_KIB (32 * 1024)

/* ---- what becomes of its jobs ---- */

FIXTURE(held)
{
	int fd;
	struct work stuck, behind, apart;
	struct gate gate;
	uint32_t syncobj;
	int64_t guilty, same, other, waiting;
	size_t free_kib;
};

/* One job that is stuck, one behind it, one on another queue, one not begun. */
FIXTURE_SETUP(held)
{
	struct drm_xrnpe_sync sync, out;

	ASSERT_TRUE(status_becomes(DEVICE, "suspended"));
	self->free_kib = memory_kib("MemFree:");
	self->fd = open_npu();
	ASSERT_GE(self->fd, 0) TH_LOG("no xrnpe node");
	ASSERT_EQ(0, make_long(self->fd, 8192, 16384, &self->stuck));
	free_bo(self->fd, &self->stuck.data);
	ASSERT_EQ(0, make_bo(self->fd, DATA_KIB * 1024, 0, &self->stuck.data));
	ASSERT_EQ(0, make_work(self->fd, &self->behind));
	ASSERT_EQ(0, make_work(self->fd, &self->apart));
	ASSERT_EQ(0, make_gate(self->fd, &self->gate));

	sync = wait_gate(&self->gate);
	self->guilty = submit(self->fd, 1, &self->stuck);
	ASSERT_LT(0, self->guilty);
	ASSERT_TRUE(writes_results(self->stuck.data.map, 10000));
	self->same = submit(self->fd, 1, &self->behind);
	self->syncobj = make_syncobj(self->fd);
	out = (struct drm_xrnpe_sync){ self->syncobj, DRM_XRNPE_SYNC_SIGNAL, 0 };
	self->other = submit_syncs(self->fd, 2, &self->apart, &out, 1);
	self->waiting = submit_syncs(self->fd, 0, &self->apart, &sync, 1);
}

/* All memory is free again, for it is nobody's but its next owner's. */
FIXTURE_TEARDOWN(held)
{
	const int64_t end = in_ms(60000);

	EXPECT_LT(memory_kib("MemFree:"), self->free_kib - DATA_KIB / 2);
	free_work(self->fd, &self->stuck);
	free_work(self->fd, &self->behind);
	free_work(self->fd, &self->apart);
	close(self->fd);
	while (memory_kib("MemFree:") < self->free_kib - DATA_KIB / 2 && now_ns() < end)
		sleep_ms(10);
	EXPECT_GE(memory_kib("MemFree:"), self->free_kib - DATA_KIB / 2);
	EXPECT_TRUE(memory_is_quiet());
}

/* Every job ends, nothing new is taken, and the device is switched off. */
TEST_F(held, is_lost)
{
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, self->guilty));
	EXPECT_FALSE(writes_results(self->stuck.data.map, 500));
	EXPECT_EQ(DRM_XRNPE_CANCEL_LOST, reason_of(self->fd, self->same));
	EXPECT_EQ(DRM_XRNPE_CANCEL_LOST, reason_of(self->fd, self->other));
	EXPECT_EQ(DRM_XRNPE_CANCEL_LOST, reason_of(self->fd, self->waiting));
	EXPECT_EQ(-ENODEV, syncobj_status(self->fd, self->syncobj));
	expect_failed(_metadata, self->fd, &self->apart);
	open_gate(&self->gate);
	EXPECT_TRUE(status_becomes(DEVICE, "suspended"));
}

/* ---- what becomes of the device ---- */

FIXTURE(lost) {};
FIXTURE_SETUP(lost) {}

FIXTURE_TEARDOWN(lost)
{
	EXPECT_EQ(-1, open_npu());
	EXPECT_TRUE(memory_is_quiet());
}

TEST_F(lost, unbind)
{
	struct drm_xrnpe_bo_create create = { .size = 4096 };
	int fd = open_npu();

	ASSERT_GE(fd, 0);
	EXPECT_EQ(-ENODEV, call(fd, DRM_IOCTL_XRNPE_BO_CREATE, &create));
	close(fd);
	EXPECT_EQ(0, bind_device(DEVICE, "unbind"));
}

/* It is still of no use, which is no complaint. */
TEST_F(lost, bind_again)
{
	for (int i = 0; i < 2; i++)
		EXPECT_EQ(-EIO, bind_device(DEVICE, "bind"));
}

TEST_F(lost, unload)
{
	EXPECT_EQ(0, reload_module(""));
	EXPECT_EQ(0, unload_module_soon());
}

TEST_HARNESS_MAIN

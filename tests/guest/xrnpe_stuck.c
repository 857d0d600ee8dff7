// SPDX-License-Identifier: MIT
/*
 * A device that cannot be stopped: what it may still write is never given to
 * anybody else. Needs QEMU's -device xrnpe,x-fault-stuck=on. Only a reset of the machine
 * helps such a device, so that the tests are one story, told in the order in which
 * they stand here. Its beginning is the value of XRNPE_STUCK: a job's time
 * limit (timeout), or the device is unbound (unbind). Needs root.
 */
#include "xrnpe_failed.h"
#include "xrnpe_module.h"
#include "xrnpe_sync.h"

#define STATUS "/sys/bus/platform/devices/" DEVICE "/power/runtime_status"

static bool begins_with(const char *name)
{
	return !strcmp(getenv("XRNPE_STUCK") ?: "timeout", name);
}

/* Data of another's memory, if there is such memory. */
static int import_data(int fd, struct work *work)
{
	int64_t handle = import_contiguous(fd, work->data.size, O_RDWR);

	if (handle < 0)
		return handle;
	free_bo(fd, &work->data);
	work->data.handle = handle;
	work->data.map = map_bo(fd, handle, work->data.size);
	return work->data.map ? 0 : -ENOMEM;
}

/* ---- what becomes of its jobs ---- */

FIXTURE(stuck)
{
	int fd;
	struct work stuck, behind, apart;
	struct gate gate;
	int64_t guilty, same, other, waiting;
	uint32_t fence;		/* a syncobj, with that of the last */
	struct drm_prime_handle export;
};

/* One job that is stuck, one behind it, one on another queue, one not begun. */
FIXTURE_SETUP(stuck)
{
	struct drm_xrnpe_sync syncs[2] = { { .flags = DRM_XRNPE_SYNC_SIGNAL } };

	self->fd = open_npu();
	ASSERT_GE(self->fd, 0) TH_LOG("no xrnpe node");
	ASSERT_EQ(0, make_long(self->fd, 8192, 16384, &self->stuck));
	ASSERT_EQ(0, make_work(self->fd, &self->behind));
	ASSERT_EQ(0, make_work(self->fd, &self->apart));
	ASSERT_EQ(0, make_gate(self->fd, &self->gate));
	if (begins_with("unbind"))
		ASSERT_EQ(0, import_data(self->fd, &self->stuck));
	self->export.handle = self->stuck.data.handle;
	self->export.flags = DRM_CLOEXEC | DRM_RDWR;
	ASSERT_EQ(0, call(self->fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &self->export));

	self->fence = make_syncobj(self->fd);
	syncs[0].handle = self->fence;
	syncs[1] = wait_gate(&self->gate);
	self->guilty = submit(self->fd, 1, &self->stuck);
	ASSERT_LT(0, self->guilty);
	ASSERT_TRUE(writes_results(self->stuck.data.map, 10000));
	self->same = submit(self->fd, 1, &self->behind);
	self->other = submit(self->fd, 2, &self->apart);
	self->waiting = submit_syncs(self->fd, 0, &self->apart, syncs, 2);
}

/* The handles go, the file, the dma-buf, its mapping; the memory stays. */
FIXTURE_TEARDOWN(stuck)
{
	const size_t size = self->stuck.data.size;
	uint8_t *map;

	EXPECT_TRUE(writes_results(self->stuck.data.map, 10000));
	free_work(self->fd, &self->stuck);
	free_work(self->fd, &self->behind);
	free_work(self->fd, &self->apart);
	close(self->fd);
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, self->export.fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	close(self->export.fd);
	EXPECT_TRUE(memory_is_quiet());
	EXPECT_TRUE(writes_results(map, 10000));
	munmap(map, size);
	EXPECT_TRUE(memory_is_quiet());
}

/* Every job ends, nothing new is taken, and what there is can be looked at. */
static void time_out(struct __test_metadata *_metadata, FIXTURE_DATA(stuck) *self)
{
	struct drm_xrnpe_bo_mmap_offset offset = { .handle = self->stuck.data.handle };
	struct drm_xrnpe_job_wait end;

	ASSERT_EQ(0, wait_job(self->fd, self->guilty, in_ms(60000), &end));
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, end.state);
	EXPECT_EQ(DRM_XRNPE_JOB_CANCELLED, state_of(self->fd, self->same));
	EXPECT_EQ(DRM_XRNPE_JOB_CANCELLED, state_of(self->fd, self->other));
	EXPECT_EQ(DRM_XRNPE_CANCEL_LOST, reason_of(self->fd, self->waiting));
	EXPECT_EQ(-ENODEV, syncobj_status(self->fd, self->fence));
	expect_failed(_metadata, self->fd, &self->apart);
	EXPECT_EQ(-ENODEV, submit(self->fd, 1, &self->stuck));
	EXPECT_EQ(0, call(self->fd, DRM_IOCTL_XRNPE_BO_MMAP_OFFSET, &offset));
	EXPECT_EQ(0, sync_bo(self->fd, &self->apart.data, DRM_XRNPE_BO_SYNC_FOR_CPU));
	open_gate(&self->gate);
	/* Without clocks it would only pause. */
	sleep_ms(500);
	EXPECT_EQ(0, strncmp("active", read_file(STATUS), 6));
}

static void unbind(struct __test_metadata *_metadata, FIXTURE_DATA(stuck) *self)
{
	struct drm_xrnpe_job_wait end;

	EXPECT_EQ(0, write_file(DRIVER "unbind", DEVICE));
	open_gate(&self->gate);
	EXPECT_EQ(-ENODEV, submit(self->fd, 0, &self->apart));
	EXPECT_EQ(-ENODEV, wait_job(self->fd, self->guilty, 0, &end));
}

TEST_F(stuck, is_noticed)
{
	if (begins_with("unbind"))
		unbind(_metadata, self);
	else
		time_out(_metadata, self);
}

/* ---- what becomes of the device ---- */

FIXTURE(lost) {};
FIXTURE_SETUP(lost) {}

/* What it may write is still nobody's. */
FIXTURE_TEARDOWN(lost)
{
	EXPECT_EQ(-1, open_npu());
	EXPECT_TRUE(memory_is_quiet());
}

TEST_F(lost, unbind)
{
	struct drm_xrnpe_bo_create create = { .size = 4096 };
	int fd = open_npu();

	if (begins_with("timeout")) {
		ASSERT_GE(fd, 0);
		EXPECT_EQ(-ENODEV, call(fd, DRM_IOCTL_XRNPE_BO_CREATE, &create));
		close(fd);
		EXPECT_EQ(0, write_file(DRIVER "unbind", DEVICE));
	}
}

TEST_F(lost, bind_again)
{
	for (int i = 0; i < 2; i++)
		EXPECT_EQ(-ETIMEDOUT, write_file(DRIVER "bind", DEVICE));
}

/* What is kept for ever does not need the module. */
TEST_F(lost, unload)
{
	EXPECT_EQ(0, syscall(SYS_delete_module, "xrnpe", O_NONBLOCK));
}

TEST_HARNESS_MAIN

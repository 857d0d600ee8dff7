// SPDX-License-Identifier: MIT
/*
 * A device that its reset register does not stop, once, but its reset line does: it goes
 * on. Needs tools/vm --reset-line, and QEMU's -device xrnpe,x-fault-ignore-abort=on,
 * x-fault-reset=3: the driver resets it when it is probed, when it wakes up, and then
 * for a job that does not end. Needs root.
 */
#include "xrnpe_module.h"
#include "xrnpe_sync.h"
#include "xrnpe_work.h"

#define BEHIND 5

FIXTURE(line)
{
	int fd, other;
	struct work endless, work, apart, neighbour;
};

FIXTURE_SETUP(line)
{
	char device[NAME_MAX + 1];

	find_device(device, sizeof(device));
	ASSERT_TRUE(status_becomes(device, "suspended"));
	self->fd = open_npu();
	self->other = open_npu();
	ASSERT_GE(self->fd, 0) TH_LOG("no xrnpe node");
	ASSERT_GE(self->other, 0);
	ASSERT_EQ(0, make_endless(self->fd, &self->endless));
	/* Each queue's its own: else they would wait for each other. */
	ASSERT_EQ(0, make_work(self->fd, &self->work));
	ASSERT_EQ(0, make_work(self->fd, &self->apart));
	ASSERT_EQ(0, make_work(self->other, &self->neighbour));
}

/* The device works, and obeys its register again. */
FIXTURE_TEARDOWN(line)
{
	const int64_t resets = resets_of(self->fd);

	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, run_work(self->fd, 1, &self->endless));
	EXPECT_EQ(resets + 1, resets_of(self->fd));
	for (uint32_t q = 0; q < 4; q++) {
		clear_result(&self->work);
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, q, &self->work));
		EXPECT_TRUE(result_is_right(&self->work));
	}
	close(self->other);
	close(self->fd);
}

/* Those that had not begun run, on the guilty job's queue, another, and another's. */
TEST_F(line, helps)
{
	const int64_t resets = resets_of(self->fd);
	int64_t guilty, same[BEHIND], other[BEHIND], neighbour[BEHIND];

	mark_result(self->endless.data.map);
	guilty = submit(self->fd, 1, &self->endless);
	ASSERT_LT(0, guilty);
	ASSERT_TRUE(result_comes(self->endless.data.map, 10000));
	for (int i = 0; i < BEHIND; i++) {
		same[i] = submit(self->fd, 1, &self->work);
		other[i] = submit(self->fd, 2, &self->apart);
		neighbour[i] = submit(self->other, 2, &self->neighbour);
	}
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, guilty));
	for (int i = 0; i < BEHIND; i++) {
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, same[i]));
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, other[i]));
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->other, neighbour[i]));
	}
	EXPECT_EQ(resets + 1, resets_of(self->fd));
	EXPECT_TRUE(result_is_right(&self->work));
	EXPECT_TRUE(result_is_right(&self->apart));
	EXPECT_TRUE(result_is_right(&self->neighbour));
}

TEST_HARNESS_MAIN

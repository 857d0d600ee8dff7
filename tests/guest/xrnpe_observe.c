// SPDX-License-Identifier: MIT
/*
 * What the kernel tells of the device and of who uses it: fdinfo, debugfs, tracepoints.
 * Needs root.
 */
#include "xrnpe_job.h"
#include "xrnpe_module.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#define TRACING "/sys/kernel/tracing/"

TEST_F(job, fdinfo)
{
	struct drm_xrnpe_job_wait end;
	int64_t job, before, between = 0;
	struct work endless;
	struct bo bo;
	int ret;

	EXPECT_LT(0, fdinfo(self->fd, "drm-client-id:"));
	EXPECT_EQ(0, fdinfo(self->fd, "drm-engine-npu:"));

	ASSERT_EQ(0, make_endless(self->fd, &endless));
	job = submit(self->fd, 0, &endless);
	/* While it executes. */
	do {
		before = between;
		between = fdinfo(self->fd, "drm-engine-npu:");
		EXPECT_LE(before, between);
		ret = wait_job(self->fd, job, in_ms(10), &end);
	} while (ret == -ETIME && between < 100 * 1000000);
	EXPECT_LE(100 * 1000000, between);
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, job));
	EXPECT_LE(between, fdinfo(self->fd, "drm-engine-npu:"));
	EXPECT_LE(self->info.job_timeout_ms * 1000000ll, fdinfo(self->fd, "drm-engine-npu:"));

	before = fdinfo(self->fd, "drm-total-memory:");
	EXPECT_LT(0, before);
	ASSERT_EQ(0, make_bo(self->fd, 1 << 20, 0, &bo));
	EXPECT_EQ(before + 1024, fdinfo(self->fd, "drm-total-memory:"));
	EXPECT_EQ(before + 1024, fdinfo(self->fd, "drm-resident-memory:"));
	free_bo(self->fd, &bo);
	EXPECT_EQ(before, fdinfo(self->fd, "drm-total-memory:"));
}

/* The sum of what the records say. */
TEST_F(job, fdinfo_is_exact)
{
	struct xrnpe_job_record record;
	struct drm_xrnpe_job_wait end;
	uint64_t cycles = 0;
	double ns = 0;

	for (int i = 0; i < 50; i++) {
		ASSERT_EQ(0, wait_record(self->fd, submit(self->fd, i % 4, &self->work), &end,
					 &record));
		ns += record.executed * 1e6 / self->info.timer_khz;
		cycles += record.counters.cycles;
	}
	EXPECT_EQ(cycles, fdinfo(self->fd, "drm-cycles-npu:"));
	EXPECT_EQ(self->info.clock_khz, fdinfo(self->fd, "drm-maxfreq-npu:"));
	EXPECT_LT(ns - 50, fdinfo(self->fd, "drm-engine-npu:"));
	EXPECT_GT(ns + 50, fdinfo(self->fd, "drm-engine-npu:"));
}

/* A file that submits jobs now and then; what their records say. */
struct user {
	int fd;
	struct work work;
	double ns;
};

static int add_record(struct user *user, int64_t job, const struct drm_xrnpe_dev_info *info)
{
	struct xrnpe_job_record record;
	struct drm_xrnpe_job_wait end;
	int ret = wait_record(user->fd, job, &end, &record);

	if (ret)
		return ret;
	user->ns += record.executed * 1e6 / info->timer_khz;
	return end.state;
}

/* Who has to wait for another's long command is not charged for it, and the other is. */
TEST_F(job, fdinfo_beside_others)
{
	struct user urgent = { .fd = open_npu() }, hog = { .fd = open_npu() };
	int64_t jobs[8];

	ASSERT_EQ(0, make_work(urgent.fd, &urgent.work));
	ASSERT_EQ(0, make_long(hog.fd, 1, 8192, &hog.work));
	for (int i = 0; i < 8; i++)
		jobs[i] = submit(hog.fd, 1, &hog.work);
	for (int i = 0; i < 20; i++)
		EXPECT_EQ(DRM_XRNPE_JOB_DONE,
			  add_record(&urgent, submit(urgent.fd, 0, &urgent.work), &self->info));
	for (int i = 0; i < 8; i++)
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, add_record(&hog, jobs[i], &self->info));
	EXPECT_LT(urgent.ns, hog.ns);
	EXPECT_LT(urgent.ns - 50, fdinfo(urgent.fd, "drm-engine-npu:"));
	EXPECT_GT(urgent.ns + 50, fdinfo(urgent.fd, "drm-engine-npu:"));
	EXPECT_LT(hog.ns - 50, fdinfo(hog.fd, "drm-engine-npu:"));
	EXPECT_GT(hog.ns + 50, fdinfo(hog.fd, "drm-engine-npu:"));
	close(urgent.fd);
	close(hog.fd);
}

/* Of an accel node debugfs has a directory by the device, of others by the number. */
static const char *read_debugfs(const char *device, int fd, const char *name)
{
	struct stat st;
	char path[512];

	snprintf(path, sizeof(path), "/sys/kernel/debug/accel/%s/%s", device, name);
	if (access(path, F_OK) && !fstat(fd, &st))
		snprintf(path, sizeof(path), "/sys/kernel/debug/dri/%u/%s", minor(st.st_rdev), name);
	return read_file(path);
}

TEST_F(job, debugfs)
{
	const struct drm_xrnpe_bo_set_label label = {
		.handle = self->work.data.handle, .label = (uintptr_t)"weights\n\033[2J\"\\n",
	};
	unsigned int tail, head, state;
	const char *text, *ring;
	char device[256];
	struct work endless;
	int64_t job;

	find_device(device, sizeof(device));
	EXPECT_EQ(0, call(self->fd, DRM_IOCTL_XRNPE_BO_SET_LABEL, (void *)&label));
	text = read_debugfs(device, self->fd, "buffers");
	EXPECT_NE(NULL, strstr(text, "size 0x10000 client "))
		TH_LOG("%s", text);
	/* It does not steer the reader's terminal, and reads as nothing but what it is. */
	EXPECT_NE(NULL, strstr(text, "\"weights\\n\\e[2J\\\"\\\\n\"\n"))
		TH_LOG("%s", text);

	ASSERT_EQ(0, make_endless(self->fd, &endless));
	mark_result(endless.data.map);
	job = submit(self->fd, 2, &endless);
	ASSERT_LT(0, job);
	ASSERT_TRUE(result_comes(endless.data.map, 10000));
	text = read_debugfs(device, self->fd, "rings");
	EXPECT_EQ(0, strncmp(text, "on, 1 jobs", 10))
		TH_LOG("%s", text);
	/* Others may have used the ring before. */
	ring = strstr(text, "ring2: tail ");
	ASSERT_NE(NULL, ring)
		TH_LOG("%s", text);
	EXPECT_EQ(3, sscanf(ring, "ring2: tail %u head %u state %u\n  client ", &tail, &head, &state));
	EXPECT_EQ(head + 1, tail)
		TH_LOG("%s", text);
	EXPECT_EQ(2, state);
	EXPECT_NE(NULL, strstr(text, "region 0: 0x"));
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, state_of(self->fd, job));
	EXPECT_TRUE(status_becomes(device, "suspended"));
	EXPECT_EQ(0, strncmp(read_debugfs(device, self->fd, "rings"), "off, 0 jobs", 11));
}

TEST_F(job, tracepoints)
{
	const char *trace;
	struct xrnpe_cmd bad = matmul_cmd();

	if (write_file(TRACING "events/xrnpe/enable", "1"))
		SKIP(return, "this kernel has no tracefs");
	write_file(TRACING "trace", "");
	bad.opcode = 99;
	set_cmd(&self->work, 0, bad);
	EXPECT_EQ(DRM_XRNPE_JOB_FAULT, run_work(self->fd, 2, &self->work));
	write_file(TRACING "events/xrnpe/enable", "0");
	trace = read_file(TRACING "trace");
	EXPECT_NE(NULL, strstr(trace, "xrnpe_job_submit: client="));
	EXPECT_NE(NULL, strstr(trace, "queue=1 job=1 ring=2 cmds=1 regions=1"));
	EXPECT_NE(NULL, strstr(trace, "xrnpe_job_run: client="));
	EXPECT_NE(NULL, strstr(trace, "queue=1 job=1 kind=1 cmd=0 operand=0xff"));
	EXPECT_NE(NULL, strstr(trace, "state=fault")) TH_LOG("%s", trace);
}

TEST_HARNESS_MAIN

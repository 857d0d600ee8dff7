// SPDX-License-Identifier: MIT
/*
 * Dumps of a job that took too long, and that `xrnpe disasm` reads them. Whether the device
 * aborts it or must be reset (QEMU's -device xrnpe,x-fault-ignore-abort=on) is all the same.
 * Needs root and the command line.
 */
#include "xrnpe_module.h"
#include "xrnpe_work.h"

#include <glob.h>

#define DUMPS "/sys/class/devcoredump/devcd*/data"

/* The dump's path within @ms, or "". */
static void find_dump(char *path, size_t size, int ms)
{
	path[0] = '\0';
	for (; !path[0] && ms > 0; ms -= 10) {
		glob_t found;

		if (!glob(DUMPS, 0, NULL, &found))
			snprintf(path, size, "%s", found.gl_pathv[0]);
		globfree(&found);
		sleep_ms(10);
	}
}

static void forget_dumps(void)
{
	char path[256];

	for (find_dump(path, sizeof(path), 10); path[0]; find_dump(path, sizeof(path), 10))
		write_file(path, "1");
}

/* Whether these bytes are in the text, 32 a line. */
static bool has_bytes(const char *text, const uint8_t *bytes, size_t size)
{
	char *want = malloc(2 * size + size / 32 * 3 + 4), *at = want;
	bool has;

	for (size_t i = 0; i < size; i++)
		at += sprintf(at, "%s%02x", i % 32 ? "" : i ? "\n  " : "  ", bytes[i]);
	has = strstr(text, want);
	free(want);
	return has;
}

FIXTURE(dump)
{
	int fd;
	struct work work;
};

FIXTURE_SETUP(dump)
{
	self->fd = open_npu();
	ASSERT_GE(self->fd, 0) TH_LOG("no xrnpe node");
	ASSERT_EQ(0, make_work(self->fd, &self->work));
	forget_dumps();
}

FIXTURE_TEARDOWN(dump)
{
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, run_work(self->fd, 1, &self->work));
	close(self->fd);
	forget_dumps();
}

/* The dump of a job that took too long, whose file is left open. */
static void time_out(struct __test_metadata *_metadata, FIXTURE_DATA(dump) *self, char *path,
		     size_t size)
{
	struct work endless;

	ASSERT_EQ(0, make_endless(self->fd, &endless));
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, run_work(self->fd, 2, &endless));
	find_dump(path, size, 10000);
	ASSERT_STRNE("", path);
	free_work(self->fd, &endless);
}

TEST_F(dump, of_a_job_that_takes_too_long)
{
	char path[256], culprit[128], command[512];
	struct xrnpe_job_record record;
	struct drm_xrnpe_job_wait end;
	struct work endless;
	int64_t first, behind;
	char *text;

	ASSERT_EQ(0, make_endless(self->fd, &endless));
	first = submit(self->fd, 2, &endless);
	behind = submit(self->fd, 2, &self->work);
	ASSERT_EQ(0, wait_record(self->fd, first, &end, &record));
	EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, end.state);
	find_dump(path, sizeof(path), 10000);
	ASSERT_STRNE("", path);

	text = strdup(read_file(path));
	EXPECT_EQ(text, strstr(text, "XR-NPE dump 1\nthe job took too long\ndevice c000000.npu, "));
	EXPECT_NE(NULL, strstr(text, "\n  QUEUE_STATE(2) 0x2\n"));
	snprintf(culprit, sizeof(culprit), "\nculprit:\n  client %lld queue %lld job %lld: ",
		 (long long)fdinfo(self->fd, "drm-client-id:"), (long long)(first >> JOB_BITS),
		 (long long)job_number(first));
	EXPECT_NE(NULL, strstr(text, culprit));
	/* It is among those that were in the ring then, as is the one behind it. */
	snprintf(culprit, sizeof(culprit), "queue %lld job %lld: ", (long long)(behind >> JOB_BITS),
		 (long long)job_number(behind));
	EXPECT_NE(NULL, strstr(text, culprit));
	EXPECT_TRUE(has_bytes(strstr(text, "\nrecord:\n"), (uint8_t *)&record, sizeof(record)));
	EXPECT_TRUE(has_bytes(strstr(text, "\ncommands: "), endless.cmd.map,
			      endless.cmds * endless.stride));

	snprintf(command, sizeof(command), "xrnpe disasm %s > /tmp/dump", path);
	EXPECT_EQ(0, system(command));
	free(text);
	text = strdup(read_file("/tmp/dump"));
	snprintf(culprit, sizeof(culprit), "\nfault     command %u: stopped for exceeding the time limit\n",
		 record.fault.cmd);
	EXPECT_NE(NULL, strstr(text, record.seqno ? culprit : "\nrecord: none\n"));
	EXPECT_NE(NULL, strstr(text, "\n   127  matmul    p8 x p8 -> p8  "));
	EXPECT_EQ(NULL, strstr(text, "^"));
	free(text);
	EXPECT_EQ(DRM_XRNPE_JOB_DONE, state_of(self->fd, behind));
}

/* One is enough until somebody has looked at it. */
TEST_F(dump, kept_until_it_is_read)
{
	char path[256], again[256], *text;

	time_out(_metadata, self, path, sizeof(path));
	text = strdup(read_file(path));
	time_out(_metadata, self, again, sizeof(again));
	EXPECT_STREQ(path, again);
	EXPECT_STREQ(text, read_file(path));
	free(text);
	forget_dumps();
	find_dump(path, sizeof(path), 100);
	EXPECT_STREQ("", path);
	time_out(_metadata, self, path, sizeof(path));
}

/* It does not keep the driver. */
TEST_F(dump, of_a_driver_that_is_gone)
{
	char path[256];

	time_out(_metadata, self, path, sizeof(path));
	free_work(self->fd, &self->work);
	close(self->fd);
	EXPECT_EQ(0, unload_module_soon());
	EXPECT_NE(NULL, strstr(read_file(path), "\ncommands: "));
	EXPECT_EQ(0, load_module(""));
	self->fd = open_npu();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, make_work(self->fd, &self->work));
}

/* A job's own mistake is told to who made it, and to nobody else. */
TEST_F(dump, not_of_a_fault)
{
	char path[256];

	set_cmd(&self->work, 0, (struct xrnpe_cmd){});
	EXPECT_EQ(DRM_XRNPE_JOB_FAULT, run_work(self->fd, 1, &self->work));
	find_dump(path, sizeof(path), 500);
	EXPECT_STREQ("", path);
	set_cmd(&self->work, 0, matmul_cmd());
}

TEST_HARNESS_MAIN

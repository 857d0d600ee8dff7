// SPDX-License-Identifier: MIT
/*
 * Limits: of time, as far as it depends on the device, and of memory. Needs root.
 */
#include "xrnpe_limit.h"

/* ---- time limits ---- */

/*
 * A job that ends just when its time is up ends well or by the limit, and nothing of
 * that falls on the one behind it.
 */
TEST_F(job, time_is_up)
{
	const unsigned int limit = 100, most = 8192, m = 64;
	unsigned int done = 0, timeouts = 0;
	struct xrnpe_job_record record;
	struct drm_xrnpe_job_wait end;
	struct work edge, behind;

	begin_with(_metadata, self, "job_timeout_ms=100");
	ASSERT_EQ(0, make_work(self->fd, &behind));
	ASSERT_EQ(0, make_long(self->fd, most, m, &edge));

	/* Too long, or soon so; then a little shorter than one that was, or longer. */
	edge.cmds = 512;
	for (int i = 0; i < 200 && (done < 30 || timeouts < 30); i++) {
		int64_t first, second;

		clear_result(&behind);
		first = submit(self->fd, 1, &edge);
		second = submit(self->fd, 1, &behind);
		ASSERT_EQ(0, wait_record(self->fd, first, &end, &record));
		if (end.state == DRM_XRNPE_JOB_TIMEOUT) {
			timeouts++;
			EXPECT_EQ(XRNPE_FAULT_ABORTED, record.fault.kind);
			EXPECT_LE((uint64_t)limit * self->info.timer_khz, record.executed);
			edge.cmds -= edge.cmds / 16;
		} else {
			done++;
			EXPECT_EQ(DRM_XRNPE_JOB_DONE, end.state);
			EXPECT_EQ(edge.cmds, record.counters.commands);
			if (edge.cmds + edge.cmds / 12 <= most)
				edge.cmds += edge.cmds / 12;
		}
		ASSERT_EQ(0, wait_record(self->fd, second, &end, &record));
		/* On a host that has no time for it, its own may be up. */
		if (end.state == DRM_XRNPE_JOB_TIMEOUT) {
			EXPECT_LE((uint64_t)limit * self->info.timer_khz, record.executed);
			continue;
		}
		EXPECT_EQ(DRM_XRNPE_JOB_DONE, end.state);
		EXPECT_TRUE(result_is_right(&behind));
	}
	EXPECT_LE(5, done);
	EXPECT_LE(5, timeouts);
	TH_LOG("%u done, %u timeouts, %u commands last", done, timeouts, edge.cmds);

	unmap_work(&behind);
	unmap_work(&edge);
	end_with(_metadata, self);
}

/* Pooling of 255 x 255 pixels, of which a command may have a million. */
static struct xrnpe_cmd pooling_cmd(uint8_t format, uint32_t out)
{
	return (struct xrnpe_cmd){
		.opcode = XRNPE_OP_MAXPOOL,
		.operand = {
			[XRNPE_OPERAND_IFM] = { .format = format },
			[XRNPE_OPERAND_OFM] = {
				.offset = 4096, .row_stride = 2 * out, .pixel_stride = 2, .format = format,
			},
		},
		.image = {
			.in_h = out + 254, .in_w = out + 254, .in_c = 1, .out_h = out, .out_w = out,
			.out_c = 1, .groups = 1, .kernel_h = 255, .kernel_w = 255, .stride_h = 1,
			.stride_w = 1, .dilation_h = 1, .dilation_w = 1,
		},
	};
}

/* The longest commands that there may be are given up in time, and longer ones refused. */
TEST_F(job, longest_commands)
{
	static const uint8_t formats[] = {
		XRNPE_FORMAT_FP4, XRNPE_FORMAT_P4, XRNPE_FORMAT_P8, XRNPE_FORMAT_P16,
	};
	struct drm_xrnpe_job_wait end;
	struct work work;
	int64_t resets;

	begin_with(_metadata, self, "job_timeout_ms=500");
	resets = resets_of(self->fd);
	ASSERT_EQ(0, make_long(self->fd, 64, 1 << 22, &work));
	for (unsigned int f = 0; f < sizeof(formats); f++) {
		set_cmd(&work, 0, pooling_cmd(formats[f], 1029));
		ASSERT_EQ(0, wait_job(self->fd, submit(self->fd, 1, &work), in_ms(60000), &end));
		EXPECT_EQ(DRM_XRNPE_JOB_FAULT, end.state);
		EXPECT_EQ(XRNPE_FAULT_ILLEGAL_FIELD, end.fault.kind);
		for (unsigned int i = 0; i < work.cmds; i++)
			set_cmd(&work, i, pooling_cmd(formats[f], 1028));
		ASSERT_EQ(0, wait_job(self->fd, submit(self->fd, 1, &work), in_ms(60000), &end));
		EXPECT_EQ(DRM_XRNPE_JOB_TIMEOUT, end.state);
		EXPECT_EQ(XRNPE_FAULT_ABORTED, end.fault.kind);
	}
	EXPECT_EQ(resets, resets_of(self->fd));
	unmap_work(&work);
	end_with(_metadata, self);
}

/* ---- memory ---- */

/* Create buffers of @size until there are @bytes, or an error. */
static int take_memory(int fd, uint64_t size, uint64_t bytes)
{
	int ret = 0;

	for (; !ret && bytes >= size; bytes -= size) {
		struct drm_xrnpe_bo_create args = { .size = size };

		ret = call(fd, DRM_IOCTL_XRNPE_BO_CREATE, &args);
	}
	return ret;
}

/* Neither a file nor all of them together may have more than their share. */
TEST_F(job, memory_limits)
{
	const uint64_t mib = 1 << 20;
	int fds[3];

	begin_with(_metadata, self, "memory_mib=10 client_memory_mib=4");
	EXPECT_EQ(4 * mib, self->info.max_client_memory);
	for (int i = 0; i < 3; i++) {
		fds[i] = open_npu();
		ASSERT_LE(0, fds[i]);
	}
	/* Large ones and small ones. */
	EXPECT_EQ(-ENOMEM, take_memory(fds[0], 4 * mib + 1, 5 * mib));
	EXPECT_EQ(0, take_memory(fds[0], mib, 4 * mib));
	EXPECT_EQ(-ENOMEM, take_memory(fds[0], 4096, 4096));
	EXPECT_EQ(0, take_memory(fds[1], 4096, 4 * mib));
	EXPECT_EQ(-ENOMEM, take_memory(fds[1], mib, mib));
	EXPECT_EQ(0, take_memory(fds[2], mib, 2 * mib));
	EXPECT_EQ(-ENOMEM, take_memory(fds[2], 4096, 4096));
	/* What is given back may be taken again. */
	close(fds[0]);
	EXPECT_EQ(0, take_memory(fds[2], mib, 2 * mib));
	close(fds[1]);
	close(fds[2]);
	end_with(_metadata, self);
}

TEST_HARNESS_MAIN

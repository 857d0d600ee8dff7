/* SPDX-License-Identifier: MIT */
/* Jobs on a kernel of the datapath. */
#ifndef TEST_STREAM_KERNEL_H
#define TEST_STREAM_KERNEL_H

#include "streams/stream.h"

/**
 * Run a job, command by command.
 *
 * @memory: as before the job; changed to what it is after it
 *
 * Returns 0, -EFAULT, or -ECANCELED.
 */
int kernel_run(struct xrnpe_datapath *datapath, const struct stream *stream, uint8_t *memory,
	       struct outcome *outcome);

#endif

/* SPDX-License-Identifier: MIT */
/* Jobs on QEMU's device, driven over its qtest protocol; its memory is shared. */
#ifndef TEST_STREAM_DEVICE_H
#define TEST_STREAM_DEVICE_H

#include "streams/stream.h"

/** Start qemu-system-aarch64 at @path with the device. Returns false with a message. */
bool device_start(const char *path);

#define DEVICE_QUEUES 4

/** Queue a job, with memory of its own. Each queue takes one at a time. */
void device_submit(const struct stream *stream, unsigned int queue);

/**
 * Wait for a job's end. What the device says in the job record and on the status page must
 * be the same, or this fails.
 *
 * @memory: filled with what the job leaves of the stream's
 *
 * Returns false with a message if the device does not answer as it should.
 */
bool device_wait(const struct stream *stream, unsigned int queue, uint8_t *memory,
		 struct outcome *outcome);

void device_stop(void);

#endif

/* SPDX-License-Identifier: MIT */
/* Jobs on the library's emulator, as a session gives it them. */
#ifndef TEST_STREAM_EMULATOR_H
#define TEST_STREAM_EMULATOR_H

#include "streams/stream.h"

/** Returns false with a message. */
bool emulator_start(void);

/**
 * Run a job.
 *
 * @memory: filled with what the job leaves of the stream's
 *
 * Returns false with a message if the emulator fails.
 */
bool emulator_run(const struct stream *stream, uint8_t *memory, struct outcome *outcome);

void emulator_stop(void);

#endif

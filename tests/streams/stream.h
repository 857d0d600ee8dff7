/* SPDX-License-Identifier: MIT */
/*
 * Random jobs, and what the reference says that they do. A seed gives the same job
 * everywhere: some commands over regions that they share, most of them legal, so that what
 * one writes another reads; in half of the jobs something is wrong. Operands lie over each
 * other now and then: inputs of any command, and the last one's output over its inputs.
 */
#ifndef TEST_STREAM_H
#define TEST_STREAM_H

#include <stdio.h>

#include "datapath.h"

#define STREAM_CMDS 8
#define STREAM_REGIONS 6
/** Most bytes of memory. */
#define STREAM_MEMORY (1 << 20)

struct stream {
	uint64_t seed;
	unsigned int cmd_count, region_count;
	struct xrnpe_cmd cmds[STREAM_CMDS];
	struct xrnpe_extent regions[STREAM_REGIONS];
	size_t at[STREAM_REGIONS];	/**< of a region in memory, a multiple of 64 */
	size_t size;			/**< of memory, with bytes between and after the regions */
	uint8_t memory[STREAM_MEMORY];	/**< as it is before the job */
};

/** What a job leaves behind, but for its memory. */
struct outcome {
	uint32_t status;
	uint32_t open_status;		/**< bits of it that are unspecified */
	struct xrnpe_fault fault;	/**< all zero if it ended well */
	struct xrnpe_counters counters;	/**< of XRNPE_MACHINE_DEFAULT */
};

void stream_make(struct stream *stream, uint64_t seed);

/** One of the commands with some fields changed, which nobody should execute. */
void stream_change(const struct stream *stream, uint64_t *random, struct xrnpe_cmd *cmd);

/** What the reference says of a command in the job's regions; its index is 0. */
struct xrnpe_fault stream_check(const struct stream *stream, const struct xrnpe_cmd *cmd);

/**
 * By the slow reference.
 *
 * @memory: as before the job; changed to what it is after it
 */
void stream_predict(const struct stream *stream, uint8_t *memory, struct outcome *outcome);

/**
 * Set the bytes of @mask that stand for memory which a job leaves unspecified: the output of
 * the command whose fault came after its check, or of one that wrote over its own input, which
 * only the last does. What lies between an output's rows is not part of it.
 */
void stream_unspecified(const struct stream *stream, const struct outcome *outcome, uint8_t *mask);

/** Write regions and commands down, a line each that begins with "# ". */
void stream_describe(const struct stream *stream, FILE *file);

#endif

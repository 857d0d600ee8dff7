/* SPDX-License-Identifier: MIT */
/* Random legal commands and contents for them: for the fuzz targets and for streams. */
#ifndef TEST_FUZZ_COMMAND_H
#define TEST_FUZZ_COMMAND_H

#include <stddef.h>
#include <stdint.h>

#include "datapath.h"
#include "random.h"

/** Where choices come from: a fuzzer's bytes, or, without any, random numbers. */
struct source {
	const uint8_t *data;	/**< or NULL */
	size_t left;
	uint64_t state;
};

/** 0..@limit - 1; 0 when the bytes are used up. Of bytes, @limit is at most 65536. */
uint32_t take(struct source *source, uint32_t limit);

/**
 * A command of @opcode that is legal in large regions, but for windows of MAXPOOL that lie
 * outside the image: any shape, strides, alignment, formats, activation, flags. Regions
 * are 0 and offsets small.
 *
 * @work: about how many products and elements it may have
 */
void make_command(struct source *source, uint8_t opcode, uint32_t work, struct xrnpe_cmd *cmd);

/** The output of a legal command, which has one of elements: pixels of contiguous elements. */
struct shape {
	uint32_t matrices, rows, pixels, elements;
};
struct shape output_shape(const struct xrnpe_cmd *cmd);

/**
 * Fill the @size bytes that operand @i, an input, spans: with codes of some distribution,
 * or with scales, nearly all of which are legal.
 */
void fill_operand(struct source *source, const struct xrnpe_cmd *cmd, unsigned int i, uint8_t *memory,
		  size_t size, uint64_t *random);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Commands, faults and counters in words: the one vocabulary of the library's messages,
 * the disassembler and QEMU's trace. Names are those of xrnpe_cmd.h in lower case.
 *
 * All functions are pure. Texts are cut at @size, as by snprintf().
 */
#ifndef XRNPE_NAMES_H
#define XRNPE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "drm/xrnpe_cmd.h"

#ifdef __cplusplus
extern "C" {
#endif

/** "conv2d"; NULL if there is no such opcode. */
const char *xrnpe_opcode_name(uint32_t opcode);

/** "ifm2"; NULL if there is no such operand. */
const char *xrnpe_operand_name(uint32_t operand);

/** "out of bounds"; NULL if there is no such kind of fault. */
const char *xrnpe_fault_name(uint32_t kind);

/** Name of word @i of struct xrnpe_counters: "stall_cycles", "bytes ifm", "products p8 x fp4". */
void xrnpe_counter_name(unsigned int i, char *text, size_t size);

/** What the value of a field is. */
enum xrnpe_field_kind {
	XRNPE_FIELD_NUMBER,
	XRNPE_FIELD_HEX,	/**< an offset, or a code */
	XRNPE_FIELD_F32,
	XRNPE_FIELD_OPCODE,
	XRNPE_FIELD_ACTIVATION,
	XRNPE_FIELD_ORDER,
	XRNPE_FIELD_FLAGS,
	XRNPE_FIELD_FORMAT,
	XRNPE_FIELD_RESERVED,
};

/** A field of a command record. */
struct xrnpe_field {
	char name[24];		/**< as in xrnpe_cmd.h: "slope", "ifm.row_stride", "kernel_h" */
	size_t offset, size;	/**< bytes in the record */
	enum xrnpe_field_kind kind;
};

/**
 * Field @i, in the order of the record, of a command of @opcode (any number), which says
 * whose dimensions they are. Returns false if there are no more.
 */
bool xrnpe_cmd_field(uint32_t opcode, unsigned int i, struct xrnpe_field *field);

/** The field of a command of @opcode that byte @offset of the record lies in. */
bool xrnpe_cmd_field_at(uint32_t opcode, uint64_t offset, struct xrnpe_field *field);

/** The value of a field of @cmd; of a reserved one of several words, all of them or-ed. */
uint64_t xrnpe_field_value(const struct xrnpe_cmd *cmd, const struct xrnpe_field *field);

/** The value in words: "relu", "p8", "clamp residual", "0.1", "0x40", "3"; "not zero" of a reserved one. */
void xrnpe_field_text(const struct xrnpe_cmd *cmd, const struct xrnpe_field *field,
		      char *text, size_t size);

/** Enough for any xrnpe_cmd_text(). */
#define XRNPE_CMD_TEXT 640

/**
 * A command, legal or not, in a line:
 *
 *   conv2d    p8 x fp4 -> p16  6x5x4 -> 6x5x6 k3x3 p1,1 g2 relu ifm r1+0x40/512/32 ...
 *
 * Formats of the inputs and of the output; shapes, height x width x channels; kernel,
 * stride, dilation, padding above and on the left, groups; order of ifm's axes; what the
 * output stage does; operands as region + offset, then their row, pixel and batch strides.
 * What is as usual (stride 1, no padding, a stride of zero at the end) is left out.
 */
void xrnpe_cmd_text(const struct xrnpe_cmd *cmd, char *text, size_t size);

/**
 * A fault in words: "ofm outside region 1 (arena, 4096 bytes): offset 4000, size 128".
 *
 * @cmd: the command that it is about, or NULL if that is not known
 * @region: what to say of the region in brackets, or NULL
 */
void xrnpe_fault_text(const struct xrnpe_fault *fault, const struct xrnpe_cmd *cmd,
		      const char *region, char *text, size_t size);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The XR-NPE datapath: the arithmetic and the command semantics of the device,
 * bit for bit, in plain C. The QEMU device, libxrnpe's emulator and `xrnpe num`
 * all compute with it and with nothing else.
 *
 * It depends on libc and POSIX threads only. Formats, opcodes, records and
 * limits come from the command-stream ABI, xrnpe_cmd.h. Definitions of the
 * formats and of rounding: Documentation/numerics.rst.
 *
 * Codes travel as uint32_t in the low bits (binary32: the bit pattern). Packed
 * rows are as in memory: two 4-bit codes a byte, lower index in the low nibble;
 * 16- and 32-bit codes little-endian. A row starts on a byte.
 *
 * Thread rules: functions without a struct xrnpe_datapath argument are pure and
 * may be called from any thread. One struct xrnpe_datapath serves one caller at
 * a time; it brings its own worker threads.
 */
#ifndef XRNPE_DATAPATH_H
#define XRNPE_DATAPATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "drm/xrnpe_cmd.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- formats ---------------------------------------------------------- */

/** Bits of a code of @format: 4, 8, 16 or 32; 0 if there is no such format. */
unsigned int xrnpe_format_bits(enum xrnpe_format format);

/** Name of @format: "fp4", "p4", "p8", "p16", "f32", "u8", "s8"; NULL if none. */
const char *xrnpe_format_name(enum xrnpe_format format);

/** Format called @name. Returns 0, or -EINVAL. */
int xrnpe_format_from_name(const char *name, enum xrnpe_format *format);

/** Bytes of @count packed codes. The result fits for count < 2^60. */
size_t xrnpe_row_bytes(enum xrnpe_format format, size_t count);

/** The code of element @index of a packed row. */
uint32_t xrnpe_load(enum xrnpe_format format, const void *row, size_t index);

/** Set element @index of a packed row; its byte neighbour is kept. */
void xrnpe_store(enum xrnpe_format format, void *row, size_t index, uint32_t code);

/** Whether @code is NaR (binary32: a NaN). FP4 has none. */
bool xrnpe_is_nar(enum xrnpe_format format, uint32_t code);

/** Exact value of @code; NaN for NaR. Every format's values fit a double. */
double xrnpe_decode(enum xrnpe_format format, uint32_t code);

/**
 * Round a double to @format: one rounding, from the exact value of @value.
 * XRNPE_STATUS_INVALID is or-ed into *@status when a NaN meets FP4.
 */
uint32_t xrnpe_encode(enum xrnpe_format format, double value, uint32_t *status);

/** Round @count binary32 values to a packed row. @status as xrnpe_encode(). */
void xrnpe_encode_row(enum xrnpe_format format, const float *values,
		      void *row, size_t count, uint32_t *status);

/**
 * Exact values of a packed row; NaR gives the quiet NaN 0x7fc00000 (a binary32
 * NaN keeps its bits). All but binary32 itself are finite, so this never rounds.
 */
void xrnpe_decode_row(enum xrnpe_format format, const void *row,
		      float *values, size_t count);

/**
 * Exact dot product of two packed rows, one rounding: out(sum_k a_k * b_k).
 * @count is 0..XRNPE_MAX_K (0 gives +0). The formats of the rows are any two that
 * multiply, see XRNPE_PRODUCT_FORMATS.
 */
uint32_t xrnpe_dot(enum xrnpe_format a_format, const void *a, enum xrnpe_format b_format, const void *b,
		   size_t count, enum xrnpe_format out, uint32_t *status);

/* ---- commands --------------------------------------------------------- */

/** A region as the check sees it: what may be reached, not where it lies. */
struct xrnpe_extent {
	uint64_t size;		/**< bytes */
	uint32_t flags;		/**< XRNPE_REGION_READ, XRNPE_REGION_WRITE */
};

/** What a legal command touches of one operand; @size 0: has no such operand. */
struct xrnpe_span {
	uint64_t offset;	/**< first byte, from the region's base */
	uint64_t size;		/**< bytes to the last one touched, inclusive */
	uint8_t region;
	bool write;
};

/**
 * Check a command against the ABI and the job's regions before anything runs.
 *
 * @cmd: the record, already copied out of shared memory
 * @index: its index in the job, copied to the fault record
 * @extents: @extent_count regions, 0..XRNPE_MAX_REGIONS
 * @spans: out, by enum xrnpe_operand_index: memory that the command touches
 * @fault: out, when refused: kind and place, see struct xrnpe_fault
 *
 * Returns true if the command is legal. Scale and bias values live in memory
 * and are checked by xrnpe_datapath_run().
 */
bool xrnpe_cmd_check(const struct xrnpe_cmd *cmd, uint32_t index,
		     const struct xrnpe_extent *extents, unsigned int extent_count,
		     struct xrnpe_span spans[XRNPE_OPERANDS],
		     struct xrnpe_fault *fault);

/**
 * Products that a legal command sums, padding taps included: M*N*K of each matrix, and the
 * like for CONV2D; 0 for the opcodes that multiply nothing.
 */
uint64_t xrnpe_cmd_macs(const struct xrnpe_cmd *cmd);

/**
 * An execution context: worker threads, scratch memory, the kernels chosen. It holds at most
 * 24 MiB for each of its threads, whatever the commands.
 */
struct xrnpe_datapath;

/**
 * Make a context.
 *
 * @threads: that compute together, the caller's included; 0: one per CPU
 * @kernel: a name from xrnpe_datapath_kernels(), or NULL for the fastest that
 *	this CPU runs. All give the same bits.
 *
 * Returns NULL with errno: ENOMEM, EAGAIN (no threads), EINVAL (no such kernel),
 * ENOTSUP (this CPU cannot run it).
 */
struct xrnpe_datapath *xrnpe_datapath_new(unsigned int threads, const char *kernel);
void xrnpe_datapath_free(struct xrnpe_datapath *datapath);

/** Kernels that this CPU runs, slowest ("plain") first, NULL-terminated. */
const char *const *xrnpe_datapath_kernels(void);

/** Name of the kernel in use. */
const char *xrnpe_datapath_kernel(const struct xrnpe_datapath *datapath);

/** What TIMESTAMP writes, until set again: whoever runs a job counts its cycles. */
void xrnpe_datapath_set_cycles(struct xrnpe_datapath *datapath, uint64_t cycles);

/**
 * Run one legal command.
 *
 * @cmd: passed xrnpe_cmd_check()
 * @index: as there, for the fault record
 * @memory: by operand: host address of each span's first byte; any alignment.
 *	If the output overlaps an input, it is unspecified. Bytes between rows and
 *	pixels of the output keep their contents, except that the unused high nibble
 *	of an odd row of 4-bit codes is set to zero.
 * @cancel: if not NULL, another thread sets it to give up, and it stays set until this
 *	returns: which is within about 1 ms, as every thread looks at it so often,
 *	whatever the command
 * @status: XRNPE_STATUS_* are or-ed in
 * @fault: out, when the result is -EFAULT: XRNPE_FAULT_ILLEGAL_SCALE, found
 *	before any output is written
 *
 * Memory that changes meanwhile gives unspecified output but harms nothing else.
 *
 * Returns 0, -EFAULT, -ECANCELED (output partly written), or -ENOMEM.
 */
int xrnpe_datapath_run(struct xrnpe_datapath *datapath, const struct xrnpe_cmd *cmd,
		       uint32_t index, void *const memory[XRNPE_OPERANDS],
		       const volatile bool *cancel, uint32_t *status,
		       struct xrnpe_fault *fault);

/**
 * A command whose plan, scales, table and decoded weights are kept: for those that run often
 * while these do not change.
 */
struct xrnpe_prepared;

/**
 * Prepare a legal command.
 *
 * @cmd: passed xrnpe_cmd_check(); copied
 * @memory: as for xrnpe_datapath_run(); WEIGHT and SCALE are read, and must never change again
 * @most: bytes to keep at the most; where decoded weights need more, they are decoded each
 *	time the command runs
 *
 * Returns NULL if there is no memory, or a scale that is not allowed, or if @most is too little
 * for anything: then it can but be run as it is.
 */
struct xrnpe_prepared *xrnpe_datapath_prepare(const struct xrnpe_datapath *datapath, const struct xrnpe_cmd *cmd,
					      void *const memory[XRNPE_OPERANDS], size_t most);

/** Bytes that it keeps. */
size_t xrnpe_prepared_size(const struct xrnpe_prepared *prepared);
void xrnpe_prepared_free(struct xrnpe_prepared *prepared);

/**
 * xrnpe_datapath_run() of a prepared command, by any context of the same kernel and number of
 * threads; several may run it at once. @memory: WEIGHT and SCALE hold what they held.
 * Returns 0, -ECANCELED or -ENOMEM.
 */
int xrnpe_datapath_run_prepared(struct xrnpe_datapath *datapath, const struct xrnpe_prepared *prepared,
				void *const memory[XRNPE_OPERANDS], const volatile bool *cancel,
				uint32_t *status);

#ifdef __cplusplus
}
#endif

#endif

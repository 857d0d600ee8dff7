/* SPDX-License-Identifier: MIT */
/*
 * The arithmetic written down once more, straight from the definitions: slow,
 * obvious, and sharing no code with the datapath. Only the command records'
 * layout (xrnpe_cmd.h) and the description of a machine (cost.h) are common.
 *
 * A real number is a sign and an 896-bit integer in units of 2^-448. That holds all
 * that a command can produce before it rounds: products of three binary32 values are
 * multiples of 2^-447 below 2^384, sums times a scale and a slope less than that.
 */
#ifndef REFERENCE_H
#define REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cost.h"
#include "drm/xrnpe_cmd.h"

#define REF_LIMBS 14
#define REF_POINT 448

struct ref_real {
	bool nan, infinite, negative;
	uint64_t limb[REF_LIMBS];
};

/** The value of a code. FP4's and binary32's negative zeros keep their sign. */
struct ref_real ref_decode(enum xrnpe_format format, uint32_t code);

/** Any finite double that is a multiple of 2^-448 below 2^447. */
struct ref_real ref_from_double(double value);

struct ref_real ref_add(struct ref_real a, struct ref_real b);
struct ref_real ref_multiply(struct ref_real a, struct ref_real b);

/** Round; @invalid is set when a NaN meets FP4. */
uint32_t ref_encode(enum xrnpe_format format, struct ref_real value, bool *invalid);

/**
 * The tie point between magnitude codes @code and @code + 1 (sign bit clear):
 * midway for FP4 and binary32, the posit of one bit more for posits.
 */
struct ref_real ref_tie(enum xrnpe_format format, uint32_t code);

/** The largest magnitude code that rounding can give (binary32: infinity). */
uint32_t ref_top(enum xrnpe_format format);

/** Binary32 patterns @first..@last, all of which round to @code. */
struct ref_interval {
	uint32_t first, last, code;
	bool invalid;		/* NaNs that meet FP4 */
};

/** Room for the intervals of any format: two signs, infinities, NaNs. */
#define REF_INTERVALS ((1 << 16) + 4)

/**
 * All 2^32 patterns of binary32, in order, as intervals that round to one code of
 * @format (not binary32). Returns how many. Rounding is monotonic and changes at
 * tie points only, each of which is compared with binary32 values as an integer.
 */
size_t ref_intervals(enum xrnpe_format format, struct ref_interval *to);

/** Element of a packed row. */
uint32_t ref_load(enum xrnpe_format format, const void *row, size_t index);
void ref_store(enum xrnpe_format format, void *row, size_t index, uint32_t code);

/** A region as a job has it. */
struct ref_region {
	uint64_t size;
	uint32_t flags;		/* XRNPE_REGION_* */
};

/** Bits of a code. */
int ref_bits(uint8_t format);

/** Whether a legal command has an operand. */
bool ref_has(const struct xrnpe_cmd *cmd, int operand);

/**
 * Matrices, rows, pixels and elements of an operand that a command has, neither scales nor a
 * table, in the order of memory.
 */
void ref_axes(const struct xrnpe_cmd *cmd, int operand, uint64_t n[4]);

/** What is wrong with a command in its job's regions; @cmd is 0, the kind NONE if nothing is. */
struct xrnpe_fault ref_check(const struct xrnpe_cmd *cmd, const struct ref_region *regions,
			     unsigned int count);

/** Bytes from the first to the last that a legal command touches of an operand; 0: has none. */
uint64_t ref_span(const struct xrnpe_cmd *cmd, int operand);

/** Add what a legal command costs, by the formulas of Documentation/hardware.rst. */
void ref_cost(const struct xrnpe_machine *machine, const struct xrnpe_cmd *cmd,
	      struct xrnpe_counters *counters);

/** A legal command other than TIMESTAMP, output by output; @memory as for xrnpe_datapath_run(). */
void ref_run(const struct xrnpe_cmd *cmd, void *const memory[XRNPE_OPERANDS], bool *invalid);

#endif

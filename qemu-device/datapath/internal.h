/* SPDX-License-Identifier: MIT */
/*
 * Numbers and the parts of a command, for all of the datapath's files. Nothing here is
 * for its users. What the kernels share besides is in kernels/kernel.h.
 *
 * Grid: a format's values are integers in units of its smallest positive value
 * (FP4: 0.5; posits: minpos). A sum of products is an integer in units of that
 * squared, so integer arithmetic is exact. Documentation/numerics.rst has the
 * bounds.
 */
#ifndef XRNPE_DATAPATH_INTERNAL_H
#define XRNPE_DATAPATH_INTERNAL_H

#include "datapath.h"

__extension__ typedef __int128 xrnpe_i128;
__extension__ typedef unsigned __int128 xrnpe_u128;

/** The grid value of a NaR, where a table or function can meet one. */
#define XRNPE_GRID_NAR INT64_MIN

/** Exponent of the grid's unit: value = grid * 2^unit. Not for F32. */
int xrnpe_grid_unit(enum xrnpe_format format);

/** The grid value of @code, |grid| <= 2^56, or XRNPE_GRID_NAR. Not for F32. */
int64_t xrnpe_grid(enum xrnpe_format format, uint32_t code);

/** Whether a command of a known opcode has operand @i, with the flags it has. */
bool xrnpe_cmd_has_operand(const struct xrnpe_cmd *cmd, unsigned int i);

/** Whether a command is a product: it sums what it multiplies. */
static inline bool xrnpe_cmd_multiplies(const struct xrnpe_cmd *cmd)
{
	return cmd->opcode == XRNPE_OP_MATMUL || cmd->opcode == XRNPE_OP_CONV2D;
}

/** A tensor as its operand lays it out. */
struct xrnpe_layout {
	uint64_t matrices, rows, pixels, elements;	/**< each at least 1 */
};

/** That of operand @i, which is not SCALE; all fields are legal. */
struct xrnpe_layout xrnpe_cmd_layout(const struct xrnpe_cmd *cmd, unsigned int i);

/** Bytes from the first to the last that operand @i names; its shape is not empty. */
xrnpe_u128 xrnpe_cmd_bytes(const struct xrnpe_cmd *cmd, unsigned int i);

/** What XRNPE_MAX_WORK limits; dimensions are not zero. */
uint64_t xrnpe_cmd_work(const struct xrnpe_cmd *cmd);

/** The records of SCALE that a legal command has. */
struct xrnpe_scales_shape {
	uint64_t records;	/**< 0: none */
	size_t words;		/**< in a record: scale, bias, and a slope */
	uint32_t stride;	/**< bytes from one to the next */
};
struct xrnpe_scales_shape xrnpe_cmd_scales(const struct xrnpe_cmd *cmd);

/** What a real number is, as far as rounding needs to know it. */
enum xrnpe_kind { XRNPE_ZERO, XRNPE_FINITE, XRNPE_INFINITE, XRNPE_NAN };

/**
 * A real number cut to 64 bits: (-1)^negative * significand * 2^(exponent - 63)
 * with bit 63 of the significand set. Its bit 0 is also set when anything was
 * cut off, which is all that correct rounding to at most 62 bits must know.
 */
struct xrnpe_real {
	enum xrnpe_kind kind;
	bool negative;
	int exponent;
	uint64_t significand;
};

/** An exact term of a sum: (-1)^negative * magnitude * 2^exponent. */
struct xrnpe_term {
	bool negative;
	int exponent;
	xrnpe_u128 magnitude;
};

/** The exact term of a finite binary32. */
struct xrnpe_term xrnpe_term_from_f32(uint32_t bits);

#define XRNPE_F32_ONE 0x3f800000

/**
 * An exact number: an integer in two's complement, least word first, in units of
 * 2^XRNPE_EXACT_UNIT, or an infinity of a sign, or @nan whatever else is set. All zero is
 * zero. It holds the sum of a dot product times binary32, a binary32, and a product of
 * two more, times a binary32: multiples of 2^-447 below 2^386.
 */
#define XRNPE_EXACT_WORDS 14
#define XRNPE_EXACT_UNIT -448
struct xrnpe_exact {
	bool nan, infinite, negative;	/* @negative: of an infinity */
	uint64_t word[XRNPE_EXACT_WORDS];
};

/** Add @a * @factor. The magnitude of @factor is below 2^24, as that of a binary32 is. */
void xrnpe_exact_add(struct xrnpe_exact *sum, struct xrnpe_term a, struct xrnpe_term factor);

/** Add the value of @code times a finite binary32. An infinity is one of the sum, but NaN
 * times zero; there may be only one. */
void xrnpe_exact_add_code(struct xrnpe_exact *sum, enum xrnpe_format format, uint32_t code,
			  uint32_t factor);

/** Negative, zero or positive as @a is below, equal to or above @b. Neither is NaN. */
int xrnpe_exact_compare(const struct xrnpe_exact *a, const struct xrnpe_exact *b);

/** @a as rounding wants it. */
struct xrnpe_real xrnpe_exact_cut(const struct xrnpe_exact *a);

/** The activation of @x and the clamp that @cmd has, exactly, then cut. @slope: binary32,
 * of LEAKY and PRELU. */
struct xrnpe_real xrnpe_exact_output(const struct xrnpe_cmd *cmd, uint32_t slope, struct xrnpe_exact x);

/** The double @value as a real; always exact. */
struct xrnpe_real xrnpe_real_from_double(double value);

/** The one rounding. @status: XRNPE_STATUS_* are or-ed in. */
uint32_t xrnpe_round(enum xrnpe_format format, struct xrnpe_real real, uint32_t *status);

/**
 * The signed sum of products that wrapped modulo 2^128 to @sum. |sum| <= 2^127,
 * and 2^127 itself needs every product at its extreme and of one sign, hence
 * that of any of them: @negative.
 */
struct xrnpe_term xrnpe_term_from_sum(xrnpe_u128 sum, bool negative, int unit);

/** The bits of binary32 @index of a row, as xrnpe_load() but inline. */
static inline uint32_t xrnpe_word(const void *row, size_t index)
{
	const uint8_t *at = (const uint8_t *)row + index * 4;

	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/** Write @count codes as elements @first.. of a packed row. The high nibble after
 * a last 4-bit code in a low one is set to zero. */
void xrnpe_pack(enum xrnpe_format format, void *row, size_t first,
		const uint32_t *codes, size_t count);

#endif

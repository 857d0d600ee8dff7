/* SPDX-License-Identifier: MIT */
/*
 * What the kernels share: the implementations of the commands, and prepare.c, which
 * chooses among them.
 */
#ifndef XRNPE_DATAPATH_KERNEL_H
#define XRNPE_DATAPATH_KERNEL_H

#include <string.h>

#include "internal.h"

/* ---- rows of values: codec.c ------------------------------------------ */

/** What element-wise commands do to decoded rows: an opcode and its output stage. */
struct xrnpe_affine {
	uint8_t opcode, activation;
	float scale;
	float other;		/**< ADD, MAX, MIN: scale of the second row; MUL, CONVERT: the bias */
	const float *scales, *others;	/**< CONVERT: instead of these, one a value; or NULL */
	float slope, lo, hi;	/**< @lo and @hi are infinite without CLAMP */
	bool odd;		/**< see struct xrnpe_codec */
	/**
	 * Not to nearest, nor LEAKY: no exact result but zero is below the normal numbers of
	 * binary32 or beyond them; and whether a fused multiply-add of binary32 rounds but once,
	 * as those of CONVERT, MAX and MIN do, and of MUL if it is normal and products of values have
	 * 24 bits.
	 */
	bool normal, single;
};

/* Factors of struct xrnpe_fixed are in digits of so many bits, without sign. */
#define XRNPE_FIXED_DIGITS 3
#define XRNPE_FIXED_DIGIT 15

/* Products of grid values are below 2^24: the last so many bits of them are one factor. */
#define XRNPE_FIXED_SPLIT 14

/**
 * What element-wise commands do to grid values of up to 8 bits, in integers: the total of two
 * terms, each a value times a factor, between limits. Terms of ADD, MAX (which takes the larger
 * one) and MIN are inputs times their scales, of CONVERT an input times its scale and 1 times
 * the bias, and of MUL the two parts of a product times the scale. Factors are integers in
 * units of 2^@unit, digits of them the most significant first. Totals and limits are integers in
 * units of 2^-8, rounded down to even, but odd if they are not exactly that.
 */
struct xrnpe_fixed {
	uint8_t opcode;
	enum xrnpe_format out;
	int unit, digits;
	int shift;		/**< from the most significant digit's unit to that of totals */
	int32_t lo, hi;
	int16_t scale[XRNPE_FIXED_DIGITS], other[XRNPE_FIXED_DIGITS];
	bool each;		/**< instead of these, one a value: */
	const int16_t *scales[XRNPE_FIXED_DIGITS], *others[XRNPE_FIXED_DIGITS];
};

/** An implementation of xrnpe_encode_row() and xrnpe_decode_row(). All give the same bits. */
struct xrnpe_codec {
	const char *name;
	bool (*supported)(void);
	void (*encode)(enum xrnpe_format format, const float *values, void *row, size_t count,
		       uint32_t *status);
	void (*decode)(enum xrnpe_format format, const void *row, float *values, size_t count);
	/** @count codes of up to 8 bits to those of Posit(16,1) with the same values. */
	void (*widen)(enum xrnpe_format format, const void *row, void *codes, size_t count);
	/**
	 * @a = what @affine makes of @a and @b (NULL for CONVERT), rounded once to binary32:
	 * to nearest, or, if @affine says so, to odd, so that encode() to any smaller format
	 * gives what rounding the exact value would. All rows have room for a multiple of
	 * XRNPE_SUM_VALUES. False if LEAKY leaves a doubt about some value. NULL in the plain
	 * codec, with which all is exact instead.
	 */
	bool (*sum)(const struct xrnpe_affine *affine, float *a, const float *b, size_t count);
	/** Codes of up to 8 bits to grid values. True if any is NaR, of which some number is made. */
	bool (*grid)(enum xrnpe_format format, const void *row, int16_t *values, size_t count);
	/**
	 * What @fixed makes of grid values @a and @b, as codes, a byte each, which may begin where
	 * @a does. All rows have room for a multiple of XRNPE_SUM_VALUES. With grid(); both are
	 * NULL where doubles do it.
	 */
	void (*fixed)(const struct xrnpe_fixed *fixed, const int16_t *a, const int16_t *b, uint8_t *codes,
		      size_t count);
	/** The same of codes of Posit(8,0) to such, NaR of NaR: ADD and MUL. With fixed(). */
	void (*pairs)(const struct xrnpe_fixed *fixed, const uint8_t *a, const uint8_t *b, uint8_t *codes,
		      size_t count);
	/**
	 * MUL of codes of Posit(8,0) to such, NaR of NaR, without a bias and with a scale that is not zero,
	 * 2^-90 or more and below 2^90. Each @each codes of @a have one of @b. NULL where pairs() does it.
	 */
	void (*products)(const struct xrnpe_affine *affine, const uint8_t *a, const uint8_t *b, size_t each,
			 uint8_t *codes, size_t count);
	/**
	 * What @affine, which is normal, makes of codes of Posit(16,1) as codes of such, NaR of NaR. Each @each
	 * codes of @a have one of @b, which is NULL for CONVERT, with one scale. NULL where sum() does it.
	 */
	void (*words)(const struct xrnpe_affine *affine, const uint8_t *a, const uint8_t *b, size_t each,
		      uint8_t *codes, size_t count);
	/** Look up a byte, or two, for each of @count bytes. The table has 256 entries. */
	void (*map_bytes)(const uint8_t *table, const uint8_t *in, uint8_t *out, size_t count);
	void (*map_pairs)(const uint8_t *table, const uint8_t *in, uint8_t *out, size_t count);
	/** The same of @channels channels in turn, the first one first: tables of entries of @size bytes,
	 * 1 or 2, one after the other. */
	void (*map_channels)(const uint8_t *tables, size_t channels, size_t size, const uint8_t *in, uint8_t *out,
			     size_t count);
	/** Pack @lines lines of 3 codes of 4 bits that are a byte each. */
	void (*pack_threes)(const uint8_t *codes, uint8_t *out, size_t lines);
	/** Look up both codes of 4 bits of each of @size bytes; @table has 16 codes, a byte each. */
	void (*map_nibbles)(const uint8_t *table, const uint8_t *in, uint8_t *out, size_t size);
};

#define XRNPE_TABLE_CHANNELS 4	/**< at the most */

#define XRNPE_SUM_VALUES 64

/** Slowest ("plain") first, NULL-terminated: the last one that is supported is used. */
extern const struct xrnpe_codec *const xrnpe_codecs[];

/** That one. */
const struct xrnpe_codec *xrnpe_fastest_codec(void);

/** The one that a context uses. */
const struct xrnpe_codec *xrnpe_datapath_codec(const struct xrnpe_datapath *datapath);

/** Bytes of scratch memory that a context holds. */
size_t xrnpe_datapath_scratch(const struct xrnpe_datapath *datapath);

/** Its last five functions, for any CPU. */
void xrnpe_map_bytes(const uint8_t *table, const uint8_t *in, uint8_t *out, size_t count);
void xrnpe_map_pairs(const uint8_t *table, const uint8_t *in, uint8_t *out, size_t count);
void xrnpe_map_channels(const uint8_t *tables, size_t channels, size_t size, const uint8_t *in, uint8_t *out,
			size_t count);
void xrnpe_pack_threes(const uint8_t *codes, uint8_t *out, size_t lines);
void xrnpe_map_nibbles(const uint8_t *table, const uint8_t *in, uint8_t *out, size_t size);

extern const struct xrnpe_codec xrnpe_codec_plain;
extern const struct xrnpe_codec xrnpe_codec_vector;
#ifdef __x86_64__
extern const struct xrnpe_codec xrnpe_codec_avx2;
extern const struct xrnpe_codec xrnpe_codec_avx512;
extern const struct xrnpe_codec xrnpe_codec_avx512_vbmi;
#endif

/** Elements @first.. of a row of up to 8 bits to codes of Posit(16,1) with the same values. */
void xrnpe_widen(enum xrnpe_format format, const void *row, size_t first, size_t count, void *codes);

/* ---- commands that are no products: pass.c ----------------------------- */

/** Axes of an output, and of a pass over it. */
enum { XRNPE_OUTER, XRNPE_INNER, XRNPE_CHANNEL, XRNPE_AXES };

/**
 * A pass over the output of such a command, line by line. A line is what follows each other
 * without a gap in the output and in all inputs: a pixel, a row, or all of it. Lines are
 * counted along an inner axis, the columns of the output as a rule, and an outer one. But
 * if contiguous elements of IFM are not channels, the inner axis is the one that they are of.
 */
struct xrnpe_pass {
	const struct xrnpe_cmd *cmd;
	void *const *memory;
	const volatile bool *cancel;
	const struct xrnpe_codec *codec;

	/* Set by xrnpe_pass_plan(). */
	uint64_t tasks;
	const struct xrnpe_operation *operation;
	uint64_t line;		/**< elements */
	uint64_t inner, lines;	/**< along the inner axis; altogether */
	/** Bytes from a line to the next; of IFM 0 along the axis of contiguous elements. */
	uint64_t step[XRNPE_OPERANDS][XRNPE_AXES];
	bool transposed;	/**< these are not channels */
	uint64_t part;		/**< elements of a line that are computed together */
	uint64_t parts_in_line, parts;
	uint64_t chunk;		/**< parts in a task */
	bool is_fixed;		/**< ADD to CONVERT: in integers, as @fixed says */
	struct xrnpe_fixed fixed;
	uint8_t table[256 * 8];	/**< LUT: outputs by byte of IFM, packed as they are in memory */
};

/** How a command is done. Others than ADD to MIN, LUT, COPY and MAXPOOL have none. */
struct xrnpe_operation {
	/** Set what xrnpe_pass_plan() left open. */
	void (*plan)(struct xrnpe_pass *pass);
	/** Parts @first..@end - 1. */
	void (*run)(const struct xrnpe_pass *pass, uint64_t first, uint64_t end, uint32_t *status);
};
extern const struct xrnpe_operation xrnpe_elementwise, xrnpe_pairs, xrnpe_pairs8, xrnpe_pairs16, xrnpe_channels,
	xrnpe_lut, xrnpe_copy, xrnpe_maxpool;

/** A word of scale record @record. */
static inline uint32_t xrnpe_scale_word(const struct xrnpe_pass *pass, size_t record, size_t word)
{
	const uint8_t *at = pass->memory[XRNPE_OPERAND_SCALE];

	return xrnpe_word(at + record * pass->cmd->operand[XRNPE_OPERAND_SCALE].row_stride, word);
}

/* ---- ADD to CONVERT in integers: fixed.c */

/**
 * Have all of @fixed but @each and the factors for a command whose scales are those of
 * @channels channels (1: the same of all). False if doubles must do it.
 */
bool xrnpe_fixed_plan(const struct xrnpe_pass *pass, size_t channels, struct xrnpe_fixed *fixed);

/** Digits of the factors of a channel. */
void xrnpe_fixed_digits(const struct xrnpe_pass *pass, const struct xrnpe_fixed *fixed, size_t channel,
			int16_t scale[XRNPE_FIXED_DIGITS], int16_t other[XRNPE_FIXED_DIGITS]);

/**
 * How codes of a format, without sign, follow from totals t: in each of some octaves, from
 * 2^@first on, the code is t * slope + base, rounded to nearest, and below the first octave as
 * in that. None is above @most in magnitude.
 */
#define XRNPE_FIXED_OCTAVES 8
struct xrnpe_fixed_output {
	float slope[XRNPE_FIXED_OCTAVES], base[XRNPE_FIXED_OCTAVES];
	int first;
	int32_t most;
};

/** Those of formats of up to 8 bits. */
const struct xrnpe_fixed_output *xrnpe_fixed_output(enum xrnpe_format format);

#define XRNPE_LUT_PART 8192	/**< elements at the most that LUT does at once; even */

/** For plans of LUT and what is like it: @table as the command's would be, by code; a byte of
 * input has @codes of them, one or two. */
void xrnpe_lut_plan(struct xrnpe_pass *pass, const void *table, unsigned int codes);

/** Look up @count bytes of one code each, and pack what they become. */
void xrnpe_lut_bytes(const struct xrnpe_pass *pass, const uint8_t *in, uint8_t *out, size_t count);

/** For plans of commands with two inputs of 4 bits: @table by code of IFM + 16 code of IFM2. */
void xrnpe_pairs_plan(struct xrnpe_pass *pass, const void *table);

/**
 * For plans of commands from two inputs of Posit(8,0) to that format: ADD and MUL as @fixed says,
 * MAX and MIN by @table, the output that each code of IFM would have alone, and each of IFM2.
 */
void xrnpe_pairs8_plan(struct xrnpe_pass *pass, uint8_t table[2][256]);

/** The same from Posit(16,1) to that format, and CONVERT, as xrnpe_affine_of(). */
void xrnpe_pairs16_plan(struct xrnpe_pass *pass);

/** What ADD to CONVERT do. Of scales for each channel there are none yet. */
struct xrnpe_affine xrnpe_affine_of(const struct xrnpe_pass *pass);

/** Whether a table for each channel does CONVERT with a scale for each; lines are joined. */
bool xrnpe_channels_suit(const struct xrnpe_pass *pass);

/** For plans of that, with the outputs of each channel by code in the pass's table. */
void xrnpe_channels_plan(struct xrnpe_pass *pass);

/** Whether contiguous elements of IFM are of the output's rows, which are the inner axis then. */
bool xrnpe_rows_are_inner(const struct xrnpe_cmd *cmd);

/** Cut a pass into tasks. Start with the first four members. */
void xrnpe_pass_plan(struct xrnpe_pass *pass);
void xrnpe_pass_run(const struct xrnpe_pass *pass, uint64_t task, uint32_t *status);

/** For plans: lines of an image that all operands have in common, joined if there are no gaps. */
void xrnpe_pass_join(struct xrnpe_pass *pass);

/** For plans: parts of at most @most elements, a multiple of @multiple if they can be. */
void xrnpe_pass_cut(struct xrnpe_pass *pass, uint64_t most, uint64_t multiple);

/**
 * How many lines from @line on, of up to @most and @elements altogether, follow each other in IFM and
 * the output without a gap, so that they can be done as one with those of IFM2 collected.
 */
size_t xrnpe_pass_together(const struct xrnpe_pass *pass, uint64_t line, uint64_t most, size_t elements);

/**
 * The codes of IFM2, of up to 16 bits, for @count elements of a line from @at on, or for @lines whole
 * ones: as they lie in memory, or in @row, which has room for all.
 */
const uint8_t *xrnpe_pass_second(const struct xrnpe_pass *pass, uint64_t line, uint64_t at, size_t lines,
				 size_t count, uint8_t *row);

/** The codes of IFM2, of 8 or 16 bits, that @lines lines have one each of. */
void xrnpe_pass_pixels(const struct xrnpe_pass *pass, uint64_t line, size_t lines, uint8_t *row);

/** Whether IFM2 has one element for several channels. With one channel lines can be joined as any. */
static inline bool xrnpe_pass_per_pixel(const struct xrnpe_pass *pass)
{
	return pass->cmd->flags & XRNPE_CMD_PER_PIXEL && pass->cmd->image.in_c > 1;
}

static inline uint8_t *xrnpe_line(const struct xrnpe_pass *pass, unsigned int operand, uint64_t line)
{
	const uint64_t *step = pass->step[operand];

	return (uint8_t *)pass->memory[operand] + line / pass->inner * step[XRNPE_OUTER] +
	       line % pass->inner * step[XRNPE_INNER];
}

/** What lies in a byte with the last of an odd number of 4-bit codes is zero. */
static inline void xrnpe_clear_tail(enum xrnpe_format format, uint8_t *row, size_t count)
{
	if (format <= XRNPE_FORMAT_P4 && count % 2)
		row[count / 2] &= 15;
}

/** @lines rows of @count packed codes each, from and to some bytes apart. */
void xrnpe_copy_lines(enum xrnpe_format format, uint8_t *to, uint64_t to_step, const uint8_t *from,
		      uint64_t from_step, size_t count, size_t lines);

/** Pack @count codes of 4 bits that are a byte each. After an odd number there is a zero. */
void xrnpe_pack_nibbles(const uint8_t *codes, uint8_t *out, size_t count);

/** Pack @lines lines of @count such codes each, which follow each other; lines begin with a byte. */
void xrnpe_pack_lines(const struct xrnpe_codec *codec, const uint8_t *codes, size_t count, uint8_t *out,
		      size_t lines);

/** Codes @first.. of a packed row of 4 bits each, a byte each. */
void xrnpe_unpack_nibbles(const uint8_t *from, size_t first, size_t count, uint8_t *to);

/**
 * Codes from one packed row to another, whose elements up to there are set. The high nibble
 * after a last 4-bit code in a low one is zero.
 */
void xrnpe_copy_codes(enum xrnpe_format format, uint8_t *to, size_t to_at,
		      const uint8_t *from, size_t from_at, size_t count);

/**
 * Codes of @rows rows, @from_step bytes apart, from element @first on, as columns: element i of
 * row j becomes element @at + j of the packed row that is i times @to_step after @to. All
 * that is before element @at there is set, as in xrnpe_copy_codes().
 */
void xrnpe_copy_columns(enum xrnpe_format format, const uint8_t *from, uint64_t from_step, size_t first,
			uint8_t *to, uint64_t to_step, size_t at, size_t rows, size_t columns);

/* ---- MATMUL and CONV2D as one: positions x channels ------------------- */

/** Grid values of the 4- and 8-bit formats fit 16 bits; this one is NaR. */
#define XRNPE_NARROW_NAR INT16_MIN

/** One of the two operands that are multiplied. */
struct xrnpe_factor {
	const uint8_t *memory;
	size_t row_stride;
	enum xrnpe_format format;
	const int16_t *narrow;		/**< grid values by code, up to 8 bits; else NULL */
	float scale;			/**< a kernel's: what its decoder multiplies values by */
};

/**
 * A product command in flight, of a batch one matrix. A position is a row of the left
 * matrix or an output pixel; its @k inputs are a matrix row or a window (im2col).
 */
struct xrnpe_product {
	const struct xrnpe_cmd *cmd;
	struct xrnpe_factor ifm, weight;
	uint64_t first_weight;		/**< the channel to which the first row of weights belongs */
	const uint8_t *scale;
	const uint8_t *residual;	/**< NULL: the command adds none */
	uint8_t *ofm;
	enum xrnpe_format out;
	uint64_t positions, channels;
	uint64_t group_channels;	/**< output channels in a group */
	size_t k;
	const volatile bool *cancel;
};

/** The largest magnitude on the grid, up to 8 bits. */
static inline int32_t xrnpe_largest(enum xrnpe_format format)
{
	return format == XRNPE_FORMAT_FP4 ? 12 : format == XRNPE_FORMAT_P4 ? 256 : 4096;
}

/** Whether sums need the 128 bits that Posit(16,1) takes. */
static inline bool xrnpe_wide(const struct xrnpe_product *product)
{
	return product->ifm.format == XRNPE_FORMAT_P16 || product->weight.format == XRNPE_FORMAT_P16;
}

/** Exponent of the unit of sums of products of grid values. */
static inline int xrnpe_product_unit(const struct xrnpe_product *product)
{
	return xrnpe_grid_unit(product->ifm.format) + xrnpe_grid_unit(product->weight.format);
}

/** The weights of channel @n, if they are a row: not with XRNPE_CMD_TRANSPOSED. */
static inline const uint8_t *xrnpe_weight_row(const struct xrnpe_product *product, uint64_t n)
{
	return product->weight.memory + (n - product->first_weight) * product->weight.row_stride;
}

/** How a kernel wants codes as numbers. */
struct xrnpe_decoder {
	/**
	 * Elements @first.. of a packed row of @factor to @values. True if any is NaR
	 * (which reads 0). A kernel whose decoder writes past the last, up to
	 * XRNPE_DECODE_SLACK bytes, leaves room for that.
	 */
	bool (*decode)(const struct xrnpe_product *product, const struct xrnpe_factor *factor,
		       const uint8_t *row, size_t first, size_t count, void *values);
	size_t size;	/**< bytes of a decoded element */
	int zero;	/**< the byte that fills a decoded zero */
};

#define XRNPE_DECODE_SLACK 256

/** Inputs that a pixel (or a row of the left matrix) has for a group. */
static inline size_t xrnpe_inputs(const struct xrnpe_product *product)
{
	const struct xrnpe_cmd *cmd = product->cmd;

	return cmd->opcode == XRNPE_OP_MATMUL ? product->k : cmd->image.in_c / cmd->image.groups;
}

/** The @k inputs of position @p for @group, unless cancelled; true if any is NaR. */
bool xrnpe_gather(const struct xrnpe_product *product, const struct xrnpe_decoder *decoder,
		  uint64_t p, uint64_t group, void *values);

/** The @k weights of output channel @n, unless cancelled; true if any is NaR. */
bool xrnpe_weights(const struct xrnpe_product *product, const struct xrnpe_decoder *decoder,
		   uint64_t n, void *values);

/** Scales, times 2^@unit (-63..0), and biases of the @count channels from @n on. */
void xrnpe_scales(const struct xrnpe_product *product, uint64_t n, size_t count, int unit,
		  double *scale, double *bias);

/** Slopes of those channels: of what is negative, LEAKY and PRELU. */
void xrnpe_slopes(const struct xrnpe_product *product, uint64_t n, size_t count, double *slope);

/** The least result and, where that is larger, the largest, by RELU and CLAMP; not -0. */
void xrnpe_limits(const struct xrnpe_product *product, double *least, double *most);

/** Where the residuals of the @count positions from @p on start, and what they are multiplied by. */
void xrnpe_residual_rows(const struct xrnpe_product *product, uint64_t p, size_t count, const uint8_t **rows);
double xrnpe_residual_factor(const struct xrnpe_product *product);

/** Have the residuals of @rows positions from @p on, channels @n.., come to the cache. */
void xrnpe_fetch_residuals(const struct xrnpe_product *product, uint64_t p, size_t rows, uint64_t n);

/** The output stage: the code of sum @sum at position @p, channel @n. */
uint32_t xrnpe_output(const struct xrnpe_product *product, uint64_t p, uint64_t n,
		      struct xrnpe_term sum, bool nar, uint32_t *status);

/** The same of an integer @sum in units of the products, of up to 8 bits. */
uint32_t xrnpe_output_integer(const struct xrnpe_product *product, uint64_t p, uint64_t n, int64_t sum,
			      uint32_t *status);

/** The same of a finite sum, in units of Posit(16,1)'s grid squared, that wrapped modulo
 * 2^128, see xrnpe_term_from_sum(). */
uint32_t xrnpe_output_wrapped(const struct xrnpe_product *product, uint64_t p, uint64_t n,
			      xrnpe_u128 sum, bool negative, uint32_t *status);

/** Where the outputs of the @count positions from @p on start. */
void xrnpe_output_rows(const struct xrnpe_product *product, uint64_t p, size_t count, uint8_t **rows);

static inline const uint8_t *xrnpe_residual_row(const struct xrnpe_product *product, uint64_t p)
{
	const uint8_t *row;

	xrnpe_residual_rows(product, p, 1, &row);
	return row;
}

static inline uint8_t *xrnpe_output_row(const struct xrnpe_product *product, uint64_t p)
{
	uint8_t *row;

	xrnpe_output_rows(product, p, 1, &row);
	return row;
}

/** Write @count codes at position @p, channels @n.., as xrnpe_pack(). */
void xrnpe_put(const struct xrnpe_product *product, uint64_t p, uint64_t n,
	       const uint32_t *codes, size_t count);

/** Overwrite channels @n.. of an output row with NaR: those of @which, or all. */
void xrnpe_put_nar(const struct xrnpe_product *product, const bool *which, uint8_t *row,
		   uint64_t n, size_t count, uint32_t *status);

/** Whether the weights of a channel are a column. */
static inline bool xrnpe_transposed(const struct xrnpe_product *product)
{
	return product->cmd->flags & XRNPE_CMD_TRANSPOSED;
}

/** Whether every output channel has the same inputs. */
static inline bool xrnpe_one_group(const struct xrnpe_product *product)
{
	return product->group_channels == product->channels;
}

/**
 * Whether the command is given up; once true it stays so. To be asked after every 0.1 ms
 * of work or so, 1 ms at the most. Scratch memory then holds anything, so whoever finds
 * it true returns without an output.
 */
bool xrnpe_cancelled(const volatile bool *cancel);

/** A block of a product: positions @p0..@p1, channels @n0..@n1. */
struct xrnpe_block {
	uint64_t p0, p1, n0, n1;
};

/** How a kernel of tiles wants a product cut, see tasks.c. */
struct xrnpe_tiling {
	uint64_t rows, lanes;		/**< positions of a tile, channels of a panel (even) */
	uint64_t panel_bytes;		/**< what fill() writes; a multiple of 64 */
	uint64_t column_bytes;		/**< panels that are used together, at the most */
};

/** How many panels of @lanes channels hold @channels. */
static inline size_t xrnpe_panels(uint64_t channels, uint64_t lanes)
{
	return (size_t)((channels + lanes - 1) / lanes);
}

/** An implementation of the products. All give the same bits. */
struct xrnpe_kernel {
	const char *name;
	const struct xrnpe_codec *codec;	/**< of the same instruction set; NULL: the fastest */
	bool (*supported)(void);
	/** The first of these that suits a product is taken instead; NULL, or NULL-terminated. */
	const struct xrnpe_kernel *const *preferred;
	/** Whether it does a product, for which @otherwise is taken if not; NULL: any. */
	bool (*suits)(const struct xrnpe_product *product);
	bool looks;		/**< that depends on the values of inputs */
	const struct xrnpe_kernel *otherwise;
	/** Of kernels of tiles; the others have shape() instead. */
	struct xrnpe_tiling (*tiling)(const struct xrnpe_product *product);
	/** Decode the weights of @count channels of a group, from @n on, to a panel. */
	void (*fill)(const struct xrnpe_product *product, uint64_t n, size_t count, void *panel,
		     void *scratch);
	/** Fit @block (the whole product) to a task that suits @threads; @n1 even,
	 * lest two tasks share a byte of the output. */
	void (*shape)(const struct xrnpe_product *product, unsigned int threads,
		      struct xrnpe_block *block);
	/** Bytes of scratch memory, aligned to 64, for blocks of a shape at the most. */
	size_t (*scratch)(const struct xrnpe_product *product, const struct xrnpe_block *shape);
	/** Compute a block, but stop early when cancelled. @panels: those of its channels, which
	 * are of one group. Without panels there may be several. */
	void (*run)(const struct xrnpe_product *product, const struct xrnpe_block *block,
		    const void *panels, void *scratch, uint32_t *status);
};

/** A product cut into tasks; start with @kernel and @product. */
struct xrnpe_tasks {
	const struct xrnpe_kernel *kernel;
	const struct xrnpe_product *product;

	uint64_t count;
	size_t scratch;			/**< bytes that each thread needs */
	size_t rows;			/**< where in these transposed weights are */
	size_t shared;			/**< bytes that they need together, aligned to 64; or 0 */

	struct xrnpe_block shape;	/**< of a task; of panels only the positions */
	uint64_t columns;
	/* Kernels of tiles. */
	struct xrnpe_tiling tiling;
	uint64_t panels, group_panels, column_panels;	/**< of all, of a group, of a column */
	uint64_t pieces;		/**< of the positions */
	bool share_bytes;		/**< columns do, of the output */
	uint64_t places;		/**< for columns */
	struct xrnpe_place *place;
	uint8_t *memory;		/**< a column for each place */
	const uint8_t *kept;		/**< instead of these, all panels; or NULL */
};

void xrnpe_tasks_plan(struct xrnpe_tasks *tasks, unsigned int threads);

/** Bytes of all panels, which are decoded once if they are kept; 0: they cannot be. */
size_t xrnpe_tasks_kept_bytes(const struct xrnpe_tasks *tasks);

/** Decode them to @memory, aligned to 64. @scratch: as a task needs it. */
void xrnpe_tasks_keep(struct xrnpe_tasks *tasks, void *memory, void *scratch);

/** Before the first task. @memory: @shared bytes. */
void xrnpe_tasks_start(struct xrnpe_tasks *tasks, void *memory);

/** Task @index. Tasks must be started in order, on any threads. */
void xrnpe_tasks_run(const struct xrnpe_tasks *tasks, uint64_t index, void *scratch, uint32_t *status);

extern const struct xrnpe_kernel xrnpe_kernel_plain;
#if defined(__x86_64__) || defined(__AARCH64EL__)
extern const struct xrnpe_kernel xrnpe_depthwise;
#endif
#ifdef __x86_64__
extern const struct xrnpe_kernel xrnpe_conv_avx512;
extern const struct xrnpe_kernel xrnpe_conv_avx512_p16;
extern const struct xrnpe_kernel xrnpe_conv_avx512_pairs;
extern const struct xrnpe_kernel xrnpe_conv_avx512_split;
extern const struct xrnpe_kernel xrnpe_conv_avx512_winograd;
extern const struct xrnpe_kernel xrnpe_depthwise_avx512;
extern const struct xrnpe_kernel xrnpe_depthwise_avx512_words;
extern const struct xrnpe_kernel xrnpe_kernel_avx2;
extern const struct xrnpe_kernel xrnpe_kernel_avx512;
extern const struct xrnpe_kernel xrnpe_kernel_amx;
extern const struct xrnpe_kernel xrnpe_gemv_avx512;
#endif
#ifdef __AARCH64EL__
extern const struct xrnpe_kernel xrnpe_kernel_neon;
extern const struct xrnpe_kernel xrnpe_kernel_neon_dotprod;
#endif

#endif

/* SPDX-License-Identifier: ((GPL-2.0-only WITH Linux-syscall-note) OR MIT) */
/*
 * XR-NPE command-stream ABI, version 1: the records that user space writes and
 * the device fetches. The kernel never parses them. Documentation/hardware.rst
 * tells the story; this file is the only place where the numbers are written.
 *
 * Every record is little-endian and &struct xrnpe_cmd long; a job says how far apart
 * its records are, so that longer ones can come. Reserved fields and bits are zero; a
 * device refuses a record where they are not.
 */
#ifndef _XRNPE_CMD_H_
#define _XRNPE_CMD_H_

#if defined(__KERNEL__) || defined(__linux__)
#include <linux/types.h>
#else
#include <stdint.h>
typedef uint8_t __u8;
typedef uint16_t __u16;
typedef uint32_t __u32;
typedef uint64_t __u64;
#endif

#if defined(__cplusplus)
extern "C" {
#endif

/**
 * enum xrnpe_format - number formats
 *
 * Two 4-bit codes share a byte, the lower index in the low nibble. 16-bit and
 * 32-bit codes are little-endian.
 */
enum xrnpe_format {
	/** @XRNPE_FORMAT_FP4: OCP MX E2M1, 4 bits */
	XRNPE_FORMAT_FP4 = 0,
	/** @XRNPE_FORMAT_P4: Posit(4,1), 4 bits */
	XRNPE_FORMAT_P4 = 1,
	/** @XRNPE_FORMAT_P8: Posit(8,0), 8 bits */
	XRNPE_FORMAT_P8 = 2,
	/** @XRNPE_FORMAT_P16: Posit(16,1), 16 bits */
	XRNPE_FORMAT_P16 = 3,
	/**
	 * @XRNPE_FORMAT_F32: IEEE 754 binary32. An output of every command that
	 * rounds, an input of %XRNPE_OP_CONVERT and %XRNPE_OP_COPY, and the
	 * residual of a product
	 */
	XRNPE_FORMAT_F32 = 4,
	/** @XRNPE_FORMAT_U8: integers 0..255: input of %XRNPE_OP_CONVERT */
	XRNPE_FORMAT_U8 = 5,
	/** @XRNPE_FORMAT_S8: integers -128..127: input of %XRNPE_OP_CONVERT */
	XRNPE_FORMAT_S8 = 6,
};

/** XRNPE_PRODUCT_FORMATS - those that multiply: 0 .. XRNPE_PRODUCT_FORMATS - 1 */
#define XRNPE_PRODUCT_FORMATS 4
/** XRNPE_OUTPUT_FORMATS - those that can be rounded to: 0 .. XRNPE_OUTPUT_FORMATS - 1 */
#define XRNPE_OUTPUT_FORMATS 5
/** XRNPE_FORMATS - all of them */
#define XRNPE_FORMATS 7

/** enum xrnpe_opcode - what a command does; @xrnpe_cmd.opcode */
enum xrnpe_opcode {
	/** @XRNPE_OP_MATMUL: ofm[m][n] = out(sum_k ifm[m][k] * weight[n][k]) */
	XRNPE_OP_MATMUL = 1,
	/** @XRNPE_OP_CONV2D: 2-D convolution, im2col done by the device */
	XRNPE_OP_CONV2D = 2,
	/** @XRNPE_OP_MAXPOOL: 2-D maximum, ifm and ofm in one format */
	XRNPE_OP_MAXPOOL = 3,
	/** @XRNPE_OP_ADD: ofm = out(ifm * scale[0] + ifm2 * scale[1]) */
	XRNPE_OP_ADD = 4,
	/** @XRNPE_OP_CONVERT: ofm = out(ifm * scale + bias), format to format */
	XRNPE_OP_CONVERT = 5,
	/** @XRNPE_OP_MUL: ofm = out(ifm * ifm2 * scale + bias) */
	XRNPE_OP_MUL = 6,
	/** @XRNPE_OP_MAX: ofm = out(max(ifm * scale[0], ifm2 * scale[1])) */
	XRNPE_OP_MAX = 7,
	/** @XRNPE_OP_MIN: ofm = out(min(ifm * scale[0], ifm2 * scale[1])) */
	XRNPE_OP_MIN = 8,
	/** @XRNPE_OP_LUT: ofm = weight[ifm], a table of codes by code */
	XRNPE_OP_LUT = 9,
	/** @XRNPE_OP_COPY: moves codes: transposes, pads, repeats, spreads */
	XRNPE_OP_COPY = 10,
	/** @XRNPE_OP_BARRIER: what was written is visible to all before it ends */
	XRNPE_OP_BARRIER = 11,
	/** @XRNPE_OP_TIMESTAMP: ofm = cycles that the job has taken so far, 64 bits */
	XRNPE_OP_TIMESTAMP = 12,
};

/**
 * enum xrnpe_activation - applied to the exact value, before rounding
 *
 * NaR stays NaR. Then, with %XRNPE_CMD_CLAMP, the value is limited.
 */
enum xrnpe_activation {
	/** @XRNPE_ACT_NONE: identity */
	XRNPE_ACT_NONE = 0,
	/** @XRNPE_ACT_RELU: max(x, 0) */
	XRNPE_ACT_RELU = 1,
	/** @XRNPE_ACT_LEAKY: x < 0 ? x * &xrnpe_cmd.slope : x */
	XRNPE_ACT_LEAKY = 2,
	/** @XRNPE_ACT_PRELU: with &xrnpe_scale_slope.slope of the channel; products only */
	XRNPE_ACT_PRELU = 3,
};

/** XRNPE_CMD_CLAMP - limit the activation's result to @lo .. @hi */
#define XRNPE_CMD_CLAMP (1u << 0)
/** XRNPE_CMD_RESIDUAL - MATMUL, CONV2D: add ifm2 * @residual before the activation */
#define XRNPE_CMD_RESIDUAL (1u << 1)
/** XRNPE_CMD_TRANSPOSED - MATMUL: weight is K rows of N elements, not N rows of K */
#define XRNPE_CMD_TRANSPOSED (1u << 2)
/** XRNPE_CMD_PER_PIXEL - ADD, MUL, MAX, MIN: a pixel of ifm2 is one element, for all channels */
#define XRNPE_CMD_PER_PIXEL (1u << 3)
/** XRNPE_CMD_SPREAD - COPY: between the elements that are @up apart stands @fill, not copies */
#define XRNPE_CMD_SPREAD (1u << 4)

/**
 * enum xrnpe_order - CONVERT and COPY: how the axes of ifm lie in memory
 *
 * Named by the output's axes height, width and channels: which of them ifm's rows
 * (@row_stride apart), its pixels (@pixel_stride apart) and its contiguous elements are.
 */
enum xrnpe_order {
	/** @XRNPE_ORDER_HWC: as the output */
	XRNPE_ORDER_HWC = 0,
	/** @XRNPE_ORDER_HCW: rows are h, pixels c, elements w */
	XRNPE_ORDER_HCW = 1,
	/** @XRNPE_ORDER_WHC: rows are w, pixels h, elements c */
	XRNPE_ORDER_WHC = 2,
	/** @XRNPE_ORDER_WCH: rows are w, pixels c, elements h */
	XRNPE_ORDER_WCH = 3,
	/** @XRNPE_ORDER_CHW: rows are c, pixels h, elements w: planar */
	XRNPE_ORDER_CHW = 4,
	/** @XRNPE_ORDER_CWH: rows are c, pixels w, elements h */
	XRNPE_ORDER_CWH = 5,
};

#define XRNPE_ORDERS 6

/**
 * struct xrnpe_operand - a tensor in memory
 *
 * Channels (the innermost index) are contiguous; a pixel starts on a byte.
 * For a matrix, a row is a "row" and @pixel_stride is zero. A stride of an input may
 * be zero: then the same elements are read again (broadcast). Those of an output
 * keep its elements apart: @pixel_stride is at least a pixel's bytes if a row has
 * several pixels, @row_stride at least a row's (from its first byte to its last) if
 * there are several rows, and @batch_stride at least a matrix's.
 *
 * @offset and the strides are in bytes. They are multiples of the element's size
 * for 16- and 32-bit formats.
 */
struct xrnpe_operand {
	/** @offset: of element 0, from the region's base */
	__u64 offset;
	/** @row_stride: bytes from a row (matrix row, image line) to the next */
	__u32 row_stride;
	/** @pixel_stride: bytes from a pixel to the next one of its line */
	__u32 pixel_stride;
	/** @batch_stride: MATMUL: bytes from a matrix to the next; else zero */
	__u32 batch_stride;
	/** @region: index into the job's region table */
	__u8 region;
	/** @format: &enum xrnpe_format of the elements */
	__u8 format;
	/** @reserved: zero */
	__u8 reserved[2];
};

/**
 * enum xrnpe_operand_index - the operands of a command, and the name of the
 * guilty one in a fault record
 */
enum xrnpe_operand_index {
	/** @XRNPE_OPERAND_IFM: input tensor, or the left matrix (M x K) */
	XRNPE_OPERAND_IFM = 0,
	/**
	 * @XRNPE_OPERAND_IFM2: second input: of ADD, MUL, MAX and MIN, with the
	 * output's shape but for %XRNPE_CMD_PER_PIXEL; with %XRNPE_CMD_RESIDUAL of a
	 * product, with the output's shape, and any format but U8 and S8
	 */
	XRNPE_OPERAND_IFM2 = 1,
	/**
	 * @XRNPE_OPERAND_WEIGHT: weights; MATMUL: the right matrix; LUT: the table,
	 * as many packed codes of the output's format as ifm's format has codes
	 */
	XRNPE_OPERAND_WEIGHT = 2,
	/**
	 * @XRNPE_OPERAND_SCALE: &struct xrnpe_scale records. MATMUL, CONV2D and
	 * CONVERT: one an output channel, @row_stride apart, or one for all if
	 * @row_stride is zero. MUL: one, and @row_stride is zero. ADD, MAX, MIN: two,
	 * @row_stride apart: of ifm, of ifm2; both biases are zero. The format is
	 * %XRNPE_FORMAT_F32, offset and @row_stride are multiples of 4, @row_stride
	 * is at least a record's size if it is not zero, @pixel_stride is zero
	 */
	XRNPE_OPERAND_SCALE = 3,
	/** @XRNPE_OPERAND_OFM: output tensor */
	XRNPE_OPERAND_OFM = 4,
	/** @XRNPE_OPERAND_NONE: in a fault record: not about an operand */
	XRNPE_OPERAND_NONE = 0xff,
};

#define XRNPE_OPERANDS 5

/**
 * struct xrnpe_scale - output stage parameters of one output channel
 *
 * Both are binary32 bit patterns and finite.
 */
struct xrnpe_scale {
	/** @scale: multiplies the exact sum */
	__u32 scale;
	/** @bias: added to the exact product */
	__u32 bias;
};

/** struct xrnpe_scale_slope - the record with %XRNPE_ACT_PRELU */
struct xrnpe_scale_slope {
	/** @scale: multiplies the exact sum */
	__u32 scale;
	/** @bias: added to the exact product */
	__u32 bias;
	/** @slope: multiplies what is negative; finite */
	__u32 slope;
};

/** struct xrnpe_dims_matmul - MATMUL; all at least 1 */
struct xrnpe_dims_matmul {
	/** @m: rows of ifm and ofm */
	__u32 m;
	/** @n: channels: columns of ofm */
	__u32 n;
	/** @k: columns of ifm, products of a sum, at most %XRNPE_MAX_K */
	__u32 k;
	/**
	 * @batch: matrices of each operand, @batch_stride apart; zero strides of inputs
	 * use one for all. Scales are the same for all
	 */
	__u32 batch;
	/** @reserved: zero */
	__u32 reserved[4];
};

/**
 * struct xrnpe_dims_image - CONV2D and MAXPOOL, and ADD, MUL, MAX, MIN, CONVERT and
 * LUT, which use @in_h, @in_w, @in_c only (the output has the same shape; the rest is
 * zero)
 *
 * ofm pixel (y, x) reads ifm lines y * stride_h - pad_top + i * dilation_h and
 * columns x * stride_w - pad_left + j * dilation_w. Pixels outside the image
 * are 0 for CONV2D and do not take part in MAXPOOL; a window that lies outside
 * altogether is an illegal command for MAXPOOL. Bottom and right padding
 * follow from @out_h and @out_w.
 *
 * CONV2D weights: out_c rows (row_stride apart) of kernel_h x kernel_w taps
 * (pixel_stride apart, row-major) of in_c / groups contiguous elements.
 * kernel_h * kernel_w * in_c / groups is at most %XRNPE_MAX_K.
 */
struct xrnpe_dims_image {
	/** @in_h: input lines */
	__u16 in_h;
	/** @in_w: input pixels a line */
	__u16 in_w;
	/** @in_c: input channels */
	__u16 in_c;
	/** @out_h: output lines */
	__u16 out_h;
	/** @out_w: output pixels a line */
	__u16 out_w;
	/** @out_c: output channels; equals @in_c for MAXPOOL */
	__u16 out_c;
	/** @groups: CONV2D: divides @in_c and @out_c; MAXPOOL: 1 */
	__u16 groups;
	/** @kernel_h: kernel lines */
	__u8 kernel_h;
	/** @kernel_w: kernel columns */
	__u8 kernel_w;
	/** @stride_h: lines from a window to the next */
	__u8 stride_h;
	/** @stride_w: columns from a window to the next */
	__u8 stride_w;
	/** @dilation_h: lines from a tap to the next */
	__u8 dilation_h;
	/** @dilation_w: columns from a tap to the next */
	__u8 dilation_w;
	/** @pad_top: lines of padding above */
	__u8 pad_top;
	/** @pad_left: columns of padding to the left */
	__u8 pad_left;
	/** @reserved: zero */
	__u8 reserved[10];
};

/**
 * struct xrnpe_dims_copy - COPY
 *
 * ofm element (y, x, c) is ifm element ((y - pad_h) / up_h, (x - pad_w) / up_w,
 * c - pad_c), divisions rounding down. It is @fill where that is outside the input,
 * and with %XRNPE_CMD_SPREAD also where a division has a remainder. @in_h, @in_w and
 * @in_c count in the output's axes, whatever &xrnpe_cmd.order says of memory.
 */
struct xrnpe_dims_copy {
	/** @in_h: input lines, at least 1, as the five that follow */
	__u16 in_h;
	/** @in_w: input pixels a line */
	__u16 in_w;
	/** @in_c: input channels */
	__u16 in_c;
	/** @out_h: output lines */
	__u16 out_h;
	/** @out_w: output pixels a line */
	__u16 out_w;
	/** @out_c: output channels */
	__u16 out_c;
	/** @pad_h: lines of @fill above */
	__u16 pad_h;
	/** @pad_w: columns of @fill to the left */
	__u16 pad_w;
	/** @pad_c: channels of @fill in front */
	__u16 pad_c;
	/** @up_h: output lines for each input line, at least 1 */
	__u8 up_h;
	/** @up_w: output columns for each input column, at least 1 */
	__u8 up_w;
	/** @fill: a code of the operands' format */
	__u32 fill;
	/** @reserved: zero */
	__u32 reserved[2];
};

/** struct xrnpe_cmd - one command record */
struct xrnpe_cmd {
	/** @opcode: &enum xrnpe_opcode */
	__u8 opcode;
	/** @activation: &enum xrnpe_activation; NONE for those that do not round */
	__u8 activation;
	/** @order: &enum xrnpe_order; HWC for all but CONVERT and COPY */
	__u8 order;
	/** @reserved: zero */
	__u8 reserved;
	/** @flags: XRNPE_CMD_* */
	__u32 flags;
	/** @slope: binary32, finite: %XRNPE_ACT_LEAKY; else zero */
	__u32 slope;
	/** @lo: binary32, finite: the least result, with %XRNPE_CMD_CLAMP; else zero */
	__u32 lo;
	/** @hi: binary32, finite, at least @lo: the largest; else zero */
	__u32 hi;
	/** @residual: binary32, finite: factor of ifm2, with %XRNPE_CMD_RESIDUAL; else zero */
	__u32 residual;
	/**
	 * @operand: by &enum xrnpe_operand_index; an operand that the command
	 * does not have is all zero
	 */
	struct xrnpe_operand operand[XRNPE_OPERANDS];
	union {
		/** @matmul: MATMUL */
		struct xrnpe_dims_matmul matmul;
		/** @image: CONV2D, MAXPOOL, ADD, MUL, MAX, MIN, CONVERT, LUT */
		struct xrnpe_dims_image image;
		/** @copy: COPY */
		struct xrnpe_dims_copy copy;
		/** @none: BARRIER, TIMESTAMP: zero */
		__u32 none[8];
	};
	/** @reserved2: zero */
	__u32 reserved2[4];
};

/** XRNPE_MAX_K - most products that one output may sum exactly */
#define XRNPE_MAX_K 32768
/**
 * XRNPE_MAX_WORK - most that one command may do, so that an urgent job never waits for
 * long: products of MATMUL and CONV2D (padding included), elements times window of
 * MAXPOOL, output elements of the others. A command with more is illegal in its first
 * dimension: @m, @out_h of windows, @in_h, @out_h of COPY
 */
#define XRNPE_MAX_WORK (1ull << 36)
/** XRNPE_MAX_REGIONS - entries in a job's region table */
#define XRNPE_MAX_REGIONS 16
/** XRNPE_MAX_CMDS - commands in a job */
#define XRNPE_MAX_CMDS 65536
/** XRNPE_CMD_ALIGN - alignment of the command buffer in its buffer object */
#define XRNPE_CMD_ALIGN 64
/** XRNPE_CMD_STRIDE_MAX - most bytes from a record to the next, a multiple of XRNPE_CMD_ALIGN */
#define XRNPE_CMD_STRIDE_MAX 1024

#define XRNPE_REGION_READ (1u << 0)
#define XRNPE_REGION_WRITE (1u << 1)

/** enum xrnpe_fault_kind - why a job ended early */
enum xrnpe_fault_kind {
	/** @XRNPE_FAULT_NONE: it did not */
	XRNPE_FAULT_NONE = 0,
	/** @XRNPE_FAULT_ILLEGAL_OPCODE: no such opcode */
	XRNPE_FAULT_ILLEGAL_OPCODE = 1,
	/**
	 * @XRNPE_FAULT_ILLEGAL_FIELD: a dimension, format, stride, activation
	 * or reserved field is out of its range
	 */
	XRNPE_FAULT_ILLEGAL_FIELD = 2,
	/** @XRNPE_FAULT_NO_REGION: region index not in the job's table */
	XRNPE_FAULT_NO_REGION = 3,
	/** @XRNPE_FAULT_OUT_OF_BOUNDS: access past the region's end */
	XRNPE_FAULT_OUT_OF_BOUNDS = 4,
	/** @XRNPE_FAULT_PERMISSION: the region does not allow it */
	XRNPE_FAULT_PERMISSION = 5,
	/** @XRNPE_FAULT_ILLEGAL_SCALE: a scale or bias is NaN or infinite */
	XRNPE_FAULT_ILLEGAL_SCALE = 6,
	/** @XRNPE_FAULT_BUS: memory did not answer */
	XRNPE_FAULT_BUS = 7,
	/** @XRNPE_FAULT_ABORTED: the kernel stopped the job (time limit) */
	XRNPE_FAULT_ABORTED = 8,
	/** @XRNPE_FAULT_ILLEGAL_JOB: the kernel's descriptor is malformed */
	XRNPE_FAULT_ILLEGAL_JOB = 9,
	/** @XRNPE_FAULT_DEVICE: the device itself failed; the job may be tried again */
	XRNPE_FAULT_DEVICE = 10,
};

/**
 * struct xrnpe_fault - where and why a job ended early
 *
 * Operands are checked in the order of &enum xrnpe_operand_index, fields before
 * memory, so that a given stream always yields the same record.
 */
struct xrnpe_fault {
	/** @kind: &enum xrnpe_fault_kind */
	__u32 kind;
	/** @cmd: index of the command in the job */
	__u32 cmd;
	/** @operand: &enum xrnpe_operand_index */
	__u32 operand;
	/** @region: the operand's region index; 0 without an operand */
	__u32 region;
	/**
	 * @offset: from the region's base, for %XRNPE_FAULT_OUT_OF_BOUNDS: the larger
	 * of the region's size and the operand's first byte; %XRNPE_FAULT_PERMISSION:
	 * the operand's first byte; %XRNPE_FAULT_ILLEGAL_SCALE: the word;
	 * %XRNPE_FAULT_BUS with an operand: the first byte of the operand in the burst
	 * (%XRNPE_BURST) that was not answered. For %XRNPE_FAULT_ILLEGAL_FIELD the byte
	 * offset of the field in the record. Else 0
	 */
	__u64 offset;
};

/** XRNPE_STATUS_INVALID - sticky: a NaN was encoded as FP4 (which has none) */
#define XRNPE_STATUS_INVALID (1u << 0)

/** XRNPE_BURST - bytes of a burst, which ends at a multiple of so many */
#define XRNPE_BURST 64

/**
 * struct xrnpe_counters - what the array did, by the cycle model
 *
 * Documentation/hardware.rst defines every counter. The device has them as registers, in
 * this order, and counts a job's into its record.
 */
struct xrnpe_counters {
	/** @cycles: clock cycles while a command was executed */
	__u64 cycles;
	/** @stall_cycles: of these, the array waited for memory */
	__u64 stall_cycles;
	/** @commands: that were executed, given up or not */
	__u64 commands;
	/** @blocks_active: multiplier blocks times cycles in which they multiplied */
	__u64 blocks_active;
	/** @blocks_gated: multiplier blocks times cycles in which they were gated */
	__u64 blocks_gated;
	/** @bytes: read (OFM: written) over the bus, by &enum xrnpe_operand_index */
	__u64 bytes[XRNPE_OPERANDS];
	/** @bytes_other: read over the bus: command records */
	__u64 bytes_other;
	/** @products: by format of ifm, then of weight; padding included */
	__u64 products[XRNPE_PRODUCT_FORMATS][XRNPE_PRODUCT_FORMATS];
};

/** XRNPE_COUNTERS - 64-bit words of struct xrnpe_counters */
#define XRNPE_COUNTERS 27

/** struct xrnpe_job_record - what the device says of a job when it has ended */
struct xrnpe_job_record {
	/** @seqno: of the job */
	__u32 seqno;
	/** @status: XRNPE_STATUS_* of all its commands */
	__u32 status;
	/** @fault: kind is NONE if it ended well */
	struct xrnpe_fault fault;
	/** @start: timer when its descriptor was read */
	__u64 start;
	/** @end: timer when the record was made, after its last command */
	__u64 end;
	/** @executed: ticks of the timer while its commands executed */
	__u64 executed;
	/** @counters: of its commands */
	struct xrnpe_counters counters;
	/** @reserved: zero */
	__u64 reserved[6];
};

#if defined(__cplusplus)
}
#endif

#endif

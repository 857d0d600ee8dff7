/* SPDX-License-Identifier: ((GPL-2.0-only WITH Linux-syscall-note) OR MIT) */
/*
 * XR-NPE command-stream ABI, version 1: the records that user space writes and
 * the device fetches. The kernel never parses them. Documentation/hardware.rst
 * tells the story; this file is the only place where the numbers are written.
 *
 * Every record is little-endian and 128 bytes long. Reserved fields and bits
 * are zero; a device refuses a record where they are not.
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
	 * @XRNPE_FORMAT_F32: IEEE 754 binary32. As the output of every command,
	 * and as the input of %XRNPE_OP_CONVERT only
	 */
	XRNPE_FORMAT_F32 = 4,
};

#define XRNPE_FORMATS 5

/** enum xrnpe_opcode - what a command does; @xrnpe_cmd.opcode */
enum xrnpe_opcode {
	/**
	 * @XRNPE_OP_MATMUL: ofm[m][n] = out(sum_k ifm[m][k] * weight[n][k]);
	 * ifm and weight are of one format, as in CONV2D
	 */
	XRNPE_OP_MATMUL = 1,
	/** @XRNPE_OP_CONV2D: 2-D convolution, im2col done by the device */
	XRNPE_OP_CONV2D = 2,
	/** @XRNPE_OP_MAXPOOL: 2-D maximum, ifm and ofm in one format */
	XRNPE_OP_MAXPOOL = 3,
	/**
	 * @XRNPE_OP_ADD: ofm = out(ifm * scale[0] + ifm2 * scale[1]); three
	 * formats of any kind (inputs not F32)
	 */
	XRNPE_OP_ADD = 4,
	/** @XRNPE_OP_CONVERT: ofm = out(ifm * scale + bias), format to format */
	XRNPE_OP_CONVERT = 5,
};

/** enum xrnpe_activation - applied to the exact value, before rounding */
enum xrnpe_activation {
	/** @XRNPE_ACT_NONE: identity */
	XRNPE_ACT_NONE = 0,
	/** @XRNPE_ACT_RELU: max(x, 0) */
	XRNPE_ACT_RELU = 1,
};

/**
 * struct xrnpe_operand - a tensor in memory
 *
 * Channels (the innermost index) are contiguous; a pixel starts on a byte.
 * For a matrix, a row is a "row" and @pixel_stride is zero. The memory touched
 * must lie inside the region: the device checks first byte and last byte of
 * every operand before it runs the command.
 *
 * @offset and @row_stride, @pixel_stride are in bytes. They are multiples of
 * the element's size for 16- and 32-bit formats.
 */
struct xrnpe_operand {
	/** @offset: of element 0, from the region's base */
	__u64 offset;
	/** @row_stride: bytes from a row (matrix row, image line) to the next */
	__u32 row_stride;
	/** @pixel_stride: bytes from a pixel to the next one of its line */
	__u32 pixel_stride;
	/** @region: index into the job's region table */
	__u8 region;
	/** @format: &enum xrnpe_format of the elements */
	__u8 format;
	/** @reserved: zero */
	__u8 reserved[6];
};

/**
 * enum xrnpe_operand_index - the operands of a command, and the name of the
 * guilty one in a fault record
 */
enum xrnpe_operand_index {
	/** @XRNPE_OPERAND_IFM: input tensor, or the left matrix (M x K) */
	XRNPE_OPERAND_IFM = 0,
	/**
	 * @XRNPE_OPERAND_WEIGHT: weights, the right matrix as N rows of K, or
	 * the second input of %XRNPE_OP_ADD
	 */
	XRNPE_OPERAND_WEIGHT = 1,
	/**
	 * @XRNPE_OPERAND_SCALE: &struct xrnpe_scale records, one per output
	 * channel (MATMUL, CONV2D), one (CONVERT) or two (ADD: scale of ifm,
	 * scale of ifm2, both biases zero); format is %XRNPE_FORMAT_F32,
	 * strides zero, the offset a multiple of 4
	 */
	XRNPE_OPERAND_SCALE = 2,
	/** @XRNPE_OPERAND_OFM: output tensor */
	XRNPE_OPERAND_OFM = 3,
	/** @XRNPE_OPERAND_NONE: in a fault record: not about an operand */
	XRNPE_OPERAND_NONE = 0xff,
};

#define XRNPE_OPERANDS 4

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

/** struct xrnpe_dims_matmul - MATMUL; all at least 1 */
struct xrnpe_dims_matmul {
	/** @m: rows of ifm and ofm */
	__u32 m;
	/** @n: rows of weight, columns of ofm */
	__u32 n;
	/** @k: columns of ifm and weight, at most %XRNPE_MAX_K */
	__u32 k;
	/** @reserved: zero */
	__u32 reserved[3];
};

/**
 * struct xrnpe_dims_image - CONV2D and MAXPOOL, and ADD and CONVERT, which use
 * @in_h, @in_w, @in_c only (the output has the same shape; the rest is zero)
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
	__u8 reserved[2];
};

/** struct xrnpe_cmd - one command record */
struct xrnpe_cmd {
	/** @opcode: &enum xrnpe_opcode */
	__u8 opcode;
	/** @activation: &enum xrnpe_activation; NONE for MAXPOOL */
	__u8 activation;
	/** @reserved: zero */
	__u8 reserved[6];
	/**
	 * @operand: by &enum xrnpe_operand_index; an operand that the command
	 * does not have is all zero
	 */
	struct xrnpe_operand operand[XRNPE_OPERANDS];
	union {
		/** @matmul: MATMUL */
		struct xrnpe_dims_matmul matmul;
		/** @image: every other opcode */
		struct xrnpe_dims_image image;
	};
};

/** XRNPE_MAX_K - most products that one output may sum exactly */
#define XRNPE_MAX_K 32768
/** XRNPE_MAX_REGIONS - entries in a job's region table */
#define XRNPE_MAX_REGIONS 16
/** XRNPE_MAX_CMDS - commands in a job */
#define XRNPE_MAX_CMDS 65536
/** XRNPE_CMD_ALIGN - alignment of the command buffer in its buffer object */
#define XRNPE_CMD_ALIGN 8

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
	 * @offset: first byte that was refused, from the region's base (for
	 * %XRNPE_FAULT_OUT_OF_BOUNDS the larger of the region's size and the
	 * operand's first byte); byte offset of the field in the record for
	 * %XRNPE_FAULT_ILLEGAL_FIELD; else 0
	 */
	__u64 offset;
};

/** XRNPE_STATUS_INVALID - sticky: a NaN was encoded as FP4 (which has none) */
#define XRNPE_STATUS_INVALID (1u << 0)

#if defined(__cplusplus)
}
#endif

#endif

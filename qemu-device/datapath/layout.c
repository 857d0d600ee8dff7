// SPDX-License-Identifier: MIT
/* The shapes of a command's operands, the memory that they span, and how much work it is. */
#include "internal.h"

/* TIMESTAMP writes a word: its operand has no strides, and format 0. */
#define TIMESTAMP_ELEMENTS 16

/* The output's axes, in the order of ifm's memory. */
static struct xrnpe_layout ordered(uint8_t order, uint32_t h, uint32_t w, uint32_t c)
{
	switch (order) {
	case XRNPE_ORDER_HCW:
		return (struct xrnpe_layout){ 1, h, c, w };
	case XRNPE_ORDER_WHC:
		return (struct xrnpe_layout){ 1, w, h, c };
	case XRNPE_ORDER_WCH:
		return (struct xrnpe_layout){ 1, w, c, h };
	case XRNPE_ORDER_CHW:
		return (struct xrnpe_layout){ 1, c, h, w };
	case XRNPE_ORDER_CWH:
		return (struct xrnpe_layout){ 1, c, w, h };
	default:
		return (struct xrnpe_layout){ 1, h, w, c };
	}
}

static struct xrnpe_layout matmul_layout(const struct xrnpe_cmd *cmd, unsigned int i)
{
	const struct xrnpe_dims_matmul *d = &cmd->matmul;

	if (i == XRNPE_OPERAND_IFM)
		return (struct xrnpe_layout){ d->batch, d->m, 1, d->k };
	if (i != XRNPE_OPERAND_WEIGHT)
		return (struct xrnpe_layout){ d->batch, d->m, 1, d->n };
	return cmd->flags & XRNPE_CMD_TRANSPOSED ? (struct xrnpe_layout){ d->batch, d->k, 1, d->n } :
						   (struct xrnpe_layout){ d->batch, d->n, 1, d->k };
}

struct xrnpe_layout xrnpe_cmd_layout(const struct xrnpe_cmd *cmd, unsigned int i)
{
	const struct xrnpe_dims_image *d = &cmd->image;
	const struct xrnpe_dims_copy *copy = &cmd->copy;

	switch (cmd->opcode) {
	case XRNPE_OP_BARRIER:
	case XRNPE_OP_TIMESTAMP:
		return (struct xrnpe_layout){ 1, 1, 1, TIMESTAMP_ELEMENTS };
	case XRNPE_OP_MATMUL:
		return matmul_layout(cmd, i);
	case XRNPE_OP_CONV2D:
	case XRNPE_OP_MAXPOOL:
		if (i == XRNPE_OPERAND_IFM)
			return (struct xrnpe_layout){ 1, d->in_h, d->in_w, d->in_c };
		if (i == XRNPE_OPERAND_WEIGHT)
			return (struct xrnpe_layout){ 1, d->out_c, (uint64_t)d->kernel_h * d->kernel_w,
						      d->in_c / d->groups };
		return (struct xrnpe_layout){ 1, d->out_h, d->out_w, d->out_c };
	case XRNPE_OP_COPY:
		if (i == XRNPE_OPERAND_IFM)
			return ordered(cmd->order, copy->in_h, copy->in_w, copy->in_c);
		return (struct xrnpe_layout){ 1, copy->out_h, copy->out_w, copy->out_c };
	default:
		if (i == XRNPE_OPERAND_IFM)
			return ordered(cmd->order, d->in_h, d->in_w, d->in_c);
		if (i == XRNPE_OPERAND_WEIGHT)	/* LUT's table */
			return (struct xrnpe_layout){ 1, 1, 1, 1u << xrnpe_format_bits(
						cmd->operand[XRNPE_OPERAND_IFM].format) };
		if (i == XRNPE_OPERAND_IFM2 && cmd->flags & XRNPE_CMD_PER_PIXEL)
			return (struct xrnpe_layout){ 1, d->in_h, d->in_w, 1 };
		return (struct xrnpe_layout){ 1, d->in_h, d->in_w, d->in_c };
	}
}

static uint64_t scale_records(const struct xrnpe_cmd *cmd)
{
	switch (cmd->opcode) {
	case XRNPE_OP_ADD:
	case XRNPE_OP_MAX:
	case XRNPE_OP_MIN:
		return 2;
	case XRNPE_OP_MUL:
		return 1;
	default:
		if (!cmd->operand[XRNPE_OPERAND_SCALE].row_stride)
			return 1;
		return cmd->opcode == XRNPE_OP_MATMUL ? cmd->matmul.n :
		       cmd->opcode == XRNPE_OP_CONV2D ? cmd->image.out_c : cmd->image.in_c;
	}
}

static size_t scale_record_bytes(const struct xrnpe_cmd *cmd)
{
	return cmd->activation == XRNPE_ACT_PRELU ? sizeof(struct xrnpe_scale_slope) :
						    sizeof(struct xrnpe_scale);
}

struct xrnpe_scales_shape xrnpe_cmd_scales(const struct xrnpe_cmd *cmd)
{
	if (!xrnpe_cmd_has_operand(cmd, XRNPE_OPERAND_SCALE))
		return (struct xrnpe_scales_shape){ 0 };
	return (struct xrnpe_scales_shape){ scale_records(cmd), scale_record_bytes(cmd) / sizeof(uint32_t),
					    cmd->operand[XRNPE_OPERAND_SCALE].row_stride };
}

xrnpe_u128 xrnpe_cmd_bytes(const struct xrnpe_cmd *cmd, unsigned int i)
{
	const struct xrnpe_operand *o = &cmd->operand[i];
	struct xrnpe_layout l;

	if (i == XRNPE_OPERAND_SCALE)
		return (xrnpe_u128)(scale_records(cmd) - 1) * o->row_stride + scale_record_bytes(cmd);
	l = xrnpe_cmd_layout(cmd, i);
	return (xrnpe_u128)(l.matrices - 1) * o->batch_stride + (xrnpe_u128)(l.rows - 1) * o->row_stride +
	       (xrnpe_u128)(l.pixels - 1) * o->pixel_stride + xrnpe_row_bytes(o->format, l.elements);
}

/* a * b, or UINT64_MAX if that does not fit. */
static uint64_t times(uint64_t a, uint64_t b)
{
	uint64_t product;

	return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

uint64_t xrnpe_cmd_work(const struct xrnpe_cmd *cmd)
{
	const struct xrnpe_dims_matmul *m = &cmd->matmul;
	const struct xrnpe_dims_image *d = &cmd->image;
	const struct xrnpe_dims_copy *copy = &cmd->copy;
	uint64_t outputs = (uint64_t)d->out_h * d->out_w * d->out_c;
	uint64_t taps = (uint64_t)d->kernel_h * d->kernel_w;

	switch (cmd->opcode) {
	case XRNPE_OP_MATMUL:
		return times(times((uint64_t)m->m * m->n, m->k), m->batch);
	case XRNPE_OP_CONV2D:
		return times(times(outputs, taps), d->in_c / d->groups);
	case XRNPE_OP_MAXPOOL:
		return times(outputs, taps);
	case XRNPE_OP_COPY:
		return (uint64_t)copy->out_h * copy->out_w * copy->out_c;
	case XRNPE_OP_BARRIER:
	case XRNPE_OP_TIMESTAMP:
		return 0;
	default:
		return (uint64_t)d->in_h * d->in_w * d->in_c;
	}
}

uint64_t xrnpe_cmd_macs(const struct xrnpe_cmd *cmd)
{
	return xrnpe_cmd_multiplies(cmd) ? xrnpe_cmd_work(cmd) : 0;
}

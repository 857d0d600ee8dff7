// SPDX-License-Identifier: MIT
/*
 * Is a command legal, and which memory does it touch?
 *
 * A rule belongs to the field that it refuses. Of all fields that break a rule
 * the first in the record is reported; a rule that depends on a field which is
 * itself illegal is not judged.
 */
#include <stddef.h>

#include "internal.h"

_Static_assert(sizeof(struct xrnpe_cmd) == 128, "a record has 128 bytes");

#define FIELD(member) offsetof(struct xrnpe_cmd, member)
#define IMAGE(member) FIELD(image.member)
#define OPERAND(i, member) \
	(FIELD(operand) + (i) * sizeof(struct xrnpe_operand) + \
	 offsetof(struct xrnpe_operand, member))

#define NOTHING SIZE_MAX

/* The first illegal field so far. */
struct verdict {
	size_t field;
};

static void require(struct verdict *v, bool legal, size_t field)
{
	if (!legal && field < v->field)
		v->field = field;
}

static bool all_zero(const void *bytes, size_t size)
{
	const uint8_t *byte = bytes;

	for (size_t i = 0; i < size; i++) {
		if (byte[i])
			return false;
	}
	return true;
}

/* Which operands a command has; every one has IFM and OFM. */
static bool has_operand(const struct xrnpe_cmd *cmd, unsigned int i)
{
	switch (i) {
	case XRNPE_OPERAND_WEIGHT:
		return cmd->opcode != XRNPE_OP_MAXPOOL && cmd->opcode != XRNPE_OP_CONVERT;
	case XRNPE_OPERAND_SCALE:
		return cmd->opcode != XRNPE_OP_MAXPOOL;
	default:
		return true;
	}
}

static bool multiplies(const struct xrnpe_cmd *cmd)
{
	return cmd->opcode == XRNPE_OP_MATMUL || cmd->opcode == XRNPE_OP_CONV2D;
}

static void check_operand(struct verdict *v, const struct xrnpe_cmd *cmd, unsigned int i)
{
	const struct xrnpe_operand *o = &cmd->operand[i];
	unsigned int size, formats = XRNPE_FORMATS;

	require(v, all_zero(o->reserved, sizeof(o->reserved)), OPERAND(i, reserved));
	if (!has_operand(cmd, i)) {
		require(v, !o->offset, OPERAND(i, offset));
		require(v, !o->row_stride, OPERAND(i, row_stride));
		require(v, !o->pixel_stride, OPERAND(i, pixel_stride));
		require(v, !o->region, OPERAND(i, region));
		require(v, !o->format, OPERAND(i, format));
		return;
	}
	if (i == XRNPE_OPERAND_SCALE) {
		require(v, !(o->offset % sizeof(uint32_t)), OPERAND(i, offset));
		require(v, !o->row_stride, OPERAND(i, row_stride));
		require(v, !o->pixel_stride, OPERAND(i, pixel_stride));
		require(v, o->format == XRNPE_FORMAT_F32, OPERAND(i, format));
		return;
	}
	if (i != XRNPE_OPERAND_OFM && cmd->opcode != XRNPE_OP_CONVERT)
		formats = XRNPE_FORMAT_F32;
	require(v, o->format < formats, OPERAND(i, format));
	if ((i == XRNPE_OPERAND_WEIGHT && multiplies(cmd)) ||
	    (i == XRNPE_OPERAND_OFM && cmd->opcode == XRNPE_OP_MAXPOOL))
		require(v, o->format == cmd->operand[XRNPE_OPERAND_IFM].format ||
			   cmd->operand[XRNPE_OPERAND_IFM].format >= XRNPE_FORMAT_F32,
			OPERAND(i, format));
	if (cmd->opcode == XRNPE_OP_MATMUL)
		require(v, !o->pixel_stride, OPERAND(i, pixel_stride));
	if (o->format >= formats || xrnpe_format_bits(o->format) <= 8)
		return;
	size = xrnpe_format_bits(o->format) / 8;
	require(v, !(o->offset % size), OPERAND(i, offset));
	require(v, !(o->row_stride % size), OPERAND(i, row_stride));
	require(v, !(o->pixel_stride % size), OPERAND(i, pixel_stride));
}

static void check_matmul(struct verdict *v, const struct xrnpe_dims_matmul *d)
{
	require(v, d->m, FIELD(matmul.m));
	require(v, d->n, FIELD(matmul.n));
	require(v, d->k && d->k <= XRNPE_MAX_K, FIELD(matmul.k));
	require(v, all_zero(d->reserved, sizeof(d->reserved)), FIELD(matmul.reserved));
}

/* ADD and CONVERT: three dimensions, the rest is zero. */
static void check_elementwise(struct verdict *v, const struct xrnpe_dims_image *d)
{
	require(v, d->in_h, IMAGE(in_h));
	require(v, d->in_w, IMAGE(in_w));
	require(v, d->in_c, IMAGE(in_c));
	require(v, !d->out_h, IMAGE(out_h));
	require(v, !d->out_w, IMAGE(out_w));
	require(v, !d->out_c, IMAGE(out_c));
	require(v, !d->groups, IMAGE(groups));
	require(v, !d->kernel_h, IMAGE(kernel_h));
	require(v, !d->kernel_w, IMAGE(kernel_w));
	require(v, !d->stride_h, IMAGE(stride_h));
	require(v, !d->stride_w, IMAGE(stride_w));
	require(v, !d->dilation_h, IMAGE(dilation_h));
	require(v, !d->dilation_w, IMAGE(dilation_w));
	require(v, !d->pad_top, IMAGE(pad_top));
	require(v, !d->pad_left, IMAGE(pad_left));
	require(v, all_zero(d->reserved, sizeof(d->reserved)), IMAGE(reserved));
}

/*
 * In one dimension: does every window touch the image? The first tap at or
 * after its start is the only candidate. An illegal field elsewhere: not judged.
 */
static bool windows_touch(int in, int out, int kernel, int stride, int dilation, int pad)
{
	if (!in || !out || !kernel || !stride || !dilation)
		return true;
	for (int i = 0; i < out; i++) {
		int start = i * stride - pad;
		int tap = start < 0 ? (-start + dilation - 1) / dilation : 0;

		if (tap >= kernel || start + tap * dilation >= in)
			return false;
	}
	return true;
}

static void check_window(struct verdict *v, const struct xrnpe_cmd *cmd)
{
	const struct xrnpe_dims_image *d = &cmd->image;

	require(v, d->in_h, IMAGE(in_h));
	require(v, d->in_w, IMAGE(in_w));
	require(v, d->in_c, IMAGE(in_c));
	require(v, d->out_h, IMAGE(out_h));
	require(v, d->out_w, IMAGE(out_w));
	require(v, d->out_c, IMAGE(out_c));
	require(v, d->kernel_h, IMAGE(kernel_h));
	require(v, d->kernel_w, IMAGE(kernel_w));
	require(v, d->stride_h, IMAGE(stride_h));
	require(v, d->stride_w, IMAGE(stride_w));
	require(v, d->dilation_h, IMAGE(dilation_h));
	require(v, d->dilation_w, IMAGE(dilation_w));
	require(v, all_zero(d->reserved, sizeof(d->reserved)), IMAGE(reserved));
	if (cmd->opcode == XRNPE_OP_CONV2D) {
		require(v, d->groups && d->in_c % d->groups == 0 && d->out_c % d->groups == 0,
			IMAGE(groups));
		require(v, !d->groups ||
			   (uint64_t)d->kernel_h * d->kernel_w * (d->in_c / d->groups) <=
			   XRNPE_MAX_K, IMAGE(kernel_h));
		return;
	}
	require(v, d->out_c == d->in_c, IMAGE(out_c));
	require(v, d->groups == 1, IMAGE(groups));
	require(v, windows_touch(d->in_h, d->out_h, d->kernel_h, d->stride_h,
				 d->dilation_h, d->pad_top), IMAGE(out_h));
	require(v, windows_touch(d->in_w, d->out_w, d->kernel_w, d->stride_w,
				 d->dilation_w, d->pad_left), IMAGE(out_w));
}

/* Bytes from the first to the last of @rows x @pixels x @count elements. */
static xrnpe_u128 tensor_bytes(const struct xrnpe_operand *o, uint32_t rows,
			       uint32_t pixels, size_t count)
{
	return (xrnpe_u128)(rows - 1) * o->row_stride +
	       (xrnpe_u128)(pixels - 1) * o->pixel_stride +
	       xrnpe_row_bytes(o->format, count);
}

static xrnpe_u128 operand_bytes(const struct xrnpe_cmd *cmd, unsigned int i)
{
	const struct xrnpe_operand *o = &cmd->operand[i];
	const struct xrnpe_dims_matmul *m = &cmd->matmul;
	const struct xrnpe_dims_image *d = &cmd->image;
	bool matmul = cmd->opcode == XRNPE_OP_MATMUL;
	bool window = cmd->opcode == XRNPE_OP_CONV2D || cmd->opcode == XRNPE_OP_MAXPOOL;

	if (i == XRNPE_OPERAND_SCALE)
		return sizeof(struct xrnpe_scale) *
		       (matmul ? m->n : cmd->opcode == XRNPE_OP_CONV2D ? d->out_c :
			cmd->opcode == XRNPE_OP_ADD ? 2 : 1);
	if (matmul)
		return i == XRNPE_OPERAND_IFM ? tensor_bytes(o, m->m, 1, m->k) :
		       i == XRNPE_OPERAND_WEIGHT ? tensor_bytes(o, m->n, 1, m->k) :
		       tensor_bytes(o, m->m, 1, m->n);
	if (i == XRNPE_OPERAND_WEIGHT && cmd->opcode == XRNPE_OP_CONV2D)
		return tensor_bytes(o, d->out_c, (uint32_t)d->kernel_h * d->kernel_w,
				    d->in_c / d->groups);
	if (i == XRNPE_OPERAND_OFM && window)
		return tensor_bytes(o, d->out_h, d->out_w, d->out_c);
	return tensor_bytes(o, d->in_h, d->in_w, d->in_c);
}

bool xrnpe_cmd_check(const struct xrnpe_cmd *cmd, uint32_t index,
		     const struct xrnpe_extent *extents, unsigned int extent_count,
		     struct xrnpe_span spans[XRNPE_OPERANDS],
		     struct xrnpe_fault *fault)
{
	struct verdict v = { .field = NOTHING };

	*fault = (struct xrnpe_fault){ .cmd = index, .operand = XRNPE_OPERAND_NONE };
	if (cmd->opcode < XRNPE_OP_MATMUL || cmd->opcode > XRNPE_OP_CONVERT) {
		fault->kind = XRNPE_FAULT_ILLEGAL_OPCODE;
		return false;
	}

	require(&v, cmd->activation == XRNPE_ACT_NONE ||
		    (cmd->activation == XRNPE_ACT_RELU && cmd->opcode != XRNPE_OP_MAXPOOL),
		FIELD(activation));
	require(&v, all_zero(cmd->reserved, sizeof(cmd->reserved)), FIELD(reserved));
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++)
		check_operand(&v, cmd, i);
	if (cmd->opcode == XRNPE_OP_MATMUL)
		check_matmul(&v, &cmd->matmul);
	else if (cmd->opcode == XRNPE_OP_CONV2D || cmd->opcode == XRNPE_OP_MAXPOOL)
		check_window(&v, cmd);
	else
		check_elementwise(&v, &cmd->image);
	if (v.field != NOTHING) {
		fault->kind = XRNPE_FAULT_ILLEGAL_FIELD;
		fault->offset = v.field;
		if (v.field >= FIELD(operand) && v.field < FIELD(operand[XRNPE_OPERANDS])) {
			fault->operand = (uint32_t)((v.field - FIELD(operand)) /
						    sizeof(struct xrnpe_operand));
			fault->region = cmd->operand[fault->operand].region;
		}
		return false;
	}

	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
		const struct xrnpe_operand *o = &cmd->operand[i];
		bool write = i == XRNPE_OPERAND_OFM;
		xrnpe_u128 size;

		spans[i] = (struct xrnpe_span){ 0 };
		if (!has_operand(cmd, i))
			continue;
		fault->operand = i;
		fault->region = o->region;
		fault->offset = o->offset;
		if (o->region >= extent_count) {
			fault->kind = XRNPE_FAULT_NO_REGION;
			return false;
		}
		if (!(extents[o->region].flags & (write ? XRNPE_REGION_WRITE : XRNPE_REGION_READ))) {
			fault->kind = XRNPE_FAULT_PERMISSION;
			return false;
		}
		size = operand_bytes(cmd, i);
		if (size + o->offset > extents[o->region].size) {
			fault->kind = XRNPE_FAULT_OUT_OF_BOUNDS;
			if (fault->offset < extents[o->region].size)
				fault->offset = extents[o->region].size;
			return false;
		}
		spans[i] = (struct xrnpe_span){ o->offset, (uint64_t)size, o->region, write };
	}
	*fault = (struct xrnpe_fault){ .cmd = index, .operand = XRNPE_OPERAND_NONE };
	return true;
}

uint64_t xrnpe_cmd_macs(const struct xrnpe_cmd *cmd)
{
	const struct xrnpe_dims_matmul *m = &cmd->matmul;
	const struct xrnpe_dims_image *d = &cmd->image;
	uint64_t outputs = (uint64_t)m->m * m->n, products;

	/* 2^64 outputs of 2^15 products do not fit; 2^48 of an image do. */
	if (cmd->opcode == XRNPE_OP_MATMUL)
		return __builtin_mul_overflow(outputs, m->k, &products) ? UINT64_MAX : products;
	if (cmd->opcode != XRNPE_OP_CONV2D)
		return 0;
	outputs = (uint64_t)d->out_h * d->out_w * d->out_c;
	return outputs * ((uint64_t)d->kernel_h * d->kernel_w * (d->in_c / d->groups));
}

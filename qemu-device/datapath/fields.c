// SPDX-License-Identifier: MIT
/* The fields of command records: where they lie and what they are called. */
#include <stdio.h>

#include "names.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct member {
	const char *name;
	size_t offset, size;
	enum xrnpe_field_kind kind;
};

#define MEMBER(type, member, kind) \
	{ #member, offsetof(struct type, member), sizeof(((struct type *)0)->member), XRNPE_FIELD_##kind }

static const struct member cmd_members[] = {
	MEMBER(xrnpe_cmd, opcode, OPCODE),
	MEMBER(xrnpe_cmd, activation, ACTIVATION),
	MEMBER(xrnpe_cmd, order, ORDER),
	MEMBER(xrnpe_cmd, reserved, RESERVED),
	MEMBER(xrnpe_cmd, flags, FLAGS),
	MEMBER(xrnpe_cmd, slope, F32),
	MEMBER(xrnpe_cmd, lo, F32),
	MEMBER(xrnpe_cmd, hi, F32),
	MEMBER(xrnpe_cmd, residual, F32),
};

static const struct member operand_members[] = {
	MEMBER(xrnpe_operand, offset, HEX),
	MEMBER(xrnpe_operand, row_stride, NUMBER),
	MEMBER(xrnpe_operand, pixel_stride, NUMBER),
	MEMBER(xrnpe_operand, batch_stride, NUMBER),
	MEMBER(xrnpe_operand, region, NUMBER),
	MEMBER(xrnpe_operand, format, FORMAT),
	MEMBER(xrnpe_operand, reserved, RESERVED),
};

static const struct member matmul_members[] = {
	MEMBER(xrnpe_dims_matmul, m, NUMBER),
	MEMBER(xrnpe_dims_matmul, n, NUMBER),
	MEMBER(xrnpe_dims_matmul, k, NUMBER),
	MEMBER(xrnpe_dims_matmul, batch, NUMBER),
	MEMBER(xrnpe_dims_matmul, reserved, RESERVED),
};

static const struct member image_members[] = {
	MEMBER(xrnpe_dims_image, in_h, NUMBER),
	MEMBER(xrnpe_dims_image, in_w, NUMBER),
	MEMBER(xrnpe_dims_image, in_c, NUMBER),
	MEMBER(xrnpe_dims_image, out_h, NUMBER),
	MEMBER(xrnpe_dims_image, out_w, NUMBER),
	MEMBER(xrnpe_dims_image, out_c, NUMBER),
	MEMBER(xrnpe_dims_image, groups, NUMBER),
	MEMBER(xrnpe_dims_image, kernel_h, NUMBER),
	MEMBER(xrnpe_dims_image, kernel_w, NUMBER),
	MEMBER(xrnpe_dims_image, stride_h, NUMBER),
	MEMBER(xrnpe_dims_image, stride_w, NUMBER),
	MEMBER(xrnpe_dims_image, dilation_h, NUMBER),
	MEMBER(xrnpe_dims_image, dilation_w, NUMBER),
	MEMBER(xrnpe_dims_image, pad_top, NUMBER),
	MEMBER(xrnpe_dims_image, pad_left, NUMBER),
	MEMBER(xrnpe_dims_image, reserved, RESERVED),
};

static const struct member copy_members[] = {
	MEMBER(xrnpe_dims_copy, in_h, NUMBER),
	MEMBER(xrnpe_dims_copy, in_w, NUMBER),
	MEMBER(xrnpe_dims_copy, in_c, NUMBER),
	MEMBER(xrnpe_dims_copy, out_h, NUMBER),
	MEMBER(xrnpe_dims_copy, out_w, NUMBER),
	MEMBER(xrnpe_dims_copy, out_c, NUMBER),
	MEMBER(xrnpe_dims_copy, pad_h, NUMBER),
	MEMBER(xrnpe_dims_copy, pad_w, NUMBER),
	MEMBER(xrnpe_dims_copy, pad_c, NUMBER),
	MEMBER(xrnpe_dims_copy, up_h, NUMBER),
	MEMBER(xrnpe_dims_copy, up_w, NUMBER),
	MEMBER(xrnpe_dims_copy, fill, HEX),
	MEMBER(xrnpe_dims_copy, reserved, RESERVED),
};

static const struct member none_members[] = { MEMBER(xrnpe_cmd, none, RESERVED) };
static const struct member last_members[] = { MEMBER(xrnpe_cmd, reserved2, RESERVED) };

/* Of the union of dimensions. Sets *@start to where they count offsets from. */
static const struct member *dims_members(uint32_t opcode, size_t *count, size_t *start)
{
	*start = offsetof(struct xrnpe_cmd, image);
	switch (opcode) {
	case XRNPE_OP_MATMUL:
		*count = COUNT(matmul_members);
		return matmul_members;
	case XRNPE_OP_COPY:
		*count = COUNT(copy_members);
		return copy_members;
	case XRNPE_OP_CONV2D:
	case XRNPE_OP_MAXPOOL:
	case XRNPE_OP_ADD:
	case XRNPE_OP_CONVERT:
	case XRNPE_OP_MUL:
	case XRNPE_OP_MAX:
	case XRNPE_OP_MIN:
	case XRNPE_OP_LUT:
		*count = COUNT(image_members);
		return image_members;
	default:
		*start = 0;
		*count = COUNT(none_members);
		return none_members;
	}
}

static bool set_field(struct xrnpe_field *field, const char *prefix, const struct member *member,
		      size_t start)
{
	field->offset = start + member->offset;
	field->size = member->size;
	field->kind = member->kind;
	snprintf(field->name, sizeof(field->name), "%s%s%s", prefix, *prefix ? "." : "", member->name);
	return true;
}

bool xrnpe_cmd_field(uint32_t opcode, unsigned int i, struct xrnpe_field *field)
{
	size_t dims, start;
	const struct member *members = dims_members(opcode, &dims, &start);

	if (i < COUNT(cmd_members))
		return set_field(field, "", &cmd_members[i], 0);
	i -= COUNT(cmd_members);
	if (i < XRNPE_OPERANDS * COUNT(operand_members)) {
		unsigned int operand = i / COUNT(operand_members);

		return set_field(field, xrnpe_operand_name(operand), &operand_members[i % COUNT(operand_members)],
				 offsetof(struct xrnpe_cmd, operand) +
				 operand * sizeof(struct xrnpe_operand));
	}
	i -= XRNPE_OPERANDS * COUNT(operand_members);
	if (i < dims)
		return set_field(field, "", &members[i], start);
	i -= dims;
	return i < COUNT(last_members) && set_field(field, "", &last_members[i], 0);
}

bool xrnpe_cmd_field_at(uint32_t opcode, uint64_t offset, struct xrnpe_field *field)
{
	for (unsigned int i = 0; xrnpe_cmd_field(opcode, i, field); i++) {
		if (offset >= field->offset && offset - field->offset < field->size)
			return true;
	}
	return false;
}

uint64_t xrnpe_field_value(const struct xrnpe_cmd *cmd, const struct xrnpe_field *field)
{
	uint64_t value = 0;

	for (size_t i = 0; i < field->size; i++)
		value |= (uint64_t)((const uint8_t *)cmd)[field->offset + i] << i % 8 * 8;
	return value;
}

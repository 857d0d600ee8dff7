// SPDX-License-Identifier: MIT
/* xrnpe_cmd_check(): what is legal, and exactly which fault anything else is. */
#include <stddef.h>
#include <string.h>

#include "unit/datapath_tests.h"

#define REGION_SIZE 0x10000

#define OPERAND(i, member) \
	(offsetof(struct xrnpe_cmd, operand) + (i) * sizeof(struct xrnpe_operand) + \
	 offsetof(struct xrnpe_operand, member))
#define MATMUL(member) offsetof(struct xrnpe_cmd, matmul.member)
#define IMAGE(member) offsetof(struct xrnpe_cmd, image.member)

static const struct xrnpe_extent extents[] = {
	{ REGION_SIZE, XRNPE_REGION_READ },
	{ REGION_SIZE, XRNPE_REGION_READ },
	{ REGION_SIZE, XRNPE_REGION_READ },
	{ REGION_SIZE, XRNPE_REGION_READ },
	{ REGION_SIZE, XRNPE_REGION_WRITE },
};

#define EXTENTS 5

/* Whether commands of @opcode have operand @i. */
static bool has(uint8_t opcode, int i)
{
	switch (i) {
	case XRNPE_OPERAND_IFM2:
		return opcode == XRNPE_OP_ADD;
	case XRNPE_OPERAND_WEIGHT:
		return opcode == XRNPE_OP_MATMUL || opcode == XRNPE_OP_CONV2D;
	case XRNPE_OPERAND_SCALE:
		return opcode != XRNPE_OP_MAXPOOL;
	default:
		return true;
	}
}

/* A legal command; operand i lies in region i, all formats are @format. */
static struct xrnpe_cmd legal(uint8_t opcode, uint8_t format)
{
	struct xrnpe_cmd cmd = { .opcode = opcode };

	for (uint8_t i = 0; i < XRNPE_OPERANDS; i++) {
		if (!has(opcode, i))
			continue;
		cmd.operand[i] = (struct xrnpe_operand){
			.offset = 64, .row_stride = 512, .pixel_stride = 32,
			.region = i, .format = format,
		};
		if (opcode == XRNPE_OP_MATMUL)
			cmd.operand[i].pixel_stride = 0;
		if (i == XRNPE_OPERAND_SCALE) {
			cmd.operand[i].row_stride = opcode == XRNPE_OP_CONVERT ? 0 : 8;
			cmd.operand[i].pixel_stride = 0;
			cmd.operand[i].format = XRNPE_FORMAT_F32;
		}
	}
	if (opcode == XRNPE_OP_MATMUL) {
		cmd.matmul.m = 5;
		cmd.matmul.n = 6;
		cmd.matmul.k = 7;
		cmd.matmul.batch = 1;
		return cmd;
	}
	cmd.image = (struct xrnpe_dims_image){ .in_h = 6, .in_w = 5, .in_c = 4 };
	if (opcode == XRNPE_OP_CONV2D || opcode == XRNPE_OP_MAXPOOL) {
		cmd.image.out_h = 6;
		cmd.image.out_w = 5;
		cmd.image.out_c = opcode == XRNPE_OP_MAXPOOL ? 4 : 6;
		cmd.image.groups = opcode == XRNPE_OP_MAXPOOL ? 1 : 2;
		cmd.image.kernel_h = cmd.image.kernel_w = 3;
		cmd.image.stride_h = cmd.image.stride_w = 1;
		cmd.image.dilation_h = cmd.image.dilation_w = 1;
		cmd.image.pad_top = cmd.image.pad_left = 1;
	}
	return cmd;
}

static void expect_legal(const struct xrnpe_cmd *cmd, struct xrnpe_span *spans)
{
	struct xrnpe_fault fault;

	ck_assert_msg(xrnpe_cmd_check(cmd, 3, extents, EXTENTS, spans, &fault),
		      "opcode %u: fault %u at %#lx", cmd->opcode, fault.kind,
		      (unsigned long)fault.offset);
	ck_assert_uint_eq(fault.kind, XRNPE_FAULT_NONE);
}

static void expect(const struct xrnpe_cmd *cmd, uint32_t kind, uint32_t operand, uint64_t offset)
{
	struct xrnpe_span spans[XRNPE_OPERANDS];
	struct xrnpe_fault fault;

	ck_assert_msg(!xrnpe_cmd_check(cmd, 77, extents, EXTENTS, spans, &fault),
		      "opcode %u: fault %u at %#lx expected", cmd->opcode, kind,
		      (unsigned long)offset);
	ck_assert_msg(fault.kind == kind && fault.offset == offset,
		      "opcode %u: fault %u at %#lx, expected %u at %#lx", cmd->opcode, fault.kind,
		      (unsigned long)fault.offset, kind, (unsigned long)offset);
	ck_assert_uint_eq(fault.cmd, 77);
	ck_assert_uint_eq(fault.operand, operand);
	ck_assert_uint_eq(fault.region,
			  operand < XRNPE_OPERANDS ? cmd->operand[operand].region : 0);
}

/* The operand that the field at @offset belongs to. */
static uint32_t operand_at(size_t offset)
{
	if (offset < offsetof(struct xrnpe_cmd, operand) || offset >= MATMUL(m))
		return XRNPE_OPERAND_NONE;
	return (uint32_t)((offset - offsetof(struct xrnpe_cmd, operand)) /
			  sizeof(struct xrnpe_operand));
}

/* Overwrite @size bytes at @at with @value: the field at @field is refused. */
static void refuse(struct xrnpe_cmd cmd, size_t at, uint64_t value, size_t size, size_t field)
{
	memcpy((uint8_t *)&cmd + at, &value, size);
	expect(&cmd, XRNPE_FAULT_ILLEGAL_FIELD, operand_at(field), field);
}

START_TEST(legal_commands)
{
	struct xrnpe_span spans[XRNPE_OPERANDS];

	for (uint8_t opcode = XRNPE_OP_MATMUL; opcode <= XRNPE_OP_CONVERT; opcode++) {
		for (uint8_t format = 0; format < XRNPE_FORMAT_F32; format++) {
			struct xrnpe_cmd cmd = legal(opcode, format);

			expect_legal(&cmd, spans);
			ck_assert_uint_eq(spans[XRNPE_OPERAND_IFM].offset, 64);
			ck_assert_uint_eq(spans[XRNPE_OPERAND_OFM].region, XRNPE_OPERAND_OFM);
			ck_assert(spans[XRNPE_OPERAND_OFM].write);
			ck_assert(!spans[XRNPE_OPERAND_IFM].write);
			if (opcode == XRNPE_OP_MAXPOOL)
				continue;
			cmd.activation = XRNPE_ACT_RELU;
			expect_legal(&cmd, spans);
			cmd.operand[XRNPE_OPERAND_OFM].format = XRNPE_FORMAT_F32;
			expect_legal(&cmd, spans);
		}
	}
}
END_TEST

START_TEST(spans_touched)
{
	struct xrnpe_span s[XRNPE_OPERANDS];
	struct xrnpe_cmd cmd = legal(XRNPE_OP_MATMUL, XRNPE_FORMAT_P4);

	expect_legal(&cmd, s);
	ck_assert_uint_eq(s[XRNPE_OPERAND_IFM].size, 4 * 512 + 4);	/* 7 nibbles */
	ck_assert_uint_eq(s[XRNPE_OPERAND_WEIGHT].size, 5 * 512 + 4);
	ck_assert_uint_eq(s[XRNPE_OPERAND_SCALE].size, 6 * 8);
	ck_assert_uint_eq(s[XRNPE_OPERAND_OFM].size, 4 * 512 + 3);

	cmd = legal(XRNPE_OP_CONV2D, XRNPE_FORMAT_P16);
	expect_legal(&cmd, s);
	ck_assert_uint_eq(s[XRNPE_OPERAND_IFM].size, 5 * 512 + 4 * 32 + 4 * 2);
	ck_assert_uint_eq(s[XRNPE_OPERAND_WEIGHT].size, 5 * 512 + 8 * 32 + 2 * 2);
	ck_assert_uint_eq(s[XRNPE_OPERAND_SCALE].size, 6 * 8);
	ck_assert_uint_eq(s[XRNPE_OPERAND_OFM].size, 5 * 512 + 4 * 32 + 6 * 2);

	cmd = legal(XRNPE_OP_MAXPOOL, XRNPE_FORMAT_P8);
	expect_legal(&cmd, s);
	ck_assert_uint_eq(s[XRNPE_OPERAND_WEIGHT].size, 0);
	ck_assert_uint_eq(s[XRNPE_OPERAND_SCALE].size, 0);
	ck_assert_uint_eq(s[XRNPE_OPERAND_OFM].size, 5 * 512 + 4 * 32 + 4);

	cmd = legal(XRNPE_OP_ADD, XRNPE_FORMAT_P8);
	expect_legal(&cmd, s);
	ck_assert_uint_eq(s[XRNPE_OPERAND_IFM2].size, 5 * 512 + 4 * 32 + 4);
	ck_assert_uint_eq(s[XRNPE_OPERAND_SCALE].size, 16);

	cmd = legal(XRNPE_OP_CONVERT, XRNPE_FORMAT_F32);
	expect_legal(&cmd, s);
	ck_assert_uint_eq(s[XRNPE_OPERAND_IFM].size, 5 * 512 + 4 * 32 + 16);
	ck_assert_uint_eq(s[XRNPE_OPERAND_WEIGHT].size, 0);
	ck_assert_uint_eq(s[XRNPE_OPERAND_SCALE].size, 8);
}
END_TEST

START_TEST(illegal_opcodes)
{
	for (int opcode = 0; opcode < 256; opcode++) {
		struct xrnpe_cmd cmd = legal(XRNPE_OP_MATMUL, XRNPE_FORMAT_P8);

		if (opcode >= XRNPE_OP_MATMUL && opcode <= XRNPE_OP_TIMESTAMP)
			continue;
		cmd.opcode = (uint8_t)opcode;
		cmd.reserved = 1;	/* the opcode comes first */
		expect(&cmd, XRNPE_FAULT_ILLEGAL_OPCODE, XRNPE_OPERAND_NONE, 0);
	}
}
END_TEST

/* Every byte of every reserved field, and of operands that are not there. */
START_TEST(reserved_fields)
{
	for (uint8_t opcode = XRNPE_OP_MATMUL; opcode <= XRNPE_OP_CONVERT; opcode++) {
		struct xrnpe_cmd cmd = legal(opcode, XRNPE_FORMAT_P8);

		refuse(cmd, offsetof(struct xrnpe_cmd, reserved), 1, 1,
		       offsetof(struct xrnpe_cmd, reserved));
		for (size_t i = 0; i < sizeof(cmd.reserved2); i++)
			refuse(cmd, offsetof(struct xrnpe_cmd, reserved2) + i, 1, 1,
			       offsetof(struct xrnpe_cmd, reserved2));
		for (int o = 0; o < XRNPE_OPERANDS; o++) {
			for (size_t i = 0; i < 2; i++)
				refuse(cmd, OPERAND(o, reserved) + i, 0x80, 1, OPERAND(o, reserved));
		}
		if (opcode == XRNPE_OP_MATMUL) {
			for (size_t i = 0; i < sizeof(cmd.matmul.reserved); i++)
				refuse(cmd, MATMUL(reserved) + i, 1, 1, MATMUL(reserved));
		} else {
			for (size_t i = 0; i < sizeof(cmd.image.reserved); i++)
				refuse(cmd, IMAGE(reserved) + i, 1, 1, IMAGE(reserved));
		}
	}
	for (int o = XRNPE_OPERAND_WEIGHT; o <= XRNPE_OPERAND_SCALE; o++) {
		struct xrnpe_cmd cmd = legal(XRNPE_OP_MAXPOOL, XRNPE_FORMAT_P8);

		refuse(cmd, OPERAND(o, offset), 4, 8, OPERAND(o, offset));
		refuse(cmd, OPERAND(o, row_stride), 4, 4, OPERAND(o, row_stride));
		refuse(cmd, OPERAND(o, pixel_stride), 4, 4, OPERAND(o, pixel_stride));
		refuse(cmd, OPERAND(o, region), 1, 1, OPERAND(o, region));
		refuse(cmd, OPERAND(o, format), 4, 1, OPERAND(o, format));
	}
	refuse(legal(XRNPE_OP_CONVERT, XRNPE_FORMAT_P8), OPERAND(XRNPE_OPERAND_WEIGHT, region), 1, 1,
	       OPERAND(XRNPE_OPERAND_WEIGHT, region));
	refuse(legal(XRNPE_OP_MATMUL, XRNPE_FORMAT_P8), OPERAND(XRNPE_OPERAND_IFM2, batch_stride), 4, 4,
	       OPERAND(XRNPE_OPERAND_IFM2, batch_stride));
}
END_TEST

START_TEST(activations)
{
	size_t field = offsetof(struct xrnpe_cmd, activation);

	for (uint8_t opcode = XRNPE_OP_MATMUL; opcode <= XRNPE_OP_CONVERT; opcode++) {
		refuse(legal(opcode, 2), field, XRNPE_ACT_PRELU + 1, 1, field);
		refuse(legal(opcode, 2), field, 255, 1, field);
	}
	refuse(legal(XRNPE_OP_MAXPOOL, 2), field, XRNPE_ACT_RELU, 1, field);
}
END_TEST

START_TEST(formats)
{
	static const uint8_t opcodes[] = { XRNPE_OP_MATMUL, XRNPE_OP_CONV2D, XRNPE_OP_MAXPOOL,
					   XRNPE_OP_ADD };
	struct xrnpe_span s[XRNPE_OPERANDS];

	for (size_t i = 0; i < sizeof(opcodes); i++) {
		struct xrnpe_cmd cmd = legal(opcodes[i], XRNPE_FORMAT_P8);

		refuse(cmd, OPERAND(XRNPE_OPERAND_IFM, format), 4, 1,
		       OPERAND(XRNPE_OPERAND_IFM, format));
		refuse(cmd, OPERAND(XRNPE_OPERAND_IFM, format), 5, 1,
		       OPERAND(XRNPE_OPERAND_IFM, format));
		refuse(cmd, OPERAND(XRNPE_OPERAND_OFM, format), 5, 1,
		       OPERAND(XRNPE_OPERAND_OFM, format));
		if (opcodes[i] == XRNPE_OP_MAXPOOL) {
			refuse(cmd, OPERAND(XRNPE_OPERAND_OFM, format), 1, 1,
			       OPERAND(XRNPE_OPERAND_OFM, format));
			continue;
		}
		size_t second = OPERAND(has(opcodes[i], XRNPE_OPERAND_IFM2) ? XRNPE_OPERAND_IFM2 :
								      XRNPE_OPERAND_WEIGHT, format);

		refuse(cmd, second, 4, 1, second);
		refuse(cmd, OPERAND(XRNPE_OPERAND_SCALE, format), 2, 1,
		       OPERAND(XRNPE_OPERAND_SCALE, format));
	}
	struct xrnpe_cmd add = legal(XRNPE_OP_ADD, XRNPE_FORMAT_P8);

	add.operand[XRNPE_OPERAND_IFM2].format = XRNPE_FORMAT_FP4;
	add.operand[XRNPE_OPERAND_OFM].format = XRNPE_FORMAT_P16;
	expect_legal(&add, s);
	refuse(legal(XRNPE_OP_CONVERT, 2), OPERAND(XRNPE_OPERAND_IFM, format), XRNPE_FORMATS, 1,
	       OPERAND(XRNPE_OPERAND_IFM, format));
}
END_TEST

START_TEST(alignment_and_strides)
{
	for (uint8_t opcode = XRNPE_OP_MATMUL; opcode <= XRNPE_OP_CONVERT; opcode++) {
		struct xrnpe_cmd cmd = legal(opcode, XRNPE_FORMAT_P16);

		refuse(cmd, OPERAND(XRNPE_OPERAND_IFM, offset), 65, 8,
		       OPERAND(XRNPE_OPERAND_IFM, offset));
		refuse(cmd, OPERAND(XRNPE_OPERAND_OFM, row_stride), 511, 4,
		       OPERAND(XRNPE_OPERAND_OFM, row_stride));
		refuse(cmd, OPERAND(XRNPE_OPERAND_OFM, pixel_stride), 31, 4,
		       OPERAND(XRNPE_OPERAND_OFM, pixel_stride));
		if (opcode == XRNPE_OP_MAXPOOL)
			continue;
		cmd.operand[XRNPE_OPERAND_OFM].format = XRNPE_FORMAT_F32;
		refuse(cmd, OPERAND(XRNPE_OPERAND_OFM, offset), 66, 8,
		       OPERAND(XRNPE_OPERAND_OFM, offset));
		refuse(cmd, OPERAND(XRNPE_OPERAND_SCALE, offset), 66, 8,
		       OPERAND(XRNPE_OPERAND_SCALE, offset));
		refuse(cmd, OPERAND(XRNPE_OPERAND_SCALE, row_stride), 4, 4,
		       OPERAND(XRNPE_OPERAND_SCALE, row_stride));
		refuse(cmd, OPERAND(XRNPE_OPERAND_SCALE, row_stride), 10, 4,
		       OPERAND(XRNPE_OPERAND_SCALE, row_stride));
		refuse(cmd, OPERAND(XRNPE_OPERAND_SCALE, pixel_stride), 8, 4,
		       OPERAND(XRNPE_OPERAND_SCALE, pixel_stride));
	}
	for (int o = 0; o < XRNPE_OPERANDS; o++)
		refuse(legal(XRNPE_OP_MATMUL, 2), OPERAND(o, pixel_stride), 4, 4,
		       OPERAND(o, pixel_stride));
}
END_TEST

START_TEST(dimensions_matmul)
{
	struct xrnpe_cmd cmd = legal(XRNPE_OP_MATMUL, XRNPE_FORMAT_P8);
	struct xrnpe_span s[XRNPE_OPERANDS];

	refuse(cmd, MATMUL(m), 0, 4, MATMUL(m));
	refuse(cmd, MATMUL(n), 0, 4, MATMUL(n));
	refuse(cmd, MATMUL(k), 0, 4, MATMUL(k));
	refuse(cmd, MATMUL(k), XRNPE_MAX_K + 1, 4, MATMUL(k));
	cmd.matmul.k = XRNPE_MAX_K;
	expect_legal(&cmd, s);
}
END_TEST

START_TEST(dimensions_window)
{
	static const struct {
		size_t offset, size;
	} nonzero[] = {
		{ IMAGE(in_h), 2 }, { IMAGE(in_w), 2 }, { IMAGE(in_c), 2 }, { IMAGE(out_h), 2 },
		{ IMAGE(out_w), 2 }, { IMAGE(out_c), 2 }, { IMAGE(groups), 2 },
		{ IMAGE(kernel_h), 1 }, { IMAGE(kernel_w), 1 }, { IMAGE(stride_h), 1 },
		{ IMAGE(stride_w), 1 }, { IMAGE(dilation_h), 1 }, { IMAGE(dilation_w), 1 },
	};
	struct xrnpe_cmd conv = legal(XRNPE_OP_CONV2D, XRNPE_FORMAT_P8);
	struct xrnpe_cmd pool = legal(XRNPE_OP_MAXPOOL, XRNPE_FORMAT_P8);
	struct xrnpe_span s[XRNPE_OPERANDS];

	for (size_t i = 0; i < sizeof(nonzero) / sizeof(nonzero[0]); i++) {
		refuse(conv, nonzero[i].offset, 0, nonzero[i].size, nonzero[i].offset);
		refuse(pool, nonzero[i].offset, 0, nonzero[i].size, nonzero[i].offset);
	}
	refuse(conv, IMAGE(groups), 4, 2, IMAGE(groups));	/* divides 4, not 6 */
	refuse(conv, IMAGE(groups), 3, 2, IMAGE(groups));	/* divides 6, not 4 */
	refuse(pool, IMAGE(groups), 2, 2, IMAGE(groups));
	refuse(pool, IMAGE(out_c), 3, 2, IMAGE(out_c));

	/* 128 x 128 taps x 2 channels of a group = 32768 products; then one line more. */
	conv.image.kernel_h = conv.image.kernel_w = 128;
	for (int o = 0; o < XRNPE_OPERANDS; o++) {
		if (o == XRNPE_OPERAND_IFM || o == XRNPE_OPERAND_WEIGHT)
			conv.operand[o].pixel_stride = 2;
	}
	expect_legal(&conv, s);
	refuse(conv, IMAGE(kernel_h), 129, 1, IMAGE(kernel_h));

	/* A window of MAXPOOL holds a pixel at least. */
	expect_legal(&pool, s);
	refuse(pool, IMAGE(pad_top), 3, 1, IMAGE(out_h));
	refuse(pool, IMAGE(pad_left), 3, 1, IMAGE(out_w));
	refuse(pool, IMAGE(out_h), 8, 2, IMAGE(out_h));	/* line 6 is the last to touch */
	refuse(pool, IMAGE(out_w), 7, 2, IMAGE(out_w));
	pool.image.out_h = 7;
	pool.image.out_w = 6;
	expect_legal(&pool, s);
	/* Taps before and after the image, none in it. */
	pool.image.out_h = 1;
	pool.image.dilation_h = 8;
	refuse(pool, IMAGE(pad_top), 1, 1, IMAGE(out_h));
	pool.image.pad_top = 3;
	expect_legal(&pool, s);
}
END_TEST

START_TEST(dimensions_elementwise)
{
	static const struct {
		size_t offset, size;
	} zero[] = {
		{ IMAGE(out_h), 2 }, { IMAGE(out_w), 2 }, { IMAGE(out_c), 2 }, { IMAGE(groups), 2 },
		{ IMAGE(kernel_h), 1 }, { IMAGE(kernel_w), 1 }, { IMAGE(stride_h), 1 },
		{ IMAGE(stride_w), 1 }, { IMAGE(dilation_h), 1 }, { IMAGE(dilation_w), 1 },
		{ IMAGE(pad_top), 1 }, { IMAGE(pad_left), 1 },
	};

	for (uint8_t opcode = XRNPE_OP_ADD; opcode <= XRNPE_OP_CONVERT; opcode++) {
		struct xrnpe_cmd cmd = legal(opcode, XRNPE_FORMAT_P8);

		for (size_t i = 0; i < sizeof(zero) / sizeof(zero[0]); i++)
			refuse(cmd, zero[i].offset, 1, zero[i].size, zero[i].offset);
		refuse(cmd, IMAGE(in_h), 0, 2, IMAGE(in_h));
		refuse(cmd, IMAGE(in_w), 0, 2, IMAGE(in_w));
		refuse(cmd, IMAGE(in_c), 0, 2, IMAGE(in_c));
	}
}
END_TEST

/* Of several mistakes the first in the record is reported, fields before memory. */
START_TEST(order_of_checks)
{
	struct xrnpe_cmd cmd = legal(XRNPE_OP_MATMUL, XRNPE_FORMAT_P16);

	cmd.operand[XRNPE_OPERAND_IFM].region = 9;
	expect(&cmd, XRNPE_FAULT_NO_REGION, XRNPE_OPERAND_IFM, 0);
	cmd.matmul.k = 0;
	expect(&cmd, XRNPE_FAULT_ILLEGAL_FIELD, XRNPE_OPERAND_NONE, MATMUL(k));
	cmd.matmul.m = 0;
	expect(&cmd, XRNPE_FAULT_ILLEGAL_FIELD, XRNPE_OPERAND_NONE, MATMUL(m));
	cmd.operand[XRNPE_OPERAND_OFM].format = 200;
	refuse(cmd, MATMUL(m), 0, 4, OPERAND(XRNPE_OPERAND_OFM, format));
	cmd.operand[XRNPE_OPERAND_OFM].row_stride = 1;	/* not judged: no format */
	refuse(cmd, MATMUL(m), 0, 4, OPERAND(XRNPE_OPERAND_OFM, format));
	cmd.operand[XRNPE_OPERAND_IFM].row_stride = 1;
	refuse(cmd, MATMUL(m), 0, 4, OPERAND(XRNPE_OPERAND_IFM, row_stride));
	cmd.activation = 7;
	refuse(cmd, MATMUL(m), 0, 4, offsetof(struct xrnpe_cmd, activation));
}
END_TEST

START_TEST(memory_faults)
{
	static const uint64_t sizes[] = { 4 * 512 + 7, 0, 5 * 512 + 7, 6 * 8, 4 * 512 + 6 };

	for (uint8_t i = 0; i < XRNPE_OPERANDS; i++) {
		struct xrnpe_cmd cmd = legal(XRNPE_OP_MATMUL, XRNPE_FORMAT_P8);
		struct xrnpe_span s[XRNPE_OPERANDS];

		if (!has(XRNPE_OP_MATMUL, i))
			continue;
		cmd.operand[i].region = EXTENTS;
		expect(&cmd, XRNPE_FAULT_NO_REGION, i, 0);
		cmd.operand[i].region = 255;
		expect(&cmd, XRNPE_FAULT_NO_REGION, i, 0);
		cmd.operand[i].region = i == XRNPE_OPERAND_OFM ? XRNPE_OPERAND_IFM : XRNPE_OPERAND_OFM;
		expect(&cmd, XRNPE_FAULT_PERMISSION, i, 64);
		cmd.operand[i].region = i;

		cmd.operand[i].offset = (REGION_SIZE - sizes[i]) & ~3ull;
		expect_legal(&cmd, s);
		cmd.operand[i].offset += 4;	/* over by at least one byte */
		expect(&cmd, XRNPE_FAULT_OUT_OF_BOUNDS, i, REGION_SIZE);
		cmd.operand[i].offset = REGION_SIZE + 8;
		expect(&cmd, XRNPE_FAULT_OUT_OF_BOUNDS, i, REGION_SIZE + 8);
		cmd.operand[i].offset = UINT64_MAX - 3;
		expect(&cmd, XRNPE_FAULT_OUT_OF_BOUNDS, i, UINT64_MAX - 3);
	}
}
END_TEST

/* Sizes that wrap around 2^64 must not look small. */
START_TEST(memory_no_wrap)
{
	struct xrnpe_cmd cmd = legal(XRNPE_OP_MATMUL, XRNPE_FORMAT_P8);

	cmd.matmul.m = UINT16_MAX;
	cmd.matmul.n = UINT16_MAX;
	cmd.matmul.k = 1;
	for (int i = 0; i < XRNPE_OPERANDS; i++) {
		if (i == XRNPE_OPERAND_SCALE || i == XRNPE_OPERAND_IFM2)
			continue;
		cmd.operand[i].row_stride = UINT32_MAX;
		cmd.operand[i].offset = UINT64_MAX;
	}
	expect(&cmd, XRNPE_FAULT_OUT_OF_BOUNDS, XRNPE_OPERAND_IFM, UINT64_MAX);
	cmd.operand[XRNPE_OPERAND_IFM].offset = 0;
	expect(&cmd, XRNPE_FAULT_OUT_OF_BOUNDS, XRNPE_OPERAND_IFM, REGION_SIZE);
	cmd.operand[XRNPE_OPERAND_IFM].offset = 9ull * UINT32_MAX;
	expect(&cmd, XRNPE_FAULT_OUT_OF_BOUNDS, XRNPE_OPERAND_IFM, 9ull * UINT32_MAX);
}
END_TEST

START_TEST(macs)
{
	struct xrnpe_cmd cmd = legal(XRNPE_OP_MATMUL, XRNPE_FORMAT_P8);

	ck_assert_uint_eq(xrnpe_cmd_macs(&cmd), 5 * 6 * 7);
	cmd.matmul.batch = 3;
	ck_assert_uint_eq(xrnpe_cmd_macs(&cmd), 3 * 5 * 6 * 7);
	cmd = legal(XRNPE_OP_CONV2D, XRNPE_FORMAT_P8);
	ck_assert_uint_eq(xrnpe_cmd_macs(&cmd), 6 * 5 * 6 * (3 * 3 * 2));
	for (uint8_t opcode = XRNPE_OP_MAXPOOL; opcode <= XRNPE_OP_CONVERT; opcode++) {
		cmd = legal(opcode, XRNPE_FORMAT_P8);
		ck_assert_uint_eq(xrnpe_cmd_macs(&cmd), 0);
	}
}
END_TEST

TCase *datapath_check_tests(void)
{
	TCase *tests = tcase_create("check");

	tcase_add_test(tests, legal_commands);
	tcase_add_test(tests, spans_touched);
	tcase_add_test(tests, illegal_opcodes);
	tcase_add_test(tests, reserved_fields);
	tcase_add_test(tests, activations);
	tcase_add_test(tests, formats);
	tcase_add_test(tests, alignment_and_strides);
	tcase_add_test(tests, dimensions_matmul);
	tcase_add_test(tests, dimensions_window);
	tcase_add_test(tests, dimensions_elementwise);
	tcase_add_test(tests, order_of_checks);
	tcase_add_test(tests, memory_faults);
	tcase_add_test(tests, memory_no_wrap);
	tcase_add_test(tests, macs);
	return tests;
}

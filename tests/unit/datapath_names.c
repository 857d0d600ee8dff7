// SPDX-License-Identifier: MIT
/* Commands, faults and counters in words. */
#include <stddef.h>

#include "names.h"
#include "unit/datapath_tests.h"

#define LAST_OPCODE XRNPE_OP_TIMESTAMP

START_TEST(every_number_has_a_name)
{
	for (uint32_t opcode = XRNPE_OP_MATMUL; opcode <= LAST_OPCODE; opcode++)
		ck_assert_ptr_nonnull(xrnpe_opcode_name(opcode));
	ck_assert_ptr_null(xrnpe_opcode_name(0));
	ck_assert_ptr_null(xrnpe_opcode_name(LAST_OPCODE + 1));
	for (uint32_t operand = 0; operand < XRNPE_OPERANDS; operand++)
		ck_assert_ptr_nonnull(xrnpe_operand_name(operand));
	ck_assert_ptr_null(xrnpe_operand_name(XRNPE_OPERAND_NONE));
	for (uint32_t kind = XRNPE_FAULT_NONE; kind <= XRNPE_FAULT_DEVICE; kind++)
		ck_assert_ptr_nonnull(xrnpe_fault_name(kind));
	ck_assert_ptr_null(xrnpe_fault_name(XRNPE_FAULT_DEVICE + 1));
}
END_TEST

/* Each byte of a record belongs to one field. */
START_TEST(fields_cover_the_record)
{
	for (uint32_t opcode = 0; opcode <= LAST_OPCODE + 1; opcode++) {
		struct xrnpe_field field, same;
		size_t end = 0;

		for (unsigned int i = 0; xrnpe_cmd_field(opcode, i, &field); i++) {
			ck_assert_uint_eq(field.offset, end);
			end = field.offset + field.size;
			for (size_t at = field.offset; at < end; at++) {
				ck_assert(xrnpe_cmd_field_at(opcode, at, &same));
				ck_assert_str_eq(same.name, field.name);
			}
		}
		ck_assert_uint_eq(end, sizeof(struct xrnpe_cmd));
		ck_assert(!xrnpe_cmd_field_at(opcode, end, &field));
	}
}
END_TEST

static struct xrnpe_cmd conv2d(void)
{
	return (struct xrnpe_cmd){
		.opcode = XRNPE_OP_CONV2D,
		.operand = {
			[XRNPE_OPERAND_IFM] = { .offset = 64, .row_stride = 512, .pixel_stride = 32,
						.region = 1, .format = XRNPE_FORMAT_P8 },
			[XRNPE_OPERAND_WEIGHT] = { .row_stride = 9, .pixel_stride = 1 },
			[XRNPE_OPERAND_SCALE] = { .offset = 96, .row_stride = 8,
						  .format = XRNPE_FORMAT_F32 },
			[XRNPE_OPERAND_OFM] = { .row_stride = 512, .pixel_stride = 32, .region = 3,
						.format = XRNPE_FORMAT_P16 },
		},
		.image = { .in_h = 6, .in_w = 5, .in_c = 4, .out_h = 6, .out_w = 5, .out_c = 6,
			   .groups = 2, .kernel_h = 3, .kernel_w = 3, .stride_h = 1, .stride_w = 1,
			   .dilation_h = 1, .dilation_w = 1, .pad_top = 1, .pad_left = 1 },
	};
}

static void expect_text(const struct xrnpe_cmd *cmd, const char *expected)
{
	char text[XRNPE_CMD_TEXT];

	xrnpe_cmd_text(cmd, text, sizeof(text));
	ck_assert_str_eq(text, expected);
	/* Cut, and never past the end. */
	for (size_t size = 1; size < 40; size++) {
		memset(text, '#', sizeof(text));
		xrnpe_cmd_text(cmd, text, size);
		ck_assert(!strncmp(text, expected, strlen(text)) && text[size] == '#');
	}
}

START_TEST(commands_in_a_line)
{
	struct xrnpe_cmd cmd = conv2d();

	expect_text(&cmd, "conv2d    p8 x fp4 -> p16  6x5x4 -> 6x5x6 k3x3 p1,1 g2 "
		    "ifm r1+0x40/512/32 weight r0+0x0/9/1 scale r0+0x60/8 ofm r3+0x0/512/32");
	cmd.image.stride_h = cmd.image.stride_w = 2;
	cmd.image.dilation_w = 3;
	cmd.image.groups = 1;
	cmd.activation = XRNPE_ACT_LEAKY;
	cmd.slope = bits_of(0.1f);
	cmd.flags = XRNPE_CMD_CLAMP | XRNPE_CMD_RESIDUAL;
	cmd.lo = bits_of(-1.5f);
	cmd.hi = bits_of(6);
	cmd.residual = bits_of(0.5f);
	cmd.operand[XRNPE_OPERAND_IFM2].format = XRNPE_FORMAT_F32;
	expect_text(&cmd, "conv2d    p8 x fp4 -> p16  6x5x4 -> 6x5x6 k3x3 s2 d1x3 p1,1 "
		    "residual f32*0.5 leaky 0.1 clamp[-1.5,6] ifm r1+0x40/512/32 ifm2 r0+0x0 "
		    "weight r0+0x0/9/1 scale r0+0x60/8 ofm r3+0x0/512/32");

	cmd = conv2d();
	cmd.opcode = XRNPE_OP_MATMUL;
	cmd.matmul = (struct xrnpe_dims_matmul){ .m = 5, .n = 6, .k = 7, .batch = 2 };
	cmd.flags = XRNPE_CMD_TRANSPOSED;
	cmd.activation = XRNPE_ACT_PRELU;
	cmd.operand[XRNPE_OPERAND_OFM].batch_stride = 4096;
	expect_text(&cmd, "matmul    p8 x fp4 -> p16  m5 n6 k7 batch 2 transposed prelu "
		    "ifm r1+0x40/512/32 weight r0+0x0/9/1 scale r0+0x60/8 ofm r3+0x0/512/32/4096");

	cmd = conv2d();
	cmd.opcode = XRNPE_OP_ADD;
	cmd.flags = XRNPE_CMD_PER_PIXEL;
	expect_text(&cmd, "add       p8, fp4 -> p16   6x5x4 per_pixel ifm r1+0x40/512/32 "
		    "ifm2 r0+0x0 scale r0+0x60/8 ofm r3+0x0/512/32");

	cmd = conv2d();
	cmd.opcode = XRNPE_OP_COPY;
	cmd.order = XRNPE_ORDER_CHW;
	cmd.flags = XRNPE_CMD_SPREAD;
	cmd.copy = (struct xrnpe_dims_copy){ .in_h = 2, .in_w = 3, .in_c = 4, .out_h = 9, .out_w = 9,
					     .out_c = 4, .pad_h = 1, .up_h = 2, .up_w = 2, .fill = 64 };
	expect_text(&cmd, "copy      p8 -> p16        2x3x4 -> 9x9x4 p1,0,0 up2 fill 0x40 chw spread "
		    "ifm r1+0x40/512/32 ofm r3+0x0/512/32");

	cmd = (struct xrnpe_cmd){ .opcode = XRNPE_OP_BARRIER };
	expect_text(&cmd, "barrier");
	cmd.opcode = XRNPE_OP_TIMESTAMP;
	cmd.operand[XRNPE_OPERAND_OFM] = (struct xrnpe_operand){ .offset = 8, .region = 3 };
	expect_text(&cmd, "timestamp ofm r3+0x8");
}
END_TEST

/* What has no name is shown as a number. */
START_TEST(illegal_commands_in_a_line)
{
	struct xrnpe_cmd cmd = conv2d();

	cmd.activation = 9;
	cmd.order = 6;
	cmd.flags = 0x48;
	cmd.operand[XRNPE_OPERAND_WEIGHT].format = 200;
	cmd.image.kernel_w = cmd.image.stride_h = cmd.image.stride_w = 0;
	expect_text(&cmd, "conv2d    p8 x format 200 -> p16 6x5x4 -> 6x5x6 k3x0 s0 p1,1 g2 order 6 "
		    "per_pixel 0x40 activation 9 ifm r1+0x40/512/32 weight r0+0x0/9/1 "
		    "scale r0+0x60/8 ofm r3+0x0/512/32");
	cmd.opcode = 77;
	expect_text(&cmd, "opcode 77");
	memset(&cmd, 0xff, sizeof(cmd));
	for (int opcode = 0; opcode < 256; opcode++) {
		char text[XRNPE_CMD_TEXT];

		cmd.opcode = (uint8_t)opcode;
		xrnpe_cmd_text(&cmd, text, sizeof(text));
		ck_assert_uint_lt(strlen(text), sizeof(text) - 1);
	}
}
END_TEST

START_TEST(values_of_fields)
{
	static const struct {
		size_t offset;
		const char *text;
	} values[] = {
		{ offsetof(struct xrnpe_cmd, opcode), "matmul" },
		{ offsetof(struct xrnpe_cmd, activation), "relu" },
		{ offsetof(struct xrnpe_cmd, order), "hwc" },
		{ offsetof(struct xrnpe_cmd, reserved), "0" },
		{ offsetof(struct xrnpe_cmd, flags), "clamp residual 0x100" },
		{ offsetof(struct xrnpe_cmd, slope), "0.33333334" },
		{ offsetof(struct xrnpe_cmd, lo), "-inf" },
		{ offsetof(struct xrnpe_cmd, operand[1].offset), "0x123456789a" },
		{ offsetof(struct xrnpe_cmd, operand[1].row_stride), "4294967295" },
		{ offsetof(struct xrnpe_cmd, operand[1].format), "p16" },
		{ offsetof(struct xrnpe_cmd, matmul.k), "7" },
		{ offsetof(struct xrnpe_cmd, reserved2), "not zero" },
	};
	struct xrnpe_cmd cmd = {
		.opcode = XRNPE_OP_MATMUL, .activation = XRNPE_ACT_RELU, .flags = 0x103,
		.slope = bits_of(1 / 3.0f), .lo = 0xff800000,
		.operand[1] = { .offset = 0x123456789a, .row_stride = UINT32_MAX,
				.format = XRNPE_FORMAT_P16 },
		.matmul.k = 7, .reserved2[3] = 1u << 31,
	};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct xrnpe_field field;
		char text[64];

		ck_assert(xrnpe_cmd_field_at(cmd.opcode, values[i].offset, &field));
		xrnpe_field_text(&cmd, &field, text, sizeof(text));
		ck_assert_str_eq(text, values[i].text);
	}
}
END_TEST

START_TEST(faults_in_words)
{
	struct xrnpe_cmd cmd = conv2d();
	static const struct {
		struct xrnpe_fault fault;
		const char *text;
	} faults[] = {
		{ { XRNPE_FAULT_NONE, 0, XRNPE_OPERAND_NONE, 0, 0 }, "none" },
		{ { XRNPE_FAULT_ILLEGAL_OPCODE, 0, XRNPE_OPERAND_NONE, 0, 0 }, "illegal opcode" },
		{ { XRNPE_FAULT_ILLEGAL_FIELD, 0, XRNPE_OPERAND_IFM, 1,
		    offsetof(struct xrnpe_cmd, operand[0].row_stride) },
		  "field ifm.row_stride is out of its range: 512" },
		{ { XRNPE_FAULT_NO_REGION, 0, XRNPE_OPERAND_OFM, 3, 0 },
		  "ofm is in region 3, which the job does not have" },
		{ { XRNPE_FAULT_OUT_OF_BOUNDS, 0, XRNPE_OPERAND_IFM, 1, 4096 },
		  "ifm outside region 1 (arena): offset 64, size 2692" },
		{ { XRNPE_FAULT_PERMISSION, 0, XRNPE_OPERAND_OFM, 3, 0 },
		  "ofm may not write region 3 (arena)" },
		{ { XRNPE_FAULT_PERMISSION, 0, XRNPE_OPERAND_IFM, 1, 64 },
		  "ifm may not read region 1 (arena)" },
		{ { XRNPE_FAULT_ILLEGAL_SCALE, 0, XRNPE_OPERAND_SCALE, 0, 96 },
		  "a scale, bias or slope is illegal: offset 96 of region 0 (arena)" },
		{ { XRNPE_FAULT_BUS, 0, XRNPE_OPERAND_WEIGHT, 2, 8 },
		  "memory of weight in region 2 (arena) did not answer at offset 8" },
		{ { XRNPE_FAULT_BUS, 0, XRNPE_OPERAND_NONE, 0, 0 }, "memory did not answer" },
		{ { XRNPE_FAULT_ABORTED, 0, XRNPE_OPERAND_NONE, 0, 0 },
		  "stopped for exceeding the time limit" },
		{ { XRNPE_FAULT_ILLEGAL_JOB, 0, XRNPE_OPERAND_NONE, 0, 0 },
		  "the job's descriptor is malformed" },
		{ { XRNPE_FAULT_DEVICE, 0, XRNPE_OPERAND_NONE, 0, 0 }, "the device itself failed" },
		{ { 99, 0, XRNPE_OPERAND_NONE, 0, 0 }, "fault of unknown kind 99" },
	};
	char text[160];

	cmd.operand[XRNPE_OPERAND_WEIGHT].format = XRNPE_FORMAT_P8;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		xrnpe_fault_text(&faults[i].fault, &cmd, "arena", text, sizeof(text));
		ck_assert_str_eq(text, faults[i].text);
	}
	/* Without the command. */
	xrnpe_fault_text(&faults[2].fault, NULL, NULL, text, sizeof(text));
	ck_assert_str_eq(text, "field ifm.row_stride is out of its range");
	xrnpe_fault_text(&faults[4].fault, NULL, NULL, text, sizeof(text));
	ck_assert_str_eq(text, "ifm outside region 1: at offset 4096");
	xrnpe_fault_text(&(struct xrnpe_fault){ .kind = XRNPE_FAULT_ILLEGAL_FIELD, .offset = 1000 },
			 NULL, NULL, text, sizeof(text));
	ck_assert_str_eq(text, "the field at byte 1000 is out of its range");
}
END_TEST

START_TEST(counters)
{
	static const struct {
		size_t offset;
		const char *name;
	} counters_at[] = {
		{ offsetof(struct xrnpe_counters, cycles), "cycles" },
		{ offsetof(struct xrnpe_counters, blocks_gated), "blocks_gated" },
		{ offsetof(struct xrnpe_counters, bytes[XRNPE_OPERAND_OFM]), "bytes ofm" },
		{ offsetof(struct xrnpe_counters, bytes_other), "bytes other" },
		{ offsetof(struct xrnpe_counters, products[XRNPE_FORMAT_P8][XRNPE_FORMAT_FP4]),
		  "products p8 x fp4" },
		{ sizeof(struct xrnpe_counters) - 8, "products p16 x p16" },
	};
	char text[32];

	for (size_t i = 0; i < sizeof(counters_at) / sizeof(counters_at[0]); i++) {
		xrnpe_counter_name((unsigned int)counters_at[i].offset / 8, text, sizeof(text));
		ck_assert_str_eq(text, counters_at[i].name);
	}
}
END_TEST

TCase *datapath_names_tests(void)
{
	TCase *tests = tcase_create("names");

	tcase_add_test(tests, every_number_has_a_name);
	tcase_add_test(tests, fields_cover_the_record);
	tcase_add_test(tests, commands_in_a_line);
	tcase_add_test(tests, illegal_commands_in_a_line);
	tcase_add_test(tests, values_of_fields);
	tcase_add_test(tests, faults_in_words);
	tcase_add_test(tests, counters);
	return tests;
}

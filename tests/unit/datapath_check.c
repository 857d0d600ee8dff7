// SPDX-License-Identifier: MIT
/* xrnpe_cmd_check(): what is legal, and exactly which fault anything else is. */
#include <stddef.h>
#include <string.h>

#include "names.h"
#include "unit/datapath_tests.h"

#define REGION_SIZE 0x80000

#define FIELD(member) offsetof(struct xrnpe_cmd, member)
#define OPERAND(i, member) \
	(FIELD(operand) + (i) * sizeof(struct xrnpe_operand) + offsetof(struct xrnpe_operand, member))
#define MATMUL(member) FIELD(matmul.member)
#define IMAGE(member) FIELD(image.member)
#define COPY(member) FIELD(copy.member)

enum { IFM, IFM2, WEIGHT, SCALE, OFM };

#define FIRST_OPCODE XRNPE_OP_MATMUL
#define LAST_OPCODE XRNPE_OP_TIMESTAMP

static const struct xrnpe_extent extents[] = {
	{ REGION_SIZE, XRNPE_REGION_READ },
	{ REGION_SIZE, XRNPE_REGION_READ },
	{ REGION_SIZE, XRNPE_REGION_READ },
	{ REGION_SIZE, XRNPE_REGION_READ },
	{ REGION_SIZE, XRNPE_REGION_WRITE },
};

#define EXTENTS 5

/* ---- the rules as xrnpe_cmd.h tells them, a row an opcode ---------------- */

#define CODES 0x0f
#define REALS 0x1f
#define ALL 0x7f
#define F32_ONLY (1 << XRNPE_FORMAT_F32)

static const struct rules {
	uint8_t formats[XRNPE_OPERANDS];	/* bits; 0: no such operand */
	uint32_t flags;
	uint8_t last_activation;
	bool orders;
	size_t first_dimension;			/* blamed for too much work */
} rules[] = {
	[XRNPE_OP_MATMUL] = { { CODES, REALS, CODES, F32_ONLY, REALS },
			      XRNPE_CMD_CLAMP | XRNPE_CMD_RESIDUAL | XRNPE_CMD_TRANSPOSED,
			      XRNPE_ACT_PRELU, false, MATMUL(m) },
	[XRNPE_OP_CONV2D] = { { CODES, REALS, CODES, F32_ONLY, REALS },
			      XRNPE_CMD_CLAMP | XRNPE_CMD_RESIDUAL, XRNPE_ACT_PRELU, false, IMAGE(out_h) },
	[XRNPE_OP_MAXPOOL] = { { CODES, 0, 0, 0, CODES }, 0, XRNPE_ACT_NONE, false, IMAGE(out_h) },
	[XRNPE_OP_ADD] = { { CODES, CODES, 0, F32_ONLY, REALS },
			   XRNPE_CMD_CLAMP | XRNPE_CMD_PER_PIXEL, XRNPE_ACT_LEAKY, false, IMAGE(in_h) },
	[XRNPE_OP_CONVERT] = { { ALL, 0, 0, F32_ONLY, REALS }, XRNPE_CMD_CLAMP, XRNPE_ACT_LEAKY, true,
			       IMAGE(in_h) },
	[XRNPE_OP_MUL] = { { CODES, CODES, 0, F32_ONLY, REALS },
			   XRNPE_CMD_CLAMP | XRNPE_CMD_PER_PIXEL, XRNPE_ACT_LEAKY, false, IMAGE(in_h) },
	[XRNPE_OP_MAX] = { { CODES, CODES, 0, F32_ONLY, REALS },
			   XRNPE_CMD_CLAMP | XRNPE_CMD_PER_PIXEL, XRNPE_ACT_LEAKY, false, IMAGE(in_h) },
	[XRNPE_OP_MIN] = { { CODES, CODES, 0, F32_ONLY, REALS },
			   XRNPE_CMD_CLAMP | XRNPE_CMD_PER_PIXEL, XRNPE_ACT_LEAKY, false, IMAGE(in_h) },
	[XRNPE_OP_LUT] = { { CODES, 0, REALS, 0, REALS }, 0, XRNPE_ACT_NONE, false, IMAGE(in_h) },
	[XRNPE_OP_COPY] = { { REALS, 0, 0, 0, REALS }, XRNPE_CMD_SPREAD, XRNPE_ACT_NONE, true,
			    COPY(out_h) },
	[XRNPE_OP_BARRIER] = { { 0 }, 0, XRNPE_ACT_NONE, false, 0 },
	/* Not elements: the format is zero. */
	[XRNPE_OP_TIMESTAMP] = { { 0, 0, 0, 0, 1 }, 0, XRNPE_ACT_NONE, false, 0 },
};

static bool multiplies(uint8_t opcode)
{
	return opcode == XRNPE_OP_MATMUL || opcode == XRNPE_OP_CONV2D;
}

static bool has(const struct xrnpe_cmd *cmd, unsigned int i)
{
	if (i == IFM2 && multiplies(cmd->opcode))
		return cmd->flags & XRNPE_CMD_RESIDUAL;
	return rules[cmd->opcode].formats[i];
}

static bool is_pair(uint8_t opcode)
{
	return opcode == XRNPE_OP_ADD || opcode == XRNPE_OP_MUL || opcode == XRNPE_OP_MAX ||
	       opcode == XRNPE_OP_MIN;
}

/* Commands of three dimensions and no more. */
static bool is_elementwise(uint8_t opcode)
{
	return is_pair(opcode) || opcode == XRNPE_OP_CONVERT || opcode == XRNPE_OP_LUT;
}

/* The table of LUT lies as it lies. */
static bool has_strides(const struct xrnpe_cmd *cmd, unsigned int i)
{
	return has(cmd, i) && i != SCALE && cmd->opcode != XRNPE_OP_TIMESTAMP &&
	       !(cmd->opcode == XRNPE_OP_LUT && i == WEIGHT);
}

static struct xrnpe_operand tensor(const struct xrnpe_cmd *cmd, uint8_t i, uint8_t format)
{
	struct xrnpe_operand o = { .offset = 64, .region = i, .format = format };

	if (i == SCALE) {
		o.format = XRNPE_FORMAT_F32;
		if (cmd->opcode != XRNPE_OP_CONVERT && cmd->opcode != XRNPE_OP_MUL)
			o.row_stride = sizeof(struct xrnpe_scale);
	} else if (cmd->opcode == XRNPE_OP_TIMESTAMP) {
		o.format = 0;
	} else if (cmd->opcode != XRNPE_OP_LUT || i != WEIGHT) {
		o.row_stride = 512;
		o.pixel_stride = cmd->opcode == XRNPE_OP_MATMUL ? 0 : 32;
	}
	return o;
}

/* A legal command; operand i lies in region i, all formats are @format. */
static struct xrnpe_cmd legal(uint8_t opcode, uint8_t format)
{
	struct xrnpe_cmd cmd = { .opcode = opcode };

	for (uint8_t i = 0; i < XRNPE_OPERANDS; i++) {
		if (has(&cmd, i))
			cmd.operand[i] = tensor(&cmd, i, format);
	}
	if (opcode == XRNPE_OP_MATMUL) {
		cmd.matmul = (struct xrnpe_dims_matmul){ .m = 5, .n = 6, .k = 7, .batch = 1 };
	} else if (opcode == XRNPE_OP_COPY) {
		cmd.copy = (struct xrnpe_dims_copy){ .in_h = 3, .in_w = 2, .in_c = 4, .out_h = 6,
						     .out_w = 5, .out_c = 4, .up_h = 2, .up_w = 2 };
	} else if (is_elementwise(opcode)) {
		cmd.image = (struct xrnpe_dims_image){ .in_h = 6, .in_w = 5, .in_c = 4 };
	} else if (rules[opcode].first_dimension) {
		cmd.image = (struct xrnpe_dims_image){
			.in_h = 6, .in_w = 5, .in_c = 4, .out_h = 6, .out_w = 5,
			.out_c = multiplies(opcode) ? 6 : 4, .groups = multiplies(opcode) ? 2 : 1,
			.kernel_h = 3, .kernel_w = 3, .stride_h = 1, .stride_w = 1,
			.dilation_h = 1, .dilation_w = 1, .pad_top = 1, .pad_left = 1,
		};
	}
	return cmd;
}

static struct xrnpe_cmd with_residual(struct xrnpe_cmd cmd, uint8_t format)
{
	cmd.flags |= XRNPE_CMD_RESIDUAL;
	cmd.operand[IFM2] = tensor(&cmd, IFM2, format);
	return cmd;
}

/* ---- expectations -------------------------------------------------------- */

/* The name of a field that a message can show. */
static const char *name_at(const struct xrnpe_cmd *cmd, uint64_t offset)
{
	static struct xrnpe_field field;

	return xrnpe_cmd_field_at(cmd->opcode, offset, &field) ? field.name : "?";
}

static void expect_legal(const struct xrnpe_cmd *cmd, struct xrnpe_span *spans)
{
	struct xrnpe_fault fault;
	char text[XRNPE_CMD_TEXT];

	xrnpe_cmd_text(cmd, text, sizeof(text));
	ck_assert_msg(xrnpe_cmd_check(cmd, 3, extents, EXTENTS, spans, &fault),
		      "%s: fault %u at %s", text, fault.kind, name_at(cmd, fault.offset));
	ck_assert_uint_eq(fault.kind, XRNPE_FAULT_NONE);
	ck_assert_uint_eq(fault.operand, XRNPE_OPERAND_NONE);
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
		if (!has(cmd, i)) {
			ck_assert_uint_eq(spans[i].size, 0);
			continue;
		}
		ck_assert_uint_eq(spans[i].offset, cmd->operand[i].offset);
		ck_assert_uint_eq(spans[i].region, cmd->operand[i].region);
		ck_assert(spans[i].write == (i == OFM));
		ck_assert_uint_gt(spans[i].size, 0);
	}
}

static void expect_accepted(struct xrnpe_cmd cmd)
{
	struct xrnpe_span spans[XRNPE_OPERANDS];

	expect_legal(&cmd, spans);
}

static void expect(const struct xrnpe_cmd *cmd, uint32_t kind, uint32_t operand, uint64_t offset)
{
	struct xrnpe_span spans[XRNPE_OPERANDS];
	struct xrnpe_fault fault;
	char text[XRNPE_CMD_TEXT];

	xrnpe_cmd_text(cmd, text, sizeof(text));
	ck_assert_msg(!xrnpe_cmd_check(cmd, 77, extents, EXTENTS, spans, &fault),
		      "%s: fault %u at %s expected", text, kind, name_at(cmd, offset));
	ck_assert_msg(fault.kind == kind && fault.offset == offset,
		      "%s: fault %u at %lu (%s), expected %u at %lu (%s)", text, fault.kind,
		      (unsigned long)fault.offset, name_at(cmd, fault.offset), kind,
		      (unsigned long)offset, name_at(cmd, offset));
	ck_assert_uint_eq(fault.cmd, 77);
	ck_assert_uint_eq(fault.operand, operand);
	ck_assert_uint_eq(fault.region,
			  operand < XRNPE_OPERANDS ? cmd->operand[operand].region : 0);
}

/* The operand that the field at @offset belongs to. */
static uint32_t operand_at(size_t offset)
{
	if (offset < FIELD(operand) || offset >= FIELD(operand[XRNPE_OPERANDS]))
		return XRNPE_OPERAND_NONE;
	return (uint32_t)((offset - FIELD(operand)) / sizeof(struct xrnpe_operand));
}

static void set(struct xrnpe_cmd *cmd, size_t at, uint64_t value, size_t size)
{
	memcpy((uint8_t *)cmd + at, &value, size);
}

/* Overwrite @size bytes at @at with @value: the field at @field is refused. */
static void refuse(struct xrnpe_cmd cmd, size_t at, uint64_t value, size_t size, size_t field)
{
	set(&cmd, at, value, size);
	expect(&cmd, XRNPE_FAULT_ILLEGAL_FIELD, operand_at(field), field);
}

/* ---- opcodes, reserved fields, absent operands ----------------------------- */

START_TEST(legal_commands)
{
	for (uint8_t opcode = FIRST_OPCODE; opcode <= LAST_OPCODE; opcode++) {
		for (uint8_t format = 0; format < XRNPE_PRODUCT_FORMATS; format++)
			expect_accepted(legal(opcode, format));
	}
}
END_TEST

START_TEST(illegal_opcodes)
{
	for (int opcode = 0; opcode < 256; opcode++) {
		struct xrnpe_cmd cmd = legal(XRNPE_OP_MATMUL, XRNPE_FORMAT_P8);

		if (opcode >= FIRST_OPCODE && opcode <= LAST_OPCODE)
			continue;
		cmd.opcode = (uint8_t)opcode;
		cmd.reserved = 1;	/* the opcode comes first */
		expect(&cmd, XRNPE_FAULT_ILLEGAL_OPCODE, XRNPE_OPERAND_NONE, 0);
	}
}
END_TEST

/* Every byte of every reserved field, and of operands and dimensions that are not there. */
START_TEST(reserved_bytes)
{
	uint8_t opcode = (uint8_t)_i;
	struct xrnpe_cmd cmd = legal(opcode, XRNPE_FORMAT_P8);
	struct xrnpe_field field;

	for (unsigned int i = 0; xrnpe_cmd_field(opcode, i, &field); i++) {
		uint32_t operand = operand_at(field.offset);

		if (field.kind != XRNPE_FIELD_RESERVED &&
		    (operand == XRNPE_OPERAND_NONE || has(&cmd, operand)))
			continue;
		for (size_t byte = 0; byte < field.size; byte++) {
			refuse(cmd, field.offset + byte, 1, 1, field.offset);
			refuse(cmd, field.offset + byte, 0x80, 1, field.offset);
		}
	}
}
END_TEST

/* ---- formats ------------------------------------------------------------- */

/* Which operand's format another's must equal. */
static int twin(uint8_t opcode, int i)
{
	if (i == OFM && (opcode == XRNPE_OP_MAXPOOL || opcode == XRNPE_OP_COPY))
		return IFM;
	if (i == OFM && opcode == XRNPE_OP_LUT)
		return WEIGHT;
	return -1;
}

/* All 256 values of the format of each operand. */
START_TEST(formats)
{
	uint8_t opcode = (uint8_t)_i;

	for (int i = 0; i < XRNPE_OPERANDS; i++) {
		struct xrnpe_cmd cmd = legal(opcode, XRNPE_FORMAT_P8);

		if (i == IFM2 && multiplies(opcode))
			cmd = with_residual(cmd, XRNPE_FORMAT_P8);
		if (!has(&cmd, (unsigned int)i))
			continue;
		for (unsigned int format = 0; format < 256; format++) {
			int other = twin(opcode, i);

			cmd.operand[i].format = (uint8_t)format;
			if (format >= XRNPE_FORMATS || !(rules[opcode].formats[i] >> format & 1)) {
				refuse(cmd, OPERAND(i, format), format, 1, OPERAND(i, format));
				continue;
			}
			/* Of two that must be equal the later is to blame. */
			for (int j = i + 1; j < XRNPE_OPERANDS; j++) {
				if (twin(opcode, j) == i && cmd.operand[j].format != format)
					refuse(cmd, OPERAND(i, format), format, 1, OPERAND(j, format));
				if (twin(opcode, j) == i)
					cmd.operand[j].format = (uint8_t)format;
			}
			if (other >= 0 && cmd.operand[other].format != format)
				refuse(cmd, OPERAND(i, format), format, 1, OPERAND(i, format));
			else
				expect_accepted(cmd);
		}
	}
}
END_TEST

/* Any two of the formats that multiply, and any two of a pair, into any. */
START_TEST(formats_mixed)
{
	for (uint8_t opcode = FIRST_OPCODE; opcode <= LAST_OPCODE; opcode++) {
		for (int n = 0; n < 4 * 4 * 5; n++) {
			struct xrnpe_cmd cmd = legal(opcode, n % 4);

			if (!multiplies(opcode) && !is_pair(opcode))
				continue;
			cmd.operand[is_pair(opcode) ? IFM2 : WEIGHT].format = (uint8_t)(n / 4 % 4);
			cmd.operand[OFM].format = (uint8_t)(n / 16);
			expect_accepted(cmd);
			if (multiplies(opcode)) {
				for (uint8_t format = 0; format < XRNPE_OUTPUT_FORMATS; format++)
					expect_accepted(with_residual(cmd, format));
			}
		}
	}
}
END_TEST

/* ---- the output stage ------------------------------------------------------ */

START_TEST(activations)
{
	for (uint8_t opcode = FIRST_OPCODE; opcode <= LAST_OPCODE; opcode++) {
		for (unsigned int activation = 0; activation < 256; activation++) {
			struct xrnpe_cmd cmd = legal(opcode, XRNPE_FORMAT_P8);

			if (activation > rules[opcode].last_activation) {
				refuse(cmd, FIELD(activation), activation, 1, FIELD(activation));
				continue;
			}
			cmd.activation = (uint8_t)activation;
			/* A record of scales is longer then. */
			if (activation == XRNPE_ACT_PRELU) {
				refuse(cmd, FIELD(activation), activation, 1, OPERAND(SCALE, row_stride));
				cmd.operand[SCALE].row_stride = sizeof(struct xrnpe_scale_slope);
			}
			expect_accepted(cmd);
		}
	}
}
END_TEST

START_TEST(flags)
{
	for (uint8_t opcode = FIRST_OPCODE; opcode <= LAST_OPCODE; opcode++) {
		for (int bit = 0; bit < 32; bit++) {
			struct xrnpe_cmd cmd = legal(opcode, XRNPE_FORMAT_P8);

			if (!(rules[opcode].flags >> bit & 1)) {
				refuse(cmd, FIELD(flags), 1u << bit, 4, FIELD(flags));
				/* Nor beside one that is allowed. */
				refuse(cmd, FIELD(flags), rules[opcode].flags | 1u << bit, 4,
				       FIELD(flags));
				continue;
			}
			cmd.flags = 1u << bit;
			if (cmd.flags == XRNPE_CMD_RESIDUAL)
				cmd = with_residual(cmd, XRNPE_FORMAT_F32);
			expect_accepted(cmd);
		}
	}
}
END_TEST

START_TEST(orders)
{
	for (uint8_t opcode = FIRST_OPCODE; opcode <= LAST_OPCODE; opcode++) {
		for (unsigned int order = 0; order < 256; order++) {
			struct xrnpe_cmd cmd = legal(opcode, XRNPE_FORMAT_P8);

			cmd.order = (uint8_t)order;
			if (order < (rules[opcode].orders ? XRNPE_ORDERS : 1))
				expect_accepted(cmd);
			else
				expect(&cmd, XRNPE_FAULT_ILLEGAL_FIELD, XRNPE_OPERAND_NONE, FIELD(order));
		}
	}
}
END_TEST

static const uint32_t not_finite[] = { 0x7f800000, 0xff800000, 0x7f800001, 0x7fc00000, 0xffffffff };
static const uint32_t some_finite[] = { 0, 0x80000000, 1, 0x007fffff, 0x3f800000, 0x7f7fffff, 0xff7fffff };

/* The parameter at @field: any finite binary32 of @cmd, which has it; else zero. */
static void check_parameter(const struct xrnpe_cmd *cmd, bool has_it, size_t field)
{
	for (size_t i = 0; i < sizeof(not_finite) / 4; i++)
		refuse(*cmd, field, not_finite[i], 4, field);
	for (size_t i = 0; i < sizeof(some_finite) / 4; i++) {
		struct xrnpe_cmd changed = *cmd;

		set(&changed, field, some_finite[i], 4);
		if (!some_finite[i] || has_it)
			expect_accepted(changed);
		else
			refuse(*cmd, field, some_finite[i], 4, field);	/* even -0 */
	}
}

START_TEST(parameters)
{
	for (uint8_t opcode = FIRST_OPCODE; opcode <= LAST_OPCODE; opcode++) {
		struct xrnpe_cmd cmd = legal(opcode, XRNPE_FORMAT_P8);

		check_parameter(&cmd, false, FIELD(slope));
		check_parameter(&cmd, false, FIELD(lo));
		check_parameter(&cmd, false, FIELD(hi));
		check_parameter(&cmd, false, FIELD(residual));
		if (rules[opcode].last_activation >= XRNPE_ACT_LEAKY) {
			cmd.activation = XRNPE_ACT_LEAKY;
			check_parameter(&cmd, true, FIELD(slope));
			cmd.activation = XRNPE_ACT_RELU;
			check_parameter(&cmd, false, FIELD(slope));
		}
		if (rules[opcode].flags & XRNPE_CMD_CLAMP) {
			cmd.flags = XRNPE_CMD_CLAMP;
			cmd.hi = 0x7f7fffff;
			check_parameter(&cmd, true, FIELD(lo));
			cmd.lo = 0xff7fffff;
			check_parameter(&cmd, true, FIELD(hi));
		}
		if (rules[opcode].flags & XRNPE_CMD_RESIDUAL) {
			cmd = with_residual(cmd, XRNPE_FORMAT_P16);
			check_parameter(&cmd, true, FIELD(residual));
		}
	}
}
END_TEST

/* hi is at least lo, as numbers. */
START_TEST(clamp_limits)
{
	static const float limits[] = { -6.5f, -1, -0.0f, 0, 0x1p-149f, 0.5f, 6 };
	const int count = sizeof(limits) / sizeof(limits[0]);

	for (int i = 0; i < count * count; i++) {
		struct xrnpe_cmd cmd = legal(XRNPE_OP_CONVERT, XRNPE_FORMAT_P8);
		float lo = limits[i / count], hi = limits[i % count];

		cmd.flags = XRNPE_CMD_CLAMP;
		cmd.lo = bits_of(lo);
		cmd.hi = bits_of(hi);
		if (lo <= hi)
			expect_accepted(cmd);
		else
			expect(&cmd, XRNPE_FAULT_ILLEGAL_FIELD, XRNPE_OPERAND_NONE, FIELD(hi));
	}
}
END_TEST

/* ---- alignment and strides --------------------------------------------------- */

/* Offset and strides are multiples of the element's size. */
START_TEST(alignment)
{
	static const size_t fields[] = { offsetof(struct xrnpe_operand, offset),
					 offsetof(struct xrnpe_operand, row_stride),
					 offsetof(struct xrnpe_operand, pixel_stride),
					 offsetof(struct xrnpe_operand, batch_stride) };
	uint8_t opcode = (uint8_t)_i;

	for (uint8_t format = 0; format < XRNPE_FORMATS; format++) {
		uint64_t size = xrnpe_format_bits(format) / 8;

		for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
			struct xrnpe_cmd cmd = legal(opcode, XRNPE_FORMAT_P8);
			int other = twin(opcode, (int)i);

			if (i == IFM2 && multiplies(opcode))
				cmd = with_residual(cmd, format);
			if (!has_strides(&cmd, i) || !(rules[opcode].formats[i] >> format & 1))
				continue;
			cmd.operand[i].format = format;
			if (other >= 0)
				cmd.operand[other].format = format;
			for (unsigned int j = i + 1; j < XRNPE_OPERANDS; j++)
				if (twin(opcode, (int)j) == (int)i)
					cmd.operand[j].format = format;
			for (size_t f = 0; f < 4; f++) {
				size_t at = OPERAND(i, offset) + fields[f];
				uint64_t value = f ? 528 : 64;

				if ((f == 2 && opcode == XRNPE_OP_MATMUL) ||
				    (f == 3 && opcode != XRNPE_OP_MATMUL))
					value = 0;
				for (uint64_t odd = 1; odd < size; odd++)
					refuse(cmd, at, value + odd, f ? 4 : 8, at);
			}
			if (size < 2)
				cmd.operand[i].offset++;
			expect_accepted(cmd);
		}
	}
}
END_TEST

/* A matrix has no pixels, only matrices have batches, a table and a timestamp have neither. */
START_TEST(strides_that_are_not_there)
{
	for (uint8_t opcode = FIRST_OPCODE; opcode <= LAST_OPCODE; opcode++) {
		for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
			struct xrnpe_cmd cmd = legal(opcode, XRNPE_FORMAT_P8);

			if (!has(&cmd, i))
				continue;
			if (opcode != XRNPE_OP_MATMUL || i == SCALE)
				refuse(cmd, OPERAND(i, batch_stride), 64, 4, OPERAND(i, batch_stride));
			if (opcode == XRNPE_OP_MATMUL || !has_strides(&cmd, i))
				refuse(cmd, OPERAND(i, pixel_stride), 64, 4, OPERAND(i, pixel_stride));
			if (!has_strides(&cmd, i) && i != SCALE)
				refuse(cmd, OPERAND(i, row_stride), 64, 4, OPERAND(i, row_stride));
		}
	}
	for (uint64_t offset = 1; offset < 8; offset++)
		refuse(legal(XRNPE_OP_TIMESTAMP, 0), OPERAND(OFM, offset), 64 + offset, 8,
		       OPERAND(OFM, offset));
}
END_TEST

/* Inputs may lie on each other, and their strides be zero. */
START_TEST(inputs_may_overlap)
{
	for (uint8_t opcode = FIRST_OPCODE; opcode <= LAST_OPCODE; opcode++) {
		for (unsigned int i = 0; i < OFM; i++) {
			struct xrnpe_cmd cmd = legal(opcode, XRNPE_FORMAT_P16);

			if (i == IFM2 && multiplies(opcode))
				cmd = with_residual(cmd, XRNPE_FORMAT_P16);
			if (!has_strides(&cmd, i))
				continue;
			cmd.operand[i].row_stride = 2;
			expect_accepted(cmd);
			cmd.operand[i].row_stride = cmd.operand[i].pixel_stride = 0;
			expect_accepted(cmd);
		}
	}
}
END_TEST

/* Outputs may not: a stride is at least what lies in it. */
START_TEST(outputs_apart)
{
	uint8_t opcode = (uint8_t)_i;
	bool matrix = opcode == XRNPE_OP_MATMUL;

	for (uint8_t format = 0; format < XRNPE_OUTPUT_FORMATS; format++) {
		struct xrnpe_cmd cmd = legal(opcode, XRNPE_FORMAT_P8);
		uint32_t channels = multiplies(opcode) ? 6 : 4, element = xrnpe_format_bits(format) / 8;
		uint32_t pixel = (channels * xrnpe_format_bits(format) + 7) / 8, row = pixel;
		int other = twin(opcode, OFM);

		if (!has_strides(&cmd, OFM) || !(rules[opcode].formats[OFM] >> format & 1))
			continue;
		element = element ? element : 1;
		cmd.operand[OFM].format = format;
		if (other >= 0)
			cmd.operand[other].format = format;
		if (!matrix) {
			row = 4 * pixel + pixel;
			cmd.operand[OFM].pixel_stride = pixel;
			refuse(cmd, OPERAND(OFM, pixel_stride), pixel - element, 4,
			       OPERAND(OFM, pixel_stride));
			refuse(cmd, OPERAND(OFM, pixel_stride), 0, 4, OPERAND(OFM, pixel_stride));
		}
		cmd.operand[OFM].row_stride = row;
		expect_accepted(cmd);
		refuse(cmd, OPERAND(OFM, row_stride), row - element, 4, OPERAND(OFM, row_stride));
		refuse(cmd, OPERAND(OFM, row_stride), 0, 4, OPERAND(OFM, row_stride));
		if (matrix) {
			cmd.matmul.batch = 3;
			refuse(cmd, OPERAND(OFM, batch_stride), 0, 4, OPERAND(OFM, batch_stride));
			cmd.operand[OFM].batch_stride = 5 * row;
			expect_accepted(cmd);
			refuse(cmd, OPERAND(OFM, batch_stride), 5 * row - element, 4,
			       OPERAND(OFM, batch_stride));
		}
	}
}
END_TEST

/* A single row, pixel or matrix needs no stride. */
START_TEST(outputs_alone)
{
	struct xrnpe_cmd cmd = legal(XRNPE_OP_MATMUL, XRNPE_FORMAT_P8);

	cmd.matmul.m = 1;
	cmd.operand[OFM].row_stride = 0;
	expect_accepted(cmd);
	cmd = legal(XRNPE_OP_CONV2D, XRNPE_FORMAT_P8);
	cmd.image.out_h = 1;
	cmd.operand[OFM].row_stride = 0;
	expect_accepted(cmd);
	cmd.image.out_w = 1;
	cmd.operand[OFM].pixel_stride = 0;
	expect_accepted(cmd);
	cmd.image.out_h = 6;
	refuse(cmd, OPERAND(OFM, row_stride), 5, 4, OPERAND(OFM, row_stride));
	cmd.operand[OFM].row_stride = 6;
	expect_accepted(cmd);
}
END_TEST

/* ---- scales ------------------------------------------------------------------ */

START_TEST(scale_records)
{
	for (uint8_t opcode = FIRST_OPCODE; opcode <= LAST_OPCODE; opcode++) {
		struct xrnpe_cmd cmd = legal(opcode, XRNPE_FORMAT_P8);
		struct xrnpe_span s[XRNPE_OPERANDS];
		uint32_t channels = multiplies(opcode) ? 6 : 4;
		size_t stride = OPERAND(SCALE, row_stride), offset = OPERAND(SCALE, offset);

		if (!has(&cmd, SCALE))
			continue;
		for (uint64_t odd = 1; odd < 4; odd++) {
			refuse(cmd, offset, 64 + odd, 8, offset);
			refuse(cmd, stride, 64 + odd, 4, stride);
		}
		refuse(cmd, stride, 4, 4, stride);
		if (opcode == XRNPE_OP_MUL) {
			/* One record. */
			refuse(cmd, stride, 8, 4, stride);
			expect_legal(&cmd, s);
			ck_assert_uint_eq(s[SCALE].size, 8);
			continue;
		}
		cmd.operand[SCALE].row_stride = 20;
		expect_legal(&cmd, s);
		if (is_pair(opcode)) {
			/* Two, of which both are read. */
			ck_assert_uint_eq(s[SCALE].size, 20 + 8);
			refuse(cmd, stride, 0, 4, stride);
			continue;
		}
		ck_assert_uint_eq(s[SCALE].size, (channels - 1) * 20 + 8);
		cmd.operand[SCALE].row_stride = 0;
		expect_legal(&cmd, s);
		ck_assert_uint_eq(s[SCALE].size, 8);
		if (!multiplies(opcode))
			continue;
		/* With slopes. */
		cmd.activation = XRNPE_ACT_PRELU;
		expect_legal(&cmd, s);
		ck_assert_uint_eq(s[SCALE].size, 12);
		refuse(cmd, stride, 8, 4, stride);
		cmd.operand[SCALE].row_stride = 12;
		expect_legal(&cmd, s);
		ck_assert_uint_eq(s[SCALE].size, 6 * 12);
	}
}
END_TEST

/* ---- spans --------------------------------------------------------------------- */

START_TEST(spans_touched)
{
	struct xrnpe_span s[XRNPE_OPERANDS];
	struct xrnpe_cmd cmd = legal(XRNPE_OP_MATMUL, XRNPE_FORMAT_P4);

	expect_legal(&cmd, s);
	ck_assert_uint_eq(s[IFM].size, 4 * 512 + 4);	/* 7 nibbles */
	ck_assert_uint_eq(s[WEIGHT].size, 5 * 512 + 4);
	ck_assert_uint_eq(s[SCALE].size, 6 * 8);
	ck_assert_uint_eq(s[OFM].size, 4 * 512 + 3);
	cmd.flags = XRNPE_CMD_TRANSPOSED;
	expect_legal(&cmd, s);
	ck_assert_uint_eq(s[WEIGHT].size, 6 * 512 + 3);
	cmd = with_residual(cmd, XRNPE_FORMAT_F32);
	cmd.matmul.batch = 4;
	cmd.operand[IFM].batch_stride = 100;
	cmd.operand[IFM2].batch_stride = 4;
	cmd.operand[OFM].batch_stride = 4096;
	expect_legal(&cmd, s);
	ck_assert_uint_eq(s[IFM].size, 3 * 100 + 4 * 512 + 4);
	ck_assert_uint_eq(s[IFM2].size, 3 * 4 + 4 * 512 + 6 * 4);
	ck_assert_uint_eq(s[WEIGHT].size, 6 * 512 + 3);
	ck_assert_uint_eq(s[SCALE].size, 6 * 8);
	ck_assert_uint_eq(s[OFM].size, 3 * 4096 + 4 * 512 + 3);

	cmd = legal(XRNPE_OP_CONV2D, XRNPE_FORMAT_P16);
	expect_legal(&cmd, s);
	ck_assert_uint_eq(s[IFM].size, 5 * 512 + 4 * 32 + 4 * 2);
	ck_assert_uint_eq(s[WEIGHT].size, 5 * 512 + 8 * 32 + 2 * 2);
	ck_assert_uint_eq(s[SCALE].size, 6 * 8);
	ck_assert_uint_eq(s[OFM].size, 5 * 512 + 4 * 32 + 6 * 2);
	cmd = with_residual(cmd, XRNPE_FORMAT_P8);
	expect_legal(&cmd, s);
	ck_assert_uint_eq(s[IFM2].size, 5 * 512 + 4 * 32 + 6);

	cmd = legal(XRNPE_OP_MAXPOOL, XRNPE_FORMAT_P8);
	expect_legal(&cmd, s);
	ck_assert_uint_eq(s[OFM].size, 5 * 512 + 4 * 32 + 4);

	cmd = legal(XRNPE_OP_ADD, XRNPE_FORMAT_P8);
	expect_legal(&cmd, s);
	ck_assert_uint_eq(s[IFM2].size, 5 * 512 + 4 * 32 + 4);
	ck_assert_uint_eq(s[SCALE].size, 16);
	cmd.flags = XRNPE_CMD_PER_PIXEL;
	expect_legal(&cmd, s);
	ck_assert_uint_eq(s[IFM].size, 5 * 512 + 4 * 32 + 4);
	ck_assert_uint_eq(s[IFM2].size, 5 * 512 + 4 * 32 + 1);
	ck_assert_uint_eq(s[OFM].size, 5 * 512 + 4 * 32 + 4);

	cmd = legal(XRNPE_OP_CONVERT, XRNPE_FORMAT_F32);
	expect_legal(&cmd, s);
	ck_assert_uint_eq(s[IFM].size, 5 * 512 + 4 * 32 + 16);
	ck_assert_uint_eq(s[SCALE].size, 8);

	cmd = legal(XRNPE_OP_TIMESTAMP, 0);
	expect_legal(&cmd, s);
	ck_assert_uint_eq(s[OFM].size, 8);
}
END_TEST

/* A table has an entry for each code of ifm's format. */
START_TEST(spans_of_tables)
{
	for (uint8_t in = 0; in < XRNPE_PRODUCT_FORMATS; in++) {
		for (uint8_t out = 0; out < XRNPE_OUTPUT_FORMATS; out++) {
			struct xrnpe_cmd cmd = legal(XRNPE_OP_LUT, in);
			uint64_t bytes = (1ull << xrnpe_format_bits(in)) * xrnpe_format_bits(out) / 8;
			struct xrnpe_span s[XRNPE_OPERANDS];

			cmd.operand[WEIGHT].format = cmd.operand[OFM].format = out;
			cmd.operand[WEIGHT].offset = 0;
			expect_legal(&cmd, s);
			ck_assert_uint_eq(s[WEIGHT].size, bytes);
		}
	}
}
END_TEST

/* The axes of ifm, 6 x 5 x 4 or 3 x 2 x 4, in memory. */
START_TEST(spans_of_orders)
{
	static const struct {
		uint64_t rows, pixels, elements;
	} convert[] = {
		[XRNPE_ORDER_HWC] = { 6, 5, 4 }, [XRNPE_ORDER_HCW] = { 6, 4, 5 },
		[XRNPE_ORDER_WHC] = { 5, 6, 4 }, [XRNPE_ORDER_WCH] = { 5, 4, 6 },
		[XRNPE_ORDER_CHW] = { 4, 6, 5 }, [XRNPE_ORDER_CWH] = { 4, 5, 6 },
	}, copy[] = {
		[XRNPE_ORDER_HWC] = { 3, 2, 4 }, [XRNPE_ORDER_HCW] = { 3, 4, 2 },
		[XRNPE_ORDER_WHC] = { 2, 3, 4 }, [XRNPE_ORDER_WCH] = { 2, 4, 3 },
		[XRNPE_ORDER_CHW] = { 4, 3, 2 }, [XRNPE_ORDER_CWH] = { 4, 2, 3 },
	};

	for (uint8_t order = 0; order < XRNPE_ORDERS; order++) {
		struct xrnpe_cmd cmd = legal(XRNPE_OP_CONVERT, XRNPE_FORMAT_P16);
		struct xrnpe_span s[XRNPE_OPERANDS];

		cmd.order = order;
		expect_legal(&cmd, s);
		ck_assert_uint_eq(s[IFM].size, (convert[order].rows - 1) * 512 +
				  (convert[order].pixels - 1) * 32 + convert[order].elements * 2);
		ck_assert_uint_eq(s[OFM].size, 5 * 512 + 4 * 32 + 4 * 2);
		cmd = legal(XRNPE_OP_COPY, XRNPE_FORMAT_P16);
		cmd.order = order;
		expect_legal(&cmd, s);
		ck_assert_uint_eq(s[IFM].size, (copy[order].rows - 1) * 512 +
				  (copy[order].pixels - 1) * 32 + copy[order].elements * 2);
		ck_assert_uint_eq(s[OFM].size, 5 * 512 + 4 * 32 + 4 * 2);
	}
}
END_TEST

/* ---- dimensions ------------------------------------------------------------------ */

START_TEST(dimensions_matmul)
{
	struct xrnpe_cmd cmd = legal(XRNPE_OP_MATMUL, XRNPE_FORMAT_P8);

	refuse(cmd, MATMUL(m), 0, 4, MATMUL(m));
	refuse(cmd, MATMUL(n), 0, 4, MATMUL(n));
	refuse(cmd, MATMUL(k), 0, 4, MATMUL(k));
	refuse(cmd, MATMUL(k), XRNPE_MAX_K + 1, 4, MATMUL(k));
	refuse(cmd, MATMUL(k), UINT32_MAX, 4, MATMUL(k));
	refuse(cmd, MATMUL(batch), 0, 4, MATMUL(batch));
	cmd.matmul.k = XRNPE_MAX_K;
	expect_accepted(cmd);
}
END_TEST

/* Which fields of the dimensions must not be zero, and which must. */
static const struct dimension {
	size_t offset, size;
} image_dimensions[] = {
	{ IMAGE(in_h), 2 }, { IMAGE(in_w), 2 }, { IMAGE(in_c), 2 }, { IMAGE(out_h), 2 },
	{ IMAGE(out_w), 2 }, { IMAGE(out_c), 2 }, { IMAGE(groups), 2 }, { IMAGE(kernel_h), 1 },
	{ IMAGE(kernel_w), 1 }, { IMAGE(stride_h), 1 }, { IMAGE(stride_w), 1 },
	{ IMAGE(dilation_h), 1 }, { IMAGE(dilation_w), 1 }, { IMAGE(pad_top), 1 },
	{ IMAGE(pad_left), 1 },
};

START_TEST(dimensions_image)
{
	for (uint8_t opcode = FIRST_OPCODE; opcode <= LAST_OPCODE; opcode++) {
		struct xrnpe_cmd cmd = legal(opcode, XRNPE_FORMAT_P8);
		bool windows = opcode == XRNPE_OP_CONV2D || opcode == XRNPE_OP_MAXPOOL;

		for (size_t i = 0; i < sizeof(image_dimensions) / sizeof(image_dimensions[0]); i++) {
			const struct dimension *d = &image_dimensions[i];

			if (i < 3 ? windows || is_elementwise(opcode) : windows && i < 13)
				refuse(cmd, d->offset, 0, d->size, d->offset);
			else if (is_elementwise(opcode))
				refuse(cmd, d->offset, 1, d->size, d->offset);
		}
	}
}
END_TEST

START_TEST(dimensions_window)
{
	struct xrnpe_cmd conv = legal(XRNPE_OP_CONV2D, XRNPE_FORMAT_P8);
	struct xrnpe_cmd pool = legal(XRNPE_OP_MAXPOOL, XRNPE_FORMAT_P8);

	refuse(conv, IMAGE(groups), 4, 2, IMAGE(groups));	/* divides 4, not 6 */
	refuse(conv, IMAGE(groups), 3, 2, IMAGE(groups));	/* divides 6, not 4 */
	refuse(pool, IMAGE(groups), 2, 2, IMAGE(groups));
	refuse(pool, IMAGE(out_c), 3, 2, IMAGE(out_c));

	/* 128 x 128 taps x 2 channels of a group = 32768 products; then one line more. */
	conv.image.kernel_h = conv.image.kernel_w = 128;
	conv.operand[IFM].pixel_stride = conv.operand[WEIGHT].pixel_stride = 2;
	expect_accepted(conv);
	refuse(conv, IMAGE(kernel_h), 129, 1, IMAGE(kernel_h));

	/* A window of CONV2D may lie outside the image. */
	conv = legal(XRNPE_OP_CONV2D, XRNPE_FORMAT_P8);
	conv.image.pad_top = conv.image.pad_left = 255;
	expect_accepted(conv);
	/* One of MAXPOOL holds a pixel at least. */
	refuse(pool, IMAGE(pad_top), 3, 1, IMAGE(out_h));
	refuse(pool, IMAGE(pad_left), 3, 1, IMAGE(out_w));
	refuse(pool, IMAGE(out_h), 8, 2, IMAGE(out_h));	/* line 6 is the last to touch */
	refuse(pool, IMAGE(out_w), 7, 2, IMAGE(out_w));
	pool.image.out_h = 7;
	pool.image.out_w = 6;
	expect_accepted(pool);
	/* Taps before and after the image, none in it. */
	pool.image.out_h = 1;
	pool.image.dilation_h = 8;
	refuse(pool, IMAGE(pad_top), 1, 1, IMAGE(out_h));
	pool.image.pad_top = 3;
	expect_accepted(pool);
}
END_TEST

START_TEST(dimensions_copy)
{
	static const struct dimension nonzero[] = {
		{ COPY(in_h), 2 }, { COPY(in_w), 2 }, { COPY(in_c), 2 }, { COPY(out_h), 2 },
		{ COPY(out_w), 2 }, { COPY(out_c), 2 }, { COPY(up_h), 1 }, { COPY(up_w), 1 },
	};

	for (uint8_t format = 0; format < XRNPE_OUTPUT_FORMATS; format++) {
		struct xrnpe_cmd cmd = legal(XRNPE_OP_COPY, format);
		unsigned int bits = xrnpe_format_bits(format);

		for (size_t i = 0; i < sizeof(nonzero) / sizeof(nonzero[0]); i++)
			refuse(cmd, nonzero[i].offset, 0, nonzero[i].size, nonzero[i].offset);
		/* A code of the format, whatever it stands for. */
		for (unsigned int bit = bits; bit < 32; bit++)
			refuse(cmd, COPY(fill), 1u << bit, 4, COPY(fill));
		cmd.copy.fill = UINT32_MAX >> (32 - bits);
		/* Padding of any width, even wider than the output. */
		cmd.copy.pad_h = cmd.copy.pad_w = cmd.copy.pad_c = UINT16_MAX;
		cmd.copy.up_h = cmd.copy.up_w = 255;
		expect_accepted(cmd);
	}
}
END_TEST

/* XRNPE_MAX_WORK, exactly, and what is blamed for more. Memory would not suffice either. */
START_TEST(work_limit)
{
	static const struct {
		uint8_t opcode;
		uint32_t m, n, k, batch;	/* or h, w, c, kernel */
		bool legal;
	} cases[] = {
		{ XRNPE_OP_MATMUL, 1 << 10, 1 << 11, XRNPE_MAX_K, 1, true },
		{ XRNPE_OP_MATMUL, (1 << 10) + 1, 1 << 11, XRNPE_MAX_K, 1, false },
		{ XRNPE_OP_MATMUL, 1 << 9, 1 << 9, 1 << 9, 1 << 9, true },
		{ XRNPE_OP_MATMUL, 1 << 9, 1 << 9, 1 << 9, (1 << 9) + 1, false },
		{ XRNPE_OP_MATMUL, UINT32_MAX, UINT32_MAX, XRNPE_MAX_K, UINT32_MAX, false },
		{ XRNPE_OP_CONV2D, 1 << 10, 1 << 10, 1 << 8, 16, true },	/* 4 x 4 taps, 16 channels */
		{ XRNPE_OP_CONV2D, (1 << 10) + 1, 1 << 10, 1 << 8, 16, false },
		{ XRNPE_OP_CONV2D, UINT16_MAX, UINT16_MAX, UINT16_MAX, 16, false },
		{ XRNPE_OP_MAXPOOL, 1 << 10, 1 << 10, 1 << 10, 64, true },
		{ XRNPE_OP_MAXPOOL, 1 << 10, (1 << 10) + 1, 1 << 10, 64, false },
		{ XRNPE_OP_MAXPOOL, UINT16_MAX, UINT16_MAX, UINT16_MAX, 255 * 255, false },
		{ XRNPE_OP_ADD, 1 << 12, 1 << 12, 1 << 12, 0, true },
		{ XRNPE_OP_ADD, 1 << 12, 1 << 12, (1 << 12) + 1, 0, false },
		{ XRNPE_OP_LUT, UINT16_MAX, UINT16_MAX, UINT16_MAX, 0, false },
		{ XRNPE_OP_CONVERT, 1 << 15, 1 << 15, 1 << 6, 0, true },
		{ XRNPE_OP_COPY, 1 << 12, 1 << 12, 1 << 12, 0, true },
		{ XRNPE_OP_COPY, (1 << 12) + 1, 1 << 12, 1 << 12, 0, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct xrnpe_cmd cmd = legal(cases[i].opcode, XRNPE_FORMAT_P8);
		struct xrnpe_dims_image *d = &cmd.image;
		uint16_t h = (uint16_t)cases[i].m, w = (uint16_t)cases[i].n, c = (uint16_t)cases[i].k;
		size_t blamed = rules[cases[i].opcode].first_dimension;

		for (unsigned int o = 0; o < OFM; o++)
			cmd.operand[o].row_stride = cmd.operand[o].pixel_stride = 0;
		if (is_pair(cmd.opcode))
			cmd.operand[SCALE].row_stride = 8;
		cmd.operand[OFM].pixel_stride = c;
		cmd.operand[OFM].row_stride = UINT32_MAX;
		cmd.operand[OFM].offset = 1;
		switch (cmd.opcode) {
		case XRNPE_OP_MATMUL:
			cmd.matmul = (struct xrnpe_dims_matmul){ cases[i].m, cases[i].n, cases[i].k,
								 cases[i].batch, { 0 } };
			cmd.operand[OFM].pixel_stride = 0;
			cmd.operand[OFM].row_stride = cases[i].n;
			cmd.operand[OFM].batch_stride = cases[i].m * cases[i].n;
			if (cases[i].m == UINT32_MAX) {
				/* Such an output cannot be laid out. */
				cmd.matmul.batch = 1;
				cmd.operand[OFM].batch_stride = 0;
			}
			break;
		case XRNPE_OP_COPY:
			cmd.copy.out_h = h;
			cmd.copy.out_w = w;
			cmd.copy.out_c = c;
			break;
		case XRNPE_OP_CONV2D:
		case XRNPE_OP_MAXPOOL:
			*d = (struct xrnpe_dims_image){
				.in_h = UINT16_MAX, .in_w = UINT16_MAX, .in_c = 16, .out_h = h,
				.out_w = w, .out_c = c, .groups = 1, .kernel_h = 1, .kernel_w = 1,
				.stride_h = 1, .stride_w = 1, .dilation_h = 1, .dilation_w = 1,
			};
			if (cmd.opcode == XRNPE_OP_MAXPOOL)
				d->in_c = c;
			d->kernel_h = d->kernel_w = cases[i].batch == 16 ? 4 : cases[i].batch == 64 ? 8 : 255;
			break;
		default:
			*d = (struct xrnpe_dims_image){ .in_h = h, .in_w = w, .in_c = c };
		}
		if (cases[i].legal)
			expect(&cmd, XRNPE_FAULT_OUT_OF_BOUNDS, OFM, REGION_SIZE);
		else
			expect(&cmd, XRNPE_FAULT_ILLEGAL_FIELD, XRNPE_OPERAND_NONE, blamed);
	}
}
END_TEST

/* ---- which field is blamed ------------------------------------------------------- */

/*
 * Every field of @cmd that a single value makes illegal, whatever the others hold: into
 * @at, with the value. Returns how many there are.
 */
static size_t independent_mistakes(const struct xrnpe_cmd *cmd, struct xrnpe_field *at, uint64_t *value)
{
	struct xrnpe_field field;
	size_t count = 0;

	for (unsigned int i = 1; xrnpe_cmd_field(cmd->opcode, i, &field); i++) {
		uint32_t operand = operand_at(field.offset);
		bool absent = operand != XRNPE_OPERAND_NONE && !has(cmd, operand);
		bool dimension = field.offset >= FIELD(image) && field.offset < FIELD(reserved2);

		at[count] = field;
		if (field.kind == XRNPE_FIELD_RESERVED || absent ||
		    field.kind == XRNPE_FIELD_ACTIVATION || field.kind == XRNPE_FIELD_ORDER ||
		    field.kind == XRNPE_FIELD_FORMAT)
			value[count++] = 0x77;
		else if (field.kind == XRNPE_FIELD_FLAGS)
			value[count++] = 0x100;
		else if (field.kind == XRNPE_FIELD_F32)
			value[count++] = 0x7fc00000;
		else if (dimension && !strncmp(field.name, "in_", 3))
			value[count++] = 0;
		else if (dimension && strlen(field.name) == 1)
			value[count++] = 0;	/* m, n, k */
	}
	return count;
}

/* Of two mistakes the one that comes first in the record is reported. */
START_TEST(first_mistake_is_blamed)
{
	static struct xrnpe_field at[64];
	static uint64_t value[64];
	struct xrnpe_cmd cmd = legal((uint8_t)_i, XRNPE_FORMAT_P8);
	size_t count = independent_mistakes(&cmd, at, value);

	ck_assert_uint_ge(count, 10);
	for (size_t i = 0; i < count; i++) {
		refuse(cmd, at[i].offset, value[i], at[i].size < 8 ? at[i].size : 8, at[i].offset);
		for (size_t j = i + 1; j < count; j++) {
			struct xrnpe_cmd both = cmd;

			set(&both, at[j].offset, value[j], at[j].size < 8 ? at[j].size : 8);
			refuse(both, at[i].offset, value[i], at[i].size < 8 ? at[i].size : 8,
			       at[i].offset);
		}
	}
}
END_TEST

/* Fields come before memory, and what depends on an illegal field is not judged. */
START_TEST(order_of_checks)
{
	struct xrnpe_cmd cmd = legal(XRNPE_OP_MATMUL, XRNPE_FORMAT_P16);

	cmd.operand[IFM].region = 9;
	expect(&cmd, XRNPE_FAULT_NO_REGION, IFM, 0);
	cmd.matmul.k = 0;
	expect(&cmd, XRNPE_FAULT_ILLEGAL_FIELD, XRNPE_OPERAND_NONE, MATMUL(k));
	cmd.matmul.m = 0;
	expect(&cmd, XRNPE_FAULT_ILLEGAL_FIELD, XRNPE_OPERAND_NONE, MATMUL(m));
	cmd.operand[OFM].format = 200;
	refuse(cmd, MATMUL(m), 0, 4, OPERAND(OFM, format));
	cmd.operand[OFM].row_stride = 1;	/* not judged: no format */
	refuse(cmd, MATMUL(m), 0, 4, OPERAND(OFM, format));
	cmd.operand[IFM].row_stride = 1;
	refuse(cmd, MATMUL(m), 0, 4, OPERAND(IFM, row_stride));
	cmd.activation = 7;
	refuse(cmd, MATMUL(m), 0, 4, FIELD(activation));

	/* How outputs lie, and how much there is to do, is judged last. */
	cmd = legal(XRNPE_OP_MATMUL, XRNPE_FORMAT_P8);
	cmd.operand[OFM].row_stride = 0;
	refuse(cmd, FIELD(reserved2), 1, 4, FIELD(reserved2));
	cmd.matmul.m = cmd.matmul.n = UINT32_MAX;
	expect(&cmd, XRNPE_FAULT_ILLEGAL_FIELD, OFM, OPERAND(OFM, row_stride));
	/* How far rows must be apart depends on the pixels in them, matrices on their rows. */
	cmd = legal(XRNPE_OP_CONV2D, XRNPE_FORMAT_P8);
	cmd.operand[OFM].row_stride = 0;
	refuse(cmd, OPERAND(OFM, pixel_stride), 5, 4, OPERAND(OFM, pixel_stride));
	cmd = legal(XRNPE_OP_MATMUL, XRNPE_FORMAT_P8);
	cmd.matmul.batch = 2;
	refuse(cmd, OPERAND(OFM, row_stride), 5, 4, OPERAND(OFM, row_stride));

	/* Windows that do not touch an image without lines: the lines are to blame. */
	cmd = legal(XRNPE_OP_MAXPOOL, XRNPE_FORMAT_P8);
	cmd.image.pad_top = 3;
	refuse(cmd, IMAGE(in_h), 0, 2, IMAGE(in_h));
	refuse(cmd, IMAGE(kernel_h), 0, 1, IMAGE(kernel_h));
	/* The twin of an illegal format is not judged. */
	refuse(cmd, OPERAND(IFM, format), 100, 1, OPERAND(IFM, format));
	cmd = legal(XRNPE_OP_LUT, XRNPE_FORMAT_P8);
	refuse(cmd, OPERAND(WEIGHT, format), 100, 1, OPERAND(WEIGHT, format));
	/* Nor a fill of no format. */
	cmd = legal(XRNPE_OP_COPY, XRNPE_FORMAT_P8);
	cmd.copy.fill = UINT32_MAX;
	refuse(cmd, OPERAND(IFM, format), 100, 1, OPERAND(IFM, format));
}
END_TEST

/* ---- memory ---------------------------------------------------------------------- */

START_TEST(memory_faults)
{
	uint8_t opcode = (uint8_t)_i;

	for (uint8_t i = 0; i < XRNPE_OPERANDS; i++) {
		struct xrnpe_cmd cmd = legal(opcode, XRNPE_FORMAT_P8);
		struct xrnpe_span s[XRNPE_OPERANDS];
		uint64_t last;

		if (i == IFM2 && multiplies(opcode))
			cmd = with_residual(cmd, XRNPE_FORMAT_P8);
		if (!has(&cmd, i))
			continue;
		cmd.operand[i].region = EXTENTS;
		expect(&cmd, XRNPE_FAULT_NO_REGION, i, 0);
		cmd.operand[i].region = 255;
		expect(&cmd, XRNPE_FAULT_NO_REGION, i, 0);
		cmd.operand[i].region = i == OFM ? IFM : OFM;
		expect(&cmd, XRNPE_FAULT_PERMISSION, i, 64);
		cmd.operand[i].region = i;

		expect_legal(&cmd, s);
		last = (REGION_SIZE - s[i].size) & ~7ull;
		cmd.operand[i].offset = last;
		expect_legal(&cmd, s);
		cmd.operand[i].offset += 8;	/* over by at least one byte */
		expect(&cmd, XRNPE_FAULT_OUT_OF_BOUNDS, i, REGION_SIZE);
		cmd.operand[i].offset = REGION_SIZE + 8;
		expect(&cmd, XRNPE_FAULT_OUT_OF_BOUNDS, i, REGION_SIZE + 8);
		cmd.operand[i].offset = UINT64_MAX - 7;
		expect(&cmd, XRNPE_FAULT_OUT_OF_BOUNDS, i, UINT64_MAX - 7);
	}
}
END_TEST

/* The region's last byte belongs to it. */
START_TEST(memory_to_the_last_byte)
{
	struct xrnpe_cmd cmd = legal(XRNPE_OP_MAXPOOL, XRNPE_FORMAT_P8);

	cmd.operand[OFM].offset = REGION_SIZE - (5 * 512 + 4 * 32 + 4);
	expect_accepted(cmd);
	cmd.operand[OFM].offset++;
	expect(&cmd, XRNPE_FAULT_OUT_OF_BOUNDS, OFM, REGION_SIZE);
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
		if (i == SCALE || i == IFM2)
			continue;
		cmd.operand[i].row_stride = UINT32_MAX;
		cmd.operand[i].offset = UINT64_MAX;
	}
	expect(&cmd, XRNPE_FAULT_OUT_OF_BOUNDS, IFM, UINT64_MAX);
	cmd.operand[IFM].offset = 0;
	expect(&cmd, XRNPE_FAULT_OUT_OF_BOUNDS, IFM, REGION_SIZE);
	cmd.operand[IFM].offset = 9ull * UINT32_MAX;
	expect(&cmd, XRNPE_FAULT_OUT_OF_BOUNDS, IFM, 9ull * UINT32_MAX);
	/* Batches that make it 2^64 exactly. */
	cmd = legal(XRNPE_OP_MATMUL, XRNPE_FORMAT_P8);
	cmd.matmul = (struct xrnpe_dims_matmul){ 1, 1, 1, UINT32_MAX, { 0 } };
	cmd.operand[IFM].batch_stride = UINT32_MAX;
	cmd.operand[OFM].batch_stride = 1;
	expect(&cmd, XRNPE_FAULT_OUT_OF_BOUNDS, IFM, REGION_SIZE);
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
	for (uint8_t opcode = XRNPE_OP_MAXPOOL; opcode <= LAST_OPCODE; opcode++) {
		cmd = legal(opcode, XRNPE_FORMAT_P8);
		ck_assert_uint_eq(xrnpe_cmd_macs(&cmd), 0);
	}
}
END_TEST

TCase *datapath_check_tests(void)
{
	TCase *tests = tcase_create("check");

	tcase_add_test(tests, legal_commands);
	tcase_add_test(tests, illegal_opcodes);
	tcase_add_loop_test(tests, reserved_bytes, FIRST_OPCODE, LAST_OPCODE + 1);
	tcase_add_loop_test(tests, formats, FIRST_OPCODE, LAST_OPCODE + 1);
	tcase_add_test(tests, formats_mixed);
	tcase_add_test(tests, activations);
	tcase_add_test(tests, flags);
	tcase_add_test(tests, orders);
	tcase_add_test(tests, parameters);
	tcase_add_test(tests, clamp_limits);
	tcase_add_loop_test(tests, alignment, FIRST_OPCODE, LAST_OPCODE + 1);
	tcase_add_test(tests, strides_that_are_not_there);
	tcase_add_test(tests, inputs_may_overlap);
	tcase_add_loop_test(tests, outputs_apart, FIRST_OPCODE, LAST_OPCODE + 1);
	tcase_add_test(tests, outputs_alone);
	tcase_add_test(tests, scale_records);
	tcase_add_test(tests, spans_touched);
	tcase_add_test(tests, spans_of_tables);
	tcase_add_test(tests, spans_of_orders);
	tcase_add_test(tests, dimensions_matmul);
	tcase_add_test(tests, dimensions_image);
	tcase_add_test(tests, dimensions_window);
	tcase_add_test(tests, dimensions_copy);
	tcase_add_test(tests, work_limit);
	tcase_add_loop_test(tests, first_mistake_is_blamed, FIRST_OPCODE, LAST_OPCODE + 1);
	tcase_add_test(tests, order_of_checks);
	tcase_add_loop_test(tests, memory_faults, FIRST_OPCODE, LAST_OPCODE + 1);
	tcase_add_test(tests, memory_to_the_last_byte);
	tcase_add_test(tests, memory_no_wrap);
	tcase_add_test(tests, macs);
	return tests;
}

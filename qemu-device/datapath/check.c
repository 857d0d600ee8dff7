// SPDX-License-Identifier: MIT
/*
 * Is a command legal?
 *
 * A rule belongs to the field that it refuses. Of all fields that break a rule
 * the first in the record is reported; a rule that depends on a field which is
 * itself illegal is not judged.
 */
#include <stddef.h>
#include <string.h>

#include "internal.h"

_Static_assert(sizeof(struct xrnpe_cmd) == 192, "a record has 192 bytes");
_Static_assert(sizeof(struct xrnpe_cmd) % XRNPE_CMD_ALIGN == 0, "records are aligned");
_Static_assert(sizeof(struct xrnpe_counters) == XRNPE_COUNTERS * 8, "counters are words");

#define FIELD(member) offsetof(struct xrnpe_cmd, member)
#define OPERAND(i, member) \
	(FIELD(operand) + (i) * sizeof(struct xrnpe_operand) + \
	 offsetof(struct xrnpe_operand, member))

#define NOTHING SIZE_MAX

/* ---- what each opcode has ---------------------------------------------- */

#define CODES (1u << XRNPE_FORMAT_FP4 | 1u << XRNPE_FORMAT_P4 | 1u << XRNPE_FORMAT_P8 | \
	       1u << XRNPE_FORMAT_P16)
#define REALS (CODES | 1u << XRNPE_FORMAT_F32)
#define INTEGERS (1u << XRNPE_FORMAT_U8 | 1u << XRNPE_FORMAT_S8)

enum dimensions { NO_DIMS, MATMUL_DIMS, WINDOW_DIMS, IMAGE_DIMS, COPY_DIMS };

struct opcode {
	bool rounds;			/* has an activation and may clamp */
	enum dimensions dims;
	uint32_t flags;			/* allowed, besides CLAMP if it rounds */
	uint32_t formats[XRNPE_OPERANDS];	/* allowed; 0: no such operand */
};

#define SCALE_RECORDS [XRNPE_OPERAND_SCALE] = 1u << XRNPE_FORMAT_F32
#define PAIR .rounds = true, .dims = IMAGE_DIMS, .flags = XRNPE_CMD_PER_PIXEL, .formats = {	\
	[XRNPE_OPERAND_IFM] = CODES, [XRNPE_OPERAND_IFM2] = CODES, SCALE_RECORDS,		\
	[XRNPE_OPERAND_OFM] = REALS }

static const struct opcode opcodes[] = {
	[XRNPE_OP_MATMUL] = { true, MATMUL_DIMS, XRNPE_CMD_RESIDUAL | XRNPE_CMD_TRANSPOSED, {
		[XRNPE_OPERAND_IFM] = CODES, [XRNPE_OPERAND_IFM2] = REALS,
		[XRNPE_OPERAND_WEIGHT] = CODES, SCALE_RECORDS, [XRNPE_OPERAND_OFM] = REALS } },
	[XRNPE_OP_CONV2D] = { true, WINDOW_DIMS, XRNPE_CMD_RESIDUAL, {
		[XRNPE_OPERAND_IFM] = CODES, [XRNPE_OPERAND_IFM2] = REALS,
		[XRNPE_OPERAND_WEIGHT] = CODES, SCALE_RECORDS, [XRNPE_OPERAND_OFM] = REALS } },
	[XRNPE_OP_MAXPOOL] = { false, WINDOW_DIMS, 0, {
		[XRNPE_OPERAND_IFM] = CODES, [XRNPE_OPERAND_OFM] = CODES } },
	[XRNPE_OP_ADD] = { PAIR },
	[XRNPE_OP_CONVERT] = { true, IMAGE_DIMS, 0, {
		[XRNPE_OPERAND_IFM] = REALS | INTEGERS, SCALE_RECORDS, [XRNPE_OPERAND_OFM] = REALS } },
	[XRNPE_OP_MUL] = { PAIR },
	[XRNPE_OP_MAX] = { PAIR },
	[XRNPE_OP_MIN] = { PAIR },
	[XRNPE_OP_LUT] = { false, IMAGE_DIMS, 0, {
		[XRNPE_OPERAND_IFM] = CODES, [XRNPE_OPERAND_WEIGHT] = REALS,
		[XRNPE_OPERAND_OFM] = REALS } },
	[XRNPE_OP_COPY] = { false, COPY_DIMS, XRNPE_CMD_SPREAD, {
		[XRNPE_OPERAND_IFM] = REALS, [XRNPE_OPERAND_OFM] = REALS } },
	[XRNPE_OP_BARRIER] = { false, NO_DIMS, 0, { 0 } },
	[XRNPE_OP_TIMESTAMP] = { false, NO_DIMS, 0, { [XRNPE_OPERAND_OFM] = 1 } },
};

#define OPCODES (sizeof(opcodes) / sizeof(opcodes[0]))

bool xrnpe_cmd_has_operand(const struct xrnpe_cmd *cmd, unsigned int i)
{
	const struct opcode *op = &opcodes[cmd->opcode];

	if (i == XRNPE_OPERAND_IFM2 && op->flags & XRNPE_CMD_RESIDUAL)
		return cmd->flags & XRNPE_CMD_RESIDUAL;
	return op->formats[i];
}

/* ---- verdicts ---------------------------------------------------------- */

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

/* A field that the command does not use. */
#define REQUIRE_ZERO(v, cmd, member) \
	require(v, all_zero(&(cmd)->member, sizeof((cmd)->member)), FIELD(member))

/* ---- operands ---------------------------------------------------------- */

static void check_scale(struct verdict *v, const struct xrnpe_cmd *cmd)
{
	const unsigned int i = XRNPE_OPERAND_SCALE;
	const struct xrnpe_operand *o = &cmd->operand[i];
	const size_t record = xrnpe_cmd_scales(cmd).words * sizeof(uint32_t);
	bool two = cmd->opcode == XRNPE_OP_ADD || cmd->opcode == XRNPE_OP_MAX || cmd->opcode == XRNPE_OP_MIN;

	require(v, !(o->offset % sizeof(uint32_t)), OPERAND(i, offset));
	require(v, !(o->row_stride % sizeof(uint32_t)), OPERAND(i, row_stride));
	require(v, o->row_stride >= record || (!o->row_stride && !two),
		OPERAND(i, row_stride));
	require(v, !o->row_stride || cmd->opcode != XRNPE_OP_MUL, OPERAND(i, row_stride));
	require(v, !o->pixel_stride, OPERAND(i, pixel_stride));
}

static void check_operand(struct verdict *v, const struct xrnpe_cmd *cmd, unsigned int i)
{
	const struct xrnpe_operand *o = &cmd->operand[i];
	const struct xrnpe_operand *ifm = &cmd->operand[XRNPE_OPERAND_IFM];
	uint32_t formats = opcodes[cmd->opcode].formats[i];
	bool table = cmd->opcode == XRNPE_OP_LUT && i == XRNPE_OPERAND_WEIGHT, known;
	unsigned int size;

	REQUIRE_ZERO(v, cmd, operand[i].reserved);
	if (!xrnpe_cmd_has_operand(cmd, i)) {
		REQUIRE_ZERO(v, cmd, operand[i].offset);
		REQUIRE_ZERO(v, cmd, operand[i].row_stride);
		REQUIRE_ZERO(v, cmd, operand[i].pixel_stride);
		REQUIRE_ZERO(v, cmd, operand[i].batch_stride);
		REQUIRE_ZERO(v, cmd, operand[i].region);
		REQUIRE_ZERO(v, cmd, operand[i].format);
		return;
	}
	known = o->format < XRNPE_FORMATS && formats & 1u << o->format;
	require(v, known, OPERAND(i, format));
	require(v, cmd->opcode == XRNPE_OP_MATMUL || !o->batch_stride, OPERAND(i, batch_stride));
	if (i == XRNPE_OPERAND_SCALE) {
		require(v, !o->batch_stride, OPERAND(i, batch_stride));
		check_scale(v, cmd);
		return;
	}
	/* Formats that must be equal: of two the later is to blame. */
	if (i == XRNPE_OPERAND_OFM && (cmd->opcode == XRNPE_OP_MAXPOOL || cmd->opcode == XRNPE_OP_COPY))
		require(v, o->format == ifm->format || ifm->format >= XRNPE_FORMAT_U8, OPERAND(i, format));
	if (i == XRNPE_OPERAND_OFM && cmd->opcode == XRNPE_OP_LUT)
		require(v, o->format == cmd->operand[XRNPE_OPERAND_WEIGHT].format ||
			   cmd->operand[XRNPE_OPERAND_WEIGHT].format >= XRNPE_FORMAT_U8,
			OPERAND(i, format));
	if (cmd->opcode == XRNPE_OP_MATMUL || table)
		require(v, !o->pixel_stride, OPERAND(i, pixel_stride));
	if (table)
		require(v, !o->row_stride, OPERAND(i, row_stride));
	if (cmd->opcode == XRNPE_OP_TIMESTAMP) {
		require(v, !(o->offset % sizeof(uint64_t)), OPERAND(i, offset));
		require(v, !o->row_stride, OPERAND(i, row_stride));
		require(v, !o->pixel_stride, OPERAND(i, pixel_stride));
		return;
	}
	if (!known || xrnpe_format_bits(o->format) <= 8)
		return;
	size = xrnpe_format_bits(o->format) / 8;
	require(v, !(o->offset % size), OPERAND(i, offset));
	require(v, !(o->row_stride % size), OPERAND(i, row_stride));
	require(v, !(o->pixel_stride % size), OPERAND(i, pixel_stride));
	require(v, !(o->batch_stride % size), OPERAND(i, batch_stride));
}

/* Outputs that lie on each other would depend on the order in which they are written. */
static void check_output_apart(struct verdict *v, const struct xrnpe_cmd *cmd)
{
	const unsigned int i = XRNPE_OPERAND_OFM;
	const struct xrnpe_operand *o = &cmd->operand[i];
	struct xrnpe_layout l;
	xrnpe_u128 bytes;

	if (!opcodes[cmd->opcode].formats[i] || cmd->opcode == XRNPE_OP_TIMESTAMP)
		return;
	l = xrnpe_cmd_layout(cmd, i);
	/* Where pixels lie on each other, it is not asked how far rows are apart. */
	bytes = xrnpe_row_bytes(o->format, l.elements);
	if (l.pixels > 1 && o->pixel_stride < bytes) {
		require(v, false, OPERAND(i, pixel_stride));
		return;
	}
	bytes += (xrnpe_u128)(l.pixels - 1) * o->pixel_stride;
	if (l.rows > 1 && o->row_stride < bytes) {
		require(v, false, OPERAND(i, row_stride));
		return;
	}
	bytes += (xrnpe_u128)(l.rows - 1) * o->row_stride;
	require(v, l.matrices == 1 || o->batch_stride >= bytes, OPERAND(i, batch_stride));
}

/* ---- dimensions -------------------------------------------------------- */

static void check_matmul(struct verdict *v, const struct xrnpe_cmd *cmd)
{
	const struct xrnpe_dims_matmul *d = &cmd->matmul;

	require(v, d->m, FIELD(matmul.m));
	require(v, d->n, FIELD(matmul.n));
	require(v, d->k && d->k <= XRNPE_MAX_K, FIELD(matmul.k));
	require(v, d->batch, FIELD(matmul.batch));
	REQUIRE_ZERO(v, cmd, matmul.reserved);
}

/* Three dimensions, the rest is zero. */
static void check_image(struct verdict *v, const struct xrnpe_cmd *cmd)
{
	require(v, cmd->image.in_h, FIELD(image.in_h));
	require(v, cmd->image.in_w, FIELD(image.in_w));
	require(v, cmd->image.in_c, FIELD(image.in_c));
	REQUIRE_ZERO(v, cmd, image.out_h);
	REQUIRE_ZERO(v, cmd, image.out_w);
	REQUIRE_ZERO(v, cmd, image.out_c);
	REQUIRE_ZERO(v, cmd, image.groups);
	REQUIRE_ZERO(v, cmd, image.kernel_h);
	REQUIRE_ZERO(v, cmd, image.kernel_w);
	REQUIRE_ZERO(v, cmd, image.stride_h);
	REQUIRE_ZERO(v, cmd, image.stride_w);
	REQUIRE_ZERO(v, cmd, image.dilation_h);
	REQUIRE_ZERO(v, cmd, image.dilation_w);
	REQUIRE_ZERO(v, cmd, image.pad_top);
	REQUIRE_ZERO(v, cmd, image.pad_left);
	REQUIRE_ZERO(v, cmd, image.reserved);
}

static void check_copy(struct verdict *v, const struct xrnpe_cmd *cmd)
{
	const struct xrnpe_dims_copy *d = &cmd->copy;
	uint8_t format = cmd->operand[XRNPE_OPERAND_IFM].format;
	unsigned int bits = format < XRNPE_FORMATS ? xrnpe_format_bits(format) : 0;

	require(v, d->in_h, FIELD(copy.in_h));
	require(v, d->in_w, FIELD(copy.in_w));
	require(v, d->in_c, FIELD(copy.in_c));
	require(v, d->out_h, FIELD(copy.out_h));
	require(v, d->out_w, FIELD(copy.out_w));
	require(v, d->out_c, FIELD(copy.out_c));
	require(v, d->up_h, FIELD(copy.up_h));
	require(v, d->up_w, FIELD(copy.up_w));
	require(v, !bits || bits >= 32 || !(d->fill >> bits), FIELD(copy.fill));
	REQUIRE_ZERO(v, cmd, copy.reserved);
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

	require(v, d->in_h, FIELD(image.in_h));
	require(v, d->in_w, FIELD(image.in_w));
	require(v, d->in_c, FIELD(image.in_c));
	require(v, d->out_h, FIELD(image.out_h));
	require(v, d->out_w, FIELD(image.out_w));
	require(v, d->out_c, FIELD(image.out_c));
	require(v, d->kernel_h, FIELD(image.kernel_h));
	require(v, d->kernel_w, FIELD(image.kernel_w));
	require(v, d->stride_h, FIELD(image.stride_h));
	require(v, d->stride_w, FIELD(image.stride_w));
	require(v, d->dilation_h, FIELD(image.dilation_h));
	require(v, d->dilation_w, FIELD(image.dilation_w));
	REQUIRE_ZERO(v, cmd, image.reserved);
	if (cmd->opcode == XRNPE_OP_CONV2D) {
		require(v, d->groups && d->in_c % d->groups == 0 && d->out_c % d->groups == 0,
			FIELD(image.groups));
		require(v, !d->groups ||
			   (uint64_t)d->kernel_h * d->kernel_w * (d->in_c / d->groups) <=
			   XRNPE_MAX_K, FIELD(image.kernel_h));
		return;
	}
	require(v, d->out_c == d->in_c, FIELD(image.out_c));
	require(v, d->groups == 1, FIELD(image.groups));
	require(v, windows_touch(d->in_h, d->out_h, d->kernel_h, d->stride_h,
				 d->dilation_h, d->pad_top), FIELD(image.out_h));
	require(v, windows_touch(d->in_w, d->out_w, d->kernel_w, d->stride_w,
				 d->dilation_w, d->pad_left), FIELD(image.out_w));
}

/* ---- the output stage -------------------------------------------------- */

static float f32(uint32_t bits)
{
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* A parameter that only some commands have: finite there, else all zero bits. */
static void check_parameter(struct verdict *v, bool has, uint32_t bits, size_t field)
{
	require(v, has ? (bits & 0x7f800000) != 0x7f800000 : !bits, field);
}

static void check_output_stage(struct verdict *v, const struct xrnpe_cmd *cmd)
{
	const struct opcode *op = &opcodes[cmd->opcode];
	bool clamp = cmd->flags & XRNPE_CMD_CLAMP;
	uint8_t last = !op->rounds ? XRNPE_ACT_NONE : xrnpe_cmd_multiplies(cmd) ? XRNPE_ACT_PRELU : XRNPE_ACT_LEAKY;

	require(v, cmd->activation <= last, FIELD(activation));
	require(v, cmd->order < XRNPE_ORDERS &&
		   (!cmd->order || cmd->opcode == XRNPE_OP_CONVERT || cmd->opcode == XRNPE_OP_COPY),
		FIELD(order));
	require(v, !cmd->reserved, FIELD(reserved));
	require(v, !(cmd->flags & ~(op->flags | (op->rounds ? XRNPE_CMD_CLAMP : 0))), FIELD(flags));
	check_parameter(v, cmd->activation == XRNPE_ACT_LEAKY, cmd->slope, FIELD(slope));
	check_parameter(v, clamp, cmd->lo, FIELD(lo));
	check_parameter(v, clamp, cmd->hi, FIELD(hi));
	require(v, !clamp || !(f32(cmd->hi) < f32(cmd->lo)), FIELD(hi));
	check_parameter(v, cmd->flags & XRNPE_CMD_RESIDUAL, cmd->residual, FIELD(residual));
}

/* The field to blame for too much work */
static size_t first_dimension(const struct xrnpe_cmd *cmd)
{
	switch (opcodes[cmd->opcode].dims) {
	case MATMUL_DIMS:
		return FIELD(matmul.m);
	case WINDOW_DIMS:
		return FIELD(image.out_h);
	case COPY_DIMS:
		return FIELD(copy.out_h);
	default:
		return FIELD(image.in_h);
	}
}

/* ---- the whole --------------------------------------------------------- */

static size_t illegal_field(const struct xrnpe_cmd *cmd)
{
	struct verdict v = { .field = NOTHING };

	check_output_stage(&v, cmd);
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++)
		check_operand(&v, cmd, i);
	switch (opcodes[cmd->opcode].dims) {
	case NO_DIMS:
		REQUIRE_ZERO(&v, cmd, none);
		break;
	case MATMUL_DIMS:
		check_matmul(&v, cmd);
		break;
	case WINDOW_DIMS:
		check_window(&v, cmd);
		break;
	case IMAGE_DIMS:
		check_image(&v, cmd);
		break;
	case COPY_DIMS:
		check_copy(&v, cmd);
		break;
	}
	REQUIRE_ZERO(&v, cmd, reserved2);
	/* These depend on all dimensions and on formats. */
	if (v.field == NOTHING) {
		check_output_apart(&v, cmd);
		require(&v, xrnpe_cmd_work(cmd) <= XRNPE_MAX_WORK, first_dimension(cmd));
	}
	return v.field;
}

bool xrnpe_cmd_check(const struct xrnpe_cmd *cmd, uint32_t index,
		     const struct xrnpe_extent *extents, unsigned int extent_count,
		     struct xrnpe_span spans[XRNPE_OPERANDS],
		     struct xrnpe_fault *fault)
{
	size_t field;

	*fault = (struct xrnpe_fault){ .cmd = index, .operand = XRNPE_OPERAND_NONE };
	if (!cmd->opcode || cmd->opcode >= OPCODES) {
		fault->kind = XRNPE_FAULT_ILLEGAL_OPCODE;
		return false;
	}
	field = illegal_field(cmd);
	if (field != NOTHING) {
		fault->kind = XRNPE_FAULT_ILLEGAL_FIELD;
		fault->offset = field;
		if (field >= FIELD(operand) && field < FIELD(operand[XRNPE_OPERANDS])) {
			fault->operand = (uint32_t)((field - FIELD(operand)) /
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
		if (!xrnpe_cmd_has_operand(cmd, i))
			continue;
		fault->operand = i;
		fault->region = o->region;
		if (o->region >= extent_count) {
			fault->kind = XRNPE_FAULT_NO_REGION;
			return false;
		}
		fault->offset = o->offset;
		if (!(extents[o->region].flags & (write ? XRNPE_REGION_WRITE : XRNPE_REGION_READ))) {
			fault->kind = XRNPE_FAULT_PERMISSION;
			return false;
		}
		size = xrnpe_cmd_bytes(cmd, i);
		if (size + o->offset > extents[o->region].size) {
			fault->kind = XRNPE_FAULT_OUT_OF_BOUNDS;
			if (fault->offset < extents[o->region].size)
				fault->offset = extents[o->region].size;
			return false;
		}
		fault->offset = 0;
		spans[i] = (struct xrnpe_span){ o->offset, (uint64_t)size, o->region, write };
	}
	*fault = (struct xrnpe_fault){ .cmd = index, .operand = XRNPE_OPERAND_NONE };
	return true;
}

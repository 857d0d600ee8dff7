// SPDX-License-Identifier: MIT
#include "names.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NAME(names, i) ((i) < COUNT(names) ? (names)[i] : NULL)

static const char *const opcodes[] = {
	[XRNPE_OP_MATMUL] = "matmul",
	[XRNPE_OP_CONV2D] = "conv2d",
	[XRNPE_OP_MAXPOOL] = "maxpool",
	[XRNPE_OP_ADD] = "add",
	[XRNPE_OP_CONVERT] = "convert",
	[XRNPE_OP_MUL] = "mul",
	[XRNPE_OP_MAX] = "max",
	[XRNPE_OP_MIN] = "min",
	[XRNPE_OP_LUT] = "lut",
	[XRNPE_OP_COPY] = "copy",
	[XRNPE_OP_BARRIER] = "barrier",
	[XRNPE_OP_TIMESTAMP] = "timestamp",
};

static const char *const operands[] = {
	[XRNPE_OPERAND_IFM] = "ifm",
	[XRNPE_OPERAND_IFM2] = "ifm2",
	[XRNPE_OPERAND_WEIGHT] = "weight",
	[XRNPE_OPERAND_SCALE] = "scale",
	[XRNPE_OPERAND_OFM] = "ofm",
};

static const char *const faults[] = {
	[XRNPE_FAULT_NONE] = "none",
	[XRNPE_FAULT_ILLEGAL_OPCODE] = "illegal opcode",
	[XRNPE_FAULT_ILLEGAL_FIELD] = "illegal field",
	[XRNPE_FAULT_NO_REGION] = "no region",
	[XRNPE_FAULT_OUT_OF_BOUNDS] = "out of bounds",
	[XRNPE_FAULT_PERMISSION] = "permission",
	[XRNPE_FAULT_ILLEGAL_SCALE] = "illegal scale",
	[XRNPE_FAULT_BUS] = "bus",
	[XRNPE_FAULT_ABORTED] = "aborted",
	[XRNPE_FAULT_ILLEGAL_JOB] = "illegal job",
	[XRNPE_FAULT_DEVICE] = "device",
};

static const char *const activations[] = {
	[XRNPE_ACT_NONE] = "none",
	[XRNPE_ACT_RELU] = "relu",
	[XRNPE_ACT_LEAKY] = "leaky",
	[XRNPE_ACT_PRELU] = "prelu",
};

static const char *const orders[] = {
	[XRNPE_ORDER_HWC] = "hwc",
	[XRNPE_ORDER_HCW] = "hcw",
	[XRNPE_ORDER_WHC] = "whc",
	[XRNPE_ORDER_WCH] = "wch",
	[XRNPE_ORDER_CHW] = "chw",
	[XRNPE_ORDER_CWH] = "cwh",
};

/* By bit. */
static const char *const flags[] = { "clamp", "residual", "transposed", "per_pixel", "spread" };

_Static_assert(XRNPE_CMD_SPREAD == 1u << (COUNT(flags) - 1), "every flag has a name");

const char *xrnpe_opcode_name(uint32_t opcode)
{
	return NAME(opcodes, opcode);
}

const char *xrnpe_operand_name(uint32_t operand)
{
	return NAME(operands, operand);
}

const char *xrnpe_fault_name(uint32_t kind)
{
	return NAME(faults, kind);
}

/* ---- text that grows --------------------------------------------------- */

struct text {
	char *start;
	size_t used, size;
};

static void __attribute__((format(printf, 2, 3))) add(struct text *text, const char *format, ...)
{
	size_t left = text->used < text->size ? text->size - text->used : 0;
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(left ? text->start + text->used : NULL, left, format, args);
	va_end(args);
	text->used += length > 0 ? (size_t)length : 0;
}

/* A name, or what it is a name of and the number. */
static void add_name(struct text *text, const char *name, const char *what, uint32_t number)
{
	if (name)
		add(text, "%s", name);
	else
		add(text, "%s %u", what, number);
}

static void add_format(struct text *text, uint8_t format)
{
	add_name(text, xrnpe_format_name((enum xrnpe_format)format), "format", format);
}

/* As short as tells it from all others. */
static void add_f32(struct text *text, uint32_t bits)
{
	char number[32];
	float value;

	memcpy(&value, &bits, sizeof(value));
	for (int digits = 6; digits <= 9; digits++) {
		snprintf(number, sizeof(number), "%.*g", digits, (double)value);
		if (strtof(number, NULL) == value)
			break;
	}
	add(text, "%s", number);
}

static void add_flags(struct text *text, uint32_t bits)
{
	const char *space = "";

	for (unsigned int i = 0; i < COUNT(flags); i++) {
		if (bits >> i & 1) {
			add(text, "%s%s", space, flags[i]);
			space = " ";
		}
	}
	bits &= ~((1u << COUNT(flags)) - 1);
	if (bits || !*space)
		add(text, "%s0x%x", space, bits);
}

/* Blanks up to @column, at least one. */
static void pad(struct text *text, size_t column)
{
	do
		add(text, " ");
	while (text->used < column);
}

/* ---- a field ----------------------------------------------------------- */

void xrnpe_field_text(const struct xrnpe_cmd *cmd, const struct xrnpe_field *field,
		      char *text, size_t size)
{
	struct text t = { text, 0, size };
	uint64_t value = xrnpe_field_value(cmd, field);
	uint32_t number = (uint32_t)value;

	switch (field->kind) {
	case XRNPE_FIELD_OPCODE:
		add_name(&t, NAME(opcodes, number), "opcode", number);
		break;
	case XRNPE_FIELD_ACTIVATION:
		add_name(&t, NAME(activations, number), "activation", number);
		break;
	case XRNPE_FIELD_ORDER:
		add_name(&t, NAME(orders, number), "order", number);
		break;
	case XRNPE_FIELD_FLAGS:
		add_flags(&t, number);
		break;
	case XRNPE_FIELD_FORMAT:
		add_format(&t, (uint8_t)number);
		break;
	case XRNPE_FIELD_F32:
		add_f32(&t, number);
		break;
	case XRNPE_FIELD_HEX:
		add(&t, "0x%" PRIx64, value);
		break;
	case XRNPE_FIELD_NUMBER:
		add(&t, "%" PRIu64, value);
		break;
	case XRNPE_FIELD_RESERVED:
		add(&t, value ? "not zero" : "0");
	}
}

/* ---- a command in a line ----------------------------------------------- */

#define FORMATS_COLUMN 10
#define SHAPE_COLUMN 27

static void add_formats(struct text *text, const struct xrnpe_cmd *cmd)
{
	const struct xrnpe_operand *o = cmd->operand;

	add_format(text, o[XRNPE_OPERAND_IFM].format);
	switch (cmd->opcode) {
	case XRNPE_OP_MATMUL:
	case XRNPE_OP_CONV2D:
		add(text, " x ");
		add_format(text, o[XRNPE_OPERAND_WEIGHT].format);
		break;
	case XRNPE_OP_ADD:
	case XRNPE_OP_MUL:
	case XRNPE_OP_MAX:
	case XRNPE_OP_MIN:
		add(text, ", ");
		add_format(text, o[XRNPE_OPERAND_IFM2].format);
		break;
	}
	add(text, " -> ");
	add_format(text, o[XRNPE_OPERAND_OFM].format);
}

/* " s2", or " s2x1" if the two differ; nothing if both are @usual. */
static void add_pair(struct text *text, const char *what, unsigned int h, unsigned int w,
		     unsigned int usual)
{
	if (h != w)
		add(text, " %s%ux%u", what, h, w);
	else if (h != usual)
		add(text, " %s%u", what, h);
}

static void add_window(struct text *text, const struct xrnpe_dims_image *d)
{
	add(text, " -> %ux%ux%u k%ux%u", d->out_h, d->out_w, d->out_c, d->kernel_h, d->kernel_w);
	add_pair(text, "s", d->stride_h, d->stride_w, 1);
	add_pair(text, "d", d->dilation_h, d->dilation_w, 1);
	if (d->pad_top || d->pad_left)
		add(text, " p%u,%u", d->pad_top, d->pad_left);
	if (d->groups != 1)
		add(text, " g%u", d->groups);
}

static void add_copy(struct text *text, const struct xrnpe_dims_copy *d)
{
	add(text, "%ux%ux%u -> %ux%ux%u", d->in_h, d->in_w, d->in_c, d->out_h, d->out_w, d->out_c);
	if (d->pad_h || d->pad_w || d->pad_c)
		add(text, " p%u,%u,%u", d->pad_h, d->pad_w, d->pad_c);
	add_pair(text, "up", d->up_h, d->up_w, 1);
	if (d->fill)
		add(text, " fill 0x%x", d->fill);
}

static void add_shape(struct text *text, const struct xrnpe_cmd *cmd)
{
	const struct xrnpe_dims_matmul *m = &cmd->matmul;
	const struct xrnpe_dims_image *d = &cmd->image;

	switch (cmd->opcode) {
	case XRNPE_OP_MATMUL:
		add(text, "m%u n%u k%u", m->m, m->n, m->k);
		if (m->batch != 1)
			add(text, " batch %u", m->batch);
		break;
	case XRNPE_OP_COPY:
		add_copy(text, &cmd->copy);
		break;
	default:
		add(text, "%ux%ux%u", d->in_h, d->in_w, d->in_c);
		if (cmd->opcode == XRNPE_OP_CONV2D || cmd->opcode == XRNPE_OP_MAXPOOL)
			add_window(text, d);
	}
}

/* Flags, order, activation, limits. */
static void add_output_stage(struct text *text, const struct xrnpe_cmd *cmd)
{
	uint32_t others = cmd->flags & ~(XRNPE_CMD_CLAMP | XRNPE_CMD_RESIDUAL);

	if (cmd->order) {
		add(text, " ");
		add_name(text, NAME(orders, cmd->order), "order", cmd->order);
	}
	if (others) {
		add(text, " ");
		add_flags(text, others);
	}
	if (cmd->flags & XRNPE_CMD_RESIDUAL) {
		add(text, " residual ");
		add_format(text, cmd->operand[XRNPE_OPERAND_IFM2].format);
		add(text, "*");
		add_f32(text, cmd->residual);
	}
	if (cmd->activation) {
		add(text, " ");
		add_name(text, NAME(activations, cmd->activation), "activation", cmd->activation);
	}
	if (cmd->activation == XRNPE_ACT_LEAKY) {
		add(text, " ");
		add_f32(text, cmd->slope);
	}
	if (cmd->flags & XRNPE_CMD_CLAMP) {
		add(text, " clamp[");
		add_f32(text, cmd->lo);
		add(text, ",");
		add_f32(text, cmd->hi);
		add(text, "]");
	}
}

static void add_operand(struct text *text, const char *name, const struct xrnpe_operand *o)
{
	add(text, " %s r%u+0x%" PRIx64, name, o->region, (uint64_t)o->offset);
	if (o->row_stride || o->pixel_stride || o->batch_stride)
		add(text, "/%u", o->row_stride);
	if (o->pixel_stride || o->batch_stride)
		add(text, "/%u", o->pixel_stride);
	if (o->batch_stride)
		add(text, "/%u", o->batch_stride);
}

void xrnpe_cmd_text(const struct xrnpe_cmd *cmd, char *text, size_t size)
{
	struct text t = { text, 0, size };

	add_name(&t, NAME(opcodes, cmd->opcode), "opcode", cmd->opcode);
	if (!NAME(opcodes, cmd->opcode))
		return;
	if (cmd->opcode != XRNPE_OP_BARRIER && cmd->opcode != XRNPE_OP_TIMESTAMP) {
		pad(&t, FORMATS_COLUMN);
		add_formats(&t, cmd);
		pad(&t, SHAPE_COLUMN);
		add_shape(&t, cmd);
	}
	add_output_stage(&t, cmd);
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
		if (xrnpe_cmd_has_operand(cmd, i))
			add_operand(&t, operands[i], &cmd->operand[i]);
	}
}

/* ---- faults and counters ----------------------------------------------- */

/* "offset 4000, size 128": what the operand touches, as the check in boundless regions tells. */
static void add_bounds(struct text *text, const struct xrnpe_fault *fault, const struct xrnpe_cmd *cmd)
{
	struct xrnpe_extent boundless[XRNPE_MAX_REGIONS];
	struct xrnpe_span spans[XRNPE_OPERANDS];
	struct xrnpe_fault other;

	for (unsigned int i = 0; i < XRNPE_MAX_REGIONS; i++)
		boundless[i] = (struct xrnpe_extent){ UINT64_MAX,
						      XRNPE_REGION_READ | XRNPE_REGION_WRITE };
	if (cmd && fault->operand < XRNPE_OPERANDS &&
	    xrnpe_cmd_check(cmd, fault->cmd, boundless, XRNPE_MAX_REGIONS, spans, &other))
		add(text, "offset %" PRIu64 ", size %" PRIu64, spans[fault->operand].offset,
		    spans[fault->operand].size);
	else
		add(text, "at offset %" PRIu64, (uint64_t)fault->offset);
}

static void add_illegal_field(struct text *text, const struct xrnpe_fault *fault,
			      const struct xrnpe_cmd *cmd)
{
	struct xrnpe_field field;
	char value[96];

	/* Whose dimensions they are, only the command tells. */
	if (!xrnpe_cmd_field_at(cmd ? cmd->opcode : 0, fault->offset, &field) ||
	    (!cmd && field.offset == offsetof(struct xrnpe_cmd, none))) {
		add(text, "the field at byte %" PRIu64 " is out of its range", (uint64_t)fault->offset);
		return;
	}
	add(text, "field %s is out of its range", field.name);
	if (cmd) {
		xrnpe_field_text(cmd, &field, value, sizeof(value));
		add(text, ": %s", value);
	}
}

void xrnpe_fault_text(const struct xrnpe_fault *fault, const struct xrnpe_cmd *cmd,
		      const char *region, char *text, size_t size)
{
	const char *operand = NAME(operands, fault->operand);
	struct text t = { text, 0, size };
	char place[128];

	snprintf(place, sizeof(place), region ? "region %u (%s)" : "region %u", fault->region, region);
	if (!operand)
		operand = "operand";
	switch (fault->kind) {
	case XRNPE_FAULT_ILLEGAL_FIELD:
		add_illegal_field(&t, fault, cmd);
		break;
	case XRNPE_FAULT_NO_REGION:
		add(&t, "%s is in region %u, which the job does not have", operand, fault->region);
		break;
	case XRNPE_FAULT_OUT_OF_BOUNDS:
		add(&t, "%s outside %s: ", operand, place);
		add_bounds(&t, fault, cmd);
		break;
	case XRNPE_FAULT_PERMISSION:
		add(&t, "%s may not %s %s", operand,
		    fault->operand == XRNPE_OPERAND_OFM ? "write" : "read", place);
		break;
	case XRNPE_FAULT_ILLEGAL_SCALE:
		add(&t, "a scale, bias or slope is illegal: offset %" PRIu64 " of %s",
		    (uint64_t)fault->offset, place);
		break;
	case XRNPE_FAULT_BUS:
		if (fault->operand < XRNPE_OPERANDS)
			add(&t, "memory of %s in %s did not answer at offset %" PRIu64, operand, place,
			    (uint64_t)fault->offset);
		else
			add(&t, "memory did not answer");
		break;
	case XRNPE_FAULT_ABORTED:
		add(&t, "stopped for exceeding the time limit");
		break;
	case XRNPE_FAULT_ILLEGAL_JOB:
		add(&t, "the job's descriptor is malformed");
		break;
	case XRNPE_FAULT_DEVICE:
		add(&t, "the device itself failed");
		break;
	default:
		add_name(&t, NAME(faults, fault->kind), "fault of unknown kind", fault->kind);
	}
}

void xrnpe_counter_name(unsigned int i, char *text, size_t size)
{
	static const char *const names[] = {
		"cycles", "stall_cycles", "commands", "blocks_active", "blocks_gated",
	};
	unsigned int bytes = offsetof(struct xrnpe_counters, bytes) / sizeof(uint64_t);
	unsigned int products = offsetof(struct xrnpe_counters, products) / sizeof(uint64_t);

	_Static_assert(offsetof(struct xrnpe_counters, bytes) == COUNT(names) * sizeof(uint64_t),
		       "every counter has a name");
	if (i < bytes)
		snprintf(text, size, "%s", names[i]);
	else if (i < products)
		snprintf(text, size, "bytes %s", i - bytes < XRNPE_OPERANDS ? operands[i - bytes] : "other");
	else
		snprintf(text, size, "products %s x %s",
			 xrnpe_format_name((i - products) / XRNPE_PRODUCT_FORMATS),
			 xrnpe_format_name((i - products) % XRNPE_PRODUCT_FORMATS));
}

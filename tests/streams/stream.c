// SPDX-License-Identifier: MIT
#include "streams/stream.h"

#include <inttypes.h>
#include <string.h>

#include "fuzz/command.h"
#include "names.h"
#include "reference/reference.h"

enum { IFM, IFM2, WEIGHT, SCALE, OFM };

/* Products and elements of a command, about. */
#define WORK 4096
/* More is too slow for the reference. */
#define MOST_WORK (1 << 18)
/* Bytes that an operand may span, and a region have: all regions fit in memory. */
#define MOST_SPAN (1 << 17)
#define MOST_REGION (MOST_SPAN + 4096)
/* Bytes between regions. */
#define GAP 64

_Static_assert(STREAM_REGIONS * (MOST_REGION + GAP) + GAP <= STREAM_MEMORY, "there is memory for all");

#define READ XRNPE_REGION_READ
#define WRITE XRNPE_REGION_WRITE

static uint64_t align(uint64_t value)
{
	return (value + 63) & ~63ull;
}

/* ---- what a command does -------------------------------------------------- */

struct xrnpe_fault stream_check(const struct stream *stream, const struct xrnpe_cmd *cmd)
{
	struct ref_region regions[STREAM_REGIONS];

	for (unsigned int r = 0; r < stream->region_count; r++)
		regions[r] = (struct ref_region){ stream->regions[r].size, stream->regions[r].flags };
	return ref_check(cmd, regions, stream->region_count);
}

static bool overlaps(const struct xrnpe_cmd *cmd, int a, int b)
{
	const struct xrnpe_operand *x = &cmd->operand[a], *y = &cmd->operand[b];
	uint64_t x_size = ref_span(cmd, a), y_size = ref_span(cmd, b);

	return x_size && y_size && x->region == y->region && x->offset < y->offset + y_size &&
	       y->offset < x->offset + x_size;
}

/* An output over an input is legal, but unspecified. */
static bool output_is_apart(const struct xrnpe_cmd *cmd)
{
	for (int i = 0; i < OFM; i++) {
		if (overlaps(cmd, i, OFM))
			return false;
	}
	return true;
}

static uint64_t work_of(const struct xrnpe_cmd *cmd)
{
	struct shape out = output_shape(cmd);
	uint64_t outputs = (uint64_t)out.matrices * out.rows * out.pixels * out.elements;

	if (cmd->opcode == XRNPE_OP_MAXPOOL)
		return outputs * cmd->image.kernel_h * cmd->image.kernel_w;
	return xrnpe_cmd_macs(cmd) ? xrnpe_cmd_macs(cmd) : outputs;
}

/* The last command, whose output nobody reads. */
static bool is_last(const struct stream *stream, const struct xrnpe_cmd *cmd)
{
	return cmd == &stream->cmds[stream->cmd_count - 1];
}

/* Can it be predicted, and in time? */
static bool acceptable(const struct stream *stream, const struct xrnpe_cmd *cmd)
{
	return stream_check(stream, cmd).kind != XRNPE_FAULT_NONE ||
	       ((output_is_apart(cmd) || is_last(stream, cmd)) && work_of(cmd) <= MOST_WORK);
}

/* ---- legal commands -------------------------------------------------------- */

/* Their sizes grow with what is put into them. */
static void make_regions(struct stream *stream, struct source *source)
{
	static const uint32_t flags[STREAM_REGIONS] = { READ, READ | WRITE, READ | WRITE, WRITE, READ, READ | WRITE };

	stream->region_count = 2 + take(source, STREAM_REGIONS - 1);
	for (unsigned int r = 0; r < stream->region_count; r++)
		stream->regions[r] = (struct xrnpe_extent){ 256u << take(source, 6), flags[r] };
	/* Room for scales that do not overwrite each other. */
	stream->regions[0].size = 8192;
}

/* Scales are kept from other contents, mostly. */
static uint8_t pick_region(const struct stream *stream, struct source *source, int operand)
{
	uint32_t need = operand == OFM ? WRITE : READ;

	for (;;) {
		uint8_t r = (uint8_t)take(source, stream->region_count);

		if (operand == SCALE && take(source, 8))
			return 0;
		if (operand != OFM && operand != SCALE && !r && take(source, 4))
			continue;
		if (stream->regions[r].flags & need)
			return r;
	}
}

/*
 * Another operand to lie where that one does: of an earlier command, or of this one, whose
 * inputs before @i have their place. NULL: none.
 */
static const struct xrnpe_operand *company(const struct stream *stream, struct source *source,
					   unsigned int cmd, int i)
{
	if (i && i < OFM && !take(source, 4))
		return &stream->cmds[cmd].operand[take(source, (uint32_t)i)];
	if (cmd && take(source, 2))
		return &stream->cmds[take(source, cmd)].operand[take(source, 2) ? OFM :
								take(source, XRNPE_OPERANDS)];
	return NULL;
}

/* Put operand @i somewhere: often where another is. */
static void place(struct stream *stream, struct source *source, unsigned int cmd, int i)
{
	const struct xrnpe_operand *other = company(stream, source, cmd, i);
	struct xrnpe_operand *o = &stream->cmds[cmd].operand[i];
	uint64_t size = ref_span(&stream->cmds[cmd], i), base;
	struct xrnpe_extent *region;

	o->region = pick_region(stream, source, i);
	region = &stream->regions[o->region];
	base = 64 * take(source, (uint32_t)(region->size / 64));
	if (other && other->region == o->region)
		base = other->offset & ~63ull;
	/* What it was given keeps its alignment. */
	o->offset = base + o->offset % 64;
	if (o->offset + size > region->size && take(source, 4))
		o->offset = region->size > size ? (region->size - size) & ~63ull : 0;
	if (o->offset + size > MOST_REGION)
		o->offset = (MOST_REGION - size) & ~63ull;
	if (o->offset + size > region->size)
		region->size = align(o->offset + size);
}

/* Put the output on or near an input, if that may be written. */
static void overlap(struct stream *stream, struct source *source, struct xrnpe_cmd *cmd)
{
	const struct xrnpe_operand *in = &cmd->operand[take(source, OFM)];
	struct xrnpe_extent *region = &stream->regions[in->region];
	struct xrnpe_operand *out = &cmd->operand[OFM];
	uint64_t base = (in->offset & ~63ull) + 64 * (take(source, 2) ? take(source, 4) : 0);

	if (!(region->flags & WRITE) || base + out->offset % 64 + ref_span(cmd, OFM) > MOST_REGION)
		return;
	out->region = in->region;
	out->offset = base + out->offset % 64;
	if (region->size < out->offset + ref_span(cmd, OFM))
		region->size = align(out->offset + ref_span(cmd, OFM));
}

static bool place_command(struct stream *stream, struct source *source, unsigned int cmd)
{
	struct xrnpe_cmd *c = &stream->cmds[cmd];

	for (int i = 0; i < XRNPE_OPERANDS; i++) {
		if (ref_span(c, i) > MOST_SPAN)
			return false;
	}
	for (int i = 0; i < OFM; i++) {
		if (ref_span(c, i))
			place(stream, source, cmd, i);
	}
	for (int tries = 0; tries < 8 && ref_span(c, OFM); tries++) {
		place(stream, source, cmd, OFM);
		if (output_is_apart(c))
			break;
	}
	if (is_last(stream, c) && ref_span(c, OFM) && !take(source, 4))
		overlap(stream, source, c);
	return true;
}

static void make_legal(struct stream *stream, struct source *source, unsigned int cmd)
{
	static const struct ref_region anywhere = { UINT64_MAX, READ | WRITE };
	struct xrnpe_cmd *c = &stream->cmds[cmd];

	do {
		uint8_t opcode = (uint8_t)(XRNPE_OP_MATMUL + take(source, XRNPE_OP_TIMESTAMP));

		make_command(source, opcode, WORK, c);
		/* All but windows outside the image. */
	} while (ref_check(c, &anywhere, 1).kind != XRNPE_FAULT_NONE || !place_command(stream, source, cmd) ||
		 !acceptable(stream, c));
}

/* ---- contents ---------------------------------------------------------------- */

static void lay_out(struct stream *stream)
{
	stream->size = GAP;
	for (unsigned int r = 0; r < stream->region_count; r++) {
		stream->at[r] = stream->size;
		stream->size += align(stream->regions[r].size) + GAP;
	}
}

static void fill(struct stream *stream, struct source *source)
{
	uint64_t random = take(source, 1 << 16) + 1;

	for (size_t i = 0; i < stream->size; i++)
		stream->memory[i] = (uint8_t)random_word(&random);
	/* Scales last, so that they are legal. */
	for (int pass = 0; pass < 2; pass++) {
		for (unsigned int cmd = 0; cmd < stream->cmd_count; cmd++) {
			const struct xrnpe_cmd *c = &stream->cmds[cmd];

			for (unsigned int i = 0; i < OFM; i++) {
				uint64_t size = ref_span(c, (int)i);

				if (size && (i == SCALE) == pass)
					fill_operand(source, c, i, stream->memory +
						     stream->at[c->operand[i].region] + c->operand[i].offset,
						     size, &random);
			}
		}
	}
}

/* ---- mistakes ------------------------------------------------------------------ */

/* Another value for a random field, near to what it was or far. */
static void change_field(const struct stream *stream, struct source *source, struct xrnpe_cmd *cmd)
{
	struct xrnpe_field field;
	uint64_t value, other;
	unsigned int count = 0;

	while (xrnpe_cmd_field(cmd->opcode, count, &field))
		count++;
	xrnpe_cmd_field(cmd->opcode, take(source, count), &field);
	value = xrnpe_field_value(cmd, &field);
	other = xrnpe_field_value(&stream->cmds[take(source, stream->cmd_count)], &field);
	switch (take(source, 8)) {
	case 0:
		value = 0;
		break;
	case 1:
		value++;
		break;
	case 2:
		value--;
		break;
	case 3:
		value ^= 1ull << take(source, (uint32_t)(field.size < 8 ? field.size : 8) * 8);
		break;
	case 4:
		value = UINT64_MAX;
		break;
	case 5:
		value = other;
		break;
	case 6:
		value = take(source, 16);
		break;
	default:
		value = take(source, 1 << 16) * (uint64_t)take(source, 1 << 16);
	}
	memcpy((uint8_t *)cmd + field.offset, &value, field.size < 8 ? field.size : 8);
}

void stream_change(const struct stream *stream, uint64_t *random, struct xrnpe_cmd *cmd)
{
	struct source source = { .state = *random };

	*cmd = stream->cmds[take(&source, stream->cmd_count)];
	for (uint32_t n = 1 + take(&source, 3); n; n--)
		change_field(stream, &source, cmd);
	*random = source.state;
}

/* A word of scales that is NaN or infinite, or a bias where there may be none. */
static void spoil_scale(struct stream *stream, struct source *source, const struct xrnpe_cmd *cmd)
{
	const struct xrnpe_operand *o = &cmd->operand[SCALE];
	uint64_t words = ref_span(cmd, SCALE) / 4;
	static const uint32_t bad[] = { 0x7f800000, 0xff800000, 0x7fc00000, 0xffffffff, 0x3f800000 };

	if (words && stream_check(stream, cmd).kind == XRNPE_FAULT_NONE)
		memcpy(stream->memory + stream->at[o->region] + o->offset +
		       take(source, words < 1 << 16 ? (uint32_t)words : 1 << 16) * 4,
		       &bad[take(source, 5)], 4);
}

static void make_mistake(struct stream *stream, struct source *source)
{
	unsigned int i = take(source, stream->cmd_count), r = take(source, stream->region_count);
	struct xrnpe_cmd *cmd = &stream->cmds[i], before = *cmd;

	switch (take(source, 12)) {
	case 0:
		cmd->operand[take(source, XRNPE_OPERANDS)].region = (uint8_t)take(source, 8);
		break;
	case 1:
		stream->regions[r].size = 1 + take(source, (uint32_t)stream->regions[r].size);
		break;
	case 2:
		stream->regions[r].flags = take(source, 2) ? READ : WRITE;
		break;
	case 3:
		spoil_scale(stream, source, cmd);
		break;
	default:
		change_field(stream, source, cmd);
	}
	if (!acceptable(stream, cmd))
		*cmd = before;
}

void stream_make(struct stream *stream, uint64_t seed)
{
	struct source source = { .state = seed * 0x9e3779b97f4a7c15ull };

	stream->seed = seed;
	stream->cmd_count = 1 + take(&source, STREAM_CMDS);
	memset(stream->cmds, 0, sizeof(stream->cmds));
	make_regions(stream, &source);
	for (unsigned int i = 0; i < stream->cmd_count; i++)
		make_legal(stream, &source, i);
	lay_out(stream);
	fill(stream, &source);
	for (uint32_t mistakes = take(&source, 2) ? 1 + take(&source, 3) : 0; mistakes; mistakes--)
		make_mistake(stream, &source);
}

/* ---- prediction ---------------------------------------------------------------- */

/* The first word of scales that is illegal; false: none is. */
static bool illegal_scale(const struct xrnpe_cmd *cmd, const uint8_t *memory, struct xrnpe_fault *fault)
{
	const struct xrnpe_operand *o = &cmd->operand[SCALE];
	uint64_t size = ref_span(cmd, SCALE), record = cmd->activation == XRNPE_ACT_PRELU ? 12 : 8;
	bool no_bias = cmd->opcode == XRNPE_OP_ADD || cmd->opcode == XRNPE_OP_MAX ||
		       cmd->opcode == XRNPE_OP_MIN;

	for (uint64_t start = 0; start < size; start += o->row_stride) {
		for (uint64_t at = start; at < start + record; at += 4) {
			uint32_t word = ref_load(XRNPE_FORMAT_F32, memory + at, 0);

			if ((word & 0x7f800000) != 0x7f800000 &&
			    !(no_bias && at == start + 4 && word << 1))
				continue;
			*fault = (struct xrnpe_fault){ .kind = XRNPE_FAULT_ILLEGAL_SCALE, .operand = SCALE,
						       .region = o->region, .offset = o->offset + at };
			return true;
		}
		if (!o->row_stride)
			break;
	}
	return false;
}

void stream_predict(const struct stream *stream, uint8_t *memory, struct outcome *outcome)
{
	const struct xrnpe_machine machine = XRNPE_MACHINE_DEFAULT;

	memset(outcome, 0, sizeof(*outcome));
	for (unsigned int i = 0; i < stream->cmd_count; i++) {
		const struct xrnpe_cmd *cmd = &stream->cmds[i];
		void *operand[XRNPE_OPERANDS] = { NULL };
		bool invalid = false;

		outcome->fault = stream_check(stream, cmd);
		if (outcome->fault.kind != XRNPE_FAULT_NONE) {
			outcome->fault.cmd = i;
			return;
		}
		for (int o = 0; o < XRNPE_OPERANDS; o++) {
			if (ref_span(cmd, o))
				operand[o] = memory + stream->at[cmd->operand[o].region] +
					     cmd->operand[o].offset;
		}
		if (illegal_scale(cmd, operand[SCALE], &outcome->fault)) {
			outcome->fault.cmd = i;
			outcome->counters.commands++;
			return;
		}
		if (cmd->opcode == XRNPE_OP_TIMESTAMP)
			memcpy(operand[OFM], &outcome->counters.cycles, 8);
		else if (cmd->opcode != XRNPE_OP_BARRIER)
			ref_run(cmd, operand, &invalid);
		if (!output_is_apart(cmd))
			outcome->open_status = XRNPE_STATUS_INVALID;
		else if (invalid)
			outcome->status |= XRNPE_STATUS_INVALID;
		ref_cost(&machine, cmd, &outcome->counters);
	}
	memset(&outcome->fault, 0, sizeof(outcome->fault));
}

void stream_unspecified(const struct stream *stream, const struct outcome *outcome, uint8_t *mask)
{
	const struct xrnpe_cmd *cmd = &stream->cmds[stream->cmd_count - 1];
	const struct xrnpe_operand *o;
	struct shape out;
	uint8_t *start;

	if (outcome->fault.kind == XRNPE_FAULT_ILLEGAL_SCALE)
		cmd = &stream->cmds[outcome->fault.cmd];
	else if (outcome->fault.kind != XRNPE_FAULT_NONE || output_is_apart(cmd))
		return;
	o = &cmd->operand[OFM];
	out = output_shape(cmd);
	start = mask + stream->at[o->region] + o->offset;
	for (uint64_t m = 0; m < out.matrices; m++) {
		for (uint64_t r = 0; r < out.rows; r++) {
			for (uint64_t p = 0; p < out.pixels; p++)
				memset(start + m * o->batch_stride + r * o->row_stride + p * o->pixel_stride,
				       0xff, xrnpe_row_bytes(o->format, out.elements));
		}
	}
}

void stream_describe(const struct stream *stream, FILE *file)
{
	char text[XRNPE_CMD_TEXT];

	for (unsigned int r = 0; r < stream->region_count; r++)
		fprintf(file, "# r%u %" PRIu64 " bytes%s%s\n", r, stream->regions[r].size,
			stream->regions[r].flags & READ ? " read" : "",
			stream->regions[r].flags & WRITE ? " write" : "");
	for (unsigned int i = 0; i < stream->cmd_count; i++) {
		xrnpe_cmd_text(&stream->cmds[i], text, sizeof(text));
		fprintf(file, "# %6u  %s\n", i, text);
	}
}

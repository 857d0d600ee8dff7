// SPDX-License-Identifier: MIT
/*
 * Passes: commands that read and write each element once or a few times, and what they
 * share. A new one has an entry in the table of operations.
 */
#include "kernel.h"

#define TASK_ELEMENTS 8192

static const struct xrnpe_operation *const operations[] = {
	[XRNPE_OP_MAXPOOL] = &xrnpe_maxpool,
	[XRNPE_OP_ADD] = &xrnpe_elementwise,
	[XRNPE_OP_CONVERT] = &xrnpe_elementwise,
	[XRNPE_OP_MUL] = &xrnpe_elementwise,
	[XRNPE_OP_MAX] = &xrnpe_elementwise,
	[XRNPE_OP_MIN] = &xrnpe_elementwise,
	[XRNPE_OP_LUT] = &xrnpe_lut,
	[XRNPE_OP_COPY] = &xrnpe_copy,
};

/* ---- plans -------------------------------------------------------------- */

/* The output's axes that IFM's rows, pixels and elements are. */
static const uint8_t orders[XRNPE_ORDERS][XRNPE_AXES] = {
	[XRNPE_ORDER_HWC] = { XRNPE_OUTER, XRNPE_INNER, XRNPE_CHANNEL },
	[XRNPE_ORDER_HCW] = { XRNPE_OUTER, XRNPE_CHANNEL, XRNPE_INNER },
	[XRNPE_ORDER_WHC] = { XRNPE_INNER, XRNPE_OUTER, XRNPE_CHANNEL },
	[XRNPE_ORDER_WCH] = { XRNPE_INNER, XRNPE_CHANNEL, XRNPE_OUTER },
	[XRNPE_ORDER_CHW] = { XRNPE_CHANNEL, XRNPE_OUTER, XRNPE_INNER },
	[XRNPE_ORDER_CWH] = { XRNPE_CHANNEL, XRNPE_INNER, XRNPE_OUTER },
};

bool xrnpe_rows_are_inner(const struct xrnpe_cmd *cmd)
{
	return orders[cmd->order][XRNPE_CHANNEL] == XRNPE_OUTER;
}

/* Steps along the output's rows and columns; then the inner axis may have to be the other. */
static void set_steps(struct xrnpe_pass *pass)
{
	const uint8_t *order = orders[pass->cmd->order];

	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
		const struct xrnpe_operand *o = &pass->cmd->operand[i];
		uint64_t *step = pass->step[i];

		step[i == XRNPE_OPERAND_IFM ? order[0] : XRNPE_OUTER] = o->row_stride;
		step[i == XRNPE_OPERAND_IFM ? order[1] : XRNPE_INNER] = o->pixel_stride;
		if (xrnpe_rows_are_inner(pass->cmd)) {
			uint64_t row = step[XRNPE_OUTER];

			step[XRNPE_OUTER] = step[XRNPE_INNER];
			step[XRNPE_INNER] = row;
		}
	}
	pass->transposed = order[2] != XRNPE_CHANNEL;
}

void xrnpe_pass_plan(struct xrnpe_pass *pass)
{
	pass->operation = operations[pass->cmd->opcode];
	set_steps(pass);
	pass->operation->plan(pass);
	pass->tasks = (pass->parts - 1) / pass->chunk + 1;
}

void xrnpe_pass_run(const struct xrnpe_pass *pass, uint64_t task, uint32_t *status)
{
	uint64_t first = task * pass->chunk, end = first + pass->chunk;

	pass->operation->run(pass, first, end < pass->parts ? end : pass->parts, status);
}

/* Whether @count pieces of @codes along @axis follow each other without a gap. */
static bool dense(const struct xrnpe_pass *pass, unsigned int axis, uint64_t count, uint64_t codes)
{
	const struct xrnpe_cmd *cmd = pass->cmd;

	for (unsigned int i = 0; i < XRNPE_OPERANDS && count > 1; i++) {
		uint64_t bits = codes * xrnpe_format_bits(cmd->operand[i].format);

		if (xrnpe_cmd_has_operand(cmd, i) && i != XRNPE_OPERAND_SCALE && i != XRNPE_OPERAND_WEIGHT &&
		    pass->step[i][axis] * 8 != bits)
			return false;
	}
	return true;
}

void xrnpe_pass_join(struct xrnpe_pass *pass)
{
	const struct xrnpe_dims_image *d = &pass->cmd->image;

	pass->line = d->in_c;
	pass->inner = xrnpe_rows_are_inner(pass->cmd) ? d->in_h : d->in_w;
	pass->lines = (uint64_t)d->in_h * d->in_w;
	if (pass->transposed || xrnpe_pass_per_pixel(pass) || !dense(pass, XRNPE_INNER, pass->inner, pass->line))
		return;
	pass->line *= pass->inner;
	pass->lines /= pass->inner;
	pass->inner = 1;
	if (dense(pass, XRNPE_OUTER, pass->lines, pass->line)) {
		pass->line *= pass->lines;
		pass->lines = 1;
	}
}

void xrnpe_pass_cut(struct xrnpe_pass *pass, uint64_t most, uint64_t multiple)
{
	pass->part = pass->line;
	if (pass->part > most)
		pass->part = multiple <= most ? most / multiple * multiple : most;
	pass->parts_in_line = (pass->line - 1) / pass->part + 1;
	pass->parts = pass->lines * pass->parts_in_line;
	pass->chunk = TASK_ELEMENTS / pass->part + 1;
}

size_t xrnpe_pass_together(const struct xrnpe_pass *pass, uint64_t line, uint64_t most, size_t elements)
{
	static const unsigned int operands[] = { XRNPE_OPERAND_IFM, XRNPE_OPERAND_OFM };
	uint64_t some = pass->inner - line % pass->inner;

	for (unsigned int i = 0; i < 2; i++) {
		if (pass->step[operands[i]][XRNPE_INNER] * 8 !=
		    pass->line * xrnpe_format_bits(pass->cmd->operand[operands[i]].format))
			return 1;
	}
	if (pass->line > elements / 2)
		return 1;
	some = some < most ? some : most;
	return (size_t)(some * pass->line < elements ? some : elements / pass->line);
}

const uint8_t *xrnpe_pass_second(const struct xrnpe_pass *pass, uint64_t line, uint64_t at, size_t lines,
				 size_t count, uint8_t *row)
{
	enum xrnpe_format format = pass->cmd->operand[XRNPE_OPERAND_IFM2].format;
	const uint8_t *from = xrnpe_line(pass, XRNPE_OPERAND_IFM2, line);
	size_t size = xrnpe_row_bytes(format, count);

	if (lines == 1 && !xrnpe_pass_per_pixel(pass))
		return from + xrnpe_row_bytes(format, at);
	for (size_t i = 0; i < lines; i++, from += pass->step[XRNPE_OPERAND_IFM2][XRNPE_INNER]) {
		if (xrnpe_pass_per_pixel(pass))
			memset(row + i * size, format <= XRNPE_FORMAT_P4 ? (*from & 15) * 0x11 : *from, size);
		else
			memcpy(row + i * size, from, size);
	}
	return row;
}

void xrnpe_pass_pixels(const struct xrnpe_pass *pass, uint64_t line, size_t lines, uint8_t *row)
{
	size_t size = xrnpe_format_bits(pass->cmd->operand[XRNPE_OPERAND_IFM2].format) / 8;
	const uint8_t *from = xrnpe_line(pass, XRNPE_OPERAND_IFM2, line);

	for (; lines; lines--, row += size, from += pass->step[XRNPE_OPERAND_IFM2][XRNPE_INNER])
		memcpy(row, from, size == 2 ? 2 : 1);
}

/* ---- codes ------------------------------------------------------------- */

/* memcpy() that is fast for few bytes. */
static inline void copy_bytes(uint8_t *to, const uint8_t *from, size_t size)
{
	uint64_t first, last;
	uint16_t half[2];

	if (size > 16) {
		memcpy(to, from, size);
	} else if (size >= 8) {
		memcpy(&first, from, 8);
		memcpy(&last, from + size - 8, 8);
		memcpy(to, &first, 8);
		memcpy(to + size - 8, &last, 8);
	} else if (size >= 2) {
		/* 2..7 bytes as up to four pairs that may overlap. */
		memcpy(&half[0], from, 2);
		memcpy(&half[1], from + size - 2, 2);
		if (size > 4)
			memcpy(to + 2, from + 2, 2);
		if (size > 6)
			memcpy(to + 4, from + 4, 2);
		memcpy(to, &half[0], 2);
		memcpy(to + size - 2, &half[1], 2);
	} else if (size) {
		*to = *from;
	}
}

void xrnpe_copy_lines(enum xrnpe_format format, uint8_t *to, uint64_t to_step, const uint8_t *from,
		      uint64_t from_step, size_t count, size_t lines)
{
	size_t size = xrnpe_row_bytes(format, count);
	uint8_t mask = format <= XRNPE_FORMAT_P4 && count % 2 ? 15 : 255;

	for (; lines; lines--, to += to_step, from += from_step) {
		copy_bytes(to, from, size);
		to[size - 1] &= mask;
	}
}

void xrnpe_pack_nibbles(const uint8_t *codes, uint8_t *out, size_t count)
{
	typedef uint16_t pairs __attribute__((vector_size(32)));
	typedef uint8_t bytes __attribute__((vector_size(16)));
	size_t i = 0;

	for (; i + sizeof(pairs) <= count; i += sizeof(pairs)) {
		pairs two;
		bytes one;

		memcpy(&two, codes + i, sizeof(two));
		one = __builtin_convertvector(two | two >> 4, bytes);
		memcpy(out + i / 2, &one, sizeof(one));
	}
	for (; i < count; i += 2)
		out[i / 2] = (uint8_t)(codes[i] | codes[i + 1] << 4);
}

void xrnpe_pack_lines(const struct xrnpe_codec *codec, const uint8_t *codes, size_t count, uint8_t *out,
		      size_t lines)
{
	if (count % 2 == 0) {
		xrnpe_pack_nibbles(codes, out, count * lines);
		return;
	}
	if (count == 1) {
		memcpy(out, codes, lines);
		return;
	}
	if (count == 3) {
		codec->pack_threes(codes, out, lines);
		return;
	}
	for (; lines; lines--, codes += count, out += count / 2 + 1) {
		xrnpe_pack_nibbles(codes, out, count - 1);
		out[count / 2] = codes[count - 1];
	}
}

void xrnpe_copy_codes(enum xrnpe_format format, uint8_t *to, size_t to_at,
		      const uint8_t *from, size_t from_at, size_t count)
{
	if (format > XRNPE_FORMAT_P4 || !((to_at | from_at) % 2)) {
		if (count)
			xrnpe_copy_lines(format, to + xrnpe_row_bytes(format, to_at), 0,
					 from + xrnpe_row_bytes(format, from_at), 0, count, 1);
		return;
	}
	for (; count; count--, to_at++, from_at++) {
		uint8_t code = from[from_at / 2] >> from_at % 2 * 4 & 15;

		to[to_at / 2] = (uint8_t)(to_at % 2 ? to[to_at / 2] | code << 4 : code);
	}
}

// SPDX-License-Identifier: MIT
/*
 * LUT: codes by code. A table by bytes of the input, that is of two codes if they have 4
 * bits, has what they become as it is in memory; 16-bit codes are looked up where the
 * table is.
 */
#include "kernel.h"

#define PART 8192	/* elements; even */
#define PACKED 256	/* bytes with a code of 4 bits each, before they are packed; even */

static enum xrnpe_format in_format(const struct xrnpe_pass *pass)
{
	return pass->cmd->operand[XRNPE_OPERAND_IFM].format;
}

static enum xrnpe_format out_format(const struct xrnpe_pass *pass)
{
	return pass->cmd->operand[XRNPE_OPERAND_OFM].format;
}

void xrnpe_lut_plan(struct xrnpe_pass *pass, const void *table)
{
	enum xrnpe_format out = out_format(pass);
	bool two = xrnpe_format_bits(in_format(pass)) == 4;
	uint8_t *entry = pass->table;

	pass->operation = &xrnpe_lut;
	xrnpe_pass_cut(pass, PART, 1);
	if (xrnpe_format_bits(in_format(pass)) > 8)
		return;
	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t codes[2] = { xrnpe_load(out, table, two ? byte & 15 : byte), 0 };

		if (two)
			codes[1] = xrnpe_load(out, table, byte >> 4);
		xrnpe_pack(out, entry, 0, codes, two ? 2 : 1);
		entry += xrnpe_row_bytes(out, two ? 2 : 1);
	}
}

static void plan(struct xrnpe_pass *pass)
{
	xrnpe_pass_join(pass);
	xrnpe_lut_plan(pass, pass->memory[XRNPE_OPERAND_WEIGHT]);
}

/* Entries of @size bytes. */
static void map(const struct xrnpe_pass *pass, size_t size, const uint8_t *in, uint8_t *out, size_t count)
{
	switch (size) {
	case 1:
		pass->codec->map_bytes(pass->table, in, out, count);
		break;
	case 2:
		pass->codec->map_pairs(pass->table, in, out, count);
		break;
	case 4:
		for (size_t i = 0; i < count; i++)
			memcpy(out + i * 4, pass->table + in[i] * 4, 4);
		break;
	default:
		for (size_t i = 0; i < count; i++)
			memcpy(out + i * 8, pass->table + in[i] * 8, 8);
		break;
	}
}

/* 8-bit codes to those of 4 bits. */
static void map_packed(const struct xrnpe_pass *pass, const uint8_t *in, uint8_t *out, size_t count)
{
	uint8_t codes[PACKED];

	for (size_t at = 0, some; at < count; at += some, out += PACKED / 2) {
		some = count - at < PACKED ? count - at : PACKED;
		map(pass, 1, in + at, codes, some);
		if (some % 2)
			codes[some] = 0;
		for (size_t i = 0; i < some; i += 2)
			out[i / 2] = (uint8_t)(codes[i] | codes[i + 1] << 4);
	}
}

/* 16-bit codes, one by one: the table does not fit the first cache anyway. */
static void map_long(const struct xrnpe_pass *pass, const uint8_t *in, uint8_t *out, size_t count)
{
	const uint8_t *table = pass->memory[XRNPE_OPERAND_WEIGHT];
	enum xrnpe_format format = out_format(pass);

#define CODE(i) ((size_t)(in[2 * (i)] | in[2 * (i) + 1] << 8))
	switch (xrnpe_format_bits(format)) {
	case 4:
		for (size_t i = 0; i < count; i++)
			xrnpe_store(format, out, i, xrnpe_load(format, table, CODE(i)));
		xrnpe_clear_tail(format, out, count);
		break;
	case 8:
		for (size_t i = 0; i < count; i++)
			out[i] = table[CODE(i)];
		break;
	case 16:
		for (size_t i = 0; i < count; i++)
			memcpy(out + 2 * i, table + 2 * CODE(i), 2);
		break;
	default:
		for (size_t i = 0; i < count; i++)
			memcpy(out + 4 * i, table + 4 * CODE(i), 4);
		break;
	}
}

static void map_row(const struct xrnpe_pass *pass, const uint8_t *in, uint8_t *out, size_t count)
{
	enum xrnpe_format format = out_format(pass);
	size_t size = xrnpe_row_bytes(format, 2);

	switch (xrnpe_format_bits(in_format(pass))) {
	case 4:
		map(pass, size, in, out, count / 2);
		if (count % 2)
			/* The entry's first code. */
			xrnpe_copy_codes(format, out, count - 1,
					 pass->table + (in[count / 2] & 15) * size, 0, 1);
		break;
	case 8:
		if (xrnpe_format_bits(format) == 4)
			map_packed(pass, in, out, count);
		else
			map(pass, size / 2, in, out, count);
		break;
	default:
		map_long(pass, in, out, count);
		break;
	}
}

static void run(const struct xrnpe_pass *pass, uint64_t first, uint64_t end, uint32_t *status)
{
	(void)status;
	for (uint64_t i = first; i < end && !xrnpe_cancelled(pass->cancel); i++) {
		uint64_t line = i / pass->parts_in_line, at = i % pass->parts_in_line * pass->part;

		map_row(pass, xrnpe_line(pass, XRNPE_OPERAND_IFM, line) + xrnpe_row_bytes(in_format(pass), at),
			xrnpe_line(pass, XRNPE_OPERAND_OFM, line) + xrnpe_row_bytes(out_format(pass), at),
			pass->line - at < pass->part ? (size_t)(pass->line - at) : (size_t)pass->part);
	}
}

const struct xrnpe_operation xrnpe_lut = { plan, run };

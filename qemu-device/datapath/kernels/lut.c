// SPDX-License-Identifier: MIT
/*
 * LUT: codes by code. A table by bytes of the input, that is of two codes if they have 4
 * bits, has what they become as it is in memory; 16-bit codes are looked up where the
 * table is.
 */
#include <endian.h>

#include "kernel.h"

#define FEW 16		/* bytes, for which no vectors are made ready */
#define PACKED 1024	/* bytes with a code of 4 bits each, before they are packed; even */

static enum xrnpe_format in_format(const struct xrnpe_pass *pass)
{
	return pass->cmd->operand[XRNPE_OPERAND_IFM].format;
}

static enum xrnpe_format out_format(const struct xrnpe_pass *pass)
{
	return pass->cmd->operand[XRNPE_OPERAND_OFM].format;
}

/* @codes as xrnpe_lut_plan(): they are entries as they stand, but for those of 4 bits. */
static void make_entries(struct xrnpe_pass *pass, const uint8_t *table, unsigned int codes)
{
	size_t bits = xrnpe_format_bits(out_format(pass)), size = bits / 8;
	uint8_t *entry = pass->table;

	if (codes == 1 && bits == 4) {
		xrnpe_unpack_nibbles(table, 0, 256, entry);
		return;
	}
	if (codes == 1) {
		memcpy(entry, table, 256 * size);
		return;
	}
	for (size_t byte = 0; byte < 256; byte++, entry += 2 * bits / 8) {
		size_t low = byte & 15, high = byte >> 4;

		if (bits == 4) {
			*entry = (uint8_t)((table[low / 2] >> low % 2 * 4 & 15) |
					   (table[high / 2] >> high % 2 * 4) << 4);
			continue;
		}
		memcpy(entry, table + low * size, size);
		memcpy(entry + size, table + high * size, size);
	}
}

void xrnpe_lut_plan(struct xrnpe_pass *pass, const void *table, unsigned int codes)
{
	pass->operation = &xrnpe_lut;
	xrnpe_pass_cut(pass, XRNPE_LUT_PART, 1);
	if (xrnpe_format_bits(in_format(pass)) <= 8)
		make_entries(pass, table, codes);
}

static void plan(struct xrnpe_pass *pass)
{
	xrnpe_pass_join(pass);
	xrnpe_lut_plan(pass, pass->memory[XRNPE_OPERAND_WEIGHT],
		       xrnpe_format_bits(in_format(pass)) == 4 ? 2 : 1);
}

/* Entries of @size bytes. */
static void map(const struct xrnpe_pass *pass, size_t size, const uint8_t *in, uint8_t *out, size_t count)
{
	switch (size) {
	case 1:
		(count < FEW ? xrnpe_map_bytes : pass->codec->map_bytes)(pass->table, in, out, count);
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

	if (count < FEW) {
		for (size_t i = 0; i < count; i += 2)
			out[i / 2] = (uint8_t)(pass->table[in[i]] |
					       (i + 1 < count ? pass->table[in[i + 1]] << 4 : 0));
		return;
	}
	for (size_t at = 0, some; at < count; at += some, out += PACKED / 2) {
		some = count - at < PACKED ? count - at : PACKED;
		map(pass, 1, in + at, codes, some);
		if (some % 2)
			codes[some] = 0;
		xrnpe_pack_nibbles(codes, out, some);
	}
}

void xrnpe_lut_bytes(const struct xrnpe_pass *pass, const uint8_t *in, uint8_t *out, size_t count)
{
	unsigned int bits = xrnpe_format_bits(out_format(pass));

	if (bits == 4)
		map_packed(pass, in, out, count);
	else
		map(pass, bits / 8, in, out, count);
}

#define CODE(i) ((size_t)(in[2 * (i)] | in[2 * (i) + 1] << 8))

/* The entry of the last 16 bits of @codes, of @size bytes, 1 or 2, as a number. */
static inline uint64_t entry_of(const uint8_t *table, size_t size, uint64_t codes)
{
	uint16_t entry;

	if (size == 1)
		return table[codes & 0xffff];
	memcpy(&entry, table + 2 * (codes & 0xffff), sizeof(entry));
	return le16toh(entry);
}

/*
 * 16-bit codes, four at a time: what a core has least time for is loads and stores of few bytes. @size is
 * no variable.
 */
static inline void map_words(const uint8_t *table, size_t size, const uint8_t *in, uint8_t *out, size_t count)
{
	size_t i = 0;

	for (; i + 4 <= count; i += 4) {
		uint64_t codes, low, high;

		memcpy(&codes, in + 2 * i, sizeof(codes));
		codes = le64toh(codes);
		low = entry_of(table, size, codes) | entry_of(table, size, codes >> 16) << 8 * size;
		high = entry_of(table, size, codes >> 32) | entry_of(table, size, codes >> 48) << 8 * size;
		codes = low | high << 16 * size;
		if (size == 1)
			memcpy(out + i, &(uint32_t){ htole32((uint32_t)codes) }, 4);
		else
			memcpy(out + 2 * i, &(uint64_t){ htole64(codes) }, 8);
	}
	for (; i < count; i++)
		memcpy(out + i * size, table + CODE(i) * size, size);
}

static void map_long(const struct xrnpe_pass *pass, const uint8_t *in, uint8_t *out, size_t count)
{
	const uint8_t *table = pass->memory[XRNPE_OPERAND_WEIGHT];
	enum xrnpe_format format = out_format(pass);

	switch (xrnpe_format_bits(format)) {
	case 4:
		for (size_t i = 0; i < count; i++)
			xrnpe_store(format, out, i, xrnpe_load(format, table, CODE(i)));
		xrnpe_clear_tail(format, out, count);
		break;
	case 8:
		map_words(table, 1, in, out, count);
		break;
	case 16:
		map_words(table, 2, in, out, count);
		break;
	default:
		for (size_t i = 0; i < count; i++)
			memcpy(out + 4 * i, table + 4 * CODE(i), 4);
		break;
	}
}

/* A line, or a part of it, of codes of @in_bits to those of @out_bits. */
static void map_row(const struct xrnpe_pass *pass, unsigned int in_bits, unsigned int out_bits, const uint8_t *in,
		    uint8_t *out, size_t count)
{
	size_t size = out_bits / 4;	/* of an entry of two codes */

	switch (in_bits) {
	case 4:
		map(pass, size, in, out, count / 2);
		if (count % 2) {
			/* The entry's first code. */
			const uint8_t *entry = pass->table + (in[count / 2] & 15) * size;

			out += count / 2 * size;
			if (out_bits == 4)
				*out = *entry & 15;
			else
				memcpy(out, entry, size / 2);
		}
		break;
	case 8:
		xrnpe_lut_bytes(pass, in, out, count);
		break;
	default:
		map_long(pass, in, out, count);
		break;
	}
}

/* Whether lines of an odd number of codes of 4 bits follow each other, so that they can be done at once. */
static bool are_odd_lines(const struct xrnpe_pass *pass)
{
	const uint64_t *in_step = pass->step[XRNPE_OPERAND_IFM], *out_step = pass->step[XRNPE_OPERAND_OFM];

	return pass->line % 2 && pass->line < PACKED / 4 && xrnpe_format_bits(out_format(pass)) == 4 &&
	       xrnpe_format_bits(in_format(pass)) <= 8 &&
	       in_step[XRNPE_INNER] == xrnpe_row_bytes(in_format(pass), pass->line) &&
	       out_step[XRNPE_INNER] == xrnpe_row_bytes(out_format(pass), pass->line);
}

/* Of lines of @bytes each, whose last byte has one code. */
static void clear_tails(uint8_t *out, size_t bytes, size_t lines)
{
	typedef uint8_t vector __attribute__((vector_size(16)));
	const vector mask = { 255, 15, 255, 15, 255, 15, 255, 15, 255, 15, 255, 15, 255, 15, 255, 15 };

	for (; bytes == 2 && lines >= sizeof(mask) / 2; lines -= sizeof(mask) / 2, out += sizeof(mask)) {
		vector value;

		memcpy(&value, out, sizeof(value));
		value &= mask;
		memcpy(out, &value, sizeof(value));
	}
	for (size_t i = bytes - 1; i < lines * bytes; i += bytes)
		out[i] &= 15;
}

static void map_odd_lines(const struct xrnpe_pass *pass, unsigned int in_bits, const uint8_t *in, uint8_t *out,
			  size_t lines)
{
	size_t line = (size_t)pass->line, bytes = line / 2 + 1;
	uint8_t codes[PACKED];

	if (in_bits == 4) {
		map(pass, 1, in, out, lines * bytes);
		clear_tails(out, bytes, lines);
		return;
	}
	for (size_t some; lines; lines -= some, in += some * line, out += some * bytes) {
		some = lines < PACKED / line ? lines : PACKED / line;
		map(pass, 1, in, codes, some * line);
		xrnpe_pack_lines(pass->codec, codes, line, out, some);
	}
}

static void run(const struct xrnpe_pass *pass, uint64_t first, uint64_t end, uint32_t *status)
{
	unsigned int in_bits = xrnpe_format_bits(in_format(pass)), out_bits = xrnpe_format_bits(out_format(pass));

	(void)status;
	for (uint64_t i = first, some; i < end && !xrnpe_cancelled(pass->cancel); i += some) {
		uint64_t line = i / pass->parts_in_line, at = i % pass->parts_in_line * pass->part;
		const uint8_t *in = xrnpe_line(pass, XRNPE_OPERAND_IFM, line) + xrnpe_row_bytes(in_format(pass), at);
		uint8_t *out = xrnpe_line(pass, XRNPE_OPERAND_OFM, line) + xrnpe_row_bytes(out_format(pass), at);
		size_t count = pass->line - at < pass->part ? (size_t)(pass->line - at) : (size_t)pass->part;

		some = 1;
		if (pass->parts_in_line == 1) {
			/* Lines side by side. */
			some = pass->inner - line % pass->inner;
			if (some > end - i)
				some = end - i;
		}
		if (are_odd_lines(pass)) {
			map_odd_lines(pass, in_bits, in, out, (size_t)some);
			continue;
		}
		for (uint64_t j = 0; j < some; j++)
			map_row(pass, in_bits, out_bits, in + j * pass->step[XRNPE_OPERAND_IFM][XRNPE_INNER],
				out + j * pass->step[XRNPE_OPERAND_OFM][XRNPE_INNER], count);
	}
}

const struct xrnpe_operation xrnpe_lut = { plan, run };

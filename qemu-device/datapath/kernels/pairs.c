// SPDX-License-Identifier: MIT
/*
 * ADD, MUL, MAX and MIN of codes of 4 bits: there are 256 pairs of them, and a table has what
 * they become. A byte of each input is two pairs.
 */
#include "kernel.h"

#define VECTOR 16
#define TOGETHER 256	/* pairs */

typedef uint8_t bytes __attribute__((vector_size(VECTOR)));

/* Pairs of @count codes, at most TOGETHER, as bytes: those of the first input are below. */
static void pair_up(const uint8_t *a, const uint8_t *b, uint8_t *pairs, size_t count)
{
	size_t size = count / 2, i = 0;

	for (; i + VECTOR <= size; i += VECTOR) {
		bytes x, y, even, odd;

		memcpy(&x, a + i, sizeof(x));
		memcpy(&y, b + i, sizeof(y));
		even = (x & 15) | y << 4;
		odd = x >> 4 | (y & 0xf0);
		x = __builtin_shufflevector(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
		y = __builtin_shufflevector(even, odd, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30,
					    15, 31);
		memcpy(pairs + 2 * i, &x, sizeof(x));
		memcpy(pairs + 2 * i + VECTOR, &y, sizeof(y));
	}
	for (; i < size; i++) {
		pairs[2 * i] = (uint8_t)((a[i] & 15) | b[i] << 4);
		pairs[2 * i + 1] = (uint8_t)(a[i] >> 4 | (b[i] & 0xf0));
	}
	if (count % 2)
		pairs[count - 1] = (uint8_t)((a[size] & 15) | b[size] << 4);
}

void xrnpe_pairs_plan(struct xrnpe_pass *pass, const void *table)
{
	xrnpe_lut_plan(pass, table, 1);
	pass->operation = &xrnpe_pairs;
}

/* @count codes that all have @second: the pairs of that are one after the other. */
static void run_pixel(const struct xrnpe_pass *pass, const uint8_t *a, uint8_t second, uint8_t *out, size_t count)
{
	const uint8_t *table = pass->table + 16 * (second & 15);

	pass->codec->map_nibbles(table, a, out, count / 2);
	if (count % 2)
		out[count / 2] = table[a[count / 2] & 15];
}

static void run(const struct xrnpe_pass *pass, uint64_t first, uint64_t end, uint32_t *status)
{
	enum xrnpe_format format = pass->cmd->operand[XRNPE_OPERAND_OFM].format;
	bool pixels = xrnpe_format_bits(format) == 4 && xrnpe_pass_per_pixel(pass);

	(void)status;
	for (uint64_t i = first, lines; i < end && !xrnpe_cancelled(pass->cancel); i += lines) {
		uint64_t line = i / pass->parts_in_line, at = i % pass->parts_in_line * pass->part;
		const uint8_t *a = xrnpe_line(pass, XRNPE_OPERAND_IFM, line) + at / 2, *b;
		uint8_t *out = xrnpe_line(pass, XRNPE_OPERAND_OFM, line) + xrnpe_row_bytes(format, at);
		size_t count = pass->line - at < pass->part ? (size_t)(pass->line - at) : (size_t)pass->part;
		uint8_t row[XRNPE_LUT_PART / 2];

		lines = xrnpe_pass_together(pass, line, end - i, 4 * TOGETHER);
		if (pixels) {
			b = xrnpe_line(pass, XRNPE_OPERAND_IFM2, line);
			for (size_t j = 0; j < lines; j++, b += pass->step[XRNPE_OPERAND_IFM2][XRNPE_INNER])
				run_pixel(pass, a + j * count / 2, *b, out + j * count / 2, count);
			continue;
		}
		b = xrnpe_pass_second(pass, line, at, lines, count, row);
		count *= lines;
		for (size_t j = 0, some; j < count; j += some) {
			uint8_t pairs[TOGETHER];

			some = count - j < TOGETHER ? count - j : TOGETHER;
			pair_up(a + j / 2, b + j / 2, pairs, some);
			xrnpe_lut_bytes(pass, pairs, out + xrnpe_row_bytes(format, j), some);
		}
	}
}

/* Its plan is that of element-wise commands, which have the table. */
const struct xrnpe_operation xrnpe_pairs = { NULL, run };

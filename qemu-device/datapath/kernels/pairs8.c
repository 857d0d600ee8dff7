// SPDX-License-Identifier: MIT
/*
 * ADD, MUL, MAX and MIN of Posit(8,0) to Posit(8,0). Sums and products go from codes to codes
 * in integers, see struct xrnpe_fixed. MAX and MIN: codes are ordered as integers, and what
 * follows the comparison never changes the order of two values but to equality. So a table has
 * what becomes of each input alone, and the larger or smaller of these codes is the result.
 */
#include "kernel.h"

#define PART 8192	/* elements */
#define TOGETHER 1024	/* of these with codes that are not as they lie in memory */
#define VECTOR 16

typedef int8_t bytes __attribute__((vector_size(VECTOR)));

static bool is_max(const struct xrnpe_pass *pass)
{
	return pass->cmd->opcode == XRNPE_OP_MAX;
}

/* MAX is the opposite of the least of opposites: NaR, which is its own, is less than all. */
static void negate(uint8_t *row, size_t count)
{
	for (size_t i = 0; i < count; i++)
		row[i] = (uint8_t)-row[i];
}

void xrnpe_pairs8_plan(struct xrnpe_pass *pass, uint8_t table[2][256])
{
	pass->operation = &xrnpe_pairs8;
	xrnpe_pass_cut(pass, PART, 1);
	if (pass->is_fixed)
		return;
	memcpy(pass->table, table, 512);
	if (is_max(pass))
		negate(pass->table, 512);
}

/* The lesser codes of two rows, or their opposites, to the first row, which has room for a vector. */
static void take_lesser(uint8_t *a, const uint8_t *b, size_t count, bool opposite)
{
	const bytes sign = (bytes){ 0 } - (int8_t)opposite;

	for (size_t i = 0; i < count; i += VECTOR) {
		bytes x, y, mask;

		memcpy(&x, a + i, sizeof(x));
		memcpy(&y, b + i, sizeof(y));
		mask = x < y;
		x = (((x & mask) | (y & ~mask)) ^ sign) - sign;
		memcpy(a + i, &x, sizeof(x));
	}
}

static void take_extremes(const struct xrnpe_pass *pass, const uint8_t *a, const uint8_t *b, uint8_t *out,
			  size_t count)
{
	for (size_t i = 0, some; i < count; i += some) {
		uint8_t row[2][TOGETHER];

		some = count - i < TOGETHER ? count - i : TOGETHER;
		pass->codec->map_bytes(pass->table, a + i, row[0], some);
		pass->codec->map_bytes(pass->table + 256, b + i, row[1], some);
		take_lesser(row[0], row[1], some, is_max(pass));
		memcpy(out + i, row[0], some);
	}
}

/* Whether products are computed from values, not in integers, whose scales would suit both. */
static bool has_products(const struct xrnpe_pass *pass)
{
	return pass->is_fixed && pass->cmd->opcode == XRNPE_OP_MUL && pass->codec->products &&
	       xrnpe_scale_word(pass, 0, 0) << 1;
}

static void run(const struct xrnpe_pass *pass, uint64_t first, uint64_t end, uint32_t *status)
{
	const struct xrnpe_affine affine = xrnpe_affine_of(pass);
	const bool products = has_products(pass), per_pixel = products && xrnpe_pass_per_pixel(pass);

	(void)status;
	for (uint64_t i = first, some; i < end && !xrnpe_cancelled(pass->cancel); i += some) {
		uint64_t line = i / pass->parts_in_line, at = i % pass->parts_in_line * pass->part;
		const uint8_t *a = xrnpe_line(pass, XRNPE_OPERAND_IFM, line) + at, *b;
		uint8_t *out = xrnpe_line(pass, XRNPE_OPERAND_OFM, line) + at;
		size_t count = pass->line - at < pass->part ? (size_t)(pass->line - at) : (size_t)pass->part;
		uint8_t row[PART];

		some = xrnpe_pass_together(pass, line, end - i, per_pixel ? PART : TOGETHER);
		if (per_pixel) {
			xrnpe_pass_pixels(pass, line, some, row);
			pass->codec->products(&affine, a, row, count, out, some * count);
			continue;
		}
		b = xrnpe_pass_second(pass, line, at, some, count, row);
		if (products)
			pass->codec->products(&affine, a, b, 1, out, some * count);
		else if (pass->is_fixed)
			pass->codec->pairs(&pass->fixed, a, b, out, some * count);
		else
			take_extremes(pass, a, b, out, some * count);
	}
}

/* Its plan is that of element-wise commands. */
const struct xrnpe_operation xrnpe_pairs8 = { NULL, run };

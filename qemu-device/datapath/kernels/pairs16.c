// SPDX-License-Identifier: MIT
/* ADD, MUL, MAX, MIN and CONVERT of Posit(16,1) to Posit(16,1), from codes to codes. */
#include "kernel.h"

#define PART 4096	/* elements */
#define TOGETHER 2048	/* of these where codes of IFM2 are not as they lie in memory */
#define SIZE sizeof(uint16_t)

void xrnpe_pairs16_plan(struct xrnpe_pass *pass)
{
	pass->operation = &xrnpe_pairs16;
	xrnpe_pass_cut(pass, PART, 1);
}

static void run(const struct xrnpe_pass *pass, uint64_t first, uint64_t end, uint32_t *status)
{
	const struct xrnpe_affine affine = xrnpe_affine_of(pass);
	const bool pair = affine.opcode != XRNPE_OP_CONVERT, per_pixel = pair && xrnpe_pass_per_pixel(pass);
	uint8_t row[TOGETHER * SIZE];

	(void)status;
	for (uint64_t i = first, some; i < end && !xrnpe_cancelled(pass->cancel); i += some) {
		uint64_t line = i / pass->parts_in_line, at = i % pass->parts_in_line * pass->part;
		const uint8_t *a = xrnpe_line(pass, XRNPE_OPERAND_IFM, line) + at * SIZE, *b = row;
		uint8_t *out = xrnpe_line(pass, XRNPE_OPERAND_OFM, line) + at * SIZE;
		size_t count = pass->line - at < pass->part ? (size_t)(pass->line - at) : (size_t)pass->part;

		some = xrnpe_pass_together(pass, line, end - i, TOGETHER);
		if (per_pixel)
			xrnpe_pass_pixels(pass, line, some, row);
		else if (pair)
			b = xrnpe_pass_second(pass, line, at, some, count, row);
		pass->codec->words(&affine, a, b, per_pixel ? count : 1, out, some * count);
	}
}

/* Its plan is that of element-wise commands. */
const struct xrnpe_operation xrnpe_pairs16 = { NULL, run };

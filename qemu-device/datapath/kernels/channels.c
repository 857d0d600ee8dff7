// SPDX-License-Identifier: MIT
/*
 * CONVERT from 8 bits to 8 or 16 with a scale for each of few channels, as images of cameras
 * have: a table for each channel.
 */
#include "kernel.h"

#define PART 8064	/* elements: whole pixels of up to 4 channels */

static size_t size_of(const struct xrnpe_pass *pass)
{
	return xrnpe_format_bits(pass->cmd->operand[XRNPE_OPERAND_OFM].format) / 8;
}

bool xrnpe_channels_suit(const struct xrnpe_pass *pass)
{
	const struct xrnpe_operand *o = pass->cmd->operand;
	size_t channels = pass->cmd->image.in_c;

	if (channels > XRNPE_TABLE_CHANNELS || xrnpe_format_bits(o[XRNPE_OPERAND_IFM].format) != 8)
		return false;
	if (o[XRNPE_OPERAND_OFM].format != XRNPE_FORMAT_P8 && o[XRNPE_OPERAND_OFM].format != XRNPE_FORMAT_P16)
		return false;
	return pass->transposed ? pass->step[XRNPE_OPERAND_OFM][XRNPE_INNER] == channels * size_of(pass) :
				  pass->line > channels;
}

void xrnpe_channels_plan(struct xrnpe_pass *pass)
{
	pass->operation = &xrnpe_channels;
	xrnpe_pass_cut(pass, PART, pass->cmd->image.in_c);
}

static void run(const struct xrnpe_pass *pass, uint64_t first, uint64_t end, uint32_t *status)
{
	const size_t channels = pass->cmd->image.in_c, size = size_of(pass);
	uint8_t row[PART];

	(void)status;
	for (uint64_t i = first, some; i < end && !xrnpe_cancelled(pass->cancel); i += some) {
		uint64_t line = i / pass->parts_in_line, at = i % pass->parts_in_line * pass->part;
		size_t count = pass->line - at < pass->part ? (size_t)(pass->line - at) : (size_t)pass->part;
		const uint8_t *in = xrnpe_line(pass, XRNPE_OPERAND_IFM, line) + at;

		some = 1;
		if (pass->transposed) {
			/* Pixels, each a line, side by side. */
			some = pass->inner - line % pass->inner;
			some = some < end - i ? some : end - i;
			some = some < PART / channels ? some : PART / channels;
			xrnpe_copy_columns(XRNPE_FORMAT_P8, in, pass->step[XRNPE_OPERAND_IFM][XRNPE_CHANNEL],
					   (size_t)(line % pass->inner), row, channels, 0, channels, (size_t)some);
			in = row;
			count = (size_t)some * channels;
		}
		pass->codec->map_channels(pass->table, channels, size, in,
					  xrnpe_line(pass, XRNPE_OPERAND_OFM, line) + at * size, count);
	}
}

/* Its plan is that of element-wise commands. */
const struct xrnpe_operation xrnpe_channels = { NULL, run };

// SPDX-License-Identifier: MIT
/*
 * CONVERT from 8 bits to codes with a scale for each of few channels, as images of cameras
 * have: a table for each channel.
 */
#include "kernel.h"

#define PART 8064	/* elements: whole pixels of up to 4 channels, in whole vectors */
#define TOGETHER 1536	/* before codes of 4 bits are packed: whole pixels in whole vectors */
#define VECTOR 16

typedef uint8_t bytes __attribute__((vector_size(VECTOR)));

static enum xrnpe_format out_format(const struct xrnpe_pass *pass)
{
	return pass->cmd->operand[XRNPE_OPERAND_OFM].format;
}

/* Of an output before codes of 4 bits are packed. */
static size_t size_of(const struct xrnpe_pass *pass)
{
	return out_format(pass) == XRNPE_FORMAT_P16 ? 2 : 1;
}

bool xrnpe_channels_suit(const struct xrnpe_pass *pass)
{
	enum xrnpe_format in = pass->cmd->operand[XRNPE_OPERAND_IFM].format;
	size_t channels = pass->cmd->image.in_c;

	if (channels > XRNPE_TABLE_CHANNELS || xrnpe_format_bits(in) != 8 || out_format(pass) > XRNPE_FORMAT_P16)
		return false;
	/* A NaR that becomes a number is to be reported. */
	if (in == XRNPE_FORMAT_P8 && out_format(pass) == XRNPE_FORMAT_FP4)
		return false;
	if (pass->line > channels)
		return true;
	/* Pixels side by side. */
	return pass->step[XRNPE_OPERAND_OFM][XRNPE_INNER] == xrnpe_row_bytes(out_format(pass), channels) &&
	       (pass->transposed || pass->step[XRNPE_OPERAND_IFM][XRNPE_INNER] == channels);
}

void xrnpe_channels_plan(struct xrnpe_pass *pass)
{
	pass->operation = &xrnpe_channels;
	xrnpe_pass_cut(pass, PART, pass->cmd->image.in_c);
}

/* Codes of up to 4 channels, rows of TOGETHER, as pixels of 4 bits each */
static void join_planes(const uint8_t *row, size_t channels, uint8_t *out, size_t count)
{
	for (size_t i = 0; i < count; i += VECTOR) {
		bytes code[XRNPE_TABLE_CHANNELS] = { { 0 } }, first, second;
		uint8_t pixels[2 * VECTOR];
		size_t some = count - i < VECTOR ? count - i : VECTOR;

		for (size_t c = 0; c < channels; c++)
			memcpy(&code[c], row + c * TOGETHER + i, VECTOR);
		first = code[0] | code[1] << 4;
		second = code[2] | code[3] << 4;
		if (channels <= 2) {
			memcpy(pixels, &first, VECTOR);
		} else {
			bytes low = __builtin_shufflevector(first, second, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6,
							    22, 7, 23);
			bytes high = __builtin_shufflevector(first, second, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13,
							     29, 14, 30, 15, 31);

			memcpy(pixels, &low, VECTOR);
			memcpy(pixels + VECTOR, &high, VECTOR);
			some *= 2;
		}
		memcpy(out, pixels, some);
		out += some;
	}
}

/* Pixels of codes of 4 bits from planes. */
static void convert_planes(const struct xrnpe_pass *pass, const uint8_t *in, uint8_t *out, size_t pixels)
{
	const size_t channels = pass->cmd->image.in_c, size = xrnpe_row_bytes(out_format(pass), channels);
	uint64_t step = pass->step[XRNPE_OPERAND_IFM][XRNPE_CHANNEL];
	uint8_t row[XRNPE_TABLE_CHANNELS * TOGETHER];

	for (size_t at = 0, some; at < pixels; at += some, out += some * size) {
		some = pixels - at < TOGETHER ? pixels - at : TOGETHER;
		for (size_t c = 0; c < channels; c++)
			pass->codec->map_bytes(pass->table + 256 * c, in + c * step + at, row + c * TOGETHER, some);
		join_planes(row, channels, out, some);
	}
}

/* Whole pixels. */
static void convert(const struct xrnpe_pass *pass, const uint8_t *in, uint8_t *out, size_t count)
{
	const size_t channels = pass->cmd->image.in_c, together = TOGETHER / channels * channels;
	uint8_t codes[TOGETHER];

	if (out_format(pass) > XRNPE_FORMAT_P4) {
		pass->codec->map_channels(pass->table, channels, size_of(pass), in, out, count);
		return;
	}
	for (size_t at = 0, some; at < count; at += some) {
		some = count - at < together ? count - at : together;
		pass->codec->map_channels(pass->table, channels, 1, in + at, codes, some);
		xrnpe_pack_lines(pass->codec, codes, channels, out, some / channels);
		out += some / channels * xrnpe_row_bytes(out_format(pass), channels);
	}
}

static void run(const struct xrnpe_pass *pass, uint64_t first, uint64_t end, uint32_t *status)
{
	const size_t channels = pass->cmd->image.in_c;
	uint8_t row[PART];

	(void)status;
	for (uint64_t i = first, some; i < end && !xrnpe_cancelled(pass->cancel); i += some) {
		uint64_t line = i / pass->parts_in_line, at = i % pass->parts_in_line * pass->part;
		size_t count = pass->line - at < pass->part ? (size_t)(pass->line - at) : (size_t)pass->part;
		const uint8_t *in = xrnpe_line(pass, XRNPE_OPERAND_IFM, line) + at;
		uint8_t *out = xrnpe_line(pass, XRNPE_OPERAND_OFM, line) + xrnpe_row_bytes(out_format(pass), at);

		some = 1;
		if (pass->line == channels) {
			some = pass->inner - line % pass->inner;
			some = some < end - i ? some : end - i;
			some = some < PART / channels ? some : PART / channels;
			count = (size_t)some * channels;
		}
		if (pass->transposed && out_format(pass) <= XRNPE_FORMAT_P4) {
			convert_planes(pass, in + line % pass->inner, out, (size_t)some);
			continue;
		}
		if (pass->transposed) {
			xrnpe_copy_columns(XRNPE_FORMAT_P8, in, pass->step[XRNPE_OPERAND_IFM][XRNPE_CHANNEL],
					   (size_t)(line % pass->inner), row, channels, 0, channels, (size_t)some);
			in = row;
		}
		convert(pass, in, out, count);
	}
}

/* Its plan is that of element-wise commands. */
const struct xrnpe_operation xrnpe_channels = { NULL, run };

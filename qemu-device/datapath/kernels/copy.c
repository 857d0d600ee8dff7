// SPDX-License-Identifier: MIT
/*
 * COPY: moves codes, line by line of the output. What the input does not reach is filled;
 * what lies as it shall is copied as one, columns are transposed, and only channels of 4
 * bits that change places within a byte go one by one.
 */
#include "kernel.h"

#define TASK_ELEMENTS 65536	/* more than others have, as this takes little time */
#define PATTERN 64		/* bytes of @fill side by side */

/* How the output's axis, in the order of a pass, is made from IFM's. */
struct axis {
	uint32_t in, out, pad, up;
};

struct copy {
	const struct xrnpe_pass *pass;
	enum xrnpe_format format;
	struct axis axis[XRNPE_AXES];
	size_t front, middle;	/* channels of fill before those that are copied, and these */
	bool spread;
	uint32_t fill;
	uint8_t pattern[PATTERN];
};

static struct copy copy_of(const struct xrnpe_pass *pass)
{
	const struct xrnpe_dims_copy *d = &pass->cmd->copy;
	struct axis rows = { d->in_h, d->out_h, d->pad_h, d->up_h }, columns = { d->in_w, d->out_w, d->pad_w, d->up_w };
	bool swapped = xrnpe_rows_are_inner(pass->cmd);
	struct copy copy = {
		.pass = pass,
		.format = pass->cmd->operand[XRNPE_OPERAND_OFM].format,
		.axis = {
			[XRNPE_OUTER] = swapped ? columns : rows,
			[XRNPE_INNER] = swapped ? rows : columns,
			[XRNPE_CHANNEL] = { d->in_c, d->out_c, d->pad_c, 1 },
		},
		.front = d->pad_c < d->out_c ? d->pad_c : d->out_c,
		.spread = pass->cmd->flags & XRNPE_CMD_SPREAD,
		.fill = d->fill,
	};

	copy.middle = d->out_c - copy.front < d->in_c ? d->out_c - copy.front : d->in_c;
	for (size_t i = 0; i < PATTERN * 8 / xrnpe_format_bits(copy.format); i++)
		xrnpe_store(copy.format, copy.pattern, i, d->fill);
	return copy;
}

/* ---- pieces of pixels ------------------------------------------------------ */

/* Elements @at.. of a row, before which all are set. */
static void fill_codes(const struct copy *copy, uint8_t *row, size_t at, size_t count)
{
	const size_t most = PATTERN * 8 / xrnpe_format_bits(copy->format);

	for (size_t some; count; count -= some, at += some) {
		some = count < most ? count : most;
		xrnpe_copy_codes(copy->format, row, at, copy->pattern, 0, some);
	}
}

static uint8_t *out_line(const struct copy *copy, uint64_t outer, uint64_t inner)
{
	const uint64_t *step = copy->pass->step[XRNPE_OPERAND_OFM];

	return (uint8_t *)copy->pass->memory[XRNPE_OPERAND_OFM] + outer * step[XRNPE_OUTER] +
	       inner * step[XRNPE_INNER];
}

static const uint8_t *in_line(const struct copy *copy, uint64_t outer, uint64_t inner)
{
	const uint64_t *step = copy->pass->step[XRNPE_OPERAND_IFM];

	return (const uint8_t *)copy->pass->memory[XRNPE_OPERAND_IFM] + outer * step[XRNPE_OUTER] +
	       inner * step[XRNPE_INNER];
}

/* Where output @at of an axis comes from; -1: it is filled. */
static int64_t source(const struct axis *axis, bool spread, uint64_t at)
{
	if (at < axis->pad || at - axis->pad >= (uint64_t)axis->in * axis->up)
		return -1;
	at -= axis->pad;
	return spread && at % axis->up ? -1 : (int64_t)(at / axis->up);
}

/* ---- pixels ------------------------------------------------------------------ */

/* @count outputs along the inner axis that have nothing but fill. */
static void fill_pixels(const struct copy *copy, uint64_t outer, uint64_t inner, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		fill_codes(copy, out_line(copy, outer, inner + i), 0, copy->axis[XRNPE_CHANNEL].out);
}

/* Whether pixels are the same bytes in both, one after the other. */
static bool same_layout(const struct copy *copy)
{
	const struct xrnpe_pass *pass = copy->pass;
	uint64_t bits = (uint64_t)copy->axis[XRNPE_CHANNEL].out * xrnpe_format_bits(copy->format);

	return copy->middle == copy->axis[XRNPE_CHANNEL].out && copy->middle == copy->axis[XRNPE_CHANNEL].in &&
	       pass->step[XRNPE_OPERAND_IFM][XRNPE_INNER] * 8 == bits &&
	       pass->step[XRNPE_OPERAND_OFM][XRNPE_INNER] * 8 == bits;
}

/* Outputs that have an input each, side by side. */
static void copy_pixels(const struct copy *copy, uint64_t outer, uint64_t inner, uint64_t from_outer,
			uint64_t from_inner, uint64_t count)
{
	const struct xrnpe_pass *pass = copy->pass;
	size_t back = copy->front + copy->middle, channels = copy->axis[XRNPE_CHANNEL].out;
	const uint64_t to_step = pass->step[XRNPE_OPERAND_OFM][XRNPE_INNER];
	const uint64_t from_step = pass->step[XRNPE_OPERAND_IFM][XRNPE_INNER];
	uint8_t *to = out_line(copy, outer, inner);
	const uint8_t *from = in_line(copy, from_outer, from_inner);

	if (!pass->transposed && same_layout(copy)) {
		memcpy(to, from, count * to_step);
		return;
	}
	for (uint64_t i = 0; i < count && copy->front; i++)
		fill_codes(copy, to + i * to_step, 0, copy->front);
	if (pass->transposed)
		xrnpe_copy_columns(copy->format, from, pass->step[XRNPE_OPERAND_IFM][XRNPE_CHANNEL], from_inner,
				   to, to_step, copy->front, copy->middle, count);
	else if (copy->front % 2 == 0 && copy->middle)
		xrnpe_copy_lines(copy->format, to + xrnpe_row_bytes(copy->format, copy->front), to_step, from,
				 from_step, copy->middle, count);
	else
		for (uint64_t i = 0; i < count; i++)
			xrnpe_copy_codes(copy->format, to + i * to_step, copy->front, from + i * from_step, 0,
					 copy->middle);
	for (uint64_t i = 0; i < count && back < channels; i++)
		fill_codes(copy, to + i * to_step, back, channels - back);
}

/* Outputs @inner..@end - 1 of a line along the inner axis. */
static void copy_line(const struct copy *copy, uint64_t outer, uint64_t inner, uint64_t end)
{
	const struct axis *axis = &copy->axis[XRNPE_INNER];
	int64_t from_outer = source(&copy->axis[XRNPE_OUTER], copy->spread, outer);
	uint64_t filled = axis->pad + (uint64_t)axis->in * axis->up;

	for (uint64_t some; inner < end; inner += some) {
		int64_t from = source(axis, copy->spread, inner);

		if (from_outer < 0)
			some = end - inner;
		else if (inner < axis->pad)
			some = axis->pad - inner;
		else if (inner >= filled)
			some = end - inner;
		else
			some = axis->up == 1 ? filled - inner : 1;
		if (some > end - inner)
			some = end - inner;
		if (from_outer < 0 || from < 0)
			fill_pixels(copy, outer, inner, some);
		else
			copy_pixels(copy, outer, inner, (uint64_t)from_outer, (uint64_t)from, some);
	}
}

/* ---- one by one -------------------------------------------------------------- */

static void copy_exactly(const struct copy *copy, uint64_t outer, uint64_t inner)
{
	const struct xrnpe_pass *pass = copy->pass;
	int64_t from_outer = source(&copy->axis[XRNPE_OUTER], copy->spread, outer);
	int64_t from_inner = source(&copy->axis[XRNPE_INNER], copy->spread, inner);
	uint8_t *to = out_line(copy, outer, inner);

	for (size_t c = 0; c < copy->axis[XRNPE_CHANNEL].out; c++) {
		int64_t from_c = source(&copy->axis[XRNPE_CHANNEL], false, c);
		uint32_t code = copy->fill;

		if (from_outer >= 0 && from_inner >= 0 && from_c >= 0) {
			const uint8_t *from = in_line(copy, (uint64_t)from_outer, (uint64_t)from_inner) +
					      (uint64_t)from_c * pass->step[XRNPE_OPERAND_IFM][XRNPE_CHANNEL];

			code = xrnpe_load(copy->format, from, (size_t)(pass->transposed ? from_inner : from_c));
		}
		xrnpe_store(copy->format, to, c, code);
	}
	xrnpe_clear_tail(copy->format, to, copy->axis[XRNPE_CHANNEL].out);
}

/* ---- tasks ------------------------------------------------------------------- */

static void plan(struct xrnpe_pass *pass)
{
	const struct xrnpe_dims_copy *d = &pass->cmd->copy;

	pass->line = d->out_c;
	pass->inner = xrnpe_rows_are_inner(pass->cmd) ? d->out_h : d->out_w;
	pass->lines = (uint64_t)d->out_h * d->out_w;
	xrnpe_pass_cut(pass, pass->line, 1);
	pass->chunk = TASK_ELEMENTS / pass->line + 1;
}

static void run(const struct xrnpe_pass *pass, uint64_t first, uint64_t end, uint32_t *status)
{
	struct copy copy = copy_of(pass);

	(void)status;
	for (uint64_t i = first, some; i < end && !xrnpe_cancelled(pass->cancel); i += some) {
		uint64_t outer = i / pass->inner, inner = i % pass->inner;

		some = end - i < pass->inner - inner ? end - i : pass->inner - inner;
		if (pass->codec->sum)
			copy_line(&copy, outer, inner, inner + some);
		for (uint64_t j = 0; j < some && !pass->codec->sum && !xrnpe_cancelled(pass->cancel); j++)
			copy_exactly(&copy, outer, inner + j);
	}
}

const struct xrnpe_operation xrnpe_copy = { plan, run };

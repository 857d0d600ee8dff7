// SPDX-License-Identifier: MIT
/*
 * ADD, MUL, MAX, MIN and CONVERT. The plain codec stands for one code after the other and
 * exact numbers; with the others rows are decoded, computed in doubles and encoded. What
 * has at most 256 different inputs, or pairs of them, is looked up in a table.
 */
#include "kernel.h"

#define BATCH 1024		/* values that are decoded at once; even */
#define SHORT 64		/* parts below this are decoded together */
#define WORTH_TABLE 4096	/* elements; a table is 256 */

/* A run of elements of a line. */
struct part {
	uint64_t line;
	size_t first, count;
};

static struct part part_of(const struct xrnpe_pass *pass, uint64_t index)
{
	struct part part = { index / pass->parts_in_line, index % pass->parts_in_line * pass->part, pass->part };

	if (part.count > pass->line - part.first)
		part.count = pass->line - part.first;
	return part;
}

static enum xrnpe_format format_of(const struct xrnpe_pass *pass, unsigned int operand)
{
	return pass->cmd->operand[operand].format;
}

static bool is_pair(const struct xrnpe_pass *pass)
{
	return pass->cmd->opcode != XRNPE_OP_CONVERT;
}

/* Whether channels of CONVERT have scales of their own. */
static bool has_scales(const struct xrnpe_pass *pass)
{
	return !is_pair(pass) && pass->cmd->operand[XRNPE_OPERAND_SCALE].row_stride;
}

static uint8_t *part_at(const struct xrnpe_pass *pass, unsigned int i, struct part part)
{
	return xrnpe_line(pass, i, part.line) + xrnpe_row_bytes(format_of(pass, i), part.first);
}

/* ---- one by one ---------------------------------------------------------- */

static uint32_t code_of(const struct xrnpe_pass *pass, unsigned int operand, uint64_t line, size_t element)
{
	const uint8_t *row = xrnpe_line(pass, operand, line);

	if (operand == XRNPE_OPERAND_IFM && pass->transposed) {
		row += element * pass->step[operand][XRNPE_CHANNEL];
		element = line % pass->inner;
	}
	if (operand == XRNPE_OPERAND_IFM2 && xrnpe_pass_per_pixel(pass))
		element = 0;
	return xrnpe_load(format_of(pass, operand), row, element);
}

/* @a * @b * scale + bias */
static void multiply(const struct xrnpe_pass *pass, uint32_t a, uint32_t b, struct xrnpe_exact *x)
{
	enum xrnpe_format in = format_of(pass, XRNPE_OPERAND_IFM), in2 = format_of(pass, XRNPE_OPERAND_IFM2);
	int64_t grid = xrnpe_grid(in, a), grid2 = xrnpe_grid(in2, b);
	xrnpe_i128 product;

	if (xrnpe_is_nar(in, a) || xrnpe_is_nar(in2, b)) {
		x->nan = true;
		return;
	}
	product = (xrnpe_i128)grid * grid2;
	xrnpe_exact_add(x, xrnpe_term_from_sum((xrnpe_u128)product, product < 0,
					       xrnpe_grid_unit(in) + xrnpe_grid_unit(in2)),
			xrnpe_term_from_f32(xrnpe_scale_word(pass, 0, 0)));
	xrnpe_exact_add_code(x, XRNPE_FORMAT_F32, xrnpe_scale_word(pass, 0, 1), XRNPE_F32_ONE);
}

/* What element @element of a line is before the activation. */
static struct xrnpe_exact exact_value(const struct xrnpe_pass *pass, uint64_t line, size_t element)
{
	enum xrnpe_format in = format_of(pass, XRNPE_OPERAND_IFM), in2 = format_of(pass, XRNPE_OPERAND_IFM2);
	uint32_t a = code_of(pass, XRNPE_OPERAND_IFM, line, element), b;
	struct xrnpe_exact x = { 0 }, y = { 0 };
	size_t channel = element % pass->cmd->image.in_c;
	int order;

	if (!is_pair(pass)) {
		xrnpe_exact_add_code(&x, in, a, xrnpe_scale_word(pass, channel, 0));
		xrnpe_exact_add_code(&x, XRNPE_FORMAT_F32, xrnpe_scale_word(pass, channel, 1), XRNPE_F32_ONE);
		return x;
	}
	b = code_of(pass, XRNPE_OPERAND_IFM2, line, element);
	if (pass->cmd->opcode == XRNPE_OP_MUL) {
		multiply(pass, a, b, &x);
		return x;
	}
	xrnpe_exact_add_code(&x, in, a, xrnpe_scale_word(pass, 0, 0));
	if (pass->cmd->opcode == XRNPE_OP_ADD) {
		xrnpe_exact_add_code(&x, in2, b, xrnpe_scale_word(pass, 1, 0));
		return x;
	}
	xrnpe_exact_add_code(&y, in2, b, xrnpe_scale_word(pass, 1, 0));
	if (x.nan || y.nan)
		return x.nan ? x : y;
	order = xrnpe_exact_compare(&x, &y);
	return (pass->cmd->opcode == XRNPE_OP_MAX ? order < 0 : order > 0) ? y : x;
}

static void exact_part(const struct xrnpe_pass *pass, struct part part, uint32_t *status)
{
	enum xrnpe_format format = format_of(pass, XRNPE_OPERAND_OFM);
	uint8_t *out = part_at(pass, XRNPE_OPERAND_OFM, part);

	for (size_t i = 0; i < part.count; i++) {
		struct xrnpe_real real = xrnpe_exact_output(pass->cmd, pass->cmd->slope,
							    exact_value(pass, part.line, part.first + i));

		xrnpe_store(format, out, i, xrnpe_round(format, real, status));
	}
	xrnpe_clear_tail(format, out, part.count);
}

/* ---- many at a time ------------------------------------------------------ */

/* Values of a batch: grid values, which become codes, or binary32. */
union values {
	int16_t grid[BATCH];
	uint8_t code[BATCH + 1];
	float real[BATCH];
};

/* CONVERT multiplies its bias by them. */
static const int16_t ones[BATCH] __attribute__((aligned(64))) = { [0 ... BATCH - 1] = 1 };

/* A batch of parts, that is of values. Of several each is a line. */
struct batch {
	struct xrnpe_affine affine;
	struct xrnpe_fixed fixed;
	bool is_fixed;		/* grid values, not binary32 */
	bool nar;		/* so they must be binary32 */
	union values a __attribute__((aligned(64))), b;
	float scales[BATCH], biases[BATCH];
	int16_t digits[2][XRNPE_FIXED_DIGITS][BATCH];
	bool kept;		/* these three, for all batches */
	uint8_t row[BATCH * sizeof(float)];
	bool is_short;		/* parts are collected before they are decoded */
	size_t pitch;		/* values from a part to the next: even if collected codes share bytes */
	bool dense[XRNPE_OPERANDS];	/* parts along the inner axis are one after the other */
};

static float float_of(uint32_t bits)
{
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static uint32_t bits_of(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

/* Whether the factor with these bits makes nothing of values but binary32, or of products of them, that
 * is no multiple of 2^-126, or beyond 2^126: values are multiples of 2^-28, up to 2^28. */
static bool is_moderate(uint32_t word)
{
	int exponent = (int)(word >> 23 & 255) - 127;

	return !(word << 1) || (exponent >= -126 + 56 + 23 && exponent < 126 - 56);
}

/* @moderate: all factors are. */
static void set_moderate(const struct xrnpe_pass *pass, struct xrnpe_affine *affine, bool moderate)
{
	enum xrnpe_format in = format_of(pass, XRNPE_OPERAND_IFM);
	bool wide = is_pair(pass) && in == XRNPE_FORMAT_P16 && format_of(pass, XRNPE_OPERAND_IFM2) == in;
	bool odd = affine->odd && pass->cmd->activation != XRNPE_ACT_LEAKY;

	affine->normal = odd && moderate && in != XRNPE_FORMAT_F32;
	if (pass->cmd->opcode == XRNPE_OP_MUL)
		affine->single = affine->normal && !wide;
	else
		affine->single = odd && pass->cmd->opcode != XRNPE_OP_ADD;
}

struct xrnpe_affine xrnpe_affine_of(const struct xrnpe_pass *pass)
{
	const struct xrnpe_cmd *cmd = pass->cmd;
	bool two_scales = is_pair(pass) && cmd->opcode != XRNPE_OP_MUL, clamp = cmd->flags & XRNPE_CMD_CLAMP;
	uint32_t scale = xrnpe_scale_word(pass, 0, 0);
	uint32_t other = two_scales ? xrnpe_scale_word(pass, 1, 0) : xrnpe_scale_word(pass, 0, 1);
	struct xrnpe_affine affine = {
		.opcode = cmd->opcode, .activation = cmd->activation,
		.scale = float_of(scale), .other = float_of(other), .slope = float_of(cmd->slope),
		.lo = clamp ? float_of(cmd->lo) : -__builtin_inff(),
		.hi = clamp ? float_of(cmd->hi) : __builtin_inff(),
		.odd = format_of(pass, XRNPE_OPERAND_OFM) != XRNPE_FORMAT_F32,
	};

	set_moderate(pass, &affine, is_moderate(scale) && is_moderate(other));
	return affine;
}

static void start_batches(const struct xrnpe_pass *pass, struct batch *batch)
{
	const struct xrnpe_cmd *cmd = pass->cmd;

	batch->affine = xrnpe_affine_of(pass);
	batch->affine.scales = has_scales(pass) ? batch->scales : NULL;
	batch->affine.others = batch->biases;
	batch->fixed = pass->fixed;
	batch->fixed.each = has_scales(pass);
	for (size_t i = 0; i < XRNPE_FIXED_DIGITS; i++) {
		batch->fixed.scales[i] = batch->digits[0][i];
		batch->fixed.others[i] = batch->digits[1][i];
	}
	batch->kept = false;
	batch->is_short = pass->part < SHORT;
	batch->pitch = pass->part;
	for (unsigned int i = 0; i < XRNPE_OPERANDS && (batch->is_short || pass->transposed); i++) {
		if (xrnpe_cmd_has_operand(cmd, i) && cmd->operand[i].format <= XRNPE_FORMAT_P4)
			batch->pitch = pass->part + pass->part % 2;
	}
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++)
		batch->dense[i] = batch->pitch == pass->part && pass->step[i][XRNPE_INNER] * 8 ==
				  pass->part * xrnpe_format_bits(format_of(pass, i));
}

/* Entries that rows have room for after @count values. */
static size_t rest_of(size_t count)
{
	return (XRNPE_SUM_VALUES - count % XRNPE_SUM_VALUES) % XRNPE_SUM_VALUES;
}

/* Have the first @size bytes of a row, or of @pitch, again and again up to @whole. */
static void repeat(uint8_t *row, size_t size, size_t whole)
{
	for (size_t some; size < whole; size += some) {
		some = whole - size < size ? whole - size : size;
		memcpy(row + size, row, some);
	}
}

/* A row that has @some entries of @size bytes: one for each of the @count values of all parts. */
static void spread(const struct batch *batch, void *row, size_t size, size_t some, size_t count, size_t parts)
{
	size_t all = parts * batch->pitch;
	uint8_t *to = row;

	repeat(to, some * size, count * size);
	memset(to + count * size, 0, (batch->pitch - count) * size);
	repeat(to, batch->pitch * size, all * size);
	memset(to + all * size, 0, rest_of(all) * size);
}

/* The scales of the values from element @first of a line on, as the batch has them. */
static void set_scales(const struct xrnpe_pass *pass, struct batch *batch, size_t first, size_t parts,
		       size_t count)
{
	size_t channels = pass->cmd->image.in_c, some = count < channels ? count : channels;
	bool moderate = true;

	for (size_t i = 0; i < some; i++) {
		size_t channel = (first + i) % channels;
		uint32_t scale = xrnpe_scale_word(pass, channel, 0), bias = xrnpe_scale_word(pass, channel, 1);
		int16_t digit[2][XRNPE_FIXED_DIGITS];

		batch->scales[i] = float_of(scale);
		batch->biases[i] = float_of(bias);
		moderate = moderate && is_moderate(scale) && is_moderate(bias);
		if (!pass->is_fixed)
			continue;
		xrnpe_fixed_digits(pass, &batch->fixed, channel, digit[0], digit[1]);
		for (int j = 0; j < batch->fixed.digits; j++) {
			batch->digits[0][j][i] = digit[0][j];
			batch->digits[1][j][i] = digit[1][j];
		}
	}
	set_moderate(pass, &batch->affine, moderate);
	spread(batch, batch->scales, sizeof(float), some, count, parts);
	spread(batch, batch->biases, sizeof(float), some, count, parts);
	for (int j = 0; pass->is_fixed && j < batch->fixed.digits; j++) {
		spread(batch, batch->digits[0][j], sizeof(int16_t), some, count, parts);
		spread(batch, batch->digits[1][j], sizeof(int16_t), some, count, parts);
	}
}

/* Some parts, as far as lines are beside each other along the inner axis. */
struct run {
	uint64_t outer, inner;
	size_t parts;
};

static struct run first_run(const struct xrnpe_pass *pass, struct part part, size_t parts)
{
	struct run run = { part.line / pass->inner, part.line % pass->inner, parts };

	if (run.parts > pass->inner - run.inner)
		run.parts = (size_t)(pass->inner - run.inner);
	return run;
}

/* @left: parts after it. */
static struct run next_run(const struct xrnpe_pass *pass, struct run run, size_t left)
{
	return (struct run){ run.outer + 1, 0, left < pass->inner ? left : (size_t)pass->inner };
}

static uint8_t *run_at(const struct xrnpe_pass *pass, unsigned int i, struct run run, size_t first)
{
	const uint64_t *step = pass->step[i];

	return (uint8_t *)pass->memory[i] + run.outer * step[XRNPE_OUTER] + run.inner * step[XRNPE_INNER] +
	       xrnpe_row_bytes(format_of(pass, i), first);
}

/* Codes of a run to @to, one part after the other, with zeros between. */
static void collect(const struct xrnpe_pass *pass, const struct batch *batch, unsigned int i, struct run run,
		    struct part part, uint8_t *to)
{
	enum xrnpe_format format = format_of(pass, i);
	size_t pitch = xrnpe_row_bytes(format, batch->pitch);
	const uint64_t *step = pass->step[i];

	if (batch->pitch != pass->part)
		memset(to, 0, run.parts * pitch);
	if (i == XRNPE_OPERAND_IFM && pass->transposed) {
		xrnpe_copy_columns(format, run_at(pass, i, run, 0) + part.first * step[XRNPE_CHANNEL],
				   step[XRNPE_CHANNEL], run.inner, to, pitch, 0, part.count, run.parts);
		return;
	}
	xrnpe_copy_lines(format, to, pitch, run_at(pass, i, run, part.first), step[XRNPE_INNER], part.count,
			 run.parts);
}

static void decode(const struct xrnpe_pass *pass, struct batch *batch, unsigned int i, const uint8_t *row,
		   union values *values, size_t at, size_t count)
{
	if (batch->is_fixed)
		batch->nar |= pass->codec->grid(format_of(pass, i), row, values->grid + at, count);
	else
		pass->codec->decode(format_of(pass, i), row, values->real + at, count);
}

/* Decode operand @i of @parts parts, @count values with what is between them. */
static void read_parts(const struct xrnpe_pass *pass, struct batch *batch, unsigned int i, struct part part,
		       size_t parts, size_t count, union values *values)
{
	enum xrnpe_format format = format_of(pass, i);
	bool columns = i == XRNPE_OPERAND_IFM && pass->transposed;
	bool collected = columns || (batch->is_short && !batch->dense[i]);
	struct run run = first_run(pass, part, parts);

	for (size_t j = 0; j < parts; j += run.parts, run = next_run(pass, run, parts - j)) {
		const uint8_t *from = run_at(pass, i, run, part.first);

		if (collected) {
			collect(pass, batch, i, run, part, batch->row + xrnpe_row_bytes(format, j * batch->pitch));
			continue;
		}
		if (batch->dense[i]) {
			decode(pass, batch, i, from, values, j * batch->pitch, run.parts * part.count);
			continue;
		}
		for (size_t k = 0; k < run.parts; k++)
			decode(pass, batch, i, from + k * pass->step[i][XRNPE_INNER], values,
			       (j + k) * batch->pitch, part.count);
	}
	if (collected)
		decode(pass, batch, i, batch->row, values, 0, count);
}

/* @size bytes that have @word again and again. */
static void fill(void *to, uint32_t word, size_t size)
{
	typedef uint32_t words __attribute__((vector_size(16)));
	const words pattern = (words){ 0 } + word;
	uint8_t *at = to;

	for (; size >= sizeof(pattern); size -= sizeof(pattern), at += sizeof(pattern))
		memcpy(at, &pattern, sizeof(pattern));
	memcpy(at, &pattern, size);
}

/* The only code of each of some pixels, for all of its channels. */
static void read_pixels(const struct xrnpe_pass *pass, struct batch *batch, struct part part, size_t parts,
			union values *values)
{
	const unsigned int i = XRNPE_OPERAND_IFM2;
	struct run run = first_run(pass, part, parts);
	union values value;

	for (size_t j = 0; j < parts; j += run.parts, run = next_run(pass, run, parts - j)) {
		const uint8_t *from = run_at(pass, i, run, 0);

		for (size_t k = 0; k < run.parts; k++)
			xrnpe_copy_codes(format_of(pass, i), batch->row, j + k,
					 from + k * pass->step[i][XRNPE_INNER], 0, 1);
	}
	decode(pass, batch, i, batch->row, &value, 0, parts);
	for (size_t j = 0; j < parts; j++) {
		if (batch->is_fixed)
			fill(values->grid + j * batch->pitch, (uint16_t)value.grid[j] * 0x00010001u,
			     batch->pitch * sizeof(int16_t));
		else
			fill(values->real + j * batch->pitch, bits_of(value.real[j]), batch->pitch * sizeof(float));
	}
}

/* Some of the results, as codes or values. */
static void encode(const struct xrnpe_pass *pass, struct batch *batch, size_t at, uint8_t *row, size_t count,
		   uint32_t *status)
{
	enum xrnpe_format format = format_of(pass, XRNPE_OPERAND_OFM);

	if (!batch->is_fixed) {
		pass->codec->encode(format, batch->a.real + at, row, count, status);
	} else if (format == XRNPE_FORMAT_P8) {
		memcpy(row, batch->a.code + at, count);
	} else {
		/* One that is packed alone ends its byte. */
		uint8_t next = batch->a.code[at + count];

		batch->a.code[at + count] = 0;
		xrnpe_pack_nibbles(batch->a.code + at, row, count);
		batch->a.code[at + count] = next;
	}
}

static void write_parts(const struct xrnpe_pass *pass, struct batch *batch, struct part part, size_t parts,
			size_t count, uint32_t *status)
{
	const unsigned int i = XRNPE_OPERAND_OFM;
	enum xrnpe_format format = format_of(pass, i);
	bool collected = batch->is_short && !batch->dense[i];
	size_t pitch = xrnpe_row_bytes(format, batch->pitch);
	uint64_t step = pass->step[i][XRNPE_INNER];
	struct run run = first_run(pass, part, parts);

	if (collected)
		encode(pass, batch, 0, batch->row, count, status);
	for (size_t j = 0; j < parts; j += run.parts, run = next_run(pass, run, parts - j)) {
		uint8_t *to = run_at(pass, i, run, part.first);

		if (batch->dense[i] && parts > 1) {
			encode(pass, batch, j * batch->pitch, to, run.parts * part.count, status);
			continue;
		}
		if (collected) {
			xrnpe_copy_lines(format, to, step, batch->row + j * pitch, pitch, part.count, run.parts);
			continue;
		}
		for (size_t k = j; k < j + run.parts; k++, to += step) {
			encode(pass, batch, k * batch->pitch, to, part.count, status);
			xrnpe_clear_tail(format, to, part.count);
		}
	}
}

/* Values with no meaning, up to as many as all rows have room for. */
static void pad(struct batch *batch, size_t count)
{
	if (batch->is_fixed) {
		memset(batch->a.grid + count, 0, rest_of(count) * sizeof(int16_t));
		memset(batch->b.grid + count, 0, rest_of(count) * sizeof(int16_t));
	} else {
		memset(batch->a.real + count, 0, rest_of(count) * sizeof(float));
		memset(batch->b.real + count, 0, rest_of(count) * sizeof(float));
	}
}

static bool compute(const struct xrnpe_pass *pass, struct batch *batch, struct part part, size_t parts,
		    size_t count)
{
	/* The parts of a line are alike, but for long lines. */
	if (has_scales(pass) && !batch->kept)
		set_scales(pass, batch, part.first, parts, part.count);
	batch->nar = false;
	read_parts(pass, batch, XRNPE_OPERAND_IFM, part, parts, count, &batch->a);
	if (xrnpe_pass_per_pixel(pass))
		read_pixels(pass, batch, part, parts, &batch->b);
	else if (is_pair(pass))
		read_parts(pass, batch, XRNPE_OPERAND_IFM2, part, parts, count, &batch->b);
	pad(batch, count);
	if (!batch->is_fixed)
		return pass->codec->sum(&batch->affine, batch->a.real, is_pair(pass) ? batch->b.real : NULL, count);
	if (!batch->nar)
		pass->codec->fixed(&batch->fixed, batch->a.grid, is_pair(pass) ? batch->b.grid : ones, batch->a.code,
				   count);
	return !batch->nar;
}

static void run_batch(const struct xrnpe_pass *pass, struct batch *batch, uint64_t first, size_t parts,
		      uint32_t *status)
{
	struct part part = part_of(pass, first);
	/* Only a single part may be shorter than others. */
	size_t count = parts > 1 ? parts * batch->pitch : part.count;

	for (int i = !pass->is_fixed; i < 2; i++) {
		batch->is_fixed = !i;
		if (compute(pass, batch, part, parts, count)) {
			write_parts(pass, batch, part, parts, count, status);
			return;
		}
	}
	for (size_t j = 0; j < parts; j++)
		exact_part(pass, part_of(pass, first + j), status);
}

static void run(const struct xrnpe_pass *pass, uint64_t first, uint64_t end, uint32_t *status)
{
	struct batch batch;
	size_t most;

	if (!pass->codec->sum) {
		for (uint64_t i = first; i < end && !xrnpe_cancelled(pass->cancel); i++)
			exact_part(pass, part_of(pass, i), status);
		return;
	}
	start_batches(pass, &batch);
	most = BATCH / batch.pitch;
	if (has_scales(pass) && pass->part % pass->cmd->image.in_c == 0) {
		set_scales(pass, &batch, 0, most, pass->part);
		batch.kept = true;
	}
	for (uint64_t i = first; i < end && !xrnpe_cancelled(pass->cancel); i += most)
		run_batch(pass, &batch, i, end - i < most ? (size_t)(end - i) : most, status);
}

/* ---- plans --------------------------------------------------------------- */

/*
 * Whether a table does it: one scale, few codes, and no NaR that becomes a number, which is
 * to be reported only where there is one.
 */
static bool suits_table(const struct xrnpe_pass *pass)
{
	enum xrnpe_format in = format_of(pass, XRNPE_OPERAND_IFM), in2 = format_of(pass, XRNPE_OPERAND_IFM2);
	bool posit = in == XRNPE_FORMAT_P4 || in == XRNPE_FORMAT_P8 || (is_pair(pass) && in2 == XRNPE_FORMAT_P4);

	if (posit && format_of(pass, XRNPE_OPERAND_OFM) == XRNPE_FORMAT_FP4)
		return false;
	if (!pass->codec->sum || pass->transposed || pass->line * pass->lines < WORTH_TABLE)
		return false;
	if (is_pair(pass))
		return in <= XRNPE_FORMAT_P4 && in2 <= XRNPE_FORMAT_P4 &&
		       (!xrnpe_pass_per_pixel(pass) || pass->line >= SHORT / 2);
	return xrnpe_format_bits(in) <= 8 && !has_scales(pass);
}

/*
 * Have the command done with all codes, in order, or all pairs of 4-bit codes: an image of
 * 16 pixels by 16 channels, the same ones in all pixels of IFM, one for a pixel in IFM2.
 * @channel: whose scale it is if each has one.
 */
static void make_table(const struct xrnpe_pass *pass, size_t channel, uint8_t *table)
{
	enum xrnpe_format in = format_of(pass, XRNPE_OPERAND_IFM);
	struct xrnpe_cmd cmd = *pass->cmd;
	struct xrnpe_operand *o = cmd.operand;
	uint8_t codes[256] = { 0 }, codes2[16] = { 0 };
	void *memory[XRNPE_OPERANDS] = {
		[XRNPE_OPERAND_IFM] = codes, [XRNPE_OPERAND_IFM2] = codes2,
		[XRNPE_OPERAND_SCALE] = (uint8_t *)pass->memory[XRNPE_OPERAND_SCALE] +
					channel * o[XRNPE_OPERAND_SCALE].row_stride,
		[XRNPE_OPERAND_OFM] = table,
	};
	struct xrnpe_pass all = { .cmd = &cmd, .memory = memory, .codec = pass->codec };
	uint16_t count = (uint16_t)(1u << xrnpe_format_bits(in));
	uint32_t status = 0;

	/* Two of 4 bits are 0x10, 0x32 and so on. */
	for (size_t i = 0; i < xrnpe_row_bytes(in, count); i++)
		codes[i] = (uint8_t)(count == 16 ? 0x22 * i + 0x10 : i);
	for (uint8_t i = 0; i < 16; i++)
		codes2[i] = i;
	cmd.image = (struct xrnpe_dims_image){ .in_h = is_pair(pass) ? 16 : 1, .in_w = 1, .in_c = count };
	cmd.flags |= is_pair(pass) ? XRNPE_CMD_PER_PIXEL : 0;
	cmd.order = XRNPE_ORDER_HWC;
	if (!is_pair(pass))
		o[XRNPE_OPERAND_SCALE].row_stride = 0;
	o[XRNPE_OPERAND_IFM].row_stride = 0;
	o[XRNPE_OPERAND_IFM2].row_stride = 1;
	o[XRNPE_OPERAND_OFM].row_stride = (uint32_t)xrnpe_row_bytes(o[XRNPE_OPERAND_OFM].format, count);
	xrnpe_pass_plan(&all);
	for (uint64_t i = 0; i < all.tasks; i++)
		xrnpe_pass_run(&all, i, &status);
}

/* Whether it goes from codes to codes of Posit(8,0), in lines that are long enough. */
static bool suits_pairs8(const struct xrnpe_pass *pass)
{
	bool dense = pass->step[XRNPE_OPERAND_IFM][XRNPE_INNER] == pass->line &&
		     pass->step[XRNPE_OPERAND_OFM][XRNPE_INNER] == pass->line;

	return is_pair(pass) && pass->codec->sum && pass->line >= (dense ? SHORT / 4 : SHORT) &&
	       format_of(pass, XRNPE_OPERAND_IFM) == XRNPE_FORMAT_P8 &&
	       format_of(pass, XRNPE_OPERAND_IFM2) == XRNPE_FORMAT_P8 &&
	       format_of(pass, XRNPE_OPERAND_OFM) == XRNPE_FORMAT_P8;
}

/* Whether it goes from codes to codes of Posit(16,1), in lines that are long enough, as that has them. */
static bool suits_pairs16(const struct xrnpe_pass *pass)
{
	bool dense = pass->step[XRNPE_OPERAND_IFM][XRNPE_INNER] == pass->line * 2 &&
		     pass->step[XRNPE_OPERAND_OFM][XRNPE_INNER] == pass->line * 2;

	return pass->codec->words && !pass->transposed && !has_scales(pass) &&
	       pass->line >= (dense ? SHORT / 4 : SHORT) && format_of(pass, XRNPE_OPERAND_IFM) == XRNPE_FORMAT_P16 &&
	       (!is_pair(pass) || format_of(pass, XRNPE_OPERAND_IFM2) == XRNPE_FORMAT_P16) &&
	       format_of(pass, XRNPE_OPERAND_OFM) == XRNPE_FORMAT_P16 && xrnpe_affine_of(pass).normal;
}

/* Whether what becomes of the larger value is larger. */
static bool keeps_order(const struct xrnpe_pass *pass)
{
	return pass->cmd->opcode >= XRNPE_OP_MAX && pass->cmd->activation != XRNPE_ACT_LEAKY;
}

/* Have all codes of Posit(8,0) converted with scale record @record and the command's output stage. */
static void make_order(const struct xrnpe_pass *pass, size_t record, uint8_t table[256])
{
	uint8_t scale[sizeof(struct xrnpe_scale)] = { 0 }, codes[256];
	struct xrnpe_cmd cmd = *pass->cmd;
	void *memory[XRNPE_OPERANDS] = {
		[XRNPE_OPERAND_IFM] = codes, [XRNPE_OPERAND_SCALE] = scale, [XRNPE_OPERAND_OFM] = table,
	};
	struct xrnpe_pass all = { .cmd = &cmd, .memory = memory, .codec = pass->codec };
	uint32_t status = 0;

	xrnpe_store(XRNPE_FORMAT_F32, scale, 0, xrnpe_scale_word(pass, record, 0));
	for (size_t i = 0; i < sizeof(codes); i++)
		codes[i] = (uint8_t)i;
	cmd.opcode = XRNPE_OP_CONVERT;
	cmd.flags &= XRNPE_CMD_CLAMP;
	cmd.image = (struct xrnpe_dims_image){ .in_h = 1, .in_w = 1, .in_c = sizeof(codes) };
	cmd.operand[XRNPE_OPERAND_SCALE].row_stride = 0;
	xrnpe_pass_plan(&all);
	for (uint64_t i = 0; i < all.tasks; i++)
		xrnpe_pass_run(&all, i, &status);
}

static void plan(struct xrnpe_pass *pass)
{
	uint8_t table[256 * sizeof(float)], orders[2][256];
	size_t channels;

	xrnpe_pass_join(pass);
	if (suits_table(pass)) {
		make_table(pass, 0, table);
		if (is_pair(pass))
			xrnpe_pairs_plan(pass, table);
		else
			xrnpe_lut_plan(pass, table, format_of(pass, XRNPE_OPERAND_IFM) <= XRNPE_FORMAT_P4 ? 2 : 1);
		return;
	}
	if (has_scales(pass) && pass->codec->sum && xrnpe_channels_suit(pass) &&
	    pass->line * pass->lines >= WORTH_TABLE * (uint64_t)pass->cmd->image.in_c) {
		enum xrnpe_format out = format_of(pass, XRNPE_OPERAND_OFM);
		size_t size = out == XRNPE_FORMAT_P16 ? 512 : 256;

		for (size_t i = 0; i < pass->cmd->image.in_c; i++) {
			make_table(pass, i, table);
			if (out <= XRNPE_FORMAT_P4)
				xrnpe_unpack_nibbles(table, 0, size, pass->table + i * size);
			else
				memcpy(pass->table + i * size, table, size);
		}
		xrnpe_channels_plan(pass);
		return;
	}
	if (suits_pairs8(pass) && keeps_order(pass) && pass->line * pass->lines >= WORTH_TABLE) {
		make_order(pass, 0, orders[0]);
		make_order(pass, 1, orders[1]);
		xrnpe_pairs8_plan(pass, orders);
		return;
	}
	if (suits_pairs16(pass)) {
		xrnpe_pairs16_plan(pass);
		return;
	}
	channels = has_scales(pass) ? pass->cmd->image.in_c : 1;
	/* Factors must be used often enough to pay for their digits. */
	pass->is_fixed = pass->codec->fixed && channels * 8 <= BATCH &&
			 xrnpe_fixed_plan(pass, channels, &pass->fixed);
	if (pass->is_fixed && suits_pairs8(pass) && pass->cmd->opcode < XRNPE_OP_MAX) {
		xrnpe_pairs8_plan(pass, NULL);
		return;
	}
	xrnpe_pass_cut(pass, BATCH, channels);
}

const struct xrnpe_operation xrnpe_elementwise = { plan, run };

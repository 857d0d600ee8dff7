// SPDX-License-Identifier: MIT
/*
 * Element-wise commands in integers and floats against the plain codec, which goes code by code:
 * every pair of codes, every code, and factors and limits of all kinds. Tables and columns in
 * vectors, of every size.
 */
#include <stdlib.h>
#include <string.h>

#include "kernels/kernel.h"
#include "unit/datapath_tests.h"

#define MOST 65536	/* elements: the pairs of two codes of 8 bits */
#define CHANNELS 7

/* A command whose operands are a line of @count elements each, in pixels of @cmd's channels. */
struct work {
	struct xrnpe_cmd cmd;
	uint8_t a[2 * MOST], b[2 * MOST], scale[CHANNELS * sizeof(struct xrnpe_scale)];
	uint8_t expected[4 * MOST], got[4 * MOST];
	size_t count;
};

static void set_formats(struct work *work, enum xrnpe_format in, enum xrnpe_format in2, enum xrnpe_format out)
{
	struct xrnpe_operand *o = work->cmd.operand;

	o[XRNPE_OPERAND_IFM].format = (uint8_t)in;
	o[XRNPE_OPERAND_IFM2].format = (uint8_t)in2;
	o[XRNPE_OPERAND_SCALE].format = XRNPE_FORMAT_F32;
	o[XRNPE_OPERAND_OFM].format = (uint8_t)out;
}

/* Pixels of @channels: without gaps, so 4-bit codes want an even number. */
static void set_shape(struct work *work, size_t channels)
{
	struct xrnpe_cmd *cmd = &work->cmd;

	cmd->image = (struct xrnpe_dims_image){
		.in_h = 1, .in_w = (uint16_t)(work->count / channels), .in_c = (uint16_t)channels,
	};
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
		struct xrnpe_operand *o = &cmd->operand[i];

		if (i == XRNPE_OPERAND_SCALE)
			continue;
		o->pixel_stride = (uint32_t)xrnpe_row_bytes(o->format, channels);
		o->row_stride = o->pixel_stride * cmd->image.in_w;
	}
}

/* A number of @bits bits, near 1, of any sign. */
static float random_factor(uint64_t *state, unsigned int bits)
{
	float value = (float)(random_word(state) >> (32 - bits) | 1u << (bits - 1));

	value *= float_of((127 - bits + random_below(state, 8) - 4) << 23);
	return random_word(state) & 1 ? value : -value;
}

static void set_scale(struct work *work, size_t word, float value)
{
	xrnpe_store(XRNPE_FORMAT_F32, work->scale, word, bits_of(value));
}

/* ReLU or none, and limits in some cases: tie points and others. */
static void set_output(struct work *work, uint64_t *state)
{
	float lo = random_factor(state, 24), hi = random_factor(state, 3);

	work->cmd.activation = random_word(state) & 1 ? XRNPE_ACT_RELU : XRNPE_ACT_NONE;
	work->cmd.flags = random_below(state, 3) ? 0 : XRNPE_CMD_CLAMP;
	work->cmd.lo = work->cmd.flags ? bits_of(lo < hi ? lo : hi) : 0;
	work->cmd.hi = work->cmd.flags ? bits_of(lo < hi ? hi : lo) : 0;
}

/* Whether tables of pairs, or of each input and their order, do the command: if it and its lines are long. */
static bool is_tabled(const struct work *work)
{
	const struct xrnpe_operand *o = work->cmd.operand;
	uint16_t channels = work->cmd.image.in_c;
	bool dense = o[XRNPE_OPERAND_IFM].pixel_stride == channels;

	if (o[XRNPE_OPERAND_IFM].format <= XRNPE_FORMAT_P4 && o[XRNPE_OPERAND_IFM2].format <= XRNPE_FORMAT_P4)
		return work->count >= 4096 && work->cmd.opcode != XRNPE_OP_CONVERT &&
		       (!(work->cmd.flags & XRNPE_CMD_PER_PIXEL) || channels >= 32);
	return work->cmd.opcode >= XRNPE_OP_MAX && work->count >= 4096 && channels >= (dense ? 16 : 64) &&
	       o[XRNPE_OPERAND_IFM].format == XRNPE_FORMAT_P8 && o[XRNPE_OPERAND_IFM2].format == XRNPE_FORMAT_P8 &&
	       o[XRNPE_OPERAND_OFM].format == XRNPE_FORMAT_P8;
}

static uint32_t run(struct work *work, const struct xrnpe_codec *codec, uint8_t *out, bool fixed)
{
	void *memory[XRNPE_OPERANDS] = {
		[XRNPE_OPERAND_IFM] = work->a, [XRNPE_OPERAND_IFM2] = work->b,
		[XRNPE_OPERAND_SCALE] = work->scale, [XRNPE_OPERAND_OFM] = out,
	};
	struct xrnpe_pass pass = { .cmd = &work->cmd, .memory = memory, .codec = codec };
	uint32_t status = 0;

	xrnpe_pass_plan(&pass);
	ck_assert(pass.is_fixed == (fixed && codec->fixed && !is_tabled(work)));
	for (uint64_t i = 0; i < pass.tasks; i++)
		xrnpe_pass_run(&pass, i, &status);
	return status;
}

/* @fixed: whether integers are to be tried. */
static void check(struct work *work, bool fixed)
{
	enum xrnpe_format out = work->cmd.operand[XRNPE_OPERAND_OFM].format;
	size_t size = (size_t)work->cmd.image.in_h * work->cmd.operand[XRNPE_OPERAND_OFM].row_stride;
	size_t codes = size * 8 / xrnpe_format_bits(out);
	uint32_t status = run(work, &xrnpe_codec_plain, work->expected, false);

	for (const struct xrnpe_codec *const *codec = xrnpe_codecs; *codec; codec++) {
		if (!(*codec)->supported())
			continue;
		memset(work->got, 0xa5, size);
		ck_assert_uint_eq(run(work, *codec, work->got, fixed), status);
		for (size_t i = 0; memcmp(work->got, work->expected, size) && i < codes; i++)
			ck_assert_msg(xrnpe_load(out, work->got, i) == xrnpe_load(out, work->expected, i),
				      "%s, opcode %u, %s to %s, element %zu, scales %08x %08x, limits %08x %08x: %x, "
				      "expected %x", (*codec)->name, work->cmd.opcode,
				      xrnpe_format_name(work->cmd.operand[XRNPE_OPERAND_IFM].format),
				      xrnpe_format_name(out), i, xrnpe_word(work->scale, 0), xrnpe_word(work->scale, 2),
				      work->cmd.lo, work->cmd.hi, xrnpe_load(out, work->got, i),
				      xrnpe_load(out, work->expected, i));
	}
}

/* All codes of a format in turn, but NaR. */
static uint32_t nth_code(enum xrnpe_format format, size_t n)
{
	uint32_t code = (uint32_t)n & ((1u << xrnpe_format_bits(format)) - 1);

	return xrnpe_is_nar(format, code) ? 1 : code;
}

static void fill_pairs(struct work *work)
{
	enum xrnpe_format in = work->cmd.operand[XRNPE_OPERAND_IFM].format;
	enum xrnpe_format in2 = work->cmd.operand[XRNPE_OPERAND_IFM2].format;
	size_t codes = (size_t)1 << xrnpe_format_bits(in);

	work->count = codes << xrnpe_format_bits(in2);
	for (size_t i = 0; i < work->count; i++) {
		xrnpe_store(in, work->a, i, nth_code(in, i));
		xrnpe_store(in2, work->b, i, nth_code(in2, i / codes));
	}
	/* Tables do what is long and has few pairs, but not of short lines. */
	set_shape(work, 256);
}

/* Scales of one digit, of two and of three; of one power of two, and of many. */
static const unsigned int bits[][2] = { { 1, 1 }, { 8, 8 }, { 24, 1 }, { 24, 24 }, { 3, 20 }, { 24, 24 } };

#define TURNS (sizeof(bits) / sizeof(bits[0]))

START_TEST(pairs)
{
	static const uint8_t opcodes[] = { XRNPE_OP_ADD, XRNPE_OP_MUL, XRNPE_OP_MAX, XRNPE_OP_MIN };
	struct work *work = calloc(1, sizeof(*work));
	uint64_t state = 211 + (uint64_t)_i;

	set_formats(work, _i % 3, _i / 3 % 3, _i / 9);
	fill_pairs(work);
	for (size_t i = 0; i < sizeof(opcodes) * TURNS; i++) {
		if (i >= sizeof(opcodes) && trial_is_left_out(&state))
			continue;
		work->cmd.opcode = opcodes[i % sizeof(opcodes)];
		work->cmd.operand[XRNPE_OPERAND_SCALE].row_stride =
			work->cmd.opcode == XRNPE_OP_MUL ? 0 : sizeof(struct xrnpe_scale);
		set_output(work, &state);
		/* Of larger products of FP4 integers have no digits. */
		set_scale(work, 0, random_factor(&state, bits[i / sizeof(opcodes)][0]) *
				   (work->cmd.opcode == XRNPE_OP_MUL ? 0x1p-8f : 1));
		set_scale(work, 1, 0);
		set_scale(work, 2, random_factor(&state, bits[i / sizeof(opcodes)][1]));
		set_scale(work, 3, 0);
		check(work, true);
	}
	free(work);
}
END_TEST

/* Lines of all lengths, NaR among the codes: the second input has a code a pixel, or the same line for all. */
START_TEST(lines)
{
	static const uint8_t opcodes[] = { XRNPE_OP_ADD, XRNPE_OP_MUL, XRNPE_OP_MAX, XRNPE_OP_MIN };
	static const uint16_t channels[] = { 15, 16, 17, 30, 32, 63, 64, 65, 130, 512, 513, 1024, 1100, 9000 };
	static const uint8_t formats[][3] = {
		{ XRNPE_FORMAT_P8, XRNPE_FORMAT_P8, XRNPE_FORMAT_P8 },
		{ XRNPE_FORMAT_P4, XRNPE_FORMAT_FP4, XRNPE_FORMAT_P4 },
		{ XRNPE_FORMAT_FP4, XRNPE_FORMAT_FP4, XRNPE_FORMAT_P8 },
		{ XRNPE_FORMAT_P16, XRNPE_FORMAT_P16, XRNPE_FORMAT_P16 },
	};
	const uint8_t *format = formats[_i / 4];
	bool packed = format[0] <= XRNPE_FORMAT_P4, wide = format[0] == XRNPE_FORMAT_P16;
	struct work *work = calloc(1, sizeof(*work));
	struct xrnpe_operand *o = work->cmd.operand;
	uint64_t state = 261 + (uint64_t)_i;

	work->cmd.opcode = opcodes[_i % 4];
	set_formats(work, format[0], format[1], format[2]);
	o[XRNPE_OPERAND_SCALE].row_stride = work->cmd.opcode == XRNPE_OP_MUL ? 0 : sizeof(struct xrnpe_scale);
	for (size_t i = 0; i < sizeof(work->a); i++) {
		work->a[i] = (uint8_t)(random_below(&state, 500) ? random_word(&state) : 128);
		work->b[i] = (uint8_t)(random_below(&state, 500) ? random_word(&state) : 128);
	}
	for (size_t i = 0; wide && i < sizeof(work->a); i += 200) {
		memcpy(work->a + i, (uint8_t[]){ 0, 128 }, 2);
		memcpy(work->b + i * 7 % sizeof(work->b) / 2 * 2, (uint8_t[]){ 0, 128 }, 2);
	}
	for (size_t i = 0; i < 3 * sizeof(channels) / sizeof(channels[0]); i++) {
		size_t line = channels[i / 3];

		if (packed && line % 2)
			continue;
		work->count = line * (30000 / line + 3);
		set_shape(work, line);
		set_output(work, &state);
		if (i % 3 == 0) {
			work->cmd.flags |= XRNPE_CMD_PER_PIXEL;
			o[XRNPE_OPERAND_IFM2].pixel_stride = wide ? 2 : 1;
		} else if (i % 3 == 1) {
			o[XRNPE_OPERAND_IFM2].pixel_stride = 0;
		} else {
			o[XRNPE_OPERAND_IFM].pixel_stride += wide ? 6 : 3;
		}
		set_scale(work, 0, random_factor(&state, 24) * (work->cmd.opcode == XRNPE_OP_MUL ? 0x1p-8f : 1));
		set_scale(work, 1, 0);
		set_scale(work, 2, random_factor(&state, 24));
		set_scale(work, 3, 0);
		check(work, !wide);
	}
	free(work);
}
END_TEST

/* Sums that are tie points or as little beside as three digits have. */
START_TEST(near_ties)
{
	struct work *work = calloc(1, sizeof(*work));
	uint64_t state = 231 + (uint64_t)_i;

	work->cmd.opcode = XRNPE_OP_ADD;
	work->cmd.operand[XRNPE_OPERAND_SCALE].row_stride = sizeof(struct xrnpe_scale);
	set_formats(work, XRNPE_FORMAT_P8, XRNPE_FORMAT_P4, _i);
	fill_pairs(work);
	for (int i = 0; i < 12; i++) {
		set_scale(work, 0, (float)(2 * random_below(&state, 16) + 1) * 0x1p-3f);
		set_scale(work, 2, float_of((127 - 4 - 2 * (uint32_t)i) << 23));
		check(work, true);
	}
	free(work);
}
END_TEST

/* Every code with the scale and the bias of every channel, and in the last turn with zeros. */
START_TEST(conversions)
{
	static const uint8_t formats[] = {
		XRNPE_FORMAT_FP4, XRNPE_FORMAT_P4, XRNPE_FORMAT_P8, XRNPE_FORMAT_U8, XRNPE_FORMAT_S8,
	};
	struct work *work = calloc(1, sizeof(*work));
	uint64_t state = 221 + (uint64_t)_i;

	work->cmd.opcode = XRNPE_OP_CONVERT;
	work->cmd.operand[XRNPE_OPERAND_SCALE].row_stride = sizeof(struct xrnpe_scale);
	set_formats(work, formats[_i % 5], XRNPE_FORMAT_FP4, _i / 5);
	for (size_t turn = 0; turn <= TURNS; turn++) {
		size_t channels = turn % CHANNELS + 1;

		work->count = channels * 256;
		for (size_t i = 0; i < work->count; i++)
			xrnpe_store(formats[_i % 5], work->a, i, nth_code(formats[_i % 5], i / channels));
		for (size_t i = 0; i < 2 * channels; i++)
			set_scale(work, i, turn == TURNS ? 0 : random_factor(&state, bits[turn][i % 2]));
		set_output(work, &state);
		set_shape(work, channels);
		if (channels % 2 && (formats[_i % 5] <= XRNPE_FORMAT_P4 || _i / 5 <= XRNPE_FORMAT_P4))
			continue;
		check(work, true);
	}
	free(work);
}
END_TEST

/* Whether CONVERT is done by tables, of all channels or of each of few ones; not where a NaR is to be reported. */
static bool is_converted_by_table(const struct work *work)
{
	const struct xrnpe_operand *o = work->cmd.operand;
	enum xrnpe_format in = o[XRNPE_OPERAND_IFM].format, out = o[XRNPE_OPERAND_OFM].format;

	if (out == XRNPE_FORMAT_FP4 && (in == XRNPE_FORMAT_P4 || in == XRNPE_FORMAT_P8))
		return false;
	if (!o[XRNPE_OPERAND_SCALE].row_stride)
		return work->cmd.order == XRNPE_ORDER_HWC;
	return work->cmd.image.in_c <= XRNPE_TABLE_CHANNELS && xrnpe_format_bits(in) == 8;
}

/*
 * Every code by a table, or one for each of few channels: pixels, also of an odd number of codes of 4 bits,
 * rows with gaps, and planes.
 */
START_TEST(few_channels)
{
	static const uint8_t formats[] = {
		XRNPE_FORMAT_P8, XRNPE_FORMAT_U8, XRNPE_FORMAT_S8, XRNPE_FORMAT_FP4, XRNPE_FORMAT_P4,
	};
	enum { ROWS = 3 };
	struct work *work = calloc(1, sizeof(*work));
	struct xrnpe_operand *o = work->cmd.operand;
	size_t channels = (size_t)_i % 5 + 1;
	enum xrnpe_format in = formats[_i / 5 % 5], out = _i / 25;
	uint64_t state = 281 + (uint64_t)_i;

	work->cmd.opcode = XRNPE_OP_CONVERT;
	set_formats(work, in, XRNPE_FORMAT_FP4, out);
	for (size_t i = 0; i < sizeof(work->a); i++)
		work->a[i] = (uint8_t)(i / channels + i / 2048);
	for (int layout = 0; layout < 4; layout++) {
		/* Beyond the largest part, and not a multiple of any vector. */
		size_t width = 5011 + (size_t)layout;

		if (layout && trial_is_left_out(&state))
			continue;
		work->count = ROWS * width * channels;
		set_shape(work, channels);
		work->cmd.image.in_h = ROWS;
		work->cmd.image.in_w = (uint16_t)width;
		for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
			if (i != XRNPE_OPERAND_SCALE)
				o[i].row_stride = (uint32_t)(width * o[i].pixel_stride);
		}
		o[XRNPE_OPERAND_SCALE].row_stride = layout == 3 ? 0 : sizeof(struct xrnpe_scale);
		work->cmd.order = layout == 2 ? XRNPE_ORDER_CHW : XRNPE_ORDER_HWC;
		if (layout == 1) {
			o[XRNPE_OPERAND_IFM].row_stride += 7;
		} else if (layout == 2) {
			o[XRNPE_OPERAND_IFM].pixel_stride = (uint32_t)xrnpe_row_bytes(in, width);
			o[XRNPE_OPERAND_IFM].row_stride = ROWS * o[XRNPE_OPERAND_IFM].pixel_stride + 5;
		}
		for (size_t i = 0; i < 2 * channels; i++)
			set_scale(work, i, random_factor(&state, 24) * (i % 2 ? 0.25f : 0x1p-5f));
		set_output(work, &state);
		check(work, out <= XRNPE_FORMAT_P8 && !is_converted_by_table(work));
	}
	free(work);
}
END_TEST

/*
 * Every code of Posit(16,1) with itself or another one, which floats and doubles do, with scales that
 * are, and in the last turn are not, far from the ends of binary32's range.
 */
START_TEST(wide)
{
	static const uint8_t opcodes[] = {
		XRNPE_OP_CONVERT, XRNPE_OP_ADD, XRNPE_OP_MUL, XRNPE_OP_MAX, XRNPE_OP_MIN,
	};
	struct work *work = calloc(1, sizeof(*work));
	uint8_t opcode = opcodes[_i % 5];
	bool two_scales = opcode != XRNPE_OP_CONVERT && opcode != XRNPE_OP_MUL;
	uint64_t state = 251 + (uint64_t)_i;

	work->cmd.opcode = opcode;
	work->count = MOST;
	work->cmd.operand[XRNPE_OPERAND_SCALE].row_stride = two_scales ? sizeof(struct xrnpe_scale) : 0;
	for (size_t turn = 0; turn <= TURNS; turn++) {
		enum xrnpe_format in2 = turn % 2 ? XRNPE_FORMAT_P8 : XRNPE_FORMAT_P16;
		float times = turn == TURNS ? 0x1p-100f : 1;

		if (turn > 1 && trial_is_left_out(&state))
			continue;
		set_formats(work, XRNPE_FORMAT_P16, in2, _i / 5);
		for (size_t i = 0; i < work->count; i++) {
			xrnpe_store(XRNPE_FORMAT_P16, work->a, i, nth_code(XRNPE_FORMAT_P16, i));
			xrnpe_store(in2, work->b, i, nth_code(in2, turn % 4 < 2 ? i : random_word(&state)));
		}
		/* NaR in either input. */
		xrnpe_store(XRNPE_FORMAT_P16, work->a, 1000, 0x8000);
		xrnpe_store(in2, work->b, 2000, 1u << (xrnpe_format_bits(in2) - 1));
		set_output(work, &state);
		set_scale(work, 0, random_factor(&state, bits[turn % TURNS][0]) * times);
		set_scale(work, 1, two_scales ? 0 :
				   random_factor(&state, bits[turn % TURNS][1]) * times);
		set_scale(work, 2, random_factor(&state, bits[turn % TURNS][1]) * times);
		set_scale(work, 3, 0);
		set_shape(work, 256);
		check(work, false);
	}
	free(work);
}
END_TEST

/* A scale as far from one as words() allows, zero, of few bits or of many. */
static float moderate_factor(uint64_t *state)
{
	uint32_t sign = random_word(state) << 31;

	switch (random_below(state, 6)) {
	case 0:
		return float_of(sign | (127 + random_below(state, 9) - 4) << 23);
	case 1:
		return float_of(sign | (127 - 47 + random_below(state, 47 + 70)) << 23 | (random_word(state) & 0x7fffff));
	case 2:
		return float_of(sign);
	default:
		return random_factor(state, 12 + 12 * random_below(state, 2));
	}
}

/* Pairs of codes of Posit(16,1): any, of few bits, and the second one next to the first. */
static void random_words(uint64_t *state, uint8_t *a, uint8_t *b, size_t count)
{
	uint32_t kind = random_below(state, 4);

	for (size_t i = 0; i < count; i++) {
		uint16_t x = (uint16_t)random_word(state), y = (uint16_t)random_word(state);

		x &= kind == 1 ? 0xff00 : UINT16_MAX;
		if (kind == 2)
			y = (uint16_t)(x + random_below(state, 5) - 2);
		xrnpe_store(XRNPE_FORMAT_P16, a, i, x);
		xrnpe_store(XRNPE_FORMAT_P16, b, i, kind == 3 ? 0x4000 : y);
	}
}

/* Codes of Posit(16,1) to such, any number of them, against the doubles of the codec that all hosts have. */
static void check_words(const struct xrnpe_codec *codec, uint8_t opcode)
{
	enum { COUNT = 2048 };
	const struct xrnpe_codec *other = xrnpe_codecs[1];
	struct xrnpe_affine affine = { .opcode = opcode, .odd = true, .normal = true };
	bool pair = opcode != XRNPE_OP_CONVERT;
	uint8_t a[2 * COUNT], b[2 * COUNT], right[2 * COUNT], got[2 * COUNT + 2];
	float x[COUNT], y[COUNT];
	uint64_t state = 291 + opcode;

	for (int turn = 0; turn < 1000; turn++) {
		size_t count = COUNT - random_below(&state, 70);
		uint32_t limits = random_below(&state, 4), status = 0;

		affine.scale = moderate_factor(&state);
		/* A sum that cancels, a product with a bias or none. */
		affine.other = turn % 4 == 0 ? -affine.scale : moderate_factor(&state);
		if (opcode == XRNPE_OP_MUL && turn % 4)
			affine.other = 0;
		affine.activation = random_below(&state, 2) ? XRNPE_ACT_RELU : XRNPE_ACT_NONE;
		affine.lo = limits & 1 ? random_factor(&state, 24) : -__builtin_inff();
		affine.hi = limits & 2 ? affine.lo + 1 : __builtin_inff();
		affine.hi = limits == 2 ? random_factor(&state, 24) : affine.hi;
		random_words(&state, a, b, COUNT);
		other->decode(XRNPE_FORMAT_P16, a, x, COUNT);
		other->decode(XRNPE_FORMAT_P16, b, y, COUNT);
		other->sum(&affine, x, pair ? y : NULL, COUNT);
		other->encode(XRNPE_FORMAT_P16, x, right, COUNT, &status);
		memset(got, 0xa5, sizeof(got));
		codec->words(&affine, a, pair ? b : NULL, 1, got, count);
		for (size_t i = 0; i < count && memcmp(got, right, 2 * count); i++)
			ck_assert_msg(!memcmp(got + 2 * i, right + 2 * i, 2), "%s, opcode %u, %x and %x, scales %a %a, "
				      "limits %a %a: %x, expected %x", codec->name, opcode,
				      xrnpe_load(XRNPE_FORMAT_P16, a, i), xrnpe_load(XRNPE_FORMAT_P16, b, i),
				      (double)affine.scale, (double)affine.other, (double)affine.lo, (double)affine.hi,
				      xrnpe_load(XRNPE_FORMAT_P16, got, i), xrnpe_load(XRNPE_FORMAT_P16, right, i));
		ck_assert_uint_eq(got[2 * count], 0xa5);
	}
}

START_TEST(words)
{
	static const uint8_t opcodes[] = {
		XRNPE_OP_CONVERT, XRNPE_OP_ADD, XRNPE_OP_MUL, XRNPE_OP_MAX, XRNPE_OP_MIN,
	};

	for (const struct xrnpe_codec *const *codec = xrnpe_codecs; *codec; codec++) {
		if ((*codec)->supported() && (*codec)->words)
			check_words(*codec, opcodes[_i]);
	}
}
END_TEST

/* What integers do not do: a NaR, a bias of MUL, and scales that are too large, small or different. */
START_TEST(otherwise)
{
	static const struct {
		enum xrnpe_opcode opcode;
		float word[4];
		bool fixed;
	} cases[] = {
		{ XRNPE_OP_ADD, { 0.3f, 0, 0.7f, 0 }, true }, { XRNPE_OP_MUL, { 0.3f, 0, 0, 0 }, true },
		{ XRNPE_OP_MUL, { 0.3f, 0x1p-30f, 0, 0 }, false }, { XRNPE_OP_ADD, { 0x1p20f, 0, 1, 0 }, false },
		{ XRNPE_OP_ADD, { 0x1p-60f, 0, 1, 0 }, false }, { XRNPE_OP_ADD, { 0x1p-40f, 0, 0x1p-40f, 0 }, false },
		{ XRNPE_OP_MAX, { 0x1p-149f, 0, -0x1p127f, 0 }, false }, { XRNPE_OP_ADD, { 0, 0, 0, 0 }, true },
	};
	struct work *work = calloc(1, sizeof(*work));

	set_formats(work, XRNPE_FORMAT_P8, XRNPE_FORMAT_P8, _i);
	fill_pairs(work);
	work->a[300] = 128;
	work->b[40000] = 128;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		work->cmd.opcode = (uint8_t)cases[i].opcode;
		work->cmd.operand[XRNPE_OPERAND_SCALE].row_stride =
			cases[i].opcode == XRNPE_OP_MUL ? 0 : sizeof(struct xrnpe_scale);
		for (size_t j = 0; j < 4; j++)
			set_scale(work, j, cases[i].word[j]);
		check(work, cases[i].fixed);
	}
	free(work);
}
END_TEST

/* Have tables at random, and all bytes, then more of them, to look up there. */
static void fill(uint8_t *tables, size_t table_size, uint8_t *in, size_t count, uint64_t *state)
{
	for (size_t i = 0; i < table_size; i++)
		tables[i] = (uint8_t)random_word(state);
	for (size_t i = 0; i < count; i++)
		in[i] = (uint8_t)(i < 256 ? i : random_word(state));
}

/* Any number of bytes, anywhere, by tables of bytes and of pairs. */
START_TEST(tables)
{
	uint8_t table[512], in[700], got[1400];
	uint64_t state = 241;

	fill(table, sizeof(table), in, sizeof(in), &state);
	for (const struct xrnpe_codec *const *codec = xrnpe_codecs; *codec; codec++) {
		if (!(*codec)->supported())
			continue;
		for (size_t count = 0; count <= sizeof(in) - 3; count++) {
			const uint8_t *from = in + count % 4;

			memset(got, 0xa5, sizeof(got));
			(*codec)->map_bytes(table, from, got, count);
			for (size_t i = 0; i < count; i++)
				ck_assert_uint_eq(got[i], table[from[i]]);
			ck_assert_uint_eq(got[count], 0xa5);
			(*codec)->map_pairs(table, from, got, count);
			for (size_t i = 0; i < count; i++)
				ck_assert(!memcmp(got + 2 * i, table + 2 * from[i], 2));
			ck_assert_uint_eq(got[2 * count], 0xa5);
		}
	}
}
END_TEST

/* The same of channels in turn. */
START_TEST(channel_tables)
{
	uint8_t table[512 * XRNPE_TABLE_CHANNELS], in[700], got[1400 + 1];
	uint64_t state = 242;
	size_t channels = (size_t)_i;

	fill(table, sizeof(table), in, sizeof(in), &state);
	for (const struct xrnpe_codec *const *codec = xrnpe_codecs; *codec; codec++) {
		if (!(*codec)->supported())
			continue;
		for (size_t count = 0; count <= 2 * sizeof(in); count++) {
			size_t size = count % 2 + 1, some = count / 2;

			memset(got, 0xa5, sizeof(got));
			(*codec)->map_channels(table, channels, size, in, got, some);
			for (size_t i = 0; i < some; i++)
				ck_assert(!memcmp(got + i * size, table + (i % channels * 256 + in[i]) * size, size));
			ck_assert_uint_eq(got[some * size], 0xa5);
		}
	}
}
END_TEST

/* Any number of lines of 3 codes, and of other numbers of them. */
START_TEST(packed_lines)
{
	enum { MOST_LINES = 40 };
	uint8_t codes[9 * MOST_LINES], got[5 * MOST_LINES + 1];
	size_t line = (size_t)_i, bytes = (line + 1) / 2;

	for (size_t i = 0; i < sizeof(codes); i++)
		codes[i] = (i * 7 + i / 16) & 15;
	for (const struct xrnpe_codec *const *codec = xrnpe_codecs; *codec; codec++) {
		if (!(*codec)->supported())
			continue;
		for (size_t rows = 1; rows <= MOST_LINES; rows++) {
			memset(got, 0xa5, sizeof(got));
			xrnpe_pack_lines(*codec, codes, line, got, rows);
			for (size_t i = 0; i < rows * bytes; i++) {
				const uint8_t *from = codes + i / bytes * line + i % bytes * 2;
				bool single = line % 2 && i % bytes == bytes - 1;

				ck_assert_uint_eq(got[i], single ? from[0] : from[0] | from[1] << 4);
			}
			ck_assert_uint_eq(got[rows * bytes], 0xa5);
		}
	}
}
END_TEST

/* Few and many rows of bytes as columns, which leave what is after the last one. */
START_TEST(few_rows)
{
	enum { MOST_ROWS = 20, MOST_COLUMNS = 100 };
	uint8_t from[MOST_ROWS * MOST_COLUMNS], to[MOST_ROWS * MOST_COLUMNS + 1];
	size_t rows = (size_t)_i;

	for (size_t i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)(i * 37 + i / 256);
	for (size_t columns = 1; columns <= MOST_COLUMNS; columns++) {
		memset(to, 0xa5, sizeof(to));
		xrnpe_copy_columns(XRNPE_FORMAT_P8, from, MOST_COLUMNS, 0, to, rows, 0, rows, columns);
		for (size_t i = 0; i < rows * columns; i++)
			ck_assert_uint_eq(to[i], from[i % rows * MOST_COLUMNS + i / rows]);
		ck_assert_uint_eq(to[rows * columns], 0xa5);
	}
}
END_TEST

TCase *datapath_fixed_tests(void)
{
	TCase *tests = tcase_create("fixed");

	tcase_set_timeout(tests, 300);
	tcase_set_tags(tests, "cpu");
	tcase_add_loop_test(tests, pairs, 0, 27);
	tcase_add_loop_test(tests, lines, 0, 16);
	tcase_add_loop_test(tests, near_ties, 0, 3);
	tcase_add_loop_test(tests, conversions, 0, 15);
	tcase_add_loop_test(tests, few_channels, 0, 25 * (XRNPE_FORMAT_P16 + 1));
	tcase_add_loop_test(tests, wide, 0, 5 * XRNPE_OUTPUT_FORMATS);
	tcase_add_loop_test(tests, words, 0, 5);
	tcase_add_loop_test(tests, otherwise, 0, 3);
	tcase_add_test(tests, tables);
	tcase_add_loop_test(tests, channel_tables, 1, XRNPE_TABLE_CHANNELS + 1);
	tcase_add_loop_test(tests, packed_lines, 1, 10);
	tcase_add_loop_test(tests, few_rows, 1, 21);
	return tests;
}

// SPDX-License-Identifier: MIT
/*
 * CONVERT, ADD and MUL where rounding is hard, by every codec that this CPU runs, against
 * the reference: results on tie points and just beside.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernel.h"
#include "reference/reference.h"
#include "unit/datapath_tests.h"

#define LINE 1024

/* A command of @count elements in lines of LINE, or in one that is shorter. */
struct elementwise {
	struct xrnpe_cmd cmd;
	size_t count;
	uint8_t *a, *b, scale[16];
};

static struct elementwise new_elementwise(enum xrnpe_opcode opcode, enum xrnpe_format in,
					  enum xrnpe_format out, size_t count)
{
	size_t line = count < LINE ? count : LINE, lines = (count + line - 1) / line;
	struct elementwise e = {
		.cmd = { .opcode = (uint8_t)opcode, .image = { .in_h = (uint16_t)lines, .in_w = 1,
							       .in_c = (uint16_t)line } },
		.count = lines * line,
	};

	for (int i = 0; i < XRNPE_OPERANDS; i++) {
		struct xrnpe_operand *o = &e.cmd.operand[i];

		o->format = (uint8_t)(i == XRNPE_OPERAND_SCALE ? XRNPE_FORMAT_F32 :
				      i == XRNPE_OPERAND_OFM ? out : in);
		o->row_stride = o->pixel_stride = (uint32_t)xrnpe_row_bytes(o->format, line);
		if (i == XRNPE_OPERAND_SCALE)
			o->row_stride = opcode == XRNPE_OP_CONVERT ? 0 : sizeof(struct xrnpe_scale);
	}
	e.a = calloc(e.count, 4);
	e.b = calloc(e.count, 4);
	return e;
}

static void free_elementwise(struct elementwise *e)
{
	free(e->a);
	free(e->b);
}

/* The words of a scale or bias. */
static void set_scale(struct elementwise *e, size_t index, float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	xrnpe_store(XRNPE_FORMAT_F32, e->scale, index, bits);
}

static void check(struct elementwise *e)
{
	enum xrnpe_format out = e->cmd.operand[XRNPE_OPERAND_OFM].format;
	size_t size = xrnpe_row_bytes(out, e->count);
	uint8_t *expected = calloc(size, 1), *got = malloc(size);
	void *memory[XRNPE_OPERANDS] = {
		[XRNPE_OPERAND_IFM] = e->a, [XRNPE_OPERAND_IFM2] = e->b,
		[XRNPE_OPERAND_SCALE] = e->scale, [XRNPE_OPERAND_OFM] = expected,
	};
	bool invalid = false;

	ref_run(&e->cmd, memory, &invalid);
	memory[XRNPE_OPERAND_OFM] = got;
	for (const struct xrnpe_codec *const *codec = xrnpe_codecs; *codec; codec++) {
		struct xrnpe_pass pass = { .cmd = &e->cmd, .memory = memory, .codec = *codec };
		uint32_t status = 0;

		if (!(*codec)->supported())
			continue;
		memset(got, 0xa5, size);
		xrnpe_pass_plan(&pass);
		for (uint64_t i = 0; i < pass.tasks; i++)
			xrnpe_pass_run(&pass, i, &status);
		for (size_t i = 0; memcmp(got, expected, size) && i < e->count; i++) {
			uint32_t code = ref_load(out, got, i), right = ref_load(out, expected, i);

			ck_assert_msg(code == right, "%s to %s, element %zu, scale %08x, other %08x: "
				      "%x, expected %x", (*codec)->name, xrnpe_format_name(out), i,
				      ref_load(XRNPE_FORMAT_F32, e->scale, 0),
				      ref_load(XRNPE_FORMAT_F32, e->scale, 1), code, right);
		}
		ck_assert_mem_eq(got, expected, size);
		ck_assert_uint_eq(status, invalid ? XRNPE_STATUS_INVALID : 0);
	}
	free(expected);
	free(got);
}

/*
 * The last binary32 of each interval that rounds to one code and the first of the next:
 * among them are the ties. The bias changes the last bit that matters, or none.
 */
START_TEST(convert_ties)
{
	static const float scales[][2] = {
		{ 1, 0x1p-149f }, { -1, 0x1p-149f }, { 0x1p-40f, 0 }, { 1, -0x1p-60f },
	};
	enum xrnpe_format out = (enum xrnpe_format)_i;
	struct ref_interval *intervals = malloc(REF_INTERVALS * sizeof(*intervals));
	size_t count = ref_intervals(out, intervals);
	struct elementwise e = new_elementwise(XRNPE_OP_CONVERT, XRNPE_FORMAT_F32, out, 2 * count);

	for (size_t turn = 0; turn < sizeof(scales) / sizeof(scales[0]); turn++) {
		for (size_t i = 0; i < count; i++) {
			uint32_t first = intervals[i].first, last = intervals[i].last;

			/* Larger by the power of two that the scale divides by. */
			if (scales[turn][0] == 0x1p-40f && (first >> 23 & 255) < 200)
				first += 40 << 23;
			xrnpe_store(XRNPE_FORMAT_F32, e.a, 2 * i, first);
			xrnpe_store(XRNPE_FORMAT_F32, e.a, 2 * i + 1, last);
		}
		set_scale(&e, 0, scales[turn][0]);
		set_scale(&e, 1, scales[turn][1]);
		check(&e);
	}
	free_elementwise(&e);
	free(intervals);
}
END_TEST

/* Products that lie midway between binary32 values, and the smallest biases. */
START_TEST(convert_ties_f32)
{
	struct elementwise e = new_elementwise(XRNPE_OP_CONVERT, XRNPE_FORMAT_F32, XRNPE_FORMAT_F32, 3 * LINE);
	static const float biases[] = { 0, 0x1p-149f, -0x1p-149f };
	uint64_t state = 161;

	for (size_t i = 0; i < e.count; i++)
		/* 3/2 of an odd significand below 2^25 / 3 has 25 bits. */
		xrnpe_store(XRNPE_FORMAT_F32, e.a, i, random_word(&state) % 254 << 23 |
			    random_below(&state, 0x2a0000) | 1 | (random_word(&state) & 1) << 31);
	set_scale(&e, 0, 1.5f);
	for (size_t i = 0; i < 3; i++) {
		set_scale(&e, 1, biases[i]);
		check(&e);
	}
	free_elementwise(&e);
}
END_TEST

/* The binary32 of tie point @tie, or one whose product with 1.5 is midway between two others. */
static uint32_t tie_factor(enum xrnpe_format out, uint32_t tie, uint64_t *state)
{
	if (out == XRNPE_FORMAT_F32)
		return random_word(state) % 254 << 23 | random_below(state, 0x2a0000) | 1;
	return ref_encode(XRNPE_FORMAT_F32, ref_tie(out, tie), NULL);
}

/* One of the terms is a tie point, the other one nothing or next to it. Lines are long enough for vectors. */
START_TEST(add_ties)
{
	enum xrnpe_format out = (enum xrnpe_format)_i;
	uint32_t top = out == XRNPE_FORMAT_F32 ? 500 : ref_top(out), step = out == XRNPE_FORMAT_P16 ? 13 : 1;
	uint64_t state = 171;

	for (uint32_t tie = 0; tie < top; tie += step) {
		enum xrnpe_format in = tie % XRNPE_FORMAT_F32;
		struct elementwise e = new_elementwise(XRNPE_OP_ADD, in, out, 3 * 6);
		uint32_t status = 0;

		for (size_t i = 0; i < e.count; i++) {
			double x = out == XRNPE_FORMAT_F32 ? 1.5 : 1;

			xrnpe_store(in, e.a, i, xrnpe_encode(in, i % 6 < 3 ? x : -x, &status));
			xrnpe_store(in, e.b, i, xrnpe_encode(in, (double)(i % 3) - 1, &status));
		}
		xrnpe_store(XRNPE_FORMAT_F32, e.scale, 0, tie_factor(out, tie, &state));
		set_scale(&e, 2, ldexpf(1, -(int)random_below(&state, 100) - 50));
		check(&e);
		free_elementwise(&e);
	}
}
END_TEST

/* A product that is a tie point, and a bias that is nothing or next to it. */
START_TEST(mul_ties)
{
	enum xrnpe_format out = (enum xrnpe_format)_i;
	uint32_t top = out == XRNPE_FORMAT_F32 ? 500 : ref_top(out), step = out == XRNPE_FORMAT_P16 ? 13 : 1;
	uint64_t state = 181;

	for (uint32_t tie = 0; tie < top; tie += step) {
		/* All formats have 1, -1 and 1.5, but Posit(4,1). */
		enum xrnpe_format in = out == XRNPE_FORMAT_F32 ? XRNPE_FORMAT_P8 : tie % XRNPE_FORMAT_F32;
		struct elementwise e = new_elementwise(XRNPE_OP_MUL, in, out, 4 * 4);
		static const float biases[] = { 0, 0x1p-100f, -0x1p-100f };
		uint32_t status = 0;

		e.cmd.operand[XRNPE_OPERAND_SCALE].row_stride = 0;
		for (size_t i = 0; i < e.count; i++) {
			xrnpe_store(in, e.a, i, xrnpe_encode(in, i % 2 ? -1 : 1, &status));
			xrnpe_store(in, e.b, i, xrnpe_encode(in, (out == XRNPE_FORMAT_F32 ? 1.5 : 1) *
							     (i % 4 < 2 ? 1 : -1), &status));
		}
		xrnpe_store(XRNPE_FORMAT_F32, e.scale, 0, tie_factor(out, tie, &state));
		set_scale(&e, 1, biases[tie % 3]);
		check(&e);
		free_elementwise(&e);
	}
}
END_TEST

/*
 * Negative values times a slope that is a tie point: exactly that, or off by as little as
 * leaves a doubt.
 */
START_TEST(leaky_ties)
{
	enum xrnpe_format out = (enum xrnpe_format)_i;
	uint32_t top = out == XRNPE_FORMAT_F32 ? 500 : ref_top(out), step = out == XRNPE_FORMAT_P16 ? 7 : 1;
	uint64_t state = 191;

	for (uint32_t tie = 0; tie < top; tie += step) {
		static const float biases[] = { 0, 0x1p-30f, -0x1p-54f, 0x1p-60f, -0x1p-100f, 0x1p-149f };
		struct elementwise e = new_elementwise(XRNPE_OP_CONVERT, XRNPE_FORMAT_F32, out, 4);

		for (size_t i = 0; i < e.count; i++)
			xrnpe_store(XRNPE_FORMAT_F32, e.a, i, i % 2 ? 0xbfc00000 : 0xbf800000);	/* -1.5, -1 */
		e.cmd.activation = XRNPE_ACT_LEAKY;
		e.cmd.slope = tie_factor(out, tie, &state) ^ (tie & 1) << 31;
		set_scale(&e, 0, 1);
		set_scale(&e, 1, biases[tie % 6]);
		check(&e);
		free_elementwise(&e);
	}
}
END_TEST

/*
 * Three times a value that is a third of a tie point, but for some 2^-60 of it: doubles do not
 * tell on which side it is. Such a value is the sum of a bias and the best of many products.
 */
START_TEST(leaky_doubts)
{
	enum xrnpe_format out = (enum xrnpe_format)_i;
	struct elementwise e = new_elementwise(XRNPE_OP_CONVERT, XRNPE_FORMAT_F32, out, 1);
	uint64_t state = 201;

	e.cmd.activation = XRNPE_ACT_LEAKY;
	e.cmd.slope = bits_of(3);
	for (int i = 0; i < 60; i++) {
		uint32_t tie = tie_factor(out, random_below(&state, ref_top(out)), &state);
		long double third = (long double)float_of(tie) / 3, best = third;

		if (!tie)
			continue;
		for (int try = 0; try < 4000; try++) {
			float scale = float_of(0x3f800000 | random_below(&state, 1 << 23));
			float value = (float)(third / (long double)scale);
			long double rest = third - (long double)value * (long double)scale;

			if ((rest < 0 ? -rest : rest) >= best)
				continue;
			best = rest < 0 ? -rest : rest;
			xrnpe_store(XRNPE_FORMAT_F32, e.a, 0, bits_of(-value));
			set_scale(&e, 0, scale);
			set_scale(&e, 1, (float)-rest);
		}
		check(&e);
	}
	free_elementwise(&e);
}
END_TEST

TCase *datapath_elementwise_tests(void)
{
	TCase *tests = tcase_create("elementwise");

	tcase_set_timeout(tests, 300);
	tcase_set_tags(tests, "cpu");
	tcase_add_loop_test(tests, convert_ties, 0, XRNPE_FORMAT_F32);
	tcase_add_test(tests, convert_ties_f32);
	tcase_add_loop_test(tests, add_ties, 0, XRNPE_OUTPUT_FORMATS);
	tcase_add_loop_test(tests, mul_ties, 0, XRNPE_OUTPUT_FORMATS);
	tcase_add_loop_test(tests, leaky_ties, 0, XRNPE_OUTPUT_FORMATS);
	tcase_add_loop_test(tests, leaky_doubts, 0, XRNPE_FORMAT_F32);
	return tests;
}

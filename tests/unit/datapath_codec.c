// SPDX-License-Identifier: MIT
/*
 * Rows of values to codes and back: every implementation that this CPU runs against
 * xrnpe_encode() and xrnpe_decode(), which datapath_format.c compares with the reference,
 * as it does all of them at every tie point.
 */
#include <stdlib.h>
#include <string.h>

#include "kernels/kernel.h"
#include "unit/datapath_tests.h"

#define GUARD 0xa5

static float value_of(enum xrnpe_format format, uint32_t code)
{
	return xrnpe_is_nar(format, code) ? float_of(0x7fc00000) :
					    (float)xrnpe_decode(format, code);
}

/* The row and status of @values, and its values again. */
struct expected {
	uint8_t row[4096 * sizeof(float)];
	float values[4096];
	uint32_t status;
};

static void expect(enum xrnpe_format format, const float *values, size_t count,
		   struct expected *expected)
{
	memset(expected, GUARD, sizeof(*expected));
	expected->status = 0;
	for (size_t i = 0; i < count; i++) {
		uint32_t code = xrnpe_encode(format, (double)values[i], &expected->status);

		xrnpe_store(format, expected->row, i, code);
		expected->values[i] = value_of(format, code);
	}
}

/*
 * Both ways with every implementation. Buffers have just the size that is needed, and
 * rows start @align bytes from where allocated memory does.
 */
static void check_row(enum xrnpe_format format, const float *values, size_t count, size_t align)
{
	static struct expected expected;
	size_t bytes = xrnpe_row_bytes(format, count);
	float *input = malloc(count * sizeof(*input) + 1), *output = malloc(count * sizeof(*output) + 1);
	uint8_t *row = malloc(align + bytes + 1);

	expect(format, values, count, &expected);
	memcpy(input, values, count * sizeof(*input));
	for (const struct xrnpe_codec *const *codec = xrnpe_codecs; *codec; codec++) {
		uint32_t status = 1u << 31;	/* it is or-ed in */
		size_t i = 0;

		if (!(*codec)->supported())
			continue;
		memset(row, GUARD, align + bytes);
		memset(output, GUARD, count * sizeof(*output));
		(*codec)->encode(format, input, row + align, count, &status);
		while (i < count && xrnpe_load(format, row + align, i) ==
				    xrnpe_load(format, expected.row, i))
			i++;
		ck_assert_msg(i == count, "%s, %s, %zu of %zu: %a to %x, expected %x", (*codec)->name,
			      xrnpe_format_name(format), i, count, (double)values[i],
			      xrnpe_load(format, row + align, i), xrnpe_load(format, expected.row, i));
		ck_assert_mem_eq(row + align, expected.row, bytes);
		ck_assert_uint_eq(status, expected.status | 1u << 31);
		(*codec)->decode(format, row + align, output, count);
		ck_assert_mem_eq(output, expected.values, count * sizeof(*output));
	}
	free(input);
	free(output);
	free(row);
}

START_TEST(every_code)
{
	enum xrnpe_format format = (enum xrnpe_format)_i;
	uint32_t codes = 1u << xrnpe_format_bits(format);
	uint8_t *row = malloc(xrnpe_row_bytes(format, codes));
	float *values = malloc(codes * sizeof(*values)), *expected = malloc(codes * sizeof(*expected));

	for (uint32_t code = 0; code < codes; code++) {
		xrnpe_store(format, row, code, code);
		expected[code] = value_of(format, code);
	}
	for (const struct xrnpe_codec *const *codec = xrnpe_codecs; *codec; codec++) {
		uint32_t code = 0;

		if (!(*codec)->supported())
			continue;
		(*codec)->decode(format, row, values, codes);
		while (code < codes && !memcmp(&values[code], &expected[code], sizeof(*values)))
			code++;
		ck_assert_msg(code == codes, "%s, %s: %x to %a, expected %a", (*codec)->name,
			      xrnpe_format_name(format), code, (double)values[code],
			      (double)expected[code]);
	}
	free(row);
	free(values);
	free(expected);
}
END_TEST

START_TEST(random_bits)
{
	uint64_t state = 77 + (uint64_t)_i;
	static float values[4096];

	for (int turn = 0; turn < 100; turn++) {
		for (size_t i = 0; i < 4096; i++) {
			uint32_t bits = random_word(&state);

			/* Every other turn: between 2^-32 and 2^32, where codes differ. */
			if (turn % 2)
				bits = (bits & 0x87ffffff) + 0x2f800000 + (bits >> 27 & 4) * 0x2000000;
			values[i] = float_of(bits);
		}
		check_row((enum xrnpe_format)_i, values, 4096, 0);
	}
}
END_TEST

/* All lengths around those of vectors, and rows and values that start anywhere. */
START_TEST(lengths)
{
	uint64_t state = 99 + (uint64_t)_i;
	float values[300];

	for (size_t count = 0; count <= 300; count++) {
		for (size_t i = 0; i < count; i++)
			values[i] = float_of((random_word(&state) & 0x87ffffff) + 0x3c000000);
		check_row((enum xrnpe_format)_i, values, count, random_below(&state, 65));
	}
}
END_TEST

/* One NaN among numbers raises the status wherever it is, and only for FP4. */
START_TEST(one_nan)
{
	float values[200] = { 0 };

	for (size_t i = 0; i < 200; i++) {
		values[i] = float_of(i % 2 ? 0x7f800001 : 0xffffffff);
		check_row((enum xrnpe_format)_i, values, 200, 0);
		check_row((enum xrnpe_format)_i, values, i, 0);		/* it follows */
		check_row((enum xrnpe_format)_i, values, i + 1, 0);
		values[i] = float_of(i % 2 ? 0x7f800000 : 0xff800000);
		check_row((enum xrnpe_format)_i, values, 200, 0);
	}
}
END_TEST

/* Every value of a format up to 8 bits is one of every longer format of posits. */
START_TEST(nested)
{
	enum xrnpe_format format = (enum xrnpe_format)_i;

	for (enum xrnpe_format wide = XRNPE_FORMAT_P8; wide <= XRNPE_FORMAT_P16; wide++) {
		for (uint32_t code = 0; code < 1u << xrnpe_format_bits(format); code++) {
			uint32_t status = 0, same = xrnpe_encode(wide, xrnpe_decode(format, code), &status);

			ck_assert_uint_eq(xrnpe_is_nar(wide, same), xrnpe_is_nar(format, code));
			ck_assert(xrnpe_is_nar(format, code) ||
				  xrnpe_decode(wide, same) == xrnpe_decode(format, code));
		}
	}
}
END_TEST

/* Rows of all codes, of any length and start, to those codes of Posit(16,1). */
START_TEST(widened)
{
	enum xrnpe_format format = (enum xrnpe_format)_i;
	uint32_t codes = 1u << xrnpe_format_bits(format);
	uint64_t state = 103 + (uint64_t)_i;

	for (size_t count = 0; count <= 600; count++) {
		size_t bytes = xrnpe_row_bytes(format, count), align = random_below(&state, 65);
		uint32_t start = random_word(&state);
		uint8_t *row, *wide;

		if (trial_is_left_out(&state))
			continue;
		row = malloc(align + bytes + 1);
		wide = malloc(count * 2 + 1);
		memset(row, GUARD, align + bytes);
		for (size_t i = 0; i < count; i++)
			xrnpe_store(format, row + align, i, (start + (uint32_t)i) % codes);
		for (const struct xrnpe_codec *const *codec = xrnpe_codecs; ; codec++) {
			/* After all of them what the kernels use, from the second code on. */
			size_t first = *codec || !count ? 0 : 1;

			if (*codec && !(*codec)->supported())
				continue;
			memset(wide, GUARD, count * 2 + 1);
			if (*codec)
				(*codec)->widen(format, row + align, wide, count);
			else
				xrnpe_widen(format, row + align, first, count - first, wide);
			for (size_t i = first; i < count; i++) {
				uint32_t code = xrnpe_load(format, row + align, i);
				uint32_t right = code_of(XRNPE_FORMAT_P16, xrnpe_decode(format, code));

				ck_assert_msg(xrnpe_load(XRNPE_FORMAT_P16, wide, i - first) == right,
					      "%s, %s %x: %x, expected %x", *codec ? (*codec)->name : "all",
					      xrnpe_format_name(format), code,
					      xrnpe_load(XRNPE_FORMAT_P16, wide, i - first), right);
			}
			ck_assert_uint_eq(wide[(count - first) * 2], GUARD);
			if (!*codec)
				break;
		}
		free(row);
		free(wide);
	}
}
END_TEST

TCase *datapath_codec_tests(void)
{
	TCase *tests = tcase_create("codec");

	tcase_set_timeout(tests, 300);
	tcase_set_tags(tests, "cpu");
	tcase_add_loop_test(tests, every_code, 0, XRNPE_FORMAT_F32);
	tcase_add_loop_test(tests, random_bits, 0, XRNPE_OUTPUT_FORMATS);
	tcase_add_loop_test(tests, lengths, 0, XRNPE_OUTPUT_FORMATS);
	tcase_add_loop_test(tests, one_nan, 0, XRNPE_OUTPUT_FORMATS);
	tcase_add_loop_test(tests, nested, 0, XRNPE_FORMAT_P16);
	tcase_add_loop_test(tests, widened, 0, XRNPE_FORMAT_P16);
	return tests;
}

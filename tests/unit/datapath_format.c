// SPDX-License-Identifier: MIT
/* Formats, encode, decode, dot: against the reference. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "reference/reference.h"
#include "unit/datapath_tests.h"

static const enum xrnpe_format all_formats[] = {
	XRNPE_FORMAT_FP4, XRNPE_FORMAT_P4, XRNPE_FORMAT_P8, XRNPE_FORMAT_P16, XRNPE_FORMAT_F32,
};

static double double_from_real(struct ref_real value)
{
	double sum = 0;

	if (value.nan)
		return (double)NAN;
	for (int i = 0; i < REF_LIMBS; i++)
		sum += ldexp((double)value.limb[i], 32 * i - REF_POINT);
	if (value.infinite)
		sum = (double)INFINITY;
	return value.negative ? -sum : sum;
}

static float float_from_bits(uint32_t bits)
{
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static uint32_t encode(enum xrnpe_format format, double value)
{
	uint32_t status = 0;

	return xrnpe_encode(format, value, &status);
}

START_TEST(format_names)
{
	static const unsigned int bits[] = { 4, 4, 8, 16, 32 };
	enum xrnpe_format format;

	for (int i = 0; i < XRNPE_FORMATS; i++) {
		ck_assert_uint_eq(xrnpe_format_bits(all_formats[i]), bits[i]);
		ck_assert_int_eq(xrnpe_format_from_name(xrnpe_format_name(all_formats[i]),
							&format), 0);
		ck_assert_int_eq(format, all_formats[i]);
	}
	ck_assert_ptr_null(xrnpe_format_name(XRNPE_FORMATS));
	ck_assert_uint_eq(xrnpe_format_bits(XRNPE_FORMATS), 0);
	ck_assert_int_eq(xrnpe_format_from_name("p32", &format), -EINVAL);
	ck_assert_int_eq(xrnpe_format_from_name("", &format), -EINVAL);
}
END_TEST

START_TEST(row_layout)
{
	static const uint8_t packed[] = { 0x21, 0x43, 0x65, 0x87 };
	uint8_t row[4];

	ck_assert_uint_eq(xrnpe_row_bytes(XRNPE_FORMAT_P4, 0), 0);
	ck_assert_uint_eq(xrnpe_row_bytes(XRNPE_FORMAT_P4, 7), 4);
	ck_assert_uint_eq(xrnpe_row_bytes(XRNPE_FORMAT_P8, 7), 7);
	ck_assert_uint_eq(xrnpe_row_bytes(XRNPE_FORMAT_P16, 7), 14);
	ck_assert_uint_eq(xrnpe_row_bytes(XRNPE_FORMAT_F32, 7), 28);
	for (uint32_t i = 0; i < 8; i++)
		ck_assert_uint_eq(xrnpe_load(XRNPE_FORMAT_FP4, packed, i), i + 1);
	ck_assert_uint_eq(xrnpe_load(XRNPE_FORMAT_P8, packed, 1), 0x43);
	ck_assert_uint_eq(xrnpe_load(XRNPE_FORMAT_P16, packed, 1), 0x8765);
	ck_assert_uint_eq(xrnpe_load(XRNPE_FORMAT_F32, packed, 0), 0x87654321);
	memset(row, 0xff, sizeof(row));
	xrnpe_store(XRNPE_FORMAT_P4, row, 2, 5);	/* the neighbour is kept */
	ck_assert_uint_eq(row[1], 0xf5);
	xrnpe_store(XRNPE_FORMAT_P4, row, 3, 0);
	ck_assert_uint_eq(row[1], 0x05);
	xrnpe_store(XRNPE_FORMAT_F32, row, 0, 0x87654321);
	ck_assert_mem_eq(row, packed, 4);
	ck_assert_uint_eq(row[0], 0x21);
}
END_TEST

START_TEST(decode_every_code)
{
	enum xrnpe_format format = all_formats[_i];

	for (uint32_t code = 0; code < 1u << xrnpe_format_bits(format); code++) {
		struct ref_real expected = ref_decode(format, code);
		double value = xrnpe_decode(format, code);
		uint8_t row[4] = { 0 };
		float single;

		ck_assert_int_eq(xrnpe_is_nar(format, code), expected.nan);
		xrnpe_store(format, row, 0, code);
		xrnpe_decode_row(format, row, &single, 1);
		if (expected.nan) {
			uint32_t bits;

			ck_assert(isnan(value));
			memcpy(&bits, &single, sizeof(bits));
			ck_assert_uint_eq(bits, 0x7fc00000);
			continue;
		}
		ck_assert_msg(value == double_from_real(expected) &&
			      !!signbit(value) == expected.negative,
			      "%s %x: %a", xrnpe_format_name(format), code, value);
		ck_assert(single == (float)value && !signbit(single) == !signbit(value));
		ck_assert_uint_eq(encode(format, value), code);
	}
}
END_TEST

static void check_encode(enum xrnpe_format format, double value)
{
	bool invalid = false;
	uint32_t expected = ref_encode(format, ref_from_double(value), &invalid);
	uint32_t code = encode(format, value);

	ck_assert_msg(code == expected, "%s %a: %x, expected %x",
		      xrnpe_format_name(format), value, code, expected);
}

/* A tie point, its neighbours in double and in binary32, and their negatives. */
static void check_encode_around(enum xrnpe_format format, double tie)
{
	double values[] = {
		tie, nextafter(tie, 1e300), nextafter(tie, 0),
		(double)nextafterf((float)tie, INFINITY), (double)nextafterf((float)tie, 0),
	};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		/* What lies outside the reference's range is far from any tie. */
		if (!(values[i] < 0x1p300) || (values[i] && values[i] < 0x1p-400))
			continue;
		check_encode(format, values[i]);
		check_encode(format, -values[i]);
	}
}

START_TEST(encode_every_tie)
{
	enum xrnpe_format format = all_formats[_i];

	for (uint32_t code = 0; code < ref_top(format); code++) {
		check_encode_around(format, double_from_real(ref_tie(format, code)));
		check_encode_around(format, double_from_real(ref_decode(format, code)));
	}
	check_encode_around(format, double_from_real(ref_decode(format, ref_top(format))));
	check_encode_around(format, 0x1p-149);
	check_encode_around(format, 0x1.fffffep127);
	check_encode_around(format, 0x1p200);
	check_encode_around(format, 0x1p-200);
}
END_TEST

START_TEST(encode_random)
{
	uint64_t state = 20260101 + (uint64_t)_i;

	for (int i = 0; i < 100000; i++) {
		double value = (double)float_from_bits(random_word(&state));

		if (!isfinite(value))
			continue;
		check_encode(all_formats[_i], value);
		/* More bits than binary32 has, where binary32 is the target. */
		value *= 1 + (double)random_word(&state) * 0x1p-52;
		check_encode(all_formats[_i], value);
	}
}
END_TEST

START_TEST(encode_f32_boundaries)
{
	static const uint32_t codes[] = {
		0, 1, 2, 3, 0x7ffffe, 0x7fffff, 0x800000, 0x800001, 0xfffffe, 0xffffff,
		0x1000000, 0x3f7fffff, 0x3f800000, 0x7f7ffffe, 0x7f7fffff,
	};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		check_encode_around(XRNPE_FORMAT_F32,
				    double_from_real(ref_decode(XRNPE_FORMAT_F32, codes[i])));
		check_encode_around(XRNPE_FORMAT_F32,
				    double_from_real(ref_tie(XRNPE_FORMAT_F32, codes[i])));
	}
}
END_TEST

START_TEST(encode_special)
{
	for (int i = 0; i < XRNPE_FORMATS; i++) {
		enum xrnpe_format format = all_formats[i];
		bool fp4 = format == XRNPE_FORMAT_FP4, f32 = format == XRNPE_FORMAT_F32;
		uint32_t nar = 1u << (xrnpe_format_bits(format) - 1);
		uint32_t status = 0;

		ck_assert_uint_eq(xrnpe_encode(format, (double)INFINITY, &status),
				  fp4 ? 7 : f32 ? 0x7f800000 : nar);
		ck_assert_uint_eq(xrnpe_encode(format, (double)-INFINITY, &status),
				  fp4 ? 15 : f32 ? 0xff800000 : nar);
		ck_assert_uint_eq(xrnpe_encode(format, 0.0, &status), 0);
		ck_assert_uint_eq(xrnpe_encode(format, -0.0, &status), fp4 || f32 ? nar : 0);
		ck_assert_uint_eq(xrnpe_encode(format, 0x1p1000, &status),
				  f32 ? 0x7f800000 : nar - 1);
		ck_assert_uint_eq(xrnpe_encode(format, 0x1p-1074, &status), fp4 || f32 ? 0 : 1);
		ck_assert_uint_eq(status, 0);
		ck_assert_uint_eq(xrnpe_encode(format, (double)NAN, &status),
				  fp4 ? 7 : f32 ? 0x7fc00000 : nar);
		ck_assert_uint_eq(status, fp4 ? XRNPE_STATUS_INVALID : 0);
	}
}
END_TEST

START_TEST(encode_row)
{
	enum xrnpe_format format = all_formats[_i];
	uint64_t state = 4;
	float values[301];
	uint8_t row[301 * 4 + 1], expected[301 * 4 + 1];
	uint32_t status = 0, expected_status = 0;

	for (size_t i = 0; i < 301; i++)
		values[i] = i % 3 ? ldexpf((float)random_word(&state) - 0x1p31f,
					   (int)random_below(&state, 60) - 60) :
				    float_from_bits(random_word(&state));
	for (size_t count = 0; count <= 301; count += count < 70 ? 1 : 77) {
		memset(row, 0xa5, sizeof(row));
		memset(expected, 0xa5, sizeof(expected));
		for (size_t i = 0; i < count; i++)
			xrnpe_store(format, expected, i,
				    xrnpe_encode(format, (double)values[i], &expected_status));
		xrnpe_encode_row(format, values, row, count, &status);
		ck_assert_mem_eq(row, expected, sizeof(row));
		ck_assert_uint_eq(status, expected_status);
	}
}
END_TEST

/* All products of the 4- and 8-bit formats, to every output format. */
START_TEST(all_products)
{
	enum xrnpe_format format = all_formats[_i];
	uint32_t codes = 1u << xrnpe_format_bits(format);

	for (uint32_t a = 0; a < codes; a++) {
		for (uint32_t b = 0; b < codes; b++) {
			struct ref_real product = ref_add(ref_multiply(ref_decode(format, a),
								       ref_decode(format, b)),
							  (struct ref_real){ 0 });
			uint8_t x = (uint8_t)a, y = (uint8_t)b;

			for (int out = 0; out < XRNPE_FORMATS; out++) {
				uint32_t status = 0, code, expected;
				bool invalid = false;

				code = xrnpe_dot(format, &x, &y, 1, all_formats[out], &status);
				expected = ref_encode(all_formats[out], product, &invalid);
				ck_assert_msg(code == expected, "%s %x * %x to %s: %x, expected %x",
					      xrnpe_format_name(format), a, b,
					      xrnpe_format_name(all_formats[out]), code, expected);
				ck_assert_uint_eq(status, invalid ? XRNPE_STATUS_INVALID : 0);
			}
		}
	}
}
END_TEST

START_TEST(dot_empty)
{
	for (int i = 0; i < XRNPE_FORMAT_F32; i++) {
		for (int out = 0; out < XRNPE_FORMATS; out++) {
			uint32_t status = 0;

			ck_assert_uint_eq(xrnpe_dot(all_formats[i], NULL, NULL, 0,
						    all_formats[out], &status), 0);
		}
	}
}
END_TEST

TCase *datapath_format_tests(void)
{
	TCase *tests = tcase_create("format");

	tcase_set_timeout(tests, 300);
	tcase_add_test(tests, format_names);
	tcase_add_test(tests, row_layout);
	tcase_add_loop_test(tests, decode_every_code, 0, 4);
	tcase_add_loop_test(tests, encode_every_tie, 0, 4);
	tcase_add_loop_test(tests, encode_random, 0, 5);
	tcase_add_test(tests, encode_f32_boundaries);
	tcase_add_test(tests, encode_special);
	tcase_add_loop_test(tests, encode_row, 0, 5);
	tcase_add_loop_test(tests, all_products, 0, 3);
	tcase_add_test(tests, dot_empty);
	return tests;
}

// SPDX-License-Identifier: MIT
/*
 * Formats, encode, decode, products of two codes: against the reference, for all
 * implementations that this CPU runs. tests/exhaustive.c encodes every binary32.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernel.h"
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
		sum += ldexp((double)value.limb[i], 64 * i - REF_POINT);
	if (value.infinite)
		sum = (double)INFINITY;
	return value.negative ? -sum : sum;
}

START_TEST(format_names)
{
	static const unsigned int bits[] = { 4, 4, 8, 16, 32, 8, 8 };
	enum xrnpe_format format;

	for (int i = 0; i < XRNPE_FORMATS; i++) {
		ck_assert_uint_eq(xrnpe_format_bits((enum xrnpe_format)i), bits[i]);
		ck_assert_int_eq(xrnpe_format_from_name(xrnpe_format_name((enum xrnpe_format)i), &format), 0);
		ck_assert_int_eq(format, i);
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

		ck_assert_int_eq(xrnpe_is_nar(format, code), expected.nan);
		if (expected.nan) {
			ck_assert(isnan(value));
			continue;
		}
		ck_assert_msg(value == double_from_real(expected) &&
			      !!signbit(value) == expected.negative,
			      "%s %x: %a", xrnpe_format_name(format), code, value);
		ck_assert_uint_eq(code_of(format, value), code);
	}
}
END_TEST

/* Ties lie between neighbours; where no exponent bits are cut off, midway. */
START_TEST(reference_ties)
{
	enum xrnpe_format format = all_formats[_i];
	bool es = format == XRNPE_FORMAT_P4 || format == XRNPE_FORMAT_P16;
	uint32_t step = format == XRNPE_FORMAT_F32 ? 99991 : 1;

	for (uint32_t code = 0; code < ref_top(format); code += step) {
		double low = double_from_real(ref_decode(format, code));
		double tie = double_from_real(ref_tie(format, code));
		double high = double_from_real(ref_decode(format, code + 1));

		ck_assert(low < high);
		if (!code && format != XRNPE_FORMAT_FP4 && format != XRNPE_FORMAT_F32)
			ck_assert(tie == 0);	/* nothing but zero rounds to zero */
		else
			ck_assert(es ? low < tie && tie < high : tie == (low + high) / 2);
	}
	if (format == XRNPE_FORMAT_F32)
		ck_assert(double_from_real(ref_tie(format, 0x7f7fffff)) == 0x1.ffffffp127);
}
END_TEST

static void check_encode(enum xrnpe_format format, double value)
{
	bool invalid = false;
	uint32_t expected = ref_encode(format, ref_from_double(value), &invalid);
	uint32_t code = code_of(format, value);

	ck_assert_msg(code == expected, "%s %a: %x, expected %x",
		      xrnpe_format_name(format), value, code, expected);
}

static void check_code(enum xrnpe_format format, double value, uint32_t magnitude)
{
	uint32_t mask = (uint32_t)((1ull << xrnpe_format_bits(format)) - 1);
	uint32_t code = code_of(format, value), negative = code_of(format, -value);

	ck_assert_msg(code == magnitude, "%s %a: %x, expected %x", xrnpe_format_name(format), value,
		      code, magnitude);
	magnitude = format == XRNPE_FORMAT_FP4 ? magnitude | 8 : -magnitude & mask;
	ck_assert_msg(negative == magnitude, "%s %a: %x, expected %x", xrnpe_format_name(format),
		      -value, negative, magnitude);
}

/* Doubles: each tie point, what is next to it, and the values themselves. */
START_TEST(encode_every_tie)
{
	enum xrnpe_format format = all_formats[_i];
	uint32_t top = ref_top(format);

	for (uint32_t code = 0; code < top; code++) {
		double value = double_from_real(ref_decode(format, code));
		double tie = double_from_real(ref_tie(format, code));

		check_code(format, value, code);
		check_code(format, tie, code + code % 2);
		check_code(format, nextafter(tie, INFINITY), code + 1);
		if (tie)
			check_code(format, nextafter(tie, 0), code);
	}
	check_code(format, double_from_real(ref_decode(format, top)), top);
	check_code(format, 0x1p1000, top);
}
END_TEST

/*
 * The dense sample of binary32: the first and last patterns of each interval that
 * rounds to one code, and some around each multiple of a 128th of a binade.
 */
#define NEAR 4
#define SPARSE 0xffff

static uint32_t next_sample(const struct ref_interval *interval, uint32_t bits)
{
	uint32_t far;

	bits++;
	if (bits - interval->first <= NEAR || interval->last - bits <= NEAR ||
	    ((bits + 2) & SPARSE) < NEAR)
		return bits;
	far = (bits | SPARSE) - 1;
	return far < interval->last - NEAR ? far : interval->last - NEAR;
}

struct samples {
	float *value;
	uint32_t *code;
	size_t count;
};

static void take_samples(enum xrnpe_format format, bool invalid, struct samples *samples)
{
	struct ref_interval *intervals = malloc(REF_INTERVALS * sizeof(*intervals));
	size_t count = ref_intervals(format, intervals), most = 1 << 21;

	samples->value = malloc(most * sizeof(*samples->value));
	samples->code = malloc(most * sizeof(*samples->code));
	samples->count = 0;
	for (size_t i = 0; i < count; i++) {
		uint32_t bits = intervals[i].first;

		if (intervals[i].invalid != invalid)
			continue;
		for (;; bits = next_sample(&intervals[i], bits)) {
			ck_assert_uint_lt(samples->count, most);
			samples->value[samples->count] = float_of(bits);
			samples->code[samples->count++] = intervals[i].code;
			if (bits == intervals[i].last)
				break;
		}
	}
	free(intervals);
}

static void check_samples(enum xrnpe_format format, bool invalid)
{
	uint32_t expected = invalid ? XRNPE_STATUS_INVALID : 0;
	struct samples samples;
	uint8_t *row;

	take_samples(format, invalid, &samples);
	row = malloc(xrnpe_row_bytes(format, samples.count));
	for (size_t i = 0; i < samples.count; i++) {
		uint32_t status = 0, code = xrnpe_encode(format, (double)samples.value[i], &status);

		if (code != samples.code[i] || status != expected)
			ck_abort_msg("%s %08x: %x, status %x, expected %x", xrnpe_format_name(format),
				     bits_of(samples.value[i]), code, status, samples.code[i]);
	}
	for (const struct xrnpe_codec *const *codec = xrnpe_codecs; *codec; codec++) {
		uint32_t status = 0;

		if (!(*codec)->supported())
			continue;
		(*codec)->encode(format, samples.value, row, samples.count, &status);
		ck_assert_uint_eq(status, expected);
		for (size_t i = 0; i < samples.count; i++) {
			uint32_t code = ref_load(format, row, i);

			if (code != samples.code[i])
				ck_abort_msg("%s %s %08x: %x, expected %x", (*codec)->name,
					     xrnpe_format_name(format), bits_of(samples.value[i]),
					     code, samples.code[i]);
		}
	}
	free(row);
	free(samples.value);
	free(samples.code);
}

START_TEST(encode_samples)
{
	check_samples(all_formats[_i], false);
	if (all_formats[_i] == XRNPE_FORMAT_FP4)
		check_samples(XRNPE_FORMAT_FP4, true);
}
END_TEST

/* A tie point, its neighbours in double and in binary32, and their negatives. */
static void check_encode_around(enum xrnpe_format format, double tie)
{
	double values[] = {
		tie, nextafter(tie, 1e300), nextafter(tie, 0),
		(double)nextafterf((float)tie, INFINITY), (double)nextafterf((float)tie, 0),
	};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		/* What lies outside the reference's range is far from any tie. */
		if (!(values[i] < 0x1p300) || (values[i] && values[i] < 0x1p-260))
			continue;
		check_encode(format, values[i]);
		check_encode(format, -values[i]);
	}
}

START_TEST(encode_random)
{
	uint64_t state = 20260101 + (uint64_t)_i;

	for (int i = 0; i < 20000; i++) {
		double value = (double)float_of(random_word(&state));

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
	for (int i = 0; i < XRNPE_OUTPUT_FORMATS; i++) {
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

			for (int out = 0; out < XRNPE_OUTPUT_FORMATS; out++) {
				uint32_t status = 0, code, expected;
				bool invalid = false;

				code = xrnpe_dot(format, &x, format, &y, 1, all_formats[out], &status);
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
		for (int out = 0; out < XRNPE_OUTPUT_FORMATS; out++) {
			uint32_t status = 0;

			ck_assert_uint_eq(xrnpe_dot(all_formats[i], NULL, all_formats[i], NULL, 0,
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
	tcase_add_loop_test(tests, reference_ties, 0, 5);
	tcase_add_loop_test(tests, encode_every_tie, 0, 4);
	tcase_add_loop_test(tests, encode_random, 0, 5);
	tcase_add_test(tests, encode_f32_boundaries);
	tcase_add_test(tests, encode_special);
	tcase_add_loop_test(tests, all_products, 0, 3);
	tcase_add_test(tests, dot_empty);
	return tests;
}

/* What depends on the CPU. */
TCase *datapath_sample_tests(void)
{
	TCase *tests = tcase_create("samples");

	tcase_set_timeout(tests, 300);
	tcase_set_tags(tests, "cpu");
	tcase_add_loop_test(tests, encode_samples, 0, 4);
	return tests;
}

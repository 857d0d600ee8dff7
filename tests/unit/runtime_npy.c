// SPDX-License-Identifier: MIT
/* .npy files: what is read, and that nothing else is. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/runtime_tests.h"

static struct xrnpe_error error;
static struct xrnpe_array array;

/* A file with that version, header text and data; returns its path. */
static const char *npy(unsigned int version, const char *header, const void *data, size_t size)
{
	static unsigned char file[4096];
	size_t length = strlen(header), used = 8;
	const char *path = test_path("a.npy");

	memcpy(file, "\x93NUMPY", 6);
	file[6] = (unsigned char)version;
	file[7] = 0;
	for (unsigned int i = 0; i < (version == 1 ? 2 : 4); i++)
		file[used++] = (unsigned char)(length >> (8 * i));
	memcpy(file + used, header, length);
	memcpy(file + used + length, data, size);
	write_file(path, file, used + length + size);
	return path;
}

#define F32(shape) "{'descr': '<f4', 'fortran_order': False, 'shape': " shape ", }  \n"
#define TYPE(type) "{'descr': '" type "', 'fortran_order': False, 'shape': (2,), }\n"

START_TEST(npy_versions)
{
	const float data[6] = { 1, -2.5, 3, 0, 1e30f, 6 };

	for (unsigned int version = 1; version <= 3; version++) {
		ck_ok(xrnpe_npy_read(npy(version, F32("(2, 3)"), data, sizeof(data)), &array, &error),
		      error);
		ck_assert_uint_eq(array.rank, 2);
		ck_assert_uint_eq(array.dims[0], 2);
		ck_assert_uint_eq(array.dims[1], 3);
		ck_assert_uint_eq(array.dims[2], 1);
		ck_assert_uint_eq(array.count, 6);
		ck_assert_mem_eq(array.data, data, sizeof(data));
		xrnpe_array_clear(&array);
		ck_assert_ptr_null(array.data);
	}
}
END_TEST

START_TEST(npy_shapes)
{
	static const struct {
		const char *header;
		unsigned int rank;
		size_t count;
	} cases[] = {
		{ F32("()"), 0, 1 },
		{ F32("(4,)"), 1, 4 },
		{ F32("(0, 9)"), 2, 0 },
		{ F32("(1, 1, 1, 1, 1, 1, 1, 2)"), 8, 2 },
		{ F32("( 2,2 , )"), 2, 4 },
		{ "{\"shape\":(2,),\"descr\":\"<f4\",\"fortran_order\":False}", 1, 2 },
		{ "{'descr': '<f4', 'fortran_order': True, 'shape': (2,), }", 1, 2 },
	};
	const float data[4] = { 1, 2, 3, 4 };

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ck_ok(xrnpe_npy_read(npy(1, cases[i].header, data, 4 * cases[i].count), &array,
				     &error), error);
		ck_assert_uint_eq(array.rank, cases[i].rank);
		ck_assert_uint_eq(array.count, cases[i].count);
		ck_assert_mem_eq(array.data, data, 4 * cases[i].count);
		xrnpe_array_clear(&array);
	}
}
END_TEST

START_TEST(npy_types)
{
	const uint8_t u8[2] = { 0, 255 };
	const int32_t i32[2] = { -16777216, 16777216 };
	const int64_t i64[2] = { -7, 16777215 };
	const int64_t large[2] = { 0, 16777217 };

	ck_ok(xrnpe_npy_read(npy(1, TYPE("|u1"), u8, 2), &array, &error), error);
	ck_assert(array.data[0] == 0 && array.data[1] == 255);
	xrnpe_array_clear(&array);
	ck_ok(xrnpe_npy_read(npy(1, TYPE("<i4"), i32, 8), &array, &error), error);
	ck_assert(array.data[0] == -16777216 && array.data[1] == 16777216);
	xrnpe_array_clear(&array);
	ck_ok(xrnpe_npy_read(npy(1, TYPE("<i8"), i64, 16), &array, &error), error);
	ck_assert(array.data[0] == -7 && array.data[1] == 16777215);
	xrnpe_array_clear(&array);
	ck_fails(xrnpe_npy_read(npy(1, TYPE("<i8"), large, 16), &array, &error), -EINVAL, error,
		 "a.npy: holds an integer beyond");
}
END_TEST

START_TEST(npy_unsupported)
{
	static const char *const types[] = { ">f4", "<f8", "<f2", "<c8", "|O", "|b1", "<U4", "" };
	const double data[2] = { 0 };

	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		char header[128], text[64];

		snprintf(header, sizeof(header), TYPE("%s"), types[i]);
		snprintf(text, sizeof(text), "a.npy: element type '%s' is not supported", types[i]);
		ck_fails(xrnpe_npy_read(npy(1, header, data, 8), &array, &error), -ENOTSUP, error,
			 text);
	}
	ck_fails(xrnpe_npy_read(npy(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2)}",
				    data, 8), &array, &error), -ENOTSUP, error, "Fortran order");
	ck_fails(xrnpe_npy_read(npy(4, F32("(2,)"), data, 8), &array, &error), -ENOTSUP, error,
		 "version 4.0");
}
END_TEST

START_TEST(npy_malformed)
{
	static const char *const headers[] = {
		"", "{", "{}", "{'descr': '<f4'}", "{'descr': '<f4', 'shape': (2,)}",
		"{'descr': '<f4', 'fortran_order': False}",
		"{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}",
		"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
		"{'descr': '<f4, 'fortran_order': False, 'shape': (2,)}",
		"{'descr': ['<f4'], 'fortran_order': False, 'shape': (2,)}",
		"{'descr': 'a long descr that never ends", F32("2"), F32("(-2,)"), F32("(2 2)"),
		F32("(1.0,)"), F32("(,)"), F32("(2,,)"), F32("(99999999999999999999,)"),
	};
	const float data[2] = { 0 };

	for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++)
		ck_fails(xrnpe_npy_read(npy(1, headers[i], data, 8), &array, &error), -EINVAL,
			 error, "a.npy: malformed .npy header");
	ck_fails(xrnpe_npy_read(npy(1, F32("(4294967296, 4294967296)"), data, 0), &array, &error),
		 -EINVAL, error, "a.npy: its shape is too large");
	ck_fails(xrnpe_npy_read(npy(1, F32("(4611686018427387904,)"), data, 0), &array, &error),
		 -EINVAL, error, "a.npy: has 0 bytes of data");
}
END_TEST

/* Arrays that there are, and that are not for us. */
START_TEST(npy_kinds)
{
	const float data[2] = { 1, 2 };

	ck_fails(xrnpe_npy_read(npy(1, F32("(1, 1, 1, 1, 1, 1, 1, 1, 2)"), data, 8), &array, &error),
		 -ENOTSUP, error, "a.npy: has 9 dimensions; at most 8 are supported");
	ck_fails(xrnpe_npy_read(npy(1, "{'descr': [('a', '<f4'), ('b', '<i2', (2,))], 'fortran_order': False, 'shape': (1,), }",
				    data, 8), &array, &error),
		 -ENOTSUP, error, "a.npy: element type 'record' is not supported; save it as float32");
	ck_fails(xrnpe_npy_read(npy(1, "{'descr': [('a', '<f4'), 'fortran_order': False, 'shape': (1,), }",
				    data, 8), &array, &error),
		 -EINVAL, error, "a.npy: malformed .npy header");
}
END_TEST

/* Cut anywhere, or one byte too long, it is refused. */
START_TEST(npy_length)
{
	static unsigned char bytes[512];
	const float data[6] = { 1, 2, 3, 4, 5, 6 };
	size_t size = read_file(npy(2, F32("(2, 3)"), data, sizeof(data)), bytes, sizeof(bytes));

	for (size_t n = 0; n <= size + 1; n++) {
		const char *path = test_path("cut.npy");

		write_file(path, bytes, n);
		if (n == size)
			continue;
		ck_fails(xrnpe_npy_read(path, &array, &error), -EINVAL, error, "cut.npy: ");
	}
}
END_TEST

START_TEST(npy_unreadable)
{
	ck_fails(xrnpe_npy_read(test_path("none.npy"), &array, &error), -ENOENT, error,
		 "none.npy: cannot open: No such file");
	ck_fails(xrnpe_npy_read(test_path(""), &array, &error), -EISDIR, error,
		 "cannot read: Is a directory");
}
END_TEST

START_TEST(npy_round_trip)
{
	static unsigned char bytes[512];
	const uint32_t patterns[6] = { 0x3f800000, 0x80000000, 0x7fc00001, 0xff800000, 1, 0x7f7fffff };
	struct xrnpe_array written = {
		.rank = 2, .dims = { 3, 2, 1, 1, 1, 1, 1, 1 }, .count = 6, .data = malloc(24),
	};
	size_t size;

	memcpy(written.data, patterns, sizeof(patterns));
	for (unsigned int rank = 0; rank <= XRNPE_MAX_RANK; rank++) {
		written.rank = rank;
		written.count = rank > 1 ? 6 : rank ? 3 : 1;
		for (unsigned int i = 2; i < XRNPE_MAX_RANK; i++)
			written.dims[i] = 1;
		ck_ok(xrnpe_npy_write(test_path("w.npy"), &written, &error), error);
		size = read_file(test_path("w.npy"), bytes, sizeof(bytes));
		ck_assert_uint_eq((size - 4 * written.count) % 64, 0);
		ck_ok(xrnpe_npy_read(test_path("w.npy"), &array, &error), error);
		ck_assert_uint_eq(array.rank, rank);
		ck_assert_uint_eq(array.count, written.count);
		ck_assert_mem_eq(array.data, patterns, 4 * written.count);
		xrnpe_array_clear(&array);
	}
	ck_fails(xrnpe_npy_write(test_path("none/w.npy"), &written, &error), -ENOENT, error,
		 "none/w.npy: cannot create: No such file");
	ck_fails(xrnpe_npy_write("/dev/full", &written, &error), -ENOSPC, error,
		 "/dev/full: cannot write: No space left");
	xrnpe_array_clear(&written);
}
END_TEST

TCase *runtime_npy_tests(void)
{
	TCase *tcase = tcase_create("npy");

	tcase_add_checked_fixture(tcase, runtime_setup, runtime_teardown);
	tcase_add_test(tcase, npy_versions);
	tcase_add_test(tcase, npy_shapes);
	tcase_add_test(tcase, npy_types);
	tcase_add_test(tcase, npy_unsupported);
	tcase_add_test(tcase, npy_malformed);
	tcase_add_test(tcase, npy_kinds);
	tcase_add_test(tcase, npy_length);
	tcase_add_test(tcase, npy_unreadable);
	tcase_add_test(tcase, npy_round_trip);
	return tcase;
}

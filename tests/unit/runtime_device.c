// SPDX-License-Identifier: MIT
/* Devices and buffers. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit/runtime_tests.h"

static struct xrnpe_error error;
static struct xrnpe_device *device;

START_TEST(device_names)
{
	ck_fails(xrnpe_device_open(test_path("accel7"), &device, &error), -ENOENT, error,
		 "accel7: cannot open: No such file");
	write_file(test_path("file"), "x", 1);
	ck_fails(xrnpe_device_open(test_path("file"), &device, &error), -ENODEV, error,
		 "file: not a DRM device");
	ck_fails(xrnpe_device_open("/dev/null", &device, &error), -ENODEV, error,
		 "/dev/null: not a DRM device");
	/* The message is optional. */
	ck_assert_int_eq(xrnpe_device_open("/dev/null", &device, NULL), -ENODEV);
	xrnpe_device_close(NULL);
}
END_TEST

/* Root may open all, so ask as somebody else. */
START_TEST(device_permission)
{
	pid_t child;
	int status;

	if (geteuid())
		return;
	ck_assert_int_eq(chmod(test_path(""), 0755), 0);
	write_file(test_path("node"), "x", 1);
	ck_assert_int_eq(chmod(test_path("node"), 0600), 0);
	child = fork();
	if (!child)
		_exit(setuid(65534) || xrnpe_device_open(test_path("node"), &device, &error) != -EACCES ||
		      !strstr(error.message, "node: cannot open: Permission denied"));
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(device_threads)
{
	static const char *const wrong[] = { "0", "-1", "x", "2x", "257", "99999999999" };

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		setenv("XRNPE_THREADS", wrong[i], 1);
		ck_fails(xrnpe_device_open("emu", &device, &error), -EINVAL, error,
			 "is not 1..256");
	}
	setenv("XRNPE_THREADS", "3", 1);
	ck_ok(xrnpe_device_open("emu", &device, &error), error);
	ck_assert_uint_eq(xrnpe_device_info(device)->threads, 3);
	xrnpe_device_close(device);
	setenv("XRNPE_THREADS", "", 1);	/* as if it was not set */
	ck_ok(xrnpe_device_open("emu", &device, &error), error);
	xrnpe_device_close(device);
}
END_TEST

START_TEST(device_info)
{
	const struct xrnpe_device_info *info;

	ck_ok(xrnpe_device_open(test_device(), &device, &error), error);
	info = xrnpe_device_info(device);
	ck_assert_str_eq(info->backend, strcmp(test_device(), "emu") ? "drm" : "emu");
	ck_assert_uint_eq(info->version >> 16, 1);
	ck_assert_uint_ge(info->rows, 1);
	ck_assert_uint_ge(info->cols, 1);
	ck_assert_uint_ge(info->queues, 1);
	ck_assert_uint_eq(info->max_cmds, XRNPE_MAX_CMDS);
	ck_assert_uint_eq(info->max_regions, XRNPE_MAX_REGIONS);
	ck_assert_uint_eq(!info->threads, strcmp(info->backend, "emu") != 0);
	xrnpe_device_close(device);
}
END_TEST

START_TEST(buffer_memory)
{
	static const size_t sizes[] = { 1, 255, 256, 4096, 4097, 1000000 };
	struct xrnpe_buffer *buffer;

	ck_ok(xrnpe_device_open(test_device(), &device, &error), error);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		unsigned char *data;
		size_t set = 0;

		ck_ok(xrnpe_buffer_new(device, sizes[i], &buffer, &error), error);
		data = xrnpe_buffer_data(buffer);
		ck_assert_uint_eq(xrnpe_buffer_size(buffer), sizes[i]);
		ck_assert_uint_eq((uintptr_t)data % 64, 0);
		for (size_t n = 0; n < sizes[i]; n++)
			set += data[n] != 0;
		ck_assert_uint_eq(set, 0);
		memset(data, 0xa5, sizes[i]);
		ck_ok(xrnpe_buffer_sync(buffer, XRNPE_SYNC_FOR_DEVICE, 0, sizes[i], &error), error);
		ck_ok(xrnpe_buffer_sync(buffer, XRNPE_SYNC_FOR_CPU, 0, sizes[i], &error), error);
		ck_assert_uint_eq(data[sizes[i] - 1], 0xa5);
		xrnpe_buffer_free(buffer);
	}
	xrnpe_buffer_free(NULL);
	xrnpe_device_close(device);
}
END_TEST

START_TEST(buffer_errors)
{
	struct xrnpe_buffer *buffer;
	size_t largest;

	ck_ok(xrnpe_device_open(test_device(), &device, &error), error);
	largest = xrnpe_device_info(device)->max_buffer_size;
	ck_fails(xrnpe_buffer_new(device, 0, &buffer, &error), -EINVAL, error, "0 bytes is not 1..");
	ck_fails(xrnpe_buffer_new(device, largest + 1, &buffer, &error), -EINVAL, error,
		 "bytes is not 1..");
	ck_ok(xrnpe_buffer_new(device, 100, &buffer, &error), error);
	/* The buffer keeps the device. */
	xrnpe_device_close(device);
	ck_ok(xrnpe_buffer_sync(buffer, XRNPE_SYNC_FOR_CPU, 100, 0, &error), error);
	ck_fails(xrnpe_buffer_sync(buffer, XRNPE_SYNC_FOR_CPU, 50, 51, &error), -EINVAL, error,
		 "bytes 50 + 51 are outside a buffer of 100 bytes");
	ck_fails(xrnpe_buffer_sync(buffer, XRNPE_SYNC_FOR_CPU, 101, 0, &error), -EINVAL, error,
		 "outside");
	ck_fails(xrnpe_buffer_sync(buffer, XRNPE_SYNC_FOR_CPU, 1, SIZE_MAX, &error), -EINVAL,
		 error, "outside");
	xrnpe_buffer_free(buffer);
}
END_TEST

TCase *runtime_device_tests(void)
{
	TCase *tcase = tcase_create("device");

	tcase_add_checked_fixture(tcase, runtime_setup, runtime_teardown);
	tcase_add_test(tcase, device_names);
	tcase_add_test(tcase, device_permission);
	tcase_add_test(tcase, device_threads);
	tcase_add_test(tcase, device_info);
	tcase_add_test(tcase, buffer_memory);
	tcase_add_test(tcase, buffer_errors);
	return tcase;
}

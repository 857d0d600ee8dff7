// SPDX-License-Identifier: MIT
/* Inputs and outputs in buffers: of the library, of the program, and of other drivers. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xf86drm.h>

#include "drm/xrnpe_accel.h"
#include "unit/runtime_tests.h"

static struct xrnpe_error error;
static struct xrnpe_device *device;

static void setup(void)
{
	ck_ok(xrnpe_device_open(test_device(), &device, &error), error);
}

static void teardown(void)
{
	xrnpe_device_close(device);
}

static bool is_emulator(void)
{
	return !strcmp(test_device(), "emu");
}

enum { SIZE = 4096, IN = 256, OUT = 1024 };

/* ---- memory of all kinds --------------------------------------------------- */

/* What a camera's driver would give: memory that the device can use. Returns a descriptor. */
static int foreign_memory(size_t size)
{
	struct drm_xrnpe_bo_create create = { .size = size };
	int node, fd;

	if (is_emulator()) {
		fd = memfd_create("frames", MFD_CLOEXEC);
		ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
		return fd;
	}
	node = open(xrnpe_device_info(device)->path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(node, 0);
	ck_assert_int_eq(drmIoctl(node, DRM_IOCTL_XRNPE_BO_CREATE, &create), 0);
	ck_assert_int_eq(drmPrimeHandleToFD(node, create.handle, DRM_CLOEXEC | DRM_RDWR, &fd), 0);
	close(node);
	return fd;
}

static struct xrnpe_buffer *import(size_t size)
{
	struct xrnpe_buffer *buffer;
	int fd = foreign_memory(size);

	ck_ok(xrnpe_buffer_import(device, fd, &buffer, &error), error);
	close(fd);
	return buffer;
}

/* Of the program's own. */
static struct xrnpe_buffer *wrap(size_t size)
{
	static char memory[SIZE] __attribute__((aligned(64)));
	struct xrnpe_buffer *buffer;

	ck_assert_uint_le(size, sizeof(memory));
	ck_ok(xrnpe_buffer_wrap(device, memory, size, &buffer, &error), error);
	ck_assert_ptr_eq(xrnpe_buffer_data(buffer), memory);
	return buffer;
}

static struct xrnpe_buffer *make(size_t size)
{
	struct xrnpe_buffer *buffer;

	ck_ok(xrnpe_buffer_new(device, size, &buffer, &error), error);
	return buffer;
}

static struct xrnpe_buffer *(*const kinds[])(size_t) = { make, import, wrap };

/* ---- requests --------------------------------------------------------------- */

/* Where the layouts say that elements lie. */
static float *at(struct xrnpe_buffer *buffer, size_t offset, const struct xrnpe_layout *layout,
		 const size_t dims[3], size_t i)
{
	size_t z = i / (dims[1] * dims[2]), y = i / dims[2] % dims[1], x = i % dims[2];

	return (float *)((char *)xrnpe_buffer_data(buffer) + offset + z * layout->strides[0] +
			 y * layout->strides[1] + x * layout->strides[2]);
}

static const size_t in_dims[] = { TINY_IN_C, 3, 2 }, out_dims[] = { TINY_OUT_C, 3, 2 };
static struct xrnpe_layout in_layout, out_layout;

static void find_layouts(void)
{
	struct xrnpe_model *model = tiny_model();

	ck_ok(xrnpe_model_input_layout(model, 0, &in_layout, &error), error);
	ck_ok(xrnpe_model_output_layout(model, 0, &out_layout, &error), error);
	xrnpe_model_free(model);
}

/* The CPU writes what a camera would, and looks at the result, in @buffer. */
static void run_in_place(struct xrnpe_request *request, struct xrnpe_buffer *buffer,
			 unsigned int seed, float sign)
{
	float in[TINY_IN], expected[TINY_OUT];

	tiny_input(seed, in);
	tiny_output(in, expected);
	for (unsigned int i = 0; i < TINY_IN; i++)
		*at(buffer, IN, &in_layout, in_dims, i) = in[i];
	ck_ok(xrnpe_buffer_sync(buffer, XRNPE_SYNC_FOR_DEVICE, IN, in_layout.size, &error), error);
	ck_ok(xrnpe_request_submit(request, &error), error);
	ck_ok(xrnpe_request_wait(request, -1, &error), error);
	ck_ok(xrnpe_buffer_sync(buffer, XRNPE_SYNC_FOR_CPU, OUT, out_layout.size, &error), error);
	for (unsigned int i = 0; i < TINY_OUT; i++)
		ck_assert_float_eq(*at(buffer, OUT, &out_layout, out_dims, i), sign * expected[i]);
}

START_TEST(buffer_bound)
{
	struct xrnpe_request *request;
	struct xrnpe_buffer *buffer;
	float in[TINY_IN], out[TINY_OUT], expected[TINY_OUT];

	if (kinds[_i] == wrap && !is_emulator())
		return;
	find_layouts();
	request = request_of(device, tiny_model(), XRNPE_PRIORITY_NORMAL);
	buffer = kinds[_i](SIZE);
	ck_ok(xrnpe_request_bind_input(request, 0, buffer, IN, &error), error);
	ck_ok(xrnpe_request_bind_output(request, 0, buffer, OUT, &error), error);
	for (unsigned int i = 0; i < 10; i++) {
		run_in_place(request, buffer, i, 1);
		ck_assert_msg(!xrnpe_request_result(request)->copied, "the CPU copied nothing");
	}

	/* Copies go to and from what is bound. */
	tiny_input(20, in);
	tiny_output(in, expected);
	ck_ok(xrnpe_request_set_input(request, 0, in, TINY_IN, &error), error);
	for (unsigned int i = 0; i < TINY_IN; i++)
		ck_assert_float_eq(*at(buffer, IN, &in_layout, in_dims, i), in[i]);
	/* The request keeps it. */
	xrnpe_buffer_free(buffer);
	ck_ok(xrnpe_request_submit(request, &error), error);
	ck_ok(xrnpe_request_wait(request, -1, &error), error);
	ck_assert_uint_eq(xrnpe_request_result(request)->copied, sizeof(in));
	ck_ok(xrnpe_request_get_output(request, 0, out, TINY_OUT, &error), error);
	ck_assert_mem_eq(out, expected, sizeof(out));
	ck_assert_uint_eq(xrnpe_request_result(request)->copied, sizeof(in) + sizeof(out));

	/* The request's own memory again. */
	ck_ok(xrnpe_request_bind_input(request, 0, NULL, 0, &error), error);
	ck_ok(xrnpe_request_bind_output(request, 0, NULL, 0, &error), error);
	tiny_input(21, in);
	tiny_output(in, expected);
	ck_ok(xrnpe_request_set_input(request, 0, in, TINY_IN, &error), error);
	ck_ok(xrnpe_request_submit(request, &error), error);
	ck_ok(xrnpe_request_wait(request, -1, &error), error);
	ck_ok(xrnpe_request_get_output(request, 0, out, TINY_OUT, &error), error);
	ck_assert_mem_eq(out, expected, sizeof(out));
	xrnpe_request_free(request);
}
END_TEST

/* Nodes on the CPU use what is bound, too, and say what they copied. */
START_TEST(buffer_bound_cpu)
{
	struct xrnpe_request *request = request_of(device, negative_model(), XRNPE_PRIORITY_NORMAL);
	struct xrnpe_buffer *buffer = make(SIZE);

	find_layouts();
	ck_ok(xrnpe_request_bind_input(request, 0, buffer, IN, &error), error);
	ck_ok(xrnpe_request_bind_output(request, 0, buffer, OUT, &error), error);
	for (unsigned int i = 0; i < 3; i++) {
		run_in_place(request, buffer, i, -1);
		ck_assert_uint_eq(xrnpe_request_result(request)->copied, 2 * TINY_OUT * sizeof(float));
	}
	xrnpe_request_free(request);
	xrnpe_buffer_free(buffer);
}
END_TEST

/* Requests that take turns with two buffers, as frames come from a camera. */
START_TEST(buffer_turns)
{
	struct xrnpe_request *request = request_of(device, tiny_model(), XRNPE_PRIORITY_NORMAL);
	struct xrnpe_buffer *buffers[] = { make(SIZE), import(SIZE) };

	find_layouts();
	for (unsigned int i = 0; i < 6; i++) {
		ck_ok(xrnpe_request_bind_input(request, 0, buffers[i % 2], IN, &error), error);
		ck_ok(xrnpe_request_bind_output(request, 0, buffers[i % 2], OUT, &error), error);
		run_in_place(request, buffers[i % 2], i, 1);
	}
	xrnpe_buffer_free(buffers[0]);
	xrnpe_buffer_free(buffers[1]);
	xrnpe_request_free(request);
}
END_TEST

/* A second output, of the memory of the first from byte @offset on. */
static struct xrnpe_model *with_second_output(uint64_t offset)
{
	struct xrnpe_model *model = tiny_model();
	struct xrnpe_model_tensor *second;

	model->tensors = realloc(model->tensors, 4 * sizeof(*model->tensors));
	model->tensors[3] = model->tensors[2];
	second = &model->tensors[2];
	*second = model->tensors[1];
	second->info.name = strdup("again");
	second->offset = offset;
	model->region_size[XRNPE_MODEL_OUTPUT] += offset;
	model->tensor_count++;
	model->output_count = 2;
	model->layer_outputs[0].index++;
	ck_ok(xrnpe_model_check(model, &error), error);
	return model;
}

START_TEST(buffer_two_names)
{
	struct xrnpe_request *request = request_of(device, with_second_output(0), XRNPE_PRIORITY_NORMAL);
	struct xrnpe_buffer *buffer = make(SIZE);

	find_layouts();
	ck_ok(xrnpe_request_bind_input(request, 0, buffer, IN, &error), error);
	ck_ok(xrnpe_request_bind_output(request, 1, buffer, OUT, &error), error);
	run_in_place(request, buffer, 3, 1);
	xrnpe_request_free(request);

	request = request_of(device, with_second_output(8), XRNPE_PRIORITY_NORMAL);
	ck_fails(xrnpe_request_bind_output(request, 0, buffer, 0, &error), -ENOTSUP, error,
		 "tiny: has too many inputs and outputs, or ones that overlap, to bind them");
	xrnpe_request_free(request);
	xrnpe_buffer_free(buffer);
}
END_TEST

START_TEST(buffer_bad_bindings)
{
	struct xrnpe_request *request = request_of(device, tiny_model(), XRNPE_PRIORITY_NORMAL);
	struct xrnpe_device *other;
	struct xrnpe_buffer *buffer = make(SIZE), *others;
	char memory[256] __attribute__((aligned(64)));
	float in[TINY_IN] = { 0 };

	ck_fails(xrnpe_request_bind_input(request, 1, buffer, 0, &error), -EINVAL, error,
		 "tiny: has no input 1");
	ck_fails(xrnpe_request_bind_output(request, 1, NULL, 0, &error), -EINVAL, error,
		 "tiny: has no output 1");
	ck_fails(xrnpe_request_bind_input(request, 0, buffer, 32, &error), -EINVAL, error,
		 "in takes 48 bytes from a multiple of 64 on, not from 32 on in a buffer of 4096");
	ck_fails(xrnpe_request_bind_output(request, 0, buffer, SIZE - 64, &error), -EINVAL, error,
		 "out takes 72 bytes");
	ck_fails(xrnpe_request_bind_output(request, 0, buffer, SIZE + 64, &error), -EINVAL, error,
		 "out takes 72 bytes");
	ck_ok(xrnpe_device_open(test_device(), &other, &error), error);
	ck_ok(xrnpe_buffer_new(other, SIZE, &others, &error), error);
	ck_fails(xrnpe_request_bind_input(request, 0, others, 0, &error), -EINVAL, error,
		 "tiny: the buffer for in is another device's");
	xrnpe_buffer_free(others);
	xrnpe_device_close(other);

	ck_ok(xrnpe_request_set_input(request, 0, in, TINY_IN, &error), error);
	ck_ok(xrnpe_request_submit(request, &error), error);
	ck_fails(xrnpe_request_bind_input(request, 0, buffer, 0, &error), -EBUSY, error,
		 "was submitted and not waited for");
	ck_ok(xrnpe_request_wait(request, -1, &error), error);

	ck_assert_int_lt(xrnpe_buffer_import(device, -1, &others, &error), 0);
	if (is_emulator())
		ck_fails(xrnpe_buffer_wrap(device, memory + 4, 64, &others, &error), -EINVAL, error,
			 "is not aligned to 64 bytes");
	else
		ck_fails(xrnpe_buffer_wrap(device, memory, 64, &others, &error), -ENOTSUP, error,
			 "reaches no memory but buffers of its own and dma-bufs");
	xrnpe_request_free(request);
	xrnpe_buffer_free(buffer);
}
END_TEST

START_TEST(buffer_layouts)
{
	struct xrnpe_model *model = tiny_model();
	struct xrnpe_model_tensor *t = &model->tensors[0];
	struct xrnpe_layout layout;

	find_layouts();
	/* Channels together, though they come first. */
	ck_assert_uint_eq(in_layout.size, sizeof(float) * TINY_IN);
	ck_assert_int_eq(in_layout.format, XRNPE_FORMAT_F32);
	ck_assert_uint_eq(in_layout.strides[0], sizeof(float));
	ck_assert_uint_eq(in_layout.strides[1], 2 * TINY_IN_C * sizeof(float));
	ck_assert_uint_eq(in_layout.strides[2], TINY_IN_C * sizeof(float));
	ck_assert_uint_eq(in_layout.strides[3], 0);

	/* 1 x 12 of two channels: neither half is even. */
	t->info.rank = 2;
	memcpy(t->info.dims, (size_t[]){ 1, TINY_IN }, 2 * sizeof(size_t));
	t->info.dims[2] = 1;
	ck_fails(xrnpe_model_input_layout(model, 0, &layout, &error), -ENOTSUP, error,
		 "tiny: in lies in an order that strides cannot tell");
	/* Of channels that come last all elements follow each other. */
	t->channels_first = false;
	ck_ok(xrnpe_model_input_layout(model, 0, &layout, &error), error);
	ck_assert_uint_eq(layout.strides[1], sizeof(float));
	/* Lines that end with a gap. */
	t->info.rank = 3;
	memcpy(t->info.dims, (size_t[]){ 3, 2, TINY_IN_C }, 3 * sizeof(size_t));
	t->row_stride = 64;
	ck_ok(xrnpe_model_input_layout(model, 0, &layout, &error), error);
	ck_assert_uint_eq(layout.strides[0], 64);
	ck_assert_uint_eq(layout.strides[1], TINY_IN_C * sizeof(float));
	ck_assert_uint_eq(layout.strides[2], sizeof(float));
	t->info.rank = 2;
	memcpy(t->info.dims, (size_t[]){ 6, TINY_IN_C, 1 }, 3 * sizeof(size_t));
	ck_fails(xrnpe_model_input_layout(model, 0, &layout, &error), -ENOTSUP, error,
		 "strides cannot tell");
	xrnpe_model_free(model);
}
END_TEST

TCase *runtime_buffers_tests(void)
{
	TCase *tcase = tcase_create("buffers");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, buffer_bound, 0, 3);
	tcase_add_test(tcase, buffer_bound_cpu);
	tcase_add_test(tcase, buffer_turns);
	tcase_add_test(tcase, buffer_two_names);
	tcase_add_test(tcase, buffer_bad_bindings);
	tcase_add_test(tcase, buffer_layouts);
	return tcase;
}

// SPDX-License-Identifier: MIT
/* Tensors between callers and the device's memory: any shape, order and strides. */
#include <stdlib.h>
#include <string.h>

#include "transfer.h"
#include "unit/runtime_tests.h"

#define BETWEEN -1.f	/* what lies between pixels and lines, and stays */

static size_t at_callers(const struct xrnpe_model_tensor *t, size_t y, size_t x, size_t c)
{
	return t->channels_first ? (c * t->height + y) * t->width + x : (y * t->width + x) * t->channels + c;
}

static void check(const struct xrnpe_model_tensor *t)
{
	size_t step = t->row_stride / sizeof(float), pixel = t->pixel_stride / sizeof(float);
	size_t size = t->height * step;
	float *values = malloc(t->info.count * sizeof(float)), *back = calloc(t->info.count, sizeof(float));
	float *memory = malloc(size * sizeof(float)), *expected = malloc(size * sizeof(float));

	for (size_t i = 0; i < size; i++)
		memory[i] = expected[i] = BETWEEN;
	for (size_t i = 0; i < t->info.count; i++)
		values[i] = (float)i;
	for (size_t y = 0; y < t->height; y++)
		for (size_t x = 0; x < t->width; x++)
			for (size_t c = 0; c < t->channels; c++)
				expected[y * step + x * pixel + c] = values[at_callers(t, y, x, c)];
	ck_assert_int_eq(transfer_in(t, values, memory), 0);
	ck_assert_msg(!memcmp(memory, expected, size * sizeof(float)), "%ux%ux%u in", t->height, t->width,
		      t->channels);
	transfer_out(t, memory, back);
	ck_assert_msg(!memcmp(back, values, t->info.count * sizeof(float)), "%ux%ux%u out", t->height, t->width,
		      t->channels);
	free(values);
	free(back);
	free(memory);
	free(expected);
}

/* Less than a tile of the transposition, whole tiles, and what is left of them. */
START_TEST(transfer_shapes)
{
	struct xrnpe_model_tensor t = { .format = XRNPE_FORMAT_F32, .channels_first = _i & 1 };
	uint32_t between = _i & 2 ? 3 * sizeof(float) : 0, behind = _i & 4 ? 5 * sizeof(float) : 0;

	for (t.height = 1; t.height <= 3; t.height++) {
		for (t.width = 1; t.width <= 10; t.width++) {
			for (t.channels = 1; t.channels <= 10; t.channels++) {
				t.info.count = (size_t)t.height * t.width * t.channels;
				t.pixel_stride = (uint32_t)(t.channels * sizeof(float)) + between;
				t.row_stride = (uint32_t)t.width * t.pixel_stride + behind;
				check(&t);
			}
		}
	}
}
END_TEST

TCase *runtime_transfer_tests(void)
{
	TCase *tests = tcase_create("transfer");

	tcase_add_loop_test(tests, transfer_shapes, 0, 8);
	return tests;
}

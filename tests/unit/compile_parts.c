// SPDX-License-Identifier: MIT
/* The compiler's parts: memory plan, scales, layout. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "unit/compile_tests.h"
#include "unit/onnx_builder.h"

static uint32_t pick(uint32_t *state, uint32_t below)
{
	*state = *state * 1664525 + 1013904223;
	return (*state >> 8) % below;
}

/* ---- plan_buffers ------------------------------------------------------ */

static bool share_time(const struct plan_buffer *a, const struct plan_buffer *b)
{
	return a->first <= b->last && b->first <= a->last;
}

START_TEST(plan_never_overlaps)
{
	struct plan_buffer buffers[60];
	uint32_t state = (uint32_t)_i, count = pick(&state, 60);
	uint64_t total, end = 0, alive = 0;

	for (uint32_t i = 0; i < count; i++) {
		buffers[i].size = 1 + pick(&state, 5000);
		buffers[i].first = pick(&state, 40);
		buffers[i].last = buffers[i].first + pick(&state, _i % 10 + 1);
	}
	ck_assert_int_eq(plan_buffers(buffers, count, &total), 0);
	for (uint32_t i = 0; i < count; i++) {
		const struct plan_buffer *a = &buffers[i];

		ck_assert_uint_eq(a->offset % PLAN_ALIGN, 0);
		if (a->offset + a->size > end)
			end = a->offset + a->size;
		for (uint32_t k = 0; k < i; k++) {
			const struct plan_buffer *b = &buffers[k];

			ck_assert(!share_time(a, b) || a->offset + a->size <= b->offset ||
				  b->offset + b->size <= a->offset);
		}
	}
	ck_assert_uint_eq(total, end);
	/* No more than with no sharing at all. */
	for (uint32_t i = 0; i < count; i++)
		alive += buffers[i].size + PLAN_ALIGN - 1;
	ck_assert_uint_le(total, alive);
}
END_TEST

START_TEST(plan_reuses_a_chain)
{
	/* As in a network without branches: each buffer is read by the next command. */
	struct plan_buffer buffers[10];
	uint64_t total;

	for (uint32_t i = 0; i < 10; i++)
		buffers[i] = (struct plan_buffer){ .size = 640, .first = i, .last = i + 1 };
	ck_assert_int_eq(plan_buffers(buffers, 10, &total), 0);
	ck_assert_uint_eq(total, 2 * 640);
}
END_TEST

/* ---- scales ------------------------------------------------------------ */

static double loss(enum xrnpe_format format, const float *values, size_t count, float scale)
{
	uint32_t status = 0;
	double sum = 0;

	for (size_t i = 0; i < count; i++) {
		float quotient = values[i] / scale;
		double error = values[i] - xrnpe_decode(format, xrnpe_encode(format, quotient,
									     &status)) * scale;

		sum += error * error;
	}
	return sum;
}

START_TEST(scale_loses_least)
{
	enum { COUNT = 300 };
	/* P16 is so fine that its loss is a matter of luck. */
	double slack = _i == XRNPE_FORMAT_P16 ? 2 : 1.1;
	float values[COUNT], scratch[2 * COUNT], scale;
	uint32_t state = 3;
	double found;

	/* Many small values and a few large ones, as in activations. */
	for (int i = 0; i < COUNT; i++)
		values[i] = 1e-3f * expf(2 * onnx_noise(&state)) * (onnx_noise(&state) < 0 ? -1 : 1);
	scale = scale_find((enum xrnpe_format)_i, values, NULL, COUNT, false, scratch);
	found = loss((enum xrnpe_format)_i, values, COUNT, scale);
	for (double s = 1e-5; s < 1; s *= 1.03)
		ck_assert_double_le(found, slack * loss((enum xrnpe_format)_i, values, COUNT,
							(float)s));
}
END_TEST

START_TEST(scale_of_strange_values)
{
	float zeros[4] = { 0 }, tiny[2] = { 1e-40f, -1e-40f }, huge[2] = { 3e38f, -3e38f };
	float scratch[8];

	for (unsigned int f = 0; f < COMPILE_FORMATS; f++) {
		ck_assert_float_eq(scale_find(f, zeros, NULL, 4, false, scratch), 1);
		ck_assert_float_eq(scale_find(f, zeros, NULL, 0, false, scratch), 1);
		ck_assert_float_gt(scale_find(f, tiny, NULL, 2, false, scratch), 0);
		ck_assert_float_finite(scale_find(f, huge, NULL, 2, false, scratch));
	}
}
END_TEST

START_TEST(scale_heeds_importance)
{
	/* Where only one value counts, it is met as well as can be. */
	static const float values[4] = { 1, 1.7f, -3.3f, 90 };
	double importance[4] = { 0 };
	float scratch[8];

	for (int i = 0; i < 4; i++) {
		float scale, code;
		uint32_t status = 0;

		importance[i] = 1;
		scale = scale_find(XRNPE_FORMAT_FP4, values, importance, 4, false, scratch);
		code = (float)xrnpe_decode(XRNPE_FORMAT_FP4,
					   xrnpe_encode(XRNPE_FORMAT_FP4, values[i] / scale,
							&status));
		ck_assert_float_eq_tol(code * scale, values[i], 0.03f * fabsf(values[i]));
		importance[i] = 0;
	}
}
END_TEST

/* ---- layout ------------------------------------------------------------ */

START_TEST(pack_and_unpack)
{
	static const struct image images[] = {
		{ 4, 5, 1, true }, { 2, 3, 5, true }, { 2, 1, 130, true }, { 2, 3, 5, false },
	};
	enum xrnpe_format format = (enum xrnpe_format)_i;

	for (int s = 0; s < 4; s++) {
		const struct image *image = &images[s];
		const struct image_layout layout = image_packed(image, format, 0.25f);
		size_t pixel = xrnpe_row_bytes(format, image->c);
		size_t pixels = image_pixels(image), count = image_count(image);
		float *values = malloc(count * sizeof(*values));
		float *back = malloc(count * sizeof(*back));
		uint8_t *memory = calloc(1, image_bytes(image, format));

		ck_assert(values && back && memory);
		ck_assert_uint_eq(image_bytes(image, format), pixel * pixels);
		/* Values that every format holds; 0.25 is the scale. */
		for (size_t i = 0; i < count; i++)
			values[i] = (const float[]){ 0, 0.25f, -0.5f, 1 }[i * 7 % 4];
		image_write(image, &layout, values, memory);
		for (uint32_t c = 0; c < image->c; c++) {
			for (size_t p = 0; p < pixels; p++) {
				uint32_t code = xrnpe_load(format, memory + p * pixel, c);

				ck_assert_double_eq(xrnpe_decode(format, code) * 0.25,
						    values[image->first ? c * pixels + p : p * image->c + c]);
			}
		}
		image_read(image, &layout, memory, back);
		ck_assert_mem_eq(values, back, count * sizeof(*values));
		free(values);
		free(back);
		free(memory);
	}
}
END_TEST

TCase *compile_parts_tests(void)
{
	TCase *tests = tcase_create("parts");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, plan_never_overlaps, 0, 300);
	tcase_add_test(tests, plan_reuses_a_chain);
	tcase_add_loop_test(tests, scale_loses_least, 0, COMPILE_FORMATS);
	tcase_add_test(tests, scale_of_strange_values);
	tcase_add_test(tests, scale_heeds_importance);
	tcase_add_loop_test(tests, pack_and_unpack, 0, COMPILE_FORMATS + 1);
	return tests;
}

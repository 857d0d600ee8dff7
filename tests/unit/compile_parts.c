// SPDX-License-Identifier: MIT
/* The compiler's parts: memory plan, choice of formats, scales, budgets, layout. */
#include <errno.h>
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

/* ---- choose_options ---------------------------------------------------- */

#define OPTIONS(options) ((const struct option (*)[COMPILE_OPTIONS])(options))

struct total {
	uint64_t bytes;
	double effect, cycles;
};

static struct total add_up(const struct option (*options)[COMPILE_OPTIONS], uint32_t count,
			   const uint8_t *chosen)
{
	struct total total = { 0 };

	for (uint32_t i = 0; i < count; i++) {
		total.bytes += options[i][chosen[i]].bytes;
		total.effect += options[i][chosen[i]].effect;
		total.cycles += options[i][chosen[i]].cycles;
	}
	return total;
}

/* The @code-th of all 16^count choices. */
static struct total add_up_code(const struct option (*options)[COMPILE_OPTIONS], uint32_t count,
				uint32_t code)
{
	uint8_t chosen[8];

	for (uint32_t i = 0; i < count; i++)
		chosen[i] = code >> (4 * i) & 15;
	return add_up(options, count, chosen);
}

START_TEST(choice_is_the_best)
{
	struct option options[4][COMPILE_OPTIONS];
	uint32_t state = (uint32_t)_i, count = 1 + pick(&state, 4);
	uint64_t budget = 100 + pick(&state, 1500);
	struct total got = { 0 }, least = { .effect = INFINITY };
	double before = INFINITY;
	uint8_t chosen[COMPILE_CANDIDATES * 4];
	bool one_speed = _i % 2;
	uint32_t found;
	int ret;

	/* An effect of infinity: no such option. */
	for (uint32_t i = 0; i < count; i++) {
		for (unsigned int k = 0; k < COMPILE_OPTIONS; k++)
			options[i][k] = (struct option){
				.bytes = 20 + pick(&state, 500),
				.effect = k == 3 || pick(&state, 8) ? 1 + pick(&state, 1000) : INFINITY,
				.cycles = one_speed ? 7 : 1 + pick(&state, 100),
			};
	}
	ret = choose_options(OPTIONS(options), count, budget, chosen, &found);
	for (uint32_t code = 0; code < 1u << (4 * count); code++) {
		struct total t = add_up_code(OPTIONS(options), count, code);

		if (t.bytes <= budget && t.effect < least.effect)
			least = t;
	}
	if (isinf(least.effect)) {
		ck_assert_int_eq(ret, -ENOSPC);
		return;
	}
	ck_assert_int_eq(ret, 0);
	ck_assert(found >= 1 && found <= COMPILE_CANDIDATES);
	for (uint32_t i = found; i--;) {
		double score = before;

		got = add_up(OPTIONS(options), count, chosen + i * count);
		ck_assert_uint_le(got.bytes, budget);
		before = sqrt(got.effect) * got.cycles;
		ck_assert_double_le(before, score);
	}
	if (one_speed)
		ck_assert_double_eq(got.effect, least.effect);
	/* Half the time may cost twice the error, the root of the effect. */
	ck_assert_double_le(got.effect, least.effect * pow(least.cycles / got.cycles, 2) * 1.000001);
	/* And nothing is better in both. */
	for (uint32_t code = 0; code < 1u << (4 * count); code++) {
		struct total t = add_up_code(OPTIONS(options), count, code);

		ck_assert(t.bytes > budget || t.effect >= got.effect || t.cycles >= got.cycles);
	}
}
END_TEST

START_TEST(choice_of_many)
{
	enum { COUNT = 300 };
	static struct option options[COUNT][COMPILE_OPTIONS];
	static uint8_t chosen[COMPILE_CANDIDATES * COUNT];
	uint32_t state = 5;
	uint64_t bytes = 0;
	double bound = 0;
	struct total got;
	uint32_t found;

	/*
	 * More points than are kept, which costs up to COUNT of MAX_POINTS grains of the
	 * budget. With that to spare it is as good as P8 throughout.
	 */
	for (uint32_t i = 0; i < COUNT; i++) {
		uint64_t size = 1000 + pick(&state, 1000000);

		for (unsigned int k = 0; k < COMPILE_OPTIONS; k++) {
			unsigned int bits = xrnpe_format_bits(compile_choice(k).weight);

			options[i][k].bytes = size * bits / 4;
			options[i][k].effect = exp2(-2.0 * bits);
			options[i][k].cycles = 1;
		}
		bytes += 2 * size;
		bound += exp2(-16);
	}
	bytes += bytes / 25;
	ck_assert_int_eq(choose_options(OPTIONS(options), COUNT, bytes, chosen, &found), 0);
	got = add_up(OPTIONS(options), COUNT, chosen);
	ck_assert_uint_le(got.bytes, bytes);
	ck_assert_double_le(got.effect, bound);
	ck_assert_int_eq(choose_options(OPTIONS(options), COUNT, 5, chosen, &found), -ENOSPC);
}
END_TEST

/* Wide inputs cost no bytes, but time: they are taken where they matter. */
START_TEST(choice_weighs_time)
{
	static const double input_effect[COMPILE_FORMATS] = { 1e-1, 1e-1, 1e-4, 1e-9 };
	static const double weight_effect[] = { 1e-4, 1e-5 };
	static const enum xrnpe_format expected[] = { XRNPE_FORMAT_P8, XRNPE_FORMAT_P16 };
	struct option options[1][COMPILE_OPTIONS];
	uint8_t chosen[COMPILE_CANDIDATES];
	uint32_t found;

	for (unsigned int i = 0; i < 2; i++) {
		for (unsigned int k = 0; k < COMPILE_OPTIONS; k++) {
			struct choice choice = compile_choice(k);

			options[0][k] = (struct option){
				.bytes = 100, .cycles = xrnpe_format_bits(choice.input),
				.effect = weight_effect[i] + input_effect[choice.input],
			};
		}
		ck_assert_int_eq(choose_options(OPTIONS(options), 1, 1000, chosen, &found), 0);
		ck_assert_int_eq(compile_choice(chosen[0]).input, expected[i]);
	}
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
	scale = calibrate_scale((enum xrnpe_format)_i, values, NULL, COUNT, scratch);
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
		ck_assert_float_eq(calibrate_scale(f, zeros, NULL, 4, scratch), 1);
		ck_assert_float_eq(calibrate_scale(f, zeros, NULL, 0, scratch), 1);
		ck_assert_float_gt(calibrate_scale(f, tiny, NULL, 2, scratch), 0);
		ck_assert_float_finite(calibrate_scale(f, huge, NULL, 2, scratch));
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
		scale = calibrate_scale(XRNPE_FORMAT_FP4, values, importance, 4, scratch);
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

/* ---- budgets ----------------------------------------------------------- */

START_TEST(budgets)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "61440", 61440 }, { "60KiB", 61440 }, { "60kib", 61440 },
		{ "1.5MiB", 1572864 }, { "4x", 3882 }, { "2.5X", 6211 }, { "1", 1 },
	};
	static const char *const bad[] = {
		"", "x", "0x", "-4x", "0", "-1", "nan", "inf", "nanx", "1e300", "60KB", "4xx",
		"4 x", "12 34",
	};
	Onnx__ModelProto *model = onnx_resnet();
	struct xrnpe_graph *graph;
	struct xrnpe_error error;
	uint64_t budget;
	size_t size;
	uint8_t *data = onnx_pack(model, &size);

	ck_assert_int_eq(xrnpe_graph_parse("m", data, size, NULL, &graph, &error), 0);
	ck_assert_uint_eq(xrnpe_graph_bytes(graph), 15528);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ck_assert_int_eq(xrnpe_budget_parse(good[i].text, graph, &budget, &error), 0);
		ck_assert_uint_eq(budget, good[i].bytes);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(xrnpe_budget_parse(bad[i], graph, &budget, &error) == -EINVAL,
			      "%s", bad[i]);
	xrnpe_graph_free(graph);
	onnx_free(model);
	free(data);
}
END_TEST

TCase *compile_parts_tests(void)
{
	TCase *tests = tcase_create("parts");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, plan_never_overlaps, 0, 300);
	tcase_add_test(tests, plan_reuses_a_chain);
	tcase_add_loop_test(tests, choice_is_the_best, 0, 100);
	tcase_add_test(tests, choice_of_many);
	tcase_add_test(tests, choice_weighs_time);
	tcase_add_loop_test(tests, scale_loses_least, 0, COMPILE_FORMATS);
	tcase_add_test(tests, scale_of_strange_values);
	tcase_add_test(tests, scale_heeds_importance);
	tcase_add_loop_test(tests, pack_and_unpack, 0, COMPILE_FORMATS + 1);
	tcase_add_test(tests, budgets);
	return tests;
}

// SPDX-License-Identifier: MIT
/* Limits, and which formats keep them at the least cost. */
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

#define OPTIONS(options) ((const struct option (*)[COMPILE_OPTIONS])(options))
#define NO_LIMITS ((struct choose_limits){ UINT64_MAX, INFINITY, INFINITY, 0, { 1, 1, 0 } })

enum { ROWS = 4 };

/* Options as random as there can be; one that nothing is in the way of is always there. */
static void fill(struct option options[ROWS][COMPILE_OPTIONS], uint32_t *state)
{
	for (uint32_t i = 0; i < ROWS; i++) {
		for (unsigned int k = 0; k < COMPILE_OPTIONS; k++)
			options[i][k] = (struct option){
				.bytes = 20 + pick(state, 500),
				.effect = k == 3 || pick(state, 8) ? 1 + pick(state, 1000) : INFINITY,
				.cycles = 1 + pick(state, 100),
				.picojoules = 1 + pick(state, 100),
			};
	}
}

static struct option add_up(const struct option (*options)[COMPILE_OPTIONS], uint32_t count,
			    const uint8_t *chosen)
{
	struct option total = { 0 };

	for (uint32_t i = 0; i < count; i++) {
		const struct option *option = &options[i][chosen[i]];

		total.bytes += option->bytes;
		total.effect += option->effect;
		total.cycles += option->cycles;
		total.picojoules += option->picojoules;
	}
	return total;
}

/* The @code-th of all choices of all rows. */
static struct option add_up_code(const struct option (*options)[COMPILE_OPTIONS], uint32_t code)
{
	uint8_t chosen[ROWS];

	for (uint32_t i = 0; i < ROWS; i++)
		chosen[i] = code >> (4 * i) & 15;
	return add_up(options, ROWS, chosen);
}

#define CODES (1u << 4 * ROWS)

/* With bytes alone limited it is exact. */
START_TEST(least_effect_within_bytes)
{
	struct option options[ROWS][COMPILE_OPTIONS];
	struct choose_limits limits = NO_LIMITS;
	uint32_t state = (uint32_t)_i;
	double least = INFINITY;
	uint8_t chosen[ROWS];
	int ret;

	fill(options, &state);
	limits.bytes = 100 + pick(&state, 1500);
	for (uint32_t code = 0; code < CODES; code++) {
		struct option t = add_up_code(OPTIONS(options), code);

		if (t.bytes <= limits.bytes)
			least = fmin(least, t.effect);
	}
	ret = choose_options(OPTIONS(options), ROWS, &limits, chosen);
	ck_assert_int_eq(ret, isfinite(least) ? 0 : -ENOSPC);
	if (ret)
		return;
	ck_assert_uint_le(add_up(OPTIONS(options), ROWS, chosen).bytes, limits.bytes);
	ck_assert_double_eq(add_up(OPTIONS(options), ROWS, chosen).effect, least);
}
END_TEST

/*
 * Cycles and energy are weighed by a price: the choice keeps the limit if any does (but for
 * the last price that is looked for), and none that keeps it is better by more than the hull
 * of all choices leaves open: it is not beaten in all at once.
 */
START_TEST(least_effect_within_cycles_and_energy)
{
	struct option options[ROWS][COMPILE_OPTIONS], got;
	struct choose_limits limits = NO_LIMITS;
	uint32_t state = (uint32_t)_i;
	uint8_t chosen[ROWS];

	fill(options, &state);
	limits.bytes = 800 + pick(&state, 1500);
	if (_i % 3)
		limits.cycles = 100 + pick(&state, 200);
	if (_i % 3 != 1)
		limits.picojoules = 150 + pick(&state, 200);
	if (choose_options(OPTIONS(options), ROWS, &limits, chosen))
		return;
	got = add_up(OPTIONS(options), ROWS, chosen);
	ck_assert_uint_le(got.bytes, limits.bytes);
	for (uint32_t code = 0; code < CODES; code++) {
		struct option t = add_up_code(OPTIONS(options), code);

		if (t.bytes > limits.bytes)
			continue;
		/* Whatever keeps one limit alone can be had at some price. */
		if (_i % 3 == 1)
			ck_assert(got.cycles <= limits.cycles || t.cycles >= got.cycles);
		if (_i % 3 == 0)
			ck_assert(got.picojoules <= limits.picojoules ||
				  t.picojoules >= got.picojoules);
		ck_assert(t.effect >= got.effect || t.cycles >= got.cycles ||
			  t.picojoules >= got.picojoules);
	}
}
END_TEST

/* What is cheapest for an effect: no other has less effect, fewer bytes and fewer cycles. */
START_TEST(least_cost_for_effect)
{
	struct option options[ROWS][COMPILE_OPTIONS], got;
	struct choose_limits limits = NO_LIMITS;
	uint32_t state = (uint32_t)_i;
	double least = INFINITY;
	uint8_t chosen[ROWS];

	fill(options, &state);
	limits.effect = 50 + pick(&state, 2000);
	ck_assert_int_eq(choose_options(OPTIONS(options), ROWS, &limits, chosen), 0);
	got = add_up(OPTIONS(options), ROWS, chosen);
	for (uint32_t code = 0; code < CODES; code++) {
		struct option t = add_up_code(OPTIONS(options), code);

		least = fmin(least, t.effect);
		ck_assert(t.effect >= got.effect || t.cycles >= got.cycles || t.bytes >= got.bytes);
	}
	ck_assert(got.effect <= limits.effect || got.effect == least);
}
END_TEST

START_TEST(choice_of_many)
{
	enum { COUNT = 300 };
	static struct option options[COUNT][COMPILE_OPTIONS];
	struct choose_limits limits = NO_LIMITS;
	static uint8_t chosen[COUNT];
	uint32_t state = 5;
	uint64_t bytes = 0;
	double bound = 0;
	struct option got;

	/*
	 * More points than are kept, which costs up to COUNT of MAX_POINTS grains of the
	 * budget. With that to spare it is as good as P8 throughout.
	 */
	for (uint32_t i = 0; i < COUNT; i++) {
		uint64_t size = 1000 + pick(&state, 1000000);

		for (unsigned int k = 0; k < COMPILE_OPTIONS; k++) {
			unsigned int bits = xrnpe_format_bits(compile_choice((uint8_t)k).weight);

			options[i][k].bytes = size * bits / 4;
			options[i][k].effect = exp2(-2.0 * bits);
			options[i][k].cycles = 1;
		}
		bytes += 2 * size;
		bound += exp2(-16);
	}
	limits.bytes = bytes + bytes / 25;
	ck_assert_int_eq(choose_options(OPTIONS(options), COUNT, &limits, chosen), 0);
	got = add_up(OPTIONS(options), COUNT, chosen);
	ck_assert_uint_le(got.bytes, limits.bytes);
	ck_assert_double_le(got.effect, bound);
	limits.bytes = 5;
	ck_assert_int_eq(choose_options(OPTIONS(options), COUNT, &limits, chosen), -ENOSPC);
}
END_TEST

/* ---- limits as they are written ---------------------------------------- */

static struct xrnpe_graph *load_resnet(void)
{
	Onnx__ModelProto *model = onnx_resnet();
	struct xrnpe_graph *graph;
	struct xrnpe_error error;
	size_t size;
	uint8_t *data = onnx_pack(model, &size);

	ck_assert_int_eq(xrnpe_graph_parse("m", data, size, NULL, &graph, &error), 0);
	ck_assert_uint_eq(xrnpe_graph_bytes(graph), 15528);
	onnx_free(model);
	free(data);
	return graph;
}

START_TEST(limits_are_read)
{
	static const struct {
		const char *text;
		struct xrnpe_limits limits;
	} good[] = {
		{ "61440", { .bytes = 61440 } }, { "60KiB", { .bytes = 61440 } },
		{ "60kib", { .bytes = 61440 } }, { "1.5MiB", { .bytes = 1572864 } },
		{ "4x", { .bytes = 3882 } }, { "2.5X", { .bytes = 6211 } }, { "1", { .bytes = 1 } },
		{ "1e9x", { .bytes = 1 } }, { "9e15MiB", { .bytes = UINT64_C(1) << 63 } },
		{ "1e-300x", { .bytes = UINT64_C(1) << 63 } }, { "2ms", { .cycles = 2e6 } }, { "300us", { .cycles = 3e5 } },
		{ "1s", { .cycles = 1e9 } }, { "1.5Mcycles", { .cycles = 1.5e6 } },
		{ "70kcycles", { .cycles = 7e4 } }, { "12cycles", { .cycles = 12 } },
		{ "2mJ", { .picojoules = 2e9 } }, { "80uJ", { .picojoules = 8e7 } },
		{ "1%", { .error = 0.01 } }, { "0.25%", { .error = 0.0025 } },
	};
	static const char *const bad[] = {
		"", "x", "0x", "-4x", "0", "-1", "nan", "inf", "nanx", "1e300", "60KB", "4xx",
		"4 x", "12 34", "%", "-1%", "0ms", "3 ms", "5W",
	};
	struct xrnpe_graph *graph = load_resnet();
	struct xrnpe_error error;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		const struct xrnpe_limits *want = &good[i].limits;
		struct xrnpe_limits limits = { 0 };

		ck_assert_int_eq(xrnpe_limits_parse(good[i].text, graph, &limits, &error), 0);
		ck_assert_uint_eq(limits.bytes, want->bytes);
		ck_assert_double_le(fabs(limits.cycles - want->cycles), 1e-9 * want->cycles);
		ck_assert_double_le(fabs(limits.picojoules - want->picojoules), 1e-9 * want->picojoules);
		ck_assert_double_le(fabs(limits.error - want->error), 1e-9 * want->error);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct xrnpe_limits limits = { 0 };

		ck_assert_msg(xrnpe_limits_parse(bad[i], graph, &limits, &error) == -EINVAL,
			      "%s", bad[i]);
		ck_assert_msg(strstr(error.message, bad[i]) && strstr(error.message, "(4x)"), "%s",
			      error.message);
	}
	xrnpe_graph_free(graph);
}
END_TEST

START_TEST(of_two_limits_the_tighter_holds)
{
	struct xrnpe_graph *graph = load_resnet();
	struct xrnpe_limits limits = { 0 };
	struct xrnpe_error error;

	ck_assert_int_eq(xrnpe_limits_parse("1%", graph, &limits, &error), 0);
	ck_assert_int_eq(xrnpe_limits_parse("2%", graph, &limits, &error), 0);
	ck_assert_int_eq(xrnpe_limits_parse("4x", graph, &limits, &error), 0);
	ck_assert_int_eq(xrnpe_limits_parse("3000", graph, &limits, &error), 0);
	ck_assert_int_eq(xrnpe_limits_parse("2ms", graph, &limits, &error), 0);
	ck_assert_int_eq(xrnpe_limits_parse("1000cycles", graph, &limits, &error), 0);
	ck_assert_double_eq(limits.error, 0.01);
	ck_assert_uint_eq(limits.bytes, 3000);
	ck_assert_double_eq(limits.cycles, 1000);
	xrnpe_graph_free(graph);
}
END_TEST

START_TEST(figures_of_energy)
{
	struct xrnpe_graph *graph = load_resnet();
	struct xrnpe_compile_options options = { 0 };
	struct xrnpe_model *model = NULL;
	struct xrnpe_energy energy, usual;
	struct xrnpe_error error;

	xrnpe_energy_init(&usual);
	ck_assert_double_gt(usual.memory_byte, 0);
	options.energy = &energy;
	energy = usual;
	energy.cycle = NAN;
	ck_assert_int_eq(xrnpe_compile(graph, &options, &model, &error), -EINVAL);
	ck_assert_msg(strstr(error.message, "energy: cycle is nan"), "%s", error.message);
	energy = usual;
	energy.product[XRNPE_FORMAT_P8][XRNPE_FORMAT_FP4] = -1;
	ck_assert_int_eq(xrnpe_compile(graph, &options, &model, &error), -EINVAL);
	ck_assert_msg(strstr(error.message, "energy: fp4/p8 is -1"), "%s", error.message);
	ck_assert_int_eq(xrnpe_energy_set(&usual, "fp4/p8", 0.25, &error), 0);
	ck_assert_double_eq(usual.product[XRNPE_FORMAT_P8][XRNPE_FORMAT_FP4], 0.25);
	ck_assert_int_eq(xrnpe_energy_set(&usual, "fp4/p8x", 1, &error), -EINVAL);
	ck_assert_int_eq(xrnpe_energy_set(&usual, "sharing", INFINITY, &error), -EINVAL);
	xrnpe_graph_free(graph);
}
END_TEST

TCase *compile_choice_tests(void)
{
	TCase *tests = tcase_create("choice");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, least_effect_within_bytes, 0, 100);
	tcase_add_loop_test(tests, least_effect_within_cycles_and_energy, 0, 100);
	tcase_add_loop_test(tests, least_cost_for_effect, 0, 100);
	tcase_add_test(tests, choice_of_many);
	tcase_add_test(tests, limits_are_read);
	tcase_add_test(tests, of_two_limits_the_tighter_holds);
	tcase_add_test(tests, figures_of_energy);
	return tests;
}

// SPDX-License-Identifier: MIT
/* Choices are made models once. */
#include <string.h>

#include "trials.h"
#include "unit/compile_run.h"
#include "unit/compile_tests.h"

/* As far as xrnpe_compile() goes before it chooses. */
static void measure(struct compiler *compiler)
{
	ck_assert_int_eq(inputs_choose(compiler), 0);
	ck_assert_int_eq(compile_prepare(compiler), 0);
	ck_assert_int_eq(calibrate_run(compiler), 0);
	ck_assert_int_eq(scale_tensors(compiler), 0);
	ck_assert_int_eq(measure_losses(compiler), 0);
}

/* What is tried again takes no time; what exceeded limits is made when they are wider. */
START_TEST(choices_are_made_once)
{
	struct xrnpe_graph *graph = load(onnx_resnet());
	struct xrnpe_array *inputs = noise(graph, CALIBRATION, 1);
	const struct xrnpe_compile_options options = { .calibration = inputs };
	const struct xrnpe_limits none = { 0 }, tight = { .bytes = 1 };
	struct compiler compiler = { .source = graph, .options = &options, .error = &error };
	struct trials trials = { .compiler = &compiler };
	struct trial *first, *again, *other;
	uint8_t chosen[256];
	size_t steps;

	xrnpe_energy_init(&compiler.energy);
	measure(&compiler);
	ck_assert_uint_le(2 * compiler.graph->node_count, sizeof(chosen));
	memset(chosen, compile_option(XRNPE_FORMAT_P8, XRNPE_FORMAT_P8), sizeof(chosen));
	ck_assert_int_eq(trials_make(&trials, chosen, &tight, &first), 0);
	ck_assert_ptr_null(first->model);
	ck_assert_uint_gt(first->bytes, 1);
	ck_assert_int_eq(trials_make(&trials, chosen, &none, &again), 0);
	ck_assert(again == first && first->model);

	steps = compiler.step;
	ck_assert_int_eq(trials_make(&trials, chosen, &none, &again), 0);
	ck_assert(again == first && compiler.step == steps && trials.count == 1);

	memset(chosen, compile_option(XRNPE_FORMAT_FP4, XRNPE_FORMAT_P8), sizeof(chosen));
	ck_assert_int_eq(trials_make(&trials, chosen, &none, &other), 0);
	ck_assert(other != first && other->model && compiler.step > steps && trials.count == 2);
	ck_assert_uint_lt(other->bytes, first->bytes);
	trials_free(&trials);
	compile_clean_up(&compiler);
	noise_free(graph, inputs);
	xrnpe_graph_free(graph);
}
END_TEST

TCase *compile_trials_tests(void)
{
	TCase *tests = tcase_create("trials");

	tcase_add_test(tests, choices_are_made_once);
	return tests;
}

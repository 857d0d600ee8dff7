// SPDX-License-Identifier: MIT
/* Whole networks on XRNPE_TEST_DEVICE: the bits that the emulator computes. */
#include <stdlib.h>
#include <string.h>

#include "unit/compile_run.h"
#include "unit/runtime_tests.h"

/* Those that an emulated CPU compiles in seconds. */
static const unsigned int subjects[] = { 0, 1, 2, 3, 4, 5, 7, 8, 10, 12, 13, 14, 15 };

static void same_bits(const struct xrnpe_graph *graph, uint64_t budget)
{
	struct xrnpe_array *inputs = noise(graph, TESTS, 77);
	float *want[MOST_TENSORS], *got[MOST_TENSORS];
	struct xrnpe_model *model;

	ck_ok(compile(graph, budget, &model), error);
	run_model_on("emu", model, inputs, want);
	run_model_on(test_device(), model, inputs, got);
	for (unsigned int k = 0; k < xrnpe_model_output_count(model); k++) {
		ck_assert_mem_eq(got[k], want[k],
				 TESTS * xrnpe_model_output(model, k)->count * sizeof(float));
		free(want[k]);
		free(got[k]);
	}
	xrnpe_model_free(model);
	noise_free(graph, inputs);
}

/* In the widest formats, and in those that an error of 1 % leaves. */
START_TEST(emulated)
{
	struct xrnpe_graph *graph = load(networks[subjects[_i]]());

	same_bits(graph, 1 << 20);
	same_bits(graph, 0);
	xrnpe_graph_free(graph);
}
END_TEST

TCase *runtime_networks_tests(void)
{
	TCase *tcase = tcase_create("networks");

	tcase_set_timeout(tcase, 300);
	tcase_add_loop_test(tcase, emulated, 0, sizeof(subjects) / sizeof(*subjects));
	return tcase;
}

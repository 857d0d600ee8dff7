// SPDX-License-Identifier: MIT
/* Unit tests of the datapath; the oracle's vectors are in datapath_vectors.c. */
#include <stdlib.h>

#include "datapath.h"
#include "unit/datapath_tests.h"
#include "unit/run_suite.h"

bool kernel_is_tested(const char *name)
{
	const char *only = getenv("XRNPE_TEST_KERNEL");

	return !only || !strcmp(name, only);
}

bool trial_is_left_out(uint64_t *state)
{
	const char *one_in = getenv("XRNPE_TEST_ONE_IN");

	return one_in && random_below(state, (uint32_t)strtoul(one_in, NULL, 10));
}

int main(void)
{
	Suite *suite = suite_create("datapath");

	suite_add_tcase(suite, datapath_format_tests());
	suite_add_tcase(suite, datapath_sample_tests());
	suite_add_tcase(suite, datapath_codec_tests());
	suite_add_tcase(suite, datapath_check_tests());
	suite_add_tcase(suite, datapath_names_tests());
	suite_add_tcase(suite, datapath_run_tests());
	suite_add_tcase(suite, datapath_pass_tests());
	suite_add_tcase(suite, datapath_prepared_tests());
	suite_add_tcase(suite, datapath_output_tests());
	suite_add_tcase(suite, datapath_elementwise_tests());
	suite_add_tcase(suite, datapath_fixed_tests());
	suite_add_tcase(suite, datapath_cost_tests());
	return run_suite(suite);
}

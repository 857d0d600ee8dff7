// SPDX-License-Identifier: MIT
/* Unit tests of the datapath; the oracle's vectors are in datapath_vectors.c. */
#include <stdlib.h>

#include "datapath.h"
#include "unit/datapath_tests.h"

int main(void)
{
	Suite *suite = suite_create("datapath");
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, datapath_format_tests());
	suite_add_tcase(suite, datapath_sample_tests());
	suite_add_tcase(suite, datapath_codec_tests());
	suite_add_tcase(suite, datapath_check_tests());
	suite_add_tcase(suite, datapath_names_tests());
	suite_add_tcase(suite, datapath_run_tests());
	suite_add_tcase(suite, datapath_pass_tests());
	suite_add_tcase(suite, datapath_output_tests());
	suite_add_tcase(suite, datapath_elementwise_tests());
	suite_add_tcase(suite, datapath_fixed_tests());
	suite_add_tcase(suite, datapath_cost_tests());
	runner = srunner_create(suite);
	srunner_set_tap(runner, "-");
	srunner_run_all(runner, CK_SILENT);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

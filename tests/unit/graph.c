// SPDX-License-Identifier: MIT
/* Unit tests of libxrnpe's graphs: reading, folding, the FP32 reference. */
#include <stdlib.h>

#include "unit/graph_tests.h"

int main(void)
{
	Suite *suite = suite_create("graph");
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, graph_import_tests());
	suite_add_tcase(suite, graph_fold_tests());
	suite_add_tcase(suite, graph_reference_tests());
	suite_add_tcase(suite, graph_recurrent_tests());
	suite_add_tcase(suite, graph_tflite_tests());
	suite_add_tcase(suite, graph_tflite_file_tests());
	suite_add_tcase(suite, graph_mediapipe_tests());
	suite_add_tcase(suite, graph_fuzz_tests());
	runner = srunner_create(suite);
	srunner_set_tap(runner, "-");
	srunner_run_all(runner, CK_SILENT);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

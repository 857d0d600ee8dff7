// SPDX-License-Identifier: MIT
/* Unit tests of libxrnpe's graphs: reading, folding, the FP32 reference. */
#include "unit/graph_tests.h"
#include "unit/run_suite.h"

int main(void)
{
	Suite *suite = suite_create("graph");

	suite_add_tcase(suite, graph_import_tests());
	suite_add_tcase(suite, graph_fold_tests());
	suite_add_tcase(suite, graph_reference_tests());
	suite_add_tcase(suite, graph_recurrent_tests());
	suite_add_tcase(suite, graph_tflite_tests());
	suite_add_tcase(suite, graph_tflite_file_tests());
	suite_add_tcase(suite, graph_mediapipe_tests());
	suite_add_tcase(suite, graph_fuzz_tests());
	return run_suite(suite);
}

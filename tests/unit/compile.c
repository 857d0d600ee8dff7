// SPDX-License-Identifier: MIT
/* Unit tests of libxrnpe's compiler. */
#include "unit/compile_tests.h"
#include "unit/run_suite.h"

int main(void)
{
	Suite *suite = suite_create("compile");

	suite_add_tcase(suite, compile_parts_tests());
	suite_add_tcase(suite, compile_choice_tests());
	suite_add_tcase(suite, compile_precision_tests());
	suite_add_tcase(suite, compile_model_tests());
	suite_add_tcase(suite, compile_pieces_tests());
	suite_add_tcase(suite, compile_constants_tests());
	suite_add_tcase(suite, compile_moves_tests());
	suite_add_tcase(suite, compile_split_tests());
	suite_add_tcase(suite, compile_bytes_tests());
	suite_add_tcase(suite, compile_scales_tests());
	suite_add_tcase(suite, compile_task_tests());
	suite_add_tcase(suite, compile_layers_tests());
	suite_add_tcase(suite, compile_points_tests());
	suite_add_tcase(suite, compile_trials_tests());
	return run_suite(suite);
}

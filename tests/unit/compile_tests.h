/* SPDX-License-Identifier: MIT */
/* The parts of the compiler's unit tests. */
#ifndef COMPILE_TESTS_H
#define COMPILE_TESTS_H

#include <check.h>

TCase *compile_parts_tests(void);
TCase *compile_choice_tests(void);
TCase *compile_precision_tests(void);
TCase *compile_model_tests(void);
TCase *compile_pieces_tests(void);
TCase *compile_constants_tests(void);
TCase *compile_moves_tests(void);
TCase *compile_split_tests(void);
TCase *compile_bytes_tests(void);
TCase *compile_scales_tests(void);
TCase *compile_task_tests(void);
TCase *compile_layers_tests(void);
TCase *compile_points_tests(void);
TCase *compile_trials_tests(void);

#endif

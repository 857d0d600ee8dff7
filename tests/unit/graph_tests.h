/* SPDX-License-Identifier: MIT */
/* The parts of the graph's unit tests. */
#ifndef GRAPH_TESTS_H
#define GRAPH_TESTS_H

#include <check.h>

TCase *graph_import_tests(void);
TCase *graph_fold_tests(void);
TCase *graph_reference_tests(void);
TCase *graph_recurrent_tests(void);
TCase *graph_tflite_tests(void);
TCase *graph_tflite_file_tests(void);
TCase *graph_mediapipe_tests(void);
TCase *graph_fuzz_tests(void);

#endif

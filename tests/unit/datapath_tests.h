/* SPDX-License-Identifier: MIT */
/* What the datapath's test files share. */
#ifndef TEST_DATAPATH_H
#define TEST_DATAPATH_H

#include <check.h>
#include <stdint.h>

#include "datapath.h"
#include "random.h"

TCase *datapath_format_tests(void);
TCase *datapath_sample_tests(void);
TCase *datapath_codec_tests(void);
TCase *datapath_check_tests(void);
TCase *datapath_run_tests(void);
TCase *datapath_output_tests(void);
TCase *datapath_elementwise_tests(void);

#endif

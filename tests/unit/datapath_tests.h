/* SPDX-License-Identifier: MIT */
/* What the datapath's test files share. */
#ifndef TEST_DATAPATH_H
#define TEST_DATAPATH_H

#include <check.h>
#include <stdint.h>
#include <string.h>

#include "binary32.h"
#include "datapath.h"
#include "random.h"

/** The code that @value rounds to, whatever the status. */
static inline uint32_t code_of(enum xrnpe_format format, double value)
{
	uint32_t status = 0;

	return xrnpe_encode(format, value, &status);
}

/*
 * A suite may run less than all of the tests, where others do the rest. The environment
 * tells: XRNPE_TEST_KERNEL is the only kernel whose products are looked at, and of the trials
 * of a loop one in XRNPE_TEST_ONE_IN is done.
 */

/** Whether kernel @name is one that this suite is about. */
bool kernel_is_tested(const char *name);

/** Whether a trial is not done. That follows from @state, so it is always the same ones, and
 * other ones in a test that starts with another. */
bool trial_is_left_out(uint64_t *state);

TCase *datapath_format_tests(void);
TCase *datapath_sample_tests(void);
TCase *datapath_codec_tests(void);
TCase *datapath_check_tests(void);
TCase *datapath_names_tests(void);
TCase *datapath_run_tests(void);
TCase *datapath_pass_tests(void);
TCase *datapath_prepared_tests(void);
TCase *datapath_output_tests(void);
TCase *datapath_elementwise_tests(void);
TCase *datapath_fixed_tests(void);
TCase *datapath_cost_tests(void);

#endif

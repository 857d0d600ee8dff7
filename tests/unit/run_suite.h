/* SPDX-License-Identifier: MIT */
/* What the programs of unit tests do with their suites. */
#ifndef UNIT_RUN_SUITE_H
#define UNIT_RUN_SUITE_H

#include <check.h>
#include <malloc.h>
#include <stdlib.h>

/*
 * All bits of memory from malloc() are 1 at first: whoever reads it too early reads NaN. Not what
 * a thread freed shortly before, but tests/run has that turned off.
 */
#define UNWRITTEN 0x100	/* M_PERTURB inverts the low byte, and 0 would turn it off */

/* Run @suite, results as TAP. Returns what main() does. */
static inline int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	mallopt(M_PERTURB, UNWRITTEN);
	srunner_set_tap(runner, "-");
	srunner_run_all(runner, CK_SILENT);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif

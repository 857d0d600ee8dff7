/* SPDX-License-Identifier: MIT */
/* What the datapath's test files share. */
#ifndef TEST_DATAPATH_H
#define TEST_DATAPATH_H

#include <check.h>
#include <stdint.h>

#include "datapath.h"

TCase *datapath_format_tests(void);
TCase *datapath_check_tests(void);
TCase *datapath_run_tests(void);

/** xorshift64*: the same numbers everywhere. @state is not zero. */
static inline uint32_t random_word(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (uint32_t)(*state * 0x2545f4914f6cdd1dull >> 32);
}

static inline uint32_t random_below(uint64_t *state, uint32_t limit)
{
	return (uint32_t)((uint64_t)random_word(state) * limit >> 32);
}

#endif

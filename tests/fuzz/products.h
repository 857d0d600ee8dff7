/* SPDX-License-Identifier: MIT */
/* What the fuzz target and its driver share. */
#ifndef TEST_FUZZ_PRODUCTS_H
#define TEST_FUZZ_PRODUCTS_H

#include <stddef.h>
#include <stdint.h>

#include "datapath.h"

/** libFuzzer's entry point: a command made from @data. Aborts if kernels differ. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** splitmix64: the same numbers everywhere. */
static inline uint32_t fuzz_random(uint64_t *state)
{
	uint64_t word = *state += 0x9e3779b97f4a7c15ull;

	word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9ull;
	word = (word ^ word >> 27) * 0x94d049bb133111ebull;
	return (uint32_t)(word >> 32);
}

#endif

/* SPDX-License-Identifier: MIT */
/* Random numbers for tests: the same everywhere, for any state to start from. */
#ifndef TEST_RANDOM_H
#define TEST_RANDOM_H

#include <stdint.h>

/** splitmix64, the upper half. */
static inline uint32_t random_word(uint64_t *state)
{
	uint64_t word = *state += 0x9e3779b97f4a7c15ull;

	word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9ull;
	word = (word ^ word >> 27) * 0x94d049bb133111ebull;
	return (uint32_t)(word >> 32);
}

/** 0..@limit - 1 */
static inline uint32_t random_below(uint64_t *state, uint32_t limit)
{
	return (uint32_t)((uint64_t)random_word(state) * limit >> 32);
}

#endif

/* SPDX-License-Identifier: MIT */
/* Random numbers that a seed repeats. */
#ifndef XRNPE_RANDOM_H
#define XRNPE_RANDOM_H

#include <stdint.h>
#include <stdlib.h>

struct random {
	uint64_t state;
};

static inline struct random seeded(uint64_t seed)
{
	return (struct random){ seed * UINT64_C(0x9e3779b97f4a7c15) | 1 };
}

static inline uint32_t draw(struct random *random, uint32_t below)
{
	/* xorshift64* */
	random->state ^= random->state >> 12;
	random->state ^= random->state << 25;
	random->state ^= random->state >> 27;
	return (random->state * UINT64_C(2685821657736338717) >> 32) % below;
}

/* A number of the environment. */
static inline uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *value = getenv(name);

	return value ? strtoull(value, NULL, 0) : otherwise;
}

#endif

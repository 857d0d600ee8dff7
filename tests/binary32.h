/* SPDX-License-Identifier: MIT */
/* Patterns of bits of binary32. */
#ifndef TEST_BINARY32_H
#define TEST_BINARY32_H

#include <stdint.h>
#include <string.h>

/** The binary32 with a pattern of bits, and its inverse. */
static inline float float_of(uint32_t bits)
{
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static inline uint32_t bits_of(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

#endif

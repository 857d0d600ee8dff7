// SPDX-License-Identifier: MIT
/*
 * Posit(16,1) as tiles of 16-bit words.
 *
 * They are digits (digits.h): as many as the values of a tile's rows or of a panel's
 * channels need.
 */
#if defined(__x86_64__) || defined(__AARCH64EL__)

#include <string.h>

#include "gemm_tiles.h"

static bool decode_p16(const struct xrnpe_product *product, const uint8_t *row,
		       size_t first, size_t count, void *values)
{
	int64_t *to = values;
	bool found = false;

	(void)product;
	row += first * 2;
	/* Without branches: the codes of a tensor are hard to predict. */
	for (size_t i = 0; i < count; i++) {
		uint32_t code = row[2 * i] | (uint32_t)row[2 * i + 1] << 8, negative = code >> 15;
		/* The 15 bits after the sign at the top: regime, exponent, fraction. */
		uint32_t body = ((code ^ -negative) + negative) << 17, empty = !body, ones, rest;
		uint64_t magnitude;
		int run, regime;

		found |= empty & negative;
		body |= empty << 17;		/* some value, not used */
		ones = body >> 31;
		run = __builtin_clz(body ^ -ones);
		regime = (int)ones * (2 * run - 1) - run;	/* run - 1 or -run */
		rest = body << run << 1;
		/* The significand starts at bit 63; 2^-28 is the grid's unit. */
		magnitude = 1ull << 63 | (uint64_t)(rest << 1) << 31;
		magnitude >>= 63 - 28 - (2 * regime + (int)(rest >> 31));
		magnitude &= (uint64_t)empty - 1;
		to[i] = (int64_t)((magnitude ^ -(uint64_t)negative) + negative);
	}
	return found;
}

const struct xrnpe_decoder xrnpe_tiles_p16 = { decode_p16, sizeof(int64_t), 0 };

struct digits xrnpe_digits_of(const int64_t *values, size_t pitch, size_t count, size_t k)
{
	uint64_t bits = 0;

	for (size_t r = 0; r < count; r++) {
		for (size_t i = 0; i < k; i++) {
			int64_t value = values[r * pitch + i];

			bits |= (uint64_t)(value < 0 ? -value : value);
		}
	}
	return digits_for(bits, DIGIT_BITS);
}

/* Two 16-bit numbers in a word, less @bias each. Both bits 15 are clear. */
static void put_pair(uint8_t *to, uint32_t both, uint32_t bias)
{
	both = ((both | 0x80008000) - bias * 0x10001) ^ 0x80008000;
	memcpy(to, &both, sizeof(both));
}

void xrnpe_digits_split(const int64_t *values, size_t k, struct digits digits,
			uint8_t *to, size_t step, size_t slice)
{
	const uint32_t half = 1 << (DIGIT_BITS - 1), mask = (1 << DIGIT_BITS) - 1;
	uint64_t offset = 0;

	/* With half of the radix added to each, digits are just bits of the sum. */
	for (int d = 0; d < digits.count; d++)
		offset = offset << DIGIT_BITS | half;
	for (size_t i = 0; i < k; i += 2, to += step) {
		uint64_t first = (uint64_t)(values[i] >> digits.shift) + offset;
		uint64_t second = (uint64_t)(i + 1 < k ? values[i + 1] >> digits.shift : 0) + offset;
		uint32_t digit[DIGITS];

		for (int d = 0; d < digits.count; d++) {
			digit[d] = (first & mask) | (uint32_t)(second & mask) << 16;
			first >>= DIGIT_BITS;
			second >>= DIGIT_BITS;
			put_pair(to + (size_t)d * slice, digit[d], half);
			for (int e = 0; e < d; e++)
				put_pair(to + (size_t)pair_slice(e, d) * slice, digit[e] + digit[d], 2 * half);
		}
	}
}

static void accumulate(int64_t (*to)[LANES], int64_t (*sum)[LANES], int sign)
{
	for (int r = 0; r < ROWS; r++) {
		for (int i = 0; i < LANES; i++)
			to[r][i] += sign * sum[r][i];
	}
}

void xrnpe_digits_multiply(xrnpe_tile *tile, const uint8_t *a, size_t pitch, size_t a_slice,
			   struct digits inputs, const uint8_t *b, size_t b_slice,
			   struct digits weights, size_t steps,
			   int64_t (*sum)[LANES], int64_t (*power)[ROWS][LANES])
{
	int both = inputs.count < weights.count ? inputs.count : weights.count;

	memset(power, 0, sizeof(*power) * (size_t)(inputs.count + weights.count - 1));
	for (int i = 0; i < inputs.count; i++) {
		for (int j = 0; j < weights.count; j++) {
			/* Where both have the digits, cross products come in pairs. */
			bool square = i < both && j < both, pair = square && i < j;
			size_t from = (size_t)(pair ? pair_slice(i, j) : i);
			size_t by = (size_t)(pair ? pair_slice(i, j) : j);
			size_t safe = pair ? PAIR_STEPS : DIGIT_STEPS;

			if (square && i > j)
				continue;
			for (size_t s = 0; s < steps; s += safe)
				tile(a + from * a_slice + s * 4, pitch,
				     b + by * b_slice + s * STEP_BYTES,
				     steps - s < safe ? steps - s : safe, s, sum);
			accumulate(power[i + j], sum, 1);
			for (int other = 0; square && i == j && other < both; other++) {
				if (other != i)
					accumulate(power[i + other], sum, -1);
			}
		}
	}
}

#endif

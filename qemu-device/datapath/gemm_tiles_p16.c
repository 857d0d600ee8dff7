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

typedef uint64_t singles __attribute__((vector_size(VECTOR)));
typedef uint32_t pairs __attribute__((vector_size(VECTOR / 2)));
#define PAIRS (VECTOR / sizeof(uint64_t))

/* Words of two 16-bit numbers, less @bias each, @step bytes apart. Both bits 15 are clear. */
INLINE void put_pairs(uint8_t *to, size_t step, size_t count, pairs both, uint32_t bias)
{
	both = ((both | 0x80008000) - bias * 0x10001) ^ 0x80008000;
	if (step == sizeof(both[0])) {
		memcpy(to, &both, count * sizeof(both[0]));
		return;
	}
	for (size_t i = 0; i < count; i++) {
		uint32_t word = both[i];

		memcpy(to + i * step, &word, sizeof(word));
	}
}

/* @count pairs of values at @from, where there are PAIRS, as xrnpe_digits_split(). */
INLINE void split_pairs(const int64_t *from, size_t count, struct digits digits,
			uint8_t *to, size_t step, size_t slice)
{
	const uint64_t half = 1 << (DIGIT_BITS - 1), mask = (1 << DIGIT_BITS) - 1, sign = 1ull << 63;
	uint64_t offset = 0;
	singles a, b, first, second;
	pairs digit[DIGITS];

	/* With half of the radix added to each, digits are just bits of the sum. */
	for (int d = 0; d < digits.count; d++)
		offset = offset << DIGIT_BITS | half;
	memcpy(&a, from, sizeof(a));
	memcpy(&b, from + PAIRS, sizeof(b));
#if VECTOR == 32
	first = __builtin_shufflevector(a, b, 0, 2, 4, 6);
	second = __builtin_shufflevector(a, b, 1, 3, 5, 7);
#else
	first = __builtin_shufflevector(a, b, 0, 2);
	second = __builtin_shufflevector(a, b, 1, 3);
#endif
	/* A shift of numbers with sign: AVX2 has none of 64 bits. */
	offset -= sign >> digits.shift;
	first = ((first ^ sign) >> digits.shift) + offset;
	second = ((second ^ sign) >> digits.shift) + offset;
	for (int d = 0; d < digits.count; d++) {
		digit[d] = __builtin_convertvector((first & mask) | (second & mask) << 16, pairs);
		first >>= DIGIT_BITS;
		second >>= DIGIT_BITS;
		put_pairs(to + (size_t)d * slice, step, count, digit[d], half);
		for (int e = 0; e < d; e++)
			put_pairs(to + (size_t)pair_slice(e, d) * slice, step, count,
				  digit[e] + digit[d], 2 * half);
	}
}

TARGET void xrnpe_digits_split(const int64_t *values, size_t k, struct digits digits,
			       uint8_t *to, size_t step, size_t slice)
{
	int64_t last[2 * PAIRS] = { 0 };

	for (; k >= 2 * PAIRS; k -= 2 * PAIRS, values += 2 * PAIRS, to += PAIRS * step)
		split_pairs(values, PAIRS, digits, to, step, slice);
	memcpy(last, values, k * sizeof(*last));
	if (k)
		split_pairs(last, (k + 1) / 2, digits, to, step, slice);
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

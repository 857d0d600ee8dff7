/* SPDX-License-Identifier: MIT */
/*
 * Doubles to codes, in the compilers' portable vectors. Who includes this has
 * defined TARGET and INLINE, VECTOR (the bytes of a vector), REGISTER (the
 * constraint of one in assembly) and LANES.
 */
#ifndef XRNPE_DATAPATH_ROUNDING_H
#define XRNPE_DATAPATH_ROUNDING_H

#include <string.h>

#include "kernel.h"
#include "reals.h"

typedef int64_t ints __attribute__((vector_size(VECTOR)));
typedef uint64_t bits __attribute__((vector_size(VECTOR)));
typedef float floats __attribute__((vector_size(VECTOR / 2)));
typedef uint32_t codes __attribute__((vector_size(VECTOR / 2)));

INLINE reals load(const double *from)
{
	return *(const reals *)from;
}

INLINE bits select_bits(ints mask, bits yes, bits no)
{
	return no ^ ((yes ^ no) & (bits)mask);
}

INLINE reals select_reals(ints mask, reals yes, reals no)
{
	return (reals)select_bits(mask, (bits)yes, (bits)no);
}

INLINE reals magnitude_of(reals value)
{
	return (reals)((bits)value & INT64_MAX);
}

/* a + b, and in *@error exactly what that lacks (Knuth). */
INLINE reals two_sum(reals a, reals b, reals *error)
{
	reals sum = a + b, part = sum - a;

	*error = (a - (sum - part)) + (b - part);
	return sum;
}

/*
 * acc * scale + bias with the last bit set if anything was lost ("round to odd"):
 * with 53 bits this rounds on to any of our formats as the exact value would.
 */
INLINE reals fma_odd(reals acc, reals scale, reals bias)
{
	reals value = fused(acc, scale, bias), product = acc * scale, low, a, a_low, b, b_low, rest;
	ints lost, beyond;

	/* A compiler that may contract must not fuse this product with a sum below. */
	__asm__("" : "+" REGISTER(product));
	low = fused(acc, scale, -product);
	/* The error of a fused multiply-add, of the exact sign (Boldo and Muller). */
	a = two_sum(bias, low, &a_low);
	b = two_sum(product, a, &b_low);
	rest = ((b - value) + b_low) + a_low;
	lost = (ints)(rest != 0);
	/* Rounded away from zero: one down is what rounding toward zero gives. */
	beyond = (ints)((bits)rest ^ (bits)value) < 0;
	return (reals)(((bits)value + (bits)(lost & beyond)) | ((bits)lost & 1));
}

/* Doubles (rounded to odd, finite) to posit codes. */
INLINE bits round_posit(reals value, int n, int es)
{
	const int top = (n - 2) << es, shift = 65 - n, bias = 1023 - (64 << es);
	bits sign = (bits)((ints)value < 0), magnitude = (bits)value & INT64_MAX;
	ints nonzero = (ints)(magnitude != 0), below, regime;
	bits exponent, run, string, lost, code;

	magnitude = select_bits((ints)magnitude < (int64_t)(1023 - top) << 52,
				(bits){ 0 } + ((uint64_t)(1023 - top) << 52), magnitude);
	magnitude = select_bits((ints)magnitude > (int64_t)(1023 + top) << 52,
				(bits){ 0 } + ((uint64_t)(1023 + top) << 52), magnitude);
	exponent = (magnitude >> 52) - (uint64_t)bias;
	regime = (ints)(exponent >> es) - 64;
	below = regime < 0;
	/* Exponent bits and fraction, after two bits of which the first is repeated. */
	string = ((magnitude + (1ul << 52)) & ((1ul << (52 + es)) - 1)) << (10 - es);
	string |= select_bits(below, (bits){ 0 } + (1ul << 62), (bits){ 0 } + (1ul << 63));
	run = (bits)(regime ^ below);
	lost = string & ((((bits){ 0 } + 1) << run) - 1);
	string = string >> run | (~(~(bits){ 0 } >> run) & ~(bits)below);
	string |= (bits)(lost != 0) & 1;
	/* To nearest, ties to even. */
	code = (string + ((1ul << (shift - 1)) - 1) + (string >> shift & 1)) >> shift;
	code = (code ^ sign) - sign;
	return code & (bits)nonzero & ((1ul << n) - 1);
}

INLINE bits round_fp4(reals value)
{
	reals magnitude = magnitude_of(value);
	bits code = (bits)value >> 63 << 3;

	/* A comparison that holds is -1. Ties go to the even code. */
	code -= (bits)(magnitude > 0.25) + (bits)(magnitude >= 0.75) + (bits)(magnitude > 1.25) +
		(bits)(magnitude >= 1.75) + (bits)(magnitude > 2.5) + (bits)(magnitude >= 3.5) +
		(bits)(magnitude > 5.0);
	return code;
}

INLINE codes encode(enum xrnpe_format out, reals value)
{
	switch (out) {
	case XRNPE_FORMAT_F32:
		return (codes)__builtin_convertvector(value, floats);
	case XRNPE_FORMAT_FP4:
		return __builtin_convertvector(round_fp4(value), codes);
	case XRNPE_FORMAT_P4:
		return __builtin_convertvector(round_posit(value, 4, 1), codes);
	case XRNPE_FORMAT_P8:
		return __builtin_convertvector(round_posit(value, 8, 0), codes);
	default:
		return __builtin_convertvector(round_posit(value, 16, 1), codes);
	}
}

INLINE void encode_as(enum xrnpe_format out, const double *values, uint32_t *to)
{
	for (size_t i = 0; i < LANES; i += REALS)
		*(codes *)(to + i) = encode(out, load(values + i));
}

/* LANES doubles (rounded to odd, finite) to codes. */
TARGET static void encode_lanes(enum xrnpe_format out, const double *values, uint32_t *to)
{
	switch (out) {
	case XRNPE_FORMAT_F32:
		encode_as(XRNPE_FORMAT_F32, values, to);
		break;
	case XRNPE_FORMAT_FP4:
		encode_as(XRNPE_FORMAT_FP4, values, to);
		break;
	case XRNPE_FORMAT_P4:
		encode_as(XRNPE_FORMAT_P4, values, to);
		break;
	case XRNPE_FORMAT_P8:
		encode_as(XRNPE_FORMAT_P8, values, to);
		break;
	default:
		encode_as(XRNPE_FORMAT_P16, values, to);
		break;
	}
}

/* The activation; and a sum of zero is +0, even if its terms were -0. */
INLINE reals activate(const struct xrnpe_product *product, reals value)
{
	const reals zero = { 0 };
	const ints relu = (ints)zero - (product->cmd->activation == XRNPE_ACT_RELU);

	return select_reals((ints)(value == zero) | ((ints)(value < zero) & relu), zero, value);
}

/*
 * Two ends between which sum * scale + bias is, where @sum * @scale is off by
 * @error at the most: all operations here are off by less than 2^-51 of the value.
 */
INLINE void interval(const struct xrnpe_product *product, reals sum, reals error, reals scale,
		     reals bias, reals *low, reals *high)
{
	reals value = fused(sum, scale, bias);

	error += magnitude_of(value) * 0x1p-51;
	*low = activate(product, value - error);
	*high = activate(product, value + error);
}

/*
 * LANES sums to codes, where they are off by at most @error, but those in doubt: a bit
 * each in what is returned.
 */
INLINE uint32_t encode_near(const struct xrnpe_product *product, const double *sum, const double *error,
			    const double *scale, const double *bias, uint32_t *code)
{
	double low[LANES] __attribute__((aligned(64))), high[LANES] __attribute__((aligned(64)));
	uint32_t high_code[LANES] __attribute__((aligned(64))), doubt = 0;

	for (size_t i = 0; i < LANES; i += REALS)
		interval(product, load(sum + i), load(error + i) * magnitude_of(load(scale + i)), load(scale + i),
			 load(bias + i), (reals *)(low + i), (reals *)(high + i));
	encode_lanes(product->out, low, code);
	encode_lanes(product->out, high, high_code);
	for (size_t i = 0; i < LANES; i++)
		doubt |= (uint32_t)(code[i] != high_code[i]) << i;
	return doubt;
}

/* Write the codes of channels @n.., at most LANES, of a row. */
TARGET static void pack(enum xrnpe_format out, uint8_t *row, uint64_t n, uint32_t *code, size_t count)
{
	uint8_t small[LANES];
	uint16_t half[LANES];
	const void *packed = code;

	switch (xrnpe_format_bits(out)) {
	case 4:
		if (n % 2) {
			xrnpe_pack(out, row, n, code, count);
			return;
		}
		if (count % 2)
			code[count] = 0;
		for (int i = 0; i < LANES / 2; i++)
			small[i] = (uint8_t)(code[2 * i] | code[2 * i + 1] << 4);
		packed = small;
		break;
	case 8:
		for (int i = 0; i < LANES; i++)
			small[i] = (uint8_t)code[i];
		packed = small;
		break;
	case 16:
		for (int i = 0; i < LANES; i++)
			half[i] = (uint16_t)code[i];
		packed = half;
		break;
	}
	memcpy(row + xrnpe_row_bytes(out, n), packed, xrnpe_row_bytes(out, count));
}

#endif

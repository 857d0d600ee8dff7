/* SPDX-License-Identifier: MIT */
/*
 * The output stage in the compilers' portable vectors: doubles, and those to codes.
 * output_avx512.c has other ways. Who includes this has
 * defined TARGET and INLINE, VECTOR (the bytes of a vector), REGISTER (the
 * constraint of one in assembly) and LANES.
 */
#ifndef XRNPE_DATAPATH_ROUNDING_H
#define XRNPE_DATAPATH_ROUNDING_H

#include <string.h>

#include "kernel.h"
#include "reals.h"
#include "residual.h"

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
INLINE void encode_lanes(enum xrnpe_format out, const double *values, uint32_t *to)
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

/* ---- the output stage ---------------------------------------------------- */

/* What it must know of LANES channels. Scales are those of sums in the units of the kernel. */
struct outputs {
	double scale[LANES] __attribute__((aligned(64))), bias[LANES];
	double slope[LANES], low_scale[LANES], low_bias[LANES];	/* with @bends: and the two times it */
	double least, most;	/* of results */
	bool bends;		/* what is below zero is multiplied by @slope */
};

/* Of the @count channels from @n on, whose sums are in units of 2^@unit. */
static inline void make_outputs(const struct xrnpe_product *product, uint64_t n, size_t count, int unit,
				struct outputs *outputs)
{
	xrnpe_scales(product, n, count, unit, outputs->scale, outputs->bias);
	for (size_t i = count; i < LANES; i++)
		outputs->scale[i] = outputs->bias[i] = 0;
	xrnpe_limits(product, &outputs->least, &outputs->most);
	outputs->bends = product->cmd->activation > XRNPE_ACT_RELU;
	if (!outputs->bends)
		return;
	memset(outputs->slope, 0, sizeof(outputs->slope));
	xrnpe_slopes(product, n, count, outputs->slope);
	for (size_t i = 0; i < LANES; i++) {
		/* 24 bits by 24: exact. */
		outputs->low_scale[i] = outputs->scale[i] * outputs->slope[i];
		outputs->low_bias[i] = outputs->bias[i] * outputs->slope[i];
	}
}

/* Between the least and the most; and a zero is +0, even if it comes from -0. */
INLINE reals limit(const struct outputs *outputs, reals value)
{
	const reals zero = { 0 };

	return smaller_real(larger_real(value, zero + outputs->least), zero + outputs->most) + zero;
}

/* Whether output_sum() is all there is to do. */
INLINE bool is_plain(const struct xrnpe_product *product, const struct outputs *outputs)
{
	return !outputs->bends && !product->residual;
}

/* The results, rounded to odd, of exact sums of channels @i.. of them, whose biases are @bias. */
INLINE reals output_sum(const struct outputs *outputs, const double *bias, size_t i, reals sum)
{
	return limit(outputs, fma_odd(sum, load(outputs->scale + i), load(bias + i)));
}

/* The same with slopes. */
INLINE reals output_bent(const struct outputs *outputs, size_t i, reals sum)
{
	reals scale = load(outputs->scale + i), bias = load(outputs->bias + i);
	ints below = (ints)(fused(sum, scale, bias) < 0);

	scale = select_reals(below, load(outputs->low_scale + i), scale);
	bias = select_reals(below, load(outputs->low_bias + i), bias);
	return limit(outputs, fma_odd(sum, scale, bias));
}

/* x < 0 ? x * slope : x of what is between two ends; there may be a zero between them. */
INLINE void bend(reals slope, reals *low, reals *high)
{
	const reals zero = { 0 };
	ints low_below = (ints)(*low < 0), high_below = (ints)(*high < 0);
	reals a = select_reals(low_below, *low * slope, *low), b = select_reals(high_below, *high * slope, *high);
	/* Products are off by 2^-53 of themselves at the most, and so is what follows. */
	reals a_off = select_reals(low_below, magnitude_of(a) * 0x1p-51, zero);
	reals b_off = select_reals(high_below, magnitude_of(b) * 0x1p-51, zero);

	*low = smaller_real(a - a_off, b - b_off);
	*high = larger_real(a + a_off, b + b_off);
	*low = select_reals(low_below & ~high_below, smaller_real(*low, zero), *low);
}

/*
 * Two ends between which the result of a sum is that is off by @error at the most, or, if
 * that is NULL, not at all. @residual: what is added besides, or NULL.
 */
INLINE void interval(const struct outputs *outputs, size_t i, const double *sum, const double *error,
		     const double *residual, reals *low, reals *high)
{
	reals scale = load(outputs->scale + i), bias = load(outputs->bias + i), lost = { 0 }, off, value;

	if (residual)
		bias = two_sum(bias, load(residual + i), &lost);
	off = magnitude_of(lost) * 2;
	if (error) {
		value = fused(load(sum + i), scale, bias);
		off += load(error + i) * magnitude_of(scale);
		/* All operations here are off by less than this. */
		off += magnitude_of(value) * 0x1p-51;
	} else {
		value = fma_odd(load(sum + i), scale, bias);
		off += select_reals((ints)(lost == 0), lost, magnitude_of(value) * 0x1p-50);
	}
	*low = value - off;
	*high = value + off;
	if (outputs->bends)
		bend(load(outputs->slope + i), low, high);
	*low = limit(outputs, *low);
	*high = limit(outputs, *high);
}

/* LANES such sums to codes, but those in doubt: a bit each in what is returned. */
TARGET static inline uint32_t encode_between(const struct xrnpe_product *product, const struct outputs *outputs,
			       const double *sum, const double *error, const double *residual, uint32_t *code)
{
	double low[LANES] __attribute__((aligned(64))), high[LANES] __attribute__((aligned(64)));
	uint32_t high_code[LANES] __attribute__((aligned(64))), doubt = 0;

	for (size_t i = 0; i < LANES; i += REALS)
		interval(outputs, i, sum, error, residual, (reals *)(low + i), (reals *)(high + i));
	encode_lanes(product->out, low, code);
	encode_lanes(product->out, high, high_code);
	for (size_t i = 0; i < LANES; i++)
		doubt |= (uint32_t)(code[i] != high_code[i]) << i;
	return doubt;
}

/* LANES exact sums, with a residual, to codes, but those in doubt, as encode_between(). */
TARGET static inline uint32_t encode_added(const struct xrnpe_product *product, const struct outputs *outputs,
					   const double *sum, const double *residual, uint32_t *code)
{
	double value[LANES] __attribute__((aligned(64)));
	ints lost = { 0 };
	int64_t any = outputs->bends;

	for (size_t i = 0; i < LANES; i += REALS) {
		reals error, bias = two_sum(load(outputs->bias + i), load(residual + i), &error);

		lost |= (ints)(error != 0);
		*(reals *)(value + i) = bias;
	}
	for (size_t i = 0; i < REALS; i++)
		any |= lost[i];
	if (any)
		return encode_between(product, outputs, sum, NULL, residual, code);
	for (size_t i = 0; i < LANES; i += REALS)
		*(reals *)(value + i) = output_sum(outputs, value, i, load(sum + i));
	encode_lanes(product->out, value, code);
	return 0;
}

/*
 * The codes of channels @n.. of position @p, up to LANES, whose exact sums are integers in
 * units of 1 / @grid, or NaN, where there is a slope or a residual.
 */
TARGET static inline void output_exact(const struct xrnpe_product *product, const struct outputs *outputs,
				       const double *sum, double grid, uint64_t p, uint64_t n, size_t count,
				       uint32_t *code, uint32_t *status)
{
	double value[LANES] __attribute__((aligned(64))) = { 0 };
	uint32_t doubt;

	if (!product->residual) {
		for (size_t i = 0; i < LANES; i += REALS)
			*(reals *)(value + i) = output_bent(outputs, i, load(sum + i));
		encode_lanes(product->out, value, code);
		return;
	}
	doubt = load_residuals(product, p, n, count, value);
	doubt |= encode_added(product, outputs, sum, value, code);
	for (size_t i = 0; doubt && i < count; i++) {
		if (doubt >> i & 1 && sum[i] == sum[i])
			code[i] = xrnpe_output_integer(product, p, n + i, (int64_t)(sum[i] * grid), status);
	}
}

/*
 * The same of sums that are off by at most @error, but those in doubt: a bit each in what is
 * returned, for all LANES.
 */
TARGET static inline uint32_t output_near(const struct xrnpe_product *product, const struct outputs *outputs,
					  const double *sum, const double *error, uint64_t p, uint64_t n,
					  size_t count, uint32_t *code)
{
	double residual[LANES] __attribute__((aligned(64))) = { 0 };
	uint32_t special;

	if (!product->residual)
		return encode_between(product, outputs, sum, error, NULL, code);
	special = load_residuals(product, p, n, count, residual);
	return special | encode_between(product, outputs, sum, error, residual, code);
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

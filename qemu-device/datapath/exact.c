// SPDX-License-Identifier: MIT
/* Exact sums of two terms, and the one rounding at the end of everything. */
#include <string.h>

#include "internal.h"

/* 256 bits, least significant word first. */
struct wide {
	uint64_t word[4];
};

#define WIDE_BITS 256
#define WIDE_TOP (WIDE_BITS - 2)	/* where normalised magnitudes end: room to add */

static int wide_msb(const struct wide *a)
{
	for (int i = 3; i >= 0; i--) {
		if (a->word[i])
			return i * 64 + 63 - __builtin_clzll(a->word[i]);
	}
	return -1;
}

static struct wide wide_shl(struct wide a, int shift)
{
	struct wide r = { { 0 } };
	int words = shift / 64, bits = shift % 64;

	for (int i = 3; i >= words; i--) {
		r.word[i] = a.word[i - words] << bits;
		if (bits && i > words)
			r.word[i] |= a.word[i - words - 1] >> (64 - bits);
	}
	return r;
}

/* What is shifted out is or-ed into *@lost. */
static struct wide wide_shr(struct wide a, int shift, uint64_t *lost)
{
	struct wide r = { { 0 } };
	int words = shift / 64, bits = shift % 64;

	for (int i = 0; i < 4 && i < words; i++)
		*lost |= a.word[i];
	if (words >= 4)
		return r;
	if (bits)
		*lost |= a.word[words] << (64 - bits);
	for (int i = 0; i + words < 4; i++) {
		r.word[i] = a.word[i + words] >> bits;
		if (bits && i + words < 3)
			r.word[i] |= a.word[i + words + 1] << (64 - bits);
	}
	return r;
}

/* a + b, or a - b - borrow, which the callers keep from wrapping. */
static struct wide wide_add(struct wide a, struct wide b)
{
	xrnpe_u128 carry = 0;

	for (int i = 0; i < 4; i++) {
		carry += (xrnpe_u128)a.word[i] + b.word[i];
		a.word[i] = (uint64_t)carry;
		carry >>= 64;
	}
	return a;
}

static struct wide wide_sub(struct wide a, struct wide b, bool borrow)
{
	for (int i = 0; i < 4; i++) {
		xrnpe_u128 difference = (xrnpe_u128)a.word[i] - b.word[i] - borrow;

		a.word[i] = (uint64_t)difference;
		borrow = difference >> 127;
	}
	return a;
}

static int wide_compare(const struct wide *a, const struct wide *b)
{
	for (int i = 3; i >= 0; i--) {
		if (a->word[i] != b->word[i])
			return a->word[i] > b->word[i] ? 1 : -1;
	}
	return 0;
}

/* A product with its leading bit at WIDE_TOP, unless it is zero. */
struct product {
	bool negative, zero;
	int exponent;
	struct wide magnitude;
};

static struct product multiply(struct xrnpe_term a, struct xrnpe_term b)
{
	uint64_t factor = (uint64_t)b.magnitude;
	xrnpe_u128 low = (xrnpe_u128)(uint64_t)a.magnitude * factor;
	xrnpe_u128 high = (xrnpe_u128)(uint64_t)(a.magnitude >> 64) * factor + (low >> 64);
	struct product p = {
		.negative = a.negative != b.negative,
		.exponent = a.exponent + b.exponent,
		.magnitude = { { (uint64_t)low, (uint64_t)high, (uint64_t)(high >> 64) } },
	};
	int msb = wide_msb(&p.magnitude);

	if (msb < 0) {
		p.zero = true;
		return p;
	}
	p.magnitude = wide_shl(p.magnitude, WIDE_TOP - msb);
	p.exponent -= WIDE_TOP - msb;
	return p;
}

static struct xrnpe_real cut(struct product p, uint64_t lost)
{
	struct xrnpe_real real = { .kind = XRNPE_ZERO };
	int msb = wide_msb(&p.magnitude);

	if (msb < 0)
		return real;
	real.kind = XRNPE_FINITE;
	real.negative = p.negative;
	real.exponent = p.exponent + msb;
	p.magnitude = msb >= 63 ? wide_shr(p.magnitude, msb - 63, &lost) :
				  wide_shl(p.magnitude, 63 - msb);
	real.significand = p.magnitude.word[0] | !!lost;
	return real;
}

struct xrnpe_real xrnpe_sum(struct xrnpe_term a, struct xrnpe_term a_factor,
			    struct xrnpe_term b, struct xrnpe_term b_factor)
{
	struct product x = multiply(a, a_factor), y = multiply(b, b_factor);
	uint64_t lost = 0;

	if (y.zero)
		return cut(x, 0);
	if (x.zero)
		return cut(y, 0);
	if (x.exponent < y.exponent) {
		struct product t = x;

		x = y;
		y = t;
	}
	/*
	 * A product has at most 152 bits, so bits are lost only at distances
	 * of more than WIDE_TOP - 152. Then x is so much larger that hardly
	 * one leading bit can cancel, and the lost part matters as a hint only.
	 */
	y.magnitude = wide_shr(y.magnitude, x.exponent - y.exponent, &lost);
	if (x.negative == y.negative) {
		x.magnitude = wide_add(x.magnitude, y.magnitude);
	} else if (wide_compare(&x.magnitude, &y.magnitude) >= 0) {
		x.magnitude = wide_sub(x.magnitude, y.magnitude, lost);
	} else {
		x.magnitude = wide_sub(y.magnitude, x.magnitude, false);
		x.negative = y.negative;
	}
	return cut(x, lost);
}

struct xrnpe_term xrnpe_term_from_f32(uint32_t bits)
{
	int exponent = bits >> 23 & 255;
	uint32_t fraction = bits & 0x7fffff;

	return (struct xrnpe_term){
		.negative = bits >> 31,
		.exponent = (exponent ? exponent : 1) - 150,
		.magnitude = exponent ? fraction | 0x800000 : fraction,
	};
}

struct xrnpe_term xrnpe_term_from_sum(xrnpe_u128 sum, bool negative, int unit)
{
	struct xrnpe_term term = { .exponent = unit, .magnitude = sum };

	term.negative = sum << 1 ? sum >> 127 : negative;
	if (sum >> 127)
		term.magnitude = -sum;
	return term;
}

struct xrnpe_real xrnpe_real_from_double(double value)
{
	struct xrnpe_real real = { .kind = XRNPE_FINITE };
	uint64_t bits, fraction;
	int exponent, shift;

	memcpy(&bits, &value, sizeof(bits));
	real.negative = bits >> 63;
	exponent = bits >> 52 & 2047;
	fraction = bits & ((1ull << 52) - 1);
	if (exponent == 2047) {
		real.kind = fraction ? XRNPE_NAN : XRNPE_INFINITE;
		return real;
	}
	if (exponent)
		fraction |= 1ull << 52;
	else
		exponent = 1;
	if (!fraction) {
		real.kind = XRNPE_ZERO;
		return real;
	}
	shift = __builtin_clzll(fraction);
	real.significand = fraction << shift;
	real.exponent = exponent - 1023 - 52 + 63 - shift;
	return real;
}

struct xrnpe_real xrnpe_relu(struct xrnpe_real real)
{
	if (real.kind != XRNPE_NAN && real.negative)
		return (struct xrnpe_real){ .kind = XRNPE_ZERO };
	return real;
}

/* @value / 2^@shift, 1 <= shift <= 127, to nearest, ties to even. */
static uint64_t shift_to_nearest(xrnpe_u128 value, int shift)
{
	uint64_t quotient = (uint64_t)(value >> shift);
	xrnpe_u128 rest = value << (128 - shift), half = (xrnpe_u128)1 << 127;

	return quotient + (rest > half || (rest == half && (quotient & 1)));
}

/*
 * Floating point with @fraction_bits and smallest normal exponent @emin: the
 * code without sign. Fields run on from the subnormals, so that the exponent
 * field is added, not or-ed, and a carry out of the fraction does the right thing.
 */
static uint32_t round_float(struct xrnpe_real real, int fraction_bits, int emin)
{
	int exponent = real.exponent > emin ? real.exponent : emin;
	int shift = 63 - fraction_bits + exponent - real.exponent;
	uint64_t quotient = shift <= 64 ? shift_to_nearest(real.significand, shift) : 0;

	return (uint32_t)quotient + ((uint32_t)(exponent - emin) << fraction_bits);
}

static uint32_t round_fp4(struct xrnpe_real real)
{
	uint32_t code = real.exponent > 2 ? 7 : round_float(real, 1, 0);

	return (code > 7 ? 7 : code) | (uint32_t)real.negative << 3;
}

static uint32_t round_f32(struct xrnpe_real real)
{
	uint32_t code = real.exponent > 127 ? 0x7f800000 : round_float(real, 23, -126);

	return code | (uint32_t)real.negative << 31;
}

/*
 * Posits round as strings of bits: regime, exponent, fraction, cut after n - 1
 * bits to the nearest, ties to even.
 */
static uint32_t round_posit(struct xrnpe_real real, int n, int es)
{
	int top = (n - 2) << es;		/* maxpos is 2^top */
	int regime = real.exponent >> es, length;
	uint32_t code, exponent = (uint32_t)real.exponent & ((1u << es) - 1);
	uint32_t prefix;

	if (real.exponent >= top) {
		code = (1u << (n - 1)) - 1;
	} else if (real.exponent < -top) {
		code = 1;
	} else {
		/* k + 1 ones and a zero, or -k zeros and a one */
		length = regime >= 0 ? regime + 2 : 1 - regime;
		prefix = regime >= 0 ? (2u << (regime + 1)) - 2 : 1;
		prefix = prefix << es | exponent;
		code = (uint32_t)shift_to_nearest((xrnpe_u128)prefix << 63 |
						  (real.significand & INT64_MAX),
						  length + es + 63 - (n - 1));
	}
	return real.negative ? (1u << n) - code : code;
}

uint32_t xrnpe_round(enum xrnpe_format format, struct xrnpe_real real, uint32_t *status)
{
	switch (format) {
	case XRNPE_FORMAT_FP4:
		if (real.kind == XRNPE_NAN) {
			*status |= XRNPE_STATUS_INVALID;
			return 7;
		}
		if (real.kind == XRNPE_ZERO)
			return (uint32_t)real.negative << 3;
		if (real.kind == XRNPE_INFINITE)
			return 7 | (uint32_t)real.negative << 3;
		return round_fp4(real);
	case XRNPE_FORMAT_F32:
		if (real.kind == XRNPE_NAN)
			return 0x7fc00000;
		if (real.kind == XRNPE_ZERO)
			return (uint32_t)real.negative << 31;
		if (real.kind == XRNPE_INFINITE)
			return 0x7f800000 | (uint32_t)real.negative << 31;
		return round_f32(real);
	default:
		if (real.kind == XRNPE_ZERO)
			return 0;
		if (real.kind != XRNPE_FINITE)
			return 1u << (xrnpe_format_bits(format) - 1);
		return round_posit(real, (int)xrnpe_format_bits(format),
				   format == XRNPE_FORMAT_P8 ? 0 : 1);
	}
}

uint32_t xrnpe_encode(enum xrnpe_format format, double value, uint32_t *status)
{
	return xrnpe_round(format, xrnpe_real_from_double(value), status);
}

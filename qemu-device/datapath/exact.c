// SPDX-License-Identifier: MIT
/* Exact sums, what an output stage makes of them, and the one rounding at the end. */
#include <string.h>

#include "internal.h"

/* ---- terms --------------------------------------------------------------- */

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

/* ---- exact numbers ------------------------------------------------------- */

#define WORDS XRNPE_EXACT_WORDS

static bool is_negative(const struct xrnpe_exact *a)
{
	return a->infinite ? a->negative : a->word[WORDS - 1] >> 63;
}

static struct xrnpe_exact magnitude_of(const struct xrnpe_exact *a)
{
	struct xrnpe_exact r = *a;
	bool carry = true;

	if (!is_negative(a))
		return r;
	for (int i = 0; i < WORDS; i++) {
		r.word[i] = ~r.word[i] + carry;
		carry = carry && !r.word[i];
	}
	return r;
}

void xrnpe_exact_add(struct xrnpe_exact *sum, struct xrnpe_term a, struct xrnpe_term factor)
{
	uint64_t by = (uint64_t)factor.magnitude, *word;
	int place = a.exponent + factor.exponent - XRNPE_EXACT_UNIT;
	xrnpe_u128 low, high, part[4];
	int64_t carry = 0;

	/* Bits that have no place are zeros. */
	if (place < 0) {
		a.magnitude >>= -place;
		place = 0;
	}
	low = (xrnpe_u128)(uint64_t)a.magnitude * by;
	high = (xrnpe_u128)(uint64_t)(a.magnitude >> 64) * by + (low >> 64);
	part[0] = (xrnpe_u128)(uint64_t)low << place % 64;
	part[1] = ((xrnpe_u128)(uint64_t)high << place % 64) + (part[0] >> 64);
	part[2] = (high >> 64 << place % 64) + (part[1] >> 64);
	part[3] = part[2] >> 64;
	word = sum->word + place / 64;
	for (int i = 0; word < sum->word + WORDS && (i < 4 || carry); i++, word++) {
		xrnpe_i128 total = i < 4 ? (uint64_t)part[i] : 0;

		if (a.negative != factor.negative)
			total = -total;
		total += (xrnpe_i128)*word + carry;
		*word = (uint64_t)total;
		carry = (int64_t)(total >> 64);
	}
}

void xrnpe_exact_add_code(struct xrnpe_exact *sum, enum xrnpe_format format, uint32_t code, uint32_t factor)
{
	struct xrnpe_term value, by = xrnpe_term_from_f32(factor);

	if (xrnpe_is_nar(format, code)) {
		sum->nan = true;
		return;
	}
	if (format == XRNPE_FORMAT_F32) {
		value = xrnpe_term_from_f32(code);
		if ((code & 0x7f800000) == 0x7f800000) {
			sum->infinite = true;
			sum->negative = value.negative != by.negative;
			sum->nan |= !by.magnitude;
			return;
		}
	} else {
		int64_t grid = xrnpe_grid(format, code);

		value = (struct xrnpe_term){
			.negative = grid < 0,
			.exponent = xrnpe_grid_unit(format),
			.magnitude = (uint64_t)(grid < 0 ? -grid : grid),
		};
	}
	xrnpe_exact_add(sum, value, by);
}

int xrnpe_exact_compare(const struct xrnpe_exact *a, const struct xrnpe_exact *b)
{
	bool negative = is_negative(a);

	if (negative != is_negative(b))
		return negative ? -1 : 1;
	if (a->infinite || b->infinite)
		return (a->infinite - b->infinite) * (negative ? -1 : 1);
	for (int i = WORDS - 1; i >= 0; i--) {
		if (a->word[i] != b->word[i])
			return a->word[i] < b->word[i] ? -1 : 1;
	}
	return 0;
}

struct xrnpe_real xrnpe_exact_cut(const struct xrnpe_exact *a)
{
	struct xrnpe_real real = { .negative = is_negative(a) };
	struct xrnpe_exact magnitude;
	uint64_t lost = 0;
	int top = WORDS - 1, shift;

	if (a->nan || a->infinite) {
		real.kind = a->nan ? XRNPE_NAN : XRNPE_INFINITE;
		return real;
	}
	magnitude = magnitude_of(a);
	while (top && !magnitude.word[top])
		top--;
	if (!magnitude.word[top])
		return real;
	shift = __builtin_clzll(magnitude.word[top]);
	real.kind = XRNPE_FINITE;
	real.exponent = XRNPE_EXACT_UNIT + top * 64 + 63 - shift;
	real.significand = magnitude.word[top] << shift;
	if (top && shift) {
		real.significand |= magnitude.word[top - 1] >> (64 - shift);
		magnitude.word[top - 1] <<= shift;
	}
	while (top--)
		lost |= magnitude.word[top];
	real.significand |= !!lost;
	return real;
}

/* ---- the output stage ---------------------------------------------------- */

/* @a times a finite binary32. */
static struct xrnpe_exact multiply(const struct xrnpe_exact *a, uint32_t factor)
{
	struct xrnpe_exact r = { .infinite = a->infinite }, magnitude = magnitude_of(a);
	struct xrnpe_term by = xrnpe_term_from_f32(factor);

	r.nan = a->infinite && !by.magnitude;
	r.negative = is_negative(a) != by.negative;
	for (int i = 0; i < WORDS; i++) {
		struct xrnpe_term term = {
			.negative = is_negative(a),
			.exponent = XRNPE_EXACT_UNIT + i * 64,
			.magnitude = magnitude.word[i],
		};

		if (term.magnitude)
			xrnpe_exact_add(&r, term, by);
	}
	return r;
}

static void limit(struct xrnpe_exact *a, uint32_t lo, uint32_t hi)
{
	struct xrnpe_exact least = { 0 }, most = { 0 };

	xrnpe_exact_add_code(&least, XRNPE_FORMAT_F32, lo, XRNPE_F32_ONE);
	xrnpe_exact_add_code(&most, XRNPE_FORMAT_F32, hi, XRNPE_F32_ONE);
	if (xrnpe_exact_compare(a, &least) < 0)
		*a = least;
	if (xrnpe_exact_compare(a, &most) > 0)
		*a = most;
}

struct xrnpe_real xrnpe_exact_output(const struct xrnpe_cmd *cmd, uint32_t slope, struct xrnpe_exact x)
{
	if (!x.nan && is_negative(&x)) {
		if (cmd->activation == XRNPE_ACT_RELU)
			x = (struct xrnpe_exact){ 0 };
		else if (cmd->activation != XRNPE_ACT_NONE)
			x = multiply(&x, slope);
	}
	if (!x.nan && cmd->flags & XRNPE_CMD_CLAMP)
		limit(&x, cmd->lo, cmd->hi);
	return xrnpe_exact_cut(&x);
}

/* ---- rounding ------------------------------------------------------------ */

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

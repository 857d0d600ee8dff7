// SPDX-License-Identifier: MIT
/* Element-wise commands in integers, see struct xrnpe_fixed: whether that is exact, and how. */
#include <limits.h>

#include "kernel.h"

#define UNIT (-8)	/* of totals, as a power of two: half of the distance of ties, the finest */
#define MOST_SHIFT 29

static const struct xrnpe_fixed_output outputs[] = {
	[XRNPE_FORMAT_FP4] = {
		.slope = { 0x1p-7f, 0x1p-7f, 0x1p-7f, 0x1p-7f, 0x1p-7f, 0x1p-8f, 0x1p-9f, 0x1p-9f },
		.base = { 0, 0, 0, 0, 0, 2, 4, 4 },
		.first = 4, .most = 6 << 8,
	},
	[XRNPE_FORMAT_P4] = {
		.slope = { 0x1p-5f, 0x1p-6f, 0x1p-6f, 0x1p-7f, 0x1p-8f, 0x1p-9f, 0x1p-11f, 0x1p-12f },
		.base = { 0.5f, 1, 1, 2, 3, 4, 5.5f, 6 },
		.first = 4, .most = (16 << 8) - 1,
	},
	[XRNPE_FORMAT_P8] = {
		.slope = { 0x1p-2f, 0x1p-3f, 0x1p-5f, 0x1p-7f, 0x1p-9f, 0x1p-11f, 0x1p-13f, 0x1p-15f },
		.base = { 0, 32, 80, 104, 116, 122, 125, 126.5f },
		.first = 7, .most = 64 << 8,
	},
};

const struct xrnpe_fixed_output *xrnpe_fixed_output(enum xrnpe_format format)
{
	return &outputs[format];
}

/* ---- factors ----------------------------------------------------------------- */

/* A finite binary32, times a power of two, as an integer in units of 2^@exponent. */
struct factor {
	int32_t integer;
	int exponent;
};

static struct factor factor_of(uint32_t word, int times)
{
	int exponent = word >> 23 & 255;
	int32_t integer = (int32_t)((word & 0x7fffff) | (exponent ? 1u << 23 : 0));

	return (struct factor){ word >> 31 ? -integer : integer, (exponent ? exponent : 1) - 150 + times };
}

static uint32_t magnitude_of(struct factor factor)
{
	return (uint32_t)(factor.integer < 0 ? -factor.integer : factor.integer);
}

/* What the two values of a pair are multiplied by, in channel @channel of CONVERT. */
static void factors_of(const struct xrnpe_pass *pass, size_t channel, struct factor factor[2])
{
	const struct xrnpe_operand *o = pass->cmd->operand;
	int unit = xrnpe_grid_unit(o[XRNPE_OPERAND_IFM].format), unit2 = xrnpe_grid_unit(o[XRNPE_OPERAND_IFM2].format);

	switch (pass->cmd->opcode) {
	case XRNPE_OP_CONVERT:
		factor[0] = factor_of(xrnpe_scale_word(pass, channel, 0), unit);
		factor[1] = factor_of(xrnpe_scale_word(pass, channel, 1), 0);
		break;
	case XRNPE_OP_MUL:
		factor[0] = factor_of(xrnpe_scale_word(pass, 0, 0), unit + unit2 + XRNPE_FIXED_SPLIT);
		factor[1] = factor_of(xrnpe_scale_word(pass, 0, 0), unit + unit2);
		break;
	default:
		factor[0] = factor_of(xrnpe_scale_word(pass, 0, 0), unit);
		factor[1] = factor_of(xrnpe_scale_word(pass, 1, 0), unit2);
		break;
	}
}

/* The powers of two that factors are multiples of, and that their magnitudes are below. */
struct span {
	int low, high;
};

static void include(struct span *span, struct factor factor)
{
	uint32_t magnitude = magnitude_of(factor);
	int low, high;

	if (!magnitude)
		return;
	low = factor.exponent + __builtin_ctz(magnitude);
	high = factor.exponent + 32 - __builtin_clz(magnitude);
	span->low = low < span->low ? low : span->low;
	span->high = high > span->high ? high : span->high;
}

static void set_digits(const struct xrnpe_fixed *fixed, struct factor factor, int16_t digit[XRNPE_FIXED_DIGITS])
{
	int shift = factor.exponent - fixed->unit;
	uint64_t magnitude = magnitude_of(factor);

	/* Of zero exponents tell nothing. */
	if (magnitude)
		magnitude = shift < 0 ? magnitude >> -shift : magnitude << shift;
	for (int i = fixed->digits - 1; i >= 0; i--, magnitude >>= XRNPE_FIXED_DIGIT) {
		int value = (int)(magnitude & ((1 << XRNPE_FIXED_DIGIT) - 1));

		digit[i] = (int16_t)(factor.integer < 0 ? -value : value);
	}
}

void xrnpe_fixed_digits(const struct xrnpe_pass *pass, const struct xrnpe_fixed *fixed, size_t channel,
			int16_t scale[XRNPE_FIXED_DIGITS], int16_t other[XRNPE_FIXED_DIGITS])
{
	struct factor factor[2];

	factors_of(pass, channel, factor);
	set_digits(fixed, factor[0], scale);
	set_digits(fixed, factor[1], other);
}

/* ---- limits ------------------------------------------------------------------ */

/* A limit as totals are, but not beyond what the output's format has. */
static int32_t limit_of(uint32_t word, int32_t most)
{
	/* The last bit of a total says that there is more. */
	struct factor factor = factor_of(word, -(UNIT + 1));
	int64_t value = factor.integer;
	bool odd = false;

	if (factor.exponent > 0)
		value *= (int64_t)1 << (factor.exponent < 31 ? factor.exponent : 31);
	for (; factor.exponent < 0 && value && value != -1; factor.exponent++, value >>= 1)
		odd |= value & 1;
	odd |= factor.exponent < 0 && value;
	value = value * 2 + odd;
	return (int32_t)(value > most ? most : value < -most ? -most : value);
}

static void set_limits(struct xrnpe_fixed *fixed, const struct xrnpe_cmd *cmd)
{
	int32_t most = outputs[fixed->out].most;
	bool clamp = cmd->flags & XRNPE_CMD_CLAMP;

	fixed->lo = clamp ? limit_of(cmd->lo, most) : -most;
	fixed->hi = clamp ? limit_of(cmd->hi, most) : most;
	if (cmd->activation == XRNPE_ACT_RELU && fixed->lo < 0)
		fixed->lo = 0;
}

/* ---- plans -------------------------------------------------------------------- */

static bool suits(const struct xrnpe_pass *pass)
{
	const struct xrnpe_cmd *cmd = pass->cmd;
	const struct xrnpe_operand *o = cmd->operand;

	if (cmd->activation == XRNPE_ACT_LEAKY || o[XRNPE_OPERAND_OFM].format > XRNPE_FORMAT_P8 ||
	    xrnpe_format_bits(o[XRNPE_OPERAND_IFM].format) > 8)
		return false;
	if (cmd->opcode == XRNPE_OP_MUL && xrnpe_scale_word(pass, 0, 1) << 1)
		return false;
	return cmd->opcode == XRNPE_OP_CONVERT || o[XRNPE_OPERAND_IFM2].format <= XRNPE_FORMAT_P8;
}

/* So few digits as factors between the powers of @span have. */
static bool choose_digits(struct xrnpe_fixed *fixed, struct span span)
{
	for (fixed->digits = 1; fixed->digits <= XRNPE_FIXED_DIGITS; fixed->digits++) {
		int beyond = XRNPE_FIXED_DIGIT * (fixed->digits - 1);

		fixed->unit = span.low < UNIT - beyond ? span.low : UNIT - beyond;
		fixed->shift = UNIT - beyond - fixed->unit;
		if (span.high - fixed->unit <= XRNPE_FIXED_DIGIT * fixed->digits)
			return fixed->shift <= MOST_SHIFT;
	}
	return false;
}

bool xrnpe_fixed_plan(const struct xrnpe_pass *pass, size_t channels, struct xrnpe_fixed *fixed)
{
	struct span span = { INT_MAX, INT_MIN };

	if (!suits(pass))
		return false;
	*fixed = (struct xrnpe_fixed){
		.opcode = pass->cmd->opcode, .out = pass->cmd->operand[XRNPE_OPERAND_OFM].format,
	};
	for (size_t i = 0; i < channels; i++) {
		struct factor factor[2];

		factors_of(pass, i, factor);
		include(&span, factor[0]);
		include(&span, factor[1]);
	}
	if (span.low > span.high)	/* all are zero */
		span = (struct span){ UNIT, UNIT };
	set_limits(fixed, pass->cmd);
	if (!choose_digits(fixed, span))
		return false;
	xrnpe_fixed_digits(pass, fixed, 0, fixed->scale, fixed->other);
	return true;
}

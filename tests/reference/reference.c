// SPDX-License-Identifier: MIT
#include "reference.h"

#include <math.h>
#include <string.h>

__extension__ typedef unsigned __int128 two_limbs;

/* ---- integers --------------------------------------------------------- */

static int compare(const struct ref_real *a, const struct ref_real *b)
{
	for (int i = REF_LIMBS - 1; i >= 0; i--) {
		if (a->limb[i] != b->limb[i])
			return a->limb[i] < b->limb[i] ? -1 : 1;
	}
	return 0;
}

static bool is_zero(const struct ref_real *a)
{
	for (int i = 0; i < REF_LIMBS; i++) {
		if (a->limb[i])
			return false;
	}
	return true;
}

/* integer * 2^exponent; every set bit must have a place. */
static struct ref_real from_integer(bool negative, uint64_t integer, int exponent)
{
	struct ref_real r = { .negative = negative };
	int place = exponent + REF_POINT, limb = place / 64;
	two_limbs bits = integer;

	if (place < 0)
		bits >>= -place;	/* zeros */
	else
		bits <<= place % 64;
	r.limb[limb] = (uint64_t)bits;
	if (bits >> 64)
		r.limb[limb + 1] = (uint64_t)(bits >> 64);
	return r;
}

struct ref_real ref_from_double(double value)
{
	int exponent;
	double fraction = frexp(fabs(value), &exponent);

	return from_integer(signbit(value), (uint64_t)ldexp(fraction, 53), exponent - 53);
}

/* a + b, or a - b where a >= b, of magnitudes. */
static void add(struct ref_real *a, const struct ref_real *b, bool subtract)
{
	two_limbs carry = subtract;

	for (int i = 0; i < REF_LIMBS; i++) {
		carry += (two_limbs)a->limb[i] + (subtract ? ~b->limb[i] : b->limb[i]);
		a->limb[i] = (uint64_t)carry;
		carry >>= 64;
	}
}

struct ref_real ref_add(struct ref_real a, struct ref_real b)
{
	if (a.nan || b.nan)
		return (struct ref_real){ .nan = true };
	if (a.infinite || b.infinite) {
		if (a.infinite && b.infinite && a.negative != b.negative)
			return (struct ref_real){ .nan = true };
		return a.infinite ? a : b;
	}
	if (compare(&a, &b) < 0) {
		struct ref_real t = a;

		a = b;
		b = t;
	}
	add(&a, &b, a.negative != b.negative);
	if (is_zero(&a))
		a.negative = false;	/* a sum of zero is +0 */
	return a;
}

struct ref_real ref_multiply(struct ref_real a, struct ref_real b)
{
	uint64_t product[2 * REF_LIMBS] = { 0 };
	struct ref_real r = { .negative = a.negative != b.negative };

	if (a.nan || b.nan)
		return (struct ref_real){ .nan = true };
	if (a.infinite || b.infinite) {
		if ((!a.infinite && is_zero(&a)) || (!b.infinite && is_zero(&b)))
			r.nan = true;
		else
			r.infinite = true;
		return r;
	}
	for (int i = 0; i < REF_LIMBS; i++) {
		two_limbs carry = 0;

		if (!a.limb[i])
			continue;
		for (int j = 0; j < REF_LIMBS; j++) {
			if (!b.limb[j] && !carry)
				continue;
			carry += (two_limbs)a.limb[i] * b.limb[j] + product[i + j];
			product[i + j] = (uint64_t)carry;
			carry >>= 64;
		}
		product[i + REF_LIMBS] = (uint64_t)carry;
	}
	/* The units multiply as well: drop REF_POINT bits, all of them zero. */
	memcpy(r.limb, product + REF_POINT / 64, sizeof(r.limb));
	return r;
}

/* ---- codes ------------------------------------------------------------ */

static int bits_of(enum xrnpe_format format)
{
	static const int bits[] = { 4, 4, 8, 16, 32, 8, 8 };

	return bits[format];
}

static int es_of(enum xrnpe_format format)
{
	return format == XRNPE_FORMAT_P8 ? 0 : 1;
}

/* Posit(n, es) as defined by Gustafson and Yonemoto, bit by bit. */
static struct ref_real posit(int n, int es, uint32_t code)
{
	uint32_t sign = code >> (n - 1) & 1, mask = (uint32_t)((1ull << n) - 1);
	int at = n - 2, run = 0, k, exponent = 0, fraction_bits;
	uint32_t first;

	if (!code)
		return (struct ref_real){ 0 };
	if (code == 1u << (n - 1))
		return (struct ref_real){ .nan = true };
	if (sign)
		code = -code & mask;
	first = code >> at & 1;
	while (at >= 0 && (code >> at & 1) == first) {
		run++;
		at--;
	}
	at--;				/* the bit that ends the regime */
	k = first ? run - 1 : -run;
	for (int i = 0; i < es; i++) {	/* missing exponent bits are zero */
		exponent = exponent * 2 + (at >= 0 ? (int)(code >> at & 1) : 0);
		at--;
	}
	fraction_bits = at >= 0 ? at + 1 : 0;
	/* useed^k * 2^e * (1 + f), useed = 2^2^es */
	return from_integer(sign, (1ull << fraction_bits) | (code & ((1ull << fraction_bits) - 1)),
			    k * (1 << es) + exponent - fraction_bits);
}

/* IEEE-like: sign, exponent with @bias, fraction; no infinity, no NaN. */
static struct ref_real ieee(int exponent_bits, int fraction_bits, int bias, uint64_t code)
{
	uint64_t fraction = code & ((1ull << fraction_bits) - 1);
	int exponent = (int)(code >> fraction_bits & ((1u << exponent_bits) - 1));
	bool negative = code >> (exponent_bits + fraction_bits) & 1;

	if (!exponent)
		return from_integer(negative, fraction, 1 - bias - fraction_bits);
	return from_integer(negative, fraction | 1ull << fraction_bits,
			    exponent - bias - fraction_bits);
}

struct ref_real ref_decode(enum xrnpe_format format, uint32_t code)
{
	switch (format) {
	case XRNPE_FORMAT_FP4:
		return ieee(2, 1, 1, code);
	case XRNPE_FORMAT_F32:
		if ((code & 0x7fffffff) > 0x7f800000)
			return (struct ref_real){ .nan = true };
		if ((code & 0x7fffffff) == 0x7f800000)
			return (struct ref_real){ .infinite = true, .negative = code >> 31 };
		return ieee(8, 23, 127, code);
	case XRNPE_FORMAT_U8:
		return from_integer(false, code, 0);
	case XRNPE_FORMAT_S8:
		return from_integer(code > 127, code > 127 ? 256 - code : code, 0);
	default:
		return posit(bits_of(format), es_of(format), code);
	}
}

uint32_t ref_top(enum xrnpe_format format)
{
	if (format == XRNPE_FORMAT_F32)
		return 0x7f800000;
	return (1u << (bits_of(format) - 1)) - 1;
}

/* Each is a number of the same kind with one bit more. */
struct ref_real ref_tie(enum xrnpe_format format, uint32_t code)
{
	uint64_t longer = 2 * (uint64_t)code + 1;

	switch (format) {
	case XRNPE_FORMAT_FP4:
		return ieee(2, 1 + 1, 1, longer);
	case XRNPE_FORMAT_F32:
		return ieee(8, 23 + 1, 127, longer);	/* above the largest comes 2^128 */
	default:
		/* Nothing but zero rounds to zero. */
		if (!code)
			return (struct ref_real){ 0 };
		return posit(bits_of(format) + 1, es_of(format), (uint32_t)longer);
	}
}

uint32_t ref_encode(enum xrnpe_format format, struct ref_real value, bool *invalid)
{
	bool posits = format != XRNPE_FORMAT_FP4 && format != XRNPE_FORMAT_F32;
	uint32_t sign = 1u << (bits_of(format) - 1);
	uint32_t low = 0, high = ref_top(format);

	if (value.nan && format == XRNPE_FORMAT_FP4) {
		*invalid = true;
		return 7;
	}
	if (value.nan && format == XRNPE_FORMAT_F32)
		return 0x7fc00000;
	if (posits && (value.nan || value.infinite))
		return sign;
	if (value.infinite)
		return high | (value.negative ? sign : 0);
	/* The largest code whose tie point below it is passed or, if even, met. */
	while (low < high) {
		uint32_t middle = low + (high - low + 1) / 2;
		struct ref_real tie = ref_tie(format, middle - 1);
		int order = compare(&value, &tie);

		if (order > 0 || (order == 0 && middle % 2 == 0))
			low = middle;
		else
			high = middle - 1;
	}
	if (!value.negative)
		return low;
	return posits ? (2 * sign - low) & (2 * sign - 1) : low | sign;
}

/*
 * The least magnitude of a finite binary32 that rounds to more than @code: the
 * value at or above the tie point after it. 0x7f800000 if there is none. The
 * order of binary32 patterns is that of their magnitudes.
 */
static uint32_t next_step(enum xrnpe_format format, uint32_t code)
{
	struct ref_real tie = ref_tie(format, code);
	uint32_t low = 0, high = 0x7f800000;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		struct ref_real value = ref_decode(XRNPE_FORMAT_F32, middle);
		int order = compare(&value, &tie);

		/* A tie goes to the even code. */
		if (order > 0 || (order == 0 && code % 2))
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

size_t ref_intervals(enum xrnpe_format format, struct ref_interval *to)
{
	static const uint32_t special[] = { 0x7f800000, 0x7f800001, 0x80000000 };
	uint32_t top = ref_top(format);
	size_t count = 0;

	for (uint32_t sign = 0; sign < 2; sign++) {
		for (uint32_t code = 0, first = 0; code <= top + 2; code++) {
			uint32_t end = code < top ? next_step(format, code) : special[code - top];
			struct ref_interval *interval = &to[count];

			if (end == first)
				continue;	/* no binary32 rounds to this code */
			interval->first = first | sign << 31;
			interval->last = (end - 1) | sign << 31;
			interval->invalid = false;
			interval->code = ref_encode(format, ref_decode(XRNPE_FORMAT_F32, interval->first),
						    &interval->invalid);
			first = end;
			count++;
		}
	}
	return count;
}

/* ---- memory ----------------------------------------------------------- */

uint32_t ref_load(enum xrnpe_format format, const void *row, size_t index)
{
	const uint8_t *bytes = row;
	uint32_t code = 0;

	if (bits_of(format) == 4)
		return index % 2 ? bytes[index / 2] >> 4 : bytes[index / 2] & 15;
	for (int i = 0; i < bits_of(format) / 8; i++)
		code |= (uint32_t)bytes[index * (size_t)(bits_of(format) / 8) + (size_t)i] << 8 * i;
	return code;
}

void ref_store(enum xrnpe_format format, void *row, size_t index, uint32_t code)
{
	uint8_t *bytes = row;

	if (bits_of(format) == 4) {
		/* Written in order: the even one clears its neighbour. */
		if (index % 2)
			bytes[index / 2] = (uint8_t)(bytes[index / 2] | code << 4);
		else
			bytes[index / 2] = (uint8_t)code;
		return;
	}
	for (int i = 0; i < bits_of(format) / 8; i++)
		bytes[index * (size_t)(bits_of(format) / 8) + (size_t)i] = (uint8_t)(code >> 8 * i);
}

/* ---- commands --------------------------------------------------------- */

struct run {
	const struct xrnpe_cmd *cmd;
	uint8_t *memory[XRNPE_OPERANDS];
	uint64_t matrix;	/* of a batch */
	bool *invalid;
};

static uint8_t *row_of(const struct run *run, int operand, uint64_t row, uint64_t pixel)
{
	const struct xrnpe_operand *o = &run->cmd->operand[operand];

	return run->memory[operand] + run->matrix * o->batch_stride + row * o->row_stride +
	       pixel * o->pixel_stride;
}

static struct ref_real element(const struct run *run, int operand, uint64_t row,
			       uint64_t pixel, size_t index)
{
	enum xrnpe_format format = run->cmd->operand[operand].format;

	return ref_decode(format, ref_load(format, row_of(run, operand, row, pixel), index));
}

/* A word of a scale record: 0 is the scale, 1 the bias, 2 the slope. */
static struct ref_real scale_word(const struct run *run, uint64_t record, size_t word)
{
	return ref_decode(XRNPE_FORMAT_F32, ref_load(XRNPE_FORMAT_F32,
						     row_of(run, XRNPE_OPERAND_SCALE, record, 0), word));
}

static void put(const struct run *run, uint64_t row, uint64_t pixel, size_t index,
		struct ref_real value)
{
	enum xrnpe_format format = run->cmd->operand[XRNPE_OPERAND_OFM].format;

	ref_store(format, row_of(run, XRNPE_OPERAND_OFM, row, pixel), index,
		  ref_encode(format, value, run->invalid));
}

static struct ref_real from_f32(uint32_t bits)
{
	return ref_decode(XRNPE_FORMAT_F32, bits);
}

/* Whether @a is greater than @b, neither of them a NaN; +0 above -0. */
static bool greater(struct ref_real a, struct ref_real b)
{
	if (a.negative != b.negative)
		return b.negative;
	if (a.infinite || b.infinite)
		return a.negative ? b.infinite && !a.infinite : a.infinite && !b.infinite;
	return compare(&a, &b) * (a.negative ? -1 : 1) > 0;
}

static struct ref_real activated(const struct run *run, struct ref_real x, size_t channel)
{
	switch (run->cmd->activation) {
	case XRNPE_ACT_RELU:
		return x.negative ? (struct ref_real){ 0 } : x;
	case XRNPE_ACT_LEAKY:
		return x.negative ? ref_multiply(x, from_f32(run->cmd->slope)) : x;
	case XRNPE_ACT_PRELU:
		return x.negative ? ref_multiply(x, scale_word(run, channel, 2)) : x;
	default:
		return x;
	}
}

/* The output stage, and an element of the output. */
static void put_output(const struct run *run, uint64_t row, uint64_t pixel, size_t index,
		       struct ref_real value)
{
	struct ref_real zero = { 0 };

	if (!value.nan)
		value = activated(run, value, index);
	if (!value.nan && run->cmd->flags & XRNPE_CMD_CLAMP) {
		if (greater(from_f32(run->cmd->lo), value))
			value = from_f32(run->cmd->lo);
		if (greater(value, from_f32(run->cmd->hi)))
			value = from_f32(run->cmd->hi);
	}
	/* A zero is +0 now. */
	put(run, row, pixel, index, ref_add(value, zero));
}

/* Of a product: all but the activation. */
static struct ref_real scaled(const struct run *run, struct ref_real sum, uint64_t row, uint64_t pixel,
			      size_t channel)
{
	struct ref_real x = ref_add(ref_multiply(sum, scale_word(run, channel, 0)), scale_word(run, channel, 1));

	if (!(run->cmd->flags & XRNPE_CMD_RESIDUAL))
		return x;
	return ref_add(x, ref_multiply(element(run, XRNPE_OPERAND_IFM2, row, pixel, channel),
				       from_f32(run->cmd->residual)));
}

/* A code as an integer in units of 2^-28, which is the least value of any format. */
struct fixed {
	bool nan, negative;
	uint64_t magnitude;
};

static const struct fixed *fixed(enum xrnpe_format format, uint32_t code)
{
	static struct fixed table[XRNPE_FORMAT_F32][1 << 16];
	static bool known[XRNPE_FORMAT_F32];

	for (uint32_t i = 0; !known[format] && i < 1u << bits_of(format); i++) {
		struct ref_real value = ref_decode(format, i);

		table[format][i] = (struct fixed){ value.nan, value.negative,
						   value.limb[REF_POINT / 64 - 1] >> (64 - 28) |
						   value.limb[REF_POINT / 64] << 28 };
	}
	known[format] = true;
	return &table[format][code];
}

/* A sum of products: those above zero and those below. */
struct sum {
	bool nan;
	struct ref_real part[2];
};

static void add_product(struct sum *sum, const struct fixed *a, const struct fixed *b)
{
	/* In units of 2^-56, of 2^-64, and then limb by limb. */
	two_limbs carry = ((two_limbs)a->magnitude * b->magnitude) << 8;
	uint64_t *limb = &sum->part[a->negative != b->negative].limb[REF_POINT / 64 - 1];

	sum->nan |= a->nan || b->nan;
	for (; carry; limb++) {
		uint64_t high = (uint64_t)(carry >> 64);

		carry = (two_limbs)*limb + (uint64_t)carry;
		*limb = (uint64_t)carry;
		carry = (carry >> 64) + high;
	}
}

static struct ref_real total(struct sum sum)
{
	if (sum.nan)
		return (struct ref_real){ .nan = true };
	sum.part[1].negative = true;
	return ref_add(sum.part[0], sum.part[1]);
}

static const struct fixed *fixed_at(const struct run *run, int operand, uint64_t row, uint64_t pixel,
				    size_t index)
{
	enum xrnpe_format format = run->cmd->operand[operand].format;

	return fixed(format, ref_load(format, row_of(run, operand, row, pixel), index));
}

static void matmul(const struct run *run)
{
	const struct xrnpe_dims_matmul *d = &run->cmd->matmul;
	bool transposed = run->cmd->flags & XRNPE_CMD_TRANSPOSED;

	for (uint64_t m = 0; m < d->m; m++) {
		for (uint64_t n = 0; n < d->n; n++) {
			struct sum sum = { 0 };

			for (size_t k = 0; k < d->k; k++)
				add_product(&sum, fixed_at(run, XRNPE_OPERAND_IFM, m, 0, k),
					    fixed_at(run, XRNPE_OPERAND_WEIGHT, transposed ? k : n, 0,
						     transposed ? n : k));
			put_output(run, m, 0, n, scaled(run, total(sum), m, 0, n));
		}
	}
}

static struct ref_real window_sum(const struct run *run, int y, int x, int n)
{
	const struct xrnpe_dims_image *d = &run->cmd->image;
	int channels = d->in_c / d->groups, group = n / (d->out_c / d->groups);
	struct sum sum = { 0 };

	for (int i = 0; i < d->kernel_h; i++) {
		for (int j = 0; j < d->kernel_w; j++) {
			int line = y * d->stride_h - d->pad_top + i * d->dilation_h;
			int column = x * d->stride_w - d->pad_left + j * d->dilation_w;

			for (int c = 0; c < channels; c++) {
				static const struct fixed zero;
				const struct fixed *in = &zero, *weight;

				weight = fixed_at(run, XRNPE_OPERAND_WEIGHT, (uint64_t)n,
						  (uint64_t)(i * d->kernel_w + j), (size_t)c);
				if (line >= 0 && line < d->in_h && column >= 0 && column < d->in_w)
					in = fixed_at(run, XRNPE_OPERAND_IFM, (uint64_t)line,
						      (uint64_t)column, (size_t)(group * channels + c));
				add_product(&sum, in, weight);
			}
		}
	}
	return total(sum);
}

static void conv2d(const struct run *run)
{
	const struct xrnpe_dims_image *d = &run->cmd->image;

	for (int y = 0; y < d->out_h; y++) {
		for (int x = 0; x < d->out_w; x++) {
			for (int n = 0; n < d->out_c; n++)
				put_output(run, (uint64_t)y, (uint64_t)x, (size_t)n,
					   scaled(run, window_sum(run, y, x, n), (uint64_t)y, (uint64_t)x,
						  (size_t)n));
		}
	}
}

static void maxpool(const struct run *run)
{
	const struct xrnpe_dims_image *d = &run->cmd->image;

	for (int y = 0; y < d->out_h; y++) {
		for (int x = 0; x < d->out_w; x++) {
			for (int c = 0; c < d->out_c; c++) {
				struct ref_real best = { 0 };
				bool any = false;

				for (int i = 0; i < d->kernel_h; i++) {
					for (int j = 0; j < d->kernel_w; j++) {
						int line = y * d->stride_h - d->pad_top +
							   i * d->dilation_h;
						int column = x * d->stride_w - d->pad_left +
							     j * d->dilation_w;
						struct ref_real value;

						if (line < 0 || line >= d->in_h ||
						    column < 0 || column >= d->in_w)
							continue;
						value = element(run, XRNPE_OPERAND_IFM,
								(uint64_t)line, (uint64_t)column,
								(size_t)c);
						if (!any || value.nan ||
						    (!best.nan && greater(value, best)))
							best = value;
						any = true;
					}
				}
				put(run, (uint64_t)y, (uint64_t)x, (size_t)c, best);
			}
		}
	}
}

static uint32_t code_at(const struct run *run, int operand, uint64_t row, uint64_t pixel, size_t index)
{
	return ref_load(run->cmd->operand[operand].format, row_of(run, operand, row, pixel), index);
}

/* The code of IFM that is at a place of the output's axes. */
static uint32_t ordered_code(const struct run *run, uint64_t y, uint64_t x, uint64_t c)
{
	switch (run->cmd->order) {
	case XRNPE_ORDER_HWC:
		return code_at(run, XRNPE_OPERAND_IFM, y, x, c);
	case XRNPE_ORDER_HCW:
		return code_at(run, XRNPE_OPERAND_IFM, y, c, x);
	case XRNPE_ORDER_WHC:
		return code_at(run, XRNPE_OPERAND_IFM, x, y, c);
	case XRNPE_ORDER_WCH:
		return code_at(run, XRNPE_OPERAND_IFM, x, c, y);
	case XRNPE_ORDER_CHW:
		return code_at(run, XRNPE_OPERAND_IFM, c, y, x);
	default:
		return code_at(run, XRNPE_OPERAND_IFM, c, x, y);
	}
}

/* Of a and b, of ADD to MIN: before the activation. */
static struct ref_real combined(const struct run *run, struct ref_real a, struct ref_real b)
{
	if (run->cmd->opcode == XRNPE_OP_MUL)
		return ref_add(ref_multiply(ref_multiply(a, b), scale_word(run, 0, 0)), scale_word(run, 0, 1));
	a = ref_multiply(a, scale_word(run, 0, 0));
	b = ref_multiply(b, scale_word(run, 1, 0));
	if (run->cmd->opcode == XRNPE_OP_ADD)
		return ref_add(a, b);
	if (a.nan || b.nan)
		return a.nan ? a : b;
	return greater(a, b) == (run->cmd->opcode == XRNPE_OP_MAX) ? a : b;
}

static void elementwise(const struct run *run)
{
	const struct xrnpe_dims_image *d = &run->cmd->image;

	for (uint64_t y = 0; y < d->in_h; y++) {
		for (uint64_t x = 0; x < d->in_w; x++) {
			for (size_t c = 0; c < d->in_c; c++) {
				enum xrnpe_format format = run->cmd->operand[XRNPE_OPERAND_IFM].format;
				struct ref_real a = ref_decode(format, ordered_code(run, y, x, c));

				if (run->cmd->opcode == XRNPE_OP_CONVERT) {
					put_output(run, y, x, c, ref_add(ref_multiply(a, scale_word(run, c, 0)),
									 scale_word(run, c, 1)));
					continue;
				}
				put_output(run, y, x, c, combined(run, a, element(
					run, XRNPE_OPERAND_IFM2, y, x,
					run->cmd->flags & XRNPE_CMD_PER_PIXEL ? 0 : c)));
			}
		}
	}
}

static void put_code(const struct run *run, uint64_t row, uint64_t pixel, size_t index, uint32_t code)
{
	ref_store(run->cmd->operand[XRNPE_OPERAND_OFM].format, row_of(run, XRNPE_OPERAND_OFM, row, pixel), index,
		  code);
}

static void lut(const struct run *run)
{
	const struct xrnpe_dims_image *d = &run->cmd->image;

	for (uint64_t y = 0; y < d->in_h; y++) {
		for (uint64_t x = 0; x < d->in_w; x++) {
			for (size_t c = 0; c < d->in_c; c++)
				put_code(run, y, x, c, code_at(run, XRNPE_OPERAND_WEIGHT, 0, 0,
							       code_at(run, XRNPE_OPERAND_IFM, y, x, c)));
		}
	}
}

static void copy(const struct run *run)
{
	const struct xrnpe_dims_copy *d = &run->cmd->copy;
	bool spread = run->cmd->flags & XRNPE_CMD_SPREAD;

	for (int y = 0; y < d->out_h; y++) {
		for (int x = 0; x < d->out_w; x++) {
			for (int c = 0; c < d->out_c; c++) {
				int from_y = y - d->pad_h, from_x = x - d->pad_w, from_c = c - d->pad_c;
				bool inside = from_y >= 0 && from_x >= 0 && from_c >= 0 && from_c < d->in_c &&
					      from_y / d->up_h < d->in_h && from_x / d->up_w < d->in_w;

				if (spread && (from_y % d->up_h || from_x % d->up_w))
					inside = false;
				put_code(run, (uint64_t)y, (uint64_t)x, (size_t)c, !inside ? d->fill :
					 ordered_code(run, (uint64_t)(from_y / d->up_h),
						      (uint64_t)(from_x / d->up_w), (uint64_t)from_c));
			}
		}
	}
}

void ref_run(const struct xrnpe_cmd *cmd, void *const memory[XRNPE_OPERANDS], bool *invalid)
{
	struct run run = { .cmd = cmd, .invalid = invalid };

	for (int i = 0; i < XRNPE_OPERANDS; i++)
		run.memory[i] = memory[i];
	switch (cmd->opcode) {
	case XRNPE_OP_MATMUL:
		for (; run.matrix < cmd->matmul.batch; run.matrix++)
			matmul(&run);
		break;
	case XRNPE_OP_CONV2D:
		conv2d(&run);
		break;
	case XRNPE_OP_MAXPOOL:
		maxpool(&run);
		break;
	case XRNPE_OP_LUT:
		lut(&run);
		break;
	case XRNPE_OP_COPY:
		copy(&run);
		break;
	case XRNPE_OP_BARRIER:
		break;
	default:
		elementwise(&run);
	}
}

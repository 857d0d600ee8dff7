/* SPDX-License-Identifier: MIT */
/*
 * Few positions of Posit(16,1), or of another factor with it, in doubles (sums_p16.h). Included
 * by a file for each instruction set, which has defined
 *
 *	TARGET, INLINE, VECTOR, LANES, and the intrinsics
 *	words, decode_posits()	vectors of codes, to doubles times 2^-SCALE(es)
 *	TOGETHER		positions that are multiplied at a time
 *	struct outputs, make_outputs(), output_near(), pack()	as in rounding.h
 *
 * Weights are decoded from the codes that are in memory, in the order that takes the fewest
 * instructions; inputs, which are decoded once for a block, are put in that order.
 */
#ifndef XRNPE_DATAPATH_GEMV_P16_H
#define XRNPE_DATAPATH_GEMV_P16_H

#include <string.h>

#include "bytes.h"
#include "cuts_p16.h"
#include "gemv.h"
#include "reals.h"

/*
 * A group is four vectors of doubles, which have a sum each. A chunk is what has cuts in
 * common: 32 products a lane of each sum, 128 of all four, see TERMS_LOG.
 */
#define CHUNK_GROUPS 32
#define GROUP_CODES (VECTOR / 2)
#define CHUNK_CODES (CHUNK_GROUPS * GROUP_CODES)
#define POLL_CHANNELS 8		/* between looks at whether to give up */

/* What a vector of packed weights becomes: 1, 2 or 4 groups. The value is their log2. */
enum kind {
	WORDS,		/* Posit(16,1) */
	OCTETS,		/* Posit(8,0): the even codes, the odd ones */
	NIBBLES,	/* FP4 and Posit(4,1): two groups of the even codes, two of the odd ones */
};

/* ---- words -------------------------------------------------------------- */

INLINE words load_words(const uint8_t *from)
{
	words value;

	memcpy(&value, from, sizeof(value));
	return value;
}

INLINE words magnitudes_of(words code)
{
#if VECTOR == 64
	return (words)_mm512_abs_epi16((__m512i)code);
#elif VECTOR == 32
	return (words)_mm256_abs_epi16((__m256i)code);
#else
	return (words)vabsq_s16((int16x8_t)code);
#endif
}

INLINE words larger(words a, words b)
{
#if VECTOR == 64
	return (words)_mm512_max_epu16((__m512i)a, (__m512i)b);
#elif VECTOR == 32
	return (words)_mm256_max_epu16((__m256i)a, (__m256i)b);
#else
	return (words)vmaxq_u16((uint16x8_t)a, (uint16x8_t)b);
#endif
}

INLINE words smaller(words a, words b)
{
#if VECTOR == 64
	return (words)_mm512_min_epu16((__m512i)a, (__m512i)b);
#elif VECTOR == 32
	return (words)_mm256_min_epu16((__m256i)a, (__m256i)b);
#else
	return (words)vminq_u16((uint16x8_t)a, (uint16x8_t)b);
#endif
}

INLINE unsigned int largest_word(words value)
{
	unsigned int most = 0;

	for (size_t i = 0; i < GROUP_CODES; i++)
		most = value[i] > most ? value[i] : most;
	return most;
}

/* Whether the uppermost bit of any is set. */
INLINE bool any_top(words value)
{
	uint64_t part[VECTOR / sizeof(uint64_t)], any = 0;

	memcpy(part, &value, sizeof(part));
	for (size_t i = 0; i < VECTOR / sizeof(uint64_t); i++)
		any |= part[i];
	return any & 0x8000800080008000;
}

INLINE double total(reals value)
{
#if VECTOR == 64
	return _mm512_reduce_add_pd((__m512d)value);
#else
	double sum = 0;

	for (size_t i = 0; i < REALS; i++)
		sum += value[i];
	return sum;
#endif
}

/* ---- weights ------------------------------------------------------------ */

/* A chunk of inputs, decoded, times what weights lack. */
struct chunk {
	reals values[CHUNK_GROUPS][4];
	reals magnitudes[4];		/* lane by lane the sum of them */
	struct range range;
};

struct task {
	const struct xrnpe_product *product;
	size_t chunks;
	/* NIBBLES: lower and upper bytes of the upper words of doubles, and that of the largest. */
	bytes low, high;
	uint16_t largest;
	struct range range;		/* of any weights; not of WORDS */
	struct chunk *inputs;		/* by position, @chunks each */
	bool nar[GEMV_P16_POSITIONS];	/* one of the inputs is */
};

static enum kind kind_of(const struct xrnpe_product *product)
{
	return product->weight.format == XRNPE_FORMAT_P16 ? WORDS :
	       product->weight.format == XRNPE_FORMAT_P8 ? OCTETS : NIBBLES;
}

/* The upper 16 bits of a double, as which there are all values of 4 bits. */
static uint16_t upper_word(double value)
{
	uint64_t word;

	memcpy(&word, &value, sizeof(word));
	return (uint16_t)(word >> 48);
}

/* What weights are decoded with: a NaR of 4 bits is -0, which nothing else is. */
TARGET static void make_tables(struct task *task)
{
	const struct xrnpe_factor *weight = &task->product->weight;
	int unit = xrnpe_grid_unit(weight->format);
	double largest;

	if (kind_of(task->product) == WORDS)
		return;
	largest = xrnpe_largest(weight->format) * power(unit);
	task->largest = upper_word(largest);
	task->range = (struct range){ .most = (task->largest >> 4) - 1023 + 1, .least = unit };
	for (size_t i = 0; i < VECTOR; i++) {
		int16_t value = weight->narrow[i % 16];
		uint16_t word = upper_word(value == XRNPE_NARROW_NAR ? -0.0 : value * power(unit));

		task->low[i] = (uint8_t)word;
		task->high[i] = (uint8_t)(word >> 8);
	}
}

/* A vector of packed weights to words, a group each, for to_reals(). */
INLINE void split(enum kind kind, const struct task *task, words packed, words part[4])
{
	switch (kind) {
	case WORDS:
		part[0] = packed;
		break;
	case OCTETS:
		part[0] = packed << 8;
		part[1] = packed & 0xff00;
		break;
	default:
		for (int odd = 0; odd < 2; odd++) {
			bytes index = (bytes)((odd ? packed >> 4 : packed) & 0x0f0f);
			bytes low = look_up(task->low, index), high = look_up(task->high, index);

			part[2 * odd] = (words)first_words(low, high);
			part[2 * odd + 1] = (words)last_words(low, high);
		}
		break;
	}
}

/* To doubles: every fourth from 0, 2, 1 and 3; but for NIBBLES times 2^-SCALE(es). */
INLINE void to_reals(enum kind kind, words part, reals value[4])
{
	typedef uint64_t quads __attribute__((vector_size(VECTOR)));
	const quads upper = (quads){ 0 } + 0xffff000000000000;

	if (kind != NIBBLES) {
		decode_posits(kind == WORDS, part, value);
		return;
	}
	value[0] = (reals)((quads)part << 48);
	value[1] = (reals)((quads)part << 16 & upper);
	value[2] = (reals)((quads)part << 32 & upper);
	value[3] = (reals)((quads)part & upper);
}

/* log2 of what to_reals() multiplies by. */
static int scale_of(enum kind kind)
{
	return kind == NIBBLES ? 0 : -SCALE(kind == WORDS);
}

static inline size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Of chunk @c of a row of @k codes. */
static inline size_t codes_in(size_t k, size_t c)
{
	return min_size(k - c * CHUNK_CODES, CHUNK_CODES);
}

/* Bytes of so many packed codes. */
static inline size_t packed_bytes(enum kind kind, size_t count)
{
	return (count * (16 >> kind) + 7) / 8;
}

/* Chunk @c of a row of weights, filled up to whole vectors with zeros. Returns how many they are. */
static inline size_t copy_chunk(enum kind kind, size_t k, const uint8_t *row, size_t c, uint8_t *copy)
{
	size_t count = codes_in(k, c), size = packed_bytes(kind, count), steps = (size + VECTOR - 1) / VECTOR;

	memcpy(copy, row + packed_bytes(kind, c * CHUNK_CODES), size);
	memset(copy + size, 0, steps * VECTOR - size);
	if (kind == NIBBLES && count % 2)
		copy[size - 1] &= 15;
	return steps;
}

/* The chunk itself, or if need be such a copy. */
static inline const uint8_t *chunk_of(enum kind kind, size_t k, const uint8_t *row, size_t c, uint8_t *copy,
				      size_t *steps)
{
	*steps = packed_bytes(kind, codes_in(k, c)) / VECTOR;
	if (codes_in(k, c) % (GROUP_CODES << kind)) {
		*steps = copy_chunk(kind, k, row, c, copy);
		return copy;
	}
	return row + packed_bytes(kind, c * CHUNK_CODES);
}

/* ---- inputs ------------------------------------------------------------- */

INLINE struct range measure(const uint8_t *packed, size_t groups)
{
	words most = { 0 }, least = ~most;

	for (size_t g = 0; g < groups; g++) {
		words magnitude = magnitudes_of(load_words(packed + g * VECTOR));

		most = larger(most, magnitude);
		/* One less, so that zero is the largest. */
		least = smaller(least, magnitude - 1);
	}
	return range_of(largest_word(most), (uint16_t)~largest_word(~least) + 1u);
}

/* Codes of Posit(16,1), in order, to that in which split() has those of packed weights. */
INLINE void arrange(enum kind kind, const uint8_t *from, size_t groups, uint8_t *to)
{
	typedef uint16_t few_words __attribute__((vector_size(16)));
	/* From even codes to odd ones; sixteen codes are 16 bytes of each. */
	const size_t apart = kind == OCTETS ? VECTOR : 2 * VECTOR, together = 2 * apart;

	if (kind == WORDS) {
		memcpy(to, from, groups * VECTOR);
		return;
	}
	for (size_t at = 0; at < groups * VECTOR; at += 32) {
		size_t i = at % together / 32;
		uint8_t *place = to + at - at % together +
				 (kind == OCTETS ? i * 16 : i % 2 * VECTOR + i / 2 * 16);
		few_words a, b, even, odd;

		memcpy(&a, from + at, sizeof(a));
		memcpy(&b, from + at + 16, sizeof(b));
		even = __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
		odd = __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
		memcpy(place, &even, sizeof(even));
		memcpy(place + apart, &odd, sizeof(odd));
	}
}

/* The codes of chunk @c of a row of inputs, as those of Posit(16,1). */
static void input_codes(const struct xrnpe_product *product, const uint8_t *row, size_t c, uint8_t *packed)
{
	size_t first = c * CHUNK_CODES, count = codes_in(product->k, c);

	if (product->ifm.format == XRNPE_FORMAT_P16)
		memcpy(packed, row + first * 2, count * 2);
	else
		xrnpe_widen(product->ifm.format, row, first, count, packed);
	memset(packed + count * 2, 0, (CHUNK_CODES - count) * 2);
}

/* Decode a row of inputs. True if there is a NaR. */
TARGET static bool prepare(const struct task *task, const uint8_t *row, struct chunk *chunk)
{
	enum kind kind = kind_of(task->product);
	uint8_t packed[CHUNK_CODES * 2], arranged[CHUNK_CODES * 2];
	bool nar = false;

	if (xrnpe_cancelled(task->product->cancel))
		return false;
	for (size_t c = 0; c < task->chunks; c++, chunk++) {
		size_t step = GROUP_CODES << kind;	/* codes of a vector of weights */
		size_t groups = (codes_in(task->product->k, c) + step - 1) / step << kind;

		input_codes(task->product, row, c, packed);
		arrange(kind, packed, groups, arranged);
		memset(chunk->magnitudes, 0, sizeof(chunk->magnitudes));
		chunk->range = measure(packed, groups);
		nar |= chunk->range.nar;
		for (size_t g = 0; g < groups; g++) {
			reals *value = chunk->values[g];

			decode_posits(1, load_words(arranged + g * VECTOR), value);
			for (int i = 0; i < 4; i++) {
				value[i] = value[i] * power(SCALE(1)) * power(-scale_of(kind));
				chunk->magnitudes[i] += magnitude_of(value[i]);
			}
		}
	}
	return nar;
}

/* ---- sums and a bound on their error ------------------------------------ */

/* Sums of products that are off by at most @error. */
struct near {
	double sum[LANES] __attribute__((aligned(64))), error[LANES];
};

/* Group @g of a chunk of weights by those of some positions of @inputs. GCC 12 would not unroll a loop. */
INLINE void add_group(size_t positions, const reals weight[4], const struct chunk *inputs, size_t chunks,
		      size_t g, reals (*sum)[4])
{
#pragma GCC unroll 4
	for (size_t p = 0; p < positions; p++) {
		const reals *value = inputs[p * chunks].values[g];

		sum[p][0] = fused(weight[0], value[0], sum[p][0]);
		sum[p][1] = fused(weight[1], value[1], sum[p][1]);
		sum[p][2] = fused(weight[2], value[2], sum[p][2]);
		sum[p][3] = fused(weight[3], value[3], sum[p][3]);
	}
}

/* A row of weights by some positions of @inputs. True if there is a NaR. */
INLINE bool multiply(enum kind kind, size_t positions, const struct task *task, const uint8_t *row,
		     const struct chunk *inputs, struct near *near, size_t lane)
{
	const size_t chunks = task->chunks;
	uint8_t copy[CHUNK_CODES * 2];
	reals sum[TOGETHER][4] = { { { 0 } } }, bound[TOGETHER] = { { 0 } }, weight[4];
	words largest = { 0 };

	for (size_t c = 0; c < chunks; c++, inputs++) {
		words most = { 0 };
		size_t steps;
		const uint8_t *from = chunk_of(kind, task->product->k, row, c, copy, &steps);
		const uint8_t *next = row + packed_bytes(kind, c * CHUNK_CODES) + GEMV_AHEAD;

		for (size_t s = 0; s < steps; s++) {
			const size_t parts = (size_t)1 << kind;
			words part[4];

			/* Inputs fill the first cache. */
			__builtin_prefetch(next + s * VECTOR, 0, 2);
			split(kind, task, load_words(from + s * VECTOR), part);
#pragma GCC unroll 4
			for (size_t g = 0; g < parts; g++) {
				most = larger(most, magnitudes_of(part[g]));
				to_reals(kind, part[g], weight);
				add_group(positions, weight, inputs, chunks, (s << kind) + g, sum);
			}
		}
		largest = larger(largest, most);
		/* The largest of each lane are weights, too; of 4 bits it may be any, but for zero. */
		if (kind == NIBBLES)
			most = (words)(most != 0) & task->largest;
		to_reals(kind, most, weight);
#pragma GCC unroll 4
		for (size_t p = 0; p < positions; p++) {
#pragma GCC unroll 4
			for (int i = 0; i < 4; i++)
				bound[p] = fused(weight[i], inputs[p * chunks].magnitudes[i], bound[p]);
		}
	}
	for (size_t p = 0; p < positions; p++) {
		near[p].sum[lane] = total((sum[p][0] + sum[p][1]) + (sum[p][2] + sum[p][3]));
		near[p].error[lane] = total(bound[p]) * precision_of(chunks * CHUNK_GROUPS);
	}
	return any_top(largest);
}

/* ---- exact sums --------------------------------------------------------- */

/* Sums of the products of some steps, in @parts parts that begin at @start. */
INLINE void add_products(enum kind kind, int parts, const struct task *task, const uint8_t *packed, size_t steps,
			 const struct chunk *input, const double *start, reals total_of[PARTS])
{
	reals sum[4][PARTS], zero = { 0 };

	for (int i = 0; i < 4; i++) {
		for (int p = 0; p < parts; p++)
			sum[i][p] = zero + start[p];
	}
	for (size_t s = 0; s < steps << kind; s++) {
		words part[4];
		reals weight[4];

		split(kind, task, load_words(packed + (s >> kind) * VECTOR), part);
		to_reals(kind, part[s % (1u << kind)], weight);
#pragma GCC unroll 4
		for (int i = 0; i < 4; i++) {
			reals x = input->values[s][i], next = fused(weight[i], x, sum[i][0]), rest;

			rest = sum[i][0] - next;
			sum[i][0] = next;
			if (parts == 1)
				continue;
			rest = fused(weight[i], x, rest);
			if (parts == 3) {
				next = sum[i][1] + rest;
				rest += sum[i][1] - next;
				sum[i][1] = next;
			}
			sum[i][parts - 1] += rest;
		}
	}
	for (int p = 0; p < parts; p++)
		total_of[p] = ((sum[0][p] - start[p]) + (sum[1][p] - start[p])) +
			      ((sum[2][p] - start[p]) + (sum[3][p] - start[p]));
}

/* An integer. Weights that change while they are read leave sums that are too large for one. */
static inline uint64_t whole(double value)
{
	return value > -0x1p63 && value < 0x1p63 ? (uint64_t)(int64_t)value : 0;
}

/* The sum of the products of a chunk, in grid units. */
INLINE xrnpe_u128 sum_chunk(enum kind kind, const struct task *task, const uint8_t *packed, size_t steps,
			    const struct chunk *input)
{
	struct cuts cuts = cuts_for(kind == WORDS ? measure(packed, steps) : task->range, input->range);
	xrnpe_u128 sum = 0;
	reals parts[PARTS];

	if (cuts.parts == 1)
		add_products(kind, 1, task, packed, steps, input, cuts.start, parts);
	else if (cuts.parts == 2)
		add_products(kind, 2, task, packed, steps, input, cuts.start, parts);
	else if (cuts.parts == 3)
		add_products(kind, 3, task, packed, steps, input, cuts.start, parts);
	for (int p = 0; p < cuts.parts; p++) {
		uint64_t units = 0;

		for (size_t i = 0; i < REALS; i++)
			units += whole(parts[p][i] * power(-cuts.unit[p]));
		sum += grid_sum((int64_t)units, cuts.unit[p]);
	}
	return sum;
}

/* ---- kinds -------------------------------------------------------------- */

#define KIND(name, kind)								\
	TARGET static bool multiply_##name(size_t positions, const struct task *task, const uint8_t *row, \
					   const struct chunk *inputs, struct near *near, size_t lane) \
	{										\
		switch (positions) {							\
		case 1:									\
			return multiply(kind, 1, task, row, inputs, near, lane);	\
		case 2:									\
			return multiply(kind, 2, task, row, inputs, near, lane);	\
		case 3:									\
			return multiply(kind, TOGETHER < 3 ? 1 : 3, task, row, inputs, near, lane); \
		default:								\
			return multiply(kind, TOGETHER, task, row, inputs, near, lane);	\
		}									\
	}										\
	TARGET static xrnpe_u128 sum_##name(const struct task *task, const uint8_t *packed, size_t steps, \
					    const struct chunk *input)			\
	{										\
		return sum_chunk(kind, task, packed, steps, input);			\
	}
KIND(words, WORDS)
KIND(octets, OCTETS)
KIND(nibbles, NIBBLES)

static const struct {
	bool (*multiply)(size_t positions, const struct task *task, const uint8_t *row,
			 const struct chunk *inputs, struct near *near, size_t lane);
	xrnpe_u128 (*sum)(const struct task *task, const uint8_t *packed, size_t steps, const struct chunk *input);
} kinds[] = {
	[WORDS] = { multiply_words, sum_words },
	[OCTETS] = { multiply_octets, sum_octets },
	[NIBBLES] = { multiply_nibbles, sum_nibbles },
};

/* ---- positions ---------------------------------------------------------- */

/*
 * The exact output at position @p, channel @n, of a row of weights, whose sum has a sign. It
 * works on copies, as what is read twice must be the same though memory may change.
 */
static uint32_t output_exactly(const struct task *task, const uint8_t *row, uint64_t p, uint64_t n,
			       bool negative, uint32_t *status)
{
	const struct xrnpe_product *product = task->product;
	enum kind kind = kind_of(product);
	uint8_t packed[CHUNK_CODES * 2];
	xrnpe_u128 sum = 0;

	if (xrnpe_cancelled(product->cancel))
		return 0;
	for (size_t c = 0; c < task->chunks; c++) {
		size_t steps = copy_chunk(kind, product->k, row, c, packed);

		sum += kinds[kind].sum(task, packed, steps, &task->inputs[p * task->chunks + c]);
	}
	return xrnpe_output_wrapped(product, p, n, sum, negative, status);
}

/* The outputs of channels @n.., up to LANES. */
TARGET static void put(const struct task *task, uint64_t n, size_t count, uint32_t *status)
{
	const struct xrnpe_product *product = task->product;
	const size_t stride = product->weight.row_stride;
	const uint8_t *weights = xrnpe_weight_row(product, n);
	enum kind kind = kind_of(product);
	struct outputs outputs;
	struct near near[GEMV_P16_POSITIONS] = { 0 };
	bool nar[LANES], any_nar = false;

	make_outputs(product, n, count, 0, &outputs);
	for (size_t p = 0; p < product->positions; p += TOGETHER) {
		for (size_t i = 0; i < count; i++) {
			if (!(i % POLL_CHANNELS) && xrnpe_cancelled(product->cancel))
				return;
			gemv_look_up(weights + i * stride, stride);
			nar[i] = kinds[kind].multiply(min_size((size_t)product->positions - p, TOGETHER), task,
						      weights + i * stride, task->inputs + p * task->chunks,
						      &near[p], i);
			any_nar |= nar[i];
		}
	}
	for (size_t p = 0; p < product->positions; p++) {
		uint8_t *out = xrnpe_output_row(product, p);
		uint32_t code[LANES] __attribute__((aligned(64))), doubt;

		doubt = output_near(product, &outputs, near[p].sum, near[p].error, p, n, count, code);
		for (size_t i = 0; i < count; i++) {
			if (doubt >> i & 1 && !task->nar[p] && !nar[i])
				code[i] = output_exactly(task, weights + i * stride, p, n + i,
							 near[p].sum[i] < 0, status);
		}
		pack(product->out, out, n, code, count);
		if (task->nar[p] || any_nar)
			xrnpe_put_nar(product, task->nar[p] ? NULL : nar, out, n, count, status);
	}
}

/* Two functions of a struct xrnpe_kernel. */
static size_t scratch_size(const struct xrnpe_product *product)
{
	return product->positions * ((product->k - 1) / CHUNK_CODES + 1) * sizeof(struct chunk);
}

TARGET static void run(const struct xrnpe_product *product, const struct xrnpe_block *block, void *memory,
		       uint32_t *status)
{
	struct task task = {
		.product = product, .chunks = (product->k - 1) / CHUNK_CODES + 1, .inputs = memory,
	};

	make_tables(&task);
	for (size_t p = 0; p < product->positions; p++)
		task.nar[p] = prepare(&task, product->ifm.memory + p * product->ifm.row_stride,
				      task.inputs + p * task.chunks);
	for (uint64_t n = block->n0; n < block->n1 && !xrnpe_cancelled(product->cancel); n += LANES)
		put(&task, n, min_size((size_t)(block->n1 - n), LANES), status);
}

#endif

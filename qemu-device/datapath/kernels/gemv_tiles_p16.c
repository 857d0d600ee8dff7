// SPDX-License-Identifier: MIT
/* Few positions of Posit(16,1) with AVX2 and NEON: portable vectors, see gemv_p16.h. */
#if defined(__x86_64__) || defined(__AARCH64EL__)

#include "gemm_tiles.h"
#include "gemv.h"
#include "gemv_p16.h"
#include "rounding.h"
#include "tiles_p16.h"

#define TOGETHER 2	/* positions, at the most */

typedef uint16_t words __attribute__((vector_size(VECTOR)));
#define WORDS (VECTOR / sizeof(uint16_t))

/* A chunk of inputs, decoded. */
struct chunk {
	reals values[CHUNK_STEPS][4];
	reals magnitudes[4];		/* lane by lane the sum of them */
	struct range range;
};

/* Sums of products that are off by at most @error. */
struct near {
	double sum[LANES] __attribute__((aligned(64))), error[LANES];
};

INLINE words load_words(const uint8_t *from)
{
	words value;

	memcpy(&value, from, sizeof(value));
	return value;
}

INLINE words magnitudes_of(words code)
{
#ifdef __x86_64__
	return (words)_mm256_abs_epi16((__m256i)code);
#else
	return (words)vabsq_s16((int16x8_t)code);
#endif
}

INLINE words larger(words a, words b)
{
#ifdef __x86_64__
	return (words)_mm256_max_epu16((__m256i)a, (__m256i)b);
#else
	return (words)vmaxq_u16((uint16x8_t)a, (uint16x8_t)b);
#endif
}

INLINE words smaller(words a, words b)
{
#ifdef __x86_64__
	return (words)_mm256_min_epu16((__m256i)a, (__m256i)b);
#else
	return (words)vminq_u16((uint16x8_t)a, (uint16x8_t)b);
#endif
}

/* A vector of codes to doubles: every fourth from 0, 2, 1 and 3. */
INLINE void decode(words code, reals value[4])
{
	words twice = code + code;
	halves above_one = (halves)(code ^ twice);

	for (int odd = 0; odd < 2; odd++) {
		halves upper = upper_halves(odd ? (halves)twice & -0x10000 : (halves)twice << 16,
					    odd ? above_one : above_one << 16);

		value[2 * odd] = (reals)((bits)upper << 32);
		value[2 * odd + 1] = (reals)((bits)upper & 0xffffffff00000000);
	}
}

INLINE double total(reals value)
{
	double sum = 0;

	for (size_t i = 0; i < REALS; i++)
		sum += value[i];
	return sum;
}

/* ---- sums and a bound on their error ---------------------------------- */

/*
 * A row of weights by some positions of @inputs. True if there is a NaR. What is fetched is
 * @ahead of the row.
 */
INLINE bool multiply(size_t positions, const struct xrnpe_product *product, const uint8_t *row, size_t ahead,
		     const struct chunk *inputs, struct near *near, size_t lane)
{
	const size_t chunks = chunks_of(product, VECTOR);
	/* log2 of how much shorter codes are in memory. */
	const int shorter = 4 - msb(xrnpe_format_bits(product->weight.format));
	uint8_t padded[CHUNK_STEPS * VECTOR];
	reals sum[TOGETHER][4] = { { { 0 } } }, bound[TOGETHER] = { { 0 } }, weight[4];
	words largest = { 0 };
	bool nar = false;

	for (size_t c = 0; c < chunks; c++, inputs++) {
		words most = { 0 };
		size_t steps;
		const uint8_t *from = chunk_of(&product->weight, product->k, row, c, VECTOR, padded, &steps);
		const uint8_t *next = row + ahead + (c * CHUNK_STEPS * VECTOR >> shorter);

		for (size_t s = 0; s < steps; s++) {
			words code = load_words(from + s * VECTOR);

			__builtin_prefetch(next + (s * VECTOR >> shorter));
			most = larger(most, magnitudes_of(code));
			decode(code, weight);
#pragma GCC unroll 2
			for (size_t p = 0; p < positions; p++) {
#pragma GCC unroll 4
				for (int i = 0; i < 4; i++)
					sum[p][i] = fused(weight[i], inputs[p * chunks].values[s][i], sum[p][i]);
			}
		}
		largest = larger(largest, most);
		/* The largest of each lane are weights, too. */
		decode(most, weight);
#pragma GCC unroll 2
		for (size_t p = 0; p < positions; p++) {
#pragma GCC unroll 4
			for (int i = 0; i < 4; i++)
				bound[p] = fused(weight[i], inputs[p * chunks].magnitudes[i], bound[p]);
		}
	}
	for (size_t p = 0; p < positions; p++) {
		near[p].sum[lane] = total((sum[p][0] + sum[p][1]) + (sum[p][2] + sum[p][3]));
		near[p].error[lane] = total(bound[p]) * precision_of(chunks * CHUNK_STEPS);
	}
	for (size_t i = 0; i < WORDS; i++)
		nar |= largest[i] >> 15;
	return nar;
}

TARGET static bool multiply_one(const struct xrnpe_product *product, const uint8_t *row, size_t ahead,
				const struct chunk *inputs, struct near *near, size_t lane)
{
	return multiply(1, product, row, ahead, inputs, near, lane);
}

TARGET static bool multiply_two(const struct xrnpe_product *product, const uint8_t *row, size_t ahead,
				const struct chunk *inputs, struct near *near, size_t lane)
{
	return multiply(2, product, row, ahead, inputs, near, lane);
}

/* ---- exact sums ------------------------------------------------------- */

INLINE struct range measure(const uint8_t *from, size_t steps)
{
	words most = { 0 }, least = ~most;
	uint16_t high = 0, low = UINT16_MAX;

	for (size_t s = 0; s < steps; s++) {
		words magnitude = magnitudes_of(load_words(from + s * VECTOR));

		most = larger(most, magnitude);
		/* One less, so that zero is the largest. */
		least = smaller(least, magnitude - 1);
	}
	for (size_t i = 0; i < WORDS; i++) {
		high = most[i] > high ? most[i] : high;
		low = least[i] < low ? least[i] : low;
	}
	return range_of(high, low + 1u);
}

/* Sums of the products of some steps, in @parts parts that begin at @start. */
INLINE void add_products(int parts, const uint8_t *from, size_t steps, const struct chunk *input,
			 const double *start, reals total[PARTS])
{
	reals sum[4][PARTS], zero = { 0 };

	for (int i = 0; i < 4; i++) {
		for (int p = 0; p < parts; p++)
			sum[i][p] = zero + start[p];
	}
	for (size_t s = 0; s < steps; s++) {
		reals weight[4];

		decode(load_words(from + s * VECTOR), weight);
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
		total[p] = ((sum[0][p] - start[p]) + (sum[1][p] - start[p])) +
			   ((sum[2][p] - start[p]) + (sum[3][p] - start[p]));
}

/* The sum of the products of a chunk, in grid units. */
TARGET static xrnpe_u128 sum_chunk(const uint8_t *from, size_t steps, const struct chunk *input)
{
	struct cuts cuts = cuts_for(measure(from, steps), input->range);
	xrnpe_u128 sum = 0;
	reals total[PARTS];

	if (cuts.parts == 1)
		add_products(1, from, steps, input, cuts.start, total);
	else if (cuts.parts == 2)
		add_products(2, from, steps, input, cuts.start, total);
	else if (cuts.parts == 3)
		add_products(3, from, steps, input, cuts.start, total);
	for (int p = 0; p < cuts.parts; p++) {
		int64_t units = 0;

		for (size_t i = 0; i < REALS; i++)
			units += (int64_t)(total[p][i] * power(-cuts.unit[p]));
		sum += grid_sum(units, cuts.unit[p]);
	}
	return sum;
}

/* The exact output at position @p, channel @n, of a row of weights and @inputs, whose sum has a sign. */
static uint32_t output_exactly(const struct xrnpe_product *product, const uint8_t *row,
			       const struct chunk *inputs, uint64_t p, uint64_t n, bool negative,
			       uint32_t *status)
{
	uint8_t copy[CHUNK_STEPS * VECTOR];
	xrnpe_u128 sum = 0;

	if (xrnpe_cancelled(product->cancel))
		return 0;
	for (size_t c = 0; c < chunks_of(product, VECTOR); c++) {
		size_t steps = copy_chunk(&product->weight, product->k, row, c, VECTOR, copy);

		sum += sum_chunk(copy, steps, &inputs[c]);
	}
	return xrnpe_output_wrapped(product, p, n, sum, negative, status);
}

/* ---- positions -------------------------------------------------------- */

/* Decode the inputs of a row. True if there is a NaR. */
TARGET static bool prepare(const struct xrnpe_product *product, const uint8_t *row, struct chunk *chunk)
{
	uint8_t copy[CHUNK_STEPS * VECTOR];
	bool nar = false;

	if (xrnpe_cancelled(product->cancel))
		return false;
	for (size_t c = 0; c < chunks_of(product, VECTOR); c++, chunk++) {
		size_t steps = copy_chunk(&product->ifm, product->k, row, c, VECTOR, copy);

		memset(chunk->magnitudes, 0, sizeof(chunk->magnitudes));
		chunk->range = measure(copy, steps);
		nar |= chunk->range.nar;
		for (size_t s = 0; s < steps; s++) {
			reals *value = chunk->values[s];

			decode(load_words(copy + s * VECTOR), value);
			for (int i = 0; i < 4; i++) {
				/* Weights lack as much. */
				value[i] = value[i] * power(SCALE) * power(SCALE);
				chunk->magnitudes[i] += magnitude_of(value[i]);
			}
		}
	}
	return nar;
}

/* The outputs of channels @n.., up to LANES. @nar: of which positions the inputs have one. */
TARGET static void put(const struct xrnpe_product *product, const struct chunk *inputs, const bool *input_nar,
		       uint64_t n, size_t count, uint32_t *status)
{
	const size_t stride = product->weight.row_stride;
	const size_t ahead = stride > GEMV_AHEAD ? stride : GEMV_AHEAD, chunks = chunks_of(product, VECTOR);
	const uint8_t *weights = xrnpe_weight_row(product, n);
	struct outputs outputs;
	struct near near[GEMV_P16_POSITIONS] = { 0 };
	bool nar[LANES], any_nar = false;

	make_outputs(product, n, count, 0, &outputs);
	for (size_t p = 0; p < product->positions; p += TOGETHER) {
		bool two = p + 1 < product->positions;

		if (xrnpe_cancelled(product->cancel))
			return;
		for (size_t i = 0; i < count; i++) {
			nar[i] = (two ? multiply_two : multiply_one)(product, weights + i * stride, ahead,
								     inputs + p * chunks, &near[p], i);
			any_nar |= nar[i];
		}
	}
	for (size_t p = 0; p < product->positions; p++, inputs += chunks) {
		uint8_t *out = xrnpe_output_row(product, p);
		uint32_t code[LANES] __attribute__((aligned(64))), doubt;

		doubt = output_near(product, &outputs, near[p].sum, near[p].error, p, n, count, code);
		for (size_t i = 0; i < count; i++) {
			if (doubt >> i & 1 && !input_nar[p] && !nar[i])
				code[i] = output_exactly(product, weights + i * stride, inputs, p, n + i,
							 near[p].sum[i] < 0, status);
		}
		pack(product->out, out, n, code, count);
		if (input_nar[p] || any_nar)
			xrnpe_put_nar(product, input_nar[p] ? NULL : nar, out, n, count, status);
	}
}

size_t xrnpe_tiles_few_p16_scratch(const struct xrnpe_product *product)
{
	return product->positions * chunks_of(product, VECTOR) * sizeof(struct chunk);
}

void xrnpe_tiles_few_p16(const struct xrnpe_product *product, const struct xrnpe_block *block,
			 void *memory, uint32_t *status)
{
	const size_t stride = product->ifm.row_stride;
	struct chunk *inputs = memory;
	bool nar[GEMV_P16_POSITIONS];

	for (size_t p = 0; p < product->positions; p++)
		nar[p] = prepare(product, product->ifm.memory + p * stride, inputs + p * chunks_of(product, VECTOR));
	for (uint64_t n = block->n0; n < block->n1; n += LANES)
		put(product, inputs, nar, n, block->n1 - n < LANES ? (size_t)(block->n1 - n) : LANES, status);
}

#endif

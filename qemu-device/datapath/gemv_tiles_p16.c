// SPDX-License-Identifier: MIT
/* Few positions of Posit(16,1) with AVX2 and NEON: portable vectors, see gemv_p16.h. */
#if defined(__x86_64__) || defined(__AARCH64EL__)

#include "gemm_tiles.h"
#include "gemv.h"
#include "gemv_p16.h"
#include "reals.h"

typedef uint16_t words __attribute__((vector_size(VECTOR)));
typedef int32_t halves __attribute__((vector_size(VECTOR)));
typedef uint32_t bits __attribute__((vector_size(VECTOR)));
typedef float floats __attribute__((vector_size(VECTOR)));
typedef uint64_t lanes __attribute__((vector_size(VECTOR)));
#define WORDS (VECTOR / sizeof(uint16_t))

struct chunk {
	struct range range;
	reals values[CHUNK_STEPS][4];
};

/* A position's inputs, decoded. */
struct input {
	bool nar, negative;	/* one is; the first one is */
	struct chunk *chunks;
};

INLINE words load_words(const uint8_t *from)
{
	words value;

	memcpy(&value, from, sizeof(value));
	return value;
}

/* A vector of codes to doubles: every fourth from 0, 2, 1 and 3. */
INLINE void decode(words codes, reals value[4])
{
	/* Without the sign, and the mirror image of magnitudes above one. */
	bits twice = (bits)(codes + codes), large = (bits)codes ^ twice;

	for (int odd = 0; odd < 2; odd++) {
		halves above_one = (halves)(odd ? large : large << 16) >> 31;
		bits upper = odd ? twice & 0xffff0000 : twice << 16;

		upper = (bits)__builtin_convertvector((halves)upper, floats);
		upper = ((upper ^ (bits)above_one) - (bits)above_one) + ((bits)above_one & 0x1e000000);
		/* The upper half of a double; two copies of the sign go. */
		upper = (bits)((halves)upper >> 2) & 0x9fffffff;
		value[2 * odd] = (reals)((lanes)upper << 32);
		value[2 * odd + 1] = (reals)((lanes)upper & 0xffffffff00000000);
	}
}

/* The range of some steps of codes; or-ed into *@nar: whether there is a NaR. */
INLINE struct range measure(const uint8_t *codes, size_t steps, bool *nar)
{
	words most = { 0 }, least = ~most;
	uint16_t high = 0, low = UINT16_MAX;

	for (size_t s = 0; s < steps; s++) {
		words code = load_words(codes + s * VECTOR), magnitude;

#ifdef __x86_64__
		magnitude = (words)_mm256_abs_epi16((__m256i)code);
		most = (words)_mm256_max_epu16((__m256i)most, (__m256i)magnitude);
		/* One less, so that zero is the largest. */
		least = (words)_mm256_min_epu16((__m256i)least, (__m256i)(magnitude - 1));
#else
		magnitude = (words)vabsq_s16((int16x8_t)code);
		most = (words)vmaxq_u16((uint16x8_t)most, (uint16x8_t)magnitude);
		least = (words)vminq_u16((uint16x8_t)least, (uint16x8_t)(magnitude - 1));
#endif
	}
	for (size_t i = 0; i < WORDS; i++) {
		high = most[i] > high ? most[i] : high;
		low = least[i] < low ? least[i] : low;
	}
	*nar |= high >> 15;
	return range_of(high, low + 1u);
}

/* Sums of the products of some steps, in @parts parts that begin at @start. */
INLINE void add_products(int parts, const uint8_t *codes, size_t steps, const struct chunk *input,
			 const double *start, reals total[PARTS])
{
	reals sum[4][PARTS], zero = { 0 };

	for (int i = 0; i < 4; i++) {
		for (int p = 0; p < parts; p++)
			sum[i][p] = zero + start[p];
	}
	for (size_t s = 0; s < steps; s++) {
		reals weight[4];

		__builtin_prefetch(codes + s * VECTOR + GEMV_AHEAD);
		decode(load_words(codes + s * VECTOR), weight);
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

TARGET static xrnpe_u128 sum_chunk(const uint8_t *codes, size_t steps, const struct chunk *input, bool *nar)
{
	struct cuts cuts = cuts_for(measure(codes, steps, nar), input->range);
	xrnpe_u128 sum = 0;
	reals total[PARTS];

	if (cuts.parts == 1)
		add_products(1, codes, steps, input, cuts.start, total);
	else if (cuts.parts == 2)
		add_products(2, codes, steps, input, cuts.start, total);
	else if (cuts.parts == 3)
		add_products(3, codes, steps, input, cuts.start, total);
	for (int p = 0; p < cuts.parts; p++) {
		int64_t units = 0;

		for (size_t i = 0; i < REALS; i++)
			units += (int64_t)(total[p][i] * power(-cuts.unit[p]));
		sum += grid_sum(units, cuts.unit[p]);
	}
	return sum;
}

/* The inputs of a row, decoded to @chunks. */
TARGET static struct input prepare(const struct xrnpe_product *product, const uint8_t *row,
				   struct chunk *chunks)
{
	struct input input = { .negative = row[1] >> 7, .chunks = chunks };
	uint8_t padded[CHUNK_STEPS * VECTOR];

	for (size_t c = 0; c < chunks_of(product, VECTOR); c++) {
		size_t steps;
		const uint8_t *codes = chunk_of(product, row, c, VECTOR, padded, &steps);

		chunks[c].range = measure(codes, steps, &input.nar);
		for (size_t s = 0; s < steps; s++) {
			decode(load_words(codes + s * VECTOR), chunks[c].values[s]);
			for (int i = 0; i < 4; i++)
				chunks[c].values[s][i] = chunks[c].values[s][i] * power(SCALE) * power(SCALE);
		}
	}
	return input;
}

size_t xrnpe_tiles_few_p16_scratch(const struct xrnpe_product *product)
{
	return product->positions * chunks_of(product, VECTOR) * sizeof(struct chunk);
}

void xrnpe_tiles_few_p16(const struct xrnpe_product *product, const struct xrnpe_block *block,
			 void *memory, uint32_t *status)
{
	const struct xrnpe_operand *o = product->cmd->operand;
	const size_t count = chunks_of(product, VECTOR), few = product->positions;
	uint8_t padded[CHUNK_STEPS * VECTOR];
	struct input input[ROWS];

	for (size_t p = 0; p < few; p++)
		input[p] = prepare(product, product->ifm + p * o[XRNPE_OPERAND_IFM].row_stride,
				   (struct chunk *)memory + p * count);
	for (uint64_t n = block->n0; n < block->n1; n++) {
		const uint8_t *row = product->weight + n * o[XRNPE_OPERAND_WEIGHT].row_stride;

		if (xrnpe_cancelled(product->cancel))
			return;
		for (size_t p = 0; p < few; p++) {
			bool nar = input[p].nar;
			xrnpe_u128 sum = 0;
			uint32_t code;

			for (size_t c = 0; c < count; c++) {
				size_t steps;
				const uint8_t *codes = chunk_of(product, row, c, VECTOR, padded, &steps);

				sum += sum_chunk(codes, steps, &input[p].chunks[c], &nar);
			}
			code = xrnpe_output(product, n,
					    xrnpe_term_from_sum(sum, input[p].negative != row[1] >> 7,
								2 * xrnpe_grid_unit(product->format)),
					    nar, status);
			xrnpe_put(product, p, n, &code, 1);
		}
	}
}

#endif

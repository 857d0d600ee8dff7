// SPDX-License-Identifier: MIT
/* Few positions of Posit(16,1) with AVX-512. */
#ifdef __x86_64__

#include "gemv_avx512.h"
#include "avx512_p16.h"
#include "gemv_p16.h"

#define TOGETHER 4	/* positions, at the most */

/* A chunk of inputs, decoded. */
struct chunk {
	__m512d values[CHUNK_STEPS][4] __attribute__((aligned(64)));
	__m512d magnitudes[4];		/* lane by lane the sum of them */
	struct range range;
};

/* Sums of products that are off by at most @error. */
struct near {
	double sum[LANES] __attribute__((aligned(64))), error[LANES];
};

/* ---- sums and a bound on their error ---------------------------------- */

/*
 * A row of weights by some positions of @inputs. True if there is a NaR. What is fetched is
 * @ahead of the row.
 */
INLINE bool multiply(size_t positions, const struct xrnpe_product *product, const uint8_t *row, size_t ahead,
		     const struct chunk *inputs, struct near *near, size_t lane)
{
	const size_t chunks = chunks_of(product, GEMV_STEP);
	/* log2 of how much shorter codes are in memory. */
	const int shorter = 4 - msb(xrnpe_format_bits(product->weight.format));
	const __m512d precision = _mm512_set1_pd(precision_of(chunks * CHUNK_STEPS));
	uint8_t padded[CHUNK_STEPS * GEMV_STEP];
	__m512d sum[TOGETHER][4], bound[TOGETHER], weight[4];
	__m512i largest = _mm512_setzero_si512();

	for (size_t p = 0; p < positions; p++) {
		bound[p] = _mm512_setzero_pd();
		for (int i = 0; i < 4; i++)
			sum[p][i] = _mm512_setzero_pd();
	}
	for (size_t c = 0; c < chunks; c++, inputs++) {
		__m512i most = _mm512_setzero_si512();
		size_t steps;
		const uint8_t *codes = chunk_of(&product->weight, product->k, row, c, GEMV_STEP, padded, &steps);
		const uint8_t *next = row + ahead + (c * CHUNK_STEPS * GEMV_STEP >> shorter);

		for (size_t s = 0; s < steps; s++) {
			__m512i code = _mm512_loadu_si512(codes + s * GEMV_STEP);

			_mm_prefetch(next + (s * GEMV_STEP >> shorter), _MM_HINT_T1);
			most = _mm512_max_epu16(most, _mm512_abs_epi16(code));
			decode_p16(code, weight);
#pragma GCC unroll 4
			for (size_t p = 0; p < positions; p++) {
#pragma GCC unroll 4
				for (int i = 0; i < 4; i++)
					sum[p][i] = _mm512_fmadd_pd(weight[i], inputs[p * chunks].values[s][i],
								    sum[p][i]);
			}
		}
		largest = _mm512_max_epu16(largest, most);
		/* The largest of each lane are weights, too. */
		decode_p16(most, weight);
#pragma GCC unroll 4
		for (size_t p = 0; p < positions; p++) {
#pragma GCC unroll 4
			for (int i = 0; i < 4; i++)
				bound[p] = _mm512_fmadd_pd(weight[i], inputs[p * chunks].magnitudes[i], bound[p]);
		}
	}
	for (size_t p = 0; p < positions; p++) {
		near[p].sum[lane] = _mm512_reduce_add_pd(_mm512_add_pd(_mm512_add_pd(sum[p][0], sum[p][1]),
								       _mm512_add_pd(sum[p][2], sum[p][3])));
		near[p].error[lane] = _mm512_reduce_add_pd(_mm512_mul_pd(bound[p], precision));
	}
	return _mm512_movepi16_mask(largest);
}

#define MULTIPLY(positions)								\
	TARGET static bool multiply_##positions(const struct xrnpe_product *product,	\
						const uint8_t *row, size_t ahead,	\
						const struct chunk *inputs,		\
						struct near *near, size_t lane)		\
	{										\
		return multiply(positions, product, row, ahead, inputs, near, lane);	\
	}
MULTIPLY(1)
MULTIPLY(2)
MULTIPLY(3)
MULTIPLY(4)

static bool (*const multiply_by[])(const struct xrnpe_product *product, const uint8_t *row, size_t ahead,
				   const struct chunk *inputs, struct near *near, size_t lane) = {
	NULL, multiply_1, multiply_2, multiply_3, multiply_4,
};

/* ---- exact sums ------------------------------------------------------- */

INLINE struct range measure(const uint8_t *codes, size_t steps)
{
	__m512i most = _mm512_setzero_si512(), least = _mm512_set1_epi16(-1);
	__m256i most_half, least_half;
	unsigned int high, low;

	for (size_t s = 0; s < steps; s++) {
		__m512i magnitude = _mm512_abs_epi16(_mm512_loadu_si512(codes + s * GEMV_STEP));

		most = _mm512_max_epu16(most, magnitude);
		/* One less, so that zero is the largest. */
		least = _mm512_min_epu16(least, _mm512_sub_epi16(magnitude, _mm512_set1_epi16(1)));
	}
	most = _mm512_xor_si512(most, _mm512_set1_epi16(-1));
	most_half = _mm256_min_epu16(_mm512_castsi512_si256(most), _mm512_extracti64x4_epi64(most, 1));
	least_half = _mm256_min_epu16(_mm512_castsi512_si256(least), _mm512_extracti64x4_epi64(least, 1));
	high = 0xffff & ~(unsigned int)_mm_cvtsi128_si32(_mm_minpos_epu16(_mm_min_epu16(
		_mm256_castsi256_si128(most_half), _mm256_extracti128_si256(most_half, 1))));
	low = 1 + (0xffff & (unsigned int)_mm_cvtsi128_si32(_mm_minpos_epu16(_mm_min_epu16(
		_mm256_castsi256_si128(least_half), _mm256_extracti128_si256(least_half, 1)))));
	return range_of(high, low);
}

/* Sums of the products of some steps, in @parts parts that begin at @start. */
INLINE void add_products(int parts, const uint8_t *codes, size_t steps, const struct chunk *input,
			 const double *start, __m512d total[PARTS])
{
	__m512d sum[4][PARTS];

	for (int i = 0; i < 4; i++) {
		for (int p = 0; p < parts; p++)
			sum[i][p] = _mm512_set1_pd(start[p]);
	}
	for (size_t s = 0; s < steps; s++) {
		__m512d weight[4];

		decode_p16(_mm512_loadu_si512(codes + s * GEMV_STEP), weight);
#pragma GCC unroll 4
		for (int i = 0; i < 4; i++) {
			__m512d x = input->values[s][i], next, rest;

			next = _mm512_fmadd_pd(weight[i], x, sum[i][0]);
			rest = _mm512_sub_pd(sum[i][0], next);
			sum[i][0] = next;
			if (parts == 1)
				continue;
			rest = _mm512_fmadd_pd(weight[i], x, rest);
			if (parts == 3) {
				next = _mm512_add_pd(sum[i][1], rest);
				rest = _mm512_add_pd(rest, _mm512_sub_pd(sum[i][1], next));
				sum[i][1] = next;
			}
			sum[i][parts - 1] = _mm512_add_pd(sum[i][parts - 1], rest);
		}
	}
	for (int p = 0; p < parts; p++) {
		__m512d begin = _mm512_set1_pd(start[p]);

		for (int i = 0; i < 4; i++)
			sum[i][p] = _mm512_sub_pd(sum[i][p], begin);
		total[p] = _mm512_add_pd(_mm512_add_pd(sum[0][p], sum[1][p]),
					 _mm512_add_pd(sum[2][p], sum[3][p]));
	}
}

/* The sum of the products of a chunk, in grid units. */
TARGET static xrnpe_u128 sum_chunk(const uint8_t *codes, size_t steps, const struct chunk *input)
{
	struct cuts cuts = cuts_for(measure(codes, steps), input->range);
	__m512d total[PARTS];
	xrnpe_u128 sum = 0;

	if (cuts.parts == 1)
		add_products(1, codes, steps, input, cuts.start, total);
	else if (cuts.parts == 2)
		add_products(2, codes, steps, input, cuts.start, total);
	else if (cuts.parts == 3)
		add_products(3, codes, steps, input, cuts.start, total);
	for (int p = 0; p < cuts.parts; p++) {
		__m512i units = _mm512_cvtpd_epi64(_mm512_mul_pd(total[p], _mm512_set1_pd(power(-cuts.unit[p]))));

		sum += grid_sum(_mm512_reduce_add_epi64(units), cuts.unit[p]);
	}
	return sum;
}

/* The exact output at position @p, channel @n, of a row of weights and @inputs, whose sum has a sign. */
static uint32_t output_exactly(const struct xrnpe_product *product, const uint8_t *row,
			       const struct chunk *inputs, uint64_t p, uint64_t n, bool negative,
			       uint32_t *status)
{
	uint8_t codes[CHUNK_STEPS * GEMV_STEP];
	xrnpe_u128 sum = 0;

	if (xrnpe_cancelled(product->cancel))
		return 0;
	for (size_t c = 0; c < chunks_of(product, GEMV_STEP); c++) {
		size_t steps = copy_chunk(&product->weight, product->k, row, c, GEMV_STEP, codes);

		sum += sum_chunk(codes, steps, &inputs[c]);
	}
	return xrnpe_output_wrapped(product, p, n, sum, negative, status);
}

/* ---- positions -------------------------------------------------------- */

/* Decode a row of inputs. True if there is a NaR. */
TARGET static bool prepare(const struct xrnpe_product *product, const uint8_t *row, struct chunk *chunk)
{
	const __m512d scale = _mm512_set1_pd(power(SCALE));
	uint8_t codes[CHUNK_STEPS * GEMV_STEP];
	bool nar = false;

	if (xrnpe_cancelled(product->cancel))
		return false;
	for (size_t c = 0; c < chunks_of(product, GEMV_STEP); c++, chunk++) {
		size_t steps = copy_chunk(&product->ifm, product->k, row, c, GEMV_STEP, codes);

		memset(chunk->magnitudes, 0, sizeof(chunk->magnitudes));
		chunk->range = measure(codes, steps);
		nar |= chunk->range.nar;
		for (size_t s = 0; s < steps; s++) {
			decode_p16(_mm512_loadu_si512(codes + s * GEMV_STEP), chunk->values[s]);
			for (int i = 0; i < 4; i++) {
				__m512d *value = &chunk->values[s][i], *sum = &chunk->magnitudes[i];

				*value = _mm512_mul_pd(_mm512_mul_pd(*value, scale), scale);
				*sum = _mm512_add_pd(*sum, _mm512_abs_pd(*value));
			}
		}
	}
	return nar;
}

/* The outputs of channels @n.. @nar: of which positions the inputs have one. */
TARGET static void put(const struct xrnpe_product *product, const struct chunk *decoded, const bool *nar,
		       uint64_t n, size_t count, uint32_t *status)
{
	const size_t stride = product->weight.row_stride;
	const size_t ahead = stride > GEMV_AHEAD ? stride : GEMV_AHEAD, chunks = chunks_of(product, GEMV_STEP);
	const uint8_t *weights = xrnpe_weight_row(product, n);
	struct near near[GEMV_P16_POSITIONS] = { 0 };
	struct stage stage;

	xrnpe_avx512_scales(product, n, count, 0, &stage);
	for (size_t p = 0; p < product->positions; p += TOGETHER) {
		size_t left = (size_t)product->positions - p;

		if (xrnpe_cancelled(product->cancel))
			return;
		for (size_t i = 0; i < count; i++) {
			stage.nar[i] = multiply_by[left < TOGETHER ? left : TOGETHER](
				product, weights + i * stride, ahead, decoded + p * chunks, &near[p], i);
			stage.any_nar |= stage.nar[i];
		}
	}
	for (size_t p = 0; p < product->positions; p++) {
		uint8_t *out = xrnpe_output_row(product, p);
		uint32_t code[LANES], doubt;

		doubt = xrnpe_avx512_codes(product, &stage, near[p].sum, near[p].error, p, n, count, code);
		for (size_t i = 0; i < count; i++) {
			if (doubt >> i & 1 && !nar[p] && !stage.nar[i])
				code[i] = output_exactly(product, weights + i * stride, decoded + p * chunks, p,
							 n + i, near[p].sum[i] < 0, status);
		}
		xrnpe_avx512_put_codes(product->out, out, n, code, count);
		if (nar[p] || stage.any_nar)
			xrnpe_put_nar(product, nar[p] ? NULL : stage.nar, out, n, count, status);
	}
}

size_t xrnpe_gemv_p16_scratch(const struct xrnpe_product *product)
{
	return product->positions * chunks_of(product, GEMV_STEP) * sizeof(struct chunk);
}

void xrnpe_gemv_p16_run(const struct xrnpe_product *product, const struct xrnpe_block *block, void *memory,
			uint32_t *status)
{
	struct chunk *inputs = memory;
	bool nar[GEMV_P16_POSITIONS];

	for (uint64_t p = 0; p < product->positions; p++)
		nar[p] = prepare(product, product->ifm.memory + p * product->ifm.row_stride,
				 inputs + p * chunks_of(product, GEMV_STEP));
	for (uint64_t n = block->n0; n < block->n1 && !xrnpe_cancelled(product->cancel); n += LANES)
		put(product, inputs, nar, n, block->n1 - n < LANES ? (size_t)(block->n1 - n) : LANES, status);
}

#endif

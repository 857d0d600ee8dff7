// SPDX-License-Identifier: MIT
/* Few positions of Posit(16,1) with AVX-512. */
#ifdef __x86_64__

#include "gemv_avx512.h"
#include "gemv_p16.h"

#define SUM_DIGITS 5				/* that hold 128 bits */
#define SUM_DIGIT_BITS 26

struct chunk {
	struct range range;
	__m512d values[CHUNK_STEPS][4] __attribute__((aligned(64)));
};

/* A position's inputs, decoded. */
struct input {
	bool negative;		/* the first one is */
	struct chunk chunks[] __attribute__((aligned(64)));
};

/* 32 codes to doubles: every fourth from 0, 2, 1 and 3. */
INLINE void decode(__m512i codes, __m512d value[4])
{
	const __m512i upper = _mm512_set1_epi64((int64_t)0xffffffff00000000);
	/* Without the sign, and the mirror image of magnitudes above one. */
	__m512i twice = _mm512_add_epi16(codes, codes), large = _mm512_xor_si512(codes, twice);

	for (int odd = 0; odd < 2; odd++) {
		__mmask16 above_one = _mm512_test_epi32_mask(large, _mm512_set1_epi32(odd ? INT32_MIN : 1 << 15));
		__m512i bits = odd ? _mm512_and_si512(twice, _mm512_set1_epi32(-0x10000)) :
				     _mm512_slli_epi32(twice, 16);

		bits = _mm512_castps_si512(_mm512_cvtepi32_ps(bits));
		bits = _mm512_mask_sub_epi32(bits, above_one, _mm512_set1_epi32(0x1e000000), bits);
		/* The upper half of a double; two copies of the sign go. */
		bits = _mm512_and_si512(_mm512_srai_epi32(bits, 2), _mm512_set1_epi32((int)0x9fffffff));
		value[2 * odd] = _mm512_castsi512_pd(_mm512_slli_epi64(bits, 32));
		value[2 * odd + 1] = _mm512_castsi512_pd(_mm512_and_si512(bits, upper));
	}
}

/* ---- ranges ----------------------------------------------------------- */

/* Of the codes of some steps; or-ed into *@nar: whether there is a NaR. */
INLINE struct range measure(const uint8_t *codes, size_t steps, bool *nar)
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
	*nar |= high >> 15;
	return range_of(high, low);
}

/* ---- sums ------------------------------------------------------------- */

/* Sums of the products of some steps, in @parts parts that begin at @start. */
INLINE void add_products(int parts, const uint8_t *codes, size_t steps, const struct chunk *input,
			 const double *start, __m512d total[PARTS], const uint8_t *ahead)
{
	__m512d sum[4][PARTS];

	for (int i = 0; i < 4; i++) {
		for (int p = 0; p < parts; p++)
			sum[i][p] = _mm512_set1_pd(start[p]);
	}
	for (size_t s = 0; s < steps; s++) {
		__m512d weight[4];

		_mm_prefetch(ahead + s * GEMV_STEP, _MM_HINT_T1);
		decode(_mm512_loadu_si512(codes + s * GEMV_STEP), weight);
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
TARGET static xrnpe_u128 sum_chunk(const uint8_t *codes, size_t steps, const struct chunk *input,
				   const struct cuts *cuts, const uint8_t *ahead)
{
	__m512d total[PARTS];
	xrnpe_u128 sum = 0;

	if (cuts->parts == 1)
		add_products(1, codes, steps, input, cuts->start, total, ahead);
	else if (cuts->parts == 2)
		add_products(2, codes, steps, input, cuts->start, total, ahead);
	else if (cuts->parts == 3)
		add_products(3, codes, steps, input, cuts->start, total, ahead);
	for (int p = 0; p < cuts->parts; p++) {
		__m512i units = _mm512_cvtpd_epi64(_mm512_mul_pd(total[p], _mm512_set1_pd(power(-cuts->unit[p]))));

		sum += grid_sum(_mm512_reduce_add_epi64(units), cuts->unit[p]);
	}
	return sum;
}

/* ---- positions -------------------------------------------------------- */

size_t xrnpe_gemv_p16_input(const struct xrnpe_product *product)
{
	return sizeof(struct input) + chunks_of(product, GEMV_STEP) * sizeof(struct chunk);
}

TARGET bool xrnpe_gemv_p16_prepare(const struct xrnpe_product *product, const uint8_t *row, void *memory)
{
	const __m512d scale = _mm512_set1_pd(power(SCALE));
	uint8_t padded[CHUNK_STEPS * GEMV_STEP];
	struct input *input = memory;
	bool nar = false;

	input->negative = row[1] >> 7;
	for (size_t c = 0; c < chunks_of(product, GEMV_STEP); c++) {
		struct chunk *chunk = &input->chunks[c];
		size_t steps;
		const uint8_t *codes = chunk_of(product, row, c, GEMV_STEP, padded, &steps);

		chunk->range = measure(codes, steps, &nar);
		for (size_t s = 0; s < steps; s++) {
			decode(_mm512_loadu_si512(codes + s * GEMV_STEP), chunk->values[s]);
			for (int i = 0; i < 4; i++)
				chunk->values[s][i] = _mm512_mul_pd(_mm512_mul_pd(chunk->values[s][i], scale), scale);
		}
	}
	return nar;
}

/* A sum as digits of its magnitude, all with its sign. */
static void put_sum(xrnpe_u128 sum, bool negative, int64_t (*power)[LANES], size_t lane)
{
	struct xrnpe_term term = xrnpe_term_from_sum(sum, negative, 0);

	for (int i = 0; i < SUM_DIGITS; i++) {
		int64_t digit = (int64_t)(term.magnitude & ((1u << SUM_DIGIT_BITS) - 1));

		power[i][lane] = term.negative ? -digit : digit;
		term.magnitude >>= SUM_DIGIT_BITS;
	}
}

TARGET void xrnpe_gemv_p16_run(const struct xrnpe_product *product, const void *memory, bool nar,
				uint8_t *out, uint64_t n, size_t count, uint32_t *status)
{
	const size_t stride = product->cmd->operand[XRNPE_OPERAND_WEIGHT].row_stride;
	const size_t ahead = stride > GEMV_AHEAD ? stride : GEMV_AHEAD;
	const struct input *input = memory;
	const size_t chunks = chunks_of(product, GEMV_STEP);
	struct cuts cuts[XRNPE_MAX_K * 2 / (CHUNK_STEPS * GEMV_STEP)];
	uint8_t padded[CHUNK_STEPS * GEMV_STEP];
	int64_t power[SUM_DIGITS][LANES] __attribute__((aligned(64)));
	const struct digit_sums sums = { power[0], LANES, SUM_DIGITS, SUM_DIGIT_BITS, 0 };
	struct stage stage;

	memset(&stage, 0, sizeof(stage));
	xrnpe_scales(product, n, count, 1, stage.scale, stage.bias);
	for (size_t lane = 0; lane < count; lane++) {
		const uint8_t *row = product->weight + (n + lane) * stride, *codes;
		xrnpe_u128 sum = 0;
		size_t steps;

		for (size_t c = 0; c < chunks; c++) {
			codes = chunk_of(product, row, c, GEMV_STEP, padded, &steps);
			cuts[c] = cuts_for(measure(codes, steps, &stage.nar[lane]), input->chunks[c].range);
		}
		for (size_t c = 0; c < chunks; c++) {
			codes = chunk_of(product, row, c, GEMV_STEP, padded, &steps);
			sum += sum_chunk(codes, steps, &input->chunks[c], &cuts[c],
					 row + ahead + c * CHUNK_STEPS * GEMV_STEP);
		}
		put_sum(sum, input->negative != row[1] >> 7, power, lane);
		stage.any_nar |= stage.nar[lane];
	}
	for (size_t lane = count; lane < LANES; lane++)
		put_sum(0, false, power, lane);
	xrnpe_avx512_put_digits(product, &stage, &sums, out, n, count, status);
	if (nar || stage.any_nar)
		xrnpe_put_nar(product, nar ? NULL : stage.nar, out, n, count, status);
}

#endif

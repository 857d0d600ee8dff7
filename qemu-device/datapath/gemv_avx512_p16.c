// SPDX-License-Identifier: MIT
/*
 * Few positions of Posit(16,1) with AVX-512: exact sums in doubles.
 *
 * A value has 13 significant bits, and so a product of two is an exact double. Sums of
 * products are exact too, if they are cut at fixed bits into two or three parts that
 * are summed apart: (sum + product) - sum, where sum stays within a factor of two of
 * a large number, is the product rounded to a multiple of that number's last bit, and
 * what it lacks is exact. How many parts, and where the cuts are, follows for some
 * hundred weights at a time from their largest and smallest magnitude.
 *
 * Decoding takes few instructions. Negation of a code maps a posit to its negative and
 * the mirror image of its magnitude at one to its reciprocal, but for the fraction.
 * Below one the magnitude's code, converted to floating point, has the run of the
 * regime in its exponent; a place to the left that counts double, as it should, and
 * the exponent bit moves in below, off the fraction.
 */
#ifdef __x86_64__

#include <string.h>

#include "gemv_avx512.h"

#define CHUNK_STEPS 32				/* steps of weights that have cuts in common */
#define TERMS_LOG 7				/* log2 of products a lane in those */
#define STEP_CODES (GEMV_STEP / 2)
#define PARTS 3
#define SUM_DIGITS 5				/* that hold 128 bits */
#define SUM_DIGIT_BITS 26

/* Decoded values are those of the codes times 2^-707; inputs are made up for it. */
#define SCALE 707

/* The exponents of a set of codes: magnitudes at most 2^most, multiples of 2^least. */
struct range {
	bool zero;		/* all are */
	int most, least;
};

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

static int msb(unsigned int value)
{
	return 31 - __builtin_clz(value | 1);
}

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
	return (struct range){
		.zero = !high,
		.most = 2 * (high < 1 << 14 ? msb(high) - 13 : 14 - msb((1 << 15) - high)),
		/* Each halving of the code takes a bit of the fraction, to the last. */
		.least = msb(low) - 27 - (low == 1),
	};
}

/* ---- sums ------------------------------------------------------------- */

static double power(int exponent)
{
	union {
		uint64_t bits;
		double value;
	} power = { .bits = (uint64_t)(1023 + exponent) << 52 };

	return power.value;
}

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

/* How the products of a chunk are summed. */
struct cuts {
	int parts;		/* 0: they are all zero */
	int unit[PARTS];	/* log2 of what the sums of a part are multiples of */
	double start[PARTS];	/* of a sum, that keeps them so */
};

static struct cuts cuts_for(struct range weights, struct range inputs)
{
	int most = weights.most + inputs.most, least = weights.least + inputs.least, spread = most - least;
	struct cuts cuts = { 0 };

	if (weights.zero || inputs.zero)
		return cuts;
	cuts.parts = spread <= 53 - TERMS_LOG ? 1 : spread <= 107 - 2 * TERMS_LOG ? 2 : 3;
	for (int p = 0; p < cuts.parts - 1; p++) {
		/* Sums stay below 2^51 units; what products lack is half of one at most. */
		cuts.unit[p] = most + TERMS_LOG - 2 - 51;
		cuts.start[p] = 1.5 * power(cuts.unit[p] + 52);
		most = cuts.unit[p] - 1;
	}
	cuts.unit[cuts.parts - 1] = least;
	return cuts;
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

		sum += (xrnpe_u128)(xrnpe_i128)_mm512_reduce_add_epi64(units) << (cuts->unit[p] + 56);
	}
	return sum;
}

static size_t chunks_of(const struct xrnpe_product *product)
{
	return (product->k - 1) / (CHUNK_STEPS * STEP_CODES) + 1;
}

/*
 * The codes of chunk @c of a row, if need be in @padded, and of how many steps.
 */
static const uint8_t *chunk_of(const struct xrnpe_product *product, const uint8_t *row, size_t c,
			       uint8_t padded[CHUNK_STEPS * GEMV_STEP], size_t *steps)
{
	const uint8_t *codes = row + c * CHUNK_STEPS * GEMV_STEP;
	size_t bytes = product->k * 2 - c * CHUNK_STEPS * GEMV_STEP;

	*steps = CHUNK_STEPS;
	if (bytes >= CHUNK_STEPS * GEMV_STEP)
		return codes;
	*steps = (bytes + GEMV_STEP - 1) / GEMV_STEP;
	if (!(bytes % GEMV_STEP))
		return codes;
	memset(padded, 0, *steps * GEMV_STEP);
	return memcpy(padded, codes, bytes);
}

/* ---- positions -------------------------------------------------------- */

size_t xrnpe_gemv_p16_input(const struct xrnpe_product *product)
{
	return sizeof(struct input) + chunks_of(product) * sizeof(struct chunk);
}

TARGET bool xrnpe_gemv_p16_prepare(const struct xrnpe_product *product, const uint8_t *row, void *memory)
{
	const __m512d scale = _mm512_set1_pd(power(SCALE));
	uint8_t padded[CHUNK_STEPS * GEMV_STEP];
	struct input *input = memory;
	bool nar = false;

	input->negative = row[1] >> 7;
	for (size_t c = 0; c < chunks_of(product); c++) {
		struct chunk *chunk = &input->chunks[c];
		size_t steps;
		const uint8_t *codes = chunk_of(product, row, c, padded, &steps);

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
	const size_t chunks = chunks_of(product);
	struct cuts cuts[XRNPE_MAX_K / (CHUNK_STEPS * STEP_CODES)];
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
			codes = chunk_of(product, row, c, padded, &steps);
			cuts[c] = cuts_for(measure(codes, steps, &stage.nar[lane]), input->chunks[c].range);
		}
		for (size_t c = 0; c < chunks; c++) {
			codes = chunk_of(product, row, c, padded, &steps);
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

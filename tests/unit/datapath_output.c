// SPDX-License-Identifier: MIT
/*
 * Products of all codes, and those that are hard to get right, by every kernel that
 * this CPU runs, against the reference: outputs on tie points and just beside, sums
 * that all but vanish when the bias is added, scales and biases of all magnitudes,
 * sums that doubles all but lose, and NaR in every place.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "reference/reference.h"
#include "unit/datapath_tests.h"

#define GAP 3	/* elements between rows */
#define MANY 26	/* rows: more than kernels for few take */

/* A MATMUL with room for its operands. */
struct matmul {
	struct xrnpe_cmd cmd;
	enum xrnpe_format format;
	uint32_t m, n, k;
	uint8_t *a, *b, *scale;
	bool invalid;		/* a NaN met FP4 */
};

static uint32_t stride(enum xrnpe_format format, uint32_t count)
{
	return (uint32_t)xrnpe_row_bytes(format, (count + 1) / 2 * 2 + 2 * GAP);
}

static struct matmul new_matmul(enum xrnpe_format format, uint32_t m, uint32_t n, uint32_t k)
{
	uint32_t row = stride(format, k);
	struct matmul matmul = {
		.cmd = { .opcode = XRNPE_OP_MATMUL, .matmul = { m, n, k, 1, { 0 } } },
		.format = format, .m = m, .n = n, .k = k,
		.a = malloc((size_t)m * row), .b = malloc((size_t)n * row),
		.scale = malloc((size_t)n * 8),
	};
	struct xrnpe_operand *o = matmul.cmd.operand;

	o[XRNPE_OPERAND_IFM].format = o[XRNPE_OPERAND_WEIGHT].format = (uint8_t)format;
	o[XRNPE_OPERAND_IFM].row_stride = o[XRNPE_OPERAND_WEIGHT].row_stride = row;
	o[XRNPE_OPERAND_SCALE].format = XRNPE_FORMAT_F32;
	o[XRNPE_OPERAND_SCALE].row_stride = sizeof(struct xrnpe_scale);
	return matmul;
}

static void free_matmul(struct matmul *matmul)
{
	free(matmul->a);
	free(matmul->b);
	free(matmul->scale);
}

static void set_a(struct matmul *matmul, uint32_t m, uint32_t k, uint32_t code)
{
	xrnpe_store(matmul->format, matmul->a + (size_t)m * stride(matmul->format, matmul->k), k, code);
}

static void set_b(struct matmul *matmul, uint32_t n, uint32_t k, uint32_t code)
{
	xrnpe_store(matmul->format, matmul->b + (size_t)n * stride(matmul->format, matmul->k), k, code);
}

static void set_scale(struct matmul *matmul, uint32_t n, uint32_t scale, uint32_t bias)
{
	xrnpe_store(XRNPE_FORMAT_F32, matmul->scale, 2 * (size_t)n, scale);
	xrnpe_store(XRNPE_FORMAT_F32, matmul->scale, 2 * (size_t)n + 1, bias);
}

/* Fill both operands with one code, gaps and nibbles that are no elements included. */
static void fill(struct matmul *matmul, uint32_t code)
{
	uint32_t row = stride(matmul->format, matmul->k);
	uint32_t elements = row * 8 / xrnpe_format_bits(matmul->format);

	for (uint32_t i = 0; i < matmul->m * elements; i++)
		xrnpe_store(matmul->format, matmul->a, i, code);
	for (uint32_t i = 0; i < matmul->n * elements; i++)
		xrnpe_store(matmul->format, matmul->b, i, code);
}

static void fill_random(struct matmul *matmul, uint64_t *state)
{
	uint32_t mask = (1u << xrnpe_format_bits(matmul->format)) - 1;

	for (uint32_t k = 0; k < matmul->k; k++) {
		for (uint32_t i = 0; i < matmul->m + matmul->n; i++) {
			uint32_t code = random_word(state) & mask;

			if (xrnpe_is_nar(matmul->format, code))
				code = 0;
			if (i < matmul->m)
				set_a(matmul, i, k, code);
			else
				set_b(matmul, i - matmul->m, k, code);
		}
	}
}

/* One context a kernel, made once a test process. */
static struct xrnpe_datapath *contexts[16];

static void make_contexts(void)
{
	const char *const *kernels = xrnpe_datapath_kernels();

	for (unsigned int i = 0; kernels[i]; i++) {
		contexts[i] = xrnpe_datapath_new(1, kernels[i]);
		ck_assert_ptr_nonnull(contexts[i]);
	}
}

static void free_contexts(void)
{
	for (unsigned int i = 0; contexts[i]; i++)
		xrnpe_datapath_free(contexts[i]);
}

/* By every kernel, @m rows that repeat those of @matmul, whose output is @expected. */
static void check_rows(struct matmul *matmul, enum xrnpe_format out, uint32_t m, const uint8_t *expected)
{
	uint32_t row = (uint32_t)xrnpe_row_bytes(out, matmul->n), in = stride(matmul->format, matmul->k);
	size_t size = (size_t)m * row;
	uint8_t *a = malloc((size_t)m * in), *got = malloc(size), *correct = malloc(size);
	void *memory[XRNPE_OPERANDS] = {
		[XRNPE_OPERAND_IFM] = a, [XRNPE_OPERAND_WEIGHT] = matmul->b,
		[XRNPE_OPERAND_SCALE] = matmul->scale, [XRNPE_OPERAND_OFM] = got,
	};
	struct xrnpe_cmd cmd = matmul->cmd;

	cmd.matmul.m = m;
	for (uint32_t i = 0; i < m; i++) {
		memcpy(a + (size_t)i * in, matmul->a + (size_t)(i % matmul->m) * in, in);
		memcpy(correct + (size_t)i * row, expected + (size_t)(i % matmul->m) * row, row);
	}
	for (unsigned int i = 0; contexts[i]; i++) {
		struct xrnpe_fault fault;
		uint32_t status = 0;

		memset(got, 0xa5, size);
		ck_assert_int_eq(xrnpe_datapath_run(contexts[i], &cmd, 0, memory, NULL, &status, &fault), 0);
		for (uint32_t at = 0; memcmp(got, correct, size) && at < m * matmul->n; at++) {
			uint32_t n = at % matmul->n, code, right;

			code = ref_load(out, got + (size_t)(at / matmul->n) * row, n);
			right = ref_load(out, correct + (size_t)(at / matmul->n) * row, n);
			ck_assert_msg(code == right, "%s, %s to %s, K = %u, row %u of %u, channel %u, "
				      "scale %08x, bias %08x: %x, expected %x",
				      xrnpe_datapath_kernel(contexts[i]), xrnpe_format_name(matmul->format),
				      xrnpe_format_name(out), matmul->k, at / matmul->n, m, n,
				      ref_load(XRNPE_FORMAT_F32, matmul->scale, 2 * n),
				      ref_load(XRNPE_FORMAT_F32, matmul->scale, 2 * n + 1), code, right);
		}
		ck_assert_mem_eq(got, correct, size);
		ck_assert_uint_eq(status, matmul->invalid ? XRNPE_STATUS_INVALID : 0);
	}
	free(a);
	free(got);
	free(correct);
}

static void check(struct matmul *matmul, enum xrnpe_format out)
{
	uint32_t row = (uint32_t)xrnpe_row_bytes(out, matmul->n);
	uint8_t *expected = calloc(matmul->m, row);
	void *memory[XRNPE_OPERANDS] = {
		[XRNPE_OPERAND_IFM] = matmul->a, [XRNPE_OPERAND_WEIGHT] = matmul->b,
		[XRNPE_OPERAND_SCALE] = matmul->scale, [XRNPE_OPERAND_OFM] = expected,
	};

	matmul->cmd.operand[XRNPE_OPERAND_OFM].format = (uint8_t)out;
	matmul->cmd.operand[XRNPE_OPERAND_OFM].row_stride = row;
	matmul->invalid = false;
	ref_run(&matmul->cmd, memory, &matmul->invalid);
	check_rows(matmul, out, matmul->m, expected);
	if (matmul->m < MANY)
		check_rows(matmul, out, MANY, expected);
	free(expected);
}

/* All products of the 4- and 8-bit formats, to every output format. */
START_TEST(code_pairs)
{
	enum xrnpe_format format = (enum xrnpe_format)_i;
	uint32_t codes = 1u << xrnpe_format_bits(format);
	struct matmul matmul = new_matmul(format, codes, codes, 1);

	make_contexts();
	for (uint32_t code = 0; code < codes; code++) {
		set_a(&matmul, code, 0, code);
		set_b(&matmul, code, 0, code);
		set_scale(&matmul, code, bits_of(1), 0);
	}
	for (enum xrnpe_format out = XRNPE_FORMAT_FP4; out < XRNPE_OUTPUT_FORMATS; out++)
		check(&matmul, out);
	free_matmul(&matmul);
	free_contexts();
}
END_TEST

/* A power of two that is far smaller than @value, but not below binary32. */
static double speck(double value, uint64_t *state)
{
	double small = ldexp(1, (value ? ilogb(value) : 0) - 25 - (int)random_below(state, 70));

	return small < 0x1p-149 ? 0x1p-149 : small;
}

/* Every tie point of the output's format, and what differs from it by a speck. */
START_TEST(ties)
{
	enum xrnpe_format format = (enum xrnpe_format)_i;
	uint64_t state = 101 + (uint64_t)_i;

	make_contexts();
	for (enum xrnpe_format out = XRNPE_FORMAT_FP4; out < XRNPE_FORMAT_F32; out++) {
		/* All 32767 of Posit(16,1) for one format of each way to sum. */
		uint32_t step = out == XRNPE_FORMAT_P16 && format != XRNPE_FORMAT_P8 &&
				format != XRNPE_FORMAT_P16 ? 61 : 1;
		uint32_t count = (ref_top(out) - 1) / step + 1;
		struct matmul matmul = new_matmul(format, 3, count, 1);

		fill(&matmul, code_of(format, 1));
		set_a(&matmul, 1, 0, code_of(format, -1));
		set_a(&matmul, 2, 0, 0);
		for (uint32_t i = 0; i < count; i++) {
			/* Ties have so few bits that decoding one as binary32 is exact. */
			struct ref_real tie = ref_tie(out, i * step);
			uint32_t bias = ref_encode(XRNPE_FORMAT_F32, tie, NULL);
			double value = xrnpe_decode(XRNPE_FORMAT_F32, bias);

			set_scale(&matmul, i, bits_of((float)speck(value, &state)),
				  bias | (random_word(&state) & 1) << 31);
		}
		check(&matmul, out);
		free_matmul(&matmul);
	}
	free_contexts();
}
END_TEST

/* Half a unit in the last place of a binary32 is added to it, a little more, or less. */
START_TEST(ties_f32)
{
	enum xrnpe_format format = (enum xrnpe_format)_i;
	struct matmul matmul = new_matmul(format, 3, 1000, 2);
	uint64_t state = 111 + (uint64_t)_i;
	uint32_t least = 1, half = code_of(format, 0.5);
	uint32_t minus_least = format == XRNPE_FORMAT_FP4 ? 9 : -least & ((1u << xrnpe_format_bits(format)) - 1);

	make_contexts();
	fill(&matmul, code_of(format, 1));
	for (uint32_t m = 0; m < 3; m++) {
		set_a(&matmul, m, 0, half);
		set_a(&matmul, m, 1, m == 0 ? 0 : m == 1 ? least : minus_least);
	}
	for (uint32_t n = 0; n < matmul.n; n++) {
		uint32_t bias = random_word(&state), exponent = bias >> 23 & 255;
		double place;

		if (exponent == 255)
			bias ^= (exponent = 128) << 23;
		place = ldexp(1, (exponent ? (int)exponent : 1) - 150);
		set_scale(&matmul, n, bits_of((float)(random_word(&state) & 1 ? -place : place)), bias);
	}
	check(&matmul, XRNPE_FORMAT_F32);
	free_matmul(&matmul);
	free_contexts();
}
END_TEST

/* Sums times scales that lie midway between binary32 values, and the smallest biases. */
START_TEST(ties_scaled)
{
	enum xrnpe_format format = (enum xrnpe_format)_i;
	struct matmul matmul = new_matmul(format, 2, 1000, 1);
	uint64_t state = 151 + (uint64_t)_i;

	make_contexts();
	fill(&matmul, code_of(format, 1));
	set_a(&matmul, 0, 0, code_of(format, 1.5));
	set_a(&matmul, 1, 0, code_of(format, -1.5));
	for (uint32_t n = 0; n < matmul.n; n++) {
		/* 3/2 of an odd significand below 2^25 / 3 has 25 bits. */
		uint32_t scale = random_word(&state) % 254 << 23 | random_below(&state, 0x2a0000) | 1;

		set_scale(&matmul, n, scale, n % 3 | (random_word(&state) & 1) << 31);
	}
	check(&matmul, XRNPE_FORMAT_F32);
	free_matmul(&matmul);
	free_contexts();
}
END_TEST

/* A finite binary32 of any magnitude, all exponents alike. */
static uint32_t any_finite(uint64_t *state)
{
	uint32_t bits = random_word(state);

	return (bits & 0x7f800000) == 0x7f800000 ? bits & 0x807fffff : bits;
}

/* Scales and biases over the whole range, apart and close, with and without ReLU. */
START_TEST(ranges)
{
	enum xrnpe_format format = (enum xrnpe_format)_i;
	struct matmul matmul = new_matmul(format, 3, 500, 5);
	uint64_t state = 121 + (uint64_t)_i;

	make_contexts();
	for (enum xrnpe_format out = XRNPE_FORMAT_FP4; out < XRNPE_OUTPUT_FORMATS; out++) {
		fill_random(&matmul, &state);
		for (uint32_t n = 0; n < matmul.n; n++) {
			uint32_t scale = any_finite(&state), bias = any_finite(&state);

			/* Every other one in the binades around the scale's. */
			if (n % 2 && (scale & 0x7f800000) < 0x78000000)
				bias = (bias & 0x87ffffff) + (scale & 0x78000000);
			set_scale(&matmul, n, scale, bias);
		}
		matmul.cmd.activation = out % 2 ? XRNPE_ACT_RELU : XRNPE_ACT_NONE;
		check(&matmul, out);
	}
	free_matmul(&matmul);
	free_contexts();
}
END_TEST

/*
 * Biases that cancel the sum of the first row but for what binary32 cannot hold, so
 * that the last bits of the sum become the first ones of the output.
 */
START_TEST(cancelled)
{
	static const uint32_t lengths[] = { 1, 2, 7, 100 };
	enum xrnpe_format format = (enum xrnpe_format)_i;
	uint64_t state = 131 + (uint64_t)_i;

	make_contexts();
	for (unsigned int i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct matmul matmul = new_matmul(format, 1, 400, lengths[i]);
		uint8_t *sums = malloc(matmul.n * sizeof(uint32_t));
		void *memory[XRNPE_OPERANDS] = {
			[XRNPE_OPERAND_IFM] = matmul.a, [XRNPE_OPERAND_WEIGHT] = matmul.b,
			[XRNPE_OPERAND_SCALE] = matmul.scale, [XRNPE_OPERAND_OFM] = sums,
		};
		bool invalid;

		fill_random(&matmul, &state);
		for (uint32_t n = 0; n < matmul.n; n++)
			set_scale(&matmul, n, (random_word(&state) & 0x8fffffff) | 0x30000000, 0);
		matmul.cmd.operand[XRNPE_OPERAND_OFM].format = XRNPE_FORMAT_F32;
		ref_run(&matmul.cmd, memory, &invalid);
		for (uint32_t n = 0; n < matmul.n; n++) {
			uint32_t scale = ref_load(XRNPE_FORMAT_F32, matmul.scale, 2 * n);

			/* The cancelling bias, or a neighbour of it. */
			set_scale(&matmul, n, scale, (ref_load(XRNPE_FORMAT_F32, sums, n) ^ 0x80000000) +
				  (n % 4 ? 0 : random_below(&state, 2)));
		}
		for (enum xrnpe_format out = XRNPE_FORMAT_FP4; out < XRNPE_OUTPUT_FORMATS; out++)
			check(&matmul, out);
		free(sums);
		free_matmul(&matmul);
	}
	free_contexts();
}
END_TEST

/*
 * Posit(16,1) of so many octaves to either side of one, in one or several parts. Of long
 * sums the bias leaves the last bits only, so that an estimate does not do.
 */
START_TEST(cancelled_octaves)
{
	uint64_t state = 161;

	make_contexts();
	for (int octaves = 0; octaves <= 28; octaves++) {
		struct matmul matmul = new_matmul(XRNPE_FORMAT_P16, 2, 19, 1100);
		uint32_t least = code_of(XRNPE_FORMAT_P16, ldexp(1, -octaves)), sums[2 * 19];
		void *memory[XRNPE_OPERANDS] = {
			[XRNPE_OPERAND_IFM] = matmul.a, [XRNPE_OPERAND_WEIGHT] = matmul.b,
			[XRNPE_OPERAND_SCALE] = matmul.scale, [XRNPE_OPERAND_OFM] = sums,
		};

		for (uint32_t i = 0; i < (matmul.m + matmul.n) * matmul.k; i++) {
			uint32_t code = least + random_below(&state, 0x8000 - 2 * least + 1), row = i / matmul.k;

			(row < matmul.m ? set_a : set_b)(&matmul, row < matmul.m ? row : row - matmul.m,
							 i % matmul.k, random_word(&state) & 1 ? code :
							 0x10000 - code);
		}
		for (uint32_t n = 0; n < matmul.n; n++)
			set_scale(&matmul, n, bits_of(1), 0);
		matmul.cmd.operand[XRNPE_OPERAND_OFM].format = XRNPE_FORMAT_F32;
		matmul.cmd.operand[XRNPE_OPERAND_OFM].row_stride = matmul.n * 4;
		ref_run(&matmul.cmd, memory, &matmul.invalid);
		for (uint32_t n = 0; n < matmul.n; n++)
			set_scale(&matmul, n, bits_of(1), sums[n % 2 * matmul.n + n] ^ 0x80000000);
		check(&matmul, XRNPE_FORMAT_F32);
		free_matmul(&matmul);
	}
	free_contexts();
}
END_TEST

/*
 * Posit(16,1) in doubles, which lose what decides. All of 2^20, 2^-32 and 1.5 x 2^-34 is
 * too much for one, and the bias leaves 1.375 of the latter, when it was scaled, not 1. The
 * large one comes last: as the tail of a row, the first of a chunk, and so on.
 */
START_TEST(lost_last)
{
	static const uint32_t lengths[] = { 3, 33, 65, 257, 513, 545, 1025, 1057, 2049 };

	make_contexts();
	for (unsigned int i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct matmul matmul = new_matmul(XRNPE_FORMAT_P16, 5, 35, lengths[i]);
		const double values[] = { 0x1p-17, 0x1p-16, 0x1p10 };
		const uint32_t places[] = { 0, 1, matmul.k - 1 };

		fill(&matmul, 0);
		for (uint32_t j = 0; j < 3; j++) {
			for (uint32_t m = 0; m < matmul.m; m++)
				set_a(&matmul, m, places[j], code_of(matmul.format, m == 3 ? -values[j] : values[j]));
			for (uint32_t n = 0; n < matmul.n; n++)
				set_b(&matmul, n, places[j], code_of(matmul.format, (j ? 1 : 1.5) *
								     (n % 3 ? values[j] : -values[j])));
		}
		for (uint32_t n = 0; n < matmul.n; n++)
			set_scale(&matmul, n, bits_of(0x1p32f), bits_of(n % 3 ? -0x1p52f : 0x1p52f));
		for (enum xrnpe_format out = XRNPE_FORMAT_FP4; out < XRNPE_OUTPUT_FORMATS; out++)
			check(&matmul, out);
		free_matmul(&matmul);
	}
	free_contexts();
}
END_TEST

/* The same with 2^-34, lost 512 times in one lane of a vector: 3 are left, not 1. */
START_TEST(lost_often)
{
	struct matmul matmul = new_matmul(XRNPE_FORMAT_P16, 1, 5, 512 * 32 + 1);

	make_contexts();
	fill(&matmul, 0);
	for (uint32_t k = 0; k < matmul.k; k += 32) {
		set_a(&matmul, 0, k, code_of(matmul.format, k ? 0x1p-17 : 0x1p10));
		for (uint32_t n = 0; n < matmul.n; n++)
			set_b(&matmul, n, k, code_of(matmul.format, k ? 0x1p-17 : 0x1p10));
	}
	set_a(&matmul, 0, 1, code_of(matmul.format, 0x1p-13));
	for (uint32_t n = 0; n < matmul.n; n++) {
		set_b(&matmul, n, 1, code_of(matmul.format, 0x1p-13));
		set_scale(&matmul, n, bits_of(0x1p26f), bits_of(-0x1p46f));
	}
	for (enum xrnpe_format out = XRNPE_FORMAT_FP4; out < XRNPE_OUTPUT_FORMATS; out++)
		check(&matmul, out);
	free_matmul(&matmul);
	free_contexts();
}
END_TEST

/*
 * The largest and next to largest sums of either sign, whatever the signs of the factors,
 * and the sum of the smallest.
 */
START_TEST(extremes)
{
	enum xrnpe_format format = (enum xrnpe_format)_i;
	double most = xrnpe_decode(format, ref_top(format));

	make_contexts();
	for (uint32_t k = XRNPE_MAX_K - 1; k <= XRNPE_MAX_K; k++) {
		struct matmul matmul = new_matmul(format, 2, 2, k);

		fill(&matmul, ref_top(format));
		for (uint32_t i = 0; i < k; i++) {
			set_a(&matmul, 1, i, code_of(format, -most));
			set_b(&matmul, 1, i, code_of(format, -most));
		}
		for (uint32_t n = 0; n < matmul.n; n++)
			set_scale(&matmul, n, bits_of(1), 0);
		check(&matmul, XRNPE_FORMAT_F32);
		/* A tie in the first row's output. */
		for (uint32_t n = 0; n < matmul.n; n++)
			set_scale(&matmul, n, bits_of((float)(1 / (most * most))),
				  bits_of((n ? -1.f : 1.f) * 0x1p-10f));
		check(&matmul, XRNPE_FORMAT_F32);
		/* Nothing is left of the first row's. */
		for (uint32_t n = 0; n < matmul.n; n++)
			set_scale(&matmul, n, bits_of(1), bits_of((float)((n ? k : -(double)k) * most * most)));
		check(&matmul, XRNPE_FORMAT_F32);
		fill(&matmul, 1);
		check(&matmul, XRNPE_FORMAT_F32);
		free_matmul(&matmul);
	}
	free_contexts();
}
END_TEST

/*
 * All products have one sign, and a last value is so small that their sums have many bits.
 * In digits of 12 bits the others are the largest in magnitude, -2048, in two places.
 */
START_TEST(one_sign)
{
	static const uint32_t lengths[] = { 127, 128, 129, 131, 300, 510, 513, 515, 1300 };
	enum xrnpe_format format = XRNPE_FORMAT_P16;

	make_contexts();
	for (unsigned int i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct matmul matmul = new_matmul(format, 2, 3, lengths[i]);

		fill(&matmul, code_of(format, -1 - 0x1p-12));
		for (uint32_t n = 0; n < matmul.n; n++) {
			set_b(&matmul, n, matmul.k - 1, code_of(format, 0x1p-23));
			set_scale(&matmul, n, bits_of(1), 0);
		}
		for (uint32_t m = 0; m < matmul.m; m++)
			set_a(&matmul, m, matmul.k - 1, code_of(format, 0x1p-23));
		check(&matmul, XRNPE_FORMAT_F32);
		check(&matmul, XRNPE_FORMAT_P16);
		free_matmul(&matmul);
	}
	free_contexts();
}
END_TEST

/* Posits from a highest to a lowest bit: every number of digits, just filled. */
static void set_span(struct matmul *matmul, void (*set)(struct matmul *, uint32_t, uint32_t, uint32_t),
		     int high, int low, uint64_t *state)
{
	/* The largest below the next power of two. */
	uint32_t largest = high < 28 ? code_of(matmul->format, ldexp(1, high + 1)) - 1 : 0x7fff;

	for (uint32_t k = 0; k < matmul->k; k++)
		set(matmul, 0, k, random_word(state) & 1 ? largest : 0x10000 - largest);
	set(matmul, 0, random_below(state, matmul->k), code_of(matmul->format, ldexp(1, low)));
}

START_TEST(spans)
{
	struct matmul matmul = new_matmul(XRNPE_FORMAT_P16, 1, 1, 6);
	uint64_t state = 141;

	make_contexts();
	set_scale(&matmul, 0, bits_of(1), 0);
	for (int high = -28; high <= 28; high++) {
		for (int low = -28; low <= high; low++) {
			int other = (int)random_below(&state, 57) - 28;

			set_span(&matmul, set_a, high, low, &state);
			set_span(&matmul, set_b, other, -28 + (int)random_below(&state, (uint32_t)other + 29),
				 &state);
			check(&matmul, XRNPE_FORMAT_F32);
			set_span(&matmul, set_b, high, low, &state);
			check(&matmul, XRNPE_FORMAT_F32);
		}
	}
	free_matmul(&matmul);
	free_contexts();
}
END_TEST

/*
 * Sums of products of Posit(16,1) about the 53 bits of a double: a power of two, which the
 * bias takes away, and 9 units.
 */
START_TEST(near_53_bits)
{
	enum xrnpe_format format = XRNPE_FORMAT_P16;
	struct matmul matmul = new_matmul(format, 1, 1, 2);

	make_contexts();
	set_a(&matmul, 0, 1, code_of(format, 0x3p-14));
	set_b(&matmul, 0, 1, code_of(format, 0x3p-14));
	for (int bits = 48; bits <= 58; bits++) {
		set_a(&matmul, 0, 0, code_of(format, ldexp(1, bits / 2 - 14)));
		set_b(&matmul, 0, 0, code_of(format, ldexp(1, bits - bits / 2 - 14)));
		set_scale(&matmul, 0, bits_of(1), bits_of(-ldexpf(1, bits - 28)));
		check(&matmul, XRNPE_FORMAT_F32);
	}
	free_matmul(&matmul);
	free_contexts();
}
END_TEST

/*
 * The AMX kernel sums Posit(4,1) in binary32, as many products at once as cannot exceed
 * 2^24 units of the smallest one. Here they sum to just that, and with one more product to
 * 2^24 + 1 and 2^24 - 1; the biases leave but the last bits. The second of three rows,
 * which is the last of MANY too, and the last channel are small.
 */
START_TEST(float_runs)
{
	enum xrnpe_format format = XRNPE_FORMAT_P4;
	uint32_t most = ref_top(format), minus_most = 16 - most;

	make_contexts();
	for (uint32_t step = 1; step <= 128; step *= 2) {
		for (uint32_t more = 0; more < 2; more++) {
			uint32_t last = step > 1 ? 1 : 256;
			struct matmul matmul = new_matmul(format, 3, 4, step > 1 ? 256 * step : 256 + more);

			fill(&matmul, 0);
			for (uint32_t k = 0; k < matmul.k; k++) {
				set_a(&matmul, 1, k, 1);
				set_b(&matmul, 3, k, 1);
			}
			for (uint32_t k = 0; k < 256; k++) {
				set_a(&matmul, 0, k * step, most);
				set_a(&matmul, 2, k * step, most);
				set_b(&matmul, 0, k * step, most);
				set_b(&matmul, 1, k * step, minus_most);
				set_b(&matmul, 2, k * step, k % 2 ? most : minus_most);
			}
			if (more) {
				set_a(&matmul, 0, last, 1);
				set_a(&matmul, 2, last, 15);
				for (uint32_t n = 0; n < matmul.n; n++)
					set_b(&matmul, n, last, 1);
			}
			set_scale(&matmul, 0, bits_of(1), bits_of(-0x1p16f));
			set_scale(&matmul, 1, bits_of(1), bits_of(0x1p16f));
			set_scale(&matmul, 2, bits_of(1), 0);
			set_scale(&matmul, 3, bits_of(1), 0);
			check(&matmul, XRNPE_FORMAT_F32);
			check(&matmul, format);
			free_matmul(&matmul);
		}
	}
	free_contexts();
}
END_TEST

/*
 * AMX once more: it takes floats for 32 channels if the largest code is among their
 * weights, else bytes. Positions have that code, or not.
 */
START_TEST(floats_and_bytes)
{
	struct matmul matmul = new_matmul(XRNPE_FORMAT_P4, 70, 100, 333);
	uint32_t most = ref_top(matmul.format);
	uint64_t state = 161;

	make_contexts();
	for (uint32_t n = 0; n < matmul.n; n++)
		set_scale(&matmul, n, bits_of(0.25f), bits_of(0.125f));
	for (int pattern = 0; pattern < 4; pattern++) {
		fill(&matmul, 0);
		for (uint32_t k = 0; k < matmul.k; k++) {
			for (uint32_t i = 0; i < matmul.m + matmul.n; i++) {
				bool input = i < matmul.m;
				uint32_t at = input ? i : i - matmul.m;
				bool large = at / 32 % 2 == (uint32_t)(input ? pattern % 2 : pattern / 2);
				uint32_t code = random_below(&state, large ? most + 1 : most);

				if (random_word(&state) & 1)
					code = -code & 15;
				(input ? set_a : set_b)(&matmul, at, k, code);
			}
		}
		check(&matmul, XRNPE_FORMAT_F32);
		check(&matmul, matmul.format);
	}
	free_matmul(&matmul);
	free_contexts();
}
END_TEST

/* A NaR in one of several chunks of a row, each in a channel of its own. */
START_TEST(nar_chunks)
{
	static const uint32_t places[] = { 0, 255, 256, 511, 512, 1023, 1024, 2047, 2048, 2100 };
	const uint32_t count = sizeof(places) / sizeof(places[0]);
	struct matmul matmul = new_matmul(XRNPE_FORMAT_P16, 3, count + 1, 2101);

	make_contexts();
	fill(&matmul, code_of(matmul.format, 1));
	for (uint32_t n = 0; n < matmul.n; n++)
		set_scale(&matmul, n, bits_of(1), 0);
	check(&matmul, XRNPE_FORMAT_P16);
	for (uint32_t n = 0; n < count; n++)
		set_b(&matmul, n, places[n], 0x8000);
	check(&matmul, XRNPE_FORMAT_P16);
	for (uint32_t i = 0; i < count; i++) {
		set_a(&matmul, i % 3, places[i], 0x8000);
		check(&matmul, XRNPE_FORMAT_P16);
		set_a(&matmul, i % 3, places[i], 0);
	}
	free_matmul(&matmul);
	free_contexts();
}
END_TEST

/* One NaR in every place of a row; what is not part of a row is NaR always. */
START_TEST(nar_places)
{
	static const uint32_t lengths[] = { 1, 2, 31, 33, 63, 65, 97, 129 };
	enum xrnpe_format format = (enum xrnpe_format)_i;
	uint32_t nar = 1u << (xrnpe_format_bits(format) - 1), one = code_of(format, 1);

	make_contexts();
	for (unsigned int i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct matmul matmul = new_matmul(format, 2, 3, lengths[i]);

		fill(&matmul, nar);
		for (uint32_t n = 0; n < matmul.n; n++)
			set_scale(&matmul, n, bits_of(1), 0);
		for (uint32_t k = 0; k < matmul.k; k++) {
			for (uint32_t j = 0; j < matmul.m; j++)
				set_a(&matmul, j, k, one);
			for (uint32_t j = 0; j < matmul.n; j++)
				set_b(&matmul, j, k, one);
		}
		check(&matmul, format);
		for (uint32_t k = 0; k < matmul.k; k++) {
			set_a(&matmul, k % 2, k, nar);
			check(&matmul, format);
			set_b(&matmul, k % 3, k, nar);
			check(&matmul, XRNPE_FORMAT_FP4);
			set_a(&matmul, k % 2, k, one);
			check(&matmul, format);
			set_b(&matmul, k % 3, k, one);
		}
		free_matmul(&matmul);
	}
	free_contexts();
}
END_TEST

TCase *datapath_output_tests(void)
{
	TCase *tests = tcase_create("output");

	tcase_set_timeout(tests, 300);
	tcase_set_tags(tests, "cpu kernel");
	tcase_add_loop_test(tests, code_pairs, 0, XRNPE_FORMAT_P16);
	tcase_add_loop_test(tests, ties, 0, 4);
	tcase_add_loop_test(tests, ties_f32, 0, 4);
	tcase_add_loop_test(tests, ties_scaled, 0, 4);
	tcase_add_loop_test(tests, ranges, 0, 4);
	tcase_add_loop_test(tests, cancelled, 0, 4);
	tcase_add_test(tests, cancelled_octaves);
	tcase_add_test(tests, lost_last);
	tcase_add_test(tests, lost_often);
	tcase_add_loop_test(tests, extremes, 0, 4);
	tcase_add_test(tests, one_sign);
	tcase_add_test(tests, spans);
	tcase_add_test(tests, near_53_bits);
	tcase_add_test(tests, float_runs);
	tcase_add_test(tests, floats_and_bytes);
	tcase_add_test(tests, nar_chunks);
	tcase_add_loop_test(tests, nar_places, XRNPE_FORMAT_P4, XRNPE_FORMAT_F32);
	return tests;
}

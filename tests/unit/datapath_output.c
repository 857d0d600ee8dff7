// SPDX-License-Identifier: MIT
/*
 * Products of all codes, and those that are hard to get right, by every kernel that
 * this CPU runs, against the reference: outputs on tie points and just beside, sums
 * that all but vanish when the bias or a residual is added, scales, biases and slopes of
 * all magnitudes, limits on ties, sums that doubles all but lose, infinities, and NaR in
 * every place.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "reference/reference.h"
#include "unit/datapath_tests.h"

#define GAP 3	/* elements between rows */
#define MANY 28	/* rows: more than kernels for few take, and whole quads of pixels */

/* A MATMUL with room for its operands. */
struct matmul {
	struct xrnpe_cmd cmd;
	enum xrnpe_format format, weight;	/* of a and of b */
	uint32_t m, n, k;
	uint8_t *a, *b, *scale, *residual;
	bool invalid;		/* a NaN met FP4 */
};

static uint32_t stride(enum xrnpe_format format, uint32_t count)
{
	return (uint32_t)xrnpe_row_bytes(format, (count + 1) / 2 * 2 + 2 * GAP);
}

static struct matmul new_mixed(enum xrnpe_format format, enum xrnpe_format weight, uint32_t m, uint32_t n,
			       uint32_t k)
{
	uint32_t row = stride(format, k), weight_row = stride(weight, k);
	struct matmul matmul = {
		.cmd = { .opcode = XRNPE_OP_MATMUL, .matmul = { m, n, k, 1, { 0 } } },
		.format = format, .weight = weight, .m = m, .n = n, .k = k,
		.a = malloc((size_t)m * row), .b = malloc((size_t)n * weight_row),
		.scale = calloc(n, sizeof(struct xrnpe_scale_slope)),
	};
	struct xrnpe_operand *o = matmul.cmd.operand;

	o[XRNPE_OPERAND_IFM].format = (uint8_t)format;
	o[XRNPE_OPERAND_IFM].row_stride = row;
	o[XRNPE_OPERAND_WEIGHT].format = (uint8_t)weight;
	o[XRNPE_OPERAND_WEIGHT].row_stride = weight_row;
	o[XRNPE_OPERAND_SCALE].format = XRNPE_FORMAT_F32;
	o[XRNPE_OPERAND_SCALE].row_stride = sizeof(struct xrnpe_scale_slope);
	return matmul;
}

static struct matmul new_matmul(enum xrnpe_format format, uint32_t m, uint32_t n, uint32_t k)
{
	return new_mixed(format, format, m, n, k);
}

static void free_matmul(struct matmul *matmul)
{
	free(matmul->a);
	free(matmul->b);
	free(matmul->scale);
	free(matmul->residual);
}

static void set_a(struct matmul *matmul, uint32_t m, uint32_t k, uint32_t code)
{
	xrnpe_store(matmul->format, matmul->a + (size_t)m * stride(matmul->format, matmul->k), k, code);
}

static void set_b(struct matmul *matmul, uint32_t n, uint32_t k, uint32_t code)
{
	xrnpe_store(matmul->weight, matmul->b + (size_t)n * stride(matmul->weight, matmul->k), k, code);
}

static void set_scale(struct matmul *matmul, uint32_t n, uint32_t scale, uint32_t bias)
{
	xrnpe_store(XRNPE_FORMAT_F32, matmul->scale, 3 * (size_t)n, scale);
	xrnpe_store(XRNPE_FORMAT_F32, matmul->scale, 3 * (size_t)n + 1, bias);
}

/* PRELU's */
static void set_slope(struct matmul *matmul, uint32_t n, uint32_t slope)
{
	xrnpe_store(XRNPE_FORMAT_F32, matmul->scale, 3 * (size_t)n + 2, slope);
}

static uint32_t scale_word(const struct matmul *matmul, uint32_t n, uint32_t word)
{
	return ref_load(XRNPE_FORMAT_F32, matmul->scale, 3 * (size_t)n + word);
}

/* Add a residual of zeros. */
static void new_residual(struct matmul *matmul, enum xrnpe_format format, uint32_t factor)
{
	uint32_t row = (uint32_t)xrnpe_row_bytes(format, matmul->n);

	free(matmul->residual);
	matmul->residual = calloc(matmul->m, row);
	matmul->cmd.flags |= XRNPE_CMD_RESIDUAL;
	matmul->cmd.residual = factor;
	matmul->cmd.operand[XRNPE_OPERAND_IFM2] = (struct xrnpe_operand){
		.format = (uint8_t)format, .row_stride = row,
	};
}

static void set_residual(struct matmul *matmul, uint32_t m, uint32_t n, uint32_t code)
{
	const struct xrnpe_operand *o = &matmul->cmd.operand[XRNPE_OPERAND_IFM2];

	xrnpe_store(o->format, matmul->residual + (size_t)m * o->row_stride, n, code);
}

static void set_clamp(struct matmul *matmul, uint32_t lo, uint32_t hi)
{
	matmul->cmd.flags |= XRNPE_CMD_CLAMP;
	matmul->cmd.lo = lo;
	matmul->cmd.hi = hi;
}

/* Fill @rows rows with one code, gaps and nibbles that are no elements included. */
static void fill_rows(enum xrnpe_format format, uint8_t *to, uint32_t rows, uint32_t k, uint32_t code)
{
	uint32_t elements = stride(format, k) * 8 / xrnpe_format_bits(format);

	for (uint32_t i = 0; i < rows * elements; i++)
		xrnpe_store(format, to, i, code);
}

/* Fill the operands with a code each. */
static void fill_codes(struct matmul *matmul, uint32_t a, uint32_t b)
{
	fill_rows(matmul->format, matmul->a, matmul->m, matmul->k, a);
	fill_rows(matmul->weight, matmul->b, matmul->n, matmul->k, b);
}

static void fill(struct matmul *matmul, uint32_t code)
{
	fill_codes(matmul, code, code);
}

static uint32_t random_code(enum xrnpe_format format, uint64_t *state)
{
	uint32_t code = random_word(state) & ((1u << xrnpe_format_bits(format)) - 1);

	return xrnpe_is_nar(format, code) ? 0 : code;
}

static void fill_random(struct matmul *matmul, uint64_t *state)
{
	for (uint32_t k = 0; k < matmul->k; k++) {
		for (uint32_t m = 0; m < matmul->m; m++)
			set_a(matmul, m, k, random_code(matmul->format, state));
		for (uint32_t n = 0; n < matmul->n; n++)
			set_b(matmul, n, k, random_code(matmul->weight, state));
	}
}

/* One context a kernel, made once a test process. */
static struct xrnpe_datapath *contexts[16];

static void make_contexts(void)
{
	unsigned int count = 0;

	for (const char *const *kernel = xrnpe_datapath_kernels(); *kernel; kernel++) {
		if (!kernel_is_tested(*kernel))
			continue;
		contexts[count] = xrnpe_datapath_new(1, *kernel);
		ck_assert_ptr_nonnull(contexts[count++]);
	}
}

static void free_contexts(void)
{
	for (unsigned int i = 0; contexts[i]; i++)
		xrnpe_datapath_free(contexts[i]);
}

/* @m rows of @bytes that repeat those of @rows, or NULL if there are none. */
static uint8_t *repeated(const struct matmul *matmul, const uint8_t *rows, uint32_t m, size_t bytes)
{
	uint8_t *copy = rows ? malloc(m * bytes) : NULL;

	for (uint32_t i = 0; copy && i < m; i++)
		memcpy(copy + i * bytes, rows + i % matmul->m * bytes, bytes);
	return copy;
}

/* By every kernel. @correct: @m rows. */
static void check_command(const struct matmul *matmul, const struct xrnpe_cmd *cmd, enum xrnpe_format out,
			  uint32_t m, void *memory[XRNPE_OPERANDS], const uint8_t *correct)
{
	size_t row = xrnpe_row_bytes(out, matmul->n), size = m * row;
	uint8_t *got = malloc(size);

	memory[XRNPE_OPERAND_OFM] = got;
	for (unsigned int i = 0; contexts[i]; i++) {
		struct xrnpe_fault fault;
		uint32_t status = 0;

		memset(got, 0xa5, size);
		ck_assert_int_eq(xrnpe_datapath_run(contexts[i], cmd, 0, memory, NULL, &status, &fault), 0);
		for (uint32_t at = 0; memcmp(got, correct, size) && at < m * matmul->n; at++) {
			uint32_t n = at % matmul->n, code, right;

			code = ref_load(out, got + at / matmul->n * row, n);
			right = ref_load(out, correct + at / matmul->n * row, n);
			ck_assert_msg(code == right, "%s, opcode %u, %s by %s to %s, K = %u, row %u of %u, channel %u, "
				      "scale %08x, bias %08x, activation %u, slopes %08x and %08x, flags %x, "
				      "lo %08x, hi %08x, residual %s %08x: %x, expected %x",
				      xrnpe_datapath_kernel(contexts[i]), cmd->opcode,
				      xrnpe_format_name(matmul->format), xrnpe_format_name(matmul->weight),
				      xrnpe_format_name(out), matmul->k, at / matmul->n, m, n, scale_word(matmul, n, 0), scale_word(matmul, n, 1),
				      cmd->activation, cmd->slope, scale_word(matmul, n, 2), cmd->flags, cmd->lo,
				      cmd->hi, xrnpe_format_name(cmd->operand[XRNPE_OPERAND_IFM2].format),
				      cmd->residual, code, right);
		}
		ck_assert_mem_eq(got, correct, size);
		ck_assert_uint_eq(status, matmul->invalid ? XRNPE_STATUS_INVALID : 0);
	}
	free(got);
}

/* The same product, of a line of pixels by a convolution of one tap. */
static struct xrnpe_cmd as_pixels(struct xrnpe_cmd cmd)
{
	const struct xrnpe_dims_matmul matmul = cmd.matmul;

	cmd.opcode = XRNPE_OP_CONV2D;
	cmd.image = (struct xrnpe_dims_image){
		.in_h = 1, .in_w = (uint16_t)matmul.m, .in_c = (uint16_t)matmul.k, .out_h = 1,
		.out_w = (uint16_t)matmul.m, .out_c = (uint16_t)matmul.n, .groups = 1, .kernel_h = 1, .kernel_w = 1,
		.stride_h = 1, .stride_w = 1, .dilation_h = 1, .dilation_w = 1,
	};
	for (int i = 0; i < XRNPE_OPERANDS; i++) {
		struct xrnpe_operand *o = &cmd.operand[i];

		if (i == XRNPE_OPERAND_SCALE)
			continue;
		o->pixel_stride = o->row_stride;
		if (i != XRNPE_OPERAND_WEIGHT)
			o->row_stride *= matmul.m;
	}
	return cmd;
}

/* @m rows that repeat those of @matmul, whose output is @expected. */
static void check_rows(struct matmul *matmul, enum xrnpe_format out, uint32_t m, const uint8_t *expected)
{
	struct xrnpe_cmd cmd = matmul->cmd;
	uint8_t *correct = repeated(matmul, expected, m, xrnpe_row_bytes(out, matmul->n));
	void *memory[XRNPE_OPERANDS] = {
		[XRNPE_OPERAND_IFM] = repeated(matmul, matmul->a, m, stride(matmul->format, matmul->k)),
		[XRNPE_OPERAND_IFM2] = repeated(matmul, matmul->residual, m,
						cmd.operand[XRNPE_OPERAND_IFM2].row_stride),
		[XRNPE_OPERAND_WEIGHT] = matmul->b, [XRNPE_OPERAND_SCALE] = matmul->scale,
	};

	cmd.matmul.m = m;
	check_command(matmul, &cmd, out, m, memory, correct);
	cmd = as_pixels(cmd);
	check_command(matmul, &cmd, out, m, memory, correct);
	free(memory[XRNPE_OPERAND_IFM]);
	free(memory[XRNPE_OPERAND_IFM2]);
	free(correct);
}

/* With K = 1: a line of pixels, by a depthwise convolution. */
static void check_depthwise(struct matmul *matmul, enum xrnpe_format out, const uint8_t *expected)
{
	uint32_t n = matmul->n, m = matmul->m, in = stride(matmul->format, n);
	struct xrnpe_cmd cmd = matmul->cmd;
	struct xrnpe_operand *o = cmd.operand;
	uint8_t *a = malloc((size_t)m * in);
	void *memory[XRNPE_OPERANDS] = {
		[XRNPE_OPERAND_IFM] = a, [XRNPE_OPERAND_IFM2] = matmul->residual,
		[XRNPE_OPERAND_WEIGHT] = matmul->b, [XRNPE_OPERAND_SCALE] = matmul->scale,
	};

	cmd.opcode = XRNPE_OP_CONV2D;
	cmd.image = (struct xrnpe_dims_image){
		.in_h = 1, .in_w = (uint16_t)m, .in_c = (uint16_t)n, .out_h = 1, .out_w = (uint16_t)m,
		.out_c = (uint16_t)n, .groups = (uint16_t)n, .kernel_h = 1, .kernel_w = 1, .stride_h = 1,
		.stride_w = 1, .dilation_h = 1, .dilation_w = 1,
	};
	o[XRNPE_OPERAND_IFM].pixel_stride = in;
	o[XRNPE_OPERAND_IFM].row_stride = m * in;
	o[XRNPE_OPERAND_WEIGHT].pixel_stride = stride(matmul->weight, 1);
	for (int i = XRNPE_OPERAND_IFM2; i <= XRNPE_OPERAND_OFM; i += XRNPE_OPERAND_OFM - XRNPE_OPERAND_IFM2) {
		o[i].pixel_stride = o[i].row_stride;
		o[i].row_stride *= m;
	}
	for (uint32_t i = 0; i < m * n; i++)
		xrnpe_store(matmul->format, a + (size_t)(i / n) * in, i % n,
			    ref_load(matmul->format, matmul->a + (size_t)(i / n) * stride(matmul->format, 1), 0));
	check_command(matmul, &cmd, out, m, memory, expected);
	free(a);
}

static void check(struct matmul *matmul, enum xrnpe_format out)
{
	uint32_t row = (uint32_t)xrnpe_row_bytes(out, matmul->n);
	uint8_t *expected = calloc(matmul->m, row);
	void *memory[XRNPE_OPERANDS] = {
		[XRNPE_OPERAND_IFM] = matmul->a, [XRNPE_OPERAND_IFM2] = matmul->residual,
		[XRNPE_OPERAND_WEIGHT] = matmul->b, [XRNPE_OPERAND_SCALE] = matmul->scale,
		[XRNPE_OPERAND_OFM] = expected,
	};

	matmul->cmd.operand[XRNPE_OPERAND_OFM].format = (uint8_t)out;
	matmul->cmd.operand[XRNPE_OPERAND_OFM].row_stride = row;
	matmul->invalid = false;
	ref_run(&matmul->cmd, memory, &matmul->invalid);
	check_rows(matmul, out, matmul->m, expected);
	if (matmul->m < MANY)
		check_rows(matmul, out, MANY, expected);
	if (matmul->k == 1)
		check_depthwise(matmul, out, expected);
	free(expected);
}

/* Pairs of formats by number: the input's, and the weights'. */
#define PAIRS (XRNPE_PRODUCT_FORMATS * XRNPE_PRODUCT_FORMATS)

static enum xrnpe_format input_of(int pair)
{
	return (enum xrnpe_format)(pair % XRNPE_PRODUCT_FORMATS);
}

static enum xrnpe_format weight_of(int pair)
{
	return (enum xrnpe_format)(pair / XRNPE_PRODUCT_FORMATS);
}

/* All products of two codes of up to 8 bits, to every output format. */
START_TEST(code_pairs)
{
	enum xrnpe_format format = (enum xrnpe_format)(_i % XRNPE_FORMAT_P16);
	enum xrnpe_format weight = (enum xrnpe_format)(_i / XRNPE_FORMAT_P16);
	uint32_t codes = 1u << xrnpe_format_bits(format), weights = 1u << xrnpe_format_bits(weight);
	struct matmul matmul = new_mixed(format, weight, codes, weights, 1);

	make_contexts();
	for (uint32_t code = 0; code < codes; code++)
		set_a(&matmul, code, 0, code);
	for (uint32_t code = 0; code < weights; code++) {
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
	uint64_t state = 131 + (uint64_t)_i;

	make_contexts();
	for (unsigned int i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct matmul matmul = new_mixed(input_of(_i), weight_of(_i), 1, 400, lengths[i]);
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
			uint32_t scale = scale_word(&matmul, n, 0);

			/* The cancelling bias, or a neighbour of it. */
			set_scale(&matmul, n, scale, (ref_load(XRNPE_FORMAT_F32, sums, n) ^ 0x80000000) +
				  (n % 4 ? 0 : random_below(&state, 2)));
		}
		for (enum xrnpe_format out = XRNPE_FORMAT_FP4; out < XRNPE_OUTPUT_FORMATS; out++) {
			if (!trial_is_left_out(&state))
				check(&matmul, out);
		}
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
	enum xrnpe_format format = input_of(_i), weight = weight_of(_i);
	double a = xrnpe_decode(format, ref_top(format)), b = xrnpe_decode(weight, ref_top(weight)), most = a * b;
	uint64_t state = 301 + (uint64_t)_i;

	make_contexts();
	for (uint32_t k = XRNPE_MAX_K - 1; k <= XRNPE_MAX_K; k++) {
		struct matmul matmul;

		if (trial_is_left_out(&state))
			continue;
		matmul = new_mixed(format, weight, 2, 2, k);
		fill_codes(&matmul, ref_top(format), ref_top(weight));
		for (uint32_t i = 0; i < k; i++) {
			set_a(&matmul, 1, i, code_of(format, -a));
			set_b(&matmul, 1, i, code_of(weight, -b));
		}
		for (uint32_t n = 0; n < matmul.n; n++)
			set_scale(&matmul, n, bits_of(1), 0);
		check(&matmul, XRNPE_FORMAT_F32);
		/* A tie in the first row's output. */
		for (uint32_t n = 0; n < matmul.n; n++)
			set_scale(&matmul, n, bits_of((float)(1 / most)),
				  bits_of((n ? -1.f : 1.f) * 0x1p-10f));
		check(&matmul, XRNPE_FORMAT_F32);
		/* Nothing is left of the first row's. */
		for (uint32_t n = 0; n < matmul.n; n++)
			set_scale(&matmul, n, bits_of(1), bits_of((float)((n ? k : -(double)k) * most)));
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

/* A sum of Posit(16,1) by Posit(8,0) above 2^53 units, one of which it is off a tie point. */
START_TEST(beyond_doubles)
{
	struct matmul matmul = new_mixed(XRNPE_FORMAT_P16, XRNPE_FORMAT_P8, 2, 3, 1536);

	make_contexts();
	fill_codes(&matmul, code_of(XRNPE_FORMAT_P16, 7), code_of(XRNPE_FORMAT_P8, 64));
	set_a(&matmul, 0, 7, code_of(XRNPE_FORMAT_P16, -0x1p-28));
	set_a(&matmul, 1, 7, code_of(XRNPE_FORMAT_P16, 0x1p-28));
	for (uint32_t n = 0; n < matmul.n; n++) {
		set_b(&matmul, n, 7, n == 1 ? 0 : code_of(XRNPE_FORMAT_P8, 0x1p-6));
		/* 1535 x 7 x 64 has one bit more than a Posit(16,1) between 1 and 2. */
		set_scale(&matmul, n, bits_of(n == 2 ? -0x1p-19f : 0x1p-19f), 0);
	}
	check(&matmul, XRNPE_FORMAT_P16);
	free_matmul(&matmul);
	free_contexts();
}
END_TEST

/* Slopes and limits of all kinds, for sums of all magnitudes. */
static const uint32_t parameters[] = {
	0, 0x80000000, 1, 0x80000001, 0x007fffff, 0x3d800000, 0x3c23d70a, 0x3dcccccd, 0x3f400000, 0x3f800000,
	0xbf800000, 0xbe99999a, 0x40400000, 0x7f7fffff, 0xff7fffff,
};
#define PARAMETERS (sizeof(parameters) / sizeof(parameters[0]))

START_TEST(any_slopes)
{
	enum xrnpe_format format = (enum xrnpe_format)_i;
	struct matmul matmul = new_matmul(format, 3, 500, 5);
	uint64_t state = 171 + (uint64_t)_i;

	make_contexts();
	for (enum xrnpe_format out = XRNPE_FORMAT_FP4; out < XRNPE_OUTPUT_FORMATS; out++) {
		fill_random(&matmul, &state);
		for (uint32_t n = 0; n < matmul.n; n++) {
			bool wild = n % 100 >= 64;	/* not in all panels */
			uint32_t bias = random_word(&state);

			set_scale(&matmul, n, wild ? any_finite(&state) : (random_word(&state) & 0x87ffffff) + 0x38000000,
				  n % 3 ? 0 : (bias & 0x83ffffff) + 0x3c000000);
			set_slope(&matmul, n, n % 2 ? parameters[random_below(&state, PARAMETERS)] :
				  0x3d800000 + random_below(&state, 0x2000000));
		}
		matmul.cmd.activation = XRNPE_ACT_PRELU;
		check(&matmul, out);
		matmul.cmd.activation = XRNPE_ACT_LEAKY;
		for (size_t i = out % 3; i < PARAMETERS; i += 3) {
			matmul.cmd.slope = parameters[i];
			check(&matmul, out);
		}
		matmul.cmd.slope = 0;
	}
	free_matmul(&matmul);
	free_contexts();
}
END_TEST

/* Negative sums that a slope takes to tie points of the output, or just beside. */
START_TEST(slope_ties)
{
	static const float slopes[] = { 0.125f, 1.5f, 0.75f, -0.625f, -1 };
	enum xrnpe_format format = (enum xrnpe_format)_i;
	uint64_t state = 181 + (uint64_t)_i;

	make_contexts();
	for (enum xrnpe_format out = XRNPE_FORMAT_FP4; out < XRNPE_FORMAT_F32; out++) {
		uint32_t step = out == XRNPE_FORMAT_P16 ? 101 : 1, count = (ref_top(out) - 1) / step + 1;
		struct matmul matmul = new_matmul(format, 3, count * 5, 1);

		fill(&matmul, code_of(format, 1));
		set_a(&matmul, 1, 0, code_of(format, 0.5));
		set_a(&matmul, 2, 0, code_of(format, -1));
		for (uint32_t n = 0; n < matmul.n; n++) {
			double tie = xrnpe_decode(XRNPE_FORMAT_F32, ref_encode(XRNPE_FORMAT_F32,
									       ref_tie(out, n / 5 * step), NULL));
			float slope = slopes[n % 5], before = (float)(-tie / fabs((double)slope));

			/* Exactly, where that is a binary32; and beside. */
			set_scale(&matmul, n, bits_of(before), n % 3 ? 0 :
				  bits_of((float)speck((double)before, &state)) | (random_word(&state) & 1) << 31);
			set_slope(&matmul, n, bits_of(slope));
		}
		matmul.cmd.activation = XRNPE_ACT_PRELU;
		check(&matmul, out);
		free_matmul(&matmul);
	}
	free_contexts();
}
END_TEST

/*
 * Negative doubles, as the sum of product, bias and residual, that a slope takes as near to
 * ties as doubles can be.
 */
START_TEST(slope_last_bits)
{
	enum xrnpe_format format = (enum xrnpe_format)_i;
	uint64_t state = 187 + (uint64_t)_i;

	make_contexts();
	for (enum xrnpe_format out = XRNPE_FORMAT_FP4; out < XRNPE_FORMAT_F32; out++) {
		struct matmul matmul = new_matmul(format, 1, 300, 1);

		fill(&matmul, code_of(format, 1));
		new_residual(&matmul, XRNPE_FORMAT_F32, bits_of(1));
		for (uint32_t n = 0; n < matmul.n; n++) {
			struct ref_real tie = ref_tie(out, 1 + random_below(&state, ref_top(out) - 1));
			uint32_t slope = 0x3f000001 + 2 * random_below(&state, 0x7fffff);
			double x = -xrnpe_decode(XRNPE_FORMAT_F32, ref_encode(XRNPE_FORMAT_F32, tie, NULL)) /
				   (double)float_of(slope);
			float bias = (float)x, residual = (float)(x - (double)bias);

			set_scale(&matmul, n, bits_of((float)(x - (double)bias - (double)residual)), bits_of(bias));
			set_residual(&matmul, 0, n, bits_of(residual));
			set_slope(&matmul, n, slope);
		}
		matmul.cmd.activation = XRNPE_ACT_PRELU;
		check(&matmul, out);
		free_matmul(&matmul);
	}
	free_contexts();
}
END_TEST

/* Limits on ties, beside them, equal to each other, of any sign, and of subnormals. */
START_TEST(limits)
{
	enum xrnpe_format format = (enum xrnpe_format)_i;
	struct matmul matmul = new_matmul(format, 3, 299, 1);
	uint64_t state = 191 + (uint64_t)_i;

	make_contexts();
	fill(&matmul, code_of(format, 1));
	set_a(&matmul, 1, 0, code_of(format, -1));
	set_a(&matmul, 2, 0, 0);
	for (enum xrnpe_format out = XRNPE_FORMAT_FP4; out < XRNPE_OUTPUT_FORMATS; out++) {
		for (uint32_t i = 0; i < 2 * PARAMETERS; i++) {
			uint32_t tie = ref_encode(XRNPE_FORMAT_F32, ref_tie(out, random_below(&state, ref_top(out))), NULL);
			uint32_t lo, hi;

			if (i && trial_is_left_out(&state))
				continue;
			if ((tie & 0x7f800000) == 0x7f800000)
				tie = 0x7f7fffff;
			lo = i % 3 ? tie + i / 3 % 3 - (tie > 0 && tie < 0x7f7fffff) :
			     parameters[random_below(&state, PARAMETERS)];
			lo = i % 2 ? lo : lo | 0x80000000;
			hi = i % 4 != 1 ? parameters[i / 2] : lo;
			if (float_of(hi) < float_of(lo))
				set_clamp(&matmul, hi, lo);
			else
				set_clamp(&matmul, lo, hi);
			for (uint32_t n = 0; n < matmul.n; n++) {
				uint32_t at = n % 2 ? lo : hi;

				/* Half of the time none that is too small or large for floats. */
				set_scale(&matmul, n, i % 2 && n % 3 ? (at & 0x7fffffff) + n % 5 - (at << 1 > 4) :
					  (random_word(&state) & 0x83ffffff) + 0x3d000000, 0);
				if ((scale_word(&matmul, n, 0) & 0x7f800000) == 0x7f800000)
					set_scale(&matmul, n, 0x7f7fffff, 0);
			}
			matmul.cmd.activation = i % 8 == 7 ? XRNPE_ACT_RELU : XRNPE_ACT_NONE;
			check(&matmul, out);
		}
	}
	free_matmul(&matmul);
	free_contexts();
}
END_TEST

/*
 * Residuals that take away what binary32 can hold of a sum, or a neighbour of it, and what
 * differs from a tie point by a speck.
 */
START_TEST(residual_cancels)
{
	static const float factors[] = { -1, -8, -1.3f };	/* of more than one bit: sums that are no doubles */
	enum xrnpe_format format = (enum xrnpe_format)_i;
	struct matmul matmul = new_matmul(format, 2, 400, 7);
	uint8_t *sums = malloc(matmul.m * matmul.n * sizeof(uint32_t));
	uint64_t state = 201 + (uint64_t)_i;
	bool invalid;

	make_contexts();
	for (int i = 0; i < 6; i++) {
		void *memory[XRNPE_OPERANDS] = {
			[XRNPE_OPERAND_IFM] = matmul.a, [XRNPE_OPERAND_WEIGHT] = matmul.b,
			[XRNPE_OPERAND_SCALE] = matmul.scale, [XRNPE_OPERAND_OFM] = sums,
		};

		fill_random(&matmul, &state);
		for (uint32_t n = 0; n < matmul.n; n++) {
			set_scale(&matmul, n, (random_word(&state) & 0x83ffffff) | 0x38000000,
				  i % 2 ? (random_word(&state) & 0x83ffffff) | 0x3c000000 : 0);
			set_slope(&matmul, n, parameters[random_below(&state, PARAMETERS)]);
		}
		matmul.cmd.flags = 0;
		matmul.cmd.activation = XRNPE_ACT_NONE;
		matmul.cmd.operand[XRNPE_OPERAND_OFM].format = XRNPE_FORMAT_F32;
		matmul.cmd.operand[XRNPE_OPERAND_OFM].row_stride = matmul.n * (uint32_t)sizeof(uint32_t);
		ref_run(&matmul.cmd, memory, &invalid);
		new_residual(&matmul, XRNPE_FORMAT_F32, bits_of(factors[i % 3]));
		for (uint32_t at = 0; at < matmul.m * matmul.n; at++) {
			float sum = float_of(ref_load(XRNPE_FORMAT_F32, sums, at)) / -factors[i % 3];

			set_residual(&matmul, at / matmul.n, at % matmul.n, bits_of(sum) + at % 3 - (sum != 0));
		}
		matmul.cmd.activation = (uint8_t)(i % 2 ? XRNPE_ACT_PRELU : XRNPE_ACT_NONE);
		for (enum xrnpe_format out = XRNPE_FORMAT_FP4; out < XRNPE_OUTPUT_FORMATS; out++) {
			if (!trial_is_left_out(&state))
				check(&matmul, out);
		}
	}
	free(sums);
	free_matmul(&matmul);
	free_contexts();
}
END_TEST

/* Every tie point of the output's format, as sum, bias or residual, and a speck as another. */
START_TEST(residual_ties)
{
	enum xrnpe_format format = (enum xrnpe_format)_i;
	uint64_t state = 211 + (uint64_t)_i;

	make_contexts();
	for (enum xrnpe_format out = XRNPE_FORMAT_FP4; out < XRNPE_FORMAT_F32; out++) {
		uint32_t step = out == XRNPE_FORMAT_P16 ? 61 : 1, count = (ref_top(out) - 1) / step + 1;
		struct matmul matmul = new_matmul(format, 3, 3 * count, 1);
		enum xrnpe_format with = out % 2 ? XRNPE_FORMAT_F32 : XRNPE_FORMAT_P16;

		fill(&matmul, code_of(format, 1));
		set_a(&matmul, 1, 0, code_of(format, -1));
		set_a(&matmul, 2, 0, 0);
		new_residual(&matmul, with, bits_of(with == XRNPE_FORMAT_F32 ? 1 : 0x1p-40f));
		for (uint32_t n = 0; n < matmul.n; n++) {
			uint32_t tie = ref_encode(XRNPE_FORMAT_F32, ref_tie(out, n / 3 * step), NULL);
			double value = (double)float_of(tie), small = speck(value, &state);

			set_scale(&matmul, n, n % 3 == 1 ? tie : bits_of((float)small),
				  n % 3 ? 0 : tie | (random_word(&state) & 1) << 31);
			for (uint32_t m = 0; m < matmul.m; m++) {
				double more = with == XRNPE_FORMAT_P16 ? 0x1p20 : n % 3 == 2 ? value : small;

				set_residual(&matmul, m, n, code_of(with, (m + n) % 2 ? more : m ? -more : 0));
			}
		}
		check(&matmul, out);
		matmul.cmd.activation = XRNPE_ACT_LEAKY;
		matmul.cmd.slope = bits_of(-0.5f);
		check(&matmul, out);
		free_matmul(&matmul);
	}
	free_contexts();
}
END_TEST

/* Residuals that are no finite numbers, times factors of every sign, before every activation. */
START_TEST(residual_special)
{
	static const uint32_t codes[] = { 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00001, 0x3f800000 };
	static const float factors[] = { 0, 1, -2 }, slopes[] = { 0, 0.5f, -0.5f };
	struct matmul matmul = new_matmul((enum xrnpe_format)_i, 3, 40, 1);

	make_contexts();
	fill(&matmul, code_of(matmul.format, 1));
	for (uint32_t n = 0; n < matmul.n; n++)
		set_scale(&matmul, n, bits_of(0.25f), bits_of(-0.125f));
	for (int i = 0; i < 3 * 4 * 2; i++) {
		new_residual(&matmul, XRNPE_FORMAT_F32, bits_of(factors[i % 3]));
		/* The last row has none. */
		for (uint32_t at = 0; at < 2 * matmul.n; at++)
			set_residual(&matmul, at / matmul.n, at % matmul.n, codes[at % 5]);
		matmul.cmd.activation = (uint8_t)(i / 3 % 4);
		matmul.cmd.slope = matmul.cmd.activation == XRNPE_ACT_LEAKY ? bits_of(slopes[i % 3]) : 0;
		for (uint32_t n = 0; n < matmul.n; n++)
			set_slope(&matmul, n, bits_of(slopes[n % 3]));
		if (i >= 12)
			set_clamp(&matmul, bits_of(-3), bits_of(1.5f));
		for (enum xrnpe_format out = XRNPE_FORMAT_FP4; out < XRNPE_OUTPUT_FORMATS; out++)
			check(&matmul, out);
	}
	new_residual(&matmul, XRNPE_FORMAT_P8, bits_of(1));
	set_residual(&matmul, 1, 33, 0x80);
	for (enum xrnpe_format out = XRNPE_FORMAT_FP4; out < XRNPE_OUTPUT_FORMATS; out++)
		check(&matmul, out);
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
	uint64_t state = 221 + (uint64_t)_i;

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
			if (trial_is_left_out(&state))
				continue;
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
	tcase_add_loop_test(tests, code_pairs, 0, XRNPE_FORMAT_P16 * XRNPE_FORMAT_P16);
	tcase_add_loop_test(tests, ties, 0, 4);
	tcase_add_loop_test(tests, ties_f32, 0, 4);
	tcase_add_loop_test(tests, ties_scaled, 0, 4);
	tcase_add_loop_test(tests, ranges, 0, 4);
	tcase_add_loop_test(tests, cancelled, 0, PAIRS);
	tcase_add_test(tests, cancelled_octaves);
	tcase_add_test(tests, lost_last);
	tcase_add_test(tests, lost_often);
	tcase_add_loop_test(tests, extremes, 0, PAIRS);
	tcase_add_test(tests, one_sign);
	tcase_add_test(tests, spans);
	tcase_add_test(tests, near_53_bits);
	tcase_add_test(tests, float_runs);
	tcase_add_test(tests, floats_and_bytes);
	tcase_add_test(tests, beyond_doubles);
	tcase_add_loop_test(tests, any_slopes, 0, 4);
	tcase_add_loop_test(tests, slope_ties, 0, 4);
	tcase_add_loop_test(tests, slope_last_bits, 0, 4);
	tcase_add_loop_test(tests, limits, 0, 4);
	tcase_add_loop_test(tests, residual_cancels, 0, 4);
	tcase_add_loop_test(tests, residual_ties, 0, 4);
	tcase_add_loop_test(tests, residual_special, 0, 4);
	tcase_add_test(tests, nar_chunks);
	tcase_add_loop_test(tests, nar_places, XRNPE_FORMAT_P4, XRNPE_FORMAT_F32);
	return tests;
}

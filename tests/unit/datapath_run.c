// SPDX-License-Identifier: MIT
/*
 * Commands, run by every kernel that this CPU has on one and two threads, against
 * the reference: whole output buffers, so that bytes which must stay are looked
 * at too. Buffers have exactly the size of the span, so that a sanitizer sees any
 * access outside it.
 */
#include <errno.h>
#include <math.h>
#include <fenv.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/kernel.h"
#include "reference/reference.h"
#include "unit/datapath_tests.h"

/* How operands are filled. */
enum fill {
	FILL_UNIFORM,		/* any code, few NaR */
	FILL_MAXPOS,		/* the largest, all of one sign */
	FILL_OPPOSED,		/* inputs of one sign, weights of the other */
	FILL_EXTREMES,		/* the largest of either sign, and the smallest */
	FILL_CANCEL,		/* pairs that cancel, but for a few */
	FILL_MODEST,		/* around one, as trained networks have */
	FILL_DIGITS,		/* Posit(16,1): 12-bit digits of the largest magnitude */
	FILL_BYTES,		/* the same with 8 bits */
	FILL_NAR,		/* uniform, NaR included */
	FILL_ONE_NAR,		/* of 131 codes: one in each row of 130 but the first */
	FILL_ZERO,
	FILLS,
	FILL_OCTAVES = FILLS,	/* and n more: magnitudes from 2^-n to 2^n */
};

static uint32_t pick_code(uint8_t format, enum fill fill, uint64_t *state, size_t index)
{
	unsigned int bits = xrnpe_format_bits(format);
	uint32_t mask = (uint32_t)((1ull << bits) - 1), top = mask >> 1, code, status = 0;
	bool posit = format != XRNPE_FORMAT_FP4 && format != XRNPE_FORMAT_F32;
	uint32_t sign = random_word(state) & 1;

	if (fill >= FILL_OCTAVES) {
		double value = 1 + (double)random_word(state) * 0x1p-32;

		for (uint32_t n = random_below(state, 2 * (fill - FILL_OCTAVES) + 1); n; n--)
			value *= 2;
		for (int n = FILL_OCTAVES; n < (int)fill; n++)
			value /= 2;
		return xrnpe_encode(format, sign ? -value : value, &status);
	}
	switch (fill) {
	case FILL_ZERO:
		return 0;
	case FILL_ONE_NAR:
		if (posit && index % 131 == 130)
			return top + 1;
		return pick_code(format, FILL_UNIFORM, state, index);
	case FILL_MAXPOS:
		return format == XRNPE_FORMAT_F32 ? 0x7f7fffff : top;
	case FILL_OPPOSED:
		code = pick_code(format, FILL_MAXPOS, state, index);
		return posit ? -code & mask : code | 1u << (bits - 1);
	case FILL_EXTREMES:
		code = random_below(state, 8) ? top : 1;
		if (format == XRNPE_FORMAT_F32)
			code = code == 1 ? 1 : 0x7f7fffff;
		if (!sign)
			return code;
		return posit ? -code & mask : code | 1u << (bits - 1);
	case FILL_CANCEL:
		code = index / 2 % 13 ? top - (uint32_t)(index / 2 % 3) : 1 + sign;
		if (format == XRNPE_FORMAT_F32)
			code = 0x4f000000 + (uint32_t)(index / 2 % 3);
		if (index % 2)
			return code;
		return posit ? -code & mask : code | 1u << (bits - 1);
	case FILL_MODEST:
		return xrnpe_encode(format, ((double)random_word(state) - 0x1p31) * 0x1p-30 *
				    ((double)random_word(state) * 0x1p-32), &status);
	case FILL_DIGITS:
		/* With 2^-23 as the lowest bit of all, 1 + 2^-12 has 2^11 in two digits. */
		return xrnpe_encode(format, index % 997 ? 1 + 0x1p-12 : 0x1p-23, &status);
	case FILL_BYTES:
		return xrnpe_encode(format, index % 997 ? -1 - 0x1p-8 : 0x1p-15, &status);
	default:
		code = random_word(state) & mask;
		/* One NaR would hide all the rest of a sum. */
		if (fill == FILL_UNIFORM && xrnpe_is_nar(format, code))
			return 1;
		return code;
	}
}

/* A single wild one may send all of its neighbours another way. */
static uint32_t pick_scale(bool wild, uint64_t *state)
{
	uint32_t word = random_word(state);

	if (!wild)	/* 2^-15 .. 2, some powers of two, some that are hardly tame */
		return word % 16 ? (word & (word % 3 ? 0x87ffffff : 0x87800000)) | 0x38000000 :
		       word >> 4 & 1 ? (word & 0x807fffff) | 29 << 23 : word & 0x80000000;
	switch (random_below(state, 8)) {
	case 0:
		return bits_of(0.0f);
	case 1:
		return random_word(state) & 0x807fffff;			/* subnormal */
	case 2:
		return (random_word(state) & 0x807fffff) | 0x7f000000;	/* huge */
	case 3:
		return bits_of(1.0f);
	case 4:
		return bits_of(-1.0f);
	case 5: {
		uint32_t any = random_word(state);

		return (any & 0x7f800000) == 0x7f800000 ? any ^ 0x40000000 : any;
	}
	default:
		return (random_word(state) & 0x87ffffff) | 0x38000000;	/* 2^-15 .. 2 */
	}
}

/* A command with its memory. */
struct scene {
	struct xrnpe_cmd cmd;
	struct xrnpe_span spans[XRNPE_OPERANDS];
	void *memory[XRNPE_OPERANDS];
	const uint32_t *scales;		/* or NULL: random ones */
	uint8_t *before, *expected;	/* the output, before and after */
	bool invalid;
	struct xrnpe_datapath *plain;	/* that stands in for the reference, if not NULL */
};

static bool has_no_bias(const struct xrnpe_cmd *cmd)
{
	return cmd->opcode == XRNPE_OP_ADD || cmd->opcode == XRNPE_OP_MAX || cmd->opcode == XRNPE_OP_MIN;
}

static void prepare(struct scene *scene, enum fill fill, uint64_t *state)
{
	struct xrnpe_extent extents[XRNPE_OPERANDS];
	bool wild = random_word(state) & 1;
	struct xrnpe_fault fault;
	size_t size;

	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++)
		extents[i] = (struct xrnpe_extent){ UINT32_MAX, XRNPE_REGION_READ |
						    XRNPE_REGION_WRITE };
	ck_assert_msg(xrnpe_cmd_check(&scene->cmd, 0, extents, XRNPE_OPERANDS, scene->spans, &fault),
		      "fault %u at %lu", fault.kind, (unsigned long)fault.offset);
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
		struct xrnpe_operand *o = &scene->cmd.operand[i];

		size = scene->spans[i].size;
		scene->memory[i] = size ? malloc(size) : NULL;
		if (i == XRNPE_OPERAND_SCALE) {
			for (size_t j = 0; j < size / 4; j++)
				xrnpe_store(XRNPE_FORMAT_F32, scene->memory[i], j,
					    scene->scales ? scene->scales[j] :
					    has_no_bias(&scene->cmd) && j % 2 ? 0 :
					    pick_scale(wild, state));
		} else if (i != XRNPE_OPERAND_OFM && size) {
			size_t elements = size * 8 / xrnpe_format_bits(o->format);
			enum fill how = fill;

			if (i == XRNPE_OPERAND_WEIGHT && (fill == FILL_CANCEL || fill == FILL_OPPOSED))
				how = FILL_MAXPOS;
			if (i == XRNPE_OPERAND_WEIGHT && fill > FILL_OCTAVES && scene->cmd.opcode == XRNPE_OP_CONV2D)
				how = (enum fill[]){ fill, FILL_UNIFORM, FILL_MAXPOS, FILL_NAR }[random_below(state, 4)];
			if (scene->cmd.flags & XRNPE_CMD_RESIDUAL && i == XRNPE_OPERAND_IFM2 && random_word(state) & 1)
				how = FILL_MODEST;
			for (size_t j = 0; j < elements; j++)
				xrnpe_store(o->format, scene->memory[i], j, pick_code(o->format, how, state, j));
			for (size_t j = elements * xrnpe_format_bits(o->format) / 8; j < size; j++)
				((uint8_t *)scene->memory[i])[j] = 0;
		}
	}
	size = scene->spans[XRNPE_OPERAND_OFM].size;
	scene->before = malloc(size);
	for (size_t j = 0; j < size; j++)
		scene->before[j] = (uint8_t)random_word(state);
	scene->expected = scene->memory[XRNPE_OPERAND_OFM];
	memcpy(scene->expected, scene->before, size);
	scene->invalid = false;
	if (scene->plain) {
		uint32_t status = 0;

		ck_assert_int_eq(xrnpe_datapath_run(scene->plain, &scene->cmd, 0, scene->memory, NULL, &status,
						    &fault), 0);
		scene->invalid = status & XRNPE_STATUS_INVALID;
	} else {
		ref_run(&scene->cmd, scene->memory, &scene->invalid);
	}
	scene->memory[XRNPE_OPERAND_OFM] = malloc(size);
}

static void dispose(struct scene *scene)
{
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++)
		free(scene->memory[i]);
	free(scene->before);
	free(scene->expected);
}

static void describe(const struct scene *scene, char *text, size_t size)
{
	const struct xrnpe_cmd *c = &scene->cmd;
	const struct xrnpe_dims_image *d = &c->image;
	int length = snprintf(text, size, "activation %u slope %08x flags %x lo %08x hi %08x residual %s %08x order %u scale stride %u, ",
			      c->activation, c->slope, c->flags, c->lo, c->hi,
			      xrnpe_format_name(c->operand[XRNPE_OPERAND_IFM2].format), c->residual, c->order,
			      c->operand[XRNPE_OPERAND_SCALE].row_stride);

	text += length;
	size -= (size_t)length;
	if (c->opcode == XRNPE_OP_MATMUL)
		snprintf(text, size, "matmul %s %s->%s %ux%ux%u batch %u%s, scales %u",
			 xrnpe_format_name(c->operand[XRNPE_OPERAND_IFM].format),
			 xrnpe_format_name(c->operand[XRNPE_OPERAND_WEIGHT].format),
			 xrnpe_format_name(c->operand[XRNPE_OPERAND_OFM].format), c->matmul.m, c->matmul.n,
			 c->matmul.k, c->matmul.batch, c->flags & XRNPE_CMD_TRANSPOSED ? " transposed" : "",
			 c->operand[XRNPE_OPERAND_SCALE].row_stride);
	else
		snprintf(text, size, "opcode %u %s %s->%s in %ux%ux%u out %ux%ux%u groups %u kernel %ux%u "
			 "stride %u,%u dilation %u,%u pad %u,%u", c->opcode,
			 xrnpe_format_name(c->operand[XRNPE_OPERAND_IFM].format),
			 xrnpe_format_name(c->operand[XRNPE_OPERAND_WEIGHT].format),
			 xrnpe_format_name(c->operand[XRNPE_OPERAND_OFM].format), d->in_h, d->in_w, d->in_c,
			 d->out_h, d->out_w, d->out_c, d->groups, d->kernel_h, d->kernel_w,
			 d->stride_h, d->stride_w, d->dilation_h, d->dilation_w, d->pad_top,
			 d->pad_left);
}

/* Contexts are made once a test process: every kernel that is tested, on one thread and more. */
static struct xrnpe_datapath *contexts[32];
static unsigned int context_count;

static void make_context(unsigned int threads, const char *kernel)
{
	struct xrnpe_datapath *datapath = xrnpe_datapath_new(threads, kernel);

	ck_assert_ptr_nonnull(datapath);
	ck_assert_str_eq(xrnpe_datapath_kernel(datapath), kernel);
	contexts[context_count++] = datapath;
}

static void make_contexts_of(const unsigned int *threads, size_t count)
{
	for (const char *const *kernel = xrnpe_datapath_kernels(); *kernel; kernel++) {
		for (size_t i = 0; i < count && kernel_is_tested(*kernel); i++)
			make_context(threads[i], *kernel);
	}
}

static void make_contexts(void)
{
	static const unsigned int threads[] = { 1, 2 };

	make_contexts_of(threads, 2);
}

static void free_contexts(void)
{
	while (context_count)
		xrnpe_datapath_free(contexts[--context_count]);
}

/* Run by a context, as it is or prepared. */
static void run_once(struct scene *scene, struct xrnpe_datapath *datapath, const struct xrnpe_prepared *prepared,
		     const char *text)
{
	size_t size = scene->spans[XRNPE_OPERAND_OFM].size, at = 0;
	uint8_t *out = scene->memory[XRNPE_OPERAND_OFM];
	struct xrnpe_fault fault;
	uint32_t status = 0;

	memcpy(out, scene->before, size);
	ck_assert_int_eq(prepared ?
			 xrnpe_datapath_run_prepared(datapath, prepared, scene->memory, NULL, &status) :
			 xrnpe_datapath_run(datapath, &scene->cmd, 0, scene->memory, NULL, &status, &fault), 0);
	while (at < size && out[at] == scene->expected[at])
		at++;
	ck_assert_msg(at == size, "%s, kernel %s%s: byte %zu is %02x, expected %02x", text,
		      xrnpe_datapath_kernel(datapath), prepared ? ", prepared" : "", at, out[at % size],
		      scene->expected[at % size]);
	ck_assert_msg(status == (scene->invalid ? XRNPE_STATUS_INVALID : 0), "%s: status", text);
}

static void run_everywhere(struct scene *scene)
{
	char text[300];

	describe(scene, text, sizeof(text));
	for (unsigned int i = 0; i < context_count; i++) {
		struct xrnpe_prepared *prepared =
			xrnpe_datapath_prepare(contexts[i], &scene->cmd, scene->memory, SIZE_MAX);

		ck_assert_ptr_nonnull(prepared);
		run_once(scene, contexts[i], NULL, text);
		run_once(scene, contexts[i], prepared, text);
		xrnpe_prepared_free(prepared);
	}
}

/* The codecs that belong to no kernel of this CPU, and all others once more. */
static void run_every_codec(struct scene *scene)
{
	size_t size = scene->spans[XRNPE_OPERAND_OFM].size;
	char text[300];

	describe(scene, text, sizeof(text));
	for (const struct xrnpe_codec *const *codec = xrnpe_codecs; *codec; codec++) {
		struct xrnpe_pass pass = { .cmd = &scene->cmd, .memory = scene->memory,
						 .codec = *codec };
		uint32_t status = 0;

		if (!(*codec)->supported())
			continue;
		memcpy(scene->memory[XRNPE_OPERAND_OFM], scene->before, size);
		xrnpe_pass_plan(&pass);
		for (uint64_t i = 0; i < pass.tasks; i++)
			xrnpe_pass_run(&pass, i, &status);
		ck_assert_msg(!memcmp(scene->memory[XRNPE_OPERAND_OFM], scene->expected, size),
			      "%s, codec %s", text, (*codec)->name);
		ck_assert_msg(status == (scene->invalid ? XRNPE_STATUS_INVALID : 0), "%s: status", text);
	}
}

static uint32_t pad_stride(uint8_t format, size_t bytes, uint64_t *state)
{
	size_t size = xrnpe_format_bits(format) / 8;

	return (uint32_t)(bytes + random_below(state, 4) * (size ? size : 1));
}

/* Strides of a dense tensor, every other time with a little room here and there. */
static void set_strides(struct xrnpe_operand *o, uint32_t pixels, size_t channels, uint64_t *state)
{
	o->pixel_stride = (uint32_t)xrnpe_row_bytes(o->format, channels);
	o->row_stride = pixels * o->pixel_stride;
	if (random_below(state, 2)) {
		o->pixel_stride = pad_stride(o->format, o->pixel_stride, state);
		o->row_stride = pad_stride(o->format, (size_t)pixels * o->pixel_stride, state);
	}
}

static void set_operands(struct xrnpe_cmd *cmd, uint8_t in, uint8_t second, uint8_t out)
{
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
		struct xrnpe_operand *o = &cmd->operand[i];

		if (!xrnpe_cmd_has_operand(cmd, i))
			continue;
		*o = (struct xrnpe_operand){ .region = (uint8_t)i, .format = second };
		if (i == XRNPE_OPERAND_IFM)
			o->format = in;
		if (i == XRNPE_OPERAND_OFM)
			o->format = out;
		if (i == XRNPE_OPERAND_SCALE)
			o->format = XRNPE_FORMAT_F32;
		if (i == XRNPE_OPERAND_SCALE && cmd->opcode != XRNPE_OP_CONVERT && cmd->opcode != XRNPE_OP_MUL)
			o->row_stride = sizeof(struct xrnpe_scale);
	}
}

/* A binary32 as limits and slopes have: some that are special, most about one. */
static uint32_t pick_parameter(uint64_t *state)
{
	static const uint32_t special[] = {
		0, 0x80000000, 1, 0x80000001, 0x3f800000, 0xbf800000, 0x3e000000, 0x3dcccccd, 0x3c23d70a,
		0x3f400000, 0x40a00000, 0x7f7fffff,
	};

	if (random_word(state) & 1)
		return special[random_below(state, sizeof(special) / sizeof(special[0]))];
	return pick_scale(!random_below(state, 4), state);
}

/* Any output stage of a command whose operands are set, but for strides of a residual. */
static void set_output_stage(struct xrnpe_cmd *cmd, uint64_t *state)
{
	struct xrnpe_operand *o = cmd->operand;
	bool product = cmd->opcode == XRNPE_OP_MATMUL || cmd->opcode == XRNPE_OP_CONV2D;

	cmd->activation = (uint8_t)random_below(state, product ? 4 : 3);
	if (cmd->activation == XRNPE_ACT_LEAKY)
		cmd->slope = pick_parameter(state);
	if (cmd->activation == XRNPE_ACT_PRELU)
		o[XRNPE_OPERAND_SCALE].row_stride = sizeof(struct xrnpe_scale_slope);
	if (!random_below(state, 3)) {
		cmd->flags |= XRNPE_CMD_CLAMP;
		cmd->lo = pick_parameter(state);
		cmd->hi = random_below(state, 8) ? pick_parameter(state) : cmd->lo;
		if (float_of(cmd->hi) < float_of(cmd->lo)) {
			cmd->lo ^= cmd->hi;
			cmd->hi ^= cmd->lo;
			cmd->lo ^= cmd->hi;
		}
	}
	if (product && !random_below(state, 3)) {
		cmd->flags |= XRNPE_CMD_RESIDUAL;
		cmd->residual = pick_parameter(state);
		o[XRNPE_OPERAND_IFM2] = (struct xrnpe_operand){
			.region = XRNPE_OPERAND_IFM2, .format = (uint8_t)random_below(state, XRNPE_OUTPUT_FORMATS),
		};
	}
}

/* Pairs of formats by number: the input's, and the weights'. */
#define PAIRS (XRNPE_PRODUCT_FORMATS * XRNPE_PRODUCT_FORMATS)

static uint8_t input_of(int pair)
{
	return (uint8_t)(pair % XRNPE_PRODUCT_FORMATS);
}

static uint8_t weight_of(int pair)
{
	return (uint8_t)(pair / XRNPE_PRODUCT_FORMATS);
}

/* Records of scales with or without gaps, or one for all channels. */
static void vary_scales(struct xrnpe_cmd *cmd, uint64_t *state)
{
	static const uint8_t strides[] = { 12, 20, 0, 8, 8 };
	/* A record with a slope is 12 bytes long. */
	uint32_t count = cmd->activation == XRNPE_ACT_PRELU ? 3 : sizeof(strides);

	cmd->operand[XRNPE_OPERAND_SCALE].row_stride = strides[random_below(state, count)];
}

/* A matrix of @rows rows of @columns, one of a batch or, as only an input may, all of it. */
static void set_matrix(struct xrnpe_operand *o, uint32_t rows, uint32_t columns, bool input, uint64_t *state)
{
	o->row_stride = pad_stride(o->format, xrnpe_row_bytes(o->format, columns), state);
	o->batch_stride = input && !random_below(state, 3) ? 0 :
			  pad_stride(o->format, (size_t)rows * o->row_stride, state);
}

static void test_matmul_by(struct xrnpe_datapath *plain, int pair, uint8_t out, uint32_t m,
			   uint32_t n, uint32_t k, enum fill fill, uint64_t *state)
{
	struct scene scene = {
		.cmd = { .opcode = XRNPE_OP_MATMUL, .matmul = { m, n, k, 1, { 0 } } },
		.plain = plain,
	};
	struct xrnpe_operand *o = scene.cmd.operand;
	bool transposed = !random_below(state, 4);

	if (trial_is_left_out(state))
		return;
	set_operands(&scene.cmd, input_of(pair), weight_of(pair), out);
	if (transposed)
		scene.cmd.flags |= XRNPE_CMD_TRANSPOSED;
	set_output_stage(&scene.cmd, state);
	vary_scales(&scene.cmd, state);
	if ((uint64_t)m * n * k < 1 << 16 && !random_below(state, 4))
		scene.cmd.matmul.batch = 1 + random_below(state, 3);
	set_matrix(&o[XRNPE_OPERAND_IFM], m, k, true, state);
	set_matrix(&o[XRNPE_OPERAND_WEIGHT], transposed ? k : n, transposed ? n : k, true, state);
	if (scene.cmd.flags & XRNPE_CMD_RESIDUAL)
		set_matrix(&o[XRNPE_OPERAND_IFM2], m, n, true, state);
	set_matrix(&o[XRNPE_OPERAND_OFM], m, n, false, state);
	prepare(&scene, fill, state);
	run_everywhere(&scene);
	dispose(&scene);
}

static void test_matmul(int pair, uint8_t out, uint32_t m, uint32_t n, uint32_t k,
			enum fill fill, uint64_t *state)
{
	test_matmul_by(NULL, pair, out, m, n, k, fill, state);
}

START_TEST(matmul_shapes)
{
	static const uint32_t shapes[][3] = {
		{ 1, 1, 1 }, { 1, 1, 2 }, { 1, 2, 1 }, { 2, 1, 1 }, { 3, 3, 3 }, { 1, 1, 127 },
		{ 1, 33, 31 }, { 33, 1, 17 }, { 5, 7, 63 }, { 6, 16, 64 }, { 7, 17, 65 },
		{ 9, 31, 66 }, { 13, 49, 15 }, { 2, 65, 33 }, { 65, 3, 5 }, { 17, 35, 129 },
		{ 7, 17, 449 },
	};
	uint64_t state = 1 + (uint64_t)_i;

	make_contexts();
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		for (uint8_t out = 0; out < XRNPE_OUTPUT_FORMATS; out++)
			test_matmul(_i, out, shapes[i][0], shapes[i][1], shapes[i][2],
				    (enum fill)random_below(&state, FILLS), &state);
	}
	free_contexts();
}
END_TEST

START_TEST(matmul_fills)
{
	uint64_t state = 11 + (uint64_t)_i;

	make_contexts();
	for (int fill = 0; fill < FILLS; fill++) {
		for (int i = 0; i < 6; i++)
			test_matmul(_i, (uint8_t)(random_below(&state, 2) ? input_of(_i) :
				    random_below(&state, XRNPE_OUTPUT_FORMATS)),
				    1 + random_below(&state, 20), 1 + random_below(&state, 40),
				    1 + random_below(&state, 300), fill, &state);
	}
	free_contexts();
}
END_TEST

/* The largest K with the largest operands: +2^127 grid units for Posit(16,1). */
START_TEST(matmul_longest)
{
	uint64_t state = 21 + (uint64_t)_i;

	make_contexts();
	for (int fill = 0; fill < FILLS; fill++) {
		for (uint8_t out = 0; out < XRNPE_OUTPUT_FORMATS; out++) {
			if (out != input_of(_i) && out != XRNPE_FORMAT_F32)
				continue;
			test_matmul(_i, out, 1, 2, XRNPE_MAX_K, fill, &state);
			test_matmul(_i, out, 2, 1, XRNPE_MAX_K - 1, fill, &state);
		}
	}
	free_contexts();
}
END_TEST

/* Few positions have kernels of their own. */
START_TEST(matmul_few)
{
	static const uint32_t lengths[] = {
		1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 257, 1023, 1024, 1025, 2051,
	};
	uint64_t state = 81 + (uint64_t)_i;

	make_contexts();
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		for (int fill = 0; fill < FILLS; fill++)
			test_matmul(_i, (uint8_t)random_below(&state, XRNPE_OUTPUT_FORMATS),
				    1 + random_below(&state, 3), 1 + random_below(&state, 40), lengths[i],
				    fill, &state);
	}
	/* Where any vector ends, and whatever number of them is summed in narrow lanes. */
	for (uint32_t k = 1; k < 130; k++)
		test_matmul(_i, input_of(_i), 1 + k % 2, 1 + k % 3, k, FILL_UNIFORM, &state);
	for (uint32_t k = 16; k <= 64 * 32; k += 16) {
		test_matmul(_i, XRNPE_FORMAT_F32, 3, 1, k, FILL_MAXPOS, &state);
		test_matmul(_i, XRNPE_FORMAT_F32, 1, 1, k, FILL_OPPOSED, &state);
	}
	/* As many as that, and one more. */
	for (uint32_t m = 4; m <= 13; m++)
		test_matmul(_i, input_of(_i), m, 35, 70, FILL_UNIFORM, &state);
	for (uint32_t m = 23; m <= 25; m++)
		test_matmul(_i, input_of(_i), m, 35, 70, FILL_UNIFORM, &state);
	/* A NaR anywhere, also where an odd row ends. */
	test_matmul(_i, input_of(_i), 1, 140, 130, FILL_ONE_NAR, &state);
	test_matmul(_i, input_of(_i), 1, 140, 129, FILL_ONE_NAR, &state);
	free_contexts();
}
END_TEST

/* Narrow and wide ranges, which are summed in one or in several parts. */
START_TEST(matmul_ranges)
{
	uint64_t state = 91 + (uint64_t)_i;

	make_contexts();
	for (int octaves = 0; octaves <= 28; octaves++)
		test_matmul(_i, octaves % 2 ? XRNPE_FORMAT_F32 : input_of(_i),
			    1 + (uint32_t)octaves % 3, 33, 1200, FILL_OCTAVES + octaves, &state);
	free_contexts();
}
END_TEST

/*
 * Tiles of AMX, 32 positions by 32 channels by 64 products, and about as many; and more
 * than Posit(4,1) can sum at once.
 */
START_TEST(matmul_strips)
{
	static const uint32_t shapes[][3] = {
		{ 16, 1, 64 }, { 31, 32, 65 }, { 32, 33, 128 }, { 33, 31, 63 }, { 64, 65, 1 },
		{ 70, 64, 200 }, { 33, 5, 1500 }, { 17, 3, 2977 },
	};
	uint64_t state = 101 + (uint64_t)_i;

	make_contexts();
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		for (int fill = 0; fill < FILLS; fill++)
			test_matmul(_i, (uint8_t)random_below(&state, XRNPE_OUTPUT_FORMATS),
				    shapes[i][0], shapes[i][1], shapes[i][2], fill, &state);
	}
	for (int fill = 0; fill < FILLS; fill++)
		test_matmul(_i, XRNPE_FORMAT_F32, 16, 1, XRNPE_MAX_K - (uint32_t)fill % 2, fill,
			    &state);
	free_contexts();
}
END_TEST

/*
 * Posit(16,1): L^2 + M^2 + minpos^2 - M^2 - L^2, of powers of two that one lane of any
 * vector has in this order. Whoever sums in too few parts loses the smallest.
 */
START_TEST(matmul_cancels)
{
	static const uint32_t scale[] = { 0x3f800000, 0 };	/* 1, no bias */
	struct xrnpe_cmd cmd = { .opcode = XRNPE_OP_MATMUL, .matmul = { 1, 1, 4 * 32 + 1, 1, { 0 } } };
	uint8_t x[258] = { 0 }, w[258] = { 0 }, y[4];
	void *memory[XRNPE_OPERANDS] = {
		[XRNPE_OPERAND_IFM] = x, [XRNPE_OPERAND_WEIGHT] = w,
		[XRNPE_OPERAND_SCALE] = (void *)scale, [XRNPE_OPERAND_OFM] = y,
	};

	set_operands(&cmd, XRNPE_FORMAT_P16, XRNPE_FORMAT_P16, XRNPE_FORMAT_F32);
	cmd.operand[XRNPE_OPERAND_IFM].row_stride = sizeof(x);
	cmd.operand[XRNPE_OPERAND_WEIGHT].row_stride = sizeof(w);
	cmd.operand[XRNPE_OPERAND_OFM].row_stride = sizeof(y);
	make_contexts();
	for (int large = -28; large <= 28; large++) {
		for (int middle = -28; middle <= large; middle++) {
			const int exponents[] = { large, middle, -28, middle, large };

			for (size_t i = 0; i < 5; i++) {
				uint32_t status = 0, code = xrnpe_encode(XRNPE_FORMAT_P16,
									 ldexp(1, exponents[i]), &status);

				xrnpe_store(XRNPE_FORMAT_P16, w, i * 32, code);
				xrnpe_store(XRNPE_FORMAT_P16, x, i * 32, i < 3 ? code : -code);
			}
			for (unsigned int i = 0; i < context_count; i++) {
				struct xrnpe_fault fault;
				uint32_t status = 0;

				ck_assert_int_eq(xrnpe_datapath_run(contexts[i], &cmd, 0, memory, NULL,
								    &status, &fault), 0);
				ck_assert_msg(xrnpe_load(XRNPE_FORMAT_F32, y, 0) == bits_of(0x1p-56f),
					      "kernel %s: 2^%d, 2^%d",
					      xrnpe_datapath_kernel(contexts[i]), large, middle);
			}
		}
	}
	free_contexts();
}
END_TEST

/* Sums of exactly +-2^127 (and next to it), whatever the sign of the factors. */
START_TEST(corner)
{
	enum xrnpe_format format = (enum xrnpe_format)_i;
	size_t bytes = xrnpe_row_bytes(format, XRNPE_MAX_K);
	uint32_t bits = xrnpe_format_bits(format), top = (1u << (bits - 1)) - 1;
	uint32_t low = format == XRNPE_FORMAT_FP4 ? 15 : top + 2;	/* -top */
	uint8_t *a = malloc(bytes), *b = malloc(bytes);
	double value = xrnpe_decode(format, top);

	for (int signs = 0; signs < 4; signs++) {
		for (size_t last = 0; last < 2; last++) {
			double sum = (XRNPE_MAX_K - (double)last) * value * value;
			uint32_t status = 0, f32, expected;

			for (size_t i = 0; i < XRNPE_MAX_K; i++) {
				xrnpe_store(format, a, i, signs & 1 ? low : top);
				xrnpe_store(format, b, i, signs & 2 ? low : top);
			}
			if (last)
				xrnpe_store(format, a, XRNPE_MAX_K - 1, 0);
			if (signs == 1 || signs == 2)
				sum = -sum;
			expected = bits_of((float)sum);
			f32 = xrnpe_dot(format, a, format, b, XRNPE_MAX_K, XRNPE_FORMAT_F32, &status);
			ck_assert_uint_eq(f32, expected);
		}
	}
	free(a);
	free(b);
}
END_TEST

static void test_image(struct scene *scene, enum fill fill, uint64_t *state)
{
	struct xrnpe_cmd *cmd = &scene->cmd;
	const struct xrnpe_dims_image *d = &cmd->image;
	struct xrnpe_operand *o = cmd->operand;
	bool window = cmd->opcode == XRNPE_OP_CONV2D || cmd->opcode == XRNPE_OP_MAXPOOL;

	if (trial_is_left_out(state))
		return;
	set_strides(&o[XRNPE_OPERAND_IFM], d->in_w, d->in_c, state);
	if (window)
		set_strides(&o[XRNPE_OPERAND_OFM], d->out_w, d->out_c, state);
	else
		set_strides(&o[XRNPE_OPERAND_OFM], d->in_w, d->in_c, state);
	if (cmd->opcode == XRNPE_OP_CONV2D)
		set_strides(&o[XRNPE_OPERAND_WEIGHT], (uint32_t)d->kernel_h * d->kernel_w,
			    d->in_c / d->groups, state);
	if (cmd->opcode == XRNPE_OP_ADD)
		set_strides(&o[XRNPE_OPERAND_IFM2], d->in_w, d->in_c, state);
	if (cmd->flags & XRNPE_CMD_RESIDUAL && random_below(state, 4))
		set_strides(&o[XRNPE_OPERAND_IFM2], d->out_w, d->out_c, state);
	prepare(scene, fill, state);
	run_everywhere(scene);
	if (cmd->opcode != XRNPE_OP_CONV2D)
		run_every_codec(scene);
	dispose(scene);
}

static void test_conv(int pair, uint8_t out, struct xrnpe_dims_image dims, enum fill fill,
		      uint64_t *state)
{
	struct scene scene = { .cmd = { .opcode = XRNPE_OP_CONV2D, .image = dims } };

	set_operands(&scene.cmd, input_of(pair), weight_of(pair), out);
	set_output_stage(&scene.cmd, state);
	vary_scales(&scene.cmd, state);
	test_image(&scene, fill, state);
}

START_TEST(conv_shapes)
{
	static const struct xrnpe_dims_image shapes[] = {
		/* in h, w, c; out h, w, c; groups; kernel, stride, dilation; pad */
		{ 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, { 0 } },
		{ 5, 6, 3, 5, 6, 5, 1, 3, 3, 1, 1, 1, 1, 1, 1, { 0 } },	/* odd channels */
		{ 7, 7, 6, 4, 4, 4, 2, 3, 3, 2, 2, 1, 1, 1, 1, { 0 } },	/* groups, stride */
		{ 6, 5, 7, 6, 5, 7, 7, 3, 3, 1, 1, 1, 1, 1, 1, { 0 } },	/* depthwise */
		{ 4, 4, 5, 4, 4, 10, 5, 3, 3, 1, 1, 1, 1, 1, 1, { 0 } },	/* multiplier 2 */
		{ 9, 9, 4, 5, 5, 3, 1, 3, 3, 1, 1, 2, 2, 0, 0, { 0 } },		/* dilation */
		{ 9, 8, 2, 3, 3, 2, 1, 2, 3, 3, 2, 1, 3, 0, 2, { 0 } },		/* lopsided */
		{ 3, 3, 2, 5, 7, 3, 1, 2, 2, 2, 3, 1, 1, 4, 5, { 0 } },		/* all padding */
		{ 7, 7, 9, 1, 1, 9, 9, 7, 7, 1, 1, 1, 1, 0, 0, { 0 } },		/* global average */
		{ 4, 4, 33, 4, 4, 35, 1, 1, 1, 1, 1, 1, 1, 0, 0, { 0 } },	/* 1x1 */
		{ 6, 6, 16, 6, 6, 32, 1, 3, 3, 1, 1, 1, 1, 1, 1, { 0 } },
		{ 2, 40, 8, 2, 40, 8, 1, 3, 3, 1, 1, 1, 1, 1, 1, { 0 } },
		{ 5, 5, 64, 5, 5, 64, 64, 3, 3, 1, 1, 1, 1, 1, 1, { 0 } },	/* depthwise, wide */
		{ 5, 5, 36, 3, 3, 36, 36, 3, 3, 2, 2, 1, 1, 1, 1, { 0 } },
		{ 5, 4, 6, 5, 4, 68, 2, 3, 3, 1, 1, 1, 1, 1, 1, { 0 } },	/* groups of 34 */
		{ 4, 3, 6, 4, 3, 105, 3, 3, 3, 1, 1, 1, 1, 1, 1, { 0 } },	/* of 35: odd */
		{ 6, 6, 10, 6, 6, 12, 2, 3, 2, 1, 1, 2, 2, 1, 3, { 0 } },	/* 5 in, 6 out */
		{ 4, 5, 99, 4, 5, 9, 3, 1, 2, 1, 1, 1, 1, 0, 1, { 0 } },	/* 33 in, 3 out */
		{ 2, 2, 10, 1, 2, 80, 2, 2, 2, 1, 1, 1, 1, 0, 1, { 0 } },	/* groups across tasks */
		{ 2, 40, 13, 2, 40, 2, 1, 2, 1, 1, 1, 255, 1, 254, 0, { 0 } },	/* lines far apart */
		{ 2, 40, 26, 2, 40, 2, 2, 2, 1, 1, 1, 255, 1, 254, 0, { 0 } },	/* and groups of 13 */
		{ 9, 5, 3, 9, 2, 4, 1, 3, 1, 1, 1, 1, 1, 1, 9, { 0 } },		/* left of all */
		{ 30, 9, 2, 7, 9, 2, 1, 2, 3, 4, 1, 1, 1, 0, 1, { 0 } },	/* lines left out */
		{ 40, 3, 5, 40, 3, 3, 1, 3, 3, 1, 1, 1, 1, 1, 1, { 0 } },	/* tiles of many lines */
	};
	uint64_t state = 31 + (uint64_t)_i;

	make_contexts();
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		for (uint8_t out = 0; out < XRNPE_OUTPUT_FORMATS; out++)
			test_conv(_i, out, shapes[i],
				  (enum fill)random_below(&state, FILLS), &state);
		test_conv(_i, XRNPE_FORMAT_F32, shapes[i], FILL_NAR, &state);
	}
	free_contexts();
}
END_TEST

/* One window that is all of the image, without gaps: a matrix-vector product. */
START_TEST(conv_whole)
{
	uint64_t state = 101 + (uint64_t)_i;

	make_contexts();
	for (uint16_t c = 1; c < 20; c++) {
		struct scene scene = { .cmd = { .opcode = XRNPE_OP_CONV2D, .image = {
			.in_h = 3, .in_w = 5, .in_c = c, .out_h = 1, .out_w = 1, .out_c = 37, .groups = 1,
			.kernel_h = c % 3 ? 3 : 2, .kernel_w = 5, .stride_h = 1, .stride_w = 1,
			.dilation_h = 1, .dilation_w = 1,
		} } };
		struct xrnpe_operand *o = scene.cmd.operand;

		set_operands(&scene.cmd, input_of(_i), weight_of(_i),
			     (uint8_t)random_below(&state, XRNPE_OUTPUT_FORMATS));
		for (int i = 0; i < XRNPE_OPERANDS; i++) {
			if (i != XRNPE_OPERAND_SCALE && i != XRNPE_OPERAND_IFM2)
				o[i].pixel_stride = (uint32_t)xrnpe_row_bytes(o[i].format, i == XRNPE_OPERAND_OFM ?
									      37 : c);
		}
		o[XRNPE_OPERAND_IFM].row_stride = 5 * o[XRNPE_OPERAND_IFM].pixel_stride;
		o[XRNPE_OPERAND_WEIGHT].row_stride = 15 * o[XRNPE_OPERAND_WEIGHT].pixel_stride;
		prepare(&scene, (enum fill)random_below(&state, FILLS), &state);
		run_everywhere(&scene);
		dispose(&scene);
	}
	free_contexts();
}
END_TEST

/* One input channel a group: panels, blocks and lines of all sizes. */
START_TEST(depthwise)
{
	static const struct xrnpe_dims_image shapes[] = {
		{ 5, 6, 37, 5, 6, 37, 37, 3, 3, 1, 1, 1, 1, 1, 1, { 0 } },	/* odd channels */
		{ 4, 5, 37, 4, 5, 111, 37, 3, 3, 1, 1, 1, 1, 1, 1, { 0 } },	/* multiplier 3 */
		{ 9, 9, 33, 4, 3, 33, 33, 3, 2, 2, 3, 2, 2, 2, 1, { 0 } },	/* stride, dilation */
		{ 6, 5, 16, 6, 5, 16, 16, 1, 1, 1, 1, 1, 1, 0, 0, { 0 } },	/* 1x1 */
		{ 2, 3, 300, 2, 3, 300, 300, 2, 2, 1, 1, 1, 1, 1, 0, { 0 } },	/* blocks */
		{ 2, 3, 100, 2, 3, 300, 100, 2, 2, 1, 1, 1, 1, 0, 1, { 0 } },	/* that part a group */
		{ 1, 2, 256, 1, 2, 512, 256, 1, 2, 1, 1, 1, 1, 0, 0, { 0 } },	/* as many as inputs */
		{ 2, 9, 60, 2, 9, 60, 60, 2, 1, 1, 1, 255, 1, 254, 0, { 0 } },	/* narrower ones */
		{ 2, 35, 3, 2, 35, 3, 3, 2, 1, 1, 1, 255, 1, 254, 0, { 0 } },	/* lines far apart */
		{ 16, 255, 3, 1, 1, 3, 3, 16, 255, 1, 1, 1, 1, 0, 0, { 0 } },	/* K = 4080 */
	};
	uint64_t state = 101 + (uint64_t)_i;

	make_contexts();
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		for (int fill = 0; fill < FILLS; fill++)
			test_conv(_i, (uint8_t)((fill + (int)i) % XRNPE_OUTPUT_FORMATS), shapes[i],
				  (enum fill)fill, &state);
	}
	free_contexts();
}
END_TEST

static struct xrnpe_dims_image random_window(uint64_t *state)
{
	struct xrnpe_dims_image d = {
		.in_h = (uint16_t)(1 + random_below(state, 7)),
		.in_w = (uint16_t)(1 + random_below(state, 7)),
		.out_h = (uint16_t)(1 + random_below(state, 6)),
		.out_w = (uint16_t)(1 + random_below(state, 6)),
		.groups = (uint16_t)(1 + random_below(state, 3)),
		.kernel_h = (uint8_t)(1 + random_below(state, 4)),
		.kernel_w = (uint8_t)(1 + random_below(state, 4)),
		.stride_h = (uint8_t)(1 + random_below(state, 3)),
		.stride_w = (uint8_t)(1 + random_below(state, 3)),
		.dilation_h = (uint8_t)(1 + random_below(state, 3)),
		.dilation_w = (uint8_t)(1 + random_below(state, 3)),
		.pad_top = (uint8_t)random_below(state, 4),
		.pad_left = (uint8_t)random_below(state, 4),
	};

	d.in_c = (uint16_t)(d.groups * (1 + random_below(state, 9)));
	d.out_c = (uint16_t)(d.groups * (1 + random_below(state, 9)));
	return d;
}

START_TEST(conv_random)
{
	uint64_t state = 41 + (uint64_t)_i;

	make_contexts();
	for (int i = 0; i < 60; i++)
		test_conv(_i, (uint8_t)random_below(&state, XRNPE_OUTPUT_FORMATS),
			  random_window(&state), (enum fill)random_below(&state, FILLS), &state);
	free_contexts();
}
END_TEST

/* Lines of all lengths, with few channels and many: tiles of four or seven positions side by side, and parts of them. */
START_TEST(conv_widths)
{
	static const uint16_t channels[] = { 5, 16, 23, 41 };
	uint64_t state = 91 + (uint64_t)_i;

	make_contexts();
	for (uint16_t width = 1; width <= 30; width++) {
		for (size_t i = 0; i < sizeof(channels) / sizeof(channels[0]); i++) {
			const uint16_t height = (uint16_t)(1 + random_below(&state, 6)), in_c = 1 + (uint16_t)random_below(&state, 6);
			const struct xrnpe_dims_image shape = {
				height, width, in_c, height, width, channels[i], 1, 3, 3, 1, 1, 1, 1, 1, 1, { 0 },
			};

			test_conv(_i, (uint8_t)random_below(&state, XRNPE_OUTPUT_FORMATS), shape,
				  (enum fill)random_below(&state, FILLS), &state);
		}
	}
	free_contexts();
}
END_TEST

/* So few output channels that two positions fill a vector, in lines long enough for that to pay. */
START_TEST(conv_few)
{
	static const struct xrnpe_dims_image shapes[] = {
		{ 9, 33, 6, 5, 16, 8, 1, 5, 5, 2, 2, 1, 1, 2, 2, { 0 } },	/* a first layer */
		{ 6, 24, 3, 6, 24, 7, 1, 3, 3, 1, 1, 1, 1, 1, 1, { 0 } },	/* odd channels, runs */
		{ 7, 30, 5, 4, 14, 1, 1, 4, 3, 2, 2, 1, 1, 1, 0, { 0 } },	/* one */
		{ 3, 26, 70, 3, 26, 4, 1, 3, 3, 1, 1, 1, 1, 1, 1, { 0 } },	/* more than 32 bits */
	};
	uint64_t state = 71 + (uint64_t)_i;

	make_contexts();
	for (int n = 0; n < 4 * FILLS; n++) {
		for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
			test_conv(_i, (uint8_t)random_below(&state, XRNPE_OUTPUT_FORMATS), shapes[i],
				  (enum fill)(n % FILLS), &state);
	}
	free_contexts();
}
END_TEST

/* Posit(16,1) inputs that are integers of a few bits, or of more than kernels take for such. */
START_TEST(conv_octaves)
{
	static const struct xrnpe_dims_image shapes[] = {
		{ 6, 8, 8, 6, 8, 40, 1, 3, 3, 1, 1, 1, 1, 1, 1, { 0 } },
		{ 7, 8, 4, 4, 4, 16, 2, 3, 3, 2, 2, 1, 1, 1, 1, { 0 } },	/* groups, stride */
		{ 2, 30, 6, 3, 30, 21, 1, 2, 3, 1, 1, 1, 2, 1, 2, { 0 } },	/* quads of two, dilation */
		{ 4, 4, 96, 4, 4, 33, 1, 3, 3, 1, 1, 1, 1, 1, 1, { 0 } },	/* more than 32 bits */
	};
	uint64_t state = 51 + (uint64_t)_i;

	make_contexts();
	for (int n = 0; n < 15; n++) {
		for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
			test_conv(XRNPE_FORMAT_P16 + _i * XRNPE_PRODUCT_FORMATS,
				  (uint8_t)random_below(&state, XRNPE_OUTPUT_FORMATS), shapes[i],
				  (enum fill)(FILL_OCTAVES + n), &state);
	}
	free_contexts();
}
END_TEST

/* Windows of 3 x 3 that are many enough for transforms to pay. */
START_TEST(conv_squares)
{
	static const struct xrnpe_dims_image shapes[] = {
		{ 23, 21, 9, 23, 21, 40, 1, 3, 3, 1, 1, 1, 1, 1, 1, { 0 } },	/* parts of squares */
		{ 20, 16, 16, 20, 16, 34, 2, 3, 3, 1, 1, 1, 1, 1, 1, { 0 } },	/* groups */
		{ 14, 30, 12, 12, 28, 33, 1, 3, 3, 1, 1, 1, 1, 0, 0, { 0 } },	/* no padding */
		{ 10, 14, 8, 18, 20, 24, 1, 3, 3, 1, 1, 1, 1, 5, 4, { 0 } },	/* much, cut at the right */
		{ 20, 20, 32, 20, 20, 72, 1, 3, 3, 1, 1, 1, 1, 1, 1, { 0 } },	/* several panels */
	};
	static const enum fill fills[] = { FILL_MODEST, FILL_OCTAVES, FILL_OCTAVES + 4, FILL_OCTAVES + 7, FILL_ONE_NAR };
	static const unsigned int counts[] = { 1, 3 };
	uint64_t state = 61 + (uint64_t)_i;

	make_context(1, "plain");
	make_contexts_of(counts, 2);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		for (size_t j = 0; j < sizeof(fills) / sizeof(fills[0]); j++) {
			struct scene scene = {
				.cmd = { .opcode = XRNPE_OP_CONV2D, .image = shapes[i] },
				.plain = contexts[0],
			};

			set_operands(&scene.cmd, input_of(_i), weight_of(_i),
				     (uint8_t)random_below(&state, XRNPE_OUTPUT_FORMATS));
			set_output_stage(&scene.cmd, &state);
			vary_scales(&scene.cmd, &state);
			test_image(&scene, fills[j], &state);
		}
	}
	free_contexts();
}
END_TEST

START_TEST(maxpool_random)
{
	uint64_t state = 51 + (uint64_t)_i;
	int tested = 0;

	make_contexts();
	while (tested < 100) {
		struct scene scene = { .cmd = { .opcode = XRNPE_OP_MAXPOOL,
						.image = random_window(&state) } };
		struct xrnpe_extent extents[XRNPE_OPERANDS];
		struct xrnpe_span spans[XRNPE_OPERANDS];
		struct xrnpe_fault fault;

		for (unsigned int i = 0; i < XRNPE_OPERANDS; i++)
			extents[i] = (struct xrnpe_extent){ UINT32_MAX, 3 };
		if (tested % 3 == 0)	/* longer than vectors */
			scene.cmd.image.in_c = (uint16_t)(1 + random_below(&state, 80));
		scene.cmd.image.out_c = scene.cmd.image.in_c;
		scene.cmd.image.groups = 1;
		scene.cmd.operand[XRNPE_OPERAND_IFM].format = (uint8_t)_i;
		scene.cmd.operand[XRNPE_OPERAND_OFM].format = (uint8_t)_i;
		scene.cmd.operand[XRNPE_OPERAND_OFM].region = 3;
		if (!xrnpe_cmd_check(&scene.cmd, 0, extents, XRNPE_OPERANDS, spans, &fault))
			continue;	/* a window outside the image */
		test_image(&scene, (enum fill)random_below(&state, FILLS), &state);
		tested++;
	}
	free_contexts();
}
END_TEST

/* Strides without gaps or with some; those of inputs may be zero. */
static void set_pass_strides(struct xrnpe_cmd *cmd, uint64_t *state)
{
	bool gaps = random_below(state, 3);

	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
		struct xrnpe_operand *o = &cmd->operand[i];
		struct xrnpe_layout l;

		if (!xrnpe_cmd_has_operand(cmd, i) || i == XRNPE_OPERAND_SCALE || i == XRNPE_OPERAND_WEIGHT)
			continue;
		l = xrnpe_cmd_layout(cmd, i);
		o->pixel_stride = (uint32_t)xrnpe_row_bytes(o->format, l.elements);
		if (gaps)
			o->pixel_stride = pad_stride(o->format, o->pixel_stride, state);
		o->row_stride = (uint32_t)l.pixels * o->pixel_stride;
		if (gaps)
			o->row_stride = pad_stride(o->format, o->row_stride, state);
		if (i == XRNPE_OPERAND_OFM)
			continue;
		if (!random_below(state, 6))
			o->pixel_stride = 0;
		if (!random_below(state, 6))
			o->row_stride = 0;
	}
}

static void test_pass(const struct xrnpe_cmd *cmd, enum fill fill, uint64_t *state)
{
	struct scene scene = { .cmd = *cmd };

	if (trial_is_left_out(state))
		return;
	set_pass_strides(&scene.cmd, state);
	prepare(&scene, fill, state);
	run_everywhere(&scene);
	run_every_codec(&scene);
	dispose(&scene);
}

/* A few pixels of few channels, or some more of either. */
static uint16_t pick_size(uint64_t *state)
{
	static const uint16_t most[] = { 4, 9, 20, 150 };

	return (uint16_t)(1 + random_below(state, most[random_below(state, 4)]));
}

/* ADD, CONVERT, MUL, MAX and MIN. */
START_TEST(elementwise_random)
{
	uint64_t state = 61 + (uint64_t)_i;

	make_contexts();
	for (int i = 0; i < 400; i++) {
		static const uint8_t opcodes[] = { XRNPE_OP_ADD, XRNPE_OP_CONVERT, XRNPE_OP_MUL, XRNPE_OP_MAX,
						   XRNPE_OP_MIN, XRNPE_OP_CONVERT };
		struct xrnpe_cmd cmd = { .opcode = opcodes[random_below(&state, sizeof(opcodes))] };
		bool pair = cmd.opcode != XRNPE_OP_CONVERT;

		cmd.image.in_h = (uint16_t)(1 + random_below(&state, 6));
		cmd.image.in_w = pick_size(&state);
		cmd.image.in_c = pick_size(&state);
		if (!random_below(&state, 40)) {
			cmd.image.in_w = (uint16_t)(1 + random_below(&state, 2));
			cmd.image.in_c = (uint16_t)(1020 + random_below(&state, 10));
		}
		set_operands(&cmd, (uint8_t)(pair ? random_below(&state, XRNPE_PRODUCT_FORMATS) :
					     random_below(&state, XRNPE_FORMATS)),
			     (uint8_t)random_below(&state, XRNPE_PRODUCT_FORMATS), (uint8_t)_i);
		set_output_stage(&cmd, &state);
		if (pair && !random_below(&state, 3))
			cmd.flags |= XRNPE_CMD_PER_PIXEL;
		if (!pair) {
			cmd.order = (uint8_t)(random_below(&state, 2) ? random_below(&state, XRNPE_ORDERS) : 0);
			if (random_below(&state, 2))
				cmd.operand[XRNPE_OPERAND_SCALE].row_stride =
					8 + 4 * random_below(&state, 3);
		}
		test_pass(&cmd, (enum fill)random_below(&state, FILLS), &state);
	}
	free_contexts();
}
END_TEST

START_TEST(lut_random)
{
	uint64_t state = 71 + (uint64_t)_i;

	make_contexts();
	for (int i = 0; i < 80; i++) {
		struct xrnpe_cmd cmd = { .opcode = XRNPE_OP_LUT, .image = {
			.in_h = (uint16_t)(1 + random_below(&state, 6)), .in_w = pick_size(&state),
			.in_c = pick_size(&state) } };

		if (i == 0) {
			cmd.image.in_h = 9;
			cmd.image.in_w = 1;
			cmd.image.in_c = 2049;
		}
		set_operands(&cmd, (uint8_t)random_below(&state, XRNPE_PRODUCT_FORMATS), (uint8_t)_i, (uint8_t)_i);
		test_pass(&cmd, FILL_NAR, &state);
	}
	free_contexts();
}
END_TEST

START_TEST(copy_random)
{
	uint64_t state = 72 + (uint64_t)_i;

	make_contexts();
	for (int i = 0; i < 400; i++) {
		struct xrnpe_cmd cmd = { .opcode = XRNPE_OP_COPY };
		struct xrnpe_dims_copy *d = &cmd.copy;
		bool plain = random_below(&state, 2);

		d->in_h = (uint16_t)(1 + random_below(&state, i % 8 ? 6 : 70));
		d->in_w = pick_size(&state);
		d->in_c = pick_size(&state);
		d->up_h = (uint8_t)(plain ? 1 : 1 + random_below(&state, 3));
		d->up_w = (uint8_t)(plain ? 1 : 1 + random_below(&state, 3));
		d->out_h = (uint16_t)(d->in_h * d->up_h);
		d->out_w = (uint16_t)(d->in_w * d->up_w);
		d->out_c = d->in_c;
		if (random_below(&state, 2)) {
			/* Padding on all sides, or only parts of the input. */
			d->pad_h = (uint16_t)random_below(&state, 4);
			d->pad_w = (uint16_t)random_below(&state, 4);
			d->pad_c = (uint16_t)random_below(&state, 4);
			d->out_h = (uint16_t)(1 + random_below(&state, d->out_h + 5u));
			d->out_w = (uint16_t)(1 + random_below(&state, d->out_w + 9u));
			d->out_c = (uint16_t)(1 + random_below(&state, d->out_c + 9u));
		}
		d->fill = random_word(&state) >> (32 - xrnpe_format_bits((enum xrnpe_format)_i));
		cmd.order = (uint8_t)random_below(&state, XRNPE_ORDERS);
		cmd.flags = random_below(&state, 3) ? 0 : XRNPE_CMD_SPREAD;
		set_operands(&cmd, (uint8_t)_i, 0, (uint8_t)_i);
		test_pass(&cmd, FILL_NAR, &state);
	}
	free_contexts();
}
END_TEST

/* The word that was set, and nothing else. */
START_TEST(timestamp)
{
	struct xrnpe_cmd cmds[] = { { .opcode = XRNPE_OP_BARRIER }, { .opcode = XRNPE_OP_TIMESTAMP } };
	struct xrnpe_datapath *datapath = xrnpe_datapath_new(1, NULL);
	uint8_t word[10] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };
	const uint8_t expected[10] = { 0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x81, 9, 10 };
	void *memory[XRNPE_OPERANDS] = { [XRNPE_OPERAND_OFM] = word };

	ck_assert_ptr_nonnull(datapath);
	xrnpe_datapath_set_cycles(datapath, 0x8102030405060708);
	for (size_t i = 0; i < 2; i++) {
		const struct xrnpe_extent extent = { 8, XRNPE_REGION_WRITE };
		struct xrnpe_span spans[XRNPE_OPERANDS];
		struct xrnpe_fault fault;
		uint32_t status = 0;

		ck_assert(xrnpe_cmd_check(&cmds[i], 0, &extent, 1, spans, &fault));
		ck_assert_int_eq(word[0], 1);
		ck_assert_int_eq(xrnpe_datapath_run(datapath, &cmds[i], 0, memory, NULL, &status, &fault), 0);
	}
	ck_assert_mem_eq(word, expected, sizeof(expected));
	xrnpe_datapath_free(datapath);
}
END_TEST

/* Lines of whole rows and images where there are no gaps, cut again for threads. */
START_TEST(elementwise_lines)
{
	static const uint16_t shapes[][3] = { { 64, 65, 10 }, { 3, 1100, 1 }, { 2, 3, 2049 }, { 1, 1, 1 } };
	uint64_t state = 73 + (uint64_t)_i;

	make_contexts();
	for (size_t i = 0; i < 4 * sizeof(shapes) / sizeof(shapes[0]); i++) {
		const uint16_t *shape = shapes[i / 4];
		bool add = i % 2 && _i < XRNPE_FORMAT_F32;
		struct scene scene = { .cmd = { .opcode = add ? XRNPE_OP_ADD : XRNPE_OP_CONVERT } };
		struct xrnpe_operand *o = scene.cmd.operand;
		uint32_t gap = i / 2 % 2 * 4;	/* between rows */

		if (trial_is_left_out(&state))
			continue;
		scene.cmd.image.in_h = shape[0];
		scene.cmd.image.in_w = shape[1];
		scene.cmd.image.in_c = shape[2];
		set_operands(&scene.cmd, (uint8_t)_i, (uint8_t)(add ? ((size_t)_i + i) % XRNPE_FORMAT_F32 : 0),
			     (uint8_t)((i / 4 + (size_t)_i) % XRNPE_OUTPUT_FORMATS));
		for (int j = 0; j < XRNPE_OPERANDS; j++) {
			if (j == XRNPE_OPERAND_SCALE || j == XRNPE_OPERAND_WEIGHT ||
			    (j == XRNPE_OPERAND_IFM2 && !add))
				continue;
			o[j].pixel_stride = (uint32_t)xrnpe_row_bytes(o[j].format, shape[2]);
			o[j].row_stride = shape[1] * o[j].pixel_stride + gap;
		}
		if (add && gap)
			scene.cmd.flags = XRNPE_CMD_PER_PIXEL;
		prepare(&scene, FILL_NAR, &state);
		run_everywhere(&scene);
		run_every_codec(&scene);
		dispose(&scene);
	}
	free_contexts();
}
END_TEST

/*
 * Sums that miss a tie point by a little, and hit it. The first factor is such a point:
 * a posit of a bit more (for binary32 the products with three and such get one); the
 * other term is down to 2^-149 times smaller.
 */
START_TEST(near_ties)
{
	enum xrnpe_format format = (enum xrnpe_format)_i;
	uint64_t state = 75 + (uint64_t)_i;

	make_contexts();
	for (int i = 0; i < 400; i++) {
		uint8_t out = (uint8_t)(i % XRNPE_OUTPUT_FORMATS);
		bool add = i / XRNPE_OUTPUT_FORMATS % 2;
		struct scene scene = { .cmd = { .opcode = add ? XRNPE_OP_ADD : XRNPE_OP_CONVERT } };
		/* A binary32 of as many fraction bits as ties have, near 1 or anywhere. */
		uint32_t tie = random_word(&state) & 0xfffffc00;
		uint32_t little = random_word(&state);
		uint32_t scales[4];

		if (i % 3)
			tie = (tie & 0x83ffffff) | 0x3c000000;
		if (out == XRNPE_FORMAT_F32)
			tie |= 1;
		if ((tie & 0x7f800000) == 0x7f800000)
			tie ^= 0x40000000;
		/* Half of the time as little as it can be. */
		little = i / 2 % 2 ? (little & 0x80000000) + 1 : little & 0xb0000001;
		scales[0] = tie;
		scales[1] = add ? 0 : little;
		scales[2] = little;
		scales[3] = 0;
		scene.scales = scales;
		scene.cmd.image = (struct xrnpe_dims_image){ .in_h = 2, .in_w = 3, .in_c = 37 };
		set_operands(&scene.cmd, format, add ? format : 0, out);
		if (!add)
			scene.cmd.activation = i / 4 % 2;
		test_image(&scene, i % 7 ? FILL_UNIFORM : FILL_EXTREMES, &state);
	}
	free_contexts();
}
END_TEST

/* The caller's rounding mode does not matter, and stays. */
START_TEST(rounding_modes)
{
	static const int modes[] = { FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO };
	uint8_t format = (uint8_t)(_i / 3);
	uint64_t state = 79 + (uint64_t)_i;

	ck_assert_int_eq(fesetround(modes[_i % 3]), 0);
	make_contexts();
	for (uint8_t out = 0; out < XRNPE_OUTPUT_FORMATS; out++) {
		struct scene scene = { .cmd = { .opcode = XRNPE_OP_ADD } };
		struct xrnpe_operand *o = scene.cmd.operand;

		test_matmul(format * (XRNPE_PRODUCT_FORMATS + 1), out, 20, 40, 50, FILL_UNIFORM, &state);
		if (trial_is_left_out(&state))
			continue;
		scene.cmd.image = (struct xrnpe_dims_image){ .in_h = 30, .in_w = 40, .in_c = 32 };
		set_operands(&scene.cmd, format, format, out);
		set_strides(&o[XRNPE_OPERAND_IFM], 40, 32, &state);
		set_strides(&o[XRNPE_OPERAND_IFM2], 40, 32, &state);
		set_strides(&o[XRNPE_OPERAND_OFM], 40, 32, &state);
		prepare(&scene, FILL_UNIFORM, &state);
		run_everywhere(&scene);
		dispose(&scene);
	}
	ck_assert_int_eq(fegetround(), modes[_i % 3]);
	free_contexts();
}
END_TEST

/* Infinities and NaNs of binary32, and the zero times infinity. */
START_TEST(convert_special)
{
	static const struct {
		uint32_t value, scale, p8, f32, fp4, relu;
	} rows[] = {
		{ 0x7f800000, 0x3f800000, 0x80, 0x7f800000, 7, 0x7f800000 },
		{ 0xff800000, 0x3f800000, 0x80, 0xff800000, 15, 0 },
		{ 0x7f800000, 0xbf800000, 0x80, 0xff800000, 15, 0 },
		{ 0x7f800000, 0x00000000, 0x80, 0x7fc00000, 7, 0x7fc00000 },
		{ 0xffc00000, 0x3f800000, 0x80, 0x7fc00000, 7, 0x7fc00000 },
		{ 0x80000000, 0x3f800000, 0x00, 0x00000000, 0, 0 },
		{ 0x80000001, 0x3f000000, 0xff, 0x80000000, 8, 0 },
	};
	struct xrnpe_datapath *datapath = xrnpe_datapath_new(1, NULL);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const uint32_t expected[] = { rows[i].p8, rows[i].f32, rows[i].fp4, rows[i].relu };
		static const uint8_t outs[] = { XRNPE_FORMAT_P8, XRNPE_FORMAT_F32, XRNPE_FORMAT_FP4,
						XRNPE_FORMAT_F32 };

		for (int j = 0; j < 4; j++) {
			struct xrnpe_cmd cmd = { .opcode = XRNPE_OP_CONVERT, .activation = j == 3,
						 .image = { .in_h = 1, .in_w = 1, .in_c = 1 } };
			struct xrnpe_fault fault;
			uint8_t in[4], scale[8] = { 0 }, out[4] = { 0 };
			void *memory[XRNPE_OPERANDS] = {
				[XRNPE_OPERAND_IFM] = in, [XRNPE_OPERAND_SCALE] = scale,
				[XRNPE_OPERAND_OFM] = out,
			};
			uint32_t status = 0;

			set_operands(&cmd, XRNPE_FORMAT_F32, 0, outs[j]);
			xrnpe_store(XRNPE_FORMAT_F32, in, 0, rows[i].value);
			xrnpe_store(XRNPE_FORMAT_F32, scale, 0, rows[i].scale);
			ck_assert_int_eq(xrnpe_datapath_run(datapath, &cmd, 0, memory, NULL, &status,
							    &fault), 0);
			ck_assert_uint_eq(xrnpe_load(outs[j], out, 0), expected[j]);
			ck_assert_uint_eq(status, j == 2 && expected[1] == 0x7fc00000 ?
						  XRNPE_STATUS_INVALID : 0);
		}
	}
	xrnpe_datapath_free(datapath);
}
END_TEST

/*
 * Products with more weights than are decoded at a time, with groups whose outputs share
 * bytes, and with few positions, on up to five threads.
 */
START_TEST(threads)
{
	/* Odd numbers of channels in a group, and many or few positions. */
	static const struct xrnpe_dims_image groups[] = {
		{ 16, 15, 24, 16, 15, 45, 3, 3, 3, 1, 1, 1, 1, 1, 1, { 0 } },
		{ 2, 2, 405, 2, 2, 75, 15, 3, 3, 1, 1, 1, 1, 1, 1, { 0 } },
	};
	static const unsigned int counts[] = { 2, 3, 5 };
	uint8_t format = input_of(_i);
	uint64_t state = 91 + (uint64_t)_i;

	make_context(1, "plain");
	make_contexts_of(counts, 3);
	test_matmul_by(contexts[0], _i, format, 96, 96, 96, FILL_MODEST, &state);
	test_matmul_by(contexts[0], _i, format, 200, 35, 300, FILL_MODEST, &state);
	test_matmul_by(contexts[0], _i, format, 20, 130, XRNPE_MAX_K / 2, FILL_MODEST, &state);
	for (int i = 0; i < 20; i++) {
		struct scene scene = {
			.cmd = { .opcode = XRNPE_OP_CONV2D, .image = groups[i % 2] },
			.plain = contexts[0],
		};

		set_operands(&scene.cmd, format, weight_of(_i), format);
		test_image(&scene, FILL_MODEST, &state);
	}
	free_contexts();
}
END_TEST

START_TEST(illegal_scales)
{
	static const uint32_t bad[] = { 0x7f800000, 0xff800000, 0x7fc00000, 0xffffffff };
	struct xrnpe_datapath *datapath = xrnpe_datapath_new(1, NULL);
	struct xrnpe_cmd cmd = { .opcode = XRNPE_OP_MATMUL, .matmul = { 1, 4, 1, 1, { 0 } } };
	struct xrnpe_cmd add = { .opcode = XRNPE_OP_ADD, .image = { .in_h = 1, .in_w = 1, .in_c = 1 } };
	uint8_t a[1] = { 0x40 }, b[4] = { 0x40, 0x40, 0x40, 0x40 }, scale[32] = { 0 }, out[4];
	void *memory[XRNPE_OPERANDS] = {
		[XRNPE_OPERAND_IFM] = a, [XRNPE_OPERAND_IFM2] = b, [XRNPE_OPERAND_WEIGHT] = b,
		[XRNPE_OPERAND_SCALE] = scale, [XRNPE_OPERAND_OFM] = out,
	};
	struct xrnpe_fault fault;
	uint32_t status = 0;

	set_operands(&cmd, XRNPE_FORMAT_P8, XRNPE_FORMAT_P8, XRNPE_FORMAT_P8);
	cmd.operand[XRNPE_OPERAND_WEIGHT].row_stride = 1;
	cmd.operand[XRNPE_OPERAND_SCALE].offset = 1000;
	cmd.operand[XRNPE_OPERAND_SCALE].region = 5;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		for (size_t word = 0; word < 8; word++) {
			memset(scale, 0, sizeof(scale));
			memset(out, 0x55, sizeof(out));
			xrnpe_store(XRNPE_FORMAT_F32, scale, word, bad[i]);
			xrnpe_store(XRNPE_FORMAT_F32, scale, 7, bad[i]);	/* the first counts */
			ck_assert_int_eq(xrnpe_datapath_run(datapath, &cmd, 9, memory, NULL, &status,
							    &fault), -EFAULT);
			ck_assert_uint_eq(fault.kind, XRNPE_FAULT_ILLEGAL_SCALE);
			ck_assert_uint_eq(fault.cmd, 9);
			ck_assert_uint_eq(fault.operand, XRNPE_OPERAND_SCALE);
			ck_assert_uint_eq(fault.region, 5);
			ck_assert_uint_eq(fault.offset, 1000 + 4 * word);
			ck_assert_uint_eq(out[0], 0x55);
		}
	}
	/* ADD has no bias. */
	set_operands(&add, XRNPE_FORMAT_P8, XRNPE_FORMAT_P8, XRNPE_FORMAT_P8);
	memset(scale, 0, sizeof(scale));
	xrnpe_store(XRNPE_FORMAT_F32, scale, 3, 0x3f800000);
	ck_assert_int_eq(xrnpe_datapath_run(datapath, &add, 0, memory, NULL, &status, &fault), -EFAULT);
	ck_assert_uint_eq(fault.kind, XRNPE_FAULT_ILLEGAL_SCALE);
	ck_assert_uint_eq(fault.offset, 12);
	xrnpe_store(XRNPE_FORMAT_F32, scale, 3, 0x80000000);
	ck_assert_int_eq(xrnpe_datapath_run(datapath, &add, 0, memory, NULL, &status, &fault), 0);
	xrnpe_datapath_free(datapath);
}
END_TEST

static void *cancel_soon(void *cancel)
{
	usleep(20000);
	*(volatile bool *)cancel = true;
	return NULL;
}

/* Commands that would take hours end soon after they are cancelled. */
START_TEST(cancel)
{
	static const uint8_t opcodes[] = { XRNPE_OP_MATMUL, XRNPE_OP_CONV2D, XRNPE_OP_MAXPOOL,
					   XRNPE_OP_CONVERT };
	uint8_t zero[1 << 16] = { 0 };

	make_contexts();
	for (unsigned int c = 0; c < context_count; c++) {
		for (size_t i = 0; i < sizeof(opcodes); i++) {
			struct xrnpe_cmd cmd = { .opcode = opcodes[i] };
			void *memory[XRNPE_OPERANDS] = {
				[XRNPE_OPERAND_IFM] = zero, [XRNPE_OPERAND_WEIGHT] = zero,
				[XRNPE_OPERAND_SCALE] = zero, [XRNPE_OPERAND_OFM] = zero,
			};
			volatile bool flag = false;
			struct xrnpe_fault fault;
			uint32_t status = 0;
			pthread_t thread;

			/* Strides of zero: a tiny memory is enormous tensors. */
			set_operands(&cmd, XRNPE_FORMAT_P16, XRNPE_FORMAT_P16, XRNPE_FORMAT_P16);
			if (opcodes[i] == XRNPE_OP_MATMUL) {
				cmd.matmul.m = UINT32_MAX;
				cmd.matmul.n = 1000;
				cmd.matmul.k = XRNPE_MAX_K / 2;
				cmd.matmul.batch = 1;
			} else {
				cmd.image = (struct xrnpe_dims_image){ .in_h = UINT16_MAX,
					.in_w = UINT16_MAX, .in_c = 1000 };
			}
			if (opcodes[i] == XRNPE_OP_CONV2D || opcodes[i] == XRNPE_OP_MAXPOOL) {
				struct xrnpe_dims_image *d = &cmd.image;

				d->out_h = d->out_w = UINT16_MAX;
				d->out_c = 1000;
				d->groups = 1;
				d->kernel_h = d->kernel_w = 5;
				d->stride_h = d->stride_w = d->dilation_h = d->dilation_w = 1;
				d->pad_top = d->pad_left = 2;
			}
			ck_assert_int_eq(pthread_create(&thread, NULL, cancel_soon, (void *)&flag), 0);
			ck_assert_int_eq(xrnpe_datapath_run(contexts[c], &cmd, 0, memory, &flag, &status,
							    &fault), -ECANCELED);
			pthread_join(thread, NULL);
		}
	}
	free_contexts();
}
END_TEST

START_TEST(contexts_and_kernels)
{
	const char *const *kernels = xrnpe_datapath_kernels();
	struct xrnpe_datapath *datapath;

	ck_assert_str_eq(kernels[0], "plain");
	errno = 0;
	ck_assert_ptr_null(xrnpe_datapath_new(1, "no-such-kernel"));
	ck_assert_int_eq(errno, EINVAL);
	datapath = xrnpe_datapath_new(0, NULL);
	ck_assert_ptr_nonnull(datapath);
	while (kernels[1])
		kernels++;
	ck_assert_str_eq(xrnpe_datapath_kernel(datapath), kernels[0]);
	xrnpe_datapath_free(datapath);
	xrnpe_datapath_free(NULL);
}
END_TEST

TCase *datapath_run_tests(void)
{
	TCase *tests = tcase_create("run");

	tcase_set_timeout(tests, 300);
	tcase_set_tags(tests, "cpu kernel");
	tcase_add_loop_test(tests, matmul_shapes, 0, PAIRS);
	tcase_add_loop_test(tests, matmul_fills, 0, PAIRS);
	tcase_add_loop_test(tests, matmul_longest, 0, PAIRS);
	tcase_add_loop_test(tests, matmul_few, 0, PAIRS);
	tcase_add_loop_test(tests, matmul_ranges, 0, PAIRS);
	tcase_add_test(tests, matmul_cancels);
	tcase_add_loop_test(tests, matmul_strips, 0, PAIRS);
	tcase_add_loop_test(tests, corner, 0, 4);
	tcase_add_loop_test(tests, conv_shapes, 0, PAIRS);
	tcase_add_loop_test(tests, depthwise, 0, PAIRS);
	tcase_add_loop_test(tests, conv_random, 0, PAIRS);
	tcase_add_loop_test(tests, conv_few, 0, PAIRS);
	tcase_add_loop_test(tests, conv_widths, 0, PAIRS);
	tcase_add_loop_test(tests, conv_whole, 0, PAIRS);
	tcase_add_loop_test(tests, conv_octaves, 0, XRNPE_PRODUCT_FORMATS);
	tcase_add_loop_test(tests, conv_squares, 0, PAIRS);
	tcase_add_loop_test(tests, near_ties, 0, 4);
	tcase_add_loop_test(tests, rounding_modes, 0, 12);
	tcase_add_loop_test(tests, threads, 0, PAIRS);
	tcase_add_test(tests, illegal_scales);
	tcase_add_test(tests, cancel);
	tcase_add_test(tests, contexts_and_kernels);
	return tests;
}

/* Commands that are no products, so kernels differ in their codec only. */
TCase *datapath_pass_tests(void)
{
	TCase *tests = tcase_create("pass");

	tcase_set_timeout(tests, 300);
	tcase_set_tags(tests, "cpu");
	tcase_add_loop_test(tests, maxpool_random, 0, 4);
	tcase_add_loop_test(tests, elementwise_random, 0, XRNPE_OUTPUT_FORMATS);
	tcase_add_loop_test(tests, lut_random, 0, XRNPE_OUTPUT_FORMATS);
	tcase_add_loop_test(tests, copy_random, 0, XRNPE_OUTPUT_FORMATS);
	tcase_add_test(tests, timestamp);
	tcase_add_loop_test(tests, elementwise_lines, 0, 5);
	tcase_add_test(tests, convert_special);
	return tests;
}

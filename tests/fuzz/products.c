// SPDX-License-Identifier: MIT
/*
 * libFuzzer target: a legal command made from the input bytes, of any opcode,
 * shape, stride, alignment and format, gives the same bits on every kernel that
 * this CPU has. `make fuzz` runs it; driver.c runs it without libFuzzer.
 *
 * Inputs have exactly the size of their span, so that a sanitizer sees any access
 * outside it. Bytes around and between the rows of the output must stay.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/products.h"

#define WORK (1u << 20)		/* products a command, about: some milliseconds */
#define GUARD 64		/* bytes after the output */
#define THREADS 3

/* How operands are filled. */
enum fill {
	FILL_UNIFORM,		/* any code but NaR */
	FILL_ANY,		/* any code */
	FILL_ONE_NAR,		/* uniform, but for one */
	FILL_MAXPOS,
	FILL_EXTREMES,		/* maxpos and minpos of either sign */
	FILL_RANGE,		/* magnitudes in a range, as trained networks have */
	FILLS,
};

struct filling {
	enum fill fill;
	uint32_t low, codes;	/* FILL_RANGE: positive codes from low on */
};

struct source {
	const uint8_t *data;
	size_t left;
};

#define REQUIRE(what)									\
	do {										\
		if (!(what)) {								\
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);	\
			abort();							\
		}									\
	} while (0)

/* 0..limit-1; 0 when the bytes are used up. */
static uint32_t take(struct source *source, uint32_t limit)
{
	uint32_t value = 0;

	for (int i = 0; i < 2 && source->left; i++, source->left--)
		value = value << 8 | *source->data++;
	return value % limit;
}

/* 1..most, rarely a large one. */
static uint32_t dimension(struct source *source, uint32_t most)
{
	if (most > 40 && take(source, 4))
		most = 40;
	return 1 + take(source, most > 1 ? most : 1);
}

static uint32_t window(struct source *source, uint32_t usual)
{
	return take(source, take(source, 8) ? usual : 256);
}

static void tensor(struct source *source, struct xrnpe_operand *o, uint32_t format,
		   uint32_t pixels, uint32_t channels, bool matrix, bool output)
{
	uint32_t bits = xrnpe_format_bits(format), element = bits > 8 ? bits / 8 : 1;
	uint32_t pixel = (uint32_t)xrnpe_row_bytes(format, channels), stride = pixel;
	/* Only inputs may overlap. */
	bool overlap = !output && !take(source, 8);

	if (overlap)
		stride = take(source, 3) * element;
	else if (!take(source, 3))
		stride += take(source, 20) * element;
	o->format = (uint8_t)format;
	o->pixel_stride = matrix ? 0 : stride;
	o->row_stride = overlap && take(source, 2) ? take(source, 3) * element :
			(pixels - 1) * stride + pixel + take(source, 9) * element;
	o->offset = take(source, 100) * element;
}

static void make_matmul(struct source *source, struct xrnpe_cmd *cmd)
{
	struct xrnpe_dims_matmul *d = &cmd->matmul;
	uint32_t kind = take(source, 8), format = take(source, 4);

	d->batch = 1;
	if (kind == 0)
		d->k = XRNPE_MAX_K - take(source, 3);
	else
		d->k = kind == 1 ? 1 + take(source, XRNPE_MAX_K) : dimension(source, 1100);
	/* Few positions have kernels of their own. */
	d->m = take(source, 3) ? dimension(source, WORK / d->k < 300 ? WORK / d->k : 300) :
				 1 + take(source, 3);
	d->n = dimension(source, WORK / d->k / d->m < 300 ? WORK / d->k / d->m : 300);
	tensor(source, &cmd->operand[XRNPE_OPERAND_IFM], format, 1, d->k, true, false);
	tensor(source, &cmd->operand[XRNPE_OPERAND_WEIGHT], format, 1, d->k, true, false);
	tensor(source, &cmd->operand[XRNPE_OPERAND_OFM], take(source, XRNPE_OUTPUT_FORMATS), 1, d->n, true, true);
}

/* CONV2D and MAXPOOL. */
static void make_image(struct source *source, struct xrnpe_cmd *cmd)
{
	struct xrnpe_dims_image *d = &cmd->image;
	bool pool = cmd->opcode == XRNPE_OP_MAXPOOL, whole, depthwise = !pool && !take(source, 4);
	uint32_t format = take(source, 4), channels = depthwise ? 1 : dimension(source, 300), outputs;

	if (depthwise)
		d->groups = (uint16_t)dimension(source, 300);
	else
		d->groups = (uint16_t)(pool || take(source, 2) ? 1 : dimension(source, 20));
	d->kernel_h = (uint8_t)dimension(source, 5);
	d->kernel_w = (uint8_t)dimension(source, 5);
	d->stride_h = (uint8_t)(1 + take(source, 3));
	d->stride_w = (uint8_t)(1 + window(source, 3) % 255);
	d->dilation_h = (uint8_t)(1 + take(source, 3));
	d->dilation_w = (uint8_t)(1 + window(source, 3) % 255);
	d->pad_top = (uint8_t)window(source, 4);
	d->pad_left = (uint8_t)window(source, 4);
	d->in_h = (uint16_t)dimension(source, 20);
	d->in_w = (uint16_t)dimension(source, 30);
	d->in_c = (uint16_t)(d->groups * channels);
	/* One window that is all of the image? */
	whole = !take(source, 8);
	if (whole) {
		d->in_h = d->kernel_h;
		d->in_w = d->kernel_w;
		d->pad_top = d->pad_left = 0;
	}
	outputs = WORK / (d->kernel_h * d->kernel_w * channels * d->groups);
	if (pool || (depthwise && take(source, 3)))
		d->out_c = d->in_c;
	else
		d->out_c = (uint16_t)(d->groups * dimension(source, outputs < 70 ? outputs : 70));
	outputs = whole ? 1 : outputs * d->groups / d->out_c;
	d->out_h = (uint16_t)dimension(source, outputs < 16 ? outputs : 16);
	d->out_w = (uint16_t)dimension(source, outputs / d->out_h < 16 ? outputs / d->out_h : 16);
	tensor(source, &cmd->operand[XRNPE_OPERAND_IFM], format, d->in_w, d->in_c, false, false);
	if (!pool)
		tensor(source, &cmd->operand[XRNPE_OPERAND_WEIGHT], format, (uint32_t)d->kernel_h * d->kernel_w,
		       channels, false, false);
	tensor(source, &cmd->operand[XRNPE_OPERAND_OFM], pool ? format : take(source, XRNPE_OUTPUT_FORMATS), d->out_w,
	       d->out_c, false, true);
}

/* ADD and CONVERT. */
static void make_elementwise(struct source *source, struct xrnpe_cmd *cmd)
{
	struct xrnpe_dims_image *d = &cmd->image;
	uint32_t inputs = cmd->opcode == XRNPE_OP_ADD ? XRNPE_FORMAT_F32 : XRNPE_OUTPUT_FORMATS;

	d->in_h = (uint16_t)dimension(source, 12);
	d->in_w = (uint16_t)dimension(source, 30);
	d->in_c = (uint16_t)dimension(source, 600);
	tensor(source, &cmd->operand[XRNPE_OPERAND_IFM], take(source, inputs), d->in_w, d->in_c, false, false);
	if (cmd->opcode == XRNPE_OP_ADD)
		tensor(source, &cmd->operand[XRNPE_OPERAND_IFM2], take(source, inputs), d->in_w, d->in_c, false, false);
	tensor(source, &cmd->operand[XRNPE_OPERAND_OFM], take(source, XRNPE_OUTPUT_FORMATS), d->in_w, d->in_c, false, true);
}

/* A finite binary32, usually about one. */
static uint32_t parameter(struct source *source)
{
	static const uint32_t special[] = { 0, 0x80000000, 1, 0x3f800000, 0xbf000000, 0x3dcccccd };
	uint32_t kind = take(source, 8), word;

	if (kind < sizeof(special) / sizeof(special[0]))
		return special[kind];
	word = take(source, UINT16_MAX) << 16;
	word |= take(source, UINT16_MAX);
	if (kind == 6)
		return (word & 0x83ffffff) | 0x3c000000;
	return (word & 0x7f800000) == 0x7f800000 ? word ^ 0x40000000 : word;
}

/* Of a product, all of whose other fields are set. */
static void make_output_stage(struct source *source, struct xrnpe_cmd *cmd)
{
	struct xrnpe_operand *o = cmd->operand;

	cmd->activation = (uint8_t)take(source, 4);
	if (cmd->activation == XRNPE_ACT_LEAKY)
		cmd->slope = parameter(source);
	if (cmd->activation == XRNPE_ACT_PRELU)
		o[XRNPE_OPERAND_SCALE].row_stride = sizeof(struct xrnpe_scale_slope);
	if (!take(source, 3)) {
		float lo, hi;

		cmd->flags |= XRNPE_CMD_CLAMP;
		cmd->lo = parameter(source);
		cmd->hi = parameter(source);
		memcpy(&lo, &cmd->lo, sizeof(lo));
		memcpy(&hi, &cmd->hi, sizeof(hi));
		if (hi < lo) {
			memcpy(&cmd->lo, &hi, sizeof(hi));
			memcpy(&cmd->hi, &lo, sizeof(lo));
		}
	}
	if (!take(source, 3)) {
		bool matrix = cmd->opcode == XRNPE_OP_MATMUL;

		cmd->flags |= XRNPE_CMD_RESIDUAL;
		cmd->residual = parameter(source);
		tensor(source, &o[XRNPE_OPERAND_IFM2], take(source, XRNPE_OUTPUT_FORMATS),
		       matrix ? 1 : cmd->image.out_w, matrix ? cmd->matmul.n : cmd->image.out_c, matrix, false);
	}
}

static void make_command(struct source *source, struct xrnpe_cmd *cmd)
{
	/* Products are what has kernels. */
	static const uint8_t opcodes[] = {
		XRNPE_OP_MATMUL, XRNPE_OP_MATMUL, XRNPE_OP_MATMUL, XRNPE_OP_CONV2D, XRNPE_OP_CONV2D,
		XRNPE_OP_CONV2D, XRNPE_OP_ADD, XRNPE_OP_CONVERT, XRNPE_OP_MAXPOOL,
	};

	memset(cmd, 0, sizeof(*cmd));
	cmd->opcode = opcodes[take(source, sizeof(opcodes))];
	if (cmd->opcode == XRNPE_OP_MATMUL)
		make_matmul(source, cmd);
	else if (cmd->opcode == XRNPE_OP_CONV2D || cmd->opcode == XRNPE_OP_MAXPOOL)
		make_image(source, cmd);
	else
		make_elementwise(source, cmd);
	if (cmd->opcode != XRNPE_OP_MAXPOOL) {
		cmd->activation = (uint8_t)take(source, 2);
		cmd->operand[XRNPE_OPERAND_SCALE].format = XRNPE_FORMAT_F32;
		if (cmd->opcode != XRNPE_OP_CONVERT)
			cmd->operand[XRNPE_OPERAND_SCALE].row_stride = sizeof(struct xrnpe_scale);
		if (cmd->opcode == XRNPE_OP_MATMUL || cmd->opcode == XRNPE_OP_CONV2D)
			make_output_stage(source, cmd);
	}
}

static uint32_t make_code(uint32_t format, const struct filling *filling, uint64_t *random)
{
	unsigned int bits = xrnpe_format_bits(format);
	uint32_t sign = 1u << (bits - 1), mask = sign | (sign - 1), word = random_word(random), code;

	switch (filling->fill) {
	case FILL_MAXPOS:
		return format == XRNPE_FORMAT_F32 ? 0x7f7fffff : sign - 1;
	case FILL_EXTREMES:
		code = !(word & 14) ? 1 : format == XRNPE_FORMAT_F32 ? 0x7f7fffff : sign - 1;
		break;
	case FILL_RANGE:
		code = filling->low + (word >> 1) % filling->codes;
		break;
	default:
		code = word & mask;
		return filling->fill != FILL_ANY && xrnpe_is_nar(format, code) ? 1 : code;
	}
	if (!(word & 1))
		return code;
	return format == XRNPE_FORMAT_FP4 || format == XRNPE_FORMAT_F32 ? code | sign : -code & mask;
}

/* A finite binary32, but for one in some thousands of @wild ones. */
static uint32_t make_scale(bool wild, uint64_t *random)
{
	uint32_t word = random_word(random), kind = random_word(random) % 8;

	if (!wild || kind > 3)
		return (word & 0x87ffffff) | 0x38000000;	/* 2^-15 .. 2 */
	if (kind == 3)
		return word & 0x80000000;
	if (kind == 2)
		return word & 0x807fffff;			/* subnormal */
	if ((word & 0x7f800000) == 0x7f800000 && random_word(random) % 32)
		return word ^ 0x40000000;
	return word;
}

static void fill_operand(struct source *source, const struct xrnpe_cmd *cmd, unsigned int i,
			 uint8_t *memory, size_t size, uint64_t *random)
{
	uint32_t format = cmd->operand[i].format;
	size_t count = size * 8 / xrnpe_format_bits(format);
	uint32_t sign = 1u << (xrnpe_format_bits(format) - 1);
	struct filling filling = { .fill = (enum fill)take(source, FILLS) };
	bool wild = take(source, 2);

	filling.low = (uint32_t)((uint64_t)sign * take(source, 1024) >> 10);
	filling.codes = 1 + ((sign - 1 - filling.low) >> take(source, 8));
	for (size_t j = 0; j < count; j++) {
		uint32_t code;

		if (i != XRNPE_OPERAND_SCALE)
			code = make_code(format, &filling, random);
		else if (cmd->opcode == XRNPE_OP_ADD && j % 2)
			code = 0;
		else
			code = make_scale(wild, random);
		xrnpe_store(format, memory, j, code);
	}
	if (i != XRNPE_OPERAND_SCALE && filling.fill == FILL_ONE_NAR)
		xrnpe_store(format, memory, random_word(random) % count,
			    format == XRNPE_FORMAT_F32 ? 0x7fc00000 : sign);
}

static void describe(const struct xrnpe_cmd *cmd)
{
	const struct xrnpe_dims_image *d = &cmd->image;

	fprintf(stderr, "opcode %u activation %u slope %08x flags %x lo %08x hi %08x residual %08x", cmd->opcode,
		cmd->activation, cmd->slope, cmd->flags, cmd->lo, cmd->hi, cmd->residual);
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++)
		fprintf(stderr, ", %s strides %u %u", xrnpe_format_name(cmd->operand[i].format),
			cmd->operand[i].row_stride, cmd->operand[i].pixel_stride);
	if (cmd->opcode == XRNPE_OP_MATMUL)
		fprintf(stderr, ", %ux%ux%u\n", cmd->matmul.m, cmd->matmul.n, cmd->matmul.k);
	else
		fprintf(stderr, ", in %ux%ux%u out %ux%ux%u groups %u kernel %ux%u stride %u,%u "
			"dilation %u,%u pad %u,%u\n", d->in_h, d->in_w, d->in_c, d->out_h, d->out_w,
			d->out_c, d->groups, d->kernel_h, d->kernel_w, d->stride_h, d->stride_w,
			d->dilation_h, d->dilation_w, d->pad_top, d->pad_left);
}

/* Set the bytes of @span that belong to elements to 0. */
static void clear_elements(const struct xrnpe_cmd *cmd, uint8_t *span)
{
	const struct xrnpe_operand *o = &cmd->operand[XRNPE_OPERAND_OFM];
	const struct xrnpe_dims_image *d = &cmd->image;
	uint32_t rows = d->out_h, pixels = d->out_w, channels = d->out_c;

	if (cmd->opcode == XRNPE_OP_MATMUL) {
		rows = cmd->matmul.m;
		pixels = 1;
		channels = cmd->matmul.n;
	} else if (!rows) {
		rows = d->in_h;
		pixels = d->in_w;
		channels = d->in_c;
	}
	for (uint32_t y = 0; y < rows; y++) {
		for (uint32_t x = 0; x < pixels; x++)
			memset(span + (size_t)y * o->row_stride + (size_t)x * o->pixel_stride, 0,
			       xrnpe_row_bytes(o->format, channels));
	}
}

/* What a run leaves behind. */
struct outcome {
	int result;
	uint32_t status;
	struct xrnpe_fault fault;
	uint8_t *output;
};

static void run(const char *kernel, unsigned int threads, const struct xrnpe_cmd *cmd,
		void *memory[XRNPE_OPERANDS], size_t before, struct outcome *outcome)
{
	/* Made at the first use, and kept: threads are costly. */
	static struct {
		const char *kernel;
		struct xrnpe_datapath *datapath[THREADS];
	} contexts[16];
	size_t i = 0;

	while (contexts[i].kernel && strcmp(contexts[i].kernel, kernel))
		i++;
	contexts[i].kernel = kernel;
	if (!contexts[i].datapath[threads])
		contexts[i].datapath[threads] = xrnpe_datapath_new(threads + 1, kernel);
	REQUIRE(contexts[i].datapath[threads]);
	outcome->status = 0;
	memset(&outcome->fault, 0, sizeof(outcome->fault));
	memory[XRNPE_OPERAND_OFM] = outcome->output + before;
	outcome->result = xrnpe_datapath_run(contexts[i].datapath[threads], cmd, 0, memory, NULL,
					     &outcome->status, &outcome->fault);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct source source = { data, size };
	struct xrnpe_extent extent = { UINT64_MAX, XRNPE_REGION_READ | XRNPE_REGION_WRITE };
	struct xrnpe_span spans[XRNPE_OPERANDS];
	uint8_t *block[XRNPE_OPERANDS] = { NULL }, *before;
	void *memory[XRNPE_OPERANDS] = { NULL };
	struct outcome plain, other;
	size_t align = 0, bytes = 0;
	struct xrnpe_cmd cmd;
	unsigned int threads;
	uint64_t random;

	make_command(&source, &cmd);
	if (!xrnpe_cmd_check(&cmd, 0, &extent, 1, spans, &plain.fault)) {
		/* A window outside the image. */
		REQUIRE(cmd.opcode == XRNPE_OP_MAXPOOL);
		return 0;
	}
	random = take(&source, UINT16_MAX) + 1;
	threads = take(&source, THREADS);
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
		align = take(&source, 65);
		bytes = align + spans[i].size;
		if (i == XRNPE_OPERAND_OFM || !spans[i].size)
			continue;
		block[i] = malloc(bytes);
		REQUIRE(block[i]);
		memory[i] = block[i] + align;
		fill_operand(&source, &cmd, i, memory[i], spans[i].size, &random);
	}
	bytes += GUARD;
	before = malloc(bytes);
	plain.output = malloc(bytes);
	other.output = malloc(bytes);
	REQUIRE(before && plain.output && other.output);
	for (size_t i = 0; i < bytes; i++)
		before[i] = (uint8_t)random_word(&random);
	memcpy(plain.output, before, bytes);
	run("plain", 0, &cmd, memory, align, &plain);
	for (const char *const *kernel = xrnpe_datapath_kernels(); *kernel; kernel++) {
		size_t at = 0;

		memcpy(other.output, before, bytes);
		run(*kernel, threads, &cmd, memory, align, &other);
		while (at < bytes && other.output[at] == plain.output[at])
			at++;
		if (at == bytes && other.result == plain.result && other.status == plain.status &&
		    !memcmp(&other.fault, &plain.fault, sizeof(plain.fault)))
			continue;
		fprintf(stderr, "%s on %u threads differs from plain: byte %zu of %" PRIu64
			", result %d and %d, status %x and %x\n", *kernel, threads + 1, at - align,
			spans[XRNPE_OPERAND_OFM].size, other.result, plain.result, other.status,
			plain.status);
		describe(&cmd);
		abort();
	}
	/* What is left must have stayed. */
	if (!plain.result) {
		clear_elements(&cmd, plain.output + align);
		clear_elements(&cmd, before + align);
	}
	REQUIRE(!memcmp(plain.output, before, bytes));
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++)
		free(block[i]);
	free(before);
	free(plain.output);
	free(other.output);
	return 0;
}

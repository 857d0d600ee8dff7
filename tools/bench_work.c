// SPDX-License-Identifier: MIT
/* Products that are measured: a command and its memory. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

void bench_dispose(struct bench_work *work)
{
	for (int i = 0; i < XRNPE_OPERANDS; i++)
		free(work->memory[i]);
	free(work->a);
	free(work->b);
	free(work->c);
}

/* Elements of a row with what fills its last byte. */
static size_t whole_row(enum xrnpe_format format, size_t count)
{
	return xrnpe_row_bytes(format, count) * 8 / xrnpe_format_bits(format);
}

static uint32_t f32(double value)
{
	return xrnpe_encode(XRNPE_FORMAT_F32, value, &(uint32_t){ 0 });
}

/* What there is besides scales. */
static int set_output_stage(struct bench_work *work, const struct bench_options *options)
{
	struct xrnpe_operand *o = work->cmd.operand;
	uint32_t pixel = (uint32_t)xrnpe_row_bytes(options->residual, work->n);

	work->cmd.activation = (uint8_t)options->activation;
	if (options->activation == XRNPE_ACT_LEAKY)
		work->cmd.slope = f32(0.1);
	if (options->clamp) {
		work->cmd.flags |= XRNPE_CMD_CLAMP;
		work->cmd.hi = f32(6);
	}
	if (!options->has_residual)
		return 0;
	work->cmd.flags |= XRNPE_CMD_RESIDUAL;
	work->cmd.residual = f32(0.3);
	o[XRNPE_OPERAND_IFM2].format = (uint8_t)options->residual;
	o[XRNPE_OPERAND_IFM2].row_stride = pixel;
	if (work->cmd.opcode == XRNPE_OP_CONV2D) {
		o[XRNPE_OPERAND_IFM2].pixel_stride = pixel;
		o[XRNPE_OPERAND_IFM2].row_stride = pixel * work->cmd.image.out_w;
	}
	work->memory[XRNPE_OPERAND_IFM2] = bench_row(options, options->residual,
						      work->m * whole_row(options->residual, work->n), false);
	return work->memory[XRNPE_OPERAND_IFM2] ? 0 : bench_fail("memory");
}

/* Memory of @inputs, @weights and @outputs elements, rows and pixels packed. */
static int fill(struct bench_work *work, const struct bench_options *options,
		const struct bench_formats *formats, size_t inputs, size_t weights, size_t outputs)
{
	struct xrnpe_operand *o = work->cmd.operand;

	o[XRNPE_OPERAND_SCALE].format = XRNPE_FORMAT_F32;
	o[XRNPE_OPERAND_SCALE].row_stride = sizeof(struct xrnpe_scale);
	o[XRNPE_OPERAND_IFM].format = o[XRNPE_OPERAND_OFM].format = (uint8_t)formats->input;
	o[XRNPE_OPERAND_WEIGHT].format = (uint8_t)formats->weight;
	work->memory[XRNPE_OPERAND_IFM] = bench_row(options, formats->input, inputs, false);
	work->memory[XRNPE_OPERAND_WEIGHT] = bench_row(options, formats->weight, weights, true);
	work->memory[XRNPE_OPERAND_SCALE] = calloc(work->n, sizeof(struct xrnpe_scale));
	work->memory[XRNPE_OPERAND_OFM] = calloc(1, xrnpe_row_bytes(formats->input, outputs) + 1);
	work->a = calloc(work->m * work->k, sizeof(float));
	work->b = calloc(work->n * work->k, sizeof(float));
	work->c = calloc(work->m * work->n, sizeof(float));
	for (int i = 0; i < XRNPE_OPERANDS; i++) {
		if (!work->memory[i] && i != XRNPE_OPERAND_IFM2)
			return bench_fail("memory");
	}
	if (!work->a || !work->b || !work->c)
		return bench_fail("memory");
	for (size_t i = 0; i < work->n; i++)
		xrnpe_store(XRNPE_FORMAT_F32, work->memory[XRNPE_OPERAND_SCALE], 2 * i, f32(0.01));
	for (size_t i = 0; i < work->m * work->k; i++)
		work->a[i] = (float)bench_unit();
	for (size_t i = 0; i < work->n * work->k && i < BENCH_RANDOM; i++)
		work->b[i] = (float)bench_unit();
	bench_repeat(work->b, BENCH_RANDOM * sizeof(float), work->n * work->k * sizeof(float));
	return set_output_stage(work, options);
}

int bench_make_gemm(struct bench_work *work, const struct bench_options *options,
		    const struct bench_formats *formats, size_t m, size_t channels)
{
	struct xrnpe_operand *o = work->cmd.operand;

	*work = (struct bench_work){ .name = options->gemv ? "gemv" : "gemm", .m = m, .n = channels,
			       .k = options->k };
	if (options->gemv)
		work->read = channels * xrnpe_row_bytes(formats->weight, options->k);
	work->cmd.opcode = XRNPE_OP_MATMUL;
	work->cmd.matmul.m = (uint32_t)m;
	work->cmd.matmul.n = (uint32_t)channels;
	work->cmd.matmul.k = (uint32_t)options->k;
	work->cmd.matmul.batch = 1;
	o[XRNPE_OPERAND_IFM].row_stride = (uint32_t)xrnpe_row_bytes(formats->input, options->k);
	o[XRNPE_OPERAND_WEIGHT].row_stride = (uint32_t)xrnpe_row_bytes(formats->weight, options->k);
	o[XRNPE_OPERAND_OFM].row_stride = (uint32_t)xrnpe_row_bytes(formats->input, channels);
	return fill(work, options, formats, m * whole_row(formats->input, options->k),
		    channels * whole_row(formats->weight, options->k), m * whole_row(formats->input, channels));
}

int bench_make_conv(struct bench_work *work, const struct bench_options *options,
		    const struct bench_formats *formats, const struct bench_layer *layer,
		    size_t lines)
{
	struct xrnpe_dims_image *d = &work->cmd.image;
	struct xrnpe_operand *o = work->cmd.operand;
	size_t taps = (size_t)layer->kernel * layer->kernel;
	size_t pixels = lines * layer->size;

	*work = (struct bench_work){ .name = layer->name, .m = pixels, .n = layer->channels,
			       .k = taps * layer->channels / layer->groups };
	work->cmd.opcode = XRNPE_OP_CONV2D;
	*d = (struct xrnpe_dims_image){
		.in_h = (uint16_t)lines, .in_w = layer->size, .in_c = layer->channels,
		.out_h = (uint16_t)lines, .out_w = layer->size, .out_c = layer->channels,
		.groups = layer->groups, .kernel_h = layer->kernel, .kernel_w = layer->kernel,
		.stride_h = 1, .stride_w = 1, .dilation_h = 1, .dilation_w = 1,
		.pad_top = layer->kernel / 2, .pad_left = layer->kernel / 2,
	};
	for (int i = 0; i < XRNPE_OPERANDS; i++) {
		size_t channels = layer->channels;
		enum xrnpe_format format = formats->input;

		if (i == XRNPE_OPERAND_SCALE || i == XRNPE_OPERAND_IFM2)
			continue;
		if (i == XRNPE_OPERAND_WEIGHT) {
			channels /= layer->groups;
			format = formats->weight;
		}
		o[i].pixel_stride = (uint32_t)xrnpe_row_bytes(format, channels);
		o[i].row_stride = o[i].pixel_stride *
				  (i == XRNPE_OPERAND_WEIGHT ? (uint32_t)taps : layer->size);
	}
	/* A depthwise tap of 4 bits has a byte of its own: twice the elements. */
	return fill(work, options, formats, pixels * layer->channels,
		    layer->channels * taps * whole_row(formats->weight, (size_t)layer->channels / layer->groups),
		    pixels * layer->channels);
}

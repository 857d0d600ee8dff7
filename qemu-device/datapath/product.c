// SPDX-License-Identifier: MIT
/* What all kernels share: where inputs come from and how outputs leave. */
#include <string.h>

#include "kernels/kernel.h"

#define FETCHED 16	/* rows that are fetched together */
#define POLL_TAPS 256	/* of weights between looks at whether to give up */

bool xrnpe_gather(const struct xrnpe_product *product, const struct xrnpe_decoder *decoder,
		  uint64_t p, uint64_t group, void *values)
{
	const struct xrnpe_operand *o = &product->cmd->operand[XRNPE_OPERAND_IFM];
	const struct xrnpe_dims_image *d = &product->cmd->image;
	size_t channels, pixel;
	uint8_t *at = values;
	bool nar = false, dense;
	int y, x;

	if (xrnpe_cancelled(product->cancel))
		return false;
	if (product->cmd->opcode == XRNPE_OP_MATMUL)
		return decoder->decode(product, &product->ifm,
				       product->ifm.memory + p * product->ifm.row_stride, 0, product->k, values);

	channels = d->in_c / d->groups;
	pixel = channels * decoder->size;
	/* Then the pixels of a window's line are one run of elements. */
	dense = d->dilation_w == 1 && d->groups == 1 &&
		(uint64_t)o->pixel_stride * 8 == xrnpe_format_bits(product->ifm.format) * (uint64_t)channels;
	y = (int)(p / d->out_w) * d->stride_h - d->pad_top;
	x = (int)(p % d->out_w) * d->stride_w - d->pad_left;
	for (int i = 0; i < d->kernel_h; i++) {
		int line = y + i * d->dilation_h, run = 1;

		if (xrnpe_cancelled(product->cancel))
			return false;
		for (int j = 0; j < d->kernel_w; j += run, at += (size_t)run * pixel) {
			int column = x + j * d->dilation_w;
			const uint8_t *in;

			run = 1;
			if (line < 0 || line >= d->in_h || column < 0 || column >= d->in_w) {
				memset(at, decoder->zero, pixel);
				continue;
			}
			if (dense) {
				run = d->kernel_w - j;
				if (run > d->in_w - column)
					run = d->in_w - column;
			}
			in = product->ifm.memory + (uint64_t)line * product->ifm.row_stride +
			     (uint64_t)column * o->pixel_stride;
			nar |= decoder->decode(product, &product->ifm, in, group * channels,
					       (size_t)run * channels, at);
		}
	}
	return nar;
}

bool xrnpe_weights(const struct xrnpe_product *product, const struct xrnpe_decoder *decoder,
		   uint64_t n, void *values)
{
	const struct xrnpe_dims_image *d = &product->cmd->image;
	const uint8_t *row = xrnpe_weight_row(product, n);
	uint8_t *at = values;
	size_t channels, stride;
	bool nar = false;

	if (xrnpe_cancelled(product->cancel))
		return false;
	if (product->cmd->opcode == XRNPE_OP_MATMUL)
		return decoder->decode(product, &product->weight, row, 0, product->k, values);
	channels = d->in_c / d->groups;
	stride = product->cmd->operand[XRNPE_OPERAND_WEIGHT].pixel_stride;
	/* Then they are one run of elements. */
	if (stride * 8 == channels * xrnpe_format_bits(product->weight.format))
		return decoder->decode(product, &product->weight, row, 0, product->k, values);
	for (int tap = 0; tap < d->kernel_h * d->kernel_w; tap++) {
		if (tap % POLL_TAPS == POLL_TAPS - 1 && xrnpe_cancelled(product->cancel))
			return false;
		nar |= decoder->decode(product, &product->weight, row, 0, channels, at);
		row += stride;
		at += channels * decoder->size;
	}
	return nar;
}

/* The words of a channel: scale, bias, and with PRELU a slope. */
static const uint8_t *scale_record(const struct xrnpe_product *product, uint64_t n)
{
	return product->scale + n * product->cmd->operand[XRNPE_OPERAND_SCALE].row_stride;
}

static double real_from_f32(uint32_t bits)
{
	float value;

	memcpy(&value, &bits, sizeof(value));
	return (double)value;
}

void xrnpe_scales(const struct xrnpe_product *product, uint64_t n, size_t count, int unit,
		  double *scale, double *bias)
{
	const double factor = 1.0 / (double)(1ull << -unit);

	for (size_t i = 0; i < count; i++) {
		scale[i] = factor * real_from_f32(xrnpe_word(scale_record(product, n + i), 0));
		bias[i] = real_from_f32(xrnpe_word(scale_record(product, n + i), 1));
	}
}

void xrnpe_slopes(const struct xrnpe_product *product, uint64_t n, size_t count, double *slope)
{
	bool own = product->cmd->activation == XRNPE_ACT_PRELU;

	for (size_t i = 0; i < count; i++)
		slope[i] = real_from_f32(own ? xrnpe_word(scale_record(product, n + i), 2) :
					 product->cmd->slope);
}

void xrnpe_limits(const struct xrnpe_product *product, double *least, double *most)
{
	const struct xrnpe_cmd *cmd = product->cmd;

	*least = cmd->activation == XRNPE_ACT_RELU ? 0 : -__builtin_inf();
	*most = __builtin_inf();
	if (cmd->flags & XRNPE_CMD_CLAMP) {
		double lo = real_from_f32(cmd->lo);

		*least = (lo > *least ? lo : *least) + 0.0;
		*most = real_from_f32(cmd->hi) + 0.0;
	}
}

/* Where the @count positions of an operand, which starts at @start, from @p on are. */
static void place_rows(const struct xrnpe_product *product, unsigned int operand, const uint8_t *start,
		       uint64_t p, size_t count, const uint8_t **rows)
{
	const struct xrnpe_operand *o = &product->cmd->operand[operand];
	/* There are less than 2^32 positions, and a division of 64 bits takes as long as some of them. */
	uint32_t width = product->cmd->opcode == XRNPE_OP_MATMUL ? 1 : product->cmd->image.out_w;
	uint32_t x = (uint32_t)p % width;
	const uint8_t *line = start + (uint64_t)((uint32_t)p / width) * o->row_stride;
	const uint8_t *at = line + (uint64_t)x * o->pixel_stride;

	for (size_t i = 0; i < count; i++) {
		rows[i] = at;
		at += o->pixel_stride;
		if (++x == width) {
			x = 0;
			at = line += o->row_stride;
		}
	}
}

void xrnpe_output_rows(const struct xrnpe_product *product, uint64_t p, size_t count, uint8_t **rows)
{
	place_rows(product, XRNPE_OPERAND_OFM, product->ofm, p, count, (const uint8_t **)rows);
}

void xrnpe_residual_rows(const struct xrnpe_product *product, uint64_t p, size_t count, const uint8_t **rows)
{
	place_rows(product, XRNPE_OPERAND_IFM2, product->residual, p, count, rows);
}

void xrnpe_fetch_residuals(const struct xrnpe_product *product, uint64_t p, size_t rows, uint64_t n)
{
	size_t at = xrnpe_row_bytes(product->cmd->operand[XRNPE_OPERAND_IFM2].format, n);
	const uint8_t *row[FETCHED];

	for (size_t r = 0, some; product->residual && r < rows; r += some) {
		some = rows - r < FETCHED ? rows - r : FETCHED;
		xrnpe_residual_rows(product, p + r, some, row);
		for (size_t i = 0; i < some; i++)
			__builtin_prefetch(row[i] + at);
	}
}

double xrnpe_residual_factor(const struct xrnpe_product *product)
{
	return real_from_f32(product->cmd->residual);
}

uint32_t xrnpe_output(const struct xrnpe_product *product, uint64_t p, uint64_t n,
		      struct xrnpe_term sum, bool nar, uint32_t *status)
{
	const struct xrnpe_cmd *cmd = product->cmd;
	enum xrnpe_format format = cmd->operand[XRNPE_OPERAND_IFM2].format;
	const uint8_t *record = scale_record(product, n);
	uint32_t slope = cmd->activation == XRNPE_ACT_PRELU ? xrnpe_word(record, 2) : cmd->slope;
	struct xrnpe_exact x = { .nan = nar };

	if (!nar) {
		xrnpe_exact_add(&x, sum, xrnpe_term_from_f32(xrnpe_word(record, 0)));
		xrnpe_exact_add_code(&x, XRNPE_FORMAT_F32, xrnpe_word(record, 1), XRNPE_F32_ONE);
	}
	if (product->residual)
		xrnpe_exact_add_code(&x, format, xrnpe_load(format, xrnpe_residual_row(product, p), n),
				     cmd->residual);
	return xrnpe_round(product->out, xrnpe_exact_output(cmd, slope, x), status);
}

uint32_t xrnpe_output_integer(const struct xrnpe_product *product, uint64_t p, uint64_t n, int64_t sum,
			      uint32_t *status)
{
	struct xrnpe_term term = {
		.negative = sum < 0,
		.exponent = xrnpe_product_unit(product),
		.magnitude = (uint64_t)(sum < 0 ? -sum : sum),
	};

	return xrnpe_output(product, p, n, term, false, status);
}

uint32_t xrnpe_output_wrapped(const struct xrnpe_product *product, uint64_t p, uint64_t n,
			      xrnpe_u128 sum, bool negative, uint32_t *status)
{
	int unit = 2 * xrnpe_grid_unit(XRNPE_FORMAT_P16);

	return xrnpe_output(product, p, n, xrnpe_term_from_sum(sum, negative, unit), false, status);
}

void xrnpe_put(const struct xrnpe_product *product, uint64_t p, uint64_t n,
	       const uint32_t *codes, size_t count)
{
	xrnpe_pack(product->out, xrnpe_output_row(product, p), n, codes, count);
}

void xrnpe_put_nar(const struct xrnpe_product *product, const bool *which, uint8_t *row,
		   uint64_t n, size_t count, uint32_t *status)
{
	for (size_t i = 0; i < count; i++) {
		if (!which || which[i])
			xrnpe_store(product->out, row, n + i,
				    xrnpe_round(product->out, (struct xrnpe_real){ .kind = XRNPE_NAN },
						status));
	}
}

// SPDX-License-Identifier: MIT
/* What all kernels share: where inputs come from and how outputs leave. */
#include <string.h>

#include "internal.h"

static bool decode_narrow(const struct xrnpe_product *product, const uint8_t *row,
			  size_t first, size_t count, int16_t *values)
{
	bool nar = false;

	for (size_t i = 0; i < count; i++) {
		values[i] = product->narrow[xrnpe_load(product->format, row, first + i)];
		if (values[i] == XRNPE_NARROW_NAR) {
			values[i] = 0;
			nar = true;
		}
	}
	return nar;
}

static bool decode_wide(const struct xrnpe_product *product, const uint8_t *row,
			size_t first, size_t count, int64_t *values)
{
	bool nar = false;

	for (size_t i = 0; i < count; i++) {
		values[i] = xrnpe_grid(product->format, xrnpe_load(product->format, row, first + i));
		if (values[i] == XRNPE_GRID_NAR) {
			values[i] = 0;
			nar = true;
		}
	}
	return nar;
}

/* Decode @count elements to @values, of whichever width; zeros without a @row. */
static bool decode(const struct xrnpe_product *product, const uint8_t *row,
		   size_t first, size_t count, void *values, size_t at)
{
	if (product->format == XRNPE_FORMAT_P16) {
		int64_t *wide = (int64_t *)values + at;

		if (row)
			return decode_wide(product, row, first, count, wide);
		memset(wide, 0, count * sizeof(*wide));
	} else {
		int16_t *narrow = (int16_t *)values + at;

		if (row)
			return decode_narrow(product, row, first, count, narrow);
		memset(narrow, 0, count * sizeof(*narrow));
	}
	return false;
}

static bool gather(const struct xrnpe_product *product, uint64_t p, uint64_t group, void *values)
{
	const struct xrnpe_operand *o = &product->cmd->operand[XRNPE_OPERAND_IFM];
	const struct xrnpe_dims_image *d = &product->cmd->image;
	size_t channels, at = 0;
	bool nar = false;
	int y, x;

	if (product->cmd->opcode == XRNPE_OP_MATMUL)
		return decode(product, product->ifm + p * o->row_stride, 0, product->k, values, 0);

	channels = d->in_c / d->groups;
	y = (int)(p / d->out_w) * d->stride_h - d->pad_top;
	x = (int)(p % d->out_w) * d->stride_w - d->pad_left;
	for (int i = 0; i < d->kernel_h; i++) {
		int line = y + i * d->dilation_h;

		for (int j = 0; j < d->kernel_w; j++, at += channels) {
			int column = x + j * d->dilation_w;
			const uint8_t *pixel = NULL;

			if (line >= 0 && line < d->in_h && column >= 0 && column < d->in_w)
				pixel = product->ifm + (uint64_t)line * o->row_stride +
					(uint64_t)column * o->pixel_stride;
			nar |= decode(product, pixel, group * channels, channels, values, at);
		}
	}
	return nar;
}

bool xrnpe_gather_narrow(const struct xrnpe_product *product, uint64_t p,
			 uint64_t group, int16_t *values)
{
	return gather(product, p, group, values);
}

bool xrnpe_gather_wide(const struct xrnpe_product *product, uint64_t p,
		       uint64_t group, int64_t *values)
{
	return gather(product, p, group, values);
}

static bool weights(const struct xrnpe_product *product, uint64_t n, void *values)
{
	const struct xrnpe_operand *o = &product->cmd->operand[XRNPE_OPERAND_WEIGHT];
	const struct xrnpe_dims_image *d = &product->cmd->image;
	const uint8_t *row = product->weight + n * o->row_stride;
	size_t channels;
	bool nar = false;

	if (product->cmd->opcode == XRNPE_OP_MATMUL)
		return decode(product, row, 0, product->k, values, 0);
	channels = d->in_c / d->groups;
	for (size_t tap = 0; tap < (size_t)d->kernel_h * d->kernel_w; tap++)
		nar |= decode(product, row + tap * o->pixel_stride, 0, channels, values,
			      tap * channels);
	return nar;
}

bool xrnpe_weights_narrow(const struct xrnpe_product *product, uint64_t n, int16_t *values)
{
	return weights(product, n, values);
}

bool xrnpe_weights_wide(const struct xrnpe_product *product, uint64_t n, int64_t *values)
{
	return weights(product, n, values);
}

uint32_t xrnpe_output(const struct xrnpe_product *product, uint64_t n,
		      struct xrnpe_term sum, bool nar, uint32_t *status)
{
	static const struct xrnpe_term one = { .magnitude = 1 };
	struct xrnpe_real real = { .kind = XRNPE_NAN };

	if (!nar) {
		struct xrnpe_term scale, bias;

		scale = xrnpe_term_from_f32(xrnpe_load(XRNPE_FORMAT_F32, product->scale, n * 2));
		bias = xrnpe_term_from_f32(xrnpe_load(XRNPE_FORMAT_F32, product->scale, n * 2 + 1));
		real = xrnpe_sum(sum, scale, bias, one);
	}
	if (product->cmd->activation == XRNPE_ACT_RELU)
		real = xrnpe_relu(real);
	return xrnpe_round(product->out, real, status);
}

void xrnpe_put(const struct xrnpe_product *product, uint64_t p, uint64_t n,
	       const uint32_t *codes, size_t count)
{
	const struct xrnpe_operand *o = &product->cmd->operand[XRNPE_OPERAND_OFM];
	uint64_t y = p, x = 0;

	if (product->cmd->opcode == XRNPE_OP_CONV2D) {
		y = p / product->cmd->image.out_w;
		x = p % product->cmd->image.out_w;
	}
	xrnpe_pack(product->out, product->ofm + y * o->row_stride + x * o->pixel_stride,
		   n, codes, count);
}

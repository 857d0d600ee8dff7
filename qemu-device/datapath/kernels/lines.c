// SPDX-License-Identifier: MIT
/* Decoded lines of an image, see lines.h. */
#include "lines.h"

#define MOST_VALUES (1u << 17)	/* 1 MiB of the largest ones, half of a cache */
#define MOST_BYTES (2u << 20)	/* with what short lines have around their values */
#define POLL_PIXELS 1024	/* decoded one by one between looks at whether to give up */

/* Columns that windows cover. */
static size_t width_of(const struct xrnpe_dims_image *d)
{
	return (size_t)(d->out_w - 1) * d->stride_w + (size_t)(d->kernel_w - 1) * d->dilation_w + 1;
}

/* All lines from the first window's first to the last one's last have a place. */
static size_t places_of(const struct xrnpe_dims_image *d, size_t windows)
{
	return (size_t)(d->kernel_h - 1) * d->dilation_h + 1 + (windows - 1) * d->stride_h;
}

/* Bytes of a place: the values, then flags. */
static size_t pitch_of(size_t width, size_t pixel)
{
	return (width * (pixel + sizeof(bool)) + XRNPE_DECODE_SLACK + 63) / 64 * 64;
}

size_t xrnpe_lines_size(const struct xrnpe_product *product, const struct xrnpe_decoder *decoder,
			size_t channels, size_t windows)
{
	const struct xrnpe_dims_image *d = &product->cmd->image;
	size_t size, places;

	if (product->cmd->opcode == XRNPE_OP_MATMUL)
		return 0;
	places = places_of(d, windows);
	if (places * width_of(d) * channels > MOST_VALUES)
		return 0;
	size = places * (pitch_of(width_of(d), channels * decoder->size) + sizeof(struct xrnpe_line));
	return size <= MOST_BYTES ? size : 0;
}

void xrnpe_lines_start(struct xrnpe_lines *lines, const struct xrnpe_product *product,
		       const struct xrnpe_decoder *decoder, size_t first, size_t channels,
		       size_t windows, void *memory)
{
	const struct xrnpe_dims_image *d = &product->cmd->image;
	size_t width, pitch;

	*lines = (struct xrnpe_lines){ product, decoder, .first = first, .channels = channels };
	if (!xrnpe_lines_size(product, decoder, channels, windows))
		return;
	width = width_of(d);
	lines->pixel = channels * decoder->size;
	pitch = pitch_of(width, lines->pixel);
	lines->width = width;
	lines->places = places_of(d, windows);
	lines->line = (struct xrnpe_line *)((uint8_t *)memory + lines->places * pitch);
	for (size_t i = 0; i < lines->places; i++) {
		uint8_t *values = (uint8_t *)memory + i * pitch;

		lines->line[i].number = -1;
		lines->line[i].values = values;
		lines->line[i].nar = (bool *)(values + pitch - width);
	}
}

void xrnpe_lines_decode(const struct xrnpe_lines *lines, struct xrnpe_line *line)
{
	const struct xrnpe_product *product = lines->product;
	const struct xrnpe_decoder *decoder = lines->decoder;
	const struct xrnpe_operand *o = &product->cmd->operand[XRNPE_OPERAND_IFM];
	const struct xrnpe_dims_image *d = &product->cmd->image;
	size_t width = width_of(d), left = d->pad_left, right, pixel = lines->pixel;
	int64_t y = line->number - d->pad_top;
	const uint8_t *in;

	line->any_nar = line->measured = false;
	if (y < 0 || y >= d->in_h || left >= width) {
		memset(line->values, decoder->zero, width * pixel);
		return;
	}
	in = product->ifm.memory + (uint64_t)y * product->ifm.row_stride;
	right = left + d->in_w < width ? left + d->in_w : width;
	memset(line->values, decoder->zero, left * pixel);
	/* Pixels side by side are one run of elements; a NaR is looked for in each. */
	if (lines->channels != d->in_c || (d->groups > 1 && product->group_channels > 1) ||
	    (uint64_t)o->pixel_stride * 8 != xrnpe_format_bits(product->ifm.format) * (uint64_t)d->in_c ||
	    decoder->decode(product, &product->ifm, in, 0, (right - left) * d->in_c, line->values + left * pixel)) {
		memset(line->nar, 0, width);
		for (size_t x = left; x < right; x++, in += o->pixel_stride) {
			if (!(x % POLL_PIXELS) && xrnpe_cancelled(product->cancel))
				return;
			line->nar[x] = decoder->decode(product, &product->ifm, in, lines->first, lines->channels,
						       line->values + x * pixel);
			line->any_nar |= line->nar[x];
		}
	}
	memset(line->values + right * pixel, decoder->zero, (width - right) * pixel);
}

/* SPDX-License-Identifier: MIT */
/*
 * Decoded lines of an image, for windows that overlap: each line is decoded once
 * and windows are copied from it (im2col). A line holds those channels that a
 * block needs, of every column that windows cover, padding included. It is
 * decoded when a window first reaches it, and stays until its place is needed for
 * one below.
 */
#ifndef XRNPE_DATAPATH_LINES_H
#define XRNPE_DATAPATH_LINES_H

#include <string.h>

#include "kernel.h"

struct xrnpe_line {
	int64_t number;		/**< from the top of the padding on; -1: none yet */
	uint8_t *values;
	bool *nar;		/**< by column: a NaR among the pixel's channels */
	bool any_nar;
	bool measured;		/**< the next two are set: they are the kernel's */
	double most;		/**< the largest magnitude */
	uint64_t bits;		/**< of the magnitudes, or-ed together */
};

struct xrnpe_lines {
	const struct xrnpe_product *product;
	const struct xrnpe_decoder *decoder;
	size_t first, channels;	/**< those that are decoded of a pixel's, as the decoder counts */
	size_t width, pixel;	/**< columns that windows cover; bytes of a decoded pixel */
	size_t places;		/**< for lines; 0: inputs are decoded one by one */
	struct xrnpe_line *line;
};

/**
 * Bytes for lines of @channels channels, with those of the windows of @windows lines of the
 * output at a time; 0 for a MATMUL, and if they are too long or many.
 */
size_t xrnpe_lines_size(const struct xrnpe_product *product, const struct xrnpe_decoder *decoder,
			size_t channels, size_t windows);

/** Start with no line decoded. @memory: of xrnpe_lines_size(), aligned to 64. */
void xrnpe_lines_start(struct xrnpe_lines *lines, const struct xrnpe_product *product,
		       const struct xrnpe_decoder *decoder, size_t first, size_t channels,
		       size_t windows, void *memory);

/** The same with all inputs of output channel @n. */
static inline void xrnpe_lines_start_group(struct xrnpe_lines *lines,
					   const struct xrnpe_product *product,
					   const struct xrnpe_decoder *decoder, uint64_t n,
					   size_t windows, void *memory)
{
	size_t inputs = xrnpe_inputs(product);

	xrnpe_lines_start(lines, product, decoder, (size_t)(n / product->group_channels) * inputs,
			  inputs, windows, memory);
}

void xrnpe_lines_decode(const struct xrnpe_lines *lines, struct xrnpe_line *line);

/** Line @number, from the top of the padding on. */
static inline struct xrnpe_line *xrnpe_lines_at(struct xrnpe_lines *lines, uint64_t number)
{
	/* Lines of an image are less than 2^32; a division of 64 bits takes longer. */
	struct xrnpe_line *line = &lines->line[(uint32_t)number % (uint32_t)lines->places];

	if (line->number != (int64_t)number) {
		line->number = (int64_t)number;
		xrnpe_lines_decode(lines, line);
	}
	return line;
}

/* Inline, so that a kernel's instruction set does it; writes up to 63 bytes more. */
__attribute__((always_inline))
static inline void xrnpe_copy_run(uint8_t *to, const uint8_t *from, size_t size)
{
	typedef uint8_t chunk __attribute__((vector_size(64), aligned(1), may_alias));

	for (size_t i = 0; i < size; i += sizeof(chunk))
		*(chunk *)(to + i) = *(const chunk *)(from + i);
}

/**
 * The inputs of @rows positions from @p on, unless cancelled, to rows @pitch bytes apart; in @nar
 * whether any of a row is NaR. The lines are of all the channels of a group.
 * Writes up to XRNPE_DECODE_SLACK bytes past the end of a row.
 */
__attribute__((always_inline))
static inline void xrnpe_lines_gather(struct xrnpe_lines *lines, uint64_t p, size_t rows,
				      uint8_t *values, size_t pitch, bool *nar)
{
	const struct xrnpe_dims_image *d = &lines->product->cmd->image;
	/* Taps side by side are one run of elements. */
	size_t run = d->dilation_w == 1 ? d->kernel_w : 1;
	uint64_t y, x;

	if (!lines->places) {
		for (size_t r = 0; r < rows; r++)
			nar[r] = xrnpe_gather(lines->product, lines->decoder, p + r,
					      lines->first / lines->channels, values + r * pitch);
		return;
	}
	y = p / d->out_w;
	x = p % d->out_w;
	for (size_t row = 0, some; row < rows; row += some, y++, x = 0) {
		some = rows - row < d->out_w - x ? rows - row : (size_t)(d->out_w - x);
		memset(nar + row, 0, some);
		for (size_t i = 0; i < d->kernel_h; i++) {
			const struct xrnpe_line *line;

			if (xrnpe_cancelled(lines->product->cancel))
				return;
			line = xrnpe_lines_at(lines, y * d->stride_h + i * d->dilation_h);
			for (size_t r = row; r < row + some; r++) {
				size_t column = (size_t)(x + r - row) * d->stride_w;
				uint8_t *to = values + r * pitch + i * d->kernel_w * lines->pixel;

				for (size_t j = 0; j < d->kernel_w; j += run)
					xrnpe_copy_run(to + j * lines->pixel, line->values +
						       (column + j * d->dilation_w) * lines->pixel,
						       run * lines->pixel);
				for (size_t j = 0; line->any_nar && j < d->kernel_w; j++)
					nar[r] |= line->nar[column + j * d->dilation_w];
			}
		}
	}
}

#endif

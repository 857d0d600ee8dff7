/* SPDX-License-Identifier: MIT */
/*
 * Products of few positions: fully connected and recurrent layers, where reading the
 * weights is what takes the time. Each packed row of weights is read once, decoded in
 * registers and multiplied by inputs that were decoded before, in the order in which
 * the registers have the weights. What the instruction sets' kernels share.
 */
#ifndef XRNPE_DATAPATH_GEMV_H
#define XRNPE_DATAPATH_GEMV_H

#include "kernel.h"

#define GEMV_P16_POSITIONS 24	/* of Posit(16,1): tiles are faster from some more on */
#define GEMV_AHEAD 4096		/* bytes that weights are fetched ahead */
#define GEMV_PAGE 4096		/* bytes of memory whose address is looked up at once, at least */

/*
 * Processors fetch what is read in order ahead by themselves, but not beyond a page, and wait
 * where a next one's address is to be looked up. So have that done some rows before, by fetching
 * a line of each page. To fetch every line is in their way.
 */
static inline void gemv_look_up(const uint8_t *row, size_t stride)
{
	const uint8_t *next = row + (stride > GEMV_PAGE ? stride : GEMV_PAGE);
	size_t at = 0;

	do
		__builtin_prefetch(next + at);
	while ((at += GEMV_PAGE) < stride);
}

/* Whether rows of inputs, at most @most, and of weights are packed as they are multiplied. */
static inline bool gemv_suits(const struct xrnpe_product *product, uint64_t most)
{
	const struct xrnpe_dims_image *d = &product->cmd->image;
	const struct xrnpe_operand *o = product->cmd->operand;
	uint64_t pixel = d->in_c;

	if (product->cmd->opcode == XRNPE_OP_MATMUL)
		return product->positions <= most;
	/* A convolution whose only window is the image, all of it next to each other. */
	return product->positions == 1 && xrnpe_one_group(product) &&
	       d->kernel_h <= d->in_h && d->kernel_w == d->in_w && !d->pad_top && !d->pad_left &&
	       d->dilation_h == 1 && d->dilation_w == 1 &&
	       o[XRNPE_OPERAND_IFM].pixel_stride * 8ull == pixel * xrnpe_format_bits(product->ifm.format) &&
	       o[XRNPE_OPERAND_WEIGHT].pixel_stride * 8ull ==
	       pixel * xrnpe_format_bits(product->weight.format) &&
	       o[XRNPE_OPERAND_IFM].row_stride == (uint64_t)d->in_w * o[XRNPE_OPERAND_IFM].pixel_stride;
}

/* As in struct xrnpe_kernel, for channels that are finished @lanes at a time. */
static inline void gemv_shape(const struct xrnpe_product *product, unsigned int threads, uint64_t lanes,
			      struct xrnpe_block *block)
{
	/* Some tasks a thread, for balance. */
	uint64_t share = (product->channels / (threads * 8) + lanes) / lanes * lanes;

	/* Rows of transposed weights are made for a block, and should stay in a cache. */
	if (xrnpe_transposed(product))
		share = lanes;
	if (share < block->n1)
		block->n1 = share;
}

#endif

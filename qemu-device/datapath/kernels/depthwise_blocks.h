/* SPDX-License-Identifier: MIT */
/*
 * How depthwise convolutions are cut: into blocks of whole lines of the output, and of as many
 * channels as their decoded lines are not too long for. Included with LANES, the channels of a
 * panel, defined.
 */
#ifndef XRNPE_DATAPATH_DEPTHWISE_BLOCKS_H
#define XRNPE_DATAPATH_DEPTHWISE_BLOCKS_H

#include "lines.h"

#define BLOCK_CHANNELS 256	/* at the most; even */

/* Channels in a block, so that their lines are not too long; 0 if even few are. */
static inline uint64_t block_channels(const struct xrnpe_product *product, const struct xrnpe_decoder *decoder)
{
	size_t channels = BLOCK_CHANNELS;

	while (channels >= LANES && !xrnpe_lines_size(product, decoder, channels, 1))
		channels /= 2;
	return channels >= LANES ? channels : 0;
}

/* Whether output channels have one input each, in lines of which there are blocks. */
static inline bool has_blocks(const struct xrnpe_product *product, const struct xrnpe_decoder *decoder)
{
	return !xrnpe_one_group(product) && xrnpe_inputs(product) == 1 && block_channels(product, decoder);
}

/* As in struct xrnpe_kernel. */
static inline void shape_block(const struct xrnpe_product *product, const struct xrnpe_decoder *decoder,
			       unsigned int threads, struct xrnpe_block *block)
{
	const struct xrnpe_dims_image *d = &product->cmd->image;
	uint64_t channels = block_channels(product, decoder);

	if (block->n1 > channels)
		block->n1 = channels;
	/* Whole lines of the output. */
	block->p1 = (d->out_h + (uint64_t)threads - 1) / threads * d->out_w;
}

#endif

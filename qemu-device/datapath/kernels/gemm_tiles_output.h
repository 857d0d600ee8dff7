/* SPDX-License-Identifier: MIT */
/* The output stage of AVX2 and NEON, up to 8 bits. */
#ifndef XRNPE_DATAPATH_GEMM_TILES_OUTPUT_H
#define XRNPE_DATAPATH_GEMM_TILES_OUTPUT_H

#include "gemm_tiles.h"
#include "rounding.h"

/* What the output stage must know of the channels of a panel. */
struct stage {
	struct outputs outputs;		/* of sums in grid units */
	int64_t correction[LANES];	/* to be added to the sums, where inputs have an offset */
	bool nar[LANES];		/* a NaR among the channel's weights */
	bool any_nar;
};

/* Integers below 2^51 as doubles: AVX2 has no such conversion. */
INLINE reals real_of(ints value)
{
	/* The bits of 1.5 x 2^52, whose last one is worth 1. */
	return (reals)(value + 0x4338000000000000) - 0x1.8p52;
}

INLINE reals sum_at(const struct stage *stage, const int64_t *sum, size_t i)
{
	return real_of(*(const ints *)(sum + i) + *(const ints *)(stage->correction + i));
}

/* The codes of channels @n.. of position @p, up to 8 bits. */
TARGET static void finish_narrow(const struct xrnpe_product *product, const struct stage *stage,
				 const int64_t *sum, uint64_t p, uint64_t n, size_t count, uint32_t *code,
				 uint32_t *status)
{
	double value[LANES] __attribute__((aligned(64)));

	if (is_plain(product, &stage->outputs)) {
		for (size_t i = 0; i < LANES; i += REALS)
			*(reals *)(value + i) = output_sum(&stage->outputs, stage->outputs.bias, i, sum_at(stage, sum, i));
		encode_lanes(product->out, value, code);
		return;
	}
	for (size_t i = 0; i < LANES; i += REALS)
		*(reals *)(value + i) = sum_at(stage, sum, i);
	output_exact(product, &stage->outputs, value, 1, p, n, count, code, status);
}

#endif

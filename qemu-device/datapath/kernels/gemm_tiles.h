/* SPDX-License-Identifier: MIT */
/*
 * Kernels for instruction sets that have vectors but not AVX-512's comforts: what
 * AVX2 and NEON share. An instruction set brings its tiles, struct xrnpe_tiles;
 * blocks, panels of decoded weights, decoded positions and the output stage are
 * common (gemm_tiles.c); those of Posit(16,1) are apart (gemm_tiles_p16.c).
 *
 * Common code uses the compilers' portable vectors, of the size that the
 * instruction set has, and few functions that are written for each.
 */
#ifndef XRNPE_DATAPATH_GEMM_TILES_H
#define XRNPE_DATAPATH_GEMM_TILES_H

#include "kernel.h"

#ifdef __x86_64__
#include <immintrin.h>
#define TARGET __attribute__((target("avx2,fma")))
#define VECTOR 32		/* bytes */
#define REGISTER "x"
#else
#include <arm_neon.h>
#define TARGET
#define VECTOR 16
#define REGISTER "w"
#endif
#define INLINE TARGET __attribute__((always_inline)) static inline

/* ---- tiles ------------------------------------------------------------ */

#define ROWS 6			/* positions in a tile */
#define LANES 16		/* channels in a tile, and in a panel */
#define STEP_BYTES (4 * LANES)	/* of a panel, in a step */

/**
 * sum[row][lane] = or (@add) += products. A step multiplies 4 bytes of each of
 * ROWS rows at @a, @pitch apart, by 4 bytes of each of the LANES channels at @b.
 */
typedef void xrnpe_tile(const uint8_t *a, size_t pitch, const uint8_t *b, size_t steps,
			bool add, int64_t (*sum)[LANES]);

/**
 * sum[row][lane] = sums of @k products, rounded after each: of ROWS rows at @a, @pitch bytes
 * apart, and half of the LANES channels at @b.
 */
typedef void xrnpe_real_tile(const uint8_t *a, size_t pitch, const double *b, size_t k,
			     double (*sum)[LANES]);

struct xrnpe_tiles {
	/** Two 16-bit values in 4 bytes. Their sums must fit 32 bits. */
	xrnpe_tile *words;
	/** Four values of FP4 in 4 bytes, any number of steps; NULL: FP4 is words. */
	xrnpe_tile *bytes;
	/** Whether the inputs of @bytes are unsigned: 12 is added to them. */
	bool offset;
	/** For Posit(16,1). */
	xrnpe_real_tile *reals;
};

/** The functions of a struct xrnpe_kernel, given the tiles. */
struct xrnpe_tiling xrnpe_tiles_tiling(const struct xrnpe_tiles *tiles, const struct xrnpe_product *product);
size_t xrnpe_tiles_scratch(const struct xrnpe_tiles *tiles, const struct xrnpe_product *product);
void xrnpe_tiles_fill(const struct xrnpe_tiles *tiles, const struct xrnpe_product *product, uint64_t n,
		      size_t count, void *memory, void *scratch);
void xrnpe_tiles_run(const struct xrnpe_tiles *tiles, const struct xrnpe_product *product,
		     const struct xrnpe_block *block, const void *panels, void *scratch, uint32_t *status);

/** Define those of the kernel whose tiles are @tiles, and name them in its struct. */
#define TILES_FUNCTIONS(tiles)								\
	static struct xrnpe_tiling tiles##_tiling(const struct xrnpe_product *product)	\
	{										\
		return xrnpe_tiles_tiling(&tiles, product);				\
	}										\
	static size_t tiles##_scratch(const struct xrnpe_product *product,		\
				      const struct xrnpe_block *shape)			\
	{										\
		return xrnpe_tiles_scratch(&tiles, product);				\
	}										\
	static void tiles##_fill(const struct xrnpe_product *product, uint64_t n, size_t count, \
				 void *panel, void *scratch)				\
	{										\
		xrnpe_tiles_fill(&tiles, product, n, count, panel, scratch);		\
	}										\
	static void tiles##_run(const struct xrnpe_product *product, const struct xrnpe_block *block, \
				const void *panels, void *scratch, uint32_t *status)	\
	{										\
		xrnpe_tiles_run(&tiles, product, block, panels, scratch, status);	\
	}
#define TILES_KERNEL(tiles)								\
	.tiling = tiles##_tiling, .scratch = tiles##_scratch, .fill = tiles##_fill, .run = tiles##_run

/** Grid values as 16-bit words, in order, of up to 8 bits. */
const struct xrnpe_decoder *xrnpe_tiles_words(enum xrnpe_format format);

/* ---- Posit(16,1): gemm_tiles_p16.c ------------------------------------- */

struct xrnpe_tiling xrnpe_tiles_p16_tiling(const struct xrnpe_product *product);
size_t xrnpe_tiles_p16_scratch(const struct xrnpe_product *product);
void xrnpe_tiles_p16_fill(const struct xrnpe_product *product, uint64_t n, size_t count, void *memory,
			  void *scratch);
void xrnpe_tiles_p16_run(xrnpe_real_tile *tile, const struct xrnpe_product *product,
			 const struct xrnpe_block *block, const void *panels, void *memory,
			 uint32_t *status);

/* ---- few positions: gemv_tiles.c, gemv_tiles_p16.c ---------------------- */

extern const struct xrnpe_kernel xrnpe_gemv_tiles;

/** Posit(16,1), GEMV_P16_POSITIONS at the most, as in struct xrnpe_kernel. */
size_t xrnpe_tiles_few_p16_scratch(const struct xrnpe_product *product);
void xrnpe_tiles_few_p16(const struct xrnpe_product *product, const struct xrnpe_block *block,
			 void *memory, uint32_t *status);

#endif

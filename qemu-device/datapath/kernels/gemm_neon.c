// SPDX-License-Identifier: MIT
/*
 * AArch64: tiles of 6 positions by 16 channels, in 24 registers.
 *
 * SMLAL multiplies words into 32 bits; LD2 parts the two values of a step. With
 * the dot-product extension SDOT adds four products of FP4's bytes to 32 bits. Tiles of
 * doubles have 8 channels.
 */
#ifdef __AARCH64EL__

#include <string.h>
#include <sys/auxv.h>

#include "gemm_tiles.h"

INLINE void widen(int32x4_t sums, bool add, int64_t *to)
{
	int64x2_t low = vmovl_s32(vget_low_s32(sums)), high = vmovl_high_s32(sums);

	if (add) {
		low = vaddq_s64(low, vld1q_s64(to));
		high = vaddq_s64(high, vld1q_s64(to + 2));
	}
	vst1q_s64(to, low);
	vst1q_s64(to + 2, high);
}

INLINE void finish(int32x4_t sums[ROWS][4], bool add, int64_t (*sum)[LANES])
{
	/* Unrolled, lest the sums are an array in memory throughout. */
#pragma GCC unroll 6
	for (int r = 0; r < ROWS; r++) {
#pragma GCC unroll 4
		for (int i = 0; i < 4; i++)
			widen(sums[r][i], add, &sum[r][i * 4]);
	}
}

/*
 * A row's share of a step. In assembly because GCC 12 loads all rows first and
 * spills accumulators when it is given the intrinsics.
 */
#define ROW(lanes, bytes, code, acc, w, x, from)					\
	__asm__("ld1r {%4." lanes "}, %5\n\t" code					\
		: "+w"((acc)[0]), "+w"((acc)[1]), "+w"((acc)[2]), "+w"((acc)[3]), "=&x"(x) \
		: "Q"(*(const uint8_t (*)[bytes])(from)), "w"((w)[0]), "w"((w)[1]), "w"((w)[2]), \
		  "w"((w)[3]))

static void tile_words(const uint8_t *a, size_t pitch, const uint8_t *b, size_t steps,
		       bool add, int64_t (*sum)[LANES])
{
	int32x4_t acc[ROWS][4] = { { { 0 } } };

	for (size_t s = 0; s < steps; s++, a += 4, b += STEP_BYTES) {
		int16x8x2_t first = vld2q_s16((const int16_t *)b);
		int16x8x2_t last = vld2q_s16((const int16_t *)b + 16);
		int16x8_t w[4] = { first.val[0], first.val[1], last.val[0], last.val[1] };

#pragma GCC unroll 6
		for (size_t r = 0; r < ROWS; r++) {
			int32x4_t x;

			ROW("4s", 4, "smlal %0.4s, %6.4h, %4.h[0]\n\t" "smlal2 %1.4s, %6.8h, %4.h[0]\n\t"
			    "smlal %2.4s, %8.4h, %4.h[0]\n\t" "smlal2 %3.4s, %8.8h, %4.h[0]\n\t"
			    "smlal %0.4s, %7.4h, %4.h[1]\n\t" "smlal2 %1.4s, %7.8h, %4.h[1]\n\t"
			    "smlal %2.4s, %9.4h, %4.h[1]\n\t" "smlal2 %3.4s, %9.8h, %4.h[1]",
			    acc[r], w, x, a + r * pitch);
		}
	}
	finish(acc, add, sum);
}

__attribute__((target("arch=armv8.2-a+dotprod")))
static void tile_bytes(const uint8_t *a, size_t pitch, const uint8_t *b, size_t steps,
		       bool add, int64_t (*sum)[LANES])
{
	int32x4_t acc[ROWS][4] = { { { 0 } } };

	for (size_t s = 0; s < steps; s++, a += 4, b += STEP_BYTES) {
		int8x16x4_t w = vld1q_s8_x4((const int8_t *)b);

#pragma GCC unroll 6
		for (size_t r = 0; r < ROWS; r++) {
			int32x4_t x;

			ROW("4s", 4, "sdot %0.4s, %6.16b, %4.16b\n\t" "sdot %1.4s, %7.16b, %4.16b\n\t"
			    "sdot %2.4s, %8.16b, %4.16b\n\t" "sdot %3.4s, %9.16b, %4.16b",
			    acc[r], w.val, x, a + r * pitch);
		}
	}
	finish(acc, add, sum);
}

static void tile_reals(const uint8_t *a, size_t pitch, const double *b, size_t k, double (*sum)[LANES])
{
	float64x2_t acc[ROWS][4] = { { { 0 } } };

	for (; k; k--, a += sizeof(*b), b += LANES / 2) {
		float64x2x4_t w = vld1q_f64_x4(b);

#pragma GCC unroll 6
		for (size_t r = 0; r < ROWS; r++) {
			float64x2_t x;

			ROW("2d", 8, "fmla %0.2d, %6.2d, %4.2d\n\t" "fmla %1.2d, %7.2d, %4.2d\n\t"
			    "fmla %2.2d, %8.2d, %4.2d\n\t" "fmla %3.2d, %9.2d, %4.2d",
			    acc[r], w.val, x, a + r * pitch);
		}
	}
#pragma GCC unroll 6
	for (int r = 0; r < ROWS; r++) {
#pragma GCC unroll 4
		for (int i = 0; i < 4; i++)
			vst1q_f64(&sum[r][i * 2], acc[r][i]);
	}
}

static const struct xrnpe_tiles neon = { tile_words, NULL, false, tile_reals };
static const struct xrnpe_tiles dotprod = { tile_words, tile_bytes, false, tile_reals };

TILES_FUNCTIONS(neon)
TILES_FUNCTIONS(dotprod)

static bool supported_neon(void)
{
	return true;
}

static bool supported_dotprod(void)
{
	return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
}

const struct xrnpe_kernel xrnpe_kernel_neon = {
	.name = "neon",
	.codec = &xrnpe_codec_vector,
	.supported = supported_neon,
	TILES_KERNEL(neon),
	.preferred = (const struct xrnpe_kernel *const[]){
		&xrnpe_gemv_tiles, &xrnpe_depthwise, NULL,
	},
};

const struct xrnpe_kernel xrnpe_kernel_neon_dotprod = {
	.name = "neon-dotprod",
	.codec = &xrnpe_codec_vector,
	.supported = supported_dotprod,
	TILES_KERNEL(dotprod),
	.preferred = (const struct xrnpe_kernel *const[]){
		&xrnpe_gemv_tiles, &xrnpe_depthwise, NULL,
	},
};

#endif

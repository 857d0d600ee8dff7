// SPDX-License-Identifier: MIT
/*
 * AVX2: tiles of 6 positions by 16 channels, in 12 registers.
 *
 * vpmaddwd multiplies words and adds pairs in 32 bits. FP4's bytes take vpmaddubsw,
 * for which the inputs are unsigned: |24 x 12 x 2| = 576 a pair, and 56 of those fit
 * the 16-bit lanes in which it leaves them. Tiles of doubles have 8 channels.
 */
#ifdef __x86_64__

#include <string.h>

#include "gemm_tiles.h"

#define BYTE_STEPS 56
#define AHEAD 1024	/* bytes of doubles that are fetched from the second cache */

#define ALL_ROWS(what) what(0); what(1); what(2); what(3); what(4); what(5)
#define DECLARE(i) __m256i acc##i##_0 = _mm256_setzero_si256(), acc##i##_1 = acc##i##_0
/*
 * In assembly because GCC 12 multiplies all first and spills the accumulators when
 * it is given the intrinsics: at half the speed.
 */
#define ACCUMULATE(i)									\
	do {										\
		__m256i x, y;								\
											\
		__asm__("vpbroadcastd %6, %2\n\t"					\
			MULTIPLY " %4, %2, %3\n\t" ADD " %3, %0, %0\n\t"		\
			MULTIPLY " %5, %2, %2\n\t" ADD " %2, %1, %1"			\
			: "+x"(acc##i##_0), "+x"(acc##i##_1), "=&x"(x), "=&x"(y)	\
			: "x"(b0), "x"(b1), "m"(*(const uint8_t (*)[4])(a + (i) * pitch))); \
	} while (0)

INLINE void widen(__m256i sums, bool add, int64_t *to)
{
	__m256i low = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(sums));
	__m256i high = _mm256_cvtepi32_epi64(_mm256_extracti128_si256(sums, 1));

	if (add) {
		low = _mm256_add_epi64(low, _mm256_load_si256((__m256i *)to));
		high = _mm256_add_epi64(high, _mm256_load_si256((__m256i *)(to + 4)));
	}
	_mm256_store_si256((__m256i *)to, low);
	_mm256_store_si256((__m256i *)(to + 4), high);
}

#define ADD "vpaddd"
#define MULTIPLY "vpmaddwd"
#define FINISH(i) widen(acc##i##_0, add, sum[i]); widen(acc##i##_1, add, sum[i] + 8)
TARGET static void tile_words(const uint8_t *a, size_t pitch, const uint8_t *b, size_t steps,
			      bool add, int64_t (*sum)[LANES])
{
	ALL_ROWS(DECLARE);

	for (size_t s = 0; s < steps; s++, a += 4, b += STEP_BYTES) {
		__m256i b0 = _mm256_load_si256((const __m256i *)b);
		__m256i b1 = _mm256_load_si256((const __m256i *)b + 1);

		ALL_ROWS(ACCUMULATE);
	}
	ALL_ROWS(FINISH);
}
#undef ADD
#undef MULTIPLY
#undef FINISH

#define ADD "vpaddw"
#define MULTIPLY "vpmaddubsw"
#define FINISH(i)									\
	do {										\
		total[i][0] = _mm256_add_epi32(total[i][0], _mm256_madd_epi16(acc##i##_0, ones)); \
		total[i][1] = _mm256_add_epi32(total[i][1], _mm256_madd_epi16(acc##i##_1, ones)); \
	} while (0)
TARGET static void tile_bytes(const uint8_t *a, size_t pitch, const uint8_t *b, size_t steps,
			      bool add, int64_t (*sum)[LANES])
{
	const __m256i ones = _mm256_set1_epi16(1);
	__m256i total[ROWS][2];

	memset(total, 0, sizeof(total));
	while (steps) {
		size_t some = steps < BYTE_STEPS ? steps : BYTE_STEPS;
		ALL_ROWS(DECLARE);

		steps -= some;
		for (; some; some--, a += 4, b += STEP_BYTES) {
			__m256i b0 = _mm256_load_si256((const __m256i *)b);
			__m256i b1 = _mm256_load_si256((const __m256i *)b + 1);

			ALL_ROWS(ACCUMULATE);
		}
		ALL_ROWS(FINISH);
	}
	for (int i = 0; i < ROWS; i++) {
		widen(total[i][0], add, sum[i]);
		widen(total[i][1], add, sum[i] + 8);
	}
}

#undef ADD
#undef MULTIPLY
#undef FINISH
#undef DECLARE
#undef ACCUMULATE

#define DECLARE(i) __m256d acc##i##_0 = _mm256_setzero_pd(), acc##i##_1 = acc##i##_0
#define ACCUMULATE(i)									\
	do {										\
		__m256d x;								\
											\
		__asm__("vbroadcastsd %5, %2\n\t"					\
			"vfmadd231pd %3, %2, %0\n\t" "vfmadd231pd %4, %2, %1"		\
			: "+x"(acc##i##_0), "+x"(acc##i##_1), "=&x"(x)			\
			: "x"(b0), "x"(b1), "m"(*(const uint8_t (*)[8])(a + (i) * pitch))); \
	} while (0)
#define FINISH(i) _mm256_store_pd(sum[i], acc##i##_0); _mm256_store_pd(sum[i] + 4, acc##i##_1)
TARGET static void tile_reals(const uint8_t *a, size_t pitch, const double *b, size_t k,
			      double (*sum)[LANES])
{
	ALL_ROWS(DECLARE);

	for (; k; k--, a += sizeof(*b), b += LANES / 2) {
		__m256d b0 = _mm256_load_pd(b), b1 = _mm256_load_pd(b + 4);

		_mm_prefetch((const uint8_t *)b + AHEAD, _MM_HINT_T0);
		ALL_ROWS(ACCUMULATE);
	}
	ALL_ROWS(FINISH);
}

static const struct xrnpe_tiles avx2 = { tile_words, tile_bytes, true, tile_reals };
TILES_FUNCTIONS(avx2)

static bool supported(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

const struct xrnpe_kernel xrnpe_kernel_avx2 = {
	.name = "avx2",
	.codec = &xrnpe_codec_avx2,
	.supported = supported,
	TILES_KERNEL(avx2),
	.preferred = (const struct xrnpe_kernel *const[]){
		&xrnpe_gemv_tiles, &xrnpe_depthwise, NULL,
	},
};

#endif

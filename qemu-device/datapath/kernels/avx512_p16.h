/* SPDX-License-Identifier: MIT */
/* Codes of Posit(16,1), and of Posit(8,0), as doubles, with AVX-512. See sums_p16.h for how. */
#ifndef XRNPE_DATAPATH_AVX512_P16_H
#define XRNPE_DATAPATH_AVX512_P16_H

#include <string.h>

#include "avx512.h"
#include "sums_p16.h"

#define HALF (LANES / 2)	/* channels of a panel whose weights are side by side */

/* Decoded values are those of the codes times 2^-SCALE. @es: 1, or 0 of codes of 8 bits. */
#define SCALE(es) ((es) ? 707 : 865)

/* 32 codes, at the top of words, to doubles: every fourth from 0, 2, 1 and 3. */
INLINE void decode_words(int es, __m512i codes, __m512d value[4])
{
	const __m512i upper = _mm512_set1_epi64((int64_t)0xffffffff00000000);
	/* Without the sign, and the mirror image of magnitudes above one. */
	__m512i twice = _mm512_add_epi16(codes, codes), large = _mm512_xor_si512(codes, twice);

#pragma GCC unroll 2
	for (int odd = 0; odd < 2; odd++) {
		__mmask16 above_one = _mm512_test_epi32_mask(large, _mm512_set1_epi32(odd ? INT32_MIN : 1 << 15));
		__m512i bits = odd ? _mm512_and_si512(twice, _mm512_set1_epi32(-0x10000)) :
				     _mm512_slli_epi32(twice, 16);

		bits = _mm512_castps_si512(_mm512_cvtepi32_ps(bits));
		bits = _mm512_mask_sub_epi32(bits, above_one, _mm512_set1_epi32(0x1e000000), bits);
		/* The upper half of a double; two or three copies of the sign go. */
		bits = _mm512_and_si512(_mm512_srai_epi32(bits, (unsigned int)(3 - es)),
					_mm512_set1_epi32((int)(es ? 0x9fffffff : 0x8fffffff)));
		value[2 * odd] = _mm512_castsi512_pd(_mm512_slli_epi64(bits, 32));
		value[2 * odd + 1] = _mm512_castsi512_pd(_mm512_and_si512(bits, upper));
	}
}

/* Values in units of the grid, in order. */
extern const struct xrnpe_decoder xrnpe_avx512_doubles;

/*
 * The weights of eight of the @count channels from @n on, those from @lane on, to rows @pitch bytes apart.
 * Those of channels that there are not are zeros.
 */
static inline void decode_eight(const struct xrnpe_product *product, uint64_t n, size_t count, size_t lane,
				uint8_t *rows, size_t pitch, struct stage *stage)
{
	for (size_t i = lane; i < lane + 8; i++, rows += pitch) {
		if (i >= count) {
			memset(rows, 0, product->k * sizeof(double));
			continue;
		}
		stage->nar[i] = xrnpe_weights(product, &xrnpe_avx512_doubles, n + i, rows);
		stage->any_nar |= stage->nar[i];
	}
}

/* The magnitudes of a vector of values, as integers, or-ed to @bits. */
INLINE __m512i note_bits(__m512i bits, __m512d magnitudes)
{
	return _mm512_or_si512(bits, _mm512_cvtpd_epi64(magnitudes));
}

/* The columns of a block of 8 rows, @pitch bytes apart, of 8 doubles each. */
INLINE void transpose_reals(const uint8_t *rows, size_t pitch, __m512d column[8])
{
	__m512d row[8], pair[8], quad[8];

#pragma GCC unroll 8
	for (size_t i = 0; i < 8; i++)
		row[i] = _mm512_loadu_pd(rows + i * pitch);
#pragma GCC unroll 4
	for (size_t i = 0; i < 8; i += 2) {
		pair[i] = _mm512_unpacklo_pd(row[i], row[i + 1]);	/* of columns 0, 2, 4 and 6 */
		pair[i + 1] = _mm512_unpackhi_pd(row[i], row[i + 1]);
	}
#pragma GCC unroll 2
	for (size_t i = 0; i < 2; i++) {
		/* Of columns 0 and 4, then 2 and 6; rows 0 to 3, then 4 to 7. */
		quad[i] = _mm512_shuffle_f64x2(pair[i], pair[i + 2], 0x88);
		quad[i + 2] = _mm512_shuffle_f64x2(pair[i], pair[i + 2], 0xdd);
		quad[i + 4] = _mm512_shuffle_f64x2(pair[i + 4], pair[i + 6], 0x88);
		quad[i + 6] = _mm512_shuffle_f64x2(pair[i + 4], pair[i + 6], 0xdd);
		column[i] = _mm512_shuffle_f64x2(quad[i], quad[i + 4], 0x88);
		column[i + 4] = _mm512_shuffle_f64x2(quad[i], quad[i + 4], 0xdd);
		column[i + 2] = _mm512_shuffle_f64x2(quad[i + 2], quad[i + 6], 0x88);
		column[i + 6] = _mm512_shuffle_f64x2(quad[i + 2], quad[i + 6], 0xdd);
	}
}

/* log2 of the most that a sum of @k products can be, in units of the least it can be. */
static inline int spread_of(uint64_t inputs, uint64_t weights, size_t k)
{
	if (!inputs || !weights)
		return 0;
	return 64 - __builtin_clzll(inputs) - __builtin_ctzll(inputs) +
	       64 - __builtin_clzll(weights) - __builtin_ctzll(weights) + 64 - __builtin_clzll(k);
}

/*
 * Outputs of position @p that are in doubt, to @row, from the weights of a panel's halves and what
 * xrnpe_avx512_doubles made of the inputs.
 */
static inline void settle(const struct xrnpe_product *product, const struct stage *stage, const double *weights,
			  const double *inputs, const double *sum, uint64_t p, uint64_t n, size_t count,
			  uint32_t doubt, uint8_t *row, uint32_t *status)
{
	for (size_t i = 0; i < count; i++) {
		const double *weight = weights + i / HALF * product->k * HALF + i % HALF;

		if (doubt >> i & 1 && !stage->nar[i])
			xrnpe_store(product->out, row, n + i,
				    exact_output(product, inputs, weight, HALF, p, n + i, sum[i] < 0, status));
	}
}

#endif

/* SPDX-License-Identifier: MIT */
/* What the AVX-512 kernels share. Included by them only, on x86-64. */
#ifndef XRNPE_DATAPATH_AVX512_H
#define XRNPE_DATAPATH_AVX512_H

#include <immintrin.h>

#include "kernel.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vnni,avx512vbmi")))
#define INLINE TARGET __attribute__((always_inline)) static inline
#define VECTOR 64

#include "vector.h"

#define ROWS 12			/* positions in a tile */
#define LANES 32		/* channels in a tile */
#define MOST_ROWS 56		/* positions whose outputs may be put together */
#define ALL_ROWS(what)									\
	what(0); what(1); what(2); what(3); what(4); what(5);				\
	what(6); what(7); what(8); what(9); what(10); what(11)
#define VECTORS (LANES / 16)

#define AHEAD 1024	/* bytes of weights that tiles fetch from the second cache */

/* Bytes between decoded positions: the longest, and a line so that rows do not
 * compete for the same sets of the cache. */
#define PITCH (XRNPE_MAX_K * 2 + XRNPE_DECODE_SLACK + 64)

INLINE __mmask64 first_lanes(size_t count)
{
	return count >= 64 ? ~0ull : (1ull << count) - 1;
}

/* What the output stage must know of the channels of a panel. Scales are those of sums in
 * the units of the kernel. */
struct stage {
	double scale[LANES] __attribute__((aligned(64))), bias[LANES];
	double slope[LANES], low_scale[LANES], low_bias[LANES];	/* with @bends: and the two times it */
	double least, most;	/* of results */
	float scale32[LANES] __attribute__((aligned(64))), bias32[LANES], slope32[LANES];
	int32_t start[LANES];	/* what the sums begin with: FP4's correction */
	bool bends;		/* what is below zero is multiplied by @slope */
	bool floats;		/* those of 32 bits do as well */
	uint32_t rounds;	/* a bit each: products of floats by the slope are not floats */
	bool fp4_from_fp4;	/* so do the codes of eighths -64..63, by their low 7 bits */
	uint8_t fp4[128] __attribute__((aligned(64)));
	bool adds_floats;	/* with a residual, if there is one, and no slope */
	bool to_units;		/* so do units, see output_avx512_units.c */
	int16_t least_units, most_units;	/* of results */
	bool far;		/* these may be beyond 32 bits */
	bool nar[LANES];	/* a NaR among the channel's weights */
	bool any_nar;
};

/* Prepare the output of the @count channels from @n on, up to 8 bits. */
void xrnpe_avx512_stage(const struct xrnpe_product *product, uint64_t n, size_t count, struct stage *stage);

/* The same for xrnpe_avx512_codes(), of sums in units of 2^@unit. */
void xrnpe_avx512_scales(const struct xrnpe_product *product, uint64_t n, size_t count, int unit,
			 struct stage *stage);

/* ---- decoding --------------------------------------------------------- */

/* 4 bits: 64 codes in 32 bytes to a byte each. */
INLINE __m512i spread_nibbles(__m256i packed)
{
	__m512i wide = _mm512_cvtepu8_epi16(packed);

	return _mm512_and_si512(_mm512_or_si512(wide, _mm512_slli_epi16(wide, 4)),
				_mm512_set1_epi8(15));
}

/* Up to 64 4-bit codes, one in a byte. */
INLINE __m512i load_nibbles(const uint8_t *row, size_t first, size_t count)
{
	__m256i packed = _mm256_maskz_loadu_epi8((__mmask32)first_lanes((count + 1) / 2), row + first / 2);

	if (first % 2) {
		/* The high half of each byte, and the low one of the next. */
		__m256i next = _mm256_maskz_loadu_epi8((__mmask32)first_lanes(count / 2),
						       row + first / 2 + 1);

		packed = _mm256_and_si256(_mm256_srli_epi16(packed, 4), _mm256_set1_epi8(15));
		packed = _mm256_or_si256(packed, _mm256_andnot_si256(_mm256_set1_epi8(15),
								     _mm256_slli_epi16(next, 4)));
	}
	return spread_nibbles(packed);
}

/* Which of 16 floats are NaNs or infinities. */
INLINE __mmask16 no_numbers(__m512 values)
{
	return _mm512_fpclass_ps_mask(values, 0x99);
}

/* 16 elements from @n on of a row, as binary32. */
INLINE __m512i load_values(enum xrnpe_format format, const uint8_t *row, uint64_t n, size_t count)
{
	const u32s all = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
	__mmask16 lanes = (__mmask16)first_lanes(count);
	__m512i codes;

	switch (format) {
	case XRNPE_FORMAT_FP4:
	case XRNPE_FORMAT_P4:
		codes = _mm512_cvtepu8_epi32(_mm512_castsi512_si128(load_nibbles(row, n, count)));
		return _mm512_permutexvar_epi32(codes, (__m512i)value_words(format, all));
	case XRNPE_FORMAT_P8:
		codes = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(lanes, row + n));
		break;
	case XRNPE_FORMAT_P16:
		codes = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, row + n * 2));
		break;
	default:
		return _mm512_maskz_loadu_epi32(lanes, row + n * 4);
	}
	return (__m512i)value_words(format, (u32s)codes);
}

/* Grid values as 16-bit words, in order, of up to 8 bits. */
const struct xrnpe_decoder *xrnpe_avx512_words(enum xrnpe_format format);

/* ---- panels ------------------------------------------------------------ */

/* Four steps of every fourth row. */
INLINE __m512i load_rows(const uint8_t *row, size_t pitch)
{
	__m512i four = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)row));

	four = _mm512_inserti32x4(four, _mm_loadu_si128((const __m128i *)(row + 4 * pitch)), 1);
	four = _mm512_inserti32x4(four, _mm_loadu_si128((const __m128i *)(row + 8 * pitch)), 2);
	return _mm512_inserti32x4(four, _mm_loadu_si128((const __m128i *)(row + 12 * pitch)), 3);
}

/*
 * 16 decoded rows, @pitch apart, to a vector of each step of a panel, in which steps are
 * @step_bytes apart. Reads up to 12 bytes past them.
 */
INLINE void interleave(const uint8_t *rows, size_t pitch, size_t steps, size_t step_bytes, uint8_t *panel)
{
	for (size_t s = 0; s < steps; s += 4, rows += 16) {
		__m512i a = load_rows(rows, pitch), b = load_rows(rows + pitch, pitch);
		__m512i c = load_rows(rows + 2 * pitch, pitch), d = load_rows(rows + 3 * pitch, pitch);
		__m512i ab = _mm512_unpacklo_epi32(a, b), cd = _mm512_unpacklo_epi32(c, d), step[4];

		step[0] = _mm512_unpacklo_epi64(ab, cd);
		step[1] = _mm512_unpackhi_epi64(ab, cd);
		ab = _mm512_unpackhi_epi32(a, b);
		cd = _mm512_unpackhi_epi32(c, d);
		step[2] = _mm512_unpacklo_epi64(ab, cd);
		step[3] = _mm512_unpackhi_epi64(ab, cd);
		for (size_t i = 0; i < 4 && s + i < steps; i++, panel += step_bytes)
			_mm512_store_si512(panel, step[i]);
	}
}

/* ---- output: output_avx512*.c ------------------------------------------- */

#define DOWN (_MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)
#define UP (_MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC)

/* Whether there is a slope, a clamp or a residual. */
static inline bool is_rich(const struct xrnpe_product *product)
{
	return product->cmd->activation > XRNPE_ACT_RELU || product->residual ||
	       product->cmd->flags & XRNPE_CMD_CLAMP;
}

/* Bits of floats after those that ties have: 13 of the fraction, or 6. */
INLINE int after_ties(enum xrnpe_format out)
{
	return (1 << (out == XRNPE_FORMAT_P16 ? 10 : 17)) - 1;
}

/*
 * Between which ends, bits of floats, there may be a tie of @out. No tie has bits of the fraction
 * beyond some, so none lies between two floats that differ in the bits after these only and have
 * some of them set: these round as all between them does.
 */
INLINE __mmask16 may_tie(enum xrnpe_format out, __m512i low, __m512i high)
{
	const __m512i after = _mm512_set1_epi32(after_ties(out));
	__mmask16 differ = _mm512_cmpneq_epi32_mask(low, high);

	return _mm512_mask_cmpgt_epu32_mask(differ, _mm512_xor_si512(low, high), after) |
	       _mm512_mask_testn_epi32_mask(differ, low, after) | _mm512_mask_testn_epi32_mask(differ, high, after);
}

/* x < 0 ? x * slope : x of what is between two ends; there may be a zero between them. */
INLINE void bend_reals(__m512d slope, __m512d *low, __m512d *high)
{
	const __m512d zero = _mm512_setzero_pd(), a = *low, b = *high;
	__mmask8 a_below = _mm512_cmp_pd_mask(a, zero, _CMP_LT_OQ), b_below = _mm512_cmp_pd_mask(b, zero, _CMP_LT_OQ);

	*low = _mm512_min_pd(_mm512_mask_mul_round_pd(a, a_below, a, slope, DOWN),
			     _mm512_mask_mul_round_pd(b, b_below, b, slope, DOWN));
	*high = _mm512_max_pd(_mm512_mask_mul_round_pd(a, a_below, a, slope, UP),
			      _mm512_mask_mul_round_pd(b, b_below, b, slope, UP));
	*low = _mm512_mask_min_pd(*low, a_below & ~b_below, *low, zero);
}

INLINE void bend_floats(__m512 slope, __m512 *low, __m512 *high)
{
	const __m512 zero = _mm512_setzero_ps(), a = *low, b = *high;
	__mmask16 a_below = _mm512_cmp_ps_mask(a, zero, _CMP_LT_OQ), b_below = _mm512_cmp_ps_mask(b, zero, _CMP_LT_OQ);

	*low = _mm512_min_ps(_mm512_mask_mul_round_ps(a, a_below, a, slope, DOWN),
			     _mm512_mask_mul_round_ps(b, b_below, b, slope, DOWN));
	*high = _mm512_max_ps(_mm512_mask_mul_round_ps(a, a_below, a, slope, UP),
			      _mm512_mask_mul_round_ps(b, b_below, b, slope, UP));
	*low = _mm512_mask_min_ps(*low, a_below & ~b_below, *low, zero);
}

/* Sums of rows of LANES channels in grid units, below 2^53: one of the two is NULL. */
struct sums {
	const int32_t *narrow;
	const int64_t *wide;
};

/* Channels @n.. of the output rows of @rows positions from @p on, from their sums. */
void xrnpe_avx512_put(const struct xrnpe_product *product, const struct stage *stage,
		      const struct sums *sums, uint64_t p, uint8_t *const *row, size_t rows, uint64_t n,
		      size_t count, uint32_t *status);

/* The same where stage->to_units is set, sums are narrow, and of 4 bits @n is even; the general way. */
void xrnpe_avx512_put_units(const struct xrnpe_product *product, const struct stage *stage,
			    const int32_t *sums, uint64_t p, uint8_t *const *row, size_t rows, uint64_t n,
			    size_t count, uint32_t *status);
void xrnpe_avx512_put_any(const struct xrnpe_product *product, const struct stage *stage,
			  const struct sums *sums, uint64_t p, uint8_t *const *row, size_t rows, uint64_t n,
			  size_t count, uint32_t *status);

/* Of a limit: what is left of it there. */
int16_t xrnpe_avx512_units(double value);

/*
 * What the residual adds to channels @n.. of position @p, up to LANES, which is exact. A bit
 * each is returned for those that are no finite numbers.
 */
uint32_t xrnpe_avx512_residuals(const struct xrnpe_product *product, uint64_t p, uint64_t n, size_t count,
				double *to);

/*
 * The codes of channels @n.. of position @p from sums of Posit(16,1), which are off by at
 * most @error, or exact if that is NULL, but those in doubt: a bit each in what is returned.
 */
uint32_t xrnpe_avx512_codes(const struct xrnpe_product *product, const struct stage *stage,
			    const double *sum, const double *error, uint64_t p, uint64_t n, size_t count,
			    uint32_t *code);

/*
 * The same of @rows positions, to their output rows; in @doubt the bits of each. @error: of the
 * first position; those of each are @pitch further, which is 0 if one is for all.
 */
void xrnpe_avx512_put_near(const struct xrnpe_product *product, const struct stage *stage,
			   const double (*sum)[LANES], const double *error, size_t pitch, uint64_t p,
			   uint8_t *const *row, size_t rows, uint64_t n, size_t count, uint32_t *doubt);

/* What it puts, and where. */
struct near_rows {
	const double (*sum)[LANES];
	const double *error;
	size_t pitch;
	const double (*residual)[LANES];	/* or NULL */
	uint8_t *const *out;
	size_t rows, count;
	uint64_t n;
	uint32_t *doubt;	/* those of residuals, before */
};

/* To a format of up to 8 bits; of 4 bits from an even channel on. */
void xrnpe_avx512_put_near_units(enum xrnpe_format out, const struct stage *stage, const struct near_rows *rows);

/* Write the codes of channels @n.. of an output row, up to LANES. */
void xrnpe_avx512_put_codes(enum xrnpe_format out, uint8_t *row, uint64_t n, const uint32_t *code,
			    size_t count);

/* 8 doubles, rounded to odd, to floats rounded to odd. */
INLINE __m256i narrow_odd(__m512d value)
{
	__m256 cut = _mm512_cvt_roundpd_ps(value, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
	__mmask8 lost = _mm512_cmp_pd_mask(_mm512_cvtps_pd(cut), value, _CMP_NEQ_UQ);
	__m256i bits = _mm256_castps_si256(cut);

	return _mm256_mask_or_epi32(bits, lost, bits, _mm256_set1_epi32(1));
}

/* Bits of floats (rounded to odd, finite) to codes of any format but binary32. */
INLINE __m512i encode_odd(enum xrnpe_format out, __m512i bits)
{
	return (__m512i)round_finite_words(out, (u32s)bits);
}

INLINE __m512i encode16(enum xrnpe_format out, __m512d low, __m512d high)
{
	if (out == XRNPE_FORMAT_F32)
		return _mm512_castps_si512(_mm512_insertf32x8(_mm512_castps256_ps512(
			_mm512_cvt_roundpd_ps(low, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)),
			_mm512_cvt_roundpd_ps(high, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), 1));
	return encode_odd(out, _mm512_inserti64x4(_mm512_castsi256_si512(narrow_odd(low)),
						  narrow_odd(high), 1));
}

/* Codes of channels @n.. of a row, up to 16; the last of an odd number of 4-bit
 * codes stands in a byte alone. */
INLINE void store16(enum xrnpe_format out, uint8_t *row, uint64_t n, __m512i codes, size_t count)
{
	__mmask16 lanes = (__mmask16)first_lanes(count);
	/* Not xrnpe_format_bits(): a call would cost more than all of this. */
	size_t bits = out == XRNPE_FORMAT_F32 ? 32 : out == XRNPE_FORMAT_P16 ? 16 :
		      out == XRNPE_FORMAT_P8 ? 8 : 4;
	uint8_t *to = row + n * bits / 8;
	__m128i bytes;

	codes = _mm512_maskz_mov_epi32(lanes, codes);
	switch (out) {
	case XRNPE_FORMAT_F32:
		_mm512_mask_storeu_epi32(to, lanes, codes);
		break;
	case XRNPE_FORMAT_P16:
		_mm512_mask_cvtepi32_storeu_epi16(to, lanes, codes);
		break;
	case XRNPE_FORMAT_P8:
		_mm512_mask_cvtepi32_storeu_epi8(to, lanes, codes);
		break;
	default:
		if (n % 2) {
			uint32_t each[16];

			_mm512_storeu_si512(each, codes);
			xrnpe_pack(out, row, n, each, count);
			break;
		}
		if (count == 16) {
			/* Two codes in a byte of 64 bits. */
			codes = _mm512_or_si512(codes, _mm512_srli_epi64(codes, 28));
			_mm_storel_epi64((__m128i *)to, _mm512_cvtepi64_epi8(codes));
			break;
		}
		bytes = _mm512_cvtepi32_epi8(codes);
		bytes = _mm_maddubs_epi16(bytes, _mm_set1_epi16(0x1001));
		_mm_mask_cvtepi16_storeu_epi8(to, (__mmask8)first_lanes((count + 1) / 2), bytes);
	}
}

/* ---- Posit(16,1): gemm_avx512_p16.c ------------------------------------ */

/** As in struct xrnpe_kernel, for Posit(16,1). */
struct xrnpe_tiling xrnpe_avx512_p16_tiling(const struct xrnpe_product *product);
size_t xrnpe_avx512_p16_scratch(const struct xrnpe_product *product);
void xrnpe_avx512_p16_fill(const struct xrnpe_product *product, uint64_t n, size_t count,
			   void *memory, void *scratch_memory);
void xrnpe_avx512_p16_run(const struct xrnpe_product *product, const struct xrnpe_block *block,
			  const void *panels, void *memory, uint32_t *status);

#endif

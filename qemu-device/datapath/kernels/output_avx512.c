// SPDX-License-Identifier: MIT
/*
 * The output stage with AVX-512, of exact sums of up to 8 bits.
 *
 * They are scaled in floats if those are enough, else in doubles, with one rounding, to
 * odd, which rounds on to any format as the exact number does. Where there is more than
 * that to round, as with a residual, there are two numbers between which the exact one
 * is (output_avx512_near.c).
 *
 * What a command does not have costs it nothing: functions are made twice, for "rich"
 * stages, with a slope, a clamp or a residual, and for others.
 */
#ifdef __x86_64__

#include <string.h>

#include "avx512.h"

#define NEAREST (_MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)

/* ---- channels ---------------------------------------------------------- */

/* Whether magnitudes, unless they are zero, are at most @most and at least the reciprocal. */
INLINE bool in_range(__m512d value, double most)
{
	__m512d magnitude = _mm512_abs_pd(value);

	return !(_mm512_cmp_pd_mask(magnitude, _mm512_set1_pd(most), _CMP_GT_OQ) |
		 _mm512_mask_cmp_pd_mask(_mm512_test_epi64_mask(_mm512_castpd_si512(magnitude),
								_mm512_castpd_si512(magnitude)),
					 magnitude, _mm512_set1_pd(1 / most), _CMP_LT_OQ));
}

/*
 * FP4 of sums below 2^24, which those of FP4 are. Ties lie on multiples of 1/4, so what
 * counts of four times a result y is the integer below it plus the one above it: twice
 * 4 y if that is an integer, or odd. Tables have the codes.
 */
TARGET static void make_fp4_codes(struct stage *stage)
{
	__m512i eighths = _mm512_add_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
					   _mm512_set1_epi32(-64));

	for (int i = -64; i < 64; i += 16, eighths = _mm512_add_epi32(eighths, _mm512_set1_epi32(16))) {
		__m512 y = _mm512_mul_ps(_mm512_cvtepi32_ps(eighths), _mm512_set1_ps(0.125f));

		y = _mm512_min_ps(_mm512_max_ps(y, _mm512_set1_ps((float)stage->least)),
				  _mm512_set1_ps((float)stage->most));
		_mm_store_si128((__m128i *)(stage->fp4 + (i & 127)),
				_mm512_cvtepi32_epi8(encode_odd(XRNPE_FORMAT_FP4, _mm512_castps_si512(y))));
	}
}

void xrnpe_avx512_scales(const struct xrnpe_product *product, uint64_t n, size_t count, int unit,
			 struct stage *stage)
{
	memset(stage, 0, sizeof(*stage));
	xrnpe_scales(product, n, count, unit, stage->scale, stage->bias);
	xrnpe_limits(product, &stage->least, &stage->most);
	stage->least_units = xrnpe_avx512_units(stage->least);
	stage->most_units = xrnpe_avx512_units(stage->most);
	stage->bends = product->cmd->activation > XRNPE_ACT_RELU;
	if (stage->bends)
		xrnpe_slopes(product, n, count, stage->slope);
	for (size_t i = 0; i < LANES; i++)
		stage->slope32[i] = (float)stage->slope[i];
}

/* Slopes of channels @i.. and what there is with them. */
INLINE void add_slopes(struct stage *stage, size_t i)
{
	__m512d slope = _mm512_load_pd(stage->slope + i);

	stage->floats &= in_range(slope, 0x1p20);
	/* 24 bits by 24: exact. */
	_mm512_store_pd(stage->low_scale + i, _mm512_mul_pd(_mm512_load_pd(stage->scale + i), slope));
	_mm512_store_pd(stage->low_bias + i, _mm512_mul_pd(_mm512_load_pd(stage->bias + i), slope));
	/* Products with powers of two need no rounding. */
	stage->rounds |= (uint32_t)_mm512_test_epi64_mask(_mm512_castpd_si512(slope),
							  _mm512_set1_epi64((1ll << 52) - 1)) << i;
}

/*
 * Whether results of sums below 2^24 may be beyond 2^24 before a slope, of one scale and bias or more. A
 * residual is up to 8 bits, and at most 64 times @factor.
 */
INLINE bool is_far(__m512d scale, __m512d bias, double factor)
{
	__m512d most = _mm512_fmadd_pd(_mm512_abs_pd(scale), _mm512_set1_pd(0x1p24), _mm512_abs_pd(bias));

	/* The half, so that how this rounds is no matter. */
	return _mm512_cmp_pd_mask(_mm512_add_pd(most, _mm512_set1_pd(64 * __builtin_fabs(factor))),
				  _mm512_set1_pd(0x1p23), _CMP_GT_OQ);
}

TARGET void xrnpe_avx512_stage(const struct xrnpe_product *product, uint64_t n, size_t count, struct stage *stage)
{
	const double factor = product->residual ? xrnpe_residual_factor(product) : 0;
	bool fits = in_range(_mm512_set1_pd(factor), 0x1p80);

	xrnpe_avx512_scales(product, n, count, xrnpe_product_unit(product), stage);
	stage->floats = true;
	stage->far = stage->bends ||
		     (product->residual && product->cmd->operand[XRNPE_OPERAND_IFM2].format > XRNPE_FORMAT_P8);
	for (size_t i = 0; i < LANES; i += 8) {
		__m512d scale = _mm512_load_pd(stage->scale + i), bias = _mm512_load_pd(stage->bias + i);

		/* So that nothing overflows or is subnormal, which rounds differently. */
		stage->floats &= in_range(scale, 0x1p80) && in_range(bias, 0x1p80);
		stage->far |= is_far(scale, bias, factor);
		_mm256_store_ps(stage->scale32 + i, _mm512_cvtpd_ps(scale));
		/* Not -0, for sums of zero to be +0. */
		_mm256_store_ps(stage->bias32 + i, _mm256_add_ps(_mm512_cvtpd_ps(bias), _mm256_setzero_ps()));
		if (stage->bends)
			add_slopes(stage, i);
	}
	if (product->out == XRNPE_FORMAT_F32 && stage->rounds)
		stage->floats = false;
	stage->fp4_from_fp4 = stage->floats && !stage->bends && !product->residual &&
			      product->ifm.format == XRNPE_FORMAT_FP4 &&
			      product->weight.format == XRNPE_FORMAT_FP4 && product->out == XRNPE_FORMAT_FP4;
	if (stage->fp4_from_fp4)
		make_fp4_codes(stage);
	stage->adds_floats = stage->floats && !stage->bends && fits;
	stage->to_units = stage->floats && fits && product->out <= XRNPE_FORMAT_P8;
}

INLINE __m512d limit(const struct stage *stage, __m512d value)
{
	return _mm512_min_pd(_mm512_max_pd(value, _mm512_set1_pd(stage->least)), _mm512_set1_pd(stage->most));
}

/* ---- rounding to odd ---------------------------------------------------- */

/*
 * acc * scale + bias with the last bit set if anything was lost ("round to
 * odd"): with 53 bits this rounds on to any of our formats as the exact value
 * would. acc, scale and bias are exact doubles. Of two neighbours one is odd.
 */
INLINE __m512d fma_odd(__m512d acc, __m512d scale, __m512d bias)
{
	__m512d low = _mm512_fmadd_round_pd(acc, scale, bias, DOWN);
	__m512d high = _mm512_fmadd_round_pd(acc, scale, bias, UP);

	return _mm512_mask_mov_pd(high, _mm512_test_epi64_mask(_mm512_castpd_si512(low), _mm512_set1_epi64(1)),
				  low);
}

/* Codes of 16 sums, given as 32 or as two times 64 bits. */
INLINE __m512i encode_sums(const struct xrnpe_product *product, enum xrnpe_format out, bool rich,
			   const struct stage *stage, size_t i, __m512i low, __m512i high)
{
	const __m512d zero = _mm512_setzero_pd();
	__m512d y[2];

	for (size_t j = 0; j < 2; j++) {
		size_t at = i + j * 8;
		__m512d acc = _mm512_cvtepi64_pd(j ? high : low);
		__m512d scale = _mm512_load_pd(stage->scale + at), bias = _mm512_load_pd(stage->bias + at);

		if (rich && stage->bends) {
			__mmask8 below = _mm512_cmp_pd_mask(_mm512_fmadd_pd(acc, scale, bias), zero, _CMP_LT_OQ);

			scale = _mm512_mask_load_pd(scale, below, stage->low_scale + at);
			bias = _mm512_mask_load_pd(bias, below, stage->low_bias + at);
		}
		y[j] = fma_odd(acc, scale, bias);
		if (rich)
			y[j] = limit(stage, y[j]);
		else if (product->cmd->activation == XRNPE_ACT_RELU)
			y[j] = _mm512_max_pd(y[j], zero);
		/* A sum of zero is +0, even if its terms were -0. */
		y[j] = _mm512_mask_mov_pd(y[j], _mm512_cmp_pd_mask(y[j], zero, _CMP_EQ_OQ), zero);
	}
	return encode16(out, y[0], y[1]);
}

/*
 * Whether the bits of floats, less than 5 units in the last place off, may be so by
 * going over a tie of @out or touching it.
 */
INLINE __mmask16 near_tie(enum xrnpe_format out, __m512i bits)
{
	const int after = after_ties(out);
	__m512i rest = _mm512_and_si512(_mm512_sub_epi32(bits, _mm512_set1_epi32(5)), _mm512_set1_epi32(after));

	return _mm512_cmpgt_epi32_mask(rest, _mm512_set1_epi32(after - 9));
}

/*
 * The same in floats, of integers below 2^24. In *@doubt those whose product with the slope
 * had to be rounded and may be on the wrong side of a tie.
 */
INLINE __m512i encode_floats(enum xrnpe_format out, bool rich, const struct stage *stage, size_t i, __m512 acc,
			     __m512 least, __mmask16 *doubt)
{
	const __m512 scale = _mm512_load_ps(stage->scale32 + i), bias = _mm512_load_ps(stage->bias32 + i);
	__m512 y, low, high;

	if (out == XRNPE_FORMAT_F32) {
		y = _mm512_fmadd_round_ps(acc, scale, bias, NEAREST);
	} else {
		low = _mm512_fmadd_round_ps(acc, scale, bias, DOWN);
		high = _mm512_fmadd_round_ps(acc, scale, bias, UP);
		y = _mm512_mask_mov_ps(high, _mm512_test_epi32_mask(_mm512_castps_si512(low), _mm512_set1_epi32(1)),
				       low);
	}
	if (rich && stage->bends) {
		__mmask16 below = _mm512_cmp_ps_mask(y, _mm512_setzero_ps(), _CMP_LT_OQ);

		y = _mm512_mask_mul_ps(y, below, y, _mm512_load_ps(stage->slope32 + i));
		*doubt = near_tie(out, _mm512_castps_si512(y)) & below & (__mmask16)(stage->rounds >> i);
		/* Not -0. */
		y = _mm512_add_ps(y, _mm512_setzero_ps());
	}
	y = _mm512_max_ps(y, least);
	if (rich)
		y = _mm512_min_ps(y, _mm512_set1_ps((float)stage->most));
	return out == XRNPE_FORMAT_F32 ? _mm512_castps_si512(y) : encode_odd(out, _mm512_castps_si512(y));
}

/* Whether all 16 sums are below 2^24 in magnitude, and so floats. */
INLINE bool below_2_24(__m512i sums)
{
	return !_mm512_test_epi32_mask(_mm512_add_epi32(sums, _mm512_set1_epi32(1 << 24)),
				       _mm512_set1_epi32(-(1 << 25)));
}

INLINE __m512i encode_words(const struct xrnpe_product *product, enum xrnpe_format out, bool rich,
			    const struct stage *stage, size_t i, __m512i sums, __m512 least)
{
	__mmask16 doubt = 0;
	__m512i codes;

	if (stage->floats && below_2_24(sums)) {
		codes = encode_floats(out, rich, stage, i, _mm512_cvtepi32_ps(sums), least, &doubt);
		if (!doubt)
			return codes;
	}
	return encode_sums(product, out, rich, stage, i, _mm512_cvtepi32_epi64(_mm512_castsi512_si256(sums)),
			   _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(sums, 1)));
}

INLINE void put_rows(const struct xrnpe_product *product, enum xrnpe_format out, bool rich,
		     const struct stage *stage, const struct sums *sums, uint8_t *const *row, size_t rows,
		     uint64_t n, size_t count)
{
	const __m512 least = _mm512_set1_ps((float)stage->least);

	for (size_t i = 0; i < count; i += 16) {
		size_t some = count - i < 16 ? count - i : 16;

		for (size_t r = 0; r < rows; r++) {
			__m512i low, high, codes;

			if (sums->wide) {
				low = _mm512_load_si512(sums->wide + r * LANES + i);
				high = _mm512_load_si512(sums->wide + r * LANES + i + 8);
				codes = encode_sums(product, out, rich, stage, i, low, high);
			} else {
				low = _mm512_load_si512(sums->narrow + r * LANES + i);
				codes = encode_words(product, out, rich, stage, i, low, least);
			}
			store16(out, row[r], n + i, codes, some);
		}
	}
}

/* ---- FP4 from FP4 -------------------------------------------------------- */

/* The integers below and above 4 y; @scale and @bias have the 4. */
INLINE void bracket_quarters(__m512i sums, __m512 scale, __m512 bias, __m512i *below, __m512i *above)
{
	const __m512 most = _mm512_set1_ps(28);		/* seven: saturates as all above does */
	__m512 acc = _mm512_cvtepi32_ps(sums);
	__m512 low = _mm512_fmadd_round_ps(acc, scale, bias, DOWN);
	__m512 high = _mm512_fmadd_round_ps(acc, scale, bias, UP);

	/* What is far below zero becomes INT32_MIN, which is far below too. */
	*below = _mm512_cvt_roundps_epi32(_mm512_min_ps(low, most), DOWN);
	*above = _mm512_cvt_roundps_epi32(_mm512_min_ps(high, most), UP);
}

TARGET static void put_fp4_from_fp4(const struct stage *stage, const int32_t *sums, uint8_t *const *row,
				    size_t rows, uint64_t n, size_t count)
{
	/* Packed lanes of 128 bits to rows. */
	const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
	const __m512i codes0 = _mm512_load_si512(stage->fp4), codes1 = _mm512_load_si512(stage->fp4 + 64);
	const __m512 four = _mm512_set1_ps(4);
	const __mmask16 bytes = (__mmask16)first_lanes((count + 1) / 2);
	const __mmask64 lanes = first_lanes(count) | first_lanes(count) << LANES;
	__m512 scale[2], bias[2];

	for (int half = 0; half < 2; half++) {
		scale[half] = _mm512_mul_ps(_mm512_load_ps(stage->scale32 + half * 16), four);
		bias[half] = _mm512_mul_ps(_mm512_load_ps(stage->bias32 + half * 16), four);
	}
	for (size_t r = 0; r < rows; r += 2, sums += 2 * LANES) {
		__m512i words[2], codes;
		__m256i packed;

		for (size_t i = 0; i < 2; i++) {
			/* A last row that is alone is taken twice. */
			const int32_t *at = sums + (r + i < rows ? i : 0) * LANES;
			__m512i below[2], above[2];

			for (int half = 0; half < 2; half++)
				bracket_quarters(_mm512_load_si512(at + half * 16), scale[half], bias[half], &below[half],
						 &above[half]);
			words[i] = _mm512_adds_epi16(_mm512_packs_epi32(below[0], below[1]),
						     _mm512_packs_epi32(above[0], above[1]));
		}
		codes = _mm512_max_epi8(_mm512_packs_epi16(words[0], words[1]), _mm512_set1_epi8(-64));
		codes = _mm512_permutexvar_epi32(order, _mm512_permutex2var_epi8(codes0, codes, codes1));
		/* What is beside the last of an odd number is zero, whatever the limits. */
		codes = _mm512_maskz_mov_epi8(lanes, codes);
		packed = _mm512_cvtepi16_epi8(_mm512_maddubs_epi16(codes, _mm512_set1_epi16(0x1001)));
		_mm_mask_storeu_epi8(row[r] + n / 2, bytes, _mm256_castsi256_si128(packed));
		if (r + 1 < rows)
			_mm_mask_storeu_epi8(row[r + 1] + n / 2, bytes, _mm256_extracti128_si256(packed, 1));
	}
}

/* ---- with a residual, up to 8 bits ---------------------------------------- */

/*
 * Codes of 16 sums below 2^24 in floats, between two ends; false if they do not agree on all. Their
 * codes are those of exact numbers, which is all that is asked here.
 */
INLINE bool encode_floats_added(const struct xrnpe_product *product, enum xrnpe_format out, const struct stage *stage,
				size_t i, __m512i sums, const uint8_t *row, uint64_t n, size_t count, __m512i *codes)
{
	const enum xrnpe_format format = product->cmd->operand[XRNPE_OPERAND_IFM2].format;
	const __m512 scale = _mm512_load_ps(stage->scale32 + i), bias = _mm512_load_ps(stage->bias32 + i);
	const __m512 least = _mm512_set1_ps((float)stage->least), most = _mm512_set1_ps((float)stage->most);
	const __m512 factor = _mm512_set1_ps((float)xrnpe_residual_factor(product)), acc = _mm512_cvtepi32_ps(sums);
	__m512 value = _mm512_castsi512_ps(load_values(format, row, n, count)), low, high;
	__mmask16 doubt;

	low = _mm512_fmadd_round_ps(acc, scale, _mm512_fmadd_round_ps(value, factor, bias, DOWN), DOWN);
	high = _mm512_fmadd_round_ps(acc, scale, _mm512_fmadd_round_ps(value, factor, bias, UP), UP);
	/* Not -0. */
	low = _mm512_add_ps(_mm512_min_ps(_mm512_max_ps(low, least), most), _mm512_setzero_ps());
	high = _mm512_add_ps(_mm512_min_ps(_mm512_max_ps(high, least), most), _mm512_setzero_ps());
	*codes = encode_odd(out, _mm512_castps_si512(low));
	doubt = may_tie(out, _mm512_castps_si512(low), _mm512_castps_si512(high));
	if (doubt)
		doubt = _mm512_cmpneq_epi32_mask(*codes, encode_odd(out, _mm512_castps_si512(high)));
	return !(doubt | no_numbers(value));
}

/* The general way, of a row. */
TARGET static void put_exact(const struct xrnpe_product *product, const struct stage *stage, const struct sums *sums,
			     uint64_t p, uint8_t *row, uint64_t n, size_t count, uint32_t *status)
{
	double sum[LANES] __attribute__((aligned(64))) = { 0 };
	uint32_t code[LANES], doubt;

	for (size_t i = 0; i < count; i += 8)
		_mm512_store_pd(sum + i, _mm512_cvtepi64_pd(sums->wide ? _mm512_load_si512(sums->wide + i) :
			_mm512_cvtepi32_epi64(_mm256_load_si256((const __m256i *)(sums->narrow + i)))));
	doubt = xrnpe_avx512_codes(product, stage, sum, NULL, p, n, count, code);
	for (size_t i = 0; doubt && i < count; i++, doubt >>= 1) {
		if (doubt & 1)
			code[i] = xrnpe_output_integer(product, p, n + i, sums->wide ? sums->wide[i] : sums->narrow[i],
						       status);
	}
	xrnpe_avx512_put_codes(product->out, row, n, code, count);
}

INLINE void put_residual(const struct xrnpe_product *product, enum xrnpe_format out, const struct stage *stage,
			 const struct sums *sums, uint64_t p, const uint8_t *residual, uint8_t *row, uint64_t n,
			 size_t count, uint32_t *status)
{
	bool floats = sums->narrow && stage->adds_floats && out != XRNPE_FORMAT_F32;

	for (size_t i = 0; floats && i < count; i += 16) {
		size_t some = count - i < 16 ? count - i : 16;
		__m512i narrow = _mm512_load_si512(sums->narrow + i), codes;

		floats = below_2_24(narrow) &&
			 encode_floats_added(product, out, stage, i, narrow, residual, n + i, some, &codes);
		if (floats)
			store16(out, row, n + i, codes, some);
	}
	if (!floats)
		put_exact(product, stage, sums, p, row, n, count, status);
}

/* ---- formats --------------------------------------------------------------- */

INLINE void put_as(const struct xrnpe_product *product, enum xrnpe_format out, const struct stage *stage,
		   const struct sums *sums, uint64_t p, uint8_t *const *row, size_t rows, uint64_t n, size_t count,
		   uint32_t *status)
{
	const uint8_t *residual[MOST_ROWS];

	if (!is_rich(product)) {
		put_rows(product, out, false, stage, sums, row, rows, n, count);
		return;
	}
	if (!product->residual) {
		put_rows(product, out, true, stage, sums, row, rows, n, count);
		return;
	}
	xrnpe_residual_rows(product, p, rows, residual);
	for (size_t r = 0; r < rows; r++) {
		struct sums some = {
			.narrow = sums->narrow ? sums->narrow + r * LANES : NULL,
			.wide = sums->wide ? sums->wide + r * LANES : NULL,
		};

		put_residual(product, out, stage, &some, p + r, residual[r], row[r], n, count, status);
	}
}

#define FORMAT(name, format)								\
	TARGET static void put_##name(const struct xrnpe_product *product, const struct stage *stage, \
				      const struct sums *sums, uint64_t p, uint8_t *const *row, \
				      size_t rows, uint64_t n, size_t count, uint32_t *status) \
	{										\
		put_as(product, format, stage, sums, p, row, rows, n, count, status);	\
	}
FORMAT(fp4, XRNPE_FORMAT_FP4)
FORMAT(p4, XRNPE_FORMAT_P4)
FORMAT(p8, XRNPE_FORMAT_P8)
FORMAT(p16, XRNPE_FORMAT_P16)
FORMAT(f32, XRNPE_FORMAT_F32)

void xrnpe_avx512_put_any(const struct xrnpe_product *product, const struct stage *stage,
			  const struct sums *sums, uint64_t p, uint8_t *const *row, size_t rows, uint64_t n,
			  size_t count, uint32_t *status)
{
	static void (*const put[])(const struct xrnpe_product *product, const struct stage *stage,
				   const struct sums *sums, uint64_t p, uint8_t *const *row, size_t rows,
				   uint64_t n, size_t count, uint32_t *status) = {
		[XRNPE_FORMAT_FP4] = put_fp4, [XRNPE_FORMAT_P4] = put_p4, [XRNPE_FORMAT_P8] = put_p8,
		[XRNPE_FORMAT_P16] = put_p16, [XRNPE_FORMAT_F32] = put_f32,
	};

	put[product->out](product, stage, sums, p, row, rows, n, count, status);
}

/* Of at most MOST_ROWS positions. */
static void put_tile(const struct xrnpe_product *product, const struct stage *stage,
		     const struct sums *sums, uint64_t p, uint8_t *const *row, size_t rows, uint64_t n,
		     size_t count, uint32_t *status)
{
	if (stage->fp4_from_fp4 && sums->narrow && !(n % 2))
		put_fp4_from_fp4(stage, sums->narrow, row, rows, n, count);
	else if (stage->to_units && sums->narrow && (product->out == XRNPE_FORMAT_P8 || !(n % 2)))
		xrnpe_avx512_put_units(product, stage, sums->narrow, p, row, rows, n, count, status);
	else
		xrnpe_avx512_put_any(product, stage, sums, p, row, rows, n, count, status);
}

void xrnpe_avx512_put(const struct xrnpe_product *product, const struct stage *stage,
		      const struct sums *sums, uint64_t p, uint8_t *const *row, size_t rows, uint64_t n,
		      size_t count, uint32_t *status)
{
	for (size_t r = 0; r < rows; r += MOST_ROWS) {
		struct sums some = {
			.narrow = sums->narrow ? sums->narrow + r * LANES : NULL,
			.wide = sums->wide ? sums->wide + r * LANES : NULL,
		};

		put_tile(product, stage, &some, p + r, row + r, rows - r < MOST_ROWS ? rows - r : MOST_ROWS, n,
			 count, status);
	}
}

TARGET void xrnpe_avx512_put_codes(enum xrnpe_format out, uint8_t *row, uint64_t n, const uint32_t *code,
				   size_t count)
{
	for (size_t i = 0; i < count; i += 16)
		store16(out, row, n + i, _mm512_loadu_si512(code + i), count - i < 16 ? count - i : 16);
}

#endif

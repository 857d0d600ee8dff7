// SPDX-License-Identifier: MIT
/*
 * The output stage with AVX-512 of sums in doubles, which may be off by a little, as those of
 * Posit(16,1) are, or of which there is more to round than doubles hold, with a residual: two
 * numbers between which the exact one is. If both round to one code, that is it. If not, or
 * if it takes too long to tell, the code is in doubt, and whoever asked for it computes it once
 * more, exactly.
 */
#ifdef __x86_64__

#include <string.h>

#include "avx512.h"

/* 16 results, in two vectors: of a row or, of few channels, of two. */
struct pair {
	const double *sum[2];
	const double *error[2];		/* what these are off by at most; or NULL */
	const double *residual[2];	/* what is to be added; or NULL */
	size_t at[2];			/* their channels, in the stage */
};

/* ---- residuals --------------------------------------------------------- */

INLINE __m512d half_of(__m512i values, size_t half)
{
	return _mm512_cvtps_pd(_mm256_castsi256_ps(half ? _mm512_extracti64x4_epi64(values, 1) :
						   _mm512_castsi512_si256(values)));
}

TARGET uint32_t xrnpe_avx512_residuals(const struct xrnpe_product *product, uint64_t p, uint64_t n, size_t count,
				      double *to)
{
	enum xrnpe_format format = product->cmd->operand[XRNPE_OPERAND_IFM2].format;
	const __m512d factor = _mm512_set1_pd(xrnpe_residual_factor(product));
	const uint8_t *row = xrnpe_residual_row(product, p);
	uint32_t special = 0;

	for (size_t i = 0; i < count; i += 16) {
		__m512i values = load_values(format, row, n + i, count - i < 16 ? count - i : 16);

		for (size_t half = 0; half < 2; half++)
			_mm512_store_pd(to + i + half * 8, _mm512_mul_pd(half_of(values, half), factor));
		special |= (uint32_t)no_numbers(_mm512_castsi512_ps(values)) << i;
	}
	return special;
}

/* ---- the ends in doubles ------------------------------------------------- */

/* The ends of what is to be bent and limited. */
INLINE void straight_ends(const struct stage *stage, bool rich, const struct pair *pair, size_t half, __m512d *low,
			  __m512d *high)
{
	const __m512d value = _mm512_load_pd(pair->sum[half]);
	const __m512d scale = _mm512_load_pd(stage->scale + pair->at[half]);
	__m512d less = _mm512_load_pd(stage->bias + pair->at[half]), more = less;

	if (rich && pair->residual[half]) {
		more = _mm512_add_round_pd(less, _mm512_load_pd(pair->residual[half]), UP);
		less = _mm512_add_round_pd(less, _mm512_load_pd(pair->residual[half]), DOWN);
	}
	*low = _mm512_fmadd_round_pd(value, scale, less, DOWN);
	*high = _mm512_fmadd_round_pd(value, scale, more, UP);
	if (pair->error[half]) {
		__m512d off = _mm512_mul_round_pd(_mm512_load_pd(pair->error[half]), _mm512_abs_pd(scale), UP);

		*low = _mm512_sub_round_pd(*low, off, DOWN);
		*high = _mm512_add_round_pd(*high, off, UP);
	}
}

/* The ends of results. */
INLINE void ends(const struct stage *stage, bool rich, const struct pair *pair, size_t half, __m512d *low, __m512d *high)
{
	const __m512d zero = _mm512_setzero_pd();

	straight_ends(stage, rich, pair, half, low, high);
	if (rich && stage->bends)
		bend_reals(_mm512_load_pd(stage->slope + pair->at[half]), low, high);
	*low = _mm512_max_pd(*low, _mm512_set1_pd(stage->least));
	*high = _mm512_max_pd(*high, _mm512_set1_pd(stage->least));
	if (rich) {
		*low = _mm512_min_pd(*low, _mm512_set1_pd(stage->most));
		*high = _mm512_min_pd(*high, _mm512_set1_pd(stage->most));
	}
	/* A zero without error is +0. */
	*low = _mm512_add_pd(*low, zero);
	*high = _mm512_add_pd(*high, zero);
}

/* Codes; in *@doubt those whose ends round to different ones. */
INLINE __m512i codes_of_ends(enum xrnpe_format out, bool rich, const struct stage *stage, const struct pair *pair,
			     __mmask16 *doubt)
{
	__m512d low[2], high[2];
	__m512i codes;

#pragma GCC unroll 2
	for (size_t half = 0; half < 2; half++)
		ends(stage, rich, pair, half, &low[half], &high[half]);
	codes = encode16(out, low[0], low[1]);
	*doubt = _mm512_cmpneq_epi32_mask(codes, encode16(out, high[0], high[1]));
	return codes;
}

/* ---- the ends in floats --------------------------------------------------- */

/* 16 ends in doubles to floats, with the rounding mode. */
#define FLOATS(ends, mode)								\
	_mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvt_roundpd_ps((ends)[0], mode)), \
			   _mm512_cvt_roundpd_ps((ends)[1], mode), 1)

INLINE __m512 slopes_of(const struct stage *stage, const struct pair *pair)
{
	return _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_load_ps(stage->slope32 + pair->at[0])),
				  _mm256_load_ps(stage->slope32 + pair->at[1]), 1);
}

/*
 * Codes in half as many instructions: between floats, and with one rounding. In *@doubt those of which
 * more is to be known.
 */
INLINE __m512i codes_between(enum xrnpe_format out, bool rich, const struct stage *stage, const struct pair *pair,
			     __mmask16 *doubt)
{
	__m512d low_reals[2], high_reals[2];
	__m512i low_bits, high_bits;
	__m512 low, high;

#pragma GCC unroll 2
	for (size_t half = 0; half < 2; half++)
		straight_ends(stage, rich, pair, half, &low_reals[half], &high_reals[half]);
	low = FLOATS(low_reals, DOWN);
	high = FLOATS(high_reals, UP);
	if (rich && stage->bends)
		bend_floats(slopes_of(stage, pair), &low, &high);
	low = _mm512_max_ps(low, _mm512_set1_ps((float)stage->least));
	high = _mm512_max_ps(high, _mm512_set1_ps((float)stage->least));
	if (rich) {
		low = _mm512_min_ps(low, _mm512_set1_ps((float)stage->most));
		high = _mm512_min_ps(high, _mm512_set1_ps((float)stage->most));
	}
	low_bits = _mm512_castps_si512(_mm512_add_ps(low, _mm512_setzero_ps()));
	high_bits = _mm512_castps_si512(_mm512_add_ps(high, _mm512_setzero_ps()));
	*doubt = may_tie(out, low_bits, high_bits);
	return encode_odd(out, low_bits);
}

/* Codes of @lanes; in *@doubt those that are not known. */
INLINE __m512i near_codes(enum xrnpe_format out, bool rich, const struct stage *stage, const struct pair *pair,
			  __mmask16 lanes, __mmask16 *doubt)
{
	__m512i codes = _mm512_setzero_si512();

	*doubt = lanes;
	if (out != XRNPE_FORMAT_F32)
		codes = codes_between(out, rich, stage, pair, doubt);
	if (*doubt & lanes)
		codes = codes_of_ends(out, rich, stage, pair, doubt);
	*doubt &= lanes;
	return codes;
}

/* ---- rows ------------------------------------------------------------------ */

INLINE struct pair pair_of(const struct near_rows *rows, size_t low_row, size_t low, size_t high_row, size_t high)
{
	const double *error = rows->error;

	return (struct pair){
		.sum = { rows->sum[low_row] + low, rows->sum[high_row] + high },
		.error = { error ? error + low_row * rows->pitch + low : NULL,
			   error ? error + high_row * rows->pitch + high : NULL },
		.residual = { rows->residual ? rows->residual[low_row] + low : NULL,
			      rows->residual ? rows->residual[high_row] + high : NULL },
		.at = { low, high },
	};
}

/* Of at most 8 channels: two rows at a time. A last row that is alone is taken twice. */
INLINE void put_few(enum xrnpe_format out, bool rich, const struct stage *stage, const struct near_rows *rows)
{
	const __mmask16 half = (__mmask16)first_lanes(rows->count), lanes = (__mmask16)(half | half << 8);

	for (size_t r = 0; r < rows->rows; r += 2) {
		size_t last = r + 1 < rows->rows ? r + 1 : r;
		struct pair pair = pair_of(rows, r, 0, last, 0);
		__mmask16 doubt;
		__m512i codes = near_codes(out, rich, stage, &pair, lanes, &doubt);

		store16(out, rows->out[last], rows->n,
			_mm512_castsi256_si512(_mm512_extracti64x4_epi64(codes, 1)), rows->count);
		store16(out, rows->out[r], rows->n, codes, rows->count);
		rows->doubt[last] |= doubt >> 8;
		rows->doubt[r] |= doubt & 255;
	}
}

INLINE void put_rows(enum xrnpe_format out, bool rich, const struct stage *stage, const struct near_rows *rows)
{
	if (rows->count <= 8) {
		put_few(out, rich, stage, rows);
		return;
	}
	for (size_t r = 0; r < rows->rows; r++) {
		for (size_t i = 0; i < rows->count; i += 16) {
			struct pair pair = pair_of(rows, r, i, r, i + 8);
			size_t some = rows->count - i < 16 ? rows->count - i : 16;
			__mmask16 doubt;

			store16(out, rows->out[r], rows->n + i,
				near_codes(out, rich, stage, &pair, (__mmask16)first_lanes(some), &doubt), some);
			rows->doubt[r] |= (uint32_t)doubt << i;
		}
	}
}

#define FORMAT(name, format)								\
	TARGET static void put_##name(bool rich, const struct stage *stage, const struct near_rows *rows) \
	{										\
		if (rich)								\
			put_rows(format, true, stage, rows);				\
		else									\
			put_rows(format, false, stage, rows);				\
	}
FORMAT(fp4, XRNPE_FORMAT_FP4)
FORMAT(p4, XRNPE_FORMAT_P4)
FORMAT(p16, XRNPE_FORMAT_P16)
FORMAT(f32, XRNPE_FORMAT_F32)

void xrnpe_avx512_put_near(const struct xrnpe_product *product, const struct stage *stage,
			   const double (*sum)[LANES], const double *error, size_t pitch, uint64_t p,
			   uint8_t *const *row, size_t rows, uint64_t n, size_t count, uint32_t *doubt)
{
	static void (*const put[])(bool rich, const struct stage *stage, const struct near_rows *rows) = {
		[XRNPE_FORMAT_FP4] = put_fp4, [XRNPE_FORMAT_P4] = put_p4, [XRNPE_FORMAT_P16] = put_p16,
		[XRNPE_FORMAT_F32] = put_f32,
	};
	double residual[ROWS][LANES] __attribute__((aligned(64)));
	struct near_rows all = { sum, error, pitch, NULL, row, rows, count, n, doubt };

	memset(doubt, 0, rows * sizeof(*doubt));
	if (product->residual) {
		for (size_t r = 0; r < rows; r++)
			doubt[r] = xrnpe_avx512_residuals(product, p + r, n, count, residual[r]);
		all.residual = (const double (*)[LANES])residual;
	}
	if (product->out == XRNPE_FORMAT_P8 || (product->out < XRNPE_FORMAT_P8 && !(n % 2)))
		xrnpe_avx512_put_near_units(product->out, stage, &all);
	else
		put[product->out](is_rich(product), stage, &all);
}

/* ---- codes of a row ----------------------------------------------------- */

TARGET uint32_t xrnpe_avx512_codes(const struct xrnpe_product *product, const struct stage *stage,
				   const double *sum, const double *error, uint64_t p, uint64_t n, size_t count,
				   uint32_t *code)
{
	double residual[LANES] __attribute__((aligned(64)));
	uint32_t doubts = product->residual ? xrnpe_avx512_residuals(product, p, n, count, residual) : 0;
	struct near_rows row = {
		.sum = (const double (*)[LANES])sum, .error = error,
		.residual = product->residual ? (const double (*)[LANES])residual : NULL,
	};

	for (size_t i = 0; i < count; i += 16) {
		struct pair pair = pair_of(&row, 0, i, 0, i + 8);
		__mmask16 doubt, lanes = (__mmask16)first_lanes(count - i);

		_mm512_storeu_si512(code + i, near_codes(product->out, is_rich(product), stage, &pair, lanes, &doubt));
		doubts |= (uint32_t)doubt << i;
	}
	return doubts;
}

#endif

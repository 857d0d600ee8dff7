// SPDX-License-Identifier: MIT
/*
 * Convolutions of Posit(16,1) inputs by weights of up to 8 bits with AVX-512, without im2col, in
 * integers: twice as fast as in doubles (conv_avx512_p16.c), and exact.
 *
 * If all inputs are multiples of a unit and below 2^SPAN of it, as those of nearly all images are,
 * they are two words: multiples of 2^LOW_BITS units, and what is to be added. Tiles multiply
 * each as conv_avx512.c does.
 */
#ifdef __x86_64__

#define STEP_BYTES (2 * STEP * sizeof(int16_t))	/* two words of a step, then the other two */

#include <math.h>

#include "conv_avx512.h"
#include "cuts_p16.h"

#define LOW_BITS 16
#define SPAN 31
#define NAR 0x8000
#define POLL_RUNS 1024	/* of inputs, between looks at whether to give up */

/* ---- inputs ------------------------------------------------------------- */

struct codes {
	uint16_t high, low;	/* the largest magnitude, and the smallest but zero */
};

TARGET static void look_at(const uint8_t *row, size_t count, struct codes *codes)
{
	const __m512i one = _mm512_set1_epi16(1);
	/* Zero less one is the largest. */
	__m512i high = _mm512_set1_epi16((int16_t)codes->high), low = _mm512_set1_epi16((int16_t)(codes->low - 1));

	for (size_t i = 0; i < count; i += 32) {
		__m512i magnitude = _mm512_abs_epi16(_mm512_maskz_loadu_epi16(
			(__mmask32)first_lanes(count - i), (const int16_t *)row + i));

		high = _mm512_max_epu16(high, magnitude);
		low = _mm512_min_epu16(low, _mm512_sub_epi16(magnitude, one));
	}
	high = _mm512_max_epu16(high, _mm512_srli_epi32(high, 16));
	low = _mm512_min_epu16(low, _mm512_srli_epi32(low, 16));
	codes->high = (uint16_t)_mm512_reduce_max_epu32(_mm512_and_si512(high, _mm512_set1_epi32(UINT16_MAX)));
	codes->low = (uint16_t)(_mm512_reduce_min_epu32(_mm512_and_si512(low, _mm512_set1_epi32(UINT16_MAX))) + 1);
}

/* Look at the inputs of positions @p0..@p1 - 1, up to a NaR. */
static struct codes look_at_inputs(const struct xrnpe_product *product, uint64_t p0, uint64_t p1)
{
	const struct xrnpe_operand *o = &product->cmd->operand[XRNPE_OPERAND_IFM];
	const struct xrnpe_dims_image *d = &product->cmd->image;
	bool dense = o->pixel_stride == d->in_c * sizeof(uint16_t);
	size_t runs = dense ? 1 : d->in_w, count = dense ? (size_t)d->in_w * d->in_c : d->in_c;
	int64_t first = (int64_t)(p0 / d->out_w) * d->stride_h - d->pad_top;
	int64_t last = (int64_t)((p1 - 1) / d->out_w) * d->stride_h - d->pad_top + (d->kernel_h - 1) * d->dilation_h;
	struct codes codes = { .low = UINT16_MAX };

	for (int64_t y = first < 0 ? 0 : first; y <= last && y < d->in_h; y++) {
		const uint8_t *row = product->ifm.memory + (uint64_t)y * product->ifm.row_stride;

		for (size_t i = 0; i < runs && codes.high < NAR; i++) {
			if (!(i % POLL_RUNS) && xrnpe_cancelled(product->cancel))
				return codes;
			look_at(row + i * o->pixel_stride, count, &codes);
		}
	}
	return codes;
}

/* The least exponent of a power of two that all of them are below. */
static int exponent_of(struct codes codes)
{
	int exponent;

	frexp(xrnpe_decode(XRNPE_FORMAT_P16, codes.high), &exponent);
	return exponent;
}

/* As in struct xrnpe_decoder, of an even number of elements. */
TARGET static bool decode(const struct xrnpe_product *product, const struct xrnpe_factor *factor, const uint8_t *row,
			  size_t first, size_t count, void *values)
{
	/* The high words of two elements, then the low ones. */
	const __m512i order = _mm512_broadcast_i32x4(_mm_setr_epi8(2, 3, 6, 7, 0, 1, 4, 5, 10, 11, 14, 15, 8, 9, 12, 13));
	const __m512 scale = _mm512_set1_ps(factor->scale);
	uint8_t *to = values;
	__mmask16 nar = 0;

	for (size_t i = 0; i < count; i += 16, to += 64) {
		__m512 value = _mm512_castsi512_ps(load_values(XRNPE_FORMAT_P16, row, first + i,
							       count - i < 16 ? count - i : 16));
		__mmask16 special = no_numbers(value);
		__m512i whole = _mm512_maskz_cvtps_epi32((__mmask16)~special, _mm512_mul_ps(value, scale));
		/* The low word has a sign, too. */
		__m512i high = _mm512_add_epi32(whole, _mm512_set1_epi32(1 << (LOW_BITS - 1)));

		nar |= special;
		_mm512_storeu_si512(to, _mm512_shuffle_epi8(_mm512_mask_blend_epi16(0xaaaaaaaa, whole, high), order));
	}
	return nar;
}

static const struct xrnpe_decoder two_words = { decode, 2 * sizeof(int16_t), 0 };

/* ---- panels ------------------------------------------------------------- */

static struct plan plan_of(const struct xrnpe_product *product)
{
	return plan_for(product, &two_words, 1 << (LOW_BITS - 1));
}

/* Layout of the scratch memory; then rows_or_lines(). */
struct scratch {
	int32_t narrow[2][ROWS][LANES] __attribute__((aligned(64)));	/* sums of high words, and of low ones */
	int64_t wide[2][ROWS][LANES];			/* the same where 32 bits may be too few */
	double sum[ROWS][LANES], error[ROWS][LANES];	/* in units of the grid; of sums beyond 2^53 */
	struct windows windows;
	struct xrnpe_product product;			/* that lines know */
};

static void fill(const struct xrnpe_product *product, uint64_t n, size_t count, void *memory, void *scratch)
{
	struct plan plan = plan_of(product);
	struct panel *panel = memory;

	xrnpe_avx512_scales(product, n, count, P16_UNIT, &panel->stage);
	fill_panel(product, &plan, n, count, panel, (uint8_t *)((struct scratch *)scratch + 1));
}

/* ---- blocks ------------------------------------------------------------- */

static void skip_words(struct windows *windows, size_t quads, ptrdiff_t bytes)
{
	for (size_t line = 0; line < windows->lines; line++) {
		for (size_t q = 0; q < quads; q++)
			windows->at[line][q] += bytes;
	}
}

/* 8 of the sums in units of the grid, of which those of the kernel are @grid. */
INLINE void add_words(const struct panel *panel, struct scratch *scratch, size_t r, size_t i, __m512d grid)
{
	__m512d high, low, sum;

	if (panel->safe) {
		high = _mm512_cvtepi32_pd(_mm256_load_si256((const __m256i *)(scratch->narrow[0][r] + i)));
		low = _mm512_cvtepi32_pd(_mm256_load_si256((const __m256i *)(scratch->narrow[1][r] + i)));
		sum = _mm512_fmadd_pd(high, _mm512_set1_pd(1 << LOW_BITS), low);
	} else {
		sum = _mm512_cvtepi64_pd(_mm512_add_epi64(
			_mm512_slli_epi64(_mm512_load_si512(scratch->wide[0][r] + i), LOW_BITS),
			_mm512_load_si512(scratch->wide[1][r] + i)));
		_mm512_store_pd(scratch->error[r] + i,
				_mm512_mul_pd(_mm512_mul_pd(_mm512_abs_pd(sum), grid), _mm512_set1_pd(0x1p-52)));
	}
	_mm512_store_pd(scratch->sum[r] + i, _mm512_mul_pd(sum, grid));
}

/* The sums of a panel. @grid: units in one of the grid. */
TARGET static void multiply_panel(const struct plan *plan, const struct panel *panel, size_t quads, size_t vectors,
				  size_t rows, double grid, struct scratch *scratch)
{
	const ptrdiff_t word = STEP * sizeof(int16_t);

	for (size_t i = 0; i < 2; i++) {
		if (panel->safe)
			multiply_tile(&scratch->windows, quads, vectors, plan->steps, panel->weights, scratch->narrow[i]);
		else
			multiply_wide(plan, panel, &scratch->windows, quads, vectors, rows, scratch->narrow[i],
				      scratch->wide[i]);
		skip_words(&scratch->windows, quads, i ? -word : word);
	}
	for (size_t r = 0; r < rows; r++) {
		for (size_t i = 0; i < vectors * 16; i += 8)
			add_words(panel, scratch, r, i, _mm512_set1_pd(grid));
	}
}

/* Outputs of position @p, row @r of the tile, that are in doubt, to @row, from sums in units of 2^@unit. */
static void settle(const struct xrnpe_product *product, const struct panel *panel, const struct scratch *scratch,
		   size_t r, int unit, uint64_t p, uint64_t n, size_t count, uint32_t doubt, uint8_t *row,
		   uint32_t *status)
{
	for (size_t i = 0; i < count; i++) {
		int64_t high = panel->safe ? scratch->narrow[0][r][i] : scratch->wide[0][r][i];
		int64_t low = panel->safe ? scratch->narrow[1][r][i] : scratch->wide[1][r][i];
		int64_t sum = high * (1 << LOW_BITS) + low;
		struct xrnpe_term term = {
			.negative = sum < 0, .exponent = unit, .magnitude = (uint64_t)(sum < 0 ? -sum : sum),
		};

		if (doubt >> i & 1)
			xrnpe_store(product->out, row, n + i, xrnpe_output(product, p, n + i, term, false, status));
	}
}

TARGET static void run(const struct xrnpe_product *product, const struct xrnpe_block *block,
		       const void *panels, void *memory, uint32_t *status)
{
	const int input_unit = exponent_of(look_at_inputs(product, block->p0, block->p1)) - SPAN;
	const int unit = input_unit + xrnpe_grid_unit(product->weight.format);
	struct plan plan = plan_of(product);
	struct scratch *scratch = memory;
	uint64_t p = block->p0;
	size_t rows;

	scratch->product = *product;
	scratch->product.ifm.scale = (float)power(-input_unit);
	windows_start(&scratch->windows, &scratch->product, plan.input, block->n0, scratch + 1);
	for (; p < block->p1; p += rows) {
		const uint8_t *at = panels;
		uint8_t *out[ROWS];
		bool nar[ROWS] = { 0 };
		size_t quads = windows_place(&scratch->windows, p, block->p1, &rows, nar);

		if (!quads)
			return;
		xrnpe_output_rows(product, p, rows, out);
		for (uint64_t n = block->n0; n < block->n1; n += LANES, at += panel_bytes(&plan)) {
			const struct panel *panel = (const struct panel *)at;
			size_t count = block->n1 - n < LANES ? (size_t)(block->n1 - n) : LANES;
			uint32_t doubt[ROWS];

			if (xrnpe_cancelled(product->cancel))
				return;
			multiply_panel(&plan, panel, quads, vectors_for(count), rows, power(unit - P16_UNIT), scratch);
			xrnpe_avx512_put_near(product, &panel->stage, (const double (*)[LANES])scratch->sum,
					      panel->safe ? NULL : scratch->error[0], LANES, p, out, rows, n, count,
					      doubt);
			for (size_t r = 0; r < rows; r++) {
				if (doubt[r])
					settle(product, panel, scratch, r, unit, p + r, n, count, doubt[r], out[r],
					       status);
				if (nar[r] || panel->stage.any_nar)
					xrnpe_put_nar(product, nar[r] ? NULL : panel->stage.nar, out[r], n, count, status);
			}
		}
	}
}

/* ---- the kernel ---------------------------------------------------------- */

static bool suits(const struct xrnpe_product *product)
{
	struct codes codes;

	if (product->cmd->opcode != XRNPE_OP_CONV2D || product->ifm.format != XRNPE_FORMAT_P16 ||
	    product->weight.format == XRNPE_FORMAT_P16)
		return false;
	/* So that a step is of one pixel. */
	if (xrnpe_inputs(product) % STEP || !windows_size(product, &two_words) || !windows_pay(product, QUAD, LANES))
		return false;
	codes = look_at_inputs(product, 0, product->positions);
	return codes.high < NAR && exponent_of(codes) - range_of(codes.high, codes.low).least <= SPAN;
}

static struct xrnpe_tiling tiling(const struct xrnpe_product *product)
{
	struct plan plan = plan_of(product);

	return tiling_of(&plan, ROWS);
}

static size_t scratch_size(const struct xrnpe_product *product, const struct xrnpe_block *shape)
{
	struct plan plan = plan_of(product);

	return sizeof(struct scratch) + rows_or_lines(product, &plan);
}

const struct xrnpe_kernel xrnpe_conv_avx512_split = {
	.suits = suits,
	.looks = true,
	.tiling = tiling,
	.fill = fill,
	.scratch = scratch_size,
	.run = run,
};

#endif

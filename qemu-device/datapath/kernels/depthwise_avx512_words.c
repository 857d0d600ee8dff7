// SPDX-License-Identifier: MIT
/*
 * Depthwise convolutions of up to 8 bits with AVX-512, in integers: words of two taps side by
 * side are multiplied and added in lanes of 32 bits, and the output stage is that of the other
 * convolutions. What could overflow, and channels that share an input, are left to
 * depthwise_avx512.c.
 */
#ifdef __x86_64__

#include <string.h>

#include "avx512.h"
#include "depthwise_blocks.h"

#define MOST_TAPS 128		/* no sum of so many products of FP4 or Posit(4,1) overflows */
#define PAIR (2 * LANES * sizeof(int16_t))	/* bytes of the weights of two taps */

struct panel {
	struct stage stage;
	/* Of two taps: channels 0..3 of every 8, as vectors are unpacked, then channels 4..7. */
	uint8_t weights[MOST_TAPS / 2 * PAIR] __attribute__((aligned(64)));
};

/* Layout of the scratch memory; then panels, and lines. */
struct scratch {
	int32_t sum[ROWS][LANES] __attribute__((aligned(64)));
	int16_t taps[MOST_TAPS][LANES];		/* weights of a panel */
	struct xrnpe_lines lines;
};

/* ---- panels ------------------------------------------------------------ */

/* Grid values of a channel's weights, one in a lane of each tap; true if any is NaR. */
static bool fill_lane(const struct xrnpe_product *product, uint64_t n, int16_t *value)
{
	const struct xrnpe_factor *factor = &product->weight;
	const uint8_t *tap = xrnpe_weight_row(product, n), mask = factor->format == XRNPE_FORMAT_P8 ? 255 : 15;
	size_t step = product->cmd->operand[XRNPE_OPERAND_WEIGHT].pixel_stride;
	bool nar = false;

	for (size_t k = 0; k < product->k; k++, tap += step, value += LANES) {
		int16_t grid = factor->narrow[*tap & mask];

		*value = grid == XRNPE_NARROW_NAR ? 0 : grid;
		nar |= grid == XRNPE_NARROW_NAR;
	}
	return nar;
}

TARGET static void fill_panel(const struct xrnpe_product *product, uint64_t n, size_t count, struct panel *panel,
			      int16_t (*taps)[LANES])
{
	struct stage *stage = &panel->stage;

	xrnpe_avx512_stage(product, n, count, stage);
	memset(taps, 0, (product->k + 1) / 2 * 2 * sizeof(*taps));
	for (size_t i = 0; i < count; i++) {
		stage->nar[i] = fill_lane(product, n + i, taps[0] + i);
		stage->any_nar |= stage->nar[i];
	}
	for (size_t k = 0; k < product->k; k += 2) {
		__m512i even = _mm512_load_si512(taps[k]), odd = _mm512_load_si512(taps[k + 1]);
		uint8_t *to = panel->weights + k / 2 * PAIR;

		_mm512_store_si512(to, _mm512_unpacklo_epi16(even, odd));
		_mm512_store_si512(to + PAIR / 2, _mm512_unpackhi_epi16(even, odd));
	}
}

/* ---- sums -------------------------------------------------------------- */

/* Where the inputs of a line of the output are. */
struct window {
	const uint8_t *tap[MOST_TAPS];	/* of the first position; after an odd number, the last once more */
	size_t taps, step;		/* and from position to position, in bytes */
	bool any_nar;
};

/* False if the command is cancelled. */
static bool look(struct xrnpe_lines *lines, uint64_t y, struct window *window)
{
	const struct xrnpe_dims_image *d = &lines->product->cmd->image;

	window->any_nar = false;
	window->step = d->stride_w * lines->pixel;
	window->taps = 0;
	for (size_t i = 0; i < d->kernel_h; i++) {
		const struct xrnpe_line *line;

		if (xrnpe_cancelled(lines->product->cancel))
			return false;
		line = xrnpe_lines_at(lines, y * d->stride_h + i * d->dilation_h);
		window->any_nar |= line->any_nar;
		for (size_t j = 0; j < d->kernel_w; j++)
			window->tap[window->taps++] = line->values + j * d->dilation_w * lines->pixel;
	}
	if (window->taps % 2) {
		window->tap[window->taps] = window->tap[window->taps - 1];
		window->taps++;
	}
	return true;
}

/* The sums of @rows positions, whose inputs are @offset after those of the first one. */
TARGET static void sum_taps(const struct window *window, size_t offset, const uint8_t *weights, size_t rows,
			    int32_t (*sum)[LANES])
{
	/* Unpacked lanes in order. */
	const __m512i low = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
	const __m512i high = _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);

	for (size_t r = 0; r < rows; r++, offset += window->step) {
		__m512i acc[2] = { _mm512_setzero_si512(), _mm512_setzero_si512() };
		const uint8_t *y = weights;

		for (size_t k = 0; k < window->taps; k += 2, y += PAIR) {
			__m512i even = _mm512_loadu_si512(window->tap[k] + offset);
			__m512i odd = _mm512_loadu_si512(window->tap[k + 1] + offset);

			acc[0] = _mm512_dpwssd_epi32(acc[0], _mm512_unpacklo_epi16(even, odd), _mm512_load_si512(y));
			acc[1] = _mm512_dpwssd_epi32(acc[1], _mm512_unpackhi_epi16(even, odd),
						     _mm512_load_si512(y + PAIR / 2));
		}
		_mm512_store_si512(sum[r], _mm512_permutex2var_epi32(acc[0], low, acc[1]));
		_mm512_store_si512(sum[r] + 16, _mm512_permutex2var_epi32(acc[0], high, acc[1]));
	}
}

/* ---- outputs ------------------------------------------------------------ */

/* Which of channels @n.. have a NaR among the inputs of position @p. */
static void find_nar(const struct xrnpe_product *product, uint64_t p, uint64_t n, size_t count, bool *nar)
{
	const struct xrnpe_operand *o = &product->cmd->operand[XRNPE_OPERAND_IFM];
	const struct xrnpe_dims_image *d = &product->cmd->image;

	for (size_t k = 0; k < product->k; k++) {
		int64_t y = (int64_t)(p / d->out_w * d->stride_h + k / d->kernel_w * d->dilation_h) - d->pad_top;
		int64_t x = (int64_t)(p % d->out_w * d->stride_w + k % d->kernel_w * d->dilation_w) - d->pad_left;
		const uint8_t *pixel;

		if (y < 0 || y >= d->in_h || x < 0 || x >= d->in_w)
			continue;
		pixel = product->ifm.memory + (uint64_t)y * product->ifm.row_stride + (uint64_t)x * o->pixel_stride;
		for (size_t i = 0; i < count; i++)
			nar[i] |= product->ifm.narrow[xrnpe_load(product->ifm.format, pixel, n + i)] == XRNPE_NARROW_NAR;
	}
}

/* Channels @n.. of @rows positions of a line from @p on, the first of which is in column @x. */
static void put(const struct xrnpe_product *product, const struct window *window, const struct panel *panel,
		struct scratch *scratch, uint64_t p, uint64_t x, size_t lane, size_t rows, uint64_t n, size_t count,
		uint32_t *status)
{
	struct sums sums = { .narrow = scratch->sum[0] };
	uint8_t *out[ROWS];

	xrnpe_fetch_residuals(product, p, rows, n);
	xrnpe_output_rows(product, p, rows, out);
	sum_taps(window, x * window->step + lane * sizeof(int16_t), panel->weights, rows, scratch->sum);
	xrnpe_avx512_put(product, &panel->stage, &sums, p, out, rows, n, count, status);
	for (size_t r = 0; r < rows && (window->any_nar || panel->stage.any_nar); r++) {
		bool nar[LANES];

		if (xrnpe_cancelled(product->cancel))
			return;
		memcpy(nar, panel->stage.nar, sizeof(nar));
		if (window->any_nar)
			find_nar(product, p + r, n, count, nar);
		xrnpe_put_nar(product, nar, out[r], n, count, status);
	}
}

TARGET static void run(const struct xrnpe_product *product, const struct xrnpe_block *block,
		       const void *panels, void *memory, uint32_t *status)
{
	uint64_t width = product->cmd->image.out_w;
	size_t channels = (size_t)(block->n1 - block->n0), count = xrnpe_panels(channels, LANES);
	struct scratch *scratch = memory;
	struct panel *panel = (struct panel *)(scratch + 1);
	struct window window;

	for (size_t i = 0; i < count; i++) {
		if (xrnpe_cancelled(product->cancel))
			return;
		fill_panel(product, block->n0 + i * LANES, channels - i * LANES < LANES ? channels - i * LANES : LANES,
			   &panel[i], scratch->taps);
	}
	xrnpe_lines_start(&scratch->lines, product, xrnpe_avx512_words(product->ifm.format), (size_t)block->n0,
			  channels, 1, panel + count);
	/* Blocks are whole lines. */
	for (uint64_t p = block->p0; p < block->p1; p += width) {
		if (!look(&scratch->lines, p / width, &window))
			return;
		for (size_t lane = 0; lane < channels; lane += LANES) {
			for (uint64_t x = 0; x < width; x += ROWS) {
				if (xrnpe_cancelled(product->cancel))
					return;
				put(product, &window, &panel[lane / LANES], scratch, p + x, x, lane,
				    width - x < ROWS ? (size_t)(width - x) : ROWS, block->n0 + lane,
				    channels - lane < LANES ? channels - lane : LANES, status);
			}
		}
	}
}

/* ---- the kernel --------------------------------------------------------- */

static bool suits(const struct xrnpe_product *product)
{
	if (product->group_channels != 1 || xrnpe_wide(product) || product->k >= MOST_TAPS)
		return false;
	return (int64_t)product->k * xrnpe_largest(product->ifm.format) * xrnpe_largest(product->weight.format) <=
	       INT32_MAX && has_blocks(product, xrnpe_avx512_words(product->ifm.format));
}

static void shape(const struct xrnpe_product *product, unsigned int threads, struct xrnpe_block *block)
{
	shape_block(product, xrnpe_avx512_words(product->ifm.format), threads, block);
}

static size_t scratch_size(const struct xrnpe_product *product, const struct xrnpe_block *block)
{
	return sizeof(struct scratch) + xrnpe_panels(block->n1, LANES) * sizeof(struct panel) +
	       xrnpe_lines_size(product, xrnpe_avx512_words(product->ifm.format), block->n1, 1);
}

const struct xrnpe_kernel xrnpe_depthwise_avx512_words = {
	.suits = suits,
	.shape = shape,
	.scratch = scratch_size,
	.run = run,
};

#endif

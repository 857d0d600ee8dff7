// SPDX-License-Identifier: MIT
/*
 * Convolutions of Posit(16,1) by windows of 3 x 3 with AVX-512, in doubles, with a quarter of the
 * multiplications: Winograd's minimal filtering, F(4 x 4, 3 x 3) of Lavin and Gray, "Fast Algorithms
 * for Convolutional Neural Networks" (2016).
 *
 * Outputs are computed in squares of 4 x 4. The 6 x 6 inputs that one sees become 36 points, and so do
 * the weights of a channel; products of the two at a point are summed over input channels, and
 * the sums of all points become the outputs. All of it is sums and differences of a few, some times
 * small integers, so that there is a bound on the error as in conv_avx512_p16.c; it is larger, but
 * doubles have bits to spare.
 */
#ifdef __x86_64__

#include <string.h>

#include "conv_avx512_p16.h"

#define PANEL_BYTES (4u << 20)	/* at the most */
#define KERNEL 3		/* lines and columns of a window */
#define SIDE 4			/* of a square of outputs */
#define PATCH (SIDE + KERNEL - 1)	/* of the inputs that it sees */
#define POINTS (PATCH * PATCH)
#define SQUARES ROWS		/* that are computed together */
#define LINE (SQUARES * SIDE)	/* positions of a line of theirs */

/*
 * What comes out is so many times the sum of products; and no sum of magnitudes on the way is
 * above so many times the one of a window's products, if the largest weight stands for all and
 * so does the largest input, see numerics.rst.
 */
#define GAIN (24 * 24)
#define GROWTH (1152 * 1152)
#define STEPS 16		/* roundings on the way, but those of the sum over input channels */

/* The squares that are computed together: of one line of squares after the other. */
struct group {
	uint64_t first, across;	/* the first one; squares in a line */
	size_t squares;
	bool nar[SIDE][LINE];	/* by output, whether an input is NaR */
	struct seen seen;
};

/* Layout of the scratch memory; then what struct layout says, or rows of weights. */
struct scratch {
	double sums[POINTS][SQUARES][LANES] __attribute__((aligned(64)));
	double output[SIDE][LINE][LANES];
	struct xrnpe_lines lines;
	struct group group;
};

/* Squares that @length outputs take. */
static uint64_t squares_in(uint64_t length)
{
	return (length + SIDE - 1) / SIDE;
}

/* ---- memory ------------------------------------------------------------ */

static size_t point_size(const struct xrnpe_product *product)
{
	return xrnpe_inputs(product) * HALF;
}

static size_t panel_bytes(const struct xrnpe_product *product)
{
	return sizeof(struct panel) + POINTS * point_size(product) * (LANES / HALF) * sizeof(double);
}

/* Bytes of the input channels of a square at a point: an odd number of lines, lest squares compete for sets. */
static size_t square_pitch(const struct xrnpe_product *product)
{
	return (xrnpe_inputs(product) * sizeof(double) + 63) / 64 / 2 * 128 + 64;
}

static size_t point_pitch(const struct xrnpe_product *product)
{
	return SQUARES * square_pitch(product);
}

/* Where behind struct scratch there is what blocks need: points of inputs, then these. */
struct layout {
	size_t lines, zeros, rows;	/* of the image; a pixel; two, for settle_row() */
	size_t size;
};

static struct layout layout_of(const struct xrnpe_product *product)
{
	size_t lines = xrnpe_lines_size(product, &xrnpe_avx512_doubles, xrnpe_inputs(product), SIDE);
	struct layout layout = { .lines = POINTS * point_pitch(product) };

	layout.zeros = layout.lines + (lines + 63) / 64 * 64;
	layout.rows = layout.zeros + square_pitch(product);
	layout.size = layout.rows + 2 * pitch_of(product);
	return layout;
}

static uint8_t *points_of(struct scratch *scratch)
{
	return (uint8_t *)(scratch + 1);
}

static uint8_t *zeros_of(const struct xrnpe_product *product, struct scratch *scratch)
{
	return points_of(scratch) + layout_of(product).zeros;
}

static size_t scratch_size(const struct xrnpe_product *product, const struct xrnpe_block *shape)
{
	size_t decoded = 8 * pitch_of(product), used = layout_of(product).size;

	return sizeof(struct scratch) + (decoded > used ? decoded : used);
}

/* ---- transforms ---------------------------------------------------------- */

/* Of a line or column of a patch. */
INLINE void transform_inputs(const __m512d d[PATCH], __m512d point[PATCH])
{
	const __m512d two = _mm512_set1_pd(2), four = _mm512_set1_pd(4), five = _mm512_set1_pd(5);
	__m512d a = _mm512_fnmadd_pd(four, d[2], d[4]), b = _mm512_fnmadd_pd(four, d[1], d[3]);
	__m512d c = _mm512_sub_pd(d[4], d[2]), e = _mm512_sub_pd(d[3], d[1]);

	point[0] = _mm512_fmadd_pd(four, d[0], _mm512_fnmadd_pd(five, d[2], d[4]));
	point[1] = _mm512_add_pd(a, b);
	point[2] = _mm512_sub_pd(a, b);
	point[3] = _mm512_fmadd_pd(two, e, c);
	point[4] = _mm512_fnmadd_pd(two, e, c);
	point[5] = _mm512_fmadd_pd(four, d[1], _mm512_fnmadd_pd(five, d[3], d[5]));
}

/* Of a line or column of a window. */
INLINE void transform_weights(const __m512d g[KERNEL], __m512d point[PATCH])
{
	const __m512d two = _mm512_set1_pd(2), four = _mm512_set1_pd(4);
	__m512d ends = _mm512_add_pd(g[0], g[2]), far = _mm512_fmadd_pd(four, g[2], g[0]);

	point[0] = g[0];
	point[1] = _mm512_add_pd(ends, g[1]);
	point[2] = _mm512_sub_pd(ends, g[1]);
	point[3] = _mm512_fmadd_pd(two, g[1], far);
	point[4] = _mm512_fnmadd_pd(two, g[1], far);
	point[5] = g[2];
}

/* The way back. The transforms of weights are as simple as they are as factors of 6, -4, 1 and 24 are here. */
INLINE void transform_sums(const __m512d m[PATCH], __m512d output[SIDE])
{
	const __m512d two = _mm512_set1_pd(2), four = _mm512_set1_pd(4);
	__m512d p = _mm512_add_pd(m[1], m[2]), q = _mm512_mul_pd(_mm512_sub_pd(m[2], m[1]), four);
	__m512d r = _mm512_add_pd(m[3], m[4]), s = _mm512_sub_pd(m[3], m[4]);

	output[0] = _mm512_fmadd_pd(_mm512_set1_pd(6), m[0], _mm512_fnmadd_pd(four, p, r));
	output[1] = _mm512_fmadd_pd(two, s, q);
	output[2] = _mm512_mul_pd(four, _mm512_sub_pd(r, p));
	output[3] = _mm512_fmadd_pd(_mm512_set1_pd(24), m[5], _mm512_fmadd_pd(_mm512_set1_pd(8), s, q));
}

/* ---- panels ------------------------------------------------------------ */

/* The points of an input channel, from its weights in eight output channels, by tap. */
INLINE void put_weights(const __m512d *tap, size_t size, double *to)
{
	__m512d half[PATCH][KERNEL], column[KERNEL], point[PATCH];

#pragma GCC unroll 3
	for (size_t j = 0; j < KERNEL; j++) {
		for (size_t i = 0; i < KERNEL; i++)
			column[i] = tap[(i * KERNEL + j) * 8];
		transform_weights(column, point);
#pragma GCC unroll 6
		for (size_t i = 0; i < PATCH; i++)
			half[i][j] = point[i];
	}
#pragma GCC unroll 6
	for (size_t i = 0; i < PATCH; i++) {
		transform_weights(half[i], point);
#pragma GCC unroll 6
		for (size_t j = 0; j < PATCH; j++)
			_mm512_store_pd(to + (i * PATCH + j) * size, point[j]);
	}
}

/* Eight of the channels, from their rows: by half of all, point and input channel; unless cancelled. */
TARGET static void fill_lanes(const struct xrnpe_product *product, const uint8_t *rows, size_t lane,
			      struct panel *panel)
{
	const size_t channels = xrnpe_inputs(product), size = point_size(product);
	double *to = panel->values + lane / HALF * POINTS * size + lane % HALF;
	__m512d sum = _mm512_setzero_pd();
	__m512i bits = _mm512_setzero_si512();

	for (size_t c = 0; c < channels; c += 8) {
		__m512d tap[KERNEL * KERNEL][8];

		if (xrnpe_cancelled(product->cancel))
			return;
		for (size_t t = 0; t < KERNEL * KERNEL; t++)
			transpose_reals(rows + (t * channels + c) * sizeof(double), pitch_of(product), tap[t]);
		for (size_t i = 0; i < 8 && c + i < channels; i++, to += HALF) {
			for (size_t t = 0; t < KERNEL * KERNEL; t++) {
				__m512d magnitude = _mm512_abs_pd(tap[t][i]);

				sum = _mm512_add_pd(sum, magnitude);
				bits = note_bits(bits, magnitude);
			}
			put_weights(&tap[0][i], size, to);
		}
	}
	_mm512_store_pd(panel->magnitudes + lane, sum);
	panel->bits |= (uint64_t)_mm512_reduce_or_epi64(bits);
}

static void fill(const struct xrnpe_product *product, uint64_t n, size_t count, void *memory, void *scratch)
{
	uint8_t *rows = points_of(scratch);
	struct panel *panel = memory;

	panel->bits = 0;
	xrnpe_avx512_scales(product, n, count, P16_UNIT, &panel->stage);
	for (size_t lane = 0; lane < (count + HALF - 1) / HALF * HALF; lane += 8) {
		decode_eight(product, n, count, lane, rows, pitch_of(product), &panel->stage);
		fill_lanes(product, rows, lane, panel);
	}
}

/* ---- inputs -------------------------------------------------------------- */

/* The points of eight input channels of a patch, whose pixels are given by line and column; of the last few only. */
INLINE void put_patch(const double *const pixel[PATCH][PATCH], size_t c, __mmask8 lanes, size_t pitch, uint8_t *to)
{
	__m512d half[PATCH][PATCH], column[PATCH], point[PATCH];

#pragma GCC unroll 6
	for (size_t j = 0; j < PATCH; j++) {
#pragma GCC unroll 6
		for (size_t i = 0; i < PATCH; i++)
			column[i] = _mm512_maskz_loadu_pd(lanes, pixel[i][j] + c);
		transform_inputs(column, point);
#pragma GCC unroll 6
		for (size_t i = 0; i < PATCH; i++)
			half[i][j] = point[i];
	}
#pragma GCC unroll 6
	for (size_t i = 0; i < PATCH; i++) {
		transform_inputs(half[i], point);
#pragma GCC unroll 6
		for (size_t j = 0; j < PATCH; j++)
			_mm512_store_pd((double *)(to + (i * PATCH + j) * pitch) + c, point[j]);
	}
}

/* The points of the square at column @x of the output, from the lines that it sees. */
TARGET static void put_square(const struct xrnpe_product *product, struct scratch *scratch,
			      struct xrnpe_line *const line[PATCH], uint64_t x, uint8_t *to)
{
	const double *zeros = (const double *)zeros_of(product, scratch);
	const double *pixel[PATCH][PATCH];
	size_t channels = xrnpe_inputs(product);

	for (size_t i = 0; i < PATCH; i++) {
		for (size_t j = 0; j < PATCH; j++)
			pixel[i][j] = x + j < scratch->lines.width ?
				      (const double *)line[i]->values + (x + j) * channels : zeros;
	}
	for (size_t c = 0; c < channels; c += 8)
		put_patch(pixel, c, (__mmask8)first_lanes(channels - c), point_pitch(product), to);
}

/* Which outputs of a square have a NaR among their inputs. */
static void note_nars(const struct xrnpe_lines *lines, struct xrnpe_line *const line[PATCH], uint64_t x,
		      bool (*nar)[LINE])
{
	for (size_t i = 0; i < PATCH; i++) {
		for (size_t j = 0; line[i]->any_nar && j < PATCH && x + j < lines->width; j++) {
			if (!line[i]->nar[x + j])
				continue;
			for (size_t y = i < KERNEL ? 0 : i - KERNEL + 1; y <= i && y < SIDE; y++) {
				for (size_t k = j < KERNEL ? 0 : j - KERNEL + 1; k <= j && k < SIDE; k++)
					nar[y][k] = true;
			}
		}
	}
}

/* Squares of a group from the @i-th on that are in one line. */
static size_t squares_in_line(const struct group *group, size_t i)
{
	uint64_t left = group->across - (group->first + i) % group->across;

	return left < group->squares - i ? (size_t)left : group->squares - i;
}

/* The points of the squares of a group; false if cancelled. */
static bool look_at_squares(const struct xrnpe_product *product, struct scratch *scratch)
{
	struct group *group = &scratch->group;
	size_t rows = (group->squares + QUAD - 1) / QUAD * QUAD;
	uint8_t *to = points_of(scratch);

	group->seen = (struct seen){ 0 };
	memset(group->nar, 0, sizeof(group->nar));
	for (size_t i = 0, some; i < group->squares; i += some) {
		uint64_t first = group->first + i;
		struct xrnpe_line *line[PATCH];

		some = squares_in_line(group, i);
		for (size_t j = 0; j < PATCH; j++) {
			if (xrnpe_cancelled(product->cancel))
				return false;
			line[j] = xrnpe_lines_at(&scratch->lines, first / group->across * SIDE + j);
			note_line(&group->seen, &scratch->lines, line[j]);
		}
		for (size_t j = 0; j < some; j++) {
			uint64_t x = (first + j) % group->across * SIDE;

			put_square(product, scratch, line, x, to + (i + j) * square_pitch(product));
			note_nars(&scratch->lines, line, x, (bool (*)[LINE])(group->nar[0] + (i + j) * SIDE));
		}
	}
	/* Tiles read whole quads. */
	for (size_t point = 0; point < POINTS; point++)
		memset(to + point * point_pitch(product) + group->squares * square_pitch(product), 0,
		       (rows - group->squares) * square_pitch(product));
	return true;
}

/* ---- outputs ------------------------------------------------------------- */

/* The sums of products at all points, of a panel; false if cancelled. */
static bool multiply(const struct xrnpe_product *product, const struct panel *panel, size_t count,
		     struct scratch *scratch)
{
	size_t quads = (scratch->group.squares + QUAD - 1) / QUAD, size = point_size(product);
	struct windows points;

	windows_of_runs(&points, QUAD, square_pitch(product));
	for (size_t q = 0; q < quads; q++)
		points.row[q] = q * QUAD;
	for (size_t point = 0; point < POINTS; point++) {
		if (xrnpe_cancelled(product->cancel))
			return false;
		for (size_t q = 0; q < quads; q++)
			points.at[0][q] = points_of(scratch) + point * point_pitch(product) + q * QUAD * points.pitch;
		for (size_t i = 0; i < count; i += HALF)
			tiles[quads - 1][count - i > 8](&points, xrnpe_inputs(product),
							panel->values + (i / HALF * POINTS + point) * size,
							(double (*)[LANES])(scratch->sums[point][0] + i));
	}
	return true;
}

/* Eight channels of a square, from its sums. With @divides there is no rounding. */
INLINE void put_outputs(const double *sums, bool divides, double *to)
{
	const __m512d gain = _mm512_set1_pd(GAIN), part = _mm512_set1_pd(1.0 / GAIN);
	__m512d half[SIDE][PATCH], column[PATCH], output[SIDE];

#pragma GCC unroll 6
	for (size_t j = 0; j < PATCH; j++) {
#pragma GCC unroll 6
		for (size_t i = 0; i < PATCH; i++)
			column[i] = _mm512_load_pd(sums + (i * PATCH + j) * SQUARES * LANES);
		transform_sums(column, output);
#pragma GCC unroll 4
		for (size_t i = 0; i < SIDE; i++)
			half[i][j] = output[i];
	}
#pragma GCC unroll 4
	for (size_t i = 0; i < SIDE; i++) {
		transform_sums(half[i], output);
#pragma GCC unroll 4
		for (size_t j = 0; j < SIDE; j++)
			_mm512_store_pd(to + (i * LINE + j) * LANES, divides ? _mm512_div_pd(output[j], gain) :
									       _mm512_mul_pd(output[j], part));
	}
}

TARGET static void put_squares(size_t count, bool divides, struct scratch *scratch)
{
	for (size_t i = 0; i < scratch->group.squares; i++) {
		for (size_t lane = 0; lane < count; lane += 8)
			put_outputs(scratch->sums[0][i] + lane, divides, scratch->output[0][i * SIDE] + lane);
	}
}

/* Outputs of position @p that are in doubt, to @row. */
static void settle_row(const struct xrnpe_product *product, const struct panel *panel, const double *sum, uint64_t p,
		       uint64_t n, size_t count, uint32_t doubt, uint8_t *rows, uint8_t *row, uint32_t *status)
{
	double *inputs = (double *)rows, *weights = (double *)(rows + pitch_of(product));

	xrnpe_gather(product, &xrnpe_avx512_doubles, p, n / product->group_channels, inputs);
	for (size_t i = 0; i < count; i++) {
		if (!(doubt >> i & 1) || panel->stage.nar[i])
			continue;
		xrnpe_weights(product, &xrnpe_avx512_doubles, n + i, weights);
		xrnpe_store(product->out, row, n + i,
			    exact_output(product, inputs, weights, 1, p, n + i, sum[i] < 0, status));
	}
}

/* Outputs of @rows positions side by side, from @p on. */
static void put_positions(const struct xrnpe_product *product, const struct panel *panel, const double (*sum)[LANES],
			  const double *error, const bool *nar, uint64_t p, size_t rows, uint64_t n, size_t count,
			  uint8_t *memory, uint32_t *status)
{
	uint32_t doubt[ROWS];
	uint8_t *out[ROWS];

	xrnpe_output_rows(product, p, rows, out);
	xrnpe_avx512_put_near(product, &panel->stage, sum, error, 0, p, out, rows, n, count, doubt);
	for (size_t r = 0; r < rows; r++) {
		if (doubt[r] && !nar[r])
			settle_row(product, panel, sum[r], p + r, n, count, doubt[r], memory, out[r], status);
		if (nar[r] || panel->stage.any_nar)
			xrnpe_put_nar(product, nar[r] ? NULL : panel->stage.nar, out[r], n, count, status);
	}
}

/* The outputs of a group, of the lines before @end. */
static void put_group(const struct xrnpe_product *product, const struct panel *panel, struct scratch *scratch,
		      const double *error, uint64_t end, uint64_t n, size_t count, uint32_t *status)
{
	const uint64_t width = product->cmd->image.out_w;
	const struct group *group = &scratch->group;

	for (size_t s = 0, some; s < group->squares; s += some) {
		uint64_t first = group->first + s, x = first % group->across * SIDE;
		size_t length;

		some = squares_in_line(group, s);
		length = width - x < some * SIDE ? (size_t)(width - x) : some * SIDE;
		for (size_t i = 0; i < SIDE && first / group->across * SIDE + i < end; i++) {
			uint64_t p = (first / group->across * SIDE + i) * width + x;

			for (size_t r = 0; r < length; r += ROWS)
				put_positions(product, panel, (const double (*)[LANES])scratch->output[i] + s * SIDE + r,
					      error, group->nar[i] + s * SIDE + r, p + r,
					      length - r < ROWS ? length - r : ROWS, n, count,
					      points_of(scratch) + layout_of(product).rows, status);
		}
	}
}

/* ---- blocks ------------------------------------------------------------ */

TARGET static void run(const struct xrnpe_product *product, const struct xrnpe_block *block,
		       const void *panels, void *memory, uint32_t *status)
{
	const uint64_t width = product->cmd->image.out_w, end = block->p1 / width;
	const size_t channels = xrnpe_inputs(product);
	struct scratch *scratch = memory;
	struct group *group = &scratch->group;
	uint64_t squares;

	xrnpe_lines_start_group(&scratch->lines, product, &xrnpe_avx512_doubles, block->n0, SIDE,
				points_of(scratch) + layout_of(product).lines);
	memset(zeros_of(product, scratch), 0, square_pitch(product));
	group->across = squares_in(width);
	group->first = block->p0 / width / SIDE * group->across;
	for (squares = squares_in(end) * group->across; group->first < squares; group->first += group->squares) {
		const uint8_t *at = panels;

		group->squares = squares - group->first < SQUARES ? (size_t)(squares - group->first) : SQUARES;
		if (!look_at_squares(product, scratch))
			return;
		for (uint64_t n = block->n0; n < block->n1; n += LANES, at += panel_bytes(product)) {
			const struct panel *panel = (const struct panel *)at;
			size_t count = block->n1 - n < LANES ? (size_t)(block->n1 - n) : LANES;
			bool exact = spread_of(group->seen.bits, panel->bits, GROWTH * channels) <= 53;
			double error[LANES] __attribute__((aligned(64)));

			if (!multiply(product, panel, count, scratch))
				return;
			put_squares(count, exact, scratch);
			bound(panel->magnitudes, (count + HALF - 1) / HALF * HALF,
			      group->seen.most * precision_of(channels + STEPS) * GROWTH / GAIN, error);
			put_group(product, panel, scratch, exact ? NULL : error, end, n, count, status);
		}
	}
}

/* ---- the kernel -------------------------------------------------------- */

#define SAMPLES 8		/* pixels that are looked at, and channels of these at most */
#define SAMPLED 64
#define OCTAVES 64		/* more than Posit(16,1) has */
#define NEAR 8			/* octaves below the largest input */

/*
 * Whether inputs are, as in trained networks, not so far apart that the bound leaves doubt about
 * many outputs: of some that are not zero a quarter is near the largest.
 */
static bool are_near(const struct xrnpe_product *product)
{
	const struct xrnpe_operand *o = &product->cmd->operand[XRNPE_OPERAND_IFM];
	const struct xrnpe_dims_image *d = &product->cmd->image;
	double value[SAMPLED + XRNPE_DECODE_SLACK / sizeof(double)];
	size_t count = d->in_c < SAMPLED ? d->in_c : SAMPLED, octave[OCTAVES] = { 0 }, all = 0, near = 0;
	int most = 0;

	for (uint64_t i = 0; i < SAMPLES; i++) {
		uint64_t pixel = ((uint64_t)d->in_h * d->in_w - 1) * i / (SAMPLES - 1);

		xrnpe_avx512_doubles.decode(product, &product->ifm, product->ifm.memory + pixel / d->in_w *
					    product->ifm.row_stride + pixel % d->in_w * o->pixel_stride, 0, count, value);
		for (size_t c = 0; c < count; c++) {
			int64_t units = (int64_t)value[c], at;

			if (!units)
				continue;
			at = 63 - __builtin_clzll((uint64_t)(units < 0 ? -units : units));
			most = at > most ? (int)at : most;
			octave[at]++;
			all++;
		}
	}
	for (int at = most > NEAR ? most - NEAR : 0; at <= most; at++)
		near += octave[at];
	return near * 4 >= all;
}

/*
 * Whether it takes less time than multiplying all, by an eighth: in parts of what one product of an output
 * takes. Each point of a square has one, and a quarter of that for its sum; what transforms take is divided
 * among output channels, input channels or squares.
 */
static bool pays(const struct xrnpe_product *product)
{
	const uint64_t input = 300, output = 250, weight = 250;
	const struct xrnpe_dims_image *d = &product->cmd->image;
	uint64_t squares = squares_in(d->out_w) * squares_in(d->out_h), channels = xrnpe_inputs(product);
	uint64_t products = product->positions * KERNEL * KERNEL;

	/* conv_avx512_split.c is twice as fast as doubles are. */
	if (product->weight.format != XRNPE_FORMAT_P16 && product->ifm.format == XRNPE_FORMAT_P16)
		products /= 2;
	/* Channels of an input are transformed in eights. */
	return squares * POINTS * 5 / 4 +
	       squares * input * ((channels + 7) / 8 * 8) / (channels * product->group_channels) +
	       squares * output / channels + weight < products - products / 8;
}

static bool suits(const struct xrnpe_product *product)
{
	const struct xrnpe_dims_image *d = &product->cmd->image;

	if (product->cmd->opcode != XRNPE_OP_CONV2D || !xrnpe_wide(product) || product->out == XRNPE_FORMAT_F32)
		return false;
	if (d->kernel_h != KERNEL || d->kernel_w != KERNEL || d->stride_h != 1 || d->stride_w != 1 ||
	    d->dilation_h != 1 || d->dilation_w != 1)
		return false;
	return panel_bytes(product) <= PANEL_BYTES && pays(product) &&
	       xrnpe_lines_size(product, &xrnpe_avx512_doubles, xrnpe_inputs(product), SIDE) && are_near(product);
}

static struct xrnpe_tiling tiling(const struct xrnpe_product *product)
{
	return (struct xrnpe_tiling){
		.rows = SIDE * product->cmd->image.out_w,
		.lanes = LANES,
		.panel_bytes = panel_bytes(product),
		.column_bytes = COLUMN_BYTES,
	};
}

const struct xrnpe_kernel xrnpe_conv_avx512_winograd = {
	.suits = suits,
	.looks = true,
	.tiling = tiling,
	.fill = fill,
	.scratch = scratch_size,
	.run = run,
};

#endif

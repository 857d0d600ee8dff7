// SPDX-License-Identifier: MIT
/*
 * Means of products. Windows, which are what a node multiplies by its weights for one pixel, are
 * laid side by side, and the products of all of them added as those of two matrices are.
 */
#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "operators/multiply.h"
#include "products.h"
#include "threads.h"

/* Windows that are looked at: so many, or eight for each product of a block if that is more. */
#define LEAST_WINDOWS 2048
#define WINDOWS_A_PRODUCT 8
/*
 * Weights that make up for all that inputs lack suit the inputs that they were found with: on others
 * half of it is better.
 */
#define LACK_SHARE 0.5

/* Windows that are multiplied at a time, which stay in a cache; that are laid side by side. */
#define CHUNK 256
#define SHARED_CHUNKS 4
#define SIDE_BY_SIDE 16
/* Rows of sums that a thread takes, a multiple of MULTIPLY_ROWS. */
#define BAND 64

/* Where windows of a command's input lie. */
struct windows {
	const struct image *image;	/* of the input */
	struct image_part part;		/* what of it the command reads */
	struct xrnpe_dims_image dims;	/* of a MATMUL: those of a convolution of 1 x 1 */
	uint32_t in_c;			/* channels of a group */
};

struct window {
	uint32_t sample;
	size_t pixel;	/* of the output */
};

/* Sums of a block. */
struct sums {
	const struct samples *samples;
	const struct windows *windows;
	const struct window *list;
	size_t count;
	uint32_t group, first, size;	/* first: weight of a window */
	/* Windows @begin to @end are in memory, which has room for @room. */
	size_t room, begin, end;
	size_t row_stride, turned_stride;
	float *rows;		/* by window */
	float *turned;		/* by weight, of each window */
	float *turned_lacks;	/* likewise what windows lack; NULL: nothing */
	size_t *offsets;	/* of rows */
	float *products, *lacks;	/* the sums, by weight, row_stride apart */
	atomic_size_t next;	/* piece of work */
};

static struct windows find_windows(const struct place *place, const struct place_piece *piece)
{
	struct windows windows = {
		.image = &place->reads[0].image, .part = piece->from, .dims = piece->cmd.image,
		.in_c = place->weights.in_c,
	};

	if (piece->cmd.opcode == XRNPE_OP_MATMUL)
		windows.dims = (struct xrnpe_dims_image){
			.out_h = (uint16_t)windows.image->h, .out_w = (uint16_t)windows.image->w,
			.kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1,
			.dilation_h = 1, .dilation_w = 1,
		};
	return windows;
}

/* ---- windows, side by side ----------------------------------------------- */

/* What output pixel @pixel multiplies by the @count weights from @first on of @group, in @values. */
static void gather(const struct windows *windows, const float *values, size_t pixel, uint32_t group,
		   uint32_t first, uint32_t count, float *row)
{
	const struct xrnpe_dims_image *d = &windows->dims;
	const struct image_part *part = &windows->part;
	const struct image *image = windows->image;
	size_t step = image->first ? image_pixels(image) : 1;
	uint32_t in_c = windows->in_c;

	for (uint32_t i = 0, some; i < count; i += some, row += some) {
		uint32_t t = (first + i) / in_c, c = (first + i) % in_c;
		int64_t y = (int64_t)(pixel / d->out_w) * d->stride_h - d->pad_top +
			    t / d->kernel_w * d->dilation_h;
		int64_t x = (int64_t)(pixel % d->out_w) * d->stride_w - d->pad_left +
			    t % d->kernel_w * d->dilation_w;
		const float *from;

		some = in_c - c < count - i ? in_c - c : count - i;
		if (y < 0 || x < 0 || y + part->h >= image->h || x + part->w >= image->w) {
			memset(row, 0, some * sizeof(*row));
			continue;
		}
		from = values + ((size_t)(y + part->h) * image->w + (size_t)(x + part->w)) *
				(image->first ? 1 : image->c) + (group * in_c + c) * step;
		for (uint32_t k = 0; k < some; k++)
			row[k] = from[k * step];
	}
}

/* Lay up to SIDE_BY_SIDE windows in memory, from the @first there on. */
static void lay_windows(struct sums *s, size_t first)
{
	const struct samples *samples = s->samples;
	size_t end = first + SIDE_BY_SIDE < s->end - s->begin ? first + SIDE_BY_SIDE : s->end - s->begin;
	float exact[PRODUCTS_MOST];

	for (size_t w = first; w < end; w++) {
		const struct window *window = &s->list[s->begin + w];
		const float *there = samples->inputs[window->sample]->tensors[samples->tensor];
		float *row = s->rows + w * s->row_stride;

		gather(s->windows, samples->values ? samples->values[window->sample] : there, window->pixel,
		       s->group, s->first, s->size, row);
		for (uint32_t i = 0; i < s->size; i++)
			s->turned[i * s->turned_stride + w] = row[i];
		if (!s->lacks)
			continue;
		gather(s->windows, there, window->pixel, s->group, s->first, s->size, exact);
		for (uint32_t i = 0; i < s->size; i++)
			s->turned_lacks[i * s->turned_stride + w] = exact[i] - row[i];
	}
}

static void lay_some(void *data, bool caller)
{
	struct sums *s = data;
	size_t first;

	while ((first = atomic_fetch_add(&s->next, SIDE_BY_SIDE)) < s->end - s->begin)
		lay_windows(s, first);
}

/* ---- their products ------------------------------------------------------ */

static size_t round_up(size_t value, size_t unit)
{
	return (value + unit - 1) / unit * unit;
}

/* Add products of @rows rows from row @first on, of windows from @w on, to sums. */
static void multiply_rows(struct sums *s, uint32_t first, unsigned int rows, size_t w)
{
	struct multiply_taps taps = {
		.weight = s->turned + first * s->turned_stride + w, .in = s->rows + w * s->row_stride,
		.stride = s->turned_stride, .taps = s->end - s->begin - w, .offset = s->offsets,
		.more = s->begin + w > 0,
	};

	if (taps.taps > CHUNK)
		taps.taps = CHUNK;
	multiply(&taps, rows, round_up(first + rows, MULTIPLY_COLUMNS), s->products + first * s->row_stride,
		 s->row_stride);
	if (!s->lacks)
		return;
	taps.weight = s->turned_lacks + first * s->turned_stride + w;
	multiply(&taps, rows, s->row_stride, s->lacks + first * s->row_stride, s->row_stride);
}

static void multiply_bands(void *data, bool caller)
{
	struct sums *s = data;
	size_t first;

	while ((first = atomic_fetch_add(&s->next, BAND)) < s->size) {
		size_t end = first + BAND < s->size ? first + BAND : s->size;

		for (size_t w = 0; w < s->end - s->begin; w += CHUNK) {
			for (size_t r = first; r < end; r += MULTIPLY_ROWS)
				multiply_rows(s, (uint32_t)r, end - r < MULTIPLY_ROWS ?
					      (unsigned int)(end - r) : MULTIPLY_ROWS, w);
		}
	}
}

/* ---- a block ------------------------------------------------------------- */

static void sums_free(struct sums *s)
{
	free(s->rows);
	free(s->turned);
	free(s->turned_lacks);
	free(s->offsets);
	free(s->products);
	free(s->lacks);
}

/* Room for blocks of up to @largest weights. */
static int sums_prepare(struct sums *s, uint32_t largest, bool lacks)
{
	size_t stride = round_up(largest, MULTIPLY_COLUMNS);

	s->room = s->samples->shared ? SHARED_CHUNKS * CHUNK : CHUNK;
	/* So that windows of a row and the next do not take each other's place in a cache. */
	s->turned_stride = round_up(s->room, SIDE_BY_SIDE) + SIDE_BY_SIDE;
	/* Some is multiplied that is not used. */
	s->rows = calloc(s->room * stride, sizeof(*s->rows));
	s->turned = malloc(largest * s->turned_stride * sizeof(*s->turned));
	s->offsets = malloc(CHUNK * sizeof(*s->offsets));
	s->products = malloc(largest * stride * sizeof(*s->products));
	if (lacks) {
		s->turned_lacks = malloc(largest * s->turned_stride * sizeof(*s->turned_lacks));
		s->lacks = malloc(largest * stride * sizeof(*s->lacks));
	}
	return s->rows && s->turned && s->offsets && s->products && (!lacks || (s->turned_lacks && s->lacks)) ?
	       0 : -ENOMEM;
}

/* Fill sums of the @size weights from @first on of @group. */
static void sums_fill(struct sums *s, uint32_t group, uint32_t first, uint32_t size)
{
	size_t threads = s->samples->shared ? (size + BAND - 1) / BAND : 1;

	s->group = group;
	s->first = first;
	s->size = size;
	s->row_stride = round_up(size, MULTIPLY_COLUMNS);
	for (size_t i = 0; i < CHUNK; i++)
		s->offsets[i] = i * s->row_stride;
	for (s->begin = 0; s->begin < s->count; s->begin = s->end) {
		s->end = s->count - s->begin < s->room ? s->count : s->begin + s->room;
		atomic_store(&s->next, 0);
		threads_run(lay_some, s, threads);
		atomic_store(&s->next, 0);
		threads_run(multiply_bands, s, threads);
	}
}

/* Means of a block to its @factors and @lacks, which are NULL if they are not wanted. */
static void put_means(const struct sums *s, float *factors, float *lacks)
{
	for (size_t i = 0; i < s->size; i++) {
		for (size_t j = 0; j <= i; j++)
			factors[i * s->size + j] = s->products[i * s->row_stride + j] / (float)s->count;
		for (size_t j = 0; lacks && j < s->size; j++)
			lacks[i * s->size + j] = s->lacks[i * s->row_stride + j] / (float)s->count;
	}
}

/* ---- the whole ----------------------------------------------------------- */

/* Which of all windows of @samples are looked at, if each has @pixels; for blocks of @size. */
static struct window *list_windows(const struct samples *samples, size_t pixels, uint32_t size, size_t *count)
{
	size_t all = pixels * samples->count, wanted = WINDOWS_A_PRODUCT * (size_t)size;
	struct window *list;

	wanted = wanted > LEAST_WINDOWS ? wanted : LEAST_WINDOWS;
	*count = all < wanted ? all : wanted;
	list = malloc((*count + 1) * sizeof(*list));
	for (size_t i = 0; list && i < *count; i++) {
		/* Somewhere in the i-th of as many parts, and not always in the same column. */
		double jitter = *count < all ? fmod((double)i * 0.618033988749895, 1) : 0;
		size_t at = (size_t)(((double)i + jitter) * (double)all / (double)*count);

		list[i] = (struct window){ (uint32_t)(at / pixels), at % pixels };
	}
	return list;
}

int products_add(const struct samples *samples, const struct place *place, const struct place_piece *piece,
		 const struct moments_block *blocks, uint32_t block_count, struct moments *moments)
{
	const struct windows windows = find_windows(place, piece);
	struct sums sums = { .samples = samples, .windows = &windows };
	struct window *list = list_windows(samples, (size_t)windows.dims.out_h * windows.dims.out_w,
					   blocks->size, &sums.count);
	uint32_t largest = 0;
	int ret;

	for (uint32_t b = 0; b < block_count; b++)
		largest = blocks[b].size > largest ? blocks[b].size : largest;
	sums.list = list;
	ret = list ? sums_prepare(&sums, largest, moments->lacks) : -ENOMEM;
	for (uint32_t g = 0; !ret && g < moments->groups; g++) {
		for (uint32_t b = 0; b < block_count; b++) {
			size_t at = g * moments->size + blocks[b].factors;

			sums_fill(&sums, g, blocks[b].first - blocks->first, blocks[b].size);
			put_means(&sums, moments->factors + at, moments->lacks ? moments->lacks + at : NULL);
		}
	}
	sums_free(&sums);
	free(list);
	/* So much of it is more than what any weights find in as many windows. */
	moments->lack_share = fmin(moments->lack_share,
				   LACK_SHARE * fmax(0, 1 - (double)blocks->size / (double)sums.count));
	return ret;
}

// SPDX-License-Identifier: MIT
/* How the inputs of a product vary together. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "round.h"

/* Products taken together at most: the work grows with their square. */
#define MAX_BLOCK 640
/* Windows that are looked at: so many, or eight for each product of a block if that is more. */
#define LEAST_WINDOWS 2048
#define WINDOWS_A_PRODUCT 8
/*
 * Added to the diagonal, relative to its mean: errors of inputs do that, and what was never
 * seen in calibration must not count for nothing.
 */
#define DAMPING 0.03
/*
 * Weights that make up for all that inputs lack suit the inputs that they were found with: on others
 * half of it is better.
 */
#define LACK_SHARE 0.5

/* Where windows of a command's input lie. */
struct windows {
	const struct image *image;	/* of the input */
	struct image_part part;		/* what of it the command reads */
	struct xrnpe_dims_image dims;	/* of a MATMUL: those of a convolution of 1 x 1 */
	uint32_t in_c;			/* channels of a group */
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

/* What a node reads, by input: @values, or, if that is NULL, what @inputs have. */
struct samples {
	struct reference *const *inputs;
	float *const *values;
	uint32_t tensor, count;
};

/* What output pixel @pixel multiplies in @group, tap by tap. */
static void gather(const struct windows *windows, const float *values, size_t pixel, uint32_t group,
		   float *row)
{
	const struct xrnpe_dims_image *d = &windows->dims;
	const struct image_part *part = &windows->part;
	const struct image *image = windows->image;
	size_t step = image->first ? image_pixels(image) : 1;
	uint32_t in_c = windows->in_c, taps = (uint32_t)d->kernel_h * d->kernel_w;

	for (uint32_t t = 0; t < taps; t++, row += in_c) {
		int64_t y = (int64_t)(pixel / d->out_w) * d->stride_h - d->pad_top +
			    t / d->kernel_w * d->dilation_h;
		int64_t x = (int64_t)(pixel % d->out_w) * d->stride_w - d->pad_left +
			    t % d->kernel_w * d->dilation_w;
		const float *from;

		if (y < 0 || x < 0 || y + part->h >= image->h || x + part->w >= image->w) {
			memset(row, 0, in_c * sizeof(*row));
			continue;
		}
		from = values + ((size_t)(y + part->h) * image->w + (size_t)(x + part->w)) *
				(image->first ? 1 : image->c) + group * in_c * step;
		for (uint32_t c = 0; c < in_c; c++)
			row[c] = from[c * step];
	}
}

/* Add the products of @row with itself to the factors of @block. */
static void add_products(const struct moments_block *block, const float *row, float *factors)
{
	for (uint32_t i = 0; i < block->size; i++) {
		const float value = row[i];

		for (uint32_t j = 0; value != 0 && j <= i; j++)
			factors[(size_t)i * block->size + j] += value * row[j];
	}
}

/* Add what @row lacks of @exact, times @row, to @lacks, of @block. */
static void add_lacks(const struct moments_block *block, const float *exact, const float *row, float *lacks)
{
	for (uint32_t i = 0; i < block->size; i++) {
		const float lack = exact[i] - row[i];

		for (uint32_t j = 0; lack != 0 && j < block->size; j++)
			lacks[(size_t)i * block->size + j] += lack * row[j];
	}
}

/*
 * Replace the lower triangle of a positive matrix of @size by its Cholesky factor. Meanwhile
 * the upper one has the factor's columns as rows, so that what a row is made of lies together.
 */
static void factorise(float *matrix, uint32_t size)
{
	double sums[MAX_BLOCK];

	for (uint32_t i = 0; i < size; i++) {
		float *row = matrix + (size_t)i * size;

		for (uint32_t j = 0; j <= i; j++)
			sums[j] = row[j];
		for (uint32_t k = 0; k < i; k++) {
			float *column = matrix + (size_t)k * size;
			const double value = row[k] = (float)(sums[k] / column[k]);

			for (uint32_t j = k + 1; j < i; j++)
				sums[j] -= value * column[j];
			column[i] = row[k];
			sums[i] -= value * value;
		}
		/* What is added to the diagonal keeps it from zero, but for rounding. */
		row[i] = sums[i] > 0 ? (float)sqrt(sums[i]) : 1e-18f;
	}
}

/* A weight's place in a block. */
struct place_of {
	double square;		/* mean, of what it multiplies */
	uint32_t index;
};

static int compare_squares(const void *a, const void *b)
{
	const struct place_of *one = a, *other = b;

	if (one->square != other->square)
		return one->square < other->square ? -1 : 1;
	return one->index < other->index ? -1 : 1;
}

/*
 * Choose the order of rows of @block, and put them in it: what multiplies large inputs comes last,
 * which is rounded first, so that most of the others can make up for it. @scratch: size x size
 */
static void order_block(const struct moments_block *block, const double *diagonal, float *matrix,
			uint32_t *order, float *scratch)
{
	struct place_of places[MAX_BLOCK];
	uint32_t size = block->size;

	for (uint32_t i = 0; i < size; i++)
		places[i] = (struct place_of){ diagonal[block->first + i], i };
	qsort(places, size, sizeof(*places), compare_squares);
	memcpy(scratch, matrix, (size_t)size * size * sizeof(*matrix));
	for (uint32_t i = 0; i < size; i++) {
		order[i] = block->first + places[i].index;
		for (uint32_t j = 0; j <= i; j++) {
			uint32_t a = places[i].index, b = places[j].index;

			/* Of the symmetric matrix the lower triangle is there. */
			matrix[(size_t)i * size + j] =
				scratch[a > b ? (size_t)a * size + b : (size_t)b * size + a];
		}
	}
}

/* From sums of products, in which @moments has the means, to factors, of one group. @scratch: a block's factors */
static void finish_group(const struct moments *moments, uint32_t group, float *scratch)
{
	double *diagonal = moments->diagonal + (size_t)group * moments->length, mean = 0;
	float *factors = moments->factors + group * moments->size;
	uint32_t *order = moments->order + (size_t)group * moments->length;

	for (uint32_t b = 0; b < moments->block_count; b++) {
		const struct moments_block *block = &moments->blocks[b];

		for (uint32_t i = 0; i < block->size; i++) {
			diagonal[block->first + i] = factors[block->factors + (size_t)i * (block->size + 1)];
			mean += diagonal[block->first + i] / moments->length;
		}
	}
	/* Nothing but zeros was seen: all count alike. */
	if (mean <= 0)
		mean = 1;
	for (uint32_t i = 0; i < moments->length; i++)
		diagonal[i] += DAMPING * mean;
	for (uint32_t b = 0; b < moments->block_count; b++) {
		const struct moments_block *block = &moments->blocks[b];

		for (uint32_t i = 0; i < block->size; i++)
			factors[block->factors + (size_t)i * (block->size + 1)] =
				(float)diagonal[block->first + i];
		order_block(block, diagonal, factors + block->factors, order + block->first, scratch);
		factorise(factors + block->factors, block->size);
	}
}

/* The same of all groups; what there is is freed if that fails. */
static int finish(struct moments *moments)
{
	float *scratch = malloc(MAX_BLOCK * MAX_BLOCK * sizeof(*scratch));

	if (!scratch) {
		moments_free(moments);
		return -ENOMEM;
	}
	for (uint32_t g = 0; g < moments->groups; g++)
		finish_group(moments, g, scratch);
	free(scratch);
	return 0;
}

/* Add window @pixel of sample @i to the sums of @blocks. @row: room for two windows */
static void add_window(const struct samples *samples, uint32_t i, size_t pixel,
		       const struct windows *windows, const struct moments_block *blocks,
		       uint32_t block_count, struct moments *moments, float *row)
{
	const float *there = samples->inputs[i]->tensors[samples->tensor];
	float *exact = row + moments->length;

	for (uint32_t g = 0; g < moments->groups; g++) {
		gather(windows, samples->values ? samples->values[i] : there, pixel, g, row);
		if (moments->lacks)
			gather(windows, there, pixel, g, exact);
		for (uint32_t b = 0; b < block_count; b++) {
			size_t at = g * moments->size + blocks[b].factors, first = blocks[b].first - blocks->first;

			add_products(&blocks[b], row + first, moments->factors + at);
			if (moments->lacks)
				add_lacks(&blocks[b], exact + first, row + first, moments->lacks + at);
		}
	}
}

/* From sums over @count windows to means. */
static void divide_sums(const struct moments_block *blocks, uint32_t block_count, size_t count,
			struct moments *moments)
{
	for (uint32_t g = 0; g < moments->groups; g++) {
		for (uint32_t b = 0; b < block_count; b++) {
			size_t at = g * moments->size + blocks[b].factors;

			for (size_t i = at; i < at + (size_t)blocks[b].size * blocks[b].size; i++) {
				moments->factors[i] /= (float)count;
				if (moments->lacks)
					moments->lacks[i] /= (float)count;
			}
		}
	}
}

/*
 * Fill the factors of @blocks, which a window has, with means of products over windows of
 * @samples, spread over all, and what these lack. @row: room for two windows
 */
static void add_windows(const struct samples *samples, const struct windows *windows,
			const struct moments_block *blocks, uint32_t block_count,
			struct moments *moments, float *row)
{
	size_t pixels = (size_t)windows->dims.out_h * windows->dims.out_w;
	size_t all = pixels * samples->count, wanted = LEAST_WINDOWS, count;

	if (wanted < WINDOWS_A_PRODUCT * (size_t)blocks->size)
		wanted = WINDOWS_A_PRODUCT * (size_t)blocks->size;
	count = all < wanted ? all : wanted;
	for (size_t i = 0; i < count; i++) {
		/* Somewhere in the i-th of as many parts, and not always in the same column. */
		double jitter = count < all ? fmod((double)i * 0.618033988749895, 1) : 0;
		size_t at = (size_t)(((double)i + jitter) * (double)all / (double)count);

		add_window(samples, (uint32_t)(at / pixels), at % pixels, windows, blocks, block_count,
			   moments, row);
	}
	divide_sums(blocks, block_count, count, moments);
	/* So much of it is more than what any weights find in as many windows. */
	moments->lack_share = fmin(moments->lack_share,
				   LACK_SHARE * fmax(0, 1 - (double)blocks->size / (double)count));
}

/*
 * The @i-th sum that a node makes, which is a piece that makes outputs of its own, or all.
 * @end: of its weights of an output channel. False: there are no more.
 */
static bool find_sum(const struct place *place, uint32_t i, struct place_piece *piece, uint32_t *end)
{
	bool apart = place->piece_count && !place->pieces[0].partial;

	if (i >= (apart ? place->piece_count : 1))
		return false;
	*piece = apart ? place->pieces[i] :
			 (struct place_piece){ .cmd = place->cmd, .from = IMAGE_WHOLE };
	*end = apart && i + 1 < place->piece_count ? place->pieces[i + 1].tap : place->weights.taps;
	*end *= place->weights.in_c;
	return true;
}

/* Divide weights @first to @end into blocks of about the same size. */
static void add_blocks(struct moments *moments, uint32_t first, uint32_t end)
{
	uint32_t count = (end - first + MAX_BLOCK - 1) / MAX_BLOCK;

	for (uint32_t b = 0; b < count; b++) {
		uint32_t from = first + (uint32_t)((uint64_t)(end - first) * b / count);
		uint32_t to = first + (uint32_t)((uint64_t)(end - first) * (b + 1) / count);

		moments->blocks[moments->block_count++] =
			(struct moments_block){ from, to - from, moments->size };
		moments->size += (size_t)(to - from) * (to - from);
	}
}

/* Room for factors of the blocks that there are, and for what lacks if @lacks. */
static int make_room(struct moments *moments, bool lacks)
{
	size_t length = (size_t)moments->groups * moments->length;

	moments->factors = calloc(moments->groups * moments->size + 1, sizeof(*moments->factors));
	if (lacks)
		moments->lacks = calloc(moments->groups * moments->size + 1, sizeof(*moments->lacks));
	moments->order = malloc(length * sizeof(*moments->order));
	moments->diagonal = malloc(length * sizeof(*moments->diagonal));
	return moments->factors && moments->order && moments->diagonal && (moments->lacks || !lacks) ?
	       0 : -ENOMEM;
}

/* As many blocks as the sums of @place take. */
static int divide(struct moments *moments, const struct place *place, bool lacks)
{
	size_t most = place->piece_count + moments->length / MAX_BLOCK + 1;
	struct place_piece piece;
	uint32_t end;

	moments->blocks = malloc(most * sizeof(*moments->blocks));
	for (uint32_t i = 0; moments->blocks && find_sum(place, i, &piece, &end); i++)
		add_blocks(moments, piece.tap * place->weights.in_c, end);
	return moments->blocks ? make_room(moments, lacks) : -ENOMEM;
}

/* Over @samples, with what they lack if they are not those of binary32. */
static int measure(const struct compiler *compiler, uint32_t n, const struct samples *samples,
		   struct moments *moments)
{
	const struct place *place = &compiler->nodes[n].place;
	struct place_piece piece;
	uint32_t block = 0, end;
	float *row;

	*moments = (struct moments){
		.length = place->weights.taps * place->weights.in_c, .groups = place->weights.groups,
		.lack_share = LACK_SHARE,
	};
	row = malloc(2 * (size_t)moments->length * sizeof(*row));
	if (!row || divide(moments, place, samples->values)) {
		free(row);
		moments_free(moments);
		return -ENOMEM;
	}
	for (uint32_t i = 0; find_sum(place, i, &piece, &end); i++) {
		const struct windows windows = find_windows(place, &piece);
		uint32_t count = 0;

		while (block + count < moments->block_count && moments->blocks[block + count].first < end)
			count++;
		/* Of pieces that divide output channels the last one has what all multiply. */
		if (!count)
			continue;
		add_windows(samples, &windows, moments->blocks + block, count, moments, row);
		block += count;
	}
	free(row);
	return finish(moments);
}

int moments_measure(const struct compiler *compiler, uint32_t n, struct reference *const *inputs,
		    uint32_t input_count, struct moments *moments)
{
	const struct samples samples = {
		inputs, NULL, compiler->nodes[n].place.reads[0].tensor, input_count,
	};

	return measure(compiler, n, &samples, moments);
}

int moments_compare(const struct compiler *compiler, uint32_t n, float *const *values,
		    struct reference *const *inputs, uint32_t input_count, struct moments *moments)
{
	const struct samples samples = {
		inputs, values, compiler->nodes[n].place.reads[0].tensor, input_count,
	};

	return measure(compiler, n, &samples, moments);
}

int moments_of_products(uint32_t length, const float *products, struct moments *moments)
{
	*moments = (struct moments){ .length = length, .groups = 1 };
	moments->blocks = malloc((length / MAX_BLOCK + 1) * sizeof(*moments->blocks));
	if (moments->blocks)
		add_blocks(moments, 0, length);
	if (!moments->blocks || make_room(moments, false)) {
		moments_free(moments);
		return -ENOMEM;
	}
	for (uint32_t b = 0; b < moments->block_count; b++) {
		const struct moments_block *block = &moments->blocks[b];

		for (uint32_t i = 0; i < block->size; i++)
			memcpy(moments->factors + block->factors + (size_t)i * block->size,
			       products + (size_t)(block->first + i) * length + block->first,
			       (i + 1) * sizeof(*products));
	}
	return finish(moments);
}

void moments_free(struct moments *moments)
{
	free(moments->blocks);
	free(moments->factors);
	free(moments->lacks);
	free(moments->order);
	free(moments->diagonal);
	*moments = (struct moments){ 0 };
}

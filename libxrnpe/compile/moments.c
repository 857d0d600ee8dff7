// SPDX-License-Identifier: MIT
/* How the inputs of a product vary together. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "operators/vectors.h"
#include "products.h"
#include "round.h"

/*
 * Added to the diagonal, relative to its mean: errors of inputs do that, and what was never
 * seen in calibration must not count for nothing.
 */
#define DAMPING 0.03
/*
 * Replace the lower triangle of a positive matrix of @size by its Cholesky factor. Meanwhile
 * the upper one has the factor's columns as rows, so that what a row is made of lies together.
 */
VECTORS
static void factorise(float *matrix, uint32_t size)
{
	double sums[PRODUCTS_MOST];

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
	struct place_of places[PRODUCTS_MOST];
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
	float *scratch = malloc(PRODUCTS_MOST * PRODUCTS_MOST * sizeof(*scratch));

	if (!scratch) {
		moments_free(moments);
		return -ENOMEM;
	}
	for (uint32_t g = 0; g < moments->groups; g++)
		finish_group(moments, g, scratch);
	free(scratch);
	return 0;
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
	uint32_t count = (end - first + PRODUCTS_MOST - 1) / PRODUCTS_MOST;

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
	size_t most = place->piece_count + moments->length / PRODUCTS_MOST + 1;
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
	int ret;

	*moments = (struct moments){
		.length = place->weights.taps * place->weights.in_c, .groups = place->weights.groups,
		.lack_share = 1,
	};
	ret = divide(moments, place, samples->values);
	for (uint32_t i = 0; !ret && find_sum(place, i, &piece, &end); i++) {
		uint32_t count = 0;

		while (block + count < moments->block_count && moments->blocks[block + count].first < end)
			count++;
		/* Of pieces that divide output channels the last one has what all multiply. */
		if (!count)
			continue;
		ret = products_add(samples, place, &piece, moments->blocks + block, count, moments);
		block += count;
	}
	if (!ret)
		return finish(moments);
	moments_free(moments);
	return ret;
}

int moments_measure(const struct compiler *compiler, uint32_t n, struct reference *const *inputs,
		    uint32_t input_count, struct moments *moments)
{
	const struct samples samples = {
		inputs, NULL, compiler->nodes[n].place.reads[0].tensor, input_count, false,
	};

	return measure(compiler, n, &samples, moments);
}

int moments_compare(const struct compiler *compiler, uint32_t n, float *const *values,
		    struct reference *const *inputs, uint32_t input_count, struct moments *moments)
{
	const struct samples samples = {
		inputs, values, compiler->nodes[n].place.reads[0].tensor, input_count, true,
	};

	return measure(compiler, n, &samples, moments);
}

int moments_of_products(uint32_t length, const float *products, struct moments *moments)
{
	*moments = (struct moments){ .length = length, .groups = 1 };
	moments->blocks = malloc((length / PRODUCTS_MOST + 1) * sizeof(*moments->blocks));
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

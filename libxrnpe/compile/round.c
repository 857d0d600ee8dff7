// SPDX-License-Identifier: MIT
/*
 * Rounding of weights. An output is wrong by sum(e[i] * x[i]), where e are the errors of
 * weights: what counts is not each error but how they add up over inputs as they occur. With
 * the moments E[x[i] * x[j]] = L L', L lower triangular, the mean square of that is the
 * sum of (sum over i >= j of e[i] * L[i][j])^2 over j. From the last weight to the first
 * each is rounded such that its term is least, given the errors of those behind. (Babai's
 * nearest plane; Frantar et al., "GPTQ", arXiv 2210.17323, do the same with the inverse.)
 * Rows of L are in an order of their own, moments->order.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "operators/vectors.h"
#include "round.h"

/*
 * Scales that are tried for a format of few values, times that with which weights alone lose least:
 * sums may lose less with another.
 */
#define FEW_VALUES 16
static const float other_scales[ROUND_LANES] = {
	0.6f, 0.65f, 0.7f, 0.75f, 0.8f, 0.85f, 0.9f, 0.95f,
	1.05f, 1.1f, 1.15f, 1.2f, 1.25f, 1.3f, 1.35f, 1.4f,
};

/* ---- values of a format ------------------------------------------------ */

void lattice_fill(struct lattice *lattice, enum xrnpe_format format)
{
	lattice->count = 0;
	for (uint32_t code = 0; code < 1u << xrnpe_format_bits(format); code++) {
		double value = xrnpe_decode(format, code);
		uint32_t at = lattice->count;

		/* One zero is enough, and it is the first. */
		if (!isfinite(value) || (code && value == 0))
			continue;
		for (; at && lattice->values[at - 1] > value; at--) {
			lattice->values[at] = lattice->values[at - 1];
			lattice->codes[at] = lattice->codes[at - 1];
		}
		lattice->values[at] = (float)value;
		lattice->codes[at] = (uint8_t)code;
		lattice->count++;
	}
	for (uint32_t i = lattice->count; i < LATTICE_ROOM; i++)
		lattice->values[i] = INFINITY;
}

uint32_t lattice_nearest(const struct lattice *lattice, float value)
{
	uint32_t low = 0, high = lattice->count - 1;

	while (high - low > 1) {
		uint32_t middle = (low + high) / 2;

		if (value < lattice->values[middle])
			high = middle;
		else
			low = middle;
	}
	return value - lattice->values[low] > lattice->values[high] - value ? high : low;
}

/* ---- rows, side by side ------------------------------------------------- */

/* A number of each of ROUND_LANES rows, or of as many trials of one. */
typedef float lanes __attribute__((vector_size(ROUND_LANES * sizeof(float)), aligned(sizeof(float)),
				   may_alias));

/* Rows of factors that are added together, so that what they are added to is read but once. */
#define PANEL 8

#define INLINE static inline __attribute__((always_inline))

struct rows {
	const struct moments *moments;
	const float *factors;		/* of their group */
	const uint32_t *order;		/* likewise */
	const struct lattice *lattice;
	lanes *weights;
	lanes *carried;			/* what later errors add to the terms of those before */
};

/* As lattice_nearest(). */
INLINE void find_nearest(const struct lattice *lattice, const float *value, int32_t *nearest)
{
	const float *values = lattice->values;
	int32_t last = (int32_t)lattice->count - 2, step = LATTICE_ROOM / 2;

	for (uint32_t i = 0; i < ROUND_LANES; i++)
		nearest[i] = 0;
	while (step > last + 1)
		step /= 2;
	for (; step; step /= 2) {
		for (uint32_t i = 0; i < ROUND_LANES; i++)
			nearest[i] += value[i] < values[nearest[i] + step] ? 0 : step;
	}
	for (uint32_t i = 0; i < ROUND_LANES; i++) {
		int32_t low = nearest[i] < last ? nearest[i] : last;

		nearest[i] = low + (value[i] - values[low] > values[low + 1] - value[i]);
	}
}

/*
 * Add @count rows of factors, @step apart, of @columns, each times one of @times, to @sums, row after
 * row.
 */
INLINE void add_some_rows(lanes *sums, uint32_t columns, const float *row, ptrdiff_t step, const lanes *times,
			  uint32_t count)
{
	for (uint32_t j = 0; j < columns; j++) {
		lanes sum = sums[j];

#pragma GCC unroll 8
		for (uint32_t k = 0; k < count; k++)
			sum += row[(ptrdiff_t)k * step + j] * times[k];
		sums[j] = sum;
	}
}

INLINE void add_rows(lanes *sums, uint32_t columns, const float *row, ptrdiff_t step, const lanes *times,
		     uint32_t count)
{
	if (count == PANEL)
		add_some_rows(sums, columns, row, step, times, PANEL);
	else
		add_some_rows(sums, columns, row, step, times, count);
}

/* Round weight @i of @block; its errors go to *@error, its terms' squares are added to @sums. */
INLINE void round_weight(const struct rows *rows, const struct moments_block *block, uint32_t i, const lanes *scale,
			 uint8_t *chosen, lanes *error, double *sums)
{
	const float factor = rows->factors[block->factors + (size_t)i * (block->size + 1)];
	uint32_t at = rows->order[block->first + i];
	lanes weight = rows->weights[at], value = (weight + rows->carried[i] / factor) / *scale, term;
	int32_t nearest[ROUND_LANES];
	float values[ROUND_LANES];

	memcpy(values, &value, sizeof(values));
	find_nearest(rows->lattice, values, nearest);
	for (uint32_t k = 0; k < ROUND_LANES; k++) {
		chosen[(size_t)at * ROUND_LANES + k] = (uint8_t)nearest[k];
		values[k] = rows->lattice->values[nearest[k]];
	}
	memcpy(&value, values, sizeof(value));
	*error = weight - value * *scale;
	term = rows->carried[i] + factor * *error;
	memcpy(values, &term, sizeof(values));
	for (uint32_t k = 0; k < ROUND_LANES; k++)
		sums[k] += (double)values[k] * values[k];
}

/* Round one block; the sums of its terms' squares are added to @sums. */
INLINE void round_block(const struct rows *rows, const struct moments_block *block, const lanes *scale, uint8_t *chosen,
			double *sums)
{
	const float *factors = rows->factors + block->factors;
	double of_block[ROUND_LANES] = { 0 };
	ptrdiff_t size = block->size;
	lanes errors[PANEL];

	memset(rows->carried, 0, block->size * sizeof(*rows->carried));
	for (uint32_t end = block->size, first; end; end = first) {
		first = end > PANEL ? end - PANEL : 0;
		for (uint32_t i = end; i-- > first;) {
			lanes *error = &errors[end - 1 - i];

			round_weight(rows, block, i, scale, chosen, error, of_block);
			add_some_rows(rows->carried + first, i - first, factors + i * size + first, 0, error, 1);
		}
		add_rows(rows->carried, first, factors + (end - 1) * size, -size, errors, end - first);
	}
	for (uint32_t k = 0; k < ROUND_LANES; k++)
		sums[k] += of_block[k];
}

/* Round with @scales; @chosen: by weight and row; @sums: of the squares of a row's terms */
VECTORS
static void round_rows(const struct rows *rows, const float *scales, uint8_t *chosen, double *sums)
{
	lanes scale;

	memcpy(&scale, scales, sizeof(scale));
	memset(sums, 0, ROUND_LANES * sizeof(*sums));
	for (uint32_t b = 0; b < rows->moments->block_count; b++)
		round_block(rows, &rows->moments->blocks[b], &scale, chosen, sums);
}

/* With which of @scales the values @chosen would come closest to the weights. @scratch: two for each weight */
VECTORS
static void fit_scales(const struct rows *rows, const uint8_t *chosen, float *scales, lanes *scratch)
{
	double product[ROUND_LANES] = { 0 }, square[ROUND_LANES] = { 0 };

	for (uint32_t b = 0; b < rows->moments->block_count; b++) {
		const struct moments_block *block = &rows->moments->blocks[b];
		const uint32_t *order = rows->order + block->first;
		ptrdiff_t size = block->size;
		lanes *exact = scratch, *rounded = scratch + size;

		memset(scratch, 0, 2 * block->size * sizeof(*scratch));
		for (uint32_t first = 0; first < block->size; first += PANEL) {
			uint32_t count = block->size - first < PANEL ? block->size - first : PANEL;
			const float *factors = rows->factors + block->factors + first * size;
			lanes weights[PANEL], values[PANEL];

			for (uint32_t i = 0; i < count; i++) {
				const uint8_t *from = chosen + (size_t)order[first + i] * ROUND_LANES;
				float value[ROUND_LANES];

				for (uint32_t k = 0; k < ROUND_LANES; k++)
					value[k] = rows->lattice->values[from[k]];
				memcpy(&values[i], value, sizeof(value));
				weights[i] = rows->weights[order[first + i]];
			}
			add_rows(exact, first, factors, size, weights, count);
			add_rows(rounded, first, factors, size, values, count);
			/* Of the triangle the rest. */
			for (uint32_t i = 0; i < count; i++) {
				add_some_rows(exact + first, i + 1, factors + i * size + first, 0, &weights[i], 1);
				add_some_rows(rounded + first, i + 1, factors + i * size + first, 0, &values[i], 1);
			}
		}
		for (uint32_t j = 0; j < block->size; j++) {
			float one[ROUND_LANES], other[ROUND_LANES];

			memcpy(one, &exact[j], sizeof(one));
			memcpy(other, &rounded[j], sizeof(other));
			for (uint32_t k = 0; k < ROUND_LANES; k++) {
				product[k] += (double)one[k] * other[k];
				square[k] += (double)other[k] * other[k];
			}
		}
	}
	for (uint32_t k = 0; k < ROUND_LANES; k++) {
		if (product[k] > 0 && square[k] > 0)
			scales[k] = (float)(product[k] / square[k]);
	}
}

/* ---- what inputs lack -------------------------------------------------- */

/*
 * Solve L L' x = @x; @factors: L, whose rows are in its order, and above the diagonal its columns as
 * rows.
 */
VECTORS
static void solve(const float *factors, uint32_t size, double *x)
{
	for (uint32_t i = 0; i < size; i++) {
		const float *column = factors + (size_t)i * size;

		x[i] /= column[i];
		for (uint32_t j = i + 1; j < size; j++)
			x[j] -= column[j] * x[i];
	}
	for (uint32_t i = size; i--;) {
		const float *row = factors + (size_t)i * size;

		x[i] /= row[i];
		for (uint32_t j = 0; j < i; j++)
			x[j] -= row[j] * x[i];
	}
}

/*
 * What the sums w'x of exact inputs x are off with inputs y, least squares say in terms of y: it is
 * (E[y y']^-1 E[y (x - y)'] w)' y.
 */
void round_compensate(const struct moments *moments, uint32_t group, float *weights, double *scratch)
{
	const uint32_t *order = moments->order + (size_t)group * moments->length;

	for (uint32_t b = 0; b < moments->block_count; b++) {
		const struct moments_block *block = &moments->blocks[b];
		size_t at = group * moments->size + block->factors;
		const float *lacks = moments->lacks + at;
		double *sums = scratch, *ordered = scratch + block->size;

		memset(sums, 0, block->size * sizeof(*sums));
		for (uint32_t i = 0; i < block->size; i++) {
			const double weight = weights[block->first + i];

			for (uint32_t j = 0; j < block->size; j++)
				sums[j] += weight * lacks[(size_t)i * block->size + j];
		}
		for (uint32_t i = 0; i < block->size; i++)
			ordered[i] = sums[order[block->first + i] - block->first];
		solve(moments->factors + at, block->size, ordered);
		for (uint32_t i = 0; i < block->size; i++)
			weights[order[block->first + i]] += (float)(moments->lack_share * ordered[i]);
	}
}

/* ---- rows, whole ------------------------------------------------------- */

/* Lay @count rows of @length weights, @stride apart, side by side; the others are zero. */
static void lay_rows(const float *weights, uint32_t count, size_t stride, uint32_t length, lanes *to)
{
	for (uint32_t i = 0; i < length; i++) {
		float weight[ROUND_LANES] = { 0 };

		for (uint32_t k = 0; k < count; k++)
			weight[k] = weights[k * stride + i];
		memcpy(&to[i], weight, sizeof(weight));
	}
}

/* Let row @k of @chosen be row @other of @trial. */
static void take_row(uint8_t *chosen, uint32_t k, const uint8_t *trial, uint32_t other, uint32_t length)
{
	for (size_t i = 0; i < length; i++)
		chosen[i * ROUND_LANES + k] = trial[i * ROUND_LANES + other];
}

/*
 * Try other scales of row @k, which has @weights: *@scale, *@least and @chosen become those of the
 * best. @trial: room for what is chosen
 */
static void try_other_scales(const struct rows *rows, const float *weights, float *scale, double *least,
			     uint8_t *chosen, uint32_t k, uint8_t *trial)
{
	uint32_t best = ROUND_LANES;
	double sums[ROUND_LANES];
	float scales[ROUND_LANES];

	for (uint32_t i = 0; i < ROUND_LANES; i++)
		scales[i] = *scale * other_scales[i];
	lay_rows(weights, ROUND_LANES, 0, rows->moments->length, rows->weights);
	round_rows(rows, scales, trial, sums);
	for (uint32_t i = 0; i < ROUND_LANES; i++) {
		if (sums[i] < *least) {
			*least = sums[i];
			best = i;
		}
	}
	if (best == ROUND_LANES)
		return;
	*scale = scales[best];
	take_row(chosen, k, trial, best, rows->moments->length);
}

void round_weights(const struct moments *moments, uint32_t group, const struct lattice *lattice,
		   const float *weights, uint32_t count, float *scales, uint8_t *chosen, float *scratch)
{
	const uint32_t length = moments->length;
	lanes *room = (lanes *)scratch;
	const struct rows rows = {
		.moments = moments, .lattice = lattice, .weights = room, .carried = room + length,
		.factors = moments->factors + group * moments->size,
		.order = moments->order + (size_t)group * length,
	};
	uint8_t *trial = (uint8_t *)(room + 3 * (size_t)length);
	double least[ROUND_LANES], sums[ROUND_LANES];
	float all[ROUND_LANES];

	for (uint32_t k = 0; k < ROUND_LANES; k++)
		all[k] = k < count ? scales[k] : 1;
	lay_rows(weights, count, length, length, rows.weights);
	round_rows(&rows, all, chosen, least);
	if (lattice->count <= FEW_VALUES) {
		for (uint32_t k = 0; k < count; k++)
			try_other_scales(&rows, weights + (size_t)k * length, &all[k], &least[k], chosen, k, trial);
		lay_rows(weights, count, length, length, rows.weights);
	}
	fit_scales(&rows, chosen, all, rows.carried);
	round_rows(&rows, all, trial, sums);
	for (uint32_t k = 0; k < count; k++) {
		scales[k] = all[k];
		if (sums[k] < least[k])
			take_row(chosen, k, trial, k, length);
	}
}

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

#include "round.h"

/*
 * Scales that are tried for a format of few values, times that with which weights alone lose least:
 * sums may lose less with another.
 */
#define FEW_VALUES 16
static const float other_scales[] = {
	0.6f, 0.65f, 0.7f, 0.75f, 0.8f, 0.85f, 0.9f, 0.95f,
	1.05f, 1.1f, 1.15f, 1.2f, 1.25f, 1.3f, 1.35f, 1.4f,
};
#define OTHER_SCALES (sizeof(other_scales) / sizeof(other_scales[0]))

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

/* ---- a row ------------------------------------------------------------- */

struct row {
	const struct moments *moments;
	const float *factors;		/* of its group */
	const uint32_t *order;		/* likewise */
	const struct lattice *lattice;
	const float *weights;
	float *carried;			/* what later errors add to the terms of those before */
};

/* Round one block. Returns the sum of its terms' squares. */
static double round_block(const struct row *row, const struct moments_block *block, float scale,
			  uint8_t *chosen)
{
	const uint32_t *order = row->order + block->first;
	double sum = 0;

	memset(row->carried, 0, block->size * sizeof(*row->carried));
	for (uint32_t i = block->size; i--;) {
		const float *factor = row->factors + block->factors + (size_t)i * block->size;
		float weight = row->weights[order[i]], error, term;
		uint32_t value = lattice_nearest(row->lattice,
						 (weight + row->carried[i] / factor[i]) / scale);

		chosen[order[i]] = (uint8_t)value;
		error = weight - row->lattice->values[value] * scale;
		for (uint32_t j = 0; j < i; j++)
			row->carried[j] += factor[j] * error;
		term = row->carried[i] + factor[i] * error;
		sum += (double)term * term;
	}
	return sum;
}

/* The same for all blocks. */
static double round_row(const struct row *row, float scale, uint8_t *chosen)
{
	double sum = 0;

	for (uint32_t b = 0; b < row->moments->block_count; b++)
		sum += round_block(row, &row->moments->blocks[b], scale, chosen);
	return sum;
}

/* The scale with which the values @chosen come closest to the weights. */
static float fit_scale(const struct row *row, float scale, const uint8_t *chosen, float *scratch)
{
	double product = 0, square = 0;

	for (uint32_t b = 0; b < row->moments->block_count; b++) {
		const struct moments_block *block = &row->moments->blocks[b];
		uint32_t size = block->size;
		float *exact = scratch, *rounded = scratch + size;

		memset(scratch, 0, 2 * size * sizeof(*scratch));
		for (uint32_t i = 0; i < size; i++) {
			const float *factor = row->factors + block->factors + (size_t)i * size;
			uint32_t at = row->order[block->first + i];
			float weight = row->weights[at], value = row->lattice->values[chosen[at]];

			for (uint32_t j = 0; j <= i; j++) {
				exact[j] += factor[j] * weight;
				rounded[j] += factor[j] * value;
			}
		}
		for (uint32_t j = 0; j < size; j++) {
			product += (double)exact[j] * rounded[j];
			square += (double)rounded[j] * rounded[j];
		}
	}
	return product > 0 && square > 0 ? (float)(product / square) : scale;
}

/* Round with @scale, too, and keep that in @chosen and *@least if it is better. */
static bool try_scale(const struct row *row, float scale, double *least, uint8_t *chosen, uint8_t *trial)
{
	double sum = round_row(row, scale, trial);

	if (sum >= *least)
		return false;
	memcpy(chosen, trial, row->moments->length);
	*least = sum;
	return true;
}

/* ---- what inputs lack -------------------------------------------------- */

/* Solve L L' x = @x; @factors: L, whose rows are in its order. */
static void solve(const float *factors, uint32_t size, double *x)
{
	for (uint32_t i = 0; i < size; i++) {
		const float *row = factors + (size_t)i * size;

		for (uint32_t j = 0; j < i; j++)
			x[i] -= row[j] * x[j];
		x[i] /= row[i];
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

/* ---- a row, whole ------------------------------------------------------ */

void round_weights(const struct moments *moments, uint32_t group, const struct lattice *lattice,
		   const float *weights, float *scale, uint8_t *chosen, float *scratch)
{
	const struct row row = {
		.moments = moments, .lattice = lattice, .weights = weights, .carried = scratch,
		.factors = moments->factors + group * moments->size,
		.order = moments->order + (size_t)group * moments->length,
	};
	uint8_t *trial = (uint8_t *)(scratch + 3 * (size_t)moments->length);
	double least = round_row(&row, *scale, chosen);
	float first = *scale;

	for (size_t i = 0; lattice->count <= FEW_VALUES && i < OTHER_SCALES; i++) {
		if (try_scale(&row, first * other_scales[i], &least, chosen, trial))
			*scale = first * other_scales[i];
	}
	*scale = fit_scale(&row, *scale, chosen, scratch + moments->length);
	try_scale(&row, *scale, &least, chosen, trial);
}

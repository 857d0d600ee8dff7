// SPDX-License-Identifier: MIT
/*
 * The choice of formats: a knapsack problem with one item of each row. Layer by
 * layer it keeps the Pareto set: of all choices so far those that no other beats
 * in both bytes and effect. (Effects of layers are taken to add up, which holds
 * for small errors; tune.c measures the whole.)
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "compile.h"

/* Most points kept a layer. Beyond, the best of each of so many sizes is. */
#define MAX_POINTS 16384

struct point {
	uint64_t bytes;
	double effect;
	uint32_t before;	/* index into the layer before's points */
	enum xrnpe_format format;
};

struct front {
	struct point *points;	/* bytes rise, effects fall */
	uint32_t count;
};

static int compare_points(const void *a, const void *b)
{
	const struct point *x = a, *y = b;

	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? -1 : 1;
	if (x->effect != y->effect)
		return x->effect < y->effect ? -1 : 1;
	return x->format < y->format ? -1 : x->format > y->format;
}

/* Sort, and keep what nothing beats; at most one for each @grain bytes. */
static void thin(struct front *front, uint64_t grain)
{
	uint32_t kept = 0;

	qsort(front->points, front->count, sizeof(*front->points), compare_points);
	for (uint32_t i = 0; i < front->count; i++) {
		const struct point *point = &front->points[i];

		if (kept && point->effect >= front->points[kept - 1].effect)
			continue;
		/* The first and smallest point stays, that a solution be found. */
		if (kept > 1 && point->bytes / grain == front->points[kept - 1].bytes / grain)
			kept--;
		front->points[kept++] = *point;
	}
	front->count = kept;
}

static uint64_t least_bytes(const struct option options[COMPILE_FORMATS])
{
	uint64_t least = UINT64_MAX;

	for (unsigned int f = 0; f < COMPILE_FORMATS; f++)
		least = options[f].bytes < least ? options[f].bytes : least;
	return least;
}

/* All points of @before with every option of one layer, as far as @limit bytes allow. */
static int extend(const struct front *before, const struct option options[COMPILE_FORMATS],
		  uint64_t limit, struct front *front)
{
	front->count = 0;
	front->points = malloc((size_t)before->count * COMPILE_FORMATS * sizeof(*front->points));
	if (!front->points)
		return -ENOMEM;
	for (uint32_t i = 0; i < before->count; i++) {
		for (unsigned int f = 0; f < COMPILE_FORMATS; f++) {
			uint64_t bytes = before->points[i].bytes + options[f].bytes;

			if (bytes > limit)
				continue;
			front->points[front->count++] = (struct point){
				bytes, before->points[i].effect + options[f].effect, i, f };
		}
	}
	if (!front->count)
		return -ENOSPC;
	thin(front, limit / MAX_POINTS + 1);
	return 0;
}

/*
 * Bytes do not tell P16 from P8 where there are no weights, but time and memory
 * do: take the narrower one where that adds next to nothing.
 */
static void spare_bits(const struct option (*options)[COMPILE_FORMATS], uint32_t count,
		       enum xrnpe_format *chosen)
{
	double allowed = 0;

	for (uint32_t i = 0; i < count; i++)
		allowed += options[i][chosen[i]].effect;
	allowed *= 0.01;
	for (uint32_t i = 0; i < count; i++) {
		const struct option *wide = &options[i][XRNPE_FORMAT_P16];
		const struct option *narrow = &options[i][XRNPE_FORMAT_P8];

		if (chosen[i] == XRNPE_FORMAT_P16 && narrow->bytes <= wide->bytes &&
		    narrow->effect - wide->effect <= allowed)
			chosen[i] = XRNPE_FORMAT_P8;
	}
}

int choose_formats(const struct option (*options)[COMPILE_FORMATS], uint32_t count,
		   uint64_t budget, enum xrnpe_format *chosen)
{
	struct front *fronts = calloc((size_t)count + 1, sizeof(*fronts));
	struct point start = { 0 };
	uint64_t rest = 0;
	int ret = 0;

	if (!fronts)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		rest += least_bytes(options[i]);
	fronts[0] = (struct front){ &start, 1 };
	if (rest > budget)
		ret = -ENOSPC;
	for (uint32_t i = 0; !ret && i < count; i++) {
		rest -= least_bytes(options[i]);
		ret = extend(&fronts[i], options[i], budget - rest, &fronts[i + 1]);
	}
	if (!ret) {
		uint32_t at = fronts[count].count - 1;

		for (uint32_t i = count; i--;) {
			chosen[i] = fronts[i + 1].points[at].format;
			at = fronts[i + 1].points[at].before;
		}
		spare_bits(options, count, chosen);
	}
	for (uint32_t i = 1; i <= count; i++)
		free(fronts[i].points);
	free(fronts);
	return ret;
}

// SPDX-License-Identifier: MIT
/*
 * The choice of formats. The budget is of bytes, which only weights take; wide inputs
 * cost time instead. So of all choices within the budget that one is looked for where
 * the product of the output's error and the cycles is least: to be twice as fast, a
 * choice may have twice the error, and no more.
 *
 * For a given price of a cycle it is a knapsack problem with one item of each row,
 * whose value is effect + price * cycles. It is solved exactly (but for MAX_POINTS):
 * layer by layer the Pareto set is kept, of all choices so far those that no other
 * beats in both bytes and value. Prices are tried from next to nothing, which gives
 * the least error, up. Effects of layers are taken to add up, which holds for small
 * errors: so the few best choices are handed on, for the whole network to tell.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"

/* Most points kept a layer. Beyond, the best of each of so many sizes is. */
#define MAX_POINTS 8192
/* Prices tried are 2^i of what all cycles together cost. */
#define LOWEST_PRICE (-24)
#define HIGHEST_PRICE 2
/* An effect that is as good as none, so that then time alone decides. */
#define NO_EFFECT 1e-12

struct point {
	uint64_t bytes;
	double value;
	uint32_t before;	/* index into the layer before's points */
	uint8_t option;
};

struct front {
	struct point *points;	/* bytes rise, values fall */
	uint32_t count;
};

struct problem {
	const struct option (*options)[COMPILE_OPTIONS];
	uint32_t count;
	uint64_t budget;
	double price;		/* of a cycle, as effect */
	struct front *fronts;	/* count + 1: before each layer, and at the end */
};

/* Whether @a comes before @b in a front, if both were in it. */
static bool precedes(const struct point *a, const struct point *b)
{
	return a->bytes < b->bytes || (a->bytes == b->bytes && a->value < b->value);
}

/* Append, in order of precedes(), unless it is beaten; at most one for each @grain bytes. */
static void append(struct front *front, const struct point *point, uint64_t grain)
{
	const struct point *last = front->count ? &front->points[front->count - 1] : NULL;

	if (last && point->value >= last->value)
		return;
	/* The first and smallest point stays, that a solution be found. */
	if (front->count > 1 && point->bytes / grain == last->bytes / grain)
		front->count--;
	front->points[front->count++] = *point;
}

/* Those of a layer's options that no other beats at this price. */
static void list_useful(const struct problem *problem, uint32_t layer,
			struct point points[COMPILE_OPTIONS], uint32_t *count)
{
	struct front front = { points, 0 };
	struct point sorted[COMPILE_OPTIONS];
	uint32_t known = 0;

	for (uint8_t i = 0; i < COMPILE_OPTIONS; i++) {
		const struct option *option = &problem->options[layer][i];
		struct point point = {
			.bytes = option->bytes,
			.value = option->effect + problem->price * option->cycles, .option = i,
		};
		uint32_t at = known;

		if (!isfinite(option->effect))
			continue;
		for (; at && precedes(&point, &sorted[at - 1]); at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = point;
		known++;
	}
	for (uint32_t i = 0; i < known; i++)
		append(&front, &sorted[i], 1);
	*count = front.count;
}

/* Fewest bytes of the layers from @layer on. */
static uint64_t least_bytes(const struct problem *problem, uint32_t layer)
{
	struct point points[COMPILE_OPTIONS];
	uint64_t bytes = 0;
	uint32_t count;

	for (; layer < problem->count; layer++) {
		list_useful(problem, layer, points, &count);
		bytes += points[0].bytes;
	}
	return bytes;
}

/* All points before a layer with every option of it, as far as @limit bytes allow. */
static int extend(struct problem *problem, uint32_t layer, uint64_t limit)
{
	const struct front *before = &problem->fronts[layer];
	struct front *front = &problem->fronts[layer + 1];
	struct point options[COMPILE_OPTIONS];
	uint32_t next[COMPILE_OPTIONS] = { 0 }, count;

	list_useful(problem, layer, options, &count);
	front->points = malloc((size_t)before->count * count * sizeof(*front->points));
	if (!front->points)
		return -ENOMEM;
	/* With each option the points before are in order: merge. */
	for (;;) {
		struct point least = { .bytes = limit + 1 };
		uint32_t from = count;

		for (uint32_t k = 0; k < count; k++) {
			const struct point *point = &before->points[next[k]];
			struct point sum;

			if (next[k] == before->count)
				continue;
			sum = (struct point){
				point->bytes + options[k].bytes, point->value + options[k].value,
				next[k], options[k].option,
			};
			if (precedes(&sum, &least)) {
				least = sum;
				from = k;
			}
		}
		if (from == count)
			break;
		append(front, &least, limit / MAX_POINTS + 1);
		next[from]++;
	}
	return 0;
}

/* The options of least value at @price. Returns 0, -ENOSPC, -ENOMEM. */
static int solve(struct problem *problem, double price, uint8_t *chosen)
{
	struct point start = { 0 };
	uint32_t at = 0;
	int ret = 0;

	problem->price = price;
	problem->fronts = calloc((size_t)problem->count + 1, sizeof(*problem->fronts));
	if (!problem->fronts)
		return -ENOMEM;
	problem->fronts[0] = (struct front){ &start, 1 };
	if (least_bytes(problem, 0) > problem->budget)
		ret = -ENOSPC;
	for (uint32_t i = 0; !ret && i < problem->count; i++)
		ret = extend(problem, i, problem->budget - least_bytes(problem, i + 1));
	if (!ret)
		at = problem->fronts[problem->count].count - 1;
	for (uint32_t i = problem->count; !ret && i--;) {
		chosen[i] = problem->fronts[i + 1].points[at].option;
		at = problem->fronts[i + 1].points[at].before;
	}
	for (uint32_t i = 1; i <= problem->count; i++)
		free(problem->fronts[i].points);
	free(problem->fronts);
	return ret;
}

/* Cycles of all layers, where each takes longest. */
static double most_cycles(const struct problem *problem)
{
	double total = 0;

	for (uint32_t i = 0; i < problem->count; i++) {
		double most = 0;

		for (unsigned int k = 0; k < COMPILE_OPTIONS; k++)
			most = fmax(most, problem->options[i][k].cycles);
		total += most;
	}
	return total;
}

/* What is to be least. */
static double score(const struct problem *problem, const uint8_t *chosen)
{
	double effect = 0, cycles = 0;

	for (uint32_t i = 0; i < problem->count; i++) {
		effect += problem->options[i][chosen[i]].effect;
		cycles += problem->options[i][chosen[i]].cycles;
	}
	return sqrt(effect + NO_EFFECT) * cycles;
}

/* Insert a choice among the @known best, unless it is one of them; how many there are then. */
static uint32_t insert(const struct problem *problem, const uint8_t *trial, uint8_t *chosen,
		       double scores[COMPILE_CANDIDATES], uint32_t known)
{
	size_t size = problem->count;
	double now = score(problem, trial);
	uint32_t at = known;

	for (uint32_t i = 0; i < known; i++)
		if (!memcmp(chosen + i * size, trial, size))
			return known;
	while (at && now < scores[at - 1])
		at--;
	if (at == COMPILE_CANDIDATES)
		return known;
	if (known < COMPILE_CANDIDATES)
		known++;
	memmove(chosen + (at + 1) * size, chosen + at * size, (known - 1 - at) * size);
	memmove(scores + at + 1, scores + at, (known - 1 - at) * sizeof(*scores));
	memcpy(chosen + at * size, trial, size);
	scores[at] = now;
	return known;
}

int choose_options(const struct option (*options)[COMPILE_OPTIONS], uint32_t count,
		   uint64_t budget, uint8_t *chosen, uint32_t *found)
{
	struct problem problem = { .options = options, .count = count, .budget = budget };
	double total = most_cycles(&problem), scores[COMPILE_CANDIDATES];
	uint8_t *trial = malloc(count + 1);
	int ret = trial ? 0 : -ENOMEM;

	*found = 0;
	for (int i = LOWEST_PRICE; !ret && i <= HIGHEST_PRICE; i++) {
		ret = solve(&problem, exp2(i) / total, trial);
		if (!ret)
			*found = insert(&problem, trial, chosen, scores, *found);
	}
	free(trial);
	return ret;
}

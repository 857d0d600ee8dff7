// SPDX-License-Identifier: MIT
/*
 * The choice of formats. What is to be had is either the least error within limits of bytes,
 * cycles and energy, or, for an error that is allowed, the least cost. For a
 * given price of what cost is (see cost_of()) it is a knapsack problem with one item of each
 * row, whose value is effect + price * cost and whose weight is bytes. It is solved exactly (but
 * for MAX_POINTS): row by row the Pareto set is kept, of all choices so far those that no
 * other beats in both bytes and value. The price is then found for which the other limits
 * just hold. Effects of rows are taken to add up, which holds for small errors; choices.c
 * measures what they are together, and corrects the limits.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"

/* Most points kept a layer. Beyond, the best of each of so many sizes is. */
#define MAX_POINTS 8192
/* Prices are 2^LOWEST_PRICE, next to nothing, to 2^HIGHEST_PRICE, where effects do not matter. */
#define LOWEST_PRICE (-40)
#define HIGHEST_PRICE 10
#define PRICE_STEPS 16	/* halvings of that range */

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
	const struct choose_limits *limits;
	struct option most;	/* sums of what each row takes at most */
	double price;		/* of cost, as effect */
	struct front *fronts;	/* count + 1: before each layer, and at the end */
};

/*
 * What an option costs beside its effect: where the least cost is looked for, what the caller
 * says; else what is limited, as shares of the limits.
 */
static double cost_of(const struct problem *problem, const struct option *option)
{
	const struct choose_limits *limits = problem->limits;

	if (limits->effect > 0)
		return limits->price.bytes * (double)option->bytes / (double)(problem->most.bytes + 1) +
		       limits->price.cycles * option->cycles / (problem->most.cycles + 1) +
		       limits->price.picojoules * option->picojoules / (problem->most.picojoules + 1);
	return option->cycles / limits->cycles + option->picojoules / limits->picojoules +
	       /* Of equals the faster. */
	       1e-3 * option->cycles / (problem->most.cycles + 1);
}

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
			.value = option->effect + problem->price * cost_of(problem, option), .option = i,
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

/* All rows' options of least value, whatever they weigh. */
static void solve_without_limit(const struct problem *problem, uint8_t *chosen)
{
	struct point points[COMPILE_OPTIONS];
	uint32_t count;

	for (uint32_t i = 0; i < problem->count; i++) {
		list_useful(problem, i, points, &count);
		chosen[i] = points[count - 1].option;
	}
}

/* The options of least value at @price. Returns 0, -ENOSPC, -ENOMEM. */
static int solve(struct problem *problem, double price, uint8_t *chosen)
{
	struct point start = { 0 };
	uint32_t at = 0;
	int ret = 0;

	problem->price = price;
	if (problem->most.bytes <= problem->limits->bytes) {
		solve_without_limit(problem, chosen);
		return 0;
	}
	problem->fronts = calloc((size_t)problem->count + 1, sizeof(*problem->fronts));
	if (!problem->fronts)
		return -ENOMEM;
	problem->fronts[0] = (struct front){ &start, 1 };
	if (least_bytes(problem, 0) > problem->limits->bytes)
		ret = -ENOSPC;
	for (uint32_t i = 0; !ret && i < problem->count; i++)
		ret = extend(problem, i, problem->limits->bytes - least_bytes(problem, i + 1));
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

/* Sums of what each row takes at most. */
static struct option find_most(const struct option (*options)[COMPILE_OPTIONS], uint32_t count)
{
	struct option most = { 0 };

	for (uint32_t i = 0; i < count; i++) {
		uint64_t bytes = 0;
		double cycles = 0, picojoules = 0;

		for (unsigned int k = 0; k < COMPILE_OPTIONS; k++) {
			if (!isfinite(options[i][k].effect))
				continue;
			bytes = options[i][k].bytes > bytes ? options[i][k].bytes : bytes;
			cycles = fmax(cycles, options[i][k].cycles);
			picojoules = fmax(picojoules, options[i][k].picojoules);
		}
		most.bytes += bytes;
		most.cycles += cycles;
		most.picojoules += picojoules;
	}
	return most;
}

/* Whether @chosen keeps the limit that a higher price breaks (of effect), or mends. */
static bool keeps_limits(const struct problem *problem, const uint8_t *chosen)
{
	const struct choose_limits *limits = problem->limits;
	double effect = 0, cycles = 0, picojoules = 0;

	for (uint32_t i = 0; i < problem->count; i++) {
		const struct option *option = &problem->options[i][chosen[i]];

		effect += option->effect;
		cycles += option->cycles;
		picojoules += option->picojoules;
	}
	return limits->effect > 0 ? effect <= limits->effect :
	       cycles <= limits->cycles && picojoules <= limits->picojoules;
}

int choose_options(const struct option (*options)[COMPILE_OPTIONS], uint32_t count,
		   const struct choose_limits *limits, uint8_t *chosen)
{
	struct problem problem = {
		.options = options, .count = count, .limits = limits,
		.most = find_most(options, count),
	};
	bool cheapest = limits->effect > 0;
	/* A price at which the limits are kept, as far as is known, and one at which they are not. */
	double good = cheapest ? LOWEST_PRICE : HIGHEST_PRICE;
	double bad = cheapest ? HIGHEST_PRICE : LOWEST_PRICE;
	int ret = solve(&problem, exp2(bad), chosen);

	if (ret || keeps_limits(&problem, chosen))
		return ret;
	for (int i = 0; !ret && i < PRICE_STEPS; i++) {
		double middle = (good + bad) / 2;

		ret = solve(&problem, exp2(middle), chosen);
		if (!ret && keeps_limits(&problem, chosen))
			good = middle;
		else
			bad = middle;
	}
	return ret ? ret : solve(&problem, exp2(good), chosen);
}

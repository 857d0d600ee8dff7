// SPDX-License-Identifier: MIT
/* A governor: the point that suits a deadline and a limit of energy. */
#include <math.h>

#include "govern.h"

/*
 * To go up to a point that is more exact it must keep its deadline by so much, so that times
 * that differ from one inference to the next do not make it go up and down.
 */
#define MARGIN 0.9
/* How much of a difference counts: at once, nearly, if it takes longer; slowly if it does not. */
#define RISE 0.5
#define FALL 0.125

void govern_limit(struct govern *govern, const struct xrnpe_governor *limits)
{
	govern->limits = *limits;
	govern->picked = false;
}

static double seconds_of(const struct govern *govern, const struct govern_point *point)
{
	return point->seconds * (govern->ratio > 0 ? govern->ratio : 1) + govern->cpu_seconds;
}

/* How many times a limit @value is; without one it is never exceeded. */
static double share_of(double value, double limit)
{
	return limit > 0 ? value / limit : 0;
}

/* By how much @point exceeds the limit that it exceeds most: at most 1 if it keeps all. */
static double excess_of(const struct govern *govern, const struct govern_point *point, double margin)
{
	return fmax(share_of(seconds_of(govern, point), govern->limits.seconds * margin),
		    share_of(point->picojoules, govern->limits.picojoules));
}

static bool is_exact_enough(const struct govern *govern, const struct govern_point *point)
{
	return !(govern->limits.error > 0) || point->error <= govern->limits.error;
}

/* The more exact of two; of equals the faster. */
static bool is_better(const struct govern_point *a, const struct govern_point *b)
{
	return a->error < b->error || (a->error == b->error && a->seconds < b->seconds);
}

unsigned int govern_pick(struct govern *govern, const struct govern_point *points,
			 unsigned int count)
{
	unsigned int best = count, nearest = count;
	double least = INFINITY;
	bool exact = false;

	for (unsigned int i = 0; i < count; i++)
		exact |= is_exact_enough(govern, &points[i]);
	for (unsigned int i = 0; i < count; i++) {
		bool up = govern->picked && points[i].error < points[govern->point].error;
		double excess = excess_of(govern, &points[i], up ? MARGIN : 1);

		/* Where none is exact enough, that is no reason to choose among them. */
		if (exact && !is_exact_enough(govern, &points[i]))
			continue;
		if (excess <= 1 && (best == count || is_better(&points[i], &points[best])))
			best = i;
		if (excess < least) {
			least = excess;
			nearest = i;
		}
	}
	govern->point = best < count ? best : nearest;
	govern->picked = true;
	return govern->point;
}

static void smooth(double *average, double value)
{
	*average += (value - *average) * (value > *average ? RISE : FALL);
}

void govern_observe(struct govern *govern, const struct govern_point *point, double device_seconds,
		    double cpu_seconds)
{
	bool first = !(govern->ratio > 0);

	/* A model may have nothing for the device. */
	if (point->seconds > 0 && device_seconds > 0) {
		double ratio = device_seconds / point->seconds;

		if (first)
			govern->ratio = ratio;
		else
			smooth(&govern->ratio, ratio);
	}
	smooth(&govern->cpu_seconds, cpu_seconds);
}

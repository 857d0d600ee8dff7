/* SPDX-License-Identifier: MIT */
/*
 * Which of a model's points keeps a deadline and a limit of energy. No clock and no thread is
 * in here: what it does depends on what it is told alone.
 */
#ifndef XRNPE_GOVERN_H
#define XRNPE_GOVERN_H

#include "xrnpe.h"

/* What a point takes by the device's cycle model, for one inference, and how exact it is. */
struct govern_point {
	double seconds, picojoules, error;
};

struct govern {
	struct xrnpe_governor limits;
	unsigned int point;	/* picked last */
	bool picked;		/* @point is under these limits */
	/* What was measured, smoothed. */
	double ratio;		/* device's time / predicted time; 0: nothing yet */
	double cpu_seconds;	/* of nodes on the CPU */
};

/* Keep to @limits from now on. What was measured stays. */
void govern_limit(struct govern *govern, const struct xrnpe_governor *limits);

/*
 * The point that the next inference runs at: of those that keep the limits the most exact;
 * if none does, that which exceeds them least.
 */
unsigned int govern_pick(struct govern *govern, const struct govern_point *points,
			 unsigned int count);

/* An inference at @point took so long. */
void govern_observe(struct govern *govern, const struct govern_point *point, double device_seconds,
		    double cpu_seconds);

#endif

/* SPDX-License-Identifier: MIT */
/* Cubic interpolation, as Resize and GridSample have it. */
#ifndef XRNPE_CUBIC_H
#define XRNPE_CUBIC_H

#include <math.h>

/* The weight of an element that is @x from what is interpolated, by Keys' kernel of coefficient @a. */
static inline double cubic_weight(double a, double x)
{
	x = fabs(x);
	if (x <= 1)
		return ((a + 2) * x - (a + 3)) * x * x + 1;
	return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

#endif

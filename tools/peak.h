/* SPDX-License-Identifier: MIT */
/* What a CPU's multiply-accumulate units could do at most, for `xrnpe bench`. */
#ifndef XRNPE_PEAK_H
#define XRNPE_PEAK_H

#include "datapath.h"

/** A multiply-accumulate instruction, in a loop that touches registers only. */
struct xrnpe_peak {
	const char *kernel;		/**< of the datapath, which is built on it */
	enum xrnpe_format widest;	/**< format that it is for; narrower ones have others before */
	unsigned int macs;		/**< products that a turn of the loop sums */
	void (*spin)(unsigned long turns);
};

/** The instruction that @kernel uses for @format; NULL if none is known. */
const struct xrnpe_peak *xrnpe_peak_find(const char *kernel, enum xrnpe_format format);

#endif

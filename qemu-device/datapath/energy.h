/* SPDX-License-Identifier: MIT */
/*
 * Figures by which energy is told. Documentation/hardware.rst, "Energy", has those by default,
 * where each comes from, and which are assumptions.
 */
#ifndef XRNPE_ENERGY_H
#define XRNPE_ENERGY_H

#include "drm/xrnpe_cmd.h"

/** What things take, in picojoules. Measured values may replace any of the defaults. */
struct xrnpe_energy {
	/** a product, by format of ifm, then of weight: decoded, multiplied, added up */
	double product[XRNPE_PRODUCT_FORMATS][XRNPE_PRODUCT_FORMATS];
	double gated_block;	/**< a multiplier block in a cycle in which it is gated */
	double sram_byte;	/**< a byte written to SRAM or read from it */
	double memory_byte;	/**< a byte over the bus, memory included */
	double cycle;		/**< clocks, control, leakage of all the rest */
	double sharing;		/**< processing elements that share a word read from SRAM */
};

#endif

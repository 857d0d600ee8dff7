/* SPDX-License-Identifier: MIT */
/*
 * The cycle model: what a command costs on the array, without running it; and the
 * energy of that. The QEMU device and the emulator count with it and libxrnpe predicts
 * with it, so that all three agree exactly. Documentation/hardware.rst, "Cycle model",
 * has the formulas and the reasons.
 *
 * All functions are pure and may be called from any thread.
 */
#ifndef XRNPE_COST_H
#define XRNPE_COST_H

#include <stdint.h>

#include "drm/xrnpe_cmd.h"
#include "energy.h"

#ifdef __cplusplus
extern "C" {
#endif

/** An implementation, as far as its speed goes; none is zero. */
struct xrnpe_machine {
	uint32_t rows;		/**< processing elements down */
	uint32_t cols;		/**< processing elements across */
	uint32_t bus_bytes;	/**< that the bus moves in a cycle */
	uint32_t sram_kib;	/**< operand buffers */
	uint32_t latency;	/**< cycles from a read's address to its first data */
	uint32_t clock_khz;
};

#define XRNPE_MACHINE_DEFAULT ((struct xrnpe_machine){ \
	.rows = 8, .cols = 8, .bus_bytes = 16, .sram_kib = 256, .latency = 100, \
	.clock_khz = 1000000 })

/** Multiplier blocks of a processing element: 7 x 7, of 2 x 2 bits. */
#define XRNPE_BLOCKS 49

/**
 * Products of the two formats that a processing element computes in a cycle: 1, 2 or
 * 4, by the wider. Both are formats that multiply.
 */
unsigned int xrnpe_rate(enum xrnpe_format ifm, enum xrnpe_format weight);

/** Multiplier blocks that work on one product of the two formats. */
unsigned int xrnpe_blocks(enum xrnpe_format ifm, enum xrnpe_format weight);

/**
 * Add what @cmd costs to @counters. @cmd passed xrnpe_cmd_check().
 *
 * Commands do not depend on each other: a job costs the sum of its commands.
 */
void xrnpe_cmd_cost(const struct xrnpe_machine *machine, const struct xrnpe_cmd *cmd,
		    struct xrnpe_counters *counters);

/** Add the counts of @more to those of @sum. */
void xrnpe_counters_add(struct xrnpe_counters *sum, const struct xrnpe_counters *more);

/**
 * Figures for 28 nm. Documentation/hardware.rst, "Energy", tells where each comes from,
 * and which are assumptions.
 */
struct xrnpe_energy xrnpe_energy_default(void);

/** Energy of what was counted, picojoules. */
double xrnpe_energy_pj(const struct xrnpe_energy *energy, const struct xrnpe_counters *counters);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: MIT */
/* What comes before a command runs: which kernel does it, in which tasks, with which tables. */
#ifndef XRNPE_DATAPATH_PREPARE_H
#define XRNPE_DATAPATH_PREPARE_H

#include "kernels/kernel.h"

/** What plans depend on: all but @threads is the same for all contexts with a kernel's name. */
struct xrnpe_planner {
	const struct xrnpe_kernel *kernel;
	const struct xrnpe_codec *codec;
	unsigned int threads;
	int16_t narrow[XRNPE_FORMAT_P16][256];	/**< grid values by code */
};

/** That of a context. */
const struct xrnpe_planner *xrnpe_datapath_planner(const struct xrnpe_datapath *datapath);

struct xrnpe_prepared {
	struct xrnpe_cmd cmd;
	union {
		struct xrnpe_tasks tasks;	/**< of MATMUL and CONV2D, but for the product */
		struct xrnpe_pass pass;		/**< of the others, but for memory */
	};
	void *panels;				/**< that tasks keep; NULL: none */
	size_t size;				/**< with these, in bytes */
};

/** MATMUL or CONV2D with its operands; of a batch the first matrix. */
struct xrnpe_product xrnpe_product_of(const struct xrnpe_planner *planner, const struct xrnpe_cmd *cmd,
				      void *const memory[XRNPE_OPERANDS], const volatile bool *cancel);

/** Cut it into tasks. */
void xrnpe_plan_product(const struct xrnpe_planner *planner, const struct xrnpe_product *product,
			struct xrnpe_tasks *tasks);

/** Cut any other command that reads and writes tensors into tasks. */
void xrnpe_plan_pass(const struct xrnpe_planner *planner, const struct xrnpe_cmd *cmd,
		     void *const memory[XRNPE_OPERANDS], const volatile bool *cancel, struct xrnpe_pass *pass);

/** The first scale, bias or slope that is not allowed, as an offset from @record, the first; or -1. */
int64_t xrnpe_illegal_scale(const struct xrnpe_cmd *cmd, const uint8_t *record, const volatile bool *cancel);

#endif

/* SPDX-License-Identifier: MIT */
/* What the emulator keeps of commands that never change. */
#ifndef XRNPE_EMU_PLANS_H
#define XRNPE_EMU_PLANS_H

#include "backend.h"
#include "datapath.h"

struct emu_plan {
	struct xrnpe_span spans[XRNPE_OPERANDS];
	struct xrnpe_counters cost;
	struct xrnpe_prepared *prepared;	/* NULL: runs as it is */
};

/* Of all commands of a buffer. */
struct emu_plans {
	uint32_t count;
	struct emu_plan plan[];
};

/* Where the operands of a command of @job lie. */
void emu_operands(const struct xrnpe_job *job, const struct xrnpe_span *spans, void *memory[XRNPE_OPERANDS]);

/* Set all of @plan but what is prepared, for command @i of @job. False, with @fault: it is illegal. */
bool emu_plan_command(struct emu_plan *plan, const struct xrnpe_job *job, uint32_t i, const struct xrnpe_cmd *cmd,
		      struct xrnpe_fault *fault);

/*
 * Plans of @job's commands, made the first time for all jobs that have these. NULL: the
 * commands may change, or there is no memory.
 */
const struct emu_plans *emu_plans_of(struct xrnpe_job *job, const struct xrnpe_datapath *datapath);

void emu_plans_free(struct emu_plans *plans);

#endif

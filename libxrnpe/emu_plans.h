/* SPDX-License-Identifier: MIT */
/* What the emulator keeps of commands that never change. */
#ifndef XRNPE_EMU_PLANS_H
#define XRNPE_EMU_PLANS_H

#include "backend.h"
#include "datapath.h"

struct emu_plan {
	struct xrnpe_span spans[XRNPE_OPERANDS];
	struct xrnpe_counters cost;
	struct xrnpe_prepared *prepared;
};

/* Where the operands of a command of @job lie. */
void emu_operands(const struct xrnpe_job *job, const struct xrnpe_span *spans, void *memory[XRNPE_OPERANDS]);

/* Set all of @plan but what is prepared, for command @i of @job. False, with @fault: it is illegal. */
bool emu_plan_command(struct emu_plan *plan, const struct xrnpe_job *job, uint32_t i, const struct xrnpe_cmd *cmd,
		      struct xrnpe_fault *fault);

/*
 * The plan of command @i of @job, which runs now: made when the first job that has it comes to it,
 * for all of them. NULL: it runs as it is.
 */
const struct emu_plan *emu_plan_of(const struct xrnpe_job *job, uint32_t i, const struct xrnpe_datapath *datapath);

struct emu_plans;

/* Of all commands of a buffer; may be NULL. */
void emu_plans_free(struct emu_plans *plans);

#endif

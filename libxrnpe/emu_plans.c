// SPDX-License-Identifier: MIT
/*
 * A session's commands and constants do not change. So what takes the emulator's time before a
 * command runs is done once for all inferences: it is checked, its cost is counted, its weights
 * are decoded.
 */
#include "emu_plans.h"

#include <stdlib.h>

#include "cost.h"

/* Bytes for a buffer's commands, at the most: a share of the last cache. */
#define MOST_PREPARED (16u << 20)

void emu_operands(const struct xrnpe_job *job, const struct xrnpe_span *spans, void *memory[XRNPE_OPERANDS])
{
	for (unsigned int o = 0; o < XRNPE_OPERANDS; o++) {
		const struct xrnpe_job_region *region = &job->regions[spans[o].region];

		memory[o] = spans[o].size ? (char *)region->buffer->data + region->offset + spans[o].offset :
					    NULL;
	}
}

bool emu_plan_command(struct emu_plan *plan, const struct xrnpe_job *job, uint32_t i, const struct xrnpe_cmd *cmd,
		      struct xrnpe_fault *fault)
{
	const struct xrnpe_machine machine = XRNPE_MACHINE_DEFAULT;
	struct xrnpe_extent extents[XRNPE_MAX_REGIONS];

	for (unsigned int r = 0; r < job->region_count; r++)
		extents[r] = (struct xrnpe_extent){ job->regions[r].size, job->regions[r].flags };
	*plan = (struct emu_plan){ 0 };
	if (!xrnpe_cmd_check(cmd, i, extents, job->region_count, plan->spans, fault))
		return false;
	xrnpe_cmd_cost(&machine, cmd, &plan->cost);
	return true;
}

/* Whether operand @o is none, or never changes. */
static bool is_constant(const struct xrnpe_job *job, const struct xrnpe_span *spans, unsigned int o)
{
	return !spans[o].size || job->regions[spans[o].region].buffer->constant;
}

static void prepare(struct emu_plan *plan, const struct xrnpe_job *job, const struct xrnpe_cmd *cmd,
		    const struct xrnpe_datapath *datapath, size_t most)
{
	void *memory[XRNPE_OPERANDS];

	if (!is_constant(job, plan->spans, XRNPE_OPERAND_WEIGHT) ||
	    !is_constant(job, plan->spans, XRNPE_OPERAND_SCALE))
		return;
	emu_operands(job, plan->spans, memory);
	plan->prepared = xrnpe_datapath_prepare(datapath, cmd, memory, most);
}

static struct emu_plans *make_plans(const struct xrnpe_job *job, const struct xrnpe_datapath *datapath)
{
	uint32_t count = (uint32_t)(job->cmds->size / sizeof(struct xrnpe_cmd));
	struct emu_plans *plans = calloc(1, sizeof(*plans) + count * sizeof(plans->plan[0]));
	size_t left = MOST_PREPARED;

	if (!plans)
		return NULL;
	plans->count = count;
	for (uint32_t i = 0; i < count; i++) {
		const struct xrnpe_cmd *cmd = (const struct xrnpe_cmd *)job->cmds->data + i;
		struct emu_plan *plan = &plans->plan[i];
		struct xrnpe_fault fault;

		if (emu_plan_command(plan, job, i, cmd, &fault))
			prepare(plan, job, cmd, datapath, left);
		if (plan->prepared)
			left -= xrnpe_prepared_size(plan->prepared);
	}
	return plans;
}

void emu_plans_free(struct emu_plans *plans)
{
	for (uint32_t i = 0; plans && i < plans->count; i++)
		xrnpe_prepared_free(plans->plan[i].prepared);
	free(plans);
}

const struct emu_plans *emu_plans_of(struct xrnpe_job *job, const struct xrnpe_datapath *datapath)
{
	struct emu_plans *made, *plans = job->cmds->constant ? job->cmds->plans : NULL;

	if (!job->cmds->constant || plans)
		return plans;
	made = make_plans(job, datapath);
	/* Jobs that run side by side may each have made them. */
	if (!made || atomic_compare_exchange_strong(&job->cmds->plans, &plans, made))
		return made;
	emu_plans_free(made);
	return plans;
}

// SPDX-License-Identifier: MIT
/*
 * A session's commands and constants do not change. So what takes the emulator's time before a
 * command runs is done once for all inferences: it is checked, its cost is counted, its weights
 * are decoded. That is done when it runs for the first time, as there are kernels that are chosen
 * by inputs, too.
 */
#include "emu_plans.h"

#include <pthread.h>
#include <stdlib.h>

#include "cost.h"

/* Bytes for a buffer's commands, at the most: a share of the last cache. */
#define MOST_PREPARED (16u << 20)

struct kept {
	atomic_bool made;
	struct emu_plan plan;
};

struct emu_plans {
	pthread_mutex_t lock;	/* of who makes one */
	size_t left;		/* of MOST_PREPARED */
	uint32_t count;
	struct kept kept[];
};

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

static void make_plan(struct emu_plans *plans, struct emu_plan *plan, const struct xrnpe_job *job, uint32_t i,
		      const struct xrnpe_datapath *datapath)
{
	const struct xrnpe_cmd *cmd = (const struct xrnpe_cmd *)job->cmds->data + job->cmd_first + i;
	void *memory[XRNPE_OPERANDS];
	struct xrnpe_fault fault;

	if (!emu_plan_command(plan, job, i, cmd, &fault) || !is_constant(job, plan->spans, XRNPE_OPERAND_WEIGHT) ||
	    !is_constant(job, plan->spans, XRNPE_OPERAND_SCALE))
		return;
	emu_operands(job, plan->spans, memory);
	plan->prepared = xrnpe_datapath_prepare(datapath, cmd, memory, plans->left);
	if (plan->prepared)
		plans->left -= xrnpe_prepared_size(plan->prepared);
}

static struct emu_plans *new_plans(uint32_t count)
{
	struct emu_plans *plans = calloc(1, sizeof(*plans) + count * sizeof(plans->kept[0]));

	if (!plans)
		return NULL;
	pthread_mutex_init(&plans->lock, NULL);
	plans->left = MOST_PREPARED;
	plans->count = count;
	return plans;
}

void emu_plans_free(struct emu_plans *plans)
{
	if (!plans)
		return;
	for (uint32_t i = 0; i < plans->count; i++)
		xrnpe_prepared_free(plans->kept[i].plan.prepared);
	pthread_mutex_destroy(&plans->lock);
	free(plans);
}

/* NULL: these commands may change, or there is no memory. */
static struct emu_plans *plans_of(struct xrnpe_buffer *cmds)
{
	struct emu_plans *made, *plans = cmds->plans;

	if (!cmds->constant || plans)
		return plans;
	made = new_plans((uint32_t)(cmds->size / sizeof(struct xrnpe_cmd)));
	/* Jobs that run side by side may each have made them. */
	if (!made || atomic_compare_exchange_strong(&cmds->plans, &plans, made))
		return made;
	emu_plans_free(made);
	return plans;
}

const struct emu_plan *emu_plan_of(const struct xrnpe_job *job, uint32_t i, const struct xrnpe_datapath *datapath)
{
	struct emu_plans *plans = plans_of(job->cmds);
	struct kept *kept;

	if (!plans)
		return NULL;
	kept = &plans->kept[job->cmd_first + i];
	if (!kept->made) {
		pthread_mutex_lock(&plans->lock);
		if (!kept->made)
			make_plan(plans, &kept->plan, job, i, datapath);
		kept->made = true;
		pthread_mutex_unlock(&plans->lock);
	}
	return kept->plan.prepared ? &kept->plan : NULL;
}

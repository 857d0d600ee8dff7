// SPDX-License-Identifier: MIT
/*
 * The regions of a session's jobs. A model has one for all inputs and one for all outputs;
 * in a session each of these has one of its own, so that it can lie in any buffer.
 */
#include "datapath.h"
#include "session.h"

/* The region that has byte @offset of the model's region @of, or NULL. */
static const struct session_region *find(const struct session_regions *regions,
					 enum xrnpe_model_region of, uint64_t offset)
{
	for (unsigned int r = 0; r < regions->count; r++) {
		const struct session_region *region = &regions->region[r];

		if (region->of == of && offset >= region->offset &&
		    offset - region->offset < region->size)
			return region;
	}
	return NULL;
}

unsigned int session_find_region(const struct session_regions *regions,
				 const struct xrnpe_model_tensor *t)
{
	return (unsigned int)(find(regions, t->region, t->offset) - regions->region);
}

void session_move_cmd(const struct session_regions *regions, struct xrnpe_cmd *cmd)
{
	for (unsigned int k = 0; k < XRNPE_OPERANDS; k++) {
		struct xrnpe_operand *operand = &cmd->operand[k];
		const struct session_region *region = operand->region < XRNPE_MODEL_REGIONS ?
						      find(regions, operand->region, operand->offset) : NULL;

		if (!region)
			continue;
		operand->region = (uint8_t)(region - regions->region);
		operand->offset -= region->offset;
	}
}

void session_move_fault(const struct session_regions *regions, struct xrnpe_fault *fault)
{
	const struct session_region *region;

	if (fault->operand == XRNPE_OPERAND_NONE || fault->region >= regions->count)
		return;
	region = &regions->region[fault->region];
	fault->region = region->of;
	/* There it is that of a field. */
	if (fault->kind != XRNPE_FAULT_ILLEGAL_FIELD)
		fault->offset += region->offset;
}

static void add(struct session_regions *regions, enum xrnpe_model_region of, uint64_t offset,
		uint64_t size)
{
	/* One of size 0 has no commands that use it, but a job may not have it. */
	regions->region[regions->count++] = (struct session_region){ of, offset, size ? size : 1 };
}

/* Add what holds tensor @t, which may be another's too. False: they share some of it only. */
static bool add_tensor(struct session_regions *regions, const struct xrnpe_model_tensor *t)
{
	uint64_t size = xrnpe_model_tensor_bytes(t);

	for (unsigned int r = 0; r < regions->count; r++) {
		const struct session_region *region = &regions->region[r];

		if (region->of != t->region || region->offset >= t->offset + size ||
		    t->offset >= region->offset + region->size)
			continue;
		return region->offset == t->offset && region->size == size;
	}
	add(regions, t->region, t->offset, size);
	return true;
}

/* Whether the commands do the same where the memory is divided so. */
static bool commands_fit(const struct session_regions *regions, const struct xrnpe_model *model)
{
	struct xrnpe_extent extents[XRNPE_MAX_REGIONS];
	struct xrnpe_span spans[XRNPE_OPERANDS];
	struct xrnpe_fault fault;

	for (unsigned int r = 0; r < regions->count; r++)
		extents[r] = (struct xrnpe_extent){ regions->region[r].size,
						    xrnpe_model_region_flags[regions->region[r].of] };
	for (uint32_t i = 0; i < model->cmd_count; i++) {
		struct xrnpe_cmd cmd = model->cmds[i];

		session_move_cmd(regions, &cmd);
		if (!xrnpe_cmd_check(&cmd, i, extents, regions->count, spans, &fault))
			return false;
	}
	return true;
}

/* Tensors that are others under another name lie with these. */
static bool tensors_fit(const struct session_regions *regions, const struct xrnpe_model *model)
{
	for (uint32_t i = 0; i < model->tensor_count; i++) {
		const struct xrnpe_model_tensor *t = &model->tensors[i];
		const struct session_region *region = find(regions, t->region, t->offset);

		if (!region || t->offset - region->offset + xrnpe_model_tensor_bytes(t) > region->size)
			return false;
	}
	return true;
}

/* Region @r of the model, which has room for that of each point. */
static uint64_t size_of(const struct xrnpe_model *model, unsigned int r)
{
	uint64_t size = 0;

	for (unsigned int p = 0; p < xrnpe_model_point_count(model); p++) {
		uint64_t of_point = xrnpe_model_point(model, p)->region_size[r];

		size = of_point > size ? of_point : size;
	}
	return size;
}

static bool divide(struct session_regions *regions, const struct xrnpe_model *model,
		   unsigned int most)
{
	uint32_t count = model->input_count + model->output_count;

	regions->count = 0;
	if (most > XRNPE_MAX_REGIONS)
		most = XRNPE_MAX_REGIONS;
	if (most < XRNPE_MODEL_INPUT || count > most - XRNPE_MODEL_INPUT)
		return false;
	for (unsigned int r = 0; r < XRNPE_MODEL_INPUT; r++)
		add(regions, r, 0, size_of(model, r));
	for (uint32_t i = 0; i < count; i++) {
		if (!add_tensor(regions, &model->tensors[i]))
			return false;
	}
	for (unsigned int p = 0; p < xrnpe_model_point_count(model); p++) {
		const struct xrnpe_model *point = xrnpe_model_point(model, p);

		if (!tensors_fit(regions, point) || !commands_fit(regions, point))
			return false;
	}
	return true;
}

void session_make_regions(struct session_regions *regions, const struct xrnpe_model *model,
			  unsigned int most)
{
	regions->divided = divide(regions, model, most);
	if (regions->divided)
		return;
	regions->count = 0;
	for (unsigned int r = 0; r < XRNPE_MODEL_REGIONS; r++)
		add(regions, r, 0, size_of(model, r));
}

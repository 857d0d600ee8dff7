// SPDX-License-Identifier: MIT
/* Versions of tensors: which formats they are needed in, and where those lie. */
#include <errno.h>
#include <stdlib.h>

#include "error.h"
#include "lower.h"

/* ---- what is needed ---------------------------------------------------- */

enum xrnpe_format lower_read_format(const struct lowering *low, uint32_t n, uint32_t k)
{
	const struct node_plan *plan = &low->compiler->nodes[n];

	if (!plan->chooses)
		return version_format(lower_versions(low, compile_output(low->compiler, n))->primary);
	return k && compile_adds(plan) ? plan->residual : plan->choice.input;
}

/* The widest of the formats in @set, which is not empty, that commands multiply in. */
static enum xrnpe_format widest(unsigned int set)
{
	enum xrnpe_format format = XRNPE_FORMAT_P16;

	while (format && !(set & 1u << format))
		format--;
	return format;
}

static void need(struct lowering *low, uint32_t tensor, unsigned int versions)
{
	lower_versions(low, tensor)->needed |= versions;
}

/*
 * The version that @kind's command writes of a tensor that its readers need like this.
 *
 * @codes_only: no binary32
 */
static void choose_primary(struct versions *versions, enum place_kind kind, bool codes_only)
{
	unsigned int codes = versions->needed & COMPILE_ALL_FORMATS;

	/* From 4 bits to others is no way. */
	if (codes_only && !codes)
		codes = 1u << XRNPE_FORMAT_P16;
	else if (kind < PLACE_PART && codes == COMPILE_FOUR_BITS)
		codes |= 1u << XRNPE_FORMAT_P8;
	versions->needed |= codes;
	if (!codes_only && versions->needed & 1u << VERSION_F32)
		versions->primary = VERSION_F32;
	else
		versions->primary = codes ? widest(codes) : VERSION_OUTPUT;
}

/* The needs of what cuts parts out of a tensor: they come from there, in the same format. */
static void find_part_needs(struct lowering *low, const struct graph_node *node,
			    const struct place *place)
{
	uint32_t input = node->inputs[0];

	for (uint32_t k = 0; k < place->part_count; k++) {
		uint32_t part = lower_same(low, node->outputs[place->parts[k].output]);
		struct versions *versions = &low->versions[part];

		if (low->compiler->tensors[part].cut) {
			versions->primary = VERSION_F32;
			versions->needed |= 1u << VERSION_F32;
			need(low, input, 1u << VERSION_F32);
			need(low, input, versions->needed & COMPILE_ALL_FORMATS);
			continue;
		}
		choose_primary(versions, PLACE_PART, true);
		need(low, input, versions->needed & COMPILE_ALL_FORMATS);
	}
}

/* By 16 bits: with results of binary32 twice as large, and of no use to others. */
static bool has_large_table(const struct node_plan *plan)
{
	return plan->place.kind == PLACE_TABLE && plan->choice.input == XRNPE_FORMAT_P16;
}

static void find_node_needs(struct lowering *low, uint32_t n)
{
	const struct graph_node *node = &low->compiler->graph->nodes[n];
	const struct place *place = &low->compiler->nodes[n].place;

	switch (place->kind) {
	case PLACE_CPU:
		for (uint32_t k = 0; k < node->input_count; k++) {
			/* What the CPU computed it has. */
			if (node->inputs[k] != GRAPH_NONE &&
			    (!low->compiler->tensors[node->inputs[k]].given ||
			     compile_bytes(low->compiler, node->inputs[k])))
				need(low, node->inputs[k], 1u << VERSION_F32);
		}
		break;
	case PLACE_PART:
		find_part_needs(low, node, place);
		break;
	case PLACE_JOIN:
		for (uint32_t k = 0; k < place->part_count; k++) {
			uint32_t output = node->outputs[place->parts[k].output];

			choose_primary(lower_versions(low, output), PLACE_JOIN, true);
			need(low, node->inputs[place->parts[k].input],
			     lower_versions(low, output)->needed & COMPILE_ALL_FORMATS);
		}
		break;
	default:
		choose_primary(lower_versions(low, node->outputs[0]), place->kind,
			       place->kind >= PLACE_POOL || has_large_table(&low->compiler->nodes[n]));
		for (uint32_t k = 0; k < place->read_count; k++)
			need(low, place->reads[k].tensor, 1u << lower_read_format(low, n, k));
	}
}

void lower_find_versions(struct lowering *low)
{
	const struct xrnpe_graph *graph = low->compiler->graph;

	for (uint32_t i = 0; i < graph->output_count; i++)
		need(low, graph->outputs[i], 1u << VERSION_OUTPUT);
	for (uint32_t n = graph->node_count; n--;)
		find_node_needs(low, n);
	for (uint32_t i = 0; i < graph->tensor_count; i++) {
		if (compile_bytes(low->compiler, i))
			low->versions[i].primary = VERSION_BYTES;
		else if (low->compiler->tensors[i].given || low->compiler->tensors[i].cut)
			low->versions[i].primary = VERSION_F32;
	}
}

/* ---- where they lie ---------------------------------------------------- */

float lower_scale(const struct lowering *low, uint32_t tensor, unsigned int version)
{
	enum xrnpe_format format = version_format(version);

	return format >= XRNPE_FORMAT_F32 ? 1 : low->compiler->tensors[tensor].scale[format];
}

/* Whether a version of a tensor that is part of another lies in a version of that. */
static bool lies_in_base(const struct lowering *low, const struct tensor_plan *plan,
			 unsigned int version)
{
	if (plan->base == plan->same || version == VERSION_OUTPUT)
		return false;
	if (version == VERSION_F32)
		return plan->cut;
	return low->versions[plan->base].needed & 1u << version;
}

/* The tensor whose buffer has a version of @tensor, and which part of it. */
static uint32_t find_owner(const struct lowering *low, uint32_t tensor, unsigned int version,
			   struct image_part *part)
{
	const struct tensor_plan *plan = &low->compiler->tensors[lower_same(low, tensor)];

	while (lies_in_base(low, plan, version)) {
		/* A part of a part. */
		part->h = plan->part.h + part->h * plan->part.step_h;
		part->w = plan->part.w + part->w * plan->part.step_w;
		part->c += plan->part.c;
		part->step_h *= plan->part.step_h;
		part->step_w *= plan->part.step_w;
		plan = &low->compiler->tensors[plan->base];
	}
	return plan->same;
}

/* Where the index of a buffer stands in an offset. */
#define BUFFER_SHIFT 40

uint64_t lower_temporary(struct lowering *low, uint64_t size)
{
	low->buffers[low->buffer_count] = (struct plan_buffer){
		.size = size, .first = low->time, .last = low->time + 1,
	};
	return (uint64_t)low->buffer_count++ << BUFFER_SHIFT;
}

/* The buffer of a format of a tensor; the first to use it writes it. */
static uint64_t use_buffer(struct lowering *low, uint32_t tensor, enum xrnpe_format format)
{
	struct versions *versions = &low->versions[tensor];

	if (!(versions->has_buffer & 1u << format)) {
		versions->has_buffer |= 1u << format;
		versions->buffer[format] = low->buffer_count;
		low->buffers[low->buffer_count++] = (struct plan_buffer){
			.size = image_bytes(&low->compiler->tensors[tensor].image, format),
			.first = low->time,
		};
	}
	if (!low->ended)
		low->buffers[versions->buffer[format]].last = low->time;
	return (uint64_t)versions->buffer[format] << BUFFER_SHIFT;
}

static bool is_input(const struct xrnpe_graph *graph, uint32_t tensor)
{
	for (uint32_t i = 0; i < graph->input_count; i++) {
		if (graph->inputs[i] == tensor)
			return true;
	}
	return false;
}

void lower_part(const struct image *image, const struct image_part *part, enum xrnpe_format format,
		struct xrnpe_operand *operand)
{
	uint32_t pixel = (uint32_t)xrnpe_row_bytes(format, image->c), row = image->w * pixel;

	*operand = (struct xrnpe_operand){
		.format = (uint8_t)format,
		.offset = (uint64_t)part->h * row + (uint64_t)part->w * pixel +
			  xrnpe_row_bytes(format, part->c),
		.row_stride = part->step_h * row, .pixel_stride = part->step_w * pixel,
	};
}

void lower_locate(struct lowering *low, uint32_t tensor, unsigned int version,
		  const struct image *image, const struct image_part *part,
		  struct xrnpe_operand *operand)
{
	struct image_part where = part ? *part : IMAGE_WHOLE;
	enum xrnpe_format format = version_format(version);
	uint32_t same = lower_same(low, tensor), owner = find_owner(low, tensor, version, &where);
	const struct image *whole = owner == same ? image : &low->compiler->tensors[owner].image;

	lower_part(whole, &where, format, operand);
	if (low->compiler->graph->tensors[owner].data) {
		operand->region = XRNPE_MODEL_CONSTANTS;
		operand->offset += low->versions[owner].constant[format];
	} else if (version == VERSION_OUTPUT) {
		operand->region = XRNPE_MODEL_OUTPUT;
		operand->offset += low->out_offset[same];
	} else if (version == VERSION_F32 && is_input(low->compiler->graph, owner) &&
		   !compile_bytes(low->compiler, owner)) {
		operand->region = XRNPE_MODEL_INPUT;
		operand->offset += low->in_offset[owner];
	} else {
		operand->region = XRNPE_MODEL_ARENA;
		operand->offset += use_buffer(low, owner, format);
	}
}

uint64_t lower_place_offset(const struct lowering *low, uint64_t offset)
{
	return low->buffers[offset >> BUFFER_SHIFT].offset +
	       (offset & (((uint64_t)1 << BUFFER_SHIFT) - 1));
}

void lower_locate_bytes(const struct lowering *low, uint32_t tensor, struct xrnpe_cmd *cmd)
{
	const struct graph_bytes *bytes = compile_bytes(low->compiler, tensor);
	uint32_t pixel = bytes->planar ? bytes->width : bytes->channels;

	cmd->order = bytes->planar ? XRNPE_ORDER_CHW : XRNPE_ORDER_HWC;
	cmd->operand[XRNPE_OPERAND_IFM] = (struct xrnpe_operand){
		.region = XRNPE_MODEL_INPUT, .format = XRNPE_FORMAT_U8,
		.offset = low->in_offset[tensor], .pixel_stride = pixel,
		.row_stride = pixel * (bytes->planar ? bytes->height : bytes->width),
	};
}

int lower_place_buffers(struct lowering *low)
{
	struct xrnpe_model *model = low->model;

	if (plan_buffers(low->buffers, low->buffer_count, &model->region_size[XRNPE_MODEL_ARENA]))
		return xrnpe_fail_memory(low->compiler->error);
	for (uint32_t i = 0; i < model->cmd_count; i++) {
		for (unsigned int k = 0; k < XRNPE_OPERANDS; k++) {
			struct xrnpe_operand *operand = &model->cmds[i].operand[k];

			if (operand->region == XRNPE_MODEL_ARENA)
				operand->offset = lower_place_offset(low, operand->offset);
		}
	}
	for (uint32_t i = 0; i < model->tensor_count; i++) {
		if (model->tensors[i].region == XRNPE_MODEL_ARENA)
			model->tensors[i].offset = lower_place_offset(low, model->tensors[i].offset);
	}
	return 0;
}

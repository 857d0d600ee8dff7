// SPDX-License-Identifier: MIT
/*
 * Weights of a model, rounded once more. They were rounded for what layers read in binary32; in the
 * model layers before have errors, which weights can make up for in part, and of which they must not
 * make more. (Li et al., "GPTAQ", arXiv 2504.02692, for the inverse of moments.)
 */
#include <stdlib.h>
#include <string.h>

#include "reround.h"
#include "round.h"

/* Where the scale records of piece @k of node @n would be for the first output channel. */
static uint64_t records_of(const struct xrnpe_model *model, const struct node_plan *plan, uint32_t k)
{
	return model->cmds[plan->cmd + k].operand[XRNPE_OPERAND_SCALE].offset -
	       (uint64_t)place_piece(&plan->place, k).row * lower_scale_size(&plan->place);
}

/* Whether a piece before the @k-th has the same records. */
static bool has_seen(const struct xrnpe_model *model, const struct node_plan *plan, uint32_t k)
{
	for (uint32_t before = 0; before < k; before++) {
		if (records_of(model, plan, before) == records_of(model, plan, k))
			return true;
	}
	return false;
}

/* Let the records at @offset have the scales of @new in place of those of @old. */
static void change_scales(struct xrnpe_model *model, const struct place *place, uint64_t offset,
			  const struct quantized *old, const struct quantized *new)
{
	uint8_t *record = (uint8_t *)model->constants + offset;

	for (uint32_t c = 0; c < place->weights.out_c; c++, record += lower_scale_size(place)) {
		float scale;

		memcpy(&scale, record, sizeof(scale));
		scale = (float)(scale * ((double)new->scales[c] / old->scales[c]));
		memcpy(record, &scale, sizeof(scale));
	}
}

static void replace(struct xrnpe_model *model, const struct node_plan *plan, const struct quantized *new)
{
	enum xrnpe_format format = plan->choice.weight;
	const struct quantized *old = &plan->weight[format];
	const struct place_piece piece = place_piece(&plan->place, 0);
	uint64_t first = (uint64_t)piece.row * old->row_stride + (uint64_t)piece.tap * old->pixel_stride +
			 xrnpe_row_bytes(format, piece.channel);

	memcpy((uint8_t *)model->constants + model->cmds[plan->cmd].operand[XRNPE_OPERAND_WEIGHT].offset - first,
	       new->codes, new->size);
	for (uint32_t k = 0; k < place_pieces(&plan->place); k++) {
		if (!has_seen(model, plan, k))
			change_scales(model, &plan->place, records_of(model, plan, k), old, new);
	}
}

int reround_node(struct compiler *compiler, uint32_t n, float *const *values, struct xrnpe_model *model)
{
	const struct node_plan *plan = &compiler->nodes[n];
	const struct weights *weights = &plan->place.weights;
	struct quantized quantized = { 0 };
	struct moments moments;
	int ret;

	/* Fine enough as they are. */
	if (plan->choice.weight == XRNPE_FORMAT_P16)
		return 0;
	ret = moments_compare(compiler, n, values, compiler->images, compiler->image_count, &moments);
	if (ret)
		return ret;
	ret = quantize_weights(weights, compiler->graph->tensors[weights->tensor].data, &moments, NULL,
			       plan->choice.weight, true, &quantized);
	if (!ret)
		replace(model, plan, &quantized);
	quantize_free(&quantized);
	moments_free(&moments);
	return ret;
}

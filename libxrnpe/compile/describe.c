// SPDX-License-Identifier: MIT
/* The model's tables: what a program is told of layers and tensors. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "lower.h"

/* ---- layers ------------------------------------------------------------ */

/* Bytes in binary32 of the constants of floats that @node reads. */
static uint64_t float_bytes(const struct xrnpe_graph *graph, const struct graph_node *node)
{
	uint64_t count = 0;

	for (uint32_t k = 0; k < node->input_count; k++) {
		const struct graph_tensor *tensor = graph_input(graph, node, k);

		if (tensor && tensor->data && tensor->type == GRAPH_FLOAT)
			count += graph_count(&tensor->shape);
	}
	return count * sizeof(float);
}

/* Products of the commands of a node that is on the device. */
static uint64_t device_macs(const struct place *place)
{
	uint64_t macs = 0;

	for (uint32_t k = 0; k < place_pieces(place); k++) {
		const struct place_piece piece = place_piece(place, k);

		macs += xrnpe_cmd_macs(&piece.cmd);
	}
	return macs;
}

static int describe_layer(struct lowering *low, uint32_t n)
{
	const struct xrnpe_graph *graph = low->compiler->graph;
	const struct graph_node *node = &graph->nodes[n];
	const struct node_plan *plan = &low->compiler->nodes[n];
	const struct graph_shape *shape = &graph_output(graph, node, 0)->shape;
	struct xrnpe_layer_info *layer = &low->model->layers[low->model->layer_count++];
	bool device = compile_on_device(plan);
	enum xrnpe_format written = device ?
		version_format(lower_versions(low, node->outputs[0])->primary) : XRNPE_FORMAT_F32;

	*layer = (struct xrnpe_layer_info){
		.name = strdup(node->name),
		.op = strdup(node->op_names),
		.place = device ? XRNPE_PLACE_DEVICE : XRNPE_PLACE_CPU,
		.why = strdup(device ? "" : plan->place.why),
		.rank = shape->rank,
		.macs = device ? device_macs(&plan->place) : graph_node_macs(graph, node),
		.format = plan->chooses ? plan->choice.input : written,
		.weight_format = plan->chooses ? plan->choice.weight : written,
		.added_format = compile_adds(plan) ? plan->residual :
				plan->chooses ? plan->choice.input : written,
		.out_format = written,
		.output = strdup(graph_output(graph, node, 0)->name),
		.float_bytes = float_bytes(graph, node),
	};
	for (unsigned int i = 0; i < XRNPE_TENSOR_RANK; i++)
		layer->dims[i] = i < shape->rank ? shape->dims[i] : 1;
	for (unsigned int f = 0; f < COMPILE_FORMATS; f++) {
		layer->weight_error[f] = plan->place.kind == PLACE_WEIGHTS ? plan->weight_loss[f].error : -1;
		layer->input_error[f] = plan->chooses ? plan->input_loss[f].error : -1;
	}
	return layer->name && layer->op && layer->why && layer->output ? 0 :
	       xrnpe_fail_memory(low->compiler->error);
}

int describe_layers(struct lowering *low)
{
	const struct compiler *compiler = low->compiler;
	uint32_t count = compiler->graph->node_count;
	int ret = 0;

	for (uint32_t n = 0; !ret && n < count; n++) {
		struct node_plan *plan = &low->compiler->nodes[n];

		/* What gives a tensor another name is none, unless there is nothing else. */
		plan->layer = GRAPH_NONE;
		if (plan->place.kind == PLACE_PART && !plan->place.part_count &&
		    (low->model->layer_count || n + 1 < count))
			continue;
		plan->layer = low->model->layer_count;
		ret = describe_layer(low, n);
	}
	return ret;
}

/* ---- tensors ----------------------------------------------------------- */

/* Append a tensor of the model that lies at @at; its offset may still be a buffer's. */
static int append_tensor(struct lowering *low, uint32_t tensor, const struct image *image,
			 unsigned int version, const struct xrnpe_operand *at)
{
	struct xrnpe_model_tensor *made;
	struct xrnpe_model *model = low->model;

	made = realloc(model->tensors, (model->tensor_count + 1) * sizeof(*model->tensors));
	if (!made)
		return xrnpe_fail_memory(low->compiler->error);
	model->tensors = made;
	made += model->tensor_count++;
	*made = (struct xrnpe_model_tensor){
		.region = at->region, .format = version_format(version), .offset = at->offset,
		.row_stride = at->row_stride, .pixel_stride = at->pixel_stride,
		.channels = image->c, .height = image->h, .width = image->w,
		.channels_first = image->first,
		.scale = lower_scale(low, tensor, version),
		.info = graph_info(&low->compiler->graph->tensors[tensor]),
	};
	made->info.name = strdup(made->info.name);
	return made->info.name ? 0 : xrnpe_fail_memory(low->compiler->error);
}

int describe_tensor(struct lowering *low, uint32_t tensor, unsigned int version, uint32_t *index)
{
	const struct image *image = &low->compiler->tensors[tensor].image;
	struct xrnpe_operand at;

	lower_locate(low, tensor, version, image, NULL, &at);
	*index = low->model->tensor_count;
	return append_tensor(low, tensor, image, version, &at);
}

/* Where the model is when @node's first output is there; it was told when that was added. */
static void find_place(const struct xrnpe_model *model, const struct node_plan *plan,
		       struct xrnpe_layer_output *output)
{
	output->step = plan->step;
	if (plan->step == model->step_count || model->steps[plan->step].kind != XRNPE_MODEL_JOB)
		return;
	output->part = plan->written_cmd - model->steps[plan->step].first;
	while (output->step < model->step_count && output->part >= model->steps[output->step].count)
		output->part -= model->steps[output->step++].count;
}

int describe_layer_outputs(struct lowering *low)
{
	const struct compiler *compiler = low->compiler;
	int ret = 0;

	low->ended = true;
	for (uint32_t n = 0; !ret && n < compiler->graph->node_count; n++) {
		const struct node_plan *plan = &compiler->nodes[n];
		uint32_t tensor = compile_output(compiler, n);
		struct xrnpe_layer_output *output;

		if (plan->layer == GRAPH_NONE)
			continue;
		output = &low->model->layer_outputs[plan->layer];
		if (!compile_on_device(plan)) {
			output->index = plan->cmd;
			continue;
		}
		find_place(low->model, plan, output);
		ret = describe_tensor(low, tensor, lower_versions(low, tensor)->primary, &output->index);
	}
	return ret;
}

/* A tensor of the interface, packed, behind those that are in the region already. */
static int add_interface(struct lowering *low, uint32_t tensor, enum xrnpe_model_region region)
{
	struct compiler *compiler = low->compiler;
	size_t count = graph_count(&compiler->graph->tensors[tensor].shape);
	uint64_t *end = &low->model->region_size[region];
	struct image image = compiler->tensors[tensor].image;
	const struct graph_bytes *bytes = compile_bytes(compiler, tensor);
	enum xrnpe_format format = bytes ? XRNPE_FORMAT_U8 : XRNPE_FORMAT_F32;
	uint64_t *offset = region == XRNPE_MODEL_INPUT ? &low->in_offset[tensor] :
			   &low->out_offset[lower_same(low, tensor)];
	struct xrnpe_operand at = { .region = (uint8_t)region };

	/* The CPU alone looks at it; or it lies as programs have it. */
	if (!image.c || bytes)
		image = (struct image){ 1, 1, (uint32_t)count, false };
	at.pixel_stride = (uint32_t)xrnpe_row_bytes(format, image.c);
	at.row_stride = image.w * at.pixel_stride;
	/* An output may have two names. */
	if (*offset == UINT64_MAX) {
		*offset = (*end + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
		*end = *offset + xrnpe_row_bytes(format, count);
	}
	at.offset = *offset;
	return append_tensor(low, tensor, &image, bytes ? VERSION_BYTES : VERSION_F32, &at);
}

/* What programs give as bytes has the shape that these have. */
static void set_byte_info(const struct xrnpe_tensor_info *from, struct xrnpe_tensor_info *info)
{
	info->type = from->type;
	memcpy(info->dims, from->dims, sizeof(info->dims));
}

int describe_interface(struct lowering *low)
{
	const struct xrnpe_graph *graph = low->compiler->graph, *source = low->compiler->source;
	int ret = 0;

	low->model->input_count = graph->input_count;
	low->model->output_count = graph->output_count;
	for (uint32_t i = 0; i < graph->tensor_count; i++)
		low->in_offset[i] = low->out_offset[i] = UINT64_MAX;
	for (uint32_t i = 0; !ret && i < graph->input_count; i++) {
		ret = add_interface(low, graph->inputs[i], XRNPE_MODEL_INPUT);
		if (!ret && bytes_input(source, i))
			set_byte_info(&source->infos[i], &low->model->tensors[i].info);
	}
	for (uint32_t i = 0; !ret && i < graph->output_count; i++)
		ret = add_interface(low, graph->outputs[i], XRNPE_MODEL_OUTPUT);
	return ret;
}

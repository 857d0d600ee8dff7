// SPDX-License-Identifier: MIT
/*
 * From graph and formats to commands.
 *
 * A tensor may exist in several versions: the one that its command writes (the
 * primary) and others converted from it, for readers that read another format. The network's input and output are binary32 in regions of their own.
 */
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "error.h"

/* ---- one command ------------------------------------------------------- */

bool lower_multiplies(const struct graph_node *node)
{
	return node->op == GRAPH_CONV || node->op == GRAPH_NORM || node->op == GRAPH_AVGPOOL;
}

bool lower_adds(const struct graph_node *node)
{
	return node->op == GRAPH_CONV && node->inputs == 2;
}

static bool is_matmul(const struct graph_shape *in, const struct graph_node *node)
{
	return node->op == GRAPH_CONV && node->groups == 1 && in->h == 1 && in->w == 1 &&
	       node->window.kernel_h == 1 && node->window.kernel_w == 1 &&
	       node->shape.h == 1 && node->shape.w == 1;
}

void lower_command(const struct xrnpe_graph *graph, const struct graph_node *node,
		   struct xrnpe_cmd *cmd)
{
	const struct graph_shape *in = graph_input_shape(graph, node);
	struct xrnpe_dims_image *d = &cmd->image;

	*cmd = (struct xrnpe_cmd){
		.activation = (uint8_t)node->activation.kind,
		.flags = (lower_adds(node) ? XRNPE_CMD_RESIDUAL : 0) |
			 (node->activation.clamps ? XRNPE_CMD_CLAMP : 0),
	};
	if (is_matmul(in, node)) {
		cmd->opcode = XRNPE_OP_MATMUL;
		cmd->matmul = (struct xrnpe_dims_matmul){
			.m = 1, .n = node->shape.c, .k = in->c, .batch = 1,
		};
		return;
	}
	d->in_h = (uint16_t)in->h;
	d->in_w = (uint16_t)in->w;
	d->in_c = (uint16_t)in->c;
	if (node->op == GRAPH_ADD || node->op == GRAPH_ACTIVATION) {
		cmd->opcode = node->op == GRAPH_ADD ? XRNPE_OP_ADD : XRNPE_OP_CONVERT;
		return;
	}
	cmd->opcode = node->op == GRAPH_MAXPOOL ? XRNPE_OP_MAXPOOL : XRNPE_OP_CONV2D;
	d->out_h = (uint16_t)node->shape.h;
	d->out_w = (uint16_t)node->shape.w;
	d->out_c = (uint16_t)node->shape.c;
	d->groups = node->op == GRAPH_MAXPOOL ? 1 :
		    (uint16_t)(node->op == GRAPH_CONV ? node->groups : in->c);
	if (node->op == GRAPH_NORM) {
		d->kernel_h = d->kernel_w = d->stride_h = d->stride_w = 1;
		d->dilation_h = d->dilation_w = 1;
		return;
	}
	d->kernel_h = (uint8_t)node->window.kernel_h;
	d->kernel_w = (uint8_t)node->window.kernel_w;
	d->stride_h = (uint8_t)node->window.stride_h;
	d->stride_w = (uint8_t)node->window.stride_w;
	d->dilation_h = (uint8_t)node->window.dilation_h;
	d->dilation_w = (uint8_t)node->window.dilation_w;
	d->pad_top = (uint8_t)node->window.pad_top;
	d->pad_left = (uint8_t)node->window.pad_left;
}

static uint32_t float_bits(double value)
{
	float rounded = (float)fmin(fmax(value, -FLT_MAX), FLT_MAX);
	uint32_t bits;

	memcpy(&bits, &rounded, sizeof(bits));
	return bits;
}

/* The parameters of the output stage, which depend on the scales of what it reads and writes. */
static void set_output_stage(const struct graph_node *node, const float *in_scales, float out_scale,
			     struct xrnpe_cmd *cmd)
{
	const struct graph_activation *activation = &node->activation;

	if (activation->kind == XRNPE_ACT_LEAKY)
		cmd->slope = float_bits(activation->slope);
	if (activation->clamps) {
		cmd->lo = float_bits((double)activation->lo / out_scale);
		cmd->hi = float_bits((double)activation->hi / out_scale);
	}
	if (lower_adds(node))
		cmd->residual = float_bits((double)in_scales[1] / out_scale);
}

void lower_without_activation(struct xrnpe_cmd *cmd)
{
	cmd->activation = XRNPE_ACT_NONE;
	cmd->flags &= ~XRNPE_CMD_CLAMP;
	cmd->slope = cmd->lo = cmd->hi = 0;
}

void lower_operand(const struct xrnpe_cmd *cmd, const struct graph_shape *shape,
		   enum xrnpe_format format, struct xrnpe_operand *operand)
{
	uint32_t pixel = (uint32_t)xrnpe_row_bytes(format, shape->c);

	*operand = (struct xrnpe_operand){
		.format = (uint8_t)format,
		.row_stride = shape->w * pixel,
		.pixel_stride = cmd->opcode == XRNPE_OP_MATMUL ? 0 : pixel,
	};
}

uint32_t lower_scale_count(const struct graph_node *node)
{
	if (lower_multiplies(node))
		return node->shape.c;
	return node->op == GRAPH_ADD ? 2 : node->op == GRAPH_ACTIVATION ? 1 : 0;
}

/* CONVERT has one record for all channels, the others one each. */
static struct xrnpe_operand scale_operand(const struct xrnpe_cmd *cmd)
{
	return (struct xrnpe_operand){
		.region = XRNPE_MODEL_CONSTANTS, .format = XRNPE_FORMAT_F32,
		.row_stride = cmd->opcode == XRNPE_OP_CONVERT ? 0 : sizeof(struct xrnpe_scale),
	};
}

void lower_constants(const struct graph_node *node, const struct quantized *weight,
		     enum xrnpe_format format, struct xrnpe_cmd *cmd)
{
	if (lower_multiplies(node))
		cmd->operand[XRNPE_OPERAND_WEIGHT] = (struct xrnpe_operand){
			.region = XRNPE_MODEL_CONSTANTS, .format = (uint8_t)format,
			.row_stride = weight->row_stride,
			.pixel_stride = cmd->opcode == XRNPE_OP_MATMUL ? 0 : weight->pixel_stride,
		};
	if (lower_scale_count(node))
		cmd->operand[XRNPE_OPERAND_SCALE] = scale_operand(cmd);
}

static struct xrnpe_scale scale_record(double scale, double bias)
{
	float values[2] = { (float)scale, (float)bias };
	struct xrnpe_scale record;

	memcpy(&record, values, sizeof(record));
	return record;
}

void lower_scales(const struct graph_node *node, const struct quantized *weight,
		  const float *bias, const float *in_scales, float out_scale,
		  struct xrnpe_scale *out)
{
	if (!lower_multiplies(node)) {
		for (uint32_t k = 0; k < lower_scale_count(node); k++)
			out[k] = scale_record((double)in_scales[k] / out_scale, 0);
		return;
	}
	for (uint32_t c = 0; c < node->shape.c; c++)
		out[c] = scale_record((double)in_scales[0] * weight->scales[c] / out_scale,
				      bias ? (double)bias[c] / out_scale : 0);
}

/* ---- the whole --------------------------------------------------------- */

/* The versions of a node's tensor. */
struct versions {
	unsigned int needed;		/* bit by format */
	enum xrnpe_format primary;
	uint32_t buffer[XRNPE_OUTPUT_FORMATS];	/* index of the arena buffer */
};

struct lowering {
	struct compiler *compiler;
	struct xrnpe_model *model;
	struct versions *versions;	/* by node */
	struct plan_buffer *buffers;
	uint32_t buffer_count;
	uint32_t layer;			/* that commands are added to */
};

/*
 * While commands are made, the offset of an operand in the arena is the index of
 * its buffer; offsets are known when all commands are.
 */
static void place_operand(const struct lowering *low, uint32_t node, enum xrnpe_format format,
			  struct xrnpe_operand *operand)
{
	if (format == XRNPE_FORMAT_F32) {
		operand->region = node ? XRNPE_MODEL_OUTPUT : XRNPE_MODEL_INPUT;
	} else {
		operand->region = XRNPE_MODEL_ARENA;
		operand->offset = low->versions[node].buffer[format];
	}
}

static float version_scale(const struct lowering *low, uint32_t node, enum xrnpe_format format)
{
	return format == XRNPE_FORMAT_F32 ? 1 : low->compiler->plan[node].scale[format];
}

static void read_operand(struct lowering *low, struct xrnpe_cmd *cmd, unsigned int operand,
			uint32_t node, enum xrnpe_format format)
{
	lower_operand(cmd, &low->compiler->graph->nodes[node].shape, format,
		      &cmd->operand[operand]);
	place_operand(low, node, format, &cmd->operand[operand]);
	if (format != XRNPE_FORMAT_F32)
		low->buffers[cmd->operand[operand].offset].last = low->model->cmd_count;
}

/* The output, in a buffer of its own from this command on. */
static void write_operand(struct lowering *low, struct xrnpe_cmd *cmd, uint32_t node,
			  enum xrnpe_format format)
{
	const struct graph_shape *shape = &low->compiler->graph->nodes[node].shape;

	lower_operand(cmd, shape, format, &cmd->operand[XRNPE_OPERAND_OFM]);
	if (format != XRNPE_FORMAT_F32) {
		low->versions[node].buffer[format] = low->buffer_count;
		low->buffers[low->buffer_count++] = (struct plan_buffer){
			.size = quantize_tensor_size(shape, format),
			.first = low->model->cmd_count, .last = low->model->cmd_count,
		};
	}
	place_operand(low, node, format, &cmd->operand[XRNPE_OPERAND_OFM]);
}

/* Constants are aligned to what the widest of them, a scale, needs. */
#define CONSTANT_ALIGN sizeof(uint32_t)

/* Add @size bytes to the constants and let @operand point at them. */
static int add_constants(struct lowering *low, const void *data, size_t size,
			 struct xrnpe_operand *operand)
{
	uint64_t *total = &low->model->region_size[XRNPE_MODEL_CONSTANTS];
	size_t room = (size + CONSTANT_ALIGN - 1) / CONSTANT_ALIGN * CONSTANT_ALIGN;
	uint8_t *constants = realloc(low->model->constants, *total + room);

	if (!constants)
		return xrnpe_fail_memory(low->compiler->error);
	low->model->constants = constants;
	memset(constants + *total, 0, room);
	memcpy(constants + *total, data, size);
	operand->offset = *total;
	*total += room;
	low->model->layers[low->layer].bytes += size;
	return 0;
}

static int add_scales(struct lowering *low, const struct graph_node *node, struct xrnpe_cmd *cmd,
		      const struct xrnpe_scale *scales, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		float values[2];

		memcpy(values, &scales[i], sizeof(values));
		if (!isfinite(values[0]) || !isfinite(values[1]))
			return graph_fail(low->compiler->graph, node, low->compiler->error, -ENOTSUP,
					  "scale or bias of channel %u is out of range", i);
	}
	return add_constants(low, scales, count * sizeof(*scales),
			     &cmd->operand[XRNPE_OPERAND_SCALE]);
}

static int add_command(struct lowering *low, const struct xrnpe_cmd *cmd)
{
	struct xrnpe_model *model = low->model;

	if (model->cmd_count == XRNPE_MAX_CMDS)
		return xrnpe_fail(low->compiler->error, -ENOTSUP,
				  "%s: needs more than %d commands", model->name, XRNPE_MAX_CMDS);
	model->cmd_layer[model->cmd_count] = low->layer;
	model->cmds[model->cmd_count++] = *cmd;
	return 0;
}

/* Make the versions of node @n that its command did not write. */
static int add_conversions(struct lowering *low, uint32_t n)
{
	const struct graph_node *node = &low->compiler->graph->nodes[n];
	const struct versions *versions = &low->versions[n];
	int ret = 0;

	for (enum xrnpe_format f = 0; !ret && f < XRNPE_OUTPUT_FORMATS; f++) {
		struct xrnpe_cmd cmd = { .opcode = XRNPE_OP_CONVERT };
		struct xrnpe_scale scale;

		if (!(versions->needed & 1u << f) || f == versions->primary)
			continue;
		cmd.image.in_h = (uint16_t)node->shape.h;
		cmd.image.in_w = (uint16_t)node->shape.w;
		cmd.image.in_c = (uint16_t)node->shape.c;
		scale = scale_record((double)version_scale(low, n, versions->primary) /
				     version_scale(low, n, f), 0);
		read_operand(low, &cmd, XRNPE_OPERAND_IFM, n, versions->primary);
		write_operand(low, &cmd, n, f);
		cmd.operand[XRNPE_OPERAND_SCALE] = scale_operand(&cmd);
		ret = add_scales(low, node, &cmd, &scale, 1);
		if (!ret)
			ret = add_command(low, &cmd);
	}
	return ret;
}

static int add_weights(struct lowering *low, const struct graph_node *node,
		       struct node_plan *plan, const float *in_scales, float out_scale,
		       struct xrnpe_cmd *cmd)
{
	const struct quantized *weight = &plan->weight[plan->choice.weight];
	uint32_t count = lower_scale_count(node);
	struct xrnpe_scale *scales;
	int ret = 0;

	if (!count)
		return 0;
	scales = malloc(count * sizeof(*scales));
	if (!scales)
		return xrnpe_fail_memory(low->compiler->error);
	lower_constants(node, weight, plan->choice.weight, cmd);
	lower_scales(node, weight, plan->bias, in_scales, out_scale, scales);
	ret = add_scales(low, node, cmd, scales, count);
	free(scales);
	if (ret || !lower_multiplies(node))
		return ret;
	return add_constants(low, weight->codes, weight->size,
			     &cmd->operand[XRNPE_OPERAND_WEIGHT]);
}

/* The format in which node @n reads its @k-th input. */
static enum xrnpe_format read_format(const struct lowering *low, uint32_t n, uint32_t k)
{
	const struct node_plan *plan = &low->compiler->plan[n];

	if (!plan->chooses)
		return low->versions[n].primary;
	return k && lower_adds(&low->compiler->graph->nodes[n]) ? plan->residual : plan->choice.input;
}

/* The command of node @n and the conversions of its output. */
static int add_node(struct lowering *low, uint32_t n)
{
	const struct graph_node *node = &low->compiler->graph->nodes[n];
	enum xrnpe_format primary = low->versions[n].primary;
	struct node_plan *plan = &low->compiler->plan[n];
	float scales[2] = { 1, 1 };
	struct xrnpe_cmd cmd;
	int ret;

	lower_command(low->compiler->graph, node, &cmd);
	for (uint32_t k = 0; k < node->inputs; k++) {
		enum xrnpe_format format = read_format(low, n, k);

		scales[k] = version_scale(low, node->input[k], format);
		read_operand(low, &cmd, k, node->input[k], format);
	}
	write_operand(low, &cmd, n, primary);
	set_output_stage(node, scales, version_scale(low, n, primary), &cmd);
	ret = add_weights(low, node, plan, scales, version_scale(low, n, primary), &cmd);
	plan->cmd = low->model->cmd_count;
	if (!ret)
		ret = add_command(low, &cmd);
	return ret ? ret : add_conversions(low, n);
}

/* The widest of the formats in @set, which is not empty, that commands multiply in. */
static enum xrnpe_format widest(unsigned int set)
{
	enum xrnpe_format format = XRNPE_FORMAT_P16;

	while (format && !(set & 1u << format))
		format--;
	return format;
}

/* From the readers of each tensor, last first, find the versions it needs. */
static void find_versions(struct lowering *low)
{
	const struct xrnpe_graph *graph = low->compiler->graph;
	const unsigned int four_bits = 1u << XRNPE_FORMAT_FP4 | 1u << XRNPE_FORMAT_P4;

	low->versions[graph->output].needed = 1u << XRNPE_FORMAT_F32;
	for (uint32_t n = graph->count; n--;) {
		const struct graph_node *node = &graph->nodes[n];
		struct versions *versions = &low->versions[n];
		unsigned int codes = versions->needed & COMPILE_ALL_FORMATS;

		/* A pooling writes no binary32, and from 4 bits to others is no way. */
		if (node->op == GRAPH_MAXPOOL && !codes)
			codes = 1u << XRNPE_FORMAT_P16;
		else if (codes == four_bits && node->op != GRAPH_INPUT)
			codes |= 1u << XRNPE_FORMAT_P8;
		versions->needed |= codes;
		versions->primary = codes && node->op != GRAPH_INPUT ? widest(codes) :
								       XRNPE_FORMAT_F32;
		for (uint32_t k = 0; k < node->inputs; k++)
			low->versions[node->input[k]].needed |= 1u << read_format(low, n, k);
	}
}

/* ---- the model's tables ------------------------------------------------ */

static int describe_layer(struct lowering *low, uint32_t n)
{
	const struct xrnpe_graph *graph = low->compiler->graph;
	const struct graph_node *node = &graph->nodes[n];
	const struct node_plan *plan = &low->compiler->plan[n];
	struct xrnpe_layer_info *layer = &low->model->layers[low->model->layer_count++];

	*layer = (struct xrnpe_layer_info){
		.name = strdup(node->name),
		.op = strdup(node->op_names),
		.rank = node->flat ? 1 : 3,
		.dims = { node->shape.c, node->shape.h, node->shape.w },
		.macs = graph_node_macs(graph, node),
		.format = plan->chooses ? plan->choice.input : low->versions[n].primary,
		.weight_format = plan->chooses ? plan->choice.weight : low->versions[n].primary,
		.out_format = low->versions[n].primary,
		.float_bytes = (node->weight_count + (node->bias ? node->shape.c : 0)) *
			       sizeof(float),
	};
	for (unsigned int f = 0; f < COMPILE_FORMATS; f++) {
		layer->weight_error[f] = node->op == GRAPH_CONV ? plan->weight_loss[f].error : -1;
		layer->input_error[f] = plan->chooses ? plan->input_loss[f].error : -1;
	}
	return layer->name && layer->op ? 0 : xrnpe_fail_memory(low->compiler->error);
}

static int describe_tensor(struct lowering *low, uint32_t n, enum xrnpe_format format,
			   const struct xrnpe_tensor_info *info)
{
	const struct graph_node *node = &low->compiler->graph->nodes[n];
	struct xrnpe_model_tensor *tensor = &low->model->tensors[low->model->tensor_count++];
	struct xrnpe_cmd none = { 0 };
	struct xrnpe_operand operand;

	lower_operand(&none, &node->shape, format, &operand);
	place_operand(low, n, format, &operand);
	*tensor = (struct xrnpe_model_tensor){
		.info = {
			.rank = 3,
			.dims = { node->shape.c, node->shape.h, node->shape.w },
			.count = graph_shape_count(&node->shape),
		},
		.region = operand.region,
		.format = format,
		.row_stride = operand.row_stride,
		.pixel_stride = operand.pixel_stride,
		.scale = version_scale(low, n, format),
	};
	if (operand.region == XRNPE_MODEL_ARENA)
		tensor->offset = low->buffers[operand.offset].offset;
	if (info)
		tensor->info = *info;
	if (tensor->info.rank == 1)
		tensor->row_stride = tensor->pixel_stride = 0;
	tensor->info.name = strdup(info ? info->name : node->name);
	return tensor->info.name ? 0 : xrnpe_fail_memory(low->compiler->error);
}

static int describe_tensors(struct lowering *low)
{
	const struct xrnpe_graph *graph = low->compiler->graph;
	int ret;

	low->model->input_count = low->model->output_count = 1;
	ret = describe_tensor(low, 0, XRNPE_FORMAT_F32, &graph->input_info);
	if (!ret)
		ret = describe_tensor(low, graph->output, XRNPE_FORMAT_F32, &graph->output_info);
	for (uint32_t n = 0; !ret && n < graph->count; n++) {
		for (enum xrnpe_format f = 0; !ret && f < XRNPE_FORMAT_F32; f++) {
			if (low->versions[n].needed & 1u << f)
				ret = describe_tensor(low, n, f, NULL);
		}
	}
	return ret;
}

/* Arena offsets for buffer indices. */
static int place_buffers(struct lowering *low)
{
	struct xrnpe_model *model = low->model;

	if (plan_buffers(low->buffers, low->buffer_count, &model->region_size[XRNPE_MODEL_ARENA]))
		return xrnpe_fail_memory(low->compiler->error);
	for (uint32_t i = 0; i < model->cmd_count; i++) {
		for (unsigned int k = 0; k < XRNPE_OPERANDS; k++) {
			struct xrnpe_operand *operand = &model->cmds[i].operand[k];

			if (operand->region == XRNPE_MODEL_ARENA)
				operand->offset = low->buffers[operand->offset].offset;
		}
	}
	return 0;
}

static int allocate(struct lowering *low)
{
	const struct xrnpe_graph *graph = low->compiler->graph;
	size_t versions = (size_t)graph->count * XRNPE_OUTPUT_FORMATS;
	struct xrnpe_model *model = low->model;

	low->versions = calloc(graph->count, sizeof(*low->versions));
	low->buffers = calloc(versions, sizeof(*low->buffers));
	model->name = strdup(graph->name);
	model->cmds = calloc(versions, sizeof(*model->cmds));
	model->cmd_layer = calloc(versions, sizeof(*model->cmd_layer));
	model->layers = calloc(graph->count, sizeof(*model->layers));
	model->tensors = calloc(versions + 1, sizeof(*model->tensors));
	if (asprintf(&model->producer, "libxrnpe %s", xrnpe_version()) < 0)
		model->producer = NULL;
	if (!low->versions || !low->buffers || !model->name || !model->cmds ||
	    !model->cmd_layer || !model->layers || !model->tensors || !model->producer)
		return xrnpe_fail_memory(low->compiler->error);
	return 0;
}

static int make_model(struct lowering *low)
{
	const struct xrnpe_graph *graph = low->compiler->graph;
	struct xrnpe_model *model = low->model;
	int ret = allocate(low);

	if (ret)
		return ret;
	find_versions(low);
	for (uint32_t n = 1; !ret && n < graph->count; n++)
		ret = describe_layer(low, n);
	model->region_size[XRNPE_MODEL_INPUT] = graph->input_info.count * sizeof(float);
	model->region_size[XRNPE_MODEL_OUTPUT] = graph->output_info.count * sizeof(float);
	if (!ret)
		ret = add_conversions(low, 0);
	for (uint32_t n = 1; !ret && n < graph->count; n++) {
		low->layer = n - 1;
		ret = add_node(low, n);
	}
	if (!ret)
		ret = place_buffers(low);
	return ret ? ret : describe_tensors(low);
}

int lower_model(struct compiler *compiler, struct xrnpe_model **model)
{
	struct lowering low = { .compiler = compiler, .model = xrnpe_model_new() };
	int ret;

	if (!low.model)
		return xrnpe_fail_memory(compiler->error);
	ret = make_model(&low);
	free(low.versions);
	free(low.buffers);
	if (ret) {
		xrnpe_model_free(low.model);
		return ret;
	}
	*model = low.model;
	return 0;
}

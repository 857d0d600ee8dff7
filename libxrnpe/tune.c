// SPDX-License-Identifier: MIT
/*
 * The compiled model, run on the kept calibration inputs command by command beside
 * the FP32 reference. Rounding shifts the mean of a layer's outputs, and through
 * ReLUs the shifts pile up; a bias can take them back. The layers' errors come from
 * here too: with all layers before them quantised as they are in the end.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "error.h"

struct tuning {
	struct compiler *compiler;
	struct xrnpe_model *model;
	void **regions;		/* by input and region; constants are the model's */
	float *outputs;		/* a node's, for all inputs */
	float *fp32;
	void *temporary;	/* a command's output before activation */
};

static void *region(const struct tuning *tuning, uint32_t image, unsigned int index)
{
	return index == XRNPE_MODEL_CONSTANTS ? tuning->model->constants :
	       tuning->regions[image * XRNPE_MODEL_REGIONS + index];
}

/* Run @cmd for input @image; its output goes to @ofm if that is not NULL. */
static int run(struct tuning *tuning, uint32_t image, const struct xrnpe_cmd *cmd, void *ofm)
{
	void *memory[XRNPE_OPERANDS];
	struct xrnpe_fault fault;
	uint32_t status = 0;

	for (unsigned int k = 0; k < XRNPE_OPERANDS; k++)
		memory[k] = (uint8_t *)region(tuning, image, cmd->operand[k].region) +
			    cmd->operand[k].offset;
	if (ofm)
		memory[XRNPE_OPERAND_OFM] = ofm;
	/* Scales were found finite when they were made: only memory can lack. */
	if (xrnpe_datapath_run(tuning->compiler->datapath, cmd, 0, memory, NULL, &status, &fault))
		return xrnpe_fail_memory(tuning->compiler->error);
	return 0;
}

/* Outputs of node @n before activation, in binary32 and real units. */
static int run_linear(struct tuning *tuning, uint32_t n, struct xrnpe_cmd cmd)
{
	struct compiler *compiler = tuning->compiler;
	const struct graph_node *node = &compiler->graph->nodes[n];
	size_t count = graph_shape_count(&node->shape);
	float scale = cmd.operand[XRNPE_OPERAND_OFM].format == XRNPE_FORMAT_F32 ? 1 :
		      compiler->plan[n].scale[cmd.operand[XRNPE_OPERAND_OFM].format];
	int ret = 0;

	lower_without_activation(&cmd);
	lower_operand(&cmd, &node->shape, XRNPE_FORMAT_F32, &cmd.operand[XRNPE_OPERAND_OFM]);
	for (uint32_t i = 0; !ret && i < compiler->image_count; i++) {
		ret = run(tuning, i, &cmd, tuning->temporary);
		quantize_unpack(&node->shape, XRNPE_FORMAT_F32, scale, tuning->temporary,
				tuning->outputs + i * count);
		reference_compute(compiler->images[i], node,
				  compiler->images[i]->tensors[node->input[0]],
				  compiler->images[i]->tensors[node->input[1]],
				  tuning->fp32 + i * count);
	}
	return ret;
}

/* Take the mean error of each channel out of its bias, in the model's constants. */
static int correct_biases(struct tuning *tuning, uint32_t n, const struct xrnpe_cmd *cmd)
{
	struct compiler *compiler = tuning->compiler;
	const struct graph_node *node = &compiler->graph->nodes[n];
	size_t pixels = (size_t)node->shape.h * node->shape.w;
	size_t count = graph_shape_count(&node->shape);
	uint8_t *records = (uint8_t *)tuning->model->constants +
			   cmd->operand[XRNPE_OPERAND_SCALE].offset;
	unsigned int format = cmd->operand[XRNPE_OPERAND_OFM].format;
	float unit = format == XRNPE_FORMAT_F32 ? 1 : compiler->plan[n].scale[format];
	int ret = run_linear(tuning, n, *cmd);

	for (uint32_t c = 0; !ret && c < node->shape.c; c++) {
		struct xrnpe_scale record;
		double sum = 0;
		float bias;

		for (uint32_t i = 0; i < compiler->image_count; i++) {
			for (size_t p = 0; p < pixels; p++) {
				size_t at = i * count + c * pixels + p;

				sum += (double)tuning->outputs[at] - tuning->fp32[at];
			}
		}
		memcpy(&record, records + c * sizeof(record), sizeof(record));
		memcpy(&bias, &record.bias, sizeof(bias));
		bias -= (float)(sum / ((double)pixels * compiler->image_count) / unit);
		if (!isfinite(bias))
			continue;
		memcpy(&record.bias, &bias, sizeof(bias));
		memcpy(records + c * sizeof(record), &record, sizeof(record));
	}
	return ret;
}

/* Relative error of what node @n left in memory. */
static double node_error(struct tuning *tuning, uint32_t n, const struct xrnpe_cmd *cmd)
{
	struct compiler *compiler = tuning->compiler;
	const struct graph_node *node = &compiler->graph->nodes[n];
	const struct xrnpe_operand *ofm = &cmd->operand[XRNPE_OPERAND_OFM];
	float scale = ofm->format == XRNPE_FORMAT_F32 ? 1 : compiler->plan[n].scale[ofm->format];
	size_t count = graph_shape_count(&node->shape);
	double difference = 0, size = 0;

	for (uint32_t i = 0; i < compiler->image_count; i++) {
		const float *fp32 = compiler->images[i]->tensors[n];

		quantize_unpack(&node->shape, ofm->format, scale,
				(uint8_t *)region(tuning, i, ofm->region) + ofm->offset,
				tuning->outputs);
		for (size_t k = 0; k < count; k++) {
			double error = (double)tuning->outputs[k] - fp32[k];

			difference += error * error;
			size += (double)fp32[k] * fp32[k];
		}
	}
	return size > 0 ? sqrt(difference / size) : difference > 0;
}

static int run_node(struct tuning *tuning, uint32_t n)
{
	struct compiler *compiler = tuning->compiler;
	struct node_plan *plan = &compiler->plan[n];
	const struct xrnpe_cmd *cmd = &tuning->model->cmds[plan->cmd];
	uint32_t end = n + 1 < compiler->graph->count ? compiler->plan[n + 1].cmd :
							tuning->model->cmd_count;
	int ret = 0;

	if (compiler->graph->nodes[n].op == GRAPH_CONV)
		ret = correct_biases(tuning, n, cmd);
	for (uint32_t k = plan->cmd; !ret && k < end; k++) {
		for (uint32_t i = 0; !ret && i < compiler->image_count; i++)
			ret = run(tuning, i, &tuning->model->cmds[k], NULL);
	}
	if (ret)
		return ret;
	plan->error = node_error(tuning, n, cmd);
	return compile_step(compiler);
}

static int allocate(struct tuning *tuning)
{
	struct compiler *compiler = tuning->compiler;
	const struct xrnpe_graph *graph = compiler->graph;
	size_t largest = 0;

	for (uint32_t n = 0; n < graph->count; n++) {
		size_t count = graph_shape_count(&graph->nodes[n].shape);

		largest = count > largest ? count : largest;
	}
	tuning->outputs = malloc(largest * compiler->image_count * sizeof(float));
	tuning->fp32 = malloc(largest * compiler->image_count * sizeof(float));
	tuning->temporary = malloc(largest * sizeof(float));
	tuning->regions = calloc((size_t)compiler->image_count * XRNPE_MODEL_REGIONS,
				 sizeof(*tuning->regions));
	if (!tuning->outputs || !tuning->fp32 || !tuning->temporary || !tuning->regions)
		return xrnpe_fail_memory(compiler->error);
	for (uint32_t i = 0; i < compiler->image_count; i++) {
		for (unsigned int r = XRNPE_MODEL_ARENA; r < XRNPE_MODEL_REGIONS; r++) {
			void *memory = calloc(1, tuning->model->region_size[r] + 1);

			tuning->regions[i * XRNPE_MODEL_REGIONS + r] = memory;
			if (!memory)
				return xrnpe_fail_memory(compiler->error);
		}
		quantize_pack(&graph->nodes[0].shape, XRNPE_FORMAT_F32, 1,
			      compiler->images[i]->tensors[0],
			      region(tuning, i, XRNPE_MODEL_INPUT));
	}
	return 0;
}

int tune_model(struct compiler *compiler, struct xrnpe_model *model)
{
	struct tuning tuning = { .compiler = compiler, .model = model };
	int ret = allocate(&tuning);

	/* Conversions of the input come before the first node's command. */
	for (uint32_t k = 0; !ret && k < compiler->plan[1].cmd; k++) {
		for (uint32_t i = 0; !ret && i < compiler->image_count; i++)
			ret = run(&tuning, i, &model->cmds[k], NULL);
	}
	for (uint32_t n = 1; !ret && n < compiler->graph->count; n++) {
		ret = run_node(&tuning, n);
		model->layers[n - 1].error = compiler->plan[n].error;
	}
	for (uint32_t i = 0; tuning.regions && i < compiler->image_count * XRNPE_MODEL_REGIONS; i++)
		free(tuning.regions[i]);
	free(tuning.regions);
	free(tuning.outputs);
	free(tuning.fp32);
	free(tuning.temporary);
	return ret;
}

// SPDX-License-Identifier: MIT
/*
 * What does each node lose in each format? Its command runs on the datapath, with
 * the FP32 tensors of the kept calibration inputs, rounded, as its input; the rest
 * of the network then runs in FP32 from what came out. So errors are those of the
 * device's own arithmetic, one node at a time.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "error.h"

/* Working memory for one node: its outputs for all kept inputs. */
struct bench {
	struct compiler *compiler;
	uint32_t index;			/* of the node */
	size_t count;			/* elements of its output */
	float *linear;			/* FP32 outputs before activation */
	float *outputs;			/* the datapath's, corrected; room for all */
	void *memory[XRNPE_OPERANDS];
	struct reference *rest;		/* the nodes behind; own tensors where they change */
	float **own;			/* rest's own tensors */
	bool *changes;			/* by node: depends on this node */
};

/* Run @cmd, whose operands are in bench->memory. */
static int run_command(struct bench *bench, const struct xrnpe_cmd *cmd)
{
	struct compiler *compiler = bench->compiler;
	struct xrnpe_fault fault;
	uint32_t status = 0;
	int ret = xrnpe_datapath_run(compiler->datapath, cmd, 0, bench->memory, NULL, &status,
				     &fault);

	if (ret == -EFAULT)
		return graph_fail(compiler->graph, &compiler->graph->nodes[bench->index],
				  compiler->error, -EINVAL, "has a scale or bias out of range");
	return ret ? xrnpe_fail_memory(compiler->error) : 0;
}

/* Outputs before activation in @format, for all kept inputs, into bench->outputs. */
static int run_format(struct bench *bench, enum xrnpe_format format)
{
	struct compiler *compiler = bench->compiler;
	const struct xrnpe_graph *graph = compiler->graph;
	const struct graph_node *node = &graph->nodes[bench->index];
	struct node_plan *plan = &compiler->plan[bench->index];
	const struct quantized *weight = &plan->weight[format];
	struct xrnpe_operand *operand;
	float scales[2] = { 1, 1 };
	struct xrnpe_cmd cmd;
	int ret = 0;

	lower_command(graph, node, &cmd);
	cmd.activation = XRNPE_ACT_NONE;
	operand = cmd.operand;
	for (uint32_t k = 0; k < node->inputs; k++) {
		scales[k] = compiler->plan[node->input[k]].scale[format];
		lower_operand(&cmd, &graph->nodes[node->input[k]].shape, format, &operand[k]);
	}
	if (weight->codes)
		operand[XRNPE_OPERAND_WEIGHT] = (struct xrnpe_operand){
			.format = format, .row_stride = weight->row_stride,
			.pixel_stride = cmd.opcode == XRNPE_OP_MATMUL ? 0 : weight->pixel_stride,
		};
	operand[XRNPE_OPERAND_SCALE].format = XRNPE_FORMAT_F32;
	operand[XRNPE_OPERAND_SCALE].row_stride = lower_scale_stride(&cmd);
	lower_operand(&cmd, &node->shape, XRNPE_FORMAT_F32, &operand[XRNPE_OPERAND_OFM]);
	lower_scales(node, weight, plan->bias, scales, 1, bench->memory[XRNPE_OPERAND_SCALE]);

	for (uint32_t i = 0; !ret && i < compiler->image_count; i++) {
		void *weights = bench->memory[XRNPE_OPERAND_WEIGHT];

		for (uint32_t k = 0; k < node->inputs; k++)
			quantize_pack(&graph->nodes[node->input[k]].shape, format, scales[k],
				      compiler->images[i]->tensors[node->input[k]],
				      bench->memory[k]);
		if (weight->codes)
			bench->memory[XRNPE_OPERAND_WEIGHT] = weight->codes;
		ret = run_command(bench, &cmd);
		bench->memory[XRNPE_OPERAND_WEIGHT] = weights;
		quantize_unpack(&node->shape, XRNPE_FORMAT_F32, 1,
				bench->memory[XRNPE_OPERAND_OFM],
				bench->outputs + i * bench->count);
	}
	return ret;
}

/*
 * Take from each channel what it is off on average. tune.c will do the same to the
 * biases of the compiled model.
 */
static void correct_channels(struct bench *bench)
{
	const struct graph_node *node = &bench->compiler->graph->nodes[bench->index];
	size_t pixels = (size_t)node->shape.h * node->shape.w;
	uint32_t images = bench->compiler->image_count;

	for (uint32_t c = 0; c < node->shape.c; c++) {
		double sum = 0;

		for (uint32_t i = 0; i < images; i++) {
			size_t at = i * bench->count + c * pixels;

			for (size_t p = at; p < at + pixels; p++)
				sum += (double)bench->outputs[p] - bench->linear[p];
		}
		sum /= (double)pixels * images;
		for (uint32_t i = 0; i < images; i++) {
			size_t at = i * bench->count + c * pixels;

			for (size_t p = at; p < at + pixels; p++)
				bench->outputs[p] -= (float)sum;
		}
	}
}

/* Squares of differences and of the reference, over @count elements. */
static void add_squares(const float *values, const float *reference, size_t count,
			double *difference, double *size)
{
	for (size_t i = 0; i < count; i++) {
		double error = (double)values[i] - reference[i];

		*difference += error * error;
		*size += (double)reference[i] * reference[i];
	}
}

/* Compare bench->outputs with FP32: at the node, and where the network ends. */
static void compare(struct bench *bench, struct option *option)
{
	struct compiler *compiler = bench->compiler;
	const struct xrnpe_graph *graph = compiler->graph;
	double difference = 0, size = 0, end_difference = 0, end_size = 0;
	struct reference *rest = bench->rest;

	for (uint32_t i = 0; i < compiler->image_count; i++) {
		float **fp32 = compiler->images[i]->tensors;
		float *output = bench->outputs + i * bench->count;

		for (size_t k = 0; graph->nodes[bench->index].relu && k < bench->count; k++)
			output[k] = output[k] > 0 ? output[k] : 0;
		add_squares(output, fp32[bench->index], bench->count, &difference, &size);

		for (uint32_t n = 0; n < graph->count; n++)
			rest->tensors[n] = bench->changes[n] ? bench->own[n] : fp32[n];
		rest->tensors[bench->index] = output;
		for (uint32_t n = bench->index + 1; n < graph->count; n++) {
			if (bench->changes[n])
				reference_node(rest, n);
		}
		add_squares(rest->tensors[graph->output], fp32[graph->output],
			    graph->output_info.count, &end_difference, &end_size);
	}
	memcpy(rest->tensors, bench->own, graph->count * sizeof(*bench->own));
	/* Where all is zero there is nothing to lose, or everything. */
	option->error = size > 0 ? sqrt(difference / size) : difference > 0;
	option->effect = end_size > 0 ? end_difference / end_size : end_difference > 0;
}

static int measure_node(struct bench *bench)
{
	struct compiler *compiler = bench->compiler;
	const struct xrnpe_graph *graph = compiler->graph;
	const struct graph_node *node = &graph->nodes[bench->index];
	struct node_plan *plan = &compiler->plan[bench->index];
	int ret = 0;

	for (uint32_t i = 0; i < compiler->image_count; i++)
		reference_node_linear(compiler->images[i], bench->index,
				      bench->linear + i * bench->count);
	for (unsigned int f = 0; !ret && f < COMPILE_FORMATS; f++) {
		if (lower_multiplies(node) &&
		    quantize_node(graph, node, compiler->plan[node->input[0]].energy, f,
				  &plan->weight[f]))
			return xrnpe_fail_memory(compiler->error);
		plan->option[f].bytes = plan->weight[f].size +
					lower_scale_count(node) * sizeof(struct xrnpe_scale);
		ret = run_format(bench, f);
		if (ret)
			break;
		if (node->op == GRAPH_CONV)
			correct_channels(bench);
		compare(bench, &plan->option[f]);
		ret = compile_step(compiler);
	}
	return ret;
}

/* Memory for the operands of node @bench->index in the widest of formats. */
static int prepare(struct bench *bench)
{
	struct compiler *compiler = bench->compiler;
	const struct xrnpe_graph *graph = compiler->graph;
	const struct graph_node *node = &graph->nodes[bench->index];
	size_t size[XRNPE_OPERANDS] = { 0 };
	bool failed = false;

	bench->count = graph_shape_count(&node->shape);
	for (uint32_t k = 0; k < node->inputs; k++)
		size[k] = quantize_tensor_size(&graph->nodes[node->input[k]].shape,
					       XRNPE_FORMAT_P16);
	size[XRNPE_OPERAND_SCALE] = lower_scale_count(node) * sizeof(struct xrnpe_scale);
	size[XRNPE_OPERAND_OFM] = quantize_tensor_size(&node->shape, XRNPE_FORMAT_F32);
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
		bench->memory[i] = size[i] ? malloc(size[i]) : NULL;
		failed |= size[i] && !bench->memory[i];
	}
	bench->linear = malloc(bench->count * compiler->image_count * sizeof(float));
	bench->outputs = malloc(bench->count * compiler->image_count * sizeof(float));
	if (failed || !bench->linear || !bench->outputs)
		return xrnpe_fail_memory(compiler->error);

	memset(bench->changes, 0, graph->count * sizeof(*bench->changes));
	bench->changes[bench->index] = true;
	for (uint32_t n = bench->index + 1; n < graph->count; n++) {
		for (uint32_t k = 0; k < graph->nodes[n].inputs; k++)
			bench->changes[n] |= bench->changes[graph->nodes[n].input[k]];
	}
	return 0;
}

static void tidy(struct bench *bench)
{
	for (unsigned int i = 0; i < XRNPE_OPERANDS; i++) {
		free(bench->memory[i]);
		bench->memory[i] = NULL;
	}
	free(bench->linear);
	free(bench->outputs);
	bench->linear = bench->outputs = NULL;
}

int measure_options(struct compiler *compiler)
{
	const struct xrnpe_graph *graph = compiler->graph;
	struct bench bench = { .compiler = compiler };
	int ret = 0;

	bench.rest = reference_new(graph);
	bench.own = calloc(graph->count, sizeof(*bench.own));
	bench.changes = calloc(graph->count, sizeof(*bench.changes));
	if (!bench.rest || !bench.own || !bench.changes)
		ret = xrnpe_fail_memory(compiler->error);
	else
		memcpy(bench.own, bench.rest->tensors, graph->count * sizeof(*bench.own));
	for (uint32_t n = 0; !ret && n < graph->count; n++) {
		if (!compiler->plan[n].chooses)
			continue;
		bench.index = n;
		ret = prepare(&bench);
		if (!ret)
			ret = measure_node(&bench);
		tidy(&bench);
	}
	reference_free(bench.rest);
	free(bench.own);
	free(bench.changes);
	return ret;
}

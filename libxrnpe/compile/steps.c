// SPDX-License-Identifier: MIT
/*
 * The steps of a model: jobs of nodes on the device, and nodes on the CPU with what is
 * copied between the memories of both.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "copy.h"
#include "error.h"
#include "lower.h"

/* Nodes of one side, one after the other. */
struct run {
	uint32_t first, end;
	bool device;
};

static struct run next_run(const struct lowering *low, uint32_t first)
{
	const struct node_plan *nodes = low->compiler->nodes;
	struct run run = { first, first, compile_on_device(&nodes[first]) };

	while (run.end < low->compiler->graph->node_count &&
	       compile_on_device(&nodes[run.end]) == run.device)
		run.end++;
	return run;
}

static int add_step(struct lowering *low, enum xrnpe_model_step_kind kind, uint32_t first,
		    struct xrnpe_model_step **step)
{
	struct xrnpe_model *model = low->model;
	struct xrnpe_model_step *steps = realloc(model->steps,
						 (model->step_count + 1) * sizeof(*steps));

	if (!steps)
		return xrnpe_fail_memory(low->compiler->error);
	model->steps = steps;
	*step = &steps[model->step_count++];
	**step = (struct xrnpe_model_step){
		.kind = kind, .first = first, .gather_first = model->binding_count,
		.scatter_first = model->binding_count,
	};
	return 0;
}

/* ---- jobs -------------------------------------------------------------- */

/* The layer that first gets commands from the nodes of @run. */
static uint32_t first_layer(const struct lowering *low, const struct run *run)
{
	for (uint32_t n = run->first; n < run->end; n++) {
		if (low->compiler->nodes[n].layer != GRAPH_NONE)
			return low->compiler->nodes[n].layer;
	}
	return 0;
}

/* Commands that take more than one job are divided. */
static int add_jobs(struct lowering *low, uint32_t first)
{
	struct xrnpe_model_step *step;
	int ret = 0;

	while (!ret && first < low->model->cmd_count) {
		uint32_t count = low->model->cmd_count - first;

		ret = add_step(low, XRNPE_MODEL_JOB, first, &step);
		if (ret)
			break;
		step->count = count < XRNPE_MAX_CMDS ? count : XRNPE_MAX_CMDS;
		first += step->count;
	}
	return ret;
}

/* Whether @tensor has been written to memory by other than the device. */
static bool is_given(const struct lowering *low, uint32_t tensor)
{
	return low->compiler->tensors[tensor].given &&
	       low->versions[tensor].made & 1u << low->versions[tensor].primary;
}

static int make_job(struct lowering *low, const struct run *run)
{
	uint32_t first = low->model->cmd_count;
	int ret = 0;

	low->layer = first_layer(low, run);
	for (uint32_t i = 0; !ret && i < low->compiler->graph->tensor_count; i++) {
		if (is_given(low, i))
			ret = lower_add_conversions(low, i);
	}
	for (uint32_t n = run->first; !ret && n < run->end; n++)
		ret = lower_add_node(low, n);
	return ret ? ret : add_jobs(low, first);
}

/* ---- the CPU's graph --------------------------------------------------- */

/* The CPU's tensor that is @tensor; constants are copied. */
static int cpu_tensor(struct lowering *low, uint32_t tensor)
{
	if (tensor == GRAPH_NONE || low->cpu[tensor] != GRAPH_NONE)
		return 0;
	return copy_tensor(low->model->cpu, low->compiler->graph, tensor, false, &low->cpu[tensor],
			   low->compiler->error);
}

static int cpu_tensors(struct lowering *low, uint32_t *list, uint32_t count)
{
	int ret = 0;

	for (uint32_t k = 0; !ret && k < count; k++) {
		ret = cpu_tensor(low, list[k]);
		if (!ret && list[k] != GRAPH_NONE)
			list[k] = low->cpu[list[k]];
	}
	return ret;
}

static int cpu_node(struct lowering *low, uint32_t n)
{
	struct graph_node node;
	int ret = copy_node(&node, &low->compiler->graph->nodes[n], low->compiler->error);

	if (ret)
		return ret;
	ret = cpu_tensors(low, node.inputs, node.input_count);
	if (!ret)
		ret = cpu_tensors(low, node.outputs, node.output_count);
	for (uint32_t k = 0; !ret && k < node.attribute_count; k++) {
		if (node.attributes[k].kind == GRAPH_ATTRIBUTE_TENSOR)
			ret = cpu_tensors(low, &node.attributes[k].tensor, 1);
	}
	if (ret) {
		graph_clear_node(&node);
		return ret;
	}
	low->compiler->nodes[n].cmd = low->model->cpu->node_count;
	return graph_add_node(low->model->cpu, &node, low->compiler->error);
}

static int append_index(struct lowering *low, uint32_t **list, uint32_t *count, uint32_t index)
{
	uint32_t *larger = realloc(*list, (*count + 1) * sizeof(**list));

	if (!larger)
		return xrnpe_fail_memory(low->compiler->error);
	*list = larger;
	larger[(*count)++] = index;
	return 0;
}

static int bind(struct lowering *low, uint32_t tensor, uint32_t index)
{
	struct xrnpe_model *model = low->model;
	struct xrnpe_model_binding *larger = realloc(model->bindings, (model->binding_count + 1) *
						     sizeof(*larger));

	if (!larger)
		return xrnpe_fail_memory(low->compiler->error);
	model->bindings = larger;
	larger[model->binding_count++] = (struct xrnpe_model_binding){ low->cpu[tensor], index };
	return 0;
}

/* ---- steps on the CPU -------------------------------------------------- */

/* The model's tensor for the CPU to read @tensor from; @index: it may be an input. */
static int gather_from(struct lowering *low, uint32_t tensor, uint32_t *index)
{
	const struct xrnpe_graph *graph = low->compiler->graph;

	for (uint32_t i = 0; i < graph->input_count; i++) {
		if (graph->inputs[i] == tensor && !compile_bytes(low->compiler, tensor)) {
			*index = i;
			return 0;
		}
	}
	return describe_tensor(low, tensor, VERSION_F32, index);
}

/* What the nodes of @run read and nobody brought to the CPU yet. */
static int gather(struct lowering *low, const struct run *run)
{
	const struct xrnpe_graph *graph = low->compiler->graph;
	int ret = 0;

	for (uint32_t n = run->first; !ret && n < run->end; n++) {
		const struct graph_node *node = &graph->nodes[n];

		for (uint32_t k = 0; !ret && k < node->input_count; k++) {
			uint32_t tensor = node->inputs[k], index;

			if (tensor == GRAPH_NONE || low->cpu[tensor] != GRAPH_NONE ||
			    graph->tensors[tensor].data)
				continue;
			ret = cpu_tensor(low, tensor);
			if (!ret)
				ret = gather_from(low, tensor, &index);
			if (!ret)
				ret = bind(low, tensor, index);
			if (!ret)
				ret = append_index(low, &low->model->cpu->inputs,
						   &low->model->cpu->input_count, low->cpu[tensor]);
		}
		/* What the nodes compute themselves is there when it is read. */
		for (uint32_t k = 0; !ret && k < node->output_count; k++)
			ret = cpu_tensor(low, node->outputs[k]);
	}
	return ret;
}

/* Bring @tensor to the device's memory: for its commands, and for the caller. */
static int scatter_tensor(struct lowering *low, uint32_t tensor)
{
	const struct xrnpe_graph *graph = low->compiler->graph;
	struct versions *versions = lower_versions(low, tensor);
	uint32_t before = low->model->binding_count, index;
	int ret = 0;

	versions->made |= 1u << VERSION_OUTPUT;
	if (versions->needed & ~(1u << VERSION_OUTPUT)) {
		versions->made |= 1u << VERSION_F32;
		ret = describe_tensor(low, tensor, VERSION_F32, &index);
		if (!ret)
			ret = bind(low, tensor, index);
	}
	for (uint32_t i = 0; !ret && i < graph->output_count; i++) {
		if (lower_same(low, graph->outputs[i]) == tensor)
			ret = bind(low, tensor, graph->input_count + i);
	}
	if (!ret && low->model->binding_count > before)
		ret = append_index(low, &low->model->cpu->outputs, &low->model->cpu->output_count,
				   low->cpu[tensor]);
	return ret;
}

static int make_cpu_step(struct lowering *low, const struct run *run)
{
	const struct xrnpe_graph *graph = low->compiler->graph;
	struct xrnpe_model *model = low->model;
	struct xrnpe_model_step *step;
	uint32_t gathered;
	int ret = 0;

	if (!model->cpu)
		model->cpu = copy_new(graph);
	if (!model->cpu)
		return xrnpe_fail_memory(low->compiler->error);
	ret = add_step(low, XRNPE_MODEL_CPU, model->cpu->node_count, &step);
	if (!ret)
		ret = gather(low, run);
	gathered = model->binding_count;
	for (uint32_t n = run->first; !ret && n < run->end; n++)
		ret = cpu_node(low, n);
	low->time++;
	for (uint32_t n = run->first; !ret && n < run->end; n++) {
		for (uint32_t k = 0; !ret && k < graph->nodes[n].output_count; k++) {
			if (graph->nodes[n].outputs[k] != GRAPH_NONE)
				ret = scatter_tensor(low, graph->nodes[n].outputs[k]);
		}
	}
	low->time++;
	if (ret)
		return ret;
	step->count = run->end - run->first;
	step->gather_count = gathered - step->gather_first;
	step->scatter_first = gathered;
	step->scatter_count = model->binding_count - gathered;
	return 0;
}

int steps_make(struct lowering *low)
{
	const struct xrnpe_graph *graph = low->compiler->graph;
	int ret = 0;

	for (uint32_t i = 0; i < graph->input_count; i++)
		low->versions[graph->inputs[i]].made |= 1u << low->versions[graph->inputs[i]].primary;
	for (uint32_t n = 0; !ret && n < graph->node_count;) {
		struct run run = next_run(low, n);

		/* Bytes for the CPU are converted by the device. */
		if (!n && !run.device && low->compiler->source->bytes)
			ret = make_job(low, &(struct run){ 0, 0, true });
		if (ret)
			break;
		ret = run.device ? make_job(low, &run) : make_cpu_step(low, &run);
		n = run.end;
	}
	return ret;
}

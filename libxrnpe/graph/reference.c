// SPDX-License-Identifier: MIT
/* The FP32 reference: the graph in binary32 on the CPU, without the device's arithmetic. */
#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "bytes.h"
#include "error.h"
#include "graph.h"
#include "operator.h"
#include "operators/vectors.h"
#include "threads.h"

/* ---- one inference ----------------------------------------------------- */

void reference_compute(struct reference *ref, const struct graph_node *node,
		       void *const *tensors)
{
	const struct op_call call = { ref->graph, node, tensors, ref->scratch };

	node->op->compute(&call);
}

VECTORS
static void add(float *restrict values, const float *restrict added, size_t count)
{
	for (size_t i = 0; i < count; i++)
		values[i] += added[i];
}

void reference_add(const struct xrnpe_graph *graph, const struct graph_node *node,
		   const float *added, float *values)
{
	add(values + node->residual_first, added,
	    graph_count(&graph_input(graph, node, GRAPH_RESIDUAL)->shape));
}

/* Written so that a NaN, which compares with nothing, passes. */
VECTORS
static void rectify(float *values, size_t count)
{
	for (size_t i = 0; i < count; i++)
		values[i] = values[i] <= 0 ? 0 : values[i];
}

VECTORS
static void clamp(float *values, size_t count, float lo, float hi)
{
	for (size_t i = 0; i < count; i++) {
		float low = values[i] < lo ? lo : values[i];

		values[i] = low > hi ? hi : low;
	}
}

/* Multiplied always, not only below zero, or no vectors are made of it. */
VECTORS
static void leak(float *values, size_t count, float slope)
{
	for (size_t i = 0; i < count; i++) {
		float scaled = values[i] * slope;

		values[i] = values[i] < 0 ? scaled : values[i];
	}
}

/* Element by element of axis 1 of @shape. */
static void leak_channels(float *values, const struct graph_shape *shape, const float *slopes)
{
	size_t lines = (size_t)shape->dims[0] * shape->dims[1], length = graph_count(shape) / lines;

	for (size_t i = 0; i < lines; i++)
		leak(values + i * length, length, slopes[i % shape->dims[1]]);
}

void reference_activate(const struct xrnpe_graph *graph, const struct graph_node *node,
			float *values)
{
	const struct graph_activation *activation = &node->activation;
	const struct graph_shape *shape = &graph_output(graph, node, 0)->shape;
	size_t count = graph_count(shape);

	if (activation->kind == XRNPE_ACT_RELU)
		rectify(values, count);
	else if (activation->kind == XRNPE_ACT_LEAKY)
		leak(values, count, activation->slope);
	else if (activation->kind == XRNPE_ACT_PRELU)
		leak_channels(values, shape, graph_input(graph, node, GRAPH_SLOPES)->data);
	if (activation->clamps)
		clamp(values, count, activation->lo, activation->hi);
}

void reference_linear(struct reference *ref, uint32_t index)
{
	const struct graph_node *node = &ref->graph->nodes[index];

	reference_compute(ref, node, ref->tensors);
	if (node->residual)
		reference_add(ref->graph, node, ref->tensors[node->inputs[GRAPH_RESIDUAL]],
			      ref->tensors[node->outputs[0]]);
}

void reference_node(struct reference *ref, uint32_t index)
{
	const struct graph_node *node = &ref->graph->nodes[index];

	reference_linear(ref, index);
	reference_activate(ref->graph, node, ref->tensors[node->outputs[0]]);
}

void reference_run(struct reference *ref)
{
	for (uint32_t n = 0; n < ref->graph->node_count; n++)
		reference_node(ref, n);
}

int reference_set(struct reference *ref, uint32_t tensor, const float *values)
{
	const struct graph_tensor *info = &ref->graph->tensors[tensor];
	size_t count = graph_count(&info->shape);
	int64_t *ints = ref->tensors[tensor];
	uint8_t *bools = ref->tensors[tensor];

	switch (info->type) {
	case GRAPH_FLOAT:
		memcpy(ref->tensors[tensor], values, count * sizeof(*values));
		return 0;
	case GRAPH_INT:
		for (size_t i = 0; i < count; i++) {
			if (!(fabsf(values[i]) < 0x1p62f && truncf(values[i]) == values[i]))
				return -EINVAL;
			ints[i] = (int64_t)values[i];
		}
		return 0;
	case GRAPH_BOOL:
		for (size_t i = 0; i < count; i++) {
			if (values[i] != 0 && values[i] != 1)
				return -EINVAL;
			bools[i] = values[i] != 0;
		}
		return 0;
	}
	return -EINVAL;
}

int reference_set_input(struct reference *ref, const struct xrnpe_graph *graph, uint32_t i,
			const float *values)
{
	const struct graph_bytes *bytes = bytes_input(graph, i);

	return bytes ? bytes_decode(bytes, values, ref->tensors[graph->inputs[i]]) :
		       reference_set(ref, graph->inputs[i], values);
}

const char *reference_takes(const struct xrnpe_graph *graph, uint32_t i)
{
	if (bytes_input(graph, i))
		return "bytes: integers from 0 to 255";
	return graph->tensors[graph->inputs[i]].type == GRAPH_BOOL ? "truths: 0 or 1" : "integers";
}

void reference_get(const struct reference *ref, uint32_t tensor, float *values)
{
	const struct graph_tensor *info = &ref->graph->tensors[tensor];
	size_t count = graph_count(&info->shape);
	const int64_t *ints = ref->tensors[tensor];
	const uint8_t *bools = ref->tensors[tensor];

	if (info->type == GRAPH_FLOAT)
		memcpy(values, ref->tensors[tensor], count * sizeof(*values));
	for (size_t i = 0; info->type == GRAPH_INT && i < count; i++)
		values[i] = (float)ints[i];
	for (size_t i = 0; info->type == GRAPH_BOOL && i < count; i++)
		values[i] = bools[i];
}

static void free_tensor(struct reference *ref, uint32_t tensor)
{
	if (ref->tensors[tensor] != ref->graph->tensors[tensor].data)
		free(ref->tensors[tensor]);
	ref->tensors[tensor] = NULL;
}

void reference_free(struct reference *ref)
{
	if (!ref)
		return;
	for (uint32_t i = 0; ref->tensors && i < ref->graph->tensor_count; i++)
		free_tensor(ref, i);
	free(ref->tensors);
	free(ref->scratch);
	free(ref);
}

void reference_reduce(struct reference *ref, const bool *keep)
{
	for (uint32_t i = 0; i < ref->graph->tensor_count; i++) {
		if (!keep[i])
			free_tensor(ref, i);
	}
	free(ref->scratch);
	ref->scratch = NULL;
}

/* Memory of the tensors that @indices lists and that have none yet. */
static bool add_memory(struct reference *ref, const uint32_t *indices, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct graph_tensor *tensor;

		if (indices[i] == GRAPH_NONE || ref->tensors[indices[i]])
			continue;
		tensor = &ref->graph->tensors[indices[i]];
		ref->tensors[indices[i]] = malloc(graph_count(&tensor->shape) *
						  graph_type_size(tensor->type));
		if (!ref->tensors[indices[i]])
			return false;
	}
	return true;
}

struct reference *reference_new(const struct xrnpe_graph *graph)
{
	struct reference *ref = calloc(1, sizeof(*ref));
	size_t scratch = 1;
	bool made;

	if (!ref)
		return NULL;
	ref->graph = graph;
	ref->tensors = calloc(graph->tensor_count, sizeof(*ref->tensors));
	for (uint32_t i = 0; ref->tensors && i < graph->tensor_count; i++)
		ref->tensors[i] = graph->tensors[i].data;
	made = ref->tensors && add_memory(ref, graph->inputs, graph->input_count);
	for (uint32_t n = 0; made && n < graph->node_count; n++) {
		const struct graph_node *node = &graph->nodes[n];

		made = add_memory(ref, node->outputs, node->output_count);
		scratch = node->scratch > scratch ? node->scratch : scratch;
	}
	if (!made || posix_memalign(&ref->scratch, 64, scratch)) {
		reference_free(ref);
		return NULL;
	}
	return ref;
}

/* ---- batches ----------------------------------------------------------- */

/* A batch that threads take elements from. */
struct batch {
	const struct xrnpe_graph *graph;
	const float *const *inputs;
	const uint32_t *tensors;	/* that are wanted, @tensor_count of them */
	size_t tensor_count;
	float *const *outputs;		/* of these; NULL: not wanted */
	size_t count;
	xrnpe_progress progress;
	void *data;
	atomic_size_t next, done;
	atomic_bool stop;
	atomic_int code;	/* -ENOMEM or -EINVAL */
	atomic_uint input;	/* with -EINVAL: the one */
};

static void fail(struct batch *batch, int code)
{
	atomic_store(&batch->code, code);
	atomic_store(&batch->stop, true);
}

static void run_element(struct batch *batch, struct reference *ref, size_t index)
{
	const struct xrnpe_graph *graph = batch->graph;

	for (uint32_t i = 0; i < graph->input_count; i++) {
		size_t count = graph->infos[i].count;

		if (reference_set_input(ref, graph, i, batch->inputs[i] + index * count)) {
			atomic_store(&batch->input, i);
			fail(batch, -EINVAL);
			return;
		}
	}
	reference_run(ref);
	for (size_t i = 0; i < batch->tensor_count; i++) {
		uint32_t tensor = batch->tensors[i];

		if (batch->outputs[i])
			reference_get(ref, tensor, batch->outputs[i] +
				      index * graph_count(&graph->tensors[tensor].shape));
	}
}

static void run_elements(void *data, bool caller)
{
	struct batch *batch = data;
	struct reference *ref = reference_new(batch->graph);
	size_t i;

	if (!ref) {
		fail(batch, -ENOMEM);
		return;
	}
	while (!atomic_load(&batch->stop) && (i = atomic_fetch_add(&batch->next, 1)) < batch->count) {
		run_element(batch, ref, i);
		i = atomic_fetch_add(&batch->done, 1) + 1;
		if (caller && batch->progress && batch->progress(batch->data, i, batch->count))
			fail(batch, -ECANCELED);
	}
	reference_free(ref);
}

static int run_batch(struct batch *batch, struct xrnpe_error *error)
{
	const struct xrnpe_graph *graph = batch->graph;
	char text[64];
	uint32_t i;

	threads_run(run_elements, batch, batch->count);
	switch (atomic_load(&batch->code)) {
	case 0:
		return 0;
	case -ENOMEM:
		return xrnpe_fail_memory(error);
	case -EINVAL:
		i = atomic_load(&batch->input);
		return xrnpe_fail(error, -EINVAL, "%s: input %s takes %s", graph->name,
				  graph_printable(graph->infos[i].name, text), reference_takes(graph, i));
	default:
		return xrnpe_fail(error, -ECANCELED, "%s: stopped", graph->name);
	}
}

int xrnpe_graph_run(const struct xrnpe_graph *graph, size_t count, const float *const *inputs,
		    float *const *outputs, xrnpe_progress progress, void *data,
		    struct xrnpe_error *error)
{
	struct batch batch = {
		.graph = graph, .inputs = inputs, .tensors = graph->outputs,
		.tensor_count = graph->output_count, .outputs = outputs, .count = count,
		.progress = progress, .data = data,
	};

	return run_batch(&batch, error);
}

/* ---- tensors on the way -------------------------------------------------- */

static bool is_listed(const uint32_t *list, uint32_t count, uint32_t tensor)
{
	for (uint32_t i = 0; i < count; i++) {
		if (list[i] == tensor)
			return true;
	}
	return false;
}

/* The tensor called @name that is an input or is computed. */
static int find_tensor(const struct xrnpe_graph *graph, const char *name, uint32_t *tensor,
		       struct xrnpe_error *error)
{
	bool found = false;
	char text[64];

	*tensor = graph_find(graph, name);
	if (*tensor != GRAPH_NONE)
		found = is_listed(graph->inputs, graph->input_count, *tensor);
	for (uint32_t n = 0; *tensor != GRAPH_NONE && !found && n < graph->node_count; n++)
		found = is_listed(graph->nodes[n].outputs, graph->nodes[n].output_count, *tensor);
	return found ? 0 : xrnpe_fail(error, -EINVAL, "%s: nothing in it computes %s", graph->name,
				      graph_printable(name, text));
}

int xrnpe_graph_tensor(const struct xrnpe_graph *graph, const char *name,
		       struct xrnpe_tensor_info *info, struct xrnpe_error *error)
{
	uint32_t tensor;
	int ret = find_tensor(graph, name, &tensor, error);

	if (!ret)
		*info = graph_info(&graph->tensors[tensor]);
	return ret;
}

int xrnpe_graph_run_tensors(const struct xrnpe_graph *graph, size_t count,
			    const float *const *inputs, const char *const *names,
			    size_t tensor_count, float *const *tensors, xrnpe_progress progress,
			    void *data, struct xrnpe_error *error)
{
	uint32_t *wanted = calloc(tensor_count + 1, sizeof(*wanted));
	struct batch batch = {
		.graph = graph, .inputs = inputs, .tensors = wanted, .tensor_count = tensor_count,
		.outputs = tensors, .count = count, .progress = progress, .data = data,
	};
	int ret = wanted ? 0 : xrnpe_fail_memory(error);

	for (size_t i = 0; !ret && i < tensor_count; i++)
		ret = find_tensor(graph, names[i], &wanted[i], error);
	if (!ret)
		ret = run_batch(&batch, error);
	free(wanted);
	return ret;
}

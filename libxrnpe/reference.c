// SPDX-License-Identifier: MIT
/*
 * The FP32 reference: the graph in binary32 on the CPU, without the device's
 * arithmetic. Each output is summed in one order, whatever the number of threads.
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "graph.h"

/*
 * A convolution is computed for PIXELS output pixels and ROWS channels at a time:
 * what the pixels read is gathered into a panel of k x PIXELS, and their sums
 * stay in registers.
 */
#define PIXELS 8
#define ROWS 4

typedef float vec4 __attribute__((vector_size(16), aligned(4)));

static const struct graph_shape *input_shape(const struct reference *ref,
					     const struct graph_node *node)
{
	return graph_input_shape(ref->graph, node);
}

/* What @count output pixels from @first on read of @channels channels at @in. */
static void gather(const struct graph_node *node, const struct graph_shape *shape,
		   const float *in, uint32_t channels, size_t first, unsigned int count,
		   float *panel)
{
	const struct graph_window *w = &node->window;
	int64_t y0[PIXELS], x0[PIXELS];

	for (unsigned int p = 0; p < count; p++) {
		y0[p] = (int64_t)((first + p) / node->shape.w) * w->stride_h - w->pad_top;
		x0[p] = (int64_t)((first + p) % node->shape.w) * w->stride_w - w->pad_left;
	}
	for (uint32_t c = 0; c < channels; c++, in += (size_t)shape->h * shape->w) {
		for (uint32_t i = 0; i < w->kernel_h; i++) {
			for (uint32_t j = 0; j < w->kernel_w; j++, panel += PIXELS) {
				for (unsigned int p = 0; p < PIXELS; p++) {
					int64_t y, x;

					panel[p] = 0;
					if (p >= count)
						continue;
					y = y0[p] + i * w->dilation_h;
					x = x0[p] + j * w->dilation_w;
					if (y >= 0 && y < shape->h && x >= 0 && x < shape->w)
						panel[p] = in[y * shape->w + x];
				}
			}
		}
	}
}

/* sums[r][p] = sum_k weight[r][k] * panel[k][p] */
static void multiply_rows(const float *weight, size_t k, const float *panel,
			  float sums[ROWS][PIXELS])
{
	vec4 acc[ROWS][2] = { { { 0 } } };

	for (size_t i = 0; i < k; i++) {
		const vec4 *row = (const vec4 *)(panel + i * PIXELS);

		for (unsigned int r = 0; r < ROWS; r++) {
			acc[r][0] += row[0] * weight[r * k + i];
			acc[r][1] += row[1] * weight[r * k + i];
		}
	}
	memcpy(sums, acc, sizeof(acc));
}

static void multiply_row(const float *weight, size_t k, const float *panel, float sums[PIXELS])
{
	vec4 acc[2] = { { 0 } };

	for (size_t i = 0; i < k; i++) {
		const vec4 *row = (const vec4 *)(panel + i * PIXELS);

		acc[0] += row[0] * weight[i];
		acc[1] += row[1] * weight[i];
	}
	memcpy(sums, acc, sizeof(acc));
}

static void conv(const struct reference *ref, const struct graph_node *node, const float *in,
		 float *out)
{
	const struct graph_shape *shape = input_shape(ref, node);
	uint32_t in_c = shape->c / node->groups, out_c = node->shape.c / node->groups;
	size_t k = node->weight_count / node->shape.c;
	size_t pixels = (size_t)node->shape.h * node->shape.w;

	for (uint32_t g = 0; g < node->groups; g++) {
		const float *group = in + (size_t)g * in_c * shape->h * shape->w;

		for (size_t first = 0; first < pixels; first += PIXELS) {
			unsigned int count = pixels - first < PIXELS ?
					     (unsigned int)(pixels - first) : PIXELS;
			float sums[ROWS][PIXELS];

			gather(node, shape, group, in_c, first, count, ref->panel);
			for (uint32_t c = 0; c < out_c;) {
				uint32_t rows = out_c - c < ROWS ? 1 : ROWS;
				uint32_t channel = g * out_c + c;

				if (rows == ROWS)
					multiply_rows(node->weight + channel * k, k, ref->panel,
						      sums);
				else
					multiply_row(node->weight + channel * k, k, ref->panel,
						     sums[0]);
				for (uint32_t r = 0; r < rows; r++, channel++, c++) {
					float bias = node->bias ? node->bias[channel] : 0;

					for (unsigned int p = 0; p < count; p++)
						out[channel * pixels + first + p] = sums[r][p] + bias;
				}
			}
		}
	}
}

static void gemm(const struct reference *ref, const struct graph_node *node, const float *in,
		 float *out)
{
	size_t k = input_shape(ref, node)->c;

	for (size_t n = 0; n < node->shape.c; n++) {
		float sum = 0;

		for (size_t i = 0; i < k; i++)
			sum += node->weight[n * k + i] * in[i];
		out[n] = sum + (node->bias ? node->bias[n] : 0);
	}
}

static void norm(const struct graph_node *node, const float *in, float *out)
{
	size_t pixels = (size_t)node->shape.h * node->shape.w;

	for (size_t c = 0; c < node->shape.c; c++) {
		for (size_t i = c * pixels; i < (c + 1) * pixels; i++)
			out[i] = in[i] * node->weight[c] + node->bias[c];
	}
}

/* One pixel of a pooling over @in, an image of one channel. */
static float pool_pixel(const struct graph_node *node, const struct graph_shape *shape,
			const float *in, uint32_t oy, uint32_t ox)
{
	const struct graph_window *w = &node->window;
	float max = -INFINITY, sum = 0;

	for (uint32_t i = 0; i < w->kernel_h; i++) {
		int64_t y = (int64_t)oy * w->stride_h + i * w->dilation_h - w->pad_top;

		for (uint32_t j = 0; y >= 0 && y < shape->h && j < w->kernel_w; j++) {
			int64_t x = (int64_t)ox * w->stride_w + j * w->dilation_w - w->pad_left;

			if (x < 0 || x >= shape->w)
				continue;
			max = fmaxf(max, in[y * shape->w + x]);
			sum += in[y * shape->w + x];
		}
	}
	return node->op == GRAPH_MAXPOOL ? max : sum / (float)(w->kernel_h * w->kernel_w);
}

static void pool(const struct reference *ref, const struct graph_node *node, const float *in,
		 float *out)
{
	const struct graph_shape *shape = input_shape(ref, node);

	for (uint32_t c = 0; c < node->shape.c; c++, in += (size_t)shape->h * shape->w) {
		for (uint32_t y = 0; y < node->shape.h; y++) {
			for (uint32_t x = 0; x < node->shape.w; x++)
				*out++ = pool_pixel(node, shape, in, y, x);
		}
	}
}

void reference_node_linear(struct reference *ref, uint32_t index, float *out)
{
	const struct graph_node *node = &ref->graph->nodes[index];
	const float *a = ref->tensors[node->input[0]], *b = ref->tensors[node->input[1]];
	size_t count = graph_shape_count(&node->shape);

	switch (node->op) {
	case GRAPH_INPUT:
		break;
	case GRAPH_CONV:
		conv(ref, node, a, out);
		break;
	case GRAPH_GEMM:
		gemm(ref, node, a, out);
		break;
	case GRAPH_NORM:
		norm(node, a, out);
		break;
	case GRAPH_ADD:
		for (size_t i = 0; i < count; i++)
			out[i] = a[i] + b[i];
		break;
	case GRAPH_MAXPOOL:
	case GRAPH_AVGPOOL:
		pool(ref, node, a, out);
		break;
	case GRAPH_RELU:
	case GRAPH_FLATTEN:
		memcpy(out, a, count * sizeof(*out));
		break;
	}
}

void reference_node(struct reference *ref, uint32_t index)
{
	const struct graph_node *node = &ref->graph->nodes[index];
	size_t count = graph_shape_count(&node->shape);
	float *out = ref->tensors[index];

	reference_node_linear(ref, index, out);
	for (size_t i = 0; node->relu && i < count; i++)
		out[i] = out[i] > 0 ? out[i] : 0;
}

void reference_run(struct reference *ref)
{
	for (uint32_t i = 1; i < ref->graph->count; i++)
		reference_node(ref, i);
}

void reference_free(struct reference *ref)
{
	if (!ref)
		return;
	for (uint32_t i = 0; ref->tensors && i < ref->graph->count; i++)
		free(ref->tensors[i]);
	free(ref->tensors);
	free(ref->panel);
	free(ref);
}

struct reference *reference_new(const struct xrnpe_graph *graph)
{
	struct reference *ref = calloc(1, sizeof(*ref));
	size_t k = 1;

	if (!ref)
		return NULL;
	ref->graph = graph;
	ref->tensors = calloc(graph->count, sizeof(*ref->tensors));
	for (uint32_t i = 0; ref->tensors && i < graph->count; i++) {
		const struct graph_node *node = &graph->nodes[i];

		if (node->op == GRAPH_CONV && node->weight_count / node->shape.c > k)
			k = node->weight_count / node->shape.c;
		ref->tensors[i] = malloc(graph_shape_count(&node->shape) * sizeof(float));
		if (!ref->tensors[i]) {
			reference_free(ref);
			return NULL;
		}
	}
	ref->panel = malloc(k * PIXELS * sizeof(float));
	if (!ref->tensors || !ref->panel) {
		reference_free(ref);
		return NULL;
	}
	return ref;
}

/* ---- batches ----------------------------------------------------------- */

/* A batch that threads take elements from. */
struct batch {
	const struct xrnpe_graph *graph;
	const float *inputs;
	float *outputs;
	size_t count;
	atomic_size_t next, done;
	atomic_bool stop, no_memory;
};

static void run_elements(struct batch *batch, xrnpe_progress progress, void *data)
{
	const struct xrnpe_graph *graph = batch->graph;
	struct reference *ref = reference_new(graph);
	size_t in = graph->input_info.count, out = graph->output_info.count, i;

	if (!ref) {
		atomic_store(&batch->no_memory, true);
		atomic_store(&batch->stop, true);
		return;
	}
	while (!atomic_load(&batch->stop) && (i = atomic_fetch_add(&batch->next, 1)) < batch->count) {
		memcpy(ref->tensors[0], batch->inputs + i * in, in * sizeof(float));
		reference_run(ref);
		memcpy(batch->outputs + i * out, ref->tensors[graph->output], out * sizeof(float));
		i = atomic_fetch_add(&batch->done, 1) + 1;
		if (progress && progress(data, i, batch->count))
			atomic_store(&batch->stop, true);
	}
	reference_free(ref);
}

static void *batch_thread(void *batch)
{
	run_elements(batch, NULL, NULL);
	return NULL;
}

/* XRNPE_THREADS, else one thread a CPU. */
static size_t thread_count(void)
{
	const char *text = getenv("XRNPE_THREADS");
	long count = text ? strtol(text, NULL, 10) : 0;

	if (count < 1)
		count = sysconf(_SC_NPROCESSORS_ONLN);
	return count < 1 ? 1 : count > 256 ? 256 : (size_t)count;
}

int xrnpe_graph_run(const struct xrnpe_graph *graph, size_t count, const float *inputs,
		    float *outputs, xrnpe_progress progress, void *data,
		    struct xrnpe_error *error)
{
	struct batch batch = { .graph = graph, .inputs = inputs, .outputs = outputs,
			       .count = count };
	size_t threads = thread_count(), started = 0;
	pthread_t others[256];

	if (threads > count)
		threads = count;
	/* With fewer threads than wanted it only takes longer. */
	while (started + 1 < threads &&
	       !pthread_create(&others[started], NULL, batch_thread, &batch))
		started++;
	run_elements(&batch, progress, data);
	while (started)
		pthread_join(others[--started], NULL);
	if (atomic_load(&batch.no_memory))
		return xrnpe_fail_memory(error);
	if (atomic_load(&batch.done) < count)
		return xrnpe_fail(error, -ECANCELED, "%s: stopped", graph->name);
	return 0;
}

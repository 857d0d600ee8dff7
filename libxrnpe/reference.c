// SPDX-License-Identifier: MIT
/*
 * The FP32 reference: the graph in binary32 on the CPU, without the device's
 * arithmetic. Each output is summed in one order, whatever the number of threads.
 */
#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "graph.h"
#include "threads.h"

/*
 * A convolution is computed for PIXELS output pixels and ROWS channels at a time:
 * what the pixels read is gathered into a panel of k x PIXELS, and their sums
 * stay in registers.
 */
#define PIXELS 16
#define ROWS 8

typedef float vec __attribute__((vector_size(PIXELS * sizeof(float)), aligned(4), may_alias));

static const struct graph_shape *input_shape(const struct reference *ref,
					     const struct graph_node *node)
{
	return graph_input_shape(ref->graph, node);
}

/* The part of an image that the windows of @node cover, padding included. */
static struct graph_shape covered(const struct graph_node *node, uint32_t channels)
{
	const struct graph_window *w = &node->window;

	return (struct graph_shape){
		.c = channels,
		.h = (node->shape.h - 1) * w->stride_h + (w->kernel_h - 1) * w->dilation_h + 1,
		.w = (node->shape.w - 1) * w->stride_w + (w->kernel_w - 1) * w->dilation_w + 1,
	};
}

/* Copy that part of @in, with zeros outside the image, to @out. */
static void pad(const struct graph_node *node, const struct graph_shape *shape, const float *in,
		const struct graph_shape *to, float *out)
{
	uint32_t top = node->window.pad_top, left = node->window.pad_left;
	uint32_t room = to->w > left ? to->w - left : 0, width = room < shape->w ? room : shape->w;

	memset(out, 0, graph_shape_count(to) * sizeof(*out));
	for (uint32_t c = 0; c < to->c; c++, out += (size_t)to->h * to->w) {
		for (uint32_t y = 0; y < shape->h && y + top < to->h; y++)
			memcpy(out + (size_t)(y + top) * to->w + left,
			       in + ((size_t)c * shape->h + y) * shape->w, width * sizeof(*out));
	}
}

/* What @count output pixels from @first on read of the padded image @in. */
static void gather(const struct graph_node *node, const struct graph_shape *shape,
		   const float *in, size_t first, unsigned int count, float *panel)
{
	const struct graph_window *w = &node->window;
	size_t at[PIXELS];
	bool adjoin = true;

	for (unsigned int p = 0; p < PIXELS; p++) {
		size_t pixel = first + (p < count ? p : 0);

		at[p] = pixel / node->shape.w * w->stride_h * shape->w +
			pixel % node->shape.w * w->stride_w;
		adjoin &= at[p] == at[0] + p;
	}
	for (uint32_t c = 0; c < shape->c; c++, in += (size_t)shape->h * shape->w) {
		for (uint32_t i = 0; i < w->kernel_h; i++) {
			for (uint32_t j = 0; j < w->kernel_w; j++, panel += PIXELS) {
				const float *tap = in + (size_t)i * w->dilation_h * shape->w +
						   (size_t)j * w->dilation_w;

				if (adjoin)
					memcpy(panel, tap + at[0], PIXELS * sizeof(*panel));
				for (unsigned int p = 0; !adjoin && p < PIXELS; p++)
					panel[p] = tap[at[p]];
			}
		}
	}
}

/* sums[r][p] = sum_k weight[r][k] * panel[k][p]; each product is rounded before it is added. */
static inline __attribute__((always_inline))
void multiply(const float *weight, size_t k, const float *panel, unsigned int rows,
	      float sums[ROWS][PIXELS])
{
	vec acc[ROWS] = { { 0 } };

	for (size_t i = 0; i < k; i++) {
		vec row = *(const vec *)(panel + i * PIXELS);

#pragma GCC unroll 8
		for (unsigned int r = 0; r < rows; r++)
			acc[r] += row * weight[r * k + i];
	}
	memcpy(sums, acc, rows * sizeof(acc[0]));
}

#define MULTIPLY_ROWS(name)									\
static void name(const float *weight, size_t k, const float *panel, unsigned int rows,		\
		 float sums[ROWS][PIXELS])							\
{												\
	if (rows == ROWS)									\
		multiply(weight, k, panel, ROWS, sums);						\
	for (unsigned int r = 0; rows < ROWS && r < rows; r++)					\
		multiply(weight + r * k, k, panel, 1, sums + r);				\
}

MULTIPLY_ROWS(multiply_rows)
#ifdef __x86_64__
__attribute__((target("avx2"))) MULTIPLY_ROWS(multiply_rows_avx2)
__attribute__((target("avx512f"))) MULTIPLY_ROWS(multiply_rows_avx512)
#endif

typedef void multiply_function(const float *weight, size_t k, const float *panel,
			       unsigned int rows, float sums[ROWS][PIXELS]);

/* The widest vectors that this CPU has. */
static multiply_function *fastest_multiply(void)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx512f"))
		return multiply_rows_avx512;
	if (__builtin_cpu_supports("avx2"))
		return multiply_rows_avx2;
#endif
	return multiply_rows;
}

static void conv(const struct reference *ref, const struct graph_node *node, const float *in,
		 float *out)
{
	const struct graph_shape *shape = input_shape(ref, node);
	uint32_t in_c = shape->c / node->groups, out_c = node->shape.c / node->groups;
	const struct graph_shape padded = covered(node, in_c);
	multiply_function *multiply_some = fastest_multiply();
	size_t k = node->weight_count / node->shape.c;
	size_t pixels = (size_t)node->shape.h * node->shape.w;

	for (uint32_t g = 0; g < node->groups; g++) {
		pad(node, shape, in + (size_t)g * in_c * shape->h * shape->w, &padded, ref->padded);
		for (size_t first = 0; first < pixels; first += PIXELS) {
			unsigned int count = pixels - first < PIXELS ?
					     (unsigned int)(pixels - first) : PIXELS;

			gather(node, &padded, ref->padded, first, count, ref->panel);
			for (uint32_t c = 0; c < out_c; c += ROWS) {
				uint32_t rows = out_c - c < ROWS ? out_c - c : ROWS;
				uint32_t channel = g * out_c + c;
				float sums[ROWS][PIXELS];

				multiply_some(node->weight + channel * k, k, ref->panel, rows, sums);
				for (uint32_t r = 0; r < rows; r++, channel++) {
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

void reference_compute(struct reference *ref, const struct graph_node *node,
		       const float *a, const float *b, float *out)
{
	size_t count = graph_shape_count(&node->shape);

	switch (node->op) {
	case GRAPH_INPUT:
		break;
	case GRAPH_CONV:
		conv(ref, node, a, out);
		for (size_t i = 0; node->inputs == 2 && i < count; i++)
			out[i] += b[i];
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
	case GRAPH_ACTIVATION:
	case GRAPH_FLATTEN:
		memcpy(out, a, count * sizeof(*out));
		break;
	}
}

typedef int32_t mask __attribute__((vector_size(PIXELS * sizeof(int32_t)), aligned(4)));

/* max(x, 0); a NaN becomes 0. */
static void relu(float *values, size_t count)
{
	size_t i = 0;

	/* In vectors: which values are negative no branch predictor can tell. */
	for (; i + PIXELS <= count; i += PIXELS) {
		vec *some = (vec *)(values + i);

		*some = (vec)((mask)*some & (*some > 0));
	}
	for (; i < count; i++)
		values[i] = values[i] > 0 ? values[i] : 0;
}

void reference_activate(const struct graph_activation *activation, float *values, size_t count)
{
	if (activation->kind == XRNPE_ACT_RELU)
		relu(values, count);
	for (size_t i = 0; activation->kind == XRNPE_ACT_LEAKY && i < count; i++)
		values[i] = values[i] < 0 ? values[i] * activation->slope : values[i];
	for (size_t i = 0; activation->clamps && i < count; i++)
		values[i] = fminf(fmaxf(values[i], activation->lo), activation->hi);
}

void reference_node(struct reference *ref, uint32_t index)
{
	const struct graph_node *node = &ref->graph->nodes[index];

	reference_compute(ref, node, ref->tensors[node->input[0]], ref->tensors[node->input[1]],
			  ref->tensors[index]);
	reference_activate(&node->activation, ref->tensors[index],
			   graph_shape_count(&node->shape));
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
	free(ref->padded);
	free(ref);
}

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

struct reference *reference_new(const struct xrnpe_graph *graph)
{
	struct reference *ref = calloc(1, sizeof(*ref));
	size_t k = 1, padded = 1;

	if (!ref)
		return NULL;
	ref->graph = graph;
	ref->tensors = calloc(graph->count, sizeof(*ref->tensors));
	for (uint32_t i = 0; ref->tensors && i < graph->count; i++) {
		const struct graph_node *node = &graph->nodes[i];

		if (node->op == GRAPH_CONV) {
			uint32_t in_c = graph_input_shape(graph, node)->c / node->groups;
			struct graph_shape part = covered(node, in_c);

			k = larger(k, node->weight_count / node->shape.c);
			padded = larger(padded, graph_shape_count(&part));
		}
		ref->tensors[i] = malloc(graph_shape_count(&node->shape) * sizeof(float));
		if (!ref->tensors[i]) {
			reference_free(ref);
			return NULL;
		}
	}
	ref->panel = malloc(k * PIXELS * sizeof(float));
	ref->padded = malloc(padded * sizeof(float));
	if (!ref->tensors || !ref->panel || !ref->padded) {
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
	xrnpe_progress progress;
	void *data;
	atomic_size_t next, done;
	atomic_bool stop, no_memory;
};

static void run_elements(void *data, bool caller)
{
	struct batch *batch = data;
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
		if (caller && batch->progress && batch->progress(batch->data, i, batch->count))
			atomic_store(&batch->stop, true);
	}
	reference_free(ref);
}

int xrnpe_graph_run(const struct xrnpe_graph *graph, size_t count, const float *inputs,
		    float *outputs, xrnpe_progress progress, void *data,
		    struct xrnpe_error *error)
{
	struct batch batch = { .graph = graph, .inputs = inputs, .outputs = outputs,
			       .count = count, .progress = progress, .data = data };

	threads_run(run_elements, &batch, count);
	if (atomic_load(&batch.no_memory))
		return xrnpe_fail_memory(error);
	if (atomic_load(&batch.done) < count)
		return xrnpe_fail(error, -ECANCELED, "%s: stopped", graph->name);
	return 0;
}

// SPDX-License-Identifier: MIT
/* Pooling: windows over one or two axes, or over all of them. A NaN in a window is its result. */
#include <math.h>

#include "families.h"
#include "vectors.h"
#include "windows.h"

/* The larger, or a NaN if one is. */
static float maximum(float a, float b)
{
	return b > a || isnan(b) ? b : a;
}

/* ---- windows ----------------------------------------------------------- */

/* Whether every window along the axis has a tap on the image. */
static bool windows_meet_image(const struct graph_window *axis, uint32_t in, uint32_t out)
{
	int64_t start = -(int64_t)axis->pad_begin, last = start + (int64_t)(out - 1) * axis->stride;

	if (last >= in)
		return false;
	/* All that start on the image do. Of the others the first tap that is not before it tells. */
	for (; start < 0 && start <= last; start += axis->stride) {
		int64_t tap = (axis->dilation - 1 - start) / axis->dilation;

		if (tap >= axis->kernel || start + tap * axis->dilation >= in)
			return false;
	}
	return true;
}

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

static int infer_pool(const struct op *op)
{
	struct graph_windows *windows = &op->node->params.windows;
	enum graph_type type = op_input(op, 0)->type;
	struct window_images to;
	struct graph_shape out;
	int ret = windows_infer(op, NULL, &out);

	for (uint32_t i = 0; !ret && i < windows->axes; i++) {
		if (!windows_meet_image(&windows->axis[i], op_input(op, 0)->shape.dims[2 + i],
					out.dims[2 + i]))
			ret = op_fail(op, -ENOTSUP, "a window lies in the padding altogether");
	}
	if (ret)
		return ret;
	to = window_images(&out);
	op->node->scratch = larger(to.width * sizeof(struct window_taps),
				   to.height * op_input(op, 0)->shape.dims[out.rank - 1] * sizeof(float));
	op_output(op, 1, GRAPH_INT, &out);
	return op_output(op, 0, type, &out);
}

static int infer_max(const struct op *op)
{
	int ret = op_bool(op, "storage_order", false, &op->node->params.windows.by_columns);

	if (!ret && op_input(op, 0)->type == GRAPH_BOOL)
		ret = op_fail(op, -EINVAL, "input is of type bool");
	return ret ? ret : infer_pool(op);
}

static int infer_average(const struct op *op)
{
	int ret = op_check_input(op, 0, GRAPH_FLOAT, "input");

	if (!ret)
		ret = op_bool(op, "count_include_pad", false, &op->node->params.windows.count_padding);
	return ret ? ret : infer_pool(op);
}

struct window_taps window_taps(const struct graph_window *axis, size_t in, size_t out)
{
	int64_t start = (int64_t)(out * axis->stride) - axis->pad_begin;
	struct window_taps taps = { 0 };

	for (uint32_t i = 0; i < axis->kernel; i++) {
		int64_t at = start + (int64_t)i * axis->dilation;

		taps.padded += at < (int64_t)in + axis->pad_end;
		if (at < 0 || at >= (int64_t)in)
			continue;
		if (!taps.count++)
			taps.first = (size_t)at;
	}
	return taps;
}

/* Take every @stride-th of @in into @out as well. */
static inline __attribute__((always_inline))
void take(bool max, const float *restrict in, size_t stride, size_t count, float *restrict out)
{
	for (size_t i = 0; i < count; i++)
		out[i] = max ? maximum(out[i], in[i * stride]) : out[i] + in[i * stride];
}

static inline __attribute__((always_inline))
void take_line(bool max, const float *in, size_t stride, size_t count, float *out)
{
	/* The stride as a constant makes vectors of the loop. */
	if (stride == 1)
		take(max, in, 1, count, out);
	else if (stride == 2)
		take(max, in, 2, count, out);
	else
		take(max, in, stride, count, out);
}

/* The windows of @count columns take their taps from the line @in of @width elements. */
VECTORS
static void pool_line(bool max, const float *in, size_t width, const struct graph_window *x,
		      size_t count, float *out)
{
	if (count == 1) {
		const struct window_taps taps = window_taps(x, width, 0);
		float result = *out;

		for (size_t k = 0; k < taps.count; k++)
			take(max, in + taps.first + k * x->dilation, 1, 1, &result);
		*out = result;
		return;
	}
	for (uint32_t j = 0; j < x->kernel; j++) {
		/* Of the first window; others are strides further. */
		int64_t at = (int64_t)j * x->dilation - x->pad_begin, stride = x->stride;
		int64_t first = at < 0 ? (-at + stride - 1) / stride : 0;
		int64_t end = at < (int64_t)width ? ((int64_t)width - 1 - at) / stride + 1 : 0;

		if (end > (int64_t)count)
			end = (int64_t)count;
		if (first >= end)
			continue;
		if (max)
			take_line(true, in + at + first * stride, x->stride, (size_t)(end - first),
				  out + first);
		else
			take_line(false, in + at + first * stride, x->stride, (size_t)(end - first),
				  out + first);
	}
}

/* Scratch: the taps of each column of windows. */
static void compute_average(const struct op_call *call)
{
	const struct graph_windows *windows = &call->node->params.windows;
	const struct window_images from = window_images(&call_input(call, 0)->shape);
	const struct window_images to = window_images(&call_output(call, 0)->shape);
	const struct graph_window y = windows_axis(windows, 0), x = windows_axis(windows, 1);
	struct window_taps *columns = call->scratch;
	const float *in = call_in(call, 0);
	float *out = call_out(call, 0);

	for (size_t ox = 0; ox < to.width; ox++)
		columns[ox] = window_taps(&x, from.width, ox);
	for (size_t i = 0; i < to.count * to.height; i++, out += to.width) {
		const struct window_taps rows = window_taps(&y, from.height, i % to.height);
		const float *image = in + i / to.height * from.height * from.width;

		for (size_t ox = 0; ox < to.width; ox++)
			out[ox] = 0;
		for (size_t k = 0; k < rows.count; k++)
			pool_line(false, image + (rows.first + k * y.dilation) * from.width, from.width, &x,
				  to.width, out);
		for (size_t ox = 0; ox < to.width; ox++)
			out[ox] /= (float)(windows->count_padding ?
					   (size_t)rows.padded * columns[ox].padded :
					   rows.count * columns[ox].count);
	}
}

/* Columns by @block at once, of which the last may begin among those before. */
static inline __attribute__((always_inline))
void take_blocks(const float *restrict in, size_t width, size_t block, size_t step, size_t count,
		 float *restrict line)
{
	for (size_t i = 0; i < width; i += block) {
		size_t first = i < width - block ? i : width - block;

		memcpy(line + first, in + first, block * sizeof(*line));
		for (size_t k = 1; k < count; k++) {
			/* Unrolled, it would be made of branches. */
#pragma GCC unroll 1
			for (size_t c = first; c < first + block; c++)
				line[c] = maximum(line[c], in[k * step + c]);
		}
	}
}

/* The largest of each column of the windows in a line of them. */
VECTORS
static void take_rows(const float *in, size_t width, const struct window_taps *rows, uint32_t dilation,
		      float *line)
{
	in += rows->first * width;
	if (width >= 16)
		take_blocks(in, width, 16, dilation * width, rows->count, line);
	else
		take_blocks(in, width, 1, dilation * width, rows->count, line);
}

/*
 * The largest along lines as they come, where every line is as long as its windows are apart in
 * all: none of them reaches into the next one.
 */
static bool is_one_line(const struct graph_window *x, const struct window_images *from,
			const struct window_images *to)
{
	return !x->pad_begin && from->width == to->width * x->stride &&
	       (x->kernel - 1) * x->dilation < x->stride;
}

/* Scratch: for each line of windows the largest of each column, since vectors of lines are whole ones. */
static void compute_maxima(const struct op_call *call)
{
	const struct graph_windows *windows = &call->node->params.windows;
	const struct window_images from = window_images(&call_input(call, 0)->shape);
	const struct window_images to = window_images(&call_output(call, 0)->shape);
	const struct graph_window y = windows_axis(windows, 0), x = windows_axis(windows, 1);
	bool whole = is_one_line(&x, &from, &to);
	size_t lines = whole ? 1 : to.height, width = to.height / lines * from.width;
	size_t count = to.height / lines * to.width;
	const float *in = call_in(call, 0);
	float *columns = call->scratch, *out = call_out(call, 0);

	for (size_t i = 0; i < to.count; i++, in += from.height * from.width) {
		for (size_t oy = 0; oy < to.height; oy++) {
			const struct window_taps rows = window_taps(&y, from.height, oy);

			take_rows(in, from.width, &rows, y.dilation, columns + oy * from.width);
		}
		for (size_t line = 0; line < lines; line++, out += count) {
			for (size_t k = 0; k < count; k++)
				out[k] = -INFINITY;
			pool_line(true, columns + line * width, width, &x, count, out);
		}
	}
}

/* Where a window's largest element is in an image. */
struct largest {
	size_t row, column;
};

/* The same of any type, and where: one window after the other. */
#define POOL_LARGEST(name, type, is_larger)							\
static struct largest name(const type *image, size_t width, const struct window_taps *rows,		\
			   const struct window_taps *columns, const struct graph_windows *windows)	\
{												\
	const struct graph_window y = windows_axis(windows, 0), x = windows_axis(windows, 1);	\
	struct largest best = { rows->first, columns->first };					\
												\
	for (size_t i = 0; i < rows->count; i++) {						\
		for (size_t j = 0; j < columns->count; j++) {					\
			const struct largest at = { rows->first + i * y.dilation,		\
						    columns->first + j * x.dilation };		\
			const type a = image[at.row * width + at.column];			\
			const type b = image[best.row * width + best.column];			\
												\
			best = is_larger ? at : best;						\
		}										\
	}											\
	return best;										\
}

POOL_LARGEST(largest_float, float, (a > b || isnan(a)) && !isnan(b))
POOL_LARGEST(largest_int, int64_t, a > b)

static void compute_largest(const struct op_call *call)
{
	const struct graph_windows *windows = &call->node->params.windows;
	const struct window_images from = window_images(&call_input(call, 0)->shape);
	const struct window_images to = window_images(&call_output(call, 0)->shape);
	const struct graph_window y = windows_axis(windows, 0), x = windows_axis(windows, 1);
	bool ints = call_input(call, 0)->type == GRAPH_INT;
	int64_t *where = call_out(call, 1);

	for (size_t i = 0; i < to.count * to.height * to.width; i++) {
		size_t first = i / (to.height * to.width) * from.height * from.width;
		const struct window_taps rows = window_taps(&y, from.height, i / to.width % to.height);
		const struct window_taps columns = window_taps(&x, from.width, i % to.width);
		const int64_t *integers = (const int64_t *)call_in(call, 0) + first;
		const float *floats = (const float *)call_in(call, 0) + first;
		struct largest at = ints ?
			largest_int(integers, from.width, &rows, &columns, windows) :
			largest_float(floats, from.width, &rows, &columns, windows);

		if (ints)
			((int64_t *)call_out(call, 0))[i] = integers[at.row * from.width + at.column];
		else
			((float *)call_out(call, 0))[i] = floats[at.row * from.width + at.column];
		if (where)
			where[i] = (int64_t)(first + (windows->by_columns ?
						      at.column * from.height + at.row :
						      at.row * from.width + at.column));
	}
}

static void compute_max(const struct op_call *call)
{
	if (call_input(call, 0)->type == GRAPH_INT || call_out(call, 1))
		compute_largest(call);
	else
		compute_maxima(call);
}

static uint64_t average_macs(const struct xrnpe_graph *graph, const struct graph_node *node)
{
	uint64_t macs = graph_count(&graph_output(graph, node, 0)->shape);

	for (uint32_t i = 0; i < node->params.windows.axes; i++)
		macs *= node->params.windows.axis[i].kernel;
	return macs;
}

/* ---- all of an image --------------------------------------------------- */

static int infer_global(const struct op *op)
{
	struct graph_shape out;
	int ret = op_check_input(op, 0, GRAPH_FLOAT, "input");

	if (ret)
		return ret;
	out = op_input(op, 0)->shape;
	if (out.rank < 2)
		return op_fail(op, -EINVAL, "input is of rank %u, without channels", out.rank);
	for (uint32_t i = 2; i < out.rank; i++)
		out.dims[i] = 1;
	return op_output(op, 0, GRAPH_FLOAT, &out);
}

static void compute_global(const struct op_call *call, bool max)
{
	size_t images = graph_count(&call_output(call, 0)->shape);
	size_t count = graph_count(&call_input(call, 0)->shape) / images;
	const float *in = call_in(call, 0);
	float *out = call_out(call, 0);

	for (size_t c = 0; c < images; c++, in += count) {
		float sum = 0, most = -INFINITY;

		for (size_t i = 0; max && i < count; i++)
			most = maximum(most, in[i]);
		for (size_t i = 0; !max && i < count; i++)
			sum += in[i];
		out[c] = max ? most : sum / (float)count;
	}
}

static void compute_global_max(const struct op_call *call)
{
	compute_global(call, true);
}

static void compute_global_average(const struct op_call *call)
{
	compute_global(call, false);
}

static uint64_t global_macs(const struct xrnpe_graph *graph, const struct graph_node *node)
{
	return graph_count(&graph_input(graph, node, 0)->shape);
}

const struct operator operators_pool[] = {
	{ "MaxPool", 1, 1, 2, "auto_pad ceil_mode dilations kernel_shape pads storage_order strides",
	  .infer = infer_max, .compute = compute_max },
	{ "AveragePool", 1, 1, 1,
	  "auto_pad ceil_mode count_include_pad dilations kernel_shape pads strides",
	  .infer = infer_average, .compute = compute_average, .macs = average_macs },
	{ "GlobalMaxPool", 1, 1, 1, "", .infer = infer_global, .compute = compute_global_max },
	{ "GlobalAveragePool", 1, 1, 1, "", .infer = infer_global, .compute = compute_global_average,
	  .macs = global_macs },
	{ 0 },
};

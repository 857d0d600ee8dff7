// SPDX-License-Identifier: MIT
/*
 * Convolutions over one or two axes. What MULTIPLY_COLUMNS output pixels read is gathered
 * into a panel, which all output channels are multiplied with. A transposed convolution is
 * one over an input that is spread out with zeros, with its kernel turned round.
 */
#include "families.h"
#include "multiply.h"
#include "vectors.h"
#include "windows.h"

/* ---- both -------------------------------------------------------------- */

/* What a pixel of the output is computed from: a padded image of some channels. */
struct image {
	size_t channels, height, width;
};

/* The part of an image that the windows cover, padding included. */
static struct image covered(const struct graph_windows *windows, const struct graph_shape *out,
			    size_t channels)
{
	const struct graph_window y = windows_axis(windows, 0), x = windows_axis(windows, 1);
	const struct window_images images = window_images(out);

	return (struct image){
		.channels = channels,
		.height = (images.height - 1) * y.stride + (size_t)(y.kernel - 1) * y.dilation + 1,
		.width = (images.width - 1) * x.stride + (size_t)(x.kernel - 1) * x.dilation + 1,
	};
}

/* More taps than this are gathered: a list of their places is kept on the stack. */
#define MAX_TAPS 128

/* Whether each channel is a convolution of its own, for which no panel is worth gathering. */
static bool is_depthwise(const struct image *image, size_t channels, size_t taps)
{
	return image->channels == 1 && channels == 1 && taps <= MAX_TAPS;
}

/* Elements of the padded image, with room for what multiply_taps() reads behind it. */
static size_t padded_size(const struct image *image)
{
	return (image->channels * image->height * image->width / MULTIPLY_RUN + 2) * MULTIPLY_RUN;
}

/*
 * Scratch: first the padded image, then the panel; or, depthwise, the sums for every place
 * of the image.
 */
static void set_scratch(const struct op *op, const struct image *image, size_t channels, size_t k)
{
	size_t rest = is_depthwise(image, channels, k) ? padded_size(image) : k * MULTIPLY_COLUMNS;

	op->node->scratch = (padded_size(image) + rest) * sizeof(float);
}

/*
 * Copy the channels of @in into the padded image, element 0 to line @begin_y, column
 * @begin_x and others @by_y and @by_x further; zeros between and around.
 */
static void spread(const struct image *to, const struct window_images *from, const float *in,
		   ptrdiff_t begin_y, size_t by_y, ptrdiff_t begin_x, size_t by_x, float *out)
{
	memset(out, 0, to->channels * to->height * to->width * sizeof(*out));
	for (size_t c = 0; c < to->channels; c++, out += to->height * to->width) {
		for (size_t y = 0; y < from->height; y++, in += from->width) {
			ptrdiff_t line = begin_y + (ptrdiff_t)(y * by_y);

			if (line < 0 || line >= (ptrdiff_t)to->height)
				continue;
			for (size_t x = 0; x < from->width; x++) {
				ptrdiff_t column = begin_x + (ptrdiff_t)(x * by_x);

				if (column >= 0 && column < (ptrdiff_t)to->width)
					out[(size_t)line * to->width + (size_t)column] = in[x];
			}
		}
	}
}

/* What @count output pixels from @first on read of the padded image @in. */
VECTORS
static void gather(const struct graph_window *y, const struct graph_window *x, size_t out_width,
		   const struct image *image, const float *in, size_t first, unsigned int count,
		   float *panel)
{
	size_t at[MULTIPLY_COLUMNS];
	bool adjoin = true;

	for (unsigned int p = 0; p < MULTIPLY_COLUMNS; p++) {
		size_t pixel = first + (p < count ? p : 0);

		at[p] = pixel / out_width * y->stride * image->width +
			pixel % out_width * x->stride;
		adjoin &= at[p] == at[0] + p;
	}
	for (size_t c = 0; c < image->channels; c++, in += image->height * image->width) {
		for (uint32_t i = 0; i < y->kernel; i++) {
			for (uint32_t j = 0; j < x->kernel; j++, panel += MULTIPLY_COLUMNS) {
				const float *tap = in + (size_t)i * y->dilation * image->width +
						   (size_t)j * x->dilation;

				if (adjoin)
					memcpy(panel, tap + at[0], MULTIPLY_COLUMNS * sizeof(*panel));
				for (unsigned int p = 0; !adjoin && p < MULTIPLY_COLUMNS; p++)
					panel[p] = tap[at[p]];
			}
		}
	}
}

/*
 * One output channel from one channel of the padded image. The sums are computed for a
 * window at every place of the image, as if all lines were one; those that windows do
 * not stand at are left out.
 */
static void convolve_depthwise(const struct graph_window *y, const struct graph_window *x,
			       const struct window_images *out, const struct image *image,
			       const float *padded, const float *weight, float bias,
			       float *sums, float *result)
{
	size_t taps = (size_t)y->kernel * x->kernel, offset[MAX_TAPS];

	for (size_t t = 0; t < taps; t++)
		offset[t] = t / x->kernel * y->dilation * image->width + t % x->kernel * x->dilation;
	multiply_taps(weight, offset, taps, padded,
		      (out->height - 1) * y->stride * image->width + (out->width - 1) * x->stride + 1,
		      sums);
	for (size_t line = 0; line < out->height; line++, result += out->width) {
		const float *from = sums + line * y->stride * image->width;

		for (size_t p = 0; p < out->width; p++)
			result[p] = from[p * x->stride] + bias;
	}
}

/* All output channels of a group from its padded image. */
VECTORS
static void convolve(const struct graph_window *y, const struct graph_window *x,
		     const struct window_images *out, const struct image *image,
		     const float *padded, const float *weight, const float *bias, size_t channels,
		     float *panel, float *result)
{
	size_t k = image->channels * y->kernel * x->kernel, pixels = out->height * out->width;

	if (is_depthwise(image, channels, k)) {
		convolve_depthwise(y, x, out, image, padded, weight, bias ? *bias : 0, panel, result);
		return;
	}
	for (size_t first = 0; first < pixels; first += MULTIPLY_COLUMNS) {
		unsigned int count = pixels - first < MULTIPLY_COLUMNS ?
				     (unsigned int)(pixels - first) : MULTIPLY_COLUMNS;

		gather(y, x, out->width, image, padded, first, count, panel);
		for (size_t c = 0; c < channels; c += MULTIPLY_ROWS) {
			unsigned int rows = channels - c < MULTIPLY_ROWS ?
					    (unsigned int)(channels - c) : MULTIPLY_ROWS;
			float sums[MULTIPLY_ROWS][MULTIPLY_COLUMNS];

			multiply_panel(weight + c * k, k, k, panel, rows, sums);
			for (unsigned int r = 0; r < rows; r++) {
				float b = bias ? bias[c + r] : 0;

				for (unsigned int p = 0; p < count; p++)
					result[(c + r) * pixels + first + p] = sums[r][p] + b;
			}
		}
	}
}

static int check_bias(const struct op *op, uint32_t channels)
{
	const struct graph_tensor *bias = op_input(op, 2);

	if (!bias)
		return 0;
	if (bias->type != GRAPH_FLOAT || graph_count(&bias->shape) != channels)
		return op_fail(op, -EINVAL, "bias has %zu elements, not %u", graph_count(&bias->shape),
			       channels);
	return 0;
}

/* Input, weight and group; *@channels: of the input, which is of the weight's rank. */
static int check_weight(const struct op *op, uint32_t *channels)
{
	struct graph_windows *windows = &op->node->params.windows;
	const struct graph_tensor *weight = op_input(op, 1);
	int64_t groups;
	int ret = op_check_input(op, 0, GRAPH_FLOAT, "input");

	if (!ret)
		ret = op_check_input(op, 1, GRAPH_FLOAT, "weight");
	if (!ret)
		ret = op_int(op, "group", 1, UINT32_MAX, 1, &groups);
	if (ret)
		return ret;
	windows->groups = (uint32_t)groups;
	if (op_input(op, 0)->shape.rank < 3)
		return op_fail(op, -EINVAL, "input is of rank %u: batch, channels and what else?",
			       op_input(op, 0)->shape.rank);
	if (weight->shape.rank != op_input(op, 0)->shape.rank)
		return op_fail(op, -EINVAL, "weight is of rank %u, the input of %u",
			       weight->shape.rank, op_input(op, 0)->shape.rank);
	*channels = op_input(op, 0)->shape.dims[1];
	if (*channels % windows->groups || weight->shape.dims[0] % windows->groups ||
	    !graph_count(&weight->shape))
		return op_fail(op, -EINVAL, "%u channels to %u do not divide into %u groups",
			       *channels, weight->shape.dims[0], windows->groups);
	return 0;
}

/* ---- Conv -------------------------------------------------------------- */

static int infer_conv(const struct op *op)
{
	struct graph_windows *windows = &op->node->params.windows;
	const struct graph_shape *weight;
	struct graph_shape out;
	struct image image;
	uint32_t channels;
	int ret = check_weight(op, &channels);

	if (ret)
		return ret;
	weight = &op_input(op, 1)->shape;
	if (weight->dims[1] != channels / windows->groups)
		return op_fail(op, -EINVAL,
			       "weight takes %u channels a group, the input has %u in %u groups",
			       weight->dims[1], channels, windows->groups);
	ret = windows_infer(op, weight->dims + 2, &out);
	if (!ret)
		ret = check_bias(op, weight->dims[0]);
	if (ret)
		return ret;
	out.dims[1] = weight->dims[0];
	image = covered(windows, &out, weight->dims[1]);
	set_scratch(op, &image, weight->dims[0] / windows->groups,
		    graph_count(weight) / weight->dims[0]);
	return op_output(op, 0, GRAPH_FLOAT, &out);
}

static void compute_conv(const struct op_call *call)
{
	const struct graph_windows *windows = &call->node->params.windows;
	const struct graph_shape *in = &call_input(call, 0)->shape;
	const struct graph_shape *out = &call_output(call, 0)->shape;
	const struct graph_shape *shape = &call_input(call, 1)->shape;
	const struct graph_window y = windows_axis(windows, 0), x = windows_axis(windows, 1);
	const struct window_images from = window_images(in), to = window_images(out);
	const struct image image = covered(windows, out, shape->dims[1]);
	size_t channels = out->dims[1] / windows->groups;
	const float *input = call_in(call, 0), *weight = call_in(call, 1), *bias = call_in(call, 2);
	float *padded = call->scratch, *panel = padded + padded_size(&image);
	float *result = call_out(call, 0);

	for (uint32_t n = 0; n < out->dims[0]; n++) {
		for (uint32_t g = 0; g < windows->groups; g++) {
			spread(&image, &from, input, y.pad_begin, 1, x.pad_begin, 1, padded);
			convolve(&y, &x, &to, &image, padded,
				 weight + g * channels * (graph_count(shape) / shape->dims[0]),
				 bias ? bias + g * channels : NULL, channels, panel, result);
			input += image.channels * from.height * from.width;
			result += channels * to.height * to.width;
		}
	}
}

/* ---- ConvTranspose ----------------------------------------------------- */

/* Output size and padding along one axis, as ONNX defines them. */
static int solve_transposed(const struct op *op, int64_t in, uint32_t auto_pad,
			    int64_t extra, int64_t wanted, struct graph_window *axis, uint32_t *out)
{
	int64_t full = (in - 1) * axis->stride + extra + ((int64_t)axis->kernel - 1) * axis->dilation + 1;
	int64_t total = (int64_t)axis->pad_begin + axis->pad_end;
	bool same = auto_pad == 2 || auto_pad == 3;

	if (same && wanted < 0)
		wanted = in * axis->stride;
	if (wanted >= 0) {
		/* What no window reaches lies at the end. */
		total = wanted < full ? full - wanted : 0;
		full = wanted + total;
		axis->pad_begin = (uint32_t)(auto_pad == 2 ? total / 2 : total - total / 2);
		axis->pad_end = (uint32_t)total - axis->pad_begin;
	}
	if (full - total < 1)
		return op_fail(op, -EINVAL, "padding of %lld leaves nothing of %lld",
			       (long long)total, (long long)full);
	*out = (uint32_t)(full - total);
	return 0;
}

static int infer_transposed(const struct op *op)
{
	struct graph_windows *windows = &op->node->params.windows;
	int64_t extra[2] = { 0 }, wanted[2] = { -1, -1 };
	const struct graph_shape *in, *weight;
	struct graph_shape out;
	struct image image;
	uint32_t channels, auto_pad;
	size_t count;
	int ret = check_weight(op, &channels);

	if (ret)
		return ret;
	in = &op_input(op, 0)->shape;
	weight = &op_input(op, 1)->shape;
	if (in->rank > 4)
		return op_fail(op, -ENOTSUP, "input is of rank %u; supported are 3 and 4", in->rank);
	if (weight->dims[0] != channels)
		return op_fail(op, -EINVAL, "weight takes %u channels, the input has %u",
			       weight->dims[0], channels);
	windows->axes = in->rank - 2;
	out = *in;
	out.dims[1] = weight->dims[1] * windows->groups;
	ret = windows_attributes(op, weight->dims + 2);
	if (!ret)
		ret = op_choice(op, "auto_pad", "NOTSET VALID SAME_UPPER SAME_LOWER", &auto_pad);
	if (!ret)
		ret = op_ints(op, "output_padding", 0, 1 << 20, windows->axes, extra);
	if (!ret)
		ret = op_ints(op, "output_shape", 1, 1 << 26, windows->axes, wanted);
	for (uint32_t i = 0; !ret && i < windows->axes; i++)
		ret = solve_transposed(op, in->dims[2 + i], auto_pad, extra[i], wanted[i],
				       &windows->axis[i], &out.dims[2 + i]);
	if (!ret)
		ret = check_bias(op, out.dims[1]);
	if (ret)
		return ret;
	/* As a convolution with stride 1 over the spread input, and its weights turned round. */
	image = (struct image){ weight->dims[0] / windows->groups, 1, 1 };
	for (uint32_t i = 0; i < windows->axes; i++) {
		const struct graph_window *axis = &windows->axis[i];
		size_t reach = out.dims[2 + i] + (size_t)(axis->kernel - 1) * axis->dilation;

		*(i + 1 == windows->axes ? &image.width : &image.height) = reach;
	}
	count = graph_count(weight) / windows->groups;
	set_scratch(op, &image, weight->dims[1], count / weight->dims[1]);
	op->node->scratch += (count + 15) / 16 * 16 * sizeof(float);
	return op_output(op, 0, GRAPH_FLOAT, &out);
}

/* The weights of one group from [in][out][kernel] to [out][in][kernel turned round]. */
static void turn_weights(const float *weight, size_t in, size_t out, size_t taps, float *turned)
{
	for (size_t o = 0; o < out; o++) {
		for (size_t i = 0; i < in; i++) {
			for (size_t t = 0; t < taps; t++)
				*turned++ = weight[(i * out + o) * taps + taps - 1 - t];
		}
	}
}

/* Where the first element of the input lies in the padded image; negative: cut off. */
static ptrdiff_t transposed_begin(const struct graph_window *axis)
{
	return (ptrdiff_t)(axis->kernel - 1) * axis->dilation - axis->pad_begin;
}

static void compute_transposed(const struct op_call *call)
{
	const struct graph_windows *windows = &call->node->params.windows;
	const struct graph_shape *in = &call_input(call, 0)->shape;
	const struct graph_shape *out = &call_output(call, 0)->shape;
	const struct graph_shape *shape = &call_input(call, 1)->shape;
	struct graph_window y = windows_axis(windows, 0), x = windows_axis(windows, 1);
	const struct window_images from = window_images(in), to = window_images(out);
	size_t in_channels = shape->dims[0] / windows->groups, channels = shape->dims[1];
	const struct image image = {
		in_channels, to.height + (size_t)(y.kernel - 1) * y.dilation,
		to.width + (size_t)(x.kernel - 1) * x.dilation,
	};
	size_t taps = (size_t)y.kernel * x.kernel, count = in_channels * channels * taps;
	ptrdiff_t begin_y = transposed_begin(&y), begin_x = transposed_begin(&x);
	uint32_t by_y = y.stride, by_x = x.stride;
	const float *input = call_in(call, 0), *weight = call_in(call, 1), *bias = call_in(call, 2);
	float *padded = call->scratch, *turned = padded + padded_size(&image);
	float *panel = turned + (count + 15) / 16 * 16, *result = call_out(call, 0);

	y.stride = x.stride = 1;
	for (uint32_t n = 0; n < out->dims[0]; n++) {
		for (uint32_t g = 0; g < windows->groups; g++) {
			turn_weights(weight + g * count, in_channels, channels, taps, turned);
			spread(&image, &from, input, begin_y, by_y, begin_x, by_x, padded);
			convolve(&y, &x, &to, &image, padded, turned,
				 bias ? bias + g * channels : NULL, channels, panel, result);
			input += in_channels * from.height * from.width;
			result += channels * to.height * to.width;
		}
	}
}

static uint64_t conv_macs(const struct xrnpe_graph *graph, const struct graph_node *node)
{
	const struct graph_shape *weight = &graph_input(graph, node, 1)->shape;
	const struct graph_shape *out = &graph_output(graph, node, 0)->shape;

	return graph_count(out) * (graph_count(weight) / weight->dims[0]);
}

static uint64_t transposed_macs(const struct xrnpe_graph *graph, const struct graph_node *node)
{
	const struct graph_shape *weight = &graph_input(graph, node, 1)->shape;

	return graph_count(&graph_input(graph, node, 0)->shape) *
	       (graph_count(weight) / weight->dims[0]);
}

const struct operator operators_convolution[] = {
	{ "Conv", 2, 3, 1, "auto_pad dilations group kernel_shape pads strides",
	  .infer = infer_conv, .compute = compute_conv, .macs = conv_macs },
	{ "ConvTranspose", 2, 3, 1,
	  "auto_pad dilations group kernel_shape output_padding output_shape pads strides",
	  .infer = infer_transposed, .compute = compute_transposed, .macs = transposed_macs },
	{ 0 },
};

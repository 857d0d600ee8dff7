// SPDX-License-Identifier: MIT
/*
 * Convolutions over one or two axes. Neighbouring output pixels read neighbouring elements of
 * a padded input, by each tap from where they lie: nothing is gathered. A transposed
 * convolution is one over an input that is spread out with zeros, with its kernel turned round.
 */
#include "families.h"
#include "multiply.h"
#include "vectors.h"
#include "windows.h"

/* ---- both -------------------------------------------------------------- */

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Elements that a window covers. */
static size_t reach(const struct graph_window *axis)
{
	return (size_t)(axis->kernel - 1) * axis->dilation + 1;
}

/* Sums for windows at every place of lines that are @width apart, from the first to the last. */
static size_t place_count(const struct window_images *out, size_t width)
{
	return (out->height - 1) * width + out->width;
}

/*
 * What windows slide over: the padded input of one group, in several *phases*. A phase has
 * every stride-th line and column, from one that a tap of the first window reads: so
 * neighbouring windows read neighbouring elements, whatever the stride. As there are fewer
 * phases than taps, several taps read one, and windows are computed at all its places, also
 * where they would reach into the next line; where these are many, a phase is for one column
 * of taps, and has no others: its lines are as long as the output's.
 */
struct image {
	size_t channels, height, width;	/* of a phase */
	size_t stride_y, stride_x;
	size_t phases_y, phases_x;
	size_t step_x;			/* columns that a phase begins behind the one before */
};

static size_t phase_size(const struct image *image)
{
	return image->height * image->width;
}

static size_t image_size(const struct image *image)
{
	return image->channels * image->phases_y * image->phases_x * phase_size(image);
}

/* Elements of an image that the second cache of any CPU holds. */
#define NEAR (1 << 16)

/* The image for @channels_out times windows that make an output of @out's size. */
static struct image image_of(const struct graph_window *y, const struct graph_window *x,
			     const struct window_images *out, size_t channels, size_t channels_out)
{
	struct image image = {
		.channels = channels,
		.height = out->height + (reach(y) - 1) / y->stride,
		.width = out->width + (reach(x) - 1) / x->stride,
		.stride_y = y->stride, .stride_x = x->stride,
		.phases_y = smaller(y->stride, reach(y)), .phases_x = smaller(x->stride, reach(x)),
		.step_x = 1,
	};
	struct image apart = image;
	size_t many;

	apart.width = out->width;
	apart.phases_x = x->kernel;
	apart.step_x = x->dilation;
	/* Sums between the lines, a 32nd or a quarter of all, outweigh what more phases take. */
	many = image_size(&apart) <= NEAR ? 33 : 40;
	return channels_out >= MULTIPLY_ROWS &&
	       32 * place_count(out, image.width) >= many * out->height * out->width ? apart : image;
}

/* Columns of results that are computed before the next output channels are. */
#define CHUNK (16 * MULTIPLY_COLUMNS)

/* Elements of the input along an axis, and where they are in a phase. */
struct landing {
	size_t in, in_step, out, out_step, count;
};

/* The scratch memory of a convolution. */
struct scratch {
	size_t *offset;		/* by tap: where in the image it is from where its window stands */
	struct landing *y, *x;	/* by phase */
	float *image;		/* with room behind it, since whole vectors are read */
	float *rest;
};

static struct scratch divide_scratch(void *scratch, const struct image *image, size_t taps)
{
	struct scratch parts = { .offset = scratch };

	parts.y = (struct landing *)(parts.offset + taps);
	parts.x = parts.y + image->phases_y;
	parts.image = (float *)(parts.x + image->phases_x);
	parts.rest = parts.image + image_size(image) + MULTIPLY_COLUMNS;
	return parts;
}

/* Its size, with @rest floats more. */
static size_t scratch_bytes(const struct image *image, size_t taps, size_t rest)
{
	return taps * sizeof(size_t) + (image->phases_y + image->phases_x) * sizeof(struct landing) +
	       (image_size(image) + MULTIPLY_COLUMNS + rest) * sizeof(float);
}

static void set_offsets(const struct graph_window *y, const struct graph_window *x,
			const struct image *image, size_t *offset)
{
	size_t kernel = (size_t)y->kernel * x->kernel;
	size_t channel = image->phases_y * image->phases_x * phase_size(image);

	for (size_t i = 0, t = 0; i < y->kernel; i++) {
		size_t line = i * y->dilation, phases = line % y->stride * image->phases_x;
		size_t begin = line / y->stride * image->width;

		for (size_t j = 0; j < x->kernel; j++, t++) {
			size_t column = j * x->dilation / image->step_x % image->phases_x;

			offset[t] = (phases + column) * phase_size(image) + begin +
				    (j * x->dilation - column * image->step_x) / x->stride;
		}
	}
	for (size_t c = 1; c < image->channels; c++) {
		for (size_t t = 0; t < kernel; t++)
			offset[c * kernel + t] = offset[t] + c * channel;
	}
}

/*
 * Which of @in elements are among the @out of a phase, if element 0 lies @begin behind its
 * first, and others @by further; either @by or @stride is 1.
 */
static struct landing land(size_t in, ptrdiff_t begin, size_t by, size_t stride, size_t out)
{
	struct landing l = { .in_step = stride, .out_step = by };

	for (; l.in < in && (begin < 0 || (size_t)begin % stride); l.in++)
		begin += (ptrdiff_t)by;
	l.out = (size_t)begin / stride;
	if (l.in < in && l.out < out)
		l.count = smaller((in - l.in - 1) / stride, (out - l.out - 1) / by) + 1;
	return l;
}

/* Every @step-th element of a line, @block at a time, the last of them perhaps once more. */
static inline __attribute__((always_inline))
void take_blocks(const float *in, size_t step, size_t block, size_t count, float *out)
{
	for (size_t i = 0; i < count; i += block) {
		size_t first = smaller(i, count - block);

#pragma GCC unroll 16
		for (size_t k = first; k < first + block; k++)
			out[k] = in[k * step];
	}
}

static inline __attribute__((always_inline))
void take_steps(const float *in, size_t step, size_t count, float *out)
{
	/* As constants they make vectors of the loops. */
	if (count >= 16)
		take_blocks(in, step, 16, count, out);
	else if (count >= 4)
		take_blocks(in, step, 4, count, out);
	else
		take_blocks(in, step, 1, count, out);
}

/* Write the elements of a channel that are in a phase, line by line. */
VECTORS
static void spread_lines(const struct landing *y, const struct landing *x, const float *in, size_t in_width,
			 float *out, size_t width)
{
	size_t in_line = y->in_step * in_width, out_line = y->out_step * width;
	size_t in_step = x->in_step, out_step = x->out_step, count = x->count;

	in += y->in * in_width + x->in;
	out += y->out * width + x->out;
	for (size_t i = 0; i < y->count; i++, in += in_line, out += out_line) {
		if (out_step > 1) {
			for (size_t k = 0; k < count; k++)
				out[k * out_step] = in[k];
		} else if (in_step == 1) {
			memcpy(out, in, count * sizeof(*out));
		} else if (in_step == 2) {
			take_steps(in, 2, count, out);
		} else {
			take_steps(in, in_step, count, out);
		}
	}
}

/* The same at once, where lines are as long, and zeros again between what is of two of them. */
static void spread_plane(const struct landing *y, const struct landing *x, const float *in, float *out,
			 size_t width)
{
	out += y->out * width + x->out;
	memcpy(out, in + y->in * width + x->in, ((y->count - 1) * width + x->count) * sizeof(*out));
	for (size_t k = x->count; k < width; k++) {
		for (size_t i = 0; i + 1 < y->count; i++)
			out[i * width + k] = 0;
	}
}

/*
 * Write the channels of @in to the image, element 0 to line @begin_y, column @begin_x and
 * others @by_y and @by_x further; zeros between and around.
 */
static void spread(const struct image *image, const struct window_images *from, const float *in,
		   ptrdiff_t begin_y, size_t by_y, ptrdiff_t begin_x, size_t by_x,
		   const struct scratch *scratch)
{
	size_t phases = image->phases_y * image->phases_x, size = phase_size(image);
	bool planes = from->width == image->width && image->stride_y == 1 && image->stride_x == 1 &&
		      by_y == 1 && by_x == 1;
	float *out = scratch->image;

	for (size_t i = 0; i < image->phases_y; i++)
		scratch->y[i] = land(from->height, begin_y - (ptrdiff_t)i, by_y, image->stride_y,
				     image->height);
	for (size_t i = 0; i < image->phases_x; i++)
		scratch->x[i] = land(from->width, begin_x - (ptrdiff_t)(i * image->step_x), by_x,
				     image->stride_x, image->width);
	for (size_t c = 0; c < image->channels; c++, in += from->height * from->width) {
		memset(out, 0, phases * size * sizeof(*out));
		for (size_t i = 0; i < image->phases_y; i++) {
			for (size_t j = 0; j < image->phases_x; j++, out += size) {
				const struct landing *y = &scratch->y[i], *x = &scratch->x[j];

				if (planes && y->count && x->count)
					spread_plane(y, x, in, out, image->width);
				else if (x->count)
					spread_lines(y, x, in, from->width, out, image->width);
			}
		}
	}
}

/*
 * Sums for @count windows from @first on, of which there is one at every place of an image
 * that is @width wide: those where windows do stand go to the output.
 */
VECTORS
static void put(const struct window_images *out, size_t width, size_t first, size_t count,
		const float *sums, float *result)
{
	for (size_t y = first / width; y * width < first + count; y++) {
		size_t begin = y * width < first ? first - y * width : 0;
		size_t end = smaller(first + count - y * width, out->width);

		for (size_t x = begin; x < end; x++)
			result[y * out->width + x] = sums[y * width + x - first];
	}
}

/* Windows computed at once of @left: whole vectors, none of which begins behind them. */
static size_t next_columns(size_t left)
{
	return left < MULTIPLY_COLUMNS ? MULTIPLY_COLUMNS :
	       smaller(left - left % MULTIPLY_COLUMNS, CHUNK);
}

/*
 * All output channels of a group from its image, whose lines are @width apart. Of fewer than
 * MULTIPLY_COLUMNS windows, so many are computed; else nothing behind the image is read.
 */
static void convolve(const struct window_images *out, size_t width, struct multiply_taps taps,
		     size_t channels, float *result)
{
	size_t total = place_count(out, width), pixels = out->height * out->width;
	/* Sums are the output as they come, if nothing lies between the lines. */
	bool in_place = width == out->width && total >= MULTIPLY_COLUMNS;
	const struct multiply_taps all = taps;

	for (size_t first = 0, columns; first < total; first += columns) {
		columns = next_columns(total - first);
		/* The last ones overlap those before. */
		size_t begin = smaller(first, total > columns ? total - columns : 0);

		taps.in = all.in + begin;
		for (size_t c = 0; c < channels; c += MULTIPLY_ROWS) {
			unsigned int rows = (unsigned int)smaller(channels - c, MULTIPLY_ROWS);
			float sums[MULTIPLY_ROWS * CHUNK];

			taps.weight = all.weight + c * taps.stride;
			taps.bias = all.bias ? all.bias + c : NULL;
			if (in_place) {
				multiply(&taps, rows, columns, result + c * pixels + begin, pixels);
				continue;
			}
			multiply(&taps, rows, columns, sums, CHUNK);
			for (unsigned int r = 0; r < rows; r++)
				put(out, width, begin, smaller(columns, total - begin), sums + r * CHUNK,
				    result + (c + r) * pixels);
		}
	}
}

/* The image has room for windows that reach far beyond the input; not for any. */
static int check_image(const struct op *op, const struct image *image)
{
	size_t size = image->channels;

	if (__builtin_mul_overflow(size, image->phases_y, &size) ||
	    __builtin_mul_overflow(size, image->phases_x, &size) ||
	    __builtin_mul_overflow(size, image->height, &size) ||
	    __builtin_mul_overflow(size, image->width, &size) || size > GRAPH_MAX_CONSTANT)
		return op_fail(op, -ENOTSUP, "windows reach over more elements than a tensor has");
	return 0;
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
	struct window_images images;
	struct graph_window y, x;
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
	y = windows_axis(windows, 0);
	x = windows_axis(windows, 1);
	images = window_images(&out);
	image = image_of(&y, &x, &images, weight->dims[1], weight->dims[0] / windows->groups);
	op->node->scratch = scratch_bytes(&image, graph_count(weight) / weight->dims[0], 0);
	ret = check_image(op, &image);
	return ret ? ret : op_output(op, 0, GRAPH_FLOAT, &out);
}

/* Whether the input is the image, and as large as what is read of it. */
static bool is_image(const struct graph_window *y, const struct graph_window *x,
		     const struct window_images *from, const struct window_images *to,
		     const struct image *image)
{
	return y->stride == 1 && x->stride == 1 && !y->pad_begin && !x->pad_begin &&
	       image->height == from->height && image->width == from->width &&
	       place_count(to, image->width) >= MULTIPLY_COLUMNS;
}

static void compute_conv(const struct op_call *call)
{
	const struct graph_windows *windows = &call->node->params.windows;
	const struct graph_shape *shape = &call_input(call, 1)->shape;
	const struct graph_window y = windows_axis(windows, 0), x = windows_axis(windows, 1);
	const struct window_images from = window_images(&call_input(call, 0)->shape);
	const struct window_images to = window_images(&call_output(call, 0)->shape);
	size_t channels = shape->dims[0] / windows->groups, k = graph_count(shape) / shape->dims[0];
	const struct image image = image_of(&y, &x, &to, shape->dims[1], channels);
	size_t batch = call_output(call, 0)->shape.dims[0];
	const struct scratch scratch = divide_scratch(call->scratch, &image, k);
	bool in_place = is_image(&y, &x, &from, &to, &image);
	const float *input = call_in(call, 0), *bias = call_in(call, 2);
	struct multiply_taps taps = { .stride = k, .taps = k, .offset = scratch.offset };
	float *result = call_out(call, 0);

	set_offsets(&y, &x, &image, scratch.offset);
	for (size_t i = 0; i < batch * windows->groups; i++) {
		size_t first = i % windows->groups * channels;

		if (!in_place)
			spread(&image, &from, input, y.pad_begin, 1, x.pad_begin, 1, &scratch);
		taps.in = in_place ? input : scratch.image;
		taps.weight = (const float *)call_in(call, 1) + first * k;
		taps.bias = bias ? bias + first : NULL;
		convolve(&to, image.width, taps, channels, result);
		input += image.channels * from.height * from.width;
		result += channels * to.height * to.width;
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

/* An axis of the convolution over the input that is spread out. */
static struct graph_window without_stride(const struct graph_windows *windows, uint32_t i)
{
	struct graph_window axis = windows_axis(windows, i);

	axis.stride = 1;
	return axis;
}

static int infer_transposed(const struct op *op)
{
	struct graph_windows *windows = &op->node->params.windows;
	int64_t extra[2] = { 0 }, wanted[2] = { -1, -1 };
	const struct graph_shape *in, *weight;
	struct window_images images;
	struct graph_window y, x;
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
	y = without_stride(windows, 0);
	x = without_stride(windows, 1);
	images = window_images(&out);
	image = image_of(&y, &x, &images, weight->dims[0] / windows->groups, weight->dims[1]);
	count = graph_count(weight) / windows->groups;
	op->node->scratch = scratch_bytes(&image, count / weight->dims[1], count);
	ret = check_image(op, &image);
	return ret ? ret : op_output(op, 0, GRAPH_FLOAT, &out);
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
	const struct graph_shape *shape = &call_input(call, 1)->shape;
	const struct graph_window y = without_stride(windows, 0), x = without_stride(windows, 1);
	const struct window_images from = window_images(&call_input(call, 0)->shape);
	const struct window_images to = window_images(&call_output(call, 0)->shape);
	size_t in_channels = shape->dims[0] / windows->groups, channels = shape->dims[1];
	const struct image image = image_of(&y, &x, &to, in_channels, channels);
	size_t kernel = (size_t)y.kernel * x.kernel, k = in_channels * kernel;
	size_t batch = call_output(call, 0)->shape.dims[0];
	const struct scratch scratch = divide_scratch(call->scratch, &image, k);
	const float *input = call_in(call, 0), *weight = call_in(call, 1), *bias = call_in(call, 2);
	struct multiply_taps taps = { scratch.rest, scratch.image, NULL, k, k, scratch.offset, false };
	float *result = call_out(call, 0);

	set_offsets(&y, &x, &image, scratch.offset);
	for (size_t i = 0; i < batch * windows->groups; i++) {
		size_t g = i % windows->groups;

		turn_weights(weight + g * channels * k, in_channels, channels, kernel, scratch.rest);
		spread(&image, &from, input, transposed_begin(&y), windows_axis(windows, 0).stride,
		       transposed_begin(&x), windows_axis(windows, 1).stride, &scratch);
		taps.bias = bias ? bias + g * channels : NULL;
		convolve(&to, image.width, taps, channels, result);
		input += in_channels * from.height * from.width;
		result += channels * to.height * to.width;
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

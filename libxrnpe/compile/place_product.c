// SPDX-License-Identifier: MIT
/* Placing of products: convolutions, matrices, and windows that slide over images. */
#include <math.h>
#include <string.h>

#include "place.h"

/* ---- windows ----------------------------------------------------------- */

static const struct graph_window no_window = { .kernel = 1, .stride = 1, .dilation = 1 };

struct graph_window place_lines(const struct graph_windows *windows)
{
	return windows->axes == 2 ? windows->axis[0] : no_window;
}

struct graph_window place_pixels(const struct graph_windows *windows)
{
	return windows->axis[windows->axes - 1];
}

bool place_window_fits(const struct graph_window *w)
{
	return w->kernel <= UINT8_MAX && w->stride <= UINT8_MAX && w->dilation <= UINT8_MAX &&
	       w->pad_begin <= UINT8_MAX;
}

void place_windows(struct xrnpe_cmd *cmd, enum xrnpe_opcode opcode, const struct image *in,
		   const struct image *out, const struct graph_window *h,
		   const struct graph_window *w, uint32_t groups)
{
	cmd->opcode = (uint8_t)opcode;
	cmd->image = (struct xrnpe_dims_image){
		.in_h = (uint16_t)in->h, .in_w = (uint16_t)in->w, .in_c = (uint16_t)in->c,
		.out_h = (uint16_t)out->h, .out_w = (uint16_t)out->w, .out_c = (uint16_t)out->c,
		.groups = (uint16_t)groups,
		.kernel_h = (uint8_t)h->kernel, .kernel_w = (uint8_t)w->kernel,
		.stride_h = (uint8_t)h->stride, .stride_w = (uint8_t)w->stride,
		.dilation_h = (uint8_t)h->dilation, .dilation_w = (uint8_t)w->dilation,
		.pad_top = (uint8_t)h->pad_begin, .pad_left = (uint8_t)w->pad_begin,
	};
}

const char *place_window_images(const struct placing *p, struct image *in, struct image *out)
{
	const struct graph_windows *windows = &p->node->params.windows;
	const struct graph_window h = place_lines(windows), w = place_pixels(windows);
	const struct graph_shape *shape = &place_input(p, 0)->shape;

	if (shape->rank != windows->axes + 2 || !image_first(shape, in) ||
	    !image_first(&place_output(p)->shape, out))
		return PLACE_NO_IMAGE;
	return place_window_fits(&h) && place_window_fits(&w) ? NULL : PLACE_LARGE_WINDOWS;
}

/* ---- constant weights -------------------------------------------------- */

bool place_biases(struct placing *p, uint32_t channels)
{
	const float *bias = place_constant(p, 2);

	if (!place_input(p, 2))
		return true;
	if (bias && place_floats(p, &p->place->bias, channels, 0))
		memcpy(p->place->bias, bias, channels * sizeof(*bias));
	return bias;
}

const char *place_slopes(struct placing *p, uint32_t i, uint32_t channels)
{
	const float *slopes = place_constant(p, i);

	if (!place_floats(p, &p->place->slope, channels, 0))
		return NULL;
	for (uint32_t c = 0; c < channels; c++) {
		if (!isfinite(slopes[c]))
			return "a slope is not finite";
		p->place->slope[c] = slopes[c];
	}
	return NULL;
}

/* Whether sums are of no more products than the device adds up, or can be divided. */
static const char *check_sums(const struct weights *weights)
{
	bool divides = weights->groups == 1 && weights->taps <= XRNPE_MAX_K / 2;

	return (uint64_t)weights->taps * weights->in_c > XRNPE_MAX_K && !divides ?
	       "a sum has more than 32768 products" : NULL;
}

/* Sums of too many products by channels: an even number, so that each piece begins on a byte. */
static void divide_sums(struct placing *p)
{
	const struct weights *weights = &p->place->weights;
	uint32_t each = XRNPE_MAX_K / weights->taps & ~1u;
	uint32_t count = (weights->in_c + each - 1) / each;

	if ((uint64_t)weights->taps * weights->in_c <= XRNPE_MAX_K || !place_in_pieces(p, count))
		return;
	for (uint32_t i = 0; i < count; i++) {
		struct place_piece *piece = &p->place->pieces[i];
		uint32_t first = i * each;
		uint32_t channels = weights->in_c - first < each ? weights->in_c - first : each;

		piece->from.c = piece->channel = first;
		place_sum(piece, i, count);
		if (piece->cmd.opcode == XRNPE_OP_MATMUL)
			piece->cmd.matmul.k = channels;
		else
			piece->cmd.image.in_c = (uint16_t)channels;
	}
}

void place_weights(struct placing *p, const struct image *in, const struct image *out)
{
	struct place *place = p->place;

	place->kind = PLACE_WEIGHTS;
	place->scale_count = place->weights.out_c;
	place_read(p, 0, XRNPE_OPERAND_IFM, in);
	place_residual(p, out);
	place_write(p, 0, out);
	if (!place->piece_count)
		divide_sums(p);
}

const char *place_convolution(struct placing *p)
{
	const struct graph_windows *windows = &p->node->params.windows;
	const struct graph_window h = place_lines(windows), w = place_pixels(windows);
	struct place *place = p->place;
	struct image in, out;
	const char *why = place_window_images(p, &in, &out);
	uint32_t taps = h.kernel * w.kernel, in_c;

	if (why)
		return why;
	if (!place_constant(p, 1))
		return PLACE_COMPUTED_WEIGHTS;
	in_c = in.c / windows->groups;
	place->weights = (struct weights){
		.tensor = p->node->inputs[1], .out_c = out.c, .in_c = in_c, .taps = taps,
		.groups = windows->groups, .stride_group = (size_t)taps * in_c * (out.c / windows->groups),
		.stride_n = (size_t)taps * in_c, .stride_c = taps, .stride_t = 1,
	};
	why = check_sums(&place->weights);
	if (why || !place_biases(p, out.c))
		return why ? why : PLACE_COMPUTED_WEIGHTS;
	if (image_pixels(&in) == 1 && image_pixels(&out) == 1 && taps == 1 && windows->groups == 1) {
		place->cmd.opcode = XRNPE_OP_MATMUL;
		place->cmd.matmul = (struct xrnpe_dims_matmul){
			.m = 1, .n = out.c, .k = in.c, .batch = 1,
		};
	} else {
		place_windows(&place->cmd, XRNPE_OP_CONV2D, &in, &out, &h, &w, windows->groups);
	}
	place_weights(p, &in, &out);
	return NULL;
}

/*
 * A matrix times constant weights of @k rows; @transposed: n rows of k. A single row that
 * lies in memory as an image is convolved with a kernel that covers it.
 */
static const char *place_matrix(struct placing *p, uint32_t k, uint32_t n, bool transposed)
{
	struct place *place = p->place;
	struct image rows, row, out, none;
	size_t stride_k = transposed ? 1 : n;
	const char *why;

	if (!place_constant(p, 1))
		return PLACE_COMPUTED_WEIGHTS;
	if (!image_last(&place_input(p, 0)->shape, &rows) ||
	    !image_last(&place_output(p)->shape, &out))
		return PLACE_TOO_LARGE;
	place->weights = (struct weights){
		.tensor = p->node->inputs[1], .out_c = n, .in_c = k, .taps = 1, .groups = 1,
		.stride_n = transposed ? k : 1, .stride_c = stride_k,
	};
	if (image_pixels(&rows) == 1 && place_memory(p, 0, &row) && image_pixels(&row) > 1 &&
	    row.h <= UINT8_MAX && row.w <= UINT8_MAX) {
		const struct graph_window h = { .kernel = row.h, .stride = 1, .dilation = 1 };
		const struct graph_window w = { .kernel = row.w, .stride = 1, .dilation = 1 };

		place->weights.in_c = row.c;
		place->weights.taps = row.h * row.w;
		place->weights.stride_c = stride_k * (row.first ? place->weights.taps : 1);
		place->weights.stride_t = stride_k * (row.first ? 1 : row.c);
		none = (struct image){ 1, 1, n, false };
		place_windows(&place->cmd, XRNPE_OP_CONV2D, &row, &none, &h, &w, 1);
		rows = row;
	} else {
		place->cmd.opcode = XRNPE_OP_MATMUL;
		place->cmd.matmul = (struct xrnpe_dims_matmul){
			.m = (uint32_t)image_pixels(&rows), .n = n, .k = k, .batch = 1,
		};
	}
	why = check_sums(&place->weights);
	if (!why)
		place_weights(p, &rows, &out);
	return why;
}

const char *place_gemm(struct placing *p)
{
	const struct graph_shape *b = &place_input(p, 1)->shape;
	const float alpha = p->node->params.gemm.alpha, beta = p->node->params.gemm.beta;
	bool transposed = p->node->params.gemm.trans_b;
	uint32_t n = b->dims[!transposed], k = b->dims[transposed];
	const float *bias = place_constant(p, 2);

	if (p->node->params.gemm.trans_a)
		return "its first matrix is transposed";
	if (!bias && place_input(p, 2))
		return "its offset is computed";
	if (bias) {
		const struct graph_shape *shape = &place_input(p, 2)->shape;
		size_t count = graph_count(shape);

		if (count != 1 && (count != n || shape->dims[shape->rank - 1] != n))
			return "its offset differs from row to row";
		if (!place_floats(p, &p->place->bias, n, 0))
			return NULL;
		for (uint32_t i = 0; i < n; i++)
			p->place->bias[i] = beta * bias[count == 1 ? 0 : i];
	}
	if (alpha != 1 && !place_floats(p, &p->place->factor, n, alpha))
		return NULL;
	return place_matrix(p, k, n, transposed);
}

/* Both matrices are computed, and there may be several of them. */
static const char *place_two_matrices(struct placing *p)
{
	const struct graph_shape *shape_a = &place_input(p, 0)->shape;
	const struct graph_shape *shape_b = &place_input(p, 1)->shape;
	struct place *place = p->place;
	struct image a, b, out;

	if (shape_a->rank < 2 || shape_b->rank < 2)
		return "multiplies a vector that is computed";
	if (!image_last(shape_a, &a) || !image_last(shape_b, &b) ||
	    !image_last(&place_output(p)->shape, &out))
		return PLACE_TOO_LARGE;
	if ((a.h != out.h && a.h != 1) || (b.h != out.h && b.h != 1))
		return "its matrices are repeated in a way that strides do not have";
	if (a.c > XRNPE_MAX_K)
		return "a sum has more than 32768 products";
	place->kind = PLACE_MATMUL;
	place->scale_count = 1;
	place->cmd.opcode = XRNPE_OP_MATMUL;
	place->cmd.flags = XRNPE_CMD_TRANSPOSED;
	place->cmd.matmul = (struct xrnpe_dims_matmul){
		.m = a.w, .n = b.c, .k = a.c, .batch = out.h,
	};
	place_read(p, 0, XRNPE_OPERAND_IFM, &a);
	place_read(p, 1, XRNPE_OPERAND_WEIGHT, &b);
	place_write(p, 0, &out);
	return NULL;
}

const char *place_matmul(struct placing *p)
{
	const struct graph_tensor *b = place_input(p, 1);
	const struct graph_shape shape = b->shape;

	if (place_constant(p, 0) && !graph_is_bounded(place_input(p, 0)))
		return place_unbounded(p);
	if (!b->data)
		return p->node->residual ? "adds another tensor" : place_two_matrices(p);
	if (shape.rank < 2 || graph_count(&shape) != (size_t)shape.dims[shape.rank - 1] *
						     shape.dims[shape.rank - 2])
		return "its constant is not one matrix";
	if (!place_biases(p, shape.dims[shape.rank - 1]))
		return PLACE_COMPUTED_WEIGHTS;
	return place_matrix(p, shape.dims[shape.rank - 2], shape.dims[shape.rank - 1], false);
}

/* ---- pooling ----------------------------------------------------------- */

const char *place_maxima(struct placing *p, const struct image *in, const struct image *out,
			 const struct graph_window *h, const struct graph_window *w)
{
	if (!place_window_fits(h) || !place_window_fits(w))
		return PLACE_LARGE_WINDOWS;
	p->place->kind = PLACE_POOL;
	place_windows(&p->place->cmd, XRNPE_OP_MAXPOOL, in, out, h, w, 1);
	place_read(p, 0, XRNPE_OPERAND_IFM, in);
	place_write(p, 0, out);
	return NULL;
}

const char *place_max_pool(struct placing *p)
{
	const struct graph_windows *windows = &p->node->params.windows;
	const struct graph_window h = place_lines(windows), w = place_pixels(windows);
	struct image in, out;
	const char *why = place_window_images(p, &in, &out);

	if (why)
		return why;
	if (graph_output(p->compiler->graph, p->node, 1))
		return "the device does not tell where the largest is";
	return place_maxima(p, &in, &out, &h, &w);
}

void place_average(struct placing *p, const struct image *in, const struct image *out)
{
	struct place *place = p->place;

	place->kind = PLACE_AVERAGE;
	place->weights.tensor = GRAPH_NONE;
	place->weights.out_c = place->weights.groups = place->scale_count = in->c;
	place->weights.in_c = 1;
	place_read(p, 0, XRNPE_OPERAND_IFM, in);
	place_write(p, 0, out);
}

const char *place_averages(struct placing *p, const struct image *in, const struct image *out,
			   const struct graph_window *h, const struct graph_window *w)
{
	if ((uint64_t)h->kernel * w->kernel > XRNPE_MAX_K)
		return "a sum has more than 32768 products";
	if (!place_window_fits(h) || !place_window_fits(w))
		return PLACE_LARGE_WINDOWS;
	p->place->weights.taps = h->kernel * w->kernel;
	place_windows(&p->place->cmd, XRNPE_OP_CONV2D, in, out, h, w, in->c);
	place_average(p, in, out);
	return NULL;
}

/* Whether all windows over @in elements give as many elements to the average. */
static bool divides_evenly(const struct graph_window *w, uint32_t in, uint32_t out,
			   bool count_padding)
{
	uint64_t end = (uint64_t)(out - 1) * w->stride + (uint64_t)(w->kernel - 1) * w->dilation + 1;

	if (count_padding)
		return end <= (uint64_t)w->pad_begin + in + w->pad_end;
	return !w->pad_begin && end <= in;
}

void place_depthwise(struct placing *p, const struct image *image)
{
	place_averages(p, image, image, &no_window, &no_window);
}

const char *place_average_pool(struct placing *p)
{
	const struct graph_windows *windows = &p->node->params.windows;
	const struct graph_window h = place_lines(windows), w = place_pixels(windows);
	struct image in, out;
	const char *why = place_window_images(p, &in, &out);

	if (why)
		return why;
	if (!divides_evenly(&h, in.h, out.h, windows->count_padding) ||
	    !divides_evenly(&w, in.w, out.w, windows->count_padding))
		return place_uneven(p, &in, &out);
	return place_averages(p, &in, &out, &h, &w);
}

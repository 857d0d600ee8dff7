// SPDX-License-Identifier: MIT
/* Operators that slide windows over an image or scale it, and products of matrices. */
#include "operators.h"
#include "schema.h"

/* ---- windows ------------------------------------------------------------- */

static void set_padding(struct tflite_op *op, int8_t padding)
{
	if (padding != PADDING_SAME && padding != PADDING_VALID)
		tflite_unsupported(op, "padding %d is not supported", padding);
	tflite_set_string(op, "auto_pad", padding == PADDING_SAME ? "SAME_UPPER" : "VALID");
}

static void set_pair(struct tflite_op *op, const char *name, int32_t height, int32_t width)
{
	tflite_set_ints(op, name, 2, (const int64_t[]){ height, width });
}

static void set_window(struct tflite_op *op)
{
	set_padding(op, flat_byte(op->options, WINDOW_PADDING));
	set_pair(op, "strides", flat_int(op->options, WINDOW_STRIDE_H, 0),
		 flat_int(op->options, WINDOW_STRIDE_W, 0));
}

/* Dimension @axis of the tensor of rank 4. */
static uint32_t dim_of(struct tflite_op *op, uint32_t tensor, uint32_t axis)
{
	const struct graph_tensor *found = tflite_tensor(op, tensor);

	if (found && found->shape.rank != 4)
		tflite_unsupported(op, "weights are of rank %u, not 4", found->shape.rank);
	return found && !op->ret ? found->shape.dims[axis] : 0;
}

void tflite_conv(struct tflite_op *op)
{
	static const int64_t outputs_first[] = { 0, 3, 1, 2 };
	uint32_t x = tflite_first(op, 0), weight = tflite_last(op, 1), bias = tflite_last(op, 2);
	uint32_t channels = dim_of(op, x, 1), taken = dim_of(op, weight, 3);

	weight = tflite_transpose(op, weight, 4, outputs_first);
	set_window(op);
	set_pair(op, "dilations", flat_int(op->options, CONV_DILATION_H, 1),
		 flat_int(op->options, CONV_DILATION_W, 1));
	tflite_set_int(op, "group", taken ? channels / taken : 1);
	tflite_finish(op, tflite_emit(op, "Conv", 3, (const uint32_t[]){ x, weight, bias }), true,
		      CONV_ACTIVATION);
}

void tflite_depthwise(struct tflite_op *op)
{
	static const int64_t outputs_first[] = { 3, 0, 1, 2 };
	uint32_t x = tflite_first(op, 0), weight = tflite_last(op, 1), bias = tflite_last(op, 2);
	uint32_t channels = dim_of(op, x, 1);

	dim_of(op, weight, 3);
	weight = tflite_transpose(op, weight, 4, outputs_first);
	set_window(op);
	set_pair(op, "dilations", flat_int(op->options, DEPTHWISE_DILATION_H, 1),
		 flat_int(op->options, DEPTHWISE_DILATION_W, 1));
	tflite_set_int(op, "group", channels);
	tflite_finish(op, tflite_emit(op, "Conv", 3, (const uint32_t[]){ x, weight, bias }), true,
		      DEPTHWISE_ACTIVATION);
}

/* Weights of a transposed convolution, outputs x height x width x inputs, as ONNX has them. */
static uint32_t transposed_weight(struct tflite_op *op, uint32_t weight)
{
	static const int64_t inputs_first[] = { 3, 0, 1, 2 };

	dim_of(op, weight, 3);
	return tflite_transpose(op, weight, 4, inputs_first);
}

/*
 * The gradient of a convolution that makes the input of an image of the shape given: padding
 * is that convolution's, which ONNX calculates from the shape as SAME_UPPER.
 */
void tflite_transpose_conv(struct tflite_op *op)
{
	uint32_t x = tflite_first(op, 2), weight = transposed_weight(op, tflite_last(op, 1));
	uint32_t bias = tflite_last(op, 3);
	int64_t shape[4] = { 0 };

	if (tflite_ints(op, 0, 4, shape) != 4)
		tflite_unsupported(op, "its shape has not 4 dimensions");
	set_window(op);
	tflite_set_ints(op, "output_shape", 2, shape + 1);
	tflite_finish(op, tflite_emit(op, "ConvTranspose", 3, (const uint32_t[]){ x, weight, bias }),
		      true, TRANSPOSE_CONV_ACTIVATION);
}

/*
 * MediaPipe's (mediapipe/util/tflite/operations/transpose_conv_bias.cc): its options are three
 * integers, the padding, which is 1 for SAME and 2 for VALID, and strides along x and y.
 */
void tflite_transpose_conv_bias(struct tflite_op *op)
{
	uint32_t x = tflite_first(op, 0), weight = transposed_weight(op, tflite_last(op, 1));
	uint32_t bias = tflite_last(op, 2);
	struct flat_vector options = op->custom_options;

	if (options.count < 12) {
		tflite_unsupported(op, "has %u bytes of options, not 12", options.count);
		return;
	}
	set_padding(op, (int8_t)(flat_vector_int(options, 0) - 1));
	set_pair(op, "strides", flat_vector_int(options, 2), flat_vector_int(options, 1));
	tflite_output(op, 0, tflite_emit(op, "ConvTranspose", 3, (const uint32_t[]){ x, weight, bias }),
		      true);
}

void tflite_pool(struct tflite_op *op)
{
	uint32_t x = tflite_first(op, 0);

	set_window(op);
	set_pair(op, "kernel_shape", flat_int(op->options, POOL_HEIGHT, 0),
		 flat_int(op->options, POOL_WIDTH, 0));
	tflite_finish(op, tflite_emit1(op, op->row->onnx, x), true, POOL_ACTIVATION);
}

/* ---- scaling ------------------------------------------------------------- */

/* To the height and width of input 1. */
static void resize(struct tflite_op *op, const char *mode, const char *coordinates,
		   const char *nearest)
{
	const struct graph_tensor *tensor;
	uint32_t x = tflite_first(op, 0);
	int64_t sizes[4] = { 0 };

	if (tflite_ints(op, 1, 2, sizes + 2) != 2)
		tflite_unsupported(op, "its size is not of two dimensions");
	tensor = tflite_tensor(op, x);
	for (uint32_t i = 0; tensor && i < 2; i++)
		sizes[i] = tensor->shape.dims[i];
	tflite_set_string(op, "mode", mode);
	tflite_set_string(op, "coordinate_transformation_mode", coordinates);
	tflite_set_string(op, "nearest_mode", nearest);
	tflite_output(op, 0, tflite_emit(op, "Resize", 4, (const uint32_t[]){
		x, GRAPH_NONE, GRAPH_NONE, tflite_new_ints(op, 4, sizes) }), true);
}

void tflite_resize_bilinear(struct tflite_op *op)
{
	bool align = flat_bool(op->options, RESIZE_BILINEAR_ALIGN);
	bool half = flat_bool(op->options, RESIZE_BILINEAR_HALF);

	if (align && half)
		tflite_unsupported(op, "aligns both corners and centres");
	resize(op, "linear", align ? "align_corners" : half ? "half_pixel" : "asymmetric", "floor");
}

void tflite_resize_nearest(struct tflite_op *op)
{
	bool align = flat_bool(op->options, RESIZE_NEAREST_ALIGN);
	bool half = flat_bool(op->options, RESIZE_NEAREST_HALF);

	if (align && half)
		tflite_unsupported(op, "aligns both corners and centres");
	resize(op, "nearest", align ? "align_corners" : half ? "tf_half_pixel_for_nn" : "asymmetric",
	       align ? "round_prefer_ceil" : "floor");
}

void tflite_block(struct tflite_op *op)
{
	uint32_t x = tflite_first(op, 0);

	tflite_set_int(op, "blocksize", flat_int(op->options, BLOCK_SIZE, 0));
	tflite_output(op, 0, tflite_emit1(op, op->row->onnx, x), true);
}

/* ---- matrices ------------------------------------------------------------ */

/* All axes of the input but as many elements as the weights take are lines of a matrix. */
void tflite_fully_connected(struct tflite_op *op)
{
	uint32_t x = tflite_last(op, 0), weight = tflite_last(op, 1), bias = tflite_last(op, 2);
	const struct graph_tensor *weights = tflite_tensor(op, weight);
	const struct graph_tensor *tensor = tflite_tensor(op, x);
	struct graph_shape shape = tensor ? tensor->shape : (struct graph_shape){ 0 };
	uint32_t inputs = 0, outputs = 0;
	int64_t dims[GRAPH_MAX_RANK];

	if (weights && weights->shape.rank == 2) {
		outputs = weights->shape.dims[0];
		inputs = weights->shape.dims[1];
	}
	if (!inputs || flat_byte(op->options, FULLY_CONNECTED_FORMAT))
		tflite_unsupported(op, "weights are no matrix, or packed");
	if (tensor && shape.rank != 2)
		x = tflite_reshape(op, x, 2, (const int64_t[]){ -1, inputs });
	tflite_set_int(op, "transB", 1);
	x = tflite_emit(op, "Gemm", bias == GRAPH_NONE ? 2 : 3, (const uint32_t[]){ x, weight, bias });
	if (tensor && shape.rank != 2 && flat_bool(op->options, FULLY_CONNECTED_KEEPS_RANK)) {
		for (uint32_t i = 0; i < shape.rank; i++)
			dims[i] = i + 1 < shape.rank ? shape.dims[i] : outputs;
		x = tflite_reshape(op, x, shape.rank, dims);
	}
	tflite_finish(op, x, false, FULLY_CONNECTED_ACTIVATION);
}

/* The last two axes of a tensor the other way round, if @adjoint. */
static uint32_t adjoint(struct tflite_op *op, uint32_t tensor, bool is_adjoint)
{
	const struct graph_tensor *found = tflite_tensor(op, tensor);
	uint32_t rank = found ? found->shape.rank : 0;
	int64_t perm[GRAPH_MAX_RANK];

	if (!is_adjoint || rank < 2)
		return tensor;
	for (uint32_t i = 0; i < rank; i++)
		perm[i] = i;
	perm[rank - 1] = rank - 2;
	perm[rank - 2] = rank - 1;
	return tflite_transpose(op, tensor, rank, perm);
}

void tflite_batch_matmul(struct tflite_op *op)
{
	uint32_t a = adjoint(op, tflite_last(op, 0), flat_bool(op->options, BATCH_MATMUL_ADJ_X));
	uint32_t b = adjoint(op, tflite_last(op, 1), flat_bool(op->options, BATCH_MATMUL_ADJ_Y));

	tflite_output(op, 0, tflite_emit2(op, "MatMul", a, b), false);
}

/* SPDX-License-Identifier: MIT */
/* Operators of TensorFlow Lite, a family a file, for the table in operators.c. */
#ifndef XRNPE_TFLITE_OPERATORS_H
#define XRNPE_TFLITE_OPERATORS_H

#include "reader.h"

typedef void tflite_make(struct tflite_op *op);

/* windows.c */
tflite_make tflite_conv, tflite_depthwise, tflite_transpose_conv, tflite_transpose_conv_bias,
	tflite_pool, tflite_resize_bilinear, tflite_resize_nearest, tflite_block,
	tflite_fully_connected, tflite_batch_matmul;

/* elements.c: an element from those of the same place */
tflite_make tflite_unary, tflite_binary, tflite_arithmetic, tflite_relu6, tflite_relu_n1_to_1,
	tflite_relu_0_to_1, tflite_leaky_relu, tflite_gelu, tflite_square, tflite_squared_difference,
	tflite_rsqrt, tflite_not_equal, tflite_floor_div, tflite_cast, tflite_select, tflite_softmax,
	tflite_log_softmax, tflite_l2_normalization;

/* moves.c: elements at other places */
tflite_make tflite_reshape_to, tflite_squeeze, tflite_expand_dims, tflite_transposition,
	tflite_concatenation, tflite_pack, tflite_unpack, tflite_split, tflite_split_v, tflite_pad,
	tflite_mirror_pad, tflite_gather, tflite_as_it_is, tflite_fill;

/* mediapipe.c */
tflite_make tflite_landmarks_to_matrix, tflite_transform_landmarks, tflite_transform_tensor;

/* select.c: some elements, or one of several */
tflite_make tflite_slice, tflite_strided_slice, tflite_reduce, tflite_arg, tflite_top;

#endif

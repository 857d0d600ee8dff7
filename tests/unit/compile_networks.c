// SPDX-License-Identifier: MIT
/* Networks in small for the compiler's tests. */
#include "unit/compile_run.h"

Onnx__ModelProto *image_network(int64_t c, int64_t h, int64_t w)
{
	Onnx__ModelProto *model = onnx_new();

	onnx_input(model, "x", DIMS(0, c, h, w));
	onnx_output(model, "y", DIMS(0));
	return model;
}

/* Odd channel counts, groups, dilation, stride, a Gemm over an image. */
static Onnx__ModelProto *odd_network(void)
{
	Onnx__ModelProto *model = image_network(3, 9, 7);
	Onnx__NodeProto *node;

	onnx_floats(model, "w1", DIMS(9, 3, 3, 2), NULL);
	onnx_floats(model, "b1", DIMS(9), NULL);
	onnx_floats(model, "w2", DIMS(6, 3, 3, 3), NULL);
	onnx_floats(model, "w3", DIMS(6, 1, 3, 3), NULL);
	onnx_floats(model, "w4", DIMS(6 * 5 * 3, 11), NULL);
	onnx_floats(model, "w5", DIMS(5, 11), NULL);
	node = onnx_node(model, "Conv", "x w1 b1", "c1");
	onnx_attr_string(node, "auto_pad", "SAME_UPPER");
	node = onnx_node(model, "Conv", "c1 w2", "c2");
	onnx_attr_int(node, "group", 3);
	onnx_attr_ints(node, "strides", DIMS(2, 2));
	onnx_attr_ints(node, "pads", DIMS(1, 1, 1, 0));
	node = onnx_node(model, "Conv", "c2 w3", "c3");
	onnx_attr_int(node, "group", 6);
	onnx_attr_ints(node, "dilations", DIMS(2, 2));
	onnx_attr_ints(node, "pads", DIMS(2, 2, 2, 2));
	onnx_node(model, "Flatten", "c3", "f");
	onnx_node(model, "Gemm", "f w4", "g");
	onnx_node(model, "Relu", "g", "r");
	node = onnx_node(model, "Gemm", "r w5", "y");
	onnx_attr_int(node, "transB", 1);
	return model;
}

/* Nodes that nothing folds, a pooling at the end, branches that read one tensor. */
static Onnx__ModelProto *loose_network(void)
{
	Onnx__ModelProto *model = image_network(4, 8, 8);
	Onnx__NodeProto *node;

	onnx_floats(model, "one", DIMS(4), (float[]){ 1, 0.5f, -2, 3 });
	onnx_floats(model, "var", DIMS(4), (float[]){ 1, 2, 0.5f, 4 });
	onnx_floats(model, "w", DIMS(4, 4, 1, 1), NULL);
	onnx_node(model, "Relu", "x", "r");
	onnx_node(model, "BatchNormalization", "r one one one var", "n");
	onnx_node(model, "Conv", "n w", "c");
	onnx_node(model, "Add", "n c", "a1");
	onnx_node(model, "Add", "a1 x", "a2");
	onnx_node(model, "Add", "a2 a2", "a3");
	node = onnx_node(model, "AveragePool", "a3", "p");
	onnx_attr_ints(node, "kernel_shape", DIMS(2, 2));
	node = onnx_node(model, "MaxPool", "p", "y");
	onnx_attr_ints(node, "kernel_shape", DIMS(3, 2));
	onnx_attr_ints(node, "strides", DIMS(2, 2));
	return model;
}

/* Slopes and limits behind everything that can have them, and on their own. */
static Onnx__ModelProto *activation_network(void)
{
	Onnx__ModelProto *model = image_network(3, 8, 8);

	onnx_floats(model, "lo", DIMS(1), (float[]){ -0.5f });
	onnx_floats(model, "hi", DIMS(1), (float[]){ 0.75f });
	onnx_floats(model, "w1", DIMS(8, 3, 3, 3), NULL);
	onnx_floats(model, "w2", DIMS(8, 8, 1, 1), NULL);
	onnx_node(model, "LeakyRelu", "x", "l0");
	onnx_attr_ints(onnx_node(model, "Conv", "l0 w1", "c1"), "pads", DIMS(1, 1, 1, 1));
	onnx_attr_float(onnx_node(model, "LeakyRelu", "c1", "l1"), "alpha", 0.3f);
	onnx_node(model, "Clip", "l1 lo hi", "k1");
	onnx_node(model, "Conv", "k1 w2", "c2");
	onnx_node(model, "Add", "k1 c2", "s2");
	onnx_attr_float(onnx_node(model, "LeakyRelu", "s2", "l2"), "alpha", -0.5f);
	onnx_node(model, "Add", "l2 k1", "s3");
	onnx_node(model, "Clip", "s3 lo", "k3");
	onnx_node(model, "GlobalAveragePool", "k3", "p");
	onnx_node(model, "Clip", "p lo hi", "y");
	return model;
}

/* Slopes by channel behind each kind of product, where a tensor is added, and on their own. */
static Onnx__ModelProto *slope_network(void)
{
	Onnx__ModelProto *model = image_network(8, 7, 7);
	Onnx__NodeProto *node;

	onnx_floats(model, "k1", DIMS(8, 1, 1), NULL);
	onnx_floats(model, "k2", DIMS(8, 1, 1), NULL);
	onnx_floats(model, "k3", DIMS(6, 1, 1), NULL);
	onnx_floats(model, "k4", DIMS(12), NULL);
	onnx_floats(model, "w1", DIMS(8, 1, 3, 3), NULL);
	onnx_floats(model, "w2", DIMS(8, 8, 1, 1), NULL);
	onnx_floats(model, "w3", DIMS(8, 6, 3, 3), NULL);
	onnx_floats(model, "w4", DIMS(6, 12), NULL);
	onnx_node(model, "PRelu", "x k1", "p0");
	node = onnx_node(model, "Conv", "p0 w1", "c1");
	onnx_attr_ints(node, "pads", DIMS(1, 1, 1, 1));
	onnx_attr_int(node, "group", 8);
	onnx_node(model, "PRelu", "c1 k1", "p1");
	onnx_node(model, "Conv", "p1 w2", "c2");
	onnx_node(model, "Add", "c2 p1", "s2");
	onnx_node(model, "PRelu", "s2 k2", "p2");
	onnx_attr_ints(onnx_node(model, "ConvTranspose", "p2 w3", "c3"), "strides", DIMS(2, 2));
	onnx_node(model, "PRelu", "c3 k3", "p3");
	onnx_node(model, "GlobalAveragePool", "p3", "g");
	onnx_node(model, "Flatten", "g", "f");
	onnx_node(model, "Gemm", "f w4", "c4");
	onnx_node(model, "PRelu", "c4 k4", "y");
	return model;
}

/* Blocks that add what they read to some of their channels, by one and by three. */
static Onnx__ModelProto *padded_network(void)
{
	Onnx__ModelProto *model = image_network(8, 20, 20);
	Onnx__NodeProto *node;

	onnx_floats(model, "w1", DIMS(16, 8, 1, 1), NULL);
	onnx_floats(model, "k1", DIMS(16, 1, 1), NULL);
	onnx_floats(model, "w2", DIMS(64, 16, 3, 3), NULL);
	onnx_ints(model, "p1", 8, (int64_t[]){ 0, 0, 0, 0, 0, 8, 0, 0 });
	onnx_ints(model, "p2", 8, (int64_t[]){ 0, 24, 0, 0, 0, 24, 0, 0 });
	onnx_node(model, "Relu", "x", "r0");
	onnx_node(model, "Conv", "r0 w1", "c1");
	onnx_node(model, "Pad", "r0 p1", "q1");
	onnx_node(model, "Add", "c1 q1", "s1");
	onnx_node(model, "PRelu", "s1 k1", "r1");
	node = onnx_node(model, "Conv", "r1 w2", "c2");
	onnx_attr_ints(node, "pads", DIMS(1, 1, 1, 1));
	onnx_attr_ints(node, "strides", DIMS(2, 2));
	node = onnx_node(model, "MaxPool", "r1", "m1");
	onnx_attr_ints(node, "kernel_shape", DIMS(2, 2));
	onnx_attr_ints(node, "strides", DIMS(2, 2));
	onnx_node(model, "Pad", "m1 p2", "q2");
	onnx_node(model, "Add", "q2 c2", "s2");
	onnx_node(model, "Relu", "s2", "y");
	return model;
}

static Onnx__ModelProto *matrix_network(void)
{
	Onnx__ModelProto *model = onnx_new();

	onnx_input(model, "x", DIMS(0, 33));
	onnx_output(model, "y", DIMS(0, 7));
	onnx_floats(model, "w1", DIMS(33, 15), NULL);
	onnx_floats(model, "b1", DIMS(15), NULL);
	onnx_floats(model, "w2", DIMS(15, 7), NULL);
	onnx_node(model, "Gemm", "x w1 b1", "g");
	onnx_node(model, "Relu", "g", "r");
	onnx_node(model, "Gemm", "r w2", "y");
	return model;
}

/* Two inputs and outputs; what the CPU computes between, and what lies in something else. */
Onnx__ModelProto *parts_network(void)
{
	Onnx__ModelProto *model = onnx_new();
	Onnx__NodeProto *node;

	onnx_input(model, "x", DIMS(1, 4, 6, 6));
	onnx_input(model, "s", DIMS(1, 1, 6, 6));
	onnx_output(model, "y", DIMS(0));
	onnx_output(model, "z", DIMS(0));
	onnx_floats(model, "w1", DIMS(6, 4, 3, 3), NULL);
	onnx_floats(model, "w2", DIMS(6, 10, 1, 1), NULL);
	onnx_ints(model, "from", 2, (int64_t[]){ 1, 2 });
	onnx_ints(model, "to", 2, (int64_t[]){ 5, 6 });
	onnx_ints(model, "axes", 2, (int64_t[]){ 1, 3 });
	onnx_ints(model, "pads", 8, (int64_t[]){ 0, 0, 1, 0, 0, 0, 1, 2 });
	onnx_attr_ints(onnx_node(model, "Conv", "x w1", "c1"), "pads", DIMS(1, 1, 1, 1));
	onnx_node(model, "Sigmoid", "c1", "g");
	onnx_node(model, "Mul", "c1 g", "m");
	onnx_node(model, "Mul", "m s", "ms");
	onnx_attr_int(onnx_node(model, "Concat", "x ms", "j"), "axis", 1);
	onnx_node(model, "Conv", "j w2", "c2");
	onnx_node(model, "Slice", "c2 from to axes", "p");
	onnx_ints(model, "from4", 1, (int64_t[]){ 0 });
	onnx_ints(model, "to4", 1, (int64_t[]){ 4 });
	onnx_ints(model, "axis4", 1, (int64_t[]){ 3 });
	onnx_node(model, "Slice", "x from4 to4 axis4", "x4");
	onnx_node(model, "Sub", "p x4", "d");
	onnx_node(model, "Pad", "d pads", "y");
	node = onnx_node(model, "LogSoftmax", "c2", "sm");
	onnx_attr_int(node, "axis", 2);
	onnx_floats(model, "w3", DIMS(8, 6, 1, 1), NULL);
	onnx_node(model, "Conv", "sm w3", "c3");
	onnx_attr_int(onnx_node(model, "DepthToSpace", "c3", "z"), "blocksize", 2);
	return model;
}

/* Tokens: channels last, two matrices that are computed, heads that are taken apart. */
Onnx__ModelProto *token_network(void)
{
	Onnx__ModelProto *model = onnx_new();

	onnx_input(model, "x", DIMS(1, 5, 8));
	onnx_output(model, "y", DIMS(0));
	onnx_floats(model, "wq", DIMS(8, 8), NULL);
	onnx_floats(model, "wk", DIMS(8, 8), NULL);
	onnx_floats(model, "b", DIMS(8), NULL);
	onnx_ints(model, "heads", 4, (int64_t[]){ 1, 5, 2, 4 });
	onnx_ints(model, "rows", 3, (int64_t[]){ 1, 5, 8 });
	onnx_node(model, "MatMul", "x wq", "q0");
	onnx_node(model, "Add", "q0 b", "q1");
	onnx_node(model, "MatMul", "x wk", "k0");
	onnx_node(model, "Reshape", "q1 heads", "q2");
	onnx_node(model, "Reshape", "k0 heads", "k2");
	onnx_attr_ints(onnx_node(model, "Transpose", "q2", "q"), "perm", DIMS(0, 2, 1, 3));
	onnx_attr_ints(onnx_node(model, "Transpose", "k2", "k"), "perm", DIMS(0, 2, 3, 1));
	onnx_attr_ints(onnx_node(model, "Transpose", "k2", "v"), "perm", DIMS(0, 2, 1, 3));
	onnx_node(model, "MatMul", "q k", "a");
	onnx_attr_int(onnx_node(model, "Softmax", "a", "p"), "axis", -1);
	onnx_node(model, "MatMul", "p v", "o");
	onnx_attr_ints(onnx_node(model, "Transpose", "o", "o1"), "perm", DIMS(0, 2, 1, 3));
	onnx_node(model, "Reshape", "o1 rows", "o2");
	onnx_floats(model, "wo", DIMS(8, 8), NULL);
	onnx_node(model, "MatMul", "o2 wo", "r");
	onnx_node(model, "Add", "b r", "s");
	onnx_node(model, "Add", "s x", "y");
	return model;
}

/* Transposed convolutions: with groups, with phases that have no tap, cut, dilated. */
static Onnx__ModelProto *transposed_network(void)
{
	Onnx__ModelProto *model = image_network(4, 5, 6);
	Onnx__NodeProto *node;

	onnx_floats(model, "w1", DIMS(4, 6, 3, 4), NULL);
	onnx_floats(model, "b1", DIMS(6), NULL);
	onnx_floats(model, "w2", DIMS(6, 2, 2, 1), NULL);
	onnx_floats(model, "w3", DIMS(4, 1, 3, 3), NULL);
	onnx_floats(model, "w4", DIMS(4, 4, 1, 1), NULL);
	node = onnx_node(model, "ConvTranspose", "x w1 b1", "c1");
	onnx_attr_ints(node, "strides", DIMS(2, 2));
	onnx_attr_ints(node, "pads", DIMS(1, 1, 1, 1));
	onnx_attr_ints(node, "output_padding", DIMS(1, 0));
	onnx_attr_float(onnx_node(model, "LeakyRelu", "c1", "l1"), "alpha", 0.3f);
	node = onnx_node(model, "ConvTranspose", "l1 w2", "c2");
	onnx_attr_int(node, "group", 2);
	onnx_attr_ints(node, "strides", DIMS(3, 2));
	node = onnx_node(model, "ConvTranspose", "c2 w3", "c3");
	onnx_attr_int(node, "group", 4);
	onnx_attr_ints(node, "strides", DIMS(2, 3));
	onnx_attr_ints(node, "dilations", DIMS(2, 1));
	onnx_attr_ints(node, "pads", DIMS(5, 3, 4, 3));
	onnx_node(model, "Conv", "c3 w4", "y");
	return model;
}

static void resize(Onnx__ModelProto *model, const char *inputs, const char *output,
		   const char *mode, const char *coordinates)
{
	Onnx__NodeProto *node = onnx_node(model, "Resize", inputs, output);

	onnx_attr_string(node, "mode", mode);
	onnx_attr_string(node, "coordinate_transformation_mode", coordinates);
}

/* Twice and thrice the size, half of it, and of every third a single one. */
static Onnx__ModelProto *resize_network(void)
{
	Onnx__ModelProto *model = image_network(3, 6, 5);

	onnx_floats(model, "none", DIMS(0), (float[]){ 0 });
	onnx_floats(model, "twice", DIMS(4), (float[]){ 1, 1, 2, 2 });
	onnx_floats(model, "thrice", DIMS(4), (float[]){ 1, 1, 3, 1 });
	onnx_floats(model, "half", DIMS(4), (float[]){ 1, 1, 0.5f, 0.5f });
	onnx_floats(model, "third", DIMS(4), (float[]){ 1, 1, 1.0f / 3, 1 });
	onnx_floats(model, "w", DIMS(5, 3, 3, 3), NULL);
	resize(model, "x none twice", "r1", "linear", "half_pixel");
	onnx_node(model, "Conv", "r1 w", "c");
	resize(model, "c none thrice", "r2", "linear", "half_pixel");
	resize(model, "r2 none twice", "r3", "linear", "asymmetric");
	resize(model, "r3 none half", "r4", "linear", "pytorch_half_pixel");
	resize(model, "r4 none third", "y", "nearest", "half_pixel");
	return model;
}

/* Sums of more products than a command adds up, of images and of rows, with a tensor added. */
Onnx__ModelProto *long_network(void)
{
	Onnx__ModelProto *model = image_network(130, 16, 16);

	onnx_floats(model, "w1", DIMS(4, 130, 16, 16), NULL);
	onnx_floats(model, "b1", DIMS(4), NULL);
	onnx_floats(model, "w2", DIMS(33280, 4), NULL);
	onnx_floats(model, "b2", DIMS(4), NULL);
	onnx_floats(model, "w3", DIMS(4, 3), NULL);
	onnx_node(model, "Conv", "x w1 b1", "c");
	onnx_node(model, "Relu", "c", "r1");
	onnx_node(model, "Flatten", "r1", "f1");
	onnx_node(model, "Flatten", "x", "f2");
	onnx_node(model, "Gemm", "f2 w2 b2", "g");
	onnx_node(model, "Add", "g f1", "a");
	onnx_node(model, "Relu", "a", "r2");
	onnx_node(model, "Gemm", "r2 w3", "y");
	return model;
}

/* Elements that change places: of any axes, gathered, repeated. */
static Onnx__ModelProto *moves_network(void)
{
	Onnx__ModelProto *model = image_network(6, 4, 5);

	onnx_floats(model, "w1", DIMS(6, 6, 3, 3), NULL);
	onnx_floats(model, "w2", DIMS(4, 15, 1, 1), NULL);
	onnx_floats(model, "w3", DIMS(5, 5), NULL);
	onnx_ints(model, "groups", 5, (int64_t[]){ 1, 2, 3, 4, 5 });
	onnx_ints(model, "image", 4, (int64_t[]){ 1, 6, 4, 5 });
	onnx_ints(model, "some", 4, (int64_t[]){ 4, 5, 0, 2 });
	onnx_ints(model, "last", 1, (int64_t[]){ 3 })->n_dims = 0;
	onnx_ints(model, "twice", 4, (int64_t[]){ 1, 1, 1, 2 });
	onnx_ints(model, "all", 4, (int64_t[]){ 1, 5, 4, 10 });
	onnx_attr_ints(onnx_node(model, "Conv", "x w1", "c1"), "pads", DIMS(1, 1, 1, 1));
	onnx_node(model, "Reshape", "c1 groups", "g1");
	onnx_attr_ints(onnx_node(model, "Transpose", "g1", "t"), "perm", DIMS(0, 2, 1, 3, 4));
	onnx_node(model, "Reshape", "t image", "g2");
	onnx_attr_int(onnx_node(model, "Gather", "c1 some", "g3"), "axis", 1);
	onnx_attr_int(onnx_node(model, "Concat", "g2 g3", "j1"), "axis", 1);
	onnx_node(model, "Tile", "j1 twice", "r");
	onnx_node(model, "GlobalAveragePool", "x", "p");
	onnx_ints(model, "five", 5, (int64_t[]){ 0, 1, 2, 3, 4 });
	onnx_attr_int(onnx_node(model, "Gather", "p five", "p5"), "axis", 1);
	onnx_node(model, "Expand", "p5 all", "e");
	onnx_attr_int(onnx_node(model, "Concat", "r e", "j2"), "axis", 1);
	onnx_ints(model, "frame", 8, (int64_t[]){ 0, 0, 1, 0, 0, 0, 0, 2 });
	onnx_attr_string(onnx_node(model, "Pad", "j2 frame", "f"), "mode", "reflect");
	onnx_node(model, "Conv", "f w2", "c2");
	onnx_attr_int(onnx_node(model, "Gather", "g1 last", "q"), "axis", 3);
	onnx_node(model, "MatMul", "q w3", "z");
	onnx_node(model, "Mul", "c2 c2", "y");
	onnx_output(model, "z", DIMS(0));
	return model;
}

/* Constants beside what is computed: positions, a grid by pixel, channels that are joined. */
static Onnx__ModelProto *constants_network(void)
{
	Onnx__ModelProto *model = image_network(5, 4, 6);

	onnx_floats(model, "w1", DIMS(5, 5, 1, 1), NULL);
	onnx_floats(model, "w2", DIMS(4, 8, 3, 3), NULL);
	onnx_floats(model, "whole", DIMS(1, 5, 4, 6), NULL);
	onnx_floats(model, "grid", DIMS(1, 1, 4, 6), NULL);
	onnx_floats(model, "three", DIMS(1, 3, 4, 6), NULL);
	onnx_node(model, "Conv", "x w1", "c1");
	onnx_node(model, "Add", "c1 whole", "a");
	onnx_node(model, "Mul", "a grid", "m");
	onnx_attr_int(onnx_node(model, "Concat", "three m", "j"), "axis", 1);
	onnx_node(model, "Conv", "j w2", "y");
	return model;
}

/* Normalised by channel, by groups of channels, by pixel; Softmax and a maximum over channels. */
static Onnx__ModelProto *norms_network(void)
{
	Onnx__ModelProto *model = image_network(4, 7, 6);
	Onnx__NodeProto *node;

	model->opset_import[0]->version = 21;
	onnx_floats(model, "w1", DIMS(6, 4, 3, 3), NULL);
	onnx_floats(model, "w2", DIMS(6, 6, 1, 1), NULL);
	onnx_floats(model, "w3", DIMS(5, 6, 1, 1), NULL);
	onnx_floats(model, "s", DIMS(6), NULL);
	onnx_floats(model, "b", DIMS(6), NULL);
	onnx_ints(model, "channels", 1, (int64_t[]){ 1 });
	onnx_node(model, "Conv", "x w1", "c1");
	onnx_node(model, "InstanceNormalization", "c1 s b", "i");
	onnx_node(model, "Relu", "i", "r");
	onnx_node(model, "Conv", "r w2", "c2");
	node = onnx_node(model, "GroupNormalization", "c2 s b", "g");
	onnx_attr_int(node, "num_groups", 3);
	onnx_node(model, "Mish", "g", "m");
	onnx_attr_int(onnx_node(model, "Softmax", "m", "p"), "axis", 1);
	onnx_attr_ints(onnx_node(model, "Transpose", "p", "t"), "perm", DIMS(0, 2, 3, 1));
	onnx_node(model, "LayerNormalization", "t s b", "l");
	onnx_attr_ints(onnx_node(model, "Transpose", "l", "u"), "perm", DIMS(0, 3, 1, 2));
	onnx_node(model, "ReduceMax", "u channels", "top");
	onnx_node(model, "Mul", "m top", "q");
	onnx_node(model, "Conv", "q w3", "y");
	return model;
}

/* Windows of tokens: products that are spelled out, what is added to each head and window. */
static Onnx__ModelProto *window_network(void)
{
	Onnx__ModelProto *model = onnx_new();

	onnx_input(model, "x", DIMS(1, 4, 6, 8));
	onnx_output(model, "y", DIMS(0));
	onnx_ints(model, "windows", 6, (int64_t[]){ 1, 2, 2, 2, 3, 8 });
	onnx_ints(model, "heads", 5, (int64_t[]){ 4, 6, 3, 2, 4 });
	onnx_ints(model, "tokens", 3, (int64_t[]){ 4, 6, 8 });
	onnx_ints(model, "image", 4, (int64_t[]){ 1, 4, 6, 8 });
	onnx_floats(model, "w", DIMS(8, 24), NULL);
	onnx_floats(model, "bias", DIMS(1, 2, 6, 6), NULL);
	onnx_floats(model, "mask", DIMS(4, 1, 6, 6), NULL);
	onnx_floats(model, "places", DIMS(1, 4, 6, 8), NULL);
	onnx_node(model, "Add", "x places", "a");
	onnx_node(model, "Reshape", "a windows", "a1");
	onnx_attr_ints(onnx_node(model, "Transpose", "a1", "a2"), "perm", DIMS(0, 1, 3, 2, 4, 5));
	onnx_node(model, "Reshape", "a2 tokens", "a3");
	onnx_node(model, "MatMul", "a3 w", "h0");
	onnx_node(model, "Reshape", "h0 heads", "h1");
	onnx_attr_ints(onnx_node(model, "Transpose", "h1", "h"), "perm", DIMS(2, 0, 3, 1, 4));
	for (int64_t i = 0; i < 3; i++) {
		static const char *const inputs[] = { "h iq", "h ik", "h iv" };
		const char *index = inputs[i] + 2;

		onnx_ints(model, index, 1, &i)->n_dims = 0;
		onnx_node(model, "Gather", inputs[i], index + 1);
	}
	onnx_attr_string(onnx_node(model, "Einsum", "q k", "s"), "equation", "whqd,whkd->whqk");
	onnx_node(model, "Add", "s bias", "s1");
	onnx_node(model, "Add", "s1 mask", "s2");
	onnx_attr_int(onnx_node(model, "Softmax", "s2", "p"), "axis", -1);
	onnx_attr_string(onnx_node(model, "Einsum", "p v", "o"), "equation", "whqk,whkd->wqhd");
	onnx_node(model, "Reshape", "o windows", "o1");
	onnx_attr_ints(onnx_node(model, "Transpose", "o1", "o2"), "perm", DIMS(0, 1, 3, 2, 4, 5));
	onnx_node(model, "Reshape", "o2 image", "o3");
	onnx_node(model, "Add", "a o3", "y");
	return model;
}

network_function *const networks[NETWORKS] = {
	onnx_resnet, odd_network, loose_network, matrix_network, activation_network, slope_network,
	padded_network, parts_network, token_network, transposed_network, resize_network, long_network,
	moves_network, constants_network, norms_network, window_network,
};

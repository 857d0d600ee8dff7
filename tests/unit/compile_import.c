// SPDX-License-Identifier: MIT
/* The ONNX importer: what it takes, what it makes of it, and how it refuses the rest. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "onnx.h"
#include "unit/compile_tests.h"
#include "unit/onnx_builder.h"

static struct xrnpe_error error;

/* Import and free @model. Returns NULL with the error in @error. */
static struct xrnpe_graph *take(Onnx__ModelProto *model, bool fold)
{
	struct xrnpe_graph *graph = NULL;
	size_t size;
	uint8_t *data = onnx_pack(model, &size);
	int ret;

	memset(&error, 0, sizeof(error));
	ret = fold ? xrnpe_graph_parse("m.onnx", data, size, &graph, &error) :
		     onnx_import("m.onnx", data, size, &graph, &error);
	ck_assert_int_eq(ret, error.code);
	ck_assert_int_eq(ret != 0, graph == NULL);
	onnx_free(model);
	free(data);
	return graph;
}

/* Refused with @code, and the message is @message. */
static void refuse(Onnx__ModelProto *model, int code, const char *message)
{
	ck_assert_ptr_null(take(model, true));
	ck_assert_str_eq(error.message, message);
	ck_assert_int_eq(error.code, code);
}

/* input x of 1 x @c x @h x @w, one node, output y. */
static Onnx__ModelProto *one(const char *op, const char *inputs, int64_t c, int64_t h, int64_t w,
			     Onnx__NodeProto **node)
{
	Onnx__ModelProto *model = onnx_new();

	onnx_input(model, "x", DIMS(1, c, h, w));
	onnx_output(model, "y", DIMS(1, 1, 1, 1));
	*node = onnx_node(model, op, inputs, "y");
	return model;
}

static Onnx__ModelProto *conv(int64_t c, int64_t size, int64_t out_c, int64_t k,
			      Onnx__NodeProto **node)
{
	Onnx__ModelProto *model = one("Conv", "x w", c, size, size, node);

	onnx_floats(model, "w", DIMS(out_c, c, k, k), NULL);
	return model;
}

START_TEST(resnet_folds)
{
	static const struct {
		enum graph_op op;
		const char *name, *op_names;
		uint32_t inputs, input[2];
		struct graph_shape shape;
	} expected[] = {
		{ GRAPH_INPUT, "image", "Input", 0, { 0 }, { 1, 12, 12 } },
		{ GRAPH_CONV, "n_c1", "Conv+BatchNormalization+Relu", 1, { 0 }, { 8, 12, 12 } },
		{ GRAPH_MAXPOOL, "n_p1", "MaxPool", 1, { 1 }, { 8, 6, 6 } },
		{ GRAPH_CONV, "n_c2", "Conv+BatchNormalization+Relu", 1, { 2 }, { 16, 3, 3 } },
		{ GRAPH_CONV, "n_c3", "Conv+BatchNormalization", 1, { 3 }, { 16, 3, 3 } },
		{ GRAPH_CONV, "n_cs", "Conv+BatchNormalization+Add+Relu", 2, { 2, 4 }, { 16, 3, 3 } },
		{ GRAPH_AVGPOOL, "n_g", "GlobalAveragePool", 1, { 5 }, { 16, 1, 1 } },
		{ GRAPH_CONV, "n_logits", "Gemm", 1, { 6 }, { 10, 1, 1 } },
	};
	struct xrnpe_graph *graph = take(onnx_resnet(), true);

	ck_assert_ptr_nonnull(graph);
	ck_assert_uint_eq(graph->count, sizeof(expected) / sizeof(expected[0]));
	for (uint32_t i = 0; i < graph->count; i++) {
		const struct graph_node *node = &graph->nodes[i];

		ck_assert_int_eq(node->op, expected[i].op);
		ck_assert_str_eq(node->name, expected[i].name);
		ck_assert_str_eq(node->op_names, expected[i].op_names);
		ck_assert_uint_eq(node->inputs, expected[i].inputs);
		for (uint32_t k = 0; k < node->inputs; k++)
			ck_assert_uint_eq(node->input[k], expected[i].input[k]);
		ck_assert(graph_shape_equal(&node->shape, &expected[i].shape));
	}
	ck_assert_uint_eq(graph->output, 7);
	ck_assert_str_eq(graph->input_info.name, "image");
	ck_assert_uint_eq(graph->input_info.rank, 3);
	ck_assert_str_eq(graph->output_info.name, "logits");
	ck_assert_uint_eq(graph->output_info.rank, 1);
	ck_assert_uint_eq(graph->output_info.count, 10);
	/* Weights, and a bias for each output channel of each convolution. */
	ck_assert_uint_eq(xrnpe_graph_bytes(graph),
			  4 * (72 + 1152 + 2304 + 128 + 160 + 8 + 16 + 16 + 16 + 10));
	ck_assert_uint_eq(graph_node_macs(graph, &graph->nodes[3]), 9 * 16 * 72);
	ck_assert_uint_eq(graph_node_macs(graph, &graph->nodes[6]), 9 * 16);
	xrnpe_graph_free(graph);
}
END_TEST

/* An addition becomes part of a convolution that nothing else reads and that comes last. */
START_TEST(additions_fold)
{
	static const struct {
		const char *sum;	/* inputs of an Add behind c = Conv(x) and d = Conv(c) */
		const char *then;	/* inputs of another behind that, or NULL */
		uint32_t adds;		/* left */
	} cases[] = {
		{ "d x", NULL, 0 }, { "x d", NULL, 0 }, { "c d", NULL, 0 },
		{ "c x", NULL, 0 },
		{ "d d", NULL, 1 },
		{ "d x", "d s", 2 },	/* d is read twice */
		{ "d x", "s c", 1 },	/* d adds one thing, not two */
		{ "r x", NULL, 1 },		/* an activation comes between */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		Onnx__ModelProto *model = onnx_new();
		struct xrnpe_graph *graph;
		uint32_t adds = 0;

		onnx_input(model, "x", DIMS(1, 2, 3, 3));
		onnx_output(model, cases[i].then ? "y" : "s", DIMS(1, 2, 3, 3));
		onnx_floats(model, "w", DIMS(2, 2, 1, 1), NULL);
		onnx_node(model, "Conv", "x w", "c");
		onnx_node(model, "Conv", "c w", "d");
		onnx_node(model, "Relu", "d", "r");
		onnx_node(model, "Add", cases[i].sum, "s");
		if (cases[i].then)
			onnx_node(model, "Add", cases[i].then, "y");
		graph = take(model, true);
		ck_assert_ptr_nonnull(graph);
		for (uint32_t n = 0; n < graph->count; n++)
			adds += graph->nodes[n].op == GRAPH_ADD;
		ck_assert_msg(adds == cases[i].adds, "case %zu: %u additions are left", i, adds);
		xrnpe_graph_free(graph);
	}
}
END_TEST

/* Sizes along one axis: in, kernel, stride, dilation, pads, ceil, and the result. */
static const struct {
	const char *op, *auto_pad;
	int64_t in, kernel, stride, dilation, begin, end, ceil;
	uint32_t out, pad;
} windows[] = {
	{ "Conv", NULL, 7, 3, 1, 1, 0, 0, 0, 5, 0 },
	{ "Conv", NULL, 7, 3, 2, 1, 1, 1, 0, 4, 1 },
	{ "Conv", NULL, 8, 3, 2, 1, 1, 1, 0, 4, 1 },
	{ "Conv", NULL, 8, 3, 1, 2, 0, 2, 0, 6, 0 },
	{ "Conv", NULL, 3, 3, 9, 1, 0, 0, 0, 1, 0 },
	{ "Conv", "NOTSET", 7, 2, 1, 1, 3, 0, 0, 9, 3 },
	{ "Conv", "VALID", 7, 3, 2, 1, 0, 0, 0, 3, 0 },
	{ "Conv", "SAME_UPPER", 7, 2, 1, 1, 0, 0, 0, 7, 0 },
	{ "Conv", "SAME_LOWER", 7, 2, 1, 1, 0, 0, 0, 7, 1 },
	{ "Conv", "SAME_UPPER", 8, 3, 2, 1, 0, 0, 0, 4, 0 },
	{ "Conv", "SAME_LOWER", 8, 3, 2, 1, 0, 0, 0, 4, 1 },
	{ "Conv", "SAME_UPPER", 5, 1, 3, 1, 0, 0, 0, 2, 0 },
	{ "MaxPool", NULL, 7, 2, 2, 1, 0, 0, 0, 3, 0 },
	{ "MaxPool", NULL, 7, 2, 2, 1, 0, 0, 1, 4, 0 },
	{ "MaxPool", NULL, 6, 3, 2, 1, 1, 1, 1, 4, 1 },
	/* The last window would start behind the image. */
	{ "MaxPool", NULL, 6, 2, 3, 1, 1, 1, 1, 3, 1 },
	{ "MaxPool", NULL, 5, 2, 3, 1, 0, 1, 1, 2, 0 },
	{ "AveragePool", NULL, 8, 2, 2, 1, 0, 0, 0, 4, 0 },
};

START_TEST(window_sizes)
{
	bool has_weight = !strcmp(windows[_i].op, "Conv");
	int64_t k = windows[_i].kernel, s = windows[_i].stride, d = windows[_i].dilation;
	struct xrnpe_graph *graph;
	Onnx__NodeProto *node;
	Onnx__ModelProto *model = one(windows[_i].op, has_weight ? "x w" : "x", 2, windows[_i].in,
				      windows[_i].in, &node);

	if (has_weight)
		onnx_floats(model, "w", DIMS(3, 2, k, k), NULL);
	else
		onnx_attr_ints(node, "kernel_shape", DIMS(k, k));
	onnx_attr_ints(node, "strides", DIMS(s, s));
	if (strcmp(windows[_i].op, "AveragePool"))
		onnx_attr_ints(node, "dilations", DIMS(d, d));
	if (windows[_i].auto_pad)
		onnx_attr_string(node, "auto_pad", windows[_i].auto_pad);
	if (windows[_i].begin || windows[_i].end)
		onnx_attr_ints(node, "pads", DIMS(windows[_i].begin, windows[_i].begin,
						  windows[_i].end, windows[_i].end));
	if (!has_weight)
		onnx_attr_int(node, "ceil_mode", windows[_i].ceil);
	graph = take(model, true);
	ck_assert_msg(graph, "%s", error.message);
	ck_assert_uint_eq(graph->nodes[1].shape.h, windows[_i].out);
	ck_assert_uint_eq(graph->nodes[1].shape.w, windows[_i].out);
	ck_assert_uint_eq(graph->nodes[1].window.pad_top, windows[_i].pad);
	ck_assert_uint_eq(graph->nodes[1].window.pad_left, windows[_i].pad);
	xrnpe_graph_free(graph);
}
END_TEST

START_TEST(rectangular_windows)
{
	Onnx__NodeProto *node;
	Onnx__ModelProto *model = one("Conv", "x w b", 2, 9, 6, &node);
	struct xrnpe_graph *graph;

	onnx_floats(model, "w", DIMS(4, 1, 3, 2), NULL);
	onnx_floats(model, "b", DIMS(4), NULL);
	onnx_attr_int(node, "group", 2);
	onnx_attr_ints(node, "kernel_shape", DIMS(3, 2));
	onnx_attr_ints(node, "strides", DIMS(2, 1));
	onnx_attr_ints(node, "dilations", DIMS(1, 3));
	onnx_attr_ints(node, "pads", DIMS(1, 2, 0, 1));
	graph = take(model, true);
	ck_assert_msg(graph, "%s", error.message);
	ck_assert_uint_eq(graph->nodes[1].shape.h, 4);	/* (9 + 1 + 0 - 3) / 2 + 1 */
	ck_assert_uint_eq(graph->nodes[1].shape.w, 6);	/* 6 + 2 + 1 - 4 + 1 */
	ck_assert_uint_eq(graph->nodes[1].groups, 2);
	ck_assert_uint_eq(graph->nodes[1].window.pad_top, 1);
	ck_assert_uint_eq(graph->nodes[1].window.pad_left, 2);
	ck_assert_uint_eq(graph->nodes[1].window.dilation_w, 3);
	ck_assert_uint_eq(graph_node_macs(graph, &graph->nodes[1]), 4 * 4 * 6 * 6);
	xrnpe_graph_free(graph);
}
END_TEST

START_TEST(passes_through)
{
	Onnx__ModelProto *model = onnx_new();
	Onnx__NodeProto *node;
	struct xrnpe_graph *graph;

	onnx_input(model, "x", DIMS(5, 2, 3, 3));
	onnx_output(model, "y", DIMS(5, 4));
	/* The old way lists initializers among the inputs. */
	onnx_input(model, "w", DIMS(4, 18));
	onnx_floats(model, "w", DIMS(4, 18), NULL);
	onnx_node(model, "Identity", "w", "w2");
	node = onnx_node(model, "Constant", "", "shape");
	node->attribute = malloc(sizeof(*node->attribute));
	node->attribute[0] = malloc(sizeof(**node->attribute));
	onnx__attribute_proto__init(node->attribute[0]);
	node->n_attribute = 1;
	node->attribute[0]->name = strdup("value");
	node->attribute[0]->t = onnx_ints(model, "spare", DIMS(5, -1));
	model->graph->n_initializer--;
	onnx_node(model, "Identity", "x", "i");
	onnx_node(model, "Dropout", "i", "d");
	onnx_node(model, "Reshape", "d shape", "f");
	node = onnx_node(model, "Gemm", "f w2", "y");
	onnx_attr_int(node, "transB", 1);
	graph = take(model, true);
	ck_assert_msg(graph, "%s", error.message);
	/* One convolution whose kernel covers the image. */
	ck_assert_uint_eq(graph->count, 2);
	ck_assert_int_eq(graph->nodes[1].op, GRAPH_CONV);
	ck_assert_uint_eq(graph->nodes[1].window.kernel_h, 3);
	ck_assert_uint_eq(graph->nodes[1].window.kernel_w, 3);
	ck_assert_uint_eq(graph->output_info.rank, 1);
	xrnpe_graph_free(graph);
}
END_TEST

START_TEST(dead_nodes_go)
{
	Onnx__ModelProto *model = onnx_new();
	struct xrnpe_graph *graph;

	onnx_input(model, "x", DIMS(1, 2, 3, 3));
	onnx_output(model, "y", DIMS(1, 2, 3, 3));
	onnx_node(model, "Relu", "x", "unused");
	onnx_node(model, "Relu", "x", "y");
	onnx_node(model, "Relu", "y", "after");
	graph = take(model, true);
	ck_assert_msg(graph, "%s", error.message);
	ck_assert_uint_eq(graph->count, 2);
	ck_assert_uint_eq(graph->output, 1);
	ck_assert_str_eq(graph->nodes[1].name, "n_y");
	xrnpe_graph_free(graph);
}
END_TEST

START_TEST(names_and_counts)
{
	Onnx__NodeProto *node;
	Onnx__ModelProto *model;

	refuse(one("Softmax", "x", 1, 2, 2, &node), -ENOTSUP,
	       "m.onnx: node n_y (Softmax): operator is not supported");

	model = one("Relu", "x", 1, 2, 2, &node);
	node->domain = strdup("com.example");
	refuse(model, -ENOTSUP, "m.onnx: node n_y (Relu): operator is not one of ONNX itself");

	model = one("Sigmoid", "x", 1, 2, 2, &node);
	free(node->name);
	node->name = NULL;
	refuse(model, -ENOTSUP, "m.onnx: node y (Sigmoid): operator is not supported");

	refuse(one("Relu", "x x", 1, 2, 2, &node), -EINVAL,
	       "m.onnx: node n_y (Relu): has 2 inputs");

	model = one("LeakyRelu", "x", 1, 2, 2, &node);
	onnx_attr_float(node, "alpha", INFINITY);
	refuse(model, -EINVAL, "m.onnx: node n_y (LeakyRelu): attribute alpha is not finite");

	model = one("Clip", "x", 1, 2, 2, &node);
	onnx_attr_float(node, "min", 2);
	onnx_attr_float(node, "max", 1.5f);
	refuse(model, -EINVAL, "m.onnx: node n_y (Clip): min 2 is above max 1.5");
	refuse(one("Clip", "x x", 1, 2, 2, &node), -ENOTSUP,
	       "m.onnx: node n_y (Clip): min x is computed, not constant");

	/* A cycle: what it reads is defined only later, or by itself. */
	refuse(one("Add", "x y", 1, 2, 2, &node), -EINVAL,
	       "m.onnx: node n_y (Add): input y is not defined by a node before it");

	model = one("Relu", "x", 1, 2, 2, &node);
	onnx_node(model, "Relu", "x", "y");
	refuse(model, -EINVAL, "m.onnx: tensor y is defined twice");

	model = one("Relu", "x", 1, 2, 2, &node);
	free(model->graph->output[0]->name);
	model->graph->output[0]->name = strdup("z\n");
	refuse(model, -EINVAL, "m.onnx: output z? is not computed");

	model = one("Relu", "x", 1, 2, 2, &node);
	free(model->graph->output[0]->name);
	model->graph->output[0]->name = strdup("x");
	refuse(model, -ENOTSUP, "m.onnx: the output is the input");

	model = one("Relu", "x", 1, 2, 2, &node);
	onnx_output(model, "x", DIMS(1));
	refuse(model, -ENOTSUP, "m.onnx: has 2 outputs, not 1");

	model = one("Relu", "x", 1, 2, 2, &node);
	onnx_input(model, "x2", DIMS(1, 1, 1, 1));
	refuse(model, -ENOTSUP, "m.onnx: has more than one input");

	model = one("Relu", "x", 1, 2, 2, &node);
	model->opset_import[0]->version = 6;
	refuse(model, -ENOTSUP, "m.onnx: uses operator set 6; supported is 7 and later");
}
END_TEST

START_TEST(input_types)
{
	Onnx__NodeProto *node;
	Onnx__ModelProto *model;

	model = one("Relu", "x", 1, 2, 2, &node);
	model->graph->input[0]->type->tensor_type->elem_type =
		ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE;
	refuse(model, -ENOTSUP, "m.onnx: input x is not a float tensor");

	refuse(one("Relu", "x", 1, 0, 2, &node), -ENOTSUP,
	       "m.onnx: input x: dimension 2 is not fixed in 1..65535");
	refuse(one("Relu", "x", -4, 1, 2, &node), -ENOTSUP,
	       "m.onnx: input x: dimension 1 is not fixed in 1..65535");
	refuse(one("Relu", "x", 65535, 65535, 65535, &node), -ENOTSUP,
	       "m.onnx: input x is too large");

	model = onnx_new();
	onnx_input(model, "x", DIMS(1, 2, 3));
	onnx_output(model, "y", DIMS(1));
	onnx_node(model, "Relu", "x", "y");
	refuse(model, -ENOTSUP,
	       "m.onnx: input x is not of rank 4 (batch, channels, height, width) or 2");
}
END_TEST

START_TEST(bad_constants)
{
	Onnx__StringStringEntryProto *entry;
	Onnx__NodeProto *node;
	Onnx__ModelProto *model;
	Onnx__TensorProto *w;

	refuse(one("Conv", "x w", 2, 5, 5, &node), -EINVAL,
	       "m.onnx: node n_y (Conv): weight w is not defined");
	refuse(one("Conv", "x x", 2, 5, 5, &node), -ENOTSUP,
	       "m.onnx: node n_y (Conv): weight x is computed, not constant");

	model = conv(2, 5, 3, 3, &node);
	model->graph->initializer[0]->dims[0] = 4;
	refuse(model, -EINVAL, "m.onnx: node n_y (Conv): constant w holds not as many elements "
	       "as its dimensions say");

	/* 2^63 and more elements, in steps that a product in 64 bits would not notice. */
	model = conv(2, 5, 3, 3, &node);
	w = model->graph->initializer[0];
	w->dims[1] = INT64_MAX;
	refuse(model, -EINVAL, "m.onnx: node n_y (Conv): weight takes 9223372036854775807 "
	       "channels a group, the input has 2 in 1 groups");
	model = one("BatchNormalization", "x s s s s", 2, 5, 5, &node);
	w = onnx_floats(model, "s", DIMS(2), NULL);
	free(w->dims);
	w->n_dims = 3;
	w->dims = malloc(3 * sizeof(*w->dims));
	w->dims[0] = w->dims[1] = INT64_C(1) << 32;
	w->dims[2] = 2;
	refuse(model, -EINVAL, "m.onnx: node n_y (BatchNormalization): constant s has impossible "
	       "dimensions");

	model = conv(2, 5, 3, 3, &node);
	model->graph->initializer[0]->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE;
	refuse(model, -ENOTSUP,
	       "m.onnx: node n_y (Conv): constant w has element type 11, not 1");

	model = conv(2, 5, 3, 3, &node);
	model->graph->initializer[0]->has_data_location = 1;
	model->graph->initializer[0]->data_location =
		ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
	refuse(model, -ENOTSUP, "m.onnx: node n_y (Conv): constant w lies outside the file");

	model = conv(2, 5, 3, 3, &node);
	entry = malloc(sizeof(*entry));
	onnx__string_string_entry_proto__init(entry);
	entry->key = strdup("location");
	entry->value = strdup("../../etc/passwd");
	w = model->graph->initializer[0];
	w->external_data = malloc(sizeof(*w->external_data));
	w->external_data[0] = entry;
	w->n_external_data = 1;
	refuse(model, -ENOTSUP, "m.onnx: node n_y (Conv): constant w lies outside the file");

	model = conv(2, 5, 3, 3, &node);
	((float *)(void *)model->graph->initializer[0]->raw_data.data)[3] = NAN;
	refuse(model, -EINVAL, "m.onnx: node n_y (Conv): weight holds a value that is not finite");
}
END_TEST

START_TEST(bad_conv)
{
	Onnx__NodeProto *node;
	Onnx__ModelProto *model;

	model = conv(2, 5, 3, 3, &node);
	onnx_attr_int(node, "group", 2);
	refuse(model, -EINVAL, "m.onnx: node n_y (Conv): weight takes 2 channels a group, the "
	       "input has 2 in 2 groups");
	refuse(conv(2, 2, 3, 3, &node), -EINVAL,
	       "m.onnx: node n_y (Conv): kernel of 3 does not fit the input of 2");
	model = conv(2, 5, 3, 3, &node);
	onnx_attr_ints(node, "strides", DIMS(0, 1));
	refuse(model, -ENOTSUP,
	       "m.onnx: node n_y (Conv): attribute strides holds 0; supported is 1 to 255");
	model = conv(2, 5, 3, 3, &node);
	onnx_attr_ints(node, "pads", DIMS(-1, 0, 0, 0));
	refuse(model, -ENOTSUP,
	       "m.onnx: node n_y (Conv): attribute pads holds -1; supported is 0 to 255");
	model = conv(2, 5, 3, 3, &node);
	onnx_attr_ints(node, "dilations", DIMS(INT64_MAX, 1));
	refuse(model, -ENOTSUP, "m.onnx: node n_y (Conv): attribute dilations holds 2147483647; "
	       "supported is 1 to 255");
	model = conv(2, 5, 3, 3, &node);
	onnx_attr_ints(node, "pads", DIMS(1, 1));
	refuse(model, -ENOTSUP,
	       "m.onnx: node n_y (Conv): attribute pads has 2 elements, not 4");
	model = conv(2, 5, 3, 3, &node);
	onnx_attr_ints(node, "kernel_shape", DIMS(3, 5));
	refuse(model, -EINVAL,
	       "m.onnx: node n_y (Conv): attribute kernel_shape contradicts the weights");
	model = conv(2, 5, 3, 3, &node);
	onnx_attr_int(node, "strides", 1);
	refuse(model, -EINVAL,
	       "m.onnx: node n_y (Conv): attribute strides is not a list of integers");
	model = conv(2, 5, 3, 3, &node);
	onnx_attr_int(node, "flavour", 1);
	refuse(model, -ENOTSUP, "m.onnx: node n_y (Conv): attribute flavour is not supported");
	model = conv(2, 5, 3, 3, &node);
	onnx_attr_int(node, "group", 1);
	onnx_attr_int(node, "group", 1);
	refuse(model, -EINVAL, "m.onnx: node n_y (Conv): attribute group is given twice");
	model = conv(2, 5, 3, 3, &node);
	onnx_attr_string(node, "auto_pad", "SAME");
	refuse(model, -EINVAL, "m.onnx: node n_y (Conv): attribute auto_pad is malformed");
}
END_TEST

START_TEST(bad_others)
{
	Onnx__NodeProto *node;
	Onnx__ModelProto *model;

	refuse(one("MaxPool", "x", 2, 5, 5, &node), -EINVAL,
	       "m.onnx: node n_y (MaxPool): attribute kernel_shape is missing");
	model = one("MaxPool", "x", 2, 5, 5, &node);
	onnx_attr_ints(node, "kernel_shape", DIMS(2, 2));
	onnx_attr_ints(node, "pads", DIMS(2, 2, 2, 2));
	refuse(model, -ENOTSUP,
	       "m.onnx: node n_y (MaxPool): a window lies in the padding altogether");
	model = one("AveragePool", "x", 2, 5, 5, &node);
	onnx_attr_ints(node, "kernel_shape", DIMS(3, 3));
	onnx_attr_ints(node, "pads", DIMS(1, 1, 1, 1));
	refuse(model, -ENOTSUP,
	       "m.onnx: node n_y (AveragePool): padding that does not count is not supported");

	model = one("BatchNormalization", "x s s s s", 2, 5, 5, &node);
	onnx_floats(model, "s", DIMS(2), (float[]){ 1, -1 });
	refuse(model, -EINVAL, "m.onnx: node n_y (BatchNormalization): variance of channel 1 is "
	       "negative or zero");
	model = one("BatchNormalization", "x s s s s", 2, 5, 5, &node);
	onnx_floats(model, "s", DIMS(3), NULL);
	refuse(model, -EINVAL,
	       "m.onnx: node n_y (BatchNormalization): scale has 3 elements, not 2");
	model = one("BatchNormalization", "x s s s s", 2, 5, 5, &node);
	onnx_floats(model, "s", DIMS(2), (float[]){ 1, 1 });
	onnx_attr_int(node, "training_mode", 1);
	refuse(model, -ENOTSUP, "m.onnx: node n_y (BatchNormalization): attribute training_mode "
	       "is 1; supported is 0 to 0");

	model = one("Gemm", "x w", 2, 5, 5, &node);
	onnx_floats(model, "w", DIMS(50, 4), NULL);
	refuse(model, -EINVAL,
	       "m.onnx: node n_y (Gemm): input is not a matrix (of rank 2)");
	model = one("Flatten", "x", 2, 5, 5, &node);
	onnx_attr_int(node, "axis", 2);
	refuse(model, -ENOTSUP,
	       "m.onnx: node n_y (Flatten): axis is 2; supported is 1 (keep the batch)");
	model = one("Reshape", "x s", 2, 5, 5, &node);
	onnx_ints(model, "s", DIMS(2, 25));
	refuse(model, -ENOTSUP,
	       "m.onnx: node n_y (Reshape): to 2 x 25; supported is batch x the rest");

	model = conv(2, 5, 3, 3, &node);
	onnx_node(model, "Add", "x y", "z");
	refuse(model, -ENOTSUP, "m.onnx: node n_z (Add): inputs differ in shape: 2 x 5 x 5 and "
	       "3 x 3 x 3");
}
END_TEST

START_TEST(not_onnx)
{
	static const char text[] = "This is not a model.";
	struct xrnpe_graph *graph;

	ck_assert_int_eq(xrnpe_graph_parse("m.onnx", text, sizeof(text) - 1, &graph, &error),
			 -EINVAL);
	ck_assert_str_eq(error.message, "m.onnx: is not an ONNX model, or is damaged");
	ck_assert_int_eq(xrnpe_graph_parse("m.onnx", text, 0, &graph, &error), -EINVAL);
	ck_assert_int_eq(xrnpe_graph_load("/nowhere/m.onnx", &graph, &error), -ENOENT);
	ck_assert_ptr_nonnull(strstr(error.message, "/nowhere/m.onnx"));
}
END_TEST

/* Put a key and the length of all that follows before data[at]. */
static size_t wrap(uint8_t *data, size_t at, size_t end, uint8_t field)
{
	uint8_t varint[10];
	size_t length = end - at, bytes = 0;

	do
		varint[bytes++] = (uint8_t)(length & 127) | (length > 127 ? 128 : 0);
	while (length >>= 7);
	at -= bytes;
	memcpy(data + at, varint, bytes);
	data[--at] = (uint8_t)(field << 3 | 2);
	return at;
}

/* Graphs in attributes in nodes in graphs ...: recursion would not survive it. */
START_TEST(deep_nesting)
{
	enum { LEVELS = 100000, ROOM = LEVELS * 15 };
	uint8_t *data = malloc(ROOM);
	struct xrnpe_graph *graph;
	size_t at = ROOM;

	ck_assert_ptr_nonnull(data);
	for (int i = 0; i < LEVELS; i++) {
		at = wrap(data, at, ROOM, 5);	/* NodeProto.attribute */
		at = wrap(data, at, ROOM, 1);	/* GraphProto.node */
		at = wrap(data, at, ROOM, i + 1 < LEVELS ? 6 : 7);	/* .g; ModelProto.graph */
	}
	ck_assert_int_eq(xrnpe_graph_parse("m.onnx", data + at, ROOM - at, &graph, &error),
			 -EINVAL);
	ck_assert_str_eq(error.message, "m.onnx: is not an ONNX model, or is damaged");
	free(data);
}
END_TEST

TCase *compile_import_tests(void)
{
	TCase *tests = tcase_create("import");

	tcase_add_test(tests, resnet_folds);
	tcase_add_test(tests, additions_fold);
	tcase_add_loop_test(tests, window_sizes, 0, sizeof(windows) / sizeof(windows[0]));
	tcase_add_test(tests, rectangular_windows);
	tcase_add_test(tests, passes_through);
	tcase_add_test(tests, dead_nodes_go);
	tcase_add_test(tests, names_and_counts);
	tcase_add_test(tests, input_types);
	tcase_add_test(tests, bad_constants);
	tcase_add_test(tests, bad_conv);
	tcase_add_test(tests, bad_others);
	tcase_add_test(tests, not_onnx);
	tcase_add_test(tests, deep_nesting);
	return tests;
}

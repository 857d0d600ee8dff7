// SPDX-License-Identifier: MIT
/* Reading ONNX files: what is taken, what is made of it, and how the rest is refused. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "onnx.h"
#include "operator.h"
#include "unit/graph_tests.h"
#include "unit/onnx_builder.h"

static struct xrnpe_error error;

/* Read and free @model. Returns NULL with the error in @error. */
static struct xrnpe_graph *take(Onnx__ModelProto *model, const struct xrnpe_graph_options *options)
{
	struct xrnpe_graph *graph = NULL;
	size_t size;
	uint8_t *data = onnx_pack(model, &size);
	int ret;

	memset(&error, 0, sizeof(error));
	ret = xrnpe_graph_parse("m.onnx", data, size, options, &graph, &error);
	ck_assert_int_eq(ret, error.code);
	ck_assert_int_eq(ret != 0, graph == NULL);
	onnx_free(model);
	free(data);
	return graph;
}

/* Refused with @code, and the message is @message. */
static void refuse(Onnx__ModelProto *model, int code, const char *message)
{
	ck_assert_ptr_null(take(model, NULL));
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

/* The output's shape of node @index. */
static struct graph_shape shape_of(const struct xrnpe_graph *graph, uint32_t index)
{
	return graph_output(graph, &graph->nodes[index], 0)->shape;
}

/* The node that computes an input of another; -1: none does. */
static int producer(const struct xrnpe_graph *graph, uint32_t tensor)
{
	for (uint32_t n = 0; n < graph->node_count; n++) {
		if (graph->nodes[n].outputs[0] == tensor)
			return (int)n;
	}
	return -1;
}

START_TEST(resnet_folds)
{
	static const struct {
		const char *op, *name, *op_names;
		int input, residual;	/* nodes; -1: the graph's input; -2: none */
		struct graph_shape shape;
	} expected[] = {
		{ "Conv", "n_c1", "Conv+BatchNormalization+Relu", -1, -2, { 4, { 1, 8, 12, 12 } } },
		{ "MaxPool", "n_p1", "MaxPool", 0, -2, { 4, { 1, 8, 6, 6 } } },
		{ "Conv", "n_c2", "Conv+BatchNormalization+Relu", 1, -2, { 4, { 1, 16, 3, 3 } } },
		{ "Conv", "n_c3", "Conv+BatchNormalization", 2, -2, { 4, { 1, 16, 3, 3 } } },
		{ "Conv", "n_cs", "Conv+BatchNormalization+Add+Relu", 1, 3, { 4, { 1, 16, 3, 3 } } },
		{ "GlobalAveragePool", "n_g", "GlobalAveragePool", 4, -2, { 4, { 1, 16, 1, 1 } } },
		{ "Flatten", "n_f", "Flatten", 5, -2, { 2, { 1, 16 } } },
		{ "Gemm", "n_logits", "Gemm", 6, -2, { 2, { 1, 10 } } },
	};
	struct xrnpe_graph *graph = take(onnx_resnet(), NULL);

	ck_assert_ptr_nonnull(graph);
	ck_assert_uint_eq(graph->node_count, sizeof(expected) / sizeof(expected[0]));
	for (uint32_t i = 0; i < graph->node_count; i++) {
		const struct graph_node *node = &graph->nodes[i];
		struct graph_shape shape = shape_of(graph, i);

		ck_assert_str_eq(node->op->name, expected[i].op);
		ck_assert_str_eq(node->op_names, expected[i].op_names);
		ck_assert_str_eq(node->name, expected[i].name);
		ck_assert_int_eq(producer(graph, node->inputs[0]), expected[i].input);
		ck_assert_int_eq(node->residual, expected[i].residual > -2);
		if (node->residual)
			ck_assert_int_eq(producer(graph, node->inputs[node->input_count - 1]),
					 expected[i].residual);
		ck_assert(graph_shape_equal(&shape, &expected[i].shape));
	}
	ck_assert_uint_eq(xrnpe_graph_input_count(graph), 1);
	ck_assert_str_eq(xrnpe_graph_input(graph, 0)->name, "image");
	ck_assert_uint_eq(xrnpe_graph_input(graph, 0)->rank, 4);
	ck_assert_uint_eq(xrnpe_graph_output_count(graph), 1);
	ck_assert_str_eq(xrnpe_graph_output(graph, 0)->name, "logits");
	ck_assert_uint_eq(xrnpe_graph_output(graph, 0)->rank, 2);
	ck_assert_uint_eq(xrnpe_graph_output(graph, 0)->count, 10);
	/* Weights, and a bias for each output channel of each product. */
	ck_assert_uint_eq(xrnpe_graph_bytes(graph),
			  4 * (72 + 1152 + 2304 + 128 + 160 + 8 + 16 + 16 + 16 + 10));
	ck_assert_uint_eq(graph_node_macs(graph, &graph->nodes[2]), 9 * 16 * 72);
	ck_assert_uint_eq(graph_node_macs(graph, &graph->nodes[5]), 9 * 16);
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
		graph = take(model, NULL);
		ck_assert_ptr_nonnull(graph);
		for (uint32_t n = 0; n < graph->node_count; n++)
			adds += !strcmp(graph->nodes[n].op->name, "Add");
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
	graph = take(model, NULL);
	ck_assert_msg(graph, "%s", error.message);
	for (uint32_t i = 0; i < 2; i++) {
		ck_assert_uint_eq(shape_of(graph, 0).dims[2 + i], windows[_i].out);
		ck_assert_uint_eq(graph->nodes[0].params.windows.axis[i].pad_begin, windows[_i].pad);
	}
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
	graph = take(model, NULL);
	ck_assert_msg(graph, "%s", error.message);
	ck_assert_uint_eq(shape_of(graph, 0).dims[2], 4);	/* (9 + 1 + 0 - 3) / 2 + 1 */
	ck_assert_uint_eq(shape_of(graph, 0).dims[3], 6);	/* 6 + 2 + 1 - 4 + 1 */
	ck_assert_uint_eq(graph->nodes[0].params.windows.groups, 2);
	ck_assert_uint_eq(graph->nodes[0].params.windows.axis[0].pad_begin, 1);
	ck_assert_uint_eq(graph->nodes[0].params.windows.axis[1].pad_begin, 2);
	ck_assert_uint_eq(graph->nodes[0].params.windows.axis[1].dilation, 3);
	ck_assert_uint_eq(graph_node_macs(graph, &graph->nodes[0]), 4 * 4 * 6 * 6);
	xrnpe_graph_free(graph);
}
END_TEST

START_TEST(passes_through)
{
	Onnx__ModelProto *model = onnx_new();
	Onnx__NodeProto *node;
	struct xrnpe_graph *graph;

	onnx_input(model, "x", DIMS(1, 2, 3, 3));
	onnx_output(model, "y", DIMS(1, 4));
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
	node->attribute[0]->t = onnx_ints(model, "spare", DIMS(1, -1));
	model->graph->n_initializer--;
	onnx_node(model, "Identity", "x", "i");
	onnx_node(model, "Dropout", "i", "d");
	onnx_node(model, "Reshape", "d shape", "f");
	node = onnx_node(model, "Gemm", "f w2", "y");
	onnx_attr_int(node, "transB", 1);
	graph = take(model, NULL);
	ck_assert_msg(graph, "%s", error.message);
	/* A convolution whose kernel covers the image; its pixel is the result. */
	ck_assert_uint_eq(graph->node_count, 2);
	ck_assert_str_eq(graph->nodes[0].op->name, "Conv");
	ck_assert_uint_eq(graph->nodes[0].params.windows.axis[0].kernel, 3);
	ck_assert_uint_eq(graph->nodes[0].params.windows.axis[1].kernel, 3);
	ck_assert_str_eq(graph->nodes[1].op->name, "Flatten");
	ck_assert_uint_eq(xrnpe_graph_output(graph, 0)->rank, 2);
	xrnpe_graph_free(graph);
}
END_TEST

/* Copies that are outputs: their names are those of what is copied, where that has none. */
START_TEST(outputs_keep_names)
{
	Onnx__ModelProto *model = onnx_new();
	struct xrnpe_graph *graph;

	onnx_input(model, "x", DIMS(1, 2, 3, 3));
	onnx_output(model, "y", DIMS(1, 2, 3, 3));
	onnx_output(model, "z", DIMS(1, 2, 3, 3));
	onnx_output(model, "v", DIMS(1, 2, 3, 3));
	onnx_node(model, "Relu", "x", "a");
	onnx_node(model, "Identity", "a", "y");
	onnx_node(model, "Identity", "a", "z");
	onnx_node(model, "Sigmoid", "a", "b");
	onnx_node(model, "Identity", "x", "v");
	onnx_node(model, "Tanh", "b", "unused");
	graph = take(model, NULL);
	ck_assert_msg(graph, "%s", error.message);
	ck_assert_uint_eq(graph->node_count, 3);	/* Relu, and two copies */
	for (uint32_t i = 0; i < 3; i++)
		ck_assert_str_eq(graph->tensors[graph->outputs[i]].name,
				 xrnpe_graph_output(graph, i)->name);
	ck_assert_str_eq(graph->nodes[0].op->name, "Relu");
	ck_assert_uint_eq(graph->nodes[0].outputs[0], graph->outputs[0]);
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
	/* Not even what is not supported, if nobody needs it. */
	onnx_node(model, "Det", "y", "more");
	graph = take(model, NULL);
	ck_assert_msg(graph, "%s", error.message);
	ck_assert_uint_eq(graph->node_count, 1);
	ck_assert_str_eq(graph->nodes[0].name, "n_y");
	xrnpe_graph_free(graph);
}
END_TEST

/* All that is not supported at once, by operator and reason, with names. */
START_TEST(lists_what_is_not_supported)
{
	Onnx__ModelProto *model = onnx_new();

	onnx_input(model, "x", DIMS(1, 2, 3, 3));
	onnx_output(model, "y", DIMS(1, 2, 3, 3));
	onnx_node(model, "Det", "x", "a");
	onnx_node(model, "Relu", "a", "b");
	onnx_node(model, "Det", "b", "c");
	onnx_node(model, "Det", "c", "d");
	onnx_node(model, "Det", "d", "e");
	onnx_node(model, "Det", "e", "f");
	onnx_node(model, "NonZero", "x", "g");
	onnx_attr_int(onnx_node(model, "Relu", "x", "h"), "flavour", 1);
	onnx_node(model, "Sum", "f g h", "y");
	refuse(model, -ENOTSUP, "m.onnx: Det (node n_a, n_c, n_d and 2 more): is not supported; "
	       "NonZero (node n_g): is not supported; "
	       "Relu (node n_h): attribute flavour is not supported");
}
END_TEST

/* As many kinds as a message has room for, though not with their nodes. */
START_TEST(lists_many_kinds)
{
	Onnx__ModelProto *model = onnx_new();
	char op[32], outputs[16], name[96], all[1024] = "";

	onnx_input(model, "x", DIMS(1, 2, 3, 3));
	onnx_output(model, "y", DIMS(1, 2, 3, 3));
	for (int i = 0; i < 80; i++) {
		Onnx__NodeProto *node;

		snprintf(op, sizeof(op), "Odd%d", i / 2);
		snprintf(outputs, sizeof(outputs), "t%d ", i);
		node = onnx_node(model, op, "x", outputs);
		snprintf(name, sizeof(name), "/model/backbone/features/block%d/residual/%s", i, op);
		free(node->name);
		node->name = strdup(name);
		strcat(all, outputs);
	}
	onnx_node(model, "Sum", all, "y");
	ck_assert_ptr_null(take(model, NULL));
	ck_assert_int_eq(strncmp(error.message, "m.onnx: Odd0 (2 nodes): is not supported; Odd1 (", 48), 0);
	ck_assert_ptr_nonnull(strstr(error.message, "; Odd39 (2 nodes): is not supported"));
}
END_TEST

START_TEST(names_and_counts)
{
	Onnx__NodeProto *node;
	Onnx__ModelProto *model;

	model = one("Relu", "x", 1, 2, 2, &node);
	node->domain = strdup("com.example");
	refuse(model, -ENOTSUP, "m.onnx: Relu (node n_y): is not an operator of ONNX itself");

	model = one("Det", "x", 1, 2, 2, &node);
	free(node->name);
	node->name = NULL;
	refuse(model, -ENOTSUP, "m.onnx: Det (node y): is not supported");

	refuse(one("Relu", "x x", 1, 2, 2, &node), -ENOTSUP,
	       "m.onnx: Relu (node n_y): has 2 inputs; supported are at most 1");

	model = one("LeakyRelu", "x", 1, 2, 2, &node);
	onnx_attr_float(node, "alpha", INFINITY);
	refuse(model, -EINVAL, "m.onnx: node n_y (LeakyRelu): attribute alpha is not finite");

	refuse(one("Clip", "x x", 1, 2, 2, &node), -ENOTSUP,
	       "m.onnx: Clip (node n_y): min x is computed, not constant");

	/* A cycle: what it reads is defined only later, or by itself. */
	refuse(one("Add", "x y", 1, 2, 2, &node), -EINVAL,
	       "m.onnx: node n_y (Add): reads what no node before it computes: y");

	model = one("Relu", "x", 1, 2, 2, &node);
	onnx_node(model, "Relu", "x", "y");
	refuse(model, -EINVAL, "m.onnx: tensor y is defined twice");

	model = one("Relu", "x", 1, 2, 2, &node);
	free(model->graph->output[0]->name);
	model->graph->output[0]->name = strdup("z\n");
	refuse(model, -EINVAL, "m.onnx: output z? is not computed");

	model = one("Relu", "x", 1, 2, 2, &node);
	model->opset_import[0]->version = 0;
	refuse(model, -ENOTSUP, "m.onnx: uses operator set 0; supported is 1 and later");
}
END_TEST

/* Operators that mean the same in old operator sets, and one that does not. */
START_TEST(old_operator_sets)
{
	Onnx__NodeProto *node;
	Onnx__ModelProto *model = one("Relu", "x", 1, 2, 2, &node);

	model->opset_import[0]->version = 6;
	xrnpe_graph_free(take(model, NULL));
	ck_assert_int_eq(error.code, 0);
	model = one("Dropout", "x", 1, 2, 2, &node);
	model->opset_import[0]->version = 6;
	refuse(model, -ENOTSUP,
	       "m.onnx: Dropout (node n_y): is of operator set 6; supported is 7 and later");
}
END_TEST

START_TEST(several_inputs_and_outputs)
{
	static const float a[] = { 1, 2 }, b[] = { 10, 20, 30 };
	static const float product[] = { 10, 20, 30, 20, 40, 60 };
	Onnx__ModelProto *model = onnx_new();
	float outer[6], sum[3], input[2];
	struct xrnpe_graph *graph;

	onnx_input(model, "a", DIMS(2, 1));
	onnx_input(model, "b", DIMS(1, 3));
	onnx_output(model, "outer", DIMS(2, 3));
	onnx_output(model, "sum", DIMS(1, 3));
	onnx_output(model, "a", DIMS(2, 1));
	onnx_node(model, "Mul", "a b", "outer");
	onnx_node(model, "Add", "b b", "sum");
	graph = take(model, NULL);
	ck_assert_msg(graph, "%s", error.message);
	ck_assert_uint_eq(xrnpe_graph_input_count(graph), 2);
	ck_assert_uint_eq(xrnpe_graph_output_count(graph), 3);
	ck_assert_str_eq(xrnpe_graph_output(graph, 2)->name, "a");
	ck_assert_int_eq(xrnpe_graph_run(graph, 1, (const float *[]){ a, b },
					 (float *[]){ outer, sum, input }, NULL, NULL, &error), 0);
	ck_assert_mem_eq(outer, product, sizeof(product));
	ck_assert_float_eq(sum[2], 60);
	ck_assert_mem_eq(input, a, sizeof(a));
	xrnpe_graph_free(graph);
}
END_TEST

/* Outputs that the caller chooses: what comes behind is as if it was not there. */
START_TEST(cut_points)
{
	static const char *const names[] = { "a", "b" };
	const struct xrnpe_graph_options options = { .outputs = names, .output_count = 2 };
	Onnx__ModelProto *model = onnx_new();
	struct xrnpe_graph *graph;

	onnx_input(model, "x", DIMS(1, 2, 3, 3));
	onnx_output(model, "y", DIMS(1));
	onnx_node(model, "Sigmoid", "x", "a");
	onnx_node(model, "Tanh", "a", "b");
	onnx_node(model, "Det", "b", "y");
	graph = take(model, &options);
	ck_assert_msg(graph, "%s", error.message);
	ck_assert_uint_eq(graph->node_count, 2);
	ck_assert_str_eq(xrnpe_graph_output(graph, 0)->name, "a");
	ck_assert_str_eq(xrnpe_graph_output(graph, 1)->name, "b");
	xrnpe_graph_free(graph);
}
END_TEST

START_TEST(input_shapes)
{
	struct xrnpe_shape shape = { "x", 4, { 2, 3, 4, 5 } };
	const struct xrnpe_graph_options options = { .shapes = &shape, .shape_count = 1 };
	struct xrnpe_graph *graph;
	Onnx__NodeProto *node;
	Onnx__ModelProto *model;

	graph = take(one("Relu", "x", 3, 0, 0, &node), &options);
	ck_assert_ptr_null(graph);	/* the batch is 1 in the file */
	ck_assert_str_eq(error.message, "m.onnx: input x: dimension 0 is 1, the shape given for it says 2");
	shape.dims[0] = 1;
	graph = take(one("Relu", "x", 3, 0, 0, &node), &options);
	ck_assert_msg(graph, "%s", error.message);
	ck_assert_uint_eq(xrnpe_graph_output(graph, 0)->count, 60);
	xrnpe_graph_free(graph);

	shape.rank = 3;
	ck_assert_ptr_null(take(one("Relu", "x", 3, 0, 0, &node), &options));
	ck_assert_str_eq(error.message, "m.onnx: input x is of rank 4, the shape given for it is of 3");
	shape.input = "z";
	ck_assert_ptr_null(take(one("Relu", "x", 3, 1, 1, &node), &options));
	ck_assert_str_eq(error.message, "m.onnx: has no input z, for which a shape is given");

	ck_assert_ptr_null(take(one("Relu", "x", 1, 0, 2, &node), &options));
	ck_assert_str_eq(error.message, "m.onnx: input x: dimension 2 is open in the file, or no size: "
			 "a shape has to be given (--shape x=1,1,N,2); one is for z");
	refuse(one("Relu", "x", 1, 0, 2, &node), -ENOTSUP,
	       "m.onnx: input x: dimension 2 is open in the file, or no size: a shape has to be given "
	       "(--shape x=1,1,N,2)");
	refuse(one("Relu", "x", 65535, 65535, 65535, &node), -ENOTSUP,
	       "m.onnx: tensor x of 1 x 65535 x 65535 x 65535 is too large");

	model = one("Relu", "x", 1, 2, 2, &node);
	model->graph->input[0]->type->tensor_type->elem_type =
		ONNX__TENSOR_PROTO__DATA_TYPE__STRING;
	refuse(model, -ENOTSUP, "m.onnx: input x is not a tensor of a type that is supported");
}
END_TEST

/* Shapes that are computed, as exporters write a flattening: nothing of it is left. */
START_TEST(constants_are_computed)
{
	Onnx__ModelProto *model = onnx_new();
	struct xrnpe_graph *graph;

	onnx_input(model, "x", DIMS(0, 2, 3, 3));
	onnx_output(model, "y", DIMS(0, 18));
	onnx_ints(model, "zero", DIMS(0));
	onnx_ints(model, "rest", DIMS(-1));
	onnx_node(model, "Shape", "x", "s");
	onnx_node(model, "Gather", "s zero", "n");
	onnx_node(model, "Squeeze", "n", "q");
	onnx_node(model, "Unsqueeze", "q zero", "u");
	onnx_attr_int(onnx_node(model, "Concat", "u rest", "shape"), "axis", 0);
	onnx_node(model, "Reshape", "x shape", "y");
	graph = take(model, NULL);
	ck_assert_msg(graph, "%s", error.message);
	ck_assert_uint_eq(graph->node_count, 1);
	ck_assert_uint_eq(xrnpe_graph_output(graph, 0)->dims[1], 18);
	xrnpe_graph_free(graph);
}
END_TEST

/* Of what a constant becomes like the type counts, which is known. */
START_TEST(constants_are_cast_alike)
{
	Onnx__ModelProto *model = onnx_new();
	struct xrnpe_graph *graph;

	onnx_input(model, "x", DIMS(1, 2));
	onnx_output(model, "y", DIMS(1, 2));
	onnx_ints(model, "four", DIMS(4));
	onnx_node(model, "CastLike", "four x", "f");
	onnx_node(model, "Sqrt", "f", "r");
	onnx_node(model, "Mul", "x r", "y");
	graph = take(model, NULL);
	ck_assert_msg(graph, "%s", error.message);
	ck_assert_uint_eq(graph->node_count, 1);
	xrnpe_graph_free(graph);
}
END_TEST

/* A branch that is known when the file is read is the only one. */
START_TEST(known_conditions)
{
	for (int taken = 0; taken < 2; taken++) {
		static const float x[] = { -1, 2 };
		Onnx__ModelProto *model = onnx_new();
		Onnx__NodeProto *node;
		struct xrnpe_graph *graph;
		float y[2];

		onnx_input(model, "x", DIMS(1, 2));
		onnx_output(model, "y", DIMS(1, 2));
		onnx_ints(model, "c", 1, (const int64_t[]){ taken });
		onnx_attr_int(onnx_node(model, "Cast", "c", "b"), "to", 9);
		node = onnx_node(model, "If", "b", "y");
		onnx_attr_graph(node, "then_branch", "Relu", "x", "t");
		onnx_attr_graph(node, "else_branch", "Neg", "x", "e");
		graph = take(model, NULL);
		ck_assert_msg(graph, "%s", error.message);
		ck_assert_uint_eq(graph->node_count, 1);
		ck_assert_int_eq(xrnpe_graph_run(graph, 1, (const float *[]){ x }, (float *[]){ y },
						 NULL, NULL, &error), 0);
		ck_assert_float_eq(y[0], taken ? 0 : 1);
		xrnpe_graph_free(graph);
	}
}
END_TEST

START_TEST(half_and_double_weights)
{
	static const uint16_t halves[] = { 0x3c00, 0xc000, 0x0001, 0x7bff };	/* 1 -2 2^-24 65504 */
	static const double doubles[] = { 1, -2, 0x1p-24, 65504 };

	for (int wide = 0; wide < 2; wide++) {
		static const float x[] = { 1, 1, 1, 1 };
		Onnx__NodeProto *node;
		Onnx__ModelProto *model = one("Mul", "x w", 1, 1, 4, &node);
		Onnx__TensorProto *w = onnx_floats(model, "w", DIMS(4), NULL);
		struct xrnpe_graph *graph;
		float y[4];

		free(w->raw_data.data);
		w->data_type = wide ? ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE :
				      ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16;
		w->raw_data.len = wide ? sizeof(doubles) : sizeof(halves);
		w->raw_data.data = malloc(w->raw_data.len);
		memcpy(w->raw_data.data, wide ? (const void *)doubles : halves, w->raw_data.len);
		graph = take(model, NULL);
		ck_assert_msg(graph, "%s", error.message);
		ck_assert_int_eq(xrnpe_graph_run(graph, 1, (const float *[]){ x }, (float *[]){ y },
						 NULL, NULL, &error), 0);
		for (int i = 0; i < 4; i++)
			ck_assert_float_eq(y[i], (float)doubles[i]);
		xrnpe_graph_free(graph);
	}
}
END_TEST

START_TEST(bad_constants)
{
	Onnx__StringStringEntryProto *entry;
	Onnx__NodeProto *node;
	Onnx__ModelProto *model;
	Onnx__TensorProto *w;

	refuse(one("Conv", "x w", 2, 5, 5, &node), -EINVAL,
	       "m.onnx: node n_y (Conv): reads what no node before it computes: w");

	model = conv(2, 5, 3, 3, &node);
	model->graph->initializer[0]->dims[0] = 4;
	refuse(model, -EINVAL,
	       "m.onnx: constant w holds not as many elements as its dimensions say");

	/* 2^63 and more elements, in steps that a product in 64 bits would not notice. */
	model = conv(2, 5, 3, 3, &node);
	w = model->graph->initializer[0];
	w->dims[1] = INT64_MAX;
	refuse(model, -EINVAL, "m.onnx: constant w has impossible dimensions");
	model = conv(2, 5, 3, 3, &node);
	w = model->graph->initializer[0];
	w->dims[0] = w->dims[1] = UINT32_MAX;
	w->dims[2] = 2;
	refuse(model, -ENOTSUP, "m.onnx: constant w is too large");
	/* None, but what is calculated with the others would be as large. */
	model = conv(2, 5, 3, 3, &node);
	w = model->graph->initializer[0];
	w->dims[0] = 0;
	w->dims[1] = w->dims[2] = 1 << 30;
	w->raw_data.len = 0;
	refuse(model, -ENOTSUP, "m.onnx: tensor w of 0 x 1073741824 x 1073741824 x 3 is too large");

	model = conv(2, 5, 3, 3, &node);
	model->graph->initializer[0]->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__STRING;
	refuse(model, -ENOTSUP,
	       "m.onnx: constant w has element type 8, which is not supported");

	model = conv(2, 5, 3, 3, &node);
	w = model->graph->initializer[0];
	w->has_data_location = 1;
	w->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
	w->has_raw_data = 0;
	refuse(model, -EINVAL, "m.onnx: constant w: location, offset or length of its external "
	       "data is malformed");

	model = conv(2, 5, 3, 3, &node);
	entry = malloc(sizeof(*entry));
	onnx__string_string_entry_proto__init(entry);
	entry->key = strdup("location");
	entry->value = strdup("../../etc/passwd");
	w = model->graph->initializer[0];
	w->has_raw_data = 0;
	w->external_data = malloc(sizeof(*w->external_data));
	w->external_data[0] = entry;
	w->n_external_data = 1;
	refuse(model, -EINVAL, "m.onnx: constant w: location, offset or length of its external "
	       "data is malformed");
}
END_TEST

START_TEST(bad_conv)
{
	Onnx__NodeProto *node;
	Onnx__ModelProto *model;

	model = conv(2, 5, 3, 3, &node);
	onnx_attr_int(node, "group", 2);
	refuse(model, -EINVAL, "m.onnx: node n_y (Conv): 2 channels to 3 do not divide into 2 groups");
	model = conv(4, 5, 4, 3, &node);
	onnx_attr_int(node, "group", 2);
	refuse(model, -EINVAL, "m.onnx: node n_y (Conv): weight takes 4 channels a group, the "
	       "input has 4 in 2 groups");
	refuse(conv(2, 2, 3, 3, &node), -EINVAL,
	       "m.onnx: node n_y (Conv): kernel of 3 does not fit the input of 2");
	model = conv(2, 5, 3, 3, &node);
	onnx_attr_ints(node, "strides", DIMS(0, 1));
	refuse(model, -ENOTSUP,
	       "m.onnx: Conv (node n_y): attribute strides is 0; supported is 1 to 1048576");
	model = conv(2, 5, 3, 3, &node);
	onnx_attr_ints(node, "dilations", DIMS(INT64_MAX, 1));
	refuse(model, -ENOTSUP, "m.onnx: Conv (node n_y): attribute dilations is "
	       "9223372036854775807; supported is 1 to 1048576");
	model = conv(2, 5, 3, 3, &node);
	onnx_attr_ints(node, "pads", DIMS(1, 1));
	refuse(model, -EINVAL,
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
	onnx_attr_int(node, "group", 1);
	onnx_attr_int(node, "group", 1);
	refuse(model, -EINVAL, "m.onnx: node n_y (Conv): attribute group is given twice");
	model = conv(2, 5, 3, 3, &node);
	onnx_attr_string(node, "auto_pad", "SAME");
	refuse(model, -ENOTSUP, "m.onnx: Conv (node n_y): attribute auto_pad is \"SAME\"; "
	       "supported are: NOTSET VALID SAME_UPPER SAME_LOWER");
}
END_TEST

START_TEST(bad_others)
{
	struct xrnpe_graph *graph;
	Onnx__NodeProto *node;
	Onnx__ModelProto *model;

	refuse(one("MaxPool", "x", 2, 5, 5, &node), -EINVAL,
	       "m.onnx: node n_y (MaxPool): attribute kernel_shape is missing");
	model = one("MaxPool", "x", 2, 5, 5, &node);
	onnx_attr_ints(node, "kernel_shape", DIMS(2, 2));
	onnx_attr_ints(node, "pads", DIMS(2, 2, 2, 2));
	refuse(model, -ENOTSUP,
	       "m.onnx: MaxPool (node n_y): a window lies in the padding altogether");
	/* A million windows of a million taps: all meet the image; one more does not. */
	model = one("MaxPool", "x", 1, 1, 5, &node);
	onnx_attr_ints(node, "kernel_shape", DIMS(1, 1 << 20));
	onnx_attr_ints(node, "pads", DIMS(0, (1 << 20) - 1, 0, (1 << 20) - 1));
	graph = take(model, NULL);
	ck_assert_msg(graph, "%s", error.message);
	xrnpe_graph_free(graph);
	model = one("MaxPool", "x", 1, 1, 5, &node);
	onnx_attr_ints(node, "kernel_shape", DIMS(1, 1 << 20));
	onnx_attr_ints(node, "pads", DIMS(0, (1 << 20) - 1, 0, 1 << 20));
	refuse(model, -ENOTSUP,
	       "m.onnx: MaxPool (node n_y): a window lies in the padding altogether");

	model = one("BatchNormalization", "x s s s s", 2, 5, 5, &node);
	onnx_floats(model, "s", DIMS(2), (float[]){ 1, -1 });
	refuse(model, -EINVAL, "m.onnx: node n_y (BatchNormalization): variance of channel 1 is "
	       "negative or zero");
	/* Windows whose taps are half a million elements apart. */
	model = conv(2, 5, 3, 3, &node);
	onnx_attr_ints(node, "pads", DIMS(1 << 20, 1 << 20, 1 << 20, 1 << 20));
	onnx_attr_ints(node, "strides", DIMS(1 << 19, 1 << 19));
	onnx_attr_ints(node, "dilations", DIMS((1 << 19) - 1, (1 << 19) - 1));
	refuse(model, -ENOTSUP, "m.onnx: Conv (node n_y): windows reach over more elements than a tensor "
	       "has");

	model = one("BatchNormalization", "x s s s s", 2, 5, 5, &node);
	onnx_floats(model, "s", DIMS(3), NULL);
	refuse(model, -EINVAL,
	       "m.onnx: node n_y (BatchNormalization): scale has 3 elements, not 2");
	model = one("BatchNormalization", "x s s s s", 2, 5, 5, &node);
	onnx_floats(model, "s", DIMS(2), (float[]){ 1, 1 });
	onnx_attr_int(node, "training_mode", 1);
	refuse(model, -ENOTSUP, "m.onnx: BatchNormalization (node n_y): attribute training_mode "
	       "is 1; supported is 0 to 0");

	model = one("Gemm", "x w", 2, 5, 5, &node);
	onnx_floats(model, "w", DIMS(50, 4), NULL);
	refuse(model, -EINVAL,
	       "m.onnx: node n_y (Gemm): matrices of 1 x 2 x 5 x 5 and 50 x 4 do not fit");
	model = one("Reshape", "x s", 2, 5, 5, &node);
	onnx_ints(model, "s", DIMS(2, 26));
	refuse(model, -EINVAL,
	       "m.onnx: node n_y (Reshape): 1 x 2 x 5 x 5 does not become the shape asked for");

	model = conv(2, 5, 3, 3, &node);
	onnx_node(model, "Add", "x y", "z");
	refuse(model, -EINVAL, "m.onnx: node n_z (Add): inputs of 1 x 2 x 5 x 5 and 1 x 3 x 3 x 3 "
	       "do not fit");
}
END_TEST

/* Groups that channels do not divide into; regions and filters that make no sense. */
START_TEST(bad_groups_and_filters)
{
	static const struct {
		const char *op, *mode;
		int64_t groups;
		size_t roi;
		float value, scale;
		int code;
		const char *message;
	} cases[] = {
		{ "GroupNormalization", NULL, 3, 0, 0, 0, -EINVAL, "m.onnx: node n_y "
		  "(GroupNormalization): 4 channels do not divide into 3 groups" },
		{ "GroupNormalization", NULL, 2, 0, 0, 0, -EINVAL, "m.onnx: node n_y "
		  "(GroupNormalization): scale has 8 elements, not 2" },
		{ "Resize", "linear", 0, 6, 0, 2, -EINVAL, "m.onnx: node n_y (Resize): roi has 6 elements, "
		  "not 8" },
		{ "Resize", "linear", 0, 8, INFINITY, 2, -EINVAL, "m.onnx: node n_y (Resize): roi is not "
		  "finite along axis 0" },
		{ "Resize", "cubic", 0, 8, 0, 1e5f, -ENOTSUP, "m.onnx: Resize (node n_y): is too large "
		  "along the axes before 3" },
	};
	bool groups = cases[_i].groups;
	Onnx__NodeProto *node;
	Onnx__ModelProto *model = one(cases[_i].op, groups ? "x s s" : "x roi scales", 4, 5, 5, &node);
	float roi[8] = { cases[_i].value };

	model->opset_import[0]->version = 18;
	onnx_floats(model, "s", DIMS(8), NULL);
	onnx_floats(model, "roi", DIMS((int64_t)cases[_i].roi), roi);
	onnx_floats(model, "scales", DIMS(4), (float[]){ 1, 1, cases[_i].scale, cases[_i].scale });
	if (groups) {
		onnx_attr_int(node, "num_groups", cases[_i].groups);
	} else {
		onnx_attr_string(node, "mode", cases[_i].mode);
		onnx_attr_string(node, "coordinate_transformation_mode", "tf_crop_and_resize");
	}
	refuse(model, cases[_i].code, cases[_i].message);
}
END_TEST

/* Places that do not fit what they are in. */
START_TEST(bad_places)
{
	static const struct {
		const char *op;
		int64_t dims[4];
		int code;
		const char *message;
	} cases[] = {
		{ "GridSample", { 1, 2, 2, 3 }, -EINVAL, "m.onnx: node n_y (GridSample): grid does not fit "
		  "the input" },
		{ "GridSample", { 2, 2, 2, 2 }, -EINVAL, "m.onnx: node n_y (GridSample): grid does not fit "
		  "the input" },
		{ "GatherElements", { 1, 5, 2, 2 }, -EINVAL, "m.onnx: node n_y (GatherElements): 5 indices "
		  "along axis 1 do not fit 4 elements" },
	};
	bool gathers = !strcmp(cases[_i].op, "GatherElements");
	Onnx__NodeProto *node;
	Onnx__ModelProto *model = one(cases[_i].op, gathers ? "x i" : "x p", 4, 5, 5, &node);

	model->opset_import[0]->version = 18;
	onnx_floats(model, "p", 4, cases[_i].dims, NULL);
	onnx_ints(model, "zero", 1, (int64_t[]){ 0 });
	onnx_ints(model, "shape", 4, cases[_i].dims);
	onnx_node(model, "Expand", "zero shape", "i");
	/* Before who reads it. */
	model->graph->node[0] = model->graph->node[1];
	model->graph->node[1] = node;
	refuse(model, cases[_i].code, cases[_i].message);
}
END_TEST

START_TEST(bad_equations)
{
	static const struct {
		const char *equation;
		int code;
		const char *message;
	} cases[] = {
		{ "...c,...->c", -ENOTSUP, "m.onnx: Einsum (node n_y): its ellipsis repeats an axis of 2 elements "
		  "as 3" },
		{ "nc..w,dc->d", -EINVAL, "m.onnx: node n_y (Einsum): its equation has a character that is no "
		  "letter" },
		{ "...c...,dc->d", -EINVAL, "m.onnx: node n_y (Einsum): its equation has a dot too many" },
		{ "nchh,dc->hdh", -EINVAL, "m.onnx: node n_y (Einsum): its result has axis h twice" },
		{ "nchc,dc->d", -EINVAL, "m.onnx: node n_y (Einsum): axis c has 2 elements and 5" },
		{ "abcdefg,dc", -ENOTSUP, "m.onnx: Einsum (node n_y): its equation has more than 6 axes" },
		{ "nchw,dc,e->d", -EINVAL, "m.onnx: node n_y (Einsum): its equation has a comma too many" },
		{ "nch1,dc->d", -EINVAL, "m.onnx: node n_y (Einsum): its equation has a character that is no "
		  "letter" },
		{ "nch,dc->d", -EINVAL, "m.onnx: node n_y (Einsum): its equation has 3 axes for input 0 of "
		  "rank 4" },
		{ "nchw,dh->d", -EINVAL, "m.onnx: node n_y (Einsum): axis h has 5 elements and 2" },
		{ "nchw,dc->e", -EINVAL, "m.onnx: node n_y (Einsum): its result has axis e, which no input "
		  "has" },
		{ NULL, -EINVAL, "m.onnx: node n_y (Einsum): attribute equation is missing" },
	};
	Onnx__NodeProto *node;
	Onnx__ModelProto *model = one("Einsum", "x w", 2, 5, 5, &node);

	onnx_floats(model, "w", DIMS(3, 2), NULL);
	if (cases[_i].equation)
		onnx_attr_string(node, "equation", cases[_i].equation);
	refuse(model, cases[_i].code, cases[_i].message);
}
END_TEST

START_TEST(equations_of_nothing)
{
	static const char *const equations[] = { "nchw,ck->nk", "nchw,c...->n..." };
	static const char *const axes[] = { "k", "..." };
	Onnx__NodeProto *node;
	Onnx__ModelProto *model = one("Einsum", "x w", 2, 5, 5, &node);
	char message[256];

	onnx_floats(model, "w", DIMS(2, 0), NULL);
	onnx_attr_string(node, "equation", equations[_i]);
	snprintf(message, sizeof(message), "m.onnx: Einsum (node n_y): axis 1 of input 1, %s in its equation, has "
		 "no elements, and sums of none are not computed", axes[_i]);
	refuse(model, -ENOTSUP, message);
}
END_TEST

START_TEST(not_onnx)
{
	static const char text[] = "This is not a model.";
	struct xrnpe_graph *graph;

	ck_assert_int_eq(xrnpe_graph_parse("m.onnx", text, sizeof(text) - 1, NULL, &graph,
					   &error),
			 -EINVAL);
	ck_assert_str_eq(error.message, "m.onnx: is not an ONNX model, or is damaged");
	ck_assert_int_eq(xrnpe_graph_parse("m.onnx", text, 0, NULL, &graph, &error), -EINVAL);
	ck_assert_int_eq(xrnpe_graph_load("/nowhere/m.onnx", NULL, &graph, &error), -ENOENT);
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
	ck_assert_int_eq(xrnpe_graph_parse("m.onnx", data + at, ROOM - at, NULL, &graph,
					   &error),
			 -EINVAL);
	ck_assert_str_eq(error.message, "m.onnx: is not an ONNX model, or is damaged");
	free(data);
}
END_TEST

TCase *graph_import_tests(void)
{
	TCase *tests = tcase_create("import");

	tcase_add_test(tests, resnet_folds);
	tcase_add_test(tests, additions_fold);
	tcase_add_loop_test(tests, window_sizes, 0, sizeof(windows) / sizeof(windows[0]));
	tcase_add_test(tests, rectangular_windows);
	tcase_add_test(tests, passes_through);
	tcase_add_test(tests, outputs_keep_names);
	tcase_add_test(tests, dead_nodes_go);
	tcase_add_test(tests, lists_what_is_not_supported);
	tcase_add_test(tests, lists_many_kinds);
	tcase_add_test(tests, names_and_counts);
	tcase_add_test(tests, old_operator_sets);
	tcase_add_test(tests, several_inputs_and_outputs);
	tcase_add_test(tests, cut_points);
	tcase_add_test(tests, input_shapes);
	tcase_add_test(tests, constants_are_computed);
	tcase_add_test(tests, constants_are_cast_alike);
	tcase_add_test(tests, known_conditions);
	tcase_add_test(tests, half_and_double_weights);
	tcase_add_test(tests, bad_constants);
	tcase_add_test(tests, bad_conv);
	tcase_add_test(tests, bad_others);
	tcase_add_loop_test(tests, bad_groups_and_filters, 0, 5);
	tcase_add_loop_test(tests, bad_places, 0, 3);
	tcase_add_loop_test(tests, bad_equations, 0, 12);
	tcase_add_loop_test(tests, equations_of_nothing, 0, 2);
	tcase_add_test(tests, not_onnx);
	tcase_add_test(tests, deep_nesting);
	return tests;
}

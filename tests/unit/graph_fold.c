// SPDX-License-Identifier: MIT
/*
 * Folding: what several nodes become, and that they still compute the same. The models are
 * written as text, see model().
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "onnx.h"
#include "operator.h"
#include "unit/graph_tests.h"
#include "unit/onnx_builder.h"

/* The input x: 1 x 4 x 2 x 4. */
#define CHANNELS 4
#define COUNT 32

/* The digits behind the first character as a list of integers. */
static void add_shape(Onnx__ModelProto *model, const char *name)
{
	int64_t dims[8];
	size_t count = strlen(name + 1);

	for (size_t i = 0; i < count; i++)
		dims[i] = name[1 + i] - '0';
	onnx_ints(model, name, count, dims);
}

/* A constant whose name says what it is: see model(). */
static void add_constant(Onnx__ModelProto *model, const char *name)
{
	char *end;
	float number = strtof(name, &end);

	for (size_t i = 0; i < model->graph->n_initializer; i++) {
		if (!strcmp(model->graph->initializer[i]->name, name))
			return;
	}
	if (!*end)
		onnx_floats(model, name, 0, (int64_t[]){ 0 }, &number);
	else if (*name == 'k')
		onnx_floats(model, name, DIMS(CHANNELS, 1, 1), NULL);
	else if (*name == 'w')
		onnx_floats(model, name, DIMS(CHANNELS, CHANNELS, 1, 1), NULL);
	else if (*name == 'v')
		onnx_floats(model, name, DIMS(CHANNELS, CHANNELS, 3, 3), NULL);
	else if (*name == 'u')
		onnx_floats(model, name, DIMS(CHANNELS, CHANNELS + 1, 3, 3), NULL);
	else if (*name == 'o')
		onnx_floats(model, name, DIMS(CHANNELS, CHANNELS, 3), NULL);
	else if (*name == 'l')
		onnx_floats(model, name, DIMS(CHANNELS), NULL);
	else if (*name == 'q')
		onnx_floats(model, name, DIMS(CHANNELS, CHANNELS), NULL);
	else if (*name == 'h')
		onnx_floats(model, name, DIMS(COUNT, CHANNELS), NULL);
	else if ((*name == 's' || *name == 'p') && name[1])
		add_shape(model, name);
}

/* An attribute behind the inputs: "perm=0231", or "ceil_mode=1", which is no list. */
static void add_attribute(Onnx__NodeProto *node, const char *text)
{
	const char *value = strchr(text, '=') + 1;
	char *name = strndup(text, (size_t)(value - 1 - text));
	int64_t list[8];
	size_t count = strlen(value);

	for (size_t i = 0; i < count; i++)
		list[i] = value[i] - '0';
	if (strstr(name, "_mode"))
		onnx_attr_int(node, name, list[0]);
	else
		onnx_attr_ints(node, name, count, list);
	free(name);
}

/*
 * "a = Mul x 2; y = Add a k" is a model of input x and outputs y and, if nodes make it, z. A
 * number is a constant; k, w, v, u followed by anything are channels, weights of a convolution
 * by one, by three, by three of one more channel, o of one over a line by three; l and q are a line
 * and a matrix, h one for all of x; s and p and digits, a shape and padding.
 */
static Onnx__ModelProto *model(const char *text)
{
	Onnx__ModelProto *made = onnx_new();
	char *all = strdup(text), *rest = NULL;

	onnx_input(made, "x", DIMS(1, CHANNELS, 2, COUNT / 2 / CHANNELS));
	onnx_output(made, "y", DIMS(1));
	for (char *line = strtok_r(all, ";", &rest); line; line = strtok_r(NULL, ";", &rest)) {
		char *words = NULL, inputs[80] = "", attributes[80] = "", *more = NULL;
		char *output = strtok_r(line, " ", &words), *op;
		Onnx__NodeProto *node;

		strtok_r(NULL, " ", &words);
		op = strtok_r(NULL, " ", &words);
		for (char *word = strtok_r(NULL, " ", &words); word; word = strtok_r(NULL, " ", &words)) {
			char *list = strchr(word, '=') ? attributes : inputs;

			sprintf(list + strlen(list), "%s%s", *list ? " " : "", word);
			if (list == inputs)
				add_constant(made, word);
		}
		node = onnx_node(made, op, inputs, output);
		for (char *word = strtok_r(attributes, " ", &more); word; word = strtok_r(NULL, " ", &more))
			add_attribute(node, word);
		if (!strcmp(output, "z"))
			onnx_output(made, "z", DIMS(1));
	}
	free(all);
	return made;
}

static struct xrnpe_graph *load(const char *text, bool fold)
{
	struct xrnpe_graph *graph = NULL;
	Onnx__ModelProto *made = model(text);
	struct xrnpe_error error;
	size_t size;
	uint8_t *data = onnx_pack(made, &size);
	int ret;

	if (fold) {
		ret = xrnpe_graph_parse("m.onnx", data, size, NULL, &graph, &error);
	} else {
		graph = graph_new("m.onnx");
		ret = onnx_read(graph, data, size, NULL, NULL, &error);
	}
	ck_assert_msg(!ret, "%s: %s", text, error.message);
	onnx_free(made);
	free(data);
	return graph;
}

/* Operators of the nodes, with those folded into them behind a slash: "Conv/Relu Add". */
static void list_nodes(const struct xrnpe_graph *graph, char *list)
{
	*list = 0;
	for (uint32_t n = 0; n < graph->node_count; n++) {
		const struct graph_node *node = &graph->nodes[n];

		list += sprintf(list, "%s%s%s%s%s", n ? " " : "", node->op->name,
				node->residual ? "/Add" : "",
				node->activation.kind == XRNPE_ACT_RELU ? "/Relu" :
				node->activation.kind == XRNPE_ACT_LEAKY ? "/Leaky" :
				node->activation.kind == XRNPE_ACT_PRELU ? "/PRelu" : "",
				node->activation.clamps ? "/Clip" : "");
	}
}

/* Everything that might be treated in a way of its own, and noise. */
static void make_input(float values[COUNT], bool wild)
{
	static const float special[] = {
		NAN, INFINITY, -INFINITY, -0.0f, 0, FLT_MAX, -FLT_MAX, 1e-40f, -1e-40f, 3, -3, 6, 88,
		-88, FLT_MIN, -FLT_MIN,
	};
	uint32_t state = 5;

	for (size_t i = 0; i < COUNT; i++)
		values[i] = wild && i < sizeof(special) / sizeof(*special) ? special[i] :
			    4 * onnx_noise(&state);
}

/* Output @output of the graph, from malloc(). */
static float *run(const struct xrnpe_graph *graph, uint32_t output, const float *input, size_t *count)
{
	struct reference *ref = reference_new(graph);
	uint32_t tensor = graph->outputs[output];
	float *values;

	ck_assert_ptr_nonnull(ref);
	*count = graph_count(&graph->tensors[tensor].shape);
	values = malloc(*count * sizeof(*values));
	ck_assert_ptr_nonnull(values);
	ck_assert_int_eq(reference_set(ref, graph->inputs[0], input), 0);
	reference_run(ref);
	reference_get(ref, tensor, values);
	reference_free(ref);
	return values;
}

/* The outputs of two graphs are the same: exactly, also of infinities and NaNs, or @near. */
static void compare(const char *text, const struct xrnpe_graph *first,
		    const struct xrnpe_graph *second, bool near)
{
	float input[COUNT];

	make_input(input, !near);
	for (uint32_t k = 0; k < first->output_count; k++) {
		size_t count, again;
		float *a = run(first, k, input, &count), *b = run(second, k, input, &again);

		ck_assert_uint_eq(count, again);
		for (size_t i = 0; i < count; i++)
			ck_assert_msg(near ? fabsf(a[i] - b[i]) <= 2e-6f * (4 + fabsf(a[i])) :
				      a[i] == b[i] || (isnan(a[i]) && isnan(b[i])),
				      "%s: element %zu is %a, not %a", text, i, b[i], a[i]);
		free(a);
		free(b);
	}
}

/* @graph as it is after it was written to a file. */
static struct xrnpe_graph *reload(const struct xrnpe_graph *graph)
{
	uint32_t *first = malloc((graph->node_count + 1) * sizeof(*first));
	struct xrnpe_graph *again = graph_new("m.onnx");
	uint8_t *data = NULL;
	size_t size;

	ck_assert(first && again);
	ck_assert_int_eq(onnx_write(graph, first, &data, &size, NULL), 0);
	ck_assert_int_eq(onnx_read(again, data, size, NULL, NULL, NULL), 0);
	free(first);
	free(data);
	return again;
}

/* The model becomes the nodes @expected, and its outputs are the same, or @near. */
static void check(const char *text, const char *expected, bool near)
{
	struct xrnpe_graph *plain = load(text, false), *folded = load(text, true);
	struct xrnpe_graph *again = reload(folded);
	char list[400];

	list_nodes(folded, list);
	ck_assert_msg(!strcmp(list, expected), "%s became %s, not %s", text, list, expected);
	compare(text, plain, folded, near);
	compare(text, folded, again, false);
	xrnpe_graph_free(plain);
	xrnpe_graph_free(folded);
	xrnpe_graph_free(again);
}

struct folded {
	const char *text, *expected;
};

#define CHECK(cases, near)									\
	for (size_t i = 0; i < sizeof(cases) / sizeof((cases)[0]); i++)			\
		check((cases)[i].text, (cases)[i].expected, near)

/* Of one number, whatever they are; the bits are the same. */
START_TEST(functions)
{
	static const struct folded cases[] = {
		{ "a = Sigmoid x; y = Mul x a", "Function" },
		{ "a = Mul x 1.702; b = Sigmoid a; y = Mul b x", "Function" },
		{ "a = Add x 3; b = Clip a 0 6; c = Mul x b; y = Div c 6", "Function" },
		{ "a = Mul x 0.1666; b = Add x 3; c = Clip b 0 6; y = Mul a c", "Function" },
		{ "a = Add 3 x; b = Max a 0; c = Min b 6; d = Mul c 0.1666; y = Mul x d", "Function" },
		{ "a = HardSigmoid x; y = Mul x a", "Function" },
		{ "a = Mul x 0.2; b = Add a 0.5; y = Clip b 0 1", "Function" },
		{ "a = Div x 1.4142135; b = Erf a; c = Add b 1; d = Mul x c; y = Mul d 0.5", "Function" },
		{ "a = Pow x 3; b = Mul a 0.044715; c = Add x b; d = Mul c 0.7978846; e = Tanh d; "
		  "f = Add e 1; g = Mul 0.5 f; y = Mul x g", "Function" },
		{ "a = Softplus x; b = Tanh a; y = Mul x b", "Function" },
		{ "a = Neg x; b = Exp a; c = Add 1 b; y = Reciprocal c", "Function" },
		{ "a = Sub x 1; b = Relu a; c = Sqrt b; y = Div 2 c", "Function" },
		{ "a = Gelu x; b = Elu a; c = Swish b; y = Abs c", "Function" },
		{ "a = Sub 127 x; b = Mul a 0.5; y = Sub b 1", "Function" },
		{ "a = Mul x x; b = Sqrt a; y = Sub b x", "Function" },
	};

	CHECK(cases, false);
}
END_TEST

START_TEST(not_functions)
{
	static const struct folded cases[] = {
		/* Others read what is inside, */
		{ "z = Sigmoid x; y = Mul x z", "Sigmoid Mul" },
		{ "a = Sigmoid x; z = Mul a k; y = Mul x a", "Sigmoid Mul Mul" },
		/* of two numbers, */
		{ "a = Conv x w; b = Sigmoid a; y = Mul x b", "Conv Sigmoid Mul" },
		{ "a = Sigmoid x; y = Mul k a", "Sigmoid Mul" },
		{ "a = GlobalAveragePool x; b = Sigmoid a; y = Mul x b", "GlobalAveragePool Sigmoid Mul" },
		/* or what is one already. */
		{ "y = Sigmoid x", "Sigmoid" },
		{ "a = Add x 3; y = Clip a 0 6", "Add/Clip" },
	};

	CHECK(cases, true);
}
END_TEST

/* What is inside of a function is so large that it is computed in parts. */
START_TEST(function_of_many)
{
	Onnx__ModelProto *made = onnx_new();
	enum { MANY = 3 * 1024 + 5 };
	float *input = malloc(MANY * sizeof(float)), *output = malloc(MANY * sizeof(float));
	struct xrnpe_graph *graph = NULL;
	uint32_t state = 1;
	size_t size;
	uint8_t *data;

	ck_assert(input && output);
	onnx_input(made, "x", DIMS(1, MANY));
	onnx_output(made, "y", DIMS(1, MANY));
	onnx_floats(made, "two", 0, (int64_t[]){ 0 }, (float[]){ 2 });
	onnx_node(made, "Mul", "x x", "a");
	onnx_node(made, "Mul", "a two", "b");
	onnx_node(made, "Sub", "b x", "y");
	data = onnx_pack(made, &size);
	ck_assert_int_eq(xrnpe_graph_parse("m.onnx", data, size, NULL, &graph, NULL), 0);
	ck_assert_uint_eq(graph->node_count, 1);
	ck_assert_str_eq(graph->nodes[0].op_names, "Mul+Mul+Sub");
	for (int i = 0; i < MANY; i++)
		input[i] = onnx_noise(&state);
	ck_assert_int_eq(xrnpe_graph_run(graph, 1, (const float *[]){ input }, (float *[]){ output },
					 NULL, NULL, NULL), 0);
	for (int i = 0; i < MANY; i++) {
		float square = input[i] * input[i];

		ck_assert(output[i] == square * 2 - input[i]);
	}
	xrnpe_graph_free(graph);
	onnx_free(made);
	free(data);
	free(input);
	free(output);
}
END_TEST

START_TEST(limits)
{
	static const struct folded cases[] = {
		{ "a = Max x 0; y = Min a 6", "Clip" },
		{ "a = Min 6 x; y = Max -1 a", "Clip" },
		{ "a = Relu x; b = Min a 6; y = Max b 0", "Clip" },
		{ "a = Clip x -2 5; b = Clip a 0 6; y = Max b 1", "Clip" },
		{ "a = Max x 6; y = Min a 0", "Clip" },
		{ "a = Max x 0; y = Relu a", "Relu" },
		{ "y = Max 0 x", "Relu" },
		{ "z = Max x 0; y = Min z 6", "Relu Clip" },
		/* One limit alone, and limits by channel. */
		{ "y = Min x 6", "Min" },
		{ "y = Max x 1", "Max" },
		{ "y = Max x k", "Max" },
		{ "y = Max x nan", "Max" },
	};

	CHECK(cases, false);
}
END_TEST

START_TEST(prelus)
{
	static const struct folded cases[] = {
		{ "a = Max x 0; b = Min x 0; c = Mul b k; y = Add a c", "PRelu" },
		{ "a = Relu x; b = Min 0 x; c = Mul k b; y = Add c a", "PRelu" },
		{ "a = Relu x; n = Neg x; m = Relu n; c = Mul k m; y = Add a c", "PRelu" },
		/* Another limit, another number, what is read twice. */
		{ "a = Max x 1; b = Min x 0; c = Mul b k; y = Add a c", "Max Min Mul Add" },
		{ "a = Relu x; b = Min x 1; c = Mul b k; y = Add a c", "Relu Min Mul Add" },
		{ "a = Relu x; z = Min x 0; c = Mul z k; y = Add a c", "Min PRelu" },
	};
	/* x - |x| is a NaN for infinity, where PRelu is infinite. */
	static const struct folded finite[] = {
		{ "a = Relu x; b = Abs x; c = Sub x b; d = Mul c k; y = Add a d", "PRelu" },
		{ "a = Relu x; b = Abs a; c = Sub a b; d = Mul c k; y = Add a d", "Relu" },
		{ "a = Relu x; b = Abs x; c = Sub b x; d = Mul c k; y = Add a d", "Relu Function Mul Add" },
		{ "b = Abs x; c = Sub x b; d = Mul c k; y = Add x d", "Function Mul Add" },
	};

	CHECK(cases, false);
	CHECK(finite, true);
}
END_TEST

START_TEST(slopes)
{
	static const struct folded cases[] = {
		{ "c = Conv x w; y = PRelu c k", "Conv/PRelu" },
		{ "c = Conv x w; s = Add c x; p = PRelu s k; y = Clip p -1 1", "Conv/Add/PRelu/Clip" },
		{ "c = ConvTranspose x w; m = Max c 0; n = Min c 0; p = Mul n k; y = Add m p",
		  "ConvTranspose/PRelu" },
		{ "a = Reshape x s84; b = Gemm a q; y = PRelu b l", "Reshape Gemm/PRelu" },
		{ "a = Flatten x; b = Gemm a h; y = PRelu b l", "Conv/PRelu Flatten" },
		{ "a = Flatten x; b = MatMul a h; c = Relu b; y = PRelu c l", "Conv/Relu Flatten PRelu" },
		/* One for all. */
		{ "y = PRelu x 0.25", "LeakyRelu" },
		{ "a = Add x x; y = PRelu a 0.25", "Add/Leaky" },
		/* What has no slopes by channel, what something else reads, slopes by pixel. */
		{ "a = Add x x; y = PRelu a k", "Add PRelu" },
		{ "z = Conv x w; y = PRelu z k", "Conv PRelu" },
		{ "c = Conv x w; y = PRelu c l", "Conv PRelu" },
	};

	CHECK(cases, false);
}
END_TEST

START_TEST(sums)
{
	static const struct folded cases[] = {
		{ "c = Conv x w; y = Sum x c", "Conv/Add" },
		{ "c = Conv x w1; d = Conv x w2; y = Sum x c d", "Conv/Add Conv/Add" },
		{ "c = Conv x w1; d = Conv c w2; y = Sum c d x", "Conv Conv/Add Add" },
		{ "a = Neg x; b = Abs x; c = Sum x a; y = Sum x a b; z = Add c 1",
		  "Abs Function Add Add" },
		/* What is added comes behind the convolution, but does not need it. */
		{ "c = Conv x w; m = MaxPool x kernel_shape=11; n = Neg m; y = Add c n",
		  "MaxPool Neg Conv/Add" },
		{ "c = Conv x w; m = MaxPool c kernel_shape=11; y = Add c m", "Conv MaxPool Add" },
		{ "z = Conv x w; n = Sigmoid x; y = Add z n", "Conv Sigmoid Add" },
		{ "y = Sum x k k x", "Sum" },
	};
	/* An offset goes into the convolution that the sum adds. */
	static const struct folded shifted[] = {
		{ "c = Conv x w; s = Sum c x; y = Add k s", "Conv/Add" },
		{ "c = Conv x w; s = Add x c; t = Sub s k; y = Relu t", "Conv/Add/Relu" },
		{ "c = Conv x w; s = Add x c; y = Mul k s", "Conv/Add Mul" },
		{ "c = Conv x w; z = Add x c; y = Add k z", "Conv/Add Add" },
	};

	CHECK(cases, false);
	CHECK(shifted, true);
}
END_TEST

START_TEST(channels)
{
	static const struct folded cases[] = {
		{ "a = Mul x k1; y = Add a k2", "BatchNormalization" },
		{ "a = Mul k1 x; b = Add 0.5 a; y = Relu b", "BatchNormalization/Relu" },
		{ "a = Mul x 0.5; y = Add a k1", "BatchNormalization" },
		{ "a = Mul x 0.5; y = Add a 1", "Function" },
		{ "z = Mul x k1; y = Add z k2", "Mul Add" },
		{ "a = Mul x inf; y = Add a k2", "Mul Add" },
		{ "a = Add x k1; y = Mul a k2", "Add Mul" },
	};

	CHECK(cases, false);
}
END_TEST

START_TEST(padding)
{
	static const struct folded cases[] = {
		{ "a = Pad x p00110011; y = Conv a v", "Conv" },
		{ "a = Pad x p00020010; y = Conv a v pads=1001", "Conv" },
		{ "a = Pad x p00030000; y = Conv a v pads=1001", "Pad Conv" },
		{ "a = Pad x p00010020; y = Conv a v pads=1111", "Pad Conv" },
		{ "a = Pad x p00010010; y = Conv a v pads=1111", "Conv" },
		{ "t = Transpose x perm=0231; a = Pad t p01100110; b = Transpose a perm=0312; y = Conv b v",
		  "Transpose Transpose Conv" },
		/* By ones, along channels, of what something else reads. */
		{ "a = Pad x p00110011 1; y = Conv a v", "Pad Conv" },
		{ "a = Pad x p00110011 -0; y = Conv a v", "Conv" },
		{ "a = Pad x p01110011; y = Conv a u", "Pad Conv" },
		{ "z = Pad x p00110011; y = Conv z v", "Pad Conv" },
		{ "r = Reshape x s148; a = Pad r p002001; y = Conv a o", "Reshape Conv" },
		{ "r = Reshape x s148; a = Pad r p004002; y = Conv a o dilations=2", "Reshape Conv" },
		{ "r = Reshape x s184; a = Pad r p020000; b = Transpose a perm=021; y = Conv b o",
		  "Reshape Transpose Conv" },
		{ "r = Reshape x s148; a = Pad r p000005; y = Conv a o dilations=2", "Reshape Pad Conv" },
	};

	CHECK(cases, false);
}
END_TEST

/* Around a MaxPool, by what is never its largest. */
START_TEST(padding_maxima)
{
	static const struct folded cases[] = {
		{ "a = Pad x p00110011 -inf; y = MaxPool a kernel_shape=33", "MaxPool" },
		{ "a = Pad x p00010010 -inf; y = MaxPool a kernel_shape=33 pads=1101", "MaxPool" },
		{ "r = Reshape x s148; a = Pad r p002002 -inf; y = MaxPool a kernel_shape=3",
		  "Reshape MaxPool" },
		{ "b = Relu x; a = Pad b p00110011; y = MaxPool a kernel_shape=33 strides=22", "Relu MaxPool" },
		{ "b = Clip x 1 6; a = Pad b p00110011 1; y = MaxPool a kernel_shape=33", "Clip MaxPool" },
		{ "t = Transpose x perm=0231; a = Pad t p01100110 -inf; b = Transpose a perm=0312; "
		  "y = MaxPool b kernel_shape=33", "Transpose Transpose MaxPool" },
		/* By what may be, or by a NaN, which always is. */
		{ "a = Pad x p00110011; y = MaxPool a kernel_shape=33", "Pad MaxPool" },
		{ "b = Clip x 1 6; a = Pad b p00110011 2; y = MaxPool a kernel_shape=33", "Clip Pad MaxPool" },
		{ "b = LeakyRelu x; a = Pad b p00110011; y = MaxPool a kernel_shape=33",
		  "LeakyRelu Pad MaxPool" },
		{ "a = Pad x p00110011 nan; y = MaxPool a kernel_shape=33", "Pad MaxPool" },
		/* A window has nothing else, or would be left out. */
		{ "a = Pad x p00030000 -inf; y = MaxPool a kernel_shape=13", "Pad MaxPool" },
		{ "a = Pad x p00200020 -inf; y = MaxPool a kernel_shape=22 dilations=31", "Pad MaxPool" },
		{ "a = Pad x p00000002 -inf; y = MaxPool a kernel_shape=13 strides=12 ceil_mode=1",
		  "Pad MaxPool" },
		/* Average, along channels, of what something else reads. */
		{ "b = Relu x; a = Pad b p00110011; y = AveragePool a kernel_shape=33", "Relu Pad AveragePool" },
		{ "a = Pad x p01110011 -inf; y = MaxPool a kernel_shape=33", "Pad MaxPool" },
		{ "z = Pad x p00110011 -inf; y = MaxPool z kernel_shape=33", "Pad MaxPool" },
	};

	CHECK(cases, false);
}
END_TEST

START_TEST(moves)
{
	static const struct folded cases[] = {
		{ "c = Conv x w; a = Reshape c s148; y = Reshape a s1424", "Conv" },
		{ "c = Conv x w; a = Flatten c; y = Reshape a s48", "Conv Reshape" },
		{ "c = Conv x w; a = Transpose c perm=0231; y = Transpose a perm=0312", "Conv" },
		{ "c = Conv x w; a = Transpose c perm=0231; y = Transpose a perm=0132", "Conv Transpose" },
		{ "g = GlobalAveragePool x; t = Transpose g perm=0231; y = Reshape t s14",
		  "GlobalAveragePool Reshape" },
		{ "t = Transpose x perm=0231; y = Reshape t s184", "Transpose Reshape" },
		{ "t = Transpose x perm=0213; y = Transpose t perm=1023", "Transpose" },
		/* What is computed in between comes first. */
		{ "a = Transpose x perm=0231; b = Relu a; y = Transpose b perm=0312", "Relu" },
		{ "a = Flatten x; b = Sigmoid a; c = Mul 2 b; y = Reshape c s1424", "Function" },
		{ "a = Reshape x s84; b = Add l a; y = Reshape b s1424", "Add" },
		{ "z = Reshape x s148; y = Relu z", "Reshape Relu" },
		{ "t = Transpose x perm=0231; y = Add t l", "Transpose Add" },
		{ "a = Reshape x s84; b = Mul a a; y = Reshape b s1424", "Reshape Mul Reshape" },
		{ "a = Gather x s0; b = Reshape a s84; y = Relu b", "Relu Reshape" },
	};
	static const struct folded products[] = {
		{ "c = Conv x w; y = HardSigmoid c", "Conv/Clip" },
		{ "c = Conv x w; d = Relu c; y = HardSigmoid d", "Conv/Relu HardSigmoid" },
		{ "c = Conv x w; d = Add x c; y = HardSigmoid d", "Conv/Add HardSigmoid" },
		{ "a = Reshape x s84; b = MatMul a q; y = Add b l", "Reshape Gemm" },
		{ "a = Reshape x s84; b = MatMul a q; c = Reshape b s1424; d = Add c l; y = Relu d",
		  "Reshape Gemm/Relu Reshape" },
		{ "a = Reshape x s184; b = MatMul a q; y = Add b l", "Reshape MatMul" },
		{ "a = Reshape x s184; b = MatMul a q; c = Mul l1 b; d = Sub c l2; e = Add d a; "
		  "y = Relu e", "Reshape MatMul/Add/Relu" },
		{ "a = Reshape x s184; b = MatMul a q; c = Add b a; y = Add c l", "Reshape MatMul/Add" },
		/* Of rows, of what is no constant, of weights that are computed, of several matrices. */
		{ "a = Reshape x s244; b = MatMul q a; y = Add b l", "Reshape MatMul Add" },
		{ "a = Reshape x s184; b = MatMul a q; y = Add b 0.5", "Reshape MatMul" },
		{ "a = Reshape x s184; b = MatMul a q; y = Sub l b", "Reshape MatMul Sub" },
		{ "a = Reshape x s184; b = MatMul a q; y = Add b k", "Reshape MatMul Add" },
		{ "a = Reshape x s481; b = MatMul a k; y = Add b 1", "Reshape MatMul Add" },
	};

	CHECK(cases, false);
	CHECK(products, true);
}
END_TEST

/* What no file of ONNX has, and so may be forged. */
START_TEST(bad_functions)
{
	static const struct {
		const char *operators;
		int64_t operands[2];
		size_t operand_count, parameter_count;
		const char *message;
	} cases[] = {
		{ "Conv", { 0, 0 }, 2, 2, "step 0 is none" },
		{ "Abs Abs", { 0, 0 }, 2, 2, "step 1 is none" },
		{ "Add", { 0, 3 }, 2, 2, "step 0 reads what is not there" },
		{ "Add", { -1, 0 }, 2, 2, "step 0 reads what is not there" },
		{ "", { 0, 0 }, 0, 0, "0 steps have other numbers of operands or parameters" },
		{ "Abs", { 0, 0 }, 2, 1, "1 steps have other numbers of operands or parameters" },
		{ "AbsAbsAbsAbsAbsAbs", { 0, 0 }, 2, 2, "step 0 is none" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct xrnpe_graph *graph = graph_new("m");
		uint32_t input, output;
		struct xrnpe_error error;
		float numbers[2] = { 0, 0 };
		struct graph_attribute attributes[] = {
			{ (char *)"operators", GRAPH_ATTRIBUTE_STRING, 1, { .string = (char *)cases[i].operators } },
			{ (char *)"operands", GRAPH_ATTRIBUTE_INTS, cases[i].operand_count,
			  { .ints = (int64_t *)cases[i].operands } },
			{ (char *)"parameters", GRAPH_ATTRIBUTE_FLOATS, cases[i].parameter_count,
			  { .floats = numbers } },
			{ (char *)"constants", GRAPH_ATTRIBUTE_FLOATS, 2, { .floats = numbers } },
		};
		struct graph_node node = {
			.op = operator_find("Function"), .name = (char *)"f", .op_names = (char *)"Function",
			.inputs = &input, .input_count = 1, .outputs = &output, .output_count = 1,
			.attributes = attributes, .attribute_count = 4,
		};

		ck_assert_int_eq(graph_add_tensor(graph, NULL, &input, &error), 0);
		ck_assert_int_eq(graph_add_tensor(graph, NULL, &output, &error), 0);
		ck_assert_int_eq(node.op->infer(&(struct op){ graph, &node, &error }), -EINVAL);
		ck_assert_msg(strstr(error.message, cases[i].message), "%s", error.message);
		node.attribute_count = 1 + i % 3;
		ck_assert_int_eq(node.op->infer(&(struct op){ graph, &node, &error }), -EINVAL);
		xrnpe_graph_free(graph);
	}
}
END_TEST

TCase *graph_fold_tests(void)
{
	TCase *tests = tcase_create("fold");

	tcase_add_test(tests, functions);
	tcase_add_test(tests, not_functions);
	tcase_add_test(tests, function_of_many);
	tcase_add_test(tests, limits);
	tcase_add_test(tests, prelus);
	tcase_add_test(tests, slopes);
	tcase_add_test(tests, sums);
	tcase_add_test(tests, channels);
	tcase_add_test(tests, padding);
	tcase_add_test(tests, padding_maxima);
	tcase_add_test(tests, moves);
	tcase_add_test(tests, bad_functions);
	return tests;
}

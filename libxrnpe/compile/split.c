// SPDX-License-Identifier: MIT
/*
 * Nodes that the device has no command for, but that are made of others which it has:
 * Softmax, normalisations, divisions, sums of many, some reductions, and filters that resize.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "error.h"
#include "operators/families.h"
#include "operators/parts.h"
#include "place.h"

struct splitting {
	struct compiler *compiler;
	const struct graph_node *node;	/* of the source */
	uint32_t first;			/* node that is added */
	bool in_steps;			/* its channels are reduced, and no window covers them */
	int ret;			/* of what failed; nothing more is added then */
};

/* ---- nodes that are added ---------------------------------------------- */

/* "softmax_1/Exp"; "norm_1/Mul_2" where there is a Mul already. */
static char *part_name(const struct splitting *s, const char *op)
{
	const struct xrnpe_graph *graph = s->compiler->graph;
	unsigned int count = 1;
	char *name;
	int size;

	for (uint32_t n = s->first; n < graph->node_count; n++)
		count += !strcmp(graph->nodes[n].op->name, op);
	size = count > 1 ? asprintf(&name, "%s/%s_%u", s->node->name, op, count) :
			   asprintf(&name, "%s/%s", s->node->name, op);
	return size < 0 ? NULL : name;
}

/* A node that writes @output; GRAPH_NONE: a new tensor. Takes what is in @attributes. */
static uint32_t add_node(struct splitting *s, const char *op, uint32_t output,
			 struct graph_attribute *attributes, uint32_t attribute_count,
			 const uint32_t *inputs, uint32_t count)
{
	struct compiler *compiler = s->compiler;
	char *name = part_name(s, op);

	if (!s->ret && !name)
		s->ret = xrnpe_fail_memory(compiler->error);
	if (!s->ret && output == GRAPH_NONE)
		s->ret = place_new_tensor(compiler, &output);
	if (!s->ret)
		s->ret = build_part(compiler->graph, name, op, count, inputs, output, attributes,
				    attribute_count, compiler->error);
	else
		graph_clear_attributes(attributes, attribute_count);
	free(name);
	return output;
}

/* One with the attribute @axis, or none, and @count inputs, which follow. */
static uint32_t add(struct splitting *s, const char *op, uint32_t output,
		    struct graph_attribute *axis, uint32_t count, ...)
{
	uint32_t inputs[2];
	va_list list;

	va_start(list, count);
	for (uint32_t i = 0; i < count; i++)
		inputs[i] = va_arg(list, uint32_t);
	va_end(list);
	return add_node(s, op, output, axis, axis != NULL, inputs, count);
}

static uint32_t add_one(struct splitting *s, const char *op, uint32_t input)
{
	return add(s, op, GRAPH_NONE, NULL, 1, input);
}

static uint32_t add_two(struct splitting *s, const char *op, uint32_t a, uint32_t b)
{
	return add(s, op, GRAPH_NONE, NULL, 2, a, b);
}

static struct graph_attribute make_attribute(struct splitting *s, const char *name,
					     enum graph_attribute_kind kind, size_t count,
					     const int64_t *values)
{
	struct graph_attribute made = { 0 };

	if (!s->ret && part_attribute(&made, name, kind, count, values))
		s->ret = xrnpe_fail_memory(s->compiler->error);
	return made;
}

/* A constant of @shape, to be filled; NULL: no memory. */
static void *add_constant(struct splitting *s, enum graph_type type, const struct graph_shape *shape,
			  uint32_t *tensor)
{
	void *data = NULL;

	*tensor = GRAPH_NONE;
	if (!s->ret)
		s->ret = place_new_tensor(s->compiler, tensor);
	if (!s->ret)
		s->ret = build_constant(s->compiler->graph, *tensor, type, shape, &data,
					s->compiler->error);
	return data;
}

/* One of floats that are all @value. */
static uint32_t add_values(struct splitting *s, const struct graph_shape *shape, float value)
{
	uint32_t tensor;
	float *data = add_constant(s, GRAPH_FLOAT, shape, &tensor);

	for (size_t i = 0; data && i < graph_count(shape); i++)
		data[i] = value;
	return tensor;
}

static uint32_t add_number(struct splitting *s, float value)
{
	return add_values(s, &(struct graph_shape){ 0 }, value);
}

/* The tensor @x in another shape; @output as for add_node(). */
static uint32_t add_shaped(struct splitting *s, uint32_t x, const struct graph_shape *shape, uint32_t output)
{
	uint32_t dims;
	int64_t *values = add_constant(s, GRAPH_INT, &(struct graph_shape){ 1, { shape->rank } }, &dims);

	for (uint32_t i = 0; values && i < shape->rank; i++)
		values[i] = shape->dims[i];
	return add(s, "Reshape", output, NULL, 2, x, dims);
}

/* ---- reductions -------------------------------------------------------- */

/* The fewest windows, which may overlap, that cover @size elements, and how wide and far apart they are. */
static uint32_t find_windows(uint32_t size, int64_t *kernel, int64_t *stride)
{
	uint32_t count = (size + UINT8_MAX - 1) / UINT8_MAX;

	while (size / count + size % count > UINT8_MAX)
		count++;
	*stride = size / count;
	*kernel = *stride + size % count;
	return count;
}

static uint32_t add_whole_reduction(struct splitting *s, const char *op, uint32_t input, uint32_t first,
				    uint32_t end)
{
	int64_t values[GRAPH_MAX_RANK];
	struct graph_attribute axes;

	for (uint32_t i = first; i < end; i++)
		values[i - first] = i;
	axes = make_attribute(s, "axes", GRAPH_ATTRIBUTE_INTS, end - first, values);
	return add(s, op, GRAPH_NONE, &axes, 1, input);
}

/* Of rows along the last axis the largest in windows, and then of these; or products with one column. */
static uint32_t add_steps(struct splitting *s, const char *op, uint32_t x, uint32_t axis)
{
	struct graph_shape shape = s->compiler->graph->tensors[x].shape;
	uint32_t size = shape.dims[axis];
	struct graph_shape lines = { 4, { 1, 1, (uint32_t)(graph_count(&shape) / size), size } };
	struct graph_attribute windows[2];
	int64_t kernel[2] = { 1 }, stride[2] = { 1 };

	if (strcmp(op, "ReduceMax"))
		return add_two(s, "MatMul", x, add_values(s, &(struct graph_shape){ 2, { size, 1 } },
							  strcmp(op, "ReduceMean") ? 1 : 1.0f / (float)size));
	shape.dims[axis] = find_windows(size, &kernel[1], &stride[1]);
	windows[0] = make_attribute(s, "kernel_shape", GRAPH_ATTRIBUTE_INTS, 2, kernel);
	windows[1] = make_attribute(s, "strides", GRAPH_ATTRIBUTE_INTS, 2, stride);
	x = add_shaped(s, x, &lines, GRAPH_NONE);
	x = add_node(s, "MaxPool", GRAPH_NONE, windows, 2, &x, 1);
	x = add_shaped(s, x, &shape, GRAPH_NONE);
	return add_whole_reduction(s, op, x, axis, axis + 1);
}

/* The axes from @first to before @end reduced to one element. */
static uint32_t add_reduction(struct splitting *s, const char *op, uint32_t input, uint32_t first,
			      uint32_t end)
{
	return s->in_steps ? add_steps(s, op, input, first) : add_whole_reduction(s, op, input, first, end);
}

/* ---- operators --------------------------------------------------------- */

/* Which axis of its image axis @axis of input 0 is. */
static enum image_axis find_axis(const struct splitting *s, uint32_t axis, struct image *image)
{
	struct graph_node node = *s->node;
	const struct placing p = { .compiler = s->compiler, .node = &node };
	const struct graph_shape *shape = &s->compiler->graph->tensors[node.inputs[0]].shape;

	return place_image(&p, 0, image) ? image_axis(shape, image, axis) : IMAGE_NONE;
}

/*
 * Whether the device can reduce axis @axis of input 0: it is the channels of its image. Those of rows
 * that are longer or more than windows cover are reduced in steps.
 */
static bool reduces_channels(struct splitting *s, uint32_t axis)
{
	const struct graph_shape *shape = &s->compiler->graph->tensors[s->node->inputs[0]].shape;
	struct graph_window h, w;
	struct image image, view;

	if (find_axis(s, axis, &image) != IMAGE_C)
		return false;
	if (!place_channels(&image, &view, &h, &w))
		return true;
	s->in_steps = !image.first && axis + 1 == shape->rank && image.c <= XRNPE_MAX_K &&
		      image_pixels(&image) <= UINT16_MAX;
	return s->in_steps;
}

/* Whether it can reduce that axis because it is the lines or the pixels of its image. */
static bool reduces_pixels(const struct splitting *s, uint32_t axis)
{
	struct graph_window h, w;
	struct image image, view;
	enum image_axis along = find_axis(s, axis, &image);

	return (along == IMAGE_H || along == IMAGE_W) &&
	       s->compiler->graph->tensors[s->node->inputs[0]].shape.dims[axis] <= XRNPE_MAX_K &&
	       place_pixel_windows(&image, along == IMAGE_H, along == IMAGE_W, &view, &h, &w);
}

/* Less than the largest by so much, each: numbers that exp() makes at most one of. */
static bool split_softmax(struct splitting *s)
{
	uint32_t axis = s->node->params.softmax.first, end = s->node->params.softmax.end;
	uint32_t x = s->node->inputs[0], powers, sum;

	if (axis + 1 != end || (!reduces_channels(s, axis) && !reduces_pixels(s, axis)))
		return false;
	powers = add_one(s, "Exp", add_two(s, "Sub", x, add_reduction(s, "ReduceMax", x, axis, end)));
	sum = add_reduction(s, "ReduceSum", powers, axis, end);
	add(s, "Mul", s->node->outputs[0], NULL, 2, powers, add_one(s, "Reciprocal", sum));
	return true;
}

static bool split_normalization(struct splitting *s)
{
	const struct xrnpe_graph *graph = s->compiler->graph;
	const struct graph_node *node = s->node;
	bool biased = graph_input(graph, node, 2);
	uint32_t x = node->inputs[0], difference, variance, inverse, result;
	uint32_t axis = node->params.layer.axis, end = axis + 1;

	if (end != graph->tensors[x].shape.rank || !reduces_channels(s, axis) ||
	    graph_output(graph, node, 1) || graph_output(graph, node, 2) ||
	    !graph_input(graph, node, 1)->data || (biased && !graph_input(graph, node, 2)->data))
		return false;
	difference = add_two(s, "Sub", x, add_reduction(s, "ReduceMean", x, axis, end));
	variance = add_reduction(s, "ReduceMean", add_two(s, "Mul", difference, difference), axis, end);
	variance = add_two(s, "Add", variance, add_number(s, node->params.layer.epsilon));
	inverse = add_two(s, "Pow", variance, add_number(s, -0.5f));
	result = add_two(s, "Mul", difference, inverse);
	result = add(s, "Mul", biased ? GRAPH_NONE : node->outputs[0], NULL, 2, result,
		     node->inputs[1]);
	if (biased)
		add(s, "Add", node->outputs[0], NULL, 2, result, node->inputs[2]);
	return true;
}

/* Means over lines and pixels, and then over the channels of each group by a convolution. */
static uint32_t add_means(struct splitting *s, uint32_t x)
{
	const struct graph_shape *shape = &s->compiler->graph->tensors[x].shape;
	uint32_t channels = shape->dims[1], rank = shape->rank, groups = s->node->params.group.groups;
	struct graph_shape weights = { .rank = rank, .dims = { channels, channels / groups } };
	struct graph_attribute group;

	x = add_reduction(s, "ReduceMean", x, 2, rank);
	if (groups == channels)
		return x;
	for (uint32_t i = 2; i < rank; i++)
		weights.dims[i] = 1;
	group = make_attribute(s, "group", GRAPH_ATTRIBUTE_INT, 1, (const int64_t[]){ groups });
	return add(s, "Conv", GRAPH_NONE, &group, 2, x,
		   add_values(s, &weights, (float)groups / (float)channels));
}

/* Parameter @i of the node, by channel of tensor @x. */
static uint32_t add_parameter(struct splitting *s, uint32_t i, uint32_t x)
{
	const struct graph_shape whole = s->compiler->graph->tensors[x].shape;
	const struct graph_tensor *given = graph_input(s->compiler->graph, s->node, i);
	size_t each = whole.dims[1] / graph_count(&given->shape);
	const float *values = given->data;
	struct graph_shape shape = whole;
	uint32_t tensor;
	float *data;

	for (uint32_t k = 0; k < shape.rank; k++)
		shape.dims[k] = k == 1 ? whole.dims[1] : 1;
	data = add_constant(s, GRAPH_FLOAT, &shape, &tensor);
	for (size_t c = 0; data && c < whole.dims[1]; c++)
		data[c] = values[c / each];
	return tensor;
}

static bool is_all(const struct graph_tensor *tensor, float value)
{
	for (size_t i = 0; i < graph_count(&tensor->shape); i++) {
		if (((const float *)tensor->data)[i] != value)
			return false;
	}
	return true;
}

/* The tensor @x as the node's output, which has another shape. */
static void add_reshape(struct splitting *s, uint32_t x)
{
	const struct graph_shape shape = s->compiler->graph->tensors[s->node->outputs[0]].shape;

	add_shaped(s, x, &shape, s->node->outputs[0]);
}

/*
 * The image that is normalised. Of one that was reshaped to rows, one for each group, which is
 * how GroupNormalization is written in old operator sets, the channels are not side by side.
 */
static uint32_t find_grouped(const struct splitting *s)
{
	const struct xrnpe_graph *graph = s->compiler->graph;
	uint32_t x = s->node->inputs[0], n = place_producer(s->compiler, x), from;
	const struct graph_shape *shape;

	if (n == GRAPH_NONE || strcmp(graph->nodes[n].op->name, "Reshape"))
		return x;
	from = graph->nodes[n].inputs[0];
	shape = &graph->tensors[from].shape;
	return shape->rank == 4 && shape->dims[0] == 1 && graph->tensors[x].shape.dims[0] == 1 &&
	       shape->dims[1] % s->node->params.group.groups == 0 ? from : x;
}

static bool split_groups(struct splitting *s)
{
	const struct xrnpe_graph *graph = s->compiler->graph;
	const struct graph_tensor *scale = graph_input(graph, s->node, 1);
	const struct graph_tensor *bias = graph_input(graph, s->node, 2);
	uint32_t x = find_grouped(s), out = s->node->outputs[0], difference, variance, inverse, made;
	bool scaled, biased, reshaped = x != s->node->inputs[0];
	struct image image;

	if (!scale->data || !bias->data || graph->tensors[x].shape.rank < 3 ||
	    graph->tensors[x].shape.rank > 4 || !image_first(&graph->tensors[x].shape, &image))
		return false;
	scaled = !is_all(scale, 1);
	biased = !is_all(bias, 0);
	difference = add_two(s, "Sub", x, add_means(s, x));
	variance = add_means(s, add_two(s, "Mul", difference, difference));
	variance = add_two(s, "Add", variance, add_number(s, s->node->params.group.epsilon));
	inverse = add_two(s, "Pow", variance, add_number(s, -0.5f));
	if (scaled)
		inverse = add_two(s, "Mul", inverse, add_parameter(s, 1, x));
	made = add(s, "Mul", biased || reshaped ? GRAPH_NONE : out, NULL, 2, difference, inverse);
	if (biased)
		made = add(s, "Add", reshaped ? GRAPH_NONE : out, NULL, 2, made, add_parameter(s, 2, x));
	if (reshaped)
		add_reshape(s, made);
	return true;
}

static bool split_division(struct splitting *s)
{
	const struct xrnpe_graph *graph = s->compiler->graph;

	if (graph_input(graph, s->node, 0)->data || graph_input(graph, s->node, 1)->data ||
	    graph_input(graph, s->node, 0)->type != GRAPH_FLOAT)
		return false;
	add(s, "Mul", s->node->outputs[0], NULL, 2, s->node->inputs[0],
	    add_one(s, "Reciprocal", s->node->inputs[1]));
	return true;
}

/* Sum, Max and Min of more than two, from the first on. */
static bool split_chain(struct splitting *s)
{
	const char *op = !strcmp(s->node->op->name, "Sum") ? "Add" : s->node->op->name;
	uint32_t count = s->node->input_count, made = s->node->inputs[0];

	if (count < 3 || graph_output(s->compiler->graph, s->node, 0)->type != GRAPH_FLOAT)
		return false;
	for (uint32_t i = 1; i < count; i++)
		made = add(s, op, i + 1 < count ? GRAPH_NONE : s->node->outputs[0], NULL, 2, made,
			   s->node->inputs[i]);
	return true;
}

/* What writes the reduced numbers: the node's output, or, if a change of shape follows, a new tensor. */
static uint32_t reduced_output(const struct splitting *s)
{
	return s->node->params.reduce.keep ? s->node->outputs[0] : GRAPH_NONE;
}

/* The least is the largest of all the other way round. */
static bool split_minimum(struct splitting *s)
{
	struct graph_node node = *s->node;
	const struct placing p = { .compiler = s->compiler, .node = &node };
	uint32_t rank = place_input(&p, 0)->shape.rank, made;
	bool reduced[IMAGE_NONE] = { false };
	int64_t axes[GRAPH_MAX_RANK];
	struct graph_attribute list;
	struct image image;
	size_t count = 0;

	if (place_input(&p, 0)->type != GRAPH_FLOAT || place_reduced(&p, &image, reduced))
		return false;
	for (uint32_t i = 0; i < rank; i++) {
		if (node.params.reduce.reduced[i])
			axes[count++] = i;
	}
	if (!count)
		return false;
	made = add_one(s, "Neg", node.inputs[0]);
	list = make_attribute(s, "axes", GRAPH_ATTRIBUTE_INTS, count, axes);
	made = add(s, "ReduceMax", GRAPH_NONE, &list, 1, made);
	made = add(s, "Neg", reduced_output(s), NULL, 1, made);
	if (!node.params.reduce.keep)
		add_reshape(s, made);
	return true;
}

/* Most elements that are multiplied one after the other. */
#define MOST_FACTORS 4

/* A product of a few elements along one axis: of its parts. */
static bool split_product(struct splitting *s)
{
	const struct graph_tensor *x = graph_input(s->compiler->graph, s->node, 0);
	const bool *reduced = s->node->params.reduce.reduced;
	uint32_t axis = 0, count, made = GRAPH_NONE;

	while (axis < x->shape.rank && !reduced[axis])
		axis++;
	if (x->type != GRAPH_FLOAT || axis == x->shape.rank)
		return false;
	count = x->shape.dims[axis];
	for (uint32_t i = axis + 1; i < x->shape.rank; i++) {
		if (reduced[i])
			return false;
	}
	if (count < 2 || count > MOST_FACTORS)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		struct graph_attribute along = make_attribute(s, "axis", GRAPH_ATTRIBUTE_INT, 1,
							      (const int64_t[]){ axis });
		uint32_t index, factor;
		int64_t *value = add_constant(s, GRAPH_INT, &(struct graph_shape){ 1, { 1 } }, &index);

		if (value)
			*value = i;
		factor = add(s, "Gather", GRAPH_NONE, &along, 2, s->node->inputs[0], index);
		made = !i ? factor : add(s, "Mul", i + 1 < count ? GRAPH_NONE : reduced_output(s), NULL, 2,
					 made, factor);
	}
	if (!s->node->params.reduce.keep)
		add_reshape(s, made);
	return true;
}

/* Most products for an element that is resized: more take longer than the CPU takes. */
#define MOST_RESIZED 256

/* Whether it is made by copies, or in pieces. */
static bool resizes_by_itself(const struct graph_node *node, const struct graph_shape *in,
			      const struct graph_shape *out)
{
	bool repeats = true;

	if (resize_is_filter(node))
		return false;
	for (uint32_t i = 0; i < in->rank; i++)
		repeats &= resize_repeats(node, i, in->dims[i], out->dims[i]) > 0;
	return repeats || place_interpolates(node, in, out);
}

static uint32_t add_transpose(struct splitting *s, uint32_t x, uint32_t output, uint32_t rank,
			      const int64_t *axes)
{
	struct graph_attribute perm = make_attribute(s, "perm", GRAPH_ATTRIBUTE_INTS, rank, axes);

	return add(s, "Transpose", output, &perm, 1, x);
}

/* Axis @axis of @x, whose channels are last, times the weights of axis @axis + 1 of the node. */
static uint32_t add_filter(struct splitting *s, uint32_t x, uint32_t axis, uint32_t out)
{
	struct graph_shape shape = s->compiler->graph->tensors[x].shape, rows = shape;
	uint32_t in = shape.dims[axis], weights;
	float *matrix = add_constant(s, GRAPH_FLOAT, &(struct graph_shape){ 2, { out, in } }, &weights);
	bool lines = axis + 2 < shape.rank;

	if (matrix && !resize_matrix(s->node, axis + 1, in, out, matrix))
		s->ret = xrnpe_fail_memory(s->compiler->error);
	/* Lines are rows of all their pixels. */
	rows.rank = lines ? 3 : shape.rank;
	rows.dims[2] = lines ? shape.dims[2] * shape.dims[3] : shape.dims[2];
	if (lines)
		x = add_shaped(s, x, &rows, GRAPH_NONE);
	x = add_two(s, "MatMul", weights, x);
	shape.dims[axis] = out;
	return lines ? add_shaped(s, x, &shape, GRAPH_NONE) : x;
}

/* Any other filter is a product along each axis with a matrix of its weights. */
static bool split_resize(struct splitting *s)
{
	static const int64_t last[2][4] = { { 0, 2, 1 }, { 0, 2, 3, 1 } };
	static const int64_t first[2][4] = { { 0, 2, 1 }, { 0, 3, 1, 2 } };
	const struct xrnpe_graph *graph = s->compiler->graph;
	const struct graph_shape in = graph->tensors[s->node->inputs[0]].shape;
	const struct graph_shape out = graph->tensors[s->node->outputs[0]].shape;
	uint64_t products = 0, each = 1;
	uint32_t x, rank = in.rank;
	struct image image;

	if (rank < 3 || rank > 4 || resize_moves(s->node, 0) || resize_moves(s->node, 1) ||
	    !image_first(&in, &image) || resizes_by_itself(s->node, &in, &out) || (uint64_t)image.w * image.c > UINT16_MAX)
		return false;
	/* Of the last axis for each element, of lines for each that the last axis is made of. */
	for (uint32_t i = rank - 1; i > 1; each = each * in.dims[i] / out.dims[i], i--) {
		if (resize_fills(s->node, i, in.dims[i], out.dims[i]))
			return false;
		products += each * in.dims[i];
	}
	if (products > MOST_RESIZED)
		return false;
	x = add_transpose(s, s->node->inputs[0], GRAPH_NONE, rank, last[rank - 3]);
	for (uint32_t i = 2; i < rank; i++) {
		if (resize_moves(s->node, i))
			x = add_filter(s, x, i - 1, out.dims[i]);
	}
	add_transpose(s, x, s->node->outputs[0], rank, first[rank - 3]);
	return true;
}

#define NO_COMMANDS "has axes or inputs that the device has no commands for"

static const struct splitter {
	const char *op;
	bool (*split)(struct splitting *s);
	const char *why;	/* it is not */
} splitters[] = {
	{ "Softmax", split_softmax, NO_COMMANDS },
	{ "LayerNormalization", split_normalization, NO_COMMANDS },
	{ "InstanceNormalization", split_groups, NO_COMMANDS },
	{ "GroupNormalization", split_groups, NO_COMMANDS },
	{ "Div", split_division, NO_COMMANDS },
	{ "Sum", split_chain, NO_COMMANDS },
	{ "Max", split_chain, NO_COMMANDS },
	{ "Min", split_chain, NO_COMMANDS },
	{ "ReduceMin", split_minimum, NO_COMMANDS },
	{ "ReduceProd", split_product, NO_COMMANDS },
	{ "Resize", split_resize,
	  "takes more than 256 products an element, of other axes, or has a value for what lies outside" },
};

/* ---- where it is worth it ---------------------------------------------- */

/* Whether @tensor comes from the device, or from the caller. */
static bool from_device(const struct compiler *compiler, uint32_t tensor)
{
	uint32_t n = place_producer(compiler, tensor);

	return n == GRAPH_NONE || compile_on_device(&compiler->nodes[n]);
}

/*
 * Whether something that multiplies is computed from the output of node @n of the source: else
 * it is as well off on the CPU, where it is exact.
 */
static bool is_multiplied(struct splitting *s, uint32_t n)
{
	const struct xrnpe_graph *source = s->compiler->source;
	bool *from = calloc(source->tensor_count, sizeof(*from)), found = false;

	if (!from)
		s->ret = xrnpe_fail_memory(s->compiler->error);
	else
		from[source->nodes[n].outputs[0]] = true;
	for (n++; from && !found && n < source->node_count; n++) {
		const struct graph_node *node = &source->nodes[n];
		bool reads = false;

		for (uint32_t k = 0; k < node->input_count; k++)
			reads |= node->inputs[k] != GRAPH_NONE && from[node->inputs[k]];
		for (uint32_t k = 0; reads && k < node->output_count; k++) {
			if (node->outputs[k] != GRAPH_NONE)
				from[node->outputs[k]] = true;
		}
		found = reads && graph_node_macs(source, node);
	}
	free(from);
	return found;
}

/* Let the last node that computes apply @activation; a change of shape may follow. */
static void activate_last(struct xrnpe_graph *graph, const struct graph_activation *activation)
{
	uint32_t last = graph->node_count - 1;

	last -= place_is_alias(graph->nodes[last].op->name);
	graph->nodes[last].activation = *activation;
}

int split_node(struct compiler *compiler, uint32_t n, uint32_t *count, const char **whole)
{
	const struct graph_node *node = &compiler->source->nodes[n];
	struct xrnpe_graph *graph = compiler->graph;
	struct splitting s = { .compiler = compiler, .node = node, .first = graph->node_count };
	bool done = false;

	*count = 0;
	*whole = NULL;
	for (size_t i = 0; i < sizeof(splitters) / sizeof(splitters[0]); i++) {
		if (strcmp(node->op->name, splitters[i].op) || node->residual)
			continue;
		*whole = !from_device(compiler, node->inputs[0]) ? "its input comes from the CPU" :
			 !is_multiplied(&s, n) ? "is exact there, and nothing that multiplies follows" : NULL;
		if (*whole)
			continue;
		/* It is known already, and is found again. */
		graph->tensors[node->outputs[0]].known = false;
		done = splitters[i].split(&s);
		*whole = done ? NULL : splitters[i].why;
		graph->tensors[node->outputs[0]].known = true;
	}
	*count = done ? graph->node_count - s.first : 0;
	if (done && !s.ret)
		activate_last(graph, &node->activation);
	return s.ret;
}

// SPDX-License-Identifier: MIT
/*
 * What exporters write as several nodes and the device does as one. Here the last of the
 * nodes becomes the one that does it all; the others stay where somebody else reads them.
 * A zero may come out with the other sign, which no comparison tells.
 */
#include <math.h>

#include "fold.h"

/* The node that computes @tensor if it is a plain @op; NULL: there is none. */
static const struct graph_node *made_by(const struct folding *fold, uint32_t tensor, const char *op)
{
	uint32_t index = tensor == GRAPH_NONE ? GRAPH_NONE : fold->producer[tensor];
	const struct graph_node *node = index == GRAPH_NONE ? NULL : &fold->graph->nodes[index];

	return node && fold_is(node, op) && !fold_activates(node) && !node->residual ? node : NULL;
}

/* Whether @node has two inputs of which one, *@constant, are constant floats. */
static bool has_constant(const struct xrnpe_graph *graph, const struct graph_node *node,
			 uint32_t *constant)
{
	if (node->input_count != 2)
		return false;
	*constant = graph_input(graph, node, 0)->data == NULL;
	return graph_input(graph, node, *constant)->data &&
	       graph_input(graph, node, *constant)->type == GRAPH_FLOAT;
}

/* Whether @tensor is what @op, Max or Min, makes of tensor *@x and a number, *@limit. */
static bool is_limited(const struct folding *fold, uint32_t tensor, const char *op, uint32_t *x,
		       float *limit)
{
	const struct graph_node *node = made_by(fold, tensor, op);
	const struct graph_tensor *number;
	uint32_t constant;

	if (!node && !strcmp(op, "Max") && (node = made_by(fold, tensor, "Relu"))) {
		*x = node->inputs[0];
		*limit = 0;
		return true;
	}
	if (!node || !has_constant(fold->graph, node, &constant))
		return false;
	number = graph_input(fold->graph, node, constant);
	*x = node->inputs[!constant];
	*limit = *(const float *)number->data;
	return graph_count(&number->shape) == 1 && !isnan(*limit) &&
	       graph_shape_equal(&fold->graph->tensors[*x].shape,
				 &graph_output(fold->graph, node, 0)->shape);
}

/* Let @node be an @op of @x alone. */
static int become_unary(struct folding *fold, struct graph_node *node, const char *op, uint32_t x)
{
	node->inputs[0] = x;
	node->input_count = 1;
	return fold_become(fold, node, op);
}

/* ---- limits ------------------------------------------------------------ */

static float clamp(float x, float lo, float hi)
{
	return fminf(fmaxf(x, lo), hi);
}

/* Whether @node limits tensor @x to @lo .. @hi, which may be infinite, and does nothing else. */
static bool limits_of(const struct folding *fold, const struct graph_node *node, uint32_t *x,
		      float *lo, float *hi)
{
	uint32_t output = node->outputs[0];

	if (graph_output(fold->graph, node, 0)->type != GRAPH_FLOAT || fold_activates(node))
		return false;
	*lo = -INFINITY;
	*hi = INFINITY;
	if (!fold_is(node, "Clip"))
		return is_limited(fold, output, "Max", x, lo) || is_limited(fold, output, "Min", x, hi);
	*x = node->inputs[0];
	*lo = node->params.scalar.a;
	*hi = node->params.scalar.b;
	return *lo <= *hi;
}

/* Limits of what has limits become one Clip, or Relu. Exact. */
int fold_limits(struct folding *fold, struct graph_node *node)
{
	uint32_t x, inner, index;
	float lo, hi, inner_lo, inner_hi;
	bool joins;
	int ret;

	if (!limits_of(fold, node, &x, &lo, &hi))
		return 0;
	index = fold->producer[x];
	joins = index != GRAPH_NONE &&
		limits_of(fold, &fold->graph->nodes[index], &inner, &inner_lo, &inner_hi);
	if (joins) {
		x = inner;
		inner_lo = clamp(inner_lo, lo, hi);
		hi = clamp(inner_hi, lo, hi);
		lo = inner_lo;
	}
	if (lo == 0 && hi == INFINITY)
		return joins || !fold_is(node, "Relu") ? become_unary(fold, node, "Relu", x) : 0;
	/* With one limit, a Clip behind a product would limit infinity as well. */
	if (!isfinite(lo) || !isfinite(hi) || (!joins && fold_is(node, "Clip")))
		return 0;
	ret = fold_set_attribute(fold, node, "min", GRAPH_ATTRIBUTE_FLOAT, 1, &lo);
	if (!ret)
		ret = fold_set_attribute(fold, node, "max", GRAPH_ATTRIBUTE_FLOAT, 1, &hi);
	return ret ? ret : become_unary(fold, node, "Clip", x);
}

/* ---- PRelu ------------------------------------------------------------- */

/*
 * Whether @tensor is min(@x, 0) times *@factor: itself, as -Relu(-x), as half of x - |x|.
 * The last is exact but for infinity, of which x - |x| makes a NaN.
 */
static bool is_negative_part(const struct folding *fold, uint32_t tensor, uint32_t x, float *factor)
{
	const struct graph_node *node = made_by(fold, tensor, "Sub"), *inner;
	uint32_t of;
	float limit;

	if (is_limited(fold, tensor, "Min", &of, &limit)) {
		*factor = 1;
		return of == x && limit == 0;
	}
	if (node) {
		*factor = 2;
		inner = made_by(fold, node->inputs[1], "Abs");
		return node->inputs[0] == x && inner && inner->inputs[0] == x;
	}
	*factor = -1;
	if (!is_limited(fold, tensor, "Max", &of, &limit) || limit != 0)
		return false;
	inner = made_by(fold, of, "Neg");
	return inner && inner->inputs[0] == x;
}

/* Make @node a PRelu of @x with the slopes of tensor @slopes times @factor. */
static int become_prelu(struct folding *fold, struct graph_node *node, uint32_t x, uint32_t slopes,
			float factor)
{
	const struct graph_shape shape = fold->graph->tensors[slopes].shape;
	uint32_t made;
	float *values;
	int ret = fold_new_constant(fold, &shape, &made, &values);

	if (ret)
		return ret;
	for (size_t i = 0; i < graph_count(&shape); i++)
		values[i] = ((const float *)fold->graph->tensors[slopes].data)[i] * factor;
	node->inputs[0] = x;
	node->inputs[1] = made;
	return fold_become(fold, node, "PRelu");
}

/* One slope for all elements is LeakyRelu's. Exact. */
static int become_leaky(struct folding *fold, struct graph_node *node)
{
	const struct graph_tensor *slope = graph_input(fold->graph, node, 1);
	int ret;

	if (!slope->data || graph_count(&slope->shape) != 1)
		return 0;
	ret = fold_set_attribute(fold, node, "alpha", GRAPH_ATTRIBUTE_FLOAT, 1, slope->data);
	return ret ? ret : become_unary(fold, node, "LeakyRelu", node->inputs[0]);
}

/* Relu(x) and slopes times the negative part of x are PRelu; of what Relu made they are x. */
int fold_prelu(struct folding *fold, struct graph_node *node)
{
	const struct xrnpe_graph *graph = fold->graph;

	if (fold_is(node, "PRelu"))
		return become_leaky(fold, node);
	if (!fold_is(node, "Add") || fold_activates(node) ||
	    graph_output(graph, node, 0)->type != GRAPH_FLOAT)
		return 0;
	for (uint32_t k = 0; k < 2; k++) {
		const struct graph_node *product = made_by(fold, node->inputs[!k], "Mul");
		uint32_t positive = node->inputs[k], x, constant;
		float limit, factor;

		if (!product || !has_constant(graph, product, &constant) ||
		    !graph_shape_equal(&graph->tensors[positive].shape, &graph_output(graph, node, 0)->shape) ||
		    graph_input(graph, product, constant)->shape.rank > graph->tensors[positive].shape.rank)
			continue;
		if (made_by(fold, positive, "Relu") &&
		    is_negative_part(fold, product->inputs[!constant], positive, &factor))
			return become_unary(fold, node, "Identity", positive);
		if (is_limited(fold, positive, "Max", &x, &limit) && limit == 0 &&
		    is_negative_part(fold, product->inputs[!constant], x, &factor))
			return become_prelu(fold, node, x, product->inputs[constant], factor);
	}
	return 0;
}

/* ---- scale and offset of channels --------------------------------------- */

/* The constant input of @node, all finite, one number for each of @channels or one for all. */
static const float *channel_values(const struct folding *fold, const struct graph_node *node,
				   uint32_t *x, size_t *step)
{
	const struct graph_shape *shape = &graph_output(fold->graph, node, 0)->shape;
	const struct graph_tensor *tensor;
	uint32_t constant;
	size_t count;

	if (!has_constant(fold->graph, node, &constant))
		return NULL;
	tensor = graph_input(fold->graph, node, constant);
	count = graph_count(&tensor->shape);
	*x = !constant;
	*step = count > 1;
	for (size_t i = 0; i < count; i++) {
		if (!isfinite(((const float *)tensor->data)[i]))
			return NULL;
	}
	return fold_is_by_channel(&tensor->shape, shape, 1) &&
	       graph_shape_equal(&graph_input(fold->graph, node, !constant)->shape, shape) ?
	       tensor->data : NULL;
}

/* Mul and Add with constants for each channel are a normalisation without statistics. Exact. */
int fold_channels(struct folding *fold, struct graph_node *add)
{
	const struct graph_shape *shape = &graph_output(fold->graph, add, 0)->shape;
	const float *scale, *offset;
	struct graph_node *mul;
	size_t scale_step, offset_step;
	uint32_t k, x, made[4];
	int ret = 0;

	if (!fold_is(add, "Add") || shape->rank < 3 ||
	    !(offset = channel_values(fold, add, &k, &offset_step)))
		return 0;
	mul = fold_producer(fold, add, k);
	if (!mul || !fold_is(mul, "Mul") || fold_activates(mul) ||
	    !(scale = channel_values(fold, mul, &x, &scale_step)) || !(scale_step || offset_step))
		return 0;
	for (uint32_t i = 0; !ret && i < 4; i++) {
		const struct graph_shape channels = { 1, {
			graph_output(fold->graph, add, 0)->shape.dims[1] } };
		float *values;

		ret = fold_new_constant(fold, &channels, &made[i], &values);
		for (uint32_t c = 0; !ret && c < channels.dims[0]; c++)
			values[c] = i == 0 ? scale[c * scale_step] : i == 1 ? offset[c * offset_step] :
				    i == 3;
	}
	if (!ret)
		ret = fold_extend(fold, mul, 5);
	if (!ret)
		ret = fold_set_attribute(fold, mul, "epsilon", GRAPH_ATTRIBUTE_FLOAT, 1, &(float){ 0 });
	if (ret)
		return ret;
	mul->inputs[0] = mul->inputs[x];
	memcpy(&mul->inputs[1], made, sizeof(made));
	ret = fold_become(fold, mul, "BatchNormalization");
	return ret ? ret : fold_absorb(fold, mul, add);
}

/* ---- padding ----------------------------------------------------------- */

/* What a Pad adds along the axes of windows, in the order of their attribute pads, and of what. */
struct border {
	int64_t pads[4];
	float value;
};

/* The border that @pad adds along @axes axes from @first on; false: it is none, or not known. */
static bool find_border(const struct folding *fold, const struct graph_node *pad, uint32_t first,
			uint32_t axes, struct border *border)
{
	const struct graph_tensor *in = graph_input(fold->graph, pad, 0);
	const struct graph_shape *out = &graph_output(fold->graph, pad, 0)->shape;
	const struct graph_tensor *value = graph_input(fold->graph, pad, 2);

	if (pad->params.pad.mode || in->type != GRAPH_FLOAT || (value && !value->data))
		return false;
	border->value = value ? *(const float *)value->data : pad->params.pad.value;
	for (uint32_t i = 0; i < in->shape.rank; i++) {
		bool inside = i >= first && i < first + axes;
		int64_t begin = pad->params.pad.begin[i];
		int64_t end = (int64_t)out->dims[i] - in->shape.dims[i] - begin;

		if (begin < 0 || end < 0 || (!inside && (begin || end)))
			return false;
		if (inside) {
			border->pads[i - first] = begin;
			border->pads[axes + i - first] = end;
		}
	}
	return true;
}

/* Whether the largest of elements of @tensor and of @value is one of the former. */
static bool is_least(const struct folding *fold, uint32_t tensor, float value)
{
	uint32_t x, producer = fold->producer[tensor];
	float lo = -INFINITY, hi;

	if (producer != GRAPH_NONE && !limits_of(fold, &fold->graph->nodes[producer], &x, &lo, &hi))
		lo = -INFINITY;
	return value <= lo;
}

/* Whether @node moves channels, which are last, to where windows have them. */
static bool brings_channels_first(const struct graph_node *node, uint32_t axes)
{
	const uint32_t *perm = node->params.perm;

	return fold_is(node, "Transpose") && !perm[0] && perm[1] == axes + 1 && perm[2] == 1 &&
	       (axes == 1 || perm[3] == 2);
}

/*
 * Whether a command holds the padding of @window over @in elements, and each of @out windows has some
 * of these, none of which begins in the padding behind.
 */
static bool fits_border(const struct graph_window *window, int64_t begin, int64_t end, uint32_t in,
			uint32_t out)
{
	int64_t reach = (int64_t)(window->kernel - 1) * window->dilation;

	return begin <= UINT8_MAX && begin <= reach && end <= reach && window->dilation <= in &&
	       (int64_t)(out - 1) * window->stride + reach < begin + in + end;
}

/*
 * A border around what a convolution reads is its own padding if it is of zeros, and of a MaxPool if
 * nothing is less. Exact for finite weights.
 */
int fold_pad(struct folding *fold, struct graph_node *node)
{
	const struct graph_windows windows = node->params.windows;
	bool max = fold_is(node, "MaxPool");
	struct graph_node *pad, *reader = node;
	uint32_t first = 2;
	struct border border;
	char *names;
	int ret;

	if (!max && !fold_is(node, "Conv"))
		return 0;
	pad = fold_producer(fold, node, 0);
	if (pad && brings_channels_first(pad, windows.axes)) {
		reader = pad;
		first = 1;
		pad = fold_producer(fold, reader, 0);
	}
	if (!pad || !fold_is(pad, "Pad") || !find_border(fold, pad, first, windows.axes, &border) ||
	    !(max ? is_least(fold, pad->inputs[0], border.value) : border.value == 0))
		return 0;
	for (uint32_t i = 0; i < windows.axes; i++) {
		const struct graph_window *axis = &windows.axis[i];
		int64_t *begin = &border.pads[i], *end = &border.pads[windows.axes + i];

		*begin += axis->pad_begin;
		*end += axis->pad_end;
		if (!fits_border(axis, *begin, *end, graph_input(fold->graph, pad, 0)->shape.dims[first + i],
				 graph_output(fold->graph, node, 0)->shape.dims[2 + i]))
			return 0;
	}
	fold_drop_attribute(node, "auto_pad");
	ret = fold_set_attribute(fold, node, "pads", GRAPH_ATTRIBUTE_INTS, 2 * windows.axes, border.pads);
	if (!ret)
		ret = fold_append_name(fold, pad, reader->op_names);
	if (ret)
		return ret;
	names = pad->op_names;
	pad->op_names = reader->op_names;
	reader->op_names = names;
	reader->inputs[0] = pad->inputs[0];
	if (reader != node)
		ret = fold_become(fold, reader, "Transpose");
	return ret ? ret : fold_become(fold, node, max ? "MaxPool" : "Conv");
}

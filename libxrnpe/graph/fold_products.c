// SPDX-License-Identifier: MIT
/* Products with constant weights: what is folded into these, and what they become. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "error.h"
#include "fold.h"

/* ---- scales and shifts of channels -------------------------------------- */

/* What is applied to each output channel: x * scale[c] + shift[c]. */
struct affine {
	double *scale, *shift;
	size_t count;
};

static int new_affine(const struct folding *fold, size_t count, struct affine *made)
{
	*made = (struct affine){
		malloc(count * sizeof(double)), malloc(count * sizeof(double)), count,
	};
	for (size_t c = 0; made->scale && made->shift && c < count; c++) {
		made->scale[c] = 1;
		made->shift[c] = 0;
	}
	if (made->scale && made->shift)
		return 0;
	free(made->scale);
	free(made->shift);
	return xrnpe_fail_memory(fold->error);
}

/* Which input of @node, that may scale and shift it, is computed; GRAPH_NONE: there is none. */
static uint32_t affine_input(const struct folding *fold, const struct graph_node *node)
{
	bool commutes = fold_is(node, "Add") || fold_is(node, "Mul");

	if (fold_is(node, "BatchNormalization") || fold_is(node, "HardSigmoid"))
		return 0;
	if (!commutes && !fold_is(node, "Sub") && !fold_is(node, "Div"))
		return GRAPH_NONE;
	for (uint32_t i = 0; i < 1u + commutes; i++) {
		const struct graph_tensor *constant = graph_input(fold->graph, node, !i);

		if (constant->data && constant->type == GRAPH_FLOAT)
			return i;
	}
	return GRAPH_NONE;
}

/* What @node does to axis @axis of its input @input; false: something else. */
static bool read_affine(const struct folding *fold, const struct graph_node *node, uint32_t input,
			uint32_t axis, struct affine *affine)
{
	const struct graph_shape *shape = &graph_output(fold->graph, node, 0)->shape;
	bool subtracts = fold_is(node, "Sub"), adds = subtracts || fold_is(node, "Add");
	const struct graph_tensor *constant;
	const float *values;
	size_t step;

	if (fold_is(node, "BatchNormalization")) {
		const float *p[4];

		if (axis != 1)
			return false;
		for (uint32_t i = 0; i < 4; i++) {
			p[i] = graph_input(fold->graph, node, 1 + i)->data;
			if (!p[i])
				return false;
		}
		for (size_t c = 0; c < affine->count; c++) {
			affine->scale[c] = p[0][c] / sqrt((double)p[3][c] + node->params.scalar.a);
			affine->shift[c] = p[1][c] - p[2][c] * affine->scale[c];
		}
		return true;
	}
	if (fold_is(node, "HardSigmoid")) {
		for (size_t c = 0; c < affine->count; c++) {
			affine->scale[c] = node->params.scalar.a;
			affine->shift[c] = node->params.scalar.b;
		}
		return true;
	}
	constant = graph_input(fold->graph, node, !input);
	if (!fold_is_by_channel(&constant->shape, shape, axis))
		return false;
	values = constant->data;
	step = graph_count(&constant->shape) > 1;
	for (size_t c = 0; c < affine->count; c++) {
		double value = values[c * step];

		if (adds)
			affine->shift[c] = subtracts ? -value : value;
		else
			affine->scale[c] = fold_is(node, "Div") ? 1 / value : value;
	}
	return true;
}

/* A constant of @node's own that input @i is from now on, a copy of what it was or zeros. */
static int own_constant(struct folding *fold, struct graph_node *node, uint32_t i,
			const struct graph_shape *shape, float **data)
{
	struct xrnpe_graph *graph = fold->graph;
	const struct graph_tensor *old = graph_input(graph, node, i);
	uint32_t index;
	int ret;

	if (old && fold->readers[node->inputs[i]] == 1) {
		graph_drop_scales(&graph->tensors[node->inputs[i]]);
		*data = old->data;
		return 0;
	}
	ret = fold_new_constant(fold, shape, &index, data);
	if (ret)
		return ret;
	old = graph_input(graph, node, i);
	if (old)
		memcpy(*data, old->data, graph_count(shape) * sizeof(float));
	node->inputs[i] = index;
	return 0;
}

/*
 * Where the weights of an output channel lie: @channels blocks, of @outer pieces of @inner
 * elements each, @step apart.
 */
struct channel_layout {
	size_t channels, outer, inner, step, channel_step;
	uint32_t axis;		/* of the output */
};

/* @columns of @count weights, which lie side by side. */
static struct channel_layout by_columns(size_t count, size_t columns, uint32_t axis)
{
	return (struct channel_layout){ columns, count / columns, 1, columns, 1, axis };
}

/* Of a product with constant weights; false: of another node. */
static bool find_channels(const struct xrnpe_graph *graph, const struct graph_node *node,
			  struct channel_layout *layout)
{
	const struct graph_tensor *weight = graph_input(graph, node, 1);
	const struct graph_shape *shape = weight ? &weight->shape : NULL;
	bool gemm = fold_is(node, "Gemm"), matmul = fold_is(node, "MatMul");
	bool transposed = fold_is(node, "ConvTranspose");
	size_t count, taps;

	if (!(gemm || matmul || transposed || fold_is(node, "Conv")) || !weight->data ||
	    shape->rank < 2)
		return false;
	count = graph_count(shape);
	if (matmul) {
		*layout = by_columns(count, shape->dims[shape->rank - 1],
				     graph_output(graph, node, 0)->shape.rank - 1);
		return layout->outer == shape->dims[shape->rank - 2];
	}
	if (transposed) {
		taps = count / shape->dims[0] / shape->dims[1];
		*layout = (struct channel_layout){
			shape->dims[1], shape->dims[0], taps, count / shape->dims[0], taps, 1,
		};
		return node->params.windows.groups == 1;
	}
	*layout = gemm && !node->params.gemm.trans_b ?
		  by_columns(count, shape->dims[1], 1) : (struct channel_layout){
		shape->dims[0], 1, count / shape->dims[0], 0, count / shape->dims[0], 1,
	};
	return true;
}

/* A bias is one element for each of @channels, or left out. */
static bool has_plain_bias(const struct xrnpe_graph *graph, const struct graph_node *node,
			   size_t channels)
{
	const struct graph_tensor *bias = graph_input(graph, node, 2);

	return !bias || (bias->data && graph_count(&bias->shape) == channels &&
			 (bias->shape.rank == 0 || bias->shape.dims[bias->shape.rank - 1] == channels));
}

/* Put the affine function behind the product @node into its weights and bias. */
static int apply_affine(struct folding *fold, struct graph_node *node, const struct affine *affine,
			const struct channel_layout *layout, const struct graph_node *from)
{
	const struct graph_shape shape = graph_input(fold->graph, node, 1)->shape;
	const struct graph_shape biases = { 1, { (uint32_t)layout->channels } };
	float *weight, *bias;
	int ret = fold_extend(fold, node, 3);

	if (!ret)
		ret = own_constant(fold, node, 1, &shape, &weight);
	if (!ret)
		ret = own_constant(fold, node, 2, &biases, &bias);
	for (size_t c = 0; !ret && c < layout->channels; c++) {
		float scale = (float)affine->scale[c];
		bool finite;

		bias[c] = (float)(bias[c] * affine->scale[c] + affine->shift[c]);
		finite = isfinite(bias[c]);
		for (size_t o = 0; o < layout->outer; o++) {
			float *at = weight + c * layout->channel_step + o * layout->step;

			for (size_t i = 0; i < layout->inner; i++) {
				at[i] *= scale;
				finite &= isfinite(at[i]);
			}
		}
		if (!finite)
			ret = graph_fail(fold->graph, from, fold->error, -EINVAL,
					 "channel %zu overflows when folded into %s", c, node->name);
	}
	return ret;
}

/*
 * The product that computes input @i of @node alone, or that @node's input, an Add of two,
 * adds to something else, which is possible for a shift; NULL: there is none. *@absorbs is
 * what @node becomes part of.
 */
static struct graph_node *product_before(const struct folding *fold, const struct graph_node *node,
					 uint32_t i, struct channel_layout *layout,
					 struct graph_node **absorbs)
{
	const struct graph_shape *shape = &graph_output(fold->graph, node, 0)->shape;
	bool shifts = fold_is(node, "Add") || fold_is(node, "Sub");
	struct graph_node *before = fold_producer(fold, node, i);

	*absorbs = before;
	for (uint32_t k = 0; before && k < 2; k++) {
		struct graph_node *product = fold_is(before, "Add") && shifts ?
					     fold_producer(fold, before, k) : before;

		if (product && !fold_activates(before) && !fold_activates(product) &&
		    !product->residual && find_channels(fold->graph, product, layout) &&
		    layout->channels == shape->dims[layout->axis] &&
		    has_plain_bias(fold->graph, product, layout->channels) &&
		    graph_shape_equal(&graph_output(fold->graph, product, 0)->shape, shape) &&
		    graph_shape_equal(&graph_output(fold->graph, before, 0)->shape, shape))
			return product;
	}
	return NULL;
}

int fold_affine(struct folding *fold, struct graph_node *node)
{
	const struct graph_tensor *out = graph_output(fold->graph, node, 0);
	struct channel_layout layout;
	struct graph_node *product, *absorbs;
	struct affine affine;
	uint32_t input = affine_input(fold, node);
	bool limits = fold_is(node, "HardSigmoid");
	int ret;

	if (input == GRAPH_NONE || out->type != GRAPH_FLOAT || out->shape.rank < 2)
		return 0;
	product = product_before(fold, node, input, &layout, &absorbs);
	ret = product ? new_affine(fold, layout.channels, &affine) : 0;
	if (!product || ret)
		return ret;
	if (read_affine(fold, node, input, layout.axis, &affine)) {
		ret = apply_affine(fold, product, &affine, &layout, node);
		if (!ret)
			ret = fold_absorb(fold, absorbs, node);
		if (!ret && limits)
			product->activation = (struct graph_activation){ .clamps = true, .hi = 1 };
	}
	free(affine.scale);
	free(affine.shift);
	return ret;
}

int fold_gemm(struct folding *fold, struct graph_node *node)
{
	float alpha = node->params.gemm.alpha, beta = node->params.gemm.beta;
	const struct graph_tensor *bias = graph_input(fold->graph, node, 2);
	struct channel_layout layout;
	struct graph_shape biases = { 1, { 0 } };
	struct affine affine;
	float single = 0;
	bool spreads;
	int ret;

	if (!fold_is(node, "Gemm") || !find_channels(fold->graph, node, &layout) ||
	    (bias && (!bias->data ||
		      (graph_count(&bias->shape) != 1 &&
		       !has_plain_bias(fold->graph, node, layout.channels)))))
		return 0;
	spreads = bias && graph_count(&bias->shape) == 1 && layout.channels > 1;
	if (alpha == 1 && beta == 1 && !spreads)
		return 0;
	biases.dims[0] = (uint32_t)layout.channels;
	if (spreads) {
		single = *(const float *)bias->data;
		node->inputs[2] = GRAPH_NONE;
	}
	ret = new_affine(fold, layout.channels, &affine);
	if (ret)
		return ret;
	/* The bias is beta's alone: what alpha would make of it is taken back. */
	if (!spreads && bias) {
		float *values;

		ret = own_constant(fold, node, 2, &biases, &values);
		for (size_t c = 0; !ret && c < layout.channels; c++) {
			affine.shift[c] = (double)values[c] * beta;
			values[c] = 0;
		}
	}
	for (size_t c = 0; !ret && c < layout.channels; c++) {
		affine.scale[c] = alpha;
		affine.shift[c] += (double)single * beta;
	}
	if (!ret)
		ret = apply_affine(fold, node, &affine, &layout, node);
	fold_drop_attribute(node, "alpha");
	fold_drop_attribute(node, "beta");
	node->params.gemm.alpha = node->params.gemm.beta = 1;
	free(affine.scale);
	free(affine.shift);
	return ret;
}

/* ---- products over a flattened image ------------------------------------ */

/* The node that makes a list of an image of 1 x c x h x w for @gemm alone; NULL: none does. */
static struct graph_node *flattening(const struct folding *fold, const struct graph_node *gemm)
{
	struct graph_node *before = fold_producer(fold, gemm, 0);
	const struct graph_shape *image;

	if (!before || !(fold_is(before, "Flatten") || fold_is(before, "Reshape")))
		return NULL;
	image = &graph_input(fold->graph, before, 0)->shape;
	return image->rank == 4 && image->dims[0] == 1 && image->dims[2] * image->dims[3] > 1 &&
	       graph_output(fold->graph, gemm, 0)->shape.dims[0] == 1 ? before : NULL;
}

/* The weights of @gemm as those of a convolution whose kernel covers @image. */
static int convolution_weights(struct folding *fold, const struct graph_node *gemm,
			       const struct channel_layout *layout, const struct graph_shape *image,
			       uint32_t *index)
{
	const struct graph_shape shape = { 4, { (uint32_t)layout->channels, image->dims[1],
						image->dims[2], image->dims[3] } };
	size_t k = layout->outer * layout->inner;
	const float *from;
	float *made;
	int ret = fold_new_constant(fold, &shape, index, &made);

	if (ret)
		return ret;
	from = graph_input(fold->graph, gemm, 1)->data;
	for (size_t n = 0; n < layout->channels; n++) {
		for (size_t i = 0; i < k; i++)
			made[n * k + i] = from[n * layout->channel_step +
							  i / layout->inner * layout->step +
							  i % layout->inner];
	}
	return 0;
}

/* The slopes of the Gemm @node, if it has any, as those of a convolution. */
static int convolution_slopes(struct folding *fold, struct graph_node *node)
{
	const struct graph_tensor *slopes = graph_input(fold->graph, node, GRAPH_SLOPES);
	struct graph_shape shape = { 3, { 1, 1, 1 } };
	uint32_t index;
	float *made;
	int ret;

	if (!slopes)
		return 0;
	shape.dims[0] = (uint32_t)graph_count(&slopes->shape);
	ret = fold_new_constant(fold, &shape, &index, &made);
	if (ret)
		return ret;
	memcpy(made, graph_input(fold->graph, node, GRAPH_SLOPES)->data, shape.dims[0] * sizeof(*made));
	node->inputs[GRAPH_SLOPES] = index;
	return 0;
}

/*
 * A Gemm over an image that was flattened is a convolution whose kernel covers the image:
 * the device keeps the channels of a pixel together, so that flattening would move them
 * all. The result of 1 x n x 1 x 1 is flattened instead, which moves nothing.
 */
int fold_flatten(struct folding *fold, struct graph_node *gemm)
{
	struct xrnpe_graph *graph = fold->graph;
	struct graph_node *flatten, conv;
	struct op op = { graph, &conv, fold->error };
	struct channel_layout layout;
	struct graph_shape image;
	uint32_t weight, result;
	int ret;

	if (!fold_is(gemm, "Gemm") || gemm->residual || gemm->params.gemm.trans_a ||
	    gemm->params.gemm.alpha != 1 || gemm->params.gemm.beta != 1 ||
	    !find_channels(graph, gemm, &layout) || !has_plain_bias(graph, gemm, layout.channels))
		return 0;
	flatten = flattening(fold, gemm);
	if (!flatten)
		return 0;
	image = graph_input(graph, flatten, 0)->shape;
	ret = convolution_weights(fold, gemm, &layout, &image, &weight);
	if (!ret)
		ret = convolution_slopes(fold, gemm);
	if (!ret)
		ret = graph_add_tensor(graph, NULL, &result, fold->error);
	if (ret)
		return ret;

	/* The two change places: the flattening comes behind. */
	conv = *gemm;
	*gemm = *flatten;
	gemm->op = operator_find("Flatten");
	graph_clear_attributes(gemm->attributes, gemm->attribute_count);
	gemm->attribute_count = 0;
	gemm->input_count = 1;
	gemm->outputs[0] = conv.outputs[0];
	conv.op = operator_find("Conv");
	graph_clear_attributes(conv.attributes, conv.attribute_count);
	conv.attribute_count = 0;
	conv.inputs[0] = gemm->inputs[0];
	conv.inputs[1] = weight;
	conv.outputs[0] = result;
	gemm->inputs[0] = result;
	ret = conv.op->infer(&op);
	graph->tensors[result].known = true;
	*flatten = conv;
	return ret;
}

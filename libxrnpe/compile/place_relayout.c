// SPDX-License-Identifier: MIT
/* Copies of tensors for readers that need them in another order in memory. */
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "place.h"

static int append_tensor(struct compiler *compiler, uint32_t like, uint32_t *made)
{
	struct xrnpe_graph *graph = compiler->graph;
	int ret = place_new_tensor(compiler, made);

	if (ret)
		return ret;
	graph->tensors[*made].type = graph->tensors[like].type;
	graph->tensors[*made].shape = graph->tensors[like].shape;
	graph->tensors[*made].known = true;
	return 0;
}

static void copy_values(const struct op_call *call)
{
	memcpy(call_out(call, 0), call_in(call, 0),
	       graph_count(&call_output(call, 0)->shape) * sizeof(float));
}

/* What the device does between nodes that see a tensor differently: nothing to its values. */
static const struct operator relayout = {
	.name = "Relayout", .min_inputs = 1, .max_inputs = 1, .max_outputs = 1,
	.compute = copy_values,
};

bool place_is_relayout(const struct graph_node *node)
{
	return node->op == &relayout;
}

/* A node that reads @from as @read by order @order, and writes @image. */
static int append_relayout(struct compiler *compiler, uint32_t from, const struct image *read,
			   enum xrnpe_order order, const struct image *image, uint32_t *to)
{
	struct place place = {
		.kind = PLACE_COPY,
		.cmd = {
			.opcode = XRNPE_OP_COPY, .order = (uint8_t)order,
			.copy = {
				.in_h = (uint16_t)image->h, .in_w = (uint16_t)image->w,
				.in_c = (uint16_t)image->c, .out_h = (uint16_t)image->h,
				.out_w = (uint16_t)image->w, .out_c = (uint16_t)image->c,
				.up_h = 1, .up_w = 1,
			},
		},
		.reads = { { .tensor = from, .image = *read, .factor = 1 } },
		.read_count = 1,
	};
	struct graph_node node = {
		.op = &relayout, .name = strdup(compiler->graph->tensors[from].name),
		.op_names = strdup(relayout.name), .inputs = malloc(sizeof(*node.inputs)),
		.outputs = malloc(sizeof(*node.outputs)), .input_count = 1, .output_count = 1,
	};
	int ret = append_tensor(compiler, from, to);

	if (!ret && (!node.name || !node.op_names || !node.inputs || !node.outputs))
		ret = xrnpe_fail_memory(compiler->error);
	if (ret) {
		graph_clear_node(&node);
		return ret;
	}
	node.inputs[0] = from;
	node.outputs[0] = *to;
	place_set_image(compiler, *to, image);
	return place_append(compiler, &node, &place);
}

static bool is_exactly(const struct image *a, const struct image *b)
{
	return a->h == b->h && a->w == b->w && a->c == b->c && a->first == b->first;
}

/* The copy of @tensor that lies as @image, if one was made. */
static uint32_t find_relayout(const struct compiler *compiler, uint32_t tensor,
			      const struct image *image)
{
	for (uint32_t n = 0; n < compiler->graph->node_count; n++) {
		const struct graph_node *node = &compiler->graph->nodes[n];

		if (place_is_relayout(node) && node->inputs[0] == tensor &&
		    is_exactly(&compiler->tensors[node->outputs[0]].image, image))
			return node->outputs[0];
	}
	return GRAPH_NONE;
}

int place_relayout(struct compiler *compiler, uint32_t tensor, const struct image *image,
		   uint32_t *copy)
{
	struct image from = *place_find_image(compiler, tensor), planes;
	bool wide = false;
	int ret = 0;

	*copy = find_relayout(compiler, tensor, image);
	if (*copy != GRAPH_NONE)
		return 0;
	if (image_same(&from, image, &wide))
		return append_relayout(compiler, tensor, image, XRNPE_ORDER_HWC, image, copy);
	if (from.first && image_pixels(&from) > 1) {
		planes = (struct image){ from.c, from.h, from.w, false };
		ret = append_relayout(compiler, tensor, &from, XRNPE_ORDER_WCH, &planes, copy);
		tensor = *copy;
	}
	if (ret || !image->first || image_pixels(image) == 1 || image->c == 1)
		return ret;
	planes = (struct image){ image->c, image->h, image->w, false };
	return append_relayout(compiler, tensor, &planes, XRNPE_ORDER_CHW, image, copy);
}

// SPDX-License-Identifier: MIT
/* Copies of a graph, or of some of its nodes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "copy.h"
#include "error.h"

struct xrnpe_graph *copy_new(const struct xrnpe_graph *from)
{
	struct xrnpe_graph *to = graph_new(from->name);

	if (to)
		to->opset = from->opset;
	return to;
}

/* @size bytes from malloc(); NULL for none, which is no error. */
static void *copy_bytes(const void *from, size_t size, bool *failed)
{
	void *to = from && size ? malloc(size) : NULL;

	if (to)
		memcpy(to, from, size);
	else if (from && size)
		*failed = true;
	return to;
}

static char *copy_text(const char *from, bool *failed)
{
	return copy_bytes(from, from ? strlen(from) + 1 : 0, failed);
}

int copy_tensor(struct xrnpe_graph *to, const struct xrnpe_graph *from, uint32_t index, bool share,
		uint32_t *copied, struct xrnpe_error *error)
{
	const struct graph_tensor *tensor = &from->tensors[index];
	bool failed = false;
	char *name = copy_text(tensor->name, &failed);
	struct graph_tensor *made;
	int ret;

	if (!name)
		return xrnpe_fail_memory(error);
	ret = graph_add_tensor(to, name, copied, error);
	if (ret)
		return ret;
	made = &to->tensors[*copied];
	made->type = tensor->type;
	made->shape = tensor->shape;
	made->known = tensor->known;
	made->data = tensor->data;
	made->scales = share ? tensor->scales : NULL;
	/* A constant of no elements has memory too. */
	if (tensor->data && !share)
		made->data = copy_bytes(tensor->data, graph_count(&tensor->shape) *
					graph_type_size(tensor->type) + 1, &failed);
	return failed ? xrnpe_fail_memory(error) : 0;
}

void copy_unshare(struct xrnpe_graph *to, uint32_t count)
{
	for (uint32_t i = 0; i < count && i < to->tensor_count; i++) {
		to->tensors[i].data = NULL;
		to->tensors[i].scales = NULL;
	}
}

static void copy_attribute(struct graph_attribute *to, const struct graph_attribute *from,
			   bool *failed)
{
	*to = *from;
	to->name = copy_text(from->name, failed);
	switch (from->kind) {
	case GRAPH_ATTRIBUTE_INT:
	case GRAPH_ATTRIBUTE_INTS:
		to->ints = copy_bytes(from->ints, from->count * sizeof(*from->ints), failed);
		break;
	case GRAPH_ATTRIBUTE_FLOAT:
	case GRAPH_ATTRIBUTE_FLOATS:
		to->floats = copy_bytes(from->floats, from->count * sizeof(*from->floats), failed);
		break;
	case GRAPH_ATTRIBUTE_STRING:
		to->string = copy_text(from->string, failed);
		break;
	case GRAPH_ATTRIBUTE_TENSOR:
		break;
	}
}

int copy_node(struct graph_node *to, const struct graph_node *from, struct xrnpe_error *error)
{
	bool failed = false;

	*to = *from;
	to->name = copy_text(from->name, &failed);
	to->op_names = copy_text(from->op_names, &failed);
	to->unsupported = NULL;
	to->inputs = copy_bytes(from->inputs, from->input_count * sizeof(*from->inputs), &failed);
	to->outputs = copy_bytes(from->outputs, from->output_count * sizeof(*from->outputs),
				 &failed);
	to->attributes = calloc(from->attribute_count + 1, sizeof(*to->attributes));
	failed |= !to->attributes;
	for (uint32_t i = 0; to->attributes && i < from->attribute_count; i++)
		copy_attribute(&to->attributes[i], &from->attributes[i], &failed);
	if (!failed)
		return 0;
	if (!to->attributes)
		to->attribute_count = 0;
	graph_clear_node(to);
	return xrnpe_fail_memory(error);
}

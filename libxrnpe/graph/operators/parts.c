// SPDX-License-Identifier: MIT
/* What operators add that are made of others. */
#include <stdarg.h>
#include <stdlib.h>

#include "build.h"
#include "parts.h"

int part_attribute(struct graph_attribute *attribute, const char *name,
		   enum graph_attribute_kind kind, size_t count, const int64_t *values)
{
	*attribute = (struct graph_attribute){
		.name = strdup(name), .kind = kind, .count = count,
		.ints = malloc(count * sizeof(*values)),
	};
	if (!attribute->name || !attribute->ints) {
		graph_clear_attributes(attribute, 1);
		return -ENOMEM;
	}
	memcpy(attribute->ints, values, count * sizeof(*values));
	return 0;
}

uint32_t part(const struct op *op, int *ret, const char *name,
	      const struct graph_attribute *attribute, uint32_t count, ...)
{
	struct graph_attribute own = attribute ? *attribute : (struct graph_attribute){ 0 };
	uint32_t inputs[5], output = GRAPH_NONE;
	va_list list;

	va_start(list, count);
	for (uint32_t i = 0; i < count; i++)
		inputs[i] = va_arg(list, uint32_t);
	va_end(list);
	if (!*ret)
		*ret = graph_add_tensor(op->graph, NULL, &output, op->error);
	if (!*ret)
		*ret = build_part(op->graph, op->node->name, name, count, inputs, output, &own, attribute != NULL,
				  op->error);
	else if (attribute)
		graph_clear_attributes(&own, 1);
	return *ret ? GRAPH_NONE : output;
}

uint32_t part_ints(const struct op *op, int *ret, const char *name, const char *attribute,
		   enum graph_attribute_kind kind, size_t count, const int64_t *values,
		   uint32_t input)
{
	struct graph_attribute made;

	if (!*ret && part_attribute(&made, attribute, kind, count, values))
		*ret = xrnpe_fail_memory(op->error);
	return *ret ? GRAPH_NONE : part(op, ret, name, &made, 1, input);
}

uint32_t part_list(const struct op *op, int *ret, uint32_t count, const int64_t *values)
{
	const struct graph_shape shape = { 1, { count } };
	uint32_t tensor = GRAPH_NONE;
	void *data;

	if (!*ret)
		*ret = graph_add_tensor(op->graph, NULL, &tensor, op->error);
	if (!*ret)
		*ret = build_constant(op->graph, tensor, GRAPH_INT, &shape, &data, op->error);
	if (!*ret)
		memcpy(data, values, count * sizeof(*values));
	return tensor;
}

uint32_t part_reshape(const struct op *op, int *ret, uint32_t input, uint32_t count,
		      const int64_t *dims)
{
	uint32_t shape = part_list(op, ret, count, dims);

	return part(op, ret, "Reshape", NULL, 2, input, shape);
}

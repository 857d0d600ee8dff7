// SPDX-License-Identifier: MIT
/* Reads the scales of tensors from ONNX files. */
#include <errno.h>
#include <stdlib.h>

#include "error.h"
#include "onnx_scales.h"

/* The format that a key names; false: it is none of ours. */
static bool key_format(const char *key, enum xrnpe_format *format)
{
	return !strncmp(key, ONNX_SCALES_KEY, strlen(ONNX_SCALES_KEY)) &&
	       !xrnpe_format_from_name(key + strlen(ONNX_SCALES_KEY), format) &&
	       (unsigned int)*format < XRNPE_PRODUCT_FORMATS;
}

static int fail(const struct xrnpe_graph *graph, const char *tensor, const char *what,
		struct xrnpe_error *error)
{
	char text[64];

	return xrnpe_fail(error, -EINVAL, "%s: the scales of tensor %s %s", graph->name,
			  graph_printable(tensor, text), what);
}

/* Whether the constant is a list of scales, or one: positive, with room for quotients. */
static bool are_scales(const struct graph_tensor *constant)
{
	const float *values = constant->data;
	size_t count = graph_count(&constant->shape);

	if (!values || constant->type != GRAPH_FLOAT || constant->shape.rank > 1 || !count)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!(values[i] >= GRAPH_MIN_SCALE && values[i] <= GRAPH_MAX_SCALE))
			return false;
	}
	return true;
}

static int add_scales(struct xrnpe_graph *graph, uint32_t index, enum xrnpe_format format,
		      uint32_t from, struct xrnpe_error *error)
{
	struct graph_tensor *tensor = &graph->tensors[index];
	const struct graph_tensor *constant = &graph->tensors[from];
	size_t count = graph_count(&constant->shape);

	if (!tensor->scales)
		tensor->scales = calloc(1, sizeof(*tensor->scales));
	if (!tensor->scales)
		return xrnpe_fail_memory(error);
	if (tensor->scales->values[format])
		return fail(graph, tensor->name, "are given twice", error);
	tensor->scales->values[format] = malloc(count * sizeof(float));
	if (!tensor->scales->values[format])
		return xrnpe_fail_memory(error);
	memcpy(tensor->scales->values[format], constant->data, count * sizeof(float));
	tensor->scales->count[format] = (uint32_t)count;
	return 0;
}

static int read_annotation(struct xrnpe_graph *graph, const Onnx__TensorAnnotation *annotation,
			   const Onnx__StringStringEntryProto *entry, struct xrnpe_error *error)
{
	const char *name = annotation->tensor_name ? annotation->tensor_name : "";
	uint32_t tensor = graph_find(graph, name);
	uint32_t from = graph_find(graph, entry->value ? entry->value : "");
	enum xrnpe_format format;

	if (!entry->key || !key_format(entry->key, &format))
		return 0;
	if (tensor == GRAPH_NONE)
		return fail(graph, name, "are those of none that there is", error);
	if (from == GRAPH_NONE || !are_scales(&graph->tensors[from]))
		return fail(graph, name, "are no initializer of positive binary32 numbers", error);
	if (!graph->tensors[tensor].data && graph_count(&graph->tensors[from].shape) != 1)
		return fail(graph, name, "are several, but it is computed and has one", error);
	return add_scales(graph, tensor, format, from, error);
}

int onnx_read_scales(struct xrnpe_graph *graph, const Onnx__GraphProto *proto,
		     struct xrnpe_error *error)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < proto->n_quantization_annotation; i++) {
		const Onnx__TensorAnnotation *annotation = proto->quantization_annotation[i];

		for (size_t k = 0; !ret && k < annotation->n_quant_parameter_tensor_names; k++)
			ret = read_annotation(graph, annotation,
					      annotation->quant_parameter_tensor_names[k], error);
	}
	return ret;
}

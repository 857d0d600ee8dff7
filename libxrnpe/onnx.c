// SPDX-License-Identifier: MIT
/*
 * The ONNX importer. A file is not to be trusted: every number is checked before
 * it is used, and what is not understood in full is refused by name.
 */
#include <errno.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "onnx.h"
#include "onnx.pb-c.h"

/* Operators mean what they do here since this version of the operator set. */
#define ONNX_MIN_OPSET 7
/* Sub-messages within sub-messages; a network without control flow needs 7. */
#define ONNX_MAX_DEPTH 32

/* ---- nesting ----------------------------------------------------------- */

/*
 * protobuf-c unpacks by recursion without limit, so a small hostile file could
 * exhaust the stack. This walks the wire format with a limit first.
 */
struct wire {
	const uint8_t *at, *end;
};

static bool wire_varint(struct wire *wire, uint64_t *value)
{
	*value = 0;
	for (unsigned int shift = 0; shift < 64; shift += 7) {
		if (wire->at == wire->end)
			return false;
		*value |= (uint64_t)(*wire->at & 0x7f) << shift;
		if (!(*wire->at++ & 0x80))
			return true;
	}
	return false;
}

static bool wire_skip(struct wire *wire, uint64_t bytes)
{
	if (bytes > (uint64_t)(wire->end - wire->at))
		return false;
	wire->at += bytes;
	return true;
}

static bool nesting_is_sane(struct wire wire, const ProtobufCMessageDescriptor *type,
			    unsigned int depth)
{
	if (!depth)
		return false;
	while (wire.at < wire.end) {
		const ProtobufCFieldDescriptor *field;
		struct wire inner;
		uint64_t key, value;

		if (!wire_varint(&wire, &key))
			return false;
		switch (key & 7) {
		case PROTOBUF_C_WIRE_TYPE_VARINT:
			if (!wire_varint(&wire, &value))
				return false;
			break;
		case PROTOBUF_C_WIRE_TYPE_64BIT:
			if (!wire_skip(&wire, 8))
				return false;
			break;
		case PROTOBUF_C_WIRE_TYPE_32BIT:
			if (!wire_skip(&wire, 4))
				return false;
			break;
		case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
			if (!wire_varint(&wire, &value))
				return false;
			inner.at = wire.at;
			if (!wire_skip(&wire, value))
				return false;
			inner.end = wire.at;
			/* Protobuf numbers have 29 bits; protobuf-c looks at 32. */
			field = protobuf_c_message_descriptor_get_field(type,
									(unsigned int)(key >> 3));
			if (field && field->type == PROTOBUF_C_TYPE_MESSAGE &&
			    !nesting_is_sane(inner, field->descriptor, depth - 1))
				return false;
			break;
		default:	/* groups, which nobody writes any more */
			return false;
		}
	}
	return true;
}

/* ---- values ------------------------------------------------------------ */

/* What a tensor's name stands for. */
struct value {
	char *name;
	const Onnx__TensorProto *constant;	/* or NULL: the output of @node */
	uint32_t node;
	bool flat;	/* of rank 2 in the file: batch x c */
};

struct importer {
	struct xrnpe_graph *graph;
	const Onnx__GraphProto *proto;
	struct xrnpe_error *error;
	void *values;		/* struct value by name, for tsearch() */
	int64_t batch;		/* size of the input's first dimension; 0: not fixed */
};

/* One operator as the file has it, while it is imported. */
struct op {
	struct importer *importer;
	const Onnx__NodeProto *proto;
	const char *name;	/* of the node, or of its output where it has none */
};

static int op_fail(const struct op *op, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A name fit for a message: what is not printable is replaced, what is long cut. */
static const char *printable(const char *name, char text[64])
{
	size_t i;

	for (i = 0; name[i] && i < 63; i++)
		text[i] = name[i] >= ' ' && name[i] != 0x7f ? name[i] : '?';
	text[i] = 0;
	return text;
}

static int op_fail(const struct op *op, int code, const char *format, ...)
{
	char text[256], name[64], type[64];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	return xrnpe_fail(op->importer->error, code, "%s: node %s (%s): %s",
			  op->importer->graph->name, printable(op->name, name),
			  printable(op->proto->op_type, type), text);
}

static int compare_values(const void *a, const void *b)
{
	return strcmp(((const struct value *)a)->name, ((const struct value *)b)->name);
}

static struct value *find_value(struct importer *importer, const char *name)
{
	struct value key = { .name = (char *)name };
	struct value **found = tfind(&key, &importer->values, compare_values);

	return found ? *found : NULL;
}

static void free_value(void *value)
{
	free(((struct value *)value)->name);
	free(value);
}

static int add_value(struct importer *importer, const struct value *value)
{
	struct value *copy = malloc(sizeof(*copy)), **found;
	char text[64];

	if (!copy)
		return xrnpe_fail_memory(importer->error);
	*copy = *value;
	copy->name = strdup(value->name);
	found = copy->name ? tsearch(copy, &importer->values, compare_values) : NULL;
	if (found && *found == copy)
		return 0;
	free(copy->name);
	free(copy);
	if (!found)
		return xrnpe_fail_memory(importer->error);
	return xrnpe_fail(importer->error, -EINVAL, "%s: tensor %s is defined twice",
			  importer->graph->name, printable(value->name, text));
}

/* ---- constants --------------------------------------------------------- */

/* Elements that the dimensions ask for; -1: negative or more than could be stored. */
static int64_t tensor_count(const Onnx__TensorProto *tensor)
{
	int64_t count = 1;

	for (size_t i = 0; i < tensor->n_dims; i++) {
		if (tensor->dims[i] < 0 || __builtin_mul_overflow(count, tensor->dims[i], &count))
			return -1;
	}
	return count;
}

/* Check that @tensor holds its elements, of @type, in itself: in raw_data or in @listed. */
static int check_constant(const struct op *op, const Onnx__TensorProto *tensor, int32_t type,
			  size_t size, size_t listed)
{
	const char *name = tensor->name ? tensor->name : "";
	int64_t count = tensor_count(tensor);
	char text[64];

	printable(name, text);
	if ((tensor->has_data_location &&
	     tensor->data_location != ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT) ||
	    tensor->n_external_data)
		return op_fail(op, -ENOTSUP, "constant %s lies outside the file", text);
	if (tensor->segment)
		return op_fail(op, -ENOTSUP, "constant %s is split into segments", text);
	if (!tensor->has_data_type || tensor->data_type != type)
		return op_fail(op, -ENOTSUP, "constant %s has element type %d, not %d", text,
			       tensor->has_data_type ? tensor->data_type : 0, type);
	if (count < 0 || (uint64_t)count > SIZE_MAX / size)
		return op_fail(op, -EINVAL, "constant %s has impossible dimensions", text);
	if (tensor->has_raw_data ? tensor->raw_data.len != (size_t)count * size || listed :
				   listed != (size_t)count)
		return op_fail(op, -EINVAL, "constant %s holds not as many elements as its dimensions say",
			       text);
	return 0;
}

/* Little-endian element @i of raw data. */
static uint64_t raw_element(const Onnx__TensorProto *tensor, size_t i, size_t size)
{
	uint64_t value = 0;

	for (size_t byte = 0; byte < size; byte++)
		value |= (uint64_t)tensor->raw_data.data[i * size + byte] << (8 * byte);
	return value;
}

/* The constant that input @i of the operator names, or an error that says @what it is. */
static int constant_input(const struct op *op, size_t i, const char *what,
			  const Onnx__TensorProto **tensor)
{
	const char *name = i < op->proto->n_input ? op->proto->input[i] : "";
	struct value *value = find_value(op->importer, name);
	char text[64];

	if (!*name)
		return op_fail(op, -EINVAL, "%s is missing", what);
	printable(name, text);
	if (!value)
		return op_fail(op, -EINVAL, "%s %s is not defined", what, text);
	if (!value->constant)
		return op_fail(op, -ENOTSUP, "%s %s is computed, not constant", what, text);
	*tensor = value->constant;
	return 0;
}

/* Finite floats of input @i, @count of them, for the caller to free. */
static int float_input(const struct op *op, size_t i, const char *what, size_t count, float **out)
{
	const Onnx__TensorProto *tensor;
	float *values;
	int ret = constant_input(op, i, what, &tensor);

	if (!ret)
		ret = check_constant(op, tensor, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 4,
				     tensor->n_float_data);
	if (ret)
		return ret;
	if ((size_t)tensor_count(tensor) != count)
		return op_fail(op, -EINVAL, "%s has %lld elements, not %zu", what,
			       (long long)tensor_count(tensor), count);
	values = malloc(count * sizeof(*values));
	if (!values)
		return xrnpe_fail_memory(op->importer->error);
	for (size_t k = 0; k < count; k++) {
		if (tensor->has_raw_data) {
			uint32_t bits = (uint32_t)raw_element(tensor, k, 4);

			memcpy(&values[k], &bits, 4);
		} else {
			values[k] = tensor->float_data[k];
		}
		if (!isfinite(values[k])) {
			free(values);
			return op_fail(op, -EINVAL, "%s holds a value that is not finite", what);
		}
	}
	*out = values;
	return 0;
}

/* ---- attributes -------------------------------------------------------- */

static int64_t clamp_int(int64_t value)
{
	/* Out of every range that is ever asked for, and safe to calculate with. */
	return value > INT_MAX ? INT_MAX : value < INT_MIN ? INT_MIN : value;
}

static const Onnx__AttributeProto *find_attribute(const struct op *op, const char *name)
{
	for (size_t i = 0; i < op->proto->n_attribute; i++) {
		const Onnx__AttributeProto *attribute = op->proto->attribute[i];

		if (attribute->name && !strcmp(attribute->name, name))
			return attribute;
	}
	return NULL;
}

/* Refuse attributes other than @names (space-separated): they may change the meaning. */
static int check_attributes(const struct op *op, const char *names)
{
	for (size_t i = 0; i < op->proto->n_attribute; i++) {
		const Onnx__AttributeProto *attribute = op->proto->attribute[i];
		const char *name = attribute->name ? attribute->name : "";
		size_t length = strlen(name);
		const char *at = names;
		char text[64];

		printable(name, text);
		while (length && (at = strstr(at, name)) &&
		       ((at > names && at[-1] != ' ') || (at[length] && at[length] != ' ')))
			at++;
		if (!length || !at)
			return op_fail(op, -ENOTSUP, "attribute %s is not supported", text);
		if (attribute->ref_attr_name && *attribute->ref_attr_name)
			return op_fail(op, -ENOTSUP, "attribute %s refers to a function's", text);
		if (find_attribute(op, name) != attribute)
			return op_fail(op, -EINVAL, "attribute %s is given twice", text);
	}
	return 0;
}

/*
 * Files older than the "type" field leave it out; then a scalar that is present
 * serves as well.
 */
static bool attribute_is(const Onnx__AttributeProto *attribute,
			 Onnx__AttributeProto__AttributeType type, bool present)
{
	return attribute->has_type ? attribute->type == type : present;
}

static int int_attribute(const struct op *op, const char *name, int64_t min, int64_t max,
			 int64_t fallback, int64_t *value)
{
	const Onnx__AttributeProto *attribute = find_attribute(op, name);

	*value = fallback;
	if (!attribute)
		return 0;
	if (!attribute_is(attribute, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT, attribute->has_i))
		return op_fail(op, -EINVAL, "attribute %s is not an integer", name);
	*value = attribute->has_i ? clamp_int(attribute->i) : 0;
	if (*value < min || *value > max)
		return op_fail(op, -ENOTSUP, "attribute %s is %lld; supported is %lld to %lld",
			       name, (long long)*value, (long long)min, (long long)max);
	return 0;
}

static int float_attribute(const struct op *op, const char *name, float fallback, float *value)
{
	const Onnx__AttributeProto *attribute = find_attribute(op, name);

	*value = fallback;
	if (!attribute)
		return 0;
	if (!attribute_is(attribute, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT, attribute->has_f))
		return op_fail(op, -EINVAL, "attribute %s is not a float", name);
	*value = attribute->has_f ? attribute->f : 0;
	if (!isfinite(*value))
		return op_fail(op, -EINVAL, "attribute %s is not finite", name);
	return 0;
}

/* @count integers; values[] keeps what it holds where the attribute is absent. */
static int ints_attribute(const struct op *op, const char *name, int64_t min, int64_t max,
			  size_t count, int64_t *values)
{
	const Onnx__AttributeProto *attribute = find_attribute(op, name);

	if (!attribute)
		return 0;
	if (!attribute_is(attribute, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS, true))
		return op_fail(op, -EINVAL, "attribute %s is not a list of integers", name);
	if (attribute->n_ints != count)
		return op_fail(op, -ENOTSUP, "attribute %s has %zu elements, not %zu", name,
			       attribute->n_ints, count);
	for (size_t i = 0; i < count; i++) {
		values[i] = clamp_int(attribute->ints[i]);
		if (values[i] < min || values[i] > max)
			return op_fail(op, -ENOTSUP,
				       "attribute %s holds %lld; supported is %lld to %lld", name,
				       (long long)values[i], (long long)min, (long long)max);
	}
	return 0;
}

/* ---- operators --------------------------------------------------------- */

/* The tensor that input @i of the operator names, computed by an earlier node. */
static int tensor_input(const struct op *op, size_t i, struct value **value)
{
	const char *name = i < op->proto->n_input ? op->proto->input[i] : "";
	char text[64];

	if (!*name)
		return op_fail(op, -EINVAL, "input %zu is missing", i);
	*value = find_value(op->importer, name);
	printable(name, text);
	if (!*value)
		return op_fail(op, -EINVAL, "input %s is not defined by a node before it", text);
	if ((*value)->constant)
		return op_fail(op, -ENOTSUP, "input %s is a constant", text);
	return 0;
}

static int check_inputs(const struct op *op, size_t min, size_t max)
{
	if (op->proto->n_input < min || op->proto->n_input > max)
		return op_fail(op, -EINVAL, "has %zu inputs", op->proto->n_input);
	return 0;
}

/* Give the operator's output a name: the result of @node. */
static int define_output(const struct op *op, uint32_t node, bool flat)
{
	struct value value = { .name = op->proto->output[0], .node = node, .flat = flat };

	return add_value(op->importer, &value);
}

/* A node for the operator that reads @input; its shape is the input's until changed. */
static int new_node(const struct op *op, enum graph_op kind, const struct value *input,
		    struct graph_node **node)
{
	struct xrnpe_graph *graph = op->importer->graph;
	char name[64];

	*node = graph_append(graph, kind, printable(op->name, name), op->proto->op_type,
			     op->importer->error);
	if (!*node)
		return -ENOMEM;
	(*node)->inputs = 1;
	(*node)->input[0] = input->node;
	(*node)->shape = graph->nodes[input->node].shape;
	return 0;
}

static int define_node(const struct op *op, struct graph_node *node, bool flat)
{
	node->flat = flat;
	if (graph_shape_count(&node->shape) > GRAPH_MAX_ELEMENTS)
		return op_fail(op, -ENOTSUP, "output of %u x %u x %u is too large",
			       node->shape.c, node->shape.h, node->shape.w);
	return define_output(op, op->importer->graph->count - 1, flat);
}

static int image_input(const struct op *op, struct value **value)
{
	int ret = tensor_input(op, 0, value);

	if (!ret && (*value)->flat)
		ret = op_fail(op, -EINVAL, "input is not an image (of rank 4)");
	return ret;
}

struct axis {
	int64_t in, kernel, stride, dilation, pad_begin, pad_end, out;
};

/* Output size along one axis from the rest, as the ONNX operators define it. */
static int solve_axis(const struct op *op, struct axis *axis, const char *auto_pad, bool ceil_mode)
{
	int64_t extent = (axis->kernel - 1) * axis->dilation + 1;
	int64_t span;

	if (!strncmp(auto_pad, "SAME_", 5)) {
		int64_t pad;

		axis->out = (axis->in + axis->stride - 1) / axis->stride;
		pad = (axis->out - 1) * axis->stride + extent - axis->in;
		if (pad < 0)
			pad = 0;
		axis->pad_begin = strcmp(auto_pad, "SAME_LOWER") ? pad / 2 : pad - pad / 2;
		axis->pad_end = pad - axis->pad_begin;
		if (axis->pad_begin > UINT8_MAX)
			return op_fail(op, -ENOTSUP, "needs more than %d lines of padding", UINT8_MAX);
		return 0;
	}
	span = axis->in + axis->pad_begin + axis->pad_end - extent;
	if (span < 0)
		return op_fail(op, -EINVAL, "kernel of %lld does not fit the input of %lld",
			       (long long)extent, (long long)axis->in);
	axis->out = span / axis->stride + 1;
	if (ceil_mode && span % axis->stride) {
		axis->out++;
		/* A window that starts in the padding behind the image is left out. */
		if ((axis->out - 1) * axis->stride >= axis->in + axis->pad_begin)
			axis->out--;
	}
	return 0;
}

/* Whether every window along the axis has a tap on the image. */
static bool windows_meet_image(const struct axis *axis)
{
	for (int64_t o = 0; o < axis->out; o++) {
		int64_t tap = 0;

		for (; tap < axis->kernel; tap++) {
			int64_t at = o * axis->stride - axis->pad_begin + tap * axis->dilation;

			if (at >= 0 && at < axis->in)
				break;
		}
		if (tap == axis->kernel)
			return false;
	}
	return true;
}

/*
 * Read the attributes of a sliding window, and set the node's window and the height
 * and width of its shape. @kernel holds the kernel's size where the weights tell it.
 */
static int import_window(const struct op *op, struct graph_node *node, int64_t kernel[2])
{
	const struct graph_shape *in = graph_input_shape(op->importer->graph, node);
	const Onnx__AttributeProto *attribute = find_attribute(op, "auto_pad");
	int64_t strides[2] = { 1, 1 }, dilations[2] = { 1, 1 }, pads[4] = { 0 };
	int64_t given[2] = { kernel[0], kernel[1] };
	int64_t ceil_mode = 0;
	char auto_pad[12] = "NOTSET";
	struct axis y, x;
	int ret;

	ret = ints_attribute(op, "kernel_shape", 1, UINT8_MAX, 2, given);
	if (!ret)
		ret = ints_attribute(op, "strides", 1, UINT8_MAX, 2, strides);
	if (!ret)
		ret = ints_attribute(op, "dilations", 1, UINT8_MAX, 2, dilations);
	if (!ret)
		ret = ints_attribute(op, "pads", 0, UINT8_MAX, 4, pads);
	if (!ret)
		ret = int_attribute(op, "ceil_mode", 0, 1, 0, &ceil_mode);
	if (ret)
		return ret;
	if (!given[0])
		return op_fail(op, -EINVAL, "attribute kernel_shape is missing");
	if (kernel[0] && (given[0] != kernel[0] || given[1] != kernel[1]))
		return op_fail(op, -EINVAL, "attribute kernel_shape contradicts the weights");
	if (attribute) {
		if (!attribute->has_s || attribute->s.len >= sizeof(auto_pad))
			return op_fail(op, -EINVAL, "attribute auto_pad is malformed");
		memset(auto_pad, 0, sizeof(auto_pad));
		memcpy(auto_pad, attribute->s.data, attribute->s.len);
		if (strcmp(auto_pad, "NOTSET") && strcmp(auto_pad, "VALID") &&
		    strcmp(auto_pad, "SAME_UPPER") && strcmp(auto_pad, "SAME_LOWER"))
			return op_fail(op, -EINVAL, "attribute auto_pad is malformed");
		if (strcmp(auto_pad, "NOTSET") && (pads[0] | pads[1] | pads[2] | pads[3]))
			return op_fail(op, -EINVAL, "has both auto_pad and pads");
	}

	y = (struct axis){ in->h, given[0], strides[0], dilations[0], pads[0], pads[2], 0 };
	x = (struct axis){ in->w, given[1], strides[1], dilations[1], pads[1], pads[3], 0 };
	ret = solve_axis(op, &y, auto_pad, ceil_mode);
	if (!ret)
		ret = solve_axis(op, &x, auto_pad, ceil_mode);
	if (ret)
		return ret;
	if (y.out > UINT16_MAX || x.out > UINT16_MAX)
		return op_fail(op, -ENOTSUP, "output of %lld x %lld pixels is too large",
			       (long long)y.out, (long long)x.out);
	if (node->op == GRAPH_MAXPOOL && (!windows_meet_image(&y) || !windows_meet_image(&x)))
		return op_fail(op, -ENOTSUP, "a window lies in the padding altogether");
	if (node->op == GRAPH_AVGPOOL) {
		int64_t include_pad;

		/* Then the divisor would differ from pixel to pixel. */
		ret = int_attribute(op, "count_include_pad", 0, 1, 0, &include_pad);
		if (ret)
			return ret;
		if (!include_pad && (y.pad_begin || y.pad_end || x.pad_begin || x.pad_end))
			return op_fail(op, -ENOTSUP, "padding that does not count is not supported");
		if (ceil_mode)
			return op_fail(op, -ENOTSUP, "attribute ceil_mode is not supported");
	}

	node->window = (struct graph_window){
		.kernel_h = (uint32_t)y.kernel, .kernel_w = (uint32_t)x.kernel,
		.stride_h = (uint32_t)y.stride, .stride_w = (uint32_t)x.stride,
		.dilation_h = (uint32_t)y.dilation, .dilation_w = (uint32_t)x.dilation,
		.pad_top = (uint32_t)y.pad_begin, .pad_left = (uint32_t)x.pad_begin,
	};
	node->shape.h = (uint32_t)y.out;
	node->shape.w = (uint32_t)x.out;
	return 0;
}

static int import_conv(const struct op *op)
{
	const Onnx__TensorProto *weight;
	struct graph_node *node;
	struct value *input;
	int64_t groups, kernel[2];
	uint32_t in_c;
	int ret;

	ret = check_inputs(op, 2, 3);
	if (!ret)
		ret = check_attributes(op, "auto_pad dilations group kernel_shape pads strides");
	if (!ret)
		ret = image_input(op, &input);
	if (!ret)
		ret = constant_input(op, 1, "weight", &weight);
	if (!ret)
		ret = int_attribute(op, "group", 1, UINT16_MAX, 1, &groups);
	if (!ret)
		ret = new_node(op, GRAPH_CONV, input, &node);
	if (ret)
		return ret;

	in_c = node->shape.c;
	if (weight->n_dims != 4)
		return op_fail(op, -ENOTSUP, "weight is of rank %zu, not 4", weight->n_dims);
	if (in_c % groups || weight->dims[1] != in_c / groups)
		return op_fail(op, -EINVAL,
			       "weight takes %lld channels a group, the input has %u in %lld groups",
			       (long long)weight->dims[1], in_c, (long long)groups);
	if (weight->dims[0] < 1 || weight->dims[0] > UINT16_MAX || weight->dims[0] % groups)
		return op_fail(op, -ENOTSUP, "has %lld output channels in %lld groups",
			       (long long)weight->dims[0], (long long)groups);
	for (int i = 0; i < 2; i++) {
		kernel[i] = weight->dims[2 + i];
		if (kernel[i] < 1 || kernel[i] > UINT8_MAX)
			return op_fail(op, -ENOTSUP, "kernel size %lld is not supported",
				       (long long)kernel[i]);
	}
	node->groups = (uint32_t)groups;
	node->shape.c = (uint32_t)weight->dims[0];
	node->weight_count = (size_t)node->shape.c * (in_c / node->groups) *
			     (size_t)kernel[0] * (size_t)kernel[1];
	ret = import_window(op, node, kernel);
	if (!ret)
		ret = float_input(op, 1, "weight", node->weight_count, &node->weight);
	if (!ret && op->proto->n_input == 3 && *op->proto->input[2])
		ret = float_input(op, 2, "bias", node->shape.c, &node->bias);
	return ret ? ret : define_node(op, node, false);
}

static int import_gemm(const struct op *op)
{
	const Onnx__TensorProto *weight, *bias;
	struct graph_node *node;
	struct value *input;
	int64_t trans_a, trans_b;
	float alpha, beta, *values;
	uint32_t k, n;
	int ret;

	ret = check_inputs(op, 2, 3);
	if (!ret)
		ret = check_attributes(op, "alpha beta transA transB");
	if (!ret)
		ret = float_attribute(op, "alpha", 1, &alpha);
	if (!ret)
		ret = float_attribute(op, "beta", 1, &beta);
	if (!ret)
		ret = int_attribute(op, "transA", 0, 0, 0, &trans_a);
	if (!ret)
		ret = int_attribute(op, "transB", INT_MIN, INT_MAX, 0, &trans_b);
	if (!ret)
		ret = tensor_input(op, 0, &input);
	if (!ret)
		ret = constant_input(op, 1, "weight", &weight);
	if (!ret)
		ret = new_node(op, GRAPH_GEMM, input, &node);
	if (ret)
		return ret;

	if (!input->flat)
		return op_fail(op, -EINVAL, "input is not a matrix (of rank 2)");
	k = node->shape.c;
	if (weight->n_dims != 2 || weight->dims[trans_b ? 1 : 0] != k)
		return op_fail(op, -EINVAL, "weight does not fit the input of %u elements", k);
	if (weight->dims[trans_b ? 0 : 1] < 1 || weight->dims[trans_b ? 0 : 1] > UINT16_MAX)
		return op_fail(op, -ENOTSUP, "has %lld outputs",
			       (long long)weight->dims[trans_b ? 0 : 1]);
	n = node->shape.c = (uint32_t)weight->dims[trans_b ? 0 : 1];
	node->groups = 1;
	node->weight_count = (size_t)k * n;
	ret = float_input(op, 1, "weight", node->weight_count, &values);
	if (ret)
		return ret;
	node->weight = malloc(node->weight_count * sizeof(float));
	if (!node->weight) {
		free(values);
		return xrnpe_fail_memory(op->importer->error);
	}
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < k; j++)
			node->weight[i * k + j] = alpha * values[trans_b ? i * k + j : j * n + i];
	}
	free(values);

	if (op->proto->n_input == 3 && *op->proto->input[2]) {
		size_t count;

		ret = constant_input(op, 2, "bias", &bias);
		if (ret)
			return ret;
		/* One row of n, or one element for all. */
		count = tensor_count(bias) == 1 ? 1 : n;
		if (bias->n_dims > 2 || (bias->n_dims == 2 && bias->dims[0] != 1))
			return op_fail(op, -ENOTSUP, "bias is not a row");
		ret = float_input(op, 2, "bias", count, &values);
		if (ret)
			return ret;
		node->bias = malloc(n * sizeof(float));
		for (size_t i = 0; node->bias && i < n; i++)
			node->bias[i] = beta * values[count == 1 ? 0 : i];
		free(values);
		if (!node->bias)
			return xrnpe_fail_memory(op->importer->error);
	}
	for (size_t i = 0; i < node->weight_count; i++) {
		if (!isfinite(node->weight[i]))
			return op_fail(op, -EINVAL, "alpha times weight overflows");
	}
	for (size_t i = 0; node->bias && i < n; i++) {
		if (!isfinite(node->bias[i]))
			return op_fail(op, -EINVAL, "beta times bias overflows");
	}
	return define_node(op, node, true);
}

static int import_norm(const struct op *op)
{
	float epsilon, momentum, *mean = NULL, *variance = NULL;
	struct graph_node *node;
	struct value *input;
	int64_t training;
	uint32_t c;
	int ret;

	ret = check_inputs(op, 5, 5);
	if (!ret)
		ret = check_attributes(op, "epsilon momentum training_mode spatial");
	if (!ret)
		ret = float_attribute(op, "epsilon", 1e-5f, &epsilon);
	if (!ret)
		ret = float_attribute(op, "momentum", 0.9f, &momentum);
	if (!ret)
		ret = int_attribute(op, "training_mode", 0, 0, 0, &training);
	if (!ret)
		ret = int_attribute(op, "spatial", 1, 1, 1, &training);
	if (!ret)
		ret = tensor_input(op, 0, &input);
	if (!ret)
		ret = new_node(op, GRAPH_NORM, input, &node);
	if (ret)
		return ret;
	c = node->shape.c;
	node->weight_count = c;
	ret = float_input(op, 1, "scale", c, &node->weight);
	if (!ret)
		ret = float_input(op, 2, "bias", c, &node->bias);
	if (!ret)
		ret = float_input(op, 3, "mean", c, &mean);
	if (!ret)
		ret = float_input(op, 4, "variance", c, &variance);
	for (uint32_t i = 0; !ret && i < c; i++) {
		double scale;

		if (variance[i] < 0 || (double)variance[i] + epsilon <= 0) {
			ret = op_fail(op, -EINVAL, "variance of channel %u is negative or zero", i);
			break;
		}
		scale = node->weight[i] / sqrt((double)variance[i] + epsilon);
		node->bias[i] = (float)(node->bias[i] - mean[i] * scale);
		node->weight[i] = (float)scale;
		if (!isfinite(node->bias[i]) || !isfinite(node->weight[i]))
			ret = op_fail(op, -EINVAL, "channel %u overflows", i);
	}
	free(mean);
	free(variance);
	return ret ? ret : define_node(op, node, input->flat);
}

static int add_activation(const struct op *op, const struct graph_activation *activation)
{
	struct graph_node *node;
	struct value *input;
	int ret = tensor_input(op, 0, &input);

	if (!ret)
		ret = new_node(op, GRAPH_ACTIVATION, input, &node);
	if (ret)
		return ret;
	node->activation = *activation;
	return define_node(op, node, input->flat);
}

static int import_relu(const struct op *op)
{
	int ret = check_inputs(op, 1, 1);

	if (!ret)
		ret = check_attributes(op, "");
	return ret ? ret : add_activation(op, &(struct graph_activation){ .kind = XRNPE_ACT_RELU });
}

static int import_leaky_relu(const struct op *op)
{
	struct graph_activation activation = { .kind = XRNPE_ACT_LEAKY };
	int ret = check_inputs(op, 1, 1);

	if (!ret)
		ret = check_attributes(op, "alpha");
	if (!ret)
		ret = float_attribute(op, "alpha", 0.01f, &activation.slope);
	return ret ? ret : add_activation(op, &activation);
}

/* A limit is an attribute until version 10 of the operators, then an input; or there is none. */
static int clip_limit(const struct op *op, const char *name, size_t input, float *limit)
{
	float *value;
	int ret = float_attribute(op, name, *limit, limit);

	if (ret || input >= op->proto->n_input || !*op->proto->input[input])
		return ret;
	ret = float_input(op, input, name, 1, &value);
	if (ret)
		return ret;
	*limit = *value;
	free(value);
	return 0;
}

static int import_clip(const struct op *op)
{
	struct graph_activation activation = { .clamps = true, .lo = -FLT_MAX, .hi = FLT_MAX };
	int ret = check_inputs(op, 1, 3);

	if (!ret)
		ret = check_attributes(op, "max min");
	if (!ret)
		ret = clip_limit(op, "min", 1, &activation.lo);
	if (!ret)
		ret = clip_limit(op, "max", 2, &activation.hi);
	if (!ret && activation.lo > activation.hi)
		ret = op_fail(op, -EINVAL, "min %g is above max %g", activation.lo, activation.hi);
	return ret ? ret : add_activation(op, &activation);
}

static int import_add(const struct op *op)
{
	const struct xrnpe_graph *graph = op->importer->graph;
	struct graph_node *node;
	struct value *a, *b;
	int ret;

	ret = check_inputs(op, 2, 2);
	if (!ret)
		ret = check_attributes(op, "");
	if (!ret)
		ret = tensor_input(op, 0, &a);
	if (!ret)
		ret = tensor_input(op, 1, &b);
	if (ret)
		return ret;
	if (a->flat != b->flat ||
	    !graph_shape_equal(&graph->nodes[a->node].shape, &graph->nodes[b->node].shape))
		return op_fail(op, -ENOTSUP, "inputs differ in shape: %u x %u x %u and %u x %u x %u",
			       graph->nodes[a->node].shape.c, graph->nodes[a->node].shape.h,
			       graph->nodes[a->node].shape.w, graph->nodes[b->node].shape.c,
			       graph->nodes[b->node].shape.h, graph->nodes[b->node].shape.w);
	ret = new_node(op, GRAPH_ADD, a, &node);
	if (ret)
		return ret;
	node->inputs = 2;
	node->input[1] = b->node;
	return define_node(op, node, a->flat);
}

static int import_pool(const struct op *op)
{
	bool max = !strcmp(op->proto->op_type, "MaxPool");
	int64_t kernel[2] = { 0, 0 }, order;
	struct graph_node *node;
	struct value *input;
	int ret;

	ret = check_inputs(op, 1, 1);
	if (!ret)
		ret = check_attributes(op, max ?
			"auto_pad ceil_mode dilations kernel_shape pads storage_order strides" :
			"auto_pad ceil_mode count_include_pad dilations kernel_shape pads strides");
	if (!ret)	/* is about the indices, which nobody reads */
		ret = int_attribute(op, "storage_order", 0, 1, 0, &order);
	if (!ret)
		ret = image_input(op, &input);
	if (!ret)
		ret = new_node(op, max ? GRAPH_MAXPOOL : GRAPH_AVGPOOL, input, &node);
	if (!ret)
		ret = import_window(op, node, kernel);
	return ret ? ret : define_node(op, node, false);
}

static int import_global_pool(const struct op *op)
{
	struct graph_node *node;
	struct value *input;
	int ret;

	ret = check_inputs(op, 1, 1);
	if (!ret)
		ret = check_attributes(op, "");
	if (!ret)
		ret = image_input(op, &input);
	if (!ret)
		ret = new_node(op, GRAPH_AVGPOOL, input, &node);
	if (ret)
		return ret;
	if (node->shape.h > UINT8_MAX || node->shape.w > UINT8_MAX)
		return op_fail(op, -ENOTSUP, "image of %u x %u pixels is too large",
			       node->shape.h, node->shape.w);
	node->window = (struct graph_window){
		.kernel_h = node->shape.h, .kernel_w = node->shape.w,
		.stride_h = 1, .stride_w = 1, .dilation_h = 1, .dilation_w = 1,
	};
	node->shape.h = node->shape.w = 1;
	return define_node(op, node, false);
}

/* The tensor of @input as one axis. Of one pixel it is that already. */
static int define_flat(const struct op *op, const struct value *input)
{
	struct graph_node *node;
	size_t count;
	int ret;

	node = &op->importer->graph->nodes[input->node];
	count = graph_shape_count(&node->shape);
	if (node->shape.h == 1 && node->shape.w == 1)
		return define_output(op, input->node, true);
	if (count > UINT32_MAX)
		return op_fail(op, -ENOTSUP, "output is too large");
	ret = new_node(op, GRAPH_FLATTEN, input, &node);
	if (ret)
		return ret;
	node->shape = (struct graph_shape){ (uint32_t)count, 1, 1 };
	return define_node(op, node, true);
}

static int import_flatten(const struct op *op)
{
	struct value *input;
	int64_t axis;
	int ret;

	ret = check_inputs(op, 1, 1);
	if (!ret)
		ret = check_attributes(op, "axis");
	if (!ret)
		ret = tensor_input(op, 0, &input);
	if (!ret)
		ret = int_attribute(op, "axis", INT_MIN, INT_MAX, 1, &axis);
	if (ret)
		return ret;
	if (axis != 1 && axis != (input->flat ? -1 : -3))
		return op_fail(op, -ENOTSUP, "axis is %lld; supported is 1 (keep the batch)",
			       (long long)axis);
	return define_flat(op, input);
}

static int import_reshape(const struct op *op)
{
	const Onnx__TensorProto *shape;
	int64_t dims[2] = { 0, 0 }, allow_zero;
	const struct graph_shape *in;
	struct value *input;
	int ret;

	ret = check_inputs(op, 2, 2);
	if (!ret)
		ret = check_attributes(op, "allowzero");
	if (!ret)
		ret = int_attribute(op, "allowzero", 0, 1, 0, &allow_zero);
	if (!ret)
		ret = tensor_input(op, 0, &input);
	if (!ret)
		ret = constant_input(op, 1, "shape", &shape);
	if (!ret)
		ret = check_constant(op, shape, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 8,
				     shape->n_int64_data);
	if (ret)
		return ret;
	if (shape->n_dims != 1 || shape->dims[0] != 2)
		return op_fail(op, -ENOTSUP, "to other than two dimensions (batch and the rest)");
	for (size_t i = 0; i < 2; i++)
		dims[i] = shape->has_raw_data ? (int64_t)raw_element(shape, i, 8) :
						shape->int64_data[i];

	/* Batch: kept (0), inferred (-1, with the rest given), or the input's own size. */
	in = &op->importer->graph->nodes[input->node].shape;
	if (!((dims[0] == 0 && !allow_zero) || (dims[0] == -1 && dims[1] != -1) ||
	      (dims[0] > 0 && dims[0] == op->importer->batch)) ||
	    (dims[1] != -1 && dims[1] != (int64_t)graph_shape_count(in)))
		return op_fail(op, -ENOTSUP, "to %lld x %lld; supported is batch x the rest",
			       (long long)dims[0], (long long)dims[1]);
	return define_flat(op, input);
}

static int import_identity(const struct op *op)
{
	struct value *input;
	int ret;

	ret = check_inputs(op, 1, 1);
	if (!ret)
		ret = check_attributes(op, "");
	if (!ret) {
		/* Exporters pass shared constants through Identity as well. */
		input = find_value(op->importer, op->proto->input[0]);
		if (input && input->constant) {
			struct value copy = *input;

			copy.name = op->proto->output[0];
			return add_value(op->importer, &copy);
		}
		ret = tensor_input(op, 0, &input);
	}
	return ret ? ret : define_output(op, input->node, input->flat);
}

static int import_dropout(const struct op *op)
{
	const Onnx__TensorProto *training;
	struct value *input;
	float ratio;
	int ret;

	ret = check_inputs(op, 1, 3);
	if (!ret)
		ret = check_attributes(op, "ratio seed");
	if (!ret)
		ret = float_attribute(op, "ratio", 0.5f, &ratio);
	if (!ret)
		ret = tensor_input(op, 0, &input);
	if (!ret && op->proto->n_input == 3 && *op->proto->input[2]) {
		ret = constant_input(op, 2, "training_mode", &training);
		if (!ret)
			ret = check_constant(op, training, ONNX__TENSOR_PROTO__DATA_TYPE__BOOL, 1,
					     training->n_int32_data);
		if (!ret && (tensor_count(training) != 1 ||
			     (training->has_raw_data ? training->raw_data.data[0] :
						       training->int32_data[0])))
			ret = op_fail(op, -ENOTSUP, "training mode is not supported");
	}
	return ret ? ret : define_output(op, input->node, input->flat);
}

static int import_constant(const struct op *op)
{
	const Onnx__AttributeProto *attribute;
	struct value value = { .name = op->proto->output[0] };
	int ret;

	ret = check_inputs(op, 0, 0);
	if (!ret)
		ret = check_attributes(op, "value");
	if (ret)
		return ret;
	attribute = find_attribute(op, "value");
	if (!attribute || !attribute->t)
		return op_fail(op, -EINVAL, "attribute value is missing");
	value.constant = attribute->t;
	return add_value(op->importer, &value);
}

static const struct {
	const char *type;
	int (*import)(const struct op *op);
} operators[] = {
	{ "Add", import_add },
	{ "AveragePool", import_pool },
	{ "BatchNormalization", import_norm },
	{ "Clip", import_clip },
	{ "Constant", import_constant },
	{ "Conv", import_conv },
	{ "Dropout", import_dropout },
	{ "Flatten", import_flatten },
	{ "Gemm", import_gemm },
	{ "GlobalAveragePool", import_global_pool },
	{ "Identity", import_identity },
	{ "LeakyRelu", import_leaky_relu },
	{ "MaxPool", import_pool },
	{ "Relu", import_relu },
	{ "Reshape", import_reshape },
};

static int import_node(struct importer *importer, const Onnx__NodeProto *proto)
{
	struct op op = { .importer = importer, .proto = proto };

	if (!proto->op_type)
		return xrnpe_fail(importer->error, -EINVAL, "%s: a node has no operator",
				  importer->graph->name);
	op.name = proto->name && *proto->name ? proto->name :
		  proto->n_output ? proto->output[0] : "without name";
	if (proto->domain && *proto->domain && strcmp(proto->domain, "ai.onnx"))
		return op_fail(&op, -ENOTSUP, "operator is not one of ONNX itself");
	for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
		if (strcmp(proto->op_type, operators[i].type))
			continue;
		if (!proto->n_output || !*proto->output[0])
			return op_fail(&op, -EINVAL, "has no output");
		return operators[i].import(&op);
	}
	return op_fail(&op, -ENOTSUP, "operator is not supported");
}

/* ---- the whole --------------------------------------------------------- */

static int import_input(struct importer *importer, const Onnx__ValueInfoProto *info)
{
	const Onnx__TypeProto__Tensor *type;
	const Onnx__TensorShapeProto *shape;
	struct graph_node *node;
	struct value value = { .name = info->name };
	uint64_t dims[4] = { 1, 1, 1, 1 };
	char text[64];

	printable(info->name, text);
	type = info->type && info->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ?
	       info->type->tensor_type : NULL;
	if (!type || !type->has_elem_type ||
	    type->elem_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT)
		return xrnpe_fail(importer->error, -ENOTSUP, "%s: input %s is not a float tensor",
				  importer->graph->name, text);
	shape = type->shape;
	if (!shape || (shape->n_dim != 4 && shape->n_dim != 2))
		return xrnpe_fail(importer->error, -ENOTSUP,
				  "%s: input %s is not of rank 4 (batch, channels, height, width) or 2",
				  importer->graph->name, text);
	for (size_t i = 0; i < shape->n_dim; i++) {
		bool known = shape->dim[i]->value_case ==
			     ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
		int64_t dim = known ? shape->dim[i]->dim_value : 0;

		if (i == 0) {
			importer->batch = dim;
			continue;
		}
		if (dim < 1 || dim > UINT16_MAX)
			return xrnpe_fail(importer->error, -ENOTSUP,
					  "%s: input %s: dimension %zu is not fixed in 1..%d",
					  importer->graph->name, text, i, UINT16_MAX);
		dims[i] = (uint64_t)dim;
	}
	if (dims[1] * dims[2] * dims[3] > GRAPH_MAX_ELEMENTS)
		return xrnpe_fail(importer->error, -ENOTSUP, "%s: input %s is too large",
				  importer->graph->name, text);
	node = graph_append(importer->graph, GRAPH_INPUT, text, "Input", importer->error);
	if (!node)
		return -ENOMEM;
	node->shape = (struct graph_shape){ (uint32_t)dims[1], (uint32_t)dims[2],
					    (uint32_t)dims[3] };
	value.flat = shape->n_dim == 2;
	return add_value(importer, &value);
}

static int describe(struct importer *importer, const char *name, struct xrnpe_tensor_info *info)
{
	const struct value *value = find_value(importer, name);
	const struct graph_shape *shape;
	char text[64];

	if (!value || value->constant)
		return xrnpe_fail(importer->error, -EINVAL, "%s: output %s is not computed",
				  importer->graph->name, printable(name, text));
	shape = &importer->graph->nodes[value->node].shape;
	*info = (struct xrnpe_tensor_info){
		.name = strdup(printable(name, text)),
		.rank = value->flat ? 1 : 3,
		.dims = { shape->c, shape->h, shape->w },
		.count = graph_shape_count(shape),
	};
	return info->name ? 0 : xrnpe_fail_memory(importer->error);
}

static int import_graph(struct importer *importer)
{
	const Onnx__GraphProto *proto = importer->proto;
	const char *file = importer->graph->name;
	const Onnx__ValueInfoProto *input = NULL, *output;
	int ret;

	if (proto->n_sparse_initializer)
		return xrnpe_fail(importer->error, -ENOTSUP,
				  "%s: sparse initializers are not supported", file);
	for (size_t i = 0; i < proto->n_initializer; i++) {
		struct value value = { .constant = proto->initializer[i] };

		value.name = proto->initializer[i]->name;
		if (!value.name || !*value.name)
			return xrnpe_fail(importer->error, -EINVAL, "%s: an initializer has no name",
					  file);
		ret = add_value(importer, &value);
		if (ret)
			return ret;
	}

	/* Until IR version 3 initializers were listed among the inputs. */
	for (size_t i = 0; i < proto->n_input; i++) {
		if (!proto->input[i]->name || !*proto->input[i]->name)
			return xrnpe_fail(importer->error, -EINVAL, "%s: an input has no name", file);
		if (find_value(importer, proto->input[i]->name))
			continue;
		if (input)
			return xrnpe_fail(importer->error, -ENOTSUP,
					  "%s: has more than one input", file);
		input = proto->input[i];
	}
	if (!input)
		return xrnpe_fail(importer->error, -EINVAL, "%s: has no input", file);
	if (proto->n_output != 1 || !proto->output[0]->name)
		return xrnpe_fail(importer->error, -ENOTSUP, "%s: has %zu outputs, not 1", file,
				  proto->n_output);
	output = proto->output[0];

	ret = import_input(importer, input);
	for (size_t i = 0; !ret && i < proto->n_node; i++)
		ret = import_node(importer, proto->node[i]);
	if (!ret)
		ret = describe(importer, input->name, &importer->graph->input_info);
	if (!ret)
		ret = describe(importer, output->name, &importer->graph->output_info);
	if (ret)
		return ret;
	importer->graph->output = find_value(importer, output->name)->node;
	if (!importer->graph->output)
		return xrnpe_fail(importer->error, -ENOTSUP, "%s: the output is the input", file);
	return 0;
}

static int import_model(struct importer *importer, const Onnx__ModelProto *model)
{
	const char *file = importer->graph->name;
	int64_t opset = 0;

	for (size_t i = 0; i < model->n_opset_import; i++) {
		const Onnx__OperatorSetIdProto *set = model->opset_import[i];

		if ((!set->domain || !*set->domain || !strcmp(set->domain, "ai.onnx")) &&
		    set->has_version)
			opset = set->version;
	}
	if (!model->graph)
		return xrnpe_fail(importer->error, -EINVAL, "%s: is not an ONNX model, or is damaged",
				  file);
	if (opset < ONNX_MIN_OPSET)
		return xrnpe_fail(importer->error, -ENOTSUP,
				  "%s: uses operator set %lld; supported is %d and later", file,
				  (long long)opset, ONNX_MIN_OPSET);
	importer->proto = model->graph;
	return import_graph(importer);
}

int onnx_import(const char *name, const void *data, size_t size, struct xrnpe_graph **graph,
		struct xrnpe_error *error)
{
	struct wire wire = { data, (const uint8_t *)data + size };
	struct importer importer = { .error = error };
	Onnx__ModelProto *model;
	int ret;

	model = size && nesting_is_sane(wire, &onnx__model_proto__descriptor, ONNX_MAX_DEPTH) ?
		onnx__model_proto__unpack(NULL, size, data) : NULL;
	if (!model)
		return xrnpe_fail(error, -EINVAL, "%s: is not an ONNX model, or is damaged", name);

	importer.graph = calloc(1, sizeof(*importer.graph));
	if (importer.graph)
		importer.graph->name = strdup(name);
	if (importer.graph && importer.graph->name)
		ret = import_model(&importer, model);
	else
		ret = xrnpe_fail_memory(error);
	tdestroy(importer.values, free_value);
	onnx__model_proto__free_unpacked(model, NULL);
	if (ret) {
		xrnpe_graph_free(importer.graph);
		return ret;
	}
	*graph = importer.graph;
	return 0;
}

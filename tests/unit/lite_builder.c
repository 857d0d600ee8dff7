// SPDX-License-Identifier: MIT
/* TensorFlow Lite models made in memory. Numbers are those of the schema. */
#include <stdlib.h>
#include <string.h>

#include "tflite/reader.h"
#include "tflite/schema.h"
#include "unit/lite_builder.h"

/* ---- flatbuffers ----------------------------------------------------------- */

/* A file that grows; what refers to something is written before it, and set then. */
struct bytes {
	uint8_t *data;
	size_t size;
};

static size_t put(struct bytes *bytes, const void *data, size_t size)
{
	size_t at = bytes->size;

	bytes->data = realloc(bytes->data, at + size + 1);
	if (!bytes->data)
		abort();
	if (size)
		memcpy(bytes->data + at, data, size);
	bytes->size += size;
	return at;
}

static size_t put_number(struct bytes *bytes, unsigned int size, int64_t value)
{
	return put(bytes, &value, size);	/* little-endian, as the tests' hosts are */
}

static size_t aligned(size_t at, size_t size)
{
	return size ? (at + size - 1) / size * size : at;
}

/* Up to @end. */
static void pad(struct bytes *bytes, size_t end)
{
	while (bytes->size < end)
		put_number(bytes, 1, 0);
}

/* What stands at @at refers to what comes next. */
static void refer(struct bytes *bytes, size_t at)
{
	uint32_t distance;

	/* The number of elements is in front of those, which are aligned. */
	pad(bytes, aligned(bytes->size + 4, 16) - 4);
	distance = (uint32_t)(bytes->size - at);
	memcpy(bytes->data + at, &distance, sizeof(distance));
}

/* A table; places of its fields to @places. The caller refers to its position. */
static size_t put_table(struct bytes *bytes, uint32_t count, const struct lite_field *fields,
			size_t *places)
{
	size_t vtable = bytes->size, table = aligned(vtable + 4 + 2 * (size_t)count, 8), at = 4;

	for (uint32_t i = 0; i < count; i++) {
		at = aligned(at, fields[i].size);
		places[i] = table + at;
		at += fields[i].size;
	}
	put_number(bytes, 2, 4 + 2 * (int64_t)count);
	put_number(bytes, 2, (int64_t)at);
	for (uint32_t i = 0; i < count; i++)
		put_number(bytes, 2, fields[i].size ? (int64_t)(places[i] - table) : 0);
	pad(bytes, table);
	put_number(bytes, 4, (int64_t)(table - vtable));
	for (uint32_t i = 0; i < count; i++) {
		pad(bytes, places[i]);
		put_number(bytes, fields[i].size, fields[i].value);
	}
	return table;
}

/* The same, which @at refers to. */
static void put_referred(struct bytes *bytes, size_t at, uint32_t count,
			 const struct lite_field *fields, size_t *places)
{
	uint32_t distance;
	size_t table;

	pad(bytes, aligned(bytes->size, 16));
	table = put_table(bytes, count, fields, places);
	distance = (uint32_t)(table - at);
	memcpy(bytes->data + at, &distance, sizeof(distance));
}

static void put_vector(struct bytes *bytes, size_t at, uint32_t count, unsigned int size,
		       const void *data)
{
	refer(bytes, at);
	put_number(bytes, 4, count);
	put(bytes, data, (size_t)count * size);
}

static void put_string(struct bytes *bytes, size_t at, const char *text)
{
	put_vector(bytes, at, (uint32_t)strlen(text), 1, text);
	put_number(bytes, 1, 0);
}

/* A vector of @count references that are set later; the place of the first. */
static size_t put_references(struct bytes *bytes, size_t at, uint32_t count)
{
	size_t first;

	refer(bytes, at);
	put_number(bytes, 4, count);
	first = bytes->size;
	for (uint32_t i = 0; i < count; i++)
		put_number(bytes, 4, 0);
	return first;
}

/* ---- the parts of a model --------------------------------------------------- */

#define REFERENCE { .size = 4 }
#define REFERENCE_IF(there) { .size = (there) ? 4 : 0 }

static void put_list(struct bytes *bytes, size_t at, uint32_t count, const uint8_t *values)
{
	const struct lite_field fields[] = { REFERENCE };
	size_t place;

	put_referred(bytes, at, 1, fields, &place);
	put_vector(bytes, place, count, 1, values);
}

static void put_sparsity(struct bytes *bytes, size_t at, const struct lite_tensor *tensor)
{
	const struct lite_field fields[] = { REFERENCE, REFERENCE, REFERENCE };
	size_t places[6], first;

	put_referred(bytes, at, 3, fields, places);
	put_vector(bytes, places[SPARSITY_ORDER], tensor->levels, 4, tensor->order);
	put_vector(bytes, places[SPARSITY_BLOCK_MAP], tensor->blocks, 4, tensor->block_map);
	first = put_references(bytes, places[SPARSITY_DIMENSIONS], tensor->levels);
	for (uint32_t i = 0; i < tensor->levels; i++) {
		int32_t size = tensor->level[i].size;
		const struct lite_field level[] = {
			[DIMENSION_FORMAT] = LITE_FIELD(1, size ? DIMENSION_DENSE : DIMENSION_SPARSE),
			[DIMENSION_SIZE] = LITE_FIELD(4, size),
			[DIMENSION_SEGMENTS_KIND] = LITE_FIELD(1, INDICES_UINT8),
			[DIMENSION_SEGMENTS] = REFERENCE_IF(!size),
			[DIMENSION_INDICES_KIND] = LITE_FIELD(1, INDICES_UINT8),
			[DIMENSION_INDICES] = REFERENCE_IF(!size),
		};

		put_referred(bytes, first + 4 * i, 6, level, places);
		if (size)
			continue;
		put_list(bytes, places[DIMENSION_SEGMENTS], tensor->level[i].segment_count,
			 tensor->level[i].segments);
		put_list(bytes, places[DIMENSION_INDICES], tensor->level[i].index_count,
			 tensor->level[i].indices);
	}
}

static void put_tensor(struct bytes *bytes, size_t at, const struct lite_tensor *tensor,
		       uint32_t buffer)
{
	const struct lite_field fields[] = {
		[TENSOR_SHAPE] = REFERENCE,
		[TENSOR_TYPE] = LITE_FIELD(1, tensor->type),
		[TENSOR_BUFFER] = LITE_FIELD(4, buffer),
		[TENSOR_NAME] = REFERENCE,
		[TENSOR_QUANTIZATION] = REFERENCE_IF(tensor->scales),
		[TENSOR_IS_VARIABLE] = LITE_FIELD(1, tensor->variable),
		[TENSOR_SPARSITY] = REFERENCE_IF(tensor->levels),
		[TENSOR_SHAPE_SIGNATURE] = REFERENCE_IF(tensor->signature),
	};
	const struct lite_field quantization[] = {
		[QUANTIZATION_SCALE] = REFERENCE,
		[QUANTIZATION_ZERO_POINT] = REFERENCE,
		[QUANTIZATION_AXIS] = LITE_FIELD(4, tensor->scale_axis),
	};
	size_t places[8], inner[7];
	int32_t open[LITE_MOST];

	put_referred(bytes, at, 8, fields, places);
	put_vector(bytes, places[TENSOR_SHAPE], tensor->rank, 4, tensor->dims);
	put_string(bytes, places[TENSOR_NAME], tensor->name);
	if (tensor->scales) {
		put_referred(bytes, places[TENSOR_QUANTIZATION], 7, quantization, inner);
		put_vector(bytes, inner[QUANTIZATION_SCALE], tensor->scales, 4, tensor->scale);
		put_vector(bytes, inner[QUANTIZATION_ZERO_POINT], tensor->scales, 8, tensor->zero);
	}
	if (tensor->levels)
		put_sparsity(bytes, places[TENSOR_SPARSITY], tensor);
	if (tensor->signature) {
		for (uint32_t i = 0; i < tensor->rank; i++)
			open[i] = tensor->signature >> i & 1 ? -1 : tensor->dims[i];
		put_vector(bytes, places[TENSOR_SHAPE_SIGNATURE], tensor->rank, 4, open);
	}
}

static void put_operator(struct bytes *bytes, size_t at, const struct lite_operator *op,
			 uint32_t code)
{
	const struct lite_field fields[] = {
		[OPERATOR_CODE] = LITE_FIELD(4, code),
		[OPERATOR_INPUTS] = REFERENCE,
		[OPERATOR_OUTPUTS] = REFERENCE,
		[OPERATOR_OPTIONS_KIND] = LITE_FIELD(1, op->options_kind),
		[OPERATOR_OPTIONS] = REFERENCE_IF(op->options_kind),
		[OPERATOR_CUSTOM_OPTIONS] = REFERENCE_IF(op->custom_options),
	};
	size_t places[6], inner[LITE_MOST];

	put_referred(bytes, at, 6, fields, places);
	put_vector(bytes, places[OPERATOR_INPUTS], op->input_count, 4, op->inputs);
	put_vector(bytes, places[OPERATOR_OUTPUTS], op->output_count, 4, op->outputs);
	if (op->options_kind) {
		put_referred(bytes, places[OPERATOR_OPTIONS], LITE_MOST, op->options, inner);
		for (uint32_t i = 0; i < LITE_MOST; i++) {
			if (op->options[i].list)
				put_vector(bytes, inner[i], op->options[i].count, 4, op->options[i].list);
		}
	}
	if (op->custom_options)
		put_vector(bytes, places[OPERATOR_CUSTOM_OPTIONS], op->custom_size, 1,
			   op->custom_options);
}

static void put_graph(struct bytes *bytes, size_t at, const struct lite_model *model)
{
	const struct lite_field fields[] = { REFERENCE, REFERENCE, REFERENCE, REFERENCE };
	size_t places[4], first;

	put_referred(bytes, at, 4, fields, places);
	first = put_references(bytes, places[SUBGRAPH_TENSORS], model->tensor_count);
	for (uint32_t i = 0; i < model->tensor_count; i++)
		put_tensor(bytes, first + 4 * i, &model->tensors[i], model->tensors[i].data ? i + 1 : 0);
	put_vector(bytes, places[SUBGRAPH_INPUTS], model->input_count, 4, model->inputs);
	put_vector(bytes, places[SUBGRAPH_OUTPUTS], model->output_count, 4, model->outputs);
	first = put_references(bytes, places[SUBGRAPH_OPERATORS], model->operator_count);
	for (uint32_t i = 0; i < model->operator_count; i++)
		put_operator(bytes, first + 4 * i, &model->operators[i], i);
}

uint8_t *lite_pack(const struct lite_model *model, size_t *size)
{
	const struct lite_field fields[] = {
		[MODEL_VERSION] = LITE_FIELD(4, model->version),
		[MODEL_OPERATOR_CODES] = REFERENCE,
		[MODEL_SUBGRAPHS] = REFERENCE,
		[MODEL_BUFFERS] = REFERENCE,
	};
	struct bytes bytes = { 0 };
	size_t places[5], inner[4], offsets[LITE_MOST + 1], first;

	put_number(&bytes, 4, 0);
	put(&bytes, TFLITE_IDENTIFIER, 4);
	put_referred(&bytes, 0, 5, fields, places);
	first = put_references(&bytes, places[MODEL_OPERATOR_CODES], model->operator_count);
	for (uint32_t i = 0; i < model->operator_count; i++) {
		const struct lite_operator *op = &model->operators[i];
		const struct lite_field code[] = {
			[CODE_OLD_BUILTIN] = LITE_FIELD(1, op->code < 127 ? op->code : 127),
			[CODE_CUSTOM] = REFERENCE_IF(op->custom),
			[CODE_VERSION] = LITE_FIELD(4, op->version ? op->version : 1),
			[CODE_BUILTIN] = LITE_FIELD(4, op->code),
		};

		put_referred(&bytes, first + 4 * i, 4, code, inner);
		if (op->custom)
			put_string(&bytes, inner[CODE_CUSTOM], op->custom);
	}
	/* Buffer 0 is empty, then there is one for each tensor. */
	first = put_references(&bytes, places[MODEL_BUFFERS], model->tensor_count + 1);
	for (uint32_t i = 0; i <= model->tensor_count; i++) {
		const struct lite_tensor *tensor = i ? &model->tensors[i - 1] : NULL;
		bool behind = tensor && tensor->behind;
		const struct lite_field buffer[] = {
			[BUFFER_DATA] = REFERENCE_IF(tensor && tensor->data && !behind),
			[BUFFER_OFFSET] = { .size = behind ? 8 : 0 },
			[BUFFER_SIZE] = { .size = behind ? 8 : 0, .value = behind ? (int64_t)tensor->size : 0 },
		};

		put_referred(&bytes, first + 4 * i, 3, buffer, inner);
		offsets[i] = inner[BUFFER_OFFSET];
		if (tensor && tensor->data && !behind)
			put_vector(&bytes, inner[BUFFER_DATA], (uint32_t)tensor->size, 1, tensor->data);
	}
	first = put_references(&bytes, places[MODEL_SUBGRAPHS], 1);
	put_graph(&bytes, first, model);
	for (uint32_t i = 0; i < model->tensor_count; i++) {
		const struct lite_tensor *tensor = &model->tensors[i];

		if (tensor->behind) {
			memcpy(bytes.data + offsets[i + 1], &bytes.size, sizeof(bytes.size));
			put(&bytes, tensor->data, tensor->size);
		}
	}
	*size = bytes.size;
	return bytes.data;
}

/* ---- models ------------------------------------------------------------------ */

struct lite_model *lite_new(void)
{
	struct lite_model *model = calloc(1, sizeof(*model));

	if (!model)
		abort();
	model->version = TFLITE_VERSION;
	return model;
}

int32_t lite_tensor(struct lite_model *model, const char *name, uint32_t rank, const int32_t *dims)
{
	struct lite_tensor *tensor = &model->tensors[model->tensor_count];

	if (model->tensor_count == LITE_MOST)
		abort();
	*tensor = (struct lite_tensor){ .name = name, .rank = rank };
	if (rank)
		memcpy(tensor->dims, dims, rank * sizeof(*dims));
	return (int32_t)model->tensor_count++;
}

int32_t lite_constant(struct lite_model *model, int8_t type, uint32_t rank, const int32_t *dims,
		      size_t size, const void *data)
{
	int32_t index = lite_tensor(model, "constant", rank, dims);

	model->tensors[index].type = type;
	model->tensors[index].data = data;
	model->tensors[index].size = size;
	return index;
}

int32_t lite_floats(struct lite_model *model, uint32_t rank, const int32_t *dims, const float *values)
{
	size_t size = sizeof(*values);

	for (uint32_t i = 0; i < rank; i++)
		size *= (size_t)dims[i];
	return lite_constant(model, LITE_TYPE_FLOAT32, rank, dims, size, values);
}

int32_t lite_ints(struct lite_model *model, uint32_t count, const int32_t *values)
{
	return lite_constant(model, LITE_TYPE_INT32, 1, (int32_t[]){ (int32_t)count },
			     count * sizeof(*values), values);
}

int32_t lite_input(struct lite_model *model, int32_t tensor)
{
	model->inputs[model->input_count++] = tensor;
	return tensor;
}

void lite_output(struct lite_model *model, int32_t tensor)
{
	model->outputs[model->output_count++] = tensor;
}

/* A number that TensorFlow Lite may have; beyond are none. */
#define MOST_CODES 1000

static int32_t code_of(const char *name)
{
	for (int32_t code = 0; code < MOST_CODES; code++) {
		if (tflite_builtin(code) && !strcmp(tflite_builtin(code)->name, name))
			return code;
	}
	abort();
}

struct lite_operator *lite_operator(struct lite_model *model, const char *op_name, const char *name,
				    uint32_t count, const int32_t *inputs)
{
	struct lite_operator *op = &model->operators[model->operator_count];

	if (model->operator_count == LITE_MOST)
		abort();
	*op = (struct lite_operator){ .code = code_of(op_name), .input_count = count, .output_count = 1 };
	op->options_kind = (int8_t)tflite_builtin(op->code)->options;
	memcpy(op->inputs, inputs, count * sizeof(*inputs));
	op->outputs[0] = lite_tensor(model, name, 0, NULL);
	model->operator_count++;
	return op;
}

void lite_set(struct lite_operator *op, uint32_t field, unsigned int size, int64_t value)
{
	op->options[field] = (struct lite_field)LITE_FIELD(size, value);
}

int32_t lite_last(const struct lite_model *model)
{
	return model->operators[model->operator_count - 1].outputs[0];
}

/* ---- a network ---------------------------------------------------------------- */

/* Noise between -0.5 and 0.5, enough for any constant of the network. */
static const float *noise(void)
{
	static float values[4096];
	uint32_t state = 1;

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		state = state * 1664525 + 1013904223;
		values[i] = (float)(state >> 8) * 0x1p-24f - 0.5f;
	}
	return values;
}

/* Strides of what slides windows. */
static void set_strides(struct lite_operator *op, int32_t stride)
{
	lite_set(op, WINDOW_STRIDE_W, 4, stride);
	lite_set(op, WINDOW_STRIDE_H, 4, stride);
}

struct lite_model *lite_network(void)
{
	static const int32_t pads[] = { 0, 0, 0, 0, 0, 0, 0, 3 }, size[] = { 6, 6 }, flat[] = { 1, -1 };
	struct lite_model *m = lite_new();
	const float *values = noise();
	int32_t x = lite_input(m, lite_tensor(m, "image", LITE_DIMS(1, 12, 12, 3)));
	int32_t w1 = lite_floats(m, LITE_DIMS(5, 3, 3, 3), values);
	int32_t b1 = lite_floats(m, LITE_DIMS(5), values + 7);
	int32_t slope = lite_floats(m, LITE_DIMS(1, 1, 5), values + 3);
	int32_t w2 = lite_floats(m, LITE_DIMS(1, 3, 3, 5), values + 100);
	int32_t b2 = lite_floats(m, LITE_DIMS(5), values + 9);
	int32_t w3 = lite_floats(m, LITE_DIMS(4, 756), values);
	int32_t padding = lite_constant(m, LITE_TYPE_INT32, LITE_DIMS(4, 2), sizeof(pads), pads);
	int32_t to = lite_ints(m, 2, size), line = lite_ints(m, 2, flat), wide, y;
	struct lite_operator *op;

	op = lite_operator(m, "CONV_2D", "conv", 3, (int32_t[]){ x, w1, b1 });
	set_strides(op, 2);
	lite_operator(m, "PRELU", "prelu", 2, (int32_t[]){ lite_last(m), slope });
	x = lite_last(m);
	op = lite_operator(m, "DEPTHWISE_CONV_2D", "depthwise", 3, (int32_t[]){ x, w2, b2 });
	set_strides(op, 1);
	lite_set(op, 3, 4, 1);	/* outputs of each channel */
	lite_set(op, DEPTHWISE_ACTIVATION, 1, ACTIVATION_RELU6);
	lite_operator(m, "ADD", "add", 2, (int32_t[]){ lite_last(m), x });
	lite_operator(m, "PAD", "pad", 2, (int32_t[]){ lite_last(m), padding });
	wide = lite_last(m);
	op = lite_operator(m, "MAX_POOL_2D", "pool", 1, &wide);
	set_strides(op, 2);
	lite_set(op, POOL_WIDTH, 4, 2);
	lite_set(op, POOL_HEIGHT, 4, 2);
	op = lite_operator(m, "RESIZE_BILINEAR", "resize", 2, (int32_t[]){ lite_last(m), to });
	lite_set(op, RESIZE_BILINEAR_HALF, 1, 1);
	op = lite_operator(m, "CONCATENATION", "join", 3, (int32_t[]){ wide, lite_last(m), x });
	lite_set(op, CONCATENATION_AXIS, 4, 3);
	lite_operator(m, "RESHAPE", "line", 2, (int32_t[]){ lite_last(m), line });
	lite_operator(m, "FULLY_CONNECTED", "matrix", 2, (int32_t[]){ lite_last(m), w3 });
	y = lite_last(m);
	lite_operator(m, "LOGISTIC", "y", 1, &y);
	lite_output(m, lite_last(m));
	return m;
}

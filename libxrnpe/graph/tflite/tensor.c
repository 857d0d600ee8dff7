// SPDX-License-Identifier: MIT
/* Tensors of the file: types, shapes, and constants. */
#include <errno.h>
#include <stdlib.h>

#include "build.h"
#include "error.h"
#include "reader.h"
#include "schema.h"

/* ---- types --------------------------------------------------------------- */

bool tflite_element(int8_t type, enum element *element)
{
	static const int8_t types[] = {	/* from 0 on; -1: none that is supported */
		ELEMENT_FLOAT32, ELEMENT_FLOAT16, ELEMENT_INT32, ELEMENT_UINT8, ELEMENT_INT64, -1,
		ELEMENT_BOOL, ELEMENT_INT16, -1, ELEMENT_INT8, ELEMENT_FLOAT64, -1, ELEMENT_UINT64,
		-1, -1, ELEMENT_UINT32, ELEMENT_UINT16, -1, ELEMENT_BFLOAT16,
	};

	if (type < 0 || (size_t)type >= sizeof(types) || types[type] < 0)
		return false;
	*element = (enum element)types[type];
	return true;
}

bool tflite_is_quantized(const struct tflite_reader *reader, uint32_t tensor)
{
	struct flat_table table = flat_vector_table(reader->tensors, tensor);
	enum element element;

	return tflite_element(flat_byte(table, TENSOR_TYPE), &element) &&
	       element_type(element) == GRAPH_INT &&
	       flat_vector(flat_table(table, TENSOR_QUANTIZATION), QUANTIZATION_SCALE, 4).count;
}

/* ---- constants ----------------------------------------------------------- */

/* A constant while it is read. */
struct constant {
	const char *name;
	struct flat_table table;
	enum element element;
	struct graph_shape shape;
	size_t count;
	const uint8_t *bytes;	/* in the file; NULL: there are none, it is computed */
	size_t size;
};

/* Where the elements are: in the flatbuffer, or behind it. */
static bool find_bytes(const struct tflite_reader *reader, struct constant *constant)
{
	uint32_t index = (uint32_t)flat_int(constant->table, TENSOR_BUFFER, 0);
	struct flat_table buffer;
	struct flat_vector data;
	uint64_t offset;

	if (index >= reader->buffers.count)
		return false;
	buffer = flat_vector_table(reader->buffers, index);
	data = flat_vector(buffer, BUFFER_DATA, 1);
	offset = flat_long(buffer, BUFFER_OFFSET);
	constant->bytes = flat_vector_bytes(data);
	constant->size = data.count;
	if (constant->size || offset <= 1)
		return true;
	constant->size = flat_long(buffer, BUFFER_SIZE);
	if (offset > reader->file.size || constant->size > reader->file.size - offset)
		return false;
	constant->bytes = reader->file.data + offset;
	return true;
}

/* Shape and number of elements; false: impossible, or would be if no dimension were 0. */
static bool read_shape(struct constant *constant)
{
	struct flat_vector dims = flat_vector(constant->table, TENSOR_SHAPE, 4);
	size_t most = 1;

	if (dims.count > GRAPH_MAX_RANK)
		return false;
	constant->shape.rank = dims.count;
	for (uint32_t i = 0; i < dims.count; i++) {
		int32_t dim = flat_vector_int(dims, i);

		if (dim < 0 || __builtin_mul_overflow(most, dim ? (size_t)dim : 1, &most) ||
		    most > GRAPH_MAX_CONSTANT)
			return false;
		constant->shape.dims[i] = (uint32_t)dim;
	}
	constant->count = graph_count(&constant->shape);
	return true;
}

/* Scale and zero point of each of a list of integers, along one axis or of all. */
static void dequantize(struct tflite_op *op, const struct constant *constant, const int64_t *from,
		       float *to)
{
	struct flat_table table = flat_table(constant->table, TENSOR_QUANTIZATION);
	struct flat_vector scales = flat_vector(table, QUANTIZATION_SCALE, 4);
	struct flat_vector zeros = flat_vector(table, QUANTIZATION_ZERO_POINT, 8);
	uint32_t axis = (uint32_t)flat_int(table, QUANTIZATION_AXIS, 0);
	size_t inner = 1;

	if (scales.count != 1 && (axis >= constant->shape.rank ||
				  constant->shape.dims[axis] != scales.count)) {
		tflite_unsupported(op, "constant %s has %u scales", constant->name, scales.count);
		return;
	}
	if (zeros.count > 1 && zeros.count != scales.count) {
		tflite_unsupported(op, "constant %s has %u zero points", constant->name, zeros.count);
		return;
	}
	for (uint32_t i = axis + 1; scales.count > 1 && i < constant->shape.rank; i++)
		inner *= constant->shape.dims[i];
	for (size_t i = 0; i < constant->count; i++) {
		uint32_t k = (uint32_t)(i / inner % scales.count);
		int64_t zero = zeros.count ? flat_vector_long(zeros, zeros.count > 1 ? k : 0) : 0;

		to[i] = (float)((double)flat_vector_float(scales, k) * ((double)from[i] - (double)zero));
	}
}

/* The elements to @data, of the file's own type. */
static void read_elements(struct tflite_op *op, const struct constant *constant, void *data)
{
	struct flat_table sparsity = flat_table(constant->table, TENSOR_SPARSITY);

	if (!sparsity.flat)
		element_read(constant->element, constant->bytes, constant->count, data);
	else if (!tflite_densify(sparsity, constant->element, &constant->shape, constant->bytes,
				 constant->size, data))
		op->ret = xrnpe_fail(op->reader->error, -EINVAL,
				     "%s: constant %s: what says where its elements belong is malformed",
				     op->reader->graph->name, constant->name);
}

static void make_constant(struct tflite_op *op, const struct constant *constant, uint32_t tensor)
{
	struct tflite_reader *reader = op->reader;
	bool quantized = tflite_is_quantized(reader, tensor);
	enum graph_type type = quantized ? GRAPH_FLOAT : element_type(constant->element);
	int64_t *integers = NULL;
	uint32_t index;
	void *data;

	op->ret = graph_add_tensor(reader->graph, NULL, &index, reader->error);
	if (!op->ret)
		op->ret = build_constant(reader->graph, index, type, &constant->shape, &data,
					 reader->error);
	if (!op->ret && quantized) {
		integers = calloc(constant->count + 1, sizeof(*integers));
		if (!integers)
			op->ret = xrnpe_fail_memory(reader->error);
	}
	if (!op->ret)
		read_elements(op, constant, integers ? (void *)integers : data);
	if (!op->ret && integers)
		dequantize(op, constant, integers, data);
	free(integers);
	if (!op->ret)
		reader->values[tensor].last = index;
}

void tflite_constant(struct tflite_op *op, uint32_t tensor)
{
	struct tflite_reader *reader = op->reader;
	struct constant constant = { .table = flat_vector_table(reader->tensors, tensor) };
	bool sparse = flat_table(constant.table, TENSOR_SPARSITY).flat;
	char name[64];

	constant.name = graph_printable(flat_string(constant.table, TENSOR_NAME), name);
	if (!read_shape(&constant) || !find_bytes(reader, &constant)) {
		op->ret = xrnpe_fail(reader->error, -EINVAL,
				     "%s: tensor %s has impossible dimensions, or no such buffer",
				     reader->graph->name, name);
		return;
	}
	if (flat_bool(constant.table, TENSOR_IS_VARIABLE)) {
		tflite_unsupported(op, "tensor %s is a variable", name);
		return;
	}
	if (flat_int(constant.table, TENSOR_EXTERNAL_BUFFER, 0)) {
		tflite_unsupported(op, "constant %s lies outside the file", name);
		return;
	}
	if (!constant.size && constant.count) {
		op->ret = xrnpe_fail(reader->error, -EINVAL,
				     "%s: operator for %s reads %s, which no operator before it computes",
				     reader->graph->name, op->name, name);
		return;
	}
	if (!tflite_element(flat_byte(constant.table, TENSOR_TYPE), &constant.element)) {
		tflite_unsupported(op, "constant %s is of type %d", name,
				   flat_byte(constant.table, TENSOR_TYPE));
		return;
	}
	if (!sparse && constant.size != constant.count * element_size(constant.element)) {
		op->ret = xrnpe_fail(reader->error, -EINVAL,
				     "%s: constant %s holds not as many elements as its dimensions say",
				     reader->graph->name, name);
		return;
	}
	make_constant(op, &constant, tensor);
}

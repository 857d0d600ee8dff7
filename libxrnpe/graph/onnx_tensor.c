// SPDX-License-Identifier: MIT
/* Constants of ONNX files: their element types, and the four places where elements may be. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "build.h"
#include "element.h"
#include "error.h"
#include "io.h"
#include "onnx_tensor.h"

/* Where elements of a type lie when they are not raw. */
enum listed {
	LISTED_FLOAT,
	LISTED_DOUBLE,
	LISTED_INT32,
	LISTED_INT64,
	LISTED_UINT64,
};

static const struct type {
	int32_t onnx;
	enum element element;
	enum listed listed;
} types[] = {
	{ ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, ELEMENT_FLOAT32, LISTED_FLOAT },
	{ ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE, ELEMENT_FLOAT64, LISTED_DOUBLE },
	{ ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16, ELEMENT_FLOAT16, LISTED_INT32 },
	{ ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16, ELEMENT_BFLOAT16, LISTED_INT32 },
	{ ONNX__TENSOR_PROTO__DATA_TYPE__INT8, ELEMENT_INT8, LISTED_INT32 },
	{ ONNX__TENSOR_PROTO__DATA_TYPE__UINT8, ELEMENT_UINT8, LISTED_INT32 },
	{ ONNX__TENSOR_PROTO__DATA_TYPE__INT16, ELEMENT_INT16, LISTED_INT32 },
	{ ONNX__TENSOR_PROTO__DATA_TYPE__UINT16, ELEMENT_UINT16, LISTED_INT32 },
	{ ONNX__TENSOR_PROTO__DATA_TYPE__INT32, ELEMENT_INT32, LISTED_INT32 },
	{ ONNX__TENSOR_PROTO__DATA_TYPE__UINT32, ELEMENT_UINT32, LISTED_UINT64 },
	{ ONNX__TENSOR_PROTO__DATA_TYPE__INT64, ELEMENT_INT64, LISTED_INT64 },
	{ ONNX__TENSOR_PROTO__DATA_TYPE__UINT64, ELEMENT_UINT64, LISTED_UINT64 },
	{ ONNX__TENSOR_PROTO__DATA_TYPE__BOOL, ELEMENT_BOOL, LISTED_INT32 },
};

static const struct type *find_type(int32_t onnx)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		if (types[i].onnx == onnx)
			return &types[i];
	}
	return NULL;
}

bool onnx_type(int32_t type, enum graph_type *made)
{
	const struct type *found = find_type(type);

	if (found)
		*made = element_type(found->element);
	return found;
}

/* ---- elements ---------------------------------------------------------- */

/* Element @i of those that are listed in a field of their own, as its bits. */
static uint64_t listed_element(const Onnx__TensorProto *proto, enum listed listed, size_t i)
{
	uint64_t bits = 0;

	switch (listed) {
	case LISTED_FLOAT:
		memcpy(&bits, &proto->float_data[i], sizeof(float));
		return bits;
	case LISTED_DOUBLE:
		memcpy(&bits, &proto->double_data[i], sizeof(double));
		return bits;
	case LISTED_INT32:
		return (uint64_t)(int64_t)proto->int32_data[i];
	case LISTED_INT64:
		return (uint64_t)proto->int64_data[i];
	case LISTED_UINT64:
		return proto->uint64_data[i];
	}
	return 0;
}

static size_t listed_count(const Onnx__TensorProto *proto, enum listed listed)
{
	switch (listed) {
	case LISTED_FLOAT:
		return proto->n_float_data;
	case LISTED_DOUBLE:
		return proto->n_double_data;
	case LISTED_INT32:
		return proto->n_int32_data;
	case LISTED_INT64:
		return proto->n_int64_data;
	case LISTED_UINT64:
		return proto->n_uint64_data;
	}
	return 0;
}

/* Fill @data from @raw, or from the lists if that is NULL. */
static void convert(const Onnx__TensorProto *proto, const struct type *type, const uint8_t *raw,
		    size_t count, void *data)
{
	if (raw) {
		element_read(type->element, raw, count, data);
		return;
	}
	for (size_t i = 0; i < count; i++)
		element_put(type->element, listed_element(proto, type->listed, i), data, i);
}

/* ---- data outside the file --------------------------------------------- */

static const char *external_entry(const Onnx__TensorProto *proto, const char *key)
{
	for (size_t i = 0; i < proto->n_external_data; i++) {
		const Onnx__StringStringEntryProto *entry = proto->external_data[i];

		if (entry->key && entry->value && !strcmp(entry->key, key))
			return entry->value;
	}
	return NULL;
}

static bool parse_number(const char *text, uint64_t *value)
{
	char *end;

	if (!text)
		return true;
	errno = 0;
	*value = strtoull(text, &end, 10);
	return !errno && end != text && !*end && *text != '-';
}

/* A file beside the model's or below: no absolute path, no way up. */
static bool is_below(const char *path)
{
	if (!*path || *path == '/')
		return false;
	for (const char *at = path; at; at = strchr(at, '/')) {
		at += *at == '/';
		if (!strncmp(at, "..", 2) && (at[2] == '/' || !at[2]))
			return false;
	}
	return true;
}

/* Read the elements from a file of their own to memory from malloc(). */
static int read_external(const struct xrnpe_graph *graph, const Onnx__TensorProto *proto,
			 const char *directory, size_t bytes, uint8_t **raw,
			 struct xrnpe_error *error)
{
	const char *location = external_entry(proto, "location");
	uint64_t offset = 0, length = bytes;
	struct xrnpe_error reason;
	char name[64], *path;
	int ret;

	graph_printable(proto->name ? proto->name : "", name);
	if (!location || !is_below(location) ||
	    !parse_number(external_entry(proto, "offset"), &offset) || offset > INT64_MAX ||
	    !parse_number(external_entry(proto, "length"), &length) || length != bytes)
		return xrnpe_fail(error, -EINVAL,
				  "%s: constant %s: location, offset or length of its external data is malformed",
				  graph->name, name);
	if (!directory)
		return xrnpe_fail(error, -ENOTSUP, "%s: constant %s lies outside the file, in %.200s",
				  graph->name, name, location);
	if (asprintf(&path, "%s%s", directory, location) < 0)
		return xrnpe_fail_memory(error);
	*raw = malloc(bytes + 1);
	ret = *raw ? xrnpe_file_read_part(path, offset, bytes, *raw, &reason) :
		     xrnpe_fail_memory(&reason);
	free(path);
	return ret ? xrnpe_fail(error, ret, "%s: constant %s lies in another file: %s", graph->name, name,
				reason.message) : 0;
}

/* ---- constants --------------------------------------------------------- */

static int read_shape(const struct xrnpe_graph *graph, const Onnx__TensorProto *proto,
		      struct graph_shape *shape, struct xrnpe_error *error)
{
	char name[64];

	graph_printable(proto->name ? proto->name : "", name);
	if (proto->n_dims > GRAPH_MAX_RANK)
		return xrnpe_fail(error, -ENOTSUP, "%s: constant %s is of rank %zu; supported is %d",
				  graph->name, name, proto->n_dims, GRAPH_MAX_RANK);
	*shape = (struct graph_shape){ .rank = (uint32_t)proto->n_dims };
	for (size_t i = 0; i < proto->n_dims; i++) {
		if (proto->dims[i] < 0 || proto->dims[i] > UINT32_MAX)
			return xrnpe_fail(error, -EINVAL, "%s: constant %s has impossible dimensions",
					  graph->name, name);
		shape->dims[i] = (uint32_t)proto->dims[i];
	}
	return 0;
}

int onnx_constant(struct xrnpe_graph *graph, uint32_t index, const Onnx__TensorProto *proto,
		  const char *directory, struct xrnpe_error *error)
{
	const struct type *type = find_type(proto->has_data_type ? proto->data_type : 0);
	bool external = proto->n_external_data ||
			(proto->has_data_location && proto->data_location ==
			 ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL);
	uint8_t *external_data = NULL;
	struct graph_shape shape;
	size_t count, size, listed;
	char name[64];
	void *data;
	int ret;

	graph_printable(proto->name ? proto->name : "", name);
	if (!type)
		return xrnpe_fail(error, -ENOTSUP, "%s: constant %s has element type %d, which is not supported",
				  graph->name, name, proto->has_data_type ? proto->data_type : 0);
	if (proto->segment)
		return xrnpe_fail(error, -ENOTSUP, "%s: constant %s is split into segments",
				  graph->name, name);
	ret = read_shape(graph, proto, &shape, error);
	if (ret)
		return ret;
	/* Before anything is allocated: the elements are there. */
	count = 1;
	for (uint32_t i = 0; i < shape.rank; i++) {
		if (__builtin_mul_overflow(count, shape.dims[i], &count) || count > GRAPH_MAX_CONSTANT)
			return xrnpe_fail(error, -ENOTSUP, "%s: constant %s is too large",
					  graph->name, name);
	}
	size = element_size(type->element);
	listed = listed_count(proto, type->listed);
	if (external ? proto->has_raw_data || listed :
	    proto->has_raw_data ? proto->raw_data.len != count * size || listed :
				  listed != count)
		return xrnpe_fail(error, -EINVAL,
				  "%s: constant %s holds not as many elements as its dimensions say",
				  graph->name, name);
	if (external)
		ret = read_external(graph, proto, directory, count * size, &external_data, error);
	if (!ret)
		ret = build_constant(graph, index, element_type(type->element), &shape, &data, error);
	if (!ret)
		convert(proto, type, external ? external_data : proto->has_raw_data ?
			proto->raw_data.data : NULL, count, data);
	free(external_data);
	return ret;
}

// SPDX-License-Identifier: MIT
/*
 * Sparse constants. Dimensions are traversed in an order of their own, each either dense or
 * as a compressed sparse row: segments[i] to segments[i + 1] are the places in indices of what
 * there is below the i-th element of the dimension before. Behind the tensor's own dimensions
 * may be those of blocks, of which each divides one of them.
 */
#include "reader.h"
#include "schema.h"

#define MAX_LEVELS (2 * GRAPH_MAX_RANK)

/* One dimension in the order of traversal. */
struct level {
	uint32_t dimension;	/* which: one of the tensor, or of a block */
	uint32_t size;		/* of a dense one */
	bool sparse;
	struct flat_vector segments, indices;
};

struct sparse {
	const struct graph_shape *shape;
	enum element element;
	const uint8_t *bytes;
	size_t count, at;	/* elements, and the next one */
	void *data;
	uint32_t levels;
	struct level level[MAX_LEVELS];
	uint32_t block[MAX_LEVELS];	/* by dimension of a block: that of the tensor */
	uint32_t block_size[GRAPH_MAX_RANK];
};

/* A list of indices; false: it is of no kind that there is. */
static bool read_list(struct flat_table dimension, uint32_t kind, struct flat_vector *list)
{
	static const uint32_t sizes[] = {
		[INDICES_INT32] = 4, [INDICES_UINT16] = 2, [INDICES_UINT8] = 1,
	};
	int8_t found = flat_byte(dimension, kind);

	if (found < INDICES_INT32 || found > INDICES_UINT8)
		return false;
	*list = flat_vector(flat_table(dimension, kind + 1), INDICES_VALUES, sizes[found]);
	return list->count;
}

static int64_t list_at(const struct flat_vector *list, uint32_t i)
{
	const uint8_t *bytes = flat_vector_bytes(*list);

	return list->size == 4 ? flat_vector_int(*list, i) :
	       list->size == 2 ? bytes[2 * (size_t)i] | bytes[2 * (size_t)i + 1] << 8 : bytes[i];
}

static bool read_level(struct flat_table dimension, uint32_t number, struct level *level)
{
	int32_t size = flat_int(dimension, DIMENSION_SIZE, 0);

	level->dimension = number;
	level->sparse = flat_byte(dimension, DIMENSION_FORMAT) == DIMENSION_SPARSE;
	level->size = (uint32_t)size;
	if (level->sparse)
		return read_list(dimension, DIMENSION_SEGMENTS_KIND, &level->segments) &&
		       read_list(dimension, DIMENSION_INDICES_KIND, &level->indices);
	return flat_byte(dimension, DIMENSION_FORMAT) == DIMENSION_DENSE && size > 0;
}

/* Dimensions of blocks: what they divide, and sizes, which levels that are dense tell. */
static bool read_blocks(struct sparse *sparse, struct flat_vector map)
{
	uint32_t rank = sparse->shape->rank;

	for (uint32_t i = 0; i < rank; i++)
		sparse->block_size[i] = 1;
	for (uint32_t i = 0; i < map.count; i++) {
		int32_t of = flat_vector_int(map, i);

		if (of < 0 || (uint32_t)of >= rank)
			return false;
		sparse->block[rank + i] = (uint32_t)of;
	}
	for (uint32_t i = 0; i < sparse->levels; i++) {
		const struct level *level = &sparse->level[i];

		if (level->dimension < rank)
			continue;
		if (level->sparse)
			return false;
		sparse->block_size[sparse->block[level->dimension]] = level->size;
	}
	return true;
}

/* Put the next element where the places @place along all dimensions say. */
static bool put_element(struct sparse *sparse, const uint32_t *place)
{
	const struct graph_shape *shape = sparse->shape;
	size_t at = 0, bytes = element_size(sparse->element);
	uint64_t where[GRAPH_MAX_RANK];

	if (sparse->at == sparse->count)
		return false;
	for (uint32_t i = 0; i < shape->rank; i++)
		where[i] = (uint64_t)place[i] * sparse->block_size[i];
	for (uint32_t i = shape->rank; i < sparse->levels; i++)
		where[sparse->block[i]] += place[i];
	for (uint32_t i = 0; i < shape->rank; i++) {
		if (where[i] >= shape->dims[i])
			return false;
		at = at * shape->dims[i] + (size_t)where[i];
	}
	element_read(sparse->element, sparse->bytes + sparse->at++ * bytes, 1,
		     (char *)sparse->data + at * graph_type_size(element_type(sparse->element)));
	return true;
}

/* All below element @parent of the level before @depth. */
static bool put_level(struct sparse *sparse, uint32_t depth, size_t parent, uint32_t *place)
{
	const struct level *level = &sparse->level[depth];
	int64_t first = 0, end = level->size;

	if (depth == sparse->levels)
		return put_element(sparse, place);
	if (level->sparse) {
		if (parent + 1 >= level->segments.count)
			return false;
		first = list_at(&level->segments, (uint32_t)parent);
		end = list_at(&level->segments, (uint32_t)parent + 1);
		if (first < 0 || first > end || end > level->indices.count)
			return false;
	}
	for (int64_t i = first; i < end; i++) {
		int64_t at = level->sparse ? list_at(&level->indices, (uint32_t)i) : i;

		if (at < 0 || at > UINT32_MAX)
			return false;
		place[level->dimension] = (uint32_t)at;
		if (!put_level(sparse, depth + 1, level->sparse ? (size_t)i :
			       parent * level->size + (size_t)i, place))
			return false;
	}
	return true;
}

bool tflite_densify(struct flat_table sparsity, enum element element,
		    const struct graph_shape *shape, const uint8_t *bytes, size_t size, void *data)
{
	struct flat_vector order = flat_vector(sparsity, SPARSITY_ORDER, 4);
	struct flat_vector map = flat_vector(sparsity, SPARSITY_BLOCK_MAP, 4);
	struct flat_vector dimensions = flat_vector(sparsity, SPARSITY_DIMENSIONS, 4);
	struct sparse sparse = {
		.shape = shape, .element = element, .bytes = bytes,
		.count = size / element_size(element), .data = data, .levels = order.count,
	};
	uint32_t place[MAX_LEVELS] = { 0 }, seen = 0;

	if (map.count > shape->rank || order.count != shape->rank + map.count ||
	    dimensions.count != order.count)
		return false;
	for (uint32_t i = 0; i < sparse.levels; i++) {
		int32_t number = flat_vector_int(order, i);

		if (number < 0 || (uint32_t)number >= sparse.levels ||
		    !read_level(flat_vector_table(dimensions, i), (uint32_t)number, &sparse.level[i]))
			return false;
		seen |= 1u << number;
	}
	if (seen != (1u << sparse.levels) - 1 || !read_blocks(&sparse, map))
		return false;
	return put_level(&sparse, 0, 0, place) && sparse.at == sparse.count;
}

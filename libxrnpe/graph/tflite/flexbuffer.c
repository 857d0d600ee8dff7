// SPDX-License-Identifier: MIT
/* Reads maps of flexbuffers without trusting one offset. */
#include <string.h>

#include "flexbuffer.h"

/* A type is that times 4, and the power of two that is the width. */
enum flex_type {
	FLEX_INT = 1,
	FLEX_UINT,
	FLEX_FLOAT,
	FLEX_MAP = 9,
	FLEX_INTS = 11,
	FLEX_UINTS,
};

/* Somewhere in the data. */
struct flex_value {
	enum flex_type type;
	size_t at, width;	/* of the value itself, or what refers to it */
	size_t inner;		/* width of what it refers to */
};

static bool is_inside(const struct flex_map *map, size_t at, size_t bytes)
{
	return at <= map->size && bytes <= map->size - at;
}

/* A little-endian number of @width bytes that are inside. */
static uint64_t number(const struct flex_map *map, size_t at, size_t width)
{
	uint64_t value = 0;

	for (size_t i = 0; i < width; i++)
		value |= (uint64_t)map->data[at + i] << (8 * i);
	return value;
}

static int64_t signed_number(const struct flex_map *map, size_t at, size_t width)
{
	unsigned int shift = 64 - 8 * (unsigned int)width;

	return (int64_t)(number(map, at, width) << shift) >> shift;
}

/* Where the reference of @width bytes at @at leads; before @before it leads nowhere, 0. */
static size_t follow(const struct flex_map *map, size_t at, size_t width, size_t before)
{
	uint64_t back = number(map, at, width);

	return back <= at && at - back >= before ? at - (size_t)back : 0;
}

struct flex_map flex_root(const uint8_t *data, size_t size)
{
	struct flex_map map = { .data = data, .size = size };
	const struct flex_map none = { 0 };
	size_t width, at, count;

	if (size < 3)
		return none;
	width = data[size - 1];
	if ((width != 1 && width != 2 && width != 4 && width != 8) || size - 2 < width ||
	    data[size - 2] >> 2 != FLEX_MAP)
		return none;
	map.width = (size_t)1 << (data[size - 2] & 3);
	at = follow(&map, size - 2 - width, width, 3 * map.width);
	if (!at)
		return none;
	map.values = at;
	map.key_width = (size_t)number(&map, at - 2 * map.width, map.width);
	if (map.key_width != 1 && map.key_width != 2 && map.key_width != 4 && map.key_width != 8)
		return none;
	map.keys = follow(&map, at - 3 * map.width, map.width, 0);
	count = (size_t)number(&map, at - map.width, map.width);
	/* Values with a byte of type each, and keys. */
	if (count > size || !is_inside(&map, at, count * (map.width + 1)) ||
	    !is_inside(&map, map.keys, count * map.key_width))
		return none;
	map.count = count;
	return map;
}

/* Whether key @i is @key; one that does not end in the data is none. */
static bool is_key(const struct flex_map *map, size_t i, const char *key)
{
	size_t reference = map->keys + i * map->key_width, length = strlen(key) + 1, at;

	at = follow(map, reference, map->key_width, 0);
	return is_inside(map, at, length) && !memcmp(map->data + at, key, length);
}

static bool find(const struct flex_map *map, const char *key, struct flex_value *value)
{
	for (size_t i = 0; i < map->count; i++) {
		uint8_t type = map->data[map->values + map->count * map->width + i];

		if (!is_key(map, i, key))
			continue;
		*value = (struct flex_value){
			.type = type >> 2, .at = map->values + i * map->width, .width = map->width,
			.inner = (size_t)1 << (type & 3),
		};
		return true;
	}
	return false;
}

bool flex_number(const struct flex_map *map, const char *key, double *value)
{
	struct flex_value found;
	uint64_t bits;
	float narrow;

	if (!find(map, key, &found))
		return false;
	bits = number(map, found.at, found.width);
	if (found.type == FLEX_INT) {
		*value = (double)signed_number(map, found.at, found.width);
	} else if (found.type == FLEX_UINT) {
		*value = (double)bits;
	} else if (found.type == FLEX_FLOAT && found.width == sizeof(narrow)) {
		memcpy(&narrow, &bits, sizeof(narrow));
		*value = (double)narrow;
	} else if (found.type == FLEX_FLOAT && found.width == sizeof(*value)) {
		memcpy(value, &bits, sizeof(*value));
	} else {
		return false;
	}
	return true;
}

/* The list's first element, and how many there are; 0: it is none. */
static size_t find_list(const struct flex_map *map, const char *key, struct flex_value *list,
			size_t *first)
{
	uint64_t count;

	if (!find(map, key, list) || (list->type != FLEX_INTS && list->type != FLEX_UINTS))
		return 0;
	*first = follow(map, list->at, list->width, list->inner);
	if (!*first)
		return 0;
	count = number(map, *first - list->inner, list->inner);
	return count <= map->size && is_inside(map, *first, (size_t)count * list->inner) ?
	       (size_t)count : 0;
}

size_t flex_count(const struct flex_map *map, const char *key)
{
	struct flex_value list;
	size_t first;

	return find_list(map, key, &list, &first);
}

int64_t flex_element(const struct flex_map *map, const char *key, size_t i)
{
	struct flex_value list;
	size_t first;

	if (!find_list(map, key, &list, &first))
		return 0;
	first += i * list.inner;
	return list.type == FLEX_INTS ? signed_number(map, first, list.inner) :
					(int64_t)number(map, first, list.inner);
}

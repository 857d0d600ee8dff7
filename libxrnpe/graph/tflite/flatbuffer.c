// SPDX-License-Identifier: MIT
/* Reads flatbuffers without trusting one offset. */
#include <string.h>

#include "flatbuffer.h"

static bool is_inside(const struct flat *flat, size_t at, size_t bytes)
{
	return at <= flat->size && bytes <= flat->size - at;
}

/* A little-endian number of @size bytes that are inside. */
static uint64_t number(const struct flat *flat, size_t at, size_t size)
{
	uint64_t value = 0;

	for (size_t i = 0; i < size; i++)
		value |= (uint64_t)flat->data[at + i] << (8 * i);
	return value;
}

static float as_float(uint64_t bits)
{
	uint32_t low = (uint32_t)bits;
	float value;

	memcpy(&value, &low, sizeof(value));
	return value;
}

void flat_damage(struct flat *flat, size_t at)
{
	if (!flat->damaged)
		flat->where = at;
	flat->damaged = true;
}

/* What the reference at @at leads to, where at least @bytes are; 0: nowhere. */
static size_t follow(struct flat *flat, size_t at, size_t bytes)
{
	size_t to = at + (size_t)number(flat, at, 4);

	if (to > at && is_inside(flat, to, bytes))
		return to;
	flat_damage(flat, at);
	return 0;
}

static struct flat_table open_table(struct flat *flat, size_t at)
{
	const struct flat_table none = { 0 };
	struct flat_table table = { .flat = flat, .at = at };
	int64_t vtable;
	size_t size;

	if (!at)
		return none;
	vtable = (int64_t)at - (int32_t)number(flat, at, 4);
	if (vtable >= 0 && is_inside(flat, (size_t)vtable, 4)) {
		table.vtable = (size_t)vtable;
		size = (size_t)number(flat, table.vtable, 2);
		table.size = (size_t)number(flat, table.vtable + 2, 2);
		table.fields = (uint32_t)(size / 2 - 2);
		if (size >= 4 && size % 2 == 0 && is_inside(flat, table.vtable, size) &&
		    table.size >= 4 && is_inside(flat, at, table.size))
			return table;
	}
	flat_damage(flat, at);
	return none;
}

bool flat_is(const void *data, size_t size, const char identifier[4])
{
	return size >= 8 && !memcmp((const char *)data + 4, identifier, 4);
}

struct flat_table flat_root(struct flat *flat)
{
	if (is_inside(flat, 0, 4))
		return open_table(flat, follow(flat, 0, 4));
	flat_damage(flat, 0);
	return (struct flat_table){ 0 };
}

/* ---- fields ------------------------------------------------------------- */

/* Where the field of @size bytes is; 0: absent. */
static size_t find(struct flat_table table, uint32_t field, size_t size)
{
	size_t offset;

	if (!table.flat || field >= table.fields)
		return 0;
	offset = (size_t)number(table.flat, table.vtable + 4 + 2 * (size_t)field, 2);
	if (!offset)
		return 0;
	if (offset >= 4 && offset + size <= table.size)
		return table.at + offset;
	flat_damage(table.flat, table.vtable + 4 + 2 * (size_t)field);
	return 0;
}

static uint64_t scalar(struct flat_table table, uint32_t field, size_t size, uint64_t fallback)
{
	size_t at = find(table, field, size);

	return at ? number(table.flat, at, size) : fallback;
}

bool flat_bool(struct flat_table table, uint32_t field)
{
	return scalar(table, field, 1, 0);
}

int8_t flat_byte(struct flat_table table, uint32_t field)
{
	return (int8_t)scalar(table, field, 1, 0);
}

int32_t flat_int(struct flat_table table, uint32_t field, int32_t fallback)
{
	return (int32_t)scalar(table, field, 4, (uint32_t)fallback);
}

uint64_t flat_long(struct flat_table table, uint32_t field)
{
	return scalar(table, field, 8, 0);
}

float flat_float(struct flat_table table, uint32_t field)
{
	return as_float(scalar(table, field, 4, 0));
}

struct flat_table flat_table(struct flat_table table, uint32_t field)
{
	size_t at = find(table, field, 4);

	return at ? open_table(table.flat, follow(table.flat, at, 4)) : (struct flat_table){ 0 };
}

struct flat_vector flat_vector(struct flat_table table, uint32_t field, uint32_t size)
{
	struct flat_vector vector = { .flat = table.flat, .size = size };
	size_t at = find(table, field, 4);
	uint64_t count;

	at = at ? follow(table.flat, at, 4) : 0;
	if (!at)
		return vector;
	count = number(table.flat, at, 4);
	vector.at = at + 4;
	if (is_inside(table.flat, vector.at, (size_t)count * size))
		vector.count = (uint32_t)count;
	else
		flat_damage(table.flat, vector.at - 4);
	return vector;
}

const char *flat_string(struct flat_table table, uint32_t field)
{
	struct flat_vector vector = flat_vector(table, field, 1);
	const char *text = (const char *)flat_vector_bytes(vector);

	if (!vector.at)
		return "";
	/* The 0 behind it, and none in it. */
	if (is_inside(vector.flat, vector.at, (size_t)vector.count + 1) &&
	    strnlen(text, (size_t)vector.count + 1) == vector.count)
		return text;
	flat_damage(vector.flat, vector.at - 4);
	return "";
}

/* ---- elements ------------------------------------------------------------ */

int32_t flat_vector_int(struct flat_vector vector, uint32_t i)
{
	return (int32_t)number(vector.flat, vector.at + 4 * (size_t)i, 4);
}

int64_t flat_vector_long(struct flat_vector vector, uint32_t i)
{
	return (int64_t)number(vector.flat, vector.at + 8 * (size_t)i, 8);
}

float flat_vector_float(struct flat_vector vector, uint32_t i)
{
	return as_float(number(vector.flat, vector.at + 4 * (size_t)i, 4));
}

struct flat_table flat_vector_table(struct flat_vector vector, uint32_t i)
{
	return open_table(vector.flat, follow(vector.flat, vector.at + 4 * (size_t)i, 4));
}

const uint8_t *flat_vector_bytes(struct flat_vector vector)
{
	return vector.at ? vector.flat->data + vector.at : NULL;
}

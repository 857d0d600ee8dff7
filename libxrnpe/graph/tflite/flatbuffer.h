/* SPDX-License-Identifier: MIT */
/*
 * Reads flatbuffers, as https://flatbuffers.dev/internals/ has them, without trusting one
 * offset. A table begins with the way back to its vtable: two sizes in bytes, of itself and
 * of the table, and for each field its place in the table, or 0 where it is left out. What a
 * field refers to (a table, a vector, a string) lies behind it, so that nothing is read in
 * circles. A vector is its length and its elements; a string is one of bytes, and a 0.
 *
 * Whatever the bytes, every call gives something: what is left out or lies where it cannot,
 * is absent, that is 0, empty, or a table of absent fields. The first of the latter is noted.
 */
#ifndef XRNPE_FLATBUFFER_H
#define XRNPE_FLATBUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct flat {
	const uint8_t *data;
	size_t size;
	bool damaged;		/* something lies where it cannot */
	size_t where;		/* the byte that leads there */
};

struct flat_table {
	struct flat *flat;	/* NULL: absent */
	size_t at, size;	/* where it is, and its bytes */
	size_t vtable;
	uint32_t fields;
};

struct flat_vector {
	struct flat *flat;
	size_t at;		/* the first element */
	uint32_t count;
	uint32_t size;		/* bytes of an element */
};

/* Something lies where it cannot, says what is at @at. */
void flat_damage(struct flat *flat, size_t at);

/* Whether the bytes say that they are a flatbuffer whose root is of the kind @identifier. */
bool flat_is(const void *data, size_t size, const char identifier[4]);

struct flat_table flat_root(struct flat *flat);

/* Fields are counted from 0 in the order of the schema. A union has two: kind and table. */
bool flat_bool(struct flat_table table, uint32_t field);
int8_t flat_byte(struct flat_table table, uint32_t field);
int32_t flat_int(struct flat_table table, uint32_t field, int32_t fallback);
uint64_t flat_long(struct flat_table table, uint32_t field);
float flat_float(struct flat_table table, uint32_t field);
struct flat_table flat_table(struct flat_table table, uint32_t field);

/* Of elements of @size bytes; of tables and strings 4. */
struct flat_vector flat_vector(struct flat_table table, uint32_t field, uint32_t size);

/* "" where there is none. */
const char *flat_string(struct flat_table table, uint32_t field);

/* Elements; @i is less than the count. */
int32_t flat_vector_int(struct flat_vector vector, uint32_t i);
int64_t flat_vector_long(struct flat_vector vector, uint32_t i);
float flat_vector_float(struct flat_vector vector, uint32_t i);
struct flat_table flat_vector_table(struct flat_vector vector, uint32_t i);
const uint8_t *flat_vector_bytes(struct flat_vector vector);

#endif

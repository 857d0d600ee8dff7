/* SPDX-License-Identifier: MIT */
/*
 * Reads maps of flexbuffers, as https://flatbuffers.dev/internals/ has them, without trusting
 * one offset: options of operators that no schema has. The last byte is the width of the root
 * and the one before it its type, behind the root. A map is its values, and behind them their
 * types; before them are their number, and where its keys are, sorted. What a value refers to
 * lies before it.
 *
 * What is left out, lies where it cannot or is of another type is absent.
 */
#ifndef XRNPE_FLEXBUFFER_H
#define XRNPE_FLEXBUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct flex_map {
	const uint8_t *data;
	size_t size;
	size_t values, width;	/* where they are, and bytes of one */
	size_t keys, key_width;
	size_t count;		/* 0: it is none */
};

/* The root of the @size bytes at @data. */
struct flex_map flex_root(const uint8_t *data, size_t size);

/* Whether the map has @key; its number. */
bool flex_number(const struct flex_map *map, const char *key, double *value);

/* The same of a list of integers: its number, and element @i, which is less. */
size_t flex_count(const struct flex_map *map, const char *key);
int64_t flex_element(const struct flex_map *map, const char *key, size_t i);

#endif

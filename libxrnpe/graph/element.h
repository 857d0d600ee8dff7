/* SPDX-License-Identifier: MIT */
/* Elements of tensors as files have them, and what they are in a graph. */
#ifndef XRNPE_ELEMENT_H
#define XRNPE_ELEMENT_H

#include "graph.h"

/* Little-endian in files, and no bits between them. */
enum element {
	ELEMENT_FLOAT32,
	ELEMENT_FLOAT64,
	ELEMENT_FLOAT16,
	ELEMENT_BFLOAT16,
	ELEMENT_INT8,
	ELEMENT_UINT8,
	ELEMENT_INT16,
	ELEMENT_UINT16,
	ELEMENT_INT32,
	ELEMENT_UINT32,
	ELEMENT_INT64,
	ELEMENT_UINT64,
	ELEMENT_BOOL,
};

enum graph_type element_type(enum element element);

/* Bytes of one in a file. */
size_t element_size(enum element element);

/* Put the element whose bits are @bits, of which it takes the lowest, to @data[i]. */
void element_put(enum element element, uint64_t bits, void *data, size_t i);

/* @count elements from a file's bytes. */
void element_read(enum element element, const uint8_t *bytes, size_t count, void *data);

#endif

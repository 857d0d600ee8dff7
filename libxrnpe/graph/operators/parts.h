/* SPDX-License-Identifier: MIT */
/*
 * Nodes that the infer() of an operator adds which is made of others. What fails sets *@ret, and
 * does nothing where that is set already: whoever adds many looks at it once.
 */
#ifndef XRNPE_PARTS_H
#define XRNPE_PARTS_H

#include "operator.h"

/* An attribute of integers. Returns 0 or -ENOMEM. */
int part_attribute(struct graph_attribute *attribute, const char *name,
		   enum graph_attribute_kind kind, size_t count, const int64_t *values);

/*
 * A node of one output, which is a new tensor; GRAPH_NONE: it failed.
 *
 * @attribute: taken; NULL: it has none
 * @count: of its inputs, which follow; at most 5
 */
uint32_t part(const struct op *op, int *ret, const char *name,
	      const struct graph_attribute *attribute, uint32_t count, ...);

/* The same with one attribute of integers. */
uint32_t part_ints(const struct op *op, int *ret, const char *name, const char *attribute,
		   enum graph_attribute_kind kind, size_t count, const int64_t *values,
		   uint32_t input);

/* A constant list of integers. */
uint32_t part_list(const struct op *op, int *ret, uint32_t count, const int64_t *values);

uint32_t part_reshape(const struct op *op, int *ret, uint32_t input, uint32_t count,
		      const int64_t *dims);

#endif

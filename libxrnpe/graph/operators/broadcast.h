/* SPDX-License-Identifier: MIT */
/* Element by element, with broadcasting: what arithmetic and logic share. */
#ifndef XRNPE_BROADCAST_H
#define XRNPE_BROADCAST_H

#include "operator.h"

/* Operands of one line of the result, and the elements between theirs: 0 or 1. */
struct line {
	void *out;
	const void *in[3];
	size_t step[3];
	size_t count;
};

/*
 * Set the output's type and the shape to which all inputs broadcast. All inputs are of
 * @in's type.
 */
int broadcast_infer(const struct op *op, enum graph_type in, enum graph_type out);

/* What is broadcast. */
struct broadcast {
	const struct graph_tensor *tensor;	/* its type and shape */
	const void *data;
};

/*
 * Call @line for the lines of @out, as long as they can be. @out may be an operand too.
 *
 * @count: of operands, at most 3
 */
void broadcast_lines(const struct graph_tensor *out, void *data, const struct broadcast *operands,
		     uint32_t count, void (*line)(const struct line *line));

/* The same for output 0 and the first @count inputs of a node. */
void broadcast_compute(const struct op_call *call, uint32_t count,
		       void (*line)(const struct line *line));

/* A loop over a line, which the compiler makes vectors of where steps are known. */
#define BROADCAST_LOOP(line, body)								\
do {												\
	const size_t count_ = (line)->count;							\
	if ((line)->step[0] && (line)->step[1]) {						\
		for (size_t i = 0; i < count_; i++) {						\
			const size_t a = i, b = i;						\
			body;									\
		}										\
	} else if ((line)->step[0]) {								\
		for (size_t i = 0; i < count_; i++) {						\
			const size_t a = i, b = 0;						\
			body;									\
		}										\
	} else {										\
		for (size_t i = 0; i < count_; i++) {						\
			const size_t a = 0, b = i * (line)->step[1];				\
			body;									\
		}										\
	}											\
} while (0)

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Operators of TensorFlow Lite with the outputs that are right: a row is a model of one
 * operator. The suite "lite" has TensorFlow Lite itself confirm them.
 */
#ifndef LITE_ROWS_H
#define LITE_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "unit/lite_builder.h"

enum lite_kind {
	LITE_NONE,		/* the end of a list */
	LITE_LEFT_OUT,
	LITE_INPUT,		/* of the network, float */
	LITE_BOOL_INPUT,
	LITE_FLOAT,		/* a constant, as are the next */
	LITE_HALF,
	LITE_INT32,
	LITE_BOOL,
};

/* An input or an output of the operator. */
struct lite_operand {
	enum lite_kind kind;
	uint32_t rank;
	const int32_t *dims;
	const float *values;	/* NULL: 1, 2, 3 ... */
};

struct lite_row {
	const char *op, *what;
	int8_t options_kind;	/* 0: as the reader knows it */
	struct lite_field options[8];
	struct lite_operand inputs[5], outputs[4];
};

extern const struct lite_row lite_rows[];
extern const size_t lite_row_count;

#endif

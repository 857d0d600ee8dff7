/* SPDX-License-Identifier: MIT */
/* Inputs of bytes on the command line: --input-format, --mean and --scale, each [NAME=]... */
#ifndef XRNPE_TOOLS_BYTES_H
#define XRNPE_TOOLS_BYTES_H

#include "xrnpe.h"

/* What was given; names are the command line's. */
struct byte_inputs {
	struct xrnpe_byte_input *list;
	struct byte_values *values;	/* of each in the list */
	size_t count;
};

enum byte_option {
	BYTE_INPUT_FORMAT,	/* u8: pixel by pixel; u8-planar */
	BYTE_MEAN,		/* a number, or one for each channel, with commas between */
	BYTE_SCALE,
};

/* Add an option's argument. Returns 0 or -EINVAL with a message that names neither. */
int bytes_add(struct byte_inputs *inputs, enum byte_option option, char *text,
	      struct xrnpe_error *error);

/* When all were added: fit them together. Returns 0 or -EINVAL. */
int bytes_finish(struct byte_inputs *inputs, struct xrnpe_error *error);

void bytes_free_inputs(struct byte_inputs *inputs);

#endif

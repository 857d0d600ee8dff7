/* SPDX-License-Identifier: MIT */
/* Files that a command is to write: what is wrong with them is said before anything is computed. */
#ifndef XRNPE_TOOLS_OUTPUTS_H
#define XRNPE_TOOLS_OUTPUTS_H

#include "xrnpe.h"

/* A file and the option that named it: "--output", or "the network" for what is read. */
struct named_file {
	const char *what, *path;	/* path NULL: not given */
};

/*
 * Whether all @outputs can be written, and none is one of @inputs or another output, under
 * whatever name. Returns 0; -EINVAL: one is; -EACCES and the like: cannot be written.
 */
int outputs_check(const struct named_file *outputs, unsigned int output_count,
		  const struct named_file *inputs, unsigned int input_count,
		  struct xrnpe_error *error);

/* Make the folder @path, which may be there. Returns 0 or what failed. */
int outputs_make_folder(const char *path, struct xrnpe_error *error);

#endif

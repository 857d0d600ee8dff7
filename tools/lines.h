/* SPDX-License-Identifier: MIT */
/* Files of settings: a line each; a '#' that begins a line, or is behind a space, begins a comment. */
#ifndef XRNPE_TOOLS_LINES_H
#define XRNPE_TOOLS_LINES_H

#include "xrnpe.h"

/*
 * Give each line that is not empty to @take, without spaces around it. Returns 0 or what failed,
 * with file and line in front of what @take says.
 */
int lines_read(const char *path,
	       int (*take)(void *data, const char *line, struct xrnpe_error *error), void *data,
	       struct xrnpe_error *error);

#endif

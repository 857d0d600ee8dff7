/* SPDX-License-Identifier: MIT */
/* Whole files in and out. */
#ifndef XRNPE_IO_H
#define XRNPE_IO_H

#include <stddef.h>
#include <stdio.h>

#include "xrnpe.h"

/*
 * Read a whole file of at most @limit bytes into memory from malloc().
 * Returns 0 or what failed; -EFBIG: it is longer.
 */
int xrnpe_file_read(const char *path, size_t limit, unsigned char **data, size_t *size,
		    struct xrnpe_error *error);

/*
 * Read @size bytes from @offset on of a regular file to @data. -EINVAL: it is none, or not
 * as long.
 */
int xrnpe_file_read_part(const char *path, uint64_t offset, size_t size, void *data,
			 struct xrnpe_error *error);

/*
 * A file being written beside its final place, which may be behind a link.
 * xrnpe_file_commit() puts it there,
 * so that nobody ever sees half of it, and xrnpe_file_abandon() removes it. Both
 * end it. Errors of writes in between are noticed by the commit. Devices and pipes
 * are written as they are.
 */
struct xrnpe_file {
	FILE *stream;
	char *path;		/* as it was given, for messages */
	char *target;		/* where that leads */
	char *temporary;	/* NULL: written in place */
};

int xrnpe_file_create(struct xrnpe_file *file, const char *path, struct xrnpe_error *error);
int xrnpe_file_commit(struct xrnpe_file *file, struct xrnpe_error *error);
void xrnpe_file_abandon(struct xrnpe_file *file);

#endif

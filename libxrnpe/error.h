/* SPDX-License-Identifier: MIT */
/* How the library makes its error messages. */
#ifndef XRNPE_ERROR_H
#define XRNPE_ERROR_H

#include "xrnpe.h"

/*
 * Fill @error, which may be NULL, and return @code, a negative errno value:
 * return xrnpe_fail(error, -EINVAL, "%s: no such layer", name);
 */
int xrnpe_fail(struct xrnpe_error *error, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4), nonnull(3)));

/* "Out of memory". Returns -ENOMEM. */
int xrnpe_fail_memory(struct xrnpe_error *error);

/* "@path: cannot @verb: Permission denied" from errno. Returns -errno. */
int xrnpe_fail_errno(struct xrnpe_error *error, const char *path, const char *verb);

#endif

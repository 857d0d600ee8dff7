// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "error.h"

int xrnpe_fail(struct xrnpe_error *error, int code, const char *format, ...)
{
	va_list args;

	if (!error)
		return code;

	error->code = code;
	va_start(args, format);
	vsnprintf(error->message, sizeof(error->message), format, args);
	va_end(args);

	/* Names come from files: they must not steer the reader's terminal. */
	for (char *c = error->message; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	return code;
}

int xrnpe_fail_memory(struct xrnpe_error *error)
{
	return xrnpe_fail(error, -ENOMEM, "out of memory");
}

int xrnpe_fail_errno(struct xrnpe_error *error, const char *path, const char *verb)
{
	int code = errno;
	char text[128];

	return xrnpe_fail(error, -code, "%s: cannot %s: %s", path, verb,
			  strerror_r(code, text, sizeof(text)));
}

const char *xrnpe_version(void)
{
	return XRNPE_VERSION;
}

// SPDX-License-Identifier: MIT
#include "lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "io.h"

/* Far more than any list of settings takes. */
#define MAX_FILE ((size_t)1 << 24)

/* Cut a comment off. Names may have a '#' in them, so that one behind a space begins it. */
static void cut_comment(char *line)
{
	for (char *at = strchr(line, '#'); at; at = strchr(at + 1, '#')) {
		if (at == line || at[-1] == ' ' || at[-1] == '\t') {
			*at = 0;
			break;
		}
	}
}

/* @line without comment and without spaces around it. */
static char *strip(char *line)
{
	cut_comment(line);
	line[strcspn(line, "\r")] = 0;
	line += strspn(line, " \t");
	for (size_t end = strlen(line); end && (line[end - 1] == ' ' || line[end - 1] == '\t'); end--)
		line[end - 1] = 0;
	return line;
}

int lines_read(const char *path,
	       int (*take)(void *data, const char *line, struct xrnpe_error *error), void *data,
	       struct xrnpe_error *error)
{
	struct xrnpe_error why;
	unsigned char *bytes;
	char *text, *rest;
	size_t size, number = 0;
	int ret = xrnpe_file_read(path, MAX_FILE, &bytes, &size, error);

	if (ret)
		return ret;
	if (memchr(bytes, 0, size)) {
		free(bytes);
		return xrnpe_fail(error, -EINVAL, "%s: is no text", path);
	}
	text = strndup((const char *)bytes, size);
	free(bytes);
	if (!text)
		return xrnpe_fail_memory(error);
	rest = text;
	for (char *line = strsep(&rest, "\n"); !ret && line; line = strsep(&rest, "\n")) {
		number++;
		line = strip(line);
		ret = *line ? take(data, line, &why) : 0;
		if (ret)
			xrnpe_fail(error, ret, "%s: line %zu: %s", path, number, why.message);
	}
	free(text);
	return ret;
}

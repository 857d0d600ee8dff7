// SPDX-License-Identifier: MIT
#include "outputs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "console.h"
#include "error.h"
#include "io.h"

/* What a path leads to, in one way to write it, also if it is not there yet. NULL: nowhere. */
static char *resolve(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *whole = realpath(path, NULL), *folder, *folder_path;

	if (whole)
		return whole;
	folder = strndup(slash ? path : ".", slash ? (size_t)(slash + 1 - path) : 1);
	folder_path = folder ? realpath(folder, NULL) : NULL;
	if (folder_path && asprintf(&whole, "%s/%s", folder_path, slash ? slash + 1 : path) < 0)
		whole = NULL;
	free(folder);
	free(folder_path);
	return whole;
}

/* One file by two names is that where it is written, too: nothing is written into, but put there. */
static bool is_one(const char *a, const char *b)
{
	char *first = resolve(a), *second = resolve(b);
	bool one = is_same_file(a, b) || (first && second && !strcmp(first, second));

	free(first);
	free(second);
	return one;
}

/* A device or a pipe may be written to again and again. */
static bool is_stream(const char *path)
{
	struct stat st;

	return !stat(path, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

static int check_place(const char *path, struct xrnpe_error *error)
{
	struct xrnpe_file file;
	int ret = xrnpe_file_create(&file, path, error);

	if (!ret)
		xrnpe_file_abandon(&file);
	return ret;
}

int outputs_check(const struct named_file *outputs, unsigned int output_count,
		  const struct named_file *inputs, unsigned int input_count,
		  struct xrnpe_error *error)
{
	int ret = 0;

	for (unsigned int i = 0; !ret && i < output_count; i++) {
		const struct named_file *out = &outputs[i];

		if (!out->path || is_stream(out->path))
			continue;
		for (unsigned int k = 0; !ret && k < input_count; k++)
			if (inputs[k].path && is_one(out->path, inputs[k].path))
				ret = xrnpe_fail(error, -EINVAL, "%s is %s itself: %s", out->what,
						 inputs[k].what, out->path);
		for (unsigned int k = 0; !ret && k < i; k++)
			if (outputs[k].path && is_one(out->path, outputs[k].path))
				ret = xrnpe_fail(error, -EINVAL, "%s and %s are one file: %s",
						 outputs[k].what, out->what, out->path);
		if (!ret)
			ret = check_place(out->path, error);
	}
	return ret;
}

int outputs_make_folder(const char *path, struct xrnpe_error *error)
{
	struct stat st;

	if (!mkdir(path, 0777) || (errno == EEXIST && !stat(path, &st) && S_ISDIR(st.st_mode)))
		return 0;
	return xrnpe_fail_errno(error, path, "make the folder");
}

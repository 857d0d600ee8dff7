// SPDX-License-Identifier: MIT
/* Which file belongs to which tensor. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "console.h"
#include "error.h"
#include "npz.h"
#include "tensors.h"

static void *grow(void *array, size_t count, size_t size)
{
	void *larger = realloc(array, (count + 1) * size);

	if (!larger) {
		fputs("xrnpe: out of memory\n", stderr);
		exit(1);
	}
	return larger;
}

void arguments_add(struct arguments *arguments, const char *value)
{
	arguments->values = grow(arguments->values, arguments->count, sizeof(*arguments->values));
	arguments->values[arguments->count++] = value;
}

void arguments_free(struct arguments *arguments)
{
	free(arguments->values);
}

/* ---- lists of tensors --------------------------------------------------- */

static struct tensors new_list(const char *model, const char *kind, unsigned int count)
{
	return (struct tensors){
		model, kind, malloc((count + 1) * sizeof(const struct xrnpe_tensor_info *)), count,
	};
}

#define LIST(name, object, kind, count_of, info_of)						\
struct tensors name(const object *from, const char *model)					\
{												\
	struct tensors list = new_list(model, kind, count_of(from));				\
												\
	for (unsigned int i = 0; list.infos && i < list.count; i++)				\
		list.infos[i] = info_of(from, i);						\
	return list;										\
}

LIST(graph_inputs, struct xrnpe_graph, "input", xrnpe_graph_input_count,
     xrnpe_graph_input)
LIST(graph_outputs, struct xrnpe_graph, "output", xrnpe_graph_output_count,
     xrnpe_graph_output)
LIST(model_inputs, struct xrnpe_model, "input", xrnpe_model_input_count,
     xrnpe_model_input)
LIST(model_outputs, struct xrnpe_model, "output", xrnpe_model_output_count,
     xrnpe_model_output)

/* ---- files --------------------------------------------------------------- */

/* Names as a list for messages. */
static void list_names(const struct tensors *tensors, char *text, size_t size)
{
	size_t used = 0;

	*text = 0;
	for (unsigned int i = 0; i < tensors->count && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, i ? ", %s" : "%s",
					 tensors->infos[i]->name);
}

/* The tensor whose name and "=" @argument starts with, or their count. */
static unsigned int find_named(const struct tensors *tensors, const char *argument)
{
	unsigned int i = 0;

	for (; i < tensors->count; i++) {
		size_t length = strlen(tensors->infos[i]->name);

		if (!strncmp(argument, tensors->infos[i]->name, length) && argument[length] == '=')
			break;
	}
	return i;
}

/*
 * Whether @argument names a file by all of itself, though it has a '=': the file is there, or the
 * folder that a '/' before the '=' is in.
 */
static bool is_file(const char *argument)
{
	const char *equals = strchr(argument, '='), *slash = strrchr(argument, '/');
	char *folder;
	bool there;

	if (!equals || !access(argument, F_OK))
		return true;
	if (!memchr(argument, '/', (size_t)(equals - argument)))
		return false;
	folder = strndup(argument, (size_t)(slash + 1 - argument));
	there = folder && !access(folder, F_OK);
	free(folder);
	return there;
}

int match_files(const struct tensors *tensors, const struct arguments *arguments,
		const char *option, const char **paths, struct xrnpe_error *error)
{
	char names[256];

	list_names(tensors, names, sizeof(names));
	for (unsigned int i = 0; i < tensors->count; i++)
		paths[i] = NULL;
	for (unsigned int k = 0; k < arguments->count; k++) {
		const char *argument = arguments->values[k], *path = argument;
		unsigned int i = find_named(tensors, argument), last = i;

		if (i < tensors->count) {
			path += strlen(tensors->infos[i]->name) + 1;
		} else if (!is_file(argument)) {
			return xrnpe_fail(error, -EINVAL, "%s %s: %s has no %s of that name; it has %s", option,
					  argument, tensors->model, tensors->kind, names);
		} else if (tensors->count == 1 || is_npz(path)) {
			i = 0;
			last = tensors->count - 1;
		} else {
			return xrnpe_fail(error, -EINVAL,
					  "%s %s: %s has several %ss, so it takes FILE.npz or NAME=FILE: %s",
					  option, argument, tensors->model, tensors->kind, names);
		}
		for (; i <= last; i++) {
			if (paths[i])
				return xrnpe_fail(error, -EINVAL, "%s %s: %s %s is given twice", option,
						  argument, tensors->kind, tensors->infos[i]->name);
			paths[i] = path;
		}
	}
	return 0;
}

/* How many inputs like @in an array of this shape holds; 0: it holds none. */
static size_t count_tensors(const struct xrnpe_tensor_info *in, const struct xrnpe_array *array)
{
	/* Dimensions that must agree, and where they start in both. */
	unsigned int lead = in->rank && in->dims[0] == 1, rank = in->rank - lead;
	bool same;

	if (array->rank == in->rank && !memcmp(array->dims, in->dims, in->rank * sizeof(*in->dims)))
		return 1;
	if (array->rank == in->rank + 1 &&
	    !memcmp(array->dims + 1, in->dims, in->rank * sizeof(*in->dims)))
		return array->dims[0];
	if (!lead || array->rank < rank || array->rank > rank + 1)
		return 0;
	same = !memcmp(array->dims + (array->rank - rank), in->dims + 1, rank * sizeof(*in->dims));
	return !same ? 0 : array->rank > rank ? array->dims[0] : 1;
}

static int read_input(const struct tensors *tensors, unsigned int i, const char *path,
		      struct xrnpe_array *array, size_t *count, struct xrnpe_error *error)
{
	const struct xrnpe_tensor_info *in = tensors->infos[i];
	bool lead = in->rank && in->dims[0] == 1;
	char has[128], takes[128];
	int ret = is_npz(path) ? npz_read(path, in->name, array, error) :
				 xrnpe_npy_read(path, array, error);

	if (ret)
		return ret;
	*count = count_tensors(in, array);
	if (*count)
		return 0;
	if (array->rank && !array->dims[0])
		return xrnpe_fail(error, -EINVAL, "%s: holds no inputs", path);
	shape_text(array->rank, array->dims, has, sizeof(has));
	shape_text(in->rank - lead, in->dims + lead, takes, sizeof(takes));
	return xrnpe_fail(error, -EINVAL, "%s: has shape %s; input %s of %s takes Nx%s", path, has,
			  in->name, tensors->model, takes);
}

int read_inputs(const struct tensors *tensors, const struct arguments *arguments,
		const char *option, struct xrnpe_array *arrays, size_t *count,
		struct xrnpe_error *error)
{
	const char **paths = calloc(tensors->count + 1, sizeof(*paths));
	int ret = paths ? match_files(tensors, arguments, option, paths, error) :
			  xrnpe_fail_memory(error);

	for (unsigned int i = 0; !ret && i < tensors->count; i++) {
		size_t some = 0;

		ret = paths[i] ? read_input(tensors, i, paths[i], &arrays[i], &some, error) :
		      xrnpe_fail(error, -EINVAL, "%s: %s %s=FILE is missing", tensors->model, option,
				 tensors->infos[i]->name);
		if (!ret && i && some != *count)
			ret = xrnpe_fail(error, -EINVAL, "%s: holds %zu inputs, %s holds %zu", paths[i],
					 some, paths[0], *count);
		*count = some;
	}
	free(paths);
	return ret;
}

int new_batch(struct xrnpe_array *array, unsigned int rank, const size_t *dims, size_t count,
	      struct xrnpe_error *error)
{
	unsigned int lead = rank && dims[0] == 1;

	*array = (struct xrnpe_array){ .rank = rank + 1 - lead, .count = count };
	for (unsigned int i = 0; i < XRNPE_MAX_RANK; i++)
		array->dims[i] = !i ? count : i < array->rank ? dims[i - 1 + lead] : 1;
	for (unsigned int i = 1; i < array->rank; i++)
		array->count *= array->dims[i];
	array->data = calloc(array->count ? array->count : 1, sizeof(*array->data));
	return array->data ? 0 : xrnpe_fail(error, -ENOMEM, "no memory for %zu tensors of %zu elements",
					    count, array->count / (count ? count : 1));
}

int run_single(struct xrnpe_request *request, const struct xrnpe_model *model, size_t at,
	       const float *const *inputs, float *const *outputs, struct xrnpe_error *error)
{
	int ret = 0;

	for (unsigned int i = 0; !ret && i < xrnpe_model_input_count(model); i++) {
		size_t count = xrnpe_model_input(model, i)->count;

		ret = xrnpe_request_set_input(request, i, inputs[i] + at * count, count, error);
	}
	if (!ret)
		ret = xrnpe_request_run(request, error);
	for (unsigned int i = 0; !ret && i < xrnpe_model_output_count(model); i++) {
		size_t count = xrnpe_model_output(model, i)->count;

		ret = xrnpe_request_get_output(request, i, outputs[i] + at * count, count, error);
	}
	return ret;
}

/* Write all outputs whose file is that of output @first. */
static int write_archive(const struct tensors *tensors, const char *const *paths,
			 const struct xrnpe_array *arrays, unsigned int first,
			 struct xrnpe_error *error)
{
	const char **names = calloc(tensors->count, sizeof(*names));
	const struct xrnpe_array **members = calloc(tensors->count, sizeof(*members));
	unsigned int count = 0;
	int ret;

	for (unsigned int i = first; names && members && i < tensors->count; i++) {
		if (!paths[i] || strcmp(paths[i], paths[first]))
			continue;
		names[count] = tensors->infos[i]->name;
		members[count++] = &arrays[i];
	}
	ret = count ? npz_write(paths[first], count, names, members, error) :
		      xrnpe_fail_memory(error);
	free(names);
	free(members);
	return ret;
}

/* Whether @paths[i] is the first one that says so. */
static bool is_first(const char *const *paths, unsigned int i)
{
	for (unsigned int k = 0; k < i; k++) {
		if (paths[k] && !strcmp(paths[k], paths[i]))
			return false;
	}
	return true;
}

int write_outputs(const struct tensors *tensors, const char *const *paths,
		  const struct xrnpe_array *arrays, struct xrnpe_error *error)
{
	int ret = 0;

	for (unsigned int i = 0; !ret && i < tensors->count; i++) {
		if (!paths[i])
			continue;
		if (!is_npz(paths[i]))
			ret = xrnpe_npy_write(paths[i], &arrays[i], error);
		else if (is_first(paths, i))
			ret = write_archive(tensors, paths, arrays, i, error);
	}
	return ret;
}

/* ---- shapes and names ---------------------------------------------------- */

/* The numbers from @at on. */
static bool parse_dims(const char *at, struct xrnpe_shape *shape)
{
	for (; shape->rank < XRNPE_TENSOR_RANK; at++) {
		unsigned long value;
		char *end;

		errno = 0;
		value = strtoul(at, &end, 10);
		if (errno || end == at || *at == '-' || !value)
			return false;
		shape->dims[shape->rank++] = value;
		at = end;
		if (!*at)
			return true;
		if (*at != ',')
			return false;
	}
	return false;
}

static bool parse_shape(char *text, struct xrnpe_shape *shape)
{
	char *equals = strrchr(text, '=');

	*shape = (struct xrnpe_shape){ .input = text };
	if (!equals || equals == text || !parse_dims(equals + 1, shape))
		return false;
	*equals = 0;
	return true;
}

bool add_shape(struct xrnpe_shape **shapes, size_t *count, char *text)
{
	*shapes = grow(*shapes, *count, sizeof(**shapes));
	return parse_shape(text, &(*shapes)[(*count)++]);
}

void parse_names(char *text, struct arguments *names)
{
	char *rest;

	for (char *name = strtok_r(text, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
		arguments_add(names, name);
}

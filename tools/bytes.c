// SPDX-License-Identifier: MIT
#include "bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

/* What was given for an input, before it is known to be complete. */
struct byte_values {
	bool has_format;
	float *mean, *scale;
	size_t means, scales;
};

/* The index of the input called @name, NULL being the only one; it is added if it is new. */
static int find(struct byte_inputs *inputs, const char *name, size_t *index,
		struct xrnpe_error *error)
{
	struct xrnpe_byte_input *list;
	struct byte_values *values;

	for (*index = 0; *index < inputs->count; (*index)++) {
		const char *known = inputs->list[*index].input;

		if (name && known ? !strcmp(name, known) : !name && !known)
			return 0;
	}
	list = realloc(inputs->list, (inputs->count + 1) * sizeof(*list));
	if (!list)
		return xrnpe_fail_memory(error);
	inputs->list = list;
	values = realloc(inputs->values, (inputs->count + 1) * sizeof(*values));
	if (!values)
		return xrnpe_fail_memory(error);
	inputs->values = values;
	list[inputs->count] = (struct xrnpe_byte_input){ .input = name };
	values[inputs->count++] = (struct byte_values){ 0 };
	return 0;
}

/* "0.5,0.25,1" */
static int parse_numbers(const char *text, float **numbers, size_t *count, struct xrnpe_error *error)
{
	*count = 0;
	for (const char *at = text;; at++) {
		float *larger = realloc(*numbers, (*count + 1) * sizeof(*larger));
		char *end;

		if (!larger)
			return xrnpe_fail_memory(error);
		*numbers = larger;
		larger[(*count)++] = strtof(at, &end);
		if (end == at || (*end && *end != ','))
			return xrnpe_fail(error, -EINVAL, "is not [NAME=]NUMBER,NUMBER...: %s", text);
		if (!*end)
			return 0;
		at = end;
	}
}

int bytes_add(struct byte_inputs *inputs, enum byte_option option, char *text,
	      struct xrnpe_error *error)
{
	char *at = strrchr(text, '='), *what = at ? at + 1 : text;
	struct byte_values *values;
	size_t i;
	int ret;

	if (at)
		*at = 0;
	ret = find(inputs, at ? text : NULL, &i, error);
	if (ret)
		return ret;
	values = &inputs->values[i];
	if (option == BYTE_MEAN)
		return parse_numbers(what, &values->mean, &values->means, error);
	if (option == BYTE_SCALE)
		return parse_numbers(what, &values->scale, &values->scales, error);
	inputs->list[i].planar = !strcmp(what, "u8-planar");
	if (strcmp(what, "u8") && !inputs->list[i].planar)
		return xrnpe_fail(error, -EINVAL, "is not [NAME=]u8 or u8-planar: %s", what);
	values->has_format = true;
	return 0;
}

/* One number for all becomes as many as the other has. */
static int spread(float **numbers, size_t *count, size_t wanted, struct xrnpe_error *error)
{
	float *larger;

	if (*count != 1 || wanted == 1)
		return 0;
	larger = realloc(*numbers, wanted * sizeof(*larger));
	if (!larger)
		return xrnpe_fail_memory(error);
	*numbers = larger;
	while (*count < wanted)
		larger[(*count)++] = larger[0];
	return 0;
}

int bytes_finish(struct byte_inputs *inputs, struct xrnpe_error *error)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < inputs->count; i++) {
		struct byte_values *values = &inputs->values[i];
		size_t most = values->means > values->scales ? values->means : values->scales;

		if (!values->has_format)
			return xrnpe_fail(error, -EINVAL, "--mean and --scale are for inputs with --input-format");
		ret = spread(&values->mean, &values->means, most, error);
		if (!ret)
			ret = spread(&values->scale, &values->scales, most, error);
		if (!ret && values->means && values->scales && values->means != values->scales)
			ret = xrnpe_fail(error, -EINVAL, "--mean has %zu numbers, --scale %zu", values->means,
					 values->scales);
		inputs->list[i].channels = most;
		inputs->list[i].mean = values->mean;
		inputs->list[i].scale = values->scale;
	}
	return ret;
}

void bytes_free_inputs(struct byte_inputs *inputs)
{
	for (size_t i = 0; i < inputs->count; i++) {
		free(inputs->values[i].mean);
		free(inputs->values[i].scale);
	}
	free(inputs->values);
	free(inputs->list);
}

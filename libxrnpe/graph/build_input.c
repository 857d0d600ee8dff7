// SPDX-License-Identifier: MIT
/* Shapes of inputs, of which a file may leave a part to the caller. */
#include <errno.h>
#include <stdio.h>

#include "build.h"
#include "error.h"

static const struct xrnpe_shape *given_shape(const struct xrnpe_graph_options *options,
					     const char *name)
{
	for (size_t i = 0; i < options->shape_count; i++) {
		if (!strcmp(options->shapes[i].input, name))
			return &options->shapes[i];
	}
	return NULL;
}

/* The program's option that gives a shape, N for what the file leaves open; of @dims NULL all. */
static const char *shape_option(const char *name, const int64_t *dims, size_t rank, char *text, size_t size)
{
	int length = snprintf(text, size, "--shape %s=", name);

	if (!dims)
		length += snprintf(text + length, size - (size_t)length, "N,N...");
	for (size_t i = 0; dims && i < rank; i++) {
		const char *comma = i ? "," : "";

		if (dims[i] < 1 && i)
			length += snprintf(text + length, size - (size_t)length, "%sN", comma);
		else
			length += snprintf(text + length, size - (size_t)length, "%s%lld", comma,
					   dims[i] < 1 ? 1LL : (long long)dims[i]);
	}
	return text;
}

int build_input_shape(const struct xrnpe_graph *graph, const struct xrnpe_graph_options *options,
		      const char *name, const int64_t *dims, size_t rank,
		      struct graph_shape *shape, struct xrnpe_error *error)
{
	const struct xrnpe_shape *given = given_shape(options, name);
	const char *file = graph->name;
	/* A name, and numbers of up to 20 digits. */
	char text[64], other[64], option[sizeof("--shape =") + 64 + 21 * GRAPH_MAX_RANK];

	graph_printable(name, text);
	if (!dims && !given)
		return xrnpe_fail(error, -ENOTSUP,
				  "%s: input %s has no shape in the file: it has to be given (%s)", file, text,
				  shape_option(text, NULL, 0, option, sizeof(option)));
	rank = dims ? rank : given->rank;
	if (rank > GRAPH_MAX_RANK)
		return xrnpe_fail(error, -ENOTSUP, "%s: input %s is of rank %zu; supported is %d",
				  file, text, rank, GRAPH_MAX_RANK);
	if (given && given->rank != rank)
		return xrnpe_fail(error, -EINVAL,
				  "%s: input %s is of rank %zu, the shape given for it is of %u",
				  file, text, rank, given->rank);
	*shape = (struct graph_shape){ .rank = (uint32_t)rank };
	for (size_t i = 0; i < rank; i++) {
		int64_t dim = dims ? dims[i] : 0;

		if (given && dim && (size_t)dim != given->dims[i])
			return xrnpe_fail(error, -EINVAL,
					  "%s: input %s: dimension %zu is %lld, the shape given for it says %zu",
					  file, text, i, (long long)dim, given->dims[i]);
		if (!dim && given)
			dim = (int64_t)given->dims[i];
		else if (!dim && i == 0)
			dim = 1;	/* the batch */
		if (dim > (int64_t)GRAPH_MAX_ELEMENTS)
			return xrnpe_fail(error, -ENOTSUP, "%s: input %s: dimension %zu is too large", file,
					  text, i);
		if (dim < 1)
			return xrnpe_fail(error, -ENOTSUP,
					  "%s: input %s: dimension %zu is open in the file, or no size: a shape has to be given (%s)%s%s",
					  file, text, i, shape_option(text, dims, rank, option, sizeof(option)),
					  options->shape_count ? "; one is for " : "",
					  options->shape_count ? graph_printable(options->shapes[0].input, other) :
								 "");
		shape->dims[i] = (uint32_t)dim;
	}
	return 0;
}

int build_check_shapes(const struct xrnpe_graph *graph, const struct xrnpe_graph_options *options,
		       struct xrnpe_error *error)
{
	for (size_t i = 0; i < options->shape_count; i++) {
		const char *name = options->shapes[i].input;
		bool found = false;

		for (uint32_t k = 0; k < graph->input_count; k++)
			found |= !strcmp(graph->tensors[graph->inputs[k]].name, name);
		if (!found)
			return xrnpe_fail(error, -EINVAL,
					  "%s: has no input %s, for which a shape is given", graph->name, name);
	}
	return 0;
}

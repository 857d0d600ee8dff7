/* SPDX-License-Identifier: MIT */
/*
 * Tensors on the command line: NAME=FILE, or FILE where a model has one. An .npz file has
 * arrays by the tensors' names, of all tensors if no name is in front of it.
 */
#ifndef XRNPE_TENSORS_H
#define XRNPE_TENSORS_H

#include "xrnpe.h"

/* Arguments as they were given, in order. */
struct arguments {
	const char **values;
	unsigned int count;
};

/* Append; running out of memory ends the program. */
void arguments_add(struct arguments *arguments, const char *value);
void arguments_free(struct arguments *arguments);

/* The inputs or outputs of a model or graph called @model. */
struct tensors {
	const char *model, *kind;	/* "input", "output" */
	const struct xrnpe_tensor_info **infos;
	unsigned int count;
};

/* All of them; the list is from malloc(). NULL list: no memory. */
struct tensors graph_inputs(const struct xrnpe_graph *graph, const char *model);
struct tensors graph_outputs(const struct xrnpe_graph *graph, const char *model);
struct tensors model_inputs(const struct xrnpe_model *model, const char *name);
struct tensors model_outputs(const struct xrnpe_model *model, const char *name);

/*
 * The file of each tensor: paths[i], NULL if none was given. @option is the option's name,
 * for messages. Returns 0 or -EINVAL: a name that there is not, a tensor named twice, or a
 * bare FILE where there are several.
 */
int match_files(const struct tensors *tensors, const struct arguments *arguments,
		const char *option, const char **paths, struct xrnpe_error *error);

/*
 * Read an array for each input: count of them, or of one. Its shape is the input's
 * own, or has the count in front of it, or instead of a leading 1, or that 1 left out.
 *
 * @arrays: room for tensors->count, zeroed; the caller clears them
 * @count: of each; all have the same
 */
int read_inputs(const struct tensors *tensors, const struct arguments *arguments,
		const char *option, struct xrnpe_array *arrays, size_t *count,
		struct xrnpe_error *error);

/* Room for @count tensors: their shape with the count in front, or in place of a leading 1. */
int new_batch(struct xrnpe_array *array, unsigned int rank, const size_t *dims, size_t count,
	      struct xrnpe_error *error);

/* Run the @at-th of the inputs, and wait: from their values to those of the outputs. */
int run_single(struct xrnpe_request *request, const struct xrnpe_model *model, size_t at,
	       const float *const *inputs, float *const *outputs, struct xrnpe_error *error);

/*
 * Write the outputs that have a file, by match_files(): to .npy files, or together to .npz
 * files. Returns 0 or what failed.
 */
int write_outputs(const struct tensors *tensors, const char *const *paths,
		  const struct xrnpe_array *arrays, struct xrnpe_error *error);

/*
 * Append "NAME=1,3,48,192" to @shapes, from malloc(); the name points into @text. false: it
 * is malformed. Running out of memory ends the program.
 */
bool add_shape(struct xrnpe_shape **shapes, size_t *count, char *text);

/* "a,b" to names that point into @text; appended to @names. */
void parse_names(char *text, struct arguments *names);

#endif

/* SPDX-License-Identifier: MIT */
/* What the layers of a model write, beside what the network's are in binary32. */
#ifndef XRNPE_TOOLS_LAYERS_H
#define XRNPE_TOOLS_LAYERS_H

#include "tensors.h"

/* What is wanted of them. */
struct layers_options {
	const char *folder;		/* where a file for each goes; NULL: none */
	struct arguments names;		/* of the layers; none, or "all": all of them */
	const char *reference;		/* the network; NULL: there is none to compare with */
	struct xrnpe_graph_options how;	/* to read it */
};

/* A layer that was asked for. */
struct layer_values {
	unsigned int index;
	struct xrnpe_array wrote;	/* count x its shape, or count in place of its first 1 */
	struct xrnpe_array exact;	/* the same of the network; data NULL: it has no such tensor */
	size_t nans;			/* in what was written */
	float largest;			/* magnitude */
	double error;			/* relative RMS error */
	char *file, *exact_file;	/* NULL: not written */
};

struct layers {
	const struct xrnpe_model *model;
	struct layer_values *list;
	unsigned int count;
};

/* Find the layers that @options name. Returns 0, -ENOMEM, or -EINVAL: there is no such layer. */
int layers_find(struct layers *layers, const struct xrnpe_model *model,
		const struct layers_options *options, struct xrnpe_error *error);

/*
 * Run @count inputs, one after the other, on the session of the model; outputs as those of
 * xrnpe_session_run().
 */
int layers_run(struct layers *layers, struct xrnpe_session *session, size_t count,
	       const float *const *inputs, float *const *outputs, uint32_t *status,
	       struct xrnpe_error *error);

/* Compute the same in binary32, and write what is to be written. */
int layers_finish(struct layers *layers, const struct layers_options *options, size_t count,
		  const float *const *inputs, struct xrnpe_error *error);

/* A table; or a member of a JSON object, with a comma in front. */
void layers_print(const struct layers *layers);
void layers_print_json(const struct layers *layers);

void layers_free(struct layers *layers);

#endif

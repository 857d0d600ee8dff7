/* SPDX-License-Identifier: MIT */
/* What a model's layers take where it runs. */
#ifndef XRNPE_TOOLS_LAYER_TIMES_H
#define XRNPE_TOOLS_LAYER_TIMES_H

#include "tensors.h"

/* A batch for every input and output. */
struct arrays {
	float **in, **out;
	unsigned int inputs, outputs;
};

/* Random inputs. @in, @out: their lists are freed. Whatever it returns, free_arrays() is called. */
int new_arrays(struct tensors in, struct tensors out, size_t batch, struct arrays *arrays,
	       struct xrnpe_error *error);
void free_arrays(struct arrays *arrays);

/*
 * Run the first inputs of @arrays for @seconds, @least times at the least. @layers: out: an
 * array of the shortest time of each layer alone, in seconds, for the caller to free whatever is
 * returned.
 */
int time_layers(struct xrnpe_session *session, const struct xrnpe_model *model, const struct arrays *arrays,
		int least, double seconds, double **layers, struct xrnpe_error *error);

/* The same of a few runs on the emulator. NULL: no layer is on the CPU. */
int time_cpu_layers(struct xrnpe_model *model, double **layers, struct xrnpe_error *error);

#endif

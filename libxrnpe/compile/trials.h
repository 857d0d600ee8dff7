/* SPDX-License-Identifier: MIT */
/* Choices of formats that were made models, each once. */
#ifndef XRNPE_TRIALS_H
#define XRNPE_TRIALS_H

#include "compile.h"

/* A choice, and what became of it. */
struct trial {
	uint8_t *chosen;	/* by node an option, then by node that of what it adds */
	uint64_t bytes;
	uint64_t tables;	/* of bytes: that of tables */
	double cycles, picojoules;
	struct xrnpe_model *model;	/* with its biases corrected; NULL: it was never within limits */
	double score;		/* of the model: the error of all outputs, on all inputs */
	bool carried;		/* it becomes a point of the result */
};

struct trials {
	struct compiler *compiler;
	struct trial **list;	/* in the order of the first try */
	uint32_t count;
};

void trials_free(struct trials *trials);

/* Whether @trial takes more than @limits allow; their error is left out. */
bool trial_exceeds(const struct trial *trial, const struct xrnpe_limits *limits);

/* What becomes of @chosen, which is remembered: a model, unless it exceeds @limits. */
int trials_make(struct trials *trials, const uint8_t *chosen, const struct xrnpe_limits *limits,
		struct trial **trial);

/*
 * Let @trial, which has a model, have one whose weights were rounded again, to more inputs, if that is
 * better on inputs that numbers were fitted to and on others; not if these are too few to tell.
 */
int trials_round_again(struct trials *trials, struct trial *trial);

/* How many others are to be tried than what the limits ask for. */
uint32_t trials_wanted(const struct xrnpe_compile_options *options);

/* Let the model of @best, which is the result, tell of all that were made. */
int trials_tell(const struct trials *trials, const struct trial *best);

#endif

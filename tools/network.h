/* SPDX-License-Identifier: MIT */
/* Networks on the command line: the options that say how to read one. */
#ifndef XRNPE_TOOLS_NETWORK_H
#define XRNPE_TOOLS_NETWORK_H

#include "bytes.h"
#include "tensors.h"

struct network_options {
	struct arguments outputs;
	struct byte_inputs bytes;
	struct xrnpe_shape *shapes;
	size_t shape_count;
};

/* What getopt_long() returns for them. */
enum {
	NETWORK_SHAPE = 's',
	NETWORK_OUTPUTS = 512,
	NETWORK_INPUT_FORMAT,
	NETWORK_MEAN,
	NETWORK_SCALE,
};

/* Entries of a table of long options. */
#define NETWORK_OPTIONS							\
	{ "shape", required_argument, NULL, NETWORK_SHAPE },		\
	{ "outputs", required_argument, NULL, NETWORK_OUTPUTS },	\
	{ "input-format", required_argument, NULL, NETWORK_INPUT_FORMAT }, \
	{ "mean", required_argument, NULL, NETWORK_MEAN },		\
	{ "scale", required_argument, NULL, NETWORK_SCALE }

/*
 * Take one of them; its argument stays the command line's. Returns 0, an exit status with what
 * is wrong printed for @command, or -1: it is none of them.
 */
int network_option(struct network_options *options, const char *command, int option, char *argument);

/* When all are taken: the same statuses. */
int network_finish(struct network_options *options, const char *command);

bool network_options_given(const struct network_options *options);

/* Points into @options. */
struct xrnpe_graph_options network_how(const struct network_options *options);

void network_free(struct network_options *options);

/* xrnpe_model_load(), which says of a network what makes a model of it. */
int load_model(const char *path, struct xrnpe_model **model, struct xrnpe_error *error);

/* Whether @path is no compiled model, neither by its first bytes nor by its name. */
bool is_network(const char *path);

#endif

// SPDX-License-Identifier: MIT
#include "network.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "console.h"
#include "error.h"
#include "file_format.h"

static int add_bytes(struct network_options *options, const char *command, int option, char *argument)
{
	static const char *const names[] = {
		[BYTE_INPUT_FORMAT] = "--input-format", [BYTE_MEAN] = "--mean", [BYTE_SCALE] = "--scale",
	};
	enum byte_option kind = (enum byte_option)(option - NETWORK_INPUT_FORMAT);
	struct xrnpe_error error;

	return bytes_add(&options->bytes, kind, argument, &error) ?
	       misused(command, "%s %s", names[kind], error.message) : 0;
}

int network_option(struct network_options *options, const char *command, int option, char *argument)
{
	switch (option) {
	case NETWORK_SHAPE:
		return add_shape(&options->shapes, &options->shape_count, argument) ? 0 :
		       misused(command, "--shape is not NAME=N,N...: %s", argument);
	case NETWORK_OUTPUTS:
		parse_names(argument, &options->outputs);
		return 0;
	case NETWORK_INPUT_FORMAT:
	case NETWORK_MEAN:
	case NETWORK_SCALE:
		return add_bytes(options, command, option, argument);
	default:
		return -1;
	}
}

int network_finish(struct network_options *options, const char *command)
{
	struct xrnpe_error error;

	return bytes_finish(&options->bytes, &error) ? misused(command, "%s", error.message) : 0;
}

bool network_options_given(const struct network_options *options)
{
	return options->shape_count || options->outputs.count || options->bytes.count;
}

struct xrnpe_graph_options network_how(const struct network_options *options)
{
	return (struct xrnpe_graph_options){
		options->shapes, options->shape_count, options->outputs.values, options->outputs.count,
		options->bytes.list, options->bytes.count,
	};
}

void network_free(struct network_options *options)
{
	arguments_free(&options->outputs);
	bytes_free_inputs(&options->bytes);
	free(options->shapes);
}

bool is_network(const char *path)
{
	const char *dot = strrchr(path, '.');
	char start[sizeof(FILE_MAGIC) - 1] = { 0 };
	FILE *file = fopen(path, "rb");

	if (file) {
		if (fread(start, 1, sizeof(start), file) < sizeof(start))
			start[0] = 0;
		fclose(file);
	}
	return memcmp(start, FILE_MAGIC, sizeof(start)) && !(dot && !strcmp(dot, ".xrnpe"));
}

int load_model(const char *path, struct xrnpe_model **model, struct xrnpe_error *error)
{
	return is_network(path) && !access(path, R_OK) ?
	       xrnpe_fail(error, -EINVAL, "%s: is no compiled model; of a network xrnpe compile makes one", path) :
	       xrnpe_model_load(path, model, error);
}

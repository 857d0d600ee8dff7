// SPDX-License-Identifier: MIT
/* From a file, or its bytes, to a folded graph, and to a file again. */
#include <stdlib.h>

#include "bytes.h"
#include "error.h"
#include "graph.h"
#include "io.h"
#include "onnx.h"
#include "tflite/tflite.h"

static int parse(const char *name, const void *data, size_t size, const char *directory,
		 const struct xrnpe_graph_options *options, struct xrnpe_graph **graph,
		 struct xrnpe_error *error)
{
	struct xrnpe_graph *made = graph_new(name);
	int ret;

	if (!made)
		return xrnpe_fail_memory(error);
	/* Those say what they are; nothing in an ONNX file does. */
	if (tflite_is(data, size))
		ret = tflite_read(made, data, size, options, error);
	else
		ret = onnx_read(made, data, size, directory, options, error);

	if (!ret)
		ret = graph_fold(made, error);
	if (!ret)
		ret = bytes_set(made, options, error);
	if (ret) {
		xrnpe_graph_free(made);
		return ret;
	}
	*graph = made;
	return 0;
}

int xrnpe_graph_parse(const char *name, const void *data, size_t size,
		      const struct xrnpe_graph_options *options, struct xrnpe_graph **graph,
		      struct xrnpe_error *error)
{
	return parse(name, data, size, NULL, options, graph, error);
}

int xrnpe_graph_load(const char *path, const struct xrnpe_graph_options *options,
		     struct xrnpe_graph **graph, struct xrnpe_error *error)
{
	const char *slash = strrchr(path, '/');
	unsigned char *data;
	char *directory;
	size_t size;
	int ret = xrnpe_file_read(path, GRAPH_MAX_FILE, &data, &size, error);

	if (ret)
		return ret;
	directory = strndup(path, slash ? (size_t)(slash + 1 - path) : 0);
	ret = directory ? parse(path, data, size, directory, options, graph, error) :
			  xrnpe_fail_memory(error);
	free(directory);
	free(data);
	return ret;
}

int xrnpe_graph_save(const struct xrnpe_graph *graph, const char *path, struct xrnpe_error *error)
{
	uint32_t *first = malloc((graph->node_count + (size_t)1) * sizeof(*first));
	struct xrnpe_file file;
	uint8_t *data = NULL;
	size_t size;
	int ret = first ? onnx_write(graph, first, &data, &size, error) : xrnpe_fail_memory(error);

	if (!ret)
		ret = xrnpe_file_create(&file, path, error);
	if (!ret) {
		fwrite(data, 1, size, file.stream);
		ret = xrnpe_file_commit(&file, error);
	}
	free(data);
	free(first);
	return ret;
}

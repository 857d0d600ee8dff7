// SPDX-License-Identifier: MIT
/* Bytes as a network, ONNX or TensorFlow Lite, run if it is a small one; by libFuzzer. */
#include <stdlib.h>
#include <string.h>

#include "fuzz/graphs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct xrnpe_graph *graph = NULL;
	struct xrnpe_error error;

	/* Taken and sound, or refused with a message. */
	if (xrnpe_graph_parse("model", data, size, NULL, &graph, &error) ?
	    graph || strncmp(error.message, "model: ", 7) : fuzz_run_small(graph))
		abort();
	xrnpe_graph_free(graph);
	return 0;
}

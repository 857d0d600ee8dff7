// SPDX-License-Identifier: MIT
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "unit/lite_graph.h"

struct xrnpe_graph *lite_take(struct lite_model *model, const struct xrnpe_graph_options *options,
			      struct xrnpe_error *error)
{
	struct xrnpe_graph *graph = NULL;
	size_t size;
	uint8_t *data = lite_pack(model, &size);
	int ret;

	*error = (struct xrnpe_error){ 0 };
	ret = xrnpe_graph_parse("m.tflite", data, size, options, &graph, error);
	ck_assert_int_eq(ret, error->code);
	ck_assert_int_eq(ret != 0, graph == NULL);
	free(model);
	free(data);
	return graph;
}

void lite_run(const struct xrnpe_graph *graph, const float *values,
	      float results[LITE_OUTPUTS][LITE_ELEMENTS])
{
	const float *inputs[LITE_MOST];
	float *outputs[LITE_OUTPUTS];
	struct xrnpe_error error;

	for (unsigned int i = 0; i < xrnpe_graph_input_count(graph); i++) {
		inputs[i] = values;
		values += xrnpe_graph_input(graph, i)->count;
	}
	ck_assert_uint_le(xrnpe_graph_output_count(graph), LITE_OUTPUTS);
	for (unsigned int i = 0; i < xrnpe_graph_output_count(graph); i++) {
		ck_assert_uint_le(xrnpe_graph_output(graph, i)->count, LITE_ELEMENTS);
		outputs[i] = results[i];
	}
	ck_assert_int_eq(xrnpe_graph_run(graph, 1, inputs, outputs, NULL, NULL, &error), 0);
}

void lite_expect(struct lite_model *model, const float *values, size_t count, const float *want)
{
	float results[LITE_OUTPUTS][LITE_ELEMENTS];
	struct xrnpe_error error;
	struct xrnpe_graph *graph = lite_take(model, NULL, &error);

	ck_assert_msg(graph != NULL, "%s", error.message);
	ck_assert_uint_eq(xrnpe_graph_output(graph, 0)->count, count);
	lite_run(graph, values, results);
	for (size_t i = 0; i < count; i++)
		ck_assert_msg(fabsf(results[0][i] - want[i]) <= 1e-6f * fmaxf(1, fabsf(want[i])),
			      "element %zu is %g, not %g", i, results[0][i], want[i]);
	xrnpe_graph_free(graph);
}

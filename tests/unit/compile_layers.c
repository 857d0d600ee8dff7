// SPDX-License-Identifier: MIT
/* What layers of compiled models write: kept while the model runs, beside the reference. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/compile_run.h"
#include "unit/compile_tests.h"

/* The widest formats, or such as the compiler chooses; and what of a layer's output these lose. */
enum { WIDE, CHOSEN, VARIANTS };

static const double tolerances[VARIANTS] = { 0.01, 0.3 };

static struct xrnpe_model *compile_for(const struct xrnpe_graph *graph, int variant)
{
	static const struct xrnpe_layer_formats wide = { .weight = XRNPE_FORMAT_P16, .input = XRNPE_FORMAT_P16 };
	struct xrnpe_array *calibration = noise(graph, CALIBRATION, 1);
	struct xrnpe_compile_options options = {
		.calibration = calibration, .formats = &wide, .format_count = variant == WIDE,
	};
	struct xrnpe_model *model = NULL;

	ck_assert_msg(!xrnpe_compile(graph, &options, &model, &error), "%s", error.message);
	noise_free(graph, calibration);
	return model;
}

static struct xrnpe_request *request_of(struct xrnpe_model *model)
{
	struct xrnpe_device *device;
	struct xrnpe_session *session;
	struct xrnpe_request *request;

	ck_assert_msg(!xrnpe_device_open("emu", &device, &error), "%s", error.message);
	ck_assert_msg(!xrnpe_session_new(device, model, NULL, &session, &error), "%s", error.message);
	ck_assert_msg(!xrnpe_request_new(session, &request, &error), "%s", error.message);
	xrnpe_session_free(session);
	xrnpe_device_close(device);
	return request;
}

static void keep_all(struct xrnpe_request *request, unsigned int layers, bool keep)
{
	for (unsigned int i = 0; i < layers; i++)
		ck_assert_msg(!xrnpe_request_keep_layer(request, i, keep, &error), "%s", error.message);
}

/* Run it on @inputs; its first output, from malloc(). */
static float *run(struct xrnpe_request *request, const struct xrnpe_model *model,
		  const struct xrnpe_array *inputs)
{
	size_t count = xrnpe_model_output(model, 0)->count;
	float *output = malloc(count * sizeof(*output));

	ck_assert_ptr_nonnull(output);
	for (unsigned int i = 0; i < xrnpe_model_input_count(model); i++)
		ck_assert_int_eq(xrnpe_request_set_input(request, i, inputs[i].data,
							 xrnpe_model_input(model, i)->count, &error), 0);
	ck_assert_msg(!xrnpe_request_submit(request, &error), "%s", error.message);
	ck_assert_msg(!xrnpe_request_wait(request, -1, &error), "%s", error.message);
	ck_assert_int_eq(xrnpe_request_get_output(request, 0, output, count, &error), 0);
	return output;
}

static size_t count_of(const struct xrnpe_layer_info *layer)
{
	size_t count = 1;

	for (unsigned int i = 0; i < layer->rank; i++)
		count *= layer->dims[i];
	return count;
}

static float *get_layer(struct xrnpe_request *request, unsigned int i,
			const struct xrnpe_layer_info *layer)
{
	float *values = malloc(count_of(layer) * sizeof(*values));

	ck_assert_ptr_nonnull(values);
	ck_assert_msg(!xrnpe_request_get_layer(request, i, values, count_of(layer), &error), "%s",
		      error.message);
	return values;
}

static bool is_own(const char *name)
{
	return !strncmp(name, GRAPH_OWN_NAME, strlen(GRAPH_OWN_NAME));
}

/* The tensors of @graph for @inputs. */
static struct reference *reference_of(const struct xrnpe_graph *graph,
				      const struct xrnpe_array *inputs)
{
	struct reference *reference = reference_new(graph);

	ck_assert_ptr_nonnull(reference);
	for (uint32_t i = 0; i < graph->input_count; i++)
		ck_assert_int_eq(reference_set_input(reference, graph, i, inputs[i].data), 0);
	reference_run(reference);
	return reference;
}

/*
 * Every layer whose output is one of the graph's is near it; others' are the compiler's own. Returns
 * how many are the graph's.
 */
static unsigned int compare(struct xrnpe_request *request, const struct xrnpe_model *model,
			    const struct xrnpe_graph *graph, const struct reference *reference,
			    double tolerance)
{
	unsigned int compared = 0;

	for (unsigned int i = 0; i < xrnpe_model_layer_count(model); i++) {
		const struct xrnpe_layer_info *layer = xrnpe_model_layer(model, i);
		uint32_t tensor = graph_find(graph, layer->output);
		float *values = get_layer(request, i, layer);
		double off;

		if (tensor == GRAPH_NONE) {
			ck_assert_msg(is_own(layer->output), "layer %u, %s: tensor %s is not there", i,
				      layer->name, layer->output);
			free(values);
			continue;
		}
		ck_assert_int_eq(graph->tensors[tensor].type, GRAPH_FLOAT);
		ck_assert_uint_eq(count_of(layer), graph_count(&graph->tensors[tensor].shape));
		off = relative_error(values, reference->tensors[tensor], count_of(layer));
		ck_assert_msg(off <= tolerance, "layer %u, %s (%s), tensor %s: error %g", i, layer->name,
			      layer->op, layer->output, off);
		compared++;
		free(values);
	}
	return compared;
}

/*
 * Of all networks, in several formats: the same outputs, and layers as in the reference, which of
 * those that a normalisation is split into has but the last.
 */
START_TEST(layers_kept)
{
	struct xrnpe_graph *graph = load(networks[_i / VARIANTS]());
	struct xrnpe_model *model = compile_for(graph, _i % VARIANTS);
	struct xrnpe_request *request = request_of(model);
	struct xrnpe_array *inputs = noise(graph, 1, 77);
	unsigned int layers = xrnpe_model_layer_count(model);
	struct reference *reference = reference_of(graph, inputs);
	size_t size = xrnpe_model_output(model, 0)->count * sizeof(float);
	float *plain = run(request, model, inputs), *kept;

	keep_all(request, layers, true);
	for (unsigned int again = 0; again < 2; again++) {
		kept = run(request, model, inputs);
		ck_assert_mem_eq(kept, plain, size);
		free(kept);
		ck_assert_uint_gt(compare(request, model, graph, reference,
					  tolerances[_i % VARIANTS]), layers / 5);
	}
	keep_all(request, layers, false);
	kept = run(request, model, inputs);
	ck_assert_mem_eq(kept, plain, size);
	free(kept);
	free(plain);
	reference_free(reference);
	noise_free(graph, inputs);
	xrnpe_request_free(request);
	xrnpe_model_free(model);
	xrnpe_graph_free(graph);
}
END_TEST

/* One layer alone has the bits that it has among all; and so it is after writing and reading. */
START_TEST(layers_alone)
{
	struct xrnpe_graph *graph = load(networks[_i]());
	struct xrnpe_model *model = compile_for(graph, CHOSEN), *again;
	struct xrnpe_array *inputs = noise(graph, 1, 5);
	unsigned int layers = xrnpe_model_layer_count(model);
	struct xrnpe_request *all = request_of(model), *alone;
	char path[] = "/tmp/xrnpe-layers-XXXXXX";

	ck_assert_int_ge(mkstemp(path), 0);
	ck_assert_msg(!xrnpe_model_save(model, path, &error), "%s", error.message);
	ck_assert_msg(!xrnpe_model_load(path, &again, &error), "%s", error.message);
	remove(path);
	alone = request_of(again);
	keep_all(all, layers, true);
	free(run(all, model, inputs));
	for (unsigned int i = 0; i < layers; i++) {
		const struct xrnpe_layer_info *layer = xrnpe_model_layer(model, i);
		float *values = get_layer(all, i, layer), *same;

		ck_assert_int_eq(xrnpe_request_keep_layer(alone, i, true, &error), 0);
		free(run(alone, again, inputs));
		same = get_layer(alone, i, layer);
		ck_assert_msg(!memcmp(values, same, count_of(layer) * sizeof(*values)),
			      "layer %u, %s (%s) differs", i, layer->name, layer->op);
		ck_assert_int_eq(xrnpe_request_keep_layer(alone, i, false, &error), 0);
		free(values);
		free(same);
	}
	noise_free(graph, inputs);
	xrnpe_request_free(all);
	xrnpe_request_free(alone);
	xrnpe_model_free(model);
	xrnpe_model_free(again);
	xrnpe_graph_free(graph);
}
END_TEST

TCase *compile_layers_tests(void)
{
	TCase *tests = tcase_create("layers");

	tcase_set_timeout(tests, 120);
	tcase_add_loop_test(tests, layers_kept, 0, NETWORKS * VARIANTS);
	tcase_add_loop_test(tests, layers_alone, 0, NETWORKS);
	return tests;
}

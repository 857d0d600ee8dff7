// SPDX-License-Identifier: MIT
/* Several points of one model: each is what it would be alone. */
#include <stdlib.h>
#include <string.h>

#include "unit/compile_run.h"
#include "unit/compile_tests.h"

enum { POINTS = 3 };

/* Those that take little time. */
static const unsigned int subjects[] = { 1, 2, 3, 4, 5, 6, 7 };

static bool same(const struct xrnpe_model *model, float *const *a, float *const *b)
{
	bool equal = true;

	for (unsigned int i = 0; i < xrnpe_model_output_count(model); i++)
		equal &= !memcmp(a[i], b[i], TESTS * xrnpe_model_output(model, i)->count * sizeof(float));
	return equal;
}

static void clear(const struct xrnpe_model *model, float **outputs)
{
	for (unsigned int i = 0; i < xrnpe_model_output_count(model); i++)
		free(outputs[i]);
}

/* The network compiled to the formats that @point has. */
static struct xrnpe_model *compile_like(const struct xrnpe_graph *graph,
					const struct xrnpe_array *calibration,
					const struct xrnpe_model *point)
{
	unsigned int count = xrnpe_model_layer_count(point);
	struct xrnpe_layer_formats *formats = calloc(count, sizeof(*formats));
	/* Weights of points are rounded once. */
	struct xrnpe_compile_options options = {
		.calibration = calibration, .formats = formats, .points = POINTS,
	};
	struct xrnpe_model *model;

	ck_assert_ptr_nonnull(formats);
	for (unsigned int i = 0; i < count; i++) {
		const struct xrnpe_layer_info *layer = xrnpe_model_layer(point, i);

		if (layer->place == XRNPE_PLACE_DEVICE && layer->input_error[XRNPE_FORMAT_P16] >= 0)
			formats[options.format_count++] = (struct xrnpe_layer_formats){
				layer->name, layer->weight_format, layer->format, true,
				layer->added_format,
			};
	}
	ck_assert_msg(!xrnpe_compile(graph, &options, &model, &error), "%s", error.message);
	free(formats);
	return model;
}

START_TEST(points_are_as_alone)
{
	struct xrnpe_graph *graph = load(networks[subjects[_i]]());
	struct xrnpe_array *calibration = noise(graph, CALIBRATION, 1);
	struct xrnpe_array *inputs = noise(graph, TESTS, 77);
	struct xrnpe_compile_options options = { .calibration = calibration, .points = POINTS };
	struct xrnpe_model *model;

	ck_assert_msg(!xrnpe_compile(graph, &options, &model, &error), "%s", error.message);
	ck_assert_uint_le(xrnpe_model_point_count(model), POINTS);
	for (unsigned int p = 0; p < xrnpe_model_point_count(model); p++) {
		struct xrnpe_model *point = xrnpe_model_point(model, p), *alone;
		float *a[MOST_TENSORS], *b[MOST_TENSORS];

		ck_assert(point == model || xrnpe_model_quality(point)->error <= 0.25);
		alone = compile_like(graph, calibration, point);
		run_model(point, inputs, a);
		run_model(alone, inputs, b);
		ck_assert_msg(same(point, a, b), "point %u differs", p);
		ck_assert(xrnpe_model_quality(point)->error == xrnpe_model_quality(alone)->error);
		clear(point, a);
		clear(point, b);
		xrnpe_model_free(alone);
	}
	ck_assert_uint_gt(xrnpe_model_point_count(model), 1);
	xrnpe_model_free(model);
	noise_free(graph, calibration);
	noise_free(graph, inputs);
	xrnpe_graph_free(graph);
}
END_TEST

TCase *compile_points_tests(void)
{
	TCase *tests = tcase_create("points");

	tcase_set_timeout(tests, 120);
	tcase_add_loop_test(tests, points_are_as_alone, 0,
			    sizeof(subjects) / sizeof(*subjects));
	return tests;
}

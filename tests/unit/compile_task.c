// SPDX-License-Identifier: MIT
/* What models lose of what the network is for, and a limit of that. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "labels.h"
#include "unit/compile_run.h"
#include "unit/compile_tests.h"

/* Inputs with labels, of which so many are kept aside. */
enum { INPUTS = 200, ASIDE = 100 + 25 };

/* A network that classifies, inputs, and what binary32 says of them. */
struct classifier {
	struct xrnpe_graph *graph;
	struct xrnpe_array *inputs, outputs, labels;
};

static void classifier_new(struct classifier *c)
{
	size_t classes;

	c->graph = load(onnx_resnet());
	c->inputs = noise(c->graph, INPUTS, 1);
	classes = xrnpe_graph_output(c->graph, 0)->count;
	c->outputs = (struct xrnpe_array){
		.rank = 2, .dims = { INPUTS, classes, 1, 1, 1, 1, 1, 1 }, .count = INPUTS * classes,
		.data = calloc(INPUTS * classes, sizeof(float)),
	};
	c->labels = (struct xrnpe_array){
		.rank = 1, .dims = { INPUTS, 1, 1, 1, 1, 1, 1, 1 }, .count = INPUTS,
		.data = calloc(INPUTS, sizeof(float)),
	};
	ck_assert(c->outputs.data && c->labels.data && classes > 1);
	ck_assert_int_eq(xrnpe_graph_run(c->graph, INPUTS, (const float *[]){ c->inputs->data },
					 (float *[]){ c->outputs.data }, NULL, NULL, &error), 0);
	for (size_t i = 0; i < INPUTS; i++)
		c->labels.data[i] = (float)labels_class(c->outputs.data + i * classes, classes);
}

static void classifier_free(struct classifier *c)
{
	noise_free(c->graph, c->inputs);
	xrnpe_array_clear(&c->outputs);
	xrnpe_array_clear(&c->labels);
	xrnpe_graph_free(c->graph);
}

static int compile_for(const struct classifier *c, const struct xrnpe_array *labels,
		       const struct xrnpe_limits *limits, struct xrnpe_model **model)
{
	const struct xrnpe_compile_options options = {
		.calibration = c->inputs, .labels = labels, .limits = *limits,
	};

	return xrnpe_compile(c->graph, &options, model, &error);
}

START_TEST(loss_is_limited)
{
	uint64_t before = UINT64_MAX;
	struct classifier c;

	classifier_new(&c);
	for (int percent = 3; percent <= 30; percent *= 3) {
		const struct xrnpe_limits limits = { .loss = percent / 100.0 };
		const struct xrnpe_task *task;
		struct xrnpe_model *model;

		ck_assert_msg(!compile_for(&c, &c.labels, &limits, &model), "%s", error.message);
		task = xrnpe_model_task(model);
		ck_assert(task->classes);
		ck_assert_uint_eq(task->inputs, ASIDE);
		/* Labels are what binary32 says, so that it is always right, and nothing is gained. */
		ck_assert_double_eq(task->float_score, 1);
		ck_assert_double_eq_tol(task->loss, 1 - task->score, 1e-12);
		ck_assert_double_ge(task->spread, 1.0 / ASIDE);
		ck_assert_double_le(task->loss + 1.645 * task->spread, limits.loss);
		ck_assert_uint_le(bytes_of(model), before);
		before = bytes_of(model);
		xrnpe_model_free(model);
	}
	classifier_free(&c);
}
END_TEST

/* The same error in both directions is no loss, however large it is, but is not certain. */
START_TEST(gains_and_losses_cancel)
{
	const struct xrnpe_limits limits = { .error = 0.3 };
	size_t classes;
	const struct xrnpe_task *task;
	struct xrnpe_model *model;
	struct classifier c;

	classifier_new(&c);
	classes = xrnpe_graph_output(c.graph, 0)->count;
	/* Of every other input the label is the class next best: as easily gained as the others are lost. */
	for (size_t i = 0; i < INPUTS; i += 2) {
		float *outputs = c.outputs.data + i * classes;

		outputs[(size_t)c.labels.data[i]] = -INFINITY;
		c.labels.data[i] = (float)labels_class(outputs, classes);
	}
	ck_assert_msg(!compile_for(&c, &c.labels, &limits, &model), "%s", error.message);
	task = xrnpe_model_task(model);
	ck_assert_double_eq_tol(task->float_score, 0.5, 0.1);
	ck_assert_double_eq_tol(task->loss, task->float_score - task->score, 1e-12);
	ck_assert_double_le(fabs(task->loss), 3 * task->spread);
	xrnpe_model_free(model);
	classifier_free(&c);
}
END_TEST

START_TEST(targets_are_outputs)
{
	const struct xrnpe_limits wide = { .error = 0.2 }, limits = { .loss = 0.05 };
	const struct xrnpe_task *task;
	struct xrnpe_model *model;
	struct classifier c;
	uint32_t state = 3;

	classifier_new(&c);
	for (size_t i = 0; i < c.outputs.count; i++)
		c.outputs.data[i] += 0.2f * onnx_noise(&state);
	ck_assert_msg(!compile_for(&c, &c.outputs, &wide, &model), "%s", error.message);
	task = xrnpe_model_task(model);
	ck_assert(!task->classes);
	ck_assert_double_eq_tol(task->loss, task->score / task->float_score - 1, 1e-12);
	ck_assert_double_gt(task->spread, 0);
	ck_assert_double_gt(task->loss, 0.05);
	xrnpe_model_free(model);
	ck_assert_msg(!compile_for(&c, &c.outputs, &limits, &model), "%s", error.message);
	task = xrnpe_model_task(model);
	ck_assert_double_le(task->loss + 1.645 * task->spread, 0.05);
	xrnpe_model_free(model);
	classifier_free(&c);
}
END_TEST

static void is_refused(const struct classifier *c, const struct xrnpe_array *labels, double loss,
		       int code, const char *message)
{
	const struct xrnpe_limits limits = { .loss = loss };
	struct xrnpe_model *model;

	ck_assert_int_eq(compile_for(c, labels, &limits, &model), code);
	ck_assert_msg(strstr(error.message, message), "no \"%s\" in \"%s\"", message, error.message);
}

START_TEST(bad_labels_are_refused)
{
	struct classifier c;

	classifier_new(&c);
	is_refused(&c, NULL, 0.1, -EINVAL, "needs labels");
	is_refused(&c, &c.labels, 0.01, -EINVAL, "a loss of 1 % is not known from 125 inputs kept aside: give at least 330");
	c.labels.data[7] = 1.5f;
	is_refused(&c, &c.labels, 0, -EINVAL, "label 7 is 1.5, which is no class");
	c.labels.data[7] = -1;
	is_refused(&c, &c.labels, 0, -EINVAL, "label 7 is -1; output ");
	c.labels.data[7] = 0;
	c.labels.count = c.labels.dims[0] = INPUTS - 1;
	is_refused(&c, &c.labels, 0, -EINVAL, "labels are not a class, or ");
	c.outputs.data[c.outputs.dims[1]] = NAN;
	is_refused(&c, &c.outputs, 0, -EINVAL, "label 1 is not finite");
	classifier_free(&c);
}
END_TEST

START_TEST(unreached_loss_is_said)
{
	struct classifier c;

	classifier_new(&c);
	/* What binary32 says itself no model says exactly. */
	is_refused(&c, &c.outputs, 1e-6, -ENOSPC, "a loss of 0.0001 % is not reached: the least found is");
	classifier_free(&c);
}
END_TEST

TCase *compile_task_tests(void)
{
	TCase *tests = tcase_create("task");

	tcase_set_timeout(tests, 120);
	tcase_add_test(tests, loss_is_limited);
	tcase_add_test(tests, gains_and_losses_cancel);
	tcase_add_test(tests, targets_are_outputs);
	tcase_add_test(tests, bad_labels_are_refused);
	tcase_add_test(tests, unreached_loss_is_said);
	return tests;
}

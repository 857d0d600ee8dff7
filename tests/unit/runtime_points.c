// SPDX-License-Identifier: MIT
/* Several points of one model, and sessions that switch between them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "unit/runtime_tests.h"

static struct xrnpe_error error;
static struct xrnpe_device *device;
static struct xrnpe_model *model;
static struct xrnpe_session *session;

/* With and without nodes on the CPU, whose result has the other sign. */
static struct xrnpe_model *(*const kinds[])(void) = { tiny_model, negative_model };
static const float signs[] = { 1, -1 };

enum { KINDS = sizeof(kinds) / sizeof(*kinds) };

static void setup(void)
{
	runtime_setup();
	session = NULL;
	model = NULL;
	ck_ok(xrnpe_device_open(test_device(), &device, &error), error);
}

static void teardown(void)
{
	xrnpe_session_free(session);
	xrnpe_model_free(model);
	xrnpe_device_close(device);
	runtime_teardown();
}

static void start(unsigned int kind)
{
	model = two_points(kinds[kind]);
	ck_ok(xrnpe_session_new(device, model, NULL, &session, &error), error);
}

static struct xrnpe_request *new_request(unsigned int seed)
{
	struct xrnpe_request *request;
	float in[TINY_IN];

	ck_ok(xrnpe_request_new(session, &request, &error), error);
	tiny_input(seed, in);
	ck_ok(xrnpe_request_set_input(request, 0, in, TINY_IN, &error), error);
	return request;
}

static void set_point(unsigned int point)
{
	ck_ok(xrnpe_session_set_point(session, point, &error), error);
	ck_assert_uint_eq(xrnpe_session_point(session), point);
}

/* The request, which was submitted, ends with what @point makes of @seed. */
static void expect(struct xrnpe_request *request, unsigned int seed, unsigned int kind,
		   unsigned int point)
{
	float in[TINY_IN], out[TINY_OUT], expected[TINY_OUT];

	tiny_input(seed, in);
	tiny_output(in, expected);
	ck_ok(xrnpe_request_wait(request, -1, &error), error);
	ck_assert_uint_eq(xrnpe_request_result(request)->point, point);
	ck_ok(xrnpe_request_get_output(request, 0, out, TINY_OUT, &error), error);
	for (unsigned int i = 0; i < TINY_OUT; i++)
		ck_assert_float_eq(out[i], signs[kind] * (float)(point + 1) * expected[i]);
}

/* Inputs that were set before stay. */
START_TEST(points_switch)
{
	struct xrnpe_request *request;

	start((unsigned int)_i);
	request = new_request(5);
	ck_assert_uint_eq(xrnpe_session_point(session), 0);
	for (unsigned int k = 0; k < 4; k++) {
		ck_ok(xrnpe_request_submit(request, &error), error);
		expect(request, 5, (unsigned int)_i, k % 2);
		set_point((k + 1) % 2);
	}
	ck_fails(xrnpe_session_set_point(session, 2, &error), -EINVAL, error,
		 "tiny, point 0: there is no point 2; it has 2");
	ck_assert_uint_eq(xrnpe_session_point(session), 0);
	xrnpe_request_free(request);
}
END_TEST

/* What was submitted before is as it was. */
START_TEST(points_in_flight)
{
	enum { COUNT = 24 };
	struct xrnpe_request *requests[COUNT];

	start((unsigned int)_i);
	for (unsigned int k = 0; k < COUNT; k++)
		requests[k] = new_request(k);
	for (unsigned int k = 0; k < COUNT; k++) {
		set_point(k / 3 % 2);
		ck_ok(xrnpe_request_submit(requests[k], &error), error);
	}
	for (unsigned int k = COUNT; k--;) {
		expect(requests[k], k, (unsigned int)_i, k / 3 % 2);
		xrnpe_request_free(requests[k]);
	}
}
END_TEST

/* A buffer that an output is bound to at one point holds it at the other. */
START_TEST(points_bound)
{
	static const float zeros[TINY_OUT];
	struct xrnpe_request *request;
	struct xrnpe_buffer *buffer;

	start((unsigned int)_i);
	request = new_request(9);
	ck_ok(xrnpe_buffer_new(device, 4 * TINY_OUT, &buffer, &error), error);
	ck_ok(xrnpe_request_bind_output(request, 0, buffer, 0, &error), error);
	for (unsigned int point = 0; point < 2; point++) {
		set_point(point);
		ck_ok(xrnpe_request_submit(request, &error), error);
		expect(request, 9, (unsigned int)_i, point);
		ck_ok(xrnpe_buffer_sync(buffer, XRNPE_SYNC_FOR_CPU, 0, 4 * TINY_OUT, &error), error);
		ck_assert_mem_ne(xrnpe_buffer_data(buffer), zeros, sizeof(zeros));
		memset(xrnpe_buffer_data(buffer), 0, 4 * TINY_OUT);
		ck_ok(xrnpe_buffer_sync(buffer, XRNPE_SYNC_FOR_DEVICE, 0, 4 * TINY_OUT, &error), error);
	}
	xrnpe_request_free(request);
	xrnpe_buffer_free(buffer);
}
END_TEST

/* Layers are told one by one at each, though the points' jobs are others. */
START_TEST(points_profile)
{
	struct xrnpe_request *request;

	start((unsigned int)_i);
	request = new_request(2);
	ck_ok(xrnpe_request_profile(request, true, &error), error);
	for (unsigned int point = 0; point < 2; point++) {
		set_point(point);
		ck_ok(xrnpe_request_submit(request, &error), error);
		expect(request, 2, (unsigned int)_i, point);
		for (unsigned int i = 0; i < 2; i++)
			ck_assert_uint_eq(xrnpe_request_layers(request)[i].counters.commands, 1);
	}
	xrnpe_request_free(request);
}
END_TEST

/* A session may begin with any point; a point keeps the whole model. */
START_TEST(points_begin)
{
	struct xrnpe_request *request;
	struct xrnpe_model *second;

	model = two_points(kinds[_i]);
	second = xrnpe_model_point(model, 1);
	ck_assert_uint_eq(xrnpe_model_point_index(second), 1);
	ck_assert_ptr_eq(xrnpe_model_point(second, 0), model);
	ck_assert_ptr_null(xrnpe_model_point(model, 2));
	ck_assert(xrnpe_model_quality(second)->error == 0.125);
	ck_ok(xrnpe_session_new(device, second, NULL, &session, &error), error);
	xrnpe_model_free(model);
	model = NULL;
	request = new_request(3);
	ck_ok(xrnpe_request_submit(request, &error), error);
	expect(request, 3, (unsigned int)_i, 1);
	set_point(0);
	ck_ok(xrnpe_request_submit(request, &error), error);
	expect(request, 3, (unsigned int)_i, 0);
	xrnpe_request_free(request);
}
END_TEST

START_TEST(points_in_files)
{
	static unsigned char bytes[16384], again[16384];
	struct xrnpe_request *request;
	struct xrnpe_model *made = two_points(kinds[_i]);
	size_t size;

	ck_ok(xrnpe_model_save(made, test_path("m.xrnpe"), &error), error);
	xrnpe_model_free(made);
	size = read_file(test_path("m.xrnpe"), bytes, sizeof(bytes));
	ck_ok(xrnpe_model_load(test_path("m.xrnpe"), &model, &error), error);
	ck_assert_uint_eq(xrnpe_model_point_count(model), 2);
	ck_assert(xrnpe_model_quality(xrnpe_model_point(model, 1))->error == 0.125);
	/* Whichever point is saved, all are. */
	ck_ok(xrnpe_model_save(xrnpe_model_point(model, 1), test_path("m.xrnpe"), &error), error);
	ck_assert_uint_eq(read_file(test_path("m.xrnpe"), again, sizeof(again)), size);
	/* Nodes on the CPU are a graph that has the file's name. */
	if (!model->cpu)
		ck_assert_mem_eq(again, bytes, size);

	ck_ok(xrnpe_session_new(device, model, NULL, &session, &error), error);
	request = new_request(1);
	for (unsigned int point = 0; point < 2; point++) {
		set_point(point);
		ck_ok(xrnpe_request_submit(request, &error), error);
		expect(request, 1, (unsigned int)_i, point);
	}
	xrnpe_request_free(request);
}
END_TEST

/* Weights and one scale are shared, three scales and two commands are each point's own. */
START_TEST(points_footprint)
{
	enum { SCALES = TINY_OUT_C * sizeof(struct xrnpe_scale),
	       SHARED = sizeof(struct xrnpe_scale) + 2 * TINY_OUT_C * TINY_IN_C };

	model = two_points(tiny_model);
	for (unsigned int i = 0; i < 2; i++) {
		struct xrnpe_footprint needs;

		xrnpe_model_footprint(xrnpe_model_point(model, i), &needs);
		ck_assert_uint_eq(needs.constants, TINY_CONSTANTS + SCALES);
		ck_assert_uint_eq(needs.used_constants, SHARED + SCALES);
		ck_assert_uint_eq(needs.own_constants, SCALES);
		ck_assert_uint_eq(needs.commands, 4 * sizeof(struct xrnpe_cmd));
		ck_assert_uint_eq(needs.own_commands, 2 * sizeof(struct xrnpe_cmd));
		ck_assert_uint_eq(needs.arena, 64 + 2 * TINY_IN);
	}
}
END_TEST

/* Points that do not go together. */
START_TEST(points_unlike)
{
	struct xrnpe_model *second;

	model = two_points(tiny_model);
	second = xrnpe_model_point(model, 1);
	second->layers[1].macs++;
	ck_fails(xrnpe_model_check(model, &error), -EINVAL, error,
		 "tiny, point 1: its layers are not those of point 0");
	second->layers[1].macs--;
	second->tensors[1].channels_first = false;
	ck_fails(xrnpe_model_check(model, &error), -EINVAL, error,
		 "tiny, point 1: its inputs or outputs are not those of point 0");
}
END_TEST

TCase *runtime_points_tests(void)
{
	TCase *tcase = tcase_create("points");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, points_switch, 0, KINDS);
	tcase_add_loop_test(tcase, points_in_flight, 0, KINDS);
	tcase_add_loop_test(tcase, points_bound, 0, KINDS);
	tcase_add_loop_test(tcase, points_profile, 0, KINDS);
	tcase_add_loop_test(tcase, points_begin, 0, KINDS);
	tcase_add_loop_test(tcase, points_in_files, 0, KINDS);
	tcase_add_test(tcase, points_footprint);
	tcase_add_test(tcase, points_unlike);
	return tcase;
}

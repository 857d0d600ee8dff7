// SPDX-License-Identifier: MIT
/*
 * Batches of which several elements are one job, as on the kernel driver's device. The emulator
 * is told to do so, too.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session.h"
#include "unit/runtime_tests.h"

#define LANES 16
#define MOST 150

static struct xrnpe_error error;
static struct xrnpe_device *device;
static float in[MOST * TINY_IN], out[MOST * TINY_OUT], expected[MOST * TINY_OUT];

static void setup(void)
{
	runtime_setup();
	ck_ok(xrnpe_device_open(test_device(), &device, &error), error);
	device->most_lanes = LANES;
	for (unsigned int i = 0; i < MOST; i++) {
		tiny_input(i, in + i * TINY_IN);
		tiny_output(in + i * TINY_IN, expected + i * TINY_OUT);
	}
}

static void teardown(void)
{
	xrnpe_device_close(device);
	runtime_teardown();
}

static int run(struct xrnpe_session *session, size_t count, xrnpe_progress progress, void *data)
{
	memset(out, 0xff, sizeof(out));
	return xrnpe_session_run(session, count, (const float *[]){ in }, (float *[]){ out }, progress, data,
				 NULL, &error);
}

/* Elements 0 .. @count - 1 are right, the others were not written. Each check is a system call. */
static void check_outputs(size_t count, float factor)
{
	size_t i = 0;

	while (i < count * TINY_OUT && out[i] == factor * expected[i])
		i++;
	while (i >= count * TINY_OUT && i < MOST * TINY_OUT && out[i] != out[i])
		i++;
	ck_assert_msg(i == MOST * TINY_OUT, "element %zu", i / TINY_OUT);
}

START_TEST(batches_of_all_sizes)
{
	struct xrnpe_session *session = session_of(device, tiny_model());

	ck_assert_uint_eq(session->lanes, LANES);
	for (size_t count = 0; count <= MOST; count += count < 70 ? 1 : 16) {
		ck_ok(run(session, count, NULL, NULL), error);
		check_outputs(count, 1);
	}
	xrnpe_session_free(session);
}
END_TEST

/* The second point's outputs are twice as large. */
START_TEST(batches_at_each_point)
{
	struct xrnpe_model *model = two_points(tiny_model);
	struct xrnpe_session *session;

	/* It has two jobs, too. */
	model->points[1]->steps[0].count = 2;
	model->points[1]->step_count = 1;
	session = session_of(device, model);
	ck_assert_uint_eq(session->lanes, LANES);
	for (unsigned int point = 0; point < 2; point++) {
		ck_ok(xrnpe_session_set_point(session, point, &error), error);
		ck_ok(run(session, MOST, NULL, NULL), error);
		check_outputs(MOST, point + 1.0f);
	}
	xrnpe_session_free(session);
}
END_TEST

/* One that takes its time, one of two jobs, and one with nodes on the CPU. */
START_TEST(elements_of_their_own)
{
	struct xrnpe_session *slow = session_of(device, slow_model()), *negative = session_of(device, negative_model());
	struct xrnpe_session *jobs = session_of(device, two_points(tiny_model));

	ck_assert_uint_eq(slow->lanes, 1);
	ck_assert_uint_eq(negative->lanes, 1);
	ck_assert_uint_eq(jobs->lanes, 1);
	ck_ok(run(negative, 70, NULL, NULL), error);
	check_outputs(70, -1);
	xrnpe_session_free(jobs);
	xrnpe_session_free(negative);
	xrnpe_session_free(slow);
}
END_TEST

static int stop_at(void *data, size_t done, size_t total)
{
	return done == *(const size_t *)data;
}

START_TEST(batch_is_stopped)
{
	struct xrnpe_session *session = session_of(device, tiny_model());

	for (size_t at = 1; at < 100; at += 13) {
		ck_assert_int_eq(run(session, 100, stop_at, &at), -ECANCELED);
		check_outputs(at, 1);
	}
	xrnpe_session_free(session);
}
END_TEST

/* ---- jobs that fail ---- */

static const struct xrnpe_backend *real;

/* A device on which jobs of more than one element fail, as if it had been reset. */
static int wait_and_fail(struct xrnpe_device *of, struct xrnpe_job *job, int64_t timeout_ns)
{
	int ret = real->wait(of, job, timeout_ns);

	if (!ret && job->cmd_count > 2)
		job->code = xrnpe_fail(&job->error, -ECANCELED, "was reset");
	return ret;
}

START_TEST(elements_are_tried_alone)
{
	struct xrnpe_session *session = session_of(device, tiny_model());
	struct xrnpe_backend failing = *device->backend;

	real = device->backend;
	failing.wait = wait_and_fail;
	device->backend = &failing;
	ck_ok(run(session, 100, NULL, NULL), error);
	check_outputs(100, 1);
	device->backend = real;
	xrnpe_session_free(session);
}
END_TEST

/* The message is that of an element alone. */
START_TEST(element_that_fails_is_told)
{
	const uint32_t infinite = 0x7f800000;
	struct xrnpe_model *model = tiny_model();
	struct xrnpe_session *session;

	memcpy((char *)model->constants + TINY_SCALES + 8, &infinite, sizeof(infinite));
	session = session_of(device, model);
	ck_assert_uint_eq(session->lanes, LANES);
	ck_fails(run(session, 100, NULL, NULL), -EFAULT, error,
		 "tiny: command 1 (conv2d, layer mix): a scale, bias or slope is illegal: offset 136");
	ck_assert_ptr_nonnull(strstr(error.message, "(element 0)"));
	xrnpe_session_free(session);
}
END_TEST

TCase *runtime_batch_tests(void)
{
	TCase *test = tcase_create("batch");

	tcase_add_checked_fixture(test, setup, teardown);
	tcase_set_timeout(test, 60);
	tcase_add_test(test, batches_of_all_sizes);
	tcase_add_test(test, batches_at_each_point);
	tcase_add_test(test, elements_of_their_own);
	tcase_add_test(test, batch_is_stopped);
	tcase_add_test(test, elements_are_tried_alone);
	tcase_add_test(test, element_that_fails_is_told);
	return test;
}

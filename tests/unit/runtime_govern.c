// SPDX-License-Identifier: MIT
/* Governors: which point they pick, and sessions that have one. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "govern.h"
#include "session.h"
#include "unit/runtime_tests.h"

static struct xrnpe_error error;

/* From the fastest to the most exact, as models have them; one takes less energy, not less time. */
static const struct govern_point points[] = {
	{ .seconds = 1e-3, .picojoules = 40e6, .error = 0.3 },
	{ .seconds = 2e-3, .picojoules = 90e6, .error = 0.05 },
	{ .seconds = 3e-3, .picojoules = 80e6, .error = 0.06 },
	{ .seconds = 4e-3, .picojoules = 200e6, .error = 0.001 },
};

enum { COUNT = sizeof(points) / sizeof(*points) };

static unsigned int pick(struct govern *govern)
{
	return govern_pick(govern, points, COUNT);
}

static const struct {
	struct xrnpe_governor limits;
	unsigned int point;
} cases[] = {
	{ { 0 }, 3 },
	{ { .seconds = 4e-3 }, 3 },
	{ { .seconds = 3.9e-3 }, 1 },
	{ { .seconds = 1.9e-3 }, 0 },
	{ { .picojoules = 150e6 }, 1 },
	{ { .picojoules = 85e6 }, 2 },
	{ { .picojoules = 40e6 }, 0 },
	{ { .seconds = 2e-3, .picojoules = 85e6 }, 0 },
	/* An error that is too large is worse than a deadline that is missed. */
	{ { .seconds = 1e-3, .error = 0.1 }, 1 },
	{ { .seconds = 1e-3, .error = 0.01 }, 3 },
	/* Nothing keeps it: what exceeds it least. */
	{ { .seconds = 0.5e-3 }, 0 },
	{ { .picojoules = 1e6 }, 0 },
	{ { .seconds = 1.5e-3, .picojoules = 1e6, .error = 0.1 }, 2 },
	{ { .seconds = 1e-4, .picojoules = 85e6, .error = 0.1 }, 1 },
	/* None is so exact: of all of them. */
	{ { .seconds = 2.5e-3, .error = 1e-6 }, 1 },
};

START_TEST(governor_picks)
{
	struct govern govern = { 0 };

	govern_limit(&govern, &cases[_i].limits);
	ck_assert_uint_eq(pick(&govern), cases[_i].point);
	/* Nothing changes as long as nothing is measured. */
	ck_assert_uint_eq(pick(&govern), cases[_i].point);
}
END_TEST

/* What is measured at a point tells of the others. */
START_TEST(governor_measures)
{
	struct govern govern = { 0 };

	govern_limit(&govern, &(struct xrnpe_governor){ .seconds = 5e-3 });
	ck_assert_uint_eq(pick(&govern), 3);
	/* Twice as slow as predicted: 8 ms here, 4 ms there. */
	govern_observe(&govern, &points[3], 8e-3, 0);
	ck_assert_uint_eq(pick(&govern), 1);
	/* As fast as predicted again: 4 ms are less than 9/10 of 5 ms, once that is sure. */
	govern_observe(&govern, &points[1], 2e-3, 0);
	ck_assert_uint_eq(pick(&govern), 1);
	for (int i = 0; i < 20; i++)
		govern_observe(&govern, &points[1], 2e-3, 0);
	ck_assert_uint_eq(pick(&govern), 3);
	/* What the CPU takes is the same at all points. */
	for (int i = 0; i < 20; i++)
		govern_observe(&govern, &points[3], 4e-3, 2.5e-3);
	ck_assert_uint_eq(pick(&govern), 1);
}
END_TEST

/* A deadline that a point just keeps is none to go up for, nor to leave it for. */
START_TEST(governor_stays)
{
	struct govern govern = { 0 };

	govern_limit(&govern, &(struct xrnpe_governor){ .seconds = 4.2e-3 });
	ck_assert_uint_eq(pick(&govern), 3);
	for (int i = 0; i < 50; i++) {
		govern_observe(&govern, &points[3], i % 2 ? 4.15e-3 : 3.9e-3, 0);
		ck_assert_uint_eq(pick(&govern), 3);
	}
	govern_observe(&govern, &points[3], 5e-3, 0);
	ck_assert_uint_eq(pick(&govern), 1);
	for (int i = 0; i < 50; i++) {
		govern_observe(&govern, &points[1], i % 2 ? 2.08e-3 : 1.95e-3, 0);
		ck_assert_uint_eq(pick(&govern), 1);
	}
	/* Other limits are kept as they are given. */
	govern_limit(&govern, &(struct xrnpe_governor){ .seconds = 4.2e-3 });
	ck_assert_uint_eq(pick(&govern), 3);
}
END_TEST

/* A model without anything for the device. */
START_TEST(governor_of_no_device)
{
	static const struct govern_point none[] = { { .error = 0.5 }, { .error = 0.25 } };
	struct govern govern = { 0 };

	govern_limit(&govern, &(struct xrnpe_governor){ .seconds = 1e-3 });
	govern_observe(&govern, &none[0], 0, 1e-4);
	ck_assert_uint_eq(govern_pick(&govern, none, 2), 1);
	ck_assert(govern.ratio == 0);
}
END_TEST

START_TEST(governor_is_read)
{
	static const char *const wrong[] = { "", "2", "4x", "60KiB", "1Mcycles", "-1ms", "0%", "ms", "1 ms" };
	struct xrnpe_governor governor = { 0 };

	ck_ok(xrnpe_governor_parse("2ms", &governor, &error), error);
	ck_ok(xrnpe_governor_parse("80uJ", &governor, &error), error);
	ck_ok(xrnpe_governor_parse("1%", &governor, &error), error);
	ck_ok(xrnpe_governor_parse("3ms", &governor, &error), error);
	ck_assert_double_eq_tol(governor.seconds, 2e-3, 1e-12);
	ck_assert_double_eq_tol(governor.picojoules, 80e6, 1e-3);
	ck_assert_double_eq_tol(governor.error, 0.01, 1e-12);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		ck_fails(xrnpe_governor_parse(wrong[i], &governor, &error), -EINVAL, error,
			 "is not a time (2ms, 300us)");
}
END_TEST

/* ---- sessions --------------------------------------------------------------- */

static unsigned int run(struct xrnpe_request *request)
{
	ck_ok(xrnpe_request_submit(request, &error), error);
	ck_ok(xrnpe_request_wait(request, -1, &error), error);
	return xrnpe_request_result(request)->point;
}

static void govern(struct xrnpe_session *session, double seconds, double picojoules)
{
	ck_ok(xrnpe_session_govern(session, &(struct xrnpe_governor){ seconds, picojoules, 0 }, &error),
	      error);
}

START_TEST(governor_of_session)
{
	struct xrnpe_model *model = two_points(_i ? negative_model : tiny_model);
	struct xrnpe_session *session;
	struct xrnpe_request *request;
	struct xrnpe_device *device;

	ck_ok(xrnpe_device_open(test_device(), &device, &error), error);
	ck_ok(xrnpe_session_new(device, model, NULL, &session, &error), error);
	ck_ok(xrnpe_request_new(session, &request, &error), error);
	ck_assert(session->costs[0].seconds > 0 && session->costs[0].picojoules > 0);
	/* The two take the same. */
	session->costs[0] = (struct govern_point){ 2000, 2e6, 0.01 };
	session->costs[1] = (struct govern_point){ 1000, 1e6, 0.1 };
	govern(session, 0, 1.5e6);
	ck_assert_uint_eq(run(request), 1);
	ck_assert_uint_eq(xrnpe_session_point(session), 1);
	govern(session, 0, 2.5e6);
	ck_assert_uint_eq(run(request), 0);
	/* On the emulator time is what was predicted; on a device it is soon known better. */
	govern(session, 1500, 0);
	run(request);
	ck_assert_uint_eq(run(request), strcmp(test_device(), "emu") ? 0 : 1);
	ck_assert_int_eq(session->govern.ratio > 0, !!strcmp(test_device(), "emu"));
	/* Without a governor it stays, and a point that is set is no governor's. */
	govern(session, 0, 1.5e6);
	ck_assert_uint_eq(run(request), 1);
	ck_ok(xrnpe_session_govern(session, NULL, &error), error);
	ck_assert_uint_eq(run(request), 1);
	govern(session, 0, 1.5e6);
	ck_ok(xrnpe_session_set_point(session, 0, &error), error);
	ck_assert_uint_eq(run(request), 0);
	ck_fails(xrnpe_session_govern(session, &(struct xrnpe_governor){ -1, 0, 0 }, &error), -EINVAL,
		 error, "tiny, point 0: a governor's limit");
	ck_fails(xrnpe_session_govern(session, &(struct xrnpe_governor){ 0, (double)NAN, 0 }, &error),
		 -EINVAL, error, "tiny, point 0: a governor's limit");
	xrnpe_request_free(request);
	xrnpe_session_free(session);
	xrnpe_model_free(model);
	xrnpe_device_close(device);
}
END_TEST

TCase *runtime_govern_tests(void)
{
	TCase *tcase = tcase_create("govern");

	tcase_add_loop_test(tcase, governor_picks, 0, sizeof(cases) / sizeof(*cases));
	tcase_add_test(tcase, governor_measures);
	tcase_add_test(tcase, governor_stays);
	tcase_add_test(tcase, governor_of_no_device);
	tcase_add_test(tcase, governor_is_read);
	tcase_add_loop_test(tcase, governor_of_session, 0, 2);
	return tcase;
}

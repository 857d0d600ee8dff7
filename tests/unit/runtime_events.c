// SPDX-License-Identifier: MIT
/* How a request's end is learnt without waiting for it, and brought about. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "unit/runtime_tests.h"

static struct xrnpe_error error;
static struct xrnpe_device *device;

static void setup(void)
{
	/* So that requests of the emulator wait for each other. */
	setenv("XRNPE_THREADS", "1", 1);
	ck_ok(xrnpe_device_open(test_device(), &device, &error), error);
}

static void teardown(void)
{
	xrnpe_device_close(device);
}

/* @sign: what the model multiplies the tiny one's outputs by. */
static void check_output(struct xrnpe_request *request, unsigned int seed, float sign)
{
	float in[TINY_IN], out[TINY_OUT], expected[TINY_OUT];

	tiny_input(seed, in);
	tiny_output(in, expected);
	ck_ok(xrnpe_request_get_output(request, 0, out, TINY_OUT, &error), error);
	for (unsigned int i = 0; i < TINY_OUT; i++)
		ck_assert_float_eq(out[i], sign * expected[i]);
}

static bool is_readable(int fd, int timeout_ms)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, timeout_ms) == 1 && poll_fd.revents == POLLIN;
}

static struct xrnpe_model *(*const models[])(void) = { tiny_model, negative_model };
static const float signs[] = { 1, -1 };

/* Nobody waits, whether or not there is work for the CPU. */
START_TEST(event_fd)
{
	struct xrnpe_request *request = request_of(device, models[_i](), XRNPE_PRIORITY_NORMAL);
	int fd, again;

	ck_ok(xrnpe_request_fd(request, &fd, &error), error);
	ck_assert(!is_readable(fd, 0));
	for (unsigned int i = 0; i < 20; i++) {
		submit(request, i);
		ck_assert(is_readable(fd, -1));
		ck_ok(xrnpe_request_wait(request, 0, &error), error);
		check_output(request, i, signs[_i]);
		ck_assert_msg(is_readable(fd, 0), "until it is submitted again");
	}
	ck_ok(xrnpe_request_fd(request, &again, &error), error);
	ck_assert_int_eq(fd, again);
	xrnpe_request_free(request);
	ck_assert_msg(poll(&(struct pollfd){ .fd = fd }, 1, 0) == 1, "it is closed");
}
END_TEST

/* Asked for when the request is on its way, has ended, or was waited for. */
START_TEST(event_fd_late)
{
	struct xrnpe_request *slow = request_of(device, slow_model(), XRNPE_PRIORITY_NORMAL);
	struct xrnpe_request *steps = request_of(device, negative_model(), XRNPE_PRIORITY_NORMAL);
	int fd;

	ck_ok(xrnpe_request_submit(slow, &error), error);
	submit(steps, 3);
	ck_ok(xrnpe_request_fd(slow, &fd, &error), error);
	/* If it should have ended, it can be waited for. */
	if (!is_readable(fd, 0))
		ck_assert(is_readable(fd, -1));
	ck_ok(xrnpe_request_wait(slow, 0, &error), error);
	/* Long enough for most; however long it takes, the answer must be right. */
	nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
	ck_ok(xrnpe_request_fd(steps, &fd, &error), error);
	ck_assert(is_readable(fd, -1));
	ck_ok(xrnpe_request_wait(steps, 0, &error), error);
	check_output(steps, 3, -1);
	xrnpe_request_free(steps);
	steps = request_of(device, negative_model(), XRNPE_PRIORITY_NORMAL);
	submit(steps, 4);
	ck_ok(xrnpe_request_wait(steps, -1, &error), error);
	ck_ok(xrnpe_request_fd(steps, &fd, &error), error);
	ck_assert(is_readable(fd, 0));
	xrnpe_request_free(slow);
	xrnpe_request_free(steps);
}
END_TEST

static void count_up(void *data)
{
	__atomic_add_fetch((unsigned int *)data, 1, __ATOMIC_RELAXED);
}

START_TEST(event_callback)
{
	struct xrnpe_request *request = request_of(device, models[_i](), XRNPE_PRIORITY_NORMAL);
	unsigned int ended = 0;
	int fd;

	ck_ok(xrnpe_request_set_callback(request, count_up, &ended, &error), error);
	for (unsigned int i = 1; i <= 10; i++) {
		submit(request, i);
		ck_ok(xrnpe_request_wait(request, -1, &error), error);
		ck_assert_uint_eq(__atomic_load_n(&ended, __ATOMIC_RELAXED), i);
		check_output(request, i, signs[_i]);
	}
	/* Nobody waits. */
	ck_ok(xrnpe_request_fd(request, &fd, &error), error);
	submit(request, 11);
	ck_fails(xrnpe_request_set_callback(request, NULL, NULL, &error), -EBUSY, error,
		 "not waited for");
	ck_assert(is_readable(fd, -1));
	ck_assert_uint_eq(__atomic_load_n(&ended, __ATOMIC_RELAXED), 11);
	ck_ok(xrnpe_request_wait(request, 0, &error), error);
	ck_ok(xrnpe_request_set_callback(request, NULL, NULL, &error), error);
	submit(request, 12);
	ck_ok(xrnpe_request_wait(request, -1, &error), error);
	ck_assert_uint_eq(ended, 11);
	xrnpe_request_free(request);
}
END_TEST

START_TEST(event_any)
{
	struct xrnpe_request *requests[] = {
		request_of(device, slow_model(), XRNPE_PRIORITY_BACKGROUND),
		request_of(device, tiny_model(), XRNPE_PRIORITY_NORMAL),
		request_of(device, negative_model(), XRNPE_PRIORITY_NORMAL),
	};
	unsigned int seen = 0;
	size_t index;

	ck_fails(xrnpe_request_wait_any(requests, 3, -1, &index, &error), -EINVAL, error,
		 "none of 3 requests is submitted");
	ck_ok(xrnpe_request_submit(requests[0], &error), error);
	ck_fails(xrnpe_request_wait_any(requests, 3, 0, &index, &error), -ETIME, error,
		 "none of 1 requests has ended yet");
	ck_fails(xrnpe_request_wait_any(requests, 3, 1000, &index, &error), -ETIME, error,
		 "has ended yet");
	submit(requests[1], 1);
	submit(requests[2], 2);
	for (unsigned int i = 0; i < 3; i++) {
		ck_ok(xrnpe_request_wait_any(requests, 3, -1, &index, &error), error);
		ck_assert_uint_lt(index, 3);
		ck_ok(xrnpe_request_wait(requests[index], 0, &error), error);
		seen |= 1u << index;
	}
	ck_assert_uint_eq(seen, 7);
	check_output(requests[1], 1, 1);
	check_output(requests[2], 2, -1);
	for (unsigned int i = 0; i < 3; i++)
		xrnpe_request_free(requests[i]);
}
END_TEST

static void *cancel(void *data)
{
	xrnpe_request_cancel(data);
	return NULL;
}

START_TEST(event_cancel)
{
	struct xrnpe_request *slow = request_of(device, slow_model(), XRNPE_PRIORITY_NORMAL);
	struct xrnpe_request *behind = request_of(device, models[_i](), XRNPE_PRIORITY_NORMAL);
	struct timespec start, end;
	pthread_t thread;

	xrnpe_request_cancel(behind);	/* which changes nothing: it is not submitted */
	ck_ok(xrnpe_request_submit(slow, &error), error);
	ck_assert_int_eq(pthread_create(&thread, NULL, cancel, slow), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_fails(xrnpe_request_wait(slow, -1, &error), -ECANCELED, error, "was cancelled");

	ck_ok(xrnpe_request_submit(slow, &error), error);
	submit(behind, 1);
	xrnpe_request_cancel(behind);
	ck_fails(xrnpe_request_wait(behind, -1, &error), -ECANCELED, error,
		 "tiny: the request was cancelled");

	/* The emulator gives up in the middle of a command. */
	clock_gettime(CLOCK_MONOTONIC, &start);
	xrnpe_request_cancel(slow);
	xrnpe_request_wait(slow, -1, &error);
	clock_gettime(CLOCK_MONOTONIC, &end);
	ck_assert(strcmp(test_device(), "emu") || end.tv_sec - start.tv_sec < 60);

	submit(behind, 2);
	ck_ok(xrnpe_request_wait(behind, -1, &error), error);
	check_output(behind, 2, signs[_i]);
	xrnpe_request_free(slow);
	xrnpe_request_free(behind);
}
END_TEST

START_TEST(event_deadline)
{
	struct xrnpe_request *request = request_of(device, models[_i](), XRNPE_PRIORITY_NORMAL);

	xrnpe_request_set_deadline(request, 1);
	submit(request, 1);
	ck_fails(xrnpe_request_wait(request, -1, &error), -ECANCELED, error,
		 "tiny: the request's deadline has passed");
	/* In time, however late it is asked for. */
	xrnpe_request_set_deadline(request, 60000000000);
	submit(request, 2);
	ck_ok(xrnpe_request_wait(request, -1, &error), error);
	check_output(request, 2, signs[_i]);
	xrnpe_request_set_deadline(request, 0);
	submit(request, 3);
	ck_ok(xrnpe_request_wait(request, -1, &error), error);
	check_output(request, 3, signs[_i]);
	xrnpe_request_free(request);
}
END_TEST

/* What is urgent goes before what was there first. */
START_TEST(event_priority)
{
	struct xrnpe_request *requests[] = {
		request_of(device, slow_model(), XRNPE_PRIORITY_NORMAL),
		request_of(device, slow_model(), XRNPE_PRIORITY_BACKGROUND),
		request_of(device, tiny_model(), XRNPE_PRIORITY_URGENT),
	};
	const struct xrnpe_session_options none = { .priority = 99 };
	struct xrnpe_model *model = tiny_model();
	struct xrnpe_session *session;
	size_t index;

	ck_fails(xrnpe_session_new(device, model, &none, &session, &error), -EINVAL, error,
		 "there is no priority 99");
	xrnpe_model_free(model);
	for (unsigned int i = 0; i < 3; i++)
		ck_ok(xrnpe_request_submit(requests[i], &error), error);
	/* All but the first, which had begun. */
	ck_ok(xrnpe_request_wait_any(requests + 1, 2, -1, &index, &error), error);
	ck_assert_uint_eq(index, 1);
	for (unsigned int i = 0; i < 3; i++)
		xrnpe_request_free(requests[i]);
}
END_TEST

TCase *runtime_events_tests(void)
{
	TCase *tcase = tcase_create("events");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, event_fd, 0, 2);
	tcase_add_test(tcase, event_fd_late);
	tcase_add_loop_test(tcase, event_callback, 0, 2);
	tcase_add_test(tcase, event_any);
	tcase_add_loop_test(tcase, event_cancel, 0, 2);
	tcase_add_loop_test(tcase, event_deadline, 0, 2);
	tcase_add_test(tcase, event_priority);
	return tcase;
}

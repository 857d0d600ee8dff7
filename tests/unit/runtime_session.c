// SPDX-License-Identifier: MIT
/* Sessions and requests, on the emulator or on XRNPE_TEST_DEVICE. */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "unit/runtime_tests.h"

/* More than a kernel driver remembers of a file's jobs. */
#define MANY 600

static struct xrnpe_error error;
static struct xrnpe_device *device;

static void setup(void)
{
	runtime_setup();
	ck_ok(xrnpe_device_open(test_device(), &device, &error), error);
}

static void teardown(void)
{
	xrnpe_device_close(device);
	runtime_teardown();
}

static struct xrnpe_request *new_request(struct xrnpe_session *session)
{
	struct xrnpe_request *request;

	ck_ok(xrnpe_request_new(session, &request, &error), error);
	return request;
}

/* Not via ck_ok(), for threads. Returns whether the output is that of @seed. */
static bool output_is_right(struct xrnpe_request *request, unsigned int seed)
{
	float in[TINY_IN], out[TINY_OUT], expected[TINY_OUT];

	tiny_input(seed, in);
	tiny_output(in, expected);
	return !xrnpe_request_get_output(request, 0, out, TINY_OUT, NULL) &&
	       !memcmp(out, expected, sizeof(out));
}

/* A batch of a model of one input and one output. */
static int run(struct xrnpe_session *session, size_t count, const float *in, float *out,
	       xrnpe_progress progress, void *data, uint32_t *status, struct xrnpe_error *err)
{
	return xrnpe_session_run(session, count, &in, &out, progress, data, status, err);
}

START_TEST(session_runs)
{
	struct xrnpe_session *session = session_of(device, tiny_model());
	float in[37 * TINY_IN], out[37 * TINY_OUT], expected[37 * TINY_OUT];
	uint32_t status = 99;

	for (unsigned int i = 0; i < 37; i++) {
		tiny_input(i, in + i * TINY_IN);
		tiny_output(in + i * TINY_IN, expected + i * TINY_OUT);
	}
	for (size_t count = 0; count <= 37; count += count < 3 ? 1 : 17) {
		memset(out, 0xff, sizeof(out));
		ck_ok(run(session, count, in, out, NULL, NULL, &status, &error),
		      error);
		ck_assert_uint_eq(status, 0);
		ck_assert_mem_eq(out, expected, count * TINY_OUT * sizeof(*out));
		/* Nothing is written past them. */
		ck_assert_msg(count == 37 || out[count * TINY_OUT] != out[count * TINY_OUT],
			      "output after the last element");
	}
	xrnpe_session_free(session);
}
END_TEST

/* A model from a file does the same. */
START_TEST(session_from_file)
{
	struct xrnpe_model *tiny = tiny_model(), *model;
	struct xrnpe_session *session;
	struct xrnpe_request *request;

	ck_ok(xrnpe_model_save(tiny, test_path("m.xrnpe"), &error), error);
	xrnpe_model_free(tiny);
	ck_ok(xrnpe_model_load(test_path("m.xrnpe"), &model, &error), error);
	session = session_of(device, model);
	request = new_request(session);
	submit(request, 5);
	ck_ok(xrnpe_request_wait(request, -1, &error), error);
	ck_assert(output_is_right(request, 5));
	xrnpe_request_free(request);
	xrnpe_session_free(session);
}
END_TEST

struct stop {
	size_t at, calls, last;
};

static int stop_at(void *data, size_t done, size_t total)
{
	struct stop *stop = data;

	stop->calls++;
	stop->last = done;
	return total == 20 && done == stop->at;
}

START_TEST(session_progress)
{
	struct xrnpe_session *session = session_of(device, tiny_model());
	float in[20 * TINY_IN] = { 0 }, out[20 * TINY_OUT];
	struct stop stop = { .at = 7 }, all = { .at = 0 };

	ck_fails(run(session, 20, in, out, stop_at, &stop, NULL, &error), -ECANCELED,
		 error, "tiny: stopped after 7 of 20 elements");
	ck_assert_uint_eq(stop.calls, 7);
	ck_ok(run(session, 20, in, out, stop_at, &all, NULL, &error), error);
	ck_assert_uint_eq(all.calls, 20);
	ck_assert_uint_eq(all.last, 20);
	xrnpe_session_free(session);
}
END_TEST

/* Many in flight, more than the kernel remembers; waited for from the last to the first. */
START_TEST(request_many_in_flight)
{
	struct xrnpe_session *session = session_of(device, tiny_model());
	static struct xrnpe_request *requests[MANY];

	for (unsigned int i = 0; i < MANY; i++) {
		requests[i] = new_request(session);
		submit(requests[i], i);
	}
	for (unsigned int i = MANY; i-- > 0;) {
		ck_ok(xrnpe_request_wait(requests[i], -1, &error), error);
		ck_assert_msg(output_is_right(requests[i], i), "request %u", i);
		xrnpe_request_free(requests[i]);
	}
	xrnpe_session_free(session);
}
END_TEST

START_TEST(request_again)
{
	struct xrnpe_session *session = session_of(device, tiny_model());
	struct xrnpe_request *request = new_request(session);

	for (unsigned int i = 0; i < 20; i++) {
		submit(request, i);
		ck_ok(xrnpe_request_wait(request, INT64_MAX, &error), error);
		/* Asking again gives the same answer. */
		ck_ok(xrnpe_request_wait(request, 0, &error), error);
		ck_assert(output_is_right(request, i));
	}
	/* Inputs stay. */
	ck_ok(xrnpe_request_submit(request, &error), error);
	ck_ok(xrnpe_request_wait(request, -1, &error), error);
	ck_assert(output_is_right(request, 19));
	xrnpe_request_free(request);
	xrnpe_session_free(session);
}
END_TEST

/* Submitted and waited for in one, while another one is on its way. */
START_TEST(request_run)
{
	struct xrnpe_session *session = session_of(device, tiny_model());
	struct xrnpe_request *request = new_request(session), *other = new_request(session);

	for (unsigned int i = 0; i < 20; i++) {
		float in[TINY_IN];

		submit(other, 100 + i);
		tiny_input(i, in);
		ck_ok(xrnpe_request_set_input(request, 0, in, TINY_IN, &error), error);
		ck_ok(xrnpe_request_run(request, &error), error);
		ck_assert(output_is_right(request, i));
		ck_fails(xrnpe_request_run(other, &error), -EBUSY, error, "was submitted");
		ck_ok(xrnpe_request_wait(other, -1, &error), error);
		ck_assert(output_is_right(other, 100 + i));
	}
	xrnpe_request_free(other);
	xrnpe_request_free(request);
	xrnpe_session_free(session);
}
END_TEST

START_TEST(request_misused)
{
	struct xrnpe_session *session = session_of(device, tiny_model());
	struct xrnpe_request *request = new_request(session);
	float in[TINY_IN] = { 0 }, out[TINY_OUT];

	ck_fails(xrnpe_request_wait(request, -1, &error), -EINVAL, error,
		 "tiny: the request was never submitted");
	ck_fails(xrnpe_request_set_input(request, 1, in, TINY_IN, &error), -EINVAL, error,
		 "tiny: has no input 1");
	ck_fails(xrnpe_request_set_input(request, 0, in, TINY_IN - 1, &error), -EINVAL, error,
		 "tiny: input in has 12 elements, not 11");
	ck_fails(xrnpe_request_get_output(request, 1, out, TINY_OUT, &error), -EINVAL, error,
		 "tiny: has no output 1");
	ck_fails(xrnpe_request_get_output(request, 0, out, 1, &error), -EINVAL, error,
		 "tiny: output out has 18 elements, not 1");
	ck_fails(xrnpe_request_get_output(request, 0, out, TINY_OUT, &error), -EINVAL, error,
		 "tiny: the request was never submitted");

	submit(request, 1);
	ck_fails(xrnpe_request_submit(request, &error), -EBUSY, error, "was submitted");
	ck_fails(xrnpe_request_set_input(request, 0, in, TINY_IN, &error), -EBUSY, error,
		 "was submitted");
	ck_fails(xrnpe_request_get_output(request, 0, out, TINY_OUT, &error), -EBUSY, error,
		 "was submitted");
	ck_ok(xrnpe_request_wait(request, -1, &error), error);
	ck_assert(output_is_right(request, 1));
	xrnpe_request_free(request);
	xrnpe_request_free(NULL);
	xrnpe_session_free(session);
	xrnpe_session_free(NULL);
}
END_TEST

START_TEST(request_not_yet)
{
	struct xrnpe_session *session = session_of(device, slow_model());
	struct xrnpe_request *request = new_request(session);

	ck_ok(xrnpe_request_submit(request, &error), error);
	ck_fails(xrnpe_request_wait(request, 0, &error), -ETIME, error, "tiny: has not ended yet");
	ck_fails(xrnpe_request_wait(request, 1000000, &error), -ETIME, error, "has not ended yet");
	ck_ok(xrnpe_request_wait(request, -1, &error), error);
	/* Freeing waits. */
	ck_ok(xrnpe_request_submit(request, &error), error);
	xrnpe_request_free(request);
	xrnpe_session_free(session);
}
END_TEST

/* What a job may not do, and what is said about it. The next job is not harmed. */
static const struct {
	uint8_t opcode;		/* of command 1; 0: as it is */
	uint8_t operand, region;
	uint64_t offset;
	uint32_t kind;
	const char *text;
} faults[] = {
	{ 77, 0, 1, 0, XRNPE_FAULT_ILLEGAL_OPCODE,
	  "tiny: command 1 (unknown opcode, layer mix): illegal opcode" },
	{ 0, XRNPE_OPERAND_OFM, XRNPE_MODEL_OUTPUT, 2, XRNPE_FAULT_ILLEGAL_FIELD,
	  "tiny: command 1 (conv2d, layer mix): field ofm.offset is out of its range: 0x2" },
	{ 0, XRNPE_OPERAND_IFM, 9, 0, XRNPE_FAULT_NO_REGION,
	  "tiny: command 1 (conv2d, layer mix): ifm is in region 9, which the job does not have" },
	{ 0, XRNPE_OPERAND_OFM, XRNPE_MODEL_OUTPUT, 4, XRNPE_FAULT_OUT_OF_BOUNDS,
	  "tiny: command 1 (conv2d, layer mix): ofm outside region 3 (output, 72 bytes): "
	  "offset 4, size 72" },
	{ 0, XRNPE_OPERAND_WEIGHT, XRNPE_MODEL_CONSTANTS, 1ull << 40, XRNPE_FAULT_OUT_OF_BOUNDS,
	  "tiny: command 1 (conv2d, layer mix): weight outside region 0 (constants, 152 bytes): "
	  "offset 1099511627776, size 12" },
	{ 0, XRNPE_OPERAND_OFM, XRNPE_MODEL_CONSTANTS, 0, XRNPE_FAULT_PERMISSION,
	  "tiny: command 1 (conv2d, layer mix): ofm may not write region 0 (constants, 152 bytes)" },
	{ 0, XRNPE_OPERAND_IFM, XRNPE_MODEL_OUTPUT, 0, XRNPE_FAULT_PERMISSION,
	  "tiny: command 1 (conv2d, layer mix): ifm may not read region 3 (output, 72 bytes)" },
};

START_TEST(request_fault)
{
	struct xrnpe_session *good = session_of(device, tiny_model()), *bad;
	struct xrnpe_request *before = new_request(good), *faulty, *after = new_request(good);
	struct xrnpe_model *model = tiny_model();
	struct xrnpe_operand *operand = &model->cmds[1].operand[faults[_i].operand];
	float out[TINY_OUT], in[TINY_IN];
	const struct xrnpe_result *result;

	if (faults[_i].opcode)
		model->cmds[1].opcode = faults[_i].opcode;
	operand->region = faults[_i].region;
	operand->offset = faults[_i].offset;
	bad = session_of(device, model);
	faulty = new_request(bad);

	submit(before, 1);
	submit(faulty, 2);
	submit(after, 3);
	ck_fails(xrnpe_request_wait(faulty, -1, &error), -EFAULT, error, faults[_i].text);
	ck_fails(xrnpe_request_wait(faulty, 0, &error), -EFAULT, error, faults[_i].text);
	result = xrnpe_request_result(faulty);
	ck_assert_uint_eq(result->fault.kind, faults[_i].kind);
	ck_assert_uint_eq(result->fault.cmd, 1);
	ck_ok(xrnpe_request_wait(before, -1, &error), error);
	ck_ok(xrnpe_request_wait(after, -1, &error), error);
	ck_assert(output_is_right(before, 1));
	ck_assert(output_is_right(after, 3));
	ck_assert_uint_eq(xrnpe_request_result(after)->fault.kind, XRNPE_FAULT_NONE);

	/* In a batch the message tells the element. */
	tiny_input(1, in);
	ck_fails(run(bad, 1, in, out, NULL, NULL, NULL, &error), -EFAULT, error,
		 "(element 0)");
	xrnpe_request_free(before);
	xrnpe_request_free(faulty);
	xrnpe_request_free(after);
	xrnpe_session_free(good);
	xrnpe_session_free(bad);
}
END_TEST

START_TEST(request_illegal_scale)
{
	struct xrnpe_model *model = tiny_model();
	struct xrnpe_session *session;
	struct xrnpe_request *request;
	const uint32_t infinite = 0x7f800000;

	memcpy((char *)model->constants + TINY_SCALES + 8, &infinite, sizeof(infinite));
	session = session_of(device, model);
	request = new_request(session);
	submit(request, 1);
	ck_fails(xrnpe_request_wait(request, -1, &error), -EFAULT, error,
		 "tiny: command 1 (conv2d, layer mix): a scale, bias or slope is illegal: offset ");
	ck_assert_uint_eq(xrnpe_request_result(request)->fault.kind, XRNPE_FAULT_ILLEGAL_SCALE);
	xrnpe_request_free(request);
	xrnpe_session_free(session);
}
END_TEST

/* A NaN that meets FP4 is reported, not lost. */
START_TEST(session_invalid_status)
{
	struct xrnpe_model *model = tiny_model();
	struct xrnpe_session *session;
	float in[3 * TINY_IN] = { 0 }, out[3 * TINY_OUT];
	uint32_t status;

	model->cmds[1] = model->cmds[0];
	model->cmds[0].operand[XRNPE_OPERAND_OFM].format = XRNPE_FORMAT_FP4;
	session = session_of(device, model);
	ck_ok(run(session, 3, in, out, NULL, NULL, &status, &error), error);
	ck_assert_uint_eq(status, 0);
	in[TINY_IN + 3] = __builtin_nanf("");
	ck_ok(run(session, 3, in, out, NULL, NULL, &status, &error), error);
	ck_assert_uint_eq(status, XRNPE_STATUS_INVALID);
	xrnpe_session_free(session);
}
END_TEST

/* Objects keep what they need, whatever order they are freed in. */
START_TEST(session_ownership)
{
	struct xrnpe_model *model = tiny_model();
	struct xrnpe_device *own;
	struct xrnpe_session *session;
	struct xrnpe_request *request;

	ck_ok(xrnpe_device_open(test_device(), &own, &error), error);
	ck_ok(xrnpe_session_new(own, model, NULL, &session, &error), error);
	xrnpe_model_free(model);
	xrnpe_device_close(own);
	request = new_request(session);
	xrnpe_session_free(session);
	submit(request, 8);
	ck_ok(xrnpe_request_wait(request, -1, &error), error);
	ck_assert(output_is_right(request, 8));
	xrnpe_request_free(request);
}
END_TEST

START_TEST(session_limits)
{
	struct xrnpe_model *model = tiny_model();
	struct xrnpe_session *session;

	model->cmd_count = XRNPE_MAX_CMDS + 1;
	model->steps[0].count = model->cmd_count;
	ck_fails(xrnpe_session_new(device, model, NULL, &session, &error), -E2BIG, error,
		 "tiny: has 65537 commands; ");
	model->cmd_count = 2;
	model->steps[0].count = model->cmd_count;
	model->region_size[XRNPE_MODEL_ARENA] = SIZE_MAX / 2 + 1;
	ck_fails(xrnpe_session_new(device, model, NULL, &session, &error), -E2BIG, error,
		 "tiny: needs a buffer of ");
	xrnpe_model_free(model);
}
END_TEST

/* From memory, and from a file. */
START_TEST(session_steps)
{
	struct xrnpe_model *model = negative_model();

	ck_ok(xrnpe_model_save(model, test_path("n.xrnpe"), &error), error);
	if (_i) {
		xrnpe_model_free(model);
		ck_ok(xrnpe_model_load(test_path("n.xrnpe"), &model, &error), error);
	}
	for (int batch = 0; batch < 2; batch++) {
		struct xrnpe_session *session = session_of(device, xrnpe_model_ref(model));
		float in[5 * TINY_IN], out[5 * TINY_OUT], expected[TINY_OUT];

		for (unsigned int i = 0; i < 5; i++)
			tiny_input(i, in + i * TINY_IN);
		ck_ok(run(session, 5, in, out, NULL, NULL, NULL, &error), error);
		for (unsigned int i = 0; i < 5 * TINY_OUT; i++) {
			if (i % TINY_OUT == 0)
				tiny_output(in + i / TINY_OUT * TINY_IN, expected);
			ck_assert_float_eq(out[i], -expected[i % TINY_OUT]);
		}
		xrnpe_session_free(session);
	}
	xrnpe_model_free(model);
}
END_TEST

/* Steps and bindings that fit nothing. */
START_TEST(session_bad_steps)
{
	static const struct {
		size_t at;	/* of a 32-bit field, in both bindings and then the second step */
		uint32_t value;
		const char *text;
	} cases[] = {
		{ 0, 1000, "fits nothing" },	/* no such tensor on the CPU */
		{ 4, 1000, "fits nothing" },	/* nor in the regions */
		{ 4, 2, "fits nothing" },	/* of another format */
		{ 12, 0, "fits nothing" },	/* of another size, and written to the input */
		{ 16, 5, "out of order" },
		{ 20, 1, "out of order" },
		{ 24, 2, "out of order" },
		{ 28, 2, "has bindings that are not there" },
		{ 32, UINT32_MAX, "has bindings that are not there" },
		{ 32, 2, "fits nothing" },	/* what is scattered, gathered */
		{ 36, 0, "or not its own" },
		{ 40, 0, "its steps are not all of it" },	/* one that no step has */
	};
	struct xrnpe_model *model = negative_model();
	char *fields = cases[_i].at < 16 ? (char *)model->bindings + cases[_i].at :
					   (char *)&model->steps[1] + cases[_i].at - 16;

	ck_ok(xrnpe_model_check(model, &error), error);
	memcpy(fields, &cases[_i].value, sizeof(cases[_i].value));
	ck_fails(xrnpe_model_check(model, &error), -EINVAL, error, cases[_i].text);
	xrnpe_model_free(model);
}
END_TEST

struct user {
	pthread_t thread;
	struct xrnpe_session *session;
	unsigned int seed;
	bool right;
};

static void *use(void *data)
{
	struct user *user = data;
	struct xrnpe_request *request;
	struct xrnpe_error mine;

	if (xrnpe_request_new(user->session, &request, &mine))
		return NULL;
	user->right = true;
	for (unsigned int i = 0; i < 50; i++) {
		float in[TINY_IN];

		tiny_input(user->seed + i, in);
		user->right = user->right &&
			      !xrnpe_request_set_input(request, 0, in, TINY_IN, &mine) &&
			      !(i % 2 ? xrnpe_request_run(request, &mine) :
				xrnpe_request_submit(request, &mine) ||
				xrnpe_request_wait(request, -1, &mine)) &&
			      output_is_right(request, user->seed + i);
	}
	xrnpe_request_free(request);
	return NULL;
}

/* Batches of which some are stopped: the next ones are right all the same. */
static void *use_batches(void *data)
{
	struct user *user = data;

	user->right = true;
	for (unsigned int i = 0; i < 20 && user->right; i++) {
		float in[20 * TINY_IN], out[20 * TINY_OUT], expected[20 * TINY_OUT];
		struct stop stop = { .at = i % 5 == 4 ? 3 : 0 };
		struct xrnpe_error mine;
		int ret;

		for (unsigned int k = 0; k < 20; k++) {
			tiny_input(user->seed + i + k, in + k * TINY_IN);
			tiny_output(in + k * TINY_IN, expected + k * TINY_OUT);
		}
		ret = run(user->session, 20, in, out, stop_at, &stop, NULL, &mine);
		user->right = stop.at ? ret == -ECANCELED : !ret && !memcmp(out, expected, sizeof(out));
	}
	return NULL;
}

/* A session is shared; each thread has a request of its own, or batches. */
START_TEST(session_threads)
{
	struct xrnpe_session *session = session_of(device, tiny_model());
	struct user users[8];

	for (unsigned int i = 0; i < 8; i++) {
		users[i] = (struct user){ .session = session, .seed = 100 * i };
		ck_assert_int_eq(pthread_create(&users[i].thread, NULL, i % 2 ? use_batches : use, &users[i]), 0);
	}
	for (unsigned int i = 0; i < 8; i++) {
		ck_assert_int_eq(pthread_join(users[i].thread, NULL), 0);
		ck_assert_msg(users[i].right, "thread %u", i);
	}
	xrnpe_session_free(session);
}
END_TEST

/* What layers take is what was predicted; and all of it is what there is without asking. */
START_TEST(session_profile)
{
	struct xrnpe_model *models[] = { tiny_model(), negative_model() }, *model = models[_i];
	const struct xrnpe_layer_profile *layers;
	struct xrnpe_session *session;
	struct xrnpe_request *request;
	struct xrnpe_cost total, costs[2];
	float in[TINY_IN], out[2][TINY_OUT];

	if (_i)
		model->layers[0].place = XRNPE_PLACE_CPU;
	free((char *)model->layers[0].name);
	model->layers[0].name = strdup(_i ? "negate" : "to_p16");
	if (_i)
		model->cmd_layer[0] = 1;
	ck_ok(xrnpe_session_new(device, model, NULL, &session, &error), error);
	ck_ok(xrnpe_request_new(session, &request, &error), error);
	ck_assert_ptr_null(xrnpe_request_layers(request));
	tiny_input(3, in);
	ck_ok(xrnpe_request_set_input(request, 0, in, TINY_IN, &error), error);
	for (unsigned int k = 0; k < 2; k++) {
		ck_ok(xrnpe_request_profile(request, !k, &error), error);
		ck_ok(xrnpe_request_submit(request, &error), error);
		ck_fails(xrnpe_request_profile(request, true, &error), -EBUSY, error, "was submitted");
		ck_ok(xrnpe_request_wait(request, -1, &error), error);
		ck_ok(xrnpe_request_get_output(request, 0, out[k], TINY_OUT, &error), error);
		layers = xrnpe_request_layers(request);
		ck_assert(k ? !layers : layers != NULL);
		if (k)
			continue;
		xrnpe_model_predict(model, xrnpe_device_info(device), NULL, &total, costs);
		for (unsigned int l = 0; l < 2; l++) {
			ck_assert_mem_eq(&layers[l].counters, &costs[l].counters, sizeof(costs[l].counters));
			ck_assert(layers[l].seconds >= 0 && layers[l].seconds < 60);
		}
		ck_assert_double_gt(layers[0].seconds + layers[1].seconds, 0);
		ck_assert_uint_eq(xrnpe_request_result(request)->counters.cycles, 0);
	}
	ck_assert_mem_eq(out[0], out[1], sizeof(out[0]));
	xrnpe_request_free(request);
	xrnpe_session_free(session);
	xrnpe_model_free(models[0]);
	xrnpe_model_free(models[1]);
}
END_TEST

TCase *runtime_session_tests(void)
{
	TCase *tcase = tcase_create("session");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, session_runs);
	tcase_add_test(tcase, session_from_file);
	tcase_add_test(tcase, session_progress);
	tcase_add_test(tcase, request_many_in_flight);
	tcase_add_test(tcase, request_again);
	tcase_add_test(tcase, request_run);
	tcase_add_test(tcase, request_misused);
	tcase_add_test(tcase, request_not_yet);
	tcase_add_loop_test(tcase, request_fault, 0, sizeof(faults) / sizeof(*faults));
	tcase_add_test(tcase, request_illegal_scale);
	tcase_add_test(tcase, session_invalid_status);
	tcase_add_test(tcase, session_ownership);
	tcase_add_test(tcase, session_limits);
	tcase_add_loop_test(tcase, session_steps, 0, 2);
	tcase_add_loop_test(tcase, session_bad_steps, 0, 12);
	tcase_add_test(tcase, session_threads);
	tcase_add_loop_test(tcase, session_profile, 0, 2);
	return tcase;
}

// SPDX-License-Identifier: MIT
/* What layers write, kept by requests, on the emulator or on XRNPE_TEST_DEVICE. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "unit/runtime_tests.h"

static struct xrnpe_error error;
static struct xrnpe_device *device;

static void setup(void)
{
	ck_ok(xrnpe_device_open(test_device(), &device, &error), error);
}

static void teardown(void)
{
	xrnpe_device_close(device);
}

static int run(struct xrnpe_request *request, const float in[TINY_IN])
{
	ck_ok(xrnpe_request_set_input(request, 0, in, TINY_IN, &error), error);
	ck_ok(xrnpe_request_submit(request, &error), error);
	return xrnpe_request_wait(request, -1, &error);
}

/* Both layers, of the tiny model or of one that goes on on the CPU. */
static void check_layers(struct xrnpe_request *request, unsigned int seed)
{
	float in[TINY_IN], middle[TINY_IN], expected[TINY_OUT], mixed[TINY_OUT];

	tiny_input(seed, in);
	tiny_output(in, expected);
	ck_ok(run(request, in), error);
	ck_ok(xrnpe_request_get_layer(request, 0, middle, TINY_IN, &error), error);
	ck_assert_mem_eq(middle, in, sizeof(in));
	ck_ok(xrnpe_request_get_layer(request, 1, mixed, TINY_OUT, &error), error);
	ck_assert_mem_eq(mixed, expected, sizeof(mixed));
}

START_TEST(layers_kept)
{
	struct xrnpe_request *request = request_of(device, tiny_model(), XRNPE_PRIORITY_NORMAL);
	float out[TINY_OUT], mixed[TINY_OUT];

	ck_ok(xrnpe_request_keep_layer(request, 0, true, &error), error);
	ck_ok(xrnpe_request_keep_layer(request, 1, true, &error), error);
	for (unsigned int seed = 0; seed < 3; seed++) {
		check_layers(request, seed);
		ck_ok(xrnpe_request_get_output(request, 0, out, TINY_OUT, &error), error);
		ck_ok(xrnpe_request_get_layer(request, 1, mixed, TINY_OUT, &error), error);
		ck_assert_mem_eq(out, mixed, sizeof(out));
	}
	/* Together with what else divides the job. */
	ck_ok(xrnpe_request_profile(request, true, &error), error);
	check_layers(request, 4);
	ck_assert_uint_eq(xrnpe_request_layers(request)[1].counters.commands, 1);
	xrnpe_request_free(request);
}
END_TEST

/* The tiny model's codes are scaled, and its result is negated by a node that is a layer. */
START_TEST(layers_on_cpu)
{
	struct xrnpe_model *model = negative_model();
	struct xrnpe_request *request;
	float in[TINY_IN], expected[TINY_OUT], negated[TINY_OUT], middle[TINY_IN];

	model->tensors[2].scale = 0.5;
	model->layers[1].place = XRNPE_PLACE_CPU;
	model->layer_outputs[1] = (struct xrnpe_layer_output){ .index = 0 };
	ck_ok(xrnpe_model_check(model, &error), error);
	request = request_of(device, model, XRNPE_PRIORITY_NORMAL);
	ck_ok(xrnpe_request_keep_layer(request, 0, true, &error), error);
	ck_ok(xrnpe_request_keep_layer(request, 1, true, &error), error);
	tiny_input(3, in);
	tiny_output(in, expected);
	ck_ok(run(request, in), error);
	ck_ok(xrnpe_request_get_layer(request, 0, middle, TINY_IN, &error), error);
	ck_ok(xrnpe_request_get_layer(request, 1, negated, TINY_OUT, &error), error);
	for (unsigned int i = 0; i < TINY_IN; i++)
		ck_assert_float_eq(middle[i], in[i] / 2);
	for (unsigned int i = 0; i < TINY_OUT; i++)
		ck_assert_float_eq(negated[i], -expected[i]);
	xrnpe_request_free(request);
}
END_TEST

START_TEST(layers_refused)
{
	struct xrnpe_request *request = request_of(device, tiny_model(), XRNPE_PRIORITY_NORMAL);
	float in[TINY_IN] = { 0 }, values[TINY_OUT];

	ck_fails(xrnpe_request_keep_layer(request, 2, true, &error), -EINVAL, error,
		 "tiny: has no layer 2, but 2 layers");
	ck_fails(xrnpe_request_get_layer(request, 2, values, 1, &error), -EINVAL, error,
		 "tiny: has no layer 2, but 2 layers");
	ck_ok(run(request, in), error);
	ck_fails(xrnpe_request_get_layer(request, 0, values, TINY_IN, &error), -EINVAL, error,
		 "tiny: layer to_p16 is not kept");
	ck_ok(xrnpe_request_keep_layer(request, 0, true, &error), error);
	ck_fails(xrnpe_request_get_layer(request, 0, values, TINY_IN, &error), -EINVAL, error,
		 "tiny: the request did not get to layer to_p16");
	ck_ok(run(request, in), error);
	ck_fails(xrnpe_request_get_layer(request, 0, values, TINY_IN - 1, &error), -EINVAL, error,
		 "tiny: layer to_p16 writes 12 elements, not 11");
	ck_ok(xrnpe_request_submit(request, &error), error);
	ck_fails(xrnpe_request_keep_layer(request, 0, false, &error), -EBUSY, error, "not waited for");
	ck_fails(xrnpe_request_get_layer(request, 0, values, TINY_IN, &error), -EBUSY, error,
		 "not waited for");
	xrnpe_request_free(request);
}
END_TEST

/* What came before a fault is there. */
START_TEST(layers_until_fault)
{
	const float infinite = INFINITY;
	struct xrnpe_model *model = tiny_model();
	struct xrnpe_request *request;
	float in[TINY_IN], values[TINY_OUT];

	memcpy((char *)model->constants + TINY_SCALES, &infinite, sizeof(infinite));
	request = request_of(device, model, XRNPE_PRIORITY_NORMAL);
	ck_ok(xrnpe_request_keep_layer(request, 0, true, &error), error);
	ck_ok(xrnpe_request_keep_layer(request, 1, true, &error), error);
	tiny_input(1, in);
	ck_fails(run(request, in), -EFAULT, error, "command 1 (conv2d, layer mix)");
	ck_ok(xrnpe_request_get_layer(request, 0, values, TINY_IN, &error), error);
	ck_assert_mem_eq(values, in, sizeof(in));
	ck_fails(xrnpe_request_get_layer(request, 1, values, TINY_OUT, &error), -EINVAL, error,
		 "did not get to layer mix");
	xrnpe_request_free(request);
}
END_TEST

TCase *runtime_layers_tests(void)
{
	TCase *tests = tcase_create("layers");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, layers_kept);
	tcase_add_test(tests, layers_on_cpu);
	tcase_add_test(tests, layers_refused);
	tcase_add_test(tests, layers_until_fault);
	return tests;
}

/* SPDX-License-Identifier: MIT */
#ifndef UNIT_RUNTIME_TESTS_H
#define UNIT_RUNTIME_TESTS_H

#include <check.h>

#include "error.h"
#include "model.h"
#include "xrnpe.h"

TCase *runtime_npy_tests(void);
TCase *runtime_file_tests(void);
TCase *runtime_device_tests(void);
TCase *runtime_session_tests(void);
TCase *runtime_batch_tests(void);
TCase *runtime_events_tests(void);
TCase *runtime_buffers_tests(void);
TCase *runtime_layers_tests(void);
TCase *runtime_points_tests(void);
TCase *runtime_govern_tests(void);
TCase *runtime_transfer_tests(void);
TCase *runtime_networks_tests(void);

/* The device that sessions are tested on: XRNPE_TEST_DEVICE, or emu. */
const char *test_device(void);

/*
 * A file name in a folder that the fixture makes and removes; valid until the
 * next call.
 */
void runtime_setup(void);
void runtime_teardown(void);
const char *test_path(const char *name);

/* Whole small files. */
void write_file(const char *path, const void *data, size_t size);
size_t read_file(const char *path, unsigned char *data, size_t room);

/*
 * A hand-made model "tiny": input "in" of 2 x 3 x 2, layer "to_p16" converts it,
 * layer "mix" is a 1 x 1 convolution with ReLU, output "out" of 3 x 3 x 2:
 * out[n] = max(0, tiny_scale[n] * sum_c tiny_weight[n][c] in[c] + tiny_bias[n]).
 * Exact for small integers.
 */
#define TINY_IN_C 2
#define TINY_OUT_C 3
#define TINY_PIXELS 6
#define TINY_IN (TINY_IN_C * TINY_PIXELS)
#define TINY_OUT (TINY_OUT_C * TINY_PIXELS)

/* Offsets in its constants. */
#define TINY_CONVERT_SCALE 0
#define TINY_WEIGHTS 64
#define TINY_SCALES 128
#define TINY_CONSTANTS 152

extern const float tiny_weight[TINY_OUT_C][TINY_IN_C];
extern const float tiny_scale[TINY_OUT_C];
extern const float tiny_bias[TINY_OUT_C];

struct xrnpe_model *tiny_model(void);

/*
 * One that computes for longer than a busy host keeps a thread from running, but not so long
 * that a driver's device would give it up: large products, a hundredth of a second each or more.
 */
struct xrnpe_model *slow_model(void);

/* The tiny model with its result negated on the CPU: arena, then output. */
struct xrnpe_model *negative_model(void);

/*
 * Two points of one model: that which @make makes, one of the above, and one whose outputs are
 * twice as large. They differ in scales, steps and arena, and share all else.
 */
struct xrnpe_model *two_points(struct xrnpe_model *(*make)(void));

/* Inputs that differ with @seed, and what the model makes of them. */
void tiny_input(unsigned int seed, float in[TINY_IN]);
void tiny_output(const float in[TINY_IN], float out[TINY_OUT]);

/* A session of @model, which it takes over, on @device. */
struct xrnpe_session *session_of(struct xrnpe_device *device, struct xrnpe_model *model);

/* A request of @model, which it takes over, on @device. */
struct xrnpe_request *request_of(struct xrnpe_device *device, struct xrnpe_model *model,
				 enum xrnpe_priority priority);

/* Submit a request of a model that takes what the tiny one does. */
void submit(struct xrnpe_request *request, unsigned int seed);

/* The call succeeds, or the test fails with its message. */
#define ck_ok(call, error) \
	do { \
		int ck_ret = (call); \
		ck_assert_msg(ck_ret == 0, "%s: %d: %s", #call, ck_ret, \
			      ck_ret ? (error).message : ""); \
	} while (0)

/* The call fails with that code, and a message that contains that text. */
#define ck_fails(call, expected, error, text) \
	do { \
		int ck_ret = (call); \
		ck_assert_msg(ck_ret == (expected), "%s: %d, not %d", #call, ck_ret, (expected)); \
		ck_assert_int_eq((error).code, (expected)); \
		ck_assert_msg(strstr((error).message, (text)), "\"%s\" lacks \"%s\"", \
			      (error).message, (text)); \
	} while (0)

#endif

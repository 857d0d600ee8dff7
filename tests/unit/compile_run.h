/* SPDX-License-Identifier: MIT */
/* Compiling networks in tests, and running what comes of it. */
#ifndef COMPILE_RUN_H
#define COMPILE_RUN_H

#include <check.h>

#include "graph.h"
#include "model.h"
#include "unit/onnx_builder.h"

/* Inputs that are compiled with, and others that are run. */
enum { CALIBRATION = 24, TESTS = 16 };

/* Of the call that failed. */
extern struct xrnpe_error error;

/* The graph of @model, which is freed. */
struct xrnpe_graph *load(Onnx__ModelProto *model);

/* @count of each input of @graph, of noise; of one that takes integers, zeros. */
struct xrnpe_array *noise(const struct xrnpe_graph *graph, size_t count, uint32_t seed);
void noise_free(const struct xrnpe_graph *graph, struct xrnpe_array *arrays);

/* Compile with noise. */
int compile(const struct xrnpe_graph *graph, uint64_t budget, struct xrnpe_model **model);

/* Of weights, scales and biases together. */
uint64_t bytes_of(const struct xrnpe_model *model);

/* Inputs, and outputs, of the networks here. */
enum { MOST_TENSORS = 4 };

/* What @model computes of TESTS @inputs on a device; each of its outputs from malloc(). */
void run_model_on(const char *name, struct xrnpe_model *model, const struct xrnpe_array *inputs,
		  float *outputs[MOST_TENSORS]);

/* The same in the emulator. */
void run_model(struct xrnpe_model *model, const struct xrnpe_array *inputs,
	       float *outputs[MOST_TENSORS]);

/* The root mean square of what @values are off, relative to that of @exact. */
double relative_error(const float *values, const float *exact, size_t count);

/* Relative error of what @model computes in the emulator, on inputs not calibrated with. */
double run_error(const struct xrnpe_graph *graph, struct xrnpe_model *model);

/* Compile with room for the widest formats; the result is as FP32 but for rounding. */
struct xrnpe_model *faithful(const struct xrnpe_graph *graph, double tolerance);

/* The same of a network whose layers are all on the device. */
struct xrnpe_model *on_device(const struct xrnpe_graph *graph, double tolerance);

/*
 * ---- networks (compile_networks.c) ----------------------------------------
 *
 * Small ones, that have between them what can be where on the device.
 */

typedef Onnx__ModelProto *network_function(void);

network_function parts_network, token_network, long_network;

/* An input x of @c x @h x @w, and an output y. */
Onnx__ModelProto *image_network(int64_t c, int64_t h, int64_t w);

enum { NETWORKS = 16 };

extern network_function *const networks[NETWORKS];

#endif

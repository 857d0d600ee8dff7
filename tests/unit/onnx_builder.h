/* SPDX-License-Identifier: MIT */
/* ONNX models made in memory, for tests. Running out of memory ends the program. */
#ifndef ONNX_BUILDER_H
#define ONNX_BUILDER_H

#include <stddef.h>
#include <stdint.h>

#include "onnx.pb-c.h"

/*
 * A model of IR version 8 and operator set 13, empty at first. Everything in it
 * lies on the heap: tests may change it by hand; onnx_free() frees it.
 */
Onnx__ModelProto *onnx_new(void);
void onnx_free(Onnx__ModelProto *model);

/* A float input or output; a dimension of 0 has a name instead of a size. */
void onnx_input(Onnx__ModelProto *model, const char *name, size_t rank, const int64_t *dims);
void onnx_output(Onnx__ModelProto *model, const char *name, size_t rank, const int64_t *dims);

/* Initializers; the values are stored raw. NULL: reproducible noise. */
Onnx__TensorProto *onnx_floats(Onnx__ModelProto *model, const char *name, size_t rank,
			       const int64_t *dims, const float *values);
Onnx__TensorProto *onnx_ints(Onnx__ModelProto *model, const char *name, size_t count,
			     const int64_t *values);

/* Annotate @tensor with scales in @format, which are an initializer of @format's name and its. */
void onnx_scales(Onnx__ModelProto *model, const char *tensor, const char *format, size_t count,
		 const float *values);

/* A node; names are separated by spaces. Its own is "n_" and the first output's. */
Onnx__NodeProto *onnx_node(Onnx__ModelProto *model, const char *op, const char *inputs,
			   const char *outputs);
Onnx__AttributeProto *onnx_attr_ints(Onnx__NodeProto *node, const char *name, size_t count,
				     const int64_t *values);
Onnx__AttributeProto *onnx_attr_int(Onnx__NodeProto *node, const char *name, int64_t value);
Onnx__AttributeProto *onnx_attr_float(Onnx__NodeProto *node, const char *name, float value);
Onnx__AttributeProto *onnx_attr_string(Onnx__NodeProto *node, const char *name,
				       const char *value);

/* A graph of one node of @op, from the outer tensor @input to @output. */
void onnx_attr_graph(Onnx__NodeProto *node, const char *name, const char *op, const char *input,
		     const char *output);

#define DIMS(...) sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t), (int64_t[]){ __VA_ARGS__ }

/* Serialised, from malloc(). */
uint8_t *onnx_pack(const Onnx__ModelProto *model, size_t *size);

/* The next number of a fixed sequence, evenly spread over -1 .. 1. */
float onnx_noise(uint32_t *state);

/*
 * A residual network in small, as the demo's is, with noise for weights:
 * 1 x 12 x 12 -> Conv, BatchNormalization, Relu, MaxPool, a residual block with a
 * strided 1 x 1 shortcut, GlobalAveragePool, Flatten, Gemm -> 10.
 */
Onnx__ModelProto *onnx_resnet(void);

#endif

/* SPDX-License-Identifier: MIT */
/* TensorFlow Lite models made in memory, for tests. Running out of memory ends the program. */
#ifndef LITE_BUILDER_H
#define LITE_BUILDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LITE_MOST 24	/* of anything */

/* TensorType of the schema. */
enum { LITE_TYPE_FLOAT32, LITE_TYPE_FLOAT16, LITE_TYPE_INT32, LITE_TYPE_BOOL = 6, LITE_TYPE_INT8 = 9 };

/* A field of a table: @size bytes of @value, or of none; or 4 that refer to a list. */
struct lite_field {
	unsigned int size;
	int64_t value;
	uint32_t count;
	const int32_t *list;
};

#define LITE_FIELD(bytes, number) { .size = (bytes), .value = (number) }

struct lite_tensor {
	const char *name;
	int8_t type;
	uint32_t rank;
	int32_t dims[LITE_MOST];
	const void *data;	/* of a constant, which is the caller's */
	size_t size;
	bool behind;		/* its data is behind the flatbuffer */
	uint32_t signature;	/* dimensions that are open: a bit each */
	uint32_t scales;
	float scale[LITE_MOST];
	int64_t zero[LITE_MOST];
	int32_t scale_axis;
	int8_t variable;
	/* Of a sparse one: its order, the blocks' dimensions, and of each level the dense size or lists. */
	uint32_t levels, blocks;
	int32_t order[LITE_MOST], block_map[LITE_MOST];
	struct {
		int32_t size;		/* 0: sparse */
		uint32_t segment_count, index_count;
		uint8_t segments[LITE_MOST], indices[LITE_MOST];
	} level[LITE_MOST];
};

struct lite_operator {
	int32_t code, version;	/* 0: 1 */
	const char *custom;
	uint32_t input_count, output_count;
	int32_t inputs[LITE_MOST], outputs[LITE_MOST];
	int8_t options_kind;
	struct lite_field options[LITE_MOST];
	const uint8_t *custom_options;
	uint32_t custom_size;
};

/* Tests may change everything by hand. */
struct lite_model {
	int32_t version;
	uint32_t tensor_count, operator_count, input_count, output_count;
	struct lite_tensor tensors[LITE_MOST];
	struct lite_operator operators[LITE_MOST];
	int32_t inputs[LITE_MOST], outputs[LITE_MOST];
};

/* An empty one, freed by free(). */
struct lite_model *lite_new(void);

/* Tensors; their index is returned. The others are constants: of @size bytes, of float and of int32. */
int32_t lite_tensor(struct lite_model *model, const char *name, uint32_t rank, const int32_t *dims);
int32_t lite_constant(struct lite_model *model, int8_t type, uint32_t rank, const int32_t *dims,
		      size_t size, const void *data);
int32_t lite_floats(struct lite_model *model, uint32_t rank, const int32_t *dims, const float *values);
int32_t lite_ints(struct lite_model *model, uint32_t count, const int32_t *values);

/* The tensor is the next input, or output. */
int32_t lite_input(struct lite_model *model, int32_t tensor);
void lite_output(struct lite_model *model, int32_t tensor);

/*
 * An operator that TensorFlow Lite calls @op_name, of one output, which is a new tensor
 * called @name of unknown shape; its kind of options is the one that the reader looks at.
 */
struct lite_operator *lite_operator(struct lite_model *model, const char *op_name, const char *name,
				    uint32_t count, const int32_t *inputs);

/* One of its options. */
void lite_set(struct lite_operator *op, uint32_t field, unsigned int size, int64_t value);

/* The first output of the operator that was added last. */
int32_t lite_last(const struct lite_model *model);

#define LITE_DIMS(...) sizeof((int32_t[]){ __VA_ARGS__ }) / sizeof(int32_t), (int32_t[]){ __VA_ARGS__ }
#define LITE_INTS LITE_DIMS

/* As a file, from malloc(). */
uint8_t *lite_pack(const struct lite_model *model, size_t *size);

/*
 * A network of what files of MediaPipe have: 1 x 12 x 12 x 3 -> CONV_2D, PRELU,
 * DEPTHWISE_CONV_2D, PAD, ADD, MAX_POOL_2D, RESIZE_BILINEAR, CONCATENATION, RESHAPE,
 * FULLY_CONNECTED, LOGISTIC -> 1 x 4.
 */
struct lite_model *lite_network(void);

#endif

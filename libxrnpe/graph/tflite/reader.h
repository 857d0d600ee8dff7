/* SPDX-License-Identifier: MIT */
/*
 * What the files of this folder share. TensorFlow Lite has an image's channels last, the
 * graph's operators have them first. So each tensor of rank 4 can be in the graph in both
 * orders, and the other one is made, by a Transpose, when an operator asks for it: a network
 * of convolutions has one at its input and one at its output.
 */
#ifndef XRNPE_TFLITE_READER_H
#define XRNPE_TFLITE_READER_H

#include "element.h"
#include "flatbuffer.h"
#include "graph.h"

/* A tensor of the file: tensors of the graph, or GRAPH_NONE. */
struct tflite_value {
	uint32_t last;		/* as in the file */
	uint32_t first;		/* with channels first */
};

struct tflite_reader {
	struct xrnpe_graph *graph;
	const struct xrnpe_graph_options *options;
	struct xrnpe_error *error;
	struct flat file;
	struct flat_vector codes, buffers, tensors;
	struct tflite_value *values;	/* by tensor of the file */
	size_t listed;		/* inputs and outputs of operators so far */
};

/*
 * An operator of the file while it becomes nodes. The first failure stays in @ret, and from
 * then on nothing is done and GRAPH_NONE returned: who writes an operator need not ask.
 * -ENOTSUP is no end of the import: the operator is listed with @why, unless that is empty
 * and @unknown is what something unsupported would have computed.
 */
struct tflite_op {
	struct tflite_reader *reader;
	const char *name;	/* of its nodes: that of its first output */
	const struct tflite_operator *row;
	struct flat_table options;
	struct flat_vector custom_options;
	int32_t version;	/* of the kind of operator */
	const uint32_t *inputs, *outputs;	/* tensors of the file; GRAPH_NONE: left out */
	uint32_t input_count, output_count;
	struct graph_attribute attributes[8];	/* of the node that is emitted next */
	uint32_t attribute_count;
	int ret;
	char why[200];
	uint32_t unknown;
};

struct tflite_operator {
	const char *name;		/* TensorFlow Lite's */
	void (*make)(struct tflite_op *op);	/* NULL: not supported */
	uint8_t min_inputs, max_inputs;
	uint8_t options;		/* kind of its options, or 0 */
	const char *onnx;		/* for @make */
};

/* Any number of inputs. */
#define TFLITE_ANY UINT8_MAX

/* Element types by ONNX's numbers, for Cast. */
#define ONNX_FLOAT 1
#define ONNX_INT64 7
#define ONNX_BOOL 9

/* By number; NULL: a number that the schema does not have. */
const struct tflite_operator *tflite_builtin(int32_t code);

/* By name; NULL: there is none. */
const struct tflite_operator *tflite_custom(const char *name);

/* ---- tensor.c ------------------------------------------------------------ */

/* The element of a file's type; false: none that is supported. */
bool tflite_element(int8_t type, enum element *element);

/* Whether the tensor is of integers that stand for other numbers. */
bool tflite_is_quantized(const struct tflite_reader *reader, uint32_t tensor);

/* Read a constant that @op needs into the graph, if it is one. */
void tflite_constant(struct tflite_op *op, uint32_t tensor);

/* Elements of a sparse constant to @data, of zeros; false: it is malformed. See sparse.c. */
bool tflite_densify(struct flat_table sparsity, enum element element,
		    const struct graph_shape *shape, const uint8_t *bytes, size_t size, void *data);

/* ---- emit.c -------------------------------------------------------------- */

/* Not supported, and why. */
void tflite_unsupported(struct tflite_op *op, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Input @i as in the file, or with channels first; GRAPH_NONE: it is left out. */
uint32_t tflite_last(struct tflite_op *op, uint32_t i);
uint32_t tflite_first(struct tflite_op *op, uint32_t i);

/*
 * @count inputs from @from on in one order, with what is broadcast made to fit: channels
 * first where one of them is there in that order. Returns whether it is that.
 */
bool tflite_arrange(struct tflite_op *op, uint32_t from, uint32_t count, uint32_t *tensors);

/* Axis @axis of rank 4 when channels come first. */
uint32_t tflite_axis_first(uint32_t axis);

/* A tensor of the graph, of which shape and type are known; NULL: they are not, see @ret. */
const struct graph_tensor *tflite_tensor(struct tflite_op *op, uint32_t tensor);

/* @axis, negative if counted from the end, as one of @rank. */
uint32_t tflite_axis(struct tflite_op *op, int64_t axis, uint32_t rank);

/* Integers of constant input @i; at most @room, of which the number is returned. */
uint32_t tflite_ints(struct tflite_op *op, uint32_t i, uint32_t room, int64_t *values);

/* A constant list of integers or floats, and one float. */
uint32_t tflite_new_ints(struct tflite_op *op, uint32_t count, const int64_t *values);
uint32_t tflite_new_floats(struct tflite_op *op, uint32_t count, const float *values);
uint32_t tflite_new_float(struct tflite_op *op, float value);

/* Attributes of the node that is emitted next; copied. */
void tflite_set_int(struct tflite_op *op, const char *name, int64_t value);
void tflite_set_ints(struct tflite_op *op, const char *name, size_t count, const int64_t *values);
void tflite_set_float(struct tflite_op *op, const char *name, float value);
void tflite_set_string(struct tflite_op *op, const char *name, const char *value);

/* A node of the ONNX operator @onnx. Returns its output, or sets all @output_count. */
uint32_t tflite_emit(struct tflite_op *op, const char *onnx, uint32_t count, const uint32_t *inputs);
uint32_t tflite_emit1(struct tflite_op *op, const char *onnx, uint32_t input);
uint32_t tflite_emit2(struct tflite_op *op, const char *onnx, uint32_t a, uint32_t b);
void tflite_emit_all(struct tflite_op *op, const char *onnx, uint32_t count,
		     const uint32_t *inputs, uint32_t output_count, uint32_t *outputs);

/* @tensor with its axes in another order, or of another shape. */
uint32_t tflite_transpose(struct tflite_op *op, uint32_t tensor, uint32_t rank,
			  const int64_t *perm);
uint32_t tflite_reshape(struct tflite_op *op, uint32_t tensor, uint32_t rank,
			const int64_t *dims);

/* @tensor limited to @least .. @most. */
uint32_t tflite_clip(struct tflite_op *op, uint32_t tensor, float least, float most);

/* Output @i of the operator is @tensor, with channels first or as in the file. */
void tflite_output(struct tflite_op *op, uint32_t i, uint32_t tensor, bool first);

/* The same of output 0 behind the activation that the options name in @field. */
void tflite_finish(struct tflite_op *op, uint32_t tensor, bool first, uint32_t field);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Inside the compiler. In the order in which they work: calibrate.c finds scales,
 * quantize.c makes weights, measure.c finds what each format costs, choose.c
 * chooses, lower.c writes commands, with memory laid out by plan.c, and tune.c
 * runs the result to correct biases and to learn the errors, of the best few choices.
 */
#ifndef XRNPE_COMPILE_H
#define XRNPE_COMPILE_H

#include "datapath.h"
#include "graph.h"
#include "model.h"

/* The formats that multiply are 0 .. COMPILE_FORMATS - 1 of enum xrnpe_format. */
#define COMPILE_FORMATS XRNPE_FORMAT_F32
#define COMPILE_ALL_FORMATS ((1u << COMPILE_FORMATS) - 1)

/* A node's weights in one format, laid out as CONV2D and MATMUL read them. */
struct quantized {
	void *codes;
	size_t size;		/* bytes of codes */
	uint32_t row_stride;	/* bytes from an output channel to the next */
	uint32_t pixel_stride;	/* bytes from a tap to the next */
	float *scales;		/* by output channel: a weight is code value * scale */
};

/* What it costs to round a node's weights, or its inputs, to one format, alone. */
struct loss {
	double error;		/* relative error of the node's output; < 0: unknown */
	double effect;		/* relative squared error of the network's output */
};

/* What it costs to run a node in a pair of formats. */
struct option {
	uint64_t bytes;		/* weights, scales and biases */
	double effect;		/* as in struct loss; INFINITY: there is no such option */
	double cycles;
};

/* Pairs of formats, and the pair of an option's index. */
#define COMPILE_OPTIONS (COMPILE_FORMATS * COMPILE_FORMATS)

struct choice {
	enum xrnpe_format weight, input;
};

static inline struct choice compile_choice(uint8_t option)
{
	return (struct choice){ option / COMPILE_FORMATS, option % COMPILE_FORMATS };
}

static inline uint8_t compile_option(enum xrnpe_format weight, enum xrnpe_format input)
{
	return (uint8_t)(weight * COMPILE_FORMATS + input);
}

struct node_plan {
	bool chooses;		/* reads numbers in a format of its own choice */
	/*
	 * The formats of its weights and of its inputs. Weights of one (see
	 * quantize_node()) are exact in any format: they have that of the inputs.
	 */
	struct choice choice;
	enum xrnpe_format residual;	/* of the tensor that a CONV adds, if it does */
	uint32_t root;		/* node whose scale the tensor has: MAXPOOL keeps it */
	float scale[COMPILE_FORMATS];	/* of the tensor in each format */
	float *samples;		/* of the tensor, zeros left out */
	uint32_t sample_count;
	double *energy;		/* of each channel of the tensor: sum of squares */
	struct quantized weight[COMPILE_FORMATS];
	struct loss weight_loss[COMPILE_FORMATS];
	struct loss input_loss[COMPILE_FORMATS];	/* of a CONV: of what it multiplies */
	struct loss residual_loss[COMPILE_FORMATS];
	float *bias;		/* by output channel; NULL: none */
	double error;		/* relative error of the output in the compiled model */
	uint32_t cmd;		/* index of its command */
};

struct compiler {
	const struct xrnpe_graph *graph;
	const struct xrnpe_compile_options *options;
	struct xrnpe_error *error;
	struct xrnpe_datapath *datapath;
	struct node_plan *plan;		/* by node */
	uint64_t budget;
	struct reference **images;	/* FP32 tensors of some calibration inputs */
	uint32_t image_count;
	size_t step, steps;		/* for the progress callback */
};

/* Count a step. Returns 0 or -ECANCELED. */
int compile_step(struct compiler *compiler);

/* ---- calibrate.c ------------------------------------------------------- */

/* Sample every tensor over all calibration inputs; keep some inputs whole. */
int calibrate_run(struct compiler *compiler);

/* Set plan[].scale and plan[].root from the samples. */
int calibrate_scales(struct compiler *compiler);

/*
 * The scale with which @count values lose least in @format: the sum of squared
 * errors, each times @importance[i] (NULL: 1), is smallest. 1 if all are zero.
 * @scratch has room for 2 * @count floats.
 */
float calibrate_scale(enum xrnpe_format format, const float *values, const double *importance,
		      size_t count, float *scratch);

/* ---- quantize.c -------------------------------------------------------- */

/*
 * Weights of @node in @format. A pooling or a NORM has weights of one and puts its
 * factor into the scales. @energy: of the channels of the tensor that it reads.
 */
int quantize_node(const struct xrnpe_graph *graph, const struct graph_node *node,
		  const double *energy, enum xrnpe_format format, struct quantized *out);
void quantize_free(struct quantized *quantized);

/* The weights of a CONV as they are after rounding, in the layout of graph_node.weight. */
void quantize_restore(const struct xrnpe_graph *graph, const struct graph_node *node,
		      const struct quantized *quantized, enum xrnpe_format format,
		      float *weight);

/* Round @count reals to multiples of @scale that @format holds. */
void quantize_round(enum xrnpe_format format, float scale, const float *values, size_t count,
		    float *rounded);

/* Bytes of a tensor of @shape in memory, pixels packed. */
size_t quantize_tensor_size(const struct graph_shape *shape, enum xrnpe_format format);

/* From C x H x W reals to the device's layout and back; one real is code * @scale. */
void quantize_pack(const struct graph_shape *shape, enum xrnpe_format format, float scale,
		   const float *values, void *memory);
void quantize_unpack(const struct graph_shape *shape, enum xrnpe_format format, float scale,
		     const void *memory, float *values);

/* ---- measure.c --------------------------------------------------------- */

/* Make the weights of every node in all formats, and fill the losses in plan[]. */
int measure_losses(struct compiler *compiler);

/* ---- choose.c ---------------------------------------------------------- */

/* Choices that are tried on the whole network. */
#define COMPILE_CANDIDATES 4

/*
 * Of each of @count rows of options choose one, such that their bytes are at most
 * @budget and the product of error and cycles (see choose.c) is least.
 *
 * @chosen: room for COMPILE_CANDIDATES x @count; the best choices found, best first
 * @found: how many they are, at least 1
 *
 * Returns 0, -ENOSPC, -ENOMEM.
 */
int choose_options(const struct option (*options)[COMPILE_OPTIONS], uint32_t count,
		   uint64_t budget, uint8_t *chosen, uint32_t *found);

/* ---- plan.c ------------------------------------------------------------ */

/* Memory in use from command @first to command @last, both included. */
struct plan_buffer {
	uint64_t size;
	uint32_t first, last;
	uint64_t offset;	/* out: multiple of PLAN_ALIGN */
};

#define PLAN_ALIGN 64

/* Place buffers so that those in use at one time do not overlap. */
int plan_buffers(struct plan_buffer *buffers, uint32_t count, uint64_t *total);

/* ---- lower.c ----------------------------------------------------------- */

/* Whether @node is a product with weights: a CONV2D or MATMUL. */
bool lower_multiplies(const struct graph_node *node);

/* Whether @node is a product that adds another tensor to its result. */
bool lower_adds(const struct graph_node *node);

/* The command of @node but for memory and numbers: opcode, activation, flags, dimensions. */
void lower_command(const struct xrnpe_graph *graph, const struct graph_node *node,
		   struct xrnpe_cmd *cmd);

/* Make @cmd one that applies no activation. */
void lower_without_activation(struct xrnpe_cmd *cmd);

/* An operand of @cmd that is a tensor of @shape, pixels packed. */
void lower_operand(const struct xrnpe_cmd *cmd, const struct graph_shape *shape,
		   enum xrnpe_format format, struct xrnpe_operand *operand);

/* The operands of @cmd, @node's command, that are constants; offsets are left zero. */
void lower_constants(const struct graph_node *node, const struct quantized *weight,
		     enum xrnpe_format format, struct xrnpe_cmd *cmd);

/* Number of the command's scale records, and their values for the given scales. */
uint32_t lower_scale_count(const struct graph_node *node);
void lower_scales(const struct graph_node *node, const struct quantized *weight,
		  const float *bias, const float *in_scales, float out_scale,
		  struct xrnpe_scale *out);

/* Write the model for the formats in plan[].format. */
int lower_model(struct compiler *compiler, struct xrnpe_model **model);

/* ---- tune.c ------------------------------------------------------------ */

/*
 * Run @model on the kept calibration inputs, command by command. Where a layer's
 * outputs are off by a constant, correct its biases. Sets plan[].error.
 */
int tune_model(struct compiler *compiler, struct xrnpe_model *model);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Inside the compiler. In the order in which they work: inputs.c looks at the calibration
 * data; place.c and its kin decide where and how each node runs, split.c which are several,
 * order.c puts nodes in order, memory.c finds tensors that share memory; calibrate.c runs
 * the data, scale.c finds scales, given.c takes those of the file; moments.c, round.c and
 * quantize.c make weights, measure.c and effect.c find what each format costs; options.c
 * lists what there is to choose, choices.c and choose.c choose, trials.c remembers what was
 * tried; lower.c writes a model: commands by command.c and table.c, of tensors in versions.c,
 * in memory laid out by plan.c, and what surrounds them by steps.c and describe.c; and tune.c
 * runs the result to correct biases and to learn the errors, of the best few choices, task.c
 * what they lose of what the network is for; of the one that is taken reround.c makes weights
 * again. points.c makes of several one model, whose constants share.c lays out. limits.c reads
 * what users write. Documentation/compiler.rst tells the story.
 */
#ifndef XRNPE_COMPILE_H
#define XRNPE_COMPILE_H

#include "bytes.h"
#include "datapath.h"
#include "graph.h"
#include "image.h"
#include "model.h"

/* The formats that multiply are 0 .. COMPILE_FORMATS - 1 of enum xrnpe_format. */
#define COMPILE_FORMATS XRNPE_FORMAT_F32
#define COMPILE_ALL_FORMATS ((1u << COMPILE_FORMATS) - 1)
#define COMPILE_FOUR_BITS (1u << XRNPE_FORMAT_FP4 | 1u << XRNPE_FORMAT_P4)

/* ---- what a node becomes ----------------------------------------------- */

enum place_kind {
	PLACE_CPU,	/* computed on the CPU, as the reference is */
	PLACE_WEIGHTS,	/* CONV2D or MATMUL with constant weights; may add another tensor */
	PLACE_AVERAGE,	/* CONV2D, depthwise, with weights of one, or those of an interpolation */
	PLACE_MATMUL,	/* MATMUL of two tensors */
	PLACE_PAIR,	/* ADD, MUL, MAX or MIN of two tensors */
	PLACE_CONVERT,	/* CONVERT: a factor, an offset, an activation */
	PLACE_TABLE,	/* LUT */
	PLACE_POOL,	/* MAXPOOL: codes are compared, and not changed */
	PLACE_COPY,	/* COPY, likewise */
	PLACE_PART,	/* no command: the outputs are (parts of) the input in memory */
	PLACE_JOIN,	/* the output is made of its inputs, copied where they do not lie there */
};

/* An operand of a node's command that is a tensor. */
struct place_read {
	uint32_t tensor;
	enum xrnpe_operand_index operand;
	/* As the command sees it: the same memory as the tensor's image, divided otherwise. */
	struct image image;
	bool repeat_rows, repeat_pixels;	/* one line, one pixel for all */
	float factor;		/* ADD: of the operand */
};

#define PLACE_READS 2

/* Constant weights: weight[n][c][t] of an output channel, an input channel of its group, a tap. */
struct weights {
	uint32_t tensor;	/* GRAPH_NONE: @fixed, for all channels alike */
	/* Elements from one to the next in the tensor: groups, channels of a group, and so on. */
	size_t stride_group, stride_n, stride_c, stride_t;
	uint32_t out_c, in_c, taps, groups;
	/* By tap: which of the tensor's it is, or GRAPH_NONE: zero. NULL: in their order. */
	uint32_t *order;
	float *fixed;		/* by tap; NULL: all are one, for an average */
};

/* What of an input is what of an output, where nothing is computed. */
struct place_part {
	uint32_t input, output;	/* indices into the node's */
	struct image_part from, to;
	uint32_t h, w, c;	/* size */
};

/*
 * One of several commands that make a node's output together: each other elements of it
 * (transposed convolutions, interpolation, channels that something is added to), or each a
 * part of all sums, which the next one adds to its own.
 */
struct place_piece {
	struct xrnpe_cmd cmd;	/* as that of struct place */
	struct image_part from;	/* what it reads of the first input */
	/* What it writes, and reads of a tensor that is added: of that from the first channel on. */
	struct image_part to;
	uint32_t tap, channel, row;	/* its first weight; @row: output channel */
	/* It goes on with the sums of the piece before, and leaves its own to the next. */
	bool continues, partial;
};

struct place {
	enum place_kind kind;
	const char *why;	/* PLACE_CPU: why not on the device */
	struct xrnpe_cmd cmd;	/* but for operands, scales and limits */
	struct place_read reads[PLACE_READS];
	uint32_t read_count;
	struct graph_activation activation;
	struct weights weights;
	/* The result times @factor plus @bias, by channel, or one for all; NULL: 1, 0. */
	float *factor, *bias;
	float *slope;		/* XRNPE_ACT_PRELU: by channel */
	float fill;		/* of a COPY with a border */
	uint32_t scale_count;	/* scale records of the command */
	struct place_part *parts;	/* PLACE_PART, JOIN; none if an output is the same */
	uint32_t part_count;
	struct place_piece *pieces;	/* none: @cmd is all */
	/* The output as the command sees it, packed; @c is 0: as it is. */
	struct image write;
	uint32_t piece_count;
};

/* ---- numbers ----------------------------------------------------------- */

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
	uint64_t bytes;		/* weights, scales, biases, and its part of a table */
	uint64_t table, whole;	/* of bytes, that part, and what a table of its own takes; 0: it has none */
	double effect;		/* as in struct loss; INFINITY: there is no such option */
	double cycles, picojoules;
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

/* ---- the state --------------------------------------------------------- */

struct tensor_plan {
	/* Of a tensor that a device reads or writes; @c is 0 as long as nobody does. */
	struct image image;
	bool wide;		/* must not be in 4 bits: its pixels would end within a byte */
	bool unbounded;		/* of the CPU, and has numbers that no format holds beside others */
	/*
	 * Memory. @same: the tensor that it is, under another name; itself mostly. That one
	 * may be a part of a larger one, @base; else @base is @same.
	 */
	uint32_t same, base;
	struct image_part part;	/* of the base's image */
	bool given;		/* an input of the graph, or computed by the CPU: binary32 at first */
	bool cut;		/* a part of one that is given, in its memory */
	uint32_t root;		/* tensor whose scale it has: where codes only move */
	float scale[COMPILE_FORMATS];	/* in each format */
	float *samples;		/* zeros left out */
	uint32_t sample_count;
};

struct node_plan {
	struct place place;
	bool chooses;		/* reads numbers in a format of its own choice */
	bool is_given;		/* or in @given, which the caller chose, as far as it can be read */
	struct xrnpe_layer_formats given;
	/*
	 * The formats of its weights and of its inputs. Weights that no tensor holds (see
	 * quantize_is_exact()) have that of the inputs.
	 */
	struct choice choice;
	enum xrnpe_format residual;	/* of the tensor that a PLACE_WEIGHTS adds, if it does */
	struct quantized weight[COMPILE_FORMATS];
	struct loss weight_loss[COMPILE_FORMATS];
	struct loss input_loss[COMPILE_FORMATS];	/* but for a residual */
	struct loss residual_loss[COMPILE_FORMATS];
	/*
	 * Of a PLACE_WEIGHTS: by channel of each kept input that numbers are fitted to, of images and
	 * then of more_images, what the output in binary32 is before its activation, on average.
	 */
	double *exact_means;
	double error;		/* relative error of the first output in the compiled model */
	uint32_t layer;		/* index of its layer; GRAPH_NONE: it has none */
	/*
	 * Its commands, and which of them computes, or is the first of its pieces; on the CPU:
	 * index in the model's graph.
	 */
	uint32_t first_cmd, cmd, end_cmd;
	/* On the device: the step of its commands, or that follows, and where what it writes is there. */
	uint32_t step, written_cmd;
};

/* Where the network ends: a tensor whose errors are the network's. */
struct end {
	uint32_t tensor;
	bool probability;	/* of a sigmoid: errors are judged relative to 1 */
};

/* What labels tell, by inputs that nothing is fitted to. */
struct task {
	bool classes;		/* else outputs, as they should be */
	size_t *inputs, count;	/* calibration inputs */
	double *exact;		/* how wrong binary32 is for each */
};

struct compiler {
	const struct xrnpe_graph *source;	/* the caller's */
	/*
	 * A copy that shares the source's constants, with nodes in the order in which they
	 * run, and with nodes added that only the device needs. Tensors of the source keep
	 * their index.
	 */
	struct xrnpe_graph *graph;
	const struct xrnpe_compile_options *options;
	struct xrnpe_energy energy;	/* figures by which it is told */
	struct xrnpe_error *error;
	struct node_plan *nodes;
	struct tensor_plan *tensors;
	/* Calibration inputs: first those that numbers are fitted to, then those kept aside. */
	size_t *inputs;
	size_t fitted_count, unseen_wanted;
	struct task task;
	/*
	 * FP32 tensors of some of the first, and behind them of those that nothing is fitted to: of
	 * some of these all, of the others where the network begins and ends, else NULL.
	 */
	struct reference **images;
	uint32_t image_count, unseen_count;
	/* More that numbers are fitted to, where that is done but once. */
	struct reference **more_images;
	uint32_t more_count;
	/*
	 * Formats are compared on so many of image_count at a time, with weights that were rounded
	 * for the others. 0: there are too few for that.
	 */
	uint32_t judge_count;
	struct end *ends;
	uint32_t end_count;
	/* Root of the ends' squared errors, on all inputs, in the model tuned last. */
	double output_error;
	size_t step, steps;		/* for the progress callback */
};

/* Everything of a compiler but what its caller set. */
int compile_prepare(struct compiler *compiler);
void compile_clean_up(struct compiler *compiler);

/* Count a step. Returns 0 or -ECANCELED. */
int compile_step(struct compiler *compiler);

/* Tell the caller something that does not stop the compiler. */
__attribute__((format(printf, 2, 3)))
void compile_note(const struct compiler *compiler, const char *format, ...);

/* Whether node @n is a product with weights, and adds another tensor to its result. */
static inline bool compile_adds(const struct node_plan *plan)
{
	return plan->place.kind == PLACE_WEIGHTS && plan->place.read_count == 2;
}

static inline bool compile_on_device(const struct node_plan *plan)
{
	return plan->place.kind != PLACE_CPU;
}

/* The bytes that @tensor is given as, if it is such an input, else NULL. */
static inline const struct graph_bytes *compile_bytes(const struct compiler *compiler, uint32_t tensor)
{
	for (uint32_t i = 0; i < compiler->source->input_count; i++) {
		if (compiler->source->inputs[i] == tensor)
			return bytes_input(compiler->source, i);
	}
	return NULL;
}

static inline uint32_t compile_output(const struct compiler *compiler, uint32_t n)
{
	return compiler->graph->nodes[n].outputs[0];
}

/* ---- place.c ----------------------------------------------------------- */

/* Make compiler->graph, and fill places and images. */
int place_nodes(struct compiler *compiler);
void place_free(struct place *place);

/* Commands that compute a node's output, and the @k-th of them. */
static inline uint32_t place_pieces(const struct place *place)
{
	return place->piece_count ? place->piece_count : 1;
}

static inline struct place_piece place_piece(const struct place *place, uint32_t k)
{
	return place->piece_count ? place->pieces[k] : (struct place_piece){
		.cmd = place->cmd, .from = IMAGE_WHOLE, .to = IMAGE_WHOLE,
	};
}

/* The output as commands of @place see it, which is a tensor of @image. */
static inline const struct image *place_written(const struct place *place, const struct image *image)
{
	return place->write.c ? &place->write : image;
}

/* ---- place_relayout.c --------------------------------------------------- */

/* Whether @node is one that was added to copy a tensor to where a reader wants it. */
bool place_is_relayout(const struct graph_node *node);

/* ---- order.c ----------------------------------------------------------- */

/* Order nodes so that few times the device waits for the CPU, or it for the device. */
int order_nodes(struct compiler *compiler);

/* ---- memory.c ---------------------------------------------------------- */

/* Which tensors lie in others, and have their scale: fill base, part, wide and root. */
int memory_share(struct compiler *compiler);

/* ---- inputs.c ---------------------------------------------------------- */

/* That there are data for each input, as many of each, and of its shape. */
int inputs_check(struct compiler *compiler);

/* How many inputs there are data of. */
size_t inputs_count(const struct compiler *compiler);

/*
 * Fill compiler->inputs, and, if there are labels, those of compiler->task; say what is odd about
 * the data. Returns 0, -ENOMEM, or -EINVAL: a value is not finite, or all are zero.
 */
int inputs_choose(struct compiler *compiler);

/* ---- task.c ------------------------------------------------------------ */

/*
 * Check labels, if there are any, and run the network in binary32. Returns 0, -ENOMEM, or -EINVAL:
 * they do not fit, or are too few for the limit of what is lost.
 */
int task_prepare(struct compiler *compiler);

/* Steps that a run of all of the task's inputs counts. */
size_t task_steps(const struct compiler *compiler);

/* What is lost at most, for all that is known: with a certainty of 95 %. */
double task_most_loss(const struct xrnpe_task *task);

/* Set @model->task; for a compiler with labels. */
int task_measure(struct compiler *compiler, struct xrnpe_model *model);

/* ---- calibrate.c ------------------------------------------------------- */

/* Values kept of a tensor, of all inputs together. */
#define COMPILE_SAMPLES 8192

/* Sample every tensor over all inputs that numbers are fitted to; keep some inputs whole. */
int calibrate_run(struct compiler *compiler);

/* ---- scale.c ----------------------------------------------------------- */

/* Set tensors' scales: those that the file gives, others from the samples. */
int scale_tensors(struct compiler *compiler);

/* The least positive value of @format. */
double scale_least(enum xrnpe_format format);

/*
 * The scale with which @count values lose least in @format: the sum of squared
 * errors, each times @importance[i] (NULL: 1), is smallest. 1 if all are zero.
 * @zero: what is nearer to zero than to the least value becomes zero, which a posit's
 * own rounding never does. @scratch has room for 2 * @count floats.
 */
float scale_find(enum xrnpe_format format, const float *values, const double *importance,
		 size_t count, bool zero, float *scratch);

/* ---- given.c ----------------------------------------------------------- */

/*
 * Replace scales of tensors by those that the file gives. Returns 0, -ENOMEM, or -EINVAL: they
 * do not fit, which is also said of those of weights.
 */
int given_take_scales(struct compiler *compiler);

/*
 * The scales of node @n's weights in @format, by output channel, as the file gives them: the
 * node was trained in that format, and its biases stay as they are. NULL: it gives none.
 */
const float *given_weight_scales(const struct compiler *compiler, uint32_t n,
				 enum xrnpe_format format);

/* ---- quantize.c -------------------------------------------------------- */

struct moments;

/*
 * Weights of @weights, whose values are @values, in @format, with regard to the @moments of
 * what they are multiplied by; not for weights that an operator has by its nature. Of
 * these, those of one have scales of 1 / taps: an average. Returns 0 or -ENOMEM.
 *
 * @scales: by output channel, to whose nearest multiples weights are rounded; NULL: to be found
 * @shared: by as many threads as there are; else one does it all
 */
int quantize_weights(const struct weights *weights, const float *values,
		     const struct moments *moments, const float *scales,
		     enum xrnpe_format format, bool shared, struct quantized *out);
void quantize_free(struct quantized *quantized);

/* Whether @format holds the weights that an operator has by its nature, without an error. */
bool quantize_is_exact(const struct weights *weights, enum xrnpe_format format);

/* Make nodes[@n].weight[@format], if the node has weights. Returns 0 or -ENOMEM. */
int quantize_node(struct compiler *compiler, uint32_t n, const struct moments *moments,
		  enum xrnpe_format format);

/* Weights as they are after rounding, in the layout of their tensor. */
void quantize_restore(const struct weights *weights, const struct quantized *quantized,
		      enum xrnpe_format format, float *values);

/* Round @count reals to multiples of @scale that @format holds. */
void quantize_round(enum xrnpe_format format, float scale, const float *values, size_t count,
		    float *rounded);

/* ---- measure.c --------------------------------------------------------- */

/*
 * The output of @node before its activation, to @out: from @tensors (by tensor; that of the
 * output is changed) and @added, which is what it adds, or NULL.
 */
void measure_linear(struct reference *ref, const struct graph_node *node, void **tensors,
		    const float *added, float *out);

/* Fill compiler->ends. */
int measure_find_ends(struct compiler *compiler);

/* Steps that measure_losses() counts. */
size_t measure_steps(const struct compiler *compiler);

/* Make the weights of every node in all formats, and fill the losses in nodes[]. */
int measure_losses(struct compiler *compiler);

/* ---- options.c --------------------------------------------------------- */

/* Whether node @n can read all its inputs in format @input. */
bool options_allow(const struct compiler *compiler, uint32_t n, enum xrnpe_format input);

/* The formats that the caller gave for node @n; NULL: it is the compiler's choice. */
const struct xrnpe_layer_formats *options_given(const struct compiler *compiler, uint32_t n);

/* The format that is given for what a layer adds. */
enum xrnpe_format options_given_added(const struct xrnpe_layer_formats *given);

/*
 * Fill nodes[].given. Checks that layers for which the caller gave formats are there, and can read
 * them; of what is given for all, those that cannot read it have the least bits that they can.
 */
int options_check_given(struct compiler *compiler);

/*
 * What node @n may be run in; weights of no tensor are in the format of the inputs. A node
 * that does not choose has one option, which is nothing.
 */
void options_list(const struct compiler *compiler, uint32_t n, struct option options[COMPILE_OPTIONS]);

/* The formats of what node @n adds to its product; its time is that of moving it. */
void options_list_residual(const struct compiler *compiler, uint32_t n,
			   struct option options[COMPILE_OPTIONS]);

/* ---- choices.c --------------------------------------------------------- */

/* The model that suits the limits best. */
int choices_find_model(struct compiler *compiler, struct xrnpe_model **model);

/* ---- choose.c ---------------------------------------------------------- */

struct choose_limits {
	uint64_t bytes;
	double cycles, picojoules;	/* INFINITY: none */
	double effect;		/* > 0: the least cost with no more of it; 0: the least of it */
	/* What costs are then: shares of the most that there can be, times this. */
	struct choose_price {
		double bytes, cycles, picojoules;
	} price;
};

/*
 * Of each of @count rows of options choose one (see choose.c). Where a limit other than that
 * of bytes cannot be kept, what comes closest to it.
 *
 * @chosen: room for @count; indices of options
 *
 * Returns 0, -ENOSPC (bytes), -ENOMEM.
 */
int choose_options(const struct option (*options)[COMPILE_OPTIONS], uint32_t count,
		   const struct choose_limits *limits, uint8_t *chosen);

/* ---- plan.c ------------------------------------------------------------ */

/* Memory in use from time @first to time @last, both included. */
struct plan_buffer {
	uint64_t size;
	uint32_t first, last;
	uint64_t offset;	/* out: multiple of PLAN_ALIGN */
};

#define PLAN_ALIGN 64

/* Place buffers so that those in use at one time do not overlap. */
int plan_buffers(struct plan_buffer *buffers, uint32_t count, uint64_t *total);

/* ---- lower.c ----------------------------------------------------------- */

/* An operand of a command: @part of @image, which is packed and begins at 0. */
void lower_operand(const struct xrnpe_cmd *cmd, const struct image *image,
		   const struct image_part *part, enum xrnpe_format format,
		   struct xrnpe_operand *operand);

/*
 * The command of a piece of node @plan, which writes a tensor of @image, for @choice, all of
 * its tensors packed: what it costs, and whether it is legal, does not depend on places.
 */
struct xrnpe_cmd lower_packed(const struct node_plan *plan, const struct place_piece *piece,
			      const struct image *image, struct choice choice);

/* What all commands of a node cost that writes @image. */
struct xrnpe_counters lower_cost(const struct node_plan *plan, const struct image *image,
				 struct choice choice);

/* Bytes of one of a command's scale records. */
uint32_t lower_scale_size(const struct place *place);

/* Make @cmd one that applies no activation. */
void lower_without_activation(struct xrnpe_cmd *cmd);

/* Write the model for the formats in nodes[]. */
int lower_model(struct compiler *compiler, struct xrnpe_model **model);

/* ---- tune.c ------------------------------------------------------------ */

/*
 * Run @model on the kept calibration inputs, command by command. Where a layer's
 * outputs are off by a constant, correct its biases. Sets nodes[].error.
 *
 * @again: round weights again before, for what the layers before them really give
 */
int tune_model(struct compiler *compiler, struct xrnpe_model *model, bool again);

#endif

/* SPDX-License-Identifier: MIT */
/* Inside placing: what place.c offers to the functions that place one kind of operator. */
#ifndef XRNPE_PLACE_H
#define XRNPE_PLACE_H

#include "compile.h"
#include "operator.h"

/* A node while it is placed. */
struct placing {
	struct compiler *compiler;
	struct graph_node *node;
	struct place *place;
	const char *whole;	/* why the node was not split into such as have commands; NULL: it cannot be */
	/* How an input lies that the command reads as another image of the same bytes; @c is 0: none. */
	struct image lies;
	bool unbounded;		/* its results, from the CPU, have numbers that no format holds beside others */
	bool no_memory;		/* then what is returned does not matter */
};

/*
 * Fill p->place but for kind CPU. Returns NULL, or why the device cannot do it. All checks
 * come before the first place_read(), which may add nodes.
 */
typedef const char *place_function(struct placing *p);

place_function place_convolution, place_transposed_convolution, place_gemm, place_matmul,
	place_max_pool, place_average_pool, place_global, place_reduction, place_normalization,
	place_arithmetic, place_prelu, place_activation, place_hard_sigmoid, place_negation, place_absolute, place_table,
	place_power, place_alias, place_transpose, place_slice, place_split, place_gather,
	place_repeat, place_concat, place_pad,
	place_resize, place_depth_to_space, place_space_to_depth;

#define PLACE_TOO_LARGE "a size is more than the device's commands hold"
#define PLACE_NOT_ITS_AXES "moves along an axis that its image does not have"
#define PLACE_NO_IMAGE "its input is no image of one batch element"
#define PLACE_LARGE_WINDOWS "its windows are larger than 255"
#define PLACE_COMPUTED_WEIGHTS "its weights are computed"

/* Append a tensor, which is unknown yet, to the compiler's. */
int place_new_tensor(struct compiler *compiler, uint32_t *made);

/* Append a node, which is taken, with its place. */
int place_append(struct compiler *compiler, const struct graph_node *node, const struct place *place);

/* The node that computes @tensor, if it has been added; GRAPH_NONE: none does. */
uint32_t place_producer(const struct compiler *compiler, uint32_t tensor);

/* Inputs and the first output. NULL: there is no such input. */
const struct graph_tensor *place_input(const struct placing *p, uint32_t i);
const struct graph_tensor *place_output(const struct placing *p);

/* The data of input @i, if it is a constant of floats, else NULL. */
const float *place_constant(const struct placing *p, uint32_t i);

/*
 * Say that a constant of the node has numbers that no format holds beside others, and with it its
 * results. Returns that as the reason why it is on the CPU.
 */
const char *place_unbounded(struct placing *p);

/*
 * The image that input @i has where it fits the tensor's shape, so that axes can be told;
 * one that suits its shape else. False: its shape suits none.
 */
bool place_image(const struct placing *p, uint32_t i, struct image *image);

/* Whether one of the nodes that read @tensor slides windows over images. */
bool place_is_image(const struct compiler *compiler, uint32_t tensor);

/* Whether what operator @op computes is its input under another name. */
bool place_is_alias(const char *op);

/*
 * The image of a tensor; @c is 0: nobody has decided yet. Of those that are one under several names
 * any may have been given it.
 */
const struct image *place_find_image(const struct compiler *compiler, uint32_t tensor);
void place_set_image(struct compiler *compiler, uint32_t tensor, const struct image *image);

/* Input @i as it lies in memory; false: nobody has decided yet. */
bool place_memory(const struct placing *p, uint32_t i, struct image *image);

/* Let the command read input @i as @image. What lies in memory otherwise is copied. */
void place_read(struct placing *p, uint32_t i, enum xrnpe_operand_index operand,
		const struct image *image);

/* The same for a node without a command, whose inputs lie exactly so. */
void place_exact(struct placing *p, uint32_t i, const struct image *image);

/* Let it read the tensor that is added to a product, if there is one. */
void place_residual(struct placing *p, const struct image *image);

/* The image of output @i. */
void place_write(struct placing *p, uint32_t i, const struct image *image);

/* ---- copies (place_relayout.c) ----------------------------------------- */

/*
 * A copy of @tensor, which has an image, that lies as @image, by nodes that are appended unless there
 * is one already. Where channels are outermost in both, and others in each, it takes two steps, by
 * way of C order. Returns 0 or -ENOMEM.
 */
int place_relayout(struct compiler *compiler, uint32_t tensor, const struct image *image,
		   uint32_t *copy);

/* ---- products (place_product.c) ---------------------------------------- */

/* The windows over lines and over pixels; the first is trivial for one axis. */
struct graph_window place_lines(const struct graph_windows *windows);
struct graph_window place_pixels(const struct graph_windows *windows);

bool place_window_fits(const struct graph_window *w);

/* The images that a node with windows reads and writes. */
const char *place_window_images(const struct placing *p, struct image *in, struct image *out);

/* Let @cmd slide windows over @in to make @out. */
void place_windows(struct xrnpe_cmd *cmd, enum xrnpe_opcode opcode, const struct image *in,
		   const struct image *out, const struct graph_window *h,
		   const struct graph_window *w, uint32_t groups);

/* Take the slopes of @channels from input @i. Returns NULL, or why the device cannot. */
const char *place_slopes(struct placing *p, uint32_t i, uint32_t channels);

/* Take the biases from input 2, if there is one. False: it is computed. */
bool place_biases(struct placing *p, uint32_t channels);

/*
 * Reads, writes and scales of a node with place->weights, whose commands are set but for
 * these: sums too long for one command are divided.
 */
void place_weights(struct placing *p, const struct image *in, const struct image *out);

/* The same of one whose weights are one, or place->weights.fixed, for each channel. */
void place_average(struct placing *p, const struct image *in, const struct image *out);

/* Averages in windows from @in to @out: a depthwise convolution with weights of one. */
const char *place_averages(struct placing *p, const struct image *in, const struct image *out,
			   const struct graph_window *h, const struct graph_window *w);

/* The largest in windows likewise. */
const char *place_maxima(struct placing *p, const struct image *in, const struct image *out,
			 const struct graph_window *h, const struct graph_window *w);

/* Multiply every element by one, in a command that has what others lack. */
void place_depthwise(struct placing *p, const struct image *image);

/* ---- reductions (place_reduce.c) --------------------------------------- */

/*
 * Windows that each cover the channels of one pixel of @image, whose memory is taken as
 * pixels of one channel, @view: a part of a line of them, or, if they are more than a window has
 * pixels, several lines. Returns NULL, or why there are none.
 */
const char *place_channels(const struct image *image, struct image *view, struct graph_window *h,
			   struct graph_window *w);

/*
 * Windows that each cover a column of @image, a line of it, or all of it, which is taken as lines of
 * another length, @view, if its own are longer than windows. False: they are larger than those are.
 */
bool place_pixel_windows(const struct image *image, bool of_lines, bool of_pixels, struct image *view,
			 struct graph_window *h, struct graph_window *w);

/*
 * Which axes of the image of input 0, *@in, the node reduces, all others false before. Returns NULL,
 * or why they are none that windows cover.
 */
const char *place_reduced(const struct placing *p, struct image *in, bool reduced[IMAGE_NONE]);

/* ---- nodes that become several (split.c) ------------------------------- */

/*
 * If node @n of the source is better computed as several of other operators, append these to
 * compiler->graph, without their places. @count: how many; 0: it is not. @whole: why not, if its
 * operator is one that can be; else NULL.
 */
int split_node(struct compiler *compiler, uint32_t n, uint32_t *count, const char **whole);

/* ---- moves (place_move.c, place_parts.c, place_permute.c) --------------- */

/* The order by whose name rows, pixels and elements of the input are these axes of the output. */
enum xrnpe_order place_order(const enum image_axis axes[3]);

/*
 * Which of an image's axes @axis of @shape is, as image_axis() says, or one that is the outermost
 * of several that make lines: then each element of it has *@lines.
 */
enum image_axis place_axis(const struct graph_shape *shape, const struct image *image,
			   uint32_t axis, uint32_t *lines);

/* Where @part begins along an axis of an image. */
uint32_t *place_begin(struct image_part *part, enum image_axis axis);

/* The image of output @i, with axes where the input, which is @in, has them. */
bool place_output_image(const struct placing *p, uint32_t i, const struct image *in,
			struct image *out);

/* Input 0 so many times along each axis, in a part each. */
const char *place_repetitions(struct placing *p, const struct image *in, const struct image *out,
			      const uint32_t repeats[3]);

/* A Pad with what the input has elsewhere. */
const char *place_frame(struct placing *p, const struct image *in, const struct image *out);

/*
 * One copy for each place in a block, between the image of few channels, whose pixels
 * are apart, and that of many. @few_first: the input is the former
 */
const char *place_blocks(struct placing *p, bool few_first);

/* Input 0, taken to be of @shape, with its axes in the order of @perm. */
const char *place_permutation(struct placing *p, const struct graph_shape *shape,
			      const uint32_t *perm);

/* ---- pieces (place_pieces.c) ------------------------------------------- */

/* Room for @count pieces, each the whole command, for the caller to fill. False: no memory. */
bool place_in_pieces(struct placing *p, uint32_t count);

/* Let @piece add up one of @count parts of all sums, the @i-th. */
void place_sum(struct place_piece *piece, uint32_t i, uint32_t count);

/* An AveragePool whose windows are divided by different numbers, at the border. */
const char *place_uneven(struct placing *p, const struct image *in, const struct image *out);

/*
 * Averages of all lines, of all pixels, or of both, of which there may be more than a window or a
 * sum has.
 */
const char *place_tiles(struct placing *p, const struct image *in, const struct image *out,
			bool of_lines, bool of_pixels);

/* Whether a Resize of @in to @out, without a filter, has few enough sets of weights for the following. */
bool place_interpolates(const struct graph_node *node, const struct graph_shape *in,
			const struct graph_shape *out);

/* A Resize from @in to @out, by weighted averages. */
const char *place_interpolation(struct placing *p, const struct image *in, const struct image *out);

/*
 * If what a product adds is a tensor with channels of zeros around it, add that to some channels
 * alone, where this is faster.
 */
void place_unpadded(struct placing *p);

/* ---- nodes without a command ------------------------------------------- */

/* Room for @count parts, for the caller to fill. False: p->no_memory is set. */
bool place_parts(struct placing *p, enum place_kind kind, uint32_t count);

/* Output @i is input 0 under another name: no byte moves. */
void place_same(struct placing *p, uint32_t i, const struct image *image);

/* Room for @count floats in *@values, all @value. False: p->no_memory is set. */
bool place_floats(struct placing *p, float **values, size_t count, float value);

#endif

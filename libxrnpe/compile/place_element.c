// SPDX-License-Identifier: MIT
/* Placing of what is computed element by element. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "build.h"
#include "place.h"

/* ---- one input --------------------------------------------------------- */

/* The only input that is computed; GRAPH_NONE: there are several. */
static uint32_t computed_input(const struct placing *p)
{
	uint32_t found = GRAPH_NONE;

	for (uint32_t i = 0; i < p->node->input_count; i++) {
		const struct graph_tensor *tensor = place_input(p, i);

		if (!tensor || tensor->data)
			continue;
		if (found != GRAPH_NONE)
			return GRAPH_NONE;
		found = i;
	}
	return found;
}

/* A command that reads input @i and writes the output, both as @image. */
static const char *element_command(struct placing *p, uint32_t i, enum place_kind kind,
				   enum xrnpe_opcode opcode, const struct image *image)
{
	p->place->kind = kind;
	p->place->cmd.opcode = (uint8_t)opcode;
	p->place->cmd.image = (struct xrnpe_dims_image){
		.in_h = (uint16_t)image->h, .in_w = (uint16_t)image->w, .in_c = (uint16_t)image->c,
	};
	place_read(p, i, XRNPE_OPERAND_IFM, image);
	place_write(p, 0, image);
	return NULL;
}

/* Whether input @i has the shape of the output. */
static bool is_of_output_shape(const struct placing *p, uint32_t i)
{
	return graph_shape_equal(&place_input(p, i)->shape, &place_output(p)->shape);
}

/* Out(x * factor + bias) of input @i, both one for all elements. */
static const char *convert(struct placing *p, uint32_t i, float factor, float bias)
{
	struct place *place = p->place;
	struct image image;

	if (!is_of_output_shape(p, i))
		return "repeats its input";
	if (!isfinite(factor) || !isfinite(bias))
		return "a factor is not finite";
	if (!place_memory(p, i, &image) && !place_image(p, i, &image))
		return PLACE_TOO_LARGE;
	if ((factor != 1 && !place_floats(p, &place->factor, 1, factor)) ||
	    (bias != 0 && !place_floats(p, &place->bias, 1, bias)))
		return NULL;
	place->scale_count = 1;
	return element_command(p, i, PLACE_CONVERT, XRNPE_OP_CONVERT, &image);
}

/* A function of one number, which is a table of what it is for each code. */
const char *place_table(struct placing *p)
{
	uint32_t i = computed_input(p);
	struct image image;

	for (uint32_t k = 0; k < p->node->input_count; k++) {
		if (k != i && place_input(p, k) && graph_count(&place_input(p, k)->shape) != 1)
			return "has another parameter for each element";
	}
	if (i == GRAPH_NONE || !is_of_output_shape(p, i))
		return "is not a function of one number";
	if (!place_memory(p, i, &image) && !place_image(p, i, &image))
		return PLACE_TOO_LARGE;
	return element_command(p, i, PLACE_TABLE, XRNPE_OP_LUT, &image);
}

/* ---- activations ------------------------------------------------------- */

/*
 * A factor, an offset, the activation @first and then that of the node, as a command; as a
 * table where it cannot have both.
 */
static const char *convert_and_activate(struct placing *p, float factor, float bias,
					const struct graph_activation *first)
{
	struct graph_activation *all = &p->place->activation;

	if (all->kind != XRNPE_ACT_NONE || (first->clamps && all->clamps))
		return place_table(p);
	all->kind = first->kind;
	all->slope = first->slope;
	if (first->clamps) {
		all->clamps = true;
		all->lo = first->lo;
		all->hi = first->hi;
	}
	return convert(p, computed_input(p), factor, bias);
}

const char *place_activation(struct placing *p)
{
	struct graph_activation activation;

	if (!graph_as_activation(p->node, &activation))
		return "its limits exclude each other";
	return convert_and_activate(p, 1, 0, &activation);
}

const char *place_hard_sigmoid(struct placing *p)
{
	return convert_and_activate(p, p->node->params.scalar.a, p->node->params.scalar.b,
				    &(struct graph_activation){ .clamps = true, .hi = 1 });
}

const char *place_negation(struct placing *p)
{
	return convert(p, 0, -1, 0);
}

const char *place_absolute(struct placing *p)
{
	return convert_and_activate(p, 1, 0, &(struct graph_activation){
		.kind = XRNPE_ACT_LEAKY, .slope = -1,
	});
}

const char *place_power(struct placing *p)
{
	return place_constant(p, 1) ? place_table(p) : "its exponent is computed";
}

/* ---- one input and constants ------------------------------------------- */

enum arithmetic { ADD, SUB, MUL, DIV, MAX, MIN, OPERATIONS };

static enum arithmetic operation(const struct placing *p)
{
	static const char *const names[OPERATIONS] = { "Add", "Sub", "Mul", "Div", "Max", "Min" };
	enum arithmetic found = ADD;

	while (found < MIN && strcmp(p->node->op->name, names[found]))
		found++;
	return found;
}

/* x operation @value, or the other way round, as x * factor + bias. */
static void factor_and_bias(enum arithmetic operation, float value, bool constant_first,
			    float *factor, float *bias)
{
	*factor = 1;
	*bias = 0;
	switch (operation) {
	case ADD:
		*bias = value;
		break;
	case SUB:
		*factor = constant_first ? -1 : 1;
		*bias = constant_first ? value : -value;
		break;
	case MUL:
		*factor = value;
		break;
	default:
		*factor = 1 / value;
		break;
	}
}

/* The number of elements of @shape, if all lie along the channels of @image, else 0. */
static uint32_t channels_of(const struct graph_shape *shape, const struct graph_shape *whole,
			    const struct image *image)
{
	uint32_t lacks = whole->rank - shape->rank;

	for (uint32_t i = 0; i < shape->rank; i++) {
		if (shape->dims[i] > 1 && image_axis(whole, image, i + lacks) != IMAGE_C)
			return 0;
	}
	return (uint32_t)graph_count(shape);
}

/*
 * The image of input @x in which a constant of @shape, broadcast to it, differs along the
 * channels alone. Whose place in memory nobody knows yet may have its channels on either side, and
 * so may, if it may be copied, any.
 */
static bool find_channels(const struct placing *p, uint32_t x, const struct graph_shape *shape,
			  bool copies, struct image *image)
{
	const struct graph_shape *whole = &place_input(p, x)->shape;
	struct image memory;

	if (shape->rank > whole->rank || !place_image(p, x, image))
		return false;
	if (channels_of(shape, whole, image) == image->c)
		return true;
	return (copies || !place_memory(p, x, &memory)) &&
	       (image->first ? image_last(whole, image) : image_first(whole, image)) &&
	       channels_of(shape, whole, image) == image->c;
}

static const char *place_pair(struct placing *p);

/* Arithmetic with a constant for each channel of input @x, which is input @constant. */
static const char *with_channels(struct placing *p, uint32_t x, uint32_t constant)
{
	const float *values = place_constant(p, constant);
	const struct graph_shape *shape = &place_input(p, constant)->shape;
	enum arithmetic kind = operation(p);
	struct place *place = p->place;
	struct image image;

	if (kind > DIV || (kind == DIV && constant == 0) || !is_of_output_shape(p, x) ||
	    !find_channels(p, x, shape, false, &image))
		return graph_is_bounded(place_input(p, constant)) ? place_pair(p) : place_unbounded(p);
	if (!place_floats(p, &place->factor, image.c, 1) ||
	    !place_floats(p, &place->bias, image.c, 0))
		return NULL;
	for (uint32_t c = 0; c < image.c; c++) {
		factor_and_bias(kind, values[c], constant == 0, &place->factor[c], &place->bias[c]);
		if (!isfinite(place->factor[c]) || !isfinite(place->bias[c]))
			return "a factor is not finite";
	}
	place->scale_count = image.c;
	return element_command(p, x, PLACE_CONVERT, XRNPE_OP_CONVERT, &image);
}

static const char *with_constant(struct placing *p, uint32_t x)
{
	enum arithmetic kind = operation(p);
	uint32_t constant = !x;
	float value = place_constant(p, constant)[0], factor, bias;

	if (graph_count(&place_input(p, constant)->shape) != 1)
		return with_channels(p, x, constant);
	if (kind == DIV && constant == 0)
		return place_table(p);
	if (kind < MAX) {
		factor_and_bias(kind, value, constant == 0, &factor, &bias);
		return convert(p, x, factor, bias);
	}
	if (!isfinite(value))
		return place_table(p);
	return convert_and_activate(p, 1, 0, &(struct graph_activation){
		.kind = XRNPE_ACT_NONE, .clamps = true,
		.lo = kind == MAX ? value : -FLT_MAX, .hi = kind == MIN ? value : FLT_MAX,
	});
}

/* A depthwise convolution by one has slopes by channel. */
const char *place_prelu(struct placing *p)
{
	struct image image;
	const char *why;

	if (!place_constant(p, 1))
		return "its slopes are computed";
	if (!find_channels(p, 0, &place_input(p, 1)->shape, true, &image))
		return "its slopes do not differ by channel alone";
	why = place_slopes(p, 1, image.c);
	if (!why && !p->no_memory)
		place_depthwise(p, &image);
	return why;
}

/* The factor and offset of each channel that the statistics of training make. */
const char *place_normalization(struct placing *p)
{
	const float *scale = place_constant(p, 1), *bias = place_constant(p, 2);
	const float *mean = place_constant(p, 3), *variance = place_constant(p, 4);
	struct place *place = p->place;
	struct image image;

	if (!scale || !bias || !mean || !variance)
		return "its parameters are computed";
	if (!image_first(&place_input(p, 0)->shape, &image))
		return PLACE_NO_IMAGE;
	if (!place_floats(p, &place->factor, image.c, 1) ||
	    !place_floats(p, &place->bias, image.c, 0))
		return NULL;
	for (uint32_t c = 0; c < image.c; c++) {
		double factor = scale[c] / sqrt((double)variance[c] + p->node->params.scalar.a);

		place->factor[c] = (float)factor;
		place->bias[c] = (float)(bias[c] - mean[c] * factor);
		if (!isfinite(place->factor[c]) || !isfinite(place->bias[c]))
			return "a factor is not finite";
	}
	place->scale_count = image.c;
	return element_command(p, 0, PLACE_CONVERT, XRNPE_OP_CONVERT, &image);
}

/* ---- two inputs -------------------------------------------------------- */

/* The image of @shape, broadcast to @whole, that has its axes where @image has them. */
static bool broadcast_image(const struct graph_shape *shape, const struct graph_shape *whole,
			    const struct image *image, struct image *part)
{
	struct graph_shape padded = { .rank = whole->rank };

	for (uint32_t i = 0; i < whole->rank; i++) {
		uint32_t lacks = whole->rank - shape->rank;

		padded.dims[i] = i < lacks ? 1 : shape->dims[i - lacks];
	}
	return (image->first ? image_first(&padded, part) : image_last(&padded, part)) &&
	       (part->h == image->h || part->h == 1) && (part->w == image->w || part->w == 1) &&
	       (part->c == image->c || part->c == 1);
}

/*
 * What is there once for all of some axes before those that it has: @whole, in C order, as so many
 * lines, of which @part is one. False: it is not, or its sizes are too large.
 */
static bool repeat_lines(const struct graph_shape *shape, const struct graph_shape *whole,
			 struct image *image, struct image *part)
{
	uint32_t lacks = whole->rank - shape->rank;
	uint64_t lines = 1, pixels = 1;
	bool repeats = true;

	for (uint32_t i = 0; i < whole->rank; i++) {
		uint32_t own = i < lacks ? 1 : shape->dims[i - lacks];

		repeats &= own == 1;
		if (!repeats && own != whole->dims[i])
			return false;
		if (repeats)
			lines *= whole->dims[i];
		else if (i + 1 < whole->rank)
			pixels *= whole->dims[i];
	}
	if (repeats || lines > UINT16_MAX || pixels > UINT16_MAX || whole->dims[whole->rank - 1] > UINT16_MAX)
		return false;
	*image = (struct image){ (uint32_t)lines, (uint32_t)pixels, whole->dims[whole->rank - 1], false };
	*part = *image;
	part->h = 1;
	return true;
}

/* Most elements of a constant that is stored with all its repetitions. */
#define MOST_STORED ((size_t)1 << 20)

/* Let the node read input @i, if that is a constant, as one of its output's shape. */
static const char *store_repeated(struct placing *p, uint32_t i)
{
	struct xrnpe_graph *graph = p->compiler->graph;
	const struct graph_shape from = place_input(p, i)->shape, to = place_output(p)->shape;
	const float *values = place_constant(p, i);
	size_t steps[GRAPH_MAX_RANK];
	ptrdiff_t strides[GRAPH_MAX_RANK];
	uint32_t made;
	void *data;

	if (!values || graph_count(&to) > MOST_STORED)
		return "an input is repeated in a way that strides do not have";
	p->no_memory = place_new_tensor(p->compiler, &made) ||
		       build_constant(graph, made, GRAPH_FLOAT, &to, &data, p->compiler->error);
	if (p->no_memory)
		return NULL;
	call_strides(&from, &to, steps);
	for (uint32_t k = 0; k < to.rank; k++)
		strides[k] = (ptrdiff_t)steps[k];
	call_gather(&to, sizeof(*values), values, 0, strides, data);
	p->node->inputs[i] = made;
	return NULL;
}

/* Arithmetic of two tensors, of which one may be a constant. */
static const char *place_pair(struct placing *p)
{
	static const enum xrnpe_opcode opcodes[OPERATIONS] = {
		XRNPE_OP_ADD, XRNPE_OP_ADD, XRNPE_OP_MUL, 0, XRNPE_OP_MAX, XRNPE_OP_MIN,
	};
	enum arithmetic kind = operation(p);
	uint32_t whole = is_of_output_shape(p, 0) ? 0 : 1, other = !whole;
	struct place_read *reads = p->place->reads;
	struct image image, memory, part;
	const char *why;

	if (kind == DIV)
		return "the device does not divide";
	if (!is_of_output_shape(p, whole))
		return "both inputs are repeated";
	if (!place_image(p, whole, &image))
		return PLACE_TOO_LARGE;
	if (is_of_output_shape(p, other)) {
		/* As one of them lies in memory, whatever that means. */
		if (place_memory(p, 0, &memory) || place_memory(p, 1, &memory))
			image = memory;
		part = image;
	} else if (!broadcast_image(&place_input(p, other)->shape, &place_output(p)->shape, &image,
				    &part) &&
		   !repeat_lines(&place_input(p, other)->shape, &place_output(p)->shape, &image, &part)) {
		why = store_repeated(p, other);
		return why || p->no_memory ? why : place_pair(p);
	}
	p->place->scale_count = kind == MUL ? 1 : 2;
	if (part.c < image.c)
		p->place->cmd.flags |= XRNPE_CMD_PER_PIXEL;
	element_command(p, whole, PLACE_PAIR, opcodes[kind], &image);
	place_read(p, other, XRNPE_OPERAND_IFM2, &part);
	if (p->no_memory)
		return NULL;
	reads[1].repeat_rows = part.h < image.h;
	reads[1].repeat_pixels = part.w < image.w;
	if (kind == SUB)
		reads[whole == 0].factor = -1;
	return NULL;
}

const char *place_arithmetic(struct placing *p)
{
	uint32_t x = computed_input(p);

	if (p->node->input_count == 1)
		return convert(p, 0, 1, 0);
	if (p->node->input_count != 2)
		return "has more than two inputs";
	if (x == GRAPH_NONE)
		return place_pair(p);
	return place_constant(p, !x) ? with_constant(p, x) : "its constant is no float";
}

// SPDX-License-Identifier: MIT
/*
 * Operators that MediaPipe's networks bring along, but its transposed convolution: a region is
 * found by landmarks, cut out of an image upright, and what is found in it is put back. What
 * they compute is that of mediapipe/util/tflite/operations, version 2 of each.
 */
#include <stdlib.h>

#include "error.h"
#include "flexbuffer.h"
#include "operators.h"

#define VERSION 2
/* Landmarks that a region is found by, and elements of one that is cut out. */
#define MAX_LANDMARKS 1024
#define MAX_PIXELS (1 << 20)

/* A number for each axis of the image, in tensors. */
struct pair {
	uint32_t x, y;
};

/* ---- options --------------------------------------------------------------- */

static struct flex_map read_options(struct tflite_op *op)
{
	struct flat_vector bytes = op->custom_options;

	if (op->version != VERSION)
		tflite_unsupported(op, "is of version %d; supported is %d", op->version, VERSION);
	return flex_root(flat_vector_bytes(bytes), bytes.count);
}

static double option(struct tflite_op *op, const struct flex_map *map, const char *name,
		     double least, double most)
{
	double value = 0;

	if (!flex_number(map, name, &value) || !(value >= least && value <= most))
		tflite_unsupported(op, "option %s is missing or impossible", name);
	return value;
}

/* ---- nodes ------------------------------------------------------------------- */

static uint32_t part(struct tflite_op *op, uint32_t x, int64_t axis, int64_t start, int64_t end)
{
	return tflite_emit(op, "Slice", 4, (const uint32_t[]){
		x, tflite_new_ints(op, 1, &start), tflite_new_ints(op, 1, &end),
		tflite_new_ints(op, 1, &axis) });
}

static uint32_t gather(struct tflite_op *op, uint32_t x, int64_t axis, uint32_t indices)
{
	tflite_set_int(op, "axis", axis);
	return tflite_emit2(op, "Gather", x, indices);
}

static uint32_t join(struct tflite_op *op, uint32_t count, const uint32_t *tensors)
{
	tflite_set_int(op, "axis", 2);
	return tflite_emit(op, "Concat", count, tensors);
}

/* x * a + y * b */
static uint32_t mix(struct tflite_op *op, uint32_t x, uint32_t a, uint32_t y, uint32_t b)
{
	return tflite_emit2(op, "Add", tflite_emit2(op, "Mul", x, a), tflite_emit2(op, "Mul", y, b));
}

static uint32_t scaled(struct tflite_op *op, uint32_t x, double factor)
{
	return tflite_emit2(op, "Mul", x, tflite_new_float(op, (float)factor));
}

/* By the angle of which @cosine and @sine are. */
static struct pair turned(struct tflite_op *op, struct pair p, uint32_t cosine, uint32_t sine)
{
	return (struct pair){
		mix(op, p.x, cosine, p.y, tflite_emit1(op, "Neg", sine)), mix(op, p.x, sine, p.y, cosine),
	};
}

/* ---- where a region is ---------------------------------------------------------- */

/* Landmarks @indices of 1 x n x 3. */
static struct pair landmarks(struct tflite_op *op, uint32_t x, uint32_t count, const int64_t *indices)
{
	uint32_t taken = gather(op, x, 1, tflite_new_ints(op, count, indices));

	return (struct pair){ part(op, taken, 2, 0, 1), part(op, taken, 2, 1, 2) };
}

/* Cosine and sine of the line from one landmark to another; of none that of the x axis. */
static void find_angle(struct tflite_op *op, uint32_t x, int64_t left, int64_t right,
		       uint32_t *cosine, uint32_t *sine)
{
	struct pair from = landmarks(op, x, 1, &left), to = landmarks(op, x, 1, &right);
	struct pair way = {
		tflite_emit2(op, "Sub", to.x, from.x), tflite_emit2(op, "Sub", to.y, from.y),
	};
	uint32_t length = tflite_emit1(op, "Sqrt", mix(op, way.x, way.x, way.y, way.y));
	uint32_t none = tflite_emit2(op, "Equal", length, tflite_new_float(op, 0));

	*cosine = tflite_emit(op, "Where", 3, (const uint32_t[]){
		none, tflite_new_float(op, 1), tflite_emit2(op, "Div", way.x, length) });
	*sine = tflite_emit(op, "Where", 3, (const uint32_t[]){
		none, tflite_new_float(op, 0), tflite_emit2(op, "Div", way.y, length) });
}

static uint32_t extreme(struct tflite_op *op, const char *onnx, uint32_t x)
{
	tflite_set_ints(op, "axes", 1, (const int64_t[]){ 1 });
	return tflite_emit1(op, onnx, x);
}

/* Along one axis, the middle of all, and from the least to the largest. */
static uint32_t find_extent(struct tflite_op *op, uint32_t x, uint32_t *extent)
{
	uint32_t most = extreme(op, "ReduceMax", x), least = extreme(op, "ReduceMin", x);

	*extent = tflite_emit2(op, "Sub", most, least);
	return scaled(op, tflite_emit2(op, "Add", most, least), 0.5);
}

/* The numbers of the subset, all less than @count. */
static uint32_t read_subset(struct tflite_op *op, const struct flex_map *map, uint32_t count,
			    int64_t indices[MAX_LANDMARKS])
{
	size_t found = flex_count(map, "subset_idxs");

	if (!found || found > MAX_LANDMARKS)
		tflite_unsupported(op, "option subset_idxs is missing or impossible");
	for (size_t i = 0; !op->ret && i < found; i++) {
		indices[i] = flex_element(map, "subset_idxs", i);
		if (indices[i] < 0 || indices[i] >= count)
			tflite_unsupported(op, "landmark %lld is not one of %u", (long long)indices[i], count);
	}
	return (uint32_t)found;
}

/*
 * 1 x 4 x 4: places in a region of @width x @height, each step of which is as long as @scale
 * says along its axis, turned, with its middle at @middle.
 */
static uint32_t new_matrix(struct tflite_op *op, struct pair middle, struct pair scale,
			   uint32_t cosine, uint32_t sine, double width, double height)
{
	struct pair across = {
		tflite_emit2(op, "Mul", scale.x, cosine), tflite_emit2(op, "Mul", scale.x, sine),
	};
	struct pair down = {
		tflite_emit1(op, "Neg", tflite_emit2(op, "Mul", scale.y, sine)),
		tflite_emit2(op, "Mul", scale.y, cosine),
	};
	uint32_t left = tflite_new_float(op, (float)(-width / 2));
	uint32_t above = tflite_new_float(op, (float)(-height / 2));
	struct pair origin = {
		tflite_emit2(op, "Add", middle.x, mix(op, across.x, left, down.x, above)),
		tflite_emit2(op, "Add", middle.y, mix(op, across.y, left, down.y, above)),
	};
	uint32_t zero = tflite_reshape(op, tflite_new_float(op, 0), 3, (const int64_t[]){ 1, 1, 1 });
	uint32_t one = tflite_reshape(op, tflite_new_float(op, 1), 3, (const int64_t[]){ 1, 1, 1 });

	return tflite_reshape(op, join(op, 16, (const uint32_t[]){
		across.x, down.x, zero, origin.x,
		across.y, down.y, zero, origin.y,
		zero, zero, one, zero,
		zero, zero, zero, one }), 3, (const int64_t[]){ 1, 4, 4 });
}

/*
 * From landmarks, 1 x n x 3, to the matrix, 1 x 4 x 4, that leads from places in the region
 * that they fill, upright and scaled, to places among them.
 */
void tflite_landmarks_to_matrix(struct tflite_op *op)
{
	const struct flex_map map = read_options(op);
	uint32_t x = tflite_last(op, 0), cosine, sine, count;
	const struct graph_tensor *tensor = tflite_tensor(op, x);
	uint32_t n = tensor && tensor->shape.rank == 3 ? tensor->shape.dims[1] : 0;
	double height = option(op, &map, "output_height", 1, UINT16_MAX);
	double width = option(op, &map, "output_width", 1, UINT16_MAX);
	double left = option(op, &map, "left_rotation_idx", 0, n - 1.0);
	double right = option(op, &map, "right_rotation_idx", 0, n - 1.0);
	int64_t indices[MAX_LANDMARKS];
	struct pair middle, size;

	option(op, &map, "target_rotation_radians", 0, 0);
	count = read_subset(op, &map, n, indices);
	if (op->ret)
		return;
	find_angle(op, x, (int64_t)left, (int64_t)right, &cosine, &sine);
	middle = turned(op, landmarks(op, x, count, indices), cosine, tflite_emit1(op, "Neg", sine));
	middle.x = find_extent(op, middle.x, &size.x);
	middle.y = find_extent(op, middle.y, &size.y);
	middle = turned(op, middle, cosine, sine);
	size.x = scaled(op, size.x, option(op, &map, "scale_x", 0, UINT16_MAX) / width);
	size.y = scaled(op, size.y, option(op, &map, "scale_y", 0, UINT16_MAX) / height);
	tflite_output(op, 0, new_matrix(op, middle, size, cosine, sine, width, height), false);
}

/* ---- there and back ---------------------------------------------------------------- */

/* Points of 1 x n x 2 by the matrix of input 1. */
static uint32_t transform(struct tflite_op *op, uint32_t points)
{
	static const int64_t columns_first[] = { 0, 2, 1 };
	uint32_t rows = part(op, tflite_last(op, 1), 1, 0, 2);
	uint32_t matrix = tflite_transpose(op, part(op, rows, 2, 0, 2), 3, columns_first);
	uint32_t origin = tflite_transpose(op, part(op, rows, 2, 3, 4), 3, columns_first);

	return tflite_emit2(op, "Add", tflite_emit2(op, "MatMul", points, matrix), origin);
}

/* Landmarks, 1 x n x 2 or 3, of which the third number stays. */
void tflite_transform_landmarks(struct tflite_op *op)
{
	uint32_t x = tflite_last(op, 0), y;
	const struct graph_tensor *tensor = tflite_tensor(op, x);
	uint32_t numbers = tensor && tensor->shape.rank == 3 ? tensor->shape.dims[2] : 0;

	if (op->version != VERSION || (tensor && numbers != 2 && numbers != 3))
		tflite_unsupported(op, "is of version %d, or of %u numbers", op->version, numbers);
	y = transform(op, part(op, x, 2, 0, 2));
	if (numbers == 3)
		y = join(op, 2, (const uint32_t[]){ y, part(op, x, 2, 2, 3) });
	tflite_output(op, 0, y, false);
}

/* Centres of the pixels of the region, 1 x (height * width) x 2. */
static uint32_t new_grid(struct tflite_op *op, uint32_t height, uint32_t width)
{
	uint32_t count = height * width, list;
	float *values = op->ret ? NULL : malloc(2 * (size_t)count * sizeof(*values));

	if (!values) {
		if (!op->ret)
			op->ret = xrnpe_fail_memory(op->reader->error);
		return GRAPH_NONE;
	}
	for (uint32_t i = 0; i < count; i++) {
		values[2 * i] = (float)(i % width) + 0.5f;
		values[2 * i + 1] = (float)(i / width) + 0.5f;
	}
	list = tflite_new_floats(op, 2 * count, values);
	free(values);
	return tflite_reshape(op, list, 3, (const int64_t[]){ 1, count, 2 });
}

/* An image as pixels x channels, and what its places may be. */
struct image {
	uint32_t pixels, width, last;
};

/* The pixel that is @dx to the right of and @dy below @place; those outside as at the border. */
static uint32_t pixel(struct tflite_op *op, const struct image *image, uint32_t place, float dx,
		      float dy)
{
	const float step[] = { dx, dy }, strides[] = { 1, (float)image->width };
	uint32_t at = tflite_emit2(op, "Add", place, tflite_new_floats(op, 2, step)), factors;

	at = tflite_emit2(op, "Max", at, tflite_new_float(op, 0));
	at = tflite_emit2(op, "Min", at, image->last);
	factors = tflite_reshape(op, tflite_new_floats(op, 2, strides), 2, (const int64_t[]){ 2, 1 });
	at = tflite_reshape(op, tflite_emit2(op, "MatMul", at, factors), 1, (const int64_t[]){ -1 });
	tflite_set_int(op, "to", ONNX_INT64);
	return gather(op, image->pixels, 0, tflite_emit1(op, "Cast", at));
}

/* a * (1 - share) + b * share */
static uint32_t between(struct tflite_op *op, uint32_t a, uint32_t b, uint32_t share)
{
	return mix(op, a, tflite_emit2(op, "Sub", tflite_new_float(op, 1), share), b, share);
}

/* What is at @places, 1 x n x 2: between four pixels, or 0 where that is outside. */
static uint32_t sample(struct tflite_op *op, const struct image *image, uint32_t places)
{
	uint32_t below = tflite_emit1(op, "Floor", places);
	uint32_t share = tflite_emit2(op, "Sub", places, below), inside, upper, lower;
	struct pair shares = { part(op, share, 2, 0, 1), part(op, share, 2, 1, 2) };

	shares.x = tflite_reshape(op, shares.x, 2, (const int64_t[]){ -1, 1 });
	shares.y = tflite_reshape(op, shares.y, 2, (const int64_t[]){ -1, 1 });
	inside = tflite_emit2(op, "And",
			      tflite_emit2(op, "GreaterOrEqual", places, tflite_new_float(op, 0)),
			      tflite_emit2(op, "LessOrEqual", places, image->last));
	inside = tflite_emit2(op, "And", part(op, inside, 2, 0, 1), part(op, inside, 2, 1, 2));
	inside = tflite_reshape(op, inside, 2, (const int64_t[]){ -1, 1 });
	upper = between(op, pixel(op, image, below, 0, 0), pixel(op, image, below, 1, 0), shares.x);
	lower = between(op, pixel(op, image, below, 0, 1), pixel(op, image, below, 1, 1), shares.x);
	return tflite_emit(op, "Where", 3, (const uint32_t[]){
		inside, between(op, upper, lower, shares.y), tflite_new_float(op, 0) });
}

/* The region that the matrix leads to, of the size that the options say. */
void tflite_transform_tensor(struct tflite_op *op)
{
	const struct flex_map map = read_options(op);
	uint32_t height = (uint32_t)option(op, &map, "output_height", 1, UINT16_MAX);
	uint32_t width = (uint32_t)option(op, &map, "output_width", 1, UINT16_MAX);
	uint32_t x = tflite_last(op, 0), places;
	const struct graph_tensor *tensor = tflite_tensor(op, x);
	struct graph_shape shape = tensor ? tensor->shape : (struct graph_shape){ 0 };
	struct image image;

	if (tensor && (shape.rank != 4 || shape.dims[0] != 1 ||
		       (uint64_t)shape.dims[1] * shape.dims[2] > MAX_PIXELS ||
		       (uint64_t)height * width > MAX_PIXELS))
		tflite_unsupported(op, "is not of one image, or of more than %d pixels", MAX_PIXELS);
	if (op->ret)
		return;
	image.width = shape.dims[2];
	image.pixels = tflite_reshape(op, x, 2, (const int64_t[]){ -1, shape.dims[3] });
	image.last = tflite_new_floats(op, 2, (const float[]){
		(float)(shape.dims[2] - 1), (float)(shape.dims[1] - 1) });
	/* Pixels are their centres on both sides. */
	places = transform(op, new_grid(op, height, width));
	places = tflite_emit2(op, "Sub", places, tflite_new_float(op, 0.5f));
	tflite_output(op, 0, tflite_reshape(op, sample(op, &image, places), 4, (const int64_t[]){
		1, height, width, shape.dims[3] }), false);
}

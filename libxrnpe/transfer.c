// SPDX-License-Identifier: MIT
/* The device keeps the channels of a pixel together, callers often whole channels. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "image.h"
#include "transfer.h"

/* ---- order --------------------------------------------------------------- */

#define LANES 4

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

/* to[column * to_step + row] = from[row * from_step + column], LANES of each. */
static void transpose_tile(float *to, size_t to_step, const float *from, size_t from_step)
{
	lanes row[LANES], pair[LANES], column[LANES];

#pragma GCC unroll 4
	for (size_t i = 0; i < LANES; i++)
		memcpy(&row[i], from + i * from_step, sizeof(lanes));
#pragma GCC unroll 2
	for (size_t i = 0; i < LANES; i += 2) {
		pair[i] = __builtin_shufflevector(row[i], row[i + 1], 0, 4, 1, 5);
		pair[i + 1] = __builtin_shufflevector(row[i], row[i + 1], 2, 6, 3, 7);
	}
#pragma GCC unroll 2
	for (size_t i = 0; i < 2; i++) {
		column[2 * i] = __builtin_shufflevector(pair[i], pair[i + 2], 0, 1, 4, 5);
		column[2 * i + 1] = __builtin_shufflevector(pair[i], pair[i + 2], 2, 3, 6, 7);
	}
#pragma GCC unroll 4
	for (size_t i = 0; i < LANES; i++)
		memcpy(to + i * to_step, &column[i], sizeof(lanes));
}

/* The same of any number of rows and columns. */
static void transpose(float *to, size_t to_step, const float *from, size_t from_step, size_t rows, size_t columns)
{
	bool tiled = rows >= LANES && columns >= LANES;

	for (size_t c = 0; !tiled && c < columns; c++) {
		for (size_t r = 0; r < rows; r++)
			to[c * to_step + r] = from[r * from_step + c];
	}
	/* Of the last tiles some was done before. */
	for (size_t c = 0; tiled && c < columns; c += LANES) {
		size_t column = c + LANES <= columns ? c : columns - LANES;

		for (size_t r = 0; r < rows; r += LANES) {
			size_t row = r + LANES <= rows ? r : rows - LANES;

			transpose_tile(to + column * to_step + row, to_step, from + row * from_step + column,
				       from_step);
		}
	}
}

/* Pixels that follow each other at the same distance, in floats, and how many such lines there are. */
struct lines {
	size_t count, step, pixels, pixel_step;
};

static struct lines lines_of(const struct xrnpe_model_tensor *t)
{
	struct lines lines = { t->height, t->row_stride / sizeof(float), t->width, t->pixel_stride / sizeof(float) };

	if (lines.step == lines.pixels * lines.pixel_step)
		return (struct lines){ 1, 0, lines.count * lines.pixels, lines.pixel_step };
	return lines;
}

/* Whether a pixel's channels follow each other where callers have them, too. */
static bool same_order(const struct xrnpe_model_tensor *t)
{
	return !t->channels_first || t->channels == 1;
}

static size_t count_pixels(const struct xrnpe_model_tensor *t)
{
	return (size_t)t->height * t->width;
}

/* A line of pixels of @channels each, @to_step and @from_step apart. */
static void copy_pixels(float *to, size_t to_step, const float *from, size_t from_step, size_t channels,
			size_t pixels)
{
	if (to_step == channels && from_step == channels) {
		channels *= pixels;
		pixels = 1;
	}
	for (; pixels; pixels--, to += to_step, from += from_step)
		memcpy(to, from, channels * sizeof(*to));
}

/* ---- copies --------------------------------------------------------------- */

/* Bytes lie in callers' order. All of them are written, or none. */
static int bytes_in(const struct xrnpe_model_tensor *t, const float *values, uint8_t *bytes)
{
	for (size_t i = 0; i < t->info.count; i++) {
		if (!(values[i] >= 0 && values[i] <= UINT8_MAX && values[i] == floorf(values[i])))
			return -EINVAL;
	}
	for (size_t i = 0; i < t->info.count; i++)
		bytes[i] = (uint8_t)values[i];
	return 0;
}

int transfer_in(const struct xrnpe_model_tensor *t, const float *values, void *memory)
{
	const struct lines lines = lines_of(t);

	if (t->format == XRNPE_FORMAT_U8)
		return bytes_in(t, values, memory);
	for (size_t y = 0; y < lines.count; y++) {
		float *to = (float *)memory + y * lines.step;
		size_t first = y * lines.pixels;

		if (same_order(t))
			copy_pixels(to, lines.pixel_step, values + first * t->channels, t->channels, t->channels,
				    lines.pixels);
		else
			transpose(to, lines.pixel_step, values + first, count_pixels(t), t->channels, lines.pixels);
	}
	return 0;
}

static void codes_out(const struct xrnpe_model_tensor *t, const void *memory, float *values)
{
	const struct image image = { t->height, t->width, t->channels, t->channels_first };
	const struct image_layout layout = { t->format, t->scale, t->row_stride, t->pixel_stride };

	image_read(&image, &layout, memory, values);
}

void transfer_out(const struct xrnpe_model_tensor *t, const void *memory, float *values)
{
	const struct lines lines = lines_of(t);

	if (t->format != XRNPE_FORMAT_F32) {
		codes_out(t, memory, values);
		return;
	}
	for (size_t y = 0; y < lines.count; y++) {
		const float *from = (const float *)memory + y * lines.step;
		size_t first = y * lines.pixels;

		if (same_order(t))
			copy_pixels(values + first * t->channels, t->channels, from, lines.pixel_step, t->channels,
				    lines.pixels);
		else
			transpose(values + first, count_pixels(t), from, lines.pixel_step, lines.pixels, t->channels);
	}
}

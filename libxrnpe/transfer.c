// SPDX-License-Identifier: MIT
/* The device keeps the channels of a pixel together, callers often whole channels. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "image.h"
#include "transfer.h"

/* Where channel 0 of pixel (@y, @x) lies, in floats. */
static size_t pixel_index(const struct xrnpe_model_tensor *t, size_t y, size_t x)
{
	return (y * t->row_stride + x * t->pixel_stride) / sizeof(float);
}

/* From one element of a pixel to the next, and from a pixel to the next, as callers have it. */
struct order {
	size_t channel, pixel;
};

static struct order caller_order(const struct xrnpe_model_tensor *t)
{
	size_t pixels = (size_t)t->height * t->width;

	return t->channels_first ? (struct order){ pixels, 1 } : (struct order){ 1, t->channels };
}

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
	const struct order order = caller_order(t);

	if (t->format == XRNPE_FORMAT_U8)
		return bytes_in(t, values, memory);
	for (size_t y = 0; y < t->height; y++) {
		for (size_t x = 0; x < t->width; x++, values += order.pixel) {
			float *to = (float *)memory + pixel_index(t, y, x);

			if (order.channel == 1)
				memcpy(to, values, t->channels * sizeof(*to));
			for (size_t c = 0; order.channel > 1 && c < t->channels; c++)
				to[c] = values[c * order.channel];
		}
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
	const struct order order = caller_order(t);

	if (t->format != XRNPE_FORMAT_F32) {
		codes_out(t, memory, values);
		return;
	}
	for (size_t y = 0; y < t->height; y++) {
		for (size_t x = 0; x < t->width; x++, values += order.pixel) {
			const float *from = (const float *)memory + pixel_index(t, y, x);

			if (order.channel == 1)
				memcpy(values, from, t->channels * sizeof(*from));
			for (size_t c = 0; order.channel > 1 && c < t->channels; c++)
				values[c * order.channel] = from[c];
		}
	}
}

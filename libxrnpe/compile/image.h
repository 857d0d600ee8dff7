/* SPDX-License-Identifier: MIT */
/*
 * A tensor as the device sees it: lines of pixels of channels, channels contiguous. Its
 * elements are those of the graph's tensor in C order, taken as channels x lines x pixels
 * or as lines x pixels x channels.
 */
#ifndef XRNPE_IMAGE_H
#define XRNPE_IMAGE_H

#include "datapath.h"
#include "graph.h"

struct image {
	uint32_t h, w, c;
	bool first;	/* C order has channels outermost, not innermost */
};

/* Some lines, pixels and channels of an image: from @h, every @step_h-th, and so on. */
struct image_part {
	uint32_t h, w, c;
	uint32_t step_h, step_w;
};

#define IMAGE_WHOLE ((struct image_part){ .step_h = 1, .step_w = 1 })

enum image_axis {
	IMAGE_H,
	IMAGE_W,
	IMAGE_C,
	IMAGE_NONE,	/* an axis of one element, or one that is not an image's alone */
};

static inline size_t image_pixels(const struct image *image)
{
	return (size_t)image->h * image->w;
}

static inline size_t image_count(const struct image *image)
{
	return image_pixels(image) * image->c;
}

/* The channel of element @i in C order. */
static inline size_t image_channel(const struct image *image, size_t i)
{
	return image->first ? i / image_pixels(image) : i % image->c;
}

/*
 * The images that a tensor's shape suggests: batch x channels x lines x pixels, and
 * ... x lines x pixels x channels. False: a dimension is too large, or (channels first) the
 * batch is not 1.
 */
bool image_first(const struct graph_shape *shape, struct image *image);
bool image_last(const struct graph_shape *shape, struct image *image);

/* Which of an image's axes @axis of @shape is, where @image is what @shape suggests. */
enum image_axis image_axis(const struct graph_shape *shape, const struct image *image,
			   uint32_t axis);

/*
 * Whether two images of a tensor are the same memory. @wide: in formats of at least a byte
 * only, since pixels of odd channels end within a byte otherwise.
 */
bool image_same(const struct image *a, const struct image *b, bool *wide);

/* Bytes in memory, pixels packed. */
size_t image_bytes(const struct image *image, enum xrnpe_format format);

/* How an image lies in memory; a real is code * @scale. */
struct image_layout {
	enum xrnpe_format format;
	float scale;
	size_t row_stride, pixel_stride;	/* bytes */
};

/* Pixels packed. */
struct image_layout image_packed(const struct image *image, enum xrnpe_format format, float scale);

/* From reals in C order to the device's memory and back. */
void image_write(const struct image *image, const struct image_layout *layout,
		 const float *values, void *memory);
void image_read(const struct image *image, const struct image_layout *layout,
		const void *memory, float *values);

#endif

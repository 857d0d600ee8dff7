// SPDX-License-Identifier: MIT
/* Images: the device's view of tensors, and its memory. */
#include "image.h"

/* Fill in @image if its sizes fit the fields of commands. */
static bool set(struct image *image, uint64_t h, uint64_t w, uint64_t c, bool first)
{
	if (h > UINT16_MAX || w > UINT16_MAX || c > UINT16_MAX || !h || !w || !c)
		return false;
	*image = (struct image){ (uint32_t)h, (uint32_t)w, (uint32_t)c, first };
	return true;
}

/* Product of the dimensions from @begin to before @end. */
static uint64_t product(const struct graph_shape *shape, uint32_t begin, uint32_t end)
{
	uint64_t count = 1;

	for (uint32_t i = begin; i < end; i++)
		count *= shape->dims[i];
	return count;
}

bool image_first(const struct graph_shape *shape, struct image *image)
{
	uint32_t rank = shape->rank;

	if (rank < 2)
		return set(image, 1, 1, product(shape, 0, rank), true);
	if (shape->dims[0] != 1)
		return false;
	return set(image, product(shape, 2, rank > 2 ? rank - 1 : 2),
		   rank > 2 ? shape->dims[rank - 1] : 1, shape->dims[1], true);
}

bool image_last(const struct graph_shape *shape, struct image *image)
{
	uint32_t rank = shape->rank;

	return set(image, product(shape, 0, rank < 2 ? 0 : rank - 2),
		   rank < 2 ? 1 : shape->dims[rank - 2], rank ? shape->dims[rank - 1] : 1, false);
}

enum image_axis image_axis(const struct graph_shape *shape, const struct image *image,
			   uint32_t axis)
{
	uint32_t rank = shape->rank;

	if (shape->dims[axis] == 1)
		return IMAGE_NONE;
	if (image->first ? axis == (rank < 2 ? 0 : 1) : axis == rank - 1)
		return IMAGE_C;
	if (image->first ? axis == rank - 1 : axis + 2 == rank)
		return IMAGE_W;
	/* Lines are all other axes: this one, if the others have one element. */
	return shape->dims[axis] == image->h ? IMAGE_H : IMAGE_NONE;
}

/* Whether memory has the elements in C order. */
static bool is_c_order(const struct image *image)
{
	return !image->first || image->c == 1 || image_pixels(image) == 1;
}

bool image_same(const struct image *a, const struct image *b, bool *wide)
{
	if (is_c_order(a) && is_c_order(b)) {
		*wide |= a->c != b->c && (a->c % 2 || b->c % 2);
		return true;
	}
	return a->c == b->c && a->first == b->first;
}

size_t image_bytes(const struct image *image, enum xrnpe_format format)
{
	return xrnpe_row_bytes(format, image->c) * image_pixels(image);
}

/* Channels that are moved at a time; even, so that each begins on a byte. */
#define CHUNK 64

/* Elements in C order from a channel to the next, and from a pixel to the next. */
static size_t channel_stride(const struct image *image)
{
	return image->first ? image_pixels(image) : 1;
}

static size_t pixel_stride(const struct image *image)
{
	return image->first ? 1 : image->c;
}

struct image_layout image_packed(const struct image *image, enum xrnpe_format format, float scale)
{
	size_t pixel = xrnpe_row_bytes(format, image->c);

	return (struct image_layout){ format, scale, image->w * pixel, pixel };
}

void image_write(const struct image *image, const struct image_layout *layout,
		 const float *values, void *memory)
{
	size_t pixels = image_pixels(image), step = channel_stride(image);
	uint32_t status = 0;
	float chunk[CHUNK];

	for (size_t p = 0; p < pixels; p++) {
		const float *pixel = values + p * pixel_stride(image);
		uint8_t *row = (uint8_t *)memory + p / image->w * layout->row_stride +
			       p % image->w * layout->pixel_stride;

		for (uint32_t c = 0; c < image->c; c += CHUNK) {
			uint32_t count = image->c - c < CHUNK ? image->c - c : CHUNK;

			for (uint32_t i = 0; i < count; i++)
				chunk[i] = pixel[(c + i) * step] / layout->scale;
			xrnpe_encode_row(layout->format, chunk, row + xrnpe_row_bytes(layout->format, c),
					 count, &status);
		}
	}
}

void image_read(const struct image *image, const struct image_layout *layout,
		const void *memory, float *values)
{
	size_t pixels = image_pixels(image), step = channel_stride(image);
	float chunk[CHUNK];

	for (size_t p = 0; p < pixels; p++) {
		float *pixel = values + p * pixel_stride(image);
		const uint8_t *row = (const uint8_t *)memory + p / image->w * layout->row_stride +
				     p % image->w * layout->pixel_stride;

		for (uint32_t c = 0; c < image->c; c += CHUNK) {
			uint32_t count = image->c - c < CHUNK ? image->c - c : CHUNK;

			xrnpe_decode_row(layout->format, row + xrnpe_row_bytes(layout->format, c), chunk,
					 count);
			for (uint32_t i = 0; i < count; i++)
				pixel[(c + i) * step] = chunk[i] * layout->scale;
		}
	}
}

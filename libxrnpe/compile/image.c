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

/* Elements that are moved at a time; even, so that each chunk of a pixel's begins on a byte. */
#define CHUNK 512

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

/* Put @count elements, which are channels @c and on of pixels @p and on, to @values. */
static void spread(const struct image *image, const float *chunk, float scale, size_t p, uint32_t c,
		   size_t count, float *values)
{
	size_t step = channel_stride(image), next = pixel_stride(image);
	size_t channels = count < image->c ? count : image->c, pixels = count / channels;
	float *to = values + p * next + c * step;

	for (size_t i = 0; image->first && i < channels; i++) {
		for (size_t k = 0; k < pixels; k++)
			to[i * step + k] = chunk[k * channels + i] * scale;
	}
	for (size_t i = 0; !image->first && i < count; i++)
		to[i] = chunk[i] * scale;
}

void image_read(const struct image *image, const struct image_layout *layout,
		const void *memory, float *values)
{
	/* Pixels that follow each other without a gap are read together. */
	const bool packed = layout->pixel_stride == xrnpe_row_bytes(layout->format, image->c) &&
			    (xrnpe_format_bits(layout->format) >= 8 || image->c % 2 == 0);
	const uint32_t most = packed && image->c < CHUNK ? CHUNK / image->c : 1;
	float chunk[CHUNK];

	for (uint32_t y = 0; y < image->h; y++) {
		const uint8_t *line = (const uint8_t *)memory + y * layout->row_stride;

		for (uint32_t x = 0, pixels; x < image->w; x += pixels) {
			const uint8_t *row = line + x * layout->pixel_stride;

			pixels = image->w - x < most ? image->w - x : most;
			for (size_t c = 0, count; c < (size_t)pixels * image->c; c += count) {
				count = (size_t)pixels * image->c - c;
				count = count < CHUNK ? count : CHUNK;
				xrnpe_decode_row(layout->format, row + xrnpe_row_bytes(layout->format, c), chunk, count);
				spread(image, chunk, layout->scale, (size_t)y * image->w + x, (uint32_t)c, count, values);
			}
		}
	}
}

// SPDX-License-Identifier: MIT
/* Elements of tensors as files have them, and what they are in a graph. */
#include "element.h"

static const struct {
	enum graph_type type;
	size_t size;
	bool is_signed;
} elements[] = {
	[ELEMENT_FLOAT32] = { GRAPH_FLOAT, 4, true },
	[ELEMENT_FLOAT64] = { GRAPH_FLOAT, 8, true },
	[ELEMENT_FLOAT16] = { GRAPH_FLOAT, 2, true },
	[ELEMENT_BFLOAT16] = { GRAPH_FLOAT, 2, true },
	[ELEMENT_INT8] = { GRAPH_INT, 1, true },
	[ELEMENT_UINT8] = { GRAPH_INT, 1, false },
	[ELEMENT_INT16] = { GRAPH_INT, 2, true },
	[ELEMENT_UINT16] = { GRAPH_INT, 2, false },
	[ELEMENT_INT32] = { GRAPH_INT, 4, true },
	[ELEMENT_UINT32] = { GRAPH_INT, 4, false },
	[ELEMENT_INT64] = { GRAPH_INT, 8, true },
	[ELEMENT_UINT64] = { GRAPH_INT, 8, false },
	[ELEMENT_BOOL] = { GRAPH_BOOL, 1, false },
};

enum graph_type element_type(enum element element)
{
	return elements[element].type;
}

size_t element_size(enum element element)
{
	return elements[element].size;
}

static uint64_t little_endian(const uint8_t *bytes, size_t size)
{
	uint64_t value = 0;

	for (size_t i = 0; i < size; i++)
		value |= (uint64_t)bytes[i] << (8 * i);
	return value;
}

/* The integer in the lowest @size bytes. */
static int64_t integer(uint64_t bits, size_t size, bool is_signed)
{
	unsigned int shift = 64 - 8 * (unsigned int)size;

	return is_signed ? (int64_t)(bits << shift) >> shift : (int64_t)(bits << shift >> shift);
}

static float from_bits(uint32_t bits)
{
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static float from_half(uint16_t half)
{
	uint32_t exponent = half >> 10 & 31, fraction = half & 0x3ff;
	float size;

	if (exponent == 31)
		size = from_bits(0x7f800000 | fraction << 13);
	else if (exponent)
		size = from_bits((exponent + 112) << 23 | fraction << 13);
	else
		size = (float)fraction * 0x1p-24f;
	return half & 0x8000 ? -size : size;
}

static float number(enum element element, uint64_t bits)
{
	double wide;

	switch (element) {
	case ELEMENT_FLOAT16:
		return from_half((uint16_t)bits);
	case ELEMENT_BFLOAT16:
		return from_bits((uint32_t)bits << 16);
	case ELEMENT_FLOAT64:
		memcpy(&wide, &bits, sizeof(wide));
		return (float)wide;
	default:
		return from_bits((uint32_t)bits);
	}
}

void element_put(enum element element, uint64_t bits, void *data, size_t i)
{
	switch (elements[element].type) {
	case GRAPH_FLOAT:
		((float *)data)[i] = number(element, bits);
		break;
	case GRAPH_INT:
		((int64_t *)data)[i] = integer(bits, elements[element].size,
					       elements[element].is_signed);
		break;
	case GRAPH_BOOL:
		((uint8_t *)data)[i] = bits != 0;
		break;
	}
}

void element_read(enum element element, const uint8_t *bytes, size_t count, void *data)
{
	size_t size = elements[element].size;

	for (size_t i = 0; i < count; i++)
		element_put(element, little_endian(bytes + i * size, size), data, i);
}

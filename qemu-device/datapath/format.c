// SPDX-License-Identifier: MIT
/* The formats: names, packing, decoding a code. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "internal.h"

static const struct {
	const char *name;
	unsigned int bits;
	unsigned int es;	/* posits: exponent bits */
	int unit;		/* exponent of the grid's unit */
} formats[XRNPE_FORMATS] = {
	[XRNPE_FORMAT_FP4] = { "fp4", 4, 0, -1 },
	[XRNPE_FORMAT_P4] = { "p4", 4, 1, -4 },
	[XRNPE_FORMAT_P8] = { "p8", 8, 0, -6 },
	[XRNPE_FORMAT_P16] = { "p16", 16, 1, -28 },
	[XRNPE_FORMAT_F32] = { "f32", 32, 0, 0 },
	[XRNPE_FORMAT_U8] = { "u8", 8, 0, 0 },
	[XRNPE_FORMAT_S8] = { "s8", 8, 0, 0 },
};

static bool is_format(enum xrnpe_format format)
{
	return (unsigned int)format < XRNPE_FORMATS;
}

unsigned int xrnpe_format_bits(enum xrnpe_format format)
{
	return is_format(format) ? formats[format].bits : 0;
}

const char *xrnpe_format_name(enum xrnpe_format format)
{
	return is_format(format) ? formats[format].name : NULL;
}

int xrnpe_format_from_name(const char *name, enum xrnpe_format *format)
{
	for (unsigned int i = 0; i < XRNPE_FORMATS; i++) {
		if (!strcmp(name, formats[i].name)) {
			*format = (enum xrnpe_format)i;
			return 0;
		}
	}
	return -EINVAL;
}

size_t xrnpe_row_bytes(enum xrnpe_format format, size_t count)
{
	unsigned int bits = xrnpe_format_bits(format);

	return bits == 4 ? count / 2 + count % 2 : count * (bits / 8);
}

uint32_t xrnpe_load(enum xrnpe_format format, const void *row, size_t index)
{
	const uint8_t *byte = row;

	switch (xrnpe_format_bits(format)) {
	case 4:
		return byte[index / 2] >> index % 2 * 4 & 15;
	case 8:
		return byte[index];
	case 16:
		byte += index * 2;
		return byte[0] | (uint32_t)byte[1] << 8;
	default:
		byte += index * 4;
		return byte[0] | (uint32_t)byte[1] << 8 | (uint32_t)byte[2] << 16 |
		       (uint32_t)byte[3] << 24;
	}
}

void xrnpe_store(enum xrnpe_format format, void *row, size_t index, uint32_t code)
{
	uint8_t *byte = row;
	unsigned int bits = xrnpe_format_bits(format);

	if (bits == 4) {
		unsigned int shift = index % 2 * 4;

		byte += index / 2;
		*byte = (uint8_t)((*byte & ~(15u << shift)) | (code & 15) << shift);
		return;
	}
	byte += index * (bits / 8);
	for (unsigned int i = 0; i < bits / 8; i++)
		byte[i] = (uint8_t)(code >> i * 8);
}

void xrnpe_pack(enum xrnpe_format format, void *row, size_t first,
		const uint32_t *codes, size_t count)
{
	uint8_t *byte;

	if (xrnpe_format_bits(format) == 4 && first % 2 && count) {
		xrnpe_store(format, row, first++, *codes++);
		count--;
	}
	byte = (uint8_t *)row + xrnpe_row_bytes(format, first);
	if (xrnpe_format_bits(format) == 4) {
		for (size_t i = 0; i + 1 < count; i += 2)
			*byte++ = (uint8_t)(codes[i] | codes[i + 1] << 4);
		if (count % 2)
			*byte = (uint8_t)codes[count - 1];
		return;
	}
	for (size_t i = 0; i < count; i++)
		xrnpe_store(format, byte, i, codes[i]);
}

bool xrnpe_is_nar(enum xrnpe_format format, uint32_t code)
{
	switch (format) {
	case XRNPE_FORMAT_FP4:
	case XRNPE_FORMAT_U8:
	case XRNPE_FORMAT_S8:
		return false;
	case XRNPE_FORMAT_F32:
		return (code & 0x7fffffff) > 0x7f800000;
	default:
		return code == 1u << (xrnpe_format_bits(format) - 1);
	}
}

int xrnpe_grid_unit(enum xrnpe_format format)
{
	return formats[format].unit;
}

static int64_t posit_grid(enum xrnpe_format format, uint32_t code)
{
	unsigned int n = formats[format].bits, es = formats[format].es;
	unsigned int run, rest, fraction_bits, exponent_bits;
	uint32_t sign = code >> (n - 1);
	uint32_t body, magnitude = sign ? (1u << n) - code : code;
	int regime, exponent;
	int64_t grid;

	if (!code)
		return 0;
	if (magnitude >> (n - 1))
		return XRNPE_GRID_NAR;
	/* The n - 1 bits after the sign, at the top of a word. */
	body = magnitude << (33 - n);
	if (body >> 31) {
		run = (unsigned int)__builtin_clz(~body);
		regime = (int)run - 1;
	} else {
		run = (unsigned int)__builtin_clz(body);
		regime = -(int)run;
	}
	/* Bits after the regime and the bit that ends it (cut off at maxpos). */
	rest = run + 1 < n - 1 ? n - 2 - run : 0;
	exponent_bits = rest < es ? rest : es;
	fraction_bits = rest - exponent_bits;
	/* Exponent bits that were cut off are zero. */
	exponent = (int)(magnitude >> fraction_bits & ((1u << exponent_bits) - 1))
		   << (es - exponent_bits);
	exponent += regime * (1 << es);
	grid = (int64_t)(1u << fraction_bits | (magnitude & ((1u << fraction_bits) - 1)));
	/* The last fraction bit of any posit is worth minpos or more. */
	grid <<= exponent - formats[format].unit - (int)fraction_bits;
	return sign ? -grid : grid;
}

int64_t xrnpe_grid(enum xrnpe_format format, uint32_t code)
{
	if (format == XRNPE_FORMAT_FP4) {
		unsigned int exponent = code >> 1 & 3, fraction = code & 1;
		int grid = exponent ? (int)((2 | fraction) << (exponent - 1)) : (int)fraction;

		return code >> 3 ? -grid : grid;
	}
	if (format == XRNPE_FORMAT_U8)
		return (int64_t)code;
	if (format == XRNPE_FORMAT_S8)
		return (int64_t)code - (code >> 7 << 8);
	return posit_grid(format, code);
}

static float float_from_bits(uint32_t bits)
{
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

double xrnpe_decode(enum xrnpe_format format, uint32_t code)
{
	if (xrnpe_is_nar(format, code))
		return (double)NAN;
	if (format == XRNPE_FORMAT_F32)
		return (double)float_from_bits(code);
	if (format == XRNPE_FORMAT_FP4 && code == 8)
		return -0.0;
	/* At most 13 significant bits and a power of 2: exact. */
	return (double)xrnpe_grid(format, code) / (double)(1u << -formats[format].unit);
}

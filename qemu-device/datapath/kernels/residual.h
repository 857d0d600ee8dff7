/* SPDX-License-Identifier: MIT */
/*
 * Residuals as doubles, in the compilers' portable vectors. Included by rounding.h, with
 * what that wants defined.
 */
#ifndef XRNPE_DATAPATH_RESIDUAL_H
#define XRNPE_DATAPATH_RESIDUAL_H

#include <string.h>

#include "reals.h"
#include "values.h"

#define VALUES (VECTOR / sizeof(float))

/* LANES codes of up to 16 bits from @n on of a row, of which @count are there. */
INLINE void load_residual_codes(enum xrnpe_format format, const uint8_t *row, uint64_t n, size_t count,
				uint16_t *code)
{
	typedef uint8_t half_bytes __attribute__((vector_size(LANES / 2)));
	typedef uint8_t all_bytes __attribute__((vector_size(LANES)));
	typedef uint16_t all_words __attribute__((vector_size(2 * LANES)));
	typedef uint16_t half_words __attribute__((vector_size(LANES)));
	typedef uint32_t pairs __attribute__((vector_size(2 * LANES)));
	uint8_t packed[2 * LANES] __attribute__((aligned(64))) = { 0 };
	all_words wide;
	pairs pair;

	if (xrnpe_format_bits(format) == 4 && n % 2) {
		for (size_t i = 0; i < count; i++)
			code[i] = (uint16_t)xrnpe_load(format, row, n + i);
		return;
	}
	row += xrnpe_row_bytes(format, n);
	/* Of sizes that compilers know. */
	if (count < LANES)
		memcpy(packed, row, xrnpe_row_bytes(format, count));
	else if (format == XRNPE_FORMAT_P16)
		memcpy(packed, row, 2 * LANES);
	else
		memcpy(packed, row, format == XRNPE_FORMAT_P8 ? LANES : LANES / 2);
	switch (format) {
	case XRNPE_FORMAT_P16:
		memcpy(code, packed, 2 * LANES);
		break;
	case XRNPE_FORMAT_P8:
		wide = __builtin_convertvector(*(const all_bytes *)packed, all_words);
		memcpy(code, &wide, sizeof(wide));
		break;
	default:
		/* The two of a byte in two words. GCC 12 has no instruction for both steps at once. */
		pair = __builtin_convertvector(__builtin_convertvector(*(const half_bytes *)packed, half_words),
					       pairs);
		pair = (pair | pair << 12) & 0x000f000f;
		memcpy(code, &pair, sizeof(pair));
		break;
	}
}

/* Times @factor; a bit for each that is no finite number. @format is no variable. */
INLINE uint32_t scale_values(enum xrnpe_format format, const uint16_t *code, const float *value, double factor,
			     double *to)
{
	typedef uint16_t halfs __attribute__((vector_size(VECTOR / 2)));
	typedef float half_floats __attribute__((vector_size(VECTOR / 2)));
	uint32_t special = 0;
	i32s any = { 0 };

	for (size_t i = 0; i < LANES; i += VALUES) {
		half_floats part[2];
		halfs half;
		u32s word;

		if (format == XRNPE_FORMAT_F32) {
			memcpy(&word, value + i, sizeof(word));
		} else {
			memcpy(&half, code + i, sizeof(half));
			word = value_words(format, __builtin_convertvector(half, u32s));
		}
		any |= (i32s)((word & 0x7f800000) == 0x7f800000);
		memcpy(part, &word, sizeof(part));
		for (size_t j = 0; j < 2; j++)
			*(reals *)(to + i + j * REALS) = __builtin_convertvector(part[j], reals) * factor;
	}
	for (size_t i = 0; i < VALUES; i++)
		special |= (uint32_t)any[i];
	if (!special)
		return 0;
	special = 0;
	for (size_t i = 0; i < LANES; i++)
		special |= (uint32_t)(to[i] - to[i] != 0) << i;
	return special;
}

/*
 * What the residual adds to channels @n.. of position @p, up to LANES, which is exact. A bit
 * each is returned for those that are no finite numbers.
 */
TARGET static inline uint32_t load_residuals(const struct xrnpe_product *product, uint64_t p, uint64_t n,
					     size_t count, double *to)
{
	enum xrnpe_format format = product->cmd->operand[XRNPE_OPERAND_IFM2].format;
	const uint8_t *row = xrnpe_residual_row(product, p);
	const double factor = xrnpe_residual_factor(product);
	uint16_t code[LANES] = { 0 };
	float value[LANES] = { 0 };

	if (format == XRNPE_FORMAT_F32)
		memcpy(value, row + n * sizeof(float), count * sizeof(float));
	else
		load_residual_codes(format, row, n, count, code);
	switch (format) {
	case XRNPE_FORMAT_FP4:
		return scale_values(XRNPE_FORMAT_FP4, code, value, factor, to);
	case XRNPE_FORMAT_P4:
		return scale_values(XRNPE_FORMAT_P4, code, value, factor, to);
	case XRNPE_FORMAT_P8:
		return scale_values(XRNPE_FORMAT_P8, code, value, factor, to);
	case XRNPE_FORMAT_P16:
		return scale_values(XRNPE_FORMAT_P16, code, value, factor, to);
	default:
		return scale_values(XRNPE_FORMAT_F32, code, value, factor, to);
	}
}

#endif

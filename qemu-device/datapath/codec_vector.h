/* SPDX-License-Identifier: MIT */
/*
 * A codec in vectors. An instruction set's file defines VECTOR and TARGET (vector.h),
 * includes this, and has encode() and decode() of a struct xrnpe_codec.
 */
#ifndef XRNPE_DATAPATH_CODEC_VECTOR_H
#define XRNPE_DATAPATH_CODEC_VECTOR_H

#include <string.h>

#include "vector.h"

#define BLOCK ((size_t)VECTOR)	/* codes: as bytes they fill a vector */

#define LANES (VECTOR / sizeof(uint32_t))

typedef uint8_t bytes __attribute__((vector_size(VECTOR)));
typedef uint8_t half_bytes __attribute__((vector_size(VECTOR / 2)));
typedef uint16_t halfs __attribute__((vector_size(VECTOR)));
typedef uint16_t two_halfs __attribute__((vector_size(2 * VECTOR)));
typedef uint32_t two_words __attribute__((vector_size(2 * VECTOR)));

/* A block in lanes of 32 and 16 bits. Compilers convert between two vectors and one. */
union block_words {
	words vector[4];
	two_words pair[2];
};

union block_halfs {
	halfs vector[2];
	two_halfs pair;
};

INLINE void encode_block(enum xrnpe_format format, const float *values, uint8_t *row, words *nan)
{
	union block_words code;
	union block_halfs half;
	half_bytes packed;
	bytes byte;

#pragma GCC unroll 4
	for (size_t i = 0; i < 4; i++) {
		words value;

		memcpy(&value, values + i * LANES, sizeof(value));
		code.vector[i] = round_words(format, value, nan);
		if (format == XRNPE_FORMAT_F32)
			memcpy(row + i * sizeof(words), &code.vector[i], sizeof(words));
	}
	if (format == XRNPE_FORMAT_F32)
		return;
	half.vector[0] = __builtin_convertvector(code.pair[0], halfs);
	half.vector[1] = __builtin_convertvector(code.pair[1], halfs);
	if (format == XRNPE_FORMAT_P16) {
		memcpy(row, &half.vector[0], sizeof(halfs));
		memcpy(row + sizeof(halfs), &half.vector[1], sizeof(halfs));
		return;
	}
	byte = __builtin_convertvector(half.pair, bytes);
	if (format == XRNPE_FORMAT_P8) {
		memcpy(row, &byte, sizeof(byte));
		return;
	}
	packed = __builtin_convertvector((halfs)byte | (halfs)byte >> 4, half_bytes);
	memcpy(row, &packed, sizeof(packed));
}

INLINE void decode_block(enum xrnpe_format format, const uint8_t *row, float *values)
{
	union block_words code;
	union block_halfs half;
	half_bytes packed;
	bytes byte;

	switch (format) {
	case XRNPE_FORMAT_FP4:
	case XRNPE_FORMAT_P4:
		memcpy(&packed, row, sizeof(packed));
		half.vector[0] = __builtin_convertvector(packed, halfs);
		byte = (bytes)((half.vector[0] | half.vector[0] << 4) & 0x0f0f);
		half.pair = __builtin_convertvector(byte, two_halfs);
		break;
	case XRNPE_FORMAT_P8:
		memcpy(&byte, row, sizeof(byte));
		half.pair = __builtin_convertvector(byte, two_halfs);
		break;
	default:
		memcpy(&half.vector[0], row, sizeof(halfs));
		memcpy(&half.vector[1], row + sizeof(halfs), sizeof(halfs));
		break;
	}
	code.pair[0] = __builtin_convertvector(half.vector[0], two_words);
	code.pair[1] = __builtin_convertvector(half.vector[1], two_words);
#pragma GCC unroll 4
	for (size_t i = 0; i < 4; i++) {
		words value = value_words(format, code.vector[i]);

		memcpy(values + i * LANES, &value, sizeof(value));
	}
}

/* A row of @format, which is no variable. */
INLINE void encode_as(enum xrnpe_format format, const float *values, uint8_t *row, size_t count,
		      uint32_t *status)
{
	words nan = { 0 };

	for (; count >= BLOCK; count -= BLOCK) {
		encode_block(format, values, row, &nan);
		values += BLOCK;
		row += xrnpe_row_bytes(format, BLOCK);
	}
	if (count) {
		float rest[BLOCK] = { 0 };
		uint8_t codes[BLOCK * sizeof(float)];

		memcpy(rest, values, count * sizeof(*rest));
		encode_block(format, rest, codes, &nan);
		memcpy(row, codes, xrnpe_row_bytes(format, count - 1));
		xrnpe_store(format, row, count - 1, xrnpe_load(format, codes, count - 1));
	}
	for (size_t i = 0; i < VECTOR / sizeof(nan[0]); i++)
		*status |= nan[i] & XRNPE_STATUS_INVALID;
}

INLINE void decode_as(enum xrnpe_format format, const uint8_t *row, float *values, size_t count)
{
	for (; count >= BLOCK; count -= BLOCK) {
		decode_block(format, row, values);
		values += BLOCK;
		row += xrnpe_row_bytes(format, BLOCK);
	}
	if (count) {
		uint8_t codes[BLOCK * sizeof(float)] = { 0 };
		float rest[BLOCK];

		memcpy(codes, row, xrnpe_row_bytes(format, count));
		decode_block(format, codes, rest);
		memcpy(values, rest, count * sizeof(*rest));
	}
}

TARGET static void encode(enum xrnpe_format format, const float *values, void *row, size_t count,
			  uint32_t *status)
{
	switch (format) {
	case XRNPE_FORMAT_FP4:
		encode_as(XRNPE_FORMAT_FP4, values, row, count, status);
		break;
	case XRNPE_FORMAT_P4:
		encode_as(XRNPE_FORMAT_P4, values, row, count, status);
		break;
	case XRNPE_FORMAT_P8:
		encode_as(XRNPE_FORMAT_P8, values, row, count, status);
		break;
	case XRNPE_FORMAT_P16:
		encode_as(XRNPE_FORMAT_P16, values, row, count, status);
		break;
	default:
		encode_as(XRNPE_FORMAT_F32, values, row, count, status);
		break;
	}
}

TARGET static void decode(enum xrnpe_format format, const void *row, float *values, size_t count)
{
	switch (format) {
	case XRNPE_FORMAT_FP4:
		decode_as(XRNPE_FORMAT_FP4, row, values, count);
		break;
	case XRNPE_FORMAT_P4:
		decode_as(XRNPE_FORMAT_P4, row, values, count);
		break;
	case XRNPE_FORMAT_P8:
		decode_as(XRNPE_FORMAT_P8, row, values, count);
		break;
	case XRNPE_FORMAT_P16:
		decode_as(XRNPE_FORMAT_P16, row, values, count);
		break;
	default:
		memcpy(values, row, xrnpe_row_bytes(format, count));
		break;
	}
}

#endif

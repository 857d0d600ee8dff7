// SPDX-License-Identifier: MIT
/*
 * Rows of codes as columns: 16 by 16 bytes, 8 by 8 words or 4 by 4 double words in the
 * compilers' vectors, and what is left one by one. Codes of 4 bits become bytes before and
 * are packed after.
 */
#include "kernel.h"

#define VECTOR 16
#define BLOCK 64		/* nibbles that are bytes for a while, in rows and columns; whole squares */
#define INLINE __attribute__((always_inline)) static inline

typedef uint8_t bytes __attribute__((vector_size(VECTOR)));
typedef uint16_t halves __attribute__((vector_size(VECTOR)));
typedef uint32_t words __attribute__((vector_size(VECTOR)));

/* The first and the last halves of two vectors in turns, elements of @size bytes. */
INLINE bytes zip(bytes a, bytes b, size_t size, bool last)
{
	switch (size) {
	case 1:
		return last ? __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30,
						      15, 31) :
			      __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
	case 2:
		return last ? (bytes)__builtin_shufflevector((halves)a, (halves)b, 4, 12, 5, 13, 6, 14, 7, 15) :
			      (bytes)__builtin_shufflevector((halves)a, (halves)b, 0, 8, 1, 9, 2, 10, 3, 11);
	default:
		return last ? (bytes)__builtin_shufflevector((words)a, (words)b, 2, 6, 3, 7) :
			      (bytes)__builtin_shufflevector((words)a, (words)b, 0, 4, 1, 5);
	}
}

INLINE bytes load(const uint8_t *from)
{
	bytes value;

	memcpy(&value, from, sizeof(value));
	return value;
}

/*
 * A square of elements of @size bytes, of which there are @rows rows. Each turn zips a row with the
 * one half of them below.
 */
INLINE void square(const uint8_t *from, uint64_t from_step, size_t rows, uint8_t *to, uint64_t to_step,
		   size_t size)
{
	const size_t side = VECTOR / size;
	bytes row[VECTOR], next[VECTOR];

#pragma GCC unroll 16
	for (size_t i = 0; i < side; i++, from += from_step)
		row[i] = i < rows ? load(from) : (bytes){ 0 };
#pragma GCC unroll 4
	for (size_t turn = 1; turn < side; turn *= 2) {
#pragma GCC unroll 8
		for (size_t i = 0; i < side / 2; i++) {
			next[2 * i] = zip(row[i], row[i + side / 2], size, false);
			next[2 * i + 1] = zip(row[i], row[i + side / 2], size, true);
		}
		memcpy(row, next, side * sizeof(*row));
	}
#pragma GCC unroll 16
	for (size_t i = 0; i < side; i++, to += to_step)
		memcpy(to, &row[i], VECTOR);
}

INLINE void transpose_as(const uint8_t *from, uint64_t from_step, uint8_t *to, uint64_t to_step, size_t rows,
			 size_t columns, size_t size)
{
	const size_t side = VECTOR / size, whole_columns = columns / side * side;
	size_t whole_rows = rows / side * side;

	if (!whole_columns)
		whole_rows = 0;
	for (size_t j = 0; j < whole_rows; j += side) {
		for (size_t i = 0; i < whole_columns; i += side)
			square(from + j * from_step + i * size, from_step, side, to + i * to_step + j * size,
			       to_step, size);
	}
	for (size_t i = 0; i < columns; i++) {
		/* Of whole columns the last rows, of the others all. */
		size_t first = i < whole_columns ? whole_rows : 0;

#pragma GCC unroll 2
		for (size_t j = first; j < rows; j++)
			memcpy(to + i * to_step + j * size, from + j * from_step + i * size, size);
	}
}

/*
 * Columns of a few bytes, one after the other without a gap: what is written beyond one is of
 * those that follow. Returns how many are done.
 */
static size_t transpose_few(const uint8_t *from, uint64_t from_step, uint8_t *to, size_t rows, size_t columns)
{
	size_t done = 0;

	for (; done + 2 * VECTOR <= columns; done += VECTOR)
		square(from + done, from_step, rows, to + done * rows, rows, 1);
	return done;
}

/* The same of three, as cameras have: with a zero behind each three, which then go in pairs of them. */
static size_t transpose_three(const uint8_t *from, uint64_t from_step, uint8_t *to, size_t columns)
{
	typedef uint64_t longs __attribute__((vector_size(VECTOR)));
	size_t done = 0;

	for (; done + 2 * VECTOR <= columns; done += VECTOR, from += VECTOR) {
		bytes first = load(from), second = load(from + from_step), third = load(from + 2 * from_step);

#pragma GCC unroll 4
		for (int i = 0; i < 4; i++, to += 12) {
			bytes odd = zip(first, third, 1, i / 2), even = zip(second, (bytes){ 0 }, 1, i / 2);
			longs two = (longs)zip(odd, even, 1, i % 2);
			uint64_t pair[2];

			two = (two & 0xffffff) | two >> 32 << 24;
			memcpy(pair, &two, sizeof(pair));
			memcpy(to, &pair[0], sizeof(*pair));
			memcpy(to + 6, &pair[1], sizeof(*pair));
		}
	}
	return done;
}

void xrnpe_unpack_nibbles(const uint8_t *from, size_t first, size_t count, uint8_t *to)
{
	size_t i = 0;

	for (; first % 2 == 0 && i + 2 * VECTOR <= count; i += 2 * VECTOR) {
		bytes packed, codes;

		memcpy(&packed, from + (first + i) / 2, sizeof(packed));
		codes = zip(packed & 15, packed >> 4, 1, false);
		memcpy(to + i, &codes, sizeof(codes));
		codes = zip(packed & 15, packed >> 4, 1, true);
		memcpy(to + i + VECTOR, &codes, sizeof(codes));
	}
	for (; i < count; i++)
		to[i] = from[(first + i) / 2] >> (first + i) % 2 * 4 & 15;
}

/* Elements @at.. of a packed row, before which all are set. */
static void pack(const uint8_t *codes, uint8_t *row, size_t at, size_t count)
{
	if (at % 2 && count) {
		row[at / 2] = (uint8_t)(row[at / 2] | codes[0] << 4);
		at++;
		codes++;
		count--;
	}
	xrnpe_pack_nibbles(codes, row + at / 2, count);
}

/* Rows or columns of bytes, up to whole squares. */
static size_t in_squares(size_t count)
{
	return (count + VECTOR - 1) / VECTOR * VECTOR;
}

static void transpose_nibbles(const uint8_t *from, uint64_t from_step, size_t first, uint8_t *to,
			      uint64_t to_step, size_t at, size_t rows, size_t columns)
{
	uint8_t in[BLOCK][BLOCK], out[BLOCK][BLOCK + VECTOR];

	for (size_t j = 0; j < rows; j += BLOCK) {
		size_t some_rows = rows - j < BLOCK ? rows - j : BLOCK;

		for (size_t i = 0; i < columns; i += BLOCK) {
			size_t some = columns - i < BLOCK ? columns - i : BLOCK;

			for (size_t r = 0; r < some_rows; r++)
				xrnpe_unpack_nibbles(from + (j + r) * from_step, first + i, some, in[r]);
			/* With bytes of no meaning behind them, as bytes one by one take longer. */
			transpose_as(in[0], sizeof(in[0]), out[0], sizeof(out[0]), in_squares(some_rows),
				     in_squares(some), 1);
			for (size_t c = 0; c < some; c++) {
				out[c][some_rows] = 0;
				pack(out[c], to + (i + c) * to_step, at + j, some_rows);
			}
		}
	}
}

void xrnpe_copy_columns(enum xrnpe_format format, const uint8_t *from, uint64_t from_step, size_t first,
			uint8_t *to, uint64_t to_step, size_t at, size_t rows, size_t columns)
{
	unsigned int bits = xrnpe_format_bits(format);
	size_t done;

	if (bits == 4) {
		transpose_nibbles(from, from_step, first, to, to_step, at, rows, columns);
		return;
	}
	from += first * (bits / 8);
	to += at * (bits / 8);
	switch (bits) {
	case 8:
		done = 0;
		if (rows == 3 && to_step == rows && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
			done = transpose_three(from, from_step, to, columns);
		else if (rows < VECTOR && to_step == rows)
			done = transpose_few(from, from_step, to, rows, columns);
		transpose_as(from + done, from_step, to + done * to_step, to_step, rows, columns - done, 1);
		break;
	case 16:
		transpose_as(from, from_step, to, to_step, rows, columns, 2);
		break;
	default:
		transpose_as(from, from_step, to, to_step, rows, columns, 4);
		break;
	}
}

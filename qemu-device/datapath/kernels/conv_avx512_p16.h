/* SPDX-License-Identifier: MIT */
/*
 * Convolutions of Posit(16,1) in doubles with AVX-512: tiles that read inputs where a struct windows
 * says, and what the bound on the error must know. sums_p16.h says why that is enough.
 */
#ifndef XRNPE_DATAPATH_CONV_AVX512_P16_H
#define XRNPE_DATAPATH_CONV_AVX512_P16_H

#include "avx512_p16.h"
#include "sums_p16.h"
#include "windows.h"

#define COLUMN_BYTES (2u << 20)	/* a cache */

/* Bytes between rows of doubles: an odd number of lines, so that they do not compete for sets. */
static size_t pitch_of(const struct xrnpe_product *product)
{
	return ((product->k * sizeof(double) + XRNPE_DECODE_SLACK) / 128 * 2 + 3) * 64;
}

/* What is known of the weights of some channels; then these, by half of the channels, as a kernel has them. */
struct panel {
	struct stage stage;
	double magnitudes[LANES] __attribute__((aligned(64)));	/* of a channel's weights: their sum */
	uint64_t bits;		/* of all of them, or-ed together */
	double values[] __attribute__((aligned(64)));
};

/* ---- tiles ------------------------------------------------------------ */

/* In assembly as GCC 12 moves the accumulators when it is given the intrinsic. */
#define MULTIPLY_ADD(acc, x, y) __asm__("vfmadd231pd %2, %1, %0" : "+v"(acc) : "v"(x), "v"(y))
/* @x: a double in memory. For Zen 4 its broadcast is work only if it is an instruction of its own. */
#define MULTIPLY_ADD_EACH(acc, x, y) \
	__asm__("vfmadd231pd %1%{1to8%}, %2, %0" : "+v"(acc) : "m"(x), "v"(y))

/*
 * The sums of some quads and half of a panel's channels, or, with one of the vectors, a quarter.
 * What a quad has of positions that there are not, the next quad overwrites. @count: values of a run.
 */
INLINE void multiply_tile(size_t quads, size_t vectors, const struct windows *windows, size_t count,
			  const double *b, double (*sum)[LANES])
{
	const size_t pitch = windows->pitch;
	__m512d acc[QUADS][QUAD][2];

#pragma GCC unroll 3
	for (size_t q = 0; q < quads; q++) {
#pragma GCC unroll 4
		for (size_t r = 0; r < QUAD; r++)
			acc[q][r][0] = acc[q][r][1] = _mm512_setzero_pd();
	}
	for (size_t line = 0; line < windows->lines; line++) {
		for (size_t run = 0; run < windows->runs; run++) {
			const uint8_t *a[QUADS];

#pragma GCC unroll 3
			for (size_t q = 0; q < quads; q++)
				a[q] = windows->at[line][q] + run * windows->run_pitch;
			for (size_t i = count; i; i--, b += HALF) {
				__m512d low = _mm512_load_pd(b), high = vectors > 1 ? _mm512_load_pd(b + 8) : low;

#pragma GCC unroll 3
				for (size_t q = 0; q < quads; q++) {
#pragma GCC unroll 4
					for (size_t r = 0; r < QUAD; r++) {
						const double *value = (const double *)(a[q] + r * pitch);
						__m512d x;

						if (vectors == 1) {
							MULTIPLY_ADD_EACH(acc[q][r][0], *value, low);
							continue;
						}
						x = _mm512_set1_pd(*value);
						MULTIPLY_ADD(acc[q][r][0], x, low);
						MULTIPLY_ADD(acc[q][r][1], x, high);
					}
					a[q] += sizeof(double);
				}
			}
		}
	}
#pragma GCC unroll 3
	for (size_t q = 0; q < quads; q++) {
#pragma GCC unroll 4
		for (size_t r = 0; r < QUAD; r++) {
			_mm512_store_pd(sum[windows->row[q] + r], acc[q][r][0]);
			if (vectors > 1)
				_mm512_store_pd(sum[windows->row[q] + r] + 8, acc[q][r][1]);
		}
	}
}

typedef void tile(const struct windows *windows, size_t count, const double *b, double (*sum)[LANES]);

#define TILE(quads, vectors)								\
	TARGET static void tile_##quads##_##vectors(const struct windows *windows, size_t count, \
						    const double *b, double (*sum)[LANES]) \
	{										\
		multiply_tile(quads, vectors, windows, count, b, sum);			\
	}
TILE(1, 1)
TILE(1, 2)
TILE(2, 1)
TILE(2, 2)
TILE(3, 1)
TILE(3, 2)

static tile *const tiles[QUADS][2] = {
	{ tile_1_1, tile_1_2 }, { tile_2_1, tile_2_2 }, { tile_3_1, tile_3_2 },
};

/* ---- bounds ----------------------------------------------------------- */

/* Note how large the inputs of a line are. */
TARGET static void measure(const struct xrnpe_lines *lines, struct xrnpe_line *line)
{
	const double *value = (const double *)line->values;
	size_t count = lines->width * lines->channels;
	__m512d most = _mm512_setzero_pd();
	__m512i bits = _mm512_setzero_si512();

	for (size_t i = 0; i < count; i += 8) {
		__m512d magnitude = _mm512_abs_pd(_mm512_maskz_loadu_pd((__mmask8)first_lanes(count - i), value + i));

		most = _mm512_max_pd(most, magnitude);
		bits = note_bits(bits, magnitude);
	}
	line->most = _mm512_reduce_max_pd(most);
	line->bits = (uint64_t)_mm512_reduce_or_epi64(bits);
	line->measured = true;
}

/* What is known of the inputs that a tile sees. */
struct seen {
	double most;		/* the largest magnitude */
	uint64_t bits;		/* of the magnitudes, or-ed together */
};

static inline void note_line(struct seen *seen, const struct xrnpe_lines *image, struct xrnpe_line *line)
{
	if (!line->measured)
		measure(image, line);
	seen->most = line->most > seen->most ? line->most : seen->most;
	seen->bits |= line->bits;
}

/* What sums are off by at most: @most of the magnitudes of their channels' weights. */
TARGET static void bound(const double *magnitudes, size_t count, double most, double *error)
{
	for (size_t i = 0; i < count; i += 8)
		_mm512_store_pd(error + i, _mm512_mul_pd(_mm512_load_pd(magnitudes + i),
							 _mm512_set1_pd(most)));
}

#endif

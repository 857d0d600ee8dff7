// SPDX-License-Identifier: MIT
/*
 * Posit(16,1) with AVX2 and NEON.
 *
 * As with AVX-512 (gemm_avx512_p16.c) values are doubles, in units of the grid, sums have a
 * bound on what they are off by, and what is in doubt is computed once more in 128 bits.
 */
#if defined(__x86_64__) || defined(__AARCH64EL__)

#include <string.h>

#include "gemm_tiles.h"
#include "sums_p16.h"
#include "lines.h"
#include "rounding.h"
#include "tiles_p16.h"

#define COLUMN_BYTES (2u << 20)	/* a cache */
#define HALF (LANES / 2)	/* the channels of a tile */
#define CODES (VECTOR / sizeof(uint32_t))

/* Magnitudes of values, those but zero: the largest and what all are multiples of. */
struct span {
	double most, unit;
};

struct panel {
	struct outputs outputs;	/* of sums in grid units */
	bool nar[LANES];	/* a NaR among the channel's weights */
	bool any_nar;
	struct span span;
	/* Of each half of the channels the weights; then by run the largest magnitudes of all. */
	double values[] __attribute__((aligned(64)));
};

/* Layout of the scratch memory; then rows of doubles (ROWS inputs or LANES weights) and lines. */
struct scratch {
	double sum[ROWS][LANES] __attribute__((aligned(64)));
	double magnitudes[ROWS][XRNPE_MAX_K / RUN];	/* of inputs, their sums by run */
	struct span span[ROWS];
};

static double *largest_of(const struct xrnpe_product *product, const struct panel *panel)
{
	return (double *)panel->values + product->k * LANES;
}

static size_t panel_bytes(const struct xrnpe_product *product)
{
	return sizeof(struct panel) + (product->k + runs_of(product)) * LANES * sizeof(double);
}

/* Bytes between rows of doubles: an odd number of lines, see gemm_tiles.c. */
static size_t pitch_of(const struct xrnpe_product *product)
{
	return ((product->k * sizeof(double) + XRNPE_DECODE_SLACK) / 128 * 2 + 3) * 64;
}

/* ---- decoding --------------------------------------------------------- */

/* @count codes; true if any is NaR. */
TARGET static bool decode_codes(const uint8_t *row, size_t count, double *values)
{
	typedef uint16_t packed __attribute__((vector_size(VECTOR / 2)));
	const double scale = power(SCALE(1) + 28);		/* 2^-28 is the grid's unit */
	uint8_t *to = (uint8_t *)values;
	halves found = { 0 };
	bool nar = false;

	for (size_t i = 0; i < count; i += CODES, to += CODES * sizeof(double)) {
		packed some = { 0 };
		halves code, upper;
		codes part[2];

		if (count - i >= CODES)
			memcpy(&some, row + i * 2, sizeof(some));
		else
			memcpy(&some, row + i * 2, (count - i) * 2);
		code = __builtin_convertvector(some, halves) << 16;
		found |= code == INT32_MIN;
		upper = upper_halves(1, code << 1, code ^ (code << 1));
		memcpy(part, &upper, sizeof(part));
		for (int j = 0; j < 2; j++) {
			reals value = (reals)(__builtin_convertvector(part[j], bits) << 32) * scale;

			memcpy(to + j * VECTOR, &value, sizeof(value));
		}
	}
	for (size_t i = 0; i < CODES; i++)
		nar |= found[i];
	return nar;
}

static bool decode_doubles(const struct xrnpe_product *product, const struct xrnpe_factor *factor,
			   const uint8_t *row, size_t first, size_t count, void *values)
{
	return decode_factor(decode_codes, factor, row, first, count, values);
}

static const struct xrnpe_decoder decoder = { decode_doubles, sizeof(double), 0 };

/* The sums of the magnitudes of @k values at @row, by run. */
TARGET static struct span measure(const double *row, size_t k, double *sums)
{
	const reals zero = { 0 }, none = zero + __builtin_inf();
	reals most = zero, unit = none;
	struct span span = { 0, __builtin_inf() };

	for (size_t start = 0; start < k; start += RUN) {
		size_t end = start + RUN < k ? start + RUN : k;
		reals sum = zero;

		for (size_t i = start; i < end; i += REALS) {
			reals value = zero, last;
			bits odd;

			if (end - i >= REALS)
				memcpy(&value, row + i, sizeof(value));
			else
				memcpy(&value, row + i, (end - i) * sizeof(*row));
			value = magnitude_of(value);
			sum += value;
			most = larger_real(most, value);
			/* Its last bit; of a power of two half of it, which is good, too. */
			odd = (bits)value | 1ull << 52;
			last = value - (reals)((bits)value - (odd & -odd));
			unit = smaller_real(unit, select_reals((ints)(value == zero), none, last));
		}
		*sums = 0;
		for (size_t i = 0; i < REALS; i++)
			*sums += sum[i];
		sums++;
	}
	for (size_t i = 0; i < REALS; i++) {
		span.most = most[i] > span.most ? most[i] : span.most;
		span.unit = unit[i] < span.unit ? unit[i] : span.unit;
	}
	return span;
}

/* Whether every sum of @k products is a double, exactly. */
static bool sums_fit(struct span inputs, struct span weights, size_t k)
{
	return (double)k * inputs.most * weights.most <= 0x1p53 * inputs.unit * weights.unit;
}

TARGET void xrnpe_tiles_p16_fill(const struct xrnpe_product *product, uint64_t n, size_t count,
				 void *memory, void *scratch)
{
	size_t pitch = pitch_of(product);
	uint8_t *rows = (uint8_t *)((struct scratch *)scratch + 1);
	struct panel *panel = memory;
	double *to = panel->values, *largest = largest_of(product, panel);

	memset(panel, 0, sizeof(*panel));
	make_outputs(product, n, count, P16_UNIT, &panel->outputs);
	panel->span.unit = __builtin_inf();
	for (size_t i = 0; i < LANES; i++) {
		double *row = (double *)(rows + i * pitch), sums[XRNPE_MAX_K / RUN];
		struct span span;

		if (i >= count) {
			memset(row, 0, product->k * sizeof(*row));
			continue;
		}
		panel->nar[i] = xrnpe_weights(product, &decoder, n + i, row);
		panel->any_nar |= panel->nar[i];
		span = measure(row, product->k, sums);
		panel->span.most = span.most > panel->span.most ? span.most : panel->span.most;
		panel->span.unit = span.unit < panel->span.unit ? span.unit : panel->span.unit;
	}
	memset(largest, 0, runs_of(product) * LANES * sizeof(*largest));
	for (size_t lane = 0; lane < LANES; lane += HALF) {
		for (size_t k = 0; k < product->k; k++, to += HALF) {
			double *most = largest + k / RUN * LANES + lane;

			if (!(k % POLL_STEPS) && xrnpe_cancelled(product->cancel))
				return;
			for (size_t i = 0; i < HALF; i++)
				to[i] = ((const double *)(rows + (lane + i) * pitch))[k];
			for (size_t i = 0; i < HALF; i += REALS)
				*(reals *)(most + i) = larger_real(load(most + i), magnitude_of(load(to + i)));
		}
	}
}

/* ---- output ----------------------------------------------------------- */

/* What the sums of a position are off by at most, given those of its inputs' magnitudes. */
TARGET static void bound(const double *magnitudes, const double *largest, size_t runs, double precision,
			 double *error)
{
	for (size_t i = 0; i < LANES; i += REALS) {
		reals sum = { 0 };

		for (size_t run = 0; run < runs; run++)
			sum = fused(load(largest + run * LANES + i), (reals){ 0 } + magnitudes[run], sum);
		*(reals *)(error + i) = sum * precision;
	}
}

/* Channels @n.. of position @p, a tile's row @r. @inputs: its own; @out: all channels of it. */
TARGET static void put(const struct xrnpe_product *product, const struct panel *panel,
		       const struct scratch *scratch, size_t r, const double *inputs, bool nar, uint8_t *out,
		       uint64_t p, uint64_t n, size_t count, uint32_t *status)
{
	const double *sum = scratch->sum[r];
	bool exact = sums_fit(scratch->span[r], panel->span, product->k);
	double error[LANES] __attribute__((aligned(64)));
	uint32_t code[LANES] __attribute__((aligned(64))), doubt;

	bound(scratch->magnitudes[r], largest_of(product, panel), exact ? 0 : runs_of(product),
	      precision_of(product->k), error);
	doubt = output_near(product, &panel->outputs, sum, error, p, n, count, code);
	for (size_t i = 0; i < count; i++) {
		const double *weights = panel->values + i / HALF * product->k * HALF + i % HALF;

		if (doubt >> i & 1 && !nar && !panel->nar[i])
			code[i] = exact_output(product, inputs, weights, HALF, p, n + i, sum[i] < 0, status);
	}
	pack(product->out, out, n, code, count);
	if (nar || panel->any_nar)
		xrnpe_put_nar(product, nar ? NULL : panel->nar, out, n, count, status);
}

/* ---- blocks ----------------------------------------------------------- */

struct xrnpe_tiling xrnpe_tiles_p16_tiling(const struct xrnpe_product *product)
{
	return (struct xrnpe_tiling){
		.rows = ROWS,
		.lanes = LANES,
		.panel_bytes = panel_bytes(product),
		.column_bytes = COLUMN_BYTES,
	};
}

size_t xrnpe_tiles_p16_scratch(const struct xrnpe_product *product)
{
	return sizeof(struct scratch) + LANES * pitch_of(product) +
	       xrnpe_lines_size(product, &decoder, xrnpe_inputs(product), 1);
}

TARGET void xrnpe_tiles_p16_run(xrnpe_real_tile *tile, const struct xrnpe_product *product,
				const struct xrnpe_block *block, const void *panels, void *memory,
				uint32_t *status)
{
	struct scratch *scratch = memory;
	size_t pitch = pitch_of(product);
	uint8_t *inputs = (uint8_t *)(scratch + 1);
	struct xrnpe_lines lines;

	xrnpe_lines_start_group(&lines, product, &decoder, block->n0, 1, inputs + LANES * pitch);
	for (uint64_t p = block->p0; p < block->p1; p += ROWS) {
		size_t rows = block->p1 - p < ROWS ? (size_t)(block->p1 - p) : ROWS;
		const uint8_t *at = panels;
		uint8_t *out[ROWS];
		bool nar[ROWS];

		xrnpe_output_rows(product, p, rows, out);
		xrnpe_lines_gather(&lines, p, rows, inputs, pitch, nar);
		for (size_t r = 0; r < rows; r++)
			scratch->span[r] = measure((const double *)(inputs + r * pitch), product->k,
						   scratch->magnitudes[r]);
		for (uint64_t n = block->n0; n < block->n1; n += LANES, at += panel_bytes(product)) {
			const struct panel *panel = (const struct panel *)at;
			size_t count = block->n1 - n < LANES ? (size_t)(block->n1 - n) : LANES;

			for (size_t half = 0; half < 2; half++) {
				if (xrnpe_cancelled(product->cancel))
					return;
				tile(inputs, pitch, panel->values + half * product->k * HALF, product->k,
				     (double (*)[LANES])(scratch->sum[0] + half * HALF));
			}
			for (size_t r = 0; r < rows; r++)
				put(product, panel, scratch, r, (const double *)(inputs + r * pitch), nar[r],
				    out[r], p + r, n, count, status);
		}
	}
}

#endif

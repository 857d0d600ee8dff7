// SPDX-License-Identifier: MIT
/*
 * AVX-512 kernels with VNNI.
 *
 * FP4 is 8 bits on its grid: vpdpbusd takes the inputs as unsigned bytes, so 12
 * is added to them and 12 times the sum of the weights subtracted again.
 * Posit(4,1) and Posit(8,0) are 16 bits: vpdpwssd. Sums run in 32-bit lanes for
 * as many steps as cannot overflow, then in 64 bits.
 *
 * A tile is 12 positions by 32 channels, held in 24 registers. Weights are
 * decoded once for a block, in the order in which tiles read them; inputs are
 * gathered (im2col) 12 positions at a time, into rows a fixed distance apart.
 */
#ifdef __x86_64__

#include <string.h>

#include "avx512.h"
#include "lines.h"

#define COLUMN_BYTES (1u << 20)	/* half of a cache */

INLINE void decode_fp4(const uint8_t *row, size_t first, size_t count, int8_t *values, __m512i table)
{
	for (size_t i = 0; i < count; i += 64) {
		size_t left = count - i < 64 ? count - i : 64;
		__m512i codes = load_nibbles(row, first + i, left);

		_mm512_storeu_si512(values + i, _mm512_shuffle_epi8(table, codes));
	}
}

#define FP4_OFFSET 12

INLINE __m512i fp4_table(const struct xrnpe_factor *factor, int offset)
{
	int8_t table[16];

	for (int i = 0; i < 16; i++)
		table[i] = (int8_t)(factor->narrow[i] + offset);
	return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)table));
}

TARGET static bool decode_fp4_input(const struct xrnpe_product *product, const struct xrnpe_factor *factor,
				    const uint8_t *row, size_t first, size_t count, void *values)
{
	decode_fp4(row, first, count, values, fp4_table(factor, FP4_OFFSET));
	return false;
}

TARGET static bool decode_fp4_weight(const struct xrnpe_product *product, const struct xrnpe_factor *factor,
				     const uint8_t *row, size_t first, size_t count, void *values)
{
	decode_fp4(row, first, count, values, fp4_table(factor, 0));
	return false;
}

TARGET static bool decode_nibbles(const struct xrnpe_product *product, const struct xrnpe_factor *factor,
			     const uint8_t *row, size_t first, size_t count, void *values)
{
	const __m512i nar = _mm512_set1_epi8(8);
	int16_t grid[32] = { 0 };
	__m512i table;
	__mmask64 found = 0;

	/* Entry 8, NaR, stays zero. */
	for (int i = 0; i < 16; i++)
		grid[i] = i == 8 ? 0 : factor->narrow[i];
	table = _mm512_loadu_si512(grid);
	for (size_t i = 0; i < count; i += 64) {
		size_t left = count - i < 64 ? count - i : 64;
		__m512i codes = load_nibbles(row, first + i, left);
		__m512i low = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(codes));
		__m512i high = _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(codes, 1));

		found |= _mm512_mask_cmpeq_epi8_mask(first_lanes(left), codes, nar);
		_mm512_storeu_si512((int16_t *)values + i, _mm512_permutexvar_epi16(low, table));
		_mm512_storeu_si512((int16_t *)values + i + 32, _mm512_permutexvar_epi16(high, table));
	}
	return found && factor->format == XRNPE_FORMAT_P4;
}

INLINE __m512i bytes_of(__m512i low, __m512i high)
{
	return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi16_epi8(low)),
				  _mm512_cvtepi16_epi8(high), 1);
}

/* 32 words of magnitudes, with the signs of codes that are in the upper bytes of others. */
INLINE __m512i with_signs(__m512i codes, __m512i magnitude)
{
	return _mm512_mask_sub_epi16(magnitude, _mm512_movepi16_mask(codes), _mm512_setzero_si512(), magnitude);
}

TARGET static bool decode_p8(const struct xrnpe_product *product, const struct xrnpe_factor *factor,
			     const uint8_t *row, size_t first, size_t count, void *values)
{
	/* Unpacking takes the first and last halves of lanes of 128 bits. */
	const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
	/* Of the codes from 64 on. */
	const __m512i low_table = bytes_of(_mm512_loadu_si512(factor->narrow + 64),
					   _mm512_loadu_si512(factor->narrow + 96));
	const __m512i high_table = bytes_of(_mm512_srli_epi16(_mm512_loadu_si512(factor->narrow + 64), 8),
					    _mm512_srli_epi16(_mm512_loadu_si512(factor->narrow + 96), 8));
	__mmask64 finite = ~0ull;

	for (size_t i = 0; i < count; i += 64) {
		__m512i codes = _mm512_maskz_loadu_epi8(first_lanes(count - i), row + first + i);
		__m512i index, lower, upper;
		__mmask64 value, large;

		codes = _mm512_permutexvar_epi64(order, codes);
		value = _mm512_cmpneq_epi8_mask(codes, _mm512_set1_epi8(-128));
		finite &= value;
		index = _mm512_maskz_abs_epi8(value, codes);
		/* Below 64 the magnitude is the code. */
		large = _mm512_test_epi8_mask(index, _mm512_set1_epi8(64));
		lower = _mm512_mask_permutexvar_epi8(index, large, index, low_table);
		upper = _mm512_maskz_permutexvar_epi8(large, index, high_table);
		_mm512_storeu_si512((int16_t *)values + i,
				    with_signs(_mm512_unpacklo_epi8(codes, codes),
					       _mm512_unpacklo_epi8(lower, upper)));
		_mm512_storeu_si512((int16_t *)values + i + 32,
				    with_signs(_mm512_unpackhi_epi8(codes, codes),
					       _mm512_unpackhi_epi8(lower, upper)));
	}
	return ~finite;
}

static const struct xrnpe_decoder fp4_input = { decode_fp4_input, 1, FP4_OFFSET };
static const struct xrnpe_decoder fp4_weight = { decode_fp4_weight, 1, 0 };
static const struct xrnpe_decoder nibble_words = { decode_nibbles, 2, 0 };
static const struct xrnpe_decoder p8_words = { decode_p8, 2, 0 };

const struct xrnpe_decoder *xrnpe_avx512_words(enum xrnpe_format format)
{
	return format == XRNPE_FORMAT_P8 ? &p8_words : &nibble_words;
}

/* What formats need. A step is the 4 bytes of a lane that one instruction eats. */
struct plan {
	const struct xrnpe_decoder *input, *weight;
	size_t steps;		/* of a whole sum */
	size_t safe_steps;	/* that cannot overflow 32 bits, whatever the codes */
	int64_t largest;	/* |grid value| of a weight */
};

static struct plan plan_of(const struct xrnpe_product *product)
{
	enum xrnpe_format input = product->ifm.format, weight = product->weight.format;
	struct plan plan = { xrnpe_avx512_words(input), xrnpe_avx512_words(weight),
			     .largest = xrnpe_largest(weight) };

	plan.safe_steps = (size_t)(INT32_MAX / (2 * xrnpe_largest(input) * plan.largest));
	if (input == XRNPE_FORMAT_FP4 && weight == XRNPE_FORMAT_FP4) {
		plan.input = &fp4_input;
		plan.weight = &fp4_weight;
		plan.safe_steps = SIZE_MAX;	/* 32768 x 24 x 12 is far below 2^31 */
	}
	plan.steps = (product->k * plan.input->size + 3) / 4;
	return plan;
}

/* ---- tiles ------------------------------------------------------------ */

/*
 * In assembly because GCC 12 moves and spills the accumulators when it is given
 * the intrinsics: at half the speed.
 */
#define DOT(acc, x, y) __asm__(DOT_NAME " %2, %1, %0" : "+v"(acc) : "v"(x), "v"(y))
#define ACCUMULATE(i)									\
	do {										\
		__m512i x = _mm512_set1_epi32(load_word(a + (size_t)(i) * PITCH));	\
		DOT(acc##i##_0, x, b0);							\
		DOT(acc##i##_1, x, b1);							\
	} while (0)
#define DECLARE(i) __m512i acc##i##_0 = start0, acc##i##_1 = start1
#define FINISH(i)									\
	do {										\
		_mm512_store_si512(sum[i], acc##i##_0);					\
		_mm512_store_si512(sum[i] + 16, acc##i##_1);				\
	} while (0)
#define FINISH_WIDE(i)									\
	do {										\
		widen(acc##i##_0, add, sum[i]);						\
		widen(acc##i##_1, add, sum[i] + 16);					\
	} while (0)

INLINE int32_t load_word(const uint8_t *from)
{
	int32_t word;

	memcpy(&word, from, sizeof(word));
	return word;
}

INLINE void widen(__m512i sums, bool add, int64_t *to)
{
	__m512i low = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(sums));
	__m512i high = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(sums, 1));

	if (add) {
		low = _mm512_add_epi64(low, _mm512_load_si512(to));
		high = _mm512_add_epi64(high, _mm512_load_si512(to + 8));
	}
	_mm512_store_si512(to, low);
	_mm512_store_si512(to + 8, high);
}

#define STEPS										\
	do {										\
		for (size_t s = 0; s < steps; s++, a += 4, b += LANES * 4) {		\
			__m512i b0 = _mm512_load_si512(b), b1 = _mm512_load_si512(b + 64); \
											\
			_mm_prefetch(b + AHEAD, _MM_HINT_T0);				\
			_mm_prefetch(b + AHEAD + 64, _MM_HINT_T0);			\
			ALL_ROWS(ACCUMULATE);						\
		}									\
	} while (0)

/*
 * sum[row][lane] = @start[lane] and the products of @steps steps. @a: ROWS rows, PITCH
 * apart; @b: LANES x 4 bytes a step.
 */
#define DOT_NAME "vpdpbusd"
TARGET static void tile_bytes(const uint8_t *a, const uint8_t *b, size_t steps,
			      const int32_t *start, int32_t (*sum)[LANES])
{
	const __m512i start0 = _mm512_load_si512(start), start1 = _mm512_load_si512(start + 16);
	ALL_ROWS(DECLARE);

	STEPS;
	ALL_ROWS(FINISH);
}
#undef DOT_NAME

/* The products of words that do not overflow. */
#define DOT_NAME "vpdpwssd"
TARGET static void tile_words(const uint8_t *a, const uint8_t *b, size_t steps, int32_t (*sum)[LANES])
{
	const __m512i start0 = _mm512_setzero_si512(), start1 = start0;
	ALL_ROWS(DECLARE);

	STEPS;
	ALL_ROWS(FINISH);
}

/* The same as, or (@add) added to, 64-bit sums. */
TARGET static void add_words(const uint8_t *a, const uint8_t *b, size_t steps, bool add, int64_t (*sum)[LANES])
{
	const __m512i start0 = _mm512_setzero_si512(), start1 = start0;
	ALL_ROWS(DECLARE);

	STEPS;
	ALL_ROWS(FINISH_WIDE);
}
#undef DOT_NAME

/* ---- blocks ----------------------------------------------------------- */

/* Layout of the scratch memory; then lines. */
struct scratch {
	union {
		int32_t narrow[ROWS][LANES];
		int64_t wide[ROWS][LANES];
	} sum __attribute__((aligned(64)));
	uint8_t inputs[ROWS * PITCH] __attribute__((aligned(64)));
	uint8_t rows[16 * PITCH] __attribute__((aligned(64)));	/* weights, decoded */
};

struct panel {
	struct stage stage;
	uint8_t weights[] __attribute__((aligned(64)));
};

static bool supported(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") &&
	       __builtin_cpu_supports("avx512vbmi");
}

static size_t panel_bytes(const struct plan *plan)
{
	return sizeof(struct panel) + plan->steps * 4 * LANES;
}

static struct xrnpe_tiling tiling(const struct xrnpe_product *product)
{
	struct plan plan;

	if (xrnpe_wide(product))
		return xrnpe_avx512_p16_tiling(product);
	plan = plan_of(product);
	return (struct xrnpe_tiling){
		.rows = ROWS,
		.lanes = LANES,
		.panel_bytes = panel_bytes(&plan),
		.column_bytes = COLUMN_BYTES,
	};
}

static size_t scratch_size(const struct xrnpe_product *product, const struct xrnpe_block *shape)
{
	struct plan plan;

	if (xrnpe_wide(product))
		return xrnpe_avx512_p16_scratch(product);
	plan = plan_of(product);
	return sizeof(struct scratch) + xrnpe_lines_size(product, plan.input, xrnpe_inputs(product), 1);
}

/* Zeros where a row ends within a step. */
static void pad(const struct plan *plan, size_t k, uint8_t *row)
{
	size_t size = k * plan->input->size;

	memset(row + size, 0, plan->steps * 4 - size);
}

TARGET static void fill(const struct xrnpe_product *product, uint64_t n, size_t count, void *memory,
			void *scratch)
{
	uint8_t *rows = ((struct scratch *)scratch)->rows;
	struct panel *panel = memory;
	struct stage *stage = &panel->stage;
	struct plan plan;

	if (xrnpe_wide(product)) {
		xrnpe_avx512_p16_fill(product, n, count, panel, scratch);
		return;
	}
	plan = plan_of(product);
	xrnpe_avx512_stage(product, n, count, stage);
	for (size_t half = 0; half < VECTORS; half++) {
		for (size_t i = 0; i < 16; i++) {
			uint8_t *row = rows + i * PITCH;
			size_t lane = half * 16 + i;

			if (lane >= count) {
				memset(row, 0, plan.steps * 4);
				continue;
			}
			stage->nar[lane] = xrnpe_weights(product, plan.weight, n + lane, row);
			stage->any_nar |= stage->nar[lane];
			pad(&plan, product->k, row);
		}
		interleave(rows, PITCH, plan.steps, LANES * 4, panel->weights + half * 64);
		if (plan.weight == &fp4_weight) {
			__m512i sum = _mm512_setzero_si512();

			for (size_t s = 0; s < plan.steps; s++)
				sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(FP4_OFFSET),
							  _mm512_load_si512(panel->weights + s * LANES * 4 + half * 64));
			_mm512_store_si512(stage->start + half * 16,
					   _mm512_sub_epi32(_mm512_setzero_si512(), sum));
		}
	}
}

/* The largest sum of magnitudes among decoded rows of 16-bit values. */
TARGET static int64_t largest_sum(const uint8_t *rows, size_t count, size_t k)
{
	int64_t largest = 0;

	for (size_t r = 0; r < count; r++) {
		const int16_t *row = (const int16_t *)(rows + r * PITCH);
		__m512i sum = _mm512_setzero_si512();
		int64_t total;

		for (size_t i = 0; i < k; i += 32) {
			__m512i values = _mm512_maskz_loadu_epi16((__mmask32)first_lanes(k - i < 32 ?
									k - i : 32), row + i);

			sum = _mm512_dpwssd_epi32(sum, _mm512_abs_epi16(values), _mm512_set1_epi16(1));
		}
		total = _mm512_reduce_add_epi64(_mm512_add_epi64(
			_mm512_cvtepi32_epi64(_mm512_castsi512_si256(sum)),
			_mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(sum, 1))));
		if (total > largest)
			largest = total;
	}
	return largest;
}

/* The products of @scratch's inputs and a panel. */
static struct sums multiply(const struct plan *plan, const struct panel *panel, size_t safe,
			    struct scratch *scratch)
{
	if (plan->input->size == 1)
		tile_bytes(scratch->inputs, panel->weights, plan->steps, panel->stage.start,
			   scratch->sum.narrow);
	else if (plan->steps <= safe)
		tile_words(scratch->inputs, panel->weights, plan->steps, scratch->sum.narrow);
	else {
		for (size_t s = 0; s < plan->steps; s += safe)
			add_words(scratch->inputs + s * 4, panel->weights + s * LANES * 4,
				  plan->steps - s < safe ? plan->steps - s : safe, s, scratch->sum.wide);
		return (struct sums){ .wide = scratch->sum.wide[0] };
	}
	return (struct sums){ .narrow = scratch->sum.narrow[0] };
}

TARGET static void run(const struct xrnpe_product *product, const struct xrnpe_block *block,
		       const void *panels, void *memory, uint32_t *status)
{
	struct scratch *scratch = memory;
	struct xrnpe_lines lines;
	struct plan plan;

	if (xrnpe_wide(product)) {
		xrnpe_avx512_p16_run(product, block, panels, memory, status);
		return;
	}
	plan = plan_of(product);
	xrnpe_lines_start_group(&lines, product, plan.input, block->n0, 1, scratch + 1);
	for (uint64_t p = block->p0; p < block->p1; p += ROWS) {
		size_t rows = block->p1 - p < ROWS ? (size_t)(block->p1 - p) : ROWS;
		size_t safe = plan.safe_steps;
		const uint8_t *at = panels;
		uint8_t *out[ROWS];
		bool nar[ROWS];

		xrnpe_lines_gather(&lines, p, rows, scratch->inputs, PITCH, nar);
		for (size_t r = 0; r < rows; r++)
			pad(&plan, product->k, scratch->inputs + r * PITCH);
		xrnpe_output_rows(product, p, rows, out);
		if (safe < plan.steps &&
		    largest_sum(scratch->inputs, rows, product->k) * plan.largest <= INT32_MAX)
			safe = plan.steps;
		for (uint64_t n = block->n0; n < block->n1; n += LANES, at += panel_bytes(&plan)) {
			const struct panel *panel = (const struct panel *)at;
			size_t count = block->n1 - n < LANES ? (size_t)(block->n1 - n) : LANES;
			struct sums sums;

			if (xrnpe_cancelled(product->cancel))
				return;
			xrnpe_fetch_residuals(product, p, rows, n);
			sums = multiply(&plan, panel, safe, scratch);
			xrnpe_avx512_put(product, &panel->stage, &sums, p, out, rows, n, count, status);
			for (size_t r = 0; r < rows; r++) {
				if (nar[r] || panel->stage.any_nar)
					xrnpe_put_nar(product, nar[r] ? NULL : panel->stage.nar, out[r], n,
						      count, status);
			}
		}
	}
}

const struct xrnpe_kernel xrnpe_kernel_avx512 = {
	.name = "avx512-vnni",
	.supported = supported,
	.preferred = (const struct xrnpe_kernel *const[]){
		&xrnpe_gemv_avx512, &xrnpe_depthwise_avx512_words, &xrnpe_depthwise_avx512,
		&xrnpe_conv_avx512_pairs, &xrnpe_conv_avx512, &xrnpe_conv_avx512_winograd,
		&xrnpe_conv_avx512_split, &xrnpe_conv_avx512_p16, NULL,
	},
	.tiling = tiling,
	.fill = fill,
	.scratch = scratch_size,
	.run = run,
};

#endif

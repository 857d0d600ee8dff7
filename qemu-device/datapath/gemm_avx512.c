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

#define TASK_BYTES (1u << 20)	/* decoded weights in a task: half of a cache */
#define TASK_POSITIONS 1020

INLINE void decode_fp4(const uint8_t *row, size_t first, size_t count, int8_t *values, __m512i table)
{
	for (size_t i = 0; i < count; i += 64) {
		size_t left = count - i < 64 ? count - i : 64;
		__m512i codes = load_nibbles(row, first + i, left);

		_mm512_storeu_si512(values + i, _mm512_shuffle_epi8(table, codes));
	}
}

#define FP4_OFFSET 12

INLINE __m512i fp4_table(const struct xrnpe_product *product, int offset)
{
	int8_t table[16];

	for (int i = 0; i < 16; i++)
		table[i] = (int8_t)(product->narrow[i] + offset);
	return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)table));
}

TARGET static bool decode_fp4_input(const struct xrnpe_product *product, const uint8_t *row,
				    size_t first, size_t count, void *values)
{
	decode_fp4(row, first, count, values, fp4_table(product, FP4_OFFSET));
	return false;
}

TARGET static bool decode_fp4_weight(const struct xrnpe_product *product, const uint8_t *row,
				     size_t first, size_t count, void *values)
{
	decode_fp4(row, first, count, values, fp4_table(product, 0));
	return false;
}

TARGET static bool decode_p4(const struct xrnpe_product *product, const uint8_t *row,
			     size_t first, size_t count, void *values)
{
	const __m512i nar = _mm512_set1_epi8(8);
	int16_t grid[32] = { 0 };
	__m512i table;
	__mmask64 found = 0;

	/* Entry 8, NaR, stays zero. */
	for (int i = 0; i < 16; i++)
		grid[i] = i == 8 ? 0 : product->narrow[i];
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
	return found;
}

/* 32 codes in 16 bits each; the tables hold the values of the codes 0 to 127. */
INLINE __m512i p8_values(__m256i packed, const __m512i table[4])
{
	__m512i code = _mm512_cvtepi8_epi16(packed), index = _mm512_abs_epi16(code), value;
	__mmask32 upper = _mm512_test_epi16_mask(index, _mm512_set1_epi16(64));

	value = _mm512_mask_blend_epi16(upper, _mm512_permutex2var_epi16(table[0], index, table[1]),
					_mm512_permutex2var_epi16(table[2], index, table[3]));
	return _mm512_mask_sub_epi16(value, _mm512_movepi16_mask(code), _mm512_setzero_si512(), value);
}

TARGET static bool decode_p8(const struct xrnpe_product *product, const uint8_t *row,
			     size_t first, size_t count, void *values)
{
	const int16_t *grid = product->narrow;
	__m512i table[4];
	__mmask64 found = 0;

	for (int i = 0; i < 4; i++)
		table[i] = _mm512_loadu_si512(grid + i * 32);
	for (size_t i = 0; i < count; i += 64) {
		__mmask64 lanes = first_lanes(count - i);
		__m512i codes = _mm512_maskz_loadu_epi8(lanes, row + first + i);
		__mmask64 nar = _mm512_cmpeq_epi8_mask(codes, _mm512_set1_epi8(-128));

		found |= nar;
		codes = _mm512_mask_mov_epi8(codes, nar, _mm512_setzero_si512());
		_mm512_storeu_si512((int16_t *)values + i,
				    p8_values(_mm512_castsi512_si256(codes), table));
		_mm512_storeu_si512((int16_t *)values + i + 32,
				    p8_values(_mm512_extracti64x4_epi64(codes, 1), table));
	}
	return found;
}

static const struct xrnpe_decoder fp4_input = { decode_fp4_input, 1, FP4_OFFSET };
static const struct xrnpe_decoder fp4_weight = { decode_fp4_weight, 1, 0 };
static const struct xrnpe_decoder p4_any = { decode_p4, 2, 0 };
static const struct xrnpe_decoder p8_any = { decode_p8, 2, 0 };

/* What a format needs. A step is the 4 bytes of a lane that one instruction eats. */
struct plan {
	const struct xrnpe_decoder *input, *weight;
	size_t steps;		/* of a whole sum */
	size_t safe_steps;	/* that cannot overflow 32 bits, whatever the codes */
	int64_t largest;	/* |grid value| */
};

static struct plan plan_of(const struct xrnpe_product *product)
{
	struct plan plan;

	switch (product->format) {
	case XRNPE_FORMAT_FP4:
		plan.input = &fp4_input;
		plan.weight = &fp4_weight;
		plan.largest = 12;
		break;
	case XRNPE_FORMAT_P4:
		plan.input = plan.weight = &p4_any;
		plan.largest = 256;
		break;
	default:
		plan.input = plan.weight = &p8_any;
		plan.largest = 4096;
		break;
	}
	plan.steps = (product->k * plan.input->size + 3) / 4;
	/* FP4: 32768 x 24 x 12 is far below 2^31. */
	plan.safe_steps = product->format == XRNPE_FORMAT_FP4 ? plan.steps :
			  (size_t)(INT32_MAX / (2 * plan.largest * plan.largest));
	return plan;
}

/* ---- tiles ------------------------------------------------------------ */

#define AHEAD 1024	/* bytes of weights that are fetched from the second cache */

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
		widen(acc##i##_0, add, sum[i]);						\
		widen(acc##i##_1, add, sum[i] + 16);					\
	} while (0)
#define ALL_ROWS(what)									\
	what(0); what(1); what(2); what(3); what(4); what(5);				\
	what(6); what(7); what(8); what(9); what(10); what(11)

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

#define DOT_NAME "vpdpbusd"
TARGET static void tile_bytes(const uint8_t *a, const uint8_t *b, size_t steps,
			      const int32_t *start, bool add, int64_t (*sum)[LANES])
{
	const __m512i start0 = _mm512_load_si512(start), start1 = _mm512_load_si512(start + 16);
	ALL_ROWS(DECLARE);

	for (size_t s = 0; s < steps; s++, a += 4, b += LANES * 4) {
		__m512i b0 = _mm512_load_si512(b), b1 = _mm512_load_si512(b + 64);

		_mm_prefetch(b + AHEAD, _MM_HINT_T0);
		_mm_prefetch(b + AHEAD + 64, _MM_HINT_T0);
		ALL_ROWS(ACCUMULATE);
	}
	ALL_ROWS(FINISH);
}
#undef DOT_NAME

#define DOT_NAME "vpdpwssd"
TARGET void xrnpe_avx512_tile_words(const uint8_t *a, const uint8_t *b, size_t steps,
				    const int32_t *start, bool add, int64_t (*sum)[LANES])
{
	const __m512i start0 = _mm512_load_si512(start), start1 = _mm512_load_si512(start + 16);
	ALL_ROWS(DECLARE);

	for (size_t s = 0; s < steps; s++, a += 4, b += LANES * 4) {
		__m512i b0 = _mm512_load_si512(b), b1 = _mm512_load_si512(b + 64);

		_mm_prefetch(b + AHEAD, _MM_HINT_T0);
		_mm_prefetch(b + AHEAD + 64, _MM_HINT_T0);
		ALL_ROWS(ACCUMULATE);
	}
	ALL_ROWS(FINISH);
}
#undef DOT_NAME

/* ---- output ----------------------------------------------------------- */

/*
 * acc * scale + bias with the last bit set if anything was lost ("round to
 * odd"): with 53 bits this rounds on to any of our formats as the exact value
 * would. acc, scale and bias are exact doubles.
 */
INLINE __m512d fma_odd(__m512d acc, __m512d scale, __m512d bias)
{
	__m512d low = _mm512_fmadd_round_pd(acc, scale, bias, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
	__m512d high = _mm512_fmadd_round_pd(acc, scale, bias, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
	__m512d cut = _mm512_fmadd_round_pd(acc, scale, bias, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
	__mmask8 lost = _mm512_cmp_pd_mask(low, high, _CMP_NEQ_UQ);
	__m512i bits = _mm512_castpd_si512(cut);

	return _mm512_castsi512_pd(_mm512_mask_or_epi64(bits, lost, bits, _mm512_set1_epi64(1)));
}

/* The same in floats, of integers below 2^24, and encoded. */
INLINE __m512i encode_floats(enum xrnpe_format out, __m512 acc, __m512 scale, __m512 bias, __m512 least)
{
	__m512 low, high, cut;
	__m512i bits;

	if (out == XRNPE_FORMAT_F32)
		return _mm512_castps_si512(_mm512_max_ps(
			_mm512_fmadd_round_ps(acc, scale, bias, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
			least));
	low = _mm512_fmadd_round_ps(acc, scale, bias, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
	high = _mm512_fmadd_round_ps(acc, scale, bias, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
	cut = _mm512_fmadd_round_ps(acc, scale, bias, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
	bits = _mm512_castps_si512(cut);
	bits = _mm512_mask_or_epi32(bits, _mm512_cmp_ps_mask(low, high, _CMP_NEQ_UQ), bits,
				    _mm512_set1_epi32(1));
	return encode_odd(out, _mm512_castps_si512(_mm512_max_ps(_mm512_castsi512_ps(bits), least)));
}

INLINE bool below_2_24(__m512i low, __m512i high)
{
	const __m512i offset = _mm512_set1_epi64(1 << 24);

	return !_mm512_test_epi64_mask(_mm512_or_si512(_mm512_add_epi64(low, offset),
						       _mm512_add_epi64(high, offset)),
				       _mm512_set1_epi64(-(1 << 25)));
}

INLINE void put_row(const struct xrnpe_product *product, enum xrnpe_format out,
		    const struct stage *stage, const int64_t *sum, uint8_t *row, uint64_t n, size_t count)
{
	const __m512d zero = _mm512_setzero_pd();
	const __m512 least = product->cmd->activation == XRNPE_ACT_RELU ? _mm512_setzero_ps() :
			     _mm512_set1_ps(-__builtin_inff());

	for (size_t i = 0; i < count; i += 16) {
		__m512i low = _mm512_load_si512(sum + i), high = _mm512_load_si512(sum + i + 8);
		__m512d y[2];

		if (stage->floats && below_2_24(low, high)) {
			__m512 acc = _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtepi64_ps(low)),
							_mm512_cvtepi64_ps(high), 1);

			store16(out, row, n + i, encode_floats(out, acc, _mm512_load_ps(stage->scale32 + i),
							       _mm512_load_ps(stage->bias32 + i), least),
				count - i < 16 ? count - i : 16);
			continue;
		}
		for (size_t j = 0; j < 2; j++) {
			size_t at = i + j * 8;

			y[j] = fma_odd(_mm512_cvtepi64_pd(j ? high : low),
				       _mm512_load_pd(stage->scale + at),
				       _mm512_load_pd(stage->bias + at));
			if (product->cmd->activation == XRNPE_ACT_RELU)
				y[j] = _mm512_max_pd(y[j], zero);
			/* A sum of zero is +0, even if its terms were -0. */
			y[j] = _mm512_mask_mov_pd(y[j], _mm512_cmp_pd_mask(y[j], zero, _CMP_EQ_OQ), zero);
		}
		store16(out, row, n + i, encode16(out, y[0], y[1]), count - i < 16 ? count - i : 16);
	}
}

TARGET static void put_fp4(const struct xrnpe_product *product, const struct stage *stage,
			   const int64_t *sum, uint8_t *row, uint64_t n, size_t count)
{
	put_row(product, XRNPE_FORMAT_FP4, stage, sum, row, n, count);
}

TARGET static void put_p4(const struct xrnpe_product *product, const struct stage *stage,
			  const int64_t *sum, uint8_t *row, uint64_t n, size_t count)
{
	put_row(product, XRNPE_FORMAT_P4, stage, sum, row, n, count);
}

TARGET static void put_p8(const struct xrnpe_product *product, const struct stage *stage,
			  const int64_t *sum, uint8_t *row, uint64_t n, size_t count)
{
	put_row(product, XRNPE_FORMAT_P8, stage, sum, row, n, count);
}

TARGET static void put_p16(const struct xrnpe_product *product, const struct stage *stage,
			   const int64_t *sum, uint8_t *row, uint64_t n, size_t count)
{
	put_row(product, XRNPE_FORMAT_P16, stage, sum, row, n, count);
}

TARGET static void put_f32(const struct xrnpe_product *product, const struct stage *stage,
			   const int64_t *sum, uint8_t *row, uint64_t n, size_t count)
{
	put_row(product, XRNPE_FORMAT_F32, stage, sum, row, n, count);
}

static void (*const put_as[])(const struct xrnpe_product *product, const struct stage *stage,
			    const int64_t *sum, uint8_t *row, uint64_t n, size_t count) = {
	[XRNPE_FORMAT_FP4] = put_fp4, [XRNPE_FORMAT_P4] = put_p4, [XRNPE_FORMAT_P8] = put_p8,
	[XRNPE_FORMAT_P16] = put_p16, [XRNPE_FORMAT_F32] = put_f32,
};

void xrnpe_avx512_put(const struct xrnpe_product *product, const struct stage *stage,
		      const int64_t *sum, uint8_t *row, uint64_t n, size_t count)
{
	put_as[product->out](product, stage, sum, row, n, count);
}

/* ---- blocks ----------------------------------------------------------- */

/* Layout of the scratch memory; then panels, stages and lines. */
struct scratch {
	int64_t sum[ROWS][LANES] __attribute__((aligned(64)));
	uint8_t inputs[ROWS * PITCH] __attribute__((aligned(64)));
	uint8_t rows[16 * PITCH] __attribute__((aligned(64)));	/* weights, decoded */
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
	return plan->steps * 4 * LANES;
}

static void shape(const struct xrnpe_product *product, unsigned int threads,
		  struct xrnpe_block *block)
{
	struct plan plan;

	if (product->format == XRNPE_FORMAT_P16) {
		xrnpe_avx512_p16_shape(product, threads, block);
		return;
	}
	plan = plan_of(product);
	xrnpe_tiling_shape(&(struct xrnpe_tiling){
		.rows = ROWS,
		.lanes = LANES,
		.panel_bytes = panel_bytes(&plan),
		.task_bytes = TASK_BYTES,
		.task_positions = TASK_POSITIONS,
	}, product, threads, block);
}

static size_t scratch_size(const struct xrnpe_product *product, const struct xrnpe_block *block)
{
	struct plan plan;

	if (product->format == XRNPE_FORMAT_P16)
		return xrnpe_avx512_p16_scratch(product, block);
	plan = plan_of(product);
	return sizeof(struct scratch) + xrnpe_lines_size(product, plan.input, xrnpe_inputs(product)) +
	       xrnpe_panels(block->n1, LANES) * (sizeof(struct stage) + panel_bytes(&plan));
}

/* Decode the weights of channels @n.. to a panel, and prepare their output. */
TARGET static void fill_panel(const struct xrnpe_product *product, const struct plan *plan,
			      uint64_t n, size_t count, uint8_t *rows, uint8_t *panel,
			      struct stage *stage)
{
	double unit = 1.0 / (double)(1ull << -2 * xrnpe_grid_unit(product->format));
	size_t size = product->k * plan->weight->size, padded = plan->steps * 4;

	memset(stage, 0, sizeof(*stage));
	stage_scales(product, n, count, unit, stage);
	for (size_t half = 0; half < VECTORS; half++) {
		for (size_t i = 0; i < 16; i++) {
			uint8_t *row = rows + i * PITCH;
			size_t lane = half * 16 + i;

			if (lane >= count) {
				memset(row, 0, padded);
				continue;
			}
			stage->nar[lane] = xrnpe_weights(product, plan->weight, n + lane, row);
			stage->any_nar |= stage->nar[lane];
			memset(row + size, 0, padded - size);
		}
		interleave(rows, PITCH, plan->steps, panel + half * 64);
		if (plan->weight == &fp4_weight) {
			__m512i sum = _mm512_setzero_si512();

			for (size_t s = 0; s < plan->steps; s++)
				sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(FP4_OFFSET),
							  _mm512_load_si512(panel + s * LANES * 4 + half * 64));
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

TARGET static void run(const struct xrnpe_product *product, const struct xrnpe_block *block,
		       void *memory, uint32_t *status)
{
	static const int32_t zeros[LANES] __attribute__((aligned(64)));
	struct scratch *scratch = memory;
	struct xrnpe_lines lines;
	struct plan plan;
	size_t panels;
	struct stage *stages;
	uint8_t *weights;

	if (product->format == XRNPE_FORMAT_P16) {
		xrnpe_avx512_p16_run(product, block, memory, status);
		return;
	}
	plan = plan_of(product);
	panels = xrnpe_panels(block->n1 - block->n0, LANES);
	weights = (uint8_t *)(scratch + 1);
	stages = (struct stage *)(weights + panels * panel_bytes(&plan));
	xrnpe_lines_start_group(&lines, product, plan.input, block->n0, stages + panels);
	for (size_t i = 0; i < panels; i++) {
		uint64_t n = block->n0 + i * LANES;

		if (xrnpe_cancelled(product->cancel))
			return;
		fill_panel(product, &plan, n, block->n1 - n < LANES ? (size_t)(block->n1 - n) : LANES,
			   scratch->rows, weights + i * panel_bytes(&plan), &stages[i]);
	}
	for (uint64_t p = block->p0; p < block->p1; p += ROWS) {
		size_t rows = block->p1 - p < ROWS ? (size_t)(block->p1 - p) : ROWS;
		size_t safe = plan.safe_steps, size = product->k * plan.input->size;
		uint8_t *out[ROWS];
		bool nar[ROWS];

		if (xrnpe_cancelled(product->cancel))
			return;
		xrnpe_lines_gather(&lines, p, rows, scratch->inputs, PITCH, nar);
		for (size_t r = 0; r < rows && size < plan.steps * 4; r++)
			memset(scratch->inputs + r * PITCH + size, 0, plan.steps * 4 - size);
		xrnpe_output_rows(product, p, rows, out);
		if (safe < plan.steps &&
		    largest_sum(scratch->inputs, rows, product->k) * plan.largest <= INT32_MAX)
			safe = plan.steps;
		for (size_t i = 0; i < panels; i++) {
			const struct stage *stage = &stages[i];
			uint64_t n = block->n0 + i * LANES;
			size_t count = block->n1 - n < LANES ? (size_t)(block->n1 - n) : LANES;

			for (size_t s = 0; s < plan.steps; s += safe) {
				size_t steps = plan.steps - s < safe ? plan.steps - s : safe;
				const uint8_t *a = scratch->inputs + s * 4;
				const uint8_t *b = weights + i * panel_bytes(&plan) + s * LANES * 4;

				if (plan.input->size == 1)
					tile_bytes(a, b, steps, stage->start, s, scratch->sum);
				else
					xrnpe_avx512_tile_words(a, b, steps, zeros, s, scratch->sum);
			}
			for (size_t r = 0; r < rows; r++) {
				xrnpe_avx512_put(product, stage, scratch->sum[r], out[r], n, count);
				if (nar[r] || stage->any_nar)
					xrnpe_put_nar(product, nar[r] ? NULL : stage->nar, out[r], n, count,
						      status);
			}
		}
	}
}

const struct xrnpe_kernel xrnpe_kernel_avx512 = {
	.name = "avx512-vnni",
	.codec = &xrnpe_codec_avx512,
	.supported = supported,
	.few = &xrnpe_gemv_avx512,
	.shape = shape,
	.scratch = scratch_size,
	.run = run,
	.depthwise = &xrnpe_depthwise_avx512,
};

#endif

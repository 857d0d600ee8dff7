// SPDX-License-Identifier: MIT
/*
 * AMX: tiles of 16 x 64 bytes, whose products are summed up in 16 x 16 words of 32
 * bits.
 *
 * Values on the grid are cut into digits that fit signed bytes, each a slice:
 *
 *	FP4				one
 *	Posit(4,1), Posit(8,0)		two of 7 bits, -64..64
 *
 * whichever of them the factors are, and only those digits are multiplied that the values
 * of a strip of positions or of a panel of channels have. Of two digits on both sides, the sum of the cross products is had
 * from the sums of the digits. No sum of products of digits overflows 32 bits, whatever
 * the codes: Documentation/numerics.rst.
 *
 * Two digits are three products of bytes. Posit(4,1) is powers of two, which bfloat16
 * holds, for the work of two. So if both factors are Posit(4,1), panels that have both digits are in floats instead, and
 * their sums are cut into runs none of which can get so large that binary32 rounds.
 *
 * Two by two tiles are 32 positions by 32 channels. The output stage is AVX-512's, and so
 * is all of Posit(16,1), whose products would be of up to eight bytes by eight.
 */
#ifdef __x86_64__

#include <stdlib.h>
#include <string.h>

#include "amx.h"
#include "avx512.h"
#include "lines.h"

#define STRIP 32		/* positions of two tiles */
#define TILE_ROWS 16
#define TILE_BYTES 64		/* of a row: the products of a step */

#define DIGIT_BITS 7
#define DIGIT_SLICES 3		/* low, high, their sum; a float has the size of two */
#define POWERS 3

/* Products of a step, and of a run: as many as cannot exceed 2^24 with the largest codes. */
#define FLOAT_STEP (TILE_BYTES / 2)
#define RUN 256
#define RUNS (XRNPE_MAX_K / RUN)

#define COLUMN_BYTES (1u << 20)	/* half of a cache */

/* ---- decoding --------------------------------------------------------- */

/* To codes in bytes. That of a NaR stays: its digits are zero. */
TARGET static bool decode_nibbles(const struct xrnpe_product *product, const struct xrnpe_factor *factor,
				  const uint8_t *row, size_t first, size_t count, void *values)
{
	__mmask64 found = 0;

	for (size_t i = 0; i < count; i += 64) {
		__m512i codes = load_nibbles(row, first + i, count - i < 64 ? count - i : 64);

		found |= _mm512_mask_cmpeq_epi8_mask(first_lanes(count - i), codes, _mm512_set1_epi8(8));
		_mm512_storeu_si512((uint8_t *)values + i, codes);
	}
	return found && factor->format == XRNPE_FORMAT_P4;
}

TARGET static bool decode_bytes(const struct xrnpe_product *product, const struct xrnpe_factor *factor,
				const uint8_t *row, size_t first, size_t count, void *values)
{
	memcpy(values, row + first, count);
	return memchr(values, 0x80, count);
}

static const struct xrnpe_decoder nibbles = { decode_nibbles, 1, 0 };
static const struct xrnpe_decoder bytes = { decode_bytes, 1, 0 };

struct plan {
	const struct xrnpe_decoder *input, *weight;
	size_t steps;		/* of a whole sum */
	size_t value_pitch;	/* bytes between decoded rows */
	size_t pitch;		/* bytes between rows of a slice */
	int input_slices, weight_slices;	/* room for them */
	size_t slice;		/* bytes of one, of a panel */
	bool floats;		/* for panels that need them */
	size_t float_pitch;	/* bytes between rows of floats */
};

static const struct xrnpe_decoder *decoder_of(enum xrnpe_format format)
{
	return format == XRNPE_FORMAT_P8 ? &bytes : &nibbles;
}

static struct plan plan_of(const struct xrnpe_product *product)
{
	enum xrnpe_format input = product->ifm.format, weight = product->weight.format;
	struct plan plan = { .input = decoder_of(input), .weight = decoder_of(weight) };

	plan.input_slices = input == XRNPE_FORMAT_FP4 ? 1 : 2;
	plan.weight_slices = weight == XRNPE_FORMAT_FP4 ? 1 : 2;
	plan.floats = input == XRNPE_FORMAT_P4 && weight == XRNPE_FORMAT_P4;
	if (plan.input_slices == 2 && plan.weight_slices == 2 && !plan.floats)
		plan.input_slices = plan.weight_slices = DIGIT_SLICES;
	plan.steps = (product->k + TILE_BYTES - 1) / TILE_BYTES;
	plan.value_pitch = plan.steps * TILE_BYTES + XRNPE_DECODE_SLACK;
	/* An odd number of lines, so that rows do not compete for sets of a cache. */
	plan.pitch = (plan.steps | 1) * TILE_BYTES;
	plan.slice = plan.steps * TILE_BYTES * LANES;
	plan.float_pitch = (plan.steps * 2 | 1) * TILE_BYTES;
	return plan;
}

struct panel {
	struct stage stage;
	int digits;			/* 1 or 2 */
	bool floats;			/* instead of digits */
	uint32_t squares[RUNS];
	uint8_t weights[] __attribute__((aligned(64)));	/* by slice, in the order of tiles */
};

/* What a task has in its scratch memory. */
struct task {
	const struct xrnpe_product *product;
	struct plan plan;
	int32_t (*sum)[STRIP][LANES];	/* by power of the radix; or floats, of a run */
	int64_t (*total)[LANES];	/* of several powers or runs */
	uint8_t *values;		/* decoded rows */
	uint8_t *rows;			/* the same in slices, STRIP rows each */
	uint8_t *float_rows;		/* the same in floats */
	int digits;			/* of the positions in @rows */
	uint32_t squares[RUNS];		/* of those in @float_rows */
	struct xrnpe_lines lines;
	uint8_t low[128] __attribute__((aligned(64))), high[128];	/* digits by code */
	uint16_t floats[32];		/* Posit(4,1) by code */
	uint8_t quarters[16] __attribute__((aligned(16)));	/* of magnitudes, rounded up */
};

static size_t panel_bytes(const struct plan *plan)
{
	return sizeof(struct panel) + (size_t)plan->weight_slices * plan->slice;
}

/* Lay out @memory. Returns how much of it that takes; then there are lines. */
static size_t lay_out(struct task *task, uint8_t *memory)
{
	const struct plan *plan = &task->plan;
	size_t total = POWERS * sizeof(*task->sum);
	size_t values = total + STRIP * sizeof(*task->total);
	size_t rows = values + STRIP * plan->value_pitch;
	int slices = plan->input_slices > plan->weight_slices ? plan->input_slices : plan->weight_slices;
	size_t floats = rows + (size_t)slices * STRIP * plan->pitch;

	if (memory) {
		task->sum = (int32_t (*)[STRIP][LANES])memory;
		task->total = (int64_t (*)[LANES])(memory + total);
		task->values = memory + values;
		task->rows = memory + rows;
		task->float_rows = memory + floats;
	}
	return floats + (plan->floats ? STRIP * plan->float_pitch : 0);
}

/* ---- digits ----------------------------------------------------------- */

/* Tables for codes of @factor up to 127, which are all that are not negative as bytes. */
static void make_tables(struct task *task, const struct xrnpe_factor *factor)
{
	for (int i = 0; i < 128; i++) {
		int value = factor->narrow[i] == XRNPE_NARROW_NAR ? 0 : factor->narrow[i];
		int high = (value + 64 - (value > 0)) >> DIGIT_BITS;

		task->low[i] = (uint8_t)(value - high * (1 << DIGIT_BITS));
		task->high[i] = (uint8_t)high;
	}
	for (int i = 0; task->plan.floats && i < 16; i++) {
		int value = factor->narrow[i] == XRNPE_NARROW_NAR ? 0 : factor->narrow[i];
		float exact = (float)value;
		uint32_t bits;

		memcpy(&bits, &exact, sizeof(bits));
		task->floats[i] = (uint16_t)(bits >> 16);
		task->quarters[i] = (uint8_t)((abs(value) + 3) / 4);
	}
}

/* Posit(8,0)'s negative codes have the digits of their magnitude, negative; NaR has none. */
INLINE __m512i look_up(const uint8_t *table, __m512i codes)
{
	__m512i digit = _mm512_permutex2var_epi8(_mm512_load_si512(table), _mm512_abs_epi8(codes),
						 _mm512_load_si512(table + 64));

	return _mm512_mask_sub_epi8(digit, _mm512_movepi8_mask(codes), _mm512_setzero_si512(), digit);
}

/* Zeros fill the last step of @count decoded rows. */
static void pad(struct task *task, size_t count)
{
	const struct plan *plan = &task->plan;
	size_t k = task->product->k;

	for (size_t r = 0; r < count; r++)
		memset(task->values + r * plan->value_pitch + k, 0, plan->steps * TILE_BYTES - k);
}

/*
 * Cut @count decoded rows to slices, and say how many digits they have. Those that are
 * missing hold anything, and so do their sums.
 */
TARGET static int cut(struct task *task, size_t count, int slices)
{
	const struct plan *plan = &task->plan;
	size_t slice = STRIP * plan->pitch;
	__m512i any = _mm512_setzero_si512();

	for (size_t r = 0; r < count; r++) {
		for (size_t i = 0; i < plan->steps * TILE_BYTES; i += TILE_BYTES) {
			__m512i codes = _mm512_loadu_si512(task->values + r * plan->value_pitch + i);
			__m512i low = look_up(task->low, codes), high;
			uint8_t *to = task->rows + r * plan->pitch + i;

			_mm512_store_si512(to, low);
			if (slices == 1)
				continue;
			high = look_up(task->high, codes);
			any = _mm512_or_si512(any, high);
			_mm512_store_si512(to + slice, high);
			if (slices == DIGIT_SLICES)
				_mm512_store_si512(to + 2 * slice, _mm512_add_epi8(low, high));
		}
	}
	return _mm512_test_epi8_mask(any, any) ? 2 : 1;
}

/*
 * The same to floats; rows that are missing are zero. In @squares, run by run, the largest
 * sum of squares of quarters that a row has.
 */
TARGET static void cut_floats(struct task *task, size_t count, uint32_t *squares)
{
	const struct plan *plan = &task->plan;
	const __m512i table = _mm512_loadu_si512(task->floats);
	const __m512i quarters = _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)task->quarters));
	size_t length = plan->steps * TILE_BYTES;

	memset(squares, 0, RUNS * sizeof(*squares));
	for (size_t r = 0; r < STRIP; r++) {
		const uint8_t *from = task->values + r * plan->value_pitch;
		uint8_t *to = task->float_rows + r * plan->float_pitch;

		if (r >= count) {
			memset(to, 0, length * 2);
			continue;
		}
		for (size_t i = 0; i < length; ) {
			uint32_t *most = &squares[i / RUN], sum;
			__m512i sums = _mm512_setzero_si512();

			do {
				__m512i codes = _mm512_loadu_si512(from + i);
				__m512i quarter = _mm512_shuffle_epi8(quarters, codes);
				__m512i low = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(codes));
				__m512i high = _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(codes, 1));

				sums = _mm512_dpbusd_epi32(sums, quarter, quarter);
				_mm512_store_si512(to + i * 2, _mm512_permutexvar_epi16(low, table));
				_mm512_store_si512(to + i * 2 + 64, _mm512_permutexvar_epi16(high, table));
				i += 64;
			} while (i < length && i % RUN);
			sum = (uint32_t)_mm512_reduce_add_epi32(sums);
			if (sum > *most)
				*most = sum;
		}
	}
}

/* The sum of two digits is a slice too. */
static int slices_of(const struct plan *plan, int digits)
{
	return plan->weight_slices == DIGIT_SLICES && digits == 2 ? DIGIT_SLICES : digits;
}

/* The @size bytes of rows, @pitch bytes apart, in the order of tiles. */
TARGET static void to_tiles(const uint8_t *rows, size_t pitch, size_t size, uint8_t *to)
{
	for (size_t half = 0; half < VECTORS; half++)
		interleave(rows + half * TILE_ROWS * pitch, pitch, size / 4, LANES * 4, to + half * 64);
}

TARGET static void fill(const struct xrnpe_product *product, uint64_t n, size_t count, void *memory,
			void *scratch)
{
	struct task task = { .product = product, .plan = plan_of(product) };
	const struct plan *plan = &task.plan;
	struct panel *panel = memory;
	struct stage *stage = &panel->stage;

	lay_out(&task, scratch);
	make_tables(&task, &product->weight);
	xrnpe_avx512_stage(product, n, count, stage);
	for (size_t r = 0; r < count; r++) {
		stage->nar[r] = xrnpe_weights(product, plan->weight, n + r,
					      task.values + r * plan->value_pitch);
		stage->any_nar |= stage->nar[r];
	}
	pad(&task, count);
	panel->digits = cut(&task, count, plan->weight_slices);
	panel->floats = plan->floats && panel->digits == 2;
	if (panel->floats) {
		cut_floats(&task, count, panel->squares);
		to_tiles(task.float_rows, plan->float_pitch, plan->steps * TILE_BYTES * 2, panel->weights);
		return;
	}
	for (int s = 0; s < slices_of(plan, panel->digits); s++)
		to_tiles(task.rows + (size_t)s * STRIP * plan->pitch, plan->pitch,
			 plan->steps * TILE_BYTES, panel->weights + (size_t)s * plan->slice);
}

/* ---- sums ------------------------------------------------------------- */

static void zero_tiles(void)
{
	tile_zero(0);
	tile_zero(1);
	tile_zero(2);
	tile_zero(3);
}

static void store_tiles(int32_t (*sum)[LANES])
{
	const size_t row = sizeof(*sum);

	tile_store(0, sum[0], row);
	tile_store(1, sum[0] + 16, row);
	tile_store(2, sum[TILE_ROWS], row);
	tile_store(3, sum[TILE_ROWS] + 16, row);
}

/* Add the products of @steps steps of a strip, rows @pitch bytes apart, and of a panel. */
#define ADD_STEPS(dot, rows, pitch, panel, steps)					\
	do {										\
		const uint8_t *a = rows, *b = panel;					\
		const size_t row = LANES * 4;						\
											\
		for (size_t s = 0; s < (steps); s++, a += TILE_BYTES, b += TILE_BYTES * LANES) { \
			tile_load(4, a, pitch);						\
			tile_load(6, b, row);						\
			dot(0, 4, 6);							\
			tile_load(7, b + 64, row);					\
			dot(1, 4, 7);							\
			tile_load(5, a + TILE_ROWS * (pitch), pitch);			\
			dot(2, 5, 6);							\
			dot(3, 5, 7);							\
		}									\
	} while (0)

/* The strip in task->rows times a panel, by power of the radix. */
static void multiply_digits(struct task *task, const struct panel *panel)
{
	const struct plan *plan = &task->plan;
	int powers = task->digits + panel->digits - 1;

	for (int power = 0; power < powers; power++) {
		int input = power < task->digits ? power : task->digits - 1, weight = power - input;

		/* Both cross products at once: add_powers() subtracts the others. */
		if (powers == 3 && power == 1)
			input = weight = 2;
		zero_tiles();
		ADD_STEPS(tile_dot, task->rows + (size_t)input * STRIP * plan->pitch, plan->pitch,
			  panel->weights + (size_t)weight * plan->slice, plan->steps);
		store_tiles(task->sum[power]);
	}
}

/*
 * How many runs from @first on make one sum. No sum of some of its products may exceed
 * 2^24. By the Cauchy-Schwarz inequality it does not if the sums of squares of inputs
 * and of weights multiply to no more than 2^48, and those of quarters to no more than
 * 2^40. That holds for one run always.
 */
static size_t join_runs(const uint32_t *inputs, const uint32_t *weights, size_t first, size_t runs)
{
	uint64_t a = 0, b = 0;
	size_t run = first;

	do {
		a += inputs[run];
		b += weights[run];
	} while (++run < runs && (a + inputs[run]) * (b + weights[run]) <= 1ull << 40);
	return run - first;
}

/* Add the floats of a run to the total; the @first starts it. */
TARGET static void add_run(struct task *task, bool first)
{
	for (size_t r = 0; r < STRIP; r++) {
		for (size_t lane = 0; lane < LANES; lane += 8) {
			__m512i sum = _mm512_cvtps_epi64(_mm256_load_ps((const float *)&task->sum[0][r][lane]));

			if (!first)
				sum = _mm512_add_epi64(sum, _mm512_load_si512(&task->total[r][lane]));
			_mm512_store_si512(&task->total[r][lane], sum);
		}
	}
}

/* Floats to integers, of the only run. */
TARGET static void convert_run(struct task *task)
{
	for (size_t r = 0; r < STRIP; r++) {
		for (size_t lane = 0; lane < LANES; lane += 16)
			_mm512_store_si512(&task->sum[0][r][lane], _mm512_cvtps_epi32(
				_mm512_load_ps((const float *)&task->sum[0][r][lane])));
	}
}

/* The strip in task->float_rows times a panel. */
static struct sums multiply_floats(struct task *task, const struct panel *panel)
{
	const struct plan *plan = &task->plan;
	size_t steps = (task->product->k + FLOAT_STEP - 1) / FLOAT_STEP;
	size_t runs = (task->product->k + RUN - 1) / RUN;

	for (size_t run = 0, count; run < runs; run += count) {
		size_t first = run * (RUN / FLOAT_STEP), last;

		count = join_runs(task->squares, panel->squares, run, runs);
		last = run + count < runs ? (run + count) * (RUN / FLOAT_STEP) : steps;
		zero_tiles();
		ADD_STEPS(tile_dot_floats, task->float_rows + first * TILE_BYTES, plan->float_pitch,
			  panel->weights + first * TILE_BYTES * LANES, last - first);
		store_tiles(task->sum[0]);
		if (count == runs) {
			convert_run(task);
			return (struct sums){ .narrow = task->sum[0][0] };
		}
		add_run(task, !run);
	}
	return (struct sums){ .wide = task->total[0] };
}

/* ---- output ----------------------------------------------------------- */

/* @rows rows of @powers sums to totals. */
INLINE void add_powers(struct task *task, int powers, size_t rows)
{
	for (size_t r = 0; r < rows; r++) {
		for (size_t lane = 0; lane < LANES; lane += 16) {
			__m512i part[3], low, high;

			for (int p = 0; p < powers; p++)
				part[p] = _mm512_load_si512(&task->sum[p][r][lane]);
			if (powers == 3)
				part[1] = _mm512_sub_epi32(part[1], _mm512_add_epi32(part[0], part[2]));
			low = high = _mm512_setzero_si512();
			for (int p = powers - 1; p >= 0; p--) {
				low = _mm512_add_epi64(_mm512_slli_epi64(low, DIGIT_BITS),
						       _mm512_cvtepi32_epi64(_mm512_castsi512_si256(part[p])));
				high = _mm512_add_epi64(_mm512_slli_epi64(high, DIGIT_BITS),
							_mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(part[p], 1)));
			}
			_mm512_store_si512(&task->total[r][lane], low);
			_mm512_store_si512(&task->total[r][lane + 8], high);
		}
	}
}

/* The strip times a panel. */
TARGET static struct sums multiply(struct task *task, const struct panel *panel, size_t rows)
{
	if (panel->floats)
		return multiply_floats(task, panel);
	multiply_digits(task, panel);
	switch (task->digits + panel->digits - 1) {
	case 1:
		return (struct sums){ .narrow = task->sum[0][0] };
	case 2:
		add_powers(task, 2, rows);
		break;
	default:
		add_powers(task, 3, rows);
		break;
	}
	return (struct sums){ .wide = task->total[0] };
}

/* ---- blocks ----------------------------------------------------------- */

/* Half a strip is worth it; fewer positions are left to AVX-512. */
static bool suits(const struct xrnpe_product *product)
{
	return !xrnpe_wide(product) && product->positions >= STRIP / 2;
}

static bool supported(void)
{
	return xrnpe_kernel_avx512.supported() && tile_supported();
}

static struct xrnpe_tiling tiling(const struct xrnpe_product *product)
{
	struct plan plan = plan_of(product);

	return (struct xrnpe_tiling){
		.rows = STRIP,
		.lanes = LANES,
		.panel_bytes = panel_bytes(&plan),
		.column_bytes = COLUMN_BYTES,
	};
}

static size_t scratch_size(const struct xrnpe_product *product, const struct xrnpe_block *shape)
{
	struct task task = { .product = product, .plan = plan_of(product) };

	return lay_out(&task, NULL) + xrnpe_lines_size(product, task.plan.input, xrnpe_inputs(product), 1);
}

static const struct panel *next_panel(const struct plan *plan, const struct panel *panel)
{
	return (const struct panel *)((const uint8_t *)panel + panel_bytes(plan));
}

/* With the tiles configured. */
TARGET static void run_tiles(const struct xrnpe_product *product, const struct xrnpe_block *block,
			     const struct panel *panels, uint8_t *memory, uint32_t *status)
{
	struct task task = { .product = product, .plan = plan_of(product) };
	const struct plan *plan = &task.plan;
	size_t lines = lay_out(&task, memory);
	bool any_digits = false, any_floats = false;
	const struct panel *panel = panels;

	for (uint64_t n = block->n0; n < block->n1; n += LANES, panel = next_panel(plan, panel)) {
		any_digits |= !panel->floats;
		any_floats |= panel->floats;
	}
	xrnpe_lines_start_group(&task.lines, product, plan->input, block->n0, 1, memory + lines);
	make_tables(&task, &product->ifm);
	for (uint64_t p = block->p0; p < block->p1; p += STRIP) {
		size_t rows = block->p1 - p < STRIP ? (size_t)(block->p1 - p) : STRIP;
		uint8_t *out[STRIP];
		bool nar[STRIP];

		xrnpe_output_rows(product, p, rows, out);
		xrnpe_lines_gather(&task.lines, p, rows, task.values, plan->value_pitch, nar);
		pad(&task, rows);
		if (any_digits)
			task.digits = cut(&task, rows, plan->input_slices);
		if (any_floats)
			cut_floats(&task, rows, task.squares);
		panel = panels;
		for (uint64_t n = block->n0; n < block->n1; n += LANES, panel = next_panel(plan, panel)) {
			size_t count = block->n1 - n < LANES ? (size_t)(block->n1 - n) : LANES;
			struct sums sums;

			if (xrnpe_cancelled(product->cancel))
				return;
			sums = multiply(&task, panel, rows);
			xrnpe_avx512_put(product, &panel->stage, &sums, p, out, rows, n, count, status);
			for (size_t r = 0; r < rows; r++) {
				if (nar[r] || panel->stage.any_nar)
					xrnpe_put_nar(product, nar[r] ? NULL : panel->stage.nar, out[r], n,
						      count, status);
			}
		}
	}
}

static void run(const struct xrnpe_product *product, const struct xrnpe_block *block,
		const void *panels, void *memory, uint32_t *status)
{
	tile_configure(&whole_tiles);
	run_tiles(product, block, panels, memory, status);
	tile_release();
}

const struct xrnpe_kernel xrnpe_kernel_amx = {
	.name = "amx",
	.supported = supported,
	.preferred = (const struct xrnpe_kernel *const[]){
		&xrnpe_gemv_avx512, &xrnpe_depthwise_avx512_words, &xrnpe_depthwise_avx512,
		&xrnpe_conv_avx512_winograd, &xrnpe_conv_avx512_split, &xrnpe_conv_avx512_p16, NULL,
	},
	.suits = suits,
	.otherwise = &xrnpe_kernel_avx512,
	.tiling = tiling,
	.fill = fill,
	.scratch = scratch_size,
	.run = run,
};

#endif

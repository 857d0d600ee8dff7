// SPDX-License-Identifier: MIT
/*
 * What the kernels that are made of small tiles share, see gemm_tiles.h; up to 8 bits.
 *
 * Weights are decoded to panels, in the order in which tiles read them; inputs are
 * gathered (im2col) for a row of tiles at a time.
 */
#if defined(__x86_64__) || defined(__AARCH64EL__)

#include <string.h>

#include "gemm_tiles_output.h"
#include "lines.h"

#define COLUMN_BYTES (1u << 20)		/* half of a cache */

#define LARGEST_FP4 12

/* ---- decoding --------------------------------------------------------- */

typedef uint8_t bytes __attribute__((vector_size(16)));

INLINE bytes look_up(bytes table, bytes index)
{
#ifdef __x86_64__
	return (bytes)_mm_shuffle_epi8((__m128i)table, (__m128i)index);
#else
	return (bytes)vqtbl1q_u8((uint8x16_t)table, (uint8x16_t)index);
#endif
}

/* The first and last 8 of two vectors in turns. */
INLINE bytes zip_low(bytes a, bytes b)
{
	return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

INLINE bytes zip_high(bytes a, bytes b)
{
	return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30,
				       15, 31);
}

INLINE void store(uint8_t *to, bytes value)
{
	memcpy(to, &value, sizeof(value));
}

/* Up to 32 4-bit codes, 16 in a vector. Those past the last are zero. */
INLINE void load_nibbles(const uint8_t *row, size_t first, size_t count, bytes code[2])
{
	bytes packed = { 0 }, next = { 0 };

	row += first / 2;
	if (count >= 32) {
		memcpy(&packed, row, 16);
	} else {
		memcpy(&packed, row, (count + 1) / 2);
		if (count % 2 && first % 2 == 0)
			packed[count / 2] &= 15;
	}
	if (first % 2) {
		/* The high half of each byte, and the low one of the next. */
		memcpy(&next, row + 1, count >= 32 ? 16 : count / 2);
		packed = packed >> 4 | next << 4;
	}
	code[0] = zip_low(packed & 15, packed >> 4);
	code[1] = zip_high(packed & 15, packed >> 4);
}

/* Grid values of the 16 codes as bytes: bits @shift.. of them, NaR as zero. */
static bytes table_of(const struct xrnpe_factor *factor, int add, int shift)
{
	bytes table;

	for (int i = 0; i < 16; i++) {
		int value = factor->narrow[i] == XRNPE_NARROW_NAR ? 0 : factor->narrow[i];

		table[i] = (uint8_t)((value + add) >> shift);
	}
	return table;
}

INLINE void decode_bytes(const uint8_t *row, size_t first, size_t count, uint8_t *to, bytes table)
{
	for (size_t i = 0; i < count; i += 32) {
		bytes code[2];

		load_nibbles(row, first + i, count - i, code);
		store(to + i, look_up(table, code[0]));
		store(to + i + 16, look_up(table, code[1]));
	}
}

TARGET static bool decode_fp4(const struct xrnpe_product *product, const struct xrnpe_factor *factor,
			      const uint8_t *row, size_t first, size_t count, void *values)
{
	decode_bytes(row, first, count, values, table_of(factor, 0, 0));
	return false;
}

TARGET static bool decode_fp4_offset(const struct xrnpe_product *product, const struct xrnpe_factor *factor,
				     const uint8_t *row, size_t first, size_t count, void *values)
{
	decode_bytes(row, first, count, values, table_of(factor, LARGEST_FP4, 0));
	return false;
}

/* 4-bit codes to words. */
TARGET static bool decode_words(const struct xrnpe_product *product, const struct xrnpe_factor *factor,
				const uint8_t *row, size_t first, size_t count, void *values)
{
	bytes low = table_of(factor, 0, 0), high = table_of(factor, 0, 8), nar = { 0 };
	uint64_t found[2];
	uint8_t *to = values;

	for (size_t i = 0; i < count; i += 32) {
		bytes code[2];

		load_nibbles(row, first + i, count - i, code);
		for (int j = 0; j < 2; j++, to += 32) {
			bytes a = look_up(low, code[j]), b = look_up(high, code[j]);

			nar |= (bytes)(code[j] == 8);
			store(to, zip_low(a, b));
			store(to + 16, zip_high(a, b));
		}
	}
	memcpy(found, &nar, sizeof(found));
	return (found[0] | found[1]) && factor->format == XRNPE_FORMAT_P4;
}

typedef int16_t p8_grids __attribute__((vector_size(VECTOR)));

INLINE p8_grids load_codes(const uint8_t *from)
{
#ifdef __x86_64__
	return (p8_grids)_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)from));
#else
	return (p8_grids)vmovl_s8(vld1_s8((const int8_t *)from));
#endif
}

INLINE p8_grids larger(p8_grids a, p8_grids b)
{
#ifdef __x86_64__
	return (p8_grids)_mm256_max_epi16((__m256i)a, (__m256i)b);
#else
	return (p8_grids)vmaxq_s16((int16x8_t)a, (int16x8_t)b);
#endif
}

/*
 * The magnitude of Posit(8,0) is a function of its code's that is linear in pieces:
 * m below 64, and there 2 (m - 32), from 96 on 8 (m - 80), and so on with four times
 * the slope each. It is convex, and so the largest of the lines.
 */
INLINE p8_grids p8_magnitude(p8_grids code)
{
	p8_grids line = (code - 125) * 4;

	line = larger(line, code - 122) * 4;
	line = larger(line, code - 116) * 4;
	line = larger(line, code - 104) * 4;
	line = larger(line, code - 80) * 4;
	line = larger(line, code - 32) * 2;
	return larger(line, code);
}

TARGET static bool decode_p8(const struct xrnpe_product *product, const struct xrnpe_factor *factor,
			     const uint8_t *row, size_t first, size_t count, void *values)
{
	int16_t *to = values;

	row += first;
	for (size_t i = 0; i < count; i += VECTOR / 2) {
		uint8_t last[VECTOR / 2] = { 0 };
		p8_grids code, sign;

		if (count - i >= sizeof(last))
			code = load_codes(row + i);
		else
			code = load_codes(memcpy(last, row + i, count - i));
		code &= ~(code == INT8_MIN);	/* NaR */
		sign = code < 0;
		code = (p8_magnitude((code ^ sign) - sign) ^ sign) - sign;
		memcpy(to + i, &code, sizeof(code));
	}
	return memchr(row, 0x80, count);
}

static const struct xrnpe_decoder fp4 = { decode_fp4, 1, 0 };
static const struct xrnpe_decoder fp4_offset = { decode_fp4_offset, 1, LARGEST_FP4 };
static const struct xrnpe_decoder words = { decode_words, 2, 0 };
static const struct xrnpe_decoder p8 = { decode_p8, 2, 0 };

const struct xrnpe_decoder *xrnpe_tiles_words(enum xrnpe_format format)
{
	return format == XRNPE_FORMAT_P8 ? &p8 : &words;
}

/* What a product needs, given the tiles. */
struct plan {
	const struct xrnpe_decoder *input, *weight;
	xrnpe_tile *tile;
	size_t steps;		/* of a whole sum */
	size_t safe_steps;	/* that cannot overflow 32 bits, whatever the codes */
	size_t pitch;		/* bytes between rows */
};

static struct plan plan_of(const struct xrnpe_product *product, const struct xrnpe_tiles *tiles)
{
	enum xrnpe_format input = product->ifm.format, weight = product->weight.format;
	struct plan plan = { xrnpe_tiles_words(input), xrnpe_tiles_words(weight), .tile = tiles->words };

	plan.safe_steps = (size_t)(INT32_MAX / (2 * (int64_t)xrnpe_largest(input) * xrnpe_largest(weight)));
	if (input == XRNPE_FORMAT_FP4 && weight == XRNPE_FORMAT_FP4 && tiles->bytes) {
		plan.tile = tiles->bytes;
		plan.input = tiles->offset ? &fp4_offset : &fp4;
		plan.weight = &fp4;
		plan.safe_steps = SIZE_MAX;	/* 32768 x 12 x 12 is far below 2^31 */
	}
	plan.steps = (product->k * plan.input->size + 3) / 4;
	/* Odd numbers of lines, so that rows do not compete for sets of a cache. */
	plan.pitch = ((plan.steps * 4 + XRNPE_DECODE_SLACK) / 128 * 2 + 3) * 64;
	return plan;
}

/* ---- blocks ----------------------------------------------------------- */

struct panel {
	struct stage stage;
	uint8_t weights[] __attribute__((aligned(64)));	/* in the order of tiles */
};

/* What a task has in its scratch memory. */
struct task {
	const struct xrnpe_product *product;
	struct plan plan;
	int64_t (*sum)[LANES];
	uint8_t *inputs;
	struct xrnpe_lines lines;
	void *lines_memory;
};

static size_t panel_bytes(const struct plan *plan)
{
	return sizeof(struct panel) + plan->steps * STEP_BYTES;
}

/* A part of @memory, if there is any yet, at *@end. */
static void *take(uint8_t *memory, size_t *end, size_t size)
{
	size_t at = *end;

	*end += (size + 63) / 64 * 64;
	return memory ? memory + at : NULL;
}

/* Lay out @memory. Returns how much of it that takes. */
static size_t lay_out(struct task *task, uint8_t *memory)
{
	const struct plan *plan = &task->plan;
	size_t end = 0;

	task->sum = take(memory, &end, ROWS * sizeof(*task->sum));
	task->inputs = take(memory, &end, ROWS * plan->pitch);
	task->lines_memory = take(memory, &end, xrnpe_lines_size(task->product, plan->input,
								 xrnpe_inputs(task->product), 1));
	return end;
}

struct xrnpe_tiling xrnpe_tiles_tiling(const struct xrnpe_tiles *tiles, const struct xrnpe_product *product)
{
	struct plan plan;

	if (xrnpe_wide(product))
		return xrnpe_tiles_p16_tiling(product);
	plan = plan_of(product, tiles);
	return (struct xrnpe_tiling){
		.rows = ROWS,
		.lanes = LANES,
		.panel_bytes = panel_bytes(&plan),
		.column_bytes = COLUMN_BYTES,
	};
}

size_t xrnpe_tiles_scratch(const struct xrnpe_tiles *tiles, const struct xrnpe_product *product)
{
	struct task task = { .product = product };

	if (xrnpe_wide(product))
		return xrnpe_tiles_p16_scratch(product);
	task.plan = plan_of(product, tiles);
	return lay_out(&task, NULL);
}

/* Zeros where a row ends within a step. */
static void pad(const struct plan *plan, size_t k, uint8_t *row)
{
	size_t size = k * plan->input->size;

	memset(row + size, 0, plan->steps * 4 - size);
}

#define QUAD 4		/* rows of weights that go to a panel together */

/* QUAD rows to lanes of a panel, as many steps at a time. */
TARGET static void interleave(const uint8_t *rows, size_t pitch, size_t steps, uint8_t *panel)
{
	typedef uint32_t quad __attribute__((vector_size(4 * QUAD)));

	for (size_t s = 0; s < steps; s += QUAD) {
		quad row[QUAD], pair[QUAD], step[QUAD];

		for (size_t i = 0; i < QUAD; i++)
			memcpy(&row[i], rows + i * pitch + s * 4, sizeof(row[i]));
		for (size_t i = 0; i < QUAD; i += 2) {
			pair[i] = __builtin_shufflevector(row[i], row[i + 1], 0, 4, 1, 5);
			pair[i + 1] = __builtin_shufflevector(row[i], row[i + 1], 2, 6, 3, 7);
		}
		for (size_t i = 0; i < 2; i++) {
			step[2 * i] = __builtin_shufflevector(pair[i], pair[i + 2], 0, 1, 4, 5);
			step[2 * i + 1] = __builtin_shufflevector(pair[i], pair[i + 2], 2, 3, 6, 7);
		}
		for (size_t i = 0; i < QUAD && s + i < steps; i++)
			memcpy(panel + (s + i) * STEP_BYTES, &step[i], sizeof(step[i]));
	}
}

void xrnpe_tiles_fill(const struct xrnpe_tiles *tiles, const struct xrnpe_product *product, uint64_t n,
		      size_t count, void *memory, void *scratch)
{
	struct task task = { .product = product };
	const struct plan *plan = &task.plan;
	struct panel *panel = memory;
	struct stage *stage = &panel->stage;

	if (xrnpe_wide(product)) {
		xrnpe_tiles_p16_fill(product, n, count, memory, scratch);
		return;
	}
	task.plan = plan_of(product, tiles);
	lay_out(&task, scratch);
	memset(stage, 0, sizeof(*stage));
	make_outputs(product, n, count, xrnpe_product_unit(product), &stage->outputs);
	if (count < LANES)
		memset(panel->weights, 0, plan->steps * STEP_BYTES);
	for (size_t i = 0; i < count; i++) {
		uint8_t *row = task.inputs + i % QUAD * plan->pitch;

		stage->nar[i] = xrnpe_weights(product, plan->weight, n + i, row);
		stage->any_nar |= stage->nar[i];
		pad(plan, product->k, row);
		/* What lanes without a channel have does not matter. */
		if (i % QUAD == QUAD - 1 || i == count - 1)
			interleave(task.inputs, plan->pitch, plan->steps, panel->weights + i / QUAD * QUAD * 4);
	}
	if (plan->input == &fp4_offset) {
		/* Inputs that are all zero, with the offset, give what it adds. */
		memset(task.inputs, LARGEST_FP4, plan->steps * 4);
		plan->tile(task.inputs, plan->pitch, panel->weights, plan->steps, false, task.sum);
		for (size_t i = 0; i < LANES; i++)
			stage->correction[i] = -task.sum[0][i];
	}
}

/* Decode the inputs of positions @p.. */
TARGET static void gather(struct task *task, uint64_t p, size_t rows, bool *nar)
{
	const struct plan *plan = &task->plan;

	xrnpe_lines_gather(&task->lines, p, rows, task->inputs, plan->pitch, nar);
	for (size_t r = 0; r < rows; r++)
		pad(plan, task->product->k, task->inputs + r * plan->pitch);
}

static void multiply(struct task *task, const struct panel *panel)
{
	const struct plan *plan = &task->plan;

	for (size_t s = 0; s < plan->steps; ) {
		size_t steps = plan->steps - s < plan->safe_steps ? plan->steps - s : plan->safe_steps;

		plan->tile(task->inputs + s * 4, plan->pitch, panel->weights + s * STEP_BYTES, steps, s,
			   task->sum);
		s += steps;
	}
}

/* Channels @n.. of position @p, row @row of a tile. @out: all channels of the position. */
static void put(struct task *task, const struct stage *stage, size_t row, bool nar, uint8_t *out, uint64_t p,
		uint64_t n, size_t count, uint32_t *status)
{
	const struct xrnpe_product *product = task->product;
	uint32_t code[LANES] __attribute__((aligned(64)));

	finish_narrow(product, stage, task->sum[row], p, n, count, code, status);
	pack(product->out, out, n, code, count);
	if (nar || stage->any_nar)
		xrnpe_put_nar(product, nar ? NULL : stage->nar, out, n, count, status);
}

void xrnpe_tiles_run(const struct xrnpe_tiles *tiles, const struct xrnpe_product *product,
		     const struct xrnpe_block *block, const void *panels, void *scratch, uint32_t *status)
{
	struct task task = { .product = product };

	if (xrnpe_wide(product)) {
		xrnpe_tiles_p16_run(tiles->reals, product, block, panels, scratch, status);
		return;
	}
	task.plan = plan_of(product, tiles);
	lay_out(&task, scratch);
	xrnpe_lines_start_group(&task.lines, product, task.plan.input, block->n0, 1, task.lines_memory);
	for (uint64_t p = block->p0; p < block->p1; p += ROWS) {
		size_t rows = block->p1 - p < ROWS ? (size_t)(block->p1 - p) : ROWS;
		const uint8_t *at = panels;
		uint8_t *out[ROWS];
		bool nar[ROWS];

		gather(&task, p, rows, nar);
		xrnpe_output_rows(product, p, rows, out);
		for (uint64_t n = block->n0; n < block->n1; n += LANES, at += panel_bytes(&task.plan)) {
			const struct panel *panel = (const struct panel *)at;
			size_t count = block->n1 - n < LANES ? (size_t)(block->n1 - n) : LANES;

			if (xrnpe_cancelled(product->cancel))
				return;
			multiply(&task, panel);
			for (size_t r = 0; r < rows; r++)
				put(&task, &panel->stage, r, nar[r], out[r], p + r, n, count, status);
		}
	}
}

#endif

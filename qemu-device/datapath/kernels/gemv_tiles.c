// SPDX-License-Identifier: MIT
/*
 * Few positions with AVX2 and NEON, see gemv.h: up to 8 bits, and the frame for Posit(16,1).
 *
 * Where both factors are FP4, weights are unsigned bytes, 12 added to each, so that 12 times
 * the sum of the inputs is to be subtracted, of all channels the same. Otherwise both are
 * words.
 */
#if defined(__x86_64__) || defined(__AARCH64EL__)

#include <string.h>

#include "gemm_tiles_output.h"
#include "bytes.h"
#include "gemv.h"

#define LARGEST_FP4 12
#define MOST_POSITIONS 12

/* What a vector of packed weights becomes. */
enum kind {
	BYTES,		/* two vectors of bytes: the even codes, the odd ones */
	NIBBLES,	/* 4 bits, four vectors of words: two of the even codes, two of the odd */
	OCTETS,		/* 8 bits, two vectors of words */
};

/* ---- instructions ------------------------------------------------------ */

typedef int16_t words __attribute__((vector_size(VECTOR)));
typedef uint32_t lanes __attribute__((vector_size(VECTOR)));	/* NaRs may make them wrap */

#ifdef __x86_64__

INLINE bytes magnitude(bytes value)
{
	return (bytes)_mm256_abs_epi8((__m256i)value);
}

/* a - b, but not below zero. */
INLINE bytes excess(bytes a, uint8_t b)
{
	return (bytes)_mm256_subs_epu8((__m256i)a, _mm256_set1_epi8((char)b));
}

INLINE bytes smaller(bytes a, bytes b)
{
	return (bytes)_mm256_min_epi8((__m256i)a, (__m256i)b);
}

INLINE words with_sign(words value, words sign)
{
	return (words)_mm256_sign_epi16((__m256i)value, (__m256i)sign);
}

/* Wraps, as it may where there is a NaR. */
INLINE lanes add_words(lanes sum, words a, words b)
{
	return (lanes)_mm256_add_epi32((__m256i)sum, _mm256_madd_epi16((__m256i)a, (__m256i)b));
}

/* To sums of 16 bits. @a: no sign. */
INLINE words add_bytes(words sum, bytes a, bytes b)
{
	return sum + (words)_mm256_maddubs_epi16((__m256i)a, (__m256i)b);
}

INLINE lanes widen_words(words sum)
{
	return (lanes)_mm256_madd_epi16((__m256i)sum, _mm256_set1_epi16(1));
}

INLINE ints add_lanes(ints total, lanes sum)
{
	return total + (ints)_mm256_cvtepi32_epi64(_mm256_castsi256_si128((__m256i)sum)) +
	       (ints)_mm256_cvtepi32_epi64(_mm256_extracti128_si256((__m256i)sum, 1));
}

#else

INLINE bytes magnitude(bytes value)
{
	return (bytes)vabsq_s8((int8x16_t)value);
}

INLINE bytes excess(bytes a, uint8_t b)
{
	return (bytes)vqsubq_u8((uint8x16_t)a, vdupq_n_u8(b));
}

INLINE bytes smaller(bytes a, bytes b)
{
	return (bytes)vminq_s8((int8x16_t)a, (int8x16_t)b);
}

INLINE words with_sign(words value, words sign)
{
	sign = sign < 0;
	return (value ^ sign) - sign;
}

INLINE lanes add_words(lanes sum, words a, words b)
{
	int16x8_t x = (int16x8_t)a, y = (int16x8_t)b;

	return (lanes)vmlal_high_s16(vmlal_s16((int32x4_t)sum, vget_low_s16(x), vget_low_s16(y)), x, y);
}

INLINE words add_bytes(words sum, bytes a, bytes b)
{
	int8x16_t x = (int8x16_t)a, y = (int8x16_t)b;

	return (words)vmlal_high_s8(vmlal_s8((int16x8_t)sum, vget_low_s8(x), vget_low_s8(y)), x, y);
}

INLINE lanes widen_words(words sum)
{
	return (lanes)vpaddlq_s16((int16x8_t)sum);
}

INLINE ints add_lanes(ints total, lanes sum)
{
	return (ints)vpadalq_s32((int64x2_t)total, (int32x4_t)sum);
}

#endif

/* ---- decoding ---------------------------------------------------------- */

/* Of 4-bit codes: lower and upper bytes. OCTETS: see p8_magnitudes(). */
struct tables {
	bytes low[2], high;
};

/*
 * The bytes of the magnitudes of Posit(8,0). Below 64 it is the code's, m, and 2m - 64 from
 * there on. Tables have what is to be added to that from 96 on and, more, from 112 on.
 */
INLINE void p8_magnitudes(const struct tables *table, bytes packed, bytes *low, bytes *high)
{
	bytes m = magnitude(packed);

	*low = m + excess(m, 64) + look_up(table->low[0], m - 96) + look_up(table->low[1], m - 112);
	*high = look_up(table->high, m - 112);
}

/* Table 16 grid values from that of code @first on: bits @shift.. of them. */
INLINE bytes table_of(const struct xrnpe_factor *factor, size_t first, int shift)
{
	bytes table;

	for (size_t i = 0; i < VECTOR; i++)
		table[i] = (uint8_t)(factor->narrow[first + i % 16] >> shift);
	return table;
}

TARGET static void make_tables(const struct xrnpe_factor *factor, struct tables *table)
{
	bytes code, low, high;

	memset(table, 0, sizeof(*table));
	if (factor->format != XRNPE_FORMAT_P8) {
		table->low[0] = table_of(factor, 0, 0);
		table->high = table_of(factor, 0, 8);
		return;
	}
	for (size_t t = 0; t < 2; t++) {
		for (size_t i = 0; i < VECTOR; i++)
			code[i] = (uint8_t)(96 + 16 * t + i % 16);
		p8_magnitudes(table, code, &low, &high);
		table->low[t] = table_of(factor, 96 + 16 * t, 0) - low;
	}
	table->high = table_of(factor, 112, 8);
}

/* Vectors that one of codes is decoded to. */
static inline size_t vectors_of(enum kind kind)
{
	return kind == NIBBLES ? 4 : 2;
}

/* In @found: whether there is a NaR, as a byte of -128. */
INLINE void decode(enum kind kind, const struct tables *table, bytes packed, bytes value[4],
		   bytes *found)
{
	bytes low, high;

	switch (kind) {
	case BYTES:
		value[0] = look_up(table->low[0], packed & 15);
		value[1] = look_up(table->low[0], packed >> 4);
		break;
	case NIBBLES:
		for (int i = 0; i < 2; i++) {
			bytes nibbles = i ? packed >> 4 : packed & 15;

			low = look_up(table->low[0], nibbles);
			high = look_up(table->high, nibbles);
			/* No other value has that upper byte. */
			*found = smaller(*found, high);
			value[2 * i] = first_words(low, high);
			value[2 * i + 1] = last_words(low, high);
		}
		break;
	default:
		p8_magnitudes(table, packed, &low, &high);
		*found = smaller(*found, packed);
		value[0] = (bytes)with_sign((words)first_words(low, high), (words)first_words(packed, packed));
		value[1] = (bytes)with_sign((words)last_words(low, high), (words)last_words(packed, packed));
		break;
	}
}

INLINE bool any_nar(bytes found)
{
	uint64_t part[VECTOR / 8], any = 0;

	found = (bytes)(found == 0x80);
	memcpy(part, &found, sizeof(part));
	for (size_t i = 0; i < VECTOR / 8; i++)
		any |= part[i];
	return any;
}

/* ---- rows --------------------------------------------------------------- */

/*
 * A row of codes, by vectors. The last one, which ends where the row does, has codes that
 * the one before has too, or that are before the row, and perhaps half a byte too many.
 */
struct row {
	size_t whole;		/* vectors before the last */
	size_t last;		/* bytes in which that differs */
	bytes keep;		/* what does */
};

INLINE struct row row_of(const struct xrnpe_product *product)
{
	enum xrnpe_format format = product->weight.format;
	size_t size = xrnpe_row_bytes(format, product->k);
	struct row row = { .whole = (size - 1) / VECTOR };
	uint8_t keep[VECTOR] = { 0 };

	row.last = size - row.whole * VECTOR;
	memset(keep + VECTOR - row.last, 255, row.last);
	if (xrnpe_format_bits(format) == 4 && product->k % 2)
		keep[VECTOR - 1] = 15;
	memcpy(&row.keep, keep, sizeof(keep));
	return row;
}

INLINE bytes load_vector(const uint8_t *from)
{
	bytes value;

	memcpy(&value, from, sizeof(value));
	return value;
}

INLINE bytes load_last(const struct row *row, const uint8_t *packed)
{
	uint8_t copy[VECTOR] = { 0 };

	if (row->whole)
		return load_vector(packed + row->whole * VECTOR + row->last - VECTOR) & row->keep;
	memcpy(copy + VECTOR - row->last, packed, row->last);
	return load_vector(copy) & row->keep;
}

/* ---- a kind ------------------------------------------------------------- */

/* A position's inputs, decoded. */
struct input {
	int64_t correction;	/* BYTES: of what the offset of the weights adds */
	bytes values[] __attribute__((aligned(VECTOR)));
};

struct task {
	const struct xrnpe_product *product;
	struct tables table;	/* of weights */
	uint8_t *inputs;	/* by position */
	size_t input_bytes;	/* of one */
	int16_t *words;		/* room for a row, decoded */
};

static inline struct input *input_of(const struct task *task, uint64_t p)
{
	return (struct input *)(task->inputs + p * task->input_bytes);
}

/* Inputs that are packed as weights are. True if any is NaR. */
INLINE bool prepare_alike(enum kind kind, const struct task *task, const uint8_t *packed, struct input *input)
{
	const struct row row = row_of(task->product);
	struct tables table;
	bytes found = { 0 }, *to = input->values;
	int64_t sum = 0;

	make_tables(&task->product->ifm, &table);
	for (size_t s = 0; s <= row.whole; s++) {
		bytes value[4];

		decode(kind, &table, s < row.whole ? load_vector(packed + s * VECTOR) :
		       load_last(&row, packed), value, &found);
		for (size_t i = 0; i < vectors_of(kind); i++)
			*to++ = value[i];
	}
	for (const bytes *at = input->values; kind == BYTES && at < to; at++) {
		for (size_t i = 0; i < VECTOR; i++)
			sum += (int8_t)(*at)[i];
	}
	input->correction = -LARGEST_FP4 * sum;
	return any_nar(found);
}

/* Words in the order in which weights have those of a vector: 16 bytes of it in turns. */
INLINE void arrange(enum kind kind, const int16_t *from, bytes *value)
{
	typedef int16_t few_words __attribute__((vector_size(16)));

	for (size_t i = 0; i < VECTOR; i += 16) {
		for (size_t half = 0; half < 2; half++) {
			uint8_t *to = (uint8_t *)&value[half] + i;
			few_words a, b, even, odd;

			if (kind == OCTETS) {
				memcpy(to, from, sizeof(a));
				from += 8;
				continue;
			}
			memcpy(&a, from, sizeof(a));
			memcpy(&b, from + 8, sizeof(b));
			from += 16;
			even = __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
			odd = __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
			memcpy(to, &even, sizeof(even));
			memcpy(to + 2 * VECTOR, &odd, sizeof(odd));
		}
	}
}

INLINE bool prepare_words(enum kind kind, const struct task *task, const uint8_t *packed, struct input *input)
{
	const struct xrnpe_product *product = task->product;
	const struct row row = row_of(product);
	const size_t count = vectors_of(kind) * VECTOR / 2;	/* codes of a vector */
	/* The last vector, whose codes may begin with some that are not its own. */
	const size_t others = (VECTOR - row.last) * (count / VECTOR);
	int16_t last[2 * VECTOR] = { 0 };
	bool nar;

	if (xrnpe_format_bits(product->ifm.format) == xrnpe_format_bits(product->weight.format))
		return prepare_alike(kind, task, packed, input);
	nar = xrnpe_tiles_words(product->ifm.format)->decode(product, &product->ifm, packed, 0, product->k,
							      task->words);
	for (size_t s = 0; s < row.whole; s++)
		arrange(kind, task->words + s * count, input->values + s * vectors_of(kind));
	memcpy(last + others, task->words + row.whole * count, (product->k - row.whole * count) * sizeof(*last));
	arrange(kind, last, input->values + row.whole * vectors_of(kind));
	return nar;
}

union sum {
	words words;		/* BYTES */
	lanes lanes;
};

/* A vector of weights with those of @few positions, @size bytes apart. */
INLINE void add_step(enum kind kind, size_t few, const struct tables *table, bytes packed,
		     const bytes *input, size_t size, union sum *sum, bytes *found)
{
	bytes weight[4];

	decode(kind, table, packed, weight, found);
#pragma GCC unroll 2
	for (size_t p = 0; p < few; p++) {
		const bytes *values = (const bytes *)((const uint8_t *)input + p * size);

#pragma GCC unroll 4
		for (size_t i = 0; i < vectors_of(kind); i++) {
			if (kind == BYTES)
				sum[p].words = add_bytes(sum[p].words, weight[i], values[i]);
			else
				sum[p].lanes = add_words(sum[p].lanes, (words)weight[i], (words)values[i]);
		}
	}
}

#define TOGETHER 2		/* positions */

/* Steps that cannot overflow a lane together with the last one of a row. */
static size_t safe_steps(enum kind kind, const struct xrnpe_product *product)
{
	int64_t most = (int64_t)xrnpe_largest(product->ifm.format) * xrnpe_largest(product->weight.format);

	return kind == BYTES ? INT16_MAX / (4 * 2 * LARGEST_FP4 * LARGEST_FP4) - 1 :
			       (size_t)(INT32_MAX / (2 * (int64_t)vectors_of(kind) * most)) - 1;
}

/* The sums of @few positions, from @p0 on, in channels @n.. */
INLINE void multiply(enum kind kind, size_t few, const struct task *task, uint64_t p0, uint64_t n,
		     size_t count, struct stage *stage, int64_t (*sums)[LANES])
{
	const size_t stride = task->product->weight.row_stride;
	const uint8_t *packed = xrnpe_weight_row(task->product, n);
	const struct row row = row_of(task->product);
	const struct input *input = input_of(task, p0);
	const size_t safe = safe_steps(kind, task->product);
	struct tables table = task->table;

	if (kind == BYTES)
		table.low[0] += LARGEST_FP4;
	for (size_t lane = 0; lane < count; lane++, packed += stride) {
		ints total[TOGETHER] = { 0 };
		bytes found = { 0 };
		size_t s = 0;

		gemv_look_up(packed, stride);
		do {
			union sum sum[TOGETHER] = { 0 };
			size_t end = row.whole;

			if (end - s > safe)
				end = s + safe;
			for (; s < end; s++)
				add_step(kind, few, &table, load_vector(packed + s * VECTOR),
					 input->values + s * vectors_of(kind), task->input_bytes, sum,
					 &found);
			if (s == row.whole)
				add_step(kind, few, &table, load_last(&row, packed),
					 input->values + s * vectors_of(kind), task->input_bytes, sum,
					 &found);
#pragma GCC unroll 2
			for (size_t p = 0; p < few; p++)
				total[p] = add_lanes(total[p], kind == BYTES ?
						     widen_words(sum[p].words) : sum[p].lanes);
		} while (s < row.whole);
		for (size_t p = 0; p < few; p++) {
			sums[p][lane] = kind == BYTES ? input_of(task, p0 + p)->correction : 0;
			for (size_t i = 0; i < VECTOR / sizeof(int64_t); i++)
				sums[p][lane] += total[p][i];
		}
		stage->nar[lane] = any_nar(found);
		stage->any_nar |= stage->nar[lane];
	}
}

#define MULTIPLY(name, kind)								\
	TARGET static void multiply_##name(size_t few, const struct task *task, uint64_t p, uint64_t n, \
					   size_t count, struct stage *stage, int64_t (*sums)[LANES]) \
	{										\
		if (few == 1)								\
			multiply(kind, 1, task, p, n, count, stage, sums);		\
		else									\
			multiply(kind, TOGETHER, task, p, n, count, stage, sums);	\
	}
MULTIPLY(bytes, BYTES)
MULTIPLY(nibbles, NIBBLES)
MULTIPLY(octets, OCTETS)

TARGET static bool prepare_bytes(const struct task *task, const uint8_t *packed, struct input *input)
{
	return prepare_alike(BYTES, task, packed, input);
}

TARGET static bool prepare_nibbles(const struct task *task, const uint8_t *packed, struct input *input)
{
	return prepare_words(NIBBLES, task, packed, input);
}

TARGET static bool prepare_octets(const struct task *task, const uint8_t *packed, struct input *input)
{
	return prepare_words(OCTETS, task, packed, input);
}

static const struct {
	bool (*prepare)(const struct task *task, const uint8_t *packed, struct input *input);
	/* @few: 1 or TOGETHER. */
	void (*multiply)(size_t few, const struct task *task, uint64_t p, uint64_t n, size_t count,
			 struct stage *stage, int64_t (*sums)[LANES]);
} kinds[] = {
	[BYTES] = { prepare_bytes, multiply_bytes },
	[NIBBLES] = { prepare_nibbles, multiply_nibbles },
	[OCTETS] = { prepare_octets, multiply_octets },
};

static enum kind kind_of(const struct xrnpe_product *product)
{
	if (product->weight.format == XRNPE_FORMAT_P8)
		return OCTETS;
	return product->ifm.format == XRNPE_FORMAT_FP4 && product->weight.format == XRNPE_FORMAT_FP4 ?
	       BYTES : NIBBLES;
}

/* ---- blocks ------------------------------------------------------------- */

static bool suits(const struct xrnpe_product *product)
{
	/* Beyond that tiles are faster. */
	return gemv_suits(product, xrnpe_wide(product) ? GEMV_P16_POSITIONS : MOST_POSITIONS);
}

static void shape(const struct xrnpe_product *product, unsigned int threads,
		  struct xrnpe_block *block)
{
	gemv_shape(product, threads, LANES, block);
}

static size_t input_bytes(const struct xrnpe_product *product)
{
	size_t vectors = (xrnpe_row_bytes(product->weight.format, product->k) - 1) / VECTOR + 1;

	return sizeof(struct input) + vectors * vectors_of(kind_of(product)) * VECTOR;
}

static size_t inputs_bytes(const struct xrnpe_product *product)
{
	return product->positions * input_bytes(product);
}

static size_t scratch_size(const struct xrnpe_product *product, const struct xrnpe_block *block)
{
	if (xrnpe_wide(product))
		return xrnpe_tiles_few_p16_scratch(product);
	return inputs_bytes(product) + product->k * sizeof(int16_t) + XRNPE_DECODE_SLACK;
}

static void run(const struct xrnpe_product *product, const struct xrnpe_block *block,
		const void *panels, void *memory, uint32_t *status)
{
	struct task task = { .product = product, .inputs = memory };
	enum kind kind = kind_of(product);
	int64_t sums[TOGETHER][LANES] __attribute__((aligned(64))) = { 0 };
	struct stage stage = { .any_nar = false };
	bool nar[MOST_POSITIONS];

	if (xrnpe_wide(product)) {
		xrnpe_tiles_few_p16(product, block, memory, status);
		return;
	}
	task.input_bytes = input_bytes(product);
	task.words = (int16_t *)(task.inputs + inputs_bytes(product));
	make_tables(&product->weight, &task.table);
	for (uint64_t p = 0; p < product->positions; p++)
		nar[p] = kinds[kind].prepare(&task, product->ifm.memory + p * product->ifm.row_stride,
					     input_of(&task, p));
	for (uint64_t n = block->n0; n < block->n1; n += LANES) {
		size_t count = block->n1 - n < LANES ? (size_t)(block->n1 - n) : LANES;
		uint32_t code[LANES] __attribute__((aligned(64)));

		if (xrnpe_cancelled(product->cancel))
			return;
		stage.any_nar = false;
		make_outputs(product, n, count, xrnpe_product_unit(product), &stage.outputs);
		for (uint64_t p = 0, few; p < product->positions; p += few) {
			few = product->positions - p < TOGETHER ? 1 : TOGETHER;
			kinds[kind].multiply(few, &task, p, n, count, &stage, sums);
			for (size_t i = 0; i < few; i++) {
				uint8_t *out = xrnpe_output_row(product, p + i);

				finish_narrow(product, &stage, sums[i], p + i, n, count, code, status);
				pack(product->out, out, n, code, count);
				if (nar[p + i] || stage.any_nar)
					xrnpe_put_nar(product, nar[p + i] ? NULL : stage.nar, out, n,
						      count, status);
			}
		}
	}
}

const struct xrnpe_kernel xrnpe_gemv_tiles = {
	.suits = suits,
	.shape = shape,
	.scratch = scratch_size,
	.run = run,
};

#endif

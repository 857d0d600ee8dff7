// SPDX-License-Identifier: MIT
/*
 * Few positions with AVX-512: up to 8 bits, and the frame for Posit(16,1).
 *
 * Where both factors are FP4, weights are unsigned bytes, 12 added to each, so that 12 times
 * the sum of the inputs is to be subtracted, of all channels the same. Otherwise both are
 * words. Tables look at the low bits of an index only, so codes need no masking.
 */
#ifdef __x86_64__

#include <string.h>

#include "gemv_avx512.h"

#define LARGEST_FP4 12
#define MOST_POSITIONS 6

/* What 64 bytes of packed weights become. */
enum kind {
	BYTES,		/* two vectors of bytes: the even codes, the odd ones */
	NIBBLES,	/* 4 bits, four vectors of words: every fourth code from 0, 1, 2 and 3 */
	OCTETS,		/* 8 bits, two vectors of words: in turns eight codes */
};

/* The codes of a row, by steps: some whole ones, and what is left. */
struct steps {
	size_t whole;
	__mmask64 tail;		/* bytes after them */
	bool odd;		/* the last byte has one 4-bit code */
};

INLINE struct steps steps_of(const struct xrnpe_product *product)
{
	enum xrnpe_format format = product->weight.format;
	size_t whole = product->k * xrnpe_format_bits(format) / (GEMV_STEP * 8);

	return (struct steps){
		.whole = whole,
		.tail = first_lanes(xrnpe_row_bytes(format, product->k) - whole * GEMV_STEP),
		.odd = xrnpe_format_bits(format) == 4 && product->k % 2,
	};
}

/* The codes of the tail, at @from; those past the last are zero. */
INLINE __m512i load_tail(const struct steps *steps, const uint8_t *from)
{
	__m512i codes = _mm512_maskz_loadu_epi8(steps->tail, from);

	if (steps->odd)		/* the last of @tail, whose next bit is clear */
		codes = _mm512_and_si512(codes,
			_mm512_mask_blend_epi8(steps->tail & ~(steps->tail >> 1),
					       _mm512_set1_epi8(-1), _mm512_set1_epi8(15)));
	return codes;
}

static inline size_t vectors_of(enum kind kind)
{
	return kind == NIBBLES ? 4 : 2;
}

/* Tables for codes of @factor; @add to each value. OCTETS: of the magnitudes from code 64 on. */
INLINE void make_tables(enum kind kind, const struct xrnpe_factor *factor, int add, __m512i table[2])
{
	const __m512i *large = (const __m512i *)(factor->narrow + 64);
	__m512i half[2] = { _mm512_loadu_si512(large), _mm512_loadu_si512(large + 1) };
	__m256i words = _mm256_loadu_si256((const __m256i *)factor->narrow), byte[2];

	words = _mm256_maskz_add_epi16(_mm256_cmpneq_epi16_mask(words, _mm256_set1_epi16(XRNPE_NARROW_NAR)),
				       words, _mm256_set1_epi16((short)add));
	switch (kind) {
	case BYTES:
		table[0] = _mm512_broadcast_i32x4(_mm256_cvtepi16_epi8(words));
		break;
	case NIBBLES:
		table[0] = _mm512_broadcast_i64x4(words);
		break;
	default:
		for (int t = 0; t < 2; t++) {
			for (int i = 0; i < 2; i++)
				byte[i] = _mm512_cvtepi16_epi8(_mm512_srli_epi16(half[i], (unsigned int)(8 * t)));
			table[t] = _mm512_inserti64x4(_mm512_castsi256_si512(byte[0]), byte[1], 1);
		}
		break;
	}
}

/* The words of @codes' sign and of magnitude @value. */
INLINE __m512i with_sign(__m512i codes, __m512i value)
{
	return _mm512_mask_sub_epi16(value, _mm512_movepi16_mask(codes), _mm512_setzero_si512(), value);
}

INLINE void decode(enum kind kind, const __m512i table[2], __m512i codes, __m512i value[4])
{
	__m512i magnitude, low, high;
	__mmask64 large;

	switch (kind) {
	case BYTES:
		value[0] = _mm512_permutexvar_epi8(codes, table[0]);
		value[1] = _mm512_permutexvar_epi8(_mm512_srli_epi16(codes, 4), table[0]);
		break;
	case NIBBLES:
		value[0] = _mm512_permutexvar_epi16(codes, table[0]);
		value[1] = _mm512_permutexvar_epi16(_mm512_srli_epi16(codes, 4), table[0]);
		value[2] = _mm512_permutexvar_epi16(_mm512_srli_epi16(codes, 8), table[0]);
		value[3] = _mm512_permutexvar_epi16(_mm512_srli_epi16(codes, 12), table[0]);
		break;
	default:
		/* Below 64 the magnitude is the code. */
		magnitude = _mm512_abs_epi8(codes);
		large = _mm512_test_epi8_mask(magnitude, _mm512_set1_epi8(64));
		low = _mm512_mask_permutexvar_epi8(magnitude, large, magnitude, table[0]);
		high = _mm512_maskz_permutexvar_epi8(large, magnitude, table[1]);
		value[0] = with_sign(_mm512_unpacklo_epi8(codes, codes), _mm512_unpacklo_epi8(low, high));
		value[1] = with_sign(_mm512_unpackhi_epi8(codes, codes), _mm512_unpackhi_epi8(low, high));
		break;
	}
}

/* Note in @found where a code is NaR, or with NIBBLES FP4's -0. */
INLINE __m512i look_for_nar(enum kind kind, __m512i codes, __m512i found)
{
	__m512i zero;

	switch (kind) {
	case BYTES:
		return found;
	case NIBBLES:
		/* A nibble is zero: one less has bit 3, and it does not. */
		zero = _mm512_xor_si512(codes, _mm512_set1_epi8(-0x78));
		return _mm512_ternarylogic_epi64(found, _mm512_sub_epi8(zero, _mm512_set1_epi8(0x11)),
						 zero, 0xf4);
	default:
		return _mm512_min_epi8(found, codes);
	}
}

INLINE bool found_nar(enum kind kind, enum xrnpe_format format, __m512i found)
{
	if (format == XRNPE_FORMAT_FP4)
		return false;
	if (kind == NIBBLES)
		return _mm512_test_epi8_mask(found, _mm512_set1_epi8(-0x78));
	return _mm512_cmpeq_epi8_mask(found, _mm512_set1_epi8(-0x80));
}

INLINE int64_t total(__m512i sums)
{
	return _mm512_reduce_add_epi64(_mm512_add_epi64(
		_mm512_cvtepi32_epi64(_mm512_castsi512_si256(sums)),
		_mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(sums, 1))));
}

/* ---- inputs ------------------------------------------------------------ */

/*
 * A position's inputs, decoded. The vectors of a step are in pairs, all first pairs before all
 * second ones: loads at strides of four vectors, which NIBBLES would have else, keep some
 * processors (Zen 4) from fetching weights ahead.
 */
struct input {
	int64_t correction;	/* BYTES: of what the offset of the weights adds */
	__m512i values[] __attribute__((aligned(64)));
};

/* Where in them vector @i of the first step is, given the @steps of a row; the next step's is 2 on. */
static inline size_t place_of(size_t i, size_t steps)
{
	return i / 2 * steps * 2 + i % 2;
}

INLINE void put_step(enum kind kind, const struct steps *steps, const __m512i *value, size_t s,
		     struct input *input)
{
	for (size_t i = 0; i < vectors_of(kind); i++)
		input->values[2 * s + place_of(i, steps->whole + 1)] = value[i];
}

/* Inputs that are packed as weights are. True if any is NaR. */
INLINE bool prepare_alike(enum kind kind, const struct xrnpe_product *product, const uint8_t *row,
			  struct input *input)
{
	const struct steps steps = steps_of(product);
	__m512i found = _mm512_setzero_si512(), sum = found, table[2];

	make_tables(kind, &product->ifm, 0, table);
	for (size_t s = 0; s < steps.whole + !!steps.tail; s++, row += GEMV_STEP) {
		__m512i codes = s < steps.whole ? _mm512_loadu_si512(row) : load_tail(&steps, row), value[4];

		found = look_for_nar(kind, codes, found);
		decode(kind, table, codes, value);
		put_step(kind, &steps, value, s, input);
		for (size_t i = 0; kind == BYTES && i < vectors_of(kind); i++)
			sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(LARGEST_FP4), value[i]);
	}
	input->correction = -total(sum);
	return found_nar(kind, product->ifm.format, found);
}

/* Words in the order in which NIBBLES have the weights. */
INLINE void arrange_nibbles(const int16_t *words, __m512i value[4])
{
	for (int i = 0; i < 4; i++) {
		__m512i part[4];

		for (int j = 0; j < 4; j++)
			part[j] = _mm512_castsi128_si512(_mm512_cvtepi64_epi16(_mm512_srli_epi64(
				_mm512_loadu_si512(words + 32 * j), (unsigned int)(16 * i))));
		for (int j = 0; j < 4; j += 2)
			part[j] = _mm512_inserti32x4(part[j], _mm512_castsi512_si128(part[j + 1]), 1);
		value[i] = _mm512_inserti64x4(part[0], _mm512_castsi512_si256(part[2]), 1);
	}
}

/* The same for OCTETS. */
INLINE void arrange_octets(const int16_t *words, __m512i value[2])
{
	const __m512i first = _mm512_setr_epi64(0, 1, 4, 5, 8, 9, 12, 13);
	__m512i low = _mm512_loadu_si512(words), high = _mm512_loadu_si512(words + 32);

	value[0] = _mm512_permutex2var_epi64(low, first, high);
	value[1] = _mm512_permutex2var_epi64(low, _mm512_add_epi64(first, _mm512_set1_epi64(2)), high);
}

/* Inputs. @words: room for them. True if any is NaR. */
INLINE bool prepare(enum kind kind, const struct xrnpe_product *product, const uint8_t *row,
		    struct input *input, int16_t *words)
{
	const struct steps steps = steps_of(product);
	const size_t count = vectors_of(kind) * 32;	/* in a step */
	const size_t end = (steps.whole + !!steps.tail) * count;
	bool nar;

	if (xrnpe_format_bits(product->ifm.format) == xrnpe_format_bits(product->weight.format))
		return prepare_alike(kind, product, row, input);
	nar = xrnpe_avx512_words(product->ifm.format)->decode(product, &product->ifm, row, 0, product->k, words);
	memset(words + product->k, 0, (end - product->k) * sizeof(*words));
	for (size_t s = 0; s * count < end; s++) {
		__m512i value[4];

		if (kind == NIBBLES)
			arrange_nibbles(words + s * count, value);
		else
			arrange_octets(words + s * count, value);
		put_step(kind, &steps, value, s, input);
	}
	input->correction = 0;
	return nar;
}

/* ---- products ---------------------------------------------------------- */

struct task {
	const struct xrnpe_product *product;
	__m512i table[2];	/* of weights */
	struct steps steps;	/* of a row */
	size_t together;	/* steps that are summed in 32 bits */
	const uint8_t *inputs;	/* by position */
	size_t input_bytes;	/* of one */
	bool nar[MOST_POSITIONS];	/* one of the inputs is */
};

/* Steps whose sums cannot overflow 32 bits, with those of one that is not whole. */
static size_t safe_steps(enum kind kind, const struct xrnpe_product *product)
{
	int64_t most = (int64_t)xrnpe_largest(product->ifm.format) * xrnpe_largest(product->weight.format);

	/* 32768 x 24 x 12 is far below 2^31. */
	return kind == BYTES ? SIZE_MAX : (size_t)(INT32_MAX / (2 * (int64_t)vectors_of(kind) * most)) - 1;
}

INLINE void add_step(enum kind kind, const struct task *task, __m512i codes, const __m512i *input,
		     __m512i sum[4], __m512i *found)
{
	__m512i weight[4];

	/* GCC 12 would load the codes again for every use. */
	__asm__("" : "+v"(codes));
	*found = look_for_nar(kind, codes, *found);
	decode(kind, task->table, codes, weight);
#pragma GCC unroll 4
	for (size_t i = 0; i < vectors_of(kind); i++) {
		const __m512i *value = input + place_of(i, task->steps.whole + 1);

		if (kind == BYTES)
			sum[i] = _mm512_dpbusd_epi32(sum[i], weight[i], *value);
		else
			sum[i] = _mm512_dpwssd_epi32(sum[i], weight[i], *value);
	}
}

/* The sum of the products of @count whole steps and, if @tail, those after them. */
INLINE int64_t sum_steps(enum kind kind, const struct task *task, const uint8_t *row, const __m512i *input,
			 size_t count, bool tail, __m512i *found)
{
	__m512i sum[4] = { _mm512_setzero_si512(), _mm512_setzero_si512(),
			   _mm512_setzero_si512(), _mm512_setzero_si512() };

	for (; count; count--, row += GEMV_STEP, input += 2)
		add_step(kind, task, _mm512_loadu_si512(row), input, sum, found);
	if (tail)
		add_step(kind, task, load_tail(&task->steps, row), input, sum, found);
	return total(_mm512_add_epi32(_mm512_add_epi32(sum[0], sum[1]), _mm512_add_epi32(sum[2], sum[3])));
}

/* The same of a row. */
INLINE int64_t sum_row(enum kind kind, const struct task *task, const uint8_t *row, const __m512i *input,
		       __m512i *found)
{
	size_t left = task->steps.whole;
	int64_t sum = 0;

	/* Few rows are as long: the end of most is the end of one loop, as branch predictors like it. */
	for (; left > task->together; left -= task->together) {
		sum += sum_steps(kind, task, row, input, task->together, false, found);
		row += task->together * GEMV_STEP;
		input += task->together * 2;
	}
	return sum + sum_steps(kind, task, row, input, left, task->steps.tail, found);
}

/* The sums of position @p in channels @n.. */
INLINE void multiply(enum kind kind, const struct task *task, const struct input *input, uint64_t n,
		     size_t count, struct stage *stage, int64_t *sums)
{
	const struct xrnpe_product *product = task->product;
	const uint8_t *row = xrnpe_weight_row(product, n);

	for (size_t lane = 0; lane < count; lane++, row += product->weight.row_stride) {
		__m512i found = _mm512_setzero_si512();

		gemv_look_up(row, product->weight.row_stride);
		sums[lane] = input->correction + sum_row(kind, task, row, input->values, &found);
		stage->nar[lane] = found_nar(kind, product->weight.format, found);
		stage->any_nar |= stage->nar[lane];
	}
}

/* ---- blocks ------------------------------------------------------------ */

static enum kind kind_of(const struct xrnpe_product *product)
{
	if (product->weight.format == XRNPE_FORMAT_P8)
		return OCTETS;
	return product->ifm.format == XRNPE_FORMAT_FP4 && product->weight.format == XRNPE_FORMAT_FP4 ?
	       BYTES : NIBBLES;
}

TARGET static size_t input_bytes(const struct xrnpe_product *product)
{
	return sizeof(struct input) + (steps_of(product).whole + 1) * vectors_of(kind_of(product)) * sizeof(__m512i);
}

/* The outputs of channels @n.. */
INLINE void put(enum kind kind, const struct task *task, uint64_t n, size_t count, uint32_t *status)
{
	const struct xrnpe_product *product = task->product;
	int64_t sums[LANES] __attribute__((aligned(64))) = { 0 };
	int32_t narrow[LANES] __attribute__((aligned(64)));
	struct stage stage;

	xrnpe_avx512_stage(product, n, count, &stage);
	for (uint64_t p = 0; p < product->positions; p++) {
		const struct input *input = (const struct input *)(task->inputs + p * task->input_bytes);
		uint8_t *out = xrnpe_output_row(product, p);
		struct sums from = { .wide = sums };

		multiply(kind, task, input, n, count, &stage, sums);
		if (kind == BYTES) {	/* they fit */
			for (size_t i = 0; i < LANES; i += 8)
				_mm256_store_si256((__m256i *)(narrow + i),
						   _mm512_cvtepi64_epi32(_mm512_load_si512(sums + i)));
			from = (struct sums){ .narrow = narrow };
		}
		xrnpe_avx512_put(product, &stage, &from, p, &out, 1, n, count, status);
		if (task->nar[p] || stage.any_nar)
			xrnpe_put_nar(product, task->nar[p] ? NULL : stage.nar, out, n, count, status);
	}
}

/* As in struct xrnpe_kernel. */
INLINE void run_narrow(enum kind kind, const struct xrnpe_product *product, const struct xrnpe_block *block,
		       uint8_t *inputs, uint32_t *status)
{
	struct task task = {
		.product = product,
		.steps = steps_of(product),
		.together = safe_steps(kind, product),
		.inputs = inputs,
		.input_bytes = input_bytes(product),
	};
	int16_t *words = (int16_t *)(inputs + product->positions * task.input_bytes);

	make_tables(kind, &product->weight, kind == BYTES ? LARGEST_FP4 : 0, task.table);
	for (uint64_t p = 0; p < product->positions; p++)
		task.nar[p] = prepare(kind, product, product->ifm.memory + p * product->ifm.row_stride,
				      (struct input *)(inputs + p * task.input_bytes), words);
	for (uint64_t n = block->n0; n < block->n1 && !xrnpe_cancelled(product->cancel); n += LANES)
		put(kind, &task, n, block->n1 - n < LANES ? (size_t)(block->n1 - n) : LANES, status);
}

#define RUN(name, kind)									\
	TARGET static void run_##name(const struct xrnpe_product *product, const struct xrnpe_block *block, \
				      uint8_t *inputs, uint32_t *status)		\
	{										\
		run_narrow(kind, product, block, inputs, status);			\
	}
RUN(bytes, BYTES)
RUN(nibbles, NIBBLES)
RUN(octets, OCTETS)

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

/* Room for a row of words, whole steps and what a decoder writes past them. */
static size_t words_bytes(const struct xrnpe_product *product)
{
	size_t steps = product->k / GEMV_STEP + 1;

	return (steps * GEMV_STEP + 2 * GEMV_STEP) * sizeof(int16_t) + XRNPE_DECODE_SLACK;
}

static size_t scratch_size(const struct xrnpe_product *product, const struct xrnpe_block *block)
{
	if (xrnpe_wide(product))
		return xrnpe_gemv_p16_scratch(product);
	return product->positions * input_bytes(product) + words_bytes(product);
}

static void run(const struct xrnpe_product *product, const struct xrnpe_block *block,
		const void *panels, void *memory, uint32_t *status)
{
	static void (*const narrow[])(const struct xrnpe_product *product, const struct xrnpe_block *block,
				      uint8_t *inputs, uint32_t *status) = {
		[BYTES] = run_bytes, [NIBBLES] = run_nibbles, [OCTETS] = run_octets,
	};

	if (xrnpe_wide(product))
		xrnpe_gemv_p16_run(product, block, memory, status);
	else
		narrow[kind_of(product)](product, block, memory, status);
}

const struct xrnpe_kernel xrnpe_gemv_avx512 = {
	.suits = suits,
	.shape = shape,
	.scratch = scratch_size,
	.run = run,
};

#endif

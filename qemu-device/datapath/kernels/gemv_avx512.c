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
	size_t whole = product->k / (GEMV_STEP * 8 / xrnpe_format_bits(format));

	return (struct steps){
		.whole = whole,
		.tail = first_lanes(xrnpe_row_bytes(format, product->k) - whole * GEMV_STEP),
		.odd = xrnpe_format_bits(format) == 4 && product->k % 2,
	};
}

/* The codes of step @s of a row; those past the last are zero. */
INLINE __m512i load(const struct steps *steps, const uint8_t *row, size_t s)
{
	__m512i codes;

	if (s < steps->whole)
		return _mm512_loadu_si512(row + s * GEMV_STEP);
	codes = _mm512_maskz_loadu_epi8(steps->tail, row + s * GEMV_STEP);
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

/* Tables for codes of @factor; @add to each value. */
TARGET static void make_tables(enum kind kind, const struct xrnpe_factor *factor, int add, __m512i table[2])
{
	int8_t low[64], high[64];
	int16_t words[32];

	for (int i = 0; i < 64; i++) {
		/* Posit(8,0): magnitudes of the codes from 64 on. */
		int code = kind == OCTETS ? 64 + i : i % 16;
		int value = factor->narrow[code] == XRNPE_NARROW_NAR ? 0 : factor->narrow[code];

		low[i] = (int8_t)(value + add);
		high[i] = (int8_t)(value >> 8);
		words[i % 32] = (int16_t)value;
	}
	table[0] = kind == NIBBLES ? _mm512_loadu_si512(words) : _mm512_loadu_si512(low);
	table[1] = _mm512_loadu_si512(high);
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

INLINE void add_step(enum kind kind, const __m512i table[2], __m512i codes,
		     const __m512i *input, __m512i sum[4], __m512i *found)
{
	__m512i weight[4];

	/* GCC 12 would load the codes again for every use. */
	__asm__("" : "+v"(codes));
	*found = look_for_nar(kind, codes, *found);
	decode(kind, table, codes, weight);
#pragma GCC unroll 4
	for (size_t i = 0; i < vectors_of(kind); i++) {
		if (kind == BYTES)
			sum[i] = _mm512_dpbusd_epi32(sum[i], weight[i], input[i]);
		else
			sum[i] = _mm512_dpwssd_epi32(sum[i], weight[i], input[i]);
	}
}

/* ---- a kind ----------------------------------------------------------- */

/* A position's inputs, decoded. */
struct input {
	int64_t correction;	/* BYTES: of what the offset of the weights adds */
	__m512i values[] __attribute__((aligned(64)));
};

/* Inputs that are packed as weights are. True if any is NaR. */
INLINE bool prepare_alike(enum kind kind, const struct xrnpe_product *product, const uint8_t *row,
			  struct input *input)
{
	const struct steps steps = steps_of(product);
	__m512i found = _mm512_setzero_si512(), sum = found, table[2], *to = input->values;

	make_tables(kind, &product->ifm, 0, table);
	for (size_t s = 0; s < steps.whole + !!steps.tail; s++) {
		__m512i codes = load(&steps, row, s), value[4];

		found = look_for_nar(kind, codes, found);
		decode(kind, table, codes, value);
		for (size_t i = 0; i < vectors_of(kind); i++, to++) {
			*to = value[i];
			sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(LARGEST_FP4), value[i]);
		}
	}
	input->correction = kind == BYTES ? -total(sum) : 0;
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

INLINE bool prepare_words(enum kind kind, const struct xrnpe_product *product, const uint8_t *row,
			  void *memory, void *scratch)
{
	const struct steps steps = steps_of(product);
	const size_t count = vectors_of(kind) * 32;	/* in a step */
	const size_t end = (steps.whole + !!steps.tail) * count;
	int16_t *words = scratch;
	struct input *input = memory;
	bool nar;

	if (xrnpe_format_bits(product->ifm.format) == xrnpe_format_bits(product->weight.format))
		return prepare_alike(kind, product, row, input);
	nar = xrnpe_avx512_words(product->ifm.format)->decode(product, &product->ifm, row, 0, product->k, words);
	memset(words + product->k, 0, (end - product->k) * sizeof(*words));
	for (size_t s = 0; s * count < end; s++) {
		if (kind == NIBBLES)
			arrange_nibbles(words + s * count, input->values + s * 4);
		else
			arrange_octets(words + s * count, input->values + s * 2);
	}
	input->correction = 0;
	return nar;
}

/* Steps whose sums cannot overflow 32 bits, with one that is not whole. */
static size_t safe_steps(enum kind kind, const struct xrnpe_product *product)
{
	int64_t most = (int64_t)xrnpe_largest(product->ifm.format) * xrnpe_largest(product->weight.format);

	/* 32768 x 24 x 12 is far below 2^31. */
	return kind == BYTES ? SIZE_MAX : (size_t)(INT32_MAX / (2 * (int64_t)vectors_of(kind) * most)) - 1;
}

INLINE void multiply(enum kind kind, const struct xrnpe_product *product, const struct input *input,
		     uint64_t n, size_t count, struct stage *stage, int64_t *sums)
{
	const struct steps steps = steps_of(product);
	const size_t stride = product->weight.row_stride, safe = safe_steps(kind, product);
	const uint8_t *row = xrnpe_weight_row(product, n);
	__m512i table[2];

	make_tables(kind, &product->weight, kind == BYTES ? LARGEST_FP4 : 0, table);
	for (size_t lane = 0; lane < count; lane++, row += stride) {
		__m512i found = _mm512_setzero_si512();
		size_t s = 0;

		sums[lane] = input->correction;
		do {
			size_t end = steps.whole;
			__m512i sum[4] = { _mm512_setzero_si512(), _mm512_setzero_si512(),
					   _mm512_setzero_si512(), _mm512_setzero_si512() };

			if (end - s > safe)
				end = s + safe;
			for (; s < end; s++) {
				_mm_prefetch(row + s * GEMV_STEP + GEMV_AHEAD, _MM_HINT_T0);
				add_step(kind, table, _mm512_loadu_si512(row + s * GEMV_STEP),
					 input->values + s * vectors_of(kind), sum, &found);
			}
			if (s == steps.whole && steps.tail)
				add_step(kind, table, load(&steps, row, s),
					 input->values + s * vectors_of(kind), sum, &found);
			sums[lane] += total(_mm512_add_epi32(_mm512_add_epi32(sum[0], sum[1]),
							     _mm512_add_epi32(sum[2], sum[3])));
		} while (s < steps.whole);
		stage->nar[lane] = found_nar(kind, product->weight.format, found);
		stage->any_nar |= stage->nar[lane];
	}
}

static enum kind kind_of(const struct xrnpe_product *product)
{
	if (product->weight.format == XRNPE_FORMAT_P8)
		return OCTETS;
	return product->ifm.format == XRNPE_FORMAT_FP4 && product->weight.format == XRNPE_FORMAT_FP4 ?
	       BYTES : NIBBLES;
}

static size_t input_bytes(const struct xrnpe_product *product)
{
	size_t steps = xrnpe_row_bytes(product->weight.format, product->k) / GEMV_STEP + 1;

	if (xrnpe_wide(product))
		return xrnpe_gemv_p16_input(product);
	return sizeof(struct input) + steps * vectors_of(kind_of(product)) * sizeof(__m512i);
}

INLINE void run_narrow(enum kind kind, const struct xrnpe_product *product, const uint8_t *inputs,
		       const bool *nar, uint64_t n, size_t count, uint32_t *status)
{
	int64_t sums[LANES] __attribute__((aligned(64))) = { 0 };
	struct stage stage;

	xrnpe_avx512_stage(product, n, count, &stage);
	for (uint64_t p = 0; p < product->positions; p++) {
		const struct input *input = (const struct input *)(inputs + p * input_bytes(product));
		uint8_t *out = xrnpe_output_row(product, p);

		multiply(kind, product, input, n, count, &stage, sums);
		xrnpe_avx512_put(product, &stage, &(struct sums){ .wide = sums }, p, &out, 1, n, count, status);
		if (nar[p] || stage.any_nar)
			xrnpe_put_nar(product, nar[p] ? NULL : stage.nar, out, n, count, status);
	}
}

#define RUN(name, kind)									\
	TARGET static void run_##name(const struct xrnpe_product *product, const uint8_t *inputs, \
				      const bool *nar, uint64_t n, size_t count, uint32_t *status) \
	{										\
		run_narrow(kind, product, inputs, nar, n, count, status);		\
	}
RUN(bytes, BYTES)
RUN(nibbles, NIBBLES)
RUN(octets, OCTETS)

TARGET static bool prepare_bytes(const struct xrnpe_product *product, const uint8_t *row, void *input,
				 void *scratch)
{
	return prepare_alike(BYTES, product, row, input);
}

TARGET static bool prepare_nibbles(const struct xrnpe_product *product, const uint8_t *row, void *input,
				   void *scratch)
{
	return prepare_words(NIBBLES, product, row, input, scratch);
}

TARGET static bool prepare_octets(const struct xrnpe_product *product, const uint8_t *row, void *input,
				  void *scratch)
{
	return prepare_words(OCTETS, product, row, input, scratch);
}

struct ways {
	/* Decode a row of inputs. True if any is NaR. @scratch: room for a row of words. */
	bool (*prepare)(const struct xrnpe_product *product, const uint8_t *row, void *input, void *scratch);
	/* The outputs of all positions, in whose @inputs there is a NaR or not, in channels @n.. */
	void (*run)(const struct xrnpe_product *product, const uint8_t *inputs, const bool *nar,
		    uint64_t n, size_t count, uint32_t *status);
};

static const struct ways wide = { xrnpe_gemv_p16_prepare, xrnpe_gemv_p16_run };
static const struct ways narrow[] = {
	[BYTES] = { prepare_bytes, run_bytes },
	[NIBBLES] = { prepare_nibbles, run_nibbles },
	[OCTETS] = { prepare_octets, run_octets },
};

/* ---- blocks ----------------------------------------------------------- */

static bool suits(const struct xrnpe_product *product)
{
	/* Beyond that tiles are faster. */
	return gemv_suits(product, xrnpe_wide(product) ? GEMV_P16_POSITIONS : 6);
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
	return product->positions * input_bytes(product) + words_bytes(product);
}

static void run(const struct xrnpe_product *product, const struct xrnpe_block *block,
		const void *panels, void *memory, uint32_t *status)
{
	const struct ways *ways = xrnpe_wide(product) ? &wide : &narrow[kind_of(product)];
	size_t stride = product->ifm.row_stride, size = input_bytes(product);
	uint8_t *inputs = memory;
	bool nar[GEMV_P16_POSITIONS];

	for (uint64_t p = 0; p < product->positions; p++)
		nar[p] = ways->prepare(product, product->ifm.memory + p * stride, inputs + p * size,
				       inputs + product->positions * size);
	for (uint64_t n = block->n0; n < block->n1; n += LANES) {
		size_t count = block->n1 - n < LANES ? (size_t)(block->n1 - n) : LANES;

		if (xrnpe_cancelled(product->cancel))
			return;
		ways->run(product, inputs, nar, n, count, status);
	}
}

const struct xrnpe_kernel xrnpe_gemv_avx512 = {
	.suits = suits,
	.shape = shape,
	.scratch = scratch_size,
	.run = run,
};

#endif

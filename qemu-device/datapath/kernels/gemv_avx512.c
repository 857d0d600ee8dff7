// SPDX-License-Identifier: MIT
/*
 * Few positions with AVX-512: up to 8 bits, and the frame for Posit(16,1).
 *
 * FP4's weights are unsigned bytes, 12 added to each, so that 12 times the sum of the
 * inputs is to be subtracted, of all channels the same. Posit(4,1) and Posit(8,0) are
 * words. Tables look at the low bits of an index only, so codes need no masking.
 */
#ifdef __x86_64__

#include <string.h>

#include "gemv_avx512.h"

/* Steps of Posit(8,0) that cannot overflow 32 bits, a tail included. */
#define P8_STEPS 30

#define LARGEST_FP4 12

/* The codes of a row, by steps: some whole ones, and what is left. */
struct steps {
	size_t whole;
	__mmask64 tail;		/* bytes after them */
	bool odd;		/* the last byte has one 4-bit code */
};

INLINE struct steps steps_of(const struct xrnpe_product *product)
{
	size_t whole = product->k / (GEMV_STEP * 8 / xrnpe_format_bits(product->weight.format));

	return (struct steps){
		.whole = whole,
		.tail = first_lanes(xrnpe_row_bytes(product->weight.format, product->k) - whole * GEMV_STEP),
		.odd = xrnpe_format_bits(product->weight.format) == 4 && product->k % 2,
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

/* Vectors that 64 bytes of codes are decoded to. */
static inline size_t vectors_of(enum xrnpe_format format)
{
	return format == XRNPE_FORMAT_P4 ? 4 : 2;
}

/* Tables for codes of a format; @add to each value. */
TARGET static void make_tables(const struct xrnpe_product *product, int add, __m512i table[2])
{
	int8_t low[64], high[64];
	int16_t words[32];

	for (int i = 0; i < 64; i++) {
		/* Posit(8,0): magnitudes of the codes from 64 on. */
		int code = product->weight.format == XRNPE_FORMAT_P8 ? 64 + i : i % 16;
		int value = product->weight.narrow[code] == XRNPE_NARROW_NAR ? 0 : product->weight.narrow[code];

		low[i] = (int8_t)(value + add);
		high[i] = (int8_t)(value >> 8);
		words[i % 32] = (int16_t)value;
	}
	table[0] = product->weight.format == XRNPE_FORMAT_P4 ? _mm512_loadu_si512(words) : _mm512_loadu_si512(low);
	table[1] = _mm512_loadu_si512(high);
}

/* The words of @codes' sign and of magnitude @value. */
INLINE __m512i with_sign(__m512i codes, __m512i value)
{
	return _mm512_mask_sub_epi16(value, _mm512_movepi16_mask(codes), _mm512_setzero_si512(), value);
}

INLINE void decode(enum xrnpe_format format, const __m512i table[2], __m512i codes, __m512i value[4])
{
	__m512i magnitude, low, high;
	__mmask64 large;

	switch (format) {
	case XRNPE_FORMAT_FP4:
		value[0] = _mm512_permutexvar_epi8(codes, table[0]);
		value[1] = _mm512_permutexvar_epi8(_mm512_srli_epi16(codes, 4), table[0]);
		break;
	case XRNPE_FORMAT_P4:
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

/* Note in @found where a code is NaR. */
INLINE __m512i look_for_nar(enum xrnpe_format format, __m512i codes, __m512i found)
{
	__m512i zero;

	switch (format) {
	case XRNPE_FORMAT_FP4:
		return found;
	case XRNPE_FORMAT_P4:
		/* A nibble is zero: one less has bit 3, and it does not. */
		zero = _mm512_xor_si512(codes, _mm512_set1_epi8(-0x78));
		return _mm512_ternarylogic_epi64(found, _mm512_sub_epi8(zero, _mm512_set1_epi8(0x11)),
						 zero, 0xf4);
	default:
		return _mm512_min_epi8(found, codes);
	}
}

INLINE bool found_nar(enum xrnpe_format format, __m512i found)
{
	if (format == XRNPE_FORMAT_P4)
		return _mm512_test_epi8_mask(found, _mm512_set1_epi8(-0x78));
	return _mm512_cmpeq_epi8_mask(found, _mm512_set1_epi8(-0x80));
}

INLINE int64_t total(__m512i sums)
{
	return _mm512_reduce_add_epi64(_mm512_add_epi64(
		_mm512_cvtepi32_epi64(_mm512_castsi512_si256(sums)),
		_mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(sums, 1))));
}

INLINE void add_step(enum xrnpe_format format, const __m512i table[2], __m512i codes,
		     const __m512i *input, __m512i sum[4], __m512i *found)
{
	__m512i weight[4];

	/* GCC 12 would load the codes again for every use. */
	__asm__("" : "+v"(codes));
	*found = look_for_nar(format, codes, *found);
	decode(format, table, codes, weight);
#pragma GCC unroll 4
	for (size_t i = 0; i < vectors_of(format); i++) {
		if (format == XRNPE_FORMAT_FP4)
			sum[i] = _mm512_dpbusd_epi32(sum[i], weight[i], input[i]);
		else
			sum[i] = _mm512_dpwssd_epi32(sum[i], weight[i], input[i]);
	}
}

/* ---- a format --------------------------------------------------------- */

/* A position's inputs, decoded. */
struct input {
	int64_t correction;	/* FP4: of what the offset of the weights adds */
	__m512i values[] __attribute__((aligned(64)));
};

INLINE bool prepare(enum xrnpe_format format, const struct xrnpe_product *product,
		    const uint8_t *row, void *memory)
{
	const struct steps steps = steps_of(product);
	__m512i found = _mm512_setzero_si512(), sum = found, table[2], *to;
	struct input *input = memory;

	make_tables(product, 0, table);
	to = input->values;
	for (size_t s = 0; s < steps.whole + !!steps.tail; s++) {
		__m512i codes = load(&steps, row, s), value[4];

		found = look_for_nar(format, codes, found);
		decode(format, table, codes, value);
		for (size_t i = 0; i < vectors_of(format); i++, to++) {
			*to = value[i];
			sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(LARGEST_FP4), value[i]);
		}
	}
	input->correction = format == XRNPE_FORMAT_FP4 ? -total(sum) : 0;
	return found_nar(format, found);
}

INLINE void multiply(enum xrnpe_format format, const struct xrnpe_product *product,
		     const struct input *input, uint64_t n, size_t count, struct stage *stage, int64_t *sums)
{
	const struct steps steps = steps_of(product);
	const size_t stride = product->weight.row_stride;
	const uint8_t *row = xrnpe_weight_row(product, n);
	__m512i table[2];

	make_tables(product, format == XRNPE_FORMAT_FP4 ? LARGEST_FP4 : 0, table);
	for (size_t lane = 0; lane < count; lane++, row += stride) {
		__m512i found = _mm512_setzero_si512();
		size_t s = 0;

		sums[lane] = input->correction;
		do {
			size_t end = steps.whole;
			__m512i sum[4] = { _mm512_setzero_si512(), _mm512_setzero_si512(),
					   _mm512_setzero_si512(), _mm512_setzero_si512() };

			if (format == XRNPE_FORMAT_P8 && end - s > P8_STEPS)
				end = s + P8_STEPS;
			for (; s < end; s++) {
				_mm_prefetch(row + s * GEMV_STEP + GEMV_AHEAD, _MM_HINT_T0);
				add_step(format, table, _mm512_loadu_si512(row + s * GEMV_STEP),
					 input->values + s * vectors_of(format), sum, &found);
			}
			if (s == steps.whole && steps.tail)
				add_step(format, table, load(&steps, row, s),
					 input->values + s * vectors_of(format), sum, &found);
			sums[lane] += total(_mm512_add_epi32(_mm512_add_epi32(sum[0], sum[1]),
							     _mm512_add_epi32(sum[2], sum[3])));
		} while (s < steps.whole);
		stage->nar[lane] = found_nar(format, found);
		stage->any_nar |= stage->nar[lane];
	}
}

static size_t input_bytes(const struct xrnpe_product *product)
{
	size_t steps = xrnpe_row_bytes(product->weight.format, product->k) / GEMV_STEP + 1;

	if (xrnpe_wide(product))
		return xrnpe_gemv_p16_input(product);
	return sizeof(struct input) + steps * vectors_of(product->weight.format) * sizeof(__m512i);
}

INLINE void run_narrow(enum xrnpe_format format, const struct xrnpe_product *product, const uint8_t *inputs,
		       const bool *nar, uint64_t n, size_t count, uint32_t *status)
{
	int64_t sums[LANES] __attribute__((aligned(64))) = { 0 };
	struct stage stage;

	xrnpe_avx512_stage(product, n, count, &stage);
	for (uint64_t p = 0; p < product->positions; p++) {
		const struct input *input = (const struct input *)(inputs + p * input_bytes(product));
		uint8_t *out = xrnpe_output_row(product, p);

		multiply(format, product, input, n, count, &stage, sums);
		xrnpe_avx512_put(product, &stage, &(struct sums){ .wide = sums }, p, &out, 1, n, count, status);
		if (nar[p] || stage.any_nar)
			xrnpe_put_nar(product, nar[p] ? NULL : stage.nar, out, n, count, status);
	}
}

#define FORMAT(name, format)								\
	TARGET static bool prepare_##name(const struct xrnpe_product *product,		\
					  const uint8_t *row, void *input)		\
	{										\
		return prepare(format, product, row, input);				\
	}										\
	TARGET static void run_##name(const struct xrnpe_product *product, const uint8_t *inputs, \
				      const bool *nar, uint64_t n, size_t count, uint32_t *status) \
	{										\
		run_narrow(format, product, inputs, nar, n, count, status);		\
	}
FORMAT(fp4, XRNPE_FORMAT_FP4)
FORMAT(p4, XRNPE_FORMAT_P4)
FORMAT(p8, XRNPE_FORMAT_P8)

static const struct {
	/* Decode a row of inputs. True if any is NaR. */
	bool (*prepare)(const struct xrnpe_product *product, const uint8_t *row, void *input);
	/* The outputs of all positions, in whose @inputs there is a NaR or not, in channels @n.. */
	void (*run)(const struct xrnpe_product *product, const uint8_t *inputs, const bool *nar,
		    uint64_t n, size_t count, uint32_t *status);
} formats[] = {
	[XRNPE_FORMAT_FP4] = { prepare_fp4, run_fp4 },
	[XRNPE_FORMAT_P4] = { prepare_p4, run_p4 },
	[XRNPE_FORMAT_P8] = { prepare_p8, run_p8 },
	[XRNPE_FORMAT_P16] = { xrnpe_gemv_p16_prepare, xrnpe_gemv_p16_run },
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

static size_t scratch_size(const struct xrnpe_product *product, const struct xrnpe_block *block)
{
	return product->positions * input_bytes(product);
}

static void run(const struct xrnpe_product *product, const struct xrnpe_block *block,
		const void *panels, void *memory, uint32_t *status)
{
	enum xrnpe_format format = xrnpe_wide(product) ? XRNPE_FORMAT_P16 : product->weight.format;
	size_t stride = product->ifm.row_stride, size = input_bytes(product);
	uint8_t *inputs = memory;
	bool nar[GEMV_P16_POSITIONS];

	for (uint64_t p = 0; p < product->positions; p++)
		nar[p] = formats[format].prepare(product, product->ifm.memory + p * stride,
							  inputs + p * size);
	for (uint64_t n = block->n0; n < block->n1; n += LANES) {
		size_t count = block->n1 - n < LANES ? (size_t)(block->n1 - n) : LANES;

		if (xrnpe_cancelled(product->cancel))
			return;
		formats[format].run(product, inputs, nar, n, count, status);
	}
}

const struct xrnpe_kernel xrnpe_gemv_avx512 = {
	.suits = suits,
	.shape = shape,
	.scratch = scratch_size,
	.run = run,
};

#endif

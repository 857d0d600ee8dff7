// SPDX-License-Identifier: MIT
/* Codecs in AVX-512's vectors, without and with VBMI and VNNI. */
#ifdef __x86_64__

#define VECTOR 64
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))

#include "codec_vector.h"
#include "fixed.h"
#include "codec_avx512_words.h"

#define LOOKUP __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni")))
#define LOOKUP_INLINE LOOKUP static inline __attribute__((always_inline))

/* The lower and the upper half, in two registers each. */
struct table {
	ints part[4];
};

LOOKUP static inline void load_table(struct table *table, const uint8_t *entry)
{
	for (size_t i = 0; i < 4; i++)
		table->part[i] = _mm512_loadu_si512(entry + 64 * i);
}

LOOKUP static inline bytes look_up(const struct table *table, bytes index)
{
	const ints *part = table->part;

	return (bytes)_mm512_mask_mov_epi8(_mm512_permutex2var_epi8(part[0], (ints)index, part[1]),
					   _mm512_movepi8_mask((ints)index),
					   _mm512_permutex2var_epi8(part[2], (ints)index, part[3]));
}

#include "lookup.h"

/* ---- tables of channels --------------------------------------------------------- */

/* @channels and @size are no variables. */
LOOKUP_INLINE void look_up_channels_as(const uint8_t *tables, size_t channels, size_t size, const uint8_t *in,
				       uint8_t *out, size_t count)
{
	struct table table[XRNPE_TABLE_CHANNELS][2];
	uint64_t every = 0;	/* lanes of a vector: the first one, and so on */
	size_t i = 0;

	for (size_t j = 0; j < BLOCK; j += channels)
		every |= 1ull << j;
	for (size_t c = 0; c < channels; c++) {
		if (size == 1)
			load_table(&table[c][0], tables + 256 * c);
		else
			load_split(table[c], tables + 512 * c);
	}
	/* After as many vectors as channels the first lane is of the first channel again. */
	for (; i + channels * BLOCK <= count; i += channels * BLOCK) {
#pragma GCC unroll 4
		for (size_t v = 0; v < channels; v++) {
			bytes index, value[2] = { { 0 } };

			memcpy(&index, in + i + v * BLOCK, sizeof(index));
#pragma GCC unroll 4
			for (size_t c = 0; c < channels; c++) {
				__mmask64 lanes = every << (c + channels - v * BLOCK % channels) % channels;

				for (size_t j = 0; j < size; j++)
					value[j] = (bytes)_mm512_mask_mov_epi8((ints)value[j], lanes,
									       (ints)look_up(&table[c][j], index));
			}
			if (size == 1)
				memcpy(out + i + v * BLOCK, value, BLOCK);
			else
				store_pairs(out + 2 * (i + v * BLOCK), spread(value[0]), spread(value[1]));
		}
	}
	xrnpe_map_channels(tables, channels, size, in + i, out + i * size, count - i);
}

#define CHANNELS(n)										\
	LOOKUP static void look_up_##n(const uint8_t *tables, size_t size, const uint8_t *in,	\
				       uint8_t *out, size_t count)				\
	{											\
		if (size == 1)									\
			look_up_channels_as(tables, n, 1, in, out, count);			\
		else										\
			look_up_channels_as(tables, n, 2, in, out, count);			\
	}
CHANNELS(1)
CHANNELS(2)
CHANNELS(3)
CHANNELS(4)

static void look_up_channels(const uint8_t *tables, size_t channels, size_t size, const uint8_t *in, uint8_t *out,
			     size_t count)
{
	static void (*const functions[XRNPE_TABLE_CHANNELS])(const uint8_t *tables, size_t size, const uint8_t *in,
							     uint8_t *out, size_t count) = {
		look_up_1, look_up_2, look_up_3, look_up_4,
	};

	functions[channels - 1](tables, size, in, out, count);
}

/* ---- rows of Posit(8,0) ------------------------------------------------------- */

/* Grid values of the magnitudes from 64 on, by their last 6 bits; below that they are the codes. */
static const uint8_t p8_from_one_low[64] = {
	64, 66, 68, 70, 72, 74, 76, 78, 80, 82, 84, 86, 88, 90, 92, 94,
	96, 98, 100, 102, 104, 106, 108, 110, 112, 114, 116, 118, 120, 122, 124, 126,
	128, 136, 144, 152, 160, 168, 176, 184, 192, 200, 208, 216, 224, 232, 240, 248,
	0, 32, 64, 96, 128, 160, 192, 224, 0, 128, 0, 128, 0, 0, 0, 0,
};
static const uint8_t p8_from_one_high[64] = {
	[48] = 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 8, 16,
};

/* As grid_words(). */
LOOKUP_INLINE void p8_words(const ints table[2], ints code, i16s word[2])
{
	const ints zero = _mm512_setzero_si512();
	ints m = _mm512_abs_epi8(code);
	__mmask64 large = _mm512_test_epi8_mask(m, _mm512_set1_epi8(64));
	ints low = _mm512_mask_permutexvar_epi8(m, large, m, table[0]);
	ints high = _mm512_maskz_permutexvar_epi8(large, m, table[1]);

	word[0] = with_sign((i16s)_mm512_unpacklo_epi8(low, high), (i16s)_mm512_unpacklo_epi8(zero, code));
	word[1] = with_sign((i16s)_mm512_unpackhi_epi8(low, high), (i16s)_mm512_unpackhi_epi8(zero, code));
}

#include "codec_avx512_products.h"

/* As make_lines(), but nothing except zero becomes zero: totals of 1, 2 and 3 become 1. */
LOOKUP_INLINE struct lines p8_lines(void)
{
	struct lines lines = make_lines(XRNPE_FORMAT_P8);

	lines.slope[127 % LANES] = 1;
	lines.slope[128 % LANES] = 0.375f;	/* zero is here, too */
	return lines;
}

/* As totals(), without limits. */
LOOKUP_INLINE void p8_totals(const struct limits *limits, uint8_t opcode, i16s a, i16s b,
			     const struct factors *factors, int digits, i32s sum[2])
{
	const ints one = _mm512_set1_epi32(1), digit = _mm512_set1_epi32((1 << XRNPE_FIXED_DIGIT) - 1);
	ints pair[2];

	if (opcode == XRNPE_OP_MUL)
		split_products(&a, &b);
	pair[0] = _mm512_unpacklo_epi16((ints)a, (ints)b);
	pair[1] = _mm512_unpackhi_epi16((ints)a, (ints)b);
#pragma GCC unroll 2
	for (size_t i = 0; i < 2; i++) {
		const i32s *factor = factors->half[i];
		ints total = _mm512_madd_epi16(pair[i], (ints)factor[digits - 1]), lost = _mm512_setzero_si512();

		for (int j = digits - 2; j >= 0; j--) {
			lost = _mm512_or_si512(lost, total);
			total = _mm512_dpwssd_epi32(_mm512_srai_epi32(total, XRNPE_FIXED_DIGIT), pair[i],
						    (ints)factor[j]);
		}
		lost = _mm512_or_si512(_mm512_and_si512(lost, digit),
				       _mm512_and_si512(total, (ints)limits->beyond));
		sum[i] = (i32s)_mm512_or_si512(_mm512_srav_epi32(total, (ints)limits->shift),
					       _mm512_min_epu32(lost, one));
	}
}

LOOKUP_INLINE ints p8_codes(const struct lines *lines, const i32s sum[4])
{
	const __m512 most = _mm512_set1_ps((float)xrnpe_fixed_output(XRNPE_FORMAT_P8)->most);
	i32s code[4];

#pragma GCC unroll 4
	for (size_t i = 0; i < 4; i++)
		/* The lesser magnitude, with the first one's sign. */
		code[i] = signed_code(lines, (f32s)_mm512_range_ps(_mm512_cvtepi32_ps((ints)sum[i]), most, 2));
	return (ints)pack_lanes(code[0], code[1], code[2], code[3]);
}

/* As pairs_as(). Limits are limits of codes, too. */
LOOKUP_INLINE void p8_pairs_as(const struct xrnpe_fixed *fixed, uint8_t opcode, int digits, const uint8_t *a,
			       const uint8_t *b, uint8_t *codes, size_t count)
{
	const struct lines lines = p8_lines();
	const struct limits limits = make_limits(fixed);
	const struct factors factors = same_factors(fixed, digits);
	const ints table[2] = { _mm512_loadu_si512(p8_from_one_low), _mm512_loadu_si512(p8_from_one_high) };
	const ints nar = _mm512_set1_epi8(-128);
	const ints lo = p8_codes(&lines, (i32s[4]){ limits.lo, limits.lo, limits.lo, limits.lo });
	const ints hi = p8_codes(&lines, (i32s[4]){ limits.hi, limits.hi, limits.hi, limits.hi });

	for (size_t i = 0; i < count; i += BLOCK) {
		ints x = _mm512_loadu_si512(a + i), y = _mm512_loadu_si512(b + i), code;
		i16s first[2], second[2];
		i32s sum[4];

		p8_words(table, x, first);
		p8_words(table, y, second);
		p8_totals(&limits, opcode, first[0], second[0], &factors, digits, sum);
		p8_totals(&limits, opcode, first[1], second[1], &factors, digits, sum + 2);
		code = _mm512_min_epi8(_mm512_max_epi8(p8_codes(&lines, sum), lo), hi);
		code = _mm512_mask_mov_epi8(code, _mm512_cmpeq_epi8_mask(x, nar) | _mm512_cmpeq_epi8_mask(y, nar), nar);
		_mm512_storeu_si512(codes + i, code);
	}
}

PAIRS(p8_pairs, LOOKUP, p8_pairs_as)

static bool supported(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

static bool supported_vbmi(void)
{
	return supported() && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni");
}

const struct xrnpe_codec xrnpe_codec_avx512 = {
	"avx512", supported, encode, decode, widen, sum, grid, run_fixed, pairs, NULL, words, xrnpe_map_bytes,
	xrnpe_map_pairs, xrnpe_map_channels, pack_threes, map_nibbles,
};

const struct xrnpe_codec xrnpe_codec_avx512_vbmi = {
	"avx512-vbmi", supported_vbmi, encode, decode, widen, sum, grid, run_fixed, p8_pairs, p8_products, words,
	look_up_bytes, look_up_pairs, look_up_channels, pack_threes, map_nibbles,
};

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Element-wise commands in integers: codes of up to 8 bits to others of up to 8 bits, exact,
 * as fixed.c prepares them. An instruction set's codec includes this after codec_vector.h,
 * which needs TARGET and VECTOR: 32 (AVX2) or 64 (AVX-512), whose instructions work on lanes of
 * 128 bits alike.
 */
#ifndef XRNPE_DATAPATH_FIXED_H
#define XRNPE_DATAPATH_FIXED_H

#if VECTOR == 64
#define INSTRUCTION(name) _mm512_##name
typedef __m512i ints;
#else
#define INSTRUCTION(name) _mm256_##name
typedef __m256i ints;
#endif

typedef int8_t signed_bytes __attribute__((vector_size(VECTOR)));

#define WORDS (VECTOR / sizeof(int16_t))

/* The quarters of 128 bits, or the halves, that unpacking takes apart, as it wants them; and back. */
INLINE bytes spread(bytes value)
{
#if VECTOR == 64
	return (bytes)_mm512_permutexvar_epi64(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), (ints)value);
#else
	return (bytes)_mm256_permute4x64_epi64((ints)value, 0xd8);
#endif
}

INLINE bytes gather(bytes value)
{
#if VECTOR == 64
	return (bytes)_mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), (ints)value);
#else
	return spread(value);
#endif
}

/* ---- codes to grid values ---------------------------------------------------- */

INLINE bytes sixteen(const uint8_t *table)
{
	__m128i value = _mm_loadu_si128((const __m128i *)table);

#if VECTOR == 64
	return (bytes)_mm512_broadcast_i32x4(value);
#else
	return (bytes)_mm256_broadcastsi128_si256(value);
#endif
}

/* Zero where bit 7 of the index is set. */
INLINE bytes entries(const uint8_t *table, bytes index)
{
	return (bytes)INSTRUCTION(shuffle_epi8)((ints)sixteen(table), (ints)index);
}

/*
 * Of Posit(8,0). Below 64 a magnitude is the code, up to 96 it is twice that less 64. What is
 * more the tables have, modulo 256, by the last 4 bits: of codes from 96 on, and besides from
 * 112 on, of which there are upper bytes, too.
 */
static const uint8_t p8_low[16] = { 0, 6, 12, 18, 24, 30, 36, 42, 48, 54, 60, 66, 72, 78, 84, 90 };
static const uint8_t p8_lower[16] = {
	96, 120, 144, 168, 192, 216, 240, 8, 32, 152, 16, 136, 0, 248, 240, 232,
};
static const uint8_t p8_high[16] = { 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 8, 16 };

static const uint8_t fp4_low[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, 255, 254, 253, 252, 250, 248, 244 };
static const uint8_t fp4_high[16] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255 };
static const uint8_t p4_low[16] = { 0, 1, 4, 8, 16, 32, 64, 0, 0, 0, 192, 224, 240, 248, 252, 255 };
static const uint8_t p4_high[16] = { 0, 0, 0, 0, 0, 0, 0, 1, 0, 255, 255, 255, 255, 255, 255, 255 };

/* Lower and upper bytes of grid values, of Posit(8,0) of their magnitudes. */
INLINE void grid_bytes(enum xrnpe_format format, bytes code, bytes *low, bytes *high)
{
	bytes m;

	switch (format) {
	case XRNPE_FORMAT_FP4:
		*low = entries(fp4_low, code);
		*high = entries(fp4_high, code);
		break;
	case XRNPE_FORMAT_P4:
		*low = entries(p4_low, code);
		*high = entries(p4_high, code);
		break;
	case XRNPE_FORMAT_P8:
		m = (bytes)INSTRUCTION(abs_epi8)((ints)code);
		*low = m + (bytes)INSTRUCTION(subs_epu8)((ints)m, INSTRUCTION(set1_epi8)(64)) +
		       entries(p8_low, m - 96) + entries(p8_lower, m - 112);
		*high = entries(p8_high, m - 112);
		break;
	default:
		*low = code;
		*high = format == XRNPE_FORMAT_U8 ? (bytes){ 0 } : (bytes)((signed_bytes)code < 0);
		break;
	}
}

/* Words with the signs of others, whose lower bytes are zero. */
INLINE i16s with_sign(i16s value, i16s sign)
{
#if VECTOR == 64
	return (i16s)_mm512_mask_sub_epi16((ints)value, _mm512_movepi16_mask((ints)sign), _mm512_setzero_si512(),
					   (ints)value);
#else
	return (i16s)_mm256_sign_epi16((ints)value, (ints)sign);
#endif
}

/* The grid values of a block of codes, as unpacking has them: two eights of each 16. */
INLINE void grid_words(enum xrnpe_format format, bytes code, i16s word[2])
{
	bytes low, high;

	grid_bytes(format, code, &low, &high);
	word[0] = (i16s)INSTRUCTION(unpacklo_epi8)((ints)low, (ints)high);
	word[1] = (i16s)INSTRUCTION(unpackhi_epi8)((ints)low, (ints)high);
	if (format == XRNPE_FORMAT_P8) {
		const ints zero = (ints)(bytes){ 0 };

		word[0] = with_sign(word[0], (i16s)INSTRUCTION(unpacklo_epi8)(zero, (ints)code));
		word[1] = with_sign(word[1], (i16s)INSTRUCTION(unpackhi_epi8)(zero, (ints)code));
	}
}

/* A block of packed codes; in @nar what is NaR. */
INLINE void grid_block(enum xrnpe_format format, const uint8_t *row, int16_t *values, bytes *nar)
{
	i16s word[2];
	bytes code;

	if (format <= XRNPE_FORMAT_P4) {
		half_bytes packed;
		halfs half;

		memcpy(&packed, row, sizeof(packed));
		half = __builtin_convertvector(packed, halfs);
		code = (bytes)((half | half << 4) & 0x0f0f);
	} else {
		memcpy(&code, row, sizeof(code));
	}
	if (format == XRNPE_FORMAT_P4 || format == XRNPE_FORMAT_P8)
		*nar |= (bytes)(code == (uint8_t)(format == XRNPE_FORMAT_P4 ? 8 : 128));
	grid_words(format, spread(code), word);
	memcpy(values, word, sizeof(word));
}

INLINE bool grid_as(enum xrnpe_format format, const uint8_t *row, int16_t *values, size_t count)
{
	bytes nar = { 0 };

	for (; count >= BLOCK; count -= BLOCK, values += BLOCK, row += format <= XRNPE_FORMAT_P4 ? BLOCK / 2 : BLOCK)
		grid_block(format, row, values, &nar);
	if (count) {
		uint8_t codes[BLOCK] = { 0 };
		int16_t rest[BLOCK];

		memcpy(codes, row, xrnpe_row_bytes(format, count));
		grid_block(format, codes, rest, &nar);
		memcpy(values, rest, count * sizeof(*rest));
	}
	for (size_t i = 1; i < BLOCK; i++)
		nar[0] |= nar[i];
	return nar[0];
}

TARGET static bool grid(enum xrnpe_format format, const void *row, int16_t *values, size_t count)
{
	switch (format) {
	case XRNPE_FORMAT_FP4:
		return grid_as(XRNPE_FORMAT_FP4, row, values, count);
	case XRNPE_FORMAT_P4:
		return grid_as(XRNPE_FORMAT_P4, row, values, count);
	case XRNPE_FORMAT_P8:
		return grid_as(XRNPE_FORMAT_P8, row, values, count);
	case XRNPE_FORMAT_U8:
		return grid_as(XRNPE_FORMAT_U8, row, values, count);
	default:
		return grid_as(XRNPE_FORMAT_S8, row, values, count);
	}
}

/* ---- sums ---------------------------------------------------------------------- */

INLINE i32s larger(i32s a, i32s b)
{
	return (i32s)INSTRUCTION(max_epi32)((ints)a, (ints)b);
}

INLINE i32s smaller(i32s a, i32s b)
{
	return (i32s)INSTRUCTION(min_epi32)((ints)a, (ints)b);
}

/* What is to be done to totals. */
struct limits {
	i32s shift, beyond;	/* and what it drops */
	i32s lo, hi;
};

INLINE struct limits make_limits(const struct xrnpe_fixed *fixed)
{
	const i32s none = { 0 };

	return (struct limits){
		.shift = none + fixed->shift, .beyond = none + ((1 << fixed->shift) - 1),
		.lo = none + fixed->lo, .hi = none + fixed->hi,
	};
}

/*
 * The sum of two terms a lane, in units of 2^-8, whose last bit says that it is not exact: each
 * digit of the factors, the last one first, is multiplied and what goes beyond carried over.
 */
INLINE i32s total(const struct limits *limits, i32s pair, const i32s *factor, int digits)
{
	const i32s one = (i32s){ 0 } + 1;
	i32s sum = { 0 }, lost = { 0 };

	for (int i = digits - 1; i >= 0; i--) {
		sum += (i32s)INSTRUCTION(madd_epi16)((ints)pair, (ints)factor[i]);
		if (i) {
			lost |= sum;
			sum >>= XRNPE_FIXED_DIGIT;
		}
	}
	lost = (lost & ((1 << XRNPE_FIXED_DIGIT) - 1)) | (sum & limits->beyond);
	return (i32s)INSTRUCTION(srav_epi32)((ints)sum, (ints)limits->shift) |
	       (i32s)INSTRUCTION(min_epu32)((ints)lost, (ints)one);
}

/* ---- totals to codes ------------------------------------------------------------- */

/* The codes of totals within an octave are linear, see struct xrnpe_fixed_output. */
struct lines {
	f32s slope, base;	/* by as many bits of an exponent as a vector has lanes */
	f32s first;		/* where those that the tables have begin */
};

INLINE struct lines make_lines(enum xrnpe_format format)
{
	const struct xrnpe_fixed_output *output = xrnpe_fixed_output(format);
	const int end = output->first + XRNPE_FIXED_OCTAVES, first = end - (int)LANES;
	struct lines lines = { .first = (f32s){ 0 } + (float)(1u << output->first) };

	for (int i = first; i < end; i++) {
		int from = i < output->first ? 0 : i - output->first;

		lines.slope[(127 + i) % LANES] = output->slope[from];
		lines.base[(127 + i) % LANES] = output->base[from];
	}
	return lines;
}

INLINE f32s choose_line(f32s table, u32s index)
{
#if VECTOR == 64
	return (f32s)_mm512_permutexvar_ps((ints)index, (__m512)table);
#else
	return (f32s)_mm256_permutevar8x32_ps((__m256)table, (ints)index);
#endif
}

/* The exponent of a total, whose last bits tell the octave. */
INLINE u32s octave_of(const struct lines *lines, f32s total)
{
#if VECTOR == 64
	return (u32s)total >> 23;	/* the table has all of them */
#else
	return (u32s)_mm256_max_ps((__m256)((u32s)total & INT32_MAX), (__m256)lines->first) >> 23;
#endif
}

INLINE i32s nearest(f32s value)
{
#if VECTOR == 64
	return (i32s)_mm512_cvtps_epi32((__m512)value);
#else
	return (i32s)_mm256_cvtps_epi32((__m256)value);
#endif
}

/* A code with the sign of a total, @value, zero if it is nearest. */
INLINE i32s signed_code(const struct lines *lines, f32s value)
{
	u32s octave = octave_of(lines, value), base = (u32s)choose_line(lines->base, octave);

	base |= (u32s)value & 1u << 31;
	/* Exact, so that nearest() rounds but once. */
#if VECTOR == 64
	return nearest((f32s)_mm512_fmadd_ps((__m512)value, (__m512)choose_line(lines->slope, octave), (__m512)base));
#else
	return nearest(value * choose_line(lines->slope, octave) + (f32s)base);
#endif
}

/* Codes as they are in memory; of @total there is the sign and whether it is zero. */
INLINE bytes finish_codes(enum xrnpe_format format, bytes code, bytes total)
{
	signed_bytes sign = (signed_bytes)total < 0, nonzero = (signed_bytes)total != 0;

	if (format == XRNPE_FORMAT_FP4)
		return (bytes)INSTRUCTION(abs_epi8)((ints)code) | (bytes)(sign & 8);
	/* Nothing but zero becomes zero. */
	code |= (bytes)((sign | 1) & nonzero & ((signed_bytes)code == 0));
	return format == XRNPE_FORMAT_P4 ? code & 15 : code;
}

/* ---- rows ------------------------------------------------------------------------- */

/* Both halves of some products, from their last XRNPE_FIXED_SPLIT bits on and these. */
INLINE void split_products(i16s *a, i16s *b)
{
	halfs low = (halfs)*a * (halfs)*b, high = (halfs)INSTRUCTION(mulhi_epi16)((ints)*a, (ints)*b);

	*a = (i16s)(high << (16 - XRNPE_FIXED_SPLIT) | low >> XRNPE_FIXED_SPLIT);
	*b = (i16s)(low & ((1 << XRNPE_FIXED_SPLIT) - 1));
}

/* Factors of the terms, for the lower and the upper halves of lanes of 128 bits. */
struct factors {
	i32s half[2][XRNPE_FIXED_DIGITS];
};

/* The totals of two vectors of words, @other: of MAX and MIN for the second term. */
INLINE void totals(const struct limits *limits, uint8_t opcode, i16s a, i16s b, const struct factors *factors,
		   const struct factors *other, int digits, i32s sum[2])
{
	i32s pair[2];

	if (opcode == XRNPE_OP_MUL)
		split_products(&a, &b);
	pair[0] = (i32s)INSTRUCTION(unpacklo_epi16)((ints)a, (ints)b);
	pair[1] = (i32s)INSTRUCTION(unpackhi_epi16)((ints)a, (ints)b);
#pragma GCC unroll 2
	for (size_t i = 0; i < 2; i++) {
		sum[i] = total(limits, pair[i], factors->half[i], digits);
		if (opcode == XRNPE_OP_MAX)
			sum[i] = larger(sum[i], total(limits, pair[i], other->half[i], digits));
		else if (opcode == XRNPE_OP_MIN)
			sum[i] = smaller(sum[i], total(limits, pair[i], other->half[i], digits));
		sum[i] = smaller(larger(sum[i], limits->lo), limits->hi);
	}
}

INLINE i16s load_words(const int16_t *from)
{
	i16s value;

	memcpy(&value, from, sizeof(value));
	return value;
}

INLINE struct factors make_factors(i16s first[XRNPE_FIXED_DIGITS], i16s second[XRNPE_FIXED_DIGITS], int digits)
{
	struct factors factors;

	for (int i = 0; i < digits; i++) {
		factors.half[0][i] = (i32s)INSTRUCTION(unpacklo_epi16)((ints)first[i], (ints)second[i]);
		factors.half[1][i] = (i32s)INSTRUCTION(unpackhi_epi16)((ints)first[i], (ints)second[i]);
	}
	return factors;
}

/* The same for all values. */
INLINE struct factors same_factors(const struct xrnpe_fixed *fixed, int digits)
{
	i16s first[XRNPE_FIXED_DIGITS], second[XRNPE_FIXED_DIGITS];

	for (int i = 0; i < digits; i++) {
		first[i] = (i16s){ 0 } + fixed->scale[i];
		second[i] = (i16s){ 0 } + fixed->other[i];
	}
	return make_factors(first, second, digits);
}

INLINE bytes pack_lanes(i32s a, i32s b, i32s c, i32s d)
{
	ints low = INSTRUCTION(packs_epi32)((ints)a, (ints)b), high = INSTRUCTION(packs_epi32)((ints)c, (ints)d);

	return (bytes)INSTRUCTION(packs_epi16)(low, high);
}

/* The codes of a block's totals. */
INLINE bytes codes_of(enum xrnpe_format format, const struct lines *lines, const i32s sum[4])
{
	i32s code[4];

#pragma GCC unroll 4
	for (size_t i = 0; i < 4; i++)
		code[i] = signed_code(lines, __builtin_convertvector(sum[i], f32s));
	return finish_codes(format, pack_lanes(code[0], code[1], code[2], code[3]),
			    pack_lanes(sum[0], sum[1], sum[2], sum[3]));
}

/* @digits and @each are no variables. */
INLINE void fixed_as(const struct xrnpe_fixed *fixed, int digits, bool each, const int16_t *a, const int16_t *b,
		     uint8_t *codes, size_t count)
{
	const bool two = fixed->opcode == XRNPE_OP_MAX || fixed->opcode == XRNPE_OP_MIN;
	const struct lines lines = make_lines(fixed->out);
	const struct limits limits = make_limits(fixed);
	i16s first[XRNPE_FIXED_DIGITS], second[XRNPE_FIXED_DIGITS], none[XRNPE_FIXED_DIGITS] = { 0 };
	struct factors factors, other;

	for (int i = 0; i < digits; i++) {
		first[i] = none[i] + fixed->scale[i];
		second[i] = none[i] + fixed->other[i];
	}
	factors = make_factors(first, two ? none : second, digits);
	other = make_factors(none, second, digits);
	for (size_t i = 0; i < count; i += BLOCK) {
		i32s sum[4];
		bytes packed;

#pragma GCC unroll 2
		for (size_t j = 0; j < 2; j++) {
			size_t at = i + j * WORDS;

			for (int d = 0; d < digits && each; d++) {
				first[d] = load_words(fixed->scales[d] + at);
				second[d] = load_words(fixed->others[d] + at);
			}
			if (each)
				factors = make_factors(first, second, digits);
			totals(&limits, fixed->opcode, load_words(a + at), load_words(b + at), &factors, &other,
			       digits, sum + 2 * j);
		}
		packed = gather(codes_of(fixed->out, &lines, sum));
		memcpy(codes + i, &packed, sizeof(packed));
	}
}

#define FIXED(name, digits, each)								\
	TARGET static void fixed_##name(const struct xrnpe_fixed *fixed, const int16_t *a,	\
					const int16_t *b, uint8_t *codes, size_t count)		\
	{											\
		fixed_as(fixed, digits, each, a, b, codes, count);				\
	}
FIXED(1, 1, false)
FIXED(2, 2, false)
FIXED(3, 3, false)
FIXED(1_each, 1, true)
FIXED(2_each, 2, true)
FIXED(3_each, 3, true)

static void run_fixed(const struct xrnpe_fixed *fixed, const int16_t *a, const int16_t *b, uint8_t *codes,
		      size_t count)
{
	void (*const runs[2][XRNPE_FIXED_DIGITS])(const struct xrnpe_fixed *fixed, const int16_t *a, const int16_t *b,
						  uint8_t *codes, size_t count) = {
		{ fixed_1, fixed_2, fixed_3 }, { fixed_1_each, fixed_2_each, fixed_3_each },
	};

	runs[fixed->each][fixed->digits - 1](fixed, a, b, codes, count);
}

/* ---- rows of codes ------------------------------------------------------------------ */

/* @opcode and @digits are no variables, @count is a multiple of BLOCK. */
INLINE void pairs_as(const struct xrnpe_fixed *fixed, uint8_t opcode, int digits, const uint8_t *a, const uint8_t *b,
		     uint8_t *codes, size_t count)
{
	const struct lines lines = make_lines(XRNPE_FORMAT_P8);
	const struct limits limits = make_limits(fixed);
	const struct factors factors = same_factors(fixed, digits);

	for (size_t i = 0; i < count; i += BLOCK) {
		i16s x[2], y[2];
		i32s sum[4];
		bytes code[2], nar;

		memcpy(&code[0], a + i, BLOCK);
		memcpy(&code[1], b + i, BLOCK);
		grid_words(XRNPE_FORMAT_P8, code[0], x);
		grid_words(XRNPE_FORMAT_P8, code[1], y);
#pragma GCC unroll 2
		for (size_t j = 0; j < 2; j++)
			totals(&limits, opcode, x[j], y[j], &factors, NULL, digits, sum + 2 * j);
		nar = (bytes)((code[0] == 128) | (code[1] == 128));
		code[0] = (codes_of(XRNPE_FORMAT_P8, &lines, sum) & ~nar) | (nar & 128);
		memcpy(codes + i, &code[0], BLOCK);
	}
}

/* Functions @name for each opcode and number of digits, of @target, and @name itself, which chooses. */
#define PAIRS(name, target, as)									\
	PAIRS_OF(name##_add_1, target, as, XRNPE_OP_ADD, 1)					\
	PAIRS_OF(name##_add_2, target, as, XRNPE_OP_ADD, 2)					\
	PAIRS_OF(name##_add_3, target, as, XRNPE_OP_ADD, 3)					\
	PAIRS_OF(name##_mul_1, target, as, XRNPE_OP_MUL, 1)					\
	PAIRS_OF(name##_mul_2, target, as, XRNPE_OP_MUL, 2)					\
	PAIRS_OF(name##_mul_3, target, as, XRNPE_OP_MUL, 3)					\
	static void name(const struct xrnpe_fixed *fixed, const uint8_t *a, const uint8_t *b,	\
			 uint8_t *codes, size_t count)						\
	{											\
		static pairs_function *const functions[2][XRNPE_FIXED_DIGITS] = {		\
			{ name##_add_1, name##_add_2, name##_add_3 },				\
			{ name##_mul_1, name##_mul_2, name##_mul_3 },				\
		};										\
												\
		run_pairs(functions[fixed->opcode == XRNPE_OP_MUL][fixed->digits - 1], fixed, a, b, codes, \
			  count);								\
	}

#define PAIRS_OF(name, target, as, opcode, digits)						\
	target static void name(const struct xrnpe_fixed *fixed, const uint8_t *a, const uint8_t *b, \
				uint8_t *codes, size_t count)					\
	{											\
		as(fixed, opcode, digits, a, b, codes, count);					\
	}

typedef void pairs_function(const struct xrnpe_fixed *fixed, const uint8_t *a, const uint8_t *b, uint8_t *codes,
			    size_t count);

/* @function for any number of codes. */
static void run_pairs(pairs_function *function, const struct xrnpe_fixed *fixed, const uint8_t *a, const uint8_t *b,
		      uint8_t *codes, size_t count)
{
	size_t rest = count % BLOCK, whole = count - rest;
	uint8_t last[2][BLOCK] = { 0 };

	function(fixed, a, b, codes, whole);
	if (!rest)
		return;
	memcpy(last[0], a + whole, rest);
	memcpy(last[1], b + whole, rest);
	function(fixed, last[0], last[1], last[0], BLOCK);
	memcpy(codes + whole, last[0], rest);
}

PAIRS(pairs, TARGET, pairs_as)

/* ---- lines of 3 codes ------------------------------------------------------------------ */

/* Four at a time: the first and the third codes, and what goes above the first ones. */
TARGET static void pack_threes(const uint8_t *codes, uint8_t *out, size_t lines)
{
	const __m128i below = _mm_setr_epi8(0, 2, 3, 5, 6, 8, 9, 11, -1, -1, -1, -1, -1, -1, -1, -1);
	const __m128i above = _mm_setr_epi8(1, -1, 4, -1, 7, -1, 10, -1, -1, -1, -1, -1, -1, -1, -1, -1);

	/* A vector reads one line and a third more. */
	for (; lines > 5; lines -= 4, codes += 12, out += 8) {
		__m128i value = _mm_loadu_si128((const __m128i *)codes);

		value = _mm_or_si128(_mm_shuffle_epi8(value, below),
				     _mm_slli_epi16(_mm_shuffle_epi8(value, above), 4));
		_mm_storel_epi64((__m128i *)out, value);
	}
	xrnpe_pack_threes(codes, out, lines);
}

/* ---- codes of 4 bits by a table ---------------------------------------------------------- */

TARGET static void map_nibbles(const uint8_t *table, const uint8_t *in, uint8_t *out, size_t size)
{
	const __m128i low = _mm_loadu_si128((const __m128i *)table), high = _mm_slli_epi16(low, 4);
	const __m128i nibble = _mm_set1_epi8(15);
	size_t i = 0;

	for (; i + 16 <= size; i += 16) {
		__m128i codes = _mm_loadu_si128((const __m128i *)(in + i));
		__m128i second = _mm_and_si128(_mm_srli_epi16(codes, 4), nibble);

		codes = _mm_or_si128(_mm_shuffle_epi8(low, _mm_and_si128(codes, nibble)),
				     _mm_shuffle_epi8(high, second));
		_mm_storeu_si128((__m128i *)(out + i), codes);
	}
	xrnpe_map_nibbles(table, in + i, out + i, size - i);
}

#endif

// SPDX-License-Identifier: MIT
/* Rows of binary32 values to codes and back: the plain way, and the choice of one. */
#include <stdatomic.h>
#include <string.h>

#include "kernel.h"

static bool always(void)
{
	return true;
}

static void encode(enum xrnpe_format format, const float *values, void *row, size_t count,
		   uint32_t *status)
{
	for (size_t i = 0; i < count; i++)
		xrnpe_store(format, row, i, xrnpe_encode(format, (double)values[i], status));
}

static void decode(enum xrnpe_format format, const void *row, float *values, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t code = xrnpe_load(format, row, i);

		if (format != XRNPE_FORMAT_F32 && xrnpe_is_nar(format, code))
			code = 0x7fc00000;
		else if (format != XRNPE_FORMAT_F32) {
			values[i] = (float)xrnpe_decode(format, code);
			continue;
		}
		memcpy(&values[i], &code, sizeof(code));
	}
}

void xrnpe_map_bytes(const uint8_t *table, const uint8_t *in, uint8_t *out, size_t count)
{
	for (size_t i = 0; i < count; i++)
		out[i] = table[in[i]];
}

void xrnpe_map_pairs(const uint8_t *table, const uint8_t *in, uint8_t *out, size_t count)
{
	for (size_t i = 0; i < count; i++)
		memcpy(out + 2 * i, table + 2 * in[i], 2);
}

void xrnpe_map_channels(const uint8_t *tables, size_t channels, size_t size, const uint8_t *in, uint8_t *out,
			size_t count)
{
	for (size_t c = 0; c < channels; c++, tables += 256 * size) {
		for (size_t i = c; i < count && size == 1; i += channels)
			out[i] = tables[in[i]];
		for (size_t i = c; i < count && size == 2; i += channels)
			memcpy(out + 2 * i, tables + 2 * in[i], 2);
	}
}

void xrnpe_pack_threes(const uint8_t *codes, uint8_t *out, size_t lines)
{
	for (; lines; lines--, codes += 3, out += 2) {
		out[0] = (uint8_t)(codes[0] | codes[1] << 4);
		out[1] = codes[2];
	}
}

void xrnpe_map_nibbles(const uint8_t *table, const uint8_t *in, uint8_t *out, size_t size)
{
	for (size_t i = 0; i < size; i++)
		out[i] = (uint8_t)(table[in[i] & 15] | table[in[i] >> 4] << 4);
}

static void widen(enum xrnpe_format format, const void *row, void *codes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		double value = xrnpe_decode(format, xrnpe_load(format, row, i));

		xrnpe_store(XRNPE_FORMAT_P16, codes, i, xrnpe_encode(XRNPE_FORMAT_P16, value, &(uint32_t){ 0 }));
	}
}

const struct xrnpe_codec xrnpe_codec_plain = {
	"plain", always, encode, decode, widen, NULL, NULL, NULL, NULL, NULL, NULL, xrnpe_map_bytes,
	xrnpe_map_pairs, xrnpe_map_channels, xrnpe_pack_threes, xrnpe_map_nibbles,
};

const struct xrnpe_codec *const xrnpe_codecs[] = {
	&xrnpe_codec_plain,
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	&xrnpe_codec_vector,
#endif
#ifdef __x86_64__
	&xrnpe_codec_avx2,
	&xrnpe_codec_avx512,
	&xrnpe_codec_avx512_vbmi,
#endif
	NULL,
};

/* The same whoever finds it, so that threads need not agree on who does. */
const struct xrnpe_codec *xrnpe_fastest_codec(void)
{
	static _Atomic(const struct xrnpe_codec *) known;
	const struct xrnpe_codec *codec = atomic_load_explicit(&known, memory_order_relaxed);

	if (codec)
		return codec;
	for (const struct xrnpe_codec *const *each = xrnpe_codecs; *each; each++) {
		if ((*each)->supported())
			codec = *each;
	}
	atomic_store_explicit(&known, codec, memory_order_relaxed);
	return codec;
}

void xrnpe_encode_row(enum xrnpe_format format, const float *values,
		      void *row, size_t count, uint32_t *status)
{
	xrnpe_fastest_codec()->encode(format, values, row, count, status);
}

void xrnpe_decode_row(enum xrnpe_format format, const void *row,
		      float *values, size_t count)
{
	xrnpe_fastest_codec()->decode(format, row, values, count);
}

void xrnpe_widen(enum xrnpe_format format, const void *row, size_t first, size_t count, void *codes)
{
	const uint8_t *from = (const uint8_t *)row + xrnpe_row_bytes(format, first);

	if (count && first * xrnpe_format_bits(format) % 8) {
		/* The high half of a byte. */
		xrnpe_fastest_codec()->widen(format, (uint8_t[]){ from[-1] >> 4 }, codes, 1);
		codes = (uint8_t *)codes + sizeof(uint16_t);
		count--;
	}
	xrnpe_fastest_codec()->widen(format, from, codes, count);
}

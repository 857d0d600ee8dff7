// SPDX-License-Identifier: MIT
/* Codecs for any CPU: vectors of 16 bytes, which SSE2 and NEON have and others imitate. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__

#define VECTOR 16
#define TARGET

#include "codec_vector.h"

#ifdef __AARCH64EL__

static uint8x16x4_t load_quarter(const uint8_t *table)
{
	return (uint8x16x4_t){ { vld1q_u8(table), vld1q_u8(table + 16), vld1q_u8(table + 32), vld1q_u8(table + 48) } };
}

/* Instructions look into 64 entries, and give zero for what is beyond. */
static uint8x16_t look_up(const uint8x16x4_t quarter[4], uint8x16_t index)
{
	const uint8x16_t next = vdupq_n_u8(64);
	uint8x16_t value = vqtbl4q_u8(quarter[0], index);

	for (int i = 1; i < 4; i++) {
		index = vsubq_u8(index, next);
		value = vorrq_u8(value, vqtbl4q_u8(quarter[i], index));
	}
	return value;
}

static void map_bytes(const uint8_t *table, const uint8_t *in, uint8_t *out, size_t count)
{
	const uint8x16x4_t quarter[4] = { load_quarter(table), load_quarter(table + 64),
					  load_quarter(table + 128), load_quarter(table + 192) };
	size_t i = 0;

	for (; i + 16 <= count; i += 16)
		vst1q_u8(out + i, look_up(quarter, vld1q_u8(in + i)));
	xrnpe_map_bytes(table, in + i, out + i, count - i);
}
#define map_pairs xrnpe_map_pairs

#else
#define map_bytes xrnpe_map_bytes
#define map_pairs xrnpe_map_pairs
#endif

static bool supported(void)
{
	return true;
}

const struct xrnpe_codec xrnpe_codec_vector = {
	"vector", supported, encode, decode, widen, sum, NULL, NULL, NULL, NULL, NULL, map_bytes,
	map_pairs, xrnpe_map_channels, xrnpe_pack_threes, xrnpe_map_nibbles,
};

#endif

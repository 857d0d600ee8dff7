// SPDX-License-Identifier: MIT
/* Codecs for any CPU: vectors of 16 bytes, which SSE2 and NEON have and others imitate. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__

#define VECTOR 16
#define TARGET

#include "codec_vector.h"

static bool supported(void)
{
	return true;
}

const struct xrnpe_codec xrnpe_codec_vector = { "vector", supported, encode, decode, sum };

#endif

// SPDX-License-Identifier: MIT
/* How fast numbers become codes, and codes numbers. */
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "console.h"

#define CODEC_COUNT (1u << 20)

/* Seconds that a value takes to a code and back, at best. */
struct codec_times {
	double encode, decode;
};

static void time_codec(const struct xrnpe_codec *codec, enum xrnpe_format format,
		       const float *values, void *row, float *back, size_t count,
		       struct codec_times *best)
{
	uint32_t status = 0;
	double start = seconds_now(), between;

	codec->encode(format, values, row, count, &status);
	between = seconds_now();
	codec->decode(format, row, back, count);
	bench_keep_least(&best->decode, (seconds_now() - between) / (double)count);
	bench_keep_least(&best->encode, (between - start) / (double)count);
}

int bench_codec(const struct bench_options *options, enum xrnpe_format format,
		const struct xrnpe_datapath *fast)
{
	const struct xrnpe_codec *codec = xrnpe_datapath_codec(fast);
	float *values = malloc(CODEC_COUNT * sizeof(*values));
	float *back = malloc(CODEC_COUNT * sizeof(*back));
	void *row = malloc(xrnpe_row_bytes(format, CODEC_COUNT));
	struct codec_times ours = { 1e9, 1e9 }, plain = ours;
	double start = seconds_now();

	if (!values || !back || !row)
		return bench_fail("memory");
	for (size_t i = 0; i < CODEC_COUNT; i++)
		values[i] = (float)bench_normal();
	for (int i = 0; i < BENCH_TURNS || seconds_now() - start < BENCH_SECONDS; i++) {
		time_codec(codec, format, values, row, back, CODEC_COUNT, &ours);
		time_codec(&xrnpe_codec_plain, format, values, row, back, CODEC_COUNT / 64, &plain);
	}
	printf(options->json ?
	       "{\"name\": \"codec\", \"format\": \"%s\", \"threads\": 1, \"kernel\": \"%s\", "
	       "\"encode_gvalues\": %.3f, \"plain_encode_gvalues\": %.3f, "
	       "\"encode_ratio_to_plain\": %.1f, \"decode_gvalues\": %.3f, "
	       "\"plain_decode_gvalues\": %.3f, \"decode_ratio_to_plain\": %.1f}\n" :
	       "codec             %-7s   1  %-12s %8.2f %8.2f %8.1f %8.2f %8.2f %8.1f\n",
	       xrnpe_format_name(format), codec->name,
	       1e-9 / ours.encode, 1e-9 / plain.encode, plain.encode / ours.encode,
	       1e-9 / ours.decode, 1e-9 / plain.decode, plain.decode / ours.decode);
	free(values);
	free(back);
	free(row);
	return 0;
}

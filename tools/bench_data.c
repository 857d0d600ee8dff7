// SPDX-License-Identifier: MIT
/* Numbers and codes that benchmarks compute with. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

int bench_fail(const char *what)
{
	fprintf(stderr, "xrnpe bench: %s: %s\n", what, strerror(errno));
	return -1;
}

double bench_unit(void)
{
	return (double)rand() / ((double)RAND_MAX + 1);
}

double bench_normal(void)
{
	double sum = 0;

	for (int i = 0; i < 12; i++)
		sum += bench_unit();
	return sum - 6;
}

static uint32_t random_code(const struct bench_options *options, enum xrnpe_format format, bool weight)
{
	uint32_t code, status = 0;

	if (options->trained) {
		double value = bench_normal();

		/* Scaled as the compiler scales them: into the middle of the format. */
		if (!weight && value < 0)
			value = 0;
		return xrnpe_encode(format, format == XRNPE_FORMAT_P16 && weight ? value / 20 : value,
				    &status);
	}
	do
		code = (uint32_t)(bench_unit() * (double)(1ull << xrnpe_format_bits(format)));
	while (xrnpe_is_nar(format, code));
	return code;
}

void bench_repeat(void *memory, size_t period, size_t size)
{
	uint8_t *bytes = memory;

	for (size_t at = period; at < size; at += period)
		memcpy(bytes + at, bytes, size - at < period ? size - at : period);
}

void *bench_row(const struct bench_options *options, enum xrnpe_format format, size_t count,
		bool weight)
{
	void *row = calloc(1, xrnpe_row_bytes(format, count) + 1);

	for (size_t i = 0; row && i < count && i < BENCH_RANDOM; i++)
		xrnpe_store(format, row, i, random_code(options, format, weight));
	if (row)
		bench_repeat(row, xrnpe_row_bytes(format, BENCH_RANDOM), xrnpe_row_bytes(format, count));
	return row;
}

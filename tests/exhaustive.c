// SPDX-License-Identifier: MIT
/*
 * Every code decoded and every binary32 value encoded, in all formats, by every
 * implementation that this CPU runs. Takes minutes.
 *
 *	exhaustive [IMPLEMENTATION...]
 *
 * What is expected comes from tests/reference, which shares no code with the
 * datapath: tie points from the formats' definitions as exact integers, and
 * between them the code that all values have, as rounding is monotonic. That the
 * intervals leave no binary32 out is checked, and so is every one of the 2^32.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kernels/kernel.h"
#include "reference/reference.h"

#define FORMATS XRNPE_FORMAT_F32	/* those that are below */
#define CHUNK (1u << 16)		/* values in a row */
#define CHUNKS (1u << 16)
#define LANES 64			/* no implementation has longer vectors */

/* One implementation of one format. */
struct check {
	enum xrnpe_format format;
	const char *name;
	const struct xrnpe_codec *codec;	/* NULL: the functions for single values */
	uint32_t wrong_chunk;			/* CHUNKS: none */
	char message[200];
};

static struct check checks[FORMATS * 16];
static size_t check_count;
static struct ref_interval intervals[FORMATS][REF_INTERVALS];
static unsigned int passed, failed;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint32_t next_chunk;
static uint32_t chunks_done;
static time_t start;

static void *allocate(size_t size)
{
	void *memory = malloc(size);

	if (!memory) {
		perror("exhaustive");
		exit(EXIT_FAILURE);
	}
	return memory;
}

static void result(const struct check *check, const char *what, const char *message)
{
	if (*message)
		failed++;
	else
		passed++;
	printf("%-6s  %s %s, %s%s%s\n", *message ? "not ok" : "ok", what,
	       xrnpe_format_name(check->format), check->name, *message ? ": " : "", message);
	fflush(stdout);
}

/* ---- decoding --------------------------------------------------------- */

static void decode(const struct check *check, const uint8_t *row, float *values, size_t count)
{
	if (check->codec) {
		check->codec->decode(check->format, row, values, count);
		return;
	}
	for (size_t i = 0; i < count; i++)
		values[i] = (float)xrnpe_decode(check->format, ref_load(check->format, row, i));
}

/* Every code at every place of a vector. */
static void check_decode(struct check *check)
{
	uint32_t codes = 1u << xrnpe_format_bits(check->format), *expected;
	uint8_t *row = allocate(4 * (codes + LANES));
	float *values = allocate((codes + LANES) * sizeof(*values));
	char message[200] = "";

	expected = allocate(codes * sizeof(*expected));
	for (uint32_t code = 0; code < codes; code++)
		expected[code] = ref_encode(XRNPE_FORMAT_F32, ref_decode(check->format, code), NULL);
	for (uint32_t shift = 0; shift < LANES && !*message; shift++) {
		uint32_t count = codes + shift;

		for (uint32_t i = 0; i < count; i++)
			ref_store(check->format, row, i, (i + codes - shift % codes) % codes);
		decode(check, row, values, count);
		for (uint32_t i = 0; i < count && !*message; i++) {
			uint32_t code = ref_load(check->format, row, i), got;

			memcpy(&got, &values[i], sizeof(got));
			if (got != expected[code])
				snprintf(message, sizeof(message), "code %#x gives %08x, not %08x", code,
					 got, expected[code]);
		}
	}
	result(check, "decode", message);
	free(row);
	free(values);
	free(expected);
}

/* ---- encoding --------------------------------------------------------- */

/* Intervals from 0 to 2^32 - 1 without a gap. */
static bool make_intervals(enum xrnpe_format format)
{
	size_t count = ref_intervals(format, intervals[format]);
	uint32_t next = 0;

	for (size_t i = 0; i < count; i++) {
		const struct ref_interval *interval = &intervals[format][i];

		if (interval->first != next || interval->last < next || (i && !next))
			return false;
		next = interval->last + 1;
	}
	return !next;
}

/* The row that CHUNK patterns from @bits on give. @at: their place in the intervals. */
static bool expect(enum xrnpe_format format, uint32_t bits, const struct ref_interval *at, uint8_t *row)
{
	bool invalid = false;

	for (uint32_t i = 0; i < CHUNK; i++, bits++) {
		if (!bits)
			at = intervals[format];
		else if (bits > at->last)
			at++;
		ref_store(format, row, i, at->code);
		invalid |= at->invalid;
	}
	return invalid;
}

static void encode(const struct check *check, const float *values, uint8_t *row, uint32_t *status)
{
	if (check->codec) {
		check->codec->encode(check->format, values, row, CHUNK, status);
		return;
	}
	for (uint32_t i = 0; i < CHUNK; i++)
		ref_store(check->format, row, i, xrnpe_encode(check->format, (double)values[i], status));
}

static void compare(struct check *check, uint32_t chunk, const float *values, uint8_t *row,
		    const uint8_t *expected, bool invalid)
{
	uint32_t status = 0, i = 0, bits;

	encode(check, values, row, &status);
	if (!memcmp(row, expected, xrnpe_row_bytes(check->format, CHUNK)) &&
	    status == (invalid ? XRNPE_STATUS_INVALID : 0))
		return;
	while (i < CHUNK && ref_load(check->format, row, i) == ref_load(check->format, expected, i))
		i++;
	pthread_mutex_lock(&lock);
	if (chunk < check->wrong_chunk) {
		check->wrong_chunk = chunk;
		memcpy(&bits, &values[i % CHUNK], sizeof(bits));
		if (i < CHUNK)
			snprintf(check->message, sizeof(check->message),
				 "%08x (%a) gives %x, not %x", bits, (double)values[i],
				 ref_load(check->format, row, i), ref_load(check->format, expected, i));
		else
			snprintf(check->message, sizeof(check->message),
				 "status %x, not %x, of %u values from %08x on", status,
				 invalid ? XRNPE_STATUS_INVALID : 0, CHUNK, bits);
	}
	pthread_mutex_unlock(&lock);
}

static void progress(void)
{
	bool terminal = isatty(STDOUT_FILENO);
	uint32_t percent;

	pthread_mutex_lock(&lock);
	percent = ++chunks_done * 100ull / CHUNKS;
	if (percent != (chunks_done - 1) * 100ull / CHUNKS && (terminal || !(percent % 10))) {
		printf("%s%3u %% of all binary32 values encoded, %ld s%s", terminal ? "\r" : "", percent,
		       (long)(time(NULL) - start), terminal && percent < 100 ? "" : "\n");
		fflush(stdout);
	}
	pthread_mutex_unlock(&lock);
}

static void *work(void *unused)
{
	const struct ref_interval *at[FORMATS];
	float *values = allocate(CHUNK * sizeof(*values));
	uint8_t *row = allocate(CHUNK * sizeof(uint16_t)), *expected = allocate(CHUNK * sizeof(uint16_t));
	uint32_t chunk;

	for (int format = 0; format < FORMATS; format++)
		at[format] = intervals[format];
	while ((chunk = next_chunk++) < CHUNKS) {
		/* One more, so that infinities, which are not invalid, do not share a row with NaNs. */
		uint32_t first = chunk * CHUNK + 1;

		for (uint32_t i = 0; i < CHUNK; i++) {
			uint32_t bits = first + i;

			memcpy(&values[i], &bits, sizeof(bits));
		}
		for (enum xrnpe_format format = 0; format < FORMATS; format++) {
			bool invalid;

			while (at[format]->last < first)
				at[format]++;
			invalid = expect(format, first, at[format], expected);
			for (size_t i = 0; i < check_count; i++) {
				if (checks[i].format == format)
					compare(&checks[i], chunk, values, row, expected, invalid);
			}
		}
		progress();
	}
	free(values);
	free(row);
	free(expected);
	return NULL;
}

/* ---- all of it -------------------------------------------------------- */

static void add_checks(const char *name, const struct xrnpe_codec *codec, char **wanted)
{
	bool skip = *wanted;

	for (; *wanted; wanted++)
		skip &= !!strcmp(*wanted, name);
	for (int format = 0; format < FORMATS && !skip; format++)
		checks[check_count++] = (struct check){
			.format = (enum xrnpe_format)format, .name = name, .codec = codec,
			.wrong_chunk = CHUNKS,
		};
}

int main(int argc, char **argv)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t *threads;

	start = time(NULL);
	add_checks("single", NULL, argv + 1);
	for (const struct xrnpe_codec *const *codec = xrnpe_codecs; *codec; codec++) {
		if ((*codec)->supported())
			add_checks((*codec)->name, *codec, argv + 1);
	}
	if (!check_count) {
		fprintf(stderr, "exhaustive: no such implementation\n");
		return EXIT_FAILURE;
	}
	for (int format = 0; format < FORMATS; format++) {
		if (!make_intervals((enum xrnpe_format)format)) {
			fprintf(stderr, "exhaustive: the reference's intervals have a gap\n");
			return EXIT_FAILURE;
		}
	}
	for (size_t i = 0; i < check_count; i++)
		check_decode(&checks[i]);
	count = count > 0 ? count : 1;
	threads = allocate((size_t)count * sizeof(*threads));
	for (long i = 0; i < count; i++) {
		if (pthread_create(&threads[i], NULL, work, NULL)) {
			perror("exhaustive");
			return EXIT_FAILURE;
		}
	}
	for (long i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < check_count; i++)
		result(&checks[i], "encode", checks[i].message);
	free(threads);
	printf("%u passed, %u failed\n", passed, failed);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

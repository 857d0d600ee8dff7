// SPDX-License-Identifier: MIT
/*
 * Random jobs against the reference: memory, fault, status, counters. On the datapath, by
 * every kernel of this CPU on one and two threads, and on the library's emulator; or on QEMU's
 * device, on all queues at a time.
 *
 *     streams [-q QEMU] JOBS [SEED]      JOBS from seed SEED (1) on
 *     streams [-q QEMU] SECONDSs [SEED]  as many as there is time for; a random SEED if none
 *                                        is told
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cost.h"
#include "names.h"
#include "streams/device.h"
#include "streams/emulator.h"
#include "streams/kernel.h"
#include "streams/stream.h"

#define THREADS 2
#define KERNELS 16
/* Changed commands a job, of which only the check is looked at. */
#define CHANGES 64

/* What ought to come out of a job. */
struct expectation {
	struct stream stream;
	struct outcome outcome;
	uint8_t memory[STREAM_MEMORY];
	uint8_t mask[STREAM_MEMORY];	/* set where memory is unspecified */
};

static struct expectation expectations[DEVICE_QUEUES];
static uint8_t memory[STREAM_MEMORY];
static struct xrnpe_datapath *contexts[KERNELS][THREADS];
static unsigned long ends[XRNPE_FAULT_ILLEGAL_SCALE + 1];	/* jobs, by kind of fault */
static unsigned long overlaps;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool same(const struct expectation *want, const struct outcome *got, size_t *at)
{
	uint32_t open = want->outcome.open_status;

	*at = 0;
	while (*at < want->stream.size && (memory[*at] == want->memory[*at] || want->mask[*at]))
		++*at;
	return *at == want->stream.size && (want->outcome.status | open) == (got->status | open) &&
	       !memcmp(&want->outcome.fault, &got->fault, sizeof(got->fault));
}

static void print_outcome(const char *who, const struct outcome *outcome)
{
	const struct xrnpe_fault *f = &outcome->fault;

	printf("# %s: status %x, fault kind %u command %u operand %u region %u offset %" PRIu64 "\n", who,
	       outcome->status, f->kind, f->cmd, f->operand, f->region, (uint64_t)f->offset);
}

/* The same verdict on commands that are not executed, so that any is possible. */
static bool checks_agree(const struct stream *stream)
{
	uint64_t random = stream->seed;

	for (int i = 0; i < CHANGES; i++) {
		struct xrnpe_span spans[XRNPE_OPERANDS];
		struct outcome want = { 0 }, got = { 0 };
		char text[XRNPE_CMD_TEXT];
		struct xrnpe_cmd cmd;

		stream_change(stream, &random, &cmd);
		want.fault = stream_check(stream, &cmd);
		xrnpe_cmd_check(&cmd, 0, stream->regions, stream->region_count, spans, &got.fault);
		if (!memcmp(&want.fault, &got.fault, sizeof(want.fault)))
			continue;
		xrnpe_cmd_text(&cmd, text, sizeof(text));
		printf("# seed %" PRIu64 ", change %d: %s\n", stream->seed, i, text);
		print_outcome("reference", &want);
		print_outcome("xrnpe_cmd_check()", &got);
		return false;
	}
	return true;
}

static bool report(const struct expectation *want, const char *who, const struct outcome *got, size_t at)
{
	printf("# seed %" PRIu64 ": %s differs from the reference\n", want->stream.seed, who);
	if (at < want->stream.size)
		printf("# byte %zu of memory is %02x, not %02x\n", at, memory[at], want->memory[at]);
	print_outcome("reference", &want->outcome);
	print_outcome(who, got);
	stream_describe(&want->stream, stdout);
	return false;
}

static bool try_kernels(const struct expectation *want)
{
	const char *const *kernels = xrnpe_datapath_kernels();
	struct outcome got;
	char who[64];
	size_t at;

	for (unsigned int k = 0; kernels[k]; k++) {
		for (unsigned int threads = 1; threads <= THREADS; threads++) {
			struct xrnpe_datapath **context = &contexts[k][threads - 1];

			snprintf(who, sizeof(who), "%s on %u threads", kernels[k], threads);
			if (!*context)
				*context = xrnpe_datapath_new(threads, kernels[k]);
			if (!*context) {
				printf("# %s: %s\n", who, strerror(errno));
				return false;
			}
			memcpy(memory, want->stream.memory, want->stream.size);
			kernel_run(*context, &want->stream, memory, &got);
			if (!same(want, &got, &at))
				return report(want, who, &got, at);
		}
	}
	return true;
}

/* Whoever runs jobs, as opposed to commands, also counts. What @who did is in memory. */
static bool judge(const struct expectation *want, const char *who, const struct outcome *got)
{
	size_t at;

	if (!same(want, got, &at))
		return report(want, who, got, at);
	for (unsigned int i = 0; i < XRNPE_COUNTERS; i++) {
		uint64_t wanted = ((const uint64_t *)&want->outcome.counters)[i];
		uint64_t counted = ((const uint64_t *)&got->counters)[i];
		char name[32];

		if (wanted == counted)
			continue;
		xrnpe_counter_name(i, name, sizeof(name));
		printf("# counter %s is %" PRIu64 ", not %" PRIu64 "\n", name, counted, wanted);
		return report(want, who, got, at);
	}
	return true;
}

static bool try_emulator(const struct expectation *want)
{
	struct outcome got = { 0 };

	return emulator_run(&want->stream, memory, &got) && judge(want, "the emulator", &got);
}

/* A job on each queue; the least urgent ones first, so that others interrupt them. */
static bool try_device(unsigned int count)
{
	bool good = true;

	for (unsigned int q = count; q--; )
		device_submit(&expectations[q].stream, q);
	for (unsigned int q = 0; q < count && good; q++) {
		const struct expectation *want = &expectations[q];
		struct outcome got = { 0 };

		good = device_wait(&want->stream, q, memory, &got) && judge(want, "the device", &got);
		if (!good)
			printf("# seed %" PRIu64 " on queue %u of a round of %u jobs\n", want->stream.seed,
			       q, count);
	}
	return good;
}

static void expect(struct expectation *want, uint64_t seed)
{
	stream_make(&want->stream, seed);
	memcpy(want->memory, want->stream.memory, want->stream.size);
	stream_predict(&want->stream, want->memory, &want->outcome);
	memset(want->mask, 0, want->stream.size);
	stream_unspecified(&want->stream, &want->outcome, want->mask);
	ends[want->outcome.fault.kind]++;
	overlaps += want->outcome.open_status != 0;
}

/* @count jobs at a time; the device has that many queues. */
static bool try_streams(uint64_t seed, unsigned int count, bool device)
{
	for (unsigned int i = 0; i < count; i++) {
		expect(&expectations[i], seed + i);
		if (!checks_agree(&expectations[i].stream))
			return false;
	}
	if (device)
		return try_device(count);
	for (unsigned int i = 0; i < count; i++) {
		if (!try_kernels(&expectations[i]) || !try_emulator(&expectations[i]))
			return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	const char *qemu = NULL, *number;
	uint64_t seed = 1, count = 0, limit;
	double start, seconds = 0;
	bool good = true;
	char *end;

	if (argc > 2 && !strcmp(argv[1], "-q")) {
		qemu = argv[2];
		argv += 2;
		argc -= 2;
	}
	number = argc > 1 ? argv[1] : "";
	limit = strtoull(number, &end, 10);
	if (!limit || (*end && strcmp(end, "s"))) {
		fprintf(stderr, "usage: streams [-q QEMU] JOBS|SECONDSs [SEED]\n");
		return EXIT_FAILURE;
	}
	if (*end) {
		seconds = (double)limit;
		limit = UINT64_MAX;
		seed = (uint64_t)time(NULL) << 20;
	}
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 10);
	printf("# the first seed is %" PRIu64 "\n", seed);
	good = qemu ? device_start(qemu) : emulator_start();
	start = now();
	while (good && count < limit && (!seconds || now() - start < seconds)) {
		uint64_t left = limit - count;
		unsigned int jobs = left < DEVICE_QUEUES ? (unsigned int)left : DEVICE_QUEUES;

		good = try_streams(seed + count, jobs, qemu);
		count += jobs;
	}
	for (unsigned int kind = 0; kind <= XRNPE_FAULT_ILLEGAL_SCALE; kind++)
		printf("# %s: %lu\n", kind ? xrnpe_fault_name(kind) : "ended well", ends[kind]);
	printf("# %lu with an output over an input\n", overlaps);
	printf("# %" PRIu64 " jobs, %.0f a minute\n1..1\n%s 1 - %s and the reference agree\n", count,
	       (double)count / (now() - start) * 60, good ? "ok" : "not ok", qemu ? "the device" : "kernels, the emulator");
	device_stop();
	emulator_stop();
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

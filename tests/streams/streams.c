// SPDX-License-Identifier: MIT
/*
 * Random jobs against the reference: memory, fault, status, counters. On the datapath, by
 * every kernel of this CPU on one and two threads; or on QEMU's device.
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
#include "streams/stream.h"

#define THREADS 2
#define KERNELS 16
/* Changed commands a job, of which only the check is looked at. */
#define CHANGES 64

static struct stream stream;
static uint8_t expected[STREAM_MEMORY], memory[STREAM_MEMORY];
static struct xrnpe_datapath *contexts[KERNELS][THREADS];
static unsigned long ends[XRNPE_FAULT_ILLEGAL_SCALE + 1];	/* jobs, by kind of fault */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* As the emulator of libxrnpe runs a job, in a context whose time begins with it. */
static void run(struct xrnpe_datapath *datapath, struct outcome *outcome)
{
	const struct xrnpe_machine machine = XRNPE_MACHINE_DEFAULT;

	memset(outcome, 0, sizeof(*outcome));
	for (unsigned int i = 0; i < stream.cmd_count; i++) {
		struct xrnpe_span spans[XRNPE_OPERANDS];
		void *operand[XRNPE_OPERANDS] = { NULL };

		if (!xrnpe_cmd_check(&stream.cmds[i], i, stream.regions, stream.region_count, spans,
				     &outcome->fault))
			return;
		for (unsigned int o = 0; o < XRNPE_OPERANDS; o++) {
			if (spans[o].size)
				operand[o] = memory + stream.at[spans[o].region] + spans[o].offset;
		}
		xrnpe_datapath_set_cycles(datapath, outcome->counters.cycles);
		if (xrnpe_datapath_run(datapath, &stream.cmds[i], i, operand, NULL, &outcome->status,
				       &outcome->fault))
			return;
		xrnpe_cmd_cost(&machine, &stream.cmds[i], &outcome->counters);
	}
	memset(&outcome->fault, 0, sizeof(outcome->fault));
}

static bool same(const struct outcome *want, const struct outcome *got, size_t *at)
{
	size_t start, count = stream_unspecified(&stream, want, &start);

	memcpy(memory + start, expected + start, count);
	*at = 0;
	while (*at < stream.size && memory[*at] == expected[*at])
		++*at;
	return *at == stream.size && want->status == got->status &&
	       !memcmp(&want->fault, &got->fault, sizeof(want->fault));
}

static void print_outcome(const char *who, const struct outcome *outcome)
{
	const struct xrnpe_fault *f = &outcome->fault;

	printf("# %s: status %x, fault kind %u command %u operand %u region %u offset %" PRIu64 "\n", who,
	       outcome->status, f->kind, f->cmd, f->operand, f->region, (uint64_t)f->offset);
}

/* The same verdict on commands that are not executed, so that any is possible. */
static bool checks_agree(uint64_t seed)
{
	uint64_t random = seed;

	for (int i = 0; i < CHANGES; i++) {
		struct xrnpe_span spans[XRNPE_OPERANDS];
		struct outcome want = { 0 }, got = { 0 };
		char text[XRNPE_CMD_TEXT];
		struct xrnpe_cmd cmd;

		stream_change(&stream, &random, &cmd);
		want.fault = stream_check(&stream, &cmd);
		xrnpe_cmd_check(&cmd, 0, stream.regions, stream.region_count, spans, &got.fault);
		if (!memcmp(&want.fault, &got.fault, sizeof(want.fault)))
			continue;
		xrnpe_cmd_text(&cmd, text, sizeof(text));
		printf("# seed %" PRIu64 ", change %d: %s\n", seed, i, text);
		print_outcome("reference", &want);
		print_outcome("xrnpe_cmd_check()", &got);
		return false;
	}
	return true;
}

static bool report(uint64_t seed, const char *who, const struct outcome *want, const struct outcome *got,
		   size_t at)
{
	printf("# seed %" PRIu64 ": %s differs from the reference\n", seed, who);
	if (at < stream.size)
		printf("# byte %zu of memory is %02x, not %02x\n", at, memory[at], expected[at]);
	print_outcome("reference", want);
	print_outcome(who, got);
	stream_describe(&stream, stdout);
	return false;
}

static bool try_kernels(uint64_t seed, const struct outcome *want)
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
			memcpy(memory, stream.memory, stream.size);
			run(*context, &got);
			if (!same(want, &got, &at))
				return report(seed, who, want, &got, at);
		}
	}
	return true;
}

static bool try_device(uint64_t seed, const struct outcome *want)
{
	struct outcome got = { 0 };
	size_t at;

	if (!device_run(&stream, memory, &got)) {
		printf("# seed %" PRIu64 "\n", seed);
		return false;
	}
	if (!same(want, &got, &at))
		return report(seed, "the device", want, &got, at);
	for (unsigned int i = 0; i < XRNPE_COUNTERS; i++) {
		uint64_t wanted = ((const uint64_t *)&want->counters)[i];
		uint64_t counted = ((const uint64_t *)&got.counters)[i];
		char name[32];

		if (wanted == counted)
			continue;
		xrnpe_counter_name(i, name, sizeof(name));
		printf("# counter %s is %" PRIu64 ", not %" PRIu64 "\n", name, counted, wanted);
		return report(seed, "the device", want, &got, at);
	}
	return true;
}

static bool try_stream(uint64_t seed, bool device)
{
	struct outcome want;

	stream_make(&stream, seed);
	if (!checks_agree(seed))
		return false;
	memcpy(expected, stream.memory, stream.size);
	stream_predict(&stream, expected, &want);
	ends[want.fault.kind]++;
	return device ? try_device(seed, &want) : try_kernels(seed, &want);
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
	if (qemu)
		good = device_start(qemu);
	start = now();
	while (good && count < limit && (!seconds || now() - start < seconds))
		good = try_stream(seed + count++, qemu);
	for (unsigned int kind = 0; kind <= XRNPE_FAULT_ILLEGAL_SCALE; kind++)
		printf("# %s: %lu\n", kind ? xrnpe_fault_name(kind) : "ended well", ends[kind]);
	printf("# %" PRIu64 " jobs, %.0f a minute\n1..1\n%s 1 - %s and the reference agree\n", count,
	       (double)count / (now() - start) * 60, good ? "ok" : "not ok", qemu ? "the device" : "kernels");
	device_stop();
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
